#include "list.h"

#include <ctype.h>
#include <stdlib.h>

#include "arena.h"
#include "buffer.h"
#include "call.h"
#include "crypto.h"
#include "cursor.h"
#include "request.h"
#include "response.h"
#include "row.h"

enum { OFFSET_MAX = 1000000, CURSOR_SECRET = 32 };

enum { PARAM_LIMIT, PARAM_CURSOR, PARAM_OFFSET, PARAM_SORT, PARAM_COUNT };

static const char *const count_choices[] = { "exact", NULL };

const struct field list_fields[] = {
	[PARAM_LIMIT] = { .name = "limit", .type = FIELD_INTEGER, .min = 1, .max = LIST_LIMIT_MAX,
	    .about = "How many rows at most; 20 when it is left out." },
	[PARAM_CURSOR] = { .name = "cursor", .type = FIELD_TOKEN, .max = CURSOR_MAX,
	    .about = "Where the page starts: `next` of the page before. Not together with offset." },
	[PARAM_OFFSET] = { .name = "offset", .type = FIELD_INTEGER, .min = 0, .max = OFFSET_MAX,
	    .about = "How many rows to pass over. Not together with cursor." },
	[PARAM_SORT] = { .name = "sort", .type = FIELD_TOKEN, .max = 64, .about = "The order; '-' is descending." },
	[PARAM_COUNT] = { .name = "count", .type = FIELD_ENUM, .choices = count_choices,
	    .about = "With exact, the answer has the total number of rows that match." },
	{ 0 },
};

struct page {
	const struct list_order *order;
	const struct list_statements *statements;
	const char *scope;
	const char *limit_text;
	int limit;
	const char *offset;
	bool count;
	bool has_cursor;
	struct cursor cursor;
	struct step steps[3];
	struct db_param params[DB_MAX_PARAMS];
};

static int finish(struct call *call, const struct db_reply *reply);

/* ---- reading the parameters ---- */

static int
refuse(struct call *call, const char *name, const char *error)
{
	return call_problem(call, PROBLEM_BAD_QUERY,
	    arena_printf(call->arena, "The query parameter %s %s.", name, error));
}

/* The checked text of one of list_fields, or NULL when it was not sent. */
static int
parameter(struct call *call, int which, const char **text)
{
	const struct field *field = &list_fields[which];
	const char *error;

	*text = NULL;
	for (int i = 0; i < call->pair_count; i++) {
		if (!slice_is(call->pairs[i].name, field->name))
			continue;
		if (*text != NULL)
			return refuse(call, field->name, "occurs more than once");
		if (field_read_text(call->arena, field, call->pairs[i].value, text, &error) != 0)
			return which == PARAM_CURSOR ? call_problem(call, PROBLEM_BAD_CURSOR, NULL)
						     : refuse(call, field->name, error);
	}
	return 0;
}

/* Which filter a list's search is, or -1 when the client does not search. */
static int
search_filter(const struct call *call)
{
	const struct list *list = call->endpoint->list;
	const struct field *filters = call->endpoint->query;

	for (int i = 0; list->search != NULL && filters[i].name != NULL; i++)
		if (strcmp(filters[i].name, list->search) == 0)
			return call->query[i].present ? i : -1;
	return -1;
}

static bool
is_filtered(const struct call *call)
{
	int filters = field_count(call->endpoint->query);

	for (int i = 0; i < filters; i++)
		if (call->query[i].present)
			return true;
	return false;
}

static const struct list_order *
find_order(const struct list *list, const char *name)
{
	if (name == NULL)
		return list->orders;
	for (const struct list_order *order = list->orders; order->name != NULL; order++)
		if (strcmp(order->name, name) == 0)
			return order;
	return NULL;
}

/* Which statements of the order run; refuses an order of search results without a search. */
static int
choose_statements(struct call *call, const char *sort, struct page *page)
{
	const struct list *list = call->endpoint->list;
	bool searches = search_filter(call) >= 0;

	page->order = find_order(list, sort == NULL && searches ? list->search_order : sort);
	if (page->order == NULL)
		return refuse(call, "sort", "is not an order of this list");
	page->statements = searches         ? &page->order->searched
	    : is_filtered(call) ? &page->order->filtered
				: &page->order->plain;
	if (page->statements->first == NULL)
		return refuse(call, "sort", "is an order of search results, and there is no search");
	return 0;
}

/* What a cursor is bound to: the list, of what it is, and its order. */
static const char *
scope_of(struct call *call, const struct page *page)
{
	const char *scope = arena_printf(call->arena, "%s:%s", call->endpoint->list->name, page->order->name);

	for (int i = 0; i < ENDPOINT_MAX_PATH && call->ids[i] != NULL; i++)
		scope = arena_printf(call->arena, "%s:%s", scope, call->ids[i]);
	return scope;
}

static int
read_cursor(struct call *call, const char *text, struct page *page)
{
	uint8_t secret[CURSOR_SECRET];

	/* A cursor made before a rotation of the keys is as good as a token made before it. */
	for (size_t i = 0; !page->has_cursor && token_keys_derive(call->service->keys, i, "cursor", secret); i++)
		page->has_cursor =
		    cursor_decode(call->arena, secret, page->scope, call->user_id, slice_of(text), &page->cursor) == 0;
	crypto_wipe(secret, sizeof(secret));
	return page->has_cursor ? 0 : call_problem(call, PROBLEM_BAD_CURSOR, NULL);
}

static int
read_page(struct call *call, struct page *page)
{
	const char *text[PARAM_COUNT + 1];
	int status = 0;

	for (int i = 0; status == 0 && i <= PARAM_COUNT; i++)
		status = parameter(call, i, &text[i]);
	if (status == 0)
		status = choose_statements(call, text[PARAM_SORT], page);
	if (status != 0)
		return status;
	if (text[PARAM_CURSOR] != NULL && text[PARAM_OFFSET] != NULL)
		return refuse(call, "cursor", "and offset exclude each other");
	page->scope = scope_of(call, page);
	page->limit = text[PARAM_LIMIT] == NULL ? LIST_LIMIT_DEFAULT : atoi(text[PARAM_LIMIT]);
	/* One more than asked for tells whether there is a next page. */
	page->limit_text = arena_printf(call->arena, "%d", page->limit + 1);
	page->offset = text[PARAM_OFFSET] == NULL ? "0" : text[PARAM_OFFSET];
	page->count = text[PARAM_COUNT] != NULL;
	return text[PARAM_CURSOR] == NULL ? 0 : read_cursor(call, text[PARAM_CURSOR], page);
}

/* ---- running ---- */

int
list_bind(const struct call *call, bool filters, struct db_param params[])
{
	int count = 0;

	for (; count < ENDPOINT_MAX_PATH && call->ids[count] != NULL; count++)
		params[count] = DB_TEXT(call->ids[count]);
	for (int i = 0; filters && i < field_count(call->endpoint->query); i++)
		params[count++] = DB_TEXT(call->query[i].text);
	return count;
}

/* The page, then what its list is of, where that must be there, then the total, where it is asked for. */
static int
fetch(struct call *call, struct page *page)
{
	const struct list *list = call->endpoint->list;
	struct db_param *params = page->params;
	bool filtered = page->statements != &page->order->plain;
	int count = list_bind(call, filtered, params);
	int step = 1;

	page->steps[0] = (struct step){ page->has_cursor ? page->statements->after : page->statements->first, params };
	if (page->has_cursor) {
		params[count++] = DB_TEXT(page->cursor.key.data);
		params[count++] = DB_TEXT(page->cursor.id);
		params[count++] = DB_TEXT(page->limit_text);
	} else {
		params[count++] = DB_TEXT(page->limit_text);
		params[count++] = DB_TEXT(page->offset);
	}
	if (call->endpoint->exists != NULL)
		page->steps[step++] = (struct step){ call->endpoint->exists, params };
	if (page->count)
		page->steps[step++] = (struct step){ filtered ? list->count_filtered : list->count, params };
	call->state = page;
	return call_read(call, page->steps, step, finish);
}

/* ---- answering ---- */

static void
write_escaped(struct buffer *out, struct slice text)
{
	for (size_t i = 0; i < text.len; i++) {
		unsigned char c = (unsigned char)text.data[i];
		if (isalnum(c) || strchr("-._~", c) != NULL)
			buffer_putc(out, (char)c);
		else
			buffer_printf(out, "%%%02X", c);
	}
}

/* The address of the next page: this one's with another cursor (RFC 8288). */
static void
write_link(struct call *call, const char *next)
{
	struct buffer *out = &call->response->headers;

	BUFFER_LITERAL(out, "Link: <");
	buffer_append(out, call->request->path.data, call->request->path.len);
	BUFFER_LITERAL(out, "?");
	for (int i = 0; i < call->pair_count; i++) {
		struct slice name = call->pairs[i].name;
		if (slice_is(name, "cursor") || slice_is(name, "offset"))
			continue;
		buffer_append(out, name.data, name.len);
		buffer_putc(out, '=');
		write_escaped(out, call->pairs[i].value);
		buffer_putc(out, '&');
	}
	BUFFER_LITERAL(out, "cursor=");
	buffer_puts(out, next);
	BUFFER_LITERAL(out, ">; rel=\"next\"\r\n");
}

/* The cursor after row `row`, or NULL when the keys give no secret. */
static const char *
next_cursor(struct call *call, const struct page *page, const struct db_result *rows, int row)
{
	struct cursor cursor = { .key = db_get(rows, row, page->order->key) };
	struct slice id = db_get(rows, row, "id");
	uint8_t secret[CURSOR_SECRET];

	if (id.len != UUID_TEXT || !token_keys_derive(call->service->keys, 0, "cursor", secret))
		return NULL;
	memcpy(cursor.id, id.data, UUID_TEXT + 1);
	const char *text = cursor_encode(call->arena, secret, page->scope, call->user_id, &cursor);
	crypto_wipe(secret, sizeof(secret));
	return text;
}

static int
answer(struct call *call, const struct page *page, const struct db_result *rows, const struct db_result *total)
{
	struct buffer *out = &call->response->body;
	int found = db_rows(rows);
	int shown = found > page->limit ? page->limit : found;
	const char *next = found > shown ? next_cursor(call, page, rows, shown - 1) : NULL;

	BUFFER_LITERAL(out, "{\"data\":");
	row_write_array(out, rows, 0, shown);
	if (next == NULL) {
		BUFFER_LITERAL(out, ",\"next\":null");
	} else {
		buffer_printf(out, ",\"next\":\"%s\"", next);
		write_link(call, next);
	}
	if (total != NULL)
		buffer_printf(out, ",\"total\":%s", db_value(total, 0, 0).data);
	BUFFER_LITERAL(out, "}");
	return call->response->status = 200;
}

static int
finish(struct call *call, const struct db_reply *reply)
{
	const struct page *page = call->state;
	bool bound = call->endpoint->exists != NULL;

	if (reply->outcome != DB_OK)
		return call_refuse(call, reply);
	if (bound && db_rows(reply->results[1]) == 0)
		return call_problem(call, PROBLEM_NOT_FOUND, NULL);
	return answer(call, page, reply->results[0], page->count ? reply->results[bound ? 2 : 1] : NULL);
}

int
list_run(struct call *call)
{
	struct page *page = arena_calloc(call->arena, 1, sizeof(*page));
	int status = read_page(call, page);

	return status != 0 ? status : fetch(call, page);
}
