#include "metrics.h"

#include <stdalign.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <time.h>

#include "clock.h"

enum { CACHE_LINE = 64, PAGE = 4096 };

/* What a worker is doing, in a cache line of its own. */
struct metrics_state {
	alignas(CACHE_LINE) atomic_bool used; /* somebody has counted here */
	atomic_bool alive;
	atomic_int busy; /* requests in hand */
	atomic_bool accepts;
	atomic_bool connected;
	atomic_int pool;
	int64_t busy_since; /* microseconds, monotonic; the worker's own */
};

/* The totals at the beginning of a span. */
struct span {
	int64_t begin;
	struct metrics_figures totals;
};

struct place {
	alignas(PAGE) struct metrics_figures figures; /* pages that no worker has touched take no memory */
};

struct metrics {
	struct metrics_master master;
	size_t size;
	int count;
	/* Claims are places + 1; 0 is free. The master frees those of the dead. */
	atomic_int span_claim;
	atomic_int refusals_claim;
	atomic_int_fast64_t span_tried;
	atomic_int current; /* of the two spans; the other one is being made */
	struct metrics_refusals refusals;
	struct span spans[2];
	struct metrics_state *states;
	struct place *places;
};

static const int64_t bounds[METRICS_BUCKETS] = { 100, 250, 500, 1000, 2500, 5000, 10000, 25000, 50000, 100000, 250000, 500000,
	1000000, 2500000, 5000000, 10000000 };

static const int statuses[METRICS_STATUSES] = { 200, 201, 204, 304, 400, 401, 403, 404, 405, 406, 408, 409, 412, 413, 414, 415,
	421, 422, 428, 429, 431, 500, 502, 503, 504, 0 };

const char *const metrics_refreshes[METRICS_REFRESHES] = { "rotated", "reused", "revoked", "expired", "unknown", "missing" };

static int64_t
real_time_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

/* Only one process writes a number, so adding needs no locked instruction, just that no reader sees half of it. */
static void
add(uint64_t *number, uint64_t more)
{
	__atomic_store_n(number, __atomic_load_n(number, __ATOMIC_RELAXED) + more, __ATOMIC_RELAXED);
}

/* ---- the shared memory ---- */

static size_t
round_up(size_t size)
{
	return (size + PAGE - 1) / PAGE * PAGE;
}

struct metrics *
metrics_new(int places)
{
	size_t head = round_up(sizeof(struct metrics));
	size_t states = round_up((size_t)places * sizeof(struct metrics_state));
	size_t size = head + states + (size_t)places * sizeof(struct place);
	char *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (memory == MAP_FAILED)
		return NULL;
	struct metrics *metrics = (struct metrics *)(void *)memory;
	metrics->size = size;
	metrics->count = places;
	metrics->states = (struct metrics_state *)(void *)(memory + head);
	metrics->places = (struct place *)(void *)(memory + head + states);
	metrics->master.started = real_time_us();
	metrics->spans[0].begin = metrics->master.started;
	return metrics;
}

void
metrics_free(struct metrics *metrics)
{
	munmap(metrics, metrics->size);
}

struct metrics_master *
metrics_master(struct metrics *metrics)
{
	return &metrics->master;
}

static void
release_claim(atomic_int *claim, int place)
{
	int mine = place + 1;

	atomic_compare_exchange_strong(claim, &mine, 0);
}

void
metrics_leave(struct metrics *metrics, int place)
{
	struct metrics_state *state = &metrics->states[place];

	atomic_store(&state->alive, false);
	atomic_store(&state->busy, 0);
	atomic_store(&state->accepts, false);
	atomic_store(&state->connected, false);
	release_claim(&metrics->span_claim, place);
	release_claim(&metrics->refusals_claim, place);
}

/* ---- counting ---- */

void
meter_init(struct meter *meter, struct metrics *metrics, int place, int pool)
{
	struct metrics_state *state = &metrics->states[place];

	*meter = (struct meter){ .metrics = metrics, .own = &metrics->places[place].figures, .state = state, .place = place,
		.pool = pool };
	atomic_store(&state->pool, pool);
	atomic_store(&state->used, true);
	atomic_store(&state->alive, true);
}

static void
note(struct histogram *histogram, int64_t microseconds)
{
	int bucket = 0;

	if (microseconds < 0)
		microseconds = 0;
	while (bucket < METRICS_BUCKETS && microseconds > bounds[bucket])
		bucket++;
	add(&histogram->counts[bucket], 1);
	add(&histogram->sum, (uint64_t)microseconds);
}

static size_t
status_index(int status)
{
	size_t index = 0;

	while (index < METRICS_STATUSES - 1 && statuses[index] != status)
		index++;
	return index;
}

void
meter_begin(const struct meter *meter, int64_t queued)
{
	if (meter == NULL)
		return;
	if (atomic_fetch_add_explicit(&meter->state->busy, 1, memory_order_relaxed) == 0)
		meter->state->busy_since = clock_us();
	if (queued >= 0)
		note(&meter->own->pools[meter->pool].queue, queued);
}

void
meter_end(const struct meter *meter)
{
	if (meter != NULL && atomic_fetch_sub_explicit(&meter->state->busy, 1, memory_order_relaxed) == 1)
		add(&meter->own->pools[meter->pool].busy, (uint64_t)(clock_us() - meter->state->busy_since));
}

void
meter_request(const struct meter *meter, size_t route, int status, int64_t microseconds)
{
	if (meter == NULL || route >= METRICS_ROUTES)
		return;
	struct metrics_route *figures = &meter->own->routes[route];
	add(&figures->statuses[status_index(status)], 1);
	note(&figures->latency, microseconds);
}

void
meter_round_trip(const struct meter *meter, int64_t microseconds)
{
	if (meter != NULL)
		note(&meter->own->pools[meter->pool].round_trip, microseconds);
}

void
meter_connect(const struct meter *meter, bool succeeded)
{
	if (meter == NULL)
		return;
	struct metrics_pool *pool = &meter->own->pools[meter->pool];
	add(succeeded ? &pool->connected : &pool->connect_failed, 1);
	atomic_store_explicit(&meter->state->connected, succeeded, memory_order_relaxed);
}

void
meter_disconnect(const struct meter *meter, enum metrics_disconnect reason)
{
	if (meter == NULL)
		return;
	add(&meter->own->pools[meter->pool].disconnected[reason], 1);
	atomic_store_explicit(&meter->state->connected, false, memory_order_relaxed);
}

void
meter_refresh(const struct meter *meter, struct slice outcome)
{
	for (int i = 0; meter != NULL && i < METRICS_REFRESHES; i++)
		if (slice_is(outcome, metrics_refreshes[i]))
			add(&meter->own->refreshes[i], 1);
}

/* ---- reading ---- */

enum { FIGURES = sizeof(struct metrics_figures) / sizeof(uint64_t) };

static void
add_figures(struct metrics_figures *out, const struct metrics_figures *figures)
{
	const uint64_t *from = (const uint64_t *)figures;
	uint64_t *to = (uint64_t *)out;

	for (size_t i = 0; i < FIGURES; i++)
		to[i] += __atomic_load_n(&from[i], __ATOMIC_RELAXED);
}

void
metrics_sum(const struct metrics *metrics, struct metrics_figures *out)
{
	memset(out, 0, sizeof(*out));
	for (int i = 0; i < metrics->count; i++)
		if (atomic_load(&metrics->states[i].used))
			add_figures(out, &metrics->places[i].figures);
}

void
meter_accepts(const struct meter *meter, bool accepts)
{
	atomic_store_explicit(&meter->state->accepts, accepts, memory_order_relaxed);
}

bool
metrics_has_idle(const struct metrics *metrics, int pool)
{
	for (int i = 0; i < metrics->count; i++) {
		const struct metrics_state *state = &metrics->states[i];
		if (atomic_load_explicit(&state->alive, memory_order_relaxed) &&
		    atomic_load_explicit(&state->accepts, memory_order_relaxed) &&
		    atomic_load_explicit(&state->pool, memory_order_relaxed) == pool &&
		    atomic_load_explicit(&state->busy, memory_order_relaxed) == 0)
			return true;
	}
	return false;
}

void
metrics_look(const struct metrics *metrics, struct metrics_now *out)
{
	*out = (struct metrics_now){ 0 };
	for (int i = 0; i < metrics->count; i++) {
		const struct metrics_state *state = &metrics->states[i];
		int pool = atomic_load(&state->pool);
		if (!atomic_load(&state->alive))
			continue;
		out->alive[pool]++;
		out->busy[pool] += atomic_load(&state->busy) > 0;
		out->connected[pool] += atomic_load(&state->connected);
	}
}

int64_t
metrics_bound(int bucket)
{
	return bounds[bucket];
}

int
metrics_status(int index)
{
	return statuses[index];
}

uint64_t
histogram_count(const struct histogram *histogram)
{
	uint64_t count = 0;

	for (int i = 0; i <= METRICS_BUCKETS; i++)
		count += histogram->counts[i];
	return count;
}

double
histogram_quantile(const struct histogram *histogram, double share)
{
	double rank = share * (double)histogram_count(histogram);
	double below = 0;

	if (histogram_count(histogram) == 0)
		return 0;
	for (int i = 0; i < METRICS_BUCKETS; i++) {
		double count = (double)histogram->counts[i];
		double low = i == 0 ? 0 : (double)bounds[i - 1];
		if (count > 0 && below + count >= rank)
			return low + ((double)bounds[i] - low) * (rank - below) / count;
		below += count;
	}
	return (double)bounds[METRICS_BUCKETS - 1];
}

/* ---- spans ---- */

static bool
claim(atomic_int *what, int place)
{
	int nobody = 0;

	return atomic_compare_exchange_strong(what, &nobody, place + 1);
}

bool
metrics_span_claim(const struct meter *meter)
{
	return claim(&meter->metrics->span_claim, meter->place);
}

static const struct span *
current_span(const struct metrics *metrics)
{
	return &metrics->spans[atomic_load(&metrics->current)];
}

void
metrics_span_read(const struct meter *meter, struct metrics_figures *change, struct metrics_figures *totals, int64_t *since,
    int64_t *now)
{
	const struct span *span = current_span(meter->metrics);
	const uint64_t *before = (const uint64_t *)&span->totals;
	uint64_t *to = (uint64_t *)change;

	metrics_sum(meter->metrics, totals);
	*now = real_time_us();
	*since = span->begin;
	*change = *totals;
	for (size_t i = 0; i < FIGURES; i++)
		to[i] -= before[i];
}

/* The new span is made beside the current one, so that a worker that dies in here leaves one or the other. */
void
metrics_span_end(const struct meter *meter, const struct metrics_figures *totals, int64_t now)
{
	struct metrics *metrics = meter->metrics;
	int next = 1 - atomic_load(&metrics->current);

	if (totals != NULL) {
		metrics->spans[next].totals = *totals;
		metrics->spans[next].begin = now;
		atomic_store(&metrics->current, next);
	}
	release_claim(&metrics->span_claim, meter->place);
}

int64_t
metrics_span_begin(const struct metrics *metrics)
{
	return current_span(metrics)->begin;
}

int64_t
metrics_span_tried(const struct metrics *metrics)
{
	return atomic_load(&metrics->span_tried);
}

void
metrics_span_try(const struct meter *meter, int64_t minute)
{
	atomic_store(&meter->metrics->span_tried, minute);
}

/* ---- refusals ---- */

struct metrics_refusals *
metrics_refusals(const struct metrics *metrics)
{
	return (struct metrics_refusals *)(uintptr_t)&metrics->refusals;
}

bool
metrics_refusals_claim(const struct meter *meter)
{
	return claim(&meter->metrics->refusals_claim, meter->place);
}

void
metrics_refusals_end(const struct meter *meter)
{
	release_claim(&meter->metrics->refusals_claim, meter->place);
}
