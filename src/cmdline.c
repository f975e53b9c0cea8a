#include "cmdline.h"

#include <stdlib.h>
#include <unistd.h>

static void
hide(char *text)
{
	memset(text, '*', strlen(text));
}

/*
 * The C library's list stays where it is, since a program may have kept its address. All variables are one piece of
 * memory: that of one alone would be lost when it is unset.
 */
static int
hide_environment(void)
{
	size_t size = 0;

	for (char **variable = environ; *variable != NULL; variable++)
		size += strlen(*variable) + 1;
	if (size == 0)
		return 0;
	char *copy = malloc(size);
	if (copy == NULL)
		return -1;
	for (char **variable = environ; *variable != NULL; variable++) {
		char *next = stpcpy(copy, *variable) + 1;
		hide(*variable);
		*variable = copy;
		copy = next;
	}
	/* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): the environment holds it */
	return 0;
}

int
cmdline_hide(int argc, char *argv[], char *copies[], bool (*is_secret)(const char *argument))
{
	for (int i = 0; i < argc; i++) {
		char *equals = strchr(argv[i], '=');
		copies[i] = strdup(argv[i]);
		if (copies[i] == NULL)
			return -1;
		if (equals != NULL && is_secret(argv[i]))
			hide(equals + 1);
	}
	copies[argc] = NULL;
	return hide_environment();
}

void
cmdline_forget(char *copies[], const char *prefix)
{
	for (char **copy = copies; *copy != NULL; copy++) {
		explicit_bzero(*copy, strlen(*copy));
		free(*copy);
	}
	copies[0] = NULL;
	for (char **variable = environ; *variable != NULL; variable++)
		if (strncmp(*variable, prefix, strlen(prefix)) == 0)
			explicit_bzero(*variable, strlen(*variable));
}
