/*
 * JSON in (RFC 8259, strictly: json-c behind a check of our own) and JSON out (an appending writer).
 * The one file that includes json-c's header is json.c.
 */
#ifndef JOBFORGE_JSON_H
#define JOBFORGE_JSON_H

#include "base.h"

struct arena;
struct buffer;
struct json; /* a value of a parsed document; lives until the arena is reset */

/* libjansson, which libjwt uses, has functions named json_string and json_integer too. Hidden, ours are not taken for
 * them when the program is loaded. */
#pragma GCC visibility push(hidden)

enum json_type { JSON_NULL, JSON_BOOL, JSON_NUMBER, JSON_STRING, JSON_ARRAY, JSON_OBJECT };

enum {
	JSON_MAX_DEPTH = 32,
	JSON_MAX_CONTAINERS = 10000 /* arrays and objects of one text: "{}" is 2 bytes sent and 900 kept */
};

/*
 * Parses exactly one JSON text: UTF-8 without BOM, no trailing bytes but white space, at most JSON_MAX_DEPTH deep with
 * JSON_MAX_CONTAINERS arrays and objects, no lone surrogates in \u escapes, no control characters in strings, numbers
 * as RFC 8259 section 6 has them. U+0000 is allowed in a string, and the field that holds it refuses it; a key that
 * holds it is refused here. A repeated key: the last one counts. On failure returns NULL and points *error at a
 * sentence for the client (static or in the arena) that names the offset, with no bytes of the text itself. A document
 * that is just `null` yields a value of type JSON_NULL.
 */
struct json *json_parse(struct arena *arena, const char *text, size_t len, const char **error) MUST_CHECK;

/* Whether json_parse() would take the text, found without keeping anything of it. */
bool json_valid(const char *text, size_t len) MUST_CHECK;

enum json_type json_type(const struct json *value);
bool json_bool(const struct json *value);

/* The string's bytes; may hold NUL bytes. Absent for anything that is no JSON_STRING, NULL (no such member) too. */
struct slice json_string(const struct json *value);

/* True and *out when the value is there and an integer within int64_t, as written (1, -3; not 1.0, 1e3). */
bool json_integer(const struct json *value, int64_t *out) MUST_CHECK;

/* True and *out when the number is finite as a double. */
bool json_double(const struct json *value, double *out) MUST_CHECK;

size_t json_length(const struct json *array);
struct json *json_at(const struct json *array, size_t index);

/* Members of an object in the order of their keys; start with a zeroed cursor; false after the last. */
struct json_cursor {
	const void *entry;
	bool started;
	struct slice key;
	struct json *value;
};
bool json_next(const struct json *object, struct json_cursor *cursor) MUST_CHECK;

/* The member `key`, or NULL when there is none. (A member that is null gives a value of type JSON_NULL.) */
struct json *json_get(const struct json *object, const char *key);

/*
 * Appends `text` as a JSON string with its quotes. `text` is valid UTF-8 (all text in the database is); '"', '\\' and
 * control characters are escaped, and U+2028/2029 are not (JSON allows them).
 */
void json_write_string(struct buffer *out, const char *text, size_t len);

#pragma GCC visibility pop

#endif
