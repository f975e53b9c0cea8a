/* The operator's tool: the list of its commands, and the one way in which each is called. See jobforgectl(8). */
#include <errno.h>
#include <signal.h>
#include <stdio.h>

#include "conf.h"
#include "ctl.h"

enum { GLOBAL_CONFIG, GLOBAL_JSON, GLOBAL_HELP, GLOBAL_VERSION };

static const struct ctl_command *const commands[] = {
	&ctl_backup,
	&ctl_bench_db,
	&ctl_completion,
	&ctl_config,
	&ctl_doctor,
	&ctl_help,
	&ctl_key_rotate,
	&ctl_maintain,
	&ctl_migrate,
	&ctl_monitor,
	&ctl_plan_define,
	&ctl_plan_list,
	&ctl_plan_set,
	&ctl_restore,
	&ctl_status,
	&ctl_user_delete,
	&ctl_user_disable,
	&ctl_user_enable,
	&ctl_user_list,
	&ctl_user_reset_password,
	&ctl_user_show,
	&ctl_verify_backup,
	&ctl_version,
	NULL,
};

static const struct ctl_option global_options[] = {
	[GLOBAL_CONFIG] = { "--config", "FILE", "Read FILE instead of the default configuration file." },
	[GLOBAL_JSON] = { "--json", NULL, "Print the result as one JSON object." },
	[GLOBAL_HELP] = { "--help", NULL, "Print help, of the command if one is named." },
	[GLOBAL_VERSION] = { "--version", NULL, "The same as the command version." },
	{ 0 },
};

struct request {
	struct ctl ctl;
	bool help;
	bool version;
};

/* Whether `argument` is the option, alone or with "=value". */
static bool
is_option(const struct ctl_option *option, const char *argument)
{
	size_t len = strlen(option->name);
	return strncmp(argument, option->name, len) == 0 && (argument[len] == '\0' || argument[len] == '=');
}

/* The position of the option that `argument` is, or -1. */
static int
find_option(const struct ctl_option *options, const char *argument)
{
	for (int i = 0; options[i].name != NULL; i++)
		if (is_option(&options[i], argument))
			return i;
	return -1;
}

/* The option's value, from after the '=' or from the next argument, over which *argv then steps; "" for one that takes
 * none. NULL after a complaint. */
static const char *
take_value(const struct ctl_option *option, char ***argv)
{
	const char *equals = strchr(**argv, '=');
	if (option->argument == NULL) {
		if (equals == NULL)
			return "";
		ctl_misuse("%s takes no value", option->name);
		return NULL;
	}
	if (equals != NULL)
		return equals + 1;
	if ((*argv)[1] != NULL)
		return *++*argv;
	ctl_misuse("%s needs a value: %s %s", option->name, option->name, option->argument);
	return NULL;
}

static int
take_global(struct request *request, int index, char ***argv)
{
	const char *value = take_value(&global_options[index], argv);
	if (value == NULL)
		return CTL_USAGE;
	switch (index) {
	case GLOBAL_CONFIG:
		request->ctl.config = value;
		break;
	case GLOBAL_JSON:
		request->ctl.json = true;
		break;
	case GLOBAL_HELP:
		request->help = true;
		break;
	case GLOBAL_VERSION:
		request->version = true;
		break;
	}
	return CTL_OK;
}

static int
take_option(struct request *request, char ***argv)
{
	struct ctl *ctl = &request->ctl;
	char *argument = **argv;
	int index = find_option(global_options, argument);
	if (index >= 0)
		return take_global(request, index, argv);
	index = ctl->command == NULL ? -1 : find_option(ctl->command->options, argument);
	if (index >= 0) {
		ctl->values[index] = take_value(&ctl->command->options[index], argv);
		return ctl->values[index] == NULL ? CTL_USAGE : CTL_OK;
	}
	if (!conf_flag_known(argument))
		return ctl_misuse("there is no option %.*s here; a command's own options follow its name",
		    (int)strcspn(argument, "="), argument);
	ctl->flags[ctl->flag_count++] = argument;
	return CTL_OK;
}

static int
take_word(struct ctl *ctl, const char *word)
{
	if (ctl->word_count == CTL_WORDS_MAX)
		return ctl_misuse("there are too many arguments");
	ctl->words[ctl->word_count++] = word;
	if (ctl->command == NULL) {
		ctl->command = ctl_find(ctl, ctl->words, ctl->word_count);
		ctl->name_words = ctl->word_count;
	} else if (ctl->command->arguments == NULL) {
		return ctl_misuse("%s takes no argument %s", ctl->command->name, word);
	}
	return CTL_OK;
}

/* The flags of the configuration are kept in argv itself, which they cannot outgrow. */
static int
parse(struct request *request, char *argv[])
{
	request->ctl.flags = argv;
	for (char **at = argv + 1; *at != NULL; at++) {
		int status = (*at)[0] == '-' ? take_option(request, &at) : take_word(&request->ctl, *at);
		if (status != CTL_OK)
			return status;
	}
	return CTL_OK;
}

/* --help and --version stand for the commands of these names; --help after a command for its help. */
static int
run_global(struct request *request)
{
	struct ctl *ctl = &request->ctl;
	ctl->name_words = ctl->command != NULL ? 0 : ctl->word_count;
	if (ctl->command != NULL)
		for (ctl->word_count = 1; ctl_find(ctl, ctl->words, ctl->word_count) == NULL;)
			ctl->word_count++;
	return request->help ? ctl_help.run(ctl) : ctl_version.run(ctl);
}

static int
run(struct request *request)
{
	struct ctl *ctl = &request->ctl;
	if (request->help || request->version)
		return run_global(request);
	if (ctl->word_count == 0)
		return ctl_misuse("there is no command");
	if (ctl->command == NULL)
		return ctl_misuse("there is no command %s%s%s", ctl->words[0], ctl->word_count > 1 ? " " : "",
		    ctl->word_count > 1 ? ctl->words[1] : "");
	if (ctl->word_count - ctl->name_words < ctl->command->words)
		return ctl_misuse("%s needs %s", ctl->command->name, ctl->command->arguments);
	if (!ctl->command->own_configuration && ctl_load(ctl) != CTL_OK)
		return CTL_FAILED;
	return ctl->command->run(ctl);
}

int
main(int argc, char *argv[])
{
	struct request request = { .ctl = { .commands = commands, .global_options = global_options } };

	signal(SIGCHLD, SIG_DFL); /* ignored, as whoever starts this may leave it, no process could be waited for */
	int status = argc == 0 ? CTL_USAGE : parse(&request, argv);
	if (status == CTL_OK)
		status = run(&request);
	conf_free(&request.ctl.conf);
	if ((fflush(stdout) != 0 || ferror(stdout)) && status == CTL_OK)
		status = ctl_fail("standard output cannot be written: %s", strerror(errno));
	return status;
}
