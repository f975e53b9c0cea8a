/* One endpoint as an operation of OpenAPI, with the names that its parts have in the document. */
#ifndef JOBFORGE_OPENAPI_OPERATION_H
#define JOBFORGE_OPENAPI_OPERATION_H

#include "base.h"
#include "problem.h"

struct endpoint;
struct writer;

enum { OPENAPI_NAME = 96 };

/* The operation's id: "listApplications". It changes only with the method or the path. */
void openapi_operation_id(char out[OPENAPI_NAME], const struct endpoint *endpoint);

/* The name of the schema of its body, or of a row of its answer, which is that of the first endpoint with the same table. */
void openapi_operation_body_name(char out[OPENAPI_NAME], const struct endpoint *endpoint);
void openapi_operation_answer_name(char out[OPENAPI_NAME], const struct endpoint *endpoints, const struct endpoint *endpoint);

/* What its tag is called, and which tags there are: `about` NULL ends the table. */
struct openapi_tag {
	const char *name;
	const char *mark; /* what is in the paths of its endpoints, and of no tag before it */
	const char *about;
};
extern const struct openapi_tag openapi_tags[];

/* What the web server says by itself, at any path of the API; a kind without a slug ends it. */
extern const struct problem_kind openapi_web_server_problems[];

/* The operation object, as the member that its method is. `endpoints` are all. */
void openapi_operation_write(struct writer *writer, const struct endpoint *endpoints, const struct endpoint *endpoint);

#endif
