"""Metrics: what is counted, over workers that come and go; who may read them; and each minute's figures in the database."""

import math
import os
import signal
import time

import pytest
from prometheus_client.parser import text_string_to_metric_families

from stack import PASSWORD, POOLED, Client, Stack, children, connect, together, wait_for

OPTIONS = {"api_workers": 3, "auth_workers": 2, "bulk_workers": 1, "login_attempts": 3, "refresh_token_grace": 0}
LOST = '"event": "database"'
BUCKETS = 17  # 16 with a bound, and +Inf


def scrape(stack):
    """The families by name, as a Prometheus of our own would read them."""
    answer = stack.root.get("/metrics")
    assert answer.status == 200, answer
    assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    return {family.name: family for family in text_string_to_metric_families(answer.body.decode())}


def value(families, sample, **labels):
    """The sum of a sample's values over all series that have these labels; 0 when there is none."""
    return sum(found.value for family in families.values() for found in family.samples
               if found.name == sample and labels.items() <= found.labels.items())


def requests(families, route, **labels):
    return value(families, "jobforge_http_requests_total", route=route, **labels)


def settled(stack, condition, what):
    """A worker counts a request before it answers it, but some figures only after: waits for those."""
    return wait_for(lambda: condition(scrape(stack)), 10, what)


# --- The format -----------------------------------------------------------------------------------------------------

def test_every_series_is_sound(stack, user):
    user.get("/me").ok()
    seen = set()
    for family in scrape(stack).values():
        assert family.documentation.endswith("."), family
        assert family.type in ("counter", "gauge", "histogram"), family
        assert family.samples or family.name == "jobforge_http_requests", family.name
        for sample in family.samples:
            assert sample.name.startswith("jobforge_")
            key = (sample.name, tuple(sorted(sample.labels.items())))
            assert key not in seen, "a series comes once"
            seen.add(key)
            assert sample.value >= 0 and math.isfinite(sample.value)
            assert family.type != "counter" or sample.name.endswith("_total")


def test_histograms_are_cumulative(stack, user):
    for _ in range(20):
        user.get("/me").ok()
    families = [family for family in scrape(stack).values() if family.type == "histogram"]
    assert {family.name for family in families} == {
        "jobforge_http_request_duration_seconds", "jobforge_http_queue_seconds", "jobforge_database_round_trip_seconds"}
    for family in families:
        series = {}
        for sample in family.samples:
            labels = {name: text for name, text in sample.labels.items() if name != "le"}
            one = series.setdefault(tuple(sorted(labels.items())), {"buckets": []})
            if sample.name.endswith("_bucket"):
                one["buckets"].append((float(sample.labels["le"]), sample.value))
            else:
                one[sample.name.rpartition("_")[2]] = sample.value
        for one in series.values():
            bounds, counts = zip(*one["buckets"])
            assert len(bounds) == BUCKETS and list(bounds) == sorted(set(bounds)) and math.isinf(bounds[-1])
            assert list(counts) == sorted(counts) and counts[-1] == one["count"]
            assert one["sum"] <= one["count"] * 60 and (one["sum"] > 0) <= (one["count"] > 0)


def test_head_and_other_methods(stack):
    assert stack.root.request("HEAD", "/metrics").status == 200
    stack.root.post("/metrics", {}).problem(405)


# --- Who may read them ----------------------------------------------------------------------------------------------

def test_not_on_the_tls_listener(stack):
    secure = Client(stack, https=True, base="")
    for headers in ({}, {"X-Forwarded-For": "127.0.0.1"}, {"Host": "127.0.0.1"}, {"X-Forwarded-Proto": "http"}):
        secure.get("/metrics", headers=headers).problem(404)


@pytest.mark.parametrize("headers", [
    {"X-Forwarded-For": "127.0.0.1"}, {"X-Forwarded-For": "203.0.113.5"}, {"X-Forwarded-For": "127.0.0.1, 203.0.113.5"},
    {"X-Forwarded-For": "::1"}, {"Forwarded": "for=127.0.0.1"}, {"Via": "1.1 proxy"}, {"X-Real-IP": "127.0.0.1"}])
def test_not_through_a_proxy(stack, headers):
    stack.root.get("/metrics", headers=headers).problem(404)


@pytest.mark.parametrize("path", ["/metrics/", "/metrics/x", "//metrics/.", "/api/metrics", "/api/v1/metrics", "/Metrics"])
def test_other_addresses_show_no_metrics(stack, path):
    assert b"jobforge_" not in stack.raw(b"GET " + path.encode() + b" HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: 192.0.2.1\r\n"
                                         b"Connection: close\r\n\r\n").split(b"\r\n\r\n", 1)[1]


# --- Exact counts ---------------------------------------------------------------------------------------------------

def test_counts_are_exact_over_several_workers(stack):
    users = [stack.user() for _ in range(4)]
    before = scrape(stack)
    rounds = 0

    def answered_by_several():
        """Which worker takes a request is chance."""
        nonlocal rounds
        rounds += 1
        together(4, lambda index: [users[index].get("/applications") for _ in range(50)])
        together(4, lambda index: [users[index].get("/applications/" + users[index].id) for _ in range(10)])
        together(4, lambda index: [users[index].post("/applications", {}) for _ in range(5)])
        return len({line["pid"] for line in stack.log_lines() if line.get("route") == "/api/v1/applications"}) > 1
    wait_for(answered_by_several, 60, "more than one worker answered")
    after = scrape(stack)

    def more(route, **labels):
        return requests(after, "/api/v1" + route, **labels) - requests(before, "/api/v1" + route, **labels)
    assert more("/applications", method="GET", status="200") == 200 * rounds
    assert more("/applications/{id}", method="GET", status="404") == 40 * rounds
    assert more("/applications", method="POST", status="422") == 20 * rounds
    assert more("/applications", method="GET") == 200 * rounds and more("/applications") == 220 * rounds
    name = "jobforge_http_request_duration_seconds_count"
    assert value(after, name, route="/api/v1/applications", method="GET") == requests(
        after, "/api/v1/applications", method="GET")
    for kind in ("2xx", "4xx"):
        assert value(after, "jobforge_http_responses_total", **{"class": kind}) == sum(
            sample.value for sample in after["jobforge_http_requests"].samples
            if sample.labels["status"][0] == kind[0]), kind


def test_unknown_addresses_are_one_route(stack):
    before = scrape(stack)
    for index in range(30):
        stack.anyone.get(f"/nothing-{index}").problem(404)
    stack.anyone.request("OPTIONS", "/me")
    stack.anyone.post("/healthz-not", {}).problem(404)
    after = scrape(stack)
    assert requests(after, "unmatched", method="GET", status="404") - requests(
        before, "unmatched", method="GET", status="404") == 30
    assert requests(after, "unmatched", method="OPTIONS", status="204") - requests(
        before, "unmatched", method="OPTIONS", status="204") == 1
    assert not [sample for sample in after["jobforge_http_requests"].samples if "nothing" in sample.labels["route"]]


def kill_workers(stack):
    before = set(stack.workers())
    for pid in before:
        os.kill(pid, signal.SIGKILL)
    wait_for(lambda: before.isdisjoint(stack.workers()) and len(stack.workers()) == len(before), 20, "new workers")
    stack.wait_ready()


def test_counts_survive_workers_that_are_killed(stack, user):
    for _ in range(25):
        user.get("/resumes").ok()
    before = scrape(stack)
    count = requests(before, "/api/v1/resumes", method="GET", status="200")
    kill_workers(stack)
    families = scrape(stack)
    assert requests(families, "/api/v1/resumes", method="GET", status="200") == count
    assert value(families, "jobforge_worker_exits_total", reason="signal") == 6 + value(
        before, "jobforge_worker_exits_total", reason="signal")
    assert value(families, "jobforge_worker_starts_total") == 6 + value(before, "jobforge_worker_starts_total")
    for _ in range(25):
        user.get("/resumes").ok()
    assert requests(scrape(stack), "/api/v1/resumes", method="GET", status="200") == count + 25


def test_counts_survive_a_reload(stack, user):
    for _ in range(10):
        user.get("/resumes").ok()
    before = scrape(stack)
    stack.reload()
    after = scrape(stack)
    assert requests(after, "/api/v1/resumes", method="GET", status="200") == requests(
        before, "/api/v1/resumes", method="GET", status="200")
    assert value(after, "jobforge_reloads_total", result="done") == 1 + value(
        before, "jobforge_reloads_total", result="done")
    settled(stack, lambda now: value(now, "jobforge_worker_exits_total", reason="drained") == 6 + value(
        before, "jobforge_worker_exits_total", reason="drained"), "the old workers are counted")
    assert value(after, "jobforge_start_time_seconds") == value(before, "jobforge_start_time_seconds")


def test_a_refused_reload_is_counted(stack):
    stack.allow_errors("the old configuration stays")
    before = value(scrape(stack), "jobforge_reloads_total", result="refused")
    conf = dict(stack.conf)
    stack.write_conf(api_workers="many")
    stack.jobforged.send_signal(signal.SIGHUP)
    settled(stack, lambda now: value(now, "jobforge_reloads_total", result="refused") == before + 1, "it is counted")
    stack.write_conf(**conf)


# --- Pools and the database -----------------------------------------------------------------------------------------

def test_pools(stack):
    families = settled(stack, lambda now: value(now, "jobforge_workers_connected") == 6 and now, "all are connected")
    for pool, size in (("api", 3), ("auth", 2), ("bulk", 1)):
        assert value(families, "jobforge_workers_configured", pool=pool) == size
        assert value(families, "jobforge_workers", pool=pool) == size
    assert value(families, "jobforge_workers_busy") == 1, "the one that tells"


def test_requests_in_flight_and_those_that_wait(user, stack):
    """More slow writes than workers: all workers are busy, and the rest waits."""
    blocker = connect(stack.name)
    blocker.autocommit = False
    before = scrape(stack)
    try:
        blocker.cursor().execute("LOCK TABLE public.user_resumes IN ACCESS EXCLUSIVE MODE")
        results = []

        def run(index):
            if index < 9:
                results.append(user.post("/resumes", {"name": f"Waiting {index}", "content": "A résumé that waits, and is long enough. " * 4}).status)
                return
            wait_for(lambda: len(stack.sql("SELECT 1 FROM pg_stat_activity WHERE datname = %s AND wait_event_type = 'Lock'",
                                           stack.name)) == 3, 10, "three workers wait")
            time.sleep(1)
            blocker.rollback()
        together(10, run)
    finally:
        blocker.rollback()
        blocker.close()
    assert results == [201] * 9
    after = scrape(stack)

    def waited(families, bound):
        """How many waited for longer than so many seconds."""
        return value(families, "jobforge_http_queue_seconds_count", pool="api") - value(
            families, "jobforge_http_queue_seconds_bucket", pool="api", le=bound)
    assert waited(after, "0.5") - waited(before, "0.5") >= 6 - 3, "those that no worker took at once"
    busy = value(after, "jobforge_worker_busy_seconds_total", pool="api") - value(
        before, "jobforge_worker_busy_seconds_total", pool="api")
    assert 1.5 < busy < 30, "three workers were held for a second"


@pytest.mark.skipif(POOLED, reason="a pooler keeps the connections of workers when it loses those to the server")
def test_round_trips_and_lost_connections(stack, user):
    stack.allow_errors(LOST)
    before = scrape(stack)
    for _ in range(20):
        user.get("/me").ok()
    after = scrape(stack)
    name = "jobforge_database_round_trip_seconds_count"
    assert value(after, name, pool="api") - value(before, name, pool="api") == 20
    stack.sql("SELECT count(pg_terminate_backend(pid, 5000)) FROM pg_stat_activity WHERE datname = %s"
              " AND usename = 'jobforge_app'", stack.name)

    def again(now):
        return value(now, "jobforge_workers_connected") == 6 and value(
            now, "jobforge_database_connects_total", result="connected") - value(
            after, "jobforge_database_connects_total", result="connected") == 6 and now
    now = settled(stack, again, "all are connected again")
    assert value(now, "jobforge_database_disconnects_total", reason="idle") - value(
        after, "jobforge_database_disconnects_total", reason="idle") == 6


# --- Sessions -------------------------------------------------------------------------------------------------------

def test_logins_by_outcome(stack):
    user = stack.user()
    before = scrape(stack)
    user.post("/auth/login", {"email": user.email, "password": PASSWORD}).ok()
    for _ in range(3):
        user.post("/auth/login", {"email": user.email, "password": "wrong password"}).problem(401)
    for _ in range(2):
        user.post("/auth/login", {"email": user.email, "password": PASSWORD}).problem(429)
    user.post("/auth/login", {"email": user.email}).problem(422)
    after = scrape(stack)
    got = {sample.labels["outcome"]: sample.value - value(before, sample.name, **sample.labels)
           for sample in after["jobforge_logins"].samples}
    assert got == {"succeeded": 1, "wrong": 3, "refused": 0, "limited": 2, "invalid": 1, "failed": 0}


def test_refreshes_by_outcome(stack):
    user = stack.user()
    before = scrape(stack)
    fresh = user.post("/auth/refresh", {"refresh_token": user.refresh_token}).ok()["refresh_token"]
    user.post("/auth/refresh", {"refresh_token": user.refresh_token}).problem(401)
    user.post("/auth/refresh", {"refresh_token": fresh}).problem(401)
    user.post("/auth/refresh", {"refresh_token": "nobody-has-made-this"}).problem(401)
    user.post("/auth/refresh", {}).problem(401)
    after = scrape(stack)
    got = {sample.labels["outcome"]: sample.value - value(before, sample.name, **sample.labels)
           for sample in after["jobforge_refreshes"].samples}
    assert got == {"rotated": 1, "reused": 1, "revoked": 1, "expired": 0, "unknown": 1, "missing": 1}


# --- Refusals -------------------------------------------------------------------------------------------------------

def refusals(stack, limit):
    families = scrape(stack)
    assert value(families, "jobforge_refusals_log_up") == 1
    return value(families, "jobforge_refusals_total", limit=limit)


def open_files(pid):
    """Their names."""
    return {os.readlink(entry.path) for entry in os.scandir(f"/proc/{pid}/fd")}


def test_what_nginx_refuses_is_counted():
    with Stack(plain=True, api_workers=1, auth_workers=1, nginx={"API_RATE": "1r/m", "API_BURST": "2"}) as stack:
        user = stack.user()
        headers = {"X-Forwarded-For": "192.0.2.7"}

        def ask():
            return [user.get("/me", headers=headers).status for _ in range(10)]
        assert ask() == [200] * 3 + [429] * 7
        assert (refusals(stack, "rate"), refusals(stack, "connections")) == (7, 0)
        # A 429 of a worker's is none of nginx's.
        for _ in range(12):
            status = stack.anyone.post("/auth/login", {"email": user.email, "password": "wrong password"}).status
        assert status == 429 and refusals(stack, "rate") == 7
        assert stack.read("refusals.log") == "r\n" * 7
        assert [line["status"] for line in stack.access_log()].count(429) == 9, "each has its line in the access log too"
        # Rotated, with some that nobody has counted.
        ask()
        os.rename(stack.path("refusals.log"), stack.path("refusals.log.1"))
        ask()
        stack.nginx.send_signal(signal.SIGUSR1)
        wait_for(lambda: os.path.exists(stack.path("refusals.log")), 10, "nginx has opened a new log")
        wait_for(lambda: all(stack.path("refusals.log") in open_files(pid) for pid in children(stack.nginx.pid)), 10, "its worker too")
        ask()
        assert refusals(stack, "rate") == 37
        kill_workers(stack)
        assert refusals(stack, "rate") == 37


# --- Each minute's figures ------------------------------------------------------------------------------------------

def test_the_minute_is_written_and_old_ones_go():
    """And nothing is written by a service that is told to keep nothing, beside it."""
    if time.time() % 60 > 25:
        time.sleep(61 - time.time() % 60)  # all below happens in one minute
    with Stack(plain=True, metrics_retention=2) as stack, Stack(plain=True, metrics_retention=0) as quiet:
        quiet.user().get("/me").ok()
        user = stack.user()
        stack.sql("INSERT INTO public.performance_metrics SELECT now() - make_interval(days => d), 'old', 'GET', '/x', now(),"
                  " 'api', 1, 0, 0, 1, 1, 1, 1 FROM generate_series(0, 4) AS d")
        for _ in range(40):
            user.get("/me").ok()
        for _ in range(7):
            user.get("/applications/" + user.id).problem(404)
        stack.anyone.get("/nowhere").problem(404)
        began = value(scrape(stack), "jobforge_start_time_seconds")
        rows = wait_for(lambda: stack.sql(
            "SELECT method || ' ' || route, pool, requests, client_errors, server_errors, total_seconds, p50_seconds,"
            " p95_seconds, p99_seconds, extract(epoch FROM started_at), extract(epoch FROM ended_at)"
            " FROM public.performance_metrics WHERE instance <> 'old'"), 75, "the minute's rows")
        found = {row[0]: row for row in rows}
        assert found["GET /api/v1/me"][1:5] == ("api", 40, 0, 0)
        assert found["GET /api/v1/applications/{id}"][1:5] == ("api", 7, 7, 0)
        assert found["POST /api/v1/auth/register"][1:5] == ("auth", 1, 0, 0)
        assert found["GET unmatched"][1:5] == (None, 1, 1, 0)
        for row in rows:
            total, p50, p95, p99, start, end = (float(number) for number in row[5:])
            assert 0 < p50 <= p95 <= p99 <= 10 and 0 < total < 60
            assert abs(start - began) < 0.01 and 0 < end - start < 75 and end % 60 < 15, (start, end)
        assert stack.sql("SELECT count(*) FROM public.performance_metrics WHERE instance = 'old'") == [(2,)]
        assert abs(value(scrape(stack), "jobforge_performance_recorded_time_seconds") - end) < 0.01
        time.sleep(2)  # each asks four times a second whether a minute is over
        assert quiet.sql("SELECT count(*) FROM public.performance_metrics") == [(0,)]
