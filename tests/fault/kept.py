#!/usr/bin/python3
"""
Acknowledged means kept: writers write while whatever serves them is killed, restarted and reloaded at random moments.
Afterwards every creation that was answered 201 must be there once, none under an Idempotency-Key twice, flags, status and counts
must agree with the rows they are about, and nobody may ever have seen another's row. `./dev fault` starts it; README.md
says more.
"""

import argparse
import http.client
import os
import random
import secrets
import shlex
import signal
import subprocess
import sys
import threading
import time

import psycopg2

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "e2e"))

from stack import CLUSTER, SHIPPED, Client, Stack, connect, die_with_parent, parse_dsn, wait_for  # noqa: E402

USERS = 8
DESCRIPTION = "A position of which this text is the description, long enough to be one."
LOST = (OSError, http.client.HTTPException)
PHASES = ("research_report", "optimized_resume", "cover_letter")


class Writer(threading.Thread):
    """
    Creates applications, every other one under an Idempotency-Key and again until it is answered, writes their documents,
    and reads its user's list.
    """

    def __init__(self, campaign, number):
        super().__init__()
        self.campaign = campaign
        self.number = number
        self.owner = campaign.users[number % len(campaign.users)]
        self.client = Client(campaign.stack, self.owner.token)
        self.random = random.Random(campaign.seed * 1000 + number)
        self.acknowledged = []  # names that must be there once
        self.moments = []       # (when, whether it was answered as it should be) of each request
        self.unknown = []       # names of creations that got no answer: once or never
        self.answers = {}
        self.wrong = []

    def ask(self, *request, **options):
        """The answer, or None when there is none; anything but success and 'not now' is wrong."""
        try:
            answer = self.client.request(*request, **options)
        except LOST:
            self.count("none")
            return None
        self.count(answer.status)
        self.moments.append((time.monotonic(), answer.status < 500))
        if answer.status not in (200, 201, 409, 502, 503, 504):
            self.wrong.append((request[:2], answer))
        return answer

    def count(self, what):
        self.answers[what] = self.answers.get(what, 0) + 1

    def run(self):
        number = 0
        while not self.campaign.over.is_set():
            number += 1
            name = f"{self.number}-{number}"
            try:
                created = self.create(name, f"key-{self.campaign.seed}-{name}" if number % 2 else None)
                if created:
                    self.write_documents(created)
                if number % 3 == 0:
                    self.read(name if created else None)
            except Exception as error:  # what the campaign did not think of
                self.wrong.append((name, repr(error)))
                return

    def create(self, name, key):
        """The application's id when it was acknowledged. With a key it is asked for until there is an answer."""
        body = {"company_name": name, "role_title": "Engineer", "job_description": DESCRIPTION}
        headers = {"Idempotency-Key": key} if key else None
        while True:
            answer = self.ask("POST", "/applications", body, headers=headers)
            if answer is not None and answer.status == 201:
                self.acknowledged.append(name)
                return answer.json()["id"]
            # The campaign ends when all is well again: whoever then gets no answer soon never will.
            if key is None or self.campaign.ended is not None and time.monotonic() > self.campaign.ended + 10:
                self.unknown.append(name)
                return None
            time.sleep(0.02)

    def write_documents(self, id_):
        for phase in PHASES[:self.random.randint(0, 3)]:
            answer = self.ask("PUT", f"/applications/{id_}/documents/{phase}", {"content": DESCRIPTION})
            if answer is None or answer.status not in (200, 201):
                return

    def read(self, created):
        """All rows must be the user's own, and what was just created is among the newest."""
        answer = self.ask("GET", "/applications?limit=100")
        if answer is None or answer.status != 200:
            return
        mine = self.campaign.prefixes[self.owner.id]
        rows = answer.json()["data"]
        if created and created not in [row["company_name"] for row in rows]:
            self.wrong.append(("not seen after its acknowledgement", created))
        for row in rows:
            if row["user_id"] != self.owner.id or row["company_name"].split("-")[0] not in mine:
                self.wrong.append(("another's row", row))


class Campaign:
    def __init__(self, stack, writers, seconds, seed, postgres=None):
        self.stack = stack
        self.seconds = seconds
        self.seed = seed
        self.postgres = postgres  # the words that start the database server, which is then ours to kill
        self.random = random.Random(seed)
        self.over = threading.Event()
        self.ended = None
        self.users = [stack.user() for _ in range(USERS)]
        self.prefixes = {user.id: {str(number) for number in range(index, writers, USERS)}
                         for index, user in enumerate(self.users)}
        self.writers = [Writer(self, number) for number in range(writers)]
        self.faults = {}
        self.kinds = [self.kill_worker, self.end_connections, self.reload, self.restart, self.kill_master, self.restart_nginx]
        if self.postgres:
            self.kinds += [self.kill_backend, self.kill_database]
        if stack.pooler:
            self.kinds += [self.kill_pooler, self.reconnect_pooler]

    def run(self):
        end = time.monotonic() + self.seconds
        for writer in self.writers:
            writer.start()
        try:
            time.sleep(0.5)
            # Each once, in any order, and then by chance.
            pending = self.random.sample(self.kinds, len(self.kinds))
            while pending or time.monotonic() < end:
                fault = pending.pop() if pending else self.random.choice(self.kinds)
                try:
                    fault()
                except psycopg2.OperationalError:  # the database is recovering
                    self.wait_for_database()
                    continue
                self.faults[fault.__name__] = self.faults.get(fault.__name__, 0) + 1
                time.sleep(self.random.uniform(0.1, 1))
        finally:
            self.stack.wait_ready()
            self.ended = time.monotonic()
            self.over.set()
            for writer in self.writers:
                writer.join()
        return self.judge()

    # Faults

    def kill_worker(self):
        workers = self.stack.workers()
        if workers:
            os.kill(self.random.choice(workers), signal.SIGKILL)

    def end_connections(self):
        control = connect("postgres")
        try:
            control.cursor().execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s AND usename ="
                                     " 'jobforge_app'", (self.stack.name,))
        finally:
            control.close()

    def reload(self):
        self.stack.jobforged.send_signal(signal.SIGHUP)

    def restart(self):
        self.stack.jobforged.terminate()
        self.stack.hang_up()  # or it drains until nginx ends its connections by itself, after ten seconds
        assert self.stack.stop_jobforged() == 0
        self.stack.start_jobforged()

    def kill_master(self):
        workers = self.stack.workers()
        self.stack.jobforged.kill()
        self.stack.jobforged.wait()
        self.stack.hang_up()
        wait_for(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in workers), 40, "the end of the workers")
        self.stack.start_jobforged()

    def restart_nginx(self):
        self.stack.stop_nginx()
        self.stack.start_nginx()

    def kill_backend(self):
        """The server then ends all its connections and goes through recovery."""
        control = connect("postgres")
        cursor = control.cursor()
        cursor.execute("SELECT pid FROM pg_stat_activity WHERE datname = %s AND usename = 'jobforge_app'", (self.stack.name,))
        pids = [pid for pid, in cursor.fetchall()]
        control.close()
        if pids:
            os.kill(self.random.choice(pids), signal.SIGKILL)
            time.sleep(0.1)
            self.wait_for_database()

    def kill_database(self):
        """All of it, so that nothing is written any more: what was acknowledged must be on the disk."""
        control = connect("postgres")
        cursor = control.cursor()
        cursor.execute("SELECT setting FROM pg_settings WHERE name = 'cluster_name'")
        name, = cursor.fetchone()
        control.close()
        victims = [pid for pid, line in processes() if line.startswith(f"postgres: {name}") or f"cluster_name={name}" in line]
        for pid in victims:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        wait_for(lambda: not {pid for pid, _ in processes()}.intersection(victims), 20, "the end of the database")
        # Whoever has to may not have waited for the dead server yet, and it would count as one that runs.
        for path in (os.path.join(os.environ["JOBFORGE_TEST_PGDATA"], "postmaster.pid"),
                     os.path.join(parse_dsn(CLUSTER)["host"], ".s.PGSQL.5432.lock")):
            os.unlink(path)
        self.server = subprocess.Popen(self.postgres, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                       stderr=subprocess.DEVNULL, cwd="/", preexec_fn=die_with_parent)
        self.wait_for_database()

    def kill_pooler(self):
        self.stack.pooler.kill()
        time.sleep(self.random.uniform(0, 0.5))
        self.stack.pooler.start()

    def reconnect_pooler(self):
        self.stack.pooler.tell("RELOAD")
        self.stack.pooler.tell("RECONNECT")

    def wait_for_database(self):
        def up():
            try:
                connect("postgres").close()
                return True
            except psycopg2.OperationalError:
                return False
        wait_for(up, 60, "the database")

    # What is there afterwards

    def judge(self):
        self.stack.admin.close()  # the server may be another than before
        self.stack.admin = connect(self.stack.name)
        rows = self.stack.sql("SELECT company_name, user_id::text FROM public.applications")
        found = {}
        for name, user in rows:
            found.setdefault(name, []).append(user)
        owners = {prefix: user for user, prefixes in self.prefixes.items() for prefix in prefixes}
        acknowledged = [name for writer in self.writers for name in writer.acknowledged]
        unknown = [name for writer in self.writers for name in writer.unknown]
        wrong = [wrong for writer in self.writers for wrong in writer.wrong]
        figures = {
            "lost": sorted(name for name in acknowledged if name not in found),
            "doubled": sorted(name for name in found if len(found[name]) > 1),
            "never asked for": sorted(set(found) - set(acknowledged) - set(unknown)),
            "another's": sorted(name for name, users in found.items() if owners.get(name.split("-")[0]) != users[0]),
            "flags that disagree": self.stack.sql(FLAGS),
            "counts that disagree": self.counts(),
            "wrong answers": wrong,
        }
        answers = {}
        for writer in self.writers:
            for status, count in writer.answers.items():
                answers[status] = answers.get(status, 0) + count
        print(f"seed {self.seed}: {sum(answers.values())} requests by {len(self.writers)} writers of {USERS} users: "
              + ", ".join(f"{count} x {status}" for status, count in sorted(answers.items(), key=str)))
        print("faults: " + ", ".join(f"{count} x {name}" for name, count in sorted(self.faults.items())))
        print(f"acknowledged {len(acknowledged)}, of them there {sum(name in found for name in acknowledged)}; without an answer "
              f"{len(unknown)}, of them there {sum(name in found for name in unknown)}")
        print(", ".join(f"{what} {len(these)}" for what, these in figures.items()), flush=True)
        return {what: these[:5] for what, these in figures.items() if these}

    def counts(self):
        """Users whose usage is not what counting all again gives."""
        columns = "applications, documents, resumes, embeddings, bytes"
        before = self.stack.sql(f"SELECT user_id::text, {columns} FROM public.usage_tracking WHERE is_current ORDER BY 1")
        self.stack.sql("SELECT jobforge.usage_recount(id) FROM public.users")
        after = self.stack.sql(f"SELECT user_id::text, {columns} FROM public.usage_tracking WHERE is_current ORDER BY 1")
        return [pair for pair in zip(before, after) if pair[0] != pair[1]]


# Flags and status follow from the documents that are there.
FLAGS = """
SELECT a.company_name, a.status::text FROM public.applications a, LATERAL (
	SELECT coalesce(bool_or(d.document_type = 'research_report'), false) AS research,
		coalesce(bool_or(d.document_type = 'optimized_resume'), false) AS resume,
		coalesce(bool_or(d.document_type = 'cover_letter'), false) AS letter
	FROM public.documents d WHERE d.application_id = a.id) AS d
WHERE (a.research_completed, a.resume_optimized, a.cover_letter_generated) <> (d.research, d.resume, d.letter)
	OR a.status::text <> CASE WHEN d.letter THEN 'cover_letter_ready' WHEN d.resume THEN 'resume_ready'
		WHEN d.research THEN 'research_complete' ELSE 'draft' END
"""


def processes():
    """(pid, command line) of all that run."""
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                with open(f"/proc/{entry}/cmdline") as file:
                    line = file.read().replace("\0", " ").strip()
            except OSError:
                continue
            if line:
                yield int(entry), line


def campaign(seconds, writers, seed=None, postgres=None, plain=True):
    """Runs one; returns what must not be, by its name, which is nothing."""
    with Stack(plain=plain, api_workers=4, auth_workers=1, log_level="warning", **SHIPPED) as stack:
        stack.allow_errors("")
        return Campaign(stack, writers, seconds, secrets.randbelow(10**6) if seed is None else seed, postgres).run()


def main():
    parser = argparse.ArgumentParser(prog="./dev fault", description="Writes while what serves is killed, and looks whether "
                                     "anything that was acknowledged is lost.")
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--writers", type=int, default=32)
    parser.add_argument("--seed", type=int, help="of the moments and kinds of faults; printed by each run")
    options = parser.parse_args()
    assert CLUSTER, "./dev fault starts this"
    wrong = campaign(options.seconds, options.writers, options.seed,
                     shlex.split(os.environ.get("JOBFORGE_TEST_POSTGRES", "")) or None)
    for what, these in wrong.items():
        print(f"{what}: {these}", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
