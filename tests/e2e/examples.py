"""
One line for each endpoint: what a request to it looks like. The tests that are generated from the route table take it
from here, and an endpoint without a line fails them.

`body` is a valid body (None: the endpoint takes none), `query` a valid query, `ids` where the ids in the path come
from: a key of `owned()`, and `words` what else stands in the path. `secret` bodies name a session of the user that sends
them. A `streamed` body is looked at piece by piece: it has tests of its own for what is wrong with it.
"""

import re

from stack import PASSWORD

DESCRIPTION = "A position of which this text is the description, long enough to be one."
APPLICATION = {"company_name": "Acme", "role_title": "Engineer", "job_description": DESCRIPTION, "name": "acme 1",
               "job_url": "https://example.com/1", "location": "Berlin", "priority_level": "high"}

DOCUMENT = {"ids": {"id": "application"}, "words": {"document_type": "research_report"}}
RESUME = {"name": "General", "content": "What was done, where, and how well, in more than a hundred characters. " * 2,
          "focus_area": "management", "is_primary": True}
EMBEDDING = [1, -0.5, 1e-3] + [0.25] * 1533
EXPORT = {"format": "jobforge-export", "version": 1, "exported_at": "2026-01-31T12:00:00.000000Z", "user": {},
          "resumes": [], "applications": [], "documents": [], "embeddings": []}

EXAMPLES = {
    "POST /auth/register": {"body": lambda user: {"email": "x-" + user.email, "password": PASSWORD, "full_name": "X Y",
                                                  "cookie": False}},
    "POST /auth/login": {"body": lambda user: {"email": user.email, "password": PASSWORD, "cookie": False}},
    "POST /auth/refresh": {"body": lambda user: {"refresh_token": user.refresh_token}},
    "POST /auth/logout": {"body": lambda user: {"refresh_token": user.refresh_token}},
    "POST /me/password": {"body": lambda user: {"current_password": PASSWORD, "new_password": "another password"}},
    "GET /me": {},
    "PATCH /me": {"body": lambda user: {"email": "y-" + user.email, "full_name": "Another Name"}},
    "DELETE /me": {"body": lambda user: {"password": PASSWORD}},
    "GET /applications": {"query": "?limit=100&count=exact"},
    "POST /applications": {"body": lambda user: APPLICATION},
    "GET /applications/{id}": {"ids": {"id": "application"}, "query": "?include=documents"},
    "PATCH /applications/{id}": {"ids": {"id": "application"}, "body": lambda user: APPLICATION},
    "DELETE /applications/{id}": {"ids": {"id": "application"}},
    "GET /applications/{id}/documents": {"ids": {"id": "application"}, "query": "?limit=2&count=exact"},
    "GET /applications/{id}/documents/{document_type}": DOCUMENT,
    "PUT /applications/{id}/documents/{document_type}": {**DOCUMENT, "body": lambda user: {"content": DESCRIPTION}},
    "DELETE /applications/{id}/documents/{document_type}": DOCUMENT,
    "GET /applications/{id}/documents/{document_type}/embedding": DOCUMENT,
    "PUT /applications/{id}/documents/{document_type}/embedding": {**DOCUMENT,
                                                                   "body": lambda user: {"embedding": EMBEDDING}},
    "DELETE /applications/{id}/documents/{document_type}/embedding": DOCUMENT,
    "POST /documents/similar": {"body": lambda user: {"embedding": EMBEDDING, "limit": 50}},
    "GET /documents": {"query": "?q=Secret&document_type=research_report&count=exact"},
    "GET /resumes": {"query": "?q=Secret&focus_area=other&count=exact"},
    "POST /resumes": {"body": lambda user: RESUME},
    "GET /resumes/{id}": {"ids": {"id": "resume"}},
    "PATCH /resumes/{id}": {"ids": {"id": "resume"}, "body": lambda user: RESUME},
    "DELETE /resumes/{id}": {"ids": {"id": "resume"}},
    "GET /me/export": {},
    "POST /me/import": {"body": lambda user: {**EXPORT, "user": user.get("/me").json()}, "streamed": True},
    "GET /usage": {"query": "?count=exact"},
    "GET /subscription": {},
    "GET /audit-log": {"query": "?table_name=applications&action=insert&action=update&count=exact"},
    "GET /healthz": {},
    "GET /readyz": {},
    "GET /openapi.json": {},
    "GET /metrics": {},
}


def owned(user):
    """Gives the user a row of everything that an id in a path may name; the ids by their name in EXAMPLES."""
    application = user.create("Secret Company of " + user.email, "Secret Role of " + user.email,
                              location="Secret Place of " + user.email)
    document = user.put(f"/applications/{application['id']}/documents/research_report",
                        {"content": "Secret report of " + user.email}).ok(201)
    user.put(f"/applications/{application['id']}/documents/research_report/embedding", {"embedding": EMBEDDING}).ok(201)
    resume = user.post("/resumes", {**RESUME, "name": "Secret Resume of " + user.email,
                                    "content": "Secret " * 20 + "of " + user.email}).ok(201)
    return {"application": application["id"], "document": document["id"], "resume": resume["id"]}


def fill(path, line, ids):
    """Puts ids into a path: ids(kind) for each {name}, whose kind its line in EXAMPLES tells."""
    words = line.get("words", {})
    return re.sub(r"\{(\w+)\}", lambda match: words.get(match[1]) or ids(line["ids"][match[1]]), path)
