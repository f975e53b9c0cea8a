"""
One whole product for one test: a database of its own, jobforged, nginx over its real configuration.

Nothing is shared between two stacks but the migrated template database, so test files run side by side.
"""

import ctypes
import glob
import hashlib
import http.client
import json as jsonlib
import os
import re
import secrets
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import threading
import time
from contextlib import contextmanager

import psycopg2
from psycopg2.extensions import make_dsn, parse_dsn

from pooler import PGBOUNCER, PgBouncer

CLUSTER = os.environ.get("JOBFORGE_TEST_CLUSTER", "")
BUILD = os.environ.get("JOBFORGE_TEST_BUILD", "")
PLAIN_BUILD = os.environ.get("JOBFORGE_TEST_PLAIN_BUILD", "") or BUILD
SOURCE = os.environ.get("JOBFORGE_TEST_SOURCE", "") or os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))))
SHARED = os.path.join(SOURCE, "..", "shared")
POOLED = bool(PGBOUNCER) and bool(os.environ.get("JOBFORGE_TEST_POOLED"))

PASSWORD = "correct horse 1"
REQUEST_ID = re.compile(r"[0-9A-Za-z-]{8,64}")
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")
UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
NO_SUCH_ID = "00000000-0000-4000-8000-000000000000"

# What a sanitizer writes before it ends the process.
SANITIZER = re.compile(r"AddressSanitizer|LeakSanitizer|UndefinedBehaviorSanitizer|runtime error:")

# Written besides what a request asks for: login attempts when they are counted, figures once a minute.
COUNTERS = ("jobforge.login_attempts", "public.performance_metrics")

UNSET = object()


LONG = 30
# Limits as they are unless configured; the tests' own have more patience, for a machine that has other things to do.
SHIPPED = {"connect_timeout": 1000, "queue_timeout": 3000}


def wait_for(condition, timeout=15, what="condition", pause=0.02):
    """
    Polls until `condition()` is true and returns its value; fails the test after `timeout` seconds, or LONG, for what takes a moment
    takes longer when others have the processors.
    """
    end = time.monotonic() + max(timeout, LONG)
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"{what}: not within {max(timeout, LONG)} s")
        time.sleep(pause)


def cpu_seconds(pid):
    """Processor time that a process has used."""
    with open(f"/proc/{pid}/stat") as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def together(count, function):
    """Runs `function(index)` in `count` threads that start at the same moment; returns the results in order."""
    barrier = threading.Barrier(count)
    results = [None] * count

    def run(index):
        barrier.wait()
        try:
            results[index] = function(index)
        except BaseException as error:  # handed to the caller below
            results[index] = error

    threads = [threading.Thread(target=run, args=(index,)) for index in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return results


def free_ports(count):
    """Different ones."""
    probes = [socket.socket() for _ in range(count)]
    try:
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]
    finally:
        for probe in probes:
            probe.close()


def free_port():
    return free_ports(1)[0]


def die_with_parent():
    """In the child: SIGTERM when the test process ends in whatever way (prctl(2), PR_SET_PDEATHSIG)."""
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)


def child_environment():
    """
    The environment without the settings of the tests, so that JOBFORGE_* of the caller configures nothing. What a sanitizer
    ends has a status that no program has by itself.
    """
    environment = {key: value for key, value in os.environ.items()
                   if not key.startswith(("JOBFORGE_", "PG", "ASAN_", "UBSAN_", "LSAN_"))}
    environment["ASAN_OPTIONS"] = "halt_on_error=1:detect_leaks=1:abort_on_error=0:exitcode=99"
    environment["UBSAN_OPTIONS"] = "halt_on_error=1:print_stacktrace=1:exitcode=99"
    return environment


def children(parent):
    """The process ids of the children of a process."""
    found = []
    for path in glob.glob("/proc/[0-9]*/stat"):
        try:
            with open(path) as file:
                state, ppid = file.read().rpartition(")")[2].split()[:2]
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(ppid) == parent and state != "Z":
            found.append(int(path.split("/")[2]))
    return sorted(found)


def process_status(pid):
    """/proc/PID/status (proc(5)) as a dictionary."""
    with open(f"/proc/{pid}/status") as file:
        return {name: value.strip() for name, _, value in (line.partition(":") for line in file)}


def assert_confined(pid, filtered, bounding=0):
    """No capabilities and no way to any; `filtered`: held to some system calls, more than the tests themselves are."""
    found, own = process_status(pid), process_status(os.getpid())
    assert found["NoNewPrivs"] == "1"
    assert {int(found[name], 16) for name in ("CapInh", "CapPrm", "CapEff", "CapAmb")} == {0}
    # Whoever has no CAP_SETPCAP cannot change it, and without new privileges it has nothing to bound.
    assert os.getuid() != 0 or int(found["CapBnd"], 16) == bounding
    if filtered:
        assert found["Seccomp"] == "2"
        assert int(found["Seccomp_filters"]) == int(own["Seccomp_filters"]) + 1
    with open(f"/proc/{pid}/limits") as file:
        assert re.search(r"^Max core file size +0 +0 ", file.read(), re.M)
    # What is not to be dumped belongs to root.
    assert os.stat(f"/proc/{pid}/environ").st_uid == 0


# --- Databases ------------------------------------------------------------------------------------------------------

def conninfo(database, user=None):
    parts = parse_dsn(CLUSTER)
    parts["dbname"] = database
    if user:
        parts["user"] = user
    return make_dsn(**parts)


def connect(database, user=None):
    connection = psycopg2.connect(conninfo(database, user))
    connection.autocommit = True
    return connection


def migrations_checksum():
    digest = hashlib.sha256()
    for path in sorted(glob.glob(os.path.join(SOURCE, "sql", "migrations", "*.sql"))):
        with open(path, "rb") as file:
            digest.update(os.path.basename(path).encode() + b"\0" + file.read())
    return digest.hexdigest()[:12]


def migrate(database):
    """Runs the product's own migrations, as an operator would."""
    subprocess.run([os.path.join(PLAIN_BUILD, "jobforgectl"), "migrate", "--admin-database=" + conninfo(database),
                    "--directory", os.path.join(SOURCE, "sql", "migrations")],
                   env=child_environment(), check=True, stdout=subprocess.DEVNULL, timeout=120)


def create_database(name):
    """A migrated database: a copy of a template that the first of all the tests makes while the others wait."""
    template = "jobforge_e2e_template_" + migrations_checksum()
    with connect(parse_dsn(CLUSTER).get("dbname", "postgres")).cursor() as sql:
        sql.execute("SELECT pg_advisory_lock(hashtext('jobforge_e2e_template'))")
        try:
            sql.execute("SELECT 1 FROM pg_database WHERE datname = %s", (template,))
            if sql.fetchone() is None:
                # Those of other migrations have served, or were left half made.
                sql.execute("SELECT datname FROM pg_database WHERE datname LIKE 'jobforge\\_e2e\\_template\\_%'")
                for old, in sql.fetchall():
                    sql.execute(f'DROP DATABASE IF EXISTS "{old}" WITH (FORCE)')
                sql.execute(f'CREATE DATABASE "{template}_new" TEMPLATE template0 ENCODING \'UTF8\'')
                migrate(template + "_new")
                sql.execute(f'ALTER DATABASE "{template}_new" RENAME TO "{template}"')
            sql.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
            # What 0001 takes from everybody, a copy has again.
            sql.execute(f'REVOKE CREATE, TEMPORARY ON DATABASE "{name}" FROM PUBLIC')
        finally:
            sql.execute("SELECT pg_advisory_unlock(hashtext('jobforge_e2e_template'))")
            sql.connection.close()


def drop_database(name):
    connection = connect(parse_dsn(CLUSTER).get("dbname", "postgres"))
    with connection.cursor() as sql:
        sql.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
    connection.close()


# --- HTTP -----------------------------------------------------------------------------------------------------------

class Response:
    def __init__(self, status, headers, body):
        self.status = status
        self.headers = headers  # http.client.HTTPMessage: case-insensitive get(), get_all()
        self.body = body

    def __repr__(self):
        return f"<{self.status} {self.body[:600]!r}>"

    def json(self):
        return jsonlib.loads(self.body)

    def ok(self, status=200):
        """Asserts the status and returns the decoded body (None when there is none)."""
        assert self.status == status, self
        assert REQUEST_ID.fullmatch(self.headers.get("X-Request-Id", "")), self.headers.items()
        if not self.body:
            return None
        assert self.headers.get("Content-Type") == "application/json", self.headers.items()
        return self.json()

    def problem(self, *statuses, slug=None):
        """Asserts an error as RFC 9457 and the contract have it and returns the decoded body."""
        assert self.status in statuses, self
        assert self.headers.get("Content-Type") == "application/problem+json", (self.headers.items(), self)
        problem = self.json()
        assert {"type", "title", "status", "detail", "instance"} <= set(problem), problem
        assert set(problem) <= {"type", "title", "status", "detail", "instance", "errors", "limit"}, problem
        assert ("limit" in problem) == (problem["type"] == "/problems/plan-limit"), problem
        assert re.fullmatch(r"/problems/[a-z][a-z0-9-]*", problem["type"]), problem
        assert slug is None or problem["type"] == "/problems/" + slug, problem
        assert problem["status"] == self.status
        assert isinstance(problem["title"], str) and problem["title"]
        assert isinstance(problem["detail"], str) and problem["detail"]
        assert REQUEST_ID.fullmatch(problem["instance"]), problem
        assert problem["instance"] == self.headers.get("X-Request-Id"), (problem, self.headers.items())
        for word in ("SELECT ", "INSERT ", "UPDATE ", "relation", "libpq", "PostgreSQL", "nginx", "SQLSTATE"):
            assert word.lower() not in self.body.decode().lower().replace("update it", "").replace("insert, update", ""), (word, self)
        if self.status == 401:
            assert (self.headers.get("WWW-Authenticate") or "Bearer").startswith("Bearer"), self.headers.items()
        if self.status in (429, 503):
            assert int(self.headers["Retry-After"]) >= 1, self.headers.items()
        return problem

    def faults(self):
        """The pointers of a validation error, sorted."""
        problem = self.problem(422)
        assert problem["errors"], problem
        for fault in problem["errors"]:
            assert set(fault) == {"pointer", "detail"} and fault["detail"], fault
        return sorted(fault["pointer"] for fault in problem["errors"])


class Client:
    """
    One HTTP client with kept connections, one to a thread. A request is sent once: never again by itself.
    """

    def __init__(self, stack, token=None, https=False, base="/api/v1"):
        self.stack = stack
        self.token = token
        self.https = https
        self.base = base
        self.local = threading.local()

    def _connection(self):
        kept = getattr(self.local, "connection", None)
        if kept is not None and kept.sock is not None:
            # nginx may have closed it meanwhile; an idle connection that is readable is at its end.
            kept.sock.settimeout(0)
            try:
                closed = kept.sock.recv(1, socket.MSG_PEEK if not self.https else 0) == b""
            except (BlockingIOError, ssl.SSLWantReadError):
                closed = False
            except OSError:
                closed = True
            kept.sock.settimeout(20)
            if not closed:
                return kept
            kept.close()
        self.local.connection = self.stack.open(self.https)
        return self.local.connection

    def close(self):
        kept = getattr(self.local, "connection", None)
        if kept is not None:
            kept.close()

    def request(self, method, path, json=UNSET, body=None, headers=None, token=UNSET, type="application/json",
                chunked=False):
        """`json` is encoded; `body` is sent as it is, under the media type `type` (None: no Content-Type)."""
        if json is not UNSET:
            body = jsonlib.dumps(json, ensure_ascii=False).encode()
        send = {}
        if body is not None and type is not None:
            send["Content-Type"] = type
        token = self.token if token is UNSET else token
        if token is not None:
            send["Authorization"] = "Bearer " + token
        send.update(headers or {})
        connection = self._connection()
        try:
            if chunked:
                chunks = [body[start:start + 1000] for start in range(0, len(body), 1000)]
                connection.request(method, self.base + path, iter(chunks), send, encode_chunked=True)
            else:
                connection.request(method, self.base + path, body, send)
            answer = connection.getresponse()
            response = Response(answer.status, answer.headers, answer.read())
        except BaseException:
            connection.close()
            raise
        if answer.will_close:
            connection.close()
        return response

    def get(self, path, **options):
        return self.request("GET", path, **options)

    def post(self, path, json=UNSET, **options):
        return self.request("POST", path, json, **options)

    def patch(self, path, json=UNSET, **options):
        return self.request("PATCH", path, json, **options)

    def put(self, path, json=UNSET, **options):
        return self.request("PUT", path, json, **options)

    def delete(self, path, json=UNSET, **options):
        return self.request("DELETE", path, json, **options)


class User(Client):
    """A client that is signed in as a user of its own."""

    def __init__(self, stack, https=False, email=None, password=PASSWORD, full_name="Test Person"):
        super().__init__(stack, https=https)
        self.email = email or f"user-{secrets.token_hex(6)}@example.com"
        self.password = password
        answer = self.post("/auth/register", {"email": self.email, "password": password, "full_name": full_name})
        session = answer.ok(201)
        self.id = session["user"]["id"]
        self.token = session["access_token"]
        self.refresh_token = session["refresh_token"]

    def create(self, company="Acme", role="Engineer", **fields):
        """Creates an application and returns it."""
        body = {"company_name": company, "role_title": role,
                "job_description": "A position of which this text is the description, long enough to be one.", **fields}
        return self.post("/applications", body).ok(201)

    def create_many(self, applications):
        bodies = [{"company_name": "Acme", "role_title": "Engineer",
                   "job_description": "A position of which this text is the description, long enough to be one.",
                   **fields} for fields in applications]
        return self.post("/applications", bodies).ok(201)["data"]


# --- The stack ------------------------------------------------------------------------------------------------------

class Stack:
    """
    with Stack(api_workers=2) as stack: ...

    `conf` overrides keys of jobforged.conf, `nginx` variables of the nginx templates; `plain` takes the build without
    sanitizers, `pooled` puts PgBouncer before the database. nginx exempts loopback from its rates, so that only X-Forwarded-For
    meets them. nginx and jobforged have a session each, as where they are installed: Linux shares processors out to sessions
    (sched(7), autogroup).
    """

    def __init__(self, plain=False, nginx=None, pooled=POOLED, **conf):
        self.build = PLAIN_BUILD if plain else BUILD
        self.name = "jobforge_e2e_" + secrets.token_hex(6)
        self.dir = tempfile.mkdtemp(prefix="jf-", dir="/tmp")
        os.chmod(self.dir, 0o755)
        self.pooler = PgBouncer(SOURCE, self.dir, parse_dsn(conninfo(self.name))) if pooled else None
        self.conf = {
            "database": self.pooler.conninfo if pooled else conninfo(self.name, "jobforge_app"),
            "api_socket": self.path("api.sock"),
            "auth_socket": self.path("auth.sock"),
            "bulk_socket": self.path("bulk.sock"),
            "pid_file": self.path("jobforged.pid"),
            "token_keys": self.path("keys"),
            "refusals_log": self.path("refusals.log"),
            "api_workers": 2,
            "auth_workers": 2,
            "bulk_workers": 1,
            "bcrypt_cost": 4,
            "connect_timeout": 4000,
            "queue_timeout": 4500,
            "log_level": "debug",
            **conf,
        }
        self.nginx_variables = dict(nginx or {})
        self.keys = [("first", secrets.token_bytes(32))]
        self.allowed = []
        self.jobforged = None
        self.nginx = None
        self.admin = None

    def path(self, name):
        return os.path.join(self.dir, name)

    def __enter__(self):
        try:
            return self.start()
        except BaseException:
            self._show_logs()
            self._remove()
            raise

    def __exit__(self, kind, error, trace):
        try:
            self.stop()
        finally:
            self._remove()

    # Start and stop

    def make_database(self):
        create_database(self.name)

    def remove_database(self):
        drop_database(self.name)

    def start(self):
        self.make_database()
        self.admin = connect(self.name)
        self.write_keys()
        self.write_conf()
        self._certificate()
        if self.pooler is not None:
            self.pooler.start()
        self.start_jobforged()
        self.start_nginx()
        self.root = Client(self, base="")
        self.anyone = Client(self)
        self.wait_ready()
        return self

    def wait_ready(self, timeout=30):
        def ready():
            assert self.jobforged.poll() is None, "jobforged ended: " + self.log()[-3000:]
            assert self.nginx.poll() is None, "nginx ended: " + self.read("nginx.err")[-3000:]
            try:
                return self.root.get("/readyz").status == 200
            except OSError:
                return False
        wait_for(ready, timeout, "/readyz")

    def stop(self):
        """Stops everything, then judges: clean exit, no sanitizer report, no error in the log but the allowed ones."""
        self.stop_nginx()
        code = self.stop_jobforged()
        report = [line for line in self.log().splitlines() if SANITIZER.search(line)]
        assert not report, "sanitizer report:\n" + self.log()[-12000:]
        assert code in (0, None), f"jobforged exited with {code}\n" + self.log()[-3000:]
        errors = [line for line in self.log_lines() if line["level"] == "error"
                  and not any(re.search(pattern, jsonlib.dumps(line)) for pattern in self.allowed)]
        assert not errors, "errors in the log: " + "\n".join(jsonlib.dumps(line) for line in errors[:20])

    def allow_errors(self, *patterns):
        """Error lines of the log that match one of these regular expressions are expected."""
        self.allowed.extend(patterns)

    def _remove(self):
        for process in (self.nginx, self.jobforged):
            if process is not None and process.poll() is None:
                process.terminate()
                try:
                    process.wait(10)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()
        if self.pooler is not None:
            self.pooler.kill()
        if self.admin is not None:
            self.admin.close()
        try:
            self.remove_database()
        finally:
            if os.environ.get("JOBFORGE_TEST_KEEP"):
                print("# kept:", self.dir)
            else:
                shutil.rmtree(self.dir, ignore_errors=True)

    def _show_logs(self):
        for name in ("jobforged.log", "nginx.err", "pgbouncer.log"):
            print(f"--- {name}\n" + self.read(name)[-4000:])

    def start_jobforged(self, *flags):
        with open(self.path("jobforged.log"), "ab") as log:
            self.jobforged = subprocess.Popen(
                [os.path.join(self.build, "jobforged"), "--config", self.path("jobforged.conf"), *flags],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=child_environment(),
                preexec_fn=die_with_parent, cwd=self.dir, start_new_session=True)

    def stop_jobforged(self):
        """SIGTERM and its exit status, None when it did not run."""
        if self.jobforged is None:
            return None
        if self.jobforged.poll() is None:
            self.jobforged.terminate()
        code = self.jobforged.wait(40)
        self.jobforged = None
        return code

    def start_nginx(self):
        for _ in range(5):
            self.http_port, self.https_port = free_ports(2)
            self._render_nginx()
            with open(self.path("nginx.err"), "ab") as log:
                self.nginx = subprocess.Popen(["nginx", "-p", self.dir, "-e", self.path("nginx.err"), "-c",
                                               self.path("nginx.conf"), "-g", "daemon off;"],
                                              env={**os.environ, "PATH": os.environ["PATH"] + ":/usr/sbin:/sbin"},
                                              stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                              preexec_fn=die_with_parent, cwd=self.dir, start_new_session=True)
            if self._listening():
                return
            # Another test may have taken a port between free_ports() and here.
            assert "Address already in use" in self.read("nginx.err"), self.read("nginx.err")
        raise AssertionError("nginx found no free port")

    def _listening(self):
        def connected():
            if self.nginx.poll() is not None:
                return True
            if not children(self.nginx.pid):
                return False  # it has not bound yet: who answers there is another
            try:
                socket.create_connection(("127.0.0.1", self.https_port), 1).close()
                socket.create_connection(("127.0.0.1", self.http_port), 1).close()
                return True
            except OSError:
                return False
        wait_for(connected, 10, "nginx listening")
        return self.nginx.poll() is None

    def stop_nginx(self):
        if self.nginx is not None and self.nginx.poll() is None:
            self.nginx.terminate()
            self.nginx.wait(20)
        self.nginx = None

    def hang_up(self):
        """Has nginx end the connections that it keeps to the workers, as it does by itself after ten seconds."""
        before = children(self.nginx.pid)
        self.nginx.send_signal(signal.SIGHUP)
        wait_for(lambda: set(before).isdisjoint(children(self.nginx.pid)), 15, "nginx reloaded")

    def reload(self, patient=False):
        """
        SIGHUP to jobforged, and waits until every worker of before is gone. `patient` leaves it to nginx when its kept
        connections end; otherwise they are ended once the new workers are there.
        """
        before = set(self.workers())
        self.jobforged.send_signal(signal.SIGHUP)
        if not patient:
            wait_for(lambda: len(set(self.workers()) - before) >= 2, 20, "new workers")
            time.sleep(0.1)
            self.hang_up()
        wait_for(lambda: before.isdisjoint(self.workers()), 40, "all workers replaced")

    def check(self, *flags):
        """jobforged -t with these flags: its exit status and what it said."""
        result = subprocess.run([os.path.join(self.build, "jobforged"), "-t", "--config", self.path("jobforged.conf"),
                                 *flags], env=child_environment(), capture_output=True, text=True, timeout=30)
        said = result.stdout + result.stderr
        assert not SANITIZER.search(said), said
        return result.returncode, said

    # What the product reads

    def write_keys(self, keys=None):
        """Writes the key file, the first key signs; replaced in one step, since a worker may be reading it."""
        from tokens import base64url
        self.keys = keys or self.keys
        with open(self.path("keys.new"), "w", opener=lambda path, flags: os.open(path, flags, 0o600)) as file:
            file.writelines(f"{kid} {base64url(secret)}\n" for kid, secret in self.keys)
        os.rename(self.path("keys.new"), self.path("keys"))

    def write_conf(self, **changes):
        self.conf.update(changes)
        if self.pooler is not None:
            self.pooler.configure(self.conf.get("statement_timeout", 4000))
        with open(self.path("jobforged.conf"), "w") as file:
            file.writelines(f"{key} = {value}\n" for key, value in self.conf.items() if value is not None)

    def _certificate(self):
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
                        "-nodes", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1",
                        "-addext", "keyUsage=critical,digitalSignature,keyCertSign", "-days", "2", "-keyout", self.path("tls.key"), "-out", self.path("tls.crt")],
                       check=True, stderr=subprocess.DEVNULL)

    def _render_nginx(self):
        """Makes nginx.conf from the product's own templates."""
        self._render("jobforge.conf.in", "site.conf", {
            "API_SOCKET": self.conf["api_socket"],
            "AUTH_SOCKET": self.conf["auth_socket"],
            "BULK_SOCKET": self.conf["bulk_socket"],
            "HTTPS_LISTEN": f"127.0.0.1:{self.https_port}",
            "HTTP_LISTEN": f"127.0.0.1:{self.http_port}",
            "CERTIFICATE": self.path("tls.crt"),
            "CERTIFICATE_KEY": self.path("tls.key"),
            "HTML": os.path.join(SOURCE, "nginx", "html"),
            "ACCESS_LOG": self.path("access.log"),
            "REFUSALS_LOG": self.path("refusals.log"),
            **self.nginx_variables,
        })
        self._render("nginx.conf.in", "nginx.conf", {
            "PREFIX": self.dir, "SITE": self.path("site.conf"), "ERROR_LOG": self.path("nginx.err"), "WORKERS": "1",
            "USER": "root" if os.getuid() == 0 else "",
        })

    def _render(self, template, name, variables):
        directory = os.path.join(SOURCE, "nginx")
        with open(self.path(name), "w") as file:
            subprocess.run([os.path.join(directory, "render"), os.path.join(directory, template),
                            *(f"{key}={value}" for key, value in variables.items())], check=True, stdout=file)

    # What the tests use

    def open(self, https=False, timeout=20):
        if https:
            context = ssl.create_default_context(cafile=self.path("tls.crt"))
            return http.client.HTTPSConnection("localhost", self.https_port, timeout=timeout, context=context)
        return http.client.HTTPConnection("127.0.0.1", self.http_port, timeout=timeout)

    def user(self, **options):
        return User(self, **options)

    def sql(self, statement, *values):
        """Runs it as the administrator, outside of row-level security; rows, or None for a statement without any."""
        with self.admin.cursor() as cursor:
            cursor.execute(statement, values or None)
            return cursor.fetchall() if cursor.description else None

    def tables(self):
        """The product's tables, in the spelling that a statement takes."""
        return [table for table, in self.sql("SELECT format('%I.%I', schemaname, tablename) FROM pg_tables"
                                             " WHERE schemaname IN ('public', 'jobforge') ORDER BY 1")]

    def snapshot(self):
        """What every table holds but the COUNTERS: a number of rows and a checksum each."""
        counts = [f"SELECT '{table}', count(*), md5(string_agg(t::text, ',' ORDER BY t::text)) FROM {table} t"
                  for table in self.tables() if table not in COUNTERS]
        return sorted(self.sql(" UNION ALL ".join(counts)))

    def raw(self, data, https=False, timeout=10, first=9):
        """
        Sends bytes as they are and returns every byte of the answer until the other side closes, or is silent for `timeout`; it has
        longer to begin, for want of processors, but not so long as nginx waits for the rest of a request.
        """
        with socket.create_connection(("127.0.0.1", self.https_port if https else self.http_port), max(first, timeout)) as plain:
            sock = ssl._create_unverified_context().wrap_socket(plain) if https else plain
            sock.sendall(data)
            received = b""
            try:
                while chunk := sock.recv(65536):
                    received += chunk
                    sock.settimeout(timeout)
            except (socket.timeout, ConnectionResetError):
                pass
            return received

    def exchange(self, data, method="GET", timeout=10):
        """Sends bytes as they are and reads one answer."""
        with socket.create_connection(("127.0.0.1", self.http_port), timeout) as sock:
            sock.sendall(data)
            answer = http.client.HTTPResponse(sock, method=method)
            answer.begin()
            return Response(answer.status, answer.headers, answer.read())

    def read(self, name):
        try:
            with open(self.path(name), errors="replace") as file:
                return file.read()
        except FileNotFoundError:
            return ""

    def log(self):
        return self.read("jobforged.log")

    def access_log(self):
        """
        Every line of nginx's access log so far, decoded. nginx keeps lines back for a second, so a request of our own marks where the
        log is to be read up to; its one worker writes them in the order in which it has answered.
        """
        mark = f"/?mark={secrets.token_hex(8)}"
        self.exchange(f"HEAD {mark} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode(), "HEAD")
        wait_for(lambda: mark in self.read("access.log"), 30, f"{mark} in the access log")
        lines = [jsonlib.loads(line) for line in self.read("access.log").splitlines()]
        return [line for line in lines if not line["uri"].startswith("/?mark=")]

    def log_lines(self):
        """Every line of jobforged's log, decoded; a line that is not JSON fails the test."""
        lines = []
        for line in self.log().splitlines():
            try:
                lines.append(jsonlib.loads(line))
            except ValueError:
                raise AssertionError("not JSON in the log: " + line) from None
        return lines

    def logged(self, event, text):
        """The lines of the log of this event whose message holds the text."""
        return [line for line in self.log_lines() if line["event"] == event and text in line.get("message", "")]

    def workers(self):
        """The process ids of the workers."""
        return children(self.jobforged.pid)


@contextmanager
def load(user, writes=False):
    """Requests without pause from four threads while the block runs; yields the list of what was not 200 or 201."""
    body = {"company_name": "Acme", "role_title": "Engineer", "job_description": "A description of a job. " * 4}
    wrong, count, done = [], [0], threading.Event()

    def run(index):
        while not done.is_set():
            try:
                if writes and index == 0:
                    answer = user.post("/applications", body)
                elif index == 1:
                    answer = user.get("/me", headers={"Connection": "close"})
                else:
                    answer = user.get("/applications?limit=1")
                count[0] += 1
                if answer.status not in (200, 201):
                    wrong.append(answer)
            except OSError as error:
                wrong.append(error)
            time.sleep(0.002)

    threads = [threading.Thread(target=run, args=(index,)) for index in range(4)]
    for thread in threads:
        thread.start()
    try:
        yield wrong
    finally:
        done.set()
        for thread in threads:
            thread.join()
    assert count[0] > 0, "no request was made"
