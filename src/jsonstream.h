/*
 * A large JSON object (RFC 8259) read piece by piece: its members one after the other, and the elements of a member
 * that is an array one at a time, so that memory is bounded by the largest piece and not by the text.
 *
 * What stands between the pieces (braces, commas, colons, keys, white space, the end) is checked here. A piece itself
 * is only cut out: its strings end and its brackets are closed, by number and not by kind, so "[}" is handed out. The
 * caller gives each to json_parse(), which refuses that. When every piece handed out is accepted there and the last
 * call of json_stream_member() returned 0, the whole is what json_parse() would accept, but for two of its bounds,
 * which hold here for each piece and not for the whole: depth, and the number of arrays and objects.
 *
 * Keys are handed out in the order of the text, a repeated one each time. Pieces are handed out before the rest has
 * been read, so the caller must be able to take back what it did with them.
 */
#ifndef JOBFORGE_JSONSTREAM_H
#define JOBFORGE_JSONSTREAM_H

#include "base.h"
#include "buffer.h"

enum { JSON_STREAM_KEY_MAX = 1024 }; /* bytes of a key as written, with its quotes */

/* Puts at most `size` bytes at `out` and returns how many; 0 at the end, after which it is not called again. */
typedef size_t (*json_stream_read)(void *source, char *out, size_t size);

enum json_stream_state {
	JSON_STREAM_BEGIN,
	JSON_STREAM_AT_VALUE, /* a key and its colon have been read */
	JSON_STREAM_IN_ARRAY, /* an element has been handed out */
	JSON_STREAM_AFTER_VALUE,
	JSON_STREAM_END,
	JSON_STREAM_FAILED
};

/* The members are the stream's own business. */
struct json_stream {
	json_stream_read read;
	void *source;
	size_t value_max;
	enum json_stream_state state;
	struct buffer text; /* a window of the text */
	size_t dropped;     /* bytes of the text before the window */
	size_t start;       /* in the window: the first byte still wanted */
	size_t at;          /* in the window: the next byte */
	bool ended;         /* the source has no more */
	size_t limit;       /* of the piece being cut out, in bytes */
	size_t offset;
	struct buffer key;
	char error[128];
};

/*
 * Begins to read. A value that is handed out is at most `value_max` bytes, which must not exceed what json_parse()
 * takes; of an array read by its elements each element is. Memory: less than 2 * (value_max + 64 KiB), and as much of
 * it as the pieces need.
 */
void json_stream_init(struct json_stream *stream, json_stream_read read, void *source, size_t value_max);
void json_stream_free(struct json_stream *stream);

/*
 * The next member: 1 and its key, decoded, valid until the next call of this; 0 when the object and then the text have
 * ended; -1 on an error, as every call after it.
 *
 * A value that was not read, or an array not read to its end, is passed over first. It is held to the same bounds and
 * checked with json_valid(), an array element by element.
 */
int json_stream_member(struct json_stream *stream, struct slice *key) MUST_CHECK;

/* The whole value of the member as text, valid until the next call: 1, or -1 on an error. Once for each member. */
int json_stream_value(struct json_stream *stream, struct slice *text) MUST_CHECK;

/*
 * In place of json_stream_value(): the next element of the member, which must be an array, as text, valid until the
 * next call: 1; 0 after the last; -1 on an error.
 */
int json_stream_element(struct json_stream *stream, struct slice *text) MUST_CHECK;

/* Where in the text the key or value handed out last begins, in bytes from 0. */
size_t json_stream_offset(const struct json_stream *stream);

/* After -1: a sentence for the client that names the offset, with no bytes of the text; valid as long as the stream. */
const char *json_stream_error(const struct json_stream *stream);

#endif
