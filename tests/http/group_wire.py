"""Bytes on the wire: Expect, chunks, bodies that are too big, clients that are slow or vanish."""

import json
import resource
import socket
import struct
import threading
import time

import client
import pictures

V, D = "/v1/verify", "/v1/detect"
MIB = 1024 * 1024


def head(path, length, *more, kind="application/json"):
    lines = [f"POST {path} HTTP/1.1", "Host: localhost", f"Content-Type: {kind}", f"Content-Length: {length}", *more]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def chunked_head(path, kind):
    return (f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {kind}\r\n"
            "Transfer-Encoding: chunked\r\n\r\n").encode()


def chunks(body, size):
    for i in range(0, len(body), size):
        part = body[i:i + size]
        yield f"{len(part):x}\r\n".encode() + part + b"\r\n"
    yield b"0\r\n\r\n"


def expect(t, s):
    c = s.socket()
    c.sendall(head(V, 100 * MIB, "Expect: 100-continue"))
    t.answer("Expect: too large is said at once", client.read_answer(c), 413, "POST", V, "too_large")
    c.close()
    c = s.socket()
    c.sendall(head("/v1/nothing", 5, "Expect: 100-continue"))
    t.answer("Expect: 404 at once", client.read_answer(c), 404, code="not_found")
    c.close()
    body, kind = client.form({"image": pictures.grey(64, 64)})
    c = s.socket()
    c.sendall(head(D, len(body), "Expect: 100-continue", kind=kind))
    go = c.recv(100)
    t.check("Expect: 100 Continue", go.startswith(b"HTTP/1.1 100"), go)
    c.sendall(body)
    t.answer("Expect: and then the answer", client.read_answer(c), 200, "POST", D)
    c.close()


def too_large(t, s):
    c = s.socket()
    c.sendall(head(V, 60 * MIB, kind="multipart/form-data; boundary=x"))
    for _ in range(60):
        c.sendall(bytes(MIB))
    t.answer("60 MiB: 413 after the body", client.read_answer(c), 413, "POST", V, "too_large", ("44040192",))
    c.sendall(b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n")
    t.answer("60 MiB: the connection goes on", client.read_answer(c), 200, "GET", "/health/live")
    c.close()

    c = s.socket()
    c.sendall(head(V, 4096 * MIB))
    sent, block = 0, bytes(MIB)
    try:
        while sent < 400 * MIB:
            c.sendall(block)
            sent += len(block)
            c.setblocking(False)
            try:
                early = c.recv(1, socket.MSG_PEEK)
            except BlockingIOError:
                early = b""
            finally:
                c.settimeout(300)
            if early:
                break
    except OSError:
        pass
    t.check("4 GiB: stopped soon after 64 MiB", 60 * MIB < sent < 200 * MIB, f"{sent // MIB} MiB")
    t.answer("4 GiB: and told why", client.read_answer(c), 413, "POST", V, "too_large")
    c.close()
    t.answer("4 GiB: the next request works", s.form(D, {"image": pictures.grey(64, 64)}), 200, "POST", D)

    c = s.socket()
    c.sendall(chunked_head(D, "application/json"))
    body = b'{"image":"' + b"A" * (40 * MIB)
    for part in chunks(body, MIB):
        c.sendall(part)
    t.answer("chunks over the limit", client.read_answer(c), 413, "POST", D, "too_large")
    c.close()


def chunked(t, s):
    body, kind = client.form({"image": pictures.grey(64, 64)})
    for size in (1, 7, 4096):
        c = s.socket()
        c.sendall(chunked_head(D, kind) + b"".join(chunks(body, size)))
        t.answer(f"chunks of {size}", client.read_answer(c), 200, "POST", D)
        c.close()
    big = pictures.png(2400, 2000, noise(2400, 2000))  # over 4 MiB
    body, kind = client.form({"image": big})
    quick = D + "?retry=false&min_size=400"
    c = s.socket()
    c.sendall(chunked_head(quick, kind) + b"".join(chunks(body, 50000)))
    t.answer(f"chunks, {len(body) // 1024} KiB go through a file", client.read_answer(c), 200, "POST", D)
    c.close()
    t.answer("a form of as many", s.form(quick, {"image": big}), 200, "POST", D)
    c = s.socket()
    c.sendall(b"POST /v1/detect HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 2\r\n"
              b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n")
    t.answer("Content-Length and chunks", client.read_answer(c), 400)
    c.close()


def noise(w, h):
    x, rows = 12345, bytearray()
    for _ in range(h):
        rows.append(0)
        for _ in range(w // 8):
            x = (x * 6364136223846793005 + 1442695040888963407) & (2**64 - 1)
            rows += struct.pack("<Q", x)
    return bytes(rows)


def connections(t, s):
    body, kind = client.form({"image": pictures.grey(64, 64)})
    one = head(D, len(body), kind=kind) + body
    c = s.socket()
    c.sendall(one + one + b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n")
    reader = c.makefile("rb")
    got = [status_of(reader) for _ in range(3)]
    t.check("three requests at once on one connection", got == [200, 200, 200], got)
    c.close()
    c = s.socket()
    c.sendall(b"GET /health/live HTTP/1.0\r\n\r\n")
    t.answer("HTTP/1.0", client.read_answer(c), 200, "GET", "/health/live")
    c.close()
    for name, junk in (("junk", b"\0\1\2\3 nonsense\r\n\r\n"), ("a TLS hello", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"),
                       ("a header of 200 kB", b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 200000 + b"\r\n\r\n"),
                       ("a path of 200 kB", b"GET /" + b"a" * 200000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n")):
        c = s.socket()
        try:
            c.sendall(junk)
            c.shutdown(socket.SHUT_WR)
            answer = client.read_answer(c)
        except OSError:
            answer = None
        t.check(f"{name} is refused", answer is None or 400 <= answer.status < 600, answer)
        c.close()
    t.answer("and the next request works", s.request("GET", "/health/live"), 200, "GET", "/health/live")


def status_of(reader):
    """Reads one answer of a buffered socket."""
    status = int(reader.readline().split()[1])
    length = 0
    for line in iter(reader.readline, b"\r\n"):
        if line.lower().startswith(b"content-length:"):
            length = int(line.split(b":")[1])
    reader.read(length)
    return status


def reset(c):
    """Closes with RST."""
    c.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    c.close()


def vanish(t, s):
    big = b"x" * (6 * MIB)
    body, kind = client.form({"image": pictures.grey()})
    for i in range(30):
        c = s.socket()
        if i % 3 == 0:  # in the middle of the headers
            c.sendall(head(D, len(body), kind=kind)[:40])
        elif i % 3 == 1:  # in the middle of a body that is in a file already
            c.sendall(head(D, 12 * MIB, kind=kind) + body[:-40] + big)
        else:  # while a worker has it
            c.sendall(head(D, len(body), kind=kind) + body)
        reset(c) if i % 2 else c.close()
    line = s.wait_log(lambda l: l.get("status") == 499)
    t.check("vanished: logged as 499", line, s.log[-1:])
    end = time.monotonic() + 300
    while s.metric("visavis_bytes_in_flight") and time.monotonic() < end:
        time.sleep(0.05)
    t.check("vanished: their bytes are given back", s.metric("visavis_bytes_in_flight") == 0)
    t.answer("vanished: the next request works", s.form(D, {"image": pictures.grey(64, 64)}), 200, "POST", D)


def slow(t):
    """A server with short deadlines."""
    body, kind = client.form({"image": pictures.grey()})
    with client.Server(t.binary, "--header-timeout", "1", "--body-timeout", "2", "--stall-timeout", "0.7") as s:
        def timed(name, start, drip, least, most, wanted):
            c = s.socket()
            begun = time.monotonic()
            try:
                c.sendall(start)
                if drip:
                    stop = threading.Event()
                    threading.Thread(target=dripping, args=(c, drip, stop), daemon=True).start()
                answer = client.read_answer(c)
                if drip:
                    stop.set()
            except OSError:
                answer = None
            took = time.monotonic() - begun
            t.check(f"slow: {name} ends in time", least <= took <= most, f"{took:.2f} s")
            if wanted:
                t.answer(f"slow: {name} is told", answer, wanted, "POST", D, "timeout")
            else:
                t.check(f"slow: {name} is cut off", answer is None, answer)
            c.close()

        timed("no headers", b"", None, 0.9, 3, None)
        timed("half a header", b"POST /v1/detect HTT", None, 0.9, 3, None)
        timed("headers by the byte", b"POST /v1/detect HTTP/1.1\r\nX: ", b"a" * 1000, 0.9, 3, None)
        timed("a body that stands still", head(D, len(body), kind=kind) + body[:100], None, 0.6, 3, 408)
        timed("a body by the byte", head(D, len(body), kind=kind) + body[:100], body[100:], 1.9, 4, 408)
        line = s.wait_log(lambda l: l.get("status") == 408)
        t.check("slow: logged as 408", line and line["error"] == "timeout", line)
        t.answer("slow: the next request works", s.form(D, {"image": pictures.grey(64, 64)}), 200, "POST", D)
        t.check("slow: nothing is held", s.metric("visavis_bytes_in_flight") == 0)


def dripping(c, data, stop):
    for i in range(len(data)):
        if stop.is_set():
            return
        try:
            c.sendall(data[i:i + 1])
        except OSError:
            return
        time.sleep(0.05)


def busy(t):
    """One worker, a queue of one, 1 MiB of bodies."""
    with client.Server(t.binary, "--workers", "1", "--queue", "1", "--in-flight", "1") as s:
        body, kind = client.form({"image": pictures.grey(900, 900)})
        answers = []
        threads = [threading.Thread(target=lambda: answers.append(s.request("POST", D, body, {"Content-Type": kind})))
                   for _ in range(12)]
        for x in threads:
            x.start()
        for x in threads:
            x.join()
        statuses = [a.status for a in answers]
        t.check("a full queue: some are served, the others told to come back",
                set(statuses) == {200, 503} and len(statuses) == 12, statuses)
        for a in answers:
            if a.status == 503:
                t.answer("a full queue: 503", a, 503, "POST", D, "busy")
                t.check("a full queue: Retry-After", a.headers.get("retry-after") == "1", a.headers)
        t.answer("too many bytes in flight", s.form(D, {"image": bytes(2 * MIB)}), 503, "POST", D, "busy")
        t.answer("and then it works again", s.form(D, {"image": pictures.grey(64, 64)}), 200, "POST", D)
        t.check("and nothing is held", s.metric("visavis_bytes_in_flight") == 0)


def disk_full(t):
    """A body that would go to a file, where files may not grow."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (MIB, before[1]))
    try:
        s = client.Server(t.binary)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    with s:
        t.answer("no room for a big body", s.form(D, {"image": bytes(8 * MIB)}), 507, "POST", D, "storage_full")
        t.answer("no room: small ones work", s.form(D, {"image": pictures.grey(64, 64)}), 200, "POST", D)


def run(t):
    with client.Server(t.binary) as s:
        for part in (expect, too_large, chunked, connections, vanish):
            part(t, s)
        t.check("ends well", s.stop() == 0, s.log[-3:])
        bad = [l for l in s.log if l["msg"] not in ("listening", "request", "stopping", "stopped")]
        t.check("log: every line is ours", not bad, json.dumps(bad[:3]))
    slow(t)
    busy(t)
    disk_full(t)
