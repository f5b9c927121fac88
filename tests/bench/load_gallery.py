#!/usr/bin/python3
"""16 clients at once on one collection, reading and writing: tests/bench/load_gallery.py [BUILD_DIR] [SECONDS] [CLIENTS]

Each client has two people of its own: it enrols embeddings, moves examples between the two, erases the oldest when it has many
(so that the collection keeps its size), lists, and asks who is on a photograph and whether it is Amy. What a client was told is
done it remembers; at the end, and once more after a restart, the server must have exactly that. Prints one JSON object: of each
kind of request how many and how long, errors, lost updates, and the server's memory after a quarter, half and all of the time.
"""

import http.client
import json
import os
import random
import shutil
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "http"))

import client  # noqa: E402
import pictures  # noqa: E402

C = "/v1/collections/load"
KEPT = 40  # examples of one client
MIX = {"enrol": 30, "identify": 25, "list": 20, "move": 15, "verify": 10}


class Client(threading.Thread):
    def __init__(self, server, n, amy, photos, end):
        super().__init__()
        self.server, self.amy, self.photos, self.end = server, amy, photos, end
        self.random = random.Random(n)
        self.connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
        self.who = [self.ask("", "POST", "/identities", {"name": f"{n} {k}"})["id"] for k in range(2)]
        self.mine = {}  # example -> which of the two, oldest first
        self.times, self.errors = {}, []

    def ask(self, kind, method, path, body=None, form=None):
        head = {}
        if form:
            body, head["Content-Type"] = client.form(form)
        elif body is not None:
            body, head["Content-Type"] = json.dumps(body), "application/json"
        begun = time.monotonic()
        self.connection.request(method, C + path, body, head)
        r = self.connection.getresponse()
        answer = json.loads(r.read())
        if kind:
            self.times.setdefault(kind, []).append(time.monotonic() - begun)
        if r.status >= 300:
            self.errors.append((kind, r.status, answer["error"]["message"]))
            return None
        return answer

    def enrol(self):
        k = self.random.randrange(2)
        v = [self.random.gauss(0, 1) for _ in range(128)]
        a = self.ask("enrol", "POST", f"/identities/{self.who[k]}/examples", {"embedding": v})
        if a:
            self.mine[a["examples"][0]["id"]] = k
        if len(self.mine) > KEPT:
            oldest = next(iter(self.mine))
            if self.ask("erase", "DELETE", f"/examples/{oldest}"):
                del self.mine[oldest]

    def move(self):
        if not self.mine:
            return
        e = self.random.choice(list(self.mine))
        to = 1 - self.mine[e]
        if self.ask("move", "POST", f"/examples/{e}/move", {"identity": self.who[to]}):
            self.mine[e] = to

    def identify(self):
        a = self.ask("identify", "POST", "/identify?face=main&top=3", form={"image": self.random.choice(self.photos)})
        if a and a["images"][0]["faces"][0]["candidates"][0]["identity"]["id"] != self.amy:
            self.errors.append(("identify", 200, "somebody else"))

    def list(self):
        self.ask("list", "GET", "/identities?limit=20")

    def verify(self):
        a = self.ask("verify", "POST", f"/verify?identity={self.amy}", form={"image": self.random.choice(self.photos)})
        if a and not a["verified"]:
            self.errors.append(("verify", 200, "not verified"))

    def run(self):
        kinds, weights = list(MIX), list(MIX.values())
        while time.monotonic() < self.end:
            try:
                getattr(self, self.random.choices(kinds, weights)[0])()
            except OSError as e:
                self.errors.append(("connection", 0, str(e)))
                self.connection.close()


def lost(server, clients):
    """How many examples are not where their client was told that they are."""
    n = 0
    for c in clients:
        for k, who in enumerate(c.who):
            want = {e for e, at in c.mine.items() if at == k}
            items = server.request("GET", f"{C}/identities/{who}/examples?limit=1000").json["items"]
            n += len(want ^ {i["id"] for i in items})
    return n


def load(server, seconds, n_clients):
    """The clients when they are done, and the server's memory twice a second."""
    server.json("/v1/collections", {"name": "load"})
    amy = server.json(C + "/identities", {"name": "amy"}).json["id"]
    for n in (1, 2, 3):
        server.form(f"{C}/identities/{amy}/examples", {"image": pictures.read(f"cast/amy/amy{n}.png")})
    photos = [pictures.read(f"cast/amy/amy{n}.png") for n in (4, 5)]
    end = time.monotonic() + seconds
    clients = [Client(server, n, amy, photos, end) for n in range(n_clients)]
    for c in clients:
        c.start()
    memory = []
    while time.monotonic() < end:
        time.sleep(min(0.5, max(0, end - time.monotonic())))
        memory.append(server.rss())
    for c in clients:
        c.join()
    return clients, memory


def main():
    build = sys.argv[1] if len(sys.argv) > 1 else "build/release"
    seconds = float(sys.argv[2]) if len(sys.argv) > 2 else 60
    n_clients = int(sys.argv[3]) if len(sys.argv) > 3 else 16
    if not pictures.have_shared():
        print("load_gallery: no ../shared here", file=sys.stderr)
        return 0
    binary = os.path.abspath(os.path.join(build, "visavis"))
    data = tempfile.mkdtemp(prefix="visavis-load-")
    try:
        with client.Server(binary, data=data) as server:
            clients, memory = load(server, seconds, n_clients)
            lost_now = lost(server, clients)
        with client.Server(binary, data=data) as server:
            lost_later = lost(server, clients)
    finally:
        shutil.rmtree(data)
    errors = sum((c.errors for c in clients), [])
    kinds = {}
    for kind in sorted({k for c in clients for k in c.times}):
        ms = sorted(1e3 * t for c in clients for t in c.times.get(kind, []))
        kinds[kind] = {"n": len(ms), "p50_ms": round(ms[len(ms) // 2], 1), "p99_ms": round(ms[len(ms) * 99 // 100], 1)}
    at = {name: round(memory[int(part * (len(memory) - 1))] / 1e6, 1) for name, part in (("quarter", .25), ("half", .5), ("end", 1))}
    print(json.dumps({"clients": n_clients, "seconds": seconds, "requests": sum(k["n"] for k in kinds.values()), "kinds": kinds,
                      "errors": len(errors), "first_errors": errors[:3], "lost": lost_now, "lost_after_restart": lost_later,
                      "rss_mb": at, "rss_peak_mb": round(max(memory) / 1e6, 1)}))
    return 1 if errors or lost_now or lost_later else 0


if __name__ == "__main__":
    sys.exit(main())
