/*
 * Requests: the FastCGI parameters and the body of a well-formed request, through libfcgi, request.c, route.c,
 * auth.c, endpoint.c and every endpoint's tables, up to a database that is away.
 *
 * The input reads like HTTP: method and address, headers, an empty line, the body. A first line "@auth" or "@bulk"
 * chooses the pool. "T" after "Bearer " stands for a token of the service's own.
 *
 * Holds for every input: exactly one answer; a status that the product has, and never 500; no control character in a
 * header, and none twice; a body as long as it says; JSON that parses where JSON is announced; a problem that repeats
 * the status and the request's id; no body for HEAD.
 */
#include "fuzz.h"

#include <ctype.h>
#include <stdlib.h>
#include <strings.h>

#include "json.h"

enum { STDOUT = 6, STDERR = 7, END = 3, HEADER = 8, MAX_HEADERS = 32 };

struct reply {
	int status;
	struct slice names[MAX_HEADERS];
	struct slice values[MAX_HEADERS];
	int count;
	struct slice body;
};

/* ---- the request ---- */

static void
add_header(struct buffer *params, struct slice line)
{
	char name[128] = "HTTP_";
	const char *colon = line.len == 0 ? NULL : memchr(line.data, ':', line.len);
	size_t at = 5;

	size_t len = colon == NULL ? 0 : (size_t)(colon - line.data);
	if (colon == NULL || len > 100)
		return;
	if (memchr(line.data, '=', len) != NULL) /* libfcgi would take what is before it for the name, and nginx sends no such */
		return;
	for (const char *c = line.data; c < colon; c++)
		name[at++] = *c == '-' ? '_' : (char)toupper((unsigned char)*c);
	struct slice value = { colon + 1, line.len - (size_t)(colon + 1 - line.data) };
	while (value.len > 0 && value.data[0] == ' ')
		value = (struct slice){ value.data + 1, value.len - 1 };
	if (strcmp(name + 5, "REQUEST_METHOD") == 0) /* there is one */
		return;
	bool plain = strncmp(name + 5, "CONTENT_", 8) == 0 || strncmp(name + 5, "REQUEST_", 8) == 0;
	if (slice_is(value, "Bearer T"))
		value = slice_of(arena_printf(fuzz_arena(), "Bearer %s", fuzz_token()));
	fuzz_param(params, slice_of(plain ? name + 5 : name), value);
}

static void
write_request(struct buffer *out, struct slice input, bool *head)
{
	static const char begin[8] = { 0, 1, 0, 0, 0, 0, 0, 0 };
	struct buffer params = { 0 };
	struct slice line = fuzz_line(&input);
	const char *space = line.len == 0 ? NULL : memchr(line.data, ' ', line.len);
	size_t method = space == NULL ? line.len : (size_t)(space - line.data);

	*head = strnlen(line.data, method) == 4 && memcmp(line.data, "HEAD", 4) == 0; /* parameters are C strings */
	fuzz_param(&params, SLICE("REQUEST_METHOD"), (struct slice){ line.data, method });
	if (space != NULL)
		fuzz_param(&params, SLICE("REQUEST_URI"), (struct slice){ space + 1, line.len - method - 1 });
	while (input.len > 0 && (line = fuzz_line(&input)).len > 0)
		add_header(&params, line);
	char *length = arena_printf(fuzz_arena(), "%zu", input.len);
	fuzz_param(&params, SLICE("CONTENT_LENGTH"), slice_of(length));
	fuzz_record(out, 1, 1, (struct slice){ begin, sizeof(begin) });
	for (size_t at = 0, step; at < params.len; at += step) {
		step = params.len - at > 60000 ? 60000 : params.len - at;
		fuzz_record(out, 4, 1, (struct slice){ params.data + at, step });
	}
	fuzz_record(out, 4, 1, SLICE(""));
	for (size_t at = 0, step; at < input.len; at += step) {
		step = input.len - at > 60000 ? 60000 : input.len - at;
		fuzz_record(out, 5, 1, (struct slice){ input.data + at, step });
	}
	fuzz_record(out, 5, 1, SLICE(""));
	buffer_free(&params);
}

/* ---- the answer ---- */

/* Joins the records of the answer's stream; the last one must say that the request is complete. */
static void
join_records(struct slice records, struct buffer *out)
{
	bool ended = false;

	while (records.len > 0) {
		const uint8_t *header = (const uint8_t *)records.data;
		HOLDS(records.len >= HEADER && !ended && header[0] == 1);
		size_t len = (size_t)header[4] << 8 | header[5];
		HOLDS(records.len >= HEADER + len + header[6]);
		HOLDS(header[1] == STDOUT || header[1] == STDERR || header[1] == END);
		if (header[1] == STDOUT)
			buffer_append(out, records.data + HEADER, len);
		ended = header[1] == END;
		HOLDS(!ended || memcmp(records.data + HEADER, "\0\0\0\0\0", 5) == 0);
		records.data += HEADER + len + header[6];
		records.len -= HEADER + len + header[6];
	}
	HOLDS(ended);
}

static struct slice
find(const struct reply *reply, const char *name)
{
	struct slice found = { 0 };

	for (int i = 0; i < reply->count; i++) {
		if (reply->names[i].len != strlen(name) || strncasecmp(reply->names[i].data, name, strlen(name)) != 0)
			continue;
		HOLDS(found.data == NULL);
		found = reply->values[i];
	}
	return found;
}

static void
split_reply(struct slice text, struct reply *reply)
{
	for (;;) {
		struct slice line = fuzz_line(&text);
		HOLDS(line.len > 0 && line.data[line.len - 1] == '\r' && reply->count < MAX_HEADERS);
		line.len--;
		if (line.len == 0)
			break;
		for (size_t i = 0; i < line.len; i++)
			HOLDS((unsigned char)line.data[i] >= 0x20 && line.data[i] != 0x7f);
		const char *colon = memchr(line.data, ':', line.len);
		HOLDS(colon != NULL && colon > line.data && colon + 1 < line.data + line.len && colon[1] == ' ');
		size_t name = (size_t)(colon - line.data);
		reply->names[reply->count] = (struct slice){ line.data, name };
		reply->values[reply->count++] = (struct slice){ colon + 2, line.len - name - 2 };
	}
	reply->body = text;
}

static void
check_json(const struct reply *reply, bool problem)
{
	const char *error;
	int64_t status;
	const struct json *body = json_parse(fuzz_arena(), reply->body.data, reply->body.len, &error);

	HOLDS(body != NULL);
	if (!problem)
		return;
	HOLDS(json_integer(json_get(body, "status"), &status) && status == reply->status);
	HOLDS(json_string(json_get(body, "title")).len > 0 && json_string(json_get(body, "detail")).len > 0);
	HOLDS(json_string(json_get(body, "instance")).len > 0);
}

static void
check_reply(const struct reply *reply, bool head)
{
	static const int known[] = { 200, 204, 304, 400, 401, 404, 405, 406, 412, 413, 415, 421, 422, 503 };
	struct slice type = find(reply, "Content-Type");
	struct slice length = find(reply, "Content-Length");
	bool found = false;

	for (size_t i = 0; i < COUNT_OF(known); i++)
		found = found || known[i] == reply->status;
	HOLDS(found);
	HOLDS((reply->status == 401) == (find(reply, "WWW-Authenticate").data != NULL));
	HOLDS((reply->status == 503) == (find(reply, "Retry-After").data != NULL));
	HOLDS(find(reply, "Cache-Control").len > 0);
	HOLDS((type.data == NULL) == (length.data == NULL));
	if (type.data == NULL || head) {
		HOLDS(reply->body.len == 0);
		return;
	}
	HOLDS(strtoul(length.data, NULL, 10) == reply->body.len);
	bool problem = slice_is(type, "application/problem+json");
	HOLDS(problem == (reply->status >= 400));
	if (problem || slice_is(type, "application/json"))
		check_json(reply, problem);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice input = { (const char *)data, size };
	struct buffer sent = { 0 }, records = { 0 }, text = { 0 };
	enum pool pool = POOL_API;
	struct reply reply = { 0 };
	bool head;

	if (size > 6 && memcmp(data, "@auth\n", 6) == 0)
		pool = POOL_AUTH;
	if (size > 6 && memcmp(data, "@bulk\n", 6) == 0)
		pool = POOL_BULK;
	if (pool != POOL_API)
		fuzz_line(&input);
	write_request(&sent, input, &head);
	if (fuzz_serve(pool, (struct slice){ sent.data, sent.len }, &records) == 1) {
		join_records((struct slice){ records.data, records.len }, &text);
		buffer_putc(&text, '\0'); /* ends what strtoul() reads */
		split_reply((struct slice){ text.data, text.len - 1 }, &reply);
		struct slice status = find(&reply, "Status");
		HOLDS(status.data != NULL);
		reply.status = atoi(status.data);
		check_reply(&reply, head);
	}
	arena_reset(fuzz_arena());
	buffer_free(&sent);
	buffer_free(&records);
	buffer_free(&text);
	return 0;
}
