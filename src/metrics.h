/*
 * Counters and latency histograms in memory that the master shares with its workers, so that any worker can tell the figures
 * of all. Each worker counts in a place of its own, which the next worker at that place goes on with: figures outlive
 * workers, there is nothing to lock, and counting costs some nanoseconds. The size is fixed when the program is compiled;
 * memory that no worker has used is not there.
 */
#ifndef JOBFORGE_METRICS_H
#define JOBFORGE_METRICS_H

#include "base.h"

enum {
	METRICS_POOLS = 3,
	METRICS_ROUTES = 80,  /* rows of the table of endpoints, and a row a method for what matches none */
	METRICS_BUCKETS = 16, /* with a bound; one more has none */
	METRICS_STATUSES = 26 /* those of HTTP that the product answers with; the last stands for any other */
};

/* ---- what is counted: 64-bit numbers alone, since sums are made over all of them in one loop ---- */

struct histogram {
	uint64_t counts[METRICS_BUCKETS + 1]; /* each without those below it */
	uint64_t sum;                         /* microseconds */
};

struct metrics_route {
	struct histogram latency;
	uint64_t statuses[METRICS_STATUSES];
};

enum metrics_disconnect {
	DISCONNECT_LOST, /* during a transaction */
	DISCONNECT_LATE, /* no answer in time */
	DISCONNECT_IDLE, /* by the server, between transactions */
	DISCONNECT_OLD,  /* by us, after connection_lifetime */
	DISCONNECT_COUNT
};

struct metrics_pool {
	struct histogram queue;      /* from nginx to a worker */
	struct histogram round_trip; /* to the database and back */
	uint64_t busy;               /* microseconds spent on requests */
	uint64_t connected;
	uint64_t connect_failed;
	uint64_t disconnected[DISCONNECT_COUNT];
};

enum { METRICS_REFRESHES = 6 };
extern const char *const metrics_refreshes[METRICS_REFRESHES]; /* how trading a refresh token ends */

struct metrics_figures {
	struct metrics_route routes[METRICS_ROUTES];
	struct metrics_pool pools[METRICS_POOLS];
	uint64_t refreshes[METRICS_REFRESHES];
};

/* How a worker ends. */
enum metrics_end {
	ENDED_BY_SIGNAL,  /* by a signal that the master did not send */
	ENDED_FAILED, /* by itself, with another status than 0 */
	ENDED_QUIETLY,   /* by itself, with status 0, unasked */
	ENDED_DRAINED, /* as it was told */
	ENDED_OVERDUE, /* killed, because it took too long to end */
	ENDED_COUNT
};

enum metrics_reload { RELOAD_DONE, RELOAD_REFUSED, RELOAD_LATE, RELOAD_COUNT };

/* What the master counts. */
struct metrics_master {
	int64_t started; /* microseconds since 1970 */
	uint64_t configured[METRICS_POOLS];
	uint64_t starts[METRICS_POOLS];
	uint64_t exits[METRICS_POOLS][ENDED_COUNT];
	uint64_t reloads[RELOAD_COUNT];
};

/* The workers at this moment. */
struct metrics_now {
	uint64_t alive[METRICS_POOLS];
	uint64_t busy[METRICS_POOLS];
	uint64_t connected[METRICS_POOLS];
};

/* ---- the shared memory ---- */

struct metrics;

/* Memory for `places` workers, shared with all processes that are forked from now on; NULL when there is none. */
struct metrics *metrics_new(int places) MUST_CHECK;
void metrics_free(struct metrics *metrics);

/* For the master alone, to count in. */
struct metrics_master *metrics_master(struct metrics *metrics);

/* The worker at `place` has ended: for the master, after wait(2). What it held or claimed is free. */
void metrics_leave(struct metrics *metrics, int place);

/* ---- for a worker, which counts by its meter; NULL counts nothing ---- */

struct meter {
	struct metrics *metrics;
	struct metrics_figures *own;
	struct metrics_state *state;
	int place;
	int pool;
};

/* Takes the place, which no living worker has. */
void meter_init(struct meter *meter, struct metrics *metrics, int place, int pool);

/* A request is taken up, `queued` microseconds after nginx sent it (below 0: not known); and the worker is done with it. There
 * may be several in hand: the pool's busy time is that in which a worker has at least one. */
void meter_begin(const struct meter *meter, int64_t queued);
void meter_end(const struct meter *meter);

/* A request was answered. `route` is a row of the table of endpoints. */
void meter_request(const struct meter *meter, size_t route, int status, int64_t microseconds);

void meter_round_trip(const struct meter *meter, int64_t microseconds);
void meter_connect(const struct meter *meter, bool succeeded);
void meter_disconnect(const struct meter *meter, enum metrics_disconnect reason);

/* `outcome` is one of metrics_refreshes; another is passed over. */
void meter_refresh(const struct meter *meter, struct slice outcome);

/* ---- reading ---- */

/* Says whether this worker waits for new connections, among other things. At first it does not. */
void meter_accepts(const struct meter *meter, bool accepts);

/* Whether a worker of the pool waits for new connections and has no request in hand. */
bool metrics_has_idle(const struct metrics *metrics, int pool);

/* Sums all workers' figures, those of the dead too. */
void metrics_sum(const struct metrics *metrics, struct metrics_figures *out);
void metrics_look(const struct metrics *metrics, struct metrics_now *out);

/* The upper bound of a bucket in microseconds. */
int64_t metrics_bound(int bucket);

/* The status that an index of `statuses` stands for; 0 for any other. */
int metrics_status(int index);

/* How many values a histogram holds. */
uint64_t histogram_count(const struct histogram *histogram);

/* The value in microseconds below which `share` (0..1) of the values are, taking those of a bucket as evenly spread; the highest
 * bound when it lies above; 0 when there are none. */
double histogram_quantile(const struct histogram *histogram, double share);

/* ---- spans of time: one worker after another writes down what has happened since the last time one did ---- */

/* A worker claims the writing, which is its own until metrics_span_end() or its end. False: another has it. */
bool metrics_span_claim(const struct meter *meter) MUST_CHECK;

/* What was counted since `*since` (microseconds since 1970) up to `*now`, whose totals are in `*totals`. Between claim and end. */
void metrics_span_read(const struct meter *meter, struct metrics_figures *change, struct metrics_figures *totals,
    int64_t *since, int64_t *now);

/* With totals: what was read is written down, and the next span begins at `now`. Without: it stays to be written. */
void metrics_span_end(const struct meter *meter, const struct metrics_figures *totals, int64_t now);

/* Where the span began, and the minute (since 1970) in which writing was tried last. */
int64_t metrics_span_begin(const struct metrics *metrics);
int64_t metrics_span_tried(const struct metrics *metrics);
void metrics_span_try(const struct meter *meter, int64_t minute);

/* ---- what nginx refused, of which no worker hears: see refusals.h ---- */

enum { METRICS_REFUSALS = 2 };

/* How far a log has been counted. */
struct metrics_refusals {
	uint64_t device;
	uint64_t file;
	uint64_t offset;
	uint64_t counts[METRICS_REFUSALS];
};

struct metrics_refusals *metrics_refusals(const struct metrics *metrics);

/* A worker claims the counting; as above. */
bool metrics_refusals_claim(const struct meter *meter) MUST_CHECK;
void metrics_refusals_end(const struct meter *meter);

#endif
