/* monitor: what the database is doing, once or again and again on the terminal. */
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <termios.h>
#include <unistd.h>

#include "buffer.h"
#include "clock.h"
#include "ctl.h"
#include "dbtool.h"
#include "writer.h"

static int run_monitor(struct ctl *);

enum { MONITOR_EVERY };

const struct ctl_command ctl_monitor = {
	.name = "monitor",
	.summary = "Print slow statements, table sizes, connections, cache hits, locks and replication.",
	.options = {
		[MONITOR_EVERY] = { "--every", "SECONDS", "Print again and again; q or Ctrl-C ends it." },
	},
	.run = run_monitor,
};

/* The size of a table waits for whoever has it locked, and monitor is there to show who that is. */
static const char session_sql[] = "SET lock_timeout = '300ms'";
static const char lock_not_available[] = "55P03";

static const struct section {
	const char *name;
	const char *title;
	const char *sql;
	const char *needs; /* an extension without which there is nothing to ask; NULL: none */
} sections[] = {
	{ "connections", "Connections",
	    "SELECT coalesce(nullif(a.application_name, ''), '-') AS application, coalesce(a.usename, '-') AS role,"
	    " coalesce(a.state, '-') AS state, count(*) AS connections,"
	    " coalesce(max(extract(epoch FROM clock_timestamp() - a.xact_start)), 0)::numeric(12, 1) AS longest_transaction_s"
	    " FROM pg_catalog.pg_stat_activity AS a WHERE a.datname = current_database() GROUP BY 1, 2, 3 ORDER BY 4 DESC, 1, 2, 3", NULL },
	{ "cache", "Cache and transactions",
	    "SELECT round(100 * d.blks_hit::numeric / nullif(d.blks_hit + d.blks_read, 0), 2) AS hit_percent,"
	    " d.xact_commit AS committed, d.xact_rollback AS rolled_back, d.deadlocks, d.temp_bytes,"
	    " pg_catalog.pg_database_size(d.datname) AS database_bytes FROM pg_catalog.pg_stat_database AS d"
	    " WHERE d.datname = current_database()", NULL },
	{ "tables", "Tables by size",
	    "SELECT format('%I.%I', s.schemaname, s.relname) AS \"table\", pg_catalog.pg_total_relation_size(s.relid) AS bytes,"
	    " pg_catalog.pg_indexes_size(s.relid) AS index_bytes, s.n_live_tup AS live_rows, s.n_dead_tup AS dead_rows,"
	    " coalesce(s.seq_scan, 0) AS whole_reads, coalesce(s.idx_scan, 0) AS index_reads"
	    " FROM pg_catalog.pg_stat_user_tables AS s WHERE s.schemaname IN ('public', 'jobforge')"
	    " ORDER BY 2 DESC, 1 LIMIT 15", NULL },
	{ "statements", "Statements by the time that they took altogether",
	    "SELECT s.calls, round(s.total_exec_time::numeric, 1) AS total_ms, round(s.mean_exec_time::numeric, 3) AS mean_ms,"
	    " round(s.max_exec_time::numeric, 1) AS max_ms, s.rows, regexp_replace(s.query, '\\s+', ' ', 'g') AS statement"
	    " FROM pg_stat_statements AS s WHERE s.dbid = (SELECT d.oid FROM pg_catalog.pg_database AS d"
	    " WHERE d.datname = current_database()) ORDER BY s.total_exec_time DESC LIMIT 10", "pg_stat_statements" },
	{ "locks", "Waiting for locks",
	    "SELECT a.pid, a.usename AS role, pg_catalog.array_to_string(pg_catalog.pg_blocking_pids(a.pid), ' ') AS waits_for,"
	    " extract(epoch FROM clock_timestamp() - a.state_change)::numeric(12, 1) AS seconds,"
	    " regexp_replace(left(a.query, 200), '\\s+', ' ', 'g') AS statement FROM pg_catalog.pg_stat_activity AS a"
	    " WHERE a.datname = current_database() AND cardinality(pg_catalog.pg_blocking_pids(a.pid)) > 0 ORDER BY 4 DESC", NULL },
	{ "replication", "Standbys",
	    "SELECT coalesce(nullif(r.application_name, ''), '-') AS standby, r.state, r.sync_state,"
	    " pg_catalog.pg_wal_lsn_diff(CASE WHEN pg_catalog.pg_is_in_recovery() THEN pg_catalog.pg_last_wal_receive_lsn()"
	    " ELSE pg_catalog.pg_current_wal_lsn() END, r.replay_lsn) AS bytes_behind,"
	    " coalesce(extract(epoch FROM r.replay_lag), 0)::numeric(12, 3) AS seconds_behind"
	    " FROM pg_catalog.pg_stat_replication AS r ORDER BY 1", NULL },
};

static bool
has_extension(struct db_tool *tool, const char *name)
{
	const char *const params[] = { name };
	struct db_rows *rows =
	    db_tool_run(tool, "SELECT FROM pg_catalog.pg_extension AS e WHERE e.extname = $1", 1, params);
	bool found = rows != NULL && db_rows_count(rows) > 0;
	db_rows_free(rows);
	return found;
}

static void
append_unknown(struct buffer *out, struct writer *writer, const struct section *section, const char *why)
{
	if (writer != NULL)
		writer_null(writer, section->name);
	else
		buffer_printf(out, "\n%s: not known %s\n", section->title, why);
}

static int
append_section(struct buffer *out, struct writer *writer, struct db_tool *tool, const struct section *section)
{
	if (section->needs != NULL && !has_extension(tool, section->needs)) {
		append_unknown(out, writer, section, "without the extension pg_stat_statements");
		return 0;
	}
	struct db_rows *rows = db_tool_run(tool, section->sql, 0, NULL);
	if (rows == NULL && strcmp(db_tool_sqlstate(tool), lock_not_available) == 0) {
		append_unknown(out, writer, section, "while one of them is locked");
		return 0;
	}
	if (rows == NULL)
		return ctl_fail_sql(tool, section->title);
	if (writer != NULL)
		ctl_write_rows(writer, section->name, rows);
	else
		ctl_append_table(out, section->title, rows);
	db_rows_free(rows);
	return 0;
}

static int
print_once(const struct ctl *ctl, struct db_tool *tool, const char *before)
{
	struct buffer out = { 0 };
	struct writer writer = { .out = &out };
	int result = 0;
	if (ctl->json)
		writer_object(&writer, NULL);
	for (size_t i = 0; i < COUNT_OF(sections) && result == 0; i++)
		result = append_section(&out, ctl->json ? &writer : NULL, tool, &sections[i]);
	if (result != 0) {
		buffer_free(&out);
		return result;
	}
	if (ctl->json) {
		ctl_print_json(&writer);
	} else {
		fputs(before, stdout);
		ctl_print(&out);
	}
	fflush(stdout);
	return ferror(stdout) ? CTL_FAILED : 0;
}

/* ---- again and again ---- */

static volatile sig_atomic_t interrupted;

static void
interrupt(int number)
{
	(void)number;
	interrupted = 1;
}

/* Keys without waiting for the end of a line, and unseen. False when standard input is no terminal. */
static bool
take_keys(struct termios *before)
{
	struct termios now;
	if (!isatty(STDIN_FILENO) || tcgetattr(STDIN_FILENO, before) != 0)
		return false;
	now = *before;
	now.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
	return tcsetattr(STDIN_FILENO, TCSANOW, &now) == 0;
}

/* Waits so long, or until q is typed. Whether to go on. */
static bool
pause_for(int seconds, bool keys)
{
	int64_t end = clock_ms() + (int64_t)seconds * 1000;
	while (!interrupted) {
		struct pollfd input = { .fd = keys ? STDIN_FILENO : -1, .events = POLLIN };
		int64_t left = end - clock_ms();
		char key;
		if (left <= 0)
			return true;
		if (poll(&input, 1, (int)left) > 0 && (read(STDIN_FILENO, &key, 1) != 1 || key == 'q' || key == 'Q'))
			return false;
	}
	return false;
}

static int
print_again(const struct ctl *ctl, struct db_tool *tool, int seconds)
{
	static const char clear_screen[] = "\033[H\033[J";
	struct termios before;
	struct sigaction action = { .sa_handler = interrupt }, old_interrupt, old_end;
	sigaction(SIGINT, &action, &old_interrupt);
	sigaction(SIGTERM, &action, &old_end);
	bool keys = take_keys(&before);
	int result;
	do
		result = print_once(ctl, tool, isatty(STDOUT_FILENO) ? clear_screen : "");
	while (result == 0 && pause_for(seconds, keys));
	if (keys)
		tcsetattr(STDIN_FILENO, TCSANOW, &before);
	sigaction(SIGINT, &old_interrupt, NULL);
	sigaction(SIGTERM, &old_end, NULL);
	return result;
}

static int
run_monitor(struct ctl *ctl)
{
	int seconds;
	if (ctl_number(ctl, MONITOR_EVERY, 1, 3600, 0, &seconds) != 0)
		return CTL_USAGE;
	struct db_tool *tool = ctl_connect_admin(ctl);
	if (tool == NULL)
		return CTL_FAILED;
	int result = ctl_execute(tool, "the session", session_sql, 0, NULL);
	if (result == 0)
		result = seconds == 0 ? print_once(ctl, tool, "") : print_again(ctl, tool, seconds);
	db_tool_close(tool);
	return result;
}
