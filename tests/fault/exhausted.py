#!/usr/bin/python3
"""
What the service stands on runs out: descriptors, room for the log, room on the database's disk for tables and for its write-ahead
log, its locks, its connections. Each time the log must tell it once, requests must be answered, with 503 where they need what is
not there, and all must be well by itself once there is enough again. `./dev fault exhausted` starts it; README.md says more.
"""

import argparse
import http.client
import os
import resource
import secrets
import shutil
import sys
import time

import psycopg2

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "e2e"))

import servers  # noqa: E402
from stack import Client, Stack, children, connect, wait_for  # noqa: E402

# Where the database server sees the small disk: in a tree that it is unpacked in, or in the machine's own.
SMALL = "/tmp/small" if servers.WRAP[:1] == ["bwrap"] else "/mnt"
SMALL_BYTES = 300_000_000
REQUESTS = 40          # while something has run out
# Which descriptors a worker of the sandbox has, root alone may see. What a pooler says of the database is its own matter.
WORKERS = {"api_workers": 1, "auth_workers": 1, "sandbox": "on" if os.getuid() == 0 else "off", "pooled": False}
QUIET = 3.5            # seconds without trouble until it counts as over, and some more


class Trouble:
    """What a fault did: answers by status, seconds until the first success after it, what the log told."""

    def __init__(self, name, stack, event):
        self.name, self.stack, self.event = name, stack, event
        self.before = len(stack.log_lines())
        self.answers, self.wrong, self.longest, self.healed = {}, [], 0.0, None

    def ask(self, request, allowed):
        start = time.monotonic()
        try:
            answer = request()
            status = answer.status
            if status in (429, 503) and not answer.headers.get("Retry-After"):
                self.wrong.append("no Retry-After")
        except (OSError, http.client.HTTPException) as error:
            status = repr(error)
        self.longest = max(self.longest, time.monotonic() - start)
        self.answers[status] = self.answers.get(status, 0) + 1
        if status not in allowed:
            self.wrong.append(f"answered with {status}")
        return status

    def heal(self, request, good, patience=30):
        """Asks until it is answered as it should be."""
        start = time.monotonic()
        wait_for(lambda: request().status in good, patience, f"{self.name}: success")
        self.healed = time.monotonic() - start
        time.sleep(QUIET)
        assert request().status in good

    def told(self):
        return [line for line in self.stack.log_lines()[self.before:] if line["event"] == self.event]

    def judge(self, begun=1, over=1):
        """Told so many times, and that it is over."""
        begins = [line for line in self.told() if line["level"] == "error"]
        ends = [line for line in self.told() if line["level"] == "info" and "over" in line["message"]]
        if begun is not None and len(begins) != begun:
            self.wrong.append(f"told {len(begins)} times")
        if over is not None and len(ends) != over:
            self.wrong.append(f"its end told {len(ends)} times")
        print(f"{self.name}: " + ", ".join(f"{count} x {status}" for status, count in sorted(self.answers.items(), key=str))
              + f"; longest {self.longest:.2f} s; well {self.healed:.2f} s after; told "
              + (f"{len(begins)} times: {begins[0]['message'][:110]}" if begins else "nothing"), flush=True)
        return [f"{self.name}: {wrong}" for wrong in self.wrong]


def application():
    return {"company_name": "Acme", "role_title": "Engineer", "job_description": secrets.token_hex(20_000)}


def descriptors_of(pid):
    return {int(name) for name in os.listdir(f"/proc/{pid}/fd")}


def settle(pid):
    """Waits until the process has closed what others have ended: its descriptors have been the same for half a second."""
    before, since = descriptors_of(pid), time.monotonic()
    while time.monotonic() - since < 0.5:
        time.sleep(0.05)
        now = descriptors_of(pid)
        if now != before:
            before, since = now, time.monotonic()


def lowest_free(pid):
    taken = descriptors_of(pid)
    return next(number for number in range(len(taken) + 1) if number not in taken)


# ---- the faults ----

def descriptors(stack, user):
    """The one api worker has no descriptor for another connection."""
    trouble = Trouble("no descriptors", stack, "descriptors")
    user.get("/me").ok()
    worker = busiest(stack)
    stack.hang_up()
    wait_for(lambda: user.get("/me").status == 200, 10, "nginx")
    stack.hang_up()
    settle(worker)
    limit = resource.prlimit(worker, resource.RLIMIT_NOFILE)
    resource.prlimit(worker, resource.RLIMIT_NOFILE, (lowest_free(worker), limit[1]))
    try:
        for _ in range(REQUESTS):
            trouble.ask(lambda: user.get("/applications"), (200, 503))
    finally:
        resource.prlimit(worker, resource.RLIMIT_NOFILE, limit)
    stack.hang_up()
    trouble.heal(lambda: user.get("/applications", headers={"Connection": "close"}), (200,))
    stack.hang_up()
    user.get("/applications").ok()
    return trouble.judge()


def nginx_descriptors(stack, user):
    """nginx has a descriptor for its client and none for a worker."""
    trouble = Trouble("no descriptors for nginx", stack, "nginx")
    stack.hang_up()
    worker, = children(stack.nginx.pid)
    settle(worker)  # it still closes its channel to the one before: no connection may stand above that gap
    client = Client(stack, user.token, base="")
    assert client.get("/favicon.svg").status == 200, "its connection is there"
    settle(worker)
    limit = resource.prlimit(worker, resource.RLIMIT_NOFILE)
    resource.prlimit(worker, resource.RLIMIT_NOFILE, (lowest_free(worker), limit[1]))
    try:
        for _ in range(REQUESTS):
            trouble.ask(lambda: client.get("/api/v1/me"), (503,))
    finally:
        resource.prlimit(worker, resource.RLIMIT_NOFILE, limit)
    trouble.heal(lambda: client.get("/api/v1/me"), (200,))
    if "Too many open files" not in stack.read("nginx.err"):
        trouble.wrong.append("not told in the log of nginx")
    return trouble.judge(None, None)


def busiest(stack):
    """The worker that answers the API's requests, of one."""
    def answered():  # the line is written after the answer
        return next((line for line in reversed(stack.log_lines()) if line.get("route") == "/api/v1/me"), None)
    return wait_for(answered, 10, "the log")["pid"]


def log_file(stack, user):
    """The log's file may not grow."""
    trouble = Trouble("no room for the log", stack, "log")
    pids = [stack.jobforged.pid, *stack.workers()]
    limits = {pid: resource.prlimit(pid, resource.RLIMIT_FSIZE) for pid in pids}
    size = None
    while size != os.path.getsize(stack.path("jobforged.log")):  # a line may be written meanwhile
        size = os.path.getsize(stack.path("jobforged.log"))
        for pid in pids:
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (size, limits[pid][1]))
    try:
        for _ in range(REQUESTS):
            trouble.ask(lambda: user.get("/me"), (200,))
        time.sleep(0.5)
        assert os.path.getsize(stack.path("jobforged.log")) == size, "the log grew"
    finally:
        for pid in pids:
            resource.prlimit(pid, resource.RLIMIT_FSIZE, limits[pid])
    trouble.heal(lambda: user.get("/me"), (200,))
    wrong = trouble.judge(None, None)
    lost = sum(line["lines"] for line in trouble.told())
    if lost < REQUESTS:
        wrong.append(f"no room for the log: {lost} lost lines were told")
    return wrong


def connections(stack, user):
    """The database takes no more connections, and those that were there end."""
    trouble = Trouble("no connections to the database", stack, "database")
    database = connect("postgres")
    sql = database.cursor()
    sql.execute(f'ALTER DATABASE "{stack.name}" CONNECTION LIMIT 0')
    sql.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s AND usename = 'jobforge_app'", (stack.name,))
    for _ in range(REQUESTS):
        trouble.ask(lambda: user.get("/me"), (503,))
    sql.execute(f'ALTER DATABASE "{stack.name}" CONNECTION LIMIT -1')
    database.close()
    trouble.heal(lambda: user.get("/me"), (200,))
    return trouble.judge()


def locks(stack, user):
    """The database's table of locks is full."""
    trouble = Trouble("no locks in the database", stack, "resources")
    holder = connect(stack.name)
    holder.autocommit = False
    sql = holder.cursor()
    step, number = 4096, 0
    while step > 0:
        sql.execute("SAVEPOINT before")
        try:
            sql.execute("SELECT pg_advisory_xact_lock_shared(77, n) FROM generate_series(%s, %s) AS n", (number, number + step - 1))
            number += step
        except psycopg2.errors.OutOfMemory:
            sql.execute("ROLLBACK TO before")
            step //= 2
    try:
        for number in range(REQUESTS):
            trouble.ask(lambda: user.post("/applications", application(), headers={"Idempotency-Key": f"locks-{number}"}), (201, 503))
    finally:
        holder.rollback()
        holder.close()
    trouble.heal(lambda: user.post("/applications", application()), (201,))
    return trouble.judge()


def disk(stack, user, server):
    """The disk of the applications is full."""
    trouble = Trouble("no room for tables", stack, "disk")
    in_server(stack, f"mkdir -p {SMALL}/tables")
    stack.sql(f"CREATE TABLESPACE small LOCATION '{SMALL}/tables'")
    stack.sql("ALTER TABLE public.applications SET TABLESPACE small")
    fill(stack)
    for _ in range(REQUESTS):
        trouble.ask(lambda: user.post("/applications", application()), (201, 503))
        trouble.ask(lambda: user.get("/applications?limit=1"), (200,))
    if trouble.answers.get(503, 0) == 0:
        trouble.wrong.append("the disk was not full")
    empty(server)
    trouble.heal(lambda: user.post("/applications", application()), (201,))
    stack.sql("ALTER TABLE public.applications SET TABLESPACE pg_default")
    stack.sql("DROP TABLESPACE small")
    return trouble.judge()


def write_ahead_log(stack, user, server):
    """The disk of the write-ahead log is full: the server ends all its connections, and cannot come back before there is room."""
    trouble = Trouble("no room for the write-ahead log", stack, "database")
    kept = user.create("Kept")["id"]
    fill(stack)
    end = time.monotonic() + 30
    while trouble.answers.get(503, 0) < 10 and time.monotonic() < end:
        trouble.ask(lambda: user.post("/applications", application()), (201, 503))
        try:
            stack.sql("SELECT pg_switch_wal()")
        except psycopg2.Error:
            pass
    if trouble.answers.get(503, 0) == 0:
        trouble.wrong.append("the disk was not full")
    if stack.root.get("/healthz").status != 200 or stack.root.get("/readyz").status != 503:
        trouble.wrong.append("not told by /healthz and /readyz")
    empty(server)
    server.wait()
    trouble.heal(lambda: user.post("/applications", application()), (201,))
    user.get("/applications/" + kept).ok()
    stack.admin = connect(stack.name)
    return trouble.judge(None, None)


# ---- a small disk ----

def in_server(stack, command):
    """A command where the database server is."""
    stack.sql(f"COPY (SELECT 1) TO PROGRAM $program${command} >/dev/null 2>&1; true$program$")


def fill(stack):
    in_server(stack, f"dd if=/dev/zero of={SMALL}/filler bs=4k")


def empty(server):
    os.unlink(f"/proc/{server.processes()[0]}/root{SMALL}/filler")


class Small(servers.Server):
    """Its write-ahead log, and what is told to be there, is on a small disk of its own."""

    def start(self):
        programs, wrap = servers.PROGRAMS, servers.WRAP
        log = f"{self.inner_data}/pg_wal"
        script = (f'[ -L {log} ] || {{ mkdir {SMALL}/wal && chmod 700 {SMALL}/wal && cp -a {log}/. {SMALL}/wal/ && rm -r {log} &&'
                  f' ln -s {SMALL}/wal {log}; }} && exec "$@"')
        disk = ["--size", str(SMALL_BYTES), "--perms", "0777", "--tmpfs", SMALL]
        outside = [] if wrap[:1] == ["bwrap"] else ["bwrap", "--dev-bind", "/", "/", *disk, "--"]
        servers.WRAP = [*outside, *wrap, *(disk if not outside else []), "sh", "-c", script, "sh"]
        try:
            super().start()
        finally:
            servers.WRAP = wrap


class Limited(servers.Alone):
    """A server on a small disk, with few locks."""

    def __init__(self):
        self.server = Small(f"small-{os.getpid()}")

    def __enter__(self):
        settings = servers.SETTINGS
        servers.SETTINGS += "max_locks_per_transaction = 10\nmin_wal_size = 32MB\nmax_wal_size = 64MB\nrestart_after_crash = on\n"
        try:
            return super().__enter__()
        finally:
            servers.SETTINGS = settings


def campaign():
    wrong = []
    with Limited() as server, Stack(plain=True, log_level="info", **WORKERS) as stack:
        stack.allow_errors("")
        user = stack.user()
        for fault in (descriptors, nginx_descriptors, log_file, connections, locks):
            wrong += fault(stack, user)
        for fault in (disk, write_ahead_log):
            wrong += fault(stack, user, server)
    return wrong


def main():
    argparse.ArgumentParser(prog="./dev fault exhausted", description="Takes away what the service stands on, one thing after the "
                            "other, and looks whether it says so, answers, and recovers.").parse_args()
    if not servers.PROGRAMS or not shutil.which("bwrap"):
        sys.exit("./dev fault starts this, with bubblewrap installed")
    wrong = campaign()
    print("\n".join(wrong) if wrong else "all as promised")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
