/*
 * What goes wrong for many requests at once: the log tells that it begins, again each minute while it lasts, and that it is over,
 * each by one worker for all. The memory for that is shared by the master and its workers.
 */
#ifndef JOBFORGE_TROUBLE_H
#define JOBFORGE_TROUBLE_H

#include "base.h"

enum trouble {
	TROUBLE_DATABASE,    /* it cannot be connected to */
	TROUBLE_OVERLOAD,    /* requests have waited too long for a worker */
	TROUBLE_DESCRIPTORS, /* no descriptor for a connection */
	TROUBLE_DISK,        /* the database's is full */
	TROUBLE_RESOURCES,   /* the database has no memory, no connection or no lock left */
	TROUBLE_COUNT
};

extern const char *const trouble_names[TROUBLE_COUNT];

struct troubles;

/* Shared with all processes that are forked from now on; NULL when there is no memory. */
struct troubles *troubles_new(void) MUST_CHECK;
void troubles_free(struct troubles *troubles);

/* A request has met it; the sentence (printf(3)) says how. With NULL for `troubles`, here and below, nothing is noted or told. */
void trouble_note(struct troubles *troubles, enum trouble trouble, const char *format, ...) PRINTF_LIKE(3, 4);

/* A request has fared well where that trouble would have met it. It is over when none has met it for some seconds. */
void trouble_passed(struct troubles *troubles, enum trouble trouble);

/* How many have met it since the master started. */
uint64_t trouble_count(const struct troubles *troubles, enum trouble trouble);

#endif
