#include <stdio.h>
#include <stdlib.h>

#include "arena.h"
#include "log.h"
#include "tap.h"

#if defined(__SANITIZE_ADDRESS__)
#define POISONED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define POISONED 1
#endif
#endif

#ifdef POISONED
#include <sanitizer/asan_interface.h>
#endif

static bool
is_zero(const char *memory, size_t size)
{
	for (size_t i = 0; i < size; i++)
		if (memory[i] != 0)
			return false;
	return true;
}

static bool
is_aligned(const void *memory)
{
	return (uintptr_t)memory % _Alignof(max_align_t) == 0;
}

static void
test_pieces(void)
{
	struct arena *arena = arena_new();
	bool zeroed = true, aligned = true, apart = true;
	char *before = arena_alloc(arena, 0);
	size_t before_size = 0;
	for (size_t size = 0; size < 2000; size++) {
		char *memory = arena_alloc(arena, size);
		zeroed = zeroed && is_zero(memory, size);
		aligned = aligned && is_aligned(memory);
		if (before_size > 0)
			apart = apart && (memory >= before + before_size || memory + size <= before);
		memset(memory, 0xA5, size);
		before = memory;
		before_size = size;
	}
	ok(zeroed, "2000 pieces of 0 to 1999 bytes are zeroed");
	ok(aligned, "each is aligned for any type");
	ok(apart, "none overlaps the one before it");

	arena_reset(arena);
	zeroed = true;
	for (int i = 0; i < 100; i++)
		zeroed = zeroed && is_zero(arena_alloc(arena, 600), 600);
	ok(zeroed, "memory used before a reset is zeroed again");
	arena_free(arena);
}

static void
test_content_survives(void)
{
	enum { COUNT = 3000 };
	struct arena *arena = arena_new();
	unsigned char *pieces[COUNT];
	size_t sizes[COUNT];
	for (size_t i = 0; i < COUNT; i++) {
		sizes[i] = i % 97 == 0 ? 100000 : i % 251 + 1;
		pieces[i] = arena_alloc(arena, sizes[i]);
		memset(pieces[i], (int)(i % 256), sizes[i]);
	}
	bool intact = true;
	for (size_t i = 0; i < COUNT; i++)
		for (size_t at = 0; at < sizes[i]; at++)
			intact = intact && pieces[i][at] == i % 256;
	ok(intact, "small pieces mixed with ones larger than a block keep their content");
	arena_free(arena);
}

static void
test_reuse(void)
{
	struct arena *arena = arena_new();
	char *first = arena_alloc(arena, 100);
	char *large = arena_alloc(arena, 1 << 20);
	char *next = arena_alloc(arena, 100);
	ok(next > first && next < first + 1000, "a large piece leaves the room in the block of small ones in use");
	memset(large, 1, 1 << 20);
	arena_reset(arena);
	ok(arena_alloc(arena, 100) == first, "the first block is kept over a reset");
	arena_free(arena);
}

static void
test_strings(void)
{
	struct arena *arena = arena_new();
	char *copy = arena_copy(arena, "a\0b", 3);
	is_bytes(copy, 4, "a\0b", 4, "a copy has its bytes and a NUL after them");
	is_string(arena_copy(arena, NULL, 0), "", "a copy of nothing is an empty string");
	is_string(arena_printf(arena, "%s-%05d", "x", 42), "x-00042", "a formatted string");

	char *wide = arena_printf(arena, "%0200000d", 7);
	ok(strlen(wide) == 200000 && strspn(wide, "0") == 199999, "a formatted string longer than a block");
	unsigned long long *numbers = arena_calloc(arena, 1000, sizeof(*numbers));
	ok(is_zero((char *)numbers, 8000), "an array is zeroed");
	arena_free(arena);
}

struct trace {
	char order[16];
	struct arena *arena;
};

static void
trace_a(void *trace)
{
	strcat(((struct trace *)trace)->order, "a");
}

static void
trace_b(void *trace)
{
	strcat(((struct trace *)trace)->order, "b");
}

/* A release that itself defers one more. */
static void
trace_c(void *trace)
{
	strcat(((struct trace *)trace)->order, "c");
	arena_defer(((struct trace *)trace)->arena, trace_a, trace);
}

static void
test_deferred(void)
{
	struct trace trace = { .arena = arena_new() };
	arena_defer(trace.arena, trace_a, &trace);
	arena_defer(trace.arena, trace_b, &trace);
	is_string(trace.order, "", "nothing is released before the reset");
	arena_reset(trace.arena);
	is_string(trace.order, "ba", "a reset releases newest first");
	arena_reset(trace.arena);
	is_string(trace.order, "ba", "and once");

	arena_defer(trace.arena, trace_b, &trace);
	arena_defer(trace.arena, trace_c, &trace);
	arena_reset(trace.arena);
	is_string(trace.order, "bacab", "what a release defers is released in the same reset");

	arena_defer(trace.arena, trace_b, &trace);
	arena_free(trace.arena);
	is_string(trace.order, "bacabb", "freeing the arena releases too");
	arena_free(NULL);
}

static void
free_again(void *object)
{
	free(object);
}

static void
test_deferred_objects(void)
{
	struct arena *arena = arena_new();
	for (int i = 0; i < 10000; i++)
		arena_defer(arena, free_again, malloc(10));
	arena_free(arena);
	ok(true, "ten thousand foreign objects are freed, as the leak checker sees");
}

static void
ask_for_overflow(void *arena)
{
	arena_calloc(arena, SIZE_MAX / 2, 3);
}

static void
ask_for_too_much(void *arena)
{
	arena_alloc(arena, SIZE_MAX - 8);
}

#ifndef POISONED
static void
ask_for_more_than_there_is(void *arena)
{
	arena_alloc(arena, PTRDIFF_MAX / 2);
}
#endif

static void
test_out_of_memory(void)
{
	static void (*const asks[])(void *) = {
		ask_for_overflow,
		ask_for_too_much,
#ifndef POISONED
		ask_for_more_than_there_is,
#endif
	};
	struct arena *arena = arena_new();
	for (size_t i = 0; i < COUNT_OF(asks); i++) {
		char errors[1024];
		int status = run_child(asks[i], arena, errors, sizeof(errors));
		is_int(status, LOG_FATAL_STATUS, "out of memory, %zu: exit status", i);
		ok(strstr(errors, "\"event\":\"out_of_memory\"") != NULL, "out of memory, %zu: a line in the log", i);
	}
	arena_free(arena);
}

#ifdef POISONED
static void
read_after_reset(void *argument)
{
	struct arena *arena = argument;
	volatile char *memory = arena_alloc(arena, 10);
	arena_reset(arena);
	_Exit(memory[3]);
}

static void
read_past_end(void *argument)
{
	volatile char *memory = arena_alloc(argument, 16);
	arena_alloc(argument, 16);
	_Exit(memory[16]);
}
#endif

static void
look_at_secret(void *secret)
{
	is_string(secret, "secret", "what is released still sees what is in the arena");
}

static void
test_secrets(void)
{
	struct arena *arena = arena_new();
	ok(!arena_keeps_secrets(arena), "an arena keeps no secrets");
	arena_keep_secrets(arena);
	ok(arena_keeps_secrets(arena), "unless it is told to");
	char *secret = arena_copy(arena, "secret", 6);
	arena_defer(arena, look_at_secret, secret);
	arena_alloc(arena, 1024 * 1024);
	arena_reset(arena);
#ifdef POISONED
	ASAN_UNPOISON_MEMORY_REGION(secret, 6);
#endif
	is_bytes(secret, 6, "\0\0\0\0\0\0", 6, "then they are overwritten");
	arena_free(arena);
}

static void
test_poison(void)
{
#ifdef POISONED
	char errors[4096];
	struct arena *arena = arena_new();
	run_child(read_after_reset, arena, errors, sizeof(errors));
	ok(strstr(errors, "use-after-poison") != NULL, "a read after the reset is found by AddressSanitizer");
	run_child(read_past_end, arena, errors, sizeof(errors));
	ok(strstr(errors, "use-after-poison") != NULL, "a read past the end of a piece is found by AddressSanitizer");
	arena_free(arena);
#else
	skip("not built with AddressSanitizer");
#endif
}

int
main(void)
{
	test_pieces();
	test_content_survives();
	test_reuse();
	test_strings();
	test_deferred();
	test_deferred_objects();
	test_out_of_memory();
	test_secrets();
	test_poison();
	return done();
}
