/* The user: /api/v1/me. */
#include "api.h"
#include "arena.h"
#include "call.h"
#include "conf.h"
#include "password.h"
#include "request.h"
#include "response.h"

static const struct field patch_body[] = {
	{ .name = "email", .type = FIELD_EMAIL, .about = "Kept in lower case." },
	{ .name = "full_name", .type = FIELD_TEXT, .min = 1, .max = 255, .about = "The user's name.",
	    .example = "Ada Lovelace" },
	{ 0 },
};

static const struct field password_body[] = {
	{ .name = "current_password", .type = FIELD_PASSWORD, .required = true, .max = 1024,
	    .about = "The password until now." },
	{ .name = "new_password", .type = FIELD_PASSWORD, .required = true, .min = PASSWORD_MIN, .max = PASSWORD_MAX,
	    .about = "8 to 72 bytes." },
	{ 0 },
};

static const struct field delete_body[] = {
	{ .name = "password", .type = FIELD_PASSWORD, .required = true, .max = 1024, .about = "The password." },
	{ 0 },
};

static const struct field answers[] = {
	{ .name = "id", .type = FIELD_UUID, .about = "The user." },
	{ .name = "email", .type = FIELD_EMAIL, .about = "In lower case." },
	{ .name = "full_name", .type = FIELD_TEXT, .about = "The user's name.", .example = "Ada Lovelace" },
	{ .name = "created_at", .type = FIELD_TIME, .about = "When the account was made." },
	{ .name = "updated_at", .type = FIELD_TIME, .about = "When the user was changed last." },
	{ 0 },
};

/* The same URL is another user's row for another token, and users of one transaction (a restored dump's) have one xmin: without the
 * id, a browser that keeps answers would show one user's to the next. */
#define TAG "(u.xmin::text || '-' || u.id::text)"
#define COLUMNS "u.id, u.email, u.full_name, u.created_at, u.updated_at, " TAG " AS _etag"

enum { GET, LOCK, UPDATE, ATTEMPT, SUCCEEDED, CHANGE_PASSWORD, REVOKE_ALL, DELETE };

/* Row Level Security leaves one row of users: the signed-in one. */
const struct db_statement me_statements[] = {
	[GET] = { "me_get", "SELECT " COLUMNS " FROM public.users u", 0 },
	[LOCK] = { "me_lock", "SELECT 1 FROM public.users u FOR NO KEY UPDATE", 0 },
	[UPDATE] = { "me_update",
	    "UPDATE public.users u SET email = CASE WHEN $1 THEN $2 ELSE u.email END,"
	    " full_name = CASE WHEN $3 THEN $4 ELSE u.full_name END"
	    " WHERE $5::text[] IS NULL OR " TAG " = ANY ($5) RETURNING " COLUMNS,
	    5 },
	/*
	 * Guessing the password with a stolen access token is counted as guessing at the login is, but apart from it, by the user's id:
	 * the address may be changed by whoever has the token, and guesses of strangers at the login must not keep the user
	 * from changing the password. The key is longer than the 255 characters of an address that a login takes.
	 */
	[ATTEMPT] = { "me_attempt",
	    "SELECT u.password_hash, l.retry_after, k.key FROM public.users u,"
	    " LATERAL (SELECT pg_catalog.repeat(' ', 256) || u.id::text AS key) k,"
	    " LATERAL jobforge.login_begin(k.key, $1::text::int, $2::text::int) l",
	    2 },
	[SUCCEEDED] = { "me_attempt_succeeded", "SELECT jobforge.login_succeeded($1)", 1 },
	[CHANGE_PASSWORD] = { "me_change_password",
	    "UPDATE public.users u SET password_hash = $2 WHERE u.password_hash = $1 RETURNING u.id", 2 },
	[REVOKE_ALL] = { "me_revoke_all", "SELECT jobforge.sessions_revoke_all()", 0 },
	[DELETE] = { "me_delete",
	    "DELETE FROM public.users u WHERE u.password_hash = $1 AND ($2::text[] IS NULL OR " TAG " = ANY ($2))"
	    " RETURNING u.id",
	    2 },
	{ 0 },
};

#define STATEMENT(index) (&me_statements[index])

struct confirmed {
	const char *hash; /* the one that the password matched */
	const char *key;  /* by which attempts are counted */
};

/* Whether `password` is the user's own. 0, or the response is made and its status returned. */
static int
confirm_password(struct call *call, const char *password, struct confirmed *confirmed)
{
	const struct conf *conf = call->service->conf;
	const struct db_param limits[] = { DB_TEXT(arena_printf(call->arena, "%d", conf->login_attempts)),
		DB_TEXT(arena_printf(call->arena, "%d", conf->login_window)) };
	struct db_reply reply = call_transact(call, DB_READ_WRITE, &(struct step){ STATEMENT(ATTEMPT), limits }, 1);

	if (reply.outcome != DB_OK)
		return call_refuse(call, &reply);
	const struct db_result *row = reply.results[0];
	if (db_rows(row) == 0)
		return call_problem(call, PROBLEM_UNAUTHORIZED, NULL);
	struct slice retry_after = db_get(row, 0, "retry_after");
	if (retry_after.data != NULL && !slice_is(retry_after, "0"))
		return call_too_many(call, retry_after);
	*confirmed = (struct confirmed){ db_get(row, 0, "password_hash").data, db_get(row, 0, "key").data };
	bool right = strlen(password) <= PASSWORD_MAX &&
	    password_verify(confirmed->hash, slice_of(password), conf->bcrypt_cost);
	return right ? 0 : call_problem(call, PROBLEM_WRONG_PASSWORD, NULL);
}

/* Answers 204, or that the password was changed by another request meanwhile. */
static int
answer_done(struct call *call, const struct db_reply *reply)
{
	if (reply->outcome != DB_OK)
		return call_refuse(call, reply);
	if (db_rows(reply->results[0]) == 0)
		return call_problem(call, PROBLEM_WRONG_PASSWORD, NULL);
	call->response->content_type = NULL;
	return call->response->status = 204;
}

static int
handle_password(struct call *call)
{
	struct confirmed confirmed;
	char hash[PASSWORD_HASH_SIZE];
	int status = confirm_password(call, call->values[0].text, &confirmed);

	if (status != 0)
		return status;
	if (password_hash(hash, slice_of(call->values[1].text), call->service->conf->bcrypt_cost) != 0)
		return call_problem(call, PROBLEM_INTERNAL, NULL);
	const struct db_param change[] = { DB_TEXT(confirmed.hash), DB_TEXT(hash) };
	const struct step steps[] = { { STATEMENT(CHANGE_PASSWORD), change }, { STATEMENT(REVOKE_ALL), NULL },
		{ STATEMENT(SUCCEEDED), &DB_TEXT(confirmed.key) } };
	struct db_reply reply = call_transact(call, DB_READ_WRITE, steps, 3);
	return answer_done(call, &reply);
}

static int
handle_delete(struct call *call)
{
	struct confirmed confirmed;
	const char *tags;
	int status = call_if_match(call, &tags);

	if (status == 0)
		status = confirm_password(call, call->values[0].text, &confirmed);
	if (status != 0)
		return status;
	const struct db_param user[] = { DB_TEXT(confirmed.hash), DB_TEXT(tags) };
	const struct step steps[] = { { STATEMENT(DELETE), user }, { STATEMENT(SUCCEEDED), &DB_TEXT(confirmed.key) } };
	struct db_reply reply = call_transact(call, DB_READ_WRITE, steps, 2);
	if (reply.outcome == DB_OK && tags != NULL && db_rows(reply.results[0]) == 0)
		return call_problem(call, PROBLEM_PRECONDITION_FAILED, NULL);
	return answer_done(call, &reply);
}

/* The token of a user who is gone: the row that every user has is not there. */
static int
handle_get(struct call *call)
{
	struct db_reply reply = call_transact(call, DB_READ_ONLY, &(struct step){ STATEMENT(GET), NULL }, 1);

	if (reply.outcome != DB_OK)
		return call_refuse(call, &reply);
	if (db_rows(reply.results[0]) == 0)
		return call_problem(call, PROBLEM_UNAUTHORIZED, NULL);
	return call_answer_row(call, reply.results[0]);
}

const struct endpoint me_endpoints[] = {
	{ .method = HTTP_GET, .path = API "/me", .answers = answers, .handler = handle_get, .entity = "User", .tagged = true,
	    .about = "Reads the signed-in user." },
	{ .method = HTTP_PATCH, .path = API "/me", .body = patch_body, .answers = answers,
	    .statement = STATEMENT(UPDATE), .exists = STATEMENT(LOCK), .problems = { PROBLEM_EMAIL_TAKEN }, .about = "Changes the signed-in user." },
	{ .method = HTTP_POST, .path = API "/me/password", .pool = POOL_AUTH, .answer = ANSWER_EMPTY,
	    .body = password_body, .handler = handle_password,
	    .problems = { PROBLEM_WRONG_PASSWORD, PROBLEM_TOO_MANY_ATTEMPTS }, .about = "Changes the password and ends every session." },
	{ .method = HTTP_DELETE, .path = API "/me", .pool = POOL_AUTH, .answer = ANSWER_EMPTY,
	    .body = delete_body, .handler = handle_delete, .tagged = true,
	    .problems = { PROBLEM_WRONG_PASSWORD, PROBLEM_TOO_MANY_ATTEMPTS }, .about = "Deletes the user and everything of theirs." },
	{ 0 },
};
