#include "record.h"
#include "tap.h"

#define BEGIN_OF(id) "\1\1\0" id "\0\10\0\0" "\0\1\1\0\0\0\0\0"
#define HEADER_OF(type, id, len) "\1" type "\0" id "\0" len "\0\0"
#define BEGIN BEGIN_OF("\1")
#define PARAMS HEADER_OF("\4", "\1", "\6") "\2\2ABcd"
#define PARAMS_END HEADER_OF("\4", "\1", "\0")
#define BODY HEADER_OF("\5", "\1", "\3") "xyz"
#define BODY_END HEADER_OF("\5", "\1", "\0")
#define REQUEST BEGIN PARAMS PARAMS_END BODY BODY_END
#define LONG "\200\0\0\2\200\0\0\2ABcd"

struct stream {
	const char *name;
	struct slice bytes;
	bool good;
};

static const struct stream streams[] = {
	{ "a request", SLICE(REQUEST), true },
	{ "two of them", SLICE(REQUEST REQUEST), true },
	{ "another id", SLICE(BEGIN_OF("\2") HEADER_OF("\4", "\2", "\0")), true },
	{ "a request without parameters and body", SLICE(BEGIN PARAMS_END BODY_END), true },
	{ "padding", SLICE(BEGIN "\1\4\0\1\0\3\2\0" "\1\0A" "??" PARAMS_END BODY_END REQUEST), true },
	{ "padding of a beginning", SLICE("\1\1\0\1\0\10\2\0"), false },
	{ "padding behind the last parameter", SLICE(BEGIN "\1\4\0\1\0\0\3\0"), false },
	{ "padding behind a body", SLICE(BEGIN PARAMS_END "\1\5\0\1\0\0\3\0"), false },
	{ "lengths of four bytes", SLICE(BEGIN HEADER_OF("\4", "\1", "\14") LONG PARAMS_END), true },
	{ "a pair in two records",
	    SLICE(BEGIN HEADER_OF("\4", "\1", "\3") "\2\2A" HEADER_OF("\4", "\1", "\3") "Bcd" PARAMS_END), true },
	{ "a length in two records",
	    SLICE(BEGIN HEADER_OF("\4", "\1", "\2") "\200\0" HEADER_OF("\4", "\1", "\12") "\0\2\200\0\0\2ABcd"
		PARAMS_END), true },
	{ "a name without a value", SLICE(BEGIN HEADER_OF("\4", "\1", "\3") "\1\0A" PARAMS_END), true },
	{ "another version", SLICE("\2\1\0\1\0\10\0\0"), false },
	{ "no beginning", SLICE(PARAMS), false },
	{ "a body first", SLICE(BEGIN BODY), false },
	{ "two beginnings", SLICE(BEGIN BEGIN), false },
	{ "a second request within the first", SLICE(BEGIN BEGIN_OF("\2")), false },
	{ "a beginning that is too short", SLICE("\1\1\0\1\0\7\0\0"), false },
	{ "another role", SLICE("\1\1\0\1\0\10\0\0" "\0\2"), false },
	{ "the id 0", SLICE("\1\1\0\0\0\10\0\0"), false },
	{ "another id's parameters", SLICE(BEGIN HEADER_OF("\4", "\2", "\0")), false },
	{ "another id's body", SLICE(BEGIN PARAMS_END HEADER_OF("\5", "\2", "\0")), false },
	{ "an abortion", SLICE(BEGIN HEADER_OF("\2", "\1", "\0")), false },
	{ "an abortion of the body", SLICE(BEGIN PARAMS_END HEADER_OF("\2", "\1", "\0")), false },
	{ "a question about values", SLICE("\1\11\0\0\0\0\0\0"), false },
	{ "a question within a request", SLICE(BEGIN "\1\11\0\0\0\0\0\0"), false },
	{ "an unknown type", SLICE("\1\143\0\1\0\0\0\0"), false },
	{ "parameters that end within a value", SLICE(BEGIN HEADER_OF("\4", "\1", "\3") "\1\1A" PARAMS_END), false },
	{ "parameters that end within a length", SLICE(BEGIN HEADER_OF("\4", "\1", "\2") "\200\0" PARAMS_END), false },
	{ "parameters that end between the lengths", SLICE(BEGIN HEADER_OF("\4", "\1", "\1") "\1" PARAMS_END), false },
	{ "a name of 2 GiB", SLICE(BEGIN HEADER_OF("\4", "\1", "\4") "\377\377\377\377"), false },
	{ "a name and a value that are too long together",
	    SLICE(BEGIN HEADER_OF("\4", "\1", "\10") "\200\2\0\1\200\2\0\0"), false },
};

/* Cut everywhere in two: what is let through may not hang on how it arrives. */
static void
test_streams(void)
{
	for (size_t i = 0; i < COUNT_OF(streams); i++) {
		struct slice bytes = streams[i].bytes;
		size_t wrong = 0;
		for (size_t cut = 0; cut <= bytes.len; cut++) {
			struct record record = { 0 };
			bool good = record_take(&record, bytes.data, cut);
			good = record_take(&record, bytes.data + cut, bytes.len - cut) && good;
			wrong += good != streams[i].good;
		}
		is_int((long long)wrong, 0, "%s: %s", streams[i].name, streams[i].good ? "is taken" : "is refused");
	}
}

static void
test_refusal_is_for_good(void)
{
	struct record record = { 0 };

	ok(!record_take(&record, PARAMS, sizeof(PARAMS) - 1), "what is refused once");
	ok(!record_take(&record, REQUEST, sizeof(REQUEST) - 1), "is refused from then on");
}

/* Each record holds one pair of 4 + 1 + 59,995 bytes. */
static void
test_parameters_are_bounded(void)
{
	static char content[60000] = { 1, '\200', 0, '\352', '\132' };
	static const char header[] = "\1\4\0\1\xea\x60\0\0";
	struct record record = { 0 };
	int taken = 0;

	ok(record_take(&record, BEGIN, sizeof(BEGIN) - 1), "a request begins");
	while (record_take(&record, header, 8) && record_take(&record, content, sizeof(content)))
		taken++;
	is_int(taken, RECORD_PARAMS_MAX / (int)sizeof(content), "so many parameters are taken as fit");
}

static void
test_end_of_parameters(void)
{
	struct record record = { 0 };

	ok(record_take(&record, BEGIN PARAMS, sizeof(BEGIN PARAMS) - 1) && !record_has_params(&record),
	    "parameters without their end are none");
	ok(record_take(&record, PARAMS_END, sizeof(PARAMS_END) - 1) && record_has_params(&record), "with it they are");
	ok(!record_take(&record, BEGIN, sizeof(BEGIN) - 1) && !record_has_params(&record),
	    "nor are those before what is refused");
}

int
main(void)
{
	test_end_of_parameters();
	test_streams();
	test_refusal_is_for_good();
	test_parameters_are_bounded();
	return done();
}
