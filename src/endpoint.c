#include "endpoint.h"

#include "arena.h"
#include "arguments.h"
#include "call.h"
#include "create.h"
#include "list.h"
#include "request.h"
#include "response.h"
#include "sheet.h"

const char *const endpoint_pool_names[POOL_COUNT] = { [POOL_API] = "api", [POOL_AUTH] = "auth", [POOL_BULK] = "bulk" };

bool
endpoint_is_patient(const struct endpoint *endpoint)
{
	return endpoint->pool == POOL_BULK || strncmp(endpoint->path, API, sizeof(API) - 1) != 0;
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
		call_problem(call, PROBLEM_NOT_ACCEPTABLE, NULL);
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
	call_answer_row_as(call, result, form);
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
		return call_refuse(call, reply);
	if (db_rows(reply->results[plan->main]) == 0)
		return call_problem(call, problem_of_no_row(call->endpoint, plan, reply), NULL);
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
	int count = call_bind(call, params);
	int status = reads ? choose_form(call, &plan->form) : call_if_match(call, &tags);

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
		return call_read(call, plan->steps, plan->count, finish_row);
	struct db_reply reply = call_transact(call, DB_READ_WRITE, plan->steps, plan->count);
	return finish_row(call, &reply);
}

/* ---- */

/* Page by page, or all of it as a sheet. */
static int
run_list(struct call *call)
{
	bool as_sheet = false;
	int status = call->endpoint->list->sheet == NULL ? 0 : sheet_wanted(call, &as_sheet);

	if (status != 0)
		return status;
	return as_sheet ? sheet_answer(call) : list_run(call);
}

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
		return run_list(call);
	case ANSWER_CREATED:
		return create_run(call);
	case ANSWER_ROW:
	case ANSWER_PUT:
	case ANSWER_EMPTY:
		break;
	}
	return run_row(call);
}
