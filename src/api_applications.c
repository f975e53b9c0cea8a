/* Applications: /api/v1/applications. */
#include "api.h"
#include "api_shared.h"
#include "list.h"

#define DESCRIPTION_EXAMPLE "We look for an engineer who builds and runs the services that our customers rely on."

static const char *const includes[] = { "documents", NULL };

/* In the order of the statements' parameters. */
static const struct field body[] = {
	{ .name = "company_name", .type = FIELD_TEXT, .required = true, .min = 1, .max = TITLE_MAX,
	    .about = "The company.", .example = "Acme" },
	{ .name = "role_title", .type = FIELD_TEXT, .required = true, .min = 1, .max = TITLE_MAX,
	    .about = "The role's title, as the posting has it.", .example = "Engineer" },
	{ .name = "job_description", .type = FIELD_TEXT, .required = true, .min = DESCRIPTION_MIN, .max = DESCRIPTION_MAX,
	    .about = "The posting's text.", .example = DESCRIPTION_EXAMPLE },
	{ .name = "name", .type = FIELD_TEXT, .min = 1, .max = TITLE_MAX,
	    .about = "What the user calls the application; made from company, role and date when left out.",
	    .example = "acme_engineer_2026_01_31" },
	{ .name = "job_url", .type = FIELD_URL, .nullable = true, .max = URL_MAX, .about = "Where the posting is." },
	{ .name = "location", .type = FIELD_TEXT, .nullable = true, .max = TITLE_MAX, .about = "Where the job is.",
	    .example = "Berlin" },
	{ .name = "priority_level", .type = FIELD_ENUM, .choices = priority_levels, .about = "How much it matters to the user." },
	{ 0 },
};

static const struct field filters[] = {
	{ .name = "status", .type = FIELD_ENUM, .choices = application_statuses, .repeatable = true,
	    .about = "Only applications in one of these states." },
	{ .name = "priority_level", .type = FIELD_ENUM, .choices = priority_levels, .repeatable = true,
	    .about = "Only applications of one of these priorities." },
	{ .name = "company_name", .type = FIELD_TEXT, .min = 1, .max = TITLE_MAX, .about = "Only this company, exactly.",
	    .example = "Acme" },
	{ .name = "created_after", .type = FIELD_TIME, .about = "Only those created after this time." },
	{ .name = "created_before", .type = FIELD_TIME, .about = "Only those created before this time." },
	{ .name = "q", .type = FIELD_TEXT, .min = 1, .max = QUESTION_MAX,
	    .about = "Only those whose company or role contains this, or whose description matches: words, \"phrases\", or, -without.",
	    .example = "engineer" },
	{ 0 },
};

static const struct field one_query[] = {
	{ .name = "include", .type = FIELD_ENUM, .choices = includes, .about = "Embeds the application's documents." },
	{ 0 },
};

#define ANSWER_BEGIN                                                                                              \
	{ .name = "id", .type = FIELD_UUID, .about = "The application." },                                             \
	{ .name = "user_id", .type = FIELD_UUID, .about = "Whose it is." },                                            \
	{ .name = "name", .type = FIELD_TEXT, .about = "What the user calls it.", .example = "acme_engineer_2026_01_31" }, \
	{ .name = "company_name", .type = FIELD_TEXT, .about = "The company.", .example = "Acme" },                    \
	{ .name = "role_title", .type = FIELD_TEXT, .about = "The role's title.", .example = "Engineer" },             \
	{ .name = "job_url", .type = FIELD_URL, .nullable = true, .max = URL_MAX, .about = "Where the posting is." }
#define ANSWER_END                                                                                                \
	{ .name = "location", .type = FIELD_TEXT, .nullable = true, .about = "Where the job is.", .example = "Berlin" }, \
	{ .name = "priority_level", .type = FIELD_ENUM, .choices = priority_levels, .about = "How much it matters." },      \
	{ .name = "status", .type = FIELD_ENUM, .choices = application_statuses, .about = "How far its documents are." },          \
	{ .name = "research_completed", .type = FIELD_BOOL, .about = "Whether it has a research report.", .example = "false" },            \
	{ .name = "resume_optimized", .type = FIELD_BOOL, .about = "Whether it has an optimised resume.", .example = "false" },            \
	{ .name = "cover_letter_generated", .type = FIELD_BOOL, .about = "Whether it has a cover letter.", .example = "false" },           \
	{ .name = "created_at", .type = FIELD_TIME, .about = "When it was created." },                                 \
	{ .name = "updated_at", .type = FIELD_TIME, .about = "When it was changed last." }
#define ANSWER_DESCRIPTION                                                                                        \
	{ .name = "job_description", .type = FIELD_TEXT, .about = "The posting's text.", .example = DESCRIPTION_EXAMPLE }

static const struct field whole[] = { ANSWER_BEGIN, ANSWER_DESCRIPTION, ANSWER_END, { 0 } };

static const struct field with_documents[] = {
	ANSWER_BEGIN,
	ANSWER_DESCRIPTION,
	ANSWER_END,
	{ .name = "documents", .type = FIELD_ARRAY, .fields = document_fields, .optional = true,
	    .about = "Its documents; only with include=documents." },
	{ 0 },
};

static const struct field listed[] = {
	ANSWER_BEGIN,
	ANSWER_END,
	SEARCH_FIELDS,
	{ 0 },
};

/* Rows of a list leave the description out. */
#define LISTED                                                                                                 \
	"a.id, a.user_id, a.name, a.company_name, a.role_title, a.job_url, a.location, a.priority_level, a.status," \
	" a.research_completed, a.resume_optimized, a.cover_letter_generated, a.created_at, a.updated_at"
#define WHOLE                                                                                                     \
	"a.id, a.user_id, a.name, a.company_name, a.role_title, a.job_url, a.job_description, a.location,"             \
	" a.priority_level, a.status, a.research_completed, a.resume_optimized, a.cover_letter_generated,"             \
	" a.created_at, a.updated_at, a.xmin::text AS _etag"
/* As a spreadsheet has them: who and what first, the long text last. */
#define SHEET_COLUMNS                                                                                             \
	"a.id, a.name, a.company_name, a.role_title, a.location, a.priority_level, a.status, a.job_url, a.created_at," \
	" a.updated_at, a.research_completed, a.resume_optimized, a.cover_letter_generated, a.job_description"
#define DOCUMENTS                                                                                                 \
	"(SELECT coalesce(json_agg(json_build_object('id', d.id, 'application_id', d.application_id,"                  \
	" 'document_type', d.document_type, 'content', d.content,"                                                     \
	" 'created_at', to_char(d.created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"'),"                \
	" 'updated_at', to_char(d.updated_at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"'))"                \
	" ORDER BY d.document_type), '[]') FROM public.documents d WHERE d.application_id = a.id) AS documents"
#define DOCUMENT_TAGS                                                                                             \
	"(SELECT coalesce(string_agg(d.xmin::text, '.' ORDER BY d.document_type), '')"                                 \
	" FROM public.documents d WHERE d.application_id = a.id)"

#define QUERY "(SELECT jobforge.search_query($6))"
/* Ranked by any of the words: what all of them together weigh takes time by the square of their number and places. */
#define WORDS "(SELECT jobforge.search_any(jobforge.search_query($6)))"

/* The six filters, $1 to $6; one that is NULL lets all rows through. Contains is strpos, so that % and _ are plain. */
#define FILTERS                                                                                                   \
	"($1::public.application_status_type[] IS NULL OR a.status = ANY ($1))"                                        \
	" AND ($2::public.priority_level_type[] IS NULL OR a.priority_level = ANY ($2))"                               \
	" AND ($3::text IS NULL OR a.company_name = $3)"                                                               \
	" AND ($4::timestamptz IS NULL OR a.created_at > $4)"                                                          \
	" AND ($5::timestamptz IS NULL OR a.created_at < $5)"                                                          \
	" AND ($6::text IS NULL OR strpos(lower(a.company_name), lower($6)) > 0"                                       \
	" OR strpos(lower(a.role_title), lower($6)) > 0"                                                               \
	" OR a.search @@ " QUERY ")"
#define RANK                                                                                                      \
	"(ts_rank(a.search, " WORDS ") + (strpos(lower(a.company_name), lower($6)) > 0)::int"                          \
	" + (strpos(lower(a.role_title), lower($6)) > 0)::int)::real"

/* Each parameter an array, a row an element; a microsecond apart, so that their order stays what it was. */
#define INSERT_ALL                                                                                                \
	"INSERT INTO public.applications AS a"                                                                         \
	" (company_name, role_title, job_description, name, job_url, location, priority_level, created_at, updated_at)" \
	" SELECT n.company, n.role, n.description, coalesce(n.name, public.generate_application_name(n.company, n.role))," \
	" n.url, n.location, coalesce(n.priority, 'medium'), now() + n.place * interval '1 microsecond',"              \
	" now() + n.place * interval '1 microsecond'"                                                                  \
	" FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[],"                         \
	" $7::public.priority_level_type[]) WITH ORDINALITY"                                                           \
	" AS n (company, role, description, name, url, location, priority, place) ORDER BY n.place RETURNING "

#define LIST "SELECT " LISTED " FROM public.applications a "

/* The page is chosen first: only its rows are searched for what to show. */
#define SEARCHED_PAGE(condition, expr, dir, limits)                                                               \
	"SELECT " LISTED ", a.rank, jobforge.search_snippet(a.job_description, " QUERY ") AS snippet"                  \
	" FROM (SELECT * FROM (SELECT " LISTED ", a.job_description, " RANK " AS rank FROM public.applications a"      \
	" WHERE " FILTERS ") a " condition " ORDER BY " expr " " dir ", a.id " dir " " limits ") a"                    \
	" ORDER BY " expr " " dir ", a.id " dir

/* The statements of one order: `expr` is what is sorted by, `cast` its type, `dir` and `cmp` which way. */
#define SEARCHED(id, expr, cast, dir, cmp)                                                                        \
	[LIST_##id##_FIRST_SEARCHED] = { "applications_" #id "_first_searched",                                        \
		SEARCHED_PAGE("", expr, dir, "LIMIT $7::text::int OFFSET $8::text::int"), 8 },                          \
	[LIST_##id##_AFTER_SEARCHED] = { "applications_" #id "_after_searched",                                        \
		SEARCHED_PAGE("WHERE (" expr ", a.id) " cmp " ($7::" cast ", $8::uuid)", expr, dir,                     \
		    "LIMIT $9::text::int"),                                                                              \
		9 }
#define ORDER(id, expr, cast, dir, cmp)                                                                           \
	[LIST_##id##_FIRST] = { "applications_" #id "_first",                                                          \
		LIST "ORDER BY " expr " " dir ", a.id " dir " LIMIT $1::text::int OFFSET $2::text::int", 2 },           \
	[LIST_##id##_AFTER] = { "applications_" #id "_after",                                                          \
		LIST "WHERE (" expr ", a.id) " cmp " ($1::" cast ", $2::uuid)"                                          \
		     " ORDER BY " expr " " dir ", a.id " dir " LIMIT $3::text::int", 3 },                                \
	[LIST_##id##_FIRST_FILTERED] = { "applications_" #id "_first_filtered",                                        \
		LIST "WHERE " FILTERS " ORDER BY " expr " " dir ", a.id " dir                                           \
		     " LIMIT $7::text::int OFFSET $8::text::int", 8 },                                                   \
	[LIST_##id##_AFTER_FILTERED] = { "applications_" #id "_after_filtered",                                        \
		LIST "WHERE " FILTERS " AND (" expr ", a.id) " cmp " ($7::" cast ", $8::uuid)"                          \
		     " ORDER BY " expr " " dir ", a.id " dir " LIMIT $9::text::int", 9 },                                 \
	SEARCHED(id, expr, cast, dir, cmp)

/* Upper and lower case side by side, accents where readers look for them. */
#define BY_COMPANY "a.company_name COLLATE pg_catalog.\"und-x-icu\""


enum {
	CREATE,
	CREATE_BULK,
	CREATE_SHEET,
	GET,
	GET_WITH_DOCUMENTS,
	LOCK,
	UPDATE,
	DELETE,
	COUNT,
	COUNT_FILTERED,
	SHEET,
	ORDER_IDS(created_asc),
	ORDER_IDS(created_desc),
	ORDER_IDS(updated_asc),
	ORDER_IDS(updated_desc),
	ORDER_IDS(company_asc),
	ORDER_IDS(company_desc),
	ORDER_IDS(priority_asc),
	ORDER_IDS(priority_desc),
	SEARCHED_IDS(rank_desc)
};

const struct db_statement application_statements[] = {
	[CREATE] = { "applications_create",
	    "INSERT INTO public.applications AS a"
	    " (company_name, role_title, job_description, name, job_url, location, priority_level)"
	    " VALUES ($1, $2, $3, coalesce($4, public.generate_application_name($1, $2)), $5, $6,"
	    " coalesce($7::public.priority_level_type, 'medium')) RETURNING " WHOLE,
	    7 },
	[CREATE_BULK] = { "applications_create_bulk", INSERT_ALL WHOLE, 7 },
	[CREATE_SHEET] = { "applications_create_sheet", INSERT_ALL LISTED, 7 },
	[GET] = { "applications_get", "SELECT " WHOLE " FROM public.applications a WHERE a.id = $1", 1 },
	[GET_WITH_DOCUMENTS] = { "applications_get_with_documents",
	    "SELECT a.id, a.user_id, a.name, a.company_name, a.role_title, a.job_url, a.job_description, a.location,"
	    " a.priority_level, a.status, a.research_completed, a.resume_optimized, a.cover_letter_generated,"
	    " a.created_at, a.updated_at, " DOCUMENTS ", a.xmin::text || '.' || " DOCUMENT_TAGS " AS _etag"
	    " FROM public.applications a WHERE a.id = $1",
	    1 },
	[LOCK] = { "applications_lock", "SELECT 1 FROM public.applications a WHERE a.id = $1 FOR UPDATE", 1 },
	[UPDATE] = { "applications_update",
	    "UPDATE public.applications a SET"
	    " company_name = CASE WHEN $2 THEN $3 ELSE a.company_name END,"
	    " role_title = CASE WHEN $4 THEN $5 ELSE a.role_title END,"
	    " job_description = CASE WHEN $6 THEN $7 ELSE a.job_description END,"
	    " name = CASE WHEN $8 THEN $9 ELSE a.name END,"
	    " job_url = CASE WHEN $10 THEN $11 ELSE a.job_url END,"
	    " location = CASE WHEN $12 THEN $13 ELSE a.location END,"
	    " priority_level = CASE WHEN $14 THEN $15::public.priority_level_type ELSE a.priority_level END"
	    " WHERE a.id = $1 AND ($16::text[] IS NULL OR a.xmin::text = ANY ($16)) RETURNING " WHOLE,
	    16 },
	[DELETE] = { "applications_delete",
	    "DELETE FROM public.applications a WHERE a.id = $1"
	    " AND ($2::text[] IS NULL OR a.xmin::text = ANY ($2)) RETURNING a.id",
	    2 },
	[COUNT] = { "applications_count", "SELECT count(*) FROM public.applications a", 0 },
	[COUNT_FILTERED] = { "applications_count_filtered",
	    "SELECT count(*) FROM public.applications a WHERE " FILTERS, 6 },
	[SHEET] = { "applications_sheet",
	    "SELECT " SHEET_COLUMNS " FROM public.applications a WHERE " FILTERS
	    " AND (a.created_at, a.id) < ($7::timestamptz, $8::uuid) ORDER BY a.created_at DESC, a.id DESC LIMIT 64",
	    8 },
	ORDER(created_asc, "a.created_at", "timestamptz", "ASC", ">"),
	ORDER(created_desc, "a.created_at", "timestamptz", "DESC", "<"),
	ORDER(updated_asc, "a.updated_at", "timestamptz", "ASC", ">"),
	ORDER(updated_desc, "a.updated_at", "timestamptz", "DESC", "<"),
	ORDER(company_asc, BY_COMPANY, "text", "ASC", ">"),
	ORDER(company_desc, BY_COMPANY, "text", "DESC", "<"),
	ORDER(priority_asc, "a.priority_level", "public.priority_level_type", "ASC", ">"),
	ORDER(priority_desc, "a.priority_level", "public.priority_level_type", "DESC", "<"),
	SEARCHED(rank_desc, "a.rank", "real", "DESC", "<"),
	{ 0 },
};

#define STATEMENT(index) (&application_statements[index])

static const struct list_order orders[] = {
	ORDER_ROW("created_at", "-", created_desc),
	ORDER_ROW("created_at", "", created_asc),
	ORDER_ROW("updated_at", "-", updated_desc),
	ORDER_ROW("updated_at", "", updated_asc),
	ORDER_ROW("company_name", "-", company_desc),
	ORDER_ROW("company_name", "", company_asc),
	ORDER_ROW("priority_level", "-", priority_desc),
	ORDER_ROW("priority_level", "", priority_asc),
	RANK_ROW,
	{ 0 },
};

static const struct list list = {
	.name = "applications",
	.orders = orders,
	.search = "q",
	.count = STATEMENT(COUNT),
	.count_filtered = STATEMENT(COUNT_FILTERED),
	.sheet = STATEMENT(SHEET),
};

const struct endpoint application_endpoints[] = {
	{ .method = HTTP_GET, .path = API "/applications", .answer = ANSWER_LIST, .answers = listed, .query = filters,
	    .list = &list, .about = "Lists and searches the user's applications, without their description." },
	{ .method = HTTP_GET, .path = API "/applications/{id}", .answers = with_documents, .query = one_query, .statement = STATEMENT(GET),
	    .include = STATEMENT(GET_WITH_DOCUMENTS), .entity = "ApplicationWithDocuments",
	    .about = "Reads an application." },
	{ .method = HTTP_POST, .path = API "/applications", .answer = ANSWER_CREATED, .answers = whole, .body = body,
	    .statement = STATEMENT(CREATE), .bulk = STATEMENT(CREATE_BULK), .sheet = STATEMENT(CREATE_SHEET),
	    .problems = { PROBLEM_PLAN_LIMIT }, .about = "Creates an application, or with an array up to 500, all or none." },
	{ .method = HTTP_PATCH, .path = API "/applications/{id}", .answers = whole, .body = body, .statement = STATEMENT(UPDATE),
	    .exists = STATEMENT(LOCK), .problems = { PROBLEM_PLAN_LIMIT }, .about = "Changes an application." },
	{ .method = HTTP_DELETE, .path = API "/applications/{id}", .answer = ANSWER_EMPTY,
	    .statement = STATEMENT(DELETE), .exists = STATEMENT(LOCK),
	    .about = "Deletes an application and its documents." },
	{ 0 },
};
