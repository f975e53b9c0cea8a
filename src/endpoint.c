#include "endpoint.h"

#include <stdio.h>

#include "arena.h"
#include "buffer.h"
#include "crypto.h"
#include "json.h"
#include "list.h"
#include "log.h"
#include "request.h"
#include "response.h"
#include "row.h"

enum { ATTEMPTS = 3, IDEMPOTENCY_KEY_MAX = 255 };

enum { CLAIM_KEY, STORE_ANSWER, FETCH_ANSWER };

const struct db_statement engine_statements[] = {
	[CLAIM_KEY] = { "idempotency_claim", "SELECT jobforge.idempotency_claim($1, $2)", 2 },
	[STORE_ANSWER] = { "idempotency_store",
	    "INSERT INTO jobforge.idempotency_keys (key, request_hash, status, location, etag, body)"
	    " VALUES ($1, $2, $3::text::smallint, $4, $5, $6)",
	    6 },
	[FETCH_ANSWER] = { "idempotency_fetch",
	    "SELECT status, location, etag, convert_from(body, 'UTF8') AS body"
	    " FROM jobforge.idempotency_keys WHERE key = $1",
	    1 },
	{ 0 },
};

static const struct field uuid_path_fields[] = { { .name = "id", .type = FIELD_UUID }, { .name = "id", .type = FIELD_UUID },
	{ 0 } };

int
endpoint_problem(struct call *call, enum problem problem, const char *detail)
{
	return response_problem(call->response, call->request, problem, &call->faults, detail);
}

/* ---- arguments ---- */

static int
check_ids(struct call *call)
{
	const struct field *fields = call->endpoint->path_fields == NULL ? uuid_path_fields : call->endpoint->path_fields;
	const char *error;

	for (int i = 0; i < ENDPOINT_MAX_PATH && call->path[i].data != NULL; i++)
		if (field_read_text(call->arena, &fields[i], call->path[i], &call->ids[i], &error) != 0)
			return endpoint_problem(call, PROBLEM_NOT_FOUND, NULL);
	return 0;
}

static int
bad_query(struct call *call, const char *name, const char *error)
{
	return endpoint_problem(call, PROBLEM_BAD_QUERY,
	    arena_printf(call->arena, "The query parameter %s %s.", name, error));
}

/* Gathers the values of one parameter, in the client's order. */
static int
read_parameter(struct call *call, const struct field *field, struct value *value)
{
	const char *texts[HTTP_MAX_PAIRS];
	const char *error;
	int count = 0;

	for (int i = 0; i < call->pair_count; i++) {
		if (!slice_is(call->pairs[i].name, field->name))
			continue;
		if (count > 0 && !field->repeatable)
			return bad_query(call, field->name, "occurs more than once");
		if (field_read_text(call->arena, field, call->pairs[i].value, &texts[count], &error) != 0)
			return bad_query(call, field->name, error);
		count++;
	}
	if (count == 0)
		return field->required ? bad_query(call, field->name, "is missing") : 0;
	value->present = true;
	value->text = field->repeatable ? field_array(call->arena, texts, count) : texts[0];
	return 0;
}

static bool
takes_parameter(const struct endpoint *endpoint, struct slice name)
{
	const struct field *const tables[] = { endpoint->query, endpoint->list == NULL ? NULL : list_fields };

	for (size_t i = 0; i < COUNT_OF(tables); i++)
		for (const struct field *field = tables[i]; field != NULL && field->name != NULL; field++)
			if (slice_is(name, field->name))
				return true;
	return false;
}

static int
check_query(struct call *call)
{
	const struct field *fields = call->endpoint->query;

	if (call->request->query.len == 0)
		call->pair_count = 0;
	else
		call->pair_count = http_query(call->arena, call->request->query, &call->pairs);
	if (call->pair_count < 0)
		return endpoint_problem(call, PROBLEM_BAD_QUERY, "The query is not percent-encoded UTF-8, or is too long.");
	for (int i = 0; i < call->pair_count; i++)
		if (!takes_parameter(call->endpoint, call->pairs[i].name))
			return endpoint_problem(call, PROBLEM_BAD_QUERY,
			    "The query has a parameter that this address does not take.");
	for (int i = 0; fields != NULL && fields[i].name != NULL; i++) {
		int status = read_parameter(call, &fields[i], &call->query[i]);
		if (status != 0)
			return status;
	}
	return 0;
}

static bool
requires_fields(const struct field fields[])
{
	for (; fields->name != NULL; fields++)
		if (fields->required)
			return true;
	return false;
}

static int
parse_body(struct call *call)
{
	const struct request *request = call->request;
	const char *error = NULL;

	/* A client with nothing to say sends nothing: the same as an empty object where no field is required. */
	if (request->body.len == 0 && request->method == HTTP_POST && !requires_fields(call->endpoint->body)) {
		call->body = json_parse(call->arena, "{}", 2, &error);
		return 0;
	}
	bool json = http_content_type_is(request->content_type, "application/json") ||
	    (request->method == HTTP_PATCH && http_content_type_is(request->content_type, "application/merge-patch+json"));
	if (!json)
		return endpoint_problem(call, PROBLEM_UNSUPPORTED_MEDIA_TYPE, NULL);
	call->body = json_parse(call->arena, request->body.data, request->body.len, &error);
	return call->body == NULL ? endpoint_problem(call, PROBLEM_BAD_JSON, error) : 0;
}

static bool
is_bulk(const struct call *call)
{
	return call->endpoint->bulk != NULL && json_type(call->body) == JSON_ARRAY;
}

static int
check_body(struct call *call)
{
	const struct endpoint *endpoint = call->endpoint;

	if (call->request->fault == REQUEST_TOO_LARGE)
		return endpoint_problem(call, PROBLEM_TOO_LARGE, NULL);
	if (call->request->fault == REQUEST_CUT_OFF)
		return endpoint_problem(call, PROBLEM_BAD_REQUEST, "The body is shorter than its Content-Length.");
	if (endpoint->body == NULL)
		return 0;
	int status = parse_body(call);
	if (status != 0 || is_bulk(call))
		return status;
	field_read_body(call->arena, endpoint->body, call->body, endpoint->method == HTTP_PATCH, "", call->values,
	    &call->faults);
	return call->faults.count > 0 ? endpoint_problem(call, PROBLEM_VALIDATION, NULL) : 0;
}

/* ---- transactions ---- */

int
endpoint_refuse(struct call *call, const struct db_reply *reply)
{
	enum problem problem;

	switch (reply->outcome) {
	case DB_REFUSED:
		problem = problem_of_error(&reply->error, &call->faults);
		return endpoint_problem(call, problem, problem == PROBLEM_PHASE_ORDER ? reply->error.message : NULL);
	case DB_LOST:
		/* No message at all: nothing was sent. */
		if (call->endpoint->method != HTTP_GET && reply->error.message != NULL)
			return endpoint_problem(call, PROBLEM_UNAVAILABLE,
			    "The connection to the database was lost before it confirmed. Look before you try again, or use an "
			    "Idempotency-Key.");
		return endpoint_problem(call, PROBLEM_UNAVAILABLE, NULL);
	case DB_TIMEOUT:
		return endpoint_problem(call, PROBLEM_UNAVAILABLE, "The database took too long. Nothing has changed.");
	case DB_RETRY:
		return endpoint_problem(call, PROBLEM_UNAVAILABLE, "Too many changes at once. Nothing has changed.");
	case DB_OK:
		break;
	}
	return endpoint_problem(call, PROBLEM_INTERNAL, NULL);
}

static const char *
user_of(const struct call *call)
{
	return call->user_id[0] == '\0' ? NULL : call->user_id;
}

struct db_reply
endpoint_transact(struct call *call, enum db_mode mode, const struct step steps[], int count)
{
	struct db *db = call->service->db;
	struct db_reply reply = { .outcome = DB_LOST };

	for (int attempt = 0; attempt < ATTEMPTS && db_ready(db) == 0; attempt++) {
		db_begin(db, mode, user_of(call));
		for (int i = 0; i < count; i++)
			db_send(db, steps[i].statement, steps[i].params);
		reply = db_commit(db, call->arena);
		bool again = reply.outcome == DB_RETRY || (reply.outcome == DB_LOST && mode == DB_READ_ONLY);
		if (!again)
			break;
	}
	return reply;
}

/* ---- parameters ---- */

static int
bind_ids(const struct call *call, struct db_param params[])
{
	int count = 0;

	for (; count < ENDPOINT_MAX_PATH && call->ids[count] != NULL; count++)
		params[count] = DB_TEXT(call->ids[count]);
	return count;
}

static int
bind_body(const struct call *call, struct db_param params[], int count)
{
	const struct field *fields = call->endpoint->body;

	for (int i = 0; fields != NULL && fields[i].name != NULL; i++) {
		if (call->endpoint->method == HTTP_PATCH)
			params[count++] = DB_TEXT(call->values[i].present ? "true" : "false");
		params[count++] = DB_TEXT(call->values[i].text);
	}
	return count;
}

/* "12.34" is the tag of a row with others embedded; the row's own part comes first. */
static struct slice
own_part(struct slice tag)
{
	const char *dot = memchr(tag.data, '.', tag.len);

	return dot == NULL ? tag : (struct slice){ tag.data, (size_t)(dot - tag.data) };
}

int
endpoint_if_match(struct call *call, const char **array)
{
	struct slice *tags;
	bool any = false;

	*array = NULL;
	if (call->request->if_match.data == NULL)
		return 0;
	int count = http_etag_list(call->arena, call->request->if_match, &tags, &any);
	if (count < 0)
		return endpoint_problem(call, PROBLEM_BAD_REQUEST, "If-Match is not a list of entity tags.");
	if (any)
		return 0;
	const char **texts = arena_calloc(call->arena, (size_t)count, sizeof(*texts));
	for (int i = 0; i < count; i++)
		texts[i] = arena_copy(call->arena, tags[i].data, own_part(tags[i]).len);
	*array = field_array(call->arena, texts, count);
	return 0;
}

/* ---- answers ---- */

static void
set_etag(struct call *call, const struct db_result *result)
{
	struct slice etag = db_get(result, 0, "_etag");

	if (etag.data != NULL)
		response_header(call->response, "ETag", "\"%s\"", etag.data);
}

int
endpoint_answer_row(struct call *call, const struct db_result *result)
{
	struct slice etag = db_get(result, 0, "_etag");

	set_etag(call, result);
	call->response->cacheable = etag.data != NULL && call->endpoint->method == HTTP_GET;
	if (call->response->cacheable && http_etag_matches(call->request->if_none_match, etag, true)) {
		call->response->content_type = NULL;
		return call->response->status = 304;
	}
	row_write(&call->response->body, result, 0);
	return call->response->status = 200;
}

static int
answer_empty(struct call *call)
{
	call->response->content_type = NULL;
	return call->response->status = 204;
}

static const char *
location_of(struct call *call, const struct db_result *result)
{
	return arena_printf(call->arena, "%s/%s", call->endpoint->path, db_get(result, 0, "id").data);
}

static int
answer_created(struct call *call, const struct db_result *result)
{
	call->response->status = 201;
	if (is_bulk(call)) {
		BUFFER_LITERAL(&call->response->body, "{\"data\":");
		row_write_array(&call->response->body, result, 0, db_rows(result));
		BUFFER_LITERAL(&call->response->body, "}");
		return 201;
	}
	response_header(call->response, "Location", "%s", location_of(call, result));
	set_etag(call, result);
	row_write(&call->response->body, result, 0);
	return 201;
}

/* ---- one row: read, change, delete ---- */

static int
run_row(struct call *call)
{
	const struct endpoint *endpoint = call->endpoint;
	struct db_param params[DB_MAX_PARAMS];
	struct step steps[2];
	const char *tags;
	int step = 0;
	int count = bind_body(call, params, bind_ids(call, params));
	int status = endpoint->method == HTTP_GET ? 0 : endpoint_if_match(call, &tags);

	if (status != 0)
		return status;
	bool conditional = endpoint->method != HTTP_GET && tags != NULL;
	if (endpoint->method != HTTP_GET)
		params[count++] = DB_TEXT(tags);
	if (conditional)
		steps[step++] = (struct step){ endpoint->exists, params };
	bool include = endpoint->include != NULL && call->query[0].present;
	steps[step++] = (struct step){ include ? endpoint->include : endpoint->statement, params };
	struct db_reply reply =
	    endpoint_transact(call, endpoint->method == HTTP_GET ? DB_READ_ONLY : DB_READ_WRITE, steps, step);
	if (reply.outcome != DB_OK)
		return endpoint_refuse(call, &reply);
	if (db_rows(reply.results[step - 1]) == 0)
		return endpoint_problem(call,
		    conditional && db_rows(reply.results[0]) > 0 ? PROBLEM_PRECONDITION_FAILED : PROBLEM_NOT_FOUND, NULL);
	return endpoint->answer == ANSWER_EMPTY ? answer_empty(call) : endpoint_answer_row(call, reply.results[step - 1]);
}

/* ---- creation ---- */

/* One array a field, with one element an item. Returns the number of parameters, or -1 when a fault was noted. */
static int
bind_bulk(struct call *call, struct db_param params[])
{
	const struct field *fields = call->endpoint->body;
	int width = field_count(fields);
	size_t height = json_length(call->body);
	struct value *values = arena_calloc(call->arena, height, sizeof(*values) * (size_t)width);
	const char **column = arena_calloc(call->arena, height, sizeof(*column));

	if (height == 0 || height > ENDPOINT_BULK_MAX)
		faults_add(&call->faults, "", "must have 1 to %d items", ENDPOINT_BULK_MAX);
	for (size_t i = 0; i < height && call->faults.count < FAULTS_MAX; i++)
		field_read_body(call->arena, fields, json_at(call->body, i), false, arena_printf(call->arena, "/%zu", i),
		    values + i * (size_t)width, &call->faults);
	if (call->faults.count > 0)
		return -1;
	for (int f = 0; f < width; f++) {
		for (size_t i = 0; i < height; i++)
			column[i] = values[i * (size_t)width + (size_t)f].text;
		params[f] = DB_TEXT(field_array(call->arena, column, (int)height));
	}
	return width;
}

static int
answer_again(struct call *call, const char *key)
{
	struct db_reply reply = endpoint_transact(call, DB_READ_ONLY,
	    &(struct step){ &engine_statements[FETCH_ANSWER], &DB_TEXT(key) }, 1);

	if (reply.outcome != DB_OK)
		return endpoint_refuse(call, &reply);
	const struct db_result *stored = reply.results[0];
	if (db_rows(stored) == 0)
		return endpoint_problem(call, PROBLEM_IDEMPOTENCY_BUSY, NULL);
	struct slice body = db_get(stored, 0, "body");
	struct slice location = db_get(stored, 0, "location");
	struct slice etag = db_get(stored, 0, "etag");
	if (location.data != NULL)
		response_header(call->response, "Location", "%s", location.data);
	if (etag.data != NULL)
		response_header(call->response, "ETag", "\"%s\"", etag.data);
	response_header(call->response, "Idempotency-Replayed", "true");
	buffer_append(&call->response->body, body.data, body.len);
	return call->response->status = db_get(stored, 0, "status").data[0] == '2' ? 201 : 500;
}

/* The key stands for this method, address and body. */
static void
hash_request(struct call *call, uint8_t hash[SHA256_BYTES])
{
	const struct request *request = call->request;
	uint8_t parts[2 * SHA256_BYTES];

	crypto_sha256(parts, request->uri.data, request->uri.len);
	crypto_sha256(parts + SHA256_BYTES, request->body.data, request->body.len);
	crypto_sha256(hash, parts, sizeof(parts));
}

/* Creates under an Idempotency-Key: claim and creation, then the answer's own bytes, in one transaction. */
static struct db_reply
create_with_key(struct call *call, const char *key, const struct step *create, const uint8_t hash[SHA256_BYTES])
{
	struct db *db = call->service->db;
	const struct db_param hash_param = { (const char *)hash, SHA256_BYTES, true };
	const struct db_param claim[] = { DB_TEXT(key), hash_param };

	db_begin(db, DB_READ_WRITE, user_of(call));
	db_send(db, &engine_statements[CLAIM_KEY], claim);
	db_send(db, create->statement, create->params);
	struct db_reply reply = db_flush(db, call->arena);
	if (reply.outcome != DB_OK)
		return reply;
	const struct db_result *rows = reply.results[1];
	answer_created(call, rows);
	const struct buffer *body = &call->response->body;
	const struct db_param store[] = { DB_TEXT(key), hash_param, DB_TEXT("201"),
		DB_TEXT(is_bulk(call) ? NULL : location_of(call, rows)),
		DB_TEXT(is_bulk(call) ? NULL : db_get(rows, 0, "_etag").data), { body->data, body->len, true } };
	db_send(db, &engine_statements[STORE_ANSWER], store);
	return db_commit(db, call->arena);
}

static int
run_once(struct call *call, const struct step *create)
{
	static const struct field rule = { .name = "Idempotency-Key", .type = FIELD_TOKEN, .max = IDEMPOTENCY_KEY_MAX };
	struct db_reply reply = { .outcome = DB_LOST };
	uint8_t hash[SHA256_BYTES];
	const char *key;
	const char *error;

	if (field_read_text(call->arena, &rule, call->request->idempotency_key, &key, &error) != 0)
		return endpoint_problem(call, PROBLEM_BAD_REQUEST,
		    arena_printf(call->arena, "Idempotency-Key %s.", error));
	hash_request(call, hash);
	for (int attempt = 0; attempt < ATTEMPTS && db_ready(call->service->db) == 0; attempt++) {
		response_reset(call->response);
		reply = create_with_key(call, key, create, hash);
		if (reply.outcome != DB_RETRY)
			break;
	}
	if (reply.outcome == DB_REFUSED && strcmp(reply.error.sqlstate, "JF001") == 0)
		return answer_again(call, key);
	return reply.outcome == DB_OK ? call->response->status : endpoint_refuse(call, &reply);
}

static int
run_create(struct call *call)
{
	const struct endpoint *endpoint = call->endpoint;
	struct db_param params[DB_MAX_PARAMS];
	struct step create = { is_bulk(call) ? endpoint->bulk : endpoint->statement, params };

	if (is_bulk(call)) {
		if (bind_bulk(call, params) < 0)
			return endpoint_problem(call, PROBLEM_VALIDATION, NULL);
	} else {
		bind_body(call, params, bind_ids(call, params));
	}
	if (call->request->idempotency_key.data != NULL)
		return run_once(call, &create);
	struct db_reply reply = endpoint_transact(call, DB_READ_WRITE, &create, 1);
	return reply.outcome == DB_OK ? answer_created(call, reply.results[0]) : endpoint_refuse(call, &reply);
}

/* ---- */

int
endpoint_run(struct call *call)
{
	faults_init(&call->faults, call->arena);
	int status = check_ids(call);
	if (status == 0)
		status = check_query(call);
	if (status == 0)
		status = check_body(call);
	if (status != 0)
		return status;
	if (call->endpoint->handler != NULL)
		return call->endpoint->handler(call);
	switch (call->endpoint->answer) {
	case ANSWER_LIST:
		return list_run(call);
	case ANSWER_CREATED:
		return run_create(call);
	case ANSWER_ROW:
	case ANSWER_EMPTY:
		break;
	}
	return run_row(call);
}
