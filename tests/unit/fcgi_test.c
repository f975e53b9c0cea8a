#include "fcgi.h"

#include <errno.h>
#include <fastcgi.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "buffer.h"
#include "tap.h"

enum { TIMEOUT_MS = 2000, FULL_RECORD = 65528, BATCH = 8 };

/* A web server's end of a connection, and ours. */
struct line {
	int server;
	struct fcgi *conn;
};

static struct line
connect_line(int timeout_ms)
{
	int ends[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0)
		bail_out("no sockets: %s", strerror(errno));
	return (struct line){ ends[0], fcgi_open(ends[1], timeout_ms) };
}

static void
disconnect(struct line *line)
{
	fcgi_close(line->conn);
	close(line->server);
}

static void
put_record(int server, unsigned char type, const void *content, size_t len)
{
	FCGI_Header header = { .version = FCGI_VERSION_1, .type = type, .requestIdB0 = 1,
		.contentLengthB1 = (unsigned char)(len >> 8), .contentLengthB0 = (unsigned char)len };

	if (write(server, &header, sizeof(header)) != sizeof(header) || (len > 0 && write(server, content, len) != (ssize_t)len))
		bail_out("what the test sends is not taken: %s", strerror(errno));
}

/* A request with one parameter and a body. */
static void
put_request(int server, bool keep, const char *body)
{
	FCGI_BeginRequestBody begin = { .roleB0 = FCGI_RESPONDER, .flags = keep ? FCGI_KEEP_CONN : 0 };

	put_record(server, FCGI_BEGIN_REQUEST, &begin, sizeof(begin));
	put_record(server, FCGI_PARAMS, "\4\3NAMEone", 9);
	put_record(server, FCGI_PARAMS, NULL, 0);
	if (body[0] != '\0')
		put_record(server, FCGI_STDIN, body, strlen(body));
	put_record(server, FCGI_STDIN, NULL, 0);
}

/* What the web server is sent: the content of the answer, and how many of its records had any. */
struct answer {
	struct buffer content;
	int records;
	bool ended;
	int server;
	int pause_ms;
};

static bool
take(int server, void *out, size_t size)
{
	return recv(server, out, size, MSG_WAITALL) == (ssize_t)size;
}

/* Reads one record; false at the end. */
static bool
take_record(struct answer *answer)
{
	FCGI_Header header;
	char content[FCGI_MAX_LENGTH];

	if (!take(answer->server, &header, sizeof(header)))
		return false;
	size_t len = (size_t)header.contentLengthB1 << 8 | header.contentLengthB0;
	if (len > 0 && !take(answer->server, content, len))
		return false;
	if (header.type == FCGI_STDOUT) {
		buffer_append(&answer->content, content, len);
		answer->records += len > 0;
	}
	answer->ended = header.type == FCGI_END_REQUEST;
	return !answer->ended;
}

static void *
take_answer(void *argument)
{
	struct answer *answer = argument;
	struct timespec pause = { 0, answer->pause_ms * 1000000L };

	nanosleep(&pause, NULL);
	while (take_record(answer))
		continue;
	return NULL;
}

static void
test_requests_and_answers(void)
{
	struct line line = connect_line(TIMEOUT_MS);
	const struct slice parts[] = { SLICE("Status: 200\r\n\r\n"), SLICE("body"), { NULL, 0 } };
	char body[16];

	for (int i = 0; i < 3; i++) {
		struct answer answer = { .server = line.server };
		put_request(line.server, i < 2, i == 1 ? "" : "sent");
		is_int(fcgi_receive(line.conn), 0, "a request is received");
		is_string(fcgi_params(line.conn)[0], "FCGI_ROLE=RESPONDER", "libfcgi's parameter");
		is_string(fcgi_params(line.conn)[1], "NAME=one", "the web server's");
		ok(fcgi_params(line.conn)[2] == NULL, "and no other");
		is_int((long long)fcgi_read(line.conn, body, sizeof(body)), i == 1 ? 0 : 4, "its body");
		is_int(fcgi_send(line.conn, parts, 3, true), 0, "it is answered");
		take_answer(&answer);
		is_slice((struct slice){ answer.content.data, answer.content.len }, "Status: 200\r\n\r\nbody", "by all parts");
		ok(answer.ended && answer.records == 2, "a record each, and an end");
		is_int(fcgi_finish(line.conn), i < 2 ? 0 : -1, "the connection is kept as the web server says");
		buffer_free(&answer.content);
	}
	disconnect(&line);
}

static void
test_an_answer_in_pieces(void)
{
	struct line line = connect_line(TIMEOUT_MS);
	struct answer answer = { .server = line.server };

	put_request(line.server, true, "");
	if (fcgi_receive(line.conn) != 0)
		bail_out("no request");
	is_int(fcgi_send(line.conn, &SLICE("one "), 1, false), 0, "the beginning of an answer");
	is_int(fcgi_send(line.conn, &SLICE("two"), 1, true), 0, "and its end");
	take_answer(&answer);
	is_slice((struct slice){ answer.content.data, answer.content.len }, "one two", "are one");
	put_request(line.server, true, "");
	is_int(fcgi_finish(line.conn), 0, "what was ended is kept");
	is_int(fcgi_receive(line.conn), 0, "for the next request");
	is_int(fcgi_send(line.conn, &SLICE("one "), 1, false), 0, "whose answer is begun");
	is_int(fcgi_finish(line.conn), -1, "and is not kept, without an end");
	buffer_free(&answer.content);
	disconnect(&line);
}

static void
ignore_signal(int number)
{
	(void)number;
}

/* A signal to this thread every 2 ms, or none any more. */
static void
interrupt(bool on)
{
	struct sigaction action = { .sa_handler = ignore_signal };
	struct itimerval timer = { .it_interval = { 0, on ? 2000 : 0 }, .it_value = { 0, on ? 2000 : 0 } };

	sigaction(SIGALRM, &action, NULL);
	setitimer(ITIMER_REAL, &timer, NULL);
}

/* Longer than the socket's buffer and than what one system call takes, to a slow reader, under signals. */
static void
test_a_long_answer(void)
{
	enum { LEN = 3 * BATCH * FULL_RECORD + 12345 };
	struct line line = connect_line(TIMEOUT_MS);
	struct answer answer = { .server = line.server, .pause_ms = 50 };
	char *data = malloc(LEN);
	pthread_t reader;
	sigset_t alarm_only, before;

	for (size_t i = 0; i < LEN; i++)
		data[i] = (char)(i * 31 >> 3);
	put_request(line.server, true, "");
	if (fcgi_receive(line.conn) != 0)
		bail_out("no request");
	sigemptyset(&alarm_only);
	sigaddset(&alarm_only, SIGALRM);
	pthread_sigmask(SIG_BLOCK, &alarm_only, &before);
	if (pthread_create(&reader, NULL, take_answer, &answer) != 0)
		bail_out("no thread");
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	interrupt(true);
	is_int(fcgi_send(line.conn, &(struct slice){ data, LEN }, 1, true), 0, "a long answer is sent, whatever the signals");
	interrupt(false);
	pthread_join(reader, NULL);
	is_int(answer.records, 3 * BATCH + 1, "in records as long as may be");
	ok(answer.content.len == LEN && memcmp(answer.content.data, data, LEN) == 0, "and arrives as it was");
	buffer_free(&answer.content);
	free(data);
	disconnect(&line);
}

static void
test_a_web_server_that_has_gone(void)
{
	static const size_t lengths[] = { 0, 10, BATCH * FULL_RECORD, (BATCH + 1) * FULL_RECORD };
	char *data = calloc(1, lengths[3]);

	for (size_t i = 0; i < COUNT_OF(lengths); i++) {
		struct line line = connect_line(TIMEOUT_MS);
		put_request(line.server, true, "");
		if (fcgi_receive(line.conn) != 0)
			bail_out("no request");
		ok(!fcgi_abandoned(line.conn), "the web server is there");
		shutdown(line.server, SHUT_RDWR);
		ok(fcgi_abandoned(line.conn), "and has gone");
		is_int(fcgi_send(line.conn, &(struct slice){ data, lengths[i] }, 1, true), -1, "an answer of %zu bytes to nobody",
		    lengths[i]);
		is_int(fcgi_finish(line.conn), -1, "ends the connection");
		disconnect(&line);
	}
	free(data);
}

static void
test_no_requests(void)
{
	static const char records[][24] = {
		"", "GET / HTTP/1.1\r\n\r\n", "\1\1\0\1\0\10\0\0\0\1\1\0\0\0\0\0", "\1\1\0\1\0\10\0\0\0\1\1\0\0\0\0\0\1\4\0\1\0\11",
	};
	static const size_t lengths[] = { 0, 18, 16, 22 };

	for (size_t i = 0; i < COUNT_OF(records); i++) {
		struct line line = connect_line(TIMEOUT_MS);
		if (write(line.server, records[i], lengths[i]) != (ssize_t)lengths[i])
			bail_out("what the test sends is not taken");
		shutdown(line.server, SHUT_WR);
		is_int(fcgi_receive(line.conn), -1, "%zu bytes that are no request", lengths[i]);
		disconnect(&line);
	}
}

static void
test_a_web_server_that_stops(void)
{
	struct line line = connect_line(50);
	char body[64];

	put_record(line.server, FCGI_BEGIN_REQUEST, &(FCGI_BeginRequestBody){ .roleB0 = FCGI_RESPONDER }, 8);
	is_int(fcgi_receive(line.conn), -1, "who does not go on is not waited for");
	disconnect(&line);

	line = connect_line(50);
	put_record(line.server, FCGI_BEGIN_REQUEST, &(FCGI_BeginRequestBody){ .roleB0 = FCGI_RESPONDER }, 8);
	put_record(line.server, FCGI_PARAMS, NULL, 0);
	put_record(line.server, FCGI_STDIN, "half", 4);
	is_int(fcgi_receive(line.conn), 0, "nor who stops");
	is_int((long long)fcgi_read(line.conn, body, sizeof(body)), 4, "in the body");
	disconnect(&line);
}

int
main(void)
{
	signal(SIGPIPE, SIG_IGN);
	fcgi_init();
	test_requests_and_answers();
	test_an_answer_in_pieces();
	test_a_long_answer();
	test_a_web_server_that_has_gone();
	test_no_requests();
	test_a_web_server_that_stops();
	return done();
}
