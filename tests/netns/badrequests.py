# SPDX-License-Identifier: GPL-2.0
"""Requests that nobody should make: each refused, by its name, and with nothing changed but `refused`. See badinput.sh;
those that a well-meaning client can get wrong are in netlink.py."""

import errno as E
import os
import socket
import struct
import subprocess
import sys
import threading

from rawtcp import Bench, NlError, authenticate, fail, inside, same, sign, step

bench = Bench()
ynl = bench.ynl
NLM_F_REQUEST, NLM_F_ACK = 1, 4
A = {a: ynl.attr_sets["splice"][a].value for a in ("id", "client-fd", "server-fd", "to-server", "to-client", "idle-timeout", "state", "age")}
F = {a: ynl.attr_sets["flow"][a].value for a in ("saddr", "daddr", "sport", "dport", "seq-delta", "flags", "wscale-in")}
NEW, GET, DEL = (ynl.ops[f"splice-{o}"].req_value for o in ("new", "get", "del"))


def attr(kind, data, length=None):
    a = struct.pack("<HH", 4 + len(data) if length is None else length, kind) + data
    return a + b"\0" * (-len(a) % 4)


def u32(kind, n):
    return attr(kind, struct.pack("<I", n % (1 << 32)))


def genl(namespace="proxy"):
    with inside(namespace):
        return socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 16)


def send(cmd, payload, version=1, family=None, size=None, namespace="proxy", s=None):
    """Error number and text of the answer to a request made by hand."""
    with s or genl(namespace) as s:
        s.settimeout(10)
        for option in (11, 12):  # NETLINK_EXT_ACK, NETLINK_GET_STRICT_CHK
            s.setsockopt(270, option, 1)
        msg = struct.pack("<BBH", cmd, version, 0) + payload
        s.send(struct.pack("<IHHII", 16 + len(msg) if size is None else size, ynl.nlproto.family_id if family is None else family,
                           NLM_F_REQUEST | NLM_F_ACK, 1, 0) + msg)
        while True:
            raw = s.recv(1 << 20)
            at = 0
            while at < len(raw):
                length, kind, flags = struct.unpack("<IHH", raw[at:at + 8])
                if kind == 2:
                    error, = struct.unpack("<i", raw[at + 16:at + 20])
                    asked, = struct.unpack("<I", raw[at + 20:at + 24])
                    # Attributes follow the request, of which only the head comes back if capped.
                    rest = at + 20 + (16 if flags & 0x100 or not error else (asked + 3) & ~3)
                    text = ""
                    while flags & 0x200 and rest + 4 <= at + length:
                        n, k = struct.unpack("<HH", raw[rest:rest + 4])
                        if k == 1:
                            text = raw[rest + 4:rest + n].rstrip(b"\0").decode()
                        rest += (n + 3) & ~3
                    return -error, text
                at += (length + 3) & ~3


# What the kernel's own validation says, by its policy.
BAD = (E.EINVAL, E.ERANGE)
GAUGES = {"splices", "tombstones", "created", "ended", "refused"}


def to_loopback(protocol, prepare):
    """A connection of this host with itself, and who listened."""
    listener, s = (socket.socket(proto=protocol) for _ in range(2))
    listener.bind(("127.0.0.1", 0))
    for each in (listener, s):
        if prepare:
            prepare(each, "127.0.0.1")
    listener.listen()
    s.connect(listener.getsockname())
    return s, listener


def refused(what, cmd, payload, errno, text, reached=False, **how):
    """Refused with this number and this text; `reached` if it came as far as the handler of splice-new."""
    before = bench.stats()
    got = send(cmd, payload, **how)
    print(f"{what}: {os.strerror(got[0])}: {got[1]}")
    if got[0] not in (errno if isinstance(errno, tuple) else (errno,)) or text not in got[1] or (text and not got[1]):
        fail(f"{what}: {got}, expected {errno} and {text!r}")
    after = bench.stats()
    same(f"{what}: what changed", {k: after[k] - before[k] for k in GAUGES if after[k] != before[k]}, {"refused": 1} if reached else {})


step("attributes")
ok_id = u32(A["id"], 999999)
for cmd in (NEW, GET, DEL):
    refused(f"command {cmd} without attributes", cmd, b"", E.EINVAL, "give client-fd and server-fd, or to-server and to-client" if cmd == NEW else "say which splice: id is missing",
            reached=cmd == NEW)
refused("an attribute cut off within its head", GET, ok_id + b"\x08\0", E.EINVAL, "bytes leftover after parsing attributes")
refused("an attribute shorter than its head", GET, struct.pack("<HH", 3, A["id"]), E.EINVAL, "bytes leftover after parsing attributes")
refused("an attribute longer than the request", GET, struct.pack("<HH", 64, A["id"]), E.EINVAL, "bytes leftover after parsing attributes")
for n in (0, 1, 2, 3, 5, 7, 9, 16):
    refused(f"an id of {n} bytes", GET, attr(A["id"], b"\1" * n), BAD, "attribute")
for n in (0, 1, 2, 3):
    refused(f"an fd of {n} bytes", NEW, attr(A["client-fd"], b"\1" * n) + u32(A["server-fd"], 1), BAD, "attribute")
refused("an unknown attribute", GET, ok_id + attr(500, b"what"), E.EINVAL, "Unknown attribute type")
refused("attribute 0", GET, ok_id + attr(0, b"what"), E.EINVAL, "Unknown attribute type")
refused("an attribute of answers only", NEW, u32(A["state"], 1) + u32(A["client-fd"], 0) + u32(A["server-fd"], 1), E.EINVAL, "")
refused("a flag of nesting on a number", GET, attr(A["id"] | 0x8000, struct.pack("<I", 1)), E.EINVAL, "")
refused("a nest without the flag of nesting", NEW, attr(A["to-server"], b"") + attr(A["to-client"], b""), E.EINVAL, "NLA_F_NESTED is missing")
refused("a nest of garbage", NEW, attr(A["to-server"] | 0x8000, b"\xff" * 64) + attr(A["to-client"] | 0x8000, b"\xff" * 64), E.EINVAL, "")
refused("a nest in a nest in a nest", NEW, attr(A["to-server"] | 0x8000, attr(A["to-server"] | 0x8000, attr(A["to-server"] | 0x8000, b""))), E.EINVAL, "")
refused("an address of 5 bytes", NEW, attr(A["to-server"] | 0x8000, attr(F["saddr"], b"12345")) + attr(A["to-client"] | 0x8000, b""), E.EINVAL, "", reached=True)
refused("an address of 3, and one of 17 bytes", NEW, attr(A["to-server"] | 0x8000, attr(F["saddr"], b"123")), BAD, "")
refused("an address of 17 bytes", NEW, attr(A["to-server"] | 0x8000, attr(F["saddr"], b"1" * 17)), BAD, "")
refused("a port of four bytes", NEW, attr(A["to-server"] | 0x8000, attr(F["sport"], b"1234")), BAD, "")
refused("a window shift of 2^31", NEW, attr(A["to-server"] | 0x8000, u32(F["wscale-in"], 1 << 31)), BAD, "")
refused("flags that do not exist", NEW, attr(A["to-server"] | 0x8000, u32(F["flags"], 1 << 30)), BAD, "")
refused("empty nests", NEW, attr(A["to-server"] | 0x8000, b"") + attr(A["to-client"] | 0x8000, b""), E.EINVAL, "to-server: an address or port is missing", reached=True)
refused("sixty thousand bytes of one attribute", GET, ok_id + attr(500, b"x" * 60000), E.EINVAL, "Unknown attribute type")
refused("ten thousand attributes", GET, ok_id * 10000, E.ENOENT, "no splice 999999")
refused("the same attribute twice: the last counts", GET, u32(A["id"], 1) + u32(A["id"], 4242), E.ENOENT, "no splice 4242")
refused("an unknown command", 77, ok_id, E.EOPNOTSUPP, "")
refused("command 0", 0, ok_id, E.EOPNOTSUPP, "")
refused("a family that is not", NEW, ok_id, E.ENOENT, "", family=0x7ffe)

step("descriptors")
LIVE = bench.splice(4)
tcp = bench.connect(4)
a, b = tcp.toward_client, tcp.toward_server
with inside("proxy"):
    udp = socket.socket(type=socket.SOCK_DGRAM)
    raw = socket.socket(type=socket.SOCK_RAW, proto=6)
    unix, _ = socket.socketpair()
    idle = socket.socket()
    refusing = socket.socket()
    listener = bench.listen(4)
    (signed, _), (authenticated, _), (multipath, _) = kept = [to_loopback(*how) for how in ((0, sign), (0, authenticate), (socket.IPPROTO_MPTCP, None))]
with inside("b1"):
    elsewhere = socket.socket()
    elsewhere.bind(("127.0.0.1", 0))
    elsewhere.listen()
    foreign = socket.socket()
    foreign.connect(elsewhere.getsockname())
null = os.open("/dev/null", os.O_RDONLY)
pipe, _ = os.pipe()
path = os.open("/tmp", os.O_PATH)
not_a_socket = "is not a socket"
for what, fd, errno, text in (
    ("that is not open", 9999, E.EBADF, "descriptor 9999 is not open in the caller"),
    ("of 2^31", 1 << 31, E.EBADF, "is not open in the caller"),
    ("of -1", -1, E.EBADF, "is not open in the caller"),
    ("of /dev/null", null, E.ENOTSOCK, not_a_socket), ("of a pipe", pipe, E.ENOTSOCK, not_a_socket),
    ("of O_PATH", path, E.EBADF, "is not open in the caller"),
    ("of a UDP socket", udp.fileno(), E.EPROTONOSUPPORT, "is not a TCP socket"),
    ("of a raw socket of protocol 6", raw.fileno(), E.EPROTONOSUPPORT, "is not a TCP socket"),
    ("of a Unix socket", unix.fileno(), E.EPROTONOSUPPORT, "is not a TCP socket"),
    ("of the netlink socket", ynl.sock.fileno(), E.EPROTONOSUPPORT, "is not a TCP socket"),
    ("of a listener", listener.fileno(), E.ENOTCONN, "connection is not established any more"),
    ("of a socket that was never connected", idle.fileno(), E.ENOTCONN, "connection is not established any more"),
    ("of a connection that is signed", signed.fileno(), E.EOPNOTSUPP, "connection is signed (TCP-MD5 or TCP-AO); copy instead"),
    ("of one that TCP-AO signs", authenticated.fileno(), E.EOPNOTSUPP, "connection is signed (TCP-MD5 or TCP-AO); copy instead"),
    ("of an MPTCP socket", multipath.fileno(), E.EPROTONOSUPPORT, "is not a TCP socket"),
    ("of another namespace", foreign.fileno(), E.EINVAL, "a socket is of another network namespace than this request"),
):
    refused(f"client-fd {what}", NEW, u32(A["client-fd"], fd) + u32(A["server-fd"], b.fileno()), errno, text, reached=True)
    refused(f"server-fd {what}", NEW, u32(A["client-fd"], a.fileno()) + u32(A["server-fd"], fd), errno, text, reached=True)
refused("the same descriptor twice", NEW, u32(A["client-fd"], a.fileno()) + u32(A["server-fd"], a.fileno()), E.EINVAL, "client-fd and server-fd are the same socket", reached=True)
again = os.dup(a.fileno())
refused("two descriptors of one socket", NEW, u32(A["client-fd"], a.fileno()) + u32(A["server-fd"], again), E.EINVAL, "client-fd and server-fd are the same socket", reached=True)
refused("sockets of a namespace that the request is not of", NEW, u32(A["client-fd"], a.fileno()) + u32(A["server-fd"], b.fileno()), E.EINVAL,
        "a socket is of another network namespace than this request", namespace="b2")
refused("one of the two", NEW, u32(A["client-fd"], a.fileno()), E.EINVAL, "client-fd needs server-fd with it", reached=True)
refused("the other", NEW, u32(A["server-fd"], a.fileno()), E.EINVAL, "server-fd needs client-fd with it", reached=True)

tcp.arm(keep=True)
refused("sockets that are spliced already", NEW, u32(A["client-fd"], a.fileno()) + u32(A["server-fd"], b.fileno()), E.EEXIST, "these addresses and ports are spliced already", reached=True)
third = bench.connect(4)
refused("one that is, and one that is not", NEW, u32(A["client-fd"], a.fileno()) + u32(A["server-fd"], third.toward_server.fileno()), E.EEXIST,
        "these addresses and ports are spliced already", reached=True)
tcp.carry(tcp.client, b"the one that is spliced goes on")
tcp.carry(tcp.server, b"both ways")
third.arm()
third.carry(third.client, b"and the other one can still be")
refused("its end while it lives, by a number that is none", DEL, u32(A["id"], 0), E.ENOENT, "no splice 0")
third.delete()
refused("del of what has ended", DEL, u32(A["id"], third.id), E.ENOENT, "this splice has ended already")

step("descriptors that are closed meanwhile")
made = 0
for n in range(40):
    pair = bench.connect(4 if n % 2 else 6)
    request = u32(A["client-fd"], pair.toward_client.fileno()) + u32(A["server-fd"], pair.toward_server.fileno())
    go = threading.Barrier(3)
    # Made before, lest it take a number that was closed.
    asker = genl()

    def close(f):
        go.wait()
        f.close()

    threads = [threading.Thread(target=close, args=(f,)) for f in (pair.toward_client, pair.toward_server)]
    for t in threads:
        t.start()
    go.wait()
    error, text = send(NEW, request, s=asker)
    for t in threads:
        t.join()
    if error not in (0, E.EBADF, E.ENOTCONN):
        fail(f"closed while arming: {error} {text}")
    made += error == 0
print(f"{made} of 40 were made nevertheless")
for s in ynl.dump("splice-get", {}):
    if s["state"] != "tombstone" and s["id"] not in (LIVE.id, tcp.id):
        ynl.do("splice-del", {"id": s["id"]})

step("without privilege")
ask = """
import os, sys
sys.path.insert(0, "/payload/tests/netns")
import socket, struct
s = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 16)
family, cmd = int(sys.argv[1]), int(sys.argv[2])
msg = struct.pack("<BBH", cmd, 1, 0) + bytes.fromhex(sys.argv[3])
s.send(struct.pack("<IHHII", 16 + len(msg), family, 5, 1, 0) + msg)
print(-struct.unpack("<i", s.recv(4096)[16:20])[0])
"""
before = bench.stats()
for cmd, payload in ((NEW, u32(A["client-fd"], 0) + u32(A["server-fd"], 1)), (GET, u32(A["id"], tcp.id)), (DEL, u32(A["id"], tcp.id)),
                     (ynl.ops["stats-get"].req_value, b"")):
    for how in (["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", "--inh-caps=-all"], ["setpriv", "--bounding-set=-net_admin", "--inh-caps=-all"]):
        got = subprocess.check_output(["ip", "netns", "exec", "proxy", *how, "python3", "-c", ask, str(ynl.nlproto.family_id), str(cmd), payload.hex()], text=True).strip()
        same(f"command {cmd} without CAP_NET_ADMIN ({how[1]})", int(got), E.EPERM)
same("nothing changed by who may not", bench.stats(), before)
tcp.carry(tcp.client, b"still there")
LIVE.carry(LIVE.client, b"still there")
for p in (tcp, LIVE):
    p.delete()
print("well")
