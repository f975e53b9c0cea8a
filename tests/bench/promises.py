#!/usr/bin/python3
"""
Measures what is promised of speed besides the rate of requests: even times of answers, logins that leave the rest alone, the same
rate on a thousand times the data, memory, and the time of a start. `./dev promises` starts it; README.md says how to read what it
prints.
"""

import argparse
import collections
import json
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from datetime import datetime

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)

import candidates  # noqa: E402
import data  # noqa: E402
from bench import machine, spread, table  # noqa: E402
from candidates import product  # noqa: E402
from passwords import password_hash  # noqa: E402
from work import API, WORKS, Request, Sample, User, Work  # noqa: E402

SMALL_USERS = 200
APPLICATIONS = 50     # of each user
ACTIVE = 200          # users whom loads are about, however many there are
CONNECTIONS = 32
CROWD = 256           # connections
LOGINS = 64           # connections
SETTLED = 0.3         # seconds after which a load is under way
DEPTH = 400           # the page that is compared with the first
FEW, MANY = 100, 10000  # applications of one user, whose pages are compared
START_WORKERS = 8
GROWTH = 512          # KiB that count as noise

Verdict = collections.namedtuple("Verdict", "promise demanded found kept")


class Service(candidates.Service):
    """Whose data is made with it. `name`: a database that stays, and is found again."""

    def __init__(self, users, vector_users=0, name=None):
        kept = {"database": product.conninfo(name, "jobforge_app")} if name else {}
        super().__init__(**kept)
        self.users, self.vector_users, self.stays = users, vector_users, name is not None
        self.name = name or self.name
        self.told = ""

    def make_database(self):
        connection = product.connect(product.parse_dsn(product.CLUSTER).get("dbname", "postgres"))
        with connection.cursor() as sql:
            sql.execute("SELECT FROM pg_database WHERE datname = %s", (self.name,))
            if sql.fetchone() is None:
                began, new = time.monotonic(), self.name + "_new"
                product.drop_database(new)
                product.create_database(new)
                data.make(product.conninfo(new), self.users, APPLICATIONS, self.vector_users,
                          password_hash(data.PASSWORD, 12))
                self.told = f"made in {time.monotonic() - began:.0f} s, "
                sql.execute(f'ALTER DATABASE "{new}" RENAME TO "{self.name}"')
        connection.close()
        self.told += f"{data.size(product.conninfo(self.name)) / 1e9:.2f} GB on disk"

    def remove_database(self):
        product.drop_database(self.name + "_new")
        if not self.stays:
            super().remove_database()


class Target(candidates.Plain):
    """A service, with requests about its own users."""

    def __init__(self, service, directory):
        self.service = service
        self.sample = Sample(service.sql, service.keys[0], ACTIVE)
        self.dir = tempfile.mkdtemp(dir=directory)

    def load(self, work, connections, seconds, turn=0):
        return super().load(self, work, connections, seconds, turn)

    def get(self, path, user):
        status, body = self.ask(Request("GET", path, user.token))
        assert status == 200, (status, body)
        return body


def median(values):
    return statistics.median(values)


def ratios(upper, lower):
    return [one / other for one, other in zip(upper, lower)]


def at_most(promise, bound, values, form="{:.2f}"):
    return Verdict(promise, f"at most {bound:g}", spread(values, form.format), median(values) <= bound)


def at_least(promise, bound, values, form="{:.2f}"):
    return Verdict(promise, f"at least {bound:g}", spread(values, form.format), median(values) >= bound)


def load_rows(loads):
    """Rows for a table, of {name: [Measured]}."""
    return [[name, spread([one.rate for one in found]), spread([one.p50 for one in found]),
             spread([one.p99 for one in found]), ", ".join(one.faults for one in found if one.faults)]
            for name, found in loads.items()]


LOAD_HEADS = ["", "requests/s", "p50, ms", "p99, ms", "not answered with 2xx"]


# --- Tail -----------------------------------------------------------------------------------------------------------

def tail(run):
    target, loads = run.small(), {}
    for turn in range(run.rounds):
        for name in ("one", "list"):
            loads.setdefault(f"{name}, {CONNECTIONS} connections", []).append(
                target.load(WORKS[name], CONNECTIONS, run.seconds, turn))
    place = os.path.getsize(target.service.path("jobforged.log"))
    crowd = [target.load(WORKS["list"], CROWD, run.seconds, turn) for turn in range(run.rounds)]
    run.show("Tail", LOAD_HEADS, load_rows({**loads, f"list, {CROWD} connections": crowd}))
    for name, found in loads.items():
        yield at_most(f"{name}: p99 / p50", 4, [one.p99 / one.p50 for one in found])
    yield from spread_over_workers(run, target, place)


def spread_over_workers(run, target, place):
    """What the log, from a place on, says of how the requests came to the workers."""
    times = collections.defaultdict(list)
    with open(target.service.path("jobforged.log"), "rb") as file:
        file.seek(place)
        for line in file:
            line = json.loads(line)
            if line["event"] == "request" and line.get("route"):
                times[line["pid"]].append(datetime.fromisoformat(line["time"].replace("Z", "+00:00")).timestamp())
    starts = [found[0] for found in split_loads(sorted(each for found in times.values() for each in found))]
    rows, pauses = [], []
    for pid, found in sorted(times.items()):
        # Only within loads, and not while one begins.
        pause = max((after - before for before, after in zip(found, found[1:])
                     if not any(start - SETTLED < after and before < start + SETTLED for start in starts)), default=0)
        pauses.append(1000 * pause)
        rows.append([str(pid), f"{len(found):,}", f"{1000 * pause:.1f}"])
    run.show(f"Requests of {CROWD} connections, by worker", ["worker", "requests", "longest pause, ms"], rows)
    counts = [len(found) for found in times.values()]
    every = len(counts) == candidates.API_WORKERS
    yield Verdict(f"list, {CROWD} connections: requests of the least busy worker / the busiest", "at least 0.5",
                  f"{min(counts) / max(counts):.2f} ({len(counts)} workers)", every and min(counts) / max(counts) >= 0.5)
    yield at_most(f"list, {CROWD} connections: longest pause of a worker, ms", 250, [max(pauses)], "{:.0f}")


def split_loads(times):
    """The times of each load: between two there is a while without any."""
    loads = [[times[0]]]
    for before, after in zip(times, times[1:]):
        if after - before > 0.1:
            loads.append([])
        loads[-1].append(after)
    return loads


# --- Login storm ----------------------------------------------------------------------------------------------------

def storm(run):
    target, loads = run.small(), {"list alone": [], "list beside logins": [], "logins": []}
    for turn in range(run.rounds):
        loads["list alone"].append(target.load(WORKS["list"], CONNECTIONS, run.seconds, turn))
        logins = threading.Thread(target=lambda: loads["logins"].append(
            target.load(WORKS["login"], LOGINS, run.seconds + 2, turn)))
        logins.start()
        time.sleep(1)  # until the hashing is in full swing
        loads["list beside logins"].append(target.load(WORKS["list"], CONNECTIONS, run.seconds, turn))
        logins.join()
    run.show(f"{LOGINS} connections of logins beside {CONNECTIONS} of list", LOAD_HEADS, load_rows(loads))
    alone, beside = loads["list alone"], loads["list beside logins"]
    yield at_least("login storm: requests/s of list over those without logins", 0.5,
                   ratios([one.rate for one in beside], [one.rate for one in alone]))
    yield at_most("login storm: p99 of list over that without logins", 3,
                  ratios([one.p99 for one in beside], [one.p99 for one in alone]))


# --- Scale ----------------------------------------------------------------------------------------------------------

def scale(run):
    small, large = run.small(), run.large()
    names = {small: f"{SMALL_USERS * APPLICATIONS:,}", large: f"{run.options.users * APPLICATIONS:,}"}
    for target in names:
        target.service.sql("VACUUM (ANALYZE) public.applications, public.usage_tracking, public.audit_log")
        for work in ("create", "one", "list"):  # what is new to a writer, and the caches
            target.load(WORKS[work], CONNECTIONS, max(1, run.seconds / 2))
    loads = {(work, target): [] for work in ("one", "list", "create") for target in names}
    for work in ("one", "list", "create"):
        small.service.sql("CHECKPOINT")
        for turn in range(run.rounds):
            # The first of two has the better moment as often as the second.
            for target in (small, large) if turn % 2 == 0 else (large, small):
                loads[work, target].append(target.load(WORKS[work], CONNECTIONS, run.seconds, turn))
    run.show("Scale, by number of applications", LOAD_HEADS,
             load_rows({f"{work}, {names[target]}": found for (work, target), found in loads.items()}))
    for work, bound in (("one", 0.9), ("list", 0.9), ("create", 0.85)):
        rates = [[one.rate for one in loads[work, target]] for target in (large, small)]
        yield at_least(f"{work}: requests/s on {names[large]} applications over those on {names[small]}", bound, ratios(*rates))
    yield from depth(run, small)


class Page(Work):
    """One page, again and again."""

    distinct = 1

    def __init__(self, name, path, user):
        self.name, self.path, self.user = name, path, user

    def items(self, sample):
        yield self.user, None, 0

    def ours(self, user, row, number):
        return Request("GET", self.path, user.token)


def depth(run, target):
    """Pages of a user with few applications and of one with many; by one connection, where the time of an answer is all."""
    owners = {kind: owner(target, kind, count) for kind, count in (("few", FEW), ("many", MANY))}
    path = f"{API}/applications"
    first = {kind: Page(f"first-{kind}", path, user) for kind, user in owners.items()}
    for _ in range(DEPTH - 1):
        path = f"{API}/applications?cursor=" + target.get(path, owners["many"])["next"]
    assert len(target.get(path, owners["many"])["data"]) == 20
    pages = {f"first page of {FEW:,}": first["few"], f"first page of {MANY:,}": first["many"],
             f"page {DEPTH} of {MANY:,}": Page("last", path, owners["many"])}
    loads = {name: [] for name in pages}
    for turn in range(-1, run.rounds):
        for name, page in pages.items():
            found = target.load(page, 1, run.seconds)
            loads[name] += [found] if turn >= 0 else []  # the first round warms up
    run.show("Pages of one user, one connection", LOAD_HEADS, load_rows(loads))
    few, many, last = ([one.p50 for one in found] for found in loads.values())
    yield at_most(f"time of the first page, of {MANY:,} over of {FEW:,}", 1.2, ratios(many, few))
    yield at_most(f"time of page {DEPTH} over the first, of {MANY:,}", 1.2, ratios(last, many))


def owner(target, kind, count):
    """One user with so many applications."""
    service, email = target.service, f"{kind}-1@bench.example"
    if not service.sql("SELECT FROM public.users WHERE email = %s", email):
        maker = data.Maker(product.conninfo(service.name), ["A description of a position, as many words as it takes. " * 9])
        maker.users(kind, 1, password_hash(data.PASSWORD, 4))
        maker.fill(kind, 1, count)
        service.sql("VACUUM (ANALYZE) public.users, public.applications")
    (id,), = service.sql("SELECT id::text FROM public.users WHERE email = %s", email)
    return User(id, email, service.keys[0], [])


# --- Memory ---------------------------------------------------------------------------------------------------------

# How many of a hundred requests; those that take long are few, and of logins there is one to four thousand others.
MIX = {"one": 35, "list": 30, "search": 4, "create": 10, "update": 10, "document": 9, "similar": 2}


class Mixed(Work):
    """All kinds of work in turn."""

    name = "mixed"

    def items(self, sample):
        sources = {name: WORKS[name].items(sample) for name in MIX}
        for round in range(40):
            for turn in range(100):
                for name, share in MIX.items():
                    if turn * share % 100 < share:
                        yield name, next(sources[name])
        yield "login", next(WORKS["login"].items(sample))

    def ours(self, name, item):
        return WORKS[name].ours(*item)


def private_memory(pid):
    """KiB that this process has to itself."""
    with open(f"/proc/{pid}/smaps_rollup") as file:
        return sum(int(line.split()[1]) for line in file if line.startswith(("Private_Clean:", "Private_Dirty:")))


def memory(run):
    target = run.small()
    service, total, faults = target.service, run.options.requests, []
    master, workers = service.jobforged.pid, service.workers()
    steps, done, found = [total // 10, total // 2, total], 0, {}
    for step in steps:
        while done < step:
            made = target.load(Mixed(), CONNECTIONS, min(5, total / 10000), done)
            done += made.count
            faults += [made.faults] if made.faults else []
        found[done] = {pid: private_memory(pid) for pid in [master, *workers]}
    assert service.workers() == workers, "a worker was replaced"
    run.show("Private memory in KiB after so many requests of all kinds" + (f" ({'; '.join(faults)})" if faults else ""),
             ["", *(f"{count:,}" for count in found)],
             [[f"{'master' if pid == master else 'worker'} {pid}", *(f"{known[pid]:,}" for known in found.values())]
              for pid in [master, *workers]])
    first, last = (list(found.values())[index] for index in (0, -1))
    largest, grown = max(last[pid] for pid in workers), max(last[pid] - first[pid] for pid in workers)
    yield at_most("memory: the largest worker, MiB", 12, [largest / 1024], "{:.1f}")
    yield at_most(f"memory: grown since the first {list(found)[0]:,} requests, KiB", GROWTH, [grown], "{:.0f}")
    yield at_most("memory: the master, MiB", 2, [last[master] / 1024], "{:.1f}")


# --- Start ----------------------------------------------------------------------------------------------------------

def start(run):
    service = run.small().service
    conf = {**service.conf, "api_workers": START_WORKERS, "log_level": "warning",
            **{f"{pool}_socket": service.path(f"start-{pool}.sock") for pool in ("api", "auth", "bulk")},
            "pid_file": service.path("start.pid")}
    with open(service.path("start.conf"), "w") as file:
        file.writelines(f"{key} = {value}\n" for key, value in conf.items())
    times = [1000 * time_of_start(service) for _ in range(run.options.starts)]
    run.show(f"From exec until {START_WORKERS} api workers and the others are ready, ms", ["starts", "median (least–most)"],
             [[str(len(times)), spread(times)]])
    yield at_most(f"start: {START_WORKERS} workers ready to answer, ms", 150, times, "{:.0f}")


def time_of_start(service):
    """Until the master tells what started it, by the protocol of sd_notify(3), that all workers are ready."""
    path = service.path("notify.sock")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notified:
        notified.bind(path)
        notified.settimeout(30)
        began = time.monotonic()
        process = subprocess.Popen([os.path.join(service.build, "jobforged"), "--config", service.path("start.conf")],
                                   stdin=subprocess.DEVNULL, env={**product.child_environment(), "NOTIFY_SOCKET": path})
        try:
            while b"READY=1" not in notified.recv(4096):
                pass
            return time.monotonic() - began
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(30)
            os.unlink(path)


# --- The run --------------------------------------------------------------------------------------------------------

PARTS = {part.__name__: part for part in (tail, storm, start, scale, memory)}


class Run:
    def __init__(self, options):
        self.options = options
        self.rounds, self.seconds = options.rounds, options.seconds
        self.services, self.targets = [], {}

    def __enter__(self):
        self.dir = tempfile.mkdtemp(prefix="jf-promises-", dir="/tmp")
        return self

    def __exit__(self, *error):
        for service in reversed(self.services):
            service.__exit__(*error)
        shutil.rmtree(self.dir)

    def target(self, kind, **options):
        """Services are started when a part first asks for them."""
        if kind not in self.targets:
            name = f"jobforge_promises_{options['users']}" if self.options.keep else None
            service = Service(**options, name=name).__enter__()
            self.services.append(service)
            self.targets[kind] = Target(service, self.dir)
            print(f"{options['users'] * APPLICATIONS:,} applications of {options['users']:,} users: {service.told}\n", flush=True)
        return self.targets[kind]

    def small(self):
        return self.target("small", users=SMALL_USERS, vector_users=1)

    def large(self):
        return self.target("large", users=self.options.users)

    def show(self, title, heads, rows):
        print(f"## {title}\n\n{table(heads, rows)}\n", flush=True)


def read_options():
    parser = argparse.ArgumentParser(prog="./dev promises", allow_abbrev=False, description="Measures what is promised "
                                     "of speed besides the rate of requests, and says what is kept.")
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(PARTS) + "; all without any")
    parser.add_argument("--quick", action="store_true", help="shorter loads, and a hundredth of the data")
    parser.add_argument("--rounds", type=int, help="how often each load is repeated (7; 3 with --quick)")
    parser.add_argument("--seconds", type=int, help="of each load (3; 1 with --quick)")
    parser.add_argument("--users", type=int, help=f"with {APPLICATIONS} applications each, against {SMALL_USERS} "
                        "(200,000; 2,000 with --quick)")
    parser.add_argument("--requests", type=int, help="after which memory is looked at (1,000,000; 50,000 with --quick)")
    parser.add_argument("--starts", type=int, help="that are timed (20; 5 with --quick)")
    parser.add_argument("--keep", action="store_true", help="leave the data in the database server for another run there")
    parser.add_argument("--plan", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    for name in options.parts:
        if name not in PARTS:
            parser.error(f"{name} is none of {', '.join(PARTS)}")
    options.parts = [name for name in PARTS if name in options.parts or not options.parts]
    for name, long, quick in (("rounds", 7, 3), ("seconds", 3, 1), ("users", 200000, 2000), ("requests", 1000000, 50000),
                              ("starts", 20, 5)):
        if getattr(options, name) is None:
            setattr(options, name, quick if options.quick else long)
    return options


def main():
    options = read_options()
    if options.plan:
        print(f"{', '.join(options.parts)}: {options.rounds} rounds of {options.seconds} s a load")
        return 0
    verdicts = []
    with Run(options) as run:
        (version,), = run.small().service.sql("SHOW server_version")
        print(f"JobForge, {time.strftime('%Y-%m-%d %H:%M:%S %z')}, {machine()}, PostgreSQL {version}, load average "
              f"{os.getloadavg()[0]:.2f}; {options.rounds} rounds of {options.seconds} s a load\n", flush=True)
        for name in options.parts:
            verdicts += PARTS[name](run)
    print(table(["promise", "demanded", "found", ""],
                [[one.promise, one.demanded, one.found, "kept" if one.kept else "NOT kept"] for one in verdicts]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
