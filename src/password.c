#include <crypt.h>
#include <stdio.h>
#include <stdlib.h>

#include "crypto.h"
#include "log.h"
#include "password.h"

enum { HASH_TEXT = 60, SALT_AT = 7 };

/* The cost in "$2b$NN$", or -1 for what is no bcrypt hash. $2a$ and $2y$ are the same to libxcrypt; $2x$ is a flawed
 * one. */
static int
cost_of(const char *hash)
{
	static const char alphabet[] = "./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
	if (strlen(hash) != HASH_TEXT || strspn(hash + SALT_AT, alphabet) != HASH_TEXT - SALT_AT)
		return -1;
	if (strncmp(hash, "$2", 2) != 0 || strchr("aby", hash[2]) == NULL || hash[3] != '$' || hash[6] != '$')
		return -1;
	if (hash[4] < '0' || hash[4] > '9' || hash[5] < '0' || hash[5] > '9')
		return -1;
	return (hash[4] - '0') * 10 + (hash[5] - '0');
}

/* Hashes by `setting` (a salt, or a hash for its salt) into `out`; false when libxcrypt takes either for wrong. */
static bool
hash_by(const char *setting, struct slice password, char out[PASSWORD_HASH_SIZE])
{
	char phrase[PASSWORD_MAX + 1] = { 0 };
	if (password.data == NULL || password.len > PASSWORD_MAX || memchr(password.data, '\0', password.len) != NULL)
		return false;
	struct crypt_data *data = calloc(1, sizeof(*data)); /* 32 KiB */
	if (data == NULL)
		log_fatal("out_of_memory", "no memory to hash a password");

	memcpy(phrase, password.data, password.len);
	const char *hash = crypt_r(phrase, setting, data);
	bool hashed = hash != NULL && strlen(hash) == HASH_TEXT && cost_of(hash) >= 0;
	if (hashed)
		memcpy(out, hash, HASH_TEXT + 1);
	crypto_wipe(phrase, sizeof(phrase));
	crypto_wipe(data, sizeof(*data));
	free(data);
	return hashed;
}

int
password_hash(char out[PASSWORD_HASH_SIZE], struct slice password, int cost)
{
	char salt[CRYPT_GENSALT_OUTPUT_SIZE];
	if (crypt_gensalt_rn("$2b$", (unsigned long)cost, NULL, 0, salt, sizeof(salt)) == NULL ||
	    !hash_by(salt, password, out)) {
		log_write(LOG_LEVEL_ERROR, "password", "libxcrypt could not hash a password at cost %d", cost);
		return -1;
	}
	return 0;
}

/* Takes as long as a real comparison. */
static void
hash_in_vain(int cost)
{
	char hash[PASSWORD_HASH_SIZE];
	int result = password_hash(hash, SLICE("no such user"), cost);
	(void)result;
}

/* What a hash of a lower cost took less. Each step doubles the time: 2^n + (2^n + 2^(n+1) + ... + 2^(cost-1)) = 2^cost. */
static void
make_up(int lower, int cost)
{
	for (int step = lower; step < cost; step++)
		hash_in_vain(step);
}

bool
password_verify(const char *hash, struct slice password, int cost)
{
	char again[PASSWORD_HASH_SIZE];
	if (hash == NULL || cost_of(hash) < 0 || !hash_by(hash, password, again)) {
		hash_in_vain(cost);
		return false;
	}
	bool same = crypto_equal(hash, again, HASH_TEXT);
	crypto_wipe(again, sizeof(again));
	if (!same)
		make_up(cost_of(hash), cost);
	return same;
}

bool
password_is_weak(const char *hash, int cost)
{
	return cost_of(hash) < cost;
}
