#include "row.h"

#include "buffer.h"
#include "db.h"
#include "json.h"

enum { ROW_MAX_COLUMNS = 64 };

struct column {
	const char *name; /* NULL: not written */
	size_t len;
	enum db_type type;
};

static int
describe(struct column columns[], const struct db_result *result)
{
	int count = db_columns(result);

	for (int i = 0; i < count && i < ROW_MAX_COLUMNS; i++) {
		const char *name = db_name(result, i);
		columns[i].name = name[0] == '_' ? NULL : name;
		columns[i].len = strlen(name);
		columns[i].type = db_type(result, i);
	}
	return count < ROW_MAX_COLUMNS ? count : ROW_MAX_COLUMNS;
}

/* "2026-01-31 12:00:00.5+00" becomes "2026-01-31T12:00:00.500000Z"; anything else ("infinity") stays as it is. */
void
row_write_time(struct buffer *out, struct slice text)
{
	enum { SECONDS = 19, MICROS = 6 };
	size_t fraction = 0;

	if (text.len < SECONDS + 3 || memcmp(text.data + text.len - 3, "+00", 3) != 0 || text.data[10] != ' ') {
		json_write_string(out, text.data, text.len);
		return;
	}
	char *to = buffer_reserve(out, SECONDS + MICROS + 4);
	*to++ = '"';
	memcpy(to, text.data, SECONDS);
	to[10] = 'T';
	to += SECONDS;
	*to++ = '.';
	for (size_t i = SECONDS + 1; i < text.len - 3 && fraction < MICROS; i++, fraction++)
		*to++ = text.data[i];
	for (; fraction < MICROS; fraction++)
		*to++ = '0';
	*to++ = 'Z';
	*to = '"';
	out->len += SECONDS + MICROS + 4;
}

static void
write_value(struct buffer *out, enum db_type type, struct slice value)
{
	if (value.data == NULL) {
		BUFFER_LITERAL(out, "null");
		return;
	}
	switch (type) {
	case DB_TYPE_BOOL:
		buffer_puts(out, value.data[0] == 't' ? "true" : "false");
		break;
	case DB_TYPE_NUMBER:
		/* NaN and the infinities are no JSON. */
		if (strpbrk(value.data, "NI") != NULL)
			BUFFER_LITERAL(out, "null");
		else
			buffer_append(out, value.data, value.len);
		break;
	case DB_TYPE_JSON:
		buffer_append(out, value.data, value.len);
		break;
	case DB_TYPE_TIME:
		row_write_time(out, value);
		break;
	case DB_TYPE_TEXT:
		json_write_string(out, value.data, value.len);
		break;
	}
}

static void
write_row(struct buffer *out, const struct db_result *result, int row, const struct column columns[], int count)
{
	char before = '{';

	for (int i = 0; i < count; i++) {
		if (columns[i].name == NULL)
			continue;
		char *to = buffer_reserve(out, columns[i].len + 4);
		*to++ = before;
		*to++ = '"';
		memcpy(to, columns[i].name, columns[i].len);
		to += columns[i].len;
		*to++ = '"';
		*to = ':';
		out->len += columns[i].len + 4;
		before = ',';
		write_value(out, columns[i].type, db_value(result, row, i));
	}
	buffer_puts(out, before == '{' ? "{}" : "}");
}

void
row_write(struct buffer *out, const struct db_result *result, int row)
{
	struct column columns[ROW_MAX_COLUMNS];

	write_row(out, result, row, columns, describe(columns, result));
}

void
row_write_array(struct buffer *out, const struct db_result *result, int from, int to)
{
	struct column columns[ROW_MAX_COLUMNS];
	int count = describe(columns, result);

	buffer_putc(out, '[');
	for (int row = from; row < to; row++) {
		if (row > from)
			buffer_putc(out, ',');
		write_row(out, result, row, columns, count);
	}
	buffer_putc(out, ']');
}
