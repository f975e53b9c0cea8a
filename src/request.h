/* A request as the worker sees it: FastCGI parameters and a bounded body, in the arena. */
#ifndef JOBFORGE_REQUEST_H
#define JOBFORGE_REQUEST_H

#include "base.h"
#include "http.h"

struct arena;
struct fcgi;

enum {
	REQUEST_BODY_MAX = 1024 * 1024,
	REQUEST_AUTH_BODY_MAX = 64 * 1024, /* under /auth/ */
	REQUEST_ID_MAX = 64
};

enum request_fault {
	REQUEST_COMPLETE = 0,
	REQUEST_TOO_LARGE, /* the body was not read: the connection cannot be kept */
	REQUEST_CUT_OFF    /* the body ended before its Content-Length */
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
	enum request_fault fault;
};

/* Reads the request that fcgi_receive() announced. Slices point into the connection's parameters and the arena: valid
 * until fcgi_finish() and the arena's reset. */
void request_read(struct request *request, struct fcgi *conn, struct arena *arena);

#endif
