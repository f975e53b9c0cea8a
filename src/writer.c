#include "writer.h"

#include <stdlib.h>

#include "buffer.h"
#include "json.h"

static void
begin_value(struct writer *writer, const char *name)
{
	if (writer->more)
		buffer_putc(writer->out, ',');
	writer->more = true;
	if (name == NULL)
		return;
	json_write_string(writer->out, name, strlen(name));
	buffer_putc(writer->out, ':');
}

static void
open_value(struct writer *writer, const char *name, char open, char close)
{
	if (writer->depth == WRITER_DEPTH)
		abort();
	begin_value(writer, name);
	buffer_putc(writer->out, open);
	writer->ends[writer->depth++] = close;
	writer->more = false;
}

void
writer_object(struct writer *writer, const char *name)
{
	open_value(writer, name, '{', '}');
}

void
writer_array(struct writer *writer, const char *name)
{
	open_value(writer, name, '[', ']');
}

void
writer_end(struct writer *writer)
{
	if (writer->depth == 0)
		abort();
	buffer_putc(writer->out, writer->ends[--writer->depth]);
	writer->more = true;
}

void
writer_string(struct writer *writer, const char *name, const char *text)
{
	begin_value(writer, name);
	json_write_string(writer->out, text, strlen(text));
}

void
writer_integer(struct writer *writer, const char *name, long long number)
{
	begin_value(writer, name);
	buffer_printf(writer->out, "%lld", number);
}

void
writer_bool(struct writer *writer, const char *name, bool value)
{
	begin_value(writer, name);
	buffer_puts(writer->out, value ? "true" : "false");
}

void
writer_null(struct writer *writer, const char *name)
{
	begin_value(writer, name);
	buffer_puts(writer->out, "null");
}

void
writer_number(struct writer *writer, const char *name, const char *text)
{
	begin_value(writer, name);
	buffer_puts(writer->out, text);
}
