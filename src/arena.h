/*
 * Memory that lives as long as one request.
 *
 * A worker has one arena and resets it after each request, so nothing on the path of a request is freed by hand.
 * Out of memory ends the process with a line in the log (the master starts another worker); no call returns NULL.
 */
#ifndef JOBFORGE_ARENA_H
#define JOBFORGE_ARENA_H

#include "base.h"

struct arena;

/* Makes an empty arena. The caller owns it and gives it to arena_free(). */
struct arena *arena_new(void);

/* Runs what was deferred, newest first, and frees the arena. NULL is allowed. */
void arena_free(struct arena *arena);

/* Runs what was deferred, newest first, and takes all memory back; keeps up to 64 KiB for the next request. */
void arena_reset(struct arena *arena);

/* From now on each reset overwrites what was used: for requests with passwords and tokens of a session. */
void arena_keep_secrets(struct arena *arena);

/* Whether arena_keep_secrets() was called: what is kept outside of the arena for as long is then to be overwritten as well. */
bool arena_keeps_secrets(const struct arena *arena);

/* `size` zeroed bytes, aligned for any type, valid until the next reset. `size` 0 gives a valid pointer. */
void *arena_alloc(struct arena *arena, size_t size);

/* Like arena_alloc() for `count` elements of `size` bytes; a product that overflows is out of memory. */
void *arena_calloc(struct arena *arena, size_t count, size_t size);

/* A copy of `len` bytes, with a NUL after it. */
char *arena_copy(struct arena *arena, const char *data, size_t len);

/* A formatted string (printf(3)), NUL-terminated. */
char *arena_printf(struct arena *arena, const char *format, ...) PRINTF_LIKE(2, 3);

/* Calls `release(object)` at the next reset: written on the line after a foreign object is made. */
void arena_defer(struct arena *arena, void (*release)(void *), void *object);

#endif
