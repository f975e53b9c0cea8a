"""The web UI in a real browser: documents and resumes in the editor, what waits while offline, and texts that are no text."""

import base64

import pytest
from selenium.webdriver.common.keys import Keys

from stack import wait_for

CONTENT = "SELECT content FROM documents WHERE application_id = %s AND document_type = %s"
RESUME = "# Ada Example\n\nEngineer in Berlin, who has built things that work.\n\n## Experience\n\n- **Engineer, Acme**: tools\n"

# Each would make itself known if any of it were read as HTML.
MARK = "pwned-7f3a"
NASTY = [
    f"<img src=x onerror=\"document.title='{MARK}';alert('{MARK}')\">",
    f"<script>document.title='{MARK}';alert('{MARK}')</script>",
    f"\"><svg/onload=alert('{MARK}')>",
    f"<iframe srcdoc=\"<script>parent.document.title='{MARK}'</script>\"></iframe>",
    f"<b id={MARK}>bold</b>",
]
NASTY_MARKDOWN = "\n\n".join(NASTY + [
    f"[click](javascript:alert('{MARK}'))", f"![x](javascript:alert('{MARK}'))",
    f"[out](data:text/html;base64,{base64.b64encode(b'<script>alert(1)</script>').decode()})",
    f"<a href=\"javascript:alert('{MARK}')\">a</a>", "<style>body { display: none }</style>",
    f"<form action='https://example.com/'><input name={MARK}></form>", "# Heading that stays",
])


@pytest.fixture
def application(user):
    return user.create("Acme", "Engineer")


def write(user, application, kind, text):
    return user.put(f"/applications/{application['id']}/documents/{kind}", {"content": text}).ok(201)


def stored(stack, application, kind="research_report"):
    row = stack.sql(CONTENT, application["id"], kind)
    return row[0][0] if row else None


def area(page):
    return page.query("textarea.markdown")


def state(page, *texts):
    page.wait(lambda: page.texts(".save-state") and page.texts(".save-state")[0] in texts,
              f"{texts} and not {page.texts('.save-state')}")


# ---- The steps ----

def test_the_steps_say_what_is_done_and_what_is_next(page, stack, application, user):
    path = f"/applications/{application['id']}"
    page.sign_in(user, path)
    page.wait(lambda: [" ".join(text.split()[-2:]) for text in page.texts(".steps li")][1:] ==
              ["Research next", "after research", "after résumé"], "the steps")
    page.click_on(".steps li:nth-child(4) a")
    page.sees("First: résumé")
    page.open(path)
    page.click("Write it")
    page.at(path + "/research_report")
    page.replace(area(page), "What I found out about them.")
    state(page, "Saved")
    page.wait(lambda: "done" in page.texts(".steps li")[1] and "next" in page.texts(".steps li")[2], "the next step")
    assert stored(stack, application) == "What I found out about them."
    page.sees("Research done")
    page.click_on(".steps li:nth-child(1) a")
    page.at(path)
    page.sees("Next: résumé")


def test_the_resume_of_a_position_begins_with_the_primary_one(page, stack, application, user):
    user.post("/resumes", {"name": "General", "content": RESUME}).ok(201)
    write(user, application, "research_report", "What there is to know.")
    page.sign_in(user, f"/applications/{application['id']}/optimized_resume")
    page.click("your primary résumé")
    page.wait(lambda: area(page).get_attribute("value") == RESUME, "the text of the resume")
    state(page, "Saved")
    assert stored(stack, application, "optimized_resume") == RESUME


def test_a_document_is_deleted_after_a_question_and_not_out_of_order(page, stack, application, user):
    page.expect(409)
    write(user, application, "research_report", "What there is to know.")
    write(user, application, "optimized_resume", "What I have done so far.")
    page.sign_in(user, f"/applications/{application['id']}/research_report")
    page.click("Delete the research")
    page.sees("Delete the research?")
    page.click("Delete")
    page.sees("Not deleted.")
    assert stored(stack, application) == "What there is to know."
    page.open(f"/applications/{application['id']}/optimized_resume")
    page.click("Delete the résumé")
    page.click("Cancel")
    page.misses("Delete the résumé?")
    page.click("Delete the résumé")
    page.click("Delete")
    page.sees("The résumé is deleted.")
    page.wait(lambda: stored(stack, application, "optimized_resume") is None, "it is gone")


def test_similar_documents_stand_beside_one_that_has_an_embedding(page, user, application):
    other = user.create("Bolt", "Manager")
    for row, first in ((application, 1.0), (other, 0.5)):
        write(user, row, "research_report", "What there is to know.")
        vector = [first, 1.0] + [0.0] * 1534
        user.put(f"/applications/{row['id']}/documents/research_report/embedding", {"embedding": vector}).ok(201)
    write(user, application, "optimized_resume", "What I have done so far.")
    page.sign_in(user, f"/applications/{application['id']}/research_report")
    page.sees("Similar documents", "Research, Manager at Bolt", "95 % alike")
    page.click("Research, Manager at Bolt")
    page.at(f"/applications/{other['id']}/research_report", "Manager Bolt")
    page.sees(f"Research, {application['role_title']} at {application['company_name']}")
    page.open(f"/applications/{application['id']}/optimized_resume")
    page.sees("Similar documents are shown here once this one has an embedding.")
    assert len(page.requests("POST", "/api/v1/documents/similar")) == 2, "nothing is asked that can have no answer"


# ---- The editor ----

def test_the_preview_is_the_rendering_of_the_server(page, stack, application, user):
    text = "# Title\n\nSome **bold** text.\n\n- one\n- two\n\n| a | b |\n|---|---|\n| 1 | 2 |\n"
    write(user, application, "research_report", text)
    page.sign_in(user, f"/applications/{application['id']}/research_report")
    inside = "return document.querySelector('iframe.preview')?.contentDocument?.body"
    page.wait(lambda: page.script(inside + "?.querySelector('strong')?.textContent;") == "bold", "the rendering")
    answer = user.get(f"/applications/{application['id']}/documents/research_report", headers={"Accept": "text/html"})
    tags = "return [...new DOMParser().parseFromString(arguments[0], 'text/html').body.querySelectorAll('*')]"
    assert (page.script(inside + ".querySelectorAll('*').length;") ==
            len(page.script(tags + ".map((one) => one.tagName);", answer.body.decode())))
    assert page.script("return document.querySelector('iframe.preview').sandbox.contains('allow-scripts');") is False


def test_the_editor_saves_by_itself_and_says_so(page, stack, application, user):
    page.sign_in(user, f"/applications/{application['id']}/research_report")
    state(page, "Nothing written yet")
    area(page).click()
    page.insert("short")
    state(page, "Saved from 10 characters on")
    page.insert(" and then longer")
    state(page, "Saved")
    assert stored(stack, application) == "short and then longer"
    page.insert(", and more")
    page.keys(Keys.CONTROL, "s")
    wait_for(lambda: stored(stack, application) == "short and then longer, and more", 30, "saved")
    page.reload()
    page.wait(lambda: area(page).get_attribute("value") == "short and then longer, and more", "the text")
    state(page, "Saved")


def test_leaving_at_once_loses_nothing(page, stack, application, user):
    page.sign_in(user, f"/applications/{application['id']}/research_report")
    state(page, "Nothing written yet")
    area(page).click()
    page.insert("Typed and left in the same moment.")
    page.script("document.querySelector('nav a[href=\"/numbers\"]').click();")
    page.at("/numbers")
    wait_for(lambda: stored(stack, application) == "Typed and left in the same moment.", 30, "saved")
    page.back()
    page.wait(lambda: area(page).get_attribute("value") == "Typed and left in the same moment.", "the text")
    page.insert("")
    area(page).send_keys(Keys.CONTROL, Keys.END)
    page.insert(" Then reloaded.")
    page.reload()
    page.wait(lambda: area(page).get_attribute("value") == "Typed and left in the same moment. Then reloaded.", "the text")
    wait_for(lambda: stored(stack, application) == "Typed and left in the same moment. Then reloaded.", 30, "saved")


def test_a_text_too_short_to_be_saved_survives_a_reload(page, stack, application, user):
    page.sign_in(user, f"/applications/{application['id']}/research_report")
    state(page, "Nothing written yet")
    area(page).click()
    page.insert("short")
    state(page, "Saved from 10 characters on")
    page.reload()
    page.wait(lambda: area(page).get_attribute("value") == "short", "the text")


@pytest.mark.parametrize("answer", ["Keep mine", "Take the other version"])
def test_a_conflict_shows_both_versions_and_overwrites_nothing(page, stack, application, user, answer):
    page.expect(412)
    write(user, application, "research_report", "First line\nSecond line\n")
    page.sign_in(user, f"/applications/{application['id']}/research_report")
    state(page, "Saved")
    user.put(f"/applications/{application['id']}/documents/research_report", {"content": "First line\nTheirs\n"}).ok(200)
    page.replace(area(page), "First line\nMine\n")
    state(page, "Changed in another place")
    assert stored(stack, application) == "First line\nTheirs\n"
    page.insert("More of mine\n")
    page.reload()
    state(page, "Changed in another place")
    page.click("Compare")
    page.sees("First line Mine More of mine", "First line Theirs")
    page.click(answer)
    state(page, "Saved")
    wanted = "First line\nMine\nMore of mine\n" if answer == "Keep mine" else "First line\nTheirs\n"
    wait_for(lambda: stored(stack, application) == wanted, 30, wanted)
    assert area(page).get_attribute("value") == wanted


def test_a_tab_that_is_come_back_to_shows_what_another_has_saved(page, stack, application, user):
    path = f"/applications/{application['id']}/research_report"
    write(user, application, "research_report", "What was there before.")
    page.sign_in(user, path)
    state(page, "Saved")
    first = page.tab(path)
    state(page, "Saved")
    page.replace(area(page), "What the second tab has.")
    wait_for(lambda: stored(stack, application) == "What the second tab has.", 30, "saved")
    page.to(first)
    page.wait(lambda: area(page).get_attribute("value") == "What the second tab has.", "what the second tab has")
    page.replace(area(page), "What the first tab has.")
    wait_for(lambda: stored(stack, application) == "What the first tab has.", 30, "saved")


# ---- Offline ----

def test_what_is_written_offline_is_kept_over_a_reload_and_sent(page, stack, application, user):
    path = f"/applications/{application['id']}/research_report"
    write(user, application, "research_report", "What was there before.")
    page.sign_in(user, path)
    state(page, "Saved")
    page.offline()
    page.sees("You are offline")
    page.replace(area(page), "What was written in the train.")
    state(page, "Kept here, not sent yet")
    assert stored(stack, application) == "What was there before."
    page.close_and_open(path)
    page.wait(lambda: area(page).get_attribute("value") == "What was written in the train.", "what was written")
    wait_for(lambda: stored(stack, application) == "What was written in the train.", 30, "sent")
    state(page, "Saved")


def test_an_application_made_offline_is_created_once_the_network_is_back(page, stack, user):
    page.sign_in(user, "/new")
    page.fill("Company", "Acme")
    page.fill("Role", "Engineer")
    page.fill("The posting", "A position of which this text is the description, long enough to be one.")
    page.script("document.dispatchEvent(new PointerEvent('pointerdown', { bubbles: true }));")
    page.offline()
    page.sees("You are offline")
    page.click("Add the application")
    page.sees("Not sent yet")
    assert stack.sql("SELECT count(*) FROM applications WHERE user_id = %s", user.id) == [(0,)]
    page.offline(False)
    wait_for(lambda: stack.sql("SELECT count(*) FROM applications WHERE user_id = %s", user.id) == [(1,)], 60, "sent")
    page.misses("Not sent yet")
    page.open("/board")
    page.sees("Acme")


def test_what_was_changed_offline_and_closed_is_offered_again(page, stack, application, user):
    page.sign_in(user, f"/applications/{application['id']}")
    page.click("Add a location")
    page.offline()
    page.fill("Location", "Oslo")
    page.keys(Keys.ENTER)
    page.sees("Not sent yet")
    page.close_and_open("/numbers")
    wait_for(lambda: stack.sql("SELECT location FROM applications WHERE id = %s", application["id"]) == [("Oslo",)],
             60, "sent")
    page.misses("Not sent yet")


# ---- Texts that are no text ----

def test_nothing_of_a_text_becomes_part_of_the_page(page, stack, user):
    page.expect("Blocked script execution in 'about:srcdoc'")
    application = user.create(NASTY[0][:255], NASTY[1][:255], job_description="\n".join(NASTY), location=NASTY[2][:255],
                              name=NASTY[4])
    for kind in ("research_report", "optimized_resume", "cover_letter"):
        write(user, application, kind, NASTY_MARKDOWN)
    resume = user.post("/resumes", {"name": NASTY[0][:255], "content": NASTY_MARKDOWN}).ok(201)
    user.patch("/me", {"full_name": NASTY[3][:255]}).ok()
    page.sign_in(user, "/board")
    page.sees("onerror")
    root = f"/applications/{application['id']}"
    for path in ("/board", "/table", "/table?q=" + MARK, root, root + "/research_report", root + "/cover_letter", "/resumes",
                 "/resumes/" + resume["id"], f"/search?q={MARK}", "/search?q=bold", "/account", "/numbers"):
        page.open(path)
        page.wait(lambda: len(page.queries("h1")) > 0 and not page.queries(".skeleton, [data-state=loading]"), path)
        if "report" in path or "letter" in path:
            page.wait(lambda: "Heading that stays" in page.script(
                "return document.querySelector('iframe.preview')?.contentDocument?.body?.textContent ?? '';"), "preview")
        assert clean(page, path)
    # On paper the rendering stands in the page itself.
    page.open(root + "/cover_letter")
    page.wait(lambda: "Heading that stays" in page.script(
        "return document.querySelector('.print-only')?.textContent ?? '';"), "the paper")
    assert clean(page, "paper")


def clean(page, where):
    """No element, no attribute and no address in the page or in a frame of it is of the user's making."""
    found = page.script("""
        const roots = [document, ...[...document.querySelectorAll("iframe")].map((one) => one.contentDocument)];
        const wrong = [];
        for (const root of roots.filter(Boolean))
            for (const node of root.querySelectorAll("*")) {
                const own = node.ownerDocument === document;
                if (/^(SCRIPT|STYLE|FORM|OBJECT|EMBED|IFRAME)$/.test(node.tagName)
                    && !(own && (node.matches("script[src], iframe.preview, form") && !node.closest(".paper"))))
                    wrong.push(node.outerHTML.slice(0, 200));
                if (node.tagName === "B" || node.id === arguments[0]) wrong.push(node.outerHTML.slice(0, 200));
                for (const { name, value } of node.attributes) {
                    if (/^on/.test(name)) wrong.push(`${node.tagName} ${name}`);
                    if (/^(href|src|action)$/.test(name) && /^\\s*(javascript|data|vbscript):/i.test(value))
                        wrong.push(`${node.tagName} ${name}=${value}`);
                }
            }
        if (document.title === arguments[0]) wrong.push("a script has run");
        return wrong;""", MARK)
    assert found == [], (where, found)
    return True


# ---- Resumes ----

def test_resumes_from_the_first_to_a_copy(page, stack, user):
    page.sign_in(user, "/resumes")
    page.sees("No résumé yet")
    page.click("Add your résumé")
    page.at("/resumes/new")
    page.fill("Name", "General")
    page.fill("Text", RESUME)
    page.choose("Focus", "Consulting")
    page.click("Add the résumé")
    page.at("/resumes/[0-9a-f-]{36}")
    state(page, "Saved")
    page.sees("Primary")
    area(page).send_keys(Keys.CONTROL, Keys.END)
    page.insert("- And more\n")
    state(page, "Saved")
    content = "SELECT name, is_primary, focus_area::text, content FROM user_resumes WHERE user_id = %s ORDER BY created_at"
    wait_for(lambda: stack.sql(content, user.id) == [("General", True, "consulting", RESUME + "- And more\n")], 30, "saved")
    page.click("Duplicate")
    page.sees("A copy is made.")
    page.wait(lambda: page.value("Name of the résumé") == "General, copy", "the copy")
    page.replace(page.find("field", "Name of the résumé"), "For managers")
    page.keys(Keys.TAB)
    wait_for(lambda: [row[0] for row in stack.sql(content, user.id)] == ["General", "For managers"], 30, "the new name")
    page.open("/resumes")
    page.click("Make For managers the primary résumé")
    wait_for(lambda: [row[:2] for row in stack.sql(content, user.id)] ==
             [("General", False), ("For managers", True)], 30, "another primary one")
    page.wait(lambda: page.texts(".row strong")[0] == "For managers", "the primary one first")
    page.click("Delete General")
    page.sees("Delete General?")
    page.click("Delete")
    page.wait(lambda: page.texts(".row strong") == ["For managers"], "it is gone")
    assert len(stack.sql(content, user.id)) == 1


def test_a_resume_renamed_while_its_text_is_typed_is_no_conflict(page, stack, user):
    page.expect(412)
    resume = user.post("/resumes", {"name": "General", "content": RESUME}).ok(201)
    page.sign_in(user, "/resumes/" + resume["id"])
    state(page, "Saved")
    page.replace(page.find("field", "Name of the résumé"), "Better name")
    page.keys(Keys.TAB)
    page.wait(lambda: page.title.startswith("Better name"), "the new name")
    area(page).send_keys(Keys.CONTROL, Keys.END)
    page.insert("- And more\n")
    state(page, "Saved")
    assert stack.sql("SELECT name, content FROM user_resumes WHERE id = %s", resume["id"]) == \
        [("Better name", RESUME + "- And more\n")]


# ---- On paper ----

@pytest.mark.parametrize("what", ["resume", "letter"])
def test_print_shows_the_document_alone(page, stack, application, user, what):
    if what == "letter":
        for kind in ("research_report", "optimized_resume", "cover_letter"):
            write(user, application, kind, RESUME)
        path = f"/applications/{application['id']}/cover_letter"
    else:
        path = "/resumes/" + user.post("/resumes", {"name": "General", "content": RESUME}).ok(201)["id"]
    page.sign_in(user, path)
    state(page, "Saved")
    page.wait(lambda: "Ada Example" in page.script("return document.querySelector('.print-only').textContent;"), "paper")
    page.media(type="print")
    try:
        text = page.text()
        assert "Ada Example" in text and "Engineer, Acme" in text, text
        for word in ("Applications", "Account", "Saved", "Posting", "Duplicate", "Print or PDF", "Facts", "Search", "Résumés"):
            assert word not in text, (word, text)
        shown = page.queries("header.top, nav, button, textarea, iframe, select, input, .badge")
        assert shown == [], [one.get_attribute("outerHTML")[:200] for one in shown]
    finally:
        page.media()
    pdf = base64.b64decode(page.driver.execute_cdp_cmd("Page.printToPDF", {"preferCSSPageSize": True})["data"])
    assert pdf.startswith(b"%PDF-") and pdf.count(b"/Type /Page\n") + pdf.count(b"/Type /Page ") == 1, "one page"
