"""The web UI in a real browser: a server that is busy, slow, away or says no, without anything in between that plays it."""

import os
import signal
from contextlib import contextmanager

import pytest
from selenium.webdriver.common.keys import Keys

from browser import Chromium
from stack import PASSWORD, Stack, connect, wait_for

OPTIONS = {"login_attempts": 3, "login_window": 15}
CONTENT = "SELECT content FROM documents WHERE application_id = %s"
LOST = (r"terminating connection", r"closed the connection", r"connection to server", r"not currently accepting",
        r"connection", r"57P0")


@pytest.fixture
def application(user):
    return user.create("Acme", "Engineer")


@contextmanager
def no_database(stack):
    """The database takes no connections and ends those that there are."""
    stack.allow_errors(*LOST)
    control = connect("postgres")
    sql = control.cursor()
    try:
        sql.execute(f'ALTER DATABASE "{stack.name}" ALLOW_CONNECTIONS false')
        stack.sql("SELECT count(pg_terminate_backend(pid, 5000)) FROM pg_stat_activity WHERE datname = %s"
                  " AND pid <> pg_backend_pid()", stack.name)
        yield
    finally:
        sql.execute(f'ALTER DATABASE "{stack.name}" ALLOW_CONNECTIONS true')
        control.close()


@contextmanager
def frozen(stack):
    """No worker does anything."""
    workers = stack.workers()
    for pid in workers:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in workers:
            os.kill(pid, signal.SIGCONT)


@contextmanager
def down(stack):
    """No worker is there, as while the service is being started again."""
    stack.jobforged.terminate()
    stack.hang_up()  # or the workers would wait for what nginx may still send
    stack.stop_jobforged()
    try:
        yield
    finally:
        stack.start_jobforged()
        stack.wait_ready()


def area(page):
    return page.query("textarea.markdown")


def state(page, text):
    page.wait(lambda: page.texts(".save-state") == [text], lambda: f"{text} and not {page.texts('.save-state')}")


# ---- 429 ----

def test_too_many_sign_ins_are_told_and_the_next_goes_by_itself(page, stack, user):
    page.expect(429)
    page.open("/sign-in")
    page.fill("Email", user.email)
    for _ in range(3):
        stack.anyone.post("/auth/login", {"email": user.email, "password": "wrong password"}).problem(401)
    page.fill("Password", PASSWORD)
    page.keys(Keys.ENTER)
    page.sees("Too many requests: trying again in")
    page.at("/board", "Applications")
    page.misses("Too many requests")


def test_a_client_over_its_rate_gets_everything_a_little_later():
    """nginx limits no client on this host: this one comes through a proxy, which names another."""
    with Stack(nginx={"API_RATE": "1r/s", "API_BURST": "1"}) as limited:
        user = limited.user()
        user.create("Acme", "Engineer")
        with Chromium(limited, f"http://127.0.0.1:{limited.http_port}") as chromium:
            page = chromium.page()
            page.expect(429)
            page.driver.execute_cdp_cmd("Network.setExtraHTTPHeaders", {"headers": {"X-Forwarded-For": "203.0.113.9"}})
            page.open("/sign-in")
            page.fill("Email", user.email)
            page.fill("Password", PASSWORD)
            page.script("""window.said = [];
                const place = document.getElementById("toasts");
                new MutationObserver(() => window.said.push(place.innerText)).observe(place, { childList: true });""")
            page.keys(Keys.ENTER)
            told = "return window.said.some((text) => text.includes('Too many requests: trying again in'));"
            page.wait(lambda: page.script(told), "a word about it, which may have gone again")
            page.wait(lambda: page.texts(".card strong") == ["Acme"], "the board")
            page.wait(lambda: page.texts(".column .count") == ["1", "0", "0", "0"], "all columns")
            assert {line["status"] for line in limited.access_log() if "applications" in line["uri"]} >= {200, 429}
            page.close()


# ---- 502, 503, 504 ----

def test_a_database_that_goes_in_mid_save_costs_nothing(page, stack, user, application):
    page.expect(503)
    page.sign_in(user, f"/applications/{application['id']}/research_report")
    state(page, "Nothing written yet")
    with no_database(stack):
        area(page).click()
        page.insert("Written while there was no database.")
        page.sees("The server is busy: trying again in")
        page.insert(" And some more.")
    state(page, "Saved")
    assert stack.sql(CONTENT, application["id"]) == [("Written while there was no database. And some more.",)]
    page.misses("The server is busy")


def test_a_database_that_is_away_at_the_start_is_waited_for(page, stack, user):
    user.create("Acme", "Engineer")
    page.expect(503)
    page.sign_in(user)
    page.sees("Acme")
    with no_database(stack):
        page.reload()
        page.sees("The server is busy: trying again in")
        assert page.path == "/board" and not page.has("heading", "Sign in")
    page.wait(lambda: page.texts(".card strong") == ["Acme"], "the board, without a click")


def test_a_server_that_hangs_in_mid_save_costs_nothing(page, stack, user, application):
    page.expect(504)
    page.sign_in(user, f"/applications/{application['id']}/research_report")
    state(page, "Nothing written yet")
    with frozen(stack):
        area(page).click()
        page.insert("Written while nobody answered.")
        state(page, "Kept here, not sent yet")
    state(page, "Saved")
    assert stack.sql(CONTENT, application["id"]) == [("Written while nobody answered.",)]


def test_a_form_sent_while_the_server_is_down_is_created_once(page, stack, user):
    page.expect(502, 503, 504)
    page.sign_in(user, "/new")
    page.fill("Company", "Acme")
    page.fill("Role", "Engineer")
    page.fill("The posting", "A position of which this text is the description, long enough to be one.")
    with down(stack):
        page.click("Add the application")
        page.sees("The server is busy: trying again in")
    page.at("/applications/.*", "Engineer Acme")
    assert stack.sql("SELECT count(*) FROM applications WHERE user_id = %s", user.id) == [(1,)]


def test_a_page_asked_for_while_the_server_is_down_comes_by_itself(page, stack, user):
    user.create("Acme", "Engineer")
    page.expect(502, 503, 504)
    page.sign_in(user, "/numbers")
    page.find("heading", "Numbers")
    with down(stack):
        page.click("Applications")
        page.sees("The server is busy: trying again in")
    page.wait(lambda: page.texts(".card strong") == ["Acme"], "the board, without a click")


def test_a_page_that_failed_says_so_and_comes_when_asked_again(page, stack, user):
    user.create("Acme", "Engineer")
    page.sign_in(user, "/account")
    page.find("heading", "Account")
    page.offline()
    page.script("document.querySelector('nav a[href=\"/resumes\"]').click();")
    page.sees("No connection", "You are offline")
    page.offline(False)
    page.sees("No résumé yet")


# ---- 409, 422 ----

def test_a_document_that_has_lost_its_ground_is_told(page, stack, user, application):
    """The research is deleted on another device while the résumé is being written: 409."""
    page.expect(409)
    path = f"/applications/{application['id']}"
    user.put(f"{path}/documents/research_report", {"content": "What there is to know."}).ok(201)
    page.sign_in(user, path + "/optimized_resume")
    state(page, "Nothing written yet")
    assert user.delete(f"{path}/documents/research_report").status == 204
    area(page).click()
    page.insert("A résumé that is long enough.")
    page.wait(lambda: "".join(page.texts(".save-state")).startswith("Not saved:"), "a word about it")
    user.put(f"{path}/documents/research_report", {"content": "What there is to know."}).ok(201)
    page.reload()
    page.wait(lambda: area(page).get_attribute("value") == "A résumé that is long enough.", "what was typed")
    state(page, "Saved")


def test_what_the_server_refuses_of_a_row_is_told_at_its_field(page, stack, user, application):
    page.expect(422)
    page.sign_in(user, "/table")
    page.click("Edit Engineer at Acme")
    page.fill("Role", "")
    page.keys(Keys.ENTER)
    page.wait(lambda: page.find("field", "Role").get_attribute("aria-invalid") == "true", "the fault")
    page.wait_focus("Role")
    page.fill("Role", "Architect")
    page.keys(Keys.ENTER)
    wait_for(lambda: stack.sql("SELECT role_title FROM applications WHERE user_id = %s", user.id) == [("Architect",)], 30,
             "the role")


# ---- Motion, focus, the keyboard alone ----

def test_motion_can_be_turned_off(page, user):
    page.sign_in(user)
    moving = """
        const place = document.getElementById("toasts");
        return import("/js/ui.js").then(({ toast }) => {
            const end = toast("Words");
            const moves = getComputedStyle(place.lastChild).animationName !== "none";
            end();
            return moves;
        });"""
    page.find("heading", "Applications")
    page.media(prefers_reduced_motion="no-preference")
    assert page.script(moving) is True
    page.media(prefers_reduced_motion="reduce")
    assert page.script(moving) is False
    page.media()


# Whether anything that can be seen has this in its name, as Page.focus() tells it.
NAMED = """
return [...document.querySelectorAll("a[href], button, input, textarea, select, summary, [tabindex]")].some((node) =>
    node.checkVisibility() && (node.getAttribute("aria-label") || node.labels?.[0]?.textContent || node.innerText || node.tagName)
        .replace(/\\s+/g, " ").trim().includes(arguments[0]));
"""


def tab_to(page, name, limit=60):
    """Presses Tab until a control has the focus; each stop on the way is seen to have it."""
    stops = []
    page.wait(lambda: page.script(NAMED, name), f"{name!r} to go to")
    for _ in range(limit):
        page.keys(Keys.TAB)
        stops.append(page.focus())
        if stops[-1]:
            assert page.script("""const node = document.activeElement;
                const shown = [node, ...node.querySelectorAll("*"), node.nextElementSibling].filter(Boolean);
                const drawn = (one, part) => getComputedStyle(one, part).outlineStyle !== "none";
                return shown.some((one) => drawn(one) || drawn(one, "::after")) || getComputedStyle(node).boxShadow !== "none";
                """), f"the focus on {stops[-1]!r} cannot be seen"
        if name in stops[-1]:
            return
    raise AssertionError(f"Tab never comes to {name!r}: {stops}")


def test_a_day_by_the_keyboard_alone(page, stack, user):
    page.open("/sign-in")
    tab_to(page, "Email")
    page.insert(user.email)
    tab_to(page, "Password")
    page.insert(PASSWORD)
    page.keys(Keys.ENTER)
    page.at("/board")
    page.sees("This is how to begin")
    page.keys("n")
    page.at("/new")
    for label, text in (("Company", "Acme"), ("Role", "Engineer"), ("Location", "Oslo"),
                        ("The posting", "A position of which this text is the description, long enough to be one.")):
        tab_to(page, label)
        page.insert(text)
    tab_to(page, "Add the application")
    page.keys(Keys.ENTER)
    page.at("/applications/.*", "Engineer Acme")
    page.wait_focus("Engineer")
    tab_to(page, "Research")
    page.keys(Keys.ENTER)
    page.at(".*/research_report")
    page.wait_focus("Engineer")
    tab_to(page, "Research, Engineer at Acme")
    page.insert("What I found out about them.")
    page.keys(Keys.CONTROL, "s")
    state(page, "Saved")
    page.wait_focus("Research, Engineer at Acme")
    page.find("control", "Delete the research")  # it comes when the first text has been saved
    for _ in range(20):
        if "Delete the research" in page.focus():
            break
        page.keys(Keys.SHIFT, Keys.TAB)
    page.wait_focus("Delete the research")
    page.keys(Keys.ENTER)
    page.sees("Delete the research?")
    page.keys(Keys.ESCAPE)
    page.wait_focus("Delete the research")
    page.keys(Keys.ENTER)
    page.sees("Delete the research?")
    page.keys(Keys.ENTER)
    page.sees("The research is deleted.")
    page.wait_focus("Engineer")
    page.keys("t")
    page.at("/table")
    page.sees("Acme")
    tab_to(page, "Delete Engineer at Acme")
    page.keys(Keys.ENTER)
    page.sees("is deleted.")
    page.hold_undo()
    page.wait(lambda: page.focus() != "", "the focus is somewhere")
    tab_to(page, "Undo")
    page.keys(Keys.ENTER)
    page.wait(lambda: page.texts("tbody tr:not(.shape) th strong") == ["Acme"], "it is back")
    page.wait(lambda: page.focus() != "", "the focus is somewhere")
    assert len(stack.sql("SELECT 1 FROM applications WHERE user_id = %s", user.id)) == 1


def test_the_focus_stays_with_what_was_done(page, stack, user):
    resume = {"content": "# Ada Example\n\n" + "Engineer in Berlin, who has built things that work. " * 3}
    for name in ("General", "For managers", "Third"):
        user.post("/resumes", {"name": name, **resume}).ok(201)
    page.sign_in(user, "/resumes")
    page.expect(404)  # what was asked about the third before it was deleted may be answered afterwards
    page.click("Make Third the primary résumé")
    page.wait_focus("Third")
    page.click("Delete Third")
    page.sees("Delete Third?")
    page.keys(Keys.ENTER)
    page.wait(lambda: len(page.queries(".row a")) == 2, "two are left")  # the text is the dialog's as long as that is open
    page.wait(lambda: page.focus() != "", "the focus is somewhere")
    page.click_on(".row a")
    page.at("/resumes/.*")
    state(page, "Saved")
    page.replace(page.find("field", "Name of the résumé"), "Better name")
    page.keys(Keys.TAB)
    wait_for(lambda: stack.sql("SELECT 1 FROM user_resumes WHERE user_id = %s AND name = 'Better name'", user.id), 30, "saved")
    page.wait(lambda: page.title.startswith("Better name"), "the new name")
    assert page.focus() != ""
