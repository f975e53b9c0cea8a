#include <stdio.h>
#include <stdlib.h>

#include "arena.h"
#include "buffer.h"
#include "json.h"
#include "jsonstream.h"
#include "tap.h"

#define T(literal) SLICE(literal)

enum { VALUE_MAX = 64 * 1024, READ_SIZE = 64 * 1024 };

/* A text in memory of its exact size, handed out at most `chunk` bytes at a time. */
struct source {
	const char *text;
	size_t len, at, chunk;
	bool ended, asked_again;
};

static size_t
read_source(void *object, char *out, size_t size)
{
	struct source *source = object;
	size_t got = source->len - source->at;
	got = got < size ? got : size;
	got = got < source->chunk ? got : source->chunk;
	source->asked_again = source->asked_again || source->ended;
	source->ended = got == 0;
	memcpy(out, source->text + source->at, got);
	source->at += got;
	return got;
}

/* How the values are read: whole; by elements where the key begins with 'a'; not at all; one element of each 'a'. */
enum way { WHOLE, ELEMENTS, NOTHING, ONE_ELEMENT, WAYS };

/* What was read, as it came and as one document again; and whether all of it was JSON. */
struct reading {
	struct arena *arena;
	struct buffer log, document;
	bool accepted;
};

static bool
is_json(struct arena *arena, struct slice text)
{
	const char *error;
	char *exact = malloc(text.len > 0 ? text.len : 1);
	memcpy(exact, text.data, text.len);
	bool parsed = json_parse(arena, exact, text.len, &error) != NULL;
	bool valid = json_valid(exact, text.len);
	free(exact);
	if (parsed != valid)
		bail_out("json_valid() and json_parse() differ");
	return parsed;
}

static bool
take_piece(struct reading *reading, const struct json_stream *stream, struct slice text)
{
	buffer_printf(&reading->log, "%zu ", json_stream_offset(stream));
	buffer_append(&reading->log, text.data, text.len);
	buffer_putc(&reading->log, '\n');
	buffer_append(&reading->document, text.data, text.len);
	return is_json(reading->arena, text);
}

static bool
read_elements(struct reading *reading, struct json_stream *stream, enum way way)
{
	struct slice text;
	bool first = true;
	buffer_putc(&reading->document, '[');
	for (int got; (got = json_stream_element(stream, &text)) != 0; first = false) {
		if (!first)
			buffer_putc(&reading->document, ',');
		if (got < 0 || !take_piece(reading, stream, text))
			return false;
		if (way == ONE_ELEMENT)
			break;
	}
	buffer_putc(&reading->document, ']');
	return true;
}

static bool
read_value(struct reading *reading, struct json_stream *stream, struct slice key, enum way way)
{
	struct slice text;
	if (way == NOTHING)
		return true;
	if (way != WHOLE && key.len > 0 && key.data[0] == 'a')
		return read_elements(reading, stream, way);
	return json_stream_value(stream, &text) == 1 && take_piece(reading, stream, text);
}

static bool
read_members(struct reading *reading, struct json_stream *stream, enum way way)
{
	struct slice key;
	int got;
	buffer_putc(&reading->document, '{');
	for (bool first = true; (got = json_stream_member(stream, &key)) == 1; first = false) {
		buffer_printf(&reading->log, "%zu=%.*s\n", json_stream_offset(stream), (int)key.len, key.data);
		if (!first)
			buffer_putc(&reading->document, ',');
		json_write_string(&reading->document, key.data, key.len);
		buffer_putc(&reading->document, ':');
		if (!read_value(reading, stream, key, way))
			return false;
	}
	buffer_putc(&reading->document, '}');
	return got == 0;
}

static struct reading
read_text(struct arena *arena, struct slice text, size_t chunk, enum way way)
{
	char *exact = malloc(text.len > 0 ? text.len : 1);
	memcpy(exact, text.data, text.len);
	struct source source = { .text = exact, .len = text.len, .chunk = chunk };
	struct reading reading = { .arena = arena };
	struct json_stream stream;
	json_stream_init(&stream, read_source, &source, VALUE_MAX);
	reading.accepted = read_members(&reading, &stream, way);
	buffer_puts(&reading.log, json_stream_error(&stream));
	if (source.asked_again)
		bail_out("the source was read after its end");
	json_stream_free(&stream);
	free(exact);
	return reading;
}

static void
free_reading(struct reading *reading)
{
	buffer_free(&reading->log);
	buffer_free(&reading->document);
}

static bool
is_accepted(struct arena *arena, struct slice text, size_t chunk, enum way way)
{
	struct reading reading = read_text(arena, text, chunk, way);
	free_reading(&reading);
	return reading.accepted;
}

static const struct slice accepted[] = {
	T("{}"),
	T(" \t\r\n{ \t\r\n} \t\r\n"),
	T("{\"v\":1}"),
	T("{\"v\":1,\"w\":\"x\",\"x\":null,\"y\":true,\"z\":-0.5e+3}"),
	T("\n{\n\t\"v\" : 1 ,\r\n\t\"a\" : [ 1 , 2 , 3 ] ,\n\t\"w\" : { \"x\" : [ ] }\n}\n"),
	T("{\"a\":[]}"),
	T("{\"a\":[ ]}"),
	T("{\"a\":[1,2,3]}"),
	T("{\"a\":[null,true,false,0,-1.5,\"\",[],{}]}"),
	T("{\"a\":[[[1],[2]],[[]],{\"b\":[{}]}]}"),
	T("{\"a\":[\"]\",\"[\",\"{\",\"}\",\",\",\":\",\"\\\"\",\"\\\\\",\"\\\\\\\"]\",\"\\u005d\"]}"),
	T("{\"v\":\"[{\\\"\",\"w\":{\"]}\":\"}]\"},\"a\":[{\"}\":\"{\"}]}"),
	T("{\"\":0,\"a\":[],\"\":1}"),
	T("{\"\\u0061\":[1],\"\\u00e9\":2,\"\xc3\xa9\":3,\"\\ud83d\\ude00\":4,\"b\\\\\":5,\"\\\"\":6}"),
	T("{\"a,b\":[\"c\"],\"v:w\":{},\"{\":1,\"}\":2,\"[\":3,\"]\":4}"),
	T("{\"a\":[\"\xf0\x9f\x98\x80\",\"\\ud83d\\ude00\",\"\\u0000\"]}"),
	T("{\"a\":[{\"id\":1,\"text\":\"one\"},{\"id\":2,\"text\":\"two\"}],\"a\":[{}],\"v\":[0]}"),
	T("{\"v\":123456789012345678901234567890}"),
};

static const struct slice refused[] = {
	/* no object, or more than one text */
	T(""), T(" "), T("null"), T("1"), T("\"a\""), T("[]"), T("[{}]"), T("[\"a\"]"), T("\xef\xbb\xbf{}"),
	T("{}{}"), T("{} x"), T("{},"), T("{}}"), T("{}]"), T("{}\0"), T("\0{}"), T("{}\xef\xbb\xbf"), T("{}//"),
	T("{\"v\":1}\""), T("{\"a\":[]}]"), T("\v{}"), T("\xc2\xa0{}"), T("{}\x0c"),
	/* commas, colons, brackets */
	T("{"), T("}"), T("{,}"), T("{:}"), T("{]"), T("{\"v\"}"), T("{\"v\":}"), T("{\"v\",1}"), T("{\"v\" 1}"),
	T("{\"v\"::1}"), T("{\"v\":1,}"), T("{,\"v\":1}"), T("{\"v\":1,,\"w\":2}"), T("{\"v\":1 \"w\":2}"),
	T("{\"v\":1;\"w\":2}"), T("{\"v\":1]"), T("{\"v\":[}"), T("{\"v\":{]"), T("{\"v\":[}}"), T("{\"v\":{]}"),
	T("{\"v\":[1}}"), T("{\"v\":[{]}}"), T("{\"v\":,}"), T("{\"v\":]}"), T("{\"v\":1:2}"), T("{\"v\":1,2}"),
	T("{\"v\":\"x\"\"y\"}"), T("{\"v\":\"x\" \"y\"}"), T("{\"v\":[]{}}"), T("{\"v\":{}1}"), T("{\"v\":1{}}"),
	T("{\"v\":1\"x\"}"), T("{\"v\":1\"x,\"}"), T("{\"v\":\v1}"), T("{\"v\":1\v}"), T("{\"v\"\xc2\xa0:1}"),
	/* keys */
	T("{v:1}"), T("{'v':1}"), T("{1:2}"), T("{null:1}"), T("{[]:1}"), T("{{}:1}"), T("{\"v:1}"), T("{\"v\\\":1}"),
	T("{\"\\x\":1}"), T("{\"\\u12\":1}"), T("{\"\\ud800\":1}"), T("{\"\xff\":1}"), T("{\"\xc3\":1}"),
	T("{\"a\tb\":1}"), T("{\"a\0b\":1}"), T("{\"\\u0000\":1}"), T("{\"a\\u0000b\":[]}"), T("{\"v\\\\u0000\\\":1}"),
	/* arrays */
	T("{\"a\":[}"), T("{\"a\":[,]}"), T("{\"a\":[1,]}"), T("{\"a\":[,1]}"), T("{\"a\":[1,,2]}"), T("{\"a\":[1 2]}"),
	T("{\"a\":[1;2]}"), T("{\"a\":[1:2]}"), T("{\"a\":[1}]}"), T("{\"a\":[1]]}"), T("{\"a\":[1}}"), T("{\"a\":[1]"),
	T("{\"a\":[[}]}"), T("{\"a\":[{]]}"), T("{\"a\":[[1}]}"), T("{\"a\":[\"x\"\"y\"]}"), T("{\"a\":[1\"x\"]}"),
	T("{\"a\":[{}{}]}"), T("{\"a\":[1,2,3,]}"), T("{\"a\":[...]}"), T("{\"a\":[1\0]}"), T("{\"a\":[/**/]}"),
	T("{\"a\":[{\"x\":1,}]}"),
	/* values that only json_parse() looks into */
	T("{\"v\":tru}"), T("{\"v\":NaN}"), T("{\"v\":01}"), T("{\"v\":1.}"), T("{\"v\":+1}"), T("{\"v\":-}"),
	T("{\"v\":\"\\x\"}"), T("{\"v\":\"\t\"}"), T("{\"v\":\"\xff\"}"), T("{\"v\":\"\\ud800\"}"), T("{\"v\":x}"),
	T("{\"a\":[tru]}"), T("{\"a\":[NaN]}"), T("{\"a\":[01]}"), T("{\"a\":[\"\\x\"]}"), T("{\"a\":[\"\xc3\"]}"),
	T("{\"a\":[{\"x\"}]}"), T("{\"a\":[{\"x\\u0000\":1}]}"), T("{\"v\":\xef\xbb\xbf" "1}"),
};

static void
test_grammar(struct arena *arena)
{
	static const size_t chunks[] = { 1, SIZE_MAX };
	for (size_t i = 0; i < COUNT_OF(accepted); i++) {
		bool all = is_json(arena, accepted[i]);
		for (size_t j = 0; j < COUNT_OF(chunks) * WAYS; j++)
			all = all && is_accepted(arena, accepted[i], chunks[j % 2], (enum way)(j / 2));
		ok(all, "accepted: %s", accepted[i].data);
	}
	for (size_t i = 0; i < COUNT_OF(refused); i++) {
		bool any = false;
		for (size_t j = 0; j < COUNT_OF(chunks) * WAYS; j++)
			any = any || is_accepted(arena, refused[i], chunks[j % 2], (enum way)(j / 2));
		ok(!any, "refused: %s", refused[i].data);
	}
}

static void
test_pieces(struct arena *arena)
{
	struct slice text = T("{ \"v\" : {\"x\": [1, \"}\"]} , \"\\u0061\\u0062\" :[ 1 ,\"]\\\"\", [2,3] ],"
			      "\"w\":-1e3 }");
	struct reading reading = read_text(arena, text, SIZE_MAX, ELEMENTS);
	ok(reading.accepted, "a document of a value, an array and a number");
	static const char want[] =
	    "2=v\n8 {\"x\": [1, \"}\"]}\n26=ab\n44 1\n47 \"]\\\"\"\n54 [2,3]\n62=w\n66 -1e3\n";
	is_bytes(reading.log.data, reading.log.len, want, sizeof(want) - 1, "its pieces and where they begin");
	free_reading(&reading);
}

static bool
same_log(const struct reading *a, const struct reading *b)
{
	return a->accepted == b->accepted && a->log.len == b->log.len &&
	    (a->log.len == 0 || memcmp(a->log.data, b->log.data, a->log.len) == 0);
}

/* The pieces, their offsets and the error. */
static bool
is_same_in_chunks(struct arena *arena, struct slice text)
{
	static const size_t chunks[] = { 1, 2, 7, 4096 };
	bool same = true;
	for (enum way way = WHOLE; way < WAYS; way++) {
		struct reading whole = read_text(arena, text, SIZE_MAX, way);
		for (size_t i = 0; i < COUNT_OF(chunks); i++) {
			struct reading reading = read_text(arena, text, chunks[i], way);
			same = same && same_log(&whole, &reading);
			free_reading(&reading);
		}
		free_reading(&whole);
	}
	return same;
}

static void
test_chunks(struct arena *arena)
{
	bool same = true;
	for (size_t i = 0; i < COUNT_OF(accepted); i++)
		same = same && is_same_in_chunks(arena, accepted[i]);
	ok(same, "what is accepted reads the same in chunks of any size");
	same = true;
	for (size_t i = 0; i < COUNT_OF(refused); i++)
		same = same && is_same_in_chunks(arena, refused[i]);
	ok(same, "what is refused is refused for the same fault in chunks of any size");
}

/* Larger than what is read at once, so that pieces lie across its ends. */
static void
test_chunks_of_a_large_text(struct arena *arena)
{
	struct buffer text = { 0 };
	buffer_puts(&text, "{\"a\":[0");
	for (int i = 0; i < 6000; i++)
		buffer_printf(&text, ", {\"n\": %d, \"s\": \"%.*s]\"}", i, 2 * (i % 9), "\\\"\\\\[{\\\\}]\\n\xc3\xa9");
	buffer_printf(&text, "],\"v\":\"%060000d\",\"w\":1}", 0);
	struct slice slice = { text.data, text.len };
	ok(is_accepted(arena, slice, SIZE_MAX, ELEMENTS), "%zu bytes", text.len);
	ok(is_same_in_chunks(arena, slice), "%zu bytes in chunks", text.len);
	buffer_free(&text);
}

static void
test_truncated(struct arena *arena)
{
	for (size_t i = 0; i < COUNT_OF(accepted); i++) {
		struct slice text = accepted[i];
		while (text.len > 0 && strchr(" \t\r\n", text.data[text.len - 1]) != NULL)
			text.len--;
		bool any = false;
		for (text.len--; text.len < accepted[i].len; text.len--)
			for (enum way way = WHOLE; way < WAYS; way++)
				any = any || is_accepted(arena, text, 1, way) ||
				    is_accepted(arena, text, SIZE_MAX, way);
		ok(!any, "refused when cut anywhere: %s", accepted[i].data);
	}
}

static void
test_errors(struct arena *arena)
{
	static const struct {
		const char *text, *error;
	} cases[] = {
		{ "", "Not JSON at offset 0: the text ends too early." },
		{ "{", "Not JSON at offset 1: the text ends too early." },
		{ "{\"v\":1", "Not JSON at offset 6: the text ends too early." },
		{ "{\"a\":[1,\"x", "Not JSON at offset 10: the text ends too early." },
		{ "{\"a\":[{\"x\":1}", "Not JSON at offset 13: the text ends too early." },
		{ "\xef\xbb\xbf{}", "Not JSON at offset 0: an object was expected." },
		{ " []", "Not JSON at offset 1: an object was expected." },
		{ "{} {}", "Not JSON at offset 3: something follows the object." },
		{ "{\"v\":1,}", "Not JSON at offset 7: a key was expected." },
		{ "{v:1}", "Not JSON at offset 1: a key was expected." },
		{ "{\"v\" 1}", "Not JSON at offset 5: a colon was expected." },
		{ "{\"v\": }", "Not JSON at offset 6: a value was expected." },
		{ "{\"v\":1 \"w\":2}", "Not JSON at offset 7: a comma or '}' was expected." },
		{ "{\"a\":{}}", "Not JSON at offset 5: an array was expected." },
		{ "{\"a\":[1,]}", "Not JSON at offset 8: a value was expected." },
		{ "{\"a\":[1 2]}", "Not JSON at offset 8: a comma or ']' was expected." },
		{ "{ \"\\x\":1}", "Not JSON at offset 2: a key is no valid string." },
		{ "{\"\\u0000\":1}", "Not JSON at offset 1: a key holds U+0000." },
	};
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct reading reading = read_text(arena, slice_of(cases[i].text), 1, ELEMENTS);
		buffer_putc(&reading.log, '\0');
		const char *error = strstr(reading.log.data, "Not JSON");
		ok(!reading.accepted, "refused: %s", cases[i].text);
		is_string(error, cases[i].error, "its error");
		free_reading(&reading);
	}
	struct reading reading = read_text(arena, T("{\"v\":[0,tru]}"), SIZE_MAX, NOTHING);
	buffer_putc(&reading.log, '\0');
	is_string(reading.log.data, "1=v\nNot JSON at offset 8: the value is not well formed.", "in what is not read");
	free_reading(&reading);
}

/* ---- what the caller may do in which order ---- */

static void
begin(struct json_stream *stream, struct source *source, const char *text)
{
	*source = (struct source){ .text = text, .len = strlen(text), .chunk = 3 };
	json_stream_init(stream, read_source, source, VALUE_MAX);
}

static void
test_misuse(void)
{
	struct json_stream stream;
	struct source source;
	struct slice key, text;

	begin(&stream, &source, "{\"a\":[1,2],\"b\":3}");
	is_int(json_stream_value(&stream, &text), -1, "no value before the first member");
	is_int(json_stream_member(&stream, &key), -1, "nor anything after an error");
	is_string(json_stream_error(&stream), "Not JSON at offset 0: no value is at hand.", "the error says so");
	json_stream_free(&stream);

	begin(&stream, &source, "{\"a\" 1}");
	ok(json_stream_member(&stream, &key) == -1 && json_stream_value(&stream, &text) == -1 &&
	        json_stream_element(&stream, &text) == -1,
	    "nothing is read after an error");
	is_string(json_stream_error(&stream), "Not JSON at offset 5: a colon was expected.", "whose sentence stays");
	json_stream_free(&stream);

	begin(&stream, &source, "{\"a\":[1,2],\"b\":3}");
	ok(json_stream_member(&stream, &key) == 1 && json_stream_value(&stream, &text) == 1, "a value is read");
	is_int(json_stream_element(&stream, &text), -1, "and then not by elements");
	json_stream_free(&stream);

	begin(&stream, &source, "{\"a\":[1,2],\"b\":3}");
	ok(json_stream_member(&stream, &key) == 1 && json_stream_element(&stream, &text) == 1, "an element is read");
	is_int(json_stream_value(&stream, &text), -1, "and then not the whole");
	json_stream_free(&stream);

	begin(&stream, &source, "{\"a\":[],\"b\":3}");
	ok(json_stream_member(&stream, &key) == 1 && json_stream_element(&stream, &text) == 0, "no elements");
	is_int(json_stream_element(&stream, &text), -1, "none after the last");
	json_stream_free(&stream);
}

static void
test_after_the_end(void)
{
	struct json_stream stream;
	struct source source;
	struct slice key, text;
	begin(&stream, &source, "{\"key\":[1]}");
	ok(json_stream_member(&stream, &key) == 1 && json_stream_element(&stream, &text) == 1 &&
	        json_stream_element(&stream, &text) == 0,
	    "one member of one element");
	is_slice(key, "key", "its key is still there");
	is_int((long long)json_stream_offset(&stream), 8, "and the offset of the element");
	is_int(json_stream_member(&stream, &key), 0, "the end");
	is_int(json_stream_member(&stream, &key), 0, "the end again");
	is_string(json_stream_error(&stream), "", "no error");
	is_int(json_stream_value(&stream, &text), -1, "no value after the end");
	is_int(json_stream_member(&stream, &key), -1, "an error lasts");
	json_stream_free(&stream);
}

/* ---- bounds ---- */

static void
is_bounded(const char *text, size_t value_max, enum way way, const char *error)
{
	for (size_t chunk = 1; chunk < 100; chunk += 98) {
		struct source source = { .text = text, .len = strlen(text), .chunk = chunk };
		struct reading reading = { .arena = arena_new() };
		struct json_stream stream;
		json_stream_init(&stream, read_source, &source, value_max);
		reading.accepted = read_members(&reading, &stream, way);
		is_int(reading.accepted, error == NULL, "at most %zu bytes: %s", value_max, text);
		is_string(json_stream_error(&stream), error == NULL ? "" : error, "its error");
		free_reading(&reading);
		arena_free(reading.arena);
		json_stream_free(&stream);
	}
}

static void
test_value_max(void)
{
	is_bounded("{\"v\":\"12345678\"}", 10, WHOLE, NULL);
	is_bounded("{\"v\":\"12345678\"}", 9, WHOLE, "What begins at offset 5 is longer than 9 bytes.");
	is_bounded("{\"v\":\"1234567", 4, WHOLE, "What begins at offset 5 is longer than 4 bytes.");
	is_bounded("{\"v\":[1,2,3,4]}", 9, WHOLE, NULL);
	is_bounded("{\"v\":[1,2,3,4]}", 8, WHOLE, "What begins at offset 5 is longer than 8 bytes.");
	is_bounded("{\"v\":1234567890}", 10, WHOLE, NULL);
	is_bounded("{\"v\":1234567890 }", 9, WHOLE, "What begins at offset 5 is longer than 9 bytes.");
	is_bounded("{\"a\":[12,[3],{},\"\"]}", 3, ELEMENTS, NULL);
	is_bounded("{\"a\":[12,[345]]}", 4, ELEMENTS, "What begins at offset 9 is longer than 4 bytes.");
	is_bounded("{\"v\":[1,2,3,4,5,6,7,8]}", 1, NOTHING, NULL);
	is_bounded("{\"v\":[1,22,3]}", 1, NOTHING, "What begins at offset 8 is longer than 1 bytes.");
	is_bounded("{\"v\":{\"x\":1}}", 6, NOTHING, "What begins at offset 5 is longer than 6 bytes.");
}

static void
test_key_max(struct arena *arena)
{
	for (int len = JSON_STREAM_KEY_MAX - 2; len <= JSON_STREAM_KEY_MAX - 1; len++) {
		struct buffer text = { 0 };
		buffer_printf(&text, "{\"%0*d\":1}", len, 0);
		struct slice slice = { text.data, text.len };
		is_int(is_accepted(arena, slice, SIZE_MAX, WHOLE), len < JSON_STREAM_KEY_MAX - 1,
		    "a key of %d bytes and its quotes", len);
		buffer_free(&text);
	}
}

/* A million brackets are a piece like any other; json_parse() refuses them. */
static void
test_depth(struct arena *arena)
{
	enum { DEPTH = 1000000 };
	struct buffer text = { 0 };
	buffer_puts(&text, "{\"v\":");
	memset(buffer_reserve(&text, DEPTH), '[', DEPTH);
	text.len += DEPTH;
	memset(buffer_reserve(&text, DEPTH), ']', DEPTH);
	text.len += DEPTH;
	buffer_puts(&text, "}");

	struct source source = { .text = text.data, .len = text.len, .chunk = 5000 };
	struct json_stream stream;
	struct slice key, piece;
	json_stream_init(&stream, read_source, &source, 2 * DEPTH);
	is_int(json_stream_member(&stream, &key), 1, "a member a million levels deep");
	is_int(json_stream_value(&stream, &piece), 1, "its value");
	is_int((long long)piece.len, 2 * DEPTH, "is cut out whole");
	ok(!is_json(arena, piece), "and refused by json_parse()");
	is_int(json_stream_member(&stream, &key), 0, "the end");
	json_stream_free(&stream);
	buffer_free(&text);
}

/* ---- memory ---- */

/* `head`, then `body` again and again, then `tail`. */
struct generator {
	struct slice head, body, tail;
	size_t bodies, done, at;
};

static size_t
generate(void *object, char *out, size_t size)
{
	struct generator *generator = object;
	size_t len = 0;
	while (len < size) {
		bool head = generator->done == 0, tail = generator->done == generator->bodies + 1;
		if (generator->done > generator->bodies + 1)
			break;
		struct slice part = head ? generator->head : tail ? generator->tail : generator->body;
		size_t got = part.len - generator->at < size - len ? part.len - generator->at : size - len;
		memcpy(out + len, part.data + generator->at, got);
		len += got;
		generator->at += got;
		if (generator->at == part.len) {
			generator->at = 0;
			generator->done++;
		}
	}
	return len;
}

static size_t
memory_of(const struct json_stream *stream)
{
	return stream->text.capacity + stream->key.capacity;
}

static void
test_memory_of_elements(void)
{
	struct generator generator = { .head = T("{\"applications\":[{}"),
		.body = T(",\n{\"company_name\":\"Acme [\\\"}\",\"role\":{\"title\":\"Engineer\",\"tags\":[\"a\"]}}"),
		.tail = T("]}") };
	generator.bodies = ((size_t)50 << 20) / generator.body.len;
	struct json_stream stream;
	struct slice key, text;
	size_t count = 0, most = 0, wrong = 0;
	json_stream_init(&stream, generate, &generator, 4 << 20);
	is_int(json_stream_member(&stream, &key), 1, "50 MiB of elements");
	int got;
	while ((got = json_stream_element(&stream, &text)) == 1) {
		wrong += count > 0 && text.len != generator.body.len - 2;
		count++;
		most = memory_of(&stream) > most ? memory_of(&stream) : most;
	}
	is_int(got, 0, "come to their end");
	is_int((long long)count, (long long)generator.bodies + 1, "each once");
	is_int((long long)wrong, 0, "and whole");
	is_int(json_stream_member(&stream, &key), 0, "and so does the text");
	ok(most <= 2 * READ_SIZE + JSON_STREAM_KEY_MAX, "in %zu bytes of memory, for the elements are small", most);
	json_stream_free(&stream);
	is_int((long long)memory_of(&stream), 0, "which is given back");
}

/* Reads the keys alone of 50 MiB with values of at most 1 MiB; the most memory that it took. */
static size_t
pass_over(struct generator *generator, const char *name, const char *error)
{
	struct json_stream stream;
	struct slice key;
	size_t most = 0;
	int got;
	generator->bodies = ((size_t)50 << 20) / generator->body.len;
	json_stream_init(&stream, generate, generator, 1 << 20);
	while ((got = json_stream_member(&stream, &key)) == 1)
		most = memory_of(&stream) > most ? memory_of(&stream) : most;
	is_int(got, *error == '\0' ? 0 : -1, "50 MiB of %s", name);
	is_string(json_stream_error(&stream), error, "the error");
	most = memory_of(&stream) > most ? memory_of(&stream) : most; /* no memory is given back before the end */
	json_stream_free(&stream);
	return most;
}

static void
test_memory_of_what_is_not_read(void)
{
	static const struct {
		const char *name;
		struct slice head, body, tail;
		bool large; /* up to a whole piece is kept */
		const char *error;
	} cases[] = {
		{ "white space", T("{"), T("      \n"), T("}"), false, "" },
		{ "members", T("{\"v\":0"), T(",\"key\":[1]"), T("}"), false, "" },
		{ "an array", T("{\"v\":[0"), T(",0"), T("]}"), false, "" },
		{ "a string", T("{\"v\":\""), T("text "), T("\"}"), true,
		    "What begins at offset 5 is longer than 1048576 bytes." },
		{ "an element", T("{\"v\":[["), T("[],"), T("]]}"), true,
		    "What begins at offset 6 is longer than 1048576 bytes." },
		{ "a key", T("{\""), T("key"), T("\":1}"), false,
		    "What begins at offset 1 is longer than 1024 bytes." },
	};
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct generator generator = { .head = cases[i].head, .body = cases[i].body, .tail = cases[i].tail };
		size_t most = pass_over(&generator, cases[i].name, cases[i].error);
		size_t bound = 2 * READ_SIZE + JSON_STREAM_KEY_MAX + (cases[i].large ? 2 << 20 : 0);
		ok(most <= bound, "%zu of at most %zu bytes of memory", most, bound);
	}
}

/* ---- random documents ---- */

/* A generator of its own, so that each run tests the same (xorshift64). */
static unsigned
draw(uint64_t *state, unsigned below)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return (unsigned)((*state >> 32) % below);
}

static void
put_space(struct buffer *out, uint64_t *state)
{
	while (draw(state, 4) == 0)
		buffer_putc(out, " \t\r\n"[draw(state, 4)]);
}

static void
put_string(struct buffer *out, uint64_t *state, const char *first)
{
	static const char *const parts[] = { "a", "x", "[", "]", "{", "}", ",", ":", " ", "\\\"", "\\\\", "\\/", "\\n",
		"\\u0041", "\\u005D", "\\ud83d\\ude00", "\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x98\x80", "0", "true" };
	buffer_printf(out, "\"%s", first);
	for (unsigned count = draw(state, 6); count > 0; count--)
		buffer_puts(out, parts[draw(state, COUNT_OF(parts))]);
	buffer_putc(out, '"');
}

static void
put_scalar(struct buffer *out, uint64_t *state)
{
	static const char *const scalars[] = { "null", "true", "false", "0", "-0", "1", "-12", "1.5", "1e3", "-2.5E-1",
		"99999999999999999999", "[]", "{}", "\"\"" };
	if (draw(state, 3) == 0)
		put_string(out, state, "");
	else
		buffer_puts(out, scalars[draw(state, COUNT_OF(scalars))]);
}

static void
put_array(struct buffer *out, uint64_t *state, unsigned depth);

static void
put_value(struct buffer *out, uint64_t *state, unsigned depth);

/* At the top, members whose key begins with 'a' are arrays. */
static void
put_object(struct buffer *out, uint64_t *state, unsigned depth, bool top)
{
	buffer_putc(out, '{');
	put_space(out, state);
	for (unsigned count = draw(state, 5), i = 0; i < count; i++) {
		bool array = top && draw(state, 2) == 0;
		if (i > 0)
			buffer_putc(out, ',');
		put_space(out, state);
		put_string(out, state, array ? draw(state, 4) == 0 ? "\\u0061" : "a" : "k");
		put_space(out, state);
		buffer_putc(out, ':');
		put_space(out, state);
		(array ? put_array : put_value)(out, state, depth);
		put_space(out, state);
	}
	buffer_putc(out, '}');
}

static void
put_array(struct buffer *out, uint64_t *state, unsigned depth)
{
	buffer_putc(out, '[');
	put_space(out, state);
	for (unsigned count = draw(state, 5), i = 0; i < count; i++) {
		if (i > 0)
			buffer_putc(out, ',');
		put_space(out, state);
		put_value(out, state, depth);
		put_space(out, state);
	}
	buffer_putc(out, ']');
}

static void
put_value(struct buffer *out, uint64_t *state, unsigned depth)
{
	unsigned kind = depth == 0 ? 0 : draw(state, 4);
	if (kind == 2)
		put_array(out, state, depth - 1);
	else if (kind == 3)
		put_object(out, state, depth - 1, false);
	else
		put_scalar(out, state);
}

/* Says a value in one way, whatever it was written like. */
static void
put_canonical(struct buffer *out, struct json *value)
{
	double number = 0;
	struct json_cursor cursor = { 0 };
	switch (json_type(value)) {
	case JSON_STRING:
		json_write_string(out, json_string(value).data, json_string(value).len);
		break;
	case JSON_NUMBER:
		buffer_printf(out, "%d %.17g", json_double(value, &number), number);
		break;
	case JSON_ARRAY:
		for (size_t i = 0; i < json_length(value); i++) {
			buffer_putc(out, i == 0 ? '[' : ',');
			put_canonical(out, json_at(value, i));
		}
		buffer_puts(out, "]");
		break;
	case JSON_OBJECT:
		buffer_puts(out, "{");
		while (json_next(value, &cursor)) {
			json_write_string(out, cursor.key.data, cursor.key.len);
			buffer_putc(out, ':');
			put_canonical(out, cursor.value);
			buffer_putc(out, ',');
		}
		buffer_puts(out, "}");
		break;
	case JSON_BOOL:
	case JSON_NULL:
	default:
		buffer_printf(out, "%d %d", (int)json_type(value), json_bool(value));
	}
}

static bool
means_the_same(struct arena *arena, struct slice a, struct slice b)
{
	struct buffer said[2] = { { 0 }, { 0 } };
	struct slice texts[2] = { a, b };
	const char *error;
	for (size_t i = 0; i < 2; i++) {
		struct json *value = json_parse(arena, texts[i].data, texts[i].len, &error);
		if (value == NULL)
			bail_out("what was read is no document: %s", error);
		put_canonical(&said[i], value);
	}
	bool same = said[0].len == said[1].len && memcmp(said[0].data, said[1].data, said[0].len) == 0;
	buffer_free(&said[0]);
	buffer_free(&said[1]);
	return same;
}

static bool
is_object(struct arena *arena, struct slice text)
{
	const char *error;
	struct json *value = json_parse(arena, text.data, text.len, &error);
	return value != NULL && json_type(value) == JSON_OBJECT;
}

struct tally {
	size_t whole_accepted, whole_refused;
	size_t wrongly_accepted, wrongly_refused, different;
};

/* The document read in every way against the document parsed as a whole. */
static void
compare(struct arena *arena, struct slice text, uint64_t *state, struct tally *tally)
{
	bool whole = is_object(arena, text);
	tally->whole_accepted += whole;
	tally->whole_refused += !whole;
	for (enum way way = WHOLE; way < WAYS; way++) {
		size_t chunk = draw(state, 3) == 0 ? SIZE_MAX : 1 + draw(state, 9);
		struct reading reading = read_text(arena, text, chunk, way);
		struct slice document = { reading.document.data, reading.document.len };
		tally->wrongly_accepted += reading.accepted && !whole;
		/* by elements only what is an array can be read, and a mutation may make a key begin with 'a' */
		tally->wrongly_refused += !reading.accepted && whole && (way == WHOLE || way == NOTHING);
		if (reading.accepted && whole && (way == WHOLE || way == ELEMENTS))
			tally->different += !means_the_same(arena, document, text);
		free_reading(&reading);
	}
	arena_reset(arena);
}

/* Replaces, inserts, removes or doubles one byte. */
static void
mutate(struct buffer *text, uint64_t *state)
{
	static const char bytes[] = "{}[]\",:\\ \t\n0123-+.eEatrufnlse/'\v\x01\x7f\x80\xc3\xa9\xff";
	size_t at = draw(state, (unsigned)text->len);
	char byte = bytes[draw(state, sizeof(bytes))]; /* the NUL too */
	unsigned kind = draw(state, 4);
	if (kind == 0) {
		memmove(text->data + at, text->data + at + 1, text->len - at - 1);
		text->len--;
		return;
	}
	if (kind == 1) {
		text->data[at] = byte;
		return;
	}
	buffer_putc(text, '\0');
	memmove(text->data + at + 1, text->data + at, text->len - at - 1);
	if (kind == 2)
		text->data[at] = byte;
}

static void
test_random(struct arena *arena)
{
	enum { DOCUMENTS = 1000, MUTATIONS = 12 };
	uint64_t state = UINT64_C(0x9E3779B97F4A7C15);
	struct tally valid = { 0 }, mutated = { 0 };
	struct buffer text = { 0 }, copy = { 0 };
	for (int i = 0; i < DOCUMENTS; i++) {
		text.len = 0;
		put_space(&text, &state);
		put_object(&text, &state, 3, true);
		put_space(&text, &state);
		compare(arena, (struct slice){ text.data, text.len }, &state, &valid);
		for (int j = 0; j < MUTATIONS; j++) {
			copy.len = 0;
			buffer_append(&copy, text.data, text.len);
			mutate(&copy, &state);
			compare(arena, (struct slice){ copy.data, copy.len }, &state, &mutated);
		}
	}
	buffer_free(&text);
	buffer_free(&copy);
	is_int((long long)valid.whole_accepted, DOCUMENTS, "random documents");
	is_int((long long)valid.wrongly_refused, 0, "each is accepted");
	is_int((long long)valid.different, 0, "its pieces say what the whole says");
	ok(mutated.whole_accepted > DOCUMENTS && mutated.whole_refused > DOCUMENTS,
	    "with one byte changed %zu are documents and %zu are not", mutated.whole_accepted, mutated.whole_refused);
	is_int((long long)mutated.wrongly_accepted, 0, "nothing passes that json_parse() refuses");
	is_int((long long)mutated.wrongly_refused, 0, "nothing is refused that json_parse() takes");
	is_int((long long)mutated.different, 0, "what passes says the same");
}

int
main(void)
{
	struct arena *arena = arena_new();
	test_grammar(arena);
	test_pieces(arena);
	test_chunks(arena);
	test_chunks_of_a_large_text(arena);
	test_truncated(arena);
	test_errors(arena);
	test_misuse();
	test_after_the_end();
	test_value_max();
	test_key_max(arena);
	test_depth(arena);
	test_memory_of_elements();
	test_memory_of_what_is_not_read();
	test_random(arena);
	arena_free(arena);
	return done();
}
