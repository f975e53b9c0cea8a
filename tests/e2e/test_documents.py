"""Documents of an application: phases, bounds, forms and their tags, negotiation, lists and search."""

import html
import html.parser
import json
import random
import re
import secrets
import threading
from urllib.parse import quote, urlencode

import pytest

from stack import NO_SUCH_ID, TIME, UUID, together

FIELDS = {"id", "application_id", "document_type", "content", "created_at", "updated_at"}
RESEARCH, RESUME, LETTER = KINDS = ("research_report", "optimized_resume", "cover_letter")
STATUS = {0: "draft", 1: "research_complete", 2: "resume_ready", 3: "cover_letter_ready"}
CONTENT = "# A document\n\nof some *length*."
LARGEST = 512 * 1024
JSON, MARKDOWN, HTML = "application/json", "text/markdown", "text/html"
TYPES = {JSON: JSON, MARKDOWN: "text/markdown; charset=utf-8", HTML: "text/html; charset=utf-8"}


@pytest.fixture
def application(user):
    return user.create()["id"]


def path(application, kind=RESEARCH):
    return f"/applications/{application}/documents/{kind}"


def write(user, application, *kinds, content=CONTENT):
    """Writes these documents; the last one's row."""
    for kind in kinds:
        row = user.put(path(application, kind), {"content": content}).ok(201)
    return row


def accept(type_, **headers):
    return {"Accept": type_, **headers}


def read(user, application, kind, type_, **headers):
    """The document in one of its forms; the answer."""
    answer = user.get(path(application, kind), headers=accept(type_, **headers))
    assert answer.status == 200, answer
    assert answer.headers["Content-Type"].replace("UTF-8", "utf-8") == TYPES[type_]
    assert "accept" in re.split(r",\s*", answer.headers["Vary"].lower())
    return answer


def assert_flags(user, application, *kinds):
    """Flags and status of the application are those of exactly these documents."""
    row = user.get("/applications/" + application).ok()
    assert [row[flag] for flag in ("research_completed", "resume_optimized", "cover_letter_generated")] == [
        kind in kinds for kind in KINDS], row
    assert row["status"] == STATUS[len(kinds)]
    listed = user.get("/applications?limit=100").ok()["data"]
    assert row["status"] in {other["status"] for other in listed if other["id"] == application}


def assert_consistent(stack, application):
    """The same, in the database, whatever the documents are; and that they are in order."""
    flags, = stack.sql("SELECT research_completed, resume_optimized, cover_letter_generated, status::text"
                       " FROM public.applications WHERE id = %s", application)
    kinds = {kind for kind, in stack.sql("SELECT document_type::text FROM public.documents WHERE application_id = %s",
                                         application)}
    assert flags[:3] == tuple(kind in kinds for kind in KINDS), (flags, kinds)
    assert flags[3] == STATUS[len(kinds)]
    assert kinds == set(KINDS[:len(kinds)]), kinds


# --- Write and read -------------------------------------------------------------------------------------------------

def test_put_creates_and_replaces(user, application):
    answer = user.put(path(application), {"content": CONTENT})
    row = answer.ok(201)
    assert FIELDS <= set(row)
    assert UUID.fullmatch(row["id"]) and row["application_id"] == application
    assert (row["document_type"], row["content"]) == (RESEARCH, CONTENT)
    assert TIME.fullmatch(row["created_at"]) and row["updated_at"] == row["created_at"]
    assert answer.headers["Location"] == "/api/v1" + path(application)
    whole = user.get(path(application))
    assert whole.ok() == row and whole.headers["ETag"] == answer.headers["ETag"]
    again = user.put(path(application), {"content": CONTENT + "!"})
    replaced = again.ok(200)
    assert replaced == {**row, "content": CONTENT + "!", "updated_at": replaced["updated_at"]}
    assert replaced["updated_at"] > row["updated_at"]
    assert again.headers["ETag"] != answer.headers["ETag"]
    assert again.headers.get("Location") is None or again.headers["Location"] == answer.headers["Location"]
    assert user.get(path(application)).ok() == replaced


def test_put_of_the_same_content_is_200(user, application):
    first = user.put(path(application), {"content": CONTENT})
    again = user.put(path(application), {"content": CONTENT})
    assert {**again.ok(200), "updated_at": ""} == {**first.ok(201), "updated_at": ""}


def test_delete_and_create_anew(user, application):
    row = write(user, application, RESEARCH)
    answer = user.delete(path(application))
    assert (answer.status, answer.body) == (204, b"")
    user.get(path(application)).problem(404)
    user.delete(path(application)).problem(404)
    assert write(user, application, RESEARCH)["id"] != row["id"]


def test_application_embeds_them(user, application):
    write(user, application, RESEARCH, RESUME)
    documents = user.get(f"/applications/{application}?include=documents").ok()["documents"]
    assert {row["document_type"] for row in documents} == {RESEARCH, RESUME}
    assert {row["content"] for row in documents} == {CONTENT}


@pytest.mark.parametrize("body", [{}, {"content": None}, {"content": 5}, {"content": []}, {"content": ""},
                                  {"content": "x" * 9}, {"content": "é" * 9}, {"content": " " * 10},
                                  {"content": "0123456789\0"}])
def test_put_refuses_content(stack, user, application, body):
    before = stack.snapshot()
    assert user.put(path(application), body).faults() == ["/content"]
    assert stack.snapshot() == before


@pytest.mark.parametrize("field", ["document_type", "id", "application_id", "user_id", "created_at", "unknown"])
def test_put_refuses_fields_that_are_not_the_clients(stack, user, application, field):
    before = stack.snapshot()
    assert user.put(path(application), {"content": CONTENT, field: RESEARCH}).faults() == ["/" + field]
    assert stack.snapshot() == before


@pytest.mark.parametrize("text", ["x" * 10, "😀" * 10, "é" * 9 + "\n", "x" * LARGEST, "é" * (LARGEST // 2),
                                  "😀" * (LARGEST // 4), ("x\n" * LARGEST)[:LARGEST],
                                  ("word, " * LARGEST)[:LARGEST], "0123456789" + "<&>\"'\\" * 1000],
                         ids=lambda text: f"{text[:3].encode()}{len(text)}")
def test_content_within_its_bounds_comes_back(user, application, text):
    row = user.put(path(application), {"content": text}).ok(201)
    assert row["content"] == text
    assert read(user, application, RESEARCH, MARKDOWN).body == text.encode()
    assert user.put(path(application), body=text.encode()[:-1] + b"y" if text.isascii() else text.encode(),
                    type=MARKDOWN).ok(200)["document_type"] == RESEARCH


@pytest.mark.parametrize("text", ["x" * (LARGEST + 1), "é" * (LARGEST // 2) + "x", "😀" * (LARGEST // 4) + "x"],
                         ids=("ascii", "two", "four"))
def test_content_of_more_than_512_kib_is_422(stack, user, application, text):
    before = stack.snapshot()
    assert user.put(path(application), {"content": text}).faults() == ["/content"]
    assert user.put(path(application), body=text.encode(), type=MARKDOWN).faults() == ["/content"]
    assert stack.snapshot() == before


def test_body_of_more_than_1_mib_is_413(stack, user, application):
    before = stack.snapshot()
    for type_, body in ((JSON, json.dumps({"content": "x" * (1 << 20)}).encode()), (MARKDOWN, b"x" * ((1 << 20) + 1))):
        user.put(path(application), body=body, type=type_).problem(413)
    assert stack.snapshot() == before


@pytest.mark.parametrize("id_", [NO_SUCH_ID, "x", "1", "00000000-0000-4000-8000-00000000000g"])
def test_no_such_application_is_404(user, id_, unchanged):
    user.get(path(id_)).problem(404)
    user.put(path(id_), {"content": CONTENT}).problem(404)
    user.put(path(id_), body=CONTENT.encode(), type=MARKDOWN).problem(404)
    user.delete(path(id_)).problem(404)
    user.get(f"/applications/{id_}/documents").problem(404)


@pytest.mark.parametrize("kind", ["letter", "RESEARCH_REPORT", "research-report", "research_report%00", "1", "%20", "'",
                                  "null", "research_report/", "%c3%28"])
def test_unknown_document_type_is_404(stack, user, application, kind):
    before = stack.snapshot()
    statuses = (404,) if "%" not in kind else (400, 404)
    user.get(path(application, kind)).problem(*statuses)
    user.put(path(application, kind), {"content": CONTENT}).problem(*statuses)
    user.delete(path(application, kind)).problem(*statuses)
    assert stack.snapshot() == before


def test_another_users_application_is_404(stack, user, application):
    write(user, application, RESEARCH)
    other = stack.user()
    before = stack.snapshot()
    for kind in KINDS[:2]:
        other.get(path(application, kind)).problem(404)
        other.put(path(application, kind), {"content": CONTENT}).problem(404)
        other.put(path(application, kind), {"content": CONTENT}, headers={"If-None-Match": "*"}).problem(404)
        other.put(path(application, kind), {"content": CONTENT}, headers={"If-Match": "*"}).problem(404)
        other.delete(path(application, kind)).problem(404)
    other.get(f"/applications/{application}/documents").problem(404)
    assert stack.snapshot() == before


# --- Phases ---------------------------------------------------------------------------------------------------------

def test_flags_follow_every_write_and_delete(user, application):
    for count in (1, 2, 3):
        write(user, application, KINDS[count - 1])
        assert_flags(user, application, *KINDS[:count])
        user.put(path(application, KINDS[count - 1]), {"content": CONTENT + "2"}).ok()
        assert_flags(user, application, *KINDS[:count])
    for count in (2, 1, 0):
        user.delete(path(application, KINDS[count])).ok(204)
        assert_flags(user, application, *KINDS[:count])
    write(user, application, *KINDS)
    assert_flags(user, application, *KINDS)


@pytest.mark.parametrize("type_", [JSON, MARKDOWN])
@pytest.mark.parametrize("there, kind, named", [((), RESUME, {RESEARCH}), ((), LETTER, {RESUME, RESEARCH}),
                                                ((RESEARCH,), LETTER, {RESUME})])
def test_put_out_of_order_is_409(stack, user, application, there, kind, named, type_):
    if there:
        write(user, application, *there)
    before = stack.snapshot()
    options = {"json": {"content": CONTENT}} if type_ == JSON else {"body": CONTENT.encode(), "type": MARKDOWN}
    problem = user.put(path(application, kind), **options).problem(409, slug="phase-order")
    assert any(word in problem["detail"] for word in named), problem
    assert kind in problem["detail"] and problem["detail"].endswith("."), problem
    assert stack.snapshot() == before
    assert_flags(user, application, *there)


@pytest.mark.parametrize("there, kind, stands", [((RESEARCH, RESUME), RESEARCH, {RESUME}), (KINDS, RESUME, {LETTER}),
                                                 (KINDS, RESEARCH, {RESUME, LETTER})])
def test_delete_out_of_order_is_409(stack, user, application, there, kind, stands):
    write(user, application, *there)
    before = stack.snapshot()
    for headers in ({}, {"If-Match": "*"}, {"If-Match": user.get(path(application, kind)).headers["ETag"]}):
        problem = user.delete(path(application, kind), headers=headers).problem(409, slug="phase-order")
        assert any(word in problem["detail"] for word in stands) and kind in problem["detail"], problem
    assert stack.snapshot() == before
    assert_flags(user, application, *there)


def test_replacing_an_early_phase_is_no_disorder(user, application):
    write(user, application, *KINDS)
    for kind in KINDS:
        user.put(path(application, kind), {"content": CONTENT + "again"}).ok(200)
    assert_flags(user, application, *KINDS)


def test_delete_of_the_application_takes_the_documents(stack, user, application):
    write(user, application, *KINDS)
    user.delete("/applications/" + application).ok(204)
    assert stack.sql("SELECT count(*) FROM public.documents WHERE application_id = %s", application) == [(0,)]


@pytest.mark.parametrize("seed", range(3))
def test_flags_agree_under_concurrent_writers(stack, user, application, seed):
    def run(index):
        chance, statuses = random.Random(seed * 100 + index), []
        for _ in range(20):
            kind = chance.choice(KINDS)
            if chance.random() < 0.6:
                answer = user.put(path(application, kind), {"content": f"written by {index} in round {seed}"})
            else:
                answer = user.delete(path(application, kind))
            if answer.status >= 400:
                answer.problem(404, 409)
            statuses.append((answer.status, kind))
        return statuses
    results = [status for statuses in together(8, run) for status in statuses]
    assert {status for status, _ in results} <= {200, 201, 204, 404, 409}
    # What was created and not deleted is what is there.
    there = {kind for kind, in stack.sql("SELECT document_type::text FROM public.documents WHERE application_id = %s",
                                         application)}
    for kind in KINDS:
        assert results.count((201, kind)) - results.count((204, kind)) == (kind in there)
    assert_consistent(stack, application)


def test_letter_and_deletion_of_its_resume_at_once(stack, user, application):
    write(user, application, RESEARCH)
    for _ in range(20):
        write(user, application, RESUME)
        put, delete = together(2, lambda index: user.delete(path(application, RESUME)) if index else
                               user.put(path(application, LETTER), {"content": CONTENT}))
        assert (put.status, delete.status) in ((201, 409), (409, 204)), (put, delete)
        assert_consistent(stack, application)
        if put.status == 201:
            user.delete(path(application, LETTER)).ok(204)
            user.delete(path(application, RESUME)).ok(204)


def test_all_three_at_once_until_they_are_there(stack, user):
    for _ in range(5):
        application = user.create()["id"]

        def run(index):
            for _ in range(200):
                answer = user.put(path(application, KINDS[index]), {"content": CONTENT})
                if answer.status == 201:
                    return
                answer.problem(409, slug="phase-order")
            raise AssertionError("never in order")
        together(3, run)
        assert_flags(user, application, *KINDS)


def test_first_put_by_two_at_once_creates_once(user):
    for _ in range(20):
        application = user.create()["id"]
        answers = together(4, lambda index: user.put(path(application), {"content": f"written by number {index}"}))
        assert sorted(answer.status for answer in answers) == [200, 200, 200, 201]
        assert len({answer.json()["id"] for answer in answers}) == 1


def test_put_and_deletion_of_the_application_at_once(stack, user):
    for _ in range(20):
        application = user.create()["id"]
        put, delete = together(2, lambda index: user.delete("/applications/" + application) if index else
                               user.put(path(application), {"content": CONTENT}))
        assert put.status in (201, 404) and delete.status == 204, (put, delete)
        assert stack.sql("SELECT count(*) FROM public.documents WHERE application_id = %s", application) == [(0,)]


# --- Markdown bodies ------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("text", [
    "0123456789", "# Überschrift\n\nText mit Ümläuten und 日本語 und 😀", "line one\r\nline two\r\n", "mac\rlines\rhere!",
    "\ufeffa byte order mark is kept", "0123456789\n", "\n\n0123456789", "tab\tand \x01 control \x1b[0m",
    "{\"content\": 5}",
    "null              ", "\u202e\u2028\u2029\ufffd\U0010ffff......", "a\u0301" * 5,
], ids=range(12))
def test_markdown_is_kept_byte_for_byte(user, application, text):
    answer = user.put(path(application), body=text.encode(), type=MARKDOWN)
    assert answer.ok(201)["content"] == text
    assert read(user, application, RESEARCH, MARKDOWN).body == text.encode()
    assert user.put(path(application), {"content": text}).ok(200)["content"] == text


@pytest.mark.parametrize("type_", ["text/markdown", "Text/Markdown", "text/markdown; charset=utf-8",
                                   "text/markdown;charset=UTF-8", 'text/markdown; charset="utf-8"',
                                   "text/markdown; charset=utf-8; variant=GFM", "text/markdown; variant=CommonMark"])
def test_markdown_media_types_are_taken(user, application, type_):
    assert user.put(path(application), body=CONTENT.encode(), type=type_).ok(201)["content"] == CONTENT


@pytest.mark.parametrize("type_", ["text/plain", "text/markdown; charset=latin1", "text/markdownx", "text/html",
                                   "application/x-www-form-urlencoded", "markdown", "text/csv", None])
def test_other_media_types_are_415(stack, user, application, type_):
    before = stack.snapshot()
    user.put(path(application), body=CONTENT.encode(), type=type_).problem(415)
    assert stack.snapshot() == before


def test_markdown_is_taken_nowhere_else(user, application, stack):
    before = stack.snapshot()
    user.post("/applications", body=CONTENT.encode(), type=MARKDOWN).problem(415)
    user.patch("/applications/" + application, body=CONTENT.encode(), type=MARKDOWN).problem(415)
    assert stack.snapshot() == before


@pytest.mark.parametrize("body", [b"0123456789\xff", b"\xc0\xaf0123456789", b"\xed\xa0\x80 surrogate", b"cut \xe2\x82",
                                  "Köln und Übersee".encode("latin-1"), "UTF-16 text".encode("utf-16"),
                                  b"\xf4\x90\x80\x80 too high"], ids=range(7))
def test_markdown_that_is_not_utf8_is_400(stack, user, application, body):
    before = stack.snapshot()
    user.put(path(application), body=body, type=MARKDOWN).problem(400)
    assert stack.snapshot() == before


@pytest.mark.parametrize("body", [b"", b"x", b"123456789", b"          ", b"\n" * 20, "é".encode() * 9,
                                  b"0123456789\0", b"\0" * 20, b"01234\x0056789"], ids=range(9))
def test_markdown_out_of_bounds_is_422(stack, user, application, body):
    before = stack.snapshot()
    assert user.put(path(application), body=body, type=MARKDOWN).faults() == ["/content"]
    assert stack.snapshot() == before


def test_markdown_in_chunks(user, application):
    text = "# Long\n\n" + "word " * 20_000
    assert user.put(path(application), body=text.encode(), type=MARKDOWN, chunked=True).ok(201)["content"] == text


# --- Entity tags ----------------------------------------------------------------------------------------------------

def test_each_form_has_its_tag(user, application):
    write(user, application, RESEARCH)
    tags = {type_: read(user, application, RESEARCH, type_).headers["ETag"] for type_ in TYPES}
    stem = re.fullmatch(r'"([\x21\x23-\x7e]+)"', tags[JSON]).group(1)
    assert tags == {JSON: f'"{stem}"', MARKDOWN: f'"{stem}.md"', HTML: f'"{stem}.html"'}
    user.put(path(application), {"content": CONTENT + "2"}).ok()
    later = {type_: read(user, application, RESEARCH, type_).headers["ETag"] for type_ in TYPES}
    assert set(later.values()).isdisjoint(tags.values())


@pytest.mark.parametrize("type_", TYPES)
def test_if_none_match_gives_304(user, application, type_):
    write(user, application, RESEARCH)
    etag = read(user, application, RESEARCH, type_).headers["ETag"]
    for value in (etag, "W/" + etag, f'"x", {etag}', "*"):
        for method in ("GET", "HEAD"):
            answer = user.request(method, path(application), headers=accept(type_, **{"If-None-Match": value}))
            assert (answer.status, answer.body) == (304, b""), answer
            assert answer.headers["ETag"] == etag
            assert "accept" in answer.headers["Vary"].lower()
    for other in TYPES:
        if other != type_:
            read(user, application, RESEARCH, other, **{"If-None-Match": etag})
    user.put(path(application), {"content": CONTENT + "2"}).ok()
    read(user, application, RESEARCH, type_, **{"If-None-Match": etag})


@pytest.mark.parametrize("type_", TYPES)
def test_if_match_takes_the_tag_of_any_form(stack, user, application, type_):
    write(user, application, RESEARCH)
    stale = read(user, application, RESEARCH, type_).headers["ETag"]
    user.put(path(application), {"content": "the second version"}, headers={"If-Match": stale}).ok(200)
    before = stack.snapshot()
    fresh = read(user, application, RESEARCH, type_).headers["ETag"]
    for value in (stale, '"x"', "W/" + fresh, '""', fresh[:-1] + '0"' if type_ == JSON else '".md"'):
        user.put(path(application), {"content": "the third version"}, headers={"If-Match": value}).problem(412)
        user.delete(path(application), headers={"If-Match": value}).problem(412)
    for value in ("x", '"unclosed', "W/*"):
        user.put(path(application), {"content": "the third version"}, headers={"If-Match": value}).problem(400, 412)
    assert stack.snapshot() == before
    user.put(path(application), body=b"the third version", type=MARKDOWN,
             headers={"If-Match": f'"x", {fresh}'}).ok(200)
    fresh = read(user, application, RESEARCH, type_).headers["ETag"]
    user.put(path(application), {"content": "the fourth version"}, headers={"If-Match": "*"}).ok(200)
    user.delete(path(application), headers={"If-Match": fresh}).problem(412)
    fresh = read(user, application, RESEARCH, type_).headers["ETag"]
    user.delete(path(application), headers={"If-Match": fresh}).ok(204)


def test_put_with_if_none_match_any_only_creates(stack, user, application):
    headers = {"If-None-Match": "*"}
    user.put(path(application), {"content": CONTENT}, headers=headers).ok(201)
    before = stack.snapshot()
    user.put(path(application), {"content": CONTENT + "2"}, headers=headers).problem(412)
    user.put(path(application), body=b"another content", type=MARKDOWN, headers=headers).problem(412)
    assert stack.snapshot() == before
    user.put(path(NO_SUCH_ID), {"content": CONTENT}, headers=headers).problem(404)


def test_put_with_if_match_never_creates(stack, user, application):
    before = stack.snapshot()
    for value in ("*", '"1"', '"1.md"'):
        user.put(path(application), {"content": CONTENT}, headers={"If-Match": value}).problem(412)
        user.put(path(NO_SUCH_ID), {"content": CONTENT}, headers={"If-Match": value}).problem(404)
        user.delete(path(application), headers={"If-Match": value}).problem(404, 412)
    user.put(path(application), {"content": CONTENT}, headers={"If-Match": "*", "If-None-Match": "*"}).problem(400, 412)
    assert stack.snapshot() == before


def test_etag_of_another_document_is_stale(user, application):
    write(user, application, RESEARCH, RESUME)
    other = read(user, application, RESUME, JSON).headers["ETag"]
    mine = read(user, application, RESEARCH, JSON).headers["ETag"]
    assert other != mine
    user.put(path(application), {"content": CONTENT + "2"}, headers={"If-Match": other}).problem(412)


def test_etag_is_not_used_again_after_delete(user, application):
    tags = set()
    for round_ in range(5):
        tags.add(user.put(path(application), {"content": CONTENT}).headers["ETag"])
        user.delete(path(application)).ok(204)
    assert len(tags) == 5


def test_two_writers_with_one_tag_exactly_one_wins(user, application):
    write(user, application, RESEARCH)
    for round_ in range(20):
        tags = [read(user, application, RESEARCH, type_).headers["ETag"] for type_ in (JSON, MARKDOWN)]
        answers = together(2, lambda index: user.put(path(application), {"content": f"round {round_} of {index}"},
                                                     headers={"If-Match": tags[index]}))
        assert sorted(answer.status for answer in answers) == [200, 412], answers
        winner = next(answer for answer in answers if answer.status == 200)
        assert user.get(path(application)).json() == winner.json()


def test_two_creators_with_if_none_match_exactly_one_wins(user):
    for round_ in range(20):
        application = user.create()["id"]
        answers = together(2, lambda index: user.put(path(application), {"content": f"round {round_} of {index}"},
                                                     headers={"If-None-Match": "*"}))
        assert sorted(answer.status for answer in answers) == [201, 412], answers


def test_delete_and_put_with_one_tag_exactly_one_wins(user, application):
    for _ in range(20):
        write(user, application, RESEARCH)
        headers = {"If-Match": user.get(path(application)).headers["ETag"]}
        put, delete = together(2, lambda index: user.delete(path(application), headers=headers) if index else
                               user.put(path(application), {"content": CONTENT + "2"}, headers=headers))
        assert (put.status, delete.status) in ((200, 412), (412, 204)), (put, delete)
        if put.status == 200:
            user.delete(path(application)).ok(204)


def test_put_has_no_use_for_idempotency_keys(user, application):
    """It is idempotent by itself: the key of a PUT is not kept, so that the second one is not a replay."""
    headers = {"Idempotency-Key": secrets.token_hex(16)}
    user.put(path(application), {"content": CONTENT}, headers=headers).ok(201)
    again = user.put(path(application), {"content": CONTENT + "2"}, headers=headers)
    assert again.ok(200)["content"] == CONTENT + "2" and again.headers.get("Idempotency-Replayed") is None


# --- Negotiation ----------------------------------------------------------------------------------------------------

ANY_TEXT = (MARKDOWN, HTML)


@pytest.mark.parametrize("value, types", [
    (None, JSON), ("", JSON), ("*/*", JSON), ("application/json", JSON), ("application/*", JSON),
    ("text/markdown", MARKDOWN), ("text/html", HTML), ("TEXT/HTML", HTML), ("text/*", ANY_TEXT),
    ("text/html;q=0.5, text/markdown", MARKDOWN), ("text/html, text/markdown;q=0.5", HTML),
    ("text/html;q=0.001, text/markdown;q=0.002", MARKDOWN), ("text/html;q=1.000", HTML),
    ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", HTML),
    ("image/png, text/markdown", MARKDOWN), ("image/png;q=1, */*;q=0.1", JSON),
    ("text/html;q=0, */*", (JSON, MARKDOWN)), ("application/json;q=0, */*", ANY_TEXT),
    ("application/json;q=0, text/*, text/markdown;q=0", HTML), ("text/*;q=0.3, text/html;q=0.1, */*;q=0.2", MARKDOWN),
    ("text/*;q=0.5, application/json;q=0.4", ANY_TEXT), ("*/*;q=0.1, text/html;q=0.2", HTML),
    ("text/html ; q=0.4 , application/json ; q=0.6", JSON), ("text/html;Q=0.4,application/json;Q=0.6", JSON),
    (",, text/html ,,", HTML), ("text/markdown;charset=utf-8", MARKDOWN), ("text/html, text/markdown", ANY_TEXT),
    ("text/html\t;\tq=1", HTML), ("application/json, text/html", (JSON, HTML)),
    ("*/*, text/html;q=0.9", (JSON, MARKDOWN)),
])
def test_accept_chooses_the_form(user, value, types):
    application = user.create()["id"]
    write(user, application, RESEARCH)
    headers = {} if value is None else {"Accept": value}
    for method in ("GET", "HEAD"):
        answer = user.request(method, path(application), headers=headers)
        assert answer.status == 200, answer
        assert answer.headers["Content-Type"].split(";")[0] in (types if isinstance(types, tuple) else (types,))
        assert "accept" in answer.headers["Vary"].lower()


@pytest.mark.parametrize("value", ["image/png", "text/plain", "text/htmlx", "application/xml", "application/json;q=0",
                                   "*/*;q=0", "text/html;q=0.0", "text/html;q=0, text/markdown;q=0", "x/*",
                                   "image/png, image/gif;q=0.5"])
def test_no_acceptable_form_is_406(stack, user, application, value):
    write(user, application, RESEARCH)
    answer = user.get(path(application), headers={"Accept": value})
    answer.problem(406)
    assert "accept" in (answer.headers.get("Vary") or "accept").lower()
    head = user.request("HEAD", path(application), headers={"Accept": value})
    assert (head.status, head.body) == (406, b"")
    # A change with an answer that nobody takes is made whole or not at all.
    before = stack.snapshot()
    put = user.put(path(application), {"content": "the second version"}, headers={"Accept": value})
    if put.status == 406:
        assert stack.snapshot() == before
    else:
        assert put.ok(200)["content"] == "the second version"


@pytest.mark.parametrize("value", ["text/html;q=1.5", "text/html;q=x", "text", "/", "*", "*/html", ";q=1", "q=1",
                                   "text/html;q=", "text/html;q=-1", "\"", "text/html;x=\"a,b\"", "a" * 5000,
                                   "text/html," * 2000, "é/ü", "text/html;q=0.0000000000000000001", "*/*;q=1;q=0"])
def test_odd_accept_is_answered(user, application, value):
    write(user, application, RESEARCH)
    answer = user.get(path(application), headers={"Accept": value.encode().decode("latin-1")})
    if answer.status != 200:
        answer.problem(400, 406)


def test_errors_are_problems_in_every_form(user, application):
    for type_ in (*TYPES, "image/png"):
        user.get(path(application), headers=accept(type_)).problem(404, 406)
        user.get(path(NO_SUCH_ID), headers=accept(type_)).problem(404, 406)


def test_head_is_get_without_body_in_every_form(user, application):
    write(user, application, RESEARCH)
    for type_ in TYPES:
        get = read(user, application, RESEARCH, type_)
        head = user.request("HEAD", path(application), headers=accept(type_))
        assert (head.status, head.body) == (200, b"")
        for name in ("Content-Type", "Content-Length", "ETag", "Vary"):
            assert head.headers.get(name) == get.headers.get(name), name


# --- HTML -----------------------------------------------------------------------------------------------------------

SAFE_TAGS = {"p", "h1", "h2", "h3", "h4", "h5", "h6", "ul", "ol", "li", "em", "strong", "del", "a", "img", "code",
             "pre",
             "blockquote", "hr", "br", "table", "thead", "tbody", "tr", "th", "td", "input", "section", "sup"}
SAFE_ATTRIBUTES = {"a": {"href", "title", "rel", "target", "class", "id", "aria-label"}, "img": {"src", "alt", "title"},
                   "code": {"class"}, "pre": {"lang"}, "ol": {"start"}, "th": {"align"}, "td": {"align"},
                   "input": {"type", "checked", "disabled"}, "li": {"class", "id"}, "ul": {"class"},
                   "section": {"class"}, "sup": {"class"}}
PAGE_TAGS = {"html", "head", "body", "meta", "title", "main", "article"}


class Checker(html.parser.HTMLParser):
    """Reads HTML as a browser would, as far as that goes, and refuses whatever could act."""

    def __init__(self):
        super().__init__(convert_charrefs=True)
        self.tags, self.links, self.text = [], [], []

    def handle_starttag(self, tag, attributes):
        assert tag in SAFE_TAGS | PAGE_TAGS, (tag, attributes)
        self.tags.append(tag)
        for name, value in attributes:
            if tag in PAGE_TAGS:
                continue
            assert name in SAFE_ATTRIBUTES.get(tag, set()), (tag, name, value)
            if tag == "input":
                assert (name, value) != ("type", "") and value in ("checkbox", "", None), value
            if name in ("href", "src"):
                self.links.append(value)
                self.check_link(tag, value or "")

    handle_startendtag = handle_starttag

    def check_link(self, tag, link):
        # A browser drops control characters and blanks before the scheme, and tabs and newlines within it.
        stripped = re.sub(r"[\t\n\r]", "", link).lstrip("".join(map(chr, range(0x21))))
        scheme = re.match(r"[a-zA-Z][a-zA-Z0-9+.-]*:", stripped)
        scheme = scheme.group(0).lower() if scheme else ""
        image = tag == "img" and re.match(r"data:image/(png|gif|jpeg|webp)", stripped.lower())
        assert scheme not in ("javascript:", "vbscript:", "file:", "data:", "blob:", "filesystem:") or image, link

    def handle_data(self, data):
        self.text.append(data)

    def handle_decl(self, decl):
        assert decl.lower() == "doctype html", decl

    def handle_pi(self, data):
        raise AssertionError("processing instruction: " + data)


def checked(text):
    checker = Checker()
    checker.feed(text)
    checker.close()
    return checker


def rendered(user, application, text):
    """A document of this text as HTML."""
    answer = user.put(path(application), body=text.encode(), type=MARKDOWN)
    assert answer.status in (200, 201), answer
    return read(user, application, RESEARCH, HTML).body.decode("utf-8", "strict")


@pytest.mark.parametrize("text, wanted", [
    ("# Heading one", ["<h1>Heading one</h1>"]),
    ("*em* **strong** `code` text", ["<em>em</em>", "<strong>strong</strong>", "<code>code</code>"]),
    ("| a | b |\n|---|:-:|\n| 1 | ~~2~~ |\n", ["<table>", "<th>a</th>", "<td>1</td>", "<del>2</del>",
                                               'align="center"']),
    ("- [ ] open\n- [x] done\n", ['type="checkbox"', "checked", "disabled", "open", "done"]),
    ("this is ~~struck~~ out", ["<del>struck</del>"]),
    ("see https://example.com/a?b=c&d=e and www.example.org", ['href="https://example.com/a?b=c&amp;d=e"',
                                                            'href="http://www.example.org"']),
    ("write to someone@example.com please", ['href="mailto:someone@example.com"']),
    ("[link](https://example.com \"title\") here", ['<a href="https://example.com" title="title"']),
    ("![picture](https://example.com/x.png) of it", ['<img src="https://example.com/x.png" alt="picture"']),
    ("```python\nprint('<&>')\n```", ["<pre", "print('&lt;&amp;&gt;')"]),
    ("1. one\n2. two\n\n> quoted text\n\n---\n", ["<ol>", "<li>one</li>", "<blockquote>", "<hr />"]),
    ("Straße, déjà vu, 日本語 und 😀", ["<p>Straße, déjà vu, 日本語 und 😀</p>"]),
    ("a & b < c > d and so on", ["a &amp; b &lt; c &gt; d"]),
    ("line\r\nbreak  \r\nand more text", ["<br />"]),
], ids=range(14))
def test_html_renders_gfm(user, application, text, wanted):
    page = rendered(user, application, text)
    for part in wanted:
        assert part in page.replace("print(&#39;", "print('").replace("&#39;)", "')"), page
    checked(page)


HOSTILE = [
    "<script>alert(1)</script> text", "text <SCRIPT SRC=//x.example/y.js></SCRIPT> text",
    "<img src=x onerror=alert(1)>",
    "<svg onload=alert(1)></svg> text", "<iframe src=\"javascript:alert(1)\"></iframe>",
    "<style>*{color:red}</style> text",
    "<a href=\"javascript:alert(1)\">x</a> text", "<!-- comment --><script>alert(1)</script>",
    "<?php echo 1; ?> some text",
    "<!DOCTYPE x [<!ENTITY y SYSTEM \"file:///etc/passwd\">]>", "<![CDATA[<script>alert(1)</script>]]>",
    "<div onclick='alert(1)'>\n\n**text**\n\n</div>", "text <b onmouseover=alert(1)>bold</b> text",
    "<script\n>alert(1)</script\n>",
    "[click](javascript:alert(1)) me", "[click](JaVaScRiPt:alert(1)) me", "[click](java&#x0A;script:alert(1)) me",
    "[click](&#106;avascript:alert(1)) me", "[click](javascript&colon;alert(1)) me",
    "[click](<javascript:alert(1)>) me",
    "[click](<java\tscript:alert(1)>) me", "[click](&#1;javascript:alert(1)) me", "[click](\\javascript:alert(1)) me",
    "[click](vbscript:msgbox(1)) me", "[click](data:text/html;base64,PHNjcmlwdD4=) me",
    "[click](file:///etc/passwd) me",
    "![x](javascript:alert(1)) image", "![x](data:text/html,<script>alert(1)</script>)",
    "![x](data:image/svg+xml;base64,PHN2Zz4=)",
    "<javascript:alert(1)> autolink", "[click][ref] me\n\n[ref]: javascript:alert(1)",
    "[a](https://x \"\" onclick=\"alert(1))",
    "[a](https://x/\"onmouseover=\"alert(1)) text", "[a](https://x '\"><script>alert(1)</script>') text",
    "![\"><script>alert(1)</script>](https://x/y.png)", "```\"><script>alert(1)</script>\nx\n```",
    "``` x\" onload=\"alert(1)\ny\n```",
    "| <script>alert(1)</script> |\n|---|\n| <img src=x onerror=alert(1)> |",
    "- [ ] <input onfocus=alert(1) autofocus>",
    "www.example.com/\"onmouseover=\"alert(1) text", "https://example.com/<script>alert(1)</script>",
    "javascript:alert(1) as text",
    "</p><script>alert(1)</script><p> text", "&lt;script&gt;alert(1)&lt;/script&gt;", "\\<script>alert(1)\\</script>",
    "<title><script>alert(1)</script></title>", "<textarea><script>alert(1)</script>", "<plaintext> and more text",
    "<math><mtext><script>alert(1)</script>", "<noembed><script>alert(1)</script>",
    "[^1] note\n\n[^1]: <script>alert(1)</script>",
    "<base href=\"https://evil.example/\"> text", "<meta http-equiv=refresh content=\"0;url=https://evil.example\">",
    "<form action=https://evil.example><input name=x>", "<link rel=stylesheet href=https://evil.example/x.css>",
    "\x00 replaced below".replace("\x00", "\ufffd") + "<script>alert(1)</script>",
    "<scr\u200bipt>alert(1)</scr\u200bipt> text",
]


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_html_lets_nothing_through_that_acts(user, application, text):
    text = text.ljust(12, ".")
    page = rendered(user, application, text)
    checked(page)
    assert "<script" not in page.lower()
    # What was written stays what it is in the other forms.
    assert read(user, application, RESEARCH, MARKDOWN).body == text.encode()


def test_html_of_chance_lets_nothing_through(user, application):
    chance = random.Random(7)
    pieces = ["<", ">", "\"", "'", "`", "[", "]", "(", ")", "!", "javascript:", "JAVASCRIPT:alert(1)", "script",
              "<a href=",
              "onload=x", "\\", "&#", ";", "&lt;", "\n", "\n\n", "    ", "- ", "> ", "| ", "|-|-|\n", "*", "_", "~~",
              "https://x",
              "www.x.y", "@x.y", "<!--", "-->", "]]>", "data:", "\t", "\r", "😀", "[x]: ", "[^1]", "```", "$$",
              "<img src=x ", "/>"]
    for _ in range(60):
        text = "".join(chance.choice(pieces) for _ in range(chance.randrange(20, 200))) + " text."
        checked(rendered(user, application, text.ljust(12, ".")))


def test_html_is_not_run_by_a_browser(user, application):
    write(user, application, RESEARCH)
    headers = read(user, application, RESEARCH, HTML).headers
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert "no-store" in headers["Cache-Control"] or "private" in headers["Cache-Control"]


def fill(text):
    return (text * (LARGEST // len(text) + 1))[:LARGEST]


DEEP = {
    "10,000 nested lists in a line": "- " * 10_000 + "x",
    "lists to the limit in a line": fill("- "),
    "ordered lists in a line": "1. " * 10_000 + "x",
    "lists by indentation": "".join("  " * depth + "- x\n" for depth in range(700)),
    "quotes": fill(">"),
    "quotes and lists": fill("> - "),
    "open brackets": fill("["),
    "open links": fill("[a]("),
    "images": fill("![a"),
    "emphasis": fill("*a **a "),
    "closing emphasis": fill("a**b" + "c* "),
    "nested emphasis": "*" * 100_000 + "a" + "*" * 100_000,
    "backticks": "".join("e" + "`" * count for count in range(1000)),
    "open tags": fill("<"),
    "comments": fill("<!--"),
    "entities": fill("&"),
    "strikes": fill("~~a~ "),
    "table of many columns": "|" + "a|" * 2000 + "\n|" + "-|" * 2000 + "\n" + "|" + "b|" * 2000 + "\n",
    "table of many rows": "|a|b|\n|-|-|\n" + "|x|y|\n" * 80_000,
    "wide table, short rows": "|" + "a|" * 10_000 + "\n|" + "-|" * 10_000 + "\n" + "|\n" * 100_000,
    "autolinks": fill("www.a.b/((("),
    "mail": fill("a@"),
    "references": "".join(f"[{index}]: https://x/{'y' * 50}\n" for index in range(7000)),
    "same reference": "[a]: " + "x" * 50_000 + "\n\n" + "[a]" * 100_000,
    "footnotes": "[^1]" * 50_000 + "\n\n[^1]: x\n",
    "underscores": fill("_a_a"),
    "nul width": fill("\u200b"),
}


@pytest.mark.parametrize("text", DEEP.values(), ids=DEEP.keys())
def test_html_of_deep_or_long_text_is_answered(quick, text):
    user = quick.user()
    application = user.create()["id"]
    text = text.encode()[:LARGEST].decode("utf-8", "ignore")
    written = user.put(path(application), body=text.encode(), type=MARKDOWN)
    if not text.strip("\u200b"):
        assert written.status in (201, 422)
        return
    written.ok(201)
    answer = read(user, application, RESEARCH, HTML)
    if len(answer.body) < 3_000_000:
        checked(answer.body.decode("utf-8", "strict"))
    assert user.get("/me").ok()["id"] == user.id


def test_10000_lists_are_rendered(quick):
    user = quick.user()
    application = user.create()["id"]
    page = rendered(user, application, "- " * 10_000 + "x")
    assert checked(page).tags.count("ul") >= 1 or page.startswith("<pre>")


# --- The documents of one application ---------------------------------------------------------------------------------

def test_list_of_an_application(stack, user, application):
    assert user.get(f"/applications/{application}/documents?count=exact").ok() == {"data": [], "next": None, "total": 0}
    write(user, application, *KINDS)
    elsewhere = user.create()["id"]
    write(user, elsewhere, RESEARCH)
    page = user.get(f"/applications/{application}/documents").ok()
    assert page["next"] is None and {row["document_type"] for row in page["data"]} == set(KINDS)
    for row in page["data"]:
        whole = user.get(path(application, row["document_type"])).ok()
        assert row == {**{key: value for key, value in whole.items() if key != "content"}, "has_embedding": False}
    assert user.get(f"/applications/{application}/documents?count=exact&limit=1").ok()["total"] == 3
    user.put(path(application, LETTER) + "/embedding", {"embedding": [0.5] * 1536}).ok(201)
    page = user.get(f"/applications/{application}/documents").ok()
    assert [row["has_embedding"] for row in page["data"]] == [False, False, True]


def walk(user, address, follow="next", **query):
    rows = []
    separator = "&" if "?" in address else "?"
    target = address + (separator + urlencode(query, doseq=True) if query else "")
    for _ in range(1000):
        answer = user.get(target)
        page = answer.ok()
        rows += page["data"]
        link = answer.headers.get("Link")
        assert (link is None) == (page["next"] is None)
        if page["next"] is None:
            return rows
        if follow == "link":
            target = re.fullmatch(r'<([^>]+)>; rel="next"', link).group(1)
            assert target.startswith("/api/v1" + address.split("?")[0] + "?"), target
            target = target[len("/api/v1"):]
        else:
            target = address + separator + urlencode({**query, "cursor": page["next"]}, doseq=True)
    raise AssertionError("no end")


@pytest.mark.parametrize("follow", ["next", "link"])
def test_list_of_an_application_pages(user, application, follow):
    write(user, application, *KINDS)
    address = f"/applications/{application}/documents"
    whole = user.get(address).ok()["data"]
    assert walk(user, address, follow, limit=1) == whole
    assert walk(user, address, follow, limit=2) == whole
    for offset in range(4):
        assert user.get(f"{address}?limit=1&offset={offset}").ok()["data"] == whole[offset:offset + 1]


def test_list_of_an_application_refuses_bad_queries(user, application):
    for query in ("limit=0", "limit=101", "offset=-1", "x=1", "cursor=x", "sort=content", "count=no",
                  "limit=1&limit=2"):
        user.get(f"/applications/{application}/documents?{query}").problem(400)


# --- All documents ----------------------------------------------------------------------------------------------------

@pytest.fixture(scope="module")
def library(stack):
    """A user with 24 documents whose texts are known; only read by the tests."""
    user = stack.user()
    user.ids = {}
    texts = {
        "elephant": "Elephants in the room. An elephant never forgets, and elephants remember. " * 3,
        "one elephant": "A long text about giraffes, lions and monkeys in which an elephant is named only once. " * 1
                        + "Nothing else of interest is said about it here. " * 20,
        "straße": "Die Straße nach München führt über die Brücke; Größe zählt, und Übung macht den Meister.",
        "français": "Le café où l'élève a mangé une crêpe était fermé à Noël; déjà vu, garçon.",
        "escape": "Tom & Jerry <b>bold</b> say \"zebras\" and 'okapis' > lions; <script>alert(zebras)</script>",
        "mark": "A text with <mark>wombats</mark> of its own, and a wombat besides, which is marked.",
        "c": "Experience with C++, C#, CI/CD, node.js, and R&D at AT&T; 100% remote_work in back\\slash.",
        "quote": "The quick brown fox jumps over the lazy dog, as foxes do when dogs are lazy.",
    }
    for name, text in texts.items():
        application = user.create(company=name)["id"]
        for kind in KINDS:
            row = user.put(path(application, kind), {"content": text if kind == RESEARCH else
                                                     f"{text} Written as {kind} in addition."}).ok(201)
            user.ids[row["id"]] = (name, kind)
    neighbour = stack.user()
    application = neighbour.create()["id"]
    write(neighbour, application, RESEARCH, content=" ".join(texts.values()))
    return user


def found(user, q, **query):
    rows = user.get("/documents?" + urlencode({"q": q, "limit": 100, **query}, doseq=True)).ok()["data"]
    return rows


def names(user, rows):
    return {user.ids[row["id"]][0] for row in rows}


def test_documents_are_listed_without_content(library):
    page = library.get("/documents?count=exact").ok()
    assert page["total"] == 24 and len(page["data"]) == 20 and page["next"]
    rows = walk(library, "/documents", limit=7)
    assert {row["id"] for row in rows} == set(library.ids) and len(rows) == 24
    for row in rows:
        assert not {"content", "rank", "snippet", "search"} & set(row)
        whole = library.get(path(row["application_id"], row["document_type"])).ok()
        assert {key: whole[key] for key in row if key in whole} == {key: row[key] for key in row if key in whole}
        assert FIELDS - {"content"} <= set(row)


@pytest.mark.parametrize("kind", KINDS)
def test_documents_filter_by_type(library, kind):
    rows = library.get(f"/documents?document_type={kind}&limit=100&count=exact").ok()
    assert rows["total"] == len(rows["data"]) == 8
    assert {row["document_type"] for row in rows["data"]} == {kind}
    assert walk(library, "/documents", "link", document_type=kind, limit=3) == rows["data"]
    narrowed = found(library, "elephant", document_type=kind)
    assert {row["document_type"] for row in narrowed} == {kind} and names(library, narrowed) == {
        "elephant", "one elephant"}


@pytest.mark.parametrize("q, expected", [
    ("elephant", {"elephant", "one elephant"}), ("elephants forget", {"elephant"}),
    ("ELEPHANT", {"elephant", "one elephant"}),
    ("elephant -giraffe", {"elephant"}), ("fox or giraffe", {"quote", "one elephant"}),
    ('"quick brown fox"', {"quote"}),
    ('"brown quick"', set()), ("fox dog", {"quote"}), ("Straße", {"straße"}), ("München", {"straße"}),
    ("Größe", {"straße"}),
    ("élève", {"français"}), ("crêpe Noël", {"français"}), ("garçon", {"français"}), ("zebras", {"escape"}),
    ("wombat", {"mark"}), ("nowhere", set()), ("-elephant", None), ("the", None), ("'", None), ("\"", None),
    ("&|!():*<->", None),
    ("\\", None), ("-", None), ("or", None), ("or or or", None), ("\"unclosed", None),
    ("elephant &", {"elephant", "one elephant"}),
    ("a:*", None), ("<b>", None), ("%", None), ("😀", None), ("日本", None), ("'; DROP TABLE x; --", None),
    ("$1 %s {}", None),
    ("-" * 200, None), ("\"" * 200, None), ("(" * 200, None), ("x " * 100, None), ("or " * 66, None),
    ("-x " * 66, None),
    ("\"a\" " * 50, None), ("<" * 200, None), ("a_" * 100, None), ("/" * 200, None), ("http://a/b?c=d", None),
    ("\x01\x02", None),
], ids=range(47))
def test_search_is_web_search(library, q, expected):
    rows = found(library, q)
    if expected is not None:
        assert names(library, rows) == expected
    for row in rows:
        assert {"rank", "snippet"} <= set(row) and "content" not in row
        assert isinstance(row["rank"], (int, float)) and isinstance(row["snippet"], str)


def test_search_is_ranked(library):
    rows = found(library, "elephant")
    ranks = [row["rank"] for row in rows]
    assert ranks == sorted(ranks, reverse=True) and ranks[0] > ranks[-1] > 0
    order = [library.ids[row["id"]][0] for row in rows]
    assert order == ["elephant"] * 3 + ["one elephant"] * 3
    assert found(library, "elephant", sort="-rank") == rows
    for limit in (1, 2, 4):
        assert walk(library, "/documents", "link", q="elephant", limit=limit) == rows
    assert library.get("/documents?q=elephant&count=exact&limit=2").ok()["total"] == 6
    for offset in range(7):
        assert library.get(f"/documents?q=elephant&limit=2&offset={offset}").ok()["data"] == rows[offset:offset + 2]


def test_snippets_mark_matches_and_escape_the_rest(library):
    for q, name in (("zebras", "escape"), ("wombat", "mark"), ("elephant", "elephant"), ("Straße", "straße"),
                    ("lions", "escape"), ("crêpe", "français")):
        for row in found(library, q):
            snippet = row["snippet"]
            assert "<mark>" in snippet, row
            rest = snippet.replace("<mark>", "").replace("</mark>", "")
            assert not set(rest) & set("<>\"'"), snippet
            assert re.sub(r"&(amp|lt|gt|quot|#39|#x27|apos);", "", rest).count("&") == 0, snippet
            assert snippet.count("<mark>") == snippet.count("</mark>")
            for marked in re.findall(r"<mark>(.*?)</mark>", snippet, re.S):
                assert q.lower()[:5] in html.unescape(marked).lower(), snippet
            # What is between the marks is a piece of the document, save for the blanks.
            content = library.get(path(row["application_id"], row["document_type"])).ok()["content"]
            for piece in re.split(r" … |…| \.\.\. |\.\.\.", html.unescape(rest)):
                assert re.sub(r"\s+", "", piece) in re.sub(r"\s+", "", content), (piece, snippet)


def test_snippet_does_not_take_the_documents_own_mark_for_a_match(library):
    rows = [row for row in found(library, "besides") if library.ids[row["id"]] == ("mark", RESEARCH)]
    assert len(rows) == 1
    assert rows[0]["snippet"].count("<mark>") == 1
    assert "<mark>besides</mark>" in rows[0]["snippet"]


def test_snippet_of_hostile_separators(user, application):
    """Whatever stands for the marks within the server may stand in a document as well."""
    marks = "".join(map(chr, [1, 2, 3, 0x1e, 0x1f, 0xe000, 0xe001, 0xfdd0, 0xfdd1, 0xfffe, 0xffff, 0xf8ff]))
    write(user, application, RESEARCH, content=f"pangolin {marks} <img src=x onerror=alert(1)> {marks}pangolin{marks}"
                                               "\ue000<b>\ue001 StartSel=<b>, {{{pangolin}}} [[[pangolin]]] %s")
    row, = found(user, "pangolin")
    rest = row["snippet"].replace("<mark>", "").replace("</mark>", "")
    assert not set(rest) & set("<>\"'"), row
    assert row["snippet"].count("<mark>") == row["snippet"].count("</mark>") >= 1
    for marked in re.findall(r"<mark>(.*?)</mark>", row["snippet"], re.S):
        assert "pangolin" in marked, row


def test_sorts_of_all_documents(library):
    whole = {row["id"]: row for row in walk(library, "/documents", limit=100)}
    tried = 0
    for sort in ("created_at", "-created_at", "updated_at", "-updated_at", "document_type", "-document_type"):
        answer = library.get(f"/documents?limit=100&sort={sort}")
        if answer.status == 400:
            continue
        tried += 1
        column = sort.lstrip("-")
        rows = answer.ok()["data"]
        assert {row["id"] for row in rows} == set(whole)
        if column != "document_type":
            keys = [row[column] for row in rows]
            assert keys == sorted(keys, reverse=sort[0] == "-")
        for limit in (1, 5):
            assert walk(library, "/documents", sort=sort, limit=limit) == rows
        searched = found(library, "elephant", sort=sort)
        assert len(searched) == 6 and walk(library, "/documents", "link", sort=sort, q="elephant", limit=2) == searched
    assert tried >= 2
    library.get("/documents?sort=-rank").problem(400)


@pytest.mark.parametrize("query", [
    "q=", "q=%20", "q=%00", "q=a%00", "q=%ff", "q=" + "a" * 201, "q=a&q=b", "document_type=", "document_type=letter",
    "document_type=RESEARCH_REPORT", "sort=content", "sort=", "limit=0", "limit=101", "x=1", "content=a", "offset=-1",
    "cursor=x", "application_id=x", "count=1", "status=draft", "format=xml",
])
def test_bad_query_is_400(library, query, unchanged):
    library.get("/documents?" + query).problem(400)


def test_cursor_of_another_user_sort_list_or_making_is_400(stack, library, user):
    application = user.create()["id"]
    write(user, application, *KINDS)
    applications = [row["application_id"] for row in library.get("/documents?limit=1").ok()["data"]]
    lists = {"/documents?": "/documents?limit=1", "/documents?q=elephant&": "/documents?q=elephant&limit=1",
             "/documents?sort=updated_at&": "/documents?sort=updated_at&limit=1",
             "/applications?": "/applications?limit=1",
             f"/applications/{applications[0]}/documents?": f"/applications/{applications[0]}/documents?limit=1"}
    cursors = {}
    for address, first in lists.items():
        answer = library.get(first)
        if answer.status == 200:
            cursors[address] = answer.ok()["next"]
    assert len(cursors) >= 4 and len(set(cursors.values())) == len(cursors)
    for address, cursor in cursors.items():
        for other in cursors:
            answer = library.get(f"{other}limit=1&cursor={quote(cursor)}")
            if other == address:
                answer.ok()
            else:
                answer.problem(400)
        if applications[0] not in address:
            user.get(f"{address}limit=1&cursor={quote(cursor)}").problem(400)
        for edited in (cursor[:-1], cursor + "A", cursor.swapcase(), "A" + cursor, cursor[::-1]):
            library.get(f"{address}limit=1&cursor={quote(edited)}").problem(400)
        for position in range(0, len(cursor), 7):
            edited = cursor[:position] + ("x" if cursor[position] != "x" else "y") + cursor[position + 1:]
            library.get(f"{address}limit=1&cursor={quote(edited)}").problem(400)


def test_search_follows_a_replaced_document(user, application):
    write(user, application, RESEARCH, content="This one is about nothing but tapirs.")
    assert len(found(user, "tapir")) == 1
    user.put(path(application), {"content": "This one is about nothing but ocelots."}).ok()
    assert found(user, "tapir") == [] and len(found(user, "ocelot")) == 1
    user.delete(path(application)).ok(204)
    assert found(user, "ocelot") == []


@pytest.mark.parametrize("text", ["word " * 100_000, "<!--" * 100_000, "a_" * 200_000, "x" * LARGEST, "a/b " * 100_000,
                                  " ".join(f"w{index}" for index in range(80_000)), "é" * (LARGEST // 2),
                                  "a@b.c " * 80_000,
                                  "http://a.b/c?d=e " * 30_000, "1e9 -5.5 " * 50_000, "-" * LARGEST, "a-" * 250_000,
                                  "<a href=x>" * 50_000, "&amp;" * 100_000], ids=range(14))
def test_search_of_large_documents(quick, text):
    """No text takes longer to write or to search than a client waits for."""
    user = quick.user()
    application = user.create()["id"]
    text = ("pangolin " + text)[:LARGEST - 20]
    text = text.encode()[:LARGEST - 20].decode("utf-8", "ignore") + " aardvark"
    write(user, application, RESEARCH, content=text)
    for q in ("pangolin", "aardvark", "pangolin or word", "-nothing", "w1 w2"):
        rows = found(user, q)
        for row in rows:
            assert len(row["snippet"]) < 20_000
    assert len(found(user, "pangolin")) == 1


# --- Methods --------------------------------------------------------------------------------------------------------

METHODS = {path(NO_SUCH_ID): {"GET", "HEAD", "PUT", "DELETE", "OPTIONS"},
           f"/applications/{NO_SUCH_ID}/documents": {"GET", "HEAD", "OPTIONS"},
           "/documents": {"GET", "HEAD", "OPTIONS"}}


@pytest.mark.parametrize("address", METHODS)
def test_options_and_wrong_methods(user, address, unchanged):
    answer = user.request("OPTIONS", address)
    assert answer.status in (200, 204) and answer.body == b""
    assert set(re.split(r",\s*", answer.headers["Allow"])) == METHODS[address]
    for method in {"GET", "POST", "PUT", "PATCH", "DELETE"} - METHODS[address]:
        wrong = user.request(method, address, json={"content": CONTENT})
        wrong.problem(405)
        assert set(re.split(r",\s*", wrong.headers["Allow"])) == METHODS[address]


@pytest.mark.parametrize("address", ["/documents/", f"/documents/{NO_SUCH_ID}",
                                     f"/applications/{NO_SUCH_ID}/documents/",
                                     path(NO_SUCH_ID) + "/", path(NO_SUCH_ID) + "/nothing"])
def test_unknown_paths_are_404(user, address, unchanged):
    user.get(address).problem(404)


def test_readers_see_whole_versions_while_writers_write(user, application):
    write(user, application, RESEARCH, content="0" * 50_000)
    done = threading.Event()

    def run(index):
        if index < 2:
            for round_ in range(30):
                user.put(path(application), {"content": str((round_ + index) % 10) * 50_000}).ok(200)
            done.set()
            return
        while not done.is_set():
            answer = user.get(path(application), headers=accept(MARKDOWN))
            assert answer.status == 200 and len(answer.body) == 50_000 and len(set(answer.body)) == 1
    together(4, run)
