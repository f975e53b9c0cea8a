#include "fcgi.h"

#include <errno.h>
#include <fastcgi.h>
#include <fcgiapp.h>
#include <fcgios.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <unistd.h>

#include "clock.h"
#include "log.h"
#include "record.h"

enum {
	RECORD_MAX = 65528, /* what one record carries at most, a multiple of 8: no padding */
	BATCH = 8           /* records in one system call */
};

struct fcgi {
	FCGX_Request request;
	bool ended;
	struct record record;
	char *input; /* libfcgi's own buffer, for the parameters and the body of a request */
	size_t input_used;
	int64_t timeout;  /* microseconds that one call of this file may wait for the peer's bytes */
	int64_t deadline; /* of the call under way */
};

/* Whose bytes libfcgi is about to ask for: it has no argument to tell it by. */
static struct fcgi *reading;

static void
begin_reading(struct fcgi *conn)
{
	reading = conn;
	conn->deadline = clock_us() + conn->timeout;
}

/*
 * libfcgi reads by calling its own OS_Read(), which this one takes the place of when the program is loaded: all that
 * comes from the peer passes record_take() first, and a peer that sends byte by byte meets a deadline. 0 is the end
 * of the input. A libfcgi that was linked to call its own whatever the program has (-Bsymbolic-functions) goes
 * unchecked: test_fastcgi.py tells.
 */
int
OS_Read(int fd, char *out, size_t size)
{
	ssize_t got = clock_us() > reading->deadline ? 0 : read(fd, out, size);

	reading->input = out;
	if (got > 0 && (size_t)got > reading->input_used)
		reading->input_used = (size_t)got;
	return got <= 0 || record_take(&reading->record, out, (size_t)got) ? (int)got : 0;
}

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
	conn->timeout = (int64_t)timeout_ms * 1000;
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
fcgi_socket(const struct fcgi *conn)
{
	return conn->request.ipcFd;
}

/* Overwrites what libfcgi frees as it is: tokens stand in headers, passwords in bodies. */
static void
wipe_request(struct fcgi *conn)
{
	for (char **param = conn->request.envp; param != NULL && *param != NULL; param++)
		explicit_bzero(*param, strlen(*param));
	if (conn->input_used > 0)
		explicit_bzero(conn->input, conn->input_used);
	conn->input_used = 0;
}

int
fcgi_receive(struct fcgi *conn)
{
	FCGX_Detach(&conn->request);
	begin_reading(conn);
	/* To libfcgi parameters that break off are as good as complete: an If-Match might be missing. */
	if (FCGX_Accept_r(&conn->request) != 0) {
		conn->input_used = 0; /* libfcgi has freed it */
		return -1;
	}
	if (record_has_params(&conn->record))
		return 0;
	wipe_request(conn);
	return -1;
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

	begin_reading(conn);
	while (done < size) {
		int chunk = size - done > INT_MAX ? INT_MAX : (int)(size - done);
		int got = FCGX_GetStr(out + done, chunk, conn->request.in);
		if (got <= 0)
			break;
		done += (size_t)got;
	}
	return done;
}

/* Records on their way: a header and its content each. */
struct output {
	struct fcgi *conn;
	FCGI_Header headers[BATCH];
	struct iovec pieces[2 * BATCH];
	int records;
	int piece_count;
};

/* Takes what was sent off the pieces' beginning. */
static void
advance(struct msghdr *message, size_t sent)
{
	while (message->msg_iovlen > 0 && sent >= message->msg_iov->iov_len) {
		sent -= message->msg_iov->iov_len;
		message->msg_iov++;
		message->msg_iovlen--;
	}
	if (message->msg_iovlen > 0) {
		message->msg_iov->iov_base = (char *)message->msg_iov->iov_base + sent;
		message->msg_iov->iov_len -= sent;
	}
}

static int
flush_records(struct output *out)
{
	struct msghdr message = { .msg_iov = out->pieces, .msg_iovlen = (size_t)out->piece_count };

	while (message.msg_iovlen > 0) {
		ssize_t sent = sendmsg(out->conn->request.ipcFd, &message, MSG_NOSIGNAL);
		if (sent < 0 && errno == EINTR)
			continue;
		if (sent < 0)
			return -1;
		advance(&message, (size_t)sent);
	}
	out->records = 0;
	out->piece_count = 0;
	return 0;
}

static int
add_record(struct output *out, unsigned char type, const void *content, size_t len)
{
	if (out->records == BATCH && flush_records(out) != 0)
		return -1;
	FCGI_Header *header = &out->headers[out->records++];
	*header = (FCGI_Header){ .version = FCGI_VERSION_1, .type = type,
		.requestIdB1 = (unsigned char)(out->conn->request.requestId >> 8),
		.requestIdB0 = (unsigned char)out->conn->request.requestId,
		.contentLengthB1 = (unsigned char)(len >> 8), .contentLengthB0 = (unsigned char)len };
	out->pieces[out->piece_count++] = (struct iovec){ header, sizeof(*header) };
	if (len > 0)
		out->pieces[out->piece_count++] = (struct iovec){ (void *)(uintptr_t)content, len };
	return 0;
}

static int
add_content(struct output *out, struct slice content)
{
	while (content.len > 0) {
		size_t len = content.len < RECORD_MAX ? content.len : RECORD_MAX;
		if (add_record(out, FCGI_STDOUT, content.data, len) != 0)
			return -1;
		content.data += len;
		content.len -= len;
	}
	return 0;
}

int
fcgi_send(struct fcgi *conn, const struct slice parts[], int count, bool last)
{
	static const FCGI_EndRequestBody end = { .protocolStatus = FCGI_REQUEST_COMPLETE };
	struct output out = { .conn = conn };

	for (int i = 0; i < count; i++)
		if (add_content(&out, parts[i]) != 0)
			return -1;
	/* A record without content is the end of the stream. */
	if (last && (add_record(&out, FCGI_STDOUT, NULL, 0) != 0 || add_record(&out, FCGI_END_REQUEST, &end, sizeof(end)) != 0))
		return -1;
	if (flush_records(&out) != 0)
		return -1;
	conn->ended = last;
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
	bool kept = conn->ended && conn->request.keepConnection != 0 && FCGX_GetError(conn->request.in) == 0;

	wipe_request(conn);
	FCGX_Free(&conn->request, 0);
	conn->ended = false;
	return kept ? 0 : -1;
}
