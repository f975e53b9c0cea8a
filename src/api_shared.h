/* What several resources share: words, bounds, and documents and applications as they stand in answers of others. */
#ifndef JOBFORGE_API_SHARED_H
#define JOBFORGE_API_SHARED_H

#include "endpoint.h"
#include "field.h"

/* The enumerations of the database, NULL-terminated. */
extern const char *const priority_levels[];
extern const char *const application_statuses[];
extern const char *const document_types[]; /* in the order of the phases */
extern const char *const focus_areas[];

/* What the database takes: characters, except CONTENT_MAX, which is bytes as well. */
enum {
	TITLE_MAX = 255,
	URL_MAX = 2048,
	DESCRIPTION_MIN = 50,
	DESCRIPTION_MAX = 100000,
	DOCUMENT_MIN = 10,
	RESUME_MIN = 100,
	CONTENT_MAX = 512 * 1024,
	EMBEDDING_WIDTH = 1536,
	QUESTION_MAX = 200
};

/* A document's members around its content. */
#define DOCUMENT_BEGIN                                                                                            \
	{ .name = "id", .type = FIELD_UUID, .about = "The document." },                                                \
	{ .name = "application_id", .type = FIELD_UUID, .about = "Its application." },                                 \
	{ .name = "document_type", .type = FIELD_ENUM, .choices = document_types, .about = "What it is." }
#define DOCUMENT_END                                                                                              \
	{ .name = "created_at", .type = FIELD_TIME, .about = "When it was written first." },                           \
	{ .name = "updated_at", .type = FIELD_TIME, .about = "When it was written last." }
#define DOCUMENT_SHORT_FIELDS DOCUMENT_BEGIN, DOCUMENT_END

/* {id} and {document_type} of a path. */
extern const struct field document_path_fields[];

extern const struct field document_fields[];          /* whole */
extern const struct field document_short_fields[];    /* without its content */
extern const struct field application_brief_fields[]; /* what a document was written for */

/* A row with `content` in Markdown, as itself and as HTML. */
extern const struct representation markdown_forms[];

extern const struct field usage_fields[]; /* the columns of USAGE */
extern const struct field audit_fields[]; /* those of AUDIT_LOG */

/* A row for each month. A user who has written nothing in this one has no row of it: what was held last is held still. */
#define MONTH "date_trunc('month', now() AT TIME ZONE 'UTC')::date"
#define HELD "u.applications, u.documents, u.resumes, u.embeddings, u.bytes"
#define USAGE                                                                                                     \
	"SELECT * FROM (SELECT u.id, u.period, u.applications_created, u.documents_written, u.embeddings_stored,"      \
	" u.bytes_written, " HELD " FROM public.usage_tracking u"                                                      \
	" UNION ALL SELECT u.id, " MONTH ", 0, 0, 0, 0, " HELD " FROM public.usage_tracking u"                         \
	" WHERE u.is_current AND u.period < " MONTH ") u "

/* The table holds the values of an insertion or deletion as they are; its action says whether they are new or old. */
#define CHANGES                                                                                                   \
	"CASE l.action WHEN 'update' THEN l.changes ELSE (SELECT coalesce(jsonb_object_agg(c.key, jsonb_build_object(" \
	"CASE l.action WHEN 'insert' THEN 'new' ELSE 'old' END, c.value)), '{}')"                                      \
	" FROM jsonb_each(jsonb_strip_nulls(l.changes)) c) END AS changes"
#define AUDIT_LOG                                                                                                 \
	"SELECT l.id, l.user_id, l.created_at, l.actor, l.request_id, l.action, l.table_name, l.row_id, " CHANGES      \
	" FROM public.audit_log l "

/* The last two members of a search's rows. */
#define SEARCH_FIELDS                                                                                             \
	{ .name = "rank", .type = FIELD_NUMBER, .optional = true, .about = "How well it matches; only in a search." }, \
	{ .name = "snippet", .type = FIELD_TEXT, .optional = true,                                                     \
	    .about = "Where it matches, as HTML: matches in <mark>, all else escaped; only in a search." }

/* The names of an order's six statements in a table of statements, and its row in a table of orders; STATEMENT(index) is
 * the table's own. */
#define SEARCHED_IDS(id) LIST_##id##_FIRST_SEARCHED, LIST_##id##_AFTER_SEARCHED
#define ORDER_IDS(id) \
	LIST_##id##_FIRST, LIST_##id##_AFTER, LIST_##id##_FIRST_FILTERED, LIST_##id##_AFTER_FILTERED, SEARCHED_IDS(id)
#define SEARCHED_PAIR(id) { STATEMENT(LIST_##id##_FIRST_SEARCHED), STATEMENT(LIST_##id##_AFTER_SEARCHED) }
#define ORDER_ROW(column, sign, id)                                                                               \
	{ sign column, column, { STATEMENT(LIST_##id##_FIRST), STATEMENT(LIST_##id##_AFTER) },                         \
	    { STATEMENT(LIST_##id##_FIRST_FILTERED), STATEMENT(LIST_##id##_AFTER_FILTERED) }, SEARCHED_PAIR(id) }
#define RANK_ROW { .name = "-rank", .key = "rank", .searched = SEARCHED_PAIR(rank_desc) }

#endif
