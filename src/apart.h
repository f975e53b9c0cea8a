/*
 * Work that may take too long, or be led astray by its input, done in a process of its own: fork(2), and a pipe for what it says.
 * The process has the memory of the one that it was made from, save what is kept by crypto_keys_new(), and of its descriptors
 * standard input, output and error alone.
 */
#ifndef JOBFORGE_APART_H
#define JOBFORGE_APART_H

#include "base.h"
#include "buffer.h"

struct apart {
	const char *event; /* by which the log tells that no process could be made */
	/* What the process does, which ends well if this returns; it leaves early by _exit(EXIT_FAILURE). */
	void (*work)(int output, const void *argument);
	const void *argument;
	size_t most;      /* bytes that it may say */
	int timer;        /* what its time is counted by, ITIMER_REAL or ITIMER_PROF (setitimer(2)), */
	int milliseconds; /* and how much it has */
};

/*
 * Appends what the work says to `out`, and waits for its end. False when no process could be made, when it took too long, said too much
 * or ended otherwise than well: what is in `out` is then of no use. Call it from a process of one thread, with SIGCHLD at its default.
 */
bool apart_run(struct buffer *out, const struct apart *apart) MUST_CHECK;

/* For the work: says this, or ends the process. */
void apart_say(int output, const char *data, size_t len);

#endif
