#include <errno.h>
#include <fcntl.h>
#include <jwt.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "arena.h"
#include "buffer.h"
#include "crypto.h"
#include "encode.h"
#include "json.h"
#include "log.h"
#include "token.h"

enum { KEY_ID_MAX = 64, SECRET_MAX = 128, KEY_FILE_MAX = 8192 };

struct token_key {
	char id[KEY_ID_MAX + 1];
	uint8_t secret[SECRET_MAX];
	size_t secret_len;
};

struct token_keys {
	struct token_key keys[TOKEN_MAX_KEYS];
	size_t count;
	struct stat file; /* as it was when it was read */
	char path[];      /* here, and not behind a pointer: LeakSanitizer does not look for those in memory of crypto_keys_new() */
};

static const struct algorithm {
	const char *name;
	int bits;
} algorithms[] = {
	{ "HS256", 256 },
	{ "HS384", 384 },
	{ "HS512", 512 },
};

static const struct algorithm *
find_algorithm(const char *name)
{
	for (size_t i = 0; i < COUNT_OF(algorithms); i++)
		if (strcmp(algorithms[i].name, name) == 0)
			return &algorithms[i];
	return NULL;
}

static const struct token_key *
find_key(const struct token_keys *keys, struct slice id)
{
	for (size_t i = 0; i < keys->count; i++)
		if (slice_is(id, keys->keys[i].id))
			return &keys->keys[i];
	return NULL;
}

/* The key file */

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r';
}

static struct slice
trim(struct slice text)
{
	while (text.len > 0 && is_blank(text.data[0])) {
		text.data++;
		text.len--;
	}
	while (text.len > 0 && is_blank(text.data[text.len - 1]))
		text.len--;
	return text;
}

static bool
is_key_id(struct slice id)
{
	static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";
	if (id.len == 0 || id.len > KEY_ID_MAX)
		return false;
	for (size_t i = 0; i < id.len; i++)
		if (id.data[i] == '\0' || strchr(allowed, id.data[i]) == NULL)
			return false;
	return true;
}

/* Adds the key of a line, if it has one. Returns NULL, or what is wrong with the line, without any of its text. */
static const char *
add_line(struct token_keys *keys, struct slice line)
{
	line = trim(line);
	if (line.len == 0 || line.data[0] == '#')
		return NULL;
	struct slice id = { line.data, 0 };
	while (id.len < line.len && !is_blank(line.data[id.len]))
		id.len++;
	struct slice secret = trim((struct slice){ line.data + id.len, line.len - id.len });

	if (!is_key_id(id))
		return "a key id is 1 to 64 letters, digits, '.', '_' or '-'";
	if (find_key(keys, id) != NULL)
		return "this key id stands above already";
	if (keys->count == TOKEN_MAX_KEYS)
		return "there are more than 8 keys";
	struct token_key *key = &keys->keys[keys->count];
	long len =
	    secret.len > BASE64URL_TEXT(SECRET_MAX) ? -1 : base64url_decode(key->secret, secret.data, secret.len);
	if (len < TOKEN_KEY_BYTES)
		return "a secret is base64url, without padding, of 32 to 128 bytes";
	memcpy(key->id, id.data, id.len);
	key->secret_len = (size_t)len;
	keys->count++;
	return NULL;
}

static int
add_lines(struct token_keys *keys, const char *path, struct slice text, char *error, size_t error_size)
{
	for (int number = 1; text.len > 0; number++) {
		const char *end = memchr(text.data, '\n', text.len);
		size_t len = end == NULL ? text.len : (size_t)(end - text.data);
		const char *fault = add_line(keys, (struct slice){ text.data, len });
		if (fault != NULL) {
			snprintf(error, error_size, "%s:%d: %s", path, number, fault);
			return -1;
		}
		len += end != NULL;
		text.data += len;
		text.len -= len;
	}
	if (keys->count > 0)
		return 0;
	snprintf(error, error_size, "%s: there is no key in it", path);
	return -1;
}

/* Checks the open file, not its name, so that nobody can exchange it in between. */
static int
check_file(int descriptor, const char *path, struct stat *file, char *error, size_t error_size)
{
	if (fstat(descriptor, file) != 0) {
		snprintf(error, error_size, "%s: %s", path, strerror(errno));
		return -1;
	}
	if (!S_ISREG(file->st_mode)) {
		snprintf(error, error_size, "%s: not a regular file", path);
		return -1;
	}
	if ((file->st_mode & 077) != 0) {
		snprintf(error, error_size, "%s: its mode is %04o, but only its owner may read or write it (0600)",
		    path, (unsigned)(file->st_mode & 07777));
		return -1;
	}
	return 0;
}

/* Reads it all into `text`. Returns its length, or -1. */
static ssize_t
read_file(int descriptor, const char *path, char text[KEY_FILE_MAX], char *error, size_t error_size)
{
	size_t len = 0;
	while (len < KEY_FILE_MAX) {
		ssize_t got = read(descriptor, text + len, KEY_FILE_MAX - len);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0) {
			snprintf(error, error_size, "%s: %s", path, strerror(errno));
			return -1;
		}
		if (got == 0)
			return (ssize_t)len;
		len += (size_t)got;
	}
	snprintf(error, error_size, "%s: larger than %d bytes", path, KEY_FILE_MAX - 1);
	return -1;
}

static int
read_keys(struct token_keys *keys, const char *path, char *error, size_t error_size)
{
	char text[KEY_FILE_MAX];
	int result = -1;
	int descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (descriptor < 0) {
		snprintf(error, error_size, "%s: %s", path, strerror(errno));
		return -1;
	}
	if (check_file(descriptor, path, &keys->file, error, error_size) == 0) {
		ssize_t len = read_file(descriptor, path, text, error, error_size);
		if (len >= 0)
			result = add_lines(keys, path, (struct slice){ text, (size_t)len }, error, error_size);
		crypto_wipe(text, sizeof(text));
	}
	close(descriptor);
	return result;
}

static size_t
size_with(const char *path)
{
	return sizeof(struct token_keys) + strlen(path) + 1;
}

struct token_keys *
token_keys_read(const char *path, char *error, size_t error_size)
{
	struct token_keys *keys = crypto_keys_new(size_with(path));
	strcpy(keys->path, path);
	if (read_keys(keys, path, error, error_size) == 0)
		return keys;
	token_keys_free(keys);
	return NULL;
}

void
token_keys_free(struct token_keys *keys)
{
	if (keys == NULL)
		return;
	crypto_keys_free(keys, size_with(keys->path));
}

static bool
is_same_file(const struct stat *a, const struct stat *b)
{
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size &&
	    a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

bool
token_keys_renew(struct token_keys *keys)
{
	struct stat file;
	char error[256];

	if (stat(keys->path, &file) != 0 || is_same_file(&file, &keys->file))
		return false;
	struct token_keys *fresh = token_keys_read(keys->path, error, sizeof(error));
	if (fresh == NULL) {
		log_write(LOG_LEVEL_WARNING, "keys", "the old keys stay: %s", error);
		return false;
	}
	memcpy(keys->keys, fresh->keys, sizeof(keys->keys));
	keys->count = fresh->count;
	keys->file = fresh->file;
	token_keys_free(fresh);
	return true;
}

static struct slice
secret_of(const struct token_key *key)
{
	return (struct slice){ (const char *)key->secret, key->secret_len };
}

bool
token_keys_derive(const struct token_keys *keys, size_t index, const char *purpose, uint8_t out[32])
{
	if (index >= keys->count)
		return false;
	crypto_hmac_sha256(out, secret_of(&keys->keys[index]), purpose, strlen(purpose));
	return true;
}

/*
 * Signing. libjwt holds and writes the header and the claims. The signature is made and checked here: libjwt 1.10 takes
 * no typ but "JWT", which it writes over ours when it encodes and demands when it decodes.
 */

static bool
fill(jwt_t *jwt, const struct algorithm *algorithm, const char *key_id, const struct token_policy *policy,
    const char *user_id, int64_t now)
{
	return jwt_add_header(jwt, "alg", algorithm->name) == 0 && jwt_add_header(jwt, "kid", key_id) == 0 &&
	    jwt_add_header(jwt, "typ", "at+jwt") == 0 && jwt_add_grant(jwt, "iss", policy->issuer) == 0 &&
	    jwt_add_grant(jwt, "aud", policy->audience) == 0 && jwt_add_grant(jwt, "sub", user_id) == 0 &&
	    jwt_add_grant_int(jwt, "iat", now) == 0 && jwt_add_grant_int(jwt, "exp", now + policy->lifetime) == 0;
}

static void
put_base64url(struct buffer *token, const void *bytes, size_t len)
{
	char *out = buffer_reserve(token, BASE64URL_TEXT(len) + 1);
	token->len += base64url_encode(out, bytes, len);
}

/* The signed token of a header and claims, as JSON; NULL when it is too long. */
static char *
put_together(struct arena *arena, const char *header, const char *claims, const struct algorithm *algorithm,
    const struct token_key *key)
{
	uint8_t mac[SHA512_BYTES];
	struct buffer token = { 0 };
	buffer_reserve(&token, 2 * TOKEN_MAX);
	put_base64url(&token, header, strlen(header));
	buffer_putc(&token, '.');
	put_base64url(&token, claims, strlen(claims));
	size_t mac_len = crypto_hmac_sha2(mac, algorithm->bits, secret_of(key), token.data, token.len);
	buffer_putc(&token, '.');
	put_base64url(&token, mac, mac_len);
	char *text = token.len > TOKEN_MAX ? NULL : arena_copy(arena, token.data, token.len);
	buffer_wipe(&token);
	return text;
}

char *
token_sign(struct arena *arena, const struct token_keys *keys, const struct token_policy *policy, const char *user_id,
    int64_t now)
{
	const struct algorithm *algorithm = find_algorithm(policy->algorithm);
	const struct token_key *key = &keys->keys[0];
	jwt_t *jwt = NULL;
	if (algorithm == NULL || !uuid_valid(user_id, strlen(user_id)) || jwt_new(&jwt) != 0)
		return NULL;

	char *header = NULL, *claims = NULL, *token = NULL;
	if (fill(jwt, algorithm, key->id, policy, user_id, now)) {
		header = jwt_get_headers_json(jwt, NULL);
		claims = jwt_get_grants_json(jwt, NULL);
	}
	if (header != NULL && claims != NULL)
		token = put_together(arena, header, claims, algorithm, key);
	free(header);
	free(claims);
	jwt_free(jwt);
	return token;
}

/* Verifying */

struct check {
	struct arena *arena;
	const struct token_keys *keys;
	const struct token_policy *policy;
	const struct algorithm *algorithm;
	int64_t now;
	struct slice header, payload, signature; /* as base64url */
};

static enum token_result
refuse(enum token_result result, const char *reason)
{
	log_write(LOG_LEVEL_DEBUG, "token", "refused: %s", reason);
	return result;
}

static bool
split(struct check *check, struct slice token)
{
	const char *first = memchr(token.data, '.', token.len);
	const char *last = memrchr(token.data, '.', token.len);
	if (first == NULL || first == last)
		return false;
	check->header = (struct slice){ token.data, (size_t)(first - token.data) };
	check->payload = (struct slice){ first + 1, (size_t)(last - first) - 1 };
	check->signature = (struct slice){ last + 1, token.len - (size_t)(last - token.data) - 1 };
	return true; /* a third dot is no base64url */
}

/* The object that a part of the token holds, or NULL. */
static struct json *
read_part(struct arena *arena, struct slice part)
{
	const char *error;
	char *text = arena_alloc(arena, BASE64URL_BYTES(part.len));
	long len = base64url_decode(text, part.data, part.len);
	struct json *value = len < 0 ? NULL : json_parse(arena, text, (size_t)len, &error);
	return value != NULL && json_type(value) == JSON_OBJECT ? value : NULL;
}

static bool
member_is(const struct json *object, const char *name, const char *value)
{
	return slice_is(json_string(json_get(object, name)), value);
}

/* The media type of RFC 9068 section 2.1: in either case, and "application/" may be left out. */
static bool
is_access_token_type(struct slice type)
{
	static const char *const names[] = { "at+jwt", "application/at+jwt" };
	for (size_t i = 0; i < COUNT_OF(names); i++)
		if (type.len == strlen(names[i]) && strncasecmp(type.data, names[i], type.len) == 0)
			return true;
	return false;
}

/* The key that the header names, when all else in the header is as it must be. An extension that is marked critical is
 * one that we do not know (RFC 7515 section 4.1.11). */
static const struct token_key *
key_of_header(const struct check *check, const struct json *header)
{
	if (header == NULL || json_get(header, "crit") != NULL)
		return NULL;
	if (!member_is(header, "alg", check->algorithm->name) ||
	    !is_access_token_type(json_string(json_get(header, "typ"))))
		return NULL;
	return find_key(check->keys, json_string(json_get(header, "kid")));
}

/* Compares bytes, of which base64url_decode() takes one text only: no character of a token can be another. */
static bool
signature_is_valid(const struct check *check, const struct token_key *key)
{
	uint8_t mac[SHA512_BYTES], given[SHA512_BYTES];
	size_t signed_len = check->header.len + 1 + check->payload.len;
	size_t len = crypto_hmac_sha2(mac, check->algorithm->bits, secret_of(key), check->header.data, signed_len);
	bool equal = check->signature.len == BASE64URL_TEXT(len) &&
	    base64url_decode(given, check->signature.data, check->signature.len) == (long)len && crypto_equal(mac, given, len);
	crypto_wipe(mac, sizeof(mac)); /* it would make a token of what was sent */
	return equal;
}

static enum token_result
check_times(const struct check *check, const struct json *claims, int64_t *expires)
{
	int64_t issued, not_before, latest = check->now + TOKEN_CLOCK_SKEW;
	const struct json *nbf = json_get(claims, "nbf");
	if (!json_integer(json_get(claims, "iat"), &issued) || !json_integer(json_get(claims, "exp"), expires))
		return refuse(TOKEN_INVALID, "iat or exp is missing or no integer");
	if (issued > latest)
		return refuse(TOKEN_INVALID, "iat is in the future");
	if (nbf != NULL && (!json_integer(nbf, &not_before) || not_before > latest))
		return refuse(TOKEN_INVALID, "nbf is in the future or no integer");
	if (check->now >= *expires)
		return refuse(TOKEN_EXPIRED, "it has expired");
	return TOKEN_VALID;
}

static enum token_result
check_claims(const struct check *check, const struct json *claims, struct token_subject *found)
{
	if (claims == NULL)
		return refuse(TOKEN_INVALID, "the payload is no JSON object");
	if (!member_is(claims, "iss", check->policy->issuer))
		return refuse(TOKEN_INVALID, "iss is another");
	if (!member_is(claims, "aud", check->policy->audience))
		return refuse(TOKEN_INVALID, "aud is another");
	struct slice subject = json_string(json_get(claims, "sub"));
	if (!uuid_valid(subject.data, subject.len))
		return refuse(TOKEN_INVALID, "sub is no UUID");
	enum token_result result = check_times(check, claims, &found->expires);
	if (result != TOKEN_VALID)
		return result;
	uint8_t bytes[16];
	uuid_bytes(bytes, subject.data);
	uuid_text(found->user_id, bytes);
	return TOKEN_VALID;
}

enum token_result
token_verify(struct arena *arena, const struct token_keys *keys, const struct token_policy *policy, struct slice token,
    int64_t now, struct token_subject *subject)
{
	struct check check = { .arena = arena, .keys = keys, .policy = policy, .now = now };
	check.algorithm = find_algorithm(policy->algorithm);
	if (check.algorithm == NULL)
		return refuse(TOKEN_INVALID, "the policy names no known algorithm");
	if (token.data == NULL || token.len == 0 || token.len > TOKEN_MAX)
		return refuse(TOKEN_INVALID, "it is empty or too long");
	if (!split(&check, token))
		return refuse(TOKEN_INVALID, "it has not three parts");
	const struct token_key *key = key_of_header(&check, read_part(arena, check.header));
	if (key == NULL)
		return refuse(TOKEN_INVALID, "the header is not one of ours");
	if (!signature_is_valid(&check, key))
		return refuse(TOKEN_INVALID, "the signature is wrong");
	return check_claims(&check, read_part(arena, check.payload), subject);
}
