#include "dbsocket.h"

#include <errno.h>
#include <poll.h>

#include "clock.h"

int
dbsocket_wait(PGconn *conn, short events, int64_t deadline)
{
	for (;;) {
		struct pollfd fd = { .fd = PQsocket(conn), .events = events };
		int64_t left = (deadline - clock_us() + 999) / 1000;
		int ready = poll(&fd, 1, left < 0 ? 0 : (int)left);
		if (ready > 0)
			return fd.revents;
		if (ready < 0 && errno == EINTR)
			continue;
		return 0;
	}
}

int
dbsocket_flush(PGconn *conn, int64_t deadline)
{
	for (;;) {
		int left = PQflush(conn);
		if (left == 0)
			return 0;
		if (left < 0)
			return -1;
		int ready = dbsocket_wait(conn, POLLIN | POLLOUT, deadline);
		if (ready == 0)
			return -1;
		/* A server that is blocked on writing to us reads nothing: take its output first. */
		if ((ready & POLLIN) && PQconsumeInput(conn) == 0)
			return -1;
	}
}

int
dbsocket_next(PGconn *conn, int64_t deadline, PGresult **result)
{
	while (PQisBusy(conn)) {
		if (dbsocket_wait(conn, POLLIN, deadline) == 0 || PQconsumeInput(conn) == 0)
			return -1;
	}
	*result = PQgetResult(conn);
	return 0;
}
