#include "sheet.h"

#include <strings.h>

#include "arena.h"
#include "buffer.h"
#include "call.h"
#include "csv.h"
#include "db.h"
#include "http.h"
#include "list.h"
#include "request.h"
#include "response.h"
#include "row.h"

/* ---- a sheet in ---- */

enum { PASSED_OVER = -1 };

struct header {
	int columns;
	int field[CSV_COLUMNS]; /* which body field a column is, or PASSED_OVER */
};

static int
refuse_syntax(struct call *call, const struct csv *csv)
{
	return call_problem(call, PROBLEM_BAD_CSV,
	    arena_printf(call->arena, "Row %d, column %d: %s", csv->row, csv->column, csv->message));
}

static struct slice
trim(struct slice text)
{
	while (text.len > 0 && text.data[0] == ' ')
		text = (struct slice){ text.data + 1, text.len - 1 };
	while (text.len > 0 && text.data[text.len - 1] == ' ')
		text.len--;
	return text;
}

static int
find_name(const struct field fields[], struct slice name)
{
	for (int i = 0; fields != NULL && fields[i].name != NULL; i++)
		if (strlen(fields[i].name) == name.len && strncasecmp(fields[i].name, name.data, name.len) == 0)
			return i;
	return -1;
}

static void
read_header(struct call *call, const struct slice names[], int count, struct header *header)
{
	const struct field *fields = call->endpoint->body;
	bool seen[FIELDS_MAX] = { false };

	header->columns = count;
	for (int i = 0; i < count; i++) {
		struct slice name = trim(names[i]);
		int field = header->field[i] = find_name(fields, name);
		if (field < 0 && find_name(call->endpoint->answers, name) < 0)
			faults_add(&call->faults, "", "row 1, column %d: is not the name of a column that can be set", i + 1);
		else if (field >= 0 && seen[field])
			faults_add(&call->faults, "", "row 1, column %d: %s is there twice", i + 1, fields[field].name);
		else if (field >= 0)
			seen[field] = true;
	}
	for (int i = 0; fields[i].name != NULL; i++)
		if (fields[i].required && !seen[i])
			faults_add(&call->faults, "", "row 1: the column %s is missing", fields[i].name);
}

/* Checks one row's cells into values[field][row]; an empty cell is an absent value. */
static void
read_row(struct call *call, const struct header *header, const struct slice cells[], int row, const char **values[])
{
	const struct field *fields = call->endpoint->body;
	const char *error;

	for (int i = 0; i < header->columns; i++) {
		const struct field *field = &fields[header->field[i]];
		if (header->field[i] == PASSED_OVER || (cells[i].len == 0 && !field->required))
			continue;
		if (field_read_text(call->arena, field, cells[i], &values[header->field[i]][row], &error) != 0)
			faults_add(&call->faults, arena_printf(call->arena, "/%d/%s", row, field->name),
			    "row %d, column %d: %s", row + 2, i + 1, error);
	}
}

/* Reads the rows below the header. Returns how many, or -1 when the response is made. */
static int
read_rows(struct call *call, struct csv *csv, const struct header *header, const char **values[])
{
	struct slice *cells;
	int count;
	int rows = 0;
	int more;

	while ((more = csv_next_row(csv, call->arena, &cells, &count)) > 0 && call->faults.count < FAULTS_MAX) {
		if (rows == SHEET_ROWS_MAX) {
			faults_add(&call->faults, "", "has more than %d rows below its header", SHEET_ROWS_MAX);
			break;
		}
		if (count != header->columns)
			faults_add(&call->faults, arena_printf(call->arena, "/%d", rows),
			    "row %d: has %d columns, and the header %d", rows + 2, count, header->columns);
		else
			read_row(call, header, cells, rows, values);
		rows++;
	}
	if (more < 0) {
		refuse_syntax(call, csv);
		return -1;
	}
	return rows;
}

int
sheet_bind(struct call *call, struct db_param params[])
{
	const char **values[FIELDS_MAX];
	int width = field_count(call->endpoint->body);
	struct header header = { 0 };
	struct slice *names;
	struct csv csv;
	int count = 0;
	int rows = 0;

	csv_open(&csv, call->request->body);
	int more = csv_next_row(&csv, call->arena, &names, &count);
	if (more < 0)
		return refuse_syntax(call, &csv);
	if (more > 0)
		read_header(call, names, count, &header);
	if (call->faults.count > 0)
		return call_problem(call, PROBLEM_VALIDATION, NULL);
	for (int i = 0; i < width; i++)
		values[i] = arena_calloc(call->arena, SHEET_ROWS_MAX, sizeof(*values[i]));
	if (more > 0)
		rows = read_rows(call, &csv, &header, values);
	if (rows < 0)
		return call->response->status;
	if (rows == 0)
		faults_add(&call->faults, "", "must have 1 to %d rows below a row with the names of the columns", SHEET_ROWS_MAX);
	if (call->faults.count > 0)
		return call_problem(call, PROBLEM_VALIDATION, NULL);
	for (int i = 0; i < width; i++)
		params[i] = DB_TEXT(field_array(call->arena, values[i], rows));
	return 0;
}

/* ---- a sheet out ---- */

enum { PLAN };

/* The planner takes filters for choosier than they are, and would sort all of the user's rows for every batch. */
const struct db_statement sheet_statements[] = {
	[PLAN] = { "sheet_plan", "SELECT pg_catalog.set_config('enable_bitmapscan', 'off', true)", 0 },
	{ 0 },
};

static const char *const formats[] = { "json", "csv", NULL };

const struct field sheet_fields[] = {
	{ .name = "format", .type = FIELD_ENUM, .choices = formats,
	    .about = "With csv, all rows as one file of text/csv, instead of a page of JSON. Goes with filters alone." },
	{ 0 },
};

int
sheet_wanted(struct call *call, bool *wanted)
{
	static const char *const offers[] = { "application/json", "text/csv", NULL };
	const char *format = NULL;
	const char *error;

	for (int i = 0; i < call->pair_count; i++) {
		if (!slice_is(call->pairs[i].name, sheet_fields[0].name))
			continue;
		if (format != NULL)
			return call_problem(call, PROBLEM_BAD_QUERY, "The query parameter format occurs more than once.");
		if (field_read_text(call->arena, &sheet_fields[0], call->pairs[i].value, &format, &error) != 0)
			return call_problem(call, PROBLEM_BAD_QUERY,
			    arena_printf(call->arena, "The query parameter format %s.", error));
	}
	if (format == NULL)
		response_header(call->response, "Vary", "Accept");
	*wanted = format != NULL ? strcmp(format, "csv") == 0 : http_accept(call->request->accept, offers) == 1;
	return 0;
}

static int
refuse_paging(struct call *call)
{
	for (int i = 0; i < call->pair_count; i++)
		for (const struct field *field = list_fields; field->name != NULL; field++)
			if (slice_is(call->pairs[i].name, field->name))
				return call_problem(call, PROBLEM_BAD_QUERY,
				    arena_printf(call->arena, "The query parameter %s does not go with text/csv, which has all rows.",
					field->name));
	return 0;
}

static void
write_names(struct buffer *out, const struct db_result *rows)
{
	for (int column = 0; column < db_columns(rows); column++)
		csv_write_field(out, slice_of(db_name(rows, column)));
	csv_end_row(out);
}

static void
write_cell(struct buffer *out, struct buffer *scratch, enum db_type type, struct slice value)
{
	if (value.data == NULL) {
		csv_write_field(out, SLICE(""));
		return;
	}
	switch (type) {
	case DB_TYPE_BOOL:
		csv_write_field(out, value.data[0] == 't' ? SLICE("true") : SLICE("false"));
		break;
	case DB_TYPE_TIME:
		buffer_clear(scratch);
		row_write_time(scratch, value);
		csv_write_field(out, (struct slice){ scratch->data + 1, scratch->len - 2 }); /* without its quotes */
		break;
	default:
		csv_write_field(out, value);
	}
}

static void
write_rows(struct buffer *out, const struct db_result *rows)
{
	struct buffer scratch = { 0 };

	for (int row = 0; row < db_rows(rows); row++) {
		for (int column = 0; column < db_columns(rows); column++)
			write_cell(out, &scratch, db_type(rows, column), db_value(rows, row, column));
		csv_end_row(out);
	}
	buffer_free(&scratch);
}

/* Writes batch after batch of one snapshot, each after the last row of the one before. */
static int
write_sheet(struct call *call, struct arena *batch)
{
	const struct list *list = call->endpoint->list;
	struct db *db = call->service->db;
	struct db_param params[DB_MAX_PARAMS];
	int place = list_bind(call, true, params);
	struct db_reply reply = { .outcome = DB_LOST };
	bool more = db_ready(db) == 0;

	params[place] = DB_TEXT("infinity");
	params[place + 1] = DB_TEXT("ffffffff-ffff-ffff-ffff-ffffffffffff");
	if (more)
		db_begin(db, DB_SNAPSHOT, call_user(call), call->request->id);
	for (bool first = true; more; first = false) {
		if (first)
			db_send(db, &sheet_statements[PLAN], NULL);
		db_send(db, list->sheet, params);
		reply = db_flush(db, batch);
		if (reply.outcome != DB_OK)
			break;
		const struct db_result *rows = reply.results[reply.count - 1];
		int last = db_rows(rows) - 1;
		if (first)
			write_names(&call->response->body, rows);
		write_rows(&call->response->body, rows);
		more = last >= 0 && response_advance(call->response, call->request, call->conn) == 0;
		if (more) {
			params[place] = DB_TEXT(arena_printf(call->arena, "%s", db_get(rows, last, "created_at").data));
			params[place + 1] = DB_TEXT(arena_printf(call->arena, "%s", db_get(rows, last, "id").data));
		}
		arena_reset(batch);
	}
	if (reply.outcome == DB_OK)
		reply = db_commit(db, batch);
	if (reply.outcome == DB_OK)
		return call->response->status = 200;
	if (!call->response->started)
		return call_refuse(call, &reply);
	call->response->broken = true;
	return call->response->status;
}

int
sheet_answer(struct call *call)
{
	int status = refuse_paging(call);

	if (status != 0)
		return status;
	call->response->unsized = true;
	call->response->content_type = "text/csv; charset=utf-8; header=present";
	response_header(call->response, "Content-Disposition", "attachment; filename=\"%s.csv\"", call->endpoint->list->name);
	struct arena *batch = arena_new();
	status = write_sheet(call, batch);
	arena_free(batch);
	return status;
}
