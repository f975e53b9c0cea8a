/*
 * What a process gives up for good before strangers can reach it: capabilities, what execve(2) could gain, being looked
 * into by other processes of its account, and every system call that its work does not take. The one file that includes
 * libseccomp's header is sandbox.c.
 *
 * A call that is refused ends the process with LOG_FATAL_STATUS, and a line in the log of the event "sandbox" names it.
 */
#ifndef JOBFORGE_SANDBOX_H
#define JOBFORGE_SANDBOX_H

#include "base.h"

/*
 * Gives up all capabilities and, where that is permitted, the bounding set; with `may_change_user` those stay that it
 * takes to start processes as another user and to signal them. From now on execve(2) gains nothing. 0, or -1 and errno.
 */
int sandbox_drop_privileges(bool may_change_user) MUST_CHECK;

/* No core file, and /proc/self and ptrace(2) are root's alone. Undone by execve(2) and by changing the user. */
void sandbox_hide_memory(void);

/* Leaves this process the system calls of a worker; with `network` of one whose database is reached by TCP, and may
 * have to be looked up in the DNS. Needs sandbox_drop_privileges(). 0, or -1 and a sentence in `error`. */
int sandbox_enter(bool network, char *error, size_t error_size) MUST_CHECK;

/* In a child of such a process: leaves it what it takes to compute, to write to what is open, and to end. Does nothing
 * outside of a sandbox. 0, or -1. */
int sandbox_narrow(void) MUST_CHECK;

#endif
