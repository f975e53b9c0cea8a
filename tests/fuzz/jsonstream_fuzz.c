/*
 * JSON piece by piece: jsonstream.c. The first byte of the input says in which pieces the text arrives, the second
 * which values are read whole, by element, or not at all.
 *
 * Holds for every input: the stream takes the text exactly when json_parse() takes it whole and it is an object (the
 * two bounds that differ are out of reach of one input, but for depth); the members it hands out are those of the
 * object; a value is never longer than it may be; after an error there is nothing more.
 */
#include "fuzz.h"

#include "json.h"
#include "jsonstream.h"

enum { VALUE_MAX = 256 };

struct source {
	struct slice text;
	size_t step;
};

static size_t
next_bytes(void *opaque, char *out, size_t size)
{
	struct source *source = opaque;
	size_t len = source->text.len < source->step ? source->text.len : source->step;

	len = len < size ? len : size;
	if (len > 0)
		memcpy(out, source->text.data, len);
	source->text.data += len;
	source->text.len -= len;
	return len;
}

static bool
takes(struct slice text)
{
	const char *error;

	HOLDS(text.len <= VALUE_MAX);
	return json_parse(fuzz_arena(), text.data, text.len, &error) != NULL;
}

/* Reads the member's value in one of four ways. False: there is something wrong with it. */
static bool
read_member(struct json_stream *stream, unsigned how)
{
	struct slice text;
	int got = 1;

	if (how == 0)
		return true; /* the stream passes over it */
	if (how == 1)
		return json_stream_value(stream, &text) == 1 && takes(text);
	for (unsigned count = 0; got == 1 && (how == 2 || count < 2); count++) {
		got = json_stream_element(stream, &text);
		if (got == 1 && !takes(text))
			return false;
	}
	return got >= 0;
}

/* 1: the whole text is taken; 0: it is not; -1: it was read by elements and is no array, or is too long in a part. */
static int
read_stream(struct slice text, size_t step, unsigned how, const struct json *whole)
{
	struct source source = { text, step };
	struct json_stream stream;
	struct slice key;
	int more;
	bool good = true;

	json_stream_init(&stream, next_bytes, &source, VALUE_MAX);
	for (; good && (more = json_stream_member(&stream, &key)) == 1; how >>= 2) {
		HOLDS(memchr(key.data, '\0', key.len) == NULL);
		char *name = arena_copy(fuzz_arena(), key.data, key.len);
		HOLDS(whole == NULL || json_get(whole, name) != NULL);
		good = read_member(&stream, how & 3);
	}
	bool taken = good && more == 0;
	const char *error = arena_printf(fuzz_arena(), "%s", json_stream_error(&stream));
	HOLDS(json_stream_member(&stream, &key) <= 0 || !taken);
	json_stream_free(&stream);
	if (taken)
		return 1;
	return strstr(error, "longer than") != NULL || strstr(error, "an array was expected") != NULL ? -1 : 0;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice input = { (const char *)data, size };
	size_t step = fuzz_byte(&input) % 32 + 1;
	unsigned how = fuzz_byte(&input) * 0x01010101u;
	const char *error;

	struct slice text = fuzz_exact(input);
	const struct json *whole = json_parse(fuzz_arena(), text.data, text.len, &error);
	bool object = whole != NULL && json_type(whole) == JSON_OBJECT;
	int taken = read_stream(text, step, how, object ? whole : NULL);
	if (taken == 1)
		HOLDS(object || (whole == NULL && strstr(error, "nested too deep") != NULL));
	if (taken == 0)
		HOLDS(!object);
	arena_reset(fuzz_arena());
	return 0;
}
