/* backup: a dump of the database with checksums and a manifest, and the removal of old ones. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "arena.h"
#include "backup.h"
#include "buffer.h"
#include "child.h"
#include "ctl.h"
#include "dbtool.h"
#include "encode.h"
#include "pgprogram.h"
#include "writer.h"

static int run_backup(struct ctl *);

enum { BACKUP_DIRECTORY, BACKUP_NO_RETENTION };

const struct ctl_command ctl_backup = {
	.name = "backup",
	.summary = "Dump the database into the directory of backups, then remove those that are no longer to be kept.",
	.options = {
		[BACKUP_DIRECTORY] = { "--directory", "DIR", "Write to DIR instead of backup_directory." },
		[BACKUP_NO_RETENTION] = { "--keep-all", NULL, "Remove no older backup." },
	},
	.run = run_backup,
};

/* A backup under way. */
struct job {
	const struct ctl *ctl;
	const char *path;      /* of the directory */
	int directory;
	struct arena *arena;
	struct db_tool *tool;  /* whose transaction holds the snapshot */
	char *conninfo;        /* for pg_dump */
	char *password;
	struct pgprogram pg_dump;
	char snapshot[64];
	char name[BACKUP_NAME_SIZE];
	char temporary[BACKUP_NAME_SIZE + 16]; /* of the dump */
	char sha256[BACKUP_HASH_SIZE];
	struct backup_manifest manifest;
	int removed;
	char error[CTL_ERROR_SIZE];
};

static int
fail(struct job *job)
{
	return ctl_fail("%s; no backup has been made, and those before are as they were", job->error);
}

/* ---- the snapshot ---- */

/* As jobforge_backup to the workers' database, unless backup_database says otherwise. */
static int
connect_for_backup(struct job *job)
{
	const struct conf *conf = &job->ctl->conf;
	bool given = conf->backup_database[0] != '\0';
	char reason[512];
	job->conninfo = db_tool_conninfo(given ? conf->backup_database : conf->database, given ? NULL : "jobforge_backup", NULL,
	    &job->password, reason, sizeof(reason));
	if (job->conninfo != NULL)
		job->tool = db_tool_open(given ? conf->backup_database : job->conninfo, reason, sizeof(reason));
	if (job->tool != NULL)
		return 0;
	snprintf(job->error, sizeof(job->error), "no connection to the database: %s; see backup_database in jobforged.conf(5)",
	    reason);
	return fail(job);
}

static int
run_sql(struct job *job, const char *what, const char *sql)
{
	struct db_rows *rows = db_tool_run(job->tool, sql, 0, NULL);
	db_rows_free(rows);
	if (rows != NULL)
		return 0;
	snprintf(job->error, sizeof(job->error), "%s: %s", what, db_tool_error(job->tool));
	return fail(job);
}

static int
take_snapshot(struct job *job)
{
	static const char sql[] =
	    "SELECT pg_export_snapshot(), current_setting('server_version_num')::int / 10000, current_database(),"
	    " to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"'),"
	    " (SELECT max(version) FROM jobforge.schema_migrations)";
	if (run_sql(job, "the session", backup_session_sql) != 0 ||
	    run_sql(job, "the snapshot", "BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY") != 0)
		return CTL_FAILED;
	struct db_rows *rows = db_tool_run(job->tool, sql, 0, NULL);
	if (rows == NULL || db_rows_value(rows, 0, 4) == NULL) {
		snprintf(job->error, sizeof(job->error), "this is not the database of a JobForge: %s",
		    rows == NULL ? db_tool_error(job->tool) : "it has no migration");
		db_rows_free(rows);
		return fail(job);
	}
	snprintf(job->snapshot, sizeof(job->snapshot), "%s", db_rows_value(rows, 0, 0));
	job->manifest.server = atoi(db_rows_value(rows, 0, 1));
	job->manifest.database = arena_printf(job->arena, "%s", db_rows_value(rows, 0, 2));
	job->manifest.started = arena_printf(job->arena, "%s", db_rows_value(rows, 0, 3));
	job->manifest.schema = atoi(db_rows_value(rows, 0, 4));
	db_rows_free(rows);
	return 0;
}

static int
count_table(struct job *job, const char *name, const char *query)
{
	struct db_rows *rows = db_tool_run(job->tool, query, 0, NULL);
	if (rows == NULL) {
		snprintf(job->error, sizeof(job->error), "%s: %s", name, db_tool_error(job->tool));
		return fail(job);
	}
	struct backup_table *table = &job->manifest.tables[job->manifest.table_count++];
	table->name = arena_printf(job->arena, "%s", name);
	table->contents = arena_printf(job->arena, "%s", db_rows_value(rows, 0, 0));
	db_rows_free(rows);
	return 0;
}

/* In the snapshot that was dumped. */
static int
count_tables(struct job *job)
{
	struct db_rows *tables = db_tool_run(job->tool, backup_tables_sql, 0, NULL);
	int result = tables == NULL ? run_sql(job, "the tables", backup_tables_sql) : 0;
	int count = tables == NULL ? 0 : db_rows_count(tables);
	job->manifest.tables = arena_calloc(job->arena, (size_t)count, sizeof(*job->manifest.tables));
	for (int i = 0; i < count && result == 0; i++)
		result = count_table(job, db_rows_value(tables, i, 0), db_rows_value(tables, i, 1));
	db_rows_free(tables);
	return result;
}

/* ---- the dump ---- */

/* Copies what pg_dump says to the file, and its hash to job->sha256. */
static int
copy_dump(struct job *job, int from, int to)
{
	enum { PIECE = 256 * 1024 };
	uint8_t digest[SHA256_BYTES];
	char *piece = arena_alloc(job->arena, PIECE);
	struct crypto_hash *hash = crypto_hash_new();
	ssize_t got;
	int result = 0;
	while (result == 0 && ((got = read(from, piece, PIECE)) > 0 || (got < 0 && errno == EINTR))) {
		size_t len = got < 0 ? 0 : (size_t)got;
		crypto_hash_add(hash, piece, len);
		job->manifest.bytes += (long long)len;
		result = child_write(to, piece, len);
	}
	if (result == 0)
		result = fsync(to);
	if (result != 0)
		snprintf(job->error, sizeof(job->error), "%s/%s cannot be written: %s; make room, or set backup_directory to another",
		    job->path, job->temporary, strerror(errno));
	crypto_hash_end(hash, digest);
	hex_encode(job->sha256, digest, sizeof(digest));
	return result;
}

static int
start_dump(struct job *job, struct child *child, int *from)
{
	int ends[2];
	char snapshot[sizeof(job->snapshot) + 16];
	snprintf(snapshot, sizeof(snapshot), "--snapshot=%s", job->snapshot);
	const char *const arguments[] = { "pg_dump", "--format=custom", "--no-password", "--lock-wait-timeout=60s", snapshot,
		"--dbname", job->conninfo, NULL };
	if (child_pipe(ends, job->error, sizeof(job->error)) != 0)
		return -1;
	int result = child_start(child, job->pg_dump.path, arguments, job->password, CHILD_NONE, ends[1], job->error,
	    sizeof(job->error));
	close(ends[1]);
	*from = ends[0];
	if (result != 0)
		close(ends[0]);
	return result;
}

static int
dump_to(struct job *job, int file)
{
	struct child child;
	int from;
	if (start_dump(job, &child, &from) != 0)
		return -1;
	int result = copy_dump(job, from, file);
	close(from);
	if (result != 0)
		child_kill(&child);
	else
		result = child_wait(&child, job->error, sizeof(job->error));
	return result;
}

static int
dump(struct job *job)
{
	snprintf(job->temporary, sizeof(job->temporary), ".%s.dump", job->name);
	int file = openat(job->directory, job->temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (file < 0) {
		snprintf(job->error, sizeof(job->error), "%s/%s: %s", job->path, job->temporary, strerror(errno));
		return fail(job);
	}
	int result = dump_to(job, file);
	close(file);
	if (result == 0)
		return 0;
	unlinkat(job->directory, job->temporary, 0);
	return fail(job);
}

/* ---- the files beside it ---- */

/* Writes NAME and `suffix` under its temporary name. */
static int
write_beside(struct job *job, const char *suffix, const struct buffer *text)
{
	char name[BACKUP_NAME_SIZE + 32];
	snprintf(name, sizeof(name), ".%s%s", job->name, suffix);
	int file = openat(job->directory, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	int result = file < 0 ? -1 : child_write(file, text->data, text->len);
	if (result == 0)
		result = fsync(file);
	if (result != 0)
		snprintf(job->error, sizeof(job->error), "%s/%s cannot be written: %s; make room, or set backup_directory to another",
		    job->path, name, strerror(errno));
	if (file >= 0)
		close(file);
	return result;
}

static int
write_manifest(struct job *job, char sum[BACKUP_HASH_SIZE])
{
	struct buffer text = { 0 };
	uint8_t digest[SHA256_BYTES];
	job->manifest.sha256 = job->sha256;
	backup_manifest_write(&text, &job->manifest);
	crypto_sha256(digest, text.data, text.len);
	hex_encode(sum, digest, sizeof(digest));
	int result = write_beside(job, ".manifest.json", &text);
	buffer_free(&text);
	return result;
}

static int
write_sums(struct job *job)
{
	struct buffer text = { 0 };
	char manifest_sum[BACKUP_HASH_SIZE];
	int result = write_manifest(job, manifest_sum);
	buffer_printf(&text, "%s  %s.dump\n%s  %s.manifest.json\n", job->sha256, job->name, manifest_sum, job->name);
	if (result == 0)
		result = write_beside(job, ".sha256", &text);
	buffer_free(&text);
	return result;
}

/* Gives the three files their names, the checksums last: with them the backup is whole. */
static int
publish(struct job *job)
{
	static const char *const order[] = { ".dump", ".manifest.json", ".sha256" };
	for (size_t i = 0; i < COUNT_OF(order); i++) {
		char from[BACKUP_NAME_SIZE + 32], to[BACKUP_NAME_SIZE + 32];
		snprintf(from, sizeof(from), ".%s%s", job->name, order[i]);
		snprintf(to, sizeof(to), "%s%s", job->name, order[i]);
		if (renameat(job->directory, from, job->directory, to) == 0 && fsync(job->directory) == 0)
			continue;
		snprintf(job->error, sizeof(job->error), "%s/%s: %s", job->path, to, strerror(errno));
		return -1;
	}
	return 0;
}

static int
finish(struct job *job)
{
	if (write_sums(job) == 0 && publish(job) == 0)
		return 0;
	backup_sweep(job->directory);
	return fail(job);
}

/* ---- retention ---- */

/* The newest, which has just been made and is whole, stays whatever the bounds. */
static int
remove_old(struct job *job)
{
	const struct conf *conf = &job->ctl->conf;
	struct backup_list list;
	int result = 0;
	if (backup_list_read(&list, job->path, job->error, sizeof(job->error)) != 0)
		return ctl_fail("%s", job->error);
	time_t oldest = conf->backup_keep_days == 0 ? 0 : time(NULL) - (time_t)conf->backup_keep_days * 86400;
	for (size_t i = 1; i < list.count && result == 0; i++) {
		if (i < (size_t)conf->backup_keep && list.items[i].made >= oldest)
			continue;
		if (backup_remove(job->directory, list.items[i].name) == 0)
			job->removed++;
		else
			result = ctl_fail("%s/%s cannot be removed: %s; the new backup is made", job->path, list.items[i].name,
			    strerror(errno));
	}
	backup_list_free(&list);
	return result;
}

/* ---- the command ---- */

static void
report(const struct job *job)
{
	struct buffer out = { 0 };
	struct writer writer = { .out = &out };
	if (job->ctl->json) {
		writer_object(&writer, NULL);
		writer_string(&writer, "file", arena_printf(job->arena, "%s/%s.dump", job->path, job->name));
		writer_string(&writer, "sha256", job->sha256);
		writer_integer(&writer, "bytes", job->manifest.bytes);
		writer_integer(&writer, "schema", job->manifest.schema);
		writer_integer(&writer, "tables", (long long)job->manifest.table_count);
		writer_integer(&writer, "removed", job->removed);
		ctl_print_json(&writer);
		return;
	}
	buffer_printf(&out, "%s/%s.dump: ", job->path, job->name);
	ctl_append_size(&out, job->manifest.bytes);
	buffer_printf(&out, ", %zu tables of schema version %d", job->manifest.table_count, job->manifest.schema);
	if (job->removed > 0)
		buffer_printf(&out, "; %d older %s removed", job->removed, job->removed == 1 ? "backup" : "backups");
	buffer_puts(&out, ".\n");
	ctl_print(&out);
}

/* A name that no backup has: they are made one at a time, but two may begin within a second. */
static void
choose_name(struct job *job)
{
	char file[BACKUP_NAME_SIZE + 16];
	for (;;) {
		backup_name(job->name, time(NULL));
		snprintf(file, sizeof(file), "%s.dump", job->name);
		if (faccessat(job->directory, file, F_OK, AT_SYMLINK_NOFOLLOW) != 0)
			return;
		nanosleep(&(struct timespec){ .tv_nsec = 200 * 1000 * 1000 }, NULL);
	}
}

static int
make_backup(struct job *job)
{
	job->directory = backup_lock(job->path, job->error, sizeof(job->error));
	if (job->directory < 0)
		return fail(job);
	backup_sweep(job->directory);
	choose_name(job);
	if (connect_for_backup(job) != 0 || take_snapshot(job) != 0)
		return CTL_FAILED;
	if (pgprogram_find(&job->pg_dump, job->ctl->conf.pg_bin, "pg_dump", job->manifest.server, job->error,
		sizeof(job->error)) != 0)
		return fail(job);
	if (dump(job) != 0)
		return CTL_FAILED;
	int result = count_tables(job);
	if (result != 0)
		unlinkat(job->directory, job->temporary, 0);
	return result != 0 ? result : finish(job);
}

static int
run_backup(struct ctl *ctl)
{
	const char *given = ctl->values[BACKUP_DIRECTORY];
	struct job job = { .ctl = ctl, .path = given == NULL ? ctl->conf.backup_directory : given, .directory = -1,
		.arena = arena_new() };
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN); /* a file that grows too large is an error of write() */
	int result = make_backup(&job);
	if (result == 0 && !ctl_given(ctl, BACKUP_NO_RETENTION))
		result = remove_old(&job);
	if (job.name[0] != '\0' && result == 0)
		report(&job);
	db_tool_close(job.tool);
	free(job.conninfo);
	free(job.password);
	if (job.directory >= 0)
		close(job.directory);
	arena_free(job.arena);
	return result;
}
