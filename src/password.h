/* Passwords: bcrypt by crypt_r(3) of libxcrypt, in the form $2b$NN$... */
#ifndef JOBFORGE_PASSWORD_H
#define JOBFORGE_PASSWORD_H

#include "base.h"

enum {
	PASSWORD_MIN = 8,
	PASSWORD_MAX = 72, /* bytes: bcrypt reads no more, and a longer one is refused, never cut */
	PASSWORD_HASH_SIZE = 64
};

/* Hashes with a fresh salt at `cost` (4..31) into `out`. `password` holds no NUL and PASSWORD_MAX bytes at most.
 * Returns 0, or -1 with a line in the log when crypt_r() fails. */
int password_hash(char out[PASSWORD_HASH_SIZE], struct slice password, int cost) MUST_CHECK;

/*
 * Whether `password` is the one `hash` was made of. With `hash` NULL (no such user) it hashes all the same, at `cost`,
 * and answers false, so that both take the same time; so does a wrong password for a hash of a lower cost, of a user who has not
 * signed in since the cost was raised. Anything crypt_r() does not take as a bcrypt hash never matches.
 */
bool password_verify(const char *hash, struct slice password, int cost) MUST_CHECK;

/* Whether `hash` was made at a cost below `cost`, or is not bcrypt: then it is made anew at the next login. */
bool password_is_weak(const char *hash, int cost);

#endif
