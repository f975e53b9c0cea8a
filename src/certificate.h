/* When a certificate of nginx's ends. The one file that reads certificates is certificate.c. */
#ifndef JOBFORGE_CERTIFICATE_H
#define JOBFORGE_CERTIFICATE_H

#include "base.h"

/*
 * Reads the first certificate of a PEM file. Returns 0 with the seconds until it ends (negative: since) in *seconds and its
 * subject in `subject`, or -1 with a sentence in `error`. A certificate that is not valid yet is an error.
 */
int certificate_read(const char *path, int64_t *seconds, char *subject, size_t subject_size, char *error, size_t error_size)
    MUST_CHECK;

#endif
