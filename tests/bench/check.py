"""The bench checks itself: whoever is measured must answer what we answer, row by row and value by value."""

import json

from work import canonical

SAMPLES = (0, 1, 137)


class Mismatch(Exception):
    pass


def difference(ours, theirs, path=""):
    """Where two values first differ, as a sentence; None when they are equal."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        if set(ours) != set(theirs):
            return f"{path or '/'}: we have {sorted(set(ours) - set(theirs))}, they have {sorted(set(theirs) - set(ours))}"
        pairs = [(name, ours[name], theirs[name]) for name in ours]
    elif isinstance(ours, list) and isinstance(theirs, list):
        if len(ours) != len(theirs):
            return f"{path or '/'}: we have {len(ours)}, they have {len(theirs)}"
        pairs = zip(range(len(ours)), ours, theirs)
    elif ours == theirs and isinstance(ours, bool) == isinstance(theirs, bool):  # True is 1 to Python
        return None
    else:
        return f"{path or '/'}: we have {json.dumps(ours)[:200]}, they have {json.dumps(theirs)[:200]}"
    for name, one, other in pairs:
        found = difference(one, other, f"{path}/{name}")
        if found:
            return found
    return None


def is_whole(work, answer):
    """Whether it is an answer at all: an empty list is equal to an empty list."""
    least = {"list": 20, "search": 5, "similar": 10}
    return bool(answer) and len(answer) >= least.get(work.name, 1)


def check(work, sample, candidates):
    """Asks each candidate a few requests of this kind of work; the first is the measure of the others."""
    items = list(work.items(sample))
    for number in SAMPLES:
        item = items[number % len(items)]
        expected = None
        for candidate in candidates:
            if not (candidate.answers and candidate.takes(work)):
                continue
            status, value = candidate.ask(candidate.request(work, item))
            answer = canonical(work, value)
            if status not in (200, 201):
                raise Mismatch(f"{work.name}: {candidate.name} answers {status} {json.dumps(value)[:500]}")
            if expected is None:
                expected = answer
                if not is_whole(work, answer):
                    raise Mismatch(f"{work.name}: {candidate.name} answers too little: {json.dumps(answer)[:500]}")
            found = difference(expected, answer)
            if found:
                raise Mismatch(f"{work.name}: {candidate.name} answers other than {candidates[0].name}, at {found}")
