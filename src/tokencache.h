/*
 * Access tokens that were verified a moment ago, so that the next request with one need not be verified again: a client sends
 * the same token for as long as it lives. What is kept is kept whole and compared whole, in constant time; a token that
 * was never verified is never found.
 */
#ifndef JOBFORGE_TOKENCACHE_H
#define JOBFORGE_TOKENCACHE_H

#include "token.h"

struct token_cache;

enum {
	TOKEN_CACHE_PLACES = 4096,
	TOKEN_CACHE_LENGTH = 440 /* longer tokens are not kept */
};

/* An empty cache of about 2 MiB, of which only what is used takes memory. Ends the process when out of memory. */
struct token_cache *token_cache_new(void);

/* Wipes and frees it. */
void token_cache_free(struct token_cache *cache);

/* Who the token is of, when it was kept and its times still hold at `now`; else NULL. A clock that was set back makes it
 * unknown: the times of a token have to be looked at again. Valid until the next call with this cache. */
const struct token_subject *token_cache_find(const struct token_cache *cache, struct slice token, int64_t now);

/* Keeps a token that token_verify() found valid at `now`, in the place of another one. */
void token_cache_keep(struct token_cache *cache, struct slice token, const struct token_subject *subject, int64_t now);

/* Forgets all: for when the keys have changed. */
void token_cache_clear(struct token_cache *cache);

#endif
