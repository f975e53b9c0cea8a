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

const struct db_statement *const api_statements[] = {
	create_statements,
	sheet_statements,
	operation_statements,
	auth_statements,
	me_statements,
	application_statements,
	document_statements,
	embedding_statements,
	resume_statements,
	export_statements,
	import_statements,
	service_statements,
	minute_statements,
	NULL,
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
