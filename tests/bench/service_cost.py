#!/usr/bin/python3
"""
Measures what the audit log and the counting of usage cost a creation.

    tests/bench/service_cost.py [--quick] [--build=DIRECTORY] CONNECTION

CONNECTION is that of a superuser; the server's fsync and synchronous_commit stay as they are. A database of its own is
made there by the files of sql/migrations, and dropped at the end. pgbench sends what a worker sends for POST
/applications: one pipeline a transaction, prepared, as jobforge_app, for a user by chance. The same with the triggers
that record disabled, and without the request's id, alternates with it, on one connection and on four; ratios are formed
between neighbours. Needs python3-psycopg2 and pgbench. Takes a minute and a half on two cores, with --quick a quarter of that.

With --build, which names the directory of a build without sanitizers, the same through nginx and two workers of it, on four
and on 32 connections, by wrk. Fails when the median over HTTP, or without --build that of the database alone, is above 1.25.
"""

import argparse
import json
import os
import random
import re
import statistics
import subprocess
import sys
import tempfile

from psycopg2.extensions import parse_dsn

from data import description
from vectors import Database, text_id

SEED = 20261123
USERS = 1000
MOST = 1.25

# As in src/db.c and src/api_applications.c.
WHOLE = ("a.id, a.user_id, a.name, a.company_name, a.role_title, a.job_url, a.job_description, a.location,"
         " a.priority_level, a.status, a.research_completed, a.resume_optimized, a.cover_letter_generated, a.created_at,"
         " a.updated_at, a.xmin::text AS _etag")
CONTEXT = "SELECT pg_catalog.set_config('app.current_user_id', '{user}' || lpad(to_hex(:user::integer), 12, '0'), true)"
REQUEST = ", pg_catalog.set_config('app.request_id', '5f0c2b7d9e8a41c3b6d70f1e2a3c4b5d', true)"
SCRIPT = """\\set user random(1, {users})
\\startpipeline
BEGIN TRANSACTION READ WRITE;
{context};
INSERT INTO public.applications AS a
    (company_name, role_title, job_description, name, job_url, location, priority_level)
    VALUES ('Company of the Bench', 'Engineer', '{text}',
    coalesce(NULL, public.generate_application_name('Company of the Bench', 'Engineer')),
    'https://jobs.example/4711', 'Berlin', coalesce('high'::public.priority_level_type, 'medium')) RETURNING {whole};
COMMIT;
\\endpipeline
"""


class Bench:
    def __init__(self, database, directory):
        self.database = database
        self.scripts = {}
        text = description(random.Random(SEED))
        for recorded in (True, False):
            self.scripts[recorded] = os.path.join(directory, f"create_{recorded}.sql")
            context = CONTEXT.format(user=text_id(0)[:-12]) + (REQUEST if recorded else "")
            with open(self.scripts[recorded], "w") as file:
                file.write(SCRIPT.format(users=USERS, context=context, text=text.replace("'", "''"), whole=WHOLE))
        parts = parse_dsn(database.administrator)
        names = {"host": "PGHOST", "port": "PGPORT", "password": "PGPASSWORD"}
        self.environment = {**os.environ, **{names[key]: value for key, value in parts.items() if key in names},
                            "PGUSER": "jobforge_app", "PGDATABASE": database.name}

    def rate(self, recorded, connections, seconds):
        """Transactions in a second."""
        self.database.run(f"ALTER TABLE public.applications {'ENABLE' if recorded else 'DISABLE'} TRIGGER record_insert")
        done = subprocess.run(["pgbench", "--no-vacuum", "--protocol=prepared", f"--client={connections}",
                               f"--time={seconds}", f"--file={self.scripts[recorded]}"],
                              env=self.environment, capture_output=True, text=True, timeout=seconds + 60)
        if done.returncode != 0:
            sys.exit(done.stderr)
        return float(re.search(r"^tps = ([0-9.]+)", done.stdout, re.MULTILINE)[1])


class Http:
    """Creations over HTTP, of many users in turn. What tests/e2e needs to know is in the environment."""
    USERS = 200

    def __init__(self, stack, directory):
        self.stack = stack
        self.requests = os.path.join(directory, "requests")
        text = description(random.Random(SEED))
        body = json.dumps({"company_name": "Company of the Bench", "role_title": "Engineer", "job_description": text,
                           "job_url": "https://jobs.example/4711", "location": "Berlin", "priority_level": "high"})
        with open(self.requests, "w") as file:
            for _ in range(self.USERS):
                file.write(f"POST /api/v1/applications HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                           f"Authorization: Bearer {stack.user().token}\r\nContent-Length: {len(body)}\r\n\r\n{body}\0")

    def rate(self, recorded, connections, seconds):
        self.stack.sql(f"ALTER TABLE public.applications {'ENABLE' if recorded else 'DISABLE'} TRIGGER record_insert")
        script = os.path.join(os.path.dirname(os.path.abspath(__file__)), "load.lua")
        done = subprocess.run(["wrk", "--threads=1", f"--connections={connections}", f"--duration={seconds}", f"--script={script}",
                               f"http://127.0.0.1:{self.stack.http_port}/", "--", self.requests],
                              capture_output=True, text=True, timeout=seconds + 60)
        figures = json.loads(done.stdout.splitlines()[-1])
        if figures["refused"] or figures["broken"]:
            sys.exit(f"not every request was answered by 201: {figures}")
        return figures["requests"] / figures["seconds"]


def compare(subject, numbers, rounds, seconds):
    """Prints a table; the median ratios by number of connections."""
    print("| connections | recorded, 1/s | not recorded, 1/s | time, ratio | the least and the most of the rounds |")
    print("|---|---|---|---|---|")
    medians = {}
    for connections in numbers:
        with_, without, ratios = [], [], []
        for number in range(rounds):
            order = (True, False) if number % 2 else (False, True)
            rates = {recorded: subject.rate(recorded, connections, seconds) for recorded in order}
            with_.append(rates[True])
            without.append(rates[False])
            ratios.append(rates[False] / rates[True])
        medians[connections] = statistics.median(ratios)
        print(f"| {connections} | {statistics.median(with_):.0f} | {statistics.median(without):.0f} |"
              f" {medians[connections]:.2f} | {min(ratios):.2f} .. {max(ratios):.2f} |", flush=True)
    return medians


def compare_http(options, directory, rounds, seconds):
    os.environ.update(JOBFORGE_TEST_CLUSTER=options.connection, JOBFORGE_TEST_BUILD=os.path.abspath(options.build))
    sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "e2e"))
    from stack import Stack  # reads the environment when it is imported
    with Stack(log_level="info") as stack:
        http = Http(stack, directory)
        http.rate(True, 4, 1)
        return compare(http, (4, 32), rounds, seconds)


def main():
    parser = argparse.ArgumentParser(description="Measures what recording costs a creation.")
    parser.add_argument("connection")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--build", help="also over HTTP, with the programs of this directory")
    options = parser.parse_args()
    rounds, seconds = (4, 1) if options.quick else (16, 1)
    with Database(options.connection) as database, tempfile.TemporaryDirectory() as directory:
        database.run("SET session_replication_role = origin")
        database.run("INSERT INTO public.users (id, email, password_hash, full_name)"
                     " SELECT (%s || lpad(to_hex(i), 12, '0'))::uuid, 'u' || i || '@bench.example', 'h', 'U'"
                     " FROM generate_series(1, %s) AS i", text_id(0)[:-12], USERS)
        database.run("VACUUM ANALYZE public.users, public.usage_tracking")
        bench = Bench(database, directory)
        bench.rate(True, 1, 1)
        medians = compare(bench, (1, 4), rounds, seconds)
    if options.build:
        with tempfile.TemporaryDirectory() as directory:
            medians = compare_http(options, directory, rounds, seconds)
    if max(medians.values()) > MOST:
        sys.exit(f"a creation takes {max(medians.values()):.2f} times as long")


if __name__ == "__main__":
    main()
