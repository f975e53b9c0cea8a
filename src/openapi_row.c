#include "openapi_row.h"

#include <ctype.h>
#include <stdio.h>

#include "endpoint.h"
#include "writer.h"

const struct openapi_tag openapi_tags[] = {
	{ "service", NULL, "The service itself: its health, and this description." },
	{ "auth", API "/auth/", "Accounts and sessions." },
	{ "me", API "/me", "The signed-in user, and all that is theirs." },
	{ "applications", API "/applications", "Positions applied for." },
	{ "resumes", API "/resumes", "The user's resumes, one of them the primary one." },
	{ "documents", "/documents", "The research report, the optimised resume and the cover letter of an application." },
	{ "embeddings", "/embedding", "What a model made of each document: 1536 numbers." },
	{ "embeddings", "/similar", NULL },
	{ "account", API "/usage", "What the service keeps of the user: usage, plan, and the log of all changes." },
	{ "account", API "/subscription", NULL },
	{ "account", API "/audit-log", NULL },
	{ 0 },
};

/* ---- what follows from a row ---- */

const struct field *
openapi_row_body(const struct endpoint *endpoint)
{
	return endpoint->body != NULL ? endpoint->body : endpoint->streamed;
}

bool
openapi_row_creates(const struct endpoint *endpoint)
{
	return endpoint->answer == ANSWER_CREATED && endpoint->handler == NULL;
}

/* Whether the answer has an ETag: the statement says so by a column of that name. */
bool
openapi_row_has_etag(const struct endpoint *endpoint)
{
	if (endpoint->answer == ANSWER_EMPTY || endpoint->answer == ANSWER_LIST)
		return false;
	return endpoint->handler != NULL ? endpoint->tagged : strstr(endpoint->statement->sql, "_etag") != NULL;
}

bool
openapi_row_heeds_if_match(const struct endpoint *endpoint)
{
	bool changes = endpoint->method == HTTP_PUT || endpoint->method == HTTP_PATCH || endpoint->method == HTTP_DELETE;

	return changes && (endpoint->handler == NULL || endpoint->tagged);
}

bool
openapi_row_heeds_if_none_match(const struct endpoint *endpoint)
{
	return endpoint->method == HTTP_GET ? openapi_row_has_etag(endpoint) : endpoint->method == HTTP_PUT;
}

const struct openapi_tag *
openapi_row_tag(const struct endpoint *endpoint)
{
	const struct openapi_tag *found = openapi_tags;

	for (const struct openapi_tag *tag = openapi_tags + 1; tag->name != NULL; tag++)
		if (strstr(endpoint->path, tag->mark) != NULL)
			found = tag;
	return found;
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
openapi_row_id(char out[OPENAPI_NAME], const struct endpoint *endpoint)
{
	static const char *const verbs[HTTP_OTHER + 1] = { [HTTP_GET] = "get", [HTTP_POST] = "post", [HTTP_PUT] = "put",
		[HTTP_PATCH] = "update", [HTTP_DELETE] = "delete" };
	const char *verb = endpoint->answer == ANSWER_LIST ? "list" : openapi_row_creates(endpoint) ? "create"
											     : verbs[endpoint->method];

	snprintf(out, OPENAPI_NAME, "%s", verb);
	append_noun(out, endpoint->path, openapi_row_creates(endpoint));
}

void
openapi_row_body_name(char out[OPENAPI_NAME], const struct endpoint *endpoint)
{
	openapi_row_id(out, endpoint);
	out[0] = (char)toupper((unsigned char)out[0]);
	snprintf(out + strlen(out), OPENAPI_NAME - strlen(out), "Body");
}

void
openapi_row_answer_name(char out[OPENAPI_NAME], const struct endpoint *endpoints, const struct endpoint *endpoint)
{
	const struct endpoint *first = endpoints;

	while (first->answers != endpoint->answers)
		first++;
	bool list = first->answer == ANSWER_LIST;
	out[0] = '\0';
	if (first->entity != NULL)
		snprintf(out, OPENAPI_NAME, "%s", first->entity);
	else
		append_noun(out, first->path, list || openapi_row_creates(first));
	if (list)
		snprintf(out + strlen(out), OPENAPI_NAME - strlen(out), "Item");
}

/* ---- parts that bodies and answers share ---- */

void
openapi_write_reference(struct writer *writer, const char *name, const char *kind, const char *what)
{
	char target[OPENAPI_NAME + 32];

	snprintf(target, sizeof(target), "#/components/%s/%s", kind, what);
	writer_object(writer, name);
	writer_string(writer, "$ref", target);
	writer_end(writer);
}

void
openapi_write_array(struct writer *writer, const char *name, const char *schema, int max)
{
	writer_object(writer, name);
	writer_string(writer, "type", "array");
	if (max > 0) {
		writer_integer(writer, "minItems", 1);
		writer_integer(writer, "maxItems", max);
	}
	openapi_write_reference(writer, "items", "schemas", schema);
	writer_end(writer);
}

void
openapi_write_text(struct writer *writer, const char *media, const char *about)
{
	writer_object(writer, media);
	writer_object(writer, "schema");
	writer_string(writer, "type", "string");
	writer_string(writer, "description", about);
	writer_end(writer);
	writer_end(writer);
}
