# SPDX-License-Identifier: GPL-2.0
"""Idle splices: ends that answer are left alone; one that does not, or whose operator said so, ends it."""

import os
import subprocess
import sys
import time

import pair
from pair import Pair, passes, rand, same, sha, ynl


SLOW = int(os.environ.get("SLOW", "1"))


def state(p):
    now = ynl.do("splice-get", {"id": p.id})
    return now["state"], now["reason"]


def probes():
    return ynl.do("stats-get", {})["probes"]


def reset_within(s, seconds):
    """How long until the connection was reset."""
    start = time.monotonic()
    s.settimeout(seconds)
    try:
        s.recv(1)
    except ConnectionResetError:
        return time.monotonic() - start
    print(f"FAIL {pair.what}: no RST in {seconds} s")
    sys.exit(1)


pair.step("both ends answer: nothing ends, however long")
p = Pair()
p.splice(**{"idle-timeout": 1500})
passes(p.server, p.client, 1000)
before = probes()
time.sleep(9)
same(f"{pair.what}: state", state(p), ("established", "none"))
sent = probes() - before
if not 4 <= sent <= 14:
    same(f"{pair.what}: probes in nine seconds", sent, "4 to 14")
passes(p.server, p.client, 200_000)
passes(p.client, p.server, 200_000)

pair.step("an end that is used is not probed")
before = probes()
for _ in range(40):
    passes(p.client, p.server, 10)
    time.sleep(0.1)
same(pair.what, probes() - before, 0)
p.client.close()
p.server.close()

pair.step("the operator said so: cut at once, and both ends know")
p = Pair()
p.splice(**{"idle-timeout": 1500, "flags": {"cut-when-idle"}})
before = probes()
took = reset_within(p.client, 20)
if took < 1.3:
    same(f"{pair.what}: seconds until the RST", took, "1.5 and no less")
reset_within(p.server, 5)
same(f"{pair.what}: state", state(p), ("tombstone", "idle"))
same(f"{pair.what}: probes", probes() - before, 0)

pair.step("one end is gone without a word: probed, then cut, and the other knows")
p = Pair()
# It must not be idle before the rule is there, which takes seconds on a slow machine.
idle = 1500 * SLOW
p.splice(**{"idle-timeout": idle})
passes(p.client, p.server, 1000)
since = time.monotonic()
before = probes()
rules = "add table inet gone; add chain inet gone in { type filter hook input priority 0; policy drop; }"
subprocess.run(["ip", "netns", "exec", "client", "nft", rules], check=True)
reset_within(p.server, 30 * SLOW)
took = time.monotonic() - since
if took < idle / 1000 + 2.5:
    same(f"{pair.what}: seconds until the RST", took, f"{idle / 1000} and three probes")
same(f"{pair.what}: state", state(p), ("tombstone", "idle"))
# Three to the one that is gone; the other answers the first.
same(f"{pair.what}: probes", probes() - before, 4)
subprocess.run(["ip", "netns", "exec", "client", "nft", "delete table inet gone"], check=True)
print("all well")
