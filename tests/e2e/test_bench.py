"""
The bench itself: it measures what it says, on data that is what it says, and fails when a peer answers other rows than we
do. How fast anything is decides nothing here.
"""

import json
import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from stack import CLUSTER, PLAIN_BUILD, SOURCE

BENCH = os.path.join(SOURCE, "tests", "bench")
sys.path.insert(0, BENCH)

import candidates  # noqa: E402
import check  # noqa: E402
import data  # noqa: E402
import promises  # noqa: E402
import stack as product  # noqa: E402
from passwords import password_hash  # noqa: E402
from wire import Bind, Script  # noqa: E402
from work import WORKS, Sample, canonical  # noqa: E402

USERS, APPLICATIONS = 30, 25


class Shared:
    """As much of a run as the candidates here need."""

    def __init__(self, service, sample=None):
        self.service = service
        self.sample = sample


@pytest.fixture(scope="module")
def service():
    with candidates.Service() as service:
        data.make(candidates.product.conninfo(service.name), USERS, APPLICATIONS, 1, password_hash(data.PASSWORD, 4))
        yield service


@pytest.fixture(scope="module")
def sample(service):
    return Sample(service.sql, service.keys[0])


# ---- the data ----

def test_data_is_as_many_as_asked_for(service):
    counts = dict(service.sql("SELECT split_part(u.email, '-', 1), count(*) FROM public.users u"
                              " JOIN public.applications a ON a.user_id = u.id GROUP BY 1"))
    assert counts == {"reader": USERS * APPLICATIONS, "writer": data.WRITERS * APPLICATIONS, "vector": 334}
    assert service.sql("SELECT count(*) FROM public.document_embeddings") == [(data.VECTORS,)]
    assert service.sql("SELECT count(DISTINCT embedding) FROM public.document_embeddings") == [(data.VECTORS,)]


def test_data_keeps_what_was_not_checked_while_it_was_made(service):
    """Without triggers and foreign keys: phases follow from documents, rows belong to users."""
    assert service.sql("SELECT count(*) FROM public.applications a WHERE NOT EXISTS"
                       " (SELECT FROM public.users u WHERE u.id = a.user_id)") == [(0,)]
    assert service.sql("SELECT count(*) FROM public.documents d WHERE NOT EXISTS"
                       " (SELECT FROM public.applications a WHERE (a.id, a.user_id) = (d.application_id, d.user_id))") == [(0,)]
    assert service.sql("""
        SELECT count(*) FROM public.applications a LEFT JOIN (SELECT application_id, array_agg(document_type::text
            ORDER BY document_type) AS types FROM public.documents GROUP BY 1) d ON d.application_id = a.id
        WHERE (a.status::text, a.research_completed, a.resume_optimized, a.cover_letter_generated) IS DISTINCT FROM (CASE
            WHEN d.types IS NULL THEN 'draft' WHEN d.types = '{research_report}' THEN 'research_complete'
            ELSE 'cover_letter_ready' END, 'research_report' = ANY (coalesce(d.types, '{}')),
            'optimized_resume' = ANY (coalesce(d.types, '{}')), 'cover_letter' = ANY (coalesce(d.types, '{}')))""") == [(0,)]


def test_times_of_one_user_differ(service):
    assert service.sql("SELECT count(*) FROM (SELECT user_id, created_at FROM public.applications"
                       " GROUP BY 1, 2 HAVING count(*) > 1) t") == [(0,)]


def test_row_level_security_is_on(service):
    assert service.sql("SELECT count(*) FROM pg_class WHERE relname IN ('users', 'applications', 'documents',"
                       " 'document_embeddings') AND relrowsecurity AND relforcerowsecurity") == [(4,)]


def test_data_made_at_once_is_the_same(monkeypatch):
    """What is left to the end, and what is known beforehand, leaves no trace."""
    def made():
        with product.Stack(plain=True) as stack:
            data.make(product.conninfo(stack.name), USERS, APPLICATIONS, 0, password_hash(data.PASSWORD, 4))
            return [stack.tables()] + [stack.sql(query) for query in (
                "SELECT count(*), md5(string_agg(concat(name, company_name, created_at, search), ',' ORDER BY user_id,"
                " created_at)) FROM public.applications",
                "SELECT count(*), md5(string_agg(concat(content, search), ',' ORDER BY content)) FROM public.documents",
                "SELECT indexdef FROM pg_indexes WHERE tablename IN ('applications', 'documents')"
                " ORDER BY (schemaname || '.' || indexname)::regclass::oid",
                "SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid), convalidated FROM pg_constraint"
                " ORDER BY 1, 2",
                "SELECT proname, prosrc, proconfig FROM pg_proc WHERE pronamespace = 'jobforge'::regnamespace"
                " ORDER BY proname, proargtypes")]

    plainly = made()
    monkeypatch.setattr(data, "LARGE", 1)
    assert made() == plainly


# ---- the answers are compared ----

def test_our_two_listeners_answer_alike(service, sample):
    for work in WORKS.values():
        check.check(work, sample, [candidates.Plain(Shared(service)), candidates.Http2(Shared(service))])


class Wrong(candidates.Candidate):
    """A peer that passes requests on to us and spoils what comes back."""

    name = "wrong"

    def __init__(self, service, spoil):
        ours = candidates.Plain(Shared(service))

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                class Sent:
                    method, path, body = self.command, self.path, None

                    @staticmethod
                    def headers():
                        return {"Authorization": self.headers["Authorization"]}
                status, value = ours.ask(Sent)
                body = json.dumps(spoil(value)).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *words):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.server.server_port
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def stop(self):
        self.server.shutdown()
        self.server.server_close()


def swapped(value):
    rows = value["data"]
    return {"data": [rows[1], rows[0], *rows[2:]]}


SPOILED = {
    "nothing": (lambda value: value, None),
    "a row less": (lambda value: {"data": value["data"][:-1]}, "we have 20, they have 19"),
    "another order": (swapped, "at /0/"),
    "another value": (lambda value: {"data": [{**value["data"][0], "company_name": "Other"}, *value["data"][1:]]},
                      "at /0/company_name"),
    "a member less": (lambda value: {"data": [{name: row[name] for name in row if name != "location"}
                                              for row in value["data"]]}, "location"),
    "a number for a truth": (lambda value: {"data": [{**row, "research_completed": int(row["research_completed"])}
                                                     for row in value["data"]]}, "/research_completed"),
    "a time an hour later": (lambda value: {"data": [{**row, "created_at": row["created_at"].replace("Z", "-01:00")}
                                                     for row in value["data"]]}, "created_at"),
}


@pytest.mark.parametrize("what", SPOILED)
def test_a_peer_that_answers_otherwise_is_found(service, sample, what):
    spoil, said = SPOILED[what]
    peer = Wrong(service, spoil)
    try:
        if said is None:
            check.check(WORKS["list"], sample, [candidates.Plain(Shared(service)), peer])
            return
        with pytest.raises(check.Mismatch, match="list: wrong answers") as caught:
            check.check(WORKS["list"], sample, [candidates.Plain(Shared(service)), peer])
        assert said in str(caught.value)
    finally:
        peer.stop()


def test_an_error_is_no_answer(service, sample):
    class Elsewhere(candidates.Plain):
        def request(self, work, item):
            request = work.ours(*item)
            request.path += "/nowhere"
            return request
    with pytest.raises(check.Mismatch, match="404"):
        check.check(WORKS["one"], sample, [candidates.Plain(Shared(service)), Elsewhere(Shared(service))])


def test_empty_lists_are_no_proof(service, sample):
    class Nobody(candidates.Plain):
        def request(self, work, item):
            user, row, number = item
            request = work.ours(user, row, number)
            request.path += "?company_name=nobody"
            return request
    with pytest.raises(check.Mismatch, match="too little"):
        check.check(WORKS["list"], sample, [Nobody(Shared(service))])


def test_only_what_differs_by_nature_is_left_out():
    login, one = WORKS["login"], WORKS["one"]
    assert canonical(login, {"access_token": "a", "user": {"id": 1}}) == {"user": {"id": 1}}
    assert canonical(one, {"updated_at": "2026-01-01T00:00:00Z"}) == canonical(one, {"updated_at": "2026-01-01T01:00:00+01:00"})
    assert canonical(one, {"a": 1}) != canonical(one, {"a": 2})


# ---- what pgbench is given ----

def test_recorded_statements_are_the_workers(service, sample):
    pgbench = candidates.Pgbench(Shared(service))
    works = [work for work in WORKS.values() if work.trips]
    pgbench.learn(Shared(service, sample), works)
    for work in works:
        trips = pgbench.trips[work.name]
        assert len(trips) == candidates.RECORDED, work.name
        names = [bind.statement for bind in trips[0]]
        if work.writes:
            assert names[0] == "begin" and names[1] == "set_writer" and names[-1] == "commit", names
        else:
            assert names[0] in ("set_reader", "begin_snapshot"), names
        users = [next(bind.values[0] for bind in trip if bind.statement.startswith("set_")) for trip in trips[:2]]
        assert users[0] != users[1] or work.name == "similar", "another user each time"
        assert pgbench.main_statement(work)
    assert candidates.Plain(Shared(service)).ask(WORKS["list"].ours(*next(WORKS["list"].items(sample))))[0] == 200


def test_script_for_pgbench():
    def trip(user):
        return [Bind("a", "SELECT $1::text, $2, 'HH24:MI''x', $1,\n $3 FROM t", [user, None, b"x:y"]),
                Bind("commit", "COMMIT", [])]
    script = Script([trip(b"one"), trip(b"two")], "bench.list")
    assert script.text.endswith("\nSELECT c0 FROM bench.list WHERE n = :row \\gset\n\\endif\n\\startpipeline\n"
                                "SELECT :c0::text, NULL, E'HH24\\072MI''x', :c0, :v0 FROM t;\nCOMMIT;\n\\endpipeline\n")
    assert script.constants == {"v0": "x:y", "begin": "1"}
    assert script.rows == [("one",), ("two",)]
    with pytest.raises(AssertionError):
        Script([trip(b"one"), trip(None)], "bench.list")


# ---- a whole run ----

def test_a_run_measures_and_prints(tmp_path):
    """Of our service alone: the peers are installed by ./dev bench, not by ./dev test."""
    figures = tmp_path / "figures.json"
    done = subprocess.run(
        [sys.executable, os.path.join(BENCH, "bench.py"), "--quick", "--quiet", "--candidates=jobforge,worker", "--rounds=2",
         "--users=30", "--applications=25", "--only=one,create", "--connections=1,4", f"--json={figures}"],
        env={**os.environ, "JOBFORGE_TEST_CLUSTER": CLUSTER, "JOBFORGE_TEST_BUILD": PLAIN_BUILD},
        capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "## 1 connection\n" in done.stdout and "## 4 connections\n" in done.stdout
    assert "Every answer was 2xx." in done.stdout, done.stdout
    found = json.loads(figures.read_text())
    assert found["rounds"] == 2 and found["users"] == 30
    results = {(row["candidate"], row["work"], row["connections"]): row for row in found["results"]}
    assert set(results) == {(name, work, count) for count in (1, 4) for name, work in
                            (("jobforge", "one"), ("jobforge", "create"), ("worker", None))}
    for row in results.values():
        assert len(row["rates"]) == 2 and min(row["rates"]) > 0 and not row["faults"], row


def test_promises_are_measured_and_judged():
    """Whether they are kept, on so busy a machine and so little data, is not asked."""
    done = subprocess.run(
        [sys.executable, os.path.join(BENCH, "promises.py"), "--rounds=1", "--seconds=1", "--users=250", "--requests=1000",
         "--starts=2"],
        env={**os.environ, "JOBFORGE_TEST_CLUSTER": CLUSTER, "JOBFORGE_TEST_BUILD": PLAIN_BUILD},
        capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stdout + done.stderr
    verdicts = done.stdout.rpartition("\n\n")[2].splitlines()[2:]
    assert len(verdicts) == 15, done.stdout
    assert all(line.endswith(("| kept     |", "| NOT kept |", "| kept |")) for line in verdicts), done.stdout
    for title in ("Tail", "Requests of 256 connections", "64 connections of logins", "From exec", "Scale", "Pages of one user",
                  "Private memory"):
        assert "## " + title in done.stdout, title


def test_promises_are_judged_by_medians():
    assert promises.at_most("x", 4, [1.0, 3.9, 9.0]) == promises.Verdict("x", "at most 4", "3.90 (1.00–9.00)", True)
    assert not promises.at_most("x", 4, [1.0, 4.1, 9.0]).kept
    assert promises.at_least("x", 0.5, [0.1, 0.5, 0.9]).kept
    assert not promises.at_least("x", 0.5, [0.1, 0.4, 0.9]).kept


def test_loads_are_told_apart_by_their_pauses():
    assert promises.split_loads([1, 1.05, 1.1, 3, 3.01]) == [[1, 1.05, 1.1], [3, 3.01]]
