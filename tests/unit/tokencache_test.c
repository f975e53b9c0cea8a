#include <stdio.h>
#include <stdlib.h>

#include "tap.h"
#include "tokencache.h"

#define ALICE "123e4567-e89b-12d3-a456-426614174000"
#define BOB "123e4567-e89b-12d3-a456-426614174001"

enum { NOW = 1000000, LIFETIME = 900 };

static const struct slice token = SLICE("aaaaaaaa.bbbbbbbb.cccccccc");

static const char *
find(const struct token_cache *cache, struct slice sought, int64_t now)
{
	const struct token_subject *subject = token_cache_find(cache, sought, now);
	return subject == NULL ? "unknown" : subject->user_id;
}

static void
keep(struct token_cache *cache, struct slice kept, const char *user_id)
{
	struct token_subject subject = { .expires = NOW + LIFETIME };
	memcpy(subject.user_id, user_id, UUID_TEXT + 1);
	token_cache_keep(cache, kept, &subject, NOW);
}

static void
test_times(void)
{
	struct token_cache *cache = token_cache_new();
	is_string(find(cache, token, NOW), "unknown", "nothing is in an empty cache");
	keep(cache, token, ALICE);
	is_string(find(cache, token, NOW), ALICE, "a token that was kept is found");
	is_string(find(cache, token, NOW + LIFETIME - 1), ALICE, "also in its last second");
	is_string(find(cache, token, NOW + LIFETIME), "unknown", "not when it has expired");
	is_string(find(cache, token, NOW - 1), "unknown", "nor when the clock was set back");
	token_cache_clear(cache);
	is_string(find(cache, token, NOW), "unknown", "nor when all was forgotten");
	token_cache_free(cache);
	token_cache_free(NULL);
}

/* Each change keeps the end, and so the place in the cache, where it can. */
static void
test_other_tokens(void)
{
	struct token_cache *cache = token_cache_new();
	char other[64];
	keep(cache, token, ALICE);
	for (size_t i = 0; i < token.len; i++) {
		memcpy(other, token.data, token.len);
		other[i] ^= 1;
		is_string(find(cache, (struct slice){ other, token.len }, NOW), "unknown", "another byte at %zu", i);
	}
	for (size_t len = 0; len < token.len; len++)
		is_string(find(cache, (struct slice){ token.data + token.len - len, len }, NOW), "unknown",
		    "only the last %zu bytes", len);
	token_cache_free(cache);
}

static void
test_same_place(void)
{
	struct token_cache *cache = token_cache_new();
	static const struct slice others = SLICE("xxxxxxxx.yyyyyyyy.cccccccc");
	keep(cache, token, ALICE);
	keep(cache, others, BOB);
	is_string(find(cache, others, NOW), BOB, "the newer one of two with the same end is found");
	is_string(find(cache, token, NOW), "unknown", "the older one is not");
	token_cache_free(cache);
}

static void
test_lengths(void)
{
	struct token_cache *cache = token_cache_new();
	char *text = malloc(TOKEN_CACHE_LENGTH + 1);
	memset(text, 'a', TOKEN_CACHE_LENGTH + 1);
	keep(cache, (struct slice){ text, TOKEN_CACHE_LENGTH }, ALICE);
	is_string(find(cache, (struct slice){ text, TOKEN_CACHE_LENGTH }, NOW), ALICE, "the longest is kept");
	keep(cache, (struct slice){ text, TOKEN_CACHE_LENGTH + 1 }, BOB);
	is_string(find(cache, (struct slice){ text, TOKEN_CACHE_LENGTH + 1 }, NOW), "unknown", "a longer one is not");
	keep(cache, (struct slice){ text, 3 }, BOB);
	is_string(find(cache, (struct slice){ text, 3 }, NOW), "unknown", "nor one of three bytes");
	free(text);
	token_cache_free(cache);
}

static void
test_many(void)
{
	enum { MANY = 3 * TOKEN_CACHE_PLACES };
	struct token_cache *cache = token_cache_new();
	char text[32];
	int found = 0, wrong = 0;
	for (int i = 0; i < MANY; i++) {
		int len = snprintf(text, sizeof(text), "%08x.%08x", i, (unsigned)i * 2246822519u);
		keep(cache, (struct slice){ text, (size_t)len }, i % 2 == 0 ? ALICE : BOB);
	}
	for (int i = 0; i < MANY; i++) {
		int len = snprintf(text, sizeof(text), "%08x.%08x", i, (unsigned)i * 2246822519u);
		const char *user = find(cache, (struct slice){ text, (size_t)len }, NOW);
		found += strcmp(user, "unknown") != 0;
		wrong += strcmp(user, "unknown") != 0 && strcmp(user, i % 2 == 0 ? ALICE : BOB) != 0;
	}
	is_int(wrong, 0, "none of many tokens is taken for another");
	ok(found > TOKEN_CACHE_PLACES / 2 && found <= TOKEN_CACHE_PLACES, "most places are used: %d", found);
	token_cache_free(cache);
}

int
main(void)
{
	test_times();
	test_other_tokens();
	test_same_place();
	test_lengths();
	test_many();
	return done();
}
