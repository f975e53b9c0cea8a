/*
 * Queries and header fields: http.c. The first byte of the input chooses what the rest is.
 *
 * Holds for every input: a query that is taken is UTF-8 without U+0000, has at most HTTP_MAX_PAIRS pairs, and is
 * taken again as the same pairs when each byte of it is escaped; Accept chooses one of the offers, and the first when
 * all it says is any; an entity tag that the list of tags holds is one that matches; a cookie's value stands in the
 * header.
 */
#include "fuzz.h"

#include "http.h"
#include "utf8.h"

static void
escape(struct buffer *out, struct slice text)
{
	for (size_t i = 0; i < text.len; i++)
		buffer_printf(out, "%%%02x", (unsigned char)text.data[i]);
}

static void
check_query(struct slice text)
{
	struct http_pair *pairs, *again;
	struct buffer out = { 0 };
	int count = http_query(fuzz_arena(), text, &pairs);

	HOLDS(count >= -1 && count <= HTTP_MAX_PAIRS);
	for (int i = 0; i < count; i++) {
		struct slice parts[] = { pairs[i].name, pairs[i].value };
		for (size_t part = 0; part < COUNT_OF(parts); part++) {
			HOLDS(utf8_valid(parts[part].data, parts[part].len));
			HOLDS(strlen(parts[part].data) == parts[part].len);
		}
		escape(&out, pairs[i].name);
		buffer_putc(&out, '=');
		escape(&out, pairs[i].value);
		buffer_putc(&out, '&');
	}
	if (count > 0)
		HOLDS(http_query(fuzz_arena(), (struct slice){ out.data, out.len }, &again) == count);
	for (int i = 0; i < count; i++)
		HOLDS(fuzz_same(pairs[i].name, again[i].name) && fuzz_same(pairs[i].value, again[i].value));
	buffer_free(&out);
}

static void
check_accept(struct slice text)
{
	static const char *const offers[] = { "application/json", "text/markdown", "text/html", NULL };
	static const char *const one[] = { "text/html", NULL };
	int choice = http_accept(text, offers);

	HOLDS(choice >= -1 && choice < 3);
	/* With all others refused, one alone is refused too, and one that is chosen among others is taken alone. */
	HOLDS(choice != -1 || http_accept(text, one) == -1);
	HOLDS(choice != 2 || http_accept(text, one) == 0);
	for (int i = 0; offers[i] != NULL; i++)
		if (http_content_type_is(text, offers[i]))
			for (int other = 0; offers[other] != NULL; other++)
				HOLDS(other == i || !http_content_type_is(text, offers[other]));
}

static void
check_tags(struct slice text)
{
	struct slice *tags;
	bool any;
	int count = http_etag_list(fuzz_arena(), text, &tags, &any);

	HOLDS(count >= -1 && (!any || count == 0));
	for (int i = 0; i < count; i++) {
		HOLDS(tags[i].data >= text.data && tags[i].data + tags[i].len <= text.data + text.len);
		HOLDS(http_etag_matches(text, tags[i], false) && http_etag_matches(text, tags[i], true));
	}
	if (count < 0)
		HOLDS(!http_etag_matches(text, SLICE("1"), true));
	if (http_etag_matches(text, SLICE("1"), false))
		HOLDS(http_etag_matches(text, SLICE("1"), true));
}

static void
check_cookie(struct slice text)
{
	struct slice value = http_cookie(text, "session");

	HOLDS(value.data == NULL || (value.data >= text.data && value.data + value.len <= text.data + text.len));
	HOLDS(value.data == NULL || memchr(value.data, ';', value.len) == NULL);
}

static void
check_decode(struct slice text)
{
	struct slice plain = http_decode(fuzz_arena(), text, false);
	struct buffer out = { 0 };

	if (plain.data != NULL) {
		HOLDS(plain.len <= text.len);
		escape(&out, plain);
		HOLDS(fuzz_same(http_decode(fuzz_arena(), (struct slice){ out.data, out.len }, true), plain));
	}
	buffer_free(&out);
	(void)http_method_of(text);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static void (*const checks[])(struct slice text) = { check_query, check_accept, check_tags, check_cookie,
		check_decode };
	struct slice input = { (const char *)data, size };
	uint8_t kind = fuzz_byte(&input);

	checks[kind % COUNT_OF(checks)](fuzz_exact(input));
	arena_reset(fuzz_arena());
	return 0;
}
