#include <jwt.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "arena.h"
#include "buffer.h"
#include "crypto.h"
#include "log.h"
#include "tap.h"
#include "token.h"

#define USER "123e4567-e89b-12d3-a456-426614174000"
#define SECRET_A "QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUE" /* 32 times A */
#define SECRET_B "QkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkI" /* 32 times B */

enum { NOW = 1800000000 };

static const struct token_policy policy = { "HS256", "jobforge", "jobforge-api", 900 };

static struct slice
key_bytes(char c, size_t len)
{
	static char bytes[256];
	memset(bytes, c, sizeof(bytes));
	return (struct slice){ bytes, len };
}

/* A file with `content` and `mode`; the caller unlinks it. */
static const char *
write_file(struct slice content, mode_t mode)
{
	static char path[64];
	strcpy(path, "/tmp/token_test.XXXXXX");
	int descriptor = mkstemp(path);
	if (descriptor < 0 || write(descriptor, content.data, content.len) != (ssize_t)content.len ||
	    fchmod(descriptor, mode) != 0 || close(descriptor) != 0)
		bail_out("no file: %s", path);
	return path;
}

static struct token_keys *
read_keys(struct slice content, mode_t mode, char *error, size_t error_size)
{
	const char *path = write_file(content, mode);
	error[0] = '\0';
	struct token_keys *keys = token_keys_read(path, error, error_size);
	unlink(path);
	return keys;
}

/* Of two keys the first signs. */
static struct token_keys *
some_keys(const char *content)
{
	char error[256];
	struct token_keys *keys = read_keys(slice_of(content), 0600, error, sizeof(error));
	if (keys == NULL)
		bail_out("no keys: %s", error);
	return keys;
}

static void
test_key_files(void)
{
	static const struct {
		const char *content;
		int count;
	} cases[] = {
		{ "k1 " SECRET_A "\n", 1 },
		{ "k1 " SECRET_A, 1 },
		{ "# keys\n\nk1 " SECRET_A "\n  \n # previous\n\tk2\t" SECRET_B "  \n", 2 },
		{ "k1 " SECRET_A "\r\nk2 " SECRET_B "\r\n", 2 },
		{ "a.B-c_9 " SECRET_A "\n", 1 },
		{ "1 " SECRET_A "\n2 " SECRET_A "\n3 " SECRET_A "\n4 " SECRET_A "\n5 " SECRET_A "\n6 " SECRET_A
		  "\n7 " SECRET_A "\n8 " SECRET_A "\n",
		    8 },
	};
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct token_keys *keys = some_keys(cases[i].content);
		uint8_t secret[32];
		int count = 0;
		while (token_keys_derive(keys, (size_t)count, "test", secret))
			count++;
		is_int(count, cases[i].count, "a file of %d keys", cases[i].count);
		token_keys_free(keys);
	}
	token_keys_free(NULL);
}

static void
test_bad_key_files(void)
{
	static const struct {
		struct slice content;
		mode_t mode;
		const char *error; /* what follows the path */
	} cases[] = {
		{ SLICE("k1 " SECRET_A), 0644, ": its mode is 0644, but only its owner may read or write it (0600)" },
		{ SLICE("k1 " SECRET_A), 0640, ": its mode is 0640, but only its owner may read or write it (0600)" },
		{ SLICE("k1 " SECRET_A), 0602, ": its mode is 0602, but only its owner may read or write it (0600)" },
		{ SLICE(""), 0600, ": there is no key in it" },
		{ SLICE("# nothing\n\n"), 0600, ": there is no key in it" },
		{ SLICE("k1"), 0600, ":1: a secret is base64url, without padding, of 32 to 128 bytes" },
		{ SLICE("\nk1 \n"), 0600, ":2: a secret is base64url, without padding, of 32 to 128 bytes" },
		{ SLICE(SECRET_A), 0600, ":1: a secret is base64url, without padding, of 32 to 128 bytes" },
		{ SLICE("k1 c2hvcnQ\n"), 0600, ":1: a secret is base64url, without padding, of 32 to 128 bytes" },
		{ SLICE("k1 QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQQ\n"), 0600,
		    ":1: a secret is base64url, without padding, of 32 to 128 bytes" },
		{ SLICE("k1 " SECRET_A "=\n"), 0600, ":1: a secret is base64url, without padding, of 32 to 128 bytes" },
		{ SLICE("k1 " SECRET_A " more\n"), 0600,
		    ":1: a secret is base64url, without padding, of 32 to 128 bytes" },
		{ SLICE("k1 " SECRET_A SECRET_A SECRET_A SECRET_A "A\n"), 0600,
		    ":1: a secret is base64url, without padding, of 32 to 128 bytes" },
		{ SLICE("k1 " SECRET_A "\nk1 " SECRET_B "\n"), 0600, ":2: this key id stands above already" },
		{ SLICE("k/1 " SECRET_A "\n"), 0600, ":1: a key id is 1 to 64 letters, digits, '.', '_' or '-'" },
		{ SLICE("k\0 " SECRET_A "\n"), 0600, ":1: a key id is 1 to 64 letters, digits, '.', '_' or '-'" },
		{ SLICE("\xef\xbb\xbfk1 " SECRET_A "\n"), 0600,
		    ":1: a key id is 1 to 64 letters, digits, '.', '_' or '-'" },
		{ SLICE("kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk " SECRET_A), 0600,
		    ":1: a key id is 1 to 64 letters, digits, '.', '_' or '-'" },
		{ SLICE("1 " SECRET_A "\n2 " SECRET_A "\n3 " SECRET_A "\n4 " SECRET_A "\n5 " SECRET_A "\n6 " SECRET_A
			"\n7 " SECRET_A "\n8 " SECRET_A "\n9 " SECRET_A "\n"),
		    0600, ":9: there are more than 8 keys" },
	};
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		char error[256];
		ok(read_keys(cases[i].content, cases[i].mode, error, sizeof(error)) == NULL, "bad file %zu: refused",
		    i);
		is_string(error + strlen("/tmp/token_test.XXXXXX"), cases[i].error, "its error");
	}

	char error[256], *large = malloc(100000);
	memset(large, '\n', 100000);
	ok(read_keys((struct slice){ large, 100000 }, 0600, error, sizeof(error)) == NULL, "a large file is refused");
	free(large);
	ok(token_keys_read("/nonexistent/keys", error, sizeof(error)) == NULL, "no file");
	is_string(error, "/nonexistent/keys: No such file or directory", "its error");
	ok(token_keys_read("/dev/null", error, sizeof(error)) == NULL, "a device");
	is_string(error, "/dev/null: not a regular file", "its error");
}

static void
test_derive(void)
{
	struct token_keys *keys = some_keys("k1 " SECRET_A "\nk2 " SECRET_B "\n");
	uint8_t first[32], again[32], other_key[32], other_purpose[32], want[32];
	ok(token_keys_derive(keys, 0, "cursor", first), "a secret is derived");
	crypto_hmac_sha256(want, key_bytes('A', 32), "cursor", 6);
	is_bytes(first, 32, want, 32, "by HMAC");
	ok(token_keys_derive(keys, 0, "cursor", again) && memcmp(first, again, 32) == 0, "always the same");
	ok(token_keys_derive(keys, 1, "cursor", other_key) && memcmp(first, other_key, 32) != 0,
	    "another of another key");
	ok(token_keys_derive(keys, 0, "other", other_purpose) && memcmp(first, other_purpose, 32) != 0,
	    "and for another purpose");
	ok(!token_keys_derive(keys, 2, "cursor", again), "none of a key that is not there");
	token_keys_free(keys);
}

static const char *
result_name(enum token_result result)
{
	static const char *const names[] = {
		[TOKEN_VALID] = "valid", [TOKEN_INVALID] = "invalid", [TOKEN_EXPIRED] = "expired"
	};
	return names[result];
}

static const char *
verify_by(
    struct arena *arena, const struct token_keys *keys, const struct token_policy *by, struct slice token, int64_t now)
{
	struct token_subject subject = { .user_id = "" };
	enum token_result result = token_verify(arena, keys, by, token, now, &subject);
	if (result == TOKEN_VALID && strcmp(subject.user_id, USER) != 0)
		return "valid for another user";
	return result_name(result);
}

static const char *
verify(struct arena *arena, const struct token_keys *keys, struct slice token)
{
	return verify_by(arena, keys, &policy, token, NOW);
}

/* As when the keys are rotated: another file under the same name. */
static void
replace_file(const char *path, struct slice content, mode_t mode)
{
	char copy[64];
	strcpy(copy, path);
	const char *fresh = write_file(content, mode);
	if (rename(fresh, copy) != 0)
		bail_out("cannot replace %s", copy);
}

static void
test_renew(struct arena *arena)
{
	char error[256], path[64];
	strcpy(path, write_file(SLICE("k1 " SECRET_A "\n"), 0600));
	struct token_keys *keys = token_keys_read(path, error, sizeof(error));
	ok(!token_keys_renew(keys), "keys that have not changed are not read again");
	replace_file(path, SLICE("k2 " SECRET_B "\nk1 " SECRET_A "\n"), 0600);
	char *old = token_sign(arena, keys, &policy, USER, NOW);
	ok(token_keys_renew(keys) && !token_keys_renew(keys), "those of another file are, once");
	is_string(verify(arena, keys, slice_of(old)), "valid", "a token of before is valid still");
	uint8_t secret[32];
	ok(token_keys_derive(keys, 1, "test", secret) && !token_keys_derive(keys, 2, "test", secret),
	    "there are two keys now");
	replace_file(path, SLICE("k3 short\n"), 0600);
	log_set_level(LOG_LEVEL_NONE);
	ok(!token_keys_renew(keys) && token_keys_derive(keys, 1, "test", secret),
	    "a file that is no use changes nothing");
	log_set_level(LOG_LEVEL_INFO);
	unlink(path);
	ok(!token_keys_renew(keys) && token_keys_derive(keys, 1, "test", secret), "nor does one that is gone");
	token_keys_free(keys);
	ok(token_keys_read("/", error, sizeof(error)) == NULL, "a directory");
	is_string(error, "/: not a regular file", "its error");
}

static void
put_part(struct buffer *out, struct slice bytes)
{
	out->len += base64url_encode(buffer_reserve(out, BASE64URL_TEXT(bytes.len) + 1), bytes.data, bytes.len);
}

/* A token of any content with a right signature: not by token_sign(). */
static struct slice
forge(struct arena *arena, const char *header, const char *claims, struct slice secret, int bits)
{
	struct buffer token = { 0 };
	uint8_t mac[SHA512_BYTES];
	put_part(&token, slice_of(header));
	buffer_putc(&token, '.');
	put_part(&token, slice_of(claims));
	size_t len = crypto_hmac_sha2(mac, bits, secret, token.data, token.len);
	buffer_putc(&token, '.');
	put_part(&token, (struct slice){ (const char *)mac, len });
	struct slice text = { arena_copy(arena, token.data, token.len), token.len };
	buffer_free(&token);
	return text;
}

#define HEADER "{\"alg\":\"HS256\",\"kid\":\"k1\",\"typ\":\"at+jwt\"}"
#define TIMES "\"iat\":1800000000,\"exp\":1800000900}"
#define WHO(iss, aud, sub) "{\"iss\":" iss ",\"aud\":" aud ",\"sub\":" sub "," TIMES
#define ISS "\"jobforge\""
#define AUD "\"jobforge-api\""
#define SUB "\"" USER "\""
#define CLAIMS(times) "{\"iss\":" ISS ",\"aud\":" AUD ",\"sub\":" SUB "," times "}"
#define GOOD WHO(ISS, AUD, SUB)

static void
test_round_trip(struct arena *arena)
{
	static const char *const algorithms[] = { "HS256", "HS384", "HS512" };
	struct token_keys *keys = some_keys("k1 " SECRET_A "\nk2 " SECRET_B "\n");
	for (size_t i = 0; i < COUNT_OF(algorithms); i++) {
		struct token_policy by = policy;
		by.algorithm = algorithms[i];
		struct slice token = slice_of(token_sign(arena, keys, &by, USER, NOW));
		is_string(verify_by(arena, keys, &by, token, NOW), "valid", "%s: signed and verified", algorithms[i]);
		is_string(verify_by(arena, keys, &by, token, NOW + 899), "valid", "in its last second too");
		is_string(verify_by(arena, keys, &by, token, NOW + 900), "expired", "and then no more");
		is_string(verify_by(arena, keys, &by, token, NOW - 30), "valid", "by a clock half a minute late");
		is_string(verify_by(arena, keys, &by, token, NOW - 31), "invalid", "but not by one later still");
	}
	struct token_policy by = policy;
	by.algorithm = "none";
	ok(token_sign(arena, keys, &by, USER, NOW) == NULL, "no other algorithm signs");
	is_string(verify_by(arena, keys, &by, slice_of(token_sign(arena, keys, &policy, USER, NOW)), NOW), "invalid",
	    "or verifies");
	ok(token_sign(arena, keys, &policy, "someone", NOW) == NULL, "no other user id is signed");
	by = policy;
	by.issuer = "https://jobs.example.com/\"quoted\"/\xc3\xa9";
	is_string(verify_by(arena, keys, &by, slice_of(token_sign(arena, keys, &by, USER, NOW)), NOW), "valid",
	    "an issuer that JSON must escape");
	is_string(verify(arena, keys,
		      slice_of(token_sign(arena, keys, &policy, "123E4567-E89B-12D3-A456-426614174000", NOW))),
	    "valid", "a user id in upper case comes back in lower case");
	char issuer[2000];
	memset(issuer, 'i', sizeof(issuer));
	issuer[sizeof(issuer) - 1] = '\0';
	by.issuer = issuer;
	ok(token_sign(arena, keys, &by, USER, NOW) == NULL, "a token too long to be verified is not signed");
	token_keys_free(keys);
}

/* What is in a token that was signed, and that libjwt takes one of ours for good (once typ is what libjwt 1.10 wants).
 */
static void
test_content(struct arena *arena)
{
	struct token_keys *keys = some_keys("k1 " SECRET_A "\n");
	char *token = token_sign(arena, keys, &policy, USER, NOW), part[512];
	char *dot = strchr(token, '.'), *last = strrchr(token, '.');
	long len = base64url_decode(part, token, (size_t)(dot - token));
	is_bytes(part, (size_t)len, HEADER, strlen(HEADER), "the header");
	len = base64url_decode(part, dot + 1, (size_t)(last - dot - 1));
	static const char claims[] =
	    "{\"aud\":\"jobforge-api\",\"exp\":1800000900,\"iat\":1800000000,\"iss\":\"jobforge\",\"sub\":\"" USER
	    "\"}";
	is_bytes(part, (size_t)len, claims, strlen(claims), "the claims");
	is_string(
	    forge(arena, HEADER, claims, key_bytes('A', 32), 256).data, token, "the whole is a plain HMAC over both");
	token_keys_free(keys);

	struct slice plain =
	    forge(arena, "{\"alg\":\"HS256\",\"kid\":\"k1\",\"typ\":\"JWT\"}", claims, key_bytes('A', 32), 256);
	jwt_t *jwt = NULL;
	is_int(
	    jwt_decode(&jwt, plain.data, (const unsigned char *)key_bytes('A', 32).data, 32), 0, "libjwt verifies it");
	is_string(jwt_get_grant(jwt, "sub"), USER, "and reads it");
	jwt_free(jwt);
}

static void
test_headers(struct arena *arena)
{
	static const struct {
		const char *header, *want;
	} cases[] = {
		{ HEADER, "valid" },
		{ "{\"typ\":\"AT+JWT\",\"kid\":\"k1\",\"alg\":\"HS256\"}", "valid" },
		{ "{\"typ\":\"application/at+jwt\",\"kid\":\"k1\",\"alg\":\"HS256\"}", "valid" },
		{ "{\"typ\":\"at+jwt\",\"kid\":\"k1\",\"alg\":\"HS256\",\"x\":[1]}", "valid" },
		{ "{\"typ\":\"JWT\",\"kid\":\"k1\",\"alg\":\"HS256\"}", "invalid" },
		{ "{\"typ\":\"at+jwt2\",\"kid\":\"k1\",\"alg\":\"HS256\"}", "invalid" },
		{ "{\"typ\":[\"at+jwt\"],\"kid\":\"k1\",\"alg\":\"HS256\"}", "invalid" },
		{ "{\"kid\":\"k1\",\"alg\":\"HS256\"}", "invalid" },
		{ "{\"typ\":\"at+jwt\",\"kid\":\"k2\",\"alg\":\"HS256\"}", "invalid" },
		{ "{\"typ\":\"at+jwt\",\"kid\":\"K1\",\"alg\":\"HS256\"}", "invalid" },
		{ "{\"typ\":\"at+jwt\",\"kid\":\"k\",\"alg\":\"HS256\"}", "invalid" },
		{ "{\"typ\":\"at+jwt\",\"kid\":\"k1\\u0000\",\"alg\":\"HS256\"}", "invalid" },
		{ "{\"typ\":\"at+jwt\",\"kid\":\"unknown\",\"alg\":\"HS256\"}", "invalid" },
		{ "{\"typ\":\"at+jwt\",\"kid\":\"\",\"alg\":\"HS256\"}", "invalid" },
		{ "{\"typ\":\"at+jwt\",\"kid\":1,\"alg\":\"HS256\"}", "invalid" },
		{ "{\"typ\":\"at+jwt\",\"kid\":null,\"alg\":\"HS256\"}", "invalid" },
		{ "{\"typ\":\"at+jwt\",\"alg\":\"HS256\"}", "invalid" },
		{ "{\"typ\":\"at+jwt\",\"kid\":\"k1\",\"alg\":\"none\"}", "invalid" },
		{ "{\"typ\":\"at+jwt\",\"kid\":\"k1\",\"alg\":\"HS384\"}", "invalid" },
		{ "{\"typ\":\"at+jwt\",\"kid\":\"k1\",\"alg\":\"HS512\"}", "invalid" },
		{ "{\"typ\":\"at+jwt\",\"kid\":\"k1\",\"alg\":\"RS256\"}", "invalid" },
		{ "{\"typ\":\"at+jwt\",\"kid\":\"k1\",\"alg\":\"hs256\"}", "invalid" },
		{ "{\"typ\":\"at+jwt\",\"kid\":\"k1\",\"alg\":[\"HS256\"]}", "invalid" },
		{ "{\"typ\":\"at+jwt\",\"kid\":\"k1\"}", "invalid" },
		{ "{\"typ\":\"at+jwt\",\"kid\":\"k1\",\"alg\":\"HS256\",\"alg\":\"none\"}", "invalid" },
		{ "{\"typ\":\"at+jwt\",\"kid\":\"k1\",\"alg\":\"HS256\",\"crit\":[\"exp\"]}", "invalid" },
		{ "{\"typ\":\"at+jwt\",\"kid\":\"k1\",\"alg\":\"HS256\",\"crit\":null}", "invalid" },
		{ "{\"typ\":\"at+jwt\",\"kid\":\"k1\",\"alg\":\"HS256\",}", "invalid" },
		{ "[\"at+jwt\",\"k1\",\"HS256\"]", "invalid" },
		{ "\"at+jwt\"", "invalid" },
		{ "null", "invalid" },
		{ "", "invalid" },
	};
	struct token_keys *keys = some_keys("k1 " SECRET_A "\n");
	for (size_t i = 0; i < COUNT_OF(cases); i++)
		is_string(verify(arena, keys, forge(arena, cases[i].header, GOOD, key_bytes('A', 32), 256)),
		    cases[i].want, "header: %s", cases[i].header);
	token_keys_free(keys);
}

static void
test_claims(struct arena *arena)
{
	static const struct {
		const char *claims, *want;
	} cases[] = {
		{ GOOD, "valid" },
		{ CLAIMS("\"iat\":1800000000,\"exp\":1800000900,\"scope\":{\"a\":[1]}"), "valid" },
		{ CLAIMS("\"iat\":1800000030,\"exp\":1800000900"), "valid" },
		{ CLAIMS("\"iat\":1800000031,\"exp\":1800000900"), "invalid" },
		{ CLAIMS("\"iat\":9223372036854775807,\"exp\":9223372036854775807"), "invalid" },
		{ CLAIMS("\"iat\":-5,\"exp\":1800000900"), "valid" },
		{ CLAIMS("\"exp\":1800000900"), "invalid" },
		{ CLAIMS("\"iat\":\"1800000000\",\"exp\":1800000900"), "invalid" },
		{ CLAIMS("\"iat\":1800000000.0,\"exp\":1800000900"), "invalid" },
		{ CLAIMS("\"iat\":null,\"exp\":1800000900"), "invalid" },
		{ CLAIMS("\"iat\":1800000000"), "invalid" },
		{ CLAIMS("\"iat\":1800000000,\"exp\":1800000001"), "valid" },
		{ CLAIMS("\"iat\":1700000000,\"exp\":1800000000"), "expired" },
		{ CLAIMS("\"iat\":1700000000,\"exp\":1700000900"), "expired" },
		{ CLAIMS("\"iat\":1700000000,\"exp\":0"), "expired" },
		{ CLAIMS("\"iat\":1700000000,\"exp\":-1"), "expired" },
		{ CLAIMS("\"iat\":1800000000,\"exp\":\"1800000900\""), "invalid" },
		{ CLAIMS("\"iat\":1800000000,\"exp\":1800000900.5"), "invalid" },
		{ CLAIMS("\"iat\":1800000000,\"exp\":1.8000009e9"), "invalid" },
		{ CLAIMS("\"iat\":1800000000,\"exp\":99999999999999999999"), "invalid" },
		{ CLAIMS("\"iat\":1800000000,\"exp\":true"), "invalid" },
		{ CLAIMS("\"iat\":1800000000,\"exp\":null"), "invalid" },
		{ CLAIMS("\"iat\":1800000000,\"exp\":[1800000900]"), "invalid" },
		{ CLAIMS("\"iat\":1800000000,\"exp\":1800000900,\"exp\":1"), "expired" },
		{ CLAIMS("\"iat\":1800000000,\"exp\":1800000900,\"nbf\":1800000030"), "valid" },
		{ CLAIMS("\"iat\":1800000000,\"exp\":1800000900,\"nbf\":1800000031"), "invalid" },
		{ CLAIMS("\"iat\":1800000000,\"exp\":1800000900,\"nbf\":\"0\""), "invalid" },
		{ WHO("\"other\"", AUD, SUB), "invalid" },
		{ WHO("\"JobForge\"", AUD, SUB), "invalid" },
		{ WHO("\"jobforge\\u0000\"", AUD, SUB), "invalid" },
		{ WHO("[\"jobforge\"]", AUD, SUB), "invalid" },
		{ WHO("null", AUD, SUB), "invalid" },
		{ WHO(ISS, "\"other\"", SUB), "invalid" },
		{ WHO(ISS, "[\"jobforge-api\"]", SUB), "invalid" },
		{ WHO(ISS, "null", SUB), "invalid" },
		{ WHO(ISS, AUD, "\"\""), "invalid" },
		{ WHO(ISS, AUD, "1"), "invalid" },
		{ WHO(ISS, AUD, "null"), "invalid" },
		{ WHO(ISS, AUD, "[" SUB "]"), "invalid" },
		{ WHO(ISS, AUD, "\"' OR 1=1\""), "invalid" },
		{ WHO(ISS, AUD, "\"" USER "0\""), "invalid" },
		{ WHO(ISS, AUD, "\"" USER "\\u0000\""), "invalid" },
		{ WHO(ISS, AUD, "\"{" USER "}\""), "invalid" },
		{ "{\"aud\":" AUD ",\"sub\":" SUB "," TIMES, "invalid" },
		{ "{\"iss\":" ISS ",\"sub\":" SUB "," TIMES, "invalid" },
		{ "{\"iss\":" ISS ",\"aud\":" AUD "," TIMES, "invalid" },
		{ GOOD " ", "valid" },
		{ GOOD "x", "invalid" },
		{ "[" GOOD "]", "invalid" },
		{ "{}", "invalid" },
		{ "[]", "invalid" },
		{ "null", "invalid" },
		{ "", "invalid" },
	};
	struct token_keys *keys = some_keys("k1 " SECRET_A "\n");
	for (size_t i = 0; i < COUNT_OF(cases); i++)
		is_string(verify(arena, keys, forge(arena, HEADER, cases[i].claims, key_bytes('A', 32), 256)),
		    cases[i].want, "claims: %s", cases[i].claims);
	token_keys_free(keys);
}

static void
test_signatures(struct arena *arena)
{
	struct token_keys *keys = some_keys("k1 " SECRET_A "\nk2 " SECRET_B "\n");
	static const char second[] = "{\"alg\":\"HS256\",\"kid\":\"k2\",\"typ\":\"at+jwt\"}";
	static const char none[] = "{\"alg\":\"none\",\"kid\":\"k1\",\"typ\":\"at+jwt\"}";
	static const char long_hash[] = "{\"alg\":\"HS512\",\"kid\":\"k1\",\"typ\":\"at+jwt\"}";
	is_string(
	    verify(arena, keys, forge(arena, second, GOOD, key_bytes('B', 32), 256)), "valid", "by the previous key");
	is_string(verify(arena, keys, forge(arena, HEADER, GOOD, key_bytes('B', 32), 256)), "invalid",
	    "by the key of another id");
	is_string(
	    verify(arena, keys, forge(arena, HEADER, GOOD, key_bytes('C', 32), 256)), "invalid", "by a foreign key");
	is_string(verify(arena, keys, forge(arena, HEADER, GOOD, key_bytes('A', 31), 256)), "invalid",
	    "by a part of the key");
	is_string(verify(arena, keys, forge(arena, HEADER, GOOD, SLICE(""), 256)), "invalid", "by an empty key");
	is_string(
	    verify(arena, keys, forge(arena, HEADER, GOOD, key_bytes('A', 32), 512)), "invalid", "by a longer hash");
	is_string(verify(arena, keys, forge(arena, long_hash, GOOD, key_bytes('A', 32), 512)), "invalid",
	    "by HS512, which is not configured");

	struct slice token = forge(arena, none, GOOD, key_bytes('A', 32), 256);
	size_t unsigned_len = (size_t)((const char *)memrchr(token.data, '.', token.len) - token.data) + 1;
	is_string(
	    verify(arena, keys, (struct slice){ token.data, unsigned_len }), "invalid", "alg none with no signature");
	token = forge(arena, HEADER, GOOD, key_bytes('A', 32), 256);
	unsigned_len = (size_t)((const char *)memrchr(token.data, '.', token.len) - token.data) + 1;
	is_string(verify(arena, keys, (struct slice){ token.data, unsigned_len }), "invalid", "no signature");
	is_string(verify(arena, keys, (struct slice){ token.data, unsigned_len - 1 }), "invalid", "nor its dot");
	token_keys_free(keys);
}

static void
test_forms(struct arena *arena)
{
	static const char *const cases[] = { "", ".", "..", "...", "a", "a.b", "a.b.c", "a.b.c.d", "Bearer x",
		"....................", "eyJhbGciOiJub25lIn0..", "null", "\xff\xfe" };
	struct token_keys *keys = some_keys("k1 " SECRET_A "\n");
	for (size_t i = 0; i < COUNT_OF(cases); i++)
		is_string(verify(arena, keys, slice_of(cases[i])), "invalid", "no token: %s", cases[i]);
	is_string(verify(arena, keys, (struct slice){ 0 }), "invalid", "no token: absent");

	struct slice token = forge(arena, HEADER, GOOD, key_bytes('A', 32), 256);
	is_string(verify(arena, keys, slice_of(arena_printf(arena, "%s.", token.data))), "invalid", "a fourth part");
	is_string(verify(arena, keys, slice_of(arena_printf(arena, ".%s", token.data))), "invalid", "a part before");
	is_string(verify(arena, keys, (struct slice){ token.data, token.len + 1 }), "invalid", "a NUL after it");
	is_string(verify(arena, keys, slice_of(arena_printf(arena, "%s%01000d", token.data, 0))), "invalid",
	    "a signature of a thousand characters more");
	token_keys_free(keys);
}

/* Tokens with right signatures, filled up with blanks to about the most that is read, and to 100 KB. */
static void
test_long(struct arena *arena)
{
	struct token_keys *keys = some_keys("k1 " SECRET_A "\n");
	size_t longest = 0;
	for (int blanks = 1200; blanks < 1500; blanks++) {
		struct slice token =
		    forge(arena, HEADER, arena_printf(arena, GOOD "%*s", blanks, ""), key_bytes('A', 32), 256);
		if (strcmp(verify(arena, keys, token), "valid") == 0 && token.len > longest)
			longest = token.len;
		if (token.len > TOKEN_MAX && longest > 0) {
			ok(longest > TOKEN_MAX - 3 && longest <= TOKEN_MAX, "a token of %zu characters is read",
			    longest);
			is_string(verify(arena, keys, token), "invalid", "and one of %zu is not", token.len);
			break;
		}
	}
	struct slice token = forge(arena, HEADER, arena_printf(arena, GOOD "%75000s", ""), key_bytes('A', 32), 256);
	ok(token.len > 100000, "a token of %zu characters", token.len);
	is_string(verify(arena, keys, token), "invalid", "is refused");
	struct buffer dots = { 0 };
	for (int i = 0; i < TOKEN_MAX; i++)
		buffer_putc(&dots, '.');
	is_string(verify(arena, keys, (struct slice){ dots.data, dots.len }), "invalid", "nothing but dots");
	buffer_free(&dots);
	token_keys_free(keys);
}

static void
test_corruption(struct arena *scratch)
{
	static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.=+/ \n";
	struct token_keys *keys = some_keys("k1 " SECRET_A "\n");
	char token[512];
	strcpy(token, token_sign(scratch, keys, &policy, USER, NOW));
	size_t len = strlen(token);
	int taken = 0, tried = 0;
	for (size_t i = 0; i < len; i++) {
		char right = token[i];
		for (const char *c = alphabet; *c != '\0'; c++) {
			if (*c == right)
				continue;
			token[i] = *c;
			tried++;
			taken += strcmp(verify(scratch, keys, (struct slice){ token, len }), "invalid") != 0;
			arena_reset(scratch);
		}
		token[i] = right;
	}
	is_int(taken, 0, "of %d tokens with one character changed", tried);
	taken = 0;
	for (size_t cut = 0; cut < len; cut++)
		taken += strcmp(verify(scratch, keys, (struct slice){ token, cut }), "invalid") != 0;
	is_int(taken, 0, "of %zu tokens cut short", len);
	is_string(verify(scratch, keys, (struct slice){ token, len }), "valid", "while the token itself is valid");
	token_keys_free(keys);
}

static void
verify_loudly(void *arena)
{
	struct token_keys *keys = some_keys("k1 " SECRET_A "\n");
	verify(arena, keys, forge(arena, HEADER, GOOD, key_bytes('C', 32), 256));
	log_set_level(LOG_LEVEL_DEBUG);
	verify(arena, keys, forge(arena, HEADER, CLAIMS("\"iat\":1,\"exp\":2"), key_bytes('A', 32), 256));
	token_keys_free(keys);
}

static void
test_log(struct arena *arena)
{
	char lines[2048];
	run_child(verify_loudly, arena, lines, sizeof(lines));
	ok(strstr(lines, "signature") == NULL, "nothing is logged above debug level");
	ok(strstr(lines, "\"event\":\"token\",\"message\":\"refused: it has expired\"") != NULL,
	    "at debug level the reason is");
	ok(strstr(lines, "eyJ") == NULL && strstr(lines, USER) == NULL, "without the token or the user");
}

int
main(void)
{
	static void (*const tests[])(struct arena *) = { test_round_trip, test_content, test_headers, test_claims,
		test_signatures, test_forms, test_long, test_corruption, test_log, test_renew };
	struct arena *arena = arena_new();
	test_key_files();
	test_bad_key_files();
	test_derive();
	for (size_t i = 0; i < COUNT_OF(tests); i++) {
		tests[i](arena);
		arena_reset(arena);
	}
	arena_free(arena);
	return done();
}
