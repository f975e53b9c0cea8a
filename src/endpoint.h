/*
 * Endpoints are rows of a table; this is the engine that runs them: arguments -> statements -> answer. The tables stand in
 * api_*.c, one file a resource. Fields left out of a row have the safe value: a signed-in user is needed, the `api` pool
 * runs it, nothing is taken from the client.
 */
#ifndef JOBFORGE_ENDPOINT_H
#define JOBFORGE_ENDPOINT_H

#include "base.h"
#include "db.h"
#include "field.h"
#include "http.h"
#include "problem.h"

struct call;
struct list;

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

/* Whether its requests may wait for a worker as long as they like: exports and imports, which take their time, and what tells how
 * the service is. */
bool endpoint_is_patient(const struct endpoint *endpoint);

/* Checks the arguments, runs the row, fills the response; returns the status. When the call is then `waiting`, call_resume() does so,
 * after the ticket is done. */
int endpoint_run(struct call *call);

#endif
