#!/usr/bin/python3
"""
Overload: thousands of slow clients, more requests than the machine can answer, a storm of logins, streams taken back as soon as
they are opened. Honest clients must hardly notice the first and the last; of the others the surplus must be refused soon, the rest
be answered as fast as ever, and all be well at once when it is over. `./dev fault overload` starts it; README.md says more.
"""

import argparse
import asyncio
import json
import os
import random
import resource
import socket
import ssl
import statistics
import struct
import subprocess
import sys
import threading
import time
from contextlib import contextmanager

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "e2e"))

from stack import CLUSTER, SHIPPED, Stack, children  # noqa: E402

CLIENTS = 10_000
OLDEST = 5.0    # seconds: nothing that has waited longer is answered with success
SOON = 2.0      # seconds from the end of the load until all is well
SHARE = 0.8     # of the peak that is still answered under any load
SETTLING = 5.0  # seconds for the burst in which slow clients come, which no honest one is measured in
TOPIC = "gradient descent"

PACED = """
local token, ids = "", {}
local bad = 0
function init(args)
	math.randomseed(tonumber(args[2]))
	wrk.headers["Authorization"] = "Bearer " .. args[1]
	list = wrk.format("GET", "/api/v1/applications")
	single = wrk.format("GET", "/api/v1/me")
end
function delay() return math.random(10, 50) end
function request() return math.random(2) == 1 and list or single end
local threads = {}
function setup(thread) table.insert(threads, thread) end
function response(status) if status ~= 200 then bad = bad + 1 end refused = bad end
function done(summary, latency)
	local wrong = 0
	for _, thread in ipairs(threads) do wrong = wrong + (thread:get("refused") or 0) end
	local e = summary.errors
	io.write(string.format('\\nRESULT {"requests":%d,"wrong":%d,"p50":%.3f,"p99":%.3f,"max":%.3f}\\n', summary.requests,
		wrong + e.connect + e.read + e.write + e.timeout, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,
		latency.max / 1e3))
end
"""


class Crowded(Stack):
    """127.0.0.1 is this host; the other addresses of loopback are strangers, whom nginx limits like any other."""

    def __init__(self, clients, **options):
        super().__init__(plain=options.pop("plain", True), log_level="warning", **{**SHIPPED, **options})
        self.clients = clients

    def _render(self, template, name, variables):
        if template == "nginx.conf.in":
            hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
            variables = {**variables, "WORKERS": "auto", "CONNECTIONS": str(self.clients + 3000),
                         "DESCRIPTORS": str(min(hard, 65536))}
        super()._render(template, name, variables)
        if template == "jobforge.conf.in":
            with open(self.path(name)) as file:
                site = file.read()
            assert site.count("127.0.0.0/8 0;") == 1
            with open(self.path(name), "w") as file:
                file.write(site.replace("127.0.0.0/8 0;", "127.0.0.1/32 0;"))


# ---- honest clients ----

def honest(stack, user, seconds, seed=1):
    """Eight clients that ask, look at the answer and ask again: some 250 requests a second. Times in milliseconds."""
    script = stack.path("paced.lua")
    with open(script, "w") as file:
        file.write(PACED)
    output = subprocess.run(["wrk", "-t1", "-c8", f"-d{seconds}s", "--timeout", "20s", "-s", script,
                             f"http://127.0.0.1:{stack.http_port}/", "--", user.token, str(seed)],
                            capture_output=True, text=True, check=True).stdout
    return json.loads(output.split("RESULT ")[1])


def saturate(stack, user, connections, seconds):
    """As many requests as are answered, from so many clients without a pause: successes a second, and the longest time."""
    output = subprocess.run(["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "20s", "-H",
                             "Authorization: Bearer " + user.token,
                             f"http://127.0.0.1:{stack.http_port}/api/v1/applications"],
                            capture_output=True, text=True, check=True).stdout
    wrong = next((line for line in output.splitlines() if "Non-2xx" in line or "Socket errors" in line), "")
    rate = float(output.split("Requests/sec:")[1].split()[0])
    return rate, wrong.strip()


def give_way(pid):
    """
    Lets a process of its own session have little more than the processor time that nobody else wants: whoever attacks does it with
    machines of their own. Linux shares the processors out to sessions first (`sched(7)`, autogroup), then to what is in them.
    """
    os.setpriority(os.PRIO_PROCESS, pid, 19)
    try:
        with open(f"/proc/{pid}/autogroup", "w") as file:
            file.write("19")
    except OSError:
        pass  # a kernel without


# ---- slow clients ----

@contextmanager
def crowd(stack, clients, figures):
    """Slow clients while the block runs; `figures` then has theirs."""
    process = subprocess.Popen([sys.executable, os.path.join(HERE, "crowd.py"), "--clients", str(clients), "--http",
                                str(stack.http_port), "--https", str(stack.https_port)],
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True)
    give_way(process.pid)
    try:
        assert process.stdout.readline() == "ready\n"
        time.sleep(SETTLING)
        yield
    finally:
        said = process.communicate("")[0]
    for key, count in json.loads(said or "{}").items():
        figures[key] = figures.get(key, 0) + count


def memory(pids):
    """MiB that these processes have to themselves."""
    total = 0
    for pid in pids:
        with open(f"/proc/{pid}/smaps_rollup") as file:
            total += sum(int(line.split()[1]) for line in file if line.startswith(("Private_Clean:", "Private_Dirty:")))
    return total / 1024


def slow_clients(stack, user, clients, rounds, seconds, elsewhere=None):
    """
    Honest requests in calm and beside slow clients, by turns. The crowd is played on the same processors, which alone holds others
    up: with another service `elsewhere` it goes there too, by turns, and that is what `ratio` compares with.
    """
    runs, figures, sizes = {"calm": [], "elsewhere": [], "crowded": []}, {}, []
    honest(stack, user, 2)
    for number in range(rounds):
        runs["calm"].append(honest(stack, user, seconds, number))
        for name, target in (("elsewhere", elsewhere), ("crowded", stack)):
            if target:
                with crowd(target, clients, figures if target is stack else {}):
                    runs[name].append(honest(stack, user, seconds, number))
                    if target is stack:
                        sizes.append(memory(children(stack.nginx.pid)))
                time.sleep(1)
    runs = {name: taken for name, taken in runs.items() if taken}
    p50, p99 = ({name: statistics.median(run[key] for run in taken) for name, taken in runs.items()} for key in ("p50", "p99"))
    print(f"slow clients: {clients}, every tenth by TLS; " + ", ".join(f"{key} {figures[key]}" for key in sorted(figures)))
    for name, taken in runs.items():
        print(f"  {name}: {sum(run['requests'] for run in taken)} honest requests; median {p50[name]:.2f} ms, p99 {p99[name]:.2f} ms"
              f" ({min(run['p99'] for run in taken):.2f} .. {max(run['p99'] for run in taken):.2f}),"
              f" x {p99[name] / p99['calm']:.2f} of that in calm")
    ratio = p99["crowded"] / p99["elsewhere" if elsewhere else "calm"]
    print(f"  beside slow clients here x {ratio:.2f} of that " + ("beside them elsewhere" if elsewhere else "in calm")
          + f"; nginx {max(sizes):.0f} MiB", flush=True)
    return {"runs": runs, "ratio": ratio, "figures": figures, "wrong": sum(run["wrong"] for taken in runs.values() for run in taken)}


# ---- more than can be answered ----

class Asked:
    def __init__(self, sent):
        self.sent, self.status, self.retry_after, self.took = sent, None, None, None


async def ask(port, request, asked):
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        asked.took = time.monotonic() - asked.sent
        return
    try:
        writer.write(request)
        answer = await reader.read()
        head = answer.partition(b"\r\n\r\n")[0].decode("latin-1")
        asked.status = int(head[9:12]) if head else None
        asked.retry_after = next((line.split(":")[1].strip() for line in head.split("\r\n") if
                                  line.lower().startswith("retry-after:")), None)
    except OSError:
        pass
    finally:
        asked.took = time.monotonic() - asked.sent
        writer.close()


async def open_loop(port, request, rate, seconds, prompt):
    """So many requests a second, whatever becomes of those before; `prompt` is how soon they are answered in calm."""
    tasks, all_asked, start = [], [], time.monotonic()
    for number in range(int(rate * seconds)):
        due = start + number / rate
        await asyncio.sleep(max(0, due - time.monotonic()))
        all_asked.append(Asked(time.monotonic()))
        tasks.append(asyncio.ensure_future(ask(port, request(number), all_asked[-1])))
    ended = time.monotonic()
    recovered = await recovery(port, request, prompt)
    await asyncio.gather(*tasks)
    return all_asked, start, ended, recovered - ended


async def recovery(port, request, prompt):
    """Until requests are again answered with success as soon; returns when the first such was sent."""
    end = time.monotonic() + 30
    while time.monotonic() < end:
        asked = Asked(time.monotonic())
        await ask(port, request(0), asked)
        if asked.status in (200, 401) and asked.took < prompt:
            return asked.sent
        await asyncio.sleep(0.02)
    raise AssertionError("not well 30 s after the load")


async def closed_loop(port, request, clients, seconds):
    """Successes a second of so many clients, each of which asks again once it is answered."""
    end = time.monotonic() + seconds
    good = 0

    async def client():
        nonlocal good
        while time.monotonic() < end:
            asked = Asked(time.monotonic())
            await ask(port, request(random.randrange(1 << 30)), asked)
            good += asked.status in (200, 401)
    await asyncio.gather(*(client() for _ in range(clients)))
    return good / seconds


def surplus(name, stack, request, times, seconds, clients=8):
    """Offers `times` the peak and tells what becomes of it."""
    peak = asyncio.run(closed_loop(stack.http_port, request, clients, 4))
    prompt = max(0.5, 2 * clients / peak)
    asked, start, ended, recovered = asyncio.run(open_loop(stack.http_port, request, peak * times, seconds, prompt))
    statuses = {}
    for one in asked:
        statuses[one.status] = statuses.get(one.status, 0) + 1
    good = [one for one in asked if one.status in (200, 401)]
    refused = [one for one in asked if one.status not in (200, 401)]
    # What is answered while the load lasts, after the first second.
    steady = [one for one in good if start + 1 <= one.sent + one.took <= ended]
    share = len(steady) / (ended - start - 1) / peak
    waits = sorted(one.took for one in refused) or [0]
    result = {"share": share, "recovered": recovered, "statuses": statuses, "oldest": max(one.took for one in good),
              "refused_p50": waits[len(waits) // 2], "refused_max": waits[-1],
              "unsaid": sum(one.status in (429, 503) and not one.retry_after for one in asked)}
    print(f"{name}: peak {peak:.0f}/s, offered {len(asked) / (ended - start):.0f}/s for {seconds} s; answers "
          + ", ".join(f"{count} x {status}" for status, count in sorted(statuses.items(), key=str))
          + f"; {share:.0%} of the peak; slowest success {result['oldest']:.2f} s; refused after {result['refused_p50']:.2f} s"
          f" (median), {result['refused_max']:.2f} s (longest); well {recovered:.2f} s after", flush=True)
    return result


def judge_surplus(name, result, allowed):
    wrong = [f"{name}: answered with {status}" for status in result["statuses"] if status not in allowed]
    if result["unsaid"]:
        wrong.append(f"{name}: {result['unsaid']} refusals without Retry-After")
    if result["oldest"] > OLDEST:
        wrong.append(f"{name}: a success after {result['oldest']:.2f} s")
    if result["refused_max"] > OLDEST:
        wrong.append(f"{name}: a refusal after {result['refused_max']:.2f} s")
    if result["share"] < SHARE:
        wrong.append(f"{name}: {result['share']:.0%} of the peak")
    if result["recovered"] > SOON:
        wrong.append(f"{name}: all is well {result['recovered']:.2f} s after the load")
    return wrong


def searcher(stack, documents=40):
    """A user whose searches take a worker and a processor some tens of milliseconds."""
    user = stack.user()
    text = " ".join(f"{TOPIC} word{number} of the report" for number in range(1500))
    for number in range(documents):
        application = user.create(f"Company {number}")["id"]
        user.put(f"/applications/{application}/documents/research_report", {"content": text}).ok(201)
    return user


def search_request(user):
    def make(_):
        return (f"GET /api/v1/documents?q=word{random.randrange(1500)}+{TOPIC.replace(' ', '+')} HTTP/1.1\r\nHost: localhost\r\n"
                f"Authorization: Bearer {user.token}\r\nConnection: close\r\n\r\n").encode()
    return make


def login_request(number):
    body = json.dumps({"email": f"nobody-{number}-{random.randrange(1 << 40)}@example.com", "password": "not the password"})
    return (f"POST /api/v1/auth/login HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n{body}").encode()


# ---- HTTP/2: streams that are opened and taken back at once (CVE-2023-44487) ----

def frame(kind, flags, stream, payload=b""):
    return struct.pack(">I", len(payload))[1:] + bytes((kind, flags)) + struct.pack(">I", stream) + payload


def literal(name, value):
    """HPACK (RFC 7541): a literal that is not indexed and not Huffman-coded."""
    return b"\0" + bytes((len(name),)) + name + bytes((len(value),)) + value


HEADERS = b"".join(literal(name, value) for name, value in (
    (b":method", b"GET"), (b":scheme", b"https"), (b":authority", b"localhost"), (b":path", b"/api/v1/openapi.json")))


def rapid_reset(stack, over, figures):
    os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 19)  # as give_way() does, in the session of the honest
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    while not over.is_set():
        stream = 1
        try:
            plain = socket.create_connection(("127.0.0.1", stack.https_port), 10, source_address=("127.0.1.1", 0))
            with context.wrap_socket(plain, server_hostname="localhost") as sock:
                figures["connections"] = figures.get("connections", 0) + 1
                sock.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4, 0, 0))
                while not over.is_set():
                    batch = b""
                    for _ in range(50):
                        batch += frame(1, 5, stream, HEADERS) + frame(3, 0, stream, struct.pack(">I", 8))
                        stream += 2
                    sock.sendall(batch)
                    figures["streams"] = figures.get("streams", 0) + 50
        except OSError:
            figures["thrown out"] = figures.get("thrown out", 0) + 1


def resets(stack, user, rounds, seconds):
    calm, attacked, figures = [], [], {}
    for number in range(rounds):
        calm.append(honest(stack, user, seconds, number))
        over = threading.Event()
        thread = threading.Thread(target=rapid_reset, args=(stack, over, figures))
        thread.start()
        attacked.append(honest(stack, user, seconds, number))
        over.set()
        thread.join()
    p99 = [statistics.median(run["p99"] for run in runs) for runs in (calm, attacked)]
    print(f"rapid reset: {figures.get('streams', 0) / (rounds * seconds):.0f} streams/s on {figures.get('connections', 0)} connections;"
          f" honest p99 {p99[0]:.2f} -> {p99[1]:.2f} ms (x {p99[1] / p99[0]:.2f})", flush=True)
    return {"ratio": p99[1] / p99[0], "wrong": sum(run["wrong"] for run in calm + attacked), "figures": figures}


# ----

def campaign(options):
    wrong = []
    random.seed(options.seed)
    parts = options.only or ["slow", "reset", "surplus", "logins"]
    with Crowded(options.clients, api_workers=2, auth_workers=1, bulk_workers=1, bcrypt_cost=12) as stack:
        stack.allow_errors("")
        user = stack.user()
        for number in range(50):
            user.create(f"Company {number}")
        if "slow" in parts:
            with Crowded(options.clients) as elsewhere:
                elsewhere.allow_errors("")
                result = slow_clients(stack, user, options.clients, options.rounds, options.seconds, elsewhere)
            if result["ratio"] > 2 or result["wrong"]:
                wrong.append(f"slow clients: p99 x {result['ratio']:.2f}, {result['wrong']} wrong answers")
        if "reset" in parts:
            result = resets(stack, user, options.rounds, options.seconds)
            if result["ratio"] > 2 or result["wrong"]:
                wrong.append(f"rapid reset: p99 x {result['ratio']:.2f}, {result['wrong']} wrong answers")
        if "surplus" in parts:
            peak, said = saturate(stack, user, 32, 5)
            many, said = saturate(stack, user, 2000, 5)
            print(f"2000 clients without a pause: {many:.0f} answers/s, {many / peak:.0%} of those of 32 ({peak:.0f}/s) {said}", flush=True)
            wrong += judge_surplus("searches", surplus("searches", stack, search_request(searcher(stack)), 5, 8), {200, 429, 503})
        if "logins" in parts:
            before = honest(stack, user, options.seconds)
            runs = []
            # Beside the measurement of the peak too: they share the processors.
            thread = threading.Thread(target=lambda: runs.append(honest(stack, user, 13)))
            thread.start()
            wrong += judge_surplus("logins", surplus("logins", stack, login_request, 20, 8), {401, 429, 503})
            thread.join()
            print(f"  honest p99 meanwhile {before['p99']:.2f} -> {runs[0]['p99']:.2f} ms; wrong answers {runs[0]['wrong']}")
            if runs[0]["wrong"]:
                wrong.append("logins: honest requests were refused")
        print("told in the log: " + "; ".join(f"{line['event']}: {line['message']}" for line in stack.log_lines()
                                               if line["event"] in ("overload", "descriptors")), flush=True)
    return wrong


def main():
    parser = argparse.ArgumentParser(prog="./dev fault overload", description="Asks for more than can be answered, and looks what "
                                     "becomes of honest clients meanwhile.")
    parser.add_argument("--clients", type=int, default=CLIENTS, help="slow ones")
    parser.add_argument("--rounds", type=int, default=3, help="of calm and attack by turns")
    parser.add_argument("--seconds", type=int, default=6, help="of each measurement")
    parser.add_argument("--only", action="append", choices=["slow", "reset", "surplus", "logins"], help="one part; may be repeated")
    parser.add_argument("--seed", type=int, default=1, help="of what is searched and who signs in")
    options = parser.parse_args()
    assert CLUSTER, "./dev fault starts this"
    wrong = campaign(options)
    print("\n".join(wrong) if wrong else "all as promised")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
