#include "worker.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "api.h"
#include "arena.h"
#include "auth.h"
#include "call.h"
#include "clock.h"
#include "conf.h"
#include "fcgi.h"
#include "log.h"
#include "metrics.h"
#include "minute.h"
#include "request.h"
#include "response.h"
#include "route.h"
#include "sandbox.h"
#include "schema.h"
#include "token.h"
#include "tokencache.h"
#include "trouble.h"

static_assert((int)POOL_COUNT == METRICS_POOLS && (int)API_MAX_ENDPOINTS + (int)HTTP_OTHER < METRICS_ROUTES,
    "the metrics have room for all");

enum { PEER_TIMEOUT = 5000, IDLE_CHECK = 250, BACKGROUND_NICE = 5, STALE_AFTER = 50000, IN_HAND = 16, WORK_IN_HAND = 50000 };

/*
 * A request that has waited longer than queue_timeout is not worth the work any more: whoever sent it gives up soon. When for some
 * time none has been prompt, the queue does not come from a burst, and waiting helps nobody: less of it is allowed.
 */
enum { PROMPT = 100000, STANDING = 1000000, STANDING_SHARE = 4 };

/* A request in hand. */
struct slot {
	struct fcgi *conn; /* NULL: nothing */
	bool parked;       /* something came on the connection meanwhile: it is not polled until the answer has been sent */
	bool gone;         /* nginx has ended the connection: nobody waits for the answer */
	struct request request;
	struct response response;
	struct arena *arena;
	struct db_ticket ticket;
	struct call call;
	int64_t start;
};

struct loop {
	const struct worker *worker;
	struct service service;
	struct slot slots[IN_HAND];
	int in_hand;
	uint64_t watched; /* the generation of the database's socket in the epoll set */
	struct buffer log_line;
	struct buffer log_held; /* lines of requests, until there is nothing else to do */
	int epoll;
	int signals; /* signalfd(2): SIGTERM is an event among the others */
	int connections;
	int most_connections;
	int spare;         /* a descriptor that is given up for a connection when there is none else; -1: it has been */
	int64_t late_since; /* microseconds, monotonic: all since then have waited; 0: the last has not */
	int64_t taken_at;  /* when the last was begun */
	unsigned begun;    /* requests, since the program began to serve */
	bool more;         /* connections may wait to be accepted */
	bool full;         /* no more connections for now */
	bool listening;
	bool stopping;
};

/* ---- one request ---- */

static bool
is_overdue(struct loop *loop, int64_t queued)
{
	int64_t limit = (int64_t)loop->worker->conf->queue_timeout * 1000;
	int64_t now = clock_us();

	if (queued <= PROMPT)
		loop->late_since = 0;
	else if (loop->late_since == 0 || now - queued > loop->taken_at) /* what was sent since the last was taken: none has waited */
		loop->late_since = now;
	loop->taken_at = now;
	if (loop->late_since != 0 && now - loop->late_since > STANDING)
		limit /= STANDING_SHARE;
	return queued > limit;
}

static int
refuse_overdue(struct call *call)
{
	trouble_note(call->service->troubles, TROUBLE_OVERLOAD,
	    "a request of the %s pool has waited for %lld ms, and is refused", endpoint_pool_names[call->service->pool],
	    (long long)call->request->queued_us / 1000);
	return response_problem(call->response, call->request, PROBLEM_OVERLOADED, NULL, NULL);
}

static int
answer(struct loop *loop, struct call *call)
{
	int status = route_find(call);

	if (status != 0)
		return status;
	if (call->endpoint->pool != call->service->pool)
		return response_problem(call->response, call->request, PROBLEM_MISDIRECTED, NULL, NULL);
	if (is_overdue(loop, call->request->queued_us) && !endpoint_is_patient(call->endpoint))
		return refuse_overdue(call);
	trouble_passed(loop->service.troubles, TROUBLE_OVERLOAD);
	int64_t start = clock_us();
	status = auth_check(call);
	call->authenticated_us = clock_us() - start;
	return status != 0 ? status : endpoint_run(call);
}

struct times {
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
add_timing(const struct call *call, const struct times *times)
{
	if (!call->service->conf->server_timing)
		return;
	response_header(call->response, "Server-Timing", "auth;dur=%.3f, db;dur=%.3f, total;dur=%.3f",
	    (double)times->authenticated / 1000, (double)times->database / 1000, (double)times->total / 1000);
}

/* Sends the answer, which is made. 0: keep the connection; -1: close it. */
static int
send_answer(struct loop *loop, struct slot *slot)
{
	struct call *call = &slot->call;
	struct times times = { .authenticated = call->authenticated_us,
		.database = db_time_taken(loop->service.db) + slot->ticket.taken, .total = clock_us() - slot->start };

	meter_request(loop->service.meter, route_number(call), slot->response.status, times.total);
	add_timing(call, &times);
	if (slot->request.stream != NULL)
		request_drain(slot->request.stream);
	/* Without the end of the request nginx knows that the answer is not whole. */
	if (!slot->response.broken && !slot->gone)
		response_send(&slot->response, &slot->request, slot->conn);
	bool whole = !slot->response.broken && !slot->request.unread;
	int kept = fcgi_finish(slot->conn);
	log_request(loop, call, &times);
	return whole ? kept : -1;
}

/* ---- connections ---- */

static void
keep_spare(struct loop *loop)
{
	if (loop->spare < 0)
		loop->spare = fcntl(loop->epoll, F_DUPFD_CLOEXEC, 0);
}

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
	keep_spare(loop);
	loop->full = loop->spare < 0;
}

static void
watch(struct loop *loop, struct fcgi *conn, bool on)
{
	struct epoll_event event = { .events = EPOLLIN | EPOLLRDHUP, .data.ptr = conn };

	(void)epoll_ctl(loop->epoll, on ? EPOLL_CTL_ADD : EPOLL_CTL_DEL, fcgi_socket(conn), &event);
}

/* The request has its answer: sends it, and makes room for another. */
static void
finish(struct loop *loop, struct slot *slot)
{
	struct fcgi *conn = slot->conn;
	int kept = send_answer(loop, slot);
	arena_reset(slot->arena);
	if (loop->worker->pool == POOL_AUTH)
		response_wipe(&slot->response);
	slot->conn = NULL;
	loop->in_hand--;
	meter_end(loop->service.meter);
	if (kept != 0 || slot->gone || loop->spare < 0)
		close_connection(loop, conn);
	else if (slot->parked)
		watch(loop, conn, true);
}

/* Takes the request on a readable connection, and answers it unless it waits for the database. */
static void
begin(struct loop *loop, struct slot *slot, struct fcgi *conn)
{
	int64_t start = clock_us();

	if (fcgi_receive(conn) != 0) {
		close_connection(loop, conn);
		return;
	}
	slot->conn = conn;
	slot->parked = slot->gone = false;
	slot->start = start;
	slot->ticket.taken = 0;
	slot->call = (struct call){ .service = &loop->service, .arena = slot->arena, .request = &slot->request,
		.response = &slot->response, .conn = conn, .ticket = &slot->ticket };
	loop->in_hand++;
	loop->begun++;
	response_reset(&slot->response);
	request_read(&slot->request, conn, slot->arena, loop->worker->pool == POOL_BULK);
	meter_begin(loop->service.meter, slot->request.queued_us);
	answer(loop, &slot->call);
	if (!slot->call.waiting)
		finish(loop, slot);
}

/* Answers the requests whose results have come. */
static void
go_on(struct loop *loop)
{
	for (int i = 0; i < IN_HAND && loop->in_hand > 0; i++) {
		struct slot *slot = &loop->slots[i];
		if (slot->conn == NULL || !slot->ticket.done)
			continue;
		call_resume(&slot->call);
		finish(loop, slot);
	}
}

/* The slot that holds the connection's request; with NULL, an empty one. */
static struct slot *
find_slot(struct loop *loop, const struct fcgi *conn)
{
	for (int i = 0; i < IN_HAND; i++)
		if (loop->slots[i].conn == conn)
			return &loop->slots[i];
	return NULL;
}

static void
handle_connection(struct loop *loop, struct fcgi *conn, uint32_t events)
{
	bool gone = (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0;
	struct slot *slot = find_slot(loop, conn);

	if (slot != NULL) {
		slot->parked = true;
		slot->gone = gone;
		watch(loop, conn, false);
	} else if (gone) {
		close_connection(loop, conn);
	} else {
		begin(loop, find_slot(loop, NULL), conn);
	}
}

/*
 * Several spare the worker and the server waking up for each. But the server answers them in turn, and what is in hand is neither
 * refused as overdue nor left to another worker: they are no more than it answers soon.
 */
static int
most_in_hand(const struct loop *loop)
{
	int64_t pace = db_pace(loop->service.db);
	int64_t most = pace == 0 ? IN_HAND : WORK_IN_HAND / pace;

	return most < 1 ? 1 : most > IN_HAND ? IN_HAND : (int)most;
}

/* Finishes requests until no more than `most` are in hand. */
static void
make_room(struct loop *loop, int most)
{
	while (loop->in_hand > most) {
		db_wait(loop->service.db);
		go_on(loop);
	}
}

/* Each connection to the database is another socket. */
static void
watch_database(struct loop *loop)
{
	uint64_t generation;
	int fd = db_socket(loop->service.db, &generation);
	struct epoll_event event = { .events = EPOLLIN, .data.ptr = loop->service.db };

	if (fd < 0 || generation == loop->watched)
		return;
	if (epoll_ctl(loop->epoll, EPOLL_CTL_ADD, fd, &event) == 0)
		loop->watched = generation;
}

/* What there is to read is answers, or the server's farewell. */
static void
handle_database(struct loop *loop)
{
	if (loop->in_hand > 0)
		db_receive(loop->service.db);
	else
		db_ready(loop->service.db);
}

static int
accept_connection(const struct loop *loop)
{
	return accept4(loop->worker->listener, NULL, NULL, SOCK_CLOEXEC);
}

/* Takes one connection more than there are descriptors for, which serves one request, so that nobody waits in vain. */
static int
accept_last(struct loop *loop)
{
	trouble_note(loop->service.troubles, TROUBLE_DESCRIPTORS, "cannot accept a connection beside %d others: %s",
	    loop->connections, strerror(errno));
	loop->full = true;
	if (loop->spare < 0)
		return -1;
	close(loop->spare);
	loop->spare = -1;
	return accept_connection(loop);
}

/* Whether there was one. */
static bool
open_connection(struct loop *loop)
{
	int fd = accept_connection(loop);

	if (fd < 0 && errno != EAGAIN && errno != EINTR && errno != ECONNABORTED)
		fd = accept_last(loop);
	else if (fd >= 0)
		trouble_passed(loop->service.troubles, TROUBLE_DESCRIPTORS);
	if (fd < 0)
		return false;
	struct fcgi *conn = fcgi_open(fd, PEER_TIMEOUT);
	struct epoll_event event = { .events = EPOLLIN | EPOLLRDHUP, .data.ptr = conn };
	loop->connections++;
	if (epoll_ctl(loop->epoll, EPOLL_CTL_ADD, fd, &event) != 0)
		close_connection(loop, conn);
	else if (!loop->full)
		loop->full = loop->connections >= loop->most_connections;
	return true;
}

/*
 * One, which leaves others to idle workers. When there is none, as many as requests were begun: what waits in the socket's queue
 * then moves on as fast as what waits on connections, where it takes its turn.
 */
static void
open_connections(struct loop *loop, int begun)
{
	bool one = begun == 0 || metrics_has_idle(loop->worker->metrics, (int)loop->worker->pool);

	for (int most = one ? 1 : begun; most > 0 && loop->more && !loop->full; most--)
		loop->more = open_connection(loop);
}

/*
 * A worker that has requests in hand leaves new connections to one that has none, while there is one: else the worker that listened
 * first would be woken for all of them. Whoever stops listening looks once more, since it alone was told of a connection that came
 * just before.
 */
static void
share_listening(struct loop *loop)
{
	bool may = !loop->full && !loop->stopping;
	bool was = loop->listening;

	meter_accepts(loop->service.meter, may);
	listen_more(loop, may && (loop->in_hand == 0 || !metrics_has_idle(loop->worker->metrics, (int)loop->worker->pool)));
	if (was && !loop->listening && may)
		(void)open_connection(loop);
}

/*
 * No request is finished before the last event: that would close connections which the events still name.
 *
 * What became readable: connections, the database, the signals (the loop itself), the listening socket (NULL). That one comes
 * last: while this worker serves, an idle one has taken the new connection. nginx ends a connection whose client has gone: what
 * is left in it nobody waits for, and the client may be sending it again.
 */
static void
handle_events(struct loop *loop, const struct epoll_event events[], int count)
{
	unsigned begun = loop->begun;
	int64_t start = clock_us();

	for (int i = 0; i < count; i++) {
		void *source = events[i].data.ptr;
		/* What was told of the others is old by now: they are asked again. */
		if (i > 0 && clock_us() - start > STALE_AFTER)
			break;
		if (source == NULL)
			loop->more = true;
		else if (source == loop)
			loop->stopping = true;
		else if (source == loop->service.db)
			handle_database(loop);
		else
			handle_connection(loop, source, events[i].events);
	}
	go_on(loop);
	if (loop->listening)
		open_connections(loop, (int)(loop->begun - begun));
}

/* ---- the loop ---- */

/*
 * SIGTERM is blocked and read from a descriptor. It never cuts a request in two, and it is seen under any load:
 * epoll_pwait(2) returns without looking at signals as long as there are events.
 */
static int
take_signals(void)
{
	static const int ignored[] = { SIGPIPE, SIGXFSZ, SIGHUP, SIGUSR1, SIGINT }; /* SIGINT of a Ctrl-C is for the master to act on */
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
	struct epoll_event events[IN_HAND];
	int64_t deadline = INT64_MAX;

	epoll_ctl(loop->epoll, EPOLL_CTL_ADD, loop->signals, &(struct epoll_event){ .events = EPOLLIN, .data.ptr = loop });
	while (!loop->stopping || loop->connections > 0) {
		if (loop->stopping && deadline == INT64_MAX) {
			epoll_ctl(loop->epoll, EPOLL_CTL_DEL, loop->signals, NULL);
			deadline = clock_us() + (int64_t)loop->worker->conf->drain_timeout * 1000000;
			listen_more(loop, false);
			close(loop->worker->listener); /* or a new master would find the socket still listened on */
		}
		if (clock_us() > deadline)
			break;
		int most = most_in_hand(loop);
		make_room(loop, most - 1);
		log_flush(&loop->log_held);
		share_listening(loop);
		watch_database(loop);
		int patience = db_patience(loop->service.db);
		/* As many as there is room for: what is given goes to the end of epoll's queue, taken or not, and loses its turn. */
		int count = epoll_wait(loop->epoll, events, most - loop->in_hand,
		    patience < 0 || patience > IDLE_CHECK ? IDLE_CHECK : patience);
		meter_accepts(loop->service.meter, false);
		handle_events(loop, events, count);
		if (patience == 0)
			db_receive(loop->service.db);
		if (count == 0 && loop->in_hand == 0) {
			/* Idle: find a lost database again, or renew an old connection, before a request needs it. */
			db_ready(loop->service.db);
			minute_record(&loop->service, loop->slots[0].arena);
			keep_spare(loop);
			loop->full = loop->connections >= loop->most_connections || loop->spare < 0;
		}
	}
	make_room(loop, 0);
}

int
worker_prepare(struct service *service, const struct conf *conf, enum pool pool, const struct meter *meter,
    struct troubles *troubles, struct endpoint endpoints[], char *error, size_t error_size)
{
	const struct db_settings settings = {
		.conninfo = conf->database,
		.connect_timeout = conf->connect_timeout,
		.statement_timeout = conf->statement_timeout,
		.connection_lifetime = conf->connection_lifetime,
		.schema_version = SCHEMA_VERSION,
		.tables = api_statements[pool],
		.meter = meter,
		.troubles = troubles,
	};

	api_endpoints(endpoints);
	*service = (struct service){ .conf = conf, .meter = meter, .troubles = troubles, .pool = pool, .endpoints = endpoints };
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

static void
prepare_slot(struct slot *slot, bool secret)
{
	slot->arena = arena_new();
	if (!secret)
		return;
	arena_keep_secrets(slot->arena);
	response_wipe(&slot->response);
}

/* Once the first connection has been tried: by now most of what libraries read and load but once is there. */
static int
confine(const struct loop *loop)
{
	char error[256];

	if (!loop->worker->conf->sandbox)
		return 0;
	if (sandbox_enter(db_is_remote(loop->service.db), error, sizeof(error)) == 0)
		return 0;
	log_write(LOG_LEVEL_ERROR, "sandbox", "%s", error);
	return -1;
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
	/* Hashing, exports and imports take what the API leaves; whatever priority the service itself was given. */
	errno = 0;
	if (worker->pool != POOL_API && nice(BACKGROUND_NICE) == -1 && errno != 0)
		log_write(LOG_LEVEL_WARNING, "worker", "cannot lower the priority: %s", strerror(errno));
	meter_init(&meter, worker->metrics, worker->place, worker->pool);
	if (worker_prepare(&loop.service, worker->conf, worker->pool, &meter, worker->troubles, endpoints, error, sizeof(error)) != 0) {
		log_write(LOG_LEVEL_ERROR, "worker", "%s", error);
		return 1;
	}
	fcgi_init();
	for (int i = 0; i < IN_HAND; i++)
		prepare_slot(&loop.slots[i], worker->pool == POOL_AUTH);
	loop.epoll = epoll_create1(EPOLL_CLOEXEC);
	loop.spare = -1;
	keep_spare(&loop);
	loop.most_connections = worker->conf->worker_connections;
	db_ready(loop.service.db);
	if (confine(&loop) != 0)
		return 1;
	atomic_store(worker->ready, true);
	run_loop(&loop);
	log_flush(&loop.log_held);
	worker_release(&loop.service);
	for (int i = 0; i < IN_HAND; i++) {
		response_free(&loop.slots[i].response);
		arena_free(loop.slots[i].arena);
	}
	buffer_free(&loop.log_line);
	buffer_free(&loop.log_held);
	close(loop.epoll);
	close(loop.signals);
	return 0;
}
