/* The documents of an application: /api/v1/applications/{id}/documents, and all of a user's: /api/v1/documents. */
#include "api.h"
#include "api_shared.h"
#include "list.h"

static const struct field body[] = {
	{ .name = "content", .type = FIELD_TEXT, .required = true, .min = DOCUMENT_MIN, .max = CONTENT_MAX, .max_bytes = CONTENT_MAX,
	    .about = "The document, in Markdown.", .example = "# Acme\n\nFounded in 1999, makes everything." },
	{ 0 },
};

static const struct field filters[] = {
	{ .name = "document_type", .type = FIELD_ENUM, .choices = document_types, .repeatable = true,
	    .about = "Only documents of one of these types." },
	{ .name = "q", .type = FIELD_TEXT, .min = 1, .max = QUESTION_MAX,
	    .about = "Only those whose content matches: words, \"phrases\", or, -without.", .example = "founded" },
	{ 0 },
};

static const struct field of_application[] = {
	DOCUMENT_SHORT_FIELDS,
	{ .name = "has_embedding", .type = FIELD_BOOL, .about = "Whether others can be found that are similar to it." },
	{ 0 },
};

static const struct field listed[] = {
	DOCUMENT_SHORT_FIELDS,
	{ .name = "application", .type = FIELD_OBJECT, .fields = application_brief_fields, .about = "What it was written for." },
	SEARCH_FIELDS,
	{ 0 },
};

#define SHORT "d.id, d.application_id, d.document_type, d.created_at, d.updated_at"
#define HAS_EMBEDDING \
	", EXISTS (SELECT FROM public.document_embeddings e WHERE e.document_id = d.id) AS has_embedding"
#define WHOLE "d.id, d.application_id, d.document_type, d.content, d.created_at, d.updated_at, d.xmin::text AS _etag"
#define ITS_APPLICATION \
	"json_build_object('id', a.id, 'company_name', a.company_name, 'role_title', a.role_title) AS application"

/* ---- /documents: $1 and $2 are the filters; one that is NULL lets all rows through ---- */

#define OF_TYPE "($1::public.document_type_enum[] IS NULL OR d.document_type = ANY ($1))"
#define QUERY "(SELECT jobforge.search_query($2))"
/* Ranked by any of the words: what all of them together weigh takes time by the square of their number and places. */
#define WORDS "(SELECT jobforge.search_any(jobforge.search_query($2)))"
#define FILTERS OF_TYPE " AND ($2::text IS NULL OR d.search @@ " QUERY ")"
#define RANK "ts_rank(d.search, " WORDS ")"

/* The page is chosen first: only its rows are joined, ranked and searched for what to show. */
#define PLAIN_PAGE(condition, expr, dir, limits)                                                                  \
	"SELECT " SHORT ", " ITS_APPLICATION " FROM (SELECT " SHORT " FROM public.documents d " condition              \
	" ORDER BY " expr " " dir ", d.id " dir " " limits ") d"                                                       \
	" JOIN public.applications a ON a.id = d.application_id ORDER BY " expr " " dir ", d.id " dir
#define SEARCHED_PAGE(condition, expr, dir, limits)                                                               \
	"SELECT " SHORT ", " ITS_APPLICATION ", d.rank, jobforge.search_snippet(d.content, " QUERY ") AS snippet"      \
	" FROM (SELECT * FROM (SELECT " SHORT ", d.content, " RANK " AS rank FROM public.documents d WHERE " FILTERS   \
	") d " condition " ORDER BY " expr " " dir ", d.id " dir " " limits ") d"                                      \
	" JOIN public.applications a ON a.id = d.application_id ORDER BY " expr " " dir ", d.id " dir

#define SEARCHED(id, expr, cast, dir, cmp)                                                                        \
	[LIST_##id##_FIRST_SEARCHED] = { "documents_" #id "_first_searched",                                           \
		SEARCHED_PAGE("", expr, dir, "LIMIT $3::text::int OFFSET $4::text::int"), 4 },                          \
	[LIST_##id##_AFTER_SEARCHED] = { "documents_" #id "_after_searched",                                           \
		SEARCHED_PAGE("WHERE (" expr ", d.id) " cmp " ($3::" cast ", $4::uuid)", expr, dir,                     \
		    "LIMIT $5::text::int"),                                                                              \
		5 }
#define ORDER(id, expr, cast, dir, cmp)                                                                           \
	[LIST_##id##_FIRST] = { "documents_" #id "_first",                                                             \
		PLAIN_PAGE("", expr, dir, "LIMIT $1::text::int OFFSET $2::text::int"), 2 },                             \
	[LIST_##id##_AFTER] = { "documents_" #id "_after",                                                             \
		PLAIN_PAGE("WHERE (" expr ", d.id) " cmp " ($1::" cast ", $2::uuid)", expr, dir,                        \
		    "LIMIT $3::text::int"),                                                                              \
		3 },                                                                                                    \
	[LIST_##id##_FIRST_FILTERED] = { "documents_" #id "_first_filtered",                                           \
		PLAIN_PAGE("WHERE " FILTERS, expr, dir, "LIMIT $3::text::int OFFSET $4::text::int"), 4 },               \
	[LIST_##id##_AFTER_FILTERED] = { "documents_" #id "_after_filtered",                                           \
		PLAIN_PAGE("WHERE " FILTERS " AND (" expr ", d.id) " cmp " ($3::" cast ", $4::uuid)", expr, dir,        \
		    "LIMIT $5::text::int"),                                                                              \
		5 },                                                                                                    \
	SEARCHED(id, expr, cast, dir, cmp)


enum {
	GET,
	APPLICATION,
	LOCK_APPLICATION,
	PUT,
	LOCK,
	DELETE,
	OF_APPLICATION_FIRST,
	OF_APPLICATION_AFTER,
	OF_APPLICATION_COUNT,
	COUNT,
	COUNT_FILTERED,
	ORDER_IDS(created_asc),
	ORDER_IDS(created_desc),
	ORDER_IDS(updated_asc),
	ORDER_IDS(updated_desc),
	SEARCHED_IDS(rank_desc)
};

/*
 * Whoever changes a document locks its application first: writers of one application take turns, and what the statements
 * after the lock see is what the last one left.
 */
const struct db_statement document_statements[] = {
	[GET] = { "documents_get",
	    "SELECT " WHOLE " FROM public.documents d WHERE d.application_id = $1 AND d.document_type = $2", 2 },
	[APPLICATION] = { "documents_application", "SELECT 1 FROM public.applications a WHERE a.id = $1", 1 },
	[LOCK_APPLICATION] = { "documents_lock_application",
	    "SELECT 1 FROM public.applications a WHERE a.id = $1 FOR NO KEY UPDATE", 1 },
	[PUT] = { "documents_put",
	    "WITH changed AS (UPDATE public.documents d SET content = $3"
	    " WHERE d.application_id = $1 AND d.document_type = $2"
	    " AND ($4::text[] IS NULL OR $4 = '{*}' OR d.xmin::text = ANY ($4)) RETURNING " WHOLE "),"
	    " created AS (INSERT INTO public.documents AS d (application_id, document_type, content)"
	    " SELECT $1, $2, $3 WHERE ($4 IS NULL OR $4 = '{}') AND NOT EXISTS (SELECT FROM public.documents o"
	    " WHERE o.application_id = $1 AND o.document_type = $2) RETURNING " WHOLE ")"
	    " SELECT c.*, false AS _created FROM changed c UNION ALL SELECT c.*, true FROM created c",
	    4 },
	[LOCK] = { "documents_lock",
	    "SELECT 1 FROM public.documents d WHERE d.application_id = $1 AND d.document_type = $2 FOR UPDATE", 2 },
	[DELETE] = { "documents_delete",
	    "DELETE FROM public.documents d WHERE d.application_id = $1 AND d.document_type = $2"
	    " AND ($3::text[] IS NULL OR d.xmin::text = ANY ($3)) RETURNING d.id",
	    3 },
	[OF_APPLICATION_FIRST] = { "documents_of_application_first",
	    "SELECT " SHORT HAS_EMBEDDING " FROM public.documents d WHERE d.application_id = $1"
	    " ORDER BY d.document_type, d.id LIMIT $2::text::int OFFSET $3::text::int",
	    3 },
	[OF_APPLICATION_AFTER] = { "documents_of_application_after",
	    "SELECT " SHORT HAS_EMBEDDING " FROM public.documents d WHERE d.application_id = $1"
	    " AND (d.document_type, d.id) > ($2::public.document_type_enum, $3::uuid)"
	    " ORDER BY d.document_type, d.id LIMIT $4::text::int",
	    4 },
	[OF_APPLICATION_COUNT] = { "documents_of_application_count",
	    "SELECT count(*) FROM public.documents d WHERE d.application_id = $1", 1 },
	[COUNT] = { "documents_count", "SELECT count(*) FROM public.documents d", 0 },
	[COUNT_FILTERED] = { "documents_count_filtered", "SELECT count(*) FROM public.documents d WHERE " FILTERS, 2 },
	ORDER(created_asc, "d.created_at", "timestamptz", "ASC", ">"),
	ORDER(created_desc, "d.created_at", "timestamptz", "DESC", "<"),
	ORDER(updated_asc, "d.updated_at", "timestamptz", "ASC", ">"),
	ORDER(updated_desc, "d.updated_at", "timestamptz", "DESC", "<"),
	SEARCHED(rank_desc, "d.rank", "real", "DESC", "<"),
	{ 0 },
};

#define STATEMENT(index) (&document_statements[index])

static const struct list_order orders[] = {
	ORDER_ROW("updated_at", "-", updated_desc),
	ORDER_ROW("updated_at", "", updated_asc),
	ORDER_ROW("created_at", "-", created_desc),
	ORDER_ROW("created_at", "", created_asc),
	RANK_ROW,
	{ 0 },
};

static const struct list list = {
	.name = "documents",
	.orders = orders,
	.search = "q",
	.search_order = "-rank",
	.count = STATEMENT(COUNT),
	.count_filtered = STATEMENT(COUNT_FILTERED),
};

static const struct list_order orders_of_application[] = {
	{ .name = "document_type", .key = "document_type",
	    .plain = { STATEMENT(OF_APPLICATION_FIRST), STATEMENT(OF_APPLICATION_AFTER) } },
	{ 0 },
};

static const struct list list_of_application = {
	.name = "documents of an application",
	.orders = orders_of_application,
	.count = STATEMENT(OF_APPLICATION_COUNT),
};

#define ONE API "/applications/{id}/documents/{document_type}"

const struct endpoint document_endpoints[] = {
	{ .method = HTTP_GET, .path = ONE, .path_fields = document_path_fields, .answers = document_fields, .representations = markdown_forms,
	    .statement = STATEMENT(GET),
	    .about = "Reads a document: as JSON, as the Markdown itself, or rendered to HTML without anything that runs." },
	{ .method = HTTP_PUT, .path = ONE, .path_fields = document_path_fields, .answer = ANSWER_PUT, .answers = document_fields, .body = body,
	    .markdown = true, .lock = STATEMENT(LOCK_APPLICATION), .statement = STATEMENT(PUT),
	    .problems = { PROBLEM_PHASE_ORDER, PROBLEM_PLAN_LIMIT },
	    .about = "Writes a document. They follow one another: research, resume, letter." },
	{ .method = HTTP_DELETE, .path = ONE, .path_fields = document_path_fields, .answer = ANSWER_EMPTY,
	    .lock = STATEMENT(LOCK_APPLICATION), .exists = STATEMENT(LOCK), .statement = STATEMENT(DELETE),
	    .problems = { PROBLEM_PHASE_ORDER }, .about = "Deletes a document on which no other stands." },
	{ .method = HTTP_GET, .path = API "/applications/{id}/documents", .answer = ANSWER_LIST, .answers = of_application,
	    .exists = STATEMENT(APPLICATION), .list = &list_of_application,
	    .about = "Lists an application's documents, without their content." },
	{ .method = HTTP_GET, .path = API "/documents", .answer = ANSWER_LIST, .answers = listed, .query = filters,
	    .list = &list, .about = "Lists and searches all documents of the user, without their content." },
	{ 0 },
};
