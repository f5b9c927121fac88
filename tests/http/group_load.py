"""Many clients at once: every answer is the one that it would have been alone; stopping loses nobody."""

import random
import threading
import time

import client
import pictures

V, D, E = "/v1/verify", "/v1/detect", "/v1/embed"
SECONDS = 4


def strip(answer):
    """What must be the same whenever it is asked."""
    value = answer.json
    value.pop("took_ms", None)
    value.pop("request_id", None)
    return answer.status, value


def close(a, b):
    """Equal, numbers within 1e-5: two kernels may add in another order (batches)."""
    if isinstance(a, dict):
        return isinstance(b, dict) and a.keys() == b.keys() and all(close(a[k], b[k]) for k in a)
    if isinstance(a, (list, tuple)):
        return isinstance(b, (list, tuple)) and len(a) == len(b) and all(map(close, a, b))
    if isinstance(a, float) or isinstance(b, float):
        return abs(a - b) <= 1e-5 * max(1, abs(a))
    return a == b


def work():
    if not pictures.have_shared():
        g = pictures.grey(200, 150)
        return [(D, {"image": g}), (V, {"image1": g, "image2": g}), (D, {"image": b"x"}), (V, {"image1": g})]
    a, b, c = pictures.lfw("Abdullah_Gul", 13), pictures.lfw("Abdullah_Gul", 14), pictures.lfw("AJ_Cook")
    group, big = pictures.read("cast/bbt1.jpg"), {"min_size": "60"}
    return [(V, {"image1": a, "image2": b}), (V, {"image1": a, "image2": c}), (D, {"image": group, **big}), (E, {"image": b}),
            (E, {"image": group, "face": "main", **big}), (D, {"image": c[:2000]}), (V, {"image1": a}),
            (V, {"image1": group, "image2": a, "face": "all", **big}), (D, {"image": pictures.grey()})]


def mixed(t, s):
    jobs = work()
    begun = time.monotonic()
    alone = [strip(s.form(path, fields)) for path, fields in jobs]
    t.round_s = time.monotonic() - begun
    wrong, done = [], [0] * 8
    end = time.monotonic() + SECONDS

    def one(n):
        order = random.Random(n)
        while time.monotonic() < end and not wrong:
            i = order.randrange(len(jobs))
            try:
                got = strip(s.form(*jobs[i]))
            except Exception as e:  # pylint: disable=broad-except
                wrong.append((i, repr(e)))
                return
            if not close(got, alone[i]):
                wrong.append((i, str(got)[:300], str(alone[i])[:300]))
            done[n] += 1

    threads = [threading.Thread(target=one, args=(n,)) for n in range(8)]
    for x in threads:
        x.start()
    for x in threads:
        x.join()
    t.check(f"8 clients: {sum(done)} answers, all as alone", not wrong and all(done), (wrong[:2], done))
    t.check("8 clients: nothing is held", s.metric("visavis_bytes_in_flight") == 0)


def stopping(t):
    """SIGTERM in the middle of it: what was accepted is answered, in full."""
    jobs = work()
    s = client.Server(t.binary)
    statuses, broken, gone = [], [], threading.Event()

    def one(n):
        order = random.Random(n)
        while not gone.is_set():
            try:
                statuses.append(s.form(*jobs[order.randrange(len(jobs))]).status)
            except ConnectionRefusedError:
                return
            except Exception as e:  # pylint: disable=broad-except
                if s.process.poll() is None and not stopped.is_set():
                    broken.append(repr(e))
                return

    stopped = threading.Event()
    threads = [threading.Thread(target=one, args=(n,)) for n in range(8)]
    for x in threads:
        x.start()
    while len(statuses) < 10 and any(x.is_alive() for x in threads):
        time.sleep(0.02)
    stopped.set()
    begun = time.monotonic()
    status = s.stop()
    took = time.monotonic() - begun
    gone.set()
    for x in threads:
        x.join()
    t.check("stopping under load: exit 0", status == 0, (status, s.log[-2:]))
    t.check("stopping under load: in time", took < 20 + 10 * t.round_s, f"{took:.1f} s")
    t.check("stopping under load: nothing broke before", not broken, broken[:3])
    begun_ids = sum(1 for l in s.log if l["msg"] == "request")
    cut = [l for l in s.log if l["msg"] == "request" and l["status"] == 499]
    t.check("stopping under load: every request that began was answered", begun_ids >= len(statuses) and not cut, cut[:2])
    t.check("stopping under load: says so", s.log[-1]["msg"] == "stopped", s.log[-1])


def run(t):
    with client.Server(t.binary) as s:
        mixed(t, s)
    stopping(t)
