#include "openapi_operation.h"

#include <ctype.h>
#include <stdio.h>

#include "endpoint.h"
#include "fieldschema.h"
#include "list.h"
#include "response.h"
#include "sheet.h"
#include "writer.h"

const struct openapi_tag openapi_tags[] = {
	{ "embeddings", "/embedding", "What a model made of each document: 1536 numbers." },
	{ "embeddings", "/similar", "" },
	{ "documents", "/documents", "The research report, the optimised resume and the cover letter of an application." },
	{ "applications", "/applications", "Positions applied for." },
	{ "resumes", "/resumes", "The user's resumes, one of them the primary one." },
	{ "auth", "/auth", "Accounts and sessions." },
	{ "me", "/me", "The signed-in user, and all that is theirs." },
	{ "service", "/", "The service itself: health, and this description." },
	{ 0 },
};

/* In the words of nginx/jobforge.conf.in. */
const struct problem_kind openapi_web_server_problems[] = {
	{ 429, "too-many-requests", "Too many requests",
	    "Too many requests from this address. Wait a moment and try again." },
	{ 502, "bad-gateway", "No answer",
	    "No worker took the request. If it changes something, look whether it did before trying again." },
	{ 504, "gateway-timeout", "No answer in time",
	    "The answer took too long. If the request changes something, look whether it did before trying again." },
	{ 0 },
};

/* ---- what follows from a row ---- */

static const struct field *
body_fields(const struct endpoint *endpoint)
{
	return endpoint->body != NULL ? endpoint->body : endpoint->streamed;
}

static bool
is_creation(const struct endpoint *endpoint)
{
	return endpoint->answer == ANSWER_CREATED && endpoint->handler == NULL;
}

/* Whether the answer has an ETag: the statement says so by a column of that name. */
static bool
has_etag(const struct endpoint *endpoint)
{
	if (endpoint->answer == ANSWER_EMPTY || endpoint->answer == ANSWER_LIST)
		return false;
	return endpoint->handler != NULL ? endpoint->tagged : strstr(endpoint->statement->sql, "_etag") != NULL;
}

static bool
heeds_if_match(const struct endpoint *endpoint)
{
	bool changes = endpoint->method == HTTP_PUT || endpoint->method == HTTP_PATCH || endpoint->method == HTTP_DELETE;

	return changes && (endpoint->handler == NULL || endpoint->tagged);
}

static bool
heeds_if_none_match(const struct endpoint *endpoint)
{
	return endpoint->method == HTTP_GET ? has_etag(endpoint) : endpoint->method == HTTP_PUT;
}

static const struct endpoint *
list_at(const struct endpoint *endpoints, const char *path)
{
	for (; endpoints->path != NULL; endpoints++)
		if (endpoints->answer == ANSWER_LIST && strcmp(endpoints->path, path) == 0)
			return endpoints;
	return NULL;
}

/* ---- names ---- */

/* Appends a segment in camel case, in the singular ("applications": Application) where that is wanted. */
static void
append_segment(char out[OPENAPI_NAME], struct slice segment, bool singular)
{
	size_t length = strlen(out);
	bool upper = true;

	if (singular && segment.len > 1 && segment.data[segment.len - 1] == 's')
		segment.len--;
	for (size_t i = 0; i < segment.len && length < OPENAPI_NAME - 1; i++) {
		unsigned char c = (unsigned char)segment.data[i];
		if (isalnum(c))
			out[length++] = (char)(upper ? toupper(c) : c);
		upper = !isalnum(c);
	}
	out[length] = '\0';
}

/* Appends what a path is about: "/api/v1/applications/{id}/documents" is ApplicationDocuments. */
static void
append_noun(char out[OPENAPI_NAME], const char *path, bool singular)
{
	if (strncmp(path, API, strlen(API)) == 0)
		path += strlen(API);
	while (*path == '/') {
		struct slice segment = { path + 1, strcspn(path + 1, "/") };
		path += 1 + segment.len;
		bool last = *path == '\0';
		if (segment.data[0] != '{')
			append_segment(out, segment, last ? singular : path[1] == '{');
	}
}

void
openapi_operation_id(char out[OPENAPI_NAME], const struct endpoint *endpoint)
{
	static const char *const verbs[HTTP_OTHER + 1] = { [HTTP_GET] = "get", [HTTP_POST] = "post", [HTTP_PUT] = "put",
		[HTTP_PATCH] = "update", [HTTP_DELETE] = "delete" };
	const char *verb = endpoint->answer == ANSWER_LIST ? "list" : is_creation(endpoint) ? "create"
											     : verbs[endpoint->method];

	snprintf(out, OPENAPI_NAME, "%s", verb);
	append_noun(out, endpoint->path, is_creation(endpoint));
}

void
openapi_operation_body_name(char out[OPENAPI_NAME], const struct endpoint *endpoint)
{
	openapi_operation_id(out, endpoint);
	out[0] = (char)toupper((unsigned char)out[0]);
	snprintf(out + strlen(out), OPENAPI_NAME - strlen(out), "Body");
}

void
openapi_operation_answer_name(char out[OPENAPI_NAME], const struct endpoint *endpoints, const struct endpoint *endpoint)
{
	const struct endpoint *first = endpoints;

	while (first->answers != endpoint->answers)
		first++;
	bool list = first->answer == ANSWER_LIST;
	out[0] = '\0';
	if (first->entity != NULL)
		snprintf(out, OPENAPI_NAME, "%s", first->entity);
	else
		append_noun(out, first->path, list || is_creation(first));
	if (list)
		snprintf(out + strlen(out), OPENAPI_NAME - strlen(out), "Item");
}

static const char *
tag_of(const struct endpoint *endpoint)
{
	const struct openapi_tag *tag = openapi_tags;

	while (strstr(endpoint->path, tag->mark) == NULL)
		tag++;
	return tag->name;
}

/* ---- parameters ---- */

static void
write_reference(struct writer *writer, const char *name, const char *kind, const char *what)
{
	char target[OPENAPI_NAME + 32];

	snprintf(target, sizeof(target), "#/components/%s/%s", kind, what);
	writer_object(writer, name);
	writer_string(writer, "$ref", target);
	writer_end(writer);
}

static void
write_parameter(struct writer *writer, const char *in, const char *name, const struct field *field)
{
	writer_object(writer, NULL);
	writer_string(writer, "name", name);
	writer_string(writer, "in", in);
	if (field->required || in[0] == 'p')
		writer_bool(writer, "required", true);
	if (field->about != NULL)
		writer_string(writer, "description", field->about);
	fieldschema_write(writer, "schema", field, FIELDSCHEMA_TEXT);
	writer_end(writer);
}

static void
write_path_parameters(struct writer *writer, const struct endpoint *endpoint)
{
	static const struct field uuid = { .name = "id", .type = FIELD_UUID, .about = "The id." };
	const char *path = endpoint->path;

	for (int i = 0; (path = strchr(path, '{')) != NULL; i++) {
		char name[OPENAPI_NAME];
		path++;
		snprintf(name, sizeof(name), "%.*s", (int)strcspn(path, "}"), path);
		write_parameter(writer, "path", name, endpoint->path_fields == NULL ? &uuid : &endpoint->path_fields[i]);
	}
}

/* The orders of a list, as the values of its parameter `sort`. */
static void
write_sort(struct writer *writer, const struct list *list, const struct field *field)
{
	writer_object(writer, NULL);
	writer_string(writer, "name", field->name);
	writer_string(writer, "in", "query");
	writer_string(writer, "description",
	    list->search == NULL ? field->about : "The order; '-' is descending. -rank, the best match first, goes with q alone.");
	writer_object(writer, "schema");
	writer_string(writer, "type", "string");
	writer_array(writer, "enum");
	for (const struct list_order *order = list->orders; order->name != NULL; order++)
		writer_string(writer, NULL, order->name);
	writer_end(writer);
	writer_string(writer, "default", list->orders[0].name);
	writer_array(writer, "examples");
	writer_string(writer, NULL, list->orders[0].name);
	writer_end(writer);
	writer_end(writer);
	writer_end(writer);
}

static void
write_list_parameters(struct writer *writer, const struct list *list)
{
	for (const struct field *field = list_fields; field->name != NULL; field++) {
		if (strcmp(field->name, "sort") == 0)
			write_sort(writer, list, field);
		else
			write_reference(writer, NULL, "parameters", field->name);
	}
	for (const struct field *field = sheet_fields; list->sheet != NULL && field->name != NULL; field++)
		write_parameter(writer, "query", field->name, field);
}

static void
write_parameters(struct writer *writer, const struct endpoint *endpoint)
{
	writer_array(writer, "parameters");
	write_path_parameters(writer, endpoint);
	for (const struct field *field = endpoint->query; field != NULL && field->name != NULL; field++)
		write_parameter(writer, "query", field->name, field);
	if (endpoint->list != NULL)
		write_list_parameters(writer, endpoint->list);
	if (is_creation(endpoint))
		write_reference(writer, NULL, "parameters", "Idempotency-Key");
	if (heeds_if_match(endpoint))
		write_reference(writer, NULL, "parameters", "If-Match");
	if (heeds_if_none_match(endpoint))
		write_reference(writer, NULL, "parameters",
		    endpoint->method == HTTP_PUT ? "If-None-Match-any" : "If-None-Match");
	writer_end(writer);
}

/* ---- the body ---- */

static bool
is_body_required(const struct endpoint *endpoint)
{
	const struct field *fields = body_fields(endpoint);

	if (endpoint->method != HTTP_POST || endpoint->streamed != NULL)
		return true;
	for (; fields->name != NULL; fields++)
		if (fields->required)
			return true;
	return false;
}

static void
write_array_of(struct writer *writer, const char *name, const char *schema, int max)
{
	writer_object(writer, name);
	writer_string(writer, "type", "array");
	if (max > 0) {
		writer_integer(writer, "minItems", 1);
		writer_integer(writer, "maxItems", max);
	}
	write_reference(writer, "items", "schemas", schema);
	writer_end(writer);
}

static void
write_json_body(struct writer *writer, const char *media, const struct endpoint *endpoint)
{
	char name[OPENAPI_NAME];

	openapi_operation_body_name(name, endpoint);
	writer_object(writer, media);
	if (endpoint->bulk == NULL) {
		write_reference(writer, "schema", "schemas", name);
	} else {
		writer_object(writer, "schema");
		writer_array(writer, "oneOf");
		write_reference(writer, NULL, "schemas", name);
		write_array_of(writer, NULL, name, ENDPOINT_BULK_MAX);
		writer_end(writer);
		writer_end(writer);
	}
	writer_end(writer);
}

/* A body or an answer that is a text of another kind than JSON. */
static void
write_text_media(struct writer *writer, const char *media, const char *about)
{
	writer_object(writer, media);
	writer_object(writer, "schema");
	writer_string(writer, "type", "string");
	writer_string(writer, "description", about);
	writer_end(writer);
	writer_end(writer);
}

static void
write_markdown_body(struct writer *writer, const struct field *field)
{
	writer_object(writer, "text/markdown");
	fieldschema_write(writer, "schema", field, FIELDSCHEMA_BODY);
	writer_end(writer);
}

static void
write_body(struct writer *writer, const struct endpoint *endpoint)
{
	if (body_fields(endpoint) == NULL)
		return;
	writer_object(writer, "requestBody");
	writer_bool(writer, "required", is_body_required(endpoint));
	writer_object(writer, "content");
	write_json_body(writer, MEDIA_JSON, endpoint);
	if (endpoint->method == HTTP_PATCH)
		write_json_body(writer, "application/merge-patch+json", endpoint);
	if (endpoint->markdown)
		write_markdown_body(writer, &endpoint->body[0]);
	if (endpoint->sheet != NULL)
		write_text_media(writer, "text/csv",
		    "A row with the names of the fields, in any order, and up to 5000 rows of values (RFC 4180).");
	writer_end(writer);
	writer_end(writer);
}

/* ---- successes ---- */

static void
write_header(struct writer *writer, const char *name)
{
	write_reference(writer, name, "headers", name);
}

static void
write_headers(struct writer *writer, const struct endpoint *endpoint, int status)
{
	writer_object(writer, "headers");
	write_header(writer, "X-Request-Id");
	if (has_etag(endpoint))
		write_reference(writer, "ETag", "headers", endpoint->bulk != NULL ? "ETag-of-one" : "ETag");
	if (endpoint->answer == ANSWER_CREATED && status == 201)
		write_reference(writer, "Location", "headers", endpoint->bulk != NULL ? "Location-of-one" : "Location");
	if (is_creation(endpoint))
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
	write_array_of(writer, "data", row, 0);
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
write_rows(struct writer *writer, const char *name)
{
	writer_object(writer, NULL);
	writer_string(writer, "type", "object");
	writer_object(writer, "properties");
	write_array_of(writer, "data", name, 0);
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
	write_reference(writer, NULL, "schemas", row);
	write_rows(writer, row);
	if (endpoint->sheet != NULL && listed != NULL) {
		openapi_operation_answer_name(item, endpoints, listed);
		write_rows(writer, item);
	}
	writer_end(writer);
	writer_end(writer);
}

static void
write_json_answer(struct writer *writer, const struct endpoint *endpoints, const struct endpoint *endpoint)
{
	char name[OPENAPI_NAME];

	writer_object(writer, MEDIA_JSON);
	if (endpoint->answers == NULL) {
		writer_object(writer, "schema");
		writer_string(writer, "type", "object");
		writer_end(writer);
	} else {
		openapi_operation_answer_name(name, endpoints, endpoint);
		if (endpoint->answer == ANSWER_LIST)
			write_page(writer, name);
		else if (endpoint->bulk != NULL)
			write_created(writer, endpoints, endpoint, name);
		else
			write_reference(writer, "schema", "schemas", name);
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
		write_json_answer(writer, endpoints, endpoint);
		for (const struct representation *form = endpoint->representations; form != NULL && form->media != NULL; form++)
			write_text_media(writer, form->media, "The same in another form, chosen by Accept.");
		if (endpoint->list != NULL && endpoint->list->sheet != NULL)
			write_text_media(writer, "text/csv", "All rows as a sheet (RFC 4180), chosen by format=csv or by Accept.");
		writer_end(writer);
	}
	writer_end(writer);
}

static void
write_successes(struct writer *writer, const struct endpoint *endpoints, const struct endpoint *endpoint)
{
	static const char *const abouts[] = { [ANSWER_ROW] = "Done.", [ANSWER_CREATED] = "Created.", [ANSWER_PUT] = "Replaced.",
		[ANSWER_LIST] = "A page.", [ANSWER_EMPTY] = "Done; there is nothing to say." };
	static const int statuses[] = { [ANSWER_ROW] = 200, [ANSWER_CREATED] = 201, [ANSWER_PUT] = 200, [ANSWER_LIST] = 200,
		[ANSWER_EMPTY] = 204 };

	write_success(writer, endpoints, endpoint, statuses[endpoint->answer], abouts[endpoint->answer]);
	if (endpoint->answer == ANSWER_PUT)
		write_success(writer, endpoints, endpoint, 201, "Created.");
	if (endpoint->method == HTTP_GET && has_etag(endpoint))
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
	bool body = body_fields(endpoint) != NULL;
	bool one = endpoint->handler == NULL && endpoint->answer != ANSWER_LIST && !is_creation(endpoint);

	for (int i = 0; i < ENDPOINT_MAX_PROBLEMS; i++)
		possible[endpoint->problems[i]] = true;
	possible[PROBLEM_BAD_REQUEST] = body || heeds_if_match(endpoint) || is_creation(endpoint);
	add(possible, true, PROBLEM_BAD_QUERY);
	add(possible, body, PROBLEM_BAD_JSON);
	add(possible, endpoint->sheet != NULL, PROBLEM_BAD_CSV);
	add(possible, endpoint->list != NULL, PROBLEM_BAD_CURSOR);
	add(possible, endpoint->access == ACCESS_USER, PROBLEM_UNAUTHORIZED);
	add(possible, one || strchr(endpoint->path, '{') != NULL, PROBLEM_NOT_FOUND);
	add(possible, endpoint->representations != NULL, PROBLEM_NOT_ACCEPTABLE);
	add(possible, is_creation(endpoint), PROBLEM_IDEMPOTENCY_BUSY);
	add(possible, is_creation(endpoint), PROBLEM_IDEMPOTENCY_MISMATCH);
	add(possible, heeds_if_match(endpoint), PROBLEM_PRECONDITION_FAILED);
	add(possible, body, PROBLEM_TOO_LARGE);
	add(possible, body, PROBLEM_UNSUPPORTED_MEDIA_TYPE);
	add(possible, body, PROBLEM_VALIDATION);
	add(possible, true, PROBLEM_INTERNAL);
	add(possible, true, PROBLEM_UNAVAILABLE);
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
	write_reference(writer, "schema", "schemas", "Problem");
	writer_object(writer, "examples");
	for (int i = 0; i < count; i++)
		if (kinds[i]->status == status)
			write_reference(writer, kinds[i]->slug, "examples", kinds[i]->slug);
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
	write_reference(writer, "default", "responses", "Problem");
}

/* ---- the operation ---- */

static void
write_security(struct writer *writer, const struct endpoint *endpoint)
{
	writer_array(writer, "security");
	if (endpoint->access == ACCESS_USER) {
		writer_object(writer, NULL);
		writer_array(writer, "bearer");
		writer_end(writer);
		writer_end(writer);
	}
	writer_end(writer);
}

void
openapi_operation_write(struct writer *writer, const struct endpoint *endpoints, const struct endpoint *endpoint)
{
	static const char *const members[HTTP_OTHER + 1] = { [HTTP_GET] = "get", [HTTP_POST] = "post", [HTTP_PUT] = "put",
		[HTTP_PATCH] = "patch", [HTTP_DELETE] = "delete" };
	char id[OPENAPI_NAME];

	openapi_operation_id(id, endpoint);
	writer_object(writer, members[endpoint->method]);
	writer_string(writer, "operationId", id);
	writer_string(writer, "summary", endpoint->about);
	writer_array(writer, "tags");
	writer_string(writer, NULL, tag_of(endpoint));
	writer_end(writer);
	write_security(writer, endpoint);
	write_parameters(writer, endpoint);
	write_body(writer, endpoint);
	writer_object(writer, "responses");
	write_successes(writer, endpoints, endpoint);
	write_errors(writer, endpoint);
	writer_end(writer);
	writer_end(writer);
}
