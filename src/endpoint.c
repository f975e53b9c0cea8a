#include "endpoint.h"

#include "arena.h"
#include "arguments.h"
#include "buffer.h"
#include "create.h"
#include "list.h"
#include "request.h"
#include "response.h"
#include "row.h"
#include "trouble.h"

enum { ATTEMPTS = 3 };

const char *const endpoint_pool_names[POOL_COUNT] = { [POOL_API] = "api", [POOL_AUTH] = "auth", [POOL_BULK] = "bulk" };

bool
endpoint_is_patient(const struct endpoint *endpoint)
{
	return endpoint->pool == POOL_BULK || strncmp(endpoint->path, API, sizeof(API) - 1) != 0;
}

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
		problem = problem_of_error(&reply->error, &call->faults, call->service->troubles);
		return endpoint_problem(call, problem, problem_detail_of_error(&reply->error, problem, &call->faults));
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

static void
send_steps(struct call *call, enum db_mode mode, const struct step steps[], int count)
{
	struct db *db = call->service->db;

	db_begin(db, mode, endpoint_user(call), call->request->id);
	for (int i = 0; i < count; i++)
		db_send(db, steps[i].statement, steps[i].params);
}

static bool
is_worth_another(const struct db_reply *reply, enum db_mode mode)
{
	return reply->outcome == DB_RETRY || (reply->outcome == DB_LOST && mode == DB_READ_ONLY && !reply->late);
}

/* The database has room for what is written, and for the locks of that. */
static void
note_written(struct troubles *troubles)
{
	trouble_passed(troubles, TROUBLE_DISK);
	trouble_passed(troubles, TROUBLE_RESOURCES);
}

struct db_reply
endpoint_transact(struct call *call, enum db_mode mode, const struct step steps[], int count)
{
	struct db *db = call->service->db;
	struct db_reply reply = { .outcome = DB_LOST };

	for (int attempt = 0; attempt < ATTEMPTS && db_ready(db) == 0; attempt++) {
		send_steps(call, mode, steps, count);
		reply = db_commit(db, call->arena);
		if (!is_worth_another(&reply, mode))
			break;
	}
	if (reply.outcome == DB_OK && mode == DB_READ_WRITE)
		note_written(call->service->troubles);
	return reply;
}

int
endpoint_read(struct call *call, const struct step *steps, int count,
    int (*go_on)(struct call *call, const struct db_reply *reply))
{
	struct db *db = call->service->db;

	if (call->ticket == NULL || db_ready(db) != 0) {
		struct db_reply reply = endpoint_transact(call, DB_READ_ONLY, steps, count);
		return go_on(call, &reply);
	}
	send_steps(call, DB_READ_ONLY, steps, count);
	db_commit_later(db, call->ticket, call->arena);
	call->steps = steps;
	call->step_count = count;
	call->go_on = go_on;
	call->waiting = true;
	return 0;
}

int
endpoint_resume(struct call *call)
{
	struct db_reply reply = call->ticket->reply;

	call->waiting = false;
	if (is_worth_another(&reply, DB_READ_ONLY))
		reply = endpoint_transact(call, DB_READ_ONLY, call->steps, call->step_count);
	return call->go_on(call, &reply);
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

/* "12.34" is the tag of a row with others embedded, "12.md" that of another form; the row's own part comes first. */
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
	bool put = call->endpoint->method == HTTP_PUT;

	*array = NULL;
	if (call->request->if_match.data == NULL) {
		if (put && slice_is(call->request->if_none_match, "*"))
			*array = "{}";
		return 0;
	}
	int count = http_etag_list(call->arena, call->request->if_match, &tags, &any);
	if (count < 0)
		return endpoint_problem(call, PROBLEM_BAD_REQUEST, "If-Match is not a list of entity tags.");
	if (any) {
		*array = put ? "{*}" : NULL;
		return 0;
	}
	const char **texts = arena_calloc(call->arena, (size_t)count + 1, sizeof(*texts));
	for (int i = 0; i < count; i++)
		texts[i] = arena_copy(call->arena, tags[i].data, own_part(tags[i]).len);
	texts[count] = ""; /* weak tags alone are none at all, and no version has this one */
	*array = field_array(call->arena, texts, count + 1);
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

/* The tag of the row in the form that was chosen, or in JSON. */
static struct slice
etag_of(struct call *call, const struct db_result *result, const struct representation *form)
{
	struct slice etag = db_get(result, 0, "_etag");

	if (etag.data == NULL || form == NULL)
		return etag;
	return slice_of(arena_printf(call->arena, "%s.%s", etag.data, form->tag));
}

static int
answer_row_as(struct call *call, const struct db_result *result, const struct representation *form)
{
	struct response *response = call->response;
	struct slice etag = etag_of(call, result, form);

	bool reads = call->endpoint->method == HTTP_GET;
	bool unchanged = reads && etag.data != NULL && http_etag_matches(call->request->if_none_match, etag, true);
	bool lasting = true;

	if (unchanged) {
		response->content_type = NULL;
	} else if (form == NULL) {
		row_write(&response->body, result, 0);
	} else {
		response->content_type = arena_printf(call->arena, "%s; charset=utf-8", form->media);
		lasting = form->write(call, result);
	}
	if (etag.data != NULL && lasting)
		response_header(response, "ETag", "\"%s\"", etag.data);
	response->cacheable = reads && etag.data != NULL && lasting;
	return response->status = unchanged ? 304 : 200;
}

int
endpoint_answer_row(struct call *call, const struct db_result *result)
{
	return answer_row_as(call, result, NULL);
}

static int
answer_empty(struct call *call)
{
	call->response->content_type = NULL;
	return call->response->status = 204;
}

/* The form that Accept prefers; NULL is JSON. 0, or the response is made and its status returned. */
static int
choose_form(struct call *call, const struct representation **form)
{
	enum { FORMS_MAX = 8 };
	const char *offers[FORMS_MAX + 2] = { MEDIA_JSON };
	const struct representation *forms = call->endpoint->representations;

	*form = NULL;
	if (forms == NULL)
		return 0;
	for (int i = 0; i < FORMS_MAX && forms[i].media != NULL; i++)
		offers[i + 1] = forms[i].media;
	int choice = http_accept(call->request->accept, offers);
	if (choice < 0) {
		endpoint_problem(call, PROBLEM_NOT_ACCEPTABLE, NULL);
		response_header(call->response, "Vary", "Accept");
		return call->response->status;
	}
	response_header(call->response, "Vary", "Accept");
	*form = choice == 0 ? NULL : &forms[choice - 1];
	return 0;
}

/* ---- one row: read, put, change, delete ---- */

/* The statements of one transaction, in their order; those that do not run have no result. */
struct plan {
	struct step steps[3];
	int count;
	int lock;   /* where in `steps`; -1: does not run */
	int exists;
	int main;
	const struct representation *form;
	struct db_param params[DB_MAX_PARAMS];
};

static int
add_step(struct plan *plan, const struct db_statement *statement, const struct db_param params[])
{
	plan->steps[plan->count] = (struct step){ statement, params };
	return plan->count++;
}

static enum problem
problem_of_no_row(const struct endpoint *endpoint, const struct plan *plan, const struct db_reply *reply)
{
	if (plan->lock >= 0 && db_rows(reply->results[plan->lock]) == 0)
		return PROBLEM_NOT_FOUND;
	if (endpoint->answer == ANSWER_PUT)
		return PROBLEM_PRECONDITION_FAILED;
	return plan->exists >= 0 && db_rows(reply->results[plan->exists]) > 0 ? PROBLEM_PRECONDITION_FAILED
									      : PROBLEM_NOT_FOUND;
}

static int
answer_row(struct call *call, const struct db_result *result, const struct representation *form)
{
	if (call->endpoint->answer == ANSWER_EMPTY)
		return answer_empty(call);
	answer_row_as(call, result, form);
	if (call->endpoint->answer == ANSWER_PUT && slice_is(db_get(result, 0, "_created"), "t")) {
		struct slice path = call->request->path;
		response_header(call->response, "Location", "%.*s", (int)path.len, path.data);
		call->response->status = 201;
	}
	return call->response->status;
}

static int
finish_row(struct call *call, const struct db_reply *reply)
{
	const struct plan *plan = call->state;

	if (reply->outcome != DB_OK)
		return endpoint_refuse(call, reply);
	if (db_rows(reply->results[plan->main]) == 0)
		return endpoint_problem(call, problem_of_no_row(call->endpoint, plan, reply), NULL);
	return answer_row(call, reply->results[plan->main], plan->form);
}

static int
run_row(struct call *call)
{
	const struct endpoint *endpoint = call->endpoint;
	bool reads = endpoint->method == HTTP_GET;
	struct plan *plan = arena_calloc(call->arena, 1, sizeof(*plan));
	struct db_param *params = plan->params;
	const char *tags = NULL;
	int count = endpoint_bind(call, params);
	int status = reads ? choose_form(call, &plan->form) : endpoint_if_match(call, &tags);

	if (status != 0)
		return status;
	if (!reads)
		params[count++] = DB_TEXT(tags);
	plan->lock = endpoint->lock == NULL ? -1 : add_step(plan, endpoint->lock, params);
	plan->exists = tags == NULL || endpoint->exists == NULL ? -1 : add_step(plan, endpoint->exists, params);
	bool include = endpoint->include != NULL && call->query[0].present;
	plan->main = add_step(plan, include ? endpoint->include : endpoint->statement, params);
	call->state = plan;
	if (reads)
		return endpoint_read(call, plan->steps, plan->count, finish_row);
	struct db_reply reply = endpoint_transact(call, DB_READ_WRITE, plan->steps, plan->count);
	return finish_row(call, &reply);
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
	case ANSWER_PUT:
	case ANSWER_EMPTY:
		break;
	}
	return run_row(call);
}
