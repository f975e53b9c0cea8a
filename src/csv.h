/* Comma-separated values as RFC 4180 has them: a strict reader and a writer. */
#ifndef JOBFORGE_CSV_H
#define JOBFORGE_CSV_H

#include "arena.h"
#include "base.h"
#include "buffer.h"

enum { CSV_COLUMNS = 64 };

/* A reader. All members but `text` and `at` are for the caller to read. */
struct csv {
	struct slice text;
	size_t at;
	int row;	     /* the row read last, from 1: records as a spreadsheet counts them, with the header */
	int column;	     /* of the fault, from 1 */
	const char *message; /* the fault as a sentence, static; NULL while there is none */
};

/*
 * Begins to read `text`, which stays the caller's. A byte order mark at its start is skipped. Rows end with CRLF or LF,
 * the last one need not; empty lines at the end are no rows, an empty line before that is a row of one empty field.
 */
void csv_open(struct csv *csv, struct slice text);

/*
 * Reads a row. Returns 1 and its fields, unquoted, each with a NUL after it, in the arena; 0 at the end; -1 at a fault,
 * which it stays at. Faults are: bytes that are no UTF-8, U+0000, a carriage return or a quote in a field that is not
 * quoted, text after a closing quote, a quote that is not closed, and more than CSV_COLUMNS fields.
 */
int csv_next_row(struct csv *csv, struct arena *arena, struct slice **fields, int *count) MUST_CHECK;

/*
 * Writes a field of the row, absent ones as empty, and the end of the row. The buffer holds whole rows before the row's
 * first field, or nothing, and is not emptied between that field and the row's end. A row has at least one field.
 */
void csv_write_field(struct buffer *out, struct slice field);
void csv_end_row(struct buffer *out);

#endif
