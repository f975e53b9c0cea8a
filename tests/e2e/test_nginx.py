"""
nginx as the product configures it: limits, its own errors, and requests that no good client sends. TLS and headers have
files of their own, test_tls.py and test_headers.py.
"""

import gzip
import http.client
import json
import os
import re
import shutil
import signal
import socket
import time

import pytest

from examples import APPLICATION
from stack import PASSWORD, SOURCE, Client, Response, Stack, connect, together, wait_for


@pytest.fixture(scope="module")
def html(tmp_path_factory):
    """The product's pages and a few files of every kind beside them."""
    directory = tmp_path_factory.mktemp("html")
    shutil.copytree(os.path.join(SOURCE, "nginx", "html"), directory, dirs_exist_ok=True)
    (directory / "assets").mkdir(exist_ok=True)
    script = b"console.log('x');\n" * 100
    (directory / "assets" / "app.0123456789abcdef.js").write_bytes(script)
    (directory / "assets" / "app.0123456789abcdef.js.gz").write_bytes(gzip.compress(script))
    (directory / "plain.css").write_bytes(b"body { color: black }\n")
    (directory / ".secret").write_bytes(b"hidden")
    (directory / ".git").mkdir()
    (directory / ".git" / "config").write_bytes(b"hidden")
    os.chmod(directory, 0o755)
    return str(directory)


@pytest.fixture(scope="module")
def stack(html):
    with Stack(nginx={"HTML": html}) as running:
        yield running


@pytest.fixture(scope="module")
def owner(stack):
    user = stack.user()
    user.application = user.create()["id"]
    return user


@pytest.fixture(scope="module")
def secure(stack):
    return Client(stack, https=True, base="")


def logged(stack, answer):
    """The line of the access log for an answer."""
    return [line for line in stack.access_log() if line["request_id"] == answer.headers["X-Request-Id"]][-1]


# --- Errors of nginx ------------------------------------------------------------------------------------------------

def test_errors_of_nginx_under_api_are_problems(stack, secure):
    for client in (stack.root, secure):
        client.post("/api/v1/auth/login", body=b"x" * 70_000).problem(413)
        client.get("/api/v1/%zz").problem(400)
        client.request("TRACE", "/api/v1/me").problem(405)
        client.get("/api/v1/me?" + "x" * 140_000).problem(414)
        client.get("/api/v1/me", headers={"X-Large": "x" * 140_000}).problem(431)
        client.get("/api/v1/me", headers={"Cookie": "x" * 40_000}).problem(431)


# --- Static files ---------------------------------------------------------------------------------------------------

def test_static_files_and_views(secure, html):
    with open(os.path.join(html, "index.html"), "rb") as file:
        index = file.read()
    for path in ("/", "/index.html", "/applications", "/applications/1", "/login"):
        answer = secure.get(path)
        assert (answer.status, answer.body) == (200, index), path
        assert answer.headers["Content-Type"].startswith("text/html")
    assert secure.get("/missing.js").status == 404
    for path in ("/.secret", "/.git/config", "/assets/../.secret", "/%2e%67it/config", "/assets/..%2f.secret",
                 "/../../../../etc/passwd", "/assets/%2e%2e/%2e%2e/%2e%2e/etc/passwd"):
        answer = secure.get(path)
        assert answer.status in (400, 404), path
        assert b"hidden" not in answer.body and b"root:" not in answer.body


def test_static_caching(secure):
    hashed = secure.get("/assets/app.0123456789abcdef.js")
    assert "immutable" in hashed.headers["Cache-Control"] and "max-age=31536000" in hashed.headers["Cache-Control"]
    page = secure.get("/")
    assert "no-cache" in page.headers["Cache-Control"]
    assert secure.get("/", headers={"If-None-Match": page.headers["ETag"]}).status == 304
    css = secure.get("/plain.css")
    assert "no-cache" in css.headers["Cache-Control"]
    assert css.headers["Content-Type"].startswith("text/css")


def test_static_precompressed(secure):
    path = "/assets/app.0123456789abcdef.js"
    plain, packed = secure.get(path), secure.get(path, headers={"Accept-Encoding": "gzip"})
    assert plain.headers.get("Content-Encoding") is None
    assert packed.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(packed.body) == plain.body
    for answer in (plain, packed):
        assert "accept-encoding" in answer.headers["Vary"].lower()
        assert "javascript" in answer.headers["Content-Type"]


def test_api_answers_are_not_compressed(secure, owner):
    """Compression beside a secret tells its bytes, and would weaken the ETag that If-Match needs strong."""
    answer = secure.get("/api/v1/applications/" + owner.application, token=owner.token,
                        headers={"Accept-Encoding": "gzip, br"})
    assert answer.headers.get("Content-Encoding") is None and answer.headers["ETag"].startswith('"')


# --- Rates ----------------------------------------------------------------------------------------------------------

@pytest.fixture(scope="module")
def limited():
    with Stack(nginx={"API_RATE": "2r/s", "API_BURST": "9", "AUTH_RATE": "6r/m", "AUTH_BURST": "3"}) as running:
        running.client = running.user()
        yield running


def statuses(client, count, address, method="GET", path="/me", **options):
    return [client.request(method, path, headers={"X-Forwarded-For": address}, **options) for _ in range(count)]


def test_rate_of_the_api(limited):
    answers = statuses(limited.client, 25, "203.0.113.5")
    allowed = sum(answer.status == 200 for answer in answers)
    assert 10 <= allowed < 25
    for answer in answers:
        if answer.status != 200:
            answer.problem(429)
    assert [answer.status for answer in answers[:10]] == [200] * 10
    assert statuses(limited.client, 1, "203.0.113.6")[0].status == 200, "another address has its own"


def test_rate_of_auth_is_tighter(limited):
    body = {"email": limited.client.email, "password": PASSWORD}
    answers = statuses(limited.anyone, 10, "203.0.113.7", "POST", "/auth/login", json=body)
    assert [answer.status for answer in answers[:4]] == [200] * 4
    assert [answer.status for answer in answers[5:]] == [429] * 5
    answers[-1].problem(429)
    assert statuses(limited.client, 1, "203.0.113.7")[0].status == 200, "the API is still open to that address"
    hashing = statuses(limited.client, 6, "203.0.113.8", "POST", "/me/password",
                       json={"current_password": PASSWORD, "new_password": PASSWORD})
    assert hashing[-1].status == 429, "what hashes a password counts as auth"


def test_rate_counts_a_network_of_ipv6_as_one(limited):
    answers = [answer for host in range(25)
               for answer in statuses(limited.client, 1, f"2001:db8:1:2:{host:x}::{host + 1:x}")]
    assert answers[-1].status == 429
    assert statuses(limited.client, 1, "2001:db8:1:3::1")[0].status == 200


def test_rate_does_not_touch_loopback_and_static(limited):
    assert {limited.client.get("/me").status for _ in range(30)} == {200}
    assert {limited.root.get("/", headers={"X-Forwarded-For": "203.0.113.9"}).status for _ in range(30)} == {200}


def test_forwarded_for_is_believed_from_the_plain_listener_alone(limited):
    told = limited.client.get("/me", headers={"X-Forwarded-For": "203.0.113.10"})
    assert logged(limited, told)["client"] == "203.0.113.10"
    chain = limited.client.get("/me", headers={"X-Forwarded-For": "198.51.100.1, 203.0.113.11, 127.0.0.1"})
    assert logged(limited, chain)["client"] == "203.0.113.11", "the last address that is not a proxy of this host"
    secure = Client(limited, https=True, token=limited.client.token)
    answers = statuses(secure, 30, "203.0.113.12")
    assert {answer.status for answer in answers} == {200}
    assert logged(limited, answers[-1])["client"] in ("127.0.0.1", "::1")
    for nonsense in ("x", "", "1.2.3", "'; DROP TABLE", "203.0.113.256"):
        answer = limited.client.get("/me", headers={"X-Forwarded-For": nonsense})
        assert logged(limited, answer)["client"] == "127.0.0.1"


def test_connections_of_one_address_are_limited():
    with Stack(nginx={"CONNECTIONS": "3"}, api_workers=6) as stack:
        user = stack.user()
        row = user.create()["id"]
        blocker = connect(stack.name)
        blocker.autocommit = False
        blocker.cursor().execute("SELECT 1 FROM public.applications WHERE id = %s FOR UPDATE", (row,))
        sockets = []
        try:
            for _ in range(5):
                sock = socket.create_connection(("127.0.0.1", stack.http_port), 10)
                body = b'{"location":"x"}'
                sock.sendall((f"PATCH /api/v1/applications/{row} HTTP/1.1\r\nHost: x\r\n"
                              f"X-Forwarded-For: 203.0.113.20\r\nAuthorization: Bearer {user.token}\r\n"
                              f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n").encode() + body)
                sockets.append(sock)
                time.sleep(0.1)
        finally:
            blocker.rollback()
            blocker.close()
        answers = []
        for sock in sockets:
            answer = http.client.HTTPResponse(sock)
            answer.begin()
            answers.append(Response(answer.status, answer.headers, answer.read()))
            sock.close()
        assert [answer.status for answer in answers] == [200, 200, 200, 429, 429]
        answers[-1].problem(429)


# --- Workers that are away ------------------------------------------------------------------------------------------

def test_no_worker_is_503_within_5_seconds():
    """Nothing was sent to anybody: the request may be repeated."""
    with Stack() as stack:
        user = stack.user()
        stack.stop_jobforged()
        for call in (lambda: user.get("/me"), lambda: user.post("/applications", APPLICATION),
                     lambda: user.post("/auth/login", {"email": user.email, "password": PASSWORD})):
            start = time.monotonic()
            call().problem(503, slug="unavailable")
            assert time.monotonic() - start < 15
        for path in ("/healthz", "/readyz"):
            stack.root.get(path).problem(503, slug="unavailable")
        assert stack.root.get("/").status == 200


def test_workers_that_hang_are_504_within_5_seconds():
    with Stack(api_workers=1, auth_workers=1) as stack:
        stack.allow_errors("overload")  # should the worker see the request before the end of its connection
        user = stack.user()
        workers = stack.workers()
        for pid in workers:
            os.kill(pid, signal.SIGSTOP)
        try:
            start = time.monotonic()
            user.get("/me").problem(504)
            assert time.monotonic() - start < 15
        finally:
            for pid in workers:
                os.kill(pid, signal.SIGCONT)
        assert user.get("/me").ok()["id"] == user.id


def test_slow_readers_hold_no_worker():
    """nginx takes the whole answer off the only worker's hands, whatever the client does with it."""
    with Stack(api_workers=1) as stack:
        user = stack.user()
        user.create_many([{"company_name": "😀" * 255, "role_title": "名" * 255, "location": "😀" * 255,
                           "job_url": "https://example.com/" + "x" * 2000}] * 100)
        sockets = []
        for _ in range(8):
            sock = socket.socket()
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            sock.connect(("127.0.0.1", stack.http_port))
            sock.sendall(f"GET /api/v1/applications?limit=100 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {user.token}"
                         "\r\n\r\n".encode())
            sockets.append(sock)
        time.sleep(0.5)
        for _ in range(20):
            user.get("/me").ok()

        def read(index):
            """All at once: nginx waits ten seconds for a client to take more of its answer."""
            with sockets[index] as sock:
                answer = http.client.HTTPResponse(sock)
                answer.begin()
                body = answer.read()
            assert answer.status == 200 and len(body) > 400_000 and len(json.loads(body)["data"]) == 100
        together(8, read)


# --- The access log -------------------------------------------------------------------------------------------------

def test_access_log_is_json_and_names_no_secret(stack, owner):
    odd = '"\\\x7f<é\'{}'
    answer = owner.get("/applications?q=caf%C3%A9%22", headers={"User-Agent": odd.encode().decode("latin-1")})
    line = logged(stack, answer)
    assert line["status"] == 200 and line["method"] == "GET" and line["uri"].startswith("/api/v1/applications")
    assert line["client"] == "127.0.0.1" and isinstance(line["duration"], float)
    stack.raw(b"\x16\x03\x01\x02\x00\x01\x00")
    stack.raw(b'"\\ / HTTP/1.1\r\n\r\n')
    assert {line["status"] for line in stack.access_log()} >= {200, 400}  # each of them is JSON
    text = stack.read("access.log")
    for secret in (owner.token, owner.token.split(".")[2], owner.refresh_token, PASSWORD):
        assert secret not in text


def test_request_id_is_one_through_nginx_worker_and_error(stack, owner):
    answer = owner.get("/nothing")
    id_ = answer.problem(404)["instance"]
    assert logged(stack, answer)["status"] == 404
    wait_for(lambda: any(line.get("request_id") == id_ for line in stack.log_lines()), 5, "the worker's line")


def test_request_id_of_a_proxy_on_this_host_is_kept(stack, owner):
    given = "0123456789abcdef0123456789abcdef"
    assert owner.get("/me", headers={"X-Request-Id": given}).headers["X-Request-Id"] == given
    for bad in ("short", "x" * 65, "a b c d e f", "{}{}{}{}{}"):
        assert owner.get("/me", headers={"X-Request-Id": bad}).headers["X-Request-Id"] != bad
    secure = Client(stack, https=True, token=owner.token)
    assert secure.get("/me", headers={"X-Request-Id": given}).headers["X-Request-Id"] != given


# --- Requests that no good client sends -----------------------------------------------------------------------------

@pytest.mark.parametrize("method", ["TRACE", "FOO", "CONNECT", "PROPFIND", "get", "G" * 100, "POST2", "-"])
def test_odd_methods(stack, owner, method):
    received = stack.raw((f"{method} /api/v1/me HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {owner.token}\r\n"
                          "Connection: close\r\n\r\n").encode(), timeout=3)
    assert re.match(rb"HTTP/1.1 (400|405) ", received), received[:200]
    assert owner.id.encode() not in received
    assert b"application/problem+json" in received


@pytest.mark.parametrize("target", [
    "/api/v1/%00", "/api/v1/me%00", "/etc/../../etc/passwd", "/api/v1/%2e%2e/%2e%2e/%2e%2e/etc/passwd",
    "/../x", "/api/v1/%c0%af", "/api/v1/%e0%80%af", "/api/v1/applications/%c0%ae%c0%ae", "/api/v1/%ff%fe", "/api/v1/%",
    "/api/v1/%zz", "/api/v1/%2", "*", "x", "", "http://evil.example/api/v1/nothing", "/api/v1/\x01", "/api/v1/\xff",
    "/api/v1/%0d%0aX-Evil:1", "/%0d%0aX-Evil:1",
])
def test_odd_addresses(stack, owner, target):
    before = stack.snapshot()
    rest = f" HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {owner.token}\r\nConnection: close\r\n\r\n"
    received = stack.raw(b"GET " + target.encode("latin-1") + rest.encode(), timeout=3)
    assert re.match(rb"HTTP/1.1 (400|404|405) ", received) or (
        not target.startswith("/api") and received.startswith(b"HTTP/1.1 200 ")), received[:300]
    assert b"root:" not in received and b"\r\nX-Evil" not in received
    assert stack.snapshot() == before


SMUGGLING = {
    "length and chunked": "Content-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nX",
    "chunked and length": "Transfer-Encoding: chunked\r\nContent-Length: 100\r\n\r\n0\r\n\r\n",
    "two lengths": "Content-Length: 5\r\nContent-Length: 6\r\n\r\n{}    ",
    "two equal lengths": "Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}",
    "negative length": "Content-Length: -1\r\n\r\n{}",
    "plus length": "Content-Length: +2\r\n\r\n{}",
    "hexadecimal length": "Content-Length: 0x2\r\n\r\n{}",
    "length list": "Content-Length: 2, 2\r\n\r\n{}",
    "huge length": "Content-Length: 18446744073709551618\r\n\r\n{}",
    "unknown coding": "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "two codings": "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "chunked twice": "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "tab in coding": "Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
    "bad chunk size": "Transfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n",
    "negative chunk size": "Transfer-Encoding: chunked\r\n\r\n-2\r\n{}\r\n0\r\n\r\n",
    "huge chunk size": "Transfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n{}\r\n0\r\n\r\n",
    "chunk too long": "Transfer-Encoding: chunked\r\n\r\n1\r\n{}\r\n0\r\n\r\n",
    "space before colon": "Content-Length : 2\r\n\r\n{}",
    "nul in a header": "X-A: a\0b\r\nContent-Length: 2\r\n\r\n{}",
}


@pytest.mark.parametrize("tail", SMUGGLING.values(), ids=SMUGGLING.keys())
def test_smuggling_shapes_never_reach_a_worker(stack, owner, tail):
    """Each is refused, and the request that rides behind it is not answered as one of its own."""
    before = stack.snapshot()
    body = json.dumps(APPLICATION)
    inner = (f"POST /api/v1/applications HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {owner.token}\r\n"
             f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n{body}")
    received = stack.raw((f"POST /api/v1/applications HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {owner.token}\r\n"
                          f"Content-Type: application/json\r\n{tail}{inner}").encode("latin-1"), timeout=2)
    assert re.match(rb"HTTP/1.1 (400|413|422|501) ", received) or received == b"", received[:300]
    assert b" 201 Created" not in received
    assert stack.snapshot() == before


@pytest.mark.parametrize("head", [
    "GET /api/v1/me\r\n\r\n", "GET /api/v1/me HTTP/0.9\r\n\r\n", "GET /api/v1/me HTTP/3.0\r\nHost: x\r\n\r\n",
    "GET /api/v1/me HTTP/1.1\r\n\r\n", "GET  /api/v1/me HTTP/1.1 x\r\nHost: x\r\n\r\n",
    "GET /api/v1/me HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n", "GET /api/v1/me HTTP/1.1\r\nHost: x y\r\n\r\n",
    "GET /api/v1/me HTTP/1.1\r\nHost: x\r\n Folded: y\r\n\r\n", "\x00\x01\x02\r\n\r\n", "HELO x\r\n\r\n",
    "GET /api/v1/me HTTP/1.1\nHost: x\n\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
], ids=range(12))
def test_malformed_requests_get_no_answer_of_a_worker(stack, head):
    received = stack.raw(head.encode("latin-1"), timeout=2)
    assert not re.match(rb"HTTP/1.1 [25]", received) or b" 505 " in received, received[:300]


@pytest.mark.parametrize("header", ["Accept", "Cookie", "Idempotency-Key", "If-Match", "If-None-Match",
                                    "X-Requested-With", "Content-Type"])
def test_headers_that_are_too_large(stack, owner, header):
    """What a worker is told has to fit into one FastCGI record of 64 KiB; what does not is never an error of nginx."""
    path = "/applications/" + owner.application
    before = stack.snapshot()
    for size in (9_000, 30_000):
        answer = owner.patch(path, body=b"{}", headers={header: "x" * size})
        assert answer.status < 500, answer
    for size in (33_000, 65_500, 66_000, 100_000, 140_000):
        owner.patch(path, {"location": "x"}, headers={header: "x" * size}).problem(431)
        Client(stack, base="").get("/healthz", headers={header: "x" * size}).problem(431)
    # A newline in the path, as it is after decoding, ends nothing.
    owner.get("/me%0a", headers={"Cookie": "x" * 70_000}).problem(431)
    owner.get("/%0a" + "x" * 70_000).problem(431)
    owner.get("/me", headers={name: "x" * 9_000 for name in ("Cookie", "Accept", "If-Match", "If-None-Match")}
              ).problem(431)
    owner.get("/me").ok()
    assert {row for row in stack.snapshot() if row[0] != "public.applications"} == {
        row for row in before if row[0] != "public.applications"}


def test_tokens_of_any_length_are_401(owner):
    for size in (2_000, 4_000, 4_090, 9_000, 60_000, 100_000, 130_000):
        answer = owner.get("/me", token="A" * size)
        answer.problem(401)
        assert 'error="invalid_token"' in answer.headers["WWW-Authenticate"]


def test_addresses_that_are_too_long(stack, owner):
    owner.get("/me?" + "x" * 9_000).problem(400)
    owner.get("/me?" + "x" * 40_000).problem(431)
    owner.get("/" + "x" * 9_000).problem(404)
    owner.get("/me?" + "x" * 140_000).problem(414)
    owner.get("/applications?q=" + "%41" * 10_000).problem(400)
    for length in (300, 5_000, 60_000):
        assert stack.root.get("/" + "x" * length).status in (200, 404)


def test_headers_that_workers_do_not_read_are_not_theirs(stack, owner):
    """A header cannot become one of the parameters that nginx sets."""
    answer = owner.get("/me", headers={"Remote-User": "x", "Request-Id": "x", "REQUEST_ID": "evil",
                                       "HTTP_AUTHORIZATION": "x", "Proxy": "http://evil", "Request_Method": "DELETE",
                                       "X-Forwarded-User": "x"})
    assert answer.ok()["id"] == owner.id and answer.headers["X-Request-Id"] != "evil"


def test_slow_headers_are_given_up(stack):
    """The connection ends after the ten seconds that the configuration gives, whatever trickles in."""
    with socket.create_connection(("127.0.0.1", stack.http_port), 30) as sock:
        sock.sendall(b"GET /api/v1/me HTTP/1.1\r\nHost: x\r\n")
        start = time.monotonic()
        sock.settimeout(0.5)
        while time.monotonic() - start < 20:
            try:
                sock.sendall(b"X: y\r\n")
                if sock.recv(1000) is not None:
                    break
            except socket.timeout:
                continue
            except OSError:
                break
        assert 8 < time.monotonic() - start < 16
