#!/usr/bin/python3
"""
Measures what the audit log and the counting of usage cost a creation.

    tests/bench/service_cost.py [--quick] CONNECTION

CONNECTION is that of a superuser; the server's fsync and synchronous_commit stay as they are. A database of its own is
made there by the files of sql/migrations, and dropped at the end. pgbench sends what a worker sends for POST
/applications: one pipeline a transaction, prepared, as jobforge_app, for a user by chance. The same with the triggers
that record disabled, and without the request's id, alternates with it, on one connection and on four; ratios are formed
between neighbours. Fails when the median is above 1.25. Needs python3-psycopg2 and pgbench. Takes a minute and a half on
two cores, with --quick a quarter of that.
"""

import argparse
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

    def table(self, rounds, seconds):
        """Prints it; the median ratios by number of connections."""
        print("| connections | recorded, 1/s | not recorded, 1/s | time, ratio | the least and the most of the rounds |")
        print("|---|---|---|---|---|")
        medians = {}
        for connections in (1, 4):
            with_, without, ratios = [], [], []
            for number in range(rounds):
                order = (True, False) if number % 2 else (False, True)
                rates = {recorded: self.rate(recorded, connections, seconds) for recorded in order}
                with_.append(rates[True])
                without.append(rates[False])
                ratios.append(rates[False] / rates[True])
            medians[connections] = statistics.median(ratios)
            print(f"| {connections} | {statistics.median(with_):.0f} | {statistics.median(without):.0f} |"
                  f" {medians[connections]:.2f} | {min(ratios):.2f} .. {max(ratios):.2f} |", flush=True)
        return medians


def main():
    parser = argparse.ArgumentParser(description="Measures what recording costs a creation.")
    parser.add_argument("connection")
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    with Database(options.connection) as database, tempfile.TemporaryDirectory() as directory:
        database.run("SET session_replication_role = origin")
        database.run("INSERT INTO public.users (id, email, password_hash, full_name)"
                     " SELECT (%s || lpad(to_hex(i), 12, '0'))::uuid, 'u' || i || '@bench.example', 'h', 'U'"
                     " FROM generate_series(1, %s) AS i", text_id(0)[:-12], USERS)
        database.run("VACUUM ANALYZE public.users, public.usage_tracking")
        bench = Bench(database, directory)
        bench.rate(True, 1, 1)
        medians = bench.table(3 if options.quick else 8, 1 if options.quick else 2)
    if max(medians.values()) > MOST:
        sys.exit(f"a creation takes {max(medians.values()):.2f} times as long")


if __name__ == "__main__":
    main()
