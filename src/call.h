/*
 * A request on its way, and what every step of the way does with it: transactions of its user, parameters, problems, answers of one
 * row. Nothing here knows the engine (endpoint.h) or what endpoints there are.
 */
#ifndef JOBFORGE_CALL_H
#define JOBFORGE_CALL_H

#include "base.h"
#include "db.h"
#include "encode.h"
#include "endpoint.h"
#include "field.h"
#include "problem.h"
#include "token.h"

struct arena;
struct conf;
struct fcgi;
struct json;
struct meter;
struct request;
struct response;
struct step;
struct token_cache;
struct troubles;

/* What a worker has for all its requests. */
struct service {
	const struct conf *conf;
	struct token_keys *keys;
	struct token_cache *tokens; /* verified with these keys */
	struct token_policy token_policy;
	struct db *db;
	const struct meter *meter;
	struct troubles *troubles; /* NULL: nothing is told */
	enum pool pool;
	const struct endpoint *endpoints; /* all rows; one without a path ends it */
};

/* One request on its way. */
struct call {
	const struct service *service;
	struct arena *arena;
	const struct request *request;
	struct response *response;
	struct fcgi *conn; /* what response_advance() sends to */
	const struct endpoint *endpoint;
	struct slice path[ENDPOINT_MAX_PATH]; /* what stood for the {ids}, decoded */
	char user_id[UUID_TEXT + 1];          /* "" for anyone */
	int64_t authenticated_us;             /* how long the check of the token took */
	const char *ids[ENDPOINT_MAX_PATH];   /* the {ids}, checked */
	struct json *body;                    /* parsed; NULL when it is none, or not JSON */
	bool is_sheet;                        /* the body is text/csv: several rows */
	struct value values[FIELDS_MAX];      /* of the body's fields */
	struct value query[FIELDS_MAX];       /* of the query's fields; repeatable ones as arrays */
	struct http_pair *pairs;              /* the query, decoded */
	int pair_count;
	struct faults faults;
	struct db_ticket *ticket; /* what call_read() may wait by; NULL: it has its answer when it returns */
	const struct step *steps; /* of call_read() */
	int step_count;
	int (*go_on)(struct call *call, const struct db_reply *reply);
	void *state;              /* of whoever goes on */
	bool waiting;             /* the rest is for call_resume() to do */
};

/* A statement of a transaction. */
struct step {
	const struct db_statement *statement;
	const struct db_param *params;
};

/* Runs the steps in one transaction of the call's user, again when the server asks for it (and reads when the connection
 * was lost). */
struct db_reply call_transact(struct call *call, enum db_mode mode, const struct step steps[], int count) MUST_CHECK;

/*
 * Runs steps that only read and have `go_on` make the answer of their results, of any outcome: before it returns, or, when the
 * call has a ticket, once they have come. Steps, their parameters and call->state must be in the arena.
 */
int call_read(struct call *call, const struct step *steps, int count,
    int (*go_on)(struct call *call, const struct db_reply *reply));

/* What call_read() left to do, after the ticket is done; returns the status. */
int call_resume(struct call *call);

/* Answers with the problem that an outcome other than DB_OK is; returns the status. */
int call_refuse(struct call *call, const struct db_reply *reply);

/* response_problem() for this call, with the faults noted so far. */
int call_problem(struct call *call, enum problem problem, const char *detail);

/* The strong tags of If-Match as an array literal in *array, NULL when it was not sent or takes any version. 0, or the response
 * is made and its status returned. */
int call_if_match(struct call *call, const char **array);

/* 429 with Retry-After, for a login_begin() that allows no attempt for `seconds` (a number as text). */
int call_too_many(struct call *call, struct slice seconds);

/* Binds the {ids} and the body's fields as struct endpoint says; returns how many parameters that were. */
int call_bind(const struct call *call, struct db_param params[]);

/* The call's user for db_begin(): NULL for anyone. */
const char *call_user(const struct call *call);

/* Sends the row's _etag, if it has one, as the ETag header. */
void call_set_etag(struct call *call, const struct db_result *result);

/* Answers 200 (or 304) with the row and its ETag. */
int call_answer_row(struct call *call, const struct db_result *result);

/* The same in one of the endpoint's other forms; NULL: JSON. */
int call_answer_row_as(struct call *call, const struct db_result *result, const struct representation *form);

#endif
