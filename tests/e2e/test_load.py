"""
100,000 requests over 32 connections, against a list and against a single application: every answer is 200, and no
worker has grown. The figures are shown; no time is judged, for the machine is shared.
"""

import json
import os
import shutil
import signal
import subprocess

import pytest

OPTIONS = {"plain": True, "api_workers": 4, "log_level": "info"}
REQUESTS, WARM_UP, CONNECTIONS, THREADS = 100_000, 10_000, 32, 2
GROWTH = 1024  # KiB
pytestmark = pytest.mark.skipif(shutil.which("wrk") is None, reason="wrk is not installed")

SCRIPT = """
local count, limit, bad, token = 0, 0, 0, ""
local threads = {}
function setup(thread) table.insert(threads, thread) end
function init(args)
	limit = tonumber(args[2])
	bad = 0
	wrk.headers["Authorization"] = "Bearer " .. args[1]
	prepared = wrk.format("GET")
end
function request() return prepared end
function response(status, headers, body)
	count = count + 1
	if status ~= 200 then bad = bad + 1 end
	counted, refused = count, bad
	if count == limit then
		wrk.thread:stop()
		io.write("STOPPED\\n")
		io.flush()
	end
end
function done(summary, latency, requests)
	local all, wrong = 0, 0
	for _, thread in ipairs(threads) do
		all = all + (thread:get("counted") or 0)
		wrong = wrong + (thread:get("refused") or 0)
	end
	local e = summary.errors
	io.write(string.format('\\nRESULT {"requests":%d,"not_200":%d,"connect":%d,"read":%d,"write":%d,"timeout":%d,'
		.. '"seconds":%.3f,"p50_ms":%.3f,"p99_ms":%.3f,"max_ms":%.3f}\\n', all, wrong, e.connect, e.read, e.write,
		e.timeout, summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,
		latency.max / 1e3))
end
"""


def private_memory(pid):
    """KiB that this process has of no file; what says it more exactly is hidden."""
    with open(f"/proc/{pid}/status") as file:
        return sum(int(line.split()[1]) for line in file if line.startswith("RssAnon:"))


def load(stack, user, path, requests):
    script = stack.path("load.lua")
    with open(script, "w") as file:
        file.write(SCRIPT)
    # wrk knows a duration and no number of requests; when all its threads have stopped, an interrupt ends its wait.
    process = subprocess.Popen(
        ["wrk", "-t", str(THREADS), "-c", str(CONNECTIONS), "-d", "300s", "--timeout", "10s", "-s", script,
         f"http://127.0.0.1:{stack.http_port}/api/v1{path}", "--", user.token, str(requests // THREADS)],
        stdout=subprocess.PIPE, text=True)
    lines = []
    for line in process.stdout:
        lines.append(line)
        if lines.count("STOPPED\n") == THREADS:
            process.send_signal(signal.SIGINT)
            break
    output = "".join(lines) + process.stdout.read()
    assert process.wait(30) == 0, output
    assert output.count("STOPPED\n") == THREADS, output
    return json.loads(output.split("RESULT ")[1])


@pytest.fixture(scope="module")
def owner(stack):
    user = stack.user()
    user.application = user.create_many([{"company_name": f"Company {index}"} for index in range(50)])[0]["id"]
    for path in ("/applications", "/applications/" + user.application):
        load(stack, user, path, WARM_UP)
    return user


@pytest.mark.parametrize("what", ["list", "single"])
def test_100000_requests_are_answered_and_no_worker_grows(stack, owner, comment, what):
    path = "/applications" if what == "list" else "/applications/" + owner.application
    workers = stack.workers()
    before = {pid: private_memory(pid) for pid in workers}
    result = load(stack, owner, path, REQUESTS)
    after = {pid: private_memory(pid) for pid in workers}
    comment(f"{what}: {result['requests'] / result['seconds']:.0f} requests/s on {os.cpu_count()} cores, median"
            f" {result['p50_ms']} ms, 99 % {result['p99_ms']} ms, longest {result['max_ms']} ms")
    comment(f"{what}: private memory of the workers in KiB: " + ", ".join(
        f"{before[pid]} -> {after[pid]}" for pid in workers))
    assert stack.workers() == workers, "a worker was replaced"
    assert result["requests"] >= REQUESTS
    assert {key: result[key] for key in ("not_200", "connect", "read", "write", "timeout")} == dict.fromkeys(
        ("not_200", "connect", "read", "write", "timeout"), 0)
    grown = {pid: after[pid] - before[pid] for pid in workers if after[pid] - before[pid] > GROWTH}
    assert not grown, f"grown by more than {GROWTH} KiB: {grown}"


def test_nginx_logged_nothing_but_200(stack, owner):
    # 499: wrk has gone before the answer to its last requests.
    assert {line["status"] for line in stack.access_log() if line["uri"].startswith("/api/v1/applications")} <= {
        200, 201, 499}
