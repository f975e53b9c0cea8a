/* The figures for Prometheus: /metrics, in its text format 0.0.4. nginx lets nobody in but callers on the same host. */
#include <stdio.h>

#include "api.h"
#include "arena.h"
#include "buffer.h"
#include "call.h"
#include "conf.h"
#include "metrics.h"
#include "refusals.h"
#include "response.h"
#include "route.h"
#include "schema.h"
#include "trouble.h"

static const char MEDIA_METRICS[] = "text/plain; version=0.0.4; charset=utf-8";

static const char *const disconnects[DISCONNECT_COUNT] = { [DISCONNECT_LOST] = "lost", [DISCONNECT_LATE] = "late",
	[DISCONNECT_IDLE] = "idle", [DISCONNECT_OLD] = "lifetime" };
static const char *const exits[ENDED_COUNT] = { [ENDED_BY_SIGNAL] = "signal", [ENDED_FAILED] = "failure", [ENDED_QUIETLY] = "quiet",
	[ENDED_DRAINED] = "drained", [ENDED_OVERDUE] = "overdue" };
static const char *const reloads[RELOAD_COUNT] = { [RELOAD_DONE] = "done", [RELOAD_REFUSED] = "refused",
	[RELOAD_LATE] = "late" };
static const char *const refusals[REFUSAL_COUNT] = { [REFUSAL_RATE] = "rate", [REFUSAL_CONNECTIONS] = "connections" };

/* What an answer to a login means. */
static const struct {
	const char *name;
	int lowest;
	int highest;
} login_outcomes[] = {
	{ "succeeded", 200, 200 },
	{ "wrong", 401, 401 },
	{ "refused", 403, 403 },
	{ "limited", 429, 429 },
	{ "invalid", 400, 499 },
	{ "failed", 500, 599 },
};

/* All that is shown. */
struct view {
	struct buffer *out;
	const struct endpoint *endpoints;
	struct metrics_figures figures;
	struct metrics_now now;
	const struct metrics_master *master;
};

/* ---- the format ---- */

static void
head(struct buffer *out, const char *name, const char *type, const char *help)
{
	buffer_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void
pool_number(struct buffer *out, const char *name, int pool, uint64_t value)
{
	buffer_printf(out, "%s{pool=\"%s\"} %llu\n", name, endpoint_pool_names[pool], (unsigned long long)value);
}

static void
pool_numbers(struct buffer *out, const char *name, const char *type, const char *help, const uint64_t values[])
{
	head(out, name, type, help);
	for (int pool = 0; pool < POOL_COUNT; pool++)
		pool_number(out, name, pool, values[pool]);
}

/* A counter with one label, or two when there is a pool. */
static void
labelled(struct buffer *out, const char *name, const char *pool, const char *label, const char *word, uint64_t value)
{
	if (pool == NULL)
		buffer_printf(out, "%s{%s=\"%s\"} %llu\n", name, label, word, (unsigned long long)value);
	else
		buffer_printf(out, "%s{pool=\"%s\",%s=\"%s\"} %llu\n", name, pool, label, word, (unsigned long long)value);
}

static void
write_histogram(struct buffer *out, const char *name, const char *labels, const struct histogram *histogram)
{
	unsigned long long count = 0;

	for (int i = 0; i < METRICS_BUCKETS; i++) {
		count += histogram->counts[i];
		buffer_printf(out, "%s_bucket{%s,le=\"%g\"} %llu\n", name, labels, (double)metrics_bound(i) / 1e6, count);
	}
	count += histogram->counts[METRICS_BUCKETS];
	buffer_printf(out, "%s_bucket{%s,le=\"+Inf\"} %llu\n", name, labels, count);
	buffer_printf(out, "%s_sum{%s} %.6f\n%s_count{%s} %llu\n", name, labels, (double)histogram->sum / 1e6, name, labels, count);
}

/* ---- requests ---- */

static void
route_labels(char *out, size_t size, const struct route_row *row)
{
	snprintf(out, size, "route=\"%s\",method=\"%s\"", row->path, http_method_name(row->method));
}

static void
write_statuses(struct view *view)
{
	static const char name[] = "jobforge_http_requests_total";
	struct route_row row;
	char labels[160];

	head(view->out, name, "counter", "Requests answered, by the route's template (HEAD counts as GET) and status; 0 is any other.");
	for (size_t i = 0; route_row(view->endpoints, i, &row); i++) {
		route_labels(labels, sizeof(labels), &row);
		for (int s = 0; s < METRICS_STATUSES; s++)
			if (view->figures.routes[i].statuses[s] > 0)
				buffer_printf(view->out, "%s{%s,status=\"%d\"} %llu\n", name, labels, metrics_status(s),
				    (unsigned long long)view->figures.routes[i].statuses[s]);
	}
}

/* These are there from the start, so that an alert sees the first error as an increase. */
static void
write_classes(struct view *view)
{
	static const char *const classes[] = { "2xx", "3xx", "4xx", "5xx" };
	static const char name[] = "jobforge_http_responses_total";
	uint64_t counts[COUNT_OF(classes)] = { 0 };

	for (size_t i = 0; i < METRICS_ROUTES; i++)
		for (int s = 0; s < METRICS_STATUSES; s++)
			if (metrics_status(s) >= 200)
				counts[metrics_status(s) / 100 - 2] += view->figures.routes[i].statuses[s];
	head(view->out, name, "counter", "Requests answered, by the class of the status.");
	for (size_t i = 0; i < COUNT_OF(classes); i++)
		labelled(view->out, name, NULL, "class", classes[i], counts[i]);
}

static void
write_latencies(struct view *view)
{
	static const char name[] = "jobforge_http_request_duration_seconds";
	struct route_row row;
	char labels[160];

	head(view->out, name, "histogram", "From a worker's taking a request to its answer being made.");
	for (size_t i = 0; route_row(view->endpoints, i, &row); i++) {
		route_labels(labels, sizeof(labels), &row);
		if (row.endpoint != NULL || histogram_count(&view->figures.routes[i].latency) > 0)
			write_histogram(view->out, name, labels, &view->figures.routes[i].latency);
	}
}

/* ---- pools and the database ---- */

static void
write_pool_histograms(struct view *view, const char *name, const char *help, size_t offset)
{
	char labels[32];

	head(view->out, name, "histogram", help);
	for (int pool = 0; pool < POOL_COUNT; pool++) {
		const char *figures = (const char *)&view->figures.pools[pool];
		snprintf(labels, sizeof(labels), "pool=\"%s\"", endpoint_pool_names[pool]);
		write_histogram(view->out, name, labels, (const struct histogram *)(const void *)(figures + offset));
	}
}

static void
write_busy_time(struct view *view)
{
	static const char name[] = "jobforge_worker_busy_seconds_total";

	head(view->out, name, "counter", "Time that workers spent on requests; its rate over the number of workers is the pool's use.");
	for (int pool = 0; pool < POOL_COUNT; pool++)
		buffer_printf(view->out, "%s{pool=\"%s\"} %.6f\n", name, endpoint_pool_names[pool],
		    (double)view->figures.pools[pool].busy / 1e6);
}

static void
write_exits(struct view *view)
{
	static const char name[] = "jobforge_worker_exits_total";

	head(view->out, name, "counter",
	    "Workers that ended: by a signal, by a failure, quietly without being told, drained at a reload or stop, or killed because "
	    "that took too long.");
	for (int pool = 0; pool < POOL_COUNT; pool++)
		for (int i = 0; i < ENDED_COUNT; i++)
			labelled(view->out, name, endpoint_pool_names[pool], "reason", exits[i], view->master->exits[pool][i]);
}

static void
write_pools(struct view *view)
{
	struct buffer *out = view->out;

	pool_numbers(out, "jobforge_workers_configured", "gauge", "Workers that the configuration wants.", view->master->configured);
	pool_numbers(out, "jobforge_workers", "gauge", "Workers that run, draining ones too.", view->now.alive);
	pool_numbers(out, "jobforge_workers_busy", "gauge", "Requests in flight, this one included: workers that have one in hand.",
	    view->now.busy);
	pool_numbers(out, "jobforge_workers_connected", "gauge", "Workers with a connection to the database.", view->now.connected);
	write_busy_time(view);
	write_pool_histograms(view, "jobforge_http_queue_seconds",
	    "From nginx's sending a request to a worker's taking it, to the millisecond.", offsetof(struct metrics_pool, queue));
	pool_numbers(out, "jobforge_worker_starts_total", "counter", "Workers started.", view->master->starts);
	write_exits(view);
	head(out, "jobforge_reloads_total", "counter", "Reloads: done, refused for a fault, or done though new workers were late.");
	for (int i = 0; i < RELOAD_COUNT; i++)
		labelled(out, "jobforge_reloads_total", NULL, "result", reloads[i], view->master->reloads[i]);
}

static void
write_connects(struct view *view)
{
	static const char connects[] = "jobforge_database_connects_total";
	static const char disconnected[] = "jobforge_database_disconnects_total";
	const struct metrics_pool *pools = view->figures.pools;

	head(view->out, connects, "counter", "Attempts to connect to the database.");
	for (int pool = 0; pool < POOL_COUNT; pool++) {
		labelled(view->out, connects, endpoint_pool_names[pool], "result", "connected", pools[pool].connected);
		labelled(view->out, connects, endpoint_pool_names[pool], "result", "failed", pools[pool].connect_failed);
	}
	head(view->out, disconnected, "counter",
	    "Connections given up: lost in a transaction, late with an answer, ended by the server while idle, or older than "
	    "connection_lifetime.");
	for (int pool = 0; pool < POOL_COUNT; pool++)
		for (int i = 0; i < DISCONNECT_COUNT; i++)
			labelled(view->out, disconnected, endpoint_pool_names[pool], "reason", disconnects[i], pools[pool].disconnected[i]);
}

/* ---- sessions ---- */

static uint64_t
take_between(uint64_t statuses[], int lowest, int highest)
{
	uint64_t count = 0;

	for (int s = 0; s < METRICS_STATUSES; s++) {
		if (metrics_status(s) < lowest || metrics_status(s) > highest)
			continue;
		count += statuses[s];
		statuses[s] = 0;
	}
	return count;
}

/* A login's outcome is its status. */
static void
write_logins(struct view *view)
{
	static const char name[] = "jobforge_logins_total";
	uint64_t statuses[METRICS_STATUSES] = { 0 };

	for (size_t i = 0; view->endpoints[i].path != NULL; i++)
		if (strcmp(view->endpoints[i].path, API "/auth/login") == 0)
			memcpy(statuses, view->figures.routes[i].statuses, sizeof(statuses));
	head(view->out, name, "counter",
	    "Logins: succeeded; wrong email or password; refused though right; limited after too many attempts; invalid; failed.");
	for (size_t i = 0; i < COUNT_OF(login_outcomes); i++)
		labelled(view->out, name, NULL, "outcome", login_outcomes[i].name,
		    take_between(statuses, login_outcomes[i].lowest, login_outcomes[i].highest));
}

static void
write_refreshes(struct view *view)
{
	static const char name[] = "jobforge_refreshes_total";

	head(view->out, name, "counter", "Refresh tokens traded or refused; reused is one that somebody may have stolen.");
	for (int i = 0; i < METRICS_REFRESHES; i++)
		labelled(view->out, name, NULL, "outcome", metrics_refreshes[i], view->figures.refreshes[i]);
}

/* ---- the rest ---- */

static void
write_refusals(struct view *view, const struct service *service)
{
	static const char name[] = "jobforge_refusals_total";
	const char *path = service->conf->refusals_log;

	if (path[0] == '\0')
		return;
	bool read = refusals_count(service->meter, path);
	const struct metrics_refusals *seen = metrics_refusals(service->meter->metrics);
	head(view->out, "jobforge_refusals_log_up", "gauge", "Whether the log of what nginx refuses can be read.");
	buffer_printf(view->out, "jobforge_refusals_log_up %d\n", read);
	head(view->out, name, "counter", "Requests that nginx refused with 429, for their rate or for the number of connections.");
	for (int i = 0; i < REFUSAL_COUNT; i++)
		labelled(view->out, name, NULL, "limit", refusals[i], seen->counts[i]);
}

static void
write_troubles(struct view *view, const struct troubles *troubles)
{
	static const char name[] = "jobforge_troubles_total";

	head(view->out, name, "counter", "Requests, or attempts, that met what the log tells once a minute under this name.");
	for (int i = 0; i < TROUBLE_COUNT; i++)
		labelled(view->out, name, NULL, "trouble", trouble_names[i], trouble_count(troubles, (enum trouble)i));
}

static void
write_service(struct view *view, const struct metrics *metrics)
{
	struct buffer *out = view->out;

	head(out, "jobforge_build_info", "gauge", "The program's version, and the schema that it was built for.");
	buffer_printf(out, "jobforge_build_info{version=\"%s\",schema=\"%s\"} 1\n", JOBFORGE_VERSION, SCHEMA_VERSION_TEXT);
	head(out, "jobforge_start_time_seconds", "gauge", "When the master started, since 1970: counters begin there.");
	buffer_printf(out, "jobforge_start_time_seconds %.3f\n", (double)view->master->started / 1e6);
	head(out, "jobforge_performance_recorded_time_seconds", "gauge",
	    "Up to when figures are in the table performance_metrics, since 1970.");
	buffer_printf(out, "jobforge_performance_recorded_time_seconds %.3f\n", (double)metrics_span_begin(metrics) / 1e6);
}

static int
handle_metrics(struct call *call)
{
	const struct service *service = call->service;
	struct view *view = arena_calloc(call->arena, 1, sizeof(*view));

	view->out = &call->response->body;
	view->endpoints = service->endpoints;
	view->master = metrics_master(service->meter->metrics);
	metrics_sum(service->meter->metrics, &view->figures);
	metrics_look(service->meter->metrics, &view->now);
	write_service(view, service->meter->metrics);
	write_classes(view);
	write_statuses(view);
	write_latencies(view);
	write_pools(view);
	write_connects(view);
	write_pool_histograms(view, "jobforge_database_round_trip_seconds", "One transaction, sent and answered.",
	    offsetof(struct metrics_pool, round_trip));
	write_logins(view);
	write_refreshes(view);
	write_refusals(view, service);
	write_troubles(view, service->troubles);
	call->response->content_type = MEDIA_METRICS;
	return call->response->status = 200;
}

const struct endpoint metrics_endpoints[] = {
	{ .method = HTTP_GET, .path = "/metrics", .access = ACCESS_ANYONE, .media = "text/plain", .handler = handle_metrics,
	    .about = "Counters and histograms for Prometheus; for callers on the same host, without a proxy, alone." },
	{ 0 },
};
