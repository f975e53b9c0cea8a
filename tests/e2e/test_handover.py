"""A new program in the place of the running one, sockets of systemd's, and what systemd is told."""

import os
import shutil
import signal
import socket
import subprocess
import sys

import pytest

from examples import APPLICATION
from stack import BUILD, Stack, assert_confined, child_environment, die_with_parent, load, process_status, wait_for

STAYS = "the old program stays"
NAMES = ("bulk", "auth", "api")  # in no order that the program knows
# Passes sockets on as systemd does: from 3 on, with their names, for this process alone.
PASS = f"""
import os, sys
high = [os.dup(int(number)) for number in sys.argv[1:4] for _ in range(4)][3::4]
for place, number in enumerate(high):
    os.dup2(number, 3 + place)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="3", LISTEN_FDNAMES="{":".join(NAMES)}")
os.execv(sys.argv[4], sys.argv[4:])
"""


class Installed(Stack):
    """A stack whose jobforged is a copy that can be replaced, started as systemd starts it."""

    def __init__(self, listening=False, **conf):
        # Without the sandbox, the program that runs may be looked at.
        super().__init__(**{"api_workers": 2, "auth_workers": 1, "log_level": "info", "sandbox": "off", **conf})
        self.build = self.path("sbin")
        self.listening = listening
        self.notified = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.notified.settimeout(30)
        os.mkdir(self.build)
        self.install()

    def start(self):
        self.notified.bind(self.path("notify"))
        return super().start()

    def install(self, text=None):
        """Puts a program where the running one was, in one step."""
        new = os.path.join(self.build, "new")
        if text is None:
            shutil.copy(os.path.join(BUILD, "jobforged"), new)
        else:
            with open(new, "w") as file:
                file.write(text)
            os.chmod(new, 0o755)
        os.rename(new, self.program)

    @property
    def program(self):
        return os.path.join(self.build, "jobforged")

    def start_jobforged(self, *flags):
        words, sockets = [self.program, "--config", self.path("jobforged.conf"), *flags], []
        if self.listening:
            sockets = [self.listen(name) for name in NAMES]
            words = [sys.executable, "-c", PASS, *(str(listener.fileno()) for listener in sockets), *words]
        with open(self.path("jobforged.log"), "ab") as log:
            self.jobforged = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.dir,
                                              env={**child_environment(), "NOTIFY_SOCKET": self.path("notify")},
                                              pass_fds=[listener.fileno() for listener in sockets],
                                              preexec_fn=die_with_parent)
        for listener in sockets:
            listener.close()

    def listen(self, name):
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listener.bind(self.path(name + ".sock"))
        listener.listen(128)
        return listener

    def told(self):
        return self.notified.recv(4096).decode()

    def runs_what_is_installed(self):
        return os.path.samefile(f"/proc/{self.jobforged.pid}/exe", self.program)


@pytest.fixture(params=[False, True], ids=["own sockets", "sockets of systemd's"])
def installed(request):
    with Installed(listening=request.param) as stack:
        yield stack


def test_sighup_goes_on_as_the_new_program_and_refuses_no_request(installed):
    user, before = installed.user(), set(installed.workers())
    assert installed.told() == "READY=1"
    installed.install()
    assert not installed.runs_what_is_installed()
    with load(user, writes=True) as wrong:
        installed.jobforged.send_signal(signal.SIGHUP)
        assert installed.told().startswith("RELOADING=1\nMONOTONIC_USEC=")
        assert installed.told() == "READY=1", "the new program is the same process"
        wait_for(lambda: before.isdisjoint(installed.workers()), 60, "all workers replaced")
    assert not wrong, wrong[:5]
    assert installed.runs_what_is_installed() and len(installed.workers()) == 4
    user.post("/applications", APPLICATION).ok(201)
    installed.reload()
    assert installed.told().startswith("RELOADING=1") and installed.told() == "READY=1"
    installed.stop_nginx()
    assert installed.stop_jobforged() == 0
    assert installed.told() == "STOPPING=1"
    for name in NAMES:
        assert os.path.exists(installed.path(name + ".sock")) == installed.listening, "a socket is removed by who made it"


def test_the_new_program_confines_itself_as_the_old_one_did():
    with Installed(sandbox="on") as stack:
        for text in (None, "#!/bin/sh\nexit 1\n", None):
            stack.allow_errors(STAYS)
            before = set(stack.workers())
            stack.install(text)
            stack.jobforged.send_signal(signal.SIGHUP)
            if text is None:
                wait_for(lambda before=before: before.isdisjoint(stack.workers()), 60, "all workers replaced")
            else:
                wait_for(lambda: stack.logged("reload", STAYS), 20, "the log says it")
            wait_for(lambda: all(process_status(pid)["Seccomp"] == "2" for pid in stack.workers()), 20, "the filters")
            for pid in (stack.jobforged.pid, *stack.workers()):
                assert_confined(pid, pid != stack.jobforged.pid)
            stack.user().get("/me").ok()


@pytest.mark.parametrize("program, reason", [
    ("#!/bin/sh\necho 'jobforged: the database is at schema version 1: run jobforgectl migrate' >&2\nexit 1\n",
     "run jobforgectl migrate"),
    ("half a program", "cannot be run"),
])
def test_a_new_program_that_cannot_run_changes_nothing(installed, program, reason):
    installed.allow_errors(STAYS)
    user, before = installed.user(), installed.workers()
    installed.install(program)
    with load(user) as wrong:
        installed.jobforged.send_signal(signal.SIGHUP)
        wait_for(lambda: installed.logged("reload", STAYS), 20, "the log says it")
    assert not wrong, wrong[:5]
    assert reason in installed.logged("reload", STAYS)[0]["message"]
    assert installed.workers() == before
    installed.install()
    installed.reload()
    assert installed.runs_what_is_installed()
    user.get("/me").ok()
