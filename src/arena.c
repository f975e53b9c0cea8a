#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "arena.h"
#include "log.h"

/*
 * Under AddressSanitizer all memory that is not given out is poisoned, with a gap behind each piece: use after a reset
 * and a step past an end are found as they are with malloc().
 */
#if defined(__SANITIZE_ADDRESS__)
#define ARENA_POISONS 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define ARENA_POISONS 1
#endif
#endif

#ifdef ARENA_POISONS
#include <sanitizer/asan_interface.h>
enum { GAP = 16 };
#else
#define ASAN_POISON_MEMORY_REGION(start, size) ((void)(start), (void)(size))
#define ASAN_UNPOISON_MEMORY_REGION(start, size) ((void)(start), (void)(size))
enum { GAP = 0 };
#endif

enum { ALIGNMENT = _Alignof(max_align_t), KEPT = 64 * 1024 };

struct block {
	struct block *next;
	size_t capacity;
	size_t used;
	_Alignas(max_align_t) char data[];
};

/* Memory for a release that runs at the reset: it lies in the arena itself. */
struct deferred {
	struct deferred *next;
	void (*release)(void *);
	void *object;
};

enum { BLOCK_DATA = KEPT - sizeof(struct block), LARGE = BLOCK_DATA / 4 };

struct arena {
	struct block *kept;    /* over a reset */
	struct block *current; /* that small pieces are taken from: the kept one or the newest of `others` */
	struct block *others;
	struct deferred *deferred;
	bool secret;
};

static struct block *
block_new(size_t capacity)
{
	struct block *block = malloc(sizeof(*block) + capacity);
	if (block == NULL)
		log_fatal("out_of_memory", "no memory for a block of %zu bytes", capacity);
	block->next = NULL;
	block->capacity = capacity;
	block->used = 0;
	ASAN_POISON_MEMORY_REGION(block->data, capacity);
	return block;
}

static void
block_free(struct block *block)
{
	ASAN_UNPOISON_MEMORY_REGION(block->data, block->capacity);
	free(block);
}

struct arena *
arena_new(void)
{
	struct arena *arena = calloc(1, sizeof(*arena));
	if (arena == NULL)
		log_fatal("out_of_memory", "no memory for an arena");
	arena->kept = arena->current = block_new(BLOCK_DATA);
	return arena;
}

void
arena_keep_secrets(struct arena *arena)
{
	arena->secret = true;
}

bool
arena_keeps_secrets(const struct arena *arena)
{
	return arena->secret;
}

static void
wipe(const struct arena *arena, struct block *block)
{
	if (!arena->secret)
		return;
	ASAN_UNPOISON_MEMORY_REGION(block->data, block->used);
	explicit_bzero(block->data, block->used);
}

/* A release may defer another: each is off the list before it runs. */
static void
run_deferred(struct arena *arena)
{
	while (arena->deferred != NULL) {
		struct deferred *deferred = arena->deferred;
		arena->deferred = deferred->next;
		deferred->release(deferred->object);
	}
}

void
arena_reset(struct arena *arena)
{
	run_deferred(arena);
	while (arena->others != NULL) {
		struct block *block = arena->others;
		arena->others = block->next;
		wipe(arena, block);
		block_free(block);
	}
	wipe(arena, arena->kept);
	arena->current = arena->kept;
	arena->kept->used = 0;
	ASAN_POISON_MEMORY_REGION(arena->kept->data, arena->kept->capacity);
}

void
arena_free(struct arena *arena)
{
	if (arena == NULL)
		return;
	arena_reset(arena);
	block_free(arena->kept);
	free(arena);
}

/* The block to take `size` bytes from. A large piece gets its own, so that the room in the current one stays in use. */
static struct block *
block_for(struct arena *arena, size_t size)
{
	if (size <= arena->current->capacity - arena->current->used)
		return arena->current;

	struct block *block = block_new(size > LARGE ? size : BLOCK_DATA);
	block->next = arena->others;
	arena->others = block;
	if (size <= LARGE)
		arena->current = block;
	return block;
}

/* Bytes of any content. */
static void *
take(struct arena *arena, size_t size)
{
	if (size > PTRDIFF_MAX - KEPT)
		log_fatal("out_of_memory", "%zu bytes were asked for", size);
	size_t rounded = (size + GAP + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
	struct block *block = block_for(arena, rounded);
	void *memory = block->data + block->used;
	block->used += rounded;
	ASAN_UNPOISON_MEMORY_REGION(memory, size);
	return memory;
}

void *
arena_alloc(struct arena *arena, size_t size)
{
	void *memory = take(arena, size);
	memset(memory, 0, size);
	return memory;
}

void *
arena_calloc(struct arena *arena, size_t count, size_t size)
{
	size_t total;
	if (__builtin_mul_overflow(count, size, &total))
		log_fatal("out_of_memory", "%zu elements of %zu bytes were asked for", count, size);
	return arena_alloc(arena, total);
}

char *
arena_copy(struct arena *arena, const char *data, size_t len)
{
	char *copy = take(arena, len + 1);
	if (len > 0)
		memcpy(copy, data, len);
	copy[len] = '\0';
	return copy;
}

char *
arena_printf(struct arena *arena, const char *format, ...)
{
	va_list args, again;
	va_start(args, format);
	va_copy(again, args);
	int length = vsnprintf(NULL, 0, format, args);
	if (length < 0)
		log_fatal("out_of_memory", "a formatted string could not be made");
	char *string = take(arena, (size_t)length + 1);
	vsnprintf(string, (size_t)length + 1, format, again);
	va_end(again);
	va_end(args);
	return string;
}

void
arena_defer(struct arena *arena, void (*release)(void *), void *object)
{
	struct deferred *deferred = arena_alloc(arena, sizeof(*deferred));
	deferred->next = arena->deferred;
	deferred->release = release;
	deferred->object = object;
	arena->deferred = deferred;
}
