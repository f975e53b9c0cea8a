"""Signals: reload, stop, and workers that die, with requests on their way."""

import os
import re
import signal
import socket
import threading
import time

import pytest

import tokens
from examples import APPLICATION
from stack import PASSWORD, Stack, connect, load, together, wait_for

OPTIONS = {"api_workers": 3, "auth_workers": 1, "log_level": "info"}
LOST = '"event": "database"'  # the lines of the log that tell of a database that is away
KEPT = "the old configuration stays"


# --- priority -------------------------------------------------------------------------------------------------------

def test_all_but_api_workers_leave_the_processor_to_others(stack):
    """Relative to what the service was given: whoever runs it at a low priority gets no warnings, and no higher one."""
    def priorities():
        return sorted(os.getpriority(os.PRIO_PROCESS, pid) for pid in stack.workers())

    given = os.getpriority(os.PRIO_PROCESS, stack.jobforged.pid)
    wait_for(lambda: priorities() == [given] * 3 + [min(given + 5, 19)] * 2, what="priorities")
    os.setpriority(os.PRIO_PROCESS, stack.jobforged.pid, min(given + 3, 19))
    stack.reload()
    wait_for(lambda: priorities() == [min(given + 3, 19)] * 3 + [min(given + 8, 19)] * 2, what="priorities after a reload")
    assert "cannot lower the priority" not in stack.log()


# --- SIGHUP ---------------------------------------------------------------------------------------------------------

def test_sighup_under_load_refuses_no_request(stack, user):
    with load(user, writes=True) as wrong:
        stack.reload(patient=True)
    assert not wrong, wrong[:5]
    assert len(stack.workers()) == 5


def test_sighup_rotates_keys(stack, user):
    user.create_many([{}] * 3)
    cursor = user.get("/applications?limit=2").ok()["next"]
    old_token, second = user.token, ("second", os.urandom(32))
    stack.write_keys([second, *stack.keys])
    stack.reload()
    session = user.post("/auth/login", {"email": user.email, "password": PASSWORD}).ok()
    assert tokens.decode(session["access_token"])[0]["kid"] == "second"
    for token in (old_token, session["access_token"]):
        stack.anyone.get("/me", token=token).ok()
    assert len(user.get("/applications?limit=2&cursor=" + cursor).ok()["data"]) == 1, "a cursor is as good as a token"
    stack.write_keys([second])
    stack.reload()
    stack.anyone.get("/me", token=old_token).problem(401)
    stack.anyone.get("/me", token=session["access_token"]).ok()


def test_sighup_rotates_keys_without_refusing_a_new_token(stack, user):
    """While old and new workers serve side by side, a token of the new key is good at once and everywhere."""
    stack.write_keys([("third", os.urandom(32)), *stack.keys])
    refused, kids = [], set()
    with load(user) as wrong:
        before = set(stack.workers())
        stack.jobforged.send_signal(signal.SIGHUP)
        end = time.monotonic() + 40
        while not before.isdisjoint(stack.workers()) and time.monotonic() < end:
            token = user.post("/auth/login", {"email": user.email, "password": PASSWORD}).ok()["access_token"]
            kids.add(tokens.decode(token)[0]["kid"])
            answers = together(8, lambda index, token=token: [stack.anyone.get("/me", token=token) for _ in range(3)])
            refused += [answer for thread in answers for answer in thread if answer.status != 200]
    assert "third" in kids
    assert not wrong, wrong[:5]
    assert not refused, (len(refused), refused[:3])


def refuse_reload(stack):
    """SIGHUP that must change nothing; the log has to say so."""
    stack.allow_errors('"event": "reload".*' + KEPT)
    before, count = stack.workers(), len(stack.logged("reload", KEPT))
    stack.jobforged.send_signal(signal.SIGHUP)
    wait_for(lambda: len(stack.logged("reload", KEPT)) > count, 10, "the log says that the configuration is refused")
    assert stack.workers() == before


@pytest.mark.parametrize("change", [{"api_workers": "many"}, {"no_such_key": "1"}, {"bcrypt_cost": "99"},
                                    {"token_keys": "/nowhere/keys"}, {"database": "host=/nowhere dbname=x"},
                                    {"log_level": "loud"}])
def test_sighup_with_a_broken_configuration_keeps_the_old(stack, user, change):
    stack.allow_errors(LOST)
    conf = dict(stack.conf)
    stack.write_conf(**change)
    try:
        with load(user) as wrong:
            refuse_reload(stack)
    finally:
        stack.conf = conf
        stack.write_conf()
    assert not wrong, wrong[:5]
    user.post("/auth/login", {"email": user.email, "password": PASSWORD}).ok()


def test_sighup_with_a_broken_key_file_keeps_the_old(stack, user):
    with open(stack.path("keys"), "w") as file:
        file.write("nonsense\n")
    refuse_reload(stack)
    user.get("/me").ok()
    stack.write_keys()


def test_sighup_takes_a_changed_configuration(stack, user):
    assert user.get("/me").headers.get("Server-Timing") is None
    stack.write_conf(server_timing="on", api_workers=4)
    stack.reload()
    wait_for(lambda: len(stack.workers()) == 6, 10, "six workers")
    timing = user.get("/applications").headers["Server-Timing"]
    durations = re.fullmatch(r"auth;dur=([\d.]+), db;dur=([\d.]+), total;dur=([\d.]+)", timing).groups()
    auth, db, total = map(float, durations)
    assert 0 <= auth <= total and 0 < db <= total


# --- Workers that die -----------------------------------------------------------------------------------------------

def test_killed_worker_is_replaced_and_the_others_go_on(stack, user):
    wanted = len(stack.workers())
    with load(user) as wrong:
        for _ in range(3):
            victim = stack.workers()[0]
            os.kill(victim, signal.SIGKILL)
            wait_for(lambda: victim not in stack.workers() and len(stack.workers()) == wanted, 15, "a new worker")
            time.sleep(1)  # what is sent once more is not to meet the next one
    assert not wrong, ("a read is sent once more when its worker dies", wrong[:5])
    assert stack.logged("worker", "signal 9")


def test_write_of_a_killed_worker_is_never_sent_twice(stack, user):
    """The workers die while a transaction waits for a lock: the client is told to look, and no other worker tries."""
    wanted = len(stack.workers())
    before, = stack.sql("SELECT count(*) FROM public.applications")[0]
    blocker = connect(stack.name)
    blocker.autocommit = False
    blocker.cursor().execute("SELECT 1 FROM public.users WHERE id = %s FOR UPDATE", (user.id,))
    answers = []
    thread = threading.Thread(target=lambda: answers.append(user.post("/applications", APPLICATION)))
    thread.start()
    waiting = "SELECT pid FROM pg_stat_activity WHERE datname = %s AND wait_event_type = 'Lock'"
    try:
        backend = wait_for(lambda: stack.sql(waiting, stack.name), 5, "the request waits")
        for pid in stack.workers():
            os.kill(pid, signal.SIGKILL)
        thread.join()
        answers[0].problem(502)
        time.sleep(0.5)
        assert stack.sql(waiting, stack.name) in ([], backend), "a second attempt waits for the lock"
    finally:
        blocker.rollback()
        blocker.close()
        thread.join()
    wait_for(lambda: len(stack.workers()) == wanted, 15, "all workers again")
    alive = "SELECT 1 FROM pg_stat_activity WHERE pid = %s"
    wait_for(lambda: not stack.sql(alive, *backend[0]), 10, "its backend ended")
    count, = stack.sql("SELECT count(*) FROM public.applications")[0]
    assert count - before in (0, 1)
    user.post("/applications", APPLICATION).ok(201)


def test_all_workers_killed_again_and_again(stack, user):
    wanted = len(stack.workers())
    for _ in range(3):
        for pid in stack.workers():
            os.kill(pid, signal.SIGKILL)
        time.sleep(0.3)
    wait_for(lambda: len(stack.workers()) == wanted, 15, "all workers again")
    wait_for(lambda: user.get("/me").status == 200, 10, "requests are answered")


def test_workers_of_a_killed_master_are_in_the_way_of_no_other():
    """One that still has a connection holds on to no socket, its own pool's or another's."""
    with Stack(api_workers=2, auth_workers=1, drain_timeout=60) as stack:
        before, user = stack.workers(), stack.user()
        stack.hang_up()
        with socket.socket(socket.AF_UNIX) as kept:
            kept.connect(stack.path("api.sock"))
            user.get("/me").ok()  # by a connection that comes after it, so it has been accepted
            stack.jobforged.kill()
            stack.jobforged.wait()
            for pool in ("api", "auth", "bulk"):
                wait_for(lambda pool=pool: not listened_on(stack.path(f"{pool}.sock")), 20, f"nobody listens for {pool}")
            stack.start_jobforged()
            for pool in ("api", "auth", "bulk"):
                wait_for(lambda pool=pool: listened_on(stack.path(f"{pool}.sock")), 20, f"the new ones listen for {pool}")
            stack.user().get("/me").ok()
            assert any(os.path.exists(f"/proc/{pid}") for pid in before), "one still waits for its connection"
        stack.hang_up()
        wait_for(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in before), 20, "the old workers end")


def listened_on(path):
    with socket.socket(socket.AF_UNIX) as sock:
        try:
            sock.connect(path)
        except OSError:
            return False
        return True


# --- SIGTERM --------------------------------------------------------------------------------------------------------

def test_sigterm_finishes_the_request_in_flight():
    with Stack(api_workers=2, auth_workers=1) as stack:
        user = stack.user()
        blocker = connect(stack.name)
        blocker.autocommit = False
        blocker.cursor().execute("SELECT 1 FROM public.users WHERE id = %s FOR UPDATE", (user.id,))
        answers = []
        thread = threading.Thread(target=lambda: answers.append(user.post("/applications", APPLICATION)))
        thread.start()
        wait_for(lambda: stack.sql("SELECT 1 FROM pg_stat_activity WHERE datname = %s AND wait_event_type = 'Lock'",
                                   stack.name), 5, "the request waits")
        stack.jobforged.send_signal(signal.SIGTERM)
        time.sleep(0.5)
        assert stack.jobforged.poll() is None, "the master waits for its workers"
        blocker.rollback()
        blocker.close()
        thread.join()
        assert answers[0].ok(201)["company_name"] == APPLICATION["company_name"]
        stack.hang_up()
        assert stack.jobforged.wait(20) == 0
        for name in ("api.sock", "auth.sock", "bulk.sock", "jobforged.pid"):
            assert not os.path.exists(stack.path(name)), name
        user.get("/me").problem(503)


def test_sigterm_under_load_cuts_no_answer_in_two():
    """Until nginx finds the sockets gone every request has its whole answer; after that it is a clean 503, or 502 for what waited to be accepted."""
    with Stack(api_workers=2, auth_workers=1) as stack:
        user = stack.user()
        with load(user) as wrong:
            time.sleep(0.3)
            stack.jobforged.send_signal(signal.SIGTERM)
            assert stack.jobforged.wait(30) == 0
            time.sleep(0.2)
        for answer in wrong:
            answer.problem(502, 503)


def test_start_without_a_database_recovers_when_it_comes():
    """The order in which a machine starts its services must not matter."""
    with Stack(api_workers=1, auth_workers=1) as stack:
        stack.allow_errors(LOST)
        user = stack.user()
        stack.jobforged.terminate()
        stack.hang_up()
        assert stack.stop_jobforged() == 0
        control = connect("postgres")
        try:
            control.cursor().execute(f'ALTER DATABASE "{stack.name}" ALLOW_CONNECTIONS false')
            # A pooler keeps its sessions longer than the workers are there.
            stack.sql("SELECT count(pg_terminate_backend(pid, 5000)) FROM pg_stat_activity WHERE datname = %s"
                      " AND usename = 'jobforge_app'", stack.name)
            stack.start_jobforged()
            wait_for(lambda: stack.root.get("/healthz").status == 200, 10, "healthy without a database")
            stack.root.get("/readyz").problem(503)
            user.get("/me").problem(503)
        finally:
            control.cursor().execute(f'ALTER DATABASE "{stack.name}" ALLOW_CONNECTIONS true')
            control.close()
        wait_for(lambda: stack.root.get("/readyz").status == 200, 5, "ready")
        user.get("/me").ok()
