/* A request as the worker sees it: FastCGI parameters and a bounded body, in the arena. */
#ifndef JOBFORGE_REQUEST_H
#define JOBFORGE_REQUEST_H

#include "base.h"
#include "http.h"

struct arena;
struct fcgi;

enum {
	REQUEST_BODY_MAX = 1024 * 1024,
	REQUEST_SHEET_BODY_MAX = 8 * 1024 * 1024, /* of text/csv: indexing the words of more takes seconds */
	REQUEST_BULK_BODY_MAX = 256 * 1024 * 1024,
	REQUEST_AUTH_BODY_MAX = 64 * 1024, /* under /auth/ */
	REQUEST_ID_MAX = 64
};

enum request_fault {
	REQUEST_COMPLETE = 0,
	REQUEST_TOO_LARGE,
	REQUEST_CUT_OFF    /* the body ended before its Content-Length */
};

/* A body that its handler reads by itself, piece by piece. */
struct request_stream {
	struct fcgi *conn;
	size_t length; /* what Content-Length says */
	size_t received;
};

/* Absent headers have no data. */
struct request {
	enum http_method method;
	struct slice uri;   /* as the client sent it: path and query, percent-encoded */
	struct slice path;  /* up to '?' */
	struct slice query; /* after '?', or absent */
	char id[REQUEST_ID_MAX + 1];
	struct slice content_type;
	struct slice authorization;
	struct slice if_match;
	struct slice if_none_match;
	struct slice idempotency_key;
	struct slice accept;
	struct slice cookie;
	struct slice requested_with;
	struct slice body;
	int64_t queued_us; /* since nginx sent it; below 0: not known */
	struct request_stream *stream; /* instead of `body`, for the bulk pool */
	enum request_fault fault;
	bool unread; /* some of the body is left on the connection, which cannot be kept */
};

/* Reads the request that fcgi_receive() announced. Slices point into the connection's parameters and the arena: valid
 * until fcgi_finish() and the arena's reset. With `streamed` the body is left to request_receive(). */
void request_read(struct request *request, struct fcgi *conn, struct arena *arena, bool streamed);

/* Reads up to `size` bytes of a streamed body; 0 at its end, which is early when fewer than `length` were received. */
size_t request_receive(struct request_stream *stream, char *out, size_t size);

/* Reads and drops what is left of a streamed body: nginx takes no answer while it has something to send. */
void request_drain(struct request_stream *stream);

#endif
