#include <errno.h>
#include <fcntl.h>
#include <regex.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fault.h"
#include "log.h"
#include "markdown.h"
#include "tap.h"

enum { LARGEST = 512 * 1024 };

static void
converts(struct slice text, const char *want, const char *name)
{
	struct buffer out = { 0 };
	buffer_reserve(&out, 1); /* nothing written is an empty text, not an absent one */
	markdown_to_html(&out, text);
	is_slice((struct slice){ out.data, out.len }, want, "%s", name);
	buffer_free(&out);
}

struct conversion {
	const char *name;
	struct slice text;
	const char *want;
};

static void
test_elements(void)
{
	static const struct conversion cases[] = {
		{ "nothing", { NULL, 0 }, "" },
		{ "white space", SLICE(" \n\n"), "" },
		{ "a paragraph", SLICE("a\nb"), "<p>a\nb</p>\n" },
		{ "a heading", SLICE("# A\n"), "<h1>A</h1>\n" },
		{ "emphasis", SLICE("*a* **b**"), "<p><em>a</em> <strong>b</strong></p>\n" },
		{ "a list", SLICE("- a\n- b\n"), "<ul>\n<li>a</li>\n<li>b</li>\n</ul>\n" },
		{ "a numbered list", SLICE("3. a\n"), "<ol start=\"3\">\n<li>a</li>\n</ol>\n" },
		{ "a quotation", SLICE("> a"), "<blockquote>\n<p>a</p>\n</blockquote>\n" },
		{ "code", SLICE("`<b>`"), "<p><code>&lt;b&gt;</code></p>\n" },
		{ "a code block", SLICE("```c\na<b\n```"),
		  "<pre><code class=\"language-c\">a&lt;b\n</code></pre>\n" },
		{ "a link", SLICE("[a](/b \"c\")"), "<p><a href=\"/b\" title=\"c\">a</a></p>\n" },
		{ "an image", SLICE("![a](https://b.example/c.png)"),
		  "<p><img src=\"https://b.example/c.png\" alt=\"a\" /></p>\n" },
		{ "characters of HTML", SLICE("a & b \"c\" > d"), "<p>a &amp; b &quot;c&quot; &gt; d</p>\n" },
		{ "other text than ASCII", SLICE("\xc3\xa9 \xf0\x9f\x98\x80"), "<p>\xc3\xa9 \xf0\x9f\x98\x80</p>\n" },
		{ "U+0000", SLICE("a\0b"), "<p>a\xef\xbf\xbd" "b</p>\n" },
		{ "U+0000 alone", SLICE("\0"), "<p>\xef\xbf\xbd</p>\n" },
	};
	for (size_t i = 0; i < COUNT_OF(cases); i++)
		converts(cases[i].text, cases[i].want, cases[i].name);
}

static void
test_extensions(void)
{
	static const struct conversion cases[] = {
		{ "a table", SLICE("| a | b |\n|:-:|---|\n| c | *d* |\n"),
		  "<table>\n<thead>\n<tr>\n<th align=\"center\">a</th>\n<th>b</th>\n</tr>\n</thead>\n"
		  "<tbody>\n<tr>\n<td align=\"center\">c</td>\n<td><em>d</em></td>\n</tr>\n</tbody>\n</table>\n" },
		{ "a task list", SLICE("- [ ] a\n- [x] b\n"),
		  "<ul>\n<li><input type=\"checkbox\" disabled=\"\" /> a</li>\n"
		  "<li><input type=\"checkbox\" checked=\"\" disabled=\"\" /> b</li>\n</ul>\n" },
		{ "strikethrough", SLICE("~~a~~ b"), "<p><del>a</del> b</p>\n" },
		{ "a bare host", SLICE("see www.a.example."),
		  "<p>see <a href=\"http://www.a.example\">www.a.example</a>.</p>\n" },
		{ "a bare address", SLICE("https://a.example/b?c=d&e"),
		  "<p><a href=\"https://a.example/b?c=d&amp;e\">https://a.example/b?c=d&amp;e</a></p>\n" },
		{ "a bare email address", SLICE("a@b.example"),
		  "<p><a href=\"mailto:a@b.example\">a@b.example</a></p>\n" },
	};
	for (size_t i = 0; i < COUNT_OF(cases); i++)
		converts(cases[i].text, cases[i].want, cases[i].name);
}

static void
test_raw_html(void)
{
	static const struct conversion cases[] = {
		{ "a script", SLICE("<script>alert(1)</script>"), "<!-- raw HTML omitted -->\n" },
		{ "one in a line", SLICE("a <script>b</script>"),
		  "<p>a <!-- raw HTML omitted -->b<!-- raw HTML omitted --></p>\n" },
		{ "an attribute that runs", SLICE("a <img src=x onerror=b>"), "<p>a <!-- raw HTML omitted --></p>\n" },
		{ "a block", SLICE("<div onclick=\"a\">\n\nb"), "<!-- raw HTML omitted -->\n<p>b</p>\n" },
		{ "a comment", SLICE("<!-- a -->"), "<!-- raw HTML omitted -->\n" },
		{ "an instruction", SLICE("<?php a ?>"), "<!-- raw HTML omitted -->\n" },
		{ "a section", SLICE("<![CDATA[a]]>"), "<!-- raw HTML omitted -->\n" },
		{ "a declaration", SLICE("<!DOCTYPE a>"), "<!-- raw HTML omitted -->\n" },
		{ "a tag that is not finished", SLICE("a <script "), "<p>a &lt;script</p>\n" },
		{ "entities stay text", SLICE("&lt;script&gt; &#60;b&#x3e;"),
		  "<p>&lt;script&gt; &lt;b&gt;</p>\n" },
		{ "in the name of a language", SLICE("```a\"><script>\n```"),
		  "<pre><code class=\"language-a&quot;&gt;&lt;script&gt;\"></code></pre>\n" },
		{ "in the words of an image", SLICE("![\"><script>](/a)"),
		  "<p><img src=\"/a\" alt=\"&quot;&gt;&lt;script&gt;\" /></p>\n" },
		{ "in a title", SLICE("[a](/b 'c\"><script>')"),
		  "<p><a href=\"/b\" title=\"c&quot;&gt;&lt;script&gt;\">a</a></p>\n" },
		{ "in an address", SLICE("[a](</b\"onload=c>)"), "<p><a href=\"/b%22onload=c\">a</a></p>\n" },
		{ "in a cell", SLICE("|<b>|\n|-|\n"),
		  "<table>\n<thead>\n<tr>\n<th><!-- raw HTML omitted --></th>\n</tr>\n</thead>\n</table>\n" },
	};
	for (size_t i = 0; i < COUNT_OF(cases); i++)
		converts(cases[i].text, cases[i].want, cases[i].name);
}

static void
test_unsafe_addresses(void)
{
	static const char *const addresses[] = { "javascript:a", "JaVaScRiPt:a", "vbscript:a", "VBSCRIPT:a",
		"file:///a", "File:a", "data:text/html,a", "DATA:text/html;base64,YQ==", "data:image/png;base64,AAAA",
		"data:image/svg+xml,a", "java&#115;cript:a", "&#106;avascript:a", "&#x6A;avascript:a",
		"&#X000006a;avascript:a", "javascript&colon;a", "javascript&#58;a", "javascript&#x3A;a",
		"java&Tab;script:a", "java&NewLine;script:a", "java&#9;script:a", "java&#10;script:a",
		"java&#13;script:a", "&#1;javascript:a", "&#32;javascript:a", "&#xA0;javascript:a",
		"&ZeroWidthSpace;javascript:a", "\\javascript:a", "java\\script:a", "javascript\\:a",
		"\x01javascript:a", "java\tscript:a", "\tjavascript:a", " javascript:a", "%6Aavascript:a",
		"\xc2\xa0javascript:a", "blob:a", "about:blank", "view-source:a", "ms-word:a", ":a" };
	for (size_t i = 0; i < COUNT_OF(addresses); i++) {
		char text[128];
		snprintf(text, sizeof(text), "[x](<%s>)", addresses[i]);
		converts(slice_of(text), "<p><a href=\"\">x</a></p>\n", text);
		snprintf(text, sizeof(text), "![x](<%s>)", addresses[i]);
		converts(slice_of(text), "<p><img src=\"\" alt=\"x\" /></p>\n", text);
		snprintf(text, sizeof(text), "[x]\n\n[x]: <%s>", addresses[i]);
		converts(slice_of(text), "<p><a href=\"\">x</a></p>\n", text);
	}
	converts(SLICE("<javascript:a>"), "<p><a href=\"\">javascript:a</a></p>\n", "an unsafe autolink");
	converts(SLICE("<DATA:a>"), "<p><a href=\"\">DATA:a</a></p>\n", "another");
	converts(SLICE("javascript:a data:b"), "<p>javascript:a data:b</p>\n", "what is no autolink stays text");
}

static void
test_safe_addresses(void)
{
	static const char *const addresses[] = { "http://a.example/b:c", "HTTPS://a.example", "mailto:a@b.example",
		"tel:+431234", "ftp://a.example", "xmpp:a@b.example", "/a:b", "a/b:c", "?a:b", "#a:b", "//a.example",
		"a.md", "./a", "../javascript:a" };
	for (size_t i = 0; i < COUNT_OF(addresses); i++) {
		char text[128], want[128];
		snprintf(text, sizeof(text), "[x](%s)", addresses[i]);
		snprintf(want, sizeof(want), "<p><a href=\"%s\">x</a></p>\n", addresses[i]);
		converts(slice_of(text), want, text);
	}
}

/* ---- whatever the text, the HTML is of a few elements, attributes and kinds of address ---- */

#define VALUE "=\"[^\"<>]*\""
#define ADDRESS "=\"((https?|ftp|mailto|tel|xmpp):[^\"<>]*|[^\":/?#<>]*([/?#][^\"<>]*)?)\""

static const char safe_tag[] = "^<(!-- raw HTML omitted --|"
			       "/?(a|blockquote|br|code|del|em|h[1-6]|hr|img|input|li|ol|p|pre|strong|table|tbody|td|"
			       "th|thead|tr|ul)"
			       "( (align|alt|checked|class|disabled|start|title|type)" VALUE "| (href|src)" ADDRESS ")*"
			       "( /)?)>$";

static bool
is_safe_html(const regex_t *tag, struct slice html)
{
	const char *end = html.data + html.len, *close;
	for (const char *at = html.data; (at = memchr(at, '<', (size_t)(end - at))) != NULL; at = close + 1) {
		close = memchr(at, '>', (size_t)(end - at));
		regmatch_t bounds = { 0, close == NULL ? 0 : (regoff_t)(close + 1 - at) };
		if (close == NULL || regexec(tag, at, 1, &bounds, REG_STARTEND) != 0)
			return false;
	}
	return true;
}

/* The check itself, which would else be believed whatever it says. */
static void
test_safe_html(const regex_t *tag)
{
	static const char *const safe[] = { "", "a", "<p>a</p>", "<a href=\"\">", "<a href=\"/a:b\" title=\"c\">",
		"<hr />", "<img src=\"http://a\" alt=\"b\" />", "<A HREF=\"HTTPS://a\">",
		"<!-- raw HTML omitted -->" };
	static const char *const unsafe[] = { "<", "<script>", "<p", "<p onclick=\"a\">", "<a href=\"javascript:a\">",
		"<a href=\"data:a\">", "<img src=\" javascript:a\">", "<a href=\"a\"b\">", "<a title=\"<\">",
		"<!-- a -->", "<p><b></p>", "</script>", "<p/onclick=a>" };
	for (size_t i = 0; i < COUNT_OF(safe); i++)
		ok(is_safe_html(tag, slice_of(safe[i])), "taken for safe: %s", safe[i]);
	for (size_t i = 0; i < COUNT_OF(unsafe); i++)
		ok(!is_safe_html(tag, slice_of(unsafe[i])), "taken for unsafe: %s", unsafe[i]);
}

static void
test_random_texts(const regex_t *tag)
{
	static const char *const pieces[] = { "[", "]", "(", ")", "](", "![", "<", ">", "</", "<!--", "-->",
		"<script>", "<img src=x onerror=a>", "javascript:", "JAVASCRIPT:", "data:", "vbscript:", "file:",
		"http://", "www.", "a@b.c", "&#106;", "&colon;", "&quot;", "&lt;", "\"", "'", "*", "_", "~~", "`",
		"```", "|", "|-|\n", "\n", "\n\n", "- ", "> ", "#", "\\", ":", " ", "\t", "a", "[a]: ", "- [x] ",
		"\xc3\xa9", "\x01", "onclick=", "=" };
	unsigned seed = 3;
	int links = 0;
	for (int n = 0; n < 250; n++) {
		struct buffer text = { 0 }, out = { 0 };
		for (int left = rand_r(&seed) % 120 + 1; left > 0; left--)
			buffer_puts(&text, pieces[(size_t)rand_r(&seed) % COUNT_OF(pieces)]);
		buffer_reserve(&out, 1);
		markdown_to_html(&out, (struct slice){ text.data, text.len });
		links += memmem(out.data, out.len, "<a ", 3) != NULL;
		if (!is_safe_html(tag, (struct slice){ out.data, out.len }))
			is_bytes(out.data, out.len, text.data, text.len, "a random text is unsafe");
		buffer_free(&text);
		buffer_free(&out);
	}
	ok(links > 50, "of the random texts those with links are many");
}

/* ---- texts made to take long ---- */

/* The text, repeated to `len` bytes. */
static void
repeat(struct buffer *text, const char *unit, size_t len)
{
	size_t unit_len = strlen(unit);
	for (size_t left = len; left > 0; left -= left < unit_len ? left : unit_len)
		buffer_append(text, unit, left < unit_len ? left : unit_len);
}

static void
returns(struct buffer *text, const char *name)
{
	struct buffer out = { 0 };
	markdown_to_html(&out, (struct slice){ text->data, text->len });
	ok(out.len > 0 && memmem(out.data, out.len, "<script", 7) == NULL, "%s", name);
	buffer_free(&out);
	buffer_free(text);
}

static void
test_hostile_texts(void)
{
	static const char *const units[] = { "[", "]", "(", ")", "*", "_", "`", "~", "<", "!", "|", "\\", "&", ":",
		"-", ">", "+", "#", "<script>", "[](", "![[]()", "[a](b", "*a_", "_*", "a**b", "~~a", "www.", "a@a.",
		"http://", "<!--", "a<?", "a<!A", "a<![CDATA[", "&#x1", "- ", "> ", "1. ", "- a\n> b\n",
		"|a|b\n|-|-\n", "```\n", "[a]: b\n", "a\n=\n", "\xc3\xa9" };
	for (size_t i = 0; i < COUNT_OF(units); i++) {
		struct buffer text = { 0 };
		char name[64];
		repeat(&text, units[i], 200000);
		snprintf(name, sizeof(name), "200,000 bytes of %s", units[i]);
		returns(&text, name);
	}
}

static void
test_nesting(void)
{
	struct buffer text = { 0 };
	for (int i = 0; i < 10000; i++)
		BUFFER_LITERAL(&text, "- ");
	returns(&text, "10,000 nested lists in a line");
	for (int i = 0; i < 1000; i++) {
		repeat(&text, " ", (size_t)i * 2);
		BUFFER_LITERAL(&text, "- a\n");
	}
	returns(&text, "1,000 in as many lines");
	repeat(&text, "> ", 20000);
	repeat(&text, "a\n", 200000);
	returns(&text, "10,000 nested quotations and lines that belong to them");
	repeat(&text, "[", 100000);
	repeat(&text, "]", 100000);
	returns(&text, "100,000 nested brackets");
	repeat(&text, "*a **a ", 100000);
	repeat(&text, "b* b** ", 100000);
	returns(&text, "nested emphasis");
}

static void
test_references_and_tables(void)
{
	struct buffer text = { 0 };
	for (int i = 0; i < 20000; i++)
		buffer_printf(&text, "[%d]: /a\n", i);
	for (int i = 0; i < 20000; i++)
		buffer_printf(&text, "[%d] ", i);
	returns(&text, "20,000 references and uses of them");
	BUFFER_LITERAL(&text, "[a]: /");
	repeat(&text, "b", LARGEST / 2);
	BUFFER_LITERAL(&text, "\n\n");
	repeat(&text, "[a] ", LARGEST / 2);
	returns(&text, "one long address used 65,536 times");
	repeat(&text, "|a", 4000);
	BUFFER_LITERAL(&text, "\n");
	repeat(&text, "|-", 4000);
	BUFFER_LITERAL(&text, "\n");
	repeat(&text, "|\n", 200000);
	returns(&text, "a table of 2,000 columns and 100,000 empty rows");
}

/* The largest text of this kind, 14 MB of HTML, is beyond the limits on every machine, whatever its speed. */
static void
test_plain_text(void)
{
	static const char begin[] = "<pre>\n\n&amp;&lt;script&gt;&quot;&#39;\xef\xbf\xbd\xc3\xa9\n\n&gt;&gt;&gt;";
	struct buffer text = { 0 }, out = { 0 };
	buffer_append(&text, "\n&<script>\"'\0\xc3\xa9\n\n", 17);
	repeat(&text, ">", LARGEST - text.len);
	BUFFER_LITERAL(&out, "before ");
	markdown_to_html(&out, (struct slice){ text.data, text.len });
	ok(out.len > 7 + strlen(begin) && memcmp(out.data, "before <pre>", 12) == 0, "too much is shown as it is");
	is_bytes(out.data + 7, strlen(begin), begin, strlen(begin), "escaped, behind what was there");
	is_bytes(out.data + out.len - 11, 11, "&gt;</pre>\n", 11, "to its end");
	is_int((long long)out.len, 7 + (long long)strlen(begin) + 4 * (LARGEST - 17 - 3) + 7, "all of it");
	buffer_free(&text);
	buffer_free(&out);
}

/* Of this one the HTML is too long, by more than a pipe holds, and nothing else is too much: what was read of it goes again, and
 * whoever writes the rest is not waited for. */
static void
test_long_output(void)
{
	struct buffer text = { 0 }, out = { 0 };
	repeat(&text, ">", 318000);
	BUFFER_LITERAL(&out, "before ");
	markdown_to_html(&out, (struct slice){ text.data, text.len });
	is_bytes(out.data, 16, "before <pre>\n&gt", 16, "HTML that is too long is not begun");
	is_int((long long)out.len, 7 + 6 + 4 * 318000 + 7, "but the text shown as it is");
	buffer_free(&text);
	buffer_free(&out);
}

static void
convert_without_descriptors(void *unused)
{
	(void)unused;
	struct buffer out = { 0 };
	log_set_level(LOG_LEVEL_NONE);
	setrlimit(RLIMIT_NOFILE, &(struct rlimit){ 3, 3 });
	markdown_to_html(&out, SLICE("*a* & b"));
	if (write(STDERR_FILENO, out.data, out.len) != (ssize_t)out.len)
		_exit(1);
	buffer_free(&out);
}

static void
test_no_descriptors(void)
{
	char text[64];
	is_int(run_child(convert_without_descriptors, NULL, text, sizeof(text)), 0, "where no process can be made");
	is_string(text, "<pre>\n*a* &amp; b</pre>\n", "a text is shown as it is");
}

static int
count_descriptors(void)
{
	int count = 0;
	for (int descriptor = 0; descriptor < 100; descriptor++)
		count += fcntl(descriptor, F_GETFD) >= 0;
	return count;
}

/* Whatever became of the texts before, no process and no descriptor is left of them. */
static void
test_nothing_left(int descriptors)
{
	ok(waitpid(-1, NULL, WNOHANG) == -1 && errno == ECHILD, "no process is left");
	is_int(count_descriptors(), descriptors, "nor a descriptor");
}

/* A call that fails, and whether the text is shown as it is all the same. */
struct trouble {
	const char *name;
	long call;
	int error;
};

static void
convert_in_trouble(void *argument)
{
	const struct trouble *trouble = argument;
	struct buffer out = { 0 };

	buffer_reserve(&out, LARGEST); /* what comes after needs no memory */
	if (!fault_refuse(trouble->call, trouble->error) || markdown_to_html(&out, SLICE("*a*\n")) ||
	    !slice_is((struct slice){ out.data, out.len }, "<pre>\n*a*\n</pre>\n"))
		_exit(1);
	buffer_free(&out);
}

static void
test_machine_in_trouble(void)
{
	static const struct trouble troubles[] = {
		{ "no pipe", SYS_pipe2, EMFILE }, { "no process", SYS_clone, EAGAIN }, { "no time limit", SYS_setitimer, EINVAL },
		{ "no limit", SYS_prlimit64, EPERM }, { "no reading", SYS_read, EIO }, { "no writing", SYS_write, EIO },
		{ "no waiting", SYS_wait4, ECHILD },
	};
	char said[1024];

	for (size_t i = 0; i < COUNT_OF(troubles); i++)
		is_int(run_child(convert_in_trouble, (void *)(uintptr_t)&troubles[i], said, sizeof(said)), 0, "%s, but the text: %s",
		    troubles[i].name, said);
}

int
main(void)
{
	int descriptors = count_descriptors();
	regex_t tag;
	if (regcomp(&tag, safe_tag, REG_EXTENDED | REG_ICASE) != 0)
		bail_out("regcomp");
	log_set_level(LOG_LEVEL_WARNING); /* a line for each hostile text is as it should be */
	test_elements();
	test_extensions();
	test_raw_html();
	test_unsafe_addresses();
	test_safe_addresses();
	test_safe_html(&tag);
	test_random_texts(&tag);
	test_hostile_texts();
	test_nesting();
	test_references_and_tables();
	test_plain_text();
	test_long_output();
	test_no_descriptors();
	test_machine_in_trouble();
	test_nothing_left(descriptors);
	regfree(&tag);
	return done();
}
