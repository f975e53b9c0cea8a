#include "endpoint.h"

#include "arena.h"
#include "arguments.h"
#include "buffer.h"
#include "create.h"
#include "list.h"
#include "request.h"
#include "response.h"
#include "row.h"

enum { ATTEMPTS = 3 };

int
endpoint_problem(struct call *call, enum problem problem, const char *detail)
{
	return response_problem(call->response, call->request, problem, &call->faults, detail);
}

int
endpoint_too_many(struct call *call, struct slice seconds)
{
	int status = endpoint_problem(call, PROBLEM_TOO_MANY_ATTEMPTS, NULL);

	response_header(call->response, "Retry-After", "%s", seconds.data);
	return status;
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

const char *
endpoint_user(const struct call *call)
{
	return call->user_id[0] == '\0' ? NULL : call->user_id;
}

struct db_reply
endpoint_transact(struct call *call, enum db_mode mode, const struct step steps[], int count)
{
	struct db *db = call->service->db;
	struct db_reply reply = { .outcome = DB_LOST };

	for (int attempt = 0; attempt < ATTEMPTS && db_ready(db) == 0; attempt++) {
		db_begin(db, mode, endpoint_user(call));
		for (int i = 0; i < count; i++)
			db_send(db, steps[i].statement, steps[i].params);
		reply = db_commit(db, call->arena);
		bool again = reply.outcome == DB_RETRY || (reply.outcome == DB_LOST && mode == DB_READ_ONLY && !reply.late);
		if (!again)
			break;
	}
	return reply;
}

/* ---- parameters ---- */

int
endpoint_bind(const struct call *call, struct db_param params[])
{
	const struct field *fields = call->endpoint->body;
	int count = 0;

	for (; count < ENDPOINT_MAX_PATH && call->ids[count] != NULL; count++)
		params[count] = DB_TEXT(call->ids[count]);
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

void
endpoint_set_etag(struct call *call, const struct db_result *result)
{
	struct slice etag = db_get(result, 0, "_etag");

	if (etag.data != NULL)
		response_header(call->response, "ETag", "\"%s\"", etag.data);
}

int
endpoint_answer_row(struct call *call, const struct db_result *result)
{
	struct slice etag = db_get(result, 0, "_etag");

	endpoint_set_etag(call, result);
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

/* ---- one row: read, change, delete ---- */

static int
run_row(struct call *call)
{
	const struct endpoint *endpoint = call->endpoint;
	struct db_param params[DB_MAX_PARAMS];
	struct step steps[2];
	const char *tags;
	int step = 0;
	int count = endpoint_bind(call, params);
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

/* ---- */

int
endpoint_run(struct call *call)
{
	faults_init(&call->faults, call->arena);
	int status = arguments_check(call);
	if (status != 0)
		return status;
	if (call->endpoint->handler != NULL)
		return call->endpoint->handler(call);
	switch (call->endpoint->answer) {
	case ANSWER_LIST:
		return list_run(call);
	case ANSWER_CREATED:
		return create_run(call);
	case ANSWER_ROW:
	case ANSWER_EMPTY:
		break;
	}
	return run_row(call);
}
