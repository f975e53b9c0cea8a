#include "minute.h"

#include <time.h>
#include <unistd.h>

#include "api.h"
#include "arena.h"
#include "buffer.h"
#include "call.h"
#include "conf.h"
#include "log.h"
#include "metrics.h"
#include "route.h"

enum { MINUTE = 60000000, AUTH_WAITS = 5000000, INSTANCE_MAX = 64 };

const struct db_statement minute_statements[] = {
	{ "minute_record",
	    "SELECT jobforge.performance_record($1, $2::text::bigint, $3::text::bigint, $4::text::jsonb, $5::text::int)", 5 },
	{ 0 },
};

/* What happened on all routes in a span, in microseconds since 1970. */
struct minute {
	int64_t since;
	int64_t until;
	struct metrics_figures change;
	struct metrics_figures totals;
};

static int64_t
real_time_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

/* The API is never made to wait. Of the others bulk workers are mostly idle; auth workers step in when none is. */
static bool
is_due(const struct service *service, int64_t *minute)
{
	const struct metrics *metrics = service->meter->metrics;
	int64_t begin = metrics_span_begin(metrics);
	int64_t now = real_time_us() - (service->pool == POOL_AUTH ? AUTH_WAITS : 0);

	*minute = now / MINUTE;
	/* A begin in the future was before the clock was set back. */
	bool over = *minute > begin / MINUTE || now < begin - MINUTE;
	return over && metrics_span_tried(metrics) != *minute;
}

static uint64_t
count_class(const struct metrics_route *figures, int class)
{
	uint64_t count = 0;

	for (int i = 0; i < METRICS_STATUSES; i++)
		if (metrics_status(i) / 100 == class)
			count += figures->statuses[i];
	return count;
}

static void
write_row(struct buffer *out, const struct route_row *row, const struct metrics_route *figures)
{
	static const struct {
		const char *name;
		double share;
	} quantiles[] = { { "p50", 0.5 }, { "p95", 0.95 }, { "p99", 0.99 } };

	buffer_printf(out, "%s{\"route\":\"%s\",\"method\":\"%s\",", out->len > 1 ? "," : "", row->path,
	    http_method_name(row->method));
	if (row->endpoint != NULL)
		buffer_printf(out, "\"pool\":\"%s\",", endpoint_pool_names[row->endpoint->pool]);
	buffer_printf(out, "\"requests\":%llu,\"client_errors\":%llu,\"server_errors\":%llu,\"seconds\":%.6f",
	    (unsigned long long)histogram_count(&figures->latency), (unsigned long long)count_class(figures, 4),
	    (unsigned long long)count_class(figures, 5), (double)figures->latency.sum / 1e6);
	for (size_t i = 0; i < COUNT_OF(quantiles); i++)
		buffer_printf(out, ",\"%s\":%.6f", quantiles[i].name,
		    histogram_quantile(&figures->latency, quantiles[i].share) / 1e6);
	buffer_putc(out, '}');
}

/* The routes that were used, as an array. */
static void
write_rows(struct buffer *out, const struct endpoint *endpoints, const struct metrics_figures *change)
{
	struct route_row row;

	buffer_putc(out, '[');
	for (size_t i = 0; route_row(endpoints, i, &row); i++)
		if (histogram_count(&change->routes[i].latency) > 0)
			write_row(out, &row, &change->routes[i]);
	BUFFER_LITERAL(out, "]");
	buffer_putc(out, '\0');
}

static bool
send(const struct service *service, struct arena *arena, const struct minute *minute, const char *rows)
{
	char instance[INSTANCE_MAX + 1] = "";

	(void)gethostname(instance, INSTANCE_MAX);
	const struct db_param params[] = { DB_TEXT(instance), DB_TEXT(arena_printf(arena, "%lld", (long long)minute->since)),
		DB_TEXT(arena_printf(arena, "%lld", (long long)minute->until)), DB_TEXT(rows),
		DB_TEXT(arena_printf(arena, "%d", service->conf->metrics_retention)) };
	db_begin(service->db, DB_READ_WRITE, NULL, NULL);
	db_send(service->db, &minute_statements[0], params);
	struct db_reply reply = db_commit(service->db, arena);
	(void)db_time_taken(service->db); /* it is no request's */
	if (reply.outcome == DB_REFUSED)
		log_write(LOG_LEVEL_WARNING, "metrics", "the minute's figures are not written: %s", reply.error.message);
	return reply.outcome == DB_OK;
}

void
minute_record(const struct service *service, struct arena *arena)
{
	struct buffer rows = { 0 };
	int64_t number;

	if (service->pool == POOL_API || service->conf->metrics_retention == 0 || !is_due(service, &number) ||
	    db_ready(service->db) != 0 || !metrics_span_claim(service->meter))
		return;
	if (!is_due(service, &number)) { /* another worker has just done it */
		metrics_span_end(service->meter, NULL, 0);
		return;
	}
	struct minute *minute = arena_alloc(arena, sizeof(*minute));
	metrics_span_try(service->meter, number);
	metrics_span_read(service->meter, &minute->change, &minute->totals, &minute->since, &minute->until);
	if (minute->since > minute->until) /* the clock was set back */
		minute->since = minute->until;
	write_rows(&rows, service->endpoints, &minute->change);
	bool written = send(service, arena, minute, rows.data);
	metrics_span_end(service->meter, written ? &minute->totals : NULL, minute->until);
	buffer_free(&rows);
	arena_reset(arena);
}
