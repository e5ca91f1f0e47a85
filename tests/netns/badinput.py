# SPDX-License-Identifier: GPL-2.0
"""Packets that nobody should send, each to a live splice between two ends by hand. See badinput.sh."""

import struct

from rawtcp import (ACK, DESTINATION, FIN, HOP_BY_HOP, ICMP, ICMPV6, M, NOP, PSH, ROUTING, RST, SYN, TCP, URG, Bench, Packet, checksum,
                    fail, ip_bytes, ntop, option, pseudo, pton, same, step, tcp_bytes)

bench = Bench()


def marker(pair, end, what, **counted):
    """A good packet after bad ones is the first that arrives, and all that was counted but what is given."""
    p = pair.carry(end, b"ok")
    pair.carry(pair.other(end), b"", flags=ACK)
    return p


def dropped(pair, end, what, packets, **counted):
    """These packets do not arrive, move exactly these counters, and change nothing."""
    before = pair.numbers()
    with bench.counts(what, **counted):
        for p in packets:
            end.link.send(p)
    same(f"{what}: what the splice believes", pair.numbers(), before)
    pair.other(end).quiet(what, 0.05)
    with bench.counts(f"after {what}", translated=2):
        marker(pair, end, what)


def carried(pair, end, what, packet, believed=False, **fields):
    """This packet arrives with these fields, and the splice believes nothing of it."""
    before = pair.numbers()
    with bench.counts(what, translated=1):
        end.link.send(packet)
        other = pair.other(end)
        p = other.next()
        if p is None:
            fail(f"{what}: did not arrive")
    for name, value in ({"ip_ok": True, "tcp_ok": True} | fields).items():
        same(f"{what}: {name}", getattr(p, name), value)
    if not believed:
        same(f"{what}: what the splice believes", pair.numbers(), before)
    with bench.counts(f"after {what}", translated=2):
        marker(pair, end, what)
    return p


def icmp(end, pair, kind, code, quoted, word=0, src=None, spoil=0):
    """An ICMP error to the proxy, about a packet that the end got."""
    body = struct.pack("!BBHI", kind, code, 0, word) + quoted
    src = src or end.me
    if end.family == 4:
        check = checksum(body)
        protocol = ICMP
    else:
        check = checksum(pseudo(src, end.peer, len(body), ICMPV6) + body)
        protocol = ICMPV6
    return ip_bytes(src, end.peer, protocol, body[:2] + struct.pack("!H", (check + spoil) & 0xffff) + body[4:])


def quoted_of(p):
    """The quote in an ICMP error: header fields and the TCP bytes."""
    inner = p.body[8:]
    if inner[0] >> 4 == 4:
        return inner[12:16], inner[16:20], inner[20:]
    return inner[8:24], inner[24:40], inner[40:]


def take_icmp(end, what, seconds=5):
    protocol = ICMP if end.family == 4 else ICMPV6
    # Neighbour discovery is none of ours.
    p = end.link.take(lambda p: p.protocol == protocol and p.dst == end.me and p.body[0] not in (133, 134, 135, 136), seconds)
    if p is None and what:
        fail(f"{what}: no ICMP error")
    return p


for family in (4, 6):
    step(f"headers, IPv{family}")
    pair = bench.splice(family)
    c, s = pair.client, pair.server
    for end in (c, s):
        pair.carry(end, b"hello")
    marker(pair, s, "start")

    for end in (c, s):
        who = "client" if end is c else "server"
        # Not even a whole TCP header: no flow's packet, and the local stack drops it.
        dropped(pair, end, f"{who}: a TCP header that is cut off", [end.bytes(tcp=lambda t: t[:n]) for n in (3, 12, 19)])
        dropped(pair, end, f"{who}: data offsets too small, or beyond the packet",
                [end.bytes(offset=n) for n in (0, 1, 4)] + [end.bytes(options=b"", offset=n) for n in (6, 15)], drop_malformed=5)
        dropped(pair, end, f"{who}: IP lengths that contradict the packet",
                [end.bytes(payload=b"x" * 10, total=n) for n in ((19, 2000) if family == 4 else (1400, 2000))])
        if family == 4:
            dropped(pair, end, f"{who}: a wrong IPv4 header checksum", [end.bytes(payload=b"x", spoil_ip=1)])
            p = end.bytes(payload=b"x")
            dropped(pair, end, f"{who}: an IPv4 header length of 16, and one beyond the packet",
                    [bytes([0x44]) + p[1:], ip_bytes(end.me, end.peer, TCP, b"")[:20].replace(b"\x45", b"\x4f", 1)])
        dropped(pair, end, f"{who}: options with length 0, 1, and beyond the end",
                [end.bytes(options=o) for o in (b"\x08\0\1\1", b"\xfe\1\1\1", b"\1\1\x08\x0a", b"\1\1\1\x05", b"\1\1\1\xfd", b"\xfe\x09\0\0\0\0\0\0")],
                drop_malformed=6)
        # Linux stops at the end of the list, and so do we.
        carried(pair, end, f"{who}: garbage after the end of the option list",
                end.bytes(options=NOP + NOP + end.stamp() + b"\0\0\x08\x01"), believed=True, payload=b"")
        if end is c:
            wrong = carried(pair, end, "client: a wrong TCP checksum", end.bytes(payload=b"1234", spoil=7), believed=True, tcp_ok=False, payload=b"1234")
            # It is wrong by as much as it was.
            right = tcp_bytes(wrong.src, wrong.dst, wrong.sport, wrong.dport, wrong.seq, wrong.ack, wrong.flags, wrong.window, wrong.payload, wrong.options)
            same("how wrong it is", (wrong.check - struct.unpack("!H", right[16:18])[0]) % 0xffff, 7)
            # The numbers of that segment are taken by the real one.
            c.seq = (c.seq + 4) % M

    step(f"TTL, options and extension headers of IP, IPv{family}")
    for end in (c, s):
        before = pair.numbers()
        for ttl in (1, 0) if family == 4 else (1,):
            packet = end.bytes(payload=b"gone", ttl=ttl)
            with bench.counts("a TTL that is used up", drop_ttl=1):
                end.link.send(packet)
            p = take_icmp(end, f"TTL {ttl}")
            same("time exceeded", (p.body[0], p.body[1]), (11, 0) if family == 4 else (3, 0))
            src, dst, tcp = quoted_of(p)
            same("what it quotes: addresses", (src, dst), (end.me, end.peer))
            same("what it quotes: ports and numbers", tcp[:20], Packet(packet).body[:20])
        same("TTL: what the splice believes", pair.numbers(), before)
        carried(pair, end, "a TTL of 2", end.bytes(ttl=2), ttl=1, believed=True)
    if family == 4:
        # Record route with room for one, a timestamp, padding: options of the path are not for us to fill in.
        options = bytes([7, 7, 4, 0, 0, 0, 0, 1])
        carried(pair, c, "IPv4 options", c.bytes(ip_options=options, tos=0xb8, ident=0xbeef), believed=True,
                ip_options=options, tos=0xb8, ident=0xbeef, frag=0x4000)
        carried(pair, s, "DF clear", s.bytes(frag=0, ident=0x77), believed=True, frag=0, ident=0x77)
    else:
        pad = bytes([0, 1, 4, 0, 0, 0, 0])
        for kinds in ((HOP_BY_HOP,), (DESTINATION,), (HOP_BY_HOP, DESTINATION)):
            ext = [(k, pad) for k in kinds]
            carried(pair, c, f"extension headers {kinds}", c.bytes(extensions=ext, tos=0xb8), believed=True, extensions=ext, tos=0xb8)
        # A routing header that has done its work; one that has not makes the packet somebody else's.
        ext = [(ROUTING, bytes([0, 253, 0, 0, 0, 0, 0]))]
        carried(pair, c, "a routing header with nothing left", c.bytes(extensions=ext), believed=True, extensions=ext)
        before = pair.numbers()
        with bench.counts("a routing header with something left"):
            c.link.send(c.bytes(payload=b"away", extensions=[(ROUTING, bytes([0, 253, 1, 0, 0, 0, 0]))]))
            s.quiet("a routing header with something left")
        same("a routing header: what the splice believes", pair.numbers(), before)
        # An authentication header covers the addresses.
        with bench.counts("an authentication header"):
            c.link.send(c.bytes(payload=b"away", extensions=[(51, bytes([4]) + bytes(22))]))
            s.quiet("an authentication header")
        # More extension headers than hosts send.
        with bench.counts("extension headers beyond all bounds"):
            c.link.send(c.bytes(payload=b"away", extensions=[(DESTINATION, bytes([24]) + bytes([1, 196]) + bytes(196) + bytes([0]))]))
            s.quiet("extension headers beyond all bounds")
        c.link.inbox.clear()

    step(f"numbers, IPv{family}")
    for end in (c, s):
        other = pair.other(end)
        far = [(d, (end.seq + d) % M) for d in (1 << 22, 1 << 30, -(1 << 30), 1 << 31)]
        for d, n in far:
            what = f"data {d} away"
            carried(pair, end, what, end.bytes(ACK, b"blind", seq=n), seq=pair.mapped(end, n), payload=b"blind")
            carried(pair, end, f"a FIN {d} away", end.bytes(FIN | ACK, seq=n), seq=pair.mapped(end, n), flags=FIN | ACK)
        for d in (1 << 22, 1 << 30, -(1 << 30)):
            ack = (end.ack + d) % M
            carried(pair, end, f"an acknowledgement {d} away", end.bytes(ack=ack), ack=(ack - (pair.down if end is c else pair.up)) % M)
        # Without the flag the field is no number, and is left alone.
        p = end.bytes(PSH, b"", tcp=lambda t: t[:8] + b"\xde\xad\xbe\xef" + t[12:16] + struct.pack("!H", 0) + t[18:])
        carried(pair, end, "a number that is none", p, believed=True, ack=0xdeadbeef, tcp_ok=False)
        # A keep-alive probe, with and without its byte of garbage.
        for payload in (b"", b"\0"):
            carried(pair, end, "a number before the last", end.bytes(payload=payload, seq=(end.seq - 1) % M), seq=pair.mapped(end, (end.seq - 1) % M), payload=payload)

    step(f"SYN and RST, IPv{family}")
    for end in (c, s):
        p = carried(pair, end, "a SYN", end.bytes(SYN, options=option(2, b"\x05\xb4") + NOP + option(3, b"\7"), window=40000),
                    flags=SYN, window=40000)
        same("options of a SYN", p.options, option(2, b"\x05\xb4") + NOP + option(3, b"\7"))
        carried(pair, end, "a SYN of another life", end.bytes(SYN, seq=(end.seq + (1 << 30)) % M, options=b"", window=9), flags=SYN, window=9)
        same("a SYN ends nothing", pair.state()[1], "none")
        # One that is sent again is no truer.
        for d in (1, 100, 100, -1, 1 << 29, 1 << 29, -(1 << 29)):
            carried(pair, end, f"a RST {d} off", end.bytes(RST, seq=(end.seq + d) % M, options=b""), flags=RST)
        dropped(pair, end, "RSTs nowhere near, and one at the exact number with a wrong checksum",
                [end.bytes(RST, seq=(end.seq + d) % M, options=b"") for d in (1 << 31, 3 << 29, -(3 << 29))] + [end.bytes(RST, options=b"", spoil=1)],
                drop_invalid_rst=4)
        same("RSTs end nothing", pair.state()[1], "none")

    step(f"a FIN with a wrong checksum, IPv{family}")
    # Its receiver drops it, so that it is none.
    for end in (c, s):
        dropped(pair, end, "a FIN with a wrong checksum", [end.bytes(FIN | ACK, spoil=1)], drop_malformed=1)

    step(f"ICMP errors, IPv{family}")
    for end in (c, s):
        other = pair.other(end)
        got = pair.carry(other, b"to be quoted")
        pair.carry(end, b"", flags=ACK)
        kind, code, mtu = (3, 4, 1400) if family == 4 else (2, 0, 1400)
        head = 20 if family == 4 else 40
        for what, quoted, spoil in (("a whole quote", got.raw, 0), ("eight bytes of TCP", got.raw[:head + 8], 0), ("a wrong checksum", got.raw[:head + 8], 5)):
            with bench.counts(f"ICMP with {what}", icmp_errors=1):
                end.link.send(icmp(end, pair, kind, code, quoted, mtu, spoil=spoil))
                p = take_icmp(other, f"ICMP with {what}")
            same(f"ICMP with {what}: kind", (p.body[0], p.body[1], struct.unpack("!I", p.body[4:8])[0]), (kind, code, mtu))
            # The end itself has spoken, which to the other is the proxy.
            same(f"ICMP with {what}: source", ntop(p.src), ntop(other.peer))
            src, dst, tcp = quoted_of(p)
            same(f"ICMP with {what}: quoted addresses", (src, dst), (other.me, other.peer))
            sport, dport, seq = struct.unpack("!HHI", tcp[:8])
            same(f"ICMP with {what}: quoted ports", (sport, dport), (other.port, other.peer_port))
            same(f"ICMP with {what}: quoted sequence number", seq, (other.seq - len(b"to be quoted")) % M)
            body = p.body if family == 4 else pseudo(p.src, p.dst, len(p.body), ICMPV6) + p.body
            same(f"ICMP with {what}: checksum", checksum(body) == 0, spoil == 0)
        # A router on the way keeps its address.
        router = pton(family, "192.0.2.77" if family == 4 else "2001:db8::77")
        with bench.counts("ICMP of a router", icmp_errors=1):
            end.link.send(icmp(end, pair, kind, code, got.raw, mtu, src=router))
            same("ICMP of a router: source", ntop(take_icmp(other, "ICMP of a router").src), ntop(router))
        # A made-up number is translated as a true one: its receiver knows better than we do.
        made_up = bytearray(got.raw)
        made_up[head + 4:head + 8] = struct.pack("!I", (got.seq + (1 << 30)) % M)
        with bench.counts("ICMP with a made-up number", icmp_errors=1):
            end.link.send(icmp(end, pair, kind, code, bytes(made_up), mtu))
            seq, = struct.unpack("!I", quoted_of(take_icmp(other, "a made-up number"))[2][4:8])
            same("ICMP with a made-up number", seq, (other.seq - len(b"to be quoted") + (1 << 30)) % M)
        # Ports of nobody, seven bytes of TCP, a quote of something else, a quoted fragment, no error at all: not ours.
        nobody = bytearray(got.raw)
        nobody[head:head + 2] = b"\xff\xff"
        udp = bytearray(got.raw)
        udp[9 if family == 4 else 6] = 17
        fragment = bytearray(got.raw)
        fragment[6:8] = b"\0\1"
        others = [(kind, bytes(nobody)), (kind, got.raw[:head + 7]), (kind, got.raw[:head - 1]), (kind, bytes(udp)), (5 if family == 4 else 137, got.raw)]
        if family == 4:
            others.append((kind, bytes(fragment)))
        with bench.counts("ICMP that is not ours"):
            for k, quoted in others:
                end.link.send(icmp(end, pair, k, 0, quoted, mtu))
            same("ICMP that is not ours", take_icmp(other, None, 0.3), None)
        dead = bytearray(icmp(end, pair, kind, code, got.raw, mtu))
        if family == 4:
            dead[8:12] = b"\1\1" + struct.pack("!H", checksum(bytes(dead[:8] + b"\1\1\0\0" + dead[12:20])))
        else:
            dead[7] = 1
        with bench.counts("ICMP whose TTL is used up", drop_ttl=1):
            end.link.send(bytes(dead))
        pair.carry(other, b"fine")
        pair.carry(end, b"fine")
        end.link.inbox.clear()

    step(f"after all this, IPv{family}")
    same("its state", pair.state()[1], "none")
    for n in range(50):
        pair.carry(c, b"up %d" % n * 50)
        pair.carry(s, b"down %d" % n * 50)
    step(f"a RST behind a byte that somebody made up, IPv{family}")
    # What was forged above has not been acknowledged, and neither has what came after it.
    s.ack, c.ack = pair.mapped(c, c.seq), pair.mapped(s, s.seq)
    for end in (s, c):
        pair.carry(end, b"sync")
    for end in (s, c):
        pair.carry(end, b"", flags=ACK)
    c.link.send(c.bytes(ACK, b"x", seq=(c.seq + 50000) % M))
    same("the byte goes on", s.next().payload, b"x")
    c.link.send(c.bytes(RST, options=b"", seq=(c.seq + 50001) % M))
    same("so does the RST", s.next().flags, RST)
    for end in (c, s):
        same("an end is asked where it stands", end.next().seq, (end.ack - 1) % M)
    for end in (c, s):
        pair.carry(end, b"", flags=ACK)
    same("nothing has ended", pair.state()[1], "none")

    step(f"a RST at the exact number, IPv{family}")
    p = c.send(RST, options=b"", seq=c.seq)
    s.expect("the RST", flags=RST, seq=pair.mapped(c, c.seq))
    pair.wait_state("tombstone", "reset-by-client")
    pair = bench.splice(family)
    pair.carry(pair.server, b"hello")
    pair.carry(pair.client, b"", flags=ACK)
    pair.server.send(RST | ACK, options=b"", seq=pair.server.seq)
    pair.client.expect("the RST", flags=RST | ACK, seq=pair.mapped(pair.server, pair.server.seq))
    pair.wait_state("tombstone", "reset-by-server")

    step(f"FINs that are none, to a splice that returns on one, IPv{family}")
    pair = bench.connect(family)
    pair.arm(keep=True, flags={"return-on-fin"})
    c, s = pair.client, pair.server
    for end in (c, s):
        pair.carry(end, b"hello")
        pair.carry(pair.other(end), b"", flags=ACK)
    for end in (c, s):
        for d in (-(1 << 30), -5, 1 << 22, 1 << 30):
            end.link.send(end.bytes(FIN | ACK, seq=(end.seq + d) % M))
        end.link.send(end.bytes(FIN | ACK, spoil=1))
        # Whether they are carried is no matter; what goes on is.
        while pair.other(end).next(0.1):
            pass
        same("its state", pair.state(), ("established", "none"))
        for n in range(3):
            pair.carry(end, b"more %d" % n * 20)
            pair.carry(pair.other(end), b"and back", flags=ACK)
    pair.delete()
    pair.toward_client.close()
    pair.toward_server.close()
print("well")
