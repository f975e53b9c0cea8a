#include <errno.h>
#include <limits.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <sys/mman.h>
#include <sys/random.h>

#include "crypto.h"
#include "log.h"

void
crypto_random(void *out, size_t len)
{
	uint8_t *at = out;
	while (len > 0) {
		ssize_t got = getrandom(at, len, 0);
		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			log_fatal("crypto", "no random bytes: %s", strerror(errno));
		at += got;
		len -= (size_t)got;
	}
}

/* For the results of libcrypto, none of which may be other than 1. */
static void
require_success(int result)
{
	if (result != 1)
		log_fatal("crypto", "SHA-256 failed");
}

void
crypto_sha256(uint8_t out[SHA256_BYTES], const void *data, size_t len)
{
	require_success(EVP_Digest(data, len, out, NULL, EVP_sha256(), NULL));
}

/* An EVP_MD_CTX under a name of our own: there is nothing to add to it. */
static EVP_MD_CTX *
context_of(struct crypto_hash *hash)
{
	return (EVP_MD_CTX *)hash;
}

struct crypto_hash *
crypto_hash_new(void)
{
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	require_success(context != NULL && EVP_DigestInit_ex(context, EVP_sha256(), NULL) == 1);
	return (struct crypto_hash *)context;
}

void
crypto_hash_add(struct crypto_hash *hash, const void *data, size_t len)
{
	require_success(EVP_DigestUpdate(context_of(hash), data, len));
}

void
crypto_hash_end(struct crypto_hash *hash, uint8_t out[SHA256_BYTES])
{
	require_success(EVP_DigestFinal_ex(context_of(hash), out, NULL));
	EVP_MD_CTX_free(context_of(hash));
}

static void
hmac(uint8_t *out, const EVP_MD *digest, struct slice key, const void *data, size_t len)
{
	if (key.len > INT_MAX || HMAC(digest, key.data, (int)key.len, data, len, out, NULL) == NULL)
		log_fatal("crypto", "HMAC failed");
}

void
crypto_hmac_sha256(uint8_t out[SHA256_BYTES], struct slice key, const void *data, size_t len)
{
	hmac(out, EVP_sha256(), key, data, len);
}

size_t
crypto_hmac_sha2(uint8_t out[SHA512_BYTES], int bits, struct slice key, const void *data, size_t len)
{
	const EVP_MD *digest = bits == 256 ? EVP_sha256() : bits == 384 ? EVP_sha384() : EVP_sha512();
	hmac(out, digest, key, data, len);
	return (size_t)EVP_MD_get_size(digest);
}

bool
crypto_equal(const void *a, const void *b, size_t len)
{
	return CRYPTO_memcmp(a, b, len) == 0;
}

void
crypto_wipe(void *data, size_t len)
{
	OPENSSL_cleanse(data, len);
}

void *
crypto_keys_new(size_t size)
{
	void *keys = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (keys == MAP_FAILED)
		log_fatal("out_of_memory", "no memory for keys");
	(void)madvise(keys, size, MADV_DONTDUMP); /* what a kernel does not know is no reason to stop */
	(void)madvise(keys, size, MADV_WIPEONFORK);
	return keys;
}

void
crypto_keys_free(void *keys, size_t size)
{
	if (keys == NULL)
		return;
	crypto_wipe(keys, size);
	munmap(keys, size);
}
