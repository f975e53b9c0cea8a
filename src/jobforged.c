/* jobforged(8): the server. What the command line says, and then the master. */
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "api.h"
#include "cmdline.h"
#include "conf.h"
#include "log.h"
#include "master.h"
#include "route.h"

enum { EXIT_USAGE = 2, MAX_ARGUMENTS = 128 };

struct command {
	bool test;
	bool routes;
	bool help;
	bool version;
	struct master_source source;
	char *flags[MAX_ARGUMENTS];
};

static const char usage[] = "usage: jobforged [-t] [--config FILE] [--KEY=VALUE ...]\n"
			    "       jobforged --routes | --help | --version\n"
			    "\n"
			    "  -t         check configuration, keys, database, schema and every statement; then exit\n"
			    "  --config   read this file instead of " SYSCONFDIR "/jobforge/jobforged.conf\n"
			    "  --routes   print the endpoints, one a line\n"
			    "\n"
			    "The keys are described in jobforged.conf(5).\n";

/* Sorts the arguments: ours, and those that are keys of the configuration. */
static int
read_command(struct command *command, int argc, char *argv[])
{
	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "-t") == 0)
			command->test = true;
		else if (strcmp(argv[i], "--routes") == 0)
			command->routes = true;
		else if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
			command->help = true;
		else if (strcmp(argv[i], "--version") == 0)
			command->version = true;
		else if (strcmp(argv[i], "--config") == 0 && i + 1 < argc)
			command->source.path = argv[++i];
		else if (strncmp(argv[i], "--config=", 9) == 0)
			command->source.path = argv[i] + 9;
		else if (conf_flag_known(argv[i]))
			command->flags[command->source.flag_count++] = argv[i];
		else
			return -1;
	}
	command->source.flags = command->flags;
	command->source.arguments = argv;
	return 0;
}

static void
print_routes(void)
{
	struct endpoint endpoints[API_MAX_ENDPOINTS];

	api_endpoints(endpoints);
	route_print(endpoints);
}

static int
test(const struct conf *conf)
{
	char error[512];

	log_set_level(LOG_LEVEL_NONE); /* the sentence below says it */
	if (master_check(conf, error, sizeof(error)) != 0) {
		fprintf(stderr, "jobforged: %s\n", error);
		return 1;
	}
	puts("jobforged: configuration, keys, database, schema and statements are good");
	return 0;
}

static int
run(int argc, char *argv[])
{
	static const char default_path[] = SYSCONFDIR "/jobforge/jobforged.conf";
	struct command command = { 0 };
	struct conf conf = { 0 };
	char error[512];

	if (read_command(&command, argc, argv) != 0) {
		fputs(usage, stderr);
		return EXIT_USAGE;
	}
	if (command.help || command.version) {
		fputs(command.help ? usage : "jobforged " JOBFORGE_VERSION "\n", stdout);
		return 0;
	}
	if (command.routes) {
		print_routes();
		return 0;
	}
	if (command.source.path == NULL && access(default_path, F_OK) == 0)
		command.source.path = default_path;
	if (conf_load(&conf, command.source.path, command.source.flags, command.source.flag_count, error,
		sizeof(error)) != 0) {
		fprintf(stderr, "jobforged: %s\n", error);
		return 1;
	}
	conf_forget_administrators(&conf);
	log_set_level(conf.log_level);
	if (!command.test)
		return master_run(&conf, &command.source);
	int status = test(&conf);
	conf_free(&conf);
	return status;
}

int
main(int argc, char *argv[])
{
	char *arguments[MAX_ARGUMENTS + 1];

	signal(SIGCHLD, SIG_DFL); /* ignored, as whoever starts this may leave it, no process could be waited for */
	if (argc > MAX_ARGUMENTS) {
		fputs(usage, stderr);
		return EXIT_USAGE;
	}
	if (cmdline_hide(argc, argv, arguments, conf_flag_is_secret) != 0) {
		fputs("jobforged: out of memory\n", stderr);
		return 1;
	}
	int status = run(argc, arguments);
	cmdline_forget(arguments, "JOBFORGE_");
	return status;
}
