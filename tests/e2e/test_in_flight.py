"""
Reads of many users under way on one connection to the database at the same time: whatever happens to one of them, all others
get their own answer. A lock on user_resumes keeps them under way for as long as a test likes.
"""

import http.client
import os
import signal
import socket
import threading
import time
from contextlib import contextmanager

import pytest

from examples import APPLICATION, RESUME
from stack import Response, Stack, connect, cpu_seconds, wait_for

# What waits for a read that takes too long has not waited too long by then.
OPTIONS = {"api_workers": 1, "auth_workers": 1, "bulk_workers": 1, "log_level": "info", "statement_timeout": 3000,
           "queue_timeout": 4500}
LOST = '"event": "database"'
MANY = 30  # more than a worker takes up at once


@pytest.fixture(scope="module")
def users(stack):
    found = [stack.user() for _ in range(6)]
    for number, user in enumerate(found):
        user.resume = user.post("/resumes", {**RESUME, "name": f"Of user {number}"}).ok(201)
        user.application = user.post("/applications", {**APPLICATION, "company_name": f"Company {number}"}).ok(201)
    return found


@contextmanager
def held(stack):
    """Nobody can read user_resumes while this runs; yields what lets them."""
    blocker = connect(stack.name)
    blocker.autocommit = False
    try:
        blocker.cursor().execute("LOCK TABLE public.user_resumes IN ACCESS EXCLUSIVE MODE")
        yield blocker.rollback
    finally:
        blocker.rollback()
        blocker.close()


@contextmanager
def asked(requests):
    """All requests are sent while the block runs; the list that it yields has their answers, in their order, after it."""
    answers = [None] * len(requests)

    def run(number, request):
        answers[number] = request()
    threads = [threading.Thread(target=run, args=item) for item in enumerate(requests)]
    for thread in threads:
        thread.start()
    try:
        yield answers
    finally:
        for thread in threads:
            thread.join()


def waits(stack):
    """The worker's statement waits for the lock."""
    return stack.sql("SELECT count(*) FROM pg_stat_activity WHERE datname = %s AND usename = 'jobforge_app'"
                     " AND wait_event_type = 'Lock'", stack.name)[0][0] == 1


def reads(users, count):
    """(user, what is asked, check of the answer), a mixture of whatever waits for the lock and what does not."""
    kinds = [
        ("/resumes", lambda user, answer: [row["id"] for row in answer.ok()["data"]] == [user.resume["id"]]),
        (lambda user: "/resumes/" + user.resume["id"], lambda user, answer: answer.ok() == user.resume),
        ("/applications", lambda user, answer: [row["id"] for row in answer.ok()["data"]] == [user.application["id"]]),
        (lambda user: "/applications/" + user.application["id"], lambda user, answer: answer.ok() == user.application),
        (lambda user: "/resumes/" + users[users.index(user) - 1].resume["id"], lambda user, answer: answer.problem(404)),
        # The server refuses this one, which ends the transaction by an error.
        ("/applications?created_after=0000-01-01T00:00:00Z", lambda user, answer: answer.problem(400)),
        ("/me", lambda user, answer: answer.ok()["id"] == user.id),
    ]
    for number in range(count):
        user = users[number % len(users)]
        path, check = kinds[number // len(users) % len(kinds)] if number >= len(users) else kinds[0]
        yield user, path if isinstance(path, str) else path(user), check


def test_each_gets_its_own_answer(stack, users):
    wanted = list(reads(users, MANY + 12))
    with held(stack) as release:
        with asked([lambda user=user, path=path: user.get(path) for user, path, _ in wanted]) as answers:
            wait_for(lambda: waits(stack), 5, "a read that waits")
            time.sleep(0.3)
            release()
    for (user, path, check), answer in zip(wanted, answers):
        assert check(user, answer), path


def test_a_write_comes_after_what_was_asked_before(stack, users):
    with held(stack) as release:
        with asked([lambda: users[0].get("/resumes"), lambda: users[1].post("/applications", APPLICATION),
                    lambda: users[2].get("/applications"), lambda: users[3].post("/resumes", {**RESUME, "name": "Second", "is_primary": False}),
                    lambda: users[4].get("/resumes")]) as answers:
            wait_for(lambda: waits(stack), 5, "a read that waits")
            time.sleep(0.2)
            release()
    assert [answer.status for answer in answers] == [200, 201, 200, 201, 200]
    assert [row["id"] for row in answers[4].ok()["data"]] == [users[4].resume["id"]]
    users[3].delete("/resumes/" + answers[3].ok(201)["id"]).ok(204)
    users[1].delete("/applications/" + answers[1].ok(201)["id"]).ok(204)


def test_one_that_takes_too_long_holds_up_the_others_and_no_more(stack, users):
    stack.allow_errors(LOST)
    with held(stack):
        with asked([lambda: users[0].get("/resumes")]) as slow:
            wait_for(lambda: waits(stack), 5, "a read that waits")
            with asked([lambda user=user: user.get("/applications") for user in users]) as answers:
                pass
    slow[0].problem(503)
    for user, answer in zip(users, answers):
        assert [row["id"] for row in answer.ok()["data"]] == [user.application["id"]]


def test_a_lost_connection_loses_no_read(stack, users):
    stack.allow_errors(LOST)
    wanted = list(reads(users, MANY))
    with held(stack) as release:
        with asked([lambda user=user, path=path: user.get(path) for user, path, _ in wanted]) as answers:
            wait_for(lambda: waits(stack), 5, "a read that waits")
            time.sleep(0.2)
            # That alone: a pooler would lend the worker the next one that is about to end.
            stack.sql("SELECT count(pg_terminate_backend(pid, 5000)) FROM pg_stat_activity WHERE datname = %s"
                      " AND usename = 'jobforge_app' AND state = 'active'", stack.name)
            release()
    for (user, path, check), answer in zip(wanted, answers):
        assert check(user, answer), path


def send(stack, user):
    """Sends a read, and leaves its answer for later; returns the socket."""
    sock = socket.create_connection(("127.0.0.1", stack.http_port), 20)
    sock.sendall(f"GET /api/v1/resumes HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {user.token}\r\n\r\n".encode())
    return sock


def test_clients_that_go_are_forgotten(stack, users):
    """nginx ends their connections to the worker, which neither answers them nor keeps looking at them."""
    pid, = [line["pid"] for line in stack.log_lines() if line.get("route") == "/api/v1/resumes"][-1:]
    with held(stack) as release:
        sockets = []
        for user in users:
            sockets.append(send(stack, user))
        wait_for(lambda: waits(stack), 5, "a read that waits")
        for sock in sockets:
            sock.close()
        time.sleep(0.3)
        before = cpu_seconds(pid)
        time.sleep(1)
        assert cpu_seconds(pid) - before < 0.5, "the worker waits, and does not turn in circles"
        release()
    for user in users:
        assert [row["id"] for row in user.get("/resumes").ok()["data"]] == [user.resume["id"]]


def test_requests_go_to_idle_workers():
    """A worker that waits for the database leaves new connections to the others."""
    with Stack(api_workers=3, auth_workers=1, bulk_workers=1, log_level="info") as stack:
        user = stack.user()
        stack.hang_up()
        with held(stack) as release:
            def waiting():
                return stack.sql("SELECT count(*) FROM pg_stat_activity WHERE datname = %s AND wait_event_type = 'Lock'",
                                 stack.name)[0][0]

            def later(number):
                """One after another, and not within 50 ms: of connections that come so soon one worker may take two."""
                wait_for(lambda: waiting() == number, 10, "those before wait")
                time.sleep(0.3)
                return user.get("/resumes")
            with asked([lambda number=number: later(number) for number in range(3)]) as answers:
                wait_for(lambda: waiting() == 3, 10, "a read that waits in each of three workers")
                release()
        assert [answer.status for answer in answers] == [200] * 3


def test_a_worker_that_is_stopped_answers_what_it_has_in_hand(stack, users):
    old, = [line["pid"] for line in stack.log_lines() if line.get("route") == "/api/v1/resumes"][-1:]
    with held(stack) as release:
        # All at once: what comes later than 50 ms after the first is left to a worker that listens, and there will be none.
        sockets = [send(stack, user) for user in users]
        wait_for(lambda: waits(stack), 5, "a read that waits")
        time.sleep(0.2)
        os.kill(old, signal.SIGTERM)
        time.sleep(0.2)
        release()
    stack.hang_up()  # what has come too late goes to the worker after this one, which ends with its connections
    for user, sock in zip(users, sockets):
        with sock:
            answer = http.client.HTTPResponse(sock)
            answer.begin()
            answer = Response(answer.status, answer.headers, answer.read())
        assert [row["id"] for row in answer.ok()["data"]] == [user.resume["id"]]
    wait_for(lambda: old not in stack.workers(), 20, "the end of the worker")
