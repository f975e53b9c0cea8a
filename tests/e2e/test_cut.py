"""
The connection to the database is cut, or falls silent, after so many bytes of what the server says: while a session is being set up,
and under requests. And sessions that are not as the workers need them.
"""

import os
import re
import socket
import threading

import pytest

from examples import APPLICATION
from proxy import Proxy
from stack import CLUSTER, Stack, parse_dsn, wait_for


class Rationed(Proxy):
    """
    Passes on `left` bytes of the server's answers, all of them while that is None, and then ends the connection or is silent. Of
    what the workers say it takes `taken` bytes, and then reads no more; ends the connection, if it is told to.
    """

    def __init__(self, directory, server):
        self.left, self.silent, self.passed = None, False, 0
        self.taken, self.unread = None, threading.Event()
        super().__init__(directory, server)

    def ration(self, left, silent=False):
        self.left, self.silent, self.passed = left, silent, 0

    def read(self, taken):
        self.unread.clear()
        self.taken = taken

    def pass_on(self, pair, source, target, answers):
        try:
            while self.reads(answers) and (chunk := source.recv(65536)):
                rest = self.take(len(chunk)) if answers else len(chunk)
                if not answers and self.taken is not None:
                    self.taken -= len(chunk)
                target.sendall(chunk[:rest])
                if rest < len(chunk) and not self.silent:
                    break
        except OSError:
            pass
        with self.lock:
            self.pairs.discard(pair)
        self.end(pair)

    def reads(self, answers):
        """Once enough was taken, waits until somebody says `unread`, and then ends it."""
        if answers or self.taken is None or self.taken > 0:
            return True
        self.unread.wait()
        return False

    def take(self, count):
        """How many of these bytes may pass."""
        with self.lock:
            allowed = count if self.left is None else min(count, self.left)
            if self.left is not None:
                self.left -= allowed
            self.passed += allowed
            return allowed


class Proxied(Stack):
    """The workers reach the database through the proxy."""

    def make_database(self):
        super().make_database()
        server = parse_dsn(CLUSTER)
        os.mkdir(self.path("proxy"))
        self.proxy = Rationed(self.path("proxy"), os.path.join(server["host"], ".s.PGSQL." + server.get("port", "5432")))
        self.conf["database"] = f"host={self.path('proxy')} user=jobforge_app dbname={self.name}"


@pytest.fixture(scope="module")
def stack():
    """Time enough for a sanitized worker to make a session through the proxy; each minute's figures would eat of a ration."""
    with Proxied(pooled=False, api_workers=1, auth_workers=1, connect_timeout=2000, statement_timeout=2000, metrics_retention=0) as running:
        running.allow_errors('"event": "database"')
        yield running


@pytest.fixture
def whole(stack):
    """The connection is whole again after the test, and the service ready."""
    yield
    stack.proxy.ration(None)
    wait_for(lambda: stack.root.get("/readyz").status == 200, 10, "ready again")


def spread(total, count):
    """So many numbers from 0 to total, closer to each other at the beginning."""
    return sorted({round(total * (index / count) ** 2) for index in range(count)})


def test_a_setup_that_breaks_off_is_told_and_never_taken_for_whole(stack, whole):
    stack.proxy.ration(None)
    assert stack.check()[0] == 0
    total = stack.proxy.passed
    assert total > 5000, "every statement is answered"
    for left in spread(total - 500, 16):
        stack.proxy.ration(left)
        status, said = stack.check()
        assert status != 0 and re.search("(?i)connection|closed|SSL|terminated", said), (left, total, status, said)


def test_a_server_that_falls_silent_is_given_up(stack, whole):
    short = ["--connect-timeout=500", "--statement-timeout=500"]  # where it says the same however far it came
    for left, words, flags in ((0, "no answer to the connection attempt in time", short), (20, "in time", short),
                               (3000, "no answer in time", [])):
        stack.proxy.ration(left, silent=True)
        status, said = stack.check(*flags)
        assert status != 0 and words in said, (left, said)


def test_reads_are_answered_or_503_wherever_the_connection_is_cut(stack, user, whole):
    user.create(company="The one")
    want = user.get("/applications").ok()["data"]
    for left in (0, 1, 40, 150, 300, 301, 450, 600):
        stack.proxy.ration(left)
        answer = user.get("/applications")
        stack.proxy.ration(None)
        assert answer.status == 503 or answer.ok()["data"] == want, (left, answer)
        wait_for(lambda: user.get("/applications").status == 200, 10, "answers again")


def test_a_creation_is_there_once_wherever_the_connection_is_cut(stack, user, whole):
    for left in (0, 1, 30, 60, 100, 150, 200, 400, 800):
        company, key = f"Cut after {left}", {"Idempotency-Key": f"cut-{left}"}
        stack.proxy.ration(left)
        first = user.post("/applications", {**APPLICATION, "company_name": company}, headers=key)
        stack.proxy.ration(None)
        assert first.status in (201, 503), (left, first)
        wait_for(lambda: user.post("/applications", {**APPLICATION, "company_name": company}, headers=key).status == 201, 10, "created")
        assert stack.sql("SELECT count(*) FROM public.applications WHERE company_name = %s", company) == [(1,)], left


def test_a_request_whose_answer_stops_half_way_is_503_in_time(stack, user, whole):
    for left in (0, 50):
        stack.proxy.ration(left, silent=True)
        user.post("/applications", APPLICATION).problem(503)
        stack.proxy.ration(None)
        wait_for(lambda: user.get("/me").status == 200, 10, "answers again")


def test_a_server_that_stops_reading_is_given_up_in_time(stack, user, whole):
    """More than the buffers between hold, so the worker waits until it may send the rest."""
    document = {"content": "word " * 100_000}
    path = f"/applications/{user.create()['id']}/documents/research_report"
    for ends in (False, True):
        stack.proxy.read(2000)
        if ends:
            threading.Timer(0.2, stack.proxy.unread.set).start()
        answer = user.put(path, document)
        stack.proxy.taken = None
        stack.proxy.unread.set()
        answer.problem(503)
        wait_for(lambda: user.get("/me").status == 200, 10, "answers again")
    user.get(path).problem(404)
    user.put(path, document).ok(201)


def test_a_session_of_another_kind_is_refused(stack):
    role = f'ALTER ROLE jobforge_app IN DATABASE "{stack.name}"'
    stack.sql(role + " SET timezone = 'Asia/Tokyo'")
    try:
        status, said = stack.check()
        assert status != 0 and "the session's TimeZone is Asia/Tokyo, and must be UTC" in said, said
    finally:
        stack.sql(role + " RESET timezone")
    assert stack.check()[0] == 0


def test_what_the_server_warns_of_is_a_line_of_the_log(stack, user):
    stack.sql("CREATE FUNCTION public.warn() RETURNS trigger LANGUAGE plpgsql AS"
              " $$BEGIN RAISE WARNING E'first line\\nsecond line'; RETURN NEW; END$$")
    stack.sql("GRANT EXECUTE ON FUNCTION public.warn() TO jobforge_app")
    stack.sql("CREATE TRIGGER warn BEFORE INSERT ON public.applications FOR EACH ROW EXECUTE FUNCTION public.warn()")
    try:
        user.create()
        lines = wait_for(lambda: stack.logged("database", "first line"), 5, "the warning")
        assert all(line["level"] == "warning" and "second line" not in line["message"] for line in lines)
    finally:
        stack.sql("DROP TRIGGER warn ON public.applications")
        stack.sql("DROP FUNCTION public.warn()")


def test_what_is_no_database_is_told(stack, whole):
    """The address leads to what speaks another protocol."""
    def speak():
        client, _ = listener.accept()
        client.recv(1000)
        client.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        client.close()

    stack.proxy.close()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(stack.proxy.path)
        listener.listen(8)
        speaker = threading.Thread(target=speak, daemon=True)
        speaker.start()
        status, said = stack.check()
        assert status != 0 and "database" in said, said
    os.unlink(stack.proxy.path)
    stack.proxy.open()
