"""
A person at a browser: Debian's Chromium, driven through chromedriver.

What is on the page is found by its role and the words that one reads or hears, and everything is waited for: a control
until it can be used, a text until it is there. Whatever the browser complains of in its console fails the test.
"""

import os
import re

from selenium import webdriver
from selenium.common.exceptions import (ElementClickInterceptedException, ElementNotInteractableException,
                                        JavascriptException, NoSuchElementException, StaleElementReferenceException,
                                        WebDriverException)
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.keys import Keys

from stack import wait_for

PATIENCE = int(os.environ.get("JOBFORGE_TEST_PATIENCE", "30"))  # seconds: beyond them nothing will come
LOOK = 0.06  # seconds between two looks at the page, each of which takes the browser's time
WIDE = (1280, 900)
PHONE = (390, 844)

# What passes by itself: the page is being drawn.
MOVING = (StaleElementReferenceException, ElementClickInterceptedException, ElementNotInteractableException,
          NoSuchElementException)

# The first element of a kind and a name that can be seen, in the dialog on top if there is one.
FIND = r"""
const [kind, name] = arguments;
const tidy = (text) => (text ?? "").replace(/\s+/g, " ").trim();
const SELECTORS = {
	control: "button, a[href], summary, label.chip, [role=button]",
	field: "input, textarea, select",
	heading: "h1, h2, h3",
};
const dialogs = [...document.querySelectorAll("dialog[open]")];
const roots = dialogs.length > 0 ? [dialogs.at(-1), ...document.querySelectorAll(".toasts")] : [document];
const seen = (node) => node.checkVisibility({ visibilityProperty: true }) && node.getClientRects().length > 0;
const labelOf = (node) => {
	const label = node.labels?.[0]?.cloneNode(true);
	label?.querySelectorAll("select, .optional").forEach((one) => one.remove());
	return label?.textContent;
};
const nameOf = (node) =>
	tidy(node.getAttribute("aria-label") || (kind === "field" ? labelOf(node) : node.innerText || node.textContent));
const all = roots.flatMap((root) => [...root.querySelectorAll(SELECTORS[kind])]);
// A file's field and a check box may be drawn by their label.
return all.filter((node) => nameOf(node) === name && (seen(node) || node.type === "file"))[0] ?? null;
"""

# Text that can be seen, also what stands in fields.
TEXT = r"""
const dialogs = [...document.querySelectorAll("dialog[open]")];
const roots = dialogs.length > 0 ? [dialogs.at(-1), ...document.querySelectorAll(".toasts")] : [document.body];
return roots.map((root) => root.innerText).join("\n").replace(/\s+/g, " ");
"""


class Chromium:
    """
    One browser for a file of tests; each test begins with nothing of the one before.

    `stack` is what it is to look at: anything with `https_port` and path(), which says where to put downloads. `base` is
    another address of it.
    """

    def __init__(self, stack, base=None):
        options = webdriver.ChromeOptions()
        options.binary_location = "/usr/bin/chromium"
        for flag in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-background-networking",
                     "--disable-gpu", "--disable-extensions", "--no-first-run", "--window-size=%d,%d" % WIDE,
                     "--lang=en-US", "--disable-background-timer-throttling",
                     "--disable-backgrounding-occluded-windows", "--disable-renderer-backgrounding"):
            options.add_argument(flag)
        options.accept_insecure_certs = True
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        options.set_capability("unhandledPromptBehavior", "ignore")
        self.downloads = stack.path("downloads")
        os.makedirs(self.downloads, exist_ok=True)
        self.stack = stack
        self.base = base or f"https://localhost:{stack.https_port}"
        self.driver = webdriver.Chrome(service=Service("/usr/bin/chromedriver", log_path=os.devnull), options=options)
        self.driver.set_page_load_timeout(PATIENCE * 2)
        self.driver.set_script_timeout(PATIENCE)

    def __enter__(self):
        return self

    def __exit__(self, *what):
        self.driver.quit()

    def page(self):
        """The one window, empty, wide, online, without anything stored."""
        driver = self.driver
        first, *others = driver.window_handles
        for handle in others:
            driver.switch_to.window(handle)
            driver.close()
        driver.switch_to.window(first)
        driver.get("about:blank")
        driver.execute_cdp_cmd("Storage.clearDataForOrigin", {"origin": self.base, "storageTypes": "all"})
        driver.execute_cdp_cmd("Network.clearBrowserCookies", {})
        driver.execute_cdp_cmd("Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": self.downloads})
        driver.get_log("browser")
        return Page(self)


class Page:
    def __init__(self, chromium):
        self.chromium = chromium
        self.stack = chromium.stack
        self.base = chromium.base
        self.driver = chromium.driver
        self.expected = [r"favicon\.ico"]
        self.size(*WIDE)
        self.offline(False)

    # What the browser complains of

    def expect(self, *patterns):
        """Complaints in the console that are part of the test: an HTTP status, or a regular expression."""
        self.expected.extend(rf"status of {one}\b" if isinstance(one, int) else one for one in patterns)

    def complaints(self):
        found = [entry for entry in self.driver.get_log("browser")
                 if entry["level"] == "SEVERE" or entry["source"] == "security"
                 or "Content Security Policy" in entry["message"]]
        return [entry["message"] for entry in found
                if not any(re.search(pattern, entry["message"]) for pattern in self.expected)]

    def close(self):
        self.offline(False)
        found = self.complaints()
        assert not found, "in the browser's console: " + "\n".join(found)

    # Where it is

    def open(self, path="/"):
        self.driver.get(self.base + path)

    def reload(self):
        self.driver.refresh()

    def back(self):
        self.driver.back()

    def forward(self):
        self.driver.forward()

    @property
    def path(self):
        return self.driver.current_url[len(self.base):]

    @property
    def title(self):
        return self.driver.title

    def at(self, path, heading=None):
        """Waits until the address is `path`, a string or a pattern of all of it."""
        self.wait(lambda: re.fullmatch(path, self.path), f"address {path}")
        if heading:
            self.find("heading", heading)

    def size(self, width, height):
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", {
            "width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600})

    def offline(self, away=True):
        self._network(offline=away)
        if away:
            self.expect("ERR_INTERNET_DISCONNECTED", "ERR_FAILED")  # the other is of a request that was under way

    def slow(self, latency):
        """Every answer comes so many milliseconds later."""
        self._network(latency=latency)

    def _network(self, offline=False, latency=0):
        self.driver.execute_cdp_cmd("Network.enable", {})
        self.driver.execute_cdp_cmd("Network.emulateNetworkConditions", {
            "offline": offline, "latency": latency, "downloadThroughput": -1, "uploadThroughput": -1})

    def media(self, **features):
        """media(type="print"), media(prefers_color_scheme="dark"); media() is as before."""
        kind = features.pop("type", "")
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {
            "media": kind, "features": [{"name": name.replace("_", "-"), "value": value}
                                        for name, value in features.items()]})

    def tab(self, path):
        """Opens another tab at an address and goes there; returns what `to` takes to come back."""
        before = self.driver.current_window_handle
        self.driver.switch_to.new_window("tab")
        self.open(path)
        return before

    def close_and_open(self, path):
        """Closes the tab as it is, offline if it is, and opens another, which is online."""
        old = self.driver.current_window_handle
        self.driver.switch_to.new_window("tab")
        new = self.to(old)
        self.driver.close()
        self.driver.switch_to.window(new)
        self.open(path)

    def to(self, handle):
        """Goes to another tab; returns the one that it was in."""
        here = self.driver.current_window_handle
        self.driver.switch_to.window(handle)
        return here

    # Who is there

    def sign_in(self, user, path="/board"):
        """As if the user had signed in here before: the cookie is there, and the page knows that it is worth asking."""
        self.open("/favicon.svg")
        status = self.driver.execute_async_script("""
            const [email, password, done] = arguments;
            fetch("/api/v1/auth/login", {
                method: "POST",
                headers: { "Content-Type": "application/json", "X-Requested-With": "fetch" },
                body: JSON.stringify({ email, password, cookie: true }),
            }).then((answer) => {
                localStorage.setItem("jobforge-signed-in", "yes");
                done(answer.status);
            }, (error) => done(String(error)));""", user.email, user.password)
        assert status == 200, status
        self.open(path)

    # What is on the page

    def script(self, text, *words):
        return self.driver.execute_script(text, *words)

    def wait(self, condition, what="condition"):
        """`what` may be a function: what there is instead is looked at when it has not come."""
        def tried():
            try:
                return condition()
            except MOVING:
                return None
            except JavascriptException as error:
                if "null" in str(error) or "undefined" in str(error):
                    return None
                raise
            except WebDriverException as error:
                if "does not belong to the document" in str(error) or "execution context" in str(error):
                    return None
                raise
        try:
            return wait_for(tried, PATIENCE, "condition" if callable(what) else what, LOOK)
        except AssertionError as error:
            told = f" ({self._glance(what)})" if callable(what) else ""
            raise AssertionError(f"{error}{told}; at {self.path} with: {self._glance(self.text)[:1500]}") from None

    @staticmethod
    def _glance(look):
        try:
            return look()
        except WebDriverException as error:
            return str(error)

    def text(self):
        return self.script(TEXT)

    def sees(self, *texts):
        """Waits until all these texts can be seen."""
        for text in texts:
            self.wait(lambda: text in self.text(), f"text {text!r}")

    def misses(self, *texts):
        """Waits until none of these texts can be seen."""
        for text in texts:
            self.wait(lambda: text not in self.text(), f"no text {text!r}")

    def has(self, kind, name):
        return self.script(FIND, kind, name) is not None

    def find(self, kind, name):
        return self.wait(lambda: self.script(FIND, kind, name), f"{kind} {name!r}")

    def query(self, selector):
        """The first element of a selector that can be seen."""
        return self.wait(lambda: self.script(
            "return [...document.querySelectorAll(arguments[0])].find((one) => one.checkVisibility()) ?? null;",
            selector), selector)

    def queries(self, selector):
        return self.script(
            "return [...document.querySelectorAll(arguments[0])].filter((one) => one.checkVisibility());", selector)

    def texts(self, selector):
        return self.script(
            "return [...document.querySelectorAll(arguments[0])].filter((one) => one.checkVisibility())"
            ".map((one) => (one.innerText || one.textContent).replace(/\\s+/g, ' ').trim());", selector)

    # What one does

    def click(self, name, kind="control"):
        def clicked():
            element = self.script(FIND, kind, name)
            if element is None:
                return False
            self._press(element)
            return True
        self.wait(clicked, f"{kind} {name!r} that can be clicked")

    def click_on(self, selector):
        def clicked():
            self._press(self.query(selector))
            return True
        self.wait(clicked, f"{selector} that can be clicked")

    def _press(self, element):
        # What is at the edge may be under the bar that stays there.
        self.script("arguments[0].scrollIntoView({ block: 'center', inline: 'nearest', behavior: 'instant' });", element)
        element.click()

    def fill(self, label, text):
        """Puts a text into a field in place of what is there, as by pasting."""
        return self.replace(lambda: self.script(FIND, "field", label), text, f"field {label!r}")

    def replace(self, field, text, what="the field"):
        """`field` is an element, or what finds it: a view that is drawn anew has another. Returns the one that has the text."""
        find = field if callable(field) else lambda: field
        active = "return document.activeElement === arguments[0] ? arguments[0] : null;"

        def replaced():
            found = find()
            if found is None:
                return None
            self.script("arguments[0].scrollIntoView({ block: 'center' }); arguments[0].focus();", found)
            if not self.script(active, found):
                return None
            self.keys(Keys.CONTROL, "a")
            if text:
                self.insert(text)
            else:
                self.keys(Keys.DELETE)
            return self.script(active, find())
        return self.wait(replaced, f"{what} with the focus")

    def hold_undo(self):
        """Waits for the word of a deletion, and stops its time, as with the pointer on it."""
        self.find("control", "Undo")
        self.script("document.querySelectorAll('.toast').forEach((one) => one.dispatchEvent(new MouseEvent('mouseenter')));")

    def insert(self, text):
        """Types where the focus is, all at once."""
        self.driver.execute_cdp_cmd("Input.insertText", {"text": text})

    def choose(self, label, option):
        """Chooses an option of a select by the keyboard, as one who cannot use the pointer would."""
        field = self.find("field", label)
        value = self.script("return [...arguments[0].options].find((one) => one.text === arguments[1])?.value;",
                            field, option)
        assert value is not None, (label, option)
        field.send_keys(option)
        self.wait(lambda: field.get_attribute("value") == value, f"{option} chosen")

    def keys(self, *keys):
        """Presses keys where the focus is; all but the last are held."""
        chain = webdriver.ActionChains(self.driver, duration=0)
        for key in keys[:-1]:
            chain.key_down(key)
        chain.send_keys(keys[-1])
        for key in reversed(keys[:-1]):
            chain.key_up(key)
        chain.perform()

    def value(self, label):
        return self.find("field", label).get_attribute("value")

    def focus(self):
        """What has the focus: its label or text; nothing has it when it is the page."""
        return self.script("""
            const node = document.activeElement;
            if (node === document.body) return "";
            return (node.getAttribute("aria-label") || node.labels?.[0]?.textContent || node.innerText || node.tagName)
                .replace(/\\s+/g, " ").trim();""")

    def wait_focus(self, name):
        self.wait(lambda: name in self.focus(), lambda: f"focus on {name!r}, not {self.focus()!r}")

    # What it asked the server

    def requests(self, method, path):
        """The lines of the access log of requests with this method and this path, a pattern of all of it."""
        return [line for line in self.stack.access_log()
                if line["method"] == method and re.fullmatch(path, line["uri"].split("?")[0])]
