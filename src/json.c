#include <limits.h>
#include <math.h>

/* json-c's header declares types of these names. */
#define json_type json_c_type
#define json_bool json_c_bool
#include <json-c/json.h>
#include <json-c/printbuf.h>
#undef json_type
#undef json_bool

#include "arena.h"
#include "buffer.h"
#include "encode.h"
#include "json.h"
#include "log.h"
#include "utf8.h"

/*
 * Even in its strict mode json-c 0.16 takes "1.", "-01", NaN, control characters in strings, lone surrogates and
 * over-long UTF-8, and it clamps integers that do not fit; that of 0.18 takes nothing but ASCII in strings. So the text
 * is checked against the grammar here, and json-c, in its default mode, is given nothing that it would read otherwise
 * than RFC 8259 does.
 */

enum expectation { VALUE, VALUE_OR_END, KEY, KEY_OR_END, SEPARATOR };

enum { LONGEST = INT_MAX / 2 }; /* json-c counts in int, and widen() adds to the text */

/* An integer that int64_t does not hold, by where it ends. */
struct wide_integer {
	struct wide_integer *next;
	size_t end;
};

struct scanner {
	struct arena *arena; /* NULL: nothing is to be noted */
	const char *text;
	size_t len, at;
	const char *fault; /* what is wrong at `at`, once something is */
	enum expectation expectation;
	size_t depth;
	bool in_object[JSON_MAX_DEPTH];
	size_t containers;
	struct wide_integer *first_wide, **last_wide;
};

static bool
fail(struct scanner *scanner, const char *fault)
{
	scanner->fault = scanner->at < scanner->len ? fault : "the text ends too early";
	return false;
}

/* The byte at hand, or -1 at the end. */
static int
peek(const struct scanner *scanner)
{
	return scanner->at < scanner->len ? (unsigned char)scanner->text[scanner->at] : -1;
}

static bool
take(struct scanner *scanner, char c)
{
	if (peek(scanner) != c)
		return false;
	scanner->at++;
	return true;
}

static void
skip_space(struct scanner *scanner)
{
	for (int c = peek(scanner); c == ' ' || c == '\t' || c == '\n' || c == '\r'; c = peek(scanner))
		scanner->at++;
}

static bool
is_digit(int c)
{
	return c >= '0' && c <= '9';
}

static bool
scan_digits(struct scanner *scanner)
{
	if (!is_digit(peek(scanner)))
		return fail(scanner, "a digit was expected");
	while (is_digit(peek(scanner)))
		scanner->at++;
	return true;
}

/* Whether the digits of a valid integer go beyond int64_t; counted below zero, where there is one more. */
static bool
is_wide(const char *digits, size_t len)
{
	bool negative = digits[0] == '-';
	int64_t value = 0;
	for (size_t i = negative; i < len; i++)
		if (__builtin_mul_overflow(value, 10, &value) || __builtin_sub_overflow(value, digits[i] - '0', &value))
			return true;
	return !negative && value == INT64_MIN;
}

static void
note_if_wide(struct scanner *scanner, size_t start)
{
	if (scanner->arena == NULL || !is_wide(scanner->text + start, scanner->at - start))
		return;
	struct wide_integer *wide = arena_alloc(scanner->arena, sizeof(*wide));
	wide->end = scanner->at;
	*scanner->last_wide = wide;
	scanner->last_wide = &wide->next;
}

static bool
scan_number(struct scanner *scanner)
{
	size_t start = scanner->at;
	take(scanner, '-');
	if (!take(scanner, '0') && !scan_digits(scanner))
		return false;
	if (is_digit(peek(scanner)))
		return fail(scanner, "a number begins with a zero too many");

	bool fraction = take(scanner, '.');
	if (fraction && !scan_digits(scanner))
		return false;
	bool exponent = take(scanner, 'e') || take(scanner, 'E');
	if (exponent) {
		if (!take(scanner, '+'))
			take(scanner, '-');
		if (!scan_digits(scanner))
			return false;
	}
	if (!fraction && !exponent)
		note_if_wide(scanner, start);
	return true;
}

/* The four digits after "\u"; -1 when there are no four. */
static int
scan_hex(struct scanner *scanner)
{
	int unit = 0;
	for (int i = 0; i < 4; i++) {
		int digit = hex_value((char)peek(scanner));
		if (digit < 0) {
			fail(scanner, "a hexadecimal digit was expected");
			return -1;
		}
		unit = unit * 16 + digit;
		scanner->at++;
	}
	return unit;
}

static bool
scan_unicode_escape(struct scanner *scanner, bool *has_nul)
{
	size_t start = scanner->at;
	int unit = scan_hex(scanner);
	if (unit < 0)
		return false;
	*has_nul = *has_nul || unit == 0;
	if (unit < 0xD800 || unit > 0xDFFF)
		return true;

	if (unit <= 0xDBFF && take(scanner, '\\') && take(scanner, 'u')) {
		int low = scan_hex(scanner);
		if (low < 0)
			return false;
		if (low >= 0xDC00 && low <= 0xDFFF)
			return true;
	}
	scanner->at = start;
	return fail(scanner, "a surrogate stands alone");
}

static bool
scan_escape(struct scanner *scanner, bool *has_nul)
{
	int c = peek(scanner);
	if (c <= 0 || strchr("\"\\/bfnrtu", c) == NULL)
		return fail(scanner, "there is no such escape");
	scanner->at++;
	return c != 'u' || scan_unicode_escape(scanner, has_nul);
}

static bool
scan_non_ascii(struct scanner *scanner)
{
	size_t length = utf8_sequence(scanner->text + scanner->at, scanner->len - scanner->at);
	if (length == 0)
		return fail(scanner, "the text is not UTF-8");
	scanner->at += length;
	return true;
}

/* A string whose first quote has been taken. */
static bool
scan_string(struct scanner *scanner, bool *has_nul)
{
	*has_nul = false;
	for (;;) {
		int c = peek(scanner);
		if (c < 0x20)
			return fail(scanner, "a string holds a control character");
		if (c >= 0x80) {
			if (!scan_non_ascii(scanner))
				return false;
			continue;
		}
		scanner->at++;
		if (c == '"')
			return true;
		if (c == '\\' && !scan_escape(scanner, has_nul))
			return false;
	}
}

static bool
scan_word(struct scanner *scanner, const char *word)
{
	size_t len = strlen(word);
	if (scanner->len - scanner->at < len || memcmp(scanner->text + scanner->at, word, len) != 0)
		return fail(scanner, "a value was expected");
	scanner->at += len;
	return true;
}

static bool
scan_open(struct scanner *scanner, bool object)
{
	if (scanner->depth == JSON_MAX_DEPTH)
		return fail(scanner, "arrays and objects are nested too deep");
	if (scanner->containers == JSON_MAX_CONTAINERS)
		return fail(scanner, "there are too many arrays and objects");
	scanner->containers++;
	scanner->in_object[scanner->depth++] = object;
	scanner->at++;
	scanner->expectation = object ? KEY_OR_END : VALUE_OR_END;
	return true;
}

static bool
scan_close(struct scanner *scanner)
{
	scanner->depth--;
	scanner->expectation = SEPARATOR;
	return true;
}

static bool
scan_value(struct scanner *scanner)
{
	bool has_nul;
	scanner->expectation = SEPARATOR;
	switch (peek(scanner)) {
	case '{':
		return scan_open(scanner, true);
	case '[':
		return scan_open(scanner, false);
	case '"':
		scanner->at++;
		return scan_string(scanner, &has_nul);
	case 't':
		return scan_word(scanner, "true");
	case 'f':
		return scan_word(scanner, "false");
	case 'n':
		return scan_word(scanner, "null");
	default:
		if (peek(scanner) == '-' || is_digit(peek(scanner)))
			return scan_number(scanner);
		return fail(scanner, "a value was expected");
	}
}

/* A key and its colon. json-c keeps keys as C strings, so one that holds U+0000 would be taken for another. */
static bool
scan_key(struct scanner *scanner)
{
	bool has_nul;
	size_t start = scanner->at;
	if (!take(scanner, '"'))
		return fail(scanner, "a key was expected");
	if (!scan_string(scanner, &has_nul))
		return false;
	if (has_nul) {
		scanner->at = start;
		return fail(scanner, "a key holds U+0000");
	}
	skip_space(scanner);
	if (!take(scanner, ':'))
		return fail(scanner, "a colon was expected");
	scanner->expectation = VALUE;
	return true;
}

static bool
scan_separator(struct scanner *scanner)
{
	if (scanner->depth == 0)
		return fail(scanner, "something follows the value");
	bool object = scanner->in_object[scanner->depth - 1];
	if (take(scanner, object ? '}' : ']'))
		return scan_close(scanner);
	if (!take(scanner, ','))
		return fail(scanner, object ? "a comma or '}' was expected" : "a comma or ']' was expected");
	scanner->expectation = object ? KEY : VALUE;
	return true;
}

static bool
scan_next(struct scanner *scanner)
{
	switch (scanner->expectation) {
	case VALUE_OR_END:
		return take(scanner, ']') ? scan_close(scanner) : scan_value(scanner);
	case KEY_OR_END:
		return take(scanner, '}') ? scan_close(scanner) : scan_key(scanner);
	case KEY:
		return scan_key(scanner);
	case SEPARATOR:
		return scan_separator(scanner);
	case VALUE:
	default:
		return scan_value(scanner);
	}
}

/* Checks the whole text; leaves the fault in the scanner when it is no JSON. */
static bool
scan_text(struct scanner *scanner)
{
	do {
		if (!scan_next(scanner))
			return false;
		skip_space(scanner);
	} while (scanner->at < scanner->len || scanner->depth > 0 || scanner->expectation != SEPARATOR);
	return true;
}

/* The text with ".0" after each integer that does not fit, which json-c would clamp: it then reads a double. */
static struct slice
widen(const struct scanner *scanner)
{
	size_t extra = 0, done = 0;
	for (const struct wide_integer *wide = scanner->first_wide; wide != NULL; wide = wide->next)
		extra += 2;
	char *text = arena_alloc(scanner->arena, scanner->len + extra), *out = text;
	for (const struct wide_integer *wide = scanner->first_wide; wide != NULL; wide = wide->next) {
		out = mempcpy(out, scanner->text + done, wide->end - done);
		out = mempcpy(out, ".0", 2);
		done = wide->end;
	}
	memcpy(out, scanner->text + done, scanner->len - done);
	return (struct slice){ text, scanner->len + extra };
}

/* json-c's null is the null pointer; ours is the address of this. */
static char null_value;

static struct json *
from_object(struct json_object *object)
{
	return object == NULL ? (struct json *)&null_value : (struct json *)object;
}

static struct json_object *
to_object(const struct json *value)
{
	return (const char *)value == &null_value ? NULL : (struct json_object *)value;
}

static void
release_object(void *object)
{
	json_object_put(object);
}

/* Overwrites all strings of a document; json-c gives out the addresses of its own copies. */
static void
wipe_strings(const struct json *value)
{
	struct json_cursor cursor = { 0 };
	struct slice string = json_string(value);
	if (string.len > 0)
		explicit_bzero((char *)(uintptr_t)string.data, string.len);
	for (size_t i = 0; i < json_length(value); i++)
		wipe_strings(json_at(value, i));
	while (json_type(value) == JSON_OBJECT && json_next(value, &cursor))
		wipe_strings(cursor.value);
}

static void
release_secret(void *object)
{
	wipe_strings(from_object(object));
	json_object_put(object);
}

/* A buffer that has room for the longest token from the beginning leaves no copy behind when it grows. */
static struct json_tokener *
new_tokener(size_t longest)
{
	struct json_tokener *tokener = json_tokener_new_ex(JSON_MAX_DEPTH + 2);
	if (tokener == NULL || printbuf_memset(tokener->pb, 0, '\0', (int)longest + 1) != 0)
		log_fatal("out_of_memory", "no memory for a JSON parser");
	printbuf_reset(tokener->pb);
	return tokener;
}

/* A number at the very end is complete only once json-c sees the NUL after it. */
static enum json_tokener_error
parse_checked(struct slice text, bool secret, struct json_object **object)
{
	struct json_tokener *tokener = new_tokener(secret ? text.len : 0);
	*object = json_tokener_parse_ex(tokener, text.data, (int)text.len);
	if (json_tokener_get_error(tokener) == json_tokener_continue)
		*object = json_tokener_parse_ex(tokener, "", 1);
	enum json_tokener_error error = json_tokener_get_error(tokener);
	if (secret)
		explicit_bzero(tokener->pb->buf, (size_t)tokener->pb->size);
	json_tokener_free(tokener);
	return error;
}

static struct json *
parse_by_json_c(struct arena *arena, struct slice text, const char **error)
{
	struct json_object *object;
	bool secret = arena_keeps_secrets(arena);
	enum json_tokener_error result = parse_checked(text, secret, &object);
	if (result != json_tokener_success) {
		log_write(
		    LOG_LEVEL_ERROR, "json", "json-c refused a checked text: %s", json_tokener_error_desc(result));
		*error = "The text could not be read.";
		return NULL;
	}
	arena_defer(arena, secret ? release_secret : release_object, object);
	return from_object(object);
}

struct json *
json_parse(struct arena *arena, const char *text, size_t len, const char **error)
{
	struct scanner scanner = { .arena = arena, .text = text, .len = len };
	scanner.last_wide = &scanner.first_wide;
	if (len > LONGEST) {
		*error = "The text is too large.";
		return NULL;
	}
	skip_space(&scanner);
	if (!scan_text(&scanner)) {
		*error = arena_printf(arena, "Not JSON at offset %zu: %s.", scanner.at, scanner.fault);
		return NULL;
	}
	struct slice checked = { text, len };
	return parse_by_json_c(arena, scanner.first_wide == NULL ? checked : widen(&scanner), error);
}

bool
json_valid(const char *text, size_t len)
{
	struct scanner scanner = { .text = text, .len = len };
	if (len > LONGEST)
		return false;
	skip_space(&scanner);
	return scan_text(&scanner);
}

enum json_type
json_type(const struct json *value)
{
	static const enum json_type types[] = {
		[json_type_null] = JSON_NULL,
		[json_type_boolean] = JSON_BOOL,
		[json_type_double] = JSON_NUMBER,
		[json_type_int] = JSON_NUMBER,
		[json_type_object] = JSON_OBJECT,
		[json_type_array] = JSON_ARRAY,
		[json_type_string] = JSON_STRING,
	};
	return types[json_object_get_type(to_object(value))];
}

bool
json_bool(const struct json *value)
{
	return json_object_get_boolean(to_object(value)) != 0;
}

struct slice
json_string(const struct json *value)
{
	struct json_object *object = to_object(value);
	if (!json_object_is_type(object, json_type_string))
		return (struct slice){ 0 };
	return (struct slice){ json_object_get_string(object), (size_t)json_object_get_string_len(object) };
}

/* What does not fit was made a double before json-c saw it. */
bool
json_integer(const struct json *value, int64_t *out)
{
	struct json_object *object = to_object(value);
	if (!json_object_is_type(object, json_type_int))
		return false;
	*out = json_object_get_int64(object);
	return true;
}

bool
json_double(const struct json *value, double *out)
{
	if (json_type(value) != JSON_NUMBER)
		return false;
	*out = json_object_get_double(to_object(value));
	return isfinite(*out);
}

size_t
json_length(const struct json *array)
{
	struct json_object *object = to_object(array);
	return json_object_is_type(object, json_type_array) ? json_object_array_length(object) : 0;
}

struct json *
json_at(const struct json *array, size_t index)
{
	return from_object(json_object_array_get_idx(to_object(array), index));
}

bool
json_next(const struct json *object, struct json_cursor *cursor)
{
	struct lh_table *members = json_object_get_object(to_object(object));
	if (members == NULL)
		return false;
	const struct lh_entry *before = cursor->entry;
	const struct lh_entry *entry = cursor->started ? lh_entry_next(before) : lh_table_head(members);
	cursor->started = true;
	if (entry == NULL)
		return false;
	cursor->entry = entry;
	cursor->key = slice_of(lh_entry_k(entry));
	cursor->value = from_object(lh_entry_v(entry));
	return true;
}

struct json *
json_get(const struct json *object, const char *key)
{
	struct json_object *member;
	if (!json_object_object_get_ex(to_object(object), key, &member))
		return NULL;
	return from_object(member);
}

static bool
needs_escape(unsigned char c)
{
	return c < 0x20 || c == '"' || c == '\\';
}

/* The high bit of each byte of `word` that is zero (exact for the lowest such byte, which is all that is asked). */
static uint64_t
zero_bytes(uint64_t word)
{
	return (word - UINT64_C(0x0101010101010101)) & ~word & UINT64_C(0x8080808080808080);
}

/* The number of bytes before the first that needs an escape; most text has none, so eight at a time. */
static size_t
plain_run(const char *text, size_t len)
{
	const uint64_t each = UINT64_C(0x0101010101010101);
	size_t at = 0;
	for (uint64_t word; len - at >= sizeof(word); at += sizeof(word)) {
		memcpy(&word, text + at, sizeof(word));
		uint64_t control = zero_bytes(word & (each * 0xE0));
		if ((control | zero_bytes(word ^ (each * '"')) | zero_bytes(word ^ (each * '\\'))) != 0)
			break;
	}
	while (at < len && !needs_escape((unsigned char)text[at]))
		at++;
	return at;
}

static void
write_escape(struct buffer *out, unsigned char c)
{
	static const char letters[0x80] = {
		['\b'] = 'b', ['\f'] = 'f', ['\n'] = 'n', ['\r'] = 'r', ['\t'] = 't', ['"'] = '"', ['\\'] = '\\'
	};
	static const char digits[] = "0123456789abcdef";
	if (letters[c] != '\0')
		buffer_append(out, (char[]){ '\\', letters[c] }, 2);
	else
		buffer_append(out, (char[]){ '\\', 'u', '0', '0', digits[c >> 4], digits[c & 15] }, 6);
}

void
json_write_string(struct buffer *out, const char *text, size_t len)
{
	buffer_reserve(out, len + 2);
	buffer_putc(out, '"');
	for (size_t at = 0; at < len;) {
		size_t run = plain_run(text + at, len - at);
		buffer_append(out, text + at, run);
		at += run;
		if (at < len)
			write_escape(out, (unsigned char)text[at++]);
	}
	buffer_putc(out, '"');
}
