/* Resumes: /api/v1/resumes. */
#include "api.h"
#include "api_shared.h"
#include "list.h"

#define RESUME_EXAMPLE \
	"# Ada Example\n\nEngineer with ten years of building and running services, from the first sketch to the pager at night."

/* In the order of the statements' parameters. */
static const struct field body[] = {
	{ .name = "name", .type = FIELD_TEXT, .required = true, .min = 1, .max = TITLE_MAX,
	    .about = "What the user calls the resume.", .example = "General" },
	{ .name = "content", .type = FIELD_TEXT, .required = true, .min = RESUME_MIN, .max = CONTENT_MAX, .max_bytes = CONTENT_MAX,
	    .about = "The resume, in Markdown.", .example = RESUME_EXAMPLE },
	{ .name = "focus_area", .type = FIELD_ENUM, .choices = focus_areas, .about = "What it is meant for; other when left out." },
	{ .name = "is_primary", .type = FIELD_BOOL,
	    .about = "Whether it is the one to begin with. One always is: the first by itself, and making one so ends it for the other." },
	{ 0 },
};

static const struct field filters[] = {
	{ .name = "focus_area", .type = FIELD_ENUM, .choices = focus_areas, .repeatable = true,
	    .about = "Only resumes for one of these." },
	{ .name = "q", .type = FIELD_TEXT, .min = 1, .max = QUESTION_MAX,
	    .about = "Only those whose name contains this, or whose content matches: words, \"phrases\", or, -without.",
	    .example = "engineer" },
	{ 0 },
};

#define ANSWER_BEGIN \
	{ .name = "id", .type = FIELD_UUID, .about = "The resume." }, \
	{ .name = "user_id", .type = FIELD_UUID, .about = "Whose it is." }, \
	{ .name = "name", .type = FIELD_TEXT, .about = "What the user calls it.", .example = "General" }
#define ANSWER_END \
	{ .name = "focus_area", .type = FIELD_ENUM, .choices = focus_areas, .about = "What it is meant for." }, \
	{ .name = "is_primary", .type = FIELD_BOOL, .about = "Whether it is the one to begin with." }, \
	{ .name = "created_at", .type = FIELD_TIME, .about = "When it was made." }, \
	{ .name = "updated_at", .type = FIELD_TIME, .about = "When it was changed last." }

static const struct field whole[] = {
	ANSWER_BEGIN,
	{ .name = "content", .type = FIELD_TEXT, .about = "Its Markdown.", .example = RESUME_EXAMPLE },
	ANSWER_END,
	{ 0 },
};

static const struct field listed[] = {
	ANSWER_BEGIN,
	ANSWER_END,
	SEARCH_FIELDS,
	{ 0 },
};

#define LISTED "r.id, r.user_id, r.name, r.focus_area, r.is_primary, r.created_at, r.updated_at"
#define WHOLE \
	"r.id, r.user_id, r.name, r.content, r.focus_area, r.is_primary, r.created_at, r.updated_at, r.xmin::text AS _etag"

/* The two filters, $1 and $2; one that is NULL lets all rows through. Contains is strpos, so that % and _ are plain. */
#define QUERY "(SELECT jobforge.search_query($2))"
/* Ranked by any of the words: what all of them together weigh takes time by the square of their number and places. */
#define WORDS "(SELECT jobforge.search_any(jobforge.search_query($2)))"
#define CONTAINS "strpos(lower(r.name), lower($2)) > 0"
#define FILTERS                                                                                                   \
	"($1::public.focus_area_type[] IS NULL OR r.focus_area = ANY ($1))"                                            \
	" AND ($2::text IS NULL OR " CONTAINS " OR r.search @@ " QUERY ")"
#define RANK "(ts_rank(r.search, " WORDS ") + (" CONTAINS ")::int)::real"

#define PAGE(condition, expr, dir, limits)                                                                        \
	"SELECT " LISTED " FROM public.user_resumes r " condition " ORDER BY " expr " " dir ", r.id " dir " " limits
/* The page is chosen first: only its rows are searched for what to show. */
#define SEARCHED_PAGE(condition, expr, dir, limits)                                                               \
	"SELECT " LISTED ", r.rank, jobforge.search_snippet(r.content, " QUERY ") AS snippet"                          \
	" FROM (SELECT * FROM (SELECT " LISTED ", r.content, " RANK " AS rank FROM public.user_resumes r WHERE " FILTERS \
	") r " condition " ORDER BY " expr " " dir ", r.id " dir " " limits ") r ORDER BY " expr " " dir ", r.id " dir

#define SEARCHED(id, expr, cast, dir, cmp)                                                                        \
	[LIST_##id##_FIRST_SEARCHED] = { "resumes_" #id "_first_searched",                                             \
		SEARCHED_PAGE("", expr, dir, "LIMIT $3::text::int OFFSET $4::text::int"), 4 },                          \
	[LIST_##id##_AFTER_SEARCHED] = { "resumes_" #id "_after_searched",                                             \
		SEARCHED_PAGE("WHERE (" expr ", r.id) " cmp " ($3::" cast ", $4::uuid)", expr, dir,                     \
		    "LIMIT $5::text::int"),                                                                              \
		5 }
#define ORDER(id, expr, cast, dir, cmp)                                                                           \
	[LIST_##id##_FIRST] = { "resumes_" #id "_first",                                                               \
		PAGE("", expr, dir, "LIMIT $1::text::int OFFSET $2::text::int"), 2 },                                   \
	[LIST_##id##_AFTER] = { "resumes_" #id "_after",                                                               \
		PAGE("WHERE (" expr ", r.id) " cmp " ($1::" cast ", $2::uuid)", expr, dir, "LIMIT $3::text::int"), 3 },  \
	[LIST_##id##_FIRST_FILTERED] = { "resumes_" #id "_first_filtered",                                             \
		PAGE("WHERE " FILTERS, expr, dir, "LIMIT $3::text::int OFFSET $4::text::int"), 4 },                     \
	[LIST_##id##_AFTER_FILTERED] = { "resumes_" #id "_after_filtered",                                             \
		PAGE("WHERE " FILTERS " AND (" expr ", r.id) " cmp " ($3::" cast ", $4::uuid)", expr, dir,              \
		    "LIMIT $5::text::int"),                                                                              \
		5 },                                                                                                    \
	SEARCHED(id, expr, cast, dir, cmp)

/* Upper and lower case side by side, accents where readers look for them. */
#define BY_NAME "r.name COLLATE pg_catalog.\"und-x-icu\""


enum {
	LOCK_USER,
	CREATE,
	GET,
	LOCK,
	UPDATE,
	DELETE,
	COUNT,
	COUNT_FILTERED,
	ORDER_IDS(created_asc),
	ORDER_IDS(created_desc),
	ORDER_IDS(updated_asc),
	ORDER_IDS(updated_desc),
	ORDER_IDS(name_asc),
	ORDER_IDS(name_desc),
	SEARCHED_IDS(rank_desc)
};

/* Which resume is primary depends on the others, so whoever changes one locks the user first: they take turns, and each sees
 * what the last one left. */
const struct db_statement resume_statements[] = {
	[LOCK_USER] = { "resumes_lock_user", "SELECT 1 FROM public.users u FOR NO KEY UPDATE", 0 },
	[CREATE] = { "resumes_create",
	    "INSERT INTO public.user_resumes AS r (name, content, focus_area, is_primary) VALUES ($1, $2,"
	    " coalesce($3::public.focus_area_type, 'other'), coalesce($4::boolean, false)) RETURNING " WHOLE,
	    4 },
	[GET] = { "resumes_get", "SELECT " WHOLE " FROM public.user_resumes r WHERE r.id = $1", 1 },
	[LOCK] = { "resumes_lock", "SELECT 1 FROM public.user_resumes r WHERE r.id = $1 FOR UPDATE", 1 },
	[UPDATE] = { "resumes_update",
	    "UPDATE public.user_resumes r SET"
	    " name = CASE WHEN $2 THEN $3 ELSE r.name END,"
	    " content = CASE WHEN $4 THEN $5 ELSE r.content END,"
	    " focus_area = CASE WHEN $6 THEN $7::public.focus_area_type ELSE r.focus_area END,"
	    " is_primary = CASE WHEN $8 THEN $9::boolean ELSE r.is_primary END"
	    " WHERE r.id = $1 AND ($10::text[] IS NULL OR r.xmin::text = ANY ($10)) RETURNING " WHOLE,
	    10 },
	[DELETE] = { "resumes_delete",
	    "DELETE FROM public.user_resumes r WHERE r.id = $1 AND ($2::text[] IS NULL OR r.xmin::text = ANY ($2))"
	    " RETURNING r.id",
	    2 },
	[COUNT] = { "resumes_count", "SELECT count(*) FROM public.user_resumes r", 0 },
	[COUNT_FILTERED] = { "resumes_count_filtered", "SELECT count(*) FROM public.user_resumes r WHERE " FILTERS, 2 },
	ORDER(created_asc, "r.created_at", "timestamptz", "ASC", ">"),
	ORDER(created_desc, "r.created_at", "timestamptz", "DESC", "<"),
	ORDER(updated_asc, "r.updated_at", "timestamptz", "ASC", ">"),
	ORDER(updated_desc, "r.updated_at", "timestamptz", "DESC", "<"),
	ORDER(name_asc, BY_NAME, "text", "ASC", ">"),
	ORDER(name_desc, BY_NAME, "text", "DESC", "<"),
	SEARCHED(rank_desc, "r.rank", "real", "DESC", "<"),
	{ 0 },
};

#define STATEMENT(index) (&resume_statements[index])

static const struct list_order orders[] = {
	ORDER_ROW("created_at", "-", created_desc),
	ORDER_ROW("created_at", "", created_asc),
	ORDER_ROW("updated_at", "-", updated_desc),
	ORDER_ROW("updated_at", "", updated_asc),
	ORDER_ROW("name", "", name_asc),
	ORDER_ROW("name", "-", name_desc),
	RANK_ROW,
	{ 0 },
};

static const struct list list = {
	.name = "resumes",
	.orders = orders,
	.search = "q",
	.search_order = "-rank",
	.count = STATEMENT(COUNT),
	.count_filtered = STATEMENT(COUNT_FILTERED),
};

const struct endpoint resume_endpoints[] = {
	{ .method = HTTP_GET, .path = API "/resumes", .answer = ANSWER_LIST, .answers = listed, .query = filters, .list = &list,
	    .about = "Lists and searches the user's resumes, without their content." },
	{ .method = HTTP_POST, .path = API "/resumes", .answer = ANSWER_CREATED, .answers = whole, .body = body,
	    .lock = STATEMENT(LOCK_USER), .statement = STATEMENT(CREATE), .problems = { PROBLEM_PLAN_LIMIT },
	    .about = "Creates a resume." },
	{ .method = HTTP_GET, .path = API "/resumes/{id}", .answers = whole, .representations = markdown_forms,
	    .statement = STATEMENT(GET),
	    .about = "Reads a resume: as JSON, as the Markdown itself, or rendered to HTML without anything that runs." },
	{ .method = HTTP_PATCH, .path = API "/resumes/{id}", .answers = whole, .body = body, .lock = STATEMENT(LOCK_USER),
	    .exists = STATEMENT(LOCK), .statement = STATEMENT(UPDATE), .problems = { PROBLEM_PLAN_LIMIT },
	    .about = "Changes a resume." },
	{ .method = HTTP_DELETE, .path = API "/resumes/{id}", .answer = ANSWER_EMPTY, .lock = STATEMENT(LOCK_USER),
	    .exists = STATEMENT(LOCK), .statement = STATEMENT(DELETE),
	    .about = "Deletes a resume. Was it the primary one, the newest becomes it." },
	{ 0 },
};
