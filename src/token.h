/*
 * Access tokens: JWT (RFC 7519) in the profile of RFC 9068, signed with one configured HMAC algorithm. The one file
 * that includes libjwt's header is token.c.
 *
 * libjwt 1.x would check a signature and nothing else, and 1.10 not even that of a token whose typ is at+jwt. So the
 * length, the header (alg, kid, typ, no crit), the signature and the claims iss, aud, sub, iat, exp, and nbf where
 * there is one, are checked here.
 */
#ifndef JOBFORGE_TOKEN_H
#define JOBFORGE_TOKEN_H

#include "base.h"
#include "encode.h"

struct arena;
struct token_keys;

enum {
	TOKEN_MAX = 2048,      /* characters of a token; longer ones are refused unread */
	TOKEN_CLOCK_SKEW = 30, /* seconds of difference between the clocks of several hosts that iat may show */
	TOKEN_MAX_KEYS = 8,
	TOKEN_KEY_BYTES = 32 /* the least a secret may hold, before base64url (RFC 7518 section 3.2) */
};

struct token_policy {
	const char *algorithm; /* HS256, HS384 or HS512 */
	const char *issuer;
	const char *audience;
	int lifetime; /* seconds */
};

/*
 * Reads a key file: a line a key, `kid secret`, the secret as base64url of at least TOKEN_KEY_BYTES bytes; '#' comments
 * and empty lines are skipped. The first key signs, all verify. A file that others than its owner may read or write, a
 * malformed or repeated line, or none at all, is an error: NULL, with a sentence that names file and line in `error`.
 * The caller owns the result and gives it to token_keys_free(), which wipes it.
 */
struct token_keys *token_keys_read(const char *path, char *error, size_t error_size) MUST_CHECK;
void token_keys_free(struct token_keys *keys);

/*
 * Reads the file again when it has changed since; a file that cannot be used leaves the keys as they are. True when there are new keys. For a token that fails: a worker that still drains must know the key that a newer
 * worker signs with.
 */
bool token_keys_renew(struct token_keys *keys);

/* A secret for other uses (signing cursors), derived from each key and `purpose` by HMAC; `index` from 0, the signing
 * key first. False when there are no more keys. */
bool token_keys_derive(const struct token_keys *keys, size_t index, const char *purpose, uint8_t out[32]) MUST_CHECK;

/* Signs a token for `user_id`, issued at `now` (seconds since the epoch). In the arena; NULL when libjwt fails, when
 * the policy names no known algorithm, when `user_id` is no UUID, or when the token would be longer than TOKEN_MAX. */
char *token_sign(struct arena *arena, const struct token_keys *keys, const struct token_policy *policy,
    const char *user_id, int64_t now) MUST_CHECK;

enum token_result { TOKEN_VALID, TOKEN_INVALID, TOKEN_EXPIRED };

/* Whom a valid token is of, and for how long. */
struct token_subject {
	char user_id[UUID_TEXT + 1]; /* `sub`, a UUID in lower case */
	int64_t expires;             /* `exp`, seconds since the epoch */
};

/* Checks a token and fills in its `subject`. Which check failed goes to the log at debug level only. */
enum token_result token_verify(struct arena *arena, const struct token_keys *keys, const struct token_policy *policy,
    struct slice token, int64_t now, struct token_subject *subject) MUST_CHECK;

#endif
