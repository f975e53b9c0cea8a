#include "fcgi.h"

#include <fcgiapp.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/time.h>

#include "log.h"

struct fcgi {
	FCGX_Request request;
};

void
fcgi_init(void)
{
	if (FCGX_Init() != 0) {
		log_write(LOG_LEVEL_ERROR, "fcgi", "libfcgi does not start: out of memory");
		exit(70);
	}
}

struct fcgi *
fcgi_open(int fd, int timeout_ms)
{
	struct timeval timeout = { .tv_sec = timeout_ms / 1000, .tv_usec = timeout_ms % 1000 * 1000 };
	struct fcgi *conn = calloc(1, sizeof(*conn));

	if (conn == NULL) {
		log_write(LOG_LEVEL_ERROR, "memory", "out of memory for a connection");
		exit(70);
	}
	(void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
	(void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout));
	/* Without a listening socket libfcgi can never accept by itself: a failed connection ends in an error instead. */
	FCGX_InitRequest(&conn->request, -1, FCGI_FAIL_ACCEPT_ON_INTR);
	conn->request.ipcFd = fd;
	conn->request.keepConnection = 1; /* FCGX_Accept_r() first finishes "the request before", and must not close */
	return conn;
}

void
fcgi_close(struct fcgi *conn)
{
	FCGX_Detach(&conn->request); /* or libfcgi waits up to 2 s for the peer to close first */
	FCGX_Free(&conn->request, 1);
	free(conn);
}

int
fcgi_receive(struct fcgi *conn)
{
	FCGX_Detach(&conn->request);
	return FCGX_Accept_r(&conn->request) == 0 ? 0 : -1;
}

const char *const *
fcgi_params(const struct fcgi *conn)
{
	return (const char *const *)conn->request.envp;
}

size_t
fcgi_read(struct fcgi *conn, char *out, size_t size)
{
	size_t done = 0;

	while (done < size) {
		int chunk = size - done > INT_MAX ? INT_MAX : (int)(size - done);
		int got = FCGX_GetStr(out + done, chunk, conn->request.in);
		if (got <= 0)
			break;
		done += (size_t)got;
	}
	return done;
}

int
fcgi_write(struct fcgi *conn, const char *data, size_t len)
{
	while (len > 0) {
		int chunk = len > INT_MAX ? INT_MAX : (int)len;
		if (FCGX_PutStr(data, chunk, conn->request.out) != chunk)
			return -1;
		data += chunk;
		len -= (size_t)chunk;
	}
	return 0;
}

bool
fcgi_abandoned(const struct fcgi *conn)
{
	struct pollfd fd = { .fd = conn->request.ipcFd, .events = POLLRDHUP };

	return poll(&fd, 1, 0) > 0 && (fd.revents & (POLLRDHUP | POLLHUP | POLLERR)) != 0;
}

int
fcgi_finish(struct fcgi *conn)
{
	FCGX_Finish_r(&conn->request);
	return conn->request.ipcFd < 0 ? -1 : 0;
}
