#include "api.h"

#include <assert.h>

#include "create.h"
#include "sheet.h"

static const struct endpoint *const resources[] = {
	application_endpoints, /* the most used first */
	document_endpoints,
	embedding_endpoints,
	resume_endpoints,
	me_endpoints,
	export_endpoints,
	import_endpoints,
	service_endpoints,
	auth_endpoints,
	operation_endpoints,
	openapi_endpoints,
	metrics_endpoints,
};

/* Preparing is what most of a worker's start goes into, so each pool prepares its own. */
const struct db_statement *const api_statements[POOL_COUNT][API_MAX_TABLES] = {
	[POOL_API] = {
		create_statements,
		sheet_statements,
		operation_statements,
		me_statements,
		application_statements,
		document_statements,
		embedding_statements,
		resume_statements,
		service_statements,
		minute_statements,
	},
	[POOL_AUTH] = { auth_statements, me_statements, minute_statements },
	[POOL_BULK] = { export_statements, import_statements, minute_statements },
};

void
api_endpoints(struct endpoint out[API_MAX_ENDPOINTS])
{
	size_t count = 0;

	for (size_t i = 0; i < COUNT_OF(resources); i++)
		for (const struct endpoint *endpoint = resources[i]; endpoint->path != NULL; endpoint++) {
			assert(count < API_MAX_ENDPOINTS - 1);
			out[count++] = *endpoint;
		}
	out[count] = (struct endpoint){ 0 };
}
