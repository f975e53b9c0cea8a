#include "db.h"

#include <assert.h>
#include <libpq-fe.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

#include "arena.h"
#include "clock.h"
#include "dbconnect.h"
#include "dbsocket.h"
#include "log.h"
#include "metrics.h"
#include "trouble.h"

enum {
	CLIENT_GRACE = 300,     /* milliseconds that the client waits longer than the server's statement_timeout */
	PACE_OF = 8,            /* transactions, in the moving average */
	BACKOFF_FIRST = 50000,  /* microseconds until the second attempt to connect; doubled up to BACKOFF_MOST */
	BACKOFF_MOST = 500000,
	RENEWAL_PAUSE = 60 /* seconds until another attempt to take the place of a connection that is old */
};

#define SECOND 1000000 /* microseconds */

enum item { ITEM_SILENT, ITEM_STATEMENT, ITEM_COMMIT };

struct db {
	struct db_settings settings;
	PGconn *conn;
	struct dbconnect connect;
	bool read_only; /* as the server was when it was made */
	bool implicit;  /* the transaction ends by itself, where the pipeline does */
	unsigned char queue[DB_MAX_ITEMS]; /* of the transaction that is being made */
	int queued;
	struct db_ticket *first; /* transactions that were sent, in their order */
	struct db_ticket *last;
	uint64_t generation;
	bool broken;          /* something could not be queued: the connection is of no more use */
	int64_t renew_at;     /* microseconds, monotonic */
	int64_t retry_at;
	int64_t backoff;
	int64_t deadline;     /* of the first */
	int64_t finished_at;  /* when the last transaction was done */
	int64_t pace;
	int64_t waited;
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
	{ 0 },
};

enum { BEGIN_SNAPSHOT, BEGIN, SET_READER, SET_USER, SET_WRITER, COMMIT, ROLLBACK };

static void lose(struct db *db);

static void
disconnect(struct db *db)
{
	PQfinish(db->conn);
	db->conn = NULL;
	db->queued = 0;
	db->broken = false;
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
connect_anew(struct db *db, bool brief)
{
	PGconn *conn = dbconnect_open(&db->connect, brief);

	if (conn == NULL)
		return -1;
	disconnect(db);
	db->conn = conn;
	db->read_only = is_read_only(db->conn);
	db->renew_at = clock_us() + (int64_t)db->settings.connection_lifetime * SECOND;
	db->generation++;
	db->backoff = 0;
	meter_connect(db->settings.meter, true);
	return 0;
}

static void
note_failure(struct db *db)
{
	trouble_note(db->settings.troubles, TROUBLE_DATABASE, "%s", db->connect.problem);
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
	db->connect = (struct dbconnect){ .settings = &db->settings, .statements = transaction_statements, .hosts = 1 };
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
	return db->settings.connection_lifetime > 0 && db->first == NULL && clock_us() > db->renew_at;
}

/* The old one is good as long as there is no other: what keeps new ones from being made is no reason to stop, nor to be late with the
 * request that it may be for. */
static void
renew(struct db *db)
{
	if (connect_anew(db, true) == 0) {
		meter_disconnect(db->settings.meter, DISCONNECT_OLD);
		return;
	}
	meter_connect(db->settings.meter, false);
	log_write(LOG_LEVEL_WARNING, "database", "the connection stays after its lifetime, for want of another: %s", db->connect.problem);
	db->renew_at = clock_us() + (int64_t)RENEWAL_PAUSE * SECOND;
}

int
db_ready(struct db *db)
{
	bool failing = db->backoff > 0;
	bool alive = db->conn != NULL && is_alive(db);

	if (alive) {
		if (is_old(db))
			renew(db);
		trouble_passed(db->settings.troubles, TROUBLE_DATABASE);
		return 0;
	}
	if (db->first != NULL) {
		lose(db);
	} else if (db->conn != NULL) {
		meter_disconnect(db->settings.meter, DISCONNECT_IDLE);
		disconnect(db);
	}
	if (failing && clock_us() < db->retry_at)
		return -1;
	if (connect_anew(db, false) != 0) {
		note_failure(db);
		return -1;
	}
	return 0;
}

const char *
db_problem(const struct db *db)
{
	return db->connect.problem;
}

bool
db_schema_differs(const struct db *db)
{
	return db->connect.schema_differs;
}

bool
db_is_remote(const struct db *db)
{
	return dbconnect_is_remote(db->settings.conninfo);
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
		dbconnect_turn(&db->connect);
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
		if (dbsocket_wait(db->conn, POLLIN, db->deadline) == 0)
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
	if (db->broken || PQpipelineSync(db->conn) != 1 || dbsocket_flush(db->conn, db->deadline) != 0)
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
