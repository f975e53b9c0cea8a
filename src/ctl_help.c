/* help, version and completion: what the table of commands says of itself. */
#include <stdio.h>

#include "buffer.h"
#include "ctl.h"
#include "schema.h"
#include "writer.h"

static int run_completion(struct ctl *);
static int run_help(struct ctl *);
static int run_version(struct ctl *);

const struct ctl_command ctl_completion = {
	.name = "completion",
	.summary = "Print a script by which bash completes the commands and options.",
	.own_configuration = true,
	.run = run_completion,
};

const struct ctl_command ctl_help = {
	.name = "help",
	.arguments = "[command]",
	.summary = "Print what the commands, or one of them, do.",
	.own_configuration = true,
	.run = run_help,
};

const struct ctl_command ctl_version = {
	.name = "version",
	.summary = "Print the version, that of the schema, and where the program looks for its files.",
	.own_configuration = true,
	.run = run_version,
};

static void
append_options(struct buffer *out, const struct ctl_option *options)
{
	for (const struct ctl_option *option = options; option->name != NULL; option++) {
		char usage[64];
		snprintf(usage, sizeof(usage), "%s%s%s", option->name, option->argument == NULL ? "" : " ",
		    option->argument == NULL ? "" : option->argument);
		buffer_printf(out, "  %-20s  %s\n", usage, option->summary);
	}
}

static void
append_command_help(struct buffer *out, const struct ctl_command *command)
{
	buffer_printf(out, "usage: jobforgectl [options] %s%s%s%s\n\n%s\n", command->name,
	    command->options[0].name == NULL ? "" : " [options]", command->arguments == NULL ? "" : " ",
	    command->arguments == NULL ? "" : command->arguments, command->summary);
	if (command->options[0].name != NULL)
		buffer_putc(out, '\n');
	append_options(out, command->options);
}

static void
append_help(struct buffer *out, const struct ctl *ctl)
{
	buffer_puts(out, "usage: jobforgectl [options] command [options]\n\nCommands:\n");
	for (const struct ctl_command *const *command = ctl->commands; *command != NULL; command++)
		buffer_printf(out, "  %-20s  %s\n", (*command)->name, (*command)->summary);
	buffer_puts(out, "\nOptions, before or after the command:\n");
	append_options(out, ctl->global_options);
	buffer_puts(out, "  --KEY=VALUE           Set a key of jobforged.conf(5), with '-' for '_'.\n");
}

static void
write_text(struct writer *writer, const char *name, const char *text)
{
	if (text == NULL)
		writer_null(writer, name);
	else
		writer_string(writer, name, text);
}

static void
write_options(struct writer *writer, const struct ctl_option *options)
{
	writer_array(writer, "options");
	for (const struct ctl_option *option = options; option->name != NULL; option++) {
		writer_object(writer, NULL);
		writer_string(writer, "name", option->name);
		write_text(writer, "argument", option->argument);
		writer_string(writer, "summary", option->summary);
		writer_end(writer);
	}
	writer_end(writer);
}

static void
write_command(struct writer *writer, const struct ctl_command *command)
{
	writer_object(writer, NULL);
	writer_string(writer, "name", command->name);
	write_text(writer, "arguments", command->arguments);
	writer_string(writer, "summary", command->summary);
	write_options(writer, command->options);
	writer_end(writer);
}

static void
print_help_json(const struct ctl *ctl)
{
	struct buffer out = { 0 };
	struct writer writer = { .out = &out };
	writer_object(&writer, NULL);
	writer_array(&writer, "commands");
	for (const struct ctl_command *const *command = ctl->commands; *command != NULL; command++)
		write_command(&writer, *command);
	writer_end(&writer);
	write_options(&writer, ctl->global_options);
	ctl_print_json(&writer);
}

static int
run_help(struct ctl *ctl)
{
	struct buffer out = { 0 };
	int count = ctl->word_count - ctl->name_words;
	const struct ctl_command *command = ctl_find(ctl, ctl->words + ctl->name_words, count);
	if (count > 0 && command == NULL)
		return ctl_misuse("there is no command %s", ctl->words[ctl->name_words]);
	if (ctl->json)
		print_help_json(ctl);
	else if (command != NULL)
		append_command_help(&out, command);
	else
		append_help(&out, ctl);
	ctl_print(&out);
	return CTL_OK;
}

static int
run_version(struct ctl *ctl)
{
	struct buffer out = { 0 };
	struct writer writer = { .out = &out };
	if (ctl->json) {
		writer_object(&writer, NULL);
		writer_string(&writer, "version", JOBFORGE_VERSION);
		writer_integer(&writer, "schema", SCHEMA_VERSION);
		writer_string(&writer, "configuration", ctl_default_config);
		writer_string(&writer, "migrations", ctl_default_migrations);
		writer_string(&writer, "sockets", RUNSTATEDIR "/jobforge");
		ctl_print_json(&writer);
		return CTL_OK;
	}
	buffer_printf(&out, "JobForge %s\n", JOBFORGE_VERSION);
	buffer_printf(&out, "schema version: %d\n", SCHEMA_VERSION);
	buffer_printf(&out, "configuration: %s\n", ctl_default_config);
	buffer_printf(&out, "migrations: %s\n", ctl_default_migrations);
	buffer_printf(&out, "sockets: %s\n", RUNSTATEDIR "/jobforge");
	ctl_print(&out);
	return CTL_OK;
}

/* ---- completion ---- */

/* Around the table, which becomes a function: the words that have been typed in, and what may come next out. */
static const char completion_head[] =
    "# bash completion for jobforgectl, made by `jobforgectl completion`.\n"
    "_jobforgectl_next() {\n"
    "\tcase $1 in\n";

static const char completion_tail[] =
    "\tesac\n"
    "}\n"
    "_jobforgectl() {\n"
    "\tlocal current=${COMP_WORDS[COMP_CWORD]} name='' word before\n"
    "\tfor word in \"${COMP_WORDS[@]:1:COMP_CWORD-1}\"; do\n"
    "\t\tcase $word in\n"
    "\t\t-*) ;;\n"
    "\t\t*)\n"
    "\t\t\tbefore=$name\n"
    "\t\t\tname=${name:+$name }$word name=${name#help }\n"
    "\t\t\t[ -n \"$(_jobforgectl_next \"$name\")\" ] || name=$before\n"
    "\t\t\t;;\n"
    "\t\tesac\n"
    "\tdone\n"
    "\tcase ${COMP_WORDS[COMP_CWORD-1]} in\n"
    "\t--config | --directory | --certificate) mapfile -t COMPREPLY < <(compgen -f -- \"$current\") ;;\n"
    "\t*) mapfile -t COMPREPLY < <(compgen -W \"$(_jobforgectl_next \"$name\")\" -- \"$current\") ;;\n"
    "\tesac\n"
    "}\n"
    "complete -o bashdefault -o default -F _jobforgectl jobforgectl\n";

static void
append_names(struct buffer *out, const struct ctl_option *options)
{
	for (; options->name != NULL; options++)
		buffer_printf(out, " %s", options->name);
}

/* The first words of all commands that begin with `prefix`, or with no prefix; each once. */
static void
append_words(struct buffer *out, const struct ctl *ctl, struct slice prefix)
{
	struct slice last = { 0 };
	for (const struct ctl_command *const *command = ctl->commands; *command != NULL; command++) {
		const char *name = (*command)->name;
		if (prefix.len > 0 && (strncmp(name, prefix.data, prefix.len) != 0 || name[prefix.len] != ' '))
			continue;
		name += prefix.len == 0 ? 0 : prefix.len + 1;
		struct slice word = { name, strcspn(name, " ") };
		if (last.data == NULL || last.len != word.len || strncmp(last.data, word.data, word.len) != 0)
			buffer_printf(out, " %.*s", (int)word.len, word.data);
		last = word;
	}
}

static void
append_case(struct buffer *out, const struct ctl *ctl, struct slice name, const struct ctl_command *command)
{
	buffer_printf(out, "\t'%.*s') echo '", (int)name.len, name.data == NULL ? "" : name.data);
	size_t start = out->len;
	if (command == NULL || command == &ctl_help)
		append_words(out, ctl, command == NULL ? name : (struct slice){ 0 });
	if (command != NULL)
		append_names(out, command->options);
	append_names(out, ctl->global_options);
	memmove(out->data + start, out->data + start + 1, out->len - start - 1); /* the first blank */
	out->len--;
	buffer_puts(out, "' ;;\n");
}

static int
run_completion(struct ctl *ctl)
{
	struct buffer out = { 0 };
	struct slice group = { 0 };
	if (ctl->json)
		return ctl_misuse("completion has no JSON form");
	buffer_puts(&out, completion_head);
	append_case(&out, ctl, (struct slice){ 0 }, NULL);
	for (const struct ctl_command *const *command = ctl->commands; *command != NULL; command++) {
		const char *name = (*command)->name;
		struct slice word = { name, strcspn(name, " ") };
		bool same = group.data != NULL && group.len == word.len && strncmp(group.data, name, word.len) == 0;
		if (name[word.len] == ' ' && !same)
			append_case(&out, ctl, word, NULL);
		group = word;
		append_case(&out, ctl, slice_of(name), *command);
	}
	buffer_puts(&out, completion_tail);
	ctl_print(&out);
	return CTL_OK;
}
