/* user: who has an account, and what an operator may do with it. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <termios.h>
#include <unistd.h>

#include "buffer.h"
#include "crypto.h"
#include "ctl.h"
#include "ctl_user.h"
#include "dbtool.h"
#include "password.h"
#include "utf8.h"
#include "writer.h"

static int run_delete(struct ctl *);
static int run_disable(struct ctl *);
static int run_enable(struct ctl *);
static int run_list(struct ctl *);
static int run_reset_password(struct ctl *);
static int run_show(struct ctl *);

enum { LIST_LIMIT, LIST_AFTER, LIST_MATCH };
enum { YES };
enum { DISABLE_YES, DISABLE_REASON };
enum { RESET_YES, RESET_GENERATE };

const struct ctl_command ctl_user_delete = {
	.name = "user delete",
	.arguments = "USER",
	.words = 1,
	.summary = "Delete the user, named by email or id, and everything of theirs.",
	.options = { [YES] = { "--yes", NULL, "Do not ask." } },
	.run = run_delete,
};

const struct ctl_command ctl_user_disable = {
	.name = "user disable",
	.arguments = "USER",
	.words = 1,
	.summary = "Shut the user out at once: no sign-in, no session, no request; nothing of theirs is lost.",
	.options = {
		[DISABLE_YES] = { "--yes", NULL, "Do not ask." },
		[DISABLE_REASON] = { "--reason", "TEXT", "Why, for other operators." },
	},
	.run = run_disable,
};

const struct ctl_command ctl_user_enable = {
	.name = "user enable",
	.arguments = "USER",
	.words = 1,
	.summary = "Let a disabled user sign in again.",
	.run = run_enable,
};

const struct ctl_command ctl_user_list = {
	.name = "user list",
	.summary = "List users by email, with what they hold.",
	.options = {
		[LIST_LIMIT] = { "--limit", "N", "At most N, 1 to 10000; default: 100." },
		[LIST_AFTER] = { "--after", "EMAIL", "Only those after EMAIL, to go on where a list ended." },
		[LIST_MATCH] = { "--match", "TEXT", "Only those whose email or name holds TEXT." },
	},
	.run = run_list,
};

const struct ctl_command ctl_user_reset_password = {
	.name = "user reset-password",
	.arguments = "USER",
	.words = 1,
	.summary = "Give the user a new password, from the terminal or a line of standard input, and end all sessions.",
	.options = {
		[RESET_YES] = { "--yes", NULL, "Do not ask." },
		[RESET_GENERATE] = { "--generate", NULL, "Make a password up and print it." },
	},
	.run = run_reset_password,
};

const struct ctl_command ctl_user_show = {
	.name = "user show",
	.arguments = "USER",
	.words = 1,
	.summary = "Print what is known of the user, named by email or id, without any content.",
	.run = run_show,
};

/* ---- finding one ---- */

static int
find_user(struct ctl_user *user, const char *name)
{
	bool by_id = uuid_valid(name, strlen(name));
	const char *const params[] = { name };
	struct db_rows *rows = ctl_query(user->tool, "the user",
	    by_id ? "SELECT u.id, u.email FROM public.users AS u WHERE u.id = $1::uuid" :
		    "SELECT u.id, u.email FROM public.users AS u WHERE lower(u.email COLLATE \"C\") = lower($1 COLLATE \"C\")",
	    1, params);
	if (rows == NULL)
		return CTL_FAILED;
	int count = db_rows_count(rows);
	if (count > 0) {
		snprintf(user->id, sizeof(user->id), "%s", db_rows_value(rows, 0, 0));
		snprintf(user->email, sizeof(user->email), "%s", db_rows_value(rows, 0, 1));
	}
	db_rows_free(rows);
	return count > 0 ? 0 : ctl_fail("there is no user %s: jobforgectl user list names them", name);
}

int
ctl_user_open(struct ctl *ctl, struct ctl_user *user)
{
	*user = (struct ctl_user){ .tool = ctl_connect_current(ctl) };
	if (user->tool == NULL || ctl_execute(user->tool, "the session", "SET row_security = off", 0, NULL) != 0)
		return CTL_FAILED;
	return find_user(user, ctl_word(ctl, 0));
}

static int
close_user(struct ctl_user *user, int result)
{
	db_tool_close(user->tool);
	return result;
}

static void
report(const struct ctl *ctl, const struct ctl_user *user, const char *what)
{
	struct buffer out = { 0 };
	struct writer writer = { .out = &out };
	if (!ctl->json) {
		printf("User %s (%s) is %s.\n", user->email, user->id, what);
		return;
	}
	writer_object(&writer, NULL);
	writer_string(&writer, "id", user->id);
	writer_string(&writer, "email", user->email);
	writer_string(&writer, "result", what);
	ctl_print_json(&writer);
}

/* ---- list and show ---- */

#define HELD(table) "(SELECT count(*) FROM " table " AS t WHERE t.user_id = u.id)"

static int
run_list(struct ctl *ctl)
{
	static const char sql[] =
	    "SELECT u.id, u.email, u.full_name, u.created_at, d.user_id IS NOT NULL AS disabled,"
	    " " HELD("public.applications") " AS applications, " HELD("public.documents") " AS documents,"
	    " " HELD("public.user_resumes") " AS resumes"
	    " FROM public.users AS u LEFT JOIN jobforge.disabled_users AS d ON d.user_id = u.id"
	    " WHERE ($2::text IS NULL OR lower(u.email COLLATE \"C\") > lower($2 COLLATE \"C\"))"
	    " AND ($3::text IS NULL OR strpos(lower(u.email || ' ' || u.full_name), lower($3)) > 0)"
	    " ORDER BY lower(u.email COLLATE \"C\") LIMIT $1::int";
	char limit[16];
	int number;
	const char *const params[] = { limit, ctl->values[LIST_AFTER], ctl->values[LIST_MATCH] };
	struct buffer out = { 0 };
	struct writer writer = { .out = &out };
	if (ctl_number(ctl, LIST_LIMIT, 1, 10000, 100, &number) != 0)
		return CTL_USAGE;
	snprintf(limit, sizeof(limit), "%d", number);
	struct db_tool *tool = ctl_connect_current(ctl);
	struct db_rows *rows = NULL;
	if (tool != NULL && ctl_execute(tool, "the session", "SET row_security = off", 0, NULL) == 0)
		rows = ctl_query(tool, "the users", sql, 3, params);
	if (rows != NULL && ctl->json) {
		writer_object(&writer, NULL);
		ctl_write_rows(&writer, "users", rows);
		ctl_print_json(&writer);
	} else if (rows != NULL) {
		ctl_append_table(&out, NULL, rows);
		ctl_print(&out);
	}
	db_rows_free(rows);
	db_tool_close(tool);
	return rows == NULL ? CTL_FAILED : CTL_OK;
}

static int
run_show(struct ctl *ctl)
{
	static const char sql[] =
	    "SELECT u.id, u.email, u.full_name, u.created_at, u.updated_at, left(u.password_hash, 7) AS password_kind,"
	    " d.disabled_at, d.reason AS disabled_reason,"
	    " (SELECT count(*) FROM jobforge.refresh_families AS f WHERE f.user_id = u.id AND f.revoked_at IS NULL"
	    " AND f.expires_at > now()) AS sessions,"
	    " (SELECT max(t.created_at) FROM jobforge.refresh_tokens AS t WHERE t.user_id = u.id) AS last_sign_in_or_refresh,"
	    " " HELD("public.applications") " AS applications, " HELD("public.documents") " AS documents,"
	    " " HELD("public.user_resumes") " AS resumes, " HELD("public.document_embeddings") " AS embeddings,"
	    " jobforge.plan_of(u.id) AS plan"
	    " FROM public.users AS u LEFT JOIN jobforge.disabled_users AS d ON d.user_id = u.id WHERE u.id = $1::uuid";
	struct ctl_user user;
	struct buffer out = { 0 };
	struct writer writer = { .out = &out };
	if (ctl_user_open(ctl, &user) != 0)
		return close_user(&user, CTL_FAILED);
	const char *const params[] = { user.id };
	struct db_rows *rows = ctl_query(user.tool, "the user", sql, 1, params);
	if (rows != NULL && ctl->json) {
		writer_object(&writer, NULL);
		ctl_write_row(&writer, rows, 0);
		ctl_print_json(&writer);
	}
	for (int column = 0; rows != NULL && !ctl->json && column < db_rows_columns(rows); column++) {
		const char *value = db_rows_value(rows, 0, column);
		buffer_printf(&out, "%s: %s\n", db_rows_name(rows, column), value == NULL ? "-" : value);
	}
	ctl_print(&out);
	db_rows_free(rows);
	return close_user(&user, rows == NULL ? CTL_FAILED : CTL_OK);
}

/* ---- disable, enable, delete ---- */

static int
run_disable(struct ctl *ctl)
{
	struct ctl_user user;
	if (ctl_user_open(ctl, &user) != 0 ||
	    !ctl_confirmed(ctl, DISABLE_YES, "User %s will be shut out at once.", user.email))
		return close_user(&user, CTL_FAILED);
	const char *const params[] = { user.id, ctl->values[DISABLE_REASON] };
	if (ctl_execute(user.tool, "the user", "SELECT jobforge.user_disable($1::uuid, $2)", 2, params) != 0)
		return close_user(&user, CTL_FAILED);
	report(ctl, &user, "disabled");
	return close_user(&user, CTL_OK);
}

static int
run_enable(struct ctl *ctl)
{
	struct ctl_user user;
	if (ctl_user_open(ctl, &user) != 0)
		return close_user(&user, CTL_FAILED);
	const char *const params[] = { user.id };
	if (ctl_execute(user.tool, "the user", "SELECT jobforge.user_enable($1::uuid)", 1, params) != 0)
		return close_user(&user, CTL_FAILED);
	report(ctl, &user, "enabled");
	return close_user(&user, CTL_OK);
}

static int
run_delete(struct ctl *ctl)
{
	struct ctl_user user;
	if (ctl_user_open(ctl, &user) != 0 || !ctl_confirmed(ctl, YES, "User %s and everything of theirs will be deleted.", user.email))
		return close_user(&user, CTL_FAILED);
	const char *const params[] = { user.id };
	if (ctl_execute(user.tool, "the user", "DELETE FROM public.users AS u WHERE u.id = $1::uuid", 1, params) != 0)
		return close_user(&user, CTL_FAILED);
	report(ctl, &user, "deleted");
	return close_user(&user, CTL_OK);
}

/* ---- reset-password ---- */

enum { LINE_SIZE = 512 };

/* A line without what ends it. False at the end of input. */
static bool
read_line(FILE *from, char line[LINE_SIZE])
{
	if (fgets(line, LINE_SIZE, from) == NULL)
		return false;
	line[strcspn(line, "\r\n")] = '\0';
	return true;
}

/* Ctrl-C counts only here, while nothing else goes on: one that came before ends the wait at once instead of being missed. */
static bool
wait_for_line(FILE *terminal, const sigset_t *while_waiting)
{
	struct pollfd typed = { .fd = fileno(terminal), .events = POLLIN };
	return ppoll(&typed, 1, NULL, while_waiting) == 1;
}

/* The question comes last: whatever was typed before the terminal became silent is thrown away, not taken for the answer. */
static bool
ask_unseen(FILE *terminal, const sigset_t *while_waiting, const char *question, char line[LINE_SIZE])
{
	struct termios before, silent;
	if (tcgetattr(fileno(terminal), &before) != 0)
		return false;
	silent = before;
	silent.c_lflag &= ~(tcflag_t)ECHO;
	tcsetattr(fileno(terminal), TCSAFLUSH, &silent);
	fputs(question, terminal);
	fflush(terminal);
	bool answered = wait_for_line(terminal, while_waiting) && read_line(terminal, line);
	tcsetattr(fileno(terminal), TCSADRAIN, &before);
	fputc('\n', terminal);
	return answered;
}

static void
be_interrupted(int number)
{
	(void)number;
}

/* Ctrl-C must not leave the terminal silent. */
static bool
ask_twice(FILE *terminal, char line[LINE_SIZE], char again[LINE_SIZE])
{
	struct sigaction before, interrupted = { .sa_handler = be_interrupted };
	sigset_t interrupt, mask;
	sigemptyset(&interrupt);
	sigaddset(&interrupt, SIGINT);
	sigaction(SIGINT, &interrupted, &before);
	sigprocmask(SIG_BLOCK, &interrupt, &mask);
	bool answered = ask_unseen(terminal, &mask, "New password: ", line) && ask_unseen(terminal, &mask, "The same again: ", again);
	sigprocmask(SIG_SETMASK, &mask, NULL);
	sigaction(SIGINT, &before, NULL);
	return answered;
}

static int
ask_password(char line[LINE_SIZE])
{
	char again[LINE_SIZE] = "";
	FILE *terminal = fopen("/dev/tty", "r+e");
	if (terminal == NULL)
		return ctl_fail("the terminal cannot be used: %s", strerror(errno));
	bool answered = ask_twice(terminal, line, again);
	fclose(terminal);
	bool same = answered && strcmp(line, again) == 0;
	crypto_wipe(again, sizeof(again));
	return same ? 0 : ctl_fail("%s, and nothing has changed", answered ? "the two are not the same" : "no password was given");
}

/* Sixteen characters of base64url: 96 bits. */
static void
make_password(char line[LINE_SIZE])
{
	uint8_t random[12];
	crypto_random(random, sizeof(random));
	base64url_encode(line, random, sizeof(random));
}

static int
take_password(struct ctl *ctl, char line[LINE_SIZE])
{
	if (ctl_given(ctl, RESET_GENERATE))
		make_password(line);
	else if (isatty(STDIN_FILENO))
		return ask_password(line);
	else if (!read_line(stdin, line))
		return ctl_fail("there is no password on standard input: write one there, or give --generate");
	size_t len = strlen(line);
	if (len < PASSWORD_MIN || len > PASSWORD_MAX || !utf8_valid(line, len))
		return ctl_fail("a password is UTF-8 of %d to %d bytes", PASSWORD_MIN, PASSWORD_MAX);
	return 0;
}

/* The new hash first, then the sessions, each a statement of its own: see sql/migrations/0004_sessions.sql. */
static int
store_password(struct ctl_user *user, const char *hash)
{
	static const char update[] = "UPDATE public.users AS u SET password_hash = $2 WHERE u.id = $1::uuid";
	static const char revoke[] = "UPDATE jobforge.refresh_families AS f SET revoked_at = now()"
				     " WHERE f.user_id = $1::uuid AND f.revoked_at IS NULL";
	const char *const params[] = { user->id, hash };
	if (ctl_execute(user->tool, "the password", "BEGIN", 0, NULL) != 0 ||
	    ctl_execute(user->tool, "the password", update, 2, params) != 0 ||
	    ctl_execute(user->tool, "the sessions", revoke, 1, params) != 0)
		return CTL_FAILED;
	return ctl_execute(user->tool, "the password", "COMMIT", 0, NULL);
}

static void
report_password(const struct ctl *ctl, const struct ctl_user *user, const char *password)
{
	struct buffer out = { 0 };
	struct writer writer = { .out = &out };
	if (!ctl->json) {
		printf("User %s (%s) has a new password%s%s; all sessions are over.\n", user->email, user->id,
		    password == NULL ? "" : ": ", password == NULL ? "" : password);
		return;
	}
	writer_object(&writer, NULL);
	writer_string(&writer, "id", user->id);
	writer_string(&writer, "email", user->email);
	if (password != NULL)
		writer_string(&writer, "password", password);
	ctl_print_json(&writer);
}

static int
run_reset_password(struct ctl *ctl)
{
	struct ctl_user user;
	char password[LINE_SIZE] = "", hash[PASSWORD_HASH_SIZE];
	if (ctl_user_open(ctl, &user) != 0 ||
	    !ctl_confirmed(ctl, RESET_YES, "User %s will get a new password.", user.email) || take_password(ctl, password) != 0)
		return close_user(&user, CTL_FAILED);
	int result = password_hash(hash, slice_of(password), ctl->conf.bcrypt_cost) == 0 ? store_password(&user, hash) :
											 ctl_fail("the password cannot be hashed");
	if (result == 0)
		report_password(ctl, &user, ctl_given(ctl, RESET_GENERATE) ? password : NULL);
	crypto_wipe(password, sizeof(password));
	return close_user(&user, result);
}
