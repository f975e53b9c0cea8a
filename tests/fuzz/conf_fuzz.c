/*
 * Configuration and key files: conffile.c, conf.c, and token.c's reader of keys. The first byte of the input chooses
 * which.
 *
 * Holds for every input: entries that are read, written again with all values in quotes, are read as the same; a
 * value is UTF-8 without control characters; a configuration that is taken keeps within the bounds of its keys; keys
 * that are taken sign tokens that are taken; whatever is refused has a sentence, which repeats no secret of a key
 * file.
 */
#include "fuzz.h"

#include <ctype.h>
#include <stdlib.h>

#include "conf.h"
#include "conffile.h"
#include "token.h"

enum { ENTRIES = 200 };

struct entries {
	struct slice keys[ENTRIES];
	struct slice values[ENTRIES];
	int count;
	int end;
};

static void
read_entries(struct slice text, struct entries *entries)
{
	struct slice exact = fuzz_exact(text);
	struct conffile file = { .at = (char *)(uintptr_t)exact.data, .left = exact.len };

	for (entries->count = 0; entries->count < ENTRIES; entries->count++) {
		entries->end = conffile_next(&file);
		HOLDS((entries->end < 0) == (file.problem != NULL));
		if (entries->end <= 0)
			return;
		HOLDS(file.key.len > 0 && file.line > entries->count);
		HOLDS(conffile_text_valid(file.value));
		entries->keys[entries->count] = file.key;
		entries->values[entries->count] = file.value;
	}
}

static void
check_syntax(struct slice text)
{
	static struct entries first, second;
	struct buffer out = { 0 };

	read_entries(text, &first);
	for (int i = 0; i < first.count; i++) {
		buffer_append(&out, first.keys[i].data, first.keys[i].len);
		BUFFER_LITERAL(&out, "=\"");
		for (size_t at = 0; at < first.values[i].len; at++) {
			if (first.values[i].data[at] == '"' || first.values[i].data[at] == '\\')
				buffer_putc(&out, '\\');
			buffer_putc(&out, first.values[i].data[at]);
		}
		BUFFER_LITERAL(&out, "\"\r\n");
	}
	read_entries((struct slice){ out.data, out.len }, &second);
	HOLDS(second.count == first.count);
	for (int i = 0; i < first.count; i++)
		HOLDS(fuzz_same(first.keys[i], second.keys[i]) && fuzz_same(first.values[i], second.values[i]));
	buffer_free(&out);
}

static void
check_conf(struct slice text)
{
	struct conf conf = { 0 };
	char path[FUZZ_PATH], error[300] = "";

	fuzz_file(1, text, path);
	if (conf_load(&conf, path, NULL, 0, error, sizeof(error)) != 0) {
		HOLDS(error[0] != '\0' && conf.database == NULL);
		return;
	}
	HOLDS(conf.connect_timeout >= 1 && conf.connect_timeout <= 10000);
	HOLDS(conf.statement_timeout >= 100 && conf.statement_timeout <= 4500);
	HOLDS(conf.api_workers >= 1 && conf.api_workers <= 512 && conf.auth_workers >= 1 && conf.auth_workers <= 64);
	HOLDS(conf.worker_connections >= 1 && conf.worker_connections <= 65536);
	HOLDS(conf.access_token_lifetime >= 10 && conf.access_token_lifetime <= 86400);
	HOLDS(conf.bcrypt_cost >= 4 && conf.bcrypt_cost <= 16);
	HOLDS(conf.database != NULL && conf.api_socket != NULL && conf.token_keys != NULL && conf.user != NULL);
	conf_free(&conf);
}

/* Whether a word of the file that is long enough to be a secret stands in the error. */
static bool
tells_secret(struct slice text, const char *error)
{
	enum { SECRET = 43 };

	for (size_t at = 0, len; at < text.len; at += len + 1) {
		for (len = 0; at + len < text.len && !isspace((unsigned char)text.data[at + len]);)
			len++;
		const char *word = arena_copy(fuzz_arena(), text.data + at, len);
		if (strlen(word) >= SECRET && strstr(error, word) != NULL)
			return true;
	}
	return false;
}

static void
check_keys(struct slice text)
{
	const struct token_policy policy = { "HS512", "issuer", "audience", 60 };
	char path[FUZZ_PATH], error[300] = "";
	struct token_subject subject;
	uint8_t secret[32];

	fuzz_file(1, text, path);
	struct token_keys *keys = token_keys_read(path, error, sizeof(error));
	HOLDS((keys == NULL) == (error[0] != '\0'));
	if (keys == NULL) {
		HOLDS(!tells_secret(text, error));
		return;
	}
	const char *token = token_sign(fuzz_arena(), keys, &policy, FUZZ_USER, 1000);
	HOLDS(token != NULL);
	HOLDS(token_verify(fuzz_arena(), keys, &policy, slice_of(token), 1001, &subject) == TOKEN_VALID);
	HOLDS(token_verify(fuzz_arena(), keys, &policy, slice_of(token), 1060, &subject) == TOKEN_EXPIRED);
	size_t count = 0;
	while (token_keys_derive(keys, count, "fuzz", secret))
		count++;
	HOLDS(count >= 1 && count <= TOKEN_MAX_KEYS);
	token_keys_free(keys);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static void (*const checks[])(struct slice text) = { check_syntax, check_conf, check_keys };
	struct slice input = { (const char *)data, size };
	uint8_t kind = fuzz_byte(&input);

	checks[kind % COUNT_OF(checks)](input);
	arena_reset(fuzz_arena());
	return 0;
}
