#include "fieldschema.h"

#include "writer.h"

/* What field.c takes, as regular expressions of ECMA 262. */
#define ANY_TEXT "^[^\\u0000]*$"
#define NOT_BLANK "^[^\\u0000]*[^\\u0000\\t-\\r ][^\\u0000]*$"
#define EMAIL "^[A-Za-z0-9._%+-]+@[A-Za-z0-9.-]+\\.[A-Za-z]{2,}$"
#define URL "^[Hh][Tt][Tt][Pp][Ss]?://[^\\u0000- /$.?#\\u007f][^\\u0000- \\u007f]+$"
#define VISIBLE "^[!-~]+$"

#define SINGLE_MAX "3.4028235e38" /* as the largest single is written */

enum { EMAIL_MAX = 255 };

/* ---- examples ---- */

static const char lorem[] = "We look for somebody who likes to build things that last, and to say how they are built, "
			    "in a small team that writes more than it meets. You bring some years of experience and an open mind.";

const char *
fieldschema_example_text(const struct field *field)
{
	if (field->example != NULL)
		return field->example;
	switch (field->type) {
	case FIELD_EMAIL:
		return "ada@example.com";
	case FIELD_PASSWORD:
		return "correct horse battery";
	case FIELD_URL:
		return "https://example.com/jobs/1";
	case FIELD_UUID:
		return "5d3f9a52-8c1e-4b7a-9f60-2e7d4c1b8a93";
	case FIELD_ENUM:
		return field->choices[0];
	case FIELD_BOOL:
		return "true";
	case FIELD_INTEGER:
		return "20";
	case FIELD_NUMBER:
		return "0.5";
	case FIELD_TIME:
		return "2026-01-31T12:00:00.123456Z";
	case FIELD_TOKEN:
		return "q3Zk8Xw1";
	default:
		return (size_t)field->min < sizeof("Some text") ? "Some text" : lorem;
	}
}

static void
write_example_vector(struct writer *writer, const char *name, int width)
{
	writer_array(writer, name);
	for (int i = 0; i < width; i++)
		writer_number(writer, NULL, i == 0 ? "1" : "0");
	writer_end(writer);
}

static void
write_example_array(struct writer *writer, const char *name, const struct field *field, enum fieldschema_use use)
{
	writer_array(writer, name);
	fieldschema_write_example(writer, NULL, field->fields, use);
	writer_end(writer);
}

static void
write_example(struct writer *writer, const char *name, const struct field *field, enum fieldschema_use use)
{
	switch (field->type) {
	case FIELD_VECTOR:
		write_example_vector(writer, name, field->max);
		break;
	case FIELD_OBJECT:
		fieldschema_write_example(writer, name, field->fields, use);
		break;
	case FIELD_ARRAY:
		write_example_array(writer, name, field, use);
		break;
	case FIELD_BOOL:
	case FIELD_INTEGER:
	case FIELD_NUMBER:
		writer_number(writer, name, fieldschema_example_text(field));
		break;
	default:
		writer_string(writer, name, fieldschema_example_text(field));
	}
}

void
fieldschema_write_example(struct writer *writer, const char *name, const struct field fields[],
    enum fieldschema_use use)
{
	bool chosen = false;

	writer_object(writer, name);
	for (; fields != NULL && fields->name != NULL; fields++) {
		if (fields->either && chosen)
			continue;
		chosen |= fields->either;
		write_example(writer, fields->name, fields, use);
	}
	writer_end(writer);
}

/* ---- schemas ---- */

static void
write_type(struct writer *writer, const char *type, bool nullable)
{
	if (!nullable) {
		writer_string(writer, "type", type);
		return;
	}
	writer_array(writer, "type");
	writer_string(writer, NULL, type);
	writer_string(writer, NULL, "null");
	writer_end(writer);
}

static void
write_choices(struct writer *writer, const struct field *field)
{
	write_type(writer, "string", field->nullable);
	writer_array(writer, "enum");
	for (const char *const *choice = field->choices; *choice != NULL; choice++)
		writer_string(writer, NULL, *choice);
	if (field->nullable)
		writer_null(writer, NULL);
	writer_end(writer);
}

/* Answers have times; bodies and parameters may also have dates. */
static void
write_time(struct writer *writer, enum fieldschema_use use)
{
	static const char *const formats[] = { "date-time", "date" };

	if (use == FIELDSCHEMA_ANSWER) {
		writer_string(writer, "format", formats[0]);
		return;
	}
	writer_array(writer, "anyOf");
	for (size_t i = 0; i < COUNT_OF(formats); i++) {
		writer_object(writer, NULL);
		writer_string(writer, "format", formats[i]);
		writer_end(writer);
	}
	writer_end(writer);
}

static const struct {
	const char *format;
	const char *pattern;
} string_types[] = {
	[FIELD_TEXT] = { NULL, ANY_TEXT },
	[FIELD_EMAIL] = { "email", EMAIL },
	[FIELD_PASSWORD] = { "password", ANY_TEXT },
	[FIELD_URL] = { "uri", URL },
	[FIELD_UUID] = { "uuid", NULL },
	[FIELD_TOKEN] = { NULL, VISIBLE },
	[FIELD_TIME] = { NULL, NULL },
};

/* Bounds in bytes, for which JSON Schema has no word. */
static void
write_byte_bounds(struct writer *writer, const struct field *field)
{
	bool counted = field->type == FIELD_PASSWORD;

	if (counted && field->min > 0)
		writer_integer(writer, "x-min-bytes", field->min);
	if (counted || field->max_bytes > 0)
		writer_integer(writer, "x-max-bytes", counted ? field->max : field->max_bytes);
}

static void
write_string(struct writer *writer, const struct field *field, enum fieldschema_use use)
{
	bool not_blank = field->type == FIELD_TEXT && field->min > 0;
	const char *format = string_types[field->type].format;
	const char *pattern = not_blank ? NOT_BLANK : string_types[field->type].pattern;
	int min = field->type == FIELD_TOKEN ? 1 : field->min;
	int max = field->type == FIELD_EMAIL ? EMAIL_MAX : field->max;

	write_type(writer, "string", field->nullable);
	if (field->type == FIELD_TIME)
		write_time(writer, use);
	if (format != NULL)
		writer_string(writer, "format", format);
	if (min > 0)
		writer_integer(writer, "minLength", min);
	if (max > 0)
		writer_integer(writer, "maxLength", max);
	if (use == FIELDSCHEMA_ANSWER)
		return;
	if (pattern != NULL)
		writer_string(writer, "pattern", pattern);
	write_byte_bounds(writer, field);
}

static void
write_number(struct writer *writer, const struct field *field)
{
	write_type(writer, field->type == FIELD_INTEGER ? "integer" : "number", field->nullable);
	if (field->min == 0 && field->max == 0)
		return;
	writer_integer(writer, "minimum", field->min);
	writer_integer(writer, "maximum", field->max);
}

static void
write_vector(struct writer *writer, const struct field *field)
{
	write_type(writer, "array", field->nullable);
	writer_integer(writer, "minItems", field->max);
	writer_integer(writer, "maxItems", field->max);
	writer_object(writer, "items");
	writer_string(writer, "type", "number");
	writer_number(writer, "minimum", "-" SINGLE_MAX);
	writer_number(writer, "maximum", SINGLE_MAX);
	writer_end(writer);
}

/* The members of a field's schema that its type makes. */
static void
write_members(struct writer *writer, const struct field *field, enum fieldschema_use use)
{
	switch (field->type) {
	case FIELD_BOOL:
		write_type(writer, "boolean", field->nullable);
		break;
	case FIELD_INTEGER:
	case FIELD_NUMBER:
		write_number(writer, field);
		break;
	case FIELD_VECTOR:
		write_vector(writer, field);
		break;
	case FIELD_ENUM:
		write_choices(writer, field);
		break;
	case FIELD_ARRAY:
		write_type(writer, "array", field->nullable);
		fieldschema_write_object(writer, "items", field->fields, use);
		break;
	default:
		write_string(writer, field, use);
	}
}

static void
write_examples(struct writer *writer, const struct field *field, enum fieldschema_use use)
{
	writer_array(writer, "examples");
	write_example(writer, NULL, field, use);
	writer_end(writer);
}

static void write_object_members(struct writer *writer, const struct field fields[], enum fieldschema_use use);

void
fieldschema_write(struct writer *writer, const char *name, const struct field *field, enum fieldschema_use use)
{
	bool repeats = use == FIELDSCHEMA_TEXT && field->repeatable;

	writer_object(writer, name);
	if (field->about != NULL && use != FIELDSCHEMA_TEXT)
		writer_string(writer, "description", field->about);
	if (repeats) {
		writer_string(writer, "type", "array");
		writer_object(writer, "items");
	}
	if (field->type == FIELD_OBJECT)
		write_object_members(writer, field->fields, use);
	else
		write_members(writer, field, use);
	write_examples(writer, field, use);
	if (repeats)
		writer_end(writer);
	writer_end(writer);
}

static bool
is_required(const struct field *field, enum fieldschema_use use)
{
	return use == FIELDSCHEMA_ANSWER ? !field->optional : use == FIELDSCHEMA_BODY && field->required;
}

static void
write_required(struct writer *writer, const struct field fields[], enum fieldschema_use use)
{
	bool any = false;

	for (int i = 0; fields[i].name != NULL; i++)
		any |= is_required(&fields[i], use);
	if (!any)
		return;
	writer_array(writer, "required");
	for (; fields->name != NULL; fields++)
		if (is_required(fields, use))
			writer_string(writer, NULL, fields->name);
	writer_end(writer);
}

/* Exactly one of the fields so marked. */
static void
write_either(struct writer *writer, const struct field fields[])
{
	bool any = false;

	for (; fields->name != NULL; fields++) {
		if (!fields->either)
			continue;
		if (!any)
			writer_array(writer, "oneOf");
		any = true;
		writer_object(writer, NULL);
		writer_array(writer, "required");
		writer_string(writer, NULL, fields->name);
		writer_end(writer);
		writer_end(writer);
	}
	if (any)
		writer_end(writer);
}

static void
write_object_members(struct writer *writer, const struct field fields[], enum fieldschema_use use)
{
	writer_string(writer, "type", "object");
	if (fields == NULL)
		return;
	writer_object(writer, "properties");
	for (const struct field *field = fields; field->name != NULL; field++)
		fieldschema_write(writer, field->name, field, use);
	writer_end(writer);
	write_required(writer, fields, use);
	write_either(writer, fields);
	writer_bool(writer, "additionalProperties", false);
}

void
fieldschema_write_object(struct writer *writer, const char *name, const struct field fields[],
    enum fieldschema_use use)
{
	writer_object(writer, name);
	write_object_members(writer, fields, use);
	writer_array(writer, "examples");
	fieldschema_write_example(writer, NULL, fields, use);
	writer_end(writer);
	writer_end(writer);
}
