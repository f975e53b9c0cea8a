/* What the service keeps of its users: /api/v1/usage, /api/v1/subscription and /api/v1/audit-log. */
#include "api.h"
#include "api_shared.h"
#include "list.h"

static const char *const statuses[] = { "none", "trialing", "active", "past_due", "canceled", NULL };
static const char *const tables[] = { "users", "applications", "documents", "user_resumes", "document_embeddings",
	"subscriptions", NULL };
static const char *const actions[] = { "insert", "update", "delete", NULL };

#define AMOUNT(column, about_it) { .name = column, .type = FIELD_INTEGER, .about = about_it, .example = "3" }

const struct field usage_fields[] = {
	{ .name = "id", .type = FIELD_UUID, .about = "This figure." },
	{ .name = "period", .type = FIELD_TEXT, .about = "The first day of the calendar month, in UTC.", .example = "2026-01-01" },
	AMOUNT("applications_created", "Applications created in it."),
	AMOUNT("documents_written", "Documents written in it, anew or over an older one."),
	AMOUNT("embeddings_stored", "Embeddings stored in it."),
	AMOUNT("bytes_written", "Bytes of the texts and embeddings written in it."),
	AMOUNT("applications", "Applications held when it ended; in the current month, now."),
	AMOUNT("documents", "Documents held then."),
	AMOUNT("resumes", "Resumes held then."),
	AMOUNT("embeddings", "Embeddings held then."),
	AMOUNT("bytes", "Bytes of the texts and embeddings held then."),
	{ 0 },
};

#define LIMIT(column) \
	{ .name = column, .type = FIELD_INTEGER, .nullable = true, .about = "The most; null: no limit.", .example = "100" }

static const struct field limit_fields[] = {
	LIMIT("applications"), LIMIT("documents"), LIMIT("embeddings"), LIMIT("bytes"), { 0 },
};

static const struct field used_fields[] = {
	AMOUNT("applications", "Applications held."),
	AMOUNT("documents", "Documents held."),
	AMOUNT("embeddings", "Embeddings held."),
	AMOUNT("bytes", "Bytes of the texts and embeddings held."),
	{ 0 },
};

static const struct field subscription_fields[] = {
	{ .name = "plan", .type = FIELD_TEXT, .about = "The plan that holds now.", .example = "free" },
	{ .name = "title", .type = FIELD_TEXT, .about = "What it is called.", .example = "Free" },
	{ .name = "status", .type = FIELD_ENUM, .choices = statuses, .about = "How the subscription is; none: there is none." },
	{ .name = "period_start", .type = FIELD_TIME, .nullable = true, .about = "When its period began." },
	{ .name = "period_end", .type = FIELD_TIME, .nullable = true, .about = "When it ends; null: it does not." },
	{ .name = "limits", .type = FIELD_OBJECT, .fields = limit_fields, .about = "How much the plan allows to be held." },
	{ .name = "used", .type = FIELD_OBJECT, .fields = used_fields, .about = "How much is held." },
	{ 0 },
};

static const struct field filters[] = {
	{ .name = "table_name", .type = FIELD_ENUM, .choices = tables, .repeatable = true, .about = "Only changes of these." },
	{ .name = "action", .type = FIELD_ENUM, .choices = actions, .repeatable = true, .about = "Only changes of these kinds." },
	{ .name = "row_id", .type = FIELD_UUID, .about = "Only changes of this." },
	{ .name = "created_after", .type = FIELD_TIME, .about = "Only changes after this time." },
	{ .name = "created_before", .type = FIELD_TIME, .about = "Only changes before this time." },
	{ 0 },
};

const struct field audit_fields[] = {
	{ .name = "id", .type = FIELD_UUID, .about = "The entry." },
	{ .name = "user_id", .type = FIELD_UUID, .about = "Whose data was changed." },
	{ .name = "created_at", .type = FIELD_TIME, .about = "When it was changed." },
	{ .name = "actor", .type = FIELD_TEXT, .about = "Who changed it: user, or the name of an administrator's role.",
	    .example = "user" },
	{ .name = "request_id", .type = FIELD_TEXT, .nullable = true, .about = "By which request, as in X-Request-Id.",
	    .example = "5f0c2b7d9e8a41c3b6d70f1e2a3c4b5d" },
	{ .name = "action", .type = FIELD_ENUM, .choices = actions, .about = "What was done." },
	{ .name = "table_name", .type = FIELD_ENUM, .choices = tables, .about = "To what." },
	{ .name = "row_id", .type = FIELD_UUID, .about = "To which; a subscription has the user's." },
	{ .name = "changes", .type = FIELD_OBJECT,
	    .about = "For each field that changed its old and new value, null left out; of long texts and embeddings size and "
		     "SHA-256, of a password only that it changed." },
	{ 0 },
};

#define FILTERS                                                                                                   \
	"WHERE ($1::text[] IS NULL OR l.table_name = ANY ($1)) AND ($2::text[] IS NULL OR l.action = ANY ($2))"        \
	" AND ($3::uuid IS NULL OR l.row_id = $3) AND l.created_at > coalesce($4::timestamptz, '-infinity')"           \
	" AND l.created_at < coalesce($5::timestamptz, 'infinity')"
#define LOG_ORDER(id, dir, cmp)                                                                                   \
	[LIST_##id##_FIRST] = { "audit_" #id "_first",                                                                 \
		AUDIT_LOG "ORDER BY l.created_at " dir ", l.id " dir " LIMIT $1::text::int OFFSET $2::text::int", 2 },         \
	[LIST_##id##_AFTER] = { "audit_" #id "_after",                                                                 \
		AUDIT_LOG "WHERE (l.created_at, l.id) " cmp " ($1::timestamptz, $2::uuid)"                                    \
		    " ORDER BY l.created_at " dir ", l.id " dir " LIMIT $3::text::int", 3 },                             \
	[LIST_##id##_FIRST_FILTERED] = { "audit_" #id "_first_filtered",                                               \
		AUDIT_LOG FILTERS " ORDER BY l.created_at " dir ", l.id " dir " LIMIT $6::text::int OFFSET $7::text::int", 7 }, \
	[LIST_##id##_AFTER_FILTERED] = { "audit_" #id "_after_filtered",                                               \
		AUDIT_LOG FILTERS " AND (l.created_at, l.id) " cmp " ($6::timestamptz, $7::uuid)"                             \
			    " ORDER BY l.created_at " dir ", l.id " dir " LIMIT $8::text::int", 8 }

#define LOG_ORDER_IDS(id) LIST_##id##_FIRST, LIST_##id##_AFTER, LIST_##id##_FIRST_FILTERED, LIST_##id##_AFTER_FILTERED
#define AMOUNTS(of) \
	"json_build_object('applications', " of "applications, 'documents', " of "documents, 'embeddings', " of "embeddings," \
	" 'bytes', " of "bytes)"

enum {
	SUBSCRIPTION,
	USAGE_FIRST,
	USAGE_AFTER,
	USAGE_OLDEST_FIRST,
	USAGE_OLDEST_AFTER,
	USAGE_COUNT,
	LOG_COUNT,
	LOG_COUNT_FILTERED,
	LOG_ORDER_IDS(newest),
	LOG_ORDER_IDS(oldest)
};

const struct db_statement service_statements[] = {
	[SUBSCRIPTION] = { "subscription_get",
	    "SELECT p.name AS plan, p.title, coalesce(s.status::text, 'none') AS status, s.period_start, s.period_end, "
	    AMOUNTS("p.") " AS limits, " AMOUNTS("u.") " AS used"
	    " FROM (SELECT public.get_current_user_id() AS id) me"
	    " JOIN public.plans p ON p.name = jobforge.plan_of(me.id)"
	    " LEFT JOIN public.subscriptions s ON s.user_id = me.id"
	    " CROSS JOIN LATERAL (SELECT coalesce(sum(t.applications), 0) AS applications,"
	    " coalesce(sum(t.documents), 0) AS documents, coalesce(sum(t.embeddings), 0) AS embeddings,"
	    " coalesce(sum(t.bytes), 0) AS bytes FROM public.usage_tracking t WHERE t.user_id = me.id AND t.is_current) u",
	    0 },
	[USAGE_FIRST] = { "usage_newest_first", USAGE "ORDER BY u.period DESC LIMIT $1::text::int OFFSET $2::text::int", 2 },
	[USAGE_AFTER] = { "usage_newest_after",
	    USAGE "WHERE (u.period, u.id) < ($1::date, $2::uuid) ORDER BY u.period DESC, u.id DESC LIMIT $3::text::int", 3 },
	[USAGE_OLDEST_FIRST] = { "usage_oldest_first", USAGE "ORDER BY u.period LIMIT $1::text::int OFFSET $2::text::int", 2 },
	[USAGE_OLDEST_AFTER] = { "usage_oldest_after",
	    USAGE "WHERE (u.period, u.id) > ($1::date, $2::uuid) ORDER BY u.period, u.id LIMIT $3::text::int", 3 },
	[USAGE_COUNT] = { "usage_count", "SELECT count(*) FROM (" USAGE ") u", 0 },
	[LOG_COUNT] = { "audit_count", "SELECT count(*) FROM public.audit_log l", 0 },
	[LOG_COUNT_FILTERED] = { "audit_count_filtered", "SELECT count(*) FROM public.audit_log l " FILTERS, 5 },
	LOG_ORDER(newest, "DESC", "<"),
	LOG_ORDER(oldest, "ASC", ">"),
	{ 0 },
};

#define STATEMENT(index) (&service_statements[index])

static const struct list_order usage_orders[] = {
	{ .name = "-period", .key = "period", .plain = { STATEMENT(USAGE_FIRST), STATEMENT(USAGE_AFTER) } },
	{ .name = "period", .key = "period", .plain = { STATEMENT(USAGE_OLDEST_FIRST), STATEMENT(USAGE_OLDEST_AFTER) } },
	{ 0 },
};

static const struct list usage_list = {
	.name = "usage",
	.orders = usage_orders,
	.count = STATEMENT(USAGE_COUNT),
};

#define LOG_ORDER_ROW(sign, id)                                                                                   \
	{ .name = sign "created_at", .key = "created_at",                                                              \
	    .plain = { STATEMENT(LIST_##id##_FIRST), STATEMENT(LIST_##id##_AFTER) },                                    \
	    .filtered = { STATEMENT(LIST_##id##_FIRST_FILTERED), STATEMENT(LIST_##id##_AFTER_FILTERED) } }

static const struct list_order log_orders[] = {
	LOG_ORDER_ROW("-", newest),
	LOG_ORDER_ROW("", oldest),
	{ 0 },
};

static const struct list log_list = {
	.name = "audit-log",
	.orders = log_orders,
	.count = STATEMENT(LOG_COUNT),
	.count_filtered = STATEMENT(LOG_COUNT_FILTERED),
};

const struct endpoint service_endpoints[] = {
	{ .method = HTTP_GET, .path = API "/usage", .answer = ANSWER_LIST, .answers = usage_fields, .list = &usage_list,
	    .entity = "Usage", .about = "Lists what was written in each month, and what was held at its end." },
	{ .method = HTTP_GET, .path = API "/subscription", .answers = subscription_fields, .statement = STATEMENT(SUBSCRIPTION),
	    .entity = "Subscription", .about = "Reads which plan holds, what it allows, and what of it is used." },
	{ .method = HTTP_GET, .path = API "/audit-log", .answer = ANSWER_LIST, .answers = audit_fields, .query = filters,
	    .list = &log_list, .entity = "AuditEntry", .about = "Lists who changed what of the user's data, and when." },
	{ 0 },
};
