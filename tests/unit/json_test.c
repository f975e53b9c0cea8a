#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "arena.h"
#include "buffer.h"
#include "json.h"
#include "tap.h"

#define T(literal) SLICE(literal)

static const struct slice accepted[] = {
	/* values of each kind, bare and with white space */
	T("null"), T("true"), T("false"), T("0"), T("\"\""), T("[]"), T("{}"), T(" null"), T("null "),
	T("\t\r\n null \n\r\t"), T(" [ ] "), T(" { } "), T("[\n]"), T("{\t}"),
	/* numbers */
	T("-0"), T("-1"), T("7"), T("10"), T("1234567890"), T("-9223372036854775808"), T("9223372036854775807"),
	T("9223372036854775808"), T("-9223372036854775809"), T("18446744073709551616"),
	T("100000000000000000000000000000000000000000000000000"), T("0.0"), T("-0.0"), T("0.5"), T("1.25"), T("-1.25"),
	T("1e0"), T("1E0"), T("1e5"), T("1e+5"), T("1e-5"), T("1E+05"), T("0e0"), T("0E-0"), T("0.0e00"), T("1.5e3"),
	T("1e400"), T("-1e400"), T("1e-400"), T("123.456e-789"), T("0.00000000000000000000000000000000000000000001"),
	T("[0,-0,0.1,-0.1e1]"), T("[1 ,2]"), T("{\"a\":-0}"),
	/* strings */
	T("\"a\""), T("\" \""), T("\"\x7f\""), T("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\""), T("\"\\u0041\""), T("\"\\u00e9\""),
	T("\"\\u00E9\""), T("\"\\u0000\""), T("\"a\\u0000b\""), T("\"\\uD83D\\uDE00\""), T("\"\\ud83d\\ude00\""),
	T("\"\\uD800\\uDC00\""), T("\"\\uDBFF\\uDFFF\""), T("\"\\uFFFF\""), T("\"\\uD7FF\""), T("\"\\uE000\""),
	T("\"\\\\u0041\""), T("\"\\\\\""), T("\"\\\\\\\"\""), T("\"'\""), T("\"/\""), T("\"/* no comment */\""),
	T("\"\xc3\xa9\""), T("\"\xe2\x82\xac\""), T("\"\xf0\x9f\x98\x80\""), T("\"\xf4\x8f\xbf\xbf\""),
	T("\"\xe2\x80\xa8\xe2\x80\xa9\""), T("\"\xef\xbb\xbf\""), T("\"\xef\xbf\xbf\""), T("\"\xc2\x80\""),
	T("\"[1,\""),
	/* arrays and objects */
	T("[1]"), T("[1,2,3]"), T("[null,true,false,0,\"\",[],{}]"), T("[[]]"), T("[[[]],[[]]]"), T("[\"a\",\n\"b\"]"),
	T("{\"a\":1}"), T("{\"a\" : 1 , \"b\" : 2}"), T("{\"\":0}"), T("{\"a\":{\"b\":{\"c\":[]}}}"),
	T("{\"a\":1,\"a\":2}"), T("{\"a\":null}"), T("{\"\\u0061\":1}"), T("{\"\xc3\xa9\":1}"),
	T("{\"a\":[{\"b\":1},{\"c\":2}]}")
};

static const struct slice refused[] = {
	/* nothing, or something after the value */
	T(""), T(" "), T("\n\n"), T("null null"), T("1 2"), T("1,"), T("1,2"), T("[]]"), T("{}}"), T("[],"), T("{} {}"),
	T("\"a\"\"b\""), T("[1]x"), T("{\"a\":1}#"), T("null\0"), T("1\0"), T("[1]\0[2]"), T("true1"), T("nullx"),
	/* words */
	T("nul"), T("tru"), T("fals"), T("n"), T("Null"), T("TRUE"), T("False"), T("none"), T("undefined"), T("NaN"),
	T("-NaN"), T("nan"), T("Infinity"), T("-Infinity"), T("inf"), T("[NaN]"), T("[-Infinity]"), T("yes"), T("a"),
	/* numbers */
	T("-"), T("+"), T("+1"), T("--1"), T("01"), T("-01"), T("00"), T("-00"), T("007"), T("1."), T("-1."), T("[1.]"),
	T(".5"), T("-.5"), T("1.e1"), T("0.e1"), T("1e"), T("1e+"), T("1e-"), T("1E"), T("1e1.5"), T("1ee5"),
	T("1.5.5"), T("1-2"), T("1+2"), T("0x10"), T("0x"), T("1_000"), T("1,000"), T("1 000"), T("0b1"), T("1L"),
	T("1f"), T("- 1"), T("[-]"), T("[1e]"), T("[01]"), T("\xd9\xa1"), T("\xef\xbc\x91"), T("1e\0"),
	/* strings */
	T("\""), T("\"a"), T("'a'"), T("`a`"), T("a\""), T("\"\\\""), T("\"\\x41\""), T("\"\\'\""), T("\"\\a\""),
	T("\"\\v\""), T("\"\\0\""), T("\"\\ \""), T("\"\\U0041\""), T("\"\\u\""), T("\"\\u1\""), T("\"\\u12\""),
	T("\"\\u123\""), T("\"\\u123g\""), T("\"\\u+123\""), T("\"\\u 123\""), T("\"\\u{41}\""), T("\"\\"), T("\"\\u"),
	T("\"\\u00"), T("\"\\\xc3\xa9\""), T("\"\n\""), T("\"\t\""), T("\"\r\""), T("\"\0\""), T("\"\x01\""),
	T("\"\x1f\""), T("\"a\nb\""), T("\"\\\n\""), T("\"\\\0\""),
	/* surrogates */
	T("\"\\ud800\""), T("\"\\udbff\""), T("\"\\udc00\""), T("\"\\uDFFF\""), T("\"\\ud800x\""), T("\"\\ud800\\n\""),
	T("\"\\ud800\\u0041\""), T("\"\\ud800\\ud800\""), T("\"\\udc00\\ud800\""), T("\"\\udc00\\udc00\""),
	T("\"\\ud83d\\\""), T("\"\\ud83d\\u"), T("\"\\ud83d\\ude0\""), T("\"\\ud83d\\uzzzz\""),
	T("\"\\ud83d\xf0\x9f\x98\x80\""), T("{\"\\ud800\":1}"),
	/* not UTF-8, and other encodings */
	T("\"\xff\""), T("\"\xfe\""), T("\"\x80\""), T("\"\xbf\""), T("\"\xc3\""), T("\"\xc3(\""), T("\"\xe2\x82\""),
	T("\"\xe2\x82(\""), T("\"\xf0\x9f\x98\""), T("\"\xc0\xaf\""), T("\"\xc1\xbf\""), T("\"\xe0\x80\xaf\""),
	T("\"\xe0\x9f\xbf\""), T("\"\xf0\x80\x80\xaf\""), T("\"\xf0\x8f\xbf\xbf\""), T("\"\xed\xa0\x80\""),
	T("\"\xed\xbf\xbf\""), T("\"\xf4\x90\x80\x80\""), T("\"\xf5\x80\x80\x80\""), T("\"\xf8\x88\x80\x80\x80\""),
	T("\"\xfc\x84\x80\x80\x80\x80\""), T("\xff"), T("\xc3\xa9"), T("\xef\xbb\xbf{}"), T("\xef\xbb\xbf"),
	T("\xff\xfe{\0}\0"), T("\0{\0}"), T("{\"\xff\":1}"), T("[1]\xff"), T("\xc2\xa0[]"), T("1\xe2\x80\xa8"),
	/* arrays */
	T("["), T("]"), T("[1"), T("[1,"), T("[1,]"), T("[,]"), T("[,1]"), T("[1,,2]"), T("[1 2]"), T("[\"a\" \"b\"]"),
	T("[1:2]"), T("[1}"), T("[[]"), T("[}"), T("(1)"), T("[1;2]"), T("[\"a\",\n,1]"), T("[\"a\":1]"), T("[...]"),
	T("[\0]"), T("[1\0]"), T("[\x0c]"), T("[\v]"), T("[ ,"), T("[][]"),
	/* objects */
	T("{"), T("}"), T("{]"), T("{,}"), T("{\"a\"}"), T("{\"a\":}"), T("{\"a\":1"), T("{\"a\":1,"), T("{\"a\":1,}"),
	T("{\"a\":1,,\"b\":2}"), T("{,\"a\":1}"), T("{\"a\" 1}"), T("{\"a\"::1}"), T("{\"a\":1 \"b\":2}"),
	T("{\"a\",1}"), T("{\"a\"=1}"), T("{\"a\"=>1}"), T("{a:1}"), T("{'a':1}"), T("{1:2}"), T("{null:1}"),
	T("{[]:1}"), T("{{}:1}"), T("{\"a\":1]"), T("{\"a\":\"b\"\"c\"}"), T("{\"a\":1;\"b\":2}"), T("{\"a"),
	T("{\"a\""), T("{\"a\":"), T("{:1}"), T("{\"a\":b}"), T("{\"a\\u0000b\":1}"), T("{\"\\u0000\":1}"),
	T("{\"a\tb\":1}"),
	/* comments and other dialects */
	T("/**/1"), T("1/**/"), T("1//"), T("//\n1"), T("#\n1"), T("[1,/* */2]"), T("{\"a\":/**/1}"), T("{\"a\":1}//"),
	T("\"a\"+\"b\""), T("[1,2,3,]"), T("{\"a\":0x1F}"), T("\"a\\\nb\""), T("\x1e{}"), T("{}\x1e"), T(")]}',\n{}"),
	T("<a/>"), T("a=1"), T("---\n1")
};

/* From memory of its exact size, so that a read past the end is seen. What only checks must find the same. */
static struct json *
parse(struct arena *arena, const char *text, size_t len, const char **error)
{
	char *exact = malloc(len > 0 ? len : 1);
	memcpy(exact, text, len);
	struct json *value = json_parse(arena, exact, len, error);
	if (json_valid(exact, len) != (value != NULL))
		bail_out("json_valid() and json_parse() differ on a text of %zu bytes", len);
	free(exact);
	return value;
}

static struct json *
parse_string(struct arena *arena, const char *text)
{
	const char *error;
	return parse(arena, text, strlen(text), &error);
}

static void
test_grammar(struct arena *arena)
{
	const char *error;
	for (size_t i = 0; i < COUNT_OF(accepted); i++)
		ok(parse(arena, accepted[i].data, accepted[i].len, &error) != NULL, "accepted: %s", accepted[i].data);
	for (size_t i = 0; i < COUNT_OF(refused); i++) {
		error = NULL;
		ok(parse(arena, refused[i].data, refused[i].len, &error) == NULL && error != NULL, "refused: %s",
		    refused[i].data);
	}
}

static void
test_nested(struct arena *arena)
{
	const char *error;
	bool all = true;
	for (size_t i = 0; i < COUNT_OF(accepted); i++) {
		const char *const forms[] = { "[%s]", "{\"k\":%s}", "[0,%s,0]", "{\"a\":[%s]}" };
		for (size_t form = 0; form < COUNT_OF(forms); form++) {
			struct buffer text = { 0 };
			const char *mark = strstr(forms[form], "%s");
			buffer_append(&text, forms[form], (size_t)(mark - forms[form]));
			buffer_append(&text, accepted[i].data, accepted[i].len);
			buffer_puts(&text, mark + 2);
			all = all && parse(arena, text.data, text.len, &error) != NULL;
			buffer_free(&text);
		}
	}
	ok(all, "each accepted text is accepted within arrays and objects");
}

static void
test_prefixes(struct arena *arena)
{
	static const char text[] =
	    "{\"a\":[1.5e+3,\"\\ud83d\\ude00\xf0\x9f\x98\x80\",true,null,{}],\"b\":{\"c\":-0.25}}";
	const char *error;
	bool none = true;
	for (size_t len = 0; len < sizeof(text) - 1; len++)
		none = none && parse(arena, text, len, &error) == NULL;
	ok(none, "no beginning of a document is a document");
	ok(parse(arena, text, sizeof(text) - 1, &error) != NULL, "the whole of it is");
}

static void
test_depth(struct arena *arena)
{
	const char *error;
	for (int depth = JSON_MAX_DEPTH - 1; depth <= JSON_MAX_DEPTH + 1; depth++) {
		struct buffer text = { 0 };
		for (int i = 0; i < depth; i++)
			buffer_puts(&text, i % 2 == 0 ? "[" : "{\"a\":");
		buffer_puts(&text, "1");
		for (int i = depth; i-- > 0;)
			buffer_puts(&text, i % 2 == 0 ? "]" : "}");
		is_int(parse(arena, text.data, text.len, &error) != NULL, depth <= JSON_MAX_DEPTH, "%d levels", depth);
		buffer_free(&text);
	}
	char *deep = malloc(1000000);
	memset(deep, '[', 1000000);
	ok(json_parse(arena, deep, 1000000, &error) == NULL, "a million levels");
	is_string(error, "Not JSON at offset 32: arrays and objects are nested too deep.", "and the error says where");
	free(deep);
}

static void
test_containers(struct arena *arena)
{
	const char *error;
	for (int count = JSON_MAX_CONTAINERS - 1; count <= JSON_MAX_CONTAINERS; count++) {
		struct buffer text = { 0 };
		buffer_puts(&text, "[0");
		for (int i = 0; i < count; i++)
			buffer_puts(&text, ",{}");
		buffer_puts(&text, "]");
		is_int(parse(arena, text.data, text.len, &error) != NULL, count < JSON_MAX_CONTAINERS,
		    "%d empty objects", count);
		buffer_free(&text);
		arena_reset(arena);
	}
}

static void
test_errors(struct arena *arena)
{
	static const struct {
		const char *text, *error;
	} cases[] = {
		{ "", "Not JSON at offset 0: the text ends too early." },
		{ "[1,", "Not JSON at offset 3: the text ends too early." },
		{ "[1,]", "Not JSON at offset 3: a value was expected." },
		{ "[1 2]", "Not JSON at offset 3: a comma or ']' was expected." },
		{ "{\"a\":1 2}", "Not JSON at offset 7: a comma or '}' was expected." },
		{ "{a:1}", "Not JSON at offset 1: a key was expected." },
		{ "{\"a\" 1}", "Not JSON at offset 5: a colon was expected." },
		{ "\"a\x01\"", "Not JSON at offset 2: a string holds a control character." },
		{ "\"a\xff\"", "Not JSON at offset 2: the text is not UTF-8." },
		{ "\"\\x\"", "Not JSON at offset 2: there is no such escape." },
		{ "\"\\u12x4\"", "Not JSON at offset 5: a hexadecimal digit was expected." },
		{ "\"\\ud800\"", "Not JSON at offset 3: a surrogate stands alone." },
		{ "[01]", "Not JSON at offset 2: a number begins with a zero too many." },
		{ "[1.]", "Not JSON at offset 3: a digit was expected." },
		{ "{} x", "Not JSON at offset 3: something follows the value." },
		{ "{\"a\\u0000\":1}", "Not JSON at offset 1: a key holds U+0000." },
	};
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		const char *error = NULL;
		ok(parse(arena, cases[i].text, strlen(cases[i].text), &error) == NULL, "refused: %s", cases[i].text);
		is_string(error, cases[i].error, "its error");
	}
	const char *error = NULL;
	ok(json_parse(arena, "1", (size_t)INT32_MAX + 1, &error) == NULL && error != NULL,
	    "more than json-c can count");
	ok(!json_valid("1", (size_t)INT32_MAX + 1), "nor is that valid");
}

static void
test_types(struct arena *arena)
{
	static const struct {
		const char *text;
		enum json_type type;
	} cases[] = {
		{ "null", JSON_NULL },
		{ "true", JSON_BOOL },
		{ "1", JSON_NUMBER },
		{ "1.5", JSON_NUMBER },
		{ "\"1\"", JSON_STRING },
		{ "[]", JSON_ARRAY },
		{ "{}", JSON_OBJECT },
		{ "123456789012345678901234567890", JSON_NUMBER },
	};
	for (size_t i = 0; i < COUNT_OF(cases); i++)
		is_int(json_type(parse_string(arena, cases[i].text)), cases[i].type, "type of %s", cases[i].text);
	ok(json_bool(parse_string(arena, "true")) && !json_bool(parse_string(arena, "false")), "booleans");
}

static void
test_integers(struct arena *arena)
{
	static const struct {
		const char *text;
		bool integer;
		int64_t value;
	} cases[] = {
		{ "0", true, 0 },
		{ "-0", true, 0 },
		{ "42", true, 42 },
		{ "-3", true, -3 },
		{ "9223372036854775807", true, INT64_MAX },
		{ "-9223372036854775808", true, INT64_MIN },
		{ "9223372036854775808", false, 0 },
		{ "-9223372036854775809", false, 0 },
		{ "18446744073709551615", false, 0 },
		{ "18446744073709551616", false, 0 },
		{ "99999999999999999999999999", false, 0 },
		{ "1.0", false, 0 },
		{ "1e3", false, 0 },
		{ "0e0", false, 0 },
		{ "\"1\"", false, 0 },
		{ "null", false, 0 },
		{ "true", false, 0 },
		{ "[]", false, 0 },
		{ "{}", false, 0 },
	};
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		int64_t value = 0;
		is_int(json_integer(parse_string(arena, cases[i].text), &value), cases[i].integer, "integer: %s",
		    cases[i].text);
		is_int(value, cases[i].value, "its value");
	}
}

static void
test_doubles(struct arena *arena)
{
	static const struct {
		const char *text;
		bool finite;
		double value;
	} cases[] = {
		{ "0", true, 0 },
		{ "1", true, 1 },
		{ "-2.5", true, -2.5 },
		{ "1e3", true, 1000 },
		{ "0.1", true, 0.1 },
		{ "1.7976931348623157e308", true, 1.7976931348623157e308 },
		{ "5e-324", true, 5e-324 },
		{ "1e-400", true, 0 },
		{ "9223372036854775808", true, 9223372036854775808.0 },
		{ "-9223372036854775809", true, -9223372036854775809.0 },
		{ "100000000000000000000", true, 1e20 },
		{ "-100000000000000000000", true, -1e20 },
		{ "1e400", false, 0 },
		{ "-1e400", false, 0 },
		{ "1e999999999999", false, 0 },
		{ "null", false, 0 },
		{ "\"1\"", false, 0 },
		{ "true", false, 0 },
	};
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		double value = 0;
		bool finite = json_double(parse_string(arena, cases[i].text), &value);
		ok(finite == cases[i].finite && (!finite || value == cases[i].value), "double: %s", cases[i].text);
	}
	struct buffer digits = { 0 };
	for (int i = 0; i < 400; i++)
		buffer_putc(&digits, '9');
	double value;
	const char *error;
	ok(!json_double(parse(arena, digits.data, digits.len, &error), &value),
	    "an integer of 400 digits is not finite");
	buffer_free(&digits);
}

/* Integers that do not fit are made doubles behind the scenes: what stands around them must not move. */
static void
test_wide_among_others(struct arena *arena)
{
	struct json *list = parse_string(arena,
	    "[1,99999999999999999999,{\"a\":-99999999999999999999},"
	    "\"99999999999999999999\",2]");
	double value;
	int64_t integer;
	is_int((long long)json_length(list), 5, "wide integers among other values: their number");
	ok(json_integer(json_at(list, 0), &integer) && integer == 1, "the first");
	ok(json_double(json_at(list, 1), &value) && value == 1e20, "a wide one");
	ok(json_double(json_get(json_at(list, 2), "a"), &value) && value == -1e20, "a wide one as a member");
	is_slice(json_string(json_at(list, 3)), "99999999999999999999", "a string of digits stays as it is");
	ok(json_integer(json_at(list, 4), &integer) && integer == 2, "the last");
}

static void
test_strings(struct arena *arena)
{
	static const struct {
		const char *text;
		struct slice want;
	} cases[] = {
		{ "\"\"", T("") },
		{ "\"a\"", T("a") },
		{ "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", T("\"\\/\b\f\n\r\t") },
		{ "\"\\u0041\\u00e9\\u20AC\"", T("A\xc3\xa9\xe2\x82\xac") },
		{ "\"\\ud83d\\ude00\"", T("\xf0\x9f\x98\x80") },
		{ "\"\\udbff\\udfff\"", T("\xf4\x8f\xbf\xbf") },
		{ "\"\xf0\x9f\x98\x80\"", T("\xf0\x9f\x98\x80") },
		{ "\"a\\u0000b\"", T("a\0b") },
		{ "\"\\u0000\"", T("\0") },
		{ "\"\\\\u0041\"", T("\\u0041") },
		{ "\"\\ufeff\"", T("\xef\xbb\xbf") },
	};
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct slice got = json_string(parse_string(arena, cases[i].text));
		is_bytes(got.data, got.len, cases[i].want.data, cases[i].want.len, "string: %s", cases[i].text);
	}
	ok(json_string(parse_string(arena, "1")).data == NULL, "a number is no string");
}

static void
test_containers_read(struct arena *arena)
{
	struct json *list = parse_string(arena, "[1,null,\"x\"]");
	is_int((long long)json_length(list), 3, "length of an array");
	is_int(json_type(json_at(list, 1)), JSON_NULL, "a null element is a value");
	is_slice(json_string(json_at(list, 2)), "x", "the last element");
	is_int((long long)json_length(parse_string(arena, "{}")), 0, "an object has no length");

	struct json *object = parse_string(arena, "{\"b\":1,\"a\":null,\"\":2,\"b\":3}");
	int64_t value = 0;
	ok(json_integer(json_get(object, "b"), &value) && value == 3, "of a repeated key the last counts");
	is_int(json_type(json_get(object, "a")), JSON_NULL, "a null member is a value");
	ok(json_get(object, "c") == NULL, "a member that is not there");
	ok(json_get(list, "a") == NULL, "an array has no members");

	struct json_cursor cursor = { 0 };
	static const char *const keys[] = { "b", "a", "" };
	for (size_t i = 0; i < COUNT_OF(keys); i++) {
		ok(json_next(object, &cursor), "member %zu", i);
		is_slice(cursor.key, keys[i], "its key");
		ok(cursor.value == json_get(object, keys[i]), "its value");
	}
	ok(!json_next(object, &cursor), "no member after the last");
	ok(!json_next(object, &cursor), "nor when asked again");
	struct json_cursor none = { 0 };
	ok(!json_next(parse_string(arena, "{}"), &none), "an empty object has no members");
	none = (struct json_cursor){ 0 };
	ok(!json_next(list, &none), "nor has an array");
	ok(!json_next(parse_string(arena, "null"), &none), "nor null");
}

static void
test_many_members(struct arena *arena)
{
	struct buffer text = { 0 };
	buffer_puts(&text, "{\"k\":0");
	for (int i = 0; i < 50000; i++)
		buffer_printf(&text, ",\"k%d\":%d", i, i);
	buffer_puts(&text, "}");
	const char *error;
	struct json *object = parse(arena, text.data, text.len, &error);
	struct json_cursor cursor = { 0 };
	int count = 0;
	while (json_next(object, &cursor))
		count++;
	is_int(count, 50001, "50,001 members");
	buffer_free(&text);
}

static void
is_written(struct slice in, const char *want)
{
	struct buffer out = { 0 };
	json_write_string(&out, in.data, in.len);
	is_bytes(out.data, out.len, want, strlen(want), "written: %s", want);
	buffer_free(&out);
}

static void
test_write(void)
{
	is_written(SLICE(""), "\"\"");
	is_written(SLICE("plain"), "\"plain\"");
	is_written(SLICE("a\"b\\c/d"), "\"a\\\"b\\\\c/d\"");
	is_written(SLICE("\b\f\n\r\t"), "\"\\b\\f\\n\\r\\t\"");
	is_written(SLICE("\x01\x1f\x7f"), "\"\\u0001\\u001f\x7f\"");
	is_written(SLICE("a\0b"), "\"a\\u0000b\"");
	is_written(SLICE("\xc3\xa9\xe2\x80\xa8\xf0\x9f\x98\x80"), "\"\xc3\xa9\xe2\x80\xa8\xf0\x9f\x98\x80\"");
	is_written(SLICE("0123456\"89abcdef\\"), "\"0123456\\\"89abcdef\\\\\"");
}

/* Every byte below 80 at every place of words of eight, among bytes that differ from it by one bit or by one. */
static void
test_write_places(struct arena *arena)
{
	bool same = true;
	for (unsigned byte = 0; byte < 0x80; byte++)
		for (size_t place = 0; place < 20; place++) {
			char text[20];
			for (size_t i = 0; i < sizeof(text); i++)
				text[i] = (char)((byte ^ (1U << (i % 7))) & 0x7f);
			text[place] = (char)byte;
			struct buffer out = { 0 };
			const char *error;
			json_write_string(&out, text, sizeof(text));
			struct slice back = json_string(parse(arena, out.data, out.len, &error));
			same = same && back.len == sizeof(text) && memcmp(back.data, text, sizeof(text)) == 0;
			buffer_free(&out);
			arena_reset(arena);
		}
	ok(same, "every ASCII byte at every place is read back as it was written");
}

static size_t
put_utf8(char *out, unsigned point)
{
	if (point < 0x80) {
		out[0] = (char)point;
		return 1;
	}
	size_t length = point < 0x800 ? 2 : point < 0x10000 ? 3 : 4;
	for (size_t i = length; i-- > 1; point >>= 6)
		out[i] = (char)(0x80 | (point & 0x3f));
	out[0] = (char)((0xf00U >> length & 0xf0) | point);
	return length;
}

static void
test_write_all(struct arena *arena)
{
	struct buffer text = { 0 }, out = { 0 };
	for (unsigned point = 0; point <= 0x10FFFF; point++)
		if (point < 0xD800 || point > 0xDFFF)
			text.len += put_utf8(buffer_reserve(&text, 4), point);
	json_write_string(&out, text.data, text.len);
	const char *error;
	struct slice back = json_string(parse(arena, out.data, out.len, &error));
	ok(back.len == text.len && memcmp(back.data, text.data, text.len) == 0, "every code point is read back");
	buffer_free(&text);
	buffer_free(&out);
}

int
main(void)
{
	struct arena *arena = arena_new();
	static void (*const tests[])(struct arena *) = {
		test_grammar,
		test_nested,
		test_prefixes,
		test_depth,
		test_containers,
		test_errors,
		test_types,
		test_integers,
		test_doubles,
		test_wide_among_others,
		test_strings,
		test_containers_read,
		test_many_members,
		test_write_places,
		test_write_all,
	};
	for (size_t i = 0; i < COUNT_OF(tests); i++) {
		tests[i](arena);
		arena_reset(arena);
	}
	test_write();
	arena_free(arena);
	return done();
}
