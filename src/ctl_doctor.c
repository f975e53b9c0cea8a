/* doctor: looks at everything that an installation stands on, and says of what is wrong what to do. */
#include <errno.h>
#include <limits.h>
#include <math.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#include "backup.h"
#include "buffer.h"
#include "certificate.h"
#include "clock.h"
#include "ctl.h"
#include "dbtool.h"
#include "pgprogram.h"
#include "schema.h"
#include "token.h"
#include "writer.h"

static int run_doctor(struct ctl *);

enum { DOCTOR_CERTIFICATE, DOCTOR_DIRECTORY, DOCTOR_SCHEMA };

const struct ctl_command ctl_doctor = {
	.name = "doctor",
	.summary = "Check configuration, keys, database, rights, certificate and backups, and say what to do.",
	.own_configuration = true,
	.options = {
		[DOCTOR_CERTIFICATE] = { "--certificate", "FILE", "Look at FILE instead of the certificate of the configuration." },
		[DOCTOR_DIRECTORY] = { "--directory", "DIR", "Compare with the schema beside the migrations in DIR." },
		[DOCTOR_SCHEMA] = { "--print-schema", NULL, "Print what there is in the database, as the schema file has it." },
	},
	.run = run_doctor,
};

enum level { LEVEL_OK, LEVEL_WARNING, LEVEL_FAULT };

static const char *const level_names[] = {
	[LEVEL_OK] = "ok",
	[LEVEL_WARNING] = "warning",
	[LEVEL_FAULT] = "fault",
};

enum {
	DAY = 86400,
	KEY_AGE_DAYS = 180,
	CERTIFICATE_DAYS = 21,    /* two thirds of what Let's Encrypt gives have passed a while ago */
	BACKUP_AGE_HOURS = 36     /* of a daily backup, and one that takes long */
};

struct doctor {
	const struct ctl *ctl;
	struct db_tool *tool; /* as the workers connect; NULL: not connected */
	struct buffer out;
	struct writer writer;
	int counts[LEVEL_FAULT + 1];
};

/* ---- findings ---- */

static void
find(struct doctor *doctor, enum level level, const char *check, const char *advice, const char *format, ...)
    PRINTF_LIKE(5, 6);

/* `advice` is what to do, as a clause; NULL for what is as it should be. */
static void
find(struct doctor *doctor, enum level level, const char *check, const char *advice, const char *format, ...)
{
	char text[CTL_ERROR_SIZE];
	va_list args;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	doctor->counts[level]++;
	if (!doctor->ctl->json) {
		buffer_printf(&doctor->out, "%-8s %s: %s%s%s.\n", level_names[level], check, text, advice == NULL ? "" : "; ",
		    advice == NULL ? "" : advice);
		return;
	}
	writer_object(&doctor->writer, NULL);
	writer_string(&doctor->writer, "check", check);
	writer_string(&doctor->writer, "level", level_names[level]);
	writer_string(&doctor->writer, "finding", text);
	if (advice == NULL)
		writer_null(&doctor->writer, "advice");
	else
		writer_string(&doctor->writer, "advice", advice);
	writer_end(&doctor->writer);
}

/* ---- files ---- */

static bool
has_password(const char *conninfo)
{
	char *password = NULL, ignored[256];
	free(db_tool_conninfo(conninfo, NULL, NULL, &password, ignored, sizeof(ignored)));
	bool found = password != NULL;
	free(password);
	return found;
}

/* In the file itself, whatever the command line has. */
static bool
holds_password(const char *path)
{
	struct conf file = { 0 };
	char error[CTL_ERROR_SIZE];
	bool found = false;
	if (conf_load(&file, path, NULL, 0, error, sizeof(error)) == 0)
		found = has_password(file.database) || has_password(file.admin_database) || has_password(file.backup_database);
	conf_free(&file);
	return found;
}

static bool
check_configuration(struct doctor *doctor, struct ctl *ctl)
{
	static const char check[] = "configuration";
	char error[CTL_ERROR_SIZE];
	struct stat status;
	const char *path = ctl_config_path(ctl);
	if (conf_load(&ctl->conf, path, ctl->flags, ctl->flag_count, error, sizeof(error)) != 0) {
		error[strcspn(error, "\n")] = '\0';
		if (error[0] != '\0' && error[strlen(error) - 1] == '.')
			error[strlen(error) - 1] = '\0';
		find(doctor, LEVEL_FAULT, check, "mend it; see jobforged.conf(5)", "%s", error);
		return false;
	}
	if (path != NULL && stat(path, &status) == 0 && (status.st_mode & S_IWOTH) != 0)
		find(doctor, LEVEL_FAULT, check, "chmod o-w it", "%s can be written by anybody", path);
	else if (path != NULL && holds_password(path) && stat(path, &status) == 0 && (status.st_mode & S_IROTH) != 0)
		find(doctor, LEVEL_FAULT, check, "chmod o-r it, or keep the password in a .pgpass file",
		    "%s holds a password and can be read by anybody", path);
	else
		find(doctor, LEVEL_OK, check, NULL, "%s", path == NULL ? "there is no file, and so the defaults count" : path);
	return true;
}

/* The workers read the file, so it must be theirs. */
static void
check_key_owner(struct doctor *doctor, const struct stat *status)
{
	const struct conf *conf = &doctor->ctl->conf;
	const struct passwd *account = conf->user[0] == '\0' ? NULL : getpwnam(conf->user);
	long days = (long)((time(NULL) - status->st_mtime) / DAY);
	if (conf->user[0] != '\0' && account == NULL)
		find(doctor, LEVEL_FAULT, "key file", "make the account, or set user to another",
		    "there is no account %s, which the configuration names", conf->user);
	else if (account != NULL && account->pw_uid != status->st_uid)
		find(doctor, LEVEL_FAULT, "key file", "chown it to that account", "%s does not belong to %s, who must read it",
		    conf->token_keys, conf->user);
	else if (days > KEY_AGE_DAYS)
		find(doctor, LEVEL_WARNING, "key file", "run jobforgectl key rotate", "the last rotation was %ld days ago", days);
	else
		find(doctor, LEVEL_OK, "key file", NULL, "%s, rotated %ld days ago", conf->token_keys, days);
}

static void
check_keys(struct doctor *doctor)
{
	const char *path = doctor->ctl->conf.token_keys;
	char error[512];
	struct stat status;
	if (stat(path, &status) != 0) {
		find(doctor, LEVEL_FAULT, "key file", errno == ENOENT ? "make it by jobforgectl key rotate" : "see who may read it",
		    "%s: %s", path, strerror(errno));
		return;
	}
	if ((status.st_mode & 077) != 0) {
		find(doctor, LEVEL_FAULT, "key file", "chmod 600 it, and rotate the keys: somebody may have read them",
		    "%s can be used by others than its owner (mode %04o)", path, (unsigned)status.st_mode & 07777);
		return;
	}
	struct token_keys *keys = token_keys_read(path, error, sizeof(error));
	if (keys == NULL)
		find(doctor, LEVEL_FAULT, "key file", "mend it, or remove it and run jobforgectl key rotate", "%s", error);
	else
		check_key_owner(doctor, &status);
	token_keys_free(keys);
}

static void
check_certificate(struct doctor *doctor)
{
	const char *path = doctor->ctl->values[DOCTOR_CERTIFICATE];
	char subject[256], error[512];
	int64_t seconds;
	path = path == NULL ? doctor->ctl->conf.certificate : path;
	if (path[0] == '\0')
		find(doctor, LEVEL_WARNING, "certificate", "set certificate to nginx's", "none is named, so none was looked at");
	else if (certificate_read(path, &seconds, subject, sizeof(subject), error, sizeof(error)) != 0)
		find(doctor, LEVEL_FAULT, "certificate", "give nginx another, and reload it", "%s", error);
	else if (seconds <= 0)
		find(doctor, LEVEL_FAULT, "certificate", "renew it, and reload nginx", "%s expired %lld days ago (%s)", path,
		    (long long)-seconds / DAY, subject);
	else if (seconds < CERTIFICATE_DAYS * DAY)
		find(doctor, LEVEL_WARNING, "certificate", "renew it, and reload nginx", "%s expires in %lld days (%s)", path,
		    (long long)seconds / DAY, subject);
	else
		find(doctor, LEVEL_OK, "certificate", NULL, "%s expires in %lld days", path, (long long)seconds / DAY);
}

/* A backup writes a whole new dump before an old one goes. */
static void
check_space(struct doctor *doctor, const char *directory, long long last)
{
	struct statvfs file_system;
	struct buffer space = { 0 };
	if (statvfs(directory, &file_system) != 0)
		return;
	long long room = (long long)file_system.f_bavail * (long long)file_system.f_frsize;
	ctl_append_size(&space, room);
	if (access(directory, W_OK) != 0)
		find(doctor, LEVEL_FAULT, "backup directory", "see who may write to it, or run this as root", "%s: %s", directory,
		    strerror(errno));
	else if (room < 2 * last)
		find(doctor, LEVEL_FAULT, "backup directory", "make room, or set backup_directory to another",
		    "%s has room for %.*s, less than twice the last backup", directory, (int)space.len, space.data);
	else
		find(doctor, LEVEL_OK, "backup directory", NULL, "%s has room for %.*s", directory, (int)space.len, space.data);
	buffer_free(&space);
}

static void
check_backups(struct doctor *doctor)
{
	const char *directory = doctor->ctl->conf.backup_directory;
	char error[CTL_ERROR_SIZE];
	struct backup_list list;
	if (backup_list_read(&list, directory, error, sizeof(error)) != 0) {
		find(doctor, LEVEL_WARNING, "backup", NULL, "%s", error);
		return;
	}
	long long hours = list.count == 0 ? 0 : (long long)(time(NULL) - list.items[0].made) / 3600;
	if (list.count == 0)
		find(doctor, LEVEL_WARNING, "backup", "run jobforgectl backup, and have it run each day", "there is none in %s",
		    directory);
	else if (hours > BACKUP_AGE_HOURS)
		find(doctor, LEVEL_WARNING, "backup", "see why the later ones failed", "the last one, %s, is %lld hours old",
		    list.items[0].name, hours);
	else
		find(doctor, LEVEL_OK, "backup", NULL, "%zu, the last one %lld hours old", list.count, hours);
	check_space(doctor, directory, list.count == 0 ? 0 : list.items[0].bytes);
	backup_list_free(&list);
}

/* ---- the database, as the workers see it ---- */

/*
 * Each statement gives a row for each thing that is wrong: what, what to do, and whether it is only a warning. No row is
 * LEVEL_OK, with the words in `fine`. The first parameter is the connections that the workers need, the second the schema's version.
 */
static const struct sql_check {
	const char *name;
	const char *fine;
	const char *sql;
} sql_checks[] = {
	{ "server", "PostgreSQL 16 or later, a primary, in UTF-8",
	    "SELECT 'the server is PostgreSQL ' || current_setting('server_version'), 'upgrade it to 16 or later', false"
	    " WHERE current_setting('server_version_num')::int < 160000"
	    " UNION ALL SELECT 'the server is a standby', 'name the primary by database', false WHERE pg_is_in_recovery()"
	    " UNION ALL SELECT 'the database is not UTF-8', 'restore it into one that is', false"
	    " WHERE current_setting('server_encoding') <> 'UTF8'"
	    " UNION ALL SELECT 'statements are not counted (pg_stat_statements)',"
	    " 'add it to shared_preload_libraries and CREATE EXTENSION it, for jobforgectl monitor', true"
	    " WHERE NOT EXISTS (SELECT FROM pg_extension WHERE extname = 'pg_stat_statements')" },
	{ "pgvector", "installed, and as new as the server's files",
	    "SELECT 'the database has no pgvector', 'install it on the database''s machine, and run jobforgectl migrate', false"
	    " WHERE NOT EXISTS (SELECT FROM pg_extension WHERE extname = 'vector')"
	    " UNION ALL SELECT format('the database has pgvector %s, and the server %s', e.extversion, a.default_version),"
	    " 'run ALTER EXTENSION vector UPDATE', true FROM pg_extension AS e JOIN pg_available_extensions AS a ON a.name = e.extname"
	    " WHERE e.extname = 'vector' AND e.extversion <> a.default_version" },
	{ "schema version", "that of this JobForge",
	    "SELECT format('the database is at version %s, and this JobForge needs %s', coalesce(max(m.version), 0), $2),"
	    " CASE WHEN coalesce(max(m.version), 0) < $2::int THEN 'run jobforgectl migrate' ELSE 'install the newer JobForge' END,"
	    " false FROM jobforge.schema_migrations AS m HAVING coalesce(max(m.version), 0) <> $2::int" },
	{ "connections", "enough for all workers",
	    "SELECT format('the workers want %s connections, and the server has %s for them', $1, s.room),"
	    " 'raise max_connections, or have fewer workers', false"
	    " FROM (SELECT current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int"
	    " AS room) AS s WHERE $1::int > s.room" },
	{ "role", "the workers are jobforge_app, who owns nothing and passes by nothing",
	    "SELECT 'the workers connect as ' || session_user, 'name user=jobforge_app in database', false"
	    " WHERE session_user <> 'jobforge_app'"
	    " UNION ALL SELECT format('%s is a superuser, passes by row level security or may create roles', r.rolname),"
	    " 'ALTER ROLE it NOSUPERUSER NOBYPASSRLS NOCREATEROLE NOCREATEDB NOREPLICATION', false FROM pg_roles AS r"
	    " WHERE r.rolname IN (session_user, 'jobforge_app')"
	    " AND (r.rolsuper OR r.rolbypassrls OR r.rolcreaterole OR r.rolcreatedb OR r.rolreplication)"
	    " UNION ALL SELECT format('jobforge_app is a member of %s', m.roleid::regrole), 'REVOKE that role from it', false"
	    " FROM pg_auth_members AS m WHERE m.member = to_regrole('jobforge_app')"
	    " UNION ALL SELECT format('%s belongs to jobforge_app', c.oid::regclass), 'ALTER its OWNER to jobforge_owner', false"
	    " FROM pg_class AS c WHERE c.relowner = to_regrole('jobforge_app')"
	    " UNION ALL SELECT 'jobforge_app may make temporary objects',"
	    " format('REVOKE CREATE, TEMPORARY ON DATABASE %I FROM PUBLIC', current_database()), true"
	    " WHERE has_database_privilege(to_regrole('jobforge_app'), current_database(), 'TEMPORARY')"
	    " UNION ALL SELECT 'role jobforge_backup does not pass by row level security', 'ALTER ROLE it BYPASSRLS', false"
	    " FROM pg_roles AS r WHERE r.rolname = 'jobforge_backup' AND NOT r.rolbypassrls" },
	{ "role settings", "as the workers need them",
	    "WITH wanted (setting) AS (VALUES ('plan_cache_mode=force_generic_plan'), ('jit=off'), ('enable_seqscan=off'),"
	    " ('TimeZone=UTC'), ('DateStyle=ISO'), ('search_path=\"\"'), ('client_min_messages=warning'),"
	    " ('idle_in_transaction_session_timeout=10s'), ('lock_timeout=4s')),"
	    " found AS (SELECT s.setdatabase AS database, unnest(s.setconfig) AS setting FROM pg_db_role_setting AS s"
	    " WHERE s.setrole = to_regrole('jobforge_app')"
	    " AND s.setdatabase IN (0, (SELECT d.oid FROM pg_database AS d WHERE d.datname = current_database())))"
	    " SELECT format('the setting %s of jobforge_app is missing', w.setting),"
	    " format('ALTER ROLE jobforge_app SET %s', replace(w.setting, '=', ' = ')), false FROM wanted AS w"
	    " WHERE NOT EXISTS (SELECT FROM found AS f WHERE f.database = 0 AND f.setting = w.setting)"
	    /* Any role may change its own, for all sessions to come. */
	    " UNION ALL SELECT format('jobforge_app has the setting %s besides', f.setting),"
	    " 'unless it is yours, ALTER ROLE jobforge_app RESET it, and find out who set it', true FROM found AS f"
	    " WHERE f.setting NOT IN (SELECT w.setting FROM wanted AS w)" },
	{ "row level security", "on and forced for every table that holds a user's data",
	    "SELECT format('%s is not under forced row level security', c.oid::regclass),"
	    " format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY', c.oid::regclass), false"
	    " FROM pg_class AS c WHERE c.relkind IN ('r', 'p') AND c.relnamespace IN (to_regnamespace('public'),"
	    " to_regnamespace('jobforge')) AND NOT (c.relrowsecurity AND c.relforcerowsecurity)"
	    " AND (c.oid = to_regclass('public.users') OR EXISTS (SELECT FROM pg_attribute AS a WHERE a.attrelid = c.oid"
	    " AND a.attname = 'user_id' AND NOT a.attisdropped)) ORDER BY 1" },
	{ "audit log", "the next month has its partition",
	    "SELECT 'the next month has no partition', 'run jobforgectl maintain, and have it run each day', true"
	    " WHERE to_regclass(to_char((now() + interval '1 month') AT TIME ZONE 'UTC', '\"public.audit_log_\"YYYY_MM')) IS NULL" },
	{ "indexes", "all valid",
	    "SELECT format('index %s is not valid', i.indexrelid::regclass),"
	    " format('REINDEX INDEX CONCURRENTLY %s', i.indexrelid::regclass), false FROM pg_index AS i"
	    " JOIN pg_class AS c ON c.oid = i.indrelid WHERE NOT i.indisvalid AND c.relnamespace IN"
	    " (to_regnamespace('public'), to_regnamespace('jobforge')) ORDER BY 1" },
};

/* What matters and no change but a migration may touch, a line each. Of functions in SQL only that they are there: versions of
 * the server write their bodies differently, and those that say whether there are some are replaced; and without parentheses
 * of expressions, which differ after a restore. */
static const char inventory_sql[] =
    "WITH tables AS (SELECT c.* FROM pg_class AS c WHERE c.relnamespace IN (to_regnamespace('public'), to_regnamespace('jobforge'))"
    " AND NOT c.relispartition AND NOT EXISTS (SELECT FROM pg_depend AS d WHERE d.classid = 'pg_class'::regclass"
    " AND d.objid = c.oid AND d.deptype = 'e')),"
    " functions AS (SELECT p.* FROM pg_proc AS p WHERE p.pronamespace IN (to_regnamespace('public'), to_regnamespace('jobforge'))"
    " AND NOT EXISTS (SELECT FROM pg_depend AS d WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e')),"
    " rights AS (SELECT 'table ' || t.oid::regclass AS object, a.grantee, a.privilege_type FROM tables AS t,"
    " aclexplode(t.relacl) AS a"
    " UNION ALL SELECT format('column %s.%s', t.oid::regclass, c.attname), a.grantee, a.privilege_type FROM tables AS t"
    " JOIN pg_attribute AS c ON c.attrelid = t.oid AND NOT c.attisdropped, aclexplode(c.attacl) AS a"
    " UNION ALL SELECT 'function ' || f.oid::regprocedure, a.grantee, a.privilege_type FROM functions AS f,"
    " aclexplode(coalesce(f.proacl, acldefault('f', f.proowner))) AS a"
    " UNION ALL SELECT 'schema ' || n.nspname, a.grantee, a.privilege_type FROM pg_namespace AS n, aclexplode(n.nspacl) AS a"
    " WHERE n.nspname IN ('public', 'jobforge')),"
    " lines (line) AS (SELECT format('right %s %s: %s', CASE r.grantee WHEN 0 THEN 'PUBLIC' ELSE r.grantee::regrole::text END, r.object,"
    " string_agg(r.privilege_type, ' ' ORDER BY r.privilege_type)) FROM (SELECT DISTINCT * FROM rights) AS r"
    " WHERE r.grantee = 0 OR r.grantee IN (to_regrole('jobforge_app'), to_regrole('jobforge_auth'), to_regrole('jobforge_backup'))"
    " GROUP BY r.grantee, r.object"
    " UNION ALL SELECT format('owner %s %s', t.oid::regclass, t.relowner::regrole) FROM tables AS t WHERE t.relkind IN ('r', 'p')"
    " UNION ALL SELECT format('function %s %s%s %s', f.oid::regprocedure, f.proowner::regrole,"
    " CASE WHEN f.prosecdef THEN ' definer' ELSE '' END, CASE WHEN f.prosqlbody IS NULL"
    " AND f.proname NOT IN ('some_are_disabled', 'some_plans_limit') THEN"
    " left(encode(sha256(convert_to(f.prosrc, 'UTF8')), 'hex'), 12) ELSE 'sql' END)"
    " FROM functions AS f"
    " UNION ALL SELECT format('index %s', pg_get_indexdef(i.indexrelid)) FROM pg_index AS i JOIN tables AS t ON t.oid = i.indrelid"
    " UNION ALL SELECT translate(format('policy %s on %s %s using %s check %s', p.polname, p.polrelid::regclass, p.polcmd,"
    " pg_get_expr(p.polqual, p.polrelid), pg_get_expr(p.polwithcheck, p.polrelid)), '()', '')"
    " FROM pg_policy AS p JOIN tables AS t ON t.oid = p.polrelid"
    " UNION ALL SELECT translate(format('constraint %s on %s %s', k.conname, k.conrelid::regclass, pg_get_constraintdef(k.oid)), '()', '')"
    " FROM pg_constraint AS k JOIN tables AS t ON t.oid = k.conrelid WHERE k.contype <> 'n'"
    " UNION ALL SELECT translate(format('trigger %s%s', CASE g.tgenabled WHEN 'O' THEN '' WHEN 'A' THEN 'always '"
    " ELSE 'disabled ' END, pg_get_triggerdef(g.oid)), '()', '')"
    " FROM pg_trigger AS g JOIN tables AS t ON t.oid = g.tgrelid WHERE NOT g.tgisinternal)"
    " SELECT regexp_replace(l.line, '\\s+', ' ', 'g') COLLATE \"C\" FROM lines AS l ORDER BY 1";

static void
run_check(struct doctor *doctor, const struct sql_check *check)
{
	const struct conf *conf = &doctor->ctl->conf;
	char workers[16];
	snprintf(workers, sizeof(workers), "%d", conf->api_workers + conf->auth_workers + conf->bulk_workers);
	const char *const params[] = { workers, SCHEMA_VERSION_TEXT };
	/* Each names what it needs of both, which is not always something. */
	char sql[4096];
	snprintf(sql, sizeof(sql), "SELECT w.* FROM (SELECT $1::text, $2::text) AS given, LATERAL (%s) AS w", check->sql);
	struct db_rows *rows = db_tool_run(doctor->tool, sql, 2, params);
	if (rows == NULL)
		find(doctor, LEVEL_FAULT, check->name, "run jobforgectl migrate if it was never run", "it cannot be checked: %s",
		    db_tool_error(doctor->tool));
	else if (db_rows_count(rows) == 0)
		find(doctor, LEVEL_OK, check->name, NULL, "%s", check->fine);
	for (int i = 0; rows != NULL && i < db_rows_count(rows); i++)
		find(doctor, db_rows_value(rows, i, 2)[0] == 't' ? LEVEL_WARNING : LEVEL_FAULT, check->name, db_rows_value(rows, i, 1),
		    "%s", db_rows_value(rows, i, 0));
	db_rows_free(rows);
}

/* The server's clock at the middle of the question's way. */
static void
check_clock(struct doctor *doctor)
{
	const double most = 2; /* seconds */
	struct timespec now;
	int64_t start = clock_us();
	struct db_rows *rows = db_tool_run(doctor->tool, "SELECT extract(epoch FROM clock_timestamp())", 0, NULL);
	double half = (double)(clock_us() - start) / 2e6;
	clock_gettime(CLOCK_REALTIME, &now);
	if (rows == NULL)
		return;
	double difference = strtod(db_rows_value(rows, 0, 0), NULL) + half - ((double)now.tv_sec + (double)now.tv_nsec / 1e9);
	db_rows_free(rows);
	if (fabs(difference) > most)
		find(doctor, LEVEL_FAULT, "clock", "synchronise both machines (NTP)", "the database's clock differs by %.1f s from this one",
		    difference);
	else
		find(doctor, LEVEL_OK, "clock", NULL, "the database's differs by %.3f s", difference);
}

/* ---- comparison with the schema as it was released ---- */

static struct db_rows *
read_inventory(struct db_tool *tool)
{
	struct db_rows *set = db_tool_run(tool, "SET search_path = pg_catalog", 0, NULL);
	db_rows_free(set);
	return set == NULL ? NULL : db_tool_run(tool, inventory_sql, 0, NULL);
}

/* The next line of the file, without comments; NULL at its end. */
static char *
next_line(FILE *file, char **line, size_t *size)
{
	while (getline(line, size, file) > 0) {
		(*line)[strcspn(*line, "\n")] = '\0';
		if ((*line)[0] != '\0' && (*line)[0] != '#')
			return *line;
	}
	return NULL;
}

/* Both are sorted by bytes. */
static int
compare_inventory(struct doctor *doctor, const struct db_rows *rows, FILE *file)
{
	static const char missing[] = "a migration made it: find out who removed or changed it, and put it back";
	static const char extra[] = "no migration made it: find out who did, and take it away";
	char *line = NULL;
	size_t size = 0;
	int row = 0, count = db_rows_count(rows), faults = 0;
	char *wanted = next_line(file, &line, &size);
	while (wanted != NULL || row < count) {
		int order = wanted == NULL ? 1 : row == count ? -1 : strcmp(wanted, db_rows_value(rows, row, 0));
		if (order < 0)
			find(doctor, LEVEL_FAULT, "schema", missing, "missing: %.300s", wanted);
		else if (order > 0)
			find(doctor, LEVEL_FAULT, "schema", extra, "not expected: %.300s", db_rows_value(rows, row, 0));
		faults += order != 0;
		row += order >= 0;
		if (order <= 0)
			wanted = next_line(file, &line, &size);
	}
	free(line);
	return faults;
}

static void
check_inventory(struct doctor *doctor)
{
	char path[PATH_MAX];
	const char *directory = doctor->ctl->values[DOCTOR_DIRECTORY];
	snprintf(path, sizeof(path), "%s/../schema.txt", directory == NULL ? ctl_default_migrations : directory);
	FILE *file = fopen(path, "re");
	struct db_rows *rows = file == NULL ? NULL : read_inventory(doctor->tool);
	if (file == NULL)
		find(doctor, LEVEL_FAULT, "schema", "install JobForge again, or name its migrations by --directory", "%s: %s", path,
		    strerror(errno));
	else if (rows == NULL)
		find(doctor, LEVEL_FAULT, "schema", NULL, "it cannot be read: %s", db_tool_error(doctor->tool));
	else if (compare_inventory(doctor, rows, file) == 0)
		find(doctor, LEVEL_OK, "schema", NULL, "rights, owners, policies, indexes, constraints, triggers and functions are those "
						       "that the migrations made");
	db_rows_free(rows);
	if (file != NULL)
		fclose(file);
}

/* ---- connections ---- */

static void
check_other_connection(struct doctor *doctor, const char *check, const char *conninfo, const char *sql)
{
	char error[512];
	struct db_tool *tool = db_tool_open(conninfo, error, sizeof(error));
	struct db_rows *rows = tool == NULL ? NULL : db_tool_run(tool, sql, 0, NULL);
	if (tool == NULL)
		find(doctor, LEVEL_WARNING, check, "mend it in the configuration before it is needed", "no connection: %s", error);
	else if (rows == NULL)
		find(doctor, LEVEL_WARNING, check, "connect to the database of JobForge", "%s", db_tool_error(tool));
	else if (db_rows_count(rows) > 0)
		find(doctor, LEVEL_WARNING, check, "see jobforged.conf(5)", "%s", db_rows_value(rows, 0, 0));
	else
		find(doctor, LEVEL_OK, check, NULL, "connects");
	db_rows_free(rows);
	db_tool_close(tool);
}

static void
check_admin(struct doctor *doctor)
{
	static const char sql[] =
	    "SELECT format('%s is neither a superuser nor passes by row level security', session_user) FROM pg_roles AS r"
	    " WHERE r.rolname = session_user AND NOT (r.rolsuper OR r.rolbypassrls)";
	check_other_connection(doctor, "admin_database", doctor->ctl->conf.admin_database, sql);
}

static void
check_backup_role(struct doctor *doctor)
{
	static const char sql[] =
	    "SELECT format('%s may not read %s', session_user, string_agg(c.oid::regclass::text, ', ')) FROM pg_class AS c"
	    " WHERE c.relnamespace IN (to_regnamespace('public'), to_regnamespace('jobforge')) AND c.relkind IN ('r', 'p', 'S')"
	    " AND NOT has_table_privilege(c.oid, 'SELECT') HAVING count(*) > 0"
	    " UNION ALL SELECT format('%s does not pass by row level security', session_user) FROM pg_roles AS r"
	    " WHERE r.rolname = session_user AND NOT (r.rolsuper OR r.rolbypassrls)";
	const struct conf *conf = &doctor->ctl->conf;
	char error[512], *password = NULL;
	bool given = conf->backup_database[0] != '\0';
	char *conninfo = given ? NULL : db_tool_conninfo(conf->database, "jobforge_backup", NULL, &password, error, sizeof(error));
	if (!given && conninfo == NULL)
		find(doctor, LEVEL_WARNING, "backup_database", "set it", "%s", error);
	else
		check_other_connection(doctor, "backup_database", given ? conf->backup_database : conninfo, sql);
	free(conninfo);
	free(password);
}

/* On a machine whose distribution is older than the database's server, say. */
static void
check_pg_dump(struct doctor *doctor)
{
	static const char sql[] = "SELECT current_setting('server_version_num')::int / 10000";
	struct pgprogram program;
	char error[512];
	struct db_rows *rows = db_tool_run(doctor->tool, sql, 0, NULL);
	int server = rows == NULL ? 0 : atoi(db_rows_value(rows, 0, 0));
	db_rows_free(rows);
	if (pgprogram_find(&program, doctor->ctl->conf.pg_bin, "pg_dump", server, error, sizeof(error)) == 0)
		find(doctor, LEVEL_OK, "pg_dump", NULL, "that of PostgreSQL %d, for backups", program.major);
	else
		find(doctor, LEVEL_WARNING, "pg_dump", "until then there can be no backup", "%s", error);
}

static void
check_database(struct doctor *doctor)
{
	char error[512];
	doctor->tool = db_tool_open(doctor->ctl->conf.database, error, sizeof(error));
	if (doctor->tool == NULL) {
		find(doctor, LEVEL_FAULT, "database", "see whether the server runs, and database in jobforged.conf(5)", "no connection: %s",
		    error);
		return;
	}
	find(doctor, LEVEL_OK, "database", NULL, "connects");
	db_rows_free(db_tool_run(doctor->tool, "SET search_path = pg_catalog", 0, NULL));
	for (size_t i = 0; i < COUNT_OF(sql_checks); i++)
		run_check(doctor, &sql_checks[i]);
	check_clock(doctor);
	check_inventory(doctor);
	check_admin(doctor);
	check_backup_role(doctor);
	check_pg_dump(doctor);
}

/* ---- the command ---- */

static int
print_schema(struct ctl *ctl)
{
	struct buffer out = { 0 };
	struct db_tool *tool = ctl_load(ctl) != CTL_OK ? NULL : ctl_connect_admin(ctl);
	if (tool == NULL)
		return CTL_FAILED;
	struct db_rows *rows = read_inventory(tool);
	int result = rows == NULL ? ctl_fail_sql(tool, "the schema") : CTL_OK;
	for (int i = 0; rows != NULL && i < db_rows_count(rows); i++)
		buffer_printf(&out, "%s\n", db_rows_value(rows, i, 0));
	ctl_print(&out);
	db_rows_free(rows);
	db_tool_close(tool);
	return result;
}

static void
report(struct doctor *doctor)
{
	if (doctor->ctl->json) {
		writer_end(&doctor->writer);
		writer_integer(&doctor->writer, "faults", doctor->counts[LEVEL_FAULT]);
		writer_integer(&doctor->writer, "warnings", doctor->counts[LEVEL_WARNING]);
		ctl_print_json(&doctor->writer);
		return;
	}
	buffer_printf(&doctor->out, "%d faults, %d warnings, %d checks passed.\n", doctor->counts[LEVEL_FAULT],
	    doctor->counts[LEVEL_WARNING], doctor->counts[LEVEL_OK]);
	ctl_print(&doctor->out);
}

static int
run_doctor(struct ctl *ctl)
{
	struct doctor doctor = { .ctl = ctl };
	if (ctl_given(ctl, DOCTOR_SCHEMA))
		return ctl->json ? ctl_misuse("doctor --print-schema has no JSON form") : print_schema(ctl);
	doctor.writer.out = &doctor.out;
	if (ctl->json) {
		writer_object(&doctor.writer, NULL);
		writer_array(&doctor.writer, "findings");
	}
	if (check_configuration(&doctor, ctl)) {
		check_keys(&doctor);
		check_certificate(&doctor);
		check_backups(&doctor);
		check_database(&doctor);
	}
	db_tool_close(doctor.tool);
	report(&doctor);
	return doctor.counts[LEVEL_FAULT] == 0 ? CTL_OK : CTL_FAILED;
}
