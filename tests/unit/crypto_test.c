#include <errno.h>
#include <openssl/provider.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "crypto.h"
#include "encode.h"
#include "fault.h"
#include "log.h"
#include "tap.h"

static void
is_hex(const uint8_t *bytes, size_t len, const char *want, const char *name)
{
	char text[2 * SHA512_BYTES + 1];
	hex_encode(text, bytes, len);
	is_string(text, want, "%s", name);
}

static struct slice
repeated(char c, size_t len)
{
	static char bytes[1000];
	memset(bytes, c, sizeof(bytes));
	return (struct slice){ bytes, len };
}

/* The wanted values here and below were made with Python's hashlib and hmac. */
static void
test_sha256(void)
{
	uint8_t hash[SHA256_BYTES];
	crypto_sha256(hash, NULL, 0);
	is_hex(hash, sizeof(hash), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
	    "SHA-256 of nothing");
	crypto_sha256(hash, "abc", 3);
	is_hex(
	    hash, sizeof(hash), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad", "SHA-256 of abc");
	crypto_sha256(hash, repeated('a', 1000).data, 1000);
	is_hex(hash, sizeof(hash), "41edece42d63e8d9bf515a9ba6932e1c20cbc9f5a5d134645adb5db1b9737ea3",
	    "SHA-256 of a thousand times a");
}

static void
test_sha256_in_pieces(void)
{
	uint8_t whole[SHA256_BYTES], pieces[SHA256_BYTES];
	const char *text = repeated('a', 1000).data;
	crypto_sha256(whole, text, 1000);
	struct crypto_hash *hash = crypto_hash_new();
	for (size_t at = 0, len = 0; at < 1000; at += len, len++)
		crypto_hash_add(hash, text + at, at + len > 1000 ? 1000 - at : len);
	crypto_hash_end(hash, pieces);
	is_bytes(pieces, sizeof(pieces), whole, sizeof(whole), "SHA-256 in pieces is that of the whole");
	crypto_hash_end(crypto_hash_new(), pieces);
	crypto_sha256(whole, NULL, 0);
	is_bytes(pieces, sizeof(pieces), whole, sizeof(whole), "and that of none is that of nothing");
}

static void
test_hmac(void)
{
	static const struct {
		size_t key_len;
		int bits;
		const char *want;
	} cases[] = {
		{ 0, 256, "adf339eb4e16f103a2eb80b29853b6d0b2c36696b5ee5c7bff566353935dca68" },
		{ 64, 256, "6507aeb80eeb997e4125a2e585eb1da31e6d59ea1c193ecb02406d64b6fe7c0d" },
		{ 65, 256, "406dd0b3d1ecec6532fde35d878245202e18480306a266a203513e605a33f916" },
		{ 200, 256, "fa3d9db0d9bb02a8b238184d117bb0b437564880cca85f95739b7d863513fba4" },
		{ 200, 384,
		    "11baef53a8f752a120983936ce81175ef9d3bf04fc1110f0d18623ea1b47a0e6"
		    "eb6a3baee6f0644372691cae42691304" },
		{ 64, 512,
		    "331fae514e9327e3a1255ead71922351adc415ae3d59293940285d1d2a098000"
		    "5fcb05d24cf7e63e23d5f7e7c6330fe14bc58e66d0b5dcc41c136ebb840413a8" },
	};
	static const char message[] = "what is signed";
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		uint8_t mac[SHA512_BYTES];
		struct slice key = repeated('k', cases[i].key_len);
		size_t len = crypto_hmac_sha2(mac, cases[i].bits, key, message, strlen(message));
		is_int((long long)len, cases[i].bits / 8, "length of an HMAC of %d bits", cases[i].bits);
		is_hex(mac, len, cases[i].want, "its value");
	}
	uint8_t mac[SHA256_BYTES];
	crypto_hmac_sha256(mac, repeated('k', 65), message, strlen(message));
	is_hex(mac, sizeof(mac), cases[2].want, "HMAC-SHA-256 by its own name");
	crypto_hmac_sha256(mac, (struct slice){ 0 }, message, strlen(message));
	is_hex(mac, sizeof(mac), cases[0].want, "an absent key is the empty key, not the one before");
}

static void
test_random(void)
{
	enum { COUNT = 1000 };
	static uint8_t pieces[COUNT][16];
	bool differ = true;
	int bits = 0;
	for (size_t i = 0; i < COUNT; i++) {
		crypto_random(pieces[i], sizeof(pieces[i]));
		for (size_t j = 0; j < i; j++)
			differ = differ && memcmp(pieces[i], pieces[j], sizeof(pieces[i])) != 0;
		for (size_t j = 0; j < sizeof(pieces[i]); j++)
			bits += __builtin_popcount(pieces[i][j]);
	}
	ok(differ, "a thousand times 16 random bytes: none twice");
	ok(bits > 62000 && bits < 66000, "half of the bits are set");
	uint8_t *large = calloc(1, 100000);
	crypto_random(large, 100000);
	int zeros = 0;
	for (size_t i = 0; i < 100000; i++)
		zeros += large[i] == 0;
	ok(zeros < 1000, "a large piece is filled to its end");
	free(large);
	crypto_random(NULL, 0);
}

static void
test_equal_and_wipe(void)
{
	char a[64], b[64];
	memset(a, 'x', sizeof(a));
	memcpy(b, a, sizeof(b));
	ok(crypto_equal(a, b, sizeof(a)), "equal bytes are equal");
	bool seen = true;
	for (size_t i = 0; i < 8 * sizeof(a); i++) {
		b[i / 8] ^= (char)(1 << i % 8);
		seen = seen && !crypto_equal(a, b, sizeof(a));
		memcpy(b, a, sizeof(b));
	}
	ok(seen, "one bit anywhere makes them differ");
	ok(crypto_equal(a, b, 0), "nothing is equal to nothing");
	crypto_wipe(a, sizeof(a));
	memset(b, 0, sizeof(b));
	is_bytes(a, sizeof(a), b, sizeof(b), "wiped memory is zero");
}

/* Each in a process of its own, which may not live to its end: with no digest, or no source of random bytes. */
static void
hash_at_once(void *ignored)
{
	uint8_t hash[SHA256_BYTES];
	(void)ignored;
	OSSL_PROVIDER_load(NULL, "null");
	crypto_sha256(hash, "", 0);
}

static void
hash_in_pieces(void *ignored)
{
	(void)ignored;
	OSSL_PROVIDER_load(NULL, "null");
	crypto_hash_new();
}

static void
authenticate(void *ignored)
{
	uint8_t mac[SHA256_BYTES];
	(void)ignored;
	OSSL_PROVIDER_load(NULL, "null");
	crypto_hmac_sha256(mac, SLICE("key"), "", 0);
}

static void
take_random(void *ignored)
{
	uint8_t bytes[16];
	(void)ignored;
	if (fault_refuse(SYS_getrandom, ENOSYS))
		crypto_random(bytes, sizeof(bytes));
}

/* Before libcrypto has been used at all: it keeps what it has found. */
static void
test_machine_in_trouble(void)
{
	static const struct {
		void (*run)(void *);
		const char *said;
	} cases[] = { { hash_at_once, "SHA-256 failed" }, { hash_in_pieces, "SHA-256 failed" }, { authenticate, "HMAC failed" },
		{ take_random, "no random bytes: " } };
	char said[1024];

	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		is_int(run_child(cases[i].run, NULL, said, sizeof(said)), LOG_FATAL_STATUS, "no result is never taken for one");
		ok(strstr(said, cases[i].said) != NULL, "\"%s\": %s", cases[i].said, said);
	}
}

/* Ends with 0 when the child sees none of the bytes. */
static void
look_for_keys(void *keys)
{
	static const char zeros[100];
	_exit(memcmp(keys, zeros, sizeof(zeros)) == 0 ? 0 : 1);
}

static void
test_keys(void)
{
	char *keys = crypto_keys_new(100), errors[256];
	memset(keys, 'x', 100);
	is_int(run_child(look_for_keys, keys, errors, sizeof(errors)), 0, "a child process has no keys");
	ok(keys[0] == 'x' && keys[99] == 'x', "its parent still has");
	crypto_keys_free(keys, 100);
	crypto_keys_free(NULL, 100);
}

int
main(void)
{
	test_machine_in_trouble();
	test_sha256();
	test_sha256_in_pieces();
	test_hmac();
	test_random();
	test_equal_and_wipe();
	test_keys();
	return done();
}
