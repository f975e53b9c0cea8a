/* JSON out, member by member, for documents that are made by walking tables: commas and brackets are the writer's to keep. */
#ifndef JOBFORGE_WRITER_H
#define JOBFORGE_WRITER_H

#include "base.h"

struct buffer;

enum { WRITER_DEPTH = 32 };

/* Begins with { .out = &buffer }. */
struct writer {
	struct buffer *out; /* the caller's */
	bool more;          /* something stands before the next member */
	int depth;
	char ends[WRITER_DEPTH]; /* what closes each open object and array */
};

/* In each, `name` is that of the member, NULL for an element of an array and for the document itself. */

void writer_object(struct writer *writer, const char *name);
void writer_array(struct writer *writer, const char *name);

/* Closes the innermost object or array. Deeper than WRITER_DEPTH ends the process: tables do not nest so. */
void writer_end(struct writer *writer);

void writer_string(struct writer *writer, const char *name, const char *text);
void writer_integer(struct writer *writer, const char *name, long long number);
void writer_bool(struct writer *writer, const char *name, bool value);
void writer_null(struct writer *writer, const char *name);

/* `text` is a number as JSON has it. */
void writer_number(struct writer *writer, const char *name, const char *text);

#endif
