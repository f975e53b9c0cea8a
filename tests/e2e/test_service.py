"""What the service keeps of its users: the audit log, usage, plans and subscriptions, over HTTP."""

import json

import pytest

from examples import APPLICATION, DESCRIPTION, EMBEDDING, RESUME
from stack import NO_SUCH_ID, PASSWORD, connect, together


def log(user, query=""):
    return user.get("/audit-log" + query).ok()["data"]


def held(user):
    return user.get("/subscription").ok()["used"]


@pytest.fixture
def subscribe(stack):
    """Puts a user on a plan with these limits, at once."""
    made = []

    def put(user, status="active", end=None, **limits):
        name = f"test-{len(made)}-{user.id[:8]}"
        made.append(name)
        columns = {"applications": None, "documents": None, "embeddings": None, "bytes": None, **limits}
        stack.sql("INSERT INTO public.plans (name, title, applications, documents, embeddings, bytes)"
                  " VALUES (%s, 'A Test', %s, %s, %s, %s)", name, *columns.values())
        stack.sql("SELECT jobforge.subscription_set(%s, %s, %s, now() - interval '1 day', now() + %s::interval, 'sub_1')",
                  user.id, name, status, end)
        return name
    return put


def limit(answer):
    problem = answer.problem(403, slug="plan-limit")
    assert str(problem["limit"]["allowed"]) in problem["detail"] and problem["limit"]["name"] in problem["detail"]
    return tuple(problem["limit"].values())


# --- The audit log --------------------------------------------------------------------------------------------------

def test_every_change_is_in_the_log_with_its_request(user):
    answers = [user.post("/applications", APPLICATION)]
    path = f"/applications/{answers[0].ok(201)['id']}"
    answers += [user.patch(path, {"location": None, "priority_level": "low"}),
                user.put(path + "/documents/research_report", {"content": DESCRIPTION}),
                user.put(path + "/documents/research_report", {"content": DESCRIPTION + " More."}),
                user.put(path + "/documents/research_report/embedding", {"embedding": EMBEDDING}),
                user.post("/resumes", RESUME), user.patch("/me", {"full_name": "Somebody Else"}), user.delete(path)]
    assert [answer.status for answer in answers] == [201, 200, 201, 200, 201, 201, 200, 204]
    entries = log(user, "?sort=created_at&limit=100")
    assert [(entry["action"], entry["table_name"]) for entry in entries] == [
        ("insert", "users"), ("insert", "applications"), ("update", "applications"), ("update", "applications"),
        ("insert", "documents"), ("update", "documents"), ("insert", "document_embeddings"), ("insert", "user_resumes"),
        ("update", "users"), ("delete", "applications"), ("delete", "documents"), ("delete", "document_embeddings")]
    ids = [answer.headers["X-Request-Id"] for answer in answers]
    expected = [ids[0], ids[1], ids[2], ids[2], ids[3], ids[4], ids[5], ids[6], ids[7], ids[7], ids[7]]
    assert [entry["request_id"] for entry in entries[1:]] == expected
    assert {entry["actor"] for entry in entries} == {"user"}
    assert {entry["user_id"] for entry in entries} == {user.id}
    assert entries[0]["request_id"] is not None
    assert entries[1]["changes"]["company_name"] == {"new": "Acme"}
    assert entries[1]["changes"]["job_description"]["new"]["size"] == len(DESCRIPTION)
    assert entries[2]["changes"] == {"location": {"old": "Berlin"}, "priority_level": {"old": "high", "new": "low"}}
    assert set(entries[5]["changes"]["content"]) == {"old", "new"}
    assert entries[8]["changes"] == {"full_name": {"old": "Test Person", "new": "Somebody Else"}}
    assert entries[9]["changes"]["role_title"] == {"old": "Engineer"}
    assert entries[9]["row_id"] == path.rpartition("/")[2]
    assert DESCRIPTION not in json.dumps(entries) and "$2b$" not in json.dumps(entries)


def test_a_changed_password_is_in_the_log_and_its_hash_is_not(stack, user):
    user.post("/me/password", {"current_password": "not the password", "new_password": "another password"}).problem(403)
    user.post("/me/password", {"current_password": PASSWORD, "new_password": "another password"}).ok(204)
    assert log(user)[0]["changes"] == {"password_hash": {"changed": True}}
    assert stack.sql("SELECT count(*) FROM public.audit_log WHERE changes::text LIKE '%%$2b$%%'") == [(0,)]


def test_what_is_refused_is_not_in_the_log(user):
    before = log(user)
    user.post("/applications", {**APPLICATION, "company_name": " "}).problem(422)
    application = user.create()
    user.put(f"/applications/{application['id']}/documents/cover_letter", {"content": DESCRIPTION}).problem(409)
    user.patch(f"/applications/{application['id']}", {"location": "x"}, headers={"If-Match": '"1"'}).problem(412)
    assert log(user)[1:] == before


def test_filters_and_pages(user):
    for number in range(5):
        user.create(f"Company {number}")
    user.create_many([{**APPLICATION, "company_name": f"Other {number}"} for number in range(20)])
    everything = log(user, "?limit=100")
    assert len(everything) == 26
    path, found = "/audit-log?limit=7&table_name=applications", []
    while path:
        page = user.get(path).ok()
        found += page["data"]
        path = page["next"] and f"/audit-log?limit=7&table_name=applications&cursor={page['next']}"
    assert found == everything[:25]
    assert user.get("/audit-log?count=exact&action=insert&limit=1").ok()["total"] == 26
    assert log(user, "?action=update&action=delete") == []
    assert log(user, "?row_id=" + everything[3]["row_id"]) == [everything[3]]
    assert log(user, "?row_id=" + NO_SUCH_ID) == []
    middle = everything[10]["created_at"]
    assert log(user, f"?limit=100&created_after={middle}") == everything[:10]
    assert log(user, f"?limit=100&created_before={middle}") == everything[11:]
    for query in ("?table_name=refresh_tokens", "?action=truncate", "?row_id=1", "?created_after=now", "?sort=actor"):
        user.get("/audit-log" + query).problem(400)


def test_the_log_takes_no_writes(stack, user):
    for method in ("POST", "PUT", "PATCH", "DELETE"):
        user.request(method, "/audit-log", json={}).problem(405)
    worker = connect(stack.name, "jobforge_app")
    for statement in ("DELETE FROM public.audit_log", "UPDATE public.audit_log SET actor = 'nobody'",
                      "TRUNCATE public.audit_log"):
        with worker.cursor() as sql, pytest.raises(Exception, match="permission denied"):
            sql.execute("SELECT set_config('app.current_user_id', %s, false)", (user.id,))
            sql.execute(statement)
    worker.close()


def test_a_deleted_account_leaves_one_entry(stack):
    user = stack.user()
    user.create_many([APPLICATION] * 50)
    answer = user.delete("/me", {"password": PASSWORD})
    answer.ok(204)
    assert stack.sql("SELECT action, table_name, row_id::text, request_id, changes FROM public.audit_log"
                     " WHERE user_id = %s", user.id) == [
        ("delete", "users", user.id, answer.headers["X-Request-Id"], {})]
    assert stack.sql("SELECT count(*) FROM public.usage_tracking WHERE user_id = %s", user.id) == [(0,)]


# --- Usage ----------------------------------------------------------------------------------------------------------

def test_usage_counts_what_was_written_and_is_held(user):
    application = user.create("Łódź", "Engineer", job_description="é" * 60, name="n")
    path = f"/applications/{application['id']}/documents/research_report"
    user.put(path, {"content": "ä" * 10}).ok(201)
    user.put(path, {"content": "ä" * 20}).ok(200)
    user.put(path + "/embedding", {"embedding": EMBEDDING}).ok(201)
    size = len("Łódź".encode()) + len("Engineer") + 120 + 1
    month, = user.get("/usage").ok()["data"]
    assert month["period"][-3:] == "-01"
    del month["id"], month["period"]
    assert month == {"applications_created": 1, "documents_written": 2, "embeddings_stored": 1,
                     "bytes_written": size + 20 + 40 + 6144, "applications": 1, "documents": 1, "resumes": 0,
                     "embeddings": 1, "bytes": size + 40 + 6144}
    user.delete(f"/applications/{application['id']}").ok(204)
    month, = user.get("/usage").ok()["data"]
    assert (month["applications_created"], month["applications"], month["embeddings"], month["bytes"]) == (1, 0, 0, 0)


def test_months_are_listed_newest_first_and_the_current_one_always(stack, user):
    user.create()
    stack.sql("UPDATE public.usage_tracking SET period = '2020-01-01' WHERE user_id = %s", user.id)
    now, old = user.get("/usage").ok()["data"]
    assert (now["applications_created"], now["applications"]) == (0, 1)
    assert (old["period"], old["applications_created"], old["applications"]) == ("2020-01-01", 1, 1)
    user.create()
    again, last = user.get("/usage").ok()["data"]
    assert last == old and again["period"] == now["period"]
    assert (again["applications_created"], again["applications"]) == (1, 2)
    first = user.get("/usage?limit=1&count=exact").ok()
    assert first["data"] == [again] and first["total"] == 2
    assert user.get(f"/usage?limit=1&cursor={first['next']}").ok()["data"] == [old]
    assert user.get("/usage?sort=period").ok()["data"] == [old, again]


def test_an_imported_account_is_counted_whole(stack):
    source, target = stack.user(), stack.user()
    source.create_many([APPLICATION] * 300)
    application = source.create()
    source.put(f"/applications/{application['id']}/documents/research_report", {"content": DESCRIPTION}).ok(201)
    source.post("/resumes", RESUME).ok(201)
    target.post("/me/import", source.get("/me/export").json()).ok(200)
    mine, theirs = (user.get("/usage").ok()["data"][0] for user in (target, source))
    for month in (mine, theirs):
        del month["id"]
    assert mine == theirs and mine["applications"] == 301


# --- Plans ----------------------------------------------------------------------------------------------------------

def test_without_a_subscription_the_default_plan_holds(user):
    assert user.get("/subscription").ok() == {
        "plan": "free", "title": "Free", "status": "none", "period_start": None, "period_end": None,
        "limits": {"applications": None, "documents": None, "embeddings": None, "bytes": None},
        "used": {"applications": 0, "documents": 0, "embeddings": 0, "bytes": 0}}


def test_each_limit_is_named(user, subscribe):
    application = user.create()
    path = f"/applications/{application['id']}"
    user.put(path + "/documents/research_report", {"content": DESCRIPTION}).ok(201)
    used = held(user)
    name = subscribe(user, applications=1, documents=1, embeddings=0, bytes=used["bytes"] + 100)
    said = user.get("/subscription").ok()
    assert (said["plan"], said["status"], said["used"]) == (name, "active", used)
    assert said["limits"] == {"applications": 1, "documents": 1, "embeddings": 0, "bytes": used["bytes"] + 100}
    assert limit(user.post("/applications", APPLICATION)) == ("applications", 1, 1)
    assert limit(user.post("/applications", [APPLICATION, APPLICATION])) == ("applications", 1, 1)
    assert limit(user.post("/applications", APPLICATION, headers={"Idempotency-Key": "k"})) == ("applications", 1, 1)
    assert limit(user.put(path + "/documents/optimized_resume", {"content": DESCRIPTION})) == ("documents", 1, 1)
    assert limit(user.put(path + "/documents/research_report/embedding", {"embedding": EMBEDDING})) == ("embeddings", 0, 0)
    assert limit(user.post("/resumes", RESUME)) == ("bytes", used["bytes"] + 100, used["bytes"])
    assert limit(user.patch(path, {"job_description": DESCRIPTION * 9}))[0] == "bytes"
    user.patch(path, {"priority_level": "low"}).ok()
    user.put(path + "/documents/research_report", {"content": DESCRIPTION + "!" * 100}).ok()
    assert held(user) == {**used, "bytes": used["bytes"] + 100}


def test_an_import_beyond_the_plan_changes_nothing(stack, subscribe):
    source, target = stack.user(), stack.user()
    source.create_many([APPLICATION] * 200)
    subscribe(target, applications=199)
    assert limit(target.post("/me/import", source.get("/me/export").json())) == ("applications", 199, 0)
    assert target.get("/applications?count=exact").ok()["total"] == 0
    assert held(target)["applications"] == 0


def test_fifty_writers_race_for_the_last_place(user, subscribe):
    user.create_many([APPLICATION] * 4)
    subscribe(user, applications=5)
    answers = together(50, lambda index: user.post("/applications", APPLICATION))
    statuses = [answer.status for answer in answers]
    # A writer may also be told to come again: by the web server's limit, or by a lock that took too long.
    assert statuses.count(201) == 1 and statuses.count(403) >= 10 and set(statuses) <= {201, 403, 429, 503}, statuses
    assert held(user)["applications"] == 5 == user.get("/applications?count=exact").ok()["total"]


def test_a_change_of_plan_holds_at_the_next_request(user, subscribe):
    user.create()
    subscribe(user, applications=1)
    user.post("/applications", APPLICATION).problem(403)
    subscribe(user, applications=2)
    user.post("/applications", APPLICATION).ok(201)
    subscribe(user, applications=0, bytes=0)
    row = user.get("/applications").ok()["data"][0]
    user.patch(f"/applications/{row['id']}", {"company_name": "A longer name"}).problem(403)
    user.patch(f"/applications/{row['id']}", {"company_name": "A"}).ok()
    user.delete(f"/applications/{row['id']}").ok(204)
    subscribe(user, status="canceled", applications=0)
    assert user.get("/subscription").ok()["status"] == "canceled"
    assert user.get("/subscription").ok()["plan"] == "free"
    user.post("/applications", APPLICATION).ok(201)
    subscribe(user, end="-1 hour", applications=0)
    user.post("/applications", APPLICATION).ok(201)
