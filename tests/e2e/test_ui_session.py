"""The web UI in a real browser: who is signed in, in one tab and in several, and what happens when that ends."""

import secrets

from selenium.webdriver.common.keys import Keys

from browser import Chromium
from stack import PASSWORD, Stack

REFRESH = "/api/v1/auth/refresh"
FAMILIES = "SELECT count(*) FROM jobforge.refresh_families WHERE user_id = %s AND revoked_at IS NULL"


def forget_access_tokens(stack):
    """Every access token is void from here on, as when its time is over."""
    stack.write_keys([("key-" + secrets.token_hex(4), secrets.token_bytes(32))])
    stack.reload()


def test_sign_up_leads_to_the_first_visit(page, stack):
    email = f"new-{secrets.token_hex(4)}@example.com"
    page.open("/")
    page.at("/sign-in")
    page.click("Create an account")
    page.at("/sign-up", "Create your account")
    page.fill("Your name", "Ada New")
    page.fill("Email", email)
    page.fill("Password", "a fine password")
    page.click("Create account")
    page.at("/board")
    page.sees("This is how to begin", "Paste a posting")
    assert stack.sql("SELECT full_name FROM users WHERE email = %s", email) == [("Ada New",)]


def test_sign_up_tells_what_is_wrong_at_the_field(page, stack, user):
    page.expect(409)
    page.open("/sign-up")
    page.fill("Your name", "Ada New")
    page.fill("Email", "no address")
    page.fill("Password", "short")
    page.click("Create account")
    page.wait(lambda: len(page.queries("[aria-invalid=true]")) == 2, "two fields at fault")
    page.wait_focus("Email")
    page.fill("Email", user.email)
    page.fill("Password", "ä" * 40)
    page.click("Create account")
    page.wait(lambda: page.find("field", "Password").get_attribute("aria-invalid") == "true", "fault at the password")
    page.sees("72 bytes")
    page.fill("Password", "long enough")
    page.click("Create account")
    page.wait(lambda: page.find("field", "Email").get_attribute("aria-invalid") == "true", "fault at the email")
    page.wait_focus("Email")
    assert page.path == "/sign-up" and page.value("Your name") == "Ada New"


def test_sign_in_goes_on_where_one_wanted_to_go(page, user):
    page.open("/numbers")
    page.at(r"/sign-in\?next=.*", "Sign in")
    page.fill("Email", user.email)
    page.fill("Password", PASSWORD)
    page.keys(Keys.ENTER)
    page.at("/numbers", "Numbers")


def test_a_wrong_password_is_told_and_the_address_stays(page, user):
    page.expect(401)
    page.open("/sign-in")
    page.fill("Email", user.email)
    page.fill("Password", "wrong password")
    page.keys(Keys.ENTER)
    page.wait(lambda: page.texts(".form-fault") != [] and page.texts(".form-fault")[0], "a word about it")
    assert page.value("Email") == user.email and page.path == "/sign-in"


def test_next_leads_to_no_other_host(page, user):
    for elsewhere in ("//example.com/", "/\\example.com", "https://example.com/"):
        page.sign_in(user, "/sign-in?next=" + elsewhere)
        page.at("/board")
        page.driver.delete_all_cookies()


def test_a_reload_stays_signed_in_by_a_cookie_that_scripts_cannot_read(page, user):
    page.open("/sign-in")
    page.fill("Email", user.email)
    page.fill("Password", PASSWORD)
    page.click_on("form [type=submit]")
    page.at("/board")
    page.reload()
    page.find("heading", "Applications")
    assert page.path == "/board"
    assert page.script("return document.cookie;") == ""
    kept = page.script("return JSON.stringify({ ...localStorage, ...sessionStorage });")
    assert "eyJ" not in kept, "no token where a script could find it later"
    cookies = page.driver.execute_cdp_cmd("Network.getCookies", {"urls": [page.base + REFRESH]})["cookies"]
    assert cookies and all(one["httpOnly"] and one["secure"] and one["sameSite"] == "Strict" for one in cookies)


def test_sign_out_ends_the_session_everywhere(page, stack, user):
    before = stack.sql(FAMILIES, user.id)[0][0]
    page.sign_in(user)
    page.find("heading", "Applications")
    first = page.tab("/resumes")
    page.find("heading", "Résumés")
    page.click("Sign out")
    page.at("/sign-in")
    page.to(first)
    page.at("/sign-in")
    assert stack.sql(FAMILIES, user.id)[0][0] == before
    page.back()
    page.at("/sign-in.*", "Sign in")
    page.open("/board")
    page.at(r"/sign-in\?.*")
    assert "Acme" not in page.text()


def test_tabs_share_one_refresh(page, stack, user):
    user.create("Acme", "Engineer")
    page.expect(401)
    page.sign_in(user)
    page.sees("Acme")
    first = page.tab("/board")
    page.sees("Acme")
    forget_access_tokens(stack)
    before = len(page.requests("POST", REFRESH))
    moment = page.script("return Date.now() + 1000;")
    for _ in range(2):
        # Both find their token void at the same moment.
        page.script("""setTimeout(() => document.querySelector('nav a[href="/resumes"]').click(),
            arguments[0] - Date.now());""", moment)
        first = page.to(first)
    for _ in range(2):
        page.at("/resumes")
        page.sees("No résumé yet")
        first = page.to(first)
    assert len(page.requests("POST", REFRESH)) - before == 1


def test_a_token_is_renewed_before_it_runs_out():
    with Stack(access_token_lifetime=62) as brief, Chromium(brief) as chromium:
        user = brief.user()
        page = chromium.page()
        page.sign_in(user)
        page.find("heading", "Applications")
        before = len(page.requests("POST", REFRESH))
        page.wait(lambda: len(page.requests("POST", REFRESH)) > before, "another token, without anybody asking")
        assert 401 not in {line["status"] for line in brief.access_log()}
        page.close()


def test_the_end_of_a_session_loses_nothing_that_was_typed(page, stack, user):
    application = user.create("Acme", "Engineer")
    page.expect(401)
    page.sign_in(user, f"/applications/{application['id']}/research_report")
    page.sees("Nothing written yet")
    other = user.post("/me/password", {"current_password": PASSWORD, "new_password": "another password"})
    assert other.status == 204
    user.password = "another password"
    forget_access_tokens(stack)
    page.find("field", "Research, Engineer at Acme").click()
    page.insert("What I found out about them.")
    page.sees("Please sign in again")
    page.keys(Keys.ESCAPE)
    page.sees("Please sign in again")
    page.fill("Password", "another password")
    page.click("Sign in")
    page.misses("Please sign in again")
    page.wait(lambda: page.texts(".save-state") == ["Saved"], "saved")
    assert page.value("Research, Engineer at Acme") == "What I found out about them."
    content, = stack.sql("SELECT content FROM documents WHERE application_id = %s", application["id"])[0]
    assert content == "What I found out about them."


def test_a_revoked_session_at_the_start_is_a_sign_in_that_goes_on(page, stack, user):
    page.expect(401)
    page.sign_in(user)
    page.find("heading", "Applications")
    stack.sql("DELETE FROM jobforge.refresh_families WHERE user_id = %s", user.id)
    page.open("/account")
    page.at(r"/sign-in\?next=%2Faccount")
    page.fill("Email", user.email)
    page.fill("Password", PASSWORD)
    page.click_on("form [type=submit]")
    page.at("/account", "Account")


def test_somebody_else_signing_in_shows_nothing_of_the_one_before(page, stack, user):
    other = stack.user()
    user.create("Secret company", "Engineer")
    page.sign_in(user)
    page.sees("Secret company")
    first = page.tab("/favicon.svg")
    page.sign_in(other)
    page.sees("This is how to begin")
    page.to(first)
    page.misses("Secret company")
    page.reload()
    page.sees("This is how to begin")
    assert "Secret company" not in page.text()
