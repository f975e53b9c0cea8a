#include "refusals.h"

#include <assert.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "metrics.h"

static_assert((int)REFUSAL_COUNT == (int)METRICS_REFUSALS, "a counter for each kind");

/* The log, and which file it is; -1 when there is none. */
static int
open_log(const char *path, struct stat *about)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

	if (fd >= 0 && (fstat(fd, about) != 0 || !S_ISREG(about->st_mode))) {
		close(fd);
		return -1;
	}
	return fd;
}

static bool
is_known(const struct metrics_refusals *seen, const struct stat *about)
{
	return seen->device == about->st_dev && seen->file == about->st_ino;
}

static void
note_file(struct metrics_refusals *seen, const struct stat *about, uint64_t offset)
{
	seen->device = about->st_dev;
	seen->file = about->st_ino;
	seen->offset = offset;
}

void
refusals_begin(struct metrics *metrics, const char *path)
{
	struct stat about;

	if (path != NULL && path[0] != '\0' && stat(path, &about) == 0)
		note_file(metrics_refusals(metrics), &about, (uint64_t)about.st_size);
}

/* Counts the lines from where the last look ended. nginx writes each whole, so a letter is a line. */
static void
count_lines(struct metrics_refusals *seen, int fd)
{
	char piece[16384];
	ssize_t got;

	while ((got = pread(fd, piece, sizeof(piece), (off_t)seen->offset)) > 0) {
		uint64_t counts[REFUSAL_COUNT] = { 0 };
		for (ssize_t i = 0; i < got; i++) {
			counts[REFUSAL_RATE] += piece[i] == 'r';
			counts[REFUSAL_CONNECTIONS] += piece[i] == 'c';
		}
		seen->offset += (uint64_t)got;
		for (int i = 0; i < REFUSAL_COUNT; i++)
			seen->counts[i] += counts[i];
	}
}

static void
finish_rotated(struct metrics_refusals *seen, const char *path)
{
	char rotated[4096];
	struct stat about;

	if (snprintf(rotated, sizeof(rotated), "%s.1", path) >= (int)sizeof(rotated))
		return;
	int fd = open_log(rotated, &about);
	if (fd < 0)
		return;
	if (is_known(seen, &about))
		count_lines(seen, fd);
	close(fd);
}

bool
refusals_count(const struct meter *meter, const char *path)
{
	struct metrics_refusals *seen = metrics_refusals(meter->metrics);
	struct stat about;
	int fd = open_log(path, &about);

	if (fd < 0)
		return false;
	if (metrics_refusals_claim(meter)) {
		if (!is_known(seen, &about)) {
			finish_rotated(seen, path);
			note_file(seen, &about, 0);
		}
		if ((uint64_t)about.st_size < seen->offset)
			seen->offset = 0; /* it was emptied */
		count_lines(seen, fd);
		metrics_refusals_end(meter);
	}
	close(fd);
	return true;
}
