#include "request.h"

#include <stdlib.h>
#include <time.h>

#include "arena.h"
#include "crypto.h"
#include "encode.h"
#include "fcgi.h"

struct parameters {
	struct slice method;
	struct slice request_id;
	struct slice content_length;
	struct slice sent_at;
};

/* The parameters that nginx/jobforge.conf.in sends; anything else is passed over. */
static void
take_parameter(struct request *request, struct parameters *parameters, const char *parameter)
{
	const struct {
		struct slice name;
		struct slice *value;
	} known[] = {
		{ SLICE("REQUEST_METHOD="), &parameters->method },
		{ SLICE("REQUEST_URI="), &request->uri },
		{ SLICE("REQUEST_ID="), &parameters->request_id },
		{ SLICE("REQUEST_SENT="), &parameters->sent_at },
		{ SLICE("CONTENT_TYPE="), &request->content_type },
		{ SLICE("CONTENT_LENGTH="), &parameters->content_length },
		{ SLICE("HTTP_AUTHORIZATION="), &request->authorization },
		{ SLICE("HTTP_IF_MATCH="), &request->if_match },
		{ SLICE("HTTP_IF_NONE_MATCH="), &request->if_none_match },
		{ SLICE("HTTP_IDEMPOTENCY_KEY="), &request->idempotency_key },
		{ SLICE("HTTP_ACCEPT="), &request->accept },
		{ SLICE("HTTP_COOKIE="), &request->cookie },
		{ SLICE("HTTP_X_REQUESTED_WITH="), &request->requested_with },
	};

	for (size_t i = 0; i < COUNT_OF(known); i++) {
		if (strncmp(parameter, known[i].name.data, known[i].name.len) == 0) {
			*known[i].value = slice_of(parameter + known[i].name.len);
			return;
		}
	}
}

static void
split_uri(struct request *request)
{
	const char *mark = request->uri.len == 0 ? NULL : memchr(request->uri.data, '?', request->uri.len);

	request->path = request->uri;
	if (mark == NULL)
		return;
	request->path.len = (size_t)(mark - request->uri.data);
	request->query = (struct slice){ mark + 1, request->uri.len - request->path.len - 1 };
}

/* The web server's id when it is one, else a new one: the log and the answer must never carry a stranger's bytes. */
static void
take_id(struct request *request, struct slice id)
{
	static const char allowed[] = "0123456789abcdefABCDEFGHIJKLMNOPQRSTUVWXYZghijklmnopqrstuvwxyz-_.";
	uint8_t random[16];

	if (id.len > 0 && id.len <= REQUEST_ID_MAX && strspn(id.data, allowed) == id.len) {
		memcpy(request->id, id.data, id.len + 1);
		return;
	}
	crypto_random(random, sizeof(random));
	hex_encode(request->id, random, sizeof(random));
}

static size_t
body_limit(const struct request *request)
{
	static const struct slice auth = SLICE("/api/v1/auth/");

	if (request->path.len >= auth.len && memcmp(request->path.data, auth.data, auth.len) == 0)
		return REQUEST_AUTH_BODY_MAX;
	return http_content_type_is(request->content_type, "text/csv") ? REQUEST_SHEET_BODY_MAX : REQUEST_BODY_MAX;
}

static void
read_body(struct request *request, struct request_stream *stream, struct arena *arena)
{
	char trash[16];

	if (stream->length > body_limit(request)) {
		request->fault = REQUEST_TOO_LARGE;
		request->unread = stream->length > REQUEST_SHEET_BODY_MAX;
		if (!request->unread)
			request_drain(stream);
		return;
	}
	char *body = arena_alloc(arena, stream->length + 1);
	size_t got = fcgi_read(stream->conn, body, stream->length);
	request->body = (struct slice){ body, got };
	if (got < stream->length)
		request->fault = REQUEST_CUT_OFF;
	/* libfcgi must have seen the end of the stream before the connection's next request. */
	else if (fcgi_read(stream->conn, trash, sizeof(trash)) != 0)
		request->fault = REQUEST_TOO_LARGE;
	request->unread = request->fault != REQUEST_COMPLETE;
}

/* Whether the length is one that any address takes. */
static bool
take_length(struct request_stream *stream, struct slice text)
{
	char *end = NULL;

	stream->length = text.len == 0 ? 0 : strtoul(text.data, &end, 10);
	return (end == NULL || *end == '\0') && stream->length <= REQUEST_BULK_BODY_MAX;
}

size_t
request_receive(struct request_stream *stream, char *out, size_t size)
{
	size_t got = fcgi_read(stream->conn, out, size);

	stream->received += got;
	return got;
}

void
request_drain(struct request_stream *stream)
{
	char trash[16384];

	while (request_receive(stream, trash, sizeof(trash)) > 0)
		;
}

/* Microseconds since a moment that nginx writes as seconds since 1970 with three decimals; below 0 without one. */
static int64_t
time_since(struct slice text)
{
	struct timespec now;
	char *end;

	if (text.len == 0)
		return -1;
	int64_t seconds = strtoll(text.data, &end, 10);
	int64_t milliseconds = *end == '.' ? strtoll(end + 1, NULL, 10) : 0;
	if (seconds < 0 || seconds > UINT32_MAX || milliseconds < 0 || milliseconds > 999)
		return -1;
	clock_gettime(CLOCK_REALTIME, &now);
	int64_t since = ((int64_t)now.tv_sec - seconds) * 1000000 + now.tv_nsec / 1000 - milliseconds * 1000;
	return since < 0 ? 0 : since; /* nginx looks at its clock once for several requests, and the clock may be set */
}

void
request_read(struct request *request, struct fcgi *conn, struct arena *arena, bool streamed)
{
	struct parameters parameters = { 0 };
	struct request_stream stream = { .conn = conn };

	*request = (struct request){ 0 };
	for (const char *const *parameter = fcgi_params(conn); *parameter != NULL; parameter++)
		take_parameter(request, &parameters, *parameter);
	request->method = http_method_of(parameters.method);
	split_uri(request);
	take_id(request, parameters.request_id);
	request->queued_us = time_since(parameters.sent_at);
	if (!take_length(&stream, parameters.content_length)) {
		request->fault = REQUEST_TOO_LARGE;
		request->unread = true;
	} else if (streamed) {
		request->stream = arena_alloc(arena, sizeof(stream));
		*request->stream = stream;
	} else {
		read_body(request, &stream, arena);
	}
}
