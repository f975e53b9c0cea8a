"""What tests/fault/available.py measures, in short. A loaded machine may take longer than is promised; no request may fail."""

import os
import sys

import pytest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "fault"))

import available  # noqa: E402


@pytest.fixture
def judge(capsys):
    judge = available.Judge()
    yield judge
    broken = judge.show()
    assert not broken, capsys.readouterr().out


@pytest.mark.skipif(not available.PROGRAMS, reason="./dev test says how servers are started")
def test_while_the_database_is_down_all_is_told_at_once_and_soon_well_when_it_is_back(judge):
    available.database_down(judge, rounds=1, down=1.5, slack=4, plain=False, threads=4)


def test_a_killed_worker_costs_no_read_and_only_writes_that_it_had(judge):
    available.worker_killed(judge, kills=6, seed=1, plain=False)


@pytest.mark.parametrize("upgrade", [False, True], ids=["reload", "new program"])
def test_no_request_fails_while_workers_are_replaced(judge, upgrade):
    available.reload(judge, requests=500, upgrade=upgrade, plain=False)
