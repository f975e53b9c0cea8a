"""Running it: health, a database that goes and comes back, jobforged -t, the log, the configuration."""

import json
import os
import re
import signal
import stat
import subprocess
import time

import pytest

import tokens
from examples import APPLICATION
from stack import (PASSWORD, POOLED, Stack, child_environment, conninfo, connect, create_database, drop_database, load,
                   wait_for)

# A worker's 503 comes well before nginx would say 504.
OPTIONS = {"api_workers": 3, "auth_workers": 1, "bulk_workers": 1, "log_level": "info", "statement_timeout": 2000}
LOST = '"event": "database"'  # the lines of the log that tell of a database that is away


# --- Health ---------------------------------------------------------------------------------------------------------

def test_health_and_readiness(stack):
    for path in ("/healthz", "/readyz"):
        answer = stack.root.get(path)
        assert isinstance(answer.ok(), dict)
        assert answer.headers["Cache-Control"] == "no-store"
        assert stack.root.request("HEAD", path).status == 200
        stack.root.post(path, {}).problem(405)


def test_sockets_are_for_owner_and_group_alone(stack):
    for key in ("api_socket", "auth_socket", "bulk_socket"):
        assert stat.S_IMODE(os.stat(stack.conf[key]).st_mode) == 0o660


def test_pid_file_names_the_master(stack):
    assert int(stack.read("jobforged.pid")) == stack.jobforged.pid


@pytest.mark.skipif(POOLED, reason="a pooler has as many connections as it likes")
def test_connections_are_as_many_as_workers(stack):
    def count():
        return stack.sql("SELECT count(*) FROM pg_stat_activity WHERE datname = %s AND usename = 'jobforge_app'", stack.name)[0][0]
    assert len(stack.workers()) == 5
    wait_for(lambda: count() >= 5, 10, "each is connected")
    for _ in range(20):
        stack.root.get("/readyz").ok()
    assert count() == 5


def test_each_pool_serves_its_own(stack):
    """Were nginx to send a request to the wrong pool, a worker would not serve it: hashing never blocks the API."""
    user = stack.user()
    user.get("/me").ok()
    user.post("/auth/login", {"email": user.email, "password": PASSWORD}).ok()

    def served(route):
        return {line["pid"] for line in stack.log_lines() if line.get("route") == "/api/v1" + route}
    wait_for(lambda: served("/me") and served("/auth/login"), 5, "both are logged")
    assert served("/me").isdisjoint(served("/auth/login"))


# --- A database that goes -------------------------------------------------------------------------------------------

def terminate(stack):
    """Ends every connection, and waits until they have: the longest 5 s."""
    stack.sql("SELECT count(pg_terminate_backend(pid, 5000)) FROM pg_stat_activity WHERE datname = %s"
              " AND pid <> pg_backend_pid()", stack.name)


def test_lost_connections_cost_nobody_a_500(stack, user):
    stack.allow_errors(LOST)
    for _ in range(5):
        terminate(stack)
        for _ in range(12):
            assert user.get("/applications").status == 200, "a read whose connection is lost is run again"
        answers = [user.post("/applications", APPLICATION) for _ in range(6)]
        for answer in answers:
            if answer.status != 201:
                answer.problem(503)
        assert answers[-1].status == 201
    terminate(stack)
    time.sleep(0.5)
    user.post("/applications", APPLICATION).ok(201)


def test_a_write_never_meets_a_connection_that_was_ended_before(stack, user):
    """The look at the socket before each use: traffic without the database keeps the idle check from doing it."""
    stack.allow_errors(LOST)
    for _ in range(5):
        terminate(stack)
        end = time.time() + 0.15
        while time.time() < end:
            stack.root.get("/healthz").ok()
        user.post("/applications", APPLICATION).ok(201)


def test_a_registration_is_all_or_nothing(stack):
    """The account and its session are made in one transaction."""
    body = {"email": "half@example.com", "password": PASSWORD, "full_name": "Half"}
    stack.allow_errors(LOST)
    blocker = connect(stack.name)
    blocker.autocommit = False
    try:
        blocker.cursor().execute("LOCK TABLE jobforge.refresh_families IN ACCESS EXCLUSIVE MODE")
        stack.anyone.post("/auth/register", body).problem(503)
    finally:
        blocker.rollback()
        blocker.close()
    assert stack.sql("SELECT count(*) FROM public.users WHERE email = 'half@example.com'") == [(0,)]
    stack.anyone.post("/auth/register", body).ok(201)


def test_connections_lost_under_load(stack, user):
    stack.allow_errors(LOST)
    with load(user, writes=True) as wrong:
        for _ in range(6):
            terminate(stack)
            time.sleep(0.2)
    for answer in wrong:
        answer.problem(503)
    user.post("/applications", APPLICATION).ok(201)


def test_database_away_is_503_and_comes_back(stack, user):
    stack.allow_errors(LOST)
    control = connect("postgres")
    try:
        control.cursor().execute(f'ALTER DATABASE "{stack.name}" ALLOW_CONNECTIONS false')
        terminate(stack)
        for _ in range(10):
            for call in (lambda: user.get("/applications"), lambda: user.post("/applications", APPLICATION),
                         lambda: user.patch("/me", {"full_name": "x"}),
                         lambda: stack.anyone.post("/auth/login", {"email": user.email, "password": PASSWORD}),
                         lambda: stack.root.get("/readyz")):
                call().problem(503)
            assert stack.root.get("/healthz").status == 200
            stack.anyone.get("/me").problem(401)
            time.sleep(0.05)
        assert "database" in stack.root.get("/readyz").json()["detail"].lower()
    finally:
        control.cursor().execute(f'ALTER DATABASE "{stack.name}" ALLOW_CONNECTIONS true')
        control.close()
    wait_for(lambda: stack.root.get("/readyz").status == 200, 5, "ready again")
    wait_for(lambda: {user.get("/me").status for _ in range(10)} == {200}, 5, "every worker serves again")
    credentials = {"email": user.email, "password": PASSWORD}
    wait_for(lambda: user.post("/auth/login", credentials).status == 200, 5, "logins work again")
    user.post("/applications", APPLICATION).ok(201)


def test_statement_that_takes_too_long_is_503(stack, user):
    """Held up by a lock, the request is over before nginx gives it up, nothing is changed, and the worker goes on."""
    stack.allow_errors(LOST)
    path = "/applications/" + user.create()["id"]
    before = user.get(path).body
    blocker = connect(stack.name)
    blocker.autocommit = False
    try:
        blocker.cursor().execute("SELECT 1 FROM public.applications WHERE id = %s FOR UPDATE", (path.split("/")[-1],))
        user.patch(path, {"location": "x"}).problem(503)
    finally:
        blocker.rollback()
        blocker.close()
    assert user.get(path).body == before
    user.patch(path, {"location": "x"}).ok()


@pytest.mark.skipif(POOLED, reason="a pooler keeps connections for as long as it likes")
def test_connections_are_remade_after_their_lifetime():
    with Stack(api_workers=1, auth_workers=1, connection_lifetime=1) as stack:
        user = stack.user()
        statement = "SELECT pid FROM pg_stat_activity WHERE datname = %s AND usename = 'jobforge_app'"
        first = {pid for pid, in stack.sql(statement, stack.name)}
        with load(user) as wrong:
            wait_for(lambda: first.isdisjoint({pid for pid, in stack.sql(statement, stack.name)}), 10, "new backends")
        assert not wrong, wrong[:3]


@pytest.mark.skipif(POOLED, reason="a pooler keeps connections for as long as it likes")
def test_a_connection_stays_when_no_other_can_be_made():
    """Whatever keeps sessions from being made does not end those that there are."""
    with Stack(api_workers=1, auth_workers=1, bulk_workers=1, connection_lifetime=1) as stack:
        user = stack.user()
        stack.sql(f'ALTER DATABASE "{stack.name}" CONNECTION LIMIT 0')
        with load(user) as wrong:
            wait_for(lambda: stack.logged("database", "the connection stays after its lifetime"), 20, "an attempt to make another")
            time.sleep(1)
        assert not wrong, wrong[:3]
        said = stack.logged("database", "too many connections for database")
        assert len(said) <= 3 and {line["level"] for line in said} == {"warning"}, said


@pytest.mark.skipif(POOLED, reason="a pooler keeps connections for as long as it likes")
def test_no_request_waits_long_for_a_connection_that_is_not_needed():
    """The other connection is set up while a request waits: half a second of it, not until the server gives up its lock's wait."""
    with Stack(api_workers=1, auth_workers=1, bulk_workers=1, connection_lifetime=1, connect_timeout=500,
               statement_timeout=4500) as stack:
        user = stack.user()
        blocker = connect(stack.name)
        blocker.autocommit = False
        try:
            blocker.cursor().execute("LOCK TABLE jobforge.schema_migrations IN ACCESS EXCLUSIVE MODE")
            with load(user) as wrong:
                wait_for(lambda: stack.logged("database", "the connection stays after its lifetime"), 20, "an attempt to make another")
        finally:
            blocker.rollback()
            blocker.close()
        assert not wrong, wrong[:3]
        said = stack.logged("database", "stays after its lifetime")
        assert not any("lock timeout" in line["message"] for line in said), said


# --- Schema ---------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("statement, version", [
    ("INSERT INTO jobforge.schema_migrations (version, name, checksum) VALUES (9999, 'x', repeat('0', 64))", "9999"),
    ("DELETE FROM jobforge.schema_migrations WHERE version ="
     " (SELECT max(version) FROM jobforge.schema_migrations)", None),
], ids=["newer", "older"])
def test_another_schema_is_not_ready_and_refused(statement, version):
    with Stack(api_workers=2, auth_workers=1) as stack:
        stack.allow_errors(LOST, "schema")
        user = stack.user()
        stack.sql(statement)
        assert "schema" in stack.root.get("/readyz").problem(503)["detail"].lower()
        status, text = stack.check()
        assert status != 0 and "schema" in text and (version is None or version in text), text
        # A worker that starts or connects anew serves nothing on it.
        if stack.pooler:
            stack.pooler.kill()
            stack.pooler.start()
        terminate(stack)
        time.sleep(0.5)
        user.get("/me").problem(503)
        assert stack.root.get("/healthz").status == 200
        stack.sql("DELETE FROM jobforge.schema_migrations WHERE version = 9999")


# --- jobforged -t ---------------------------------------------------------------------------------------------------

def test_check_is_good(stack):
    status, text = stack.check()
    assert (status, text.count("\n")) == (0, 1), text


def test_check_finds_the_host_though_its_caller_ignores_its_children(stack):
    result = subprocess.run(["env", "--ignore-signal=CHLD", os.path.join(stack.build, "jobforged"), "-t", "--config",
                             stack.path("jobforged.conf"), "--database=host=localhost port=1 dbname=x"],
                            env=child_environment(), stderr=subprocess.PIPE, text=True, timeout=60)
    assert result.returncode != 0 and "refused" in result.stderr, result


@pytest.mark.parametrize("flags, word", [
    (["--database=host=/nowhere dbname=x user=jobforge_app"], "database"),
    (["--token-keys=/nowhere/keys"], "/nowhere/keys"), (["--api-workers=0"], "api-workers"),
    (["--bcrypt-cost=99"], "bcrypt-cost"), (["--api-workers=x"], "api-workers"),
    (["--token-algorithm=none"], "token-algorithm"), (["--config=/nowhere/conf"], "/nowhere/conf"),
])
def test_check_fails_with_a_sentence(stack, flags, word):
    status, text = stack.check(*flags)
    assert status == 1 and word in text.replace("_", "-"), text
    assert text.startswith("jobforged: ") and text.count("\n") == 1, text


@pytest.mark.parametrize("flag", ["--nonsense=1", "nonsense", "-x", "--no-such-key", "--"])
def test_unknown_flag_is_an_error_of_usage(stack, flag):
    status, text = stack.check(flag)
    assert status == 2 and "usage: jobforged" in text, text


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o660, 0o666])
def test_check_refuses_a_key_file_that_others_may_read(stack, mode):
    os.chmod(stack.path("keys"), mode)
    try:
        status, text = stack.check()
        assert status == 1 and stack.path("keys") in text, text
    finally:
        os.chmod(stack.path("keys"), 0o600)


@pytest.mark.parametrize("content", ["", "# nothing\n", "first\n", "first AAAA\n", "first !!!\n", "a b c\n",
                                     "same " + "A" * 43 + "\nsame " + "B" * 42 + "A\n"])
def test_check_refuses_a_bad_key_file(stack, content):
    path = stack.path("bad-keys")
    with open(path, "w", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
        file.write(content)
    status, text = stack.check("--token-keys=" + path)
    assert status == 1 and path in text, text
    for secret in ("AAAA", "!!!"):
        assert secret not in text, "the message must not show a key"


@pytest.mark.parametrize("damage, word", [
    ("ALTER TABLE public.applications DROP COLUMN location CASCADE", "location"),
    ("ALTER TABLE public.users RENAME COLUMN full_name TO name", "full_name"),
    ("DROP TABLE jobforge.idempotency_keys CASCADE", "idempotency"),
    ("DROP FUNCTION jobforge.refresh_revoke CASCADE", "refresh_revoke"),
    ("DROP FUNCTION public.generate_application_name CASCADE", "generate_application_name"),
    ("DROP TABLE jobforge.schema_migrations CASCADE", "schema"),
    ("ALTER TABLE public.applications ALTER COLUMN created_at TYPE text USING created_at::text", "applications_"),
])
def test_check_proves_every_statement(stack, damage, word):
    """A column, table or function that a statement needs is gone from a copy of the database."""
    name = stack.name + "_copy"
    create_database(name)
    try:
        status, text = stack.check("--database=" + conninfo(name, "jobforge_app"))
        assert status == 0, text
        connection = connect(name)
        connection.cursor().execute(damage)
        connection.close()
        status, text = stack.check("--database=" + conninfo(name, "jobforge_app"))
        assert status == 1 and word in text, text
    finally:
        drop_database(name)


def test_check_of_an_empty_database_says_to_migrate(stack):
    name = stack.name + "_empty"
    control = connect("postgres")
    control.cursor().execute(f'CREATE DATABASE "{name}"')
    control.close()
    try:
        status, text = stack.check("--database=" + conninfo(name, "jobforge_app"))
        assert status == 1 and "schema" in text, text
    finally:
        drop_database(name)


def test_two_masters_do_not_share_a_socket(stack):
    result = subprocess.run([os.path.join(stack.build, "jobforged"), "--config", stack.path("jobforged.conf")],
                            env=child_environment(), capture_output=True, text=True, timeout=30)
    assert result.returncode == 1 and "another jobforged" in result.stderr
    stack.root.get("/readyz").ok()


# --- The log --------------------------------------------------------------------------------------------------------

FIELDS = {"time", "level", "pid", "event", "request_id", "method", "route", "status", "bytes", "db_us", "total_us",
          "user_id"}


def line_of(stack, answer):
    id_ = answer.headers["X-Request-Id"]
    lines = wait_for(lambda: [line for line in stack.log_lines() if line.get("request_id") == id_], 5, "a log line")
    assert len(lines) == 1, lines
    return lines[0]


def test_log_has_one_line_a_request_with_the_documented_fields(stack, user):
    row = user.create()
    answers = {
        ("GET", "/api/v1/me", 200): user.get("/me"),
        ("GET", "/api/v1/applications/{id}", 200): user.get("/applications/" + row["id"]),
        ("GET", "/api/v1/applications/{id}", 404): user.get("/applications/" + user.id),
        ("PATCH", "/api/v1/applications/{id}", 422): user.patch("/applications/" + row["id"], {"x": 1}),
        ("DELETE", "/api/v1/applications/{id}", 204): user.delete("/applications/" + row["id"]),
        ("POST", "/api/v1/auth/login", 401): stack.anyone.post("/auth/login", {"email": user.email,
                                                                               "password": "wrong one"}),
        ("GET", None, 404): user.get("/nothing"),
        ("HEAD", "/api/v1/me", 200): user.request("HEAD", "/me"),
    }
    for (method, route, status), answer in answers.items():
        assert answer.status == status
        line = line_of(stack, answer)
        assert set(line) <= FIELDS and FIELDS - set(line) <= {"user_id", "route"}, line
        assert (line["event"], line["level"], line["method"], line.get("route"), line["status"]) == (
            "request", "info", method, route, status)
        assert line["bytes"] == len(answer.body)
        assert 0 <= line["db_us"] <= line["total_us"]
        assert line["pid"] in stack.workers()
        signed_in = route is not None and "auth" not in route
        assert line.get("user_id") == (user.id if signed_in else None)
    assert line_of(stack, answers["GET", "/api/v1/me", 200])["db_us"] > 0


def test_log_never_holds_a_secret_or_a_body(stack):
    marks = {name: f"mark-{name}-{os.urandom(8).hex()}"
             for name in ("password", "name", "company", "query", "token", "key")}
    user = stack.user(password=marks["password"], full_name=marks["name"])
    user.create(marks["company"])
    user.get("/applications?q=" + marks["query"]).ok()
    user.get("/applications?limit=" + marks["query"]).problem(400)
    user.post("/applications", {"company_name": marks["company"]}).problem(422)
    user.post("/applications", body=b'{"company_name": "' + marks["company"].encode()).problem(400)
    user.post("/applications", APPLICATION, headers={"Idempotency-Key": marks["key"]}).ok(201)
    user.get("/me", token=marks["token"]).problem(401)
    user.post("/auth/login", {"email": user.email, "password": marks["password"]}).ok()
    user.post("/auth/login", {"email": user.email, "password": marks["token"]}).problem(401)
    user.post("/auth/register", {"email": user.email, "password": marks["password"], "full_name": "x"}).problem(409)
    user.post("/auth/refresh", {"refresh_token": user.refresh_token}).ok()
    user.post("/auth/refresh", {"refresh_token": marks["token"]}).problem(401, 422)
    line_of(stack, user.get("/me"))
    time.sleep(0.2)  # a worker writes its line after its answer
    log = stack.log()
    for secret in (*marks.values(), user.token, user.token.split(".")[1], user.token.split(".")[2], user.refresh_token,
                   user.email, tokens.base64url(stack.keys[0][1])):
        assert secret not in log, secret


def test_log_times_are_rfc_3339(stack):
    lines = stack.log_lines()
    assert len(lines) > 10
    for line in lines:
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3,6}Z", line["time"]), line
        assert line["level"] in ("debug", "info", "warning", "error") and isinstance(line["pid"], int)


def test_log_level_is_obeyed():
    with Stack(log_level="warning", api_workers=1, auth_workers=1) as stack:
        user = stack.user()
        user.get("/me").ok()
        os.kill(stack.workers()[0], signal.SIGKILL)
        wait_for(lambda: stack.logged("worker", "signal 9"), 10, "a warning is written")
        assert not [line for line in stack.log_lines() if line["level"] in ("debug", "info")]


# --- Configuration --------------------------------------------------------------------------------------------------

def test_configuration_is_file_environment_flag(stack):
    """Later sources win; what is printed by the operator's tool is what is in effect."""
    def value(environment, *flags):
        text = subprocess.run([os.path.join(stack.build, "jobforgectl"), "--json", "config", "--config",
                               stack.path("jobforged.conf"), *flags], env={**child_environment(), **environment},
                              check=True, capture_output=True, text=True, timeout=30).stdout
        return re.search(r'"api_workers":\s*(\d+|\{[^}]*\})', text).group(1)
    assert "3" in value({})
    assert "7" in value({"JOBFORGE_API_WORKERS": "7"})
    assert "9" in value({"JOBFORGE_API_WORKERS": "7"}, "--api-workers=9")


def test_configuration_printed_hides_passwords(stack):
    command = [os.path.join(stack.build, "jobforgectl"), "--json", "config", "--database=host=x password=s3cret"]
    text = subprocess.run(command, env=child_environment(), check=True, capture_output=True, text=True,
                          timeout=30).stdout
    assert "s3cret" not in text and json.loads(text)
