/*
 * Makes a worker's connection to PostgreSQL: chooses among the hosts of the connection string, connects, sees that the session and
 * the schema are as the program needs them, and prepares every statement.
 */
#ifndef JOBFORGE_DBCONNECT_H
#define JOBFORGE_DBCONNECT_H

#include <libpq-fe.h>

#include "base.h"

struct db_settings;
struct db_statement;

/* Begins with the first three set and hosts = 1. */
struct dbconnect {
	const struct db_settings *settings;
	const struct db_statement *statements; /* besides settings->tables; ends with a row without a name */
	int host;                              /* of those in the connection string, the one to begin with; */
	int hosts;                             /* how many there are, as far as is known */
	bool schema_differs;                   /* the last failure: a schema that this program was not built for */
	char problem[512];                     /* why, as a sentence for the operator */
	bool brief;                            /* all of it within connect_timeout */
	PGconn *conn;                          /* while it is made, */
	int64_t deadline;                      /* and until when; microseconds, monotonic */
};

/*
 * Connects within connect_timeout, all hosts together, and prepares within statement_timeout after that, or within what is left if it
 * is to be `brief`, as for a caller that has another connection. Returns a connection in pipeline mode that does not block, the
 * caller's; or NULL with `problem` and `schema_differs`.
 */
PGconn *dbconnect_open(struct dbconnect *to, bool brief) MUST_CHECK;

/* Begins with the next host the next time. */
void dbconnect_turn(struct dbconnect *to);

/* Whether connecting takes more than unix sockets. */
bool dbconnect_is_remote(const char *conninfo);

#endif
