#include "restore.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "backup.h"
#include "buffer.h"
#include "child.h"
#include "json.h"
#include "pgprogram.h"

struct run {
	const struct restore_request *request;
	struct pgprogram pg_restore;
	struct pgprogram psql;
	struct child reader; /* pg_restore, which writes the dump as SQL */
	struct child writer; /* psql */
	int from;            /* what pg_restore writes */
	int to;              /* what psql reads; -1: closed */
	char *error;
	size_t error_size;
};

/* ---- what goes before and after the dump ---- */

/*
 * The first migration makes the roles and gives them their rights to the database, of which a dump knows nothing. The schema
 * that it fills is made by the dump again.
 */
static void
append_prelude(struct buffer *out, const char *roles)
{
	buffer_puts(out,
	    "BEGIN;\nSET LOCAL client_min_messages = warning;\n"
	    "CREATE SCHEMA jobforge;\n"
	    "CREATE TABLE jobforge.schema_migrations (version int PRIMARY KEY, name text NOT NULL, checksum text NOT NULL,"
	    " applied_at timestamptz NOT NULL DEFAULT now());\n");
	buffer_puts(out, roles);
	buffer_puts(out, "\nRESET ROLE;\nDROP SCHEMA jobforge CASCADE;\n");
}

/* A string of SQL. */
static void
append_literal(struct buffer *out, const char *text, size_t len)
{
	buffer_putc(out, '\'');
	for (size_t i = 0; i < len; i++) {
		if (text[i] == '\'')
			buffer_putc(out, '\'');
		buffer_putc(out, text[i]);
	}
	buffer_putc(out, '\'');
}

/* {"public.users": "2 9f...", ...} */
static void
append_expected(struct buffer *out, const struct backup_manifest *manifest)
{
	struct buffer object = { 0 };
	for (size_t i = 0; i < manifest->table_count; i++) {
		const struct backup_table *table = &manifest->tables[i];
		buffer_puts(&object, i == 0 ? "{" : ",");
		json_write_string(&object, table->name, strlen(table->name));
		buffer_putc(&object, ':');
		json_write_string(&object, table->contents, strlen(table->contents));
	}
	buffer_puts(&object, manifest->table_count == 0 ? "{}" : "}");
	append_literal(out, object.data, object.len);
	buffer_free(&object);
}

/* Within the transaction, so that what differs is never seen by anybody. */
static void
append_comparison(struct buffer *out, const struct backup_manifest *manifest)
{
	buffer_printf(out, "\nRESET ROLE;\nSET standard_conforming_strings = on;\n%s;\n", backup_session_sql);
	buffer_puts(out, "DO $jobforge$\nDECLARE\n\tv_table record;\n\tv_found text;\n\tv_count integer := 0;\n"
			 "\tv_expected CONSTANT jsonb := ");
	append_expected(out, manifest);
	buffer_puts(out, ";\nBEGIN\n\tFOR v_table IN ");
	buffer_puts(out, backup_tables_sql);
	buffer_printf(out,
	    " LOOP\n\t\tEXECUTE v_table.query INTO v_found;\n"
	    "\t\tIF v_found IS DISTINCT FROM v_expected ->> v_table.name THEN\n"
	    "\t\t\tRAISE 'table %% is not what it was when it was backed up', v_table.name;\n"
	    "\t\tEND IF;\n\t\tv_count := v_count + 1;\n\tEND LOOP;\n"
	    "\tIF v_count <> %zu THEN\n\t\tRAISE 'there are %% tables of the %zu that were backed up', v_count;\n\tEND IF;\n"
	    "END\n$jobforge$;\n",
	    manifest->table_count, manifest->table_count);
}

/* ---- the two programs ---- */

static int
start_writer(struct run *run)
{
	int ends[2];
	const char *const arguments[] = { "psql", "--no-psqlrc", "--quiet", "--no-password", "--set=ON_ERROR_STOP=1", "--dbname",
		run->request->conninfo, "--output=/dev/null", "--file=-", NULL };
	if (child_pipe(ends, run->error, run->error_size) != 0)
		return -1;
	int result = child_start(&run->writer, run->psql.path, arguments, run->request->password, ends[0], CHILD_NONE, run->error,
	    run->error_size);
	close(ends[0]);
	run->to = ends[1];
	return result;
}

static int
start_reader(struct run *run)
{
	int ends[2];
	const char *const arguments[] = { "pg_restore", "--exit-on-error", "--no-comments", "--no-tablespaces", "--file=-",
		run->request->manifest->path, NULL };
	if (child_pipe(ends, run->error, run->error_size) != 0)
		return -1;
	int result = child_start(&run->reader, run->pg_restore.path, arguments, NULL, CHILD_NONE, ends[1], run->error,
	    run->error_size);
	close(ends[1]);
	run->from = ends[0];
	return result;
}

static int
write_text(struct run *run, struct buffer *text)
{
	int result = child_write(run->to, text->data, text->len);
	buffer_free(text);
	return result;
}

static int
copy_dump(struct run *run)
{
	char piece[65536];
	ssize_t got;
	while ((got = read(run->from, piece, sizeof(piece))) > 0 || (got < 0 && errno == EINTR))
		if (got > 0 && child_write(run->to, piece, (size_t)got) != 0)
			return -1;
	return got < 0 ? -1 : 0;
}

static void
close_writer(struct run *run)
{
	if (run->to >= 0)
		close(run->to);
	run->to = -1;
}

/* Everything but COMMIT. -1 when psql reads no more, or when pg_restore failed, which is then in `error`. */
static int
send_all(struct run *run, bool *read_failed)
{
	struct buffer before = { 0 }, after = { 0 };
	append_prelude(&before, run->request->roles);
	if (write_text(run, &before) != 0 || copy_dump(run) != 0)
		return -1;
	*read_failed = child_wait(&run->reader, run->error, run->error_size) != 0;
	if (*read_failed)
		return -1;
	append_comparison(&after, run->request->manifest);
	buffer_puts(&after, "COMMIT;\n");
	return write_text(run, &after);
}

/* psql rolls back what it has not been told to commit when its input ends. */
static int
transfer(struct run *run)
{
	char reason[512];
	bool read_failed = false;
	int sent = send_all(run, &read_failed);
	close_writer(run);
	int applied = child_wait(&run->writer, reason, sizeof(reason));
	if (sent == 0 && applied == 0)
		return 0;
	if (!read_failed)
		snprintf(run->error, run->error_size, "%s",
		    applied != 0 ? reason : "what pg_restore wrote could not be passed on");
	return -1;
}

static int
start_and_transfer(struct run *run)
{
	int result = start_reader(run);
	if (result == 0)
		result = start_writer(run);
	if (result == 0)
		result = transfer(run);
	close_writer(run);
	if (run->from >= 0)
		close(run->from);
	child_kill(&run->reader);
	return result;
}

int
restore_run(const struct restore_request *request, char *error, size_t error_size)
{
	struct run run = { .request = request, .from = -1, .to = -1, .error = error, .error_size = error_size };
	int major = request->manifest->server > request->server ? request->manifest->server : request->server;
	if (request->manifest->server > request->server) {
		snprintf(error, error_size,
		    "the backup was made of PostgreSQL %d, and this server is %d, which cannot take it: restore into a server of "
		    "version %d or later",
		    request->manifest->server, request->server, request->manifest->server);
		return -1;
	}
	if (pgprogram_find(&run.pg_restore, request->pg_bin, "pg_restore", major, error, error_size) != 0 ||
	    pgprogram_find(&run.psql, request->pg_bin, "psql", major, error, error_size) != 0)
		return -1;
	return start_and_transfer(&run);
}
