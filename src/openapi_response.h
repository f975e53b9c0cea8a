/* The answers of an operation: those of success by its kind, and every refusal that follows from its row. */
#ifndef JOBFORGE_OPENAPI_RESPONSE_H
#define JOBFORGE_OPENAPI_RESPONSE_H

#include "problem.h"

struct endpoint;
struct writer;

/* What the web server says by itself, at any path of the API; a kind without a slug ends it. */
extern const struct problem_kind openapi_web_server_problems[];

/* The member "responses". `endpoints` are all. */
void openapi_response_write(struct writer *writer, const struct endpoint *endpoints, const struct endpoint *endpoint);

#endif
