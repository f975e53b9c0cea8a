/* From the bearer token of a request to its user. */
#ifndef JOBFORGE_AUTH_H
#define JOBFORGE_AUTH_H

#include "base.h"

struct call;

/* Fills call->user_id for an endpoint that needs a user, from Authorization (RFC 6750 section 2.1). 0, or the response is made
 * and its status, 401, returned. */
int auth_check(struct call *call);

#endif
