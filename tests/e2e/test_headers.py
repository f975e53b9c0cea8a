"""
The headers that the OWASP Secure Headers Project names, on every kind of answer that there is, of the workers and of
nginx, over each way in: plain HTTP/1.1, HTTPS with HTTP/1.1, HTTPS with HTTP/2.

What that project proposes and is not here: `upgrade-insecure-requests` and `block-all-mixed-content`, as the policy
lets nothing be loaded but from this host; `Clear-Site-Data` for cookies and storage, for the reasons in
nginx/jobforge.conf.in; an end of `Server`, which nginx cannot leave out: it bears no version.
"""

import json
import os
import re
import signal
import socket
import subprocess

import pytest

from examples import APPLICATION
from stack import PASSWORD, REQUEST_ID, Stack, connect

ALWAYS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "X-Permitted-Cross-Domain-Policies": "none",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
HSTS = "max-age=31536000; includeSubDomains"
PAGE_POLICY = {
    "default-src": "'none'", "script-src": "'self'", "style-src": "'self'", "img-src": "'self'", "font-src": "'self'",
    "connect-src": "'self'", "manifest-src": "'self'", "base-uri": "'none'", "form-action": "'self'",
    "frame-ancestors": "'none'",
}
DATA_POLICY = {"default-src": "'none'", "base-uri": "'none'", "form-action": "'none'", "frame-ancestors": "'none'",
               "sandbox": ""}
# Features that a page may ask a browser for, and that no page here does but the last, of its own.
REFUSED_FEATURES = ("accelerometer", "autoplay", "camera", "clipboard-read", "display-capture", "encrypted-media",
                    "fullscreen", "geolocation", "gyroscope", "hid", "idle-detection", "magnetometer", "microphone", "midi",
                    "payment", "picture-in-picture", "publickey-credentials-get", "screen-wake-lock", "serial", "sync-xhr",
                    "usb", "xr-spatial-tracking")
# Of the names that the project wants removed those that something here could send, and what is like them.
TELLING = re.compile(r"(?i)x-powered|powered-by|x-generator|x-framework|product|sourcemap|x-accel|x-runtime|x-varnish"
                     r"|via|x-backend|x-aspnet|x-php|x-version|host-header|x-debug|status|access-control-")
SCRIPT = "/js/session.js"
OLD_ETAG = {"If-Match": '"0"'}
JSON = {"Content-Type": "application/json"}

WAYS = ("plain", "tls", "h2")


class Answer:
    """What curl writes of an answer: its status, its headers in their order with their names in lower case."""

    def __init__(self, head):
        lines = head.strip().split("\r\n")
        self.status = int(lines[0].split()[1])
        self.pairs = [(name.strip().lower(), value.strip()) for name, value in (line.split(":", 1) for line in lines[1:])]

    def all(self, name):
        return [value for found, value in self.pairs if found == name.lower()]

    def one(self, name):
        values = self.all(name)
        assert len(values) == 1, (name, self.status, self.pairs)
        return values[0]


def ask(stack, way, method, path, headers=None, body=None, *options):
    """One request by curl, which sends the path as it is."""
    base = f"http://127.0.0.1:{stack.http_port}" if way == "plain" else f"https://localhost:{stack.https_port}"
    command = ["curl", "-sS", "-m", "20", "--noproxy", "*", "--path-as-is", "--globoff", "-D", "-", "-o", "/dev/null",
               "--cacert", stack.path("tls.crt"), "--http2" if way == "h2" else "--http1.1", "-H", "Expect:", *options]
    command += ["--head"] if method == "HEAD" else ["-X", method]
    for name, value in (headers or {}).items():
        command += ["-H", f"{name}: {value}"]
    if body is not None:
        command += ["--data-binary", "@-"]
    said = subprocess.run([*command, base + path], input=(body or "").encode(), capture_output=True, timeout=30)
    # Some answers come before the body has been sent: curl may say so, and has the head nevertheless.
    heads = [head for head in said.stdout.decode("latin-1").split("\r\n\r\n") if head.startswith("HTTP/")]
    assert heads, (method, path[:100], said.stderr)
    return Answer(heads[-1])


def send(stack, way, data):
    """Bytes as they are, in HTTP/1.1 or what is meant to look like it."""
    received = stack.raw(data, https=way != "plain", timeout=3)
    assert received.startswith(b"HTTP/1.1 "), received[:200]
    return Answer(received.split(b"\r\n\r\n")[0].decode("latin-1"))


def judge(answer, way, page=False):
    """What holds for every answer."""
    for name, value in ALWAYS.items():
        assert answer.one(name) == value, (name, answer.status)
    assert answer.all("Strict-Transport-Security") == ([] if way == "plain" else [HSTS]), answer.status
    policy = dict((item.strip() + " ").split(" ", 1) for item in answer.one("Content-Security-Policy").split(";"))
    assert {name: value.strip() for name, value in policy.items()} == (PAGE_POLICY if page else DATA_POLICY)
    features = dict(item.strip().split("=", 1) for item in answer.one("Permissions-Policy").split(","))
    assert all(features[name] == "()" for name in REFUSED_FEATURES), features
    assert set(features.values()) == {"()", "(self)"} and features["clipboard-write"] == "(self)", features
    caching = answer.one("Cache-Control")
    assert re.fullmatch(r"no-store|private, no-(cache|store)|no-cache", caching), (caching, answer.status)
    assert answer.status < 400 or caching == "no-store", (caching, answer.status)
    assert answer.all("Server") in ([], ["nginx"]), answer.pairs
    assert not [name for name, _ in answer.pairs if TELLING.match(name)], answer.pairs
    assert REQUEST_ID.fullmatch(answer.one("X-Request-Id"))
    for name in ("Content-Type", "Content-Length", "ETag", "Allow", "Retry-After", "Set-Cookie", "Location"):
        assert len(answer.all(name)) <= 1, (name, answer.pairs)


@pytest.fixture(scope="module")
def owner(stack):
    user = stack.user()
    user.application = user.create()["id"]
    user.put(f"/applications/{user.application}/documents/research_report", {"content": "# A report\n\n" + "Text. " * 50}).ok(201)
    return user


def requests(stack, owner):
    """name: (status, is it of the pages, method, path, headers, body) of every kind of answer without a fault here."""
    bearer = {"Authorization": "Bearer " + owner.token}
    api = "/api/v1"
    one = f"{api}/applications/{owner.application}"
    report = one + "/documents/research_report"
    etag = owner.get("/applications/" + owner.application).headers["ETag"]
    script = stack.root.get(SCRIPT).headers["ETag"]
    body = json.dumps(APPLICATION)
    return {
        "page": (200, True, "GET", "/"),
        "page by HEAD": (200, True, "HEAD", "/"),
        "view": (200, True, "GET", "/applications/1"),
        "description's page": (200, True, "GET", "/api/docs"),
        "script": (200, True, "GET", SCRIPT),
        "part of a file": (200, True, "GET", SCRIPT, {"Range": "bytes=0-9"}),
        "part that no file has": (200, True, "GET", SCRIPT, {"Range": "bytes=9999999-"}),
        "unchanged file": (304, True, "GET", SCRIPT, {"If-None-Match": script}),
        "resource": (200, False, "GET", one, bearer),
        "resource by HEAD": (200, False, "HEAD", one, bearer),
        "unchanged resource": (304, False, "GET", one, {**bearer, "If-None-Match": etag}),
        "list": (200, False, "GET", api + "/applications", bearer),
        "CSV": (200, False, "GET", api + "/applications", {**bearer, "Accept": "text/csv"}),
        "Markdown": (200, False, "GET", report, {**bearer, "Accept": "text/markdown"}),
        "HTML": (200, False, "GET", report, {**bearer, "Accept": "text/html"}),
        "export": (200, False, "GET", api + "/me/export", bearer),
        "description": (200, False, "GET", api + "/openapi.json"),
        "created": (201, False, "POST", api + "/applications", {**bearer, **JSON}, body),
        "options": (204, False, "OPTIONS", api + "/applications"),
        "preflight": (204, False, "OPTIONS", one, {"Origin": "https://other.example", "Access-Control-Request-Method": "PATCH"}),
        "health": (200, False, "GET", "/healthz"),
        "readiness": (200, False, "GET", "/readyz"),
        "worker's 400": (400, False, "POST", api + "/applications", {**bearer, **JSON}, "{"),
        "nginx's 400": (400, False, "GET", api + "/%zz"),
        "401": (401, False, "GET", api + "/me"),
        "401 of a long token": (401, False, "GET", api + "/me", {"Authorization": "Bearer " + "A" * 60_000}),
        "worker's 404": (404, False, "GET", api + "/nothing", bearer),
        "nginx's 404": (404, True, "GET", "/missing.css"),
        "hidden file": (404, True, "GET", "/.git/config"),
        "worker's 405": (405, False, "PUT", api + "/me", bearer, "{}"),
        "nginx's 405": (405, True, "POST", "/", {}, "x"),
        "TRACE": (405, False, "TRACE", api + "/me"),
        "406": (406, False, "GET", report, {**bearer, "Accept": "image/png"}),
        "412": (412, False, "PATCH", one, {**bearer, **JSON, **OLD_ETAG}, '{"location":"x"}'),
        "413": (413, False, "POST", api + "/auth/login", JSON, "x" * 70_000),
        "415": (415, False, "POST", api + "/applications", {**bearer, "Content-Type": "text/plain"}, "x"),
        "422": (422, False, "POST", api + "/applications", {**bearer, **JSON}, "{}"),
        "422 of logout": (422, False, "POST", api + "/auth/logout", JSON, '{"refresh_token":1}'),
        "431": (431, False, "GET", api + "/me", {"Cookie": "x" * 40_000}),
    }


@pytest.mark.parametrize("way", WAYS)
def test_every_kind_of_answer_has_them(stack, owner, way):
    for name, (status, page, *request) in requests(stack, owner).items():
        try:
            answer = ask(stack, way, *request)
            assert answer.status == status, answer.status
            judge(answer, way, page)
            assert answer.all("Clear-Site-Data") == []
        except AssertionError as error:
            raise AssertionError(f"{name} over {way}: {error}") from error


@pytest.mark.parametrize("way", ("plain", "tls"))
@pytest.mark.parametrize("status, data", [
    (400, b"GET /api/v1/me HTTP/1.1\r\n\r\n"),
    (400, b"GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n"),
    (400, b"GET /\x01 HTTP/1.1\r\nHost: x\r\n\r\n"),
    (400, b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: x\r\n\r\n"),
    (400, b"\x00\x01\r\n\r\n"),
    (414, b"GET /?" + b"x" * 140_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n"),
    (431, b"GET / HTTP/1.1\r\nHost: x\r\nX-Large: " + b"x" * 140_000 + b"\r\n\r\n"),
    (501, b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n"),
    (505, b"GET / HTTP/3.0\r\nHost: x\r\n\r\n"),
    (505, b"GET /api/v1/me/export HTTP/1.0\r\n\r\n"),
], ids=["no host", "two hosts", "bad path", "bad length", "no HTTP", "long address", "long header", "unknown coding", "unknown version",
        "stream in HTTP/1.0"])
def test_refusals_of_what_is_no_good_http_have_them(stack, way, status, data):
    answer = send(stack, way, data)
    assert answer.status == status
    policy = answer.one("Content-Security-Policy")
    judge(answer, way, page=policy.startswith("default-src 'none'; script-src 'self'"))


def test_the_redirect_to_https_has_them(stack):
    with socket.create_connection(("127.0.0.1", stack.https_port), 10) as plain:
        plain.sendall(b"GET /x?y HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        answer = Answer(plain.recv(65536).split(b"\r\n\r\n")[0].decode())
    assert (answer.status, answer.one("Location")) == (308, f"https://localhost:{stack.https_port}/x?y")
    judge(answer, "plain", page=True)


def test_too_many_requests_have_them():
    with Stack(nginx={"API_RATE": "1r/s", "API_BURST": "1"}) as stack:
        far = {"X-Forwarded-For": "203.0.113.5"}
        answers = [ask(stack, "plain", "GET", "/api/v1/me", far) for _ in range(6)]
        assert answers[-1].status == 429
        judge(answers[-1], "plain")


@pytest.mark.parametrize("way", WAYS)
def test_the_end_of_a_session_clears_what_the_browser_could_show_of_it(stack, way):
    leaving, deleted = stack.user(), stack.user()
    ended = [ask(stack, way, "POST", "/api/v1/auth/logout", JSON, json.dumps({"refresh_token": leaving.refresh_token})),
             ask(stack, way, "DELETE", "/api/v1/me", {**JSON, "Authorization": "Bearer " + deleted.token},
                 json.dumps({"password": PASSWORD}))]
    for answer in ended:
        assert answer.status == 204
        judge(answer, way)
        assert answer.one("Clear-Site-Data") == '"cache"'


def test_answers_in_place_of_workers_have_them():
    """Workers that hang, a database that is away, and workers that are."""
    with Stack(api_workers=1, auth_workers=1) as stack:
        stack.allow_errors('"event": "database"')
        workers = stack.workers()
        for pid in workers:
            os.kill(pid, signal.SIGSTOP)
        try:
            hanging = ask(stack, "h2", "GET", "/healthz")
        finally:
            for pid in workers:
                os.kill(pid, signal.SIGCONT)
        assert hanging.status == 504
        judge(hanging, "h2")

        control = connect("postgres")
        control.cursor().execute(f'ALTER DATABASE "{stack.name}" ALLOW_CONNECTIONS false')
        stack.sql("SELECT count(pg_terminate_backend(pid, 5000)) FROM pg_stat_activity WHERE datname = %s"
                  " AND pid <> pg_backend_pid()", stack.name)
        for way in WAYS:
            answer = ask(stack, way, "GET", "/readyz")
            assert answer.status == 503
            judge(answer, way)
        control.cursor().execute(f'ALTER DATABASE "{stack.name}" ALLOW_CONNECTIONS true')
        control.close()

        stack.stop_jobforged()
        for way in WAYS:
            for path in ("/api/v1/me", "/healthz", "/api/v1/auth/login", "/api/v1/me/export"):
                answer = ask(stack, way, "GET", path)
                assert answer.status == 503, path
                judge(answer, way)
