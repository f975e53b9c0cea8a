/*
 * The master process: makes the sockets, forks the workers, waits, and does nothing else. SIGTERM and SIGINT stop all after
 * draining; SIGHUP puts workers on the new configuration, and the new program if there is one, beside the old ones and then
 * drains those; a worker that dies is replaced.
 */
#ifndef JOBFORGE_MASTER_H
#define JOBFORGE_MASTER_H

#include "base.h"

struct conf;

/* How to load the configuration again on SIGHUP. */
struct master_source {
	const char *path; /* NULL: no file */
	char *const *flags;
	int flag_count;
	char **arguments; /* the whole command line, NULL-terminated, for a new program */
};

/* Runs until it is told to stop; takes `conf` over and frees it. Returns the exit status of the process. */
int master_run(struct conf *conf, const struct master_source *source);

/* Checks configuration, keys, database, schema and every statement, as `jobforged -t` does, with the rights of a worker: the
 * process becomes conf->user for good. 0, or -1 with the reason in `error`. */
int master_check(const struct conf *conf, char *error, size_t error_size) MUST_CHECK;

#endif
