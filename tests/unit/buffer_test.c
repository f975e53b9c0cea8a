#include "buffer.h"
#include "log.h"
#include "tap.h"

static void
test_append(void)
{
	struct buffer buffer = { 0 };
	buffer_append(&buffer, NULL, 0);
	is_int((long long)buffer.capacity, 0, "nothing appended takes no memory");
	buffer_append(&buffer, "a\0b", 3);
	buffer_puts(&buffer, "cd");
	buffer_putc(&buffer, 'e');
	buffer_printf(&buffer, "<%d>", 5);
	BUFFER_LITERAL(&buffer, "end");
	is_bytes(buffer.data, buffer.len, "a\0bcde<5>end", 12, "each way of appending adds its bytes");
	buffer_free(&buffer);
	ok(buffer.data == NULL && buffer.len == 0 && buffer.capacity == 0, "a freed buffer is empty");
	buffer_free(&buffer);
}

static void
test_growth(void)
{
	struct buffer buffer = { 0 };
	for (int i = 0; i < 100000; i++)
		buffer_printf(&buffer, "%06d", i);
	is_int((long long)buffer.len, 600000, "600,000 bytes in pieces of six");
	bool intact = true;
	for (int i = 0; i < 100000; i++) {
		const char *at = buffer.data + 6 * i;
		int value = 0;
		for (int digit = 0; digit < 6; digit++)
			value = value * 10 + (at[digit] - '0');
		intact = intact && value == i;
	}
	ok(intact, "each piece is where it belongs");
	ok(buffer.capacity < 4 * buffer.len, "growth is bounded");
	buffer_free(&buffer);
}

/* The formatted text just fits, fits without its NUL, and does not fit. */
static void
test_printf_at_the_edge(void)
{
	for (int gap = 0; gap < 4; gap++) {
		struct buffer buffer = { 0 };
		buffer_reserve(&buffer, 1);
		size_t fill = buffer.capacity - 5 + (size_t)gap;
		while (buffer.len < fill)
			buffer_putc(&buffer, '.');
		buffer_printf(&buffer, "%s", "wxyz");
		is_bytes(buffer.data + fill, buffer.len - fill, "wxyz", 4, "printf with %d bytes of room", 5 - gap);
		buffer_free(&buffer);
	}
}

static void
test_reserve(void)
{
	struct buffer buffer = { 0 };
	ok(buffer_reserve(&buffer, 0) != NULL, "room for nothing is still a place");
	memset(buffer_reserve(&buffer, 5000), 'x', 5000);
	is_int((long long)buffer.len, 0, "room made is not yet content");
	buffer.len += 5000;
	ok(buffer.data[0] == 'x' && buffer.data[4999] == 'x', "the caller adds it");
	buffer_free(&buffer);
}

static void
test_clear(void)
{
	struct buffer buffer = { 0 };
	buffer_puts(&buffer, "text");
	const char *data = buffer.data;
	buffer_clear(&buffer);
	ok(buffer.len == 0 && buffer.data == data, "clearing keeps a small buffer's memory");
	buffer_reserve(&buffer, 2 << 20);
	buffer.len = 2 << 20;
	buffer_clear(&buffer);
	is_int((long long)buffer.capacity, 0, "clearing gives a large buffer's memory back");
	buffer_free(&buffer);
}

static void
ask_for_too_much(void *buffer)
{
	buffer_puts(buffer, "x");
	buffer_reserve(buffer, SIZE_MAX);
}

static void
test_out_of_memory(void)
{
	struct buffer buffer = { 0 };
	char errors[1024];
	int status = run_child(ask_for_too_much, &buffer, errors, sizeof(errors));
	is_int(status, LOG_FATAL_STATUS, "out of memory: exit status");
	ok(strstr(errors, "\"event\":\"out_of_memory\"") != NULL, "out of memory: a line in the log");
}

static void
test_wipe(void)
{
	struct buffer buffer = { 0 };
	buffer_wipe(&buffer);
	ok(buffer.data == NULL, "an empty buffer can be wiped");
	buffer_puts(&buffer, "x");
	buffer_wipe(&buffer);
	ok(buffer.data == NULL && buffer.len == 0 && buffer.capacity == 0, "a wiped one is empty");
}

int
main(void)
{
	plan(19);
	test_append();
	test_growth();
	test_printf_at_the_edge();
	test_reserve();
	test_clear();
	test_out_of_memory();
	test_wipe();
	return done();
}
