/*
 * Connection strings: conninfo.c, judged by libpq's own reading of them.
 *
 * Holds for every input: a string that libpq takes is one that conninfo_valid() takes, unless it names nothing; what
 * is shown of it holds no password of it that is long enough to be told from other words.
 */
#include "fuzz.h"

#include <libpq-fe.h>
#include <stdlib.h>

#include "conninfo.h"

enum { SECRET = 6 };

static int
occurrences(const char *text, const char *word)
{
	int count = 0;

	for (const char *at = text; (at = strstr(at, word)) != NULL; at++)
		count++;
	return count;
}

/* A password that stands elsewhere too, as a user's name or in a path, is shown there: what may not be is all of
 * them. With escapes in the string it cannot be told which of them is the password. */
static void
check_secret(const char *conninfo, const char *shown, const char *secret)
{
	if (strlen(secret) < SECRET || strpbrk(conninfo, "\\%") != NULL)
		return;
	int there = occurrences(conninfo, secret);
	HOLDS(there == 0 || occurrences(shown, secret) < there);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const secrets[] = { "password", "sslpassword" };
	const char *conninfo = arena_copy(fuzz_arena(), (const char *)data, size);
	struct buffer out = { 0 };
	char *error = NULL;

	PQconninfoOption *options = PQconninfoParse(conninfo, &error);
	conninfo_mask(&out, conninfo);
	buffer_putc(&out, '\0');
	bool valid = conninfo_valid(conninfo);
	for (const PQconninfoOption *option = options; option != NULL && option->keyword != NULL; option++) {
		HOLDS(valid);
		for (size_t i = 0; i < COUNT_OF(secrets); i++)
			if (option->val != NULL && strcmp(option->keyword, secrets[i]) == 0)
				check_secret(conninfo, out.data, option->val);
	}
	PQconninfoFree(options);
	PQfreemem(error);
	buffer_free(&out);
	arena_reset(fuzz_arena());
	return 0;
}
