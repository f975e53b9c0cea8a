"""PostgreSQL servers of a test's own, which it may kill, freeze and promote. ./dev says how their programs are started."""

import os
import shlex
import shutil
import signal
import subprocess
import time

import psycopg2

import stack
from stack import children, die_with_parent, wait_for

WRAP = shlex.split(os.environ.get("JOBFORGE_TEST_PG_WRAP", ""))
PROGRAMS = os.environ.get("JOBFORGE_TEST_PG_PROGRAMS", "")
DATA = os.environ.get("JOBFORGE_TEST_PG_DATA", " ").split(" ")        # as seen from outside, and by the programs
SOCKETS = os.environ.get("JOBFORGE_TEST_PG_SOCKETS", " ").split(" ")

SETTINGS = """
listen_addresses = ''
max_connections = 100
shared_buffers = 32MB
wal_keep_size = 256MB
log_line_prefix = '%m [%p] '
"""


class Server:
    """Data and sockets are in directories of this name beside those of the server that all tests share."""

    def __init__(self, name):
        self.name = name
        self.data, self.sockets = os.path.join(DATA[0], name), os.path.join(SOCKETS[0], name)
        self.inner_data, self.inner_sockets = os.path.join(DATA[1], name), os.path.join(SOCKETS[1], name)
        self.process = None

    def dsn(self, database="postgres", user="postgres"):
        return f"host={self.sockets} dbname={database} user={user}"

    def run(self, program, *words):
        done = subprocess.run([*WRAP, os.path.join(PROGRAMS, program), *words], cwd="/", stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, f"{program}: {done.stdout}{done.stderr}"

    def create(self):
        self.run("initdb", "-D", self.inner_data, "--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8")
        with open(os.path.join(self.data, "postgresql.conf"), "a") as file:
            file.write(SETTINGS)

    def follow(self, primary):
        """Makes it a standby: a copy of the primary, which from then on sends it all that it writes."""
        shutil.rmtree(self.data, ignore_errors=True)
        self.run("pg_basebackup", "-h", primary.inner_sockets, "-U", "postgres", "-D", self.inner_data, "-R", "-c", "fast")
        # What the primary was told by ALTER SYSTEM is not meant for it, but whom to follow is.
        path = os.path.join(self.data, "postgresql.auto.conf")
        with open(path) as file:
            lines = [line for line in file if line.startswith("primary_conninfo")]
        with open(path, "w") as file:
            file.write(lines[-1])

    def start(self):
        os.makedirs(self.sockets, exist_ok=True)
        with open(os.path.join(DATA[0], self.name + ".log"), "ab") as log:
            self.process = subprocess.Popen(
                [*WRAP, os.path.join(PROGRAMS, "postgres"), "-D", self.inner_data, "-c",
                 "unix_socket_directories=" + self.inner_sockets, "-c", "cluster_name=" + self.name],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/", preexec_fn=die_with_parent, start_new_session=True)
        self.wait()

    def wait(self):
        """Until it takes connections; returns when that was."""
        def up():
            assert self.process.poll() is None, f"{self.name} ended"
            try:
                psycopg2.connect(self.dsn()).close()
                return time.monotonic()
            except psycopg2.OperationalError:
                return None
        return wait_for(up, 60, self.name, pause=0.005)

    def sql(self, statement):
        connection = psycopg2.connect(self.dsn())
        try:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(statement)
                return cursor.fetchall() if cursor.description else None
        finally:
            connection.close()

    def set(self, **settings):
        for name, value in settings.items():
            self.sql(f"ALTER SYSTEM SET {name} = '{value}'")
        self.sql("SELECT pg_reload_conf()")

    def processes(self):
        with open(os.path.join(self.data, "postmaster.pid")) as file:
            postmaster = int(file.readline())
        return [postmaster, *children(postmaster)]

    def signal(self, number):
        for pid in self.processes():
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                pass

    def freeze(self):
        """It takes connections, as the kernel does that for it, and says nothing."""
        self.signal(signal.SIGSTOP)

    def kill(self):
        """kill -9 of all its processes: nothing is written any more."""
        if self.process is None:
            return
        try:
            pids = self.processes()
            self.signal(signal.SIGKILL)
            wait_for(lambda: not any(alive(pid) for pid in pids), 20, f"the end of {self.name}")
            os.unlink(os.path.join(self.data, "postmaster.pid"))
        except FileNotFoundError:
            pass
        self.process.kill()
        self.process.wait()
        self.process = None
        for name in os.listdir(self.sockets):
            os.unlink(os.path.join(self.sockets, name))

    def promote(self):
        """Returns when it has become the primary."""
        assert self.sql("SELECT pg_promote(true, 60)") == [(True,)], f"{self.name} is not promoted"
        return time.monotonic()

    def remove(self):
        self.kill()
        shutil.rmtree(self.data, ignore_errors=True)
        shutil.rmtree(self.sockets, ignore_errors=True)


def alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


class Alone:
    """One server, on which stacks are made while the block runs."""

    def __init__(self):
        self.server = Server(f"alone-{os.getpid()}")

    def __enter__(self):
        self.cluster = stack.CLUSTER
        try:
            self.server.create()
            self.server.start()
        except BaseException:
            self.server.remove()
            raise
        stack.CLUSTER = self.server.dsn()
        return self.server

    def __exit__(self, *_):
        stack.CLUSTER = self.cluster
        self.server.remove()


class Pair:
    """
    Two servers, one of which follows the other: a commit is answered when both have it. Stacks that are made while the block runs
    know both, and use the one that takes writes.
    """

    def __init__(self):
        self.servers = [Server(f"{letter}-{os.getpid()}") for letter in "ab"]

    def __enter__(self):
        self.cluster = stack.CLUSTER
        try:
            self.primary, self.standby = self.servers
            self.primary.create()
            self.primary.start()
            self.pair_up()
        except BaseException:
            self.remove()
            raise
        return self

    def __exit__(self, *_):
        stack.CLUSTER = self.cluster
        self.remove()

    def remove(self):
        for server in self.servers:
            server.remove()

    def pair_up(self):
        """The standby starts anew from what the primary has, and commits wait for it from then on."""
        self.standby.kill()
        self.standby.follow(self.primary)
        self.standby.start()
        self.primary.set(synchronous_standby_names="*", synchronous_commit="on")
        wait_for(self.in_step, 60, "a standby in step")
        # The primary first: a standby may not have heard of a new database yet, and libpq then asks no other.
        hosts = f"{self.primary.sockets},{self.standby.sockets}"
        stack.CLUSTER = f"host={hosts} port=5432 dbname=postgres user=postgres target_session_attrs=read-write connect_timeout=2"

    def in_step(self):
        """Whether commits wait for the standby."""
        return self.primary.sql("SELECT sync_state FROM pg_stat_replication") == [("sync",)]

    def exchange(self):
        """The standby becomes the primary; returns when that was."""
        promoted = self.standby.promote()
        self.primary, self.standby = self.standby, self.primary
        return promoted
