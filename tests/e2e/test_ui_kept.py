"""The web UI in a real browser: nothing that was typed is lost, and nobody is told of what is none of theirs to mend."""

import secrets

import pytest
from selenium.webdriver.common.keys import Keys

from stack import wait_for

DESCRIPTION = "A position of which this text is the description, long enough to be one."
FACTS = "SELECT company_name, role_title, location FROM applications WHERE user_id = %s"
RESUME = "# Ada Example\n\nEngineer in Berlin, who has built things that work.\n\n## Experience\n\n- **Engineer, Acme**: tools\n"


@pytest.fixture
def application(user):
    return user.create("Acme", "Engineer")


def facts(stack, user):
    return stack.sql(FACTS, user.id)[0]


def area(page):
    return page.query("textarea.markdown")


def state(page, text):
    page.wait(lambda: page.texts(".save-state") == [text], f"{text} and not {page.texts('.save-state')}")


def all_void(stack, user):
    """The session has ended, and every access token with it."""
    stack.sql("DELETE FROM jobforge.refresh_families WHERE user_id = %s", user.id)
    stack.write_keys([("key-" + secrets.token_hex(4), secrets.token_bytes(32))])
    stack.reload()


def test_a_new_resume_that_was_typed_survives_a_reload(page, user):
    page.sign_in(user, "/resumes/new")
    page.fill("Name", "General")
    page.fill("Text", RESUME)
    page.reload()
    page.wait(lambda: page.value("Name") == "General" and page.value("Text") == RESUME, "what was typed")


def test_a_new_resume_added_offline_is_kept_and_sent(page, stack, user):
    page.sign_in(user, "/resumes/new")
    page.fill("Name", "General")
    page.fill("Text", RESUME)
    page.offline()
    page.click("Add the résumé")
    page.sees("Not sent yet")
    page.close_and_open("/resumes")
    wait_for(lambda: stack.sql("SELECT name FROM user_resumes WHERE user_id = %s", user.id) == [("General",)], 30, "sent")


def test_a_posting_being_edited_survives_a_reload(page, user, application):
    page.sign_in(user, f"/applications/{application['id']}")
    page.click("Edit posting")
    page.fill("Posting", DESCRIPTION * 3)
    page.reload()
    page.wait(lambda: page.has("field", "Posting") and page.value("Posting") == DESCRIPTION * 3, "what was typed")


def test_deciding_later_in_the_table_keeps_what_was_typed(page, user, application):
    page.expect(412)
    page.sign_in(user, "/table")
    page.click("Edit Engineer at Acme")
    page.fill("Role", "Mine")
    user.patch(f"/applications/{application['id']}", {"role_title": "Theirs"}).ok()
    page.keys(Keys.ENTER)
    page.click("Decide later")
    page.wait(lambda: page.has("field", "Role") and page.value("Role") == "Mine", "what was typed")


def test_an_edit_in_the_table_does_not_undo_what_others_changed_beside_it(page, stack, user, application):
    page.expect(412)
    page.sign_in(user, "/table")
    page.click("Edit Engineer at Acme")
    page.fill("Location", "Oslo")
    user.patch(f"/applications/{application['id']}", {"company_name": "Newer"}).ok()
    page.keys(Keys.ENTER)
    page.wait(lambda: page.has("control", "Keep mine") or not page.queries("tr.editing"), "an answer")
    if page.has("control", "Keep mine"):
        page.click("Keep mine")
    wait_for(lambda: facts(stack, user)[2] == "Oslo", 30, "the location")
    assert facts(stack, user)[0] == "Newer"


def test_an_edit_in_the_table_offline_is_kept_and_sent(page, stack, user, application):
    page.sign_in(user, "/table")
    page.click("Edit Engineer at Acme")
    page.fill("Location", "Oslo")
    page.offline()
    page.keys(Keys.ENTER)
    page.sees("offline")
    page.close_and_open("/table")
    wait_for(lambda: facts(stack, user)[2] == "Oslo", 30, "sent")


def test_an_answer_that_was_lost_is_no_conflict_with_oneself(page, stack, user, application):
    page.expect(412)
    page.sign_in(user, f"/applications/{application['id']}")
    page.click("Add a location")
    page.fill("Location", "Oslo")
    page.script("""const real = window.fetch;
        window.fetch = async (...words) => {
            const answer = await real(...words);
            if (words[1]?.method !== "PATCH") return answer;
            window.fetch = real;
            throw new TypeError("the answer is lost");
        };""")
    page.keys(Keys.ENTER)
    wait_for(lambda: facts(stack, user)[2] == "Oslo", 30, "the server has it")
    page.sees("Not sent yet")
    page.script("dispatchEvent(new Event('online'));")
    page.misses("Not sent yet")


def test_escape_twice_does_not_close_the_sign_in_that_is_needed(page, stack, user, application):
    page.expect(401)
    page.sign_in(user, f"/applications/{application['id']}/research_report")
    state(page, "Nothing written yet")
    all_void(stack, user)
    area(page).click()
    page.insert("What I found out about them.")
    page.sees("Please sign in again")
    for _ in range(4):
        page.keys(Keys.ESCAPE)
    assert page.has("heading", "Please sign in again")


def test_typing_in_one_tab_says_nothing_in_another(page, user, application):
    page.sign_in(user, f"/applications/{application['id']}/research_report")
    state(page, "Nothing written yet")
    first = page.tab("/board")
    page.sees("Acme")
    page.script("""window.said = [];
        const place = document.getElementById("notices");
        new MutationObserver(() => window.said.push(place.innerText)).observe(place, { childList: true });""")
    second = page.to(first)
    area(page).click()
    for _ in range(20):
        page.insert("some more words ")
        area(page).send_keys("x")
    state(page, "Saved")
    page.to(second)
    assert [text for text in page.script("return window.said;") if text] == []


def test_a_pasted_text_of_one_long_word_does_not_hold_up_the_page(page, user):
    page.sign_in(user, "/new/paste")
    page.find("field", "The posting, pasted")
    took = page.driver.execute_async_script("""
        const done = arguments[0];
        import("/js/posting.js").then(({ guess }) => {
            const times = [1, 2, 3].map(() => {
                const before = performance.now();
                guess("Aa".repeat(49000));
                return performance.now() - before;
            });
            done(Math.min(...times));
        });""")
    assert took < 1000, took


def test_an_application_that_was_opened_is_announced_by_its_name(page, user, application):
    page.sign_in(user)
    page.click("Acme Engineer")
    page.wait(lambda: "Acme" in page.script("return document.getElementById('announcer').textContent;"), "its name")


def test_the_link_to_sign_in_keeps_where_one_wanted_to_go(page):
    page.open("/numbers")
    page.at(r"/sign-in\?next=%2Fnumbers")
    page.click("Create an account")
    page.at(r"/sign-up\?next=%2Fnumbers")
    page.click_on("header a[href^='/sign-in']")
    page.at(r"/sign-in\?next=%2Fnumbers")


def test_one_escape_closes_the_search(page, user):
    page.sign_in(user)
    page.find("heading", "Applications")
    page.keys("/")
    page.query("dialog")
    page.insert("word")
    page.keys(Keys.ESCAPE)
    page.wait(lambda: page.queries("dialog") == [], "closed")


def test_a_resume_that_was_opened_has_the_focus_on_its_heading(page, user):
    user.post("/resumes", {"name": "General", "content": RESUME}).ok(201)
    page.sign_in(user, "/resumes")
    page.click_on(".row a")
    page.at("/resumes/.*")
    page.wait(lambda: page.script("return document.activeElement !== document.body;"), "the focus is somewhere")


def test_two_facts_changed_offline_are_no_conflict_with_each_other(page, stack, user, application):
    page.expect(412)
    page.sign_in(user, f"/applications/{application['id']}")
    page.find("heading", "Engineer Acme")
    page.offline()
    for control, field, text in (("Add a location", "Location", "Oslo"), ("Edit role", "Role", "Architect")):
        page.click(control)
        page.fill(field, text)
        page.keys(Keys.ENTER)
        page.sees("Not sent yet")
    user.patch(f"/applications/{application['id']}", {"company_name": "Newer"}).ok()
    page.offline(False)
    wait_for(lambda: facts(stack, user) == ("Newer", "Architect", "Oslo"), 60, "both are sent beside the other change")
    page.misses("Not sent yet")


def test_a_fact_being_edited_when_another_device_changed_it_shows_both_after_a_reload(page, stack, user, application):
    page.expect(412)
    page.sign_in(user, f"/applications/{application['id']}")
    page.click("Edit role")
    page.fill("Role", "Mine")
    user.patch(f"/applications/{application['id']}", {"role_title": "Theirs"}).ok()
    page.reload()
    page.wait(lambda: page.value("Role") == "Mine", "what was typed")
    page.find("field", "Role").send_keys(Keys.ENTER)
    page.sees("Changed in another place meanwhile", "Theirs")
    assert facts(stack, user)[1] == "Theirs"
    page.click("Take the other version")
    page.find("heading", "Theirs Acme")


def test_a_row_being_edited_survives_a_reload(page, stack, user, application):
    page.sign_in(user, "/table")
    page.click("Edit Engineer at Acme")
    page.fill("Location", "Oslo")
    page.reload()
    page.wait(lambda: page.value("Location") == "Oslo", "what was typed")
    page.click("Save")
    page.wait(lambda: page.queries("tr.editing") == [], "saved")
    assert facts(stack, user) == ("Acme", "Engineer", "Oslo")
    page.reload()
    page.sees("Oslo")
    assert page.queries("tr.editing") == []


def test_a_profile_and_a_name_changed_offline_are_sent(page, stack, user):
    resume = user.post("/resumes", {"name": "General", "content": RESUME}).ok(201)
    page.sign_in(user, "/account")
    page.fill("Your name", "Ada Other")
    page.offline()
    page.click("Save")
    page.sees("Not sent yet: Your profile")
    page.offline(False)
    wait_for(lambda: stack.sql("SELECT full_name FROM users WHERE id = %s", user.id) == [("Ada Other",)], 60, "sent")
    page.open(f"/resumes/{resume['id']}")
    state(page, "Saved")
    page.offline()
    page.replace(page.find("field", "Name of the résumé"), "Better name")
    page.keys(Keys.TAB)
    page.sees("Not sent yet: Résumé General")
    page.close_and_open("/numbers")
    wait_for(lambda: stack.sql("SELECT name FROM user_resumes WHERE id = %s", resume["id"]) == [("Better name",)], 60, "sent")


def test_what_is_typed_while_a_save_is_on_its_way_is_saved_though_the_page_is_left(page, stack, user, application):
    page.sign_in(user, f"/applications/{application['id']}/research_report")
    state(page, "Nothing written yet")
    area(page).click()
    page.insert("What I found out about them.")
    # In one moment, the first save on its way: more is typed, and the page is left.
    page.script("""
        const area = document.querySelector("textarea.markdown");
        const save = new KeyboardEvent("keydown", { key: "s", ctrlKey: true, bubbles: true });
        area.dispatchEvent(save);
        area.value += " And more.";
        area.dispatchEvent(new Event("input", { bubbles: true }));
        document.querySelector('nav a[href="/numbers"]').click();""")
    page.at("/numbers")
    wait_for(lambda: stack.sql("SELECT content FROM documents WHERE application_id = %s", application["id"]) ==
             [("What I found out about them. And more.",)], 30, "all of it is saved")
    page.misses("Not sent yet")
