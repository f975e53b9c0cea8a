#include <stdio.h>

#include "arena.h"
#include "json.h"
#include "jsonstream.h"

enum { READ_SIZE = 64 * 1024 };

void
json_stream_init(struct json_stream *stream, json_stream_read read, void *source, size_t value_max)
{
	*stream = (struct json_stream){ .read = read, .source = source, .value_max = value_max };
}

void
json_stream_free(struct json_stream *stream)
{
	buffer_free(&stream->text);
	buffer_free(&stream->key);
}

/* Reads on, over what is done with. A piece is moved at most once: from then on it begins the window. */
static bool
refill(struct json_stream *stream)
{
	if (stream->ended)
		return false;
	struct buffer *text = &stream->text;
	if (stream->start > 0) {
		text->len -= stream->start;
		memmove(text->data, text->data + stream->start, text->len);
		stream->dropped += stream->start;
		stream->at -= stream->start;
		stream->start = 0;
	}
	size_t got = stream->read(stream->source, buffer_reserve(text, READ_SIZE), READ_SIZE);
	text->len += got;
	stream->ended = got == 0;
	return got > 0;
}

/* The byte at hand, or -1 at the end. */
static inline int
peek(struct json_stream *stream)
{
	if (stream->at == stream->text.len && !refill(stream))
		return -1;
	return (unsigned char)stream->text.data[stream->at];
}

static bool
fail_at(struct json_stream *stream, size_t offset, const char *fault)
{
	snprintf(stream->error, sizeof(stream->error), "Not JSON at offset %zu: %s.", offset, fault);
	stream->state = JSON_STREAM_FAILED;
	return false;
}

static bool
fail(struct json_stream *stream, const char *fault)
{
	bool at_end = peek(stream) < 0;
	return fail_at(stream, stream->dropped + stream->at, at_end ? "the text ends too early" : fault);
}

/* Goes past the byte at hand, which belongs to a piece. */
static inline bool
keep(struct json_stream *stream)
{
	if (stream->at - stream->start < stream->limit) {
		stream->at++;
		return true;
	}
	snprintf(stream->error, sizeof(stream->error), "What begins at offset %zu is longer than %zu bytes.",
	    stream->offset, stream->limit);
	stream->state = JSON_STREAM_FAILED;
	return false;
}

/* Goes past the byte at hand, which belongs to no piece. */
static void
drop(struct json_stream *stream)
{
	stream->start = ++stream->at;
}

static bool
is_space(int c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static void
skip_space(struct json_stream *stream)
{
	while (is_space(peek(stream)))
		drop(stream);
}

/* Goes past `c` and white space around it. */
static bool
take(struct json_stream *stream, char c)
{
	skip_space(stream);
	if (peek(stream) != c)
		return false;
	drop(stream);
	skip_space(stream);
	return true;
}

static bool
scan_string(struct json_stream *stream)
{
	bool escaped = true; /* so the first quote is not the last */
	for (;;) {
		int c = peek(stream);
		if (c < 0)
			return fail(stream, "a quote was expected");
		if (!keep(stream))
			return false;
		if (c == '"' && !escaped)
			return true;
		escaped = c == '\\' && !escaped;
	}
}

/* Up to where as many brackets have been closed as opened; those in strings do not count. */
static bool
scan_container(struct json_stream *stream)
{
	size_t depth = 0;
	do {
		int c = peek(stream);
		if (c < 0)
			return fail(stream, "a bracket was expected");
		if (!(c == '"' ? scan_string(stream) : keep(stream)))
			return false;
		depth += c == '[' || c == '{';
		depth -= c == ']' || c == '}';
	} while (depth > 0);
	return true;
}

/* A number, a word, or what is neither, up to what may follow a value. */
static bool
scan_scalar(struct json_stream *stream)
{
	for (int c = peek(stream); c >= 0 && c != ',' && c != ']' && c != '}' && !is_space(c); c = peek(stream))
		if (!keep(stream))
			return false;
	return stream->at > stream->start || fail(stream, "a value was expected");
}

/* Cuts out the piece that begins at the byte at hand. It stays where it is until more is read. */
static bool
cut(struct json_stream *stream, size_t limit, struct slice *piece)
{
	int first = peek(stream);
	stream->limit = limit;
	stream->offset = stream->dropped + stream->at;
	bool whole = first == '"'              ? scan_string(stream)
	    : first == '[' || first == '{' ? scan_container(stream)
	                                   : scan_scalar(stream);
	if (!whole)
		return false;
	*piece = (struct slice){ stream->text.data + stream->start, stream->at - stream->start };
	stream->start = stream->at;
	return true;
}

/* Checks the string and keeps what it says apart from the window, where its value will be. Escapes are rare. */
static bool
decode_key(struct buffer *key, struct slice text)
{
	key->len = 0;
	if (memchr(text.data, '\\', text.len) == NULL) {
		buffer_append(key, text.data + 1, text.len - 2);
		return json_valid(text.data, text.len);
	}
	const char *error;
	struct arena *arena = arena_new();
	struct slice decoded = json_string(json_parse(arena, text.data, text.len, &error));
	buffer_append(key, decoded.data, decoded.len);
	arena_free(arena);
	return decoded.data != NULL;
}

static bool
read_key(struct json_stream *stream, struct slice *key)
{
	struct slice text;
	if (peek(stream) != '"')
		return fail(stream, "a key was expected");
	if (!cut(stream, JSON_STREAM_KEY_MAX, &text))
		return false;
	if (!decode_key(&stream->key, text))
		return fail_at(stream, stream->offset, "a key is no valid string");
	if (stream->key.len > 0 && memchr(stream->key.data, '\0', stream->key.len) != NULL)
		return fail_at(stream, stream->offset, "a key holds U+0000");
	if (!take(stream, ':'))
		return fail(stream, "a colon was expected");
	*key = (struct slice){ stream->key.len == 0 ? "" : stream->key.data, stream->key.len };
	stream->state = JSON_STREAM_AT_VALUE;
	return true;
}

/* Whether there is a value that has not been read, or not to its end. */
static bool
is_unread(const struct json_stream *stream)
{
	return stream->state == JSON_STREAM_AT_VALUE || stream->state == JSON_STREAM_IN_ARRAY;
}

/* Each piece of what the caller left unread. */
static bool
skip(struct json_stream *stream)
{
	struct slice text;
	bool array = stream->state == JSON_STREAM_IN_ARRAY || peek(stream) == '[';
	do {
		int got = array ? json_stream_element(stream, &text) : json_stream_value(stream, &text);
		if (got == 1 && !json_valid(text.data, text.len))
			return fail_at(stream, stream->offset, "the value is not well formed");
		if (got < 0)
			return false;
	} while (is_unread(stream));
	return true;
}

/* The closing brace has been taken. */
static int
end(struct json_stream *stream)
{
	if (peek(stream) >= 0) {
		fail(stream, "something follows the object");
		return -1;
	}
	stream->state = JSON_STREAM_END;
	return 0;
}

int
json_stream_member(struct json_stream *stream, struct slice *key)
{
	if (stream->state == JSON_STREAM_FAILED)
		return -1;
	if (stream->state == JSON_STREAM_END)
		return 0;
	if (is_unread(stream) && !skip(stream))
		return -1;

	bool first = stream->state == JSON_STREAM_BEGIN;
	if (first && !take(stream, '{')) {
		fail(stream, "an object was expected");
		return -1;
	}
	if (take(stream, '}'))
		return end(stream);
	if (!first && !take(stream, ',')) {
		fail(stream, "a comma or '}' was expected");
		return -1;
	}
	return read_key(stream, key) ? 1 : -1;
}

/* The caller's fault, unless the text had one before: nothing must pass for read. */
static int
no_value(struct json_stream *stream)
{
	if (stream->state != JSON_STREAM_FAILED)
		fail_at(stream, stream->dropped + stream->at, "no value is at hand");
	return -1;
}

int
json_stream_value(struct json_stream *stream, struct slice *text)
{
	if (stream->state != JSON_STREAM_AT_VALUE)
		return no_value(stream);
	if (!cut(stream, stream->value_max, text))
		return -1;
	stream->state = JSON_STREAM_AFTER_VALUE;
	return 1;
}

int
json_stream_element(struct json_stream *stream, struct slice *text)
{
	if (!is_unread(stream))
		return no_value(stream);
	bool first = stream->state == JSON_STREAM_AT_VALUE;
	if (first && !take(stream, '[')) {
		fail(stream, "an array was expected");
		return -1;
	}
	if (take(stream, ']')) {
		stream->state = JSON_STREAM_AFTER_VALUE;
		return 0;
	}
	if (!first && !take(stream, ',')) {
		fail(stream, "a comma or ']' was expected");
		return -1;
	}
	stream->state = JSON_STREAM_IN_ARRAY;
	return cut(stream, stream->value_max, text) ? 1 : -1;
}

size_t
json_stream_offset(const struct json_stream *stream)
{
	return stream->offset;
}

const char *
json_stream_error(const struct json_stream *stream)
{
	return stream->error;
}
