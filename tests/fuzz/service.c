#include "fuzz.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "auth.h"
#include "conf.h"
#include "encode.h"
#include "fcgi.h"
#include "metrics.h"
#include "request.h"
#include "response.h"
#include "route.h"
#include "worker.h"

/* ---- a service ---- */

static void
load_conf(struct conf *conf)
{
	char secret[BASE64URL_TEXT(sizeof(fuzz_key)) + 1], line[128], keys[FUZZ_PATH], flag[64], error[256];
	char database[] = "--database=host=/nonexistent", cost[] = "--bcrypt-cost=4";

	base64url_encode(secret, fuzz_key, sizeof(fuzz_key));
	snprintf(line, sizeof(line), FUZZ_KEY_ID " %s\n", secret);
	fuzz_file(0, slice_of(line), keys);
	snprintf(flag, sizeof(flag), "--token-keys=%s", keys);
	HOLDS(conf_load(conf, NULL, (char *const[]){ flag, database, cost }, 3, error, sizeof(error)) == 0);
}

const struct service *
fuzz_service(enum pool pool)
{
	static struct endpoint endpoints[POOL_COUNT][API_MAX_ENDPOINTS];
	static struct service services[POOL_COUNT];
	static struct meter meters[POOL_COUNT];
	static struct metrics *metrics;
	static struct conf conf;
	struct service *service = &services[pool];
	char error[512];

	if (metrics == NULL) {
		metrics = metrics_new(POOL_COUNT);
		load_conf(&conf);
	}
	if (service->conf == NULL) {
		meter_init(&meters[pool], metrics, (int)pool, (int)pool);
		HOLDS(worker_prepare(service, &conf, pool, &meters[pool], NULL, endpoints[pool], error, sizeof(error)) == 0);
	}
	return service;
}

const char *
fuzz_token(void)
{
	const struct service *service = fuzz_service(POOL_API);
	const char *token =
	    token_sign(fuzz_arena(), service->keys, &service->token_policy, FUZZ_USER, (int64_t)time(NULL));

	HOLDS(token != NULL);
	return token;
}

/* ---- a connection ---- */

static bool
serve_one(const struct service *service, struct response *response, struct fcgi *conn)
{
	struct request request;
	struct call call = { .service = service, .arena = fuzz_arena(), .request = &request, .response = response,
		.conn = conn };

	response_reset(response);
	request_read(&request, conn, fuzz_arena(), service->pool == POOL_BULK);
	int status = route_find(&call);
	if (status == 0 && call.endpoint->pool != service->pool)
		status = response_problem(response, &request, PROBLEM_MISDIRECTED, NULL, NULL);
	if (status == 0)
		status = auth_check(&call);
	if (status == 0)
		status = endpoint_run(&call);
	HOLDS(status == response->status);
	if (request.stream != NULL)
		request_drain(request.stream);
	if (!response->broken)
		response_send(response, &request, conn);
	bool whole = !response->broken && !request.unread;
	int kept = fcgi_finish(conn);
	arena_reset(fuzz_arena());
	return whole && kept == 0;
}

static void
read_all(int fd, struct buffer *out)
{
	enum { CHUNK = 64 * 1024 };
	ssize_t got;

	while ((got = read(fd, buffer_reserve(out, CHUNK), CHUNK)) > 0)
		out->len += (size_t)got;
}

int
fuzz_serve(enum pool pool, struct slice sent, struct buffer *answer)
{
	enum { TIMEOUT = 2000 };
	static struct response response;
	static bool ready;
	int ends[2], room = 8 * 1024 * 1024, answered = 0;

	if (!ready)
		fcgi_init();
	ready = true;
	HOLDS(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
	for (int i = 0; i < 2; i++) /* nobody reads while the other writes */
		if (setsockopt(ends[i], SOL_SOCKET, SO_SNDBUFFORCE, &room, sizeof(room)) != 0)
			(void)setsockopt(ends[i], SOL_SOCKET, SO_SNDBUF, &room, sizeof(room));
	struct fcgi *conn = fcgi_open(ends[1], TIMEOUT);
	if (send(ends[0], sent.data, sent.len, MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t)sent.len) {
		shutdown(ends[0], SHUT_WR);
		for (bool kept = true; kept && fcgi_receive(conn) == 0; answered++)
			kept = serve_one(fuzz_service(pool), &response, conn);
	}
	fcgi_close(conn);
	read_all(ends[0], answer);
	close(ends[0]);
	return answered;
}

void
fuzz_record(struct buffer *out, uint8_t type, uint16_t id, struct slice content)
{
	const uint8_t header[] = { 1, type, (uint8_t)(id >> 8), (uint8_t)id, (uint8_t)(content.len >> 8),
		(uint8_t)content.len, 0, 0 };

	buffer_append(out, (const char *)header, sizeof(header));
	buffer_append(out, content.data, content.len);
}

static void
put_length(struct buffer *out, size_t len)
{
	for (int shift = 24; len > 127 && shift > 0; shift -= 8)
		buffer_putc(out, (char)((len >> shift) | (shift == 24 ? 0x80 : 0)));
	buffer_putc(out, (char)len);
}

void
fuzz_param(struct buffer *out, struct slice name, struct slice value)
{
	put_length(out, name.len);
	put_length(out, value.len);
	buffer_append(out, name.data, name.len);
	buffer_append(out, value.data, value.len);
}
