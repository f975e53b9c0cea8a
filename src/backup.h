/*
 * A directory of backups. One backup is three files: NAME.dump, which pg_dump wrote, NAME.manifest.json, which tells what is in
 * it, and NAME.sha256, the checksums of both in the form of sha256sum(1). They are written under temporary names and renamed, the
 * checksums last, so a backup that has those is whole.
 */
#ifndef JOBFORGE_BACKUP_H
#define JOBFORGE_BACKUP_H

#include <limits.h>
#include <time.h>

#include "base.h"
#include "crypto.h"

struct arena;
struct buffer;
struct db_rows;

enum { BACKUP_NAME_SIZE = 40, BACKUP_HASH_SIZE = 2 * SHA256_BYTES + 1 };

/* "jobforge-20261123T093000Z", the time in UTC. */
void backup_name(char name[BACKUP_NAME_SIZE], time_t when);

/* ---- the directory ---- */

struct backup_entry {
	char name[BACKUP_NAME_SIZE];
	time_t made;
	long long bytes; /* of the dump */
};

struct backup_list {
	struct backup_entry *items; /* newest first; whole ones alone */
	size_t count;
};

/* Lists the whole backups. 0, or -1 with a sentence; the caller frees it. */
int backup_list_read(struct backup_list *list, const char *directory, char *error, size_t error_size) MUST_CHECK;
void backup_list_free(struct backup_list *list);

/* Opens the directory for one backup at a time: a descriptor, which the caller closes, or -1 with a sentence. */
int backup_lock(const char *directory, char *error, size_t error_size) MUST_CHECK;

/* Removes what backups that were killed have left. While the directory is locked. */
void backup_sweep(int directory);

/* Removes one backup, its checksums first. 0 or -1 with errno. */
int backup_remove(int directory, const char *name) MUST_CHECK;

/* ---- one backup ---- */

struct backup_table {
	const char *name;     /* schema.table */
	const char *contents; /* the number of rows, a blank, and a checksum over all of them, in whatever order */
};

struct backup_manifest {
	const char *path; /* of the dump */
	const char *database;
	const char *started;
	int schema;
	int server; /* major version */
	long long bytes;
	const char *sha256; /* of the dump */
	struct backup_table *tables;
	size_t table_count;
};

/* SQL that gives a row for each table: its name, and a statement that gives its contents as above. Under backup_session_sql. */
extern const char backup_tables_sql[];

/* Settings under which every session writes a value the same way. */
extern const char backup_session_sql[];

/* The manifest's text; `contents` has rows of name and contents. */
void backup_manifest_write(struct buffer *out, const struct backup_manifest *manifest);

/*
 * Reads the manifest of the dump at `path` and checks every checksum, which reads the whole dump. Everything in it lives in the
 * arena. 0, or -1 with a sentence: a file is missing, damaged, or of a form that this program does not know.
 */
int backup_read(struct backup_manifest *manifest, struct arena *arena, const char *path, char *error, size_t error_size)
    MUST_CHECK;

#endif
