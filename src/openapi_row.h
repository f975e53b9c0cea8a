/* What follows from one row of the endpoint table for its description, and what its parts are called there. */
#ifndef JOBFORGE_OPENAPI_ROW_H
#define JOBFORGE_OPENAPI_ROW_H

#include "base.h"

struct endpoint;
struct field;
struct writer;

enum { OPENAPI_NAME = 96 };

/* The fields of its body, which the engine or the handler reads; NULL: it has none. */
const struct field *openapi_row_body(const struct endpoint *endpoint);

/* Whether it creates by the engine, under an Idempotency-Key. */
bool openapi_row_creates(const struct endpoint *endpoint);

/* Whether its answer has an ETag: the statement says so by a column of that name. */
bool openapi_row_has_etag(const struct endpoint *endpoint);

bool openapi_row_heeds_if_match(const struct endpoint *endpoint);
bool openapi_row_heeds_if_none_match(const struct endpoint *endpoint);

/* Operations of one resource have one tag. The first is for paths that have the mark of no other. */
struct openapi_tag {
	const char *name;
	const char *mark;  /* what is in the paths, and of no tag below it */
	const char *about; /* NULL: another mark of the tag above */
};
extern const struct openapi_tag openapi_tags[]; /* ended by one without a name */

const struct openapi_tag *openapi_row_tag(const struct endpoint *endpoint);

/* The operation's id: "listApplications". It changes only with the method or the path. */
void openapi_row_id(char out[OPENAPI_NAME], const struct endpoint *endpoint);

/* The name of the schema of its body, and of a row of its answer: that of the first endpoint with the same table. */
void openapi_row_body_name(char out[OPENAPI_NAME], const struct endpoint *endpoint);
void openapi_row_answer_name(char out[OPENAPI_NAME], const struct endpoint *endpoints, const struct endpoint *endpoint);

/* A reference to a component of a kind ("schemas"). */
void openapi_write_reference(struct writer *writer, const char *name, const char *kind, const char *what);

/* The schema of an array of what a schema of the components says; of 1 to `max` such, where there is a maximum. */
void openapi_write_array(struct writer *writer, const char *name, const char *schema, int max);

/* A body or an answer that is a text of another kind than JSON. */
void openapi_write_text(struct writer *writer, const char *media, const char *about);

#endif
