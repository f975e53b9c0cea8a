/* The generic writer from a statement's rows to JSON: by column type, one member a column. */
#ifndef JOBFORGE_ROW_H
#define JOBFORGE_ROW_H

#include "base.h"

struct buffer;
struct db_result;

/*
 * Writes row `row` as an object. A column whose name begins with '_' is for the engine and left out. Booleans and numbers
 * are written as such, json as it is, times as RFC 3339 in UTC with microseconds, all else as a string; NULL as null.
 */
void row_write(struct buffer *out, const struct db_result *result, int row);

/* Writes rows `from` up to but without `to` as an array. */
void row_write_array(struct buffer *out, const struct db_result *result, int from, int to);

/* Writes a timestamptz in PostgreSQL's ISO form (UTC) as a JSON string of RFC 3339 with microseconds. */
void row_write_time(struct buffer *out, struct slice text);

#endif
