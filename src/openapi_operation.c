#include "openapi_operation.h"

#include <stdio.h>

#include "endpoint.h"
#include "fieldschema.h"
#include "list.h"
#include "openapi_response.h"
#include "openapi_row.h"
#include "response.h"
#include "sheet.h"
#include "writer.h"

/* ---- parameters ---- */

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

static const char *
sort_about(const struct list *list, const struct field *field)
{
	if (list->search == NULL)
		return field->about;
	return list->search_order == NULL
	    ? "The order; '-' is descending. -rank, the best match first, is there in a search only."
	    : "The order; '-' is descending. -rank, the best match first, is there in a search only, and its default.";
}

/* The orders of a list, as the values of its parameter `sort`. */
static void
write_sort(struct writer *writer, const struct list *list, const struct field *field)
{
	writer_object(writer, NULL);
	writer_string(writer, "name", field->name);
	writer_string(writer, "in", "query");
	writer_string(writer, "description", sort_about(list, field));
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
			openapi_write_reference(writer, NULL, "parameters", field->name);
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
	if (openapi_row_creates(endpoint))
		openapi_write_reference(writer, NULL, "parameters", "Idempotency-Key");
	if (openapi_row_heeds_if_match(endpoint))
		openapi_write_reference(writer, NULL, "parameters", "If-Match");
	if (openapi_row_heeds_if_none_match(endpoint))
		openapi_write_reference(writer, NULL, "parameters",
		    endpoint->method == HTTP_PUT ? "If-None-Match-any" : "If-None-Match");
	writer_end(writer);
}

/* ---- the body ---- */

static bool
is_body_required(const struct endpoint *endpoint)
{
	const struct field *fields = openapi_row_body(endpoint);

	if (endpoint->method != HTTP_POST || endpoint->streamed != NULL)
		return true;
	for (; fields->name != NULL; fields++)
		if (fields->required || fields->either)
			return true;
	return false;
}

static void
write_json_body(struct writer *writer, const char *media, const struct endpoint *endpoint)
{
	char name[OPENAPI_NAME];

	openapi_row_body_name(name, endpoint);
	writer_object(writer, media);
	if (endpoint->bulk == NULL) {
		openapi_write_reference(writer, "schema", "schemas", name);
	} else {
		writer_object(writer, "schema");
		writer_array(writer, "oneOf");
		openapi_write_reference(writer, NULL, "schemas", name);
		openapi_write_array(writer, NULL, name, ENDPOINT_BULK_MAX);
		writer_end(writer);
		writer_end(writer);
	}
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
	if (openapi_row_body(endpoint) == NULL)
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
		openapi_write_text(writer, "text/csv",
		    "A row with the names of the fields, in any order, and up to 5000 rows of values (RFC 4180).");
	writer_end(writer);
	writer_end(writer);
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

	openapi_row_id(id, endpoint);
	writer_object(writer, members[endpoint->method]);
	writer_string(writer, "operationId", id);
	writer_string(writer, "summary", endpoint->about);
	writer_array(writer, "tags");
	writer_string(writer, NULL, openapi_row_tag(endpoint)->name);
	writer_end(writer);
	write_security(writer, endpoint);
	write_parameters(writer, endpoint);
	write_body(writer, endpoint);
	openapi_response_write(writer, endpoints, endpoint);
	writer_end(writer);
}
