"""
What an operator does with jobforgectl, over real databases and real dumps: doctor, backup, verify-backup, restore, maintain,
status, monitor, bench-db. And what must hold when each of them fails: a sentence, and nothing changed.
"""

import json
import os
import pty
import re
import resource
import secrets
import select
import shutil
import signal
import subprocess
import threading
import time

import psycopg2
import psycopg2.errors
import pytest

from stack import (BUILD, CLUSTER, POOLED, SOURCE, child_environment, connect, conninfo, drop_database, migrations_checksum,
                   parse_dsn, wait_for)

PROGRAM = os.path.join(BUILD, "jobforgectl")
MIGRATIONS = os.path.join(SOURCE, "sql", "migrations")
PG_BIN = os.environ.get("JOBFORGE_TEST_PG_BIN", "")
VERSION = max(int(name[:4]) for name in os.listdir(MIGRATIONS))
NAME = re.compile(r"jobforge-\d{8}T\d{6}Z")
DIRECTORY = ("--directory", MIGRATIONS)


class Operator:
    """jobforgectl over the stack's configuration, with a directory of backups of its own."""

    def __init__(self, stack, backups):
        self.stack = stack
        self.backups = backups
        self.settings = {"admin_database": conninfo(stack.name), "backup_directory": str(backups), "pg_bin": PG_BIN,
                         "backup_database": conninfo(stack.name, "jobforge_backup"), "certificate": stack.path("tls.crt")}

    def command(self, *words, **settings):
        flags = [f"--{key.replace('_', '-')}={value}" for key, value in {**self.settings, **settings}.items()]
        return [PROGRAM, "--config", self.stack.path("jobforged.conf"), *words, *flags]

    def run(self, *words, options=None, input="", **settings):
        return subprocess.run(self.command(*words, **settings), env=child_environment(), text=True, capture_output=True,
                              timeout=120, input=input, **(options or {}))

    def succeed(self, *words, **settings):
        done = self.run(*words, **settings)
        assert done.returncode == 0, done
        return done.stdout

    def json(self, *words, **settings):
        return json.loads(self.succeed(*words, "--json", **settings))

    def fail(self, *words, options=None, **settings):
        """Fails with nothing on standard output and one sentence, which is returned."""
        done = self.run(*words, options=options, **settings)
        assert done.returncode == 1 and done.stdout == "", done
        assert re.fullmatch(r"jobforgectl: [^\n]*\.\n", done.stderr), done
        return done.stderr

    def files(self):
        return sorted(os.listdir(self.backups))

    def backup(self, *words):
        return self.json("backup", *words)["file"]

    def findings(self, *words, status=0, **settings):
        """What doctor finds, by its checks: {check: [(level, finding, advice)]}."""
        done = self.run("doctor", "--json", *DIRECTORY, *words, **settings)
        assert done.returncode == status and done.stderr == "", done
        found = {}
        for row in json.loads(done.stdout)["findings"]:
            found.setdefault(row["check"], []).append((row["level"], row["finding"], row["advice"]))
        return found

    def fault(self, check, *words, **settings):
        """The one fault that doctor finds: a sentence. Nothing else may be wrong."""
        found = self.findings(*words, status=1, **settings)
        faults = {name: rows for name, rows in found.items() if any(row[0] == "fault" for row in rows)}
        assert set(faults) == {check}, faults
        assert all(row[2] for row in faults[check]), "a fault without advice"
        return "\n".join(f"{row[1]}; {row[2]}" for row in faults[check])


@pytest.fixture
def operator(stack, tmp_path):
    return Operator(stack, tmp_path)


@pytest.fixture(scope="module")
def filled(stack):
    """Rows of all kinds, with what a dump could spoil."""
    user = stack.user(full_name="Zoë \\ 'Quote' \"Double\" \U0001f600")
    for number in range(3):
        made = user.create(company=f"Firma {number} \t ;--", location="\\N\\.\n")
        user.put(f"/applications/{made['id']}/documents/research_report", {"content": "# Häuser\n\\.\n" * 50}).ok(201)
    user.put(f"/applications/{made['id']}/documents/research_report/embedding",
             {"embedding": [0.001 * n for n in range(1536)]}).ok(201)
    user.post("/resumes", {"name": "One", "content": "A resume. " * 30}).ok(201)
    log_entry(stack.sql, user.id, "1999-05-05 12:00+00")  # of a month without a partition
    return user


def log_entry(run, user, at):
    run(f"INSERT INTO public.audit_log (user_id, created_at, actor, action, table_name, row_id, changes)"
        f" VALUES ('{user}', '{at}', 'user', 'update', 'users', '{user}', '{{}}')")


@pytest.fixture
def empty():
    """Makes databases that are gone after the test."""
    names = []

    def make(options="TEMPLATE template0 ENCODING 'UTF8'"):
        names.append("jobforge_operate_" + secrets.token_hex(6))
        cluster_run(f'CREATE DATABASE "{names[-1]}" {options}')
        return names[-1]

    yield make
    for name in names:
        drop_database(name)


def cluster_run(*statements):
    connection = connect(parse_dsn(CLUSTER).get("dbname", "postgres"))
    with connection.cursor() as sql:
        for statement in statements:
            sql.execute(statement)
        rows = sql.fetchall() if sql.description else None
    connection.close()
    return rows


def query(database, statement):
    connection = connect(database)
    try:
        with connection.cursor() as sql:
            sql.execute(statement)
            return sql.fetchall() if sql.description else None
    finally:
        connection.close()


def contents(database):
    """Every table of a database, as Stack.snapshot() has it, but the figures that are written each minute."""
    tables = query(database, "SELECT format('%I.%I', schemaname, tablename) FROM pg_tables"
                             " WHERE schemaname IN ('public', 'jobforge') AND tablename <> 'performance_metrics'")
    return sorted(query(database, " UNION ALL ".join(
        f"SELECT '{table}', count(*), md5(string_agg(t::text, ',' ORDER BY t::text)) FROM {table} t" for table, in tables)))


def row_counts(stack):
    """Of each table, but those that only stand for their partitions."""
    parents = {table for table, in stack.sql("SELECT format('%I.%I', n.nspname, c.relname) FROM pg_class AS c"
                                             " JOIN pg_namespace AS n ON n.oid = c.relnamespace WHERE c.relkind = 'p'")}
    return {table: count for table, count, _ in stack.snapshot() if table not in parents}


def objects(database):
    """How many objects an empty database has grown."""
    return query(database, "SELECT count(*) FROM pg_class WHERE relnamespace NOT IN (11, 99)"
                           " AND relnamespace::regnamespace::text NOT LIKE 'pg_%'"
                           " AND relnamespace::regnamespace::text <> 'information_schema'")[0][0]


def scratch_databases():
    return cluster_run("SELECT datname FROM pg_database WHERE datname LIKE 'jobforge\\_verify\\_%'")


# --- backup ----------------------------------------------------------------------------------------------------------

def test_backup(operator, filled):
    said = operator.json("backup")
    dump = said["file"]
    assert NAME.fullmatch(os.path.basename(dump)[:-5]) and os.path.getsize(dump) == said["bytes"] > 0
    assert [name.split("Z")[1] for name in operator.files()] == [".dump", ".manifest.json", ".sha256"]
    for name in operator.files():
        assert os.stat(operator.backups / name).st_mode & 0o777 == 0o600
    subprocess.run(["sha256sum", "--check", "--strict", "--quiet", os.path.basename(dump)[:-5] + ".sha256"],
                   cwd=operator.backups, check=True, timeout=30)
    manifest = json.loads((operator.backups / operator.files()[1]).read_text())
    assert (manifest["schema"], manifest["sha256"], manifest["bytes"]) == (VERSION, said["sha256"], said["bytes"])
    held = {table: int(text.split()[0]) for table, text in manifest["tables"].items()}
    assert {table: held[table] for table in row_counts(operator.stack)} == row_counts(operator.stack)


def test_backup_says_so(operator, filled):
    said = operator.succeed("backup")
    assert re.fullmatch(rf"{operator.backups}/jobforge-\d+T\d+Z\.dump: [\d.]+ [kM]?B?(ytes)?, \d+ tables of schema version"
                        rf" {VERSION}\.\n", said), said


@pytest.mark.skipif(POOLED, reason="a pooler knows the workers' role alone")
def test_default_is_the_backup_role(operator, filled):
    """Without backup_database it is the workers' connection with the other role."""
    del operator.settings["backup_database"]
    operator.backup()


def test_workers_role_cannot_back_up(operator, filled):
    said = operator.fail("backup", backup_database=conninfo(operator.stack.name, "jobforge_app"))
    assert "pg_dump failed: " in said and said.endswith("no backup has been made, and those before are as they were.\n")
    assert operator.files() == []


def test_the_manifest_is_of_the_dumps_moment(operator, filled):
    """Writes between the dump and the counting do not disturb: both see one snapshot."""
    done = []

    def write():
        while not done:
            filled.create(company="Meanwhile")

    thread = threading.Thread(target=write)
    thread.start()
    try:
        dump = operator.backup()
    finally:
        done.append(True)
        thread.join()
    operator.succeed("verify-backup", dump, *DIRECTORY)


def test_retention_by_count(operator, filled):
    dumps = [operator.backup("--keep-all") for _ in range(3)]
    said = operator.json("backup", backup_keep=2)
    assert said["removed"] == 2
    left = [name for name in operator.files() if name.endswith(".dump")]
    assert left == [os.path.basename(dumps[2]), os.path.basename(said["file"])]
    assert len(operator.files()) == 6


def test_retention_by_age(operator, filled):
    dump = operator.backup()
    for suffix in (".dump", ".manifest.json", ".sha256"):
        shutil.copy(dump[:-5] + suffix, operator.backups / ("jobforge-20200101T000000Z" + suffix))
        (operator.backups / ("mine" + suffix)).write_text("not of jobforgectl")
    said = operator.json("backup", backup_keep_days=30)
    assert said["removed"] == 1
    assert not [name for name in operator.files() if "2020" in name]
    assert len(operator.files()) == 9, "others' files stay"


def test_a_failure_removes_nothing(operator, filled):
    """The last good one stays, and so do older ones that a success would have removed."""
    dumps = [operator.backup("--keep-all") for _ in range(2)]
    before = operator.files()
    operator.fail("backup", backup_keep=1, backup_database=conninfo(operator.stack.name, "jobforge_app"))
    assert operator.files() == before
    operator.succeed("verify-backup", dumps[0], *DIRECTORY)


@pytest.mark.parametrize("limit", [0, 4096, 20000])
def test_no_room(operator, filled, limit):
    """A file system that takes no more bytes, by way of a limit."""
    good = operator.backup()
    before = operator.files()
    said = operator.fail("backup", options={"restore_signals": False,
                                            "preexec_fn": lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))})
    assert "cannot be written: File too large; make room, or set backup_directory to another; no backup has been made" in said
    assert operator.files() == before
    operator.succeed("verify-backup", good, *DIRECTORY)


def has_user_namespaces():
    return subprocess.run(["unshare", "-rm", "true"], capture_output=True, check=False).returncode == 0


@pytest.mark.skipif(not has_user_namespaces(), reason="there are no user namespaces")
def test_full_disk(operator, filled):
    """A file system of 32 KiB: what was there stays."""
    script = 'mount -t tmpfs -o size=32k none "$1" && echo good > "$1/good" && shift && "$@"; s=$?; ls -A "$0"; exit $s'
    command = operator.command("backup")
    done = subprocess.run(["unshare", "-rm", "sh", "-c", script, str(operator.backups), str(operator.backups), *command],
                          env=child_environment(), text=True, capture_output=True, timeout=60)
    assert done.returncode == 1 and done.stdout == "good\n", done
    assert "No space left on device; make room" in done.stderr


@pytest.fixture
def slow_dump(tmp_path_factory):
    """A directory of programs in which pg_dump writes a part and then waits."""
    directory = tmp_path_factory.mktemp("bin")
    real = PG_BIN or os.path.dirname(shutil.which("pg_dump"))
    for name in ("pg_restore", "psql"):
        os.symlink(os.path.join(real, name), directory / name)
    (directory / "pg_dump").write_text(f'#!/bin/sh\n[ "$1" = --version ] && exec {real}/pg_dump --version\n'
                                       f'echo $$ > {directory}/pid\nhead -c 100000 /dev/zero\nexec sleep 60\n')
    (directory / "pg_dump").chmod(0o755)
    return directory


def pid_of_dump(directory):
    try:
        return int((directory / "pid").read_text() or 0)
    except FileNotFoundError:
        return 0


def test_killed_dump(operator, filled, slow_dump):
    good = operator.backup()
    before = operator.files()
    run = subprocess.Popen(operator.command("backup", pg_bin=slow_dump), env=child_environment(), text=True,
                           stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    wait_for(lambda: pid_of_dump(slow_dump), what="pg_dump")
    os.kill(pid_of_dump(slow_dump), signal.SIGKILL)
    out, err = run.communicate(timeout=20)
    assert run.returncode == 1 and out == ""
    assert "pg_dump was ended by signal 9 (Killed); no backup has been made" in err
    assert operator.files() == before
    operator.succeed("verify-backup", good, *DIRECTORY)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_killed_backup(operator, filled, slow_dump, number):
    """What it leaves is no backup, and the next one clears it away."""
    operator.backup()
    before = operator.files()
    run = subprocess.Popen(operator.command("backup", pg_bin=slow_dump), env=child_environment(),
                           stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                           preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))
    wait_for(lambda: pid_of_dump(slow_dump), what="pg_dump")
    run.send_signal(number)
    assert run.wait(20) == -number
    os.kill(pid_of_dump(slow_dump), signal.SIGKILL)
    assert [name for name in operator.files() if not name.startswith(".")] == before
    assert operator.json("verify-backup", *DIRECTORY)["file"].endswith(before[0])
    operator.backup()
    assert len(operator.files()) == 6 and not [name for name in operator.files() if name.startswith(".")]


def test_one_at_a_time(operator, filled, slow_dump):
    run = subprocess.Popen(operator.command("backup", pg_bin=slow_dump), env=child_environment(),
                           stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_for(lambda: pid_of_dump(slow_dump), what="pg_dump")
        assert f"another backup into {operator.backups} is running" in operator.fail("backup")
    finally:
        os.kill(pid_of_dump(slow_dump), signal.SIGKILL)
        run.wait(20)


def test_old_pg_dump(operator, filled, tmp_path_factory):
    directory = tmp_path_factory.mktemp("bin")
    (directory / "pg_dump").write_text("#!/bin/sh\necho 'pg_dump (PostgreSQL) 15.4'\n")
    (directory / "pg_dump").chmod(0o755)
    said = operator.fail("backup", pg_bin=directory)
    assert f"{directory}/pg_dump is of PostgreSQL 15, and the server is 1" in said
    assert "install postgresql-client-1" in said and "or set pg_bin to the directory of its programs" in said


def test_no_pg_dump(operator, filled):
    said = operator.fail("backup", pg_bin="/nonexistent")
    assert "/nonexistent/pg_dump cannot be run: No such file or directory; install PostgreSQL's client programs" in said


def test_no_directory(operator, filled):
    said = operator.fail("backup", backup_directory="/nonexistent/backups")
    assert "make the directory, or set backup_directory to another" in said


def test_backup_of_another_database(operator, empty):
    assert "this is not the database of a JobForge" in operator.fail("backup", backup_database=conninfo(empty()))


def test_password_is_on_no_command_line(operator, filled, slow_dump):
    secret = "geheim" + secrets.token_hex(8)
    del operator.settings["backup_database"]
    run = subprocess.Popen(operator.command("backup", pg_bin=slow_dump), env={
        **child_environment(), "JOBFORGE_BACKUP_DATABASE": conninfo(operator.stack.name, "jobforge_backup") +
        f" password={secret}"}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        pid = wait_for(lambda: pid_of_dump(slow_dump), what="pg_dump")
        for process in (run.pid, pid):
            with open(f"/proc/{process}/cmdline", encoding="utf-8") as file:
                assert secret not in file.read()
        with open(f"/proc/{pid}/environ", encoding="utf-8") as file:
            assert f"PGPASSWORD={secret}" in file.read()
    finally:
        os.kill(pid_of_dump(slow_dump), signal.SIGKILL)
        run.wait(20)


# --- verify-backup ---------------------------------------------------------------------------------------------------

def test_verify(operator, filled):
    operator.backup("--keep-all")
    dump = operator.backup()
    said = operator.json("verify-backup", *DIRECTORY)
    assert said["file"] == dump, "the newest"
    held = {row["name"]: row["rows"] for row in said["tables"]}
    assert {table: held[table] for table in row_counts(operator.stack)} == row_counts(operator.stack)
    assert f"{dump}: restored and compared" in operator.succeed("verify-backup", dump, *DIRECTORY)


def test_verify_leaves_nothing(operator, filled):
    operator.backup()
    before = operator.stack.snapshot()
    number = query(operator.stack.name, "SELECT oid FROM pg_database WHERE datname = current_database()")[0][0]
    remnant = f"jobforge_verify_{number}_killed"
    cluster_run(f'CREATE DATABASE "{remnant}"')
    operator.succeed("verify-backup", *DIRECTORY)
    assert not [name for name, in scratch_databases() if name.startswith(f"jobforge_verify_{number}_")]
    assert operator.stack.snapshot() == before


def spoil(path, at, byte=b"\xff"):
    with open(path, "r+b") as file:
        file.seek(at, os.SEEK_SET if at >= 0 else os.SEEK_END)
        file.write(byte)


def seal(dump):
    """Writes the checksums anew, as somebody would who wants a changed backup taken."""
    base = dump[:-5]
    names = [os.path.basename(base) + suffix for suffix in (".dump", ".manifest.json")]
    with open(base + ".sha256", "wb") as file:
        subprocess.run(["sha256sum", *names], cwd=os.path.dirname(dump), stdout=file, check=True)


def change_manifest(dump, **changes):
    path = dump[:-5] + ".manifest.json"
    with open(path, encoding="utf-8") as file:
        manifest = json.load(file)
    manifest.update(changes)
    with open(path, "w", encoding="utf-8") as file:
        json.dump(manifest, file)
    seal(dump)


DAMAGE = {
    "a byte": (lambda dump: spoil(dump, 5000), "is damaged: its SHA-256 is not the one in"),
    "the end": (lambda dump: os.truncate(dump, os.path.getsize(dump) - 1), "is damaged: its SHA-256 is not the one in"),
    "nothing left": (lambda dump: os.truncate(dump, 0), "is damaged: its SHA-256 is not the one in"),
    "the manifest": (lambda dump: spoil(dump[:-5] + ".manifest.json", 30), ".manifest.json is damaged: its SHA-256"),
    "no manifest": (lambda dump: os.unlink(dump[:-5] + ".manifest.json"), "No such file or directory"),
    "no checksums": (lambda dump: os.unlink(dump[:-5] + ".sha256"), ".sha256 is missing: a backup is whole with its .dump"),
    "other checksums": (lambda dump: open(dump[:-5] + ".sha256", "w").write("0" * 64 + "  x.dump\n"),
                        "does not name the files beside it"),
    "newer schema": (lambda dump: change_manifest(dump, schema=VERSION + 1),
                     f"is of schema version {VERSION + 1}, and this JobForge knows {VERSION}: install the newer JobForge"),
    "newer form": (lambda dump: change_manifest(dump, format=2), "of a form that this JobForge does not know"),
    "newer server": (lambda dump: change_manifest(dump, server=99), "was made of PostgreSQL 99, and this server is 1"),
    "no JSON": (lambda dump: (open(dump[:-5] + ".manifest.json", "w").write("nonsense"), seal(dump)),
                "is no manifest of a backup"),
}
# The checksums fit, and only what is restored tells.
FORGED = {
    "truncated and sealed": (lambda dump: (os.truncate(dump, os.path.getsize(dump) // 2), seal(dump)), "pg_restore failed: "),
    "no dump at all": (lambda dump: (open(dump, "w").write("nonsense"), seal(dump)), "pg_restore failed: "),
    "other rows": (lambda dump: change_manifest(dump, tables={**json.load(open(dump[:-5] + ".manifest.json"))["tables"],
                                                              "public.users": "7 x"}),
                   "table public.users is not what it was when it was backed up"),
    "another table": (lambda dump: change_manifest(dump, tables={**json.load(open(dump[:-5] + ".manifest.json"))["tables"],
                                                                 "public.more": "1 x"}), "tables of the"),
}


@pytest.mark.parametrize("kind", [*DAMAGE, *FORGED])
def test_damaged_backup(operator, filled, empty, kind):
    """Neither verified nor restored; the target stays empty."""
    dump = operator.backup()
    damage, sentence = {**DAMAGE, **FORGED}[kind]
    damage(dump)
    target = empty()
    said = operator.fail("restore", dump, "--yes", *DIRECTORY, admin_database=conninfo(target))
    assert sentence in said, said
    assert objects(target) == 0
    assert sentence in operator.fail("verify-backup", dump, *DIRECTORY)
    number = query(operator.stack.name, "SELECT oid FROM pg_database WHERE datname = current_database()")[0][0]
    assert not [name for name, in scratch_databases() if name.startswith(f"jobforge_verify_{number}_")]


def test_no_backup_to_verify(operator):
    assert f"there is no backup in {operator.backups}: make one by jobforgectl backup" in \
        operator.fail("verify-backup", *DIRECTORY)


# --- restore ---------------------------------------------------------------------------------------------------------

def test_restore(operator, filled, empty):
    """The restored database holds the same, passes doctor, and serves."""
    dump = operator.backup()
    target = empty()
    said = operator.json("restore", dump, "--yes", *DIRECTORY, admin_database=conninfo(target))
    assert said["database"] == target and said["schema"] == VERSION
    assert contents(target) == contents(operator.stack.name)
    found = operator.findings(database=conninfo(target, "jobforge_app"), admin_database=conninfo(target),
                              backup_database=conninfo(target, "jobforge_backup"))
    assert found["schema"][0][0] == found["role"][0][0] == found["row level security"][0][0] == "ok", found
    code, log = operator.stack.check("--database=" + conninfo(target, "jobforge_app"))
    assert code == 0, log
    # What a dump does not hold: rights to the database itself.
    rights = query(target, "SELECT datacl::text FROM pg_database WHERE datname = current_database()")[0][0]
    assert "jobforge_app=c/" in rights and "jobforge_backup=c/" in rights and "=Tc/" not in rights


def test_restore_refuses_what_is_not_empty(operator, filled, empty):
    dump = operator.backup()
    before = operator.stack.snapshot()
    said = operator.fail("restore", dump, "--yes", *DIRECTORY)
    assert f"database {operator.stack.name} is not empty (" in said and "create one for the backup" in said
    assert operator.stack.snapshot() == before
    for statement in ("CREATE TABLE public.mine (id int)", "CREATE SCHEMA mine", "CREATE VIEW public.mine AS SELECT 1 AS one",
                      "CREATE FUNCTION public.mine() RETURNS int LANGUAGE sql RETURN 1"):
        target = empty()
        query(target, statement)
        assert "is not empty" in operator.fail("restore", dump, "--yes", *DIRECTORY, admin_database=conninfo(target)), statement


def test_extension_alone_is_empty(operator, filled, empty):
    dump = operator.backup()
    target = empty()
    query(target, "CREATE EXTENSION vector SCHEMA public")
    operator.succeed("restore", dump, "--yes", *DIRECTORY, admin_database=conninfo(target))
    assert contents(target) == contents(operator.stack.name)


def test_restore_needs_rights(operator, filled, empty):
    """Half-way failures: an administrator who may do less than all."""
    dump = operator.backup()
    target = empty()
    role = "jobforge_operate_" + secrets.token_hex(4)
    cluster_run(f'CREATE ROLE "{role}" LOGIN', f'ALTER DATABASE "{target}" OWNER TO "{role}"')
    try:
        said = operator.fail("restore", dump, "--yes", *DIRECTORY, admin_database=conninfo(target, role))
        assert "psql failed: " in said and said.endswith(f"database {target} is as empty as it was.\n")
        assert objects(target) == 0
    finally:
        cluster_run(f'ALTER DATABASE "{target}" OWNER TO CURRENT_USER', f'DROP ROLE "{role}"')


def test_restore_asks(operator, filled, empty):
    """Without --yes: on no terminal it refuses, on a terminal `yes` goes on and anything else does not."""
    dump = operator.backup()
    target = empty()
    said = operator.fail("restore", dump, *DIRECTORY, admin_database=conninfo(target))
    assert "There is no terminal to ask on: give --yes to go on" in said
    command = operator.command("restore", dump, *DIRECTORY, admin_database=conninfo(target))
    assert on_terminal(command, ("Type yes to go on: ", "no\n"))[0] == 1
    assert objects(target) == 0
    assert on_terminal(command, ("Type yes to go on: ", "yes\n"))[0] == 0
    assert contents(target) == contents(operator.stack.name)


# What a server lacks, in one of its databases: the views and triggers that say so there.
WITHOUT_PGVECTOR = """SET allow_system_table_mods = on;
    CREATE OR REPLACE VIEW pg_catalog.pg_available_extensions AS
    SELECT name, default_version, NULL::text COLLATE "C" AS installed_version, comment
    FROM pg_available_extensions() AS e (name, default_version, comment) WHERE name <> 'vector'"""
FULL_DISK = """CREATE FUNCTION pg_catalog.jobforge_test_full() RETURNS event_trigger LANGUAGE plpgsql AS $$
    BEGIN RAISE 'could not extend file "base/1/2": No space left on device' USING ERRCODE = '53100'; END $$;
    CREATE EVENT TRIGGER full_disk ON ddl_command_end WHEN TAG IN ('CREATE INDEX', 'ALTER TABLE')
    EXECUTE FUNCTION pg_catalog.jobforge_test_full()"""


@pytest.mark.parametrize("options, lack, sentence", [
    ("TEMPLATE template0 ENCODING 'UTF8'", WITHOUT_PGVECTOR, "the server has no pgvector"),
    ("TEMPLATE template0 ENCODING 'UTF8'", FULL_DISK, "No space left on device"),
    ("TEMPLATE template0 ENCODING 'LATIN1' LOCALE_PROVIDER libc LOCALE 'C'", "SELECT", "UTF8"),
], ids=["pgvector", "room", "encoding"])
def test_a_server_that_lacks_something(operator, filled, empty, options, lack, sentence):
    """Neither a restore nor the migrations leave anything there."""
    dump = operator.backup()
    target = empty(options)
    query(target, lack)
    assert sentence in operator.fail("restore", dump, "--yes", *DIRECTORY, admin_database=conninfo(target))
    assert objects(target) == 0
    done = operator.run("migrate", *DIRECTORY, admin_database=conninfo(target))
    assert done.returncode == 1 and re.fullmatch(r"jobforgectl: [^\n]*\.", done.stderr.splitlines()[-1]), done
    assert sentence in done.stderr.splitlines()[-1]
    ledger = query(target, "SELECT to_regclass('jobforge.schema_migrations') IS NOT NULL")[0][0]
    applied = query(target, "SELECT count(*) FROM jobforge.schema_migrations")[0][0] if ledger else 0
    assert applied <= 1 and query(target, "SELECT to_regclass('public.users')") == [(None,)]


def test_restore_of_an_older_schema(operator, filled, empty, tmp_path_factory):
    """A dump of the schema before, then migrate: the newest schema, with the rows."""
    older = tmp_path_factory.mktemp("older")
    for name in sorted(os.listdir(MIGRATIONS))[:-1]:
        shutil.copy(os.path.join(MIGRATIONS, name), older)
    source, target = empty(), empty()
    operator.run("migrate", "--directory", str(older), admin_database=conninfo(source))
    query(source, "INSERT INTO public.users (email, password_hash, full_name) VALUES ('a@example.com', 'x', 'A')")
    dump = operator.json("backup", backup_database=conninfo(source, "jobforge_backup"))["file"]
    done = operator.run("restore", dump, "--yes", *DIRECTORY, admin_database=conninfo(target))
    assert done.returncode == 0 and f"this JobForge needs {VERSION}: run jobforgectl migrate" in done.stderr, done
    operator.succeed("migrate", *DIRECTORY, admin_database=conninfo(target))
    assert query(target, "SELECT email FROM public.users") == [("a@example.com",)]
    assert query(target, "SELECT max(version) FROM jobforge.schema_migrations") == [(VERSION,)]


def on_terminal(command, *dialogue):
    """Runs it on a terminal of its own, answers each question in turn; its exit status and what it showed."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.execve(command[0], command, child_environment())
    shown, seen, questions, end = b"", 0, list(dialogue), time.monotonic() + 60
    try:
        while select.select([terminal], [], [], max(0, end - time.monotonic()))[0]:
            chunk = os.read(terminal, 4096)
            if not chunk:
                break
            shown += chunk
            if questions and questions[0][0].encode() in shown[seen:]:
                seen = len(shown)
                os.write(terminal, questions.pop(0)[1].encode())
        else:
            os.kill(pid, signal.SIGKILL)
    except OSError:  # it has closed its side
        pass
    os.close(terminal)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), shown.decode(errors="replace")


# --- doctor ----------------------------------------------------------------------------------------------------------

def test_doctor_finds_nothing(operator, filled):
    operator.backup()
    found = operator.findings()
    assert {row[0] for rows in found.values() for row in rows} <= {"ok", "warning"}
    assert {check for check, rows in found.items() if rows[0][0] == "warning"} <= {"server", "certificate"}, found
    said = operator.succeed("doctor", *DIRECTORY)
    assert re.search(r"\n0 faults, [12] warnings, \d+ checks passed\.\n$", said), said


def test_doctor_without_a_configuration(operator):
    found = operator.findings(status=1, api_workers=0)
    assert list(found) == ["configuration"] and "api_workers must be a whole number" in found["configuration"][0][1]


def test_doctor_sees_a_readable_password(operator, stack):
    path = operator.backups / "conf"
    path.write_text(f"database = {conninfo(stack.name, 'jobforge_app')} password=geheim\ntoken_keys = {stack.path('keys')}\n")
    path.chmod(0o644)
    done = subprocess.run([PROGRAM, "doctor", "--config", str(path), *DIRECTORY], env=child_environment(), text=True,
                          capture_output=True, timeout=60)
    assert done.returncode == 1 and f"{path} holds a password and can be read by anybody" in done.stdout, done
    assert "geheim" not in done.stdout


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o666])
def test_doctor_sees_open_keys(operator, tmp_path_factory, mode):
    keys = tmp_path_factory.mktemp("keys") / "keys"
    shutil.copy(operator.stack.path("keys"), keys)
    keys.chmod(mode)
    said = operator.fault("key file", token_keys=keys)
    assert "can be used by others than its owner" in said and "chmod 600 it" in said


def test_doctor_sees_keys(operator, tmp_path_factory):
    keys = tmp_path_factory.mktemp("keys") / "keys"
    assert "No such file or directory; make it by jobforgectl key rotate" in operator.fault("key file", token_keys=keys)
    keys.write_text("nonsense\n")
    keys.chmod(0o600)
    operator.fault("key file", token_keys=keys)
    shutil.copy(operator.stack.path("keys"), keys)
    keys.chmod(0o600)
    os.utime(keys, (time.time() - 200 * 86400,) * 2)
    assert operator.findings(token_keys=keys)["key file"] == \
        [("warning", "the last rotation was 200 days ago", "run jobforgectl key rotate")]
    assert "does not belong to nobody" in operator.fault("key file", token_keys=keys, user="nobody")


def make_certificate(path, days):
    """One that is to end in so many days; -1 is the oldest that OpenSSL 3.0 makes."""
    request = str(path) + ".csr"
    subprocess.run(["openssl", "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj",
                    "/CN=localhost", "-keyout", str(path) + ".key", "-out", request], check=True, stderr=subprocess.DEVNULL)
    life = ["-days", str(days)]
    options = subprocess.run(["openssl", "x509", "-help"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=True).stdout
    if days < 0 and b"-not_after" in options:
        # Since 3.4; 3.5 takes no negative number.
        past = time.strftime("%Y%m%d%H%M%SZ", time.gmtime(time.time() + days * 86400))
        life = ["-not_before", "20200101000000Z", "-not_after", past]
    subprocess.run(["openssl", "x509", "-req", "-in", request, "-signkey", str(path) + ".key", *life, "-out", str(path)],
                   check=True, stderr=subprocess.DEVNULL)
    return path


def test_doctor_reads_certificates(operator, tmp_path_factory):
    path = tmp_path_factory.mktemp("tls") / "cert"
    good = make_certificate(path, 90)
    [(level, finding, advice)] = operator.findings(certificate=good)["certificate"]
    assert (level, advice) == ("ok", None) and re.search(r"expires in (89|90) days$", finding)
    soon = make_certificate(path, 5)
    assert operator.findings("--certificate", str(soon))["certificate"][0][0] == "warning"
    path.write_text("nonsense")
    assert "holds no certificate in PEM form" in operator.fault("certificate", certificate=path)
    path.unlink()
    assert "No such file or directory" in operator.fault("certificate", certificate=path)


def test_doctor_sees_an_expired_certificate(operator, tmp_path_factory):
    path = make_certificate(tmp_path_factory.mktemp("tls") / "cert", -1)
    said = operator.fault("certificate", certificate=path)
    assert re.search(r"/cert expired \d days ago \(/CN=localhost\); renew it, and reload nginx", said)


def test_doctor_looks_for_backups(operator, filled, tmp_path_factory):
    nowhere = operator.findings(backup_directory="/nonexistent")["backup"][0]
    assert nowhere[0] == "warning" and "make the directory" in nowhere[1]
    assert operator.findings()["backup"][0][1] == f"there is none in {operator.backups}"
    dump = operator.backup()
    for suffix in (".dump", ".manifest.json", ".sha256"):
        os.rename(dump[:-5] + suffix, operator.backups / ("jobforge-20200101T000000Z" + suffix))
    old = operator.findings()["backup"][0]
    assert old[0] == "warning" and "hours old" in old[1]


def test_doctor_sees_an_old_pg_dump(operator, tmp_path):
    assert operator.findings()["pg_dump"][0][0] == "ok"
    program = tmp_path / "pg_dump"
    program.write_text("#!/bin/sh\necho 'pg_dump (PostgreSQL) 15.9'\n")
    program.chmod(0o755)
    (level, finding, advice), = operator.findings(pg_bin=str(tmp_path))["pg_dump"]
    assert level == "warning" and "is of PostgreSQL 15" in finding and "install postgresql-client-" in finding and advice


def test_doctor_sees_another_database(operator, empty):
    said = operator.fault("database", database="host=/nonexistent user=jobforge_app password=geheim")
    assert "no connection: " in said and "geheim" not in said
    target = empty()
    found = operator.findings(status=1, database=conninfo(target))
    assert "the workers connect as" in found["role"][0][1]
    assert "run jobforgectl migrate" in found["schema version"][0][2]
    assert found["pgvector"][0][1] == "the database has no pgvector"


BROKEN = {
    "row level security": (["ALTER TABLE public.documents NO FORCE ROW LEVEL SECURITY"],
                           ["public.documents is not under forced row level security"]),
    "row level security off": (["ALTER TABLE jobforge.refresh_tokens DISABLE ROW LEVEL SECURITY"],
                               ["jobforge.refresh_tokens is not under forced row level security"]),
    "right too many": (["GRANT INSERT ON public.users TO jobforge_app"],
                       ["not expected: right jobforge_app table public.users: DELETE INSERT SELECT"]),
    "right of a column": (["GRANT UPDATE (status) ON public.applications TO jobforge_app"],
                          ["not expected: right jobforge_app column public.applications.status: UPDATE"]),
    "right of everybody": (["GRANT SELECT ON public.users TO PUBLIC"], ["not expected: right PUBLIC table public.users: SELECT"]),
    "right missing": (["REVOKE DELETE ON public.users FROM jobforge_app"],
                      ["missing: right jobforge_app table public.users: DELETE SELECT"]),
    "index missing": (["DROP INDEX public.idx_applications_created_at"],
                      ["missing: index CREATE INDEX idx_applications_created_at"]),
    "index not valid": (["UPDATE pg_index SET indisvalid = false"
                         " WHERE indexrelid = 'public.idx_applications_created_at'::regclass"],
                        ["index public.idx_applications_created_at is not valid",
                         "REINDEX INDEX CONCURRENTLY public.idx_applications_created_at"]),
    "policy missing": (["DROP POLICY users_own_data ON public.users"], ["missing: policy users_own_data on public.users"]),
    "policy changed": (["ALTER POLICY documents_user_access ON public.documents USING (true)"],
                       ["not expected: policy documents_user_access on public.documents * using true"]),
    "trigger off": (["ALTER TABLE public.documents DISABLE TRIGGER documents_update_phases"],
                    ["not expected: trigger disabled CREATE TRIGGER documents_update_phases"]),
    "constraint missing": (["ALTER TABLE public.applications DROP CONSTRAINT valid_job_url"],
                           ["missing: constraint valid_job_url on public.applications"]),
    "function changed": (["CREATE OR REPLACE FUNCTION jobforge.normalise_email() RETURNS trigger LANGUAGE plpgsql"
                          " SET search_path = pg_catalog, pg_temp AS 'BEGIN RETURN NEW; END'"],
                         ["not expected: function jobforge.normalise_email()"]),
    "owner": (["ALTER TABLE public.user_resumes OWNER TO CURRENT_USER"], ["not expected: owner public.user_resumes"]),
    "ahead": (["INSERT INTO jobforge.schema_migrations (version, name, checksum) VALUES (9998, 'x', 'x')"],
              [f"the database is at version 9998, and this JobForge needs {VERSION}; install the newer JobForge"]),
    "behind": (["DELETE FROM jobforge.schema_migrations WHERE version = "
                "(SELECT max(version) FROM jobforge.schema_migrations)"],
               [f"the database is at version {VERSION - 1}, and this JobForge needs {VERSION}; run jobforgectl migrate"]),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_doctor_sees_what_was_changed(operator, fresh, kind):
    statements, sentences = BROKEN[kind]
    target = fresh()
    for statement in statements:
        query(target, statement)
    done = operator.run("doctor", *DIRECTORY, database=conninfo(target, "jobforge_app"), admin_database=conninfo(target),
                        backup_database=conninfo(target, "jobforge_backup"))
    assert done.returncode == 1, done
    faults = "\n".join(line for line in done.stdout.splitlines() if line.startswith("fault "))
    for sentence in sentences:
        assert sentence in faults, done.stdout


def test_doctor_sees_what_a_worker_could_have_changed(operator, fresh):
    """A copy has the rights to the database that everybody has by default; any role may change its own settings."""
    target = fresh()
    query(target, f"ALTER ROLE jobforge_app IN DATABASE {target} SET work_mem = '1MB'")
    found = operator.findings(database=conninfo(target, "jobforge_app"), admin_database=conninfo(target),
                              backup_database=conninfo(target, "jobforge_backup"))
    assert found["role"] == [("warning", "jobforge_app may make temporary objects",
                              f"REVOKE CREATE, TEMPORARY ON DATABASE {target} FROM PUBLIC")]
    (level, finding, advice), = found["role settings"]
    assert (level, finding) == ("warning", "jobforge_app has the setting work_mem=1MB besides") and "RESET" in advice


@pytest.fixture
def fresh(stack, empty):
    """Makes copies of the migrated database, which are gone after the test."""
    return lambda: empty(f'TEMPLATE "jobforge_e2e_template_{migrations_checksum()}"')


def test_schema_file_is_the_migrations(operator):
    """sql/schema.txt is what the migrations make. To write it anew: jobforgectl doctor --print-schema > sql/schema.txt"""
    with open(os.path.join(SOURCE, "sql", "schema.txt"), encoding="utf-8") as file:
        assert operator.succeed("doctor", "--print-schema") == file.read()


# --- maintain, status, monitor, bench-db -----------------------------------------------------------------------------

def test_maintain(operator, filled, stack):
    other = stack.user()
    stack.sql("UPDATE jobforge.refresh_families SET expires_at = now() - interval '1 second' WHERE user_id = %s", other.id)
    stack.sql("INSERT INTO jobforge.login_attempts VALUES (sha256('old'), now() - interval '2 days', 3),"
              " (sha256('new'), now(), 3)")
    other.post("/applications", {"company_name": "A", "role_title": "B", "job_description": "d" * 60},
               headers={"Idempotency-Key": "once"}).ok(201)
    stack.sql("UPDATE jobforge.idempotency_keys SET created_at = now() - interval '25 hours' WHERE user_id = %s", other.id)
    before = stack.sql("SELECT last_vacuum FROM pg_stat_user_tables WHERE relid = 'public.applications'::regclass")
    said = operator.json("maintain")
    assert said["removed"]["sessions"] >= 1 and said["removed"]["idempotency_keys"] == 1
    assert said["removed"]["login_attempts"] == 1
    assert stack.sql("SELECT count(*) FROM jobforge.refresh_families WHERE user_id = %s", other.id) == [(0,)]
    assert stack.sql("SELECT count(*) FROM jobforge.login_attempts WHERE email_hash = sha256('new')") == [(1,)]
    assert stack.sql("SELECT count(*) FROM jobforge.refresh_families WHERE user_id = %s", filled.id)[0][0] >= 1
    assert filled.get("/me").status == 200
    wait_for(lambda: stack.sql("SELECT last_vacuum FROM pg_stat_user_tables"
                               " WHERE relid = 'public.applications'::regclass") != before, what="vacuum")
    assert operator.json("maintain", "--no-vacuum").get("vacuumed") is None
    assert "Vacuumed and analyzed" in operator.succeed("maintain")


def test_maintain_keeps_the_audit_log(operator, fresh):
    """Partitions for what comes and for what came without one; those of which all is too old go; doctor minds none of it."""
    target = fresh()
    connections = {"admin_database": conninfo(target), "database": conninfo(target, "jobforge_app"),
                   "backup_database": conninfo(target, "jobforge_backup")}
    user = "00000000-0000-4000-8000-000000000000"
    query(target, "INSERT INTO public.users (id, email, password_hash, full_name)"
                  f" VALUES ('{user}', 'old@example.com', 'x', 'Old')")
    for years in (30, 3):
        log_entry(lambda statement: query(target, statement), user, f"{time.gmtime().tm_year - years}-06-15")
    comes = query(target, "SELECT to_char((now() + interval '1 month') AT TIME ZONE 'UTC', '\"audit_log_\"YYYY_MM')")[0][0]
    query(target, f"DROP TABLE public.{comes}")
    [(level, finding, advice)] = operator.findings(**connections)["audit log"]
    assert (level, finding) == ("warning", "the next month has no partition") and "jobforgectl maintain" in advice
    old = [f"audit_log_{time.gmtime().tm_year - years}_06" for years in (30, 3)]
    said = operator.json("maintain", "--no-vacuum", audit_log_retention=0, **connections)
    assert said["audit_log_made"] == sorted([*old, comes]) and "audit_log_dropped" not in said
    assert query(target, "SELECT count(*) FROM public.audit_log_default") == [(0,)]
    assert query(target, f"SELECT (SELECT count(*) FROM public.{old[0]}), (SELECT count(*) FROM public.{old[1]})") == [(1, 1)]
    assert operator.findings(**connections)["audit log"][0][0] == "ok"
    said = operator.json("maintain", "--no-vacuum", audit_log_retention=3650, **connections)
    assert (said["audit_log_made"], said["audit_log_dropped"]) == ([], old[:1])
    assert f"Dropped the partition {old[1]}.\n" in operator.succeed("maintain", **connections), "the default is two years"
    assert query(target, "SELECT table_name, action FROM public.audit_log") == [("users", "insert")]
    operator.succeed("verify-backup", operator.json("backup", **connections)["file"], *DIRECTORY)


def test_maintain_sweeps_figures(operator, fresh):
    target = fresh()
    query(target, "INSERT INTO public.performance_metrics SELECT now() - i * interval '1 day', 'host', 'GET', '/r',"
                  " now() - i * interval '1 day', 'api', 1, 0, 0, 0, 0, 0, 0 FROM generate_series(0, 9) AS i")
    said = operator.json("maintain", "--no-vacuum", metrics_retention=5, admin_database=conninfo(target))
    assert said["removed"]["performance_metrics"] == 5
    assert query(target, "SELECT count(*) FROM public.performance_metrics") == [(5,)]


def test_maintain_finds_indexes(operator, fresh):
    target = fresh()
    query(target, "CREATE INDEX idle ON public.applications (location)")
    query(target, "DROP INDEX public.idx_user_resumes_user_id")
    said = operator.json("maintain", admin_database=conninfo(target))
    assert "idle" in [row["index"] for row in said["unused_indexes"]]
    assert {"table": "public.user_resumes", "why": "no index begins with the columns of user_resumes_user_id_fkey"} \
        in said["missing_indexes"]
    assert operator.json("maintain")["missing_indexes"] == [], "those that the schema lacks on purpose would be listed here"


def test_commands_need_this_schema(operator, empty, fresh):
    target = empty()
    said = operator.fail("maintain", admin_database=conninfo(target))
    assert f"is at schema version 0, and this JobForge needs {VERSION}: run jobforgectl migrate" in said
    said = operator.fail("maintain", admin_database="host=/nonexistent user=a password=geheim")
    assert "no connection to the database: " in said and "geheim" not in said
    target = fresh()
    query(target, "INSERT INTO jobforge.schema_migrations (version, name, checksum) VALUES (9998, 'x', 'x')")
    assert "is at schema version 9998, and this JobForge was made for" in \
        operator.fail("maintain", admin_database=conninfo(target))


def test_status(operator, filled):
    said = operator.json("status")
    assert (said["schema"], said["needs_schema"], said["api"], said["auth"], said["bulk"]) == \
        (VERSION, VERSION, True, True, True)
    assert said["last_backup"] is None and said["users"] >= 1 and said["worker_connections"] >= 1
    dump = operator.backup()
    text = operator.succeed("status")
    assert "jobforged: api runs, auth runs, bulk runs\n" in text
    assert f"last backup: {os.path.basename(dump)[:-5]}\n" in text


def test_status_of_what_does_not_run(operator, empty):
    done = operator.run("status", api_socket="/nonexistent/api.sock")
    assert done.returncode == 1 and "jobforged: api does not run, auth runs" in done.stdout
    assert done.stderr == "jobforgectl: jobforged does not run: systemctl start jobforged.\n"
    assert "this is not the database of a JobForge" in operator.fail("status", admin_database=conninfo(empty()))


def test_monitor(operator, filled, stack):
    said = operator.json("monitor")
    assert set(said) == {"connections", "cache", "tables", "statements", "locks", "replication"}
    assert "public.applications" in [row["table"] for row in said["tables"]]
    assert any(row["role"] == "jobforge_app" for row in said["connections"])
    assert said["locks"] == [] and said["replication"] == []
    text = operator.succeed("monitor")
    for title in ("Connections:", "Tables by size:", "Waiting for locks: none"):
        assert title in text


def test_monitor_shows_who_waits(operator, stack, filled):
    holder, waiter = connect(stack.name), connect(stack.name)
    holder.autocommit = False
    try:
        with holder.cursor() as sql:
            sql.execute("LOCK TABLE public.user_resumes IN ACCESS EXCLUSIVE MODE")
            waiter_pid = waiter.info.backend_pid
            thread = threading.Thread(target=lambda: waiter.cursor().execute("SELECT count(*) FROM public.user_resumes"))
            thread.start()
            row = wait_for(lambda: operator.json("monitor")["locks"], what="a lock")[0]
            assert (row["pid"], row["waits_for"]) == (waiter_pid, str(holder.info.backend_pid))
            holder.rollback()
            thread.join()
    finally:
        holder.close()
        waiter.close()


def test_monitor_counts_statements(operator, fresh):
    target = fresh()
    if query(target, "SELECT current_setting('shared_preload_libraries') LIKE '%pg_stat_statements%'") != [(True,)]:
        pytest.skip("the server does not load pg_stat_statements")
    assert operator.json("monitor", admin_database=conninfo(target))["statements"] is None
    query(target, "CREATE EXTENSION pg_stat_statements")
    query(target, "SELECT pg_sleep(0.2), count(*) FROM public.users WHERE full_name = 'nobody'")
    rows = operator.json("monitor", admin_database=conninfo(target))["statements"]
    # Its constants stay in the text where the server, short of room, had forgotten the statement before it ended.
    assert any("full_name = $2" in row["statement"] or "full_name = 'nobody'" in row["statement"] for row in rows), rows


def test_monitor_again_and_again(operator, filled):
    """`q` ends it, the terminal is as before; Ctrl-C likewise."""
    command = operator.command("monitor", "--every", "1")
    status, shown = on_terminal(command, ("Standbys", "q"))
    assert status == 0 and shown.count("Connections:") == 1 and "\033[H\033[J" in shown
    status, shown = on_terminal(command, ("Standbys", "\x03"))
    assert status == 0
    run = subprocess.Popen([*command, "--json"], env=child_environment(), text=True, stdout=subprocess.PIPE,
                           stdin=subprocess.DEVNULL)
    try:
        lines = [json.loads(run.stdout.readline()) for _ in range(2)]
        assert all("tables" in line for line in lines)
    finally:
        run.terminate()
        assert run.wait(10) == 0


def test_bench_db(operator, filled):
    said = operator.json("bench-db", "--seconds", "1")
    assert said["transactions"] > 10 and 0 < said["p50_us"] <= said["p95_us"] <= said["p99_us"] <= said["max_us"]
    assert "transactions in 1 s on one connection" in operator.succeed("bench-db", "--seconds=1")
    assert "database: " in operator.fail("bench-db", database="host=/nonexistent")


# --- user ------------------------------------------------------------------------------------------------------------

def test_user_list_and_show(operator, stack):
    user = stack.user(full_name="Ängström")
    user.create()
    [row] = operator.json("user", "list", "--match", "ängström")["users"]
    assert (row["id"], row["email"], row["disabled"], row["applications"]) == (user.id, user.email, False, 1)
    assert operator.json("user", "list", "--limit", "1", "--after", user.email, "--match", user.email)["users"] == []
    assert len(operator.json("user", "list", "--limit", "1")["users"]) == 1
    assert user.email in operator.succeed("user", "list")
    for name in (user.id, user.email, user.email.upper()):
        shown = operator.json("user", "show", name)
        assert (shown["id"], shown["sessions"], shown["applications"], shown["plan"]) == (user.id, 1, 1, "free")
    assert "$2b$" in operator.succeed("user", "show", user.id) and user.password not in operator.succeed("user", "show", user.id)


def test_no_such_user(operator):
    for words in (("show",), ("disable", "--yes"), ("enable",), ("delete", "--yes"), ("reset-password", "--generate", "--yes")):
        for name in ("nobody@example.com", "00000000-0000-4000-8000-000000000000", "' OR true --"):
            said = operator.fail("user", *words, name)
            assert f"there is no user {name}: jobforgectl user list names them" in said


def sign_in(stack, user, password=None):
    return stack.anyone.post("/auth/login", {"email": user.email, "password": password or user.password})


def test_disabled_user(operator, stack):
    """No request with a token that is still valid, no sign-in, no refresh; nobody else notices; and all is as before after."""
    user, other = stack.user(), stack.user()
    made = user.create()
    assert operator.json("user", "disable", user.email, "--yes", "--reason", "spam")["result"] == "disabled"
    before = stack.snapshot()
    for answer in (user.get("/me"), user.get("/applications"), user.get(f"/applications/{made['id']}"), user.get("/me/export"),
                   user.post("/applications", {"company_name": "A", "role_title": "B", "job_description": "d" * 60}),
                   user.patch("/me", {"full_name": "Other"}), user.delete(f"/applications/{made['id']}"),
                   user.delete("/me", {"password": user.password}), user.get("/usage"),
                   user.post("/applications", body=b"company_name,role_title,job_description\r\nA,B," + b"d" * 60, type="text/csv"),
                   user.post("/me/password", {"current_password": user.password, "new_password": "another one 2"}),
                   sign_in(stack, user)):
        answer.problem(403, slug="account-disabled")
    sign_in(stack, user, "wrong password").problem(401, slug="bad-credentials")
    stack.anyone.post("/auth/refresh", {"refresh_token": user.refresh_token}).problem(401, slug="bad-refresh-token")
    assert stack.snapshot() == before
    assert other.get("/me").status == 200 and sign_in(stack, other).status == 200
    shown = operator.json("user", "show", user.id)
    assert shown["disabled_reason"] == "spam" and shown["disabled_at"] and shown["sessions"] == 0
    operator.succeed("user", "enable", user.id)
    assert user.get(f"/applications/{made['id']}").status == 200 and sign_in(stack, user).status == 200
    stack.anyone.post("/auth/refresh", {"refresh_token": user.refresh_token}).problem(401)
    assert stack.sql("SELECT count(*) FROM jobforge.disabled_users") == [(0,)]


def test_two_disabled_users(operator, stack):
    """Enabling one leaves the other disabled; deleting the last one is no end of the looking for others."""
    first, second, third = stack.user(), stack.user(), stack.user()
    for user in (first, second):
        operator.succeed("user", "disable", user.email, "--yes")
    operator.succeed("user", "disable", first.email, "--yes", "--reason", "again")
    operator.succeed("user", "enable", first.email)
    assert first.get("/me").status == 200
    second.get("/me").problem(403, slug="account-disabled")
    operator.succeed("user", "delete", second.email, "--yes")
    operator.succeed("user", "disable", third.email, "--yes")
    third.get("/me").problem(403, slug="account-disabled")
    operator.succeed("user", "enable", third.email)
    assert third.get("/me").status == 200


def serve(stack, database):
    """Has the workers use another database from now on."""
    stack.write_conf(database=conninfo(database, "jobforge_app"))
    stack.reload()


def test_every_worker_notices(operator, stack):
    """However often: each worker's plans know of it at its next request, and let others by."""
    user, other = stack.user(), stack.user()
    close = {"Connection": "close"}
    for word, status in (("disable", 403), ("enable", 200)) * 3:
        operator.succeed("user", word, user.email, *(["--yes"] if word == "disable" else []))
        for _ in range(8):
            assert user.get("/me", headers=close).status == status
            assert other.get("/me", headers=close).status == 200
            posted = user.post("/applications", {"company_name": "A", "role_title": "B", "job_description": "d" * 60})
            assert posted.status == (403 if status == 403 else 201)


def test_a_restored_user_is_as_disabled_as_when_backed_up(operator, stack, empty):
    user, other = stack.user(), stack.user()
    nobody_disabled, disabled = empty(), empty()
    dump = operator.backup("--keep-all")
    operator.succeed("restore", dump, "--yes", *DIRECTORY, admin_database=conninfo(nobody_disabled))
    operator.succeed("user", "disable", user.email, "--yes")
    dump = operator.backup("--keep-all")
    operator.succeed("verify-backup", dump, *DIRECTORY)
    operator.succeed("restore", dump, "--yes", *DIRECTORY, admin_database=conninfo(disabled))
    operator.succeed("user", "enable", user.email)
    for database in (stack.name, nobody_disabled, disabled):
        found = operator.findings(database=conninfo(database, "jobforge_app"), admin_database=conninfo(database),
                                  backup_database=conninfo(database, "jobforge_backup"))
        assert found["schema"][0][0] == "ok", found
    before = stack.conf["database"]
    try:
        serve(stack, disabled)
        user.get("/me").problem(403, slug="account-disabled")
        assert other.get("/me").status == 200
        operator.succeed("user", "enable", user.email, admin_database=conninfo(disabled))
        assert user.get("/me").status == 200
        serve(stack, nobody_disabled)
        assert user.get("/me").status == 200
        operator.succeed("user", "disable", user.email, "--yes", admin_database=conninfo(nobody_disabled))
        user.get("/me").problem(403, slug="account-disabled")
    finally:
        stack.write_conf(database=before)
        stack.reload()


def test_enabled_while_a_backup_is_made(operator, stack, empty, tmp_path_factory):
    """All of a backup is of one moment, also how it is known that somebody is disabled."""
    directory = tmp_path_factory.mktemp("bin")
    real = PG_BIN or os.path.dirname(shutil.which("pg_dump"))
    for name in ("pg_restore", "psql"):
        os.symlink(os.path.join(real, name), directory / name)
    (directory / "pg_dump").write_text(f'#!/bin/sh\n[ "$1" = --version ] && exec {real}/pg_dump --version\n'
                                       f'touch {directory}/begun\nuntil [ -e {directory}/go ]; do sleep 0.1; done\n'
                                       f'exec {real}/pg_dump "$@"\n')
    (directory / "pg_dump").chmod(0o755)
    user = stack.user()
    operator.succeed("user", "disable", user.email, "--yes")
    run = subprocess.Popen(operator.command("backup", "--json", pg_bin=directory), env=child_environment(), text=True,
                           stdout=subprocess.PIPE)
    wait_for((directory / "begun").exists, what="pg_dump")
    operator.succeed("user", "enable", user.email)
    (directory / "go").touch()
    dump = json.loads(run.communicate(timeout=60)[0])["file"]
    target = empty()
    operator.succeed("restore", dump, "--yes", *DIRECTORY, admin_database=conninfo(target))
    assert query(target, "SELECT count(*), jobforge.some_are_disabled() FROM jobforge.disabled_users") == [(1, True)]
    assert query(stack.name, "SELECT jobforge.some_are_disabled()") == [(False,)]


def test_a_sign_in_at_the_same_moment(operator, stack):
    """However a sign-in and a disabling meet, no session is left."""
    for _ in range(5):
        user = stack.user()
        done = []
        thread = threading.Thread(target=lambda: done.extend(sign_in(stack, user).status for _ in range(10)))
        thread.start()
        operator.succeed("user", "disable", user.email, "--yes")
        thread.join()
        assert set(done) <= {200, 403} and len(done) == 10
        assert stack.sql("SELECT count(*) FROM jobforge.refresh_families WHERE user_id = %s AND revoked_at IS NULL",
                         user.id) == [(0,)]
        operator.succeed("user", "enable", user.email)


def test_workers_cannot_read_reasons(operator, stack):
    user = stack.user()
    operator.succeed("user", "disable", user.email, "--yes", "--reason", "geheim")
    connection = connect(stack.name, "jobforge_app")
    try:
        with connection.cursor() as sql:
            sql.execute("SELECT user_id FROM jobforge.disabled_users")
            assert sql.fetchall() == []
            for statement in ("SELECT reason FROM jobforge.disabled_users", "DELETE FROM jobforge.disabled_users",
                              "INSERT INTO jobforge.disabled_users (user_id) SELECT gen_random_uuid()",
                              f"SELECT jobforge.user_enable('{user.id}')", f"SELECT jobforge.user_disable('{user.id}', '')"):
                with pytest.raises(psycopg2.errors.InsufficientPrivilege):
                    sql.execute(statement)
    finally:
        connection.close()
        operator.succeed("user", "enable", user.email)


def test_delete_user(operator, stack):
    user, other = stack.user(), stack.user()
    user.create()
    other.create()
    assert "There is no terminal to ask on" in operator.fail("user", "delete", user.email)
    assert user.get("/me").status == 200
    operator.succeed("user", "delete", user.email, "--yes")
    assert stack.sql("SELECT count(*) FROM public.users WHERE id = %s", user.id) == [(0,)]
    assert stack.sql("SELECT count(*) FROM public.applications WHERE user_id = %s", user.id) == [(0,)]
    assert other.get("/applications").ok()["data"]
    command = operator.command("user", "delete", other.email)
    assert on_terminal(command, ("Type yes to go on: ", "y\n"))[0] == 1
    assert other.get("/me").status == 200
    assert on_terminal(command, ("Type yes to go on: ", "yes\n"))[0] == 0


def test_reset_password(operator, stack):
    user = stack.user()
    done = operator.run("user", "reset-password", user.email, "--yes", input="the new one 1\n")
    assert done.returncode == 0 and "the new one" not in done.stdout, done
    sign_in(stack, user).problem(401)
    assert sign_in(stack, user, "the new one 1").status == 200
    stack.anyone.post("/auth/refresh", {"refresh_token": user.refresh_token}).problem(401)
    made = operator.json("user", "reset-password", user.email, "--yes", "--generate")["password"]
    assert re.fullmatch(r"[\w-]{16}", made) and sign_in(stack, user, made).status == 200
    for bad in ("short\n", "x" * 73 + "\n", "", "\n", b"\xff" * 10 + b"\n"):
        before = stack.sql("SELECT password_hash FROM public.users WHERE id = %s", user.id)
        command = operator.command("user", "reset-password", user.email, "--yes")
        done = subprocess.run(command, env=child_environment(), capture_output=True, timeout=30,
                              input=bad if isinstance(bad, bytes) else bad.encode())
        assert done.returncode == 1 and (b"of 8 to 72 bytes" in done.stderr or b"no password on standard input" in done.stderr)
        assert stack.sql("SELECT password_hash FROM public.users WHERE id = %s", user.id) == before


def test_reset_password_on_a_terminal(operator, stack):
    """Asked for twice, and not shown."""
    user = stack.user()
    command = operator.command("user", "reset-password", user.email, "--yes")
    status, shown = on_terminal(command, ("New password: ", "typed secret 1\n"), ("The same again: ", "typed secret 1\n"))
    assert status == 0 and "typed secret" not in shown and "The same again: " in shown
    assert sign_in(stack, user, "typed secret 1").status == 200
    assert on_terminal(command, ("New password: ", "typed secret 2\n"), ("The same again: ", "typed secret 3\n"))[0] == 1
    status, shown = on_terminal(["/bin/sh", "-c", 'trap : INT; "$@"; echo "status $?"; stty -a', "sh", *command], ("New password: ", "\x03"))
    assert "status 1" in shown and " echo " in shown.partition("status 1")[2], "Ctrl-C leaves all as it was"
    assert sign_in(stack, user, "typed secret 1").status == 200


# --- plan ------------------------------------------------------------------------------------------------------------

def test_plans(operator, stack):
    """A plan that is defined, set, changed and left; each counts at the user's next request."""
    user, earlier = stack.user(), stack.user()
    posting = {"company_name": "A", "role_title": "B", "job_description": "d" * 60}
    for _ in range(8):  # by each worker
        earlier.post("/applications", posting, headers={"Connection": "close"}).ok(201)
    assert operator.json("plan", "define", "tiny", "--applications", "1", "--title", "Tiny")["applications"] == 1
    assert operator.json("plan", "set", user.email, "tiny")["plan_in_effect"] == "tiny"
    user.post("/applications", posting).ok(201)
    user.post("/applications", posting).problem(403, slug="plan-limit")
    changed = operator.json("plan", "define", "tiny", "--applications=2")
    assert (changed["title"], changed["applications"], changed["bytes"]) == ("Tiny", 2, None)
    user.post("/applications", posting).ok(201)
    user.post("/applications", posting).problem(403, slug="plan-limit")
    rows = {row["name"]: row for row in operator.json("plan", "list")["plans"]}
    assert rows["tiny"]["users"] == 1 and rows["free"]["is_default"] and rows["free"]["applications"] is None
    operator.succeed("plan", "define", "tiny", "--applications", "none")
    user.post("/applications", posting).ok(201)
    operator.succeed("plan", "define", "tiny", "--applications", "0")
    assert operator.json("plan", "set", user.id, "tiny", "--status", "canceled")["plan_in_effect"] == "free"
    user.post("/applications", posting).ok(201)
    assert operator.json("user", "show", user.id)["plan"] == "free"


def test_default_plan(operator, stack):
    user = stack.user()
    operator.succeed("plan", "define", "none-at-all", "--applications", "0", "--default")
    try:
        answer = user.post("/applications", {"company_name": "A", "role_title": "B", "job_description": "d" * 60})
        answer.problem(403, slug="plan-limit")
    finally:
        operator.succeed("plan", "define", "free", "--default")
    user.create()


@pytest.mark.parametrize("words, sentence", [
    (("set", "{user}", "no-such-plan"), "there is no plan no-such-plan: jobforgectl plan list names them"),
    (("set", "nobody@example.com", "free"), "there is no user nobody@example.com"),
    (("set", "{user}", "free", "--until", "never"), "invalid input syntax for type timestamp"),
    (("set", "{user}", "free", "--until", "2020-01-01"), "subscription_period"),
    (("set", "{user}", "free", "--status", "odd"), "invalid input value for enum"),
    (("define", "Not A Name"), "plan_name_format"),
])
def test_wrong_plans(operator, stack, words, sentence):
    user = stack.user()
    before = stack.snapshot()
    assert sentence in operator.fail("plan", *(word.format(user=user.email) for word in words))
    assert stack.snapshot() == before


def test_plan_usage(operator):
    for words, sentence in ((("set", "a@example.com"), "plan set needs USER PLAN."),
                            (("define", "x", "--bytes", "-1"), "--bytes must be a whole number, or none."),
                            (("define", "x", "--bytes", "1" * 19), "--bytes must be a whole number, or none.")):
        done = operator.run("plan", *words)
        assert done.returncode == 2 and sentence in done.stderr, done
