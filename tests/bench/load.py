#!/usr/bin/python3
"""8 clients at once on POST /v1/verify: tests/bench/load.py [BUILD_DIR] [SECONDS] [CLIENTS]

Prints one JSON object: requests a second, what the cores allow (cores / CPU seconds of one request alone), their ratio, errors,
and how the server's memory moved after the first quarter. On a
machine that also does other things, "ratio_of_what_they_left" is the one to read. Photographs from ../shared; every client goes through its own pairs.
"""

import json
import os
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "http"))

import client  # noqa: E402
import pictures  # noqa: E402

ALONE = 60  # requests


def cpu_seconds(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii") as f:
        fields = f.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def machine_busy():
    """CPU seconds that all processes together have used, of all cores."""
    with open("/proc/stat", encoding="ascii") as f:
        fields = [int(x) for x in f.readline().split()[1:9]]
    return (sum(fields) - fields[3] - fields[4]) / os.sysconf("SC_CLK_TCK")


def pairs(n):
    """Whole requests, head and body, for n pairs of View 1's first people."""
    folder = os.path.join(pictures.SHARED, "lfw-view1")
    people = sorted(p for p in os.listdir(folder) if os.path.isdir(os.path.join(folder, p)))[:n + 1]
    photos = []
    for p in people:
        name = sorted(os.listdir(os.path.join(folder, p)))[0]
        photos.append(pictures.read(f"lfw-view1/{p}/{name}"))
    out = []
    for i in range(n):
        body, kind = client.form({"image1": photos[i], "image2": photos[i + 1]})
        out.append((f"POST /v1/verify HTTP/1.1\r\nHost: localhost\r\nContent-Type: {kind}\r\n"
                    f"Content-Length: {len(body)}\r\n\r\n").encode() + body)
    return out


class Connection:
    """One kept connection; sends bytes that are ready, so that the client costs next to nothing."""

    def __init__(self, server):
        self.socket = server.socket()
        self.reader = self.socket.makefile("rb")

    def ask(self, request):
        self.socket.sendall(request)
        status = int(self.reader.readline().split()[1])
        length = 0
        for line in iter(self.reader.readline, b"\r\n"):
            if line.lower().startswith(b"content-length:"):
                length = int(line[15:])
        self.reader.read(length)
        return status


def alone(server, requests):
    c = Connection(server)
    for r in requests[:20]:
        c.ask(r)
    cpu, wall = cpu_seconds(server.process.pid), time.monotonic()
    for i in range(ALONE):
        c.ask(requests[i % len(requests)])
    return (cpu_seconds(server.process.pid) - cpu) / ALONE, (time.monotonic() - wall) / ALONE


def together(server, requests, seconds, clients):
    times, errors, memory = [[] for _ in range(clients)], [], []
    end = time.monotonic() + seconds

    def one(n):
        c = Connection(server)
        i = n * 7
        while time.monotonic() < end:
            begun = time.monotonic()
            status = c.ask(requests[i % len(requests)])
            i += 1
            times[n].append(time.monotonic() - begun)
            if status != 200:
                errors.append(status)

    threads = [threading.Thread(target=one, args=(n,)) for n in range(clients)]
    begun = time.monotonic()
    for t in threads:
        t.start()
    while time.monotonic() < end:
        time.sleep(min(0.5, max(0, end - time.monotonic())))
        memory.append(server.rss())
    for t in threads:
        t.join()
    return sorted(sum(times, [])), errors, memory, time.monotonic() - begun


def main():
    build = sys.argv[1] if len(sys.argv) > 1 else "build/release"
    seconds = float(sys.argv[2]) if len(sys.argv) > 2 else 60
    clients = int(sys.argv[3]) if len(sys.argv) > 3 else 8
    if not pictures.have_shared():
        print("load: no ../shared here", file=sys.stderr)
        return 0
    requests = pairs(64)
    cores = len(os.sched_getaffinity(0))
    with client.Server(os.path.abspath(os.path.join(build, "visavis"))) as server:
        cpu, wall = alone(server, requests)
        cpu_before, machine_before = cpu_seconds(server.process.pid), machine_busy()
        times, errors, memory, took = together(server, requests, seconds, clients)
        busy = cpu_seconds(server.process.pid) - cpu_before
        others = machine_busy() - machine_before - busy
    settled = memory[len(memory) // 4:] or [0]
    rate = len(times) / took
    print(json.dumps({
        "clients": clients, "seconds": round(took, 1), "requests": len(times), "errors": len(errors),
        "alone_cpu_ms": round(cpu * 1e3, 2), "alone_wall_ms": round(wall * 1e3, 2),
        "requests_per_s": round(rate, 2), "cores_allow_per_s": round(cores / cpu, 2), "ratio": round(rate * cpu / cores, 3),
        "cpu_ms_per_request": round(busy / len(times) * 1e3, 2), "cores_busy": round(busy / took, 2),
        "cores_of_others": round(others / took, 2), "ratio_of_what_they_left": round(rate * cpu / (cores - others / took), 3),
        "p50_ms": round(times[len(times) // 2] * 1e3, 1), "p99_ms": round(times[len(times) * 99 // 100] * 1e3, 1),
        "rss_mb": round(settled[-1] / 1e6, 1), "rss_growth_mb": round((settled[-1] - settled[0]) / 1e6, 2),
        "rss_peak_mb": round(max(memory) / 1e6, 1)}))
    return 1 if errors else 0


if __name__ == "__main__":
    sys.exit(main())
