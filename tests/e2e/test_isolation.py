"""
No user's row is ever visible to another. Made from the route table of the program itself: an endpoint that is new there
and has no line in examples.py fails.
"""

import os
import subprocess

import pytest

from examples import EXAMPLES, fill, owned
from stack import BUILD, CLUSTER, COUNTERS, NO_SUCH_ID, child_environment, connect, wait_for

OPTIONS = {"login_attempts": 1000}


def routes():
    """The program's own table: (method, path below /api/v1, access, pool)."""
    if not CLUSTER:
        return []
    text = subprocess.run([os.path.join(BUILD, "jobforged"), "--routes"], env=child_environment(), check=True,
                          capture_output=True, text=True, timeout=30).stdout
    return [tuple(line.split()) for line in text.splitlines()]


def shorten(path):
    return path[len("/api/v1"):] if path.startswith("/api/v1") else path


ROUTES = [(method, shorten(path), access, pool) for method, path, access, pool in routes()]
WITH_ID = [(method, path) for method, path, *_ in ROUTES if "{" in path]
WITHOUT_ID = [(method, path) for method, path, access, _ in ROUTES if "{" not in path and access == "user"]
SIGNED_IN = [(method, path) for method, path, access, _ in ROUTES if access == "user"]
READS = [(method, path) for method, path, *_ in ROUTES if method == "GET" and not path.endswith("z")]

# What may differ between two answers that say the same.
VARYING = ("x-request-id", "date")


@pytest.fixture(scope="module")
def alice(stack):
    user = stack.user(full_name="Alice Secretname")
    user.owned = owned(user)
    return user


@pytest.fixture
def bob(stack):
    user = stack.user(full_name="Bob")
    user.owned = owned(user)
    return user


def example(method, path):
    key = f"{method} {path}"
    assert key in EXAMPLES, f"{key} has no line in tests/e2e/examples.py: the isolation matrix must know it"
    return EXAMPLES[key]


def send(client, method, path, line, owner, headers=None):
    options = {"headers": headers or {}}
    if "body" in line:
        options["json"] = line["body"](owner)
    return client.request(method, path, **options)


def essence(answer):
    """Status, headers and body without what is different in every answer."""
    headers = sorted((key, value) for key, value in answer.headers.items() if key.lower() not in VARYING)
    return answer.status, headers, answer.body.decode().replace(answer.headers["X-Request-Id"], "ID")


def rows_of(stack, user):
    """Every row of the database that holds the user's id anywhere, or an id of a row of the user's."""
    marks = [user.id, *user.owned.values()]
    found = {}
    for table in stack.tables():
        if table not in COUNTERS:
            found[table] = sorted(text for text, in stack.sql(f"SELECT t::text FROM {table} t")
                                  if any(mark in text for mark in marks))
    return found


def test_route_table_is_the_one_of_the_examples():
    """Both ways: a route without an example is not tested, an example without a route tests nothing."""
    assert ROUTES
    assert {f"{method} {path}" for method, path, *_ in ROUTES} == set(EXAMPLES)
    for method, path, access, pool in ROUTES:
        assert access in ("user", "anyone") and pool in ("api", "auth", "bulk"), (method, path, access, pool)


def test_only_what_the_contract_says_needs_no_token():
    for method, path, access, _ in ROUTES:
        open_ = path.startswith("/auth/") or path in ("/healthz", "/readyz", "/metrics", "/openapi.json")
        assert (access == "anyone") == open_, (method, path)


def test_hashing_is_kept_from_the_api_workers():
    for method, path, _, pool in ROUTES:
        hashes = path.startswith("/auth/") or (method, path) in (("POST", "/me/password"), ("DELETE", "/me"))
        assert (pool == "auth") == hashes, (method, path)
        assert (pool == "bulk") == (path in ("/me/export", "/me/import")), (method, path)


@pytest.mark.parametrize("method, path", [route for route in [*WITH_ID, ("PATCH", "/me"), ("DELETE", "/me")] if route[0] in (
    "PATCH", "PUT", "DELETE")], ids=lambda value: value)
def test_a_tag_of_bytes_that_are_no_text_is_no_tag(stack, bob, method, path, unchanged):
    line = example(method, path)
    own = fill(path, line, lambda kind: bob.owned[kind])
    for tag in ('"\xff"', '"1", "\xc3"', '"\xed\xa0\x80.1"'):
        send(bob, method, own, line, bob, {"If-Match": tag}).problem(412)


@pytest.mark.parametrize("method, path", WITH_ID, ids=lambda value: value)
def test_another_users_id_is_an_id_that_never_was(stack, alice, bob, method, path):
    line = example(method, path)
    theirs = fill(path, line, lambda kind: alice.owned[kind])
    nobodys = fill(path, line, lambda kind: NO_SUCH_ID)
    shouted = fill(path, line, lambda kind: alice.owned[kind].upper())
    mine = fill(path, line, lambda kind: bob.owned[kind])
    etag = alice.get(theirs).headers.get("ETag") if method != "GET" else None
    before = rows_of(stack, alice)
    conditions = [{}, {"If-Match": "*"}, {"If-None-Match": "*"}, {"Idempotency-Key": "same"}]
    if etag:
        conditions += [{"If-Match": etag}, {"If-None-Match": etag}, {"If-Match": '"x"'}]
    for headers in conditions:
        for query in ("", line.get("query", ""), "?unknown=1"):
            at_nobodys = send(bob, method, nobodys + query, line, bob, headers)
            for spelling in (theirs, shouted):
                at_theirs = send(bob, method, spelling + query, line, bob, headers)
                assert at_theirs.status == (400 if "unknown" in query else 404), at_theirs
                assert essence(at_theirs) == essence(at_nobodys)
    for body in ({}, {"unknown": 1}, []):
        if "body" in line:
            assert essence(bob.request(method, theirs, json=body)) == essence(bob.request(method, nobodys, json=body))
    assert rows_of(stack, alice) == before
    # The same request on the own row works: what was refused above was refused for whose it is.
    assert send(bob, method, mine, line, bob).status in (200, 201, 204)


@pytest.mark.parametrize("method, path", WITH_ID, ids=lambda value: value)
def test_another_users_id_is_logged_as_one_that_never_was(stack, alice, bob, method, path):
    """The log names the same route and status for both."""
    line = example(method, path)
    answers = [send(bob, method, fill(path, line, ids), line, bob) for ids in (
        lambda kind: alice.owned[kind], lambda kind: NO_SUCH_ID)]

    def lines():
        ids = [answer.headers["X-Request-Id"] for answer in answers]
        found = {entry["request_id"]: entry for entry in stack.log_lines() if entry.get("request_id") in ids}
        return [found[id_] for id_ in ids] if len(found) == 2 else None
    logged = wait_for(lines, 5, "both are logged")
    for name in ("method", "route", "status", "user_id"):
        assert logged[0].get(name) == logged[1].get(name), name


@pytest.mark.parametrize("method, path", WITHOUT_ID, ids=lambda value: value)
def test_what_has_no_id_shows_and_changes_only_the_own(stack, alice, bob, method, path):
    line = example(method, path)
    before = rows_of(stack, alice)
    for query in ("", line.get("query", "")):
        answer = send(bob, method, path + query, line, bob)
        for secret in (alice.id, alice.email, "Secretname", *alice.owned.values(), "of " + alice.email):
            assert secret.encode() not in answer.body
            assert secret not in str(answer.headers)
    assert rows_of(stack, alice) == before


@pytest.mark.parametrize("method, path", SIGNED_IN, ids=lambda value: value)
def test_nothing_without_a_token(stack, alice, method, path):
    line = example(method, path)
    before = stack.snapshot()
    full = fill(path, line, lambda kind: alice.owned[kind])
    for headers in ({}, {"Authorization": "Bearer x.y.z"}, {"Authorization": ""},
                    {"Cookie": "access_token=" + alice.token}):
        answer = send(stack.anyone, method, full, line, alice, headers)
        answer.problem(401)
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    assert essence(send(stack.anyone, method, full, line, alice)) == essence(
        send(stack.anyone, method, fill(path, line, lambda kind: NO_SUCH_ID), line, alice))
    assert stack.snapshot() == before


@pytest.mark.parametrize("method, path", READS, ids=lambda value: value)
def test_head_says_no_more_than_get(stack, alice, bob, method, path):
    line = example(method, path)
    for client in (bob, stack.anyone):
        theirs = client.request("HEAD", fill(path, line, lambda kind: alice.owned[kind]))
        nobodys = client.request("HEAD", fill(path, line, lambda kind: NO_SUCH_ID))
        assert essence(theirs) == essence(nobodys)


def test_filters_and_search_never_reach_another_user(stack, alice, bob):
    for query in ("q=Secret", "q=Company", "q=" + alice.email, "company_name=Secret Company of " + alice.email,
                  "status=research_complete&count=exact", "created_after=2000-01-01T00:00:00Z",
                  "sort=company_name&limit=100"):
        answer = bob.get("/applications?" + query.replace(" ", "%20").replace("@", "%40"))
        page = answer.ok()
        assert {row["user_id"] for row in page["data"]} <= {bob.id}
        assert page.get("total", 1) == 1
        assert alice.email.encode() not in answer.body


def test_a_users_id_in_a_body_is_no_way_in(stack, alice, bob, unchanged):
    body = EXAMPLES["POST /applications"]["body"](bob)
    for field in ("user_id", "id"):
        assert bob.post("/applications", {**body, field: alice.id}).faults() == ["/" + field]
        assert bob.post("/applications", [{**body, field: alice.id}]).faults() == [f"/0/{field}"]


def test_one_worker_does_not_remember_the_user_before(stack, alice, bob):
    """Requests of two users and of nobody, in turn over the same workers and connections."""
    for _ in range(60):
        assert {row["user_id"] for row in alice.get("/applications").ok()["data"]} == {alice.id}
        stack.anyone.get("/applications").problem(401)
        assert {row["user_id"] for row in bob.get("/applications").ok()["data"]} == {bob.id}
        bob.get("/applications/" + alice.owned["application"]).problem(404)


# --- The database itself --------------------------------------------------------------------------------------------

@pytest.fixture
def worker(stack):
    """A connection with the rights of a worker."""
    connection = connect(stack.name, "jobforge_app")
    connection.autocommit = False
    yield connection
    connection.rollback()
    connection.close()


def visible(worker, table):
    with worker.cursor() as sql:
        sql.execute(f"SELECT count(*) FROM {table}")
        return sql.fetchone()[0]


def user_tables(stack):
    return [table for table, in stack.sql(
        "SELECT format('%I.%I', n.nspname, c.relname) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
        " WHERE n.nspname IN ('public', 'jobforge') AND c.relkind IN ('r', 'p') AND (c.relname = 'users' OR EXISTS ("
        " SELECT 1 FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = 'user_id' AND NOT a.attisdropped))")]


def test_database_without_a_user_shows_no_row(stack, alice, worker):
    tables = user_tables(stack)
    assert len(tables) >= 6
    seen = set()
    for context in (None, "", alice.id):
        with worker.cursor() as sql:
            if context is not None:
                sql.execute("SELECT set_config('app.current_user_id', %s, true)", (context,))
        for table in tables:
            with worker.cursor() as sql:
                sql.execute("SELECT has_table_privilege(current_user, %s, 'SELECT')", (table,))
                if not sql.fetchone()[0]:
                    continue
            rows = visible(worker, table)
            seen.add(table)
            owner = "id" if table == "public.users" else "user_id"
            (everything, own), = stack.sql(f"SELECT count(*), count(*) FILTER (WHERE {owner} = %s) FROM {table}", alice.id)
            if context != alice.id:
                assert rows == 0, table
            elif table in ("public.users", "public.applications"):
                assert rows == own == 1 and everything > 1
            else:
                assert rows == own, table
        worker.rollback()
    assert len(seen) >= 6, seen


def test_database_forces_row_level_security_on_every_table_of_users(stack):
    for table in user_tables(stack):
        assert stack.sql("SELECT relrowsecurity, relforcerowsecurity FROM pg_class WHERE oid = %s::regclass", table
                         ) == [(True, True)], table


def test_database_role_of_the_workers_can_do_no_more_than_they_need(stack):
    assert stack.sql("SELECT rolsuper, rolbypassrls, rolcreatedb, rolcreaterole, rolreplication FROM pg_roles"
                     " WHERE rolname = 'jobforge_app'") == [(False,) * 5]
    assert stack.sql("SELECT count(*) FROM pg_class c JOIN pg_roles r ON r.oid = c.relowner"
                     " WHERE r.rolname = 'jobforge_app'") == [(0,)]


def test_workers_are_connected_as_that_role(stack, alice):
    alice.get("/me").ok()
    names = {name for name, in stack.sql("SELECT usename FROM pg_stat_activity WHERE datname = %s AND"
                                         " backend_type = 'client backend' AND pid <> pg_backend_pid()", stack.name)}
    assert names == {"jobforge_app"}
