/* What the client sent, checked against the endpoint's tables: the ids of the path, the query, the body. */
#ifndef JOBFORGE_ARGUMENTS_H
#define JOBFORGE_ARGUMENTS_H

#include "base.h"

struct call;

/* Fills ids, pairs, query, body and values of the call. 0, or the response is made and its status returned: 404 for a path id
 * that cannot be one, 400 for the query, 413, 415, 400 or 422 for the body. */
int arguments_check(struct call *call);

#endif
