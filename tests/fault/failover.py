#!/usr/bin/python3
"""
Failover: writers write while the primary of two PostgreSQL servers is killed, shut for writes, or frozen, and its synchronous
standby is promoted. The workers have to follow by themselves, and what was acknowledged must be there once. `./dev fault failover`
starts it; README.md says more.
"""

import argparse
import os
import secrets
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "e2e"))

from kept import Campaign  # noqa: E402
from servers import PROGRAMS, Pair  # noqa: E402
from stack import SHIPPED, Stack  # noqa: E402

PROMISE = 2.0   # seconds from the promotion until the workers write to the new primary
PATIENCE = 4.3  # until they give up a server that says nothing: statement_timeout, and a little
CONNECTING = 1.0  # connect_timeout


class Failover(Campaign):
    """`slack` is what a loaded machine may take longer."""

    def __init__(self, stack, pair, writers, rounds, seed, slack=0.0):
        super().__init__(stack, writers, 0, seed)
        self.pair = pair
        self.slack = slack
        self.rounds = []
        self.late = []
        self.kinds = ([self.crash, self.fence, self.freeze] * rounds)[:rounds]  # in any order

    def crash(self):
        """kill -9 of the primary."""
        self.pair.primary.kill()
        self.change("crash", PROMISE)
        self.pair.pair_up()

    def fence(self):
        """The primary takes no writes any more, as before a planned change, and goes on answering."""
        self.pair.primary.set(default_transaction_read_only="on")
        self.change("fence", PROMISE)
        self.pair.pair_up()

    def freeze(self):
        """The primary stands still: what was sent to it gets no answer, and connections to it are neither taken nor refused."""
        self.pair.primary.freeze()
        self.change("freeze", PATIENCE + 2 * CONNECTING)
        self.pair.pair_up()

    def change(self, kind, bound):
        promoted = self.pair.exchange()
        first, last = self.settle(promoted, promoted + bound + self.slack)
        self.rounds.append((kind, first, last))
        if max(first, last) > bound + self.slack:
            self.late.append(f"{kind}: first success {first:.2f} s and last failure {last:.2f} s after the promotion, {bound:.1f} s "
                             "allowed")

    def settle(self, promoted, end):
        """Waits until all is well for a second; the first success and the last failure, in seconds after the promotion."""
        while True:
            time.sleep(0.2)
            now = time.monotonic()
            moments = [moment for writer in self.writers for moment in list(writer.moments) if moment[0] > promoted]
            first = min((when for when, well in moments if well), default=float("inf"))
            last = max((when for when, well in moments if not well), default=promoted)
            if now > max(first, last) + 1 or now > end + 1:
                return first - promoted, last - promoted

    def judge(self):
        wrong = super().judge()
        print(f"{'':8}{'rounds':>8}{'first success, s':>20}{'last failure, s':>20}   after the promotion, the longest")
        for kind in ("crash", "fence", "freeze"):
            rows = [row for row in self.rounds if row[0] == kind]
            if rows:
                print(f"{kind:8}{len(rows):8}{max(row[1] for row in rows):20.2f}"
                      f"{max(row[2] for row in rows):20.2f}", flush=True)
        if self.late:
            wrong["late"] = self.late
        return wrong


def campaign(pair, writers, rounds, seed=None, plain=True, slack=0.0):
    """Runs one; returns what must not be, by its name, which is nothing."""
    with Stack(plain=plain, pooled=False, api_workers=4, auth_workers=1, log_level="warning", **SHIPPED) as stack:
        stack.allow_errors("")
        return Failover(stack, pair, writers, rounds, secrets.randbelow(10**6) if seed is None else seed, slack).run()


def main():
    parser = argparse.ArgumentParser(prog="./dev fault failover", description="Writes while the primary of two servers is lost and "
                                     "the other is promoted, and looks how soon the workers follow and whether anything is lost.")
    parser.add_argument("--rounds", type=int, default=9, help="failovers, 9 by default: by turns kill, fence and freeze")
    parser.add_argument("--writers", type=int, default=32)
    parser.add_argument("--seed", type=int, help="of the order of the kinds; printed by each run")
    options = parser.parse_args()
    assert PROGRAMS, "./dev fault starts this"
    with Pair() as pair:
        wrong = campaign(pair, options.writers, options.rounds, options.seed)
    for what, these in wrong.items():
        print(f"{what}: {these}", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
