#include "apart.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "log.h"

enum { CHUNK = 64 * 1024 };

/* ---- in the process ---- */

/* Close-on-exec does nothing for a process that runs no other program. */
static void
close_others(int kept)
{
	unsigned first = STDERR_FILENO + 1;

	if (((unsigned)kept == first || close_range(first, (unsigned)kept - 1, 0) == 0) && close_range((unsigned)kept + 1, ~0U, 0) == 0)
		return;
	for (int fd = (int)first; fd < sysconf(_SC_OPEN_MAX); fd++) /* a kernel before 5.9 */
		if (fd != kept)
			close(fd);
}

/* A limit that is met leaves no core file and no words of a sanitizer, whatever the parent does with the signals. */
static void
limit_process(const struct apart *apart)
{
	static const int deadly[] = { SIGALRM, SIGPROF, SIGSEGV, SIGBUS, SIGABRT, SIGILL, SIGFPE };
	struct itimerval limit = { .it_value = { apart->milliseconds / 1000, apart->milliseconds % 1000 * 1000 } };
	sigset_t set;

	sigemptyset(&set);
	for (size_t i = 0; i < COUNT_OF(deadly); i++) {
		signal(deadly[i], SIG_DFL);
		sigaddset(&set, deadly[i]);
	}
	sigprocmask(SIG_UNBLOCK, &set, NULL);
	if (setitimer(apart->timer, &limit, NULL) != 0 || setrlimit(RLIMIT_CORE, &(struct rlimit){ 0 }) != 0)
		_exit(EXIT_FAILURE);
}

NORETURN static void
run_child(const struct apart *apart, int output, pid_t parent)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(EXIT_FAILURE);
	close_others(output);
	limit_process(apart);
	apart->work(output, apart->argument);
	_exit(EXIT_SUCCESS);
}

void
apart_say(int output, const char *data, size_t len)
{
	while (len > 0) {
		ssize_t written = write(output, data, len);
		if (written < 0 && errno != EINTR)
			_exit(EXIT_FAILURE);
		if (written > 0) {
			data += written;
			len -= (size_t)written;
		}
	}
}

/* ---- in the caller's process ---- */

/* Appends what comes until the end, unless it is too much. */
static bool
read_output(struct buffer *out, int input, size_t most)
{
	for (size_t total = 0; total <= most;) {
		ssize_t got = read(input, buffer_reserve(out, CHUNK), CHUNK);
		if (got == 0)
			return true;
		if (got < 0 && errno != EINTR)
			return false;
		if (got > 0) {
			out->len += (size_t)got;
			total += (size_t)got;
		}
	}
	return false;
}

static bool
ended_well(pid_t child)
{
	int status;

	while (waitpid(child, &status, 0) < 0)
		if (errno != EINTR)
			return false;
	return WIFEXITED(status) && WEXITSTATUS(status) == EXIT_SUCCESS;
}

bool
apart_run(struct buffer *out, const struct apart *apart)
{
	int ends[2];

	if (pipe2(ends, O_CLOEXEC) != 0) {
		log_write(LOG_LEVEL_WARNING, apart->event, "no pipe: %s", strerror(errno));
		return false;
	}
	pid_t parent = getpid(), child = fork();
	if (child == 0)
		run_child(apart, ends[1], parent);
	close(ends[1]);
	if (child < 0)
		log_write(LOG_LEVEL_WARNING, apart->event, "no process: %s", strerror(errno));
	bool complete = child > 0 && read_output(out, ends[0], apart->most);
	close(ends[0]); /* whoever goes on writing ends by that */
	return child > 0 && ended_well(child) && complete;
}
