"""The web UI in a real browser: search, numbers, the account, addresses and titles, the sizes of a screen; and a whole day."""

import base64
import glob
import gzip
import json
import os
import secrets
import shutil

import pytest
from selenium.webdriver.common.keys import Keys

from browser import PHONE, Chromium
from stack import NO_SUCH_ID, PASSWORD, SOURCE, Stack, wait_for

DESCRIPTION = "A position of which this text is the description, long enough to be one."
LONG = "Donaudampfschifffahrtsgesellschaft" * 6
RESUME = "# Ada Example\n\nEngineer in Berlin, who has built things that work.\n\n## Experience\n\n- **Engineer, Acme**: tools\n"


def furnish(user):
    """Applications in every state and a resume, with words that are too long for a line."""
    user.post("/resumes", {"name": "General", "content": RESUME}).ok(201)
    user.post("/resumes", {"name": LONG, "content": RESUME}).ok(201)
    rows = user.create_many([{"company_name": "Acme", "location": "Berlin"}, {"company_name": "Bolt & Daughters of London"},
                             {"company_name": LONG, "role_title": LONG, "location": LONG, "priority_level": "high"},
                             {"company_name": "Known Ltd", "role_title": "Senior Engineer for Things and Other Things"}])
    for row, kinds in ((rows[3], ("research_report",)),
                       (rows[2], ("research_report", "optimized_resume", "cover_letter"))):
        for kind in kinds:
            user.put(f"/applications/{row['id']}/documents/{kind}", {"content": f"# Text\n\nkumquat {LONG}\n"}).ok(201)
    return rows


def pages(rows, user):
    resume = user.get("/resumes").ok()["data"][0]
    return ["/board", "/table", "/new", "/new/paste", "/new/csv", f"/applications/{rows[2]['id']}",
            f"/applications/{rows[2]['id']}/cover_letter", f"/applications/{rows[0]['id']}/cover_letter", "/resumes",
            "/resumes/new", "/resumes/" + resume["id"], "/search?q=kumquat", "/numbers", "/account", "/account/history",
            "/nowhere"]


def settled(page):
    page.wait(lambda: page.queries("h1") and not page.queries(".skeleton, [data-state=loading]")
              and "Searching" not in page.text(), "a page that is loaded")


# ---- Search everywhere ----

def test_search_everywhere_marks_what_it_finds(page, user):
    rows = user.create_many([{"company_name": "Acme"},
                             {"company_name": "Bolt", "job_description": DESCRIPTION + " They ask for kumquat."}])
    user.put(f"/applications/{rows[0]['id']}/documents/research_report", {"content": "They grow kumquat trees."}).ok(201)
    user.post("/resumes", {"name": "Fruit", "content": RESUME + "I grew kumquat <b>trees</b>."}).ok(201)
    page.sign_in(user)
    page.sees("Acme")
    page.keys("/")
    page.wait(lambda: page.script("return document.activeElement.name;") == "search", "the field of the search")
    page.insert("kumquat")
    page.sees("Engineer at Bolt", "Research, Engineer at Acme", "Fruit")
    page.wait(lambda: len(page.queries("dialog mark")) >= 2, "marks")
    assert {text.lower() for text in page.texts("dialog mark")} == {"kumquat"}
    page.wait(lambda: "Searching" not in page.text(), "all answers")
    page.keys(Keys.ARROW_DOWN)
    page.keys(Keys.ARROW_DOWN)
    page.keys(Keys.ARROW_UP)
    page.keys(Keys.ENTER)
    page.at(f"/applications/{rows[1]['id']}")
    page.keys(Keys.CONTROL, "k")
    page.wait(lambda: page.script("return document.activeElement.name;") == "search", "the field of the search")
    page.insert("no such word")
    page.sees("Nothing found.")
    page.keys(Keys.ESCAPE)
    page.wait(lambda: page.queries("dialog") == [], "closed")
    page.open("/search?q=kumquat")
    page.sees("Engineer at Bolt", "Research, Engineer at Acme", "Fruit")


def test_search_has_an_address_that_can_be_shared(page, user):
    user.create("Bolt", "Engineer", job_description=DESCRIPTION + " They ask for kumquat.")
    page.sign_in(user, "/search")
    page.find("field", "Search everything").send_keys("kumquat")
    page.sees("Engineer at Bolt")
    page.wait(lambda: page.path == "/search?q=kumquat", "the address")
    page.click_on(".hit a")
    page.at("/applications/.*")
    page.back()
    page.sees("Engineer at Bolt")
    assert page.value("Search everything") == "kumquat"


# ---- Numbers ----

def test_numbers_are_drawn(page, user):
    furnish(user)
    page.sign_in(user, "/numbers")
    page.sees("Applications a week", "By status", "By priority")
    assert page.texts(".tile strong") == ["4", "4", "25 %", "3"]
    drawn = page.script("""return [...document.querySelectorAll("svg.chart")].map((chart) => ({
        label: chart.getAttribute("aria-label"),
        bars: [...chart.querySelectorAll("rect.bar")].map((bar) => bar.getBoundingClientRect())
            .filter((box) => box.width > 1 && box.height > 1).length }));""")
    assert [one["bars"] for one in drawn] == [1, 3, 2], drawn
    assert "Draft 2" in drawn[1]["label"] and "High 1" in drawn[2]["label"], drawn


def test_no_numbers_without_applications(page, user):
    page.sign_in(user, "/numbers")
    page.sees("No numbers yet")
    page.click("Add an application")
    page.at("/new/paste")


# ---- Account ----

def test_profile_and_password(page, stack, user):
    page.expect(403)
    page.sign_in(user, "/account")
    page.fill("Your name", "Ada Other")
    page.click("Save")
    page.sees("Your profile is saved.")
    assert stack.sql("SELECT full_name FROM users WHERE id = %s", user.id) == [("Ada Other",)]
    page.fill("Current password", "not it at all")
    page.fill("New password", "another password")
    page.click("Change the password")
    page.wait(lambda: page.queries("[aria-invalid=true]") or [text for text in page.texts(".form-fault") if text], "refused")
    page.fill("Current password", PASSWORD)
    page.fill("New password", "another password")
    page.click("Change the password")
    page.sees("The password is changed.")
    page.reload()
    page.find("heading", "Account")
    stack.anyone.post("/auth/login", {"email": user.email, "password": PASSWORD}).problem(401)
    stack.anyone.post("/auth/login", {"email": user.email, "password": "another password"}).ok()


def test_export_and_import(page, stack, user, chromium):
    furnish(user)
    for name in glob.glob(os.path.join(chromium.downloads, "*")):
        os.unlink(name)
    page.sign_in(user, "/account")

    def downloaded(button, ending):
        page.click(button)
        wait_for(lambda: [name for name in os.listdir(chromium.downloads) if name.endswith(ending)], 30, button)
        return os.path.join(chromium.downloads, [name for name in os.listdir(chromium.downloads) if name.endswith(ending)][0])
    with open(downloaded("Download all (JSON)", ".json")) as file:
        export = json.load(file)
    assert (len(export["applications"]), len(export["documents"]), len(export["resumes"])) == (4, 4, 2)
    with open(downloaded("Applications (CSV)", ".csv")) as file:
        assert file.read().count("Acme") >= 1
    other = stack.user()
    page.sign_in(other, "/account")
    page.find("field", "Import such a file").send_keys(downloaded("Applications (CSV)", ".csv"))
    page.wait(lambda: [text for text in page.texts(".form-fault") if text], "a CSV file is refused")
    page.expect(400, 415, 422)
    page.find("field", "Import such a file").send_keys(
        [name for name in glob.glob(os.path.join(chromium.downloads, "*.json"))][0])
    page.at("/board")
    page.sees("Imported", "Acme", "Known Ltd")
    assert stack.sql("SELECT count(*) FROM documents WHERE user_id = %s", other.id) == [(4,)]


def plan(stack, user, name, **limits):
    """Gives the user a plan with these limits."""
    stack.sql("INSERT INTO plans (name, title, applications, documents) VALUES (%s, %s, %s, %s)", name, name.capitalize(),
              limits.get("applications"), limits.get("documents"))
    stack.sql("SELECT jobforge.subscription_set(%s, %s, 'active', NULL, now() + interval '40 days', NULL)", user.id, name)


def test_plan_and_usage(page, stack, user):
    furnish(user)
    page.sign_in(user, "/account")
    page.sees("Plan and usage", "There is no limit to what you keep here.", "Applications 4", "Documents 4")
    assert page.queries("progress") == []
    page.click("Month by month")
    page.sees("4 applications, ")
    plan(stack, user, "exact", applications=4, documents=40)
    page.reload()
    page.sees("Exact Active Until ", "4 of 4", "4 of 40")
    page.wait(lambda: [one.get_attribute("data-full") for one in page.queries("progress")] == ["full", "no"], "the bars")


def test_a_write_over_the_plan_is_told_and_goes_through_with_a_larger_one(page, stack, user):
    page.expect(403)
    first = user.create("Acme", "Engineer")
    plan(stack, user, "small", applications=1, documents=0)
    page.sign_in(user, "/new")
    page.fill("Company", "Bolt")
    page.fill("Role", "Engineer")
    page.fill("The posting", DESCRIPTION)
    page.click("Add the application")
    page.sees("The plan allows 1 application", "Your plan and what of it is used")
    page.click("Your plan and what of it is used")
    page.at("/account")
    page.sees("1 of 1")
    page.open(f"/applications/{first['id']}/research_report")
    page.wait(lambda: page.texts(".save-state") == ["Nothing written yet"], "the editor")
    page.query("textarea").click()
    page.insert("What I found out about them.")
    page.wait(lambda: "The plan allows 0 documents" in "".join(page.texts(".save-state")), "the reason")
    plan(stack, user, "large", applications=9, documents=9)
    page.reload()
    page.wait(lambda: page.texts(".save-state") == ["Saved"], "what was typed is saved")
    page.open("/new")
    assert page.value("Company") == "Bolt" and page.value("The posting") == DESCRIPTION
    page.click("Add the application")
    page.at("/applications/.*", "Engineer Bolt")


def test_the_history_says_who_changed_what(page, stack, user):
    row = user.create("Acme", "Engineer", location="Oslo")
    path = f"/applications/{row['id']}"
    user.patch(path, {"location": "Berlin"}).ok()
    user.put(f"{path}/documents/research_report", {"content": "What there is to know."}).ok(201)
    user.post("/me/password", {"current_password": PASSWORD, "new_password": "another password"})
    plan(stack, user, "watched")
    user.create_many([{"company_name": f"Company {number}"} for number in range(40)])
    assert user.delete(path).status == 204
    user.password = "another password"
    page.sign_in(user, "/account")
    page.click("Show the history")
    page.at("/account/history", "History")
    page.sees("Application deleted: Engineer at Acme", "by you")

    def everything():
        page.script("scrollTo(0, document.documentElement.scrollHeight);")
        text = page.text()
        return all(words in text for words in (
            "Application added: Engineer at Acme", "Application changed Location · ", "Document added: Research",
            "Account changed Password · ", "Subscription added", "by the administrator", "Application added: Engineer at Company 0"))
    page.wait(everything, "every change, page by page")
    page.click("Document")
    page.wait(lambda: all(text.startswith("Document") for text in page.texts(".entry strong")) and page.texts(".entry"), "only these")
    page.click("Application")
    page.wait(lambda: page.path == "/account/history?of=documents&of=applications", "the address")
    page.reload()
    page.sees("Document deleted: Research", "Application deleted: Engineer at Acme")
    page.click_on(".entry summary")
    page.sees("Before", "After", "Engineer")


def test_colours_and_keys_are_remembered(page, user):
    page.sign_in(user, "/account")
    ground = "return getComputedStyle(document.body).backgroundColor;"
    page.media(prefers_color_scheme="light")
    page.find("heading", "Account")
    light = page.script(ground)
    page.click("Dark")
    dark = page.script(ground)
    assert dark != light
    page.reload()
    page.find("heading", "Account")
    assert page.script(ground) == dark
    page.click("As the system")
    assert page.script(ground) == light
    page.media(prefers_color_scheme="dark")
    assert page.script(ground) == dark
    page.media()
    page.click_on("label.check input")
    page.script("document.activeElement.blur();")
    page.keys("n")
    page.keys("b")
    page.keys(Keys.CONTROL, "k")
    page.wait(lambda: page.queries("dialog"), "the search, whose key is none of the single ones")
    assert page.path == "/account"


def test_delete_the_account(page, stack, user):
    page.expect(403)
    user.create()
    page.sign_in(user, "/account")
    page.click("Delete my account")
    page.fill("Password", "not the password")
    page.click("Delete for good")
    page.wait(lambda: page.queries("dialog [aria-invalid=true]") or
              [text for text in page.texts("dialog .form-fault") if text], "refused")
    assert stack.sql("SELECT count(*) FROM users WHERE id = %s", user.id) == [(1,)]
    page.fill("Password", PASSWORD)
    page.click("Delete for good")
    page.at("/sign-in")
    page.sees("Your account is deleted.")
    assert stack.sql("SELECT count(*) FROM users WHERE id = %s", user.id) == [(0,)]
    page.reload()
    page.at("/sign-in")
    assert page.script("return Object.keys(localStorage).filter((key) => localStorage[key].includes('Engineer'));") == []


# ---- Addresses ----

def test_every_page_has_a_title_and_one_first_heading(page, user):
    rows = furnish(user)
    titles = {}
    page.sign_in(user)
    for path in pages(rows, user):
        page.open(path)
        settled(page)
        assert page.path == path
        assert page.title.endswith("JobForge"), (path, page.title)
        assert len(page.queries("h1")) == 1, path
        titles.setdefault(page.title, []).append(path)
    ways = ["/new", "/new/paste", "/new/csv"]  # of one page
    assert [paths for paths in titles.values() if len(paths) > 1 and paths != ways] == [], titles


def test_what_is_not_there_says_so(page, stack, user):
    other = stack.user().create("Secret company")
    page.expect(404)
    page.sign_in(user, "/nowhere")
    page.find("heading", "There is nothing at this address")
    for path in (f"/applications/{other['id']}", f"/applications/{NO_SUCH_ID}", f"/resumes/{NO_SUCH_ID}",
                 "/applications/xyz"):
        page.open(path)
        page.wait(lambda: page.texts("h1") in (["Not found"], ["There is nothing at this address"]), path)
        assert "Secret" not in page.text()


def test_back_and_forward_keep_the_view(page, user):
    rows = furnish(user)
    page.sign_in(user)
    page.sees("Acme")
    visited = ["/board", "/resumes", "/numbers"]
    page.click("Résumés")
    page.at("/resumes")
    page.click("Numbers")
    page.at("/numbers")
    for path in reversed(visited[:-1]):
        page.back()
        page.at(path)
        settled(page)
    for path in visited[1:]:
        page.forward()
        page.at(path)
        settled(page)
    assert page.title.startswith("Numbers")
    page.open(f"/applications/{rows[0]['id']}")
    page.click_on(".steps li:nth-child(2) a")
    page.at(f"/applications/{rows[0]['id']}/research_report")
    page.sees("Nothing written yet")
    page.back()
    page.at(f"/applications/{rows[0]['id']}")
    page.sees("The posting")
    page.reload()
    page.sees("The posting")


def test_going_elsewhere_gives_the_focus_to_the_heading(page, user):
    rows = furnish(user)
    page.sign_in(user)
    page.sees("Acme")
    for name, heading in (("Résumés", "Résumés"), ("Numbers", "Numbers"), ("Applications", "Applications")):
        page.click(name)
        page.wait_focus(heading)
        page.wait(lambda: page.script("return document.activeElement.tagName;") == "H1", "the heading has the focus")
    page.click("Acme Engineer")
    page.wait(lambda: page.script("return document.activeElement.tagName;") == "H1", "the heading has the focus")
    assert rows[0]["id"] in page.path


# ---- What is loaded ----

def compressed(place):
    """The pages as they are installed, each file with its compressed form."""
    shutil.copytree(os.path.join(SOURCE, "nginx", "html"), place)
    for directory, _, names in os.walk(place):
        for name in names:
            with open(os.path.join(directory, name), "rb") as file, gzip.open(file.name + ".gz", "wb", 9) as small:
                small.write(file.read())
    return place


def test_the_first_page_is_small_and_asks_nobody_else(tmp_path):
    """All that the sign-in page and the board take with an empty cache, as it came over the wire."""
    tmp_path.chmod(0o755)
    with Stack(nginx={"HTML": compressed(str(tmp_path / "html"))}) as installed, Chromium(installed) as chromium:
        user = installed.user()
        furnish(user)
        for path in ("/sign-in", "/board"):
            page = chromium.page()
            if path == "/board":
                page.sign_in(user, "/favicon.svg")
            page.driver.execute_cdp_cmd("Network.clearBrowserCache", {})
            page.open(path)
            settled(page)
            loaded = page.script("""
                return [...performance.getEntriesByType("navigation"), ...performance.getEntriesByType("resource")]
                    .map((one) => [one.name, one.transferSize]);""")
            assert len(loaded) > 15 and all(name.startswith(page.base + "/") for name, _ in loaded), loaded
            assert 20 * 1024 < sum(size for _, size in loaded) < 100 * 1024, loaded
            page.close()


# ---- Sizes ----

# Elements beside one another that cover one another, of those with text or to be pressed.
OVERLAPS = """
const shown = (node) => node.checkVisibility({ visibilityProperty: true, opacityProperty: true, contentVisibilityAuto: true })
    && !node.closest(".unseen, .skip, svg, dialog, .toasts, nav.nav, header.top")
    && ![...document.querySelectorAll("thead")].some((head) => head.contains(node) && getComputedStyle(head).position === "absolute");
const leaves = [...document.querySelectorAll("main *")].filter((node) => shown(node)
    && (node.matches("button, select, input, textarea, .badge")
        || [...node.childNodes].some((one) => one.nodeType === 3 && one.data.trim() !== "")));
// What can be seen of a box: what is too long may be cut off.
const clip = (node, { left, top, right, bottom }) => {
    for (let one = node; one !== null; one = one.parentElement) {
        if (getComputedStyle(one).overflow === "visible") continue;
        const frame = one.getBoundingClientRect();
        [left, top] = [Math.max(left, frame.left), Math.max(top, frame.top)];
        [right, bottom] = [Math.min(right, frame.right), Math.min(bottom, frame.bottom)];
    }
    return { left, top, right, bottom };
};
const boxes = leaves.flatMap((node) => {
    const range = document.createRange();
    const own = node.matches("button, select, input, textarea, .badge") ? [node.getBoundingClientRect()]
        : [...node.childNodes].filter((one) => one.nodeType === 3 && one.data.trim() !== "").flatMap((one) => {
            range.selectNodeContents(one);
            return [...range.getClientRects()];
        });
    return own.map((box) => clip(node, box)).filter((box) => box.right - box.left > 2 && box.bottom - box.top > 2)
        .map((box) => [node, box]);
});
const found = [];
for (let i = 0; i < boxes.length; i++)
    for (let j = i + 1; j < boxes.length; j++) {
        const [[a, one], [b, two]] = [boxes[i], boxes[j]];
        if (a === b || a.contains(b) || b.contains(a)) continue;
        const wide = Math.min(one.right, two.right) - Math.max(one.left, two.left);
        const high = Math.min(one.bottom, two.bottom) - Math.max(one.top, two.top);
        if (wide > 2 && high > 4)
            found.push(`${(a.innerText || a.tagName).slice(0, 40)} / ${(b.innerText || b.tagName).slice(0, 40)}`);
    }
return found.slice(0, 5);
"""
SIDEWAYS = """
const width = document.documentElement.clientWidth;
if (document.documentElement.scrollWidth <= width && document.body.scrollWidth <= width) return [];
return [...document.querySelectorAll("body *")].filter((node) => node.checkVisibility()
    && node.getBoundingClientRect().right > width + 1 && !node.closest(".board, .scroll"))
    .slice(0, 5).map((node) => `${node.tagName}.${node.className} to ${Math.round(node.getBoundingClientRect().right)}`)
    .concat(`scrolls to ${document.documentElement.scrollWidth} of ${width}`);
"""


@pytest.mark.parametrize("width", [360, 768, 1600])
def test_nothing_overlaps_and_nothing_scrolls_sideways(page, user, width):
    rows = furnish(user)
    page.size(width, 844 if width < 600 else 900)
    page.sign_in(user)
    wrong = []
    for path in pages(rows, user):
        page.open(path)
        settled(page)
        wrong += [(path, "sideways", one) for one in page.script(SIDEWAYS)]
        wrong += [(path, "overlap", one) for one in page.script(OVERLAPS)]
    assert wrong == [], "\n".join(map(str, wrong))


# What has moved since the page began, as a share of the screen. Whether it was after an input does not matter: there is none, and on
# a phone the browser takes the loading itself for one.
SHIFTS = """
const done = arguments[0];
const entries = [];
const observer = new PerformanceObserver((list) => entries.push(...list.getEntries()));
observer.observe({ type: "layout-shift", buffered: true });
requestAnimationFrame(() => requestAnimationFrame(() => {
    entries.push(...observer.takeRecords());
    observer.disconnect();
    done(entries.reduce((sum, one) => sum + one.value, 0));
}));
"""


def test_nothing_jumps_while_it_loads_over_a_slow_network(page, user):
    rows = furnish(user)
    page.size(*PHONE)
    page.sign_in(user)
    page.slow(50)
    jumps = {}
    for path in ("/board", "/table", f"/applications/{rows[2]['id']}", f"/applications/{rows[2]['id']}/cover_letter",
                 "/resumes", "/numbers", "/account"):
        page.open(path)
        settled(page)
        jumps[path] = page.driver.execute_async_script(SHIFTS)
    assert max(jumps.values()) < 0.05, jumps
    page.script("document.querySelector('main').style.marginTop = '300px';")
    page.wait(lambda: page.driver.execute_async_script(SHIFTS) > 0.05, "a jump that is seen")


# ---- A whole day ----

POSTING = """Senior Engineer
Acme Tools · Berlin, hybrid

https://jobs.acme.example/42

Acme Tools builds tools for people who build things. You will write C, review what others write,
and look after what runs in production.
"""


def test_a_first_day_from_sign_up_to_a_printed_letter(page, stack):
    """What somebody does who has never been here, in one go, with nothing but what is on the page."""
    email = f"first-{secrets.token_hex(4)}@example.com"
    page.open("/")
    page.click("Create an account")
    page.fill("Your name", "Ada Example")
    page.fill("Email", email)
    page.fill("Password", "my first day here")
    page.keys(Keys.ENTER)

    page.click("Add your résumé")
    page.fill("Name", "General")
    page.fill("Text", RESUME)
    page.click("Add the résumé")
    page.at("/resumes/[0-9a-f-]{36}")
    page.sees("Saved", "Primary")

    page.click("Applications")
    page.click("Paste a posting")
    page.fill("The posting, pasted", POSTING)
    page.wait(lambda: page.value("Company") == "Acme Tools" and page.value("Role") == "Senior Engineer", "what was read")
    page.click("Add the application")
    page.find("heading", "Senior Engineer Acme Tools")

    page.click("Write it")
    page.click("an outline")
    page.wait(lambda: page.query("textarea").get_attribute("value").startswith("# Acme Tools"), "the outline")
    page.sees("Saved", "Research done")
    page.click_on(".steps li[data-state=next] a")
    page.click("your primary résumé")
    page.wait(lambda: page.query("textarea").get_attribute("value") == RESUME, "the resume")
    page.sees("Saved", "Résumé ready")
    page.click_on(".steps li[data-state=next] a")
    page.click("an outline")
    page.wait(lambda: page.query("textarea").get_attribute("value").startswith("Dear hiring team"), "the outline")
    page.query("textarea").send_keys(Keys.CONTROL, Keys.END)
    page.insert("Ada Example\n")
    page.sees("Letter ready")
    page.wait(lambda: page.texts(".save-state") == ["Saved"], "saved")
    page.wait(lambda: "Ada Example" in page.script("return document.querySelector('.print-only').textContent;"), "paper")

    page.script("window.print = () => { window.printed = document.title; };")
    page.click("Print or PDF")
    assert "Cover letter" in page.script("return window.printed;")
    page.media(type="print")
    text, bars = " ".join(page.texts("main .print-only")), page.queries("header.top, nav, button, textarea, iframe")
    page.media()
    assert bars == [] and text.split() == ("Dear hiring team, I am applying for the position of Senior Engineer at Acme Tools. "
                            "Kind regards, Ada Example").split()
    pdf = base64.b64decode(page.driver.execute_cdp_cmd("Page.printToPDF", {"preferCSSPageSize": True})["data"])
    assert pdf.startswith(b"%PDF-") and len(pdf) > 2000
    page.click("Applications")
    page.wait(lambda: page.texts("[data-status=cover_letter_ready] .card strong") == ["Acme Tools"], "the board")
    assert stack.sql("SELECT a.status::text FROM applications a JOIN users u ON u.id = a.user_id WHERE u.email = %s",
                     email) == [("cover_letter_ready",)]
