"""The web UI in a real browser: what is not sent yet stays its user's own, whoever signs in, and goes when the user says so."""

import json

import pytest

from stack import PASSWORD, wait_for

TEXT = "What I found out about them."
DESCRIPTION = "A position of which this text is the description, long enough to be one."
RESUME = "# Ada Example\n\nEngineer in Berlin, who has built things that work.\n\n## Experience\n\n- **Engineer, Acme**: tools\n"
UNDO = 8000  # ms that undoing is offered

# What changes something passes, or is lost, held back until it is let go, or answered by nobody but this: busy, or too late.
# Timers of long waits run when the test says so.
NET = """
const real = window.fetch;
const [set, clear] = [window.setTimeout, window.clearTimeout];
const refuse = (status, headers) => new Response(JSON.stringify({ status, title: "Not now" }),
    { status, headers: { "Content-Type": "application/problem+json", ...headers } });
window.net = { way: "pass", held: [], asked: 0, timers: new Map() };
window.fetch = async (...words) => {
    if (!/PATCH|PUT|POST|DELETE/.test(words[1]?.method) || words[0].includes("/auth/")) return real(...words);
    net.asked++;
    if (net.way === "lose") throw new TypeError("it is lost");
    if (net.way === "busy") return refuse(503, { "Retry-After": "15" });
    if (net.way === "hold") await new Promise((resolve) => net.held.push(resolve));
    return net.way === "late" ? refuse(504) : real(...words);
};
window.setTimeout = (run, ms, ...words) => {
    if (ms !== 15_000 && ms !== 8000) return set(run, ms, ...words);
    const id = -1 - net.timers.size - Math.random();
    net.timers.set(id, run);
    return id;
};
window.clearTimeout = (id) => net.timers.delete(id) || clear(id);
"""


@pytest.fixture
def application(user):
    return user.create("Acme", "Engineer")


def way(page, name):
    page.script(("" if page.script("return 'net' in window;") else NET) + "net.way = arguments[0];", name)


def run_timers(page):
    """The time of all that waits long is over; nothing does on a page that is another meanwhile."""
    page.script("""
        const due = [...(window.net?.timers ?? [])];
        window.net?.timers.clear();
        for (const [, run] of due) run();""")


def is_to_be_sent_again(page):
    page.wait(lambda: page.script("return net.timers.size;") == 1, "it was told to come again")


def let_go(page):
    page.script("for (const go of net.held.splice(0)) go();")


def module(page, name, script):
    """Runs the body of an async function that is given `module`, one of the UI's, and returns what that returns."""
    result, fault = page.driver.execute_async_script(f"""
        const done = arguments[0];
        const run = async (module) => {{ {script} }};
        import("/js/{name}.js").then(run).then((value) => done([value ?? null, null]),
            (problem) => done([null, String(problem)]));""")
    assert fault is None, fault
    return result


def flush(page):
    """Sends what waits, as the timer does when a minute is over, and comes back when that is done."""
    module(page, "outbox", """
        const now = Date.now;
        Date.now = () => now() + 60_000;
        try { await module.flush(); } finally { Date.now = now; }""")


def sign_out(page):
    module(page, "session", "await module.signOut();")
    page.at("/sign-in.*")


def sign_in_here(page, user):
    """In the page as it is, by its form."""
    page.fill("Email", user.email)
    page.fill("Password", PASSWORD)
    page.click_on("form [type=submit]")
    page.at("/board", "Applications")


def nothing_is_under_way(page):
    page.wait(lambda: page.driver.execute_async_script("""
        const done = arguments[0];
        navigator.locks.query().then(({ held, pending }) =>
            done(![...held, ...pending].some((one) => one.name.startsWith("jobforge-outbox"))));"""), "it is over")


def kept(page):
    """What is kept in the browser: { name: entry }."""
    stored = page.script("return { ...localStorage };")
    return {name: json.loads(value) for name, value in stored.items() if name.startswith("jobforge-outbox")}


def profile(stack, user):
    return stack.sql("SELECT full_name, email FROM users WHERE id = %s", user.id)[0]


def companies(stack, user):
    return [name for name, in stack.sql("SELECT company_name FROM applications WHERE user_id = %s", user.id)]


def save_name(page, name):
    page.fill("Your name", name)
    page.click("Save")


# ---- Another user ----

def test_a_change_to_be_sent_again_is_not_made_in_the_account_of_who_signs_in_then(page, stack, user):
    other = stack.user(full_name="Other Person")
    page.sign_in(user, "/account")
    page.find("field", "Your name")
    way(page, "busy")
    page.fill("Email", "changed-" + user.email)
    save_name(page, "Ada Changed")
    is_to_be_sent_again(page)
    way(page, "pass")
    sign_out(page)
    sign_in_here(page, other)
    run_timers(page)
    nothing_is_under_way(page)
    assert profile(stack, other) == ("Other Person", other.email)
    page.click("Account")
    page.wait(lambda: page.value("Email") == other.email, "the account of who is signed in")
    assert page.value("Your name") == "Other Person"
    page.sign_in(user)
    page.find("heading", "Applications")
    flush(page)
    wait_for(lambda: profile(stack, user) == ("Ada Changed", "changed-" + user.email), 30, "it is made in the user's own")
    assert profile(stack, other) == ("Other Person", other.email)


def test_a_change_that_waits_for_another_is_not_made_in_the_account_of_who_signs_in_then(page, stack, user):
    other = stack.user(full_name="Other Person")
    page.sign_in(user, "/account")
    page.find("field", "Your name")
    way(page, "busy")
    save_name(page, "First Change")
    is_to_be_sent_again(page)
    way(page, "pass")
    page.script("""
        import("/js/outbox.js").then(({ update }) => update({ key: "profile", label: () => "Your profile", path: "/me",
            change: { full_name: "Second Change" }, before: { full_name: "First Change" } })).catch(() => {});""")
    page.wait(lambda: page.driver.execute_async_script(
        "navigator.locks.query().then(({ pending }) => arguments[0](pending.length > 0));"), "the second waits")
    sign_out(page)
    sign_in_here(page, other)
    run_timers(page)
    nothing_is_under_way(page)
    assert profile(stack, other)[0] == "Other Person"
    page.sign_in(user)
    page.find("heading", "Applications")
    flush(page)
    wait_for(lambda: profile(stack, user)[0] == "Second Change", 30, "it is made in the user's own")


def test_a_creation_to_be_sent_again_is_not_made_in_the_account_of_who_signs_in_in_another_tab(page, stack, user):
    other = stack.user()
    page.sign_in(user, "/new")
    page.fill("Company", "Acme")
    page.fill("Role", "Engineer")
    page.fill("The posting", DESCRIPTION)
    way(page, "busy")
    page.click("Add the application")
    is_to_be_sent_again(page)
    way(page, "pass")
    sign_out(page)
    first = page.tab("/sign-in")
    sign_in_here(page, other)
    page.to(first)
    page.at("/board", "Applications")
    run_timers(page)
    nothing_is_under_way(page)
    assert companies(stack, other) == []
    page.sign_in(user)
    page.find("heading", "Applications")
    flush(page)
    wait_for(lambda: companies(stack, user) == ["Acme"], 30, "it is made in the user's own")
    assert companies(stack, other) == []


def test_who_has_signed_out_is_not_asked_to_sign_in_again_for_what_was_on_its_way(page, user):
    page.expect(401)
    page.sign_in(user, "/account")
    page.find("field", "Your name")
    way(page, "busy")
    save_name(page, "Ada Changed")
    is_to_be_sent_again(page)
    sign_out(page)
    run_timers(page)
    nothing_is_under_way(page)
    assert not page.has("heading", "Please sign in again") and page.path == "/sign-in"
    assert list(kept(page)) == [f"jobforge-outbox:{user.id}:profile"]


@pytest.mark.parametrize("then", ["nobody", "another"])
def test_a_change_that_fails_when_its_user_has_signed_out_is_kept_for_that_user(page, stack, user, then):
    other = stack.user(full_name="Other Person")
    page.expect(504)
    page.sign_in(user, "/account")
    page.find("field", "Your name")
    way(page, "hold")
    save_name(page, "Ada Changed")
    page.wait(lambda: page.script("return net.held.length;") == 1, "it is on its way")
    sign_out(page)
    if then == "another":
        sign_in_here(page, other)
    if page.script("return 'net' in window;"):
        way(page, "late")
        let_go(page)
    nothing_is_under_way(page)
    assert list(kept(page)) == [f"jobforge-outbox:{user.id}:profile"]
    page.sign_in(user)
    page.find("heading", "Applications")
    flush(page)
    wait_for(lambda: profile(stack, user)[0] == "Ada Changed", 30, "it is made")
    assert profile(stack, other)[0] == "Other Person"


def test_a_text_that_was_not_saved_when_its_user_signed_out_is_kept_for_that_user(page, stack, user, application):
    path = f"/applications/{application['id']}/research_report"
    page.sign_in(user, path)
    page.wait(lambda: page.texts(".save-state") == ["Nothing written yet"], "the editor")
    way(page, "lose")
    # In one moment: it is typed, and the session ends in another tab.
    page.script("""
        const area = document.querySelector("textarea.markdown");
        area.value = arguments[0];
        area.dispatchEvent(new Event("input", { bubbles: true }));
        new BroadcastChannel("jobforge-session").postMessage({ out: true });""", TEXT)
    page.at("/sign-in")
    page.wait(lambda: list(kept(page)) == [f"jobforge-outbox:{user.id}:document:{application['id']}:research_report"],
              lambda: f"it is the user's, of {list(kept(page))}")
    assert not page.has("heading", "Please sign in again")
    page.sign_in(user, path)
    page.wait(lambda: page.query("textarea.markdown").get_attribute("value") == TEXT, "what was typed")
    page.wait(lambda: page.texts(".save-state") == ["Saved"], "it is saved")


def test_a_profile_that_another_tab_tells_of_is_not_shown_to_another_user(page, stack, user):
    page.sign_in(user, "/account")
    page.find("field", "Your name")
    module(page, "session", """
        window.heard = [];
        module.session.addEventListener("user", () => heard.push(module.currentUser().full_name));""")
    page.script("""
        const [own, other] = arguments;
        const channel = new BroadcastChannel("jobforge-session");
        const tell = (id, full_name) => channel.postMessage({ user: { id, full_name, email: "someone@example.com" } });
        tell(own, "Ada Renamed");
        tell(other, "Other Person");
        tell(own, "Ada Renamed");""", str(user.id), str(stack.user().id))
    page.wait(lambda: page.script("return heard.filter((name) => name === 'Ada Renamed').length;") == 2, "both are heard")
    assert page.script("return heard;") == ["Ada Renamed", "Ada Renamed"]


# ---- A page that is left ----

def test_a_change_to_be_sent_again_is_still_there_after_a_reload(page, stack, user):
    page.sign_in(user, "/account")
    page.find("field", "Your name")
    way(page, "busy")
    save_name(page, "Typed And Kept")
    is_to_be_sent_again(page)
    page.reload()
    page.find("field", "Your name")
    flush(page)
    wait_for(lambda: profile(stack, user)[0] == "Typed And Kept", 30, "it is sent")
    assert kept(page) == {}


def test_a_creation_to_be_sent_again_is_still_there_after_a_reload_and_is_made_once(page, stack, user):
    page.sign_in(user, "/new")
    page.fill("Company", "Acme")
    page.fill("Role", "Engineer")
    page.fill("The posting", DESCRIPTION)
    way(page, "busy")
    page.click("Add the application")
    is_to_be_sent_again(page)
    page.reload()
    page.wait(lambda: page.value("Company") == "", "a form for another one")
    flush(page)
    wait_for(lambda: companies(stack, user) == ["Acme"], 30, "it is made")
    flush(page)
    assert companies(stack, user) == ["Acme"] and kept(page) == {}


def test_a_creation_that_is_refused_is_in_its_form_and_nowhere_else(page, stack, user):
    page.expect(422)
    page.sign_in(user, "/new")
    page.fill("Company", "Acme")
    page.fill("Role", "Engineer")
    page.fill("The posting", DESCRIPTION)
    page.script("document.querySelector('form [name=company_name]').value = '\\u0000';")
    page.click("Add the application")
    page.wait(lambda: page.queries("[aria-invalid=true]"), "a word about it")
    assert kept(page) == {} and companies(stack, user) == []
    page.reload()
    page.wait(lambda: page.value("Role") == "Engineer", "what was typed")


def test_what_waited_before_a_change_that_is_refused_waits_still(page, stack, user):
    page.expect(422, 409)
    page.sign_in(user, "/account")
    page.find("field", "Your name")
    way(page, "lose")
    save_name(page, "Ada Changed")
    page.sees("Not sent yet: Your profile")
    before = kept(page)
    way(page, "pass")
    page.fill("Email", stack.user().email)
    page.click("Save")
    page.wait(lambda: page.queries("[aria-invalid=true]"), "a word about it")
    assert kept(page) == before


# ---- A text of another tab ----

def test_typing_in_one_tab_does_not_take_the_place_of_what_another_could_not_send(page, stack, user):
    path = f"/resumes/{user.post('/resumes', {'name': 'General', 'content': RESUME}).ok(201)['id']}"
    page.expect(412)
    page.sign_in(user, path)
    page.wait(lambda: page.texts(".save-state") == ["Saved"], "the editor")
    second = page.driver.current_window_handle
    page.tab(path)
    page.wait(lambda: page.texts(".save-state") == ["Saved"], "the editor in the other tab")
    way(page, "lose")
    page.replace(page.query("textarea.markdown"), RESUME + "Typed first.")
    page.wait(lambda: page.texts(".save-state") == ["Kept here, not sent yet"], "it is kept")
    page.driver.close()
    page.driver.switch_to.window(second)
    page.replace(page.query("textarea.markdown"), RESUME + "Typed second.")
    wait_for(lambda: stack.sql("SELECT content FROM user_resumes WHERE user_id = %s", user.id) == [(RESUME + "Typed second.",)],
             30, "the second is saved")
    page.wait(lambda: page.texts(".save-state") == ["Saved"], "it says so")
    assert [entry["body"]["content"] for entry in kept(page).values()] == [RESUME + "Typed first."]
    page.sees("Not sent yet: General")
    page.reload()
    page.click("Compare")
    page.sees("Typed first.", "Typed second.")
    page.click("Keep mine")
    wait_for(lambda: stack.sql("SELECT content FROM user_resumes WHERE user_id = %s", user.id) == [(RESUME + "Typed first.",)],
             30, "the one that was chosen")
    page.wait(lambda: kept(page) == {}, "nothing waits")


def test_of_two_tabs_that_could_not_send_each_keeps_its_text_and_both_are_offered(page, stack, user, application):
    path = f"/applications/{application['id']}/research_report"
    page.expect(412)
    page.sign_in(user, path)
    page.wait(lambda: page.texts(".save-state") == ["Nothing written yet"], "the editor")
    second = page.driver.current_window_handle
    page.tab(path)
    page.wait(lambda: page.texts(".save-state") == ["Nothing written yet"], "the editor in the other tab")
    for text in ("Typed in the first.", "Typed in the second."):
        way(page, "lose")
        page.replace(page.query("textarea.markdown"), text)
        page.wait(lambda: page.texts(".save-state") == ["Kept here, not sent yet"], "it is kept")
        if text == "Typed in the first.":
            page.driver.close()
            page.driver.switch_to.window(second)
    texts = lambda: {entry["body"]["content"] for entry in kept(page).values()}  # noqa: E731
    assert texts() == {"Typed in the first.", "Typed in the second."}
    page.reload()
    page.wait(lambda: page.texts(".save-state") == ["Saved"], "one of them is sent")
    wait_for(lambda: stack.sql("SELECT content FROM documents WHERE application_id = %s", application["id"]) ==
             [("Typed in the first.",)], 30, "that of the first")
    page.sees("Not sent yet")
    page.reload()
    page.click("Compare")
    page.sees("Typed in the first.", "Typed in the second.")
    page.click("Take the other version")
    page.wait(lambda: kept(page) == {}, "nothing waits")


# ---- Undoing ----

def delete(page):
    page.click("Delete Engineer at Acme")
    page.find("control", "Undo")


def test_a_deletion_after_one_that_was_undone_can_be_undone_as_long(page, stack, user, application):
    page.sign_in(user, "/table")
    page.find("control", "Delete Engineer at Acme")
    way(page, "pass")
    delete(page)
    page.click("Undo")
    page.find("control", "Delete Engineer at Acme")
    delete(page)
    page.hold_undo()
    run_timers(page)
    flush(page)
    assert companies(stack, user) == ["Acme"]
    page.click("Undo")
    page.find("control", "Delete Engineer at Acme")
    flush(page)
    assert companies(stack, user) == ["Acme"]


def test_a_toast_stays_as_long_as_it_has_the_pointer_or_the_focus(page, stack, user, application):
    page.sign_in(user, "/table")
    page.find("control", "Delete Engineer at Acme")
    way(page, "pass")
    delete(page)
    for last in ("pointer", "focus"):
        page.script("""
            const box = document.querySelector(".toast");
            const pointer = (name) => box.dispatchEvent(new MouseEvent(name));
            const undo = box.querySelector("button");
            pointer("mouseenter");
            undo.focus();
            if (arguments[0] === "focus") return pointer("mouseleave");
            pointer("mouseleave");
            undo.blur();
            pointer("mouseenter");""", last)
        run_timers(page)
        assert page.has("control", "Undo"), last
    page.script("document.querySelector('.toast button').blur();")
    run_timers(page)
    wait_for(lambda: companies(stack, user) == [], 30, "it is deleted")


def test_another_tab_does_not_send_a_deletion_while_undoing_is_offered(page, stack, user, application):
    page.sign_in(user, "/table")
    delete(page)
    page.hold_undo()
    due = lambda: [entry["due"] for entry in kept(page).values()]  # noqa: E731
    before = due()
    page.wait(lambda: due() > before, "it is put off")
    page.wait(lambda: due() > [before[0] + UNDO / 2], "it is put off, again and again")
    page.click("Undo")
    page.find("control", "Delete Engineer at Acme")
    assert kept(page) == {}
    assert companies(stack, user) == ["Acme"]


def test_undoing_a_deletion_that_is_on_its_way_in_another_tab_says_that_it_is_too_late(page, stack, user, application):
    page.sign_in(user, "/table")
    page.find("control", "Delete Engineer at Acme")
    first = page.tab("/table")
    page.find("control", "Delete Engineer at Acme")
    way(page, "hold")
    second = page.to(first)
    delete(page)
    page.hold_undo()
    page.to(second)
    page.script("""import("/js/outbox.js").then(({ flush }) => {
        const now = Date.now;
        Date.now = () => now() + 60_000;
        flush();
    });""")
    page.wait(lambda: page.script("return net.held.length;") == 1, "it is on its way")
    page.to(first)
    page.click("Undo")
    page.to(second)
    let_go(page)
    nothing_is_under_way(page)
    page.to(first)
    page.sees("It is too late")
    assert companies(stack, user) == [] and not page.has("control", "Delete Engineer at Acme")
