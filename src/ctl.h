/*
 * What the commands of jobforgectl share. Each command is a constant in a file of its group, ctl_<group>.c, and stands in the
 * one array in jobforgectl.c, from which parsing, help and completion come.
 */
#ifndef JOBFORGE_CTL_H
#define JOBFORGE_CTL_H

#include "base.h"
#include "conf.h"

struct buffer;
struct ctl;
struct db_rows;
struct db_tool;
struct writer;

enum ctl_status {
	CTL_OK = 0,
	CTL_FAILED = 1, /* it could not be done, or something is wrong; a sentence says what */
	CTL_USAGE = 2   /* the command line is wrong */
};

enum { CTL_OPTIONS_MAX = 8, CTL_WORDS_MAX = 8, CTL_ERROR_SIZE = 2048 };

struct ctl_option {
	const char *name;     /* with its dashes */
	const char *argument; /* what its value is called; NULL: it takes none */
	const char *summary;
};

struct ctl_command {
	const char *name;       /* one word or two */
	const char *arguments;  /* what follows the name; NULL: nothing does */
	int words;              /* how many words at least follow the name */
	const char *summary;
	bool own_configuration; /* the command loads the configuration itself, or needs none */
	struct ctl_option options[CTL_OPTIONS_MAX + 1];
	int (*run)(struct ctl *); /* an enum ctl_status */
};

/* One call of the tool. */
struct ctl {
	const struct ctl_command *const *commands; /* NULL-terminated */
	const struct ctl_option *global_options;
	const struct ctl_command *command;
	const char *values[CTL_OPTIONS_MAX]; /* of the command's options; "" for one without a value; NULL: not given */
	const char *words[CTL_WORDS_MAX];
	int word_count;
	int name_words; /* how many of the words are the command's name */
	char **flags;   /* of the configuration */
	int flag_count;
	const char *config; /* NULL: the default file, if there is one */
	bool json;
	struct conf conf;
};

/* The same order as in jobforgectl.c. */
extern const struct ctl_command ctl_backup, ctl_bench_db, ctl_completion, ctl_config, ctl_doctor, ctl_help, ctl_key_rotate,
    ctl_maintain, ctl_migrate, ctl_monitor, ctl_plan_define, ctl_plan_list, ctl_plan_set, ctl_restore, ctl_status, ctl_user_delete,
    ctl_user_disable, ctl_user_enable, ctl_user_list, ctl_user_reset_password, ctl_user_show, ctl_verify_backup, ctl_version;

extern const char ctl_default_config[];
extern const char ctl_default_migrations[];

/* Writes one sentence on standard error and returns CTL_FAILED or CTL_USAGE. */
int ctl_fail(const char *format, ...) PRINTF_LIKE(1, 2);
int ctl_misuse(const char *format, ...) PRINTF_LIKE(1, 2);

/* The command of this name, or NULL. */
const struct ctl_command *ctl_find(const struct ctl *ctl, const char *const words[], int count);

/* The word at `index` after the command's name, or NULL. */
const char *ctl_word(const struct ctl *ctl, int index);

/* Whether the option at `index` was given. */
bool ctl_given(const struct ctl *ctl, int index);

/* The option's value as a whole number: `otherwise` when it was not given. 0, or CTL_USAGE after a complaint. */
int ctl_number(const struct ctl *ctl, int index, int min, int max, int otherwise, int *out) MUST_CHECK;

/* Loads the configuration; 0 or CTL_FAILED. */
int ctl_load(struct ctl *ctl) MUST_CHECK;

/* The path that ctl_load() reads; NULL: no file. */
const char *ctl_config_path(const struct ctl *ctl);

/*
 * Whether the operator wants it: --yes (at `index` of the options) was given, or the question was answered with yes on the
 * terminal. Without either it complains.
 */
bool ctl_confirmed(const struct ctl *ctl, int index, const char *format, ...) PRINTF_LIKE(3, 4) MUST_CHECK;

/* Connects as an administrator; NULL after a complaint. The caller closes it. */
struct db_tool *ctl_connect_admin(const struct ctl *ctl) MUST_CHECK;

/* Connects as an administrator to a database that is at this program's schema; NULL after a complaint. */
struct db_tool *ctl_connect_current(const struct ctl *ctl) MUST_CHECK;

/* Complains about the last statement; CTL_FAILED. */
int ctl_fail_sql(const struct db_tool *tool, const char *what);

/* Runs `sql`; its rows, which the caller frees, or NULL after a complaint about `what`. */
struct db_rows *ctl_query(struct db_tool *tool, const char *what, const char *sql, int count, const char *const params[])
    MUST_CHECK;

/* Runs `sql` for what it does; 0 or CTL_FAILED after a complaint about `what`. */
int ctl_execute(struct db_tool *tool, const char *what, const char *sql, int count, const char *const params[]) MUST_CHECK;

/* Rows as text in columns under their names, of which numbers are right-aligned. `title` may be NULL. */
void ctl_append_table(struct buffer *out, const char *title, const struct db_rows *rows);

/* Rows as a member `name`: an array of objects; one row alone as the members of the open object. */
void ctl_write_rows(struct writer *writer, const char *name, const struct db_rows *rows);
void ctl_write_row(struct writer *writer, const struct db_rows *rows, int row);

/* Prints and frees it; the JSON form ends the document and the line. */
void ctl_print(struct buffer *out);
void ctl_print_json(struct writer *writer);

/* "1.5 MB": bytes for people. */
void ctl_append_size(struct buffer *out, long long bytes);

#endif
