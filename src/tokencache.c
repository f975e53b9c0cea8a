#include "tokencache.h"

#include <stdlib.h>

#include "crypto.h"
#include "log.h"

struct place {
	struct token_subject subject;
	int64_t verified;
	size_t len; /* 0: nothing is here */
	char token[TOKEN_CACHE_LENGTH];
};

struct token_cache {
	struct place places[TOKEN_CACHE_PLACES];
};

struct token_cache *
token_cache_new(void)
{
	return crypto_keys_new(sizeof(struct token_cache)); /* a process for a text that may be hostile has none of them */
}

void
token_cache_free(struct token_cache *cache)
{
	if (cache == NULL)
		return;
	crypto_keys_free(cache, sizeof(*cache));
}

/* The end of a token is its signature, which is as good as random: no hash is needed. */
static size_t
number_of(struct slice token)
{
	uint32_t end;

	memcpy(&end, token.data + token.len - sizeof(end), sizeof(end));
	return (size_t)(end * 2654435761u >> 20) % TOKEN_CACHE_PLACES;
}

static bool
fits(struct slice token)
{
	return token.len >= sizeof(uint32_t) && token.len <= TOKEN_CACHE_LENGTH;
}

const struct token_subject *
token_cache_find(const struct token_cache *cache, struct slice token, int64_t now)
{
	if (!fits(token))
		return NULL;
	const struct place *place = &cache->places[number_of(token)];
	if (place->len != token.len || now < place->verified || now >= place->subject.expires)
		return NULL;
	return crypto_equal(place->token, token.data, token.len) ? &place->subject : NULL;
}

void
token_cache_keep(struct token_cache *cache, struct slice token, const struct token_subject *subject, int64_t now)
{
	if (!fits(token))
		return;
	struct place *place = &cache->places[number_of(token)];
	*place = (struct place){ .subject = *subject, .verified = now, .len = token.len };
	memcpy(place->token, token.data, token.len);
}

void
token_cache_clear(struct token_cache *cache)
{
	/* A place that was never used is not touched, or all of it would take memory. */
	for (size_t i = 0; i < TOKEN_CACHE_PLACES; i++)
		if (cache->places[i].len > 0)
			crypto_wipe(&cache->places[i], sizeof(cache->places[i]));
}
