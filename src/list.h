/*
 * Lists: filters, order, keyset and offset paging, count. A list is a table of orders, each with its statements; the engine
 * chooses one by what the client sent.
 */
#ifndef JOBFORGE_LIST_H
#define JOBFORGE_LIST_H

#include "base.h"
#include "field.h"

struct call;
struct db_statement;

/*
 * One order. Each statement returns the rows after the given place, at most the given number, in this order with the id as
 * the tie-break. Parameters: the filters (only in the filtered ones), then
 *     first:  limit, offset
 *     after:  the last row's key, its id, limit
 */
struct list_order {
	const char *name; /* as the client writes it: "-created_at"; NULL ends the table */
	const char *key;  /* the column whose value goes into the cursor */
	const struct db_statement *first;
	const struct db_statement *after;
	const struct db_statement *first_filtered;
	const struct db_statement *after_filtered;
};

struct list {
	const char *name;                 /* binds a cursor to its list */
	const struct list_order *orders;  /* the first is the default */
	const struct db_statement *count; /* returns one row with one column */
	const struct db_statement *count_filtered;
};

enum { LIST_LIMIT_DEFAULT = 20, LIST_LIMIT_MAX = 100 };

/* The query parameters that every list takes besides its filters; NULL-terminated. */
extern const struct field list_fields[];

/* Answers the call of an ANSWER_LIST row; returns the status. */
int list_run(struct call *call);

#endif
