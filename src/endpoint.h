/*
 * Endpoints are rows of a table; this is the engine that runs them: arguments -> statements -> answer. The tables stand in
 * api_*.c, one file a resource. Fields left out of a row have the safe value: a signed-in user is needed, the `api` pool
 * runs it, nothing is taken from the client.
 */
#ifndef JOBFORGE_ENDPOINT_H
#define JOBFORGE_ENDPOINT_H

#include "base.h"
#include "db.h"
#include "encode.h"
#include "field.h"
#include "http.h"
#include "problem.h"
#include "token.h"

struct arena;
struct conf;
struct fcgi;
struct json;
struct list;
struct meter;
struct request;
struct response;
struct step;
struct token_cache;
struct troubles;
struct call;

#define API "/api/v1"

enum access { ACCESS_USER = 0, ACCESS_ANYONE };
enum pool { POOL_API = 0, POOL_AUTH, POOL_BULK, POOL_COUNT };
extern const char *const endpoint_pool_names[POOL_COUNT];

enum answer {
	ANSWER_ROW = 0, /* 200 and the row; no row is 404, or 412 when If-Match was sent and it exists */
	ANSWER_CREATED, /* 201, Location, the row; an array in, {"data":[...]} out where there is a bulk statement */
	ANSWER_PUT,     /* 200 and the row, 201 when its _created is true; no row is 412, or 404 when there was none to lock */
	ANSWER_LIST,    /* 200 and a page of rows */
	ANSWER_EMPTY    /* 204; no row is 404, or 412 */
};

enum { ENDPOINT_MAX_PATH = 2, ENDPOINT_BULK_MAX = 500, ENDPOINT_MAX_PROBLEMS = 4 };

/*
 * Another form of a row than JSON. The entity tag of each form is the row's with a '.' and the form's own, and If-Match takes
 * any of them.
 */
struct representation {
	const char *media; /* "text/markdown"; NULL ends a table */
	const char *tag;   /* "md" */
	/* Writes the first row to the response's body. False: what it wrote is a makeshift, which nobody is to keep. */
	bool (*write)(struct call *call, const struct db_result *result);
};

/*
 * Parameters of a row's statements, in this order: the {ids} of the path; for a list its filters and then what list.h says;
 * for POST and PUT one for each body field; for PATCH two for each body field, whether it was sent and its value; last, for
 * PATCH, PUT and DELETE, the versions that may be changed, as text[]: NULL for any and none, for a PUT also '{*}' for any that
 * is there (If-Match: *) and '{}' for none (If-None-Match: *), else the strong tags of If-Match.
 * `lock` and `exists` get the first few of these, which are the {ids}.
 * A column named _etag becomes the ETag header; other columns with a leading '_' are for the engine.
 */
struct endpoint {
	enum http_method method;
	const char *path; /* "/api/v1/applications/{id}" */
	enum access access;
	enum pool pool;
	enum answer answer;
	const struct field *path_fields; /* what the {ids} are; NULL: UUIDs */
	const struct field *query;
	const struct field *body;
	const struct field *answers; /* what a row of the answer holds: for the description of the API */
	const struct representation *representations; /* besides JSON, the default */
	bool markdown;                      /* the body may be text/markdown instead, and is then its first field */
	const struct db_statement *lock;    /* runs first: locks what the change stands on; no row is 404 */
	const struct db_statement *statement;
	const struct db_statement *bulk;    /* each parameter an array, a row an element */
	const struct db_statement *sheet;   /* the same for a body of text/csv, with a shorter answer */
	const struct db_statement *exists;  /* locks the row that If-Match is about: tells 412 from 404; no row of it is 404 for a list */
	const struct db_statement *include; /* instead of `statement` when the query's `include` is sent */
	const struct list *list;
	int (*handler)(struct call *call); /* runs instead of the above after the arguments are checked; returns the status, on
					    * success that of `answer` */
	/* The rest is for the description of the API alone. */
	const char *about;                            /* a sentence */
	const char *entity;                           /* what a row of `answers` is called; NULL: what the path says */
	const struct field *streamed;                 /* instead of `body`: what the handler reads by itself */
	const char *media;                            /* of a handler: its answer's type; NULL: JSON */
	bool tagged;                                  /* of a handler: its answer has an ETag, or it heeds If-Match */
	enum problem problems[ENDPOINT_MAX_PROBLEMS]; /* refusals that do not follow from all this */
};

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
	struct db_ticket *ticket; /* what endpoint_read() may wait by; NULL: it has its answer when it returns */
	const struct step *steps; /* of endpoint_read() */
	int step_count;
	int (*go_on)(struct call *call, const struct db_reply *reply);
	void *state;              /* of whoever goes on */
	bool waiting;             /* the rest is for endpoint_resume() to do */
};

/* Whether its requests may wait for a worker as long as they like: exports and imports, which take their time, and what tells how
 * the service is. */
bool endpoint_is_patient(const struct endpoint *endpoint);

/* Checks the arguments, runs the row, fills the response; returns the status. When the call is then `waiting`, it does so in
 * endpoint_resume(), after the ticket is done. */
int endpoint_run(struct call *call);
int endpoint_resume(struct call *call);

/* ---- for handlers ---- */

struct step {
	const struct db_statement *statement;
	const struct db_param *params;
};

/* Runs the steps in one transaction of the call's user, again when the server asks for it (and reads when the connection
 * was lost). */
struct db_reply endpoint_transact(struct call *call, enum db_mode mode, const struct step steps[], int count) MUST_CHECK;

/*
 * Runs steps that only read and have `go_on` make the answer of their results, of any outcome: before it returns, or, when the
 * call has a ticket, once they have come. Steps, their parameters and call->state must be in the arena.
 */
int endpoint_read(struct call *call, const struct step *steps, int count,
    int (*go_on)(struct call *call, const struct db_reply *reply));

/* Answers with the problem that an outcome other than DB_OK is; returns the status. */
int endpoint_refuse(struct call *call, const struct db_reply *reply);

/* response_problem() for this call, with the faults noted so far. */
int endpoint_problem(struct call *call, enum problem problem, const char *detail);

/* The strong tags of If-Match as an array literal in *array, NULL when it was not sent or takes any version. 0, or the response
 * is made and its status returned. */
int endpoint_if_match(struct call *call, const char **array);

/* 429 with Retry-After, for a login_begin() that allows no attempt for `seconds` (a number as text). */
int endpoint_too_many(struct call *call, struct slice seconds);

/* Binds the {ids} and the body's fields as struct endpoint says; returns how many parameters that were. */
int endpoint_bind(const struct call *call, struct db_param params[]);

/* The call's user for db_begin(): NULL for anyone. */
const char *endpoint_user(const struct call *call);

/* Sends the row's _etag, if it has one, as the ETag header. */
void endpoint_set_etag(struct call *call, const struct db_result *result);

/* Answers 200 (or 304) with the row and its ETag. */
int endpoint_answer_row(struct call *call, const struct db_result *result);

#endif
