"""What the processes may do, what others see of them, and what stays of a secret in memory and in logs."""

import base64
import glob
import os
import pwd
import re
import secrets
import shutil
import signal
import socket
import ssl
import subprocess
import threading
from contextlib import contextmanager

import pytest
from psycopg2.extensions import make_dsn, parse_dsn

import stack as harness
from stack import Stack, assert_confined, child_environment, conninfo, die_with_parent, process_status, wait_for
from tokens import base64url

CAP_KILL, CAP_SETGID, CAP_SETUID = 5, 6, 7
OPTIONS = {"plain": True, "api_workers": 1, "auth_workers": 1}


def assert_all_confined(stack):
    assert len(stack.workers()) == 3
    wait_for(lambda: all(process_status(pid)["Seccomp"] == "2" for pid in stack.workers()), 10, "the filters")
    assert_confined(stack.jobforged.pid, False)
    for pid in stack.workers():
        assert_confined(pid, True)


def use(stack):
    """Something of each pool, and of what a worker does in a process of its own."""
    user = stack.user()
    user.post("/auth/login", {"email": user.email, "password": user.password}).ok()
    made = user.create()
    report = f"/applications/{made['id']}/documents/research_report"
    assert user.put(report, {"content": "# A report\n\n" + "It is a company. " * 10}).status == 201
    page = user.get(report, headers={"Accept": "text/html"})
    assert page.status == 200 and b"<h1>A report</h1>" in page.body, page
    assert user.get("/me/export").status == 200
    return user


@pytest.mark.parametrize("plain", [True, False], ids=["plain", "sanitized"])
def test_processes_are_confined_from_start_to_end(plain):
    with Stack(plain=plain, api_workers=1, auth_workers=1) as stack:
        assert_all_confined(stack)
        use(stack)
        stack.reload()
        assert_all_confined(stack)
        use(stack)
        [victim] = [pid for pid in stack.workers()][:1]
        os.kill(victim, signal.SIGKILL)
        wait_for(lambda: len(stack.workers()) == 3 and victim not in stack.workers(), 10, "another worker")
        stack.wait_ready()
        assert_all_confined(stack)
        use(stack)


def test_without_the_sandbox_there_is_no_filter_and_memory_can_be_looked_at(stack):
    with Stack(plain=True, api_workers=1, auth_workers=1, sandbox="off") as open_stack:
        for pid in open_stack.workers():
            found = process_status(pid)
            assert found["Seccomp_filters"] == process_status(os.getpid())["Seccomp_filters"]
            assert found["NoNewPrivs"] == "1" and int(found["CapEff"], 16) == 0
            assert os.stat(f"/proc/{pid}/environ").st_uid == os.getuid()
        use(open_stack)


# --- A database that is reached by TCP, with TLS --------------------------------------------------------------------

class Gate:
    """
    A way by TCP to the tests' database server, which listens on a unix socket alone. Speaks TLS to those who ask for it.
    It may be shut, and what it has let in thrown out.
    """

    def __init__(self, stack):
        parts = parse_dsn(harness.CLUSTER)
        self.path = f"{parts['host']}/.s.PGSQL.{parts.get('port', 5432)}"
        self.certificate = (stack.path("tls.crt"), stack.path("tls.key"))
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.open = True
        self.encrypted = 0
        self.refused = 0
        self.inside = []
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                peer, _ = self.listener.accept()
            except OSError:
                return
            if self.open:
                threading.Thread(target=self.admit, args=(peer,), daemon=True).start()
            else:
                self.refused += 1
                peer.close()

    def admit(self, peer):
        try:
            if peer.recv(8, socket.MSG_PEEK)[4:] == b"\x04\xd2\x16\x2f":  # SSLRequest
                peer.recv(8)
                peer.sendall(b"S")
                # One each: while it loads a certificate, a handshake of another thread's may crash (cpython#134698).
                context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
                context.load_cert_chain(*self.certificate)
                peer = context.wrap_socket(peer, server_side=True)
                self.encrypted += 1
            server = socket.socket(socket.AF_UNIX)
            server.connect(self.path)
        except OSError:
            peer.close()
            return
        self.inside += [peer, server]
        back = threading.Thread(target=self.copy, args=(server, peer), daemon=True)
        back.start()
        self.copy(peer, server)

    @staticmethod
    def copy(source, target):
        try:
            while data := source.recv(65536):
                target.sendall(data)
        except OSError:
            pass
        for end in (source, target):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def throw_out(self):
        for end in self.inside:
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        self.inside.clear()

    def close(self):
        self.listener.close()
        self.throw_out()


class Remote(Stack):
    """The stack behind a Gate, which is shut when the workers start if `shut` says so."""

    sslmode = "require"

    def __init__(self, shut, **conf):
        super().__init__(api_workers=1, auth_workers=1, **conf)
        self.shut = shut

    def start_jobforged(self, *flags):
        self.gate = Gate(self)
        self.gate.open = not self.shut
        self.write_conf(database=make_dsn(host="localhost", port=self.gate.port, dbname=self.name, user="jobforge_app",
                                          sslmode=self.sslmode))
        super().start_jobforged(*flags)
        if self.shut:
            wait_for(lambda: self.gate.refused >= 9, 20, "workers without a database")
            self.gate.open = True

    def _remove(self):
        self.gate.close()
        super()._remove()


@pytest.mark.parametrize("plain", [True, False], ids=["plain", "sanitized"])
@pytest.mark.parametrize("shut", [False, True], ids=["there at the start", "away at the start"])
def test_a_database_by_name_and_tls_is_found_again_inside_the_sandbox(plain, shut):
    with Remote(shut, plain=plain) as stack:
        stack.allow_errors('"event": "database"')
        use(stack)
        assert_all_confined(stack)
        workers = stack.workers()
        for _ in range(2):
            before = stack.gate.encrypted
            stack.gate.throw_out()
            wait_for(lambda before=before: stack.gate.encrypted >= before + 3, 20, "workers connected again")
            stack.wait_ready()
            use(stack)
        assert stack.workers() == workers, "a worker was ended"


class Demoted(Remote):
    """
    Workers who become another user, if the tests are run by root; that one may not reach the server's unix socket, nor look
    for certificates in the home of root.
    """

    sslmode = "disable"

    def __init__(self):
        super().__init__(False, plain=True, user="nobody")

    def write_keys(self, keys=None):
        super().write_keys(keys)
        if os.getuid() == 0:
            shutil.chown(self.path("keys"), "nobody")


def test_a_master_that_changes_the_user_keeps_what_that_takes():
    root = os.getuid() == 0
    user = pwd.getpwnam("nobody").pw_uid if root else os.getuid()
    with Demoted() as stack:
        for again in (False, True):
            if again:
                stack.reload()  # which signals and starts processes of another user
            use(stack)
            found = process_status(stack.jobforged.pid)
            kept = 1 << CAP_KILL | 1 << CAP_SETGID | 1 << CAP_SETUID if root else 0
            assert {int(found[name], 16) for name in ("CapPrm", "CapEff")} == {kept}
            assert not root or int(found["CapBnd"], 16) == kept
            for pid in stack.workers():
                assert_confined(pid, True, bounding=kept)
                assert process_status(pid)["Uid"].split() == [str(user)] * 4


# --- Secrets --------------------------------------------------------------------------------------------------------

def shown(pid):
    """What /proc shows of how a process was started."""
    text = b""
    for name in ("cmdline", "environ"):
        with open(f"/proc/{pid}/{name}", "rb") as file:
            text += file.read()
    return text


class Told(Stack):
    """jobforged is told its connection strings where they do not belong, and may be looked at by who runs the tests."""

    def __init__(self):
        super().__init__(plain=True, api_workers=1, auth_workers=1, sandbox="off")
        self.secrets = [f"geheim{secrets.token_hex(8)}" for _ in range(4)]

    def start_jobforged(self, *flags):
        argument, variable, password, admin = self.secrets
        self.write_conf(database=None, admin_database=f"host=/nonexistent user=a password={admin}")
        environment = {**child_environment(), "PGPASSWORD": password,
                       "JOBFORGE_BACKUP_DATABASE": f"host=/nonexistent user=b password={variable}"}
        with open(self.path("jobforged.log"), "ab") as log:
            self.jobforged = subprocess.Popen(
                [os.path.join(self.build, "jobforged"), "--config", self.path("jobforged.conf"),
                 f"--database={conninfo(self.name, 'jobforge_app')} password={argument}", *flags],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment, preexec_fn=die_with_parent,
                cwd=self.dir, start_new_session=True)


@pytest.fixture(scope="module")
def told():
    with Told() as stack:
        yield stack


def test_no_password_is_in_the_command_line_or_the_environment(told):
    for again in (False, True):
        if again:
            told.reload()  # which reads both again
        use(told)
        for pid in (told.jobforged.pid, *told.workers()):
            text = shown(pid)
            assert b"jobforged\0--config\0" in text and b"--database=*" in text, "the rest is there to read"
            assert not [secret for secret in told.secrets if secret.encode() in text]


def memory(pid):
    """All that a process can write to, in pieces."""
    with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb", buffering=0) as file:
        for line in maps:
            area, rights = line.split()[:2]
            if not rights.startswith("rw"):
                continue
            start, end = (int(number, 16) for number in area.split("-"))
            file.seek(start)
            try:
                yield file.read(end - start)
            except OSError:  # [vvar] and the like
                continue


def found_in(pid, *words):
    pieces = list(memory(pid))
    return {word for word in words if any(word in piece for piece in pieces)}


def test_workers_know_no_other_connection_string_than_their_own(told):
    argument, variable, password, admin = (secret.encode() for secret in told.secrets)
    use(told)
    for pid in told.workers():
        # A worker that has just been started forgets the others first, when it gets to it.
        wait_for(lambda pid=pid: found_in(pid, argument, variable, admin) == {argument}, 20,
                 "no more than the password of its connection, which libpq keeps")
    assert found_in(told.jobforged.pid, admin) == set()


class Session:
    """A user whose passwords and tokens are kept by this process alone; all that is asked of the auth pool is asked."""

    def __init__(self, stack, cookie):
        self.stack = stack
        self.email = f"user-{secrets.token_hex(6)}@example.com"
        self.secrets = []
        self.tokens = []
        self.cookie = cookie
        self.jar = None

    def secret(self, name):
        self.secrets.append(f"{name}-{secrets.token_hex(12)}")
        return self.secrets[-1]

    def post(self, path, body, *statuses, token=None):
        headers = {"X-Requested-With": "test"}
        if self.jar:
            headers["Cookie"] = "jobforge_refresh=" + self.jar
        if self.cookie and path in ("/auth/login", "/auth/register"):
            body = {**body, "cookie": True}
        answer = self.stack.anyone.post(path, body, headers=headers, token=token)
        assert answer.status in statuses, answer
        return self.take(answer)

    def take(self, answer):
        session = answer.json() if answer.body else {}
        for cookie in answer.headers.get_all("Set-Cookie") or []:
            self.jar = re.match("jobforge_refresh=([^;]*)", cookie)[1]
            self.secrets += [self.jar] if self.jar else []
        if "access_token" in session:
            self.tokens.append(session["access_token"])
        if "refresh_token" in session:
            self.secrets.append(session["refresh_token"])
        return session

    def refresh(self, token, *statuses):
        return self.post("/auth/refresh", {} if self.cookie else {"refresh_token": token}, *statuses)

    def live(self):
        first, second = self.secret("first"), self.secret("secönd \"\\ ")
        session = self.post("/auth/register", {"email": self.email, "password": first, "full_name": "A"}, 201)
        self.post("/auth/login", {"email": self.email, "password": self.secret("wrong")}, 401)
        self.post("/auth/login", {"email": "nobody@example.com", "password": self.secret("unknown")}, 401)
        self.post("/auth/login", {"email": self.email, "password": self.secret("long") + "x" * 200}, 401)
        self.post("/auth/register", {"email": "not an email", "password": self.secret("refused")}, 422)
        session = self.post("/auth/login", {"email": self.email, "password": first}, 200)
        session = self.refresh(session.get("refresh_token"), 200)
        change = {"current_password": first, "new_password": second}
        self.post("/me/password", change, 204, token=session["access_token"])
        session = self.post("/auth/login", {"email": self.email, "password": second}, 200)
        self.stack.anyone.get("/me", token=session["access_token"]).ok()
        session = self.refresh(session.get("refresh_token"), 200)
        self.post("/auth/logout", {} if self.cookie else {"refresh_token": session["refresh_token"]}, 204)
        self.post("/me/password", {"current_password": self.secret("guessed"), "new_password": first}, 403,
                  token=session["access_token"])
        return self


def spellings(secret):
    """As it is, and as JSON has it."""
    escaped = secret.replace("\\", "\\\\").replace('"', '\\"')
    return {secret.encode(), escaped.encode(), escaped.replace("ö", "\\u00f6").encode()}


@pytest.fixture(scope="module")
def scanned():
    """A stack whose memory may be read by whoever runs the tests."""
    with Stack(plain=True, api_workers=1, auth_workers=1, sandbox="off") as stack:
        yield stack


@pytest.mark.parametrize("cookie", [False, True], ids=["in bodies", "in cookies"])
def test_no_password_or_refresh_token_stays_in_memory(scanned, cookie):
    session = Session(scanned, cookie).live()
    kept = set().union(*(spellings(secret) for secret in session.secrets))
    assert len(session.secrets) >= 12
    for pid in scanned.workers():
        assert found_in(pid, b"jobforge-api"), "the memory could be read"
        assert found_in(pid, *kept) == set()
    assert any(found_in(pid, session.email.encode()) for pid in scanned.workers()), "what is no secret may stay"


def test_the_text_of_the_key_file_does_not_stay_in_memory(scanned):
    use(scanned)
    [(_, key)] = scanned.keys
    text = base64url(key).encode()
    for pid in scanned.workers():
        assert found_in(pid, key, text) == {key}
    assert found_in(scanned.jobforged.pid, key, text) == set(), "the master has no keys"


@contextmanager
def lost_connections(stack):
    """Ends the workers' connections again and again meanwhile."""
    done = threading.Event()

    def run():
        connection = harness.connect(stack.name)
        with connection.cursor() as sql:
            while not done.wait(0.05):
                sql.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s AND usename ="
                            " 'jobforge_app'", (stack.name,))
        connection.close()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


@pytest.mark.parametrize("cookie", [False, True], ids=["in bodies", "in cookies"])
def test_no_log_holds_a_secret(stack, cookie):
    stack.allow_errors('"event": "database"', '"event": "reload"')
    session = Session(stack, cookie).live()
    with lost_connections(stack):
        for _ in range(20):
            answer = stack.anyone.post("/auth/login", {"email": session.email, "password": session.secret("lost")})
            assert answer.status in (401, 429, 503), answer
            stack.anyone.get("/me", token=session.tokens[-1])
    # A reload that is refused, with a password where none can be used.
    database, password = stack.conf["database"], session.secret("database")
    stack.write_conf(database=f"host=/nonexistent user=jobforge_app password={password}")
    stack.jobforged.send_signal(signal.SIGHUP)
    wait_for(lambda: stack.logged("reload", "the old configuration stays"), 20, "a refused reload")
    stack.write_conf(database=f"{database} {password}")  # which is no connection string
    stack.jobforged.send_signal(signal.SIGHUP)
    wait_for(lambda: len(stack.logged("reload", "the old configuration stays")) > 1, 20, "a refused reload")
    stack.write_conf(database=database)
    stack.anyone.get("/me", token=session.tokens[0] + "x").problem(401)
    lines = stack.access_log()
    assert [line for line in lines if line["uri"].startswith("/api/v1/auth/login")]
    words = set().union(*(spellings(secret) for secret in session.secrets))
    words |= {token.rpartition(".")[2].encode() for token in session.tokens}
    for _, key in stack.keys:
        words |= {base64url(key).encode(), base64.b64encode(key), key.hex().encode()}
    logs = [path for path in glob.glob(stack.path("*")) if path.endswith((".log", ".err"))]
    assert len(logs) >= 3, logs
    for path in logs:
        with open(path, "rb") as file:
            text = file.read()
        assert not [word for word in words if word in text], path
