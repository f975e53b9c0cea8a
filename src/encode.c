#include "encode.h"

static const char base64url_digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
static const char hex_digits[] = "0123456789abcdef";

size_t
base64url_encode(char *out, const void *bytes, size_t len)
{
	const uint8_t *in = bytes;
	uint32_t bits = 0;
	unsigned held = 0; /* bits of the last bytes that are not written yet, at the low end of `bits` */
	char *start = out;
	for (size_t i = 0; i < len; i++) {
		bits = bits << 8 | in[i];
		for (held += 8; held >= 6; held -= 6)
			*out++ = base64url_digits[bits >> (held - 6) & 0x3F];
	}
	if (held > 0)
		*out++ = base64url_digits[bits << (6 - held) & 0x3F];
	*out = '\0';
	return (size_t)(out - start);
}

/* The six bits that a character stands for, or -1. */
static int
base64url_value(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	return c == '-' ? 62 : c == '_' ? 63 : -1;
}

long
base64url_decode(void *out, const char *text, size_t len)
{
	uint8_t *at = out;
	uint32_t bits = 0;
	unsigned held = 0;
	if (len % 4 == 1)
		return -1;
	for (size_t i = 0; i < len; i++) {
		int value = base64url_value(text[i]);
		if (value < 0)
			return -1;
		bits = bits << 6 | (uint32_t)value;
		held += 6;
		if (held >= 8) {
			held -= 8;
			*at++ = (uint8_t)(bits >> held);
		}
	}
	if ((bits & ((1U << held) - 1)) != 0)
		return -1;
	return at - (uint8_t *)out;
}

void
hex_encode(char *out, const void *bytes, size_t len)
{
	const uint8_t *in = bytes;
	for (size_t i = 0; i < len; i++) {
		*out++ = hex_digits[in[i] >> 4];
		*out++ = hex_digits[in[i] & 15];
	}
	*out = '\0';
}

int
hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	char lower = (char)(c | 0x20);
	return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

static bool
is_uuid_hyphen(size_t index)
{
	return index == 8 || index == 13 || index == 18 || index == 23;
}

bool
uuid_valid(const char *text, size_t len)
{
	if (text == NULL || len != UUID_TEXT)
		return false;
	for (size_t i = 0; i < UUID_TEXT; i++)
		if (is_uuid_hyphen(i) ? text[i] != '-' : hex_value(text[i]) < 0)
			return false;
	return true;
}

void
uuid_bytes(uint8_t out[16], const char *text)
{
	for (size_t i = 0; i < UUID_TEXT; i += 2) {
		if (is_uuid_hyphen(i))
			i++;
		*out++ = (uint8_t)(hex_value(text[i]) * 16 + hex_value(text[i + 1]));
	}
}

void
uuid_text(char out[UUID_TEXT + 1], const uint8_t bytes[16])
{
	for (size_t i = 0; i < UUID_TEXT; i += 2, bytes++) {
		if (is_uuid_hyphen(i))
			out[i++] = '-';
		out[i] = hex_digits[*bytes >> 4];
		out[i + 1] = hex_digits[*bytes & 15];
	}
	out[UUID_TEXT] = '\0';
}
