"""
The connection to the database is cut where it hurts most: COMMIT is done, and its answer is lost. The client is told 503, which
says that it is not known; asking again under the same Idempotency-Key tells what became of it, and does nothing twice.
"""

import os

import pytest

from examples import APPLICATION, DESCRIPTION, RESUME
from proxy import COMMITTED, Proxy
from stack import CLUSTER, Stack, parse_dsn, wait_for

KEY = {"Idempotency-Key": "only-once"}


class Proxied(Stack):
    """The workers reach the database through a proxy."""

    def make_database(self):
        super().make_database()
        server = parse_dsn(CLUSTER)
        os.mkdir(self.path("proxy"))
        self.proxy = Proxy(self.path("proxy"), os.path.join(server["host"], ".s.PGSQL." + server.get("port", "5432")))
        self.conf["database"] = f"host={self.path('proxy')} user=jobforge_app dbname={self.name}"

    def lose(self, answer, function):
        """What `function` returns while this answer of the server is lost."""
        self.proxy.withhold(answer)
        result = function()
        assert self.proxy.cuts == 1, "nothing was lost"
        return result


@pytest.fixture(scope="module")
def stack():
    # The figures of each minute are committed too, and theirs might be the answer that is lost.
    with Proxied(pooled=False, api_workers=1, auth_workers=1, metrics_retention=0) as running:
        running.allow_errors('"event": "database"')
        yield running


def count(stack, user, table="applications"):
    return stack.sql(f"SELECT count(*) FROM public.{table} WHERE user_id = %s", user.id)[0][0]


def test_a_creation_under_a_key_is_done_once_and_told_when_asked_again(stack, user):
    stack.lose(COMMITTED, lambda: user.post("/applications", APPLICATION, headers=KEY)).problem(503)
    assert count(stack, user) == 1, "it was committed"
    again = user.post("/applications", APPLICATION, headers=KEY)
    (id_, created_at), = stack.sql("SELECT id::text, created_at FROM public.applications WHERE user_id = %s", user.id)
    assert again.ok(201)["id"] == id_
    assert user.post("/applications", APPLICATION, headers=KEY).body == again.body
    assert again.headers["Location"] == "/api/v1/applications/" + id_
    assert count(stack, user) == 1


def test_many_at_once_under_a_key_too(stack, user):
    many = [{**APPLICATION, "company_name": f"Company {number}"} for number in range(20)]
    stack.lose(COMMITTED, lambda: user.post("/applications", many, headers=KEY)).problem(503)
    again = user.post("/applications", many, headers=KEY).ok(201)["data"]
    assert len({row["id"] for row in again}) == 20 and count(stack, user) == 20


def test_even_when_the_second_answer_is_lost_as_well(stack, user):
    stack.lose(COMMITTED, lambda: user.post("/resumes", RESUME, headers=KEY)).problem(503)
    # The repetition commits nothing: the database refuses it as one.
    stack.lose(b"JF001", lambda: user.post("/resumes", RESUME, headers=KEY)).problem(503)
    user.post("/resumes", RESUME, headers=KEY).ok(201)
    assert count(stack, user, "user_resumes") == 1


def test_what_may_be_repeated_needs_no_key(stack, user):
    id_ = user.create()["id"]
    path = f"/applications/{id_}/documents/research_report"
    stack.lose(COMMITTED, lambda: user.put(path, {"content": DESCRIPTION})).problem(503)
    assert user.put(path, {"content": DESCRIPTION}).status in (200, 201)
    assert count(stack, user, "documents") == 1
    assert user.get("/applications/" + id_).ok()["research_completed"] is True
    stack.lose(COMMITTED, lambda: user.delete("/applications/" + id_)).problem(503)
    user.delete("/applications/" + id_).problem(404)
    assert count(stack, user) == 0


def test_a_read_whose_answer_is_lost_is_answered_all_the_same(stack, user):
    user.create(company="The one")
    answer = stack.lose(b"The one", lambda: user.get("/applications"))
    assert [row["company_name"] for row in answer.ok()["data"]] == ["The one"]


def test_while_the_database_takes_no_connection_it_is_503_and_afterwards_all_is_well(stack, user):
    user.post("/applications", APPLICATION, headers=KEY).ok(201)
    stack.proxy.close()
    user.get("/me").problem(503)
    user.post("/applications", APPLICATION, headers=KEY).problem(503)
    assert stack.root.get("/healthz").status == 200 and stack.root.get("/readyz").status == 503
    stack.proxy.open()
    wait_for(lambda: stack.root.get("/readyz").status == 200, 10, "ready again")
    user.post("/applications", APPLICATION, headers=KEY).ok(201)
    assert count(stack, user) == 1
