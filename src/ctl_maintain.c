/* maintain: what a database needs from time to time, and what of its indexes is not used or missing. */
#include <stdio.h>

#include "buffer.h"
#include "ctl.h"
#include "dbtool.h"
#include "writer.h"

static int run_maintain(struct ctl *);

enum { MAINTAIN_NO_VACUUM };

const struct ctl_command ctl_maintain = {
	.name = "maintain",
	.summary = "Sweep what has expired, vacuum and analyze, and report indexes that are unused or missing.",
	.options = {
		[MAINTAIN_NO_VACUUM] = { "--no-vacuum", NULL, "Leave vacuum and analyze to the server." },
	},
	.run = run_maintain,
};

/* A statement, and what it is about: a member of the JSON object, and words. */
struct task {
	const char *name;
	const char *what;
	const char *sql;
};

/*
 * Each deletes what has served, and gives the number. Sign-ins end with their last token; what an attempt counts lasts a day at
 * most (login_window), as does an answer kept for a retry.
 */
static const struct task sweeps[] = {
	{ "sessions", "sessions that have expired, or were revoked a day ago",
	    "WITH gone AS (DELETE FROM jobforge.refresh_families AS f WHERE f.expires_at <= now()"
	    " OR f.revoked_at <= now() - interval '1 day' RETURNING 1) SELECT count(*) FROM gone" },
	{ "tokens", "refresh tokens that have expired",
	    "WITH gone AS (DELETE FROM jobforge.refresh_tokens AS t WHERE t.expires_at <= now() RETURNING 1)"
	    " SELECT count(*) FROM gone" },
	{ "login_attempts", "counts of failed logins",
	    "WITH gone AS (DELETE FROM jobforge.login_attempts AS l WHERE l.window_start <= now() - interval '1 day'"
	    " OR l.window_start > now() + interval '1 day' RETURNING 1) SELECT count(*) FROM gone" },
	{ "idempotency_keys", "answers kept for retries",
	    "WITH gone AS (DELETE FROM jobforge.idempotency_keys AS k WHERE k.created_at <= now() - interval '24 hours' RETURNING 1)"
	    " SELECT count(*) FROM gone" },
};

/* The parameter is the days for which they are kept. */
static const struct task metrics_sweep = { "performance_metrics", "minutes' figures of routes",
	"WITH gone AS (DELETE FROM public.performance_metrics AS m WHERE m.started_at < now() - make_interval(days => $1::int)"
	" RETURNING 1) SELECT count(*) FROM gone" };

static const struct task reports[] = {
	{ "unused_indexes", "Indexes that no statement has used since the statistics were reset",
	    "SELECT format('%I.%I', s.schemaname, s.relname) AS \"table\", s.indexrelname AS index,"
	    " pg_catalog.pg_relation_size(s.indexrelid) AS bytes,"
	    " coalesce(to_char(d.stats_reset AT TIME ZONE 'UTC', 'YYYY-MM-DD'), 'never') AS reset FROM pg_catalog.pg_stat_user_indexes AS s JOIN pg_catalog.pg_index AS i USING (indexrelid)"
	    " JOIN pg_catalog.pg_stat_database AS d ON d.datname = current_database()"
	    " WHERE s.schemaname IN ('public', 'jobforge') AND s.idx_scan = 0 AND NOT i.indisunique AND NOT i.indisexclusion"
	    " ORDER BY 3 DESC, 1, 2" },
	{ "missing_indexes", "Tables read whole too often, and foreign keys without an index",
	    "SELECT format('%I.%I', s.schemaname, s.relname) AS \"table\","
	    " format('%s reads of the whole table, %s rows each', s.seq_scan, s.seq_tup_read / s.seq_scan) AS why FROM pg_catalog.pg_stat_user_tables AS s"
	    " WHERE s.schemaname IN ('public', 'jobforge') AND s.seq_scan > 100 AND s.seq_tup_read / s.seq_scan > 10000"
	    " AND s.seq_scan > coalesce(s.idx_scan, 0) / 10"
	    " UNION ALL SELECT format('%I.%I', n.nspname, c.relname), format('no index begins with the columns of %s', k.conname)"
	    " FROM pg_catalog.pg_constraint AS k JOIN pg_catalog.pg_class AS c ON c.oid = k.conrelid"
	    " JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace WHERE k.contype = 'f' AND k.conparentid = 0"
	    " AND n.nspname IN ('public', 'jobforge') AND NOT EXISTS (SELECT FROM pg_catalog.pg_index AS i WHERE i.indrelid = k.conrelid AND i.indpred IS NULL"
	    " AND (i.indkey::smallint[])[0:0] <@ k.conkey) ORDER BY 1, 2" },
	{ "dead_rows", "Tables of which much is dead rows",
	    "SELECT format('%I.%I', s.schemaname, s.relname) AS \"table\", s.n_live_tup AS live, s.n_dead_tup AS dead,"
	    " coalesce(to_char(greatest(s.last_vacuum, s.last_autovacuum) AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI'), 'never')"
	    " AS vacuumed FROM pg_catalog.pg_stat_user_tables AS s WHERE s.schemaname IN ('public', 'jobforge')"
	    " AND s.n_dead_tup > 1000 AND s.n_dead_tup > s.n_live_tup / 5 ORDER BY 3 DESC" },
};

static const char tables_sql[] =
    "SELECT format('%I.%I', n.nspname, c.relname) FROM pg_catalog.pg_class AS c"
    " JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace WHERE n.nspname IN ('public', 'jobforge')"
    " AND c.relkind IN ('r', 'p') AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend AS d"
    " WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objid = c.oid AND d.deptype = 'e') ORDER BY 1";

struct upkeep {
	const struct ctl *ctl;
	struct db_tool *tool;
	struct buffer out;
	struct writer writer;
};

static int
sweep(struct upkeep *upkeep, const struct task *task, int param_count, const char *const params[])
{
	struct db_rows *rows = ctl_query(upkeep->tool, task->what, task->sql, param_count, params);
	if (rows == NULL)
		return CTL_FAILED;
	if (upkeep->ctl->json)
		writer_number(&upkeep->writer, task->name, db_rows_value(rows, 0, 0));
	else
		buffer_printf(&upkeep->out, "Removed %s %s.\n", db_rows_value(rows, 0, 0), task->what);
	db_rows_free(rows);
	return 0;
}

static int
sweep_all(struct upkeep *upkeep)
{
	char days[16];
	const char *const params[] = { days };
	int result = 0;
	snprintf(days, sizeof(days), "%d", upkeep->ctl->conf.metrics_retention);
	if (upkeep->ctl->json)
		writer_object(&upkeep->writer, "removed");
	for (size_t i = 0; i < COUNT_OF(sweeps) && result == 0; i++)
		result = sweep(upkeep, &sweeps[i], 0, NULL);
	if (result == 0)
		result = sweep(upkeep, &metrics_sweep, 1, params);
	if (upkeep->ctl->json)
		writer_end(&upkeep->writer);
	return result;
}

/* Runs a function of the audit log that gives names of partitions, and tells them. */
static int
run_partitions(struct upkeep *upkeep, const char *member, const char *words, const char *sql, const char *param)
{
	const char *const params[] = { param };
	struct db_rows *rows = ctl_query(upkeep->tool, "the audit log", sql, 1, params);
	if (rows == NULL)
		return CTL_FAILED;
	if (upkeep->ctl->json)
		writer_array(&upkeep->writer, member);
	for (int i = 0; i < db_rows_count(rows); i++) {
		if (upkeep->ctl->json)
			writer_string(&upkeep->writer, NULL, db_rows_value(rows, i, 0));
		else
			buffer_printf(&upkeep->out, "%s %s.\n", words, db_rows_value(rows, i, 0));
	}
	if (upkeep->ctl->json)
		writer_end(&upkeep->writer);
	db_rows_free(rows);
	return 0;
}

/* The partitions of this month and the three that come; of months that rows came in without one; and none that is too old. */
static int
keep_audit_log(struct upkeep *upkeep)
{
	char interval[32];
	int days = upkeep->ctl->conf.audit_log_retention;
	snprintf(interval, sizeof(interval), "%d days", days);
	int result = run_partitions(upkeep, "audit_log_made", "Made the partition", "SELECT jobforge.audit_log_prepare($1::int)",
	    "3");
	if (result == 0 && days > 0)
		result = run_partitions(upkeep, "audit_log_dropped", "Dropped the partition",
		    "SELECT jobforge.audit_log_expire($1::interval)", interval);
	return result;
}

static int
vacuum(struct upkeep *upkeep)
{
	struct db_rows *tables = ctl_query(upkeep->tool, "the tables", tables_sql, 0, NULL);
	int result = tables == NULL ? CTL_FAILED : 0;
	int count = tables == NULL ? 0 : db_rows_count(tables);
	for (int i = 0; i < count && result == 0; i++) {
		char sql[256];
		snprintf(sql, sizeof(sql), "VACUUM (ANALYZE, SKIP_LOCKED) %s", db_rows_value(tables, i, 0));
		result = ctl_execute(upkeep->tool, db_rows_value(tables, i, 0), sql, 0, NULL);
	}
	db_rows_free(tables);
	if (upkeep->ctl->json)
		writer_integer(&upkeep->writer, "vacuumed", count);
	else
		buffer_printf(&upkeep->out, "Vacuumed and analyzed %d tables.\n", count);
	return result;
}

static int
report_indexes(struct upkeep *upkeep)
{
	for (size_t i = 0; i < COUNT_OF(reports); i++) {
		struct db_rows *rows = ctl_query(upkeep->tool, reports[i].what, reports[i].sql, 0, NULL);
		if (rows == NULL)
			return CTL_FAILED;
		if (upkeep->ctl->json)
			ctl_write_rows(&upkeep->writer, reports[i].name, rows);
		else
			ctl_append_table(&upkeep->out, reports[i].what, rows);
		db_rows_free(rows);
	}
	return 0;
}

static int
maintain(struct upkeep *upkeep)
{
	/* A role or database may have limits for short statements. */
	static const char session[] = "SET statement_timeout = 0; SET lock_timeout = '30s'; SET row_security = off";
	if (ctl_execute(upkeep->tool, "the session", session, 0, NULL) != 0 || sweep_all(upkeep) != 0 ||
	    keep_audit_log(upkeep) != 0)
		return CTL_FAILED;
	if (!ctl_given(upkeep->ctl, MAINTAIN_NO_VACUUM) && vacuum(upkeep) != 0)
		return CTL_FAILED;
	return report_indexes(upkeep);
}

static int
run_maintain(struct ctl *ctl)
{
	struct upkeep upkeep = { .ctl = ctl };
	upkeep.tool = ctl_connect_current(ctl);
	if (upkeep.tool == NULL)
		return CTL_FAILED;
	upkeep.writer.out = &upkeep.out;
	if (ctl->json)
		writer_object(&upkeep.writer, NULL);
	int result = maintain(&upkeep);
	db_tool_close(upkeep.tool);
	if (result != 0)
		buffer_free(&upkeep.out);
	else if (ctl->json)
		ctl_print_json(&upkeep.writer);
	else
		ctl_print(&upkeep.out);
	return result;
}
