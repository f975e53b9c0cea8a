#include "dbconnect.h"

#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

#include "clock.h"
#include "conninfo.h"
#include "db.h"
#include "dblookup.h"
#include "dbsocket.h"
#include "log.h"

enum {
	MAX_OPTIONS = 4400, /* more than a connection string may hold */
	MAX_HOST = 256,
	MAX_HOSTS = DBLOOKUP_MOST * MAX_HOST
};

/* Drops the rest of the results of the current statement. */
static int
skip_results(const struct dbconnect *to)
{
	PGresult *result;

	for (;;) {
		if (dbsocket_next(to->conn, to->deadline, &result) != 0)
			return -1;
		if (result == NULL)
			return 0;
		PQclear(result);
	}
}

static int
read_sync(const struct dbconnect *to)
{
	PGresult *result;

	if (dbsocket_next(to->conn, to->deadline, &result) != 0 || result == NULL)
		return -1;
	ExecStatusType status = PQresultStatus(result);
	PQclear(result);
	return status == PGRES_PIPELINE_SYNC ? 0 : -1;
}

static void
set_problem(struct dbconnect *to, const char *what, const char *why)
{
	snprintf(to->problem, sizeof(to->problem), "%s: %s", what, why);
	to->problem[strcspn(to->problem, "\n")] = '\0';
}

/* What libpq would print: the server's warnings and farewells, which end in a newline. */
static void
log_notice(void *unused, const char *message)
{
	(void)unused;
	log_write(LOG_LEVEL_WARNING, "database", "%.*s", (int)strcspn(message, "\n"), message);
}

/* What goes before the same of the connection string. */
struct target {
	char options[MAX_OPTIONS];
	char host[MAX_HOSTS];
	char hostaddr[MAX_HOSTS];
	char port[MAX_HOST];
};

/* What a connection string says, and what is so without it: by the environment, by a service that it names, or ever. */
struct parts {
	PQconninfoOption *given;
	PQconninfoOption *fallbacks;
};

static struct parts
read_parts(const char *conninfo)
{
	return (struct parts){ PQconninfoParse(conninfo, NULL), PQconndefaults() };
}

static void
free_parts(const struct parts *parts)
{
	PQconninfoFree(parts->given);
	PQconninfoFree(parts->fallbacks);
}

static const char *
value_of(const PQconninfoOption *options, const char *keyword)
{
	for (const PQconninfoOption *option = options; option != NULL && option->keyword != NULL; option++)
		if (strcmp(option->keyword, keyword) == 0 && option->val != NULL)
			return option->val;
	return "";
}

/* Of a service that the string itself names libpq alone knows what it says. */
static const char *
part_of(const struct parts *parts, const char *keyword)
{
	const char *value = value_of(parts->given, keyword);
	bool own_service = *value_of(parts->given, "service") != '\0';
	return *value != '\0' || own_service ? value : value_of(parts->fallbacks, keyword);
}

/*
 * Chooses one host of several, and returns how many there are. libpq would go through them by itself, but it has no time
 * limit for each when it is not to block, and a machine that does not answer would keep it from those after it.
 */
static int
choose_host(struct target *target, const struct parts *parts, int number)
{
	const char *names = part_of(parts, "host"), *addresses = part_of(parts, "hostaddr"), *ports = part_of(parts, "port");
	int count = conninfo_count(addresses[0] == '\0' ? names : addresses);
	bool one_port = conninfo_count(ports) == 1;

	if (count < 2 || (names[0] != '\0' && conninfo_count(names) != count) ||
	    (ports[0] != '\0' && !one_port && conninfo_count(ports) != count))
		return 1; /* or libpq says what is wrong with them */
	conninfo_item(names, number, target->host, sizeof(target->host));
	conninfo_item(addresses, number, target->hostaddr, sizeof(target->hostaddr));
	conninfo_item(ports, one_port ? 0 : number, target->port, sizeof(target->port));
	return count;
}

/*
 * Gives libpq the addresses of a name, which it goes through as it would by itself. With each goes the name, by which certificates and
 * files of passwords know the host.
 */
static int
look_up(struct dbconnect *to, struct target *target, const char *host)
{
	struct buffer found = { 0 };
	char name[MAX_HOST];
	int64_t left = (to->deadline - clock_us()) / 1000;

	snprintf(name, sizeof(name), "%.*s", MAX_HOST - 1, host); /* which may be that of the target */
	int count = dblookup(&found, name, (int)left);
	if (count > 0)
		snprintf(target->hostaddr, sizeof(target->hostaddr), "%.*s", (int)found.len, found.data);
	else
		snprintf(to->problem, sizeof(to->problem), "database: host %s: %.*s", name, count < 0 ? INT_MAX : (int)found.len,
		    count < 0 ? "the name service did not answer in time" : found.data);
	buffer_free(&found);
	for (int i = 0, len = 0; i < count; i++)
		len += snprintf(target->host + len, sizeof(target->host) - (size_t)len, "%s%s", i == 0 ? "" : ",", name);
	return count > 0 ? 0 : -1;
}

/* Chooses the host, and looks it up if that takes a name service. */
static int
find_host(struct dbconnect *to, struct target *target, const struct parts *parts)
{
	to->hosts = choose_host(target, parts, to->host);
	const char *host = target->host[0] != '\0' ? target->host : part_of(parts, "host");
	if (*part_of(parts, "hostaddr") != '\0' || !dblookup_is_name(host))
		return 0;
	return look_up(to, target, host);
}

/* NULL with the problem. */
static PGconn *
start_connection(struct dbconnect *to)
{
	const struct db_settings *settings = to->settings;
	struct target target = { 0 };
	const char *names[] = { "fallback_application_name", "dbname", "client_encoding", "options", "host", "hostaddr",
		"port", NULL };
	const char *values[] = { "jobforged", settings->conninfo, "UTF8", target.options, target.host, target.hostaddr,
		target.port, NULL }; /* an empty one changes nothing */
	struct parts parts = read_parts(settings->conninfo);

	int status = find_host(to, &target, &parts);
	/* The session begins with its time limit: set later, it would be the state of whatever session a pooler has lent. */
	snprintf(target.options, sizeof(target.options), "%s -c statement_timeout=%d", part_of(&parts, "options"),
	    settings->statement_timeout);
	free_parts(&parts);
	if (status != 0)
		return NULL;
	PGconn *conn = PQconnectStartParams(names, values, 1);
	if (conn == NULL)
		set_problem(to, "database", "out of memory");
	return conn;
}

static int
connect_to_host(struct dbconnect *to)
{
	PostgresPollingStatusType state = PGRES_POLLING_WRITING;

	PQfinish(to->conn);
	to->conn = start_connection(to);
	if (to->conn == NULL)
		return -1;
	(void)PQsetNoticeProcessor(to->conn, log_notice, NULL);
	while (PQstatus(to->conn) != CONNECTION_BAD) {
		if (state == PGRES_POLLING_OK)
			return 0;
		if (state == PGRES_POLLING_FAILED)
			break;
		if (dbsocket_wait(to->conn, state == PGRES_POLLING_READING ? POLLIN : POLLOUT, to->deadline) == 0) {
			set_problem(to, "database", "no answer to the connection attempt in time");
			return -1;
		}
		state = PQconnectPoll(to->conn);
	}
	set_problem(to, "database", PQerrorMessage(to->conn));
	return -1;
}

void
dbconnect_turn(struct dbconnect *to)
{
	to->host = (to->host + 1) % to->hosts;
}

/* Begins with the host of the last connection. One that took all the time is the last to be tried again. */
static int
connect_in_time(struct dbconnect *to)
{
	int tried = 0;

	to->deadline = clock_us() + (int64_t)to->settings->connect_timeout * 1000;
	do {
		if (connect_to_host(to) == 0)
			return 0;
		dbconnect_turn(to);
	} while (++tried < to->hosts && clock_us() < to->deadline);
	return -1;
}

/*
 * Each statement is followed by a Sync of its own, for PgBouncer: what its connection to the server has prepared already it answers
 * by itself, and 1.24 puts that answer into the middle of another, unless the one before was to a Sync.
 */
static int
send_statement(struct dbconnect *to, const struct db_statement *statement)
{
	return PQsendPrepare(to->conn, statement->name, statement->sql, 0, NULL) == 1 &&
	    PQsendDescribePrepared(to->conn, statement->name) == 1 && PQpipelineSync(to->conn) == 1 ? 0 : -1;
}

static int
for_each_statement(struct dbconnect *to, int (*work)(struct dbconnect *to, const struct db_statement *statement))
{
	for (const struct db_statement *s = to->statements; s->name != NULL; s++)
		if (work(to, s) != 0)
			return -1;
	for (const struct db_statement *const *table = to->settings->tables; *table != NULL; table++)
		for (const struct db_statement *s = *table; s->name != NULL; s++)
			if (work(to, s) != 0)
				return -1;
	return 0;
}

/* Queues what each session needs: a look at it, and every statement. */
static int
send_setup(struct dbconnect *to)
{
	static const char look[] =
	    "SELECT coalesce(max(version), 0), extract(epoch FROM 1000 * current_setting('statement_timeout')::interval)::int"
	    " FROM jobforge.schema_migrations";

	if (PQsendQueryParams(to->conn, look, 0, NULL, NULL, NULL, NULL, 0) != 1 || PQpipelineSync(to->conn) != 1)
		return -1;
	if (for_each_statement(to, send_statement) != 0)
		return -1;
	if (!to->brief)
		to->deadline = clock_us() + (int64_t)to->settings->statement_timeout * 1000;
	return dbsocket_flush(to->conn, to->deadline);
}

/* Reads one answer of the setup; the first failure is the one to tell. */
static PGresult *
setup_result(struct dbconnect *to, const char *what)
{
	PGresult *result;

	if (dbsocket_next(to->conn, to->deadline, &result) != 0 || result == NULL) {
		set_problem(to, what, clock_us() < to->deadline ? "the connection was lost" : "no answer in time");
		return NULL;
	}
	ExecStatusType status = PQresultStatus(result);
	if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK) {
		const char *sqlstate = PQresultErrorField(result, PG_DIAG_SQLSTATE);
		set_problem(to, what, PQresultErrorMessage(result));
		/* No ledger, or no table or column for a statement. */
		to->schema_differs = sqlstate != NULL &&
		    (strcmp(sqlstate, "42P01") == 0 || strcmp(sqlstate, "3F000") == 0 || strcmp(sqlstate, "42703") == 0);
		PQclear(result);
		return NULL;
	}
	if (skip_results(to) != 0) {
		set_problem(to, what, "the connection was lost");
		PQclear(result);
		return NULL;
	}
	return result;
}

static int
check_version(struct dbconnect *to, int version)
{
	if (version == to->settings->schema_version)
		return 0;
	snprintf(to->problem, sizeof(to->problem), "schema: the database is at version %d, this program needs %d; %s",
	    version, to->settings->schema_version,
	    version < to->settings->schema_version ? "run jobforgectl migrate" : "install the newer program");
	to->schema_differs = true;
	return -1;
}

/* A pooler may have ignored the options that the session was to begin with. */
static int
check_limit(struct dbconnect *to, int milliseconds)
{
	if (milliseconds == to->settings->statement_timeout)
		return 0;
	snprintf(to->problem, sizeof(to->problem),
	    "the session's statement_timeout is %d ms, and must be %d; a pooler has to set it", milliseconds,
	    to->settings->statement_timeout);
	return -1;
}

static int
check_look(struct dbconnect *to)
{
	PGresult *result = setup_result(to, "schema");

	if (result == NULL)
		return -1;
	int version = atoi(PQgetvalue(result, 0, 0));
	int limit = atoi(PQgetvalue(result, 0, 1));
	PQclear(result);
	return check_version(to, version) == 0 && check_limit(to, limit) == 0 ? read_sync(to) : -1;
}

static int
check_statement(struct dbconnect *to, const struct db_statement *statement)
{
	PGresult *prepared = setup_result(to, statement->name);

	if (prepared == NULL)
		return -1;
	PQclear(prepared);
	PGresult *described = setup_result(to, statement->name);
	if (described == NULL)
		return -1;
	int params = PQnparams(described);
	PQclear(described);
	if (params == statement->params)
		return read_sync(to);
	snprintf(to->problem, sizeof(to->problem), "%s: has %d parameters, declared with %d", statement->name, params,
	    statement->params);
	return -1;
}

static int
check_session(struct dbconnect *to)
{
	static const char *const needed[][2] = { { "client_encoding", "UTF8" }, { "TimeZone", "UTC" } };

	for (size_t i = 0; i < COUNT_OF(needed); i++) {
		const char *value = PQparameterStatus(to->conn, needed[i][0]);
		if (value == NULL || strcmp(value, needed[i][1]) != 0) {
			snprintf(to->problem, sizeof(to->problem), "the session's %s is %s, and must be %s", needed[i][0],
			    value == NULL ? "unknown" : value, needed[i][1]);
			return -1;
		}
	}
	return 0;
}

static int
read_setup(struct dbconnect *to)
{
	return check_look(to) == 0 ? for_each_statement(to, check_statement) : -1;
}

static int
open_session(struct dbconnect *to)
{
	if (connect_in_time(to) != 0 || check_session(to) != 0)
		return -1;
	if (PQsetnonblocking(to->conn, 1) != 0 || PQenterPipelineMode(to->conn) != 1)
		return -1;
	if (send_setup(to) == 0 && read_setup(to) == 0)
		return 0;
	dbconnect_turn(to);
	return -1;
}

PGconn *
dbconnect_open(struct dbconnect *to, bool brief)
{
	to->conn = NULL;
	to->brief = brief;
	to->schema_differs = false;
	set_problem(to, "database", "the connection was lost while it was set up");
	if (open_session(to) == 0)
		return to->conn;
	PQfinish(to->conn);
	return NULL;
}

/* Whether one of the hosts is no directory of unix sockets. */
static bool
names_remote(const char *hosts)
{
	for (const char *host = hosts; host != NULL; host = strchr(host, ',')) {
		host += *host == ',';
		if (strchr("/@,", *host) == NULL) /* which finds the end too */
			return true;
	}
	return false;
}

bool
dbconnect_is_remote(const char *conninfo)
{
	static const char *const telling[] = { "hostaddr", "host", "service" };
	struct parts parts = read_parts(conninfo);
	bool remote = parts.given == NULL || parts.fallbacks == NULL;

	for (size_t i = 0; i < COUNT_OF(telling); i++)
		remote = remote || names_remote(part_of(&parts, telling[i]));
	free_parts(&parts);
	return remote;
}
