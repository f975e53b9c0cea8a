/* status: what is installed, what runs, what is in it. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "backup.h"
#include "buffer.h"
#include "ctl.h"
#include "dbtool.h"
#include "schema.h"
#include "writer.h"

static int run_status(struct ctl *);

const struct ctl_command ctl_status = {
	.name = "status",
	.summary = "Print versions, whether the service runs, what the database holds, and the last backup.",
	.run = run_status,
};

/* Whether a process listens there. */
static bool
listens(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int descriptor = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (descriptor < 0)
		return false;
	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	bool connected = connect(descriptor, (const struct sockaddr *)&address, sizeof(address)) == 0;
	close(descriptor);
	return connected;
}

/* The name of the newest whole backup, "" when there is none. */
static void
last_backup(const struct conf *conf, char name[BACKUP_NAME_SIZE])
{
	char ignored[512];
	struct backup_list list;
	name[0] = '\0';
	if (backup_list_read(&list, conf->backup_directory, ignored, sizeof(ignored)) != 0)
		return;
	if (list.count > 0)
		snprintf(name, BACKUP_NAME_SIZE, "%s", list.items[0].name);
	backup_list_free(&list);
}

static const char facts_sql[] =
    "SELECT current_setting('server_version') AS server, current_database() AS database,"
    " pg_catalog.pg_database_size(current_database()) AS bytes,"
    " (SELECT coalesce(max(m.version), 0) FROM jobforge.schema_migrations AS m) AS schema,"
    " (SELECT count(*) FROM public.users) AS users, (SELECT count(*) FROM public.applications) AS applications,"
    " (SELECT count(*) FROM public.documents) AS documents, (SELECT count(*) FROM jobforge.refresh_families AS f"
    " WHERE f.revoked_at IS NULL AND f.expires_at > now()) AS sessions,"
    " (SELECT count(*) FROM pg_catalog.pg_stat_activity AS a WHERE a.datname = current_database()"
    " AND a.usename = 'jobforge_app') AS worker_connections";

struct state {
	const struct ctl *ctl;
	struct db_rows *facts;
	bool api, auth, bulk; /* whether each pool takes connections */
	char backup[BACKUP_NAME_SIZE];
};

static void
print_json(const struct state *state)
{
	struct buffer out = { 0 };
	struct writer writer = { .out = &out };
	writer_object(&writer, NULL);
	writer_string(&writer, "version", JOBFORGE_VERSION);
	writer_integer(&writer, "needs_schema", SCHEMA_VERSION);
	writer_bool(&writer, "api", state->api);
	writer_bool(&writer, "auth", state->auth);
	writer_bool(&writer, "bulk", state->bulk);
	if (state->backup[0] == '\0')
		writer_null(&writer, "last_backup");
	else
		writer_string(&writer, "last_backup", state->backup);
	ctl_write_row(&writer, state->facts, 0);
	ctl_print_json(&writer);
}

static const char *
word_for(bool running)
{
	return running ? "runs" : "does not run";
}

static void
print_text(const struct state *state)
{
	struct buffer out = { 0 };
	buffer_printf(&out, "JobForge %s, for schema version %d\n", JOBFORGE_VERSION, SCHEMA_VERSION);
	buffer_printf(&out, "jobforged: api %s, auth %s, bulk %s\n", word_for(state->api), word_for(state->auth),
	    word_for(state->bulk));
	buffer_printf(&out, "last backup: %s\n", state->backup[0] == '\0' ? "none" : state->backup);
	for (int column = 0; column < db_rows_columns(state->facts); column++) {
		const char *name = db_rows_name(state->facts, column), *value = db_rows_value(state->facts, 0, column);
		buffer_printf(&out, "%s: ", strcmp(name, "worker_connections") == 0 ? "connections of workers" : name);
		if (strcmp(name, "bytes") == 0)
			ctl_append_size(&out, strtoll(value, NULL, 10));
		else
			buffer_puts(&out, value);
		buffer_putc(&out, '\n');
	}
	ctl_print(&out);
}

static int
judge(const struct state *state)
{
	int schema = atoi(db_rows_value(state->facts, 0, 3));
	if (schema < SCHEMA_VERSION)
		return ctl_fail("the database is at schema version %d, and this JobForge needs %d: run jobforgectl migrate", schema,
		    SCHEMA_VERSION);
	if (schema > SCHEMA_VERSION)
		return ctl_fail("the database is at schema version %d, and this JobForge was made for %d: install the newer JobForge",
		    schema, SCHEMA_VERSION);
	return state->api && state->auth && state->bulk ? CTL_OK : ctl_fail("jobforged does not run: systemctl start jobforged");
}

static int
run_status(struct ctl *ctl)
{
	const struct conf *conf = &ctl->conf;
	struct state state = { .ctl = ctl, .api = listens(conf->api_socket), .auth = listens(conf->auth_socket),
		.bulk = listens(conf->bulk_socket) };
	struct db_tool *tool = ctl_connect_admin(ctl);
	if (tool == NULL)
		return CTL_FAILED;
	last_backup(conf, state.backup);
	state.facts = db_tool_run(tool, facts_sql, 0, NULL);
	int result = CTL_FAILED;
	if (state.facts == NULL) {
		ctl_fail("this is not the database of a JobForge, or it was never migrated: %s; run jobforgectl migrate",
		    db_tool_error(tool));
	} else {
		if (ctl->json)
			print_json(&state);
		else
			print_text(&state);
		result = judge(&state);
	}
	db_rows_free(state.facts);
	db_tool_close(tool);
	return result;
}
