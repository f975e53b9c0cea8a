#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "crypto.h"
#include "encode.h"
#include "keyfile.h"
#include "token.h"

/* 64 bytes are enough for each algorithm: RFC 7518 section 3.2 asks for as many as the hash has. */
enum { SECRET_BYTES = 64, KID_RANDOM_BYTES = 4, FILE_MAX = 16 * 1024 };

static const char heading[] =
    "# Keys of JobForge's access tokens: the first one signs, all verify. See jobforgectl(8).\n";

/* A rotation under way. The text of both files holds secrets and is wiped at the end. */
struct rotation {
	char path[PATH_MAX]; /* where the file really is: a symbolic link to it stays one */
	char directory[PATH_MAX];
	char temporary[PATH_MAX + 16];
	int directory_fd;
	bool exists;
	struct stat status; /* of the file that exists */
	char old_text[FILE_MAX + 1];
	char new_text[FILE_MAX + 1024];
	struct keyfile_change *change;
	char *error;
	size_t error_size;
};

static int
fail(struct rotation *rotation, const char *format, ...) PRINTF_LIKE(2, 3);

static int
fail(struct rotation *rotation, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	vsnprintf(rotation->error, rotation->error_size, format, args);
	va_end(args);
	return -1;
}

static int
locate(struct rotation *rotation, const char *path)
{
	char copy[PATH_MAX];
	if (realpath(path, rotation->path) == NULL) {
		if (errno != ENOENT || strlen(path) >= PATH_MAX)
			return fail(rotation, "%s: %s", path, strerror(errno));
		strcpy(rotation->path, path);
	}
	strcpy(copy, rotation->path);
	strcpy(rotation->directory, dirname(copy));
	snprintf(rotation->temporary, sizeof(rotation->temporary), "%s.XXXXXX", rotation->path);
	return 0;
}

/* The lock is the directory's, because the file itself is another one after each rotation. */
static int
lock(struct rotation *rotation)
{
	rotation->directory_fd = open(rotation->directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (rotation->directory_fd < 0)
		return fail(rotation, "%s: %s; make the directory, or set token_keys to another path",
		    rotation->directory, strerror(errno));
	if (flock(rotation->directory_fd, LOCK_EX) != 0)
		return fail(rotation, "%s: cannot be locked: %s", rotation->directory, strerror(errno));
	return 0;
}

static int
read_text(struct rotation *rotation)
{
	FILE *file = fopen(rotation->path, "re");
	if (file == NULL)
		return fail(rotation, "%s: %s", rotation->path, strerror(errno));
	setvbuf(file, NULL, _IONBF, 0); /* no copy of the secrets in a buffer of stdio's */
	size_t len = fread(rotation->old_text, 1, FILE_MAX, file);
	bool failed = ferror(file) != 0 || fstat(fileno(file), &rotation->status) != 0;
	fclose(file);
	rotation->old_text[len] = '\0';
	if (failed)
		return fail(rotation, "%s: cannot be read: %s", rotation->path, strerror(errno));
	return len == FILE_MAX ? fail(rotation, "%s: larger than a key file may be", rotation->path) : 0;
}

/* Reads the file that is there, which must be one that jobforged takes: a damaged one is not thrown away unseen. */
static int
read_old(struct rotation *rotation)
{
	rotation->exists = access(rotation->path, F_OK) == 0;
	if (!rotation->exists)
		return 0;
	char reason[512];
	struct token_keys *keys = token_keys_read(rotation->path, reason, sizeof(reason));
	if (keys == NULL)
		return fail(rotation, "%s; mend the file, or remove it to begin with a new key alone", reason);
	token_keys_free(keys);
	return read_text(rotation);
}

/* The first line of the old file that is a key, absent when there is none. */
static struct slice
old_key(const struct rotation *rotation)
{
	const char *line = rotation->old_text;
	while (*line != '\0') {
		line += strspn(line, " \t\r\n");
		size_t len = strcspn(line, "\n");
		if (len > 0 && *line != '#')
			return (struct slice){ line, len };
		line += len;
	}
	return (struct slice){ 0 };
}

/* The date is for people, the random part keeps two keys of a day apart. */
static void
make_kid(char out[KEYFILE_KID_SIZE])
{
	uint8_t random[KID_RANDOM_BYTES];
	char digits[2 * KID_RANDOM_BYTES + 1];
	time_t now = time(NULL);
	struct tm date;
	crypto_random(random, sizeof(random));
	hex_encode(digits, random, sizeof(random));
	gmtime_r(&now, &date);
	snprintf(out, KEYFILE_KID_SIZE, "%04d%02d%02d-%s", date.tm_year + 1900, date.tm_mon + 1, date.tm_mday, digits);
}

static void
make_text(struct rotation *rotation)
{
	uint8_t secret[SECRET_BYTES];
	char text[BASE64URL_TEXT(SECRET_BYTES) + 1];
	struct slice old = old_key(rotation);
	make_kid(rotation->change->signing);
	crypto_random(secret, sizeof(secret));
	base64url_encode(text, secret, sizeof(secret));
	snprintf(rotation->new_text, sizeof(rotation->new_text), "%s%s %s\n%.*s%s", heading, rotation->change->signing,
	    text, (int)old.len, old.len == 0 ? "" : old.data, old.len == 0 ? "" : "\n");
	snprintf(rotation->change->previous, KEYFILE_KID_SIZE, "%.*s",
	    old.len == 0 ? 0 : (int)strcspn(old.data, " \t\r\n"), old.len == 0 ? "" : old.data);
	crypto_wipe(secret, sizeof(secret));
	crypto_wipe(text, sizeof(text));
}

/* A rotation by root must not take the file away from the account that reads it. */
static int
give_to_owner(struct rotation *rotation, int descriptor, const char *user)
{
	uid_t owner = geteuid();
	gid_t group = getegid();
	const struct passwd *account = user[0] == '\0' || owner != 0 ? NULL : getpwnam(user);
	if (rotation->exists) {
		owner = rotation->status.st_uid;
		group = rotation->status.st_gid;
	} else if (account != NULL) {
		owner = account->pw_uid;
		group = account->pw_gid;
	} else if (user[0] != '\0' && owner == 0) {
		return fail(rotation, "there is no account %s on this machine, which the configuration names as user",
		    user);
	}
	if (owner == geteuid() && group == getegid())
		return 0;
	if (fchown(descriptor, owner, group) != 0)
		return fail(rotation, "%s belongs to another account: run this as that one, or as root",
		    rotation->path);
	return 0;
}

static int
write_text(struct rotation *rotation, int descriptor)
{
	size_t len = strlen(rotation->new_text);
	for (size_t done = 0; done < len;) {
		ssize_t written = write(descriptor, rotation->new_text + done, len - done);
		if (written < 0 && errno == EINTR)
			continue;
		if (written < 0)
			return fail(rotation, "%s: cannot be written: %s", rotation->temporary, strerror(errno));
		done += (size_t)written;
	}
	if (fsync(descriptor) != 0)
		return fail(rotation, "%s: cannot be written: %s", rotation->temporary, strerror(errno));
	return 0;
}

static int
replace(struct rotation *rotation, const char *user)
{
	int descriptor = mkostemp(rotation->temporary, O_CLOEXEC); /* mode 0600 */
	if (descriptor < 0)
		return fail(rotation, "%s: no file can be made here: %s", rotation->directory, strerror(errno));
	int result = give_to_owner(rotation, descriptor, user);
	if (result == 0)
		result = write_text(rotation, descriptor);
	close(descriptor);
	if (result == 0 && rename(rotation->temporary, rotation->path) != 0)
		result = fail(rotation, "%s: cannot be replaced: %s", rotation->path, strerror(errno));
	if (result != 0)
		unlink(rotation->temporary);
	else
		(void)fsync(rotation->directory_fd); /* should it fail, a crash may bring the old file back, whole */
	return result;
}

static int
rotate(struct rotation *rotation, const char *path, const char *user)
{
	if (locate(rotation, path) != 0 || lock(rotation) != 0 || read_old(rotation) != 0)
		return -1;
	make_text(rotation);
	return replace(rotation, user);
}

int
keyfile_rotate(const char *path, const char *user, struct keyfile_change *change, char *error, size_t error_size)
{
	struct rotation rotation = {
		.directory_fd = -1,
		.change = change,
		.error = error,
		.error_size = error_size,
	};
	int result = rotate(&rotation, path, user);
	if (rotation.directory_fd >= 0)
		close(rotation.directory_fd);
	crypto_wipe(&rotation, sizeof(rotation));
	return result;
}
