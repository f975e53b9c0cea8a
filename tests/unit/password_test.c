#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "password.h"
#include "tap.h"

#define X72 "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"

/* Made with the bcrypt module for Python, which has an implementation of its own. */
static const struct {
	struct slice password;
	const char *hash;
} vectors[] = {
	{ SLICE("testpass123"), "$2b$04$J8qg1uU6x50d8Q3zXYUodOX1z1ucY8VknHWNO4fUGuQpBSlo2O2I6" },
	{ SLICE("testpass123"), "$2a$05$fJLBedpW/dQ.E2SS8pPykurFzca.azq3iCkzGXy/06nIWjJ/nP262" },
	{ SLICE("p\xc3\xa4$$w\xc3\xb6rd \xe2\x82\xac"),
	    "$2b$04$MVt86eoCAi4zTheAW4vNVOrLuyRD/CQ7vZKfO2H6YSYzhRWmwVx8S" },
	{ SLICE(X72), "$2b$04$pYFwIzNvdIUKG6cK/9I0dOTqC2A5n.BlOBU5q.85DibtAIGoaJAii" },
	{ SLICE(" !\"#$%&'()*+,-./0123456789:;<=>?@[\\]^_`{|}~"),
	    "$2b$04$qTknTApyGkjPPderwhGLq.j2euW1tciAVbdAEP9UaRKryVKOdJ63." },
	{ SLICE(
	      "\xff\xfe\xfd\xfc\xfb\xfa\xf9\xf8\xf7\xf6\xf5\xf4\xf3\xf2\xf1\xf0\xef\xee\xed\xec\xeb\xea\xe9\xe8\xe7\xe6"
	      "\xe5\xe4\xe3\xe2\xe1\xe0\xdf\xde\xdd\xdc\xdb\xda\xd9\xd8"),
	    "$2b$04$.g3M1Z72UwUzaDkZQfCpIOzltT7mnMreGZMl5TgfUZHIZh8GMtZQq" },
};

static void
test_vectors(void)
{
	for (size_t i = 0; i < COUNT_OF(vectors); i++) {
		struct slice password = vectors[i].password;
		ok(password_verify(vectors[i].hash, password, 4), "vector %zu", i);
		password.len--;
		ok(!password_verify(vectors[i].hash, password, 4), "not without its last byte");
	}
	ok(!password_verify(vectors[0].hash, SLICE("Testpass123"), 4), "not in another case");
	ok(!password_verify(vectors[0].hash, SLICE("testpass123 "), 4), "not with a blank more");
	ok(!password_verify(vectors[0].hash, SLICE(""), 4), "not the empty password");
	ok(!password_verify(vectors[0].hash, (struct slice){ 0 }, 4), "not an absent one");
	ok(!password_verify(vectors[0].hash, SLICE("testpass123\0"), 4), "not with a NUL after it");
	ok(!password_verify(vectors[3].hash, SLICE(X72 "x"), 4), "73 bytes are not cut to 72");
	ok(!password_verify(vectors[3].hash, SLICE(X72 "\0"), 4), "nor at a NUL");
}

/* Each character of the hash that is changed makes it another, or none. */
static void
test_changed_hash(void)
{
	static const char others[] = "./0AZaz$*:\x01";
	char hash[PASSWORD_HASH_SIZE];
	bool refused = true;
	for (size_t place = 7; vectors[0].hash[place] != '\0'; place++) {
		strcpy(hash, vectors[0].hash);
		hash[place] = others[place % (sizeof(others) - 1)];
		if (hash[place] != vectors[0].hash[place])
			refused = refused && !password_verify(hash, vectors[0].password, 4);
	}
	ok(refused, "a hash with one character changed does not match");
}

static void
test_no_bcrypt(void)
{
	static const char *const hashes[] = { "", "x", "*0", "*1", "testpass123", "$2b$", "$2b$04$",
		"$2b$04$J8qg1uU6x50d8Q3zXYUodO", "$2b$04$J8qg1uU6x50d8Q3zXYUodOX1z1ucY8VknHWNO4fUGuQpBSlo2O2I",
		"$2b$04$J8qg1uU6x50d8Q3zXYUodOX1z1ucY8VknHWNO4fUGuQpBSlo2O2I66",
		"$2x$04$J8qg1uU6x50d8Q3zXYUodOX1z1ucY8VknHWNO4fUGuQpBSlo2O2I6",
		"$2$04$J8qg1uU6x50d8Q3zXYUodOX1z1ucY8VknHWNO4fUGuQpBSlo2O2I6",
		"$2b$4$J8qg1uU6x50d8Q3zXYUodOX1z1ucY8VknHWNO4fUGuQpBSlo2O2I66",
		"$2b$03$J8qg1uU6x50d8Q3zXYUodOX1z1ucY8VknHWNO4fUGuQpBSlo2O2I6",
		"$2b$99$J8qg1uU6x50d8Q3zXYUodOX1z1ucY8VknHWNO4fUGuQpBSlo2O2I6",
		"$2b$ab$J8qg1uU6x50d8Q3zXYUodOX1z1ucY8VknHWNO4fUGuQpBSlo2O2I6",
		"$2b$04$J8qg1uU6x50d8Q3zXYUodOX1z1ucY8VknHWNO4fUGuQpBSlo2O2\n6",
		/* what crypt_r(3) would take: DES, MD5, SHA-512 of "testpass123" */
		"abA5hjwYqm1.I", "$1$salt$8tW7uL9TLRGY.HFq8qLOK/",
		"$6$salt$5Wkh3Km7KMEB5lvhTOsHRMaDlKiGZwGOUQweYCI7cJaOjQ45TG30ZdywRLeMDPEendlANpT/41YKwNEyabiKa/" };
	for (size_t i = 0; i < COUNT_OF(hashes); i++)
		ok(!password_verify(hashes[i], SLICE("testpass123"), 4), "no bcrypt: %s", hashes[i]);
	ok(!password_verify(NULL, SLICE("testpass123"), 4), "no hash at all");
	ok(!password_verify(NULL, SLICE("no such user"), 4), "nor for the password that is hashed in its place");
}

static void
test_round_trip(void)
{
	char first[PASSWORD_HASH_SIZE], second[PASSWORD_HASH_SIZE];
	struct slice password = SLICE("correct horse \xc3\xa9");
	is_int(password_hash(first, password, 4), 0, "a password is hashed");
	is_int(password_hash(second, password, 5), 0, "and again");
	ok(strlen(first) == 60 && strncmp(first, "$2b$04$", 7) == 0, "in the form $2b$ with its cost: %s", first);
	ok(strncmp(second, "$2b$05$", 7) == 0, "at another cost: %s", second);
	ok(strncmp(first + 7, second + 7, 22) != 0, "with a fresh salt");
	ok(password_verify(first, password, 4) && password_verify(second, password, 4), "both match");
	ok(!password_verify(first, SLICE("correct horse \xc3\xa8"), 4), "another password does not");
}

static void
test_refused(void)
{
	char hash[PASSWORD_HASH_SIZE];
	is_int(password_hash(hash, SLICE(X72), 4), 0, "72 bytes are hashed");
	is_int(password_hash(hash, SLICE(X72 "x"), 4), -1, "73 bytes are not");
	is_int(password_hash(hash, SLICE("eight\0by"), 4), -1, "nor is a NUL");
	is_int(password_hash(hash, SLICE("password"), 3), -1, "nor is anything at cost 3");
	is_int(password_hash(hash, SLICE("password"), 32), -1, "or 32");
	is_int(password_hash(hash, SLICE("password"), -1), -1, "or -1");
}

static void
test_weak(void)
{
	ok(!password_is_weak(vectors[0].hash, 4), "cost 4 is not below 4");
	ok(password_is_weak(vectors[0].hash, 5), "cost 4 is below 5");
	ok(!password_is_weak(vectors[1].hash, 5), "cost 5 is not below 5");
	ok(!password_is_weak(vectors[1].hash, 4), "cost 5 is not below 4");
	ok(password_is_weak("", 4) && password_is_weak("plain", 4), "what is no bcrypt is weak");
	ok(password_is_weak("$1$salt$8tW7uL9TLRGY.HFq8qLOK/", 4), "MD5 is weak");
}

/* Processor time, since others use the machine too; what they do to its caches and its clock the least of several shows least. */
static double
time_to_verify(const char *hash, struct slice password, int cost)
{
	struct timespec start, end;
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &start);
	bool same = password_verify(hash, password, cost);
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &end);
	double seconds = (double)(end.tv_sec - start.tv_sec) + (double)(end.tv_nsec - start.tv_nsec) * 1e-9;
	return same ? -1 : seconds;
}

static void
test_same_time(void)
{
	enum { COST = 9, ROUNDS = 5 };
	char hash[PASSWORD_HASH_SIZE], lower[PASSWORD_HASH_SIZE], lowest[PASSWORD_HASH_SIZE];
	if (password_hash(hash, SLICE("password"), COST) != 0 || password_hash(lower, SLICE("password"), COST - 1) != 0 ||
	    password_hash(lowest, SLICE("password"), 4) != 0)
		bail_out("no hash");
	const struct {
		const char *name, *hash;
		struct slice password;
	} cases[] = {
		{ "a wrong password", hash, SLICE("wrong one") },
		{ "a hash of the cost before", lower, SLICE("wrong one") },
		{ "a hash of the least cost", lowest, SLICE("wrong one") },
		{ "an unknown email", NULL, SLICE("wrong one") },
		{ "an unknown email with a password that cannot be", NULL, SLICE(X72 X72) },
		{ "a hash that is none", "x", SLICE("wrong one") },
		{ "a password that cannot be", hash, SLICE(X72 X72) },
	};
	double least[COUNT_OF(cases)] = { 0 };
	for (int round = 0; round < ROUNDS; round++)
		for (size_t i = 0; i < COUNT_OF(cases); i++) {
			double time = time_to_verify(cases[i].hash, cases[i].password, COST);
			least[i] = round == 0 || time < least[i] ? time : least[i];
		}
	for (size_t i = 1; i < COUNT_OF(cases); i++)
		ok(least[i] > least[0] * 0.6 && least[i] < least[0] * 1.7, "%s takes the time of a wrong password: %.1f and %.1f ms",
		    cases[i].name, least[i] * 1e3, least[0] * 1e3);
}

int
main(void)
{
	test_vectors();
	test_changed_hash();
	test_no_bcrypt();
	test_round_trip();
	test_refused();
	test_weak();
	test_same_time();
	return done();
}
