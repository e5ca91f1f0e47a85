# SPDX-License-Identifier: GPL-2.0
"""Sockets that are given back by a splice and used again, seen from both ends."""

import socket
import sys
import threading
import time

import pair
from pair import Pair, passes, rand, receive, same, send, sha, unread, ynl
from pyynl.lib import NlError

pair.step("a limit of the server's bytes")
for n in (0, 1, 1000, 100_000, 3_000_000):
    p = Pair()
    p.splice(**{"limit-to-client": n, "limit-to-server": 0})
    passes(p.server, p.client, n)
    end = p.returned()
    same(f"{pair.what}: bytes counted", end["to-client"]["bytes"] + end["moved-to-client"], n)
    p.check()
    p.close()

pair.step("a limit within what is unread")
p = Pair()
p.server.sendall(b"head" + b"x" * 5000)
same("the head", receive(p.to_server, 4), b"head")
time.sleep(0.1)
p.splice(**{"limit-to-client": 3000, "limit-to-server": 0})
same(pair.what, receive(p.client, 3000), b"x" * 3000)
end = p.returned()
same(f"{pair.what}: moved", (end["moved-to-client"], end["to-client"]["bytes"]), (3000, 0))
same(f"{pair.what}: what stayed", receive(p.to_server, 2000), b"x" * 2000)
p.check()
p.close()

pair.step("what comes after a limit stays here, pipelined in the same packets")
p = Pair()
p.splice(**{"limit-to-client": 100_000, "limit-to-server": 10})
body, after = rand.randbytes(100_000), rand.randbytes(50_000)
t = send(p.server, body + after)
p.client.sendall(b"0123456789GET /next")
same(pair.what, sha(receive(p.client, 100_000)), sha(body))
same(pair.what, receive(p.server, 10), b"0123456789")
p.returned()
same(pair.what, sha(receive(p.to_server, 50_000)), sha(after))
same(pair.what, receive(p.to_client, 9), b"GET /next")
t.join()
p.check()
p.close()

pair.step("what the client sent before and after arming stays here")
p = Pair()
p.client.sendall(b"GET /a GET /b")
same(pair.what, receive(p.to_client, 7), b"GET /a ")
time.sleep(0.1)
p.splice(**{"limit-to-client": 200_000, "limit-to-server": 0})
p.client.sendall(b" GET /c")
passes(p.server, p.client, 200_000)
p.returned()
same(pair.what, receive(p.to_client, 13), b"GET /b GET /c")
p.check()
p.close()

pair.step("far more than the server's window stays here, and more comes")
p = Pair(front_room=8_000_000)
up = rand.randbytes(2_200_000)
p.client.sendall(up[:2_000_000])
while unread(p.to_client) < 2_000_000:
    time.sleep(0.05)
p.splice(**{"limit-to-client": 300_000, "limit-to-server": 0})
t = send(p.client, up[2_000_000:])
passes(p.server, p.client, 300_000)
p.returned()
same(pair.what, sha(receive(p.to_client, len(up))), sha(up))
t.join()
p.check()
p.close()

pair.step("a FIN of the server is kept")
p = Pair()
p.splice(flags={"return-on-fin"})
passes(p.client, p.server, 70_000)
data = rand.randbytes(300_000)
t = send(p.server, data)
t.join()
p.server.shutdown(socket.SHUT_WR)
same(pair.what, sha(receive(p.client, 300_000)), sha(data))
p.returned()
same(f"{pair.what}: end of file", p.to_server.recv(1), b"")
p.to_client.sendall(b"still here")
same(f"{pair.what}: the client's connection goes on", receive(p.client, 10), b"still here")
p.client.sendall(b"and here")
same(f"{pair.what}: the client's connection goes on", receive(p.to_client, 8), b"and here")
p.to_server.sendall(b"bye")
same(f"{pair.what}: the other half of the server's too", receive(p.server, 3), b"bye")

pair.step("a FIN that was there at arming is kept")
p = Pair()
p.server.sendall(b"all of it")
p.server.shutdown(socket.SHUT_WR)
time.sleep(0.1)
p.splice(flags={"return-on-fin"})
same(pair.what, receive(p.client, 9), b"all of it")
p.returned()
same(f"{pair.what}: end of file", p.to_server.recv(1), b"")
p.to_client.sendall(b"still here")
same(pair.what, receive(p.client, 10), b"still here")

pair.step("on request, while data flows both ways")
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
    same(pair.what, state, "returning")
end = p.returned()
for r in readers:
    r.join()
same(f"{pair.what}: carried down", len(got["down"]), end["to-client"]["bytes"] + end["moved-to-client"])
same(f"{pair.what}: carried up", len(got["up"]), end["to-server"]["bytes"] + end["moved-to-server"])
# The rest comes to the proxy.
got["down"] += receive(p.to_server, len(down) - len(got["down"]))
got["up"] += receive(p.to_client, len(up) - len(got["up"]))
same(f"{pair.what}: down", sha(got["down"]), sha(down))
same(f"{pair.what}: up", sha(got["up"]), sha(up))
for t in ts:
    t.join()
for s in (p.client, p.server):
    s.settimeout(60)
p.check()
p.close()

pair.step("again and again on the same connections")
p = Pair()
for i in range(20):
    request, n = b"GET /%d" % i, rand.choice([0, 10, 5_000, 100_000])
    p.client.sendall(request)
    same(pair.what, receive(p.to_client, len(request)), request)
    p.to_server.sendall(request)
    same(pair.what, receive(p.server, len(request)), request)
    data = rand.randbytes(n)
    t = send(p.server, data)
    p.splice(**{"limit-to-client": n, "limit-to-server": 0})
    same(f"{pair.what}: {i}", sha(receive(p.client, n)), sha(data))
    t.join()
    p.returned()
p.check()
p.close()

pair.step("refusals")
p = Pair()
p.splice()
p.client.shutdown(socket.SHUT_WR)
same(pair.what, p.server.recv(1), b"")
try:
    ynl.do("splice-del", {"id": p.id, "mode": "return"})
    same(pair.what, "accepted", "refused")
except NlError as e:
    same(pair.what, "FIN has been carried" in e.nl_msg.extack["msg"], True)
p.server.close()
p.client.close()
print("all well")
