#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "buffer.h"
#include "encode.h"
#include "migration.h"
#include "utf8.h"

enum { DIGITS = 4, FILE_MAX = 16 * 1024 * 1024 };

static const char suffix[] = ".sql";

struct reader {
	struct migrations *migrations;
	DIR *directory;
	const char *path;
	char *error;
	size_t error_size;
};

static int
fail(struct reader *reader, const char *format, ...) PRINTF_LIKE(2, 3);

static int
fail(struct reader *reader, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	vsnprintf(reader->error, reader->error_size, format, args);
	va_end(args);
	return -1;
}

static bool
is_name_character(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_';
}

/* Takes NNNN_name.sql apart. */
static bool
parse_name(struct migration *out, const char *file)
{
	size_t len = strlen(file), ends = len - (sizeof(suffix) - 1), name = DIGITS + 1;
	if (len <= name + sizeof(suffix) - 1 || len >= sizeof(out->file) || strcmp(file + ends, suffix) != 0)
		return false;
	for (size_t i = 0; i < DIGITS; i++)
		if (!isdigit((unsigned char)file[i]))
			return false;
	for (size_t i = name; i < ends; i++)
		if (!is_name_character(file[i]))
			return false;
	out->version = atoi(file);
	memcpy(out->file, file, len + 1);
	snprintf(out->name, sizeof(out->name), "%.*s", (int)(ends - name), file + name);
	return file[DIGITS] == '_' && out->version > 0;
}

static int
read_descriptor(int descriptor, struct buffer *text)
{
	ssize_t got;
	do {
		got = read(descriptor, buffer_reserve(text, 65536), 65536);
		text->len += got > 0 ? (size_t)got : 0;
	} while ((got > 0 && text->len <= FILE_MAX) || (got < 0 && errno == EINTR));
	return got < 0 ? -1 : 0;
}

static int
read_text(struct reader *reader, const char *file, struct buffer *text)
{
	/* Without O_NONBLOCK a FIFO of that name would keep the tool waiting. */
	/* NOLINTNEXTLINE(clang-analyzer-unix.StdCLibraryFunctions): dirfd(3) of an open directory does not fail */
	int descriptor = openat(dirfd(reader->directory), file, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (descriptor < 0 || read_descriptor(descriptor, text) != 0) {
		int saved_errno = errno;
		if (descriptor >= 0)
			close(descriptor);
		return fail(reader, "%s/%s cannot be read: %s", reader->path, file, strerror(saved_errno));
	}
	close(descriptor);
	if (text->len > FILE_MAX)
		return fail(reader, "%s/%s is larger than %d bytes", reader->path, file, FILE_MAX);
	if (memchr(text->data, '\0', text->len) != NULL || !utf8_valid(text->data, text->len))
		return fail(reader, "%s/%s is not UTF-8 text", reader->path, file);
	return 0;
}

static void
keep_text(struct migration *migration, struct buffer *text)
{
	uint8_t digest[SHA256_BYTES];
	crypto_sha256(digest, text->data, text->len);
	hex_encode(migration->checksum, digest, sizeof(digest));
	buffer_putc(text, '\0');
	migration->sql = text->data;
}

static int
add(struct reader *reader, const char *file)
{
	struct migrations *all = reader->migrations;
	struct migration migration = { 0 };
	struct buffer text = { 0 };
	if (!parse_name(&migration, file))
		return fail(reader,
		    "%s/%s is not named NNNN_name.sql (lower-case letters, digits, '_'): rename or remove it",
		    reader->path, file);
	struct migration *items = reallocarray(all->items, (size_t)all->count + 1, sizeof(*items));
	if (items == NULL)
		return fail(reader, "out of memory");
	all->items = items;
	if (read_text(reader, file, &text) != 0) {
		buffer_free(&text);
		return -1;
	}
	keep_text(&migration, &text);
	all->items[all->count++] = migration;
	return 0;
}

static int
add_all(struct reader *reader)
{
	struct dirent *entry;
	for (errno = 0; (entry = readdir(reader->directory)) != NULL; errno = 0)
		if (entry->d_name[0] != '.' && add(reader, entry->d_name) != 0)
			return -1;
	return errno == 0 ? 0 : fail(reader, "%s cannot be read: %s", reader->path, strerror(errno));
}

static int
compare(const void *a, const void *b)
{
	return strcmp(((const struct migration *)a)->file, ((const struct migration *)b)->file);
}

static int
check_numbers(struct reader *reader)
{
	const struct migrations *all = reader->migrations;
	for (int i = 0; i < all->count; i++) {
		if (i > 0 && all->items[i].version == all->items[i - 1].version)
			return fail(reader, "%s and %s in %s have the same number", all->items[i - 1].file,
			    all->items[i].file, reader->path);
		if (all->items[i].version != i + 1)
			return fail(reader, "migration %04d is missing in %s, which has %s: restore the directory",
			    i + 1, reader->path, all->items[i].file);
	}
	if (all->count == 0)
		return fail(reader, "%s holds no migration: name their directory by --directory", reader->path);
	return 0;
}

int
migrations_read(struct migrations *migrations, const char *directory, char *error, size_t error_size)
{
	struct reader reader = {
		.migrations = migrations,
		.directory = opendir(directory),
		.path = directory,
		.error = error,
		.error_size = error_size,
	};
	*migrations = (struct migrations){ 0 };
	if (reader.directory == NULL)
		return fail(&reader, "%s cannot be read: %s; name the migrations' directory by --directory", directory,
		    strerror(errno));
	int result = add_all(&reader);
	closedir(reader.directory);
	if (result == 0) {
		if (migrations->count > 0)
			qsort(migrations->items, (size_t)migrations->count, sizeof(*migrations->items), compare);
		result = check_numbers(&reader);
	}
	if (result != 0)
		migrations_free(migrations);
	return result;
}

void
migrations_free(struct migrations *migrations)
{
	for (int i = 0; i < migrations->count; i++)
		free(migrations->items[i].sql);
	free(migrations->items);
	*migrations = (struct migrations){ 0 };
}
