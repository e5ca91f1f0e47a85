# SPDX-License-Identifier: GPL-2.0
"""Every option, and every bit that an edit leaves alone, between two ends by hand. See carried.sh."""

import struct

from rawtcp import ACK, CWR, ECE, M, NOP, PSH, URG, Bench, fail, option, same, step

bench = Bench()


def words(*numbers):
    return struct.pack(f"!{len(numbers)}I", *(n % M for n in numbers))


def arrives(pair, end, what, options, expected, payload=b"", flags=ACK, **how):
    """A segment with these options arrives with those."""
    other = pair.other(end)
    with bench.counts(what, translated=1):
        end.send(flags, payload, options=options, **how)
        p = other.expect(what, flags=flags, payload=payload)
    same(f"{what}: options", p.options.hex(), (expected + b"\0" * (-len(expected) % 4)).hex())
    return p


for family in (4, 6):
    step(f"options that nobody here knows, IPv{family}")
    pair = bench.splice(family)
    for end in (pair.client, pair.server):
        pair.carry(end, b"hello")
        pair.carry(pair.other(end), b"", flags=ACK)
        direction = "to-server" if end is pair.client else "to-client"
        row = pair.get()[direction]

        def stamps(val, ecr, back=False):
            return option(8, words(val + back * row["tsval-delta"], ecr + back * row["tsecr-delta"]))

        def both(before, after=b""):
            """The same options with timestamps amid them, as they leave and as they arrive."""
            end.clock += 1
            return [before + stamps(end.clock, end.echo, back) + after for back in (False, True)]

        unknown = {
            "MSS, window scale and SACK-permitted after the SYN": (option(2, b"\x05\xb4"), option(3, b"\7"), option(4)),
            "MD5 (19)": (NOP, NOP, option(19, bytes(range(16)))),
            "UTO (28)": (option(28, b"\x80\x3c"),),
            "TCP-AO (29)": (option(29, bytes(range(14))),),
            "MPTCP (30)": (option(30, bytes(range(10))),),
            "Fast Open (34)": (option(34, bytes(range(8))),),
            "ENO (69)": (option(69, b"\1\2"),),
            "AccECN 0 (172)": (option(172, bytes(range(9))), NOP),
            "AccECN 1 (174)": (option(174, bytes(range(9))), NOP),
            "experiments (253, 254)": (option(253, b"\xf9\x89\1\2"), option(254, b"\xe2\xd4")),
            "an option of two bytes, and one of fourteen": (option(200), option(201, bytes(12))),
        }
        for what, list_ in unknown.items():
            o = b"".join(list_)
            arrives(pair, end, what, *both(o))
            before, after = both(b"", o)
            arrives(pair, end, what + ", behind", before, after)

        step(f"SACK and timestamps in every place, IPv{family}, {direction}")
        for pad in range(4):
            before, after = both(NOP * pad)
            arrives(pair, end, f"timestamps at {pad}", before, after)
        # In numbers of what the other end has sent: one-to-four blocks, odd places, a D-SACK below the acknowledgement.
        delta = row["ack-delta"]
        top = end.ack
        for blocks in ([(10, 20)], [(10, 20), (30, 40)], [(-8, -3), (30, 40), (50, 60)], [(M - 5, 5), (1, 2)]):
            for pad in range(3):
                edges = [top + e for b in blocks for e in b]
                o = [NOP * pad + option(5, words(*(e + d for e in edges))) for d in (0, delta)]
                if len(blocks) > 2 and pad == 2:
                    continue
                before, after = both(b"")
                arrives(pair, end, f"{len(blocks)} blocks behind {pad}", before + o[0], after + o[1])
        edges = [top + n for n in (10, 20, 30, 40, 50, 60, 70, 80)]
        o = [option(5, words(*(e + d for e in edges))) for d in (0, delta)]
        arrives(pair, end, "four blocks and no timestamps", o[0] + NOP * 2, o[1] + NOP * 2)
        # Lengths that these options cannot have: what cannot be translated must not arrive.
        arrives(pair, end, "a SACK option of seven bytes", option(5, b"12345") + NOP, NOP * 8)
        arrives(pair, end, "an empty SACK option", option(5) + NOP * 2, NOP * 4)
        arrives(pair, end, "timestamps of six bytes", option(8, b"1234") + NOP * 2, NOP * 8)

        step(f"bits and numbers that are left alone, IPv{family}, {direction}")
        other = pair.other(end)
        for flags in (ACK | ECE, ACK | CWR, ACK | ECE | CWR | PSH):
            with bench.counts("flags of ECN", translated=1):
                end.send(flags, b"x")
                other.expect("flags of ECN", flags=flags, payload=b"x")
        for tos in (1, 2, 3, 0xb8 | 2, 0xff):
            with bench.counts("DSCP and ECN of IP", translated=1):
                end.send(ACK, b"x", tos=tos)
                other.expect("DSCP and ECN of IP", tos=tos, payload=b"x")
        for urgent in (1, 5, 65535):
            with bench.counts("an urgent pointer", translated=1):
                end.send(ACK | URG, b"urgent", urgent=urgent)
                other.expect("an urgent pointer", urgent=urgent, flags=ACK | URG, payload=b"urgent")
        # Without the flag the pointer is none, and still the same.
        end.send(ACK, b"x", urgent=77)
        other.expect("no urgent pointer", urgent=77, payload=b"x")
        # The four bits behind the data offset, the last of which is AE of Accurate ECN; the checksum covers them.
        for bits in (1, 2, 4, 8, 15):
            def with_bits(t):
                t = t[:12] + bytes([t[12] | bits]) + t[13:]
                s = (t[16] << 8 | t[17]) - (bits << 8)
                if s < 0:
                    s += 0xffff
                return t[:16] + struct.pack("!H", s) + t[18:]
            end.send(ACK, b"x", tcp=with_bits)
            other.expect("reserved bits", nonce=bits, payload=b"x")

        step(f"windows, IPv{family}, {direction}")
        scale_in, scale_out = row["wscale-in"], row["wscale-out"]
        for window in (0, 1, 2, 511, 1000, 32768, 65535):
            end.send(ACK, window=window)
            other.expect("a window", window=min(65535, window << scale_in >> scale_out))
        pair.carry(other, b"", flags=ACK)
    same("its state", pair.state(), ("established", "none"))
    pair.delete()

    step(f"sides that differ: SACK, window scale, IPv{family}")
    pair = bench.splice(family, client={"sack": True, "stamps": False, "wscale": 14}, server={"sack": False, "stamps": False, "wscale": None})
    c, s = pair.client, pair.server
    pair.carry(c, b"hello")
    pair.carry(s, b"hello")
    pair.carry(c, b"", flags=ACK)
    arrives(pair, c, "SACK toward who does not take it", NOP * 2 + option(5, words(c.ack + 10, c.ack + 20)), NOP * 12)
    row = pair.get()["to-server"]
    same("scales", (row["wscale-in"], row["wscale-out"]), (14, 0))
    for window, expected in ((0, 0), (1, 16384), (3, 49152), (4, 65535), (65535, 65535)):
        c.send(ACK, window=window)
        s.expect("a window toward who has no scale", window=expected)
    row = pair.get()["to-client"]
    same("scale in", row["wscale-in"], 0)
    for window in (0, 1, (1 << row["wscale-out"]) - 1, 1 << row["wscale-out"], 535, 536, 65535):
        s.send(ACK, window=window)
        # One that takes a segment is not rounded to nothing.
        c.expect("a window from who has no scale", window=window >> row["wscale-out"] or int(window >= 536))
    # Options that look like timestamps, where none were agreed on, are nobody's.
    o = NOP * 2 + option(8, words(123456789, 987654321))
    arrives(pair, c, "timestamps that were not agreed on", o, o)
    arrives(pair, s, "timestamps of no length", option(8, b"12") + NOP * 4, option(8, b"12") + NOP * 4)
    pair.delete()

    step(f"segments larger than their receiver takes, IPv{family}")
    pair = bench.splice(family, server={"mss": 536})
    c, s = pair.client, pair.server
    pair.carry(c, b"hello")
    pair.carry(s, b"hello")
    data = bytes(range(256)) * 6
    for flags in (ACK, ACK | PSH, ACK | PSH | CWR):
        first = pair.mapped(c, c.seq)
        with bench.counts("a segment of 1400 bytes to who takes 536", translated=1, resegmented=1):
            c.send(flags, data[:1400])
            # Timestamps take 12 of them.
            for at, to in ((0, 524), (524, 1048), (1048, 1400)):
                want = flags & ~PSH if to < 1400 else flags
                p = s.expect("a piece", payload=data[at:to], seq=(first + at) % M, flags=want if at == 0 else want & ~CWR)
                same("its timestamps", p.stamps()[1], c.echo + pair.get()["to-server"]["tsecr-delta"] & M - 1)
    with bench.counts("one that is wrong must not be made right", drop_malformed=1):
        c.send(ACK, data[:1400], spoil=1, seq=c.seq)
    # The other way nothing is cut.
    pair.carry(s, data[:1400])
    same("its state", pair.state(), ("established", "none"))
    pair.delete()
print("well")
