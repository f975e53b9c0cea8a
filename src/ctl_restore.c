/* restore and verify-backup: a backup put into an empty database, to stay or to be compared and dropped. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "arena.h"
#include "backup.h"
#include "buffer.h"
#include "crypto.h"
#include "ctl.h"
#include "dbtool.h"
#include "encode.h"
#include "migration.h"
#include "restore.h"
#include "schema.h"
#include "writer.h"

static int run_restore(struct ctl *);
static int run_verify(struct ctl *);

enum { RESTORE_DIRECTORY, RESTORE_YES };
enum { VERIFY_DIRECTORY };

const struct ctl_command ctl_restore = {
	.name = "restore",
	.arguments = "FILE",
	.words = 1,
	.summary = "Put a backup into the empty database that admin_database names: all of it, or nothing.",
	.options = {
		[RESTORE_DIRECTORY] = { "--directory", "DIR", "Take the migrations, the first of which makes the roles, from DIR." },
		[RESTORE_YES] = { "--yes", NULL, "Do not ask." },
	},
	.run = run_restore,
};

const struct ctl_command ctl_verify_backup = {
	.name = "verify-backup",
	.arguments = "[FILE]",
	.summary = "Restore a backup, the newest if none is named, into a scratch database, and compare every table.",
	.options = {
		[VERIFY_DIRECTORY] = { "--directory", "DIR", "Take the migrations, the first of which makes the roles, from DIR." },
	},
	.run = run_verify,
};

struct job {
	const struct ctl *ctl;
	struct arena *arena;
	struct db_tool *tool;
	struct migrations migrations;
	struct backup_manifest manifest;
	char error[CTL_ERROR_SIZE];
};

/* ---- before anything is changed ---- */

/* The file that was named, or the newest backup. NULL after a complaint. */
static const char *
choose_file(struct job *job)
{
	const char *directory = job->ctl->conf.backup_directory;
	const char *named = ctl_word(job->ctl, 0);
	const char *path = NULL;
	struct backup_list list;
	if (named != NULL)
		return named;
	if (backup_list_read(&list, directory, job->error, sizeof(job->error)) != 0)
		ctl_fail("%s", job->error);
	else if (list.count == 0)
		ctl_fail("there is no backup in %s: make one by jobforgectl backup", directory);
	else
		path = arena_printf(job->arena, "%s/%s.dump", directory, list.items[0].name);
	backup_list_free(&list);
	return path;
}

static int
read_backup(struct job *job)
{
	const char *path = choose_file(job);
	if (path == NULL)
		return CTL_FAILED;
	if (backup_read(&job->manifest, job->arena, path, job->error, sizeof(job->error)) != 0)
		return ctl_fail("%s", job->error);
	if (job->manifest.schema > SCHEMA_VERSION)
		return ctl_fail("%s is of schema version %d, and this JobForge knows %d: install the newer JobForge that made it",
		    path, job->manifest.schema, SCHEMA_VERSION);
	return 0;
}

static int
prepare(struct job *job, const char *directory)
{
	directory = directory == NULL ? ctl_default_migrations : directory;
	if (read_backup(job) != 0)
		return CTL_FAILED;
	if (migrations_read(&job->migrations, directory, job->error, sizeof(job->error)) != 0)
		return ctl_fail("%s", job->error);
	job->tool = ctl_connect_admin(job->ctl);
	return job->tool == NULL ? CTL_FAILED : 0;
}

static int
server_major(struct job *job)
{
	struct db_rows *rows =
	    db_tool_run(job->tool, "SELECT current_setting('server_version_num')::int / 10000", 0, NULL);
	int major = rows == NULL ? 0 : atoi(db_rows_value(rows, 0, 0));
	db_rows_free(rows);
	return major;
}

/* Into `database` of the administrator's server; NULL: the one that admin_database names. */
static int
restore_into(struct job *job, const char *database)
{
	char *password = NULL;
	char *conninfo = db_tool_conninfo(job->ctl->conf.admin_database, NULL, database, &password, job->error,
	    sizeof(job->error));
	const struct restore_request request = {
		.conninfo = conninfo,
		.password = password,
		.pg_bin = job->ctl->conf.pg_bin,
		.roles = job->migrations.items[0].sql,
		.manifest = &job->manifest,
		.server = server_major(job),
	};
	int result = conninfo == NULL ? -1 : restore_run(&request, job->error, sizeof(job->error));
	free(conninfo);
	free(password);
	return result;
}

static void
report(const struct job *job, const char *text, const char *database)
{
	struct buffer out = { 0 };
	struct writer writer = { .out = &out };
	if (!job->ctl->json) {
		buffer_printf(&out, "%s: %s %zu tables, as they were on %s.\n", job->manifest.path, text, job->manifest.table_count,
		    job->manifest.started);
		ctl_print(&out);
		return;
	}
	writer_object(&writer, NULL);
	writer_string(&writer, "file", job->manifest.path);
	writer_string(&writer, "started", job->manifest.started);
	writer_integer(&writer, "schema", job->manifest.schema);
	if (database != NULL)
		writer_string(&writer, "database", database);
	writer_array(&writer, "tables");
	for (size_t i = 0; i < job->manifest.table_count; i++) {
		const struct backup_table *table = &job->manifest.tables[i];
		writer_object(&writer, NULL);
		writer_string(&writer, "name", table->name);
		writer_integer(&writer, "rows", strtoll(table->contents, NULL, 10));
		writer_string(&writer, "checksum", strchr(table->contents, ' ') == NULL ? "" : strchr(table->contents, ' ') + 1);
		writer_end(&writer);
	}
	ctl_print_json(&writer);
}

static int
finish(struct job *job, int result)
{
	db_tool_close(job->tool);
	migrations_free(&job->migrations);
	arena_free(job->arena);
	return result;
}

/* ---- restore ---- */

/* What is neither PostgreSQL's nor an extension's, whatever its kind. NULL for an empty database, "?" after a complaint. */
static const char *
find_contents(struct job *job)
{
	static const char sql[] =
	    "SELECT string_agg(o.name, ', ') FROM ("
	    "SELECT format('%s.%s', n.nspname, c.relname) AS name FROM pg_catalog.pg_class AS c"
	    " JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace WHERE c.relkind IN ('r', 'p', 'v', 'm', 'S', 'f', 'c')"
	    " AND n.nspname !~ '^(pg_|information_schema$)' AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend AS d"
	    " WHERE d.classid = 'pg_catalog.pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')"
	    " UNION ALL SELECT 'schema ' || n.nspname FROM pg_catalog.pg_namespace AS n"
	    " WHERE n.nspname !~ '^(pg_|information_schema$)' AND n.nspname <> 'public'"
	    " UNION ALL SELECT format('function %s.%s', n.nspname, p.proname) FROM pg_catalog.pg_proc AS p"
	    " JOIN pg_catalog.pg_namespace AS n ON n.oid = p.pronamespace WHERE n.nspname = 'public'"
	    " AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend AS d"
	    " WHERE d.classid = 'pg_catalog.pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e')"
	    " ORDER BY 1 LIMIT 3) AS o";
	struct db_rows *rows = ctl_query(job->tool, "the database's contents", sql, 0, NULL);
	if (rows == NULL)
		return "?";
	const char *value = db_rows_value(rows, 0, 0);
	const char *found = value == NULL ? NULL : arena_printf(job->arena, "%s", value);
	db_rows_free(rows);
	return found;
}

static const char *
database_name(struct job *job)
{
	struct db_rows *rows = ctl_query(job->tool, "the database", "SELECT current_database()", 0, NULL);
	const char *name = rows == NULL ? NULL : arena_printf(job->arena, "%s", db_rows_value(rows, 0, 0));
	db_rows_free(rows);
	return name;
}

static int
check_target(struct job *job, const char *database)
{
	static const char sql[] =
	    "SELECT EXISTS (SELECT FROM pg_catalog.pg_available_extensions WHERE name = 'vector'),"
	    " current_setting('server_encoding') = 'UTF8'";
	const char *contents = find_contents(job);
	struct db_rows *rows = contents != NULL ? NULL : ctl_query(job->tool, "the server", sql, 0, NULL);
	int result = CTL_FAILED;
	if (contents != NULL && strcmp(contents, "?") != 0)
		ctl_fail("database %s is not empty (%s): create one for the backup, and name it by --admin-database", database,
		    contents);
	else if (rows != NULL && strcmp(db_rows_value(rows, 0, 0), "t") != 0)
		ctl_fail("the server has no pgvector, which the backup needs: install it on the database's machine");
	else if (rows != NULL && strcmp(db_rows_value(rows, 0, 1), "t") != 0)
		ctl_fail("database %s is not UTF-8: create one with TEMPLATE template0 ENCODING 'UTF8'", database);
	else if (rows != NULL)
		result = 0;
	db_rows_free(rows);
	return result;
}

static int
restore(struct job *job)
{
	if (prepare(job, job->ctl->values[RESTORE_DIRECTORY]) != 0)
		return CTL_FAILED;
	const char *database = database_name(job);
	if (database == NULL || check_target(job, database) != 0)
		return CTL_FAILED;
	if (!ctl_confirmed(job->ctl, RESTORE_YES, "Database %s will hold what %s holds.", database, job->manifest.path))
		return CTL_FAILED;
	if (restore_into(job, NULL) != 0)
		return ctl_fail("%s; database %s is as empty as it was", job->error, database);
	report(job, "restored", database);
	if (job->manifest.schema < SCHEMA_VERSION)
		fprintf(stderr, "jobforgectl: the backup is of schema version %d, and this JobForge needs %d: run jobforgectl migrate.\n",
		    job->manifest.schema, SCHEMA_VERSION);
	return CTL_OK;
}

static int
run_restore(struct ctl *ctl)
{
	struct job job = { .ctl = ctl, .arena = arena_new() };
	signal(SIGPIPE, SIG_IGN);
	return finish(&job, restore(&job));
}

/* ---- verify-backup ---- */

static int
drop_database(struct job *job, const char *name)
{
	char sql[128];
	snprintf(sql, sizeof(sql), "DROP DATABASE IF EXISTS \"%s\" WITH (FORCE)", name);
	return ctl_execute(job->tool, "the scratch database", sql, 0, NULL);
}

/*
 * One verification at a time for each database that admin_database may name; the lock ends with the session. Under it, what
 * verifications that were killed have left is dropped. The scratch database's name begins with the number of that database.
 */
static int
clear_scratch(struct job *job, char prefix[40])
{
	static const char lock[] = "SELECT pg_try_advisory_lock(x'6a6f62766572'::bigint), oid FROM pg_database"
				   " WHERE datname = current_database()";
	static const char old[] = "SELECT datname FROM pg_database WHERE starts_with(datname, $1)";
	const char *const params[] = { prefix };
	struct db_rows *rows = ctl_query(job->tool, "the lock of verifications", lock, 0, NULL);
	if (rows == NULL)
		return CTL_FAILED;
	bool taken = strcmp(db_rows_value(rows, 0, 0), "t") == 0;
	snprintf(prefix, 40, "jobforge_verify_%s_", db_rows_value(rows, 0, 1));
	db_rows_free(rows);
	if (!taken)
		return ctl_fail("another verification of a backup is running");
	rows = ctl_query(job->tool, "the scratch databases", old, 1, params);
	int result = rows == NULL ? CTL_FAILED : 0;
	for (int i = 0; result == 0 && i < db_rows_count(rows); i++)
		result = drop_database(job, db_rows_value(rows, i, 0));
	db_rows_free(rows);
	return result;
}

static int
verify(struct job *job)
{
	char prefix[40], name[64], digits[17], sql[160];
	uint8_t random[8];
	if (prepare(job, job->ctl->values[VERIFY_DIRECTORY]) != 0 || clear_scratch(job, prefix) != 0)
		return CTL_FAILED;
	crypto_random(random, sizeof(random));
	hex_encode(digits, random, sizeof(random));
	snprintf(name, sizeof(name), "%s%.6s", prefix, digits);
	snprintf(sql, sizeof(sql), "CREATE DATABASE \"%s\" TEMPLATE template0 ENCODING 'UTF8'", name);
	if (ctl_execute(job->tool, "the scratch database", sql, 0, NULL) != 0)
		return CTL_FAILED;
	int restored = restore_into(job, name);
	if (drop_database(job, name) != 0)
		return CTL_FAILED;
	if (restored != 0)
		return ctl_fail("%s cannot be restored: %s; take another backup", job->manifest.path, job->error);
	report(job, "restored and compared", NULL);
	return CTL_OK;
}

static int
run_verify(struct ctl *ctl)
{
	struct job job = { .ctl = ctl, .arena = arena_new() };
	signal(SIGPIPE, SIG_IGN);
	return finish(&job, verify(&job));
}
