"""
What stands beside the metrics: alert rules and a dashboard. Each names only metrics and labels that there are. promtool, from
the distribution's prometheus, checks the language of all that; `./dev monitoring` brings it.
"""

import json
import os
import re
import shutil
import subprocess

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from stack import PASSWORD, SOURCE

PLACE = os.path.join(SOURCE, "monitoring")
PROMTOOL = os.environ.get("JOBFORGE_TEST_PROMTOOL") or shutil.which("promtool")
needs_promtool = pytest.mark.skipif(not PROMTOOL, reason="there is no promtool: ./dev monitoring")

# Those that Prometheus gives by itself, and those of the dashboard.
GIVEN = {"instance", "job", "le"}
VARIABLES = {"$__rate_interval": "5m", "$__range": "1h", "$instance": ".*"}


def promtool(*arguments, **options):
    result = subprocess.run([PROMTOOL, *arguments], capture_output=True, text=True, timeout=60, **options)
    return result.returncode, result.stdout + result.stderr


def load(name):
    with open(os.path.join(PLACE, name)) as file:
        return json.load(file) if name.endswith(".json") else yaml.safe_load(file)


def rules():
    return [rule for group in load("alerts.yml")["groups"] for rule in group["rules"]]


def panels():
    return [panel for panel in load("dashboard.json")["panels"] if panel["type"] != "row"]


def plain(expression):
    for variable, text in VARIABLES.items():
        expression = expression.replace(variable, text)
    assert "$" not in expression, expression
    return expression


def expressions():
    return [plain(rule["expr"]) for rule in rules()] + [
        plain(target["expr"]) for panel in panels() for target in panel["targets"]]


@pytest.fixture(scope="module")
def metrics(stack):
    """Each sample's name with the labels and their values that were seen."""
    user = stack.user()
    user.get("/me").ok()
    user.post("/auth/login", {"email": user.email, "password": PASSWORD}).ok()
    user.post("/auth/refresh", {"refresh_token": user.refresh_token}).ok()
    seen = {}
    for family in text_string_to_metric_families(stack.root.get("/metrics").body.decode()):
        for sample in family.samples:
            labels = seen.setdefault(sample.name, {})
            for label, text in sample.labels.items():
                labels.setdefault(label, set()).add(text)
    return seen


# --- Rules and dashboard name what there is --------------------------------------------------------------------------

def test_every_expression_names_metrics_and_labels_that_there_are(metrics):
    assert len(expressions()) > 40
    for expression in expressions():
        used = re.findall(r"\bjobforge_\w+", expression)
        assert used or "up{" in expression, expression
        assert set(used) <= set(metrics), (expression, set(used) - set(metrics))
        labels = set().union(*(metrics[name] for name in used)) | GIVEN
        for part in re.findall(r"\bby \(([^)]*)\)", expression):
            assert {label.strip() for label in part.split(",")} <= labels, expression
        for name, selector in re.findall(r"\b(jobforge_\w+)\{([^}]*)\}", expression):
            for label, operator, text in re.findall(r'(\w+)(=~|!~|!=|=)"([^"]*)"', selector):
                assert label in metrics[name] or label in GIVEN, (expression, label)
                values = metrics[name].get(label)
                if values and label not in ("route", "status"):
                    assert any(re.fullmatch(text, value) for value in values), (expression, label, text)


def test_every_metric_is_shown(metrics):
    shown = set(re.findall(r"\bjobforge_\w+", " ".join(plain(target["expr"]) for panel in panels()
                                                         for target in panel["targets"])))
    bare = {re.sub(r"_(bucket|sum|count)$", "", name) for name in shown}
    for name in metrics:
        assert re.sub(r"_(bucket|sum|count)$", "", name) in bare, name


def test_rules_say_what_to_do():
    assert len({rule["alert"] for rule in rules()}) == len(rules()) >= 12
    for rule in rules():
        assert rule["labels"]["severity"] in ("info", "warning", "critical")
        for text in (rule["annotations"]["summary"], rule["annotations"]["description"]):
            assert text.endswith("."), text


def test_every_rule_is_tested():
    """In alerts.test.yml all fire where all is ill, and none where all is well."""
    well, ill = load("alerts.test.yml")["tests"]
    fired = {re.search(r'alertname="(\w+)"', sample["labels"])[1]
             for sample in ill["promql_expr_test"][0]["exp_samples"]}
    assert fired == {rule["alert"] for rule in rules()}
    tested = {re.match(r"\w+", series["series"])[0] for series in well["input_series"]}
    assert set(re.findall(r"\bjobforge_\w+", " ".join(rule["expr"] for rule in rules()))) <= tested


def test_dashboard_is_laid_out():
    whole = load("dashboard.json")
    assert whole["uid"] == "jobforge" and whole["schemaVersion"] >= 36 and "id" not in whole
    variables = {variable["name"]: variable for variable in whole["templating"]["list"]}
    assert set(variables) == {"datasource", "instance"} and variables["datasource"]["type"] == "datasource"
    ids = [panel["id"] for panel in whole["panels"]]
    assert len(set(ids)) == len(ids)
    taken = {}
    for panel in whole["panels"]:
        place = panel["gridPos"]
        assert 0 <= place["x"] and place["x"] + place["w"] <= 24
        for x in range(place["x"], place["x"] + place["w"]):
            for y in range(place["y"], place["y"] + place["h"]):
                assert taken.setdefault((x, y), panel["title"]) == panel["title"], (panel["title"], taken[x, y])
    for panel in panels():
        assert panel["type"] in ("timeseries", "stat", "table"), panel["title"]
        assert panel["title"] and panel["description"].endswith(".")
        assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
        assert panel["fieldConfig"]["defaults"]["unit"]
        assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"])
        assert all(target["datasource"] == panel["datasource"] for target in panel["targets"])


# --- promtool --------------------------------------------------------------------------------------------------------

@needs_promtool
def test_promtool_takes_the_metrics(stack, metrics):
    text = stack.root.get("/metrics").body.decode()
    assert promtool("check", "metrics", input=text) == (0, "")
    status, said = promtool("check", "metrics", input=text.replace("_total{", "{", 1))
    assert status != 0, "the check finds nothing"


@needs_promtool
def test_promtool_takes_the_rules_and_their_tests():
    status, said = promtool("check", "rules", os.path.join(PLACE, "alerts.yml"))
    assert status == 0, said
    status, said = promtool("test", "rules", os.path.join(PLACE, "alerts.test.yml"), cwd=PLACE)
    assert status == 0, said


@needs_promtool
def test_promtool_takes_the_dashboard(tmp_path):
    """Each expression as a rule of its own."""
    recorded = [{"record": f"dashboard:{index}", "expr": plain(target["expr"])} for index, target in enumerate(
        target for panel in panels() for target in panel["targets"])]
    path = tmp_path / "rules.yml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": recorded}]}))
    status, said = promtool("check", "rules", str(path))
    assert status == 0 and f"{len(recorded)} rules found" in said, said
