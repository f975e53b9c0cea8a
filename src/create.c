#include "create.h"

#include <stdlib.h>

#include "arena.h"
#include "buffer.h"
#include "call.h"
#include "crypto.h"
#include "json.h"
#include "request.h"
#include "response.h"
#include "row.h"
#include "sheet.h"

enum { ATTEMPTS = 3, IDEMPOTENCY_KEY_MAX = 255 };

enum { CLAIM_KEY, STORE_ANSWER, FETCH_ANSWER };

const struct db_statement create_statements[] = {
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

/* What one creation runs: the endpoint's lock, where it has one, and the statement. */
struct creation {
	struct step steps[2];
	int count;
};

bool
create_is_bulk(const struct call *call)
{
	return call->is_sheet || (call->endpoint->bulk != NULL && json_type(call->body) == JSON_ARRAY);
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
	if (create_is_bulk(call)) {
		BUFFER_LITERAL(&call->response->body, "{\"data\":");
		row_write_array(&call->response->body, result, 0, db_rows(result));
		BUFFER_LITERAL(&call->response->body, "}");
		return 201;
	}
	response_header(call->response, "Location", "%s", location_of(call, result));
	call_set_etag(call, result);
	row_write(&call->response->body, result, 0);
	return 201;
}

/* One array a field, with one element an item. Returns the number of parameters, or -1 when a fault was noted. */
static int
bind_bulk(struct call *call, struct db_param params[])
{
	const struct field *fields = call->endpoint->body;
	int width = field_count(fields);
	size_t height = json_length(call->body);

	if (height == 0 || height > ENDPOINT_BULK_MAX) {
		faults_add(&call->faults, "", "must have 1 to %d items", ENDPOINT_BULK_MAX);
		return -1;
	}
	struct value *values = arena_calloc(call->arena, height, sizeof(*values) * (size_t)width);
	const char **column = arena_calloc(call->arena, height, sizeof(*column));
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
	struct db_reply reply = call_transact(call, DB_READ_ONLY,
	    &(struct step){ &create_statements[FETCH_ANSWER], &DB_TEXT(key) }, 1);

	if (reply.outcome != DB_OK)
		return call_refuse(call, &reply);
	const struct db_result *stored = reply.results[0];
	if (db_rows(stored) == 0)
		return call_problem(call, PROBLEM_IDEMPOTENCY_BUSY, NULL);
	struct slice body = db_get(stored, 0, "body");
	struct slice location = db_get(stored, 0, "location");
	struct slice etag = db_get(stored, 0, "etag");
	if (location.data != NULL)
		response_header(call->response, "Location", "%s", location.data);
	if (etag.data != NULL)
		response_header(call->response, "ETag", "\"%s\"", etag.data);
	response_header(call->response, "Idempotency-Replayed", "true");
	buffer_append(&call->response->body, body.data, body.len);
	return call->response->status = atoi(db_get(stored, 0, "status").data);
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
create_with_key(struct call *call, const char *key, const struct creation *creation, const uint8_t hash[SHA256_BYTES])
{
	struct db *db = call->service->db;
	const struct db_param hash_param = { (const char *)hash, SHA256_BYTES, true };
	const struct db_param claim[] = { DB_TEXT(key), hash_param };

	db_begin(db, DB_READ_WRITE, call_user(call), call->request->id);
	db_send(db, &create_statements[CLAIM_KEY], claim);
	for (int i = 0; i < creation->count; i++)
		db_send(db, creation->steps[i].statement, creation->steps[i].params);
	struct db_reply reply = db_flush(db, call->arena);
	if (reply.outcome != DB_OK)
		return reply;
	const struct db_result *rows = reply.results[creation->count];
	answer_created(call, rows);
	const struct buffer *body = &call->response->body;
	const struct db_param store[] = { DB_TEXT(key), hash_param, DB_TEXT("201"),
		DB_TEXT(create_is_bulk(call) ? NULL : location_of(call, rows)),
		DB_TEXT(create_is_bulk(call) ? NULL : db_get(rows, 0, "_etag").data), { body->data, body->len, true } };
	db_send(db, &create_statements[STORE_ANSWER], store);
	return db_commit(db, call->arena);
}

static int
run_once(struct call *call, const struct creation *creation)
{
	static const struct field rule = { .name = "Idempotency-Key", .type = FIELD_TOKEN, .max = IDEMPOTENCY_KEY_MAX };
	struct db_reply reply = { .outcome = DB_LOST };
	uint8_t hash[SHA256_BYTES];
	const char *key;
	const char *error;

	if (field_read_text(call->arena, &rule, call->request->idempotency_key, &key, &error) != 0)
		return call_problem(call, PROBLEM_BAD_REQUEST,
		    arena_printf(call->arena, "Idempotency-Key %s.", error));
	hash_request(call, hash);
	for (int attempt = 0; attempt < ATTEMPTS && db_ready(call->service->db) == 0; attempt++) {
		response_reset(call->response);
		reply = create_with_key(call, key, creation, hash);
		if (reply.outcome != DB_RETRY)
			break;
	}
	if (reply.outcome == DB_REFUSED && strcmp(reply.error.sqlstate, "JF001") == 0)
		return answer_again(call, key);
	return reply.outcome == DB_OK ? call->response->status : call_refuse(call, &reply);
}

static int
bind(struct call *call, struct db_param params[])
{
	if (call->is_sheet)
		return sheet_bind(call, params);
	if (create_is_bulk(call))
		return bind_bulk(call, params) < 0 ? call_problem(call, PROBLEM_VALIDATION, NULL) : 0;
	call_bind(call, params);
	return 0;
}

int
create_run(struct call *call)
{
	const struct endpoint *endpoint = call->endpoint;
	const struct db_statement *statement =
	    call->is_sheet ? endpoint->sheet : create_is_bulk(call) ? endpoint->bulk : endpoint->statement;
	struct db_param params[DB_MAX_PARAMS];
	struct creation creation = { 0 };

	int status = bind(call, params);
	if (status != 0)
		return status;
	if (endpoint->lock != NULL)
		creation.steps[creation.count++] = (struct step){ endpoint->lock, params };
	creation.steps[creation.count++] = (struct step){ statement, params };
	if (call->request->idempotency_key.data != NULL)
		return run_once(call, &creation);
	struct db_reply reply = call_transact(call, DB_READ_WRITE, creation.steps, creation.count);
	return reply.outcome == DB_OK ? answer_created(call, reply.results[creation.count - 1])
				      : call_refuse(call, &reply);
}
