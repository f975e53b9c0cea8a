/* One endpoint as an operation of OpenAPI. */
#ifndef JOBFORGE_OPENAPI_OPERATION_H
#define JOBFORGE_OPENAPI_OPERATION_H

struct endpoint;
struct writer;

/* The operation object, as the member that its method is. `endpoints` are all. */
void openapi_operation_write(struct writer *writer, const struct endpoint *endpoints, const struct endpoint *endpoint);

#endif
