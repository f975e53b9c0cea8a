/*
 * Programs of PostgreSQL's (pg_dump, pg_restore, psql), run without a shell: their words are an array, and a password is in
 * their environment, which nobody else can read.
 */
#ifndef JOBFORGE_CHILD_H
#define JOBFORGE_CHILD_H

#include <sys/types.h>

#include "base.h"

struct child {
	const char *name; /* of the program, for sentences about it */
	pid_t pid;        /* 0: it does not run */
	int messages;     /* what it writes to standard error */
};

enum { CHILD_NONE = -1 }; /* for a descriptor: /dev/null */

/*
 * Starts `program` with `arguments` (NULL-terminated, the first is its name) and, unless NULL, PGPASSWORD. Standard input and
 * output become copies of `in` and `out`, which stay the caller's. Descriptors of the caller's must be close-on-exec.
 * Returns 0, or -1 with a sentence in `error`; then child_wait() must follow.
 */
int child_start(struct child *child, const char *program, const char *const arguments[], const char *password, int in, int out,
    char *error, size_t error_size) MUST_CHECK;

/* Waits for its end. 0 when it ended well, else -1 with a sentence: what it said last, or the signal that ended it. */
int child_wait(struct child *child, char *error, size_t error_size) MUST_CHECK;

/* Ends it, if it runs, and waits. */
void child_kill(struct child *child);

/* Runs it and keeps the first bytes of its output, NUL-terminated, in `output`. 0, or -1 with a sentence. */
int child_output(const char *program, const char *const arguments[], char *output, size_t output_size, char *error,
    size_t error_size) MUST_CHECK;

/* Makes a pipe of two close-on-exec descriptors. 0, or -1 with a sentence. */
int child_pipe(int ends[2], char *error, size_t error_size) MUST_CHECK;

/* Writes all of it, whatever the signals. 0, or -1 with errno. */
int child_write(int descriptor, const void *data, size_t len) MUST_CHECK;

#endif
