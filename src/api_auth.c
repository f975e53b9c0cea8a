/* Authentication: /api/v1/auth. Passwords are hashed here and in api_me.c alone, in the pool that is made for it. */
#include <stdio.h>
#include <time.h>

#include "api.h"
#include "arena.h"
#include "buffer.h"
#include "call.h"
#include "conf.h"
#include "crypto.h"
#include "json.h"
#include "metrics.h"
#include "password.h"
#include "request.h"
#include "response.h"
#include "row.h"

enum { REFRESH_BYTES = 32, REFRESH_TEXT = BASE64URL_TEXT(REFRESH_BYTES) };

static const char cookie_name[] = "jobforge_refresh";

static const struct field register_body[] = {
	{ .name = "email", .type = FIELD_EMAIL, .required = true, .about = "Kept in lower case." },
	{ .name = "password", .type = FIELD_PASSWORD, .required = true, .min = PASSWORD_MIN, .max = PASSWORD_MAX,
	    .about = "8 to 72 bytes." },
	{ .name = "full_name", .type = FIELD_TEXT, .required = true, .min = 1, .max = 255, .about = "The user's name.",
	    .example = "Ada Lovelace" },
	{ .name = "cookie", .type = FIELD_BOOL,
	    .about = "Sets the refresh token as an HttpOnly cookie and leaves it out of the body." },
	{ 0 },
};

/* A wrong password may have any length: it is wrong, not invalid. */
static const struct field login_body[] = {
	{ .name = "email", .type = FIELD_TEXT, .required = true, .max = 255, .about = "In any case.",
	    .example = "ada@example.com" },
	{ .name = "password", .type = FIELD_PASSWORD, .required = true, .max = 1024, .about = "The password." },
	{ .name = "cookie", .type = FIELD_BOOL,
	    .about = "Sets the refresh token as an HttpOnly cookie and leaves it out of the body." },
	{ 0 },
};

static const struct field refresh_body[] = {
	{ .name = "refresh_token", .type = FIELD_TOKEN, .max = 256,
	    .about = "Left out when the cookie is sent, with the header X-Requested-With." },
	{ 0 },
};

static const char *const token_types[] = { "Bearer", NULL };

static const struct field user_fields[] = {
	{ .name = "id", .type = FIELD_UUID, .about = "The user." },
	{ .name = "email", .type = FIELD_EMAIL, .about = "In lower case." },
	{ .name = "full_name", .type = FIELD_TEXT, .about = "The user's name.", .example = "Ada Lovelace" },
	{ .name = "created_at", .type = FIELD_TIME, .about = "When the account was made." },
	{ .name = "updated_at", .type = FIELD_TIME, .about = "When the user was changed last." },
	{ 0 },
};

static const struct field session_fields[] = {
	{ .name = "user", .type = FIELD_OBJECT, .fields = user_fields, .about = "Who is signed in." },
	{ .name = "access_token", .type = FIELD_TEXT, .about = "For the header Authorization.", .example = "eyJhbGciOiJIUzI1NiJ9.e30.c2ln" },
	{ .name = "token_type", .type = FIELD_ENUM, .choices = token_types, .about = "How it is sent." },
	{ .name = "expires_in", .type = FIELD_INTEGER, .about = "Seconds until it runs out.", .example = "900" },
	{ .name = "refresh_token", .type = FIELD_TOKEN, .max = 256, .optional = true,
	    .about = "Trades for a new pair, once; absent where it is a cookie." },
	{ 0 },
};

enum { EMAIL, PASSWORD, FULL_NAME, REGISTER_COOKIE, LOGIN_COOKIE = FULL_NAME };

enum { LOGIN_BEGIN, LOGIN_SUCCEEDED, REGISTER, SESSION_OPEN, REFRESH_ROTATE, REFRESH_REVOKE };

const struct db_statement auth_statements[] = {
	[LOGIN_BEGIN] = { "auth_login_begin",
	    "SELECT user_id, password_hash, retry_after"
	    " FROM jobforge.login_begin($1, $2::text::int, $3::text::int)",
	    3 },
	[LOGIN_SUCCEEDED] = { "auth_login_succeeded", "SELECT jobforge.login_succeeded($1)", 1 },
	[REGISTER] = { "auth_register",
	    "SELECT s.id, s.email, s.full_name, s.created_at, s.updated_at FROM jobforge.register($1, $2, $3) r,"
	    " LATERAL jobforge.session_open(r.id, $2, NULL, $4, $5::text::int) s",
	    5 },
	[SESSION_OPEN] = { "auth_session_open",
	    "SELECT id, email, full_name, created_at, updated_at"
	    " FROM jobforge.session_open($1, $2, $3, $4, $5::text::int)",
	    5 },
	[REFRESH_ROTATE] = { "auth_refresh_rotate",
	    "SELECT outcome AS _outcome, id, email, full_name, created_at, updated_at"
	    " FROM jobforge.refresh_rotate($1, $2, $3::text::int, $4::text::int)",
	    4 },
	[REFRESH_REVOKE] = { "auth_refresh_revoke", "SELECT jobforge.refresh_revoke($1)", 1 },
	{ 0 },
};

#define STATEMENT(index) (&auth_statements[index])

/* ---- refresh tokens ---- */

struct refresh_token {
	char text[REFRESH_TEXT + 1];
	uint8_t hash[SHA256_BYTES];
};

static struct refresh_token *
new_refresh_token(struct call *call)
{
	struct refresh_token *token = arena_alloc(call->arena, sizeof(*token));
	uint8_t random[REFRESH_BYTES];

	crypto_random(random, sizeof(random));
	base64url_encode(token->text, random, sizeof(random));
	crypto_sha256(token->hash, token->text, REFRESH_TEXT);
	crypto_wipe(random, sizeof(random));
	return token;
}

static struct db_param
hash_param(const uint8_t hash[SHA256_BYTES])
{
	return (struct db_param){ (const char *)hash, SHA256_BYTES, true };
}

static struct db_param
number_param(struct call *call, int number)
{
	return DB_TEXT(arena_printf(call->arena, "%d", number));
}

static void
set_cookie(struct call *call, const char *value, int lifetime)
{
	response_header(call->response, "Set-Cookie",
	    "%s=%s; Path=" API "/auth; Max-Age=%d; HttpOnly; Secure; SameSite=Strict", cookie_name, value, lifetime);
}

/* The body's token, or the cookie's when the header shows that it was no other site's form that sent it. */
static struct slice
sent_refresh_token(struct call *call, bool *by_cookie)
{
	*by_cookie = call->values[0].text == NULL;
	if (!*by_cookie)
		return slice_of(call->values[0].text);
	if (call->request->requested_with.len == 0)
		return (struct slice){ NULL, 0 };
	return http_cookie(call->request->cookie, cookie_name);
}

/* ---- the answer of register, login and refresh ---- */

static int
answer_session(struct call *call, const struct db_result *user, const struct refresh_token *token, bool cookie, int status)
{
	const struct service *service = call->service;
	struct buffer *out = &call->response->body;
	char *access = token_sign(call->arena, service->keys, &service->token_policy, db_get(user, 0, "id").data,
	    (int64_t)time(NULL));

	if (access == NULL)
		return call_problem(call, PROBLEM_INTERNAL, NULL);
	BUFFER_LITERAL(out, "{\"user\":");
	row_write(out, user, 0);
	BUFFER_LITERAL(out, ",\"access_token\":");
	json_write_string(out, access, strlen(access));
	buffer_printf(out, ",\"token_type\":\"Bearer\",\"expires_in\":%d", service->token_policy.lifetime);
	if (cookie)
		set_cookie(call, token->text, service->conf->refresh_token_lifetime);
	else
		buffer_printf(out, ",\"refresh_token\":\"%s\"", token->text);
	BUFFER_LITERAL(out, "}");
	return call->response->status = status;
}

static bool
is_true(struct value value)
{
	return value.text != NULL && value.text[0] == 't';
}

/* ---- handlers ---- */

static int
handle_register(struct call *call)
{
	const struct conf *conf = call->service->conf;
	const struct value *sent = call->values;
	char hash[PASSWORD_HASH_SIZE];

	if (password_hash(hash, slice_of(sent[PASSWORD].text), conf->bcrypt_cost) != 0)
		return call_problem(call, PROBLEM_INTERNAL, NULL);
	struct refresh_token *token = new_refresh_token(call);
	const struct db_param user[] = { DB_TEXT(sent[EMAIL].text), DB_TEXT(hash), DB_TEXT(sent[FULL_NAME].text),
		hash_param(token->hash), number_param(call, conf->refresh_token_lifetime) };
	struct db_reply reply = call_transact(call, DB_READ_WRITE, &(struct step){ STATEMENT(REGISTER), user }, 1);
	if (reply.outcome != DB_OK)
		return call_refuse(call, &reply);
	response_header(call->response, "Location", API "/me");
	return answer_session(call, reply.results[0], token, is_true(sent[REGISTER_COOKIE]), 201);
}

/* Opens the session; the hash that was verified must still be the user's, or the password has just been changed. */
static int
open_session(struct call *call, const char *user_id, const char *verified)
{
	const struct conf *conf = call->service->conf;
	const struct value *sent = call->values;
	struct refresh_token *token = new_refresh_token(call);
	char fresh[PASSWORD_HASH_SIZE];

	bool weak = password_is_weak(verified, conf->bcrypt_cost);
	if (weak && password_hash(fresh, slice_of(sent[PASSWORD].text), conf->bcrypt_cost) != 0)
		return call_problem(call, PROBLEM_INTERNAL, NULL);
	const struct db_param session[] = { DB_TEXT(user_id), DB_TEXT(verified), DB_TEXT(weak ? fresh : NULL),
		hash_param(token->hash), number_param(call, conf->refresh_token_lifetime) };
	const struct step steps[] = { { STATEMENT(SESSION_OPEN), session },
		{ STATEMENT(LOGIN_SUCCEEDED), &DB_TEXT(sent[EMAIL].text) } };
	struct db_reply reply = call_transact(call, DB_READ_WRITE, steps, 2);
	if (reply.outcome != DB_OK)
		return call_refuse(call, &reply);
	if (db_rows(reply.results[0]) == 0)
		return call_problem(call, PROBLEM_BAD_CREDENTIALS, NULL);
	return answer_session(call, reply.results[0], token, is_true(sent[LOGIN_COOKIE]), 200);
}

static int
handle_login(struct call *call)
{
	const struct conf *conf = call->service->conf;
	struct slice password = slice_of(call->values[PASSWORD].text);
	const struct db_param attempt[] = { DB_TEXT(call->values[EMAIL].text), number_param(call, conf->login_attempts),
		number_param(call, conf->login_window) };
	struct db_reply reply =
	    call_transact(call, DB_READ_WRITE, &(struct step){ STATEMENT(LOGIN_BEGIN), attempt }, 1);

	if (reply.outcome != DB_OK)
		return call_refuse(call, &reply);
	struct slice retry_after = db_get(reply.results[0], 0, "retry_after");
	if (retry_after.data != NULL && !slice_is(retry_after, "0"))
		return call_too_many(call, retry_after);
	struct slice hash = db_get(reply.results[0], 0, "password_hash");
	/* bcrypt reads 72 bytes: a longer password is hashed as far as that, for the time it takes, and never matches. */
	bool too_long = password.len > PASSWORD_MAX;
	if (too_long)
		password.len = PASSWORD_MAX;
	if (!password_verify(hash.data, password, conf->bcrypt_cost) || too_long)
		return call_problem(call, PROBLEM_BAD_CREDENTIALS, NULL);
	return open_session(call, db_get(reply.results[0], 0, "user_id").data, hash.data);
}

static int
refuse_refresh(struct call *call, bool by_cookie)
{
	int status = call_problem(call, PROBLEM_BAD_REFRESH_TOKEN, NULL);

	if (by_cookie)
		set_cookie(call, "", 0);
	return status;
}

static int
handle_refresh(struct call *call)
{
	const struct conf *conf = call->service->conf;
	uint8_t old[SHA256_BYTES];
	bool by_cookie;
	struct slice sent = sent_refresh_token(call, &by_cookie);

	/* Without the header the cookie is left alone: another site must not be able to end the session either. */
	if (sent.data == NULL) {
		meter_refresh(call->service->meter, SLICE("missing"));
		return refuse_refresh(call, false);
	}
	crypto_sha256(old, sent.data, sent.len);
	struct refresh_token *token = new_refresh_token(call);
	const struct db_param params[] = { hash_param(old), hash_param(token->hash),
		number_param(call, conf->refresh_token_lifetime), number_param(call, conf->refresh_token_grace) };
	struct db_reply reply =
	    call_transact(call, DB_READ_WRITE, &(struct step){ STATEMENT(REFRESH_ROTATE), params }, 1);
	if (reply.outcome != DB_OK)
		return call_refuse(call, &reply);
	struct slice outcome = db_get(reply.results[0], 0, "_outcome");
	meter_refresh(call->service->meter, outcome);
	if (!slice_is(outcome, "rotated"))
		return refuse_refresh(call, by_cookie);
	return answer_session(call, reply.results[0], token, by_cookie, 200);
}

static int
handle_logout(struct call *call)
{
	uint8_t hash[SHA256_BYTES];
	bool by_cookie;
	struct slice sent = sent_refresh_token(call, &by_cookie);

	/* As for a refresh: to say that a session has ended which goes on would be worse than to refuse. */
	if (sent.data == NULL && http_cookie(call->request->cookie, cookie_name).data != NULL)
		return refuse_refresh(call, false);
	if (sent.data != NULL) {
		crypto_sha256(hash, sent.data, sent.len);
		struct db_reply reply = call_transact(call, DB_READ_WRITE,
		    &(struct step){ STATEMENT(REFRESH_REVOKE), &(struct db_param){ (const char *)hash, SHA256_BYTES, true } }, 1);
		if (reply.outcome != DB_OK)
			return call_refuse(call, &reply);
		if (by_cookie)
			set_cookie(call, "", 0);
	}
	call->response->content_type = NULL;
	return call->response->status = 204;
}

const struct endpoint auth_endpoints[] = {
	{ .method = HTTP_POST, .path = API "/auth/register", .access = ACCESS_ANYONE, .pool = POOL_AUTH,
	    .answer = ANSWER_CREATED, .body = register_body, .answers = session_fields, .handler = handle_register,
	    .entity = "Session", .problems = { PROBLEM_EMAIL_TAKEN }, .about = "Makes an account and signs in." },
	{ .method = HTTP_POST, .path = API "/auth/login", .access = ACCESS_ANYONE, .pool = POOL_AUTH,
	    .body = login_body, .answers = session_fields, .handler = handle_login,
	    .problems = { PROBLEM_BAD_CREDENTIALS, PROBLEM_TOO_MANY_ATTEMPTS, PROBLEM_ACCOUNT_DISABLED }, .about = "Signs in." },
	{ .method = HTTP_POST, .path = API "/auth/refresh", .access = ACCESS_ANYONE, .pool = POOL_AUTH,
	    .body = refresh_body, .answers = session_fields, .handler = handle_refresh,
	    .problems = { PROBLEM_BAD_REFRESH_TOKEN }, .about = "Trades a refresh token for a new pair." },
	{ .method = HTTP_POST, .path = API "/auth/logout", .access = ACCESS_ANYONE, .pool = POOL_AUTH,
	    .answer = ANSWER_EMPTY, .body = refresh_body, .handler = handle_logout,
	    .problems = { PROBLEM_BAD_REFRESH_TOKEN }, .about = "Ends the session." },
	{ 0 },
};
