#include "fuzz.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "log.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);

const uint8_t fuzz_key[32] = "a key that the fuzzer may know.";

void
fuzz_broken(const char *file, int line, const char *promise)
{
	fprintf(stderr, "%s:%d: does not hold: %s\n", file, line, promise);
	abort();
}

struct arena *
fuzz_arena(void)
{
	static struct arena *arena;

	if (arena == NULL)
		arena = arena_new();
	return arena;
}

struct slice
fuzz_line(struct slice *input)
{
	const char *end = input->len == 0 ? NULL : memchr(input->data, '\n', input->len);
	struct slice line = { input->data, end == NULL ? input->len : (size_t)(end - input->data) };
	size_t taken = line.len + (end != NULL);

	input->data += taken;
	input->len -= taken;
	return line;
}

uint8_t
fuzz_byte(struct slice *input)
{
	if (input->len == 0)
		return 0;
	input->len--;
	return (uint8_t)*input->data++;
}

struct slice
fuzz_exact(struct slice text)
{
	char *copy = malloc(text.len > 0 ? text.len : 1);

	HOLDS(copy != NULL);
	if (text.len > 0)
		memcpy(copy, text.data, text.len);
	arena_defer(fuzz_arena(), free, copy);
	return (struct slice){ copy, text.len };
}

bool
fuzz_same(struct slice a, struct slice b)
{
	return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

void
fuzz_file(int slot, struct slice text, char path[FUZZ_PATH])
{
	static int files[FUZZ_SLOTS];

	if (files[slot] == 0) {
		files[slot] = memfd_create("fuzz", MFD_CLOEXEC);
		HOLDS(files[slot] > 0 && fchmod(files[slot], 0600) == 0);
	}
	HOLDS(ftruncate(files[slot], 0) == 0);
	HOLDS(pwrite(files[slot], text.data, text.len, 0) == (ssize_t)text.len);
	snprintf(path, FUZZ_PATH, "/proc/self/fd/%d", files[slot]);
}

/* Called by libFuzzer before the first input. */
int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
	extern char **environ;
	static char *none[] = { NULL };

	(void)argc;
	(void)argv;
	environ = none; /* settings of the caller's are no part of an input */
	log_set_level(LOG_LEVEL_NONE);
	return 0;
}
