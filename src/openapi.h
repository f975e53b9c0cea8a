/* The API described by itself: OpenAPI 3.1.0, made from the table of endpoints alone, so that it cannot drift. */
#ifndef JOBFORGE_OPENAPI_H
#define JOBFORGE_OPENAPI_H

struct buffer;
struct endpoint;

/* Appends the document about these endpoints, ended by one without a path. The same endpoints give the same bytes. */
void openapi_write(struct buffer *out, const struct endpoint *endpoints);

#endif
