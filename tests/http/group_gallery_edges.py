"""The gallery where things end: keys of one collection, races for one identity, examples that are over their time, requests sent
twice, HEAD."""

import concurrent.futures
import json
import os
import shutil
import sqlite3
import tempfile
import time

import client
import pictures

C, ONE = "/v1/collections", "/v1/collections/{c}"
I, WHO = ONE + "/identities", ONE + "/identities/{i}"
ADD = WHO + "/examples"
DAY_MS = 24 * 3600 * 1000


def axis(n, value=1.0):
    v = [0.0] * 128
    v[n % 128] = value
    v[(n + 1) % 128] = 0.01 * (n + 1)
    return v


def photo(name, n):
    return pictures.read(f"cast/{name}/{name}{n}.png")


def person(s, collection, name, *vectors):
    """The id of a new identity with these examples."""
    who = s.json(f"{C}/{collection}/identities", {"name": name}).json["id"]
    for v in vectors:
        s.json(f"{C}/{collection}/identities/{who}/examples", {"embedding": v, "force": True})
    return who


def scoped_keys(t, s):
    """A key of one collection is good below it and nowhere else; read is not write."""
    mine = s.json(C, {"name": "mine"}).json["id"]
    other = s.json(C, {"name": "other"}).json["id"]
    amy, ben = person(s, "mine", "amy", axis(1)), person(s, "other", "ben", axis(2))
    e = s.request("GET", f"{C}/mine/examples").json["items"][0]["id"]
    key = {right: {"Authorization": "Bearer " + s.json("/v1/keys", {"right": right, "collection": "mine"}).json["secret"]}
           for right in ("read", "write")}
    reads = (("GET", "", ONE), ("GET", "/identities", I), ("GET", f"/identities/{amy}", WHO), ("GET", "/examples", ONE + "/examples"),
             ("GET", f"/examples/{e}", ONE + "/examples/{e}"), ("GET", f"/identities/{amy}/examples", ADD),
             ("GET", "/calibration", ONE + "/calibration"))
    writes = (("POST", "/identities", I, '{"name":"x"}'), ("POST", f"/identities/{amy}/examples", ADD, json.dumps({"embedding": axis(9)})),
              ("PATCH", f"/identities/{amy}", WHO, '{"name":"amy"}'), ("POST", f"/examples/{e}/move", ONE + "/examples/{e}/move",
                                                                      json.dumps({"identity": None})),
              ("POST", "/undo", ONE + "/undo", None), ("PATCH", "", ONE, '{"rule_top":2}'))
    for name in ("mine", mine):
        for right in ("read", "write"):
            for method, path, route in reads:
                t.answer(f"{right} key of a collection: {method} {path}", s.request(method, f"{C}/{name}{path}", headers=key[right]),
                         200, method, route)
    for method, path, route, body in writes:
        kind = {"Content-Type": "application/json"} if body else {}
        r = s.request(method, f"{C}/mine{path}", body, {**key["read"], **kind})
        t.answer(f"read key of a collection: {method} {path}", r, 403, method, route, "forbidden")
        r = s.request(method, f"{C}/mine{path}", body, {**key["write"], **kind})
        t.answer(f"write key of a collection: {method} {path}", r, {200, 201}, method, route)
    for right in ("read", "write"):
        for name in ("other", other):
            for method, path, route, body in (("GET", "", ONE, None), ("GET", f"/identities/{ben}", WHO, None),
                                              ("POST", "/identities", I, '{"name":"x"}'), ("DELETE", "", ONE, None)):
                r = s.request(method, f"{C}/{name}{path}", body, {**key[right], **({"Content-Type": "application/json"} if body else {})})
                t.answer(f"{right} key of another collection: {method} {path}", r, 403, method, route, "forbidden")
        t.answer(f"{right} key of a collection: all of them", s.request("GET", C, headers=key[right]), 403, "GET", C, "forbidden")
        t.answer(f"{right} key of a collection: a new one",
                 s.request("POST", C, '{"name":"n"}', {**key[right], "Content-Type": "application/json"}), 403, "POST", C, "forbidden")
    # who is of another collection is not found below one's own
    for path, route in ((f"/identities/{ben}", WHO), (f"/identities/{ben}/examples", ADD)):
        t.answer("another collection's identity", s.request("GET", f"{C}/mine{path}", headers=key["read"]), 404, "GET", route, "not_found")
    r = s.request("POST", f"{C}/mine/examples/{e}/move", json.dumps({"identity": ben}), {**key["write"], "Content-Type": "application/json"})
    t.answer("a move to another collection's identity", r, 404, "POST", ONE + "/examples/{e}/move", "not_found")
    r = s.request("POST", f"{C}/mine/identities/{amy}/merge", json.dumps({"from": ben}), {**key["write"], "Content-Type": "application/json"})
    t.answer("a merge with another collection's identity", r, 404, "POST", WHO + "/merge", "not_found")
    # a name that goes to another collection takes no key with it
    s.request("PATCH", f"{C}/other", '{"name":"elsewhere"}', {"Content-Type": "application/json"})
    s.request("PATCH", f"{C}/mine", '{"name":"other"}', {"Content-Type": "application/json"})
    t.answer("the key follows its collection's name", s.request("GET", f"{C}/other", headers=key["read"]), 200, "GET", ONE)
    t.answer("and not the other", s.request("GET", f"{C}/elsewhere", headers=key["read"]), 403, "GET", ONE, "forbidden")


def races(t, s):
    """Eight clients with the same ETag: one change is made; with the version that they have just read, all of them."""
    s.json(C, {"name": "races"})
    who = person(s, "races", "0")
    path = f"{C}/races/identities/{who}"

    def change(name, etag):
        return s.request("PATCH", path, json.dumps({"name": name}), {"Content-Type": "application/json", "If-Match": etag}).status
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        etag = s.request("GET", path).headers["etag"]
        got = sorted(pool.map(lambda i: change(f"n{i}", etag), range(8)))
        t.check("etag: one of eight wins", got == [200] + [412] * 7, got)

        def add(_):
            """Reads, adds one, writes only what it has read."""
            for _ in range(200):
                r = s.request("GET", path)
                body = json.dumps({"metadata": {"n": r.json["metadata"].get("n", 0) + 1}})
                w = s.request("PATCH", path, body, {"Content-Type": "application/json", "If-Match": r.headers["etag"]})
                if w.status == 200:
                    return True
            return False
        done = list(pool.map(add, range(40)))
    n = s.request("GET", path).json["metadata"]["n"]
    t.check("etag: forty times one more, by eight", all(done) and n == 40, (n, done))
    r = s.request("DELETE", path, headers={"If-Match": '"1"'})
    t.answer("etag: erase a version that has passed", r, 412, "DELETE", WHO, "precondition_failed")
    for bad in ("1", '"x"', '"1", "2"', 'W/"1"'):
        r = s.request("PATCH", path, '{"name":"x"}', {"Content-Type": "application/json", "If-Match": bad})
        t.answer(f"etag: {bad}", r, 412, "PATCH", WHO, "precondition_failed")
    r = s.request("PATCH", path, '{"name":"x"}', {"Content-Type": "application/json", "If-Match": "*"})
    t.answer("etag: any", r, 200, "PATCH", WHO)


def twice(t, s):
    """Photographs under an Idempotency-Key; a move to where it is already."""
    s.json(C, {"name": "twice"})
    who = person(s, "twice", "amy")
    path, key = f"{C}/twice/identities/{who}/examples", {"Idempotency-Key": "photo-1"}
    a = s.form(path, [("image", photo("amy", 1)), ("image", photo("amy", 2))], key)
    b = s.form(path, [("image", photo("amy", 1)), ("image", photo("amy", 2))], key)
    t.answer("twice: photographs", a, 201, "POST", ADD)
    t.answer("twice: the same again", b, 201, "POST", ADD)
    t.check("twice: the same answer, and no conflict with itself", a.body == b.body and b.headers.get("idempotency-replayed") == "true", b)
    t.answer("twice: other photographs", s.form(path, [("image", photo("amy", 3))], key), 409, "POST", ADD, "conflict")
    n = s.request("GET", f"{C}/twice").json["counts"]["examples"]
    t.check("twice: two examples", n == 2, n)
    refused = {"Idempotency-Key": "photo-2"}
    for _ in range(2):
        t.answer("twice: what was refused is not kept", s.form(path, [("image", photo("amy", 1))], refused), 409, "POST", ADD, "conflict")
    t.answer("twice: so it may be forced", s.form(path, [("image", photo("amy", 1))], refused, query={"force": "true"}), 201, "POST", ADD)
    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        got = list(pool.map(lambda _: s.form(path, [("image", photo("amy", 4))], {"Idempotency-Key": "photo-3"}), range(6)))
    t.check("twice: six at once are one", {g.status for g in got} <= {201, 409} and len({g.body for g in got if g.status == 201}) == 1, got)
    n = s.request("GET", f"{C}/twice").json["counts"]["examples"]
    t.check("twice: one of them", n == 4, n)
    e = a.json["examples"][0]["id"]
    r = s.json(f"{C}/twice/examples/{e}/move", {"identity": who})
    if t.answer("a move to where it is", r, 200, "POST", ONE + "/examples/{e}/move"):
        t.check("a move to where it is: nothing to take back", r.json["undo"] is None, r)
    t.answer("nothing to take back", s.request("POST", f"{C}/twice/undo"), 404, "POST", ONE + "/undo", "not_found")


def head(t, s):
    who = person(s, "twice", "ben", axis(3))
    e = s.request("GET", f"{C}/twice/identities/{who}/examples").json["items"][0]["id"]
    for path in ("", "/identities", f"/identities/{who}", f"/identities/{who}/examples", "/examples", f"/examples/{e}", "/calibration"):
        g, h = s.request("GET", f"{C}/twice{path}"), s.request("HEAD", f"{C}/twice{path}")
        t.check(f"HEAD {path}", h.status == g.status == 200 and not h.body and h.headers["content-length"] == str(len(g.body))
                and h.headers.get("etag") == g.headers.get("etag"), h)
    t.check("HEAD of nothing", s.request("HEAD", f"{C}/nowhere").status == 404)
    info = {name: s.metric("visavis_gallery_" + name) for name in ("collections", "examples", "index_bytes")}
    listed = s.request("GET", C).json["items"]
    t.check("metrics: the gallery's", info["collections"] == len(listed) and info["index_bytes"] > 128 * 4
            and info["examples"] == sum(s.request("GET", f"{C}/{c['id']}").json["counts"]["examples"] for c in listed), info)


def stored(data, sql, *args):
    """The rows of a statement on the database of a server that does not run."""
    db = sqlite3.connect(os.path.join(data, "visavis.db"))
    try:
        rows = db.execute(sql, args).fetchall()
        db.commit()
        return rows
    finally:
        db.close()


def over_its_time(t):
    """Examples older than ttl_days, which the housekeeper erases; those of another collection stay."""
    data = tempfile.mkdtemp(prefix="visavis-ttl-")
    try:
        with client.Server(t.binary, data=data) as s:
            t.check("ttl: collections", [s.json(C, {"name": n, "ttl_days": d}).status for n, d in (("short", 2), ("long", 0))] == [201] * 2)
            for name in ("short", "long"):
                person(s, name, "amy", axis(5), axis(7))
                person(s, name, "ben", axis(20))
        old = stored(data, "SELECT e.row, e.embedding FROM examples e JOIN identities i ON i.row = e.identity JOIN collections c"
                           " ON c.row = e.collection WHERE i.name = 'amy' AND c.name = 'short'")
        t.check("ttl: two to age", len(old) == 2)
        stored(data, "UPDATE examples SET created_ms = created_ms - ? WHERE identity IN (SELECT row FROM identities WHERE name = 'amy')",
               2 * DAY_MS + 60000)
        with client.Server(t.binary, data=data) as s:
            end = time.monotonic() + 120
            while s.request("GET", f"{C}/short").json["counts"]["examples"] != 1 and time.monotonic() < end:
                time.sleep(0.05)
            counts = {n: s.request("GET", f"{C}/{n}").json["counts"] for n in ("short", "long")}
            t.check("ttl: what is too old is gone", counts["short"]["examples"] == 1 and counts["short"]["identities"] == 2, counts)
            t.check("ttl: for ever is for ever", counts["long"]["examples"] == 3, counts)
            line = s.wait_log(lambda l: l.get("msg") == "erased what was over its time to live", 60)
            t.check("ttl: logged", line and line["examples"] == 2, line)
            audit = s.request("GET", "/v1/audit").json["items"]
            t.check("ttl: in the audit log", [(a["who"], a["action"]) for a in audit][0] == ("retention", "example.expire"), audit[0])
            r = s.form(f"{C}/short/identify", {"image": photo("amy", 1)})
            names = {c["identity"]["name"] for i in r.json["images"] for f in i["faces"] for c in f["candidates"]}
            t.check("ttl: nobody finds them", names == {"ben"} and r.json["scanned"] == 1, r)
        rest = stored(data, "SELECT count(*) FROM examples WHERE embedding = ?", old[0][1])
        t.check("ttl: the other collection has the same vectors", rest == [(1,)], rest)
        r = stored(data, "SELECT count(*) FROM examples e JOIN collections c ON c.row = e.collection WHERE c.name = 'short'")
        t.check("ttl: one is left on the disk", r == [(1,)], r)
    finally:
        shutil.rmtree(data)


def run(t):
    if not pictures.have_shared():
        t.skip("gallery edges", "no ../shared/data/faces here")
        return
    with client.Server(t.binary) as s:
        for part in (scoped_keys, races, twice, head):
            part(t, s)
    over_its_time(t)
