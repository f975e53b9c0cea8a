#include <stdio.h>
#include <stdlib.h>

#include "arena.h"
#include "buffer.h"
#include "http.h"
#include "tap.h"

static void
test_methods(void)
{
	static const char *const names[] = { "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS" };
	static const char *const others[] = { "", "get", "GETS", "GE", "TRACE", "CONNECT", "PROPFIND", "OTHER", "GET ",
		"\xff" };
	for (size_t i = 0; i < COUNT_OF(names); i++) {
		is_int(http_method_of(slice_of(names[i])), (long long)i, "method %s", names[i]);
		is_string(http_method_name((enum http_method)i), names[i], "its name");
	}
	for (size_t i = 0; i < COUNT_OF(others); i++)
		is_int(http_method_of(slice_of(others[i])), HTTP_OTHER, "another method: %s", others[i]);
	is_int(http_method_of((struct slice){ 0 }), HTTP_OTHER, "no method");
	is_string(http_reason(200), "OK", "reason of 200");
	is_string(http_reason(422), "Unprocessable Content", "reason of 422");
	is_string(http_reason(299), "Unknown", "reason of a status that is never sent");
}

static void
test_decode(struct arena *arena)
{
	static const struct {
		struct slice text;
		bool plus;
		const char *want; /* NULL: refused */
	} cases[] = {
		{ SLICE(""), false, "" },
		{ SLICE("plain"), false, "plain" },
		{ SLICE("a+b"), false, "a+b" },
		{ SLICE("a+b"), true, "a b" },
		{ SLICE("a%2Bb%2bb"), true, "a+b+b" },
		{ SLICE("%41%5a%7A"), false, "AZz" },
		{ SLICE("100%25"), false, "100%" },
		{ SLICE("%2541"), false, "%41" },
		{ SLICE("%20%09%0A"), false, " \t\n" },
		{ SLICE("%C3%A9\xc3\xa9%e2%82%ac%F0%9F%98%80"), false, "\xc3\xa9\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80" },
		{ SLICE("\xc3%A9"), false, "\xc3\xa9" },
		{ SLICE("%"), false, NULL },
		{ SLICE("%4"), false, NULL },
		{ SLICE("a%"), false, NULL },
		{ SLICE("%%"), false, NULL },
		{ SLICE("%%41"), false, NULL },
		{ SLICE("%4g"), false, NULL },
		{ SLICE("%g4"), false, NULL },
		{ SLICE("% 41"), false, NULL },
		{ SLICE("%-1"), false, NULL },
		{ SLICE("%0x41"), false, NULL },
		{ SLICE("%u0041"), false, NULL },
		{ SLICE("%4\0"), false, NULL },
		{ SLICE("%00"), false, NULL },
		{ SLICE("a%00b"), true, NULL },
		{ SLICE("a\0b"), false, NULL },
		{ SLICE("%C0%AF"), false, NULL },
		{ SLICE("%c0%80"), false, NULL },
		{ SLICE("%E0%80%AF"), false, NULL },
		{ SLICE("%ED%A0%80"), false, NULL },
		{ SLICE("%F4%90%80%80"), false, NULL },
		{ SLICE("%FF"), false, NULL },
		{ SLICE("%C3"), false, NULL },
		{ SLICE("%E2%82"), false, NULL },
		{ SLICE("\xff"), false, NULL },
		{ SLICE("%E9"), false, NULL },
	};
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		char *exact = malloc(cases[i].text.len > 0 ? cases[i].text.len : 1);
		memcpy(exact, cases[i].text.data, cases[i].text.len);
		struct slice got = http_decode(arena, (struct slice){ exact, cases[i].text.len }, cases[i].plus);
		is_slice(got, cases[i].want, "decoded: %s", cases[i].text.data);
		free(exact);
	}
	is_slice(http_decode(arena, (struct slice){ 0 }, true), "", "decoded: nothing");
}

/* The pairs as "name=value;" each, or "refused". */
static const char *
query(struct arena *arena, struct slice text)
{
	static struct buffer out;
	struct http_pair *pairs;
	int count = http_query(arena, text, &pairs);
	buffer_clear(&out);
	if (count < 0)
		buffer_puts(&out, "refused");
	for (int i = 0; i < count; i++) {
		buffer_append(&out, pairs[i].name.data, pairs[i].name.len);
		buffer_putc(&out, '=');
		buffer_append(&out, pairs[i].value.data, pairs[i].value.len);
		buffer_putc(&out, ';');
	}
	buffer_putc(&out, '\0');
	return out.data;
}

static void
test_query(struct arena *arena)
{
	static const struct {
		const char *text, *want;
	} cases[] = {
		{ "", "" },
		{ "a=1", "a=1;" },
		{ "a=1&b=2&a=3", "a=1;b=2;a=3;" },
		{ "a", "a=;" },
		{ "a=", "a=;" },
		{ "=1", "=1;" },
		{ "=", "=;" },
		{ "&", "" },
		{ "&&a=1&&b&", "a=1;b=;" },
		{ "a=b=c==", "a=b=c==;" },
		{ "q=C%2B%2B+dev%26ops", "q=C++ dev&ops;" },
		{ "na%6De=%3D", "name==;" },
		{ "a;b=1", "a;b=1;" },
		{ "created_after=2026-01-01T00:00:00%2B01:00", "created_after=2026-01-01T00:00:00+01:00;" },
		{ "%e2%82%ac=%C3%A9", "\xe2\x82\xac=\xc3\xa9;" },
		{ "a=%", "refused" },
		{ "a=1&b=%zz", "refused" },
		{ "%=1", "refused" },
		{ "a=%00", "refused" },
		{ "a%00=1", "refused" },
		{ "a=%C0%AF", "refused" },
		{ "a=\xff", "refused" },
	};
	for (size_t i = 0; i < COUNT_OF(cases); i++)
		is_string(query(arena, slice_of(cases[i].text)), cases[i].want, "query: %s", cases[i].text);
	is_string(query(arena, (struct slice){ 0 }), "", "no query");
}

static void
test_many_pairs(struct arena *arena)
{
	static const int counts[] = { HTTP_MAX_PAIRS - 1, HTTP_MAX_PAIRS, HTTP_MAX_PAIRS + 1, 10000 };
	for (size_t i = 0; i < COUNT_OF(counts); i++) {
		struct buffer text = { 0 };
		struct http_pair *pairs;
		for (int j = 0; j < counts[i]; j++)
			buffer_printf(&text, "&&k%d=%d", j, j);
		is_int(http_query(arena, (struct slice){ text.data, text.len }, &pairs),
		    counts[i] <= HTTP_MAX_PAIRS ? counts[i] : -1, "%d pairs", counts[i]);
		buffer_free(&text);
	}
	char *ampersands = malloc(100000);
	memset(ampersands, '&', 100000);
	struct http_pair *pairs;
	is_int(http_query(arena, (struct slice){ ampersands, 100000 }, &pairs), 0, "100,000 empty pieces");
	free(ampersands);
}

static void
test_content_type(void)
{
	static const char *const accepted[] = { "application/json", "Application/JSON", " application/json ",
		"application/json;", "application/json; charset=utf-8", "application/json;charset=UTF-8",
		"application/json ; charset=\"utf-8\"", "application/json; Charset=\"Utf-8\" ;",
		"application/json; profile=x; charset=utf-8", "application/json;;charset=utf-8",
		"application/json; a=\"x;charset=latin1\"", "application/json; a=\"\\\"\"" };
	static const char *const refused[] = { "", " ", "application", "application/", "/json", "json", "*/*",
		"application/*", "text/json", "application/jsonx", "application/json5", "application/json+x",
		"application/problem+json", "application/json, text/plain", "application/json,", "application/json x",
		"application / json", "application/json; charset",
		"application/json; charset=", "application/json; charset=latin1", "application/json; charset=utf-16",
		"application/json; charset=utf8", "application/json; charset=utf-8; charset=latin1",
		"application/json; charset=latin1; charset=utf-8", "application/json; charset=\"utf-8",
		"application/json; =x", "application/json; charset =utf-8", "application/json; a=\"\x01\"",
		"application/json\xc3\xa9", "\xff/json", "application/x-www-form-urlencoded",
		"multipart/form-data; boundary=x", "text/plain" };
	for (size_t i = 0; i < COUNT_OF(accepted); i++)
		ok(http_content_type_is(slice_of(accepted[i]), "application/json"), "JSON: %s", accepted[i]);
	for (size_t i = 0; i < COUNT_OF(refused); i++)
		ok(!http_content_type_is(slice_of(refused[i]), "application/json"), "not JSON: %s", refused[i]);
	ok(!http_content_type_is((struct slice){ 0 }, "application/json"), "not JSON: no header");
	ok(!http_content_type_is(SLICE("application/json\0"), "application/json"), "not JSON: a NUL at its end");
	ok(http_content_type_is(SLICE("text/markdown; charset=utf-8; variant=GFM"), "text/markdown"),
	    "Markdown of a variant");
}

static void
test_accept(void)
{
	static const char *const offers[] = { "application/json", "text/markdown", "text/html", NULL };
	static const struct {
		const char *header;
		int want;
	} cases[] = {
		{ "", 0 },
		{ "  ", 0 },
		{ ", ,", 0 },
		{ "*/*", 0 },
		{ "application/json", 0 },
		{ "text/markdown", 1 },
		{ "TEXT/HTML", 2 },
		{ "text/*", 1 },
		{ "text/html, application/json", 0 },
		{ "text/html;q=1.0, application/json;q=0.9", 2 },
		{ "text/html;q=0.5,text/markdown;q=0.501", 1 },
		{ "text/html ; q=0.5 , text/markdown ; q=0.2", 2 },
		{ "application/xml", -1 },
		{ "image/*", -1 },
		{ "application/json;q=0", -1 },
		{ "application/json;q=0.000", -1 },
		{ "*/*;q=0", -1 },
		{ "application/json;q=0, */*", 1 },
		{ "*/*, application/json;q=0", 1 },
		{ "text/*;q=0, */*", 0 },
		{ "text/*, text/markdown;q=0", 2 },
		{ "text/*;q=0.3, text/html;q=0.7, */*;q=0.5", 2 },
		{ "*/*;q=0.1, text/*;q=0.2", 1 },
		{ "text/html;q=0.1, text/html;q=0.8, application/json;q=0.5", 2 },
		{ "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", 2 },
		{ "application/json; charset=utf-8", 0 },
		{ "text/html; charset=\"UTF-8\"; q=0.5", 2 },
		{ "text/html; charset=latin1", -1 },
		{ "text/html;level=1", -1 },
		{ "text/html;level=1, text/markdown;q=0.1", 1 },
		{ "text/html;q=0.5;ext=1;charset=latin1", 2 },
		{ "text/html;q=0.5;ext", 0 /* an extension without value is no parameter any more */ },
		{ "application/json;a=\",text/html;q=1\"", -1 },
		{ ",text/html,", 2 },
		/* malformed: the first */
		{ "text/html;q=2", 0 },
		{ "text/html;q=1.001", 0 },
		{ "text/html;q=-1", 0 },
		{ "text/html;q=", 0 },
		{ "text/html;q=.5", 0 },
		{ "text/html;q=0,5", 0 },
		{ "text/html;q=0.1234", 0 },
		{ "text/html;q=0x1", 0 },
		{ "text/html;q=01", 0 },
		{ "text/html;q=1e0", 0 },
		{ "text/html;q=00.5", 0 },
		{ "text/html;q=\"", 0 },
		{ "text", 0 },
		{ "text/", 0 },
		{ "/html", 0 },
		{ "*", 0 },
		{ "text/html text/markdown", 0 },
		{ "text/html;", 2 },
		{ "text/html, <", 0 },
		{ "text/html;a=\"", 0 },
		{ "\xff\xfe", 0 },
	};
	for (size_t i = 0; i < COUNT_OF(cases); i++)
		is_int(http_accept(slice_of(cases[i].header), offers), cases[i].want, "accept: %s", cases[i].header);
	is_int(http_accept((struct slice){ 0 }, offers), 0, "no accept");

	struct buffer many = { 0 };
	for (int i = 0; i < 10000; i++)
		buffer_puts(&many, "image/png;q=0.5, ");
	buffer_puts(&many, "text/html");
	is_int(http_accept((struct slice){ many.data, many.len }, offers), 2, "ten thousand ranges");
	buffer_free(&many);
}

static void
test_etag_matches(void)
{
	static const struct {
		const char header[40];
		bool strong, weak;
	} cases[] = {
		{ "\"v1\"", true, true },
		{ "W/\"v1\"", false, true },
		{ "*", true, true },
		{ " * ", true, true },
		{ "\"v2\"", false, false },
		{ "\"v2\", \"v1\"", true, true },
		{ "\"v2\",W/\"v1\"", false, true },
		{ "W/\"v1\", \"v1\"", true, true },
		{ "  \"v1\"\t, \"v3\"  ", true, true },
		{ ",, \"v1\" ,", true, true },
		{ "\"a,\\\", \"v1\"", true, true /* the backslash escapes nothing in a tag */ },
		{ "\"a, v1\"", false, false },
		{ "\"V1\"", false, false },
		{ "\"v1 \"", false, false },
		{ "\"v11\"", false, false },
		{ "\"v\"", false, false },
		{ "\"\"", false, false },
		{ "", false, false },
		{ " ", false, false },
		{ ",", false, false },
		/* no lists of entity tags */
		{ "v1", false, false },
		{ "\"v1", false, false },
		{ "v1\"", false, false },
		{ "'v1'", false, false },
		{ "w/\"v1\"", false, false },
		{ "W\"v1\"", false, false },
		{ "W/ \"v1\"", false, false },
		{ "\"v1\" \"v2\"", false, false },
		{ "\"v1\";\"v2\"", false, false },
		{ "\"v1\", v2", false, false },
		{ "\"v1\", *", false, false },
		{ "*, \"v1\"", false, false },
		{ "**", false, false },
		{ "\"v1\", \"\x01\"", false, false },
		{ "\"v1\", \"\x7f\"", false, false },
	};
	struct slice tag = SLICE("v1");
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		is_int(http_etag_matches(slice_of(cases[i].header), tag, false), cases[i].strong, "strongly: %s",
		    cases[i].header);
		is_int(http_etag_matches(slice_of(cases[i].header), tag, true), cases[i].weak, "weakly: %s",
		    cases[i].header);
	}
	ok(!http_etag_matches((struct slice){ 0 }, tag, true), "no header");
	ok(http_etag_matches(SLICE("\"a,b\""), SLICE("a,b"), false), "a comma within a tag");
	ok(http_etag_matches(SLICE("\"\xc3\xa9\""), SLICE("\xc3\xa9"), false), "bytes above 7F within a tag");
	ok(http_etag_matches(SLICE("\"\""), SLICE(""), false), "the empty tag");
	ok(!http_etag_matches(SLICE("\"a\0b\""), SLICE("a"), false), "a NUL within a tag");
}

/* The tags as "tag;" each with "any;" before them, or "refused". */
static const char *
etag_list(struct arena *arena, struct slice header)
{
	static struct buffer out;
	struct slice *tags;
	bool any;
	int count = http_etag_list(arena, header, &tags, &any);
	buffer_clear(&out);
	buffer_puts(&out, count < 0 ? "refused" : any ? "any;" : "");
	for (int i = 0; i < count; i++) {
		buffer_append(&out, tags[i].data, tags[i].len);
		buffer_putc(&out, ';');
	}
	buffer_putc(&out, '\0');
	return out.data;
}

static void
test_etag_list(struct arena *arena)
{
	static const struct {
		const char *header, *want;
	} cases[] = {
		{ "*", "any;" },
		{ "\t*", "any;" },
		{ "\"a\"", "a;" },
		{ "\"a\", \"b\",\"c\"", "a;b;c;" },
		{ "W/\"a\"", "" },
		{ "W/\"a\", \"b\"", "b;" },
		{ "\"a,b\", \"c\\\"", "a,b;c\\;" },
		{ "\"\"", ";" },
		{ "", "refused" },
		{ " , ", "refused" },
		{ "a", "refused" },
		{ "\"a", "refused" },
		{ "\"a\" \"b\"", "refused" },
		{ "\"a\", *", "refused" },
		{ "*, *", "refused" },
		{ "W/*", "refused" },
		{ "\"a b\"", "refused" },
	};
	for (size_t i = 0; i < COUNT_OF(cases); i++)
		is_string(
		    etag_list(arena, slice_of(cases[i].header)), cases[i].want, "list of tags: %s", cases[i].header);
	is_string(etag_list(arena, (struct slice){ 0 }), "refused", "list of tags: no header");

	struct buffer many = { 0 };
	for (int i = 0; i < 10000; i++)
		buffer_printf(&many, "%s\"%d\"", i == 0 ? "" : ",", i);
	struct slice *tags;
	bool any;
	is_int(http_etag_list(arena, (struct slice){ many.data, many.len }, &tags, &any), 10000, "ten thousand tags");
	is_slice(tags[9999], "9999", "the last of them");
	buffer_free(&many);
}

static void
test_cookie(void)
{
	static const struct {
		const char *header, *want; /* NULL: absent */
	} cases[] = {
		{ "refresh=abc", "abc" },
		{ "a=1; refresh=abc; b=2", "abc" },
		{ "a=1;refresh=abc;b=2", "abc" },
		{ " refresh = abc ", "abc" },
		{ "refresh=\"abc\"", "abc" },
		{ "refresh=\"", "\"" },
		{ "refresh=\"\"", "" },
		{ "refresh=", "" },
		{ "refresh=a=b", "a=b" },
		{ "refresh=first; refresh=second", NULL },
		{ "refresh=first; a=b; refresh=\"second\"", NULL },
		{ "refresh=same; refresh=\"same\"", "same" },
		{ "refresh=; refresh=abc", NULL },
		{ ";;; refresh=abc", "abc" },
		{ "a=\"refresh=no\"; refresh=yes", "yes" },
		{ "", NULL },
		{ "refresh", NULL },
		{ "=abc", NULL },
		{ "Refresh=abc", NULL },
		{ "xrefresh=abc", NULL },
		{ "refreshx=abc", NULL },
		{ "a=refresh=abc", NULL },
		{ "refresh\x01=abc", NULL },
		{ "\xff=\xfe", NULL },
	};
	for (size_t i = 0; i < COUNT_OF(cases); i++)
		is_slice(
		    http_cookie(slice_of(cases[i].header), "refresh"), cases[i].want, "cookie: %s", cases[i].header);
	ok(http_cookie((struct slice){ 0 }, "refresh").data == NULL, "no cookies");
	is_slice(http_cookie(SLICE("\0; refresh=abc"), "refresh"), "abc", "a cookie after a NUL");
}

/* Random bytes that resemble headers: nothing to compare with, but the sanitizers watch. */
static void
test_noise(struct arena *arena)
{
	static const char bytes[] = "\"\"\"\\,,;;==  */%%WwqQ01.aatext/html\t\xc3\xa9";
	static const char *const offers[] = { "text/html", "application/json", NULL };
	unsigned state = 1;
	int in_bounds = 0;
	for (int round = 0; round < 20000; round++) {
		size_t len = (size_t)(state >> 8) % 40;
		char *text = malloc(len > 0 ? len : 1);
		for (size_t i = 0; i < len; i++) {
			state = state * 1664525 + 1013904223;
			text[i] = bytes[(state >> 8) % sizeof(bytes)];
		}
		state = state * 1664525 + 1013904223;
		struct slice header = { text, len }, *tags, cookie = http_cookie(header, "a");
		struct http_pair *pairs;
		bool any,
		    inside = cookie.data == NULL || (cookie.data >= text && cookie.data + cookie.len <= text + len);
		int choice = http_accept(header, offers);
		in_bounds += inside && choice >= -1 && choice < 2 &&
		    http_query(arena, header, &pairs) <= HTTP_MAX_PAIRS &&
		    http_etag_list(arena, header, &tags, &any) <= (int)len && !http_content_type_is(header, "a/b");
		http_etag_matches(header, SLICE("a"), true);
		free(text);
		arena_reset(arena);
	}
	is_int(in_bounds, 20000, "noise is survived");
}

int
main(void)
{
	struct arena *arena = arena_new();
	test_methods();
	test_decode(arena);
	test_query(arena);
	test_many_pairs(arena);
	test_content_type();
	test_accept();
	test_etag_matches();
	test_etag_list(arena);
	test_cookie();
	test_noise(arena);
	arena_free(arena);
	return done();
}
