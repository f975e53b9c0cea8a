#include "field.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "arena.h"
#include "buffer.h"
#include "encode.h"
#include "json.h"
#include "problem.h"
#include "utf8.h"

int
field_count(const struct field fields[])
{
	int count = 0;

	while (fields != NULL && fields[count].name != NULL)
		count++;
	return count;
}

/* ---- one check a type: NULL, or what is wrong ---- */

static bool
is_blank(struct slice text)
{
	for (size_t i = 0; i < text.len; i++)
		if (!isspace((unsigned char)text.data[i]))
			return false;
	return true;
}

static const char *
check_text(struct arena *arena, const struct field *field, struct slice text)
{
	size_t length = utf8_length(text.data, text.len);

	if (length > (size_t)field->max)
		return arena_printf(arena, "must have at most %d characters", field->max);
	if (field->max_bytes > 0 && text.len > (size_t)field->max_bytes)
		return arena_printf(arena, "must have at most %d bytes", field->max_bytes);
	if (length < (size_t)field->min)
		return field->min == 1 ? "must not be blank"
				       : arena_printf(arena, "must have at least %d characters", field->min);
	return field->min > 0 && is_blank(text) ? "must not be blank" : NULL;
}

static const char *
check_password(struct arena *arena, const struct field *field, struct slice text)
{
	if (text.len < (size_t)field->min)
		return arena_printf(arena, "must have at least %d bytes", field->min);
	if (text.len > (size_t)field->max)
		return arena_printf(arena, "must have at most %d bytes", field->max);
	return NULL;
}

static size_t
span(const char *text, size_t from, size_t len, const char *extra)
{
	while (from < len && (isalnum((unsigned char)text[from]) || strchr(extra, text[from]) != NULL))
		from++;
	return from;
}

/* The same language as the CHECK email_format: local@domain.tld. */
static bool
is_email(struct slice text)
{
	size_t local = span(text.data, 0, text.len, "._%+-");

	if (local == 0 || local == text.len || text.data[local] != '@')
		return false;
	if (span(text.data, local + 1, text.len, ".-") != text.len)
		return false;
	const char *dot = memrchr(text.data + local + 1, '.', text.len - local - 1);
	if (dot == NULL || dot == text.data + local + 1)
		return false;
	size_t tld = text.len - (size_t)(dot + 1 - text.data);
	for (size_t i = 0; i < tld; i++)
		if (!isalpha((unsigned char)dot[1 + i]))
			return false;
	return tld >= 2;
}

/* The same language as the CHECK valid_job_url: a scheme, a host that begins sanely, no white space. */
static bool
is_url(struct slice text)
{
	size_t start = strncasecmp(text.data, "http://", 7) == 0    ? 7
	    : strncasecmp(text.data, "https://", 8) == 0 ? 8
							 : 0;

	if (start == 0 || text.len < start + 2 || strchr("/$.?#", text.data[start]) != NULL)
		return false;
	for (size_t i = start; i < text.len; i++)
		if (isspace((unsigned char)text.data[i]) || iscntrl((unsigned char)text.data[i]))
			return false;
	return true;
}

static bool
is_choice(const struct field *field, struct slice text)
{
	for (const char *const *choice = field->choices; *choice != NULL; choice++)
		if (slice_is(text, *choice))
			return true;
	return false;
}

static const char *
list_choices(struct arena *arena, const struct field *field)
{
	const char *list = "must be";

	for (const char *const *choice = field->choices; *choice != NULL; choice++)
		list = arena_printf(arena, "%s%s %s", list,
		    choice == field->choices ? "" : choice[1] == NULL ? " or" : ",", *choice);
	return list;
}

static const char *
check_integer(struct arena *arena, const struct field *field, struct slice text)
{
	char *end;

	errno = 0;
	long long number = strtoll(text.data, &end, 10);
	bool digits = text.len > 0 && (isdigit((unsigned char)text.data[0]) || text.data[0] == '-');
	if (!digits || *end != '\0' || errno != 0 || number < field->min || number > field->max)
		return arena_printf(arena, "must be an integer from %d to %d", field->min, field->max);
	return NULL;
}

static bool
matches(const char *text, const char *shape)
{
	for (; *shape != '\0'; text++, shape++)
		if (*shape == '0' ? !isdigit((unsigned char)*text) : *text != *shape)
			return false;
	return true;
}

static int
two_digits(const char *text)
{
	return (text[0] - '0') * 10 + text[1] - '0';
}

static bool
is_date(const char *text)
{
	static const int days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };

	if (!matches(text, "0000-00-00"))
		return false;
	int year = two_digits(text) * 100 + two_digits(text + 2);
	int month = two_digits(text + 5);
	int day = two_digits(text + 8);
	bool leap = month == 2 && year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
	return year >= 1 && month >= 1 && month <= 12 && day >= 1 && day <= days[month - 1] + leap;
}

/* Whether some offset takes the day out of the years that RFC 3339 can write. */
static bool
is_edge(const char *text)
{
	return strncmp(text, "0001-01-01", 10) == 0 || strncmp(text, "9999-12-31", 10) == 0;
}

/* The offset that ends an RFC 3339 time: Z, or +hh:mm. */
static bool
is_offset(const char *text)
{
	if (*text == 'Z' || *text == 'z')
		return text[1] == '\0';
	return (*text == '+' || *text == '-') && matches(text + 1, "00:00") && text[6] == '\0' &&
	    two_digits(text + 1) <= 15 && two_digits(text + 4) <= 59; /* PostgreSQL takes no more */
}

/* A date, or date-time of RFC 3339 section 5.6. A leap second is taken as PostgreSQL takes it: the next minute,
 * and no fraction of it. */
static bool
is_time(struct slice text)
{
	if (text.len < 10 || text.len > 40 || !is_date(text.data))
		return false;
	if (text.len == 10)
		return true;
	if (strchr("Tt ", text.data[10]) == NULL || !matches(text.data + 11, "00:00:00"))
		return false;
	if (two_digits(text.data + 11) > 23 || two_digits(text.data + 14) > 59 || two_digits(text.data + 17) > 60)
		return false;
	const char *rest = text.data + 19;
	if (*rest == '.') {
		size_t digits = strspn(rest + 1, "0123456789");
		if (digits == 0 || digits > 9 || two_digits(text.data + 17) == 60)
			return false;
		rest += 1 + digits;
	}
	return is_offset(rest) && (!is_edge(text.data) || strpbrk(rest, "Zz") != NULL);
}

static const char *
check_token(struct arena *arena, const struct field *field, struct slice text)
{
	bool visible = text.len > 0 && text.len <= (size_t)field->max;

	for (size_t i = 0; visible && i < text.len; i++)
		visible = text.data[i] > ' ' && text.data[i] < 0x7f;
	return visible ? NULL : arena_printf(arena, "must be 1 to %d visible ASCII characters", field->max);
}

static const char *
check(struct arena *arena, const struct field *field, struct slice text)
{
	switch (field->type) {
	case FIELD_TEXT:
		return check_text(arena, field, text);
	case FIELD_PASSWORD:
		return check_password(arena, field, text);
	case FIELD_EMAIL:
		return text.len <= 255 && is_email(text) ? NULL : "must be an email address of at most 255 characters";
	case FIELD_URL:
		return utf8_length(text.data, text.len) <= (size_t)field->max && is_url(text)
		    ? NULL
		    : arena_printf(arena, "must be an http or https URL of at most %d characters", field->max);
	case FIELD_UUID:
		return uuid_valid(text.data, text.len) ? NULL : "must be a UUID";
	case FIELD_ENUM:
		return is_choice(field, text) ? NULL : list_choices(arena, field);
	case FIELD_BOOL:
		return slice_is(text, "true") || slice_is(text, "false") ? NULL : "must be true or false";
	case FIELD_INTEGER:
		return check_integer(arena, field, text);
	case FIELD_TIME:
		return is_time(text) ? NULL : "must be a date, or a time as RFC 3339 has it (2026-01-31T12:00:00Z)";
	case FIELD_TOKEN:
		return check_token(arena, field, text);
	case FIELD_VECTOR:
	case FIELD_NUMBER:
	case FIELD_OBJECT:
	case FIELD_ARRAY:
		break;
	}
	return "is not to be sent";
}

/* The stored form: emails are kept in lower case, so that two spellings are one account. */
static const char *
normalise(struct arena *arena, const struct field *field, struct slice text)
{
	char *copy = arena_copy(arena, text.data, text.len);

	for (char *c = copy; field->type == FIELD_EMAIL && *c != '\0'; c++)
		*c = (char)tolower((unsigned char)*c);
	return copy;
}

int
field_read_text(struct arena *arena, const struct field *field, struct slice text, const char **out, const char **error)
{
	if (memchr(text.data, '\0', text.len) != NULL) {
		*error = "must not hold U+0000";
		return -1;
	}
	*out = normalise(arena, field, text);
	*error = check(arena, field, (struct slice){ *out, text.len });
	return *error == NULL ? 0 : -1;
}

/* ---- bodies ---- */

static const char *
wrong_type(const struct field *field)
{
	switch (field->type) {
	case FIELD_BOOL:
		return "must be true or false";
	case FIELD_INTEGER:
		return "must be an integer";
	default:
		return "must be a string";
	}
}

/* Whether the number is finite once it is rounded to single precision, which is what a vector holds. The shortest text of the
 * largest single, with which it is read back, is a double above it. */
static bool
write_component(struct buffer *out, const struct json *number)
{
	double value;

	if (json_type(number) != JSON_NUMBER || !json_double(number, &value) || !isfinite((float)value))
		return false;
	/* Rounded here: the server may refuse what it would have to round to zero. Nine digits name any single. */
	buffer_printf(out, "%.9g,", (double)(float)value);
	return true;
}

/* The text form of pgvector: "[1,2,3]". The fault, if any, is at the first number that is wrong, missing or too many. */
static const char *
read_vector(struct arena *arena, const struct field *field, const struct json *array, const char **pointer,
    struct value *value)
{
	struct buffer out = { 0 };
	size_t width = (size_t)field->max;
	size_t length = json_length(array);
	size_t at = 0;

	if (json_type(array) != JSON_ARRAY)
		return arena_printf(arena, "must be an array of %zu numbers", width);
	buffer_putc(&out, '[');
	while (at < length && at < width && write_component(&out, json_at(array, at)))
		at++;
	out.data[out.len - 1] = ']';
	if (at == width && length == width)
		value->text = arena_copy(arena, out.data, out.len);
	buffer_free(&out);
	if (value->text != NULL)
		return NULL;
	*pointer = arena_printf(arena, "%s/%zu", *pointer, at);
	if (at == width)
		return arena_printf(arena, "is one too many: an embedding here has %zu numbers", width);
	if (at == length)
		return arena_printf(arena,
		    "is missing: an embedding here has %zu numbers (a model that gives more must be asked for %zu dimensions)",
		    width, width);
	return arena_printf(arena, "must be a finite number of single precision: an embedding has %zu of them", width);
}

static const char *
read_scalar(struct arena *arena, const struct field *field, struct slice text, struct value *value)
{
	const char *error = NULL;

	return field_read_text(arena, field, text, &value->text, &error) == 0 ? NULL : error;
}

/* Reads one member of a body. NULL, or what is wrong at *pointer. */
static const char *
read_member(struct arena *arena, const struct field *field, const struct json *member, const char **pointer,
    struct value *value)
{
	int64_t number;

	value->present = true;
	if (json_type(member) == JSON_NULL)
		return field->nullable ? NULL : "must not be null";
	switch (field->type) {
	case FIELD_VECTOR:
		return read_vector(arena, field, member, pointer, value);
	case FIELD_BOOL:
		if (json_type(member) != JSON_BOOL)
			return wrong_type(field);
		value->text = json_bool(member) ? "true" : "false";
		return NULL;
	case FIELD_INTEGER:
		if (json_type(member) != JSON_NUMBER || !json_integer(member, &number))
			return wrong_type(field);
		return read_scalar(arena, field, slice_of(arena_printf(arena, "%lld", (long long)number)), value);
	default:
		if (json_type(member) != JSON_STRING)
			return wrong_type(field);
		return read_scalar(arena, field, json_string(member), value);
	}
}

static const struct field *
find_field(const struct field fields[], struct slice name)
{
	for (; fields->name != NULL; fields++)
		if (slice_is(name, fields->name))
			return fields;
	return NULL;
}

const char *
field_unknown_pointer(struct arena *arena, const char *prefix, struct slice key)
{
	enum { KEY_SHOWN = 64 };
	struct buffer out = { 0 };
	size_t shown = 0;

	buffer_printf(&out, "%s/", prefix);
	for (size_t i = 0; i < key.len; i++) {
		bool starts = (key.data[i] & 0xc0) != 0x80;
		if (starts && shown++ == KEY_SHOWN)
			break;
		if (key.data[i] == '~' || key.data[i] == '/')
			buffer_puts(&out, key.data[i] == '~' ? "~0" : "~1");
		else
			buffer_putc(&out, key.data[i]);
	}
	const char *pointer = arena_copy(arena, out.data, out.len);
	buffer_free(&out);
	return pointer;
}

void
field_read_body(struct arena *arena, const struct field fields[], const struct json *object, bool partial,
    const char *prefix, struct value values[], struct faults *faults)
{
	struct json_cursor member = { 0 };

	if (json_type(object) != JSON_OBJECT) {
		faults_add(faults, prefix, "must be an object");
		return;
	}
	while (json_next(object, &member)) {
		const struct field *field = find_field(fields, member.key);
		if (field == NULL) {
			faults_add(faults, field_unknown_pointer(arena, prefix, member.key), "is not a field that can be set");
			continue;
		}
		const char *pointer = arena_printf(arena, "%s/%s", prefix, field->name);
		const char *error = read_member(arena, field, member.value, &pointer, &values[field - fields]);
		if (error != NULL)
			faults_add(faults, pointer, "%s", error);
	}
	for (int i = 0; !partial && fields[i].name != NULL; i++)
		if (fields[i].required && !values[i].present)
			faults_add(faults, arena_printf(arena, "%s/%s", prefix, fields[i].name), "is missing");
}

const char *
field_array(struct arena *arena, const char *const texts[], int count)
{
	size_t size = 3;

	for (int i = 0; i < count; i++)
		size += texts[i] == NULL ? 5 : 2 * strlen(texts[i]) + 3;
	char *array = arena_alloc(arena, size);
	char *to = array;
	*to++ = '{';
	for (int i = 0; i < count; i++) {
		if (i > 0)
			*to++ = ',';
		if (texts[i] == NULL) {
			to = stpcpy(to, "NULL");
			continue;
		}
		*to++ = '"';
		for (const char *c = texts[i]; *c != '\0'; c++) {
			if (*c == '"' || *c == '\\')
				*to++ = '\\';
			*to++ = *c;
		}
		*to++ = '"';
	}
	*to = '}';
	return array;
}
