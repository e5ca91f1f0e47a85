# SPDX-License-Identifier: GPL-2.0
"""Segments of a splice in fragments. See fragments.sh."""

import random
import struct
import time

from rawtcp import ACK, FRAGMENT, M, PSH, SLOW, TCP, Bench, Packet, fail, ip_bytes, same, step

bench = Bench()
random.seed(1)
idents = iter(range(100, 65000))


def fragments(end, packet, cuts, ident=None, df=False):
    """The packet in fragments that begin at these offsets, multiples of eight, of what is behind the IP header."""
    body = Packet(packet).body
    ident = next(idents) if ident is None else ident
    cuts = [0, *cuts, len(body)]
    return [fragment(end, body[a:b], a, b < len(body), ident, df) for a, b in zip(cuts, cuts[1:])]


def fragment(end, body, offset, more, ident, df=False):
    if end.family == 4:
        return ip_bytes(end.me, end.peer, TCP, body, ident=ident, frag=offset // 8 | more << 13 | df << 14)
    return ip_bytes(end.me, end.peer, TCP, body, extensions=[(FRAGMENT, b"\0" + struct.pack("!HI", offset | more, ident))])


def arrived(end, timeout=5):
    """The next packet at this end, put together if it comes in fragments; how many there were, and the largest."""
    parts, largest = {}, 0
    deadline = time.monotonic() + timeout * (SLOW if timeout >= 1 else 1)
    while time.monotonic() < deadline:
        p = end.link.take(lambda p: p.src == end.peer and p.dst == end.me and p.protocol == TCP, deadline - time.monotonic())
        if p is None:
            break
        largest = max(largest, len(p.raw))
        if not p.is_fragment:
            return p, 1, largest
        same("the IP header of a fragment", p.ip_ok, True)
        if p.family == 4:
            ident, offset, more = p.ident, (p.frag & 0x1fff) * 8, bool(p.frag & 0x2000)
        else:
            word, ident = struct.unpack("!HI", p.extensions[-1][1][1:7])
            offset, more = word & 0xfff8, bool(word & 1)
        mine = parts.setdefault(ident, {})
        if offset in mine:
            fail(f"a fragment arrived twice: {p}")
        mine[offset] = (p.body, more)
        body = b""
        while len(body) in mine:
            piece, more = mine[len(body)]
            body += piece
            if not more:
                return Packet(ip_bytes(p.src, p.dst, TCP, body)), len(mine), largest
    if parts:
        fail(f"part of a packet arrived: {parts}")
    return None, 0, 0


def through(pair, end, what, packet, pieces, payload):
    """These fragments come out at the other end as one segment with the right numbers."""
    other = pair.other(end)
    seq = pair.mapped(end, end.seq)
    with bench.counts(what, translated=1):
        for p in pieces:
            end.link.send(p)
        p, n, largest = arrived(other)
        if p is None:
            fail(f"{what}: nothing arrived")
    same(f"{what}: checksum", p.tcp_ok, True)
    same(f"{what}: number, ports, payload", (p.seq, p.sport, p.dport, p.payload), (seq, other.peer_port, other.port, payload))
    if largest > 1500:
        fail(f"{what}: a packet of {largest} bytes on a link of 1500")
    end.seq = (end.seq + len(payload)) % M
    other.ack = (p.seq + len(payload)) % M
    pair.carry(other, b"", flags=ACK)
    return n


def nothing(pair, end, what, pieces):
    """Of these fragments nothing arrives, and nothing is counted."""
    before = pair.numbers()
    with bench.counts(what):
        for p in pieces:
            end.link.send(p)
        p, _, _ = arrived(pair.other(end), 0.3)
        same(what, p, None)
    same(f"{what}: what the splice believes", pair.numbers(), before)
    pair.carry(end, b"a whole packet after it")
    pair.carry(pair.other(end), b"", flags=ACK)


for family in (4, 6):
    pair = bench.splice(family)
    for end in (pair.client, pair.server):
        pair.carry(end, b"hello")
        pair.carry(pair.other(end), b"", flags=ACK)
        step(f"IPv{family}, from {'client' if end is pair.client else 'server'}")
        data = bytes(random.randrange(256) for _ in range(2900))

        def segment(size):
            return end.bytes(ACK | PSH, data[:size])

        # The least that each family allows in a first fragment: IPv6 wants all headers in it (RFC 8200, section 4.5).
        least = 8 if family == 4 else 32
        p = segment(1000)
        n = through(pair, end, "two fragments in order", p, fragments(end, p, [512]), data[:1000])
        print(f"leaves in {n}")
        p = segment(1000)
        through(pair, end, "the last one first", p, fragments(end, p, [512])[::-1], data[:1000])
        p = segment(1000)
        through(pair, end, "a first fragment as short as can be", p, fragments(end, p, [least]), data[:1000])
        for n in range(3):
            p = segment(1400)
            pieces = fragments(end, p, [256, 512, 768, 1024, 1280])
            random.shuffle(pieces)
            through(pair, end, "six in any order", p, pieces, data[:1400])
        p = segment(1000)
        pieces = fragments(end, p, [256, 512])
        through(pair, end, "one of them twice", p, [pieces[0], pieces[0], pieces[2], pieces[1]], data[:1000])
        p = segment(2900)
        n = through(pair, end, "more than the next link takes", p, fragments(end, p, [1000, 2000]), data)
        if n < 2:
            fail("2940 bytes came in one packet")
        if family == 4:
            p = segment(1000)
            through(pair, end, "fragments that say DF", p, fragments(end, p, [512], df=True), data[:1000])
        else:
            p = segment(100)
            through(pair, end, "a fragment that is all of it (RFC 6946)", p, fragments(end, p, []), data[:100])
        p = segment(1000)
        body = Packet(p).body
        ident = next(idents)
        nothing(pair, end, "an overlap", [fragment(end, body[:512], 0, True, ident), fragment(end, b"\xaa" * 512, 256, True, ident),
                                          fragment(end, body[512:], 512, False, ident)])
        # Within what is there already it is taken for a copy: the first counts.
        p = segment(1000)
        body = Packet(p).body
        ident = next(idents)
        through(pair, end, "one within another", p, [fragment(end, body[:512], 0, True, ident), fragment(end, b"\xaa" * 256, 128, True, ident),
                                                     fragment(end, body[512:], 512, False, ident)], data[:1000])
        body = Packet(segment(1000)).body
        ident = next(idents)
        nothing(pair, end, "an overlap over the header", [fragment(end, body[512:], 512, False, ident), fragment(end, b"\xaa" * 64, 8, True, ident),
                                                          fragment(end, body[:512], 0, True, ident)])
        pieces = fragments(end, segment(1000), [256, 512])
        nothing(pair, end, "the first one missing", pieces[1:])
        pieces = fragments(end, segment(1000), [256, 512])
        nothing(pair, end, "the last one missing", pieces[:2])
        pieces = fragments(end, segment(1000), [256, 512])
        nothing(pair, end, "one in the middle missing", [pieces[0], pieces[2]])
        ident = next(idents)
        nothing(pair, end, "one that ends beyond 64 KB", [fragment(end, body[:512], 0, True, ident), fragment(end, b"x" * 1000, 65528 - 8, False, ident)])
        if family == 6:
            nothing(pair, end, "a first fragment without all headers", fragments(end, segment(1000), [8]))
    same("its state", pair.state(), ("established", "none"))
    pair.delete()
print("well")
