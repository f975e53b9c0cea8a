/*
 * From rows to JSON: row.c, with json.c's writer of strings. The accessors of results, which are db.c's, are made
 * here, so that columns of every type can hold what only a server could put there. Each line of the input is a
 * column, its first character the type.
 *
 * Holds for every row: what is written is JSON; it has the columns in their order, without those whose name begins
 * with '_'; a text is what the column holds; a time has the form of RFC 3339 where the column has that of PostgreSQL;
 * NULL is null.
 */
#include "fuzz.h"

#include <math.h>
#include <regex.h>
#include <stdlib.h>

#include "json.h"
#include "row.h"
#include "utf8.h"

enum { COLUMNS = 12 };

struct db_result {
	int columns;
	enum db_type types[COLUMNS];
	struct slice values[COLUMNS];
};

static const char *const names[COLUMNS] = { "a", "_b", "c", "d", "e", "f", "_g", "h", "i", "j", "k", "l" };

int
db_rows(const struct db_result *result)
{
	(void)result;
	return 2;
}

int
db_columns(const struct db_result *result)
{
	return result->columns;
}

const char *
db_name(const struct db_result *result, int column)
{
	(void)result;
	return names[column];
}

enum db_type
db_type(const struct db_result *result, int column)
{
	return result->types[column];
}

struct slice
db_value(const struct db_result *result, int row, int column)
{
	(void)row;
	return result->values[column];
}

#define TIME "^[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2}(\\.[0-9]{1,6})?\\+00$"

#define OTHER_TIMES "|^-?infinity$|^[0-9-]{10,13} [0-9:.]{8,15}\\+00( BC)?$"

static bool
is_like(struct slice text, const char *pattern)
{
	regex_t regex;

	HOLDS(regcomp(&regex, pattern, REG_EXTENDED | REG_NOSUB) == 0);
	bool matches = strlen(text.data) == text.len && regexec(&regex, text.data, 0, NULL, 0) == 0;
	regfree(&regex);
	return matches;
}

/* A text that the type's output function may give, made of the line; NULL when the line is not one. */
static struct slice
value_of(enum db_type type, struct slice line)
{
	const struct slice null = { 0 };
	char *text = arena_copy(fuzz_arena(), line.data, line.len), *end;

	if (strlen(text) != line.len || !utf8_valid(text, line.len))
		return null;
	switch (type) {
	case DB_TYPE_BOOL:
		return line.len % 2 == 0 ? SLICE("t") : SLICE("f");
	case DB_TYPE_NUMBER:
		if (strcmp(text, "NaN") == 0 || strcmp(text, "Infinity") == 0 || strcmp(text, "-Infinity") == 0)
			return slice_of(text);
		double number = strtod(text, &end);
		return isfinite(number) ? slice_of(arena_printf(fuzz_arena(), "%.17g", number)) : null;
	case DB_TYPE_JSON:
		return json_valid(text, line.len) ? slice_of(text) : null;
	case DB_TYPE_TIME:
		return is_like(slice_of(text), TIME OTHER_TIMES) ? slice_of(text) : null;
	case DB_TYPE_TEXT:
		break;
	}
	return slice_of(text);
}

static void
check_member(enum db_type type, struct slice value, const struct json *member)
{
	double number;

	if (value.data == NULL) {
		HOLDS(json_type(member) == JSON_NULL);
		return;
	}
	switch (type) {
	case DB_TYPE_BOOL:
		HOLDS(json_type(member) == JSON_BOOL && json_bool(member) == slice_is(value, "t"));
		break;
	case DB_TYPE_NUMBER:
		if (strpbrk(value.data, "NI") != NULL)
			HOLDS(json_type(member) == JSON_NULL);
		else
			HOLDS(json_double(member, &number) && fabs(number - strtod(value.data, NULL)) <= 0);
		break;
	case DB_TYPE_TEXT:
		HOLDS(json_type(member) == JSON_STRING && fuzz_same(json_string(member), value));
		break;
	case DB_TYPE_TIME:
		HOLDS(json_type(member) == JSON_STRING);
		if (is_like(value, TIME))
			HOLDS(is_like(json_string(member), "^.{10}T.{8}\\.[0-9]{6}Z$"));
		break;
	case DB_TYPE_JSON:
		break;
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice input = { (const char *)data, size };
	struct db_result result = { 0 };
	struct buffer out = { 0 };
	struct json_cursor member = { 0 };
	const char *error;

	while (input.len > 0 && result.columns < COLUMNS) {
		struct slice line = fuzz_line(&input);
		enum db_type type = (enum db_type)(fuzz_byte(&line) % (DB_TYPE_JSON + 1));
		result.types[result.columns] = type;
		result.values[result.columns++] = value_of(type, line);
	}
	row_write_array(&out, &result, 0, db_rows(&result));
	const struct json *rows = json_parse(fuzz_arena(), out.data, out.len, &error);
	HOLDS(rows != NULL && json_length(rows) == 2);
	const struct json *row = json_at(rows, 1);
	for (int i = 0; i < result.columns; i++) {
		if (names[i][0] == '_')
			continue;
		HOLDS(json_next(row, &member) && slice_is(member.key, names[i]));
		check_member(result.types[i], result.values[i], member.value);
	}
	HOLDS(!json_next(row, &member));
	buffer_free(&out);
	arena_reset(fuzz_arena());
	return 0;
}
