"""The rules that hold everywhere: what is refused, how, and that nothing has changed afterwards."""

import http.client
import json
import random
import re
import socket
import time
from urllib.parse import quote

import pytest

from examples import APPLICATION, EXAMPLES, fill, owned
from stack import NO_SUCH_ID, PASSWORD, REQUEST_ID, Client, together

OPTIONS = {"login_attempts": 1000}
BODIES = sorted(route for route, example in EXAMPLES.items() if "body" in example and "streamed" not in example)
SECRET_KEYS = {"password", "current_password", "new_password", "refresh_token"}


@pytest.fixture(scope="module")
def owner(stack):
    """A user with one application: the requests of this file that are refused leave both as they are."""
    user = stack.user()
    user.owned = owned(user)
    user.application = user.owned["application"]
    return user


def call(client, route, query="", **options):
    """Sends a request to a route as EXAMPLES names it, with the ids of the owner's rows."""
    method, path = route.split(" ")
    path = fill(path, EXAMPLES[route], lambda kind: client.owned[kind]) + query
    if path.split("?")[0].endswith("z"):
        client = Client(client.stack, base="", token=client.token)
    return client.request(method, path, **options)


# --- Syntax ---------------------------------------------------------------------------------------------------------

NOT_JSON = {
    "empty": b"",
    "blank": b" \n\t",
    "word": b"nonsense",
    "open": b"{",
    "unclosed text": b'{"company_name": "x',
    "single quotes": b"{'company_name': 'x'}",
    "trailing comma": b'{"company_name": "x",}',
    "leading comma": b'{,"company_name": "x"}',
    "missing colon": b'{"company_name" "x"}',
    "no quotes at a key": b'{company_name: "x"}',
    "number as key": b'{1: "x"}',
    "comment": b'{"company_name": "x" /* no */}',
    "trailing bytes": b'{"company_name": "x"} x',
    "two documents": b'{"company_name": "x"}{}',
    "trailing nul": b'{"company_name": "x"}\0',
    "byte order mark": b'\xef\xbb\xbf{"company_name": "x"}',
    "UTF-16": '{"company_name": "x"}'.encode("utf-16-le"),
    "NaN": b'{"location": NaN}',
    "Infinity": b'{"location": Infinity}',
    "leading zero": b'{"location": 01}',
    "plus sign": b'{"location": +1}',
    "bare point": b'{"location": 1.}',
    "hexadecimal": b'{"location": 0x10}',
    "True": b'{"location": True}',
    "nul byte in text": b'{"location": "a\0b"}',
    "control character": b'{"location": "a\x01b"}',
    "raw newline": b'{"location": "a\nb"}',
    "bad escape": b'{"location": "\\x41"}',
    "short escape": b'{"location": "\\u00"}',
    "lone surrogate": b'{"location": "\\ud800"}',
    "lone low surrogate": b'{"location": "\\udc00"}',
    "surrogates swapped": b'{"location": "\\udc00\\ud800"}',
    "surrogate and letter": b'{"location": "\\ud800x"}',
    "lone surrogate in a key": b'{"\\ud800": 1}',
    "not UTF-8": b'{"location": "\xff"}',
    "Latin-1": '{"location": "Köln"}'.encode("latin-1"),
    "over-long": b'{"location": "\xc0\xaf"}',
    "over-long of three": b'{"location": "\xe0\x80\xaf"}',
    "encoded surrogate": b'{"location": "\xed\xa0\x80"}',
    "above U+10FFFF": b'{"location": "\xf4\x90\x80\x80"}',
    "cut sequence": b'{"location": "\xe2\x82"}',
    "cut at the end": b'{"location": "\xe2\x82',
    "deep array": b"[" * 33 + b"]" * 33,
    "deep object": b'{"a":' * 33 + b"1" + b"}" * 33,
    "very deep": b"[" * 100_000,
}


@pytest.mark.parametrize("body", NOT_JSON.values(), ids=NOT_JSON.keys())
def test_what_is_no_json_is_400(stack, owner, body, unchanged):
    for route in ("POST /applications", "PATCH /applications/{id}", "PATCH /me", "POST /auth/login",
                  "POST /me/password", "DELETE /me"):
        small = route in ("POST /auth/login", "POST /me/password", "DELETE /me")
        call(owner, route, body=body).problem(*((400, 413) if small and len(body) > 65536 else (400,)))


@pytest.mark.parametrize("route", BODIES)
def test_body_must_be_json(stack, owner, route, unchanged):
    body = json.dumps(EXAMPLES[route]["body"](owner)).encode()
    for type_ in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "text/json",
                  "application/jsonx", "application/json; charset=latin1", "application/json; charset=utf-16", "json",
                  None):
        call(owner, route, body=body, type=type_).problem(415)


@pytest.mark.parametrize("type_", ["application/json", "Application/JSON", "application/json; charset=utf-8",
                                   "application/json;charset=UTF-8", 'application/json; charset="utf-8"'])
def test_json_media_types_are_taken(user, type_):
    user.post("/applications", APPLICATION, type=type_).ok(201)


# --- Size -----------------------------------------------------------------------------------------------------------

def padded(value, size):
    """A JSON object of exactly `size` bytes."""
    text = json.dumps(value).encode()
    return text[:-1] + b" " * (size - len(text)) + b"}"


@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
def test_body_up_to_1_mib(stack, user, chunked):
    user.post("/applications", body=padded(APPLICATION, 1 << 20), chunked=chunked).ok(201)
    before = stack.snapshot()
    for size in ((1 << 20) + 1, 3 << 20):
        try:
            user.post("/applications", body=padded(APPLICATION, size), chunked=chunked).problem(413)
        except (BrokenPipeError, ConnectionResetError):
            pass  # nginx may stop reading what it has refused; the answer is then lost to this client
    assert stack.snapshot() == before


def test_body_that_is_too_large_leaves_the_connection_to_the_next(user):
    for size in ((1 << 20) + 1, 3 << 20, 15 << 20):
        for _ in range(3):
            user.post("/applications", body=padded(APPLICATION, size)).problem(413)
            user.post("/applications", APPLICATION).ok(201)


@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
def test_auth_body_up_to_64_kib(stack, user, chunked):
    body = {"email": user.email, "password": PASSWORD}
    stack.anyone.post("/auth/login", body=padded(body, 1 << 16), chunked=chunked).ok()
    before = stack.snapshot()
    for size in ((1 << 16) + 1, 1 << 18):
        stack.anyone.post("/auth/login", body=padded(body, size), chunked=chunked).problem(413)
    assert stack.snapshot() == before


def test_declared_size_is_refused_before_it_is_sent(stack, owner):
    answer = stack.exchange((f"POST /api/v1/applications HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {owner.token}\r\n"
                             "Content-Type: application/json\r\nContent-Length: 99999999999\r\n\r\n").encode(), "POST")
    answer.problem(413)


def fields_at_fault(answer):
    """The fields with a fault, where one of an embedding is at its element."""
    return [re.sub(r"^(/embedding)/\d+$", r"\1", pointer) for pointer in answer.faults()]


# --- Fields ---------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("route", BODIES)
def test_unknown_fields_are_refused(stack, owner, route, unchanged):
    body = EXAMPLES[route]["body"](owner)
    for field in ("unknown", "ID", "is_admin", "__proto__", "$where", "user.id", "ü"):
        assert call(owner, route, json={**body, field: 1}).faults() == ["/" + field]


@pytest.mark.parametrize("route", BODIES)
def test_wrong_types_are_refused_for_every_field(stack, owner, route, unchanged):
    body = EXAMPLES[route]["body"](owner)
    for field, good in body.items():
        wrong = [[], {}, [good], {"a": good}] + (["true"] if isinstance(good, bool) else [True, False])
        wrong += ["1", 1.5] if type(good) is int else [1, 1.5, -1, 10 ** 30]
        for value in wrong:
            assert fields_at_fault(call(owner, route, json={**body, field: value})) == ["/" + field], (field, value)


@pytest.mark.parametrize("route", BODIES)
def test_nul_is_refused_in_every_text(stack, owner, route, unchanged):
    body = EXAMPLES[route]["body"](owner)
    for field, good in body.items():
        if isinstance(good, str):
            for text in ("\0", "\0" + good, good + "\0", good[:3] + "\0" + good[3:]):
                answer = call(owner, route, json={**body, field: text})
                assert answer.faults() == ["/" + field], (field, text)


@pytest.mark.parametrize("route", BODIES)
def test_10000_characters_are_refused_in_every_name(stack, owner, route, unchanged):
    body = EXAMPLES[route]["body"](owner)
    for field, good in body.items():
        if isinstance(good, str) and field not in ("job_description", "job_url", "content"):
            for text in ("n" * 10_000, "名" * 10_000):
                answer = call(owner, route, json={**body, field: text})
                if field in SECRET_KEYS:
                    answer.problem(401, 403, 422)
                else:
                    assert answer.faults() == ["/" + field]


@pytest.mark.parametrize("route", BODIES)
def test_all_faults_are_listed_at_once(stack, owner, route, unchanged):
    body = {field: [] for field in EXAMPLES[route]["body"](owner)}
    assert fields_at_fault(call(owner, route, json={**body, "x": 1, "y": 2})) == sorted(
        "/" + field for field in [*body, "x", "y"])


@pytest.mark.parametrize("route", BODIES)
def test_body_must_be_an_object(stack, owner, route, unchanged):
    for value in ("x", 5, True, None, 1.5, [5], [[]]):
        call(owner, route, json=value).problem(400, 422)


def test_repeated_key_the_last_one_counts(user):
    body = json.dumps(APPLICATION)[:-1] + ', "location": "first", "location": "last"}'
    assert user.post("/applications", body=body.encode()).ok(201)["location"] == "last"
    bad = json.dumps(APPLICATION)[:-1] + ', "location": "fine", "location": 5}'
    assert user.post("/applications", body=bad.encode()).faults() == ["/location"]


INJECTIONS = ["'; DROP TABLE public.applications; --", "' OR '1'='1", "\\'; SELECT pg_sleep(5); --", "$1", "$$x$$",
              "%s %d %n", "{}{0}", "${x}", "NULL", "null", "\\N", "E'\\\\x00'", "\"x\"", "`id`", "a\\", "--", "/*", ";",
              "<script>alert(1)</script>", "../../etc/passwd", "\u202e", "'||(SELECT password_hash FROM users)||'"]


@pytest.mark.parametrize("text", INJECTIONS, ids=range(len(INJECTIONS)))
def test_sql_is_stored_as_it_is_in_every_field(user, text):
    fields = {"company_name": text, "role_title": text, "name": text, "location": text, "job_description": text * 60,
              "job_url": "https://x/" + re.sub(r"\s", "+", text)}
    row = user.create(**{"company": text, "role": text}, **{key: fields[key] for key in (
        "name", "location", "job_description", "job_url")})
    assert {key: row[key] for key in fields} == fields
    assert user.get("/applications/" + row["id"]).ok() == row
    row = user.patch("/applications/" + row["id"], fields).ok()
    assert {key: row[key] for key in fields} == fields
    assert user.patch("/me", {"full_name": text}).ok()["full_name"] == text


@pytest.mark.parametrize("text", INJECTIONS, ids=range(len(INJECTIONS)))
def test_sql_is_harmless_in_queries_and_credentials(stack, owner, text, unchanged):
    for name in ("q", "company_name"):
        owner.get(f"/applications?{name}=" + quote(text)).ok()
    for name in ("sort", "status", "priority_level", "limit", "offset", "cursor", "created_after", "count"):
        owner.get(f"/applications?{name}=" + quote(text)).problem(400)
    owner.get("/applications/" + quote(text, safe="")).problem(400, 404)
    stack.anyone.post("/auth/login", {"email": text, "password": text}).problem(401, 422)
    stack.anyone.post("/auth/refresh", {"refresh_token": text}).problem(401, 422)
    stack.anyone.get("/me", headers={"Authorization": "Bearer " + quote(text)}).problem(401)
    owner.post("/applications", {**APPLICATION, "company_name": ""}, headers={
        "Idempotency-Key": re.sub(r"[^!-~]", "x", text)}).problem(422)
    owner.patch("/applications/" + owner.application, {"location": "x"}, headers={
        "If-Match": '"' + re.sub(r"[^!#-~]", "x", text) + '"'}).problem(412)


# --- Query and path -------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("route", sorted(EXAMPLES))
def test_unknown_and_repeated_query_parameters_are_400(stack, owner, route, unchanged):
    example = EXAMPLES[route]
    for query in ("?unknown=1", "?%00=1", "?x=%ff", "?%zz", "?" + "&".join(f"x{index}=1" for index in range(100))):
        options = {"json": example["body"](owner)} if "body" in example else {}
        answer = call(owner, route, query, **options)
        if route.endswith("z"):
            assert answer.status in (200, 400)  # a monitor may add what it likes
        elif route == "GET /metrics":
            answer.problem(400, 404)  # which is there on the plain listener alone
        else:
            answer.problem(400)


@pytest.mark.parametrize("path", ["/nothing", "", "/", "/applicationsx", "/applications/", "/applications//", "/Me",
                                  f"/applications/{NO_SUCH_ID}/", f"/applications/{NO_SUCH_ID}/nothing", "/auth",
                                  "/auth/", "/auth/nothing", "/me/", "/me/nothing", "/applications/%20", "/me%00",
                                  "/me%2f", "/me%0a", "/me;x=1", "/me/../nothing", "/.", "/index.html"])
def test_unknown_path_is_404_problem(stack, owner, path, unchanged):
    for method in ("GET", "POST", "DELETE"):
        for client in (owner, stack.anyone):
            allowed = {404} if "%" not in path else {400, 404}
            allowed |= {401, 405} if path == "/applications/%20" else set()  # the id of an application, if an odd one
            client.request(method, path).problem(*allowed)


@pytest.mark.parametrize("path", ["/api", "/api/", "/api/v2/me", "/api/v1", "/api/v11/me", "/api/nothing"])
def test_unknown_version_is_404_problem(stack, path):
    stack.root.get(path).problem(404)


@pytest.mark.parametrize("path", ["//api/v1/me", "/api//v1/me", "/api/v1//me", "/api/v1/./me", "/api/v1/x/../me",
                                  "/api/v1/x/%2e%2e/me", "/api/v1/%6de", "/%61pi/v1/me", "/api/v1/me/.",
                                  "/api/v1/auth/../me",
                                  "/api/v1/auth/%2e%2e/me", "/api/v1/auth/..%2fme", "/api/v1%2fme", "/api%2fv1%2fme",
                                  "/api/v1/applications/..%2fme", "/api/v1/..%2f..%2fme", "/api/v1\\me",
                                  "/api/v1/applications/%2e%2e%2f%2e%2e%2fme", "/api/v1/me%23x", "/api/v1/me%3fx=1",
                                  "/api/v1/%e2%80%ae", "/api/v1/%c0%ae%c0%ae/me"])
def test_odd_spelling_of_a_path_opens_nothing(stack, owner, path, unchanged):
    """Spellings that nginx normalises may reach the endpoint that they name; none passes without the token."""
    plain = Client(stack, base="")
    answers = [plain.get(path), plain.get(path, token=owner.token)]
    if answers[0].status == 200:
        # The path led out of the API: a page, the same for everybody.
        assert all(answer.headers["Content-Type"].startswith("text/html") for answer in answers), answers
        assert answers[0].body == answers[1].body
        return
    answers[0].problem(400, 401, 404)
    if answers[1].status == 200:
        assert answers[1].ok()["id"] == owner.id
    else:
        answers[1].problem(400, 404)


# --- Chance -----------------------------------------------------------------------------------------------------------

class Chance:
    """Values that are nearly right, or not at all; the same ones in every run."""

    TEXTS = ["", " ", "a", "\0", "'", "\"", "\\", "%", "é", "日本", "😀", "\u202e", "null", "1", "true", "x" * 300, "y" * 5000,
             "a@example.com", "https://example.com/", "2026-01-01T00:00:00Z", NO_SUCH_ID, "high", "draft", "\ud7ff\uffff",
             "\n", "\x7f", "-1", "1e9", "{}", "[]", "A" * 43]
    NUMBERS = [0, -1, 1, 1.5, 10 ** 18, 10 ** 19, 10 ** 400, 1e308, -0.0]

    def __init__(self, seed):
        self.random = random.Random(seed)

    def value(self, depth=0):
        kind = self.random.randrange(8 if depth < 3 else 5)
        if kind < 3:
            return self.random.choice(self.TEXTS)
        if kind < 5:
            return self.random.choice([*self.NUMBERS, None, True, False])
        if kind < 7:
            return [self.value(depth + 1) for _ in range(self.random.randrange(4))]
        return {self.random.choice(self.TEXTS): self.value(depth + 1) for _ in range(self.random.randrange(4))}

    def body(self, good):
        """A valid body of which some members are changed, dropped or added, and sometimes bytes of its text."""
        body = {key: self.value() if self.random.random() < 0.3 else value for key, value in good.items()
                if self.random.random() < 0.9}
        if self.random.random() < 0.2:
            body[self.random.choice(self.TEXTS)] = self.value()
        text = json.dumps(body, ensure_ascii=self.random.random() < 0.5).encode("utf-8", "surrogatepass")
        if self.random.random() < 0.3:
            data = bytearray(text)
            for _ in range(self.random.randrange(1, 4)):
                data[self.random.randrange(len(data))] = self.random.randrange(256)
            text = bytes(data)
        return text


@pytest.mark.parametrize("seed", range(4))
def test_chance_never_breaks_the_server(stack, seed):
    """Whatever comes, the answer is one of the contract's, and the other requests go on."""
    chance = Chance(seed)
    user = stack.user()
    user.owned = owned(user)
    bystander = stack.user()
    routes = [route for route in sorted(EXAMPLES) if route not in ("DELETE /me", "DELETE /applications/{id}")]
    for _ in range(150):
        route = chance.random.choice(routes)
        options = {"headers": {}}
        if "body" in EXAMPLES[route]:
            options["body"] = chance.body(EXAMPLES[route]["body"](user))
        for header in ("If-Match", "If-None-Match", "Idempotency-Key", "Accept", "Cookie", "X-Requested-With"):
            if chance.random.random() < 0.15:
                text = re.sub(r"[\r\n\0]", "", chance.random.choice(Chance.TEXTS)).encode().decode("latin-1")
                options["headers"][header] = text
        query = ""
        if chance.random.random() < 0.2:
            names = ("limit", "offset", "cursor", "sort", "q", "status", "count", "include", "x", "company_name")
            query = "?" + "&".join(f"{chance.random.choice(names)}={quote(chance.random.choice(Chance.TEXTS)[:300])}"
                                   for _ in range(chance.random.randrange(1, 4)))
        answer = call(user, route, query, **options)
        assert answer.status < 500, (route, options, query, answer)
        if answer.status >= 400:
            answer.problem(answer.status)
    assert bystander.get("/me").ok()["id"] == bystander.id


def test_changes_at_once_never_break_the_server(stack):
    """Eight clients of one user change, read and delete the same rows: every answer is one of the contract's."""
    user = stack.user()
    rows = [user.create()["id"] for _ in range(3)]

    def run(index):
        chance, answers = random.Random(index), []
        for _ in range(25):
            path = "/applications/" + chance.choice(rows)
            answers.append(chance.choice([
                lambda: user.patch(path, {"location": str(index)}), lambda: user.get(path),
                lambda: user.get("/applications?count=exact"), lambda: user.patch("/me", {"full_name": f"N {index}"}),
                lambda: user.create_many([{}] * 3) and user.get("/me"),
                lambda: user.delete(path) if chance.random() < 0.05 else user.get(path + "?include=documents"),
            ])())
        return answers
    for answers in together(8, run):
        for answer in answers:
            assert answer.status in (200, 204, 404), answer


# --- Every answer ---------------------------------------------------------------------------------------------------

def test_every_error_is_a_problem(stack, owner):
    """Every status that the contract names, in one place: Response.problem() looks at all members of each."""
    etag = owner.get("/applications/" + owner.application).headers["ETag"]
    answers = {
        400: owner.get("/applications?limit=x"), 401: stack.anyone.get("/me"), 404: owner.get("/nothing"),
        405: owner.put("/me"), 409: stack.anyone.post("/auth/register", {
            "email": owner.email, "password": PASSWORD, "full_name": "x"}),
        412: owner.patch("/applications/" + owner.application, {"location": "x"},
                         headers={"If-Match": etag[:-2] + '_"'}),
        413: stack.anyone.post("/auth/login", body=b"x" * 70_000),
        415: owner.post("/applications", body=b"x", type="text/plain"),
        422: owner.post("/applications", {}),
    }
    titles = {}
    for status, answer in answers.items():
        problem = answer.problem(status)
        titles[problem["type"]] = problem["title"]
        assert ("errors" in problem) == (status == 422)
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert len(titles) == len(answers)
    assert len({answer.headers["X-Request-Id"] for answer in answers.values()}) == len(answers)


def test_request_id_is_the_servers_own(stack, owner):
    """A client's own X-Request-Id must not put text of its choice into log and answer unchecked."""
    for sent in ("x" * 5000, "a b", "{}", "'\"", "short"):
        answer = owner.get("/me", headers={"X-Request-Id": sent})
        answer.ok()
        assert REQUEST_ID.fullmatch(answer.headers["X-Request-Id"]) and answer.headers["X-Request-Id"] != sent
        assert len(answer.headers.get_all("X-Request-Id")) == 1


def test_answers_are_not_stored_by_caches(stack, owner):
    for answer in (owner.get("/me"), owner.get("/applications"), stack.anyone.get("/me")):
        assert "private" in (answer.headers.get("Cache-Control") or "") or "no-store" in answer.headers["Cache-Control"]


def test_errors_show_nothing_of_the_server(stack, owner):
    for answer in (owner.get("/nothing"), owner.get("/me"), stack.root.get("/api/%zz"), stack.root.get("/nothing")):
        headers = str(answer.headers).lower()
        assert "x-powered-by" not in headers
        assert not re.search(r"server: nginx/\d", headers)
        assert b"nginx/" not in answer.body


# --- Transfer -------------------------------------------------------------------------------------------------------

def raw(owner, method, path, *headers, body=b"", version="1.1"):
    lines = [f"{method} /api/v1{path} HTTP/{version}", "Host: localhost", f"Authorization: Bearer {owner.token}",
             *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def test_chunked_body(user):
    assert user.post("/applications", body=json.dumps(APPLICATION).encode() + b" " * 5000, chunked=True
                     ).ok(201)["company_name"] == "Acme"


def test_body_in_single_bytes(stack, user):
    """A slow client costs nothing but nginx's patience; the worker sees the whole body."""
    body = json.dumps({"location": "Köln"}).encode()
    path = "/applications/" + user.create()["id"]
    request = raw(user, "PATCH", path, "Content-Type: application/json", f"Content-Length: {len(body)}", body=body)
    with socket.create_connection(("127.0.0.1", stack.http_port), 10) as sock:
        for index in range(0, len(request), 7):
            sock.sendall(request[index:index + 7])
            time.sleep(0.002)
        answer = http.client.HTTPResponse(sock)
        answer.begin()
        assert answer.status == 200 and json.loads(answer.read())["location"] == "Köln"


def test_http_1_0(stack, owner):
    answer = stack.exchange(raw(owner, "GET", "/me", version="1.0"))
    assert answer.status == 200 and answer.json()["id"] == owner.id
    assert answer.headers.get("Transfer-Encoding") is None


def test_expect_100_continue(stack, user):
    body = json.dumps(APPLICATION).encode()
    received = stack.raw(raw(user, "POST", "/applications", "Content-Type: application/json", "Expect: 100-continue",
                             "Connection: close", f"Content-Length: {len(body)}", body=body))
    assert received.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 "), received[:200]


def test_pipelined_requests(stack, owner):
    request = raw(owner, "GET", "/me")
    received = stack.raw(request * 4 + raw(owner, "GET", "/me", "Connection: close"))
    assert received.count(b"HTTP/1.1 200 OK") == 5 and received.count(b'{"id":"' + owner.id.encode()) == 5


def test_body_on_get_is_ignored(owner):
    for body in (b"x", b"{}", b"[" * 1000):
        assert owner.get("/me", body=body).status in (200, 400)
        assert owner.get("/me").ok()["id"] == owner.id


def test_conditions_that_do_not_apply_are_ignored(owner):
    for headers in ({"If-Modified-Since": "Thu, 01 Jan 2099 00:00:00 GMT"}, {"Range": "bytes=0-3"},
                    {"If-Unmodified-Since": "Thu, 01 Jan 1970 00:00:00 GMT"}, {"If-Range": '"x"', "Range": "bytes=0-3"},
                    {"Accept": "text/html"}, {"Accept-Encoding": "br;q=1, *;q=0"}):
        assert owner.get("/applications/" + owner.application, headers=headers).status in (200, 406), headers


def test_length_shorter_or_longer_than_the_body(stack, user):
    before = stack.snapshot()
    body = json.dumps(APPLICATION).encode()
    short = stack.raw(raw(user, "POST", "/applications", "Content-Type: application/json", "Connection: close",
                          f"Content-Length: {len(body) - 5}", body=body))
    assert short.startswith(b"HTTP/1.1 400 ")
    with socket.create_connection(("127.0.0.1", stack.http_port), 1) as sock:
        sock.sendall(raw(user, "POST", "/applications", "Content-Type: application/json", "Connection: close",
                         f"Content-Length: {len(body) + 5}", body=body))
        with pytest.raises(socket.timeout):
            sock.recv(1)
        assert stack.snapshot() == before
        sock.settimeout(20)
        sock.sendall(b" " * 5)
        assert sock.recv(100).startswith(b"HTTP/1.1 201 "), "the rest was waited for"


def test_client_that_leaves_early_harms_nobody(stack, owner):
    for _ in range(20):
        with socket.create_connection(("127.0.0.1", stack.http_port), 5) as sock:
            sock.sendall(raw(owner, "GET", "/applications"))
    for _ in range(20):
        owner.get("/applications").ok()
