#!/usr/bin/python3
"""
Availability: what clients are told while the database is down, how soon all is well once it is back, who notices that a worker was
killed, and that neither reload nor a new program costs a request. `./dev fault available` starts it; README.md says more.
"""

import argparse
import http.client
import os
import random
import secrets
import shutil
import signal
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "e2e"))

from servers import PROGRAMS, Alone  # noqa: E402
from stack import SHIPPED, Client, Stack, wait_for  # noqa: E402

LOST = (OSError, http.client.HTTPException)
APPLICATION = {"company_name": "Acme", "role_title": "Engineer",
               "job_description": "A position of which this text is the description, long enough to be one."}
NOTICED = 0.25  # seconds, on a busy machine
PROMISE = 1.0  # seconds


class Asked:
    """A request: its method, when it was sent and answered, the status (None: no answer) and Retry-After."""

    def __init__(self, client, method, path, body=None):
        self.method, self.path = method, path
        self.sent = time.monotonic()
        try:
            answer = client.request(method, path, body) if body else client.request(method, path)
            self.status, self.retry_after = answer.status, answer.headers.get("Retry-After")
        except LOST as error:
            self.status, self.retry_after = None, repr(error)
        self.answered = time.monotonic()

    def __repr__(self):
        return f"<{self.method} {self.path}: {self.status} after {self.answered - self.sent:.2f} s, {self.retry_after}>"

    @property
    def well(self):
        return self.status in (200, 201)


class Clients:
    """Threads that ask without pause while the block runs, each on a kept connection; `asked` has all requests after it."""

    REQUESTS = (("GET", "/me"), ("GET", "/applications?limit=5"), ("POST", "/applications", APPLICATION),
                ("GET", "/applications?status=draft&limit=1"))

    def __init__(self, user, threads, pause=0.0):
        self.user = user
        self.pause = pause
        self.over = threading.Event()
        self.lists = [[] for _ in range(threads)]
        self.threads = [threading.Thread(target=self.run, args=(number,)) for number in range(threads)]

    def run(self, number):
        client = Client(self.user.stack, self.user.token)
        for turn in range(number, sys.maxsize):
            if self.over.is_set():
                return
            self.lists[number].append(Asked(client, *self.REQUESTS[turn % len(self.REQUESTS)]))
            time.sleep(self.pause)

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        for thread in self.threads:
            thread.join()

    @property
    def asked(self):
        return [request for each in self.lists for request in list(each)]


class Judge:
    """A table of what was promised and seen."""

    def __init__(self):
        self.rows = []

    def holds(self, what, bound, seen, kept):
        self.rows.append((what, bound, seen, kept))

    def at_most(self, what, bound, seen, slack=0.0):
        self.holds(what, f"<= {bound:.2f}", f"{seen:.2f}", seen <= bound + slack)

    def none(self, what, found):
        self.holds(what, "0", str(len(found)) + (f", as {found[0]}" if found else ""), not found)

    def show(self):
        width = max(len(row[0]) for row in self.rows)
        for what, bound, seen, kept in self.rows:
            print(f"{what:{width}}  {bound:>8}  {seen}{'' if kept else '   NOT KEPT'}", flush=True)
        return [row[0] for row in self.rows if not row[3]]


def database_down(judge, rounds, down=3.0, slack=0.0, plain=True, threads=8):
    """kill -9 of the database, and some seconds later its start."""
    refused, returns, longest = [], [], []
    with Alone() as server, Stack(plain=plain, pooled=False, api_workers=4, auth_workers=1, log_level="warning", **SHIPPED) as stack:
        stack.allow_errors("")
        user, probes = stack.user(), []
        for _ in range(rounds):
            with Clients(user, threads, pause=0.005) as clients:
                time.sleep(0.5)
                killed = time.monotonic()
                server.kill()
                gone = time.monotonic()
                while time.monotonic() < gone + down:
                    probes.append((stack.root.get("/healthz").status, stack.root.get("/readyz").status))
                    time.sleep(0.05)
                ending = time.monotonic()
                server.start()
                back = server.wait()
                wait_for(lambda: any(each and each[-1].well and each[-1].sent > back for each in clients.lists), 30, "success")
                time.sleep(0.2)
            while_down = [request for request in clients.asked if gone < request.sent and request.answered < ending]
            refused += while_down
            longest.append(max(request.answered - request.sent for request in clients.asked if request.answered > killed))
            returns.append(min(request.answered for request in clients.asked if request.well and request.answered > back) - back)
            stack.admin = None  # it died with the server
    judge.holds("database down: requests", "> 0", str(len(refused)), bool(refused))
    judge.none("  not answered by 503 with Retry-After",
               [request for request in refused if request.status != 503 or not request.retry_after])
    judge.at_most("  longest answer, s", PROMISE, max(longest), slack)
    judge.none("  /healthz other than 200", [probe for probe in probes if probe[0] != 200])
    judge.none("  /readyz other than 503", [probe for probe in probes if probe[1] != 503])
    judge.at_most("  back up: first success, s", PROMISE, max(returns), slack)


def worker_killed(judge, kills, seed, plain=True):
    """kill -9 of one worker after the other."""
    chance = random.Random(seed)
    moments = []
    with Stack(plain=plain, pooled=False, api_workers=4, auth_workers=1, log_level="warning", **SHIPPED) as stack:
        stack.allow_errors("")
        user = stack.user()
        with Clients(user, 8) as clients:
            for _ in range(kills):
                wait_for(lambda: len(stack.workers()) >= 6, 30, "the workers")
                time.sleep(chance.uniform(0.05, 0.3))
                victim = chance.choice(stack.workers())
                before = time.monotonic()
                os.kill(victim, signal.SIGKILL)
                moments.append((before, time.monotonic()))
            time.sleep(0.5)
    failed = [request for request in clients.asked if not request.well]
    judge.holds(f"{kills} workers killed: requests", "> 0", str(len(clients.asked)), bool(clients.asked))
    judge.none("  GET that failed", [request for request in failed if request.method == "GET"])
    judge.holds("  others that failed", "-", str(len(failed)), True)
    # Also such as nginx sends to the dead worker before it has noticed, on a connection that it has kept.
    judge.none("  of them not under way when a worker was killed",
               [request for request in failed
                if not any(request.sent <= after + NOTICED and before <= request.answered for before, after in moments)])


class Installed(Stack):
    """jobforged is a copy, which is replaced as an upgrade does. Which program runs in the sandbox, root alone may see."""

    def __init__(self, **options):
        super().__init__(sandbox="on" if os.getuid() == 0 else "off", **options)
        self.original = os.path.join(self.build, "jobforged")
        self.build = self.path("sbin")
        os.mkdir(self.build)
        self.install()

    def install(self):
        new = os.path.join(self.build, "new")
        shutil.copy(self.original, new)
        os.rename(new, os.path.join(self.build, "jobforged"))

    def runs_what_is_installed(self):
        return os.path.samefile(f"/proc/{self.jobforged.pid}/exe", os.path.join(self.build, "jobforged"))


def reload(judge, requests, upgrade, plain=True):
    """SIGHUP about once a second, with a new program each time or without."""
    count = 0
    with Installed(plain=plain, pooled=False, api_workers=2, auth_workers=1, bulk_workers=1, log_level="warning", **SHIPPED) as stack:
        user = stack.user()
        with Clients(user, 12) as clients:
            while len(clients.asked) < requests or count < 3:
                before = set(stack.workers())
                if upgrade:
                    stack.install()
                stack.jobforged.send_signal(signal.SIGHUP)
                count += 1
                wait_for(lambda: set(stack.workers()) - before, 60, "new workers")
                time.sleep(1)
        assert stack.runs_what_is_installed()
    judge.holds(f"{count} x {'new program' if upgrade else 'reload'}: requests", f">= {requests}", str(len(clients.asked)),
                len(clients.asked) >= requests)
    judge.none("  failed", [request for request in clients.asked if not request.well])


def main():
    parser = argparse.ArgumentParser(prog="./dev fault available", description="Measures and judges what is promised of "
                                     "availability.")
    parser.add_argument("--rounds", type=int, default=5, help="times that the database is killed and started (5)")
    parser.add_argument("--kills", type=int, default=100, help="workers that are killed (100)")
    parser.add_argument("--requests", type=int, default=20000, help="under reload, and as many with a new program (20000)")
    parser.add_argument("--seed", type=int, help="of which worker is killed when; printed by each run")
    options = parser.parse_args()
    assert PROGRAMS, "./dev fault starts this"
    seed = secrets.randbelow(10**6) if options.seed is None else options.seed
    print(f"seed {seed}", flush=True)
    judge = Judge()
    database_down(judge, options.rounds)
    worker_killed(judge, options.kills, seed)
    reload(judge, options.requests, upgrade=False)
    reload(judge, options.requests, upgrade=True)
    return 1 if judge.show() else 0


if __name__ == "__main__":
    sys.exit(main())
