#include <sys/wait.h>
#include <unistd.h>

#include "log.h"
#include "tap.h"
#include "trouble.h"

enum { WORKERS = 4, REQUESTS = 250, QUIET = 2100000 };

static int
count_of(const char *text, const char *part)
{
	int count = 0;

	for (const char *at = text; (at = strstr(at, part)) != NULL; at += strlen(part))
		count++;
	return count;
}

/* Several processes meet the disk's end at once. */
static void
meet(void *troubles)
{
	for (int i = 0; i < WORKERS; i++) {
		if (fork() > 0)
			continue;
		for (int request = 0; request < REQUESTS; request++)
			trouble_note(troubles, TROUBLE_DISK, "no room for %s", "a row");
		_exit(0);
	}
	while (wait(NULL) > 0)
		continue;
}

static void
pass_at_once(void *troubles)
{
	trouble_passed(troubles, TROUBLE_DISK);
}

static void
pass_later(void *troubles)
{
	usleep(QUIET);
	trouble_passed(troubles, TROUBLE_OVERLOAD);
	for (int i = 0; i < WORKERS; i++)
		trouble_passed(troubles, TROUBLE_DISK);
}

static void
meet_again(void *troubles)
{
	trouble_note(troubles, TROUBLE_DISK, "no room again");
	usleep(QUIET);
	trouble_passed(troubles, TROUBLE_DISK);
	trouble_note(troubles, TROUBLE_RESOURCES, "another");
}

static void
note_nothing(void *unused)
{
	(void)unused;
	trouble_note(NULL, TROUBLE_DISK, "nowhere");
	trouble_passed(NULL, TROUBLE_DISK);
}

int
main(void)
{
	char lines[8192];
	struct troubles *troubles = troubles_new();

	if (troubles == NULL)
		bail_out("no shared memory");
	run_child(meet, troubles, lines, sizeof(lines));
	is_int(count_of(lines, "\n"), 1, "one of several processes tells, once: %s", lines);
	is_int(count_of(lines, "\"level\":\"error\"") + count_of(lines, "\"event\":\"disk\"") + count_of(lines, "no room for a row"), 3,
	    "what it is and how it showed");
	is_int((long long)trouble_count(troubles, TROUBLE_DISK), WORKERS * REQUESTS, "all are counted");
	is_int((long long)trouble_count(troubles, TROUBLE_OVERLOAD), 0, "each kind by itself");
	run_child(pass_at_once, troubles, lines, sizeof(lines));
	is_string(lines, "", "one success is not the end of it");
	run_child(pass_later, troubles, lines, sizeof(lines));
	is_int(count_of(lines, "\n"), 1, "its end is told once: %s", lines);
	ok(count_of(lines, "is over") == 1 && count_of(lines, "\"level\":\"info\"") == 1, "as what it is");
	run_child(meet_again, troubles, lines, sizeof(lines));
	ok(count_of(lines, "\n") == 1 && count_of(lines, "another") == 1,
	    "within a minute neither a new beginning nor its end is told, but that of another kind is: %s", lines);
	run_child(note_nothing, NULL, lines, sizeof(lines));
	is_string(lines, "", "without shared memory nothing is told");
	is_int((long long)trouble_count(NULL, TROUBLE_DISK), 0, "or counted");
	troubles_free(troubles);
	return done();
}
