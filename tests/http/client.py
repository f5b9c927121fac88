"""The server under test as a child process, and a client that controls every byte it sends."""

import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
import urllib.parse


# Time-outs are long because a sanitizer's build needs a minute for what takes a release build 100 ms; where a time matters
# it is measured.


class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, {k.lower(): v for k, v in headers}, body

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def code(self):
        """error.code, or None."""
        try:
            return self.json["error"]["code"]
        except (ValueError, KeyError, TypeError):
            return None

    def __repr__(self):
        return f"{self.status} {self.body[:300]!r}"


def form(fields, boundary="----visavis-test-boundary"):
    """Multipart body and content type. fields: (name, bytes or str) pairs, or a dict."""
    out = b""
    for name, value in fields.items() if isinstance(fields, dict) else fields:
        value = value.encode() if isinstance(value, str) else value
        out += f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"; filename="x"\r\n'.encode()
        out += b"Content-Type: application/octet-stream\r\n\r\n" + value + b"\r\n"
    return out + f"--{boundary}--\r\n".encode(), f"multipart/form-data; boundary={boundary}"


class Server:
    """visavis serve on a port of its own choice, with a data folder that vanishes afterwards."""

    def __init__(self, binary, *options, data=None, listen="127.0.0.1:0", wait=120):
        self.binary = binary
        self.own_data = data is None
        self.data = data or tempfile.mkdtemp(prefix="visavis-http-")
        self.log, self.lines = [], threading.Condition()
        env = dict(os.environ, VISAVIS_LISTEN=listen)
        self.process = subprocess.Popen([binary, "serve", "--data", self.data, *options], env=env,
                                        stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()
        first = self.wait_log(lambda l: l.get("msg") == "listening", wait)
        if not first:
            self.stop()
            raise RuntimeError("the server does not start: " + repr(self.log[-3:]))
        self.port, self.address = first["port"], first["address"]

    def _read(self):
        for line in self.process.stderr:
            try:
                parsed = json.loads(line)
            except ValueError:
                parsed = {"msg": "(not JSON)", "text": line}
            with self.lines:
                self.log.append(parsed)
                self.lines.notify_all()
        with self.lines:
            self.lines.notify_all()

    def wait_log(self, wanted, seconds=10):
        """The first log line that is wanted; None after that time or when the process ends."""
        end = time.monotonic() + seconds
        seen = 0
        with self.lines:
            while True:
                for line in self.log[seen:]:
                    if wanted(line):
                        return line
                seen = len(self.log)
                left = end - time.monotonic()
                if left <= 0 or (not self.reader.is_alive() and self.process.poll() is not None):
                    return None
                self.lines.wait(min(left, 0.2))

    def request(self, method, path, body=None, headers=None, timeout=300, host="127.0.0.1"):
        """One request on a connection of its own."""
        c = http.client.HTTPConnection(host, self.port, timeout=timeout)
        try:
            c.request(method, path, body, headers or {})
            r = c.getresponse()
            return Answer(r.status, r.getheaders(), r.read())
        finally:
            c.close()

    def form(self, path, fields, headers=None, query=None):
        body, kind = form(fields)
        path += "?" + urllib.parse.urlencode(query) if query else ""
        return self.request("POST", path, body, {"Content-Type": kind, **(headers or {})})

    def json(self, path, value, headers=None):
        body = value if isinstance(value, (bytes, str)) else json.dumps(value)
        return self.request("POST", path, body, {"Content-Type": "application/json", **(headers or {})})

    def socket(self, timeout=300):
        s = socket.create_connection(("127.0.0.1", self.port), timeout=timeout)
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return s

    def metric(self, name):
        for line in self.request("GET", "/metrics").body.decode().splitlines():
            if line.startswith(name + " "):
                return float(line.split()[-1])
        return None

    def rss(self):
        with open(f"/proc/{self.process.pid}/statm", encoding="ascii") as f:
            return int(f.read().split()[1]) * os.sysconf("SC_PAGESIZE")

    def terminate(self):
        self.process.send_signal(signal.SIGTERM)

    def stop(self, seconds=300):
        """Exit status after SIGTERM; -9 when it had to be killed."""
        if self.process.poll() is None:
            self.terminate()
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.reader.join(10)
        if self.own_data:
            shutil.rmtree(self.data, ignore_errors=True)
        return self.process.returncode

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


def read_answer(s):
    """The next HTTP answer of a socket; None when it ends before one."""
    r = http.client.HTTPResponse(s)
    try:
        r.begin()
        return Answer(r.status, r.getheaders(), r.read())
    except (http.client.HTTPException, OSError):
        return None
    finally:
        r.close()
