"""The web UI in a real browser: a change that waited never takes the place of a newer one, and no newer one is lost by it."""

import pytest
from selenium.webdriver import ActionChains
from selenium.webdriver.common.keys import Keys

from stack import wait_for

TEXT = "What I found out about them."
RESUME = "# Ada Example\n\nEngineer in Berlin, who has built things that work.\n\n## Experience\n\n- **Engineer, Acme**: tools\n"
PRIORITY = "Priority of Engineer at Acme"

# What is changed from here on is lost on its way, or held back until it is let go, or passes.
NET = """
const real = window.fetch;
window.net = { way: "pass", held: [], answered: 0 };
window.fetch = async (...words) => {
    if (!/PATCH|PUT/.test(words[1]?.method)) return real(...words);
    if (net.way === "lose") throw new TypeError("it is lost");
    if (net.way === "hold") await new Promise((resolve) => net.held.push(resolve));
    const answer = await real(...words);
    net.answered++;
    return answer;
};
"""


@pytest.fixture
def application(user):
    return user.create("Acme", "Engineer")


@pytest.fixture
def resume(user):
    return user.post("/resumes", {"name": "General", "content": RESUME}).ok(201)


def way(page, name):
    page.script(("" if page.script("return 'net' in window;") else NET) + "net.way = arguments[0];", name)


def flush(page):
    """Sends what waits, as the timer does, and comes back when that is done."""
    fault = page.driver.execute_async_script("""
        const done = arguments[0];
        import("/js/outbox.js").then(({ flush }) => flush()).then(() => done(null), (problem) => done(problem.message));""")
    assert fault is None, fault


def nothing_waits(page):
    page.misses("Not sent yet")
    assert page.script("return Object.keys(localStorage).filter((name) => name.startsWith('jobforge-outbox'));") == []


def hold_the_kept(page):
    """Has what waits sent, and held back on its way."""
    way(page, "hold")
    page.script("dispatchEvent(new Event('online'));")
    page.wait(lambda: page.script("return net.held.length;") == 1, "it is on its way")


def wait_until_it_is_sent_or_waits(page, answered):
    """The newer change has been answered, or waits for the older one."""
    page.wait(lambda: page.driver.execute_async_script("""
        const [answered, done] = arguments;
        navigator.locks.query().then(({ pending }) => done(pending.length > 0 || net.answered > answered));""", answered),
        "an answer, or its turn")


def priority(stack, application):
    return stack.sql("SELECT priority_level::text FROM applications WHERE id = %s", application["id"])[0][0]


def facts(stack, application):
    return stack.sql("SELECT company_name, role_title, location FROM applications WHERE id = %s", application["id"])[0]


def head(stack, resume):
    return stack.sql("SELECT name, focus_area::text FROM user_resumes WHERE id = %s", resume["id"])[0]


def profile(stack, user):
    return stack.sql("SELECT full_name FROM users WHERE id = %s", user.id)[0][0]


def choose(page, label, value):
    """At once: by the keyboard, what is typed within a second is one word."""
    page.script("""const [field, value] = arguments;
        field.value = value;
        field.dispatchEvent(new Event("change", { bubbles: true }));""", page.find("field", label), value)


def edit(page, control, field, text):
    page.click(control)
    page.fill(field, text)
    page.keys(Keys.ENTER)


def rename(page, name):
    page.replace(page.find("field", "Name of the résumé"), name)
    page.keys(Keys.TAB)


# ---- A newer change that was acknowledged ----

def test_an_older_priority_does_not_come_after_a_newer_one(page, stack, user, application):
    page.sign_in(user)
    page.find("field", PRIORITY)
    way(page, "lose")
    choose(page, PRIORITY, "high")
    page.sees("Not sent yet: Priority of Engineer at Acme")
    way(page, "pass")
    choose(page, PRIORITY, "low")
    wait_for(lambda: priority(stack, application) == "low", 30, "the newer one")
    flush(page)
    assert priority(stack, application) == "low"
    nothing_waits(page)


def test_an_older_profile_does_not_come_after_a_newer_one(page, stack, user):
    page.sign_in(user, "/account")
    page.fill("Your name", "First Try")
    way(page, "lose")
    page.click("Save")
    page.sees("Not sent yet: Your profile")
    way(page, "pass")
    page.fill("Your name", "Second Try")
    page.click("Save")
    wait_for(lambda: profile(stack, user) == "Second Try", 30, "the newer one")
    flush(page)
    assert profile(stack, user) == "Second Try"
    nothing_waits(page)


def test_an_older_name_of_a_resume_does_not_come_after_a_newer_one_and_its_focus_comes(page, stack, user, resume):
    page.sign_in(user, f"/resumes/{resume['id']}")
    page.find("field", "Name of the résumé")
    way(page, "lose")
    rename(page, "First")
    page.sees("Not sent yet: Résumé General")
    choose(page, "Focus", "consulting")
    page.wait(lambda: "focus_area" in page.script("return Object.values(localStorage).join();"), "the focus is kept")
    way(page, "pass")
    rename(page, "Second")
    wait_for(lambda: head(stack, resume)[0] == "Second", 30, "the newer one")
    flush(page)
    assert head(stack, resume) == ("Second", "consulting")
    nothing_waits(page)


def test_the_resume_that_was_made_primary_first_does_not_come_after_the_one_made_so_now(page, stack, user, resume):
    second, _ = [user.post("/resumes", {"name": name, "content": RESUME}).ok(201) for name in ("Second", "Third")]
    page.sign_in(user, f"/resumes/{second['id']}")
    page.find("control", "Make primary")
    way(page, "lose")
    page.click("Make primary")
    page.sees("Not sent yet")
    page.click("Résumés")
    page.find("control", "Make Third the primary résumé")
    way(page, "pass")
    page.click("Make Third the primary résumé")
    page.wait(lambda: page.texts(".row strong")[0] == "Third", "the newer one")
    flush(page)
    assert stack.sql("SELECT name FROM user_resumes WHERE user_id = %s AND is_primary", user.id) == [("Third",)]
    nothing_waits(page)


def test_a_fact_that_was_set_back_stays_so_and_what_waits_beside_it_is_sent(page, stack, user, application):
    page.expect(412)
    page.sign_in(user, f"/applications/{application['id']}")
    page.find("control", "Edit role")
    way(page, "lose")
    edit(page, "Edit role", "Role", "Architect")
    page.sees("Not sent yet: Role of Engineer at Acme")
    edit(page, "Add a location", "Location", "Oslo")
    page.sees("Not sent yet: Role, Location of")
    way(page, "pass")
    edit(page, "Edit role", "Role", "Engineer")
    page.find("heading", "Engineer Acme")
    page.misses("Not sent yet: Role")
    flush(page)
    assert facts(stack, application) == ("Acme", "Engineer", "Oslo")
    nothing_waits(page)


@pytest.mark.parametrize("newer", ["Engineer", "Director"])
def test_a_fact_changed_again_beside_the_change_of_another_device_is_no_conflict(page, stack, user, application, newer):
    page.expect(412)
    page.sign_in(user, f"/applications/{application['id']}")
    page.find("control", "Edit role")
    way(page, "lose")
    edit(page, "Edit role", "Role", "Architect")
    page.sees("Not sent yet: Role of Engineer at Acme")
    user.patch(f"/applications/{application['id']}", {"company_name": "Newer"}).ok()
    way(page, "pass")
    edit(page, "Edit role", "Role", newer)
    page.find("heading", f"{newer} Newer")
    flush(page)
    assert facts(stack, application) == ("Newer", newer, None)
    nothing_waits(page)


def test_the_version_of_another_device_that_was_taken_stays(page, stack, user, application):
    page.expect(412)
    page.sign_in(user, f"/applications/{application['id']}")
    page.find("control", "Edit role")
    way(page, "lose")
    edit(page, "Edit role", "Role", "Architect")
    page.sees("Not sent yet: Role of Engineer at Acme")
    user.patch(f"/applications/{application['id']}", {"role_title": "Theirs"}).ok()
    edit(page, "Edit role", "Role", "Director")
    page.find("heading", "Director Acme")
    way(page, "pass")
    edit(page, "Edit role", "Role", "Manager")
    page.sees("Changed in another place meanwhile")
    page.click("Take the other version")
    page.find("heading", "Theirs Acme")
    flush(page)
    assert facts(stack, application)[1] == "Theirs"
    nothing_waits(page)


def test_what_another_tab_has_changed_since_is_not_changed_back(page, stack, user, application):
    page.sign_in(user, f"/applications/{application['id']}")
    page.find("field", "Priority")
    first = page.tab("/table")
    page.find("field", PRIORITY)
    way(page, "lose")  # or it might send by itself what the first has kept
    second = page.to(first)
    way(page, "lose")
    choose(page, "Priority", "high")
    page.sees("Not sent yet")
    page.to(second)
    way(page, "pass")
    choose(page, PRIORITY, "low")
    wait_for(lambda: priority(stack, application) == "low", 30, "the newer one")
    page.to(first)
    way(page, "pass")
    flush(page)
    assert priority(stack, application) == "low"
    nothing_waits(page)


# ---- A newer change while the older one is on its way ----

def test_a_newer_priority_comes_after_the_older_one_that_is_on_its_way(page, stack, user, application):
    page.sign_in(user)
    page.find("field", PRIORITY)
    way(page, "lose")
    choose(page, PRIORITY, "high")
    page.sees("Not sent yet")
    hold_the_kept(page)
    way(page, "pass")
    choose(page, PRIORITY, "low")
    wait_until_it_is_sent_or_waits(page, 0)
    page.script("net.held[0]();")
    page.wait(lambda: page.script("return net.answered;") == 2, "both are answered")
    nothing_waits(page)
    assert priority(stack, application) == "low"


def test_a_newer_priority_that_is_lost_while_the_older_one_is_on_its_way_is_kept(page, stack, user, application):
    page.sign_in(user)
    page.find("field", PRIORITY)
    way(page, "lose")
    choose(page, PRIORITY, "high")
    page.sees("Not sent yet")
    hold_the_kept(page)
    way(page, "lose")
    choose(page, PRIORITY, "low")
    page.wait(lambda: page.script("return Object.values(localStorage).join().includes('low');") or
              page.driver.execute_async_script("navigator.locks.query().then((all) => arguments[0](all.pending.length > 0));"),
              "it is kept, or waits for its turn")
    page.script("net.held[0]();")
    page.wait(lambda: page.script("return net.answered;") == 1, "the older one is answered")
    page.wait(lambda: page.script("return Object.values(localStorage).join().includes('low');"), "the newer one is kept")
    way(page, "pass")
    flush(page)
    assert priority(stack, application) == "low"
    nothing_waits(page)


@pytest.mark.parametrize("version", [None, '"0"'], ids=["taken", "refused"])
def test_a_text_kept_while_an_older_one_is_on_its_way_stays_as_it_is(page, user, application, version):
    page.expect(412)
    path = f"/applications/{application['id']}/documents/research_report"
    etag = user.put(path, {"content": "What was there."}).ok(201) and user.get(path).headers["etag"]
    page.sign_in(user)
    page.find("heading", "Applications")
    way(page, "hold")
    page.script("""
        const [path, etag] = arguments;
        const keep = (content) => import("/js/outbox.js").then((outbox) => {
            const entry = { key: "document", label: "Research", method: "PUT", path, etag, body: { content } };
            outbox.keep(entry);
            return outbox;
        });
        window.keepNewer = () => keep("What is newer.");
        keep("What is older.").then((outbox) => { window.sent = outbox.flush(true).then(() => "done"); });""",
                path, version or etag)
    page.wait(lambda: page.script("return net.held.length;") == 1, "it is on its way")
    kept = page.driver.execute_async_script("""
        const done = arguments[0];
        keepNewer().then(async (outbox) => {
            net.held[0]();
            await sent;
            done(outbox.find("document"));
        });""")
    assert kept is not None and kept["body"] == {"content": "What is newer."} and "error" not in kept


# ---- Texts, and a deletion that is undone ----

def test_a_tab_in_which_nothing_was_typed_does_not_drop_what_another_could_not_send(page, user, application):
    path = f"/applications/{application['id']}/research_report"
    page.sign_in(user, path)
    page.wait(lambda: page.texts(".save-state") == ["Nothing written yet"], "the editor")
    first = page.tab(path)
    page.wait(lambda: page.texts(".save-state") == ["Nothing written yet"], "the editor in the other tab")
    way(page, "lose")
    page.query("textarea.markdown").click()
    page.insert(TEXT)
    page.wait(lambda: page.texts(".save-state") == ["Kept here, not sent yet"], "it is kept")
    page.driver.close()
    page.driver.switch_to.window(first)
    page.reload()
    page.wait(lambda: page.query("textarea.markdown").get_attribute("value") == TEXT, "what was typed in the other tab")
    page.wait(lambda: page.texts(".save-state") == ["Saved"], "it is saved")


def test_a_deletion_can_be_undone_as_long_as_that_is_offered(page, stack, user, application):
    page.sign_in(user, "/table")
    page.click("Delete Engineer at Acme")
    ActionChains(page.driver, duration=0).move_to_element(page.query(".toast")).perform()  # it stays as long as the pointer does
    page.script("const now = Date.now; Date.now = () => now() + 10_000;")
    flush(page)
    page.click("Undo")
    page.wait(lambda: page.texts("tbody tr:not(.shape) th strong") == ["Acme"], "it is back")
    flush(page)
    assert stack.sql("SELECT company_name FROM applications WHERE user_id = %s", user.id) == [("Acme",)]


# ---- What was kept before each change had a place of its own ----

def test_what_an_older_release_has_kept_is_sent(page, stack, user, application):
    page.sign_in(user)
    page.find("field", PRIORITY)
    page.script("""
        const [user, path] = arguments;
        const entry = { key: "priority", label: "Priority", method: "PATCH", path, body: { priority_level: "high" },
            automatic: true, at: 1 };
        localStorage.setItem(`jobforge-outbox:${user}`, JSON.stringify({ priority: entry }));""",
                str(user.id), f"/applications/{application['id']}")
    page.reload()
    wait_for(lambda: priority(stack, application) == "high", 30, "it is sent")
    nothing_waits(page)
