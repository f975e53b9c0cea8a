/*
 * Fields: what a body or a query may hold, as a table; the loop over it turns text into checked values. A value that
 * passes here is of the right type for its statement, so that the database's own refusal is the exception.
 */
#ifndef JOBFORGE_FIELD_H
#define JOBFORGE_FIELD_H

#include "base.h"

struct arena;
struct faults;
struct json;

enum field_type {
	FIELD_TEXT, /* min..max characters (code points), not blank when min > 0 */
	FIELD_EMAIL,
	FIELD_PASSWORD, /* min..max bytes */
	FIELD_URL,
	FIELD_UUID,
	FIELD_ENUM,
	FIELD_BOOL,
	FIELD_INTEGER, /* min..max */
	FIELD_TIME,    /* RFC 3339, or a date */
	FIELD_TOKEN,   /* 1..max visible ASCII characters */
	FIELD_VECTOR,  /* `max` numbers, each finite in single precision; only in a body */
	FIELD_NUMBER,  /* the rest only in answers: a number, */
	FIELD_OBJECT,  /* an object of `fields`, */
	FIELD_ARRAY    /* an array of such objects */
};

struct field {
	const char *name; /* NULL ends a table */
	enum field_type type;
	bool required;   /* may not be absent */
	bool nullable;   /* may be null, in a body */
	bool repeatable; /* may occur several times, in a query: bound as an array */
	bool optional;   /* of an answer: may be absent */
	bool either;     /* of a body: exactly one of the fields so marked is sent; its handler sees to it */
	int min;
	int max;
	int max_bytes;              /* of FIELD_TEXT; 0: as many as `max` characters have */
	const char *const *choices; /* of FIELD_ENUM, NULL-terminated */
	const struct field *fields; /* of FIELD_OBJECT and FIELD_ARRAY */
	const char *about;          /* one sentence for the description of the API */
	const char *example;        /* a value for the description, as text; NULL: one that the type gives */
};

enum { FIELDS_MAX = 24 };

struct value {
	bool present;
	const char *text; /* NUL-terminated, as PostgreSQL reads it; NULL: null */
};

/* How many fields a table has. */
int field_count(const struct field fields[]);

/*
 * Fills values[] (one a field) from a JSON object, noting every fault at `prefix`/<field>: wrong types, bounds, unknown
 * members, and, unless `partial` (a merge patch), absent required ones.
 */
void field_read_body(struct arena *arena, const struct field fields[], const struct json *object, bool partial,
    const char *prefix, struct value values[], struct faults *faults);

/*
 * Checks the text of one query parameter or path segment. 0 and *out, or -1 and the reason in *error ("must be ...").
 */
int field_read_text(struct arena *arena, const struct field *field, struct slice text, const char **out,
    const char **error) MUST_CHECK;

/* `prefix`/<key> for a key of the client's own, escaped as RFC 6901 has it and cut, since the client may send anything. */
const char *field_unknown_pointer(struct arena *arena, const char *prefix, struct slice key);

/* The array literal of PostgreSQL ('{"a","b",NULL}') for `count` texts. */
const char *field_array(struct arena *arena, const char *const texts[], int count);

#endif
