/*
 * A blocking connection to PostgreSQL for the operator's tool, which has one user and no hurry. The workers' own is
 * db.h; dbtool.c is the other of the two files that include libpq's header.
 */
#ifndef JOBFORGE_DBTOOL_H
#define JOBFORGE_DBTOOL_H

#include "base.h"

struct db_tool;
struct db_rows;

/*
 * Connects, in UTF-8 and within 10 s unless the connection string says otherwise. NULL on failure, with a sentence (no
 * password in it, no full stop) in `error`. The caller owns it. The server's warnings go to standard error.
 */
struct db_tool *db_tool_open(const char *conninfo, char *error, size_t error_size) MUST_CHECK;
void db_tool_close(struct db_tool *tool);

/*
 * The connection string in the form of pairs, with another user and database (unless NULL), for a program that is given it on
 * its command line, where all can read it: a password is not in it but in *password (NULL: there is none, or the user is
 * another). Both are the caller's to free(). NULL on failure, with a sentence in `error`.
 */
char *db_tool_conninfo(const char *conninfo, const char *user, const char *database, char **password, char *error,
    size_t error_size) MUST_CHECK;

/*
 * Runs `sql` with `count` text parameters (NULL: SQL NULL); with none, it may be several statements, and the last one's
 * rows are the result. NULL on error: see below. The caller gives the rows to db_rows_free().
 */
struct db_rows *db_tool_run(struct db_tool *tool, const char *sql, int count, const char *const params[]) MUST_CHECK;

/* The last error on one line: "SQLSTATE: message (hint)", or the message alone when libpq made it. */
const char *db_tool_error(const struct db_tool *tool);

/* Its SQLSTATE, "" when there is none. */
const char *db_tool_sqlstate(const struct db_tool *tool);

/* The line (from 1) of `sql` that the last error points at, when `sql` ran inside a function (EXECUTE); 0: none. */
int db_tool_error_line(const struct db_tool *tool, const char *sql);

/* How a column's values are written: what is neither a number nor true or false is text. */
enum db_rows_kind { DB_ROWS_TEXT, DB_ROWS_NUMBER, DB_ROWS_BOOLEAN };

int db_rows_count(const struct db_rows *rows);
int db_rows_columns(const struct db_rows *rows);
const char *db_rows_name(const struct db_rows *rows, int column);
enum db_rows_kind db_rows_kind(const struct db_rows *rows, int column);
const char *db_rows_value(const struct db_rows *rows, int row, int column); /* NULL for SQL NULL */
void db_rows_free(struct db_rows *rows);

#endif
