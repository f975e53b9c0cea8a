/* From method and path to the row of the table that serves them. */
#ifndef JOBFORGE_ROUTE_H
#define JOBFORGE_ROUTE_H

#include "base.h"

struct call;

/*
 * Finds the endpoint for the call's request among the service's and fills call->endpoint and call->path. HEAD finds GET's.
 * 0 when found. Otherwise the response is made and its status returned: 404, 405 with Allow, or 204 with Allow for OPTIONS.
 */
int route_find(struct call *call);

/* Prints one line an endpoint, "METHOD PATH ACCESS POOL", to standard output: for the tests that are made from it. */
struct endpoint;
void route_print(const struct endpoint *endpoints);

#endif
