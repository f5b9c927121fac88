"""Several embedders behind one server: the default one and the mini VGG-Face of ../shared under two names, imported for the test.

vgg-a has names for its classes, vgg-b has none; --model-memory has room for one of them beside the default model."""

import concurrent.futures
import hashlib
import json
import os
import struct
import subprocess
import tempfile
import time

import client
import pictures

C, E, V, M = "/v1/classify", "/v1/embed", "/v1/verify", "/v1/models"
MINI = os.path.join(pictures.SHARED, "..", "..", "goldens", "vggface-mini", "caffe-v2.caffemodel")
DEFAULTS = ("mtcnn-p", "mtcnn-r", "mtcnn-o", "dlib-5point", "dlib-resnet")


def make_models(t, folder):
    ours = os.environ.get("VISAVIS_MODELS") or os.path.join(
        os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "visavis", "models")
    for name in DEFAULTS:
        os.symlink(os.path.join(ours, name + ".safetensors"), os.path.join(folder, name + ".safetensors"))
    write_silent(os.path.join(folder, "nothing.safetensors"))
    names = os.path.join(folder, "names.txt")
    with open(names, "w", encoding="utf-8") as f:
        f.writelines(f"Person_{i}\n" for i in range(41))
    for name, options in (("vgg-a", ["--names", names]), ("vgg-b", ["--preset", "letterbox"])):
        run = subprocess.run([t.binary, "model", "import", MINI, "--models", folder, "--name", name, "--accept-license", *options],
                             capture_output=True, text=True, check=False)
        if not t.check(f"models: import {name}", run.returncode == 0, run.stderr):
            return False
    return True


def write_silent(path):
    """A network of no weights whose embedding of a black picture is all zeros."""
    graph = json.dumps({"input": [3, 8, 8], "ops": [{"name": "relu", "op": "relu", "in": ["input"]},
                                                     {"name": "pool", "op": "global_avg_pool", "in": ["relu"]}],
                        "outputs": [{"name": "embedding", "op": "pool"}]})
    given = json.dumps({"width": 8, "height": 8, "channels": "rgb", "mean": [0.0] * 3, "scale": [1.0] * 3, "crop": "box",
                        "padding": 0.0, "average": "none", "dim": 3})
    sha = hashlib.sha256()
    for part in ("embedder", graph, given):
        sha.update(struct.pack("<Q", len(part)) + part.encode())
    meta = {"format": "1", "importer": "2", "role": "embedder", "graph": graph, "input": given, "license": "MIT", "restricted": "false",
            "source": json.dumps({"file": "made by a test", "sha256": "0" * 64}), "sha256": sha.hexdigest()}
    header = json.dumps({"__metadata__": {"visavis." + k: v for k, v in meta.items()}}).encode()
    header += b" " * (-(8 + len(header)) % 64)
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(header)) + header)


def run(t):
    if not os.path.exists(MINI):
        t.skip("models", "no ../shared/goldens/vggface-mini here")
        return
    with tempfile.TemporaryDirectory(prefix="visavis-models-") as folder:
        if make_models(t, folder):
            with client.Server(t.binary, "--models", folder, "--model-memory", "26") as s:
                ask(t, s)
                move(t, s)
            ask_other_detector(t, folder)


def ask_other_detector(t, folder):
    """A network of YuNet's form that sees a face in every cell of 32 pixels."""
    grid = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "fuzz", "corpus", "onnx", "yunet-grid")
    run_ = subprocess.run([t.binary, "model", "import", grid, "--models", folder, "--name", "grid", "--accept-license"],
                          capture_output=True, text=True, check=False)
    t.check("models: import a detector", run_.returncode == 0, run_.stderr)
    photo = pictures.lfw("AJ_Cook")
    with client.Server(t.binary, "--models", folder, "--detector", "grid") as s:
        r = s.request("GET", M)
        if t.answer("models: another detector", r, 200, "GET", M):
            t.check("models: it is named and loaded", r.json["detector"] == "grid" and "grid" in loaded(s), r)
        r = s.form("/v1/detect", {"image": photo})
        if t.answer("detect: another detector", r, 200, "POST", "/v1/detect"):
            t.check("detect: its faces", len(r.json["faces"]) == 64, len(r.json["faces"]))
        r = s.form(V, {"image1": photo, "image2": photo})
        if t.answer("verify: another detector has no calibration", r, 422, "POST", V, "fmr_unsupported"):
            t.check("verify: says why", "detector grid" in r.json["error"]["message"], r)


def loaded(s):
    return {m["name"] for m in s.request("GET", M).json["models"] if m["loaded"]}


def ask(t, s):
    photo = pictures.lfw("AJ_Cook")
    t.check("models: others wait to be asked for", "vgg-a" not in loaded(s))
    r = s.form(C, {"image": photo, "model": "vgg-a", "top": "3"})
    if t.answer("classify", r, 200, "POST", C):
        got = r.json["faces"][0]["classes"]
        p = [c["probability"] for c in got]
        t.check("classify: three, likeliest first, by name", len(got) == 3 and p == sorted(p, reverse=True) and 0 < sum(p) <= 1
                and all(c["name"] == f"Person_{c['index']}" for c in got), got)
        t.check("classify: says which model", r.json["model"] == "vgg-a", r)
    r = s.form(C, {"image": photo, "model": "vgg-b"})
    if t.answer("classify: without names", r, 200, "POST", C):
        got = r.json["faces"][0]["classes"]
        t.check("classify: five unless asked otherwise, no names", len(got) == 5 and all(c["name"] is None for c in got), got)
    t.check("models: the one used longest ago went", "vgg-b" in loaded(s) and "vgg-a" not in loaded(s), loaded(s))
    t.answer("models: the list", s.request("GET", M), 200, "GET", M)

    own, other = s.form(E, {"image": photo}), s.form(E, {"image": photo, "model": "vgg-a"})
    if t.answer("embed: the default", own, 200, "POST", E) and t.answer("embed: another", other, 200, "POST", E):
        t.check("embed: each has its own length and recipe", len(own.json["faces"][0]["embedding"]) == 128
                and len(other.json["faces"][0]["embedding"]) == 256 and own.json["recipe"] != other.json["recipe"])
    r = s.form(V, {"image1": photo, "image2": photo, "model": "vgg-a"})
    t.answer("verify: no calibration, no decision", r, 422, "POST", V, "fmr_unsupported")

    # Pictures that are no faces, taken as they are: a unit vector (the mini network gives one), or 422 no_embedding.
    for what, picture in (("black", pictures.png(224, 224, bytes(224 * 225))),
                          ("white", pictures.png(224, 224, (b"\0" + b"\xff" * 224) * 224)), ("one pixel", pictures.png(1, 1, b"\0\x80"))):
        r = s.form(E, {"image": picture, "model": "vgg-a", "precropped": "true"})
        if r.status == 422:
            t.answer(f"embed: {what}", r, 422, "POST", E, "no_embedding", ("image",))
        elif t.answer(f"embed: {what}", r, 200, "POST", E):
            length = sum(v * v for v in r.json["faces"][0]["embedding"])
            t.check(f"embed: {what} has unit length", abs(length - 1) < 1e-5, length)
        r = s.form(C, {"image": picture, "model": "vgg-a", "precropped": "true"})
        t.answer(f"classify: {what}", r, 200, "POST", C)
    r = s.form(E, {"image": pictures.png(224, 224, bytes(224 * 225)), "model": "nothing", "precropped": "true"})
    t.answer("embed: a network that gives zeros", r, 422, "POST", E, "no_embedding", ("image",))
    r = s.form(E, {"image": photo, "precropped": "perhaps"})
    t.answer("embed: precropped is yes or no", r, 400, "POST", E, "invalid_request")

    # Models that push each other out while requests use them: right answers, or "busy", nothing else.
    want = {"vgg-a": other.json["faces"][0]["embedding"], "dlib-resnet": own.json["faces"][0]["embedding"]}

    def one(i):
        name = ("vgg-a", "vgg-b", "dlib-resnet")[i % 3]
        return name, s.form(E, {"image": photo, "model": name})
    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(one, range(36)))
    wrong = [(name, r) for name, r in answers if r.status not in (200, 503)
             or (r.status == 200 and name in want and r.json["faces"][0]["embedding"] != want[name])]
    t.check("models: coming and going under load", not wrong, wrong[:2])
    t.check("models: most were answered", sum(r.status == 200 for _, r in answers) >= 18, [r.status for _, r in answers])


def move(t, s):
    """A collection that has kept its photographs moves to another model."""
    c, one = "/v1/collections", "/v1/collections/{c}"
    photo = pictures.lfw("AJ_Cook")
    for name, keep in (("kept", True), ("lost", False)):
        s.json(c, {"name": name, "keep_photos": keep})
        who = s.json(f"{c}/{name}/identities", {"name": "AJ"}).json["id"]
        r = s.form(f"{c}/{name}/identities/{who}/examples", {"image": photo})
        t.answer(f"reembed: enrol in {name}", r, 201, "POST", one + "/identities/{i}/examples")
    r = s.json(f"{c}/lost/reembed", {"model": "vgg-a"})
    t.answer("reembed: no photographs", r, 409, "POST", one + "/reembed", "conflict", ("1 of the 1",))
    r = s.json(f"{c}/kept/reembed", {"model": "dlib-resnet"})
    t.answer("reembed: it is there", r, 409, "POST", one + "/reembed", "conflict")
    r = s.json(f"{c}/kept/reembed", {"model": "vgg-a"})
    if not t.answer("reembed: a job", r, 202, "POST", one + "/reembed"):
        return
    where = r.headers["location"]
    end = time.monotonic() + 120
    while (r := s.request("GET", where)).json["state"] in ("queued", "running") and time.monotonic() < end:
        time.sleep(0.02)
    t.answer("reembed: the job", r, 200, "GET", "/v1/jobs/{id}")
    t.check("reembed: is done", r.json["state"] == "done" and s.request("GET", where + "/result").json["examples"] == 1, r)
    r = s.request("GET", f"{c}/kept")
    t.check("reembed: the collection has moved", r.json["model"] == "vgg-a" and r.json["dimension"] == 256, r)
    r = s.form(f"{c}/kept/identify", {"image": photo})
    t.answer("reembed: no calibration, no decision", r, 422, "POST", one + "/identify", "fmr_unsupported")
    r = s.form(f"{c}/kept/examples", {"image": photo})
    t.answer("reembed: the same picture is known", r, 409, "POST", one + "/examples", "conflict")
