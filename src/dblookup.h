/*
 * The addresses of the database's host. libpq would ask for them itself, by getaddrinfo(3), which no time limit of libpq's ends: while the
 * DNS does not answer it takes ten seconds and more, in which the worker would answer nothing. So they are looked up apart.
 */
#ifndef JOBFORGE_DBLOOKUP_H
#define JOBFORGE_DBLOOKUP_H

#include "base.h"
#include "buffer.h"

enum { DBLOOKUP_MOST = 16 };

/* Whether it is a name, and neither an address, several hosts, nor a directory of unix sockets. */
bool dblookup_is_name(const char *host);

/*
 * Appends at most DBLOOKUP_MOST addresses of `host`, in the order in which to try them, with commas between; waits so many milliseconds
 * at most. Returns how many; 0, with the reason in `out`, when there is none; -1 when no answer came in time.
 */
int dblookup(struct buffer *out, const char *host, int milliseconds) MUST_CHECK;

#endif
