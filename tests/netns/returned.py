# SPDX-License-Identifier: GPL-2.0
"""A proxy that splices for a while, gets its sockets back and uses them, seen from both ends. Run from the host's namespace."""

import ctypes
import hashlib
import os
import random
import socket
import sys
import threading
import time

from pyynl.lib import NlError, YnlFamily

libc = ctypes.CDLL(None, use_errno=True)
FAMILY = socket.AF_INET6 if sys.argv[2] == "6" else socket.AF_INET
PROXY_C, PROXY_B, BACKEND = ("fd00:1::1", "fd00:2::1", "fd00:2::11") if sys.argv[2] == "6" else ("10.0.1.1", "10.0.2.1", "10.0.2.11")
rand = random.Random(7)


def enter(ns):
    """The calling thread, and what it opens from here on, is in this namespace."""
    with open(f"/run/netns/{ns}") as f:
        if libc.setns(f.fileno(), 0x40000000) != 0:
            raise OSError(ctypes.get_errno(), "setns")


enter("proxy")
ynl = YnlFamily(sys.argv[1], schema="")


def inside(ns, call):
    box = []

    def run():
        enter(ns)
        box.append(call())

    t = threading.Thread(target=run)
    t.start()
    t.join()
    return box[0]


def same(what, got, want):
    if got != want:
        print(f"FAIL {what}: {got!r}, expected {want!r}")
        sys.exit(1)


def sha(data):
    return hashlib.sha256(data).hexdigest()[:16]


class Pair:
    """A client, the proxy's two sockets, a server."""

    def __init__(self):
        back = inside("b1", lambda: socket.create_server((BACKEND, 0), family=FAMILY))
        front = socket.create_server((PROXY_C, 0), family=FAMILY)
        self.client = inside("client", lambda: socket.create_connection((PROXY_C, front.getsockname()[1])))
        self.to_client, _ = front.accept()
        self.to_server = socket.create_connection((BACKEND, back.getsockname()[1]), source_address=(PROXY_B, 0))
        self.server, _ = back.accept()
        front.close()
        back.close()
        for s in (self.client, self.server, self.to_client, self.to_server):
            s.settimeout(60)

    def splice(self, **wishes):
        self.id = ynl.do("splice-new", {"client-fd": self.to_client.fileno(), "server-fd": self.to_server.fileno()} | wishes)["id"]
        return self.id

    def returned(self, seconds=20):
        """Waits until the sockets are back."""
        end = time.monotonic() + seconds
        while True:
            now = ynl.do("splice-get", {"id": self.id})
            if now["state"] == "tombstone":
                same(f"{what}: how it ended", now["reason"], "returned")
                return now
            if time.monotonic() > end:
                print(f"FAIL {what}: not returned: {now}")
                sys.exit(1)
            time.sleep(0.02)

    def check(self):
        """All four are as good as new, both ways."""
        for a, b in ((self.client, self.to_client), (self.to_client, self.client), (self.server, self.to_server), (self.to_server, self.server)):
            data = rand.randbytes(rand.choice([1, 1000, 200_000]))
            send(a, data)
            same(f"{what}: bytes after the return", sha(receive(b, len(data))), sha(data))

    def close(self):
        for a, b in ((self.client, self.to_client), (self.to_server, self.server)):
            a.close()
            same(f"{what}: end of file after the return", b.recv(1), b"")
            b.close()


def send(s, data):
    t = threading.Thread(target=s.sendall, args=(data,))
    t.start()
    return t


def receive(s, n):
    got = bytearray()
    while len(got) < n:
        chunk = s.recv(min(65536, n - len(got)))
        if not chunk:
            break
        got += chunk
    return bytes(got)


def passes(a, b, n):
    data = rand.randbytes(n)
    t = send(a, data)
    same(f"{what}: bytes through the splice", sha(receive(b, n)), sha(data))
    t.join()


what = "a limit of the server's bytes"
sys.stdout.reconfigure(line_buffering=True)
for n in (0, 1, 1000, 100_000, 3_000_000):
    p = Pair()
    p.splice(**{"limit-to-client": n, "limit-to-server": 0})
    passes(p.server, p.client, n)
    end = p.returned()
    same(f"{what}: bytes counted", end["to-client"]["bytes"] + end["moved-to-client"], n)
    p.check()
    p.close()

what = "a limit within what is unread"
p = Pair()
p.server.sendall(b"head" + b"x" * 5000)
same("the head", receive(p.to_server, 4), b"head")
time.sleep(0.1)
p.splice(**{"limit-to-client": 3000, "limit-to-server": 0})
same(what, receive(p.client, 3000), b"x" * 3000)
end = p.returned()
same(f"{what}: moved", (end["moved-to-client"], end["to-client"]["bytes"]), (3000, 0))
same(f"{what}: what stayed", receive(p.to_server, 2000), b"x" * 2000)
p.check()
p.close()

what = "what comes after a limit stays here, pipelined in the same packets"
p = Pair()
p.splice(**{"limit-to-client": 100_000, "limit-to-server": 10})
body, after = rand.randbytes(100_000), rand.randbytes(50_000)
t = send(p.server, body + after)
p.client.sendall(b"0123456789GET /next")
same(what, sha(receive(p.client, 100_000)), sha(body))
same(what, receive(p.server, 10), b"0123456789")
p.returned()
same(what, sha(receive(p.to_server, 50_000)), sha(after))
same(what, receive(p.to_client, 9), b"GET /next")
t.join()
p.check()
p.close()

what = "what the client sent before and after arming stays here"
p = Pair()
p.client.sendall(b"GET /a GET /b")
same(what, receive(p.to_client, 7), b"GET /a ")
time.sleep(0.1)
p.splice(**{"limit-to-client": 200_000, "limit-to-server": 0})
p.client.sendall(b" GET /c")
passes(p.server, p.client, 200_000)
p.returned()
same(what, receive(p.to_client, 13), b"GET /b GET /c")
p.check()
p.close()

what = "a FIN of the server is kept"
p = Pair()
p.splice(flags={"return-on-fin"})
passes(p.client, p.server, 70_000)
data = rand.randbytes(300_000)
t = send(p.server, data)
t.join()
p.server.shutdown(socket.SHUT_WR)
same(what, sha(receive(p.client, 300_000)), sha(data))
p.returned()
same(f"{what}: end of file", p.to_server.recv(1), b"")
p.to_client.sendall(b"still here")
same(f"{what}: the client's connection goes on", receive(p.client, 10), b"still here")
p.client.sendall(b"and here")
same(f"{what}: the client's connection goes on", receive(p.to_client, 8), b"and here")
p.to_server.sendall(b"bye")
same(f"{what}: the other half of the server's too", receive(p.server, 3), b"bye")

what = "a FIN that was there at arming is kept"
p = Pair()
p.server.sendall(b"all of it")
p.server.shutdown(socket.SHUT_WR)
time.sleep(0.1)
p.splice(flags={"return-on-fin"})
same(what, receive(p.client, 9), b"all of it")
p.returned()
same(f"{what}: end of file", p.to_server.recv(1), b"")
p.to_client.sendall(b"still here")
same(what, receive(p.client, 10), b"still here")

what = "on request, while data flows both ways"
p = Pair()
down, up = rand.randbytes(4_000_000), rand.randbytes(2_000_000)
p.splice()
ts = [send(p.server, down), send(p.client, up)]
got = {"down": receive(p.client, 100_000), "up": receive(p.server, 100_000)}


def read(name, s, n):
    got[name] += receive(s, n)


# Both ends go on reading, or nothing would be acknowledged.
for s in (p.client, p.server):
    s.settimeout(1.5)


def drain(name, s):
    try:
        while chunk := s.recv(65536):
            got[name] += chunk
    except TimeoutError:
        pass


readers = [threading.Thread(target=drain, args=a) for a in (("down", p.client), ("up", p.server))]
for r in readers:
    r.start()
state = ynl.do("splice-del", {"id": p.id, "mode": "return"})["state"]
if state not in ("returning", "tombstone"):
    same(what, state, "returning")
end = p.returned()
for r in readers:
    r.join()
same(f"{what}: carried down", len(got["down"]), end["to-client"]["bytes"] + end["moved-to-client"])
same(f"{what}: carried up", len(got["up"]), end["to-server"]["bytes"] + end["moved-to-server"])
# The rest comes to the proxy.
got["down"] += receive(p.to_server, len(down) - len(got["down"]))
got["up"] += receive(p.to_client, len(up) - len(got["up"]))
same(f"{what}: down", sha(got["down"]), sha(down))
same(f"{what}: up", sha(got["up"]), sha(up))
for t in ts:
    t.join()
for s in (p.client, p.server):
    s.settimeout(60)
p.check()
p.close()

what = "again and again on the same connections"
p = Pair()
for i in range(20):
    request, n = b"GET /%d" % i, rand.choice([0, 10, 5_000, 100_000])
    p.client.sendall(request)
    same(what, receive(p.to_client, len(request)), request)
    p.to_server.sendall(request)
    same(what, receive(p.server, len(request)), request)
    data = rand.randbytes(n)
    t = send(p.server, data)
    p.splice(**{"limit-to-client": n, "limit-to-server": 0})
    same(f"{what}: {i}", sha(receive(p.client, n)), sha(data))
    t.join()
    p.returned()
p.check()
p.close()

what = "refusals"
p = Pair()
p.splice()
p.client.shutdown(socket.SHUT_WR)
same(what, p.server.recv(1), b"")
try:
    ynl.do("splice-del", {"id": p.id, "mode": "return"})
    same(what, "accepted", "refused")
except NlError as e:
    same(what, "FIN has been carried" in e.nl_msg.extack["msg"], True)
p.server.close()
p.client.close()
print("all well")
