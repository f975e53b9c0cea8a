#include <stdio.h>
#include <stdlib.h>

#include "arena.h"
#include "crypto.h"
#include "cursor.h"
#include "tap.h"

#define ALICE "123e4567-e89b-12d3-a456-426614174000"
#define BOB "123e4567-e89b-12d3-a456-426614174001"

static const uint8_t secret[32] = { 1, 2, 3 };
static const char scope[] = "applications:-created_at";
static const struct cursor place = { .key = SLICE("2026-01-31 12:00:00.123456+00"),
	.id = "9f1c0a52-0000-4000-8000-0123456789ab" };

static void
test_round_trip(struct arena *arena)
{
	static const struct slice keys[] = { SLICE(""), SLICE("a"), SLICE("2026-01-31 12:00:00.123456+00"),
		SLICE("\0\xff\xc3\xa9\n") };
	for (size_t i = 0; i < COUNT_OF(keys); i++) {
		struct cursor in = { .key = keys[i], .id = "9F1C0A52-0000-4000-8000-0123456789ab" }, out;
		char *text = cursor_encode(arena, secret, scope, ALICE, &in);
		ok(strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_") == strlen(text),
		    "a cursor is base64url: %s", text);
		is_int(cursor_decode(arena, secret, scope, ALICE, slice_of(text), &out), 0, "it is read back");
		is_bytes(out.key.data, out.key.len, keys[i].data, keys[i].len, "its key");
		is_string(out.id, "9f1c0a52-0000-4000-8000-0123456789ab", "its id, in lower case");
	}
}

static void
test_bound(struct arena *arena)
{
	struct cursor out;
	uint8_t other_secret[32] = { 1, 2, 4 };
	struct slice text = slice_of(cursor_encode(arena, secret, scope, ALICE, &place));
	is_int(cursor_decode(arena, secret, scope, BOB, text, &out), -1, "refused for another user");
	is_int(cursor_decode(arena, secret, "applications:created_at", ALICE, text, &out), -1, "for another order");
	is_int(cursor_decode(arena, secret, "resumes:-created_at", ALICE, text, &out), -1, "for another list");
	is_int(cursor_decode(arena, secret, "", ALICE, text, &out), -1, "for none");
	is_int(cursor_decode(arena, other_secret, scope, ALICE, text, &out), -1, "with another secret");
	is_int(cursor_decode(arena, secret, "applications:-created_at" ALICE, "", text, &out), -1,
	    "scope and user do not run together");
	is_int(cursor_decode(arena, secret, scope, ALICE, text, &out), 0, "while the right ones are taken");
}

static void
test_edits(struct arena *arena)
{
	static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_=.+/ ";
	struct slice text = slice_of(cursor_encode(arena, secret, scope, ALICE, &place));
	bool changed = false, removed = false, added = false;
	struct cursor out;
	for (size_t i = 0; i <= text.len; i++) {
		char *edited = arena_alloc(arena, text.len + 2);
		for (const char *c = alphabet; *c != '\0'; c++) {
			memcpy(edited, text.data, text.len);
			if (i < text.len && text.data[i] != *c) {
				edited[i] = *c;
				changed = changed ||
				    cursor_decode(
					arena, secret, scope, ALICE, (struct slice){ edited, text.len }, &out) == 0;
			}
			memcpy(edited + i + 1, text.data + i, text.len - i);
			edited[i] = *c;
			added = added ||
			    cursor_decode(arena, secret, scope, ALICE, (struct slice){ edited, text.len + 1 }, &out) ==
				0;
		}
		if (i < text.len) {
			memcpy(edited, text.data, i);
			memcpy(edited + i, text.data + i + 1, text.len - i - 1);
			removed = removed ||
			    cursor_decode(arena, secret, scope, ALICE, (struct slice){ edited, text.len - 1 }, &out) ==
				0;
		}
	}
	ok(!changed, "every single character changed: refused");
	ok(!added, "every single character added: refused");
	ok(!removed, "every single character left out: refused");
}

/* Bytes that carry a right MAC for their content, but another version or too little. */
static void
test_forms(struct arena *arena)
{
	struct cursor out;
	is_int(cursor_decode(arena, secret, scope, ALICE, (struct slice){ 0 }, &out), -1, "absent");
	is_int(cursor_decode(arena, secret, scope, ALICE, SLICE(""), &out), -1, "empty");
	is_int(cursor_decode(arena, secret, scope, ALICE, SLICE("A"), &out), -1, "one character");
	is_int(
	    cursor_decode(arena, secret, scope, ALICE, SLICE("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"), &out),
	    -1, "zeros");
	is_int(cursor_decode(arena, secret, scope, ALICE, SLICE("\0\0\0\0"), &out), -1, "NUL bytes");

	for (size_t body = 0; body < 20; body++)
		for (uint8_t version = 0; version < 4; version++) {
			uint8_t bytes[64] = { version }, mac[SHA256_BYTES], message[256];
			size_t bound = sizeof(scope) + sizeof(ALICE);
			memcpy(message, scope, sizeof(scope));
			memcpy(message + sizeof(scope), ALICE, sizeof(ALICE));
			memcpy(message + bound, bytes, body);
			crypto_hmac_sha256(mac, (struct slice){ (const char *)secret, 32 }, message, bound + body);
			memcpy(bytes + body, mac, 16);
			char text[128];
			size_t len = base64url_encode(text, bytes, body + 16);
			int wanted = version == 1 && body >= 17 ? 0 : -1;
			is_int(cursor_decode(arena, secret, scope, ALICE, (struct slice){ text, len }, &out), wanted,
			    "version %d with %zu bytes before its MAC", version, body);
		}
}

static void
test_lengths(struct arena *arena)
{
	char key[4000];
	memset(key, 'k', sizeof(key));
	size_t longest = 0;
	bool read = true;
	struct cursor out;
	for (size_t len = 1400; len < 1600; len++) {
		struct cursor in = { .key = { key, len }, .id = BOB };
		char *text = cursor_encode(arena, secret, scope, ALICE, &in);
		if (text == NULL)
			continue;
		longest = len;
		read = read && strlen(text) <= CURSOR_MAX &&
		    cursor_decode(arena, secret, scope, ALICE, slice_of(text), &out) == 0;
	}
	ok(longest > 1500 && longest < 1510, "the longest key has %zu bytes", longest);
	ok(read, "and each up to it is read back");
	struct cursor in = { .key = { key, sizeof(key) }, .id = BOB };
	ok(cursor_encode(arena, secret, scope, ALICE, &in) == NULL, "a longer one gives no cursor");
	in = (struct cursor){ .key = SLICE("k"), .id = "no id" };
	ok(cursor_encode(arena, secret, scope, ALICE, &in) == NULL, "nor does an id that is no UUID");

	char text[100000];
	memset(text, 'A', sizeof(text));
	is_int(cursor_decode(arena, secret, scope, ALICE, (struct slice){ text, sizeof(text) }, &out), -1,
	    "100,000 characters");
}

int
main(void)
{
	static void (*const tests[])(
	    struct arena *) = { test_round_trip, test_bound, test_edits, test_forms, test_lengths };
	struct arena *arena = arena_new();
	for (size_t i = 0; i < COUNT_OF(tests); i++) {
		tests[i](arena);
		arena_reset(arena);
	}
	arena_free(arena);
	return done();
}
