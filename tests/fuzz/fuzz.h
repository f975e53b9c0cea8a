/*
 * What the fuzz targets share. Each target is a program of libFuzzer's: one LLVMFuzzerTestOneInput(), whose comment
 * says what must hold for every input besides "no crash".
 */
#ifndef JOBFORGE_FUZZ_H
#define JOBFORGE_FUZZ_H

#include "api.h"
#include "arena.h"
#include "base.h"
#include "buffer.h"
#include "call.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Ends the run as a finding, and says which promise is broken. */
#define HOLDS(condition) ((condition) ? (void)0 : fuzz_broken(__FILE__, __LINE__, #condition))
void fuzz_broken(const char *file, int line, const char *promise) NORETURN;

/* The one arena of the process. */
struct arena *fuzz_arena(void);

/* The input cut at its first line feed: returns what is before it, and leaves what is after it. */
struct slice fuzz_line(struct slice *input);

/* The first byte of the input, taken off it; 0 at its end. */
uint8_t fuzz_byte(struct slice *input);

/* A copy in memory of its exact size, so that a step past the end is seen. Freed at the arena's reset. */
struct slice fuzz_exact(struct slice text);

/* Whether two slices hold the same bytes. */
bool fuzz_same(struct slice a, struct slice b);

/* A file in memory, mode 0600, open until the process ends; its path is in `path`. Each call for a `slot` writes
 * it anew. */
enum { FUZZ_PATH = 32, FUZZ_SLOTS = 2 };
void fuzz_file(int slot, struct slice text, char path[FUZZ_PATH]);

/* The key with which the service below signs: known here, so that an input gets past the signature. */
#define FUZZ_KEY_ID "fuzz"
extern const uint8_t fuzz_key[32];
#define FUZZ_USER "0f8fad5b-d9cb-469f-a165-70867728950e"

/* What a worker of a pool has, with its database away for good. */
const struct service *fuzz_service(enum pool pool);

/* A token of FUZZ_USER that the service takes. */
const char *fuzz_token(void);

/*
 * Sends `sent` to a worker's end of a connection, then closes for writing; serves as a worker does until the
 * connection is at its end; everything that came back is appended to `answer`. Returns how many requests were
 * answered.
 */
int fuzz_serve(enum pool pool, struct slice sent, struct buffer *answer);

/* Appends a FastCGI record, and a name-value pair of its parameters. */
void fuzz_record(struct buffer *out, uint8_t type, uint16_t id, struct slice content);
void fuzz_param(struct buffer *out, struct slice name, struct slice value);

#endif
