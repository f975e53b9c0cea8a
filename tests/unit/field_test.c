/* The checks of values, one table a type: what is taken, what is refused. */
#include "field.h"

#include <stdio.h>

#include "arena.h"
#include "json.h"
#include "problem.h"
#include "tap.h"

static const char *const colours[] = { "red", "green", NULL };

static const struct field text = { .name = "text", .type = FIELD_TEXT, .min = 1, .max = 5 };
static const struct field email = { .name = "email", .type = FIELD_EMAIL };
static const struct field password = { .name = "password", .type = FIELD_PASSWORD, .min = 8, .max = 72 };
static const struct field url = { .name = "url", .type = FIELD_URL, .max = 40 };
static const struct field uuid = { .name = "uuid", .type = FIELD_UUID };
static const struct field colour = { .name = "colour", .type = FIELD_ENUM, .choices = colours };
static const struct field number = { .name = "number", .type = FIELD_INTEGER, .min = 1, .max = 100 };
static const struct field when = { .name = "time", .type = FIELD_TIME };
static const struct field token = { .name = "token", .type = FIELD_TOKEN, .max = 8 };

static const struct {
	const struct field *field;
	const char *text;
	bool good;
} cases[] = {
	{ &text, "a", true }, { &text, "abcde", true }, { &text, "abcdef", false }, { &text, "", false },
	{ &text, " \t ", false }, { &text, "äöüßé", true }, { &text, "äöüßéñ", false }, { &text, "😀😀😀😀😀", true },
	{ &email, "a@b.de", true }, { &email, "A.b+c@EXAMPLE.com", true }, { &email, "a@b", false },
	{ &email, "a@b.c", false }, { &email, "@b.de", false }, { &email, "a@.de", false }, { &email, "a@b.d1", false },
	{ &email, "a b@c.de", false }, { &email, "a@b.de ", false }, { &email, "a@b@c.de", false }, { &email, "ä@b.de", false },
	{ &password, "1234567", false }, { &password, "12345678", true }, { &password, "ääää", true },
	{ &password, "123456789012345678901234567890123456789012345678901234567890123456789012", true },
	{ &password, "1234567890123456789012345678901234567890123456789012345678901234567890123", false },
	{ &url, "https://a.example/x?y#z", true }, { &url, "HTTP://a/", true }, { &url, "ftp://a.example", false },
	{ &url, "https://", false }, { &url, "https://a", false }, { &url, "https:///x", false },
	{ &url, "https://a b", false }, { &url, "https://.a", false }, { &url, "javascript:alert(1)", false },
	{ &url, "https://example.com/0123456789012345678901", false },
	{ &uuid, "123e4567-e89b-12d3-a456-426614174000", true }, { &uuid, "123E4567-E89B-12D3-A456-426614174000", true },
	{ &uuid, "123e4567e89b12d3a456426614174000", false }, { &uuid, "", false },
	{ &uuid, "{123e4567-e89b-12d3-a456-426614174000}", false },
	{ &colour, "red", true }, { &colour, "Red", false }, { &colour, "blue", false }, { &colour, "", false },
	{ &number, "1", true }, { &number, "100", true }, { &number, "0", false }, { &number, "101", false },
	{ &number, "1x", false }, { &number, " 1", false }, { &number, "+1", false }, { &number, "", false },
	{ &number, "99999999999999999999", false }, { &number, "1.0", false },
	{ &when, "2026-01-31", true }, { &when, "2024-02-29", true }, { &when, "2026-02-29", false },
	{ &when, "2026-02-30", false }, { &when, "0000-01-01", false }, { &when, "2026-13-01", false },
	{ &when, "2026-01-31T12:00:00Z", true }, { &when, "2026-01-31T12:00:00.123456789+02:00", true },
	{ &when, "2026-01-31T12:00:00", false }, { &when, "2026-01-31T24:00:00Z", false },
	{ &when, "2026-01-31T12:00:00.Z", false }, { &when, "2026-01-31T12:00:00+25:00", false },
	{ &when, "2026-01-01T00:00:00+15:59", true }, { &when, "2026-01-01T00:00:00+16:00", false },
	{ &when, "2026-01-01T23:59:60Z", true }, { &when, "2026-01-01T23:59:60.5Z", false },
	{ &when, "2026-01-31T12", false }, { &when, "now", false }, { &when, "infinity", false },
	{ &token, "a-b_c.~", true }, { &token, "123456789", false }, { &token, "a b", false }, { &token, "", false },
	{ &token, "ä", false },
};

static const struct field body[] = {
	{ .name = "name", .type = FIELD_TEXT, .required = true, .min = 1, .max = 5 },
	{ .name = "flag", .type = FIELD_BOOL },
	{ .name = "count", .type = FIELD_INTEGER, .nullable = true, .min = 0, .max = 9 },
	{ 0 },
};

static const struct {
	const char *json;
	bool partial;
	int faults;
	const char *pointer; /* of the first fault */
} bodies[] = {
	{ "{\"name\":\"a\"}", false, 0, NULL },
	{ "{\"name\":\"a\",\"flag\":true,\"count\":null}", false, 0, NULL },
	{ "{}", false, 1, "/name" },
	{ "{}", true, 0, NULL },
	{ "{\"name\":null}", true, 1, "/name" },
	{ "{\"name\":1}", false, 1, "/name" },
	{ "{\"name\":\"a\",\"flag\":\"true\"}", false, 1, "/flag" },
	{ "{\"name\":\"a\",\"count\":\"1\"}", false, 1, "/count" },
	{ "{\"name\":\"a\",\"count\":1.5}", false, 1, "/count" },
	{ "{\"name\":\"a\",\"count\":10}", false, 1, "/count" },
	{ "{\"name\":\"a\",\"count\":99999999999999999999}", false, 1, "/count" },
	{ "{\"name\":\"a\\u0000\"}", false, 1, "/name" },
	{ "{\"name\":[\"a\"]}", false, 1, "/name" },
	{ "{\"name\":\"a\",\"other\":1}", false, 1, "/other" },
	{ "{\"name\":\"a\",\"a/b~c\":1}", false, 1, "/a~1b~0c" },
	{ "{\"name\":\"toolong\",\"flag\":1,\"count\":[],\"x\":0}", false, 4, NULL },
	{ "[]", false, 1, "" },
	{ "null", false, 1, "" },
};

static const struct field vector[] = { { .name = "v", .type = FIELD_VECTOR, .max = 3 }, { 0 } };

static const struct {
	const char *json;
	const char *value;   /* NULL: refused, */
	const char *pointer; /* here */
} vectors[] = {
	{ "{\"v\":[1,-2.5,1e3]}", "[1,-2.5,1000]", NULL },
	{ "{\"v\":[0,-0.0,0.0]}", "[0,-0,0]", NULL },
	{ "{\"v\":[0.1,16777217,1e-40]}", "[0.100000001,16777216,9.9999461e-41]", NULL },
	{ "{\"v\":[1e-50,-1e-50,1e-400]}", "[0,-0,0]", NULL },
	{ "{\"v\":[3.4028234663852886e38,3.4028235e38,-3.4028235e38]}",
	    "[3.40282347e+38,3.40282347e+38,-3.40282347e+38]", NULL },
	{ "{\"v\":[3.40282357e38,0,0]}", NULL, "/v/0" },
	{ "{\"v\":[0,1e39,1e400]}", NULL, "/v/1" },
	{ "{\"v\":[0,0,1e400]}", NULL, "/v/2" },
	{ "{\"v\":[]}", NULL, "/v/0" },
	{ "{\"v\":[0,0]}", NULL, "/v/2" },
	{ "{\"v\":[0,0,0,0]}", NULL, "/v/3" },
	{ "{\"v\":[0,\"0\",0]}", NULL, "/v/1" },
	{ "{\"v\":[0,null,0]}", NULL, "/v/1" },
	{ "{\"v\":[[0],0,0]}", NULL, "/v/0" },
	{ "{\"v\":{}}", NULL, "/v" },
	{ "{\"v\":\"[0,0,0]\"}", NULL, "/v" },
	{ "{\"v\":null}", NULL, "/v" },
};

static void
check_texts(struct arena *arena)
{
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		const char *value;
		const char *error = NULL;
		int status = field_read_text(arena, cases[i].field, slice_of(cases[i].text), &value, &error);
		ok((status == 0) == cases[i].good && (status == 0) == (error == NULL), "%s \"%s\" is %s", cases[i].field->name,
		    cases[i].text, cases[i].good ? "taken" : "refused");
	}
}

static void
check_bodies(struct arena *arena)
{
	for (size_t i = 0; i < COUNT_OF(bodies); i++) {
		struct value values[COUNT_OF(body)] = { 0 };
		struct faults faults;
		const char *error;
		struct json *json = json_parse(arena, bodies[i].json, strlen(bodies[i].json), &error);

		faults_init(&faults, arena);
		field_read_body(arena, body, json, bodies[i].partial, "", values, &faults);
		ok(faults.count == bodies[i].faults, "%s has %d faults", bodies[i].json, bodies[i].faults);
		if (bodies[i].pointer != NULL)
			ok(faults.first != NULL && strcmp(faults.first->pointer, bodies[i].pointer) == 0,
			    "... the first at \"%s\"", bodies[i].pointer);
	}
}

static void
check_vectors(struct arena *arena)
{
	for (size_t i = 0; i < COUNT_OF(vectors); i++) {
		struct value value = { 0 };
		struct faults faults;
		const char *error;
		struct json *json = json_parse(arena, vectors[i].json, strlen(vectors[i].json), &error);

		faults_init(&faults, arena);
		field_read_body(arena, vector, json, false, "", &value, &faults);
		if (vectors[i].value != NULL)
			is_string(faults.count == 0 ? value.text : faults.first->detail, vectors[i].value, "%s", vectors[i].json);
		else
			is_string(faults.count == 1 ? faults.first->pointer : "no fault", vectors[i].pointer, "%s is refused",
			    vectors[i].json);
	}
}

int
main(void)
{
	static const char *const texts[] = { "a\"b", NULL, "c\\d,{}", "" };
	struct arena *arena = arena_new();
	const char *value;
	const char *error;

	check_texts(arena);
	check_bodies(arena);
	check_vectors(arena);
	ok(field_read_text(arena, &text, (struct slice){ "a\0b", 3 }, &value, &error) != 0, "U+0000 is refused");
	ok(field_read_text(arena, &email, slice_of("Ann@Example.COM"), &value, &error) == 0 &&
	    strcmp(value, "ann@example.com") == 0, "an email is kept in lower case");
	ok(strcmp(field_array(arena, texts, 4), "{\"a\\\"b\",NULL,\"c\\\\d,{}\",\"\"}") == 0, "an array literal is escaped");
	ok(strcmp(field_array(arena, texts, 0), "{}") == 0, "an empty array literal");
	arena_free(arena);
	return done();
}
