#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "buffer.h"
#include "dbtool.h"
#include "log.h"
#include "migrate.h"
#include "migration.h"
#include "schema.h"

struct run {
	const struct migrate_request *request;
	struct db_tool *tool;
	struct migrations files;
	char database[256];
	bool has_ledger;
	int version;           /* the database's */
	struct buffer applied; /* members of a JSON array */
	char *error;
	size_t error_size;
};

static int
fail(struct run *run, const char *format, ...) PRINTF_LIKE(2, 3);

static int
fail(struct run *run, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	vsnprintf(run->error, run->error_size, format, args);
	va_end(args);
	return -1;
}

/* What helps, by the SQLSTATE; "" is an error of libpq's own. */
static const char *
advice(const char *sqlstate)
{
	static const struct {
		const char *sqlstate;
		const char *text;
	} table[] = {
		{ "", "; when the server answers again, run this again: it goes on where it stopped" },
		{ "0A000", "; a migration must not begin or end a transaction itself" },
		{ "2D000", "; a migration must not begin or end a transaction itself" },
		{ "25006", "; connect to the primary by admin_database" },
		{ "42501", "; connect as an administrator by admin_database" },
	};
	for (size_t i = 0; i < COUNT_OF(table); i++)
		if (strcmp(sqlstate, table[i].sqlstate) == 0)
			return table[i].text;
	return "";
}

static int
fail_sql(struct run *run, const char *what)
{
	return fail(run, "%s: %s%s", what, db_tool_error(run->tool), advice(db_tool_sqlstate(run->tool)));
}

/* Runs what gives no rows of interest. */
static int
execute(struct run *run, const char *sql, int count, const char *const params[])
{
	struct db_rows *rows = db_tool_run(run->tool, sql, count, params);
	db_rows_free(rows);
	return rows == NULL ? -1 : 0;
}

static int
check_facts(struct run *run, const struct db_rows *facts)
{
	enum { NUMBER, VERSION, ENCODING, DATABASE, STANDBY, PGVECTOR };
	int major = atoi(db_rows_value(facts, 0, NUMBER)) / 10000;
	const char *encoding = db_rows_value(facts, 0, ENCODING);
	snprintf(run->database, sizeof(run->database), "%s", db_rows_value(facts, 0, DATABASE));
	if (major < 16)
		return fail(run,
		    "the server is PostgreSQL %s, and JobForge needs 16 or later: upgrade it, or name another "
		    "server by admin_database",
		    db_rows_value(facts, 0, VERSION));
	if (strcmp(encoding, "UTF8") != 0)
		return fail(run,
		    "database %s has the encoding %s, and JobForge needs UTF8: create one with TEMPLATE template0 "
		    "ENCODING 'UTF8'",
		    run->database, encoding);
	if (strcmp(db_rows_value(facts, 0, STANDBY), "t") == 0 && !run->request->dry_run)
		return fail(run, "the server is a standby: connect to the primary by admin_database");
	if (strcmp(db_rows_value(facts, 0, PGVECTOR), "t") != 0)
		return fail(run,
		    "the server has no pgvector: install it on the database's machine (Debian's package is "
		    "postgresql-%d-pgvector), then run this again",
		    major);
	return 0;
}

static int
check_server(struct run *run)
{
	static const char sql[] =
	    "SELECT current_setting('server_version_num'), current_setting('server_version'),"
	    " current_setting('server_encoding'), current_database(), pg_is_in_recovery(),"
	    " EXISTS (SELECT FROM pg_catalog.pg_available_extensions WHERE name = 'vector')";
	struct db_rows *facts = db_tool_run(run->tool, sql, 0, NULL);
	if (facts == NULL)
		return fail_sql(run, "the server's version");
	int result = check_facts(run, facts);
	db_rows_free(facts);
	return result;
}

/* 1 when the lock is ours, 0 when another has it. It ends with the session. The key is "jobforge" in ASCII. */
static int
try_lock(struct run *run)
{
	struct db_rows *rows =
	    db_tool_run(run->tool, "SELECT pg_try_advisory_lock(x'6a6f62666f726765'::bigint)", 0, NULL);
	if (rows == NULL)
		return fail_sql(run, "the lock of migrations");
	int taken = strcmp(db_rows_value(rows, 0, 0), "t") == 0;
	db_rows_free(rows);
	return taken;
}

/* Asks again and again instead of waiting in the server, where lock_timeout or statement_timeout would end it. */
static int
lock(struct run *run)
{
	static const struct timespec pause = { .tv_nsec = 100 * 1000 * 1000 };
	int taken;
	for (int tries = 0; (taken = try_lock(run)) == 0; tries++) {
		if (tries == 10)
			fprintf(stderr,
			    "jobforgectl: another migration of this database is running; waiting for its end.\n");
		nanosleep(&pause, NULL);
	}
	return taken > 0 ? 0 : -1;
}

/*
 * Steps back from whatever role the migration took, and into that of the ledger's owner: after the first migration this
 * is jobforge_owner, of which each administrator is a member, while the ledger was made by one of them.
 */
static int
become_ledger_owner(struct run *run)
{
	static const char sql[] =
	    "RESET SESSION AUTHORIZATION; RESET ROLE;"
	    "SELECT pg_catalog.set_config('role', pg_catalog.pg_get_userbyid(c.relowner), true)"
	    " FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
	    " WHERE n.nspname = 'jobforge' AND c.relname = 'schema_migrations'"
	    " AND pg_catalog.pg_has_role(c.relowner, 'SET')";
	return execute(run, sql, 0, NULL);
}

static int
find_ledger(struct run *run)
{
	static const char sql[] =
	    "SELECT FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
	    " WHERE n.nspname = 'jobforge' AND c.relname = 'schema_migrations'";
	struct db_rows *rows = db_tool_run(run->tool, sql, 0, NULL);
	if (rows == NULL)
		return fail_sql(run, "the ledger of migrations");
	run->has_ledger = db_rows_count(rows) > 0;
	db_rows_free(rows);
	return 0;
}

static struct db_rows *
select_ledger(struct run *run)
{
	if (execute(run, "BEGIN READ ONLY", 0, NULL) != 0 || become_ledger_owner(run) != 0)
		return NULL;
	struct db_rows *rows = db_tool_run(run->tool,
	    "SELECT version, checksum, to_char(applied_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS \"UTC\"')"
	    " FROM jobforge.schema_migrations ORDER BY version", 0, NULL);
	if (rows != NULL && execute(run, "COMMIT", 0, NULL) == 0)
		return rows;
	db_rows_free(rows);
	return NULL;
}

/* The ledger must be the beginning of the files, unchanged. */
static int
compare_ledger(struct run *run, const struct db_rows *ledger)
{
	int count = db_rows_count(ledger);
	int newest = count == 0 ? 0 : atoi(db_rows_value(ledger, count - 1, 0));
	if (newest > run->files.count)
		return fail(run,
		    "database %s is at version %d, and the migrations in %s end at %d: it was made by a newer "
		    "JobForge, so install that one",
		    run->database, newest, run->request->directory, run->files.count);
	for (int i = 0; i < count; i++) {
		const struct migration *file = &run->files.items[i];
		if (atoi(db_rows_value(ledger, i, 0)) != file->version)
			return fail(run,
			    "%s was never applied to database %s, and later ones were: a new migration is numbered "
			    "after all others",
			    file->file, run->database);
		if (strcmp(db_rows_value(ledger, i, 1), file->checksum) != 0)
			return fail(run,
			    "%s/%s is not the file that was applied at %s: put that one back, and write what is to "
			    "change as a new migration",
			    run->request->directory, file->file, db_rows_value(ledger, i, 2));
	}
	run->version = newest;
	return 0;
}

static int
read_ledger(struct run *run)
{
	if (find_ledger(run) != 0)
		return -1;
	if (!run->has_ledger)
		return 0;
	struct db_rows *ledger = select_ledger(run);
	if (ledger == NULL)
		return fail_sql(run, "the ledger of migrations");
	int result = compare_ledger(run, ledger);
	db_rows_free(ledger);
	return result;
}

/* Settings that migrations depend on, and that the role, the database or the migration before may have otherwise. */
static int
begin(struct run *run)
{
	static const char sql[] =
	    "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; RESET SESSION AUTHORIZATION; RESET ROLE;"
	    "SET LOCAL search_path = public; SET LOCAL statement_timeout = 0; SET LOCAL check_function_bodies = on";
	return execute(run, sql, 0, NULL);
}

/* In the first migration's transaction, so that a run that fails there leaves nothing. */
static int
make_ledger(struct run *run)
{
	static const char sql[] =
	    "CREATE SCHEMA IF NOT EXISTS jobforge;"
	    "CREATE TABLE jobforge.schema_migrations (version int PRIMARY KEY, name text NOT NULL,"
	    " checksum text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now())";
	return run->has_ledger ? 0 : execute(run, sql, 0, NULL);
}

/*
 * Runs the file's text inside a function. Sent as it is, a COMMIT or ROLLBACK in it would end the transaction, and the
 * rest would run outside; inside a function the server refuses both.
 */
static int
execute_file(struct run *run, const struct migration *file)
{
	const char *const params[] = { file->sql };
	if (execute(run, "SELECT pg_catalog.set_config('jobforge.migration', $1, true)", 1, params) != 0)
		return -1;
	return execute(run, "DO $$BEGIN EXECUTE pg_catalog.current_setting('jobforge.migration'); END$$", 0, NULL);
}

static int
write_ledger(struct run *run, const struct migration *file)
{
	char version[16];
	const char *const params[] = { version, file->name, file->checksum };
	snprintf(version, sizeof(version), "%d", file->version);
	if (become_ledger_owner(run) != 0)
		return -1;
	return execute(run, "INSERT INTO jobforge.schema_migrations (version, name, checksum) VALUES ($1, $2, $3)", 3,
	    params);
}

/* Puts the reason in words, then rolls back. */
static int
fail_file(struct run *run, const struct migration *file)
{
	char where[1024];
	int line = db_tool_error_line(run->tool, file->sql), length;
	length = snprintf(where, sizeof(where), "%s/%s", run->request->directory, file->file);
	if (line > 0 && length > 0 && (size_t)length < sizeof(where))
		snprintf(where + length, sizeof(where) - (size_t)length, ":%d", line);
	fail_sql(run, where);
	(void)execute(run, "ROLLBACK", 0, NULL); /* without a connection the server does it */
	return -1;
}

static double
milliseconds_since(const struct timespec *start)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)(now.tv_sec - start->tv_sec) * 1e3 + (double)(now.tv_nsec - start->tv_nsec) / 1e6;
}

static void
append_json(struct buffer *array, const struct migration *file, double milliseconds)
{
	if (array->len > 0)
		buffer_putc(array, ',');
	buffer_printf(array, "{\"version\":%d,\"name\":\"%s\"", file->version, file->name);
	if (milliseconds >= 0)
		buffer_printf(array, ",\"milliseconds\":%.3f", milliseconds);
	buffer_putc(array, '}');
}

static void
report_applied(struct run *run, const struct migration *file, double milliseconds)
{
	append_json(&run->applied, file, milliseconds);
	if (run->request->json)
		return;
	printf("%04d_%s: applied in %.1f ms\n", file->version, file->name, milliseconds);
	fflush(stdout);
}

static int
apply(struct run *run, const struct migration *file)
{
	struct timespec start;
	clock_gettime(CLOCK_MONOTONIC, &start);
	if (begin(run) != 0 || make_ledger(run) != 0 || execute_file(run, file) != 0 || write_ledger(run, file) != 0 ||
	    execute(run, "COMMIT", 0, NULL) != 0)
		return fail_file(run, file);
	run->has_ledger = true;
	run->version = file->version;
	report_applied(run, file, milliseconds_since(&start));
	return 0;
}

static int
apply_pending(struct run *run)
{
	while (run->version < run->files.count)
		if (apply(run, &run->files.items[run->version]) != 0)
			return -1;
	return 0;
}

static void
report_text(const struct run *run)
{
	int pending = run->files.count - run->version;
	for (int i = run->version; run->request->dry_run && i < run->files.count; i++)
		printf("%04d_%s: pending\n", run->files.items[i].version, run->files.items[i].name);
	printf("Database %s is at version %d", run->database, run->version);
	if (pending > 0)
		printf("; %d %s pending", pending, pending == 1 ? "migration is" : "migrations are");
	else if (run->applied.len == 0)
		printf("; nothing to do");
	printf(".\n");
}

static void
report_json(const struct run *run)
{
	struct buffer out = { 0 };
	struct buffer pending = { 0 };
	for (int i = run->version; i < run->files.count; i++)
		append_json(&pending, &run->files.items[i], -1);
	BUFFER_LITERAL(&out, "{\"database\":");
	log_quote(&out, run->database, strlen(run->database));
	buffer_printf(&out, ",\"version\":%d,\"applied\":[", run->version);
	buffer_append(&out, run->applied.data, run->applied.len);
	BUFFER_LITERAL(&out, "],\"pending\":[");
	buffer_append(&out, pending.data, pending.len);
	BUFFER_LITERAL(&out, "]}\n");
	fwrite(out.data, 1, out.len, stdout);
	buffer_free(&pending);
	buffer_free(&out);
}

static void
report(const struct run *run)
{
	if (run->request->json)
		report_json(run);
	else
		report_text(run);
	if (run->files.count != SCHEMA_VERSION)
		fprintf(stderr, "jobforgectl: the migrations in %s end at version %d, and this JobForge needs %d.\n",
		    run->request->directory, run->files.count, SCHEMA_VERSION);
}

static int
run_connected(struct run *run)
{
	/* So that the server notices within a second when this process was killed. Not every platform's server can:
	 * then the transaction ends with the statement that it is at. */
	(void)execute(run, "SET client_connection_check_interval = '1s'", 0, NULL);
	if (check_server(run) != 0)
		return -1;
	if (!run->request->dry_run && lock(run) != 0)
		return -1;
	if (read_ledger(run) != 0)
		return -1;
	int result = run->request->dry_run ? 0 : apply_pending(run);
	report(run);
	return result;
}

int
migrate_run(const struct migrate_request *request, char *error, size_t error_size)
{
	struct run run = { .request = request, .error = error, .error_size = error_size };
	char reason[512];
	if (migrations_read(&run.files, request->directory, error, error_size) != 0)
		return -1;
	int result = -1;
	run.tool = db_tool_open(request->conninfo, reason, sizeof(reason));
	if (run.tool == NULL)
		fail(&run, "no connection to the database: %s; see admin_database in jobforged.conf(5)", reason);
	else
		result = run_connected(&run);
	db_tool_close(run.tool);
	migrations_free(&run.files);
	buffer_free(&run.applied);
	return result;
}
