#include <strings.h>

#include "arena.h"
#include "encode.h"
#include "http.h"
#include "utf8.h"

static const char *const method_names[] = {
	[HTTP_GET] = "GET",
	[HTTP_HEAD] = "HEAD",
	[HTTP_POST] = "POST",
	[HTTP_PUT] = "PUT",
	[HTTP_PATCH] = "PATCH",
	[HTTP_DELETE] = "DELETE",
	[HTTP_OPTIONS] = "OPTIONS",
	[HTTP_OTHER] = "OTHER",
};

enum http_method
http_method_of(struct slice name)
{
	for (size_t method = 0; method < HTTP_OTHER; method++)
		if (slice_is(name, method_names[method]))
			return (enum http_method)method;
	return HTTP_OTHER;
}

const char *
http_method_name(enum http_method method)
{
	return method_names[method];
}

const char *
http_reason(int status)
{
	static const struct {
		int status;
		const char *reason;
	} reasons[] = {
		{ 200, "OK" },
		{ 201, "Created" },
		{ 204, "No Content" },
		{ 304, "Not Modified" },
		{ 400, "Bad Request" },
		{ 401, "Unauthorized" },
		{ 403, "Forbidden" },
		{ 404, "Not Found" },
		{ 405, "Method Not Allowed" },
		{ 406, "Not Acceptable" },
		{ 408, "Request Timeout" },
		{ 409, "Conflict" },
		{ 412, "Precondition Failed" },
		{ 413, "Content Too Large" },
		{ 414, "URI Too Long" },
		{ 415, "Unsupported Media Type" },
		{ 421, "Misdirected Request" },
		{ 422, "Unprocessable Content" },
		{ 428, "Precondition Required" },
		{ 429, "Too Many Requests" },
		{ 431, "Request Header Fields Too Large" },
		{ 500, "Internal Server Error" },
		{ 502, "Bad Gateway" },
		{ 503, "Service Unavailable" },
		{ 504, "Gateway Timeout" },
	};
	for (size_t i = 0; i < COUNT_OF(reasons); i++)
		if (reasons[i].status == status)
			return reasons[i].reason;
	return "Unknown";
}

/* Percent-encoding and queries */

/* The byte of the escape that `text` begins with, or -1. */
static int
escaped_byte(struct slice text)
{
	if (text.len < 3)
		return -1;
	int high = hex_value(text.data[1]), low = hex_value(text.data[2]);
	return high < 0 || low < 0 ? -1 : high * 16 + low;
}

/* Writes the decoded bytes to `out`, which holds text.len. Returns their number, or -1. */
static long
decode_bytes(char *out, struct slice text, bool plus)
{
	char *start = out;
	for (size_t i = 0; i < text.len; i++) {
		int byte = (unsigned char)text.data[i];
		if (byte == '%') {
			byte = escaped_byte((struct slice){ text.data + i, text.len - i });
			i += 2;
		} else if (byte == '+' && plus) {
			byte = ' ';
		}
		if (byte <= 0)
			return -1;
		*out++ = (char)byte;
	}
	return out - start;
}

struct slice
http_decode(struct arena *arena, struct slice text, bool plus)
{
	char *out = arena_alloc(arena, text.len + 1);
	long len = decode_bytes(out, text, plus);
	if (len < 0 || !utf8_valid(out, (size_t)len))
		return (struct slice){ 0 };
	out[len] = '\0';
	return (struct slice){ out, (size_t)len };
}

/* Cuts `text` at the first `separator`: returns what is before it and leaves what is after it. */
static struct slice
cut(struct slice *text, char separator)
{
	const char *end = text->len == 0 ? NULL : memchr(text->data, separator, text->len);
	struct slice piece = { text->data, end == NULL ? text->len : (size_t)(end - text->data) };
	size_t taken = piece.len + (end != NULL);
	text->data = text->len == 0 ? text->data : text->data + taken;
	text->len -= taken;
	return piece;
}

static int
decode_pair(struct arena *arena, struct slice piece, struct http_pair *pair)
{
	struct slice name = cut(&piece, '=');
	pair->name = http_decode(arena, name, true);
	pair->value = http_decode(arena, piece, true);
	return pair->name.data == NULL || pair->value.data == NULL ? -1 : 0;
}

int
http_query(struct arena *arena, struct slice query, struct http_pair **pairs)
{
	size_t count = 0, most = 0;
	for (struct slice rest = query; rest.len > 0;)
		most += cut(&rest, '&').len > 0;
	if (most > HTTP_MAX_PAIRS)
		return -1;

	*pairs = arena_calloc(arena, most, sizeof(**pairs));
	while (query.len > 0) {
		struct slice piece = cut(&query, '&');
		if (piece.len > 0 && decode_pair(arena, piece, &(*pairs)[count++]) != 0)
			return -1;
	}
	return (int)count;
}

/* Header fields (RFC 9110 section 5.6): each take_*() moves past what it takes and says whether that was there. */

static bool
take_char(struct slice *text, char c)
{
	if (text->len == 0 || text->data[0] != c)
		return false;
	text->data++;
	text->len--;
	return true;
}

static void
skip_blanks(struct slice *text)
{
	while (take_char(text, ' ') || take_char(text, '\t'))
		continue;
}

static struct slice
trim(struct slice text)
{
	skip_blanks(&text);
	while (text.len > 0 && (text.data[text.len - 1] == ' ' || text.data[text.len - 1] == '\t'))
		text.len--;
	return text;
}

static bool
is_token_char(char c)
{
	if ((c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z'))
		return true;
	return c != '\0' && strchr("!#$%&'*+-.^_`|~", c) != NULL;
}

static bool
take_token(struct slice *text, struct slice *token)
{
	size_t len = 0;
	while (len < text->len && is_token_char(text->data[len]))
		len++;
	*token = (struct slice){ text->data, len };
	text->data = len > 0 ? text->data + len : text->data;
	text->len -= len;
	return len > 0;
}

/* A quoted string; *inner is what is between the quotes, its escapes untouched. */
static bool
take_quoted(struct slice *text, struct slice *inner)
{
	struct slice rest = *text;
	if (!take_char(&rest, '"'))
		return false;
	const char *start = rest.data;
	while (!take_char(&rest, '"')) {
		take_char(&rest, '\\');
		if (rest.len == 0 || ((unsigned char)rest.data[0] < 0x20 && rest.data[0] != '\t') ||
		    rest.data[0] == 0x7F)
			return false;
		rest.data++;
		rest.len--;
	}
	*inner = (struct slice){ start, (size_t)(rest.data - start) - 1 };
	*text = rest;
	return true;
}

static bool
is_word(struct slice text, const char *word)
{
	return text.len == strlen(word) && strncasecmp(text.data, word, text.len) == 0;
}

struct media_range {
	struct slice type, subtype;
	bool other_charset;   /* a charset that is not UTF-8 */
	bool other_parameter; /* one that our types do not have */
	bool quality_given;
	int quality; /* thousandths */
};

/* qvalue: 0 to 1 with at most three decimals. */
static bool
parse_quality(struct slice text, int *quality)
{
	static const int weights[] = { 1000, 0, 100, 10, 1 };
	if (text.len == 0 || text.len > COUNT_OF(weights) || (text.len > 1 && text.data[1] != '.'))
		return false;
	*quality = 0;
	for (size_t i = 0; i < text.len; i++) {
		if (i == 1)
			continue;
		if (text.data[i] < '0' || text.data[i] > '9')
			return false;
		*quality += (text.data[i] - '0') * weights[i];
	}
	return *quality <= 1000;
}

/* One parameter, its ';' already taken. An empty one is allowed. */
static bool
take_parameter(struct slice *text, struct media_range *range)
{
	struct slice name, value;
	skip_blanks(text);
	if (!take_token(text, &name))
		return text->len == 0 || text->data[0] == ';' || text->data[0] == ',';
	if (!take_char(text, '=') || !(take_token(text, &value) || take_quoted(text, &value)))
		return false;
	if (is_word(name, "q")) {
		range->quality_given = true;
		return parse_quality(value, &range->quality);
	}
	if (range->quality_given)
		return true; /* what follows the weight is an extension of Accept, not a part of the type */
	if (is_word(name, "charset"))
		range->other_charset = range->other_charset || !is_word(value, "utf-8");
	else
		range->other_parameter = true;
	return true;
}

static bool
take_media_range(struct slice *text, struct media_range *range)
{
	*range = (struct media_range){ .quality = 1000 };
	if (!take_token(text, &range->type) || !take_char(text, '/') || !take_token(text, &range->subtype))
		return false;
	skip_blanks(text);
	while (take_char(text, ';')) {
		if (!take_parameter(text, range))
			return false;
		skip_blanks(text);
	}
	return true;
}

static bool
same_word(struct slice a, struct slice b)
{
	return a.len == b.len && strncasecmp(a.data, b.data, a.len) == 0;
}

/* How closely the range names the type: 3 "a/b", 2 "a/" and any, 1 any, 0 not at all. */
static int
range_specificity(const struct media_range *range, struct slice type, struct slice subtype)
{
	if (slice_is(range->type, "*"))
		return slice_is(range->subtype, "*") ? 1 : 0;
	if (!same_word(range->type, type))
		return 0;
	if (slice_is(range->subtype, "*"))
		return 2;
	return same_word(range->subtype, subtype) ? 3 : 0;
}

bool
http_content_type_is(struct slice header, const char *type)
{
	struct media_range range;
	struct slice subtype = slice_of(type);
	struct slice main_type = cut(&subtype, '/');
	skip_blanks(&header);
	if (!take_media_range(&header, &range) || header.len > 0)
		return false;
	return range_specificity(&range, main_type, subtype) == 3 && !range.other_charset;
}

/* The next element of a comma-separated list, of which some may be empty; false at its end. */
static bool
next_element(struct slice *list)
{
	do
		skip_blanks(list);
	while (take_char(list, ','));
	return list->len > 0;
}

static bool
at_element_end(struct slice *list)
{
	skip_blanks(list);
	return list->len == 0 || list->data[0] == ',';
}

static bool
accept_is_well_formed(struct slice header)
{
	struct media_range range;
	while (next_element(&header))
		if (!take_media_range(&header, &range) || !at_element_end(&header))
			return false;
	return true;
}

/* The quality that a well-formed Accept header gives to `offer`: that of the most specific range that names it. */
static int
offer_quality(struct slice header, const char *offer)
{
	int closest = 0, quality = 0;
	struct slice subtype = slice_of(offer);
	struct slice type = cut(&subtype, '/');
	struct media_range range;
	while (next_element(&header) && take_media_range(&header, &range)) {
		if (range.other_charset || range.other_parameter)
			continue;
		int specificity = range_specificity(&range, type, subtype);
		if (specificity > closest || (specificity > 0 && specificity == closest && range.quality > quality)) {
			closest = specificity;
			quality = range.quality;
		}
	}
	return quality;
}

int
http_accept(struct slice header, const char *const offers[])
{
	struct slice rest = header;
	if (!next_element(&rest) || !accept_is_well_formed(header))
		return 0;
	int best = -1, best_quality = 0;
	for (int i = 0; offers[i] != NULL; i++) {
		int quality = offer_quality(header, offers[i]);
		if (quality > best_quality) {
			best = i;
			best_quality = quality;
		}
	}
	return best;
}

static bool
same_bytes(struct slice a, struct slice b)
{
	return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

struct entity_tag {
	struct slice value; /* without quotes */
	bool weak;
};

/* In a tag every visible character but the quote stands for itself, the comma and the backslash too. */
static bool
take_entity_tag(struct slice *text, struct entity_tag *tag)
{
	struct slice rest = *text;
	tag->weak = take_char(&rest, 'W');
	if (tag->weak && !take_char(&rest, '/'))
		return false;
	if (!take_char(&rest, '"'))
		return false;
	const char *start = rest.data;
	while (!take_char(&rest, '"')) {
		if (rest.len == 0 || (unsigned char)rest.data[0] <= 0x20 || rest.data[0] == 0x7F)
			return false;
		rest.data++;
		rest.len--;
	}
	tag->value = (struct slice){ start, (size_t)(rest.data - start) - 1 };
	*text = rest;
	return true;
}

/* The number of tags in a list of entity tags, or -1 when it is none; not even one is none too. */
static int
count_tags(struct slice header)
{
	int count = 0;
	struct entity_tag tag;
	while (next_element(&header)) {
		if (!take_entity_tag(&header, &tag) || !at_element_end(&header))
			return -1;
		count++;
	}
	return count > 0 ? count : -1;
}

bool
http_etag_matches(struct slice header, struct slice etag, bool weak)
{
	if (slice_is(trim(header), "*"))
		return true;
	if (count_tags(header) < 0)
		return false;
	struct entity_tag tag;
	while (next_element(&header) && take_entity_tag(&header, &tag))
		if ((weak || !tag.weak) && same_bytes(tag.value, etag))
			return true;
	return false;
}

int
http_etag_list(struct arena *arena, struct slice header, struct slice **tags, bool *any)
{
	*tags = NULL;
	*any = slice_is(trim(header), "*");
	if (*any)
		return 0;
	int most = count_tags(header), count = 0;
	if (most < 0)
		return -1;
	*tags = arena_calloc(arena, (size_t)most, sizeof(**tags));
	struct entity_tag tag;
	while (next_element(&header) && take_entity_tag(&header, &tag))
		if (!tag.weak)
			(*tags)[count++] = tag.value;
	return count;
}

static struct slice
unquote(struct slice value)
{
	if (value.len >= 2 && value.data[0] == '"' && value.data[value.len - 1] == '"')
		return (struct slice){ value.data + 1, value.len - 2 };
	return value;
}

struct slice
http_cookie(struct slice header, const char *name)
{
	struct slice found = { 0 };

	while (header.len > 0) {
		struct slice value = trim(cut(&header, ';'));
		if (value.len == 0 || memchr(value.data, '=', value.len) == NULL)
			continue;
		if (!slice_is(trim(cut(&value, '=')), name))
			continue;
		value = unquote(trim(value));
		if (found.data != NULL && !same_bytes(found, value))
			return (struct slice){ 0 };
		found = value;
	}
	return found;
}
