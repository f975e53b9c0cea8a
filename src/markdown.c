#include <stdlib.h>
#include <strings.h>
#include <sys/time.h>
#include <unistd.h>

#include <cmark-gfm-core-extensions.h>
#include <cmark-gfm.h>

#include "apart.h"
#include "log.h"
#include "markdown.h"
#include "sandbox.h"

/*
 * Debian 12's cmark-gfm is 0.29.0.gfm.6. Inputs that take it quadratic time are in six advisories (CVE-2023-22483,
 * -22484, -22486, -24824, -26485, -37463), another is of a read out of bounds (CVE-2023-22485), and no check beforehand
 * knows the next one, which goes for Debian 13's later version too. So it runs in a child that may fail in any way.
 */
#ifndef MARKDOWN_CPU_MS
#define MARKDOWN_CPU_MS 200
#endif
enum { MEMORY_MAX = 128 * 1024 * 1024, OUTPUT_MAX = 8 * 1024 * 1024 };

static const char *const extensions[] = { "table", "tasklist", "strikethrough", "autolink" };

static const char *const safe_schemes[] = { "http", "https", "ftp", "mailto", "tel", "xmpp" };

/* ---- in the child ---- */

/* Bytes that cmark has asked for, whether freed or not. Its allocator is called without a context to keep them in. */
static size_t memory_used;

static void
count_memory(size_t size)
{
	if (size > MEMORY_MAX - memory_used)
		_exit(EXIT_FAILURE);
	memory_used += size;
}

/* cmark checks no result: whoever asks gets memory or ends. */
static void *
not_null(void *memory)
{
	if (memory == NULL)
		_exit(EXIT_FAILURE);
	return memory;
}

/* The byte before a piece may be read (CVE-2023-22485): so there are some, which are zero. */
enum { BEFORE = _Alignof(max_align_t) };

static void *
take_zeroed(size_t count, size_t size)
{
	size_t total;
	if (__builtin_mul_overflow(count, size, &total))
		_exit(EXIT_FAILURE);
	count_memory(total);
	return (char *)not_null(calloc(1, BEFORE + total)) + BEFORE;
}

static void *
take_again(void *memory, size_t size)
{
	count_memory(size);
	char *start = memory == NULL ? NULL : (char *)memory - BEFORE;
	char *grown = not_null(realloc(start, BEFORE + size));
	if (start == NULL)
		memset(grown, 0, BEFORE);
	return grown + BEFORE;
}

static void
give_back(void *memory)
{
	if (memory != NULL)
		free((char *)memory - BEFORE);
}

static bool
is_safe_scheme(const char *scheme, size_t len)
{
	for (size_t i = 0; i < COUNT_OF(safe_schemes); i++)
		if (strlen(safe_schemes[i]) == len && strncasecmp(safe_schemes[i], scheme, len) == 0)
			return true;
	return false;
}

/*
 * What is before the first colon is a scheme, whatever characters it has that a browser would drop, unless it is
 * plainly part of a path, a query or a fragment.
 */
static bool
is_safe_url(const char *url)
{
	size_t len = strcspn(url, ":/?#");
	return url[len] != ':' || is_safe_scheme(url, len);
}

static void
empty_unsafe_links(cmark_node *document)
{
	cmark_iter *iter = cmark_iter_new(document);
	while (cmark_iter_next(iter) != CMARK_EVENT_DONE) {
		cmark_node *node = cmark_iter_get_node(iter);
		const char *url = cmark_node_get_url(node); /* NULL of what is no link or image */
		if (url != NULL && !is_safe_url(url))
			cmark_node_set_url(node, "");
	}
	cmark_iter_free(iter);
}

/* cmark omits raw HTML unless told otherwise. */
static char *
convert(struct slice text)
{
	cmark_mem memory = { take_zeroed, take_again, give_back };
	cmark_gfm_core_extensions_ensure_registered();
	cmark_parser *parser = cmark_parser_new_with_mem(CMARK_OPT_DEFAULT, &memory);
	for (size_t i = 0; i < COUNT_OF(extensions); i++) {
		cmark_syntax_extension *extension = cmark_find_syntax_extension(extensions[i]);
		if (extension == NULL || !cmark_parser_attach_syntax_extension(parser, extension))
			_exit(EXIT_FAILURE);
	}
	cmark_parser_feed(parser, text.data, text.len);
	cmark_node *document = cmark_parser_finish(parser);
	empty_unsafe_links(document);
	cmark_llist *attached = cmark_parser_get_syntax_extensions(parser);
	return cmark_render_html_with_mem(document, CMARK_OPT_DEFAULT, attached, &memory);
}

/* Nothing is freed: the process ends after it. */
static void
work(int output, const void *argument)
{
	const struct slice *text = argument;

	if (sandbox_narrow() != 0)
		_exit(EXIT_FAILURE);
	const char *html = convert(*text);
	apart_say(output, html, strlen(html));
}

/* ---- in the caller's process ---- */

static void
put_escaped(struct buffer *out, struct slice text)
{
	static const char *const escapes[UINT8_MAX + 1] = { ['\0'] = "\xef\xbf\xbd", ['&'] = "&amp;", ['<'] = "&lt;",
		['>'] = "&gt;", ['"'] = "&quot;", ['\''] = "&#39;" };
	size_t run = 0;
	for (size_t i = 0; i < text.len; i++) {
		const char *escape = escapes[(uint8_t)text.data[i]];
		if (escape == NULL)
			continue;
		buffer_append(out, text.data + run, i - run);
		buffer_puts(out, escape);
		run = i + 1;
	}
	buffer_append(out, text.data + run, text.len - run);
}

/* HTML drops a line end that follows <pre>: this one, and none of the text. */
static void
put_plain(struct buffer *out, struct slice text)
{
	BUFFER_LITERAL(out, "<pre>\n");
	put_escaped(out, text);
	BUFFER_LITERAL(out, "</pre>\n");
}

bool
markdown_to_html(struct buffer *out, struct slice text)
{
	const struct apart conversion = { .event = "markdown", .work = work, .argument = &text, .most = OUTPUT_MAX,
		.timer = ITIMER_PROF, .milliseconds = MARKDOWN_CPU_MS };
	size_t start = out->len;

	if (text.len == 0 || apart_run(out, &conversion))
		return true;
	out->len = start;
	log_write(LOG_LEVEL_INFO, "markdown", "a text of %zu bytes is shown as plain text", text.len);
	put_plain(out, text);
	return false;
}
