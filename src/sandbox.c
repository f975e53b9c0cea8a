#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/netlink.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "log.h"
#include "sandbox.h"

/* AddressSanitizer looks for leaks at the end from a thread that traces the others, and writes reports. */
#if defined(__SANITIZE_ADDRESS__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SANITIZED 1
#endif
#endif

/* ---- capabilities ---- */

#define CAPABILITY(number) (UINT64_C(1) << (number))

static int
set_capabilities(uint64_t kept)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = { 0 };
	uint64_t held = 0;

	if (syscall(SYS_capget, &header, data) != 0)
		return -1;
	for (int i = 0; i < _LINUX_CAPABILITY_U32S_3; i++)
		held |= (uint64_t)(data[i].permitted | data[i].inheritable) << (32 * i);
	/* A unit file that leaves none may refuse capset(2) as well. */
	if ((held & ~kept) == 0)
		return 0;
	for (int i = 0; i < _LINUX_CAPABILITY_U32S_3; i++)
		data[i] = (struct __user_cap_data_struct){ .effective = (uint32_t)((held & kept) >> (32 * i)),
			.permitted = (uint32_t)((held & kept) >> (32 * i)) };
	return (int)syscall(SYS_capset, &header, data);
}

int
sandbox_drop_privileges(bool may_change_user)
{
	uint64_t kept = may_change_user ? CAPABILITY(CAP_SETUID) | CAPABILITY(CAP_SETGID) | CAPABILITY(CAP_KILL) : 0;

	/* EPERM: whoever has no right to change the bounding set has none that execve(2) could raise to it either. */
	for (int i = 0; prctl(PR_CAPBSET_READ, i) >= 0; i++)
		if ((kept & CAPABILITY(i)) == 0 && prctl(PR_CAPBSET_READ, i) > 0 && prctl(PR_CAPBSET_DROP, i) != 0 &&
		    errno != EPERM)
			return -1;
	if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) != 0 || set_capabilities(kept) != 0)
		return -1;
	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
}

void
sandbox_hide_memory(void)
{
	(void)setrlimit(RLIMIT_CORE, &(struct rlimit){ 0 });
	(void)prctl(PR_SET_DUMPABLE, 0);
}

/* ---- system calls ---- */

/* A call is allowed when one of its rules holds, and a rule holds when all of its conditions do. */
struct rule {
	int call;
	unsigned conditions;
	struct scmp_arg_cmp when[2];
};

/* Calls that the processor at hand does not have get a negative number, and libseccomp passes over them. */
#define ALWAYS(name) { .call = SCMP_SYS(name) }
#define WHEN(name, ...) { .call = SCMP_SYS(name), .when = { __VA_ARGS__ }, .conditions = 1 }
#define WHEN_BOTH(name, ...) { .call = SCMP_SYS(name), .when = { __VA_ARGS__ }, .conditions = 2 }
/* Conditions on an argument, counted from 0. */
#define IS(number, value) { .arg = (number), .op = SCMP_CMP_EQ, .datum_a = (scmp_datum_t)(value) }
#define BELOW(number, value) { .arg = (number), .op = SCMP_CMP_LT, .datum_a = (scmp_datum_t)(value) }
#define AMONG(number, mask, value) \
	{ .arg = (number), .op = SCMP_CMP_MASKED_EQ, .datum_a = (scmp_datum_t)(mask), .datum_b = (scmp_datum_t)(value) }
#define WITHOUT(number, bits) AMONG(number, bits, 0)

#define CHANGES_FILES (O_WRONLY | O_RDWR | O_CREAT | O_TRUNC | O_APPEND)
#define SOCKET_TYPE (UINT32_MAX & ~(uint32_t)(SOCK_CLOEXEC | SOCK_NONBLOCK))
/* All but what fork(3) asks for, and the signal at the child's end. */
#define NO_FORK (~(scmp_datum_t)(CLONE_CHILD_SETTID | CLONE_CHILD_CLEARTID | 0xFF))

/* What each process does that computes, takes memory, writes to what it has open, and ends. */
static const struct rule computing[] = {
	ALWAYS(brk),
	ALWAYS(clock_getres),
	ALWAYS(clock_gettime),
	ALWAYS(close),
	ALWAYS(exit),
	ALWAYS(exit_group),
	ALWAYS(futex),
	ALWAYS(getpid),
	ALWAYS(gettid),
	ALWAYS(gettimeofday),
	ALWAYS(madvise),
	ALWAYS(mremap),
	ALWAYS(munmap),
	ALWAYS(restart_syscall),
	ALWAYS(rt_sigprocmask),
	ALWAYS(rt_sigreturn),
	ALWAYS(sched_getaffinity), /* malloc(3), before it makes a further arena */
	ALWAYS(sched_yield),
	ALWAYS(sysinfo), /* qsort(3), before it takes much memory */
	ALWAYS(time),
	ALWAYS(write),
	ALWAYS(writev),
	/* Nothing can be written and run; code comes from files, which cannot be written. */
	WHEN(mmap, WITHOUT(2, PROT_EXEC)),
	WHEN(mprotect, WITHOUT(2, PROT_EXEC)),
};

static const struct rule working[] = {
	/* FastCGI and the database */
	ALWAYS(accept),
	ALWAYS(accept4),
	ALWAYS(connect),
	ALWAYS(epoll_ctl),
	ALWAYS(epoll_pwait),
	ALWAYS(epoll_wait),
	ALWAYS(getpeername),
	ALWAYS(getsockname),
	ALWAYS(getsockopt),
	ALWAYS(poll),
	ALWAYS(ppoll),
	ALWAYS(read),
	ALWAYS(readv),
	ALWAYS(recvfrom),
	ALWAYS(recvmsg),
	ALWAYS(sendmsg),
	ALWAYS(sendto),
	ALWAYS(setsockopt),
	ALWAYS(shutdown),
	WHEN_BOTH(socket, IS(0, AF_UNIX), AMONG(1, SOCKET_TYPE, SOCK_STREAM)),
	WHEN(fcntl, IS(1, F_DUPFD_CLOEXEC)),
	WHEN(fcntl, IS(1, F_GETFD)),
	WHEN(fcntl, IS(1, F_SETFD)),
	WHEN(fcntl, IS(1, F_GETFL)),
	WHEN(fcntl, IS(1, F_SETFL)),
	/* Keys, the log of refusals, and the files that libpq, OpenSSL and the C library read when they connect */
	ALWAYS(access),
	ALWAYS(faccessat),
	ALWAYS(faccessat2),
	ALWAYS(fstat),
	ALWAYS(getcwd),
	ALWAYS(getdents64),
	ALWAYS(lseek),
	ALWAYS(lstat),
	ALWAYS(newfstatat),
	ALWAYS(pread64),
	ALWAYS(readlink),
	ALWAYS(readlinkat),
	ALWAYS(stat),
	ALWAYS(statx),
	WHEN(open, WITHOUT(1, CHANGES_FILES)),
	WHEN(openat, WITHOUT(2, CHANGES_FILES)),
	/* A library that the C library loads for a name service, as it stands in a file */
	WHEN_BOTH(mmap, AMONG(2, PROT_EXEC | PROT_WRITE, PROT_EXEC), WITHOUT(3, MAP_ANONYMOUS)),
	/* Who this is, for the names of files and for OpenSSL */
	ALWAYS(getegid),
	ALWAYS(geteuid),
	ALWAYS(getgid),
	ALWAYS(getppid),
	ALWAYS(getrandom),
	ALWAYS(getrusage),
	ALWAYS(getuid),
	ALWAYS(uname),
	/* Time */
	ALWAYS(clock_nanosleep),
	ALWAYS(nanosleep),
	/* Processes of apart.c, their limits, and the sandbox of the one that converts Markdown */
	ALWAYS(close_range),
	ALWAYS(pipe2),
	ALWAYS(seccomp),
	ALWAYS(set_robust_list),
	ALWAYS(setitimer),
	ALWAYS(wait4),
	WHEN(clone, WITHOUT(0, NO_FORK)),
	WHEN(prctl, IS(0, PR_SET_PDEATHSIG)),
	WHEN(prctl, IS(0, PR_GET_SECCOMP)),
	WHEN(prctl, IS(0, PR_SET_SECCOMP)),
	WHEN(prlimit64, IS(0, 0)),
	/* SIGSYS, which comes of a refused call, stays ours. (Compared are 64 bits, of which the kernel looks at 32.) */
	WHEN(rt_sigaction, BELOW(0, SIGSYS)),
};

/* getaddrinfo(3) asks the DNS by UDP, and the kernel which addresses it has. */
static const struct rule networking[] = {
	ALWAYS(bind),
	ALWAYS(sendmmsg),
	WHEN(ioctl, IS(1, FIONREAD)),
	WHEN_BOTH(socket, IS(0, AF_INET), AMONG(1, SOCKET_TYPE, SOCK_STREAM)),
	WHEN_BOTH(socket, IS(0, AF_INET), AMONG(1, SOCKET_TYPE, SOCK_DGRAM)),
	WHEN_BOTH(socket, IS(0, AF_INET6), AMONG(1, SOCKET_TYPE, SOCK_STREAM)),
	WHEN_BOTH(socket, IS(0, AF_INET6), AMONG(1, SOCKET_TYPE, SOCK_DGRAM)),
	WHEN_BOTH(socket, IS(0, AF_NETLINK), IS(2, NETLINK_ROUTE)),
};

#ifdef SANITIZED
static const struct rule sanitized[] = {
	ALWAYS(clone),
	ALWAYS(getdents),
	ALWAYS(ioctl),
	ALWAYS(kill),
	ALWAYS(openat),
	ALWAYS(prctl),
	ALWAYS(ptrace),
	ALWAYS(read),
	ALWAYS(readlink),
	ALWAYS(rt_sigaction),
	ALWAYS(set_robust_list),
	ALWAYS(sigaltstack),
	ALWAYS(tgkill),
	ALWAYS(wait4),
};
#endif

/* What a library tries and can do without: Kerberos looks for tickets; of clone3(2) a filter does not see the flags. */
static const int absent[] = { SCMP_SYS(add_key), SCMP_SYS(clone3), SCMP_SYS(keyctl), SCMP_SYS(request_key) };

/* ---- a refused call ---- */

enum { CALL_NUMBERS = 512 };

/* By number; made beforehand, because the handler must not allocate. */
static char *call_names[CALL_NUMBERS];

static void
name_calls(void)
{
	for (int i = 0; i < CALL_NUMBERS; i++)
		if (call_names[i] == NULL)
			call_names[i] = seccomp_syscall_resolve_num_arch(SCMP_ARCH_NATIVE, i);
}

/* The signal comes out of the refused call and no other moment, so what log_fatal() does is not cut in two. */
static void
end_refused(int signal, siginfo_t *info, void *context)
{
	unsigned number = (unsigned)info->si_syscall;
	const char *name = number < CALL_NUMBERS && call_names[number] != NULL ? call_names[number] : "unknown";

	(void)signal;
	(void)context;
	log_fatal("sandbox", "the system call %s (%u) is refused", name, number);
}

/* ---- the filter ---- */

static int
add_rules(scmp_filter_ctx filter, const struct rule rules[], size_t count)
{
	int status = 0;

	for (size_t i = 0; i < count && status == 0; i++)
		status = seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, rules[i].call, rules[i].conditions, rules[i].when);
	return status;
}

#define ADD_RULES(filter, rules) add_rules(filter, rules, COUNT_OF(rules))

static int
add_absent(scmp_filter_ctx filter)
{
	int status = 0;

	for (size_t i = 0; i < COUNT_OF(absent) && status == 0; i++)
		status = seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), absent[i], 0);
	return status;
}

/* abort(3) signals the process itself. */
static int
add_abort(scmp_filter_ctx filter)
{
	const struct rule abort_self[] = { WHEN(tgkill, IS(0, getpid())) };

	return ADD_RULES(filter, abort_self);
}

static int
add_worker(scmp_filter_ctx filter, bool network)
{
	int status = add_absent(filter);

	if (status == 0)
		status = ADD_RULES(filter, working);
	return status == 0 && network ? ADD_RULES(filter, networking) : status;
}

/* A filter with what all have; *status is 0, or a negative errno. */
static scmp_filter_ctx
begin_filter(int *status)
{
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_TRAP);

	*status = filter == NULL ? -ENOMEM : 0;
	/* Calls of another architecture (x32, i386) are none of ours; sandbox_drop_privileges() has set no_new_privs. */
	if (*status == 0)
		*status = seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
	if (*status == 0)
		*status = seccomp_attr_set(filter, SCMP_FLTATR_CTL_NNP, 0);
	if (*status == 0)
		*status = ADD_RULES(filter, computing);
	if (*status == 0)
		*status = add_abort(filter);
#ifdef SANITIZED
	if (*status == 0)
		*status = ADD_RULES(filter, sanitized);
#endif
	return filter;
}

int
sandbox_enter(bool network, char *error, size_t error_size)
{
	struct sigaction refused = { .sa_sigaction = end_refused, .sa_flags = SA_SIGINFO };
	int status;

	name_calls();
	tzset(); /* the first line of a log reads a file for it, which the handler could not */
	sigaction(SIGSYS, &refused, NULL);
	scmp_filter_ctx filter = begin_filter(&status);
	if (status == 0)
		status = add_worker(filter, network);
	if (status == 0)
		status = seccomp_load(filter);
	seccomp_release(filter);
	if (status == 0)
		return 0;
	snprintf(error, error_size, "the system calls cannot be limited: %s; sandbox = off does without", strerror(-status));
	return -1;
}

int
sandbox_narrow(void)
{
	int status;

	if (prctl(PR_GET_SECCOMP) <= 0)
		return 0;
	scmp_filter_ctx filter = begin_filter(&status);
	if (status == 0)
		status = seccomp_load(filter);
	seccomp_release(filter);
	return status == 0 ? 0 : -1;
}
