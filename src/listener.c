#include "listener.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum { SOCKET_MODE = 0660, FIRST_INHERITED = 3 };

static int
fail(int fd, const char *path, const char *what, char *error, size_t error_size)
{
	snprintf(error, error_size, "socket %s: %s: %s", path, what, strerror(errno));
	if (fd >= 0)
		close(fd);
	return -1;
}

/* Whether somebody answers at the socket; a file that nobody listens on is left over from a run that was killed. */
static bool
is_live(const struct sockaddr_un *address)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	/* EAGAIN: a queue that is full belongs to somebody. */
	bool live = fd >= 0 &&
	    (connect(fd, (const struct sockaddr *)address, sizeof(*address)) == 0 || errno == EAGAIN);

	if (fd >= 0)
		close(fd);
	return live;
}

static int
set_group(const char *path, const char *group)
{
	if (group == NULL || group[0] == '\0')
		return 0;
	struct group *entry = getgrnam(group);
	if (entry == NULL) {
		errno = ENOENT;
		return -1;
	}
	return chown(path, (uid_t)-1, entry->gr_gid);
}

int
listener_open(const char *path, const char *group, char *error, size_t error_size)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	if (strlen(path) >= sizeof(address.sun_path)) {
		errno = ENAMETOOLONG;
		return fail(-1, path, "cannot be used", error, error_size);
	}
	memcpy(address.sun_path, path, strlen(path) + 1);
	if (is_live(&address)) {
		errno = EADDRINUSE;
		return fail(-1, path, "another jobforged listens there", error, error_size);
	}
	struct stat status;
	if (lstat(path, &status) == 0 && S_ISSOCK(status.st_mode))
		unlink(path);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return fail(fd, path, "cannot be made", error, error_size);
	/* Nobody may connect before mode and group are right. */
	mode_t before = umask(0777);
	int bound = bind(fd, (const struct sockaddr *)&address, sizeof(address));
	umask(before);
	if (bound != 0)
		return fail(fd, path, "cannot be bound", error, error_size);
	if (set_group(path, group) != 0)
		return fail(fd, path, "cannot be given to its group", error, error_size);
	if (chmod(path, SOCKET_MODE) != 0 || listen(fd, SOMAXCONN) != 0)
		return fail(fd, path, "cannot be listened on", error, error_size);
	return fd;
}

/* The position of `name` in the colon-separated LISTEN_FDNAMES, or -1. */
static int
name_index(const char *names, const char *name)
{
	for (int index = 0; names != NULL && *names != '\0'; index++) {
		size_t len = strcspn(names, ":");
		if (len == strlen(name) && memcmp(names, name, len) == 0)
			return index;
		names += len + (names[len] == ':');
	}
	return -1;
}

int
listener_inherit(const char *name)
{
	const char *pid = getenv("LISTEN_PID");
	const char *count = getenv("LISTEN_FDS");
	int index = name_index(getenv("LISTEN_FDNAMES"), name);

	if (pid == NULL || atol(pid) != (long)getpid() || count == NULL || index < 0 || index >= atoi(count))
		return -1;
	int fd = FIRST_INHERITED + index;
	int flags = fcntl(fd, F_GETFL);
	if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) != 0 || fcntl(fd, F_SETFD, FD_CLOEXEC) != 0)
		return -1;
	return fd;
}

/* The descriptors as copies that are out of the way of the numbers to come. */
static int
move_away(int listeners[], int count)
{
	for (int i = 0; i < count; i++) {
		int copy = fcntl(listeners[i], F_DUPFD_CLOEXEC, FIRST_INHERITED + count);
		if (copy < 0)
			return -1;
		close(listeners[i]);
		listeners[i] = copy;
	}
	return 0;
}

static int
set_number(const char *name, long number)
{
	char text[24];

	snprintf(text, sizeof(text), "%ld", number);
	return setenv(name, text, 1);
}

int
listener_bequeath(int listeners[], const char *const names[], int count)
{
	char joined[256] = "";
	size_t used = 0;

	if (move_away(listeners, count) != 0)
		return -1;
	for (int i = 0; i < count; i++) {
		if (dup2(listeners[i], FIRST_INHERITED + i) < 0)
			return -1;
		used += (size_t)snprintf(joined + used, sizeof(joined) - used, "%s%s", i == 0 ? "" : ":", names[i]);
	}
	return set_number("LISTEN_PID", getpid()) != 0 || set_number("LISTEN_FDS", count) != 0 ||
	    setenv("LISTEN_FDNAMES", joined, 1) != 0 ? -1 : 0;
}
