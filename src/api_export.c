/* The whole account as one document: GET /api/v1/me/export. What it writes, api_import.c reads, but for usage and audit log,
 * which belong to the account that was. */
#include "api.h"
#include "api_shared.h"
#include "arena.h"
#include "buffer.h"
#include "call.h"
#include "request.h"
#include "response.h"
#include "row.h"

/*
 * The parts come in batches, by keyset, all of one snapshot, so that a worker holds one batch at a time, whatever the account
 * holds. Rows refer to rows of the parts before theirs. The order does not depend on ids, save where times are equal, and
 * an import makes no equal ones.
 *
 * What belongs to applications comes by applications, a few a batch; one without any is a row of NULLs. Each is looked up by
 * its key: on tables without statistics the planner would rather make a bitmap of all the user's rows for every one.
 */
enum { USER, RESUMES, APPLICATIONS, DOCUMENTS, EMBEDDINGS, MONTHS, CHANGES_MADE };

#define OF_APPLICATIONS(count, columns, rows)                                                                     \
	"SELECT " columns ", a.created_at AS _created_at, a.id AS _id"                                                 \
	" FROM (SELECT a.created_at, a.id FROM public.applications a WHERE (a.created_at, a.id) > ($1::timestamptz, $2::uuid)" \
	" ORDER BY a.created_at, a.id LIMIT " count ") a LEFT JOIN LATERAL (" rows " WHERE d.application_id = a.id) r ON true" \
	" ORDER BY a.created_at, a.id, r.document_type"

const struct db_statement export_statements[] = {
	[USER] = { "export_user",
	    "SELECT u.id, u.email, u.full_name, u.created_at, u.updated_at, now() AS _exported_at,"
	    " pg_catalog.set_config('enable_bitmapscan', 'off', true) AS _planned FROM public.users u",
	    0 },
	[RESUMES] = { "export_resumes",
	    "SELECT r.id, r.name, r.content, r.focus_area, r.is_primary, r.created_at, r.updated_at,"
	    " r.created_at AS _created_at, r.id AS _id FROM public.user_resumes r"
	    " WHERE (r.created_at, r.id) > ($1::timestamptz, $2::uuid) ORDER BY r.created_at, r.id LIMIT 8",
	    2 },
	[APPLICATIONS] = { "export_applications",
	    "SELECT a.id, a.name, a.company_name, a.role_title, a.job_url, a.job_description, a.location, a.priority_level,"
	    " a.status, a.research_completed, a.resume_optimized, a.cover_letter_generated, a.created_at, a.updated_at,"
	    " a.created_at AS _created_at, a.id AS _id FROM public.applications a"
	    " WHERE (a.created_at, a.id) > ($1::timestamptz, $2::uuid) ORDER BY a.created_at, a.id LIMIT 64",
	    2 },
	[DOCUMENTS] = { "export_documents",
	    OF_APPLICATIONS("8", "r.id, r.application_id, r.document_type, r.content, r.created_at, r.updated_at",
		"SELECT d.* FROM public.documents d"),
	    2 },
	[EMBEDDINGS] = { "export_embeddings",
	    OF_APPLICATIONS("32", "r.document_id, r.embedding::text::json AS embedding, r.created_at",
		"SELECT d.document_type, e.* FROM public.documents d JOIN public.document_embeddings e ON e.document_id = d.id"),
	    2 },
	[MONTHS] = { "export_usage",
	    "SELECT u.*, u.period::timestamptz AS _created_at, u.id AS _id FROM (" USAGE ") u"
	    " WHERE (u.period::timestamptz, u.id) > ($1::timestamptz, $2::uuid) ORDER BY u.period, u.id LIMIT 64",
	    2 },
	[CHANGES_MADE] = { "export_audit_log",
	    "SELECT l.*, l.created_at AS _created_at, l.id AS _id FROM (" AUDIT_LOG ") l"
	    " WHERE (l.created_at, l.id) > ($1::timestamptz, $2::uuid) ORDER BY l.created_at, l.id LIMIT 256",
	    2 },
	{ 0 },
};

static const struct {
	const char *name;
	const struct db_statement *statement;
} parts[] = {
	{ "resumes", &export_statements[RESUMES] },
	{ "applications", &export_statements[APPLICATIONS] },
	{ "documents", &export_statements[DOCUMENTS] },
	{ "embeddings", &export_statements[EMBEDDINGS] },
	{ "usage", &export_statements[MONTHS] },
	{ "audit_log", &export_statements[CHANGES_MADE] },
};

/* Where the next batch of a part begins: after the row with these. */
struct place {
	char created_at[64];
	char id[UUID_TEXT + 1];
};

static const struct place before_all = { "-infinity", "00000000-0000-0000-0000-000000000000" };

static void
remember(char *out, size_t size, struct slice value)
{
	if (value.data != NULL && value.len < size)
		memcpy(out, value.data, value.len + 1);
}

static void
move_place(struct place *place, const struct db_result *rows)
{
	int last = db_rows(rows) - 1;

	remember(place->created_at, sizeof(place->created_at), db_get(rows, last, "_created_at"));
	remember(place->id, sizeof(place->id), db_get(rows, last, "_id"));
}

/* Nothing of the answer may have gone when it becomes a problem; later it can only break off. */
static int
give_up(struct call *call, const struct db_reply *reply)
{
	if (!call->response->started)
		return call_refuse(call, reply);
	call->response->broken = true;
	return call->response->status;
}

/* Writes one part, batch by batch. 0, or the status of an answer that is over. */
static int
write_part(struct call *call, struct arena *batch, const char *name, const struct db_statement *statement)
{
	struct buffer *out = &call->response->body;
	struct place place = before_all;
	bool first = true;

	buffer_printf(out, ",\"%s\":[", name);
	for (;;) {
		const struct db_param params[] = { DB_TEXT(place.created_at), DB_TEXT(place.id) };
		db_send(call->service->db, statement, params);
		struct db_reply reply = db_flush(call->service->db, batch);
		if (reply.outcome != DB_OK)
			return give_up(call, &reply);
		const struct db_result *rows = reply.results[0];
		if (db_rows(rows) == 0)
			break;
		for (int row = 0; row < db_rows(rows); row++) {
			if (db_value(rows, row, 0).data == NULL)
				continue;
			if (!first)
				buffer_putc(out, ',');
			first = false;
			row_write(out, rows, row);
			if (response_advance(call->response, call->request, call->conn) != 0)
				return call->response->status;
		}
		move_place(&place, rows);
		arena_reset(batch);
	}
	buffer_putc(out, ']');
	arena_reset(batch);
	return 0;
}

/* Begins the snapshot and reads the user in it; tries again on a connection that turns out to be dead. */
static struct db_reply
begin(struct call *call)
{
	struct db *db = call->service->db;
	struct db_reply reply = { .outcome = DB_LOST };

	for (int attempt = 0; attempt < 2 && reply.outcome == DB_LOST && !reply.late && db_ready(db) == 0; attempt++) {
		db_begin(db, DB_SNAPSHOT, call_user(call), call->request->id);
		db_send(db, &export_statements[USER], NULL);
		reply = db_flush(db, call->arena);
	}
	return reply;
}

static void
write_head(struct call *call, const struct db_result *user)
{
	struct buffer *out = &call->response->body;

	BUFFER_LITERAL(out, "{\"format\":\"jobforge-export\",\"version\":1,\"exported_at\":");
	row_write_time(out, db_get(user, 0, "_exported_at"));
	BUFFER_LITERAL(out, ",\"user\":");
	row_write(out, user, 0);
}

static int
write_account(struct call *call, struct arena *batch)
{
	int status = 0;

	for (size_t i = 0; status == 0 && i < COUNT_OF(parts); i++)
		status = write_part(call, batch, parts[i].name, parts[i].statement);
	if (status != 0)
		return status;
	struct db_reply reply = db_commit(call->service->db, batch);
	if (reply.outcome != DB_OK)
		return give_up(call, &reply);
	BUFFER_LITERAL(&call->response->body, "}\n");
	return call->response->status = 200;
}

static int
handle_export(struct call *call)
{
	struct db_reply reply = begin(call);

	if (reply.outcome != DB_OK)
		return call_refuse(call, &reply);
	if (db_rows(reply.results[0]) == 0) {
		db_abandon(call->service->db, call->arena);
		return call_problem(call, PROBLEM_UNAUTHORIZED, NULL);
	}
	call->response->unsized = true;
	response_header(call->response, "Content-Disposition", "attachment; filename=\"jobforge-export.json\"");
	struct arena *batch = arena_new();
	if (call->request->method != HTTP_HEAD) {
		write_head(call, reply.results[0]);
		write_account(call, batch);
	}
	db_abandon(call->service->db, batch);
	arena_free(batch);
	return call->response->status;
}

/* ---- what the document holds ---- */

static const char *const formats[] = { "jobforge-export", NULL };

static const struct field user_fields[] = {
	{ .name = "id", .type = FIELD_UUID },
	{ .name = "email", .type = FIELD_EMAIL },
	{ .name = "full_name", .type = FIELD_TEXT, .example = "Ada Lovelace" },
	{ .name = "created_at", .type = FIELD_TIME },
	{ .name = "updated_at", .type = FIELD_TIME },
	{ 0 },
};

static const struct field resume_fields[] = {
	{ .name = "id", .type = FIELD_UUID },
	{ .name = "name", .type = FIELD_TEXT, .example = "For startups" },
	{ .name = "content", .type = FIELD_TEXT, .min = 100 },
	{ .name = "focus_area", .type = FIELD_ENUM, .choices = focus_areas },
	{ .name = "is_primary", .type = FIELD_BOOL },
	{ .name = "created_at", .type = FIELD_TIME },
	{ .name = "updated_at", .type = FIELD_TIME },
	{ 0 },
};

static const struct field application_fields[] = {
	{ .name = "id", .type = FIELD_UUID },
	{ .name = "name", .type = FIELD_TEXT, .example = "acme_engineer_2026_01_31" },
	{ .name = "company_name", .type = FIELD_TEXT, .example = "Acme" },
	{ .name = "role_title", .type = FIELD_TEXT, .example = "Engineer" },
	{ .name = "job_url", .type = FIELD_URL, .nullable = true },
	{ .name = "job_description", .type = FIELD_TEXT, .min = 50 },
	{ .name = "location", .type = FIELD_TEXT, .nullable = true, .example = "Berlin" },
	{ .name = "priority_level", .type = FIELD_ENUM, .choices = priority_levels },
	{ .name = "status", .type = FIELD_ENUM, .choices = application_statuses },
	{ .name = "research_completed", .type = FIELD_BOOL, .example = "false" },
	{ .name = "resume_optimized", .type = FIELD_BOOL, .example = "false" },
	{ .name = "cover_letter_generated", .type = FIELD_BOOL, .example = "false" },
	{ .name = "created_at", .type = FIELD_TIME },
	{ .name = "updated_at", .type = FIELD_TIME },
	{ 0 },
};

static const struct field embedding_fields[] = {
	{ .name = "document_id", .type = FIELD_UUID },
	{ .name = "embedding", .type = FIELD_VECTOR, .max = EMBEDDING_WIDTH },
	{ .name = "created_at", .type = FIELD_TIME },
	{ 0 },
};

static const struct field answers[] = {
	{ .name = "format", .type = FIELD_ENUM, .choices = formats, .about = "What this is." },
	{ .name = "version", .type = FIELD_INTEGER, .example = "1", .about = "Which version of it." },
	{ .name = "exported_at", .type = FIELD_TIME, .about = "All of it is of this moment." },
	{ .name = "user", .type = FIELD_OBJECT, .fields = user_fields, .about = "Whose account it is." },
	{ .name = "resumes", .type = FIELD_ARRAY, .fields = resume_fields, .about = "Oldest first, as in the other parts." },
	{ .name = "applications", .type = FIELD_ARRAY, .fields = application_fields, .about = "All applications." },
	{ .name = "documents", .type = FIELD_ARRAY, .fields = document_fields,
	    .about = "All documents; application_id is the id of one of the applications." },
	{ .name = "embeddings", .type = FIELD_ARRAY, .fields = embedding_fields,
	    .about = "All embeddings; document_id is the id of one of the documents." },
	{ .name = "usage", .type = FIELD_ARRAY, .fields = usage_fields, .about = "The figures of each month, for the user to read." },
	{ .name = "audit_log", .type = FIELD_ARRAY, .fields = audit_fields, .about = "The audit log, likewise." },
	{ 0 },
};

const struct endpoint export_endpoints[] = {
	{ .method = HTTP_GET, .path = API "/me/export", .pool = POOL_BULK, .answers = answers, .handler = handle_export,
	    .entity = "Account",
	    .about = "Everything that is kept about the user, as one document that POST /me/import takes." },
	{ 0 },
};
