/*
 * Counts what nginx refuses by itself with 429, of which no worker hears. The site of nginx/jobforge.conf.in writes a line
 * for each such request, and nothing for any other, to a log of its own: "r" for a rate, "c" for a number of connections.
 * What has been written since the last look is counted into shared memory, by one worker at a time.
 */
#ifndef JOBFORGE_REFUSALS_H
#define JOBFORGE_REFUSALS_H

#include "base.h"

struct meter;
struct metrics;

enum refusal { REFUSAL_RATE, REFUSAL_CONNECTIONS, REFUSAL_COUNT };

/* Begins at the end of the log at `path`: what stands in it was refused before. */
void refusals_begin(struct metrics *metrics, const char *path);

/*
 * Counts on. A log that was rotated is read to its end first, where it is PATH.1. False: the log cannot be read. When another
 * worker is at it, its count is as good.
 */
bool refusals_count(const struct meter *meter, const char *path) MUST_CHECK;

#endif
