"""
Another site's pages in a real browser, whose user is signed in here: what they send is not believed, and what is here
they neither read nor frame. One of them is of another site altogether, the other only of another origin, as a
neighbour under the same domain is: to that one SameSite is no obstacle.
"""

import http.server
import json
import ssl
import threading
import time

import pytest

from browser import PATIENCE
from stack import PASSWORD, wait_for

OPTIONS = {"auth_workers": 2}

# What a page tries, as the body of an async function of `target`; what it may have read comes back.
FETCH = """
    const answers = [];
    for (const options of OPTIONS) {
        try {
            const answer = await fetch(target, { method: "POST", credentials: "include", ...options });
            answers.push(answer.type + " " + await answer.text());
        } catch (error) {
            answers.push(String(error));
        }
    }
    return answers;"""
BODY = '"{\\"cookie\\":true}"'
ATTACKS = {
    "a request of every simple type": FETCH.replace("OPTIONS", f"""[
        {{ mode: "no-cors" }}, {{ mode: "no-cors", body: {BODY} }}, {{ mode: "cors", body: {BODY} }},
        {{ mode: "no-cors", body: new URLSearchParams("a=b") }}, {{ mode: "no-cors", body: new FormData() }},
        {{ mode: "no-cors", headers: {{ "Content-Type": "text/plain; application/json" }}, body: {BODY} }}]"""),
    "a request that asks for leave": FETCH.replace("OPTIONS", f"""[
        {{ headers: {{ "X-Requested-With": "fetch" }} }},
        {{ headers: {{ "Content-Type": "application/json", "X-Requested-With": "fetch" }}, body: {BODY} }},
        {{ headers: {{ "Content-Type": "application/json" }}, body: {BODY} }}]"""),
    "a header without leave": FETCH.replace("OPTIONS",
                                            """[{ mode: "no-cors", headers: { "X-Requested-With": "fetch" } }]"""),
    "a beacon": f"""
        navigator.sendBeacon(target, {BODY});
        try {{ navigator.sendBeacon(target, new Blob([{BODY}], {{ type: "application/json" }})); }} catch (error) {{ }}
        return [];""",
    "a form in a frame": """
        for (const type of ["application/x-www-form-urlencoded", "text/plain", "multipart/form-data"]) {
            const frame = document.createElement("iframe");
            frame.name = "f" + Math.random();
            const form = document.createElement("form");
            Object.assign(form, { method: "POST", action: target, target: frame.name, enctype: type });
            const field = document.createElement("input");
            Object.assign(field, { name: '{"a":"', value: '"}' });
            form.append(field);
            document.body.append(frame, form);
            form.submit();
        }
        return [];""",
    "an image and a script": """
        for (const tag of ["img", "script", "video", "link", "object", "embed"]) {
            const node = document.createElement(tag);
            node.src = node.href = node.data = target;
            node.rel = "stylesheet";
            document.body.append(node);
        }
        return [];""",
}
READS = """
    const answers = [];
    for (const options of [{}, { credentials: "include" }, { mode: "no-cors", credentials: "include" },
        { headers: { Authorization: "Bearer x" } }]) {
        try {
            const answer = await fetch(target, options);
            answers.push(await answer.text());
        } catch (error) {
            answers.push("");
        }
    }
    return answers;"""


class Elsewhere:
    """A host with one empty page."""

    def __init__(self, stack, secure):
        class Page(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_response(200)
                self.send_header("Content-Type", "text/html")
                self.end_headers()
                self.wfile.write(b"<!DOCTYPE html><title>Elsewhere</title><body>")

            do_POST = do_GET

            def log_message(self, *words):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page)
        self.server.daemon_threads = True
        if secure:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(stack.path("tls.crt"), stack.path("tls.key"))
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.base = f"{'https://localhost' if secure else 'http://127.0.0.1'}:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture(scope="module")
def hosts(stack):
    """Of another site, and of another origin within this one."""
    elsewhere = [Elsewhere(stack, secure=False), Elsewhere(stack, secure=True)]
    yield elsewhere
    for host in elsewhere:
        host.close()


def sessions(stack):
    return stack.sql("SELECT f.user_id, f.revoked_at, t.token_hash::text, t.spent_at FROM jobforge.refresh_families f"
                     " JOIN jobforge.refresh_tokens t ON t.family_id = f.id ORDER BY t.token_hash")


def open_account(page, user, way):
    way("/account")
    page.wait(lambda: page.value("Email") == user.email, "the account")


@pytest.fixture
def attacker(stack):
    return stack.user()


@pytest.fixture
def signed_in(page, user, attacker):
    page.expect(r".")  # the browser says what it refuses
    open_account(page, user, lambda path: page.sign_in(user, path))
    return user


@pytest.fixture
def victim(page, stack, signed_in):
    """Still signed in after the test, when no session is another than before and none is new."""
    before = sessions(stack)
    yield signed_in
    assert sessions(stack) == before
    open_account(page, signed_in, page.open)


def attack(page, code, target):
    return page.driver.execute_async_script(
        f"const [target, done] = arguments; (async () => {{ {code} }})().then(done, (error) => done([String(error)]));",
        target)


def await_request(stack, attack):
    """Until a worker has had it. While a page of elsewhere is open nothing else sends any."""
    def count():
        return stack.log().count('"event":"request"')

    def quiet():
        """Nothing of the attack before comes any more."""
        before = count()
        time.sleep(0.2)
        return count() == before
    wait_for(quiet, PATIENCE, "the end of the attack before")
    before = count()
    told = attack()
    wait_for(lambda: count() > before, PATIENCE, "a request of it")
    return told


@pytest.mark.parametrize("name", ATTACKS)
def test_a_page_elsewhere_cannot_use_the_cookie(page, stack, victim, hosts, name):
    for host in hosts:
        page.driver.get(host.base + "/")
        for path in ("/api/v1/auth/refresh", "/api/v1/auth/logout"):
            for text in await_request(stack, lambda: attack(page, ATTACKS[name], page.base + path)):
                assert "token" not in text and victim.email not in text, text
        time.sleep(0.2)  # what else is under way


LINKS = [
    "const a = document.createElement('a'); a.href = arguments[0]; document.body.append(a); a.click();",
    "const f = document.createElement('form'); f.method = 'POST'; f.action = arguments[0]; f.enctype = 'text/plain';"
    " document.body.append(f); f.submit();",
]


def test_a_link_from_elsewhere_changes_nothing(page, stack, victim, hosts):
    """The whole page goes there: by an address, and by a form, which takes the cookie along within the site."""
    for host in hosts:
        for path in ("/api/v1/auth/logout", "/api/v1/auth/refresh", "/api/v1/me"):
            for code in LINKS:
                page.driver.get(host.base + "/")
                await_request(stack, lambda: page.script(code, page.base + path))
                time.sleep(0.1)


def test_nobody_is_signed_in_from_elsewhere(page, stack, attacker, victim, hosts):
    """As another, so that what is written goes to that account. Neither by signing in nor by signing up."""
    for host in hosts:
        for path, body in (
                ("login", {"email": attacker.email, "password": PASSWORD, "cookie": True}),
                ("register", {"email": "x-" + attacker.email, "password": PASSWORD, "full_name": "X", "cookie": True})):
            page.driver.get(host.base + "/")
            text = json.dumps(json.dumps(body))
            code = FETCH.replace("OPTIONS", f"""[
                {{ mode: "no-cors", body: {text} }},
                {{ headers: {{ "Content-Type": "application/json" }}, body: {text} }},
                {{ mode: "no-cors", body: new Blob([{text}], {{ type: "application/json" }}) }}]""")
            await_request(stack, lambda: attack(page, code, page.base + "/api/v1/auth/" + path))


def test_nothing_here_is_read_from_elsewhere(page, victim, hosts):
    application = victim.create("Secretcorp")
    for host in hosts:
        page.driver.get(host.base + "/")
        for path in ("/api/v1/me", "/api/v1/applications", f"/api/v1/applications/{application['id']}",
                     "/api/v1/me/export", "/api/v1/openapi.json", "/account", "/"):
            for text in attack(page, READS, page.base + path):
                assert text == "", (host.base, path, text[:200])


FRAME = """
    const frame = document.createElement("iframe");
    frame.src = target;
    const loaded = new Promise((done) => { frame.onload = done; setTimeout(done, 3000); });
    document.body.append(frame);
    await loaded;
    try { return [String(frame.contentDocument?.body?.innerText ?? "")]; } catch (error) { return [String(error)]; }"""


def test_nothing_here_is_framed_or_held_by_its_opener(page, signed_in, hosts):
    """
    Not drawn in another's frame, under whose glass one could be made to click, nor steered by a page that opened it.
    The page that is opened is ours, and renews its own session.
    """
    for host in hosts:
        page.driver.get(host.base + "/")
        for path in ("/", "/account", "/api/v1/me", "/api/docs"):
            assert signed_in.email not in attack(page, FRAME, page.base + path)[0]
            page.driver.switch_to.frame(page.script("return document.querySelector('iframe:last-of-type');"))
            assert signed_in.email not in page.driver.page_source and "JobForge" not in page.driver.page_source
            page.driver.switch_to.default_content()
        page.script("window.other = window.open(arguments[0]);", page.base + "/account")
        page.wait(lambda: page.script("return window.other === null || window.other.closed;"), "the window out of reach")


SCRIPTS = [
    "<img src=x onerror=MARK>", "<svg/onload=MARK>", "\"><script>MARK</script>", "'-MARK-'",
    "</title><script>MARK</script>",
    "javascript:MARK", "<iframe srcdoc=\"<script>parent.MARK</script>\">",
    "<math><mi//xlink:href=\"data:x,<script>MARK</script>\">",
    "<details open ontoggle=MARK>", "{{constructor.constructor('MARK')()}}", "${MARK}",
    "<a href=\"javascript:MARK\" autofocus onfocus=MARK>x</a>",
    "[x](javascript:MARK)", "<style>@import 'javascript:MARK'</style>", "<body onload=MARK>", "\u2028MARK//",
    "<scr\0ipt>MARK</script>".replace("\0", ""),
]


def test_the_html_of_a_document_runs_nothing_when_it_is_a_page(page, stack, user):
    """
    Opened by its own address, as a request of the page's would with the token: the rendering, under its own policy.
    """
    page.expect(r".")
    mark = "(document.title='owned',top.owned=1)"
    text = "\n\n".join(script.replace("MARK", mark) for script in SCRIPTS)
    application = user.create("".join(SCRIPTS[:3]).replace("MARK", "x")[:255])
    path = f"/applications/{application['id']}/documents/research_report"
    user.put(path, {"content": text}).ok(201)
    page.sign_in(user, "/account")
    page.driver.execute_cdp_cmd("Network.enable", {})
    page.driver.execute_cdp_cmd("Network.setExtraHTTPHeaders",
                                {"headers": {"Authorization": "Bearer " + user.token, "Accept": "text/html"}})
    try:
        page.open("/api/v1" + path)
        assert "onerror" in page.driver.page_source, "the page is there"
        time.sleep(0.5)
        assert page.title != "owned" and page.script("return window.owned ?? null;") is None
        assert page.script("return document.scripts.length;") == 0
    finally:
        page.driver.execute_cdp_cmd("Network.setExtraHTTPHeaders", {"headers": {}})
