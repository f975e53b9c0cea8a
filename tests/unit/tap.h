/* A small producer of TAP (Test Anything Protocol 12) for the unit tests. Names of tests are printf(3) formats. */
#ifndef JOBFORGE_TAP_H
#define JOBFORGE_TAP_H

#include "base.h"

/* Announces `count` tests. Without it done() writes the plan. */
void plan(int count);

/* Each reports one test and returns whether it passed; a failure says what was got and what was wanted. */
bool ok(bool condition, const char *format, ...) PRINTF_LIKE(2, 3);
bool is_int(long long got, long long want, const char *format, ...) PRINTF_LIKE(3, 4);
bool is_string(const char *got, const char *want, const char *format, ...) PRINTF_LIKE(3, 4);
bool
is_bytes(const void *got, size_t got_len, const void *want, size_t want_len, const char *format, ...) PRINTF_LIKE(5, 6);
bool is_slice(struct slice got, const char *want, const char *format, ...) PRINTF_LIKE(3, 4);

/* Reports one test as left out, for a reason. */
void skip(const char *format, ...) PRINTF_LIKE(1, 2);

/* Ends a test program that cannot go on. */
void bail_out(const char *format, ...) PRINTF_LIKE(1, 2) NORETURN;

/* Ends the output; the status for main() to return: 0 when all tests passed and as many ran as planned. */
int done(void) MUST_CHECK;

/*
 * Runs `run(argument)` in a child process and puts what it writes to standard error in `errors` (NUL-terminated, cut to
 * `size`). Returns its exit status, or -1 when a signal ended it.
 */
int run_child(void (*run)(void *), void *argument, char *errors, size_t size);

#endif
