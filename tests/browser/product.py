"""A running product (`./dev run`) and users of it, for the commands beside this file."""

import json
import os
import re
import secrets
import ssl
import subprocess
import sys
import tempfile
import urllib.request

HERE = os.path.dirname(os.path.abspath(__file__))
SOURCE = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.join(SOURCE, "tests", "e2e"))

TEXT = ("# Ada Example\n\nEngineer in Berlin, who has built things that work, and says so in a **few** words.\n\n"
        "## Experience\n\n- **Engineer, Acme**, 2020 to 2026: [tools](https://example.com) that people use\n"
        "- Tester, Bolt\n\n> What others say\n\n| what | how long |\n|---|---|\n| C | 10 years |\n\n`code`\n")
DESCRIPTION = "A position of which this text is the description, long enough to be one, with some words about what is done. "


class Product:
    """What `browser.Chromium` is to look at, by its address alone."""

    def __init__(self, base):
        self.base = base.rstrip("/")
        found = re.fullmatch(r"https://localhost:(\d+)", self.base)
        if not found:
            sys.exit("the address of a running product is wanted, as in https://localhost:8443")
        self.https_port = int(found[1])
        self.directory = tempfile.mkdtemp(prefix="jobforge-browser-")

    def path(self, name):
        return os.path.join(self.directory, name)

    def call(self, method, path, body=None, token=None):
        request = urllib.request.Request(self.base + "/api/v1" + path, method=method)
        if body is not None:
            request.data = json.dumps(body).encode()
            request.add_header("Content-Type", "application/json")
        if token:
            request.add_header("Authorization", "Bearer " + token)
        with urllib.request.urlopen(request, context=ssl._create_unverified_context()) as answer:
            return json.load(answer)


class User:
    """A new user with `count` applications in all states and two resumes."""

    def __init__(self, product, count=24):
        self.email, self.password = f"browser-{secrets.token_hex(6)}@example.com", secrets.token_hex(12)
        self.product = product
        self.token = product.call("POST", "/auth/register", {
            "email": self.email, "password": self.password, "full_name": "Ada Example"})["access_token"]
        self.resume = self.call("POST", "/resumes", {"name": "General", "content": TEXT})
        self.call("POST", "/resumes", {"name": "For managers", "content": TEXT, "focus_area": "management"})
        self.applications = []
        for start in range(0, count, 500):
            self.applications += self.call("POST", "/applications", [
                {"company_name": f"Company {number}", "role_title": ("Engineer", "Senior Engineer", "Manager")[number % 3],
                 "location": ("Berlin", "Oslo", "Remote")[number % 3], "job_description": DESCRIPTION * 3,
                 "priority_level": ("low", "medium", "high")[number % 3], "job_url": f"https://example.com/{number}"}
                for number in range(start, min(start + 500, count))])["data"]
        # Every fifth is on its way; a long list is mostly drafts.
        for number, application in enumerate(self.applications[:200]):
            for kind in ("research_report", "optimized_resume", "cover_letter")[:max(0, number % 5 - 1)]:
                self.call("PUT", f"/applications/{application['id']}/documents/{kind}", {"content": TEXT})

    def call(self, method, path, body=None):
        return self.product.call(method, path, body, self.token)

    def pages(self):
        """Every page, by a name for it."""
        none, whole = self.applications[0]["id"], self.applications[4]["id"]
        return {
            "board": "/board", "table": "/table", "nothing-found": "/table?q=nothing+like+it", "new": "/new",
            "paste": "/new/paste", "csv": "/new/csv", "application": f"/applications/{none}",
            "application-done": f"/applications/{whole}", "document": f"/applications/{whole}/cover_letter",
            "document-empty": f"/applications/{none}/research_report", "document-locked": f"/applications/{none}/cover_letter",
            "resumes": "/resumes", "resume": f"/resumes/{self.resume['id']}", "resume-new": "/resumes/new",
            "search": "/search?q=engineer", "numbers": "/numbers", "account": "/account", "history": "/account/history",
            "missing": "/nowhere",
        }


DIALOGS = {"search": "/", "keys": "?"}  # by the key that opens them
ANYBODY = {"sign-in": "/sign-in", "sign-up": "/sign-up"}


def settle(page):
    """Waits until nothing is loading any more."""
    page.wait(lambda: page.queries("h1") and not page.queries(".skeleton, [data-state=loading]")
              and "Searching" not in page.text(), "a page that is loaded")
    page.driver.execute_async_script("requestAnimationFrame(() => requestAnimationFrame(arguments[0]));")


def package(name, version):
    """The directory of a package of npm at this version, which is installed outside of the tree when it is missing."""
    place = os.path.join(os.environ.get("DEV_DIR") or os.path.join(SOURCE, ".dev"), "npm", f"{name}-{version}")
    directory = os.path.join(place, "node_modules", name)
    if not os.path.exists(os.path.join(directory, "package.json")):
        os.makedirs(place, exist_ok=True)
        subprocess.run(["npm", "install", "--silent", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix", place,
                        f"{name}@{version}"], check=True)
    return directory
