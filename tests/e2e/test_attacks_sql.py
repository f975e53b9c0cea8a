"""
SQL typed by hand with the rights of a worker, while the current user is mallory: no statement shows, changes or tells
anything of alice. tests/security/README.md says what is assumed and what is not promised.

What the worker's role is refused, the administrator, whom no policy holds, does with the same text: it was refused
for whose the rows are, and not by a slip of the test.
"""

import io
import re
from threading import Thread

import psycopg2
import pytest

from examples import DESCRIPTION, EMBEDDING, owned
from stack import NO_SUCH_ID, Client, Stack, connect, wait_for

OPTIONS = {"login_attempts": 1000}
KEY = "alices-idempotency-key"
VECTOR = "[" + ",".join(str(number) for number in EMBEDDING) + "]"
HASH = "'\\x" + "00" * 32 + "'"


@pytest.fixture(scope="module")
def alice(stack):
    user = stack.user(full_name="Alice Secretname")
    user.owned = owned(user)
    user.post("/applications", {"company_name": "Alicecorp", "role_title": "Engineer", "job_description": DESCRIPTION},
              headers={"Idempotency-Key": KEY}).ok(201)
    user.create_many([{"company_name": "Alicecorp"}] * 40)
    user.post("/resumes", {"name": "Alicetitle", "content": DESCRIPTION * 2}).ok(201)
    (user.hash,), = stack.sql("SELECT password_hash FROM public.users WHERE id = %s", user.id)
    (user.family,), = stack.sql("SELECT id FROM jobforge.refresh_families WHERE user_id = %s", user.id)
    user.secrets = [user.email, user.id, user.hash, "Secretname", "Alicecorp", KEY, *user.owned.values()]
    return user


@pytest.fixture(scope="module")
def mallory(stack, alice):
    user = stack.user(full_name="Mallory")
    user.owned = owned(user)
    user.create_many([{"company_name": "Mallorycorp"}] * 40)
    stack.sql("ANALYZE")  # what the planner knows of a service that has run for a while
    return user


class Session:
    """A connection on which statements are typed; whatever comes back is text."""

    def __init__(self, stack, role, user_id):
        self.connection = connect(stack.name, role)
        self.be(user_id)

    def be(self, user_id, local=False):
        self.run("SELECT set_config('app.current_user_id', %s, %s)", user_id, local)

    def run(self, statement, *values):
        with self.connection.cursor() as sql:
            if statement.startswith("COPY") and "STDOUT" in statement:
                out = io.StringIO()
                sql.copy_expert(statement, out)
                return out.getvalue()
            sql.execute(statement, values or None)
            return sql.fetchall() if sql.description else sql.rowcount

    def attempt(self, statement):
        """The error of a statement that is refused."""
        with pytest.raises(psycopg2.Error) as refused:
            self.run(statement)
        return f"{refused.value.pgcode} {refused.value}"

    def tell(self, *statements, keep=False):
        """What the statements say in one transaction, which is taken back unless `keep`: rows, notices, the error."""
        told = []
        del self.connection.notices[:]
        self.connection.autocommit = False
        try:
            for statement in statements:
                told.append(str(self.run(statement)))
            if keep:
                self.connection.commit()
        except psycopg2.Error as error:
            told.append(f"{error.pgcode} {error}")
        finally:
            self.connection.rollback()
            self.connection.autocommit = True
        return "\n".join([*told, *self.connection.notices])


@pytest.fixture
def typed(stack, mallory):
    session = Session(stack, "jobforge_app", mallory.id)
    yield session
    session.connection.close()


@pytest.fixture
def administrator(stack, mallory):
    session = Session(stack, None, mallory.id)
    yield session
    session.connection.close()


def shown(alice, told):
    return [secret for secret in alice.secrets if secret in told]


def rows_of(stack, user):
    """Every row that holds the user's id."""
    return {table: sorted(text for text, in stack.sql(f"SELECT t::text FROM {table} t") if user.id in text)
            for table in stack.tables()}


# --- What shows rows ------------------------------------------------------------------------------------------------

TABLES = ["public.users", "public.applications", "public.documents", "public.user_resumes",
          "public.document_embeddings",
          "public.audit_log", "public.usage_tracking", "jobforge.refresh_families", "jobforge.idempotency_keys"]
EMAILS = "SELECT email FROM public.users"
NAMES = "SELECT company_name FROM public.applications"

READS = {
    **{f"all of {table}": [f"SELECT t::text FROM {table} t"] for table in TABLES},
    "a condition that is always true": [EMAILS + " WHERE true OR id = id"],
    "a condition on another user": [NAMES + " WHERE user_id <> public.get_current_user_id()"],
    "a join": ["SELECT u.email, a.company_name FROM public.users u FULL JOIN public.applications a ON true"],
    "a lateral join": [f"SELECT s.* FROM public.users u, LATERAL ({NAMES}) s"],
    "a recursive query": [
        "WITH RECURSIVE r AS (SELECT id FROM public.users UNION SELECT a.id FROM r, public.applications a)"
        " SELECT * FROM r"],
    "a materialised query": [f"WITH s AS MATERIALIZED ({NAMES}) SELECT * FROM s"],
    "an aggregate": ["SELECT string_agg(email, ',') FROM public.users"],
    "a window": ["SELECT lag(company_name) OVER (ORDER BY id) FROM public.applications"],
    "grouping sets": ["SELECT company_name, count(*) FROM public.applications GROUP BY CUBE (company_name)"],
    "a sample": [NAMES + " TABLESAMPLE BERNOULLI (100)"],
    "places in the table": [EMAILS + " WHERE ctid >= '(0,1)'"],
    "system columns": ["SELECT xmin, cmin, ctid, tableoid::regclass, u FROM public.users u"],
    "rows as JSON": ["SELECT json_agg(a) FROM public.applications a"],
    "a table as XML": ["SELECT table_to_xml('public.applications', true, true, '')"],
    "a query as XML": [f"SELECT query_to_xml('{EMAILS}', true, true, '')"],
    "a cursor as XML": [f"DECLARE c CURSOR FOR {EMAILS}", "SELECT cursor_to_xml('c', 100, true, true, '')"],
    "a cursor": [f"DECLARE c SCROLL CURSOR FOR {EMAILS}", "FETCH ALL FROM c"],
    "statistics of words": ["SELECT word FROM ts_stat('SELECT to_tsvector(''simple'', email) FROM public.users')"],
    "a rewritten question": ["SELECT ts_rewrite('a', 'SELECT ''a''::tsquery, quote_literal(email)::tsquery"
                             " FROM public.users WHERE full_name LIKE ''Alice%''')"],
    "the nearest vectors": [
        f"SELECT document_id FROM public.document_embeddings ORDER BY embedding OPERATOR(public.<=>) '{VECTOR}'"
        " LIMIT 10"],
    "a copy of a table": ["COPY public.users TO STDOUT"],
    "a copy of a query": ["COPY (SELECT * FROM public.applications) TO STDOUT (FORMAT csv)"],
    "a copy of what a change returns": [
        "COPY (UPDATE public.applications SET location = 'x' RETURNING company_name) TO STDOUT"],
    "what an UPDATE returns": ["UPDATE public.users SET full_name = full_name RETURNING email"],
    "what a DELETE returns": ["DELETE FROM public.applications RETURNING company_name"],
    "what a MERGE finds": [
        "MERGE INTO public.applications a USING public.applications s ON s.id = a.id WHEN MATCHED THEN"
        " UPDATE SET location = s.company_name", "SELECT location FROM public.applications"],
    "rows locked": [EMAILS + " FOR UPDATE SKIP LOCKED"],
    "a block of code": [
        f"DO $$ DECLARE r record; BEGIN FOR r IN {EMAILS} LOOP RAISE WARNING '%', r.email; END LOOP; END $$"],
    "dynamic code": ["DO $$ DECLARE t text; BEGIN EXECUTE 'SELECT string_agg(email, '','') FROM public.users' INTO t;"
                     " RAISE WARNING '%', t; END $$"],
    "an error that prints a value": [f"SELECT email::integer FROM ({EMAILS} WHERE full_name LIKE 'Alice%') s"],
    "an error in a condition": [EMAILS + " WHERE full_name LIKE 'Alice%' AND email::date > now()"],
    "an error of an enumeration": ["SELECT company_name::public.priority_level_type FROM public.applications"
                                   " WHERE company_name LIKE 'Alice%'"],
    "an error of a name": ["SELECT quote_ident(email)::regclass FROM public.users WHERE full_name LIKE 'Alice%'"],
    "an error of a time zone": ["SELECT now() AT TIME ZONE full_name FROM public.users WHERE full_name LIKE 'Alice%'"],
    "an error of a setting": [
        "SELECT set_config('DateStyle', email, true) FROM public.users WHERE full_name LIKE 'Alice%'"],
    "a setting that keeps a value": ["SELECT set_config('x.y', string_agg(email, ','), true) FROM public.users",
                                     "SELECT current_setting('x.y')"],
    "parallel workers": ["SET LOCAL debug_parallel_query = on", "SET LOCAL parallel_setup_cost = 0",
                         "SET LOCAL enable_seqscan = on",
                         "SELECT string_agg(company_name, ',') FROM public.applications"],
    "every kind of scan but the usual": ["SET LOCAL enable_seqscan = on", "SET LOCAL enable_indexscan = off",
                                         "SET LOCAL enable_indexonlyscan = off", "SET LOCAL enable_bitmapscan = off",
                                         NAMES],
}


@pytest.mark.parametrize("name", READS)
def test_nothing_of_alice_is_shown_by(alice, typed, administrator, name):
    told = typed.tell(*READS[name])
    assert shown(alice, told) == [], told[:2000]
    assert shown(alice, administrator.tell(*READS[name])), "without the policies it would have been"


def test_row_security_off_is_an_error_and_no_way_out(alice, typed):
    for table in TABLES:
        assert "42501" in typed.tell("SET LOCAL row_security = off", f"SELECT FROM {table}")


# --- What tells one bit ---------------------------------------------------------------------------------------------

def explain(statement):
    """As a plan that would rather take any index than read one user's rows."""
    return ["SET LOCAL enable_seqscan = off", "SET LOCAL enable_sort = off", "SET LOCAL enable_bitmapscan = off",
            "EXPLAIN (ANALYZE, TIMING OFF, SUMMARY OFF, BUFFERS OFF) " + statement]


DOCUMENT = ("INSERT INTO public.documents (application_id, document_type, content)"
            " VALUES ('{}', 'research_report', 'Some content')")
APPLICATION = ("INSERT INTO public.applications (user_id, name, company_name, role_title, job_description)"
               f" VALUES ('{{}}', 'n', 'c', 'r', '{DESCRIPTION}')")
FOUND = "SELECT count(*) FROM public.users WHERE full_name LIKE '{}%'"

# A statement with a place for a guess; a right guess; a wrong one.
GUESSES = {
    "a count": (FOUND, "Alice", "Bob"),
    "a division by zero": ("SELECT FROM public.users WHERE 1 / (full_name NOT LIKE '{}%')::integer = 1", "Alice",
                           "Bob"),
    "a division by the length of a name": ("SELECT FROM public.users WHERE 1 / (length(full_name) - {}) = 0", "16",
                                           "3"),
    "a CASE that fails": ("SELECT CASE WHEN full_name LIKE '{}%' THEN full_name::integer END FROM public.users",
                          "Alice", "Bob"),
    "a subquery of two rows": (
        "SELECT (SELECT n FROM generate_series(1, 1 + (full_name LIKE '{}%')::integer) n) FROM public.users",
        "Alice", "Bob"),
    "a document of an application": (DOCUMENT, "application", NO_SUCH_ID),
    "a document of an application, or a change": (
        DOCUMENT + " ON CONFLICT (application_id, document_type) DO UPDATE SET content = excluded.content",
        "application", NO_SUCH_ID),
    "a document of an application, or nothing": (DOCUMENT + " ON CONFLICT DO NOTHING", "application", NO_SUCH_ID),
    "an embedding of a document": (
        f"INSERT INTO public.document_embeddings (document_id, embedding) VALUES ('{{}}', '{VECTOR}')",
        "document", NO_SUCH_ID),
    "an application": ("SELECT FROM public.applications WHERE id = '{}'", "application", NO_SUCH_ID),
    "an application to change": ("UPDATE public.applications SET location = 'x' WHERE id = '{}'", "application",
                                 NO_SUCH_ID),
    "an application to delete": ("DELETE FROM public.applications WHERE id = '{}'", "application", NO_SUCH_ID),
    "an application to lock": ("SELECT FROM public.applications WHERE id = '{}' FOR UPDATE NOWAIT", "application",
                               NO_SUCH_ID),
    "an application to merge": (
        "MERGE INTO public.applications a USING (VALUES ('{}'::uuid)) v (id) ON a.id = v.id WHEN MATCHED THEN DELETE"
        " WHEN NOT MATCHED THEN INSERT (name) VALUES (NULL)", "application", NO_SUCH_ID),
    "whose application it is": ("SELECT public.user_owns_application('{}')", "application", NO_SUCH_ID),
    "a row for another user": (APPLICATION, "user", NO_SUCH_ID),
    "an idempotency key of another user": (
        "INSERT INTO jobforge.idempotency_keys (user_id, key, request_hash, status, body)"
        f" SELECT '{{0}}', '{KEY}', {HASH}, 201, ''", "user", NO_SUCH_ID),
    "an idempotency key": ("INSERT INTO jobforge.idempotency_keys (key, request_hash, status, body)"
                           f" VALUES ('{{}}', {HASH}, 201, '')", KEY, "another"),
    "the claim of an idempotency key": (f"SELECT jobforge.idempotency_claim('{{}}', {HASH})", KEY, "another"),
    "a primary resume": ("SELECT jobforge.keep_one_primary('{{{}}}', '{{}}', '{{}}')", "user", NO_SUCH_ID),
    "somebody's plan": ("SELECT jobforge.plan_of('{}')", "user", NO_SUCH_ID),
    "somebody's subscription": ("SELECT FROM public.subscriptions WHERE user_id = '{}'", "user", NO_SUCH_ID),
    "somebody shut out": ("SELECT FROM jobforge.disabled_users WHERE user_id = '{}'", "user", NO_SUCH_ID),
    "a session to revoke": ("UPDATE jobforge.refresh_families SET revoked_at = now() WHERE id = '{}'", "family",
                            NO_SUCH_ID),
}
# Of these the plan is the message. A plan names the guess, which is put back.
PLANS = {
    "an address": ("SELECT FROM public.users WHERE email = '{}'", "email", "nobody@example.com"),
    "an address by its beginning": ("SELECT FROM public.users WHERE email >= '{0}' AND email < '{0}~'", "email",
                                    "nobody@example.com"),
    "an address as the index has it": ("SELECT FROM public.users WHERE lower(email COLLATE \"C\") = '{}'", "email",
                                       "nobody@example.com"),
    "a company that many rows name": ("SELECT FROM public.applications WHERE company_name = '{}'", "Alicecorp",
                                      "Nocorp"),
    "a range of companies": ("SELECT FROM public.applications WHERE company_name < '{}'", "Alicf", "Alica"),
    "a title": ("SELECT FROM public.user_resumes WHERE name = '{}'", "Alicetitle", "Notitle"),
    "a time": ("SELECT FROM public.applications WHERE created_at < '{}'", "2100-01-01", "2099-01-01"),
    "an application by its id": ("SELECT FROM public.applications WHERE id = '{}'", "application", NO_SUCH_ID),
    "an idempotency key": ("SELECT FROM jobforge.idempotency_keys WHERE key = '{}'", KEY, "alices-idempotency-kez"),
}

# Of these no policy decides: the statement asks for the current user's alone, or there is nothing of the kind.
NEVER_TOLD = {"an idempotency key", "the claim of an idempotency key", "somebody's plan", "somebody's subscription",
              "somebody shut out", "whose application it is", "a primary resume", "a document of an application",
              "a document of an application, or a change", "a document of an application, or nothing",
              "an embedding of a document"}


def guess_of(alice, guess):
    names = {"user": alice.id, "email": alice.email, "family": alice.family, **alice.owned}
    return str(names.get(guess, guess))


def answers(session, template, guesses, make=lambda statement: [statement]):
    """What is told of each guess, but for the guess itself and what depends on who looked first."""
    told = [session.tell(*make(template.format(guess))).replace(guess, "GUESS") for guess in guesses]
    return [re.sub(r"Heap Fetches: \d+", "Heap Fetches", text) for text in told]


@pytest.mark.parametrize("name", GUESSES)
def test_a_right_guess_looks_like_a_wrong_one(stack, alice, typed, administrator, name):
    template, right, wrong = GUESSES[name]
    guesses = [guess_of(alice, right), guess_of(alice, wrong)]
    told = answers(typed, template, guesses)
    assert told[0] == told[1]
    if name not in NEVER_TOLD:
        told = answers(administrator, template, guesses)
        assert told[0] != told[1], "without the policies it would not"


@pytest.mark.parametrize("name", PLANS)
def test_a_plan_does_not_tell_a_right_guess(alice, typed, name):
    template, right, wrong = PLANS[name]
    told = answers(typed, template, [guess_of(alice, right), guess_of(alice, wrong)], explain)
    assert "Scan" in told[0] and told[0] == told[1]


def test_what_is_told_of_an_address_is_that_it_is_taken(alice, typed):
    """The contract says so to whoever registers. Nothing else of the owner is."""
    told = typed.tell(f"UPDATE public.users SET email = '{alice.email}'")
    assert told.startswith("23505") and "users_email_key" in told
    assert shown(alice, told) in ([], [alice.email])


# --- What changes rows ----------------------------------------------------------------------------------------------

WRITES = {
    **{f"delete of {table}": [f"DELETE FROM {table}"] for table in (
        "public.users", "public.applications", "public.documents", "public.user_resumes", "public.document_embeddings",
        "jobforge.idempotency_keys")},
    "update of everything": [
        "UPDATE public.users SET full_name = 'x', password_hash = 'x'",
        "UPDATE public.applications SET company_name = 'x'",
        "UPDATE public.documents SET content = 'some content'",
        "UPDATE public.user_resumes SET name = 'x', is_primary = false",
        f"UPDATE public.document_embeddings SET embedding = '{VECTOR}'",
        "UPDATE jobforge.refresh_families SET revoked_at = now()",
        "UPDATE jobforge.idempotency_keys SET body = ''"],
    "sessions revoked": ["SELECT jobforge.sessions_revoke_all()"],
    "resumes marked": ["SELECT jobforge.keep_one_primary(ARRAY['{user}']::uuid[], '{{}}', '{{}}')"],
    "an import that never ends": ["SET LOCAL app.importing = 'on'", "UPDATE public.applications SET location = 'x'",
                                  "DELETE FROM public.user_resumes"],
    "rows given away": ["INSERT INTO public.documents (user_id, application_id, document_type, content)"
                        " VALUES ('{user}', '{application}', 'optimized_resume', 'Some content')"],
    "a row copied into her account": ["COPY public.applications (user_id, name) FROM STDIN"],
    "the password that is not known": ["SELECT jobforge.session_open('{user}', 'x', '$2b$04$x', " + HASH + ", 3600)"],
    "a refresh token that is not known": [f"SELECT jobforge.refresh_rotate({HASH}, {HASH}, 3600, 10)",
                                          f"SELECT jobforge.refresh_revoke({HASH})"],
    "figures that are swept": ["SELECT jobforge.performance_record('x', 0, 1, '[]', -1)"],
    "a trigger of the session's replication": ["SET session_replication_role = replica", "DELETE FROM public.users"],
}


@pytest.mark.parametrize("name", WRITES)
def test_nothing_of_alice_is_changed_by(stack, alice, mallory, name):
    session = Session(stack, "jobforge_app", stack.user().id)
    before = rows_of(stack, alice)
    for statement in WRITES[name]:
        told = session.tell(statement.format(user=alice.id, **alice.owned), keep=True)
        assert shown(alice, told.replace(alice.id, "").replace(alice.owned["application"], "")) == []
    session.connection.close()
    assert rows_of(stack, alice) == before
    alice.post("/auth/login", {"email": alice.email, "password": alice.password}, token=None).ok()
    stack.sql("DELETE FROM jobforge.refresh_families WHERE user_id = %s AND id <> %s", alice.id, alice.family)


# --- What the role may not do at all --------------------------------------------------------------------------------

REFUSED = {
    "42501": [
        "CREATE SCHEMA mine", "CREATE TABLE public.mine ()", "CREATE TABLE jobforge.mine ()",
        "CREATE TEMPORARY TABLE mine ()",
        "CREATE VIEW public.mine AS SELECT 1", "CREATE TEMPORARY VIEW mine AS SELECT 1", "CREATE SEQUENCE public.mine",
        "CREATE MATERIALIZED VIEW public.mine AS SELECT 1", "SELECT 1 AS x INTO public.mine",
        "CREATE FUNCTION public.mine() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "CREATE FUNCTION pg_temp.mine() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "CREATE OPERATOR public.= (LEFTARG = text, RIGHTARG = text, FUNCTION = texteq)",
        "CREATE TYPE public.mine AS (x int)", "CREATE DOMAIN public.mine AS text",
        "CREATE CAST (text AS integer) WITH INOUT", "CREATE COLLATION public.mine FROM \"C\"",
        "CREATE RULE mine AS ON SELECT TO public.users DO INSTEAD SELECT 1",
        "CREATE RULE mine AS ON UPDATE TO public.applications DO ALSO DELETE FROM public.applications",
        "CREATE TRIGGER mine AFTER INSERT ON public.applications EXECUTE FUNCTION jobforge.keep_primary_resume()",
        "CREATE POLICY mine ON public.users USING (true)", "ALTER POLICY users_own_data ON public.users USING (true)",
        "DROP POLICY users_own_data ON public.users", "ALTER TABLE public.users DISABLE ROW LEVEL SECURITY",
        "ALTER TABLE public.users NO FORCE ROW LEVEL SECURITY", "ALTER TABLE public.users OWNER TO jobforge_app",
        "ALTER TABLE public.applications DISABLE TRIGGER ALL", "CREATE INDEX ON public.users (full_name)",
        "CREATE STATISTICS public.mine ON email, full_name FROM public.users",
        "ALTER TABLE public.users ALTER COLUMN email SET STATISTICS 100",
        "ALTER FUNCTION public.get_current_user_id() OWNER TO jobforge_app",
        "ALTER FUNCTION public.get_current_user_id() LEAKPROOF", "ALTER FUNCTION pg_catalog.lower(text) LEAKPROOF",
        "CREATE OR REPLACE FUNCTION public.get_current_user_id() RETURNS uuid LANGUAGE sql AS 'SELECT NULL::uuid'",
        "ALTER FUNCTION jobforge.login_begin(text, integer, integer) SET search_path = pg_temp",
        "DROP FUNCTION public.get_current_user_id() CASCADE", "COMMENT ON TABLE public.users IS 'x'",
        "GRANT SELECT ON jobforge.refresh_tokens TO jobforge_app", "GRANT jobforge_auth TO jobforge_app",
        "ALTER ROLE jobforge_app BYPASSRLS", "ALTER ROLE jobforge_app SUPERUSER", "ALTER ROLE jobforge_auth LOGIN",
        "CREATE ROLE jobforge_mine", "SET ROLE jobforge_owner", "SET ROLE jobforge_auth", "SET ROLE jobforge_backup",
        "SET SESSION AUTHORIZATION jobforge_owner", "SET session_replication_role = replica",
        "SET log_statement = 'all'",
        "ALTER SYSTEM SET log_statement = 'all'", "ALTER DATABASE {database} SET log_statement = 'all'",
        "CREATE EXTENSION dblink SCHEMA public", "CREATE EXTENSION postgres_fdw SCHEMA public",
        "CREATE EXTENSION file_fdw SCHEMA public", "CREATE EXTENSION pageinspect SCHEMA public",
        "CREATE EXTENSION hstore SCHEMA public", "CREATE PUBLICATION mine FOR ALL TABLES",
        "CREATE SUBSCRIPTION mine CONNECTION '' PUBLICATION x", "CREATE EVENT TRIGGER mine ON ddl_command_end"
        " EXECUTE FUNCTION jobforge.keep_primary_resume()",
        "COPY (SELECT 1) TO PROGRAM 'cat'", "COPY (SELECT 1) TO '/tmp/x'",
        "COPY jobforge.idempotency_keys FROM '/etc/passwd'",
        "COPY jobforge.idempotency_keys FROM PROGRAM 'cat'", "SELECT pg_read_file('/etc/passwd')",
        "SELECT pg_read_binary_file('PG_VERSION')", "SELECT pg_ls_dir('.')", "SELECT pg_stat_file('PG_VERSION')",
        "SELECT lo_import('/etc/passwd')", "SELECT lo_export(1, '/tmp/x')", "SELECT pg_reload_conf()",
        "SELECT pg_create_logical_replication_slot('mine', 'test_decoding')", "SELECT pg_stat_reset()",
        "TABLE pg_catalog.pg_authid", "TABLE pg_catalog.pg_shadow", "TABLE pg_catalog.pg_statistic",
        "TABLE pg_catalog.pg_statistic_ext_data", "TABLE pg_catalog.pg_largeobject",
        "TABLE pg_catalog.pg_file_settings",
        "TABLE pg_catalog.pg_hba_file_rules", "TABLE jobforge.refresh_tokens", "TABLE jobforge.login_attempts",
        "TABLE jobforge.usage_pending", "TABLE public.performance_metrics", "TABLE public.audit_log_default",
        "SELECT chunk_data FROM {toast}", "TRUNCATE public.users CASCADE",
        "SELECT jobforge.usage_recount('{user}')", "SELECT jobforge.user_disable('{user}', NULL)",
        "SELECT jobforge.audit_log_expire('0')",
        "INSERT INTO public.audit_log (user_id, actor, action, table_name, row_id, changes)"
        " VALUES ('{user}', 'user', 'insert', 'users', '{user}', '{{}}')",
        "DO $$ BEGIN PERFORM set_config('role', 'jobforge_owner', true); END $$", "LOAD '$libdir/pg_prewarm'",
    ],
    "0A000": ["COPY public.documents (application_id, content) FROM STDIN"],
}


@pytest.mark.parametrize("code, statement", [(code, text) for code, texts in REFUSED.items() for text in texts])
def test_refused(stack, alice, typed, code, statement):
    (toast,), = stack.sql("SELECT c.reltoastrelid::regclass::text FROM pg_class c"
                          " WHERE c.oid = 'public.applications'::regclass")
    told = typed.attempt(statement.format(user=alice.id, database=stack.name, toast=toast))
    assert told.startswith(code), told
    assert shown(alice, told.replace(alice.id, "")) == []


# --- The current user -----------------------------------------------------------------------------------------------

@pytest.mark.parametrize("value", ["", "NULL", "null", "0", "*", "%", "' OR true --", "{}", "00000000-0000-0000-0000-000000000000",
                                   "jobforge_owner", "\t", "true"])
def test_garbage_as_current_user_shows_no_row(typed, value):
    typed.be(value)
    for table in TABLES:
        told = typed.tell(f"SELECT count(*) FROM {table}")
        assert told == "[(0,)]" or told.startswith("22P02"), told


def test_null_as_current_user_shows_no_row(typed):
    typed.run("SELECT set_config('app.current_user_id', NULL, false)")
    assert {typed.tell(f"SELECT count(*) FROM {table}") for table in TABLES} == {"[(0,)]"}
    typed.run("RESET app.current_user_id")
    assert {typed.tell(f"SELECT count(*) FROM {table}") for table in TABLES} == {"[(0,)]"}
    typed.run("DISCARD ALL")
    assert {typed.tell(f"SELECT count(*) FROM {table}") for table in TABLES} == {"[(0,)]"}


@pytest.mark.parametrize("write", [str.upper, "{{{}}}".format, lambda text: text.replace("-", "")])
def test_other_spellings_of_a_user_are_that_user(typed, mallory, write):
    typed.be(write(mallory.id))
    assert typed.tell("SELECT id FROM public.users") == f"[('{mallory.id}',)]"


def test_a_current_user_ends_with_the_transaction(typed, alice, mallory):
    typed.run("RESET app.current_user_id")
    typed.connection.autocommit = False
    typed.be(mallory.id, local=True)
    assert typed.run(EMAILS) == [(mallory.email,)]
    typed.connection.commit()
    assert typed.run(EMAILS) == []
    typed.be(mallory.id, local=True)
    typed.connection.rollback()
    assert typed.run(EMAILS) == []
    typed.be(mallory.id, local=True)
    typed.run("SAVEPOINT s")
    typed.be(alice.id, local=True)
    assert typed.run(EMAILS) == [(alice.email,)]
    typed.run("ROLLBACK TO SAVEPOINT s")
    assert typed.run(EMAILS) == [(mallory.email,)]


def test_a_current_user_that_a_worker_finds_in_its_session_counts_for_nothing():
    """As if one request had set it for good on a connection that the next one, of somebody else, comes over."""
    with Stack() as stack:
        alice, mallory = stack.user(), stack.user()
        alice.create("Alicecorp")
        stack.sql(f"ALTER ROLE jobforge_app IN DATABASE {stack.name} SET app.current_user_id = '{alice.id}'")
        stack.reload()
        with connect(stack.name, "jobforge_app").cursor() as sql:
            sql.execute(EMAILS)
            assert sql.fetchall() == [(alice.email,)], "a session does begin with it"
        for _ in range(8):
            assert mallory.get("/me").ok()["email"] == mallory.email
            assert mallory.get("/applications").ok()["data"] == []
            mallory.create("Mallorycorp")
            mallory.delete("/applications/" + mallory.get("/applications").ok()["data"][0]["id"]).ok(204)
            stack.anyone.get("/applications").problem(401)
            stack.user()
        assert [row["company_name"] for row in alice.get("/applications").ok()["data"]] == ["Alicecorp"]


@pytest.mark.parametrize("mode", ["force_generic_plan", "force_custom_plan", "auto"])
def test_a_prepared_statement_asks_anew_who_the_user_is(typed, alice, mallory, mode):
    typed.run(f"SET plan_cache_mode = {mode}")
    typed.run("PREPARE mine AS " + EMAILS)
    typed.run("PREPARE named (text) AS " + NAMES + " WHERE company_name LIKE $1")
    for turn in range(16):  # after five executions `auto` takes the generic plan
        user, other = ((alice, "Mallory%"), (mallory, "Alice%"))[turn % 2]
        typed.be(user.id)
        assert typed.run("EXECUTE mine") == [(user.email,)]
        assert typed.run("EXECUTE named (%s)", other) == []
    typed.run("RESET app.current_user_id")
    assert typed.run("EXECUTE mine") == []


def test_code_asks_anew_who_the_user_is(typed, alice, mallory):
    """plpgsql keeps its plans for the session, and so do the functions of the product."""
    code = f"""DO $$ DECLARE t text; BEGIN
        FOR i IN 1..20 LOOP
            PERFORM set_config('app.current_user_id', (ARRAY['{alice.id}', '{mallory.id}'])[1 + i % 2], true);
            SELECT string_agg(u.email, ',') INTO t FROM public.users u;
            RAISE WARNING '%', t;
        END LOOP; END $$"""
    said = [line.split()[-1] for line in typed.tell(code).splitlines() if "WARNING" in line]
    assert said == [mallory.email, alice.email] * 10
    for turn in range(14):
        user = (alice, mallory)[turn % 2]
        typed.be(user.id)
        told = typed.tell(f"SELECT jobforge.idempotency_claim('{KEY}', {HASH})")
        assert told.startswith("JF003") == (user is alice), told


def test_a_cursor_shows_the_rows_of_one_user(typed, alice, mallory):
    """That of whoever is set when it is first read; what it held on to for later is not another's."""
    typed.connection.autocommit = False
    typed.be(mallory.id)
    typed.run("DECLARE held CURSOR WITH HOLD FOR " + NAMES)
    typed.run("DECLARE open SCROLL CURSOR FOR " + NAMES)
    for name in ("held", "open"):
        typed.run(f"FETCH 1 FROM {name}")
    typed.be(alice.id)
    assert "Alicecorp" not in str(typed.run("FETCH ALL FROM open"))
    typed.run("MOVE ABSOLUTE 0 FROM open")
    assert "Alicecorp" not in str(typed.run("FETCH ALL FROM open"))
    typed.connection.commit()
    assert "Alicecorp" not in str(typed.run("FETCH ALL FROM held"))


# --- Names that mean something else ---------------------------------------------------------------------------------

def test_names_of_its_own_lead_no_function_of_the_product_astray(stack, alice):
    """Were the role let make temporary objects, which 0001 takes from it, and put them first in its search path."""
    with Stack() as other:
        victim, mallory = other.user(full_name="Victim"), other.user()
        victim.create("Alicecorp")
        other.sql(f"GRANT TEMPORARY ON DATABASE {other.name} TO jobforge_app")
        session = Session(other, "jobforge_app", mallory.id)
        for statement in (
                "CREATE TEMPORARY TABLE users AS SELECT gen_random_uuid() AS id, 'x'::varchar AS email, 'x'::varchar AS password_hash",
                "CREATE TEMPORARY TABLE applications (id uuid, user_id uuid)",
                f"CREATE FUNCTION pg_temp.get_current_user_id() RETURNS uuid LANGUAGE sql AS $$ SELECT '{victim.id}'::uuid $$",
                f"CREATE FUNCTION pg_temp.current_setting(text, boolean) RETURNS text LANGUAGE sql AS $$ SELECT '{victim.id}' $$",
                "CREATE FUNCTION pg_temp.lower(text) RETURNS text LANGUAGE sql AS $$ SELECT 'x' $$",
                "CREATE FUNCTION pg_temp.always(uuid, uuid) RETURNS boolean LANGUAGE sql AS $$ SELECT true $$",
                "CREATE OPERATOR pg_temp.= (LEFTARG = uuid, RIGHTARG = uuid, FUNCTION = pg_temp.always)",
                "CREATE FUNCTION pg_temp.said(text) RETURNS boolean LANGUAGE plpgsql COST 0.0001 AS"
                " $$ BEGIN RAISE WARNING 'saw %', $1; RETURN true; END $$",
                "SET search_path = pg_temp, pg_catalog, public"):
            session.run(statement)
        told = session.tell("SELECT email FROM public.users", "SELECT company_name FROM public.applications",
                            "SELECT count(*) FROM public.users WHERE pg_temp.said(email)",
                            f"SELECT public.user_owns_application('{victim.get('/applications').ok()['data'][0]['id']}')",
                            "UPDATE public.users SET full_name = 'x' WHERE id = id",
                            "SELECT jobforge.sessions_revoke_all()",
                            "SELECT user_id FROM jobforge.login_begin('x', 5, 900)", keep=True)
        assert mallory.email in told and "saw " + mallory.email in told
        for secret in (victim.id, victim.email, "Alicecorp"):
            assert secret not in told
        assert "(True,)" not in told
        session.connection.close()
        assert victim.get("/me").ok()["full_name"] == "Victim"
        victim.post("/auth/refresh", {"refresh_token": victim.refresh_token}, token=None).ok()


# --- Functions that run with more rights ----------------------------------------------------------------------------

HOSTILE_TEXT = ["NULL", "''", "'%'", "'_'", "''' OR true --'", "repeat('x', 100000)", "E'a\\nb'", "'*'",
                "'nobody@example.com'"]
HOSTILE_NUMBER = ["NULL", "0", "-1", "2147483647", "-2147483648"]
HOSTILE_BYTES = ["NULL", "''", "'\\x00'", HASH]
HOSTILE = {"text": HOSTILE_TEXT, "integer": HOSTILE_NUMBER, "bytea": HOSTILE_BYTES,
           "bigint": ["NULL", "0", "-9223372036854775808"],
           "uuid": ["NULL", f"'{NO_SUCH_ID}'", "'{user}'"],
           "jsonb": ["NULL", "'[]'", "'{{}}'", "'[{{\"method\":\"x\"}}]'"],
           "uuid[]": ["NULL", "'{{}}'", "ARRAY['{user}']"], "tsquery": ["NULL", "''", "'a & !b'"],
           "character varying": HOSTILE_TEXT}


def test_functions_take_anything_and_tell_nothing(stack, alice, typed):
    """Each function that the role may call, each argument in turn hostile while the others are as dull as can be."""
    functions = stack.sql(
        "SELECT p.oid::regproc::text, array(SELECT format_type(t, NULL) FROM unnest(p.proargtypes) WITH ORDINALITY AS a (t, n)"
        " ORDER BY n) FROM pg_proc p WHERE p.pronamespace IN ('public'::regnamespace, 'jobforge'::regnamespace)"
        " AND has_function_privilege('jobforge_app', p.oid, 'EXECUTE') AND NOT EXISTS (SELECT FROM pg_depend d"
        " WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e')")
    assert len(functions) >= 20
    before, calls = rows_of(stack, alice), 0
    for name, types in functions:
        for place, type_ in enumerate(types):
            for value in HOSTILE[type_]:
                words = [(value if at == place else HOSTILE[other][1]) + "::" + other for at, other in enumerate(types)]
                told = typed.tell(f"SELECT {name}({', '.join(words)})".format(user=alice.id), keep=True)
                assert shown(alice, told.replace(alice.id, "")) == [], (name, words, told)
                assert "XX000" not in told, (name, words, told)
                calls += 1
    assert calls > 150
    assert rows_of(stack, alice) == before


# --- What others do at the same time --------------------------------------------------------------------------------

VIEWS = ["pg_stat_activity", "pg_locks", "pg_prepared_statements", "pg_cursors", "pg_prepared_xacts",
         "pg_stat_progress_copy",
         "pg_stat_user_tables", "pg_stat_user_indexes", "pg_stat_user_functions", "pg_stats", "pg_stats_ext",
         "pg_stats_ext_exprs", "pg_settings", "pg_stat_ssl", "pg_listening_channels()"]


def test_views_of_what_others_do_hold_no_value(stack, alice, typed):
    """Workers are of the same role, so their statements are shown; parameters are not part of them."""
    views = ["pg_catalog." + view for view in VIEWS]
    if "pg_stat_statements" in stack.sql("SHOW shared_preload_libraries")[0][0]:
        stack.sql("CREATE EXTENSION IF NOT EXISTS pg_stat_statements SCHEMA public")
        stack.sql("SELECT public.pg_stat_statements_reset(0, (SELECT oid FROM pg_database WHERE datname = %s), 0)",
                  stack.name)
        views.append("public.pg_stat_statements")
    alice.patch("/me", {"full_name": "Alice Secretname"}).ok()
    blocker = connect(stack.name)
    blocker.autocommit = False
    with blocker.cursor() as sql:
        sql.execute("SELECT FROM public.applications WHERE id = %s FOR UPDATE", (alice.owned["application"],))
    writer = Thread(target=alice.patch, args=(f"/applications/{alice.owned['application']}", {"location": "Alicecorp"}))
    writer.start()
    try:
        wait_for(lambda: stack.sql("SELECT 1 FROM pg_stat_activity WHERE datname = %s AND wait_event_type = 'Lock'",
                                   stack.name),
                 10, "a worker that waits")
        told = {view: typed.tell(f"SELECT v::text FROM {view} v") for view in views}
        assert "UPDATE public.applications" in told["pg_catalog.pg_stat_activity"], "the statement that waits"
        assert "UPDATE public.users" in told.get("public.pg_stat_statements", "UPDATE public.users")
        for view, text in told.items():
            assert shown(alice, text) == [], view
    finally:
        blocker.rollback()
        blocker.close()
        writer.join()


def test_no_row_of_alice_can_be_locked(stack, alice, typed):
    typed.connection.autocommit = False
    for table in ("users", "applications", "documents", "user_resumes", "document_embeddings"):
        typed.run(f"SELECT FROM public.{table} FOR UPDATE")
    other = connect(stack.name)
    with other.cursor() as sql:
        for table, column in (("users", "id"), ("applications", "user_id"), ("documents", "user_id"),
                              ("user_resumes", "user_id")):
            sql.execute(f"SELECT FROM public.{table} WHERE {column} = %s FOR UPDATE NOWAIT", (alice.id,))
            assert sql.rowcount > 0
    other.close()
    typed.connection.rollback()


def test_an_idempotency_key_in_use_is_in_nobody_elses_way(stack, alice, mallory, typed):
    typed.connection.autocommit = False
    typed.run(f"SELECT jobforge.idempotency_claim('shared', {HASH})")
    body = {"company_name": "Alicecorp", "role_title": "Engineer", "job_description": DESCRIPTION}
    Client(stack, alice.token).post("/applications", body, headers={"Idempotency-Key": "shared"}).ok(201)
    Client(stack, mallory.token).post("/applications", body, headers={"Idempotency-Key": "shared"}).problem(
        409, slug="idempotency-busy")
    typed.connection.rollback()
