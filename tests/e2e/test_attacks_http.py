"""
Attacks over HTTP beyond those of test_isolation.py, test_hostile.py and test_rules.py: fields that are nobody's to
set, ids and tokens of another user wherever one may be given, and what nginx and a worker might read differently.
"""

import csv
import io
import json
import re
from urllib.parse import quote

import pytest

from examples import APPLICATION, DESCRIPTION, EMBEDDING, EXPORT, RESUME, fill, owned
from stack import NO_SUCH_ID, PASSWORD
from test_hostile import CHUNKED, parse
from test_isolation import ROUTES, alice, bob, essence, example, rows_of  # noqa: F401, two of them are fixtures

OPTIONS = {"login_attempts": 1000}


# --- Fields that are nobody's to set --------------------------------------------------------------------------------

PRIVATE = {
    "user_id": NO_SUCH_ID, "id": NO_SUCH_ID, "created_at": "2020-01-01T00:00:00Z", "updated_at": "2020-01-01T00:00:00Z",
    "password_hash": "$2b$04$x", "search": "x", "norm": 1, "rank": 1, "status": "cover_letter_ready",
    "research_completed": True,
    "resume_optimized": True, "cover_letter_generated": True, "is_admin": True, "admin": True, "role": "admin",
    "plan": "gold",
    "disabled": False, "sub": NO_SUCH_ID, "owner": NO_SUCH_ID, "user": {"id": NO_SUCH_ID}, "_etag": "1",
    "__proto__": {"admin": True},
    "constructor": {}, "application_id": NO_SUCH_ID, "document_type": "cover_letter", "xmin": "1",
    "USER_ID": NO_SUCH_ID,
    "user_id ": NO_SUCH_ID, "user_id\u200b": NO_SUCH_ID,
}
BODIES = [(method, path) for method, path,
          *_ in ROUTES if "body" in example(method, path) and "streamed" not in example(method, path)]


@pytest.mark.parametrize("method, path", BODIES, ids=lambda value: value)
def test_fields_that_are_not_the_clients(stack, bob, method, path):
    """Each alone and all together, beside a body that is good: refused by name, and nothing is changed."""
    line = example(method, path)
    target = fill(path, line, lambda kind: bob.owned[kind])
    body = line["body"](bob)
    before = stack.snapshot()
    for fields in [{name: value} for name, value in PRIVATE.items()] + [PRIVATE]:
        extra = {name: value for name, value in fields.items() if name not in body}
        if (method, path) == ("POST", "/documents/similar"):
            extra.pop("document_type", None)  # which is a filter there
        if not extra:
            continue
        faults = bob.request(method, target, json={**body, **extra}).faults()
        assert faults == sorted("/" + name for name in extra)
    assert stack.snapshot() == before


def test_columns_of_a_sheet_that_are_not_the_clients(stack, alice, bob):
    """Those that answers have are passed over, so that a file goes in again; any other is refused."""
    out = io.StringIO()
    row = {**{name: str(value) for name, value in APPLICATION.items()}, "id": alice.owned["application"],
           "status": "cover_letter_ready", "research_completed": "true", "created_at": "2020-01-01T00:00:00Z"}
    writer = csv.DictWriter(out, row)
    writer.writeheader()
    writer.writerow(row)
    made, = bob.post("/applications", body=out.getvalue().encode(), type="text/csv").ok(201)["data"]
    assert made["id"] != alice.owned["application"] and made["user_id"] == bob.id
    assert (made["status"], made["research_completed"]) == ("draft", False) and made["created_at"] > "2026"
    header = ",".join(APPLICATION) + ",password_hash\r\n" + ",".join("x" for _ in APPLICATION) + ",x\r\n"
    assert bob.post("/applications", body=header.encode(), type="text/csv").status in (400, 422)


def test_an_import_makes_rows_of_the_importer_alone(stack, alice):
    """A document that says of everything in it that it is another user's, under that user's ids."""
    mallory = stack.user()
    before = rows_of(stack, alice)
    theirs = alice.get("/me/export").ok()
    assert alice.id in json.dumps(theirs)
    answer = mallory.post("/me/import", theirs)
    assert answer.status == 200 or answer.status == 201, answer
    assert rows_of(stack, alice) == before, "alice's own are as they were"
    assert mallory.get("/me").ok()["email"] == mallory.email
    ids = {row["id"] for path in ("/applications", "/documents") for row in mallory.get(path).ok()["data"]}
    assert ids and not ids & set(alice.owned.values())
    assert {row["user_id"] for row in mallory.get("/applications").ok()["data"]} == {mallory.id}
    alice.get(f"/applications/{alice.owned['application']}").ok()


def test_an_import_hangs_no_document_on_an_application_of_another(stack, alice):
    mallory = stack.user()
    before = rows_of(stack, alice)
    document = {"id": alice.owned["document"], "application_id": alice.owned["application"],
                "document_type": "optimized_resume",
                "content": DESCRIPTION, "created_at": "2026-01-31T12:00:00Z", "updated_at": "2026-01-31T12:00:00Z"}
    told = [mallory.post("/me/import",
                         {**EXPORT, "user": mallory.get("/me").ok(),
                          "documents": [{**document, "application_id": id_}]})
            for id_ in (alice.owned["application"], NO_SUCH_ID)]
    assert essence(told[0])[0] == 422
    assert essence(told[0]) == essence(told[1])
    assert rows_of(stack, alice) == before


# --- What belongs to another user, wherever it may be given ---------------------------------------------------------

def test_a_document_of_another_is_near_nothing(alice, bob):
    told = [bob.post("/documents/similar", {"document_id": id_}) for id_ in (alice.owned["document"], NO_SUCH_ID)]
    assert told[0].status == 404 and essence(told[0]) == essence(told[1])
    nearest = bob.post("/documents/similar", {"embedding": EMBEDDING, "limit": 50}).ok()["data"]
    assert [row["document"]["id"] for row in nearest] == [bob.owned["document"]]


LISTS = ["/applications?limit=1", "/resumes?limit=1", "/documents?limit=1", "/audit-log?limit=1"]


@pytest.mark.parametrize("path", LISTS)
def test_a_cursor_is_of_one_user(stack, alice, bob, path):
    """And of one list, and of one order: it is signed with all of them."""
    for client in (alice, bob):
        client.create()
        client.post("/resumes", RESUME).ok(201)
        application = client.create()["id"]
        client.put(f"/applications/{application}/documents/research_report", {"content": DESCRIPTION}).ok(201)
    cursor = alice.get(path).ok()["next"]
    alice.get(path + "&cursor=" + cursor).ok()
    told = [bob.get(f"{path}&cursor={text}") for text in (cursor, cursor[:-4] + "AAAA", "AAAA")]
    for answer in told:
        answer.problem(400, slug="bad-cursor")
        assert essence(answer) == essence(told[-1])
    for other in set(LISTS) - {path}:
        alice.get(f"{other}&cursor={cursor}").problem(400, slug="bad-cursor")


def test_an_idempotency_key_of_another_replays_nothing(alice, bob):
    headers = {"Idempotency-Key": "the-same"}
    hers = alice.post("/applications", APPLICATION, headers=headers)
    his = bob.post("/applications", APPLICATION, headers=headers)
    assert his.headers.get("Idempotency-Replayed") is None
    assert his.ok(201)["id"] != hers.ok(201)["id"] and his.json()["user_id"] == bob.id
    again = bob.post("/applications", APPLICATION, headers=headers)
    assert again.headers["Idempotency-Replayed"] == "true" and again.ok(201)["id"] == his.json()["id"]
    # A key with the user's id in it, as the lock has it, is a key like any other.
    for key in (f"{alice.id} the-same", f"{alice.id}%20the-same", f"{alice.id}the-same"):
        answer = bob.post("/applications", APPLICATION, headers={"Idempotency-Key": key})
        assert answer.status in (201, 400) and "Idempotency-Replayed" not in answer.headers


def test_a_tag_of_another_is_no_tag(alice, bob):
    """
    Versions are numbers of transactions, which another's row has too: no condition on the own row is met by them but
    by chance.
    """
    tag = alice.get(f"/applications/{alice.owned['application']}").headers["ETag"]
    own = bob.get(f"/applications/{bob.owned['application']}").headers["ETag"]
    assert tag != own
    path = f"/applications/{bob.owned['application']}"
    assert bob.get(path, headers={"If-None-Match": tag}).status == 200
    bob.patch(path, {"location": "x"}, headers={"If-Match": tag}).problem(412)


def test_a_session_of_another_is_not_ended(stack, alice, bob):
    """Only what holds a refresh token ends its session: the access token of another adds nothing."""
    bob.post("/auth/logout", {"refresh_token": "A" * 43}, token=alice.token).ok(204)
    bob.post("/auth/logout", {}, token=alice.token).ok(204)
    fresh = stack.anyone.post("/auth/refresh", {"refresh_token": alice.refresh_token}).ok()
    alice.refresh_token = fresh["refresh_token"]
    answer = stack.anyone.post("/auth/refresh", {"refresh_token": alice.refresh_token},
                               headers={"Authorization": f"Bearer {bob.token}"})
    assert answer.ok()["user"]["id"] == alice.id
    alice.refresh_token = answer.json()["refresh_token"]


def test_the_password_of_another_is_of_no_use_to_me(alice, bob):
    bob.post("/me/password", {"current_password": "Alice's password", "new_password": "another password"}).problem(403)
    bob.patch("/me", {"email": alice.email}).problem(409, slug="email-taken")
    assert bob.get("/me").ok()["email"] == bob.email


# --- Who the server is ----------------------------------------------------------------------------------------------

EVIL = "evil.example"


@pytest.mark.parametrize("headers", [
    f"Host: {EVIL}\r\n", f"Host: localhost\r\nX-Forwarded-Host: {EVIL}\r\n", f"Host: localhost\r\nX-Host: {EVIL}\r\n",
    f"Host: localhost\r\nForwarded: host={EVIL};proto=https\r\n", f"Host: localhost\r\nX-Forwarded-Server: {EVIL}\r\n",
    f"Host: localhost\r\nX-Forwarded-Prefix: //{EVIL}\r\n", f"Host: localhost\r\nX-Original-URL: //{EVIL}\r\n",
    f"Host: localhost:{EVIL}\r\n", f"Host: localhost@{EVIL}\r\n", f"Host: localhost\r\nReferer: https://{EVIL}/\r\n",
    f"Host: localhost\r\nOrigin: https://{EVIL}\r\n",
], ids=range(11))
def test_no_answer_names_a_host_that_the_client_made_up(stack, bob, headers):
    """Neither in an address (Location, Link, the description) nor in a permission (Access-Control-Allow-Origin)."""
    bob.create()
    body = json.dumps(APPLICATION)
    for request in ("GET /", "GET /api", "GET /api/docs", "GET /js", "GET /nothing", "GET /api/v1/openapi.json",
                    "GET /api/v1/nothing",
                    "GET /api/v1/applications?limit=1", "OPTIONS /api/v1/applications", "POST /api/v1/applications"):
        posted = (f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
                  if request.startswith("POST") else "")
        data = (f"{request} HTTP/1.1\r\n{headers}Authorization: Bearer {bob.token}\r\nConnection: close\r\n{posted}\r\n"
                + (body if posted else ""))
        received = stack.raw(data.encode(), timeout=2).decode("latin-1")
        assert EVIL not in received, received[:600]
        assert "Access-Control" not in received


@pytest.mark.parametrize("target", [
    f"//{EVIL}", f"//{EVIL}/", f"//{EVIL}/js", f"///{EVIL}/js/..", f"/\\{EVIL}", f"/%5c{EVIL}", f"/%2f%2f{EVIL}",
    f"/%2f{EVIL}/%2e%2e",
    f"/https://{EVIL}", f"/js//{EVIL}", "/js", "/js/views", "/api", "/api/v1/auth", f"/api/v1/auth?next=//{EVIL}",
    f"/.{EVIL}",
    f"/?next=//{EVIL}", f"/%09/{EVIL}", f"/;@{EVIL}", f"/%0d%0aLocation:%20//{EVIL}",
])
def test_nobody_is_sent_to_another_host(stack, target):
    for https in (False, True):
        received = stack.raw(f"GET {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode(),
                             https=https, timeout=2)
        answer, = parse(received, ["GET"])
        location = answer.headers.get("Location")
        assert location is None or re.match(r"/(?![/\\])", location), location
        assert answer.status in (200, 400, 404) or location, answer


# --- Bodies where none is read --------------------------------------------------------------------------------------

RIDER = "GET /api/v1/me HTTP/1.1\r\nHost: x\r\nX-A: "


@pytest.mark.parametrize("target",
                         ["/", "/js/api.js", "/favicon.svg", "/api/docs", "/nothing", "/nothing.js", "/.git/config",
                          "/healthz",
                                    "/readyz", "/metrics", "/api", "/api/v1/me", "/api/v1/nothing", "/api/v1/auth",
                          "/api/v1/me/export"])
@pytest.mark.parametrize("method", ["GET", "POST", "HEAD", "OPTIONS", "DELETE", "FOO"])
def test_a_body_that_nobody_reads_is_no_request(stack, target, method):
    """
    What is sent as the body of a request to whatever takes none ends there (CL.0, TE.0): one answer, and that of the
    next request.
    """
    next_ = "GET /favicon.svg HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    for framed in (f"Content-Length: {len(RIDER)}\r\n\r\n{RIDER}", f"{CHUNKED}{len(RIDER):x}\r\n{RIDER}\r\n0\r\n\r\n"):
        data = f"{method} {target} HTTP/1.1\r\nHost: x\r\n{framed}{next_}"
        answers = parse(stack.raw(data.encode(), timeout=3), [method, "GET"])
        assert len(answers) in (1, 2), answers
        if len(answers) == 2:
            assert answers[1].status == 200 and b"<svg" in answers[1].body
        else:
            assert answers[0].headers.get("Connection") == "close" or answers[0].status in (400, 405, 501)


@pytest.mark.parametrize("body", [
    "2\r\n{}\r\n0\r\n\r\n" + "X", "2;\x01\r\n{}\r\n0\r\n\r\n", "2 \r\n{}\r\n0\r\n\r\n", " 2\r\n{}\r\n0\r\n\r\n",
    "2\r{}\r\n0\r\n\r\n",
    "2\n{}\n0\n\n", "2\r\n{}0\r\n\r\n", "0\r\nContent-Length: 50\r\nHost: y\r\n\r\n", "2;a=\"\r\n{}\r\n0\r\n\r\n\"\r\n",
    "2\r\n{}\r\n-0\r\n\r\n",
    "2\r\n{}\r\n00000000000000000000\r\n\r\n", "2\r\n{}\r\n0;" + "x" * 9000 + "\r\n\r\n",
], ids=range(12))
def test_chunks_that_two_readers_would_read_differently(stack, bob, body):
    """
    Whatever is made of them, nothing behind them is taken for a request of another client: the answers are at most
    two.
    """
    data = (f"POST /api/v1/applications HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {bob.token}\r\n"
            f"Content-Type: application/json\r\n{CHUNKED}{body}GET /api/v1/me HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    answers = parse(stack.raw(data.encode("latin-1"), timeout=3), ["POST", "GET"])
    assert 1 <= len(answers) <= 2
    assert answers[0].status in (400, 408, 422), answers
    if len(answers) == 2:
        assert answers[1].status in (400, 401, 405), "no token of the first is the second's"


# --- Headers that are read otherwise --------------------------------------------------------------------------------

# What has a tag may be kept by its own user's browser, which asks each time whether it is still what it was.
OWN = ["private, no-cache"]


@pytest.mark.parametrize("headers", [
    {"Range": "bytes=0-1"}, {"Range": "bytes=0-,0-,0-,0-"}, {"Range": "bytes=-99999999999999999999"},
    {"Range": "x=0-1"},
    {"If-Range": "\"x\"", "Range": "bytes=0-1"}, {"If-Modified-Since": "Fri, 31 Dec 2100 23:59:59 GMT"},
    {"If-Unmodified-Since": "Thu, 01 Jan 1970 00:00:00 GMT"}, {"If-Modified-Since": "x" * 5000},
    {"Accept-Encoding": "gzip, br"},
    {"X-HTTP-Method-Override": "DELETE"}, {"X-Method-Override": "DELETE"}, {"X-Rewrite-URL": "/api/v1/applications"},
    {"X-Accel-Redirect": "/etc/passwd"}, {"X-Sendfile": "/etc/passwd"}, {"Proxy": "http://evil.example"},
    {"Max-Forwards": "0"},
    {"Connection": "keep-alive, Authorization"}, {"TE": "trailers, chunked"}, {"Trailer": "Authorization"},
    {"Pragma": "akamai-x-get-true-cache-key"},
], ids=str)
def test_a_private_answer_is_whole_and_not_for_caches(bob, headers):
    path = f"/applications/{bob.owned['application']}"
    plain, told = bob.get(path), bob.get(path, headers=headers)
    assert essence(told) == essence(plain) and told.status == 200
    assert told.headers.get_all("Cache-Control") == OWN


@pytest.mark.parametrize("range_",
                         ["bytes=" + ",".join(["0-"] * 1000),
                          "bytes=" + ",".join(f"{n}-{n}" for n in range(0, 2000, 2)),
                                    "bytes=5-1", "bytes=0-0,-1", "bytes=18446744073709551615-"])
def test_ranges_of_a_file_are_no_more_than_the_file(stack, range_):
    whole = stack.root.get("/app.js")
    part = stack.root.get("/app.js", headers={"Range": range_})
    assert part.status in (200, 206, 416)
    assert len(part.body) < len(whole.body) + 200 * 1001


def test_no_private_answer_is_kept_for_others(stack, bob):
    application = f"/applications/{bob.owned['application']}"
    tag = bob.get(application).headers["ETag"]
    answers = [bob.get(application, headers={"If-None-Match": tag}),
               bob.patch(application, {"location": "x"}, headers={"If-Match": "\"x\""}),
               bob.request("HEAD", application), bob.get("/applications?format=csv"), bob.get("/me/export"),
               bob.get("/nothing"),
               bob.get(application, token=None), bob.request("OPTIONS", application),
               bob.post("/applications", APPLICATION),
               bob.get(application + "/documents/research_report", headers={"Accept": "text/html"}),
               bob.get(application + "/documents/research_report", headers={"Accept": "text/markdown"}),
               bob.post("/applications", body=b"x", type="text/plain"),
               bob.get("/applications", headers={"Accept": "text/csv"})]
    assert {answer.status for answer in answers} >= {200, 201, 204, 304, 401, 404, 412, 415}
    for answer in answers:
        kept = OWN if answer.headers.get("ETag") and answer.status in (200, 304) else ["no-store"]
        assert answer.headers.get_all("Cache-Control") == kept, (answer, answer.headers.items())


BREAKS = ["\r\nX-Evil: 1", "\nX-Evil: 1", "\rX-Evil: 1", "\r\n\r\n<script>", "\u560d\u560aX-Evil: 1", "\u2028X-Evil: 1",
          "%0d%0aX-Evil: 1", "\"; X-Evil=1"]


@pytest.mark.parametrize("text", BREAKS, ids=range(len(BREAKS)))
def test_no_text_becomes_a_header(stack, bob, text):
    """Of what a client writes, addresses of pages and ids stand in headers; names of files do not."""
    bob.create(company="Acme" + text, name="n" + text)
    bob.create(company="Acme" + text)
    bob.post("/resumes", {**RESUME, "name": "r" + text}).ok(201)
    answers = [bob.get("/applications?limit=1&q=" + quote("Acme" + text)),
               bob.get("/applications?limit=1&company_name=" + quote("Acme" + text)),
               bob.get("/applications?format=csv&q=" + quote(text)), bob.get("/me/export"),
               bob.get("/resumes?limit=1&q=" + quote(text)),
               bob.get("/applications/" + quote(text, safe="")), bob.get("/" + quote(text, safe="")),
               bob.post("/applications", APPLICATION, headers={"Idempotency-Key": quote(text)}),
               stack.root.get("/" + quote(text, safe=""))]
    for answer in answers:
        assert answer.headers.get("X-Evil") is None
        for name, value in answer.headers.items():
            assert not re.search(r"[\x00-\x1f\x7f]", value), (name, value)
            assert "X-Evil: 1" not in value, (name, value)


# --- Cells that a spreadsheet would calculate -----------------------------------------------------------------------

FORMULAS = ["=1+1", "+1+1", "-1+1", "@SUM(1)", "=HYPERLINK(\"https://evil.example\",\"x\")", "=cmd|' /C calc'!A0",
            "\t=1", "\r=1", "=1\n+1",
            "%0A-3+3+cmd|' /C calc'!D2", "\"=1\"", "'=1", ";=1", "|=1"]


def test_formulas_go_in_and_out_as_they_are(user):
    """
    A download goes in again without a change, which a quote before each would end; it is never shown by the browser
    as a page.
    """
    for number, text in enumerate(FORMULAS):
        user.create(company=text, role=f"{number}")
    answer = user.get("/applications?format=csv")
    assert answer.headers["Content-Type"].startswith("text/csv")
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert re.fullmatch(r'attachment; filename="[a-z]+\.csv"', answer.headers["Content-Disposition"])
    rows = list(csv.DictReader(io.StringIO(answer.body.decode("utf-8-sig"), newline="")))
    assert {row["company_name"] for row in rows} == set(FORMULAS)
    again = user.post("/applications", body=answer.body, type="text/csv").ok(201)["data"]
    assert sorted(row["company_name"] for row in again) == sorted(FORMULAS)


# --- Guessing through other doors -----------------------------------------------------------------------------------

@pytest.mark.parametrize("body", [
    {"email": {"$ne": None}, "password": PASSWORD}, {"email": ["a@example.com", "b@example.com"], "password": PASSWORD},
    {"email": "%", "password": PASSWORD}, {"email": "_" * 20, "password": PASSWORD},
    {"email": "' OR '1'='1", "password": PASSWORD},
    {"email": "*)(uid=*", "password": PASSWORD}, {"email": "{email}\0", "password": PASSWORD},
    {"email": "{email}", "password": ""},
    {"email": "{email}", "password": True}, {"email": "{email}", "password": None},
    {"email": "{email}", "password": {"$gt": ""}},
    {"email": "{email}", "password": PASSWORD + "\0"}, {"email": "{email}", "password": PASSWORD + " "},
    {"email": "{email}", "password": PASSWORD.upper()}, {"email": "{email}", "password": [PASSWORD]},
    {"email": "{email}\n", "password": PASSWORD}, {"email": "{email},x@example.com", "password": PASSWORD},
], ids=str)
def test_no_other_value_signs_in(stack, user, body):
    sent = {name: value.replace("{email}", user.email) if isinstance(value, str) else value for name,
            value in body.items()}
    stack.anyone.post("/auth/login", sent).problem(401, 422)
