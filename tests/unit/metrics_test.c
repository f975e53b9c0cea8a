#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "clock.h"
#include "metrics.h"
#include "refusals.h"
#include "tap.h"

enum { PLACES = 8, ROUNDS = 20000 };

static struct metrics_figures figures;

/* Two requests in hand at once: the time in which there was one counts once. */
static void
test_busy(struct metrics *metrics, const struct meter *meter)
{
	struct metrics_now now;
	int64_t start = clock_us();
	meter_begin(meter, 5);
	usleep(2000);
	meter_begin(meter, -1);
	metrics_look(metrics, &now);
	is_int((long long)now.busy[1], 1, "a worker with two requests is one busy worker");
	meter_end(meter);
	metrics_sum(metrics, &figures);
	is_int((long long)figures.pools[1].busy, 0, "its time is not over with the first");
	meter_end(meter);
	int64_t taken = clock_us() - start;
	metrics_look(metrics, &now);
	is_int((long long)now.busy[1], 0, "it is idle again");
	metrics_sum(metrics, &figures);
	ok(figures.pools[1].busy >= 2000 && figures.pools[1].busy <= (uint64_t)taken, "the time of the pool");
	is_int((long long)figures.pools[0].busy, 0, "and not of another");
}

static void
test_counting(void)
{
	struct metrics *metrics = metrics_new(PLACES);
	struct meter meter;

	meter_init(&meter, metrics, 3, 1);
	meter_request(&meter, 5, 200, 100);
	meter_request(&meter, 5, 200, 101);
	meter_request(&meter, 5, 503, 10000000);
	meter_request(&meter, 5, 777, 10000001);
	meter_request(&meter, METRICS_ROUTES, 200, 1);
	metrics_sum(metrics, &figures);
	const struct metrics_route *route = &figures.routes[5];
	is_int((long long)route->latency.counts[0], 1, "a bound belongs to its bucket");
	is_int((long long)route->latency.counts[1], 1, "and what is above it to the next");
	is_int((long long)route->latency.counts[METRICS_BUCKETS - 1], 1, "the highest bound");
	is_int((long long)route->latency.counts[METRICS_BUCKETS], 1, "what is above all bounds");
	is_int((long long)route->latency.sum, 20000202, "the sum");
	is_int((long long)histogram_count(&route->latency), 4, "the count");
	is_int((long long)route->statuses[0], 2, "a status");
	is_int((long long)route->statuses[METRICS_STATUSES - 1], 1, "a status that nobody expects");
	test_busy(metrics, &meter);
	meter_request(NULL, 5, 200, 1);
	meter_round_trip(NULL, 1);
	meter_begin(NULL, 1);
	meter_refresh(NULL, SLICE("rotated"));
	ok(true, "nothing is counted without a meter");
	metrics_free(metrics);
}

static void
test_refreshes(void)
{
	struct metrics *metrics = metrics_new(PLACES);
	struct meter meter;

	meter_init(&meter, metrics, 0, 0);
	meter_refresh(&meter, SLICE("reused"));
	meter_refresh(&meter, SLICE("nonsense"));
	meter_refresh(&meter, (struct slice){ NULL, 0 });
	metrics_sum(metrics, &figures);
	for (int i = 0; i < METRICS_REFRESHES; i++)
		is_int((long long)figures.refreshes[i], strcmp(metrics_refreshes[i], "reused") == 0, "outcome %s",
		    metrics_refreshes[i]);
	metrics_free(metrics);
}

static void
test_quantiles(void)
{
	struct histogram histogram = { 0 };

	ok(histogram_quantile(&histogram, 0.5) == 0, "no values have no quantile");
	histogram.counts[3] = 100; /* 500 to 1000 microseconds */
	ok(histogram_quantile(&histogram, 0.5) == 750, "the middle of a bucket");
	ok(histogram_quantile(&histogram, 1) == 1000, "its end");
	histogram.counts[0] = 100;
	ok(histogram_quantile(&histogram, 0.25) == 50, "the first bucket begins at zero");
	histogram.counts[METRICS_BUCKETS] = 800;
	ok(histogram_quantile(&histogram, 0.9) == 10000000, "above all bounds: the highest");
}

/* A worker: counts at its place and ends by a signal, in the middle of a request, with all that can be claimed. */
static void
run_worker(struct metrics *metrics, int place)
{
	struct meter meter;

	meter_init(&meter, metrics, place, place % METRICS_POOLS);
	for (int i = 0; i < ROUNDS; i++)
		meter_request(&meter, (size_t)(i % 7), 200, i);
	meter_connect(&meter, true);
	meter_begin(&meter, 5);
	if (!metrics_span_claim(&meter) || !metrics_refusals_claim(&meter))
		_exit(1);
	abort();
}

static void
test_killed_worker(void)
{
	struct metrics *metrics = metrics_new(PLACES);
	struct metrics_now now;
	struct meter other;
	int status;

	meter_init(&other, metrics, 1, 0);
	for (int life = 1; life <= 2; life++) {
		pid_t pid = fork();
		if (pid == 0)
			run_worker(metrics, 0);
		waitpid(pid, &status, 0);
		ok(WIFSIGNALED(status), "the worker is killed");
		metrics_look(metrics, &now);
		is_int((long long)now.busy[0], 1, "it seems busy");
		ok(!metrics_span_claim(&other) && !metrics_refusals_claim(&other), "what it claimed is its own");
		metrics_leave(metrics, 0);
		metrics_look(metrics, &now);
		is_int((long long)now.busy[0], 0, "until the master has seen that it ended");
		is_int((long long)now.alive[0], 1, "the other one lives");
		is_int((long long)now.connected[0], 0, "nobody is connected");
		ok(metrics_span_claim(&other) && metrics_refusals_claim(&other), "and what it claimed is free");
		metrics_span_end(&other, NULL, 0);
		metrics_refusals_end(&other);
		metrics_sum(metrics, &figures);
		uint64_t count = 0;
		for (int i = 0; i < METRICS_ROUTES; i++)
			count += histogram_count(&figures.routes[i].latency);
		is_int((long long)count, (long long)life * ROUNDS, "what it counted stays, and the next one goes on");
	}
	metrics_free(metrics);
}

static void
test_spans(void)
{
	static struct metrics_figures change, totals;
	struct metrics *metrics = metrics_new(PLACES);
	int64_t since, now, again, later;
	struct meter meter;

	meter_init(&meter, metrics, 0, 0);
	meter_request(&meter, 1, 200, 10);
	ok(metrics_span_claim(&meter) && !metrics_span_claim(&meter), "one writes at a time");
	metrics_span_read(&meter, &change, &totals, &since, &now);
	is_int(since, metrics_master(metrics)->started, "the first span begins at the start");
	metrics_span_end(&meter, NULL, now);
	meter_request(&meter, 1, 200, 10);
	ok(metrics_span_claim(&meter), "what was not written");
	metrics_span_read(&meter, &change, &totals, &again, &later);
	ok(again == since && later >= now, "is in the next span, with the same begin");
	is_int((long long)change.routes[1].statuses[0], 2, "with all requests");
	metrics_span_end(&meter, &totals, later);
	meter_request(&meter, 1, 200, 10);
	ok(metrics_span_claim(&meter), "what was written");
	metrics_span_read(&meter, &change, &totals, &again, &now);
	is_int((long long)change.routes[1].statuses[0], 1, "is not in the one after");
	is_int(again, later, "which begins where it ended");
	is_int((long long)totals.routes[1].statuses[0], 3, "while the totals go on");
	metrics_free(metrics);
}

/* ---- refusals ---- */

static void
append(const char *path, const char *text)
{
	FILE *file = fopen(path, "a");

	if (file == NULL || fputs(text, file) < 0 || fclose(file) != 0)
		bail_out("cannot write %s", path);
}

static void
refused(const struct meter *meter, const char *path, int rate, int connections, const char *name)
{
	ok(refusals_count(meter, path), "%s: the log is read", name);
	const struct metrics_refusals *seen = metrics_refusals(meter->metrics);
	is_int((long long)seen->counts[REFUSAL_RATE], rate, "%s: refused for their rate", name);
	is_int((long long)seen->counts[REFUSAL_CONNECTIONS], connections, "%s: for connections", name);
}

static void
test_refusals(void)
{
	struct metrics *metrics = metrics_new(PLACES);
	char directory[] = "/tmp/metrics-test-XXXXXX", path[64], rotated[64], old[64];
	struct meter meter;

	if (mkdtemp(directory) == NULL)
		bail_out("no directory");
	snprintf(path, sizeof(path), "%s/log", directory);
	snprintf(rotated, sizeof(rotated), "%s/log.1", directory);
	snprintf(old, sizeof(old), "%s/old", directory);
	meter_init(&meter, metrics, 0, 0);
	ok(!refusals_count(&meter, path), "there is no log yet");
	ok(!refusals_count(&meter, directory), "a directory is none");
	append(path, "r\nr\nc\n");
	refusals_begin(metrics, path);
	refused(&meter, path, 0, 0, "what was refused before the start");
	append(path, "r\nc\nc\nr\nr\n");
	refused(&meter, path, 3, 2, "what came since");
	refused(&meter, path, 3, 2, "no more");
	append(path, "r\n");
	if (rename(path, rotated) != 0)
		bail_out("cannot rename");
	append(rotated, "c\n");
	append(path, "r\n");
	refused(&meter, path, 5, 3, "rotated");
	if (truncate(path, 0) != 0)
		bail_out("cannot truncate");
	refused(&meter, path, 5, 3, "emptied");
	append(path, "r\n");
	refused(&meter, path, 6, 3, "and written again");
	if (rename(path, old) != 0) /* it stays, or its inode would be given to the next file */
		bail_out("cannot rename");
	unlink(rotated);
	append(rotated, "c\nc\nc\n");
	append(path, "r\n");
	refused(&meter, path, 7, 3, "another's rotated log");
	ok(metrics_refusals_claim(&meter), "another worker counts");
	append(path, "r\n");
	refused(&meter, path, 7, 3, "nobody waits for it");
	unlink(old);
	unlink(rotated);
	unlink(path);
	rmdir(directory);
	metrics_free(metrics);
}

/* All that a request counts, many times; says how much processor time it takes. */
static void
test_cost(void)
{
	enum { MANY = 500000 };
	struct metrics *metrics = metrics_new(PLACES);
	struct meter meter;

	meter_init(&meter, metrics, 0, 0);
	clock_t begin = clock();
	for (int i = 0; i < MANY; i++) {
		meter_begin(&meter, i % 2000);
		meter_round_trip(&meter, i % 900);
		meter_request(&meter, (size_t)(i % 40), i % 10 == 0 ? 404 : 200, i % 3000);
		meter_end(&meter);
	}
	double each = (double)(clock() - begin) / CLOCKS_PER_SEC * 1e9 / (double)MANY;
	printf("# counting a request takes %.0f ns\n", each);
	ok(each < 1000, "it takes less than a microsecond");
	int64_t start = clock_us();
	metrics_sum(metrics, &figures);
	printf("# summing one worker's figures takes %lld us; they are %zu KiB\n", (long long)(clock_us() - start),
	    sizeof(figures) / 1024);
	is_int((long long)figures.pools[0].round_trip.counts[METRICS_BUCKETS], 0, "none was longer than all bounds");
	metrics_free(metrics);
}

/* A connection that is lost is counted by why, and no longer as one that is there. */
static void
test_connections(void)
{
	struct metrics *metrics = metrics_new(PLACES);
	struct metrics_now now;
	struct meter meter;

	meter_init(&meter, metrics, 0, 2);
	meter_connect(&meter, true);
	metrics_look(metrics, &now);
	is_int((long long)now.connected[2], 1, "a connection is there");
	meter_disconnect(&meter, DISCONNECT_LOST);
	meter_disconnect(NULL, DISCONNECT_LOST);
	metrics_look(metrics, &now);
	is_int((long long)now.connected[2], 0, "a lost one is not");
	metrics_sum(metrics, &figures);
	is_int((long long)figures.pools[2].disconnected[DISCONNECT_LOST], 1, "and is counted");
	meter_request(&meter, 1, 200, -5);
	metrics_sum(metrics, &figures);
	is_int((long long)figures.routes[1].latency.counts[0], 1, "a clock that was set back makes no time below zero");
	is_int((long long)figures.routes[1].latency.sum, 0, "and takes nothing off the sum");
	ok(metrics_span_tried(metrics) == 0 && metrics_span_begin(metrics) > 0,
	    "nothing was written yet of the span that has begun");
	metrics_span_try(&meter, 29000000);
	is_int(metrics_span_tried(metrics), 29000000, "the minute of the last attempt is kept");
	is_int(metrics_bound(0), 100, "the least bound");
	is_int(metrics_status(0), 200, "the first status");
	metrics_free(metrics);
}

int
main(void)
{
	test_connections();
	test_counting();
	test_refreshes();
	test_quantiles();
	test_killed_worker();
	test_spans();
	test_refusals();
	test_cost();
	return done();
}
