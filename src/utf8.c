#include "utf8.h"

/* The table of RFC 3629 section 4: lead bytes, the bounds of the second byte, the length. Further bytes are 80..BF. */
static const struct form {
	uint8_t first_low, first_high;
	uint8_t second_low, second_high;
	uint8_t length;
} forms[] = {
	{ 0xC2, 0xDF, 0x80, 0xBF, 2 },
	{ 0xE0, 0xE0, 0xA0, 0xBF, 3 },
	{ 0xE1, 0xEC, 0x80, 0xBF, 3 },
	{ 0xED, 0xED, 0x80, 0x9F, 3 },
	{ 0xEE, 0xEF, 0x80, 0xBF, 3 },
	{ 0xF0, 0xF0, 0x90, 0xBF, 4 },
	{ 0xF1, 0xF3, 0x80, 0xBF, 4 },
	{ 0xF4, 0xF4, 0x80, 0x8F, 4 },
};

static const struct form *
form_of(uint8_t first)
{
	for (size_t i = 0; i < COUNT_OF(forms); i++)
		if (first >= forms[i].first_low && first <= forms[i].first_high)
			return &forms[i];
	return NULL;
}

static bool
is_continuation(uint8_t byte)
{
	return (byte & 0xC0) == 0x80;
}

size_t
utf8_sequence(const char *text, size_t len)
{
	const uint8_t *bytes = (const uint8_t *)text;
	if (len == 0)
		return 0;
	if (bytes[0] < 0x80)
		return 1;

	const struct form *form = form_of(bytes[0]);
	if (form == NULL || len < form->length)
		return 0;
	if (bytes[1] < form->second_low || bytes[1] > form->second_high)
		return 0;
	for (size_t i = 2; i < form->length; i++)
		if (!is_continuation(bytes[i]))
			return 0;
	return form->length;
}

/* Most text is mostly ASCII: eight bytes at a time. */
static size_t
ascii_run(const char *text, size_t len)
{
	const uint64_t high_bits = UINT64_C(0x8080808080808080);
	size_t at = 0;
	for (uint64_t word; len - at >= sizeof(word); at += sizeof(word)) {
		memcpy(&word, text + at, sizeof(word));
		if ((word & high_bits) != 0)
			break;
	}
	return at;
}

bool
utf8_valid(const char *text, size_t len)
{
	for (size_t at = 0; at < len;) {
		at += ascii_run(text + at, len - at);
		if (at == len)
			break;
		size_t length = utf8_sequence(text + at, len - at);
		if (length == 0)
			return false;
		at += length;
	}
	return true;
}

size_t
utf8_length(const char *text, size_t len)
{
	size_t count = 0;
	for (size_t i = 0; i < len; i++)
		count += !is_continuation((uint8_t)text[i]);
	return count;
}
