#include "dblookup.h"

#include <errno.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "fault.h"
#include "log.h"
#include "tap.h"

enum { LONG = 60000 };

static void
test_names(void)
{
	static const char *const names[] = { "localhost", "db.example.org", "a", "1.2.3.4.example", "2001.example", "fe80" };
	static const char *const others[] = { "", "/var/run/postgresql", "@abstract", "127.0.0.1", "::1", "2001:db8::1", "a,b",
		"10.0.0.1,10.0.0.2", "a,/run" };

	for (size_t i = 0; i < COUNT_OF(names); i++)
		ok(dblookup_is_name(names[i]), "%s is a name", names[i]);
	for (size_t i = 0; i < COUNT_OF(others); i++)
		ok(!dblookup_is_name(others[i]), "\"%s\" is none", others[i]);
}

static void
test_an_address(void)
{
	struct buffer out = { 0 };
	int count = dblookup(&out, "localhost", LONG);

	ok(count > 0 && count <= DBLOOKUP_MOST, "localhost has an address");
	buffer_putc(&out, '\0');
	ok(strstr(out.data, "127.0.0.1") != NULL || strstr(out.data, "::1") != NULL, "which is that of this host: %s", out.data);
	int commas = 0;
	for (const char *c = out.data; *c != '\0'; c++)
		commas += *c == ',';
	is_int(commas, count - 1, "commas are between the addresses");
	buffer_free(&out);
}

static void
test_no_address(void)
{
	struct buffer out = { 0 };

	is_int(dblookup(&out, "", LONG), 0, "what is no name has none"); /* asks nobody */
	ok(out.len > 5, "and it is said why: %.*s", (int)out.len, out.data);
	buffer_clear(&out);
	is_int(dblookup(&out, "localhost", 0), -1, "without time there is no answer");
	buffer_free(&out);
}

static void
look_up_without_files(void *unused)
{
	struct buffer out = { 0 };

	(void)unused;
	if (!fault_refuse(SYS_pipe2, EMFILE) || dblookup(&out, "localhost", LONG) != -1)
		_exit(1);
	buffer_free(&out);
}

int
main(void)
{
	char said[256];

	log_set_level(LOG_LEVEL_ERROR);
	test_names();
	test_an_address();
	test_no_address();
	is_int(run_child(look_up_without_files, NULL, said, sizeof(said)), 0, "where no process can be made");
	return done();
}
