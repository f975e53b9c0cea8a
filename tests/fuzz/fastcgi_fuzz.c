/*
 * FastCGI: any bytes on a worker's socket, with whatever they announce and then do not send. libfcgi, which reads
 * them, is not instrumented; AddressSanitizer still sees what it allocates.
 *
 * Holds for every input: the connection comes to its end by itself, and what was sent back is made of whole records.
 */
#include "fuzz.h"

#include "record.h"

/* Whether the bytes are let through, whatever the pieces in which they arrive. */
static void
check_records(struct slice input)
{
	struct record whole = { 0 }, pieces = { 0 };
	bool taken = true;

	bool good = record_take(&whole, input.data, input.len);
	for (size_t at = 0, step = 1; at < input.len; at += step, step = step % 13 + 1) {
		step = input.len - at < step ? input.len - at : step;
		taken = record_take(&pieces, input.data + at, step);
		HOLDS(taken || !good);
	}
	HOLDS(taken == good);
	HOLDS(whole.params <= RECORD_PARAMS_MAX || !good);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	enum { HEADER = 8 };
	struct slice input = { (const char *)data, size };
	struct buffer answer = { 0 };
	enum pool pool = (enum pool)(fuzz_byte(&input) % POOL_COUNT);

	check_records(input);
	fuzz_serve(pool, input, &answer);
	for (size_t at = 0; at < answer.len;) {
		const uint8_t *header = (const uint8_t *)answer.data + at;
		HOLDS(answer.len - at >= HEADER && header[0] == 1);
		at += HEADER + ((size_t)header[4] << 8 | header[5]) + header[6];
		HOLDS(at <= answer.len);
	}
	arena_reset(fuzz_arena());
	buffer_free(&answer);
	return 0;
}
