#include "apart.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "crypto.h"
#include "fault.h"
#include "log.h"
#include "tap.h"

enum { MOST = 200000, LONG = 60000 };

static bool
run(struct buffer *out, void (*work)(int output, const void *argument), const void *argument)
{
	const struct apart apart = { .event = "test", .work = work, .argument = argument, .most = MOST, .timer = ITIMER_REAL,
		.milliseconds = LONG };

	buffer_clear(out);
	return apart_run(out, &apart);
}

static bool
has_said(const struct buffer *out, const char *what)
{
	return is_slice((struct slice){ out->data, out->len }, what, "%s", what);
}

/* ---- what is done apart ---- */

static void
greet(int output, const void *argument)
{
	const char *name = argument;

	apart_say(output, "hello, ", 7);
	apart_say(output, name, strlen(name));
}

static void
say_much(int output, const void *argument)
{
	static char zeros[1000];

	for (int left = *(const int *)argument; left > 0; left -= (int)sizeof(zeros))
		apart_say(output, zeros, sizeof(zeros));
}

static void
leave_early(int output, const void *argument)
{
	apart_say(output, "some", 4);
	_exit(*(const int *)argument);
}

static void
crash(int output, const void *argument)
{
	(void)output;
	(void)argument;
	abort();
}

static void
sleep_on(int output, const void *argument)
{
	(void)output;
	(void)argument;
	for (;;)
		pause();
}

static void
compute_on(int output, const void *argument)
{
	volatile unsigned count = 0;

	(void)output;
	(void)argument;
	for (;;)
		count++;
}

static void
list_descriptors(int output, const void *argument)
{
	char line[32] = "";

	for (int fd = 0; fd < *(const int *)argument; fd++)
		if (fd != output && fcntl(fd, F_GETFD) >= 0)
			apart_say(output, line, (size_t)snprintf(line, sizeof(line), "%d ", fd));
}

static void
read_key(int output, const void *argument)
{
	apart_say(output, argument, 3);
}

/* ---- tests ---- */

static void
test_what_is_said(struct buffer *out)
{
	ok(run(out, greet, "world"), "work that ends well");
	has_said(out, "hello, world");
	buffer_clear(out);
	buffer_puts(out, "before ");
	const struct apart apart = { .event = "test", .work = greet, .argument = "world", .most = MOST, .timer = ITIMER_PROF,
		.milliseconds = LONG };
	ok(apart_run(out, &apart), "what is said is appended");
	has_said(out, "before hello, world");
	ok(run(out, say_much, &(int){ MOST }) && out->len == MOST, "so much may be said");
	ok(!run(out, say_much, &(int){ MOST + 100000 }), "more may not");
}

static void
test_other_ends(struct buffer *out)
{
	ok(run(out, leave_early, &(int){ EXIT_SUCCESS }), "it may leave");
	ok(!run(out, leave_early, &(int){ EXIT_FAILURE }), "but not by a failure");
	ok(!run(out, crash, NULL), "nor by a signal");
}

static void
test_time(struct buffer *out)
{
	const struct apart asleep = { .event = "test", .work = sleep_on, .most = MOST, .timer = ITIMER_REAL, .milliseconds = 30 };
	const struct apart busy = { .event = "test", .work = compute_on, .most = MOST, .timer = ITIMER_PROF, .milliseconds = 30 };
	sigset_t blocked, before;

	sigemptyset(&blocked);
	sigaddset(&blocked, SIGALRM);
	sigaddset(&blocked, SIGPROF);
	sigprocmask(SIG_BLOCK, &blocked, &before);
	ok(!apart_run(out, &asleep), "work that never ends is ended, though this process blocks the signals");
	ok(!apart_run(out, &busy), "by the processor's time too");
	sigprocmask(SIG_SETMASK, &before, NULL);
}

static void
test_what_it_has(struct buffer *out)
{
	int more[] = { open("/dev/null", O_RDONLY), open("/dev/null", O_RDONLY | O_CLOEXEC), fcntl(0, F_DUPFD, 60) };
	char *key = crypto_keys_new(3);

	ok(run(out, list_descriptors, &(int){ 100 }), "of the descriptors it has");
	has_said(out, "0 1 2 ");
	for (size_t i = 0; i < COUNT_OF(more); i++)
		close(more[i]);
	memset(key, 'k', 3);
	ok(run(out, read_key, key) && out->len == 3 && memcmp(out->data, "\0\0", 3) == 0, "of keys none");
	crypto_keys_free(key, 3);
}

static void
without_close_range(void *unused)
{
	struct buffer out = { 0 };
	struct rlimit few = { 100, 100 };

	(void)unused;
	int more = open("/dev/null", O_RDONLY);
	if (more < 0 || setrlimit(RLIMIT_NOFILE, &few) != 0 || !fault_refuse(SYS_close_range, ENOSYS) ||
	    !run(&out, list_descriptors, &(int){ 100 }) || !slice_is((struct slice){ out.data, out.len }, "0 1 2 "))
		_exit(1);
	close(more);
	buffer_free(&out);
}

static void
greet_in_trouble(void *call)
{
	struct buffer out = { 0 };

	if (!fault_refuse(*(const long *)call, EPERM) || run(&out, greet, "world"))
		_exit(1);
	buffer_free(&out);
}

static void
test_machine_in_trouble(void)
{
	static const struct {
		const char *name;
		long call;
	} troubles[] = { { "no pipe", SYS_pipe2 }, { "no process", SYS_clone }, { "no time limit", SYS_setitimer },
		{ "no limit", SYS_prlimit64 }, { "no reading", SYS_read }, { "no writing", SYS_write }, { "no waiting", SYS_wait4 } };
	char said[1024];

	for (size_t i = 0; i < COUNT_OF(troubles); i++)
		is_int(run_child(greet_in_trouble, (void *)(uintptr_t)&troubles[i].call, said, sizeof(said)), 0, "%s: %s", troubles[i].name,
		    said);
	is_int(run_child(without_close_range, NULL, said, sizeof(said)), 0, "a kernel without close_range(2): %s", said);
}

int
main(void)
{
	struct buffer out = { 0 };

	log_set_level(LOG_LEVEL_WARNING);
	test_what_is_said(&out);
	test_other_ends(&out);
	test_time(&out);
	test_what_it_has(&out);
	test_machine_in_trouble();
	ok(waitpid(-1, NULL, WNOHANG) == -1 && errno == ECHILD, "no process is left");
	buffer_free(&out);
	return done();
}
