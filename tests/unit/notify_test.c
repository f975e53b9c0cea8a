#include "notify.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include "base.h"
#include "fault.h"
#include "tap.h"

/* A socket at a name, as in NOTIFY_SOCKET: a path, or "@" and a name that is not in the file system. */
static int
listen_at(const char *name)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	size_t len = strlen(name);
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	memcpy(address.sun_path, name, len);
	if (name[0] == '@')
		address.sun_path[0] = '\0';
	if (fd < 0 || bind(fd, (struct sockaddr *)&address, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len)) != 0)
		bail_out("no socket at %s: %s", name, strerror(errno));
	return fd;
}

static void
arrived(int fd, const char *want, const char *name)
{
	char got[256];
	ssize_t len = recv(fd, got, sizeof(got) - 1, 0);

	got[len < 0 ? 0 : len] = '\0';
	is_string(got, want, "%s", name);
}

static void
test_addresses(const char *path, const char *abstract)
{
	int of_file = listen_at(path), of_none = listen_at(abstract);

	setenv("NOTIFY_SOCKET", path, 1);
	notify_send("READY=1");
	arrived(of_file, "READY=1", "a socket of the file system is told");
	arrived(of_none, "", "and no other");
	setenv("NOTIFY_SOCKET", abstract, 1);
	notify_send("STOPPING=1");
	arrived(of_none, "STOPPING=1", "an abstract socket is told");
	arrived(of_file, "", "and no other");
	notify_reloading();
	char got[256] = { 0 };
	ok(recv(of_none, got, sizeof(got) - 1, 0) > 0 && strncmp(got, "RELOADING=1\nMONOTONIC_USEC=", 27) == 0 && atoll(got + 27) > 0,
	    "a reload is told with its time");
	close(of_file);
	close(of_none);
	unlink(path);
}

/* Says so in its exit status: whether it came back from telling nobody. */
static void
tell_without_sockets(void *ignored)
{
	(void)ignored;
	if (fault_refuse(SYS_socket, EMFILE))
		notify_send("READY=1");
}

static void
test_nobody_to_tell(const char *path)
{
	char longest[200], said[256];

	memset(longest, 'x', sizeof(longest) - 1);
	longest[sizeof(longest) - 1] = '\0';
	const char *const names[] = { path, "", longest };
	for (size_t i = 0; i < COUNT_OF(names); i++) {
		setenv("NOTIFY_SOCKET", names[i], 1);
		notify_send("READY=1");
		ok(access(names[i], F_OK) != 0, "nobody to tell at a name of %zu bytes is no reason to stop", strlen(names[i]));
	}
	is_int(run_child(tell_without_sockets, NULL, said, sizeof(said)), 0, "nor is that no socket can be made");
	unsetenv("NOTIFY_SOCKET");
	notify_send("READY=1");
	is_int(run_child(tell_without_sockets, NULL, said, sizeof(said)), 0, "nor that nobody asked");
}

int
main(void)
{
	char path[64], abstract[64];

	snprintf(path, sizeof(path), "/tmp/jobforge-notify-%ld", (long)getpid());
	snprintf(abstract, sizeof(abstract), "@jobforge-notify-%ld", (long)getpid());
	test_addresses(path, abstract);
	test_nobody_to_tell(path);
	return done();
}
