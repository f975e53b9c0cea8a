/* Embeddings of documents, .../documents/{document_type}/embedding, and what is similar, /api/v1/documents/similar. */
#include "api.h"
#include "api_shared.h"
#include "arena.h"
#include "buffer.h"
#include "call.h"
#include "response.h"
#include "row.h"

static const struct field body[] = {
	{ .name = "embedding", .type = FIELD_VECTOR, .required = true, .max = EMBEDDING_WIDTH,
	    .about = "What a model made of the document: 1536 numbers, kept in single precision." },
	{ 0 },
};

static const struct field answers[] = {
	{ .name = "document_id", .type = FIELD_UUID, .about = "The document." },
	{ .name = "embedding", .type = FIELD_VECTOR, .max = EMBEDDING_WIDTH, .about = "The numbers that were put." },
	{ .name = "created_at", .type = FIELD_TIME, .about = "When the document was first given one." },
	{ 0 },
};

enum { BODY_EMBEDDING, BODY_DOCUMENT_ID, BODY_LIMIT, BODY_DOCUMENT_TYPE };

static const struct field similar_body[] = {
	[BODY_EMBEDDING] = { .name = "embedding", .type = FIELD_VECTOR, .either = true, .max = EMBEDDING_WIDTH,
	    .about = "What to be similar to: 1536 numbers. Either this or document_id." },
	[BODY_DOCUMENT_ID] = { .name = "document_id", .type = FIELD_UUID, .either = true,
	    .about = "The document to be similar to; it is left out of the answer. Either this or embedding." },
	[BODY_LIMIT] = { .name = "limit", .type = FIELD_INTEGER, .min = 1, .max = 50, .example = "10",
	    .about = "How many documents at most; 10 when it is left out." },
	[BODY_DOCUMENT_TYPE] = { .name = "document_type", .type = FIELD_ENUM, .choices = document_types,
	    .about = "Only documents of this type." },
	{ 0 },
};

static const struct field similar_row[] = {
	{ .name = "document", .type = FIELD_OBJECT, .fields = document_short_fields, .about = "Without its content." },
	{ .name = "application", .type = FIELD_OBJECT, .fields = application_brief_fields, .about = "What it was written for." },
	{ .name = "similarity", .type = FIELD_NUMBER, .example = "0.93",
	    .about = "The cosine of the two embeddings, -1 to 1; 0 where one of them is all zeros." },
	{ 0 },
};

static const struct field similar_answers[] = {
	{ .name = "data", .type = FIELD_ARRAY, .fields = similar_row, .about = "The most similar first." },
	{ 0 },
};

#define COLUMNS "e.document_id, e.embedding::text::json AS embedding, e.created_at, e.xmin::text AS _etag"
#define TIME(column) "to_char(" column " AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')"

/*
 * Minus the cosine. pgvector sums in single precision, which overflows with vectors that are very long and underflows with
 * very short ones: such are scaled first. A vector of zeros stays one, and is at right angles to all.
 */
#define DISTANCE                                                                                                  \
	"CASE WHEN e.norm BETWEEN 1e-12 AND 1e12 THEN (e.embedding OPERATOR(public.<#>) " DIRECTION ") / e.norm"       \
	" ELSE public.l2_normalize(e.embedding) OPERATOR(public.<#>) " DIRECTION " END"
/* In a sub-select of its own it is made once, not once a row. */
#define DIRECTION "(SELECT q.direction FROM q)"

enum { GET, LOCK_DOCUMENT, PUT, LOCK, DELETE, FIND, SIMILAR };

/* Whoever changes an embedding locks its document first, so that of two writers the second sees what the first left. */
const struct db_statement embedding_statements[] = {
	[GET] = { "embeddings_get",
	    "SELECT " COLUMNS " FROM public.documents d JOIN public.document_embeddings e ON e.document_id = d.id"
	    " WHERE d.application_id = $1 AND d.document_type = $2",
	    2 },
	[LOCK_DOCUMENT] = { "embeddings_lock_document",
	    "SELECT 1 FROM public.documents d WHERE d.application_id = $1 AND d.document_type = $2 FOR NO KEY UPDATE", 2 },
	[PUT] = { "embeddings_put",
	    "WITH document AS (SELECT d.id FROM public.documents d WHERE d.application_id = $1 AND d.document_type = $2),"
	    " changed AS (UPDATE public.document_embeddings e SET embedding = $3 FROM document d WHERE e.document_id = d.id"
	    " AND ($4::text[] IS NULL OR $4 = '{*}' OR e.xmin::text = ANY ($4)) RETURNING " COLUMNS "),"
	    " created AS (INSERT INTO public.document_embeddings AS e (document_id, embedding)"
	    " SELECT d.id, $3 FROM document d WHERE ($4 IS NULL OR $4 = '{}')"
	    " AND NOT EXISTS (SELECT FROM public.document_embeddings o WHERE o.document_id = d.id) RETURNING " COLUMNS ")"
	    " SELECT c.*, false AS _created FROM changed c UNION ALL SELECT c.*, true FROM created c",
	    4 },
	[LOCK] = { "embeddings_lock",
	    "SELECT 1 FROM public.document_embeddings e WHERE e.document_id = (SELECT d.id FROM public.documents d"
	    " WHERE d.application_id = $1 AND d.document_type = $2) FOR UPDATE",
	    2 },
	[DELETE] = { "embeddings_delete",
	    "DELETE FROM public.document_embeddings e WHERE e.document_id = (SELECT d.id FROM public.documents d"
	    " WHERE d.application_id = $1 AND d.document_type = $2)"
	    " AND ($3::text[] IS NULL OR e.xmin::text = ANY ($3)) RETURNING e.document_id",
	    3 },
	[FIND] = { "embeddings_find",
	    "SELECT EXISTS (SELECT FROM public.document_embeddings e WHERE e.document_id = d.id) AS embedded"
	    " FROM public.documents d WHERE d.id = $1",
	    1 },
	/* $1 the vector or $2 the document, $3 the type or NULL, $4 the limit. All of the user's vectors are compared, so that
	 * none is missed; only what is answered is joined. */
	[SIMILAR] = { "embeddings_similar",
	    "WITH q AS MATERIALIZED (SELECT public.l2_normalize(coalesce($1::public.vector,"
	    " (SELECT o.embedding FROM public.document_embeddings o WHERE o.document_id = $2))) AS direction)"
	    " SELECT json_build_object('id', d.id, 'application_id', d.application_id, 'document_type', d.document_type,"
	    " 'created_at', " TIME("d.created_at") ", 'updated_at', " TIME("d.updated_at") ") AS document,"
	    " json_build_object('id', a.id, 'company_name', a.company_name, 'role_title', a.role_title) AS application,"
	    " least(1, greatest(-1, 0 - n.distance)) AS similarity"
	    " FROM (SELECT e.document_id, " DISTANCE " AS distance FROM public.document_embeddings e"
	    " WHERE e.document_id IS DISTINCT FROM $2 AND ($3::public.document_type_enum IS NULL OR e.document_id IN"
	    " (SELECT t.id FROM public.documents t WHERE t.document_type = $3))"
	    " ORDER BY distance, e.document_id LIMIT $4::text::int) n"
	    " JOIN public.documents d ON d.id = n.document_id JOIN public.applications a ON a.id = d.application_id"
	    " ORDER BY n.distance, n.document_id",
	    4 },
	{ 0 },
};

#define STATEMENT(index) (&embedding_statements[index])

static int
refuse_at(struct call *call, const char *pointer, const char *detail)
{
	faults_add(&call->faults, pointer, "%s", detail);
	return call_problem(call, PROBLEM_VALIDATION, NULL);
}

static int
answer_similar(struct call *call, const struct db_result *rows)
{
	struct buffer *out = &call->response->body;

	BUFFER_LITERAL(out, "{\"data\":");
	row_write_array(out, rows, 0, db_rows(rows));
	BUFFER_LITERAL(out, "}");
	return call->response->status = 200;
}

static int
handle_similar(struct call *call)
{
	const struct value *values = call->values;
	const char *document = values[BODY_DOCUMENT_ID].text;
	const struct db_param params[] = { DB_TEXT(values[BODY_EMBEDDING].text), DB_TEXT(document),
		DB_TEXT(values[BODY_DOCUMENT_TYPE].text),
		DB_TEXT(values[BODY_LIMIT].present ? values[BODY_LIMIT].text : "10") };
	const struct step steps[] = { { STATEMENT(SIMILAR), params }, { STATEMENT(FIND), &DB_TEXT(document) } };

	if (values[BODY_EMBEDDING].present == values[BODY_DOCUMENT_ID].present)
		return refuse_at(call, "", "must have either embedding or document_id");
	/* Both see the same moment: what is found is what was compared. */
	struct db_reply reply = call_transact(call, DB_SNAPSHOT, steps, document == NULL ? 1 : 2);
	if (reply.outcome != DB_OK)
		return call_refuse(call, &reply);
	if (document != NULL && db_rows(reply.results[1]) == 0)
		return call_problem(call, PROBLEM_NOT_FOUND, NULL);
	if (document != NULL && !slice_is(db_get(reply.results[1], 0, "embedded"), "t"))
		return refuse_at(call, "/document_id", "is a document without an embedding: put one first");
	return answer_similar(call, reply.results[0]);
}

#define ONE API "/applications/{id}/documents/{document_type}/embedding"

const struct endpoint embedding_endpoints[] = {
	{ .method = HTTP_GET, .path = ONE, .path_fields = document_path_fields, .answers = answers, .statement = STATEMENT(GET),
	    .about = "Reads a document's embedding." },
	{ .method = HTTP_PUT, .path = ONE, .path_fields = document_path_fields, .answer = ANSWER_PUT, .answers = answers,
	    .body = body, .lock = STATEMENT(LOCK_DOCUMENT), .statement = STATEMENT(PUT), .problems = { PROBLEM_PLAN_LIMIT },
	    .about = "Gives a document its embedding." },
	{ .method = HTTP_DELETE, .path = ONE, .path_fields = document_path_fields, .answer = ANSWER_EMPTY,
	    .lock = STATEMENT(LOCK_DOCUMENT), .exists = STATEMENT(LOCK), .statement = STATEMENT(DELETE),
	    .about = "Deletes a document's embedding." },
	{ .method = HTTP_POST, .path = API "/documents/similar", .body = similar_body, .answers = similar_answers,
	    .handler = handle_similar, .entity = "SimilarDocuments", .problems = { PROBLEM_NOT_FOUND },
	    .about = "Finds the user's documents most similar to a document or to an embedding: all are compared." },
	{ 0 },
};
