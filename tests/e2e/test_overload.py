"""What tests/fault/overload.py measures, in short, and by which rule requests are refused that have waited too long."""

import contextlib
import gzip
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest

from stack import PASSWORD, Response, Stack, connect, wait_for

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "fault"))

import overload  # noqa: E402

RESUME = {"name": "A résumé", "content": "A résumé that is long enough to be one. " * 4}
SHEET = "company_name,role_title,job_description\r\n"
PATIENT = 1.0  # seconds


@pytest.fixture(scope="module")
def crowded():
    with overload.Crowded(400, plain=False, queue_timeout=4500) as stack:
        yield stack


@pytest.fixture(scope="module")
def impatient():
    with Stack(api_workers=1, queue_timeout=int(PATIENT * 1000), statement_timeout=4500) as stack:
        stack.allow_errors('"event": "overload"')
        yield stack


# --- Slow clients ---------------------------------------------------------------------------------------------------

def test_slow_clients_hold_up_nobody(crowded):
    """A loaded machine may take longer than is promised, however long; no honest request may fail."""
    user = crowded.user()
    user.create()
    result = overload.slow_clients(crowded, user, clients=400, rounds=1, seconds=3)
    assert result["wrong"] == 0, result
    figures = result["figures"]
    assert all(figures[f"{kind} connections"] >= 100 for kind in ("idle", "header", "body", "reader")), figures


def test_streams_that_are_taken_back_hold_up_nobody(crowded):
    user = crowded.user()
    streams = 0
    while streams < 1000:
        result = overload.resets(crowded, user, rounds=1, seconds=2)
        assert result["wrong"] == 0 and result["figures"].get("streams", 0) > 0, result
        streams += result["figures"]["streams"]


def test_the_surplus_of_logins_is_refused(crowded):
    """
    Each takes a quarter of a second of a processor; more of them come than there is time for. A worker that the machine does not let
    run leaves it to nginx to refuse them, and on such a machine it all takes longer.
    """
    crowded.write_conf(auth_workers=1, bcrypt_cost=12, queue_timeout=1000)
    crowded.allow_errors('"event": "overload"')
    crowded.reload()
    result = overload.surplus("logins", crowded, overload.login_request, times=20, seconds=4, clients=2)
    assert set(result["statuses"]) <= {401, 429, 503, 504} and result["unsaid"] == 0, result
    assert result["statuses"].get(503, 0) > 0 and result["statuses"][401] > 0, result
    assert max(result["oldest"], result["refused_max"]) < 2 * overload.OLDEST, result


# --- The rule -------------------------------------------------------------------------------------------------------

def waiting(stack):
    return stack.sql("SELECT 1 FROM pg_stat_activity WHERE datname = %s AND wait_event_type = 'Lock'", stack.name)


def send(stack, user, method, path, body=b""):
    """Sends a request, and leaves its answer for later; returns the socket."""
    sock = socket.create_connection(("127.0.0.1", stack.http_port), 20)
    sock.sendall((f"{method} {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {user.token}\r\nConnection: close\r\n"
                  f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n").encode() + body)
    return sock


def receive(sock):
    with sock:
        answer = http.client.HTTPResponse(sock)
        answer.begin()
        return Response(answer.status, answer.headers, answer.read())


def behind_a_lock(stack, user, first, others, seen=0.0):
    """
    The first request has the one worker until the others have waited for too long, which come when it has had it for `seen` seconds;
    the answers in order. Each is what send() takes.
    """
    blocker = connect(stack.name)
    blocker.autocommit = False
    blocker.cursor().execute("LOCK TABLE public.user_resumes IN ACCESS EXCLUSIVE MODE")
    try:
        sockets = [send(stack, user, *first)]
        wait_for(lambda: waiting(stack), 5, "the first request waits for the lock")
        time.sleep(seen)
        sockets += [send(stack, user, *request) for request in others]
        # nginx takes up connections in their order: once it answers this one it has the others.
        stack.exchange(b"HEAD / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", "HEAD")
        time.sleep(1.5 * PATIENT)
    finally:
        blocker.rollback()
        blocker.close()
    return [receive(sock) for sock in sockets]


def told(stack, text):
    return [line for line in stack.log_lines() if line["event"] == "overload" and text in line["message"]]


def overloads(stack):
    return int(re.search(r'^jobforge_troubles_total\{trouble="overload"\} (\d+)$', stack.root.get("/metrics").body.decode(), re.M).group(1))


def test_what_has_waited_too_long_is_refused_without_work(impatient):
    user = impatient.user()
    create = ("POST", "/api/v1/resumes", json.dumps(RESUME).encode())
    before = overloads(impatient)
    first, *late = behind_a_lock(impatient, user, create, [
        *[create] * 4, ("GET", "/api/v1/applications"), ("GET", "/healthz"), ("GET", "/readyz")])
    assert first.ok(201)
    for answer in late[:5]:
        assert answer.problem(503, slug="overloaded")["detail"].endswith("try again.")
        assert answer.headers["Retry-After"] == "1"
    assert [answer.status for answer in late[5:]] == [200, 200], "what tells how the service is goes on telling"
    assert impatient.sql("SELECT count(*) FROM public.user_resumes WHERE user_id = %s", user.id) == [(1,)]
    assert overloads(impatient) - before == 5
    lines = told(impatient, "has waited for")
    assert len(lines) == 1 and lines[0]["level"] == "error", "told once, not for each request"
    wait_for(lambda: user.get("/resumes").ok() and told(impatient, "is over"), 15, "its end is told", 0.3)
    assert len(told(impatient, "is over")) == 1
    assert user.post("/resumes", RESUME).ok(201)


def test_requests_that_wait_one_at_a_time_are_no_queue():
    """Each waits because its worker was kept from working, and in between there is none: a pause, and no overload."""
    with Stack(plain=True, api_workers=1, auth_workers=1, statement_timeout=4000) as stack:
        user = stack.user()
        user.get("/me").ok()
        pid, = wait_for(lambda: [line["pid"] for line in stack.log_lines() if line.get("route") == "/api/v1/me"], 10, "its worker")
        for pause in (0.3, 2):
            os.kill(pid, signal.SIGSTOP)
            threading.Timer(pause, os.kill, (pid, signal.SIGCONT)).start()
            user.get("/me").ok()
            time.sleep(1.2)  # more than it takes for what waits to be a standing queue


def test_reads_behind_a_slow_one_are_not_taken_in_hand(impatient):
    """Else they would wait for it in the worker, where nothing is refused and no other worker takes them."""
    user = impatient.user()
    read = ("GET", "/api/v1/resumes")
    # By then the worker has seen that the first is slow.
    first, *late = behind_a_lock(impatient, user, read, [read] * 4, seen=PATIENT / 2)
    assert first.ok()
    assert [answer.problem(503, slug="overloaded")["status"] for answer in late] == [503] * 4
    wait_for(lambda: user.get("/resumes").status == 200, 5, "an answer again")


def test_a_body_that_comes_slowly_has_not_waited(impatient):
    user = impatient.user()
    body = json.dumps(RESUME).encode()
    with socket.create_connection(("127.0.0.1", impatient.http_port), 10) as sock:
        sock.sendall((f"POST /api/v1/resumes HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {user.token}\r\nConnection: close\r\n"
                      f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n").encode())
        for start in range(0, len(body), len(body) // 5 + 1):
            time.sleep(PATIENT / 2)
            sock.sendall(body[start:start + len(body) // 5 + 1])
        assert sock.recv(100).startswith(b"HTTP/1.1 201")


def test_imports_and_exports_wait(impatient):
    """They take their time, and so do those behind them."""
    user = impatient.user()
    export = ("GET", "/api/v1/me/export")
    first, second = behind_a_lock(impatient, user, export, [export])
    assert (first.status, second.status) == (200, 200)


# --- Bodies of strangers --------------------------------------------------------------------------------------------

def stored(stack):
    """Bytes of bodies that nginx keeps in files, those that it has unlinked too."""
    total = 0
    for pid in subprocess.run(["pgrep", "-P", str(stack.nginx.pid)], capture_output=True, text=True, check=True).stdout.split():
        for name in os.listdir(f"/proc/{pid}/fd"):
            try:
                if "/body/" in os.readlink(f"/proc/{pid}/fd/{name}"):
                    total += os.stat(f"/proc/{pid}/fd/{name}").st_size
            except FileNotFoundError:
                pass
    return total


def begin_body(stack, path, type, length, authorization, first=b""):
    """Sends the head of a request and the beginning of its body."""
    sock = socket.create_connection(("127.0.0.1", stack.http_port), 10)
    sock.sendall((f"POST /api/v1{path} HTTP/1.1\r\nHost: x\r\nContent-Type: {type}\r\nContent-Length: {length}\r\n"
                  + (f"Authorization: {authorization}\r\n" if authorization else "") + "\r\n").encode() + first)
    return sock


LARGE = [("/me/import", "application/json", 250 << 20), ("/me/import", "application/json", 10),
         ("/applications", "text/csv", 7 << 20)]


@pytest.mark.parametrize("path, type, length", LARGE)
@pytest.mark.parametrize("authorization", [None, "Bearer x.y.z", "Basic eA=="])
def test_large_bodies_of_strangers_are_refused_before_they_come(stack, path, type, length, authorization):
    with begin_body(stack, path, type, length, authorization, b"x" * min(length - 1, 300_000)) as sock:
        answer = http.client.HTTPResponse(sock, method="POST")
        answer.begin()
        problem = Response(answer.status, answer.headers, answer.read()).problem(401, slug="unauthorized")
        assert answer.headers["WWW-Authenticate"].startswith("Bearer"), problem
        assert stored(stack) == 0, "nothing of it went to the disk"


@pytest.mark.parametrize("path, type, length", LARGE[:1] + LARGE[2:])
def test_large_bodies_of_users_are_taken(stack, path, type, length):
    with begin_body(stack, path, type, length, "Bearer " + stack.user().token, b" " * 300_000):
        wait_for(lambda: stored(stack) > 0, 5, "the body is on its way to the disk")
    wait_for(lambda: stored(stack) == 0, 10, "it is dropped with its client")


def upload(stack, method, headers=()):
    """
    curl, which sends what it is given over HTTP/2, without a length; says the status and the version. By "." it does not wait for
    more to send when there is an answer.
    """
    return subprocess.Popen(["curl", "-sk", "--http2", "-X", method, "-T", ".", "-H", "Content-Type: text/csv", "-o", "/dev/null",
                             *headers, "-w", "%{http_code} %{http_version}",
                             f"https://localhost:{stack.https_port}/api/v1/applications"],
                            stdin=subprocess.PIPE, stdout=subprocess.PIPE)


@pytest.mark.parametrize("method, status", [("POST", 401), ("PUT", 413), ("GET", 413)])
def test_bodies_of_strangers_without_a_length_are_refused_before_they_end(stack, method, status):
    def feed():
        with contextlib.suppress(BrokenPipeError):
            process.stdin.write(b"x" * (3 << 20))
            process.stdin.flush()
    with upload(stack, method) as process:
        feeder = threading.Thread(target=feed, daemon=True)
        feeder.start()
        try:
            process.wait(20)
        finally:
            process.kill()
        feeder.join()
        assert process.stdout.read().decode() == f"{status} 2"


def test_a_large_sheet_of_a_user_is_read(stack):
    user = stack.user()
    row = "Acme,Engineer," + "A description of a job. " * 1000 + "\r\n"
    sheet = (SHEET + row * 60).encode()
    answer = user.post("/applications", body=sheet, type="text/csv")
    assert answer.status == 201, answer
    with upload(stack, "POST", ["-H", f"Authorization: Bearer {user.token}"]) as process:
        assert process.communicate(sheet, 20)[0] == b"201 2"


def test_a_disabled_user_is_told_so_before_the_import(stack):
    user = stack.user()
    stack.sql("SELECT jobforge.user_disable(%s, %s)", user.id, "a test")
    user.post("/me/import", body=b"{}").problem(403, slug="account-disabled")
    user.post("/applications", body=b"x" * (2 << 20), type="text/csv").problem(403, slug="account-disabled")


def test_large_bodies_meet_the_database_that_is_away(stack):
    user = stack.user()
    with stack.admin.cursor() as sql:
        stack.allow_errors("database")
        sql.execute(f'ALTER DATABASE "{stack.name}" CONNECTION LIMIT 0')
        try:
            sql.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s AND usename = 'jobforge_app'",
                        (stack.name,))
            wait_for(lambda: user.get("/me").status == 503, 5, "503")
            answer = user.post("/me/import", body=b"{}")
            assert answer.problem(503) and answer.headers["Retry-After"]
        finally:
            sql.execute(f'ALTER DATABASE "{stack.name}" CONNECTION LIMIT -1')
    wait_for(lambda: user.get("/me").status == 200, 10, "connected again")
    credentials = {"email": user.email, "password": PASSWORD}
    wait_for(lambda: user.post("/auth/login", credentials).status == 200, 10, "the others too")


# --- Bodies that are hard work --------------------------------------------------------------------------------------

def test_names_that_collide_cost_no_more_than_others(stack, comment):
    """A mebibyte of members: the table behind them is seeded by chance, so nobody can make them collide."""
    user = stack.user()
    body = ("{" + ",".join(f'"{number:06x}":1' for number in range(90_000)) + "}").encode()
    start = time.monotonic()
    answer = user.post("/applications", body=body)
    taken = time.monotonic() - start
    assert len(answer.problem(422)["errors"]) <= 100
    comment(f"an object of 90,000 members: {taken * 1000:.0f} ms")


def test_nothing_is_decompressed(stack):
    user = stack.user()
    body = gzip.compress(json.dumps(RESUME).encode())
    user.post("/resumes", body=body, headers={"Content-Encoding": "gzip"}).problem(400, 415)
    assert user.get("/resumes").ok()["data"] == []
    user.post("/resumes", body=gzip.decompress(body)).ok(201)


def test_login_goes_on_where_the_password_is_right(crowded):
    user = crowded.user()
    session = crowded.anyone.post("/auth/login", {"email": user.email, "password": PASSWORD}).ok()
    assert session["user"]["id"] == user.id
