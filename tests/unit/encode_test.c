#include <stdio.h>
#include <stdlib.h>

#include "encode.h"
#include "tap.h"

static void
test_base64url_texts(void)
{
	static const struct {
		struct slice bytes;
		const char *text;
	} cases[] = { { SLICE(""), "" }, { SLICE("f"), "Zg" }, { SLICE("fo"), "Zm8" }, { SLICE("foo"), "Zm9v" },
		{ SLICE("foob"), "Zm9vYg" }, { SLICE("\0"), "AA" }, { SLICE("\0\0\0"), "AAAA" },
		{ SLICE("\xfb\xff\xbf"), "-_-_" }, { SLICE("\xff\xff\xff"), "____" }, { SLICE("\xff"), "_w" },
		{ SLICE("{\"alg\":\"none\"}"), "eyJhbGciOiJub25lIn0" } };
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		char text[64], bytes[64];
		size_t len = base64url_encode(text, cases[i].bytes.data, cases[i].bytes.len);
		is_string(text, cases[i].text, "text of %zu bytes", cases[i].bytes.len);
		is_int((long long)len, (long long)strlen(cases[i].text), "its length");
		long back = base64url_decode(bytes, text, len);
		is_bytes(bytes, (size_t)back, cases[i].bytes.data, cases[i].bytes.len, "its bytes: %s", text);
	}
}

static void
test_base64url_refused(void)
{
	static const struct slice cases[] = { SLICE("Z"), SLICE("A"), SLICE("AAAAA"), SLICE("Zm9vY"), SLICE("Zg=="),
		SLICE("Zg="), SLICE("Zm9v="), SLICE("Zm9v\n"), SLICE(" Zm9v"), SLICE("Zm 9v"), SLICE("Zm9+"),
		SLICE("Zm9/"), SLICE("Zm9."), SLICE("Zm9\0"), SLICE("\0\0\0\0"), SLICE("Zm9\xff"), SLICE("Zm9\x80"),
		SLICE("Zh"), SLICE("Zv"), SLICE("Z_"), SLICE("Zm9"), SLICE("Zm-"), SLICE("Zm8A\xc3\xa9") };
	char bytes[64];
	for (size_t i = 0; i < COUNT_OF(cases); i++)
		is_int(base64url_decode(bytes, cases[i].data, cases[i].len), -1, "refused: %s", cases[i].data);
}

/* Every text of two and of three characters: exactly those that an encoder writes are taken, and give it back. */
static void
test_base64url_one_text_per_value(void)
{
	int taken = 0;
	bool same = true;
	for (unsigned value = 0; value < 1U << 24; value++) {
		char text[3] = { (char)(value >> 16), (char)(value >> 8), (char)value }, again[8];
		uint8_t bytes[3];
		size_t len = text[2] == '\0' ? 2 : 3;
		long decoded = base64url_decode(bytes, text, len);
		if (decoded < 0)
			continue;
		taken++;
		same = same && base64url_encode(again, bytes, (size_t)decoded) == len && memcmp(again, text, len) == 0;
	}
	is_int(taken, 256 + 65536, "as many short texts are taken as there are values");
	ok(same, "and each is the text of its value");
}

static void
test_base64url_lengths(void)
{
	bool same = true;
	for (size_t len = 0; len < 300; len++) {
		uint8_t *bytes = malloc(len + 1), *back = malloc(BASE64URL_BYTES(BASE64URL_TEXT(len)) + 1);
		char *text = malloc(BASE64URL_TEXT(len) + 1);
		for (size_t i = 0; i < len; i++)
			bytes[i] = (uint8_t)(i * 167 + len);
		size_t text_len = base64url_encode(text, bytes, len);
		same = same && text_len == BASE64URL_TEXT(len) && strlen(text) == text_len;
		same = same && BASE64URL_BYTES(text_len) == len;
		same = same && base64url_decode(back, text, text_len) == (long)len && memcmp(back, bytes, len) == 0;
		free(bytes);
		free(back);
		free(text);
	}
	ok(same, "lengths of 0 to 299 bytes are read back, in memory of exactly the promised size");
}

static void
test_hex(void)
{
	char text[16];
	hex_encode(text, "\x00\x01\x7f\x80\xab\xff", 6);
	is_string(text, "00017f80abff", "hexadecimal text");
	hex_encode(text, "", 0);
	is_string(text, "", "of nothing");
	int valid = 0;
	for (int c = -128; c < 128; c++)
		valid += hex_value((char)c) >= 0;
	is_int(valid, 22, "22 characters are hexadecimal digits");
	ok(hex_value('0') == 0 && hex_value('9') == 9 && hex_value('a') == 10 && hex_value('F') == 15, "their values");
}

static void
test_uuid(void)
{
	static const char good[] = "123e4567-e89b-12d3-a456-426614174000";
	static const char *const bad[] = { "", "123e4567", "123e4567e89b12d3a456426614174000",
		"{123e4567-e89b-12d3-a456-426614174000}", "123e4567-e89b-12d3-a456-42661417400",
		"123e4567-e89b-12d3-a456-4266141740000", "123e4567-e89b-12d3-a456-42661417400g",
		"123e4567-e89b-12d3-a456_426614174000", "123e4567-e89b-12d3-a45-6426614174000",
		" 23e4567-e89b-12d3-a456-426614174000", "123e4567-e89b-12d3-a456-42661417400 ",
		"------------------------------------", "urn:uuid:123e4567-e89b-12d3-a456-4266",
		"123e4567-e89b-12d3-a456-42661417400\xc3" };
	ok(uuid_valid(good, UUID_TEXT), "a UUID");
	ok(uuid_valid("123E4567-E89B-12D3-A456-426614174ABC", UUID_TEXT), "in upper case");
	ok(uuid_valid("00000000-0000-0000-0000-000000000000", UUID_TEXT), "the nil UUID");
	for (size_t i = 0; i < COUNT_OF(bad); i++)
		ok(!uuid_valid(bad[i], strlen(bad[i])), "no UUID: %s", bad[i]);
	ok(!uuid_valid(good, UUID_TEXT - 1) && !uuid_valid(good, UUID_TEXT + 1), "nor by another length");
	ok(!uuid_valid(NULL, 0), "nor when absent");
	ok(!uuid_valid("123e4567-e89b-12d3-a456-4266141740\0\0", UUID_TEXT), "nor with NUL bytes");

	uint8_t bytes[16];
	char text[UUID_TEXT + 1];
	uuid_bytes(bytes, "123E4567-e89b-12d3-a456-4266141740Ff");
	is_bytes(bytes, 16, "\x12\x3e\x45\x67\xe8\x9b\x12\xd3\xa4\x56\x42\x66\x14\x17\x40\xff", 16, "its bytes");
	uuid_text(text, bytes);
	is_string(text, "123e4567-e89b-12d3-a456-4266141740ff", "its text, in lower case");
}

int
main(void)
{
	test_base64url_texts();
	test_base64url_refused();
	test_base64url_one_text_per_value();
	test_base64url_lengths();
	test_hex();
	test_uuid();
	return done();
}
