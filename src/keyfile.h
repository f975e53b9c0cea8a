/* Makes and rotates the file with the keys of the access tokens, whose form token.h tells. */
#ifndef JOBFORGE_KEYFILE_H
#define JOBFORGE_KEYFILE_H

#include "base.h"

enum { KEYFILE_KID_SIZE = 65 };

struct keyfile_change {
	char signing[KEYFILE_KID_SIZE];  /* the id of the new key */
	char previous[KEYFILE_KID_SIZE]; /* of the one that signed before and still verifies; "": there was no file */
};

/*
 * Puts a new key before the one that signs now and drops all others; without a file makes one with the new key alone.
 * The file is replaced in one step, mode 0600: whoever reads it meanwhile, and a machine that stops meanwhile, has the
 * old or the new one whole. It keeps its owner; a new one made by root belongs to `user` (unless ""). Two rotations at
 * once take turns. Returns 0, or -1 with a sentence in `error`, and the file as it was.
 */
int keyfile_rotate(const char *path, const char *user, struct keyfile_change *change, char *error, size_t error_size)
    MUST_CHECK;

#endif
