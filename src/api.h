/* The whole API: the resources' tables put together. */
#ifndef JOBFORGE_API_H
#define JOBFORGE_API_H

#include "db.h"
#include "endpoint.h"

/* Every endpoint, ended by one without a path. In static memory of the caller's choice: `out` has room for API_MAX_ENDPOINTS. */
enum { API_MAX_ENDPOINTS = 64 };
void api_endpoints(struct endpoint out[API_MAX_ENDPOINTS]);

/* The tables of the statements that the endpoints of each pool send, NULL-terminated. */
enum { API_MAX_TABLES = 12 };
extern const struct db_statement *const api_statements[POOL_COUNT][API_MAX_TABLES];

/* What the resources offer to the two above, one file each. */
extern const struct endpoint operation_endpoints[];
extern const struct endpoint auth_endpoints[];
extern const struct endpoint me_endpoints[];
extern const struct endpoint application_endpoints[];
extern const struct endpoint document_endpoints[];
extern const struct endpoint embedding_endpoints[];
extern const struct endpoint resume_endpoints[];
extern const struct endpoint export_endpoints[];
extern const struct endpoint import_endpoints[];
extern const struct endpoint service_endpoints[];
extern const struct endpoint openapi_endpoints[];
extern const struct endpoint metrics_endpoints[];

extern const struct db_statement operation_statements[];
extern const struct db_statement auth_statements[];
extern const struct db_statement me_statements[];
extern const struct db_statement application_statements[];
extern const struct db_statement document_statements[];
extern const struct db_statement embedding_statements[];
extern const struct db_statement resume_statements[];
extern const struct db_statement export_statements[];
extern const struct db_statement import_statements[];
extern const struct db_statement service_statements[];
extern const struct db_statement minute_statements[];

#endif
