/*
 * Arguments: the query and the body of every endpoint against its tables, up to what is bound to its statements
 * (arguments.c, field.c, list.c, sheet.c, create.c). The input is four lines and a body: the number of the endpoint,
 * its query, the Content-Type, one of the other headers that it heeds ("name: value").
 *
 * Holds for every input: what is bound is UTF-8 without U+0000 and is of its field's type and bounds, by checks made
 * here anew (those of emails and addresses are the constraints of the database); what is refused is 400, 404, 406,
 * 413, 415 or 422, and what is refused as 422 names at least one fault.
 */
#include "fuzz.h"

#include <ctype.h>
#include <math.h>
#include <regex.h>
#include <stdlib.h>
#include <strings.h>

#include "arguments.h"
#include "create.h"
#include "encode.h"
#include "http.h"
#include "list.h"
#include "request.h"
#include "response.h"
#include "route.h"
#include "sheet.h"
#include "utf8.h"

/* ---- what is bound ---- */

static bool
is_like(const char *text, const char *pattern)
{
	regex_t regex;

	HOLDS(regcomp(&regex, pattern, REG_EXTENDED | REG_NOSUB | REG_ICASE) == 0);
	bool matches = regexec(&regex, text, 0, NULL, 0) == 0;
	regfree(&regex);
	return matches;
}

static void
check_vector(const char *text, int width)
{
	char *end;

	HOLDS(text[0] == '[');
	for (int i = 0; i < width; i++) {
		HOLDS(isfinite(strtof(text + 1, &end)) && end > text + 1);
		HOLDS(*end == (i + 1 < width ? ',' : ']'));
		text = end;
	}
	HOLDS(text[1] == '\0');
}

static bool
is_choice(const struct field *field, const char *text)
{
	for (const char *const *choice = field->choices; *choice != NULL; choice++)
		if (strcmp(*choice, text) == 0)
			return true;
	return false;
}

/* With a sheet an empty cell of a field that is not required is NULL. */
static void
check_text(const struct field *field, const char *text)
{
	size_t bytes = strlen(text);

	HOLDS(utf8_valid(text, bytes));
	size_t length = utf8_length(text, bytes);
	switch (field->type) {
	case FIELD_TEXT:
		HOLDS(length >= (size_t)field->min && length <= (size_t)field->max);
		HOLDS(field->max_bytes == 0 || bytes <= (size_t)field->max_bytes);
		break;
	case FIELD_PASSWORD:
		HOLDS(bytes >= (size_t)field->min && bytes <= (size_t)field->max);
		break;
	case FIELD_EMAIL:
		HOLDS(bytes <= 255 && is_like(text, "^[A-Za-z0-9._%+-]+@[A-Za-z0-9.-]+\\.[A-Za-z]{2,}$"));
		for (size_t i = 0; i < bytes; i++)
			HOLDS(!isupper((unsigned char)text[i]));
		break;
	case FIELD_URL:
		HOLDS(length <= (size_t)field->max && is_like(text, "^https?://[^[:space:]/$.?#].[^[:space:]]*$"));
		break;
	case FIELD_UUID:
		HOLDS(is_like(text, "^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$"));
		break;
	case FIELD_ENUM:
		HOLDS(is_choice(field, text));
		break;
	case FIELD_BOOL:
		HOLDS(strcmp(text, "true") == 0 || strcmp(text, "false") == 0);
		break;
	case FIELD_INTEGER:
		HOLDS(is_like(text, "^-?[0-9]+$") && atoll(text) >= field->min && atoll(text) <= field->max);
		break;
	case FIELD_TIME:
		HOLDS(is_like(text, "^[0-9]{4}-[01][0-9]-[0-3][0-9]"
				    "([t ][0-2][0-9]:[0-5][0-9]:[0-6][0-9](\\.[0-9]{1,9})?(z|[+-][01][0-9]:[0-5][0-9]))?$"));
		break;
	case FIELD_TOKEN:
		HOLDS(is_like(text, "^[!-~]+$") && bytes <= (size_t)field->max);
		break;
	case FIELD_VECTOR:
		check_vector(text, field->max);
		break;
	case FIELD_NUMBER:
	case FIELD_OBJECT:
	case FIELD_ARRAY:
		HOLDS(false); /* a type of answers alone */
	}
}

/* Takes the next element off an array literal; false at its end. *text is NULL for NULL. */
static bool
next_element(const char **array, char **text)
{
	const char *from = *array;

	HOLDS(*from == '{' || *from == ',' || *from == '}');
	if (*from == '}' || (*from == '{' && from[1] == '}')) {
		HOLDS(from[*from == '{' ? 2 : 1] == '\0');
		return false;
	}
	from++;
	*text = NULL;
	if (*from != '"') {
		HOLDS(strncmp(from, "NULL", 4) == 0);
		*array = from + 4;
		return true;
	}
	char *to = *text = arena_alloc(fuzz_arena(), strlen(from));
	for (from++; *from != '"'; from++) {
		from += *from == '\\';
		HOLDS(*from != '\0');
		*to++ = *from;
	}
	*array = from + 1;
	return true;
}

static int
check_array(const struct field *field, const char *array, bool nullable)
{
	int count = 0;
	char *text;

	for (; next_element(&array, &text); count++) {
		HOLDS(text != NULL || nullable);
		if (text != NULL)
			check_text(field, text);
	}
	return count;
}

static void
check_query(const struct call *call)
{
	const struct field *fields = call->endpoint->query;

	for (int i = 0; fields != NULL && fields[i].name != NULL; i++) {
		const struct value *value = &call->query[i];
		HOLDS(value->present == (value->text != NULL));
		if (value->present && fields[i].repeatable)
			HOLDS(check_array(&fields[i], value->text, false) > 0);
		else if (value->present)
			check_text(&fields[i], value->text);
	}
}

static void
check_sheet(struct call *call)
{
	struct db_param params[DB_MAX_PARAMS];
	const struct field *fields = call->endpoint->body;
	int rows = -1;

	if (sheet_bind(call, params) != 0)
		return;
	for (int i = 0; fields[i].name != NULL; i++) {
		int count = check_array(&fields[i], params[i].data, !fields[i].required);
		HOLDS(count > 0 && (rows < 0 || count == rows));
		rows = count;
	}
}

static void
check_body(struct call *call)
{
	const struct field *fields = call->endpoint->body;
	struct db_param params[DB_MAX_PARAMS];

	if (call->is_sheet) {
		check_sheet(call);
		return;
	}
	if (fields == NULL || create_is_bulk(call))
		return;
	for (int i = 0; fields[i].name != NULL; i++) {
		const struct value *value = &call->values[i];
		HOLDS(value->present || !fields[i].required || call->endpoint->method == HTTP_PATCH);
		HOLDS(value->text != NULL || !value->present || fields[i].nullable);
		if (value->text != NULL)
			check_text(&fields[i], value->text);
	}
	HOLDS(call_bind(call, params) <= DB_MAX_PARAMS);
}

/* The tags of If-Match, which are bound beside them. */
static void
check_tags(struct call *call)
{
	const char *array;
	char *text;

	if (call_if_match(call, &array) != 0 || array == NULL || strcmp(array, "{*}") == 0)
		return;
	while (next_element(&array, &text))
		HOLDS(text != NULL && utf8_valid(text, strlen(text)));
}

/* ---- the call ---- */

static const char *
make_path(const struct endpoint *endpoint)
{
	struct buffer out = { 0 };
	int ids = 0;

	for (const char *c = endpoint->path; *c != '\0'; c++) {
		if (*c != '{') {
			buffer_putc(&out, *c);
			continue;
		}
		const struct field *field = endpoint->path_fields == NULL ? NULL : &endpoint->path_fields[ids];
		buffer_puts(&out, field == NULL || field->type == FIELD_UUID ? FUZZ_USER : field->choices[0]);
		ids++;
		c = strchr(c, '}');
	}
	const char *path = arena_copy(fuzz_arena(), out.data, out.len);
	buffer_free(&out);
	return path;
}

static void
take_header(struct request *request, struct slice line)
{
	const struct {
		const char *name;
		struct slice *value;
	} known[] = { { "accept: ", &request->accept }, { "if-match: ", &request->if_match },
		{ "if-none-match: ", &request->if_none_match }, { "idempotency-key: ", &request->idempotency_key },
		{ "cookie: ", &request->cookie } };

	for (size_t i = 0; i < COUNT_OF(known); i++) {
		size_t len = strlen(known[i].name);
		if (line.len < len || strncmp(line.data, known[i].name, len) != 0)
			continue;
		*known[i].value = slice_of(arena_copy(fuzz_arena(), line.data + len, line.len - len));
		request->requested_with = SLICE("fuzz");
	}
}

static void
check_call(const struct endpoint *endpoint, struct request *request)
{
	static struct response response;
	const struct service *service = fuzz_service(endpoint->pool);
	struct call call = { .service = service, .arena = fuzz_arena(), .request = request, .response = &response };

	response_reset(&response);
	HOLDS(route_find(&call) == 0 && call.endpoint->pool == endpoint->pool);
	strcpy(call.user_id, FUZZ_USER);
	struct call first = call;
	faults_init(&first.faults, fuzz_arena());
	int status = arguments_check(&first);
	if (status == 0) {
		check_query(&first);
		check_body(&first);
		check_tags(&first);
	}
	HOLDS(status == 0 || status == 400 || status == 404 || status == 413 || status == 415 || status == 422);
	HOLDS(status != 422 || first.faults.count > 0);
	response_reset(&response);
	int again = endpoint_run(&call);
	HOLDS(again == response.status && again != 500);
	HOLDS(status == 0 || again == status);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice input = { (const char *)data, size };
	struct slice number = fuzz_line(&input), query = fuzz_line(&input), type = fuzz_line(&input);
	struct request request = { .id = "fuzz" };
	const struct endpoint *endpoints = fuzz_service(POOL_API)->endpoints;
	size_t count = 0, chosen = 0;

	while (endpoints[count].path != NULL)
		count++;
	HOLDS(count > 0);
	for (size_t i = 0; i < number.len && i < 3; i++)
		chosen = chosen * 10 + (unsigned char)number.data[i] % 16;
	const struct endpoint *endpoint = &endpoints[chosen % count];
	take_header(&request, fuzz_line(&input));
	request.method = endpoint->method;
	request.path = slice_of(make_path(endpoint));
	request.uri = request.path;
	request.query = fuzz_exact(query);
	request.content_type = fuzz_exact(type);
	request.body = fuzz_exact(input);
	/* What the bulk pool serves reads its body from the connection, which is not there. */
	if (endpoint->pool != POOL_BULK)
		check_call(endpoint, &request);
	arena_reset(fuzz_arena());
	return 0;
}
