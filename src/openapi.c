#include "openapi.h"

#include "endpoint.h"
#include "fieldschema.h"
#include "list.h"
#include "openapi_operation.h"
#include "openapi_response.h"
#include "openapi_row.h"
#include "writer.h"

static const char about[] =
    "JobForge keeps job applications, the documents written for each, resumes, and embeddings of the documents.\n\n"
    "- **Who.** `Authorization: Bearer <access token>`, from register, login or refresh. Another user's row does "
    "not exist: 404.\n"
    "- **Errors** are `application/problem+json` (RFC 9457); 422 lists every fault in `errors`, each with a JSON "
    "pointer.\n"
    "- **Bodies** are JSON in UTF-8, at most 1 MiB (64 KiB under `auth/`). Unknown fields and U+0000 are refused.\n"
    "- **Versions.** A single resource has a strong `ETag`: `If-None-Match` asks again for the price of a 304, "
    "`If-Match` changes only what was read, else 412.\n"
    "- **Retries.** A creation with an `Idempotency-Key` can be sent again for 24 hours and happens once.\n"
    "- **Lists** come in pages: `cursor` takes `next` of the page before, and rows that come and go shift nothing.\n"
    "- **Methods.** HEAD goes wherever GET does; OPTIONS and a 405 tell by `Allow` what an address takes.\n"
    "- **Overload** is 429 or 503 with `Retry-After`.";

/* ---- parameters and headers that operations share ---- */

struct shared {
	const char *key;  /* in components */
	const char *name; /* of the header */
	bool always;      /* an answer's: there whenever it is listed */
	const char *about;
	struct field field;
};

static const struct shared header_parameters[] = {
	{ "Idempotency-Key", "Idempotency-Key", false,
	    "Chosen by the client: the same key and body within 24 hours give the first answer again.",
	    { .type = FIELD_TOKEN, .max = 255, .example = "0d4f3c1e-7a52" } },
	{ "If-Match", "If-Match", false, "Only if the resource still has one of these ETags, or * for any.",
	    { .type = FIELD_TEXT, .example = "\"1234\"" } },
	{ "If-None-Match", "If-None-Match", false, "Only if the resource has none of these ETags: otherwise 304.",
	    { .type = FIELD_TEXT, .example = "\"1234\"" } },
	{ "If-None-Match-any", "If-None-Match", false, "With *, only if there is none yet: otherwise 412.",
	    { .type = FIELD_ENUM, .choices = (const char *const[]){ "*", NULL } } },
};

static const struct shared headers[] = {
	{ "X-Request-Id", NULL, true, "The request's id, as in the log and in `instance` of a problem.",
	    { .type = FIELD_TEXT, .min = 8, .max = 64, .example = "5f0c2b7d9e8a41c3b6d70f1e2a3c4b5d" } },
	{ "ETag", NULL, true, "The version of the resource.", { .type = FIELD_TEXT, .example = "\"1234\"" } },
	{ "ETag-of-one", NULL, false, "The version of the resource, where one was created.",
	    { .type = FIELD_TEXT, .example = "\"1234\"" } },
	{ "Location", NULL, true, "Where the created resource is.",
	    { .type = FIELD_TEXT, .example = API "/resumes/5d3f9a52-8c1e-4b7a-9f60-2e7d4c1b8a93" } },
	{ "Location-of-one", NULL, false, "Where the resource is, where one was created.",
	    { .type = FIELD_TEXT, .example = API "/applications/5d3f9a52-8c1e-4b7a-9f60-2e7d4c1b8a93" } },
	{ "Link", NULL, false, "The address of the next page, with rel=\"next\" (RFC 8288); absent on the last.",
	    { .type = FIELD_TEXT, .example = "<" API "/applications?cursor=q3Zk8Xw1>; rel=\"next\"" } },
	{ "Idempotency-Replayed", NULL, false, "true when this is the first answer again.",
	    { .type = FIELD_ENUM, .choices = (const char *const[]){ "true", NULL } } },
	{ "Retry-After", NULL, true, "Seconds to wait.", { .type = FIELD_INTEGER, .min = 1, .max = 86400, .example = "5" } },
	{ "WWW-Authenticate", NULL, true, "Bearer, with error=\"invalid_token\" when a token was sent.",
	    { .type = FIELD_TEXT, .example = "Bearer" } },
};

static void
write_shared(struct writer *writer, const struct shared *shared, bool parameter)
{
	writer_object(writer, shared->key);
	if (parameter) {
		writer_string(writer, "name", shared->name);
		writer_string(writer, "in", "header");
	}
	writer_string(writer, "description", shared->about);
	if (shared->always)
		writer_bool(writer, "required", true);
	fieldschema_write(writer, "schema", &shared->field, parameter ? FIELDSCHEMA_TEXT : FIELDSCHEMA_ANSWER);
	writer_end(writer);
}

static void
write_list_parameter(struct writer *writer, const struct field *field)
{
	writer_object(writer, field->name);
	writer_string(writer, "name", field->name);
	writer_string(writer, "in", "query");
	writer_string(writer, "description", field->about);
	fieldschema_write(writer, "schema", field, FIELDSCHEMA_TEXT);
	writer_end(writer);
}

static void
write_parameters(struct writer *writer)
{
	writer_object(writer, "parameters");
	for (const struct field *field = list_fields; field->name != NULL; field++)
		if (strcmp(field->name, "sort") != 0)
			write_list_parameter(writer, field);
	for (size_t i = 0; i < COUNT_OF(header_parameters); i++)
		write_shared(writer, &header_parameters[i], true);
	writer_end(writer);
}

static void
write_headers(struct writer *writer)
{
	writer_object(writer, "headers");
	for (size_t i = 0; i < COUNT_OF(headers); i++)
		write_shared(writer, &headers[i], false);
	writer_end(writer);
}

/* ---- problems ---- */

/* What no operation gives by itself. */
static const enum problem general_problems[] = { PROBLEM_METHOD_NOT_ALLOWED, PROBLEM_MISDIRECTED };

static const struct field fault_fields[] = {
	{ .name = "pointer", .type = FIELD_TEXT, .about = "Where in the body: a JSON pointer (RFC 6901).",
	    .example = "/email" },
	{ .name = "detail", .type = FIELD_TEXT, .about = "What is wrong there.", .example = "must be an email address" },
	{ 0 },
};

static const char *const limits[] = { "applications", "documents", "embeddings", "bytes", NULL };

static const struct field limit_fields[] = {
	{ .name = "name", .type = FIELD_ENUM, .choices = limits, .about = "Which limit of the plan." },
	{ .name = "allowed", .type = FIELD_INTEGER, .example = "10", .about = "How much the plan allows." },
	{ .name = "used", .type = FIELD_INTEGER, .example = "10", .about = "How much was held before the request." },
	{ 0 },
};

static const struct field problem_fields[] = {
	{ .name = "type", .type = FIELD_TEXT, .about = "What went wrong, for programs.", .example = "/problems/validation" },
	{ .name = "title", .type = FIELD_TEXT, .about = "The same in words.", .example = "Not valid" },
	{ .name = "status", .type = FIELD_INTEGER, .min = 400, .max = 599, .about = "The status of the answer.",
	    .example = "422" },
	{ .name = "detail", .type = FIELD_TEXT, .about = "What went wrong this time.",
	    .example = "Some fields are not valid; errors lists each." },
	{ .name = "instance", .type = FIELD_TEXT, .min = 8, .max = 64, .about = "The request's id, as in X-Request-Id.",
	    .example = "5f0c2b7d9e8a41c3b6d70f1e2a3c4b5d" },
	{ .name = "errors", .type = FIELD_ARRAY, .optional = true, .fields = fault_fields,
	    .about = "Every fault of the body, of a validation problem." },
	{ .name = "limit", .type = FIELD_OBJECT, .optional = true, .fields = limit_fields,
	    .about = "What would go beyond the plan, of a plan-limit problem." },
	{ 0 },
};

static void
write_problem(struct writer *writer, const struct problem_kind *kind)
{
	char type[64] = "/problems/";

	strncat(type, kind->slug, sizeof(type) - strlen(type) - 1);
	writer_object(writer, kind->slug);
	writer_string(writer, "summary", kind->title);
	writer_object(writer, "value");
	writer_string(writer, "type", type);
	writer_string(writer, "title", kind->title);
	writer_integer(writer, "status", kind->status);
	writer_string(writer, "detail", kind->detail);
	writer_string(writer, "instance", problem_fields[4].example);
	if (kind == problem_kind(PROBLEM_VALIDATION)) {
		writer_array(writer, "errors");
		fieldschema_write_example(writer, NULL, fault_fields, FIELDSCHEMA_ANSWER);
		writer_end(writer);
	}
	if (kind == problem_kind(PROBLEM_PLAN_LIMIT))
		fieldschema_write_example(writer, "limit", limit_fields, FIELDSCHEMA_ANSWER);
	writer_end(writer);
	writer_end(writer);
}

static void
write_problems(struct writer *writer)
{
	writer_object(writer, "examples");
	for (int i = 0; i < PROBLEM_COUNT; i++)
		write_problem(writer, problem_kind((enum problem)i));
	for (const struct problem_kind *kind = openapi_web_server_problems; kind->slug != NULL; kind++)
		write_problem(writer, kind);
	writer_end(writer);
}

static void
write_default_response(struct writer *writer)
{
	writer_object(writer, "responses");
	writer_object(writer, "Problem");
	writer_string(writer, "description", "Any other error, of the web server for example.");
	writer_object(writer, "content");
	writer_object(writer, "application/problem+json");
	writer_object(writer, "schema");
	writer_string(writer, "$ref", "#/components/schemas/Problem");
	writer_end(writer);
	writer_object(writer, "examples");
	for (size_t i = 0; i < COUNT_OF(general_problems); i++) {
		const char *slug = problem_kind(general_problems[i])->slug;
		openapi_write_reference(writer, slug, "examples", slug);
	}
	writer_end(writer);
	writer_end(writer);
	writer_end(writer);
	writer_end(writer);
	writer_end(writer);
}

/* ---- schemas ---- */

static const struct endpoint *
first_with_answers(const struct endpoint *endpoints, const struct field *answers)
{
	while (endpoints->answers != answers)
		endpoints++;
	return endpoints;
}

static void
write_schemas(struct writer *writer, const struct endpoint *endpoints)
{
	char name[OPENAPI_NAME];

	writer_object(writer, "schemas");
	fieldschema_write_object(writer, "Problem", problem_fields, FIELDSCHEMA_ANSWER);
	for (const struct endpoint *endpoint = endpoints; endpoint->path != NULL; endpoint++) {
		const struct field *body = endpoint->body != NULL ? endpoint->body : endpoint->streamed;
		if (endpoint->answers != NULL && first_with_answers(endpoints, endpoint->answers) == endpoint) {
			openapi_row_answer_name(name, endpoints, endpoint);
			fieldschema_write_object(writer, name, endpoint->answers, FIELDSCHEMA_ANSWER);
		}
		if (body == NULL)
			continue;
		openapi_row_body_name(name, endpoint);
		fieldschema_write_object(writer, name, body,
		    endpoint->method == HTTP_PATCH ? FIELDSCHEMA_PARTIAL : FIELDSCHEMA_BODY);
	}
	writer_end(writer);
}

static void
write_security_schemes(struct writer *writer)
{
	writer_object(writer, "securitySchemes");
	writer_object(writer, "bearer");
	writer_string(writer, "type", "http");
	writer_string(writer, "scheme", "bearer");
	writer_string(writer, "bearerFormat", "JWT");
	writer_string(writer, "description", "The access token of register, login or refresh.");
	writer_end(writer);
	writer_end(writer);
}

static void
write_components(struct writer *writer, const struct endpoint *endpoints)
{
	writer_object(writer, "components");
	write_security_schemes(writer);
	write_schemas(writer, endpoints);
	write_parameters(writer);
	write_headers(writer);
	write_default_response(writer);
	write_problems(writer);
	writer_end(writer);
}

/* ---- the document ---- */

static void
write_info(struct writer *writer)
{
	writer_object(writer, "info");
	writer_string(writer, "title", "JobForge");
	writer_string(writer, "version", JOBFORGE_VERSION);
	writer_string(writer, "description", about);
	writer_object(writer, "license");
	writer_string(writer, "name", "ISC");
	writer_string(writer, "identifier", "ISC");
	writer_end(writer);
	writer_end(writer);
}

static void
write_tag(struct writer *writer, const struct openapi_tag *tag)
{
	writer_object(writer, NULL);
	writer_string(writer, "name", tag->name);
	writer_string(writer, "description", tag->about);
	writer_end(writer);
}

/* The tag of what has no other comes last. */
static void
write_tags(struct writer *writer)
{
	writer_array(writer, "tags");
	for (const struct openapi_tag *tag = openapi_tags + 1; tag->name != NULL; tag++)
		if (tag->about != NULL)
			write_tag(writer, tag);
	write_tag(writer, openapi_tags);
	writer_end(writer);
}

static bool
is_first_of_path(const struct endpoint *endpoints, const struct endpoint *endpoint)
{
	for (; endpoints < endpoint; endpoints++)
		if (strcmp(endpoints->path, endpoint->path) == 0)
			return false;
	return true;
}

static void
write_paths(struct writer *writer, const struct endpoint *endpoints)
{
	writer_object(writer, "paths");
	for (const struct endpoint *first = endpoints; first->path != NULL; first++) {
		if (!is_first_of_path(endpoints, first))
			continue;
		writer_object(writer, first->path);
		for (const struct endpoint *endpoint = first; endpoint->path != NULL; endpoint++)
			if (strcmp(endpoint->path, first->path) == 0)
				openapi_operation_write(writer, endpoints, endpoint);
		writer_end(writer);
	}
	writer_end(writer);
}

void
openapi_write(struct buffer *out, const struct endpoint *endpoints)
{
	struct writer writer = { .out = out };

	writer_object(&writer, NULL);
	writer_string(&writer, "openapi", "3.1.0");
	write_info(&writer);
	writer_array(&writer, "servers");
	writer_object(&writer, NULL);
	writer_string(&writer, "url", "/");
	writer_end(&writer);
	writer_end(&writer);
	write_tags(&writer);
	write_paths(&writer, endpoints);
	write_components(&writer, endpoints);
	writer_end(&writer);
}
