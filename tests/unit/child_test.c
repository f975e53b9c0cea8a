#include "child.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

#include "fault.h"
#include "tap.h"

/* Runs a line of shell; the result, with what it wrote and the sentence about it. */
static int
shell(const char *line, char output[256], char error[256])
{
	const char *const words[] = { "sh", "-c", line, NULL };

	output[0] = error[0] = '\0';
	return child_output("/bin/sh", words, output, 256, error, 256);
}

static void
test_output(void)
{
	char output[256], error[256];

	is_int(shell("echo a; echo b", output, error), 0, "a program that ends well");
	is_string(output, "a\nb\n", "what it wrote");
	is_int(shell("head -c 300000 /dev/zero | tr '\\0' x && exit 0", output, error), 0, "one that writes much: %s", error);
	is_int((long long)strlen(output), 255, "what it wrote is kept as far as there is room");
	is_int(shell("cat", output, error), 0, "its input is at its end at once");
}

static void
test_sentences(void)
{
	static const struct {
		const char *line, *want;
	} cases[] = {
		{ "exit 3", "sh failed: it did not say why" },
		{ "echo one >&2; echo two. >&2; exit 1", "sh failed: two" },
		{ "echo pg_dump: error:   no such thing... >&2; echo more >&2; exit 1", "sh failed: no such thing" },
		{ "echo 'psql: FATAL:  role is gone' >&2; exit 1", "sh failed: role is gone" },
		{ "echo 'ERROR:  this' >&2; echo 'error: that' >&2; exit 1", "sh failed: this" },
		{ "kill -KILL $$", "sh was ended by signal 9 (Killed)" },
	};
	char output[256], error[256];

	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		is_int(shell(cases[i].line, output, error), -1, "%s", cases[i].line);
		is_string(error, cases[i].want, "what is said of it");
	}
}

static void
test_missing_program(void)
{
	const char *const words[] = { "nothing", NULL };
	char output[16], error[256];

	is_int(child_output("/nowhere/nothing", words, output, sizeof(output), error, sizeof(error)), -1, "a program that is not there");
	is_string(error, "/nowhere/nothing cannot be run: No such file or directory; install PostgreSQL's client programs, or "
	    "set pg_bin to their directory", "what is said of it");
}

/* What the program finds in its environment when ours has another password, and one is given to it or not. */
static void
test_password(void)
{
	const char *const words[] = { "sh", "-c", "printf %s \"$PGPASSWORD\" >&2; exit 1", NULL };
	struct child child;
	char error[256];

	setenv("PGPASSWORD", "of the caller", 1);
	is_int(child_start(&child, "/bin/sh", words, "given to it", CHILD_NONE, CHILD_NONE, error, sizeof(error)), 0, "with a password");
	is_int(child_wait(&child, error, sizeof(error)), -1, "it ends");
	is_string(error, "sh failed: given to it", "and had that one alone");
	is_int(child_wait(&child, error, sizeof(error)), -1, "what has ended is not waited for again");
	unsetenv("PGPASSWORD");
}

static void
test_kill(void)
{
	const char *const words[] = { "sleep", "60", NULL };
	struct child child;
	char error[256];

	if (child_start(&child, "/bin/sleep", words, NULL, CHILD_NONE, CHILD_NONE, error, sizeof(error)) != 0)
		bail_out("%s", error);
	pid_t pid = child.pid;
	child_kill(&child);
	ok(kill(pid, 0) != 0 && errno == ESRCH, "what is killed is gone");
	child_kill(&child);
	is_int(child.pid, 0, "and is not killed twice");
}

static void
count_signal(int number)
{
	(void)number;
}

/* Signals every 2 ms from now on, which interrupt system calls; none with false. */
static void
interrupt(bool on)
{
	struct sigaction action = { .sa_handler = count_signal };
	struct itimerval timer = { .it_interval = { 0, on ? 2000 : 0 }, .it_value = { 0, on ? 2000 : 0 } };

	sigaction(SIGALRM, &action, NULL);
	setitimer(ITIMER_REAL, &timer, NULL);
}

static void
test_interrupted_calls(void)
{
	const char *const words[] = { "sh", "-c", "sleep 0.1; cat | wc -c | grep -q '^ *300000$'", NULL };
	static char data[300000];
	struct child child;
	int ends[2];
	char output[256], error[256];

	interrupt(true);
	is_int(shell("sleep 0.1; echo late", output, error), 0, "signals while a program is waited for");
	is_string(output, "late\n", "lose nothing of what it writes");
	if (child_pipe(ends, error, sizeof(error)) != 0 ||
	    child_start(&child, "/bin/sh", words, NULL, ends[0], CHILD_NONE, error, sizeof(error)) != 0)
		bail_out("%s", error);
	close(ends[0]);
	is_int(child_write(ends[1], data, sizeof(data)), 0, "nor of what is written to it while it is slow");
	close(ends[1]);
	is_int(child_wait(&child, error, sizeof(error)), 0, "it got all of it: %s", error);
	interrupt(false);
}

static void
test_nobody_reads(void)
{
	int ends[2];
	char error[256];

	signal(SIGPIPE, SIG_IGN);
	if (child_pipe(ends, error, sizeof(error)) != 0)
		bail_out("%s", error);
	close(ends[0]);
	is_int(child_write(ends[1], "x", 1), -1, "writing to what nobody reads");
	is_int(errno, EPIPE, "fails for that reason");
	close(ends[1]);
}

/* In a process of their own: what is said when a call fails is written to standard error. */
static void
without(long call)
{
	char output[256], error[256] = "there is no filter";

	if (fault_refuse(call, EMFILE) && shell("echo a", output, error) == 0)
		snprintf(error, sizeof(error), "it ran");
	fputs(error, stderr);
}

static void
without_pipes(void *ignored)
{
	(void)ignored;
	without(SYS_pipe2);
}

static void
without_memory(void *ignored)
{
	(void)ignored;
	without(SYS_memfd_create);
}

static void
test_machine_in_trouble(void)
{
	char said[512];

	run_child(without_pipes, NULL, said, sizeof(said));
	is_string(said, "no pipe can be made: Too many open files", "no descriptor for a pipe");
	run_child(without_memory, NULL, said, sizeof(said));
	is_string(said, "/bin/sh cannot be run: out of memory", "no place for what it says");
}

int
main(void)
{
	test_output();
	test_sentences();
	test_missing_program();
	test_password();
	test_kill();
	test_interrupted_calls();
	test_nobody_reads();
	test_machine_in_trouble();
	return done();
}
