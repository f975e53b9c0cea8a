#include "certificate.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdio.h>

static X509 *
read_pem(const char *path, char *error, size_t error_size)
{
	FILE *file = fopen(path, "re");
	if (file == NULL) {
		snprintf(error, error_size, "%s: %s", path, strerror(errno));
		return NULL;
	}
	X509 *certificate = PEM_read_X509(file, NULL, NULL, NULL);
	fclose(file);
	ERR_clear_error();
	if (certificate == NULL)
		snprintf(error, error_size, "%s holds no certificate in PEM form", path);
	return certificate;
}

/* Seconds from now to the time. */
static bool
seconds_until(const ASN1_TIME *when, int64_t *seconds)
{
	int days, rest;
	if (ASN1_TIME_diff(&days, &rest, NULL, when) != 1)
		return false;
	*seconds = (int64_t)days * 86400 + rest;
	return true;
}

static int
examine(const char *path, X509 *certificate, int64_t *seconds, char *error, size_t error_size)
{
	int64_t until_start;
	if (!seconds_until(X509_get0_notBefore(certificate), &until_start) ||
	    !seconds_until(X509_get0_notAfter(certificate), seconds)) {
		snprintf(error, error_size, "%s has a time that cannot be read", path);
		return -1;
	}
	if (until_start > 0) {
		snprintf(error, error_size, "%s is not valid before %lld hours from now", path, (long long)until_start / 3600 + 1);
		return -1;
	}
	return 0;
}

int
certificate_read(const char *path, int64_t *seconds, char *subject, size_t subject_size, char *error, size_t error_size)
{
	X509 *certificate = read_pem(path, error, error_size);
	if (certificate == NULL)
		return -1;
	X509_NAME_oneline(X509_get_subject_name(certificate), subject, (int)subject_size);
	int result = examine(path, certificate, seconds, error, error_size);
	X509_free(certificate);
	return result;
}
