#include "arguments.h"

#include "arena.h"
#include "call.h"
#include "create.h"
#include "json.h"
#include "list.h"
#include "request.h"
#include "response.h"
#include "sheet.h"
#include "utf8.h"

static const struct field uuid_path_fields[] = { { .name = "id", .type = FIELD_UUID }, { .name = "id", .type = FIELD_UUID },
	{ 0 } };

static int
check_ids(struct call *call)
{
	const struct field *fields = call->endpoint->path_fields == NULL ? uuid_path_fields : call->endpoint->path_fields;
	const char *error;

	for (int i = 0; i < ENDPOINT_MAX_PATH && call->path[i].data != NULL; i++)
		if (field_read_text(call->arena, &fields[i], call->path[i], &call->ids[i], &error) != 0)
			return call_problem(call, PROBLEM_NOT_FOUND, NULL);
	return 0;
}

static int
bad_query(struct call *call, const char *name, const char *error)
{
	return call_problem(call, PROBLEM_BAD_QUERY,
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
	const struct list *list = endpoint->list;
	const struct field *const tables[] = { endpoint->query, list == NULL ? NULL : list_fields,
		list == NULL || list->sheet == NULL ? NULL : sheet_fields };

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
		return call_problem(call, PROBLEM_BAD_QUERY, "The query is not percent-encoded UTF-8, or is too long.");
	for (int i = 0; i < call->pair_count; i++)
		if (!takes_parameter(call->endpoint, call->pairs[i].name))
			return call_problem(call, PROBLEM_BAD_QUERY,
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
refuse_media_type(struct call *call)
{
	const struct endpoint *endpoint = call->endpoint;
	const char *other = endpoint->markdown ? " or text/markdown" : endpoint->sheet != NULL ? " or text/csv" : "";

	return call_problem(call, PROBLEM_UNSUPPORTED_MEDIA_TYPE,
	    arena_printf(call->arena, "The body must be application/json%s, in UTF-8.", other));
}

/* The body is the first field, as it is. */
static int
read_markdown(struct call *call)
{
	const struct field *field = &call->endpoint->body[0];
	struct slice text = call->request->body;
	const char *error;

	if (!utf8_valid(text.data, text.len))
		return call_problem(call, PROBLEM_BAD_REQUEST, "The body is not UTF-8.");
	call->values[0].present = true;
	if (field_read_text(call->arena, field, text, &call->values[0].text, &error) == 0)
		return 0;
	faults_add(&call->faults, arena_printf(call->arena, "/%s", field->name), "%s", error);
	return call_problem(call, PROBLEM_VALIDATION, NULL);
}

static int
read_json(struct call *call)
{
	const struct endpoint *endpoint = call->endpoint;
	const struct request *request = call->request;
	const char *error = NULL;

	/* A client with nothing to say sends nothing: the same as an empty object where no field is required. */
	bool nothing = request->body.len == 0 && request->method == HTTP_POST && !requires_fields(endpoint->body);
	struct slice text = nothing ? SLICE("{}") : request->body;
	call->body = json_parse(call->arena, text.data, text.len, &error);
	if (call->body == NULL)
		return call_problem(call, PROBLEM_BAD_JSON, error);
	if (create_is_bulk(call))
		return 0;
	field_read_body(call->arena, endpoint->body, call->body, endpoint->method == HTTP_PATCH, "", call->values,
	    &call->faults);
	return call->faults.count > 0 ? call_problem(call, PROBLEM_VALIDATION, NULL) : 0;
}

static int
read_body(struct call *call)
{
	const struct endpoint *endpoint = call->endpoint;
	const struct request *request = call->request;
	struct slice type = request->content_type;

	if (endpoint->markdown && http_content_type_is(type, "text/markdown"))
		return read_markdown(call);
	call->is_sheet = endpoint->sheet != NULL && http_content_type_is(type, "text/csv");
	if (call->is_sheet)
		return 0;
	if (request->body.len > REQUEST_BODY_MAX)
		return call_problem(call, PROBLEM_TOO_LARGE, NULL);
	bool untyped = request->body.len == 0 && request->method == HTTP_POST && !requires_fields(endpoint->body);
	bool merges = request->method == HTTP_PATCH && http_content_type_is(type, "application/merge-patch+json");
	if (!untyped && !merges && !http_content_type_is(type, "application/json"))
		return refuse_media_type(call);
	return read_json(call);
}

static int
check_body(struct call *call)
{
	const struct endpoint *endpoint = call->endpoint;

	if (call->request->fault == REQUEST_TOO_LARGE)
		return call_problem(call, PROBLEM_TOO_LARGE, NULL);
	if (call->request->fault == REQUEST_CUT_OFF)
		return call_problem(call, PROBLEM_BAD_REQUEST, "The body is shorter than its Content-Length.");
	return endpoint->body == NULL ? 0 : read_body(call);
}

int
arguments_check(struct call *call)
{
	int status = check_ids(call);

	if (status == 0)
		status = check_query(call);
	return status == 0 ? check_body(call) : status;
}
