"""Jobs and their events, on a server whose jobs take a step when the test says so (jobs_server.c)."""

import http.client
import json
import os
import signal
import sqlite3
import time

import client

JOBS, JOB, RESULT, EVENTS = "/v1/jobs", "/v1/jobs/{id}", "/v1/jobs/{id}/result", "/v1/jobs/{id}/events"
LISTENERS = 50
QUEUE_MAX = 16
PATIENCE_S = 120
NOBODY = "01J9ZK3V5T8Q2W4X6Y7Z8A9B0C"


class Events:
    """An open event stream: next() is (id, event, job), a comment (None, None, text), or None at its end."""

    def __init__(self, s, job, last=None, key=None):
        self.connection = http.client.HTTPConnection("127.0.0.1", s.port, timeout=PATIENCE_S)
        headers = {k: v for k, v in (("Last-Event-ID", last), ("X-API-Key", key)) if v}
        self.connection.request("GET", f"{JOBS}/{job}/events", headers=headers)
        self.response = self.connection.getresponse()
        self.status, self.kind = self.response.status, self.response.getheader("Content-Type")

    def next(self):
        fields = {}
        while True:
            line = self.response.readline().decode()
            if not line:
                return None
            if line == "\n":
                if fields.keys() - {"retry"}:
                    return fields.get("id"), fields.get("event"), json.loads(fields["data"])
                fields = {}
                continue
            if line.startswith(":"):
                self.response.readline()
                return None, None, line
            name, _, value = line.rstrip("\n").partition(": ")
            fields[name] = value

    def until(self, event):
        """The first event of that name, or None."""
        while True:
            e = self.next()
            if e is None or e[1] == event:
                return e

    def close(self):
        self.connection.close()


def start(t, **more):
    return client.Server(os.path.join(os.path.dirname(t.binary), "tests", "http", "jobs_server"), **more)


def gate(s, to):
    s.json("/test/gate", {"to": to})


def submit(s, kind="steps", steps=1, headers=None, **more):
    return s.json("/test/jobs", {"kind": kind, "steps": steps, **more}, headers)


def get(s, job, key=None):
    return s.request("GET", f"{JOBS}/{job}", headers={"X-API-Key": key} if key else {})


def delete(s, job, key=None):
    return s.request("DELETE", f"{JOBS}/{job}", headers={"X-API-Key": key} if key else {})


def becomes(s, job, state):
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        r = get(s, job)
        if r.json.get("state") == state:
            return r
        time.sleep(0.01)
    return r


def stepping(s, job):
    """It runs, and has said so."""
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end and get(s, job).json.get("phase") != "stepping":
        time.sleep(0.01)


def drops_to(s, metric, value):
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end and s.metric(metric) != value:
        time.sleep(0.05)
    return s.metric(metric) == value


def a_life(t, s):
    gate(s, 0)
    r = submit(s, steps=3, result=100000)
    job = r.json["id"]
    t.check("submit: 202 with a Location", r.status == 202 and r.headers["location"] == f"{JOBS}/{job}", r)
    r = becomes(s, job, "running")
    t.answer("a running job", r, 200, "GET", JOB)
    r = s.request("GET", f"{JOBS}/{job}/result")
    t.answer("no result yet", r, 409, "GET", RESULT, "conflict", ("running",))
    t.check("and its state is in the details", r.json["error"]["details"] == {"state": "running"}, r)
    gate(s, 3)
    r = becomes(s, job, "done")
    t.answer("a job that is done", r, 200, "GET", JOB)
    r = s.request("GET", r.json["result"]["url"])
    t.answer("its result", r, 200, "GET", RESULT)
    t.check("all of it", r.json == {"steps": 3, "uploaded": 0, "padding": " " * 100000}, r)
    t.answer("HEAD of the result", s.request("HEAD", f"{JOBS}/{job}/result"), 200)
    t.answer("delete", delete(s, job), 204, "DELETE", JOB)
    t.answer("gone", get(s, job), 404, "GET", JOB, "not_found", (job,))
    t.answer("its result too", s.request("GET", f"{JOBS}/{job}/result"), 404, "GET", RESULT, "not_found")
    t.answer("its events too", s.request("GET", f"{JOBS}/{job}/events"), 404, "GET", EVENTS, "not_found")
    t.answer("a second delete", delete(s, job), 404, "DELETE", JOB, "not_found")
    t.answer("no such id", get(s, "%27;--"), 404, "GET", JOB, "not_found")
    t.answer("POST is not for it", s.json(f"{JOBS}/{job}", {}), 405, code="method_not_allowed")
    t.answer("a parameter it has not", s.request("GET", f"{JOBS}/{job}?x=1"), 400, "GET", JOB, "invalid_request")

    uploads = [(f"file{i}", bytes(1000 * i)) for i in range(1, 5)]
    body, kind = client.form(uploads)
    job = s.request("POST", "/test/jobs?kind=steps&steps=0", body, {"Content-Type": kind}).json["id"]
    r = becomes(s, job, "done")
    t.check("uploads arrive", r.json["uploads"] == 4 and
            s.request("GET", f"{JOBS}/{job}/result").json["uploaded"] == 10000, r)
    t.check("and are removed", os.listdir(f"{s.data}/jobs/{job}") == ["result"], os.listdir(f"{s.data}/jobs/{job}"))
    job = submit(s, "broken").json["id"]
    r = becomes(s, job, "failed")
    t.answer("a job that failed", r, 200, "GET", JOB)
    t.check("says why", r.json["error"] == {"code": "no_face", "message": "no picture has a face: ?.jpg"}, r)
    t.answer("has no result", s.request("GET", f"{JOBS}/{job}/result"), 409, "GET", RESULT, "conflict", ("failed",))
    e = Events(s, job)
    t.check("its event", (e.status, e.next()[1], e.next()) == (200, "failed", None))
    e.close()


def lists(t, s):
    a, b = NOBODY[:-1] + "A", NOBODY[:-1] + "B"
    gate(s, 9)
    jobs = [submit(s, headers={"X-API-Key": a}).json["id"] for _ in range(5)]
    for job in jobs:
        becomes(s, job, "done")

    def page(query="", key=a):
        return s.request("GET", JOBS + query, headers={"X-API-Key": key} if key else {})

    r = page()
    t.answer("list", r, 200, "GET", JOBS)
    t.check("of this key's jobs", sorted(jobs) == sorted(j["id"] for j in r.json["items"]), r)
    got, cursor = [], ""
    for _ in range(3):
        r = page("?limit=2" + cursor)
        got += [j["id"] for j in r.json["items"]]
        cursor = f"&cursor={r.json['next_cursor']}"
    t.check("page by page, newest first", got == sorted(jobs, reverse=True) and r.json["next_cursor"] is None, got)
    t.check("another key sees none", page(key=b).json == {"items": [], "next_cursor": None})
    t.check("without a key all are seen", {*jobs} <= {j["id"] for j in page(key=None).json["items"]})
    t.answer("nor one by its id", get(s, jobs[0], b), 404, "GET", JOB, "not_found")
    t.answer("nor its result", s.request("GET", f"{JOBS}/{jobs[0]}/result", headers={"X-API-Key": b}), 404, "GET", RESULT)
    e = Events(s, jobs[0], key=b)
    t.check("nor its events", e.status == 404)
    e.close()
    t.answer("nor may it delete it", delete(s, jobs[0], b), 404, "DELETE", JOB)
    t.answer("its own key may", delete(s, jobs[0], a), 204, "DELETE", JOB)
    t.check("by state", len(page("?state=done").json["items"]) == 4 and page("?state=queued").json["items"] == [])
    for query in ("?limit=0", "?limit=201", "?limit=x", "?state=finished", "?cursor=x", f"?cursor={jobs[0][:-1]}u", "?page=2"):
        t.answer(f"list {query}", page(query), 400, "GET", JOBS, "invalid_request", (query[1:5],))


def listeners(t, s):
    gate(s, 0)
    job = submit(s, steps=3).json["id"]
    stepping(s, job)
    all_of_them = [Events(s, job) for _ in range(LISTENERS)]
    first = [e.next() for e in all_of_them]
    t.check("50 listeners hear at once", all(e and e[1] == "progress" and e[2]["id"] == job for e in first), first[0])
    t.check("as an event stream", all(e.kind == "text/event-stream" for e in all_of_them))
    t.check("they hold no worker", s.metric("visavis_workers_busy") == 0 and s.metric("visavis_streams") == LISTENERS)
    cpu, begun = s.metric("process_cpu_seconds_total"), time.monotonic()
    heard = [[e.next() for _ in range(2)] for e in all_of_them]
    passed = time.monotonic() - begun
    t.check("a comment breaks the silence", all(c[0] is None and c[2].startswith(":") for two in heard for c in two), heard[0])
    used = s.metric("process_cpu_seconds_total") - cpu
    t.check("no loop turns while they wait", passed > 1 and used < passed / 2, f"{used} s of {passed:.2f} s")
    for e in all_of_them[:10]:
        e.close()
    t.check("clients that go are noticed", drops_to(s, "visavis_streams", LISTENERS - 10), s.metric("visavis_streams"))
    gate(s, 2)
    moved = [e.until("progress") for e in all_of_them[10:]]
    t.check("progress goes to all", all(e and e[2]["done"] >= 1 and e[2]["total"] == 3 for e in moved), moved[0])
    same = get(s, job).json
    fields = ("id", "kind", "state", "phase", "total", "attempts", "created", "started", "result", "error")
    t.check("data is the job", all(moved[0][2][k] == same[k] for k in fields) and moved[0][2].keys() == same.keys(), moved[0])
    now = becomes(s, job, "running")
    t.check("still running", now.json["state"] == "running", now)
    gate(s, 3)
    ended = [e.until("done") for e in all_of_them[10:]]
    t.check("the end goes to all", all(e and e[2]["state"] == "done" and e[2]["result"] for e in ended), ended[0])
    t.check("and the streams end", all(e.next() is None for e in all_of_them[10:]))
    for e in all_of_them[10:]:
        e.close()
    late = Events(s, job)
    t.check("who comes late hears the end", (late.next()[1], late.next()) == ("done", None))
    late.close()
    r = s.request("GET", f"{JOBS}/{job}/events", headers={"Last-Event-ID": ended[0][0]})
    t.answer("who has heard it need not come back", r, 204, "GET", EVENTS)
    t.answer("HEAD of the events", s.request("HEAD", f"{JOBS}/{job}/events"), 200)


def coming_back(t, s):
    gate(s, 0)
    job = submit(s, steps=2).json["id"]
    stepping(s, job)
    e = Events(s, job)
    seen = e.next()
    e.close()
    back = Events(s, job, last=seen[0])
    quiet = back.next()
    t.check("Last-Event-ID: nothing twice", quiet[1] is None and quiet[2].startswith(":"), quiet)
    other = Events(s, job, last="1-999")
    t.check("Last-Event-ID of another state: the present one", other.next()[0] == seen[0])
    gate(s, 2)
    t.check("Last-Event-ID: and then what is new", back.until("done") is not None)
    back.close()
    other.close()


def cancelling(t, s):
    gate(s, 0)
    running = submit(s, steps=2).json["id"]
    becomes(s, running, "running")
    queued = submit(s).json["id"]
    watch = [Events(s, running), Events(s, queued)]
    t.check("a queued job has events too", watch[1].next()[2]["state"] == "queued")
    r = delete(s, queued)
    t.answer("cancel a queued job", r, 200, "DELETE", JOB)
    t.check("at once", r.json["state"] == "cancelled", r)
    r = delete(s, running)
    t.answer("cancel a running job", r, 200, "DELETE", JOB)
    t.check("it is told to end", r.json["cancelling"] or r.json["state"] == "cancelled", r)
    for e in watch:
        t.check("cancelled: an event and the end", e.until("cancelled") is not None and e.next() is None)
        e.close()
    t.answer("cancelled: no result", s.request("GET", f"{JOBS}/{running}/result"), 409, "GET", RESULT, "conflict", ("cancelled",))
    t.check("cancelled: nothing is left", not os.path.exists(f"{s.data}/jobs/{running}"))


def a_full_queue(t, s):
    gate(s, 0)
    jobs = [submit(s).json["id"]]
    becomes(s, jobs[0], "running")
    jobs += [submit(s).json["id"] for _ in range(QUEUE_MAX)]
    r = submit(s)
    t.answer("a full queue", r, 503, code="busy", says=("16 jobs are waiting", "limit"))
    t.check("a full queue: try again", r.headers.get("retry-after") == "1", r.headers)
    gate(s, 1)
    t.check("and it drains", all(becomes(s, job, "done").json["state"] == "done" for job in jobs))


def killed(t):
    with start(t) as s:
        job = s.form("/test/jobs", {"file": b"abc"}, query={"kind": "steps", "steps": 2}).json["id"]
        becomes(s, job, "running")
        fragile = submit(s, "fragile", 2).json["id"]
        e = Events(s, job)
        before = e.next()
        s.process.send_signal(signal.SIGKILL)
        s.process.wait()
        with start(t, data=s.data) as again:
            t.check("killed: it is begun again", becomes(again, job, "running").json["attempts"] == 2)
            back = Events(again, job, last=before[0])
            t.check("killed: a listener that comes back hears it", back.next()[2]["attempts"] == 2)
            gate(again, 2)
            t.check("killed: and it ends", back.until("done")[2]["state"] == "done")
            t.check("killed: with its upload", again.request("GET", f"{JOBS}/{job}/result").json["uploaded"] == 3)
            becomes(again, fragile, "done")
            gate(again, 0)
            fragile = submit(again, "fragile", 2).json["id"]
            becomes(again, fragile, "running")
            again.process.send_signal(signal.SIGKILL)
            again.process.wait()
        with start(t, data=s.data) as again:
            r = get(again, fragile)
            t.answer("killed: a job that cannot be begun again", r, 200, "GET", JOB)
            t.check("killed: is interrupted", r.json["state"] == "interrupted" and r.json["error"]["code"] == "interrupted", r)
            e = Events(again, fragile)
            t.check("killed: which is a failed event", e.next()[1] == "failed")
            e.close()
            t.answer("killed: and no result", again.request("GET", f"{JOBS}/{fragile}/result"), 409, "GET", RESULT, "conflict")


def stopped(t):
    with start(t) as s:
        job = submit(s, steps=2).json["id"]
        becomes(s, job, "running")
        all_of_them = [Events(s, job) for _ in range(LISTENERS)]
        for e in all_of_them:
            e.next()
        begun = time.monotonic()
        s.terminate()
        ends = 0
        for e in all_of_them: # a cut stream raises IncompleteRead
            while e.next():
                pass
            ends += 1
            e.close()
        status = s.process.wait(PATIENCE_S)
        t.check("stopped: listeners are let go", ends == LISTENERS and status == 0, (ends, status))
        t.check("stopped: at once", time.monotonic() - begun < 9, time.monotonic() - begun)
        db = sqlite3.connect(f"{s.data}/visavis.db")
        state = db.execute("SELECT state FROM jobs WHERE id = ?", (job,)).fetchone()
        db.close()
        t.check("stopped: the job waits for the next start", state == ("queued",), state)


def run(t):
    with start(t) as s:
        a_life(t, s)
        lists(t, s)
        listeners(t, s)
        coming_back(t, s)
        cancelling(t, s)
        a_full_queue(t, s)
        t.check("a clean end", s.stop() == 0)
    killed(t)
    stopped(t)
