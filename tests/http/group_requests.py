"""Whole requests, one at a time: what must work, and every bad input with its own clear answer."""

import base64
import json

import client
import pictures
from contract import check_metrics

V, D, E = "/v1/verify", "/v1/detect", "/v1/embed"


def b64(data):
    return base64.b64encode(data).decode()


def good(t, s):
    """Photographs of ../shared."""
    if not pictures.have_shared():
        t.skip("requests: photographs", "no ../shared here")
        return
    a, b = pictures.lfw("Abdullah_Gul", 13), pictures.lfw("Abdullah_Gul", 14)
    other = pictures.lfw("AJ_Cook")
    r = s.form(V, {"image1": a, "image2": b})
    if t.answer("verify: the same person", r, 200, "POST", V):
        t.check("verify: says so", r.json["verified"] and r.json["decision"] == "match", r)
    r2 = s.json(V, {"image1": b64(a), "image2": "data:image/jpeg;base64," + b64(b)})
    if t.answer("verify: JSON", r2, 200, "POST", V):
        t.check("verify: JSON and form agree",
                {**r.json, "took_ms": 0} == {**r2.json, "took_ms": 0}, f"{r} {r2}")
    r = s.form(V, {"image1": a, "image2": other})
    if t.answer("verify: another person", r, 200, "POST", V):
        t.check("verify: says no", not r.json["verified"] and r.json["decision"] == "no_match", r)
    loose = s.form(V, {"image1": a, "image2": other, "fmr": "0.1"})
    if t.answer("verify: fmr as a field", loose, 200, "POST", V):
        t.check("verify: a looser rate has a lower threshold",
                loose.json["threshold"]["value"] < r.json["threshold"]["value"] and
                loose.json["threshold"]["fmr"] == 0.1, loose)
    t.answer("verify: fmr in the query", s.form(V, {"image1": a, "image2": b}, query={"fmr": "0.05"}), 200, "POST", V)
    group = pictures.read("cast/bbt1.jpg")
    big = {"min_size": "60"}  # its faces are larger: saves time, above all in a sanitizer's build
    r = s.form(V, {"image1": group, "image2": group}, query={"face": "all", **big})
    if t.answer("verify: all", r, 200, "POST", V):
        n = [len(x) for x in r.json["faces"]]
        t.check("verify: all compares every pair", len(r.json["pairs"]) == n[0] * n[1] and n[0] > 1, r)
        t.check("verify: a picture matches itself face by face",
                sorted(r.json["matches"]) == [[i, i] for i in range(n[0])] and r.json["unmatched"] == [[], []], r)
    t.answer("verify: single on a group", s.form(V, {"image1": a, "image2": group}, query={"face": "single", **big}), 422,
             "POST", V, "multiple_faces", ("image2",))
    for face in ("main", "largest"):
        t.answer(f"verify: {face}", s.form(V, {"image1": group, "image2": a, "face": face, **big}), 200, "POST", V)
    r = s.form(D, {"image": group}, query={"include": "mask,mask_png,chip", **big})
    if t.answer("detect: everything", r, 200, "POST", D):
        face = r.json["faces"][0]
        for what, data in (("chip", face["chip"]), ("mask", face["mask"]["png"])):
            t.check(f"detect: the {what} is a PNG", base64.b64decode(data).startswith(b"\x89PNG"), data[:40])
        sizes = [f["box"][2] * f["box"][3] for f in r.json["faces"]]
        t.check("detect: largest first", sizes == sorted(sizes, reverse=True), sizes)
    t.answer("detect: 68 points, or a clear no", s.form(D, {"image": a, "include": "landmarks68"}), (200, 409), "POST", D)
    r = s.form(D, {"image": group, "face": "main", **big})
    if t.answer("detect: main", r, 200, "POST", D):
        t.check("detect: main is one", len(r.json["faces"]) == 1, r)
    r, r2 = s.form(E, {"image": a}), s.json(E, {"image": b64(a), "retry": False, "min_size": 40, "face": "main"})
    t.answer("embed: JSON with options", r2, 200, "POST", E)
    if t.answer("embed", r, 200, "POST", E):
        v = r.json["faces"][0]["embedding"]
        t.check("embed: of unit length", abs(sum(x * x for x in v) - 1) < 1e-4, sum(x * x for x in v))
    r, r2 = s.form(E, {"image": a, "precropped": "true"}), s.json(E, {"image": b64(a), "precropped": True})
    if t.answer("embed: a chip", r, 200, "POST", E) and t.answer("embed: a chip in JSON", r2, 200, "POST", E):
        f = r.json["faces"]
        t.check("embed: a chip is one face, the whole picture", len(f) == 1 and f[0]["box"] == [0, 0, 250, 250]
                and f[0]["pass"] == "precropped" and f[0]["embedding"] == r2.json["faces"][0]["embedding"], r)
    t.answer("embed: a model by its name", s.form(E, {"image": a, "model": "dlib-resnet"}), 200, "POST", E)
    t.answer("embed: no such model", s.form(E, {"image": a, "model": "nobody"}), 400, "POST", E, "invalid_request")
    t.answer("embed: a detector as the model", s.json(E, {"image": b64(a), "model": "mtcnn-p"}), 400, "POST", E, "invalid_request")
    c = "/v1/classify"
    t.answer("classify: the default model has no classifier", s.form(c, {"image": a, "top": "3"}), 400, "POST", c, "invalid_request")
    t.answer("classify: top that is none", s.json(c, {"image": b64(a), "top": 0}), 400, "POST", c, "invalid_request")
    t.answer("a PNG field name with a path in it", s.request("POST", D, *crlf_names(a)), 200, "POST", D)


def crlf_names(a):
    """A form as browsers write it: file name with a path, no part type, boundary in quotes."""
    body = b'--"b\r\nContent-Disposition: form-data; filename="C:\\dir\\x.jpg"; name="image"\r\n\r\n' + a + b'\r\n--"b--\r\n'
    return body.replace(b'"b', b"bb"), {"Content-Type": 'multipart/form-data; boundary="bb"'}


def faceless(t, s):
    """No face is an error where one was asked for, and an empty list otherwise."""
    grey = pictures.grey()
    r = s.form(D, {"image": grey})
    if t.answer("detect: no face", r, 200, "POST", D):
        t.check("detect: no face is an empty list", r.json["faces"] == [], r)
    t.answer("detect: no face where one was asked", s.form(D, {"image": grey, "face": "main"}), 422, "POST", D,
             "no_face", ("image",))
    if pictures.have_shared():
        a = pictures.lfw("AJ_Cook")
        for face in ("main", "all"):
            for first, second, which in ((grey, a, "image1"), (a, grey, "image2")):
                r = s.form(V, {"image1": first, "image2": second, "face": face})
                t.answer(f"verify: no face in {which} ({face})", r, 422, "POST", V, "no_face", (which,))
                t.check(f"verify: details name {which} ({face})", r.json["error"]["details"] == {"image": which}, r)


def bad_pictures(t, s):
    grey = pictures.grey()
    for name, (data, codes) in pictures.bad().items():
        r = s.form(D, {"image": data})
        if None in codes and r.status == 200:
            t.check(f"bad picture, form: {name} does no harm", r.json["faces"] == [], r)
            continue
        t.answer(f"bad picture, form: {name}", r, (400, 413, 415), "POST", D, codes - {None}, ("image",))
        r = s.json(V, {"image1": b64(grey if not pictures.have_shared() else pictures.lfw("AJ_Cook")),
                       "image2": b64(data)})
        if data and pictures.have_shared():
            t.answer(f"bad picture, JSON: {name}", r, (400, 413, 415), "POST", V, codes, ("image2",))


def bad_forms(t, s):
    g = pictures.grey(64, 64)
    body, kind = client.form({"image1": g, "image2": g})
    inv = "invalid_request"
    for name, got, path, status, code, says in (
            ("an unknown field", s.form(V, {"image1": g, "picture2": g}), V, 400, inv, ("picture2", "image2")),
            ("the wrong route's field", s.form(D, {"image1": g}), D, 400, inv, ("image1",)),
            ("the second image missing", s.form(V, {"image1": g}), V, 400, inv, ("image2", "missing")),
            ("the first image missing", s.form(V, {"image2": g}), V, 400, inv, ("image1", "missing")),
            ("no fields at all", s.request("POST", V, b"--x--\r\n", {"Content-Type": "multipart/form-data; boundary=x"}),
             V, 400, inv, ()),
            ("an empty image", s.form(V, {"image1": g, "image2": b""}), V, 400, inv, ("image2", "empty")),
            ("an image twice", s.form(V, [("image1", g), ("image1", g), ("image2", g)]), V, 400, inv,
             ("image1", "twice")),
            ("an option twice", s.form(V, {"image1": g, "image2": g, "face": "all"}, query={"face": "all"}), V, 400, inv,
             ("face", "both")),
            ("face=most", s.form(V, {"image1": g, "image2": g, "face": "most"}), V, 400, inv, ("most", "single")),
            ("fmr=2", s.form(V, {"image1": g, "image2": g, "fmr": "2"}), V, 400, inv, ("fmr", "2")),
            ("fmr=nan", s.form(V, {"image1": g, "image2": g, "fmr": "nan"}), V, 400, inv, ("fmr",)),
            ("fmr=0.1x", s.form(V, {"image1": g, "image2": g}, query={"fmr": "0.1x"}), V, 400, inv, ("0.1x",)),
            ("min_size=1", s.form(D, {"image": g}, query={"min_size": "1"}), D, 400, inv, ("min_size",)),
            ("retry=maybe", s.form(D, {"image": g}, query={"retry": "maybe"}), D, 400, inv, ("maybe",)),
            ("precropped=maybe", s.form(E, {"image": g}, query={"precropped": "maybe"}), E, 400, inv, ("precropped", "maybe")),
            ("precropped on detect", s.form(D, {"image": g}, query={"precropped": "true"}), D, 400, inv, ("precropped",)),
            ("include=hat", s.form(D, {"image": g}, query={"include": "mask,hat"}), D, 400, inv, ("hat",)),
            ("include=", s.form(D, {"image": g}, query={"include": ""}), D, 400, inv, ("include",)),
            ("include on verify", s.form(V, {"image1": g, "image2": g}, query={"include": "mask"}), V, 400, inv,
             ("include",)),
            ("an unknown parameter", s.form(D, {"image": g}, query={"faces": "all"}), D, 400, inv, ("faces",)),
            ("a parameter twice", s.request("POST", D + "?face=all&face=main", body, {"Content-Type": kind}), D, 400, inv,
             ("face", "twice")),
            ("a NUL in a parameter", s.request("POST", D + "?face=all%00", body, {"Content-Type": kind}), D, 400, inv,
             ("NUL",)),
            ("a long option", s.form(D, {"image": g, "face": "x" * 100000}), D, 400, inv, ("face", "100000")),
            ("a NUL in an option", s.form(D, {"image": g, "face": "all\0x"}), D, 400, inv, ("face", "NUL")),
            ("65 fields", s.form(V, [(f"f{i}", b"x") for i in range(65)]), V, 400, inv, ("64",)),
            ("a long field name", s.form(V, {"n" * 300: b"x"}), V, 400, inv, ("300",)),
            ("a field name that is not UTF-8",
             s.request("POST", D, body.replace(b"image1", b"im\xe4ge"), {"Content-Type": kind}), D, 400, inv, ()),
            ("a form cut short", s.request("POST", V, body[:-30], {"Content-Type": kind}), V, 400, inv, ()),
            ("no boundary", s.request("POST", V, body, {"Content-Type": "multipart/form-data"}), V, 400, inv,
             ("boundary",)),
            ("another boundary", s.request("POST", V, body, {"Content-Type": "multipart/form-data; boundary=zzz"}), V,
             400, inv, ()),
            ("a part without a name", s.request("POST", V, body.replace(b'name="image1"; ', b""), {"Content-Type": kind}),
             V, 400, inv, ("name",)),
            ("an empty body", s.request("POST", V, b"", {"Content-Type": kind}), V, 400, inv, ("empty",)),
            ("an image over 20 MiB", s.form(V, {"image1": g, "image2": bytes(20 * 1024 * 1024 + 1)}), V, 413, "too_large",
             ("image2", "20971520")),
            ("fmr that no calibration supports",
             s.form(V, {"image1": good_face(g), "image2": good_face(g), "fmr": "1e-12"}), V, 422,
             "fmr_unsupported" if pictures.have_shared() else "no_face", ()),
    ):
        t.answer(f"bad form: {name}", got, status, "POST", path, code, says)


def good_face(otherwise):
    return pictures.lfw("AJ_Cook") if pictures.have_shared() else otherwise


def bad_json(t, s):
    g = b64(pictures.grey(64, 64))
    inv = "invalid_request"
    for name, value, code, says in (
            ("not JSON", b'{"image1":', "bad_json", ("line 1",)),
            ("bytes after it", b"{} x", "bad_json", ()),
            ("a key twice", f'{{"image1":"{g}","image1":"{g}","image2":"{g}"}}'.encode(), "bad_json", ("image1",)),
            ("not UTF-8", b'{"image1":"\xff"}', "bad_json", ()),
            ("a NUL character", b'{"image1":"\\u0000"}', "bad_json", ()),
            ("100,000 brackets", b"[" * 100000, "bad_json", ()),
            ("an array", [g, g], inv, ("object",)),
            ("a string", "\"x\"", "bad_json", ("line 1",)),
            ("an unknown field", {"image1": g, "image2": g, "img": 1}, inv, ("img",)),
            ("the second image missing", {"image1": g}, inv, ("image2", "missing")),
            ("null for an image", {"image1": g, "image2": None}, inv, ("image2",)),
            ("a number for an image", {"image1": 7, "image2": g}, inv, ("image1", "string")),
            ("fmr as a string", {"image1": g, "image2": g, "fmr": "0.1"}, inv, ("fmr", "number")),
            ("retry as a string", {"image1": g, "image2": g, "retry": "yes"}, inv, ("retry",)),
            ("face=most", {"image1": g, "image2": g, "face": "most"}, inv, ("most",)),
            ("fmr=0", {"image1": g, "image2": g, "fmr": 0}, inv, ("fmr",)),
            ("bad base64", {"image1": g, "image2": "ab$c"}, "bad_base64", ("image2", "2")),
            ("cut base64", {"image1": g, "image2": "abcde"}, "bad_base64", ("image2",)),
            ("a URL", {"image1": g, "image2": "https://example.org/x.jpg"}, "bad_base64", ("image2",)),
            ("an empty image", {"image1": g, "image2": ""}, inv, ("image2", "empty")),
    ):
        t.answer(f"bad JSON: {name}", s.json(V, value), 400, "POST", V, code, says)
    big = b64(bytes(20 * 1024 * 1024 + 3))
    t.answer("bad JSON: an image over 20 MiB", s.json(V, {"image1": g, "image2": big}), 413, "POST", V, "too_large",
             ("image2", "20971520"))


def bad_routes(t, s):
    t.answer("unknown route", s.request("GET", "/v1/nothing"), 404, code="not_found", says=("/v1/nothing",))
    t.answer("a slash too many", s.request("GET", "/v1/models/"), 404, code="not_found")
    t.answer("unknown route with a body", s.form("/v1/nothing", {"image": b"x"}), 404, code="not_found")
    t.answer("no server paths", s.request("GET", "/../../etc/passwd"), 404, code="not_found")
    for method, path, allow in (("DELETE", V, "POST"), ("GET", D, "POST"), ("POST", "/v1/models", "GET, HEAD"),
                                ("OPTIONS", E, "POST"), ("BREW", "/", "GET, HEAD")):
        r = s.request(method, path)
        if t.answer(f"{method} {path}", r, 405, code="method_not_allowed", says=(method,)):
            t.check(f"{method} {path}: Allow", r.headers.get("allow") == allow, r.headers)
    g = pictures.grey(64, 64)
    for kind in ("text/plain", "image/png", "application/x-www-form-urlencoded", "multipart/mixed; boundary=x", None):
        r = s.request("POST", D, g, {"Content-Type": kind} if kind else {})
        t.answer(f"content type {kind}", r, 415, "POST", D, "unsupported_media_type", ("multipart/form-data",))
    t.answer("a body where none is taken", s.request("GET", "/v1/models", b"x" * 100), 413, code="too_large")
    t.answer("a parameter where none is taken", s.request("GET", "/v1/models?x=1"), 400, "GET", "/v1/models",
             "invalid_request", ("x", "none"))


def information(t, s):
    r = s.request("GET", "/v1/models")
    if t.answer("models", r, 200, "GET", "/v1/models"):
        names = {m["name"] for m in r.json["models"]}
        t.check("models: the embedder is one of them", r.json["embedder"] in names, r)
    for path in ("/", "/health/live", "/health/ready", "/openapi.yaml", "/metrics"):
        r = s.request("GET", path)
        t.answer(f"GET {path}", r, 200, "GET", path)
        head = s.request("HEAD", path)
        t.check(f"HEAD {path}", head.status == 200 and head.body == b"" and
                (path == "/metrics" or head.headers["content-length"] == r.headers["content-length"]), head.headers)
    text = s.request("GET", "/metrics").body.decode()
    wrong = check_metrics(text)
    t.check("metrics: well formed", not wrong, wrong)
    for name in ("visavis_http_requests_total{", "visavis_stage_seconds_bucket{stage=\"detect\"", "visavis_queue_depth ",
                 "visavis_batch_rows_bucket{", "visavis_bytes_in_flight 0\n", "process_resident_memory_bytes "):
        t.check(f"metrics: has {name}", name in text, text[:200])
    r = s.request("GET", "/v1/jobs")
    t.answer("jobs: a list", r, 200, "GET", "/v1/jobs")
    t.check("jobs: none yet", r.json == {"items": [], "next_cursor": None}, r)
    t.answer("jobs: nobody's", s.request("GET", "/v1/jobs/01J9ZK3V5T8Q2W4X6Y7Z8A9B0C"), 404, "GET", "/v1/jobs/{id}", "not_found")
    with open(t.contract_path, "rb") as f:
        t.check("openapi.yaml: the file", s.request("GET", "/openapi.yaml").body == f.read())


def access_log(t, s):
    """One line a request, whole, and nothing of the picture in it."""
    r = s.form(D, {"image": pictures.grey(64, 64)}, query={"min_size": "33"})
    line = s.wait_log(lambda l: l.get("request_id") == r.headers["x-request-id"])
    if not t.check("log: the request's line", line, s.log[-1:]):
        return
    t.check("log: its fields", line["route"] == D and line["status"] == 200 and line["method"] == "POST" and
            line["bytes_out"] == len(r.body) and line["bytes_in"] > 100 and
            set(line["ms"]) == {"recv", "queue", "decode", "detect", "align", "embed", "store", "total"}, line)
    t.check("log: no query, no name", "33" not in json.dumps({**line, "ts": 0, "ms": 0, "request_id": 0, "bytes_in": 0,
                                                              "bytes_out": 0}), line)
    ids = [l["request_id"] for l in s.log if l.get("msg") == "request"]
    t.check("log: one line a request", len(ids) == len(set(ids)))
    strange = [l for l in s.log if l["msg"] not in ("listening", "request") or l.get("status", 0) >= 500]
    t.check("log: nothing else", not strange, strange[:3])


def run(t):
    t.contract_path = __import__("os").path.join(__import__("os").path.dirname(__file__), "..", "..", "openapi.yaml")
    with client.Server(t.binary) as s:
        for part in (good, faceless, bad_pictures, bad_forms, bad_json, bad_routes, information, access_log):
            part(t, s)
        t.check("memory: the bad inputs left nothing behind", s.metric("visavis_bytes_in_flight") == 0)
        t.check("ends well", s.stop() == 0, s.log[-3:])
