#include "problem.h"

#include <stdarg.h>
#include <stdio.h>

#include "arena.h"
#include "db.h"
#include "log.h"
#include "trouble.h"

static const struct problem_kind kinds[PROBLEM_COUNT] = {
	[PROBLEM_BAD_REQUEST] = { 400, "bad-request", "Bad request", "The request is not well-formed." },
	[PROBLEM_BAD_JSON] = { 400, "bad-json", "Not JSON", "The body is not JSON in UTF-8." },
	[PROBLEM_BAD_CSV] = { 400, "bad-csv", "Not CSV", "The body is not text/csv in UTF-8 (RFC 4180)." },
	[PROBLEM_BAD_QUERY] = { 400, "bad-query", "Bad query parameter", "A query parameter is wrong." },
	[PROBLEM_BAD_CURSOR] = { 400, "bad-cursor", "Bad cursor",
	    "The cursor is not one that this list and order gave out. Start again without it." },
	[PROBLEM_UNAUTHORIZED] = { 401, "unauthorized", "Sign-in needed", "A valid access token is needed." },
	[PROBLEM_BAD_CREDENTIALS] = { 401, "bad-credentials", "Wrong email or password",
	    "The email or the password is wrong." },
	[PROBLEM_BAD_REFRESH_TOKEN] = { 401, "bad-refresh-token", "Session over",
	    "The refresh token is missing, expired, spent or revoked. Sign in again." },
	[PROBLEM_WRONG_PASSWORD] = { 403, "wrong-password", "Wrong password", "The current password is wrong." },
	[PROBLEM_ACCOUNT_DISABLED] = { 403, "account-disabled", "Account disabled",
	    "Whoever runs this service has disabled the account. Nothing in it is lost." },
	[PROBLEM_PLAN_LIMIT] = { 403, "plan-limit", "Beyond the plan", "The plan does not allow as much; limit says what." },
	[PROBLEM_NOT_FOUND] = { 404, "not-found", "Not found", "There is nothing at this address." },
	[PROBLEM_METHOD_NOT_ALLOWED] = { 405, "method-not-allowed", "Method not allowed",
	    "This address does not take this method; Allow lists those it takes." },
	[PROBLEM_NOT_ACCEPTABLE] = { 406, "not-acceptable", "Not acceptable", "This resource has no form that Accept takes." },
	[PROBLEM_EMAIL_TAKEN] = { 409, "email-taken", "Email taken", "An account with this email exists." },
	[PROBLEM_PHASE_ORDER] = { 409, "phase-order", "Out of order", "Documents follow one another: research, resume, letter." },
	[PROBLEM_NOT_EMPTY] = { 409, "not-empty", "Account not empty",
	    "An import goes into an account without applications and resumes." },
	[PROBLEM_IDEMPOTENCY_BUSY] = { 409, "idempotency-busy", "First request still running",
	    "A request with this Idempotency-Key is still running. Try again in a moment." },
	[PROBLEM_IDEMPOTENCY_MISMATCH] = { 422, "idempotency-mismatch", "Key used before",
	    "This Idempotency-Key was used with another request." },
	[PROBLEM_PRECONDITION_FAILED] = { 412, "precondition-failed", "Changed meanwhile",
	    "The resource is not the one that If-Match names. Fetch it again." },
	[PROBLEM_TOO_LARGE] = { 413, "too-large", "Body too large", "The body is larger than this address takes." },
	[PROBLEM_UNSUPPORTED_MEDIA_TYPE] = { 415, "unsupported-media-type", "Unsupported media type",
	    "The body must be application/json in UTF-8." },
	[PROBLEM_MISDIRECTED] = { 421, "misdirected", "Misdirected request", "The web server sent this to the wrong pool." },
	[PROBLEM_VALIDATION] = { 422, "validation", "Not valid", "Some fields are not valid; errors lists each." },
	[PROBLEM_TOO_MANY_ATTEMPTS] = { 429, "too-many-attempts", "Too many attempts",
	    "Too many failed attempts. Try again later." },
	[PROBLEM_INTERNAL] = { 500, "internal", "Internal error", "Something went wrong here; the log has the details." },
	[PROBLEM_UNAVAILABLE] = { 503, "unavailable", "Not available",
	    "The database does not answer. Nothing has changed; try again." },
	[PROBLEM_OVERLOADED] = { 503, "overloaded", "Overloaded",
	    "There is more to do than can be done in time. Nothing has changed; try again." },
};

/* What a constraint's violation means to the client; a constraint that is not here is our own fault. */
static const struct {
	const char *constraint;
	enum problem problem;
	const char *pointer;
	const char *detail;
} constraints[] = {
	/* A row above that is gone, or another's: the same as one that never was. */
	{ "documents_application_id_fkey", PROBLEM_NOT_FOUND, NULL, NULL },
	{ "document_embeddings_document_id_fkey", PROBLEM_NOT_FOUND, NULL, NULL },
	{ "users_email_key", PROBLEM_EMAIL_TAKEN, NULL, NULL },
	{ "email_format", PROBLEM_VALIDATION, "/email", "must be an email address" },
	{ "name_not_empty", PROBLEM_VALIDATION, "/full_name", "must not be blank" },
	{ "job_description_min_length", PROBLEM_VALIDATION, "/job_description", "must have at least 50 characters" },
	{ "company_name_not_empty", PROBLEM_VALIDATION, "/company_name", "must not be blank" },
	{ "role_title_not_empty", PROBLEM_VALIDATION, "/role_title", "must not be blank" },
	{ "content_min_length", PROBLEM_VALIDATION, "/content", "must have at least 10 characters" },
	{ "resume_name_not_empty", PROBLEM_VALIDATION, "/name", "must not be blank" },
	{ "resume_content_min_length", PROBLEM_VALIDATION, "/content", "must have at least 100 characters" },
	{ "valid_job_url", PROBLEM_VALIDATION, "/job_url", "must be an http or https URL" },
	/* The user of the token is gone. */
	{ "applications_user_id_fkey", PROBLEM_UNAUTHORIZED, NULL, NULL },
	{ "user_resumes_user_id_fkey", PROBLEM_UNAUTHORIZED, NULL, NULL },
	{ "idempotency_keys_user_id_fkey", PROBLEM_UNAUTHORIZED, NULL, NULL },
};

static const struct {
	const char *sqlstate;
	enum problem problem;
} states[] = {
	{ "JF002", PROBLEM_IDEMPOTENCY_BUSY },
	{ "JF003", PROBLEM_IDEMPOTENCY_MISMATCH },
	{ "JF010", PROBLEM_PHASE_ORDER },
	{ "JF020", PROBLEM_PLAN_LIMIT },
	{ "JF030", PROBLEM_ACCOUNT_DISABLED },
	{ "22P05", PROBLEM_VALIDATION },  /* a character that the server cannot keep */
	{ "22007", PROBLEM_BAD_QUERY },   /* a time that our check takes and the server does not */
	{ "22008", PROBLEM_BAD_QUERY },
	{ "22009", PROBLEM_BAD_QUERY },
	{ "53100", PROBLEM_UNAVAILABLE }, /* disk full */
	{ "53200", PROBLEM_UNAVAILABLE }, /* out of memory, or of room for locks */
	{ "53300", PROBLEM_UNAVAILABLE }, /* too many connections */
	{ "53400", PROBLEM_UNAVAILABLE }, /* a limit of the configuration, as that of temporary files */
	{ "58030", PROBLEM_UNAVAILABLE }, /* reading or writing failed */
	{ "54000", PROBLEM_VALIDATION },  /* a text beyond a limit of the server */
};

const struct problem_kind *
problem_kind(enum problem problem)
{
	return &kinds[problem];
}

void
faults_init(struct faults *faults, struct arena *arena)
{
	*faults = (struct faults){ .arena = arena };
	faults->end = &faults->first;
}

void
faults_add(struct faults *faults, const char *pointer, const char *detail_format, ...)
{
	char detail[512];
	va_list args;

	if (faults->count == FAULTS_MAX)
		return;
	va_start(args, detail_format);
	int len = vsnprintf(detail, sizeof(detail), detail_format, args);
	va_end(args);
	struct fault *fault = arena_alloc(faults->arena, sizeof(*fault));
	fault->pointer = pointer;
	fault->detail = arena_copy(faults->arena, detail, len < 0 ? 0 : strnlen(detail, sizeof(detail)));
	*faults->end = fault;
	faults->end = &fault->next;
	faults->count++;
}

static enum problem
problem_of_constraint(const struct db_error *error, struct faults *faults)
{
	for (size_t i = 0; i < COUNT_OF(constraints); i++) {
		if (strcmp(error->constraint, constraints[i].constraint) != 0)
			continue;
		if (constraints[i].pointer != NULL)
			faults_add(faults, constraints[i].pointer, "%s", constraints[i].detail);
		return constraints[i].problem;
	}
	return PROBLEM_INTERNAL;
}

static enum problem
problem_of_state(const struct db_error *error)
{
	for (size_t i = 0; i < COUNT_OF(states); i++)
		if (strcmp(error->sqlstate, states[i].sqlstate) == 0)
			return states[i].problem;
	return PROBLEM_INTERNAL;
}

/* The message of jobforge.plan_check(): "applications 10 9". */
static void
read_limit(const char *message, struct faults *faults)
{
	char name[32];
	long long allowed;
	long long used;

	if (sscanf(message, "%31s %lld %lld", name, &allowed, &used) == 3)
		faults->limit = (struct plan_limit){ arena_copy(faults->arena, name, strlen(name)), allowed, used };
}

const char *
problem_detail_of_error(const struct db_error *error, enum problem problem, const struct faults *faults)
{
	const struct plan_limit *limit = &faults->limit;

	if (problem == PROBLEM_PHASE_ORDER)
		return error->message;
	if (problem != PROBLEM_PLAN_LIMIT || limit->name == NULL)
		return NULL;
	return arena_printf(faults->arena, "The plan allows %lld %s; %lld are used, and this would be too much.",
	    limit->allowed, limit->name, limit->used);
}

static void
note_trouble(const struct db_error *error, struct troubles *troubles)
{
	bool disk = strcmp(error->sqlstate, "53100") == 0 || strcmp(error->sqlstate, "58030") == 0;

	trouble_note(troubles, disk ? TROUBLE_DISK : TROUBLE_RESOURCES, "the database refuses with SQLSTATE %s: %s",
	    error->sqlstate, error->message);
}

enum problem
problem_of_error(const struct db_error *error, struct faults *faults, struct troubles *troubles)
{
	enum problem problem =
	    error->constraint[0] != '\0' ? problem_of_constraint(error, faults) : problem_of_state(error);

	if (problem == PROBLEM_PLAN_LIMIT)
		read_limit(error->message, faults);
	if (problem == PROBLEM_UNAVAILABLE)
		note_trouble(error, troubles);
	if (problem == PROBLEM_INTERNAL)
		log_write(LOG_LEVEL_ERROR, "database", "SQLSTATE %s constraint \"%s\": %s", error->sqlstate,
		    error->constraint, error->message);
	return problem;
}
