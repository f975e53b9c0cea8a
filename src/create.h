/* Creation: one row, or an array of them all or none; and under an Idempotency-Key, so that a repetition gives the first answer. */
#ifndef JOBFORGE_CREATE_H
#define JOBFORGE_CREATE_H

#include "base.h"
#include "db.h"

struct call;

extern const struct db_statement create_statements[];

/* Whether the body is several rows: an array where the endpoint takes one, or a sheet. */
bool create_is_bulk(const struct call *call);

/* Answers the call of an ANSWER_CREATED row; returns the status. */
int create_run(struct call *call);

#endif
