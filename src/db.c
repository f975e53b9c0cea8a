#include "db.h"

#include <assert.h>
#include <errno.h>
#include <libpq-fe.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

#include "arena.h"
#include "clock.h"
#include "conninfo.h"
#include "log.h"
#include "metrics.h"
#include "trouble.h"

enum {
	MAX_OPTIONS = 4400,     /* more than a connection string may hold */
	MAX_HOST = 256,
	CLIENT_GRACE = 300,     /* milliseconds that the client waits longer than the server's statement_timeout */
	PACE_OF = 8,            /* transactions, in the moving average */
	BACKOFF_FIRST = 50000,  /* microseconds until the second attempt to connect; doubled up to BACKOFF_MOST */
	BACKOFF_MOST = 500000
};

/* The type ids of pg_type.dat that are not written as JSON strings; they are fixed for ever. */
enum { OID_BOOL = 16, OID_INT8 = 20, OID_INT2 = 21, OID_INT4 = 23, OID_JSON = 114, OID_FLOAT4 = 700, OID_FLOAT8 = 701,
       OID_TIMESTAMPTZ = 1184, OID_JSONB = 3802 };

enum item { ITEM_SILENT, ITEM_STATEMENT, ITEM_COMMIT };

struct db {
	struct db_settings settings;
	PGconn *conn;
	int host;       /* of those in the connection string, the one to begin with; */
	int hosts;      /* how many there are, as far as is known */
	bool read_only; /* as the server was when it was made */
	bool implicit; /* the transaction ends by itself, where the pipeline does */
	unsigned char queue[DB_MAX_ITEMS]; /* of the transaction that is being made */
	int queued;
	struct db_ticket *first; /* transactions that were sent, in their order */
	struct db_ticket *last;
	uint64_t generation;
	bool broken;          /* something could not be queued: the connection is of no more use */
	int64_t connected_at; /* microseconds, monotonic */
	int64_t retry_at;
	int64_t backoff;
	int64_t deadline; /* of the first */
	int64_t finished_at; /* when the last transaction was done */
	int64_t pace;
	int64_t waited;
	bool schema_differs;
	char problem[512];
};

/*
 * Sets the user, then refuses one who is disabled (JF030): in this order, which CASE keeps, because Row Level Security shows the
 * table's rows only to the user of whom they are.
 */
#define SET_CURRENT_USER \
	"CASE WHEN pg_catalog.set_config('app.current_user_id', $1, true) <> '' THEN" \
	" CASE WHEN jobforge.some_are_disabled() AND EXISTS (SELECT FROM jobforge.disabled_users AS d" \
	" WHERE d.user_id = nullif($1, '')::pg_catalog.uuid) THEN jobforge.account_disabled() END END"

static const struct db_statement transaction_statements[] = {
	{ "begin_snapshot", "BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY", 0 },
	{ "begin", "BEGIN", 0 }, /* READ WRITE would overrule whoever has made the server read-only */
	{ "set_reader", "SELECT " SET_CURRENT_USER ", pg_catalog.set_config('transaction_read_only', 'on', true)", 1 },
	{ "set_user", "SELECT " SET_CURRENT_USER, 1 },
	{ "set_writer", "SELECT " SET_CURRENT_USER ", pg_catalog.set_config('app.request_id', $2, true)", 2 },
	{ "commit", "COMMIT", 0 },
	{ "rollback", "ROLLBACK", 0 },
};

enum { BEGIN_SNAPSHOT, BEGIN, SET_READER, SET_USER, SET_WRITER, COMMIT, ROLLBACK };

static void lose(struct db *db);

static void
set_problem(struct db *db, const char *what, const char *why)
{
	snprintf(db->problem, sizeof(db->problem), "%s: %s", what, why);
	db->problem[strcspn(db->problem, "\n")] = '\0';
}

static void
disconnect(struct db *db)
{
	PQfinish(db->conn);
	db->conn = NULL;
	db->queued = 0;
	db->broken = false;
}

/* Waits until the socket is ready for `events`, or the deadline. Returns what is ready; 0 when it is late. */
static int
wait_for(struct db *db, short events)
{
	for (;;) {
		struct pollfd fd = { .fd = PQsocket(db->conn), .events = events };
		int64_t left = (db->deadline - clock_us() + 999) / 1000;
		int ready = poll(&fd, 1, left < 0 ? 0 : (int)left);
		if (ready > 0)
			return fd.revents;
		if (ready < 0 && errno == EINTR)
			continue;
		return 0;
	}
}

/* Sends what libpq holds. 0, or -1 when the connection is lost or the server does not read in time. */
static int
flush_output(struct db *db)
{
	for (;;) {
		int left = PQflush(db->conn);
		if (left == 0)
			return 0;
		if (left < 0)
			return -1;
		int ready = wait_for(db, POLLIN | POLLOUT);
		if (ready == 0)
			return -1;
		/* A server that is blocked on writing to us reads nothing: take its output first. */
		if ((ready & POLLIN) && PQconsumeInput(db->conn) == 0)
			return -1;
	}
}

/* The next result in *result (NULL: the end of a statement's results). -1: lost, or late. */
static int
next_result(struct db *db, PGresult **result)
{
	while (PQisBusy(db->conn)) {
		if (wait_for(db, POLLIN) == 0 || PQconsumeInput(db->conn) == 0)
			return -1;
	}
	*result = PQgetResult(db->conn);
	return 0;
}

/* Drops the rest of the results of the current statement. */
static int
skip_results(struct db *db)
{
	PGresult *result;

	for (;;) {
		if (next_result(db, &result) != 0)
			return -1;
		if (result == NULL)
			return 0;
		PQclear(result);
	}
}

static int
read_sync(struct db *db)
{
	PGresult *result;

	if (next_result(db, &result) != 0 || result == NULL)
		return -1;
	ExecStatusType status = PQresultStatus(result);
	PQclear(result);
	return status == PGRES_PIPELINE_SYNC ? 0 : -1;
}

/* ---- connecting ---- */

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
	char host[MAX_HOST];
	char hostaddr[MAX_HOST];
	char port[MAX_HOST];
};

static const char *
part_of(const PQconninfoOption *parts, const char *keyword)
{
	for (const PQconninfoOption *part = parts; part != NULL && part->keyword != NULL; part++)
		if (strcmp(part->keyword, keyword) == 0 && part->val != NULL)
			return part->val;
	return "";
}

/*
 * Chooses one host of several, and returns how many there are. libpq would go through them by itself, but it has no time
 * limit for each when it is not to block, and a machine that does not answer would keep it from those after it.
 */
static int
choose_host(struct target *target, const PQconninfoOption *parts, int number)
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

static PGconn *
start_connection(struct db *db)
{
	const struct db_settings *settings = &db->settings;
	struct target target = { 0 };
	const char *names[] = { "fallback_application_name", "dbname", "client_encoding", "options", "host", "hostaddr",
		"port", NULL };
	const char *values[] = { "jobforged", settings->conninfo, "UTF8", target.options, target.host, target.hostaddr,
		target.port, NULL }; /* an empty one changes nothing */
	PQconninfoOption *parts = PQconninfoParse(settings->conninfo, NULL);

	db->hosts = choose_host(&target, parts, db->host);
	/* The session begins with its time limit: set later, it would be the state of whatever session a pooler has lent. */
	snprintf(target.options, sizeof(target.options), "%s -c statement_timeout=%d", part_of(parts, "options"),
	    settings->statement_timeout);
	PQconninfoFree(parts);
	return PQconnectStartParams(names, values, 1);
}

static int
connect_to_host(struct db *db)
{
	PostgresPollingStatusType state = PGRES_POLLING_WRITING;

	disconnect(db);
	db->conn = start_connection(db);
	if (db->conn == NULL) {
		set_problem(db, "database", "out of memory");
		return -1;
	}
	(void)PQsetNoticeProcessor(db->conn, log_notice, NULL);
	while (PQstatus(db->conn) != CONNECTION_BAD) {
		if (state == PGRES_POLLING_OK)
			return 0;
		if (state == PGRES_POLLING_FAILED)
			break;
		if (wait_for(db, state == PGRES_POLLING_READING ? POLLIN : POLLOUT) == 0) {
			set_problem(db, "database", "no answer to the connection attempt in time");
			return -1;
		}
		state = PQconnectPoll(db->conn);
	}
	set_problem(db, "database", PQerrorMessage(db->conn));
	return -1;
}

static void
turn_to_next_host(struct db *db)
{
	db->host = (db->host + 1) % db->hosts;
}

/* Begins with the host of the last connection. One that took all the time is the last to be tried again. */
static int
connect_in_time(struct db *db)
{
	int tried = 0;

	db->deadline = clock_us() + (int64_t)db->settings.connect_timeout * 1000;
	do {
		if (connect_to_host(db) == 0)
			return 0;
		turn_to_next_host(db);
	} while (++tried < db->hosts && clock_us() < db->deadline);
	return -1;
}

/*
 * Each statement is followed by a Sync of its own, for PgBouncer: what its connection to the server has prepared already it answers
 * by itself, and 1.24 puts that answer into the middle of another, unless the one before was to a Sync.
 */
static int
send_statement(struct db *db, const struct db_statement *statement)
{
	return PQsendPrepare(db->conn, statement->name, statement->sql, 0, NULL) == 1 &&
	    PQsendDescribePrepared(db->conn, statement->name) == 1 && PQpipelineSync(db->conn) == 1 ? 0 : -1;
}

/* Queues what each session needs: a look at it, and every statement. */
static int
send_setup(struct db *db)
{
	static const char look[] =
	    "SELECT coalesce(max(version), 0), extract(epoch FROM 1000 * current_setting('statement_timeout')::interval)::int"
	    " FROM jobforge.schema_migrations";

	if (PQsendQueryParams(db->conn, look, 0, NULL, NULL, NULL, NULL, 0) != 1 || PQpipelineSync(db->conn) != 1)
		return -1;
	for (size_t i = 0; i < COUNT_OF(transaction_statements); i++)
		if (send_statement(db, &transaction_statements[i]) != 0)
			return -1;
	for (const struct db_statement *const *table = db->settings.tables; *table != NULL; table++)
		for (const struct db_statement *s = *table; s->name != NULL; s++)
			if (send_statement(db, s) != 0)
				return -1;
	db->deadline = clock_us() + (int64_t)db->settings.statement_timeout * 1000;
	return flush_output(db);
}

/* Reads one answer of the setup; the first failure is the one to tell. */
static PGresult *
setup_result(struct db *db, const char *what)
{
	PGresult *result;

	if (next_result(db, &result) != 0 || result == NULL) {
		set_problem(db, what, "the connection was lost");
		return NULL;
	}
	ExecStatusType status = PQresultStatus(result);
	if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK) {
		const char *sqlstate = PQresultErrorField(result, PG_DIAG_SQLSTATE);
		set_problem(db, what, PQresultErrorMessage(result));
		/* No ledger, or no table or column for a statement. */
		db->schema_differs = sqlstate != NULL &&
		    (strcmp(sqlstate, "42P01") == 0 || strcmp(sqlstate, "3F000") == 0 || strcmp(sqlstate, "42703") == 0);
		PQclear(result);
		return NULL;
	}
	if (skip_results(db) != 0) {
		set_problem(db, what, "the connection was lost");
		PQclear(result);
		return NULL;
	}
	return result;
}

static int
check_version(struct db *db, int version)
{
	if (version == db->settings.schema_version)
		return 0;
	snprintf(db->problem, sizeof(db->problem), "schema: the database is at version %d, this program needs %d; %s",
	    version, db->settings.schema_version,
	    version < db->settings.schema_version ? "run jobforgectl migrate" : "install the newer program");
	db->schema_differs = true;
	return -1;
}

/* A pooler may have ignored the options that the session was to begin with. */
static int
check_limit(struct db *db, int milliseconds)
{
	if (milliseconds == db->settings.statement_timeout)
		return 0;
	snprintf(db->problem, sizeof(db->problem),
	    "the session's statement_timeout is %d ms, and must be %d; a pooler has to set it", milliseconds,
	    db->settings.statement_timeout);
	return -1;
}

static int
check_look(struct db *db)
{
	PGresult *result = setup_result(db, "schema");

	if (result == NULL)
		return -1;
	int version = atoi(PQgetvalue(result, 0, 0));
	int limit = atoi(PQgetvalue(result, 0, 1));
	PQclear(result);
	return check_version(db, version) == 0 && check_limit(db, limit) == 0 ? read_sync(db) : -1;
}

static int
check_statement(struct db *db, const struct db_statement *statement)
{
	PGresult *prepared = setup_result(db, statement->name);

	if (prepared == NULL)
		return -1;
	PQclear(prepared);
	PGresult *described = setup_result(db, statement->name);
	if (described == NULL)
		return -1;
	int params = PQnparams(described);
	PQclear(described);
	if (params == statement->params)
		return read_sync(db);
	snprintf(db->problem, sizeof(db->problem), "%s: has %d parameters, declared with %d", statement->name, params,
	    statement->params);
	return -1;
}

static int
check_session(struct db *db)
{
	static const char *const needed[][2] = { { "client_encoding", "UTF8" }, { "TimeZone", "UTC" } };

	for (size_t i = 0; i < COUNT_OF(needed); i++) {
		const char *value = PQparameterStatus(db->conn, needed[i][0]);
		if (value == NULL || strcmp(value, needed[i][1]) != 0) {
			snprintf(db->problem, sizeof(db->problem), "the session's %s is %s, and must be %s", needed[i][0],
			    value == NULL ? "unknown" : value, needed[i][1]);
			return -1;
		}
	}
	return 0;
}

static int
read_setup(struct db *db)
{
	if (check_look(db) != 0)
		return -1;
	for (size_t i = 0; i < COUNT_OF(transaction_statements); i++)
		if (check_statement(db, &transaction_statements[i]) != 0)
			return -1;
	for (const struct db_statement *const *table = db->settings.tables; *table != NULL; table++)
		for (const struct db_statement *s = *table; s->name != NULL; s++)
			if (check_statement(db, s) != 0)
				return -1;
	return 0;
}

/* The server has told that it writes no more: a standby, or a primary that another has taken the place of. */
static bool
is_read_only(const PGconn *conn)
{
	static const char *const reported[] = { "in_hot_standby", "default_transaction_read_only" };

	for (size_t i = 0; i < COUNT_OF(reported); i++) {
		const char *value = PQparameterStatus(conn, reported[i]);
		if (value != NULL && strcmp(value, "on") == 0)
			return true;
	}
	return false;
}

/* It then answers from what may be old, while another takes the writes. An idle session tells with its first answer. */
static bool
has_turned(const struct db *db)
{
	return is_read_only(db->conn) != db->read_only;
}

static int
db_connect(struct db *db)
{
	db->schema_differs = false;
	snprintf(db->problem, sizeof(db->problem), "database: the connection was lost while it was set up");
	if (connect_in_time(db) != 0 || check_session(db) != 0)
		return -1;
	if (PQsetnonblocking(db->conn, 1) != 0 || PQenterPipelineMode(db->conn) != 1)
		return -1;
	if (send_setup(db) != 0 || read_setup(db) != 0) {
		turn_to_next_host(db);
		return -1;
	}
	db->read_only = is_read_only(db->conn);
	db->connected_at = clock_us();
	db->generation++;
	db->backoff = 0;
	meter_connect(db->settings.meter, true);
	return 0;
}

static void
note_failure(struct db *db)
{
	trouble_note(db->settings.troubles, TROUBLE_DATABASE, "%s", db->problem);
	disconnect(db);
	meter_connect(db->settings.meter, false);
	db->backoff = db->backoff == 0 ? BACKOFF_FIRST : db->backoff * 2;
	if (db->backoff > BACKOFF_MOST)
		db->backoff = BACKOFF_MOST;
	db->retry_at = clock_us() + db->backoff;
}

struct db *
db_new(const struct db_settings *settings)
{
	struct db *db = calloc(1, sizeof(*db));

	if (db == NULL) {
		log_write(LOG_LEVEL_ERROR, "memory", "out of memory for the database connection");
		exit(70);
	}
	db->settings = *settings;
	db->hosts = 1;
	return db;
}

void
db_free(struct db *db)
{
	if (db == NULL)
		return;
	disconnect(db);
	free(db);
}

/* Looks before use, without a round trip: what an idle server says is its farewell, and a closed socket is readable too.
 * Should it ever be a notice, a new connection costs little. While answers are awaited, their absence will tell. */
static bool
is_alive(struct db *db)
{
	struct pollfd fd = { .fd = PQsocket(db->conn), .events = POLLIN };

	if (db->broken || PQstatus(db->conn) != CONNECTION_OK || has_turned(db))
		return false;
	return db->first != NULL || poll(&fd, 1, 0) == 0;
}

static bool
is_old(const struct db *db)
{
	return db->settings.connection_lifetime > 0 && db->first == NULL &&
	    clock_us() - db->connected_at > (int64_t)db->settings.connection_lifetime * 1000000;
}

int
db_ready(struct db *db)
{
	bool failing = db->backoff > 0;
	bool alive = db->conn != NULL && is_alive(db);

	if (alive && !is_old(db)) {
		trouble_passed(db->settings.troubles, TROUBLE_DATABASE);
		return 0;
	}
	if (db->first != NULL) {
		lose(db);
	} else if (db->conn != NULL) {
		meter_disconnect(db->settings.meter, alive ? DISCONNECT_OLD : DISCONNECT_IDLE);
		disconnect(db);
	}
	if (failing && clock_us() < db->retry_at)
		return -1;
	if (db_connect(db) != 0) {
		note_failure(db);
		return -1;
	}
	return 0;
}

const char *
db_problem(const struct db *db)
{
	return db->problem;
}

bool
db_schema_differs(const struct db *db)
{
	return db->schema_differs;
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
db_is_remote(const struct db *db)
{
	static const char *const telling[] = { "hostaddr", "host", "service" };
	PQconninfoOption *given = PQconninfoParse(db->settings.conninfo, NULL);
	PQconninfoOption *fallbacks = PQconndefaults(); /* of the environment */
	bool remote = given == NULL || fallbacks == NULL;

	for (size_t i = 0; i < COUNT_OF(telling); i++) {
		const char *value = part_of(given, telling[i]);
		remote = remote || names_remote(*value != '\0' ? value : part_of(fallbacks, telling[i]));
	}
	PQconninfoFree(given);
	PQconninfoFree(fallbacks);
	return remote;
}

/* ---- transactions ---- */

static void
enqueue(struct db *db, enum item item, const struct db_statement *statement, const struct db_param params[])
{
	const char *values[DB_MAX_PARAMS];
	int lengths[DB_MAX_PARAMS];
	int formats[DB_MAX_PARAMS];

	for (int i = 0; i < statement->params; i++) {
		values[i] = params[i].data; /* NOLINT(clang-analyzer-core.NullDereference): those without have none */
		lengths[i] = (int)params[i].len;
		formats[i] = params[i].binary;
	}
	if (db->broken || db->queued == DB_MAX_ITEMS ||
	    PQsendQueryPrepared(db->conn, statement->name, statement->params, values, lengths, formats, 0) != 1) {
		db->broken = true;
		return;
	}
	db->queue[db->queued++] = (unsigned char)item;
}

void
db_begin(struct db *db, enum db_mode mode, const char *user_id, const char *request_id)
{
	static const int begin[] = { [DB_SNAPSHOT] = BEGIN_SNAPSHOT, [DB_READ_WRITE] = BEGIN };
	static const int context[] = { [DB_READ_ONLY] = SET_READER, [DB_SNAPSHOT] = SET_USER, [DB_READ_WRITE] = SET_WRITER };
	const struct db_param params[] = { DB_TEXT(user_id == NULL ? "" : user_id), DB_TEXT(request_id) };

	db->implicit = mode == DB_READ_ONLY;
	if (!db->implicit)
		enqueue(db, ITEM_SILENT, &transaction_statements[begin[mode]], NULL);
	enqueue(db, ITEM_SILENT, &transaction_statements[context[mode]], params);
}

void
db_send(struct db *db, const struct db_statement *statement, const struct db_param params[])
{
	enqueue(db, ITEM_STATEMENT, statement, params);
}

static void
release_result(void *result)
{
	PQclear(result);
}

static const char *
field_or_empty(const PGresult *result, int field)
{
	const char *value = PQresultErrorField(result, field);
	return value == NULL ? "" : value;
}

/* FATAL ends the session. The severity is a word of the server's language, but for a field that poolers leave out. */
static bool
is_fatal(const PGresult *result)
{
	const char *severity = PQresultErrorField(result, PG_DIAG_SEVERITY_NONLOCALIZED);

	if (severity == NULL)
		severity = field_or_empty(result, PG_DIAG_SEVERITY);
	return strcmp(severity, "FATAL") == 0 || strcmp(severity, "PANIC") == 0;
}

static enum db_outcome
outcome_of(const char *sqlstate)
{
	static const struct {
		const char *sqlstate;
		enum db_outcome outcome;
	} outcomes[] = {
		{ "40001", DB_RETRY }, { "40P01", DB_RETRY }, { "55P03", DB_TIMEOUT }, { "57014", DB_TIMEOUT },
		{ "25006", DB_LOST }, /* a standby: a failover has happened, connect anew */
	};

	for (size_t i = 0; i < COUNT_OF(outcomes); i++)
		if (strcmp(sqlstate, outcomes[i].sqlstate) == 0)
			return outcomes[i].outcome;
	return sqlstate[0] == '\0' ? DB_LOST : DB_REFUSED;
}

/* Keeps the first error; those after it are only "aborted". */
static void
note_error(struct db_reply *reply, PGresult *result)
{
	if (reply->outcome != DB_OK)
		return;
	snprintf(reply->error.sqlstate, sizeof(reply->error.sqlstate), "%s", field_or_empty(result, PG_DIAG_SQLSTATE));
	reply->error.constraint = field_or_empty(result, PG_DIAG_CONSTRAINT_NAME);
	reply->error.message = field_or_empty(result, PG_DIAG_MESSAGE_PRIMARY);
	reply->outcome = is_fatal(result) ? DB_LOST : outcome_of(reply->error.sqlstate);
}

/* Takes the first result of an item. -1: nothing that comes after it can be believed. */
static int
take_result(struct db_ticket *ticket, PGresult *result)
{
	struct db_reply *reply = &ticket->reply;
	unsigned char item = ticket->items[ticket->answered++];

	ticket->in_item = true;
	switch (PQresultStatus(result)) {
	case PGRES_TUPLES_OK:
	case PGRES_COMMAND_OK:
		if (item == ITEM_STATEMENT)
			reply->results[reply->count++] = (const struct db_result *)result;
		return item == ITEM_COMMIT && strcmp(PQcmdStatus(result), "COMMIT") != 0 ? -1 : 0;
	case PGRES_PIPELINE_ABORTED:
		return 0;
	case PGRES_PIPELINE_SYNC:
		return -1;
	default:
		note_error(reply, result);
		return 0;
	}
}

/* Reads what has come of the ticket. 1: all of it; 0: there is more to come; -1: there is not. */
static int
read_ticket(struct db *db, struct db_ticket *ticket)
{
	while (PQisBusy(db->conn) == 0) {
		PGresult *result = PQgetResult(db->conn);
		if (result != NULL)
			arena_defer(ticket->arena, release_result, result);
		if (ticket->in_item) {
			/* A result at a time, and then NULL; further ones are passed over. */
			ticket->in_item = result != NULL;
			continue;
		}
		if (result == NULL)
			return -1;
		if (ticket->answered == ticket->item_count)
			return PQresultStatus(result) == PGRES_PIPELINE_SYNC ? 1 : -1;
		if (take_result(ticket, result) != 0)
			return -1;
	}
	return PQstatus(db->conn) == CONNECTION_OK ? 0 : -1;
}

/* Since when the server has been at the first: they are answered in turn. */
static int64_t
begun_at(const struct db *db)
{
	return db->finished_at > db->first->sent_at ? db->finished_at : db->first->sent_at;
}

static void
finish_first(struct db *db)
{
	struct db_ticket *ticket = db->first;
	int64_t now = clock_us();

	db->pace += (now - begun_at(db) - db->pace) / PACE_OF;
	db->finished_at = now;

	db->first = ticket->next;
	if (db->first == NULL)
		db->last = NULL;
	ticket->done = true;
	ticket->taken = now - ticket->sent_at;
	meter_round_trip(db->settings.meter, ticket->taken);
}

/* The end of the connection, and of all that was under way on it. */
static void
lose(struct db *db)
{
	bool late = clock_us() >= db->deadline;

	log_write(LOG_LEVEL_WARNING, "database", "%s; the connection is dropped",
	    late ? "no answer in time" : "the connection was lost during a transaction");
	meter_disconnect(db->settings.meter, late ? DISCONNECT_LATE : DISCONNECT_LOST);
	disconnect(db);
	if (late)
		turn_to_next_host(db);
	while (db->first != NULL) {
		db->first->reply.outcome = DB_LOST;
		db->first->reply.late = late;
		finish_first(db);
	}
}

static int64_t
next_deadline(const struct db *db)
{
	return clock_us() + (int64_t)(db->settings.statement_timeout + CLIENT_GRACE) * 1000;
}

/* What was read may be asked of the new primary; what was committed has been. */
static bool
is_stale(const struct db *db, const struct db_ticket *ticket)
{
	return ticket->items[ticket->item_count - 1] != ITEM_COMMIT && has_turned(db);
}

/* Reads all that has come. */
static void
read_tickets(struct db *db)
{
	while (db->first != NULL) {
		int read = read_ticket(db, db->first);
		if (read == 0)
			return;
		if (read < 0 || db->first->reply.outcome == DB_LOST || is_stale(db, db->first))
			return lose(db);
		finish_first(db);
		db->deadline = next_deadline(db);
	}
}

void
db_receive(struct db *db)
{
	if (db->first == NULL)
		return;
	if (PQconsumeInput(db->conn) == 0 || clock_us() >= db->deadline)
		return lose(db);
	read_tickets(db);
}

void
db_wait(struct db *db)
{
	const struct db_ticket *oldest = db->first;

	while (oldest != NULL && !oldest->done) {
		if (wait_for(db, POLLIN) == 0)
			lose(db);
		else
			db_receive(db);
	}
}

int
db_patience(const struct db *db)
{
	int64_t left = (db->deadline - clock_us() + 999) / 1000;

	return db->first == NULL ? -1 : left < 0 ? 0 : (int)left;
}

int64_t
db_pace(const struct db *db)
{
	int64_t under_way = db->first == NULL ? 0 : clock_us() - begun_at(db);

	return under_way > db->pace ? under_way : db->pace;
}

int
db_socket(const struct db *db, uint64_t *generation)
{
	*generation = db->generation;
	return db->conn == NULL ? -1 : PQsocket(db->conn);
}

/* Ends what is queued with a Sync, and sends it. */
static void
send_ticket(struct db *db, struct db_ticket *ticket, struct arena *arena)
{
	*ticket = (struct db_ticket){ .arena = arena, .sent_at = clock_us(), .item_count = db->queued };
	ticket->reply = (struct db_reply){ .outcome = DB_OK, .error = { .constraint = "", .message = "" } };
	memcpy(ticket->items, db->queue, sizeof(ticket->items));
	db->queued = 0;
	if (db->first == NULL) {
		db->first = ticket;
		db->deadline = next_deadline(db);
	} else {
		db->last->next = ticket;
	}
	db->last = ticket;
	if (db->broken || PQpipelineSync(db->conn) != 1 || flush_output(db) != 0)
		lose(db);
}

static struct db_reply exchange(struct db *db, struct arena *arena, PGTransactionStatusType expected);

/* Ends a failed transaction, so that nothing of it is left for the next user. */
static void
roll_back(struct db *db, struct arena *arena)
{
	db->queued = 0;
	enqueue(db, ITEM_SILENT, &transaction_statements[ROLLBACK], NULL);
	struct db_reply reply = exchange(db, arena, PQTRANS_IDLE);
	if (reply.outcome != DB_OK)
		disconnect(db);
}

/* Sends what is queued and waits for its answers. */
static struct db_reply
exchange(struct db *db, struct arena *arena, PGTransactionStatusType expected)
{
	struct db_ticket ticket;

	send_ticket(db, &ticket, arena);
	while (!ticket.done)
		db_wait(db);
	db->waited += ticket.taken;
	if (ticket.reply.outcome == DB_LOST)
		return ticket.reply;
	if (ticket.reply.outcome != DB_OK && PQtransactionStatus(db->conn) != PQTRANS_IDLE) {
		roll_back(db, arena);
	} else if (ticket.reply.outcome == DB_OK && PQtransactionStatus(db->conn) != expected) {
		lose(db);
		ticket.reply.outcome = DB_LOST;
	}
	return ticket.reply;
}

void
db_commit_later(struct db *db, struct db_ticket *ticket, struct arena *arena)
{
	assert(db->implicit);
	send_ticket(db, ticket, arena);
}

struct db_reply
db_flush(struct db *db, struct arena *arena)
{
	assert(!db->implicit);
	return exchange(db, arena, PQTRANS_INTRANS);
}

struct db_reply
db_commit(struct db *db, struct arena *arena)
{
	if (!db->implicit)
		enqueue(db, ITEM_COMMIT, &transaction_statements[COMMIT], NULL);
	return exchange(db, arena, PQTRANS_IDLE);
}

void
db_abandon(struct db *db, struct arena *arena)
{
	if (db->conn != NULL && PQtransactionStatus(db->conn) != PQTRANS_IDLE)
		roll_back(db, arena);
}

int64_t
db_time_taken(struct db *db)
{
	int64_t waited = db->waited;

	db->waited = 0;
	return waited;
}

/* ---- results ---- */

static const PGresult *
result_of(const struct db_result *result)
{
	return (const PGresult *)result;
}

int
db_rows(const struct db_result *result)
{
	return PQntuples(result_of(result));
}

int
db_columns(const struct db_result *result)
{
	return PQnfields(result_of(result));
}

const char *
db_name(const struct db_result *result, int column)
{
	return PQfname(result_of(result), column);
}

enum db_type
db_type(const struct db_result *result, int column)
{
	switch (PQftype(result_of(result), column)) {
	case OID_BOOL:
		return DB_TYPE_BOOL;
	case OID_INT2:
	case OID_INT4:
	case OID_INT8:
	case OID_FLOAT4:
	case OID_FLOAT8:
		return DB_TYPE_NUMBER;
	case OID_TIMESTAMPTZ:
		return DB_TYPE_TIME;
	case OID_JSON:
	case OID_JSONB:
		return DB_TYPE_JSON;
	default:
		return DB_TYPE_TEXT;
	}
}

int
db_column(const struct db_result *result, const char *name)
{
	return PQfnumber(result_of(result), name);
}

struct slice
db_value(const struct db_result *result, int row, int column)
{
	const PGresult *rows = result_of(result);

	if (PQgetisnull(rows, row, column))
		return (struct slice){ NULL, 0 };
	return (struct slice){ PQgetvalue(rows, row, column), (size_t)PQgetlength(rows, row, column) };
}

struct slice
db_get(const struct db_result *result, int row, const char *name)
{
	int column = db_column(result, name);

	return column < 0 ? (struct slice){ NULL, 0 } : db_value(result, row, column);
}
