/* An answer while it is made: status, headers and body, sent at the end in one piece, or a long one piece by piece. */
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
	bool unsized;             /* comes piece by piece: how long it will be is not known when the head is sent */
	bool started;             /* the head is sent */
	bool broken;              /* it cannot be completed: the connection must end, so that nobody takes it for whole */
	size_t sent;              /* bytes of the body that have gone */
	struct buffer head;       /* all of it, as it is sent */
	struct buffer headers;    /* further header lines, each with its CRLF */
	struct buffer body;
};

extern const char MEDIA_JSON[];

/* Makes it empty for the next request, keeping its memory. */
void response_reset(struct response *response);
void response_free(struct response *response);

/* Overwrites all that the answer is made of, which stays empty, with room for an answer that holds tokens: more would grow by
 * leaving a copy behind. */
void response_wipe(struct response *response);

/* Adds a header line. The value must not hold bytes of the client's that were not checked for CR and LF. */
void response_header(struct response *response, const char *name, const char *value_format, ...) PRINTF_LIKE(3, 4);

/*
 * Makes it a problem, dropping whatever headers and body were there; returns its status. `detail` NULL takes the problem's own. `faults`
 * (NULL or empty: none) become the members "errors" and "limit". 401 gets WWW-Authenticate, 503 Retry-After.
 */
int response_problem(struct response *response, const struct request *request, enum problem problem,
    const struct faults *faults, const char *detail);

/*
 * For an `unsized` answer: sends the body so far, which is then empty again, after the head the first time; nothing while the
 * body is small. Once it is started neither status nor headers can change; what fails later is said by `broken`.
 * -1: the web server has gone, the rest need not be made.
 */
int response_advance(struct response *response, const struct request *request, struct fcgi *conn);

/* Writes it, or what is left of it, to the connection; for HEAD the body stays behind. */
void response_send(struct response *response, const struct request *request, struct fcgi *conn);

#endif
