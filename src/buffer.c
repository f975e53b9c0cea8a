#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "buffer.h"
#include "log.h"

enum { SMALLEST = 256, KEPT = 1024 * 1024 };

static void
grow(struct buffer *buffer, size_t extra)
{
	if (extra > PTRDIFF_MAX - buffer->len)
		log_fatal("out_of_memory", "a buffer of %zu bytes was asked for %zu more", buffer->len, extra);

	size_t needed = buffer->len + extra;
	size_t capacity = buffer->capacity < SMALLEST ? SMALLEST : buffer->capacity;
	while (capacity < needed)
		capacity *= 2;
	char *data = realloc(buffer->data, capacity);
	if (data == NULL)
		log_fatal("out_of_memory", "no memory for a buffer of %zu bytes", capacity);
	buffer->data = data;
	buffer->capacity = capacity;
}

char *
buffer_reserve(struct buffer *buffer, size_t extra)
{
	if (buffer->data == NULL || extra > buffer->capacity - buffer->len)
		grow(buffer, extra);
	return buffer->data + buffer->len;
}

void
buffer_append(struct buffer *buffer, const char *data, size_t len)
{
	if (len == 0)
		return; /* `data` may then be NULL, which memcpy() must not see */
	memcpy(buffer_reserve(buffer, len), data, len);
	buffer->len += len;
}

void
buffer_puts(struct buffer *buffer, const char *string)
{
	buffer_append(buffer, string, strlen(string));
}

void
buffer_putc(struct buffer *buffer, char c)
{
	*buffer_reserve(buffer, 1) = c;
	buffer->len++;
}

/* Prints into the room there is; when that is too little, makes it and prints again. */
void
buffer_printf(struct buffer *buffer, const char *format, ...)
{
	va_list args, again;
	va_start(args, format);
	va_copy(again, args);
	char *end = buffer_reserve(buffer, 1);
	size_t room = buffer->capacity - buffer->len;
	int length = vsnprintf(end, room, format, args);
	if (length >= 0 && (size_t)length >= room) {
		end = buffer_reserve(buffer, (size_t)length + 1);
		length = vsnprintf(end, (size_t)length + 1, format, again);
	}
	va_end(again);
	va_end(args);
	if (length < 0)
		log_fatal("out_of_memory", "a formatted string could not be made");
	buffer->len += (size_t)length;
}

void
buffer_clear(struct buffer *buffer)
{
	buffer->len = 0;
	if (buffer->capacity > KEPT)
		buffer_free(buffer);
}

void
buffer_free(struct buffer *buffer)
{
	free(buffer->data);
	*buffer = (struct buffer){ 0 };
}

void
buffer_wipe(struct buffer *buffer)
{
	if (buffer->data != NULL)
		explicit_bzero(buffer->data, buffer->capacity);
	buffer_free(buffer);
}
