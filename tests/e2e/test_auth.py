"""Authentication: the contract's section of that name, and what is a valid access token."""

import json
import re
import time
from http.cookies import SimpleCookie

import pytest

import tokens
from stack import PASSWORD, REQUEST_ID, TIME, UUID, Client, Stack, cpu_seconds, together, wait_for

OPTIONS = {"auth_workers": 4, "login_attempts": 6, "login_window": 900, "refresh_token_grace": 10}
CREDENTIALS = {"password": PASSWORD, "full_name": "Ada Lovelace"}


def new_email():
    from secrets import token_hex
    return f"person-{token_hex(6)}@example.com"


def register(stack, email=None, **fields):
    return stack.anyone.post("/auth/register", {"email": email or new_email(), **CREDENTIALS, **fields})


def login(stack, email, password=PASSWORD, **fields):
    return stack.anyone.post("/auth/login", {"email": email, "password": password, **fields})


def refresh(stack, token):
    return stack.anyone.post("/auth/refresh", {"refresh_token": token})


def check_session(session, email, full_name="Ada Lovelace"):
    assert set(session) == {"user", "access_token", "token_type", "expires_in", "refresh_token"}
    assert session["token_type"] == "Bearer"
    assert session["expires_in"] == 900
    assert len(session["refresh_token"]) >= 43  # 256 bits as base64url
    check_user(session["user"], email, full_name)


def check_user(user, email, full_name):
    assert set(user) == {"id", "email", "full_name", "created_at", "updated_at"}
    assert UUID.fullmatch(user["id"]) and TIME.fullmatch(user["created_at"]) and TIME.fullmatch(user["updated_at"])
    assert (user["email"], user["full_name"]) == (email, full_name)


def cookie(answer):
    """The one cookie of an answer: (name, value, attributes in lower case)."""
    headers = answer.headers.get_all("Set-Cookie")
    assert headers is not None and len(headers) == 1, answer.headers.items()
    pair, *attributes = [piece.strip() for piece in headers[0].split(";")]
    name, _, value = pair.partition("=")
    return name, value, {key.lower(): text for key, _, text in (piece.partition("=") for piece in attributes)}


# --- Register -------------------------------------------------------------------------------------------------------

def test_register_answers_with_a_session(stack):
    email = new_email()
    answer = register(stack, email)
    check_session(answer.ok(201), email)
    assert answer.headers["Location"].endswith("/api/v1/me")
    assert answer.headers["Cache-Control"] == "no-store"
    me = stack.anyone.get("/me", token=answer.json()["access_token"]).ok()
    assert me == answer.json()["user"]


def test_register_stores_email_in_lower_case(stack):
    email = new_email()
    assert register(stack, email.upper()).ok(201)["user"]["email"] == email
    check_session(login(stack, email.title()).ok(), email)


@pytest.mark.parametrize("change", [str, str.upper, str.title])
def test_register_taken_email_in_any_case_is_409(stack, change):
    email = new_email()
    register(stack, email).ok(201)
    before = stack.snapshot()
    register(stack, change(email)).problem(409, slug="email-taken")
    assert stack.snapshot() == before


def test_register_two_at_once_makes_one_user(stack):
    for _ in range(5):
        email = new_email()
        answers = together(4, lambda index: register(stack, email if index % 2 else email.upper()))
        assert sorted(answer.status for answer in answers) == [201, 409, 409, 409]
        for answer in answers:
            if answer.status == 409:
                answer.problem(409, slug="email-taken")
        assert stack.sql("SELECT count(*) FROM public.users WHERE lower(email) = %s", email) == [(1,)]


@pytest.mark.parametrize("password, status", [
    ("a" * 7, 422), ("a" * 8, 201), ("a" * 72, 201), ("a" * 73, 422),
    ("é" * 3 + "a", 422), ("é" * 4, 201), ("é" * 36, 201), ("é" * 36 + "a", 422), ("é" * 37, 422),
    ("🔑" * 2, 201), ("🔑" * 18, 201), ("🔑" * 18 + "a", 422), ("", 422), ("pass\0word", 422),
])
def test_register_password_is_8_to_72_bytes(stack, password, status):
    before = stack.snapshot()
    email = new_email()
    answer = register(stack, email, password=password)
    if status == 422:
        assert answer.faults() == ["/password"]
        assert stack.snapshot() == before
    else:
        answer.ok(201)
        login(stack, email, password).ok()


def test_password_is_never_cut(stack):
    email = new_email()
    register(stack, email, password="b" * 72).ok(201)
    for wrong in ("b" * 71, "b" * 73):
        login(stack, email, wrong).problem(401, 422)
    login(stack, email, "b" * 72).ok()


@pytest.mark.parametrize("email", [
    "", "a", "@example.com", "a@", "a@b", "a@example", "a b@example.com", "a@exa mple.com", "a@example.c",
    "a@@example.com", "<a@example.com>", "a@example.com\n", "ä@example.com", "a" * 250 + "@example.com",
    "a\0@example.com",
])
def test_register_refuses_what_is_no_email(stack, email, unchanged):
    assert stack.anyone.post("/auth/register", {"email": email, **CREDENTIALS}).faults() == ["/email"]


@pytest.mark.parametrize("full_name", ["", "   ", "x" * 256, "a\0b"])
def test_register_refuses_bad_full_name(stack, full_name, unchanged):
    assert register(stack, full_name=full_name).faults() == ["/full_name"]


def test_register_keeps_full_name_as_it_is(stack):
    for full_name in ("Zoë Ångström", "李小龍", "O'Brien; DROP TABLE users; --", "🧑‍💻" * 60, "a\\b\"c\td"):
        answer = register(stack, full_name=full_name).ok(201)
        assert answer["user"]["full_name"] == full_name
        assert stack.anyone.get("/me", token=answer["access_token"]).ok()["full_name"] == full_name


def test_register_lists_every_fault(stack, unchanged):
    assert stack.anyone.post("/auth/register", {}).faults() == ["/email", "/full_name", "/password"]
    assert stack.anyone.post("/auth/register", {"email": "no", "password": "short", "full_name": 5, "admin": True}
                             ).faults() == ["/admin", "/email", "/full_name", "/password"]


def test_password_is_stored_as_bcrypt_of_the_configured_cost(stack, user):
    (stored,), = stack.sql("SELECT password_hash FROM public.users WHERE id = %s", user.id)
    assert re.fullmatch(r"\$2b\$04\$[./A-Za-z0-9]{53}", stored)


# --- Login ----------------------------------------------------------------------------------------------------------

def test_login_answers_with_a_session(stack):
    email = new_email()
    registered = register(stack, email).ok(201)
    answer = login(stack, email)
    check_session(answer.ok(), email)
    assert answer.json()["user"] == registered["user"]
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.json()["refresh_token"] != registered["refresh_token"]


def test_login_unknown_email_and_wrong_password_are_the_same_bytes(stack, user):
    before = stack.snapshot()
    unknown = login(stack, new_email())
    wrong = login(stack, user.email, "wrong password")
    for answer in (unknown, wrong):
        answer.problem(401, slug="bad-credentials")
    assert (unknown.body.replace(unknown.headers["X-Request-Id"].encode(), b"")
            == wrong.body.replace(wrong.headers["X-Request-Id"].encode(), b""))
    differing = {"x-request-id", "date"}
    assert ([(key, value) for key, value in unknown.headers.items() if key.lower() not in differing]
            == [(key, value) for key, value in wrong.headers.items() if key.lower() not in differing])
    assert stack.snapshot() == before


def test_login_unknown_email_costs_a_hash_too():
    """
    At a cost that outweighs all else, in processor time, which other processes do not lengthen. The bound is far from both the
    right figure (1) and the wrong one (0).
    """
    with Stack(plain=True, auth_workers=1, bcrypt_cost=10, login_attempts=1000) as stack:
        user = stack.user()

        def seconds(emails):
            start = sum(map(cpu_seconds, stack.workers()))
            for email in emails:
                login(stack, email, "wrong password").problem(401)
            return sum(map(cpu_seconds, stack.workers())) - start
        known, unknown = seconds([user.email] * 8), seconds([new_email() for _ in range(8)])
        assert unknown > 0.3 * known > 0, (unknown, known)


def test_login_repeated_failures_are_429_for_that_email_alone(stack, user):
    other = stack.user()
    for _ in range(6):
        login(stack, user.email, "wrong password").problem(401, slug="bad-credentials")
    for password in ("wrong password", PASSWORD):
        answer = login(stack, user.email, password)
        answer.problem(429)
        assert 1 <= int(answer.headers["Retry-After"]) <= 900
    login(stack, user.email.upper()).problem(429)
    login(stack, other.email).ok()
    user.get("/me").ok()


def test_login_unknown_email_is_limited_like_a_known_one(stack):
    email = new_email()
    for _ in range(6):
        login(stack, email, "wrong password").problem(401)
    login(stack, email, "wrong password").problem(429)


def test_login_limit_holds_for_attempts_at_once(stack, user):
    answers = together(8, lambda index: [login(stack, user.email, "wrong password") for _ in range(3)])
    statuses = [answer.status for thread in answers for answer in thread]
    assert statuses.count(401) == 6 and statuses.count(429) == 18


def test_login_success_forgets_failures(stack, user):
    for _ in range(3):
        for _ in range(4):
            login(stack, user.email, "wrong password").problem(401)
        login(stack, user.email).ok()


def test_login_limit_ends_with_its_window():
    with Stack(login_attempts=2, login_window=60) as stack:
        user = stack.user()
        for _ in range(2):
            login(stack, user.email, "wrong password").problem(401)
        answer = login(stack, user.email)
        answer.problem(429)
        assert 1 <= int(answer.headers["Retry-After"]) <= 60
        stack.sql("UPDATE jobforge.login_attempts SET window_start = window_start - interval '1 minute'")
        login(stack, user.email).ok()


@pytest.mark.parametrize("body, pointers", [
    ({}, ["/email", "/password"]),
    ({"email": 1, "password": 2}, ["/email", "/password"]),
    ({"email": "a@example.com", "password": "12345678", "cookie": "yes"}, ["/cookie"]),
    ({"email": "a@example.com", "password": "12345678", "x": 1}, ["/x"]),
])
def test_login_validates(stack, body, pointers, unchanged):
    assert stack.anyone.post("/auth/login", body).faults() == pointers


def test_login_raises_a_low_cost_hash(stack):
    """A hash made at a lower cost than configured is made anew, and sessions and password stay good."""
    user = stack.user()
    (weak,), = stack.sql("SELECT password_hash FROM public.users WHERE id = %s", user.id)
    with Stack(bcrypt_cost=5) as stronger:
        session = register(stronger, user.email).ok(201)
        stronger.sql("UPDATE public.users SET password_hash = %s", weak)
        login(stronger, user.email).ok()
        (stored,), = stronger.sql("SELECT password_hash FROM public.users")
        assert stored.startswith("$2b$05$")
        login(stronger, user.email).ok()
        assert stronger.sql("SELECT password_hash FROM public.users") == [(stored,)]
        refresh(stronger, session["refresh_token"]).ok()


def test_each_session_has_tokens_of_its_own(stack, user):
    sessions = [login(stack, user.email).ok() for _ in range(5)]
    assert len({session["refresh_token"] for session in sessions}) == 5


# --- Refresh and logout ---------------------------------------------------------------------------------------------

def test_refresh_gives_a_new_pair(stack, user):
    answer = refresh(stack, user.refresh_token)
    check_session(answer.ok(), user.email, "Test Person")
    assert answer.json()["refresh_token"] != user.refresh_token
    assert answer.headers["Cache-Control"] == "no-store"
    stack.anyone.get("/me", token=answer.json()["access_token"]).ok()
    refresh(stack, answer.json()["refresh_token"]).ok()


def test_refresh_token_is_stored_only_as_sha256(stack, user):
    for name in stack.tables():
        assert user.refresh_token not in str(stack.sql(f"SELECT t::text FROM {name} t"))


def test_refresh_within_the_grace_serves_two_tabs(stack, user):
    answers = together(2, lambda index: refresh(stack, user.refresh_token))
    tokens_ = [answer.ok()["refresh_token"] for answer in answers]
    assert tokens_[0] != tokens_[1]
    for token in tokens_:
        refresh(stack, token).ok()


def test_refresh_reuse_revokes_the_family_and_no_other(stack, user):
    other = login(stack, user.email).ok()["refresh_token"]
    second = refresh(stack, user.refresh_token).ok()["refresh_token"]
    stack.sql("UPDATE jobforge.refresh_tokens SET spent_at = spent_at - interval '1 minute' WHERE user_id = %s"
              " AND spent_at IS NOT NULL", user.id)  # the grace is over
    refresh(stack, user.refresh_token).problem(401)
    refresh(stack, second).problem(401)
    refresh(stack, user.refresh_token).problem(401)
    refresh(stack, other).ok()


def test_refresh_without_grace_refuses_the_second_use():
    with Stack(refresh_token_grace=0) as stack:
        user = stack.user()
        for _ in range(5):
            token = login(stack, user.email).ok()["refresh_token"]
            answers = together(4, lambda index: refresh(stack, token))
            assert sorted(answer.status for answer in answers) == [200, 401, 401, 401]
            winner, = [answer for answer in answers if answer.status == 200]
            refresh(stack, winner.json()["refresh_token"]).problem(401)


def test_refresh_expires(stack, user):
    stack.sql("UPDATE jobforge.refresh_tokens SET expires_at = now() - interval '1 second' WHERE token_hash ="
              " sha256(%s)", user.refresh_token.encode())
    refresh(stack, user.refresh_token).problem(401)


@pytest.mark.parametrize("token", ["", "x", "A" * 43, "A" * 5000, "é" * 43, "a.b.c", "A" * 42 + "\0"])
def test_refresh_refuses_what_is_no_token(stack, token, unchanged):
    refresh(stack, token).problem(401, 422)


def test_refresh_without_any_token(stack, unchanged):
    stack.anyone.post("/auth/refresh", {}).problem(401, 422)


def test_access_token_is_no_refresh_token(stack, user, unchanged):
    refresh(stack, user.token).problem(401, 422)
    stack.anyone.get("/me", token=user.refresh_token).problem(401)


def test_logout_revokes_the_family_and_no_other(stack, user):
    other = login(stack, user.email).ok()["refresh_token"]
    second = refresh(stack, user.refresh_token).ok()["refresh_token"]
    answer = stack.anyone.post("/auth/logout", {"refresh_token": second})
    assert (answer.status, answer.body) == (204, b"")
    for token in (second, user.refresh_token):
        refresh(stack, token).problem(401)
    refresh(stack, other).ok()


def test_logout_by_a_spent_token_revokes_the_family(stack, user):
    second = refresh(stack, user.refresh_token).ok()["refresh_token"]
    stack.anyone.post("/auth/logout", {"refresh_token": user.refresh_token}).ok(204)
    refresh(stack, second).problem(401)


def test_logout_twice_or_of_nothing_is_204(stack, user):
    for token in (user.refresh_token, user.refresh_token, "A" * 43):
        stack.anyone.post("/auth/logout", {"refresh_token": token}).ok(204)


def test_logout_wins_over_a_refresh_at_the_same_time(stack, user):
    for _ in range(10):
        token = login(stack, user.email).ok()["refresh_token"]
        answers = together(3, lambda index: refresh(stack, token) if index else
                           stack.anyone.post("/auth/logout", {"refresh_token": token}))
        answers[0].ok(204)
        for answer in answers[1:]:
            if answer.status == 200:
                refresh(stack, answer.json()["refresh_token"]).problem(401)
            else:
                answer.problem(401)


# --- The cookie of browsers -----------------------------------------------------------------------------------------

def test_cookie_holds_the_refresh_token_in_register_login_and_refresh(stack):
    email = new_email()
    answers = [register(stack, email, cookie=True), login(stack, email, cookie=True)]
    name, value, _ = cookie(answers[1])
    for body in ({"json": {}}, {}):
        answers.append(stack.anyone.post("/auth/refresh", headers={
            "Cookie": f"{name}={value}", "X-Requested-With": "XMLHttpRequest"}, **body))
        name, value, _ = cookie(answers[-1])
    values = set()
    for answer in answers:
        session = answer.ok(201 if answer is answers[0] else 200)
        assert set(session) == {"user", "access_token", "token_type", "expires_in"}
        name, value, attributes = cookie(answer)
        assert len(value) >= 43
        values.add(value)
        assert value.encode() not in answer.body
        assert attributes["httponly"] == "" and attributes["secure"] == ""
        assert attributes["samesite"] == "Strict"
        assert attributes["path"] == "/api/v1/auth"
        assert 0 < int(attributes["max-age"]) <= 2592000
        assert "domain" not in attributes
        assert SimpleCookie(f"{name}={value}")[name].value == value
    assert len(values) == 4


def test_no_cookie_unless_asked_for(stack, user):
    for answer in (register(stack), login(stack, user.email), login(stack, user.email, cookie=False),
                   refresh(stack, user.refresh_token)):
        assert answer.status in (200, 201) and "refresh_token" in answer.json()
        assert answer.headers.get_all("Set-Cookie") is None


def test_cookie_without_x_requested_with_is_refused(stack, user):
    name, value, _ = cookie(login(stack, user.email, cookie=True))
    before = stack.snapshot()
    stack.anyone.post("/auth/refresh", {}, headers={"Cookie": f"{name}={value}"}).problem(401)
    answer = stack.anyone.post("/auth/logout", {}, headers={"Cookie": f"{name}={value}"})
    answer.problem(401, slug="bad-refresh-token")
    assert answer.headers.get_all("Set-Cookie") is None
    assert stack.snapshot() == before
    stack.anyone.post("/auth/refresh", {}, headers={"Cookie": f"{name}={value}", "X-Requested-With": "x"}).ok()


def test_cookie_is_found_among_others(stack, user):
    name, value, _ = cookie(login(stack, user.email, cookie=True))
    stack.anyone.post("/auth/refresh", {}, headers={
        "Cookie": f"a=b; x{name}=no; {name}={value}; {name}x=no", "X-Requested-With": "x"}).ok()


def test_logout_by_cookie_revokes_and_clears_it(stack, user):
    name, value, _ = cookie(login(stack, user.email, cookie=True))
    answer = stack.anyone.post("/auth/logout", {}, headers={"Cookie": f"{name}={value}", "X-Requested-With": "x"})
    answer.ok(204)
    cleared, empty, attributes = cookie(answer)
    assert (cleared, empty, attributes["max-age"], attributes["path"]) == (name, "", "0", "/api/v1/auth")
    refresh(stack, value).problem(401)


def test_cookie_does_not_sign_in(stack, user, unchanged):
    name, value, _ = cookie(login(stack, user.email, cookie=True))
    unchanged[:] = stack.snapshot()
    for path in ("/me", "/applications"):
        stack.anyone.get(path, headers={"Cookie": f"{name}={value}", "X-Requested-With": "x"}).problem(401)


# --- Password and account -------------------------------------------------------------------------------------------

def test_password_change_revokes_all_families(stack, user):
    other = login(stack, user.email).ok()
    answer = user.post("/me/password", {"current_password": PASSWORD, "new_password": "another password"})
    assert (answer.status, answer.body) == (204, b"")
    for token in (user.refresh_token, other["refresh_token"]):
        refresh(stack, token).problem(401)
    login(stack, user.email, PASSWORD).problem(401, slug="bad-credentials")
    refresh(stack, login(stack, user.email, "another password").ok()["refresh_token"]).ok()


def test_password_change_needs_the_current_one(stack, user, unchanged):
    user.post("/me/password", {"current_password": "wrong password", "new_password": "another password"}
              ).problem(401, 403)
    refresh_family = stack.sql("SELECT count(*) FROM jobforge.refresh_families WHERE user_id = %s", user.id)
    assert refresh_family == [(1,)]


@pytest.mark.parametrize("new, pointers", [("a" * 7, ["/new_password"]), ("a" * 73, ["/new_password"]),
                                           ("é" * 37, ["/new_password"]), (None, ["/new_password"]),
                                           ("pass\0word", ["/new_password"])])
def test_password_change_checks_the_new_one(stack, user, new, pointers, unchanged):
    assert user.post("/me/password", {"current_password": PASSWORD, "new_password": new}).faults() == pointers


def test_password_guessing_through_me_is_limited(stack, user):
    """A stolen access token must not allow more guesses than the login does."""
    statuses = [user.post("/me/password", {"current_password": "wrong password", "new_password": "another password"}
                          ).status for _ in range(12)]
    assert statuses[-1] == 429, statuses


def test_another_address_allows_no_more_guesses(stack, user):
    """Whoever has the token can change the address, so attempts are not counted by that."""
    def guess():
        return [user.post("/me/password", {"current_password": "wrong password", "new_password": "another password"}).status,
                user.delete("/me", {"password": "wrong password"}).status]
    statuses = [guess() for _ in range(6)]
    assert statuses[0] == [403, 403] and statuses[-1] == [429, 429]
    user.patch("/me", {"email": new_email()}).ok()
    assert guess() == [429, 429]


def test_guesses_of_strangers_keep_nobody_from_changing_the_password(stack, user):
    """It is what ends the sessions of somebody who has stolen one."""
    for known in (user.email, user.id):
        assert [login(stack, known, "wrong password").status for _ in range(12)][-1] == 429
    user.post("/me/password", {"current_password": PASSWORD, "new_password": "another password"}).ok(204)
    user.delete("/me", {"password": "another password"}).ok(204)


def test_login_during_password_change_leaves_no_session_of_the_old_one(stack):
    for round_ in range(8):
        user = stack.user()

        def step(index, user=user):
            if index == 0:
                time.sleep(0.002 * round_)
                return user.post("/me/password", {"current_password": PASSWORD, "new_password": "another password"})
            return [login(stack, user.email) for _ in range(3)]
        changed, *logins = together(4, step)
        changed.ok(204)
        for answer in (answer for thread in logins for answer in thread):
            assert answer.status in (200, 401, 429), answer
            if answer.status == 200:
                refresh(stack, answer.json()["refresh_token"]).problem(401)


def test_two_password_changes_at_once_one_wins(stack):
    for _ in range(5):
        user = stack.user()
        answers = together(2, lambda index: user.post("/me/password", {
            "current_password": PASSWORD, "new_password": f"another password {index}"}))
        assert sorted(answer.status for answer in answers)[0] == 204
        works = [login(stack, user.email, f"another password {index}").status for index in (0, 1)]
        assert sorted(works) == [200, 401]


def test_delete_me_removes_everything(stack, user):
    user.create()
    application = user.create("Globex")
    stack.sql("INSERT INTO public.documents (application_id, user_id, document_type, content)"
              " VALUES (%s, %s, 'research_report', 'a report of some length')", application["id"], user.id)
    login(stack, user.email).ok()
    answer = user.delete("/me", {"password": PASSWORD})
    assert (answer.status, answer.body) == (204, b"")
    for name in stack.tables():
        # What the log says of a deletion, without any value, has a test of its own.
        said = "WHERE t.action <> 'delete' OR t.table_name <> 'users'" if name.startswith("public.audit_log") else ""
        assert user.id not in str(stack.sql(f"SELECT t::text FROM {name} t {said}")), name
        assert user.email not in str(stack.sql(f"SELECT t::text FROM {name} t")), name
    login(stack, user.email).problem(401, slug="bad-credentials")
    refresh(stack, user.refresh_token).problem(401)
    # The access token outlives the account by minutes; it shows nothing and creates nothing.
    user.get("/me").problem(401, 404)
    assert user.get("/applications").status in (200, 401)
    user.post("/applications", {"company_name": "A", "role_title": "B", "job_description": "c" * 60}).problem(401, 404)
    register(stack, user.email).ok(201)


def test_delete_me_needs_the_password(stack, user, unchanged):
    user.delete("/me", {"password": "wrong password"}).problem(401, 403)
    assert user.delete("/me", {}).faults() == ["/password"]
    user.delete("/me").problem(400, 415, 422)


# --- The user -------------------------------------------------------------------------------------------------------

def test_me_shows_the_user_with_an_etag(stack, user):
    answer = user.get("/me")
    check_user(answer.ok(), user.email, "Test Person")
    assert answer.json()["id"] == user.id
    assert re.fullmatch(r'"[^"]+"', answer.headers["ETag"])
    assert user.get("/me", headers={"If-None-Match": answer.headers["ETag"]}).status == 304


def test_me_patch_changes_what_is_given(stack, user):
    old = user.get("/me")
    answer = user.patch("/me", {"full_name": "Grace Hopper"})
    check_user(answer.ok(), user.email, "Grace Hopper")
    assert answer.headers["ETag"] != old.headers["ETag"]
    assert answer.json()["updated_at"] > old.json()["updated_at"]
    assert answer.json()["created_at"] == old.json()["created_at"]
    email = new_email()
    check_user(user.patch("/me", {"email": email.upper()}).ok(), email, "Grace Hopper")
    assert user.get("/me").json()["email"] == email
    login(stack, email).ok()
    login(stack, user.email).problem(401)


def test_me_patch_to_a_taken_email_is_409(stack, user):
    other = stack.user()
    before = stack.snapshot()
    user.patch("/me", {"email": other.email.upper()}).problem(409, slug="email-taken")
    assert stack.snapshot() == before


@pytest.mark.parametrize("body, pointers", [
    ({"email": None}, ["/email"]), ({"full_name": None}, ["/full_name"]), ({"email": "x", "full_name": ""},
                                                                          ["/email", "/full_name"]),
    ({"id": "00000000-0000-4000-8000-000000000000"}, ["/id"]), ({"password_hash": "x"}, ["/password_hash"]),
    ({"created_at": "2026-01-01T00:00:00Z"}, ["/created_at"]), ({"updated_at": "x"}, ["/updated_at"]),
    ({"password": "another password"}, ["/password"]),
])
def test_me_patch_validates(stack, user, body, pointers, unchanged):
    assert user.patch("/me", body).faults() == pointers


def test_users_of_one_transaction_have_tags_of_their_own(stack, user):
    """As all have after a restore. By a tag that they share, a browser would show one's answer to the next, at the same URL."""
    other = stack.user()
    stack.sql("UPDATE public.users SET full_name = full_name WHERE id IN (%s, %s)", user.id, other.id)
    tags = [client.get("/me").headers["ETag"] for client in (user, other)]
    assert tags[0] != tags[1]
    assert other.get("/me", headers={"If-None-Match": tags[0]}).ok()["id"] == other.id
    user.patch("/me", {"full_name": "First"}, headers={"If-Match": tags[0]}).ok()


def test_me_if_match(stack, user):
    etag = user.get("/me").headers["ETag"]
    user.patch("/me", {"full_name": "First"}, headers={"If-Match": etag}).ok()
    before = stack.snapshot()
    user.patch("/me", {"full_name": "Second"}, headers={"If-Match": etag}).problem(412)
    user.delete("/me", {"password": PASSWORD}, headers={"If-Match": etag}).problem(412)
    assert stack.snapshot() == before


# --- What is a valid access token -----------------------------------------------------------------------------------

def test_access_token_is_the_documented_jwt(stack, user):
    header, claims = tokens.decode(user.token)
    assert header == {"alg": "HS256", "typ": "at+jwt", "kid": "first"}
    assert set(claims) >= {"iss", "aud", "sub", "iat", "exp"}
    assert (claims["iss"], claims["aud"], claims["sub"]) == ("jobforge", "jobforge-api", user.id)
    assert claims["exp"] - claims["iat"] == 900
    assert abs(claims["iat"] - time.time()) < 60


def test_token_made_by_hand_is_valid(stack, user):
    """So that the refusals below are for what they change and nothing else."""
    assert user.get("/me", token=tokens.make(stack.keys[0], user.id)).ok()["id"] == user.id
    for scheme in ("bearer", "BEARER"):
        user.get("/me", token=None, headers={"Authorization": f"{scheme} {user.token}"}).ok()


NOW = int(time.time())
REFUSED_CLAIMS = {
    "expired": {"exp": NOW - 60},
    "expired long ago": {"exp": 1},
    "no exp": {"exp": None},
    "exp text": {"exp": str(NOW + 600)},
    "exp zero": {"exp": 0},
    "exp negative": {"exp": -1},
    "exp beyond 64 bits": {"exp": 2 ** 64 + NOW},
    "exp true": {"exp": True},
    "exp list": {"exp": [NOW + 600]},
    "issued in the future": {"iat": NOW + 3600, "exp": NOW + 7200},
    "no iat": {"iat": None},
    "no iss": {"iss": None},
    "other iss": {"iss": "jobforge2"},
    "no aud": {"aud": None},
    "other aud": {"aud": "another-api"},
    "no sub": {"sub": None},
    "sub no uuid": {"sub": "root"},
    "sub empty": {"sub": ""},
    "sub number": {"sub": 5},
    "sub with a tail": {"sub": "00000000-0000-4000-8000-000000000000x"},
    "sub sql": {"sub": "' OR 1=1 --"},
}
REFUSED_HEADERS = {
    "no kid": {"kid": None},
    "unknown kid": {"kid": "other"},
    "kid number": {"kid": 1},
    "kid path": {"kid": "../../../dev/null"},
    "no typ": {"typ": None},
    "typ JWT": {"typ": "JWT"},
    "no alg": {"alg": None},
    "alg NONE": {"alg": "NONE"},
    "alg RS256": {"alg": "RS256"},
}


def refused(stack, token, **headers):
    before = stack.snapshot()
    answer = stack.anyone.get("/me", token=None, headers={"Authorization": "Bearer " + token, **headers})
    answer.problem(401)
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    assert 'error="invalid_token"' in answer.headers["WWW-Authenticate"]
    assert stack.snapshot() == before


@pytest.mark.parametrize("claims", REFUSED_CLAIMS.values(), ids=REFUSED_CLAIMS.keys())
def test_token_claims_refused(stack, user, claims):
    refused(stack, tokens.make(stack.keys[0], user.id, claims=claims))


@pytest.mark.parametrize("header", REFUSED_HEADERS.values(), ids=REFUSED_HEADERS.keys())
def test_token_header_refused(stack, user, header):
    refused(stack, tokens.make(stack.keys[0], user.id, header=header))


@pytest.mark.parametrize("algorithm", ["HS384", "HS512"])
def test_token_of_another_algorithm_refused(stack, user, algorithm):
    refused(stack, tokens.make(stack.keys[0], user.id, algorithm=algorithm))


@pytest.mark.parametrize("alg", ["none", "None", "NONE", "nOnE"])
def test_token_alg_none_refused(stack, user, alg):
    head, body, signature = tokens.make(stack.keys[0], user.id, header={"alg": alg}).split(".")
    refused(stack, f"{head}.{body}.")
    refused(stack, f"{head}.{body}")
    refused(stack, f"{head}.{body}.{signature}")


def test_token_foreign_signature_refused(stack, user):
    kid, secret = stack.keys[0]
    refused(stack, tokens.make((kid, b"\0" * 32), user.id))
    refused(stack, tokens.make((kid, b""), user.id))
    refused(stack, tokens.make((kid, secret[:-1]), user.id))
    refused(stack, tokens.make((kid, tokens.base64url(secret).encode()), user.id))


def test_token_edited_refused(stack, user):
    other = stack.user()
    head, body, signature = user.token.split(".")
    refused(stack, ".".join([head, other.token.split(".")[1], signature]))
    refused(stack, ".".join([head, body, signature[:-1]]))
    refused(stack, ".".join([head, body, signature + "A"]))
    refused(stack, ".".join([head, body, signature + "="]))
    refused(stack, ".".join([head, body, ("B" if signature[0] == "A" else "A") + signature[1:]]))
    refused(stack, ".".join([head + "A", body, signature]))
    refused(stack, ".".join([head, body, signature, "x"]))
    # The last character of 32 bytes as base64url has two bits to spare: one signature has one text.
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    refused(stack, ".".join([head, body, signature[:-1] + alphabet[alphabet.index(signature[-1]) ^ 1]]))


@pytest.mark.parametrize("token", [
    ".", "..", "...", "a", "a.b", "a.b.c", "e30.e30.", "e30.e30.e30", "=" * 10, "\x7f", "%00", "null",
    tokens.part({"alg": "HS256", "typ": "at+jwt", "kid": "first"}) + "..",
    tokens.part([]) + "." + tokens.part([]) + ".AAAA", tokens.part(b"{" * 500) + ".e30.AAAA",
    tokens.part(b'{"alg":"HS256","kid":"first","typ":"at+jwt","x":' + b"[" * 600 + b"]" * 600 + b"}") + ".e30.AAAA",
    "A" * 2048, "A" * 2049, "A" * 7000,
], ids=range(19))
def test_token_garbage_refused(stack, token):
    refused(stack, token)


def test_token_signed_garbage_refused(stack, user):
    """A right signature over what is no token: the claims are looked at with suspicion all the same."""
    secret = stack.keys[0][1]
    head = tokens.part({"alg": "HS256", "typ": "at+jwt", "kid": "first"})
    for body in (b"", b"[]", b"null", b"5", b'"x"', b"{", b"\xff\xfe", b"{}x", b'{"sub":"\xff"}', b"[" * 1000,
                 json.dumps({"iss": ["jobforge"], "aud": "jobforge-api", "sub": user.id, "iat": NOW,
                             "exp": NOW + 600}).encode()):
        refused(stack, tokens.sign(head + "." + tokens.part(body), secret))


def test_token_of_100_kilobytes_refused(stack):
    answer = stack.anyone.get("/me", token="A" * 100_000)
    answer.problem(401)
    assert 'error="invalid_token"' in answer.headers["WWW-Authenticate"]


def test_no_token_is_401_without_error(stack):
    answer = stack.anyone.get("/me")
    answer.problem(401)
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    assert "error" not in answer.headers["WWW-Authenticate"]


@pytest.mark.parametrize("value", ["Basic dXNlcjpwYXNz", "Bearer", "Bearer ", "Token x", "", "Bearerx", "Bearer a b"])
def test_other_credentials_are_401(stack, value):
    answer = stack.anyone.get("/me", headers={"Authorization": value})
    answer.problem(401)
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")


def test_token_in_the_query_is_refused(stack, user):
    stack.anyone.get("/me?access_token=" + user.token).problem(400, 401)


def test_two_authorization_headers_are_not_mixed(stack, user):
    answer = stack.exchange((f"GET /api/v1/me HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {user.token}\r\n"
                             "Authorization: Bearer x\r\nConnection: close\r\n\r\n").encode())
    assert answer.status in (400, 401), answer


def test_nothing_secret_in_the_log(stack, user):
    last = user.get("/me").headers["X-Request-Id"]
    wait_for(lambda: last in stack.log(), 5, "the last line")
    log = stack.log()
    for secret in (user.token, user.token.split(".")[2], user.refresh_token, PASSWORD):
        assert secret not in log


def test_request_id_is_in_every_answer(stack, user):
    for answer in (user.get("/me"), stack.anyone.get("/me"), user.get("/nothing"), user.post("/me")):
        assert REQUEST_ID.fullmatch(answer.headers["X-Request-Id"])


def test_client_on_https_is_served_the_same(stack):
    secure = Client(stack, https=True)
    email = new_email()
    session = secure.post("/auth/register", {"email": email, **CREDENTIALS}).ok(201)
    assert secure.get("/me", token=session["access_token"]).ok()["email"] == email
