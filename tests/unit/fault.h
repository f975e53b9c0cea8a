/* System calls that fail as they do on a machine in trouble, for a process that a test has made for it (run_child()). */
#ifndef JOBFORGE_FAULT_H
#define JOBFORGE_FAULT_H

#include "base.h"

/*
 * From now on this call (SYS_..., sys/syscall.h) fails with `error` in this process and in those that it starts: a filter of
 * seccomp(2), which needs no rights. False when there can be none.
 */
bool fault_refuse(long call, int error) MUST_CHECK;

#endif
