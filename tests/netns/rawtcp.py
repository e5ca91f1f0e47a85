# SPDX-License-Identifier: GPL-2.0
"""Packets by hand: IPv4, IPv6 and TCP built and taken apart, ends of connections that no TCP stands behind, and splices
between two of them. For scenarios; runs as root, outside of any namespace of theirs.

An end has an address that nobody has, so that nobody answers for it, and a fixed entry in the proxy's
neighbour table. What it says and what it expects is in the hands of the scenario, number by number."""

import contextlib
import os
import select
import socket
import struct
import subprocess
import sys
import time

sys.path.insert(0, "/payload/ynl")
from pyynl.lib import NlError, YnlFamily  # noqa: E402

SLOW = int(os.environ.get("SLOW", "1"))
STARTED = time.monotonic()
SPEC = "/payload/ynl/Documentation/netlink/specs/tcp_splice.yaml"
FIN, SYN, RST, PSH, ACK, URG, ECE, CWR = (1 << n for n in range(8))
TCP, ICMP, ICMPV6, FRAGMENT, HOP_BY_HOP, ROUTING, DESTINATION = 6, 1, 58, 44, 0, 43, 60
M = 1 << 32


def fail(*what):
    print("FAIL", *what)
    sys.exit(1)


def same(what, actual, expected):
    if actual != expected:
        fail(f"{what}: {actual!r:.1000}, expected {expected!r:.1000}")


def step(what):
    print(f"\n### {what} ({time.monotonic() - STARTED:.1f} s)", flush=True)


@contextlib.contextmanager
def inside(namespace):
    """Sockets made within are of that namespace, for as long as they live."""
    here = os.open("/proc/self/ns/net", os.O_RDONLY)
    there = os.open(f"/run/netns/{namespace}", os.O_RDONLY)
    os.setns(there, os.CLONE_NEWNET)
    try:
        yield
    finally:
        os.setns(here, os.CLONE_NEWNET)
        os.close(here)
        os.close(there)


def checksum(data):
    if len(data) % 2:
        data += b"\0"
    s = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while s >> 16:
        s = (s & 0xffff) + (s >> 16)
    return s ^ 0xffff


def pton(family, a):
    return socket.inet_pton(socket.AF_INET if family == 4 else socket.AF_INET6, a)


def ntop(a):
    return socket.inet_ntop(socket.AF_INET if len(a) == 4 else socket.AF_INET6, a)


def pseudo(src, dst, length, protocol):
    return src + dst + struct.pack("!II", length, protocol)


def tcp_bytes(src, dst, sport, dport, seq, ack, flags, window, payload=b"", options=b"", urgent=0, offset=None, spoil=0):
    """A TCP segment; `offset` in words, if it is to be a lie; `spoil` is added to the checksum."""
    options += b"\0" * (-len(options) % 4)
    words = 5 + len(options) // 4 if offset is None else offset
    head = struct.pack("!HHIIBBHHH", sport, dport, seq % M, ack % M, words << 4, flags, window, 0, urgent) + options
    check = (checksum(pseudo(src, dst, len(head) + len(payload), TCP) + head + payload) + spoil) & 0xffff
    return head[:16] + struct.pack("!H", check) + head[18:] + payload


def ip_bytes(src, dst, protocol, payload, ttl=64, tos=0, ident=0x1234, frag=0x4000, ip_options=b"", extensions=(), total=None, spoil_ip=0):
    """An IP packet. `frag` is the flags and offset of IPv4; `extensions` are (kind, bytes after the first) of IPv6."""
    if len(src) == 4:
        words = 5 + len(ip_options) // 4
        length = words * 4 + len(payload) if total is None else total
        head = struct.pack("!BBHHHBBH", 0x40 | words, tos, length, ident, frag, ttl, protocol, 0) + src + dst + ip_options
        check = (checksum(head) + spoil_ip) & 0xffff
        return head[:10] + struct.pack("!H", check) + head[12:] + payload
    for kind, body in reversed(list(extensions)):
        payload = bytes([protocol]) + body + payload
        protocol = kind
    length = len(payload) if total is None else total
    return struct.pack("!IHBB", 6 << 28 | tos << 20, length, protocol, ttl) + src + dst + payload


class Packet:
    """What arrived, taken apart."""

    def __init__(self, raw):
        self.raw = raw
        self.family = raw[0] >> 4
        self.extensions = []
        if self.family == 4:
            self.tos, self.total, self.ident, self.frag, self.ttl, self.protocol = struct.unpack("!xBHHHBB", raw[:10])
            size = (raw[0] & 15) * 4
            self.src, self.dst = raw[12:16], raw[16:20]
            self.ip_options = raw[20:size]
            self.ip_ok = checksum(raw[:size]) == 0
        else:
            word, length, self.protocol, self.ttl = struct.unpack("!IHBB", raw[:8])
            self.tos, self.total = word >> 20 & 255, length + 40
            self.src, self.dst = raw[8:24], raw[24:40]
            self.ip_ok = True
            size = 40
            while self.protocol in (HOP_BY_HOP, ROUTING, DESTINATION, FRAGMENT):
                n = 8 if self.protocol == FRAGMENT else (raw[size + 1] + 1) * 8
                self.extensions.append((self.protocol, raw[size + 1:size + n]))
                self.protocol = raw[size]
                size += n
        self.body = raw[size:self.total]
        self.is_fragment = bool(self.frag & 0x3fff) if self.family == 4 else any(k == FRAGMENT for k, _ in self.extensions)
        self.sport = self.dport = None
        self.is_tcp = self.protocol == TCP and not self.is_fragment
        if self.is_tcp:
            self.read_tcp()

    def read_tcp(self):
        t = self.body
        self.sport, self.dport, self.seq, self.ack, off, self.flags, self.window, self.check, self.urgent = struct.unpack("!HHIIBBHHH", t[:20])
        self.nonce = off & 15
        self.options = t[20:(off >> 4) * 4]
        self.payload = t[(off >> 4) * 4:]
        self.tcp_ok = checksum(pseudo(self.src, self.dst, len(t), TCP) + t) == 0

    def option(self, kind):
        """The data of an option, or None."""
        i = 0
        while i < len(self.options) and self.options[i] != 0:
            if self.options[i] == 1:
                i += 1
                continue
            n = self.options[i + 1]
            if self.options[i] == kind:
                return self.options[i + 2:i + n]
            i += n
        return None

    def stamps(self):
        data = self.option(8)
        return struct.unpack("!II", data) if data and len(data) == 8 else None

    def __repr__(self):
        where = f"{ntop(self.src)}:{self.sport} > {ntop(self.dst)}:{self.dport}"
        if not self.is_tcp:
            return f"<{where} protocol {self.protocol} {self.body[:48].hex()}>"
        names = "".join(c for n, c in enumerate("FSRPAUEW") if self.flags >> n & 1)
        return f"<{where} {names} seq {self.seq} ack {self.ack} win {self.window} len {len(self.payload)} options {self.options.hex()}>"


class Link:
    """A device, below its TCP/IP."""

    def __init__(self, namespace, device, proxy_device):
        self.namespace, self.proxy_device = namespace, proxy_device
        with inside(namespace):
            self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
            self.socket.bind((device, 0))
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16 << 20)
        self.socket.setblocking(False)
        self.mac = self.socket.getsockname()[4]
        text = subprocess.check_output(["ip", "-n", "proxy", "link", "show", "dev", proxy_device], text=True)
        self.peer = bytes.fromhex(text.split("link/ether ")[1].split()[0].replace(":", ""))
        self.inbox = []

    def claim(self, address):
        """The proxy finds this address here; nobody else answers for it."""
        subprocess.check_call(["ip", "-n", "proxy", "neighbour", "replace", address, "lladdr", self.mac.hex(":"),
                               "dev", self.proxy_device, "nud", "permanent"])

    def send(self, packet):
        kind = 0x0800 if packet[0] >> 4 == 4 else 0x86dd
        self.socket.send(self.peer + self.mac + struct.pack("!H", kind) + packet)

    def pump(self, timeout):
        """Takes in what has arrived; waits for something at most that long."""
        if not select.select([self.socket], [], [], timeout)[0]:
            return False
        while True:
            try:
                frame, where = self.socket.recvfrom(70000)
            except BlockingIOError:
                return True
            # Not what this host itself sends.
            if where[2] != 4 and frame[12:14] in (b"\x08\x00", b"\x86\xdd"):
                self.inbox.append(Packet(frame[14:]))

    def take(self, wanted, timeout):
        """The first packet that `wanted` holds for; None if none comes in time."""
        end = time.monotonic() + timeout
        while True:
            for n, packet in enumerate(self.inbox):
                if wanted(packet):
                    return self.inbox.pop(n)
            left = end - time.monotonic()
            if left <= 0:
                return None
            self.pump(left)


def sockaddr(s, address):
    """As a struct sockaddr_storage without a port."""
    return struct.pack("=HH", s.family, 0) + (bytes(4) if s.family == socket.AF_INET6 else b"") + socket.inet_pton(s.family, address)


def sign(s, peer):
    """Has a socket sign what it sends to that address, and want that signed which comes from it (RFC 2385), as struct tcp_md5sig says."""
    s.setsockopt(socket.IPPROTO_TCP, 14, struct.pack("=128sBBHi80s", sockaddr(s, peer), 0, 0, 3, 0, b"key"))


def authenticate(s, peer):
    """The same by RFC 5925 (TCP-AO), as struct tcp_ao_add says."""
    prefix = 128 if s.family == socket.AF_INET6 else 32
    key = struct.pack("=128s64siIHBBBBBB80s", sockaddr(s, peer), b"hmac(sha1)", 0, 0, 0, prefix, 100, 100, 12, 0, 3, b"key")
    s.setsockopt(socket.IPPROTO_TCP, 38, key)


def option(kind, data=b""):
    return bytes([kind, 2 + len(data)]) + data


NOP = b"\1"


class End:
    """One end of a connection, without a TCP. `seq` is the next that it sends, `ack` the next that it expects."""

    def __init__(self, link, me, peer, port, peer_port=None, isn=1000, stamps=True, sack=True, wscale=7, mss=1460, ecn=False, window=1000):
        self.link = link
        self.family = 6 if ":" in me else 4
        self.me, self.peer = pton(self.family, me), pton(self.family, peer)
        link.claim(me)
        self.port, self.peer_port = port, peer_port
        self.seq, self.ack = isn, 0
        self.stamps, self.sack, self.wscale, self.mss, self.ecn, self.window = stamps, sack, wscale, mss, ecn, window
        self.clock, self.echo = 5_000_000, 0

    def is_ours(self, p):
        return p.is_tcp and p.src == self.peer and p.dst == self.me and p.dport == self.port and self.peer_port in (None, p.sport)

    def syn_options(self):
        o = option(2, struct.pack("!H", self.mss))
        if self.sack:
            o += NOP + NOP + option(4)
        if self.stamps:
            o += NOP + NOP + self.stamp()
        if self.wscale is not None:
            o += NOP + option(3, bytes([self.wscale]))
        return o

    def stamp(self):
        self.clock += 1
        return option(8, struct.pack("!II", self.clock % M, self.echo))

    def bytes(self, flags=ACK, payload=b"", seq=None, ack=None, options=None, window=None, urgent=0, offset=None, spoil=0, tcp=None, **ip):
        """A packet of this end, without sending it."""
        if options is None:
            options = NOP + NOP + self.stamp() if self.stamps else b""
        segment = tcp_bytes(self.me, self.peer, self.port, self.peer_port, self.seq if seq is None else seq,
                            (self.ack if ack is None else ack) if flags & ACK else 0,
                            flags, self.window if window is None else window, payload, options, urgent, offset, spoil)
        return ip_bytes(self.me, self.peer, TCP, segment if tcp is None else tcp(segment), **ip)

    def send(self, flags=ACK, payload=b"", **how):
        """Sends a packet; the next one follows it, unless `seq` was given."""
        packet = self.bytes(flags, payload, **how)
        if "seq" not in how:
            self.seq = (self.seq + len(payload) + bool(flags & SYN) + bool(flags & FIN)) % M
        self.link.send(packet)
        return packet

    def next(self, timeout=5):
        """The next packet of this connection; None if none comes."""
        p = self.link.take(self.is_ours, timeout * (SLOW if timeout >= 1 else 1))
        if p is not None and p.stamps():
            self.echo = p.stamps()[0]
        return p

    def expect(self, what, **fields):
        """The next packet, which must be whole and have these fields; what it carries is taken in."""
        p = self.next()
        if p is None:
            fail(f"{what}: nothing arrived")
        for name, value in ({"ip_ok": True, "tcp_ok": True} | fields).items():
            if getattr(p, name) != value:
                fail(f"{what}: {name} is {getattr(p, name)!r}, expected {value!r}: {p}")
        if p.seq == self.ack and p.tcp_ok and not p.flags & RST:
            self.ack = (self.ack + len(p.payload) + bool(p.flags & SYN) + bool(p.flags & FIN)) % M
        return p

    def quiet(self, what, seconds=0.3):
        p = self.next(seconds)
        if p is not None:
            fail(f"{what}: {p}")

    def connect(self):
        self.send(SYN | (ECE | CWR if self.ecn else 0), options=self.syn_options())
        p = self.next()
        if p is None or p.flags & (SYN | ACK) != SYN | ACK:
            fail(f"no SYN-ACK for the client, but {p}")
        self.ack = (p.seq + 1) % M
        self.send()
        return p

    def accept(self):
        self.peer_port = None
        # Of a connection that was cut a RST may still be about.
        p = self.link.take(lambda p: self.is_ours(p) and p.flags & (SYN | ACK) == SYN, 5 * SLOW)
        if p is None:
            fail(f"no SYN for the server, but {self.link.inbox}")
        if p.stamps():
            self.echo = p.stamps()[0]
        self.peer_port, self.ack = p.sport, (p.seq + 1) % M
        return p

    def answer(self):
        """To a SYN that was accepted."""
        self.send(SYN | ACK | (ECE if self.ecn else 0), options=self.syn_options())
        p = self.next()
        if p is None or p.flags & (SYN | ACK) != ACK:
            fail(f"no ACK for the server, but {p}")
        return p


def addresses(family):
    """Of the client end, the proxy toward it, the proxy toward the server, the server end."""
    return ("10.0.1.66", "10.0.1.1", "10.0.2.1", "10.0.2.66") if family == 4 else ("fd00:1::66", "fd00:1::1", "fd00:2::1", "fd00:2::66")


def attributes(data):
    """Kinds and contents of netlink attributes."""
    found = []
    while len(data) >= 4:
        length, kind = struct.unpack("<HH", data[:4])
        found.append((kind & 0x3fff, data[4:length]))
        data = data[(length + 3) & ~3:]
    return found


class Bench:
    """The proxy's host: its netlink family, its sockets, the links on both of its sides."""

    def __init__(self, client=("client", "c0", "p0"), server=("b1", "e0", "p1")):
        self.client_link, self.server_link = Link(*client), Link(*server)
        with inside("proxy"):
            self.ynl = YnlFamily(SPEC, schema="")
            self.genl = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 16)
        self.stats_names, self.splice_names, self.flow_names = (self.names(n) for n in ("stats", "splice", "flow"))
        self.listeners, self.port = {}, 20000

    def ask(self, op, payload=b""):
        """The attributes of the answer to a request: much faster than the client of the kernel's tree, which everything else uses."""
        message = struct.pack("<BBH", self.ynl.ops[op].req_value, 1, 0) + payload
        self.genl.send(struct.pack("<IHHII", 16 + len(message), self.ynl.nlproto.family_id, 1, 1, 0) + message)
        answer = self.genl.recv(65536)
        if struct.unpack("<H", answer[4:6])[0] == 2:
            error, = struct.unpack("<i", answer[16:20])
            raise OSError(-error, os.strerror(-error))
        return attributes(answer[20:struct.unpack("<I", answer[:4])[0]])

    def names(self, kind):
        return {a.value: n for n, a in self.ynl.attr_sets[kind].items()}

    def stats(self):
        names = self.stats_names
        return {names[k]: int.from_bytes(v, "little") for k, v in self.ask("stats-get") if k in names}

    def get(self, splice):
        """The splice: numbers, but for the names of state, reason and flags."""
        number = {"state": "splice-state", "reason": "end-reason"}
        found = {}
        for k, v in self.ask("splice-get", struct.pack("<HHQ", 12, self.ynl.attr_sets["splice"]["id"].value, splice)):
            name = self.splice_names.get(k)
            if name in ("to-server", "to-client"):
                found[name] = {self.flow_names[k]: int.from_bytes(w, "little") for k, w in attributes(v)}
                bits = self.ynl.consts["flow-flags"].entries.values()
                found[name]["flags"] = {e.name for e in bits if found[name]["flags"] & e.user_value(as_flags=True)}
            else:
                found[name] = int.from_bytes(v, "little")
                if name in number:
                    found[name] = next(e.name for e in self.ynl.consts[number[name]].entries.values() if e.value == found[name])
        return found

    @contextlib.contextmanager
    def counts(self, what, **expected):
        """What is done within moves these counters by exactly so much, and no other."""
        before = self.stats()
        yield
        gauges = ("splices", "tombstones")
        end = time.monotonic() + 3 * SLOW
        while True:
            moved = {k: v - before[k] for k, v in self.stats().items() if k not in gauges and v != before[k]}
            if moved == {k.replace("_", "-"): v for k, v in expected.items() if v}:
                return
            if time.monotonic() > end:
                fail(f"{what}: counters moved by {moved}, expected {expected}")
            time.sleep(0.02)

    def listen(self, family):
        if family not in self.listeners:
            with inside("proxy"):
                s = socket.socket(socket.AF_INET if family == 4 else socket.AF_INET6)
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            s.bind((addresses(family)[1], 9000))
            s.listen()
            s.settimeout(5 * SLOW)
            self.listeners[family] = s
        return self.listeners[family]

    def connect(self, family, client=None, server=None, port=None, out_port=None):
        """Two connections with the proxy, not spliced yet: a Pair."""
        c, p, q, s = addresses(family)
        if port is None:
            self.port += 1
            port = self.port
        listener = self.listen(family)
        c = End(self.client_link, c, p, port, 9000, isn=M - 300, **(client or {}))
        s = End(self.server_link, s, q, 80, isn=7_000_000, **(server or {}))
        c.syn_ack = c.connect()
        toward_client, _ = listener.accept()
        with inside("proxy"):
            toward_server = socket.socket(socket.AF_INET if family == 4 else socket.AF_INET6)
        toward_server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if out_port:
            toward_server.bind((q, out_port))
        toward_server.setblocking(False)
        toward_server.connect_ex((ntop(s.me), 80))
        s.accept()
        s.answer()
        for e in (toward_client, toward_server):
            e.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            e.setblocking(True)
            e.settimeout(5 * SLOW)
        select.select([], [toward_server], [], 5 * SLOW)
        return Pair(self, c, s, toward_client, toward_server)

    def splice(self, family, **how):
        pair = self.connect(family, **how)
        pair.arm()
        return pair


class Pair:
    """A client end, a server end, and what is between them."""

    def __init__(self, bench, client, server, toward_client, toward_server):
        self.bench, self.client, self.server = bench, client, server
        self.toward_client, self.toward_server = toward_client, toward_server
        self.id = None

    def arm(self, keep=False, **attributes):
        self.id = self.bench.ynl.do("splice-new", attributes | {"client-fd": self.toward_client.fileno(), "server-fd": self.toward_server.fileno()})["id"]
        if not keep:
            self.toward_client.close()
            self.toward_server.close()
        # What each end says next is what the other expects next.
        self.up = (self.server.ack - self.client.seq) % M
        self.down = (self.client.ack - self.server.seq) % M

    def get(self):
        return self.bench.get(self.id)

    def numbers(self):
        """What the splice believes of both directions; not how many packets there were."""
        s = self.get()
        keep = ("seq-next", "ack-last", "flags", "bytes", "window-edge")
        return {"state": s["state"], **{f"{d} {k}": s[d].get(k) for d in ("to-server", "to-client") for k in keep}}

    def mapped(self, sender, number):
        """A sequence number of an end, as the other sees it."""
        return (number + (self.up if sender is self.client else self.down)) % M

    def other(self, end):
        return self.server if end is self.client else self.client

    def carry(self, end, payload, flags=ACK | PSH, **fields):
        """A packet goes through, whole, with the right numbers, and the other end expects what is after it."""
        other = self.other(end)
        seq, ack = self.mapped(end, end.seq), (end.ack - (self.down if end is self.client else self.up)) % M
        end.send(flags, payload)
        want = {"seq": seq, "flags": flags, "payload": payload, "sport": other.peer_port, "dport": other.port, "ttl": 63}
        if flags & ACK:
            want["ack"] = ack
        return other.expect("a packet that is carried", **want, **fields)

    def state(self):
        try:
            s = self.get()
        except OSError:
            return "gone", None
        return s["state"], s["reason"]

    def wait_state(self, *wanted, seconds=5):
        end = time.monotonic() + seconds * SLOW
        while self.state() != wanted:
            if time.monotonic() > end:
                fail(f"the splice is {self.state()}, expected {wanted}")
            time.sleep(0.02)

    def delete(self):
        with contextlib.suppress(NlError):
            self.bench.ynl.do("splice-del", {"id": self.id})
