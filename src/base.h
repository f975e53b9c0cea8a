/* What every file may use: slices of bytes and the annotations that turn mistakes into warnings. */
#ifndef JOBFORGE_BASE_H
#define JOBFORGE_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define MUST_CHECK __attribute__((warn_unused_result))
#define PRINTF_LIKE(fmt, args) __attribute__((format(printf, fmt, args)))
#define NORETURN __attribute__((noreturn))
#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

/* A run of bytes that somebody else owns; `data` is NULL when the thing it stands for is absent. */
struct slice {
	const char *data;
	size_t len;
};

#define SLICE(literal) ((struct slice){ (literal), sizeof(literal) - 1 })

static inline struct slice
slice_of(const char *string)
{
	return (struct slice){ string, string == NULL ? 0 : strlen(string) };
}

static inline bool
slice_is(struct slice slice, const char *string)
{
	size_t len = strlen(string);
	return slice.data != NULL && slice.len == len && memcmp(slice.data, string, len) == 0;
}

#endif
