/* The operator's tool: a table of commands, and the one way in which each is called. See jobforgectl(8). */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include "buffer.h"
#include "conf.h"
#include "keyfile.h"
#include "log.h"
#include "migrate.h"
#include "schema.h"

static const char default_config[] = SYSCONFDIR "/jobforge/jobforged.conf";
static const char default_migrations[] = PKGDATADIR "/migrations";

enum { STATUS_OK = 0, STATUS_FAILED = 1, STATUS_USAGE = 2 };

enum { MAX_OPTIONS = 8, MAX_ARGUMENTS = 8, ERROR_SIZE = 2048 };

struct context;

struct option {
	const char *name;     /* with its dashes */
	const char *argument; /* what its value is called; NULL: it takes none */
	const char *summary;
};

struct command {
	const char *name;      /* one word or two */
	const char *arguments; /* what follows the name; NULL: nothing does */
	const char *summary;
	bool own_configuration; /* the command loads the configuration itself, or needs none */
	struct option options[MAX_OPTIONS + 1];
	int (*run)(struct context *); /* the exit status */
};

struct context {
	const struct command *command;
	const char *values[MAX_OPTIONS]; /* of the command's options; "" for one without a value; NULL: not given */
	const char *words[MAX_ARGUMENTS];
	int word_count;
	int name_words; /* how many of the words are the command's name */
	char **flags;   /* of the configuration */
	int flag_count;
	const char *config; /* NULL: the default file, if there is one */
	bool json;
	bool help;
	bool version;
	struct conf conf;
};

enum { MIGRATE_DRY_RUN, MIGRATE_DIRECTORY };
enum { CONFIG_EXAMPLE };
enum { GLOBAL_CONFIG, GLOBAL_JSON, GLOBAL_HELP, GLOBAL_VERSION };

static int run_config(struct context *);
static int run_help(struct context *);
static int run_key_rotate(struct context *);
static int run_migrate(struct context *);
static int run_version(struct context *);

static const struct command commands[] = {
	{
	    .name = "config",
	    .summary = "Print the configuration in effect, each key with its default.",
	    .own_configuration = true,
	    .options = {
		[CONFIG_EXAMPLE] = { "--example", NULL, "Print a configuration file of defaults, all commented out." },
	    },
	    .run = run_config,
	},
	{
	    .name = "help",
	    .arguments = "[command]",
	    .summary = "Print what the commands, or one of them, do.",
	    .own_configuration = true,
	    .run = run_help,
	},
	{
	    .name = "key rotate",
	    .summary = "Make a new key for access tokens; the previous one still verifies, older ones are dropped.",
	    .run = run_key_rotate,
	},
	{
	    .name = "migrate",
	    .summary = "Bring the database to the schema of this JobForge.",
	    .options = {
		[MIGRATE_DRY_RUN] = { "--dry-run", NULL, "Print what is pending and change nothing." },
		[MIGRATE_DIRECTORY] = { "--directory", "DIR", "Take the migrations from DIR." },
	    },
	    .run = run_migrate,
	},
	{
	    .name = "version",
	    .summary = "Print the version, that of the schema, and where the program looks for its files.",
	    .own_configuration = true,
	    .run = run_version,
	},
};

static const struct option global_options[] = {
	[GLOBAL_CONFIG] = { "--config", "FILE", "Read FILE instead of the default configuration file." },
	[GLOBAL_JSON] = { "--json", NULL, "Print the result as one JSON object." },
	[GLOBAL_HELP] = { "--help", NULL, "Print help, of the command if one is named." },
	[GLOBAL_VERSION] = { "--version", NULL, "The same as the command version." },
	{ 0 },
};

static int
complain(int status, const char *format, ...) PRINTF_LIKE(2, 3);

/* Each error is one sentence on one line. */
static int
complain(int status, const char *format, ...)
{
	char text[ERROR_SIZE + 256];
	va_list args;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	size_t len = strlen(text);
	fflush(stdout);
	fprintf(stderr, "jobforgectl: %s%s%s\n", text, len > 0 && text[len - 1] == '.' ? "" : ".",
	    status == STATUS_USAGE ? " See jobforgectl help." : "");
	return status;
}

static int
load_configuration(struct context *context)
{
	char error[ERROR_SIZE];
	const char *path = context->config;
	if (path == NULL && (access(default_config, F_OK) == 0 || (errno != ENOENT && errno != ENOTDIR)))
		path = default_config;
	if (conf_load(&context->conf, path, context->flags, context->flag_count, error, sizeof(error)) != 0)
		return complain(STATUS_FAILED, "%s", error);
	return STATUS_OK;
}

static int
run_config(struct context *context)
{
	bool example = context->values[CONFIG_EXAMPLE] != NULL;
	if (example && context->json)
		return complain(STATUS_USAGE, "config --example has no JSON form");
	if (!example && load_configuration(context) != STATUS_OK)
		return STATUS_FAILED;
	if (context->json)
		conf_print_json(&context->conf);
	else
		conf_print(example ? NULL : &context->conf);
	return STATUS_OK;
}

static int
run_migrate(struct context *context)
{
	const char *directory = context->values[MIGRATE_DIRECTORY];
	const struct migrate_request request = {
		.conninfo = context->conf.admin_database,
		.directory = directory == NULL ? default_migrations : directory,
		.dry_run = context->values[MIGRATE_DRY_RUN] != NULL,
		.json = context->json,
	};
	char error[ERROR_SIZE];
	return migrate_run(&request, error, sizeof(error)) == 0 ? STATUS_OK : complain(STATUS_FAILED, "%s", error);
}

static void
append_member(struct buffer *out, const char *name, const char *value)
{
	buffer_puts(out, out->len == 0 ? "{" : ",");
	buffer_printf(out, "\"%s\":", name);
	if (value == NULL)
		buffer_puts(out, "null");
	else
		log_quote(out, value, strlen(value));
}

static void
print_and_free(struct buffer *out)
{
	fwrite(out->data, 1, out->len, stdout);
	buffer_free(out);
}

static int
run_key_rotate(struct context *context)
{
	const char *path = context->conf.token_keys;
	struct keyfile_change change = { 0 };
	struct buffer out = { 0 };
	char error[ERROR_SIZE];
	if (keyfile_rotate(path, context->conf.user, &change, error, sizeof(error)) != 0)
		return complain(STATUS_FAILED, "%s", error);

	if (context->json) {
		append_member(&out, "file", path);
		append_member(&out, "signing", change.signing);
		append_member(&out, "previous", change.previous[0] == '\0' ? NULL : change.previous);
		buffer_puts(&out, "}\n");
	} else {
		buffer_printf(&out, "Key %s in %s signs from now on", change.signing, path);
		if (change.previous[0] != '\0')
			buffer_printf(&out, "; key %s still verifies, and older ones are dropped", change.previous);
		buffer_puts(&out, ".\n");
		buffer_puts(&out, "A running jobforged reads the file on SIGHUP (systemctl reload jobforged).\n");
	}
	print_and_free(&out);
	return STATUS_OK;
}

static int
run_version(struct context *context)
{
	struct buffer out = { 0 };
	if (context->json) {
		append_member(&out, "version", JOBFORGE_VERSION);
		buffer_printf(&out, ",\"schema\":%d", SCHEMA_VERSION);
		append_member(&out, "configuration", default_config);
		append_member(&out, "migrations", default_migrations);
		append_member(&out, "sockets", RUNSTATEDIR "/jobforge");
		buffer_puts(&out, "}\n");
	} else {
		buffer_printf(&out, "JobForge %s\n", JOBFORGE_VERSION);
		buffer_printf(&out, "schema version: %d\n", SCHEMA_VERSION);
		buffer_printf(&out, "configuration: %s\n", default_config);
		buffer_printf(&out, "migrations: %s\n", default_migrations);
		buffer_printf(&out, "sockets: %s\n", RUNSTATEDIR "/jobforge");
	}
	print_and_free(&out);
	return STATUS_OK;
}

static void
append_options(struct buffer *out, const struct option *options)
{
	for (const struct option *option = options; option->name != NULL; option++) {
		char usage[64];
		snprintf(usage, sizeof(usage), "%s%s%s", option->name, option->argument == NULL ? "" : " ",
		    option->argument == NULL ? "" : option->argument);
		buffer_printf(out, "  %-18s  %s\n", usage, option->summary);
	}
}

static void
append_command_help(struct buffer *out, const struct command *command)
{
	buffer_printf(out, "usage: jobforgectl [options] %s%s%s%s\n\n%s\n", command->name,
	    command->options[0].name == NULL ? "" : " [options]", command->arguments == NULL ? "" : " ",
	    command->arguments == NULL ? "" : command->arguments, command->summary);
	if (command->options[0].name != NULL)
		buffer_putc(out, '\n');
	append_options(out, command->options);
}

static void
append_help(struct buffer *out)
{
	buffer_puts(out, "usage: jobforgectl [options] command [options]\n\nCommands:\n");
	for (size_t i = 0; i < COUNT_OF(commands); i++)
		buffer_printf(out, "  %-18s  %s\n", commands[i].name, commands[i].summary);
	buffer_puts(out, "\nOptions, before or after the command:\n");
	append_options(out, global_options);
	buffer_puts(out, "  --KEY=VALUE         Set a key of jobforged.conf(5), with '-' for '_'.\n");
}

static void
append_options_json(struct buffer *out, const struct option *options)
{
	BUFFER_LITERAL(out, ",\"options\":[");
	for (const struct option *option = options; option->name != NULL; option++) {
		struct buffer members = { 0 };
		append_member(&members, "name", option->name);
		append_member(&members, "argument", option->argument);
		append_member(&members, "summary", option->summary);
		buffer_puts(out, option == options ? "" : ",");
		buffer_append(out, members.data, members.len);
		buffer_putc(out, '}');
		buffer_free(&members);
	}
	buffer_putc(out, ']');
}

/* For shells that complete, and for the test that all is documented. */
static void
append_help_json(struct buffer *out)
{
	BUFFER_LITERAL(out, "{\"commands\":[");
	for (size_t i = 0; i < COUNT_OF(commands); i++) {
		struct buffer members = { 0 };
		append_member(&members, "name", commands[i].name);
		append_member(&members, "arguments", commands[i].arguments);
		append_member(&members, "summary", commands[i].summary);
		append_options_json(&members, commands[i].options);
		buffer_puts(out, i == 0 ? "" : ",");
		buffer_append(out, members.data, members.len);
		buffer_putc(out, '}');
		buffer_free(&members);
	}
	buffer_putc(out, ']');
	append_options_json(out, global_options);
	buffer_puts(out, "}\n");
}

/* Joins words with a space; what does not fit is of no use in any command's name. */
static void
join(char *out, size_t size, const char *const words[], int count)
{
	size_t len = 0;
	out[0] = '\0';
	for (int i = 0; i < count && len < size; i++)
		len += (size_t)snprintf(out + len, size - len, "%s%s", i == 0 ? "" : " ", words[i]);
}

static const struct command *
find_command(const char *const words[], int count)
{
	char name[64];
	join(name, sizeof(name), words, count);
	for (size_t i = 0; i < COUNT_OF(commands); i++)
		if (strcmp(commands[i].name, name) == 0)
			return &commands[i];
	return NULL;
}

static int
run_help(struct context *context)
{
	struct buffer out = { 0 };
	int count = context->word_count - context->name_words;
	const struct command *command = find_command(context->words + context->name_words, count);
	if (count > 0 && command == NULL)
		return complain(STATUS_USAGE, "there is no command %s", context->words[context->name_words]);
	if (context->json)
		append_help_json(&out);
	else if (command != NULL)
		append_command_help(&out, command);
	else
		append_help(&out);
	print_and_free(&out);
	return STATUS_OK;
}

/* Whether `argument` is the option, alone or with "=value". */
static bool
is_option(const struct option *option, const char *argument)
{
	size_t len = strlen(option->name);
	return strncmp(argument, option->name, len) == 0 && (argument[len] == '\0' || argument[len] == '=');
}

/* The position of the option that `argument` is, or -1. */
static int
find_option(const struct option *options, const char *argument)
{
	for (int i = 0; options[i].name != NULL; i++)
		if (is_option(&options[i], argument))
			return i;
	return -1;
}

/* The option's value, from after the '=' or from the next argument, over which *argv then steps; "" for one that takes
 * none. NULL after a complaint. */
static const char *
take_value(const struct option *option, char ***argv)
{
	const char *equals = strchr(**argv, '=');
	if (option->argument == NULL) {
		if (equals == NULL)
			return "";
		complain(STATUS_USAGE, "%s takes no value", option->name);
		return NULL;
	}
	if (equals != NULL)
		return equals + 1;
	if ((*argv)[1] != NULL)
		return *++*argv;
	complain(STATUS_USAGE, "%s needs a value: %s %s", option->name, option->name, option->argument);
	return NULL;
}

static int
take_global(struct context *context, int index, char ***argv)
{
	const char *value = take_value(&global_options[index], argv);
	if (value == NULL)
		return STATUS_USAGE;
	switch (index) {
	case GLOBAL_CONFIG:
		context->config = value;
		break;
	case GLOBAL_JSON:
		context->json = true;
		break;
	case GLOBAL_HELP:
		context->help = true;
		break;
	case GLOBAL_VERSION:
		context->version = true;
		break;
	}
	return STATUS_OK;
}

static int
take_option(struct context *context, char ***argv)
{
	char *argument = **argv;
	int index = find_option(global_options, argument);
	if (index >= 0)
		return take_global(context, index, argv);
	index = context->command == NULL ? -1 : find_option(context->command->options, argument);
	if (index >= 0) {
		context->values[index] = take_value(&context->command->options[index], argv);
		return context->values[index] == NULL ? STATUS_USAGE : STATUS_OK;
	}
	if (!conf_flag_known(argument))
		return complain(STATUS_USAGE, "there is no option %.*s here; a command's own options follow its name",
		    (int)strcspn(argument, "="), argument);
	context->flags[context->flag_count++] = argument;
	return STATUS_OK;
}

static int
take_word(struct context *context, const char *word)
{
	if (context->word_count == MAX_ARGUMENTS)
		return complain(STATUS_USAGE, "there are too many arguments");
	context->words[context->word_count++] = word;
	if (context->command == NULL) {
		context->command = find_command(context->words, context->word_count);
		context->name_words = context->word_count;
	} else if (context->command->arguments == NULL) {
		return complain(STATUS_USAGE, "%s takes no argument %s", context->command->name, word);
	}
	return STATUS_OK;
}

/* The flags of the configuration are kept in argv itself, which they cannot outgrow. */
static int
parse(struct context *context, char *argv[])
{
	context->flags = argv;
	for (char **at = argv + 1; *at != NULL; at++) {
		int status = (*at)[0] == '-' ? take_option(context, &at) : take_word(context, *at);
		if (status != STATUS_OK)
			return status;
	}
	return STATUS_OK;
}

/* --help and --version stand for the commands of these names. */
static int
choose(struct context *context)
{
	char words[64];
	struct buffer out = { 0 };
	if (context->help && context->command != NULL) {
		append_command_help(&out, context->command);
		print_and_free(&out);
		return STATUS_OK;
	}
	if (context->help || context->version) {
		context->name_words = context->word_count;
		return context->help ? run_help(context) : run_version(context);
	}
	if (context->word_count == 0)
		return complain(STATUS_USAGE, "there is no command");
	join(words, sizeof(words), context->words, context->word_count);
	if (context->command == NULL)
		return complain(STATUS_USAGE, "there is no command %s", words);
	if (!context->command->own_configuration && load_configuration(context) != STATUS_OK)
		return STATUS_FAILED;
	return context->command->run(context);
}

int
main(int argc, char *argv[])
{
	struct context context = { 0 };
	int status = argc == 0 ? STATUS_USAGE : parse(&context, argv);
	if (status == STATUS_OK)
		status = choose(&context);
	conf_free(&context.conf);
	if ((fflush(stdout) != 0 || ferror(stdout)) && status == STATUS_OK)
		status = complain(STATUS_FAILED, "standard output cannot be written: %s", strerror(errno));
	return status;
}
