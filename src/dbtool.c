#include "dbtool.h"

#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>

#include "buffer.h"

/* The types that are not written as strings, by their ids in pg_type.dat, which are fixed for ever. */
enum { OID_BOOL = 16, OID_INT8 = 20, OID_INT2 = 21, OID_INT4 = 23, OID_FLOAT4 = 700, OID_FLOAT8 = 701, OID_NUMERIC = 1700 };

struct db_tool {
	PGconn *conn;
	PGresult *failure; /* of the last statement that failed; NULL: none yet */
	struct buffer error;
};

/* A PGresult under a name of our own: there is nothing to add to it. */
static const PGresult *
result_of(const struct db_rows *rows)
{
	return (const PGresult *)rows;
}

/* libpq ends its messages with a line feed and gives each of several reasons a line; the full stop is the caller's. */
static void
append_folded(struct buffer *out, const char *text)
{
	size_t len = strlen(text);
	while (len > 0 && strchr(" \t\r\n.", text[len - 1]) != NULL)
		len--;
	for (size_t i = 0; i < len; i++) {
		if (text[i] == '\n')
			BUFFER_LITERAL(out, "; ");
		else if (text[i] != '\t' && text[i] != '\r')
			buffer_putc(out, text[i]);
	}
}

static void
set_error(char *error, size_t size, const char *text)
{
	struct buffer folded = { 0 };
	append_folded(&folded, text);
	snprintf(error, size, "%.*s", (int)folded.len, folded.len == 0 ? "" : folded.data);
	buffer_free(&folded);
}

/* A warning, in one line. Less severe notices are not asked for. */
static void
print_notice(void *unused, const PGresult *notice)
{
	(void)unused;
	const char *severity = PQresultErrorField(notice, PG_DIAG_SEVERITY);
	const char *message = PQresultErrorField(notice, PG_DIAG_MESSAGE_PRIMARY);
	fprintf(stderr, "%s: %s\n", severity == NULL ? "NOTICE" : severity, message == NULL ? "" : message);
}

/* What comes before "dbname" gives way to the connection string, what comes after does not. */
static PGconn *
connect_to(const char *conninfo)
{
	const char *const names[] = { "connect_timeout", "fallback_application_name", "dbname", "client_encoding", 0 };
	const char *const values[] = { "10", "jobforgectl", conninfo, "UTF8", 0 };
	return PQconnectdbParams(names, values, 1);
}

struct db_tool *
db_tool_open(const char *conninfo, char *error, size_t error_size)
{
	PGconn *conn = connect_to(conninfo);
	struct db_tool *tool = calloc(1, sizeof(*tool));
	if (conn == NULL || tool == NULL || PQstatus(conn) != CONNECTION_OK) {
		set_error(error, error_size, conn == NULL || tool == NULL ? "out of memory" : PQerrorMessage(conn));
		PQfinish(conn);
		free(tool);
		return NULL;
	}
	tool->conn = conn;
	PQsetNoticeReceiver(conn, print_notice, NULL);
	db_rows_free(db_tool_run(tool, "SET client_min_messages = warning", 0, NULL));
	return tool;
}

void
db_tool_close(struct db_tool *tool)
{
	if (tool == NULL)
		return;
	PQfinish(tool->conn);
	PQclear(tool->failure);
	buffer_free(&tool->error);
	free(tool);
}

/* keyword='value' */
static void
append_pair(struct buffer *out, const char *keyword, const char *value)
{
	buffer_printf(out, "%s%s='", out->len == 0 ? "" : " ", keyword);
	for (; *value != '\0'; value++) {
		if (*value == '\'' || *value == '\\')
			buffer_putc(out, '\\');
		buffer_putc(out, *value);
	}
	buffer_putc(out, '\'');
}

/* The text of a buffer as a string of its own. */
static char *
take_string(struct buffer *buffer)
{
	buffer_putc(buffer, '\0');
	return buffer->data;
}

/* The pairs but the password, which goes to *password. False for a secret that has no way to another program. */
static bool
append_options(struct buffer *out, const PQconninfoOption *options, char **password)
{
	for (const PQconninfoOption *option = options; option->keyword != NULL; option++) {
		struct buffer copy = { 0 };
		if (option->val == NULL)
			continue;
		if (strcmp(option->keyword, "sslpassword") == 0)
			return false;
		if (strcmp(option->keyword, "password") != 0) {
			append_pair(out, option->keyword, option->val);
			continue;
		}
		buffer_puts(&copy, option->val);
		*password = take_string(&copy);
	}
	return true;
}

static void
override(PQconninfoOption *options, const char *keyword, const char *value)
{
	for (PQconninfoOption *option = options; option->keyword != NULL; option++) {
		if (strcmp(option->keyword, keyword) != 0)
			continue;
		PQfreemem(option->val); /* malloc'ed by libpq, which also frees what we put there */
		option->val = value == NULL ? NULL : strdup(value);
	}
}

char *
db_tool_conninfo(const char *conninfo, const char *user, const char *database, char **password, char *error,
    size_t error_size)
{
	struct buffer out = { 0 };
	char *reason = NULL;
	*password = NULL;
	PQconninfoOption *options = PQconninfoParse(conninfo, &reason);
	if (options == NULL) {
		set_error(error, error_size, reason == NULL ? "out of memory" : reason);
		PQfreemem(reason);
		return NULL;
	}
	if (user != NULL) {
		override(options, "user", user);
		override(options, "password", NULL);
	}
	if (database != NULL)
		override(options, "dbname", database);
	bool complete = append_options(&out, options, password);
	PQconninfoFree(options);
	if (complete)
		return take_string(&out);
	set_error(error, error_size, "the connection string has an sslpassword, which no program of PostgreSQL's can be given");
	free(*password);
	buffer_free(&out);
	return NULL;
}

/* Keeps the result, or NULL when libpq could not even make one, as the last error. */
static void
keep_failure(struct db_tool *tool, PGresult *result)
{
	PQclear(tool->failure);
	tool->failure = result;
	buffer_clear(&tool->error);

	const char *message = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
	const char *hint = PQresultErrorField(result, PG_DIAG_MESSAGE_HINT);
	if (db_tool_sqlstate(tool)[0] != '\0')
		buffer_printf(&tool->error, "%s: ", db_tool_sqlstate(tool));
	append_folded(&tool->error, message == NULL ? PQerrorMessage(tool->conn) : message);
	if (hint != NULL) {
		BUFFER_LITERAL(&tool->error, " (");
		append_folded(&tool->error, hint);
		BUFFER_LITERAL(&tool->error, ")");
	}
	buffer_putc(&tool->error, '\0');
}

struct db_rows *
db_tool_run(struct db_tool *tool, const char *sql, int count, const char *const params[])
{
	PGresult *result = count == 0 ? PQexec(tool->conn, sql) :
					PQexecParams(tool->conn, sql, count, NULL, params, NULL, NULL, 0);
	ExecStatusType status = PQresultStatus(result);
	if (status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK)
		return (struct db_rows *)result;
	keep_failure(tool, result);
	return NULL;
}

const char *
db_tool_error(const struct db_tool *tool)
{
	return tool->error.len == 0 ? "" : tool->error.data;
}

const char *
db_tool_sqlstate(const struct db_tool *tool)
{
	const char *sqlstate = PQresultErrorField(tool->failure, PG_DIAG_SQLSTATE);
	return sqlstate == NULL ? "" : sqlstate;
}

/* The position counts characters of UTF-8 from 1, so bytes that continue one do not count. */
static int
line_at(const char *text, long position)
{
	int line = 1;
	for (; *text != '\0' && position > 1; text++) {
		line += *text == '\n';
		position -= ((unsigned char)text[1] & 0xC0) != 0x80;
	}
	return line;
}

int
db_tool_error_line(const struct db_tool *tool, const char *sql)
{
	const char *position = PQresultErrorField(tool->failure, PG_DIAG_INTERNAL_POSITION);
	const char *query = PQresultErrorField(tool->failure, PG_DIAG_INTERNAL_QUERY);
	if (position == NULL || query == NULL || strcmp(query, sql) != 0)
		return 0;
	return line_at(sql, strtol(position, NULL, 10));
}

int
db_rows_count(const struct db_rows *rows)
{
	return PQntuples(result_of(rows));
}

int
db_rows_columns(const struct db_rows *rows)
{
	return PQnfields(result_of(rows));
}

const char *
db_rows_name(const struct db_rows *rows, int column)
{
	return PQfname(result_of(rows), column);
}

enum db_rows_kind
db_rows_kind(const struct db_rows *rows, int column)
{
	switch (PQftype(result_of(rows), column)) {
	case OID_BOOL:
		return DB_ROWS_BOOLEAN;
	case OID_INT2:
	case OID_INT4:
	case OID_INT8:
	case OID_FLOAT4:
	case OID_FLOAT8:
	case OID_NUMERIC:
		return DB_ROWS_NUMBER;
	default:
		return DB_ROWS_TEXT;
	}
}

const char *
db_rows_value(const struct db_rows *rows, int row, int column)
{
	return PQgetisnull(result_of(rows), row, column) ? NULL : PQgetvalue(result_of(rows), row, column);
}

void
db_rows_free(struct db_rows *rows)
{
	PQclear((PGresult *)rows);
}
