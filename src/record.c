#include "record.h"

/* FastCGI specification 1.0, sections 3.3, 3.4 and 5.1. */
enum { HEADER = 8, BEGIN_BODY = 8, VERSION = 1 };
enum { TYPE_BEGIN = 1, TYPE_PARAMS = 4, TYPE_STDIN = 5 };

struct bytes {
	const uint8_t *data;
	size_t len;
};

static size_t
least(size_t a, size_t b)
{
	return a < b ? a : b;
}

static void
pass(struct bytes *bytes, size_t len)
{
	bytes->data += len;
	bytes->len -= len;
}

static uint16_t
pair_of_bytes(const uint8_t *at)
{
	return (uint16_t)(at[0] << 8 | at[1]);
}

/* ---- a record's header ---- */

/* An empty record ends the stream it is of. */
static bool
check_params(struct record *record)
{
	if (record->content > 0) {
		record->params += record->content;
		return record->params <= RECORD_PARAMS_MAX;
	}
	record->phase = RECORD_BODY;
	return record->pair == 0 && record->length == 0 && record->digits == 0;
}

/* Whether libfcgi turns to what comes next when it has read the content, and takes padding for a part of that. */
static bool
is_last(const struct record *record)
{
	return record->header[1] == TYPE_BEGIN || record->content == 0;
}

static bool
check_header(struct record *record)
{
	const uint8_t *header = record->header;
	uint16_t id = pair_of_bytes(header + 2);

	record->content = pair_of_bytes(header + 4);
	record->padding = header[6];
	if (header[0] != VERSION || id == 0 || (record->padding > 0 && is_last(record)))
		return false;
	switch (record->phase) {
	case RECORD_IDLE:
		record->phase = RECORD_PARAMS;
		record->id = id;
		record->begun = record->params = 0;
		return header[1] == TYPE_BEGIN && record->content == BEGIN_BODY;
	case RECORD_PARAMS:
		return header[1] == TYPE_PARAMS && id == record->id && check_params(record);
	case RECORD_BODY:
	default:
		if (record->content == 0)
			record->phase = RECORD_IDLE;
		return header[1] == TYPE_STDIN && id == record->id;
	}
}

static bool
take_header(struct record *record, struct bytes *bytes)
{
	size_t len = least(HEADER - record->header_len, bytes->len);

	memcpy(record->header + record->header_len, bytes->data, len);
	record->header_len += len;
	pass(bytes, len);
	return record->header_len < HEADER || check_header(record);
}

/* ---- a record's content ---- */

/* The role is that of a responder; the flags may be any. */
static bool
take_begin(struct record *record, struct bytes content)
{
	static const uint8_t role[] = { 0, 1 };

	for (; content.len > 0; pass(&content, 1), record->begun++)
		if (record->begun < sizeof(role) && *content.data != role[record->begun])
			return false;
	return true;
}

/* A byte of a length, which has one byte, or four when the first one's high bit is set. */
static bool
take_length(struct record *record, uint8_t byte)
{
	if (record->digits == 0) {
		record->digits = byte > 127 ? 4 : 1;
		record->number = byte & 127;
	} else {
		record->number = record->number << 8 | byte;
	}
	if (--record->digits > 0)
		return true;
	record->lengths += record->number;
	if (record->length == 1) {
		record->pair = record->lengths;
		record->lengths = 0;
	}
	record->length = 1 - record->length;
	return record->lengths + record->pair <= RECORD_PARAMS_MAX;
}

static bool
take_params(struct record *record, struct bytes content)
{
	while (content.len > 0) {
		size_t len = least(record->pair, content.len);
		record->pair -= len;
		pass(&content, len);
		if (content.len == 0)
			break;
		if (!take_length(record, *content.data))
			return false;
		pass(&content, 1);
	}
	return true;
}

/* The header tells whose content it is: the phase is already that of the next record. */
static bool
take_content(struct record *record, struct bytes *bytes)
{
	struct bytes content = { bytes->data, least(record->content, bytes->len) };

	record->content -= content.len;
	pass(bytes, content.len);
	switch (record->header[1]) {
	case TYPE_BEGIN:
		return take_begin(record, content);
	case TYPE_PARAMS:
		return take_params(record, content);
	default:
		return true;
	}
}

static bool
take_padding(struct record *record, struct bytes *bytes)
{
	size_t len = least(record->padding, bytes->len);

	record->padding -= len;
	pass(bytes, len);
	return true;
}

bool
record_take(struct record *record, const void *data, size_t len)
{
	struct bytes bytes = { data, len };

	while (bytes.len > 0 && !record->refused) {
		bool good = record->header_len < HEADER ? take_header(record, &bytes)
		    : record->content > 0           ? take_content(record, &bytes)
						    : take_padding(record, &bytes);
		record->refused = !good;
		if (record->header_len == HEADER && record->content == 0 && record->padding == 0)
			record->header_len = 0;
	}
	return !record->refused;
}

bool
record_has_params(const struct record *record)
{
	return !record->refused && record->phase != RECORD_PARAMS;
}
