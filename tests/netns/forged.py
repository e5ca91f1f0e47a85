# SPDX-License-Identifier: GPL-2.0
"""Forges packets of a transfer that is going on through the one splice there is, as somebody could who sees it pass.
The far ends answer as RFC 5961 says, and their counters show it. See badinput.sh. Usage: forged.py FAMILY [exact]"""

import subprocess
import sys
import time

from rawtcp import ACK, FIN, M, PSH, RST, SLOW, SYN, Bench, fail, ip_bytes, pton, same, tcp_bytes

family = int(sys.argv[1])
# Beside the server's own packets, which wait in its queue.
bench = Bench(server=("b2", "e0", "p1"))
splice, = [s for s in bench.ynl.dump("splice-get", {}) if s["state"] != "tombstone"]


def now():
    return bench.get(splice["id"])


def forge(direction, flags, seq, ack=None, payload=b"", ttl=64):
    """A packet that seems to be from who sends in this direction. Numbers relative to what is believed."""
    r = splice[direction]
    link = bench.client_link if direction == "to-server" else bench.server_link
    src, dst = pton(family, r["saddr"]), pton(family, r["daddr"])
    at = now()[direction]
    segment = tcp_bytes(src, dst, r["sport"], r["dport"], at["seq-next"] + seq, 0 if ack is None else at["ack-last"] + ack, flags, 500, payload)
    link.send(ip_bytes(src, dst, 6, segment, ttl=ttl))


def counter(namespace, name):
    text = subprocess.check_output(["ip", "netns", "exec", namespace, "nstat", "-asz", name], text=True)
    return int(next(line.split()[1] for line in text.splitlines() if line.startswith(name)))


def noticed(namespace, name, what, forgery):
    """The far end counts this, and so has got it."""
    before = counter(namespace, name)
    forgery()
    end = time.monotonic() + 3 * SLOW
    while counter(namespace, name) <= before:
        if time.monotonic() > end:
            fail(f"{what}: {name} of {namespace} stays {before}")
        time.sleep(0.05)
    # Challenge ACKs to one connection are half a second apart (tcp_invalid_ratelimit).
    time.sleep(0.6)
    s = now()
    same(f"{what}: reason", s["reason"], "none")
    same(f"{what}: state", s["state"], "established")


if sys.argv[2:] == ["exact"]:
    # The server says nothing but data, so that what it expects of the client stands still.
    forge("to-server", RST, 0)
    end = time.monotonic() + 5 * SLOW
    while now()["reason"] == "none":
        if time.monotonic() > end:
            fail("an exact RST did not end the splice")
        time.sleep(0.02)
    sys.exit(0)

for direction, far in (("to-server", "b1"), ("to-client", "client")):
    noticed(far, "TcpExtTCPSYNChallenge", f"SYN {direction}", lambda: forge(direction, SYN, 0))
    noticed(far, "TcpExtTCPSYNChallenge", f"SYN far away {direction}", lambda: forge(direction, SYN, 1 << 29))
    noticed(far, "TcpExtTCPChallengeACK", f"RST in the window {direction}", lambda: forge(direction, RST, 20000))
    before = bench.stats()["drop-invalid-rst"]
    for n in range(20):
        forge(direction, RST, (1 << 31) + n)
    end = time.monotonic() + 3 * SLOW
    while bench.stats()["drop-invalid-rst"] < before + 20:
        if time.monotonic() > end:
            fail(f"RSTs out of the window {direction}: {bench.stats()['drop-invalid-rst'] - before} of 20 were counted")
        time.sleep(0.05)
    # Segments without the timestamps that were agreed on are dropped there before anything else is looked at.
    for flags, seq, ack, payload in ((ACK, 1 << 30, 0, b"blind"), (ACK | PSH, 100, 1 << 30, b"blind"), (ACK, 0, 1 << 29, b""), (ACK, 0, -(1 << 29), b""),
                                     (ACK | FIN, 1 << 30, 0, b""), (ACK | FIN, -(1 << 30), 0, b"")):
        forge(direction, flags, seq, ack, payload)
    time.sleep(0.2)
    same(f"after blind data and FINs {direction}", now()["reason"], "none")
print("well")
