"""
jobforgectl migrate, over real databases: the product's own migrations, and small ones made to fail in each way. What
must hold after every failure: the ledger tells what has been applied, and nothing else has changed.
"""

import hashlib
import json
import os
import re
import secrets
import select
import signal
import subprocess
import time

import pytest

from stack import BUILD, CLUSTER, SOURCE, child_environment, connect, conninfo, drop_database, parse_dsn, wait_for

PROGRAM = os.path.join(BUILD, "jobforgectl")
MIGRATIONS = os.path.join(SOURCE, "sql", "migrations")
FILES = sorted(os.listdir(MIGRATIONS))
GOOD = {"0001_one.sql": "CREATE TABLE public.one (id int);", "0002_two.sql": "CREATE TABLE public.two (id int);"}


def cluster_run(*statements):
    connection = connect(parse_dsn(CLUSTER).get("dbname", "postgres"))
    with connection.cursor() as sql:
        for statement in statements:
            sql.execute(statement)
    connection.close()


class Database:
    """A new, empty database and a directory of migrations beside it."""

    def __init__(self, directory, options=""):
        self.name = "jobforge_migrate_" + secrets.token_hex(6)
        self.directory = directory
        cluster_run(f'CREATE DATABASE "{self.name}" TEMPLATE template0 {options}')

    def drop(self):
        drop_database(self.name)

    def write(self, files):
        for name, text in files.items():
            (self.directory / name).write_bytes(text if isinstance(text, bytes) else text.encode())

    def command(self, *arguments, directory=None, user=None):
        return [PROGRAM, "migrate", "--admin-database=" + conninfo(self.name, user), "--directory",
                str(directory or self.directory), *arguments]

    def start(self, *arguments, **options):
        """As from a terminal: a shell that runs the tests in its background ignores SIGINT, and children inherit that."""
        return subprocess.Popen(self.command(*arguments, **options), env=child_environment(), text=True,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))

    def run(self, *arguments, **options):
        return subprocess.run(self.command(*arguments, **options), env=child_environment(), text=True,
                              capture_output=True, timeout=60)

    def succeed(self, *arguments, **options):
        done = self.run(*arguments, **options)
        assert done.returncode == 0, done
        return done.stdout

    def fail(self, *arguments, **options):
        """Runs, fails, and returns the one sentence about it."""
        done = self.run(*arguments, **options)
        assert done.returncode == 1, done
        last = done.stderr.splitlines()[-1]
        assert re.fullmatch(r"jobforgectl: .*\.", last), done
        return last

    def query(self, sql, *parameters):
        connection = connect(self.name)
        try:
            with connection.cursor() as cursor:
                cursor.execute(sql, parameters)
                return cursor.fetchall()
        finally:
            connection.close()

    def has(self, name):
        return self.query("SELECT to_regclass(%s) IS NOT NULL", name)[0][0]

    def ledger(self):
        """The versions in the ledger, None when there is no ledger."""
        if not self.has("jobforge.schema_migrations"):
            return None
        return [row[0] for row in self.query("SELECT version FROM jobforge.schema_migrations ORDER BY version")]

    def is_running(self, text="pg_sleep"):
        return self.query("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
                          " AND application_name = 'jobforgectl' AND state = 'active' AND wait_event = 'PgSleep'")[0][0]


@pytest.fixture
def database(tmp_path):
    made = Database(tmp_path)
    yield made
    made.drop()


@pytest.fixture
def role():
    """Makes roles that are gone after the test."""
    names = []

    def make(attributes):
        names.append("jobforge_migrate_" + secrets.token_hex(6))
        cluster_run(f'CREATE ROLE "{names[-1]}" LOGIN {attributes}')
        return names[-1]

    yield make
    for name in names:
        cluster_run(f'DROP ROLE "{name}"')


# --- The product's own ----------------------------------------------------------------------------------------------

def test_dry_run_changes_nothing(database):
    said = database.succeed("--dry-run", directory=MIGRATIONS)
    for name in FILES:
        assert name[:-4] + ": pending\n" in said
    assert said.endswith(f"Database {database.name} is at version 0; {len(FILES)} migrations are pending.\n")
    assert database.query("SELECT 1 FROM pg_namespace WHERE nspname = 'jobforge'") == []


def test_own_migrations(database):
    said = database.succeed(directory=MIGRATIONS)
    assert re.fullmatch("".join(rf"{name[:-4]}: applied in \d+\.\d ms\n" for name in FILES) +
                        rf"Database {database.name} is at version {len(FILES)}\.\n", said)
    rows = database.query("SELECT version, name, checksum, applied_at <= now()"
                          " FROM jobforge.schema_migrations ORDER BY version")
    wanted = []
    for number, name in enumerate(FILES, start=1):
        with open(os.path.join(MIGRATIONS, name), "rb") as file:
            wanted.append((number, name[5:-4], hashlib.sha256(file.read()).hexdigest(), True))
    assert rows == wanted
    assert database.succeed(directory=MIGRATIONS) == \
        f"Database {database.name} is at version {len(FILES)}; nothing to do.\n"


def test_own_migrations_in_two_databases_at_once(database, tmp_path):
    other = Database(tmp_path)
    try:
        runs = [each.start(directory=MIGRATIONS) for each in (database, other)]
        for run in runs:
            out, err = run.communicate(timeout=60)
            assert run.returncode == 0, (out, err)
        assert database.ledger() == other.ledger() == list(range(1, len(FILES) + 1))
    finally:
        other.drop()


def test_another_administrator_goes_on(database, role):
    """One who is no superuser and did not make the ledger, but is a member of jobforge_owner."""
    for name in FILES:
        with open(os.path.join(MIGRATIONS, name), encoding="utf-8") as file:
            database.write({name: file.read()})
    database.succeed()
    later = f"{len(FILES) + 1:04d}_later.sql"
    database.write({later: "SET LOCAL ROLE jobforge_owner; CREATE TABLE public.later (id int);"})
    administrator = role("IN ROLE jobforge_owner")
    assert later[:-4] + ": pending\n" in database.succeed("--dry-run", user=administrator)
    assert later[:-4] + ": applied in" in database.succeed(user=administrator)
    assert database.ledger() == list(range(1, len(FILES) + 2))
    assert database.query("SELECT tableowner FROM pg_tables WHERE tablename = 'later'") == [("jobforge_owner",)]


def test_worker_role_reads_and_cannot_change(database):
    for name in FILES[:-1]:
        with open(os.path.join(MIGRATIONS, name), encoding="utf-8") as file:
            database.write({name: file.read()})
    database.succeed()
    assert "; nothing to do." in database.succeed(user="jobforge_app")
    database.write({FILES[-1]: "CREATE TABLE public.intruder (id int);"})
    assert "1 migration is pending" in database.succeed("--dry-run", user="jobforge_app")
    said = database.fail(user="jobforge_app")
    assert f"/{FILES[-1]}" in said and ": 42501: permission denied" in said and "connect as an administrator" in said
    assert database.ledger() == list(range(1, len(FILES)))


# --- Reports --------------------------------------------------------------------------------------------------------

def test_json(database):
    database.write(GOOD)
    pending = json.loads(database.succeed("--dry-run", "--json"))
    assert pending == {"database": database.name, "version": 0, "applied": [],
                       "pending": [{"version": 1, "name": "one"}, {"version": 2, "name": "two"}]}
    applied = json.loads(database.succeed("--json"))
    assert [(row["version"], row["name"], row["milliseconds"] > 0) for row in applied.pop("applied")] == \
        [(1, "one", True), (2, "two", True)]
    assert applied == {"database": database.name, "version": 2, "pending": []}


def test_json_of_a_failure(database):
    database.write({**GOOD, "0002_two.sql": "SELECT 1/0;"})
    done = database.run("--json")
    assert done.returncode == 1
    said = json.loads(done.stdout)
    assert [row["version"] for row in said["applied"]] == [1]
    assert said["version"] == 1 and said["pending"] == [{"version": 2, "name": "two"}]


def test_directory_of_another_version_is_mentioned(database):
    database.write(GOOD)
    done = database.run()
    assert done.returncode == 0
    assert done.stderr == (f"jobforgectl: the migrations in {database.directory} end at version 2,"
                           f" and this JobForge needs {len(FILES)}.\n")


# --- A migration that fails -----------------------------------------------------------------------------------------

def test_failure_keeps_what_was_before(database):
    database.write({**GOOD, "0002_two.sql": "CREATE TABLE public.two (id int);\nCREATE TABLE public.one (id int);\n",
                    "0003_three.sql": "CREATE TABLE public.three (id int);"})
    said = database.fail()
    assert said == f'jobforgectl: {database.directory}/0002_two.sql: 42P07: relation "one" already exists.'
    assert database.ledger() == [1]
    assert database.has("public.one") and not database.has("public.two") and not database.has("public.three")
    database.write({"0002_two.sql": GOOD["0002_two.sql"]})
    assert "0003_three: applied" in database.succeed()
    assert database.ledger() == [1, 2, 3]


def test_failure_of_the_first_leaves_nothing(database):
    database.write({"0001_one.sql": "CREATE TABLE public.one (id int); SELECT 1/0;"})
    assert ": 22012: division by zero" in database.fail()
    assert database.query("SELECT 1 FROM pg_namespace WHERE nspname = 'jobforge'") == []
    assert not database.has("public.one")


@pytest.mark.parametrize("text, line, sqlstate", [
    ("SELECT 1;\nSELECT 2;\nSELEC 3;\n", 3, "42601"),
    ("SELECT no_such_column;\n", 1, "42703"),
    ("-- \u00e9\u00e9\u00e9\n-- \U0001f600\nSELECT '\u00fc';\n\nSELECT *\nFROM no_such_table;\n", 6, "42P01"),
    ("SELECT 1;\r\nSELECT 2 FROM no_such_table;\r\n", 2, "42P01"),
    ("\n\nCREATE TABLE public.x (id no_such_type);", 3, "42704"),
    ("SELECT 'never closed;\n", 1, "42601"),
])
def test_failure_names_the_line(database, text, line, sqlstate):
    database.write({"0001_one.sql": text})
    assert f"{database.directory}/0001_one.sql:{line}: {sqlstate}: " in database.fail()


def test_error_inside_a_function_names_no_line_of_it(database):
    database.write({"0001_one.sql": "\n\n\nDO $$ BEGIN\nEXECUTE 'SELECT\n\nno_such_column'; END $$;"})
    assert f"{database.directory}/0001_one.sql: 42703: " in database.fail()


@pytest.mark.parametrize("text", [
    "CREATE TABLE public.one (id int); COMMIT; CREATE TABLE public.rest (id int);",
    "CREATE TABLE public.one (id int); COMMIT; BEGIN; CREATE TABLE public.rest (id int);",
    "CREATE TABLE public.one (id int); END; CREATE TABLE public.rest (id int);",
    "CREATE TABLE public.one (id int); ROLLBACK; CREATE TABLE public.rest (id int);",
    "CREATE TABLE public.one (id int); ABORT; CREATE TABLE public.rest (id int);",
    "BEGIN; CREATE TABLE public.one (id int); COMMIT;",
    "START TRANSACTION; CREATE TABLE public.one (id int);",
    "CREATE TABLE public.one (id int); SAVEPOINT a; ROLLBACK TO a; CREATE TABLE public.rest (id int);",
    "CREATE TABLE public.one (id int); PREPARE TRANSACTION 'x';",
    "CREATE TABLE public.one (id int); DO $$ BEGIN COMMIT; END $$; CREATE TABLE public.rest (id int);",
    "CREATE TABLE public.one (id int); DO $$ BEGIN ROLLBACK; END $$; CREATE TABLE public.rest (id int);",
    "CREATE TABLE public.one (id int); VACUUM public.one;",
])
def test_a_file_cannot_leave_its_transaction(database, text):
    database.write({"0001_one.sql": text})
    assert f"{database.directory}/0001_one.sql" in database.fail()
    assert not database.has("public.one") and not database.has("public.rest")
    assert database.ledger() is None


def test_failure_at_commit(database):
    database.write({"0001_one.sql": "CREATE TABLE public.one (id int UNIQUE DEFERRABLE INITIALLY DEFERRED);"
                                    "INSERT INTO public.one VALUES (1), (1);"})
    assert ": 23505: duplicate key value" in database.fail()
    assert not database.has("public.one") and database.ledger() is None


def test_comments_alone_are_a_migration(database):
    database.write({"0001_one.sql": "-- nothing\n", "0002_two.sql": ""})
    database.succeed()
    assert database.ledger() == [1, 2]


def test_settings_of_a_file_end_with_it(database):
    database.write({"0001_one.sql": "CREATE SCHEMA odd; SET search_path = odd; SET statement_timeout = '50ms';"
                                    "SET ROLE jobforge_app;",
                    "0002_two.sql": "CREATE TABLE two (id int); SELECT pg_sleep(0.2);"})
    database.succeed()
    assert database.has("public.two")
    assert database.query("SELECT tableowner FROM pg_tables WHERE tablename = 'two'") == [(parse_dsn(CLUSTER)["user"],)]


def test_settings_of_the_database_do_not_matter(database):
    cluster_run(*(f'ALTER DATABASE "{database.name}" SET {setting}' for setting in (
        "statement_timeout = '100ms'", "search_path = nowhere", "default_transaction_read_only = on",
        "default_transaction_isolation = 'serializable'", "check_function_bodies = off")))
    database.write({"0001_one.sql": "CREATE TABLE one (id int); SELECT pg_sleep(0.3);"})
    database.succeed()
    assert database.has("public.one")


# --- Files that are not those that were applied ---------------------------------------------------------------------

def test_edited_file(database):
    database.write(GOOD)
    database.succeed()
    database.write({"0001_one.sql": GOOD["0001_one.sql"] + "\n",
                    "0003_three.sql": "CREATE TABLE public.three (id int);"})
    for arguments in ((), ("--dry-run",)):
        assert "0001_one.sql is not the file that was applied at 20" in database.fail(*arguments)
    assert database.ledger() == [1, 2] and not database.has("public.three")


def test_newer_database(database):
    database.write({**GOOD, "0003_three.sql": "SELECT 1;"})
    database.succeed()
    (database.directory / "0003_three.sql").unlink()
    assert "is at version 3, and the migrations in" in database.fail()


def test_late_file(database):
    database.write({**GOOD, "0003_three.sql": "CREATE TABLE public.three (id int);"})
    database.succeed()
    connection = connect(database.name)
    with connection.cursor() as sql:
        sql.execute("DELETE FROM jobforge.schema_migrations WHERE version = 2")
    connection.close()
    assert "0002_two.sql was never applied" in database.fail()
    assert database.ledger() == [1, 3]


@pytest.mark.parametrize("files, sentence", [
    ({}, "holds no migration"),
    ({"0002_two.sql": ""}, "migration 0001 is missing"),
    ({"0001_one.sql": "", "0003_three.sql": ""}, "migration 0002 is missing"),
    ({"0001_one.sql": "", "0001_other.sql": ""}, "have the same number"),
    ({"0001_one.sql": "", "0002_two.sql~": ""}, "is not named NNNN_name.sql"),
    ({"0001_one.sql": "", "README": ""}, "is not named NNNN_name.sql"),
    ({"0001_one.sql": "", "2_two.sql": ""}, "is not named NNNN_name.sql"),
    ({"0001_one.sql": "", "00002_two.sql": ""}, "is not named NNNN_name.sql"),
    ({"0001_one.sql": "", "0002-two.sql": ""}, "is not named NNNN_name.sql"),
    ({"0001_one.sql": "", "0002_.sql": ""}, "is not named NNNN_name.sql"),
    ({"0001_one.sql": "", "0002_Two.sql": ""}, "is not named NNNN_name.sql"),
    ({"0000_none.sql": "", "0001_one.sql": ""}, "is not named NNNN_name.sql"),
    ({"0001_one.sql": "", "0002_" + "x" * 101 + ".sql": ""}, "is not named NNNN_name.sql"),
    ({"0001_one.sql": "", "0002_two.sql": b"SELECT 1;\0SELECT 2;"}, "is not UTF-8 text"),
    ({"0001_one.sql": "", "0002_two.sql": b"SELECT '\xff';"}, "is not UTF-8 text"),
])
def test_odd_directories(database, files, sentence):
    database.write(files)
    assert sentence in database.fail()
    assert database.ledger() is None


def test_longest_name_and_hidden_file(database):
    database.write({"0001_" + "x" * 100 + ".sql": "", ".gitignore": "*~"})
    database.succeed()
    assert database.query("SELECT length(name) FROM jobforge.schema_migrations") == [(100,)]


def test_what_is_no_file(database):
    database.write({"0001_one.sql": ""})
    assert "cannot be read" in database.fail(directory=database.directory / "nowhere")
    (database.directory / "0002_two.sql").mkdir()
    assert "0002_two.sql cannot be read: Is a directory" in database.fail()
    (database.directory / "0002_two.sql").rmdir()
    (database.directory / "0002_two.sql").symlink_to("nowhere")
    assert "0002_two.sql cannot be read: No such file or directory" in database.fail()


# --- Two at once, and one that is killed ----------------------------------------------------------------------------

def test_two_at_once(database):
    database.write({"0001_one.sql": "CREATE TABLE public.one (id int); SELECT pg_advisory_xact_lock(1);"})
    holder = connect(database.name)
    holder.cursor().execute("SELECT pg_advisory_lock(1)")
    runs = [database.start() for _ in range(2)]
    wait_for(lambda: select.select([run.stderr for run in runs], [], [], 0)[0], 30, "one says that it waits for the other")
    holder.close()
    outputs = [run.communicate(timeout=60) for run in runs]
    assert [run.returncode for run in runs] == [0, 0], outputs
    said = sorted(out for out, _ in outputs)
    assert said[0].startswith("0001_one: applied in") and said[1].endswith("is at version 1; nothing to do.\n")
    waited = [err for out, err in outputs if "nothing to do" in out][0]
    assert waited.startswith("jobforgectl: another migration of this database is running; waiting for its end.\n")
    assert database.ledger() == [1]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_killed_in_the_middle(database, number):
    database.write({**GOOD, "0002_two.sql": "CREATE TABLE public.two (id int); SELECT pg_sleep(50);"})
    run = database.start()
    wait_for(database.is_running, what="the second migration")
    run.send_signal(number)
    run.communicate(timeout=10)
    assert run.returncode == -number
    database.write({"0002_two.sql": GOOD["0002_two.sql"]})
    began = time.monotonic()
    database.succeed()
    assert time.monotonic() - began < 30, "the server went on with a dead client's migration"
    assert database.ledger() == [1, 2]


def test_connection_lost_in_the_middle(database):
    database.write({**GOOD, "0002_two.sql": "CREATE TABLE public.two (id int); SELECT pg_sleep(20);"})
    run = database.start()
    wait_for(database.is_running, what="the second migration")
    database.query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
                   " AND application_name = 'jobforgectl'")
    out, err = run.communicate(timeout=10)
    assert run.returncode == 1 and "0002_two.sql: " in err and "terminating connection" in err, (out, err)
    assert err.endswith("; when the server answers again, run this again: it goes on where it stopped.\n"), err
    assert database.ledger() == [1] and not database.has("public.two")


# --- Servers that cannot be used ------------------------------------------------------------------------------------

def test_wrong_encoding(tmp_path):
    made = Database(tmp_path, "ENCODING 'LATIN1' LOCALE_PROVIDER libc LOCALE 'C'")
    try:
        made.write(GOOD)
        assert "has the encoding LATIN1, and JobForge needs UTF8" in made.fail()
    finally:
        made.drop()


def test_no_such_database(database):
    missing = Database.__new__(Database)
    missing.name, missing.directory = database.name + "_missing", database.directory
    database.write(GOOD)
    said = missing.fail()
    assert "no connection to the database: " in said
    assert said.endswith("does not exist; see admin_database in jobforged.conf(5).")


def test_no_server(database):
    database.write(GOOD)
    done = subprocess.run([PROGRAM, "migrate", "--directory", str(database.directory),
                           "--admin-database=host=/nonexistent user=a password=geheim"],
                          env=child_environment(), text=True, capture_output=True, timeout=30)
    assert done.returncode == 1 and done.stderr.count("\n") == 1, done
    assert "no connection to the database: " in done.stderr and "geheim" not in done.stderr


def test_the_lock_is_gone_afterwards(database):
    database.write(GOOD)
    database.succeed()
    assert database.query("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND database ="
                          " (SELECT oid FROM pg_database WHERE datname = current_database())") == [(0,)]
