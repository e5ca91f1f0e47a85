# SPDX-License-Identifier: GPL-2.0
"""The awkward ends of splices between two ends by hand. See closing.sh."""

import contextlib
import fcntl
import struct
import termios
import time

from rawtcp import ACK, FIN, M, PSH, RST, SLOW, SYN, Bench, fail, same, step

bench = Bench()


def has_fin(s):
    """Whether a socket of the proxy is in CLOSE_WAIT."""
    return s.getsockopt(6, 11, 1) == b"\x08"


def unread(s):
    return struct.unpack("i", fcntl.ioctl(s, termios.FIONREAD, b"\0\0\0\0"))[0]


def wait(what, holds):
    end = time.monotonic() + 5 * SLOW
    while not holds():
        if time.monotonic() > end:
            fail(f"waited in vain: {what}")
        time.sleep(0.01)


def next_with(end, what, holds):
    """The next packet for which this holds; others are passed over, but for RSTs."""
    stop = time.monotonic() + 8 * SLOW
    while time.monotonic() < stop:
        p = end.next()
        if p is None:
            break
        if not p.tcp_ok or not p.ip_ok:
            fail(f"{what}: a wrong checksum: {p}")
        if holds(p):
            return p
        if p.flags & RST:
            fail(f"{what}: {p}")
    fail(f"{what}: did not arrive")


def collect(end, what, want):
    """Takes in a stream that ends with a FIN, in whatever segments, and acknowledges it; each byte is right."""
    got = {}
    fin = None
    stop = time.monotonic() + 8 * SLOW
    while fin is None or end.ack != fin:
        if time.monotonic() > stop:
            fail(f"{what}: {len(want)} bytes and a FIN did not arrive, but {got}")
        p = end.next()
        if p is None:
            continue
        if p.flags & RST or not p.tcp_ok:
            fail(f"{what}: {p}")
        got[p.seq] = max(got.get(p.seq, b""), p.payload, key=len)
        if p.flags & FIN:
            fin = (p.seq + len(p.payload) + 1) % M
        while got.get(end.ack):
            end.ack = (end.ack + len(got[end.ack])) % M
        if fin is not None and end.ack == (fin - 1) % M:
            end.ack = fin
    first = (fin - 1 - len(want)) % M
    for seq, payload in got.items():
        at = (seq - first) % M
        if payload:
            same(f"{what}: bytes at {at}", payload, want[at:at + len(payload)])
    end.send()


def moved(pair):
    s = pair.get()
    return s["moved-to-server"], s["moved-to-client"]


def carried(pair):
    s = pair.get()
    return s["to-server"]["bytes"], s["to-client"]["bytes"]


for family in (4, 6):
    step(f"both close at once, IPv{family}")
    pair = bench.splice(family)
    c, s = pair.client, pair.server
    pair.carry(c, b"ask")
    pair.carry(s, b"answer")
    pair.carry(c, b"", flags=ACK)
    c_fin, s_fin = c.seq, s.seq
    # Neither has heard of the other's FIN when it sends its own.
    c.send(FIN | ACK)
    s.send(FIN | ACK)
    s.expect("the client's FIN", flags=FIN | ACK, seq=pair.mapped(c, c_fin))
    c.expect("the server's FIN", flags=FIN | ACK, seq=pair.mapped(s, s_fin))
    same("one FIN unacknowledged in each direction", pair.state(), ("closing", "none"))
    # Simultaneous close: both go to CLOSING, and acknowledge with the number after their own FIN.
    c.send()
    s.expect("the client's last acknowledgement", flags=ACK, seq=pair.mapped(c, c_fin + 1), ack=(s_fin + 1) % M)
    same("one of the two acknowledged", pair.state(), ("closing", "none"))
    s.send()
    c.expect("the server's last acknowledgement", flags=ACK, seq=pair.mapped(s, s_fin + 1), ack=(c_fin + 1) % M)
    pair.wait_state("tombstone", "fin")
    same("bytes carried", carried(pair), (3, 6))

    step(f"late packets of what has ended, IPv{family}")
    for end, fin in ((c, c_fin), (s, s_fin)):
        other = pair.other(end)
        with bench.counts("a FIN again, and its acknowledgement", translated=2):
            end.send(FIN | ACK, seq=fin)
            other.expect("a FIN again", flags=FIN | ACK, seq=pair.mapped(end, fin))
            other.send()
            end.expect("its acknowledgement again", flags=ACK, ack=(fin + 1) % M)
        with bench.counts("an old segment", translated=1):
            end.send(ACK, b"old", seq=(fin - 3) % M)
            other.expect("an old segment", payload=b"old", seq=pair.mapped(end, (fin - 3) % M))
    same("what was carried stays as it is", carried(pair), (3, 6))
    wait("the sockets are gone", lambda: pair.state()[0] == "tombstone")

    step(f"the same numbers again, IPv{family}")
    gauges = bench.stats()
    out_port = s.peer_port
    again = bench.connect(family, port=c.port, out_port=out_port)
    now = bench.stats()
    same("a SYN takes a tombstone out of the table", now["tombstones"], gauges["tombstones"] - 1)
    same("the same four numbers toward the server", again.server.peer_port, out_port)
    again.arm()
    same("both spliced again", (again.id != pair.id, again.state()), (True, ("established", "none")))
    for n in range(3):
        again.carry(again.client, b"new %d" % n)
        again.carry(again.server, b"and new %d" % n)
    same("bytes of the new one", carried(again), (15, 27))

    step(f"cut: what comes late is told so, and the numbers can be used at once, IPv{family}")
    c, s = again.client, again.server
    # The numbers of a RST are those that an end has acknowledged.
    for end in (c, s):
        again.carry(end, b"", flags=ACK)
    again.delete()
    c.expect("the RST to the client", flags=RST | ACK, seq=c.ack)
    s.expect("the RST to the server", flags=RST | ACK, seq=s.ack)
    for end in (c, s):
        with bench.counts("data to a cut splice", answered=1):
            end.send(ACK | PSH, b"late", seq=end.seq)
            p = end.expect("the answer", flags=RST, seq=end.ack)
        with bench.counts("a RST to a cut splice"):
            end.send(RST, seq=end.seq, options=b"")
            end.quiet("an answer to a RST", 0.1)
        with bench.counts("a segment without ACK", answered=1):
            end.send(PSH, b"1234", seq=end.seq)
            end.expect("the answer", flags=RST | ACK, seq=0, ack=(end.seq + 4) % M)
    third = bench.splice(family, port=c.port, out_port=out_port)
    third.carry(third.client, b"once more")
    third.carry(third.server, b"and back")
    third.delete()

    step(f"both FINs are there before arming, IPv{family}")
    pair = bench.connect(family)
    c, s = pair.client, pair.server
    up, down = b"the whole request", b"the whole answer, longer"
    c.send(ACK | PSH, up)
    c.send(FIN | ACK)
    s.send(ACK | PSH, down)
    s.send(FIN | ACK)
    wait("both FINs", lambda: has_fin(pair.toward_client) and has_fin(pair.toward_server) and unread(pair.toward_client) and unread(pair.toward_server))
    pair.arm()
    same("bytes moved", moved(pair), (len(up), len(down)))
    collect(s, "what the server gets", up)
    collect(c, "what the client gets", down)
    pair.wait_state("tombstone", "fin")
    same("bytes carried end to end", carried(pair), (0, 0))

    for who in ("client", "server"):
        step(f"the {who} had closed its side before arming; the other goes on for a while, IPv{family}")
        pair = bench.connect(family)
        closed, open_ = (pair.client, pair.server) if who == "client" else (pair.server, pair.client)
        leg = pair.toward_client if who == "client" else pair.toward_server
        closed.send(ACK | PSH, b"all I have to say")
        closed.send(FIN | ACK)
        wait("the FIN", lambda: has_fin(leg) and unread(leg))
        pair.arm()
        collect(open_, "what the open side gets", b"all I have to say")
        # The leg has been told; from here on everything is end to end. Its own acknowledgements come first.
        wait("the end of draining", lambda: pair.get()["state"] == "closing")
        # On a slow machine a segment may have been sent again before it was acknowledged.
        for end in (closed, open_):
            end.link.pump(0.2)
            end.link.inbox.clear()
        if who == "client":
            pair.up, pair.down = (open_.ack - closed.seq) % M, (closed.ack - open_.seq) % M
        else:
            pair.down, pair.up = (open_.ack - closed.seq) % M, (closed.ack - open_.seq) % M
        for n in range(10):
            pair.carry(open_, b"line %d\n" % n * 100)
            pair.carry(closed, b"", flags=ACK)
            time.sleep(0.05)
        same("still half-closed", pair.state(), ("closing", "none"))
        fin = open_.seq
        open_.send(FIN | ACK)
        closed.expect("the FIN of the other", flags=FIN | ACK, seq=pair.mapped(open_, fin))
        closed.send()
        open_.expect("its acknowledgement", flags=ACK, ack=(fin + 1) % M)
        pair.wait_state("tombstone", "fin")
        same("bytes carried", sorted(carried(pair)), [0, 7000])

    step(f"a RST while the proxy's own bytes are on their way, IPv{family}")
    pair = bench.connect(family)
    c, s = pair.client, pair.server
    pair.toward_server.send(b"of the proxy")
    first = s.next()
    same("what the proxy sent", first.payload, b"of the proxy")
    pair.arm()
    same("it drains", pair.state(), ("draining", "none"))
    c.send(RST, seq=c.seq, options=b"")
    # Its number is the one after the proxy's bytes, which the server has not taken in.
    next_with(s, "the RST", lambda p: p.flags == RST and p.seq == (first.seq + len(first.payload)) % M)
    pair.wait_state("tombstone", "reset-by-client")
    # It goes by what it has got, and says so: it is told in these numbers.
    with bench.counts("a challenge ACK", answered=1):
        s.send()
        next_with(s, "the RST that it takes", lambda p: p.flags == RST and p.seq == s.ack)
    pair = bench.connect(family)
    c, s = pair.client, pair.server
    pair.toward_server.send(b"of the proxy")
    same("what the proxy sent", s.next().payload, b"of the proxy")
    pair.arm()
    s.send(RST, seq=s.seq, options=b"")
    next_with(c, "the server's RST", lambda p: p.flags == RST and p.seq == c.ack)
    pair.wait_state("tombstone", "reset-by-server")
    with contextlib.suppress(OSError):
        s.link.pump(0.1)

    def gets_what_was_kept(pair):
        next_with(pair.client, "the acknowledgement of the FIN", lambda p: p.flags == ACK and p.ack == pair.client.seq)
        same("what the socket has got", [pair.toward_client.recv(100) for _ in range(2)], [b"last words", b""])
        for end in (pair.client, pair.server):
            end.send(RST, options=b"")
        pair.toward_client.close()
        pair.toward_server.close()

    step(f"what is kept is not too old for the socket that gets it, IPv{family}")
    pair = bench.connect(family)
    c = pair.client
    pair.toward_client.send(b"of the proxy")
    first = c.next()
    same("what the proxy sent", first.payload, b"of the proxy")
    pair.arm(keep=True, **{"limit-to-server": 0})
    c.send(FIN | ACK, b"last words")
    # Stamped later, and the socket hears of it before.
    c.ack = (first.seq + len(first.payload)) % M
    c.clock += 100
    c.send()
    gets_what_was_kept(pair)
    # Nor is what it acknowledges: more than a window has been acknowledged since.
    pair = bench.connect(family, client={"wscale": None})
    c, s = pair.client, pair.server
    pair.arm(keep=True, **{"limit-to-server": 0, "limit-to-client": 3000})
    c.send(FIN | ACK, b"last words")
    for _ in range(6):
        s.send(ACK, bytes(500))
        p = next_with(c, "the server's bytes", lambda p: len(p.payload) == 500)
        c.ack = (p.seq + 500) % M
        c.send()
    gets_what_was_kept(pair)
for listener in bench.listeners.values():
    listener.close()
print("well")
