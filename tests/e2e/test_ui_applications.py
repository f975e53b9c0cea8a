"""The web UI in a real browser: the board and the table, and how applications come, change and go."""

import re

from selenium.webdriver.common.keys import Keys
from stack import wait_for

DESCRIPTION = "A position of which this text is the description, long enough to be one."
TITLES = "SELECT company_name, role_title, location, priority_level::text FROM applications WHERE user_id = %s ORDER BY 1"


def rows(page):
    return page.texts("tbody tr:not(.shape) th strong")


def cards(page, status="draft"):
    return page.texts(f"[data-status={status}] .card strong")


# ---- Board and table ----

def test_the_board_has_a_column_for_each_status(page, user):
    research = {"content": "What there is to know about them."}
    user.create("Draft GmbH")
    done = user.create("Known Ltd")
    user.put(f"/applications/{done['id']}/documents/research_report", research).ok(201)
    page.sign_in(user)
    page.wait(lambda: cards(page) == ["Draft GmbH"], "the draft")
    page.wait(lambda: cards(page, "research_complete") == ["Known Ltd"], "the one with research")
    page.wait(lambda: page.texts(".column .count") == ["1", "1", "0", "0"], "counts")
    page.click("Known Ltd Engineer")
    page.at(f"/applications/{done['id']}")
    page.sees("Next: résumé")
    page.back()
    page.at("/board")
    page.wait(lambda: cards(page) == ["Draft GmbH"], "the draft again")


def test_filter_search_and_order_live_in_the_address(page, user):
    user.create_many([{"company_name": name, "priority_level": level} for name, level in
                      (("Bolt", "low"), ("Acme", "high"), ("Cargo", "high"))])
    page.sign_in(user, "/table")
    page.wait(lambda: len(rows(page)) == 3, "three rows")
    page.click("Company and role")
    page.wait(lambda: rows(page) == ["Acme", "Bolt", "Cargo"], "order by company")
    page.click("Company and role")
    page.wait(lambda: rows(page) == ["Cargo", "Bolt", "Acme"], "the other way")
    page.click("High")
    page.wait(lambda: rows(page) == ["Cargo", "Acme"], "those of high priority")
    page.find("field", "Filter applications").send_keys("arg")
    page.wait(lambda: rows(page) == ["Cargo"], "what is searched for")
    page.wait(lambda: page.path == "/table?q=arg&priority=high&sort=-company_name", "the address")
    page.reload()
    page.wait(lambda: rows(page) == ["Cargo"], "the same after a reload")
    assert page.value("Filter applications") == "arg" and page.value("Order") == "-company_name"
    page.click("Cargo Engineer")
    page.at("/applications/.*")
    page.back()
    page.wait(lambda: rows(page) == ["Cargo"], "the same after going back")
    page.fill("Filter applications", "no such thing")
    page.sees("Nothing found")
    page.click("Clear the filter")
    page.wait(lambda: len(rows(page)) == 3, "all again")


def test_search_as_you_type_does_not_wait_for_the_network(page, user):
    user.create_many([{"company_name": name} for name in ("Acme", "Bolt")])
    page.sign_in(user)
    page.wait(lambda: sorted(cards(page)) == ["Acme", "Bolt"], "two cards")
    page.offline()
    page.find("field", "Filter applications").send_keys("bol")
    page.wait(lambda: cards(page) == ["Bolt"], "what is loaded is filtered at once")


def test_endless_scrolling_shows_each_of_250_applications_once(page, user):
    user.create_many([{"company_name": f"Company {number:03}"} for number in range(250)])
    page.sign_in(user, "/table?sort=company_name")
    page.sees("250 applications")

    def all_there():
        page.script("scrollTo(0, document.documentElement.scrollHeight);")
        return len(rows(page)) >= 250
    page.wait(all_there, "250 rows")
    assert rows(page) == [f"Company {number:03}" for number in range(250)]
    page.open("/board?sort=company_name")
    page.wait(lambda: len(cards(page)) >= 12, "the first cards")

    def all_cards():
        page.script("""scrollTo(0, document.documentElement.scrollHeight);
            for (const one of document.querySelectorAll(".column-scroll")) one.scrollTop = one.scrollHeight;""")
        return len(cards(page)) >= 250
    page.wait(all_cards, "250 cards")
    assert cards(page) == [f"Company {number:03}" for number in range(250)]


def test_going_back_finds_the_place_in_a_long_list(page, user):
    user.create_many([{"company_name": f"Company {number:03}"} for number in range(45)])
    page.sign_in(user, "/table?sort=company_name")
    page.wait(lambda: len(rows(page)) == 45, "the rows")
    page.script("document.querySelectorAll('tbody tr')[35].scrollIntoView({ block: 'center' });")
    page.wait(lambda: page.script("return (history.state?.scroll ?? 0) > 500 && scrollY > 500;"), "scrolled")
    before = page.script("return scrollY;")
    page.click("Company 035 Engineer")
    page.at("/applications/.*", "Engineer Company 035")
    assert page.script("return scrollY;") == 0
    page.back()
    page.wait(lambda: abs(page.script("return scrollY;") - before) < 100, "the place of before")


# ---- By the keyboard ----

def test_the_board_by_the_keyboard_alone(page, user):
    done = user.create("Known Ltd")
    user.put(f"/applications/{done['id']}/documents/research_report", {"content": "What there is to know."}).ok(201)
    user.create_many([{"company_name": name} for name in ("Cargo", "Bolt", "Acme")])
    page.sign_in(user, "/board?sort=company_name")
    page.wait(lambda: cards(page) == ["Acme", "Bolt", "Cargo"], "the cards")
    for _ in range(40):
        if "Acme" in page.focus():
            break
        page.keys(Keys.TAB)
    page.wait_focus("Acme")
    for key, name in ((Keys.ARROW_DOWN, "Bolt"), (Keys.ARROW_DOWN, "Cargo"), (Keys.ARROW_UP, "Bolt"),
                      (Keys.ARROW_RIGHT, "Known Ltd"), (Keys.ARROW_LEFT, "Acme"), (Keys.END, "Cargo")):
        page.keys(key)
        page.wait_focus(name)
        assert page.script("return document.activeElement.matches(':focus-visible');"), name
    page.keys(Keys.ENTER)
    page.at("/applications/.*")
    page.wait_focus("Engineer")


def test_shortcuts_lead_everywhere_and_not_while_one_types(page, user):
    user.create("Acme")
    page.sign_in(user)
    page.sees("Acme")
    for key, path in (("t", "/table"), ("r", "/resumes"), ("b", "/board")):
        page.keys(key)
        page.at(path)
    page.keys("?")
    page.find("heading", "Keyboard shortcuts")
    page.keys(Keys.ESCAPE)
    page.misses("Keyboard shortcuts")
    page.keys("n")
    page.at("/new")
    page.find("field", "Company").send_keys("brtn?/")
    assert page.value("Company") == "brtn?/" and page.path == "/new"


def test_the_skip_link_leads_to_the_content(page, user):
    page.sign_in(user)
    page.find("heading", "Applications")
    page.script("document.activeElement.blur();")
    page.keys(Keys.TAB)
    page.wait_focus("Skip to the content")
    page.keys(Keys.ENTER)
    page.wait(lambda: page.script("return document.activeElement.id;") == "main", "the content has the focus")


# ---- Creating ----

def test_create_by_form(page, stack, user):
    page.sign_in(user, "/new")
    page.fill("Company", "  Löwe & Söhne <b> ")
    page.fill("Role", "Engineer \"C\"")
    page.click("Add the application")
    page.wait_focus("The posting")
    page.fill("The posting", "too short")
    page.click("Add the application")
    page.wait(lambda: page.find("field", "The posting").get_attribute("aria-invalid") == "true", "fault at the posting")
    page.fill("The posting", DESCRIPTION)
    page.fill("Location", "Köln")
    page.choose("Priority", "High")
    page.click("Add the application")
    page.at("/applications/.*", 'Engineer "C" Löwe & Söhne <b>')
    assert stack.sql(TITLES, user.id) == [("Löwe & Söhne <b>", 'Engineer "C"', "Köln", "high")]
    page.open("/new")
    assert page.value("Company") == "", "what was sent is no draft any more"


def test_what_the_server_refuses_is_told_at_its_field(page, user):
    page.expect(422)
    page.sign_in(user, "/new")
    page.fill("Company", "Acme")
    page.fill("Role", "Engineer")
    page.fill("The posting", DESCRIPTION)
    page.fill("Address of the posting", "https://")
    page.script("document.querySelector('[name=job_url]').type = 'text';")
    page.click("Add the application")
    page.wait(lambda: page.find("field", "Address of the posting").get_attribute("aria-invalid") == "true", "the fault")
    page.wait_focus("Address of the posting")
    assert page.value("The posting") == DESCRIPTION


def test_a_form_that_was_left_comes_back_as_it_was(page, user):
    page.sign_in(user, "/new")
    page.fill("Company", "Acme")
    page.fill("The posting", DESCRIPTION)
    page.click("Numbers")
    page.at("/numbers")
    page.back()
    page.at("/new")
    page.wait(lambda: page.value("Company") == "Acme" and page.value("The posting") == DESCRIPTION, "the draft")
    page.reload()
    page.wait(lambda: page.value("Company") == "Acme" and page.value("The posting") == DESCRIPTION, "the draft")


def test_one_double_click_creates_once(page, stack, user):
    page.sign_in(user, "/new")
    page.fill("Company", "Acme")
    page.fill("Role", "Engineer")
    page.fill("The posting", DESCRIPTION)
    page.script("const one = document.querySelector('form [type=submit]'); one.click(); one.click();")
    page.at("/applications/.*")
    assert len(stack.sql(TITLES, user.id)) == 1


def test_create_from_a_pasted_posting(page, stack, user):
    page.sign_in(user, "/new/paste")
    page.fill("The posting, pasted", "Senior Engineer\nAcme Tools · Berlin, hybrid\n\nhttps://jobs.acme.example/42\n\n"
              "Acme Tools builds tools. You will write C, review, and look after what runs in production.\n")
    page.wait(lambda: page.value("Company") == "Acme Tools", "the company")
    assert page.value("Role") == "Senior Engineer" and page.value("Location").startswith("Berlin")
    assert page.value("Address of the posting") == "https://jobs.acme.example/42"
    page.fill("Role", "Senior C Engineer")
    page.click("Add the application")
    page.at("/applications/.*", "Senior C Engineer Acme Tools")
    assert stack.sql(TITLES, user.id)[0][:2] == ("Acme Tools", "Senior C Engineer")


def test_already_applied_is_said_while_one_types(page, user):
    user.create("Acme", "Engineer")
    page.sign_in(user, "/new")
    page.find("field", "Company").send_keys("acm")
    page.sees("You have 1 application like this", "Engineer at Acme")
    page.find("field", "Company").send_keys("e")
    page.find("field", "Role").send_keys("engineer")
    page.sees("You have this application already")
    page.find("field", "Company").send_keys(" Berlin and others")
    page.misses("You have")


def csv_file(stack, name, text):
    path = stack.path(name)
    with open(path, "wb") as file:
        file.write(text.encode() if isinstance(text, str) else text)
    return path


def test_csv_with_a_preview_of_right_and_wrong_rows(page, stack, user):
    path = csv_file(stack, "some.csv", "Employer,Job title,Description,City,Priority,Remark\r\n"
                    f'Acme,Engineer,"{DESCRIPTION}",Berlin,high,x\r\n'
                    f'"Bolt, Inc",Tester,"{DESCRIPTION}\nSecond line",,,y\r\n'
                    "Cargo,Clerk,too short,,,\r\n"
                    f',Clerk,"{DESCRIPTION}",,urgent,\r\n')
    page.sign_in(user, "/new/csv")
    page.find("field", "CSV file").send_keys(path)
    page.sees("2 applications will be created", "2 rows cannot be", "needs 50", "Company is missing",
              "Priority is not one of")
    assert stack.sql(TITLES, user.id) == [], "a preview creates nothing"
    wrong = page.texts("tr.wrong")
    assert len(wrong) == 2 and wrong[0].startswith("4 ") and wrong[1].startswith("5 "), wrong
    page.click("Import 2 without the wrong rows")
    page.at("/board")
    page.sees("2 applications created")
    assert stack.sql(TITLES, user.id) == [("Acme", "Engineer", "Berlin", "high"), ("Bolt, Inc", "Tester", None, "medium")]


def test_csv_whose_columns_have_other_names(page, stack, user):
    path = csv_file(stack, "other.csv", f"Firma;Stelle;Text\nAcme;Engineer;{DESCRIPTION}\n")
    page.sign_in(user, "/new/csv")
    page.find("field", "CSV file").send_keys(path)
    page.sees("Say which column is: Company, Role")
    page.choose("Firma", "Company")
    page.choose("Stelle", "Role")
    page.choose("Text", "Posting")
    page.sees("1 application will be created")
    page.click("Import 1 row")
    page.at("/board")
    assert [row[:2] for row in stack.sql(TITLES, user.id)] == [("Acme", "Engineer")]


def test_files_that_are_no_csv_are_refused_in_words(page, stack, user):
    page.sign_in(user, "/new/csv")
    for name, content, words in (("empty.csv", "", "no rows"), ("head.csv", "company,role\n", "no rows"),
                                 ("latin.csv", "company\nL\xf6we\n".encode("latin-1"), "not UTF-8"),
                                 ("quote.csv", 'company,role\n"Acme,Engineer\n', "quote is not closed")):
        page.find("field", "CSV file").send_keys(csv_file(stack, name, content))
        page.sees(words)


# ---- Changing ----

def test_edit_in_place_in_the_table(page, stack, user):
    user.create("Acme", "Engineer")
    page.sign_in(user, "/table")
    page.click("Edit Engineer at Acme")
    page.wait_focus("Company")
    page.fill("Role", "Architect")
    page.fill("Location", "Oslo")
    page.keys(Keys.ENTER)
    page.sees("Architect", "Oslo")
    assert stack.sql(TITLES, user.id) == [("Acme", "Architect", "Oslo", "medium")]
    page.click("Edit Architect at Acme")
    page.fill("Company", "Never")
    page.keys(Keys.ESCAPE)
    page.wait(lambda: rows(page) == ["Acme"], "as before")
    page.wait_focus("Acme")
    page.choose("Priority of Architect at Acme", "High")
    wait_for(lambda: stack.sql(TITLES, user.id) == [("Acme", "Architect", "Oslo", "high")], 30, "the priority")


def test_edit_in_place_on_the_page(page, stack, user):
    application = user.create("Acme", "Engineer")
    page.sign_in(user, f"/applications/{application['id']}")
    page.click("Edit company")
    page.fill("Company", "Acme Tools")
    page.keys(Keys.ENTER)
    page.find("heading", "Engineer Acme Tools")
    page.wait_focus("Edit company")
    page.click("Add a location")
    page.fill("Location", "Oslo")
    page.click("Save")
    page.sees("Oslo")
    page.click("Edit role")
    page.fill("Role", "")
    page.keys(Keys.ENTER)
    page.expect(422)
    page.wait(lambda: page.find("field", "Role").get_attribute("aria-invalid") == "true", "the fault")
    page.keys(Keys.ESCAPE)
    assert stack.sql(TITLES, user.id)[0][:3] == ("Acme Tools", "Engineer", "Oslo")


def test_a_change_by_another_device_is_shown_and_nothing_is_overwritten(page, stack, user):
    application = user.create("Acme", "Engineer")
    page.expect(412)
    for place, edit, mine in ((f"/applications/{application['id']}", "Edit role", "Mine"),
                              ("/table", None, "Mine too")):
        role = user.get(f"/applications/{application['id']}").ok()["role_title"]
        page.sign_in(user, place)
        page.click(edit or f"Edit {role} at Acme")
        page.fill("Role", mine)
        user.patch(f"/applications/{application['id']}", {"role_title": "Theirs"}).ok()
        page.keys(Keys.ENTER)
        page.sees("Changed in another place meanwhile", mine, "Theirs")
        assert stack.sql(TITLES, user.id)[0][1] == "Theirs"
        page.click("Keep mine")
        wait_for(lambda: stack.sql(TITLES, user.id)[0][1] == mine, 30, "mine is kept")
        page.misses("Changed in another place")
        page.sees(mine)


def test_an_edit_beside_the_change_of_another_device_keeps_both(page, stack, user):
    application = user.create("Acme", "Engineer")
    page.expect(412)
    page.sign_in(user, f"/applications/{application['id']}")
    page.click("Add a location")
    page.fill("Location", "Oslo")
    user.patch(f"/applications/{application['id']}", {"role_title": "Theirs"}).ok()
    page.keys(Keys.ENTER)
    page.find("heading", "Theirs Acme")
    wait_for(lambda: stack.sql(TITLES, user.id)[0][:3] == ("Acme", "Theirs", "Oslo"), 30, "both changes")


# ---- Deleting ----

def test_delete_with_undo(page, stack, user):
    user.create("Acme", "Engineer")
    for place, seen in (("/board", cards), ("/table", rows)):
        page.sign_in(user, place)
        page.wait(lambda: seen(page) == ["Acme"], "the application")
        page.click("Delete Engineer at Acme")
        page.hold_undo()
        page.wait(lambda: seen(page) == [], "it is gone at once")
        page.click("Undo")
        page.wait(lambda: seen(page) == ["Acme"], "it is back")
        page.reload()
        page.wait(lambda: seen(page) == ["Acme"], "it is still there")
    assert len(stack.sql(TITLES, user.id)) == 1


def test_a_deletion_that_is_not_undone_happens(page, stack, user):
    user.create_many([{"company_name": "Acme"}, {"company_name": "Bolt"}])
    page.sign_in(user, "/table")
    page.click("Delete Engineer at Acme")
    page.wait(lambda: rows(page) == ["Bolt"], "it is gone at once")
    page.click("Dismiss")
    wait_for(lambda: [row[0] for row in stack.sql(TITLES, user.id)] == ["Bolt"], 30, "it is deleted")


def test_a_deletion_survives_closing_the_page(page, stack, user):
    user.create_many([{"company_name": "Acme"}, {"company_name": "Bolt"}])
    page.sign_in(user, "/table")
    page.click("Delete Engineer at Acme")
    page.wait(lambda: rows(page) == ["Bolt"], "it is gone at once")
    page.reload()
    page.wait(lambda: rows(page) == ["Bolt"], "it does not come back")

    def deleted():
        page.script("dispatchEvent(new Event('online'));")  # sooner than it would look by itself
        return [row[0] for row in stack.sql(TITLES, user.id)] == ["Bolt"]
    wait_for(deleted, 60, "it is deleted")
