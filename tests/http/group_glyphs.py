"""Handwritten characters through the same routes as faces: a collection bound to a glyph embedder, pictures that come ready cut.

The bundled model reads digits of people it has not seen. A model trained here without twelve letters tells those apart by one
example of each: an alphabet that is new to it."""

import gzip
import os
import subprocess
import tempfile

import client
import pictures

GLYPHS = os.path.join(pictures.SHARED, "..", "glyphs")
C, ONE = "/v1/collections", "/v1/collections/{c}"
I, X, WHO = ONE + "/identities", ONE + "/identities/{i}/examples", ONE + "/identify"
DEFAULTS = ("mtcnn-p", "mtcnn-r", "mtcnn-o", "dlib-5point", "dlib-resnet", "glyphs")
SIDE = 28
NEW = "bdfhjlnprtvx"  # of these the capitals are kept out too
READY = {"precropped": "true"}
HELD_OUT = range(0, 55, 5)  # Chars74K has 55 people; `train glyphs` learns from the others


def idx(name):
    with gzip.open(os.path.join(GLYPHS, name)) as f:
        data = f.read()
    return data[4 + 4 * data[3]:]


def characters():
    """Each character's 55 pictures, one a person, as PNG."""
    name = "chars74k-hnd62-"
    pixels, labels = idx(name + "images-idx3-ubyte.gz"), idx(name + "labels-idx1-ubyte.gz")
    with open(os.path.join(GLYPHS, name + "mapping.txt"), encoding="ascii") as f:
        codes = {int(label): chr(int(code)) for label, code in (line.split()[:2] for line in f)}
    out = {c: [] for c in codes.values()}
    for i, label in enumerate(labels):
        at = i * SIDE * SIDE
        rows = b"".join(b"\0" + pixels[at + y * SIDE:at + (y + 1) * SIDE] for y in range(SIDE))
        out[codes[label]].append(pictures.png(SIDE, SIDE, rows))
    return out


def run(t):
    if not os.path.isdir(GLYPHS):
        t.skip("glyphs", "no ../shared/data/glyphs here")
        return
    known = characters()
    with tempfile.TemporaryDirectory(prefix="visavis-glyphs-") as models:
        ours = os.environ.get("VISAVIS_MODELS") or os.path.join(
            os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "visavis", "models")
        for name in DEFAULTS:
            os.symlink(os.path.join(ours, name + ".safetensors"), os.path.join(models, name + ".safetensors"))
        # under a sanitizer a training would take minutes
        learns = os.path.basename(os.path.dirname(t.binary)) == "release" and train(t, os.path.join(models, "some.safetensors"))
        with client.Server(t.binary, "--models", models) as s:
            digits(t, s, known)
            if learns:
                new_alphabet(t, s, known)


def train(t, model):
    run_ = subprocess.run([t.binary, "train", "glyphs", "--small", "--data", GLYPHS, "--hold-out", NEW, "--out", model],
                          capture_output=True, text=True, check=False)
    return t.check("glyphs: train without some letters", run_.returncode == 0, run_.stderr)


def enrol(t, s, collection, characters_, people, known):
    ok = True
    for c in characters_:
        r = s.json(f"{C}/{collection}/identities", {"name": c})
        ok = ok and r.status == 201
        r = s.form(f"{C}/{collection}/identities/{r.json['id']}/examples", [("image", known[c][p]) for p in people],
                   query={**READY, "force": "true"})
        ok = t.answer(f"glyphs: enrol {c}", r, 201, "POST", X) and ok
    return ok


def ask(t, s, collection, c, people, known):
    """(decision, label) of each person's c."""
    r = s.form(f"{C}/{collection}/identify", [("image", known[c][p]) for p in people], query=READY)
    if not t.answer(f"glyphs: who is {c}", r, 200, "POST", WHO):
        return []
    faces = [i["faces"][0] for i in r.json["images"]]
    return [(f["decision"], f["candidates"][0]["identity"]["name"]) for f in faces]


def digits(t, s, known):
    r = s.json(C, {"name": "digits", "model": "glyphs"})
    if not t.answer("glyphs: a collection of the glyph embedder", r, 201, "POST", C):
        return
    t.check("glyphs: bound to it", r.json["model"] == "glyphs" and r.json["dimension"] == 128, r)
    if not enrol(t, s, "digits", "0123456789", (1, 2, 3), known):
        return
    answers = [(c, *a) for c in "0123456789" for a in ask(t, s, "digits", c, HELD_OUT, known)]
    right = sum(label == c for c, _, label in answers)
    matched = [(c, label) for c, decision, label in answers if decision == "match"]
    wrong = [m for m in matched if m[0] != m[1]]
    print(f"glyphs: {right} of {len(answers)} digits of new writers named, {len(matched)} matched, {len(wrong)} of them wrong")
    t.check("glyphs: digits are named", len(answers) == 110 and right >= 99, f"{right} of {len(answers)}")
    t.check("glyphs: most are matched", len(matched) >= len(answers) / 2, f"{len(matched)} of {len(answers)}")
    t.check("glyphs: hardly one is matched with another", len(wrong) <= 1, wrong)
    letters = [d for c in "kmwKMW" for d, _ in ask(t, s, "digits", c, HELD_OUT, known)]
    t.check("glyphs: a letter is none of the digits", letters.count("match") <= 1, f"{letters.count('match')} of {len(letters)}")


def new_alphabet(t, s, known):
    """One example a class; by chance a fifth would be right."""
    five = "bfhrT"
    right = asked = 0
    for writer in range(4):  # each is the example once
        r = s.json(C, {"name": f"new{writer}", "model": "some"})
        if not t.answer("glyphs: a new alphabet", r, 201, "POST", C) or not enrol(t, s, f"new{writer}", five, (writer,), known):
            return
        for c in five:
            labels = [label for _, label in ask(t, s, f"new{writer}", c, range(4, 55, 3), known)]
            right += labels.count(c)
            asked += len(labels)
    print(f"glyphs: {right} of {asked} of a new alphabet named by one example a letter")
    t.check("glyphs: letters never trained on are told apart", asked and right >= 0.65 * asked, f"{right} of {asked}")
