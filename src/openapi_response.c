#include "openapi_response.h"

#include <stdio.h>

#include "endpoint.h"
#include "list.h"
#include "openapi_row.h"
#include "response.h"
#include "writer.h"

/* In the words of nginx/jobforge.conf.in. */
const struct problem_kind openapi_web_server_problems[] = {
	{ 429, "too-many-requests", "Too many requests",
	    "Too many requests from this address. Wait a moment and try again." },
	{ 502, "bad-gateway", "No answer",
	    "The worker that had the request is gone. If it changes something, look whether it did before trying again." },
	{ 504, "gateway-timeout", "No answer in time",
	    "The answer took too long. If the request changes something, look whether it did before trying again." },
	{ 0 },
};

/* ---- successes ---- */

static const struct endpoint *
list_at(const struct endpoint *endpoints, const char *path)
{
	for (; endpoints->path != NULL; endpoints++)
		if (endpoints->answer == ANSWER_LIST && strcmp(endpoints->path, path) == 0)
			return endpoints;
	return NULL;
}

static void
write_header(struct writer *writer, const char *name)
{
	openapi_write_reference(writer, name, "headers", name);
}

static void
write_headers(struct writer *writer, const struct endpoint *endpoint, int status)
{
	writer_object(writer, "headers");
	write_header(writer, "X-Request-Id");
	if (openapi_row_has_etag(endpoint))
		openapi_write_reference(writer, "ETag", "headers", endpoint->bulk != NULL ? "ETag-of-one" : "ETag");
	if (endpoint->answer == ANSWER_CREATED && status == 201)
		openapi_write_reference(writer, "Location", "headers", endpoint->bulk != NULL ? "Location-of-one" : "Location");
	if (openapi_row_creates(endpoint))
		write_header(writer, "Idempotency-Replayed");
	if (endpoint->answer == ANSWER_LIST)
		write_header(writer, "Link");
	writer_end(writer);
}

static void
write_page(struct writer *writer, const char *row)
{
	writer_object(writer, "schema");
	writer_string(writer, "type", "object");
	writer_object(writer, "properties");
	openapi_write_array(writer, "data", row, 0);
	writer_object(writer, "next");
	writer_string(writer, "description", "The cursor of the next page; null on the last.");
	writer_array(writer, "type");
	writer_string(writer, NULL, "string");
	writer_string(writer, NULL, "null");
	writer_end(writer);
	writer_end(writer);
	writer_object(writer, "total");
	writer_string(writer, "description", "How many rows match; only with count=exact.");
	writer_string(writer, "type", "integer");
	writer_integer(writer, "minimum", 0);
	writer_end(writer);
	writer_end(writer);
	writer_array(writer, "required");
	writer_string(writer, NULL, "data");
	writer_string(writer, NULL, "next");
	writer_end(writer);
	writer_bool(writer, "additionalProperties", false);
	writer_end(writer);
}

static void
write_rows(struct writer *writer, const char *name, const char *about)
{
	writer_object(writer, NULL);
	writer_string(writer, "description", about);
	writer_string(writer, "type", "object");
	writer_object(writer, "properties");
	openapi_write_array(writer, "data", name, 0);
	writer_end(writer);
	writer_array(writer, "required");
	writer_string(writer, NULL, "data");
	writer_end(writer);
	writer_bool(writer, "additionalProperties", false);
	writer_end(writer);
}

/* One row; or for an array those created; or for a sheet those created as they are listed. */
static void
write_created(struct writer *writer, const struct endpoint *endpoints, const struct endpoint *endpoint, const char *row)
{
	const struct endpoint *listed = list_at(endpoints, endpoint->path);
	char item[OPENAPI_NAME];

	writer_object(writer, "schema");
	writer_array(writer, "oneOf");
	openapi_write_reference(writer, NULL, "schemas", row);
	write_rows(writer, row, "All that an array created.");
	if (endpoint->sheet != NULL && listed != NULL) {
		openapi_row_answer_name(item, endpoints, listed);
		write_rows(writer, item, "All that a sheet created, as they are listed.");
	}
	writer_end(writer);
	writer_end(writer);
}

static void
write_answer(struct writer *writer, const struct endpoint *endpoints, const struct endpoint *endpoint)
{
	char name[OPENAPI_NAME];

	if (endpoint->media != NULL) {
		openapi_write_text(writer, endpoint->media, endpoint->about);
		return;
	}
	writer_object(writer, MEDIA_JSON);
	if (endpoint->answers == NULL) {
		writer_object(writer, "schema");
		writer_string(writer, "type", "object");
		writer_end(writer);
	} else {
		openapi_row_answer_name(name, endpoints, endpoint);
		if (endpoint->answer == ANSWER_LIST)
			write_page(writer, name);
		else if (endpoint->bulk != NULL)
			write_created(writer, endpoints, endpoint, name);
		else
			openapi_write_reference(writer, "schema", "schemas", name);
	}
	writer_end(writer);
}

static void
write_success(struct writer *writer, const struct endpoint *endpoints, const struct endpoint *endpoint, int status,
    const char *about)
{
	char code[16];

	snprintf(code, sizeof(code), "%d", status);
	writer_object(writer, code);
	writer_string(writer, "description", about);
	write_headers(writer, endpoint, status);
	if (status == 200 || status == 201) {
		writer_object(writer, "content");
		write_answer(writer, endpoints, endpoint);
		for (const struct representation *form = endpoint->representations; form != NULL && form->media != NULL; form++)
			openapi_write_text(writer, form->media, "The same in another form, chosen by Accept.");
		if (endpoint->list != NULL && endpoint->list->sheet != NULL)
			openapi_write_text(writer, "text/csv", "All rows as a sheet (RFC 4180), chosen by format=csv or by Accept.");
		writer_end(writer);
	}
	writer_end(writer);
}

static void
write_successes(struct writer *writer, const struct endpoint *endpoints, const struct endpoint *endpoint)
{
	static const char *const abouts[] = { [ANSWER_ROW] = "Done.", [ANSWER_CREATED] = "Created.",
		[ANSWER_PUT] = "Replaced.", [ANSWER_LIST] = "A page.", [ANSWER_EMPTY] = "Done; there is nothing to say." };
	static const int statuses[] = { [ANSWER_ROW] = 200, [ANSWER_CREATED] = 201, [ANSWER_PUT] = 200, [ANSWER_LIST] = 200,
		[ANSWER_EMPTY] = 204 };

	write_success(writer, endpoints, endpoint, statuses[endpoint->answer], abouts[endpoint->answer]);
	if (endpoint->answer == ANSWER_PUT)
		write_success(writer, endpoints, endpoint, 201, "Created.");
	if (endpoint->method == HTTP_GET && openapi_row_has_etag(endpoint))
		write_success(writer, endpoints, endpoint, 304, "If-None-Match has the current version.");
}

/* ---- errors ---- */

static void
add(bool possible[PROBLEM_COUNT], bool when, enum problem problem)
{
	if (when)
		possible[problem] = true;
}

/* What a row may be refused with, by what the engine does for it. */
static void
gather_problems(bool possible[PROBLEM_COUNT], const struct endpoint *endpoint)
{
	bool body = openapi_row_body(endpoint) != NULL;
	bool one = endpoint->handler == NULL && endpoint->answer != ANSWER_LIST && !openapi_row_creates(endpoint);

	for (int i = 0; i < ENDPOINT_MAX_PROBLEMS; i++)
		possible[endpoint->problems[i]] = true;
	possible[PROBLEM_BAD_REQUEST] = body || openapi_row_heeds_if_match(endpoint) || openapi_row_creates(endpoint);
	add(possible, true, PROBLEM_BAD_QUERY);
	add(possible, body, PROBLEM_BAD_JSON);
	add(possible, endpoint->sheet != NULL, PROBLEM_BAD_CSV);
	add(possible, endpoint->list != NULL, PROBLEM_BAD_CURSOR);
	add(possible, endpoint->access == ACCESS_USER, PROBLEM_UNAUTHORIZED);
	add(possible, endpoint->access == ACCESS_USER, PROBLEM_ACCOUNT_DISABLED);
	add(possible, one || strchr(endpoint->path, '{') != NULL, PROBLEM_NOT_FOUND);
	add(possible, endpoint->representations != NULL, PROBLEM_NOT_ACCEPTABLE);
	add(possible, openapi_row_creates(endpoint), PROBLEM_IDEMPOTENCY_BUSY);
	add(possible, openapi_row_creates(endpoint), PROBLEM_IDEMPOTENCY_MISMATCH);
	add(possible, openapi_row_heeds_if_match(endpoint), PROBLEM_PRECONDITION_FAILED);
	add(possible, body, PROBLEM_TOO_LARGE);
	add(possible, body, PROBLEM_UNSUPPORTED_MEDIA_TYPE);
	add(possible, body, PROBLEM_VALIDATION);
	add(possible, true, PROBLEM_INTERNAL);
	add(possible, true, PROBLEM_UNAVAILABLE);
	add(possible, !endpoint_is_patient(endpoint), PROBLEM_OVERLOADED);
}

static void
write_error_headers(struct writer *writer, int status)
{
	writer_object(writer, "headers");
	write_header(writer, "X-Request-Id");
	if (status == 401)
		write_header(writer, "WWW-Authenticate");
	if (status == 429 || status == 503)
		write_header(writer, "Retry-After");
	writer_end(writer);
}

/* All problems of one status, each as an example. */
static void
write_error(struct writer *writer, const struct problem_kind *const kinds[], int count, int status)
{
	const char *title = NULL;
	char code[16];

	for (int i = 0; i < count && title == NULL; i++)
		title = kinds[i]->status == status ? kinds[i]->title : NULL;
	snprintf(code, sizeof(code), "%d", status);
	writer_object(writer, code);
	writer_string(writer, "description", title);
	write_error_headers(writer, status);
	writer_object(writer, "content");
	writer_object(writer, "application/problem+json");
	openapi_write_reference(writer, "schema", "schemas", "Problem");
	writer_object(writer, "examples");
	for (int i = 0; i < count; i++)
		if (kinds[i]->status == status)
			openapi_write_reference(writer, kinds[i]->slug, "examples", kinds[i]->slug);
	writer_end(writer);
	writer_end(writer);
	writer_end(writer);
	writer_end(writer);
}

static void
write_errors(struct writer *writer, const struct endpoint *endpoint)
{
	enum { WEB_SERVER_MAX = 8 };
	const struct problem_kind *kinds[PROBLEM_COUNT + WEB_SERVER_MAX];
	bool possible[PROBLEM_COUNT] = { false };
	int count = 0;

	gather_problems(possible, endpoint);
	for (int i = 0; i < PROBLEM_COUNT; i++)
		if (possible[i])
			kinds[count++] = problem_kind((enum problem)i);
	for (const struct problem_kind *kind = openapi_web_server_problems; kind->slug != NULL; kind++)
		kinds[count++] = kind;
	for (int status = 400; status < 600; status++)
		for (int i = 0; i < count; i++)
			if (kinds[i]->status == status) {
				write_error(writer, kinds, count, status);
				break;
			}
	openapi_write_reference(writer, "default", "responses", "Problem");
}

void
openapi_response_write(struct writer *writer, const struct endpoint *endpoints, const struct endpoint *endpoint)
{
	writer_object(writer, "responses");
	write_successes(writer, endpoints, endpoint);
	write_errors(writer, endpoint);
	writer_end(writer);
}
