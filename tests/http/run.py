#!/usr/bin/python3
"""HTTP tests of the real binary: tests/http/run.py BUILD_DIR|BINARY [GROUP...]

Starts `visavis serve` on a free port with a data folder of its own, asks it all that a client may and may not, and checks every
JSON answer against openapi.yaml. The last line is "N passed, N failed, N skipped"; exit 0 only when nothing failed.
"""

import os
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import contract  # noqa: E402
import group_access  # noqa: E402
import group_clusters  # noqa: E402
import group_gallery  # noqa: E402
import group_gallery_edges  # noqa: E402
import group_glyphs  # noqa: E402
import group_jobs  # noqa: E402
import group_load  # noqa: E402
import group_models  # noqa: E402
import group_keys  # noqa: E402
import group_requests  # noqa: E402
import group_wire  # noqa: E402

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")


class Suite:
    """Counts, and says what failed; its methods never raise."""

    def __init__(self, binary, api):
        self.binary, self.contract = binary, api
        self.passed = self.failed = self.skipped = 0

    def check(self, name, ok, detail=""):
        if ok:
            self.passed += 1
        else:
            self.failed += 1
            print(f"FAILED {name}: {detail}", flush=True)
        return bool(ok)

    def skip(self, name, why):
        self.skipped += 1
        print(f"skipped {name}: {why}", flush=True)

    def answer(self, name, got, status, method=None, path=None, code=None, says=()):
        """One answer: its status, error code, words in its message, and the contract."""
        wrong = None
        codes = {code} if isinstance(code, str) else code
        if got is None:
            wrong = "no answer"
        elif got.status not in (status if isinstance(status, (set, tuple)) else (status,)):
            wrong = f"status {got.status}, wanted {status}"
        elif codes and got.code not in codes:
            wrong = f"code {got.code}, wanted {code}"
        elif any(word not in got.json["error"]["message"] for word in says):
            wrong = f"the message lacks one of {says}"
        elif path:
            wrong = self.contract.check(method, path, got)
        return self.check(name, not wrong, f"{wrong}: {got!r}")


def group_contract(t):
    """openapi.yaml against itself and against the router."""
    routes = subprocess.run([t.binary, "serve", "--routes"], capture_output=True, text=True, check=False).stdout.split("\n")
    routes = {line for line in routes if line}
    t.check("routes: openapi.yaml describes exactly those of the router", routes == t.contract.routes(),
            f"only one side has {routes ^ t.contract.routes()}")
    missing = list(t.contract.without_example())
    t.check("openapi.yaml: every success has an example", not missing, missing)
    for where, schema, example in t.contract.examples():
        try:
            t.contract.validate(schema, example)
            t.check(f"openapi.yaml: example of {where}", True)
        except Exception as e:  # pylint: disable=broad-except
            t.check(f"openapi.yaml: example of {where}", False, str(e).split("\n", maxsplit=1)[0])


GROUPS = {
    "contract": group_contract,
    "requests": group_requests.run,
    "wire": group_wire.run,
    "access": group_access.run,
    "keys": group_keys.run,
    "jobs": group_jobs.run,
    "load": group_load.run,
    "models": group_models.run,
    "gallery": group_gallery.run,
    "gallery-edges": group_gallery_edges.run,
    "glyphs": group_glyphs.run,
    "clusters": group_clusters.run,
}


def main():
    binary = sys.argv[1] if len(sys.argv) > 1 else os.path.join(ROOT, "build", "release")
    binary = os.path.abspath(os.path.join(binary, "visavis") if os.path.isdir(binary) else binary)
    t = Suite(binary, contract.Contract(os.path.join(ROOT, "openapi.yaml")))
    wanted = sys.argv[2:] or GROUPS
    models = os.environ.get("VISAVIS_MODELS") or os.path.join(
        os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "visavis", "models")
    have_models = os.path.exists(os.path.join(models, "dlib-resnet.safetensors"))
    for name, group in GROUPS.items():
        if name not in wanted:
            continue
        if name not in ("contract", "jobs") and not have_models and not os.environ.get("VISAVIS_HTTP_NO_MODELS"):
            t.skip(name, f"no models in {models} (visavis model fetch)")
            continue
        started = time.monotonic()
        before = t.failed
        try:
            group(t)
        except Exception as e:  # pylint: disable=broad-except
            import traceback  # pylint: disable=import-outside-toplevel
            t.check(f"group {name}", False, "".join(traceback.format_exception(e)[-4:]))
        print(f"{name}: {'ok' if t.failed == before else 'FAILED'} ({time.monotonic() - started:.1f} s)", flush=True)
    print(f"{t.passed} passed, {t.failed} failed, {t.skipped} skipped")
    return 1 if t.failed else 0


if __name__ == "__main__":
    sys.exit(main())
