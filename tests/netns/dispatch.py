# SPDX-License-Identifier: GPL-2.0
"""Packets of a service to its nodes: what dispatch.sh sets up is driven and looked at from here."""

import collections
import contextlib
import functools
import hashlib
import json
import os
import random
import socket
import struct
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(__file__))
from frames import Capture  # noqa: E402
from rawtcp import ACK, ICMP, ICMPV6, RST, SYN, TCP, checksum, fail, inside, ip_bytes, pseudo, pton, same, step, tcp_bytes  # noqa: E402

SLOW = int(os.environ.get("SLOW", "1"))


@functools.cache
def data(n):
    """The same bytes everywhere."""
    return random.Random(n).randbytes(n)


def digest(b):
    return hashlib.sha256(b).hexdigest()


def serve(name, address):
    """A server on a node. who: the name. get N: N bytes. put N, and N bytes: their hash."""
    def talk(s):
        with contextlib.suppress(OSError), s, s.makefile("rb") as lines:
            for line in lines:
                word, *rest = line.decode().split()
                if word == "who":
                    s.sendall(name.encode() + b"\n")
                elif word == "get":
                    s.sendall(data(int(rest[0])))
                elif word == "put":
                    s.sendall(digest(lines.read(int(rest[0]))).encode() + b"\n")

    def accept():
        while True:
            threading.Thread(target=talk, args=(listener.accept()[0],), daemon=True).start()
    with inside(name):
        listener = socket.create_server((address, 80), family=AF, backlog=500)
    threading.Thread(target=accept, daemon=True).start()


NODES = {"n1": 11, "n2": 12, "n3": 13}
DEVICE = {"client": "c0", "lb": "l0", "lb2": "l0"} | dict.fromkeys(NODES, "e0")


def use(family):
    """IPv4 or IPv6 from here on."""
    global FAMILY, AF, NET, VIP, CLIENT, ADDRESS, SERVICE
    FAMILY = family
    AF = socket.AF_INET if FAMILY == 4 else socket.AF_INET6
    NET = "10.0.2." if FAMILY == 4 else "fd00:2::"
    VIP, CLIENT = NET + "100", NET + "2"
    ADDRESS = VIP if FAMILY == 4 else f"[{VIP}]"
    SERVICE = f"{ADDRESS}:80"


def ctl(ns, *words, ok=True):
    p = subprocess.run(["nsenter", f"--net=/run/netns/{ns}", "splicectl", "-j", *map(str, words)], capture_output=True, text=True)
    if ok and p.returncode != 0:
        fail(f"splicectl {' '.join(map(str, words))} in {ns}: {p.stderr}")
    return json.loads(p.stdout) if p.returncode == 0 and p.stdout else p


def ip(ns, *words):
    return subprocess.run(["ip", "-n", ns, *words], check=True, capture_output=True, text=True).stdout


def mac(ns):
    return bytes.fromhex(json.loads(ip(ns, "-j", "link", "show", "dev", DEVICE[ns]))[0]["address"].replace(":", ""))


MACS = {ns: mac(ns) for ns in DEVICE}


def stats(ns):
    return ctl(ns, "stats")


def node(ns, name, *words):
    """Sets node `name` as host `ns` knows it."""
    ctl(ns, "node", "set", SERVICE, NODES[name], *words)


HOSTS = ("lb", "lb2", *NODES)


def ctl_all(lines):
    """Lines of arguments by host, all hosts at a time."""
    runs = {}
    for ns, what in lines.items():
        script = "".join(f"splicectl {line} >/dev/null || exit 1\n" for line in what)
        runs[ns] = subprocess.Popen(["nsenter", f"--net=/run/netns/{ns}", "sh", "-c", script], stderr=subprocess.PIPE, text=True)
    for ns, p in runs.items():
        said = p.communicate()[1]
        if p.returncode != 0:
            fail(f"splicectl in {ns}: {said}")


def everywhere(name, *words, hosts=HOSTS):
    ctl_all({ns: [f"node set {SERVICE} {NODES[name]} {' '.join(map(str, words))}"] for ns in hosts})


def forget():
    """No service anywhere."""
    ctl_all({ns: [f"service del {' '.join(names)}"] for ns in HOSTS if (names := [endpoint(s) for s in ctl(ns, "service", "list")])})


def endpoint(s):
    return f"[{s['address']}]:{s['port']}" if ":" in s["address"] else f"{s['address']}:{s['port']}"


def setup(scheduler, output="direct", proxies="hash", service=None, hosts=HOSTS, extra=lambda name: ""):
    """The service anew, and no other."""
    forget()
    service = service or SERVICE
    ctl_all({ns: [f"service add {service} --scheduler {scheduler if ns.startswith('lb') else proxies}"] + [
        f"node set {service} {number} --via {NET}{number} --output {output} --local={str(name == ns).lower()} {extra(name)}"
        for name, number in NODES.items()] for ns in hosts})


def capture(*hosts):
    """Frames that come in at some hosts, and those that the client sends."""
    def place(ns):
        way, end = ("out", "src") if ns == "client" else ("in", "dst")
        return ns, DEVICE[ns], way, f"not arp and ether {end} {MACS[ns].hex(':')}"
    return Capture(FAMILY, {ns: place(ns) for ns in hosts or ("client", *NODES)})


def protocol(packet):
    return packet[9] if packet[0] >> 4 == 4 else packet[6]


def ends(packet):
    return (packet[12:16], packet[16:20]) if packet[0] >> 4 == 4 else (packet[8:24], packet[24:40])


def tcp(packet):
    return packet[20 if packet[0] >> 4 == 4 else 40:]


def to_service(packets, source=None):
    """Packets of the client to the service that came in frames of this host, as they are."""
    want = (pton(FAMILY, CLIENT), pton(FAMILY, VIP))
    return [p for m, p in packets if protocol(p) == TCP and ends(p) == want and (source is None or m == MACS[source])]


def no_rst(seen, but=()):
    for ns, packets in seen.items():
        for _, p in packets:
            if protocol(p) == TCP and tcp(p)[13] & RST and ns not in but:
                fail(f"a RST at {ns}: {p.hex()}")


class Conn:
    def __init__(self, port=None, timeout=20):
        with inside("client"):
            self.s = socket.socket(AF)
            self.s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.s.settimeout(timeout * SLOW)
        if port:
            self.s.bind((CLIENT, port))
        self.s.connect((VIP, 80))
        self.port = self.s.getsockname()[1]

    def read(self, n):
        got = bytearray()
        while len(got) < n:
            chunk = self.s.recv(min(n - len(got), 1 << 16))
            if not chunk:
                break
            got += chunk
        return bytes(got)

    def line(self):
        got = b""
        while not got.endswith(b"\n"):
            byte = self.s.recv(1)
            if not byte:
                fail("the connection ended early")
            got += byte
        return got.decode().strip()

    def who(self):
        self.s.sendall(b"who\n")
        return self.line()

    def get(self, n):
        self.s.sendall(b"get %d\n" % n)
        same(f"SHA-256 of {n} bytes down", digest(self.read(n)), digest(data(n)))

    def put(self, n):
        self.s.sendall(b"put %d\n" % n + data(n))
        same(f"SHA-256 of {n} bytes up", self.line(), digest(data(n)))

    def close(self, rst=False):
        if rst:
            self.s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.s.close()


def owners(ports):
    """Who answers on each of these ports of the client. All connections end with a RST of the client."""
    found = {}
    for port in ports:
        c = Conn(port)
        found[port] = c.who()
        same(f"who answers once more on port {port}", c.who(), found[port])
        c.close(rst=True)
    return found


def wait_settled(ns):
    """Views of ten seconds ago count as shared."""
    while any(n["since"] < 10_500 for n in ctl(ns, "nodes")):
        time.sleep(0.2)


def settle_neighbours():
    """Each node knows where the others are: they have spoken."""
    for a in NODES:
        for b, number in NODES.items():
            if a != b:
                subprocess.run(["nsenter", f"--net=/run/netns/{a}", "ping", "-c1", "-W2", NET + str(number)], capture_output=True)


def turns():
    step(f"IPv{FAMILY}: every packet to the next node; unspliced connections at the wrong proxy")
    setup("rr")
    settle_neighbours()

    def drops():
        return {n: [stats(n)[k] for k in ("drop-not-owned", "drop-loop", "drop-no-route", "drop-no-node")] for n in ("lb", *NODES)}
    before = drops()
    captured = capture()
    c = Conn()
    owner = c.who()
    c.get(600_000)
    c.put(200_000)
    c.close()
    time.sleep(0.5)
    seen = captured.end()
    no_rst(seen)
    sent = collections.Counter(to_service(seen["client"]))
    from_lb = {n: collections.Counter(to_service(seen[n], "lb")) for n in NODES}
    same("packets that the nodes got of the balancer, each as the client sent it and once", sum(from_lb.values(), collections.Counter()), sent)
    counts = {n: p.total() for n, p in from_lb.items()}
    print("packets by node:", counts, "owner", owner)
    # One connection is one CPU's; the first packets may have been another's.
    if max(counts.values()) - min(counts.values()) > 4 or min(counts.values()) < 50:
        fail(f"the packets of one connection are not spread evenly: {counts}")
    same("counts of the balancer", {n: next(m["packets"] for m in ctl("lb", "nodes") if m["address"] == VIP and m["id"] == NODES[n]) for n in NODES}, counts)
    # At the owner everything has come in, in frames of whomever, and as it was sent; nowhere more than n times.
    same("what came to the owner", collections.Counter(to_service(seen[owner])), sent)
    hops = collections.Counter(p for n in NODES for p in to_service(seen[n]))
    worst = max(hops[p] // sent[p] for p in sent)
    if worst > len(NODES):
        fail(f"a packet was on the wire {worst} times")
    same("packets dropped", drops(), before)


def weights():
    step(f"IPv{FAMILY}: turns by weight")
    setup("weighted")
    everywhere("n1", "--weight", 5)
    everywhere("n3", "--weight", 2)
    before = stats("lb")["dispatched"]
    c = Conn()
    c.get(400_000)
    c.close()
    time.sleep(0.3)
    counts = {n["id"] - 10: n["packets"] for n in ctl("lb", "nodes") if n["address"] == VIP}
    total = stats("lb")["dispatched"] - before
    same("packets in all", sum(counts.values()), total)
    for n, weight in ((1, 5), (2, 1), (3, 2)):
        if abs(counts[n] - total * weight / 8) > 8:
            fail(f"packets by weight 5:1:2: {counts}")
    print("packets by node:", counts)


def scores():
    step(f"IPv{FAMILY}: connections by score; a node that goes moves its own")
    setup("hash")
    settle_neighbours()
    ports = range(30000, 30045)
    before = owners(ports)
    print("connections by node:", collections.Counter(before.values()))
    same("nodes with connections", set(before.values()), set(NODES))
    everywhere("n2", "--state", "down")
    after = owners(ports)
    moved = {p for p in ports if before[p] != after[p]}
    same("connections that moved", moved, {p for p in ports if before[p] == "n2"})
    everywhere("n2", "--state", "up")
    same("owners once the node is back", owners(ports[:12]), {p: before[p] for p in ports[:12]})

    step(f"IPv{FAMILY}: a node that drains")
    old = [Conn(31000 + i) for i in range(12)]
    had = [c.who() for c in old]
    same("nodes with connections", set(had), set(NODES))
    everywhere("n1", "--state", "draining")
    same("old connections while n1 drains", [c.who() for c in old], had)
    new = [Conn(32000 + i) for i in range(12)]
    names = [c.who() for c in new]
    if "n1" in names:
        fail("a new connection went to a node that drains")
    everywhere("n1", "--state", "up")
    # Those that would be n1's go there first now, and n1 hands them on.
    sent = stats("n1")["dispatched"]
    same("connections made in the meantime", [c.who() for c in new], names)
    if stats("n1")["dispatched"] == sent:
        fail("nothing was handed on by n1")

    step(f"IPv{FAMILY}: an ICMP error finds the owner")
    c = old[0]
    quoted = ip_bytes(pton(FAMILY, VIP), pton(FAMILY, CLIENT), TCP, tcp_bytes(pton(FAMILY, VIP), pton(FAMILY, CLIENT), 80, c.port, 12345, 1, ACK, 100))
    if FAMILY == 4:
        body = struct.pack("!BBHHH", 3, 4, 0, 0, 1400) + quoted
        body = body[:2] + struct.pack("!H", checksum(body)) + body[4:]
        error = ip_bytes(pton(4, CLIENT), pton(4, VIP), ICMP, body)
    else:
        body = struct.pack("!BBHI", 2, 0, 0, 1400) + quoted
        check = checksum(pseudo(pton(6, CLIENT), pton(6, VIP), len(body), ICMPV6) + body)
        error = ip_bytes(pton(6, CLIENT), pton(6, VIP), ICMPV6, body[:2] + struct.pack("!H", check) + body[4:])

    def out_of_window():
        count = {}
        for n in NODES:
            out = subprocess.run(["nsenter", f"--net=/run/netns/{n}", "nstat", "-asz", "TcpExtOutOfWindowIcmps"], capture_output=True, text=True).stdout
            count[n] = int(out.split()[-2])
        return count
    for scheduler in ("hash", "rr"):
        if scheduler == "rr":
            for ns in ("lb", "lb2"):
                ctl(ns, "service", "del", SERVICE)
                ctl(ns, "service", "add", SERVICE, "--scheduler", "rr")
                for name, number in NODES.items():
                    node(ns, name, "--via", NET + str(number))
        base = out_of_window()
        for _ in range(3):
            frame("client", "lb", error)
        end = time.monotonic() + 5 * SLOW
        while (now := out_of_window()) != base | {had[0]: base[had[0]] + 3}:
            if time.monotonic() > end:
                fail(f"the error did not come to {had[0]}, and there alone: {base} became {now} ({scheduler})")
            time.sleep(0.1)
    for c in old + new:
        c.close(rst=True)


def frame(source, destination, packet):
    with inside(source):
        s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    with s:
        s.bind((DEVICE[source], 0))
        s.send(MACS[destination] + MACS[source] + (b"\x08\x00" if FAMILY == 4 else b"\x86\xdd") + packet)


def stray(port, mark):
    """A segment of no connection, by which it can be known again."""
    a, b = pton(FAMILY, CLIENT), pton(FAMILY, VIP)
    return ip_bytes(a, b, TCP, tcp_bytes(a, b, port, 80, mark, 1, ACK, 100, payload=b"stray"))


def opinions():
    step(f"IPv{FAMILY}: hosts that disagree about who is alive")
    setup("hash")
    settle_neighbours()
    captured = capture()
    before = sum(stats(n)["drop-not-owned"] for n in NODES)
    rand = random.Random(FAMILY)
    mark = 1_000_000
    for _ in range(6):
        states = ["up", "down", "draining"]
        # Down first: each node has just seen a change, and answers nothing with a RST, however long ago the last round was.
        ctl_all({ns: [f"node set {SERVICE} {NODES[name]} --state {state}" for name in NODES if name != ns for state in ("down", rand.choice(states))] for ns in NODES})
        for n in NODES:
            for port in (40001, 40002, 40003, 40004):
                frame("client", n, stray(port, mark))
                mark += 1
    time.sleep(0.5)
    seen = captured.end()
    hops = collections.Counter(struct.unpack("!I", tcp(p)[4:8])[0] for n in NODES for p in to_service(seen[n]))
    same("segments seen", set(hops), set(range(1_000_000, mark)))
    print("times on the wire:", sorted(collections.Counter(hops.values()).items()))
    # Once as it came in, and then one frame for each node at most.
    if max(hops.values()) > 1 + len(NODES) or max(hops.values()) < 3:
        fail(f"a packet was on the wire {max(hops.values())} times")
    same("segments dropped at the end of the order, each once", sum(stats(n)["drop-not-owned"] for n in NODES) - before, len(hops))
    no_rst(seen)


def dead():
    step(f"IPv{FAMILY}: nobody can have it: then, and only then, a RST")
    setup("hash")
    settle_neighbours()
    captured = capture("lb", *NODES)
    answers = []
    with inside("client"):
        sniff = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
    sniff.bind((DEVICE["client"], 0))
    sniff.settimeout(0.5)

    def rsts():
        got = 0
        with contextlib.suppress(TimeoutError):
            while True:
                packet = sniff.recv(2000)[14:]
                if packet[0] >> 4 == FAMILY and protocol(packet) == TCP and ends(packet) == (pton(FAMILY, VIP), pton(FAMILY, CLIENT)):
                    got += bool(tcp(packet)[13] & RST)
        return got
    # On a slow machine it is long since they were set up.
    for state in ("draining", "up"):
        everywhere("n3", "--state", state, hosts=NODES)
    frame("client", "n1", stray(41000, 5))
    same("RSTs, of nodes that have just changed", rsts(), 0)
    for n in NODES:
        wait_settled(n)
    for port in (41001, 41002, 41003):
        frame("client", "n1", stray(port, 6))
    same("RSTs, of nodes that agree", rsts(), 3)
    everywhere("n3", "--state", "down", hosts=NODES)
    frame("client", "n1", stray(41004, 7))
    same("RSTs, while one cannot be asked", rsts(), 0)
    captured.end()
    sniff.close()


def tunnels():
    step(f"IPv{FAMILY}: tunnels")
    for scheduler in ("hash", "rr"):
        setup(scheduler, output="tunnel")
        captured = capture()
        too_big = stats("lb")["drop-too-big"]
        # What is cached of the path is forgotten: the sender has to learn what fits.
        ip("client", f"-{FAMILY}", "route", "flush", "cache")
        c = Conn()
        owner = c.who()
        c.put(300_000)
        c.get(200_000)
        c.close()
        time.sleep(0.3)
        seen = captured.end()
        no_rst(seen)
        inner = collections.Counter()
        size = 20 if FAMILY == 4 else 40
        for n in NODES:
            for m, p in seen[n]:
                if protocol(p) == (4 if FAMILY == 4 else 41) and m == MACS["lb"]:
                    same("outer source", ends(p)[0], pton(FAMILY, NET + "1"))
                    same("outer destination", ends(p)[1], pton(FAMILY, NET + str(NODES[n])))
                    same("bytes of the outer packet", len(p) <= 1500, True)
                    if FAMILY == 4:
                        same("outer header checksum", checksum(p[:20]), 0)
                        same("DF", p[6] & 0x40, p[size + 6] & 0x40)
                    inner[p[size:]] += 1
            same("bare packets of the service", to_service(seen[n]), [])
        sent = collections.Counter(to_service(seen["client"]))
        large = [p for p in sent if len(p) > 1500 - size]
        # What was too large was refused, which the client heard, and is the only thing missing.
        same("packets in tunnels", inner, collections.Counter({p: k for p, k in sent.items() if p not in set(large)}))
        if scheduler == "hash":
            same("packets too large, as the balancer counts", stats("lb")["drop-too-big"] - too_big, sum(sent[p] for p in large))
            same("packets too large at first", 0 < sum(sent[p] for p in large) < 60, True)
        print(f"{scheduler}: {inner.total()} in tunnels, {len(large)} too large at first, owner {owner}")


def offloads(on):
    for ns in ("client", *HOSTS):
        number = json.loads(ip(ns, "-j", "link", "show", "dev", DEVICE[ns]))[0]["link_index"]
        peer = next(link["ifname"] for link in json.loads(ip("switch", "-j", "link", "show")) if link["ifindex"] == number)
        for where, dev in ((ns, DEVICE[ns]), ("switch", peer)):
            subprocess.run(["nsenter", f"--net=/run/netns/{where}", "ethtool", "-K", dev, *(w for k in ("tso", "gso", "gro", "tx", "rx") for w in (k, on))], capture_output=True)


def merged():
    step(f"IPv{FAMILY}: merged packets stay whole")
    offloads("on")
    for scheduler, output in (("rr", "direct"), ("hash", "direct"), ("hash", "tunnel"), ("rr", "tunnel")):
        setup(scheduler, output=output)
        settle_neighbours()
        before = stats("lb")["dispatched"]
        c = Conn()
        c.put(4_000_000)
        c.get(1_000_000)
        c.close()
        sent = stats("lb")["dispatched"] - before
        print(f"{scheduler}, {output}: {sent} packets dispatched")
        # Acknowledgements of the way down among them.
        if sent > 4_000_000 / 1448 / 2 + 700:
            fail(f"{sent} packets for 4 MB up and 1 MB down: they were not merged")
    offloads("off")


def ports():
    step(f"IPv{FAMILY}: by port: answers to proxies that share an address")
    shared, backend = VIP, "client"
    setup("ports", proxies="ports", service=f"{ADDRESS}:0", extra=lambda name: f"--ports {NODES[name] - 9}0000-{NODES[name] - 9}9999")
    settle_neighbours()
    with inside(backend):
        listener = socket.create_server((CLIENT, 8080), family=AF)
    captured = capture(*NODES)
    for i, n in enumerate(NODES):
        with inside(n):
            s = socket.socket(AF)
        s.settimeout(20 * SLOW)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        s.bind((shared, 20000 + 10000 * i + 77))
        s.connect((CLIENT, 8080))
        t, _ = listener.accept()
        t.sendall(data(200_000))
        t.close()
        got = b""
        while chunk := s.recv(1 << 16):
            got += chunk
        s.close()
        same(f"SHA-256 of the bytes to {n}", digest(got), digest(data(200_000)))
    listener.close()
    seen = captured.end()
    no_rst(seen)
    for i, n in enumerate(NODES):
        low = 20000 + 10000 * i
        found = {struct.unpack("!H", tcp(p)[2:4])[0] for p in to_service(seen[n])}
        same(f"ports that came to {n}", found, {low + 77})
    # By another proxy: on to the owner, once. One that cannot be asked might have it, so that there is no RST.
    ctl("n2", "node", "set", ADDRESS + ":0", NODES["n3"], "--state", "down")
    before = stats("n1")["dispatched"], stats("n2")["drop-not-owned"]
    a, b = pton(FAMILY, CLIENT), pton(FAMILY, VIP)
    frame("client", "n1", ip_bytes(a, b, TCP, tcp_bytes(a, b, 8080, 30999, 5, 1, ACK, 100)))
    time.sleep(0.3)
    same("handed on, and not answered by the owner", (stats("n1")["dispatched"], stats("n2")["drop-not-owned"]), (before[0] + 1, before[1] + 1))


def takeover():
    step(f"IPv{FAMILY}: another balancer takes over")
    setup("rr")
    settle_neighbours()
    before = stats("lb2")["dispatched"]
    captured = capture()
    c = Conn()
    owner = c.who()
    c.s.sendall(b"get 3000000\n")
    got = c.read(1_000_000)
    ip("lb", "address", "del", VIP + ("/32" if FAMILY == 4 else "/128"), "dev", "l0")
    ip("lb2", "address", "add", VIP + ("/32" if FAMILY == 4 else "/128"), "dev", "l0", *(["nodad", "preferred_lft", "0"] if FAMILY == 6 else []))
    ip("client", "neigh", "flush", "dev", "c0")
    got += c.read(2_000_000)
    same("SHA-256 across the change", digest(got), digest(data(3_000_000)))
    same("who answers after it", c.who(), owner)
    # Some of it was on its way already.
    c.get(600_000)
    c.close()
    time.sleep(0.5)
    seen = captured.end()
    no_rst(seen)
    if stats("lb2")["dispatched"] - before < 50:
        fail("the second balancer had nothing to do")
    # Back to what it was.
    ip("lb2", "address", "del", VIP + ("/32" if FAMILY == 4 else "/128"), "dev", "l0")
    ip("lb", "address", "add", VIP + ("/32" if FAMILY == 4 else "/128"), "dev", "l0", *(["nodad", "preferred_lft", "0"] if FAMILY == 6 else []))


def refusals():
    step(f"IPv{FAMILY}: what is refused, and how it is said")
    setup("hash")
    other = "10.9.9.9" if FAMILY == 6 else "fd00::9"
    for words, text in (
        (("service", "add", SERVICE, "--scheduler", "rr"), "there is a service of this address and port already"),
        (("service", "add", ADDRESS + ":0", "--scheduler", "hash"), "port 0, which is any, does not go with the scheduler hash"),
        (("service", "del", ADDRESS + ":81"), "no service of this address and port; make it first"),
        (("node", "set", SERVICE, 99), "a new node needs via, the address that reaches it"),
        (("node", "set", SERVICE, 99, "--via", other), "via must be an address of the service's family"),
        (("node", "set", SERVICE, 99, "--via", NET + "11"), "node 11 has this address; each node needs its own"),
        (("node", "set", SERVICE, 12, "--local"), "node 11 is this host already; a host is one node"),
        (("node", "set", SERVICE, 11, "--ports", "1-2"), "only the scheduler ports knows port ranges"),
        (("node", "set", SERVICE, 99, "--via", "224.0.0.1" if FAMILY == 4 else "fe80::1"), "via must be a global unicast address of the service's family"),
        (("node", "del", SERVICE, 99), "the service has no node 99"),
    ):
        p = ctl("n1", *words, ok=False)
        if not hasattr(p, "returncode") or p.returncode != 1 or text not in p.stderr:
            fail(f"splicectl {words}: {p}")
    for ns in ("lb", "lb2", *NODES):
        ctl(ns, "service", "del", SERVICE)
        same(f"services left on {ns}", (ctl(ns, "service", "list"), ctl(ns, "nodes")), ([], []))


if __name__ == "__main__":
    for family in (4, 6):
        use(family)
        for node_name in NODES:
            serve(node_name, VIP)
        for part in (turns, weights, scores, opinions, dead, tunnels, merged, ports, takeover, refusals):
            # These have nothing to do with the family.
            if family == 4 or part not in (weights, dead):
                part()
    # The namespaces end with services in them.
    setup("hash", output="tunnel")
