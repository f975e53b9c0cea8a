/* The configuration: where values come from, what each key takes, and what a damaged file does (nothing). */
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "buffer.h"
#include "conf.h"
#include "conffile.h"
#include "confkey.h"
#include "tap.h"

enum { ERROR_SIZE = 512 };

/* The test's own directory, with the one file that is written anew for each case. */
struct place {
	char directory[64];
	char file[80];
};

static void
place_make(struct place *place)
{
	snprintf(place->directory, sizeof(place->directory), "/tmp/jobforge-conf.XXXXXX");
	if (mkdtemp(place->directory) == NULL)
		bail_out("mkdtemp");
	snprintf(place->file, sizeof(place->file), "%s/conf", place->directory);
}

static void
place_remove(const struct place *place)
{
	unlink(place->file);
	rmdir(place->directory);
}

static void
place_write(const struct place *place, const char *data, size_t len)
{
	FILE *out = fopen(place->file, "w");
	if (out == NULL || fwrite(data, 1, len, out) != len || fclose(out) != 0)
		bail_out("%s cannot be written", place->file);
}

static int
load_text(struct conf *conf, const struct place *place, const char *data, size_t len, char error[ERROR_SIZE])
{
	error[0] = '\0';
	place_write(place, data, len);
	return conf_load(conf, place->file, NULL, 0, error, ERROR_SIZE);
}

static int
load_flag(struct conf *conf, const char *flag, char error[ERROR_SIZE])
{
	char copy[256];
	char *flags[] = { copy };
	snprintf(copy, sizeof(copy), "%s", flag);
	error[0] = '\0';
	return conf_load(conf, NULL, flags, 1, error, ERROR_SIZE);
}

static void
test_defaults(void)
{
	struct conf conf = { 0 };
	char error[ERROR_SIZE];
	is_int(conf_load(&conf, NULL, NULL, 0, error, sizeof(error)), 0, "defaults alone load");
	is_string(conf.database, "dbname=jobforge user=jobforge_app", "default of a string");
	is_string(conf.admin_database, conf.database, "admin_database follows database");
	is_int(conf.statement_timeout, 4000, "default of a number");
	is_int(conf.log_level, LOG_LEVEL_INFO, "default of the level");
	ok(!conf.server_timing, "default of a boolean");
	is_string(conf.pid_file, "", "an empty default is an empty string");
	conf_free(&conf);
	ok(conf.database == NULL && conf.api_workers == 0, "freed is zeroed");
	conf_free(&conf);
}

static void
test_order(const struct place *place)
{
	static const char text[] = "api_workers = 5\nauth_workers = 6\nlogin_attempts = 7\n";
	char *flags[] = { (char[]){ "--login-attempts=70" }, (char[]){ "--login-attempts=71" } };
	struct conf conf = { 0 };
	char error[ERROR_SIZE];
	place_write(place, text, sizeof(text) - 1);
	setenv("JOBFORGE_AUTH_WORKERS", "60", 1);
	setenv("JOBFORGE_LOGIN_ATTEMPTS", "61", 1);
	setenv("JOBFORGE_NO_SUCH_KEY", "1", 1);
	is_int(conf_load(&conf, place->file, flags, 2, error, sizeof(error)), 0, "all four sources load");
	is_int(conf.worker_connections, 4096, "the default stands where nothing else is said");
	is_int(conf.api_workers, 5, "the file beats the default");
	is_int(conf.auth_workers, 60, "the environment beats the file");
	is_int(conf.login_attempts, 71, "the last flag beats the environment");
	setenv("JOBFORGE_AUTH_WORKERS", "", 1);
	is_int(conf_load(&conf, NULL, NULL, 0, error, sizeof(error)), -1, "an empty variable is no number");
	is_string(error, "JOBFORGE_AUTH_WORKERS: auth_workers must be a whole number from 1 to 64.",
	    "the error names it");
	unsetenv("JOBFORGE_AUTH_WORKERS");
	unsetenv("JOBFORGE_LOGIN_ATTEMPTS");
	unsetenv("JOBFORGE_NO_SUCH_KEY");
	conf_free(&conf);
}

#define TEXT(literal) .text = (literal), .len = sizeof(literal) - 1

/* token_issuer as it is read, or the end of the error. */
static const struct {
	const char *name;
	const char *text;
	size_t len;
	const char *value;
	const char *error;
} syntax[] = {
	{ "an empty file", TEXT(""), .value = "jobforge" },
	{ "no line feed at the end", TEXT("token_issuer = a"), .value = "a" },
	{ "carriage returns", TEXT("\r\ntoken_issuer = a\r\n\r\n"), .value = "a" },
	{ "blanks everywhere", TEXT("\t token_issuer\t =\t a b \t\n"), .value = "a b" },
	{ "no blanks", TEXT("token_issuer=a"), .value = "a" },
	{ "a comment before", TEXT("# token_issuer = x\n  # y\ntoken_issuer = a\n"), .value = "a" },
	{ "a comment after", TEXT("token_issuer = a # b\n"), .value = "a" },
	{ "a hash within a word", TEXT("token_issuer = a#b\n"), .value = "a#b" },
	{ "an equals sign in the value", TEXT("token_issuer = a=b\n"), .value = "a=b" },
	{ "quotes", TEXT("token_issuer = \" a # b \"\n"), .value = " a # b " },
	{ "escapes in quotes", TEXT("token_issuer = \"a\\\"b\\\\c\"\n"), .value = "a\"b\\c" },
	{ "a comment after quotes", TEXT("token_issuer = \"a\" # b\n"), .value = "a" },
	{ "a quote within a word", TEXT("token_issuer = a\"b\"\n"), .value = "a\"b\"" },
	{ "a backslash without quotes", TEXT("token_issuer = a\\b\n"), .value = "a\\b" },
	{ "UTF-8", TEXT("token_issuer = \xC3\xA9\n"), .value = "\xC3\xA9" },
	{ "a tab within", TEXT("token_issuer = a\tb\n"), .value = "a\tb" },

	{ "no value where one is needed", TEXT("token_issuer =\n"), .error = ":1: token_issuer must not be empty." },
	{ "empty quotes", TEXT("\ntoken_issuer = \"\"\n"), .error = ":2: token_issuer must not be empty." },
	{ "a comment for a value", TEXT("token_issuer = # a\n"), .error = ":1: token_issuer must not be empty." },
	{ "an unknown key", TEXT("# a\n\ntoken_isuer = a\n"),
	    .error = ":3: there is no key token_isuer; see jobforged.conf(5)." },
	{ "a repeated key", TEXT("token_issuer = a\ntoken_issuer = a\n"),
	    .error = ":2: token_issuer is set a second time." },
	{ "upper case", TEXT("Token_issuer = a\n"),
	    .error = ":1: a line is \"key = value\", a comment that starts with '#', or empty." },
	{ "a flag's spelling", TEXT("token-issuer = a\n"),
	    .error = ":1: a line is \"key = value\", a comment that starts with '#', or empty." },
	{ "no equals sign", TEXT("token_issuer\n"),
	    .error = ":1: a line is \"key = value\", a comment that starts with '#', or empty." },
	{ "no key", TEXT("= a\n"),
	    .error = ":1: a line is \"key = value\", a comment that starts with '#', or empty." },
	{ "an open quote", TEXT("token_issuer = \"a\npid_file = \"\n"), .error = ":1: the closing quote is missing." },
	{ "an escaped closing quote", TEXT("token_issuer = \"a\\\"\n"), .error = ":1: the closing quote is missing." },
	{ "an unknown escape", TEXT("token_issuer = \"a\\n\"\n"),
	    .error = ":1: in quotes a backslash stands before '\"' or another backslash only." },
	{ "a backslash at the end", TEXT("token_issuer = \"a\\"),
	    .error = ":1: in quotes a backslash stands before '\"' or another backslash only." },
	{ "text after the quotes", TEXT("token_issuer = \"a\" b\n"),
	    .error = ":1: there is text after the closing quote." },
	{ "a NUL", TEXT("token_issuer = a\0b\n"), .error = ":1: the line holds a control character, or is not UTF-8." },
	{ "a NUL at the start", TEXT("\0"), .error = ":1: the line holds a control character, or is not UTF-8." },
	{ "a carriage return within", TEXT("token_issuer = a\rb\n"),
	    .error = ":1: the line holds a control character, or is not UTF-8." },
	{ "a broken sequence", TEXT("token_issuer = \xC3\n"),
	    .error = ":1: the line holds a control character, or is not UTF-8." },
	{ "a byte order mark", TEXT("\xEF\xBB\xBFtoken_issuer = a\n"),
	    .error = ":1: a line is \"key = value\", a comment that starts with '#', or empty." },
	{ "an algorithm of another family", TEXT("token_algorithm = RS256\n"),
	    .error = ":1: token_algorithm must be HS256, HS384 or HS512." },
	{ "a level that is none", TEXT("log_level = warn\n"),
	    .error = ":1: log_level must be debug, info, warning or error." },
	{ "a boolean that is none", TEXT("server_timing = maybe\n"), .error = ":1: server_timing must be on or off." },
	{ "one path for both sockets", TEXT("api_socket = /a\nauth_socket = /a\n"),
	    .error = "auth_socket: it is the same path as that of api_socket." },
	{ "one path for two other sockets", TEXT("auth_socket = /a\nbulk_socket = /a\n"),
	    .error = "bulk_socket: it is the same path as that of auth_socket." },
};

static void
test_syntax(const struct place *place)
{
	for (size_t i = 0; i < COUNT_OF(syntax); i++) {
		struct conf conf = { 0 };
		char error[ERROR_SIZE], wanted[ERROR_SIZE];
		int result = load_text(&conf, place, syntax[i].text, syntax[i].len, error);
		bool in_line = syntax[i].error != NULL && syntax[i].error[0] == ':';
		snprintf(wanted, sizeof(wanted), "%s%s", in_line ? place->file : "",
		    syntax[i].error == NULL ? "" : syntax[i].error);
		if (syntax[i].error == NULL && result != 0)
			is_string(error, "", "%s: loads", syntax[i].name);
		else if (syntax[i].error == NULL)
			is_string(conf.token_issuer, syntax[i].value, "%s: the value", syntax[i].name);
		else
			is_string(result == 0 ? "(loaded)" : error, wanted, "%s: refused", syntax[i].name);
		conf_free(&conf);
	}
}

/* Loads `key` = `text` as a flag; whether it was taken, with the number in *value. */
static bool
takes(const struct confkey *key, const char *text, int *value)
{
	struct conf conf = { 0 };
	char flag[256], error[ERROR_SIZE];
	snprintf(flag, sizeof(flag), "--%s=%s", key->name, text);
	for (char *at = flag; *at != '='; at++)
		*at = *at == '_' ? '-' : *at;
	bool taken = load_flag(&conf, flag, error) == 0;
	if (taken)
		*value = *(int *)confkey_member(&conf, key);
	conf_free(&conf);
	return taken;
}

static bool
takes_number(const struct confkey *key, long long number)
{
	char text[32];
	int value;
	snprintf(text, sizeof(text), "%lld", number);
	return takes(key, text, &value) && value == number;
}

static void
test_integers(void)
{
	static const char *const bad[] = { "", " ", "x", "10x", "1 0", "+10", "-1", "1e1", "10.0", "0x10", "4294967300",
		"99999999999999999999999999", "\xD9\xA1" };
	const struct confkey *key;
	for (size_t i = 0; (key = confkey_at(i)) != NULL; i++) {
		if (key->type != CONFKEY_INTEGER)
			continue;
		ok(takes_number(key, key->min) && takes_number(key, key->max), "%s: both bounds", key->name);
		ok(!takes_number(key, key->min - 1LL) && !takes_number(key, key->max + 1LL), "%s: not beyond",
		    key->name);
		int value, taken = 0;
		for (size_t j = 0; j < COUNT_OF(bad); j++)
			taken += takes(key, bad[j], &value);
		is_int(taken, 0, "%s: nothing but digits", key->name);
	}
}

static void
test_flags(void)
{
	static const struct {
		const char *flag;
		const char *error;
	} bad[] = {
		{ "--no-such-key=secret", "--no-such-key: there is no such option; see jobforged.conf(5)." },
		{ "--api_workers=3", "--api_workers: there is no such option; see jobforged.conf(5)." },
		{ "--api-workers", "--api-workers: a value is missing: --api-workers=VALUE." },
		{ "--no-api-workers", "--no-api-workers: there is no such option; see jobforged.conf(5)." },
		{ "--no-server-timing=on", "--no-server-timing: there is no such option; see jobforged.conf(5)." },
		{ "--server-timing=", "--server-timing: server_timing must be on or off." },
		{ "-api-workers=3", "-api-workers: there is no such option; see jobforged.conf(5)." },
		{ "api-workers=3", "api-workers: there is no such option; see jobforged.conf(5)." },
		{ "--", "--: there is no such option; see jobforged.conf(5)." },
		{ "--=", "--: there is no such option; see jobforged.conf(5)." },
		{ "", ": there is no such option; see jobforged.conf(5)." },
		{ "--database=jobforge",
		    "--database: database must be pairs of keyword=value or a postgresql:// URI." },
		{ "--database=password=two words",
		    "--database: database must be pairs of keyword=value or a postgresql:// URI." },
		{ "--token-issuer=a\nb", "--token-issuer: token_issuer holds a control character, or is not UTF-8." },
	};
	struct conf conf = { 0 };
	char error[ERROR_SIZE];
	for (size_t i = 0; i < COUNT_OF(bad); i++)
		is_string(load_flag(&conf, bad[i].flag, error) == 0 ? "(loaded)" : error, bad[i].error, "flag %s",
		    bad[i].flag);
	ok(conf_flag_known("--api-workers") && conf_flag_known("--no-server-timing") &&
		conf_flag_known("--server-timing=x"),
	    "known flags");
	ok(!conf_flag_known("--no-api-workers") && !conf_flag_known("--x=1") && !conf_flag_known("x"), "unknown flags");

	ok(conf_flag_is_secret("--database=x") && conf_flag_is_secret("--admin-database=x"), "flags that may hold a password");
	ok(!conf_flag_is_secret("--api-workers=2") && !conf_flag_is_secret("-t") && !conf_flag_is_secret("database=x"),
	    "flags that hold none");

	is_int(load_flag(&conf, "--server-timing", error), 0, "a bare boolean");
	ok(conf.server_timing, "is on");
	is_int(load_flag(&conf, "--no-server-timing", error), 0, "a boolean with no-");
	ok(!conf.server_timing, "is off");
	is_int(load_flag(&conf, "--log-level=error", error), 0, "a level");
	is_int(conf.log_level, LOG_LEVEL_ERROR, "is set");
	is_int(load_flag(&conf, "--admin-database=dbname=a user=b", error), 0, "a value with an equals sign");
	is_string(conf.admin_database, "dbname=a user=b", "is whole");
	conf_free(&conf);
}

static void
test_failure_changes_nothing(const struct place *place)
{
	static const char good[] = "token_issuer = a\napi_workers = 9\n", bad[] = "token_issuer = b\napi_workers = 0\n";
	struct conf conf = { 0 };
	char error[ERROR_SIZE];
	is_int(load_text(&conf, place, good, sizeof(good) - 1, error), 0, "a good file");
	is_int(load_text(&conf, place, bad, sizeof(bad) - 1, error), -1, "then a bad one");
	is_string(conf.token_issuer, "a", "the string is as it was");
	is_int(conf.api_workers, 9, "the number is as it was");
	is_int(load_text(&conf, place, "", 0, error), 0, "then an empty one");
	is_int(conf.api_workers, 4, "brings the defaults back");
	conf_free(&conf);
}

static void
test_unreadable(const struct place *place)
{
	struct conf conf = { 0 };
	char error[ERROR_SIZE], wanted[ERROR_SIZE];
	unlink(place->file);
	is_int(conf_load(&conf, place->file, NULL, 0, error, sizeof(error)), -1, "a missing file");
	snprintf(wanted, sizeof(wanted), "%s: the configuration file cannot be read: No such file or directory.",
	    place->file);
	is_string(error, wanted, "is named");
	is_int(conf_load(&conf, place->directory, NULL, 0, error, sizeof(error)), -1, "a directory");
	is_int(conf_load(&conf, "/dev/zero", NULL, 0, error, sizeof(error)), -1, "a file without end");
	is_string(error, "/dev/zero: larger than 262144 bytes, so it is no configuration file.", "is too large");
	char tiny[4];
	is_int(conf_load(&conf, place->file, NULL, 0, tiny, sizeof(tiny)), -1, "a small buffer for the error");
	ok(strlen(tiny) == 3, "is filled and ended");
}

static void
test_long(const struct place *place)
{
	struct conf conf = { 0 };
	struct buffer text = { 0 };
	char error[ERROR_SIZE];
	BUFFER_LITERAL(&text, "token_keys = ");
	memset(buffer_reserve(&text, 4095), 'a', 4095);
	text.len += 4095;
	is_int(load_text(&conf, place, text.data, text.len, error), 0, "a value of 4095 bytes");
	is_int((long long)strlen(conf.token_keys), 4095, "is whole");
	buffer_putc(&text, 'a');
	is_int(load_text(&conf, place, text.data, text.len, error), -1, "a value of 4096 bytes");
	ok(strstr(error, ":1: token_keys is longer than 4095 bytes.") != NULL, "is refused as such");

	buffer_clear(&text);
	memset(buffer_reserve(&text, CONFFILE_MAX), 'k', CONFFILE_MAX);
	text.len = CONFFILE_MAX;
	text.data[200000] = '=';
	is_int(load_text(&conf, place, text.data, text.len, error), -1, "a line as long as the longest file");
	ok(strlen(error) < 256, "has a short error");
	buffer_free(&text);
	conf_free(&conf);
}

static void
print_to_stderr(void *conf)
{
	dup2(STDERR_FILENO, STDOUT_FILENO);
	conf_print(conf);
	fflush(stdout);
}

static void
print_json_to_stderr(void *conf)
{
	dup2(STDERR_FILENO, STDOUT_FILENO);
	conf_print_json(conf);
	fflush(stdout);
}

static void
test_print(const struct place *place)
{
	static char printed[16384], again[16384];
	char *flags[] = {
		(char[]){ "--database=host=h password=geheim" },
		(char[]){ "--admin-database=postgresql://u:geheim@h/d" },
		(char[]){ "--token-issuer=a \"b\" \\ # c" },
		(char[]){ "--server-timing" },
		(char[]){ "--log-level=debug" },
		(char[]){ "--api-workers=12" },
	};
	struct conf conf = { 0 };
	char error[ERROR_SIZE];
	if (conf_load(&conf, NULL, flags, COUNT_OF(flags), error, sizeof(error)) != 0)
		bail_out("%s", error);
	run_child(print_to_stderr, &conf, printed, sizeof(printed));
	ok(strstr(printed, "geheim") == NULL, "no password is printed");
	ok(strstr(printed, "\ndatabase = \"host=h password=***\"\n") != NULL, "its place is");
	is_int(load_text(&conf, place, printed, strlen(printed), error), 0, "what is printed can be loaded");
	is_string(conf.token_issuer, "a \"b\" \\ # c", "with quotes and backslashes");
	run_child(print_to_stderr, &conf, again, sizeof(again));
	is_string(again, printed, "and prints the same again");
	run_child(print_json_to_stderr, &conf, again, sizeof(again));
	ok(strstr(again, "\"token_issuer\":\"a \\\"b\\\" \\\\ # c\"") != NULL, "JSON: a string");
	ok(strstr(again, "\"api_workers\":12,") != NULL, "JSON: a number");
	ok(strstr(again, "\"server_timing\":true,\"log_level\":\"debug\"}\n") != NULL, "JSON: a boolean and a level");
	conf_free(&conf);
}

static void
test_example(const struct place *place)
{
	static char example[16384];
	struct conf conf = { 0 };
	char error[ERROR_SIZE];
	run_child(print_to_stderr, NULL, example, sizeof(example));
	is_int(load_text(&conf, place, example, strlen(example), error), 0, "the example loads");
	ok(strstr(example, "\n#api_workers = 4\n") != NULL, "its defaults are commented out");
	struct buffer bare = { 0 };
	for (const char *at = example; *at != '\0'; at++)
		if (*at != '#' || at[1] == ' ')
			buffer_putc(&bare, *at);
	is_int(load_text(&conf, place, bare.data, bare.len, error), 0, "and load without the comment signs");
	buffer_free(&bare);
	conf_free(&conf);
}

/* A small generator with a fixed seed: the same cases in each run. */
static uint32_t
next_random(uint32_t *state)
{
	*state = *state * 1664525u + 1013904223u;
	return *state >> 8;
}

static void
damage(char *text, size_t len, uint32_t *state)
{
	static const char bytes[] = "\0\n\r\t \"\\#=a_9\x7F\xC3\xFF";
	for (uint32_t i = 0, count = 1 + next_random(state) % 8; i < count; i++)
		text[next_random(state) % len] = bytes[next_random(state) % (sizeof(bytes) - 1)];
}

/* The values are within their bounds, whatever the file was. */
static bool
is_sound(const struct conf *conf)
{
	const struct confkey *key;
	for (size_t i = 0; (key = confkey_at(i)) != NULL; i++) {
		int value = key->type == CONFKEY_INTEGER ? *(int *)confkey_member(conf, key) : key->min;
		if (confkey_is_string(key))
			value = (int)strlen(*(char **)confkey_member(conf, key));
		if (value < key->min || (key->type <= CONFKEY_INTEGER && value > key->max))
			return false;
	}
	return true;
}

static void
test_damaged(const struct place *place)
{
	static const char seed[] = "# c\ntoken_issuer = \"a \\\" # b\"\r\napi_workers=12\n\n"
	    "database = host=/run dbname=x # y\nlog_level = debug\nserver_timing = on\npid_file = \n";
	struct conf conf = { 0 };
	char error[ERROR_SIZE], text[sizeof(seed)];
	uint32_t state = 20260131;
	int loaded = 0, refused = 0, wrong = 0;
	for (int i = 0; i < 5000; i++) {
		memcpy(text, seed, sizeof(seed));
		damage(text, sizeof(seed) - 1, &state);
		size_t len = sizeof(seed) - 1 - (i % 4 == 0 ? next_random(&state) % (sizeof(seed) - 1) : 0);
		bool failed = load_text(&conf, place, text, len, error) != 0;
		loaded += !failed;
		refused += failed;
		wrong += failed ? strncmp(error, place->file, strlen(place->file)) != 0 : !is_sound(&conf);
	}
	is_int(wrong, 0, "5000 damaged files: each loads within bounds or is named in an error");
	ok(loaded > 100 && refused > 100, "both happen");
	conf_free(&conf);
}

static void
test_forgetting(void)
{
	struct conf conf = { 0 };
	char error[256];
	char workers[] = "--database=dbname=a", admin[] = "--admin-database=dbname=b password=c";
	char backup[] = "--backup-database=dbname=d", *flags[] = { workers, admin, backup };
	is_int(conf_load(&conf, NULL, flags, 3, error, sizeof(error)), 0, "three connection strings");
	conf_forget_administrators(&conf);
	is_string(conf.admin_database, "", "the administrator's is forgotten");
	is_string(conf.backup_database, "", "so is that of backups");
	is_string(conf.database, "dbname=a", "the workers' stays");
	conf_free(&conf);
}

static void
test_names(void)
{
	is_string(conf_key(0), "database", "the first key");
	size_t count = 0;
	while (conf_key(count) != NULL)
		count++;
	ok(count > 20 && confkey_at(count) == NULL, "the table ends");
}

int
main(void)
{
	struct place place = { 0 };
	clearenv(); /* whoever runs the tests may have keys in it */
	place_make(&place);
	test_defaults();
	test_order(&place);
	test_syntax(&place);
	test_integers();
	test_flags();
	test_failure_changes_nothing(&place);
	test_unreadable(&place);
	test_long(&place);
	test_print(&place);
	test_example(&place);
	test_damaged(&place);
	test_forgetting();
	test_names();
	place_remove(&place);
	return done();
}
