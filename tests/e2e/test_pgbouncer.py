"""
PgBouncer in transaction mode between the workers and the database. What the service does behind it is what it does without it:
`./dev pgbouncer` runs all other files that way, and pooled_test.sh the main ones. Here is what only PgBouncer can do to it.
"""

import time

import pytest

from examples import APPLICATION, RESUME
from pooler import PGBOUNCER, PgBouncer
from stack import SOURCE, Stack, conninfo, load, parse_dsn, together, wait_for

pytestmark = pytest.mark.skipif(not PGBOUNCER, reason="./dev test says how PgBouncer is started")
LIMIT = 3000  # milliseconds of a statement: the workers' 503 comes well before nginx would say 504


class Narrow(Stack):
    """Few sessions for many workers, and room in PgBouncer for few prepared statements."""

    def __init__(self, **options):
        super().__init__(pooled=True, api_workers=4, auth_workers=1, log_level="info", connect_timeout=1000,
                         statement_timeout=LIMIT)
        self.pooler = PgBouncer(SOURCE, self.dir, parse_dsn(conninfo(self.name)), **options)


@pytest.fixture(scope="module")
def stack():
    with Narrow(default_pool_size=2) as running:
        running.allow_errors('"event": "database"')
        yield running


def statuses(answers):
    return {getattr(answer, "status", repr(answer)) for answer in answers}


def well(user):
    """Every worker serves again: /readyz tells of one alone."""
    def served():
        answers = [user.get("/me") for _ in range(8)]
        answers.append(user.post("/applications", APPLICATION))
        answers.append(user.post("/auth/login", {"email": user.email, "password": user.password}))
        return statuses(answers) == {200, 201}
    wait_for(served, 30, "served again")


def pause(stack):
    """While no session of the server begins: cut short, that would count as failed, and clients be refused for it."""
    wait_for(lambda: not any(int(pool["sv_login"]) for pool in stack.pooler.tell("SHOW POOLS")), 10, "all sessions have begun")
    stack.pooler.tell("PAUSE")


def server_sessions(stack):
    return [pid for pid, in stack.sql("SELECT pid FROM pg_stat_activity WHERE datname = %s AND usename = 'jobforge_app'",
                                      stack.name)]


def test_workers_share_fewer_sessions_than_they_are(stack, user):
    user.create()
    together(8, lambda index: user.get("/applications").ok())
    assert 1 <= len(server_sessions(stack)) <= 2 < len(stack.workers())


def test_nothing_of_a_request_stays_in_a_session(stack, user):
    user.create()
    user.post("/resumes", RESUME, headers={"Idempotency-Key": "k"}).ok(201)
    together(8, lambda index: user.get("/applications").ok())
    user.get("/applications?created_after=0000-01-01T00:00:00Z").problem(400)  # which ends in an error of the database
    for _ in range(20):
        session = stack.pooler.connect(stack.name)
        with session.cursor() as cursor:
            cursor.execute("SELECT pg_backend_pid(), coalesce(current_setting('app.current_user_id', true), ''),"
                           " coalesce(current_setting('app.request_id', true), ''), current_setting('transaction_read_only'),"
                           " (SELECT count(*) FROM public.applications), (SELECT count(*) FROM public.user_resumes)")
            assert cursor.fetchone()[1:] == ("", "", "off", 0, 0)
        session.close()
    assert stack.sql("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = ANY(%s)",
                     server_sessions(stack)) == [(0,)]


def test_users_in_turn_on_one_session_see_their_own_only(stack):
    users = [stack.user() for _ in range(4)]
    for number, user in enumerate(users):
        user.create(company=f"Company {number}")

    def read(index):
        user = users[index % 4]
        for _ in range(25):
            assert [row["company_name"] for row in user.get("/applications").ok()["data"]] == [f"Company {index % 4}"]
            assert user.get("/me").ok()["id"] == user.id
    together(8, read)


def test_pause_resume_reload_and_reconnect_cost_no_request(stack, user):
    with load(user, writes=True) as wrong:
        for _ in range(3):
            pause(stack)
            time.sleep(0.3)
            stack.pooler.tell("RESUME")
            user.get("/me").ok()
            stack.pooler.tell("RELOAD")
            stack.pooler.tell("RECONNECT")
            time.sleep(0.3)
    assert not wrong, wrong[:5]


def test_a_pause_that_lasts_is_503_and_ends_without_a_trace(stack, user):
    pause(stack)
    try:
        began = time.monotonic()
        user.get("/me").problem(503)
        user.post("/applications", APPLICATION).problem(503)
        assert time.monotonic() - began < 12
        assert stack.root.get("/healthz").status == 200
    finally:
        stack.pooler.tell("RESUME")
    well(user)


def test_ended_sessions_are_503_at_most(stack, user):
    with load(user, writes=True) as wrong:
        for _ in range(5):
            stack.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s AND usename = 'jobforge_app'",
                      stack.name)
            time.sleep(0.2)
    assert statuses(wrong) <= {503}, wrong[:5]
    well(user)


def test_while_pgbouncer_is_away_it_is_503_and_soon_well_when_it_is_back(stack, user):
    with load(user, writes=True) as wrong:
        stack.pooler.kill()
        answer = user.get("/me")
        answer.problem(503)
        time.sleep(0.5)
        stack.pooler.start()
        well(user)
    assert statuses(wrong) <= {503}, wrong[:5]


def test_its_limit_of_statements_must_be_that_of_the_workers(stack):
    assert stack.check()[0] == 0
    stack.pooler.configure(1000)
    try:
        code, said = stack.check()
        assert code != 0 and f"statement_timeout is 1000 ms, and must be {LIMIT}; a pooler has to set it" in said, said
    finally:
        stack.pooler.configure(LIMIT)
    # A session that a worker has lent meanwhile goes on as it began until it is given back.
    wait_for(lambda: stack.check()[0] == 0, 10, "sessions with the right limit")


def test_it_may_forget_prepared_statements():
    with Narrow(default_pool_size=1, max_prepared_statements=5) as stack:
        codes = together(4, lambda index: stack.check())
        assert [code for code, _ in codes] == [0] * 4, codes
        users = [stack.user() for _ in range(4)]
        ids = [user.create(company=user.email)["id"] for user in users]
        with load(users[0], writes=True) as wrong:
            for turn in range(20):
                user, id_ = users[turn % 4], ids[turn % 4]
                assert user.get("/applications/" + id_).ok()["company_name"] == user.email
                user.get("/applications?q=position").ok()
                user.get("/me").ok()
        assert not wrong, wrong[:5]
