# SPDX-License-Identifier: GPL-2.0
"""A window that is closed while the proxy still has bytes of its own to send, and opens soon after the server has probed it."""

import sys
import time

import pair
from pair import Pair, rand, receive, same, send, sha, stat, unread

pair.step("the proxy's own bytes wait at a closed window, the server probes")
for nap in (0.4, 0.9):
    p = Pair(client_room=20_000)
    down = rand.randbytes(400_000)
    t = send(p.server, down)
    while unread(p.to_server) < 100_000:
        time.sleep(0.02)
    p.splice()
    time.sleep(nap)
    same(pair.what, sha(receive(p.client, len(down))), sha(down))
    t.join()
    p.client.close()
    same(f"{pair.what}: end of file", p.server.recv(1), b"")
    p.server.close()

pair.step("the server sends what the proxy's socket had room for, and the client has not")
p = Pair(client_room=20_000)
send(p.server, b"x" * 300_000)
same(pair.what, len(receive(p.to_server, 300_000)), 300_000)
before = stat("waited")
p.splice()
down = rand.randbytes(100_000)
t = send(p.server, down)
end = time.monotonic() + 30
while stat("waited") == before:
    if time.monotonic() > end:
        print(f"FAIL {pair.what}: nothing has waited")
        sys.exit(1)
    time.sleep(0.02)
same(pair.what, sha(receive(p.client, len(down))), sha(down))
t.join()
p.client.close()
same(f"{pair.what}: end of file", p.server.recv(1), b"")
p.server.close()
