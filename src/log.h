/*
 * The log: one JSON object a line, written to standard error, whole lines with each write(2), so that lines of several
 * processes never mix. Never log a token, a password, a body or a row. While it cannot be written, as on a full disk, nothing
 * waits; each process then tells in the first line that it can write how many it has lost.
 */
#ifndef JOBFORGE_LOG_H
#define JOBFORGE_LOG_H

#include "base.h"
#include "buffer.h"

enum log_level { LOG_LEVEL_DEBUG, LOG_LEVEL_INFO, LOG_LEVEL_WARNING, LOG_LEVEL_ERROR, LOG_LEVEL_NONE };

/* Lines below `level` are left out from now on. At start: info. */
void log_set_level(enum log_level level);

/* Whether a line of `level` would be written. */
bool log_enabled(enum log_level level);

/* Writes {"time","level","pid","event","message"}; `event` is a fixed word, the message a sentence (printf(3)). */
void log_write(enum log_level level, const char *event, const char *format, ...) PRINTF_LIKE(3, 4);

/*
 * A line with fields of its own: begin, any number of fields, end. `line` is the caller's and reusable.
 * A field whose value is absent (NULL) is left out.
 */
void log_begin(struct buffer *line, enum log_level level, const char *event);
void log_field(struct buffer *line, const char *name, struct slice value);
void log_field_number(struct buffer *line, const char *name, long long value);
void log_end(struct buffer *line);

/* As log_end(), but keeps the line in `held` until log_flush(), or until there are more than a pipe takes at once. */
void log_hold(struct buffer *line, struct buffer *held);
void log_flush(struct buffer *held);

/*
 * Writes `text` as a JSON string with its quotes. Whatever the bytes, the result is valid JSON: control characters, C1
 * ones too, and bytes that are no UTF-8 are written as \u00XX.
 */
void log_quote(struct buffer *line, const char *text, size_t len);

/*
 * Writes an error line as log_write() does, without allocating, and ends the process at once with LOG_FATAL_STATUS: for
 * what leaves nothing sane to do, such as out of memory. The master starts another worker.
 */
enum { LOG_FATAL_STATUS = 70 };
void log_fatal(const char *event, const char *format, ...) PRINTF_LIKE(2, 3) NORETURN;

#endif
