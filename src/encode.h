/* Text forms of bytes and ids: base64url (RFC 4648 section 5, without padding), hexadecimal, UUID (RFC 9562). */
#ifndef JOBFORGE_ENCODE_H
#define JOBFORGE_ENCODE_H

#include "base.h"

enum { UUID_TEXT = 36 };

/* Bytes of base64url text for `len` bytes, and at most so many bytes for `len` characters. */
#define BASE64URL_TEXT(len) (((len) * 4 + 2) / 3)
#define BASE64URL_BYTES(len) ((len) * 3 / 4)

/* Writes BASE64URL_TEXT(len) characters and a NUL to `out`. Returns the number of characters. */
size_t base64url_encode(char *out, const void *bytes, size_t len);

/* Writes up to BASE64URL_BYTES(len) bytes. Returns their number, or -1 for a character, length or trailing bits that no
 * encoder writes: one value has one text. */
long base64url_decode(void *out, const char *text, size_t len) MUST_CHECK;

/* Writes 2 * len lower-case digits and a NUL. */
void hex_encode(char *out, const void *bytes, size_t len);

/* The value of a hexadecimal digit, in either case, or -1. */
int hex_value(char c);

/* Whether it is a UUID in its 36-character form, in either case. */
bool uuid_valid(const char *text, size_t len);

/* Writes the 16 bytes of a valid UUID, or its lower-case text and a NUL. */
void uuid_bytes(uint8_t out[16], const char *text);
void uuid_text(char out[UUID_TEXT + 1], const uint8_t bytes[16]);

#endif
