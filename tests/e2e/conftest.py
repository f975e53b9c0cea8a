"""What every file of the tests shares: TAP on descriptor 3 (pytest's own report goes to the log), and stacks."""

import os
import signal
import sys

import pytest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from stack import Stack  # noqa: E402

TAP_FD = int(os.environ.get("JOBFORGE_TAP_FD", "1"))


def tap(line):
    os.write(TAP_FD, (line + "\n").encode())


class Tap:
    """Writes one line a test; a fixture that fails afterwards is a failure of its own."""

    def __init__(self):
        self.count = 0

    def line(self, ok, name, directive=""):
        self.count += 1
        tap(f"{'ok' if ok else 'not ok'} {self.count} - {name}{directive}")

    def pytest_runtest_logreport(self, report):
        name = report.nodeid.split("::", 1)[-1].replace("#", "")[:100]
        if report.skipped:
            reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else ""
            self.line(True, name, " # SKIP " + reason.replace("Skipped: ", "").replace("\n", " "))
        elif report.when == "call":
            self.line(report.passed, name)
        elif report.failed:
            self.line(False, f"{name} ({report.when})")
        if report.failed:
            last = (report.longreprtext.strip().splitlines() or [""])[-1]
            for text in ([line for line in report.longreprtext.splitlines() if line.startswith("E ")] or [last])[:12]:
                tap("# " + text[:400])

    def pytest_collectreport(self, report):
        if report.failed:
            self.line(False, "collection of " + (report.nodeid or "tests"))
            for text in report.longreprtext.splitlines()[-12:]:
                tap("# " + text[:400])

    def pytest_sessionfinish(self):
        tap(f"1..{self.count}")


def pytest_configure(config):
    config.pluginmanager.register(Tap(), "jobforge-tap")
    # A test run that is told to stop cleans up behind itself, as it does for an interrupt from the keyboard.
    signal.signal(signal.SIGTERM, signal.default_int_handler)


@pytest.fixture(scope="module")
def stack(request):
    """The product, once for a file; a file that sets OPTIONS gets it with those."""
    with Stack(**getattr(request.module, "OPTIONS", {})) as running:
        yield running


@pytest.fixture(scope="module")
def quick():
    """The product without sanitizers, once for a file: where time or memory is measured."""
    with Stack(plain=True, log_level="info") as running:
        yield running


@pytest.fixture
def user(stack):
    return stack.user()


@pytest.fixture(scope="module")
def chromium(stack):
    """A browser, once for a file."""
    from browser import Chromium
    with Chromium(stack) as running:
        yield running


@pytest.fixture
def page(chromium):
    """A page of the browser without anything of the test before; what it complains of fails the test."""
    page = chromium.page()
    yield page
    page.close()


@pytest.fixture
def unchanged(stack):
    """Nothing in the database differs after the test from what it held before, save what `stack` tests allow."""
    before = stack.snapshot()
    yield before
    assert stack.snapshot() == before


@pytest.fixture
def comment():
    """Writes a line for the reader into the test's output."""
    return lambda text: tap("# " + text)
