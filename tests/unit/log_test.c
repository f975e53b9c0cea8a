#include <fcntl.h>
#include <signal.h>
#include <regex.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "log.h"
#include "tap.h"

static bool
matches(const char *text, const char *pattern)
{
	regex_t regex;
	if (regcomp(&regex, pattern, REG_EXTENDED | REG_NOSUB) != 0)
		bail_out("a broken pattern");
	bool found = regexec(&regex, text, 0, NULL, 0) == 0;
	regfree(&regex);
	return found;
}

static void
write_plain(void *argument)
{
	log_write(LOG_LEVEL_WARNING, "slow_start", "%s took %d s", (const char *)argument, 7);
}

static void
test_line(void)
{
	char line[1024];
	run_child(write_plain, (char[]){ "the \"worker\"" }, line, sizeof(line));
	ok(matches(line,
	       "^\\{\"time\":\"20[0-9]{2}-[01][0-9]-[0-3][0-9]T"
	       "[0-2][0-9]:[0-5][0-9]:[0-6][0-9]\\.[0-9]{6}Z\","
	       "\"level\":\"warning\",\"pid\":[1-9][0-9]*,\"event\":\"slow_start\","
	       "\"message\":\"the \\\\\"worker\\\\\" took 7 s\"\\}\n$"),
	    "a line has time, level, pid, event and message: %s", line);
}

static void
write_levels(void *argument)
{
	log_set_level(*(enum log_level *)argument);
	log_write(LOG_LEVEL_DEBUG, "d", "x");
	log_write(LOG_LEVEL_INFO, "i", "x");
	log_write(LOG_LEVEL_WARNING, "w", "x");
	log_write(LOG_LEVEL_ERROR, "e", "x");
	struct buffer line = { 0 };
	log_begin(&line, LOG_LEVEL_INFO, "fields");
	log_field(&line, "f", slice_of("x"));
	log_field_number(&line, "n", 1);
	log_end(&line);
	buffer_free(&line);
}

static int
count_lines(const char *text)
{
	int count = 0;
	for (; *text != '\0'; text++)
		count += *text == '\n';
	return count;
}

static void
test_levels(void)
{
	static const int counts[] = {
		[LOG_LEVEL_DEBUG] = 5,
		[LOG_LEVEL_INFO] = 4,
		[LOG_LEVEL_WARNING] = 2,
		[LOG_LEVEL_ERROR] = 1,
	};
	for (size_t level = 0; level < COUNT_OF(counts); level++) {
		char lines[4096];
		enum log_level argument = (enum log_level)level;
		run_child(write_levels, &argument, lines, sizeof(lines));
		is_int(count_lines(lines), counts[level], "lines written at level %zu", level);
	}
	ok(log_enabled(LOG_LEVEL_INFO) && !log_enabled(LOG_LEVEL_DEBUG), "at start: info");
}

static void
write_fields(void *argument)
{
	(void)argument;
	struct buffer line = { 0 };
	for (int i = 0; i < 2; i++) {
		log_begin(&line, LOG_LEVEL_INFO, "request");
		log_field(&line, "route", slice_of("/api/v1/me"));
		log_field(&line, "user", (struct slice){ 0 });
		log_field(&line, "empty", slice_of(""));
		log_field_number(&line, "status", -200 - i);
		log_end(&line);
	}
	buffer_free(&line);
}

static void
test_fields(void)
{
	char lines[2048];
	run_child(write_fields, NULL, lines, sizeof(lines));
	ok(matches(lines, "\"event\":\"request\",\"route\":\"/api/v1/me\",\"empty\":\"\",\"status\":-200\\}\n"),
	    "fields in order, the absent one left out");
	ok(matches(lines, "\"status\":-201\\}\n$"), "the line is reusable");
}

/* Lines of 600 bytes, of which a pipe takes six at once. */
static void
hold_lines(void *argument)
{
	struct buffer line = { 0 }, held = { 0 };
	char text[512];
	memset(text, 'x', sizeof(text));
	log_flush(&held);
	for (int i = 0; i < *(int *)argument; i++) {
		log_begin(&line, LOG_LEVEL_INFO, "held");
		log_field(&line, "text", (struct slice){ text, sizeof(text) });
		log_hold(&line, &held);
	}
	log_begin(&line, LOG_LEVEL_DEBUG, "left_out");
	log_hold(&line, &held);
	log_write(LOG_LEVEL_INFO, "at_once", "x");
	log_flush(&held);
	buffer_free(&line);
	buffer_free(&held);
}

static void
test_held(void)
{
	char lines[16384];
	int few = 2, many = 10;
	run_child(hold_lines, &few, lines, sizeof(lines));
	ok(matches(lines, "^[^\n]*\"at_once\"[^\n]*\n([^\n]*\"held\"[^\n]*\n){2}$"), "lines that are held come later");
	run_child(hold_lines, &many, lines, sizeof(lines));
	ok(matches(lines, "^[^\n]*\"held\"") && count_lines(lines) == many + 1,
	    "but none is held that a pipe has no room for");
	ok(strstr(lines, "left_out") == NULL, "a level that is not written is not held");
}

static const char *
quoted(const char *text, size_t len)
{
	static struct buffer buffer;
	buffer_clear(&buffer);
	log_quote(&buffer, text, len);
	buffer_putc(&buffer, '\0');
	return buffer.data;
}

static void
test_quote(void)
{
	static const struct {
		const char *text;
		size_t len;
		const char *want;
	} cases[] = {
		{ "", 0, "\"\"" },
		{ "plain text", 10, "\"plain text\"" },
		{ "a\"b\\c", 5, "\"a\\\"b\\\\c\"" },
		{ "a\nb\r\t\x1b[0m", 9, "\"a\\u000ab\\u000d\\u0009\\u001b[0m\"" },
		{ "a\0b", 3, "\"a\\u0000b\"" },
		{ "\x7f", 1, "\"\\u007f\"" },
		{ "\xC3\xBC \xE2\x82\xAC \xF0\x9F\x98\x80", 11, "\"\xC3\xBC \xE2\x82\xAC \xF0\x9F\x98\x80\"" },
		{ "\xC2\x9B"
		  "31m",
		    5, "\"\\u00c2\\u009b31m\"" },
		{ "\xC2\xA0", 2, "\"\xC2\xA0\"" },
		{ "\xFF\xFE", 2, "\"\\u00ff\\u00fe\"" },
		{ "\xC0\xAF", 2, "\"\\u00c0\\u00af\"" },
		{ "\xED\xA0\x80", 3, "\"\\u00ed\\u00a0\\u0080\"" },
		{ "\xE2\x82", 2, "\"\\u00e2\\u0082\"" },
		{ "\xF4\x90\x80\x80", 4, "\"\\u00f4\\u0090\\u0080\\u0080\"" },
	};
	for (size_t i = 0; i < COUNT_OF(cases); i++)
		is_string(quoted(cases[i].text, cases[i].len), cases[i].want, "quoted: %s", cases[i].want);
}

static void
write_long(void *argument)
{
	log_write(LOG_LEVEL_ERROR, argument, "%s%05000d", "\x01\xFF", 1);
	char hostile[3000];
	memset(hostile, 0x01, sizeof(hostile) - 1);
	hostile[sizeof(hostile) - 1] = '\0';
	log_write(LOG_LEVEL_ERROR, hostile, "%s", hostile);
}

static void
test_long(void)
{
	char lines[16384];
	int status = run_child(write_long, (char[]){ "long" }, lines, sizeof(lines));
	is_int(status, 0, "hostile messages longer than a line are written");
	is_int(count_lines(lines), 2, "as one line each");
	ok(matches(lines, "\"message\":\"\\\\u0001\\\\u00ff0+\\.\\.\\.\"\\}\n"), "cut, marked and closed");
	ok(matches(lines, "\"event\":\"(\\\\u0001){64}\",\"message\":\"(\\\\u0001)+\\.\\.\\.\"\\}\n$"), "at worst too");
}

static void
write_to_full_disk(void *argument)
{
	(void)argument;
	int full = open("/dev/full", O_WRONLY);
	if (full < 0 || dup2(full, STDERR_FILENO) < 0)
		_exit(1);
	log_write(LOG_LEVEL_ERROR, "x", "x");
	close(STDERR_FILENO);
	log_write(LOG_LEVEL_ERROR, "x", "x");
}

/* Three lines into a file that has room for the first and a part of the second, and one when it has room again. */
static void
write_beyond_the_end(void *argument)
{
	const char *path = argument;
	struct rlimit limit;

	signal(SIGXFSZ, SIG_IGN);
	int file = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND, 0600);
	if (file < 0 || dup2(file, STDERR_FILENO) < 0)
		_exit(1);
	getrlimit(RLIMIT_FSIZE, &limit);
	limit.rlim_cur = 150;
	setrlimit(RLIMIT_FSIZE, &limit);
	for (int i = 0; i < 3; i++)
		log_write(LOG_LEVEL_ERROR, "crowded", "%d", i);
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_FSIZE, &limit);
	log_write(LOG_LEVEL_ERROR, "spacious", "x");
	log_write(LOG_LEVEL_ERROR, "spacious", "y");
}

static void
test_lost_lines(void)
{
	char path[] = "/tmp/log_test.XXXXXX", lines[4096] = "", unused[64];
	int file = mkstemp(path);

	run_child(write_beyond_the_end, path, unused, sizeof(unused));
	ssize_t got = read(file, lines, sizeof(lines) - 1);
	unlink(path);
	close(file);
	ok(got > 0 && matches(lines, "^[^\n]*\"message\":\"0\"\\}\n[^\n]*\n[^\n]*\"event\":\"log\",[^\n]*\"lines\":2\\}\n"),
	    "the first line that can be written tells how many could not: %s", lines);
	ok(matches(lines, "\"reason\":\"File too large\",\"lines\":2\\}\n[^\n]*\"message\":\"x\"\\}\n[^\n]*\"message\":\"y\"\\}\n$"),
	    "and why, once, on a line of its own");
}

static void
die(void *argument)
{
	log_fatal("broken", "nothing works: %s", (const char *)argument);
}

static void
test_failures(void)
{
	char line[1024];
	is_int(run_child(write_to_full_disk, NULL, line, sizeof(line)), 0, "a full disk and a closed log are survived");
	int status = run_child(die, (char[]){ "why" }, line, sizeof(line));
	is_int(status, LOG_FATAL_STATUS, "a fatal error ends the process with its status");
	ok(matches(line, "\"level\":\"error\",.*\"event\":\"broken\",\"message\":\"nothing works: why\"\\}\n$"),
	    "and says why");
}

int
main(void)
{
	test_line();
	test_levels();
	test_fields();
	test_held();
	test_quote();
	test_long();
	test_failures();
	test_lost_lines();
	return done();
}
