#include <stdio.h>
#include <strings.h>

#include "buffer.h"
#include "conninfo.h"

static const char mask[] = "***";

/* By part of the keyword: password, sslpassword, scram_client_key, scram_server_key, oauth_client_secret. */
static const char *const secret_words[] = { "password", "secret", "scram" };

static bool
contains_word(struct slice text, const char *word)
{
	size_t len = strlen(word);
	for (size_t i = 0; i + len <= text.len; i++)
		if (strncasecmp(text.data + i, word, len) == 0)
			return true;
	return false;
}

/* An escape could spell any keyword, and no keyword needs one. */
static bool
is_secret(struct slice keyword)
{
	for (size_t i = 0; i < COUNT_OF(secret_words); i++)
		if (contains_word(keyword, secret_words[i]))
			return true;
	return memchr(keyword.data, '%', keyword.len) != NULL;
}

static void
append_masked(struct buffer *out, struct slice keyword, struct slice value)
{
	buffer_append(out, keyword.data, keyword.len);
	buffer_putc(out, '=');
	if (is_secret(keyword))
		buffer_puts(out, mask);
	else
		buffer_append(out, value.data, value.len);
}

/* keyword=value&... */
static void
mask_query(struct buffer *out, const char *query)
{
	while (*query != '\0') {
		size_t len = strcspn(query, "&");
		size_t name = strcspn(query, "=&");
		if (name < len)
			append_masked(out, (struct slice){ query, name },
			    (struct slice){ query + name + 1, len - name - 1 });
		else
			buffer_append(out, query, len);
		query += len;
		if (*query == '&')
			buffer_putc(out, *query++);
	}
}

/*
 * scheme://user:password@host/...?query: the password is taken to reach to the last '@' of all, because one that should
 * have been percent-encoded can hold any character. Where that '@' may be part of the query, nothing is shown.
 */
static void
mask_uri(struct buffer *out, const char *uri, size_t scheme)
{
	const char *rest = uri + scheme;
	const char *at = strrchr(rest, '@'), *colon = strchr(rest, ':'), *query = strchr(rest, '?');
	if (at != NULL && query != NULL && query < at) {
		buffer_puts(out, mask);
		return;
	}
	if (at != NULL && colon != NULL && colon < at) {
		buffer_append(out, uri, (size_t)(colon + 1 - uri));
		buffer_puts(out, mask);
		rest = at;
	} else {
		buffer_append(out, uri, scheme);
	}
	buffer_append(out, rest, strcspn(rest, "?"));
	if (query != NULL) {
		buffer_putc(out, '?');
		mask_query(out, query + 1);
	}
}

static const char *
skip_space(const char *text)
{
	return text + strspn(text, " \t\n\r\f\v");
}

/* The end of a value: after its closing quote, or at the first blank; NULL when the quote is not closed. A backslash
 * protects the next character in both. */
static const char *
value_end(const char *value)
{
	bool quoted = *value == '\'';
	const char *stop = quoted ? "'\\" : " \t\n\r\f\v\\";
	const char *at = value + quoted;
	for (;;) {
		at += strcspn(at, stop);
		if (*at != '\\' || at[1] == '\0')
			break;
		at += 2;
	}
	if (quoted)
		return *at == '\'' ? at + 1 : NULL;
	return *at == '\\' ? at + 1 : at;
}

/* Masks one pair and returns what follows it, or NULL for what is no pair. */
static const char *
mask_pair(struct buffer *out, const char *text)
{
	size_t len = strcspn(text, "= \t\n\r\f\v");
	const char *equals = skip_space(text + len);
	if (len == 0 || *equals != '=')
		return NULL;
	const char *value = skip_space(equals + 1);
	const char *end = value_end(value);
	if (end == NULL)
		return NULL;
	append_masked(out, (struct slice){ text, len }, (struct slice){ value, (size_t)(end - value) });
	return skip_space(end);
}

/* Whether all of `text` is pairs; if not, what was appended is of no use. */
static bool
mask_pairs(struct buffer *out, const char *text)
{
	text = skip_space(text);
	for (bool first = true; text != NULL && *text != '\0'; first = false) {
		if (!first)
			buffer_putc(out, ' ');
		text = mask_pair(out, text);
	}
	return text != NULL;
}

/* The length of the scheme of a URI, or 0 for another text. */
static size_t
uri_scheme(const char *text)
{
	static const char *const schemes[] = { "postgresql://", "postgres://" };
	for (size_t i = 0; i < COUNT_OF(schemes); i++)
		if (strncmp(text, schemes[i], strlen(schemes[i])) == 0)
			return strlen(schemes[i]);
	return 0;
}

void
conninfo_mask(struct buffer *out, const char *conninfo)
{
	size_t start = out->len, scheme = uri_scheme(conninfo);
	if (scheme > 0) {
		mask_uri(out, conninfo, scheme);
	} else if (!mask_pairs(out, conninfo)) {
		out->len = start;
		buffer_puts(out, mask);
	}
}

bool
conninfo_valid(const char *conninfo)
{
	struct buffer ignored = { 0 };
	bool valid = uri_scheme(conninfo) > 0 || mask_pairs(&ignored, conninfo);
	buffer_free(&ignored);
	return valid;
}

int
conninfo_count(const char *list)
{
	int count = 0;

	for (;; list++) {
		size_t len = strcspn(list, ",");
		if (len == 0)
			return 0;
		count++;
		list += len;
		if (*list == '\0')
			return count;
	}
}

void
conninfo_item(const char *list, int number, char *out, size_t size)
{
	for (; number > 0; number--) {
		list += strcspn(list, ",");
		list += *list == ',';
	}
	snprintf(out, size, "%.*s", (int)strcspn(list, ","), list);
}
