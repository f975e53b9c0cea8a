/* An exported account into an empty one: POST /api/v1/me/import. It reads what api_export.c writes. */
#include "api.h"
#include "api_shared.h"

#include <search.h>
#include <stdio.h>
#include <stdlib.h>

#include "arena.h"
#include "buffer.h"
#include "call.h"
#include "clock.h"
#include "fcgi.h"
#include "json.h"
#include "jsonstream.h"
#include "request.h"
#include "response.h"

/*
 * The document is read piece by piece and written batch by batch in one transaction: all of it or nothing, in bounded memory.
 * Every row gets a new id, since an id of the file may be anybody's by now; what is remembered of the file is its ids
 * alone. Rows in sequence that were created at the same time, as those of one request, come a microsecond after one another,
 * since the new ids would else put them in another order.
 */
enum { PIECE_MAX = 4 * 1024 * 1024, BATCH_ROWS = 64, BATCH_BYTES = 1024 * 1024, COLUMNS_MAX = 16 };

/* An account of so many rows is deleted within the time of a statement; and no import keeps others waiting for ever. */
enum { ROWS_MAX = 100000, TIME_MAX = 60 };

enum { BEGIN, EMPTY, RESUMES, APPLICATIONS, DOCUMENTS, EMBEDDINGS, LOCK_USER, ALONE, MARK };

#define CREATED_AT "coalesce(n.created_at, now()) + n.tie * interval '1 microsecond'"
#define UPDATED_AT "coalesce(n.updated_at, now())"

const struct db_statement import_statements[] = {
	/* What the triggers do to a row that this transaction has inserted leaves its updated_at, and none locks the user. */
	[BEGIN] = { "import_begin",
	    "SELECT pg_catalog.set_config('app.importing', 'on', true),"
	    " pg_catalog.pg_try_advisory_xact_lock(hashtextextended('import ' || u.id, 0)) AS alone FROM public.users u",
	    0 },
	[EMPTY] = { "import_empty",
	    "SELECT 1 WHERE NOT EXISTS (SELECT FROM public.applications) AND NOT EXISTS (SELECT FROM public.user_resumes)", 0 },
	[RESUMES] = { "import_resumes",
	    "INSERT INTO public.user_resumes AS r (name, content, focus_area, created_at, updated_at)"
	    " SELECT n.name, n.content, coalesce(n.focus_area, 'other'), "
	    CREATED_AT ", " UPDATED_AT
	    " FROM unnest($1::text[], $2::text[], $3::public.focus_area_type[], $4::timestamptz[], $5::timestamptz[],"
	    " $6::int[]) WITH ORDINALITY AS n (name, content, focus_area, created_at, updated_at, tie, place)"
	    " ORDER BY n.place RETURNING r.id",
	    6 },
	[APPLICATIONS] = { "import_applications",
	    "INSERT INTO public.applications AS a (name, company_name, role_title, job_url, job_description, location,"
	    " priority_level, created_at, updated_at)"
	    " SELECT coalesce(n.name, public.generate_application_name(n.company, n.role)), n.company, n.role, n.url,"
	    " n.description, n.location, coalesce(n.priority, 'medium'), " CREATED_AT ", " UPDATED_AT
	    " FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[],"
	    " $7::public.priority_level_type[], $8::timestamptz[], $9::timestamptz[], $10::int[]) WITH ORDINALITY"
	    " AS n (name, company, role, url, description, location, priority, created_at, updated_at, tie, place)"
	    " ORDER BY n.place RETURNING a.id",
	    10 },
	[DOCUMENTS] = { "import_documents",
	    "INSERT INTO public.documents AS d (application_id, document_type, content, created_at, updated_at)"
	    " SELECT n.application_id, n.document_type, n.content, coalesce(n.created_at, now()), " UPDATED_AT
	    " FROM unnest($1::uuid[], $2::public.document_type_enum[], $3::text[], $4::timestamptz[], $5::timestamptz[])"
	    " WITH ORDINALITY AS n (application_id, document_type, content, created_at, updated_at, place)"
	    " ORDER BY n.place RETURNING d.id",
	    5 },
	[EMBEDDINGS] = { "import_embeddings",
	    "INSERT INTO public.document_embeddings AS e (document_id, embedding, created_at)"
	    " SELECT n.document_id, n.embedding::public.vector, coalesce(n.created_at, now())"
	    " FROM unnest($1::uuid[], $2::text[], $3::timestamptz[]) WITH ORDINALITY"
	    " AS n (document_id, embedding, created_at, place) ORDER BY n.place RETURNING e.id",
	    3 },
	[LOCK_USER] = { "import_lock_user", "SELECT 1 FROM public.users u FOR NO KEY UPDATE", 0 },
	[ALONE] = { "import_alone",
	    "SELECT 1 WHERE (SELECT count(*) FROM public.user_resumes) = $1::text::bigint"
	    " AND (SELECT count(*) FROM public.applications) = $2::text::bigint",
	    2 },
	[MARK] = { "import_mark",
	    "UPDATE public.user_resumes r SET is_primary = true WHERE r.id = coalesce($1::uuid,"
	    " (SELECT n.id FROM public.user_resumes n ORDER BY n.created_at DESC, n.id DESC LIMIT 1))",
	    1 },
	{ 0 },
};

/* ---- what the elements of each part hold: first the parameters of its statement ---- */

enum { RESUME_PRIMARY = 5 };

static const struct field resume_fields[] = {
	{ .name = "name", .type = FIELD_TEXT, .required = true, .min = 1, .max = TITLE_MAX },
	{ .name = "content", .type = FIELD_TEXT, .required = true, .min = RESUME_MIN, .max = CONTENT_MAX, .max_bytes = CONTENT_MAX },
	{ .name = "focus_area", .type = FIELD_ENUM, .choices = focus_areas },
	{ .name = "created_at", .type = FIELD_TIME },
	{ .name = "updated_at", .type = FIELD_TIME },
	[RESUME_PRIMARY] = { .name = "is_primary", .type = FIELD_BOOL },
	{ .name = "id", .type = FIELD_UUID, .required = true },
	{ 0 },
};

static const struct field application_fields[] = {
	{ .name = "name", .type = FIELD_TEXT, .min = 1, .max = TITLE_MAX },
	{ .name = "company_name", .type = FIELD_TEXT, .required = true, .min = 1, .max = TITLE_MAX },
	{ .name = "role_title", .type = FIELD_TEXT, .required = true, .min = 1, .max = TITLE_MAX },
	{ .name = "job_url", .type = FIELD_URL, .nullable = true, .max = URL_MAX },
	{ .name = "job_description", .type = FIELD_TEXT, .required = true, .min = DESCRIPTION_MIN, .max = DESCRIPTION_MAX },
	{ .name = "location", .type = FIELD_TEXT, .nullable = true, .max = TITLE_MAX },
	{ .name = "priority_level", .type = FIELD_ENUM, .choices = priority_levels },
	{ .name = "created_at", .type = FIELD_TIME },
	{ .name = "updated_at", .type = FIELD_TIME },
	{ .name = "id", .type = FIELD_UUID, .required = true },
	/* What follows from the documents is the database's to say. */
	{ .name = "status", .type = FIELD_ENUM, .choices = application_statuses },
	{ .name = "research_completed", .type = FIELD_BOOL },
	{ .name = "resume_optimized", .type = FIELD_BOOL },
	{ .name = "cover_letter_generated", .type = FIELD_BOOL },
	{ 0 },
};

static const struct field imported_document_fields[] = {
	{ .name = "application_id", .type = FIELD_UUID, .required = true },
	{ .name = "document_type", .type = FIELD_ENUM, .choices = document_types, .required = true },
	{ .name = "content", .type = FIELD_TEXT, .required = true, .min = DOCUMENT_MIN, .max = CONTENT_MAX, .max_bytes = CONTENT_MAX },
	{ .name = "created_at", .type = FIELD_TIME },
	{ .name = "updated_at", .type = FIELD_TIME },
	{ .name = "id", .type = FIELD_UUID, .required = true },
	{ 0 },
};

static const struct field embedding_fields[] = {
	{ .name = "document_id", .type = FIELD_UUID, .required = true },
	{ .name = "embedding", .type = FIELD_VECTOR, .required = true, .max = EMBEDDING_WIDTH },
	{ .name = "created_at", .type = FIELD_TIME },
	{ 0 },
};

struct import;

enum { PART_RESUMES, PART_APPLICATIONS, PART_DOCUMENTS, PART_EMBEDDINGS, PART_COUNT };

struct part {
	const char *name;
	const struct field *fields;
	const struct db_statement *statement;
	int bound;      /* so many of the fields are parameters, */
	int created_at; /* and one more is made from this one: how many rows before have the same; -1: none */
	int id;         /* the field with the id that others refer to; -1: none do */
	void (*check)(struct import *import, struct value values[]); /* notes faults, resolves references */
};

static const struct part parts[PART_COUNT];

/* A row that others may refer to. */
struct known {
	uint8_t old_id[16];
	char new_id[UUID_TEXT + 1];
	unsigned documents; /* of an application: a bit for each type; of a document: 1 once it has an embedding */
};

struct import {
	struct call *call;
	struct json_stream stream;
	struct arena *batch; /* the rows that wait to be written */
	const struct part *part;
	bool has_format;
	bool has_version;
	bool seen[PART_COUNT];
	void *known[PART_COUNT]; /* tsearch(3) trees of struct known */
	long long count[PART_COUNT];
	long long written; /* of count[]: before the batch */
	int total;
	int rows;          /* in the batch */
	size_t bytes;
	const char *columns[COLUMNS_MAX][BATCH_ROWS];
	struct known *row_known[BATCH_ROWS];
	struct known *primary; /* the resume that is */
	int64_t deadline;      /* microseconds, monotonic */
	char created_at[64]; /* of the row before */
	int tie;
	int status; /* of the answer, once there is one */
};

/* ---- faults ---- */

static long long
place(const struct import *import)
{
	return import->count[import->part - parts];
}

/* Notes a fault of the element at hand. */
static void
note(struct import *import, const char *field, const char *detail)
{
	struct call *call = import->call;

	faults_add(&call->faults, arena_printf(call->arena, "/%s/%lld/%s", import->part->name, place(import), field), "%s",
	    detail);
}

static int
refuse(struct import *import, enum problem problem, const char *detail)
{
	return import->status = call_problem(import->call, problem, detail);
}

/* Refuses the document for one of its own members. */
static int
refuse_member(struct import *import, struct slice name, const char *detail)
{
	struct call *call = import->call;

	faults_add(&call->faults, field_unknown_pointer(call->arena, "", name), "%s", detail);
	return refuse(import, PROBLEM_VALIDATION, NULL);
}

static int
refuse_stream(struct import *import)
{
	const struct request_stream *body = import->call->request->stream;

	if (body->received < body->length && import->stream.ended)
		return refuse(import, PROBLEM_BAD_REQUEST, "The body is shorter than its Content-Length.");
	return refuse(import, PROBLEM_BAD_JSON, json_stream_error(&import->stream));
}

/* Parses a piece of the document into the batch's arena. */
static struct json *
parse(struct import *import, struct slice text)
{
	const char *error = NULL;
	struct json *value = json_parse(import->batch, text.data, text.len, &error);

	if (value == NULL)
		refuse(import, PROBLEM_BAD_JSON,
		    arena_printf(import->call->arena, "In the value at byte %zu of the document: %s",
			json_stream_offset(&import->stream), error));
	return value;
}

/* ---- references ---- */

static int
compare_known(const void *a, const void *b)
{
	return memcmp(((const struct known *)a)->old_id, ((const struct known *)b)->old_id, sizeof(((struct known *)0)->old_id));
}

static struct known *
find_known(const struct import *import, int part, const char *id)
{
	struct known key;

	uuid_bytes(key.old_id, id);
	struct known **found = tfind(&key, &import->known[part], compare_known);
	return found == NULL ? NULL : *found;
}

/* Remembers the element's id. NULL: it was there before. */
static struct known *
add_known(struct import *import, const char *id)
{
	struct known *known = arena_alloc(import->call->arena, sizeof(*known));

	uuid_bytes(known->old_id, id);
	struct known **found = tsearch(known, &import->known[import->part - parts], compare_known);
	if (found == NULL)
		abort(); /* out of memory, as in arena.h */
	return *found == known ? known : NULL;
}

static unsigned
bit_of_type(const char *type)
{
	unsigned bit = 1;

	for (int i = 0; strcmp(document_types[i], type) != 0; i++)
		bit <<= 1;
	return bit;
}

static void
check_document(struct import *import, struct value values[])
{
	enum { APPLICATION_ID, DOCUMENT_TYPE };
	struct known *application = find_known(import, PART_APPLICATIONS, values[APPLICATION_ID].text);
	unsigned bit = bit_of_type(values[DOCUMENT_TYPE].text);

	if (application == NULL) {
		note(import, "application_id", "is the id of no application before it");
		return;
	}
	if (application->documents & bit) {
		note(import, "document_type", "is that of a document which the application has already");
		return;
	}
	if (bit > 1 && !(application->documents & bit >> 1)) {
		note(import, "document_type", "is out of order: research, resume, letter");
		return;
	}
	application->documents |= bit;
	values[APPLICATION_ID].text = application->new_id;
}

static void
check_embedding(struct import *import, struct value values[])
{
	enum { DOCUMENT_ID };
	struct known *document = find_known(import, PART_DOCUMENTS, values[DOCUMENT_ID].text);

	if (document == NULL) {
		note(import, "document_id", "is the id of no document before it");
		return;
	}
	if (document->documents != 0) {
		note(import, "document_id", "is that of a document which has an embedding already");
		return;
	}
	document->documents = 1;
	values[DOCUMENT_ID].text = document->new_id;
}

static const struct part parts[PART_COUNT] = {
	[PART_RESUMES] = { "resumes", resume_fields, &import_statements[RESUMES], 5, 3, 6, NULL },
	[PART_APPLICATIONS] = { "applications", application_fields, &import_statements[APPLICATIONS], 9, 7, 9, NULL },
	[PART_DOCUMENTS] = { "documents", imported_document_fields, &import_statements[DOCUMENTS], 5, -1, 5, check_document },
	[PART_EMBEDDINGS] = { "embeddings", embedding_fields, &import_statements[EMBEDDINGS], 3, -1, -1, check_embedding },
};

/* ---- batches ---- */

/* The database found what the checks here did not. */
static int
refuse_batch(struct import *import, const struct db_reply *reply)
{
	struct call *call = import->call;

	if (reply->outcome != DB_REFUSED)
		return import->status = call_refuse(call, reply);
	enum problem problem = problem_of_error(&reply->error, &call->faults, call->service->troubles);
	bool named = problem == PROBLEM_VALIDATION || problem == PROBLEM_PHASE_ORDER;
	return refuse(import, problem,
	    !named ? problem_detail_of_error(&reply->error, problem, &call->faults)
		   : arena_printf(call->arena, "One of /%s/%lld to /%s/%lld is refused.", import->part->name,
			 import->written, import->part->name, place(import) - 1));
}

static int
write_batch(struct import *import)
{
	const struct part *part = import->part;
	struct db_param params[COLUMNS_MAX];

	if (import->rows == 0)
		return 0;
	if (clock_us() > import->deadline)
		return refuse(import, PROBLEM_UNAVAILABLE, "The import took too long. Nothing has changed.");
	for (int i = 0; i < part->statement->params; i++)
		params[i] = DB_TEXT(field_array(import->batch, import->columns[i], import->rows));
	db_send(import->call->service->db, part->statement, params);
	struct db_reply reply = db_flush(import->call->service->db, import->batch);
	if (reply.outcome != DB_OK)
		return refuse_batch(import, &reply);
	for (int i = 0; part->id >= 0 && i < import->rows; i++)
		memcpy(import->row_known[i]->new_id, db_value(reply.results[0], i, 0).data, UUID_TEXT + 1);
	import->written += import->rows;
	import->rows = 0;
	import->bytes = 0;
	arena_reset(import->batch);
	return 0;
}

static const char *
count_tie(struct import *import, const char *created_at)
{
	if (created_at == NULL || strcmp(created_at, import->created_at) != 0)
		import->tie = 0;
	else
		import->tie++;
	snprintf(import->created_at, sizeof(import->created_at), "%s", created_at == NULL ? "" : created_at);
	return arena_printf(import->batch, "%d", import->tie);
}

static int
add_row(struct import *import, const struct json *element)
{
	const struct part *part = import->part;
	struct call *call = import->call;
	struct value values[FIELDS_MAX] = { 0 };
	const char *prefix = arena_printf(import->batch, "/%s/%lld", part->name, place(import));
	struct known *known = NULL;

	field_read_body(import->batch, part->fields, element, false, prefix, values, &call->faults);
	for (int i = 0; i < part->bound; i++) /* what is rounded up must still have four digits */
		if (part->fields[i].type == FIELD_TIME && values[i].text != NULL && strncmp(values[i].text, "9999", 4) == 0)
			note(import, part->fields[i].name, "must be before the year 9999");
	if (call->faults.count == 0 && part->id >= 0) {
		known = add_known(import, values[part->id].text);
		if (known == NULL)
			note(import, "id", "is that of an element before it");
	}
	if (call->faults.count == 0 && part->check != NULL)
		part->check(import, values);
	if (call->faults.count > 0)
		return refuse(import, PROBLEM_VALIDATION, NULL);
	for (int i = 0; i < part->bound; i++)
		import->columns[i][import->rows] = values[i].text;
	if (part->created_at >= 0)
		import->columns[part->bound][import->rows] = count_tie(import, values[part->created_at].text);
	if (part == &parts[PART_RESUMES] && values[RESUME_PRIMARY].text != NULL &&
	    strcmp(values[RESUME_PRIMARY].text, "true") == 0)
		import->primary = known;
	import->row_known[import->rows++] = known;
	import->count[part - parts]++;
	if (++import->total <= ROWS_MAX)
		return 0;
	faults_add(&call->faults, "", "has more than %d rows altogether", ROWS_MAX);
	return refuse(import, PROBLEM_VALIDATION, NULL);
}

static int
read_part(struct import *import, const struct part *part)
{
	struct slice text;
	int more;

	if (import->seen[part - parts])
		return refuse_member(import, slice_of(part->name), "occurs twice");
	import->seen[part - parts] = true;
	import->part = part;
	import->written = 0;
	import->created_at[0] = '\0';
	while ((more = json_stream_element(&import->stream, &text)) > 0) {
		struct json *element = parse(import, text);
		if (element == NULL || add_row(import, element) != 0)
			return import->status;
		import->bytes += text.len;
		if ((import->rows == BATCH_ROWS || import->bytes > BATCH_BYTES) && write_batch(import) != 0)
			return import->status;
	}
	return more < 0 ? refuse_stream(import) : write_batch(import);
}

/* ---- the document ---- */

static bool
is_format(const struct json *value)
{
	return slice_is(json_string(value), "jobforge-export");
}

static bool
is_version(const struct json *value)
{
	int64_t version;

	return json_type(value) == JSON_NUMBER && json_integer(value, &version) && version == 1;
}

/* A member that is no list: what format this is, or something that an export says and an import need not know. */
static int
read_word(struct import *import, struct slice key)
{
	struct slice text;
	bool format = slice_is(key, "format");
	bool version = slice_is(key, "version");

	if (!format && !version && !slice_is(key, "exported_at") && !slice_is(key, "user"))
		return refuse_member(import, key, "is not a member of an export");
	if (json_stream_value(&import->stream, &text) < 0)
		return refuse_stream(import);
	const struct json *value = parse(import, text);
	if (value == NULL)
		return import->status;
	if (format && !is_format(value))
		return refuse_member(import, SLICE("format"), "must be \"jobforge-export\"");
	if (version && !is_version(value))
		return refuse_member(import, SLICE("version"), "must be 1: no other can be read");
	import->has_format |= format;
	import->has_version |= version;
	arena_reset(import->batch);
	return 0;
}

/* A list of objects that an export says and an import need not know, of any length. */
static int
pass_over(struct import *import, struct slice name)
{
	struct slice text;
	int more;

	while ((more = json_stream_element(&import->stream, &text)) > 0) {
		const struct json *element = parse(import, text);
		if (element == NULL)
			return import->status;
		if (json_type(element) != JSON_OBJECT)
			return refuse_member(import, name, "must hold objects");
		arena_reset(import->batch);
	}
	return more < 0 ? refuse_stream(import) : 0;
}

static int
read_member(struct import *import, struct slice key)
{
	for (int i = 0; i < PART_COUNT; i++)
		if (slice_is(key, parts[i].name))
			return read_part(import, &parts[i]);
	if (slice_is(key, "usage") || slice_is(key, "audit_log"))
		return pass_over(import, key);
	return read_word(import, key);
}

/* What was cut out of the document is noticed here, after what has been left in it. */
static int
check_members(struct import *import)
{
	if (!import->has_format)
		return refuse_member(import, SLICE("format"), "is missing");
	if (!import->has_version)
		return refuse_member(import, SLICE("version"), "is missing");
	for (int i = 0; i < PART_COUNT; i++)
		if (!import->seen[i])
			return refuse_member(import, slice_of(parts[i].name), "is missing");
	return 0;
}

static int
read_document(struct import *import)
{
	struct slice key;
	int more;

	while ((more = json_stream_member(&import->stream, &key)) > 0)
		if (read_member(import, key) != 0)
			return import->status;
	if (more < 0)
		return refuse_stream(import);
	return check_members(import);
}

static size_t
receive(void *source, char *out, size_t size)
{
	return request_receive(source, out, size);
}

/* ---- the transaction ---- */

/* Begins it, one import of a user at a time, and without a lock that anything else would wait for. */
static int
begin(struct import *import)
{
	struct call *call = import->call;
	struct db *db = call->service->db;
	struct db_reply reply = { .outcome = DB_LOST };

	for (int attempt = 0; attempt < 2 && reply.outcome == DB_LOST && !reply.late && db_ready(db) == 0; attempt++) {
		db_begin(db, DB_READ_WRITE, call_user(call), call->request->id);
		db_send(db, &import_statements[BEGIN], NULL);
		db_send(db, &import_statements[EMPTY], NULL);
		reply = db_flush(db, call->arena);
	}
	if (reply.outcome != DB_OK)
		return import->status = call_refuse(call, &reply);
	if (db_rows(reply.results[0]) == 0)
		return refuse(import, PROBLEM_UNAUTHORIZED, NULL);
	if (!slice_is(db_get(reply.results[0], 0, "alone"), "t"))
		return refuse(import, PROBLEM_NOT_EMPTY, "Another import into this account is running.");
	import->deadline = clock_us() + (int64_t)TIME_MAX * 1000000;
	return db_rows(reply.results[1]) == 0 ? refuse(import, PROBLEM_NOT_EMPTY, NULL) : 0;
}

/* The last steps: the user is locked, for as long as they take, the account holds nothing else by now, and one resume is
 * primary. */
static int
finish(struct import *import)
{
	struct call *call = import->call;
	struct db *db = call->service->db;
	const struct db_param counts[] = { DB_TEXT(arena_printf(call->arena, "%lld", import->count[PART_RESUMES])),
		DB_TEXT(arena_printf(call->arena, "%lld", import->count[PART_APPLICATIONS])) };
	const struct db_param primary = DB_TEXT(import->primary == NULL ? NULL : import->primary->new_id);

	db_send(db, &import_statements[LOCK_USER], NULL);
	db_send(db, &import_statements[ALONE], counts);
	db_send(db, &import_statements[MARK], &primary);
	struct db_reply reply = db_flush(db, call->arena);
	if (reply.outcome != DB_OK)
		return import->status = call_refuse(call, &reply);
	if (db_rows(reply.results[1]) == 0)
		return refuse(import, PROBLEM_NOT_EMPTY, NULL);
	if (!fcgi_abandoned(call->conn))
		return 0;
	/* Whoever sent it has given up, and may be sending it again. */
	call->response->broken = true;
	return refuse(import, PROBLEM_UNAVAILABLE, NULL);
}

static int
commit(struct import *import)
{
	struct call *call = import->call;
	struct db_reply reply = db_commit(call->service->db, call->arena);

	if (reply.outcome != DB_OK)
		return call_refuse(call, &reply);
	for (int i = 0; i < PART_COUNT; i++)
		buffer_printf(&call->response->body, "%c\"%s\":%lld", i == 0 ? '{' : ',', parts[i].name, import->count[i]);
	BUFFER_LITERAL(&call->response->body, "}");
	return call->response->status = 200;
}

static void
keep(void *known)
{
	(void)known; /* it is the arena's */
}

static int
handle_import(struct call *call)
{
	struct import *import = arena_alloc(call->arena, sizeof(*import));

	if (!http_content_type_is(call->request->content_type, "application/json"))
		return call_problem(call, PROBLEM_UNSUPPORTED_MEDIA_TYPE, NULL);
	import->call = call;
	import->batch = arena_new();
	json_stream_init(&import->stream, receive, call->request->stream, PIECE_MAX);
	if (begin(import) == 0 && read_document(import) == 0 && finish(import) == 0)
		import->status = commit(import);
	db_abandon(call->service->db, import->batch);
	for (int i = 0; i < PART_COUNT; i++)
		tdestroy(import->known[i], keep);
	json_stream_free(&import->stream);
	arena_free(import->batch);
	return import->status;
}

static const struct field answer[] = {
	{ .name = "resumes", .type = FIELD_INTEGER, .about = "How many resumes were imported." },
	{ .name = "applications", .type = FIELD_INTEGER, .about = "How many applications." },
	{ .name = "documents", .type = FIELD_INTEGER, .about = "How many documents." },
	{ .name = "embeddings", .type = FIELD_INTEGER, .about = "How many embeddings." },
	{ 0 },
};

static const char *const formats[] = { "jobforge-export", NULL };

/* Read by read_member(). */
static const struct field document[] = {
	{ .name = "format", .type = FIELD_ENUM, .choices = formats, .required = true, .about = "What this is." },
	{ .name = "version", .type = FIELD_INTEGER, .required = true, .min = 1, .max = 1, .example = "1",
	    .about = "Which version of it." },
	{ .name = "exported_at", .type = FIELD_TIME, .about = "When it was made; passed over." },
	{ .name = "user", .type = FIELD_OBJECT, .about = "Whose account it was; passed over." },
	{ .name = "resumes", .type = FIELD_ARRAY, .required = true, .fields = resume_fields, .about = "All resumes." },
	{ .name = "applications", .type = FIELD_ARRAY, .required = true, .fields = application_fields, .about = "All applications." },
	{ .name = "documents", .type = FIELD_ARRAY, .required = true, .fields = document_fields,
	    .about = "All documents; application_id is the id of one of the applications before them." },
	{ .name = "embeddings", .type = FIELD_ARRAY, .required = true, .fields = embedding_fields,
	    .about = "All embeddings; document_id is the id of one of the documents before them." },
	{ .name = "usage", .type = FIELD_ARRAY, .about = "The figures of that account; passed over." },
	{ .name = "audit_log", .type = FIELD_ARRAY, .about = "Its audit log; passed over." },
	{ 0 },
};

const struct endpoint import_endpoints[] = {
	{ .method = HTTP_POST, .path = API "/me/import", .pool = POOL_BULK, .answers = answer, .handler = handle_import, .streamed = document,
	    .entity = "ImportCounts", .problems = { PROBLEM_NOT_EMPTY, PROBLEM_PHASE_ORDER, PROBLEM_PLAN_LIMIT },
	    .about = "Takes the document of GET /me/export into an account without applications and resumes: all of it or nothing." },
	{ 0 },
};
