/*
 * Each minute's figures of each route, for the table public.performance_metrics. One worker writes them, at a moment when it has
 * nothing else to do. While that cannot be, the span grows, and what is written covers all of it: nothing queues up and
 * nothing is left out.
 */
#ifndef JOBFORGE_MINUTE_H
#define JOBFORGE_MINUTE_H

#include "base.h"

struct arena;
struct service;

/* For an idle worker, as often as it likes: writes if a minute is over and it is this worker's turn. Resets the arena. */
void minute_record(const struct service *service, struct arena *arena);

#endif
