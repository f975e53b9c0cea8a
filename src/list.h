/*
 * Lists: filters, order, keyset and offset paging, count. A list is a table of orders, each with its statements; the engine
 * chooses one by what the client sent.
 */
#ifndef JOBFORGE_LIST_H
#define JOBFORGE_LIST_H

#include "base.h"
#include "db.h"
#include "field.h"

struct call;

/* The two statements of an order: the rows from an offset on, and those after a place. */
struct list_statements {
	const struct db_statement *first;
	const struct db_statement *after;
};

/*
 * One order. Each statement returns the rows after the given place, at most the given number, in this order with the id as
 * the tie-break. Parameters: the {ids} of the path, the filters (not in the plain ones), then
 *     first:  limit, offset
 *     after:  the last row's key, its id, limit
 * The searched ones run when the list's `search` filter was sent, the filtered ones when only others were. An order without
 * plain statements is one of search results.
 */
struct list_order {
	const char *name; /* as the client writes it: "-created_at"; NULL ends the table */
	const char *key;  /* the column whose value goes into the cursor */
	struct list_statements plain;
	struct list_statements filtered;
	struct list_statements searched;
};

struct list {
	const char *name;                 /* binds a cursor to its list */
	const struct list_order *orders;  /* the first is the default */
	const char *search;               /* the filter that is a search: "q"; NULL: none */
	const char *search_order;         /* the default order of a search; NULL: the first */
	const struct db_statement *count; /* returns one row with one column */
	const struct db_statement *count_filtered;
	const struct db_statement *sheet; /* all rows as CSV: the filters, then the last row's created_at and id; NULL: none */
};

enum { LIST_LIMIT_DEFAULT = 20, LIST_LIMIT_MAX = 100 };

/* The query parameters that every list takes besides its filters; NULL-terminated. */
extern const struct field list_fields[];

/* Binds the {ids} and, with `filters`, the filters of the call's list; returns how many parameters that were. */
int list_bind(const struct call *call, bool filters, struct db_param params[]);

/* Answers the call of an ANSWER_LIST row with a page; returns the status. */
int list_run(struct call *call);

#endif
