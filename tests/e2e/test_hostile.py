"""
HTTP that no good client sends, byte by byte, with what becomes of it: which answers come, and how many requests a
worker saw.

What nginx 1.22 (Debian 12) and 1.26 (Debian 13) do differently has both statuses. That nothing here is worse than a
4xx is what matters, and that a worker never sees a request that a proxy in front would not have seen as one.
"""

import http.client
import io
import json
import re
import socket
import ssl
import struct

import pytest

from examples import APPLICATION
from stack import Response, Stack, wait_for


@pytest.fixture(scope="module")
def stack():
    # One worker, so that its log has the requests in their order.
    with Stack(api_workers=1) as running:
        yield running


@pytest.fixture(scope="module")
def owner(stack):
    user = stack.user()
    user.application = user.create()["id"]
    return user


class Kept(io.BytesIO):
    """What was received, for a parser that closes what it has read."""

    def makefile(self, _mode):
        return self

    def close(self):
        pass


def parse(received, methods):
    """Every answer in it, each of which must be whole."""
    file, answers = Kept(received), []
    for method in [*methods, *["GET"] * 5]:
        if file.tell() == len(received):
            break
        answer = http.client.HTTPResponse(file, method=method)
        answer.begin()
        answers.append(Response(answer.status, answer.headers, answer.read()))
    return answers


def requests_logged(stack, owner):
    """The lines of all requests that workers have logged up to one of ours, which is the last."""
    mark = owner.get("/usage").headers["X-Request-Id"]

    def lines():
        found = [line for line in stack.log_lines() if line["event"] == "request"]
        ids = [line["request_id"] for line in found]
        return found[:ids.index(mark) + 1] if mark in ids else None
    return wait_for(lines, 10, "the log")


def seen(stack, owner, since):
    """The routes of the requests since then; None for one without."""
    return [line.get("route") for line in requests_logged(stack, owner)[since:-1]]


def seen_of_a_write(stack, owner, since):
    """The same but for nginx's own question whether the token is good, which comes before a body of unknown length: GET /me, as which
    nothing is sent that ends well."""
    return [line.get("route") for line in requests_logged(stack, owner)[since:-1]
            if (line["method"], line.get("route"), line["status"]) != ("GET", "/api/v1/me", 200)]


def judge(stack, owner, data, statuses, workers, methods=(), https=False):
    """Sends it; checks the statuses of all answers, in order, and how many requests came to a worker."""
    since = len(requests_logged(stack, owner))
    before = stack.snapshot()
    answers = parse(stack.raw(data, https=https, timeout=2), methods)
    got = [answer.status for answer in answers]
    assert len(got) == len(statuses) and all(
        status in wanted if isinstance(wanted, tuple) else status == wanted for status, wanted in zip(got, statuses)
    ), (got, statuses, [answer.body[:200] for answer in answers])
    for answer in answers:
        if answer.status >= 400 and answer.headers.get("Content-Type") == "application/problem+json" and answer.body:
            assert answer.json()["status"] == answer.status
        assert owner.id.encode() not in answer.body or answer.status in (200, 201)
    routes = (seen_of_a_write if data.startswith(b"POST") else seen)(stack, owner, since)
    assert len(routes) == workers, routes
    if not any(status == 201 for status in got):
        assert stack.snapshot() == before
    return answers


# --- Smuggling: requests that two readers would end at different places ---------------------------------------------

BODY = json.dumps(APPLICATION)
CHUNKED = "Transfer-Encoding: chunked\r\n\r\n"
RIDER = "GET /api/v1/me HTTP/1.1\r\nHost: x\r\n\r\n"

SMUGGLING = {
    "length and chunked": (f"Content-Length: 5\r\n{CHUNKED}0\r\n\r\n", [400], 0),
    "chunked and length": ("Transfer-Encoding: chunked\r\nContent-Length: 40\r\n\r\n0\r\n\r\n", [400], 0),
    "two lengths": ("Content-Length: 0\r\nContent-Length: 44\r\n\r\n", [400], 0),
    "two equal lengths": ("Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}", [400], 0),
    "a list of lengths": ("Content-Length: 2, 2\r\n\r\n{}", [400], 0),
    "a negative length": ("Content-Length: -1\r\n\r\n{}", [400], 0),
    "a length with a plus": ("Content-Length: +2\r\n\r\n{}", [400], 0),
    "a length in hexadecimal": ("Content-Length: 0x2\r\n\r\n{}", [400], 0),
    "a length of 2^64 and two": ("Content-Length: 18446744073709551618\r\n\r\n{}", [400], 0),
    "a length with a space within": ("Content-Length: 2 2\r\n\r\n{}", [400], 0),
    "an empty length": ("Content-Length: \r\n\r\n", [400], 0),
    "a blank before the colon": ("Content-Length : 2\r\n\r\n{}", [400], 0),
    "a blank before the colon of the coding": (f"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n", [400], 0),
    "a folded line": ("X-A: b\r\n Content-Length: 2\r\n\r\n{}", [400], 0),
    "a folded coding": ("Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n", [(400, 501)], 0),
    "an unknown coding": ("Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", [501], 0),
    "two codings": ("Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", [501], 0),
    "chunked twice": ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", [400], 0),
    "identity": ("Transfer-Encoding: identity\r\nContent-Length: 2\r\n\r\n{}", [(400, 501)], 0),
    "a vertical tab before the coding": ("Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n", [501], 0),
    "a chunk's size that is none": (CHUNKED + "zz\r\n{}\r\n0\r\n\r\n", [400], 0),
    "a negative size": (CHUNKED + "-2\r\n{}\r\n0\r\n\r\n", [400], 0),
    "a size with 0x": (CHUNKED + "0x2\r\n{}\r\n0\r\n\r\n", [400], 0),
    "a size of 2^72": (CHUNKED + "ffffffffffffffffff\r\n{}\r\n0\r\n\r\n", [400], 0),
    "a size of 2^63": (CHUNKED + "7fffffffffffffff\r\n{}\r\n0\r\n\r\n", [(400, 413)], 0),
    "a chunk longer than its size": (CHUNKED + "1\r\n{}\r\n0\r\n\r\n", [400], 0),
    "a NUL in a name": ("X-A\0: b\r\nContent-Length: 2\r\n\r\n{}", [400], 0),
    "a NUL in a value": ("X-A: a\0b\r\nContent-Length: 2\r\n\r\n{}", [400], 0),
    "a carriage return alone in a value": ("X-A: a\rContent-Length: 50\r\nContent-Length: 2\r\n\r\n{}", [(400, 422)],
                                           (0, 2)),
}


@pytest.mark.parametrize("https", [False, True], ids=["http", "https"])
@pytest.mark.parametrize("name", SMUGGLING)
def test_smuggling(stack, owner, name, https):
    """What rides behind it is never answered, for the connection ends with the refusal."""
    tail, statuses, workers = SMUGGLING[name]
    head = (f"POST /api/v1/applications HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {owner.token}\r\n"
            "Content-Type: application/json\r\n")
    if workers == (0, 2):
        # Taken as a part of the value, it hides no length: what follows is then a request of its own.
        received = stack.raw((head + tail + RIDER).encode("latin-1"), https=https, timeout=2)
        assert [answer.status for answer in parse(received, ["POST"])] in ([400], [422, 401])
        return
    judge(stack, owner, (head + tail + RIDER).encode("latin-1"), statuses, workers, ["POST"], https)


WHOLE = {
    "extensions of chunks": CHUNKED + "{size:x};a=b;c=\"d\"\r\n{body}\r\n0;x\r\n\r\n",
    "leading zeros of a size": CHUNKED + "0000000{size:x}\r\n{body}\r\n000\r\n\r\n",
    "a trailer": CHUNKED + "{size:x}\r\n{body}\r\n0\r\nContent-Length: 0\r\nAuthorization: x\r\n\r\n",
    "leading zeros of a length": "Content-Length: 000{size}\r\n\r\n{body}",
    "tabs around a length": "Content-Length: {size} \r\n\r\n{body}",
    "lines that end with a line feed": "Content-Length: {size}\n\n{body}",
    "coding in capitals": "TRANSFER-ENCODING: CHUNKED\r\n\r\n{size:x}\r\n{body}\r\n0\r\n\r\n",
}


@pytest.mark.parametrize("name", WHOLE)
def test_odd_bodies_end_where_they_say(stack, owner, name):
    """One creation and one request behind it, each seen once."""
    tail = WHOLE[name].replace("{size:x}", f"{len(BODY):x}").replace("{size}", str(len(BODY))).replace("{body}", BODY)
    data = (f"POST /api/v1/applications HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {owner.token}\r\n"
            f"Content-Type: application/json\r\n{tail}{RIDER}")
    before = stack.sql("SELECT count(*) FROM applications")[0][0]
    judge(stack, owner, data.encode(), [201, 401], 2, ["POST", "GET"])
    assert stack.sql("SELECT count(*) FROM applications")[0][0] == before + 1


# --- Headers that are there twice -----------------------------------------------------------------------------------

@pytest.mark.parametrize("extra, statuses, workers", [
    ("Host: y\r\n", [400], 0),
    ("Authorization: Bearer x\r\n", [400], 0),
    ("If-None-Match: *\r\nIf-None-Match: \"1\"\r\n", [400], 0),
    ("If-Match: *\r\nIf-Match: \"1\"\r\n", [400], 0),
    ("Cookie: a=b\r\nCookie: c=d\r\n", [200], 1),
    ("Accept: text/html\r\nAccept: application/json\r\n", [200], 1),
    ("X-Request-Id: aaaaaaaa\r\nX-Request-Id: bbbbbbbb\r\n", [200], 1),
    ("X-Forwarded-For: 1.2.3.4\r\nX-Forwarded-For: 5.6.7.8\r\n", [200], 1),
    ("Connection: close, Authorization\r\n", [200], 1),
    ("Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n", [200], 1),
    ("Expect: 200-ok\r\n", [(200, 417)], 1),
    ("X-Original-URL: /api/v1/applications\r\nX-Rewrite-URL: /admin\r\nX-HTTP-Method-Override: DELETE\r\n", [200], 1),
    ("Content-Length: 0\r\nRange: bytes=0-1\r\n", [200], 1),
    ("".join(f"X-{n}: y\r\n" for n in range(500)), [200], 1),
    ("".join(f"X-{n}: y\r\n" for n in range(20000)), [431], 0),
], ids=range(15))
def test_duplicate_and_odd_headers_of_a_read(stack, owner, extra, statuses, workers):
    data = (f"GET /api/v1/me HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {owner.token}\r\n{extra}"
            "Connection: close\r\n\r\n")
    judge(stack, owner, data.encode(), statuses, workers)


@pytest.mark.parametrize("extra, statuses, workers", [
    # nginx takes one of them, or since 1.23 makes a list of both, which is no type.
    ("Content-Type: application/json\r\nContent-Type: text/csv\r\n", [(201, 400, 415)], (0, 1)),
    ("Content-Type: text/plain\r\nContent-Type: application/json\r\n", [(400, 415)], (0, 1)),
    ("Content-Type: application/json\r\nIdempotency-Key: a\r\nIdempotency-Key: b\r\n", [(201, 400)], (1,)),
    ("Content-Type: application/json\r\nIdempotency-Key: a b\r\n", [400], (1,)),
    ("Content-Type: application/json\r\nIdempotency-Key: " + "k" * 256 + "\r\n", [400], (1,)),
    ("Content-Type: application/json; charset=utf-16\r\n", [415], (1,)),
], ids=range(6))
def test_duplicate_and_odd_headers_of_a_write(stack, owner, extra, statuses, workers):
    data = (f"POST /api/v1/applications HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {owner.token}\r\n"
            f"Content-Length: {len(BODY)}\r\n{extra}Connection: close\r\n\r\n{BODY}")
    since = len(requests_logged(stack, owner))
    answers = parse(stack.raw(data.encode(), timeout=2), ["POST"])
    wanted = statuses[0] if isinstance(statuses[0], tuple) else statuses
    assert len(answers) == 1 and answers[0].status in wanted, answers
    assert len(seen(stack, owner, since)) in workers


# --- Methods, addresses, versions -----------------------------------------------------------------------------------

@pytest.mark.parametrize("method, status, workers", [
    ("TRACE", 405, 0), ("CONNECT", (400, 405), 0), ("FOO", 405, 1), ("PROPFIND", 405, 1), ("get", 400, 0),
    ("GeT", 400, 0),
    ("G" * 100, 405, 1), ("POST2", 400, 0), ("-", 405, 1), ("GET,POST", 400, 0), ("G\0T", 400, 0), ("", 400, 0),
    ("OPTIONS", 204, 1), ("HEAD", 200, 1),
])
def test_methods(stack, owner, method, status, workers):
    data = (f"{method} /api/v1/me HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {owner.token}\r\n"
            "Connection: close\r\n\r\n")
    judge(stack, owner, data.encode(), [status], workers, [method])


@pytest.mark.parametrize("target, status, workers", [
    ("/api/v1/me", 200, 1),
    ("http://x/api/v1/me", 200, 1),
    ("http://evil.example/api/v1/me", 200, 1),
    ("ftp://x/api/v1/me", 200, 1),
    ("/api/v1/%6d%65", 200, 1),
    ("/api/v1/m%65#x", 404, 1),
    ("/api/v1/me%00", 400, 0),
    ("/api/v1/me%", 400, 0),
    ("/api/v1/me%zz", 400, 0),
    ("/api/v1/%2e%2e/%2e%2e/%2e%2e/etc/passwd", 400, 0),
    ("/api/v1/../v1/me", 404, 1),
    ("/api/v1/./me", 404, 1),
    ("/api//v1/me", 404, 1),
    ("//api/v1/me", 404, 1),
    ("/api/v1%2fme", 404, 1),
    ("/api/v1/me/", 404, 1),
    ("/api/v1/me;x=y", 404, 1),
    ("/api/v1/me%3f", 404, 1),
    ("/api/v1/%c0%af", 404, 1),
    ("/api/v1/%e0%80%af", 404, 1),
    ("/api/v1/applications/%c0%ae%c0%ae", 404, 1),
    ("/api/v1/%ff%fe", 404, 1),
    ("/api/v1/applications/%ed%a0%80", 404, 1),
    ("/api/v1/applications/\xff", 404, 1),
    ("/api/v1/\x01", 400, 0),
    ("/api/v1/\x7f", 400, 0),
    ("/api/v1/%0d%0aX-Evil:1", 404, 1),
    ("/api/v1/applications?q=%0d%0aX-Evil:1", 200, 1),
    ("/api/v1/applications?q=%ff", 400, 1),
    ("/api/v1/applications?q=%00", 400, 1),
    ("/api/v1/applications?" + "&" * 5000, 200, 1),
    ("/api/v1/applications?" + "q=a&" * 65, 400, 1),
    ("*", 400, 0),
    ("x", 400, 0),
    ("/api/v1/me HTTP/1.1 x", 400, 0),
])
def test_addresses(stack, owner, target, status, workers):
    head = f" HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {owner.token}\r\nConnection: close\r\n\r\n"
    answer, = judge(stack, owner, b"GET " + target.encode("latin-1") + head.encode(), [status], workers)
    assert answer.headers.get("X-Evil") is None


@pytest.mark.parametrize("head, statuses, workers", [
    ("GET /api/v1/me HTTP/1.1\r\n\r\n", [400], 0),
    ("GET /api/v1/me HTTP/1.0\r\n\r\n", [401], 1),
    ("GET /api/v1/me HTTP/1.2\r\nHost: x\r\nConnection: close\r\n\r\n", [401], 1),
    ("GET /api/v1/me HTTP/2.0\r\nHost: x\r\n\r\n", [505], 0),
    ("GET /api/v1/me HTTP/0.9\r\n\r\n", [(400, 505)], 0),
    ("GET /api/v1/me http/1.1\r\nHost: x\r\n\r\n", [400], 0),
    ("GET /api/v1/me HTTP/1.1\r\nHost: x y\r\n\r\n", [400], 0),
    ("GET /api/v1/me HTTP/1.1\r\nHost: ../x\r\n\r\n", [400], 0),
    ("GET /api/v1/me HTTP/1.1\r\nHost:\r\n\r\n", [400], 0),
    ("GET /api/v1/me HTTP/1.1\r\nno colon\r\nHost: x\r\nConnection: close\r\n\r\n", [(400, 401)], (0, 1)),
    ("\r\n\r\nGET /api/v1/me HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", [401], 1),
    ("HELO x\r\n\r\n", [400], 0),
], ids=range(12))
def test_request_lines(stack, owner, head, statuses, workers):
    if isinstance(workers, tuple):
        received = parse(stack.raw(head.encode(), timeout=2), ["GET"])
        assert [answer.status for answer in received] in [[status] for status in statuses[0]]
    else:
        judge(stack, owner, head.encode(), statuses, workers)


def test_http_0_9_is_told_nothing(stack, owner):
    """It has neither headers nor a status: what comes is the body of a 400 or a 401."""
    received = stack.raw(b"GET /api/v1/applications\r\n\r\n", timeout=2)
    assert received == b"" or json.loads(received[received.find(b"{"):])["status"] in (400, 401, 505)


# --- HTTP/2, by frames ----------------------------------------------------------------------------------------------

DATA, HEADERS, PRIORITY, RST, SETTINGS, PUSH, PING, GOAWAY, WINDOW, CONTINUATION = range(10)
END_STREAM, END_HEADERS = 1, 4


def frame(type_, payload=b"", flags=0, stream=0):
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", type_, flags, stream) + payload


def field(name, value):
    """Literal, not indexed, no Huffman code (RFC 7541, 6.2.2); both shorter than 127."""
    name, value = name.encode("latin-1"), value.encode("latin-1")
    assert len(name) < 127 and len(value) < 16384
    more = len(value) - 127
    size = bytes([len(value)]) if more < 0 else bytes([127, more & 127 | 128, more >> 7])
    return b"\0" + bytes([len(name)]) + name + size + value


class Http2:
    """One connection, spoken by hand."""

    def __init__(self, stack):
        context = ssl._create_unverified_context()
        context.set_alpn_protocols(["h2"])
        plain = socket.create_connection(("127.0.0.1", stack.https_port), 10)
        self.socket = context.wrap_socket(plain, server_hostname="localhost")
        assert self.socket.selected_alpn_protocol() == "h2"
        self.socket.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(SETTINGS))
        self.buffer = b""

    def close(self):
        self.socket.close()

    def send(self, data):
        try:
            self.socket.sendall(data)
        except OSError:
            pass

    def next_frame(self):
        """Type, flags, stream and payload; None at the end."""
        while len(self.buffer) < 9 or len(self.buffer) < 9 + int.from_bytes(self.buffer[:3], "big"):
            try:
                more = self.socket.recv(65536)
            except (ConnectionResetError, ssl.SSLEOFError):
                more = b""
            if not more:
                return None
            self.buffer += more
        size = int.from_bytes(self.buffer[:3], "big")
        type_, flags, stream = struct.unpack(">BBI", self.buffer[3:9])
        payload, self.buffer = self.buffer[9:9 + size], self.buffer[9 + size:]
        return type_, flags, stream, payload

    def outcome(self, stream=1):
        """The status that the stream is answered with, "reset", or "closed" for the connection."""
        while (got := self.next_frame()) is not None:
            type_, _, number, payload = got
            if type_ == HEADERS and number == stream:
                known = {0x88: 200, 0x89: 204, 0x8c: 400, 0x8d: 404, 0x8e: 500}
                while payload[0] & 0xe0 == 0x20:  # a change of the table's size
                    payload = payload[1:]
                return known.get(payload[0]) or int(payload[2:5])
            if type_ == RST and number == stream:
                return "reset"
            if type_ == GOAWAY:
                return "closed"
        return "closed"


def head(owner, *more, method="GET", path="/api/v1/me", pseudo=None):
    fields = [(":method", method), (":scheme", "https"), (":authority", "localhost"), (":path", path)]
    fields = fields if pseudo is None else pseudo
    return b"".join(field(*pair) for pair in [*fields, ("authorization", "Bearer " + owner.token), *more])


def get(owner, *more, stream=1, **options):
    return frame(HEADERS, head(owner, *more, **options), END_STREAM | END_HEADERS, stream)


def post(owner, *more, body=b"{}", stream=1, length=None):
    """A creation whose content-length is another than that of what is sent."""
    fields = [("content-type", "application/json"), *([("content-length", length)] if length else []), *more]
    return (frame(HEADERS, head(owner, *fields, method="POST", path="/api/v1/applications"), END_HEADERS, stream)
            + frame(DATA, body, END_STREAM, stream))


G = [(":method", "GET"), (":scheme", "https"), (":authority", "localhost"), (":path", "/api/v1/me")]

FRAMES = {
    "a plain one": (get, {200}, 1),
    "capitals in a name": (lambda o: get(o, ("X-Upper", "x")), {400, "reset"}, 0),
    "a line break in a value": (lambda o: get(o, ("x-a", "b\r\nContent-Length: 5")), {400, "reset"}, 0),
    "a NUL in a value": (lambda o: get(o, ("x-a", "b\0c")), {400, "reset"}, 0),
    "a line break in a name": (lambda o: get(o, ("x\r\ny", "z")), {400, "reset"}, 0),
    "a colon in a name": (lambda o: get(o, ("x:y", "z")), {400, "reset"}, 0),
    "an empty name": (lambda o: get(o, ("", "z")), {400, "reset", "closed"}, 0),
    "no method": (lambda o: get(o, pseudo=G[1:]), {400, "reset"}, 0),
    "no scheme": (lambda o: get(o, pseudo=[G[0], *G[2:]]), {400, "reset"}, 0),
    "no path": (lambda o: get(o, pseudo=G[:3]), {400, "reset"}, 0),
    "no authority": (lambda o: get(o, pseudo=[*G[:2], G[3]]), {400, "reset"}, 0),
    "two methods": (lambda o: get(o, pseudo=[*G, (":method", "POST")]), {400, "reset"}, 0),
    "two paths": (lambda o: get(o, pseudo=[*G, (":path", "/healthz")]), {400, "reset"}, 0),
    "an unknown pseudo-header": (lambda o: get(o, pseudo=[*G, (":x", "y")]), {400, "reset"}, 0),
    "an empty path": (lambda o: get(o, path=""), {400, "reset"}, 0),
    "a path without a slash": (lambda o: get(o, path="x"), {400, "reset"}, 0),
    "a line break in the path": (lambda o: get(o, path="/api/v1/me\r\nx: y"), {400, "reset"}, 0),
    "a blank in the path": (lambda o: get(o, path="/api/v1/me HTTP/1.1"), {400, "reset"}, 0),
    "a line break in the method": (lambda o: get(o, method="GET / HTTP/1.1\r\n"), {400, "reset"}, 0),
    "another host beside the authority": (lambda o: get(o, ("host", "evil.example")), {200, 400}, (0, 1)),
    "two tokens": (lambda o: get(o, ("authorization", "Bearer x")), {400, "reset"}, 0),
    "a body longer than it says": (lambda o: post(o, length="1"), {400, "reset"}, 0),
    "a body shorter than it says": (lambda o: post(o, length="5"), {400, "reset"}, 0),
    "a length that is none": (lambda o: post(o, length="x"), {400, "reset"}, 0),
    "chunked": (lambda o: post(o, ("transfer-encoding", "chunked"), body=b"0\r\n\r\n" + RIDER.encode()),
                {400, 501, "reset"}, (0, 1, 2)),
    "data of no stream": (lambda o: frame(DATA, b"x", 0, 0), {"closed"}, 0),
    "an even stream": (lambda o: get(o, stream=2), {"closed"}, 0),
    "a push": (lambda o: frame(PUSH, b"\0\0\0\2", END_HEADERS, 1), {"closed"}, 0),
    "settings of 5 bytes": (lambda o: frame(SETTINGS, b"12345"), {"closed"}, 0),
    "a window of 0": (lambda o: frame(WINDOW, bytes(4)), {"closed"}, 0),
    "a window beyond 2^31": (lambda o: frame(WINDOW, b"\x7f\xff\xff\xff") * 2, {"closed"}, 0),
    "a ping of 7 bytes": (lambda o: frame(PING, b"1234567"), {"closed"}, 0),
    "a continuation of nothing": (lambda o: frame(CONTINUATION, b"", END_HEADERS, 1), {"closed"}, 0),
    "headers that are cut by another frame": (lambda o: frame(HEADERS, head(o), END_STREAM, 1) + frame(PING, bytes(8)),
                                              {"closed"}, 0),
    "an index that is not in the table": (lambda o: frame(HEADERS, b"\xff\xff\x03", END_STREAM | END_HEADERS, 1),
                                          {"closed"}, 0),
    "padding longer than the frame": (lambda o: frame(HEADERS, b"\xff" + head(o)[:9], END_STREAM | END_HEADERS | 8, 1),
                                      {"closed"}, 0),
    "headers of 200 KB": (lambda o: frame(HEADERS, head(o), END_STREAM, 1) + b"".join(
        frame(CONTINUATION, field("x-a", "y" * 16000), 0, 1) for _ in range(13)),
        {400, 431, 494, "closed", "reset"}, 0),
}


@pytest.mark.parametrize("name", FRAMES)
def test_frames_of_http_2(stack, owner, name):
    make, wanted, workers = FRAMES[name]
    since = len(requests_logged(stack, owner))
    connection = Http2(stack)
    connection.send(make(owner))
    assert connection.outcome() in wanted
    connection.close()
    count = len(seen(stack, owner, since))
    assert count in workers if isinstance(workers, tuple) else count == workers


def test_streams_that_are_reset_at_once(stack, owner):
    """A thousand requests, each taken back before it is answered: no worker is kept by them."""
    connection = Http2(stack)
    for number in range(1, 2001, 2):
        connection.send(get(owner, stream=number) + frame(RST, bytes(4), 0, number))
    owner.get("/me").ok()
    connection.close()
    owner.get("/me").ok()
    busy = r"^jobforge_workers_busy\{[^}]*\} (\d+)$"
    wait_for(lambda: sum(map(int, re.findall(busy, stack.root.get("/metrics").body.decode(), re.M))) == 1, 10,
             "only the one that tells is busy")
