#include "ctl.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "buffer.h"
#include "dbtool.h"
#include "schema.h"
#include "writer.h"

const char ctl_default_config[] = SYSCONFDIR "/jobforge/jobforged.conf";
const char ctl_default_migrations[] = PKGDATADIR "/migrations";

/* Each error is one sentence on one line. */
static PRINTF_LIKE(1, 0) void
complain(const char *format, va_list args, const char *more)
{
	char text[CTL_ERROR_SIZE + 256];
	vsnprintf(text, sizeof(text), format, args);
	size_t len = strlen(text);
	fflush(stdout);
	fprintf(stderr, "jobforgectl: %s%s%s\n", text, len > 0 && text[len - 1] == '.' ? "" : ".", more);
}

int
ctl_fail(const char *format, ...)
{
	va_list args;
	va_start(args, format);
	complain(format, args, "");
	va_end(args);
	return CTL_FAILED;
}

int
ctl_misuse(const char *format, ...)
{
	va_list args;
	va_start(args, format);
	complain(format, args, " See jobforgectl help.");
	va_end(args);
	return CTL_USAGE;
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

const struct ctl_command *
ctl_find(const struct ctl *ctl, const char *const words[], int count)
{
	char name[64];
	join(name, sizeof(name), words, count);
	for (const struct ctl_command *const *command = ctl->commands; *command != NULL; command++)
		if (strcmp((*command)->name, name) == 0)
			return *command;
	return NULL;
}

const char *
ctl_word(const struct ctl *ctl, int index)
{
	int at = ctl->name_words + index;
	return at < ctl->word_count ? ctl->words[at] : NULL;
}

bool
ctl_given(const struct ctl *ctl, int index)
{
	return ctl->values[index] != NULL;
}

int
ctl_number(const struct ctl *ctl, int index, int min, int max, int otherwise, int *out)
{
	const char *text = ctl->values[index];
	char *end;
	*out = otherwise;
	if (text == NULL)
		return 0;
	errno = 0;
	long value = strtol(text, &end, 10);
	if (errno != 0 || end == text || *end != '\0' || value < min || value > max)
		return ctl_misuse("%s must be a whole number from %d to %d", ctl->command->options[index].name, min, max);
	*out = (int)value;
	return 0;
}

const char *
ctl_config_path(const struct ctl *ctl)
{
	if (ctl->config != NULL)
		return ctl->config;
	return access(ctl_default_config, F_OK) == 0 || (errno != ENOENT && errno != ENOTDIR) ? ctl_default_config : NULL;
}

int
ctl_load(struct ctl *ctl)
{
	char error[CTL_ERROR_SIZE];
	if (conf_load(&ctl->conf, ctl_config_path(ctl), ctl->flags, ctl->flag_count, error, sizeof(error)) != 0)
		return ctl_fail("%s", error);
	return CTL_OK;
}

/* Asks on the terminal itself, whatever standard input and output are. */
static bool
ask(FILE *terminal, const char *question)
{
	char answer[16] = "";
	fprintf(terminal, "%s Type yes to go on: ", question);
	fflush(terminal);
	return fgets(answer, sizeof(answer), terminal) != NULL && strcmp(answer, "yes\n") == 0;
}

bool
ctl_confirmed(const struct ctl *ctl, int index, const char *format, ...)
{
	char question[CTL_ERROR_SIZE];
	va_list args;
	if (ctl_given(ctl, index))
		return true;
	va_start(args, format);
	vsnprintf(question, sizeof(question), format, args);
	va_end(args);

	FILE *terminal = isatty(STDIN_FILENO) ? fopen("/dev/tty", "r+e") : NULL;
	if (terminal == NULL) {
		ctl_fail("%s There is no terminal to ask on: give --yes to go on", question);
		return false;
	}
	bool yes = ask(terminal, question);
	fclose(terminal);
	if (!yes)
		ctl_fail("nothing has changed");
	return yes;
}

struct db_tool *
ctl_connect_admin(const struct ctl *ctl)
{
	char reason[512];
	struct db_tool *tool = db_tool_open(ctl->conf.admin_database, reason, sizeof(reason));
	if (tool == NULL)
		ctl_fail("no connection to the database: %s; see admin_database in jobforged.conf(5)", reason);
	return tool;
}

/* The version of the schema; 0 without a ledger, -1 after a complaint. */
static int
schema_version(struct db_tool *tool)
{
	static const char sql[] = "SELECT coalesce(max(version), 0) FROM jobforge.schema_migrations";
	struct db_rows *rows = db_tool_run(tool, sql, 0, NULL);
	if (rows == NULL) {
		const char *state = db_tool_sqlstate(tool);
		if (strcmp(state, "42P01") == 0 || strcmp(state, "3F000") == 0)
			return 0;
		ctl_fail_sql(tool, "the schema's version");
		return -1;
	}
	int version = atoi(db_rows_value(rows, 0, 0));
	db_rows_free(rows);
	return version;
}

struct db_tool *
ctl_connect_current(const struct ctl *ctl)
{
	struct db_tool *tool = ctl_connect_admin(ctl);
	int version = tool == NULL ? -1 : schema_version(tool);
	if (version == SCHEMA_VERSION)
		return tool;
	if (version >= 0 && version < SCHEMA_VERSION)
		ctl_fail("the database is at schema version %d, and this JobForge needs %d: run jobforgectl migrate", version,
		    SCHEMA_VERSION);
	else if (version > SCHEMA_VERSION)
		ctl_fail("the database is at schema version %d, and this JobForge was made for %d: install the newer JobForge",
		    version, SCHEMA_VERSION);
	db_tool_close(tool);
	return NULL;
}

int
ctl_fail_sql(const struct db_tool *tool, const char *what)
{
	return ctl_fail("%s: %s", what, db_tool_error(tool));
}

struct db_rows *
ctl_query(struct db_tool *tool, const char *what, const char *sql, int count, const char *const params[])
{
	struct db_rows *rows = db_tool_run(tool, sql, count, params);
	if (rows == NULL)
		ctl_fail_sql(tool, what);
	return rows;
}

int
ctl_execute(struct db_tool *tool, const char *what, const char *sql, int count, const char *const params[])
{
	struct db_rows *rows = ctl_query(tool, what, sql, count, params);
	db_rows_free(rows);
	return rows == NULL ? CTL_FAILED : 0;
}

/* ---- rows ---- */

enum { CELL_MAX = 100 }; /* characters of a cell: statements are longer */

/* Characters, of which each is taken to be one column wide; what would move the cursor is not shown. */
static int
cell_text(struct buffer *out, const char *value)
{
	int width = 0;
	for (const char *at = value == NULL ? "-" : value; *at != '\0'; at++) {
		unsigned char byte = (unsigned char)*at;
		bool starts = (byte & 0xC0) != 0x80;
		if (starts && width == CELL_MAX)
			break;
		width += starts;
		buffer_putc(out, byte < ' ' || byte == 0x7F ? ' ' : *at);
	}
	return width;
}

static int
column_width(const struct db_rows *rows, int column)
{
	struct buffer cell = { 0 };
	int width = (int)strlen(db_rows_name(rows, column));
	for (int row = 0; row < db_rows_count(rows); row++) {
		int own = cell_text(&cell, db_rows_value(rows, row, column));
		width = own > width ? own : width;
		buffer_clear(&cell);
	}
	buffer_free(&cell);
	return width;
}

static void
append_cell(struct buffer *out, const char *value, int width, bool right, bool last)
{
	struct buffer cell = { 0 };
	int pad = width - cell_text(&cell, value);
	buffer_printf(out, "%*s", right ? pad : 0, "");
	buffer_append(out, cell.data, cell.len);
	buffer_printf(out, "%*s", right || last ? 0 : pad, "");
	buffer_puts(out, last ? "\n" : "  ");
	buffer_free(&cell);
}

void
ctl_append_table(struct buffer *out, const char *title, const struct db_rows *rows)
{
	enum { COLUMNS_MAX = 32 };
	int widths[COLUMNS_MAX];
	int columns = db_rows_columns(rows) < COLUMNS_MAX ? db_rows_columns(rows) : COLUMNS_MAX;
	if (title != NULL)
		buffer_printf(out, "%s%s:%s\n", out->len == 0 ? "" : "\n", title, db_rows_count(rows) == 0 ? " none" : "");
	for (int column = 0; column < columns; column++)
		widths[column] = column_width(rows, column);
	for (int row = -1; row < db_rows_count(rows) && db_rows_count(rows) > 0; row++) {
		for (int column = 0; column < columns; column++) {
			const char *value = row < 0 ? db_rows_name(rows, column) : db_rows_value(rows, row, column);
			append_cell(out, value, widths[column], db_rows_kind(rows, column) == DB_ROWS_NUMBER,
			    column == columns - 1);
		}
	}
}

static void
write_value(struct writer *writer, const char *name, enum db_rows_kind kind, const char *value)
{
	if (value == NULL)
		writer_null(writer, name);
	else if (kind == DB_ROWS_BOOLEAN)
		writer_bool(writer, name, value[0] == 't');
	else if (kind == DB_ROWS_NUMBER && strcmp(value, "NaN") != 0 && strstr(value, "Infinity") == NULL)
		writer_number(writer, name, value);
	else
		writer_string(writer, name, value);
}

void
ctl_write_row(struct writer *writer, const struct db_rows *rows, int row)
{
	for (int column = 0; column < db_rows_columns(rows); column++)
		write_value(writer, db_rows_name(rows, column), db_rows_kind(rows, column), db_rows_value(rows, row, column));
}

void
ctl_write_rows(struct writer *writer, const char *name, const struct db_rows *rows)
{
	writer_array(writer, name);
	for (int row = 0; row < db_rows_count(rows); row++) {
		writer_object(writer, NULL);
		ctl_write_row(writer, rows, row);
		writer_end(writer);
	}
	writer_end(writer);
}

void
ctl_print(struct buffer *out)
{
	if (out->len > 0) /* one that was never written to has no data */
		fwrite(out->data, 1, out->len, stdout);
	buffer_free(out);
}

void
ctl_print_json(struct writer *writer)
{
	while (writer->depth > 0)
		writer_end(writer);
	buffer_putc(writer->out, '\n');
	ctl_print(writer->out);
}

void
ctl_append_size(struct buffer *out, long long bytes)
{
	static const char *const units[] = { "bytes", "kB", "MB", "GB", "TB", "PB" };
	double size = (double)bytes;
	size_t unit = 0;
	for (; size >= 1000 && unit + 1 < COUNT_OF(units); unit++)
		size /= 1000;
	buffer_printf(out, unit == 0 ? "%.0f %s" : "%.1f %s", size, units[unit]);
}
