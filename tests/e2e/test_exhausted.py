"""What tests/fault/exhausted.py does, without filling a disk."""

import os
import sys

import pytest

from stack import Stack

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "fault"))

import exhausted  # noqa: E402
import servers  # noqa: E402


@pytest.fixture(scope="module")
def alone():
    with Stack(**exhausted.WORKERS) as stack:
        stack.allow_errors("")
        stack.owner = stack.user()
        yield stack


@pytest.mark.parametrize("fault", [exhausted.descriptors, exhausted.nginx_descriptors, exhausted.log_file, exhausted.connections])
def test_it_is_told_once_answered_and_healed(alone, fault):
    assert not fault(alone, alone.owner)


@pytest.mark.skipif(not servers.PROGRAMS, reason="./dev test says how servers are started")
def test_the_table_of_locks_is_full():
    with servers.Alone(), Stack(**exhausted.WORKERS) as stack:
        stack.allow_errors("")
        assert not exhausted.locks(stack, stack.user())


def test_the_disk_of_the_database_is_full(alone):
    """As the server says it; tests/fault/exhausted.py fills one."""
    user = alone.owner
    alone.sql("CREATE FUNCTION public.fill() RETURNS trigger LANGUAGE plpgsql AS"
              " 'BEGIN RAISE disk_full USING MESSAGE = ''could not extend file''; END'")
    alone.sql("CREATE TRIGGER fill BEFORE INSERT ON public.applications FOR EACH ROW EXECUTE FUNCTION public.fill()")
    trouble = exhausted.Trouble("no room for tables", alone, "disk")
    for _ in range(exhausted.REQUESTS):
        trouble.ask(lambda: user.post("/applications", exhausted.application()), (503,))
        trouble.ask(lambda: user.get("/applications"), (200,))
    alone.sql("DROP FUNCTION public.fill() CASCADE")
    trouble.heal(lambda: user.post("/applications", exhausted.application()), (201,))
    assert not trouble.judge()
