/* Sheets: a list as a file of text/csv, and such a file as a creation of its rows, for those who come from a spreadsheet. */
#ifndef JOBFORGE_SHEET_H
#define JOBFORGE_SHEET_H

#include "base.h"
#include "db.h"
#include "field.h"

struct call;

enum { SHEET_ROWS_MAX = 5000 };

extern const struct db_statement sheet_statements[];

/*
 * Reads the body, a header row with the names of the endpoint's body fields in any order and rows below it, into one array a
 * field, as the endpoint's `sheet` statement takes them. Columns that only answers have are passed over, so that a file that
 * was downloaded goes in again. 0, or the response is made and its status returned: 400 for what is not RFC 4180, else 422
 * with each fault's row and column.
 */
int sheet_bind(struct call *call, struct db_param params[]);

/* What a list that is also a sheet takes besides: `format`. */
extern const struct field sheet_fields[];

/* Whether the client wants the list as a sheet: ?format=csv, or else Accept prefers text/csv. 0, or the response is made and
 * its status returned. Notes by Vary that Accept counts. */
int sheet_wanted(struct call *call, bool *wanted);

/* Answers the list as a sheet, newest first, all of it, piece by piece; returns the status. */
int sheet_answer(struct call *call);

#endif
