#include "arena.h"
#include "crypto.h"
#include "cursor.h"

/* Before it is base64url: the version, the id, the key, and a MAC over those and all that they are bound to. */
enum { FORMAT = 1, FORMAT_BYTES = 1, ID_BYTES = 16, MAC_BYTES = 16, FIXED_BYTES = FORMAT_BYTES + ID_BYTES + MAC_BYTES };

/* The MAC of `body` and what it is bound to; the NUL after scope and user keeps one from running into the next. */
static void
sign(struct arena *arena, const uint8_t secret[32], const char *scope, const char *user_id, const uint8_t *body,
    size_t body_len, uint8_t mac[SHA256_BYTES])
{
	size_t scope_len = strlen(scope) + 1, user_len = strlen(user_id) + 1;
	char *message = arena_alloc(arena, scope_len + user_len + body_len);
	memcpy(message, scope, scope_len);
	memcpy(message + scope_len, user_id, user_len);
	memcpy(message + scope_len + user_len, body, body_len);
	struct slice key = { (const char *)secret, 32 };
	crypto_hmac_sha256(mac, key, message, scope_len + user_len + body_len);
}

char *
cursor_encode(
    struct arena *arena, const uint8_t secret[32], const char *scope, const char *user_id, const struct cursor *cursor)
{
	size_t len = FIXED_BYTES + cursor->key.len, body_len = len - MAC_BYTES;
	if (BASE64URL_TEXT(len) > CURSOR_MAX || !uuid_valid(cursor->id, strlen(cursor->id)))
		return NULL;

	uint8_t *bytes = arena_alloc(arena, len), mac[SHA256_BYTES];
	bytes[0] = FORMAT;
	uuid_bytes(bytes + FORMAT_BYTES, cursor->id);
	if (cursor->key.len > 0)
		memcpy(bytes + FORMAT_BYTES + ID_BYTES, cursor->key.data, cursor->key.len);
	sign(arena, secret, scope, user_id, bytes, body_len, mac);
	memcpy(bytes + body_len, mac, MAC_BYTES);

	char *text = arena_alloc(arena, BASE64URL_TEXT(len) + 1);
	base64url_encode(text, bytes, len);
	return text;
}

int
cursor_decode(struct arena *arena, const uint8_t secret[32], const char *scope, const char *user_id, struct slice text,
    struct cursor *out)
{
	if (text.data == NULL || text.len > CURSOR_MAX)
		return -1;
	uint8_t *bytes = arena_alloc(arena, BASE64URL_BYTES(text.len)), mac[SHA256_BYTES];
	long len = base64url_decode(bytes, text.data, text.len);
	if (len < FIXED_BYTES || bytes[0] != FORMAT)
		return -1;

	size_t body_len = (size_t)len - MAC_BYTES;
	sign(arena, secret, scope, user_id, bytes, body_len, mac);
	if (!crypto_equal(mac, bytes + body_len, MAC_BYTES))
		return -1;
	uuid_text(out->id, bytes + FORMAT_BYTES);
	size_t key_len = (size_t)len - FIXED_BYTES;
	out->key.data = arena_copy(arena, (const char *)bytes + FORMAT_BYTES + ID_BYTES, key_len);
	out->key.len = key_len;
	return 0;
}
