/* The parts of HTTP that are functions of text: percent-encoding, queries, media types, entity tags, cookies. */
#ifndef JOBFORGE_HTTP_H
#define JOBFORGE_HTTP_H

#include "base.h"

struct arena;

enum http_method { HTTP_GET, HTTP_HEAD, HTTP_POST, HTTP_PUT, HTTP_PATCH, HTTP_DELETE, HTTP_OPTIONS, HTTP_OTHER };

enum http_method http_method_of(struct slice name);
const char *http_method_name(enum http_method method);

/* The reason phrase of a status this product answers with; "Unknown" for another. */
const char *http_reason(int status);

/*
 * Percent-decodes (RFC 3986 section 2.1) `text` into the arena; with `plus`, '+' is a space (forms and queries).
 * Fails, with data NULL, on a broken escape, on a NUL byte, and on what is not UTF-8 after decoding.
 */
struct slice http_decode(struct arena *arena, struct slice text, bool plus) MUST_CHECK;

struct http_pair {
	struct slice name;
	struct slice value;
};

enum { HTTP_MAX_PAIRS = 64 };

/* Splits and decodes a query string (without '?'). Empty pieces are skipped; a piece without '=' has an empty value.
 * Returns the number of pairs (in *pairs, in the arena), or -1 on text http_decode() refuses or over HTTP_MAX_PAIRS. */
int http_query(struct arena *arena, struct slice query, struct http_pair **pairs) MUST_CHECK;

/* Whether a Content-Type names `type` ("application/json"): case-insensitive, with no charset or charset=utf-8. Other
 * parameters are ignored. */
bool http_content_type_is(struct slice header, const char *type);

/*
 * Chooses among `offers` (media types, best first, NULL-terminated) by an Accept header (RFC 9110 section 12.5.1):
 * quality values, most specific range first, then the order of the offers. Returns the index, or -1 when none is
 * acceptable.
 * An absent or empty header accepts the first; a malformed one too. A range with parameters other than charset=utf-8
 * names no offer.
 */
int http_accept(struct slice header, const char *const offers[]);

/*
 * Whether an If-Match or If-None-Match header (RFC 9110 section 13.1) names the strong tag `etag` (without quotes), by
 * the weak comparison when `weak` ("W/" ignored), else the strong one. "*" matches whatever exists; a header that is no
 * list of entity tags matches nothing.
 */
bool http_etag_matches(struct slice header, struct slice etag, bool weak);

/*
 * The strong tags of an If-Match header, without quotes; weak tags never match and are left out. Returns their number
 * (in *tags, in the arena), or -1 for a header that is no list of entity tags, an empty one too. *any is set for "*".
 */
int http_etag_list(struct arena *arena, struct slice header, struct slice **tags, bool *any) MUST_CHECK;

/*
 * The value of cookie `name` in a Cookie header (RFC 6265 section 4.2), absent when there is none, and when there are two that differ:
 * the header does not say which of them another host of the domain has set (section 8.6).
 */
struct slice http_cookie(struct slice header, const char *name);

#endif
