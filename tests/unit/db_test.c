#include "db.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/time.h>

#include "arena.h"
#include "schema.h"
#include "tap.h"

enum { VALUES, SLEEP, LEAVE_OPEN, ECHO };

static const struct db_statement statements[] = {
	[VALUES] = { "values", "SELECT 1::smallint AS small, 2 AS plain, 3::bigint AS big, 0.5::float8 AS wide, true AS yes,"
	    " now() AS at, '{}'::jsonb AS json, 'x'::text AS text, NULL::text AS none", 0 },
	[SLEEP] = { "sleep", "SELECT pg_sleep(0.1)", 0 },
	[LEAVE_OPEN] = { "leave_open", "BEGIN", 0 },
	[ECHO] = { "echo", "SELECT $1::text AS text", 1 },
	{ 0 },
};
static const struct db_statement *const tables[] = { statements, NULL };

static struct db *
open_db(const char *conninfo, const struct db_statement *const *of)
{
	return db_new(&(struct db_settings){ .conninfo = conninfo, .connect_timeout = 10000, .statement_timeout = 4000,
	    .schema_version = SCHEMA_VERSION, .tables = of });
}

/* The only answer of one statement that reads. */
static struct db_reply
ask(struct db *db, struct arena *arena, int statement, const char *value)
{
	if (db_ready(db) != 0)
		bail_out("no connection: %s", db_problem(db));
	db_begin(db, DB_READ_ONLY, NULL, "test");
	db_send(db, &statements[statement], &DB_TEXT(value));
	return db_commit(db, arena);
}

static void
answers(struct db *db, struct arena *arena, const char *name)
{
	struct db_reply reply = ask(db, arena, ECHO, name);

	is_int(reply.outcome, DB_OK, "it answers");
	is_slice(db_get(reply.results[0], 0, "text"), name, "%s", name);
}

static void
test_types(struct db *db, struct arena *arena)
{
	static const enum db_type want[] = { DB_TYPE_NUMBER, DB_TYPE_NUMBER, DB_TYPE_NUMBER, DB_TYPE_NUMBER, DB_TYPE_BOOL, DB_TYPE_TIME,
		DB_TYPE_JSON, DB_TYPE_TEXT, DB_TYPE_TEXT };
	struct db_reply reply = ask(db, arena, VALUES, NULL);

	is_int(reply.count, 1, "one result");
	for (int i = 0; i < (int)COUNT_OF(want); i++)
		is_int(db_type(reply.results[0], i), want[i], "the type of %s", db_name(reply.results[0], i));
	ok(db_get(reply.results[0], 0, "none").data == NULL, "NULL is no value");
	ok(db_get(reply.results[0], 0, "nothing").data == NULL, "nor is what is not there");
}

static void
ignore_signal(int number)
{
	(void)number;
}

static void
test_signals_while_waiting(struct db *db, struct arena *arena)
{
	struct sigaction action = { .sa_handler = ignore_signal };
	struct itimerval timer = { .it_interval = { 0, 2000 }, .it_value = { 0, 2000 } };

	sigaction(SIGALRM, &action, NULL);
	setitimer(ITIMER_REAL, &timer, NULL);
	is_int(ask(db, arena, SLEEP, NULL).outcome, DB_OK, "signals end no wait for an answer");
	setitimer(ITIMER_REAL, &(struct itimerval){ 0 }, NULL);
}

static void
test_a_transaction_left_open(struct db *db, struct arena *arena)
{
	is_int(ask(db, arena, LEAVE_OPEN, NULL).outcome, DB_LOST, "a statement that leaves a transaction open costs the connection");
	answers(db, arena, "the next is on another");
}

static void
send_too_many(struct db *db)
{
	db_begin(db, DB_READ_ONLY, NULL, "test");
	for (int i = 0; i <= DB_MAX_ITEMS; i++)
		db_send(db, &statements[ECHO], &DB_TEXT("x"));
}

static void
test_too_many_statements(struct db *db, struct arena *arena)
{
	if (db_ready(db) != 0)
		bail_out("no connection: %s", db_problem(db));
	send_too_many(db);
	is_int(db_commit(db, arena).outcome, DB_LOST, "more statements than there is room for are not sent in part");
	answers(db, arena, "and the next are answered");
}

static void
test_too_many_beside_others(struct db *db, struct arena *arena)
{
	struct db_ticket ticket;

	if (db_ready(db) != 0)
		bail_out("no connection: %s", db_problem(db));
	db_begin(db, DB_READ_ONLY, NULL, "test");
	db_send(db, &statements[SLEEP], NULL);
	db_commit_later(db, &ticket, arena);
	send_too_many(db);
	is_int(db_ready(db), 0, "a connection on which nothing can be sent is made anew");
	ok(ticket.done && ticket.reply.outcome == DB_LOST, "and who waited on it is told");
	answers(db, arena, "the next is answered");
}

static void
test_a_wrong_table(const char *conninfo)
{
	static const struct db_statement wrong[] = { { "wrong", "SELECT $1::text", 2 }, { 0 } };
	struct db *db = open_db(conninfo, (const struct db_statement *const[]){ wrong, NULL });

	is_int(db_ready(db), -1, "a statement that has other parameters than its table says");
	is_string(db_problem(db), "wrong: has 1 parameters, declared with 2", "what is said of it");
	ok(!db_schema_differs(db), "which is not the schema's fault");
	db_free(db);
	db_free(NULL);
}

/* A host that has no address, or not in time. The first name has a part that is too long for the DNS: nobody is asked for it. */
static void
test_hosts_that_are_not_found(void)
{
	char conninfo[128] = "host=", name[71] = { 0 };
	struct db *db = open_db(strcat(conninfo, memset(name, 'a', 70)), tables);

	is_int(db_ready(db), -1, "a host that has no address");
	ok(strncmp(db_problem(db), "database: host aaa", 18) == 0 && strchr(db_problem(db) + 18, ':') != NULL, "what is said of it: %s",
	    db_problem(db));
	db_free(db);
	db = db_new(&(struct db_settings){ .conninfo = "host=localhost", .connect_timeout = 0, .tables = tables });
	is_int(db_ready(db), -1, "a host that is not found in time");
	is_string(db_problem(db), "database: host localhost: the name service did not answer in time", "what is said of that");
	db_free(db);
	setenv("PGHOST", "localhost", 1);
	db = db_new(&(struct db_settings){ .conninfo = "dbname=x", .connect_timeout = 0, .tables = tables });
	is_int(db_ready(db), -1, "a host of the environment that is not found in time");
	is_string(db_problem(db), "database: host localhost: the name service did not answer in time", "what is said of that one");
	db_free(db);
	unsetenv("PGHOST");
}

int
main(void)
{
	const char *database = getenv("JOBFORGE_TEST_SQL_DATABASE");
	char conninfo[1024];

	if (database == NULL) {
		puts("1..0 # SKIP JOBFORGE_TEST_SQL_DATABASE is not set: ./dev test sets it");
		return 0;
	}
	snprintf(conninfo, sizeof(conninfo), "%s user=jobforge_app", database);
	struct db *db = open_db(conninfo, tables);
	struct arena *arena = arena_new();
	test_types(db, arena);
	test_signals_while_waiting(db, arena);
	test_a_transaction_left_open(db, arena);
	test_too_many_statements(db, arena);
	test_too_many_beside_others(db, arena);
	test_a_wrong_table(conninfo);
	test_hosts_that_are_not_found();
	arena_free(arena);
	db_free(db);
	return done();
}
