"""The reports that people look at, in a real browser: run.py BUILD_DIR. Leaves them and screenshots in build/web. Skips, and says so,
where there is no Chromium; the real photographs where ../shared or the models are missing."""

import json
import os
import struct
import subprocess
import sys
import traceback
import xml.etree.ElementTree as xml
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "tests/http"))
sys.path.insert(0, str(ROOT / "tests/web"))
import browser  # noqa: E402
from contract import Contract  # noqa: E402

OUT = ROOT / "build/web"
CAST = ROOT.parent / "shared/data/faces/cast"
WIDTH, HEIGHT = 1320, 1000
passed = failed = skipped = 0


def check(name, run):
    global passed, failed
    try:
        run()
        passed += 1
    except Exception:  # whatever it is, it is that test's failure
        failed += 1
        print(f"FAILED {name}\n{traceback.format_exc()}")


def models():
    folder = os.environ.get("VISAVIS_MODELS") or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "visavis/models"
    return folder if (Path(folder) / "dlib-resnet.safetensors").exists() else None


def make(build):
    global skipped
    command = [ROOT / build / "tests/web/report_driver", OUT]
    if CAST.exists() and models():
        command += [CAST, models()]
    else:
        skipped += 1
        print(f"skipped cast: no {CAST}, or no models (visavis model fetch)")
    OUT.mkdir(parents=True, exist_ok=True)
    for old in OUT.glob("*.json"):
        old.unlink()
    subprocess.run(command, check=True)
    return sorted(p.stem for p in OUT.glob("*.json"))


def same(got, want, what):
    assert got == want, f"{what}: {got!r}, not {want!r}"


class Page:
    """One report's page, opened."""

    def __init__(self, b, name):
        self.b, self.name = b, name
        with open(OUT / f"{name}.json", encoding="utf-8") as f:
            self.report = json.load(f)
        self.n = len(self.report["faces"])
        self.url = (OUT / f"{name}.html").as_uri()
        b.open(self.url)
        b.until("byId('canvas').dataset.drawn !== undefined")

    def quiet(self):
        same(list(self.b.complaints()), [], "the console has")
        outside = [u for u in self.b.requests() if u != self.url and not u.startswith("data:image/jpeg;base64,")]
        same(outside, [], "requests went out")

    def every_face_is_drawn(self):
        self.b.until(f"+byId('canvas').dataset.drawn === {self.n}")
        pictures = [i for i, f in enumerate(self.report["faces"]) if "thumbnail" in f]
        if self.n <= 100:
            self.b.until(f"+byId('canvas').dataset.pictures === {len(pictures)}")
        # Something that is not paper where each face should be.
        blank = self.b.ask("""(() => {
            const c = byId('canvas'), r = devicePixelRatio, all = c.getContext('2d').getImageData(0, 0, c.width, c.height);
            const pixel = (x, y) => { const k = 4 * (Math.round(y * r) * c.width + Math.round(x * r)); return [...all.data.slice(k, k + 3)].join(); };
            const paper = pixel(2, 2);
            return faces.map((_, i) => i).filter(i => { const [x, y] = plot.placeOf(i);
                return !Array.from({length: 25}, (_, d) => d - 12).some(d => pixel(x + d, y) !== paper || pixel(x, y + d) !== paper); });
        })()""")
        same(blank, [], "nothing is drawn for the faces")

    def where(self, i):
        return self.b.ask(f"(() => {{ const r = byId('canvas').getBoundingClientRect(), p = plot.placeOf({i});"
                          " return [r.left + p[0], r.top + p[1]]; })()")

    def detail(self):
        return self.b.ask("byId('detail').textContent")

    def name_of(self, i):
        f = self.report["faces"][i]
        return f["file"] or f["example"] or f"face {i}"

    def hover_shows_the_face(self):
        self.b.ask("scrollTo(0, 0)")
        shown = 0
        for i in range(0, self.n, max(1, self.n // 12)):
            x, y = self.where(i)
            self.b.mouse("mouseMoved", x, y)
            at = self.b.ask("chosen.shown")
            if at == i:  # else another one lies above it
                shown += 1
                assert self.name_of(i) in self.detail(), f"face {i} is not shown: {self.detail()!r}"
                c = self.report["faces"][i]["cluster"]
                assert self.b.ask(f"clusterName({json.dumps(c)})") in self.detail(), "its cluster is not shown"
        assert shown or self.n > 1000, "no face could be pointed at"
        self.b.mouse("mouseMoved", 2, 2)
        same(self.b.ask("chosen.shown"), None, "shown after the pointer left")

    def click_keeps_it(self):
        x, y = self.where(0)
        self.b.mouse("mouseMoved", x, y)
        at = self.b.ask("chosen.shown")
        self.b.click(x, y)
        self.b.mouse("mouseMoved", 2, 2)
        assert at is not None and self.name_of(at) in self.detail(), "a clicked face is not kept"
        self.b.key("Escape")
        same(self.b.ask("chosen.kept"), None, "kept after Escape")

    def keys_reach_everything(self):
        self.b.ask("document.querySelector('nav a').focus()")
        for _ in range(40):
            self.b.key("Tab")
            if self.b.ask("document.activeElement.id") == "canvas":
                break
        same(self.b.ask("document.activeElement.id"), "canvas", "Tab reaches")
        self.b.key("ArrowRight")
        same(self.b.ask("chosen.shown"), 0, "the first key shows")
        seen = {0}
        for key in ("ArrowRight", "ArrowDown", "ArrowLeft", "ArrowUp") * 3:
            self.b.key(key)
            seen.add(self.b.ask("chosen.shown"))
        assert len(seen) > min(self.n - 1, 2), f"the arrows reach only {seen}"
        if self.report["clusters"]:
            self.b.key("PageDown")
            assert self.b.ask("faces[chosen.shown].cluster") is not None, "Page Down shows no cluster"
        self.b.key("Enter")
        at = self.b.ask("chosen.kept")
        assert self.name_of(at) in self.detail()
        before = self.b.ask("plot.placeOf(0).join() + plot.placeOf(faces.length - 1).join()")
        self.b.key("+")
        assert self.b.ask("plot.placeOf(0).join() + plot.placeOf(faces.length - 1).join()") != before, "+ does not zoom"
        self.b.key("0")
        self.b.key("Escape")

    def layouts_change_places(self):
        if not self.report["coordinates"]["layout"]:
            same(self.b.ask("document.querySelectorAll('[name=layout]').length"), 1, "layouts without t-SNE")
            return
        before = self.b.ask("plot.placeOf(0)")
        self.b.ask("document.querySelector('[value=pca]').click()")
        assert self.b.ask("plot.placeOf(0)") != before or self.n == 1, "the faces stay where they are"
        self.b.until(f"+byId('canvas').dataset.drawn === {self.n}")
        self.b.ask("document.querySelector('[value=layout]').click()")

    def strips_have_the_faces(self):
        listed = self.b.ask("[...document.querySelectorAll('.strip')].map(s => [+s.dataset.cluster, s.querySelectorAll('.face').length])")
        sizes = {c["cluster"]: c["size"] for c in self.report["clusters"]}
        same(len(listed), min(len(sizes), 30), "strips")
        for c, faces in listed:
            same(faces, min(sizes[c], 40), f"faces of strip {c}")
        if len(sizes) > 30:
            self.b.ask("document.querySelector('#clusters > .more').click()")
            same(self.b.ask("document.querySelectorAll('.strip').length"), min(len(sizes), 60), "strips after more")

    def everything_has_a_name(self):
        nameless = self.b.ask("""[...document.querySelectorAll('button, input, canvas, svg[role=img], a, aside, section, table th')].filter(e =>
            !(e.ariaLabel || e.getAttribute('aria-labelledby') || e.textContent.trim() || e.closest('label')?.textContent.trim())
            && e.tagName !== 'TH').map(e => e.outerHTML.slice(0, 200))""")
        same(nameless, [], "without an accessible name")

    def nothing_can_go_out(self):
        blocked = self.b.ask("""new Promise(ok => { addEventListener('securitypolicyviolation', e => ok(e.effectiveDirective), {once: true});
            fetch('http://127.0.0.1:9/').then(() => ok('sent'), () => 0); })""")
        same(blocked, "connect-src", "a request from the page is blocked by")
        blocked = self.b.ask("""new Promise(ok => { addEventListener('securitypolicyviolation', e => ok(e.effectiveDirective), {once: true});
            const i = new Image(); i.onload = () => ok('loaded'); i.src = 'http://127.0.0.1:9/a.png'; })""")
        same(blocked, "img-src", "a picture from elsewhere is blocked by")

    def names_are_text(self):
        same(self.b.ask("document.title"), self.report["title"], "the page's title")
        same(self.b.ask("byId('title').textContent"), self.report["title"], "the heading")
        same(self.b.ask("document.scripts.length"), 2, "scripts")
        same(self.b.ask("document.querySelectorAll('[onerror], [onload], #title *').length"), 0, "elements made of names")
        same(self.b.ask("faces.map(f => f.file)"), [f["file"] for f in self.report["faces"]], "file names")
        labels = self.b.ask("[...document.querySelectorAll('.face')].map(b => [+b.dataset.face, b.ariaLabel])")
        assert labels and all(label.startswith(self.name_of(i)) for i, label in labels), "a button is not called as its file"

    def prints(self):
        pdf = self.b.call("Page.printToPDF", printBackground=True, preferCSSPageSize=False)["data"]
        assert len(pdf) > 20000, f"a print of {len(pdf)} characters"

    def pictures(self):
        self.b.ask("scrollTo(0, 0)")
        self.b.mouse("mouseMoved", *self.where(0))
        self.b.ask("new Promise(requestAnimationFrame)")
        self.b.screenshot(OUT / f"{self.name}-page.png")
        self.b.mouse("mouseMoved", 2, 2)
        if self.n <= 1000:
            self.b.screenshot(OUT / f"{self.name}-whole.png", whole=True)
        self.b.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "dark"}])
        paper = self.b.ask("getComputedStyle(document.body).backgroundColor")
        self.b.ask("new Promise(requestAnimationFrame)")
        self.b.screenshot(OUT / f"{self.name}-dark.png")
        self.b.call("Emulation.setEmulatedMedia", features=[])
        assert paper != self.b.ask("getComputedStyle(document.body).backgroundColor"), "dark is as light"


def svg_is_whole(name, report):
    root = xml.parse(OUT / f"{name}.svg").getroot()
    ns = "{http://www.w3.org/2000/svg}"
    images, circles = list(root.iter(ns + "image")), list(root.iter(ns + "circle"))
    assert len(images) + len(circles) >= len(report["faces"]), "faces are missing"
    assert all(i.get("href").startswith("data:image/jpeg;base64,") for i in images), "a picture from elsewhere"
    assert not list(root.iter(ns + "script")), "a script"
    assert len(list(root.iter(ns + "polygon"))) == len(report["clusters"]), "outlines"


def png_is_whole(name):
    data = (OUT / f"{name}.png").read_bytes()
    assert data[:8] == b"\x89PNG\r\n\x1a\n" and struct.unpack(">II", data[16:24]) == (2800, 2000), "not a PNG of 2800 x 2000"


def main():
    global skipped
    names = make(sys.argv[1])
    contract = Contract(ROOT / "openapi.yaml")
    schema = contract.doc["components"]["schemas"]["ClusterReport"]
    check("the contract's example", lambda: contract.validate(schema, schema["example"]))
    reports = {n: json.loads((OUT / f"{n}.json").read_text(encoding="utf-8")) for n in names}
    for name, report in reports.items():
        check(f"{name}: contract", lambda: contract.validate(schema, report))
        check(f"{name}: svg", lambda: svg_is_whole(name, report))
        check(f"{name}: png", lambda: png_is_whole(name))
    if not browser.find():
        skipped += 1
        print("skipped the pages: no Chromium here (deploy/install-deps.sh)")
    else:
        b = browser.Browser(WIDTH, HEIGHT)
        for name in names:
            look_at(b, name)
        b.close()
    print(f"{passed} passed, {failed} failed, {skipped} skipped")
    return failed != 0


def look_at(b, name):
    page = None

    def load():
        nonlocal page
        page = Page(b, name)
    check(f"{name}: opens", load)
    if not page:
        return
    tests = [Page.every_face_is_drawn, Page.hover_shows_the_face, Page.click_keeps_it, Page.keys_reach_everything,
             Page.layouts_change_places, Page.strips_have_the_faces, Page.everything_has_a_name, Page.names_are_text, Page.pictures,
             Page.prints, Page.quiet, Page.nothing_can_go_out]
    for test in tests:
        check(f"{name}: {test.__name__}", lambda: test(page))


if __name__ == "__main__":
    sys.exit(main())
