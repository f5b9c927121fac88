"""The gallery: the README's walk-through with the eight people of ../shared/data/faces/cast, what may go wrong on the way, and the
same answers after a restart."""

import concurrent.futures
import json
import os
import random
import shutil
import tempfile

import client
import pictures

CAST = os.path.join(pictures.SHARED, "cast")
PEOPLE = ("amy", "bernadette", "howard", "leonard", "penny", "raj", "sheldon", "stuart")
C, ONE = "/v1/collections", "/v1/collections/{c}"
I, WHO = ONE + "/identities", ONE + "/identities/{i}"
X, EXAMPLE = ONE + "/examples", ONE + "/examples/{e}"
STRANGE = "'; DROP TABLE identities; -- ../../etc/passwd %2e%2e \u4eba"


def photo(name, n):
    with open(os.path.join(CAST, name, f"{name}{n}.png"), "rb") as f:
        return f.read()


def group_photo(n):
    with open(os.path.join(CAST, f"bbt{n}.jpg"), "rb") as f:
        return f.read()


def run(t):
    if not os.path.isdir(CAST):
        t.skip("gallery", "no ../shared/data/faces/cast here")
        return
    data = tempfile.mkdtemp(prefix="visavis-gallery-")
    try:
        with client.Server(t.binary, data=data) as s:
            people = walk_through(t, s)
            before = ask_all(t, s)
            conflicts(t, s, people)
            rearrange(t, s, people)
            before_erasing = ask_all(t, s)
        with client.Server(t.binary, data=data) as s:
            t.check("gallery: the same answers after a restart", ask_all(t, s) == before_erasing)
            t.check("gallery: undone is as it was", before_erasing == before)
            erase(t, s, people)
            bad_input(t, s)
            together(t, s)
            calibrate(t, s)
    finally:
        shutil.rmtree(data)


def walk_through(t, s):
    r = s.json(C, {"name": "cast", "keep_thumbnails": True, "metadata": {"show": "bbt"}})
    if t.answer("gallery: create", r, 201, "POST", C):
        t.check("gallery: Location", r.headers["location"] == f"{C}/{r.json['id']}", r.headers)
    t.answer("gallery: its name is taken", s.json(C, {"name": "cast"}), 409, "POST", C, "conflict")
    people = {}
    for name in PEOPLE:
        r = s.json(f"{C}/cast/identities", {"name": name, "external_id": "id-" + name, "tags": ["cast", name[0]]})
        if not t.answer(f"gallery: {name}", r, 201, "POST", I):
            continue
        people[name] = r.json["id"]
        r = s.form(f"{C}/cast/identities/{people[name]}/examples", [("image", photo(name, n)) for n in (1, 2, 3)])
        if t.answer(f"gallery: enrol {name}", r, 201, "POST", WHO + "/examples"):
            t.check(f"gallery: three of {name}", len(r.json["examples"]) == 3
                    and all(e["identity"] == people[name] and e["has_thumbnail"] for e in r.json["examples"]), r)
    r = s.request("GET", f"{C}/cast")
    if t.answer("gallery: get", r, 200, "GET", ONE):
        t.check("gallery: counts", r.json["counts"]["identities"] == 8 and r.json["counts"]["examples"] == 24, r)
    t.answer("gallery: list", s.request("GET", C), 200, "GET", C)
    return people


def identify(t, s, images, **query):
    r = s.form(f"{C}/cast/identify", [("image", i) for i in images], query=query)
    return r.json if t.answer("gallery: identify", r, 200, "POST", ONE + "/identify") else None


def verdicts(answer):
    """What does not depend on the clock."""
    return [[(f["box"], f["decision"], f["margin"], f["candidates"]) for f in i["faces"]] for i in answer["images"]]


def ask_all(t, s):
    """Every photograph that was not enrolled, and the group pictures."""
    out, right, wrong = [], 0, []
    for name in PEOPLE:
        got = identify(t, s, [photo(name, n) for n in (4, 5)], face="main")
        out.append(verdicts(got))
        for i in got["images"]:
            f = i["faces"][0]
            best = f["candidates"][0]["identity"]["name"]
            right += best == name and f["decision"] == "match"
            if f["decision"] == "match" and best != name:
                wrong.append((name, best))
            s_ = [c["similarity"] for c in f["candidates"]]
            t.check("gallery: best first", s_ == sorted(s_, reverse=True))
    t.check("gallery: nobody is taken for another", not wrong, wrong)
    t.check("gallery: who is enrolled is found", right >= 14, f"{right} of 16")
    for n in range(1, 6):
        got = identify(t, s, [group_photo(n)], top=2)
        out.append(verdicts(got))
        names = [f["candidates"][0]["identity"]["name"] for f in got["images"][0]["faces"] if f["decision"] == "match"]
        t.check(f"gallery: bbt{n} has people of the cast, each once", len(names) >= 2 and len(names) == len(set(names)), names)
    return out


def conflicts(t, s, people):
    where = f"{C}/cast/identities/{people['amy']}/examples"
    r = s.form(where, [("image", photo("amy", 1))])
    if t.answer("gallery: the same photograph", r, 409, "POST", WHO + "/examples", "conflict"):
        t.check("gallery: says so", [p["code"] for p in r.json["error"]["details"]["problems"]] == ["duplicate"], r)
    r = s.form(where, [("image", photo("howard", 4))])
    if t.answer("gallery: somebody else", r, 409, "POST", WHO + "/examples", "conflict"):
        p = r.json["error"]["details"]["problems"][0]
        t.check("gallery: looks like howard", p["code"] == "looks_like" and p["identity"]["name"] == "howard", r)
    r = s.form(where, [("image", photo("amy", 4)), ("image", photo("amy", 4))])
    t.answer("gallery: the same twice in one call", r, 409, "POST", WHO + "/examples", "conflict")
    r = s.form(where, [("image", photo("amy", 4))], query={"dry_run": "true"})
    if t.answer("gallery: a dry run", r, 200, "POST", WHO + "/examples"):
        t.check("gallery: which says what would be", r.json["dry_run"] and len(r.json["faces"]) == 1 and not r.json["problems"], r)
    n = s.request("GET", f"{C}/cast").json["counts"]["examples"]
    t.check("gallery: nothing was enrolled by these", n == 24, n)


def rearrange(t, s, people):
    amy, raj = people["amy"], people["raj"]
    got = s.request("GET", f"{C}/cast/identities/{amy}/examples")
    t.answer("gallery: examples of one", got, 200, "GET", WHO + "/examples")
    e = got.json["items"][0]["id"]
    r = s.json(f"{C}/cast/examples/{e}/move", {"identity": raj})
    if t.answer("gallery: move", r, 200, "POST", EXAMPLE + "/move"):
        t.check("gallery: it is raj's", r.json["example"]["identity"] == raj, r)
    t.answer("gallery: undo the move", s.request("POST", f"{C}/cast/undo"), 200, "POST", ONE + "/undo")
    got = s.request("GET", f"{C}/cast/examples/{e}")
    if t.answer("gallery: one example", got, 200, "GET", EXAMPLE):
        t.check("gallery: it is amy's again", got.json["identity"] == amy, got)
    r = s.json(f"{C}/cast/identities/{amy}/merge", {"from": raj})
    if t.answer("gallery: merge", r, 200, "POST", WHO + "/merge"):
        t.check("gallery: six examples", r.json["identity"]["examples"] == 6 and r.json["moved"] == 3, r)
    t.answer("gallery: raj is gone", s.request("GET", f"{C}/cast/identities/{raj}"), 404, "GET", WHO, "not_found")
    t.answer("gallery: undo the merge", s.request("POST", f"{C}/cast/undo"), 200, "POST", ONE + "/undo")
    r = s.request("GET", f"{C}/cast/identities/{raj}")
    if t.answer("gallery: raj is back", r, 200, "GET", WHO):
        t.check("gallery: as he was", r.json["name"] == "raj" and r.json["examples"] == 3 and r.json["tags"] == ["cast", "r"], r)
    t.answer("gallery: nothing left to undo", s.request("POST", f"{C}/cast/undo"), 404, "POST", ONE + "/undo", "not_found")

    r = s.form(f"{C}/cast/verify", {"image": photo("raj", 4)}, query={"identity": raj, "explain": "true"})
    if t.answer("gallery: verify raj", r, 200, "POST", ONE + "/verify"):
        t.check("gallery: it is him", r.json["verified"] and len(r.json["scores"]) == 3, r)
    r = s.form(f"{C}/cast/verify", {"image": photo("penny", 4)}, query={"identity": raj})
    if t.answer("gallery: verify penny as raj", r, 200, "POST", ONE + "/verify"):
        t.check("gallery: it is not", r.json["decision"] == "no_match" and not r.json["verified"], r)

    r = s.request("GET", f"{C}/cast/identities/{amy}")
    etag = r.headers["etag"]
    new = {"name": STRANGE, "metadata": {"k": STRANGE}}
    change = {"Content-Type": "application/json"}
    r = s.request("PATCH", f"{C}/cast/identities/{amy}", json.dumps(new), {**change, "If-Match": etag})
    if t.answer("gallery: change", r, 200, "PATCH", WHO):
        t.check("gallery: stored as it was sent", r.json["name"] == STRANGE and r.json["metadata"]["k"] == STRANGE, r)
    r = s.request("PATCH", f"{C}/cast/identities/{amy}", '{"name":"x"}', {**change, "If-Match": etag})
    t.answer("gallery: a version that has passed", r, 412, "PATCH", WHO, "precondition_failed")
    r = s.request("PATCH", f"{C}/cast/identities/{amy}", '{"name":"amy","metadata":{}}', change)
    t.answer("gallery: change back", r, 200, "PATCH", WHO)

    r = s.request("GET", f"{C}/cast/examples/{e}/thumbnail")
    t.check("gallery: a thumbnail", r.status == 200 and r.body[:2] == b"\xff\xd8", r)
    t.answer("gallery: no photo was kept", s.request("GET", f"{C}/cast/examples/{e}/photo"), 404, "GET", EXAMPLE + "/photo",
             "not_found")
    seen, cursor = [], ""
    while cursor is not None:
        r = s.request("GET", f"{C}/cast/identities?limit=3&tag=cast" + (f"&cursor={cursor}" if cursor else ""))
        if not t.answer("gallery: a page", r, 200, "GET", I):
            break
        seen += [i["name"] for i in r.json["items"]]
        cursor = r.json["next_cursor"]
    t.check("gallery: pages hold everybody once", sorted(seen) == list(PEOPLE), seen)
    r = s.request("GET", f"{C}/cast/identities?tag=cast&limit=3&cursor=AAAA{'A' * 28}")
    t.answer("gallery: a made-up cursor", r, 400, "GET", I, "invalid_request")
    got = identify(t, s, [photo("penny", 4)], tag="p", explain="true")
    c = got["images"][0]["faces"][0]["candidates"]
    t.check("gallery: a tag limits who may be found", [x["identity"]["name"] for x in c] == ["penny"] and len(c[0]["scores"]) == 3, c)
    once = {"Idempotency-Key": "k1", "Content-Type": "application/json"}
    a = s.request("POST", f"{C}/cast/identities", '{"name":"kurt"}', once)
    b = s.request("POST", f"{C}/cast/identities", '{"name":"kurt"}', once)
    t.check("gallery: the same key, the same answer", a.status == b.status == 201 and a.body == b.body, (a, b))
    t.answer("gallery: the key for another", s.request("POST", f"{C}/cast/identities", '{"name":"kim"}', once), 409, "POST", I,
             "conflict")
    t.answer("gallery: erase kurt", s.request("DELETE", f"{C}/cast/identities/{a.json['id']}"), 200, "DELETE", WHO)


def erase(t, s, people):
    r = s.request("DELETE", f"{C}/cast/identities/{people['stuart']}")
    if t.answer("gallery: erase", r, 200, "DELETE", WHO):
        e = r.json["erased"]
        t.check("gallery: the receipt", e["identities"] == 1 and e["examples"] == 3 and e["thumbnails"] == 3, r)
    got = identify(t, s, [photo("stuart", 4)], face="main")
    f = got["images"][0]["faces"][0]
    t.check("gallery: he is unknown now", f["decision"] != "match" and all(c["identity"]["name"] != "stuart" for c in f["candidates"]),
            f)
    with open(os.path.join(s.data, "visavis.db"), "rb") as f:
        whole = f.read()
    with open(os.path.join(s.data, "visavis.db-wal"), "rb") as f:
        whole += f.read()
    t.check("gallery: his name is nowhere in the files", b"id-stuart" not in whole and b"id-penny" in whole)
    r = s.form(f"{C}/cast/examples", [("image", group_photo(1))])
    if t.answer("gallery: faces of nobody yet", r, 201, "POST", X):
        mine = r.json["examples"]
        t.check("gallery: several, nobody's", len(mine) > 2 and all(e["identity"] is None for e in mine), r)
        listed = s.request("GET", f"{C}/cast/examples?unassigned=true&limit=1000")
        t.answer("gallery: unassigned", listed, 200, "GET", X)
        t.check("gallery: all listed", len(listed.json["items"]) == len(mine), listed)
        t.answer("gallery: erase one", s.request("DELETE", f"{C}/cast/examples/{mine[0]['id']}"), 200, "DELETE", EXAMPLE)


def bad_input(t, s):
    inv = "invalid_request"
    who = s.json(f"{C}/cast/identities", {"name": "vec"}).json["id"]
    where = f"{C}/cast/identities/{who}/examples"
    unit = [1.0] + [0.0] * 127
    for name, r, status, method, path, code in (
            ("no collection", s.request("GET", f"{C}/nowhere"), 404, "GET", ONE, "not_found"),
            ("no identity", s.request("GET", f"{C}/cast/identities/01ARZ3NDEKTSV4RRFFQ69G5FAV"), 404, "GET", WHO, "not_found"),
            ("no example", s.request("GET", f"{C}/cast/examples/01ARZ3NDEKTSV4RRFFQ69G5FAV"), 404, "GET", EXAMPLE, "not_found"),
            ("no name", s.json(C, {}), 400, "POST", C, inv),
            ("a long name", s.json(C, {"name": "n" * 201}), 400, "POST", C, inv),
            ("a control character", s.json(f"{C}/cast/identities", {"name": "a\u0007b"}), 400, "POST", I, inv),
            ("not UTF-8", s.json(f"{C}/cast/identities", b'{"name":"\xff"}'), 400, "POST", I, "bad_json"),
            ("an id as a name", s.json(C, {"name": "01ARZ3NDEKTSV4RRFFQ69G5FAV"}), 400, "POST", C, inv),
            ("no such model", s.json(C, {"name": "m", "model": "nosuch"}), 400, "POST", C, inv),
            ("no such rule", s.json(C, {"name": "m", "rule": "best"}), 400, "POST", C, inv),
            ("metadata over 16 KB", s.json(f"{C}/cast/identities", {"name": "m", "metadata": {"k": "v" * 17000}}), 413, "POST", I,
             "too_large"),
            ("an external id that is taken", s.json(f"{C}/cast/identities", {"name": "m", "external_id": "id-amy"}), 409, "POST", I,
             "conflict"),
            ("ten thousand at once", s.json(f"{C}/cast/identities", [{"name": "x" * 20}] * 10000), 413, "POST", I, "too_large"),
            ("an embedding too short", s.json(where, {"embedding": [1.0, 0.0]}), 422, "POST", WHO + "/examples", "bad_embedding"),
            ("an embedding of zeros", s.json(where, {"embedding": [0.0] * 128}), 422, "POST", WHO + "/examples", "bad_embedding"),
            ("an embedding beyond floats", s.json(where, {"embedding": [1e300] + unit[1:]}), 422, "POST", WHO + "/examples",
             "bad_embedding"),
            ("NaN", s.json(where, '{"embedding":[NaN]}'), 400, "POST", WHO + "/examples", "bad_json"),
            ("another recipe", s.json(where, {"embedding": unit, "recipe": "0" * 64}), 409, "POST", WHO + "/examples", "conflict"),
            ("another model", s.form(f"{C}/cast/identify", {"image": photo("amy", 4)}, query={"model": "vgg"}), 409, "POST",
             ONE + "/identify", "conflict"),
            ("no face", s.form(where, {"image": pictures.grey()}), 422, "POST", WHO + "/examples", "no_face"),
            ("fpir of 2", s.form(f"{C}/cast/identify", {"image": photo("amy", 4)}, query={"fpir": 2}), 400, "POST",
             ONE + "/identify", inv),
            ("verify whom?", s.form(f"{C}/cast/verify", {"image": photo("amy", 4)}), 400, "POST", ONE + "/verify", inv),
            ("limit of 0", s.request("GET", f"{C}/cast/identities?limit=0"), 400, "GET", I, inv)):
        t.answer(f"gallery: {name}", r, status, method, path, code)
    r = s.json(where, {"embeddings": [unit, unit[1:] + [1.0]]})
    if t.answer("gallery: embeddings", r, 201, "POST", WHO + "/examples"):
        t.check("gallery: both", len(r.json["examples"]) == 2 and r.json["examples"][0]["precision"] == "sent", r)


def together(t, s):
    """Writers and readers at once: no error, no lost update."""
    who = [s.json(f"{C}/cast/identities", {"name": f"writer {k}"}).json["id"] for k in range(4)]

    def one(i):
        k, n = i % 4, i // 4
        v = [0.0] * 128
        v[(i * 37) % 128], v[(i * 11 + 5) % 128] = 1.0, 0.5 + i / 100
        w = s.json(f"{C}/cast/identities/{who[k]}/examples", {"embedding": v, "force": True})
        r = s.request("GET", f"{C}/cast/identities/{who[k]}") if n % 2 else s.form(f"{C}/cast/identify", {"image": photo("amy", 4)})
        return w.status, r.status
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        got = set(pool.map(one, range(64)))
    t.check("gallery: sixteen at once, no error", got == {(201, 200)}, got)
    n = [s.request("GET", f"{C}/cast/identities/{i}").json for i in who]
    t.check("gallery: no update was lost", all(i["examples"] == 16 and i["version"] == 17 for i in n), n)


def calibrate(t, s):
    """A collection of its own: 40 people with three examples each, at known angles."""
    K = ONE + "/calibration"
    s.json(C, {"name": "angles", "rule": "centroid"})
    r = s.request("POST", f"{C}/angles/calibration")
    t.answer("calibration: of nothing", r, 422, "POST", K, "fmr_unsupported")
    rng = random.Random(5)
    for i in range(40):
        who = s.json(f"{C}/angles/identities", {"name": f"p{i}"}).json["id"]
        centre = [rng.gauss(0, 1) for _ in range(128)]
        vectors = [[c + rng.gauss(0, 0.3) for c in centre] for _ in range(3)]
        r = s.json(f"{C}/angles/identities/{who}/examples", {"embeddings": vectors})
        if r.status != 201:
            t.check("calibration: enrol", False, r)
            return
    r = s.request("POST", f"{C}/angles/calibration")
    if t.answer("calibration: measured", r, 200, "POST", K):
        t.check("calibration: of all pairs", r.json["people"] == 40 and r.json["genuine_pairs"] == 120
                and r.json["impostor_pairs"] == 7020 and r.json["rates"][0]["tar"] == 1, r)
    r = s.request("GET", f"{C}/angles/calibration")
    t.answer("calibration: in use", r, 200, "GET", K)
    r = s.form(f"{C}/angles/identify", {"image": photo("amy", 1)})
    if t.answer("calibration: identify", r, 200, "POST", ONE + "/identify"):
        t.check("calibration: decides", r.json["threshold"]["source"] == "collection:angles" and not r.json["fpir_guaranteed"]
                and r.json["images"][0]["faces"][0]["decision"] == "unknown", r)
    t.answer("calibration: dropped", s.request("DELETE", f"{C}/angles/calibration"), 200, "DELETE", K)
    r = s.request("GET", f"{C}/angles/calibration")
    t.check("calibration: the model's again", r.json["source"].startswith("lfw"), r)
    t.answer("gallery: erase a collection", s.request("DELETE", f"{C}/angles"), 200, "DELETE", ONE)
    t.answer("gallery: it is gone", s.request("GET", f"{C}/angles"), 404, "GET", ONE, "not_found")
