"""Two sessions of the workers' role at once, in every order that matters. Prints TAP.

JOBFORGE_TEST_SQL_DATABASE names a migrated database, as a superuser. Unlike the pgTAP files this one commits; it works
on users of its own and deletes them at the end.
"""

import hashlib
import os
import random
import threading
import time
import uuid

import psycopg2

DATABASE = os.environ["JOBFORGE_TEST_SQL_DATABASE"]
SERIAL_LOCK = 7251002  # one test file at a time: fixtures.psql takes it too
WAIT = 10  # seconds after which a session that should have been blocked, or woken, is a failure

count = 0


def check(passed, name, detail=""):
    global count
    count += 1
    print(f"{'ok' if passed else 'not ok'} {count} - {name}", flush=True)
    if not passed:
        print(f"# {detail}", flush=True)


def same(have, want, name):
    check(have == want, name, f"have: {have!r}, want: {want!r}")


def token(name):
    return hashlib.sha256(name.encode()).digest()


class Session:
    """A connection of jobforge_app, in transactions of one user, as a worker makes them."""

    def __init__(self, user=None):
        self.user = user
        self.connection = psycopg2.connect(DATABASE)
        self.connection.autocommit = True
        self.run("SET SESSION AUTHORIZATION jobforge_app")
        self.run("SET search_path = ''; SET lock_timeout = '8s'; SET client_min_messages = warning")
        self.pid = self.connection.info.backend_pid

    def run(self, sql, *params):
        """The rows of a statement, or its row count, or the SQLSTATE of its error."""
        with self.connection.cursor() as cursor:
            try:
                cursor.execute(sql, params)
                return cursor.fetchall() if cursor.description else cursor.rowcount
            except psycopg2.Error as error:
                return error.pgcode

    def begin(self):
        self.run("BEGIN")
        self.run("SELECT pg_catalog.set_config('app.current_user_id', %s, true)", self.user or "")

    def in_transaction(self, *statements):
        """The result of the last statement; an error ends it, as in a pipeline."""
        self.begin()
        result = None
        for statement in statements:
            result = self.run(*statement)
            if isinstance(result, str):
                self.run("ROLLBACK")
                return result
        self.run("COMMIT")
        return result


class Admin:
    def __init__(self):
        self.connection = psycopg2.connect(DATABASE)
        self.connection.autocommit = True
        self.run("SELECT pg_advisory_lock(%s)", SERIAL_LOCK)
        self.users = []

    def run(self, sql, *params):
        with self.connection.cursor() as cursor:
            cursor.execute(sql, params)
            return cursor.fetchall() if cursor.description else None

    def user(self):
        email = f"{uuid.uuid4().hex}@race.example"
        sql = "INSERT INTO public.users (email, password_hash, full_name) VALUES (%s, 'hash', 'Racer') RETURNING id"
        self.users.append(self.run(sql, email)[0][0])
        return self.users[-1]

    def application(self, user):
        sql = """INSERT INTO public.applications (user_id, name, company_name, role_title, job_description)
            VALUES (%s, 'n', 'c', 'r', repeat('x', 50)) RETURNING id"""
        return self.run(sql, user)[0][0]

    def phases(self, application):
        """What the application says, and what its documents say."""
        sql = """SELECT a.status, a.research_completed, a.resume_optimized, a.cover_letter_generated,
                array(SELECT d.document_type::text FROM public.documents AS d WHERE d.application_id = a.id
                    ORDER BY d.document_type)
            FROM public.applications AS a WHERE a.id = %s"""
        rows = self.run(sql, application)
        if not rows:
            return None
        status, research, resume, letter, documents = rows[0]
        types = ["research_report", "optimized_resume", "cover_letter"]
        states = ["draft", "research_complete", "resume_ready", "cover_letter_ready"]
        flags = [research, resume, letter]
        in_order = flags == sorted(flags, reverse=True)
        true = in_order and flags == [t in documents for t in types] and status == states[sum(flags)]
        return status if true else f"{status} {flags} is not {documents}"

    def wait_until_blocked(self, pid, thread):
        sql = "SELECT cardinality(pg_blocking_pids(%s)) > 0"
        end = time.monotonic() + WAIT
        while thread.is_alive() and time.monotonic() < end:
            if self.run(sql, pid)[0][0]:
                return True
            time.sleep(0.005)
        return False

    def close(self):
        self.run("DELETE FROM public.users WHERE id = ANY (%s::uuid[])", self.users)
        self.run("DELETE FROM public.users WHERE email LIKE '%%@race.example'")
        self.run("DELETE FROM public.plans WHERE name LIKE 'race-%%'")
        self.connection.close()


def race(admin, user, first, second, end="COMMIT", blocked=True, name="", other=None):
    """`first` is run and left open; `second`, of another session, must be blocked by it (or not); then `first` ends.

    Both are lists of (sql, params...). Returns the result of the last statement of `second`.
    """
    one, two = Session(user), Session(other or user)
    one.begin()
    for statement in first:
        result = one.run(*statement)
        if isinstance(result, str):
            check(False, name, f"the first session failed: {result}")
    results = []
    thread = threading.Thread(target=lambda: results.append(two.in_transaction(*second)))
    thread.start()
    was_blocked = admin.wait_until_blocked(two.pid, thread)
    one.run(end)
    thread.join(WAIT)
    if was_blocked != blocked:
        check(False, name, f"blocked: {was_blocked}")
    one.connection.close()
    if not thread.is_alive():
        two.connection.close()
    return results[0] if results else "hangs"


def put(application, kind, content=None):
    return (
        """INSERT INTO public.documents (application_id, document_type, content) VALUES (%s, %s, %s)
            ON CONFLICT (application_id, document_type) DO UPDATE SET content = excluded.content
            RETURNING (xmax = 0), updated_at > created_at""",
        application, kind, content or f"Content {uuid.uuid4()}",
    )


def drop(application, kind):
    return (
        """WITH a AS (SELECT id FROM public.applications WHERE id = %s FOR NO KEY UPDATE)
            DELETE FROM public.documents AS d USING a WHERE d.application_id = a.id AND d.document_type = %s""",
        application, kind,
    )


def drop_without_lock(application, kind):
    return ("DELETE FROM public.documents WHERE application_id = %s AND document_type = %s", application, kind)


def drop_application(application):
    return ("DELETE FROM public.applications WHERE id = %s", application)


def test_documents(admin):
    user = admin.user()

    def start(*kinds):
        application = admin.application(user)
        for kind in kinds:
            Session(user).in_transaction(put(application, kind))
        return application

    name = "a resume waits for its research, and is accepted"
    a = start()
    result = race(admin, user, [put(a, "research_report")], [put(a, "optimized_resume")], name=name)
    same((result, admin.phases(a)), ([(True, False)], "resume_ready"), name)

    name = "or refused, when the research is rolled back"
    a = start()
    result = race(admin, user, [put(a, "research_report")], [put(a, "optimized_resume")], end="ROLLBACK", name=name)
    same((result, admin.phases(a)), ("JF010", "draft"), name)

    for how, form in (("", drop), (", also without the lock", drop_without_lock)):
        name = "a resume is refused while its research goes" + how
        a = start("research_report")
        result = race(admin, user, [form(a, "research_report")], [put(a, "optimized_resume")], name=name)
        same((result, admin.phases(a)), ("JF010", "draft"), name)

        name = "research stays while a resume comes" + how
        a = start("research_report")
        result = race(admin, user, [put(a, "optimized_resume")], [form(a, "research_report")], name=name)
        same((result, admin.phases(a)), ("JF010", "resume_ready"), name)

    name = "of two who write the same document one creates it, the other replaces it"
    a = start()
    result = race(admin, user, [put(a, "research_report")], [put(a, "research_report", "The last word")], name=name)
    content = admin.run("SELECT content FROM public.documents WHERE application_id = %s", a)
    same((result, content, admin.phases(a)), ([(False, True)], [("The last word",)], "research_complete"), name)

    name = "a document of an application that is being deleted"
    a = start("research_report")
    result = race(admin, user, [drop_application(a)], [put(a, "optimized_resume")], name=name)
    same((result, admin.phases(a)), ("23503", None), name)

    name = "the same, replacing one"
    a = start("research_report")
    result = race(admin, user, [drop_application(a)], [put(a, "research_report")], name=name)
    same((result, admin.phases(a)), ("23503", None), name)

    name = "deleting an application while a document comes"
    a = start("research_report")
    result = race(admin, user, [put(a, "optimized_resume")], [drop_application(a)], name=name)
    left = admin.run("SELECT count(*) FROM public.documents WHERE application_id = %s", a)[0][0]
    same((result, admin.phases(a), left), (1, None, 0), name)

    name = "documents of two users do not wait for each other"
    a, other = start(), admin.user()
    b = admin.application(other)
    result = race(admin, user, [put(a, "research_report")], [put(b, "research_report")], blocked=False, name=name,
                  other=other)
    same(result, [(True, False)], name)
    name = "those of one user take turns at what is counted"
    a, b = start(), start()
    result = race(admin, user, [put(a, "research_report")], [put(b, "research_report")], name=name)
    same(result, [(True, False)], name)

    name = "nor does a change of the application's text let a document be lost"
    a = start()
    change = ("UPDATE public.applications SET name = 'renamed' WHERE id = %s", a)
    result = race(admin, user, [change], [put(a, "research_report")], name=name)
    same((result, admin.phases(a)), ([(True, False)], "research_complete"), name)


def test_document_storm(admin):
    """Six writers at random on one application: no deadlock, nothing refused but what is out of order."""
    user = admin.user()
    application = admin.application(user)
    kinds = ["research_report", "optimized_resume", "cover_letter"]
    results = []

    def write(seed):
        rng = random.Random(seed)
        session = Session(user)
        for _ in range(120):
            form = put if rng.random() < 0.6 else drop
            result = session.in_transaction(form(application, rng.choice(kinds)))
            results.append(result if isinstance(result, str) else "done")
        session.connection.close()

    threads = [threading.Thread(target=write, args=(seed,)) for seed in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    check(set(results) == {"done", "JF010"}, "writers at random are served or refused as out of order",
          {result: results.count(result) for result in set(results)})
    phases = admin.phases(application)
    check(" " not in phases, "and the phases are those of the documents that are left", phases)


def test_deletion_storm(admin):
    """An application goes while its documents are replaced and deleted: with locks in one order nobody deadlocks."""
    user = admin.user()
    kinds = ["research_report", "optimized_resume", "cover_letter"]
    applications = [admin.application(user) for _ in range(60)]
    for application in applications:
        Session(user).in_transaction(*[put(application, kind) for kind in kinds])
    results = []

    def work(number, barrier):
        session = Session(user)
        for application in applications:
            barrier.wait()
            result = session.in_transaction(statements[number](application))
            results.append(result if isinstance(result, str) else "done")
        session.connection.close()

    statements = [drop_application, lambda a: put(a, kinds[0]), lambda a: put(a, kinds[1]), lambda a: drop(a, kinds[2])]
    barrier = threading.Barrier(len(statements))
    threads = [threading.Thread(target=work, args=(number, barrier)) for number in range(len(statements))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    check(set(results) <= {"done", "23503"} and len(results) == 240, "deletions and replacements do not deadlock",
          {result: results.count(result) for result in set(results)})
    left = admin.run("SELECT count(*) FROM public.documents WHERE user_id = %s", user)[0][0]
    same(left, 0, "and no document outlives its application")


def test_resumes(admin):
    def insert(name, primary=False):
        return ("INSERT INTO public.user_resumes (name, content, is_primary) VALUES (%s, repeat('x', 100), %s)",
                name, primary)

    def promote(name):
        return ("UPDATE public.user_resumes SET is_primary = true WHERE name = %s", name)

    demote = ("UPDATE public.user_resumes SET is_primary = false WHERE is_primary",)
    remove = ("DELETE FROM public.user_resumes WHERE is_primary",)

    def primary(user):
        return admin.run("SELECT name FROM public.user_resumes WHERE user_id = %s AND is_primary", user)

    def start():
        user = admin.user()
        admin.run("""INSERT INTO public.user_resumes (user_id, name, content, is_primary, created_at)
            SELECT %s, i::text, repeat('x', 100), i = 0, now() + i * interval '1 hour'
            FROM generate_series(0, 2) AS i""", user)
        return user

    for end, want in (("COMMIT", "one"), ("ROLLBACK", "two")):
        user = admin.user()
        name = f"two first resumes at once, the first ends with {end}"
        result = race(admin, user, [insert("one")], [insert("two")], end=end, name=name)
        same((result, primary(user)), (1, [(want,)]), name)

    pairs = [
        ("two changes of primary", [promote("1")], [promote("2")], (1, [("2",)])),
        ("two that both insert a primary", [insert("3", True)], [insert("4", True)], (1, [("4",)])),
        ("a change of primary and its deletion", [promote("1")], [remove], (0, [("1",)])),
        ("a deletion of the primary and a change", [remove], [promote("1")], (1, [("1",)])),
        ("a deletion of the primary and its unmarking", [remove], [demote], (0, [("2",)])),
        ("an unmarking of the primary and a change", [demote], [promote("1")], (1, [("1",)])),
    ]
    for what, first, second, want in pairs:
        user = start()
        name = f"{what} at once: the second sees what the first left"
        result = race(admin, user, first, second, name=name)
        same((result, primary(user)), want, name)

    name = "primaries of two users do not wait for each other"
    result = race(admin, admin.user(), [insert("one")], [insert("two")], blocked=False, name=name, other=admin.user())
    same(result, 1, name)


def test_resume_storm(admin):
    user, results, wrong = admin.user(), [], []
    changes = [
        "INSERT INTO public.user_resumes (name, content, is_primary) VALUES ('n', repeat('x', 100), random() < 0.5)",
        """UPDATE public.user_resumes SET is_primary = random() < 0.5
            WHERE id IN (SELECT id FROM public.user_resumes ORDER BY random() LIMIT 2)""",
        "UPDATE public.user_resumes SET is_primary = NOT is_primary",
        "DELETE FROM public.user_resumes WHERE is_primary",
    ]
    check_one = "SELECT count(*), count(*) FILTER (WHERE is_primary) FROM public.user_resumes"

    def work(seed):
        chance, session = random.Random(seed), Session(user)
        for _ in range(40):
            result = session.in_transaction((chance.choice(changes),))
            results.append(result if isinstance(result, str) else "done")
            total, marked = session.in_transaction((check_one,))[0]
            if marked != min(total, 1):
                wrong.append((total, marked))
        session.connection.close()

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    same(({result: results.count(result) for result in set(results)}, wrong), ({"done": 240}, []),
         "whatever six sessions do to the resumes of one user, exactly one is primary, and none fails")


def test_versions(admin):
    user = admin.user()
    application = admin.application(user)
    version = admin.run("SELECT xmin::text FROM public.applications WHERE id = %s", application)[0][0]
    change = ("UPDATE public.applications SET name = %s WHERE id = %s AND xmin::text = %s RETURNING updated_at",)
    name = "of two writers who saw the same version exactly one wins"
    first, second = change + ("one", application, version), change + ("two", application, version)
    result = race(admin, user, [first], [second], name=name)
    same((result, admin.run("SELECT name FROM public.applications WHERE id = %s", application)), ([], [("one",)]), name)

    early, late = Session(user), Session(user)
    change = ("UPDATE public.applications SET name = %s WHERE id = %s RETURNING updated_at",)
    early.begin()
    time.sleep(0.02)
    first = late.in_transaction(change + ("late", application))[0][0]
    second = early.run(*change, "early", application)[0][0]
    early.run("COMMIT")
    check(second > first, "a transaction that began earlier and comes later still moves updated_at forward",
          f"{first} then {second}")


def test_idempotency(admin):
    user = admin.user()

    def claim(request="r"):
        return ("SELECT jobforge.idempotency_claim('key', %s)", token(request))

    answer = ("""INSERT INTO jobforge.idempotency_keys (key, request_hash, status, body)
        VALUES ('key', %s, 201, 'first')""", token("r"))

    name = "a second request is told at once that the first is running"
    same(race(admin, user, [claim(), answer], [claim()], end="ROLLBACK", blocked=False, name=name), "JF002", name)
    name = "also one with another body"
    same(race(admin, user, [claim()], [claim("other")], end="ROLLBACK", blocked=False, name=name), "JF002", name)
    name = "after a rollback the key is free"
    same(Session(user).in_transaction(claim()), [("",)], name)
    name = "another user's claim of the same key is not in the way"
    result = race(admin, user, [claim(), answer], [claim()], blocked=False, name=name, other=admin.user())
    same(result, [("",)], name)
    same(Session(user).in_transaction(claim()), "JF001", "after a commit the first answer is there")

    results, user = [], admin.user()
    barrier = threading.Barrier(6)

    def work():
        session = Session(user)
        barrier.wait()
        result = session.in_transaction(claim(), answer)
        results.append(result if isinstance(result, str) else "done")

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    check(results.count("done") == 1 and set(results) <= {"done", "JF001", "JF002"},
          "of six at once exactly one carries the request out", results)


def test_registration(admin):
    def register():
        return ("SELECT count(*) FROM jobforge.register(%s, 'hash', 'Racer')", email)

    for end, want in (("COMMIT", "23505"), ("ROLLBACK", [(1,)])):
        email = f"{uuid.uuid4().hex}@race.example"
        name = f"one address registered twice at once, the first ends with {end}"
        same(race(admin, None, [register()], [register()], end=end, name=name), want, name)


def open_session(user, name, verified="hash", new=None):
    return ("SELECT count(*) FROM jobforge.session_open(%s, %s, %s, %s, 3600)", user, verified, new, token(name))


def rotate(old, new, grace=10):
    return ("SELECT outcome FROM jobforge.refresh_rotate(%s, %s, 3600, %s)", token(old), token(new), grace)


def test_sessions(admin):
    number = 0

    def start():
        nonlocal number
        number += 1
        user = admin.user()
        Session().in_transaction(open_session(user, f"{user}{number}"))
        return user, f"{user}{number}"

    def outcome(name):
        return Session().in_transaction(rotate(name, uuid.uuid4().hex))[0][0]

    def logout(name):
        return ("SELECT jobforge.refresh_revoke(%s)", token(name))

    name = "a rotation that meets a logout is too late"
    user, old = start()
    result = race(admin, None, [logout(old)], [rotate(old, old + "2")], name=name)
    same((result, outcome(old + "2")), ([("revoked",)], "unknown"), name)

    name = "a logout that meets a rotation ends the new token too"
    user, old = start()
    race(admin, None, [rotate(old, old + "2")], [logout(old)], name=name)
    same(outcome(old + "2"), "revoked", name)

    name = "two tabs rotate the same token"
    user, old = start()
    result = race(admin, None, [rotate(old, old + "2")], [rotate(old, old + "3")], name=name)
    same((result, outcome(old + "2"), outcome(old + "3")), ([("rotated",)], "rotated", "rotated"), name)

    name = "without grace the second is a reuse, and stays one"
    user, old = start()
    result = race(admin, None, [rotate(old, old + "2", 0)], [rotate(old, old + "3", 0)], name=name)
    same((result, outcome(old + "2")), ([("reused",)], "revoked"), name)

    change = [("UPDATE public.users SET password_hash = 'changed' WHERE password_hash = 'hash'",),
              ("SELECT jobforge.sessions_revoke_all()",)]

    name = "a login with the old password that meets its change finds nobody"
    user, old = start()
    result = race(admin, user, change, [open_session(user, old + "2")], name=name)
    same((result, outcome(old)), ([(0,)], "revoked"), name)

    name = "a change of password that meets a login revokes it"
    user, old = start()
    race(admin, user, [open_session(user, old + "2")], change, name=name)
    same((outcome(old), outcome(old + "2")), ("revoked", "revoked"), name)

    name = "a login that stores a new hash meets a change of password"
    user, old = start()
    result = race(admin, user, [open_session(user, old + "2", "hash", "rehashed")], [change[0]], name=name)
    same((result, admin.run("SELECT password_hash FROM public.users WHERE id = %s", user)), (0, [("rehashed",)]), name)

    name = "a change of password that meets a rotation revokes the new token"
    user, old = start()
    race(admin, user, [rotate(old, old + "2")], change, name=name)
    same(outcome(old + "2"), "revoked", name)

    name = "a rotation that meets a change of password is too late"
    user, old = start()
    same(race(admin, user, change, [rotate(old, old + "2")], name=name), [("revoked",)], name)

    goodbye = [("DELETE FROM public.users WHERE password_hash = 'hash'",)]
    name = "a login that meets the deletion of its user finds nobody"
    user, old = start()
    same(race(admin, user, goodbye, [open_session(user, old + "2")], name=name), [(0,)], name)

    name = "a rotation that meets it is unknown"
    user, old = start()
    same(race(admin, user, goodbye, [rotate(old, old + "2")], name=name), [("unknown",)], name)


def test_login_attempts(admin):
    email, allowed = f"{uuid.uuid4().hex}@race.example", []
    barrier = threading.Barrier(8)

    def work():
        session = Session()
        barrier.wait()
        for _ in range(4):
            allowed.append(session.in_transaction(
                ("SELECT retry_after = 0 FROM jobforge.login_begin(%s, 5, 100)", email))[0][0])
        session.connection.close()

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    same((allowed.count(True), len(allowed)), (5, 32), "of 32 attempts at once just the limit is let by")
    Session().in_transaction(("SELECT jobforge.login_succeeded(%s)", email))


def exact(admin, user):
    """Whether what is kept of a user's applications is what there is."""
    kept = admin.run("SELECT applications, bytes FROM public.usage_tracking WHERE user_id = %s AND is_current", user)
    there = admin.run("""SELECT count(*), coalesce(sum(octet_length(concat(name, company_name, role_title, job_url,
        job_description, location))), 0) FROM public.applications WHERE user_id = %s""", user)
    return kept == there


def test_plan_limit(admin):
    plan = f"race-{uuid.uuid4().hex}"
    create = ("""INSERT INTO public.applications (name, company_name, role_title, job_description)
        VALUES ('n', 'c', 'r', repeat('x', 50))""",)
    admin.run("INSERT INTO public.plans (name, title, applications) VALUES (%s, 'Race', 10)", plan)
    user = admin.user()
    admin.run("SELECT jobforge.subscription_set(%s, %s, 'active', NULL, NULL, NULL)", user, plan)
    for _ in range(9):
        admin.application(user)
    for rollback in (True, False):
        results, barrier = [], threading.Barrier(50)

        def work():
            session = Session(user)
            barrier.wait()
            session.begin()
            results.append(session.run(*create))
            session.run("ROLLBACK" if rollback else "COMMIT")
            session.connection.close()

        threads = [threading.Thread(target=work) for _ in range(50)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        have = {result: results.count(result) for result in set(results)}
        want = {1: 50} if rollback else {1: 1, "JF020": 49}
        same((have, exact(admin, user)), (want, True), "of 50 who want the last place " + (
            "all get it, one after another, when each gives it back" if rollback else "one gets it"))

    name = "who waits for a place that is given back gets it"
    admin.run("DELETE FROM public.applications WHERE ctid = (SELECT min(ctid) FROM public.applications WHERE user_id = %s)",
              user)
    same(race(admin, user, [create], [create], end="ROLLBACK", name=name), 1, name)
    admin.run("UPDATE public.plans SET applications = NULL WHERE name = %s", plan)

    name = "nobody waits for an import, and both are counted"
    result = race(admin, user, [("SELECT set_config('app.importing', 'on', true)",), create, create], [create],
                  blocked=False, name=name)
    same((result, exact(admin, user)), (1, True), name)

    name = "a change of the email waits for no new row"
    change = ("UPDATE public.users SET email = %s, full_name = 'Other'", f"{uuid.uuid4().hex}@race.example")
    same(race(admin, user, [create], [change], blocked=False, name=name), 1, name)

    name = "a deletion of the user that meets a write leaves one entry"
    race(admin, user, [create], [("DELETE FROM public.users",)], name=name)
    same(admin.run("""SELECT action, table_name, (SELECT count(*) FROM public.usage_tracking WHERE user_id = %s)
        FROM public.audit_log WHERE user_id = %s""", user, user), [("delete", "users", 0)], name)
    admin.run("DELETE FROM public.plans WHERE name = %s", plan)


def test_first_of_a_month(admin):
    user = admin.user()
    for _ in range(3):
        admin.application(user)
    admin.run("UPDATE public.usage_tracking SET period = '2020-02-01' WHERE user_id = %s", user)
    barrier = threading.Barrier(8)

    def work():
        session = Session(user)
        barrier.wait()
        for _ in range(3):
            session.in_transaction(("""INSERT INTO public.applications (name, company_name, role_title, job_description)
                VALUES ('n', 'c', 'r', repeat('x', 50))""",))
        session.connection.close()

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    rows = admin.run("""SELECT is_current, applications, applications_created FROM public.usage_tracking
        WHERE user_id = %s ORDER BY period""", user)
    same((rows, exact(admin, user)), ([(False, 3, 3), (True, 27, 24)], True), "eight who begin a month begin it once")


def main():
    admin = Admin()
    tests = [test_documents, test_document_storm, test_deletion_storm, test_resumes, test_resume_storm,
             test_versions, test_idempotency,
             test_registration, test_sessions, test_login_attempts, test_plan_limit, test_first_of_a_month]
    try:
        for test in tests:
            test(admin)
        print(f"1..{count}")
    finally:
        admin.close()


if __name__ == "__main__":
    main()
