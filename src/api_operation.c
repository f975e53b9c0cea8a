/* Operation: /healthz, /readyz. */
#include "api.h"
#include "buffer.h"
#include "call.h"
#include "response.h"
#include "schema.h"

enum { PING };

const struct db_statement operation_statements[] = {
	[PING] = { "operation_ping", "SELECT coalesce(max(version), 0) AS version FROM jobforge.schema_migrations", 0 },
	{ 0 },
};

static const char *const ok[] = { "ok", NULL };
static const char *const ready[] = { "ready", NULL };

static const struct field health[] = {
	{ .name = "status", .type = FIELD_ENUM, .choices = ok, .about = "Always ok." },
	{ 0 },
};

static const struct field readiness[] = {
	{ .name = "status", .type = FIELD_ENUM, .choices = ready, .about = "Always ready." },
	{ 0 },
};

static int
answer_health(struct call *call)
{
	BUFFER_LITERAL(&call->response->body, "{\"status\":\"ok\"}");
	return call->response->status = 200;
}

static int
answer_ready(struct call *call)
{
	const struct service *service = call->service;
	struct db_reply reply =
	    call_transact(call, DB_READ_ONLY, &(struct step){ &operation_statements[PING], NULL }, 1);

	if (reply.outcome != DB_OK)
		return call_problem(call, PROBLEM_UNAVAILABLE,
		    db_schema_differs(service->db) ? "The database's schema is not the one this program was built for."
						   : "The database does not answer.");
	if (slice_is(db_value(reply.results[0], 0, 0), SCHEMA_VERSION_TEXT)) {
		BUFFER_LITERAL(&call->response->body, "{\"status\":\"ready\"}");
		return call->response->status = 200;
	}
	return call_problem(call, PROBLEM_UNAVAILABLE,
	    "The database's schema is not the one this program was built for.");
}

const struct endpoint operation_endpoints[] = {
	{ .method = HTTP_GET, .path = "/healthz", .access = ACCESS_ANYONE, .answers = health,
	    .handler = answer_health, .entity = "Health", .about = "200 while the workers answer." },
	{ .method = HTTP_GET, .path = "/readyz", .access = ACCESS_ANYONE, .answers = readiness,
	    .handler = answer_ready, .entity = "Readiness", .about = "200 when the database answers and its schema is the one built for, else 503 saying which." },
	{ 0 },
};
