#include "worker.h"

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "api.h"
#include "arena.h"
#include "auth.h"
#include "clock.h"
#include "conf.h"
#include "fcgi.h"
#include "log.h"
#include "metrics.h"
#include "minute.h"
#include "request.h"
#include "response.h"
#include "route.h"
#include "schema.h"
#include "token.h"
#include "tokencache.h"

static_assert((int)POOL_COUNT == METRICS_POOLS && (int)API_MAX_ENDPOINTS + (int)HTTP_OTHER < METRICS_ROUTES,
    "the metrics have room for all");

enum { MAX_EVENTS = 64, PEER_TIMEOUT = 5000, IDLE_CHECK = 250, BACKGROUND_NICE = 5, STALE_AFTER = 50000 };

struct loop {
	const struct worker *worker;
	struct service service;
	struct arena *arena;
	struct response response;
	struct buffer log_line;
	struct buffer log_held; /* lines of requests, until there is nothing else to do */
	int epoll;
	int signals; /* signalfd(2): SIGTERM is an event among the others */
	int connections;
	bool listening;
	bool stopping;
};

/* ---- one request ---- */

static int
answer(struct call *call)
{
	int status = route_find(call);

	if (status != 0)
		return status;
	if (call->endpoint->pool != call->service->pool)
		return response_problem(call->response, call->request, PROBLEM_MISDIRECTED, NULL, NULL);
	int64_t start = clock_us();
	status = auth_check(call);
	call->authenticated_us = clock_us() - start;
	return status != 0 ? status : endpoint_run(call);
}

struct times {
	int64_t start;
	int64_t authenticated;
	int64_t database;
	int64_t total;
};

static void
log_request(struct loop *loop, const struct call *call, const struct times *times)
{
	struct buffer *line = &loop->log_line;
	const struct request *request = call->request;
	bool has_body = call->response->content_type != NULL && request->method != HTTP_HEAD;

	if (!log_enabled(LOG_LEVEL_INFO))
		return;
	log_begin(line, LOG_LEVEL_INFO, "request");
	log_field(line, "request_id", slice_of(request->id));
	log_field(line, "method", slice_of(http_method_name(request->method)));
	log_field(line, "route", slice_of(call->endpoint == NULL ? NULL : call->endpoint->path));
	log_field_number(line, "status", call->response->status);
	log_field_number(line, "bytes", has_body ? (long long)call->response->sent : 0);
	log_field_number(line, "db_us", times->database);
	log_field_number(line, "total_us", times->total);
	log_field(line, "user_id", slice_of(call->user_id[0] == '\0' ? NULL : call->user_id));
	log_hold(line, &loop->log_held);
}

static void
add_timing(struct loop *loop, const struct times *times)
{
	if (!loop->service.conf->server_timing)
		return;
	response_header(&loop->response, "Server-Timing", "auth;dur=%.3f, db;dur=%.3f, total;dur=%.3f",
	    (double)times->authenticated / 1000, (double)times->database / 1000, (double)times->total / 1000);
}

/* Serves the request on a readable connection. 0: keep the connection; -1: close it. */
static int
serve(struct loop *loop, struct fcgi *conn)
{
	struct request request;
	struct times times = { .start = clock_us() };
	struct call call = { .service = &loop->service, .arena = loop->arena, .request = &request,
		.response = &loop->response, .conn = conn };

	if (fcgi_receive(conn) != 0)
		return -1;
	response_reset(&loop->response);
	request_read(&request, conn, loop->arena, loop->worker->pool == POOL_BULK);
	meter_begin(loop->service.meter, request.queued_us);
	answer(&call);
	times.database = db_time_taken(loop->service.db);
	times.total = clock_us() - times.start;
	meter_request(loop->service.meter, route_number(&call), loop->response.status, times.total);
	times.authenticated = call.authenticated_us;
	add_timing(loop, &times);
	if (request.stream != NULL)
		request_drain(request.stream);
	/* Without the end of the request nginx knows that the answer is not whole. */
	if (!loop->response.broken)
		response_send(&loop->response, &request, conn);
	bool whole = !loop->response.broken && !request.unread;
	int kept = fcgi_finish(conn);
	log_request(loop, &call, &times);
	arena_reset(loop->arena);
	meter_end(loop->service.meter);
	return whole ? kept : -1;
}

/* ---- connections ---- */

static void
listen_more(struct loop *loop, bool on)
{
	/* Exclusive: a new connection wakes one idle worker, not all. */
	struct epoll_event event = { .events = EPOLLIN | EPOLLEXCLUSIVE, .data.ptr = NULL };

	if (on == loop->listening)
		return;
	if (epoll_ctl(loop->epoll, on ? EPOLL_CTL_ADD : EPOLL_CTL_DEL, loop->worker->listener, &event) == 0)
		loop->listening = on;
}

static void
close_connection(struct loop *loop, struct fcgi *conn)
{
	fcgi_close(conn); /* which takes it out of the epoll set */
	loop->connections--;
	listen_more(loop, !loop->stopping);
}

static void
open_connection(struct loop *loop)
{
	int fd = accept4(loop->worker->listener, NULL, NULL, SOCK_CLOEXEC);

	if (fd < 0) {
		if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED) {
			/* Out of descriptors, mostly: stop listening for a moment instead of spinning. */
			log_write(LOG_LEVEL_ERROR, "accept", "cannot accept a connection: %s", strerror(errno));
			listen_more(loop, false);
		}
		return;
	}
	struct fcgi *conn = fcgi_open(fd, PEER_TIMEOUT);
	struct epoll_event event = { .events = EPOLLIN | EPOLLRDHUP, .data.ptr = conn };
	loop->connections++;
	if (epoll_ctl(loop->epoll, EPOLL_CTL_ADD, fd, &event) != 0)
		close_connection(loop, conn);
	else if (loop->connections >= loop->worker->conf->worker_connections)
		listen_more(loop, false);
}

/*
 * What became readable: connections, the signals (the loop itself), the listening socket (NULL). That one comes last: while
 * this worker serves, an idle one has taken the new connection. nginx ends a connection whose client has gone: what is left
 * in it nobody waits for, and the client may be sending it again.
 */
static void
handle_events(struct loop *loop, const struct epoll_event events[], int count)
{
	bool waiting = false;
	int64_t start = clock_us();

	for (int i = 0; i < count; i++) {
		void *source = events[i].data.ptr;
		/* What was told of the others is old by now: they are asked again. */
		if (i > 0 && clock_us() - start > STALE_AFTER)
			break;
		if (source == NULL)
			waiting = true;
		else if (source == loop)
			loop->stopping = true;
		else if (events[i].events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR) || serve(loop, source) != 0)
			close_connection(loop, source);
	}
	if (waiting)
		open_connection(loop);
}

/* ---- the loop ---- */

/*
 * SIGTERM is blocked and read from a descriptor. It never cuts a request in two, and it is seen under any load:
 * epoll_pwait(2) returns without looking at signals as long as there are events.
 */
static int
take_signals(void)
{
	static const int ignored[] = { SIGPIPE, SIGHUP, SIGUSR1, SIGINT }; /* SIGINT of a Ctrl-C is for the master to act on */
	struct sigaction ignore = { .sa_handler = SIG_IGN };
	sigset_t stop;

	for (size_t i = 0; i < COUNT_OF(ignored); i++)
		sigaction(ignored[i], &ignore, NULL);
	sigemptyset(&stop);
	sigaddset(&stop, SIGTERM);
	sigprocmask(SIG_SETMASK, &stop, NULL);
	return signalfd(-1, &stop, SFD_CLOEXEC);
}

static void
run_loop(struct loop *loop)
{
	struct epoll_event events[MAX_EVENTS];
	int64_t deadline = INT64_MAX;

	epoll_ctl(loop->epoll, EPOLL_CTL_ADD, loop->signals, &(struct epoll_event){ .events = EPOLLIN, .data.ptr = loop });
	listen_more(loop, true);
	while (!loop->stopping || loop->connections > 0) {
		if (loop->stopping && deadline == INT64_MAX) {
			epoll_ctl(loop->epoll, EPOLL_CTL_DEL, loop->signals, NULL);
			deadline = clock_us() + (int64_t)loop->worker->conf->drain_timeout * 1000000;
			listen_more(loop, false);
			close(loop->worker->listener); /* or a new master would find the socket still listened on */
		}
		if (clock_us() > deadline)
			return;
		log_flush(&loop->log_held);
		int count = epoll_wait(loop->epoll, events, MAX_EVENTS, IDLE_CHECK);
		handle_events(loop, events, count);
		if (count == 0) {
			/* Idle: find a lost database again, or renew an old connection, before a request needs it. */
			db_ready(loop->service.db);
			minute_record(&loop->service, loop->arena);
			listen_more(loop, !loop->stopping && loop->connections < loop->worker->conf->worker_connections);
		}
	}
}

int
worker_prepare(struct service *service, const struct conf *conf, enum pool pool, const struct meter *meter,
    struct endpoint endpoints[], char *error, size_t error_size)
{
	const struct db_settings settings = {
		.conninfo = conf->database,
		.connect_timeout = conf->connect_timeout,
		.statement_timeout = conf->statement_timeout,
		.connection_lifetime = conf->connection_lifetime,
		.schema_version = SCHEMA_VERSION,
		.tables = api_statements,
		.meter = meter,
	};

	api_endpoints(endpoints);
	*service = (struct service){ .conf = conf, .meter = meter, .pool = pool, .endpoints = endpoints };
	service->token_policy = (struct token_policy){ conf->token_algorithm, conf->token_issuer, conf->token_audience,
		conf->access_token_lifetime };
	service->keys = token_keys_read(conf->token_keys, error, error_size);
	if (service->keys == NULL)
		return -1;
	service->tokens = token_cache_new();
	service->db = db_new(&settings);
	return 0;
}

void
worker_release(struct service *service)
{
	db_free(service->db);
	token_cache_free(service->tokens);
	token_keys_free(service->keys);
}

int
worker_run(const struct worker *worker)
{
	struct loop loop = { .worker = worker };
	struct meter meter;
	struct endpoint endpoints[API_MAX_ENDPOINTS];
	char error[512];

	loop.signals = take_signals();
	prctl(PR_SET_PDEATHSIG, SIGTERM); /* no worker outlives its master, */
	if (getppid() != worker->master)  /* nor one that died before this */
		return 0;
	/* Hashing, exports and imports take what the API leaves. */
	if (worker->pool != POOL_API && setpriority(PRIO_PROCESS, 0, BACKGROUND_NICE) != 0)
		log_write(LOG_LEVEL_WARNING, "worker", "cannot lower the priority: %s", strerror(errno));
	meter_init(&meter, worker->metrics, worker->place, worker->pool);
	if (worker_prepare(&loop.service, worker->conf, worker->pool, &meter, endpoints, error, sizeof(error)) != 0) {
		log_write(LOG_LEVEL_ERROR, "worker", "%s", error);
		return 1;
	}
	fcgi_init();
	loop.arena = arena_new();
	loop.epoll = epoll_create1(EPOLL_CLOEXEC);
	db_ready(loop.service.db);
	atomic_store(worker->ready, true);
	run_loop(&loop);
	log_flush(&loop.log_held);
	worker_release(&loop.service);
	response_free(&loop.response);
	buffer_free(&loop.log_line);
	buffer_free(&loop.log_held);
	arena_free(loop.arena);
	close(loop.epoll);
	close(loop.signals);
	return 0;
}
