/*
 * JSON: json.c, the check in front of json-c and the writer of strings.
 *
 * Holds for every input: json_valid() and json_parse() agree; json-c never refuses what the check has passed; depth
 * is within its bound, strings are UTF-8; a text that is taken, written again from its values, is taken with the same
 * values; no text that is cut short is taken, unless it ends in white space or is a number.
 */
#include "fuzz.h"

#include "json.h"
#include "utf8.h"

static void
write_value(struct buffer *out, const struct json *value, int depth)
{
	struct json_cursor member = { 0 };
	struct slice text = json_string(value);
	int64_t integer;
	double number = 0;
	bool first = true;

	HOLDS(depth <= JSON_MAX_DEPTH);
	switch (json_type(value)) {
	case JSON_NULL:
		BUFFER_LITERAL(out, "null");
		break;
	case JSON_BOOL:
		buffer_puts(out, json_bool(value) ? "true" : "false");
		break;
	case JSON_NUMBER:
		if (json_integer(value, &integer))
			buffer_printf(out, "%lld", (long long)integer);
		else
			buffer_printf(out, "%.17e", json_double(value, &number) ? number : 1e300);
		break;
	case JSON_STRING:
		HOLDS(text.data != NULL && utf8_valid(text.data, text.len));
		json_write_string(out, text.data, text.len);
		break;
	case JSON_ARRAY:
		buffer_putc(out, '[');
		for (size_t i = 0; i < json_length(value); i++) {
			if (i > 0)
				buffer_putc(out, ',');
			write_value(out, json_at(value, i), depth + 1);
		}
		buffer_putc(out, ']');
		break;
	case JSON_OBJECT:
		buffer_putc(out, '{');
		for (; json_next(value, &member); first = false) {
			HOLDS(utf8_valid(member.key.data, member.key.len));
			HOLDS(json_get(value, member.key.data) == member.value);
			if (!first)
				buffer_putc(out, ',');
			json_write_string(out, member.key.data, member.key.len);
			buffer_putc(out, ':');
			write_value(out, member.value, depth + 1);
		}
		buffer_putc(out, '}');
		break;
	}
}

static const struct json *
parse(struct slice text)
{
	const char *error = NULL;
	struct slice exact = fuzz_exact(text);
	const struct json *value = json_parse(fuzz_arena(), exact.data, exact.len, &error);

	HOLDS((value == NULL) == (error != NULL));
	HOLDS(error == NULL || strcmp(error, "The text could not be read.") != 0);
	HOLDS((value != NULL) == json_valid(exact.data, exact.len));
	return value;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice text = { (const char *)data, size };
	struct buffer once = { 0 }, twice = { 0 };
	const struct json *value = parse(text);

	if (value != NULL) {
		write_value(&once, value, 0);
		const struct json *again = parse((struct slice){ once.data, once.len });
		HOLDS(again != NULL);
		write_value(&twice, again, 0);
		HOLDS(fuzz_same((struct slice){ once.data, once.len }, (struct slice){ twice.data, twice.len }));
		char last = once.data[once.len - 1];
		if (last == '"' || last == ']' || last == '}')
			HOLDS(!json_valid(once.data, once.len - 1));
	}
	buffer_free(&once);
	buffer_free(&twice);
	arena_reset(fuzz_arena());
	return 0;
}
