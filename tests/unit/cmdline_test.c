#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "cmdline.h"
#include "tap.h"

static bool
is_secret(const char *argument)
{
	return strncmp(argument, "--secret", 8) == 0;
}

int
main(void)
{
	char program[] = "program", plain[] = "--plain=value", secret[] = "--secret=of ours=x", bare[] = "--secret";
	char empty[] = "--secret=";
	char *argv[] = { program, plain, secret, bare, empty, NULL }, *copies[6];
	char ours[] = "OURS_PASSWORD=hidden", theirs[] = "PGPASSWORD=kept";
	char *variables[] = { ours, theirs, NULL }, **before = environ, *none = NULL;

	environ = variables;
	is_int(cmdline_hide(5, argv, copies, is_secret), 0, "there is memory");
	is_string(plain, "--plain=value", "an argument without a secret stays");
	is_string(secret, "--secret=*********", "of a secret one its name");
	is_string(bare, "--secret", "one without a value stays");
	is_string(empty, "--secret=", "so does one with an empty value");
	is_string(copies[2], "--secret=of ours=x", "the copy is whole");
	ok(copies[5] == NULL, "the copies end as the arguments do");
	is_string(ours, "********************", "the environment is overwritten");
	is_string(theirs, "***************", "all of it");
	is_string(getenv("OURS_PASSWORD"), "hidden", "its variables are still there");

	cmdline_forget(copies, "OURS_");
	ok(copies[0] == NULL, "forgotten are the copies of the arguments");
	ok(getenv("OURS_PASSWORD") == NULL, "and what begins as was said");
	is_string(getenv("PGPASSWORD"), "kept", "but no other variable");

	environ = &none;
	is_int(cmdline_hide(0, argv + 5, copies, is_secret), 0, "an environment of nothing hides nothing");

	environ = before;
	free(variables[0]); /* where all of them are */
	return done();
}
