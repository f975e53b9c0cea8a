"""Applications: the contract's section of that name, with concurrency, retries and lists."""

import datetime
import json
import re
import secrets
import threading
from urllib.parse import quote, urlencode

import pytest

from stack import NO_SUCH_ID, TIME, UUID, connect, together, wait_for

FIELDS = {"id", "user_id", "name", "company_name", "role_title", "job_url", "job_description", "location",
          "priority_level", "status", "research_completed", "resume_optimized", "cover_letter_generated",
          "created_at", "updated_at"}
SORTS = [prefix + column for column in ("created_at", "updated_at", "company_name", "priority_level")
         for prefix in ("", "-")]
DESCRIPTION = "A position of which this text is the description, long enough to be one."
MINIMAL = {"company_name": "Acme", "role_title": "Engineer", "job_description": DESCRIPTION}
FULL = {**MINIMAL, "name": "my application", "job_url": "https://example.com/jobs/1?a=b#c", "location": "Köln",
        "priority_level": "high"}


def pages(user, limit, follow="next", **query):
    """Every row of a list, by cursor or by Link."""
    path = "/applications?" + urlencode({**query, "limit": limit})
    rows = []
    while True:
        answer = user.get(path)
        page = answer.ok()
        assert set(page) == {"data", "next"}, page.keys()
        assert len(page["data"]) <= limit
        rows += page["data"]
        link = answer.headers.get("Link")
        assert (page["next"] is None) == (link is None)
        if page["next"] is None:
            return rows
        assert len(page["data"]) == limit
        if follow == "link":
            target = re.fullmatch(r'<([^>]+)>; rel="next"', link).group(1)
            assert target.startswith("/api/v1/applications?"), target
            path = target[len("/api/v1"):]
        else:
            path = "/applications?" + urlencode({**query, "limit": limit, "cursor": page["next"]})


def ids(rows):
    return [row["id"] for row in rows]


def listed(user, **query):
    return user.get("/applications?" + urlencode({"limit": 100, **query}, doseq=True)).ok()["data"]


@pytest.fixture(scope="module")
def reader(stack):
    """A user with 60 applications of mixed values, many of them equal; only read by the tests."""
    user = stack.user()
    companies = ["Zebra", "acme", "Acme", "ACME", "Änderung", "Éclair", "eclair", "Ωmega", "a b", "a-b", "", "zebra"]
    companies[10] = "李"
    applications = [{"company_name": companies[index % 12], "role_title": f"Engineer {index % 5}",
                     "priority_level": ("low", "medium", "high")[index % 3]} for index in range(60)]
    created = user.create_many(applications[:40]) + [user.create(row["company_name"], row["role_title"],
                                                                priority_level=row["priority_level"])
                                                    for row in applications[40:]]
    for row in created[::7]:
        user.patch("/applications/" + row["id"], {"location": "elsewhere"}).ok()
    for row in created[::5]:
        for kind in ("research_report", "optimized_resume", "cover_letter")[:created.index(row) % 4]:
            stack.sql("INSERT INTO public.documents (application_id, user_id, document_type, content)"
                      " VALUES (%s, %s, %s, 'a document of some length')", row["id"], user.id, kind)
    return user


# --- Create ---------------------------------------------------------------------------------------------------------

def test_create_gives_the_whole_resource(stack, user):
    answer = user.post("/applications", FULL)
    row = answer.ok(201)
    assert set(row) == FIELDS
    assert {key: row[key] for key in FULL} == FULL
    assert UUID.fullmatch(row["id"]) and row["user_id"] == user.id
    assert TIME.fullmatch(row["created_at"]) and row["updated_at"] == row["created_at"]
    now = datetime.datetime.now(datetime.timezone.utc)
    assert abs((datetime.datetime.fromisoformat(row["created_at"][:-1] + "+00:00") - now).total_seconds()) < 60
    assert answer.headers["Location"] == "/api/v1/applications/" + row["id"]
    whole = user.get("/applications/" + row["id"])
    assert whole.ok() == row
    assert whole.headers["ETag"] == answer.headers["ETag"]


def test_create_defaults(user):
    row = user.post("/applications", MINIMAL).ok(201)
    assert (row["job_url"], row["location"]) == (None, None)
    assert (row["priority_level"], row["status"]) == ("medium", "draft")
    assert (row["research_completed"], row["resume_optimized"], row["cover_letter_generated"]) == (False,) * 3


@pytest.mark.parametrize("company, role, name", [
    ("Google", "Senior Developer", "google_senior_developer_"),
    ("Müller & Söhne", "C++/C#", "m_ller___s_hne_c___c__"),
    ("李", "工程师", "_" * 6),
])
def test_create_generates_the_name(user, company, role, name):
    def today():
        return datetime.datetime.now(datetime.timezone.utc).strftime("%Y_%m_%d")
    days = {today()}
    row = user.create(company, role)
    days.add(today())
    assert row["name"] in {name + day for day in days}


def test_create_generates_a_name_that_fits(user):
    row = user.create("c" * 255, "r" * 255)
    assert 10 <= len(row["name"]) <= 255
    assert row["company_name"] == "c" * 255 and row["role_title"] == "r" * 255
    assert re.search(r"\d{4}_\d\d_\d\d$", row["name"])


@pytest.mark.parametrize("field", ["name", "company_name", "role_title", "location"])
def test_create_text_of_255_characters(user, field, stack):
    for text in ("x" * 255, "é" * 255, "😀" * 255):
        assert user.post("/applications", {**FULL, field: text}).ok(201)[field] == text
    before = stack.snapshot()
    for text in ("x" * 256, "😀" * 256):
        assert user.post("/applications", {**FULL, field: text}).faults() == ["/" + field]
    assert stack.snapshot() == before


def test_create_description_of_50_characters_and_more(stack, user):
    for text in ("x" * 50, "😀" * 50, "é" * 49 + "\n", "word " * 20_000):
        assert user.post("/applications", {**MINIMAL, "job_description": text}).ok(201)["job_description"] == text
    before = stack.snapshot()
    for text in ("", "x" * 49, "😀" * 49):
        assert user.post("/applications", {**MINIMAL, "job_description": text}).faults() == ["/job_description"]
    assert stack.snapshot() == before


def test_create_largest_description(stack, user):
    """A text search index of a text has limits of its own: they are never the client's trouble."""
    words = [f"w{index:05d}x{secrets.token_hex(4)}" for index in range(6_600)]
    text = " ".join(words)[:99_000].ljust(100_000, "x")
    row = user.post("/applications", {**MINIMAL, "job_description": text}).ok(201)
    assert row["job_description"] == text
    assert ids(listed(user, q=words[0])) == [row["id"]]
    for text in ("x" * 100_000, "😀" * 100_000, " ".join("äöüß"[index % 4] * (index % 90) for index in range(2_000))):
        assert user.post("/applications", {**MINIMAL, "job_description": text}).ok(201)["job_description"] == text
    before = stack.snapshot()
    assert user.post("/applications", {**MINIMAL, "job_description": "x" * 100_001}).faults() == ["/job_description"]
    assert stack.snapshot() == before


@pytest.mark.parametrize("url", ["http://example.com", "HTTPS://EXAMPLE.com/x", "https://example.com/a?b=c&d=%20#e",
                                 "https://münchen.example/ß"])
def test_create_takes_job_url(user, url):
    assert user.post("/applications", {**MINIMAL, "job_url": url}).ok(201)["job_url"] == url


@pytest.mark.parametrize("url", ["", "example.com", "ftp://example.com", "javascript:alert(1)", "https://",
                                 "https:///x", "https://a b", "https://.x", " https://example.com",
                                 "https://example.com\n", "data:text/html,x"])
def test_create_refuses_job_url(user, url, unchanged):
    assert user.post("/applications", {**MINIMAL, "job_url": url}).faults() == ["/job_url"]


@pytest.mark.parametrize("field", ["status", "research_completed", "resume_optimized", "cover_letter_generated", "id",
                                   "user_id", "created_at", "updated_at", "search", "unknown", "", "a/b", "a~b"])
def test_create_and_patch_refuse_fields_that_are_not_the_clients(user, field, stack):
    row = user.create()
    before = stack.snapshot()
    pointer = "/" + field.replace("~", "~0").replace("/", "~1")
    for value in ("draft", True, None, user.id):
        assert user.post("/applications", {**MINIMAL, field: value}).faults() == [pointer]
        assert user.patch("/applications/" + row["id"], {field: value}).faults() == [pointer]
    assert stack.snapshot() == before


def test_create_lists_every_fault(user, unchanged):
    assert user.post("/applications", {}).faults() == ["/company_name", "/job_description", "/role_title"]
    bad = {"company_name": "  ", "role_title": 5, "job_description": "short", "name": "", "job_url": "x",
           "location": "y" * 256, "priority_level": "urgent", "status": "draft"}
    assert user.post("/applications", bad).faults() == sorted("/" + field for field in bad)


# --- Bulk -----------------------------------------------------------------------------------------------------------

def test_bulk_creates_in_order(user):
    bodies = [{**MINIMAL, "company_name": f"Company {index}", **({"name": f"n{index}"} if index % 2 else {}),
               **({"location": f"Place {index}"} if index % 3 else {})} for index in range(20)]
    answer = user.post("/applications", bodies)
    body = answer.ok(201)
    assert set(body) == {"data"}
    assert len(body["data"]) == 20
    for sent, row in zip(bodies, body["data"]):
        assert set(row) == FIELDS
        assert {key: row[key] for key in sent} == sent
        assert row["location"] == sent.get("location")
        assert user.get("/applications/" + row["id"]).ok() == row
    assert body["data"][0]["name"].startswith("company_0_engineer_")


@pytest.mark.parametrize("count", [1, 500])
def test_bulk_of_1_to_500(user, count):
    created = user.create_many([{"company_name": f"C{index}"} for index in range(count)])
    assert [row["company_name"] for row in created] == [f"C{index}" for index in range(count)]
    assert user.get("/applications?count=exact&limit=1").ok()["total"] == count


def test_bulk_as_large_as_a_request_may_be(user):
    """500 rows, a mebibyte in and more than one out; the list holds the largest of texts as well."""
    bodies = [{"company_name": "😀" * 100, "role_title": f"{index}", "job_description": "é" * 660, "location": "名" * 50,
               "job_url": "https://example.com/" + "x" * 50} for index in range(500)]
    headers = {"Idempotency-Key": key()}
    assert 1_000_000 < len(json.dumps(bodies, ensure_ascii=False).encode()) <= 1 << 20
    first = user.post("/applications", bodies, headers=headers)
    rows = first.ok(201)["data"]
    assert len(first.body) > 1 << 20
    assert [{name: row[name] for name in bodies[0]} for row in rows] == bodies
    assert user.post("/applications", bodies, headers=headers).body == first.body
    for row in listed(user):
        assert (row["company_name"], row["location"]) == ("😀" * 100, "名" * 50)


@pytest.mark.parametrize("count", [0, 501])
def test_bulk_of_none_or_501_is_422(user, count, unchanged):
    user.post("/applications", [MINIMAL] * count).problem(422)


def test_bulk_creates_none_when_one_is_wrong(user, unchanged):
    bodies = [dict(MINIMAL) for _ in range(100)]
    bodies[3]["company_name"] = ""
    bodies[97].update(priority_level="urgent", status="draft")
    del bodies[99]["job_description"]
    assert user.post("/applications", bodies).faults() == [
        "/3/company_name", "/97/priority_level", "/97/status", "/99/job_description"]
    for body in ([MINIMAL, 5], [MINIMAL, None], [MINIMAL, [MINIMAL]]):
        assert user.post("/applications", body).faults() == ["/1"]


@pytest.mark.parametrize("body", [5, "x", None, True, 1.5])
def test_create_of_no_object(user, body, unchanged):
    user.post("/applications", body).problem(400, 422)


# --- Read -----------------------------------------------------------------------------------------------------------

def test_read_takes_upper_case_ids(user):
    row = user.create()
    assert user.get("/applications/" + row["id"].upper()).ok() == row


@pytest.mark.parametrize("id_", [NO_SUCH_ID, "1", "x", "00000000-0000-4000-8000-00000000000",
                                 "00000000-0000-4000-8000-0000000000000", "{00000000-0000-4000-8000-000000000000}",
                                 "00000000000040008000000000000000", "00000000-0000-4000-8000-00000000000g", "%00",
                                 "..%2f..", "'", "%27%20OR%201=1", "%c3%28"])
def test_no_such_id_is_404(user, id_, unchanged):
    for method, options in (("GET", {}), ("DELETE", {}), ("PATCH", {"json": {"location": "x"}})):
        answer = user.request(method, "/applications/" + id_, **options)
        answer.problem(*((404,) if "%" not in id_ else (400, 404)))


def test_read_can_include_documents(stack, user):
    row = user.create()
    assert user.get(f"/applications/{row['id']}?include=documents").ok() == {**row, "documents": []}
    for kind in ("research_report", "optimized_resume"):
        stack.sql("INSERT INTO public.documents (application_id, user_id, document_type, content)"
                  " VALUES (%s, %s, %s, %s)", row["id"], user.id, kind, f"# {kind}\n\"quoted\" <b>ü</b>\t\\")
    whole = user.get(f"/applications/{row['id']}?include=documents").ok()
    assert {document["document_type"]: document["content"] for document in whole["documents"]} == {
        kind: f"# {kind}\n\"quoted\" <b>ü</b>\t\\" for kind in ("research_report", "optimized_resume")}
    for document in whole["documents"]:
        assert UUID.fullmatch(document["id"]) and TIME.fullmatch(document["created_at"])
        assert document["application_id"] == row["id"]
    assert (whole["status"], whole["research_completed"], whole["resume_optimized"]) == ("resume_ready", True, True)
    assert "documents" not in user.get("/applications/" + row["id"]).ok()
    for query in ("include=", "include=documents,x", "include=embeddings", "include=documents&include=documents"):
        user.get(f"/applications/{row['id']}?{query}").problem(400)


# --- Lists ----------------------------------------------------------------------------------------------------------

def test_list_leaves_the_description_out(reader):
    answer = reader.get("/applications")
    page = answer.ok()
    assert set(page) == {"data", "next"} and len(page["data"]) == 20
    for row in page["data"]:
        assert set(row) == FIELDS - {"job_description"}
    whole = reader.get("/applications/" + page["data"][0]["id"]).ok()
    assert page["data"][0] == {key: value for key, value in whole.items() if key != "job_description"}


def test_list_of_a_new_user_is_empty(user):
    answer = user.get("/applications?count=exact")
    assert answer.ok() == {"data": [], "next": None, "total": 0}
    assert answer.headers.get("Link") is None


def test_list_is_newest_first_by_default(reader):
    rows = listed(reader)
    assert ids(rows) == ids(listed(reader, sort="-created_at"))
    times = [row["created_at"] for row in rows]
    assert times == sorted(times, reverse=True)


@pytest.mark.parametrize("sort", SORTS)
def test_sort_orders_by_its_column(stack, reader, sort):
    column = sort.lstrip("-")
    order = {"company_name": 'company_name COLLATE "und-x-icu"'}.get(column, column)
    expected = [row for row, in stack.sql(
        f"SELECT a.{column}::text FROM public.applications a WHERE a.user_id = %s"
        f" ORDER BY a.{order} {'DESC' if sort[0] == '-' else 'ASC'}, a.id", reader.id)]
    rows = listed(reader, sort=sort)
    if column.endswith("_at"):
        actual = [row[column] for row in rows]
        assert actual == sorted(actual, reverse=sort[0] == "-")
    else:
        assert [row[column] for row in rows] == expected
    assert len(set(ids(rows))) == 60


@pytest.mark.parametrize("sort", SORTS)
@pytest.mark.parametrize("limit", [1, 7, 20, 60])
def test_cursor_covers_every_row_once(reader, sort, limit):
    if limit == 1 and sort not in ("-created_at", "company_name", "priority_level"):
        limit = 2
    whole = ids(listed(reader, sort=sort))
    assert ids(pages(reader, limit, sort=sort)) == whole
    if limit == 7:
        assert ids(pages(reader, limit, "link", sort=sort)) == whole


@pytest.mark.parametrize("sort", SORTS)
def test_ascending_and_descending_hold_the_same_rows(reader, sort):
    assert set(ids(listed(reader, sort=sort))) == set(ids(listed(reader)))


def test_cursor_keeps_filters(reader):
    whole = ids(listed(reader, priority_level=["low", "high"], sort="company_name"))
    assert len(whole) == 40
    assert ids(pages(reader, 7, "link", priority_level="low", sort="company_name")) == [
        id_ for id_ in whole if id_ in set(ids(listed(reader, priority_level="low")))]
    answer = reader.get("/applications?priority_level=low&priority_level=high&sort=company_name&limit=6&q=acme")
    path = re.fullmatch(r'<([^>]+)>; rel="next"', answer.headers["Link"]).group(1)
    rest = reader.get(path[len("/api/v1"):]).ok()["data"]
    assert {row["priority_level"] for row in rest} <= {"low", "high"}
    assert {row["company_name"].lower() for row in rest} == {"acme"}
    assert set(ids(rest)).isdisjoint(ids(answer.json()["data"]))


@pytest.mark.parametrize("sort", SORTS)
def test_cursor_is_stable_under_insertion_and_deletion(user, sort):
    before = user.create_many([{"company_name": f"Company {index // 3}", "priority_level": ("low", "high")[index % 2]}
                               for index in range(30)])
    seen, deleted, cursor = [], set(), ""
    for round_ in range(100):
        page = user.get(f"/applications?sort={sort}&limit=4{cursor}").ok()
        seen += ids(page["data"])
        if page["next"] is None:
            break
        cursor = "&cursor=" + quote(page["next"])
        user.create(f"Company {round_}", priority_level="medium")
        # One of the page itself (the very row that the cursor stands on), and one still to come.
        unseen = [row["id"] for row in before if row["id"] not in seen and row["id"] not in deleted]
        for victim in [page["data"][-1]["id"]] + unseen[:1]:
            user.delete("/applications/" + victim).ok(204)
            deleted.add(victim)
    assert len(seen) == len(set(seen)), "a row came twice"
    missed = {row["id"] for row in before} - set(seen) - deleted
    assert not missed


def test_offset_counts_rows(reader):
    whole = ids(listed(reader))
    for offset in (0, 1, 19, 59, 60, 61, 1_000_000):
        page = reader.get(f"/applications?limit=10&offset={offset}").ok()
        assert ids(page["data"]) == whole[offset:offset + 10]
    reader.get("/applications?offset=0").ok()


@pytest.mark.parametrize("query", [
    "limit=0", "limit=101", "limit=-1", "limit=", "limit=abc", "limit=1.5", "limit=1e1", "limit=+5", "limit=%205",
    "limit=0x10", "limit=99999999999999999999", "limit=5&limit=6", "offset=-1", "offset=", "offset=x",
    "offset=99999999999999999999", "offset=1&offset=2", "count=", "count=yes", "count=exact&count=exact", "sort=",
    "sort=id", "sort=--created_at", "sort=created_at,company_name", "sort=CREATED_AT",
    "sort=created_at&sort=updated_at",
    "status=", "status=done", "status=draft&status=done", "status=DRAFT", "priority_level=", "priority_level=urgent",
    "priority_level=low,high", "created_after=", "created_after=yesterday", "created_after=2026-13-01T00:00:00Z",
    "created_after=2026-02-30T00:00:00Z", "created_before=2026-01-01T25:00:00Z", "created_before=now",
    "created_before=infinity", "created_after=2026-01-01T00:00:00Z&created_after=2026-01-01T00:00:00Z",
    "q=&q=a", "q=a&q=b", "q=%00", "q=a%00b", "q=%ff", "q=%c3%28", "q=%ed%a0%80", "q=%zz", "q=%", "company_name=%00",
    "company_name=a&company_name=b", "x=1", "Limit=5", "limit%00=5", "q[]=a", "user_id=" + NO_SUCH_ID, "id=1",
    "limit=5&x", "cursor=", "cursor=x", "cursor=x&cursor=y", "cursor=" + "A" * 3000, "q=" + "a" * 5_000,
])
def test_bad_query_is_400(reader, query, unchanged):
    reader.get("/applications?" + query).problem(400)


@pytest.mark.parametrize("limit, count", [(1, 1), (100, 60), (60, 60), (59, 59)])
def test_limit_of_1_to_100(reader, limit, count):
    page = reader.get(f"/applications?limit={limit}").ok()
    assert len(page["data"]) == count
    assert (page["next"] is None) == (limit >= 60)


def test_count_exact_adds_the_total(reader):
    assert reader.get("/applications?count=exact&limit=1").ok()["total"] == 60
    assert reader.get("/applications?count=exact&limit=1&offset=1000").ok()["total"] == 60
    assert reader.get("/applications?count=exact&priority_level=low&limit=3").ok()["total"] == 20
    page = reader.get("/applications?count=exact&limit=7").ok()
    assert reader.get("/applications?count=exact&limit=7&cursor=" + quote(page["next"])).ok()["total"] == 60


def test_cursor_and_offset_exclude_each_other(reader):
    cursor = quote(reader.get("/applications?limit=5").ok()["next"])
    reader.get(f"/applications?limit=5&cursor={cursor}&offset=0").problem(400)


def test_cursor_of_another_user_order_or_making_is_400(stack, user, reader):
    user.create_many([{}] * 5)
    cursor = reader.get("/applications?limit=5&sort=company_name").ok()["next"]
    user.get(f"/applications?sort=company_name&cursor={quote(cursor)}").problem(400)
    for sort in SORTS:
        answer = reader.get(f"/applications?sort={sort}&cursor={quote(cursor)}")
        assert answer.status == (200 if sort == "company_name" else 400), answer
    for edited in (cursor[:-1], cursor + "A", "A" + cursor, cursor[::-1], cursor.swapcase(), cursor + "=",
                   ("B" if cursor[0] == "A" else "A") + cursor[1:], cursor[: len(cursor) // 2]):
        reader.get(f"/applications?sort=company_name&cursor={quote(edited)}").problem(400)
    for position in range(0, len(cursor), 5):
        edited = cursor[:position] + ("x" if cursor[position] != "x" else "y") + cursor[position + 1:]
        reader.get(f"/applications?sort=company_name&cursor={quote(edited)}").problem(400)


# --- Filters --------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("status", ["draft", "research_complete", "resume_ready", "cover_letter_ready"])
def test_filter_status(stack, reader, status):
    expected = {id_ for id_, in stack.sql("SELECT id::text FROM public.applications WHERE user_id = %s AND status = %s",
                                          reader.id, status)}
    assert expected
    rows = listed(reader, status=status)
    assert set(ids(rows)) == expected and {row["status"] for row in rows} == {status}


def test_filter_status_is_repeatable(reader):
    one, two = listed(reader, status="research_complete"), listed(reader, status="resume_ready")
    both = listed(reader, status=["research_complete", "resume_ready"])
    assert set(ids(both)) == set(ids(one)) | set(ids(two)) and len(both) == len(one) + len(two)
    every = ["draft", "draft", "research_complete", "resume_ready", "cover_letter_ready"]
    assert len(listed(reader, status=every)) == 60


def test_filter_priority_level(reader):
    for level in ("low", "medium", "high"):
        rows = listed(reader, priority_level=level)
        assert len(rows) == 20 and {row["priority_level"] for row in rows} == {level}
    assert len(listed(reader, priority_level=["low", "high"])) == 40


def test_filter_company_name_is_exact(reader):
    for company in ("acme", "Acme", "ACME", "Änderung", "Ωmega", "李", "a b", "a-b"):
        rows = listed(reader, company_name=company)
        assert len(rows) == 5 and {row["company_name"] for row in rows} == {company}
    for company in ("acm", "%", "acme ", "A%", "a_b", "nobody"):
        assert listed(reader, company_name=company) == []


def test_filter_created(reader):
    rows = listed(reader)
    times = sorted({row["created_at"] for row in rows})
    middle = times[len(times) // 2]
    after, before = listed(reader, created_after=middle), listed(reader, created_before=middle)
    for row in after:
        assert row["created_at"] >= middle
    for row in before:
        assert row["created_at"] <= middle
    exactly = [row for row in rows if row["created_at"] == middle]
    missing = set(ids(rows)) - set(ids(after)) - set(ids(before))
    assert missing <= set(ids(exactly))
    assert len(listed(reader, created_after="2020-01-01T00:00:00Z")) == 60
    assert len(listed(reader, created_before="2020-01-01T00:00:00Z")) == 0
    assert len(listed(reader, created_after="2020-01-01T00:00:00+02:00", created_before="2199-12-31T23:59:59.5Z")) == 60
    assert len(listed(reader, created_after="2199-01-01T00:00:00-08:00")) == 0


def test_filter_created_knows_offsets(user):
    row = user.create()
    moment = datetime.datetime.fromisoformat(row["created_at"][:-1] + "+00:00")
    east = datetime.timezone(datetime.timedelta(hours=5, minutes=30))
    second = datetime.timedelta(seconds=1)
    assert ids(listed(user, created_after=(moment - second).astimezone(east).isoformat())) == [row["id"]]
    assert ids(listed(user, created_after=(moment + second).astimezone(east).isoformat())) == []
    assert ids(listed(user, created_before=(moment + second).astimezone(east).isoformat())) == [row["id"]]
    assert ids(listed(user, created_before=(moment - second).astimezone(east).isoformat())) == []


def test_filters_combine(reader):
    rows = listed(reader)
    middle = sorted(row["created_at"] for row in rows)[55]
    expected = [row["id"] for row in rows if row["company_name"] == "acme"
                and row["priority_level"] in ("low", "medium") and row["status"] in ("draft", "resume_ready")
                and "engineer 1" in row["role_title"].lower() and row["created_at"] < middle]
    assert expected
    assert ids(listed(reader, company_name="acme", priority_level=["low", "medium"], status=["draft", "resume_ready"],
                      q="engineer 1", created_after="2020-01-01T00:00:00Z", created_before=middle)) == expected


# --- Search ---------------------------------------------------------------------------------------------------------

@pytest.fixture(scope="module")
def searched(stack):
    user = stack.user()
    texts = {
        "müller": ("Müller GmbH", "Straßenbauer", "Wir suchen eine Person für die Arbeit an Straßen und Brücken."),
        "café": ("Café Élan", "Développeur", "Nous cherchons une personne qui aime le café et la programmation."),
        "percent": ("100% Remote", "Under_score", "Nothing of interest is said in this description, truly nothing."),
        "percents": ("1000 Remote", "Underscore", "Nothing of interest is said in this description, truly nothing."),
        "slash": ("Back\\slash", "Quote'd \"x\"", "Nothing of interest is said in this description, truly nothing."),
        "engine": ("Plain", "Person", "We are building engines; an engineer would be running several databases here."),
        "html": ("<b>Bold</b>", "A & B", "Nothing of interest is said in this description, truly nothing."),
        "cjk": ("日本株式会社", "工程师", "Nothing of interest is said in this description, truly nothing at all."),
        "emoji": ("Rocket 🚀", "Star", "Nothing of interest is said in this description, truly nothing at all."),
    }
    named = {}
    for name, (company, role, description) in texts.items():
        named[name] = user.create(company, role, job_description=description)["id"]
    user.named = {id_: name for name, id_ in named.items()}
    return user


@pytest.mark.parametrize("q, names", [
    ("Müller", ["müller"]), ("müller", ["müller"]), ("MÜLLER", ["müller"]), ("ller Gmb", ["müller"]),
    ("straßen", ["müller"]), ("Café", ["café"]), ("élan", ["café"]), ("ÉLAN", ["café"]), ("DÉVELOPPEUR", ["café"]),
    ("100%", ["percent"]), ("%", ["percent"]), ("0% R", ["percent"]), ("_", ["percent"]), ("Under_", ["percent"]),
    ("remote", ["percent", "percents"]), ("under", ["percent", "percents"]),
    ("\\", ["slash"]), ("\\s", ["slash"]), ("'", ["slash"]), ("\"", ["slash"]), ("'d \"", ["slash"]),
    ("<b>", ["html"]), ("&", ["html"]), ("A & B", ["html"]), ("日本", ["cjk"]), ("工程", ["cjk"]), ("🚀", ["emoji"]),
    ("engineers", ["engine"]), ("database", ["engine"]), ("building engines", ["engine"]),
    ("run database", ["engine"]), ("Brücken", ["müller"]), ("programmation", ["café"]),
    ("databases nowhere", []), ("gine", []), ("xyzzy", []), ("' OR 1=1 --", []), ("&|!():*<->", []), ("a:*", []),
    ("\\%", []), ("the", []),
])
def test_q_finds_company_role_and_description(searched, q, names):
    found = {searched.named[id_] for id_ in ids(listed(searched, q=q))}
    if q == "&|!():*<->":
        assert found == set()
    else:
        assert found == set(names)


def test_q_of_1_to_200_characters(searched):
    for q in ("", " ", "\t\n", "a" * 201, "😀" * 201):
        searched.get("/applications?q=" + quote(q)).problem(400)
    for q in ("a" * 200, "😀" * 200):
        assert listed(searched, q=q) == []


def test_q_follows_a_changed_description(user):
    row = user.create(job_description="The first description speaks of nothing but elephants in rooms, many elephants.")
    assert ids(listed(user, q="elephant")) == [row["id"]]
    user.patch("/applications/" + row["id"], {
        "job_description": "The second description speaks of nothing but giraffes in rooms, many giraffes."}).ok()
    assert ids(listed(user, q="elephant")) == []
    assert ids(listed(user, q="giraffe")) == [row["id"]]


# --- Change ---------------------------------------------------------------------------------------------------------

def test_patch_keeps_what_is_absent(user):
    row = user.post("/applications", FULL).ok(201)
    changes = {"name": "n", "company_name": "Globex", "role_title": "Chief", "job_description": "d" * 50,
               "job_url": "http://globex.example", "location": "Paris", "priority_level": "low"}
    for field, value in changes.items():
        old = row
        answer = user.patch("/applications/" + row["id"], {field: value})
        row = answer.ok()
        assert row == {**old, field: value, "updated_at": row["updated_at"]}
        assert row["updated_at"] > old["updated_at"]
        read = user.get("/applications/" + row["id"])
        assert read.json() == row and read.headers["ETag"] == answer.headers["ETag"]
    row = user.patch("/applications/" + row["id"], FULL).ok()
    assert {field: row[field] for field in FULL} == FULL


def test_patch_null_clears_what_may_be_null(user):
    row = user.post("/applications", FULL).ok(201)
    cleared = user.patch("/applications/" + row["id"], {"job_url": None, "location": None}).ok()
    assert (cleared["job_url"], cleared["location"]) == (None, None)
    assert cleared["priority_level"] == "high" and cleared["name"] == FULL["name"]


def test_patch_null_is_refused_elsewhere(user, stack):
    row = user.post("/applications", FULL).ok(201)
    before = stack.snapshot()
    fields = ["company_name", "job_description", "name", "priority_level", "role_title"]
    assert user.patch("/applications/" + row["id"], dict.fromkeys(fields)).faults() == ["/" + field for field in fields]
    assert stack.snapshot() == before


def test_patch_of_nothing_changes_nothing(user):
    row = user.create()
    answer = user.patch("/applications/" + row["id"], {}).ok()
    assert {**answer, "updated_at": ""} == {**row, "updated_at": ""}


def test_patch_validates_before_it_changes(user, stack):
    row = user.create()
    before = stack.snapshot()
    assert user.patch("/applications/" + row["id"], {"location": "fine", "company_name": ""}).faults() == [
        "/company_name"]
    for body in ([], [{"location": "x"}], "x", 5, None):
        user.patch("/applications/" + row["id"], body).problem(400, 422)
    assert stack.snapshot() == before


def test_delete_is_for_good(stack, user):
    row, other = user.create(), user.create()
    stack.sql("INSERT INTO public.documents (application_id, user_id, document_type, content)"
              " VALUES (%s, %s, 'research_report', 'a report of some length')", row["id"], user.id)
    answer = user.delete("/applications/" + row["id"])
    assert (answer.status, answer.body) == (204, b"")
    user.get("/applications/" + row["id"]).problem(404)
    user.delete("/applications/" + row["id"]).problem(404)
    assert ids(listed(user)) == [other["id"]]
    assert stack.sql("SELECT count(*) FROM public.documents WHERE application_id = %s", row["id"]) == [(0,)]


# --- Entity tags ----------------------------------------------------------------------------------------------------

def test_etag_is_strong_and_changes_with_the_resource(user):
    path = "/applications/" + user.create()["id"]
    first = user.get(path).headers["ETag"]
    assert re.fullmatch(r'"[\x21\x23-\x7e]+"', first)
    assert user.get(path).headers["ETag"] == first
    second = user.patch(path, {"location": "x"}).headers["ETag"]
    assert second != first and user.get(path).headers["ETag"] == second
    assert user.create_many([{}])[0] and user.get("/applications").headers.get("ETag") != second


def test_etag_differs_between_representations(stack, user):
    row = user.create()
    path = "/applications/" + row["id"]
    stack.sql("INSERT INTO public.documents (application_id, user_id, document_type, content)"
              " VALUES (%s, %s, 'research_report', 'a report of some length')", row["id"], user.id)
    plain, full = user.get(path), user.get(path + "?include=documents")
    assert plain.headers["ETag"] != full.headers["ETag"]
    headers = {"If-None-Match": full.headers["ETag"]}
    assert user.get(path + "?include=documents", headers=headers).status == 304
    stack.sql("UPDATE public.documents SET content = 'another report of some length' WHERE application_id = %s",
              row["id"])
    changed = user.get(path + "?include=documents", headers=headers)
    assert changed.ok()["documents"][0]["content"] == "another report of some length"


def test_if_none_match_gives_304(user):
    path = "/applications/" + user.create()["id"]
    etag = user.get(path).headers["ETag"]
    for value in (etag, "W/" + etag, f'"x", {etag}', f'"x",W/{etag} , "y"', "*"):
        for method in ("GET", "HEAD"):
            answer = user.request(method, path, headers={"If-None-Match": value})
            assert (answer.status, answer.body) == (304, b""), (value, answer)
            assert answer.headers["ETag"] == etag
            assert "X-Request-Id" in answer.headers
    for value in ('"x"', etag.strip('"'), etag[:-2] + '"', '"", W/""'):
        assert user.get(path, headers={"If-None-Match": value}).status in (200, 400), value
    user.patch(path, {"location": "x"}).ok()
    user.get(path, headers={"If-None-Match": etag}).ok()


def test_if_match_stale_is_412_and_changes_nothing(stack, user):
    path = "/applications/" + user.create()["id"]
    stale = user.get(path).headers["ETag"]
    fresh = user.patch(path, {"location": "x"}).headers["ETag"]
    before = stack.snapshot()
    for value in (stale, '"x"', "W/" + fresh, f'{stale}, "y"', '""'):
        user.patch(path, {"location": "y"}, headers={"If-Match": value}).problem(412)
        user.delete(path, headers={"If-Match": value}).problem(412)
    for value in ("x", '"unclosed', "W/*", "*, *"):
        user.patch(path, {"location": "y"}, headers={"If-Match": value}).problem(400, 412)
    assert stack.snapshot() == before
    for value in (fresh, f'"x", {fresh}', "*"):
        fresh = user.patch(path, {"location": value}, headers={"If-Match": value}).headers["ETag"]
    user.delete(path, headers={"If-Match": fresh}).ok(204)


def test_if_match_of_what_is_not_there_is_404(user, unchanged):
    for value in ("*", '"x"'):
        user.patch("/applications/" + NO_SUCH_ID, {"location": "x"}, headers={"If-Match": value}).problem(404)
        user.delete("/applications/" + NO_SUCH_ID, headers={"If-Match": value}).problem(404)


def test_if_match_is_looked_at_after_the_body(user, stack):
    """An invalid body is 422 whatever the tag: the client has to mend it first."""
    path = "/applications/" + user.create()["id"]
    before = stack.snapshot()
    user.patch(path, {"company_name": ""}, headers={"If-Match": '"x"'}).problem(412, 422)
    assert stack.snapshot() == before


def test_two_writers_with_one_etag_exactly_one_wins(user):
    path = "/applications/" + user.create()["id"]
    etag = user.get(path).headers["ETag"]
    for round_ in range(40):
        answers = together(2, lambda index: user.patch(path, {"location": f"{round_} {index}"},
                                                       headers={"If-Match": etag}))
        assert sorted(answer.status for answer in answers) == [200, 412], answers
        winner = next(answer for answer in answers if answer.status == 200)
        loser = next(answer for answer in answers if answer.status == 412)
        loser.problem(412)
        read = user.get(path)
        assert read.json() == winner.json()
        etag = winner.headers["ETag"]
        assert read.headers["ETag"] == etag


def test_delete_and_patch_with_one_etag_exactly_one_wins(user):
    for _ in range(20):
        path = "/applications/" + user.create()["id"]
        etag = user.get(path).headers["ETag"]
        headers = {"If-Match": etag}
        patched, deleted = together(2, lambda index: user.delete(path, headers=headers) if index else
                                    user.patch(path, {"location": "x"}, headers=headers))
        assert (patched.status, deleted.status) in ((200, 412), (404, 204), (412, 204)), (patched, deleted)


# --- Retries --------------------------------------------------------------------------------------------------------

def key():
    return secrets.token_hex(16)


def test_idempotency_key_gives_the_first_answer_again(stack, user):
    for body in (FULL, [MINIMAL, FULL]):
        headers = {"Idempotency-Key": key()}
        first = user.post("/applications", body, headers=headers)
        first.ok(201)
        assert first.headers.get("Idempotency-Replayed") is None
        before = stack.snapshot()
        for _ in range(3):
            again = user.post("/applications", body, headers=headers)
            again.ok(201)
            assert again.body == first.body
            assert again.headers["Idempotency-Replayed"] == "true"
            for name in ("Location", "ETag", "Content-Type"):
                assert again.headers.get(name) == first.headers.get(name)
            assert again.headers["X-Request-Id"] != first.headers["X-Request-Id"]
        assert stack.snapshot() == before


def test_idempotency_key_replays_after_the_row_has_changed(user):
    headers = {"Idempotency-Key": key()}
    first = user.post("/applications", MINIMAL, headers=headers)
    user.delete(first.headers["Location"][len("/api/v1"):]).ok(204)
    again = user.post("/applications", MINIMAL, headers=headers)
    assert (again.status, again.body) == (201, first.body)


def test_idempotency_key_with_another_body_is_422(stack, user):
    headers = {"Idempotency-Key": key()}
    user.post("/applications", MINIMAL, headers=headers).ok(201)
    before = stack.snapshot()
    user.post("/applications", FULL, headers=headers).problem(422)
    user.post("/applications", [MINIMAL], headers=headers).problem(422)
    assert stack.snapshot() == before
    again = user.post("/applications", MINIMAL, headers=headers)
    assert (again.status, again.headers["Idempotency-Replayed"]) == (201, "true")


def test_idempotency_key_at_once_creates_exactly_one(user):
    for round_ in range(10):
        headers = {"Idempotency-Key": key()}
        body = {**MINIMAL, "company_name": f"Round {round_}"}
        answers = together(6, lambda index: user.post("/applications", body, headers=headers))
        assert len(listed(user, company_name=body["company_name"])) == 1
        created = [answer for answer in answers if answer.status == 201]
        assert [answer.headers.get("Idempotency-Replayed") for answer in created].count(None) == 1
        assert len({answer.body for answer in created}) == 1
        for answer in answers:
            if answer.status != 201:
                answer.problem(409)


@pytest.mark.parametrize("value", ["a" * 256, "a b", "é", "a\tb", "a\x7f", "a" * 5000])
def test_idempotency_key_of_bad_form_is_400(user, value, unchanged):
    if value == "é":
        value = value.encode().decode("latin-1")
    user.post("/applications", MINIMAL, headers={"Idempotency-Key": value}).problem(400, 422)


@pytest.mark.parametrize("value", ["a", "a" * 255, "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"])
def test_idempotency_key_of_1_to_255_visible_characters(user, value):
    first = user.post("/applications", MINIMAL, headers={"Idempotency-Key": value})
    first.ok(201)
    assert user.post("/applications", MINIMAL, headers={"Idempotency-Key": value}).body == first.body


def test_idempotency_key_belongs_to_its_user(stack, user):
    headers = {"Idempotency-Key": key()}
    other = stack.user()
    first = user.post("/applications", MINIMAL, headers=headers)
    second = other.post("/applications", MINIMAL, headers=headers)
    assert first.ok(201)["id"] != second.ok(201)["id"]
    assert second.headers.get("Idempotency-Replayed") is None
    assert second.json()["user_id"] == other.id
    other.post("/applications", FULL, headers=headers).problem(422)


def test_idempotency_key_of_a_refused_request_is_free(user):
    headers = {"Idempotency-Key": key()}
    user.post("/applications", {**MINIMAL, "company_name": ""}, headers=headers).problem(422)
    answer = user.post("/applications", MINIMAL, headers=headers)
    answer.ok(201)
    assert answer.headers.get("Idempotency-Replayed") is None


def test_idempotency_key_holds_for_a_day(stack, user):
    headers = {"Idempotency-Key": key()}
    first = user.post("/applications", MINIMAL, headers=headers).ok(201)
    age = "UPDATE jobforge.idempotency_keys SET created_at = now() - %s::interval WHERE user_id = %s"
    stack.sql(age, "23 hours", user.id)
    assert user.post("/applications", MINIMAL, headers=headers).ok(201) == first
    stack.sql(age, "25 hours", user.id)
    answer = user.post("/applications", FULL, headers=headers)
    assert answer.ok(201)["id"] != first["id"] and answer.headers.get("Idempotency-Replayed") is None
    assert user.post("/applications", FULL, headers=headers).headers["Idempotency-Replayed"] == "true"


def test_idempotency_key_while_the_first_still_runs_is_409(stack, user):
    """
    The first is held up by a lock on the user's row, which its insertion has to read. Others are told so at once, save
    one that nginx hands to the very worker that is held up: it waits and has the first one's answer.
    """
    headers = {"Idempotency-Key": key()}
    answers = []

    def send(_=None):
        answers.append(user.post("/applications", MINIMAL, headers=headers))
    blocker = connect(stack.name)
    blocker.autocommit = False
    blocker.cursor().execute("SELECT 1 FROM public.users WHERE id = %s FOR UPDATE", (user.id,))
    threads = [threading.Thread(target=send) for _ in range(8)]
    stack.hang_up()  # no connection to the worker that is to be held up is kept, so it is given none of the others
    threads[0].start()
    try:
        waiting = "SELECT 1 FROM pg_stat_activity WHERE datname = %s AND wait_event_type = 'Lock'"
        wait_for(lambda: stack.sql(waiting, stack.name), 5, "the first request waits")
        for thread in threads[1:]:
            thread.start()
        wait_for(lambda: any(answer.status == 409 for answer in answers), 10, "409 while the first still runs")
        assert stack.sql("SELECT id FROM applications WHERE user_id = %s", user.id) == []
    finally:
        blocker.rollback()
        blocker.close()
        for thread in threads:
            thread.join()
    created = [answer for answer in answers if answer.status == 201]
    assert len({answer.body for answer in created}) == 1
    assert [answer.headers.get("Idempotency-Replayed") for answer in created].count(None) == 1
    for answer in answers:
        if answer.status != 201:
            answer.problem(409)
    assert len(listed(user)) == 1


# --- Methods --------------------------------------------------------------------------------------------------------

def test_head_is_get_without_body(user):
    row = user.create()
    for path in ("/applications", "/applications/" + row["id"], "/me", "/applications?limit=1&count=exact"):
        get, head = user.get(path), user.request("HEAD", path)
        assert head.status == 200 and head.body == b""
        for name in ("Content-Type", "Content-Length", "ETag", "Link"):
            assert head.headers.get(name) == get.headers.get(name), name
    missing = user.request("HEAD", "/applications/" + NO_SUCH_ID)
    assert (missing.status, missing.body) == (404, b"")


METHODS = {"/applications": {"GET", "HEAD", "POST", "OPTIONS"},
           "/applications/" + NO_SUCH_ID: {"GET", "HEAD", "PATCH", "DELETE", "OPTIONS"},
           "/me": {"GET", "HEAD", "PATCH", "DELETE", "OPTIONS"},
           "/me/password": {"POST", "OPTIONS"},
           "/auth/login": {"POST", "OPTIONS"}}


@pytest.mark.parametrize("path", METHODS)
def test_options_answers_allow(user, path):
    for client in (user, user.stack.anyone):
        answer = client.request("OPTIONS", path)
        assert answer.status in (200, 204) and answer.body == b""
        assert set(re.split(r",\s*", answer.headers["Allow"])) == METHODS[path]


@pytest.mark.parametrize("path", METHODS)
def test_wrong_method_is_405_with_allow(user, path, unchanged):
    for method in {"GET", "POST", "PUT", "PATCH", "DELETE"} - METHODS[path]:
        for body in ({}, {"json": MINIMAL}):
            answer = user.request(method, path, **body)
            answer.problem(405)
            assert set(re.split(r",\s*", answer.headers["Allow"])) == METHODS[path]


def test_json_is_written_as_rfc_8259(user):
    """Whatever text goes in comes out; nothing is escaped into something else."""
    text = "".join(map(chr, range(1, 0x30))) + "\u2028\u2029\u00ad\ufeff\ufffd\U0010ffff</script><!--\\\"\x7f"
    row = user.create(text, text, location=text, name=text)
    read = user.get("/applications/" + row["id"])
    assert [read.json()[field] for field in ("company_name", "role_title", "location", "name")] == [text] * 4
    assert json.loads(read.body.decode("utf-8", "strict")) == row
    assert listed(user)[0]["company_name"] == text
