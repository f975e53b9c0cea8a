#include <stdlib.h>

#include "csv.h"
#include "tap.h"

/* Writes every row as [field|field] and a fault as !row:column. */
static void
describe(struct buffer *out, struct slice text)
{
	struct arena *arena = arena_new();
	struct csv csv;
	struct slice *fields;
	int count, got;
	csv_open(&csv, text);
	while ((got = csv_next_row(&csv, arena, &fields, &count)) > 0) {
		buffer_putc(out, '[');
		for (int i = 0; i < count; i++) {
			if (i > 0)
				buffer_putc(out, '|');
			buffer_append(out, fields[i].data, fields[i].len);
			if (fields[i].data[fields[i].len] != '\0')
				buffer_puts(out, "(no NUL)");
		}
		buffer_putc(out, ']');
	}
	if (got < 0)
		buffer_printf(out, "!%d:%d", csv.row, csv.column);
	arena_free(arena);
}

/* From memory of its exact size, so that a read past the end is seen. */
static void
reads_as(struct slice text, const char *want, const char *name)
{
	struct buffer out = { 0 };
	char *exact = malloc(text.len > 0 ? text.len : 1);
	memcpy(exact, text.data, text.len);
	buffer_reserve(&out, 1); /* nothing written is an empty text, not an absent one */
	describe(&out, (struct slice){ exact, text.len });
	is_slice((struct slice){ out.data, out.len }, want, "%s", name);
	free(exact);
	buffer_free(&out);
}

struct reading {
	const char *name;
	struct slice text;
	const char *want;
};

static void
test_rows(void)
{
	static const struct reading cases[] = {
		{ "an empty text has no rows", SLICE(""), "" },
		{ "nor has a byte order mark alone", SLICE("\xef\xbb\xbf"), "" },
		{ "nor an empty line", SLICE("\n"), "" },
		{ "nor several", SLICE("\r\n\n\r\n"), "" },
		{ "nor after a byte order mark", SLICE("\xef\xbb\xbf\r\n"), "" },
		{ "one field", SLICE("a"), "[a]" },
		{ "a row", SLICE("a,b,c\r\n"), "[a|b|c]" },
		{ "rows that end with CRLF", SLICE("a,b\r\nc,d\r\n"), "[a|b][c|d]" },
		{ "rows that end with LF", SLICE("a,b\nc,d\n"), "[a|b][c|d]" },
		{ "of both kinds", SLICE("a,b\r\nc,d\ne,f\r\n"), "[a|b][c|d][e|f]" },
		{ "no line end after the last row", SLICE("a,b\r\nc,d"), "[a|b][c|d]" },
		{ "rows may differ in length", SLICE("a\nb,c\nd,e,f\n"), "[a][b|c][d|e|f]" },
		{ "empty fields", SLICE(",\n"), "[|]" },
		{ "at the end of the text", SLICE("a,,"), "[a||]" },
		{ "before and after", SLICE(",a,\r\n"), "[|a|]" },
		{ "empty lines at the end are no rows", SLICE("a\n\n\r\n\n"), "[a]" },
		{ "one in the middle is", SLICE("a\n\nb\r\n\r\n\nc\n"), "[a][][b][][][c]" },
		{ "as at the beginning", SLICE("\na\n"), "[][a]" },
		{ "spaces belong to the field", SLICE(" a , b \n \n"), "[ a | b ][ ]" },
		{ "tabs and semicolons, too", SLICE("a;b\tc\n"), "[a;b\tc]" },
		{ "a byte order mark is skipped", SLICE("\xef\xbb\xbf" "a,b\n"), "[a|b]" },
		{ "before a quote, too", SLICE("\xef\xbb\xbf\"a\",b\n"), "[a|b]" },
		{ "but only one", SLICE("\xef\xbb\xbf\xef\xbb\xbf" "a"), "[\xef\xbb\xbf" "a]" },
		{ "and only at the beginning", SLICE("a\n\xef\xbb\xbf" "b"), "[a][\xef\xbb\xbf" "b]" },
		{ "other text than ASCII", SLICE("caf\xc3\xa9,\xe2\x82\xac 5\n\xf0\x9f\x98\x80,\xe6\x97\xa5\n"),
		  "[caf\xc3\xa9|\xe2\x82\xac 5][\xf0\x9f\x98\x80|\xe6\x97\xa5]" },
	};
	for (size_t i = 0; i < COUNT_OF(cases); i++)
		reads_as(cases[i].text, cases[i].want, cases[i].name);
}

static void
test_quoted_fields(void)
{
	static const struct reading cases[] = {
		{ "a quoted field", SLICE("\"a\""), "[a]" },
		{ "quoted fields", SLICE("\"a\",\"b\"\r\n\"c\",\"d\"\n"), "[a|b][c|d]" },
		{ "with a comma", SLICE("\"a,b\",c"), "[a,b|c]" },
		{ "with a quote", SLICE("\"a\"\"b\""), "[a\"b]" },
		{ "with nothing but quotes", SLICE("\"\"\"\"\"\"\n"), "[\"\"]" },
		{ "with quotes at its ends", SLICE("\"\"\"a\"\"\",b"), "[\"a\"|b]" },
		{ "with line ends of every kind", SLICE("\"a\nb\r\nc\rd\",e\nf"), "[a\nb\r\nc\rd|e][f]" },
		{ "with a line end at its end", SLICE("\"a\n\"\n"), "[a\n]" },
		{ "with empty lines", SLICE("\"\n\n\"\n\n\n"), "[\n\n]" },
		{ "that is empty is a field", SLICE("\"\"\n"), "[]" },
		{ "of a row that stays at the end", SLICE("a\n\"\"\n\n"), "[a][]" },
		{ "and between others", SLICE("a,\"\",b"), "[a||b]" },
		{ "with other text than ASCII", SLICE("\"\xc3\xa9\"\"\xc3\xa9\""), "[\xc3\xa9\"\xc3\xa9]" },
	};
	for (size_t i = 0; i < COUNT_OF(cases); i++)
		reads_as(cases[i].text, cases[i].want, cases[i].name);
}

static void
test_faults(void)
{
	static const struct reading cases[] = {
		{ "a carriage return in a field", SLICE("a\rb"), "!1:1" },
		{ "as the line end", SLICE("a,b\rc,d\r"), "!1:2" },
		{ "at the end of the text", SLICE("a\n\r"), "[a]!2:1" },
		{ "two of them", SLICE("a\r\r\n"), "!1:1" },
		{ "after a quoted field", SLICE("\"a\"\rb"), "!1:1" },
		{ "a quote in a field", SLICE("a,b\"c\n"), "!1:2" },
		{ "at its end", SLICE("a\nb\""), "[a]!2:1" },
		{ "after a space", SLICE("a, \"b\""), "!1:2" },
		{ "text after a closing quote", SLICE("\"a\"b,c"), "!1:1" },
		{ "a space there", SLICE("x,\"a\" ,c"), "!1:2" },
		{ "a quote that is not closed", SLICE("a,b\nc,\"d\ne,f\n"), "[a|b]!2:2" },
		{ "one alone", SLICE("\""), "!1:1" },
		{ "one after a row", SLICE("a\n\""), "[a]!2:1" },
		{ "three of them", SLICE("\"\"\""), "!1:1" },
		{ "one before an empty line", SLICE("\"\n\n"), "!1:1" },
		{ "a NUL byte", SLICE("a\0b"), "!1:1" },
		{ "alone", SLICE("\0"), "!1:1" },
		{ "after a comma", SLICE("a,\0,b"), "!1:2" },
		{ "in quotes", SLICE("a,b\nc,d,\"e\0\""), "[a|b]!2:3" },
		{ "after a closing quote", SLICE("\"a\"\0"), "!1:1" },
		{ "bytes that are no UTF-8", SLICE("a\xff"), "!1:1" },
		{ "in quotes", SLICE("a,\"\xc3\"\n"), "!1:2" },
		{ "a sequence that a comma cuts", SLICE("a\nb,\xe2\x82,\xac"), "[a]!2:2" },
		{ "a surrogate", SLICE("\xed\xa0\x80"), "!1:1" },
		{ "UTF-16", SLICE("\xff\xfe" "a\0,\0"), "!1:1" },
		{ "rows are records, not lines", SLICE("\"a\n\n\nb\",c\n\nd,\"e\nf\",\"g\"h\n"), "[a\n\n\nb|c][]!3:3" },
	};
	for (size_t i = 0; i < COUNT_OF(cases); i++)
		reads_as(cases[i].text, cases[i].want, cases[i].name);
}

static void
test_fault_stays(void)
{
	struct arena *arena = arena_new();
	struct slice *fields = NULL;
	struct csv csv;
	int count;
	csv_open(&csv, SLICE("a\nb,c\"\nd\n"));
	is_int(csv_next_row(&csv, arena, &fields, &count), 1, "a row before a fault");
	ok(csv.message == NULL && csv.row == 1, "has no sentence, and is the first");
	is_int(csv_next_row(&csv, arena, &fields, &count), -1, "the fault");
	is_string(csv.message, "A quote is in a field that does not begin with one.", "its sentence");
	is_int(csv_next_row(&csv, arena, &fields, &count), -1, "no row is read after it");
	ok(csv.row == 2 && csv.column == 2, "its place stays");
	arena_free(arena);
}

static void
test_end_stays(void)
{
	struct arena *arena = arena_new();
	struct slice *fields;
	struct csv csv;
	int count;
	csv_open(&csv, (struct slice){ NULL, 0 });
	is_int(csv_next_row(&csv, arena, &fields, &count), 0, "an absent text has no rows");
	csv_open(&csv, SLICE("a\r\n"));
	is_int(csv_next_row(&csv, arena, &fields, &count), 1, "a row");
	is_int(csv_next_row(&csv, arena, &fields, &count), 0, "the end");
	is_int(csv_next_row(&csv, arena, &fields, &count), 0, "it stays the end");
	ok(csv.message == NULL && csv.row == 1, "and is no fault");
	arena_free(arena);
}

static void
test_columns(void)
{
	struct buffer text = { 0 }, out = { 0 };
	struct arena *arena = arena_new();
	struct slice *fields;
	struct csv csv;
	int count;
	for (int i = 1; i < CSV_COLUMNS; i++)
		buffer_puts(&text, "x,");
	buffer_puts(&text, "last\n");
	csv_open(&csv, (struct slice){ text.data, text.len });
	is_int(csv_next_row(&csv, arena, &fields, &count), 1, "a row of as many fields as there may be");
	is_int(count, CSV_COLUMNS, "all of them");
	ok(slice_is(fields[CSV_COLUMNS - 1], "last"), "to the last");
	text.len--;
	buffer_puts(&text, ",\n");
	describe(&out, (struct slice){ text.data, text.len });
	is_slice((struct slice){ out.data, out.len }, "!1:65", "one more is a fault");
	buffer_free(&text);
	buffer_free(&out);
	arena_free(arena);
}

/* Texts on which a reader that looks ahead at every row, or at every quote, would take hours. */
static void
test_large_texts(void)
{
	static const char *const units[] = { "\n", "\r\n", "\"\"\n", "a\n", ",\n", "\"\"\"\"\n" };
	enum { ROWS = 100000 };
	for (size_t i = 0; i < COUNT_OF(units); i++) {
		struct arena *arena = arena_new();
		struct buffer text = { 0 };
		struct slice *fields;
		struct csv csv;
		int count;
		for (int n = 0; n < ROWS; n++)
			buffer_puts(&text, units[i]);
		buffer_putc(&text, 'x');
		csv_open(&csv, (struct slice){ text.data, text.len });
		while (csv_next_row(&csv, arena, &fields, &count) > 0)
			if (csv.row % 1000 == 0)
				arena_reset(arena);
		is_int(csv.row, ROWS + 1, "many rows of kind %zu", i);
		ok(csv.message == NULL, "without a fault");
		buffer_free(&text);
		arena_free(arena);
	}
}

static void
writes(const struct slice *fields, size_t count, const char *want, const char *name)
{
	struct buffer out = { 0 };
	for (size_t i = 0; i < count; i++)
		csv_write_field(&out, fields[i]);
	csv_end_row(&out);
	is_slice((struct slice){ out.data, out.len }, want, "%s", name);
	buffer_free(&out);
}

static void
test_writer(void)
{
	static const struct {
		const char *name;
		struct slice field;
		const char *want;
	} cases[] = {
		{ "a plain field", SLICE("a b;c"), "a b;c\r\n" },
		{ "other text than ASCII", SLICE("\xc3\xa9"), "\xc3\xa9\r\n" },
		{ "spaces at the ends", SLICE(" a "), " a \r\n" },
		{ "a comma", SLICE("a,b"), "\"a,b\"\r\n" },
		{ "a quote", SLICE("a\"b"), "\"a\"\"b\"\r\n" },
		{ "quotes alone", SLICE("\"\""), "\"\"\"\"\"\"\r\n" },
		{ "a line feed", SLICE("a\nb"), "\"a\nb\"\r\n" },
		{ "a byte order mark", SLICE("\xef\xbb\xbf" "a"), "\"\xef\xbb\xbf" "a\"\r\n" },
		{ "a carriage return", SLICE("a\rb"), "\"a\rb\"\r\n" },
		{ "a field that is empty and alone", SLICE(""), "\"\"\r\n" },
		{ "one that is absent and alone", { NULL, 0 }, "\"\"\r\n" },
	};
	for (size_t i = 0; i < COUNT_OF(cases); i++)
		writes(&cases[i].field, 1, cases[i].want, cases[i].name);
	writes((struct slice[]){ SLICE("a"), SLICE(""), SLICE("b,c"), { NULL, 0 } }, 4, "a,,\"b,c\",\r\n", "a row");
	writes((struct slice[]){ SLICE(""), SLICE("") }, 2, ",\r\n", "a row of empty fields");

	struct buffer out = { 0 };
	for (int i = 0; i < 2; i++) {
		csv_write_field(&out, SLICE(""));
		csv_end_row(&out);
		csv_write_field(&out, SLICE("a"));
		csv_write_field(&out, SLICE(""));
		csv_end_row(&out);
	}
	is_slice((struct slice){ out.data, out.len }, "\"\"\r\na,\r\n\"\"\r\na,\r\n", "rows");
	buffer_free(&out);
}

enum { ROUND_ROWS = 500, ROUND_FIELD = 12 };

/* Of the characters that matter, so that most fields hold several. */
static struct slice
random_field(struct arena *arena, unsigned *seed)
{
	static const char *const pieces[] = { ",", "\"", "\n", "\r", "\r\n", "a", " ", "\xc3\xa9", "\xef\xbb\xbf" };
	struct buffer text = { 0 };
	for (int left = rand_r(seed) % ROUND_FIELD; left > 0; left--)
		buffer_puts(&text, pieces[(size_t)rand_r(seed) % COUNT_OF(pieces)]);
	struct slice field = { arena_copy(arena, text.data, text.len), text.len };
	buffer_free(&text);
	return field;
}

/* Whether the next row is what the seed says, which is the writer's seed of the same row. */
static bool
reads_back(struct csv *csv, struct arena *arena, unsigned *seed)
{
	struct slice *fields;
	int count, want = rand_r(seed) % CSV_COLUMNS + 1;
	if (csv_next_row(csv, arena, &fields, &count) != 1 || count != want)
		return false;
	for (int i = 0; i < count; i++) {
		struct slice field = random_field(arena, seed);
		if (field.len != fields[i].len || memcmp(field.data, fields[i].data, field.len) != 0)
			return false;
	}
	return true;
}

static void
test_round_trip(void)
{
	struct arena *arena = arena_new();
	struct buffer text = { 0 };
	unsigned seed = 1;
	csv_write_field(&text, SLICE("header"));
	csv_end_row(&text);
	for (int row = 0; row < ROUND_ROWS; row++) {
		for (int count = rand_r(&seed) % CSV_COLUMNS + 1; count > 0; count--)
			csv_write_field(&text, random_field(arena, &seed));
		csv_end_row(&text);
	}

	struct csv csv;
	struct slice *fields;
	int count, same = 0;
	csv_open(&csv, (struct slice){ text.data, text.len });
	is_int(csv_next_row(&csv, arena, &fields, &count), 1, "a header is read back");
	for (seed = 1; same < ROUND_ROWS && reads_back(&csv, arena, &seed); same++)
		;
	is_int(same, ROUND_ROWS, "random rows are read back as they were written");
	is_int(csv_next_row(&csv, arena, &fields, &count), 0, "and nothing after them");
	buffer_free(&text);
	arena_free(arena);
}

/* Any text is read to its end or to a fault with a place and a sentence. */
static void
test_random_texts(void)
{
	static const char bytes[] = ",,\"\"\"\n\n\r\na b\0\xc3\xa9";
	unsigned seed = 2;
	int faults = 0;
	bool good = true;
	for (int n = 0; n < 20000; n++) {
		struct arena *arena = arena_new();
		struct slice *fields;
		struct csv csv;
		int count, got;
		size_t len = (size_t)rand_r(&seed) % 12;
		char *text = malloc(len > 0 ? len : 1);
		for (size_t i = 0; i < len; i++)
			text[i] = bytes[(size_t)rand_r(&seed) % (sizeof(bytes) - 1)];
		csv_open(&csv, (struct slice){ text, len });
		while ((got = csv_next_row(&csv, arena, &fields, &count)) > 0)
			good = good && count >= 1 && csv.at <= csv.text.len;
		faults += got < 0;
		good = good && (got < 0 ? csv.message != NULL && csv.row > 0 && csv.column > 0 : csv.message == NULL);
		free(text);
		arena_free(arena);
	}
	ok(good, "random texts end or have a fault");
	ok(faults > 1000 && faults < 19000, "and both are among them");
}

int
main(void)
{
	test_rows();
	test_quoted_fields();
	test_faults();
	test_fault_stays();
	test_end_stays();
	test_columns();
	test_large_texts();
	test_writer();
	test_round_trip();
	test_random_texts();
	return done();
}
