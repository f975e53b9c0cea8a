#include "csv.h"
#include "utf8.h"

static const char bom[] = "\xef\xbb\xbf";

static bool
begins_with_bom(struct slice text)
{
	return text.len >= sizeof(bom) - 1 && memcmp(text.data, bom, sizeof(bom) - 1) == 0;
}

/* Cuts line ends off the end, once: looked for row by row, a million empty lines would be walked a million times. */
static size_t
without_empty_lines(struct slice text)
{
	size_t len = text.len;
	while (len > 0 && text.data[len - 1] == '\n') {
		len--;
		if (len > 0 && text.data[len - 1] == '\r')
			len--;
	}
	return len;
}

void
csv_open(struct csv *csv, struct slice text)
{
	size_t mark = sizeof(bom) - 1;
	*csv = (struct csv){ .text = text };
	if (begins_with_bom(text))
		csv->text = (struct slice){ text.data + mark, text.len - mark };
	csv->text.len = without_empty_lines(csv->text);
}

static bool
fail(struct csv *csv, const char *message)
{
	csv->message = message;
	return false;
}

static bool
at_end(const struct csv *csv)
{
	return csv->at == csv->text.len;
}

/* The byte to read next; a NUL, which no field may hold, at the end. */
static char
peek(const struct csv *csv)
{
	return at_end(csv) ? '\0' : csv->text.data[csv->at];
}

/* Whether a line end begins here, and its length. */
static size_t
line_end(const struct csv *csv)
{
	const char *next = csv->text.data + csv->at;
	size_t left = csv->text.len - csv->at;
	if (left >= 1 && next[0] == '\n')
		return 1;
	return left >= 2 && next[0] == '\r' && next[1] == '\n' ? 2 : 0;
}

static bool
check_text(struct csv *csv, struct slice field)
{
	if (field.len > 0 && memchr(field.data, '\0', field.len) != NULL)
		return fail(csv, "A field holds U+0000.");
	if (!utf8_valid(field.data, field.len))
		return fail(csv, "A field is not UTF-8.");
	return true;
}

static bool
read_plain(struct csv *csv, struct arena *arena, struct slice *field)
{
	struct slice raw = { csv->text.data + csv->at, 0 };
	while (!at_end(csv) && peek(csv) != ',' && peek(csv) != '\n' && peek(csv) != '\r' && peek(csv) != '"')
		csv->at++;
	raw.len = (size_t)(csv->text.data + csv->at - raw.data);
	if (!check_text(csv, raw))
		return false;
	if (peek(csv) == '"')
		return fail(csv, "A quote is in a field that does not begin with one.");
	if (peek(csv) == '\r' && line_end(csv) == 0)
		return fail(csv, "A carriage return is neither in quotes nor before a line feed.");
	*field = (struct slice){ arena_copy(arena, raw.data, raw.len), raw.len };
	return true;
}

/* Moves to behind the closing quote. What is between the quotes, doubled ones as they are, becomes `raw`. */
static bool
find_closing_quote(struct csv *csv, struct slice *raw)
{
	const char *end = csv->text.data + csv->text.len, *quote;
	raw->data = csv->text.data + ++csv->at;
	for (const char *from = raw->data; from < end; from = quote + 2) {
		quote = memchr(from, '"', (size_t)(end - from));
		if (quote == NULL)
			break;
		if (quote + 1 < end && quote[1] == '"')
			continue;
		raw->len = (size_t)(quote - raw->data);
		csv->at += raw->len + 1;
		return true;
	}
	return fail(csv, "A quote is opened and not closed.");
}

static struct slice
undouble_quotes(struct arena *arena, struct slice raw)
{
	char *text = arena_copy(arena, raw.data, raw.len);
	size_t len = 0;
	for (size_t i = 0; i < raw.len; i++) {
		text[len++] = raw.data[i];
		i += raw.data[i] == '"';
	}
	text[len] = '\0';
	return (struct slice){ text, len };
}

static bool
read_quoted(struct csv *csv, struct arena *arena, struct slice *field)
{
	struct slice raw;
	if (!find_closing_quote(csv, &raw) || !check_text(csv, raw))
		return false;
	if (!at_end(csv) && peek(csv) != ',' && line_end(csv) == 0)
		return fail(csv, "Something other than a comma or the end of the row follows a closing quote.");
	*field = undouble_quotes(arena, raw);
	return true;
}

static bool
read_field(struct csv *csv, struct arena *arena, struct slice *field)
{
	return peek(csv) == '"' ? read_quoted(csv, arena, field) : read_plain(csv, arena, field);
}

int
csv_next_row(struct csv *csv, struct arena *arena, struct slice **fields, int *count)
{
	struct slice row[CSV_COLUMNS];
	if (csv->message != NULL)
		return -1;
	if (at_end(csv))
		return 0;
	csv->row++;
	for (csv->column = 1; csv->column <= CSV_COLUMNS; csv->column++) {
		if (!read_field(csv, arena, &row[csv->column - 1]))
			return -1;
		if (peek(csv) != ',') {
			csv->at += line_end(csv);
			*count = csv->column;
			*fields = arena_calloc(arena, (size_t)*count, sizeof(row[0]));
			memcpy(*fields, row, (size_t)*count * sizeof(row[0]));
			return 1;
		}
		csv->at++;
	}
	_Static_assert(CSV_COLUMNS == 64, "the sentence says how many");
	fail(csv, "A row has more than 64 fields.");
	return -1;
}

static bool
needs_quotes(struct slice field)
{
	if (begins_with_bom(field))
		return true; /* it could be taken for that of the whole text */
	for (size_t i = 0; i < field.len; i++)
		if (field.data[i] == ',' || field.data[i] == '"' || field.data[i] == '\r' || field.data[i] == '\n')
			return true;
	return false;
}

static void
write_quoted(struct buffer *out, struct slice field)
{
	size_t run = 0;
	buffer_putc(out, '"');
	for (size_t i = 0; i < field.len; i++)
		if (field.data[i] == '"') {
			buffer_append(out, field.data + run, i + 1 - run);
			run = i; /* and so it is written once more */
		}
	buffer_append(out, field.data + run, field.len - run);
	buffer_putc(out, '"');
}

void
csv_write_field(struct buffer *out, struct slice field)
{
	if (needs_quotes(field))
		write_quoted(out, field);
	else
		buffer_append(out, field.data, field.len);
	buffer_putc(out, ',');
}

/* The last comma gives way to the line end. A row that is nothing but one empty field would read as an empty line. */
void
csv_end_row(struct buffer *out)
{
	out->len--;
	if (out->len == 0 || out->data[out->len - 1] == '\n')
		BUFFER_LITERAL(out, "\"\"");
	BUFFER_LITERAL(out, "\r\n");
}
