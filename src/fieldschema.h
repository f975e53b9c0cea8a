/* Field tables as JSON Schema (draft 2020-12, the dialect of OpenAPI 3.1), with an example in each. */
#ifndef JOBFORGE_FIELDSCHEMA_H
#define JOBFORGE_FIELDSCHEMA_H

#include "base.h"
#include "field.h"

struct writer;

enum fieldschema_use {
	FIELDSCHEMA_BODY,    /* what field_read_body() takes */
	FIELDSCHEMA_PARTIAL, /* the same of a merge patch: no field is required */
	FIELDSCHEMA_TEXT,    /* what field_read_text() takes: a parameter */
	FIELDSCHEMA_ANSWER   /* what a row of an answer holds: every field but the optional ones */
};

/* The schema of one field's value, as the member `name` (NULL: an element). */
void fieldschema_write(struct writer *writer, const char *name, const struct field *field, enum fieldschema_use use);

/* The schema of an object of these fields and no others. */
void fieldschema_write_object(struct writer *writer, const char *name, const struct field fields[],
    enum fieldschema_use use);

/* An object that is valid against it. */
void fieldschema_write_example(struct writer *writer, const char *name, const struct field fields[],
    enum fieldschema_use use);

/* The example of one field as text: its own, or one that its type gives. For types that have a text. */
const char *fieldschema_example_text(const struct field *field);

#endif
