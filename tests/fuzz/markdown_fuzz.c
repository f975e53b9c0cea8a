/*
 * Markdown: markdown.c and the process in which cmark-gfm runs; what happens in that process is not seen by the
 * fuzzer, what comes out of it is.
 *
 * Holds for every input: each tag that comes out is one that cmark writes for Markdown, with attributes of its own;
 * addresses have a safe scheme or none; no process and no descriptor is left behind.
 */
#include "fuzz.h"

#include <errno.h>
#include <strings.h>
#include <sys/wait.h>

#include "markdown.h"

struct rule {
	const char *tag;
	const char *attributes; /* each with a space before and behind */
};

static const struct rule rules[] = { { "p", "" }, { "h1", "" }, { "h2", "" }, { "h3", "" }, { "h4", "" }, { "h5", "" },
	{ "h6", "" }, { "blockquote", "" }, { "ul", "" }, { "ol", " start " }, { "li", "" }, { "pre", " lang " },
	{ "code", " class " }, { "em", "" }, { "strong", "" }, { "del", "" }, { "hr", "" }, { "br", "" },
	{ "a", " href title " }, { "img", " src alt title " }, { "table", "" }, { "thead", "" }, { "tbody", "" },
	{ "tr", "" },
	{ "th", " align " }, { "td", " align " }, { "input", " type checked disabled " }, { "sup", " class " },
	{ "section", " class " } };

static const struct rule *
find_rule(struct slice name)
{
	for (size_t i = 0; i < COUNT_OF(rules); i++)
		if (slice_is(name, rules[i].tag))
			return &rules[i];
	return NULL;
}

static bool
is_safe(struct slice address)
{
	static const char *const schemes[] = { "http", "https", "ftp", "mailto", "tel", "xmpp" };
	size_t len = 0;

	while (len < address.len && strchr(":/?#", address.data[len]) == NULL)
		len++;
	if (len == address.len || address.data[len] != ':')
		return true;
	for (size_t i = 0; i < COUNT_OF(schemes); i++)
		if (strlen(schemes[i]) == len && strncasecmp(schemes[i], address.data, len) == 0)
			return true;
	return false;
}

static size_t
name_length(struct slice text)
{
	size_t len = 0;

	while (len < text.len && strchr("abcdefghijklmnopqrstuvwxyz0123456789-", text.data[len]) != NULL)
		len++;
	return len;
}

static struct slice
after(struct slice text, size_t len)
{
	return (struct slice){ text.data + len, text.len - len };
}

/* One attribute: its name and, in double quotes, its value. Returns what follows. */
static struct slice
check_attribute(const struct rule *rule, struct slice text)
{
	size_t len = name_length(text);
	const char *name = arena_printf(fuzz_arena(), " %.*s ", (int)len, text.data);

	HOLDS(len > 0 && strstr(rule->attributes, name) != NULL);
	text = after(text, len);
	HOLDS(text.len > 2 && text.data[0] == '=' && text.data[1] == '"');
	text = after(text, 2);
	const char *quote = memchr(text.data, '"', text.len);
	HOLDS(quote != NULL);
	struct slice value = { text.data, (size_t)(quote - text.data) };
	HOLDS(memchr(text.data, '<', value.len) == NULL && memchr(text.data, '>', value.len) == NULL);
	if (strcmp(name, " href ") == 0 || strcmp(name, " src ") == 0)
		HOLDS(is_safe(value));
	return after(text, value.len + 1);
}

/* `text` begins after a '<'. */
static struct slice
check_tag(struct slice text)
{
	if (text.len > 20 && memcmp(text.data, "!-- raw HTML omitted -->", 20) == 0)
		return after(text, 24);
	bool closes = text.len > 0 && text.data[0] == '/';
	text = after(text, closes);
	size_t len = name_length(text);
	const struct rule *rule = find_rule((struct slice){ text.data, len });
	HOLDS(rule != NULL);
	for (text = after(text, len); text.len > 0 && text.data[0] == ' ' && !closes;) {
		text = after(text, 1);
		if (text.len > 0 && text.data[0] != '/' && text.data[0] != '>')
			text = check_attribute(rule, text);
	}
	text = after(text, text.len > 0 && text.data[0] == '/');
	HOLDS(text.len > 0 && text.data[0] == '>');
	return after(text, 1);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct buffer out = { 0 };

	markdown_to_html(&out, fuzz_exact((struct slice){ (const char *)data, size }));
	struct slice rest = { out.data, out.len };
	for (const char *tag; rest.len > 0 && (tag = memchr(rest.data, '<', rest.len)) != NULL;)
		rest = check_tag(after(rest, (size_t)(tag + 1 - rest.data)));
	HOLDS(waitpid(-1, NULL, WNOHANG) == -1 && errno == ECHILD);
	buffer_free(&out);
	arena_reset(fuzz_arena());
	return 0;
}
