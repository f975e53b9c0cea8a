#!/usr/bin/python3
"""
Measures JobForge, the limits of its parts and its peers, side by side. `./dev bench` starts it; README.md says how to
read what it prints.
"""

import argparse
import json
import os
import platform
import secrets
import shutil
import statistics
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)

import candidates  # noqa: E402
import check  # noqa: E402
import data  # noqa: E402
from passwords import password_hash  # noqa: E402
from work import WORKS, Sample  # noqa: E402

EFFICIENT = ("one", "list", "create", "update")
WARM_UP = 1  # seconds


class Bench:
    """What the candidates of one run share."""

    def __init__(self, options):
        self.options = options
        self.works = [WORKS[name] for name in options.only]
        self.secret = secrets.token_hex(32)
        self.statements = {}
        self.results = {}  # (candidate, work or None, connections) -> one Measured a round

    def say(self, text):
        if not self.options.quiet:
            print(f"{time.monotonic() - self.began:6.1f} s  {text}", file=sys.stderr, flush=True)

    def run(self):
        self.began = time.monotonic()
        self.load_before = os.getloadavg()
        self.candidates, self.service = [], candidates.Service()
        self.dir = tempfile.mkdtemp(prefix="jf-bench-", dir="/tmp")
        self.service.keys = [("first", self.secret.encode())]
        try:
            with self.service:
                self.run_on_service()
        finally:
            shutil.rmtree(self.dir)

    def run_on_service(self):
        (self.version,), = self.service.sql("SHOW server_version")
        try:
            self.prepare()
            self.check()
            if not self.options.check:
                self.measure()
        except Exception:
            self.show_logs()
            raise
        finally:
            for candidate in self.candidates:
                candidate.stop()
        self.load_after = os.getloadavg()

    def show_logs(self):
        for candidate in self.candidates:
            if candidate.log and os.path.getsize(candidate.log):
                with open(candidate.log, errors="replace") as file:
                    print(f"--- {candidate.name}\n{file.read()[-2000:]}", file=sys.stderr)

    # Before measuring

    def prepare(self):
        options = self.options
        self.say(f"making {options.users} users with {options.applications} applications each")
        peers = [name for name in options.candidates if name in candidates.PEERS]
        similar = WORKS["similar"] in self.works
        data.make(candidates.product.conninfo(self.service.name), options.users, options.applications,
                  options.vector_users if similar else 0, password_hash(data.PASSWORD, 12))
        self.sample = Sample(self.service.sql, self.service.keys[0])
        pgbench = candidates.Pgbench(self)
        if peers or "pgbench" in options.candidates:
            self.say("listening to what the workers ask the database")
            pgbench.learn(self, self.works)
        self.statements = {work.name: pgbench.main_statement(work) for work in self.works
                           if peers and work.name in candidates.SHARED_STATEMENTS}
        if options.asynchronous_commit:
            self.service.sql(f'ALTER DATABASE "{self.service.name}" SET synchronous_commit = off')
            self.service.reload()
        if "postgrest" in options.candidates:
            candidates.prepare_postgrest(self.service, self.statements)
        self.say("starting " + ", ".join(options.candidates))
        for name in options.candidates:
            self.candidates.append(pgbench if name == "pgbench" else candidates.CANDIDATES[name](self))

    def check(self):
        self.say("comparing answers")
        for work in self.works:
            check.check(work, self.sample, self.candidates)

    # Measuring

    def cells(self, members):
        """(candidate, work) of one round; limits that know no kinds of work come first."""
        for candidate in members:
            if not candidate.knows_work:
                yield candidate, None
        for work in self.works:
            for candidate in members:
                if candidate.knows_work and candidate.takes(work) and not (
                        self.options.quick and work.writes and isinstance(candidate, candidates.Http2)):
                    yield candidate, work

    def plan(self):
        """What a run is going to do, and how long it takes on two idle cores."""
        options = self.options
        members = [candidates.CANDIDATES[name].__new__(candidates.CANDIDATES[name]) for name in options.candidates]
        cells = [] if options.check else list(self.cells(members))
        times = len(options.connections) * options.rounds
        loads = times * len(cells)
        each = [max(options.seconds, work.least if work else 1) + 0.2 for _, work in cells]
        seconds = 30 + options.users * options.applications / 10000 + times * sum(each)
        return (f"{', '.join(work.name for work in self.works)} with {', '.join(options.candidates)}: {loads} loads of "
                f"{options.seconds} s, about {max(1, round(seconds / 60))} min altogether")

    def measure(self):
        options = self.options
        warmed = set()
        self.say("warming up")
        for candidate, work in self.cells(self.candidates):
            # In a long run each kind of work on its own; in a quick one what a program needs once.
            key = (candidate, work if not options.quick else None)
            if key not in warmed:
                candidate.load(self, work, min(8, work.most) if work else 8, WARM_UP, 0)
                warmed.add(key)
        for number in range(options.rounds):
            for connections in options.connections:
                self.say(f"round {number + 1} of {options.rounds}, {connections} connections")
                for candidate, work in self.cells(self.candidates):
                    used = min(connections, work.most) if work else connections
                    key = (candidate.name, work.name if work else None, connections)
                    seconds = max(options.seconds, work.least) if work else options.seconds
                    measured = candidate.load(self, work, used, seconds, number)
                    self.results.setdefault(key, []).append(measured)

    # The figures

    def rates(self, candidate, work, connections):
        return [measured.rate for measured in self.results.get((candidate, work, connections), [])]

    def efficiency(self, work, connections):
        """Ours over what its parts allow, for each round."""
        rounds = zip(self.rates("jobforge", work, connections), self.rates("worker", None, connections),
                     self.rates("pgbench", work, connections))
        return [ours / (1 / (1 / worker + 1 / database)) for ours, worker, database in rounds]

    def multiples(self, peer, work, connections):
        """Ours over the peer's, for each round."""
        return [ours / theirs for ours, theirs in zip(self.rates("jobforge", work, connections),
                                                      self.rates(peer, work, connections)) if theirs]

    def figures(self):
        """Everything, for --json."""
        rows = []
        for (candidate, work, connections), rounds in self.results.items():
            rows.append({"candidate": candidate, "work": work, "connections": connections,
                         "rates": [measured.rate for measured in rounds],
                         "p50_ms": [measured.p50 for measured in rounds], "p99_ms": [measured.p99 for measured in rounds],
                         "requests": [measured.count for measured in rounds],
                         "processor_us": [measured.processor for measured in rounds],
                         "faults": [measured.faults for measured in rounds if measured.faults]})
        return {**self.about(), "results": rows,
                "efficiency": {f"{work.name}/{connections}": self.efficiency(work.name, connections)
                               for work in self.works for connections in self.options.connections}}

    def about(self):
        options = self.options
        return {
            "date": time.strftime("%Y-%m-%d %H:%M:%S %z"), "machine": machine(),
            "postgresql": self.version, "load_average_before": list(self.load_before),
            "load_average_after": list(self.load_after), "seconds": options.seconds, "rounds": options.rounds,
            "synchronous_commit": "off" if options.asynchronous_commit else "on",
            "users": options.users, "applications_each": options.applications,
        }


def machine():
    """The processor, and how many of it."""
    try:
        with open("/proc/cpuinfo") as file:
            model = next((line.partition(":")[2].strip() for line in file if line.startswith("model name")), "")
    except FileNotFoundError:
        model = ""
    return f"{os.cpu_count()} x {model or platform.machine()}, Linux {platform.release()}"


# --- The tables -----------------------------------------------------------------------------------------------------

def number(value):
    if value is None:
        return "–"
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def spread(values, form=number):
    """Median, and in brackets the least and the most."""
    if not values:
        return "–"
    if len(values) == 1:
        return form(values[0])
    return f"{form(statistics.median(values))} ({form(min(values))}–{form(max(values))})"


def table(heads, rows):
    widths = [max(len(row[column]) for row in [heads, *rows]) for column in range(len(heads))]
    lines = ["| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths)) + " |" for row in [heads, *rows]]
    return "\n".join([lines[0], "|" + "|".join("-" * (width + 2) for width in widths) + "|", *lines[1:]])


def report(bench):
    about = bench.about()
    lines = [f"JobForge, {about['date']}, {about['machine']}, PostgreSQL {about['postgresql']}",
             f"{about['users']} users with {about['applications_each']} applications each; {about['rounds']} rounds of "
             f"{about['seconds']} s a load; load average {about['load_average_before'][0]:.2f} before, "
             f"{about['load_average_after'][0]:.2f} after",
             *(["synchronous_commit=off, for all"] if bench.options.asynchronous_commit else []),
             "Medians, in brackets the least and the most of the rounds."]
    for connections in bench.options.connections:
        lines += ["", f"## {connections} connection{'s' if connections > 1 else ''}", ""]
        lines += throughput(bench, connections)
        lines += ["", "Time of an answer in ms, half of them within / 99 of 100 within:", ""]
        lines += times(bench, connections)
        lines += processor(bench, connections)
    faults = [f"{key[0]}, {key[1] or ''}, {key[2]}: {', '.join(found)}" for key, rounds in bench.results.items()
              if (found := [measured.faults for measured in rounds if measured.faults])]
    return "\n".join([*lines, "", *(["Answers that were not 2xx, or none:", *faults] if faults else
                                    ["Every answer was 2xx."])])


def throughput(bench, connections):
    names = [candidate.name for candidate in bench.candidates]
    peers = [name for name in names if name in candidates.PEERS]
    limits = [f"{name} {spread(bench.rates(name, None, connections))}" for name in ("nginx", "worker")
              if bench.rates(name, None, connections)]
    shown = [name for name in names if name not in ("nginx", "worker", "bcrypt", *peers)]
    heads = ["requests/s", *shown, *(["efficiency"] if "pgbench" in names and "worker" in names else []),
             *(word for name in peers for word in (name, "times"))]
    rows = []
    for work in bench.works:
        row = [work.name + (f" ({work.most} connections)" if connections > work.most else "")]
        row += [spread(bench.rates(name, work.name, connections)) for name in shown]
        if "efficiency" in heads:
            row.append(spread(bench.efficiency(work.name, connections), "{:.2f}".format))
        for name in peers:
            row += [spread(bench.rates(name, work.name, connections)),
                    spread(bench.multiples(name, work.name, connections), "{:.1f}".format)]
        rows.append(row)
    if bench.rates("bcrypt", "login", connections):
        limits.append(f"bcrypt {spread(bench.rates('bcrypt', 'login', connections))}")
    return [*(["Limits: " + ", ".join(limits), ""] if limits else []), table(heads, rows)]


def times(bench, connections):
    names = [candidate.name for candidate in bench.candidates if candidate.answers]
    rows = []
    for work in bench.works:
        row = [work.name]
        for name in names:
            rounds = bench.results.get((name, work.name, connections), [])
            known = [measured for measured in rounds if measured.p99 is not None]
            row.append(" / ".join(number(statistics.median(getattr(measured, which) for measured in known))
                                  for which in ("p50", "p99")) if known else "–")
        rows.append(row)
    return [table(["ms", *names], rows)]


def processor(bench, connections):
    """What of a request each of our programs takes."""
    rows = []
    for work in bench.works:
        found = [measured.processor for measured in bench.results.get(("jobforge", work.name, connections), [])]
        if found:
            rows.append([work.name, *(spread([one[name] for one in found]) for name in found[0])])
    return ["", "Processor time of a request in us, client not included:", "",
            table(["us", *found[0]], rows)] if rows else []


# --- Command line ---------------------------------------------------------------------------------------------------

def names_of(known):
    def read(text):
        names = text.split(",")
        for name in names:
            if name not in known:
                raise argparse.ArgumentTypeError(f"{name} is none of {', '.join(known)}")
        return [name for name in known if name in names]
    return read


def numbers(text):
    found = [int(word) for word in text.split(",")]
    if min(found) < 1 or max(found) > 1000:
        raise argparse.ArgumentTypeError("connections are 1 to 1000")
    return found


def read_options():
    known = [name for name, candidate in candidates.CANDIDATES.items() if candidate.installed()]
    parser = argparse.ArgumentParser(prog="./dev bench", description="Measures JobForge, the limits of its parts and its "
                                     "peers in one run, interleaved and repeated.", allow_abbrev=False)
    parser.add_argument("--quick", action="store_true", help="under two minutes on an idle machine: one, list, create and update at "
                        "32 connections")
    parser.add_argument("--check", action="store_true", help="only compare the answers of all candidates")
    parser.add_argument("--only", type=names_of(list(WORKS)), help="kinds of work: " + ",".join(WORKS))
    parser.add_argument("--candidates", type=names_of(known), default=known, help=",".join(known))
    parser.add_argument("--connections", type=numbers, help="such as 1,32,256")
    parser.add_argument("--rounds", type=int, help="how often all of it is repeated (3)")
    parser.add_argument("--seconds", type=int, help="of each load (2; 1 with --quick)")
    parser.add_argument("--users", type=int, help="10,000; 2,000 with --quick")
    parser.add_argument("--applications", type=int, default=50, help="of each user (50)")
    parser.add_argument("--vector-users", type=int, default=4, help="users with 1,000 embedded documents each (4)")
    parser.add_argument("--asynchronous-commit", action="store_true", help="with synchronous_commit=off for all, as if the "
                        "disk took no time")
    parser.add_argument("--json", metavar="FILE", help="all figures")
    parser.add_argument("--plan", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--quiet", action="store_true", help="only the tables")
    options = parser.parse_args()
    quick = options.quick or options.check
    options.only = options.only or (list(EFFICIENT) if options.quick else list(WORKS))
    options.connections = options.connections or ([32] if quick else [1, 32, 256])
    options.rounds = options.rounds or 3
    options.seconds = options.seconds or (1 if quick else 2)
    options.users = options.users or (2000 if quick else 10000)
    return options


def main():
    bench = Bench(read_options())
    if bench.options.plan:
        print(bench.plan())
        return 0
    try:
        bench.run()
    except check.Mismatch as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    if bench.options.check:
        print("All candidates answer alike: " + ", ".join(work.name for work in bench.works))
        return 0
    print(report(bench))
    if bench.options.json:
        with open(bench.options.json, "w") as file:
            json.dump(bench.figures(), file, indent=1)
    return 0


if __name__ == "__main__":
    sys.exit(main())
