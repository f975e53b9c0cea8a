/* From method and path to the row of the table that serves them. */
#ifndef JOBFORGE_ROUTE_H
#define JOBFORGE_ROUTE_H

#include "base.h"
#include "http.h"

struct call;

/*
 * Finds the endpoint for the call's request among the service's and fills call->endpoint and call->path. HEAD finds GET's.
 * 0 when found. Otherwise the response is made and its status returned: 404, 405 with Allow, or 204 with Allow for OPTIONS.
 */
int route_find(struct call *call);

/* Under which a request is counted: the number of its endpoint, or after those a number a method for what matches none. */
size_t route_number(const struct call *call);

struct route_row {
	const char *path; /* the endpoint's template, or "unmatched" */
	enum http_method method;
	const struct endpoint *endpoint; /* or NULL */
};

/* What a number stands for; false when it is above them all. */
struct endpoint;
bool route_row(const struct endpoint *endpoints, size_t number, struct route_row *row);

/* Prints one line an endpoint, "METHOD PATH ACCESS POOL", to standard output: for the tests that are made from it. */
void route_print(const struct endpoint *endpoints);

#endif
