"""
Attacks on sessions beyond what test_auth.py refuses: tokens, clocks, keys, cookies, guesses. tests/security/README.md
lists them.
"""

import base64
import json
import os
import subprocess
import time

import pytest

import tokens
from stack import PASSWORD, PLAIN_BUILD, Client, Stack, child_environment, cpu_seconds, wait_for

OPTIONS = {"auth_workers": 2, "login_attempts": 5, "login_window": 900, "refresh_token_grace": 10}
COOKIE = "jobforge_refresh"
SKEW = 30  # TOKEN_CLOCK_SKEW of src/token.h


def login(stack, user, password=PASSWORD, headers=None, **fields):
    return stack.anyone.post("/auth/login", {"email": user.email, "password": password, **fields}, headers=headers)


def cookie_of(answer):
    text, = answer.headers.get_all("Set-Cookie")
    return text.split(";")[0].partition("=")[2]


def by_cookie(stack, path, *values):
    """A request as the pages make it, with these values of the cookie, in this order."""
    return stack.anyone.post(path, {}, headers={
        "Cookie": "; ".join(f"{COOKIE}={value}" for value in values), "X-Requested-With": "fetch"})


def sessions(stack, user):
    return stack.sql("SELECT f.id, f.revoked_at, t.token_hash, t.spent_at FROM jobforge.refresh_families f"
                     " JOIN jobforge.refresh_tokens t ON t.family_id = f.id WHERE f.user_id = %s ORDER BY t.token_hash",
                     user.id)


# --- Fixation: a session that the attacker chose --------------------------------------------------------------------

@pytest.mark.parametrize("known", ["a session of the attacker", "a value that was made up"])
def test_a_cookie_from_before_does_not_survive_signing_in(stack, user, known):
    attacker = stack.user()
    planted = attacker.refresh_token if known.startswith("a session") else "A" * 43
    before = sessions(stack, attacker)
    for path, body in (("/auth/login", {"email": user.email, "password": PASSWORD, "cookie": True}),
                       ("/auth/register",
                        {"email": "x-" + user.email, "password": PASSWORD, "full_name": "X", "cookie": True})):
        answer = stack.anyone.post(path, body, headers={"Cookie": f"{COOKIE}={planted}", "X-Requested-With": "fetch"})
        assert answer.status in (200, 201)
        fresh = cookie_of(answer)
        assert fresh != planted
        assert by_cookie(stack, "/auth/refresh", fresh).ok()["user"]["email"] == body["email"]
        by_cookie(stack, "/auth/refresh", "A" * 43).problem(401)
    assert sessions(stack, attacker) == before


def test_of_two_cookies_neither_is_believed(stack, user):
    """
    Another host of the domain can set one beside ours, with a longer path so that it comes first; which is which is
    not said.
    """
    attacker = stack.user()
    own = cookie_of(login(stack, user, cookie=True))
    before = sessions(stack, user) + sessions(stack, attacker)
    for values in ((attacker.refresh_token, own), (own, attacker.refresh_token), ("", own), (own, "x")):
        answer = by_cookie(stack, "/auth/refresh", *values)
        answer.problem(401, slug="bad-refresh-token")
        assert answer.headers.get("Set-Cookie") is None, "the one that is the user's is left alone"
        by_cookie(stack, "/auth/logout", *values).ok(204)
    assert sessions(stack, user) + sessions(stack, attacker) == before
    by_cookie(stack, "/auth/refresh", own, own).ok()


# CLOCK_REALTIME_COARSE, the one of time(2), which the workers read: some milliseconds behind time.time().
COARSE = 5


# --- Clocks ---------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("claims, status", [
    ({"iat": 0, "exp": -1}, 401), ({"iat": -600, "exp": -1}, 401), ({"iat": 0, "exp": 0}, 401),
    ({"iat": 0, "exp": 60}, 200),
    ({"iat": SKEW - 10, "exp": 600}, 200), ({"iat": SKEW + 60, "exp": 600}, 401),
    ({"nbf": SKEW - 10}, 200), ({"nbf": SKEW + 60}, 401), ({"nbf": -600}, 200),
], ids=str)
def test_a_token_of_another_clock(stack, user, claims, status):
    """Seconds from now. `iat` and `nbf` may be a little ahead, as of a host whose clock is; `exp` is given nothing."""
    now = int(time.clock_gettime(COARSE))
    token = tokens.make(stack.keys[0], user.id, claims={name: now + value for name, value in claims.items()})
    assert user.get("/me", token=token).status == status


@pytest.mark.parametrize("claims", [
    {"exp": 1e12}, {"exp": 2 ** 63}, {"exp": "9999999999"}, {"exp": [9999999999]}, {"exp": {"$gt": 0}}, {"iat": 1.5},
    {"iat": "0"},
    {"nbf": "0"}, {"nbf": None, "exp": None}, {"iat": 2 ** 64},
], ids=str)
def test_times_that_are_none(stack, user, claims):
    user.get("/me", token=tokens.make(stack.keys[0], user.id, claims=claims)).problem(401)


def test_a_known_token_expires_all_the_same(stack, user):
    """A worker remembers the tokens that it has verified."""
    def remembered():
        token = tokens.make(stack.keys[0], user.id, claims={"exp": int(time.time()) + 3})
        return {user.get("/me", token=token).status for _ in range(6)} == {200} and token

    token = wait_for(remembered, 30, "a token that both workers know before it ends")
    wait_for(lambda: {user.get("/me", token=token).status for _ in range(6)} == {401}, 30, "the end of the token")


def test_the_clock_of_the_database_is_set_back(stack, user):
    """
    Seen from it, the token was spent in the future: that is no grace. Its lifetime is by the same clock and no other.
    """
    stack.anyone.post("/auth/refresh", {"refresh_token": user.refresh_token}).ok()
    stack.sql("UPDATE jobforge.refresh_tokens SET spent_at = now() + interval '1 hour'"
              " WHERE user_id = %s AND spent_at IS NOT NULL", user.id)
    stack.anyone.post("/auth/refresh", {"refresh_token": user.refresh_token}).problem(401)
    assert all(revoked is not None for _, revoked, _, _ in sessions(stack, user))


# --- Keys -----------------------------------------------------------------------------------------------------------

def rotate(stack):
    subprocess.run([os.path.join(PLAIN_BUILD, "jobforgectl"), "key", "rotate", "--token-keys=" + stack.path("keys")],
                   env=child_environment(), check=True, capture_output=True, timeout=30)


def test_keys_are_rotated_in_the_middle_of_sessions():
    with Stack() as stack:
        user = stack.user()
        old = user.token
        kid = tokens.decode(old)[0]["kid"]
        rotate(stack)
        stack.reload()
        assert user.get("/me", token=old).ok()["id"] == user.id, "the key before is still listed"
        session = stack.anyone.post("/auth/refresh", {"refresh_token": user.refresh_token}).ok()
        assert tokens.decode(session["access_token"])[0]["kid"] != kid
        forged = tokens.make((tokens.decode(session["access_token"])[0]["kid"], stack.keys[0][1]), user.id)
        user.get("/me", token=forged).problem(401)
        rotate(stack)
        stack.reload()
        for _ in range(6):
            user.get("/me", token=old).problem(401)
        user.get("/me", token=tokens.make(stack.keys[0], user.id)).problem(401)
        user.get("/me", token=session["access_token"]).ok()
        stack.anyone.post("/auth/refresh", {"refresh_token": session["refresh_token"]}).ok()


# --- Tokens ---------------------------------------------------------------------------------------------------------

def refused(stack, token):
    answer = stack.anyone.get("/me", token=None, headers={"Authorization": "Bearer " + token})
    answer.problem(401)
    assert 'error="invalid_token"' in answer.headers["WWW-Authenticate"]


def test_every_bit_of_a_signature_counts(stack, user):
    head, body, signature = user.token.split(".")
    raw = base64.urlsafe_b64decode(signature + "=")
    user.get("/me").ok()
    for bit in range(8 * len(raw)):
        flipped = bytearray(raw)
        flipped[bit // 8] ^= 1 << bit % 8
        refused(stack, f"{head}.{body}.{tokens.base64url(bytes(flipped))}")


def test_a_known_token_lends_its_end_to_no_other(stack, user):
    """A worker finds those that it remembers by their last characters."""
    victim = stack.user()
    for _ in range(10):
        user.get("/me").ok()
    head, body, signature = user.token.split(".")
    for token in (f"{head}.{victim.token.split('.')[1]}.{signature}", f"{body}.{body}.{signature}",
                  "A" + user.token[1:],
                  user.token[:-40] + ("B" if user.token[-40] == "A" else "A") + user.token[-39:],
                  "A" * (len(user.token) - len(signature)) + signature,
                  signature):
        for _ in range(4):
            refused(stack, token)


HEADERS = {
    "a key of its own": {"jwk": {"kty": "oct", "k": "AAAA"}},
    "an address of keys": {"jku": "https://evil.example/keys"},
    "a certificate": {"x5c": ["AAAA"], "x5u": "file:///etc/passwd"},
    "a path as key": {"kid": "/dev/null"},
    "a path upwards as key": {"kid": "../../../../../../dev/null"},
    "SQL as key": {"kid": "x' UNION SELECT 'AAAA' --"},
    "a shell as key": {"kid": "first|id"},
    "a key with a NUL": {"kid": "first\0"},
    "a key with a blank": {"kid": "first "},
    "a key in capitals": {"kid": "FIRST"},
    "a list of keys": {"kid": ["first"]},
    "an empty key": {"kid": ""},
    "a long key": {"kid": "first" * 200},
    "an algorithm in small letters": {"alg": "hs256"},
    "a list of algorithms": {"alg": ["HS256"]},
    "an algorithm with a NUL": {"alg": "HS256\0"},
    "an asymmetric algorithm": {"alg": "ES256"},
    "a type with a NUL": {"typ": "at+jwt\0"},
    "a type that is another's": {"typ": "id+jwt"},
    "a critical extension": {"crit": ["exp"], "exp": 1},
    "a body that is not encoded": {"b64": False, "crit": ["b64"]},
}


@pytest.mark.parametrize("name", HEADERS)
@pytest.mark.parametrize("secret", [b"", b"\0" * 32, b"AAAA", "right"],
                         ids=["no secret", "zeros", "its own secret", "the right secret"])
def test_what_a_header_says_is_not_believed(stack, user, name, secret):
    kid, right = stack.keys[0]
    token = tokens.make((kid, right if secret == "right" else secret), user.id, header=HEADERS[name])
    ignored = name in ("a key of its own", "an address of keys", "a certificate")
    if ignored and secret == "right":
        assert user.get("/me", token=token).ok()["id"] == user.id, "said, and of no consequence"
    else:
        refused(stack, token)


def test_a_token_is_written_in_one_way(stack, user):
    """Signed as it is written here, by the right key: what is not the one form of base64url is no token."""
    secret = stack.keys[0][1]
    head, body, _ = user.token.split(".")
    assert len(head) % 4 or len(body) % 4

    def loose(text):
        """The same bytes with a bit set that decoders throw away."""
        alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
        return text[:-1] + alphabet[alphabet.index(text[-1]) ^ 1]

    claims = tokens.decode(user.token)[1]
    odd = base64.b64encode(json.dumps({**claims, "x": "???>>>"}).encode()).decode().rstrip("=")
    assert set("+/") & set(odd)
    for text in (f"{head}=.{body}", f"{head}.{body}=", f"{head}.{body}==", f"{head}.{body}\t", f"{head}. {body}",
                 f"{head}.{body}%3D",
                 f"{head}.{odd}", *[f"{head}.{loose(body)}"] * (len(body) % 4 > 0),
                 *[f"{loose(head)}.{body}"] * (len(head) % 4 > 0)):
        refused(stack, tokens.sign(text, secret))
    user.get("/me", token=tokens.sign(f"{head}.{body}", secret)).ok()


def test_a_claim_that_is_there_twice_makes_nobody_another(stack, user):
    """Whoever can sign decides; a repeated name is the last one, for the worker as for the log."""
    other = stack.user()
    now = int(time.time())
    body = (f'{{"iss":"jobforge","aud":"jobforge-api","sub":"{other.id}","sub":"{user.id}","iat":{now},"exp":1,'
            f'"exp":{now + 60}}}')
    head = tokens.part({"alg": "HS256", "typ": "at+jwt", "kid": "first"})
    token = tokens.sign(f"{head}.{tokens.part(body.encode())}", stack.keys[0][1])
    assert user.get("/me", token=token).ok()["id"] == user.id


@pytest.mark.parametrize("headers", [
    {"Authorization_": "Bearer {}"}, {"HTTP_AUTHORIZATION": "Bearer {}"}, {"X-Authorization": "Bearer {}"},
    {"Proxy-Authorization": "Bearer {}"}, {"X-Forwarded-Authorization": "Bearer {}"},
    {"Cookie": "Authorization=Bearer {}"},
    {"X-User-Id": "{}"}, {"X-Remote-User": "{}"}, {"X-Original-Authorization": "Bearer {}"},
    {"Authorization": "Digest {}"},
    {"Authorization": "Bearer\t{}"}, {"Authorization": "Bearer  {}"}, {"Authorization": "Bearer {},"},
    {"Authorization": "Bearer \"{}\""},
], ids=str)
def test_a_token_anywhere_else_is_none(stack, user, headers):
    stack.anyone.get("/me", headers={name: value.format(user.token) for name, value in headers.items()}).problem(401)


# --- Guessing -------------------------------------------------------------------------------------------------------

def test_a_guesser_keeps_nobody_from_a_session_that_is_there(stack, user):
    """
    Guesses shut an address for new sign-ins until the window ends. Whoever is signed in stays so, here and after a
    refresh.
    """
    attacker_sees = [login(stack, user, "wrong password").status for _ in range(7)]
    assert attacker_sees == [401] * 5 + [429] * 2
    login(stack, user).problem(429, slug="too-many-attempts")
    user.get("/me").ok()
    user.create()
    session = stack.anyone.post("/auth/refresh", {"refresh_token": user.refresh_token}).ok()
    user.patch("/me", {"full_name": "Still Here"}, token=session["access_token"]).ok()
    stack.anyone.post("/auth/logout", {"refresh_token": session["refresh_token"]}).ok(204)
    stack.sql("UPDATE jobforge.login_attempts SET window_start = window_start - interval '901 seconds'")
    login(stack, user).ok()


def test_a_guess_is_counted_before_it_is_looked_at(stack, user):
    """Or all that come at once would be looked at. One that is right does not show beyond the limit."""
    for _ in range(5):
        login(stack, user, "wrong password").problem(401)
    wrong, right = login(stack, user, "wrong password"), login(stack, user)
    assert wrong.status == right.status == 429
    assert (wrong.body.replace(wrong.headers["X-Request-Id"].encode(), b"")
            == right.body.replace(right.headers["X-Request-Id"].encode(), b""))


@pytest.mark.parametrize("write", [str.upper, str.title, lambda email: email + " ", lambda email: " " + email,
                                   lambda email: email + "\t", lambda email: email.replace("@", "＠"),
                                   lambda email: email.replace("e", "е", 1)])
def test_no_spelling_of_an_address_has_a_count_of_its_own(stack, user, write):
    """What finds the user counts as the user; what does not finds nobody."""
    for _ in range(6):
        login(stack, user, "wrong password")
    answer = stack.anyone.post("/auth/login", {"email": write(user.email), "password": PASSWORD})
    assert answer.status in (401, 422, 429), answer


@pytest.fixture(scope="module")
def limited():
    with Stack(nginx={"AUTH_RATE": "6r/m", "AUTH_BURST": "3"}, login_attempts=1000) as running:
        yield running


def test_one_address_that_tries_many_accounts_is_stopped(limited):
    """Behind a proxy on this host each of its clients has a count of its own."""
    victims = [limited.user() for _ in range(3)]

    def spray(address, count):
        return [limited.anyone.post("/auth/login", {"email": victims[number % 3].email, "password": f"guess {number}"},
                                    headers={"X-Forwarded-For": address}).status for number in range(count)]
    told = spray("203.0.113.50", 12)
    assert told[:4] == [401] * 4 and told[5:] == [429] * 7
    assert spray("203.0.113.51", 2) == [401, 401], "another client"
    assert spray("198.51.100.7, 203.0.113.50",
                 2)[-1] == 429, "what a client says of itself comes before what the proxy says of it"
    assert spray("127.0.0.1, 203.0.113.50", 2)[-1] == 429
    assert spray("203.0.113.50, 127.0.0.1", 2)[-1] == 429


def test_what_tells_whether_an_address_is_taken_is_as_slow_as_signing_in(limited):
    """PATCH /me does, as registering does, and costs no hash."""
    client, other = limited.user(), limited.user()
    told = [client.patch("/me", {"email": other.email},
                         headers={"X-Forwarded-For": "203.0.113.60"}).status for _ in range(10)]
    assert told[:4] == [409] * 4 and told[5:] == [429] * 5
    client.get("/me", headers={"X-Forwarded-For": "203.0.113.60"}).ok()
    register = [limited.anyone.post("/auth/register", {"email": other.email, "password": PASSWORD, "full_name": "X"},
                                    headers={"X-Forwarded-For": "203.0.113.61"}).status for _ in range(10)]
    assert register[:4] == [409] * 4 and register[5:] == [429] * 5


# --- Who has an account ---------------------------------------------------------------------------------------------

def test_an_account_that_is_shut_out_looks_like_none_to_a_guesser(stack, user):
    stack.sql("SELECT jobforge.user_disable(%s, 'x')", user.id)
    try:
        disabled = login(stack, user, "wrong password")
        unknown = stack.anyone.post("/auth/login", {"email": "x" + user.email, "password": "wrong password"})
        assert disabled.status == unknown.status == 401
        assert (disabled.body.replace(disabled.headers["X-Request-Id"].encode(), b"")
                == unknown.body.replace(unknown.headers["X-Request-Id"].encode(), b""))
    finally:
        stack.sql("SELECT jobforge.user_enable(%s)", user.id)


def test_an_account_from_before_the_cost_was_raised_takes_as_long_as_none(stack, user):
    """The bound is far from both the right figure (1) and the wrong one (1/64)."""
    (weak,), = stack.sql("SELECT password_hash FROM public.users WHERE id = %s", user.id)
    assert weak.startswith("$2b$04$")
    with Stack(plain=True, auth_workers=1, bcrypt_cost=10, login_attempts=1000) as slow:
        slow.user(email=user.email)
        slow.sql("UPDATE public.users SET password_hash = %s", weak)

        def cost(email):
            """Processor time of the workers: what else the machine does counts for nothing."""
            before = sum(cpu_seconds(pid) for pid in slow.workers())
            for _ in range(5):
                slow.anyone.post("/auth/login", {"email": email, "password": "wrong password"}).problem(401)
            return sum(cpu_seconds(pid) for pid in slow.workers()) - before
        assert cost(user.email) > 0.5 * cost("x" + user.email)


def test_tokens_that_are_unknown_spent_revoked_and_expired_are_the_same_to_whoever_sends_them(stack, user):
    spent = stack.user()
    stack.anyone.post("/auth/refresh", {"refresh_token": spent.refresh_token}).ok()
    revoked = stack.user()
    stack.anyone.post("/auth/logout", {"refresh_token": revoked.refresh_token}).ok(204)
    stack.sql("UPDATE jobforge.refresh_tokens SET expires_at = now() - interval '1 second' WHERE user_id = %s", user.id)
    stack.sql("UPDATE jobforge.refresh_tokens SET spent_at = spent_at - interval '1 minute' WHERE user_id = %s"
              " AND spent_at IS NOT NULL", spent.id)  # the grace is over
    told = set()
    for token in ("A" * 43, spent.refresh_token, revoked.refresh_token, user.refresh_token):
        answer = stack.anyone.post("/auth/refresh", {"refresh_token": token})
        answer.problem(401, slug="bad-refresh-token")
        told.add(answer.body.replace(answer.headers["X-Request-Id"].encode(), b""))
    assert len(told) == 1


def test_a_client_that_speaks_for_others_has_their_rights_one_by_one(stack, user):
    """One kept connection carries the requests of several users, as of a proxy: none has the user of the one before."""
    other = stack.user()
    shared = Client(stack)
    for _ in range(20):
        assert shared.get("/me", token=user.token).ok()["id"] == user.id
        shared.get("/me").problem(401)
        assert shared.get("/me", token=other.token).ok()["id"] == other.id
        shared.get("/me", token=user.token + "x").problem(401)
