"""
The pairs of tests/security/timing.py, a few times each: their answers are alike. Their times say nothing on a busy
machine.
"""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "security"))

import timing  # noqa: E402


def test_what_must_be_answered_alike_is(capsys):
    wrong = timing.campaign(samples=5, hashes=3, cost=4, seed=1, plain=False)
    assert wrong == [], capsys.readouterr().out


def test_a_difference_of_time_would_be_seen():
    chance = timing.random.Random(1)
    first = [100 + chance.gauss(0, 5) for _ in range(400)]
    second = [number + 3 for number in (100 + chance.gauss(0, 5) for _ in range(400))]
    difference, low, high = timing.interval_of_difference(second, first, chance)
    assert low < difference < high and low > 0 and abs(difference - 3) < 1.5
    assert 0.6 < timing.chance_of_being_slower(second, first) < 0.75
    assert abs(timing.chance_of_being_slower(first, first) - 0.5) < 1e-9
