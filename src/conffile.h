/*
 * The syntax of the configuration file: lines of `key = value`, '#' comments, values in quotes where they need it. What
 * the keys mean is conf.c's business. See jobforged.conf(5).
 */
#ifndef JOBFORGE_CONFFILE_H
#define JOBFORGE_CONFFILE_H

#include "base.h"

enum { CONFFILE_MAX = 256 * 1024 }; /* bytes of a file: a larger one is no configuration */

/* Start with the text in `at` and the rest zeroed. The text is the caller's, and is written to as it is read. */
struct conffile {
	char *at;
	size_t left;
	int line;            /* of the entry, or of the fault; from 1 */
	struct slice key;    /* of the entry: lower-case letters, digits and '_' */
	struct slice value;  /* without quotes, comment and surrounding blanks; conffile_text_valid() */
	const char *problem; /* a sentence that repeats nothing of the line, which may hold a password */
};

/* Whether it can be a value: UTF-8 without control characters other than the tab. */
bool conffile_text_valid(struct slice text);

/* Goes to the next entry: 1, or 0 at the end, or -1 with a `problem`. */
int conffile_next(struct conffile *file) MUST_CHECK;

#endif
