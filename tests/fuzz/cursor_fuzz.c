/*
 * Cursors: cursor.c, and base64url and UUIDs below it. The first byte of the input says at which character of the
 * cursor something is changed, the rest is the key that the cursor holds, and a cursor by itself.
 *
 * Holds for every input: a cursor that is made is taken back as what it was made of, by its user, list and secret
 * alone; with one character changed, added or left out, it is refused; any text that is taken is what would be
 * written again.
 */
#include "fuzz.h"

#include <strings.h>

#include "cursor.h"
#include "encode.h"

static const char scope[] = "applications:-created_at";

static bool
takes(const char *list, const char *user, const uint8_t *secret, struct slice text, struct cursor *out)
{
	return cursor_decode(fuzz_arena(), secret, list, user, fuzz_exact(text), out) == 0;
}

static void
check_changed(const char *text, size_t at)
{
	static const char letters[] = "Aa0-_=+/.";
	struct cursor out;
	size_t len = strlen(text);
	char *changed = arena_copy(fuzz_arena(), text, len);

	for (size_t i = 0; i < COUNT_OF(letters); i++) {
		changed[at % len] = letters[i];
		if (strcmp(changed, text) != 0)
			HOLDS(!takes(scope, FUZZ_USER, fuzz_key, (struct slice){ changed, len }, &out));
	}
	HOLDS(!takes(scope, FUZZ_USER, fuzz_key, (struct slice){ text, at % len }, &out));
	changed = arena_printf(fuzz_arena(), "%sA", text);
	HOLDS(!takes(scope, FUZZ_USER, fuzz_key, (struct slice){ changed, len + 1 }, &out));
}

static void
check_made(struct slice key, size_t at)
{
	static const char other_user[] = "0f8fad5b-d9cb-469f-a165-708677289500";
	uint8_t other_secret[32] = { 1 };
	struct cursor cursor = { .key = key }, out;

	strcpy(cursor.id, FUZZ_USER);
	const char *text = cursor_encode(fuzz_arena(), fuzz_key, scope, FUZZ_USER, &cursor);
	HOLDS((text == NULL) == (BASE64URL_TEXT(33 + key.len) > CURSOR_MAX));
	if (text == NULL)
		return;
	HOLDS(takes(scope, FUZZ_USER, fuzz_key, slice_of(text), &out));
	HOLDS(fuzz_same(out.key, key) && strcmp(out.id, cursor.id) == 0 && out.key.data[out.key.len] == '\0');
	HOLDS(!takes("applications:created_at", FUZZ_USER, fuzz_key, slice_of(text), &out));
	HOLDS(!takes(scope, other_user, fuzz_key, slice_of(text), &out));
	HOLDS(!takes(scope, FUZZ_USER, other_secret, slice_of(text), &out));
	check_changed(text, at);
}

static void
check_text(struct slice text)
{
	struct cursor out;
	char id[UUID_TEXT + 1];
	uint8_t bytes[16];

	if (takes(scope, FUZZ_USER, fuzz_key, text, &out))
		HOLDS(fuzz_same(slice_of(cursor_encode(fuzz_arena(), fuzz_key, scope, FUZZ_USER, &out)), text));
	if (uuid_valid(text.data, text.len)) {
		uuid_bytes(bytes, text.data);
		uuid_text(id, bytes);
		HOLDS(uuid_valid(id, UUID_TEXT) && strncasecmp(id, text.data, UUID_TEXT) == 0);
	}
	char *decoded = arena_alloc(fuzz_arena(), BASE64URL_BYTES(text.len));
	long len = base64url_decode(decoded, text.data, text.len);
	char *again = arena_alloc(fuzz_arena(), BASE64URL_TEXT(text.len) + 1);
	if (len >= 0)
		HOLDS(fuzz_same((struct slice){ again, base64url_encode(again, decoded, (size_t)len) }, text));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice input = { (const char *)data, size };
	size_t at = fuzz_byte(&input);

	struct slice exact = fuzz_exact(input);
	check_made(exact, at);
	check_text(exact);
	arena_reset(fuzz_arena());
	return 0;
}
