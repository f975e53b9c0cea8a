#include <stdlib.h>

#include "tap.h"
#include "utf8.h"

/* From memory of its exact size, so that a read past the end is seen. */
static bool
is_valid(const char *text, size_t len)
{
	char *exact = malloc(len > 0 ? len : 1);
	memcpy(exact, text, len);
	bool valid = utf8_valid(exact, len);
	free(exact);
	return valid;
}

/* A decoder by arithmetic, against which the table is compared: the code point of exactly `len` bytes, or -1. */
static long
decode(const unsigned char *bytes, size_t len)
{
	static const long least[] = { 0, 0, 0x80, 0x800, 0x10000 };
	static const int marks[] = { 0, 0, 6, 14, 30 }; /* 110, 1110, 11110 */
	if (len == 1)
		return bytes[0] < 0x80 ? bytes[0] : -1;
	if (len > 4 || bytes[0] >> (7 - len) != marks[len])
		return -1;
	long point = bytes[0] & (0x7F >> len);
	for (size_t i = 1; i < len; i++) {
		if ((bytes[i] & 0xC0) != 0x80)
			return -1;
		point = point << 6 | (bytes[i] & 0x3F);
	}
	bool allowed = point >= least[len] && point <= 0x10FFFF && (point < 0xD800 || point > 0xDFFF);
	return allowed ? point : -1;
}

static bool
agrees(const unsigned char *bytes, size_t len)
{
	size_t want = decode(bytes, len) >= 0 ? len : 0;
	size_t got = utf8_sequence((const char *)bytes, len);
	return want == len ? got == len : got != len;
}

static void
test_all_short_sequences(void)
{
	bool all = true;
	for (unsigned value = 0; value < 1U << 24; value++) {
		unsigned char bytes[3] = { (unsigned char)(value >> 16), (unsigned char)(value >> 8),
			(unsigned char)value };
		all = all && agrees(bytes, 3);
		if (value < 1U << 16)
			all = all && agrees(bytes + 1, 2);
		if (value < 1U << 8)
			all = all && agrees(bytes + 2, 1);
	}
	ok(all, "every sequence of one, two and three bytes");
}

/* Of four bytes those that matter: every first, every second, the bounds of the others. */
static void
test_four_byte_sequences(void)
{
	static const unsigned char ends[] = { 0x00, 0x7F, 0x80, 0xBF, 0xC0, 0xFF };
	bool all = true;
	for (unsigned value = 0; value < 1U << 16; value++)
		for (size_t i = 0; i < COUNT_OF(ends) * COUNT_OF(ends); i++) {
			unsigned char bytes[4] = { (unsigned char)(value >> 8), (unsigned char)value,
				ends[i / COUNT_OF(ends)], ends[i % COUNT_OF(ends)] };
			all = all && agrees(bytes, 4);
		}
	ok(all, "sequences of four bytes");
}

static void
test_valid(void)
{
	static const char text[] = "plain text and \xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80, then more of it";
	size_t len = sizeof(text) - 1;
	ok(is_valid("", 0), "nothing is valid");
	ok(is_valid(text, len), "a text is valid");
	ok(is_valid("a\0b", 3), "U+0000 is a code point");
	is_int((long long)utf8_length(text, len), (long long)len - 1 - 2 - 3, "its length in code points");
	is_int((long long)utf8_length("", 0), 0, "the length of nothing");
	is_int((long long)utf8_sequence("", 0), 0, "nothing begins with no sequence");
	is_int((long long)utf8_sequence("\xc3\xa9x", 3), 2, "a sequence ends where it ends");

	bool all = true;
	for (size_t cut = 0; cut <= len; cut++)
		all = all && is_valid(text, cut) == (cut == len || ((unsigned char)text[cut] & 0xC0) != 0x80);
	ok(all, "a text cut within a sequence is not valid");
}

static void
test_fault_at_every_place(void)
{
	static const char *const faults[] = { "\x80", "\xbf", "\xc0\xaf", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xff",
		"\xc3" };
	bool all = true;
	for (size_t i = 0; i < COUNT_OF(faults); i++)
		for (size_t place = 0; place < 40; place++) {
			char text[48];
			memset(text, 'x', sizeof(text));
			memcpy(text + place, faults[i], strlen(faults[i]));
			all = all && !is_valid(text, sizeof(text)) && !is_valid(text, place + strlen(faults[i]));
		}
	ok(all, "each fault is found at each place");
}

int
main(void)
{
	test_all_short_sequences();
	test_four_byte_sequences();
	test_valid();
	test_fault_at_every_place();
	return done();
}
