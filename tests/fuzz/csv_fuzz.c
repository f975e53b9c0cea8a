/*
 * CSV: csv.c's reader and writer.
 *
 * Holds for every input: each field is UTF-8 without U+0000, and a NUL stands after it; rows and columns are counted
 * as they come; after a fault there is nothing more, and the fault has a sentence and a place; what was read, written
 * again, is read as the same.
 */
#include "fuzz.h"

#include "csv.h"
#include "utf8.h"

struct table {
	struct slice *rows[1000];
	int counts[1000];
	int len;
	int end; /* what the reader said last */
};

static void
read_table(struct slice text, struct table *table)
{
	struct csv csv;

	*table = (struct table){ .end = 1 };
	csv_open(&csv, text);
	while (table->len < (int)COUNT_OF(table->rows)) {
		table->end = csv_next_row(&csv, fuzz_arena(), &table->rows[table->len], &table->counts[table->len]);
		if (table->end <= 0)
			break;
		table->len++;
		HOLDS(csv.row == table->len && csv.message == NULL);
		HOLDS(table->counts[table->len - 1] >= 1 && table->counts[table->len - 1] <= CSV_COLUMNS);
	}
	if (table->end < 0) {
		HOLDS(csv.message != NULL && csv.row == table->len + 1);
		HOLDS(csv.column >= 1 && csv.column <= CSV_COLUMNS + 1);
		HOLDS(csv_next_row(&csv, fuzz_arena(), &table->rows[0], &table->counts[0]) == -1);
		table->len = 0;
	}
}

static void
write_table(const struct table *table, struct buffer *out)
{
	for (int row = 0; row < table->len; row++) {
		for (int column = 0; column < table->counts[row]; column++) {
			struct slice field = table->rows[row][column];
			HOLDS(utf8_valid(field.data, field.len) && strlen(field.data) == field.len);
			csv_write_field(out, field);
		}
		csv_end_row(out);
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct table first, second;
	struct buffer out = { 0 };

	read_table(fuzz_exact((struct slice){ (const char *)data, size }), &first);
	write_table(&first, &out);
	read_table(fuzz_exact((struct slice){ out.data, out.len }), &second);
	HOLDS(second.end >= 0 && second.len == first.len);
	for (int row = 0; row < first.len; row++) {
		HOLDS(second.counts[row] == first.counts[row]);
		for (int column = 0; column < first.counts[row]; column++)
			HOLDS(fuzz_same(first.rows[row][column], second.rows[row][column]));
	}
	buffer_free(&out);
	arena_reset(fuzz_arena());
	return 0;
}
