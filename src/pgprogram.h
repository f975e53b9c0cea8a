/* Where PostgreSQL's own programs are, and whether they fit the server. */
#ifndef JOBFORGE_PGPROGRAM_H
#define JOBFORGE_PGPROGRAM_H

#include <limits.h>

#include "base.h"

struct pgprogram {
	char path[PATH_MAX]; /* or a name to look for in PATH */
	int major;           /* its version */
};

/*
 * Finds `name` in `directory`, or when that is "" where Debian keeps the programs of version `server_major` and of later ones,
 * else in PATH. Returns 0, or -1 with a sentence when it does not run or is older than the server.
 */
int pgprogram_find(struct pgprogram *program, const char *directory, const char *name, int server_major, char *error,
    size_t error_size) MUST_CHECK;

#endif
