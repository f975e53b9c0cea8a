"""
Broken FastCGI on the sockets of the workers themselves, which only nginx may open: what src/record.c lets through to
libfcgi, what becomes of the rest, and that a worker serves the next request as if nothing had been.
"""

import fcntl
import os
import random
import socket
import struct
import termios
import time

import pytest

from stack import Stack, wait_for

BEGIN, ABORT, END, PARAMS, STDIN, STDOUT, STDERR, DATA, GET_VALUES, VALUES, UNKNOWN = range(1, 12)
HEADER = struct.Struct(">BBHHBB")
TIMEOUT = 5  # seconds that a worker waits for a peer in the middle of a request (PEER_TIMEOUT in src/worker.c)


def record(type_, content=b"", id_=1, padding=0, version=1, length=None):
    length = len(content) if length is None else length
    return HEADER.pack(version, type_, id_, length, padding, 0) + content + b"?" * padding


def begin(id_=1, role=1, flags=1):
    return record(BEGIN, struct.pack(">HB5x", role, flags), id_)


def length(number):
    return bytes([number]) if number < 128 else struct.pack(">I", number | 0x80000000)


def pair(name, value):
    return length(len(name)) + length(len(value)) + name + value


def params(uri=b"/healthz", method=b"GET", **more):
    values = {"REQUEST_METHOD": method, "REQUEST_URI": uri, **more}
    return b"".join(pair(name.encode(), value) for name, value in values.items())


def stream(type_, content, id_=1, size=65535):
    pieces = [content[at:at + size] for at in range(0, len(content), size)]
    return b"".join(record(type_, piece, id_) for piece in pieces) + record(type_, b"", id_)


def request(content=None, body=b"", id_=1, flags=1):
    content = params() if content is None else content
    return begin(id_, flags=flags) + stream(PARAMS, content, id_) + stream(STDIN, body, id_)


LOGOUT = params(b"/api/v1/auth/logout", b"POST", CONTENT_TYPE=b"application/json", CONTENT_LENGTH=b"9")
POST = request(LOGOUT, b'{"a":"b"}')  # 422, from a worker of the auth pool


class Peer:
    """A connection to a worker's socket."""

    def __init__(self, stack, pool="api", timeout=4 * TIMEOUT):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(timeout)
        self.socket.connect(stack.conf[pool + "_socket"])
        self.received = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, data):
        """Whether all of it was taken: a worker that refuses does not read the rest."""
        try:
            self.socket.sendall(data)
            return True
        except (BrokenPipeError, ConnectionResetError):
            return False

    def unread(self):
        """How many bytes the worker has not taken yet; 0 when it has closed."""
        try:
            return struct.unpack("i", fcntl.ioctl(self.socket, termios.TIOCOUTQ, bytes(4)))[0]
        except OSError:
            return 0

    def end(self):
        """No more will come. Of a connection that is at its end when it is looked at, a worker reads nothing."""
        wait_for(lambda: self.unread() == 0, 4 * TIMEOUT, "all bytes taken", pause=0.001)
        try:
            self.socket.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def answer(self):
        """The status of the next answer on the connection; None at its end."""
        while True:
            ended, output = self._parse()
            if ended is not None:
                self.received = self.received[ended:]
                assert output.startswith(b"Status: "), output[:200]
                return int(output[8:11])
            try:
                more = self.socket.recv(65536)
            except ConnectionResetError:
                more = b""
            if not more:
                return None
            self.received += more

    def _parse(self):
        """Where the answer ends, or None when it has not yet, and its output."""
        at, output = 0, b""
        while len(self.received) - at >= HEADER.size:
            version, type_, id_, size, padding, _ = HEADER.unpack_from(self.received, at)
            assert version == 1 and type_ in (STDOUT, STDERR, END) and id_ in (1, 2), self.received[:64]
            if len(self.received) - at < HEADER.size + size + padding:
                break
            content = self.received[at + HEADER.size:at + HEADER.size + size]
            at += HEADER.size + size + padding
            if type_ == END:
                assert content == bytes(8), content
                return at, output
            output += content
        return None, output


def talk(stack, data, pool="api"):
    """Sends it, then nothing more: the statuses of all answers until the worker closes."""
    with Peer(stack, pool) as peer:
        peer.send(data)
        peer.end()
        statuses = []
        while (status := peer.answer()) is not None:
            statuses.append(status)
        return statuses


def descriptors(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


def memory(pid):
    """KiB of private memory."""
    with open(f"/proc/{pid}/smaps_rollup") as file:
        return sum(int(line.split()[1]) for line in file if line.startswith("Private"))


@pytest.fixture(scope="module")
def stack():
    # Without the sandbox, what a worker has open may be looked at.
    with Stack(api_workers=1, auth_workers=1, bulk_workers=1, sandbox="off") as running:
        yield running


@pytest.fixture(autouse=True)
def unharmed(stack):
    """After each test the same workers serve, and have no more open than before."""
    workers = stack.workers()
    stack.hang_up()
    assert talk(stack, request()) == [200]
    before = [descriptors(pid) for pid in workers]
    yield
    assert talk(stack, request()) == [200]
    assert talk(stack, POST, "auth") == [422]
    assert stack.root.get("/healthz").status == 200
    assert stack.workers() == workers
    stack.hang_up()
    wait_for(lambda: [descriptors(pid) for pid in workers] <= before, 10, "descriptors closed")


# --- What a web server sends ----------------------------------------------------------------------------------------

def test_kept_connection_serves_one_request_after_the_other(stack):
    with Peer(stack) as peer:
        for id_ in (1, 2, 1):
            peer.send(request(id_=id_))
            assert peer.answer() == 200


def test_connection_that_is_not_to_be_kept_is_closed(stack):
    with Peer(stack) as peer:
        peer.send(request(flags=0))
        assert peer.answer() == 200
        assert peer.answer() is None


def test_requests_in_one_piece_are_answered_in_order(stack):
    """Or not at all: libfcgi drops what has come before it was asked for."""
    answers = talk(stack, request(id_=1) + request(params(b"/nowhere"), id_=2) + request(id_=1))
    assert answers == [200, 404, 200][:len(answers)] and answers


def test_one_byte_after_the_other(stack):
    with Peer(stack, "auth") as peer:
        for at in range(len(POST)):
            peer.send(POST[at:at + 1])
        assert peer.answer() == 422


def test_10000_records_of_one_byte(stack):
    content = params(FILLER=b"x" * 9900)
    assert talk(stack, begin() + stream(PARAMS, content, size=1) + stream(STDIN, b"y" * 100, size=1)) == [413]


def test_many_parameters(stack):
    assert talk(stack, request(params() + pair(b"A", b"") * 60_000)) == [200]
    assert talk(stack, request(params() + pair(b"", b"") * 60_000)) == [200]


@pytest.mark.parametrize("size, taken", [(60_000, True), (200_000, True), (262_144, False), (1 << 20, False)])
def test_large_parameters(stack, size, taken):
    assert talk(stack, request(params(HTTP_COOKIE=b"x" * size))) == ([200] if taken else [])


def test_padding(stack):
    padded = begin() + record(PARAMS, params(), padding=255) + record(PARAMS) + record(STDIN)
    assert talk(stack, padded) == [200]


@pytest.mark.parametrize("content, status", [
    (params(), 200),
    (b"", 404),
    (pair(b"REQUEST_METHOD", b"GET"), 404),
    (pair(b"REQUEST_URI", b"/healthz"), 405),
    (params(b""), 404),
    (params(b"?"), 404),
    (params(b"healthz"), 404),
    (params(b"//healthz"), 404),
    (params(b"/healthz\0/x"), 200),
    (params(b"/\xff\xfe"), 404),
    (params() + params(b"/nowhere"), 404),
    (params(REQUEST_ID=b"x" * 65), 200),
    (params(REQUEST_ID=b'a"\r\nb'), 200),
    (params(REQUEST_SENT=b"99999999999999999999.9"), 200),
    (params(REQUEST_SENT=b"-9223372036854775808.9223372036854775807"), 200),
    (params(REQUEST_SENT=b"x"), 200),
    (params(CONTENT_LENGTH=b"18446744073709551617"), 413),
    (params(CONTENT_LENGTH=b"-1"), 413),
    (params(CONTENT_LENGTH=b"1x"), 413),
    (params(CONTENT_LENGTH=b"x"), 413),
    (pair(b"=", b"=") + params(), 200),
], ids=lambda value: str(value)[-40:] if isinstance(value, bytes) else None)
def test_parameters_of_every_kind(stack, content, status):
    assert talk(stack, request(content)) == [status]


@pytest.mark.parametrize("body, status", [(b"", 400), (b'{"a":"b"', 400), (b'{"a":"b"}x', 413), (b"x" * 100_000, 413)],
                         ids=lambda value: str(len(value)) if isinstance(value, bytes) else None)
def test_body_of_another_length_than_announced(stack, body, status):
    """The connection is closed afterwards: what is left on it is not taken for a request."""
    assert talk(stack, request(LOGOUT, body) + POST, "auth") == [status]


# --- What no web server sends ---------------------------------------------------------------------------------------

NAMES = b"".join(pair(name, b"") for name in (b"FCGI_MAX_CONNS", b"FCGI_MAX_REQS", b"FCGI_MPXS_CONNS"))
PARAMETERS = stream(PARAMS, params())


@pytest.mark.parametrize("data", [
    pytest.param(data, id=name) for name, data in {
        "nothing": b"",
        "HTTP": b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n",
        "another version": record(BEGIN, struct.pack(">HB5x", 1, 1), version=2),
        "version 0": bytes(64),
        "unknown type": record(77),
        "unknown type within": begin() + record(77) + PARAMETERS + record(STDIN),
        "the application's own types": begin() + record(STDOUT, b"x") + record(END, bytes(8)),
        "another type within the parameters": begin() + record(DATA, b"x") + PARAMETERS + record(STDIN),
        "values asked for": record(GET_VALUES, NAMES, 0),
        "values asked for a hundred times": record(GET_VALUES, NAMES * 100, 0) + record(GET_VALUES, b"", 0),
        "values asked for within": (
            begin() + record(GET_VALUES, NAMES * 100, 0) + record(GET_VALUES, b"", 0) + PARAMETERS),
        "values of ours": record(VALUES, NAMES, 0),
        "id 0": begin(0) + PARAMETERS,
        "no beginning": PARAMETERS + record(STDIN),
        "content before parameters": begin() + record(STDIN, b"x") + PARAMETERS + record(STDIN),
        "a beginning that is too short": record(BEGIN, b"\0\1\1") + PARAMETERS + record(STDIN),
        "a beginning that is too long": record(BEGIN, struct.pack(">HB13x", 1, 1)) + PARAMETERS + record(STDIN),
        "a beginning with padding": record(BEGIN, struct.pack(">HB5x", 1, 1), padding=69) + PARAMETERS + record(STDIN),
        "an authorizer": begin(role=2) + PARAMETERS + record(STDIN),
        "a filter": begin(role=3) + PARAMETERS + record(STDIN) + record(DATA),
        "role 0": begin(role=0) + PARAMETERS + record(STDIN),
        "two beginnings": begin() + begin() + PARAMETERS + record(STDIN),
        "two requests at once": begin(1) + begin(2) + stream(PARAMS, params(), 2) + stream(PARAMS, params(), 1),
        "another's parameters": begin(1) + stream(PARAMS, params(), 2) + record(STDIN),
        "aborted at once": begin() + record(ABORT),
        "aborted in the parameters": begin() + record(PARAMS, params()[:20]) + record(ABORT),
        "a name without its length": begin() + record(PARAMS, b"\x05") + record(PARAMS) + record(STDIN),
        "a value cut short": begin() + record(PARAMS, params()[:-3]) + record(PARAMS) + record(STDIN),
        "a name of 2 GiB": begin() + record(PARAMS, b"\xff\xff\xff\xff\x01xx") + record(PARAMS) + record(STDIN),
        "a value of 2 GiB": begin() + record(PARAMS, b"\x01\xff\xff\xff\xffxx") + record(PARAMS) + record(STDIN),
        "a sum that overflows": begin() + record(PARAMS, b"\xff" * 8 + b"x") + record(PARAMS) + record(STDIN),
        "a record that is longer than it says": begin() + record(PARAMS, params(), length=9) + record(PARAMS),
        "a record that is shorter than it says": begin() + record(PARAMS, params(), length=9999),
    }.items()])
@pytest.mark.parametrize("pool", ["api", "bulk"])
def test_what_is_no_request_is_not_answered(stack, pool, data):
    """As a first request, and as a second one on a connection that has served."""
    assert talk(stack, data, pool) == []
    if pool == "api":
        with Peer(stack) as peer:
            peer.send(request())
            assert peer.answer() == 200
            peer.send(data)
            peer.end()
            assert peer.answer() is None


@pytest.mark.parametrize("tail", [record(ABORT), record(77), record(GET_VALUES, NAMES * 100, 0), record(STDIN, b"x", 2),
                                  begin(2), record(STDIN, b"x", version=3), b"\1", b""],
                         ids=lambda tail: tail[:2].hex() or "end")
def test_body_that_does_not_go_on_is_400(stack, tail):
    with Peer(stack, "auth") as peer:
        peer.send(begin() + stream(PARAMS, LOGOUT) + record(STDIN, b'{"a"'))
        wait_for(lambda: peer.unread() == 0, TIMEOUT, "the beginning taken")
        peer.send(tail)
        peer.end()
        assert [peer.answer(), peer.answer()] == [400, None]


def test_end_at_every_byte(stack):
    begun = len(begin() + stream(PARAMS, LOGOUT))
    for end in range(len(POST)):
        answers = talk(stack, POST[:end], "auth")
        assert answers == ([] if end < begun else [400] if end < len(POST) - 8 else [422]), (end, answers)


def test_peer_that_goes_away_at_every_byte(stack):
    for end in range(1, len(POST) + 1, 3):
        with Peer(stack, "auth") as peer:
            peer.send(POST[:end])


@pytest.mark.parametrize("seed", range(4))
def test_chance(stack, seed):
    """Requests with some bytes changed, left out, doubled or put elsewhere."""
    chance = random.Random(seed)
    for _ in range(150):
        data = bytearray(request() + POST)
        for _ in range(chance.randint(1, 4)):
            at, size = chance.randrange(len(data)), chance.randint(1, 9)
            piece = data[at:at + size]
            chance.choice([
                lambda: data.__setitem__(at, chance.randrange(256)),
                lambda: data.__delitem__(slice(at, at + size)),
                lambda: data.__setitem__(slice(at, at), piece),
                lambda: data.__setitem__(slice(at, at), chance.randbytes(size)),
            ])()
        talk(stack, bytes(data), chance.choice(["api", "auth", "bulk"]))


# --- Peers that take their time -------------------------------------------------------------------------------------

def closes_by_itself(peer):
    """Waits for the end of the connection; how long that took."""
    start = time.monotonic()
    while peer.answer() is not None:
        pass
    return time.monotonic() - start


@pytest.mark.parametrize("data, pool", [(begin(), "api"), (begin() + PARAMETERS[:30], "api"),
                                        (begin() + stream(PARAMS, LOGOUT) + record(STDIN, b"{"), "auth")],
                         ids=["beginning", "parameters", "body"])
def test_silence_is_given_up(stack, data, pool):
    with Peer(stack, pool) as peer:
        peer.send(data)
        assert closes_by_itself(peer) < 3 * TIMEOUT


def test_slow_bytes_are_given_up(stack):
    """Each comes within the time that one read may take: it is all of them that may not."""
    with Peer(stack) as peer:
        started = time.monotonic()
        taken = all(peer.send(PARAMETERS[at:at + 1] if at else begin()) and not time.sleep(0.4) for at in range(60))
        assert not taken and time.monotonic() - started < 4 * TIMEOUT
        assert closes_by_itself(peer) < TIMEOUT


def test_answers_that_nobody_reads_hold_no_worker(stack):
    """More than the socket's buffer holds: the worker gives the connection up."""
    with Peer(stack) as deaf:
        asked = 0
        while asked < 20 and deaf.send(request(params(b"/api/v1/openapi.json"))):
            assert talk(stack, request()) == [200]
            asked += 1
        assert 0 < asked < 20


def test_no_memory_is_left_behind():
    """What libfcgi leaks or keeps would be some 100 bytes a time."""
    hostile = [record(77), record(GET_VALUES, NAMES, 0), begin() + record(ABORT), begin() + PARAMETERS[:40], request()]
    with Stack(plain=True, api_workers=1, auth_workers=1, bulk_workers=1, log_level="warning") as stack:
        for data in hostile * 200:
            talk(stack, data)
        before = sum(map(memory, stack.workers()))
        for data in hostile * 4000:
            talk(stack, data)
        after = sum(map(memory, stack.workers()))
        assert after - before <= 256, (before, after)
