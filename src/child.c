#include "child.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

/* ---- starting ---- */

/* The environment with PGPASSWORD. The array and that one string are the caller's to free, the rest stays ours. */
static char **
environment_with(const char *password, char **own)
{
	size_t count = 0, kept = 0;
	while (environ[count] != NULL)
		count++;
	char **copy = calloc(count + 2, sizeof(*copy));
	if (copy == NULL || asprintf(own, "PGPASSWORD=%s", password) < 0) {
		free(copy);
		*own = NULL;
		return NULL;
	}
	for (size_t i = 0; i < count; i++)
		if (strncmp(environ[i], "PGPASSWORD=", 11) != 0)
			copy[kept++] = environ[i];
	copy[kept] = *own;
	return copy;
}

/* Signals are as a program finds them at its start, whatever we ignore. */
static void
prepare(posix_spawnattr_t *attributes, posix_spawn_file_actions_t *actions, const int descriptors[3])
{
	static const int signals[] = { SIGINT, SIGTERM, SIGPIPE, SIGXFSZ };
	sigset_t defaults, none;
	sigemptyset(&defaults);
	sigemptyset(&none);
	for (size_t i = 0; i < COUNT_OF(signals); i++)
		sigaddset(&defaults, signals[i]);
	posix_spawnattr_init(attributes);
	posix_spawnattr_setsigdefault(attributes, &defaults);
	posix_spawnattr_setsigmask(attributes, &none);
	posix_spawnattr_setflags(attributes, POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK);
	posix_spawn_file_actions_init(actions);
	for (int i = 0; i < 3; i++) {
		if (descriptors[i] == CHILD_NONE)
			posix_spawn_file_actions_addopen(actions, i, "/dev/null", i == 0 ? O_RDONLY : O_WRONLY, 0);
		else
			posix_spawn_file_actions_adddup2(actions, descriptors[i], i);
	}
}

static int
spawn(struct child *child, const char *program, const char *const arguments[], char *const environment[],
    const int descriptors[3])
{
	posix_spawnattr_t attributes;
	posix_spawn_file_actions_t actions;
	prepare(&attributes, &actions, descriptors);
	int result = posix_spawnp(&child->pid, program, &actions, &attributes, (char *const *)(uintptr_t)arguments, environment);
	posix_spawn_file_actions_destroy(&actions);
	posix_spawnattr_destroy(&attributes);
	if (result != 0)
		child->pid = 0;
	return result;
}

int
child_start(struct child *child, const char *program, const char *const arguments[], const char *password, int in, int out,
    char *error, size_t error_size)
{
	char *own = NULL, **environment = environ;
	*child = (struct child){ .name = arguments[0], .messages = memfd_create("messages", MFD_CLOEXEC) };
	if (password != NULL)
		environment = environment_with(password, &own);
	if (child->messages < 0 || environment == NULL) {
		snprintf(error, error_size, "%s cannot be run: out of memory", program);
		free(own);
		return -1;
	}
	int failure = spawn(child, program, arguments, environment, (const int[3]){ in, out, child->messages });
	if (password != NULL)
		free(environment);
	free(own);
	if (failure == 0)
		return 0;
	snprintf(error, error_size, "%s cannot be run: %s; install PostgreSQL's client programs, or set pg_bin to their directory",
	    program, strerror(failure));
	close(child->messages);
	child->messages = -1;
	return -1;
}

/* ---- ending ---- */

/* From where a line tells of an error; NULL when it does not. */
static char *
find_error(char *line)
{
	static const char *const words[] = { "error: ", "ERROR: ", "FATAL: " };
	for (size_t i = 0; i < COUNT_OF(words); i++) {
		char *found = strstr(line, words[i]);
		if (found != NULL)
			return found + strlen(words[i]) + strspn(found + strlen(words[i]), " ");
	}
	return NULL;
}

/* The first error of what it said, else the last line, without a full stop at its end; "" when it said nothing. */
static void
summarise(int messages, char *out, size_t size)
{
	char text[4096], *save = NULL;
	ssize_t len = pread(messages, text, sizeof(text) - 1, 0);
	text[len < 0 ? 0 : len] = '\0';
	out[0] = '\0';
	for (char *line = strtok_r(text, "\r\n", &save); line != NULL; line = strtok_r(NULL, "\r\n", &save)) {
		char *found = find_error(line);
		size_t used = strlen(found == NULL ? line : found);
		while (used > 0 && (found == NULL ? line : found)[used - 1] == '.')
			used--;
		snprintf(out, size, "%.*s", (int)used, found == NULL ? line : found);
		if (found != NULL)
			return;
	}
}

static int
reap(pid_t pid)
{
	int status;
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return -1;
	return status;
}

int
child_wait(struct child *child, char *error, size_t error_size)
{
	char said[1024];
	if (child->pid == 0)
		return -1;
	int status = reap(child->pid);
	child->pid = 0;
	summarise(child->messages, said, sizeof(said));
	close(child->messages);
	child->messages = -1;
	if (status == 0)
		return 0;
	if (WIFSIGNALED(status))
		snprintf(error, error_size, "%s was ended by signal %d (%s)", child->name, WTERMSIG(status),
		    strsignal(WTERMSIG(status)));
	else
		snprintf(error, error_size, "%s failed: %s", child->name, said[0] == '\0' ? "it did not say why" : said);
	return -1;
}

void
child_kill(struct child *child)
{
	char ignored[64];
	if (child->pid == 0)
		return;
	kill(child->pid, SIGTERM);
	if (child_wait(child, ignored, sizeof(ignored)) != 0)
		return;
}

/* ---- input and output ---- */

int
child_pipe(int ends[2], char *error, size_t error_size)
{
	if (pipe2(ends, O_CLOEXEC) == 0)
		return 0;
	snprintf(error, error_size, "no pipe can be made: %s", strerror(errno));
	return -1;
}

int
child_write(int descriptor, const void *data, size_t len)
{
	const char *at = data;
	while (len > 0) {
		ssize_t written = write(descriptor, at, len);
		if (written < 0 && errno == EINTR)
			continue;
		if (written < 0)
			return -1;
		at += written;
		len -= (size_t)written;
	}
	return 0;
}

/* Reads to the end, keeping what fits: a program whose output nobody takes any more would be ended by that. */
static void
read_output(int descriptor, char *output, size_t size)
{
	char rest[512];
	size_t len = 0;
	for (;;) {
		bool full = len + 1 >= size;
		ssize_t got = full ? read(descriptor, rest, sizeof(rest)) : read(descriptor, output + len, size - 1 - len);
		if (got == 0 || (got < 0 && errno != EINTR))
			break;
		if (got > 0 && !full)
			len += (size_t)got;
	}
	output[len] = '\0';
}

int
child_output(const char *program, const char *const arguments[], char *output, size_t output_size, char *error,
    size_t error_size)
{
	struct child child;
	int ends[2];
	if (child_pipe(ends, error, error_size) != 0)
		return -1;
	int started = child_start(&child, program, arguments, NULL, CHILD_NONE, ends[1], error, error_size);
	close(ends[1]);
	if (started == 0)
		read_output(ends[0], output, output_size);
	close(ends[0]);
	return started == 0 ? child_wait(&child, error, error_size) : -1;
}
