#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "log.h"
#include "utf8.h"

/*
 * log_write() builds its line on the stack, because out of memory is one of the things it has to tell. A byte becomes
 * six characters at worst, so the line holds the longest message and event with room for the other fields.
 */
enum { MESSAGE_MAX = 1024, EVENT_MAX = 64, LINE_SIZE = 6 * (MESSAGE_MAX + EVENT_MAX) + 256 };

static const char *const level_names[] = {
	[LOG_LEVEL_DEBUG] = "debug",
	[LOG_LEVEL_INFO] = "info",
	[LOG_LEVEL_WARNING] = "warning",
	[LOG_LEVEL_ERROR] = "error",
};

static enum log_level lowest_level = LOG_LEVEL_INFO;

/* What could not be written: the first line that can be tells of it. */
static struct {
	long long lines;
	int reason; /* errno(3) */
	bool torn;  /* the log ends within a line */
} lost;

void
log_set_level(enum log_level level)
{
	lowest_level = level;
}

bool
log_enabled(enum log_level level)
{
	return level >= lowest_level;
}

static bool
is_plain_ascii(unsigned char c)
{
	return c >= 0x20 && c < 0x7F && c != '"' && c != '\\';
}

/* The length of the run that can stand as it is: without C1 controls (C2 80..9F), which can drive a terminal. */
static size_t
plain_run(const char *text, size_t len)
{
	size_t at = 0;
	while (at < len) {
		size_t length = utf8_sequence(text + at, len - at);
		unsigned char first = (unsigned char)text[at];
		if (length == 0 || (length == 1 && !is_plain_ascii(first)))
			break;
		if (first == 0xC2 && (unsigned char)text[at + 1] < 0xA0)
			break;
		at += length;
	}
	return at;
}

void
log_quote(struct buffer *line, const char *text, size_t len)
{
	buffer_putc(line, '"');
	for (size_t at = 0; at < len;) {
		size_t run = plain_run(text + at, len - at);
		buffer_append(line, text + at, run);
		at += run;
		if (at == len)
			break;
		char c = text[at++];
		if (c == '"' || c == '\\')
			buffer_append(line, (char[]){ '\\', c }, 2);
		else
			buffer_printf(line, "\\u%04x", (unsigned char)c);
	}
	buffer_putc(line, '"');
}

static void
put_time(struct buffer *line)
{
	struct timespec now;
	struct tm utc;
	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &utc);
	buffer_printf(line, "{\"time\":\"%04d-%02d-%02dT%02d:%02d:%02d.%06ldZ\"", utc.tm_year + 1900, utc.tm_mon + 1,
	    utc.tm_mday, utc.tm_hour, utc.tm_min, utc.tm_sec, now.tv_nsec / 1000);
}

static void
put_head(struct buffer *line, enum log_level level, const char *event)
{
	put_time(line);
	buffer_printf(line, ",\"level\":\"%s\",\"pid\":%ld,\"event\":", level_names[level], (long)getpid());
	log_quote(line, event, strnlen(event, EVENT_MAX));
}

/* A line below the level stays empty, and an empty line takes no fields and is not written. */
void
log_begin(struct buffer *line, enum log_level level, const char *event)
{
	buffer_clear(line);
	if (log_enabled(level))
		put_head(line, level, event);
}

static void
put_name(struct buffer *line, const char *name)
{
	buffer_putc(line, ',');
	log_quote(line, name, strlen(name));
	buffer_putc(line, ':');
}

void
log_field(struct buffer *line, const char *name, struct slice value)
{
	if (line->len == 0 || value.data == NULL)
		return;
	put_name(line, name);
	log_quote(line, value.data, value.len);
}

void
log_field_number(struct buffer *line, const char *name, long long value)
{
	if (line->len == 0)
		return;
	put_name(line, name);
	buffer_printf(line, "%lld", value);
}

/* One write(2) takes whole lines; only a signal, or the last bytes of a disk, can leave a rest. Returns how much was written. */
static size_t
write_all(const char *data, size_t len)
{
	size_t done = 0;

	while (done < len) {
		ssize_t written = write(STDERR_FILENO, data + done, len - done);
		if (written < 0 && errno == EINTR)
			continue;
		if (written <= 0)
			break;
		done += (size_t)written;
	}
	if (done < len)
		lost.reason = errno;
	if (done > 0)
		lost.torn = data[done - 1] != '\n';
	return done;
}

/* Tells of the lines that are lost. Whether the log can be written. */
static bool
tell_lost(void)
{
	char space[512];
	struct buffer line = { .data = space, .capacity = sizeof(space) };

	if (lost.lines == 0)
		return true;
	if (lost.torn)
		buffer_putc(&line, '\n');
	put_head(&line, LOG_LEVEL_ERROR, "log");
	log_field(&line, "message", SLICE("lines are lost: the log could not be written"));
	log_field(&line, "reason", slice_of(strerror(lost.reason)));
	log_field_number(&line, "lines", lost.lines);
	BUFFER_LITERAL(&line, "}\n");
	if (write_all(line.data, line.len) < line.len)
		return false;
	lost.lines = 0;
	return true;
}

/* A log that cannot be written stops nobody. */
static void
write_lines(const char *data, size_t len)
{
	size_t done = tell_lost() ? write_all(data, len) : 0;

	for (; done < len; done++)
		lost.lines += data[done] == '\n';
}

void
log_end(struct buffer *line)
{
	if (line->len == 0)
		return;
	BUFFER_LITERAL(line, "}\n");
	int saved_errno = errno;
	write_lines(line->data, line->len);
	errno = saved_errno;
	buffer_clear(line);
}

void
log_hold(struct buffer *line, struct buffer *held)
{
	if (line->len == 0)
		return;
	BUFFER_LITERAL(line, "}\n");
	if (held->len + line->len > PIPE_BUF)
		log_flush(held);
	buffer_append(held, line->data, line->len);
	buffer_clear(line);
}

void
log_flush(struct buffer *held)
{
	if (held->len > 0)
		write_lines(held->data, held->len);
	buffer_clear(held);
}

PRINTF_LIKE(3, 0)
static void
write_message(enum log_level level, const char *event, const char *format, va_list args)
{
	static const char cut_mark[] = "...";
	char message[MESSAGE_MAX], space[LINE_SIZE];
	int length = vsnprintf(message, sizeof(message), format, args);
	if (length < 0)
		length = snprintf(message, sizeof(message), "%s", format);
	if ((size_t)length >= sizeof(message)) {
		length = (int)sizeof(message) - 1;
		memcpy(message + sizeof(message) - sizeof(cut_mark), cut_mark, sizeof(cut_mark));
	}

	struct buffer line = { .data = space, .capacity = sizeof(space) };
	log_begin(&line, level, event);
	log_field(&line, "message", (struct slice){ message, (size_t)length });
	log_end(&line);
}

void
log_write(enum log_level level, const char *event, const char *format, ...)
{
	if (!log_enabled(level))
		return;
	va_list args;
	va_start(args, format);
	write_message(level, event, format, args);
	va_end(args);
}

void
log_fatal(const char *event, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	write_message(LOG_LEVEL_ERROR, event, format, args);
	va_end(args);
	_exit(LOG_FATAL_STATUS);
}
