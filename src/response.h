/* An answer while it is made: status, headers and body, sent at the end in one piece. */
#ifndef JOBFORGE_RESPONSE_H
#define JOBFORGE_RESPONSE_H

#include "base.h"
#include "buffer.h"
#include "problem.h"

struct fcgi;
struct request;

struct response {
	int status;
	const char *content_type; /* NULL: no body */
	bool cacheable;           /* a client may keep it and ask again with If-None-Match; otherwise it must not store it */
	struct buffer headers;    /* further header lines, each with its CRLF */
	struct buffer body;
};

extern const char MEDIA_JSON[];

/* Makes it empty for the next request, keeping its memory. */
void response_reset(struct response *response);
void response_free(struct response *response);

/* Adds a header line. The value must not hold bytes of the client's that were not checked for CR and LF. */
void response_header(struct response *response, const char *name, const char *value_format, ...) PRINTF_LIKE(3, 4);

/*
 * Makes it a problem, dropping whatever headers and body were there; returns its status. `detail` NULL takes the problem's own. `faults`
 * (NULL or empty: none) become the member "errors". 401 gets WWW-Authenticate, 503 Retry-After.
 */
int response_problem(struct response *response, const struct request *request, enum problem problem,
    const struct faults *faults, const char *detail);

/* Writes it to the connection; for HEAD the body stays behind. */
void response_send(const struct response *response, const struct request *request, struct fcgi *conn);

#endif
