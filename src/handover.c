#include "handover.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "buffer.h"
#include "child.h"
#include "listener.h"

/* POOL:INHERITED for each pool, a blank, then POOL:PID for each worker. */
static const char variable[] = "JOBFORGED_HANDOVER";

enum { MAX_ARGUMENTS = 128 };

void
handover_begin(char path[], size_t size)
{
	ssize_t len = readlink("/proc/self/exe", path, size - 1);

	path[len < 0 ? 0 : len] = '\0';
}

bool
handover_due(const char *path)
{
	struct stat running, present;

	return path[0] != '\0' && stat("/proc/self/exe", &running) == 0 && stat(path, &present) == 0 &&
	    (running.st_ino != present.st_ino || running.st_dev != present.st_dev);
}

int
handover_check(const char *path, char *const arguments[], char *error, size_t error_size)
{
	const char *words[MAX_ARGUMENTS + 2];
	char output[512];
	int count = 0;

	while (count < MAX_ARGUMENTS && arguments[count] != NULL) {
		words[count] = arguments[count];
		count++;
	}
	words[count] = "-t";
	words[count + 1] = NULL;
	return child_output(path, words, output, sizeof(output), error, error_size);
}

static void
describe(const struct handover *handover, struct buffer *out)
{
	for (int pool = 0; pool < POOL_COUNT; pool++)
		buffer_printf(out, "%d:%d ", pool, handover->inherited[pool]);
	for (int i = 0; i < handover->count; i++)
		buffer_printf(out, "%d:%d ", (int)handover->workers[i].pool, (int)handover->workers[i].pid);
	buffer_putc(out, '\0');
}

void
handover_become(const char *path, char *const arguments[], struct handover *handover, char *error, size_t error_size)
{
	struct buffer text = { 0 };

	describe(handover, &text);
	if (listener_bequeath(handover->listeners, endpoint_pool_names, POOL_COUNT) == 0 && setenv(variable, text.data, 1) == 0)
		execv(path, arguments);
	snprintf(error, error_size, "%s cannot be run: %s", path, strerror(errno));
	unsetenv(variable);
	buffer_free(&text);
}

static bool
take_pair(const char **text, int *pool, int *number)
{
	int len = 0;

	if (sscanf(*text, "%d:%d%n", pool, number, &len) != 2 || *pool < 0 || *pool >= POOL_COUNT)
		return false;
	*text += len;
	return true;
}

bool
handover_take(struct handover *handover)
{
	const char *text = getenv(variable);
	int pool, number;

	*handover = (struct handover){ 0 };
	if (text == NULL)
		return false;
	for (int i = 0; i < POOL_COUNT && take_pair(&text, &pool, &number); i++)
		handover->inherited[pool] = number != 0;
	while (handover->count < HANDOVER_MAX_WORKERS && take_pair(&text, &pool, &number))
		handover->workers[handover->count++] = (struct handover_worker){ number, (enum pool)pool };
	unsetenv(variable);
	return true;
}
