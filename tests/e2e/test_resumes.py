"""Resumes: the contract's section of that name, above all that exactly one is primary, whoever does what at once."""

import random
from urllib.parse import urlencode

import pytest

from stack import NO_SUCH_ID, TIME, UUID, together

FIELDS = {"id", "user_id", "name", "content", "focus_area", "is_primary", "created_at", "updated_at"}
AREAS = ["software_development", "data_science", "management", "consulting", "other"]
CONTENT = "# A resume\n\nin *Markdown*, of what was done where, and for how long; it has more than a hundred characters."
MINIMAL = {"name": "General", "content": CONTENT}
LARGEST = 512 * 1024


def add(user, name, **fields):
    return user.post("/resumes", {**MINIMAL, "name": name, **fields}).ok(201)


def listed(user, **query):
    return user.get("/resumes?" + urlencode({"limit": 100, **query}, doseq=True)).ok()["data"]


def names(user, **query):
    return [row["name"] for row in listed(user, **query)]


def primary(user):
    """The name of the one that is primary; None when there is no resume."""
    rows = listed(user)
    marked = [row["name"] for row in rows if row["is_primary"]]
    assert len(marked) == (1 if rows else 0), rows
    return marked[0] if marked else None


# --- One ------------------------------------------------------------------------------------------------------------

def test_create_gives_the_whole_resource(user):
    full = {"name": "Für Köln", "content": CONTENT + " ünï\t\"\\<b>", "focus_area": "consulting", "is_primary": True}
    answer = user.post("/resumes", full)
    row = answer.ok(201)
    assert set(row) == FIELDS
    assert {key: row[key] for key in full} == full
    assert UUID.fullmatch(row["id"]) and row["user_id"] == user.id
    assert TIME.fullmatch(row["created_at"]) and row["updated_at"] == row["created_at"]
    assert answer.headers["Location"] == "/api/v1/resumes/" + row["id"]
    whole = user.get("/resumes/" + row["id"])
    assert whole.ok() == row and whole.headers["ETag"] == answer.headers["ETag"]


def test_create_defaults(user):
    first, second = add(user, "first"), add(user, "second")
    assert (first["focus_area"], first["is_primary"]) == ("other", True)
    assert (second["focus_area"], second["is_primary"]) == ("other", False)


@pytest.mark.parametrize("area", AREAS)
def test_focus_areas(user, area):
    assert add(user, "x", focus_area=area)["focus_area"] == area


@pytest.mark.parametrize("change, pointers", [
    ({"name": ""}, ["/name"]), ({"name": " \t"}, ["/name"]), ({"name": "n" * 256}, ["/name"]), ({"name": None}, ["/name"]),
    ({"name": 1}, ["/name"]), ({"content": "x" * 99}, ["/content"]), ({"content": ""}, ["/content"]),
    ({"content": " " * 200}, ["/content"]), ({"content": None}, ["/content"]), ({"content": ["x"]}, ["/content"]),
    ({"content": "x" * (LARGEST + 1)}, ["/content"]), ({"content": "ü" * (LARGEST // 2 + 1)}, ["/content"]),
    ({"focus_area": "fishing"}, ["/focus_area"]), ({"focus_area": None}, ["/focus_area"]),
    ({"focus_area": "Other"}, ["/focus_area"]), ({"is_primary": "true"}, ["/is_primary"]),
    ({"is_primary": 1}, ["/is_primary"]), ({"is_primary": None}, ["/is_primary"]), ({"name": "a\0b"}, ["/name"]),
    ({"content": CONTENT + "\0"}, ["/content"]), ({"id": NO_SUCH_ID}, ["/id"]), ({"user_id": NO_SUCH_ID}, ["/user_id"]),
    ({"created_at": "2026-01-01T00:00:00Z"}, ["/created_at"]), ({"updated_at": None}, ["/updated_at"]),
    ({"search": "x"}, ["/search"]), ({"unknown": 1}, ["/unknown"]),
    ({"name": "", "content": "", "focus_area": "", "is_primary": ""}, ["/content", "/focus_area", "/is_primary", "/name"]),
])
def test_bounds(user, change, pointers):
    assert user.post("/resumes", {**MINIMAL, **change}).faults() == pointers
    assert listed(user) == []
    row = add(user, "kept")
    assert user.patch("/resumes/" + row["id"], change).faults() == pointers
    assert user.get("/resumes/" + row["id"]).ok() == row


def test_required_fields(user):
    assert user.post("/resumes", {}).faults() == ["/content", "/name"]
    assert user.patch("/resumes/" + add(user, "kept")["id"], {}).ok()["name"] == "kept"


def test_no_array_is_taken(user):
    user.post("/resumes", [MINIMAL]).problem(422)
    assert listed(user) == []


@pytest.mark.parametrize("content", ["x" * 100, "ü" * 100, "x" * LARGEST, "ü" * (LARGEST // 2), "a_" * (LARGEST // 2),
                                     "1a@" * (LARGEST // 3), "<!--" * (LARGEST // 4), "a-1" * (LARGEST // 3)])
def test_contents_of_every_size_come_back(quick, content):
    user = quick.user()
    row = add(user, "sized", content=content)
    assert user.get("/resumes/" + row["id"]).ok()["content"] == content == row["content"]


def test_patch_keeps_what_is_absent(user):
    row = add(user, "first", focus_area="management")
    changed = user.patch("/resumes/" + row["id"], {"name": "second"})
    assert changed.ok() == {**row, "name": "second", "updated_at": changed.json()["updated_at"]}
    assert changed.json()["updated_at"] > row["updated_at"]
    assert user.get("/resumes/" + row["id"]).headers["ETag"] == changed.headers["ETag"]
    same = user.patch("/resumes/" + row["id"], {"name": "second", "is_primary": True}).ok()
    assert same == changed.json()


def test_if_match(user):
    row = user.post("/resumes", MINIMAL)
    path, old = "/resumes/" + row.ok(201)["id"], row.headers["ETag"]
    new = user.patch(path, {"name": "two"}, headers={"If-Match": old}).headers["ETag"]
    assert new != old
    user.patch(path, {"name": "three"}, headers={"If-Match": old}).problem(412)
    user.delete(path, headers={"If-Match": old}).problem(412)
    assert user.get(path, headers={"If-None-Match": new}).status == 304
    assert user.delete(path, headers={"If-Match": new}).status == 204
    user.delete(path, headers={"If-Match": new}).problem(404)
    user.patch(path, {"name": "four"}, headers={"If-Match": new}).problem(404)


def test_the_mark_is_part_of_the_version(user):
    first = user.post("/resumes", MINIMAL)
    add(user, "second", is_primary=True)
    assert user.get("/resumes/" + first.ok(201)["id"]).headers["ETag"] != first.headers["ETag"]


def test_idempotency_key(user):
    answers = [user.post("/resumes", MINIMAL, headers={"Idempotency-Key": "k"}) for _ in range(2)]
    assert answers[0].ok(201) == answers[1].ok(201)
    assert answers[1].headers["Idempotency-Replayed"] == "true"
    assert len(listed(user)) == 1


def test_another_users_resume_does_not_exist(stack, user):
    row = add(stack.user(), "theirs")
    for method, body in (("GET", None), ("PATCH", {"name": "mine"}), ("DELETE", None)):
        for id_ in (row["id"], NO_SUCH_ID, "no-uuid"):
            answer = user.request(method, "/resumes/" + id_, **({"json": body} if body else {}))
            assert answer.problem(404)["detail"] == user.get("/resumes/" + NO_SUCH_ID).json()["detail"]


# --- Exactly one is primary -----------------------------------------------------------------------------------------

def test_the_first_is_primary_whatever_was_sent(user):
    assert add(user, "a", is_primary=False)["is_primary"] is True
    assert add(user, "b", is_primary=False)["is_primary"] is False
    assert primary(user) == "a"


def test_making_one_primary_demotes_the_other(user):
    first = add(user, "a")
    second = add(user, "b", is_primary=True)
    assert second["is_primary"] is True and primary(user) == "b"
    assert user.patch("/resumes/" + first["id"], {"is_primary": True}).ok()["is_primary"] is True
    assert primary(user) == "a"


def test_demoting_the_primary_promotes_the_newest_other(user):
    rows = [add(user, name) for name in "abc"]
    assert user.patch("/resumes/" + rows[0]["id"], {"is_primary": False}).ok()["is_primary"] is False
    assert primary(user) == "c"
    assert user.patch("/resumes/" + rows[2]["id"], {"is_primary": False}).ok()["is_primary"] is False
    assert primary(user) == "b"
    assert user.patch("/resumes/" + rows[0]["id"], {"is_primary": False}).ok()["is_primary"] is False
    assert primary(user) == "b"


def test_the_only_one_stays_primary(user):
    row = add(user, "a")
    assert user.patch("/resumes/" + row["id"], {"is_primary": False}).ok()["is_primary"] is True
    assert primary(user) == "a"


def test_deleting_the_primary_promotes_the_newest(user):
    rows = {name: add(user, name) for name in "abc"}
    for gone, next_ in (("a", "c"), ("b", "c"), ("c", None)):
        assert user.delete("/resumes/" + rows[gone]["id"]).status == 204
        assert primary(user) == next_
    assert add(user, "d")["is_primary"] is True


def test_a_refused_change_moves_no_mark(user):
    first, second = add(user, "a"), add(user, "b")
    user.patch("/resumes/" + second["id"], {"is_primary": True, "name": ""}).problem(422)
    user.patch("/resumes/" + second["id"], {"is_primary": True}, headers={"If-Match": '"1"'}).problem(412)
    user.delete("/resumes/" + first["id"], headers={"If-Match": '"1"'}).problem(412)
    assert primary(user) == "a"


def test_two_clients_switch_at_once(user):
    rows = [add(user, name) for name in "abc"]
    for _ in range(15):
        answers = together(2, lambda index: user.patch("/resumes/" + rows[1 + index]["id"], {"is_primary": True}))
        assert [answer.ok()["is_primary"] for answer in answers] == [True, True]
        assert primary(user) in ("b", "c")
        user.patch("/resumes/" + rows[0]["id"], {"is_primary": True}).ok()


def test_two_clients_create_the_first_at_once(stack):
    for _ in range(10):
        user = stack.user()
        answers = together(2, lambda index: add(user, str(index), is_primary=False))
        assert sorted(answer["is_primary"] for answer in answers) == [False, True]
        assert primary(user) in ("0", "1")


def test_of_two_writers_of_one_version_one_wins(user):
    row = user.post("/resumes", MINIMAL)
    path, tag = "/resumes/" + row.ok(201)["id"], row.headers["ETag"]
    answers = together(2, lambda index: user.patch(path, {"name": str(index)}, headers={"If-Match": tag}))
    assert sorted(answer.status for answer in answers) == [200, 412]


def test_whatever_four_clients_do(user):
    def work(seed):
        chance = random.Random(seed)
        for _ in range(25):
            rows = listed(user)
            row = chance.choice(rows) if rows else None
            assert sum(row["is_primary"] for row in rows) == (1 if rows else 0), rows
            what = chance.choice(("create", "create", "mark", "unmark", "delete"))
            if what == "create" or row is None:
                add(user, "x", is_primary=chance.random() < 0.5)
            elif what == "delete":
                assert user.delete("/resumes/" + row["id"]).status in (204, 404)
            else:
                answer = user.patch("/resumes/" + row["id"], {"is_primary": what == "mark"})
                assert answer.status in (200, 404), answer
    together(4, work)
    primary(user)


# --- Lists ----------------------------------------------------------------------------------------------------------

@pytest.fixture(scope="module")
def reader(stack):
    user = stack.user()
    for index, name in enumerate(["Zebra", "apple", "Apple", "Äpfel", "éclair", "Eclair", "100%", "a_b", "zebra"]):
        add(user, name, focus_area=AREAS[index % 5],
            content=CONTENT + (" It tells of elephants." if index % 3 == 0 else "") + f" <i>Number {index}</i>")
    rows = listed(user, sort="created_at")
    user.patch("/resumes/" + rows[0]["id"], {"name": "Zebra!"}).ok()
    user.patch("/resumes/" + rows[0]["id"], {"name": "Zebra"}).ok()
    return user


def test_rows_leave_the_content_out(reader):
    for row in listed(reader):
        assert set(row) == FIELDS - {"content"}


def test_orders(reader):
    rows = listed(reader)
    assert rows == sorted(rows, key=lambda row: (row["created_at"], row["id"]), reverse=True)
    for column in ("created_at", "updated_at"):
        up = sorted(rows, key=lambda row: (row[column], row["id"]))
        assert listed(reader, sort=column) == up
        assert listed(reader, sort="-" + column) == up[::-1]
    assert names(reader, sort="-updated_at")[0] == "Zebra"
    assert names(reader, sort="name") == ["100%", "a_b", "Äpfel", "apple", "Apple", "Eclair", "éclair", "zebra", "Zebra"]
    assert names(reader, sort="-name") == names(reader, sort="name")[::-1]


@pytest.mark.parametrize("sort", ["", "name", "-name", "created_at", "updated_at", "-updated_at"])
@pytest.mark.parametrize("q", [None, "zebra or elephant"])
def test_pages(reader, sort, q):
    query = {key: value for key, value in (("sort", sort), ("q", q)) if value}
    rows, cursor = [], None
    while True:
        page = reader.get("/resumes?" + urlencode({**query, "limit": 2, "count": "exact",
                                                   **({"cursor": cursor} if cursor else {})})).ok()
        rows += page["data"]
        cursor = page["next"]
        if cursor is None:
            break
    assert rows == listed(reader, **query)
    assert page["total"] == len(rows) and len({row["id"] for row in rows}) == len(rows)
    assert [row for start in range(0, 10, 3) for row in listed(reader, **query, limit=3, offset=start)] == rows


def test_filters(reader):
    assert {row["focus_area"] for row in listed(reader, focus_area="other")} == {"other"}
    both = listed(reader, focus_area=["data_science", "management"])
    assert {row["focus_area"] for row in both} == {"data_science", "management"} and len(both) == 4
    assert names(reader, focus_area="other", q="éclair") == ["éclair"]
    assert names(reader, focus_area="management", q="éclair") == []


@pytest.mark.parametrize("q, expected", [
    ("zebra", {"Zebra", "zebra"}), ("ÄPF", {"Äpfel"}), ("%", {"100%"}), ("_", {"a_b"}),
    ("elephant", {"Zebra", "Äpfel", "100%"}), ("elephant -number", set()), ("\"tells of elephants\" 3", {"Äpfel"}),
    ("elephants of tells", {"Zebra", "Äpfel", "100%"}), ("\"elephants of tells\"", set()),
    ("eclair or éclair", set()), ("xyzzy", set()),
])
def test_search(reader, q, expected):
    rows = listed(reader, q=q)
    assert {row["name"] for row in rows} == expected
    for row in rows:
        assert set(row) == FIELDS - {"content"} | {"rank", "snippet"}
    ranks = [(row["rank"], row["id"]) for row in rows]
    assert ranks == sorted(ranks, reverse=True)
    assert listed(reader, q=q, sort="-rank") == rows


def test_snippets(reader):
    row, = listed(reader, q="elephant 3")
    assert "<mark>elephants</mark>" in row["snippet"] and "&lt;i&gt;Number <mark>3</mark>&lt;/i" in row["snippet"]


def test_a_name_counts_more_than_the_content(user):
    add(user, "weaver", content=CONTENT)
    add(user, "other", content="weaver " * 30)
    assert names(user, q="weaver") == ["weaver", "other"]


@pytest.mark.parametrize("query", ["sort=-rank", "sort=rank&q=a", "sort=content", "sort=focus_area", "focus_area=x",
                                   "q=", "q=a&q=b", "q=" + "a" * 201, "name=x", "is_primary=true", "limit=101"])
def test_bad_queries(reader, query):
    reader.get("/resumes?" + query).problem(400)


def test_a_cursor_is_of_its_order(reader):
    cursor = reader.get("/resumes?q=zebra&limit=1").ok()["next"]
    reader.get("/resumes?limit=1&cursor=" + cursor).problem(400, slug="bad-cursor")
    assert len(reader.get("/resumes?q=zebra&limit=1&cursor=" + cursor).ok()["data"]) == 1
