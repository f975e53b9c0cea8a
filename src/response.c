#include "response.h"

#include <stdarg.h>
#include <stdio.h>

#include "fcgi.h"
#include "http.h"
#include "json.h"
#include "request.h"

const char MEDIA_JSON[] = "application/json";
static const char MEDIA_PROBLEM[] = "application/problem+json";

void
response_reset(struct response *response)
{
	response->status = 200;
	response->content_type = MEDIA_JSON;
	response->cacheable = false;
	response->unsized = false;
	response->started = false;
	response->broken = false;
	response->sent = 0;
	buffer_clear(&response->headers);
	buffer_clear(&response->body);
}

void
response_free(struct response *response)
{
	buffer_free(&response->head);
	buffer_free(&response->headers);
	buffer_free(&response->body);
}

void
response_header(struct response *response, const char *name, const char *value_format, ...)
{
	char value[2560];
	va_list args;

	va_start(args, value_format);
	(void)vsnprintf(value, sizeof(value), value_format, args);
	va_end(args);
	buffer_puts(&response->headers, name);
	BUFFER_LITERAL(&response->headers, ": ");
	buffer_puts(&response->headers, value);
	BUFFER_LITERAL(&response->headers, "\r\n");
	explicit_bzero(value, strlen(value)); /* it may be a cookie */
}

static void
wipe_part(struct buffer *part)
{
	enum { ROOM = 16 * 1024 };

	part->len = 0;
	buffer_reserve(part, ROOM);
	explicit_bzero(part->data, part->capacity);
}

void
response_wipe(struct response *response)
{
	wipe_part(&response->head);
	wipe_part(&response->headers);
	wipe_part(&response->body);
}

static void
write_member(struct buffer *out, const char *name, const char *value)
{
	buffer_printf(out, ",\"%s\":", name);
	json_write_string(out, value, strlen(value));
}

static void
write_faults(struct buffer *out, const struct faults *faults)
{
	if (faults == NULL || faults->first == NULL)
		return;
	BUFFER_LITERAL(out, ",\"errors\":[");
	for (const struct fault *fault = faults->first; fault != NULL; fault = fault->next) {
		BUFFER_LITERAL(out, "{\"pointer\":");
		json_write_string(out, fault->pointer, strlen(fault->pointer));
		write_member(out, "detail", fault->detail);
		buffer_puts(out, fault->next == NULL ? "}" : "},");
	}
	BUFFER_LITERAL(out, "]");
}

static void
write_limit(struct buffer *out, const struct faults *faults)
{
	if (faults == NULL || faults->limit.name == NULL)
		return;
	buffer_printf(out, ",\"limit\":{\"name\":\"%s\",\"allowed\":%lld,\"used\":%lld}", faults->limit.name,
	    faults->limit.allowed, faults->limit.used);
}

int
response_problem(struct response *response, const struct request *request, enum problem problem,
    const struct faults *faults, const char *detail)
{
	const struct problem_kind *kind = problem_kind(problem);
	struct buffer *out = &response->body;

	response->status = kind->status;
	response->content_type = MEDIA_PROBLEM;
	response->cacheable = false;
	response->unsized = false;
	buffer_clear(&response->headers);
	buffer_clear(out);
	buffer_printf(out, "{\"type\":\"/problems/%s\"", kind->slug);
	write_member(out, "title", kind->title);
	buffer_printf(out, ",\"status\":%d", kind->status);
	write_member(out, "detail", detail == NULL ? kind->detail : detail);
	write_member(out, "instance", request->id);
	write_faults(out, faults);
	write_limit(out, faults);
	BUFFER_LITERAL(out, "}");
	if (kind->status == 401)
		response_header(response, "WWW-Authenticate", "Bearer%s",
		    problem == PROBLEM_UNAUTHORIZED && request->authorization.len > 0 ? " error=\"invalid_token\"" : "");
	if (kind->status == 503)
		response_header(response, "Retry-After", "1");
	return kind->status;
}

/* Status, type, length and the other header lines. */
static void
write_head(const struct response *response, struct buffer *out)
{
	buffer_printf(out, "Status: %d %s\r\nCache-Control: %s\r\n", response->status, http_reason(response->status),
	    response->cacheable ? "private, no-cache" : "no-store");
	if (response->content_type != NULL)
		buffer_printf(out, "Content-Type: %s\r\n", response->content_type);
	if (response->content_type != NULL && !response->unsized)
		buffer_printf(out, "Content-Length: %zu\r\n", response->body.len);
	buffer_append(out, response->headers.data, response->headers.len);
	BUFFER_LITERAL(out, "\r\n");
}

/* Sends what there is by now, the head the first time; with `last` that is all. */
static void
send_more(struct response *response, const struct request *request, struct fcgi *conn, bool last)
{
	bool has_body = request->method != HTTP_HEAD && response->content_type != NULL;
	struct slice parts[2];
	int count = 0;

	if (!response->started) {
		buffer_clear(&response->head);
		write_head(response, &response->head);
		parts[count++] = (struct slice){ response->head.data, response->head.len };
	}
	if (has_body)
		parts[count++] = (struct slice){ response->body.data, response->body.len };
	if (fcgi_send(conn, parts, count, last) != 0)
		response->broken = true;
	response->started = true;
	response->sent += response->body.len;
	buffer_clear(&response->body);
}

int
response_advance(struct response *response, const struct request *request, struct fcgi *conn)
{
	enum { PIECE = 64 * 1024 };

	if (response->body.len < PIECE)
		return 0;
	send_more(response, request, conn, false);
	return response->broken ? -1 : 0;
}

void
response_send(struct response *response, const struct request *request, struct fcgi *conn)
{
	send_more(response, request, conn, true);
}
