/*
 * A worker's connection to PostgreSQL: one transaction is one round trip of the pipeline. libpq is known to the files of src/db*
 * alone: transactions are in db.c, rows in dbresult.c, connecting in dbconnect.c, waiting in dbsocket.c; dbtool.c is the
 * operator's tool's.
 *
 *     db_begin(); db_send(); ...; db_commit()
 *
 * queues BEGIN, the user of Row Level Security, the statements and COMMIT, sends all at once and reads all answers. Nothing
 * is believed before COMMIT's own answer. After each transaction the connection is idle, or it is dropped and made anew.
 *
 * What only reads, in one round trip, has neither BEGIN nor COMMIT, which would be a tenth of the server's work: PostgreSQL makes one
 * transaction of all between two Syncs of the extended protocol ("Pipelining" in its manual's chapter on the protocol).
 */
#ifndef JOBFORGE_DB_H
#define JOBFORGE_DB_H

#include "base.h"

struct arena;
struct db;
struct meter;
struct troubles;
struct db_result; /* the rows of one statement, until the arena is reset */

/* A statement, prepared once per connection. Tables of them end with a row without a name. */
struct db_statement {
	const char *name; /* unique over the program */
	const char *sql;
	int params; /* how many $n it has; checked when it is prepared */
};

struct db_settings {
	const char *conninfo;
	int connect_timeout;     /* milliseconds */
	int statement_timeout;   /* milliseconds, on the server; the client gives up a little later */
	int connection_lifetime; /* seconds; 0: for ever */
	int schema_version;      /* what jobforge.schema_migrations must say */
	const struct meter *meter; /* NULL: nothing is counted */
	struct troubles *troubles; /* NULL: a failed connection is told by db_problem() alone */
	const struct db_statement *const *tables; /* of statements; NULL-terminated */
};

/* Remembers the settings (which stay the caller's and outlive it); does not connect. */
struct db *db_new(const struct db_settings *settings);

/* Closes the connection and frees it. */
void db_free(struct db *db);

/*
 * Whether the connection can take a transaction now: looks at the socket without a round trip, and (re)connects when it is
 * closed or absent, at most every so often while the server is away. One that is too old it replaces, if it can. 0, or -1 with the reason in db_problem().
 */
int db_ready(struct db *db);

/* Whether connecting takes more than unix sockets. */
bool db_is_remote(const struct db *db);

/* Why db_ready() last failed, as a sentence for the operator (never for a client). */
const char *db_problem(const struct db *db);

/* Whether the last failure was a schema that this program was not built for. */
bool db_schema_differs(const struct db *db);

enum db_mode {
	DB_READ_ONLY, /* one round trip: db_commit() without db_flush() */
	DB_SNAPSHOT,  /* read-only, and all statements see the same moment, over several db_flush() */
	DB_READ_WRITE
};

struct db_param {
	const char *data; /* NULL: SQL NULL; text is NUL-terminated */
	size_t len;       /* used when binary */
	bool binary;
};

#define DB_TEXT(string) ((struct db_param){ .data = (string) })

enum { DB_MAX_PARAMS = 64, DB_MAX_RESULTS = 12, DB_MAX_ITEMS = DB_MAX_RESULTS + 3 };

enum db_outcome {
	DB_OK,      /* committed (or, from db_flush(), answered) */
	DB_REFUSED, /* the server refused: see error; rolled back, nothing changed */
	DB_RETRY,   /* the server asks to try again (serialisation, deadlock); rolled back */
	DB_TIMEOUT, /* took longer than statement_timeout, or waited too long for a lock; rolled back */
	DB_LOST     /* no connection, or lost before COMMIT's answer: whether it committed is not known */
};

struct db_error {
	char sqlstate[6];        /* "" when the error is libpq's own */
	const char *constraint;  /* name, or "" */
	const char *message;     /* the server's primary message: for the log, and for our own SQLSTATEs (class JF) the client */
};

struct db_reply {
	enum db_outcome outcome;
	struct db_error error;
	bool late;                                     /* lost because no answer came in time: another attempt would take as long */
	int count;                                     /* one for each db_send() since the last flush or begin */
	const struct db_result *results[DB_MAX_RESULTS];
};

/*
 * A transaction that was sent, and its answers as far as they have come. What is in it besides `reply` and `done` is db.c's. It
 * must stay where it is until it is done.
 */
struct db_ticket {
	struct db_reply reply;
	bool done;
	struct arena *arena;          /* keeps the results */
	struct db_ticket *next;
	int64_t sent_at;              /* microseconds, monotonic */
	int64_t taken;                /* from then until it was done */
	unsigned char items[DB_MAX_ITEMS];
	int item_count;
	int answered;                 /* items whose first result has been read */
	bool in_item;                 /* its end has not */
};

/* Queues the beginning and the user of Row Level Security, `user_id` (UUID text; NULL: nobody); in a transaction that writes
 * also the request's id, for the audit log. After db_ready(). */
void db_begin(struct db *db, enum db_mode mode, const char *user_id, const char *request_id);

/* Queues a statement with its `params` (statement->params of them, copied). */
void db_send(struct db *db, const struct db_statement *statement, const struct db_param params[]);

/* Sends what is queued, reads its results into the arena's keeping, and leaves the transaction open: when the outcome is not
 * DB_OK it is over already. */
struct db_reply db_flush(struct db *db, struct arena *arena) MUST_CHECK;

/* Sends what is queued and COMMIT, and reads all results. */
struct db_reply db_commit(struct db *db, struct arena *arena) MUST_CHECK;

/*
 * For what only reads, instead of db_commit(): sends it and does not wait. Its results go into the arena's keeping when they
 * come, after those of all that was sent before; so several requests' statements are under way, and neither side sleeps between
 * two of them. Each is a transaction of its own: none sees another's user or is hurt by another's error.
 */
void db_commit_later(struct db *db, struct db_ticket *ticket, struct arena *arena);

/* Takes what has come, without waiting, and marks the tickets that are done. When the connection is lost, or the oldest
 * ticket's answer is late, all are done with DB_LOST. */
void db_receive(struct db *db);

/* Waits until the oldest ticket is done. */
void db_wait(struct db *db);

/* Milliseconds until db_receive() has to look whether an answer is late; -1 when none is awaited. */
int db_patience(const struct db *db);

/* Microseconds that each transaction has taken of late, the time in which it waited for those before it left out; more, when the
 * one that the server is at has already taken more. */
int64_t db_pace(const struct db *db);

/* The socket to poll, for reading, between calls of db_receive(); -1 when there is none. `generation` is another for each
 * connection: a number of a socket is soon used again. */
int db_socket(const struct db *db, uint64_t *generation);

/* Ends the transaction that db_flush() left open without a trace of it. */
void db_abandon(struct db *db, struct arena *arena);

/* Microseconds spent waiting for the server since the last call of this. */
int64_t db_time_taken(struct db *db);

enum db_type { DB_TYPE_TEXT, DB_TYPE_BOOL, DB_TYPE_NUMBER, DB_TYPE_TIME, DB_TYPE_JSON };

int db_rows(const struct db_result *result);
int db_columns(const struct db_result *result);
const char *db_name(const struct db_result *result, int column);
enum db_type db_type(const struct db_result *result, int column);
/* -1 when there is no such column. */
int db_column(const struct db_result *result, const char *name);
/* The value's text; data NULL for SQL NULL. */
struct slice db_value(const struct db_result *result, int row, int column);
/* The same by the column's name; absent too when there is no such column. */
struct slice db_get(const struct db_result *result, int row, const char *name);

#endif
