/*
 * FastCGI connections, by libfcgi. The one file that includes fcgiapp.h is fcgi.c.
 *
 * libfcgi's own loop accepts a connection and then sleeps in read() on it for as long as nginx keeps it. Here the worker
 * accepts by itself, polls all its connections, and hands libfcgi only one that is readable, so no kept connection holds a
 * worker. It also avoids libfcgi's wait of up to 2 s for the first byte after accept(). Answers are sent without libfcgi, which
 * would copy them into a buffer of 8 KiB and write that as often as it is full: a page of 20 rows is longer.
 */
#ifndef JOBFORGE_FCGI_H
#define JOBFORGE_FCGI_H

#include "base.h"

struct fcgi;

/* Prepares libfcgi: once per process, after the process has installed its own signal handlers (libfcgi takes SIGTERM,
 * SIGUSR1 and SIGPIPE for itself where it finds them at their defaults). */
void fcgi_init(void);

/* Takes over an accepted, blocking socket, on which one read or write may take `timeout_ms`, and one call of fcgi_receive()
 * or fcgi_read() all in all twice that. Ends the process when out of memory. The caller gives it back by fcgi_close(). */
struct fcgi *fcgi_open(int fd, int timeout_ms);
void fcgi_close(struct fcgi *conn);

/* Its socket, to be polled. */
int fcgi_socket(const struct fcgi *conn);

/* Reads the next request's parameters from a readable connection. -1: the peer closed it, or spoke no FastCGI; then only
 * fcgi_close() is left. */
int fcgi_receive(struct fcgi *conn) MUST_CHECK;

/* The parameters of the request as NAME=value strings, NULL-terminated; valid until fcgi_finish(). */
const char *const *fcgi_params(const struct fcgi *conn);

/* Reads up to `size` bytes of the request's body; fewer only at its end or on an error. */
size_t fcgi_read(struct fcgi *conn, char *out, size_t size);

/* Sends the `parts` of the answer, in order, and with `last` the end of the request, by one system call while they are short.
 * -1: the peer has gone or reads nothing; then only fcgi_finish() is left. */
int fcgi_send(struct fcgi *conn, const struct slice parts[], int count, bool last) MUST_CHECK;

/* Whether nginx has ended the connection, as it does when its client has gone. */
bool fcgi_abandoned(const struct fcgi *conn);

/* Forgets the request. 0: the connection is kept, poll it for the next one. -1: it is at its end (an error, no end was sent, or
 * the web server asked for it): fcgi_close() it. */
int fcgi_finish(struct fcgi *conn) MUST_CHECK;

#endif
