#include "pgprogram.h"

#include <stdio.h>
#include <unistd.h>

#include "child.h"

enum { LATER_MAJORS = 4 };

static void
locate(struct pgprogram *program, const char *directory, const char *name, int server_major)
{
	if (directory[0] != '\0') {
		snprintf(program->path, sizeof(program->path), "%s/%s", directory, name);
		return;
	}
	for (int major = server_major; major <= server_major + LATER_MAJORS; major++) {
		snprintf(program->path, sizeof(program->path), "/usr/lib/postgresql/%d/bin/%s", major, name);
		if (access(program->path, X_OK) == 0)
			return;
	}
	snprintf(program->path, sizeof(program->path), "%s", name);
}

int
pgprogram_find(struct pgprogram *program, const char *directory, const char *name, int server_major, char *error,
    size_t error_size)
{
	const char *const arguments[] = { name, "--version", NULL };
	char said[256];
	locate(program, directory, name, server_major);
	if (child_output(program->path, arguments, said, sizeof(said), error, error_size) != 0)
		return -1;
	const char *number = strstr(said, ") ");
	if (number == NULL || sscanf(number, ") %d", &program->major) != 1) {
		snprintf(error, error_size, "%s does not tell its version as PostgreSQL's programs do", program->path);
		return -1;
	}
	if (program->major >= server_major)
		return 0;
	snprintf(error, error_size,
	    "%s is of PostgreSQL %d, and the server is %d, which it cannot read: install postgresql-client-%d, or set pg_bin to the "
	    "directory of its programs",
	    program->path, program->major, server_major, server_major);
	return -1;
}
