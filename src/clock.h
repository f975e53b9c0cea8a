/* The monotonic clock: for durations and deadlines, since it never steps. */
#ifndef JOBFORGE_CLOCK_H
#define JOBFORGE_CLOCK_H

#include <time.h>

#include "base.h"

/* Microseconds since some fixed moment. */
static inline int64_t
clock_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

/* The same in milliseconds. */
static inline int64_t
clock_ms(void)
{
	return clock_us() / 1000;
}

#endif
