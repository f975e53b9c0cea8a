/* Random bytes, SHA-256, HMAC by SHA-2, comparison and wiping of secrets. The one file that includes OpenSSL's headers
 * is crypto.c. A failure of the library itself ends the process: there is nothing sane to answer without it. */
#ifndef JOBFORGE_CRYPTO_H
#define JOBFORGE_CRYPTO_H

#include "base.h"

enum { SHA256_BYTES = 32, SHA512_BYTES = 64 };

/* From getrandom(2); never blocks after boot. */
void crypto_random(void *out, size_t len);

void crypto_sha256(uint8_t out[SHA256_BYTES], const void *data, size_t len);

/* SHA-256 of what comes piece by piece. Begun by crypto_hash_new(), ended by crypto_hash_end(), which frees it. */
struct crypto_hash;
struct crypto_hash *crypto_hash_new(void);
void crypto_hash_add(struct crypto_hash *hash, const void *data, size_t len);
void crypto_hash_end(struct crypto_hash *hash, uint8_t out[SHA256_BYTES]);

void crypto_hmac_sha256(uint8_t out[SHA256_BYTES], struct slice key, const void *data, size_t len);

/* HMAC by the SHA-2 of `bits` (256, 384 or 512); writes and returns bits / 8 bytes. */
size_t crypto_hmac_sha2(uint8_t out[SHA512_BYTES], int bits, struct slice key, const void *data, size_t len);

/* Compares in time that depends on `len` alone. */
bool crypto_equal(const void *a, const void *b, size_t len);

/* Zeroed memory for keys: in no core file, and zeros to a child process. Ends the process when there is none. */
void *crypto_keys_new(size_t size);

/* Wipes it and gives it back; NULL is allowed. */
void crypto_keys_free(void *keys, size_t size);

/* Overwrites memory in a way that the compiler keeps. */
void crypto_wipe(void *data, size_t len);

#endif
