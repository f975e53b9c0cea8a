/*
 * A worker process: one database connection, many kept FastCGI connections. Requests that only read are taken up while others
 * still wait for the database, so that under load neither side sleeps and wakes for each; a request that writes, or needs
 * several round trips, has the worker for itself until it is answered.
 */
#ifndef JOBFORGE_WORKER_H
#define JOBFORGE_WORKER_H

#include <stdatomic.h>
#include <sys/types.h>

#include "base.h"
#include "endpoint.h"

struct conf;
struct meter;
struct metrics;
struct service;
struct token_keys;
struct troubles;

struct worker {
	const struct conf *conf;
	enum pool pool;
	pid_t master;
	int listener;        /* non-blocking, shared with the other workers of the pool */
	struct metrics *metrics;
	struct troubles *troubles;
	int place;           /* among all workers, its own as long as it lives */
	atomic_bool *ready;  /* in memory shared with the master: set when requests are taken */
};

/* Serves until SIGTERM, then drains: takes no new connection, and ends when nginx has closed its kept ones or
 * drain_timeout is over. Returns the exit status of the process. */
int worker_run(const struct worker *worker);

/* Fills `service` for a pool: keys read, database not yet connected. 0, or -1 and a sentence in `error`. `endpoints`,
 * `meter` (NULL: nothing is counted) and `troubles` (NULL: nothing is told) are the caller's memory. Freed by worker_release(). */
int worker_prepare(struct service *service, const struct conf *conf, enum pool pool, const struct meter *meter,
    struct troubles *troubles, struct endpoint endpoints[], char *error, size_t error_size) MUST_CHECK;
void worker_release(struct service *service);

#endif
