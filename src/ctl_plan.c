/* plan: what users may hold, and who is on which plan. */
#include <stdio.h>
#include <stdlib.h>

#include "buffer.h"
#include "ctl.h"
#include "ctl_user.h"
#include "dbtool.h"
#include "writer.h"

static int run_define(struct ctl *);
static int run_list(struct ctl *);
static int run_set(struct ctl *);

enum { DEFINE_TITLE, DEFINE_APPLICATIONS, DEFINE_DOCUMENTS, DEFINE_EMBEDDINGS, DEFINE_BYTES, DEFINE_DEFAULT };
enum { SET_UNTIL, SET_STATUS, SET_REFERENCE };

const struct ctl_command ctl_plan_define = {
	.name = "plan define",
	.arguments = "PLAN",
	.words = 1,
	.summary = "Make a plan, or change the limits that are given of one; they count from each user's next request.",
	.options = {
		[DEFINE_TITLE] = { "--title", "TEXT", "What people call it." },
		[DEFINE_APPLICATIONS] = { "--applications", "N", "At most N applications, or none: without a limit." },
		[DEFINE_DOCUMENTS] = { "--documents", "N", "At most N documents, or none." },
		[DEFINE_EMBEDDINGS] = { "--embeddings", "N", "At most N embeddings, or none." },
		[DEFINE_BYTES] = { "--bytes", "N", "At most N bytes of texts and embeddings, or none." },
		[DEFINE_DEFAULT] = { "--default", NULL, "Make it the plan of all who have no subscription." },
	},
	.run = run_define,
};

const struct ctl_command ctl_plan_list = {
	.name = "plan list",
	.summary = "List the plans, their limits, and how many users are on each.",
	.run = run_list,
};

const struct ctl_command ctl_plan_set = {
	.name = "plan set",
	.arguments = "USER PLAN",
	.words = 2,
	.summary = "Put the user, named by email or id, on a plan; it counts from the next request.",
	.options = {
		[SET_UNTIL] = { "--until", "TIME", "Until TIME, as in 2027-01-31 or 2027-01-31T12:00Z; default: without end." },
		[SET_STATUS] = { "--status", "STATUS", "trialing, active, past_due or canceled; default: active." },
		[SET_REFERENCE] = { "--reference", "TEXT", "What the payment provider calls it." },
	},
	.run = run_set,
};

static void
print_rows(const struct ctl *ctl, const char *name, const struct db_rows *rows)
{
	struct buffer out = { 0 };
	struct writer writer = { .out = &out };
	if (!ctl->json) {
		ctl_append_table(&out, NULL, rows);
		ctl_print(&out);
		return;
	}
	writer_object(&writer, NULL);
	if (name != NULL)
		ctl_write_rows(&writer, name, rows);
	else
		ctl_write_row(&writer, rows, 0);
	ctl_print_json(&writer);
}

static int
run_list(struct ctl *ctl)
{
	static const char sql[] =
	    "WITH users AS (SELECT jobforge.plan_of(u.id) AS plan, count(*) AS number FROM public.users AS u GROUP BY 1)"
	    " SELECT p.name, p.title, p.is_default, p.applications, p.documents, p.embeddings, p.bytes, coalesce(u.number, 0) AS users"
	    " FROM public.plans AS p LEFT JOIN users AS u ON u.plan = p.name ORDER BY p.is_default DESC, p.name";
	struct db_tool *tool = ctl_connect_current(ctl);
	struct db_rows *rows = NULL;
	if (tool != NULL && ctl_execute(tool, "the session", "SET row_security = off", 0, NULL) == 0)
		rows = ctl_query(tool, "the plans", sql, 0, NULL);
	if (rows != NULL)
		print_rows(ctl, "plans", rows);
	db_rows_free(rows);
	db_tool_close(tool);
	return rows == NULL ? CTL_FAILED : CTL_OK;
}

/* ---- define ---- */

/* "none", digits, or not given: false for anything else. */
static bool
is_limit(const char *text)
{
	return text == NULL || strcmp(text, "none") == 0 ||
	    (text[0] != '\0' && strlen(text) <= 18 && strspn(text, "0123456789") == strlen(text));
}

static int
define(const struct ctl *ctl, struct db_tool *tool)
{
	/* A limit that was not given stays; one of a new plan is none. */
	static const char sql[] =
	    "INSERT INTO public.plans AS p (name, title, applications, documents, embeddings, bytes)"
	    " VALUES ($1, coalesce($2, $1), nullif($3, 'none')::bigint, nullif($4, 'none')::bigint, nullif($5, 'none')::bigint,"
	    " nullif($6, 'none')::bigint) ON CONFLICT (name) DO UPDATE SET title = coalesce($2, p.title),"
	    " applications = CASE WHEN $3 IS NULL THEN p.applications ELSE excluded.applications END,"
	    " documents = CASE WHEN $4 IS NULL THEN p.documents ELSE excluded.documents END,"
	    " embeddings = CASE WHEN $5 IS NULL THEN p.embeddings ELSE excluded.embeddings END,"
	    " bytes = CASE WHEN $6 IS NULL THEN p.bytes ELSE excluded.bytes END"
	    " RETURNING p.name, p.title, p.applications, p.documents, p.embeddings, p.bytes";
	const char *const params[] = { ctl_word(ctl, 0), ctl->values[DEFINE_TITLE], ctl->values[DEFINE_APPLICATIONS],
		ctl->values[DEFINE_DOCUMENTS], ctl->values[DEFINE_EMBEDDINGS], ctl->values[DEFINE_BYTES] };
	if (ctl_execute(tool, "the plan", "BEGIN", 0, NULL) != 0)
		return CTL_FAILED;
	struct db_rows *rows = ctl_query(tool, "the plan", sql, 6, params);
	int result = rows == NULL ? CTL_FAILED : 0;
	if (result == 0 && ctl_given(ctl, DEFINE_DEFAULT)) {
		/* One after the other: there may be one default at any moment. */
		result = ctl_execute(tool, "the plan", "UPDATE public.plans SET is_default = false WHERE is_default", 0, NULL);
		if (result == 0)
			result = ctl_execute(tool, "the plan", "UPDATE public.plans SET is_default = true WHERE name = $1", 1, params);
	}
	if (result == 0)
		result = ctl_execute(tool, "the plan", "COMMIT", 0, NULL);
	if (result == 0)
		print_rows(ctl, NULL, rows);
	db_rows_free(rows);
	return result;
}

static int
run_define(struct ctl *ctl)
{
	for (int option = DEFINE_APPLICATIONS; option <= DEFINE_BYTES; option++)
		if (!is_limit(ctl->values[option]))
			return ctl_misuse("%s must be a whole number, or none", ctl->command->options[option].name);
	struct db_tool *tool = ctl_connect_current(ctl);
	int result = tool == NULL ? CTL_FAILED : define(ctl, tool);
	db_tool_close(tool);
	return result;
}

/* ---- set ---- */

static int
check_plan(struct db_tool *tool, const char *name)
{
	const char *const params[] = { name };
	struct db_rows *rows = ctl_query(tool, "the plan", "SELECT FROM public.plans AS p WHERE p.name = $1", 1, params);
	int count = rows == NULL ? -1 : db_rows_count(rows);
	db_rows_free(rows);
	if (count == 0)
		return ctl_fail("there is no plan %s: jobforgectl plan list names them, and plan define makes one", name);
	return count > 0 ? 0 : CTL_FAILED;
}

static int
set_plan(struct ctl *ctl, struct ctl_user *user)
{
	static const char set[] = "SELECT jobforge.subscription_set($1::uuid, $2, $3::public.subscription_status_type, NULL,"
				  " $4::timestamptz, $5)";
	static const char shown[] =
	    "SELECT s.user_id AS id, s.plan, s.status, s.period_start, s.period_end, jobforge.plan_of(s.user_id) AS plan_in_effect"
	    " FROM public.subscriptions AS s WHERE s.user_id = $1::uuid";
	const char *status = ctl_given(ctl, SET_STATUS) ? ctl->values[SET_STATUS] : "active";
	const char *const params[] = { user->id, ctl_word(ctl, 1), status, ctl->values[SET_UNTIL], ctl->values[SET_REFERENCE] };
	if (check_plan(user->tool, params[1]) != 0 ||
	    ctl_execute(user->tool, "the subscription", set, COUNT_OF(params), params) != 0)
		return CTL_FAILED;
	struct db_rows *rows = ctl_query(user->tool, "the subscription", shown, 1, params);
	if (rows == NULL)
		return CTL_FAILED;
	print_rows(ctl, NULL, rows);
	db_rows_free(rows);
	return CTL_OK;
}

static int
run_set(struct ctl *ctl)
{
	struct ctl_user user;
	int result = ctl_user_open(ctl, &user) == 0 ? set_plan(ctl, &user) : CTL_FAILED;
	db_tool_close(user.tool);
	return result;
}
