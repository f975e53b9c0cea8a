/*
 * What a connection that does not block is told and says, until a deadline (microseconds, monotonic): "Asynchronous Command
 * Processing" in the manual of libpq.
 */
#ifndef JOBFORGE_DBSOCKET_H
#define JOBFORGE_DBSOCKET_H

#include <libpq-fe.h>

#include "base.h"

/* Waits until the socket is ready for some of `events` of poll(2). Returns for what it is ready; 0 when it is late. */
int dbsocket_wait(PGconn *conn, short events, int64_t deadline);

/* Sends what libpq holds. 0, or -1 when the connection is lost or the server does not read in time. */
int dbsocket_flush(PGconn *conn, int64_t deadline) MUST_CHECK;

/* The next result in *result, the caller's; NULL is the end of a statement's results. 0, or -1: lost, or late. */
int dbsocket_next(PGconn *conn, int64_t deadline, PGresult **result) MUST_CHECK;

#endif
