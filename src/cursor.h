/*
 * The opaque `next` of a list: where the next page starts, signed, so that one made for another user, another list or
 * order, another version of the product's format, or edited by hand, is refused.
 */
#ifndef JOBFORGE_CURSOR_H
#define JOBFORGE_CURSOR_H

#include "base.h"
#include "encode.h"

struct arena;

enum { CURSOR_MAX = 2048 }; /* characters */

struct cursor {
	struct slice key;       /* the sort column's value in the last row, as text */
	char id[UUID_TEXT + 1]; /* the last row's id */
};

/* `scope` names the list and its order ("applications:-created_at"); `user_id` is UUID text. In the arena; NULL when
 * the key is too long for CURSOR_MAX characters (over 1500 bytes) or the id is no UUID. */
char *cursor_encode(struct arena *arena, const uint8_t secret[32], const char *scope, const char *user_id,
    const struct cursor *cursor);

/* Returns 0 and the cursor (in the arena), or -1 for anything cursor_encode() with the same arguments did not make. */
int cursor_decode(struct arena *arena, const uint8_t secret[32], const char *scope, const char *user_id,
    struct slice text, struct cursor *out) MUST_CHECK;

#endif
