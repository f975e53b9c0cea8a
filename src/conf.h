/*
 * The configuration: one table of keys in conf.c, each with its type, bounds, default and a line of help. A value comes
 * from, in rising order: the default, the file, the environment (JOBFORGE_<KEY>), the command line (--<key>=VALUE with
 * '-' for '_'). Documented in jobforged.conf(5); a test compares the two.
 */
#ifndef JOBFORGE_CONF_H
#define JOBFORGE_CONF_H

#include "base.h"
#include "log.h"

struct conf {
	/* Database */
	char *database;            /* libpq connection string or URI of the workers, as jobforge_app */
	char *admin_database;      /* of jobforgectl, a role that may create roles; default: `database` */
	char *backup_database;     /* of jobforgectl backup; empty: `database` as jobforge_backup */
	int connect_timeout;       /* milliseconds, 1..10000, default 1000 */
	int statement_timeout;     /* milliseconds, 100..4500, default 4000: a request never hangs over 5 s */
	int connection_lifetime;   /* seconds, 0..31536000, 0 = for ever, default 3600: pool_recycle */

	/* Processes */
	char *api_socket;          /* unix socket path, default <runstatedir>/jobforge/api.sock */
	char *auth_socket;
	char *bulk_socket;
	char *socket_group;        /* group that may connect (nginx's); empty: the process's own */
	char *user;                /* account to change to when started as root; empty: stay */
	int api_workers;           /* 1..512; default 4 */
	int auth_workers;          /* 1..64; default 2 */
	int bulk_workers;          /* 1..64; default 2 */
	int worker_connections;    /* kept FastCGI connections per worker, 1..65536, default 4096 */
	int queue_timeout;         /* milliseconds that a request may have waited, 10..4500, default 3000 */
	int drain_timeout;         /* seconds that a stopping worker may take, 1..3600, default 30 */
	bool sandbox;              /* default on */
	char *pid_file;            /* empty: none */

	/* Tokens and passwords */
	char *token_keys;          /* path of the key file */
	char *token_algorithm;     /* HS256 (default), HS384, HS512 */
	char *token_issuer;        /* default jobforge */
	char *token_audience;      /* default jobforge-api */
	int access_token_lifetime; /* seconds, 10..86400, default 900 */
	int refresh_token_lifetime;/* seconds, 60..31536000, default 2592000 */
	int refresh_token_grace;   /* seconds, 0..60, default 10 */
	int bcrypt_cost;           /* 4..16, default 12 */
	int login_attempts;        /* per email within login_window, 1..1000, default 10 */
	int login_window;          /* seconds, 1..86400, default 900 */

	/* Metrics */
	int metrics_retention;     /* days, 0..3650, 0 = nothing is written, default 30 */
	char *refusals_log;        /* nginx's log of what it refuses with 429; empty: none */

	/* Operation */
	int audit_log_retention;   /* days, 0..36500, 0 = for ever, default 730 */
	char *backup_directory;
	int backup_keep;           /* 1..10000, default 14 */
	int backup_keep_days;      /* 0..36500, 0 = for ever, default 0 */
	char *pg_bin;              /* directory of PostgreSQL's programs; empty: found */
	char *certificate;         /* nginx's, which doctor looks at; empty: none */

	/* Answers and log */
	bool server_timing;        /* default off */
	enum log_level log_level;  /* debug, info (default), warning, error */
};

/*
 * Fills `conf` (zeroed or loaded before: then it is freed first) from `path` (NULL: no file), the environment and
 * `flags` (count `flag_count`, each "--key=value" or "--key", "--no-key" for a boolean). On error returns -1 and a
 * sentence with file and line, or variable, or flag in `error`; `conf` is then as it was. The strings are owned by
 * `conf`.
 */
int conf_load(struct conf *conf, const char *path, char *const flags[], int flag_count, char *error, size_t error_size)
    MUST_CHECK;

/* Wipes and frees the strings and zeroes it. */
void conf_free(struct conf *conf);

/* Wipes the connection strings that only jobforgectl uses. */
void conf_forget_administrators(struct conf *conf);

/* Whether conf_load() takes `flag`: its name is a key's, whatever the value. */
bool conf_flag_known(const char *flag);

/* Whether the value of `flag` may hold a password. */
bool conf_flag_is_secret(const char *flag);

/* Writes every key with its value, default and help to standard output, in the format of the file; with NULL a file in
 * which every default stands commented out. The password of a connection string is not shown. */
void conf_print(const struct conf *conf);

/* The same keys and values as one JSON object on one line. */
void conf_print_json(const struct conf *conf);

/* The name of the key at `index` of the table, or NULL past its end: for the test that each is documented. */
const char *conf_key(size_t index);

#endif
