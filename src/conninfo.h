/* Connection strings as text, for files that know nothing of libpq. */
#ifndef JOBFORGE_CONNINFO_H
#define JOBFORGE_CONNINFO_H

#include "base.h"

struct buffer;

/*
 * Appends a libpq connection string (keyword=value pairs or a URI) with "***" for each secret in it. It hides too much
 * rather than too little: of a string that libpq would not take, nothing is shown but "***".
 */
void conninfo_mask(struct buffer *out, const char *conninfo);

/* Whether it is a URI or keyword=value pairs. Of another text libpq's own error would show a part, which may be a
 * password. */
bool conninfo_valid(const char *conninfo);

/* How many items a list has of which commas are the separators; 0 when it is empty, or one of them is. */
int conninfo_count(const char *list);

/* Copies the item, numbered from 0, as far as it fits; of an empty list, nothing. */
void conninfo_item(const char *list, int number, char *out, size_t size);

#endif
