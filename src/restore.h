/* Puts a backup into an empty database, in one transaction: all of it and exactly what was backed up, or nothing. */
#ifndef JOBFORGE_RESTORE_H
#define JOBFORGE_RESTORE_H

#include "base.h"

struct backup_manifest;

struct restore_request {
	const char *conninfo; /* of the target, without a password; as an administrator */
	const char *password; /* or NULL */
	const char *pg_bin;   /* pgprogram.h */
	const char *roles;    /* SQL of the first migration, which makes the roles that own and use what comes */
	const struct backup_manifest *manifest; /* read and checked */
	int server;           /* major version of the target's server */
};

/*
 * Runs pg_restore into psql, whose transaction ends with a comparison of each table with the manifest. Returns 0, or -1 with a
 * sentence in `error`, and the target unchanged.
 */
int restore_run(const struct restore_request *request, char *error, size_t error_size) MUST_CHECK;

#endif
