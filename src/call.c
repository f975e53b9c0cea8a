#include "call.h"

#include "arena.h"
#include "request.h"
#include "response.h"
#include "row.h"
#include "trouble.h"
#include "utf8.h"

enum { ATTEMPTS = 3 };

int
call_problem(struct call *call, enum problem problem, const char *detail)
{
	return response_problem(call->response, call->request, problem, &call->faults, detail);
}

int
call_too_many(struct call *call, struct slice seconds)
{
	int status = call_problem(call, PROBLEM_TOO_MANY_ATTEMPTS, NULL);

	response_header(call->response, "Retry-After", "%s", seconds.data);
	return status;
}

/* ---- transactions ---- */

int
call_refuse(struct call *call, const struct db_reply *reply)
{
	enum problem problem;

	switch (reply->outcome) {
	case DB_REFUSED:
		problem = problem_of_error(&reply->error, &call->faults, call->service->troubles);
		return call_problem(call, problem, problem_detail_of_error(&reply->error, problem, &call->faults));
	case DB_LOST:
		/* No message at all: nothing was sent. */
		if (call->endpoint->method != HTTP_GET && reply->error.message != NULL)
			return call_problem(call, PROBLEM_UNAVAILABLE,
			    "The connection to the database was lost before it confirmed. Look before you try again, or use an "
			    "Idempotency-Key.");
		return call_problem(call, PROBLEM_UNAVAILABLE, NULL);
	case DB_TIMEOUT:
		return call_problem(call, PROBLEM_UNAVAILABLE, "The database took too long. Nothing has changed.");
	case DB_RETRY:
		return call_problem(call, PROBLEM_UNAVAILABLE, "Too many changes at once. Nothing has changed.");
	case DB_OK:
		break;
	}
	return call_problem(call, PROBLEM_INTERNAL, NULL);
}

const char *
call_user(const struct call *call)
{
	return call->user_id[0] == '\0' ? NULL : call->user_id;
}

static void
send_steps(struct call *call, enum db_mode mode, const struct step steps[], int count)
{
	struct db *db = call->service->db;

	db_begin(db, mode, call_user(call), call->request->id);
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
call_transact(struct call *call, enum db_mode mode, const struct step steps[], int count)
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
call_read(struct call *call, const struct step *steps, int count,
    int (*go_on)(struct call *call, const struct db_reply *reply))
{
	struct db *db = call->service->db;

	if (call->ticket == NULL || db_ready(db) != 0) {
		struct db_reply reply = call_transact(call, DB_READ_ONLY, steps, count);
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
call_resume(struct call *call)
{
	struct db_reply reply = call->ticket->reply;

	call->waiting = false;
	if (is_worth_another(&reply, DB_READ_ONLY))
		reply = call_transact(call, DB_READ_ONLY, call->steps, call->step_count);
	return call->go_on(call, &reply);
}

/* ---- parameters ---- */

int
call_bind(const struct call *call, struct db_param params[])
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
call_if_match(struct call *call, const char **array)
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
		return call_problem(call, PROBLEM_BAD_REQUEST, "If-Match is not a list of entity tags.");
	if (any) {
		*array = put ? "{*}" : NULL;
		return 0;
	}
	const char **texts = arena_calloc(call->arena, (size_t)count + 1, sizeof(*texts));
	for (int i = 0; i < count; i++)
		texts[i] = utf8_valid(tags[i].data, tags[i].len) ?
		    arena_copy(call->arena, tags[i].data, own_part(tags[i]).len) : ""; /* a tag may be of any bytes, a text not */
	texts[count] = ""; /* no version has this one; weak tags alone leave it alone */
	*array = field_array(call->arena, texts, count + 1);
	return 0;
}

/* ---- answers ---- */

void
call_set_etag(struct call *call, const struct db_result *result)
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

int
call_answer_row_as(struct call *call, const struct db_result *result, const struct representation *form)
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
call_answer_row(struct call *call, const struct db_result *result)
{
	return call_answer_row_as(call, result, NULL);
}
