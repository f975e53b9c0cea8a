/* The sandbox of the workers, tried from inside: what must not be done ends the process, what must be done works. */
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "buffer.h"
#include "log.h"
#include "markdown.h"
#include "sandbox.h"
#include "tap.h"

enum { WENT_ON = 3, NO_SANDBOX = 4 };

#if defined(__SANITIZE_ADDRESS__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SANITIZED 1
#endif
#endif

struct attempt {
	const char *call; /* as the log names it; NULL: it is allowed */
	const char *name;
	void (*run)(void);
};

/* Only looked at when it is allowed: whether it also did what it should. */
static void
expect(bool right)
{
	if (!right)
		_exit(EXIT_FAILURE);
}

static void
run_program(void)
{
	execl("/bin/true", "true", (char *)NULL);
}

static void
run_program_at(void)
{
	syscall(SYS_execveat, AT_FDCWD, "/bin/true", NULL, NULL, 0);
}

static void
open_internet(void)
{
	socket(AF_INET, SOCK_STREAM, 0);
}

static void
open_internet_6(void)
{
	socket(AF_INET6, SOCK_DGRAM, 0);
}

static void
open_netlink(void)
{
	socket(AF_NETLINK, SOCK_RAW, 0);
}

static void
open_raw(void)
{
	socket(AF_INET, SOCK_RAW, IPPROTO_ICMP);
}

static void
open_packet(void)
{
	socket(AF_PACKET, SOCK_RAW, 0);
}

static void
open_datagram(void)
{
	socket(AF_UNIX, SOCK_DGRAM, 0);
}

static void
open_listener(void)
{
	listen(-1, 1); /* NOLINT(clang-analyzer-unix.StdCLibraryFunctions): it is refused before that is looked at */
}

static void
trace_parent(void)
{
	ptrace(PTRACE_ATTACH, getppid(), NULL, NULL);
}

static void
read_parent(void)
{
	syscall(SYS_process_vm_readv, getppid(), NULL, 0, NULL, 0, 0);
}

static void
write_parent(void)
{
	syscall(SYS_process_vm_writev, getppid(), NULL, 0, NULL, 0, 0);
}

static void
signal_parent(void)
{
	kill(getppid(), 0);
}

static void
signal_thread(void)
{
	syscall(SYS_tgkill, getppid(), getppid(), 0);
}

static void
signal_by_descriptor(void)
{
	fcntl(STDERR_FILENO, F_SETOWN, getppid());
}

static void
open_to_write(void)
{
	(void)!open("/dev/null", O_WRONLY);
}

static void
open_to_change(void)
{
	(void)!open("/dev/null", O_RDWR);
}

static void
make_file(void)
{
	(void)!open("/nonexistent/file", O_RDONLY | O_CREAT, 0600);
}

static void
empty_file(void)
{
	(void)!open("/nonexistent/file", O_RDONLY | O_TRUNC);
}

static void
open_by_structure(void)
{
	syscall(SYS_openat2, AT_FDCWD, "/dev/null", NULL, 0);
}

static void
make_memory_file(void)
{
	memfd_create("code", 0);
}

static void
remove_file(void)
{
	unlink("/nonexistent/file");
}

static void
move_file(void)
{
	rename("/nonexistent/file", "/nonexistent/other");
}

static void
change_mode(void)
{
	chmod("/nonexistent/file", 0777);
}

static void
make_directory(void)
{
	mkdir("/nonexistent/directory", 0700);
}

static void
link_file(void)
{
	(void)!symlink("/etc/passwd", "/nonexistent/link");
}

static void
mount_file_system(void)
{
	mount("none", "/mnt", "tmpfs", 0, NULL);
}

static void
change_root(void)
{
	(void)!chroot("/");
}

static void
become_root(void)
{
	(void)!setuid(0);
}

static void
become_group(void)
{
	(void)!setgid(0);
}

static void
take_capabilities(void)
{
	syscall(SYS_capset, NULL, NULL);
}

static void
make_namespace(void)
{
	syscall(SYS_unshare, 0);
}

static void
clone_namespace(void)
{
	syscall(SYS_clone, 0x10000000 /* CLONE_NEWUSER */ | SIGCHLD, NULL, NULL, NULL, NULL);
}

static void
clone_thread(void)
{
	syscall(SYS_clone, 0x00000100 /* CLONE_VM */ | SIGCHLD, NULL, NULL, NULL, NULL);
}

static void
load_bpf(void)
{
	syscall(SYS_bpf, 0, NULL, 0);
}

static void
watch_performance(void)
{
	syscall(SYS_perf_event_open, NULL, 0, -1, -1, 0);
}

static void
use_ring(void)
{
	syscall(SYS_io_uring_setup, 1, NULL);
}

static void
load_module(void)
{
	syscall(SYS_init_module, NULL, 0, "");
}

static void
load_kernel(void)
{
	syscall(SYS_kexec_load, 0, 0, NULL, 0);
}

static void
catch_faults(void)
{
	syscall(SYS_userfaultfd, 0);
}

static void
show_memory(void)
{
	prctl(PR_SET_DUMPABLE, 1);
}

static void
ignore_refusals(void)
{
	signal(SIGSYS, SIG_IGN);
}

/* The kernel looks at the lower half of the number. */
static void
ignore_refusals_by_half(void)
{
	syscall(SYS_rt_sigaction, (UINT64_C(1) << 32) | SIGSYS, NULL, NULL, 8);
}

static void
ignore_others(void)
{
	expect(signal(SIGUSR1, SIG_IGN) == SIG_DFL);
}

static void
block_refusals_and_run(void)
{
	sigset_t all;
	sigfillset(&all);
	sigprocmask(SIG_BLOCK, &all, NULL);
	run_program();
}

static void *volatile mapped;

static void
map_code(void)
{
	mapped = mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

static void
map_writable_code(void)
{
	mapped = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE, STDIN_FILENO, 0);
}

static void
make_code(void)
{
	static char page[4096] __attribute__((aligned(4096)));
	mprotect(page, sizeof(page), PROT_READ | PROT_EXEC);
}

static void
use_keys(void)
{
	expect(syscall(SYS_keyctl, 0, 0, 0, 0, 0) == -1 && errno == ENOSYS);
}

static void
use_clone3(void)
{
	expect(syscall(SYS_clone3, NULL, 0) == -1 && errno == ENOSYS);
}

static void
read_file(void)
{
	char text[16];
	int fd = open("/etc/passwd", O_RDONLY | O_CLOEXEC);
	expect(fd >= 0 && read(fd, text, sizeof(text)) > 0 && close(fd) == 0);
}

static void
read_directory(void)
{
	DIR *directory = opendir("/");
	expect(directory != NULL && readdir(directory) != NULL && closedir(directory) == 0);
}

static void
duplicate(void)
{
	int copy = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 0);
	expect(copy >= 0 && fcntl(copy, F_SETFL, O_NONBLOCK) == 0 && close(copy) == 0);
}

static void
open_unix(void)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX, .sun_path = "/nonexistent/socket" };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	expect(fd >= 0 && connect(fd, (const struct sockaddr *)&address, sizeof(address)) != 0 && errno == ENOENT);
}

static void
connect_internet(void)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) }, .sin_port = htons(1) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	expect(fd >= 0 && connect(fd, (const struct sockaddr *)&address, sizeof(address)) != 0 && errno == ECONNREFUSED);
}

static void
take_memory(void)
{
	for (size_t size = 16; size < 64 * 1024 * 1024; size *= 2) {
		char *memory = malloc(size);
		expect(memory != NULL);
		memset(memory, 1, size);
		char *larger = realloc(memory, size + size / 2);
		expect(larger != NULL);
		free(larger);
	}
}

static void
convert_markdown(void)
{
	struct buffer out = { 0 };
	expect(markdown_to_html(&out, SLICE("# A\n\n* b\n")));
	expect(strncmp(out.data, "<h1>A</h1>", 10) == 0);
	buffer_free(&out);
}

static void
fork_and_wait(void)
{
	int status;
	pid_t child = fork();
	if (child == 0)
		_exit(0);
	expect(child > 0 && waitpid(child, &status, 0) == child && status == 0);
}

/* Not by fork(3), which blocks all signals meanwhile, that of a refused call too, in glibc 2.41. */
static void
make_process(void)
{
	syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL);
}

static void
read_input(void)
{
	char text[16];
	(void)!read(STDIN_FILENO, text, sizeof(text));
}

static void
write_log(void)
{
	log_write(LOG_LEVEL_INFO, "test", "a line");
}

static const struct attempt of_worker[] = {
	{ "execve", "run a program", run_program },
	{ "execveat", "run a program by another call", run_program_at },
	{ "execve", "run a program with all signals blocked", block_refusals_and_run },
	{ "socket", "open a socket to the net", open_internet },
	{ "socket", "open a socket to the net, of IPv6", open_internet_6 },
	{ "socket", "talk to the kernel by netlink", open_netlink },
	{ "socket", "open a raw socket", open_raw },
	{ "socket", "open a packet socket", open_packet },
	{ "socket", "open a datagram socket", open_datagram },
	{ "listen", "listen", open_listener },
	{ "ptrace", "trace another process", trace_parent },
	{ "process_vm_readv", "read another's memory", read_parent },
	{ "process_vm_writev", "write another's memory", write_parent },
	{ "kill", "signal another process", signal_parent },
	{ "tgkill", "signal another's thread", signal_thread },
	{ "fcntl", "have another process signalled", signal_by_descriptor },
	{ "openat", "open a file for writing", open_to_write },
	{ "openat", "open a file for reading and writing", open_to_change },
	{ "openat", "make a file", make_file },
	{ "openat", "empty a file", empty_file },
	{ "openat2", "open a file by a call whose flags are out of sight", open_by_structure },
	{ "memfd_create", "make a file in memory", make_memory_file },
	{ "unlink", "remove a file", remove_file },
	{ "rename", "rename a file", move_file },
	{ "chmod", "change a mode", change_mode },
	{ "mkdir", "make a directory", make_directory },
	{ "symlink", "make a link", link_file },
	{ "mount", "mount", mount_file_system },
	{ "chroot", "change the root", change_root },
	{ "setuid", "change the user", become_root },
	{ "setgid", "change the group", become_group },
	{ "capset", "take capabilities", take_capabilities },
	{ "unshare", "make a namespace", make_namespace },
	{ "clone", "make a namespace for a child", clone_namespace },
	{ "clone", "make a thread", clone_thread },
	{ "bpf", "load a program into the kernel", load_bpf },
	{ "perf_event_open", "watch the processor", watch_performance },
	{ "io_uring_setup", "make calls by a ring", use_ring },
	{ "init_module", "load a module", load_module },
	{ "kexec_load", "load a kernel", load_kernel },
	{ "userfaultfd", "handle page faults", catch_faults },
	{ "prctl", "show its memory again", show_memory },
	{ "rt_sigaction", "ignore what tells of a refused call", ignore_refusals },
	{ "rt_sigaction", "ignore it by a number of 64 bits", ignore_refusals_by_half },
	{ "mmap", "map code", map_code },
	{ "mmap", "map a file as code that can be written", map_writable_code },
	{ "mprotect", "turn data into code", make_code },
	{ NULL, "ask for keys that are not there", use_keys },
	{ NULL, "be told to use clone(2)", use_clone3 },
	{ NULL, "read a file", read_file },
	{ NULL, "read a directory", read_directory },
	{ NULL, "ignore another signal", ignore_others },
	{ NULL, "duplicate a descriptor", duplicate },
	{ NULL, "connect to a unix socket", open_unix },
	{ NULL, "take and give back memory", take_memory },
	{ NULL, "make a process and wait for it", fork_and_wait },
	{ NULL, "convert Markdown", convert_markdown },
	{ NULL, "log", write_log },
	{ 0 },
};

static const struct attempt of_networking_worker[] = {
	{ NULL, "connect to the net", connect_internet },
	{ "socket", "open a raw socket", open_raw },
	{ "socket", "open a packet socket", open_packet },
	{ "listen", "listen", open_listener },
	{ "execve", "run a program", run_program },
	{ 0 },
};

static const struct attempt of_converter[] = {
	{ "execve", "run a program", run_program },
	{ "socket", "open a unix socket", open_unix },
	{ "openat", "open a file", read_file },
	{ "clone", "make a process", make_process },
	{ "read", "read", read_input },
	{ NULL, "take and give back memory", take_memory },
	{ NULL, "log", write_log },
	{ 0 },
};

struct confined {
	const char *who;
	const struct attempt *attempts;
	bool network;
	bool narrow;
};

static const struct confined all[] = {
	{ "a worker", of_worker, .network = false, .narrow = false },
	{ "a worker of a remote database", of_networking_worker, .network = true, .narrow = false },
	{ "the converter of Markdown", of_converter, .network = false, .narrow = true },
};

/* A build with sanitizers is left what their runtime does. */
static bool
is_checked(const struct attempt *attempt)
{
#ifdef SANITIZED
	static const char *const allowed[] = { "clone", "kill", "openat", "prctl", "ptrace", "read", "rt_sigaction",
		"tgkill" };

	for (size_t i = 0; attempt->call != NULL && i < COUNT_OF(allowed); i++)
		if (strcmp(allowed[i], attempt->call) == 0)
			return false;
#endif
	return attempt->name != NULL;
}

struct trial {
	const struct confined *confined;
	const struct attempt *attempt;
};

static void
try_inside(void *argument)
{
	const struct trial *trial = argument;
	char error[256];

	if (sandbox_drop_privileges(false) != 0 || sandbox_enter(trial->confined->network, error, sizeof(error)) != 0 ||
	    (trial->confined->narrow && sandbox_narrow() != 0))
		_exit(NO_SANDBOX);
	trial->attempt->run();
	_exit(WENT_ON);
}

static void
test_attempt(const struct confined *confined, const struct attempt *attempt)
{
	char said[4096], want[128];
	struct trial trial = { confined, attempt };
	int status = run_child(try_inside, &trial, said, sizeof(said));

	if (attempt->call == NULL) {
		is_int(status, WENT_ON, "%s may %s", confined->who, attempt->name);
		return;
	}
	/* With its signals blocked there is no line, and the kernel ends it. */
	if (attempt->run == block_refusals_and_run) {
		is_int(status, -1, "%s may not %s", confined->who, attempt->name);
		return;
	}
	snprintf(want, sizeof(want), "\"event\":\"sandbox\",\"message\":\"the system call %s (", attempt->call);
	bool told = strstr(said, want) != NULL;
	ok(status == LOG_FATAL_STATUS && told, "%s may not %s", confined->who, attempt->name);
	if (status != LOG_FATAL_STATUS || !told)
		printf("# status %d, said: %s\n", status, said);
}

static void
test_confined(const struct confined *confined)
{
	for (const struct attempt *attempt = confined->attempts; attempt->run != NULL; attempt++)
		if (is_checked(attempt))
			test_attempt(confined, attempt);
}

/* ---- what else is given up ---- */

static long
status_field(const char *name)
{
	char line[256];
	long value = -1;
	FILE *file = fopen("/proc/self/status", "re");

	while (file != NULL && fgets(line, sizeof(line), file) != NULL)
		if (strncmp(line, name, strlen(name)) == 0)
			value = strtol(line + strlen(name) + 1, NULL, 16);
	if (file != NULL)
		fclose(file);
	return value;
}

static void
check_rights(void *unused)
{
	struct rlimit core;

	(void)unused;
	bool could = status_field("CapEff") != 0;
	if (sandbox_drop_privileges(false) != 0 || sandbox_drop_privileges(false) != 0)
		_exit(NO_SANDBOX);
	sandbox_hide_memory();
	bool none = status_field("CapEff") == 0 && status_field("CapPrm") == 0 && status_field("CapInh") == 0 &&
	    status_field("CapAmb") == 0 && (!could || status_field("CapBnd") == 0);
	bool fixed = prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1;
	bool hidden = prctl(PR_GET_DUMPABLE) == 0 && getrlimit(RLIMIT_CORE, &core) == 0 && core.rlim_max == 0;
	_exit(none && fixed && hidden ? WENT_ON : EXIT_FAILURE);
}

static void
abort_inside(void *unused)
{
	char error[256];

	(void)unused;
	if (sandbox_drop_privileges(false) != 0 || sandbox_enter(false, error, sizeof(error)) != 0)
		_exit(NO_SANDBOX);
	abort();
}

static void
narrow_outside(void *unused)
{
	(void)unused;
	bool was_outside = prctl(PR_GET_SECCOMP) == 0;
	_exit(sandbox_narrow() == 0 && (prctl(PR_GET_SECCOMP) == 0 || !was_outside) ? WENT_ON : EXIT_FAILURE);
}

int
main(void)
{
	char said[4096];

	for (size_t i = 0; i < COUNT_OF(all); i++)
		test_confined(&all[i]);
	is_int(run_child(check_rights, NULL, said, sizeof(said)), WENT_ON,
	    "capabilities are given up, execve(2) gains nothing, memory is hidden");
	is_int(run_child(abort_inside, NULL, said, sizeof(said)), -1, "abort(3) ends a worker by its signal");
	ok(strstr(said, "is refused") == NULL, "which is no refused call");
	is_int(run_child(narrow_outside, NULL, said, sizeof(said)), WENT_ON, "outside of a sandbox nothing is narrowed");
	return done();
}
