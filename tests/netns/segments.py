# SPDX-License-Identifier: GPL-2.0
"""Segments that one end may send and the other does not take; segments received out of order at arming."""

import socket
import subprocess
import time

import pair
from pair import FAMILY, Pair, passes, rand, receive, same, send, sha, stat, ynl

pair.step("the client takes fewer bytes than the server sends, by much, or by less than timestamps need")
LITTLE_LESS = 1436 if FAMILY == socket.AF_INET6 else 1456
for mss, size in ((536, 1000), (536, 3_000_000), (LITTLE_LESS, 3_000_000)):
    p = Pair(client_mss=mss)
    before = stat("resegmented")
    p.splice()
    passes(p.server, p.client, size)
    passes(p.client, p.server, 200_000)
    if stat("resegmented") == before:
        same(f"{pair.what}: packets cut", 0, "some")
    p.client.close()
    p.server.close()

pair.step("what was out of order at arming is sent on, and its sender need not know")
for fin in (False, True):
    p = Pair()
    # A segment is lost, the next ones arrive.
    rules = "add table inet hole; add chain inet hole in { type filter hook input priority 0; }; add rule inet hole in iifname p1 meta length > 1000 drop"
    subprocess.run(["nft", rules], check=True)
    first = rand.randbytes(1200)
    p.server.sendall(first)
    p.server.sendall(b"second")
    p.server.sendall(b"third")
    if fin:
        p.server.shutdown(1)
    time.sleep(0.05)
    before = stat("moved-out-of-order")
    p.splice()
    moved = stat("moved-out-of-order") - before
    subprocess.run(["nft", "delete table inet hole"], check=True)
    same(f"{pair.what}: bytes", sha(receive(p.client, 1211)), sha(first + b"secondthird"))
    print("moved", moved, "with a FIN" if fin else "")
    same(f"{pair.what}: segments moved", moved > 0, True)
    if not fin:
        passes(p.server, p.client, 500_000)
    passes(p.client, p.server, 100_000)
    p.client.close()
    p.server.close()
print("all well")
