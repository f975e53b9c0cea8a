#include "backup.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "arena.h"
#include "buffer.h"
#include "encode.h"
#include "json.h"
#include "writer.h"

enum { MANIFEST_FORMAT = 1, MANIFEST_MAX = 4 << 20 };

static const char name_format[] = "jobforge-%Y%m%dT%H%M%SZ";
static const char *const suffixes[] = { ".sha256", ".manifest.json", ".dump" };

const char backup_session_sql[] =
    "SET search_path = ''; SET DateStyle = 'ISO, YMD'; SET IntervalStyle = 'postgres'; SET TimeZone = 'UTC';"
    " SET extra_float_digits = 1; SET bytea_output = 'hex'; SET statement_timeout = 0; SET lock_timeout = 0;"
    " SET idle_in_transaction_session_timeout = 0; SET row_security = off";

/* Columns that are computed from others are left out: another version's dictionary may compute them otherwise. The checksum is
 * the sum of the rows' hashes, in two halves, so that it needs no order and no memory. */
const char backup_tables_sql[] =
    "SELECT format('%I.%I', n.nspname, c.relname) AS name,"
    " format('SELECT count(*) || '' '' || encode(sha256(convert_to(concat_ws('' '', count(*),"
    " sum((''x'' || left(t.h, 16))::bit(64)::bigint::numeric), sum((''x'' || substr(t.h, 17, 16))::bit(64)::bigint::numeric)),"
    " ''UTF8'')), ''hex'') FROM (SELECT encode(sha256(convert_to(ROW(%s)::text, ''UTF8'')), ''hex'') AS h FROM %I.%I) AS t',"
    " string_agg(quote_ident(a.attname), ', ' ORDER BY a.attnum), n.nspname, c.relname) AS query"
    " FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace"
    " JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''"
    " WHERE c.relkind = 'r' AND n.nspname IN ('public', 'jobforge') AND NOT EXISTS (SELECT FROM pg_depend AS d"
    " WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')"
    " GROUP BY n.nspname, c.relname ORDER BY 1";

/* ---- names ---- */

void
backup_name(char name[BACKUP_NAME_SIZE], time_t when)
{
	struct tm utc;
	gmtime_r(&when, &utc);
	strftime(name, BACKUP_NAME_SIZE, name_format, &utc);
}

/* Whether `file` is NAME and `suffix`, NAME being one that backup_name() makes. */
static bool
parse_name(const char *file, const char *suffix, struct backup_entry *entry)
{
	struct tm utc = { 0 };
	const char *rest = strptime(file, name_format, &utc);
	if (rest == NULL || strcmp(rest, suffix) != 0 || rest - file >= BACKUP_NAME_SIZE)
		return false;
	entry->made = timegm(&utc);
	backup_name(entry->name, entry->made);
	return strncmp(entry->name, file, (size_t)(rest - file)) == 0;
}

/* ---- the directory ---- */

static int
compare_entries(const void *a, const void *b)
{
	return strcmp(((const struct backup_entry *)b)->name, ((const struct backup_entry *)a)->name);
}

/* Whether its three files are there. */
static bool
is_whole(int directory, struct backup_entry *entry)
{
	struct stat status;
	for (size_t i = 0; i < COUNT_OF(suffixes); i++) {
		char file[BACKUP_NAME_SIZE + 16];
		snprintf(file, sizeof(file), "%s%s", entry->name, suffixes[i]);
		/* NOLINTNEXTLINE(clang-analyzer-unix.StdCLibraryFunctions): dirfd(3) of an open directory does not fail */
		if (fstatat(directory, file, &status, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISREG(status.st_mode))
			return false;
	}
	entry->bytes = status.st_size;
	return true;
}

static void
add_entry(struct backup_list *list, const struct backup_entry *entry)
{
	struct backup_entry *grown = realloc(list->items, (list->count + 1) * sizeof(*grown));
	if (grown == NULL)
		abort();
	list->items = grown;
	list->items[list->count++] = *entry;
}

int
backup_list_read(struct backup_list *list, const char *directory, char *error, size_t error_size)
{
	const struct dirent *found;
	*list = (struct backup_list){ 0 };
	DIR *stream = opendir(directory);
	if (stream == NULL) {
		snprintf(error, error_size, "%s: %s; make the directory, or set backup_directory to another", directory,
		    strerror(errno));
		return -1;
	}
	while ((found = readdir(stream)) != NULL) {
		struct backup_entry entry;
		if (parse_name(found->d_name, suffixes[0], &entry) && is_whole(dirfd(stream), &entry))
			add_entry(list, &entry);
	}
	closedir(stream);
	if (list->count > 0)
		qsort(list->items, list->count, sizeof(*list->items), compare_entries);
	return 0;
}

void
backup_list_free(struct backup_list *list)
{
	free(list->items);
	*list = (struct backup_list){ 0 };
}

int
backup_lock(const char *directory, char *error, size_t error_size)
{
	int descriptor = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (descriptor < 0) {
		snprintf(error, error_size, "%s: %s; make the directory, or set backup_directory to another", directory,
		    strerror(errno));
		return -1;
	}
	if (flock(descriptor, LOCK_EX | LOCK_NB) == 0)
		return descriptor;
	if (errno == EWOULDBLOCK)
		snprintf(error, error_size, "another backup into %s is running", directory);
	else
		snprintf(error, error_size, "%s cannot be locked: %s", directory, strerror(errno));
	close(descriptor);
	return -1;
}

/* Files without checksums too: they are renamed before those, and a backup may end in between. */
static bool
is_remnant(int directory, const char *file)
{
	struct backup_entry entry;
	if (file[0] == '.')
		for (size_t i = 0; i < COUNT_OF(suffixes); i++)
			if (parse_name(file + 1, suffixes[i], &entry))
				return true;
	for (size_t i = 1; i < COUNT_OF(suffixes); i++) {
		char sidecar[BACKUP_NAME_SIZE + 16];
		if (!parse_name(file, suffixes[i], &entry))
			continue;
		snprintf(sidecar, sizeof(sidecar), "%s%s", entry.name, suffixes[0]);
		return faccessat(directory, sidecar, F_OK, 0) != 0 && errno == ENOENT;
	}
	return false;
}

void
backup_sweep(int directory)
{
	const struct dirent *found;
	int copy = openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *stream = copy < 0 ? NULL : fdopendir(copy);
	if (stream == NULL) {
		if (copy >= 0)
			close(copy);
		return;
	}
	while ((found = readdir(stream)) != NULL)
		if (is_remnant(directory, found->d_name))
			unlinkat(directory, found->d_name, 0);
	closedir(stream);
}

int
backup_remove(int directory, const char *name)
{
	int result = 0;
	for (size_t i = 0; i < COUNT_OF(suffixes) && result == 0; i++) {
		char file[BACKUP_NAME_SIZE + 16];
		snprintf(file, sizeof(file), "%s%s", name, suffixes[i]);
		if (unlinkat(directory, file, 0) != 0 && errno != ENOENT)
			result = -1;
	}
	return result;
}

/* ---- the manifest ---- */

void
backup_manifest_write(struct buffer *out, const struct backup_manifest *manifest)
{
	struct writer writer = { .out = out };
	writer_object(&writer, NULL);
	writer_integer(&writer, "format", MANIFEST_FORMAT);
	writer_string(&writer, "jobforge", JOBFORGE_VERSION);
	writer_integer(&writer, "schema", manifest->schema);
	writer_integer(&writer, "server", manifest->server);
	writer_string(&writer, "database", manifest->database);
	writer_string(&writer, "started", manifest->started);
	writer_integer(&writer, "bytes", manifest->bytes);
	writer_string(&writer, "sha256", manifest->sha256);
	writer_object(&writer, "tables");
	for (size_t i = 0; i < manifest->table_count; i++)
		writer_string(&writer, manifest->tables[i].name, manifest->tables[i].contents);
	writer_end(&writer);
	writer_end(&writer);
	buffer_putc(out, '\n');
}

/* A reading under way. */
struct reading {
	struct backup_manifest *manifest;
	struct arena *arena;
	const char *dump;  /* the files' paths */
	const char *text;
	const char *sums;
	char dump_sum[BACKUP_HASH_SIZE]; /* what the checksums say */
	char text_sum[BACKUP_HASH_SIZE];
	char *error;
	size_t error_size;
};

static int
fail(struct reading *reading, const char *format, ...) PRINTF_LIKE(2, 3);

static int
fail(struct reading *reading, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	vsnprintf(reading->error, reading->error_size, format, args);
	va_end(args);
	return -1;
}

/* The whole of a small file, in the arena. */
static int
read_small(struct reading *reading, const char *path, struct slice *text)
{
	char *data = arena_alloc(reading->arena, MANIFEST_MAX + 1);
	int descriptor = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t got = 0;
	size_t len = 0;
	if (descriptor < 0 && errno == ENOENT)
		return fail(reading, "%s is missing: a backup is whole with its .dump, .manifest.json and .sha256", path);
	if (descriptor < 0)
		return fail(reading, "%s: %s", path, strerror(errno));
	while (len < MANIFEST_MAX && (got = read(descriptor, data + len, MANIFEST_MAX - len)) > 0)
		len += (size_t)got;
	close(descriptor);
	if (got < 0 || len == MANIFEST_MAX)
		return fail(reading, "%s cannot be read: %s", path, got < 0 ? strerror(errno) : "it is too large");
	data[len] = '\0';
	*text = (struct slice){ data, len };
	return 0;
}

/* SHA-256 of a file of any size. */
static int
hash_file(struct reading *reading, const char *path, char sum[BACKUP_HASH_SIZE], long long *bytes)
{
	enum { PIECE = 256 * 1024 };
	uint8_t digest[SHA256_BYTES];
	char *piece = arena_alloc(reading->arena, PIECE);
	int descriptor = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t got;
	if (descriptor < 0)
		return fail(reading, "%s: %s", path, strerror(errno));
	struct crypto_hash *hash = crypto_hash_new();
	for (*bytes = 0; (got = read(descriptor, piece, PIECE)) > 0 || (got < 0 && errno == EINTR); *bytes += got > 0 ? got : 0)
		crypto_hash_add(hash, piece, got > 0 ? (size_t)got : 0);
	int failure = errno;
	crypto_hash_end(hash, digest);
	close(descriptor);
	hex_encode(sum, digest, sizeof(digest));
	return got < 0 ? fail(reading, "%s cannot be read: %s", path, strerror(failure)) : 0;
}

/* A line of sha256sum(1) for the file, whatever its directory. */
static bool
find_sum(const char *text, const char *path, char sum[BACKUP_HASH_SIZE])
{
	const char *name = strrchr(path, '/') == NULL ? path : strrchr(path, '/') + 1;
	for (const char *line = text; line != NULL; line = strchr(line, '\n')) {
		line += *line == '\n';
		size_t len = strcspn(line, "\n");
		if (len != BACKUP_HASH_SIZE + 1 + strlen(name) || strncmp(line + BACKUP_HASH_SIZE + 1, name, strlen(name)) != 0)
			continue;
		snprintf(sum, BACKUP_HASH_SIZE, "%s", line);
		return true;
	}
	return false;
}

static int
read_sums(struct reading *reading)
{
	struct slice text = { 0 };
	if (read_small(reading, reading->sums, &text) != 0)
		return -1;
	if (!find_sum(text.data, reading->dump, reading->dump_sum) || !find_sum(text.data, reading->text, reading->text_sum))
		return fail(reading, "%s does not name the files beside it: the backup is damaged or was renamed; take another",
		    reading->sums);
	return 0;
}

static int
check_sum(struct reading *reading, const char *path, const char *wanted, long long *bytes)
{
	char sum[BACKUP_HASH_SIZE];
	if (hash_file(reading, path, sum, bytes) != 0)
		return -1;
	if (strcmp(sum, wanted) == 0)
		return 0;
	return fail(reading, "%s is damaged: its SHA-256 is not the one in %s; take another backup", path, reading->sums);
}

static const char *
text_member(struct reading *reading, const struct json *object, const char *name)
{
	struct slice text = json_string(json_get(object, name));
	return text.data == NULL ? "" : arena_copy(reading->arena, text.data, text.len);
}

static long long
number_member(const struct json *object, const char *name)
{
	int64_t number;
	const struct json *member = json_get(object, name);
	return member != NULL && json_integer(member, &number) ? number : -1;
}

static void
read_tables(struct reading *reading, const struct json *tables)
{
	struct json_cursor cursor = { 0 };
	size_t count = 0;
	while (json_next(tables, &cursor))
		count++;
	reading->manifest->tables = arena_calloc(reading->arena, count, sizeof(*reading->manifest->tables));
	cursor = (struct json_cursor){ 0 };
	while (json_next(tables, &cursor)) {
		struct slice contents = json_string(cursor.value);
		struct backup_table *table = &reading->manifest->tables[reading->manifest->table_count++];
		table->name = arena_copy(reading->arena, cursor.key.data, cursor.key.len);
		table->contents = contents.data == NULL ? "" : arena_copy(reading->arena, contents.data, contents.len);
	}
}

static int
read_manifest(struct reading *reading)
{
	struct slice text = { 0 };
	const char *reason;
	struct backup_manifest *manifest = reading->manifest;
	if (read_small(reading, reading->text, &text) != 0)
		return -1;
	const struct json *root = json_parse(reading->arena, text.data, text.len, &reason);
	const struct json *tables = root == NULL || json_type(root) != JSON_OBJECT ? NULL : json_get(root, "tables");
	if (tables == NULL || json_type(tables) != JSON_OBJECT)
		return fail(reading, "%s is no manifest of a backup", reading->text);
	if (number_member(root, "format") != MANIFEST_FORMAT)
		return fail(reading, "%s is of a form that this JobForge does not know: install the one that made the backup",
		    reading->text);
	manifest->path = reading->dump;
	manifest->database = text_member(reading, root, "database");
	manifest->started = text_member(reading, root, "started");
	manifest->sha256 = text_member(reading, root, "sha256");
	manifest->schema = (int)number_member(root, "schema");
	manifest->server = (int)number_member(root, "server");
	manifest->bytes = number_member(root, "bytes");
	read_tables(reading, tables);
	return 0;
}

static int
set_paths(struct reading *reading, const char *path)
{
	size_t len = strlen(path), suffix = strlen(".dump");
	if (len <= suffix || strcmp(path + len - suffix, ".dump") != 0)
		return fail(reading, "%s is not named as the dump of a backup: NAME.dump", path);
	reading->dump = arena_copy(reading->arena, path, len);
	reading->text = arena_printf(reading->arena, "%.*s.manifest.json", (int)(len - suffix), path);
	reading->sums = arena_printf(reading->arena, "%.*s.sha256", (int)(len - suffix), path);
	if (access(path, R_OK) == 0)
		return 0;
	return fail(reading, "%s: %s", path, strerror(errno));
}

int
backup_read(struct backup_manifest *manifest, struct arena *arena, const char *path, char *error, size_t error_size)
{
	long long bytes;
	struct reading reading = { .manifest = manifest, .arena = arena, .error = error, .error_size = error_size };
	*manifest = (struct backup_manifest){ 0 };
	if (set_paths(&reading, path) != 0 || read_sums(&reading) != 0 ||
	    check_sum(&reading, reading.text, reading.text_sum, &bytes) != 0 || read_manifest(&reading) != 0 ||
	    check_sum(&reading, reading.dump, reading.dump_sum, &bytes) != 0)
		return -1;
	return 0;
}
