#include <stdio.h>

#include "buffer.h"
#include "confkey.h"
#include "conninfo.h"

/* "a, b or c" */
void
confkey_append_choices(struct buffer *out, const struct confkey *key)
{
	for (const char *const *choice = key->choices; *choice != NULL; choice++) {
		if (choice > key->choices)
			buffer_puts(out, choice[1] == NULL ? " or " : ", ");
		buffer_puts(out, *choice);
	}
}

/* What the key takes and its default, in the words of jobforged.conf(5). */
static void
append_kind(struct buffer *out, const struct confkey *key)
{
	buffer_puts(out, "Values: ");
	if (key->choices != NULL)
		confkey_append_choices(out, key);
	else if (key->type == CONFKEY_BOOLEAN)
		buffer_puts(out, "on or off");
	else if (key->type == CONFKEY_INTEGER)
		buffer_printf(out, "%d to %d", key->min, key->max);
	else
		buffer_printf(out, "text of %d to %d bytes", key->min, key->max);
	buffer_printf(out, "; default: %s.", key->fallback[0] == '\0' ? "empty" : key->fallback);
}

static void
append_quoted(struct buffer *out, struct slice text)
{
	buffer_putc(out, '"');
	for (size_t i = 0; i < text.len; i++) {
		if (text.data[i] == '"' || text.data[i] == '\\')
			buffer_putc(out, '\\');
		buffer_putc(out, text.data[i]);
	}
	buffer_putc(out, '"');
}

/* Appends a string by `quote`, one of the two formats' ways, without the secrets of a connection string. */
static void
append_string(struct buffer *out, const struct conf *conf, const struct confkey *key,
    void (*quote)(struct buffer *, struct slice))
{
	struct buffer shown = { 0 };
	if (key->type == CONFKEY_CONNINFO)
		conninfo_mask(&shown, *(char **)confkey_member(conf, key));
	else
		buffer_puts(&shown, *(char **)confkey_member(conf, key));
	quote(out, (struct slice){ shown.data, shown.len });
	buffer_free(&shown);
}

static void
append_value(struct buffer *out, const struct conf *conf, const struct confkey *key)
{
	if (confkey_is_string(key))
		append_string(out, conf, key, append_quoted);
	else if (key->type == CONFKEY_INTEGER)
		buffer_printf(out, "%d", *(int *)confkey_member(conf, key));
	else if (key->type == CONFKEY_BOOLEAN)
		buffer_puts(out, *(bool *)confkey_member(conf, key) ? "on" : "off");
	else
		buffer_puts(out, key->choices[*(enum log_level *)confkey_member(conf, key)]);
}

static void
append_default(struct buffer *out, const struct confkey *key)
{
	if (confkey_is_string(key))
		append_quoted(out, slice_of(key->fallback));
	else
		buffer_puts(out, key->fallback);
}

void
conf_print(const struct conf *conf)
{
	struct buffer out = { 0 };
	const struct confkey *key;
	for (size_t i = 0; (key = confkey_at(i)) != NULL; i++) {
		buffer_printf(&out, "%s# %s\n# ", i == 0 ? "" : "\n", key->help);
		append_kind(&out, key);
		buffer_printf(&out, "\n%s%s = ", conf == NULL ? "#" : "", key->name);
		if (conf == NULL)
			append_default(&out, key);
		else
			append_value(&out, conf, key);
		buffer_putc(&out, '\n');
	}
	fwrite(out.data, 1, out.len, stdout);
	buffer_free(&out);
}

static void
append_json_string(struct buffer *out, struct slice text)
{
	log_quote(out, text.data, text.len);
}

static void
append_json(struct buffer *out, const struct conf *conf, const struct confkey *key)
{
	if (confkey_is_string(key))
		append_string(out, conf, key, append_json_string);
	else if (key->type == CONFKEY_INTEGER)
		buffer_printf(out, "%d", *(int *)confkey_member(conf, key));
	else if (key->type == CONFKEY_BOOLEAN)
		buffer_puts(out, *(bool *)confkey_member(conf, key) ? "true" : "false");
	else
		append_json_string(out, slice_of(key->choices[*(enum log_level *)confkey_member(conf, key)]));
}

void
conf_print_json(const struct conf *conf)
{
	struct buffer out = { 0 };
	const struct confkey *key;
	for (size_t i = 0; (key = confkey_at(i)) != NULL; i++) {
		buffer_printf(&out, "%s\"%s\":", i == 0 ? "{" : ",", key->name);
		append_json(&out, conf, key);
	}
	buffer_puts(&out, "}\n");
	fwrite(out.data, 1, out.len, stdout);
	buffer_free(&out);
}
