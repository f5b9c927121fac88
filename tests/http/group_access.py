"""Who may ask: Host and Origin on loopback, keys, and where the server refuses to start."""

import json
import shutil
import socket
import subprocess
import tempfile
import time

import client

M = "/v1/models"


def key(t, data, *args):
    r = subprocess.run([t.binary, "key", *args, "--data", data], capture_output=True, text=True, check=False)
    return r.returncode, [json.loads(line) for line in r.stdout.splitlines()], r.stderr


def loopback(t):
    with client.Server(t.binary) as s:
        def ask(**headers):
            return s.request("GET", M, headers={k.replace("_", "-"): v for k, v in headers.items()})

        for host in ("localhost", "LOCALHOST:1234", "127.0.0.1", "127.1.2.3:80", "[::1]", "[::1]:8080"):
            t.answer(f"Host {host}", ask(Host=host), 200, "GET", M)
        for host in ("example.org", "127.0.0.1.example.org", "localhost.example.org", "127.evil.org", "[::2]", "localhost:80x",
                     "user@localhost", "[::1"):
            t.answer(f"Host {host}", ask(Host=host), 403, "GET", M, "forbidden", (host,))
        for origin in ("http://localhost", "http://127.0.0.1:3000", "https://[::1]:1"):
            t.answer(f"Origin {origin}", ask(Origin=origin), 200, "GET", M)
        for origin in ("https://example.org", "null", "http://localhost.example.org", "http://example.org/localhost"):
            t.answer(f"Origin {origin}", ask(Origin=origin), 403, "GET", M, "forbidden", (origin,))
        t.answer("through a proxy", ask(X_Forwarded_For="10.0.0.1"), 401, "GET", M, "unauthorized")
        t.answer("a wrong key is refused even here", ask(Authorization="Bearer visavis_0"), 401, "GET", M, "unauthorized")
        r = s.request("OPTIONS", M, headers={"Origin": "http://localhost", "Access-Control-Request-Method": "GET"})
        t.check("no CORS", not any(h.startswith("access-control") for h in r.headers), r.headers)


def keys(t, data):
    status, made, err = key(t, data, "create", "--name", "first ✓")
    if not t.check("key create", status == 0 and len(made) == 1 and made[0]["name"] == "first ✓", (status, made, err)):
        return
    secret = made[0]["secret"]
    t.check("the secret has 256 bits", len(secret.split("_")[1]) == 64 and secret.startswith("visavis_"), len(secret))
    with open(data + "/visavis.db", "rb") as f:
        t.check("the secret is not stored", secret.encode() not in f.read())
    status, listed, _ = key(t, data, "list")
    t.check("key list", status == 0 and [k["id"] for k in listed] == [made[0]["id"]] and "secret" not in listed[0] and
            listed[0]["revoked"] is None, listed)
    for name, args in (("nothing", ()), ("something else", ("destroy",)), ("revoke without an id", ("revoke",)),
                       ("revoke of nobody", ("revoke", "01J9ZK3V5T8Q2W4X6Y7Z8A9B0C")),
                       ("a name of 101 bytes", ("create", "--name", "x" * 101))):
        t.check(f"key {name} is refused", key(t, data, *args)[0] == 2)

    with client.Server(t.binary, data=data, listen="0.0.0.0:0") as s:
        for name, headers in (("Bearer", {"Authorization": "Bearer " + secret}), ("X-API-Key", {"X-API-Key": secret})):
            t.answer(f"{name}", s.request("GET", M, headers=headers), 200, "GET", M)
        t.answer("a key opens every Host", s.request("GET", M, headers={"Host": "example.org", "X-API-Key": secret}), 200,
                 "GET", M)
        for name, headers in (("no key", {}), ("a wrong key", {"X-API-Key": secret[:-1] + ("0" if secret[-1] != "0" else "1")}),
                              ("Basic", {"Authorization": "Basic " + secret}), ("an empty key", {"X-API-Key": ""})):
            r = s.request("GET", M, headers=headers)
            if t.answer(name, r, 401, "GET", M, "unauthorized"):
                t.check(f"{name}: WWW-Authenticate", r.headers.get("www-authenticate") == "Bearer", r.headers)
        t.answer("/metrics wants one too", s.request("GET", "/metrics"), 401, "GET", "/metrics", "unauthorized")
        for path in ("/health/live", "/health/ready", "/openapi.yaml", "/"):
            t.answer(f"{path} is open", s.request("GET", path), 200, "GET", path)
        second = key(t, data, "create")[1][0]
        t.check("a new key works within seconds", becomes(s, second["secret"], 200))
        t.check("key revoke", key(t, data, "revoke", made[0]["id"])[1][0]["revoked"] is not None)
        t.check("a revoked key stops within seconds", becomes(s, secret, 401))
        t.check("the other one goes on", becomes(s, second["secret"], 200))
        t.check("no secret in the log", not any(secret in json.dumps(l) for l in s.log))
    key(t, data, "revoke", second["id"])
    t.check("refuses to start beyond loopback when every key is revoked", refuses(t, data, "0.0.0.0:0"))


def becomes(s, secret, status):
    end = time.monotonic() + 5
    while time.monotonic() < end:
        if s.request("GET", M, headers={"X-API-Key": secret}).status == status:
            return True
        time.sleep(0.05)
    return False


def refuses(t, data, listen):
    """What serve says when it does not start."""
    r = subprocess.run([t.binary, "serve", "--listen", listen, "--data", data], capture_output=True, text=True, timeout=120,
                       check=False)
    return r.returncode == 2 and json.loads(r.stderr.splitlines()[-1])["detail"]


def starting(t, data):
    for listen in ("0.0.0.0:0", ":0", "[::]:0"):
        said = refuses(t, data, listen)
        t.check(f"{listen} without a key", said and "key create" in said, said)
    for listen in ("127.0.0.1", "127.0.0.1:99999", "::1:80", "[::1:80", "nobody.invalid:80", "127.0.0.1:80x"):
        said = refuses(t, data, listen)
        t.check(f"{listen} is no address", said and "cannot listen" in said, said)
    with client.Server(t.binary) as s:
        said = refuses(t, data, f"127.0.0.1:{s.port}")
        t.check("a port that is taken", said and str(s.port) in said, said)
    if ipv6():
        with client.Server(t.binary, listen="[::1]:0") as s:
            t.check("IPv6: address", s.address == f"[::1]:{s.port}", s.address)
            t.answer("IPv6", s.request("GET", M, host="::1"), 200, "GET", M)
    else:
        t.skip("IPv6", "no ::1 here")
    with client.Server(t.binary, data=data) as s:
        t.check("the log line names the port", s.address == f"127.0.0.1:{s.port}", s.address)


def ipv6():
    try:
        with socket.socket(socket.AF_INET6) as s:
            s.bind(("::1", 0))
        return True
    except OSError:
        return False


def run(t):
    loopback(t)
    for part in (starting, keys):
        data = tempfile.mkdtemp(prefix="visavis-keys-")
        try:
            part(t, data)
        finally:
            shutil.rmtree(data, ignore_errors=True)
