"""
The kinds of work: what is sent for each, varying over users and rows, to our API (and to those peers that have the same
paths) and to PostgREST; and what of an answer must be equal.
"""

import json
import os
import re
import sys
import time
from datetime import datetime, timezone

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "e2e"))

import tokens  # noqa: E402
from data import PASSWORD, QUESTIONS, WORDS  # noqa: E402

API = "/api/v1"
LISTED = ("id,user_id,name,company_name,role_title,job_url,location,priority_level,status,research_completed,"
          "resume_optimized,cover_letter_generated,created_at,updated_at")
WHOLE = LISTED.replace("job_url,", "job_url,job_description,")
DOCUMENT = "id,application_id,document_type,content,created_at,updated_at"
ONE_OBJECT = "application/vnd.pgrst.object+json"
HOURS = 6


class Request:
    def __init__(self, method, path, token=None, body=None, accept=None, prefer=None):
        self.method = method
        self.path = path
        self.token = token
        self.body = None if body is None else json.dumps(body).encode()
        self.accept = accept
        self.prefer = prefer

    def headers(self):
        headers = {}
        if self.token:
            headers["Authorization"] = "Bearer " + self.token
        if self.body is not None:
            headers["Content-Type"] = "application/json"
        if self.accept:
            headers["Accept"] = self.accept
        if self.prefer:
            headers["Prefer"] = self.prefer
        return headers

    def raw(self):
        """As HTTP/1.1 has it."""
        headers = {"Host": "127.0.0.1", **self.headers()}
        if self.body is not None:
            headers["Content-Length"] = str(len(self.body))
        head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        return f"{self.method} {self.path} HTTP/1.1\r\n{head}\r\n".encode() + (self.body or b"")


class User:
    def __init__(self, id, email, key, rows):
        self.id = id
        self.email = email
        self.rows = rows  # ids of applications, or of documents
        self.key = key

    @property
    def token(self):
        if not hasattr(self, "_token"):
            self._token = tokens.make(self.key, self.id, claims={"exp": int(time.time()) + HOURS * 3600})
        return self._token


SAMPLE = """
SELECT u.id::text, u.email, ARRAY(SELECT a.id::text FROM public.applications a WHERE a.user_id = u.id{condition}
    ORDER BY md5(a.id::text) LIMIT {rows})
FROM (SELECT id, email FROM public.users WHERE email LIKE '{kind}-%' ORDER BY md5(email) LIMIT {users}) u"""
DOCUMENTS = """
SELECT u.id::text, u.email, ARRAY(SELECT e.document_id::text FROM public.document_embeddings e WHERE e.user_id = u.id
    ORDER BY md5(e.document_id::text) LIMIT 100)
FROM (SELECT id, email FROM public.users WHERE email LIKE 'vector-%') u"""


class Sample:
    """Users and rows that the loads are about: the same, in the same order, for every candidate."""

    def __init__(self, sql, key, users=2000):
        def take(statement):
            return [User(*row[:2], key, row[2]) for row in sql(statement)]
        self.readers = take(SAMPLE.format(kind="reader", users=users, rows=10, condition=""))
        self.owners = take(SAMPLE.format(kind="reader", users=users, rows=5, condition=" AND a.research_completed"))
        self.writers = take(SAMPLE.format(kind="writer", users=users, rows=0, condition=""))
        self.similar = take(DOCUMENTS)


class Work:
    """`users` names those of the sample whom it is about; the volatile members of an answer differ from call to call."""

    name = users = ""
    distinct = 4000  # requests, before they come again
    volatile = ()
    most = 1000000   # connections
    least = 1        # seconds of a load
    writes = False
    trips = True     # whether pgbench can do what a worker asks of the database: one round trip, nothing between

    def items(self, sample):
        """(user, row, number) for each request, going over the users first."""
        users = getattr(sample, self.users)
        for number in range(self.distinct):
            user = users[number % len(users)]
            yield user, user.rows[number // len(users) % len(user.rows)] if user.rows else None, number

    def ours(self, user, row, number):
        raise NotImplementedError

    def postgrest(self, user, row, number):
        """None: PostgREST has no such thing."""
        return None


class One(Work):
    name, users = "one", "readers"

    def ours(self, user, row, number):
        return Request("GET", f"{API}/applications/{row}", user.token)

    def postgrest(self, user, row, number):
        return Request("GET", f"/applications?id=eq.{row}&select={WHOLE}", user.token, accept=ONE_OBJECT)


class List(Work):
    name, users = "list", "readers"

    def ours(self, user, row, number):
        return Request("GET", f"{API}/applications", user.token)

    def postgrest(self, user, row, number):
        return Request("GET", f"/applications?select={LISTED}&order=created_at.desc,id.desc&limit=20", user.token)


class Search(Work):
    name, users, distinct = "search", "readers", 2000

    def ours(self, user, row, number):
        return Request("GET", f"{API}/applications?q={QUESTIONS[number % len(QUESTIONS)]}", user.token)

    def postgrest(self, user, row, number):
        return Request("GET", f"/rpc/search?p6={QUESTIONS[number % len(QUESTIONS)]}&p7=20&p8=0", user.token)


class Create(Work):
    name, users, writes = "create", "writers", True
    volatile = ("id", "created_at", "updated_at")

    def body(self, number):
        return {"company_name": f"Company {number % 500}", "role_title": "Engineer", "name": f"new {number}",
                "job_description": " ".join(WORDS[(number + i) % len(WORDS)] for i in range(75)),
                "job_url": f"https://jobs.example/{number}", "location": "Berlin", "priority_level": "high"}

    def ours(self, user, row, number):
        return Request("POST", f"{API}/applications", user.token, self.body(number))

    def postgrest(self, user, row, number):
        return Request("POST", f"/applications?select={WHOLE}", user.token, self.body(number), ONE_OBJECT,
                       "return=representation")


class Update(Work):
    name, users, writes = "update", "readers", True
    volatile = ("updated_at",)

    def body(self, number):
        return {"priority_level": ("low", "medium", "high")[number % 3], "location": f"Street {number}"}

    def ours(self, user, row, number):
        return Request("PATCH", f"{API}/applications/{row}", user.token, self.body(number))

    def postgrest(self, user, row, number):
        return Request("PATCH", f"/applications?id=eq.{row}&select={WHOLE}", user.token, self.body(number), ONE_OBJECT,
                       "return=representation")


class Document(Work):
    name, users, writes = "document", "owners", True
    volatile = ("updated_at",)

    def body(self, number):
        return {"content": f"# Report {number}\n\n" + " ".join(WORDS[(number + i) % len(WORDS)] for i in range(250))}

    def ours(self, user, row, number):
        return Request("PUT", f"{API}/applications/{row}/documents/research_report", user.token, self.body(number))

    def postgrest(self, user, row, number):
        return Request("PATCH", f"/documents?application_id=eq.{row}&document_type=eq.research_report&select={DOCUMENT}",
                       user.token, self.body(number), ONE_OBJECT, "return=representation")


class Similar(Work):
    name, users, distinct = "similar", "similar", 400

    def ours(self, user, row, number):
        return Request("POST", f"{API}/documents/similar", user.token, {"document_id": row})

    def postgrest(self, user, row, number):
        return Request("GET", f"/rpc/similar?p2={row}&p4=10", user.token)


class Login(Work):
    # Two cores hash some eight passwords a second: more connections than these wait in line, ours until nginx ends it.
    name, users, distinct, most, least, trips = "login", "readers", 400, 4, 5, False
    volatile = ("access_token", "refresh_token")

    def ours(self, user, row, number):
        return Request("POST", f"{API}/auth/login", None, {"email": user.email, "password": PASSWORD})


WORKS = {work.name: work for work in (One(), List(), Search(), Create(), Update(), Document(), Similar(), Login())}

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:?\d\d)")


def canonical(work, value):
    """An answer without what may differ: the order of members, the spelling of times, the last digits of a number."""
    if isinstance(value, dict):
        if set(value) in ({"data"}, {"data", "next"}):
            return canonical(work, value["data"])
        return {name: canonical(work, member) for name, member in sorted(value.items()) if name not in work.volatile}
    if isinstance(value, list):
        return [canonical(work, member) for member in value]
    if isinstance(value, float):
        return float(f"{value:.5g}")
    if isinstance(value, str) and TIME.fullmatch(value):
        # A Date of JavaScript is in milliseconds.
        return datetime.fromisoformat(value.replace("Z", "+00:00")).astimezone(timezone.utc).isoformat()[:23]
    return value
