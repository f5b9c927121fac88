"""Keys with rights, scopes, expiry and rates; Idempotency-Key; the audit log; backups; collections as files."""

import json
import os
import shutil
import struct
import subprocess
import tempfile
import time

import client

K, A, B, M = "/v1/keys", "/v1/audit", "/v1/admin/backup", "/v1/models"
K1 = "/v1/keys/{key}"
DIM, RECIPE = 4, "0" * 64


def cli(t, data, *args):
    """Exit status, the JSON lines and standard error of a subcommand."""
    r = subprocess.run([t.binary, *args, "--data", data], capture_output=True, text=True, check=False)
    return r.returncode, [json.loads(line) for line in r.stdout.splitlines()], r.stderr


def bearer(secret):
    return {"Authorization": "Bearer " + secret}


def write_export(folder, name="cast"):
    """An export as `visavis db export` writes it, made here: two people, three examples."""
    os.mkdir(folder)
    ids = [f"01J9ZK3V5T8Q2W4X6Y7Z8A9B{i:02d}" for i in range(6)]
    times = {"created_ms": 1700000000000, "updated_ms": 1700000000001}

    def lines(file, rows):
        with open(os.path.join(folder, file), "w", encoding="utf-8") as f:
            f.writelines(json.dumps(row) + "\n" for row in rows)

    lines("collection.json", [{
        "format": "visavis-collection-1", "id": ids[0], "name": name, "model": "dlib-resnet", "recipe": RECIPE, "dim": DIM,
        "rule": "max", "rule_top": 1, "min_quality": 0.25, "thumbnails": False, "photos": False, "ttl_days": 0,
        "calibration": None, "metadata": {"a": [1, "ü"]}, **times}])
    lines("identities.jsonl", [
        {"id": ids[1], "name": "Amy ✓ '; --", "external_id": "a/1", "metadata": {"x": 0.5}, "tags": ["one", "zwei"], "version": 7,
         **times},
        {"id": ids[2], "name": "Ben", "external_id": None, "metadata": {}, "tags": [], "version": 1, **times}])
    lines("examples.jsonl", [
        {"id": ids[3 + i], "identity": identity, "precision": "f32", "box": [1.5, 2, 3, 4] if i else None,
         "points": [0.5] * 10 if i else None, "quality": 0.75 if i else None, "source": "ab" * 32 if i else None,
         "thumbnail": False, "photo": False, "created_ms": times["created_ms"]}
        for i, identity in enumerate((ids[1], ids[2], None))])
    head = f"{{'descr': '<f4', 'fortran_order': False, 'shape': (3, {DIM}), }}".ljust(117) + "\n"
    with open(os.path.join(folder, "embeddings.npy"), "wb") as f:
        f.write(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head.encode())
        f.write(struct.pack("<12f", 1, 0, 0, 0, 0, -1, 0, 0, 0.5, 0.5, 0.5, -0.5))
    return ids


def files(t, data, work):
    """db import, export, check, backup, restore."""
    folder = os.path.join(work, "made")
    ids = write_export(folder)
    status, said, err = cli(t, data, "db", "import", folder)
    t.check("db import", status == 0 and said[0]["id"] == ids[0] and said[0]["new_ids"] == 0 and said[0]["examples"] == 3,
            (status, said, err))
    out = os.path.join(work, "out")
    status, said, err = cli(t, data, "db", "export", "cast", out)
    t.check("db export", status == 0 and said[0]["identities"] == 2, (status, said, err))
    for name in ("collection.json", "identities.jsonl", "examples.jsonl"):
        with open(os.path.join(folder, name), encoding="utf-8") as a, open(os.path.join(out, name), encoding="utf-8") as b:
            t.check(f"db export: {name} comes back", [json.loads(x) for x in a] == [json.loads(x) for x in b], name)
    with open(os.path.join(folder, "embeddings.npy"), "rb") as a, open(os.path.join(out, "embeddings.npy"), "rb") as b:
        t.check("db export: embeddings.npy comes back", a.read() == b.read(), "")
    t.check("db import of what is there", cli(t, data, "db", "import", folder)[0] == 2)
    status, said, _ = cli(t, data, "db", "import", folder, "--name", "again")
    t.check("db import under another name gives new ids", status == 0 and said[0]["new_ids"] == 6, said)
    t.check("db export into a folder that is there", cli(t, data, "db", "export", "cast", out)[0] == 2)
    status, said, _ = cli(t, data, "db", "check")
    t.check("db check", status == 0 and said == [{"ok": True, "findings": 0, "collections": 2, "identities": 4, "examples": 6,
                                                  "audit": said[0]["audit"]}], said)
    copy, back = os.path.join(work, "copy.db"), os.path.join(work, "back")
    t.check("db backup", cli(t, data, "db", "backup", copy)[0] == 0)
    t.check("db backup over a file", cli(t, data, "db", "backup", copy)[0] == 2)
    t.check("db restore", cli(t, back, "db", "restore", copy)[0] == 0)
    t.check("db restore into what is not empty", cli(t, back, "db", "restore", copy)[0] == 2)
    t.check("db check of what was restored", cli(t, back, "db", "check")[1][0]["examples"] == 6)
    t.check("db restore of no backup", cli(t, os.path.join(work, "x"), "db", "restore", __file__)[0] == 2)
    for args in ((), ("frob",), ("backup",), ("export", "cast"), ("check", "x"), ("check", "--pictures"), ("backup", "x", "--name", "y")):
        t.check(f"db {' '.join(args)} is refused", cli(t, data, "db", *args)[0] == 2)
    return ids[0]


def create(t, s, headers=None, **fields):
    r = s.json(K, fields, headers)
    t.answer(f"create a key {fields}", r, 201, "POST", K)
    return r.json


def fields(t, s):
    """Every field of POST /v1/keys, right and wrong."""
    k = create(t, s, name="door ✓", right="read", expires="90d", rate=5)
    t.check("create: what was asked", (k["name"], k["right"], k["rate"], k["collection"], k["revoked"]) ==
            ("door ✓", "read", 5, None, None) and k["secret"].startswith("visavis_") and k["expires"] > k["created"], k)
    k = create(t, s)
    t.check("create: nothing asked", (k["name"], k["right"], k["rate"], k["expires"]) == ("", "admin", 0, None), k)
    for bad, says in (({"name": 7}, "name"), ({"right": "root"}, "root"), ({"rate": -1}, "rate"), ({"rate": 1.5}, "rate"),
                      ({"rate": 10**12}, "rate"), ({"expires": "soon"}, "soon"), ({"expires": "2001-01-01"}, "past"),
                      ({"scope": "x"}, "scope"), ({"name": "x" * 101}, "101"), ({"collection": ""}, "collection"),
                      ({"expires": 5}, "expires"), ([], "object")):
        t.answer(f"create: {bad}", s.json(K, bad), 400, "POST", K, "invalid_request", (says,))
    t.answer("create: no JSON", s.json(K, b"{"), 400, "POST", K, "bad_json")
    t.answer("create: no such collection", s.json(K, {"collection": "nobody"}), 404, "POST", K, "not_found", ("nobody",))
    t.answer("create: a form", s.form(K, {"name": "x"}), 415, "POST", K)
    r = s.request("GET", K)
    if t.answer("list", r, 200, "GET", K):
        t.check("list: without secrets", all("secret" not in i for i in r.json["items"]) and len(r.json["items"]) >= 2, r)
    t.answer("revoke nobody", s.request("DELETE", K + "/01J9ZK3V5T8Q2W4X6Y7Z8A9B0C"), 404, "DELETE", K1, "not_found")
    t.answer("list: a parameter", s.request("GET", K + "?x=1"), 400, "GET", K)


def rights(t, s, collection):
    """What a key may do, at once and no longer than it is valid."""
    secret = {right: create(t, s, right=right)["secret"] for right in ("read", "write", "admin")}
    for right in ("read", "write"):
        for method, path, route in (("GET", K, K), ("GET", A, A), ("POST", B, B), ("DELETE", K + "/x", K1)):
            r = s.request(method, path, headers=bearer(secret[right]))
            if t.answer(f"{right} key: {method} {path}", r, 403, method, route, "forbidden", ("admin", right)):
                t.check("details name the right", r.json["error"]["details"] == {"needs": "admin"}, r)
        t.answer(f"{right} key: models", s.request("GET", M, headers=bearer(secret[right])), 200, "GET", M)
    t.answer("admin key: keys", s.request("GET", K, headers=bearer(secret["admin"])), 200, "GET", K)
    for name in (collection, "cast"):
        one = create(t, s, right="admin", collection=name)
        t.check("the scope is the collection's id", one["collection"] == collection, one)
        t.answer("one collection's key: models", s.request("GET", M, headers=bearer(one["secret"])), 200, "GET", M)
        r = s.request("GET", K, headers=bearer(one["secret"]))
        if t.answer("one collection's key: keys", r, 403, "GET", K, "forbidden", (collection,)):
            t.check("details name the collection", r.json["error"]["details"] == {"collection": collection}, r)
        t.answer("one collection's key: metrics", s.request("GET", "/metrics", headers=bearer(one["secret"])), 403, "GET", "/metrics")
    gone = create(t, s, right="admin")
    r = s.request("DELETE", f"{K}/{gone['id']}", headers=bearer(secret["admin"]))
    if t.answer("revoke", r, 200, "DELETE", K1):
        t.check("revoke: says when", r.json["revoked"] and "secret" not in r.json, r)
    t.answer("a revoked key, at once", s.request("GET", M, headers=bearer(gone["secret"])), 401, "GET", M, "unauthorized")
    short = create(t, s, expires="2s")
    t.answer("a key before it expires", s.request("GET", M, headers=bearer(short["secret"])), 200, "GET", M)
    end = time.monotonic() + 10
    while s.request("GET", M, headers=bearer(short["secret"])).status == 200 and time.monotonic() < end:
        time.sleep(0.1)
    t.answer("a key that has expired", s.request("GET", M, headers=bearer(short["secret"])), 401, "GET", M, "unauthorized")
    return secret


def scopes(t, s, collection):
    """A key of one collection on that collection's routes, by its id and by whatever it is called now."""
    c, i = "/v1/collections/{c}", "/v1/collections/{c}/identities"
    if f"GET {c}" not in t.contract.routes():
        t.skip("keys: scopes", "no gallery in this server")
        return
    key = create(t, s, right="write", collection="cast")
    reader = create(t, s, right="read", collection="cast")
    auth = bearer(key["secret"])

    def get(name, status):
        t.answer(f"one collection's key: {name} is {status}", s.request("GET", f"/v1/collections/{name}", headers=auth), status,
                 "GET", c, None if status == 200 else "forbidden")

    def rename(old, new):
        r = s.request("PATCH", f"/v1/collections/{old}", json.dumps({"name": new}), {"Content-Type": "application/json"})
        t.answer(f"{old} becomes {new}", r, 200, "PATCH", c)

    for name, status in (("cast", 200), (collection, 200), ("again", 403), ("nobody", 403)):
        get(name, status)
    t.answer("one collection's key: the list", s.request("GET", "/v1/collections", headers=auth), 403, "GET", "/v1/collections")
    rename("cast", "crew")
    get("crew", 200)
    get("cast", 403)
    rename("again", "cast")
    get("cast", 403)
    rename("cast", "again")
    people = f"/v1/collections/{collection}/identities"
    t.answer("a reader writes", s.json(people, {"name": "Zoe"}, bearer(reader["secret"])), 403, "POST", i, "forbidden", ("write",))
    head = {**auth, "Idempotency-Key": "zoe"}
    first, again = s.json(people, {"name": "Zoe"}, head), s.json(people, {"name": "Zoe"}, head)
    if t.answer("a writer writes", first, 201, "POST", i) and t.answer("and again", again, 201, "POST", i):
        t.check("it is one person", first.body == again.body and first.headers.get("etag") == again.headers.get("etag"), again)
    entry = s.request("GET", A + "?limit=1").json["items"][0]
    t.check("the entry names key and person, not her name", entry["who"] == key["id"] and entry["target"] == first.json["id"] and
            entry["collection"] == collection and "Zoe" not in json.dumps(entry), entry)
    t.check("erased", s.request("DELETE", f"{people}/{first.json['id']}", headers=auth).status in (200, 204))
    t.answer("and a late repetition does not bring her back", s.json(people, {"name": "Zoe"}, head), 409, "POST", i, "conflict",
             ("erased",))
    t.check("the collection is erased", s.request("DELETE", f"/v1/collections/{collection}").status in (200, 204))
    t.answer("its keys open nothing, at once", s.request("GET", M, headers=auth), 401, "GET", M, "unauthorized")


def rate(t, s):
    slow = create(t, s, rate=3)
    answers = [s.request("GET", M, headers=bearer(slow["secret"])) for _ in range(5)]
    t.check("the first of a minute are served", [r.status for r in answers[:3]] == [200] * 3, answers)
    if t.answer("one too many", answers[3], 429, "GET", M, "rate_limited", ("3",)):
        t.check("Retry-After", 1 <= int(answers[3].headers.get("retry-after", 0)) <= 20, answers[3].headers)
    t.answer("others are served", s.request("GET", M), 200, "GET", M)
    create(t, s, name="another")  # the keys are read again: the bucket stays empty
    t.answer("still too many", s.request("GET", M, headers=bearer(slow["secret"])), 429, "GET", M, "rate_limited")


def idempotency(t, s, secret):
    head = {"Idempotency-Key": "a 1"}
    before = len(s.request("GET", K).json["items"])
    first = create(t, s, head, name="once")
    r = s.json(K, {"name": "once"}, head)
    if t.answer("the same again", r, 201, "POST", K):
        t.check("the same key, without its secret", r.json == {k: v for k, v in first.items() if k != "secret"}, r)
        t.check("marked", r.headers.get("idempotency-replayed") == "true", r.headers)
    t.check("one key was made", len(s.request("GET", K).json["items"]) == before + 1)
    for name, got in (("another body", s.json(K, {"name": "twice"}, head)),
                      ("another form of it", s.json(K, b'{"name": "once" }', head))):
        t.answer(name, got, 409, "POST", K, "conflict", ("a 1",))
    other = s.json(K, {"name": "once"}, {**head, **bearer(secret["admin"])})
    t.answer("another client's key is another", other, 201, "POST", K)
    t.check("not marked", "idempotency-replayed" not in other.headers, other.headers)
    for name, bad in (("too long", "x" * 201), ("not ASCII", "\xe4"), ("empty", "")):
        t.answer(f"Idempotency-Key: {name}", s.json(K, {}, {"Idempotency-Key": bad}), 400, "POST", K, "invalid_request")
    t.answer("an error uses no key up", s.json(K, {"right": "root"}, {"Idempotency-Key": "b"}), 400, "POST", K)
    t.answer("and it is free after it", s.json(K, {"right": "read"}, {"Idempotency-Key": "b"}), 201, "POST", K)
    t.answer("DELETE with one", s.request("DELETE", f"{K}/{first['id']}", headers={"Idempotency-Key": "c"}), 200, "DELETE", K1)


def pages(s, query=""):
    """Every entry, by following the cursors."""
    out, cursor = [], ""
    while True:
        r = s.request("GET", f"{A}?limit=7{query}{cursor}")
        out += r.json["items"]
        if r.json["next_cursor"] is None:
            return out
        cursor = "&cursor=" + r.json["next_cursor"]


def audit(t, s, data):
    newest, oldest = pages(s), pages(s, "&order=oldest")
    t.check("audit: both orders have everything once", newest == oldest[::-1] and
            [e["seq"] for e in oldest] == list(range(1, len(oldest) + 1)), (len(newest), len(oldest)))
    t.check("audit: who did it", {e["who"] for e in oldest} > {"local"} and
            {e["action"] for e in oldest} >= {"key.create", "key.revoke", "collection.import"}, oldest[-3:])
    text = json.dumps(oldest)
    t.check("audit: no names and no secrets", "visavis_" not in text and "door" not in text and "Amy" not in text)
    r = s.request("GET", A + "?limit=2")
    if t.answer("audit: a page", r, 200, "GET", A):
        cursor = r.json["next_cursor"]
        for name, path in (("changed", f"?limit=2&cursor={cursor[:-1]}{'A' if cursor[-1] != 'A' else 'B'}"),
                           ("of another order", f"?order=oldest&cursor={cursor}"), ("made up", "?cursor=5"), ("empty", "?cursor="),
                           ("limit 0", "?limit=0"), ("limit 1001", "?limit=1001"), ("limit x", "?limit=x"), ("order", "?order=up")):
            t.answer(f"audit: {name}", s.request("GET", A + path), 400, "GET", A, "invalid_request")
        t.answer("audit: another limit, same cursor", s.request("GET", f"{A}?limit=3&cursor={cursor}"), 200, "GET", A)
    status, said, _ = cli(t, data, "audit", "verify")
    t.check("audit verify", status == 0 and said[0]["ok"] and said[0]["entries"] == len(oldest) and
            said[0]["head"] == oldest[-1]["hash"], said)
    t.check("audit list", cli(t, data, "audit", "list")[1] == oldest)
    t.check("audit verify --head", cli(t, data, "audit", "verify", "--head", oldest[2]["hash"])[0] == 0)
    t.check("audit verify, a head of another log", cli(t, data, "audit", "verify", "--head", "0" * 64)[0] == 1)
    t.check("audit without a word is refused", cli(t, data, "audit")[0] == 2)


def backup(t, s, work):
    r = s.request("POST", B)
    if not t.answer("backup", r, 200, "POST", B):
        return
    t.check("backup: a database, to be kept", r.body.startswith(b"SQLite format 3\0") and
            "attachment" in r.headers.get("content-disposition", ""), r.headers)
    copy, back = os.path.join(work, "http.db"), os.path.join(work, "http")
    with open(copy, "wb") as f:
        f.write(r.body)
    status, _, err = cli(t, back, "db", "restore", copy)
    t.check("backup: it is restored", status == 0, err)
    status, said, _ = cli(t, back, "db", "check")
    t.check("backup: it is whole", status == 0 and said[-1]["ok"], said)
    t.check("backup: it is in its own log", cli(t, back, "audit", "list")[1][-1]["action"] == "db.backup")
    t.answer("backup with a body", s.json(B, {}), 413, "POST", B)
    left = [n for n in os.listdir(s.data) if n.startswith("backup")]
    t.check("backup: nothing stays in the data folder", not left, left)


def command_line(t, data):
    """visavis key with what a key can have."""
    status, made, err = cli(t, data, "key", "create", "--right", "write", "--collection", "cast", "--expires", "2h", "--rate", "9")
    t.check("key create with everything", status == 0 and made[0]["right"] == "write" and made[0]["rate"] == 9 and
            made[0]["expires"] and len(made[0]["collection"]) == 26, (made, err))
    for args in (("create", "--right", "root"), ("create", "--rate", "x"), ("create", "--expires", "2001-01-01"),
                 ("create", "--collection", "nobody"), ("list", "--rate", "5"), ("create", "--collection", "")):
        t.check(f"key {' '.join(args)} is refused", cli(t, data, "key", *args)[0] == 2)


def run(t):
    work = tempfile.mkdtemp(prefix="visavis-keys-")
    data = os.path.join(work, "data")
    try:
        collection = files(t, data, work)
        command_line(t, data)
        with client.Server(t.binary, data=data) as s:
            fields(t, s)
            secret = rights(t, s, collection)
            rate(t, s)
            idempotency(t, s, secret)
            audit(t, s, data)
            backup(t, s, work)
            scopes(t, s, collection)
            status, said, _ = cli(t, data, "db", "check")
            t.check("db check beside the server", status == 0, said)
            t.check("no secret in the log", not any("visavis_" in json.dumps(line) for line in s.log))
        with open(os.path.join(data, "visavis.db"), "rb") as f:
            t.check("no secret in the database", secret["admin"].encode() not in f.read())
    finally:
        shutil.rmtree(work, ignore_errors=True)
