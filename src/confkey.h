/* The table behind conf.h, for the two files that walk it: conf.c, which holds and fills it, and confprint.c. */
#ifndef JOBFORGE_CONFKEY_H
#define JOBFORGE_CONFKEY_H

#include "base.h"
#include "conf.h"

enum confkey_type { CONFKEY_STRING, CONFKEY_CONNINFO, CONFKEY_INTEGER, CONFKEY_BOOLEAN, CONFKEY_LEVEL };

struct confkey {
	const char *name;
	enum confkey_type type;
	size_t offset;              /* in struct conf */
	const char *fallback;       /* the default, as text */
	int min;                    /* of a number, or of the bytes of a string */
	int max;
	const char *const *choices; /* all the words that a string or level may be, NULL-terminated; or NULL */
	const char *help;           /* one sentence */
};

/* The key at `index` of the table, or NULL past its end. */
const struct confkey *confkey_at(size_t index);

/* Where its value is: char *, int, bool or enum log_level, by its type. */
void *confkey_member(const struct conf *conf, const struct confkey *key);

bool confkey_is_string(const struct confkey *key);

/* Appends its choices as "a, b or c". */
void confkey_append_choices(struct buffer *out, const struct confkey *key);

#endif
