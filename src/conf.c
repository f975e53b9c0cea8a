#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "buffer.h"
#include "conf.h"
#include "conffile.h"
#include "confkey.h"
#include "conninfo.h"

enum { TEXT_MAX = 4095, SOCKET_PATH_MAX = 107 /* sun_path of unix(7) without its NUL */ };

static const char *const algorithms[] = { "HS256", "HS384", "HS512", NULL };
static const char *const levels[] = {
	[LOG_LEVEL_DEBUG] = "debug",
	[LOG_LEVEL_INFO] = "info",
	[LOG_LEVEL_WARNING] = "warning",
	[LOG_LEVEL_ERROR] = "error",
	NULL,
};
static const char *const truths[] = { "on", "true", "yes", "1", NULL };
static const char *const falsehoods[] = { "off", "false", "no", "0", NULL };

#define KEY(member) .name = #member, .offset = offsetof(struct conf, member)

static const struct confkey keys[] = {
	{ KEY(database), .type = CONFKEY_CONNINFO, .min = 1, .max = TEXT_MAX,
	    .fallback = "dbname=jobforge user=jobforge_app",
	    .help = "Connection string or URI of libpq for the workers, who connect as jobforge_app." },
	{ KEY(admin_database), .type = CONFKEY_CONNINFO, .max = TEXT_MAX, .fallback = "",
	    .help = "Connection string of jobforgectl, as an administrator; empty: that of database." },
	{ KEY(backup_database), .type = CONFKEY_CONNINFO, .max = TEXT_MAX, .fallback = "",
	    .help = "Connection string of jobforgectl backup; empty: that of database, as jobforge_backup." },
	{ KEY(connect_timeout), .type = CONFKEY_INTEGER, .min = 1, .max = 10000, .fallback = "1000",
	    .help = "Milliseconds that connecting to the database may take." },
	{ KEY(statement_timeout), .type = CONFKEY_INTEGER, .min = 100, .max = 4500, .fallback = "4000",
	    .help = "Milliseconds that a statement may take before the request ends with 503." },
	{ KEY(connection_lifetime), .type = CONFKEY_INTEGER, .min = 0, .max = 31536000, .fallback = "3600",
	    .help = "Seconds after which a worker makes its database connection anew; 0: never." },

	{ KEY(api_socket), .type = CONFKEY_STRING, .min = 1, .max = SOCKET_PATH_MAX,
	    .fallback = RUNSTATEDIR "/jobforge/api.sock",
	    .help = "Path of the unix socket on which the api workers take FastCGI connections." },
	{ KEY(auth_socket), .type = CONFKEY_STRING, .min = 1, .max = SOCKET_PATH_MAX,
	    .fallback = RUNSTATEDIR "/jobforge/auth.sock",
	    .help = "Path of the unix socket of the auth workers, who hash passwords." },
	{ KEY(bulk_socket), .type = CONFKEY_STRING, .min = 1, .max = SOCKET_PATH_MAX,
	    .fallback = RUNSTATEDIR "/jobforge/bulk.sock",
	    .help = "Path of the unix socket of the bulk workers, who export and import accounts." },
	{ KEY(socket_group), .type = CONFKEY_STRING, .max = TEXT_MAX, .fallback = "",
	    .help = "Group that may connect to the sockets, which is nginx's; empty: the process's own." },
	{ KEY(user), .type = CONFKEY_STRING, .max = TEXT_MAX, .fallback = "",
	    .help = "Account to change to when started as root; empty: stay." },
	{ KEY(api_workers), .type = CONFKEY_INTEGER, .min = 1, .max = 512, .fallback = "4",
	    .help = "Number of api workers, each with one database connection." },
	{ KEY(auth_workers), .type = CONFKEY_INTEGER, .min = 1, .max = 64, .fallback = "2",
	    .help = "Number of auth workers, each with one database connection." },
	{ KEY(bulk_workers), .type = CONFKEY_INTEGER, .min = 1, .max = 64, .fallback = "2",
	    .help = "Number of bulk workers, each with one database connection: so many exports and imports run at once." },
	{ KEY(worker_connections), .type = CONFKEY_INTEGER, .min = 1, .max = 65536, .fallback = "4096",
	    .help = "FastCGI connections that one worker keeps open." },
	{ KEY(queue_timeout), .type = CONFKEY_INTEGER, .min = 10, .max = 4500, .fallback = "3000",
	    .help = "Milliseconds that a request may have waited for a worker; 503 after that." },
	{ KEY(drain_timeout), .type = CONFKEY_INTEGER, .min = 1, .max = 3600, .fallback = "30",
	    .help = "Seconds that a worker told to stop may take to finish." },
	{ KEY(sandbox), .type = CONFKEY_BOOLEAN, .fallback = "on",
	    .help = "Whether workers are held to the system calls of their work, and memory is hidden; off: to debug." },
	{ KEY(pid_file), .type = CONFKEY_STRING, .max = TEXT_MAX, .fallback = "",
	    .help = "File that holds the master's process id while it runs; empty: none." },

	{ KEY(token_keys), .type = CONFKEY_STRING, .min = 1, .max = TEXT_MAX,
	    .fallback = SYSCONFDIR "/jobforge/token.keys",
	    .help = "Path of the file with the keys of the access tokens, made by jobforgectl key rotate." },
	{ KEY(token_algorithm), .type = CONFKEY_STRING, .max = TEXT_MAX, .choices = algorithms, .fallback = "HS256",
	    .help = "The one algorithm that access tokens are signed and checked with." },
	{ KEY(token_issuer), .type = CONFKEY_STRING, .min = 1, .max = 255, .fallback = "jobforge",
	    .help = "The claim iss of access tokens." },
	{ KEY(token_audience), .type = CONFKEY_STRING, .min = 1, .max = 255, .fallback = "jobforge-api",
	    .help = "The claim aud of access tokens." },
	{ KEY(access_token_lifetime), .type = CONFKEY_INTEGER, .min = 10, .max = 86400, .fallback = "900",
	    .help = "Seconds for which an access token is valid." },
	{ KEY(refresh_token_lifetime), .type = CONFKEY_INTEGER, .min = 60, .max = 31536000, .fallback = "2592000",
	    .help = "Seconds for which a refresh token is valid." },
	{ KEY(refresh_token_grace), .type = CONFKEY_INTEGER, .min = 0, .max = 60, .fallback = "10",
	    .help = "Seconds for which a spent refresh token still works, so that two tabs may refresh at once." },
	{ KEY(bcrypt_cost), .type = CONFKEY_INTEGER, .min = 4, .max = 16, .fallback = "12",
	    .help = "Cost of password hashes; each step doubles the time that hashing takes." },
	{ KEY(login_attempts), .type = CONFKEY_INTEGER, .min = 1, .max = 1000, .fallback = "10",
	    .help = "Failed logins for one email within login_window after which further ones get 429." },
	{ KEY(login_window), .type = CONFKEY_INTEGER, .min = 1, .max = 86400, .fallback = "900",
	    .help = "Seconds over which login_attempts counts." },

	{ KEY(metrics_retention), .type = CONFKEY_INTEGER, .min = 0, .max = 3650, .fallback = "30",
	    .help = "Days for which each minute's figures are kept in the database; 0: they are not written." },
	{ KEY(refusals_log), .type = CONFKEY_STRING, .max = TEXT_MAX, .fallback = "",
	    .help = "Log to which nginx writes what it refuses with 429, for the metrics; empty: not counted." },

	{ KEY(audit_log_retention), .type = CONFKEY_INTEGER, .min = 0, .max = 36500, .fallback = "730",
	    .help = "Days for which jobforgectl maintain keeps entries of the audit log, by whole months; 0: for ever." },
	{ KEY(backup_directory), .type = CONFKEY_STRING, .min = 1, .max = TEXT_MAX, .fallback = "/var/backups/jobforge",
	    .help = "Directory in which jobforgectl keeps backups." },
	{ KEY(backup_keep), .type = CONFKEY_INTEGER, .min = 1, .max = 10000, .fallback = "14",
	    .help = "Number of backups that are kept; each new one beyond removes the oldest." },
	{ KEY(backup_keep_days), .type = CONFKEY_INTEGER, .min = 0, .max = 36500, .fallback = "0",
	    .help = "Days after which a backup is removed when a newer one is made; 0: never for its age." },
	{ KEY(pg_bin), .type = CONFKEY_STRING, .max = TEXT_MAX, .fallback = "",
	    .help = "Directory of pg_dump, pg_restore and psql; empty: that of the server's version." },
	{ KEY(certificate), .type = CONFKEY_STRING, .max = TEXT_MAX, .fallback = "",
	    .help = "Path of nginx's certificate, whose end jobforgectl doctor watches; empty: none." },

	{ KEY(server_timing), .type = CONFKEY_BOOLEAN, .fallback = "off",
	    .help = "Whether answers carry Server-Timing: time in authentication, in the database and altogether." },
	{ KEY(log_level), .type = CONFKEY_LEVEL, .choices = levels, .fallback = "info",
	    .help = "The least severe lines that the log shows." },
};

/* Where a value comes from, for the error: `name` in line `line` of a file, or (line 0) a variable or flag. */
struct origin {
	const char *name;
	int line;
};

/* A configuration in the making. */
struct loader {
	struct conf conf;
	bool in_file[COUNT_OF(keys)];
	char *error;
	size_t error_size;
};

static int
fail(struct loader *loader, struct origin origin, const char *format, ...) PRINTF_LIKE(3, 4);

static int
fail(struct loader *loader, struct origin origin, const char *format, ...)
{
	struct buffer text = { 0 };
	char message[256];
	va_list args;
	va_start(args, format);
	vsnprintf(message, sizeof(message), format, args);
	va_end(args);

	buffer_puts(&text, origin.name);
	if (origin.line > 0)
		buffer_printf(&text, ":%d", origin.line);
	snprintf(loader->error, loader->error_size, "%.*s: %s.", (int)text.len, text.data, message);
	buffer_free(&text);
	return -1;
}

const struct confkey *
confkey_at(size_t index)
{
	return index < COUNT_OF(keys) ? &keys[index] : NULL;
}

const char *
conf_key(size_t index)
{
	return index < COUNT_OF(keys) ? keys[index].name : NULL;
}

void *
confkey_member(const struct conf *conf, const struct confkey *key)
{
	return (char *)(uintptr_t)conf + key->offset;
}

bool
confkey_is_string(const struct confkey *key)
{
	return key->type == CONFKEY_STRING || key->type == CONFKEY_CONNINFO;
}

/* The position of the word in a list, or -1. */
static int
find_word(const char *const words[], struct slice word)
{
	for (int i = 0; words[i] != NULL; i++)
		if (slice_is(word, words[i]))
			return i;
	return -1;
}

static int
fail_choice(struct loader *loader, const struct confkey *key, struct origin origin)
{
	struct buffer choices = { 0 };
	confkey_append_choices(&choices, key);
	int result = fail(loader, origin, "%s must be %.*s", key->name, (int)choices.len, choices.data);
	buffer_free(&choices);
	return result;
}

/* It may be a connection string with a password. */
static void
free_string(char *string)
{
	if (string != NULL)
		explicit_bzero(string, strlen(string));
	free(string);
}

static int
set_string(struct loader *loader, const struct confkey *key, struct slice value, struct origin origin)
{
	if (key->choices != NULL && find_word(key->choices, value) < 0)
		return fail_choice(loader, key, origin);
	if (!conffile_text_valid(value))
		return fail(loader, origin, "%s holds a control character, or is not UTF-8", key->name);
	if (value.len < (size_t)key->min)
		return fail(loader, origin, "%s must not be empty", key->name);
	if (value.len > (size_t)key->max)
		return fail(loader, origin, "%s is longer than %d bytes", key->name, key->max);

	char *copy = strndup(value.data, value.len);
	if (copy == NULL)
		return fail(loader, origin, "out of memory");
	char **target = confkey_member(&loader->conf, key);
	free_string(*target);
	*target = copy;
	return 0;
}

/* Decimal digits alone; false also for what an int cannot hold. */
static bool
parse_integer(struct slice text, int *out)
{
	int value = 0;
	for (size_t i = 0; i < text.len; i++) {
		int digit = text.data[i] - '0';
		if (digit < 0 || digit > 9 || value > (INT_MAX - digit) / 10)
			return false;
		value = value * 10 + digit;
	}
	*out = value;
	return text.len > 0;
}

static int
set_conninfo(struct loader *loader, const struct confkey *key, struct slice value, struct origin origin)
{
	if (set_string(loader, key, value, origin) != 0)
		return -1;
	if (!conninfo_valid(*(char **)confkey_member(&loader->conf, key)))
		return fail(loader, origin, "%s must be pairs of keyword=value or a postgresql:// URI", key->name);
	return 0;
}

static int
set_integer(struct loader *loader, const struct confkey *key, struct slice value, struct origin origin)
{
	int number;
	if (!parse_integer(value, &number) || number < key->min || number > key->max)
		return fail(loader, origin, "%s must be a whole number from %d to %d", key->name, key->min, key->max);
	*(int *)confkey_member(&loader->conf, key) = number;
	return 0;
}

static int
set_boolean(struct loader *loader, const struct confkey *key, struct slice value, struct origin origin)
{
	bool truth = find_word(truths, value) >= 0;
	if (!truth && find_word(falsehoods, value) < 0)
		return fail(loader, origin, "%s must be on or off", key->name);
	*(bool *)confkey_member(&loader->conf, key) = truth;
	return 0;
}

static int
set_level(struct loader *loader, const struct confkey *key, struct slice value, struct origin origin)
{
	int level = find_word(key->choices, value);
	if (level < 0)
		return fail_choice(loader, key, origin);
	*(enum log_level *)confkey_member(&loader->conf, key) = (enum log_level)level;
	return 0;
}

typedef int setter(struct loader *, const struct confkey *, struct slice, struct origin);

static int
set(struct loader *loader, const struct confkey *key, struct slice value, struct origin origin)
{
	static setter *const setters[] = {
		[CONFKEY_STRING] = set_string,
		[CONFKEY_CONNINFO] = set_conninfo,
		[CONFKEY_INTEGER] = set_integer,
		[CONFKEY_BOOLEAN] = set_boolean,
		[CONFKEY_LEVEL] = set_level,
	};
	return setters[key->type](loader, key, value, origin);
}

static int
load_defaults(struct loader *loader)
{
	for (size_t i = 0; i < COUNT_OF(keys); i++)
		if (set(loader, &keys[i], slice_of(keys[i].fallback), (struct origin){ "default", 0 }) != 0)
			return -1;
	return 0;
}

/* At most CONFFILE_MAX bytes and one; -1 with errno. */
static int
read_text(const char *path, struct buffer *text)
{
	int descriptor = open(path, O_RDONLY | O_CLOEXEC);
	if (descriptor < 0)
		return -1;
	ssize_t got;
	do {
		char *room = buffer_reserve(text, CONFFILE_MAX + 1 - text->len);
		got = read(descriptor, room, CONFFILE_MAX + 1 - text->len);
		text->len += got > 0 ? (size_t)got : 0;
	} while ((got > 0 && text->len <= CONFFILE_MAX) || (got < 0 && errno == EINTR));
	int saved_errno = errno;
	close(descriptor);
	errno = saved_errno;
	return got < 0 ? -1 : 0;
}

static int
set_from_file(struct loader *loader, const struct conffile *file, struct origin origin)
{
	for (size_t i = 0; i < COUNT_OF(keys); i++) {
		if (!slice_is(file->key, keys[i].name))
			continue;
		if (loader->in_file[i])
			return fail(loader, origin, "%s is set a second time", keys[i].name);
		loader->in_file[i] = true;
		return set(loader, &keys[i], file->value, origin);
	}
	int shown = file->key.len > 64 ? 64 : (int)file->key.len;
	return fail(loader, origin, "there is no key %.*s; see jobforged.conf(5)", shown, file->key.data);
}

static int
load_text(struct loader *loader, const char *path, struct buffer *text)
{
	struct conffile file = { .at = text->data, .left = text->len };
	int found;
	while ((found = conffile_next(&file)) > 0)
		if (set_from_file(loader, &file, (struct origin){ path, file.line }) != 0)
			return -1;
	return found < 0 ? fail(loader, (struct origin){ path, file.line }, "%s", file.problem) : 0;
}

static int
load_file(struct loader *loader, const char *path)
{
	struct buffer text = { 0 };
	struct origin whole = { path, 0 };
	int result;
	if (read_text(path, &text) != 0)
		result = fail(loader, whole, "the configuration file cannot be read: %s", strerror(errno));
	else if (text.len > CONFFILE_MAX)
		result = fail(loader, whole, "larger than %d bytes, so it is no configuration file", CONFFILE_MAX);
	else
		result = load_text(loader, path, &text);
	buffer_wipe(&text);
	return result;
}

static int
load_environment(struct loader *loader)
{
	for (size_t i = 0; i < COUNT_OF(keys); i++) {
		char name[64];
		snprintf(name, sizeof(name), "JOBFORGE_%s", keys[i].name);
		for (char *at = name; *at != '\0'; at++)
			*at = (char)toupper((unsigned char)*at);
		const char *value = getenv(name);
		if (value != NULL && set(loader, &keys[i], slice_of(value), (struct origin){ name, 0 }) != 0)
			return -1;
	}
	return 0;
}

static bool
is_flag_of(const struct confkey *key, struct slice name)
{
	if (name.len != strlen(key->name))
		return false;
	for (size_t i = 0; i < name.len; i++)
		if (name.data[i] != (key->name[i] == '_' ? '-' : key->name[i]))
			return false;
	return true;
}

static const struct confkey *
find_flag(struct slice name)
{
	for (size_t i = 0; i < COUNT_OF(keys); i++)
		if (is_flag_of(&keys[i], name))
			return &keys[i];
	return NULL;
}

/* A flag's key, or NULL. *value is absent when the flag is a non-boolean without '='. */
static const struct confkey *
parse_flag(const char *flag, struct slice *value)
{
	if (strncmp(flag, "--", 2) != 0)
		return NULL;
	struct slice name = { flag + 2, strcspn(flag + 2, "=") };
	bool bare = name.data[name.len] == '\0';
	*value = bare ? (struct slice){ 0 } : slice_of(name.data + name.len + 1);

	const struct confkey *key = find_flag(name);
	if (key != NULL && key->type == CONFKEY_BOOLEAN && bare)
		*value = SLICE("on");
	if (key != NULL || !bare || strncmp(name.data, "no-", 3) != 0)
		return key;

	key = find_flag((struct slice){ name.data + 3, name.len - 3 });
	*value = SLICE("off");
	return key != NULL && key->type == CONFKEY_BOOLEAN ? key : NULL;
}

bool
conf_flag_known(const char *flag)
{
	struct slice value;
	return parse_flag(flag, &value) != NULL;
}

bool
conf_flag_is_secret(const char *flag)
{
	struct slice value;
	const struct confkey *key = parse_flag(flag, &value);
	return key != NULL && key->type == CONFKEY_CONNINFO;
}

static int
load_flags(struct loader *loader, char *const flags[], int count)
{
	for (int i = 0; i < count; i++) {
		struct slice value;
		const struct confkey *key = parse_flag(flags[i], &value);
		/* A mistyped flag may hold a password after its '='. */
		char name[64];
		snprintf(name, sizeof(name), "%.*s", (int)strcspn(flags[i], "="), flags[i]);
		struct origin origin = { name, 0 };
		if (key == NULL)
			return fail(loader, origin, "there is no such option; see jobforged.conf(5)");
		if (value.data == NULL)
			return fail(loader, origin, "a value is missing: %s=VALUE", name);
		if (set(loader, key, value, origin) != 0)
			return -1;
	}
	return 0;
}

/* What concerns several keys. */
static int
finish(struct loader *loader)
{
	struct conf *conf = &loader->conf;
	const struct {
		const char *name;
		const char *path;
	} sockets[] = { { "api_socket", conf->api_socket }, { "auth_socket", conf->auth_socket },
		{ "bulk_socket", conf->bulk_socket } };

	for (size_t i = 0; i < COUNT_OF(sockets); i++)
		for (size_t j = 0; j < i; j++)
			if (strcmp(sockets[i].path, sockets[j].path) == 0)
				return fail(loader, (struct origin){ sockets[i].name, 0 }, "it is the same path as that of %s",
				    sockets[j].name);
	if (conf->admin_database[0] != '\0')
		return 0;
	const struct confkey *key = find_flag(SLICE("admin-database"));
	return set(loader, key, slice_of(conf->database), (struct origin){ key->name, 0 });
}

int
conf_load(struct conf *conf, const char *path, char *const flags[], int flag_count, char *error, size_t error_size)
{
	struct loader loader = { .error = error, .error_size = error_size };
	if (load_defaults(&loader) != 0 || (path != NULL && load_file(&loader, path) != 0) ||
	    load_environment(&loader) != 0 || load_flags(&loader, flags, flag_count) != 0 || finish(&loader) != 0) {
		conf_free(&loader.conf);
		return -1;
	}
	conf_free(conf);
	*conf = loader.conf;
	return 0;
}

void
conf_free(struct conf *conf)
{
	for (size_t i = 0; i < COUNT_OF(keys); i++)
		if (confkey_is_string(&keys[i]))
			free_string(*(char **)confkey_member(conf, &keys[i]));
	*conf = (struct conf){ 0 };
}

void
conf_forget_administrators(struct conf *conf)
{
	explicit_bzero(conf->admin_database, strlen(conf->admin_database));
	explicit_bzero(conf->backup_database, strlen(conf->backup_database));
}
