#include "certificate.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "tap.h"

enum { HOUR = 3600, DAY = 86400 };

/* A certificate that signs itself, valid from and until so many seconds from now. The caller frees it by X509_free(). */
static X509 *
make(EVP_PKEY *key, long from, long until)
{
	X509 *certificate = X509_new();
	X509_NAME *name = certificate == NULL ? NULL : X509_get_subject_name(certificate);

	if (name == NULL || X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)"jobs.example", -1, -1, 0) != 1 ||
	    X509_set_issuer_name(certificate, name) != 1 || X509_gmtime_adj(X509_getm_notBefore(certificate), from) == NULL ||
	    X509_gmtime_adj(X509_getm_notAfter(certificate), until) == NULL || X509_set_pubkey(certificate, key) != 1)
		bail_out("no certificate can be made");
	return certificate;
}

/* Signs it and writes it to a file. */
static void
write_pem(X509 *certificate, EVP_PKEY *key, const char *path)
{
	FILE *file = fopen(path, "w");

	if (file == NULL || X509_sign(certificate, key, EVP_sha256()) == 0 || PEM_write_X509(file, certificate) != 1 ||
	    fclose(file) != 0)
		bail_out("no certificate can be written to %s", path);
	X509_free(certificate);
}

/* The result, and what is said of a certificate with the path left out. */
static int
read_back(const char *path, int64_t *seconds, char *subject, const char **said)
{
	static char error[512];
	int result = certificate_read(path, seconds, subject, 256, error, sizeof(error));

	*said = result == 0 ? "" : error + strlen(path);
	return result;
}

static void
test_valid(EVP_PKEY *key, const char *path)
{
	static const long lives[] = { 30 * DAY, HOUR, 400L * DAY, -2 * DAY };
	int64_t seconds;
	char subject[256];
	const char *said;

	for (size_t i = 0; i < COUNT_OF(lives); i++) {
		write_pem(make(key, -3 * DAY, lives[i]), key, path);
		int result = read_back(path, &seconds, subject, &said);
		is_int(result, 0, "a certificate is read: %s", said);
		ok(seconds <= lives[i] && seconds > lives[i] - 60, "it ends in %ld s: %lld", lives[i], (long long)seconds);
		is_string(subject, "/CN=jobs.example", "its subject");
	}
}

static void
test_refused(EVP_PKEY *key, const char *path)
{
	int64_t seconds;
	char subject[256];
	const char *said;

	write_pem(make(key, 5 * HOUR - 60, DAY), key, path);
	is_int(read_back(path, &seconds, subject, &said), -1, "one that is not valid yet");
	is_string(said, " is not valid before 5 hours from now", "its sentence");

	X509 *odd = make(key, -DAY, DAY);
	ASN1_STRING_set(X509_getm_notAfter(odd), "once", 4);
	write_pem(odd, key, path);
	is_int(read_back(path, &seconds, subject, &said), -1, "one with a time that is none");
	/* OpenSSL 3.5 does not read such a certificate at all. */
	ok(strcmp(said, " has a time that cannot be read") == 0 || strcmp(said, " holds no certificate in PEM form") == 0,
	    "its sentence: %s", said);

	FILE *file = fopen(path, "w");
	if (file == NULL || fputs("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", file) < 0 || fclose(file) != 0)
		bail_out("%s cannot be written", path);
	is_int(read_back(path, &seconds, subject, &said), -1, "a file with another thing in it");
	is_string(said, " holds no certificate in PEM form", "its sentence");

	unlink(path);
	is_int(read_back(path, &seconds, subject, &said), -1, "a file that is not there");
	is_string(said, ": No such file or directory", "its sentence");
}

int
main(void)
{
	char path[64];
	EVP_PKEY *key = EVP_EC_gen("P-256");

	if (key == NULL)
		bail_out("no key can be made");
	snprintf(path, sizeof(path), "/tmp/jobforge-certificate-%ld", (long)getpid());
	test_valid(key, path);
	test_refused(key, path);
	EVP_PKEY_free(key);
	return done();
}
