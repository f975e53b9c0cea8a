#include "master.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <pwd.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "api.h"
#include "call.h"
#include "clock.h"
#include "cmdline.h"
#include "conf.h"
#include "handover.h"
#include "listener.h"
#include "log.h"
#include "metrics.h"
#include "notify.h"
#include "refusals.h"
#include "sandbox.h"
#include "token.h"
#include "trouble.h"
#include "worker.h"

enum {
	MAX_CHILDREN = HANDOVER_MAX_WORKERS, /* the most that conf.h allows, old and new side by side while reloading */
	QUICK_DEATH = 1000,            /* milliseconds: a worker that dies sooner is not started again at once */
	BACKOFF_FIRST = 100,
	BACKOFF_MOST = 10000,
	READY_TIMEOUT = 30000,
	KILL_GRACE = 2000, /* beyond drain_timeout */
	TICK_BUSY = 5,
	TICK_IDLE = 1000
};

struct child {
	pid_t pid; /* 0: the place is free */
	enum pool pool;
	unsigned generation;
	int64_t started;
	int64_t kill_at; /* 0: not told to stop */
};

struct master {
	struct conf conf;
	const struct master_source *source;
	int listeners[POOL_COUNT];
	bool inherited[POOL_COUNT];
	struct child children[MAX_CHILDREN];
	atomic_bool *ready; /* one a child, shared with it */
	struct metrics *metrics;
	struct troubles *troubles;
	unsigned generation;
	bool retiring; /* an older generation waits for the current one to be ready */
	int64_t retire_by;
	int64_t spawn_at;
	int64_t backoff;
	bool stopping;
	bool told_ready; /* systemd knows that all workers are */
	char program[PATH_MAX];
};

/* How many workers the configuration wants in a pool. */
static int
pool_size(const struct conf *conf, enum pool pool)
{
	const int sizes[POOL_COUNT] = { [POOL_API] = conf->api_workers, [POOL_AUTH] = conf->auth_workers,
		[POOL_BULK] = conf->bulk_workers };

	return sizes[pool];
}

/* The path of a pool's socket; it belongs to the configuration. */
static char **
pool_socket(struct conf *conf, enum pool pool)
{
	char **const paths[POOL_COUNT] = { [POOL_API] = &conf->api_socket, [POOL_AUTH] = &conf->auth_socket,
		[POOL_BULK] = &conf->bulk_socket };

	return paths[pool];
}

/* ---- workers ---- */

/* Whether workers become another user, which takes rights of the master. */
static bool
changes_user(const struct conf *conf)
{
	return geteuid() == 0 && conf->user != NULL && conf->user[0] != '\0';
}

static int
drop_privileges(const struct conf *conf)
{
	if (!changes_user(conf))
		return 0;
	struct passwd *entry = getpwnam(conf->user);
	if (entry == NULL || initgroups(conf->user, entry->pw_gid) != 0 || setgid(entry->pw_gid) != 0 ||
	    setuid(entry->pw_uid) != 0) {
		log_write(LOG_LEVEL_ERROR, "worker", "cannot become the user %s: %s", conf->user,
		    entry == NULL ? "there is no such user" : strerror(errno));
		return -1;
	}
	return 0;
}

/* What a worker of the pool does before it is ready. */
static int
check_pool(const struct conf *conf, enum pool pool, char *error, size_t error_size)
{
	struct endpoint endpoints[API_MAX_ENDPOINTS];
	struct service service;

	if (worker_prepare(&service, conf, pool, NULL, NULL, endpoints, error, error_size) != 0)
		return -1;
	int status = db_ready(service.db);
	if (status != 0)
		snprintf(error, error_size, "%s", db_problem(service.db));
	worker_release(&service);
	return status;
}

int
master_check(const struct conf *conf, char *error, size_t error_size)
{
	int status = 0;

	if (conf->database == NULL || conf->database[0] == '\0') {
		snprintf(error, error_size, "database is not set: say where the database is");
		return -1;
	}
	if (drop_privileges(conf) != 0) {
		snprintf(error, error_size, "user: cannot become %s", conf->user);
		return -1;
	}
	for (enum pool pool = 0; pool < POOL_COUNT && status == 0; pool++)
		status = check_pool(conf, pool, error, error_size);
	return status;
}

/* Gives up what no process of ours needs once the sockets are there. */
static int
give_up_rights(const struct conf *conf, bool may_change_user, char *error, size_t error_size)
{
	if (sandbox_drop_privileges(may_change_user) != 0) {
		snprintf(error, error_size, "capabilities cannot be given up: %s", strerror(errno));
		return -1;
	}
	if (conf->sandbox)
		sandbox_hide_memory();
	return 0;
}

static NORETURN void
become_worker(const struct master *master, pid_t self, enum pool pool, int place)
{
	const struct worker worker = { .conf = &master->conf, .pool = pool, .master = self, .listener = master->listeners[pool],
		.ready = &master->ready[place], .metrics = master->metrics, .place = place, .troubles = master->troubles };

	char error[256];

	for (int other = 0; other < POOL_COUNT; other++) /* or they would be listened on for as long as this worker drains */
		if (other != (int)pool)
			close(master->listeners[other]);
	cmdline_forget(master->source->arguments, "JOBFORGE_"); /* it has what it needs of them in its configuration */
	if (drop_privileges(&master->conf) != 0)
		exit(1);
	if (give_up_rights(&master->conf, false, error, sizeof(error)) != 0) {
		log_write(LOG_LEVEL_ERROR, "worker", "%s", error);
		exit(1);
	}
	exit(worker_run(&worker));
}

static void
start_worker(struct master *master, enum pool pool)
{
	int place = 0;

	while (place < MAX_CHILDREN && master->children[place].pid != 0)
		place++;
	if (place == MAX_CHILDREN)
		return;
	atomic_store(&master->ready[place], false);
	pid_t self = getpid();
	pid_t pid = fork();
	if (pid == 0)
		become_worker(master, self, pool, place);
	if (pid < 0) {
		log_write(LOG_LEVEL_ERROR, "master", "cannot start a worker: %s", strerror(errno));
		master->spawn_at = clock_ms() + BACKOFF_FIRST;
		return;
	}
	master->children[place] = (struct child){ .pid = pid, .pool = pool, .generation = master->generation,
		.started = clock_ms() };
	metrics_master(master->metrics)->starts[pool]++;
}

static int
count_current(const struct master *master, enum pool pool)
{
	int count = 0;

	for (int i = 0; i < MAX_CHILDREN; i++)
		count += master->children[i].pid != 0 && master->children[i].pool == pool &&
		    master->children[i].generation == master->generation && master->children[i].kill_at == 0;
	return count;
}

static void
start_missing(struct master *master)
{
	if (master->stopping || clock_ms() < master->spawn_at)
		return;
	for (enum pool pool = 0; pool < POOL_COUNT; pool++)
		for (int count = count_current(master, pool); count < pool_size(&master->conf, pool); count++)
			start_worker(master, pool);
}

static enum metrics_end
end_of(bool expected, int status)
{
	if (expected)
		return WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL ? ENDED_OVERDUE : ENDED_DRAINED;
	if (WIFSIGNALED(status))
		return ENDED_BY_SIGNAL;
	return WEXITSTATUS(status) == 0 ? ENDED_QUIETLY : ENDED_FAILED;
}

static void
note_death(struct master *master, const struct child *child, int status)
{
	bool expected = child->kill_at != 0;

	metrics_master(master->metrics)->exits[child->pool][end_of(expected, status)]++;
	if (WIFSIGNALED(status))
		log_write(expected ? LOG_LEVEL_INFO : LOG_LEVEL_WARNING, "worker", "%s worker %d was ended by signal %d",
		    endpoint_pool_names[child->pool], (int)child->pid, WTERMSIG(status));
	else
		log_write(expected ? LOG_LEVEL_DEBUG : LOG_LEVEL_WARNING, "worker", "%s worker %d ended with status %d",
		    endpoint_pool_names[child->pool], (int)child->pid, WEXITSTATUS(status));
	if (expected || clock_ms() - child->started > QUICK_DEATH) {
		master->backoff = 0;
		return;
	}
	master->backoff = master->backoff == 0 ? BACKOFF_FIRST : master->backoff * 2;
	if (master->backoff > BACKOFF_MOST)
		master->backoff = BACKOFF_MOST;
	master->spawn_at = clock_ms() + master->backoff;
}

static void
reap(struct master *master)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		for (int i = 0; i < MAX_CHILDREN; i++) {
			if (master->children[i].pid != pid)
				continue;
			note_death(master, &master->children[i], status);
			metrics_leave(master->metrics, i);
			master->children[i] = (struct child){ 0 };
		}
	}
}

static void
note_configuration(struct master *master)
{
	for (enum pool pool = 0; pool < POOL_COUNT; pool++)
		metrics_master(master->metrics)->configured[pool] = (uint64_t)pool_size(&master->conf, pool);
}

static int
count_children(const struct master *master)
{
	int count = 0;

	for (int i = 0; i < MAX_CHILDREN; i++)
		count += master->children[i].pid != 0;
	return count;
}

/* ---- stopping and reloading ---- */

/* Tells the workers of generations before `generation` to drain. */
static void
drain_before(struct master *master, unsigned generation)
{
	int64_t kill_at = clock_ms() + (int64_t)master->conf.drain_timeout * 1000 + KILL_GRACE;

	for (int i = 0; i < MAX_CHILDREN; i++) {
		struct child *child = &master->children[i];
		if (child->pid == 0 || child->generation >= generation || child->kill_at != 0)
			continue;
		child->kill_at = kill_at;
		kill(child->pid, SIGTERM);
	}
}

static void
kill_late(struct master *master)
{
	int64_t now = clock_ms();

	for (int i = 0; i < MAX_CHILDREN; i++)
		if (master->children[i].pid != 0 && master->children[i].kill_at != 0 && now > master->children[i].kill_at)
			kill(master->children[i].pid, SIGKILL);
}

static bool
all_ready(const struct master *master)
{
	int wanted = 0;

	for (enum pool pool = 0; pool < POOL_COUNT; pool++)
		wanted += pool_size(&master->conf, pool);
	for (int i = 0; i < MAX_CHILDREN; i++)
		wanted -= master->children[i].pid != 0 && master->children[i].generation == master->generation &&
		    atomic_load(&master->ready[i]);
	return wanted <= 0;
}

static void
retire_old(struct master *master)
{
	if (!master->retiring)
		return;
	bool ready = all_ready(master);
	if (!ready && clock_ms() < master->retire_by)
		return;
	if (!ready)
		log_write(LOG_LEVEL_ERROR, "reload", "not all new workers are ready in time; the old ones go all the same");
	else
		log_write(LOG_LEVEL_INFO, "reload", "workers run with the new configuration");
	metrics_master(master->metrics)->reloads[ready ? RELOAD_DONE : RELOAD_LATE]++;
	master->retiring = false;
	drain_before(master, master->generation);
}

/* The check connects to the database, so a process of its own does it. 0 when the configuration can be used. */
static int
check_apart(const struct conf *conf)
{
	char error[512];
	int status = 0;
	pid_t pid = fork();

	if (pid == 0) {
		int failed = master_check(conf, error, sizeof(error));
		if (failed != 0)
			log_write(LOG_LEVEL_ERROR, "reload", "the old configuration stays: %s", error);
		_exit(failed == 0 ? 0 : 1);
	}
	while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
		continue;
	return pid > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -1;
}

static void
swap(char **a, char **b)
{
	char *kept = *a;

	*a = *b;
	*b = kept;
}

/* These take a restart: what was made at the start is what is removed at the end. */
static void
keep_places(struct conf *fresh, struct conf *current)
{
	for (enum pool pool = 0; pool < POOL_COUNT; pool++)
		swap(pool_socket(fresh, pool), pool_socket(current, pool));
	swap(&fresh->pid_file, &current->pid_file);
}

/* Counts and tells why nothing changes. */
static void
refuse(struct master *master, const char *what, const char *error)
{
	if (error[0] != '\0') /* else the check has told it */
		log_write(LOG_LEVEL_ERROR, "reload", "%s: %s", what, error);
	metrics_master(master->metrics)->reloads[RELOAD_REFUSED]++;
}

/* Goes on as the new program, to which the workers of this one are those of the configuration before. */
static void
become_new_program(struct master *master)
{
	char error[512] = "";
	struct handover handover = { 0 };

	if (handover_check(master->program, master->source->arguments, error, sizeof(error)) != 0) {
		refuse(master, "the old program stays", error);
		return;
	}
	memcpy(handover.listeners, master->listeners, sizeof(handover.listeners));
	memcpy(handover.inherited, master->inherited, sizeof(handover.inherited));
	for (int i = 0; i < MAX_CHILDREN; i++)
		if (master->children[i].pid != 0)
			handover.workers[handover.count++] =
			    (struct handover_worker){ master->children[i].pid, master->children[i].pool };
	log_write(LOG_LEVEL_INFO, "reload", "going on as the new program at %s", master->program);
	handover_become(master->program, master->source->arguments, &handover, error, sizeof(error));
	memcpy(master->listeners, handover.listeners, sizeof(master->listeners));
	refuse(master, "the old program stays", error);
}

/* The workers that an old program has left are those of the generation before. */
static void
take_over(struct master *master)
{
	struct handover handover;

	if (!handover_take(&handover))
		return;
	memcpy(master->inherited, handover.inherited, sizeof(master->inherited));
	for (int i = 0; i < handover.count; i++)
		master->children[i] = (struct child){ .pid = handover.workers[i].pid, .pool = handover.workers[i].pool,
			.started = clock_ms() };
	master->generation = 1;
	master->retiring = true;
	master->retire_by = clock_ms() + READY_TIMEOUT;
}

static void
reload(struct master *master)
{
	const struct master_source *source = master->source;
	struct conf fresh = { 0 };
	char error[512];

	if (master->stopping)
		return;
	notify_reloading();
	master->told_ready = false;
	if (handover_due(master->program)) {
		become_new_program(master);
		return;
	}
	if (conf_load(&fresh, source->path, source->flags, source->flag_count, error, sizeof(error)) != 0) {
		refuse(master, "the old configuration stays", error);
		return;
	}
	conf_forget_administrators(&fresh);
	if (check_apart(&fresh) != 0) {
		refuse(master, "", "");
		conf_free(&fresh);
		return;
	}
	log_write(LOG_LEVEL_INFO, "reload", "starting workers with the new configuration");
	keep_places(&fresh, &master->conf);
	conf_free(&master->conf);
	master->conf = fresh;
	log_set_level(master->conf.log_level);
	note_configuration(master);
	master->generation++;
	master->retiring = true;
	master->retire_by = clock_ms() + READY_TIMEOUT;
	master->spawn_at = 0;
}

static void
stop(struct master *master)
{
	if (master->stopping)
		return;
	notify_send("STOPPING=1");
	log_write(LOG_LEVEL_INFO, "master", "stopping: workers finish what they have");
	master->stopping = true;
	master->retiring = false;
	drain_before(master, master->generation + 1);
}

/* ---- start and end ---- */

static int
open_listeners(struct master *master, char *error, size_t error_size)
{
	for (enum pool pool = 0; pool < POOL_COUNT; pool++) {
		master->listeners[pool] = listener_inherit(endpoint_pool_names[pool]);
		master->inherited[pool] = master->listeners[pool] >= 0;
		if (!master->inherited[pool])
			master->listeners[pool] = listener_open(*pool_socket(&master->conf, pool),
			    master->conf.socket_group, error, error_size);
		if (master->listeners[pool] < 0)
			return -1;
	}
	return 0;
}

static int
write_pid_file(const char *path, char *error, size_t error_size)
{
	if (path == NULL || path[0] == '\0')
		return 0;
	FILE *file = fopen(path, "we");
	bool written = file != NULL && fprintf(file, "%d\n", (int)getpid()) > 0;
	if (file != NULL && fclose(file) != 0)
		written = false;
	if (!written) {
		snprintf(error, error_size, "pid_file %s cannot be written: %s", path, strerror(errno));
		return -1;
	}
	return 0;
}

static void
clean_up(struct master *master)
{
	for (enum pool pool = 0; pool < POOL_COUNT; pool++)
		if (!master->inherited[pool])
			unlink(*pool_socket(&master->conf, pool));
	if (master->conf.pid_file != NULL && master->conf.pid_file[0] != '\0')
		unlink(master->conf.pid_file);
}

static void
handle_signal(struct master *master, int signal)
{
	switch (signal) {
	case SIGCHLD:
		reap(master);
		break;
	case SIGHUP:
		reload(master);
		break;
	case SIGTERM:
	case SIGINT:
		stop(master);
		break;
	default:
		break;
	}
}

/* Once after each start and reload, when all workers of the present configuration serve. */
static void
tell_ready(struct master *master)
{
	if (master->told_ready || master->retiring || master->stopping || !all_ready(master))
		return;
	notify_send("READY=1");
	master->told_ready = true;
}

static void
watch(struct master *master)
{
	static const int signals[] = { SIGCHLD, SIGHUP, SIGTERM, SIGINT };
	sigset_t set;

	sigemptyset(&set);
	for (size_t i = 0; i < COUNT_OF(signals); i++)
		sigaddset(&set, signals[i]);
	sigprocmask(SIG_SETMASK, &set, NULL);
	signal(SIGPIPE, SIG_IGN); /* the reader of the log may go away, */
	signal(SIGXFSZ, SIG_IGN); /* and its file reach a limit */
	while (!master->stopping || count_children(master) > 0) {
		start_missing(master);
		retire_old(master);
		kill_late(master);
		tell_ready(master);
		bool busy = master->retiring || master->stopping || !master->told_ready || clock_ms() < master->spawn_at;
		struct timespec tick = { .tv_sec = busy ? 0 : TICK_IDLE / 1000, .tv_nsec = busy ? TICK_BUSY * 1000000L : 0 };
		handle_signal(master, sigtimedwait(&set, NULL, &tick));
		reap(master);
	}
}

static struct master *
make_master(void)
{
	struct master *master = calloc(1, sizeof(*master));
	void *shared = mmap(NULL, MAX_CHILDREN * sizeof(atomic_bool), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct metrics *metrics = metrics_new(MAX_CHILDREN);
	struct troubles *troubles = troubles_new();

	if (master == NULL || shared == MAP_FAILED || metrics == NULL || troubles == NULL) {
		log_write(LOG_LEVEL_ERROR, "memory", "out of memory for the master");
		exit(70);
	}
	master->ready = shared;
	master->metrics = metrics;
	master->troubles = troubles;
	return master;
}

/* As many descriptors as this process may have: each connection to a worker takes one. */
static void
raise_descriptors(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &limit);
	}
}

int
master_run(struct conf *conf, const struct master_source *source)
{
	struct master *master = make_master();
	char error[512];

	master->conf = *conf;
	*conf = (struct conf){ 0 };
	master->source = source;
	raise_descriptors();
	handover_begin(master->program, sizeof(master->program));
	note_configuration(master);
	refusals_begin(master->metrics, master->conf.refusals_log);
	int status = open_listeners(master, error, sizeof(error));
	take_over(master);
	if (status == 0)
		status = write_pid_file(master->conf.pid_file, error, sizeof(error));
	if (status == 0)
		status = give_up_rights(&master->conf, changes_user(&master->conf), error, sizeof(error));
	if (status == 0) {
		log_write(LOG_LEVEL_INFO, "master", "started with %d api, %d auth and %d bulk workers",
		    master->conf.api_workers, master->conf.auth_workers, master->conf.bulk_workers);
		watch(master);
		clean_up(master);
		log_write(LOG_LEVEL_INFO, "master", "stopped");
	} else {
		log_write(LOG_LEVEL_ERROR, "master", "%s", error);
	}
	conf_free(&master->conf);
	munmap(master->ready, MAX_CHILDREN * sizeof(atomic_bool));
	metrics_free(master->metrics);
	troubles_free(master->troubles);
	free(master);
	return status == 0 ? 0 : 1;
}
