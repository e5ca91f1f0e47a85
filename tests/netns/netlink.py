# SPDX-License-Identifier: GPL-2.0
"""Requests that must be refused, each with a message; explicit splices; dumps. Run in a namespace of its own."""

import errno as E
import os
import socket
import struct
import sys
import threading

from pyynl.lib import NlError, YnlFamily
from pyynl.lib.ynl import NlAttrs, NlMsgs

ynl = YnlFamily(sys.argv[1], schema="")
failures = []


def check(what, holds, detail=""):
    if not holds:
        failures.append(what)
        print(f"FAIL {what}: {detail}")


def flow(n, back=False):
    client, vip, leg, server = "192.0.2.1", "192.0.2.2", "198.51.100.2", "198.51.100.1"
    cport, lport = 1000 + n % 50000, 2000 + n % 50000
    there = {"seq-delta": 7, "ack-delta": 2**32 - 9, "tsval-delta": 11, "tsecr-delta": 2**32 - 13}
    here = {"seq-delta": 9, "ack-delta": 2**32 - 7, "tsval-delta": 13, "tsecr-delta": 2**32 - 11}
    base = (here if back else there) | {
        "wscale-in": 7, "wscale-out": 7, "flags": {"timestamps", "sack"}, "seq-origin": 1, "seq-next": 1, "ack-last": 1, "ack-floor": 1,
    }
    if not back:
        return base | {"saddr": client, "sport": cport, "daddr": vip, "dport": 80, "new-saddr": leg,
                       "new-sport": lport, "new-daddr": server, "new-dport": 80}
    return base | {"saddr": server, "sport": 80, "daddr": leg, "dport": lport, "new-saddr": vip,
                   "new-sport": 80, "new-daddr": client, "new-dport": cport}


def splice(n, **change):
    return {"to-server": flow(n), "to-client": flow(n, True)} | change


def without(d, *keys):
    return {k: v for k, v in d.items() if k not in keys}


def refused(what, errno, op, attrs):
    """The request fails with a message for people, and with the right number."""
    try:
        answer = ynl.do(op, attrs)
    except NlError as e:
        text = (e.nl_msg.extack or {}).get("msg", "")
        if not text:
            missing = (e.nl_msg.extack or {}).get("miss-type") or (e.nl_msg.extack or {}).get("bad-attr")
            text = f"(attribute: {missing})" if missing else ""
        print(f"{what}: {os.strerror(e.error)}: {text}")
        check(f"{what}: error number", e.error in errno, os.strerror(e.error))
        check(f"{what}: message", bool(text), e.nl_msg.extack)
        return
    check(what, False, f"accepted: {answer}")


bad = [E.EINVAL]

tcp = socket.socket()
udp = socket.socket(type=socket.SOCK_DGRAM)
listener = socket.socket()
listener.bind(("127.0.0.1", 0))
listener.listen()
near = socket.create_connection(listener.getsockname())
far, _ = listener.accept()
near2 = socket.create_connection(listener.getsockname())
far2, _ = listener.accept()
listener6 = socket.socket(socket.AF_INET6)
listener6.bind(("::1", 0))
listener6.listen()
near6 = socket.create_connection(listener6.getsockname()[:2])
pipe, _ = os.pipe()

refused("get without an id", bad, "splice-get", {})
refused("get of what is not there", [E.ENOENT], "splice-get", {"id": 999999})
refused("del without an id", bad, "splice-del", {})
refused("del of what is not there", [E.ENOENT], "splice-del", {"id": 999999})
refused("get of id 0", [E.ENOENT, E.EINVAL], "splice-get", {"id": 0})
refused("new with nothing", bad, "splice-new", {})
refused("new with one fd", bad, "splice-new", {"client-fd": far.fileno()})
refused("new with fds and flows", bad, "splice-new", splice(1) | {"client-fd": far.fileno(), "server-fd": near2.fileno()})
refused("new with one flow", bad, "splice-new", {"to-server": flow(1)})
refused("a closed fd", [E.EBADF], "splice-new", {"client-fd": 9999, "server-fd": near.fileno()})
refused("an fd that is no socket", [E.ENOTSOCK], "splice-new", {"client-fd": pipe, "server-fd": near.fileno()})
refused("a UDP socket", [E.EINVAL, E.EOPNOTSUPP, E.EPROTONOSUPPORT, E.EPROTOTYPE, E.ESOCKTNOSUPPORT], "splice-new",
        {"client-fd": udp.fileno(), "server-fd": near.fileno()})
refused("a socket that is not connected", [E.EINVAL, E.ENOTCONN], "splice-new",
        {"client-fd": tcp.fileno(), "server-fd": near.fileno()})
refused("a listener", [E.EINVAL, E.ENOTCONN], "splice-new", {"client-fd": listener.fileno(), "server-fd": near.fileno()})
refused("the same socket twice", bad, "splice-new", {"client-fd": far.fileno(), "server-fd": far.fileno()})
refused("two families", [E.EINVAL, E.EAFNOSUPPORT, E.EOPNOTSUPP], "splice-new", {"client-fd": far.fileno(), "server-fd": near6.fileno()})
far.send(b"alive")
check("a refused socket still works", near.recv(10) == b"alive")

for key in ("saddr", "daddr", "sport", "dport", "new-saddr", "new-daddr", "new-sport", "new-dport"):
    refused(f"a flow without {key}", bad, "splice-new", splice(1, **{"to-server": without(flow(1), key)}))
refused("addresses of two families", bad, "splice-new", splice(1, **{"to-server": flow(1) | {"daddr": "2001:db8::1"}}))
refused("a window shift of 15", [E.EINVAL, E.ERANGE], "splice-new", splice(1, **{"to-server": flow(1) | {"wscale-in": 15}}))
refused("flows that are not each other's reverse", bad, "splice-new", splice(1, **{"to-client": flow(2, True)}))
refused("deltas that do not undo each other", bad, "splice-new", splice(1, **{"to-client": flow(1, True) | {"seq-delta": 8}}))

# Strict validation: an attribute that does not exist, one of the wrong length, one that is cut off.
def exchange(cmd, payload, flags):
    """A request made by hand; the messages that answer it."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_GENERIC) as s:
        s.settimeout(10)
        s.setsockopt(270, 12, 1)  # SOL_NETLINK, NETLINK_GET_STRICT_CHK, as every modern client
        msg = struct.pack("<BBH", cmd, 1, 0) + payload
        s.send(struct.pack("<IHHII", 16 + len(msg), ynl.nlproto.family_id, flags, 1, 0) + msg)
        while True:
            for m in NlMsgs(s.recv(1 << 20)):
                yield m
                if m.done:
                    return


def verdict(cmd, payload):
    """Error number of a request that asks for an acknowledgement."""
    return [-m.error for m in exchange(cmd, payload, NLM_F_REQUEST | NLM_F_ACK) if m.done][0]


def dump_ids():
    """Ids of a dump, and whether the kernel marked it as interrupted."""
    ids, marked = [], False
    for m in exchange(GET, b"", NLM_F_REQUEST | NLM_F_DUMP):
        marked = marked or bool(m.nl_flags & NLM_F_DUMP_INTR)
        if not m.done:
            ids += [a.as_auto_scalar("uint") for a in NlAttrs(m.raw, 4) if a.type == ID]
    return ids, marked


NETLINK_GENERIC = 16
NLM_F_REQUEST, NLM_F_ACK, NLM_F_DUMP_INTR, NLM_F_DUMP = 1, 4, 16, 0x300
GET = ynl.ops["splice-get"].req_value
ID = ynl.attr_sets["splice"]["id"].value


def attr(kind, data):
    a = struct.pack("<HH", 4 + len(data), kind) + data
    return a + b"\0" * (-len(a) % 4)


check("an unknown attribute", verdict(GET, attr(ID, struct.pack("<I", 1)) + attr(200, b"1234")) == E.EINVAL)
check("an id of one byte", verdict(GET, attr(ID, b"1")) in (E.EINVAL, E.ERANGE))
check("a cut attribute", verdict(GET, struct.pack("<HH", 40, ID)) == E.EINVAL)
check("an unknown command", verdict(77, b"") in (E.EOPNOTSUPP, E.EINVAL))

# Explicit numbers: what get prints is what new takes.
ids = []
for n in range(1, 401):
    ids.append(ynl.do("splice-new", splice(n))["id"])
check("400 ids differ", len(set(ids)) == 400)
refused("the same flow again", [E.EEXIST], "splice-new", splice(1))
one = ynl.do("splice-get", {"id": ids[0]})
for side in ("to-server", "to-client"):
    want = flow(1, side == "to-client")
    got = {k: one[side].get(k) for k in want}
    got["flags"] = set(got["flags"] or ())
    check(f"what was given comes back, {side}", got == want, f"{got} instead of {want}")
dump = ynl.dump("splice-get", {})
check("a dump has them all", sorted(s["id"] for s in dump) == sorted(ids), len(dump))

# A dump beside changes: whole, or marked as interrupted (the client raises or repeats).
stop = threading.Event()
kept = set(ids[:200])


def churn():
    other = YnlFamily(sys.argv[1], schema="")
    n = 1000
    while not stop.is_set():
        i = other.do("splice-new", splice(n))["id"]
        other.do("splice-del", {"id": i})
        n += 1


t = threading.Thread(target=churn)
t.start()
whole = interrupted = 0
for _ in range(20):
    got, marked = dump_ids()
    if marked:
        interrupted += 1
        continue
    whole += 1
    check("a dump has each only once", len(got) == len(set(got)))
    check("a dump has all that were there throughout", kept <= set(got), len(kept - set(got)))
stop.set()
t.join()
print(f"dumps beside changes: {whole} whole, {interrupted} marked as interrupted")

for i in ids:
    ynl.do("splice-del", {"id": i})
check("all are gone", ynl.do("stats-get", {})["splices"] == 0, ynl.do("stats-get", {}))
check("refusals were counted", ynl.do("stats-get", {})["refused"] > 10, ynl.do("stats-get", {}))
sys.exit(1 if failures else 0)
