/* No password of a connection string is ever shown. */
#include "buffer.h"
#include "conninfo.h"
#include "tap.h"

static const struct {
	const char *given;
	const char *shown;
} cases[] = {
	{ "", "" },
	{ "  ", "" },
	{ "host=/run/postgresql dbname=jobforge", "host=/run/postgresql dbname=jobforge" },
	{ "host=a  user = b", "host=a user=b" },
	{ "password=secret", "password=***" },
	{ "password=", "password=***" },
	{ "host=a password=secret dbname=b", "host=a password=*** dbname=b" },
	{ "password = secret dbname=b", "password=*** dbname=b" },
	{ "password='with blank' dbname=b", "password=*** dbname=b" },
	{ "password='it\\'s one' dbname=b", "password=*** dbname=b" },
	{ "password='ends in \\\\' dbname=b", "password=*** dbname=b" },
	{ "password=blank\\ inside dbname=b", "password=*** dbname=b" },
	{ "password=end\\", "password=***" },
	{ "sslpassword=secret", "sslpassword=***" },
	{ "PASSWORD=secret", "PASSWORD=***" },
	{ "oauth_client_secret=s scram_client_key=k", "oauth_client_secret=*** scram_client_key=***" },
	{ "application_name='two words' user=b", "application_name='two words' user=b" },
	{ "password=two words", "***" },
	{ "password='not closed", "***" },
	{ "password='not closed\\'", "***" },
	{ "pass word=secret", "***" },
	{ "=secret", "***" },
	{ "secret", "***" },
	{ "postgresql://", "postgresql://" },
	{ "postgresql://host/db", "postgresql://host/db" },
	{ "postgresql://host:5432/db?sslmode=require", "postgresql://host:5432/db?sslmode=require" },
	{ "postgresql://user@host:5432/db", "postgresql://user@host:5432/db" },
	{ "postgresql://user:secret@host:5432/db", "postgresql://user:***@host:5432/db" },
	{ "postgres://user:secret@host", "postgres://user:***@host" },
	{ "postgresql://user:@host", "postgresql://user:***@host" },
	{ "postgresql://:secret@host", "postgresql://:***@host" },
	{ "postgresql://user:sec:ret@host", "postgresql://user:***@host" },
	{ "postgresql://user:sec/ret@host/db", "postgresql://user:***@host/db" },
	{ "postgresql://user:sec@ret@host/db", "postgresql://user:***@host/db" },
	{ "postgresql://user:sec?ret@host/db", "***" },
	{ "postgresql://host:5432/db?password=sec@ret", "***" },
	{ "postgresql://host/db?password=secret", "postgresql://host/db?password=***" },
	{ "postgresql://host/db?password=sec=ret&user=a", "postgresql://host/db?password=***&user=a" },
	{ "postgresql://host/db?user=a&sslpassword=secret&", "postgresql://host/db?user=a&sslpassword=***&" },
	{ "postgresql://host/db?pass%77ord=secret", "postgresql://host/db?pass%77ord=***" },
	{ "postgresql://host/db?", "postgresql://host/db?" },
	{ "postgresql://host/db?user&", "postgresql://host/db?user&" },
	{ "mysql://user:secret@host", "***" },
};

static void
test_lists(void)
{
	char item[8];

	is_int(conninfo_count(""), 0, "an empty list");
	is_int(conninfo_count("a"), 1, "a list of one");
	is_int(conninfo_count("a,b,/run/c"), 3, "a list of three");
	is_int(conninfo_count("a,,b"), 0, "an empty item within");
	is_int(conninfo_count("a,"), 0, "at the end");
	is_int(conninfo_count(",a"), 0, "at the beginning");
	conninfo_item("a,bc,d", 0, item, sizeof(item));
	is_string(item, "a", "the first item");
	conninfo_item("a,bc,d", 1, item, sizeof(item));
	is_string(item, "bc", "the second");
	conninfo_item("a,bc,d", 2, item, sizeof(item));
	is_string(item, "d", "the last");
	conninfo_item("", 1, item, sizeof(item));
	is_string(item, "", "of an empty list, nothing");
	conninfo_item("a,0123456789", 1, item, sizeof(item));
	is_string(item, "0123456", "as far as it fits");
}

int
main(void)
{
	struct buffer out = { 0 };
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		buffer_clear(&out);
		buffer_puts(&out, "before ");
		conninfo_mask(&out, cases[i].given);
		is_slice((struct slice){ out.data + 7, out.len - 7 }, cases[i].shown, "%s", cases[i].given);
	}
	ok(conninfo_valid("host=a password='b c'") && conninfo_valid("") && conninfo_valid("postgres://a"),
	    "valid strings");
	ok(!conninfo_valid("jobforge") && !conninfo_valid("password=a b") && !conninfo_valid("mysql://a"), "others");
	ok(memcmp(out.data, "before ", 7) == 0, "what was in the buffer stays");
	buffer_free(&out);
	test_lists();
	return done();
}
