/*
 * Every error that the product answers with: problem details (RFC 9457), one row each, and the one table from SQLSTATE and
 * constraint to them. No SQL, no row data, no version is ever in one.
 */
#ifndef JOBFORGE_PROBLEM_H
#define JOBFORGE_PROBLEM_H

#include "base.h"

struct arena;
struct db_error;
struct troubles;

enum problem {
	PROBLEM_BAD_REQUEST,
	PROBLEM_BAD_JSON,
	PROBLEM_BAD_CSV,
	PROBLEM_BAD_QUERY,
	PROBLEM_BAD_CURSOR,
	PROBLEM_UNAUTHORIZED,
	PROBLEM_BAD_CREDENTIALS,
	PROBLEM_BAD_REFRESH_TOKEN,
	PROBLEM_WRONG_PASSWORD,
	PROBLEM_ACCOUNT_DISABLED,
	PROBLEM_PLAN_LIMIT,
	PROBLEM_NOT_FOUND,
	PROBLEM_METHOD_NOT_ALLOWED,
	PROBLEM_NOT_ACCEPTABLE,
	PROBLEM_EMAIL_TAKEN,
	PROBLEM_PHASE_ORDER,
	PROBLEM_NOT_EMPTY,
	PROBLEM_IDEMPOTENCY_BUSY,
	PROBLEM_IDEMPOTENCY_MISMATCH,
	PROBLEM_PRECONDITION_FAILED,
	PROBLEM_TOO_LARGE,
	PROBLEM_UNSUPPORTED_MEDIA_TYPE,
	PROBLEM_MISDIRECTED,
	PROBLEM_VALIDATION,
	PROBLEM_TOO_MANY_ATTEMPTS,
	PROBLEM_INTERNAL,
	PROBLEM_UNAVAILABLE,
	PROBLEM_OVERLOADED,
	PROBLEM_COUNT
};

struct problem_kind {
	int status;
	const char *slug; /* `type` is /problems/<slug> */
	const char *title;
	const char *detail; /* what is said when there is nothing more precise to say */
};

const struct problem_kind *problem_kind(enum problem problem);

/* What a plan does not allow. */
struct plan_limit {
	const char *name; /* "applications"; NULL: none */
	long long allowed;
	long long used; /* before the request */
};

/* The faults of one request, gathered so that all are told at once. */
struct faults {
	struct arena *arena;
	struct plan_limit limit;
	int count;
	struct fault *first;
	struct fault **end;
};

struct fault {
	const char *pointer; /* JSON pointer (RFC 6901) into the body */
	const char *detail;
	struct fault *next;
};

enum { FAULTS_MAX = 100 };

void faults_init(struct faults *faults, struct arena *arena);

/* Notes a fault at `pointer` (kept as given; a string that lives as long as the arena); those over FAULTS_MAX are dropped. */
void faults_add(struct faults *faults, const char *pointer, const char *detail_format, ...) PRINTF_LIKE(3, 4);

/* The problem that a refusal of the database is. Constraints that a body can violate add to `faults` and give
 * PROBLEM_VALIDATION; PROBLEM_PLAN_LIMIT sets its limit. PROBLEM_INTERNAL for what should never happen, which is logged here, and
 * PROBLEM_UNAVAILABLE for what the database has none left of, which `troubles` tells of. */
enum problem problem_of_error(const struct db_error *error, struct faults *faults, struct troubles *troubles);

/* What to say of that problem to the client, where the database knows more than the kind; NULL: nothing. */
const char *problem_detail_of_error(const struct db_error *error, enum problem problem, const struct faults *faults);

#endif
