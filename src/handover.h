/*
 * A new program in the place of the running one, in the same process: execve(2) of what now stands at its path. The sockets
 * stay open, and the workers of the old program stay its children and go on serving until the new one has its own.
 */
#ifndef JOBFORGE_HANDOVER_H
#define JOBFORGE_HANDOVER_H

#include <sys/types.h>

#include "base.h"
#include "endpoint.h"

enum { HANDOVER_MAX_WORKERS = 2 * (512 + 64 + 64) };

struct handover {
	int listeners[POOL_COUNT];
	bool inherited[POOL_COUNT]; /* the socket is systemd's, and stays when we go */
	int count;
	struct handover_worker {
		pid_t pid;
		enum pool pool;
	} workers[HANDOVER_MAX_WORKERS];
};

/* Keeps the path of the running program; to be called at its start. An empty path (there is no /proc) is never due. */
void handover_begin(char path[], size_t size);

/* Whether another file than the running program stands at its path. */
bool handover_due(const char *path);

/* Whether the new program takes the configuration and the database: its own `-t`. 0, or -1 with a sentence in `error`. */
int handover_check(const char *path, char *const arguments[], char *error, size_t error_size) MUST_CHECK;

/*
 * Becomes the new program, with these arguments. Returns only if that fails, with a sentence; the listeners in `handover` may
 * then have other numbers.
 */
void handover_become(const char *path, char *const arguments[], struct handover *handover, char *error, size_t error_size);

/* In the new program: takes what the old one left, but for the listeners, which are as if from systemd. False: nothing. */
bool handover_take(struct handover *handover);

#endif
