"""Clusters: the cast's photographs sent as files, as an archive and as a collection; reports in every form; acts and their undoing;
jobs; what is wrong with an input; the same after a restart."""

import io
import json
import os
import random
import shutil
import sqlite3
import struct
import tempfile
import time
import zipfile
import zlib

import client
import pictures

CAST = os.path.join(pictures.SHARED, "cast")
PEOPLE = ("amy", "bernadette", "howard", "leonard", "penny", "raj", "sheldon", "stuart")
R, ONE, JOB = "/v1/clusters", "/v1/clusters/{id}", "/v1/jobs/{id}"
PATIENCE_S = 300
NOBODY = "01J9ZK3V5T8Q2W4X6Y7Z8A9B0C"


def read(path):
    with open(path, "rb") as f:
        return f.read()


def cast():
    """(person, file name, bytes) of all 40."""
    return [(p, f, read(os.path.join(CAST, p, f))) for p in PEOPLE for f in sorted(os.listdir(os.path.join(CAST, p)))]


def form(fields, files=(), boundary="----visavis-test-boundary"):
    """As client.form, with file names: files are (field, file name, bytes)."""
    out = b""
    for name, value in fields.items():
        out += f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
    for name, file, data in files:
        out += (f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"; filename="{file}"\r\n'
                "Content-Type: application/octet-stream\r\n\r\n").encode() + data + b"\r\n"
    return out + f"--{boundary}--\r\n".encode(), f"multipart/form-data; boundary={boundary}"


def post(s, fields, files=(), query="", headers=None):
    body, kind = form(fields, files)
    return s.request("POST", R + query, body, {"Content-Type": kind, **(headers or {})})


def archive(members, **how):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", **how) as z:
        for name, data in members:
            z.writestr(name, data)
    return out.getvalue()


def names_of(report):
    """Whom each cluster is of, by the truth of its faces: sorted lists."""
    return sorted(sorted({report["faces"][i]["truth"] for i in c["members"]}) for c in report["clusters"])


def ends(s, job):
    """A job's last state."""
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        r = s.request("GET", f"/v1/jobs/{job}")
        if r.json.get("state") not in ("queued", "running"):
            return r
        time.sleep(0.02)
    return r


def run(t):
    if not os.path.isdir(CAST):
        t.skip("clusters", "no ../shared/data/faces/cast here")
        return
    data = tempfile.mkdtemp(prefix="visavis-clusters-")
    try:
        with client.Server(t.binary, data=data) as s:
            photographs(t, s)
            archives(t, s)
            bad_input(t, s)
            collection, report = gallery(t, s)
            before = s.request("GET", f"{R}/{report}").json
            job = post(s, {"face": "main", "job": "true"}, [("zip", "cast.zip", cast_zip())]).json["id"]
            t.check("it ends in order, with a job in work", s.stop() == 0, s.log[-2:])
        with client.Server(t.binary, data=data) as s:
            t.check("after a restart: the same report", s.request("GET", f"{R}/{report}").json == before)
            r = ends(s, job)
            t.check("after a restart: the job goes on", r.json["state"] == "done", r)
            t.answer("after a restart: its report", s.request("GET", f"{R}/{job}"), 200, "GET", ONE)
            erasing(t, s, collection, report)
            cancelling(t, s)
            expiring(t, s, data, job)
        memory(t)
        keys(t)
    finally:
        shutil.rmtree(data, ignore_errors=True)


def cast_zip():
    return archive([(f"cast/{p}/{f}", data) for p, f, data in cast()])


# --- photographs ---

def photographs(t, s):
    files = [("image", f, data) for _, f, data in cast()]
    r = post(s, {"face": "main"}, files)
    t.answer("40 photographs", r, 200, "POST", R)
    report = r.json
    t.check("are 8 people", len(report["clusters"]) == 8 and not report["outliers"], report["summary"])
    people = sorted(sorted({report["faces"][i]["file"][:-len("1.png")] for i in c["members"]})
                    for c in report["clusters"])
    t.check("each of one person", people == [[p] for p in PEOPLE], people)
    t.check("no truth is known", report["truth"] is None and report["collection"] is None)
    t.check("it is where Location says", r.headers["location"] == f"{R}/{report['id']}")
    t.check("no thumbnails unasked", not any("thumbnail" in f for f in report["faces"]))
    again = post(s, {"face": "main"}, files, "?thumbnails=true").json
    t.check("thumbnails when asked", all(f["thumbnail"].startswith("/9j/") for f in again["faces"]))
    for f in again["faces"]:
        del f["thumbnail"]
    for o in (again, report):
        for k in ("id", "created", "expires"):
            del o[k]
    t.check("the same again", again == report)
    one = s.request("GET", r.headers["location"])
    t.answer("the report", one, 200, "GET", ONE)
    formats(t, s, r.headers["location"])

    groups = [("image", f"bbt{n}.jpg", read(os.path.join(CAST, f"bbt{n}.jpg"))) for n in range(1, 6)]
    r = post(s, {}, groups + files[::4])
    t.answer("pictures of groups", r, 200, "POST", R)
    t.check("have several faces, which stay apart", all(
        len({r.json["faces"][i]["photo"] for i in c["members"]}) == c["size"] for c in r.json["clusters"]) and
        r.json["summary"]["faces"] > 30 and r.json["constraints"]["apart_pairs"] > 20, r.json["summary"])
    for how in ({"algorithm": "average", "cut": "0.9"}, {"algorithm": "complete", "fmr": "0.001"}, {"algorithm": "whispers"},
                {"algorithm": "kmeans", "k": "8"}, {"algorithm": "kmeans", "metric": "euclidean", "k_min": "6", "k_max": "9"},
                {"algorithm": "dbscan", "eps": "0.06", "min_points": "2"}, {"algorithm": "hdbscan", "min_size": "3"},
                {"k": "8", "layout": "none", "title": "Leute", "seed": "7"}):
        r = post(s, {"face": "main", **how}, files)
        t.answer(f"with {how}", r, 200, "POST", R)
        t.check(f"with {how}: groups of people", 6 <= len(r.json["clusters"]) <= 12 and
                r.json["algorithm"] == how.get("algorithm", "auto"), r.json["summary"])
    t.check("a title is kept", r.json["title"] == "Leute" and r.json["coordinates"]["layout"] is None)
    listing(t, s)
    r = s.request("DELETE", f"{R}/{r.json['id']}")
    t.answer("erase a report", r, 204, "DELETE", ONE)
    t.answer("once", s.request("DELETE", f"{R}/{NOBODY}"), 404, "DELETE", ONE, "not_found")


def formats(t, s, url):
    for name, kind, begin in (("json", "application/json", b"{"), ("html", "text/html", b"<!"), ("svg", "image/svg+xml", b"<"),
                              ("png", "image/png", b"\x89PNG\r\n\x1a\n")):
        r = s.request("GET", f"{url}?format={name}")
        t.answer(f"as {name}", r, 200, "GET", ONE)
        t.check(f"as {name}: it is", r.body[:len(begin)].lower() == begin.lower() and
                r.headers["content-type"].startswith(kind), r)
        a = s.request("GET", url, headers={"Accept": f"text/plain;q=0.3, {kind};q=0.9, */*"})
        t.check(f"as {name}: by Accept", a.body == r.body and a.headers["content-type"] == r.headers["content-type"], a)
    t.check("format is stronger", s.request("GET", url + "?format=json", headers={"Accept": "image/png"}).json["id"])
    t.check("anything is JSON", s.request("GET", url, headers={"Accept": "*/*"}).json["id"])
    t.answer("no such format", s.request("GET", url + "?format=pdf"), 400, "GET", ONE, "invalid_request", ("pdf", "svg"))
    t.answer("no such parameter", s.request("GET", url + "?size=2"), 400, "GET", ONE, "invalid_request", ("size",))
    t.answer("thumbnails are or are not", s.request("GET", url + "?thumbnails=2"), 400, "GET", ONE, "invalid_request")


def listing(t, s):
    r = s.request("GET", R)
    t.answer("the list", r, 200, "GET", R)
    all_ids = [i["id"] for i in r.json["items"]]
    t.check("the newest first", all_ids == sorted(all_ids, reverse=True) and len(all_ids) == 11, all_ids)
    paged, cursor = [], ""
    while cursor is not None:
        r = s.request("GET", f"{R}?limit=4{cursor and '&cursor='}{cursor}")
        t.answer("a page", r, 200, "GET", R)
        paged += [i["id"] for i in r.json["items"]]
        cursor = r.json["next_cursor"]
    t.check("in pages", paged == all_ids, paged)
    t.answer("no cursor", s.request("GET", R + "?cursor=x"), 400, "GET", R, "invalid_request")


# --- archives ---

def forged(name, stored, size, method=8):
    """A zip of one entry whose headers promise `size` bytes."""
    local = struct.pack("<4s5H3I2H", b"PK\3\4", 20, 0, method, 0, 0, 0, len(stored), size, len(name), 0) + name + stored
    entry = struct.pack("<4s6H3I5H2I", b"PK\1\2", 20, 20, 0, method, 0, 0, 0, len(stored), size, len(name), 0, 0, 0, 0, 0, 0)
    return local + entry + name + struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, 1, 1, len(entry) + len(name), len(local), 0)


def raw_deflate(data):
    c = zlib.compressobj(9, zlib.DEFLATED, -15)
    return c.compress(data) + c.flush()


def archives(t, s):
    r = post(s, {"face": "main"}, [("zip", "cast.zip", cast_zip())])
    t.answer("an archive", r, 200, "POST", R)
    t.check("its folders are the truth", r.json["truth"]["people"] == 8 and r.json["truth"]["bcubed_f"] == 1 and
            r.json["truth"]["ari"] == 1, r.json["truth"])
    t.check("its names", r.json["faces"][0]["file"] == "cast.zip/cast/amy/amy1.png" and names_of(r.json) == [[p] for p in PEOPLE],
            r.json["faces"][0])
    good = [(f"{p}/{f}", data) for p, f, data in cast()[:10]]
    bad = {"notes.txt": b"hello", "broken.png": good[0][1][:3000], "../up.png": good[0][1], "/abs.png": good[0][1],
           "a\\..\\b.png": good[0][1], "inner.zip": archive(good[:1]), "empty.png": b"", "zeros.png": bytes(5_000_000),
           "nobody.png": pictures.png(64, 64), "big.bin": os.urandom(21 << 20)}
    r = post(s, {"face": "main"}, [("zip", "mixed.zip", archive(good + list(bad.items()), compression=zipfile.ZIP_DEFLATED))])
    t.answer("an archive with all that is bad", r, 200, "POST", R)
    skipped = {i["file"]: i for i in r.json["skipped"]}
    t.check("names each", {"mixed.zip/" + n for n in bad} == set(skipped), skipped)
    t.check("and clusters the rest", r.json["summary"]["faces"] == 10 and names_of(r.json) == [["amy"], ["bernadette"]],
            r.json["summary"])
    for name, code, says in (("notes.txt", "unsupported_image", "JPEG"), ("broken.png", "bad_image", ""),
                             ("../up.png", "invalid_request", "outside"), ("/abs.png", "invalid_request", "outside"),
                             ("a\\..\\b.png", "invalid_request", "outside"), ("inner.zip", "unsupported_image", "archive"),
                             ("zeros.png", "too_large", "100 times"), ("nobody.png", "no_face", "no face"),
                             ("big.bin", "too_large", "20971520")):
        got = skipped.get("mixed.zip/" + name, {})
        t.check(f"{name}: {code}", got.get("code") == code and says in got.get("message", ""), got)

    def refuse(name, data, status, code, says=()):
        t.answer(name, post(s, {}, [("zip", "x.zip", data)]), status, "POST", R, code, says)
    refuse("no archive", b"hello", 400, "invalid_request", ("x.zip",))
    refuse("half of one", cast_zip()[:-200], 400, "invalid_request", ("x.zip",))
    refuse("an empty one", archive([]), 400, "invalid_request", ("x.zip",))
    lying = forged(b"a.png", raw_deflate(bytes(3 << 20)), 1000)
    encrypted = bytearray(archive([("a.png", good[0][1])]))
    encrypted[6] |= 1
    encrypted[encrypted.rindex(b"PK\1\2") + 8] |= 1
    for name, data, says in (("longer than it promises", lying, "1000"), ("encrypted", bytes(encrypted), "encrypted"),
                             ("a bomb", forged(b"a.png", raw_deflate(bytes(15 << 20)), 15 << 20), "100 times"),
                             ("an unknown method", forged(b"a.png", b"xx", 100, 77), "unpacked")):
        r = post(s, {}, [("zip", "x.zip", data)])
        t.answer(name, r, 422, "POST", R, "no_face")
        got = r.json["error"]["details"].get("skipped", [{}])[0]
        t.check(f"{name}: says so", says in got.get("message", ""), r)
    many = archive([(f"{i}.png", b"") for i in range(20001)])
    refuse("too many entries", many, 413, "too_large", ("20001", "20000"))
    entries = b"".join(struct.pack("<4s6H3I5H2I", b"PK\1\2", 20, 20, 0, 8, 0, 0, 0, 9, 19 << 20, 5, 0, 0, 0, 0, 0, 0) + b"%05d" % i
                       for i in range(200))
    refuse("too much together", entries + struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, 200, 200, len(entries), 0, 0), 413, "too_large",
           ("MB", "2048"))
    r = post(s, {"face": "main"}, [("image", "x.zip", cast_zip()), *[("image", f, d) for _, f, d in cast()[:3]]])
    t.check("an archive as an image is skipped", [i["code"] for i in r.json["skipped"]] == ["unsupported_image"], r)


def bad_input(t, s):
    three = [("image", f, data) for _, f, data in cast()[:3]]

    def refuse(name, fields, status, code, says, files=three):
        t.answer(name, post(s, fields, files), status, "POST", R, code, says)
    refuse("k of 0", {"k": "0"}, 400, "invalid_request", ("k", "1"))
    refuse("k over the faces", {"k": "9", "face": "main"}, 400, "invalid_request", ("9", "3"))
    refuse("k over all faces", {"k": "50"}, 400, "invalid_request", ("50",))
    refuse("a word for k", {"k": "many"}, 400, "invalid_request", ("k", "many"))
    refuse("no algorithm", {"algorithm": "magic"}, 400, "invalid_request", ("magic", "hdbscan"))
    refuse("cut and fmr", {"cut": "0.9", "fmr": "0.01"}, 400, "invalid_request", ("cut", "fmr"))
    refuse("cut and k", {"cut": "0.9", "k": "2"}, 400, "invalid_request", ("cut", "k"))
    refuse("cut out of range", {"cut": "1.5"}, 400, "invalid_request", ("cut",))
    refuse("a rate that the calibration has not", {"fmr": "1e-9"}, 422, "fmr_unsupported", ())
    refuse("k_min over k_max", {"k_min": "5", "k_max": "3"}, 400, "invalid_request", ("5", "3"))
    refuse("no option", {"colour": "red"}, 400, "invalid_request", ("colour",))
    refuse("tag without a collection", {"tag": "staff"}, 400, "invalid_request", ("tag",))
    refuse("a model that is not there", {"model": "nix"}, 400, "invalid_request", ("nix",))
    refuse("euclid with dbscan", {"metric": "euclidean", "algorithm": "dbscan"}, 400, "invalid_request", ("Euclid",))
    refuse("nothing", {"k": "2"}, 400, "invalid_request", ("image", "zip"), ())
    refuse("an empty picture", {}, 400, "invalid_request", ("empty",), [("image", "a", b"")])
    refuse("no picture at all", {}, 422, "no_face", ("1",), [("image", "a", b"text")])
    t.answer("an option twice", post(s, {"k": "2"}, three, "?k=2"), 400, "POST", R, "invalid_request", ("k",))
    t.answer("JSON without a collection", s.json(R, {"k": 2}), 400, "POST", R, "invalid_request", ("collection",))
    t.answer("no such collection", s.json(R, {"collection": "nix"}), 404, "POST", R, "not_found")
    t.answer("no JSON", s.json(R, b"{"), 400, "POST", R, "bad_json")
    t.answer("no such report", s.request("GET", f"{R}/{NOBODY}"), 404, "GET", ONE, "not_found")
    t.answer("a strange id", s.request("GET", f"{R}/%27;--"), 404, "GET", ONE, "not_found")
    same = [("image", f"{i}.png", cast()[0][2]) for i in range(5)]
    r = post(s, {"face": "main"}, same)
    t.answer("the same picture five times", r, 200, "POST", R)
    t.check("is one person", [c["size"] for c in r.json["clusters"]] == [5], r.json["summary"])
    for how in ({"algorithm": "kmeans", "k": "2"}, {"algorithm": "kmeans"}, {"algorithm": "hdbscan"}, {"k_max": "4"}):
        t.answer(f"all identical, {how}", post(s, {"face": "main", **how}, same), (200, 400), "POST", R)
    t.answer("one face", post(s, {"face": "main"}, three[:1]), 200, "POST", R)


# --- a collection ---

def enrol(s, collection, person, n):
    return s.form(f"/v1/collections/{collection}/examples", [("image", read(os.path.join(CAST, person, f"{person}{n}.png"))),
                                                             ("face", "main"), ("force", "true")])


def act(s, report, what, body, headers=None):
    return s.json(f"{R}/{report}/{what}", body, headers)


def cluster_of(report, person, people):
    """The cluster that has most faces of a person. people: example -> person."""
    return max(report["clusters"], key=lambda c: sum(people[report["faces"][i]["example"]] == person for i in c["members"]))["cluster"]


def undo(t, s, collection, what):
    r = s.request("POST", f"/v1/collections/{collection}/undo")
    t.answer(f"undo {what}", r, 200, "POST", "/v1/collections/{c}/undo")
    t.check(f"undo {what}: that", r.json["undone"] == what, r)


def identities(s, collection):
    items = s.request("GET", f"/v1/collections/{collection}/identities").json["items"]
    return {i["name"]: i["examples"] for i in items}


def gallery(t, s):
    collection = s.json("/v1/collections", {"name": "visitors", "keep_thumbnails": True}).json["id"]
    t.answer("an empty collection", s.json(R, {"collection": "visitors"}), 422, "POST", R, "no_face", ("no example",))
    t.answer("an empty collection, as a job", s.json(R, {"collection": "visitors", "job": True}), 422, "POST", R, "no_face")
    people = {}
    for p in PEOPLE:
        for n in range(1, 5):
            people[enrol(s, collection, p, n).json["examples"][0]["id"]] = p
    r = s.json(R, {"collection": "visitors", "unassigned": True})
    t.answer("a collection", r, 200, "POST", R)
    report, rid = r.json, r.json["id"]
    who = sorted(sorted({people[report["faces"][i]["example"]] for i in c["members"]}) for c in report["clusters"])
    t.check("its eight people", who == [[p] for p in PEOPLE] and report["collection"] == collection and
            report["title"] == "visitors", report["summary"])
    t.check("no identity, no truth", report["truth"] is None and not any(f["identity"] for f in report["faces"]))
    t.check("the examples' thumbnails", all("thumbnail" in f for f in s.request("GET", f"{R}/{rid}?thumbnails=true").json["faces"]))
    t.answer("another model", s.json(R, {"collection": "visitors", "model": "vggface"}), 409, "POST", R, "conflict", ("vggface",))
    t.answer("k over the examples", s.json(R, {"collection": "visitors", "k": 50}), 400, "POST", R, "invalid_request", ("50", "32"))
    t.answer("nobody with that tag", s.json(R, {"collection": "visitors", "tag": "staff"}), 422, "POST", R, "no_face", ("tag",))
    t.answer("face is not for it", s.json(R, {"collection": "visitors", "face": "main"}), 400, "POST", R, "invalid_request", ("face",))
    acts(t, s, collection, rid, people)
    names(t, s, collection, people)
    incremental(t, s, collection, rid, people)
    as_job(t, s, collection)
    return collection, rid


def acts(t, s, collection, rid, people):
    first = s.request("GET", f"{R}/{rid}").json
    amy, raj, penny = (cluster_of(first, p, people) for p in ("amy", "raj", "penny"))
    r = act(s, rid, "promote", {"cluster": amy, "name": "Amy", "external_id": "a-1", "state": 0}, {"Idempotency-Key": "amy"})
    t.answer("promote", r, 200, "POST", ONE + "/promote")
    t.check("promote: four examples", r.json["moved"] == 4 and r.json["identity"]["examples"] == 4 and
            r.json["identity"]["external_id"] == "a-1" and r.json["state"] == 1, r)
    again = act(s, rid, "promote", {"cluster": amy, "name": "Amy", "external_id": "a-1", "state": 0}, {"Idempotency-Key": "amy"})
    t.check("promote: once for one key", again.body == r.body and again.headers.get("idempotency-replayed") == "true", again)
    report = s.request("GET", f"{R}/{rid}").json
    mine = [f for f in report["faces"] if f["cluster"] == amy]
    t.check("the report knows her", all(f["name"] == "Amy" and f["identity"] == r.json["identity"]["id"] for f in mine) and
            report["clusters"][amy]["label"] == "Amy" and report["state"] == 1, mine[0])
    t.check("and what was done", [(a["act"], a["cluster"], a["can_undo"]) for a in report["acts"]] == [("promote", amy, True)],
            report["acts"])
    t.answer("promote again", act(s, rid, "promote", {"cluster": amy, "name": "B"}), 409, "POST", ONE + "/promote", "conflict",
             ("identity already",))
    t.answer("an old state", act(s, rid, "promote", {"cluster": raj, "name": "B", "state": 0}), 412, "POST", ONE + "/promote",
             "precondition_failed", ("1", "0"))
    t.answer("no name", act(s, rid, "promote", {"cluster": raj}), 400, "POST", ONE + "/promote", "invalid_request", ("name",))
    t.answer("no cluster", act(s, rid, "promote", {"name": "B"}), 400, "POST", ONE + "/promote", "invalid_request", ("cluster",))
    t.answer("no such cluster", act(s, rid, "promote", {"cluster": 8, "name": "B"}), 400, "POST", ONE + "/promote",
             "invalid_request", ("cluster", "7"))
    t.answer("a taken external id", act(s, rid, "promote", {"cluster": raj, "name": "B", "external_id": "a-1"}), 409, "POST",
             ONE + "/promote", "conflict")
    t.check("a refusal leaves nothing", identities(s, collection) == {"Amy": 4})

    other = s.json(f"/v1/collections/{collection}/identities", {"name": "Raj"}).json["id"]
    r = act(s, rid, "assign", {"cluster": raj, "identity": other})
    t.answer("assign", r, 200, "POST", ONE + "/assign")
    t.check("assign: his", r.json["moved"] == 4 and identities(s, collection) == {"Amy": 4, "Raj": 4}, r)
    t.answer("assign to nobody", act(s, rid, "assign", {"cluster": penny, "identity": NOBODY}), 404, "POST", ONE + "/assign",
             "not_found")

    r = act(s, rid, "merge", {"clusters": [amy, raj]})
    t.answer("merge", r, 200, "POST", ONE + "/merge")
    merged = s.request("GET", f"{R}/{rid}").json
    t.check("merge: seven, one of eight faces", r.json["clusters"] == 7 == len(merged["clusters"]) and
            merged["clusters"][min(amy, raj)]["size"] == 8 and
            merged["clusters"][min(amy, raj)]["cohesion"] < first["clusters"][amy]["cohesion"], merged["summary"])
    t.check("merge: the scores follow", merged["summary"]["clusters"] == 7 and
            s.request("GET", R).json["items"][0]["summary"]["clusters"] == 7)
    t.check("merge: the plane stays", [f["layout"] for f in merged["faces"]] == [f["layout"] for f in first["faces"]] and
            [f["pca"] for f in merged["faces"]] == [f["pca"] for f in first["faces"]])
    back = [i for i, f in enumerate(merged["faces"]) if people[f["example"]] == "raj"]
    r = act(s, rid, "split", {"cluster": min(amy, raj), "faces": back})
    t.answer("split", r, 200, "POST", ONE + "/split")
    split = s.request("GET", f"{R}/{rid}").json
    t.check("split: eight again, the last is new", split["clusters"][7]["members"] and
            sorted(split["clusters"][7]["members"]) == back, split["clusters"][7])
    lone = split["clusters"][0]["members"][-1]
    r = act(s, rid, "outlier", {"faces": [lone]})
    t.answer("outlier", r, 200, "POST", ONE + "/outlier")
    out = s.request("GET", f"{R}/{rid}").json
    t.check("outlier: it is", r.json["outliers"] == 1 and [o["face"] for o in out["outliers"]] == [lone] and
            out["faces"][lone]["cluster"] is None and out["outliers"][0]["nearest"] == 0, out["outliers"])
    for name, what, body, says in (("split off all", "split", {"cluster": 1, "faces": out["clusters"][1]["members"]}, "none stays"),
                                   ("a face of another", "split", {"cluster": 1, "faces": [out["clusters"][0]["members"][0]]}, "not in"),
                                   ("faces that are not", "outlier", {"faces": [999]}, "999"),
                                   ("no faces", "outlier", {"faces": []}, "empty"),
                                   ("faces that are no numbers", "outlier", {"faces": ["a"]}, "faces[0]"),
                                   ("faces twice outside", "outlier", {"faces": [lone]}, "no cluster"),
                                   ("merge one", "merge", {"clusters": [1]}, "two"),
                                   ("merge it with itself", "merge", {"clusters": [1, 1]}, "twice"),
                                   ("merge what is not", "merge", {"clusters": [1, 99]}, "99")):
        t.answer(name, act(s, rid, what, body), 400, "POST", f"{ONE}/{what}", "invalid_request", (says,))
    for what, state, clusters in (("outlier", split, 8), ("split", merged, 7)):
        undo(t, s, collection, what)
        now = s.request("GET", f"{R}/{rid}").json
        t.check(f"undo {what}: the report is back", now == state and len(now["clusters"]) == clusters)
    undo(t, s, collection, "merge")
    undo(t, s, collection, "assign")
    t.check("undo assign: nobody's again", identities(s, collection) == {"Amy": 4, "Raj": 0})
    undo(t, s, collection, "promote")
    t.check("undo promote: she is gone", identities(s, collection) == {"Raj": 0})
    t.check("and the report is as it was", s.request("GET", f"{R}/{rid}").json == first)
    log = [a["action"] for a in s.request("GET", "/v1/audit?limit=100").json["items"]]
    t.check("all of it is audited", [a for a in log if a.startswith("report.")][:5] ==
            ["report.outlier", "report.split", "report.merge", "report.assign", "report.promote"], log)
    one = post(s, {"face": "main"}, [("image", f, d) for _, f, d in cast()[:3]]).json["id"]
    t.answer("acts are for collections", act(s, one, "merge", {"clusters": [0, 1]}), 409, "POST", ONE + "/merge", "conflict")
    t.answer("update too", act(s, one, "update", {}), 409, "POST", ONE + "/update", "conflict")


def names(t, s, collection, people):
    """Identities are the truth, and stay together."""
    ids = {}
    for example, p in people.items():
        if p in ("amy", "howard"):
            ids.setdefault(p, s.json(f"/v1/collections/{collection}/identities", {"name": p}).json["id"])
            s.json(f"/v1/collections/{collection}/examples/{example}/move", {"identity": ids[p]})
    r = s.json(R, {"collection": collection})
    t.answer("with two who are known", r, 200, "POST", R)
    t.check("they are the truth", r.json["truth"]["people"] == 2 and r.json["truth"]["faces"] == 8 and
            r.json["truth"]["bcubed_f"] == 1 and r.json["constraints"]["together"] == 2, r.json["truth"])
    t.check("and name their clusters", {"amy", "howard"} <= {c["label"] for c in r.json["clusters"]})
    r = s.json(R, {"collection": collection, "k": 20})
    t.check("confirmed members stay together", all(
        len({f["cluster"] for f in r.json["faces"] if f["name"] == p}) == 1 for p in ("amy", "howard")), r)
    r = s.json(R, {"collection": collection, "algorithm": "complete", "cut": 1, "must_link": False})
    t.check("unless asked otherwise", r.json["constraints"]["together"] == 0 and
            len({f["cluster"] for f in r.json["faces"] if f["name"] == "amy"}) == 4, r)
    r = s.json(R, {"collection": collection, "unassigned": True})
    t.check("only who is nobody's", r.json["summary"]["faces"] == 24, r.json["summary"])


def incremental(t, s, collection, rid, people):
    before = s.request("GET", f"{R}/{rid}").json
    r = act(s, rid, "update", {"full": True})
    t.answer("update with nothing new", r, 200, "POST", ONE + "/update")
    t.check("is nothing", r.json["added"] == 0 and r.json["undo"] is None and r.json["state"] == 0 and
            r.json["would_move"] == 0, r)
    new = [enrol(s, collection, p, 5).json["examples"][0]["id"] for p in ("penny", "raj")]
    stranger = s.form(f"/v1/collections/{collection}/examples", [("image", pictures.lfw("Aaron_Peirsol")), ("face", "main")])
    new.append(stranger.json["examples"][0]["id"])
    r = act(s, rid, "update", {"full": True})
    t.answer("update", r, 200, "POST", ONE + "/update")
    want = [cluster_of(before, "penny", people), cluster_of(before, "raj", people), None]
    t.check("each to its own", [(j["example"], j["cluster"]) for j in r.json["joined"]] == list(zip(new, want)) and
            r.json["added"] == 3 and r.json["added_outliers"] == 1 and r.json["would_move"] == 0, r)
    after = s.request("GET", f"{R}/{rid}").json
    t.answer("the report", s.request("GET", f"{R}/{rid}"), 200, "GET", ONE)
    t.check("has them", len(after["faces"]) == 35 and [f["cluster"] for f in after["faces"][32:]] == want and
            after["faces"][32]["layout"] in [f["layout"] for f in after["faces"][:32]] and
            [f["cluster"] for f in after["faces"][:32]] == [f["cluster"] for f in before["faces"]], after["summary"])
    t.answer("an act on new faces", act(s, rid, "outlier", {"faces": [33]}), 200, "POST", ONE + "/outlier")
    undo(t, s, collection, "outlier")
    undo(t, s, collection, "update")
    t.check("undo update", s.request("GET", f"{R}/{rid}").json == before)
    fixed = s.json(R, {"collection": collection, "algorithm": "kmeans", "k": 8}).json["id"]
    enrol(s, collection, "amy", 5)
    t.answer("update without a cut", act(s, fixed, "update", {}), 409, "POST", ONE + "/update", "conflict", ("cut",))


def as_job(t, s, collection):
    r = s.json(R, {"collection": collection, "job": True})
    t.answer("a collection as a job", r, 202, "POST", R)
    job = r.json["id"]
    t.check("where it is", r.headers["location"] == f"/v1/jobs/{job}" and r.json["kind"] == "cluster" and
            r.json["collection"] == collection, r)
    r = ends(s, job)
    t.answer("the job ends", r, 200, "GET", JOB)
    result = s.request("GET", r.json["result"]["url"]).json
    t.check("its result names the report", result["report"] == f"{R}/{job}" and result["clusters"] >= 8, result)
    t.answer("the job's report", s.request("GET", f"{R}/{job}"), 200, "GET", ONE)
    files = [("image", f"{n}{f}", d) for n in range(2) for _, f, d in cast()[:31]]
    r = post(s, {"face": "main"}, files)
    t.answer("many photographs are a job", r, 202, "POST", R)
    t.check("with their files", r.json["uploads"] == 62, r)
    job = r.json["id"]
    t.answer("its report is not there yet", s.request("GET", f"{R}/{job}"), (404, 200))
    t.check("it is done", ends(s, job).json["state"] == "done")
    r = s.request("GET", f"{R}/{job}?thumbnails=true")
    t.answer("62 photographs", r, 200, "GET", ONE)
    t.check("all in it", r.json["summary"]["faces"] == 62 and "thumbnail" in r.json["faces"][61], r.json["summary"])
    job = post(s, {"job": "true", "k": "9"}, [("image", f, d) for _, f, d in cast()[:3]]).json["id"]
    r = ends(s, job)
    t.check("a job that cannot be says why", r.json["state"] == "failed" and r.json["error"]["code"] == "invalid_request" and
            "9" in r.json["error"]["message"], r)
    t.answer("and has no report", s.request("GET", f"{R}/{job}"), 404, "GET", ONE, "not_found")


# --- their end ---

def erasing(t, s, collection, report):
    faces = s.request("GET", f"{R}/{report}").json["faces"]
    mine = [i["id"] for i in s.request("GET", R).json["items"] if i["collection"]]
    r = s.request("DELETE", f"/v1/collections/{collection}/examples/{faces[3]['example']}")
    t.answer("erase an example", r, 200, "DELETE", "/v1/collections/{c}/examples/{e}")
    t.check("and the reports that show it", r.json["erased"]["reports"] >= 1 and
            s.request("GET", f"{R}/{report}").status == 404, (r, mine))
    r = s.json(R, {"collection": collection})
    amy = next(f["identity"] for f in r.json["faces"] if f["name"] == "amy")
    howard = s.json(R, {"collection": collection, "unassigned": True}).json["id"]
    e = s.request("DELETE", f"/v1/collections/{collection}/identities/{amy}")
    t.answer("erase an identity", e, 200, "DELETE", "/v1/collections/{c}/identities/{i}")
    t.check("its reports go", e.json["erased"]["reports"] >= 1 and s.request("GET", f"{R}/{r.json['id']}").status == 404, e)
    t.check("those of others stay", s.request("GET", f"{R}/{howard}").status == 200)
    e = s.request("DELETE", f"/v1/collections/{collection}")
    t.check("a collection takes its reports along", e.json["erased"]["reports"] >= 1 and
            s.request("GET", f"{R}/{howard}").status == 404, e)
    left = s.request("GET", R).json["items"]
    t.check("photographs' reports are left", left and not any(i["collection"] for i in left))


def cancelling(t, s):
    job = post(s, {"job": "true"}, [("image", f"{n}{f}", d) for n in range(2) for _, f, d in cast()[:30]]).json["id"]
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end and s.request("GET", f"/v1/jobs/{job}").json["phase"] != "embedding":
        time.sleep(0.01)
    t.answer("cancel a job at work", s.request("DELETE", f"/v1/jobs/{job}"), 200, "DELETE", JOB)
    t.check("it is cancelled", ends(s, job).json["state"] == "cancelled")
    t.answer("and has no report", s.request("GET", f"{R}/{job}"), 404, "GET", ONE, "not_found")


def expiring(t, s, data, report):
    with sqlite3.connect(os.path.join(data, "visavis.db"), timeout=30) as db:
        db.execute("UPDATE reports SET expires_ms = 1 WHERE id = ?", (report,))
    s.stop()
    with client.Server(t.binary, data=data) as again:
        end = time.monotonic() + PATIENCE_S
        while time.monotonic() < end and again.request("GET", f"{R}/{report}").status == 200:
            time.sleep(0.1)
        t.answer("a report that is over its time", again.request("GET", f"{R}/{report}"), 404, "GET", ONE, "not_found")


def memory(t):
    """A bound of 1 MB, and more faces than it holds."""
    with client.Server(t.binary, "--cluster-memory", "1") as s:
        for how in ({"face": "main"}, {"face": "main", "job": "true"}):
            r = post(s, how, [("zip", "x.zip", archive([(f"{i}.png", b"x") for i in range(600)]))])
            t.answer(f"over the memory, {how}", r, 413, "POST", R, "too_large", ("MB", "600"))
        crowd(s, "small", 1000)
        for how in ({}, {"job": True}):
            t.answer(f"a collection over the memory, {how}", s.json(R, {"collection": "small", **how}), 413, "POST", R, "too_large",
                     ("MB", "1000"))
        t.check("nothing was started", not s.request("GET", "/v1/jobs").json["items"])
    with client.Server(t.binary) as s:
        crowd(s, "crowd", 1000)
        r = s.json(R, {"collection": "crowd"})
        t.answer("1,000 examples are a job", r, 202, "POST", R)
        job = r.json["id"]
        t.check("1,000 examples: done", ends(s, job).json["state"] == "done")
        r = s.request("GET", f"{R}/{job}")
        t.answer("1,000 examples", r, 200, "GET", ONE)
        t.check("1,000 examples: 50 groups", sorted(c["size"] for c in r.json["clusters"]) == [20] * 50, r.json["summary"])


def crowd(s, name, n):
    """A collection of n embeddings in groups of 20."""
    s.json("/v1/collections", {"name": name})
    chance = random.Random(5)
    centres = [[chance.gauss(0, 1) for _ in range(128)] for _ in range(n // 20)]
    rows = [[x + chance.gauss(0, 0.1) for x in centres[i % len(centres)]] for i in range(n)]
    s.json(f"/v1/collections/{name}/examples", {"embeddings": rows, "force": True})


def keys(t):
    with client.Server(t.binary) as s:
        def key(right, **more):
            return {"X-API-Key": s.json("/v1/keys", {"name": right, "right": right, **more}).json["secret"]}
        c = s.json("/v1/collections", {"name": "c"}).json["id"]
        s.json("/v1/collections", {"name": "other"})
        for p in ("amy", "raj"):
            for n in range(1, 4):
                enrol(s, c, p, n)
                enrol(s, "other", p, n)
        a, b, ro, mine = key("write"), key("write"), key("read"), key("write", collection="c")
        r = s.json(R, {"collection": "c"}, a)
        rid = r.json["id"]
        t.answer("a key's report", s.request("GET", f"{R}/{rid}", headers=a), 200, "GET", ONE)
        t.answer("is not another's", s.request("GET", f"{R}/{rid}", headers=b), 404, "GET", ONE, "not_found")
        t.check("nor in its list", not s.request("GET", R, headers=b).json["items"] and
                len(s.request("GET", R, headers=a).json["items"]) == 1)
        t.answer("without a key all", s.request("GET", f"{R}/{rid}"), 200, "GET", ONE)
        t.answer("another's act", act(s, rid, "merge", {"clusters": [0, 1]}, b), 404, "POST", ONE + "/merge", "not_found")
        r = s.json(R, {"collection": "c"}, ro)
        t.answer("who may read may ask", r, 200, "POST", R)
        t.answer("but not act", act(s, r.json["id"], "merge", {"clusters": [0, 1]}, ro), 403, "POST", ONE + "/merge", "forbidden")
        r = s.json(R, {"collection": "c"}, mine)
        t.answer("a key of the collection", r, 200, "POST", R)
        t.answer("may act on it", act(s, r.json["id"], "merge", {"clusters": [0, 1]}, mine), 200, "POST", ONE + "/merge")
        t.answer("and on no other", s.json(R, {"collection": "other"}, mine), 403, "POST", R, "forbidden")
        r = post(s, {"face": "main"}, [("image", f, d) for _, f, d in cast()[:3]], headers=mine)
        t.answer("a key of the collection, with photographs", r, 200, "POST", R)
        t.answer("erases its own", s.request("DELETE", f"{R}/{r.json['id']}", headers=mine), 204, "DELETE", ONE)
        job = s.json(R, {"collection": "c", "job": True}, a).json["id"]
        end = time.monotonic() + PATIENCE_S
        while time.monotonic() < end and s.request("GET", f"{R}/{job}", headers=a).status != 200:
            time.sleep(0.05)
        t.answer("a job's report is its key's", s.request("GET", f"{R}/{job}", headers=a), 200, "GET", ONE)
        t.answer("and nobody else's", s.request("GET", f"{R}/{job}", headers=b), 404, "GET", ONE, "not_found")
        t.check("JSON of the list", json.dumps(s.request("GET", R).json["items"]).count(c) >= 4)
