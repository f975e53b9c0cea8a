/*
 * Access tokens: token.c and tokencache.c. The input is a header, a line feed and claims, which are signed here with
 * the service's own key, so that the input is judged by what it says; its last byte says where the token is changed
 * afterwards. "NOW+n" and "NOW-n" in it stand for a number of seconds.
 *
 * Holds for every input: a token is taken only when its header and claims say what token.h asks for, read here once
 * more; with one character changed, cut off or added it is invalid, and not one that is kept; the input as a token is
 * invalid.
 */
#include "fuzz.h"

#include <stdlib.h>
#include <strings.h>

#include "crypto.h"
#include "encode.h"
#include "json.h"
#include "token.h"
#include "tokencache.h"

enum { NOW = 1800000000 };

static struct slice
with_times(struct slice text)
{
	struct buffer out = { 0 };

	for (size_t i = 0; i < text.len; i++) {
		bool time = text.len - i > 5 && memcmp(text.data + i, "NOW", 3) == 0 &&
		    (text.data[i + 3] == '+' || text.data[i + 3] == '-');
		if (!time) {
			buffer_putc(&out, text.data[i]);
			continue;
		}
		long seconds = 0;
		size_t digit = i + 4, most = i + 12 < text.len ? i + 12 : text.len;
		for (; digit < most && text.data[digit] >= '0' && text.data[digit] <= '9'; digit++)
			seconds = seconds * 10 + text.data[digit] - '0';
		buffer_printf(&out, "%ld", text.data[i + 3] == '+' ? NOW + seconds : NOW - seconds);
		i = digit - 1;
	}
	struct slice copy = { arena_copy(fuzz_arena(), out.data, out.len), out.len };
	buffer_free(&out);
	return copy;
}

static struct slice
sign(struct slice header, struct slice claims)
{
	struct slice key = { (const char *)fuzz_key, sizeof(fuzz_key) };
	uint8_t mac[SHA256_BYTES];
	char *token = arena_alloc(fuzz_arena(), BASE64URL_TEXT(header.len) + BASE64URL_TEXT(claims.len) + 64);
	size_t len = base64url_encode(token, header.data, header.len);

	token[len++] = '.';
	len += base64url_encode(token + len, claims.data, claims.len);
	crypto_hmac_sha256(mac, key, token, len);
	token[len++] = '.';
	len += base64url_encode(token + len, mac, sizeof(mac));
	return (struct slice){ token, len };
}

static enum token_result
verify(struct slice token, struct token_subject *subject)
{
	const struct service *service = fuzz_service(POOL_API);

	return token_verify(fuzz_arena(), service->keys, &service->token_policy, fuzz_exact(token), NOW, subject);
}

static bool
says(const struct json *object, const char *name, const char *value)
{
	return slice_is(json_string(json_get(object, name)), value);
}

/* What every token that is not invalid says, whether it has expired or not. */
static void
check_taken(struct slice header_text, struct slice claims_text, enum token_result result,
    const struct token_subject *taken)
{
	const char *error;
	int64_t issued, expires, not_before = 0;
	const struct json *header = json_parse(fuzz_arena(), header_text.data, header_text.len, &error);
	const struct json *claims = json_parse(fuzz_arena(), claims_text.data, claims_text.len, &error);

	HOLDS(header != NULL && claims != NULL);
	HOLDS(says(header, "alg", "HS256") && says(header, "kid", FUZZ_KEY_ID) && json_get(header, "crit") == NULL);
	struct slice type = json_string(json_get(header, "typ"));
	HOLDS(type.len >= 6 && strncasecmp(type.data + type.len - 6, "at+jwt", 6) == 0);
	HOLDS(says(claims, "iss", "jobforge") && says(claims, "aud", "jobforge-api"));
	HOLDS(json_integer(json_get(claims, "iat"), &issued) && issued <= NOW + TOKEN_CLOCK_SKEW);
	HOLDS(json_integer(json_get(claims, "exp"), &expires));
	HOLDS(result == (expires > NOW ? TOKEN_VALID : TOKEN_EXPIRED));
	HOLDS(json_get(claims, "nbf") == NULL || json_integer(json_get(claims, "nbf"), &not_before));
	HOLDS(not_before <= NOW + TOKEN_CLOCK_SKEW);
	struct slice subject = json_string(json_get(claims, "sub"));
	HOLDS(uuid_valid(subject.data, subject.len));
	if (result == TOKEN_VALID)
		HOLDS(strncasecmp(taken->user_id, subject.data, UUID_TEXT) == 0 && taken->expires == expires);
}

static void
check_unknown(struct slice token)
{
	struct token_subject subject;

	HOLDS(token_cache_find(fuzz_service(POOL_API)->tokens, fuzz_exact(token), NOW) == NULL);
	HOLDS(verify(token, &subject) == TOKEN_INVALID);
}

static void
check_kept(struct slice token, const struct token_subject *subject)
{
	struct token_cache *cache = fuzz_service(POOL_API)->tokens;

	token_cache_keep(cache, token, subject, NOW);
	const struct token_subject *found = token_cache_find(cache, fuzz_exact(token), NOW);
	HOLDS(found == NULL || (strcmp(found->user_id, subject->user_id) == 0 && found->expires == subject->expires));
	HOLDS((found == NULL) == (token.len > TOKEN_CACHE_LENGTH));
	HOLDS(token_cache_find(cache, fuzz_exact(token), subject->expires) == NULL);
}

static void
check_changed(struct slice token, size_t at)
{
	static const char letters[] = "A8_.=";
	char *changed = arena_copy(fuzz_arena(), token.data, token.len);

	at = at * token.len / 256;
	for (size_t i = 0; i + 1 < sizeof(letters); i++) {
		changed[at] = letters[i];
		if (letters[i] != token.data[at])
			check_unknown((struct slice){ changed, token.len });
	}
	check_unknown((struct slice){ token.data, at });
	changed = arena_printf(fuzz_arena(), "%.*sA", (int)token.len, token.data);
	check_unknown((struct slice){ changed, token.len + 1 });
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice input = { (const char *)data, size };
	struct token_subject subject;
	size_t at = size == 0 ? 0 : data[size - 1];

	HOLDS(verify(input, &subject) == TOKEN_INVALID);
	input.len -= size > 0;
	struct slice header = with_times(fuzz_line(&input)), claims = with_times(input);
	struct slice token = sign(header, claims);
	enum token_result result = verify(token, &subject);
	HOLDS(result == TOKEN_INVALID || token.len <= TOKEN_MAX);
	if (result != TOKEN_INVALID) {
		check_taken(header, claims, result, &subject);
		if (result == TOKEN_VALID)
			check_kept(token, &subject);
		check_changed(token, at);
	}
	arena_reset(fuzz_arena());
	return 0;
}
