/*
 * Brings a database to the newest schema: runs the migrations it lacks, each in a transaction of its own together with
 * its line in the ledger jobforge.schema_migrations, one run at a time.
 */
#ifndef JOBFORGE_MIGRATE_H
#define JOBFORGE_MIGRATE_H

#include "base.h"

struct migrate_request {
	const char *conninfo;
	const char *directory; /* of the migrations' files */
	bool dry_run;          /* say what is pending, and change nothing */
	bool json;             /* report as one JSON object instead of lines of text */
};

/*
 * Reports to standard output what it does. Returns 0, or -1 with a sentence in `error`: then the migrations reported as
 * applied are, and nothing else has changed. Refuses, before it changes anything, a server without pgvector or older
 * than PostgreSQL 16, a database that is not UTF-8, one newer than the files, and files that are not those that were
 * applied.
 */
int migrate_run(const struct migrate_request *request, char *error, size_t error_size) MUST_CHECK;

#endif
