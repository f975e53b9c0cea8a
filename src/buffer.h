/*
 * A growing run of bytes: answers and log lines are built in it.
 *
 * Out of memory ends the process, as in arena.h. Zero-initialised is empty and ready.
 */
#ifndef JOBFORGE_BUFFER_H
#define JOBFORGE_BUFFER_H

#include "base.h"

struct buffer {
	char *data; /* owned; not NUL-terminated; NULL while capacity is 0 */
	size_t len;
	size_t capacity;
};

/* Makes room for `extra` more bytes after `len` and returns where they go; the caller then adds to `len`. */
char *buffer_reserve(struct buffer *buffer, size_t extra);

void buffer_append(struct buffer *buffer, const char *data, size_t len);
void buffer_puts(struct buffer *buffer, const char *string);
void buffer_putc(struct buffer *buffer, char c);
void buffer_printf(struct buffer *buffer, const char *format, ...) PRINTF_LIKE(2, 3);

/* Empties it for reuse; memory above 1 MiB is given back, so that one large answer does not stay for ever. */
void buffer_clear(struct buffer *buffer);

/* Frees its memory and leaves it empty. */
void buffer_free(struct buffer *buffer);

/* As buffer_free(), but overwrites it first: for secrets. Growing leaves copies behind, so all room is reserved beforehand. */
void buffer_wipe(struct buffer *buffer);

/* For a literal: the length is known when it is compiled. */
#define BUFFER_LITERAL(buffer, literal) buffer_append((buffer), (literal), sizeof(literal) - 1)

#endif
