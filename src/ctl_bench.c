/* bench-db: how long the workers' one transaction takes from here, made as they make it. */
#include <stdio.h>
#include <stdlib.h>

#include "arena.h"
#include "buffer.h"
#include "clock.h"
#include "ctl.h"
#include "db.h"
#include "log.h"
#include "schema.h"
#include "writer.h"

static int run_bench(struct ctl *);

enum { BENCH_SECONDS };

const struct ctl_command ctl_bench_db = {
	.name = "bench-db",
	.summary = "Measure how long a worker's transaction takes: one pipeline, one round trip.",
	.options = {
		[BENCH_SECONDS] = { "--seconds", "N", "Measure for N seconds, 1 to 60; default: 3." },
	},
	.run = run_bench,
};

/* The first page of the list that each visit begins with. */
static const struct db_statement bench_statements[] = {
	{ "bench_list",
	    "SELECT a.id, a.name, a.company_name, a.role_title, a.status, a.created_at FROM public.applications AS a"
	    " WHERE a.user_id = (SELECT public.get_current_user_id()) ORDER BY a.created_at DESC, a.id DESC LIMIT 20",
	    0 },
	{ 0 },
};
static const struct db_statement *const bench_tables[] = { bench_statements, NULL };

/* Nobody's: what is measured is the way, not the rows. */
static const char nobody[] = "00000000-0000-4000-8000-000000000000";

struct samples {
	int *microseconds;
	size_t count;
	size_t room;
};

static void
add_sample(struct samples *samples, int64_t value)
{
	if (samples->count == samples->room) {
		samples->room = samples->room == 0 ? 4096 : 2 * samples->room;
		int *grown = realloc(samples->microseconds, samples->room * sizeof(*grown));
		if (grown == NULL)
			abort();
		samples->microseconds = grown;
	}
	samples->microseconds[samples->count++] = (int)value;
}

static int
compare_samples(const void *a, const void *b)
{
	int left = *(const int *)a, right = *(const int *)b;
	return (left > right) - (left < right);
}

static int
percentile(const struct samples *samples, int percent)
{
	return samples->microseconds[(samples->count - 1) * (size_t)percent / 100];
}

static bool
transact(struct db *db, struct arena *arena)
{
	db_begin(db, DB_READ_ONLY, nobody, NULL);
	db_send(db, bench_statements, NULL);
	struct db_reply reply = db_commit(db, arena);
	arena_reset(arena);
	return reply.outcome == DB_OK;
}

static void
report(const struct ctl *ctl, const struct samples *samples, int seconds)
{
	static const int percents[] = { 50, 95, 99, 100 };
	static const char *const names[] = { "p50_us", "p95_us", "p99_us", "max_us" };
	struct buffer out = { 0 };
	struct writer writer = { .out = &out };
	size_t rate = samples->count / (size_t)seconds;
	if (!ctl->json) {
		buffer_printf(&out, "%zu transactions in %d s on one connection: %zu/s; microseconds: median %d, 95 %% below %d, 99 %% below %d,"
				    " longest %d.\n",
		    samples->count, seconds, rate, percentile(samples, 50), percentile(samples, 95), percentile(samples, 99),
		    percentile(samples, 100));
		ctl_print(&out);
		return;
	}
	writer_object(&writer, NULL);
	writer_integer(&writer, "transactions", (long long)samples->count);
	writer_integer(&writer, "per_second", (long long)rate);
	for (size_t i = 0; i < COUNT_OF(percents); i++)
		writer_integer(&writer, names[i], percentile(samples, percents[i]));
	ctl_print_json(&writer);
}

static int
measure(const struct ctl *ctl, struct db *db, struct samples *samples, int seconds)
{
	struct arena *arena = arena_new();
	int64_t end = clock_us() + (int64_t)seconds * 1000000, start;
	bool fine = true;
	while (fine && (start = clock_us()) < end) {
		fine = transact(db, arena);
		add_sample(samples, clock_us() - start);
	}
	arena_free(arena);
	if (!fine)
		return ctl_fail("a transaction failed after %zu: see the server's log", samples->count - 1);
	/* NOLINTNEXTLINE(clang-analyzer-core.NonNullParamChecker): a second is long enough for one sample */
	qsort(samples->microseconds, samples->count, sizeof(*samples->microseconds), compare_samples);
	report(ctl, samples, seconds);
	return CTL_OK;
}

static int
run_bench(struct ctl *ctl)
{
	const struct db_settings settings = {
		.conninfo = ctl->conf.database,
		.connect_timeout = ctl->conf.connect_timeout,
		.statement_timeout = ctl->conf.statement_timeout,
		.schema_version = SCHEMA_VERSION,
		.tables = bench_tables,
	};
	struct samples samples = { 0 };
	int seconds;
	if (ctl_number(ctl, BENCH_SECONDS, 1, 60, 3, &seconds) != 0)
		return CTL_USAGE;
	log_set_level(LOG_LEVEL_NONE); /* what it would say is said below */
	struct db *db = db_new(&settings);
	int result = db_ready(db) == 0 ? measure(ctl, db, &samples, seconds) : ctl_fail("%s", db_problem(db));
	db_free(db);
	free(samples.microseconds);
	return result;
}
