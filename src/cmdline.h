/*
 * The command line and the environment that a process was started with, which may hold passwords, stand where others
 * can read them: in /proc/PID/cmdline and /proc/PID/environ. Here they are moved to memory of the process's own.
 */
#ifndef JOBFORGE_CMDLINE_H
#define JOBFORGE_CMDLINE_H

#include "base.h"

/*
 * Copies the arguments to `copies` (as many and NULL) and the environment to where getenv(3) then finds it. Overwrites
 * the environment, and of each argument for which `is_secret` says so what is after its '='. -1 when out of memory.
 */
int cmdline_hide(int argc, char *argv[], char *copies[], bool (*is_secret)(const char *argument)) MUST_CHECK;

/* Wipes of what cmdline_hide() copied the arguments, which it frees, and the variables that begin with `prefix`. */
void cmdline_forget(char *copies[], const char *prefix);

#endif
