/* The unix sockets that nginx connects to. Never TCP: whoever can write to one can attack libfcgi. */
#ifndef JOBFORGE_LISTENER_H
#define JOBFORGE_LISTENER_H

#include "base.h"

/*
 * A listening, non-blocking unix socket at `path`, mode 0660, of `group` (empty: the process's own); a stale socket of an
 * earlier run is replaced, a live one is an error. Returns the descriptor, or -1 with a sentence in `error`.
 */
int listener_open(const char *path, const char *group, char *error, size_t error_size) MUST_CHECK;

/* The descriptor that systemd passed under `name` (sd_listen_fds(3)), made non-blocking; -1 when there is none. */
int listener_inherit(const char *name);

/*
 * Makes `count` listeners pass execve(2) under `names`, to be found by listener_inherit(). Their numbers in the array change.
 * What else had the numbers that systemd uses, from 3 on, is closed. 0, or -1 with errno.
 */
int listener_bequeath(int listeners[], const char *const names[], int count) MUST_CHECK;

#endif
