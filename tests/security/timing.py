#!/usr/bin/python3
"""
Whether the time of an answer tells what its words do not: whether an account exists, whether another user's row does,
how much of a token or an address is right. Each row of the table is a pair of requests that must be answered alike;
they are sent in turn, which comes first by chance, over one kept connection. `./dev security timing` starts it;
README.md says how to read what it prints.
"""

import argparse
import collections
import os
import random
import re
import secrets
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "e2e"))

from examples import DESCRIPTION, EMBEDDING, owned  # noqa: E402
from stack import NO_SUCH_ID, Stack  # noqa: E402

WARM_UP = 20
RESAMPLES = 400


class Pair:
    """Two ways to ask, each a function without arguments that returns the answer; `costly` ones hash a password."""

    def __init__(self, name, first, second, costly=False, differ=False):
        self.name = name
        self.asks = (first, second)
        self.costly = costly
        self.differ = differ  # on purpose, to show that a difference would be seen
        self.times = ([], [])
        self.said = (collections.Counter(), collections.Counter())

    def measure(self, samples, chance):
        for turn in range(-min(WARM_UP, samples), samples):
            order = [0, 1]
            chance.shuffle(order)
            for which in order:
                begin = time.perf_counter_ns()
                answer = self.asks[which]()
                taken = time.perf_counter_ns() - begin
                self.said[which][essence(answer)] += 1
                if turn >= 0:
                    self.times[which].append(taken / 1000)

    @property
    def alike(self):
        return self.said[0].keys() == self.said[1].keys() and len(self.said[0]) == 1


def essence(answer):
    """What an answer says, but for what is different in each."""
    headers = sorted((name, value) for name, value in answer.headers.items()
                     # The ten thousandth answer on a connection ends it.
                     if name.lower() not in ("date", "x-request-id", "connection"))
    return answer.status, str(headers), answer.body.replace(answer.headers["X-Request-Id"].encode(), b"")


# --- Statistics -----------------------------------------------------------------------------------------------------

def median(numbers):
    ordered = sorted(numbers)
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2


def interval_of_difference(first, second, chance):
    """The difference of the medians, and a bootstrap interval that holds it in 95 of 100 cases."""
    found = sorted(median(chance.choices(first, k=len(first))) - median(chance.choices(second, k=len(second)))
                   for _ in range(RESAMPLES))
    return median(first) - median(second), found[int(0.025 * RESAMPLES)], found[int(0.975 * RESAMPLES)]


def chance_of_being_slower(first, second):
    """How often one of the first took longer than one of the second (Mann and Whitney's U over the number of pairs)."""
    ranked = sorted([(value, 0) for value in first] + [(value, 1) for value in second])
    ranks, place = 0.0, 0
    while place < len(ranked):
        end = place
        while end < len(ranked) and ranked[end][0] == ranked[place][0]:
            end += 1
        ranks += sum(which == 0 for _, which in ranked[place:end]) * (place + 1 + end) / 2
        place = end
    return (ranks - len(first) * (len(first) + 1) / 2) / (len(first) * len(second))


# --- The pairs ------------------------------------------------------------------------------------------------------

def flipped(text, place):
    return text[:place] + ("B" if text[place] == "A" else "A") + text[place + 1:]


def weak_hash():
    """Of a password, at the least cost, as of a user who has not signed in since the cost was raised."""
    with Stack(plain=True, bcrypt_cost=4) as stack:
        stack.user()
        return stack.sql("SELECT password_hash FROM public.users")[0][0]


def pairs(stack):
    alice, bob, old = stack.user(), stack.user(), stack.user()
    stack.sql("UPDATE public.users SET password_hash = %s WHERE id = %s", weak_hash(), old.id)
    alice.owned, bob.owned = owned(alice), owned(bob)
    shut = stack.user()
    stack.sql("SELECT jobforge.user_disable(%s, NULL)", shut.id)
    theirs, own = alice.owned, bob.owned
    anyone = stack.anyone

    def login(email, password="wrong password"):
        return lambda: anyone.post("/auth/login",
                                   {"email": email() if callable(email) else email, "password": password})

    def unknown():
        return f"user-{secrets.token_hex(6)}@example.com"

    def refresh(token):
        return lambda: anyone.post("/auth/refresh", {"refresh_token": token})

    def me(token):
        return lambda: anyone.get("/me", token=token)

    def ask(method, path, **options):
        return lambda: bob.request(method, path, **options)

    def both(name, method, path, kind="application", **options):
        """Of another's id, and of one that never was."""
        return Pair(f"{name}: another's, or no id", ask(method, path.format(theirs[kind]), **options),
                    ask(method, path.format(NO_SUCH_ID), **options))

    report = "/applications/{}/documents/research_report"
    return [
        Pair("the same request twice", ask("GET", f"/applications/{NO_SUCH_ID}"),
             ask("GET", f"/applications/{NO_SUCH_ID}")),
        Pair("the own row, or no id (they differ)", ask("GET", f"/applications/{own['application']}"),
             ask("GET", f"/applications/{NO_SUCH_ID}"), differ=True),
        Pair("login: known, or unknown address", login(alice.email), login(unknown), costly=True),
        Pair("login: shut out, or unknown address", login(shut.email), login(unknown), costly=True),
        Pair("login: hashed at a lower cost, or unknown address", login(old.email), login(unknown), costly=True),
        Pair("login, password over 72 bytes: known, or unknown", login(alice.email, "x" * 80), login(unknown, "x" * 80),
             costly=True),
        both("GET an application", "GET", "/applications/{}"),
        both("GET it with its documents", "GET", "/applications/{}?include=documents"),
        both("PATCH it", "PATCH", "/applications/{}", json={"location": "x"}),
        both("DELETE it", "DELETE", "/applications/{}"),
        both("GET its documents", "GET", "/applications/{}/documents"),
        both("GET a document", "GET", report),
        both("PUT a document", "PUT", report, json={"content": DESCRIPTION}),
        both("DELETE a document", "DELETE", report),
        both("PUT an embedding", "PUT", report + "/embedding", json={"embedding": EMBEDDING}),
        Pair("similar to a document: another's, or no id",
             ask("POST", "/documents/similar", json={"document_id": theirs["document"]}),
             ask("POST", "/documents/similar", json={"document_id": NO_SUCH_ID})),
        both("GET a resume", "GET", "/resumes/{}", "resume"),
        Pair("refresh: nearly right, or made up", refresh(flipped(alice.refresh_token, 42)), refresh("A" * 43)),
        Pair("access token: signature wrong at its end, or at once", me(flipped(bob.token, len(bob.token) - 4)),
             me(flipped(bob.token, bob.token.rindex(".") + 1))),
    ]


# --- Telling --------------------------------------------------------------------------------------------------------

def report(found, chance):
    print(f"{'':56}{'n':>6}{'p50 us':>10}{'p50 us':>10}{'difference':>12}{'95 % of it':>20}{'slower':>8}  answers")
    for pair in found:
        difference, low, high = interval_of_difference(*pair.times, chance)
        first, second = (median(times) for times in pair.times)
        interval = f"{low:.1f} .. {high:.1f}"
        print(f"{pair.name:56}{len(pair.times[0]):6}{first:10.0f}{second:10.0f}{difference:12.1f}{interval:>20}"
              f"{chance_of_being_slower(*pair.times):8.2f}"
              f"  {'differ' if not pair.alike else 'alike'}")


def campaign(samples, hashes, cost, seed, only="", plain=True):
    """Measures and prints; the names of the pairs whose answers are not what they should be."""
    chance = random.Random(seed)
    with Stack(plain=plain, bcrypt_cost=cost, login_attempts=1000, api_workers=1, auth_workers=1,
               log_level="warning") as stack:
        found = [pair for pair in pairs(stack) if re.search(only, pair.name)]
        for pair in found:
            # Or the limit of guesses would answer.
            stack.sql("DELETE FROM jobforge.login_attempts")
            pair.measure(min(hashes, 950) if pair.costly else samples, chance)
    report(found, chance)
    for pair in found:
        if not pair.alike and not pair.differ:
            for said in pair.said:
                print(pair.name, [(count, what[0], what[2][:300]) for what, count in said.most_common()])
    return [pair.name for pair in found if pair.alike == pair.differ]


def main():
    parser = argparse.ArgumentParser(description="Measures whether the time of an answer tells what its words do not.")
    parser.add_argument("--samples", type=int, default=2000, help="requests of each kind (2000)")
    parser.add_argument("--hashes", type=int, default=300,
                        help="requests of each kind that hashes a password (300; 950 at most)")
    parser.add_argument("--cost", type=int, default=8, help="bcrypt's cost: each step doubles the time (8)")
    parser.add_argument("--only", default="", metavar="PATTERN", help="only pairs whose name matches")
    parser.add_argument("--seed", type=int, default=1, help="of the order in which they are asked (1)")
    options = parser.parse_args()
    wrong = campaign(options.samples, options.hashes, options.cost, options.seed, options.only)
    print(f"seed {options.seed}; answers that are not as they should be: {', '.join(wrong) or 'none'}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
