"""A whole account out as one document, and in again; what is damaged, what is large, and what is broken off."""

import copy
import http.client
import json
import math
import os
import random
import re
import secrets
import signal
import socket
import threading
import time

import pytest

from stack import PASSWORD, NO_SUCH_ID, TIME, UUID, Client, Stack, connect, together, wait_for
from test_load import private_memory

PARTS = ["resumes", "applications", "documents", "embeddings"]
MEMBERS = ["format", "version", "exported_at", "user", *PARTS, "usage", "audit_log"]
KINDS = ("research_report", "optimized_resume", "cover_letter")
GROWTH = 8 * 1024  # KiB
IMPORTED = (200, 201, 204)


def vector(seed):
    chance = random.Random(seed)
    return [round(chance.uniform(-1, 1), 6) for _ in range(1536)]


def export(user):
    """The user's document, decoded."""
    answer = user.get("/me/export")
    body = answer.ok()
    assert list(body) == MEMBERS, list(body)
    assert (body["format"], body["version"]) == ("jobforge-export", 1)
    assert TIME.fullmatch(body["exported_at"])
    assert body["user"]["id"] == user.id and body["user"]["email"] == user.email
    return body


def restore(user, document):
    body = document if isinstance(document, bytes) else json.dumps(document, ensure_ascii=False).encode()
    return user.post("/me/import", body=body)


def essence(document):
    """What two exports of the same things have in common: ids are replaced by the place of what they name."""
    place = {}
    for name in ("resumes", "applications", "documents", "embeddings"):
        for index, row in enumerate(document[name]):
            if "id" in row:
                assert UUID.fullmatch(row["id"]) and row["id"] not in place
                place[row["id"]] = f"{name} {index}"

    def known(row):
        return {key: place[value] if key in ("id", "application_id", "document_id") else value
                for key, value in row.items() if key != "user_id"}
    return {name: [known(row) for row in document[name]] for name in PARTS}


def everything(stack, user):
    """Every row of the user, as the database has it."""
    tables = ("applications", "documents", "user_resumes", "document_embeddings")
    return [stack.sql(f"SELECT t::text FROM public.{table} t WHERE t.user_id = %s ORDER BY 1", user.id)
            for table in tables] + stack.sql("SELECT u::text FROM public.users u WHERE u.id = %s", user.id)


def populate(user, applications=20):
    for index in range(3):
        user.post("/resumes", {"name": f"Resume {index}", "content": f"# Résumé {index}\n\n" + "Experience. " * 20,
                               "focus_area": ("management", "other", "data_science")[index],
                               "is_primary": index == 1}).ok(201)
    for index in range(applications):
        priority = ("low", "medium", "high")[index % 3]
        row = user.create(f"Company \"{index}\"", f"Rôle\n{index} 😀", priority_level=priority,
                          **({"location": f"Köln \\ {index}", "job_url": f"https://example.com/{index}?a=b&c=\"d"}
                             if index % 2 else {}))
        for kind in KINDS[:index % 4]:
            path = f"/applications/{row['id']}/documents/{kind}"
            content = f"# {kind} {index}\r\n\n<script>\u2028 \"quoted\" \\ text of some length\t\x01"
            user.put(path, {"content": content}).ok(201)
            if index % 5 == 1:
                user.put(path + "/embedding", {"embedding": vector(index)}).ok(201)
        if index % 4 == 0:
            user.patch("/applications/" + row["id"], {"location": "moved"}).ok()
    if applications > 1:
        path = f"/applications/{user.get('/applications?limit=1&status=research_complete').ok()['data'][0]['id']}"
        user.put(path + "/documents/research_report", {"content": "written a second time"}).ok(200)
    return user


@pytest.fixture(scope="module")
def owner(stack):
    """A user who has some of everything; only read by the tests."""
    return populate(stack.user())


@pytest.fixture(scope="module")
def document(owner):
    return export(owner)


# --- Out ------------------------------------------------------------------------------------------------------------

def test_export_holds_everything(owner, document):
    assert [len(document[name]) for name in ("resumes", "applications", "documents")] == [3, 20, 30]
    assert len(document["embeddings"]) == sum(index % 4 for index in range(20) if index % 5 == 1)
    for row in document["applications"]:
        assert row == {key: value for key, value in owner.get("/applications/" + row["id"]).ok().items() if key in row}
        assert {"name", "company_name", "role_title", "job_url", "job_description", "location", "priority_level",
                "created_at", "updated_at"} <= set(row)
    for row in document["resumes"]:
        assert row == {key: value for key, value in owner.get("/resumes/" + row["id"]).ok().items() if key in row}
        assert {"name", "content", "focus_area", "is_primary", "created_at", "updated_at"} <= set(row)
    for row in document["documents"]:
        whole = owner.get(f"/applications/{row['application_id']}/documents/{row['document_type']}").ok()
        assert row == {key: value for key, value in whole.items() if key in row}
        assert {"content", "created_at", "updated_at"} <= set(row)
    paths = {row["id"]: f"/applications/{row['application_id']}/documents/{row['document_type']}"
             for row in document["documents"]}
    for row in document["embeddings"]:
        whole = owner.get(paths[row["document_id"]] + "/embedding").ok()
        assert len(row["embedding"]) == 1536 and row["embedding"] == whole["embedding"]
    text = json.dumps(document)
    assert "password" not in text and "$2b$" not in text and "token" not in text


def test_export_holds_what_the_service_keeps(stack):
    """Usage and audit log as their own addresses give them, all of it; an import passes them over."""
    user = populate(stack.user(), applications=120)
    document = export(user)
    assert document["usage"] == user.get("/usage?sort=period").ok()["data"] != []
    entries, cursor = [], ""
    while cursor is not None:
        page = user.get("/audit-log?sort=created_at&limit=100" + cursor).ok()
        entries += page["data"]
        cursor = page["next"] and "&cursor=" + page["next"]
    assert document["audit_log"] == entries and len(entries) > 300
    assert entries[0]["table_name"] == "users" and {entry["user_id"] for entry in entries} == {user.id}
    other = stack.user()
    document["audit_log"] *= 3
    assert restore(other, document).status in IMPORTED
    again = export(other)
    assert essence(again) == essence(document)
    assert {entry["user_id"] for entry in again["audit_log"]} == {other.id}
    assert again["usage"][0]["applications_created"] == 120 and len(again["usage"]) == 1


def test_what_is_passed_over_is_json_all_the_same(newcomer, unchanged):
    for member in (b'"audit_log":[{"id":]', b'"usage":[{}', b'"usage":{}', b'"audit_log":[{}] x'):
        body = b'{"format":"jobforge-export","version":1,' + member + b"}"
        restore(newcomer, body).problem(400)


def test_export_is_a_file(owner):
    answer = owner.get("/me/export")
    assert answer.headers["Content-Type"] == "application/json"
    assert "attachment" in (answer.headers.get("Content-Disposition") or "attachment")
    assert "no-store" in answer.headers["Cache-Control"] or "private" in answer.headers["Cache-Control"]


def test_export_of_nothing(stack, user):
    document = export(user)
    assert [document[name] for name in PARTS] == [[], [], [], []]
    other = stack.user()
    assert restore(other, document).status in IMPORTED
    assert essence(export(other)) == essence(document)


def test_head_of_export(owner):
    head = owner.request("HEAD", "/me/export")
    assert (head.status, head.body) == (200, b"")
    assert head.headers["Content-Type"] == "application/json"
    # The connection is still in step.
    assert owner.get("/me").ok()["id"] == owner.id


def test_export_and_import_need_a_token(stack, unchanged):
    stack.anyone.get("/me/export").problem(401)
    stack.anyone.post("/me/import", {}).problem(401)


def test_export_takes_no_query(owner, unchanged):
    for query in ("x=1", "limit=1", "format=csv", "user_id=" + NO_SUCH_ID):
        owner.get("/me/export?" + query).problem(400)
        owner.post("/me/import?" + query, {}).problem(400)


@pytest.mark.parametrize("path, accept, status", [
    ("/me/export", "*/*", 505), ("/applications?format=csv", "*/*", 505), ("/applications", "text/csv", 505),
    ("/applications", "*/*", 200), ("/me", "*/*", 200)])
def test_answers_of_unknown_length_are_not_for_http_1_0(stack, owner, path, accept, status):
    """One that broke off would look whole."""
    answer = stack.raw(f"GET /api/v1{path} HTTP/1.0\r\nAuthorization: Bearer {owner.token}\r\n"
                       f"Accept: {accept}\r\n\r\n".encode())
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 %d" % status)
    assert status == 200 or json.loads(body)["type"] == "/problems/bad-version"


@pytest.mark.parametrize("path, allowed", [("/me/export", {"GET", "HEAD", "OPTIONS"}),
                                           ("/me/import", {"POST", "OPTIONS"})])
def test_methods(owner, path, allowed, unchanged):
    answer = owner.request("OPTIONS", path)
    assert set(re.split(r",\s*", answer.headers["Allow"])) == allowed
    for method in {"GET", "POST", "PUT", "PATCH", "DELETE"} - allowed:
        wrong = owner.request(method, path, json={})
        wrong.problem(405)
        assert set(re.split(r",\s*", wrong.headers["Allow"])) == allowed


def test_accept_of_export(owner):
    for value in ("application/json", "*/*", "application/*;q=0.1"):
        owner.get("/me/export", headers={"Accept": value}).ok()


# --- In -------------------------------------------------------------------------------------------------------------

def test_import_gives_back_what_was_exported(stack, owner, document):
    other = stack.user(full_name="Somebody Else")
    me = other.get("/me").ok()
    assert restore(other, document).status in IMPORTED
    again = export(other)
    assert essence(again) == essence(document)
    ids = {row["id"] for name in ("resumes", "applications", "documents") for row in document[name]}
    assert ids.isdisjoint(row["id"] for name in ("resumes", "applications", "documents") for row in again[name])
    assert other.get("/me").ok() == me
    # It is an account like any other.
    for row in again["applications"]:
        assert other.get("/applications/" + row["id"]).ok()["status"] == row["status"]
    row = next(row for row in again["applications"] if row["status"] == "draft")
    other.put(f"/applications/{row['id']}/documents/research_report", {"content": "a report of some length"}).ok(201)
    assert other.get("/applications?q=company&limit=100&count=exact").ok()["total"] == 20
    assert other.get("/documents?q=quoted&limit=1&count=exact").ok()["total"] > 0
    assert sum(resume["is_primary"] for resume in again["resumes"]) == 1
    # The third generation is as the second.
    third = stack.user()
    assert restore(third, again).status in IMPORTED
    assert essence(export(third)) == essence(document)


def test_import_takes_the_very_bytes_of_the_export(stack, owner, document):
    other = stack.user()
    assert restore(other, owner.get("/me/export").body).status in IMPORTED
    assert essence(export(other)) == essence(document)


@pytest.mark.parametrize("options", [{"indent": 3}, {"ensure_ascii": True}, {"separators": (",", ":")},
                                     {"indent": "\t"}],
                         ids=str)
def test_import_takes_json_however_it_is_written(stack, document, options):
    other = stack.user()
    assert restore(other, json.dumps(document, **options).encode() + b"\r\n \t").status in IMPORTED
    assert essence(export(other)) == essence(document)


def test_import_in_chunks(stack, document):
    other = stack.user()
    answer = other.post("/me/import", body=json.dumps(document).encode(), chunked=True)
    assert answer.status in IMPORTED, answer
    assert essence(export(other)) == essence(document)


def test_import_keeps_the_order_of_rows_of_one_moment(stack):
    """500 applications created in one transaction have one created_at, which no other has: it may move a little."""
    user, other = stack.user(), stack.user()
    user.create_many([{"company_name": f"Company {index}"} for index in range(500)])
    document = export(user)
    assert restore(other, document).status in IMPORTED
    again = export(other)
    for row in document["applications"] + again["applications"]:
        row["created_at"] = row["created_at"][:19]
    assert essence(again) == essence(document)


def test_import_takes_the_longest_that_can_be_stored(stack):
    user, other = stack.user(), stack.user()
    row = user.create("😀" * 255, "r" * 255, job_description="ü" * 100_000, name="n" * 255, location="l" * 255)
    for kind in KINDS:
        user.put(f"/applications/{row['id']}/documents/{kind}", {"content": "\x01" * 100_000 + "é" * 200_000}).ok(201)
    user.post("/resumes", {"name": "n" * 255, "content": "\"\\\n" * 170_000, "focus_area": "other"}).ok(201)
    document = export(user)
    assert restore(other, document).status in IMPORTED
    assert essence(export(other)) == essence(document)


def test_import_into_an_account_that_is_not_empty_is_409(stack, document):
    def with_application(user):
        user.create()

    def with_resume(user):
        user.post("/resumes", {"name": "R", "content": "x" * 100}).ok(201)
    for fill in (with_application, with_resume, lambda user: restore(user, document)):
        user = stack.user()
        fill(user)
        before = everything(stack, user)
        restore(user, document).problem(409, slug="not-empty")
        assert everything(stack, user) == before


def test_import_after_everything_was_deleted(stack, user, document):
    row = user.create()
    user.delete("/applications/" + row["id"]).ok(204)
    assert restore(user, document).status in IMPORTED
    assert essence(export(user)) == essence(document)


def test_two_imports_at_once_exactly_one_wins(document):
    with Stack(bulk_workers=2) as stack:
        for _ in range(5):
            user = stack.user()
            answers = together(2, lambda index: restore(user, document))
            assert sorted(answer.status for answer in answers)[1] == 409, answers
            next(answer for answer in answers if answer.status == 409).problem(409)
            assert essence(export(user)) == essence(document)


def test_import_keeps_one_primary_resume(stack, document):
    for marks in ([False] * 3, [True] * 3, [True, True, False]):
        user = stack.user()
        changed = copy.deepcopy(document)
        for row, mark in zip(changed["resumes"], marks):
            row["is_primary"] = mark
        assert restore(user, changed).status in IMPORTED
        resumes = export(user)["resumes"]
        assert len(resumes) == 3 and sum(row["is_primary"] for row in resumes) == 1


def test_import_takes_status_and_flags_from_the_documents(stack, document):
    user = stack.user()
    changed = copy.deepcopy(document)
    for row in changed["applications"]:
        if "status" in row:
            row.update(status="cover_letter_ready")
        if "research_completed" in row:
            row.update(research_completed=True, resume_optimized=True, cover_letter_generated=True)
    assert restore(user, changed).status in IMPORTED
    assert essence(export(user)) == essence(document)


def test_an_ids_owner_does_not_matter(stack, owner, document):
    """Ids in the document only refer to each other: those of another user's rows open nothing."""
    other = stack.user()
    before = everything(stack, owner)
    assert restore(other, document).status in IMPORTED
    assert everything(stack, owner) == before
    foreign = {"format": "jobforge-export", "version": 1, "exported_at": document["exported_at"],
               "user": document["user"],
               "resumes": [], "applications": [], "documents": document["documents"][:1], "embeddings": []}
    third = stack.user()
    assert restore(third, foreign).faults()[0].startswith("/documents/0")
    assert everything(stack, owner) == before


# --- Damage -----------------------------------------------------------------------------------------------------------

def put(*path, value):
    def change(document):
        target = document
        for step in path[:-1]:
            target = target[step]
        target[path[-1]] = value(target[path[-1]]) if callable(value) else value
    return change


def drop(*path):
    def change(document):
        target = document
        for step in path[:-1]:
            target = target[step]
        del target[path[-1]]
    return change


def swap_documents(document):
    """The resume of an application before its research."""
    rows = document["documents"]
    index = next(index for index, row in enumerate(rows) if row["document_type"] == "optimized_resume")
    other = next(index2 for index2, row in enumerate(rows) if row["application_id"] == rows[index]["application_id"]
                 and row["document_type"] == "research_report")
    del rows[other]


def twice(name, **changes):
    def change(document):
        document[name].append({**copy.deepcopy(document[name][0]), **changes})
    return change


DAMAGE = {
    "another format": (put("format", value="other"), "/format"),
    "format of no text": (put("format", value=5), "/format"),
    "a later version": (put("version", value=2), "/version"),
    "version 0": (put("version", value=0), "/version"),
    "version as text": (put("version", value="1"), "/version"),
    "no format": (drop("format"), ""),
    "no version": (drop("version"), ""),
    "no applications": (drop("applications"), ""),
    "no documents": (drop("documents"), ""),
    "an unknown member": (lambda document: document.update(extra=1), "/extra"),
    "applications of no array": (put("applications", value={}), "/applications"),
    "applications null": (put("applications", value=None), "/applications"),
    "resumes of text": (put("resumes", value="x"), "/resumes"),
    "application of no object": (put("applications", 3, value=5), "/applications/3"),
    "application null": (put("applications", 3, value=None), "/applications/3"),
    "application in an array": (put("applications", 3, value=lambda row: [row]), "/applications/3"),
    "company of a number": (put("applications", 17, "company_name", value=5), "/applications/17/company_name"),
    "company null": (put("applications", 17, "company_name", value=None), "/applications/17/company_name"),
    "no company": (drop("applications", 17, "company_name"), "/applications/17"),
    "company too long": (put("applications", 17, "company_name", value="x" * 256), "/applications/17/company_name"),
    "company blank": (put("applications", 17, "company_name", value=" "), "/applications/17/company_name"),
    "company with a NUL": (put("applications", 17, "company_name", value="a\0b"), "/applications/17/company_name"),
    "an unknown field": (put("applications", 4, value=lambda row: {**row, "x": 1}), "/applications/4/x"),
    "bad priority": (put("applications", 19, "priority_level", value="urgent"), "/applications/19/priority_level"),
    "short description": (put("applications", 0, "job_description", value="x" * 49), "/applications/0/job_description"),
    "bad address": (put("applications", 1, "job_url", value="javascript:alert(1)"), "/applications/1/job_url"),
    "bad time": (put("applications", 2, "created_at", value="yesterday"), "/applications/2/created_at"),
    "infinite time": (put("applications", 2, "created_at", value="infinity"), "/applications/2/created_at"),
    "time of a number": (put("applications", 2, "updated_at", value=5), "/applications/2/updated_at"),
    # PostgreSQL rounds each of them into the year 10000, which no time of RFC 3339 has.
    "time rounded up": (put("applications", 2, "updated_at", value="9999-12-31T23:59:60Z"), "/applications/2/updated_at"),
    "time rounded up, of a resume": (put("resumes", 1, "updated_at", value="9999-12-31T23:59:59.9999999Z"), "/resumes/1/updated_at"),
    "time rounded up, of a document": (put("documents", 9, "updated_at", value="9999-12-31T23:59:59.9999999Z"),
                                       "/documents/9/updated_at"),
    "time rounded up, of an embedding": (put("embeddings", 1, "created_at", value="9999-12-31T23:59:60Z"),
                                         "/embeddings/1/created_at"),
    "no such day": (put("applications", 2, "created_at", value="2026-02-30T00:00:00Z"), "/applications/2/created_at"),
    "application without id": (drop("applications", 5, "id"), "/applications/5"),
    "id of no UUID": (put("applications", 5, "id", value="x"), "/applications/5/id"),
    "two applications of one id": (twice("applications"), "/applications/20"),
    "two resumes of one id": (twice("resumes"), "/resumes/3"),
    "two documents of one id": (twice("documents"), "/documents/30"),
    "two documents of one type": (twice("documents", id=NO_SUCH_ID), "/documents/30"),
    "document of no application": (put("documents", 7, "application_id", value=NO_SUCH_ID), "/documents/7"),
    "document of null": (put("documents", 7, "application_id", value=None), "/documents/7/application_id"),
    "document of no UUID": (put("documents", 7, "application_id", value="x"), "/documents/7/application_id"),
    "unknown type": (put("documents", 8, "document_type", value="letter"), "/documents/8/document_type"),
    "short content": (put("documents", 9, "content", value="x" * 9), "/documents/9/content"),
    "long content": (put("documents", 9, "content", value="x" * (512 * 1024 + 1)), "/documents/9/content"),
    "content of a number": (put("documents", 9, "content", value=1), "/documents/9/content"),
    "resume before its research": (swap_documents, "/documents"),
    "short resume": (put("resumes", 2, "content", value="x" * 99), "/resumes/2/content"),
    "bad focus": (put("resumes", 2, "focus_area", value="x"), "/resumes/2/focus_area"),
    "primary of text": (put("resumes", 2, "is_primary", value="true"), "/resumes/2/is_primary"),
    "embedding of 1535": (put("embeddings", 1, "embedding", value=lambda old: old[1:]), "/embeddings/1/embedding"),
    "embedding of 1537": (put("embeddings", 1, "embedding", value=lambda old: old + [1]), "/embeddings/1/embedding"),
    "embedding of none": (put("embeddings", 1, "embedding", value=[]), "/embeddings/1/embedding"),
    "embedding of text": (put("embeddings", 1, "embedding", value=lambda old: ["1"] + old[1:]),
                          "/embeddings/1/embedding/0"),
    "embedding with null": (put("embeddings", 1, "embedding", value=lambda old: old[:9] + [None] + old[10:]),
                            "/embeddings/1/embedding/9"),
    "embedding with an array": (put("embeddings", 1, "embedding", value=lambda old: old[:9] + [[1]] + old[10:]),
                                "/embeddings/1/embedding/9"),
    "embedding too large": (put("embeddings", 1, "embedding", value=lambda old: old[:9] + [1e39] + old[10:]),
                            "/embeddings/1/embedding/9"),
    "embedding as text": (put("embeddings", 1, "embedding", value=str), "/embeddings/1/embedding"),
    "embedding of no document": (put("embeddings", 0, "document_id", value=NO_SUCH_ID), "/embeddings/0"),
    "two embeddings of one document": (twice("embeddings"), "/embeddings/9"),
}


@pytest.fixture
def newcomer(stack):
    """An empty account, which it stays: everything that is sent to it is refused."""
    return stack.user()


@pytest.mark.parametrize("change, pointer", DAMAGE.values(), ids=DAMAGE.keys())
def test_damage_is_refused_with_its_place(stack, newcomer, document, change, pointer, unchanged):
    damaged = copy.deepcopy(document)
    change(damaged)
    if pointer.startswith("/embeddings/9"):
        pointer = f"/embeddings/{len(document['embeddings'])}"
    answer = restore(newcomer, damaged)
    if answer.status == 400:
        # What is no export by its first bytes is not read as one: the place is then one in the file.
        assert pointer in ("/applications", "/resumes") and re.search(r"\d", answer.problem(400)["detail"]), answer
        return
    pointers = answer.faults()
    assert len(pointers) >= 1 and all(found.startswith(pointer) for found in pointers), pointers


def test_several_faults_are_named_or_the_first(stack, newcomer, document, unchanged):
    damaged = copy.deepcopy(document)
    damaged["applications"][3]["company_name"] = ""
    damaged["applications"][17]["role_title"] = 5
    pointers = restore(newcomer, damaged).faults()
    assert "/applications/3/company_name" in pointers
    assert set(pointers) <= {"/applications/3/company_name", "/applications/17/role_title"}


def test_truncation_is_refused_with_its_place(stack, newcomer, owner, unchanged):
    chance = random.Random(3)
    body = owner.get("/me/export").body.rstrip()
    for length in [1, 2, 10, len(body) - 1, len(body) - 2] + [chance.randrange(len(body)) for _ in range(40)]:
        problem = restore(newcomer, body[:length]).problem(400)
        assert re.search(r"\d", problem["detail"]), problem


def test_bytes_changed_by_chance_are_refused_or_harmless(stack, owner, document):
    """One byte another: refused, or taken as what it then says; never half of it, never an error of the server."""
    body = owner.get("/me/export").body
    chance = random.Random(5)
    taken = 0
    newcomer = stack.user()
    for _ in range(60):
        position = chance.randrange(len(body))
        damaged = body[:position] + bytes([chance.choice(b"\"\\{}[],:x0\x00\xff \n-")]) + body[position + 1:]
        answer = restore(newcomer, damaged)
        if answer.status in IMPORTED:
            counts = export(newcomer)
            assert [len(counts[name]) for name in PARTS] == [len(document[name]) for name in PARTS]
            taken += 1
            newcomer = stack.user()
        else:
            answer.problem(400, 422)
            assert [len(rows) for rows in everything(stack, newcomer)[:4]] == [0] * 4
    assert taken < 60


NOT_JSON = [b"", b" ", b"nonsense", b"{", b"[]", b"[{}]", b"5", b"null", b'"jobforge-export"', b"{}", b"{}{}",
            b"\xef\xbb\xbf{}",
            b'{"format": NaN}', b"[" * 100_000, b'{"user":' + b"[" * 100_000, b'{"applications":[' + b'{"x":' * 1000,
            b'{"a":1,}', b"{'format': 1}", b"\x00", b"PK\x03\x04", b"\x1f\x8b\x08", b'{"format":"jobforge-export\xff"}',
            b'{"format":"\\ud800"}', b'{"format": 1e400}', b'{"version": 99999999999999999999999}',
            b'{"format":"' + b"x" * 2_000_000]


@pytest.mark.parametrize("body", NOT_JSON, ids=range(len(NOT_JSON)))
def test_what_is_no_export_is_refused(stack, newcomer, body, unchanged):
    problem = restore(newcomer, body).problem(400, 422)
    if problem["status"] == 422:
        assert problem["errors"]


@pytest.mark.parametrize("old, new", [
    (b'"Company', b'"\xff'), (b'"Company', b'"\xed\xa0\x80'), (b'"Company', b'"\\ud800'), (b'"Company', b'"\x01'),
    (b'"Company', b'"\n'), (b'"Company', b'"\\x'), (b'"applications":', b'"applications"'), (b'"medium"', b"'medium'"),
    (b'"embedding":[', b'"embedding":[NaN,'), (b'"embedding":[', b'"embedding":[Infinity,'),
    (b'"embedding":[', b'"embedding":[1e,'),
    (b'"embedding":[', b'"embedding":[01,'), (b'"embedding":[', b'"embedding":[,'), (b"null", b"nul"),
    (b"true", b"True"),
], ids=range(15))
def test_broken_json_is_refused_with_its_place(stack, newcomer, document, old, new, unchanged):
    body = json.dumps(document, separators=(",", ":")).encode()
    assert old in body
    problem = restore(newcomer, body.replace(old, new, 1)).problem(400)
    assert re.search(r"\d", problem["detail"]), problem
    # The place is right, give or take a token.
    offsets = [int(text) for text in re.findall(r"\d+", problem["detail"].replace(",", ""))]
    position = body.index(old)
    assert any(abs(offset - position) < 200 for offset in [*offsets, sum(offsets)]), (problem, position)


def test_bytes_after_the_document_are_refused(stack, newcomer, owner, unchanged):
    body = owner.get("/me/export").body
    for rest in (b"x", b"{}", b"\0", b",", body):
        restore(newcomer, body.rstrip() + rest).problem(400)


def test_members_in_another_order_are_taken_if_what_they_name_comes_before(stack, document):
    for names, taken in ((MEMBERS[::-1], False), (sorted(MEMBERS), True), ([*MEMBERS[4:], *MEMBERS[:4]], True)):
        user = stack.user()
        answer = restore(user, {name: document[name] for name in names})
        if taken:
            assert answer.status in IMPORTED, answer
            assert essence(export(user)) == essence(document)
        else:
            answer.problem(422)
            assert [len(rows) for rows in everything(stack, user)[:4]] == [0] * 4


def test_member_that_occurs_twice_is_refused(stack, document):
    user = stack.user()
    body = json.dumps(document)[:-1] + ',"applications":[]}'
    restore(user, body.encode()).problem(422)
    assert [len(rows) for rows in everything(stack, user)[:4]] == [0] * 4


@pytest.mark.parametrize("type_", ["text/plain", "application/octet-stream", "text/csv",
                                   "application/json; charset=latin1", None])
def test_other_media_types_are_415(newcomer, document, type_, unchanged):
    newcomer.post("/me/import", body=json.dumps(document).encode(), type=type_).problem(415)


def test_more_than_256_mib_is_413(stack, newcomer, unchanged):
    answer = stack.exchange((f"POST /api/v1/me/import HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {newcomer.token}\r\n"
                             f"Content-Type: application/json\r\nContent-Length: {(256 << 20) + 1}\r\n\r\n").encode(),
                             "POST")
    answer.problem(413)


def test_idempotency_key_of_an_import(stack, user, document):
    """With the key of the first, the same document is no second import."""
    headers = {"Idempotency-Key": secrets.token_hex(16)}
    body = json.dumps(document).encode()
    assert user.post("/me/import", body=body, headers=headers).status in IMPORTED
    user.post("/me/import", body=body, headers=headers).problem(409, slug="not-empty")
    assert essence(export(user)) == essence(document)


# --- Broken off -------------------------------------------------------------------------------------------------------

def test_client_that_leaves_in_mid_import_changes_nothing(stack, user, document):
    body = json.dumps(document).encode()
    workers = stack.workers()
    for share in (0.1, 0.5, 0.99):
        with socket.create_connection(("127.0.0.1", stack.http_port), 5) as sock:
            sock.sendall((f"POST /api/v1/me/import HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {user.token}\r\n"
                          f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n").encode()
                         + body[:int(len(body) * share)])
            time.sleep(0.2)
    assert [len(rows) for rows in everything(stack, user)[:4]] == [0] * 4
    assert restore(user, document).status in IMPORTED
    assert essence(export(user)) == essence(document)
    assert stack.workers() == workers


# --- Large accounts ---------------------------------------------------------------------------------------------------

@pytest.fixture(scope="module")
def large(quick):
    """A user with 5,000 applications, a document for each and 300 embeddings; some 20 MiB."""
    user = quick.user()
    quick.sql("INSERT INTO public.applications (user_id, name, company_name, role_title, job_description, created_at)"
              " SELECT %s, 'n' || n, 'Company ' || n, 'Role', repeat('a description of a job, number ' || n || E'\\n',"
              " 10), timestamptz '2026-01-01' + n * interval '1 minute' FROM generate_series(1, 5000) n", user.id)
    quick.sql("INSERT INTO public.documents (application_id, user_id, document_type, content)"
              " SELECT id, user_id, 'research_report', repeat('# Report on \"' || company_name || E'\"\\n\\n', 60)"
              " FROM public.applications WHERE user_id = %s", user.id)
    quick.sql("INSERT INTO public.document_embeddings (document_id, user_id, embedding)"
              " SELECT d.id, d.user_id, v.embedding"
              " FROM (SELECT id, user_id FROM public.documents WHERE user_id = %s LIMIT 300) d,"
              " (SELECT array_agg(sin(n)::real)::public.vector AS embedding FROM generate_series(1, 1536) n) v",
              user.id)
    return user


def patient(user):
    """The same user, who waits for longer: what is imported is indexed for search as well."""
    client = Client(user.stack, user.token)
    client._connection = lambda: user.stack.open(timeout=120)
    return client


class Watch:
    """The most private memory that each worker has while the block runs, over what it had before."""

    def __init__(self, stack):
        self.stack = stack

    def __enter__(self):
        self.before = {pid: private_memory(pid) for pid in self.stack.workers()}
        self.peak = dict(self.before)
        self.done = threading.Event()
        self.thread = threading.Thread(target=self.run)
        self.thread.start()
        return self

    def run(self):
        while not self.done.wait(0.01):
            for pid in self.before:
                self.peak[pid] = max(self.peak[pid], private_memory(pid))

    def __exit__(self, *_):
        self.done.set()
        self.thread.join()
        self.grown = max(self.peak[pid] - self.before[pid] for pid in self.before)


def test_export_of_a_large_account_is_streamed(quick, large, comment):
    quick.user().get("/me/export").ok()
    workers = quick.workers()
    with Watch(quick) as watch:
        start = time.monotonic()
        answer = large.get("/me/export")
        took = time.monotonic() - start
    document = answer.ok()
    comment(f"export of {len(answer.body) >> 20} MiB in {took:.2f} s, private memory at most {watch.grown} KiB more")
    assert [len(document[name]) for name in PARTS] == [0, 5000, 5000, 300]
    assert watch.grown <= GROWTH
    assert quick.workers() == workers


def test_csv_of_a_large_account_is_bounded(quick, large, comment):
    with Watch(quick) as watch:
        answer = large.get("/applications?format=csv")
    assert answer.status == 200 and answer.body.count(b"\r\n") == 5001
    comment(f"CSV of {len(answer.body) >> 10} KiB, private memory at most {watch.grown} KiB more")
    assert watch.grown <= GROWTH


def test_import_of_a_large_account(quick, large, comment):
    body = large.get("/me/export").body
    other = quick.user()
    with Watch(quick) as watch:
        start = time.monotonic()
        answer = restore(patient(other), body)
        took = time.monotonic() - start
    assert answer.status in IMPORTED, answer
    comment(f"import of {len(body) >> 20} MiB in {took:.2f} s, private memory at most {watch.grown} KiB more")
    assert essence(export(other)) == essence(json.loads(body))
    assert watch.grown <= 2 * GROWTH


def test_damage_at_the_end_of_a_large_import_changes_nothing(quick, large):
    document = large.get("/me/export").json()
    document["embeddings"][-1]["embedding"][-1] = None
    other = quick.user()
    assert restore(patient(other), document).faults() == ["/embeddings/299/embedding/1535"]
    assert [len(rows) for rows in everything(quick, other)[:4]] == [0] * 4


def test_others_are_answered_while_large_accounts_move(quick, large):
    body = large.get("/me/export").body
    bystander, other = quick.user(), quick.user()
    bystander.create()
    moves = [threading.Thread(target=lambda: results.append(patient(large).get("/me/export").status)) for _ in range(2)]
    results = []
    moves.append(threading.Thread(target=lambda: results.append(restore(patient(other), body).status)))
    for thread in moves:
        thread.start()
    count = 0
    while any(thread.is_alive() for thread in moves):
        bystander.get("/applications").ok()
        bystander.patch("/me", {"full_name": f"Name {count}"}).ok()
        count += 1
    for thread in moves:
        thread.join()
    assert count > 0 and len(results) == 3 and set(results) <= {*IMPORTED, 503, 504}, results
    assert results.count(200) >= 2


def raw_export(user):
    return f"GET /api/v1/me/export HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {user.token}\r\n\r\n".encode()


def test_client_that_leaves_in_mid_export_harms_nobody(quick, large):
    workers = quick.workers()
    for size in (1, 1000, 100_000, 1_000_000):
        with socket.create_connection(("127.0.0.1", quick.http_port), 5) as sock:
            sock.sendall(raw_export(large))
            received = 0
            while received < size:
                received += len(sock.recv(65536))
    assert len(large.get("/me/export").ok()["applications"]) == 5000
    assert quick.workers() == workers


def test_slow_reader_gets_all(quick, large):
    with socket.create_connection(("127.0.0.1", quick.http_port), 10) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        sock.sendall(raw_export(large))
        time.sleep(3)
        answer = http.client.HTTPResponse(sock)
        answer.begin()
        assert answer.status == 200
        assert len(json.loads(answer.read())["applications"]) == 5000


def broken_answer(stack, user, path, harm):
    """Sends a GET, does `harm` after its first bytes; whether the answer then looked whole."""
    connection = http.client.HTTPConnection("127.0.0.1", stack.http_port, timeout=30)
    connection.request("GET", "/api/v1" + path, headers={"Authorization": "Bearer " + user.token})
    try:
        answer = connection.getresponse()
        first = answer.read(1000) if answer.status == 200 else b""
        harm()
        rest = answer.read()
        return answer.status, answer.status == 200 and answer.isclosed() and len(first + rest)
    except (http.client.HTTPException, OSError):
        return None, False
    finally:
        connection.close()


@pytest.mark.parametrize("path", ["/me/export", "/applications?format=csv"])
def test_answer_of_a_killed_worker_is_broken(quick, large, path, comment):
    whole = len(large.get(path).body)
    wanted = len(quick.workers())
    broken = 0

    def harm():
        for pid in quick.workers():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
    for _ in range(2):
        status, length = broken_answer(quick, large, path, harm)
        # Either all of it was there before the worker died, or the client is told.
        assert not length or abs(length - whole) < 100, f"{length} of {whole} bytes look like all"
        broken += not length
        wait_for(lambda: len(quick.workers()) == wanted, 20, "all workers again")
        wait_for(lambda: quick.root.get("/readyz").status == 200, 20, "ready")
    comment(f"{path}: {broken} of 2 answers were broken off")
    assert len(large.get(path).body) == whole


@pytest.mark.parametrize("harm", ["kill", "terminate", "wait", "let go"])
def test_export_that_waits_in_its_middle(quick, large, harm):
    """A lock on the last table: the export begins and then stands. However that ends, half is never taken for all."""
    whole = len(large.get("/me/export").body)
    wanted = len(quick.workers())
    blocker = connect(quick.name)
    blocker.autocommit = False
    blocker.cursor().execute("LOCK TABLE public.document_embeddings IN ACCESS EXCLUSIVE MODE")
    results = []
    waiting = "SELECT pid FROM pg_stat_activity WHERE datname = %s AND wait_event_type = 'Lock'"
    thread = threading.Thread(target=lambda: results.append(broken_answer(quick, large, "/me/export", lambda: None)))
    thread.start()
    try:
        backend = wait_for(lambda: quick.sql(waiting, quick.name), 10, "the export waits")
        if harm == "kill":
            for pid in quick.workers():
                os.kill(pid, signal.SIGKILL)
        elif harm == "terminate":
            quick.sql("SELECT pg_terminate_backend(%s)", *backend[0])
        elif harm == "wait":
            thread.join(30)
            assert not thread.is_alive(), "it waits for ever"
    finally:
        blocker.rollback()
        blocker.close()
        thread.join(60)
    (status, length), = results
    quick.allow_errors("terminat", "lock timeout", "lost", "export")
    assert not length or abs(length - whole) < 100, (status, length, whole)
    if harm == "let go":
        assert status == 200 and length
    else:
        assert not length
    wait_for(lambda: len(quick.workers()) == wanted, 20, "all workers again")
    wait_for(lambda: quick.root.get("/readyz").status == 200, 20, "ready")
    assert len(wait_for(lambda: (answer := large.get("/me/export")).status == 200 and answer.body, 20,
                        "an export")) == whole


def test_worker_killed_in_mid_import_leaves_nothing(quick, large):
    body = large.get("/me/export").body
    wanted = len(quick.workers())
    user = quick.user()
    blocker = connect(quick.name)
    blocker.autocommit = False
    blocker.cursor().execute("LOCK TABLE public.document_embeddings IN EXCLUSIVE MODE")
    results = []
    thread = threading.Thread(target=lambda: results.append(restore(patient(user), body)))
    thread.start()
    try:
        waiting = "SELECT pid FROM pg_stat_activity WHERE datname = %s AND wait_event_type = 'Lock'"
        wait_for(lambda: quick.sql(waiting, quick.name), 60, "the import waits")
        for pid in quick.workers():
            os.kill(pid, signal.SIGKILL)
        thread.join(30)
    finally:
        blocker.rollback()
        blocker.close()
        thread.join(60)
    results[0].problem(502)
    wait_for(lambda: len(quick.workers()) == wanted, 20, "all workers again")
    wait_for(lambda: quick.root.get("/readyz").status == 200, 20, "ready")
    wait_for(lambda: [len(rows) for rows in everything(quick, user)[:4]] == [0] * 4, 10, "nothing is left")
    assert restore(patient(user), body).status in IMPORTED


def test_export_is_of_one_moment(quick):
    """Whatever changes while it runs: each document's application and each embedding's document are in it."""
    user = quick.user()
    rows = user.create_many([{"company_name": f"Company {index}"} for index in range(200)])
    for row in rows[:50]:
        user.put(f"/applications/{row['id']}/documents/research_report", {"content": "x" * 20_000}).ok(201)
    done = threading.Event()

    def change():
        chance = random.Random(1)
        while not done.is_set():
            row = user.create("New")
            user.put(f"/applications/{row['id']}/documents/research_report", {"content": "y" * 20_000}).ok(201)
            if chance.random() < 0.7:
                user.delete("/applications/" + row["id"]).ok(204)
    threads = [threading.Thread(target=change) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(15):
            document = export(user)
            essence(document)  # fails for an id that names nothing
            flags = {row["id"]: row["research_completed"] for row in document["applications"]}
            written = {row["application_id"] for row in document["documents"]}
            assert {id_ for id_, flag in flags.items() if flag} == written
    finally:
        done.set()
        for thread in threads:
            thread.join()


def test_numbers_of_embeddings_come_back_bit_for_bit(stack):
    user, other = stack.user(), stack.user()
    application = user.create()["id"]
    path = f"/applications/{application}/documents/research_report"
    user.put(path, {"content": "a report of some length"}).ok(201)
    chance = random.Random(9)
    numbers = [0.0, 1.5, 1e-45, 1.17549435e-38, 3.4028234e38, -3.4028234e38, 0.1, 1 / 3, 16777217, 1e-10] + [
        chance.uniform(-1, 1) * 10 ** chance.randrange(-30, 30) for _ in range(1526)]
    user.put(path + "/embedding", {"embedding": numbers}).ok(201)
    document = export(user)
    for sent, read in zip(numbers, document["embeddings"][0]["embedding"], strict=True):
        assert math.isclose(sent, read, rel_tol=1e-6, abs_tol=1e-44), (sent, read)
    assert restore(other, document).status in IMPORTED
    assert export(other)["embeddings"][0]["embedding"] == document["embeddings"][0]["embedding"]
    stored = "SELECT embedding::text FROM public.document_embeddings WHERE user_id = %s"
    assert stack.sql(stored, user.id) == stack.sql(stored, other.id)


def test_nobody_waits_for_an_import(quick, large):
    """While an import runs, its own user signs in and writes."""
    body = large.get("/me/export").body
    user = quick.user()
    statuses = []
    thread = threading.Thread(target=lambda: statuses.append(restore(patient(user), body).status))
    thread.start()
    wait_for(lambda: quick.sql("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted")[0][0] > 0, 20,
             "the import has begun")
    for _ in range(3):
        quick.root.post("/api/v1/auth/login", {"email": user.email, "password": PASSWORD}).ok()
    resume = user.post("/resumes", {"name": "Meanwhile", "content": "x" * 100}).ok(201)
    thread.join()
    if statuses == [200]:  # it was over before
        assert [row["is_primary"] for row in user.get("/resumes").ok()["data"]].count(True) == 1
    else:
        assert statuses == [409]
        assert [row["id"] for row in user.get("/resumes").ok()["data"]] == [resume["id"]] and resume["is_primary"]
        assert user.get("/applications?count=exact").ok()["total"] == 0
