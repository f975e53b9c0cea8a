#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tap.h"

static int planned = -1;
static int run_count;
static int failed_count;

void
plan(int count)
{
	planned = count;
	printf("1..%d\n", count);
}

/* '#' would begin a directive and a line feed the next test. */
PRINTF_LIKE(1, 0)
static void
print_name(const char *format, va_list args)
{
	char name[512];
	vsnprintf(name, sizeof(name), format, args);
	for (const char *at = name; *at != '\0'; at++)
		printf((unsigned char)*at < 0x20 || *at == 0x7F || *at == '#' || *at == '\\' ? "\\x%02x" : "%c",
		    (unsigned char)*at);
	putchar('\n');
	fflush(stdout);
}

PRINTF_LIKE(2, 0)
static bool
report(bool passed, const char *format, va_list args)
{
	run_count++;
	failed_count += !passed;
	printf("%s %d - ", passed ? "ok" : "not ok", run_count);
	print_name(format, args);
	return passed;
}

static void
print_bytes(const char *label, const void *data, size_t len)
{
	const unsigned char *bytes = data;
	printf("# %s: ", label);
	if (data == NULL)
		printf("(absent)");
	for (size_t i = 0; data != NULL && i < len; i++)
		printf(bytes[i] < 0x20 || bytes[i] > 0x7E ? "\\x%02x" : "%c", bytes[i]);
	putchar('\n');
	fflush(stdout);
}

static bool
same_bytes(const void *got, size_t got_len, const void *want, size_t want_len)
{
	if (got == NULL || want == NULL)
		return got == want;
	return got_len == want_len && memcmp(got, want, want_len) == 0;
}

PRINTF_LIKE(5, 0)
static bool
report_bytes(const void *got, size_t got_len, const void *want, size_t want_len, const char *format, va_list args)
{
	if (report(same_bytes(got, got_len, want, want_len), format, args))
		return true;
	print_bytes(" got", got, got_len);
	print_bytes("want", want, want_len);
	return false;
}

bool
ok(bool condition, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	report(condition, format, args);
	va_end(args);
	return condition;
}

bool
is_int(long long got, long long want, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	bool passed = report(got == want, format, args);
	va_end(args);
	if (!passed)
		printf("#  got: %lld\n# want: %lld\n", got, want);
	return passed;
}

bool
is_string(const char *got, const char *want, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	bool passed = report_bytes(got, slice_of(got).len, want, slice_of(want).len, format, args);
	va_end(args);
	return passed;
}

bool
is_bytes(const void *got, size_t got_len, const void *want, size_t want_len, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	bool passed = report_bytes(got, got_len, want, want_len, format, args);
	va_end(args);
	return passed;
}

bool
is_slice(struct slice got, const char *want, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	bool passed = report_bytes(got.data, got.len, want, slice_of(want).len, format, args);
	va_end(args);
	return passed;
}

void
skip(const char *format, ...)
{
	va_list args;
	va_start(args, format);
	run_count++;
	printf("ok %d # SKIP ", run_count);
	print_name(format, args);
	va_end(args);
}

void
bail_out(const char *format, ...)
{
	va_list args;
	va_start(args, format);
	printf("Bail out! ");
	print_name(format, args);
	va_end(args);
	exit(255);
}

int
done(void)
{
	if (planned < 0)
		plan(run_count);
	if (planned != run_count)
		printf("# planned %d tests but ran %d\n", planned, run_count);
	return failed_count > 0 || planned != run_count;
}

/* Reads to the end, keeping what fits. */
static void
read_all(int descriptor, char *out, size_t size)
{
	char chunk[512];
	size_t len = 0;
	for (ssize_t got; (got = read(descriptor, chunk, sizeof(chunk))) > 0;) {
		size_t kept = (size_t)got < size - 1 - len ? (size_t)got : size - 1 - len;
		memcpy(out + len, chunk, kept);
		len += kept;
	}
	out[len] = '\0';
}

int
run_child(void (*run)(void *), void *argument, char *errors, size_t size)
{
	int ends[2], status;
	fflush(stdout);
	if (pipe(ends) != 0)
		bail_out("pipe");
	pid_t child = fork();
	if (child < 0)
		bail_out("fork");
	if (child == 0) {
		dup2(ends[1], STDERR_FILENO);
		close(ends[0]);
		close(ends[1]);
		run(argument);
		_exit(0);
	}
	close(ends[1]);
	read_all(ends[0], errors, size);
	close(ends[0]);
	if (waitpid(child, &status, 0) != child)
		bail_out("waitpid");
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}
