#include "trouble.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/mman.h>

#include "clock.h"
#include "log.h"

enum { TOLD_EVERY = 60000000, QUIET = 2000000 };

struct state {
	atomic_bool lasts;
	atomic_bool told; /* its beginning, and so its end will be */
	atomic_int_fast64_t noted; /* microseconds, monotonic */
	atomic_int_fast64_t told_at;
	atomic_uint_fast64_t count;
};

struct troubles {
	struct state states[TROUBLE_COUNT];
};

const char *const trouble_names[TROUBLE_COUNT] = { [TROUBLE_DATABASE] = "database", [TROUBLE_OVERLOAD] = "overload",
	[TROUBLE_DESCRIPTORS] = "descriptors", [TROUBLE_DISK] = "disk", [TROUBLE_RESOURCES] = "resources" };

struct troubles *
troubles_new(void)
{
	void *memory = mmap(NULL, sizeof(struct troubles), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	return memory == MAP_FAILED ? NULL : memory;
}

void
troubles_free(struct troubles *troubles)
{
	munmap(troubles, sizeof(*troubles));
}

/* Whether it is this worker that tells. */
static bool
may_tell(struct state *state, int64_t now)
{
	int_fast64_t before = atomic_load(&state->told_at);

	return (before == 0 || now - before >= TOLD_EVERY) && atomic_compare_exchange_strong(&state->told_at, &before, now);
}

void
trouble_note(struct troubles *troubles, enum trouble trouble, const char *format, ...)
{
	char sentence[512];
	va_list args;

	if (troubles == NULL)
		return;
	struct state *state = &troubles->states[trouble];
	int64_t now = clock_us();
	unsigned long long count = atomic_fetch_add(&state->count, 1) + 1;
	atomic_store(&state->noted, now);
	atomic_store(&state->lasts, true);
	if (!may_tell(state, now))
		return;
	atomic_store(&state->told, true);
	va_start(args, format);
	(void)vsnprintf(sentence, sizeof(sentence), format, args);
	va_end(args);
	log_write(LOG_LEVEL_ERROR, trouble_names[trouble], "%s; for the %llu. time, told once a minute", sentence, count);
}

void
trouble_passed(struct troubles *troubles, enum trouble trouble)
{
	if (troubles == NULL)
		return;
	struct state *state = &troubles->states[trouble];
	if (!atomic_load_explicit(&state->lasts, memory_order_relaxed) || clock_us() - atomic_load(&state->noted) < QUIET)
		return;
	if (atomic_exchange(&state->lasts, false) && atomic_exchange(&state->told, false))
		log_write(LOG_LEVEL_INFO, trouble_names[trouble], "it is over; so far %llu times",
		    (unsigned long long)atomic_load(&state->count));
}

uint64_t
trouble_count(const struct troubles *troubles, enum trouble trouble)
{
	return troubles == NULL ? 0 : atomic_load(&troubles->states[trouble].count);
}
