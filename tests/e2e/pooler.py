"""PgBouncer between the workers and the database, configured as doc/operating.md has it."""

import configparser
import os
import re
import shlex
import subprocess
import time

import psycopg2

PGBOUNCER = shlex.split(os.environ.get("JOBFORGE_TEST_PGBOUNCER", ""))


def documented(source):
    """The configuration that doc/operating.md shows: the indented block that begins with [databases]."""
    with open(os.path.join(source, "doc", "operating.md")) as file:
        block = re.search(r"^    \[databases\]\n(?:    .*\n|\n)*", file.read(), re.M).group()
    parser = configparser.RawConfigParser()
    parser.read_string(re.sub(r"^    ", "", block, flags=re.M))
    return parser


class PgBouncer:
    """
    Listens in `directory` for the database of `server`, the parts of a connection string. Only addresses, names and the way of
    authentication differ from what the document says, and what `options` say.
    """

    def __init__(self, source, directory, server, **options):
        self.directory = directory
        self.server = server
        self.parser = documented(source)
        self.parser.remove_option("databases", "jobforge")
        self.limit = None
        section = self.parser["pgbouncer"]
        section.update({
            "listen_addr": "", "unix_socket_dir": directory, "auth_type": "trust", "auth_file": self.path("pgbouncer.users"),
            "admin_users": "jobforge_app", "logfile": self.path("pgbouncer.log"), "pidfile": self.path("pgbouncer.pid"),
            **{key: str(value) for key, value in options.items()}})
        self.process = None

    def path(self, name):
        return os.path.join(self.directory, name)

    @property
    def conninfo(self):
        """Of the workers."""
        port = self.parser["pgbouncer"]["listen_port"]
        return f"host={self.directory} port={port} dbname={self.server['dbname']} user=jobforge_app"

    def configure(self, statement_timeout):
        """Its sessions of the server begin with the same limit that the workers ask for."""
        if statement_timeout == self.limit:
            return
        self.limit = statement_timeout
        words = [f"{key}={value}" for key, value in self.server.items() if key != "user"]
        self.parser["databases"][self.server["dbname"]] = " ".join(
            [*words, f"connect_query='SET statement_timeout = {statement_timeout}'"])
        with open(self.path("pgbouncer.ini"), "w") as file:
            self.parser.write(file)
        if self.process is not None:
            self.tell("RELOAD")
            self.tell("RECONNECT")

    def start(self):
        with open(self.path("pgbouncer.users"), "w") as file:
            file.write('"jobforge_app" ""\n')
        for left in ("pgbouncer.pid", ".s.PGSQL." + self.parser["pgbouncer"]["listen_port"]):
            if os.path.exists(self.path(left)):
                os.unlink(self.path(left))
        self.process = subprocess.Popen([*PGBOUNCER, "-q", self.path("pgbouncer.ini")], stdin=subprocess.DEVNULL,
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd="/", start_new_session=True)
        end = time.monotonic() + 20
        while not os.path.exists(self.path(".s.PGSQL." + self.parser["pgbouncer"]["listen_port"])):
            assert self.process.poll() is None and time.monotonic() < end, "PgBouncer does not start: " + self.log()[-2000:]
            time.sleep(0.01)

    def kill(self):
        if self.process is not None:
            self.process.kill()
            self.process.wait()
        self.process = None

    def connect(self, database):
        connection = psycopg2.connect(f"{self.conninfo} dbname={database}")
        connection.autocommit = True
        return connection

    def tell(self, command):
        """A command of its console: RELOAD, PAUSE, RESUME, RECONNECT, SHOW. Rows of a SHOW, each a dictionary."""
        console = self.connect("pgbouncer")
        try:
            with console.cursor() as cursor:
                cursor.execute(command)
                names = [column.name for column in cursor.description or ()]
                return [dict(zip(names, row)) for row in cursor.fetchall()] if names else []
        finally:
            console.close()

    def log(self):
        try:
            with open(self.path("pgbouncer.log"), errors="replace") as file:
                return file.read()
        except FileNotFoundError:
            return ""
