"""Failover to a standby: what one request at a time shows, and the campaign of tests/fault/failover.py in short."""

import os
import signal
import sys

import pytest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "fault"))

import failover  # noqa: E402
from servers import Pair  # noqa: E402
from stack import Stack, connect, wait_for  # noqa: E402

pytestmark = pytest.mark.skipif(not failover.PROGRAMS, reason="./dev test says how servers are started")


@pytest.fixture(scope="module")
def servers():
    with Pair() as pair:
        yield pair


@pytest.fixture
def pair(servers):
    if not servers.in_step():
        servers.pair_up()
    return servers


def test_a_host_that_says_nothing_does_not_keep_workers_from_the_next(pair):
    """Its kernel takes the connection for it, and no answer comes."""
    with Stack(pooled=False, api_workers=1, auth_workers=1, connect_timeout=1000, statement_timeout=2000) as stack:
        stack.allow_errors('"event": "database"')
        user = stack.user()
        pair.primary.freeze()
        pair.exchange()
        assert stack.conf["database"].index(pair.standby.sockets) < stack.conf["database"].index(pair.primary.sockets)
        user.get("/me").problem(503)  # the one that was under way
        wait_for(lambda: user.get("/me").status == 200, 20, "the other host")
        user.create()
        os.kill(stack.workers()[0], signal.SIGKILL)  # a new one begins with the first host
        wait_for(lambda: user.get("/me").status == 200, 20, "a new worker at the other host")
        user.create()


def test_an_idle_worker_answers_nothing_old_from_a_primary_that_was_retired(pair):
    """An idle session hears of the change with its next statement, when the other server has newer rows already."""
    with Stack(pooled=False, api_workers=1, auth_workers=1, connect_timeout=1000) as stack:
        stack.allow_errors('"event": "database"')
        user = stack.user()
        id_ = user.create(company="old")["id"]
        retired = pair.primary
        retired.set(default_transaction_read_only="on")
        pair.exchange()
        stack.admin.close()
        stack.admin = connect(stack.name)
        stack.sql("UPDATE public.applications SET company_name = 'new' WHERE id = %s", id_)
        assert retired.sql("SHOW default_transaction_read_only") == [("on",)], "it still answers"
        assert user.get("/applications/" + id_).ok()["company_name"] == "new"
        assert [row["company_name"] for row in user.get("/applications").ok()["data"]] == ["new"]
        user.create()


def test_workers_follow_a_failover_and_nothing_acknowledged_is_lost(pair, capsys):
    # A loaded machine may take longer than is promised.
    wrong = failover.campaign(pair, writers=8, rounds=3, plain=False, slack=6)
    said = capsys.readouterr().out
    assert wrong == {}, said
    assert "acknowledged 0," not in said, said
