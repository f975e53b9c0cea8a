"""Real input: 3,000 job postings go in through the API, come out byte for byte, and are filtered and searched."""

import csv
import os
import re
from collections import Counter
from urllib.parse import quote, urlencode

import pytest

from stack import SHARED

FILE = os.path.join(SHARED, "data", "job_postings.csv")
pytestmark = pytest.mark.skipif(not os.path.exists(FILE), reason="job_postings.csv is not here")


def application(row):
    """A posting as the API takes it. The file has no descriptions; its columns make one."""
    return {
        "company_name": row["company"],
        "role_title": row["job_title"],
        "job_url": row["job_link"],
        "location": row["job_location"],
        "priority_level": {"Mid senior": "high", "Associate": "low"}[row["job_level"]],
        "job_description": "\n".join(f"{key}: {value}" for key, value in row.items()),
        "name": f"{row['first_seen']} {row['job_type']}",
    }


@pytest.fixture(scope="module")
def postings():
    with open(FILE, newline="", encoding="utf-8") as file:
        return [application(row) for row in csv.DictReader(file)]


@pytest.fixture(scope="module")
def owner(stack, postings):
    """A user who has created them all: most in bulk, the last hundred one by one; and a neighbour who has some too."""
    neighbour = stack.user()
    neighbour.post("/applications", postings[:500]).ok(201)
    user = stack.user()
    user.created = []
    bulk = postings[:-100]
    for start in range(0, len(bulk), 500):
        user.created += user.post("/applications", bulk[start:start + 500]).ok(201)["data"]
    for posting in postings[-100:]:
        user.created.append(user.post("/applications", posting).ok(201))
    return user


def walk(user, **query):
    """Every row, page by page, by cursor."""
    rows, cursor = [], None
    while True:
        page = user.get("/applications?" + urlencode({**query, "limit": 100, **({"cursor": cursor} if cursor else {})},
                                                     doseq=True)).ok()
        rows += page["data"]
        cursor = page["next"]
        if cursor is None:
            return rows


def total(user, **query):
    return user.get("/applications?" + urlencode({**query, "limit": 1, "count": "exact"}, doseq=True)).ok()["total"]


def test_creation_answers_in_order(owner, postings):
    assert len(postings) == 3000
    for row, posting in zip(owner.created, postings, strict=True):
        assert {key: row[key] for key in posting} == posting


@pytest.mark.parametrize("sort", ["-created_at", "created_at", "company_name", "-company_name", "priority_level"])
def test_pages_hold_every_row_once(owner, postings, sort):
    rows = walk(owner, sort=sort)
    assert len(rows) == 3000
    listed = {row["id"]: row for row in rows}
    assert len(listed) == 3000
    for created in owner.created:
        whole = dict(created)
        del whole["job_description"]
        assert listed[created["id"]] == whole


def test_every_row_reads_back_byte_for_byte(owner, postings):
    for created, posting in zip(owner.created, postings, strict=True):
        row = owner.get("/applications/" + created["id"]).ok()
        assert row == created
        for key, value in posting.items():
            assert row[key].encode() == value.encode()


def test_database_holds_the_same_bytes(stack, owner, postings):
    columns = list(postings[0])
    stored = stack.sql(f"SELECT {', '.join(columns)} FROM public.applications WHERE user_id = %s", owner.id)
    assert Counter(stored) == Counter(tuple(posting[column] for column in columns) for posting in postings)


def test_filter_by_company(owner, postings):
    counts = Counter(posting["company_name"] for posting in postings)
    odd = [name for name in counts if not name.isascii() or set(name) & set("%_'\"\\&+,")]
    for company in [name for name, _ in counts.most_common(20)] + odd[:60]:
        assert total(owner, company_name=company) == counts[company], company
    rows = walk(owner, company_name="Jobs for Humanity")
    assert len(rows) == counts["Jobs for Humanity"] and {row["company_name"] for row in rows} == {"Jobs for Humanity"}


def test_filter_by_priority(owner, postings):
    counts = Counter(posting["priority_level"] for posting in postings)
    assert {level: total(owner, priority_level=level) for level in counts} == dict(counts)
    assert total(owner, priority_level=["low", "high"]) == 3000
    assert total(owner, priority_level="medium") == 0


def test_filter_by_creation(owner):
    times = sorted(row["created_at"] for row in owner.created)
    middle = times[1499]
    after, before = total(owner, created_after=middle), total(owner, created_before=middle)
    at = times.count(middle)
    assert after in (sum(time > middle for time in times), sum(time >= middle for time in times))
    assert before in (sum(time < middle for time in times), sum(time <= middle for time in times))
    assert at >= 1


@pytest.mark.parametrize("q", ["Cloudflare", "agoda", "Nestlé", "NESTLÉ", "Humanity", "données", "(AWS)", "C++", "R&D",
                               "®", "–", "O'", "84.51˚", "sql", "%", "100%", "_", "Gestionnaire, Opérations"])
def test_search_finds_every_company_and_role(owner, postings, q):
    """Rows whose company or role contains it are found; others only for a word of the description."""
    expected = {index for index, posting in enumerate(postings)
                if q.lower() in posting["company_name"].lower() or q.lower() in posting["role_title"].lower()}
    index_of = {row["id"]: index for index, row in enumerate(owner.created)}
    found = {index_of[row["id"]] for row in walk(owner, q=q)}
    assert expected <= found
    words = re.findall(r"\w+", q.lower())
    for index in found - expected:
        description = postings[index]["job_description"].lower()
        assert words and all(word[:4] in description for word in words), postings[index]


@pytest.mark.parametrize("q", ["data engineer", "databases", "senior analysts London", "remote", "Texas", "onsite"])
def test_search_in_descriptions_is_text_search(stack, owner, q):
    """By PostgreSQL's own reckoning, with slashes and underscores between words as blanks."""
    expected, = stack.sql(
        "SELECT count(*) FROM public.applications WHERE user_id = %s"
        " AND (position(lower(%s) IN lower(company_name)) > 0 OR position(lower(%s) IN lower(role_title)) > 0"
        " OR to_tsvector('english', translate(job_description, '/_', '  ')) @@ plainto_tsquery('english', %s))",
        owner.id, q, q, q)[0]
    assert expected > 0 or q == "Texas"
    assert total(owner, q=q) == expected == len(walk(owner, q=q))


def test_filters_and_search_together(owner, postings):
    expected = sum(posting["priority_level"] == "low" and "data analyst" in posting["role_title"].lower()
                   for posting in postings if posting["company_name"] == "Jobs for Humanity")
    rows = walk(owner, q="data analyst", priority_level="low", company_name="Jobs for Humanity", sort="company_name")
    assert sum("data analyst" in row["role_title"].lower() for row in rows) == expected


def test_offset_reaches_the_end(owner):
    rows = walk(owner)
    for offset in (0, 1234, 2990, 3000):
        page = owner.get(f"/applications?limit=20&offset={offset}").ok()
        assert page["data"] == rows[offset:offset + 20]
        assert (page["next"] is None) == (offset + 20 >= 3000)


def test_neighbour_sees_the_own_ones_alone(stack, owner):
    newcomer = stack.user()
    assert total(newcomer) == 0
    assert newcomer.get("/applications?company_name=" + quote("Jobs for Humanity")).ok()["data"] == []
