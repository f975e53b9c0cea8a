/* The files of the migrations: NNNN_name.sql in one directory, numbered from 0001 without gaps. */
#ifndef JOBFORGE_MIGRATION_H
#define JOBFORGE_MIGRATION_H

#include "base.h"
#include "crypto.h"

enum { MIGRATION_MAX = 9999, MIGRATION_NAME_MAX = 100 };

struct migration {
	int version;
	char name[MIGRATION_NAME_MAX + 1];      /* of the file, without number and suffix */
	char file[MIGRATION_NAME_MAX + 10];     /* the file's name in the directory */
	char checksum[2 * SHA256_BYTES + 1];    /* SHA-256 of the file, in hexadecimal */
	char *sql;                              /* NUL-terminated; owned */
};

struct migrations {
	struct migration *items; /* item i has the version i + 1 */
	int count;
};

/*
 * Reads all of them. A name of another form (one that starts with a dot excepted), a gap, a number used twice, a file
 * with a NUL or that is not UTF-8, and a directory without any are errors: -1 with a sentence in `error`, and nothing
 * to free.
 */
int migrations_read(struct migrations *migrations, const char *directory, char *error, size_t error_size) MUST_CHECK;

void migrations_free(struct migrations *migrations);

#endif
