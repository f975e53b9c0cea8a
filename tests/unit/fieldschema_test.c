/* The JSON writer, and field tables as schemas. */
#include "fieldschema.h"

#include "buffer.h"
#include "json.h"
#include "tap.h"
#include "writer.h"

static void
test_writer(void)
{
	struct buffer out = { 0 };
	struct writer writer = { .out = &out };

	writer_object(&writer, NULL);
	writer_array(&writer, "empty");
	writer_end(&writer);
	writer_array(&writer, "a\"b");
	writer_string(&writer, NULL, "x\n\\");
	writer_integer(&writer, NULL, -7);
	writer_number(&writer, NULL, "1e3");
	writer_object(&writer, NULL);
	writer_end(&writer);
	writer_end(&writer);
	writer_bool(&writer, "yes", true);
	writer_null(&writer, "none");
	writer_end(&writer);
	is_slice((struct slice){ out.data, out.len },
	    "{\"empty\":[],\"a\\\"b\":[\"x\\n\\\\\",-7,1e3,{}],\"yes\":true,\"none\":null}", "commas, brackets and escapes");
	buffer_free(&out);
}

static void
nest_too_deep(void *unused)
{
	struct buffer out = { 0 };
	struct writer writer = { .out = &out };

	(void)unused;
	for (int i = 0; i <= WRITER_DEPTH; i++)
		writer_array(&writer, NULL);
}

static void
end_too_often(void *unused)
{
	struct buffer out = { 0 };
	struct writer writer = { .out = &out };

	(void)unused;
	writer_end(&writer);
}

static void
is_schema(const struct field *field, enum fieldschema_use use, const char *want, const char *name)
{
	struct buffer out = { 0 };
	struct writer writer = { .out = &out };

	fieldschema_write(&writer, NULL, field, use);
	ok(json_valid(out.data, out.len), "%s is JSON", name);
	is_slice((struct slice){ out.data, out.len }, want, "%s", name);
	buffer_free(&out);
}

static void
test_schemas(void)
{
	static const char *const choices[] = { "low", "high", NULL };

	is_schema(&(struct field){ .type = FIELD_INTEGER, .min = 1, .max = 5, .example = "2", .about = "How many." },
	    FIELDSCHEMA_BODY,
	    "{\"description\":\"How many.\",\"type\":\"integer\",\"minimum\":1,\"maximum\":5,\"examples\":[2]}", "an integer");
	is_schema(&(struct field){ .type = FIELD_INTEGER, .min = 1, .max = 1, .example = "1" }, FIELDSCHEMA_BODY,
	    "{\"type\":\"integer\",\"minimum\":1,\"maximum\":1,\"examples\":[1]}", "the only integer");
	is_schema(&(struct field){ .type = FIELD_ENUM, .choices = choices, .nullable = true }, FIELDSCHEMA_BODY,
	    "{\"type\":[\"string\",\"null\"],\"enum\":[\"low\",\"high\",null],\"examples\":[\"low\"]}", "a choice or null");
	is_schema(&(struct field){ .type = FIELD_ENUM, .choices = choices, .repeatable = true }, FIELDSCHEMA_TEXT,
	    "{\"type\":\"array\",\"items\":{\"type\":\"string\",\"enum\":[\"low\",\"high\"],\"examples\":[\"low\"]}}",
	    "a repeatable parameter");
	is_schema(&(struct field){ .type = FIELD_TIME, .example = "2026-01-31" }, FIELDSCHEMA_TEXT,
	    "{\"type\":\"string\",\"anyOf\":[{\"format\":\"date-time\"},{\"format\":\"date\"}],\"examples\":[\"2026-01-31\"]}",
	    "a time that is sent");
	is_schema(&(struct field){ .type = FIELD_TIME, .example = "2026-01-31T12:00:00Z" }, FIELDSCHEMA_ANSWER,
	    "{\"type\":\"string\",\"format\":\"date-time\",\"examples\":[\"2026-01-31T12:00:00Z\"]}", "a time that is answered");
	is_schema(&(struct field){ .type = FIELD_PASSWORD, .min = 8, .max = 72, .example = "x" }, FIELDSCHEMA_BODY,
	    "{\"type\":\"string\",\"format\":\"password\",\"minLength\":8,\"maxLength\":72,\"pattern\":\"^[^\\\\u0000]*$\","
	    "\"x-min-bytes\":8,\"x-max-bytes\":72,\"examples\":[\"x\"]}",
	    "a password is bounded in bytes");
	is_schema(&(struct field){ .type = FIELD_VECTOR, .max = 2 }, FIELDSCHEMA_BODY,
	    "{\"type\":\"array\",\"minItems\":2,\"maxItems\":2,\"items\":{\"type\":\"number\",\"minimum\":-3.4028235e38,"
	    "\"maximum\":3.4028235e38},\"examples\":[[1,0]]}",
	    "a vector");
}

static void
test_objects(void)
{
	static const struct field fields[] = {
		{ .name = "a", .type = FIELD_BOOL, .required = true, .optional = true },
		{ .name = "b", .type = FIELD_BOOL, .either = true },
		{ .name = "c", .type = FIELD_BOOL, .either = true },
		{ 0 },
	};
	static const char *const required[] = {
		[FIELDSCHEMA_BODY] = "\"required\":[\"a\"],\"oneOf\":[{\"required\":[\"b\"]},{\"required\":[\"c\"]}]",
		[FIELDSCHEMA_ANSWER] = "\"required\":[\"b\",\"c\"]",
	};
	static const enum fieldschema_use uses[] = { FIELDSCHEMA_BODY, FIELDSCHEMA_ANSWER };

	for (size_t i = 0; i < COUNT_OF(uses); i++) {
		struct buffer out = { 0 };
		struct writer writer = { .out = &out };
		fieldschema_write_object(&writer, NULL, fields, uses[i]);
		ok(json_valid(out.data, out.len), "an object's schema is JSON");
		ok(memmem(out.data, out.len, required[uses[i]], strlen(required[uses[i]])) != NULL, "it says what must be there");
		ok(memmem(out.data, out.len, "\"additionalProperties\":false", 28) != NULL, "and that nothing else may");
		ok(memmem(out.data, out.len, "\"examples\":[{\"a\":true,\"b\":true}]", 32) != NULL, "its example has one of two");
		buffer_free(&out);
	}
}

int
main(void)
{
	char errors[4096];

	test_writer();
	ok(run_child(nest_too_deep, NULL, errors, sizeof(errors)) == -1, "nesting too deep ends the process");
	ok(run_child(end_too_often, NULL, errors, sizeof(errors)) == -1, "so does an end without a beginning");
	test_schemas();
	test_objects();
	return done();
}
