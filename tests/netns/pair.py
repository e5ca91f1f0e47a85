# SPDX-License-Identifier: GPL-2.0
"""A client, a proxy that holds two sockets, a server, in three namespaces and one program: what scenarios in Python stand on.

Arguments: the specification of the interface, 4 or 6. Run from the host's namespace."""

import ctypes
import fcntl
import hashlib
import random
import socket
import sys
import termios
import threading
import time

from pyynl.lib import NlError, YnlFamily

libc = ctypes.CDLL(None, use_errno=True)
FAMILY = socket.AF_INET6 if sys.argv[2] == "6" else socket.AF_INET
PROXY_C, PROXY_B, BACKEND = ("fd00:1::1", "fd00:2::1", "fd00:2::11") if sys.argv[2] == "6" else ("10.0.1.1", "10.0.2.1", "10.0.2.11")
rand = random.Random(7)


def enter(ns):
    """The calling thread, and what it opens from here on, is in this namespace."""
    with open(f"/run/netns/{ns}") as f:
        if libc.setns(f.fileno(), 0x40000000) != 0:
            raise OSError(ctypes.get_errno(), "setns")


sys.stdout.reconfigure(line_buffering=True)
enter("proxy")
ynl = YnlFamily(sys.argv[1], schema="")


def stat(name):
    """A counter of the proxy's."""
    return ynl.do("stats-get", {})[name]


def inside(ns, call):
    box = []

    def run():
        enter(ns)
        box.append(call())

    t = threading.Thread(target=run)
    t.start()
    t.join()
    return box[0]


what = ""


def step(name):
    """What is being looked at, for messages."""
    global what
    what = name
    print("#", name)


def same(what, got, want):
    if got != want:
        print(f"FAIL {what}: {got!r}, expected {want!r}")
        sys.exit(1)


def sha(data):
    return hashlib.sha256(data).hexdigest()[:16]


def connect(to, mss=None, room=None):
    s = socket.socket(FAMILY)
    if room:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, room)
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if mss:
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, mss)
    s.connect(to)
    return s


def returned(splice, seconds=20):
    """Waits until the sockets of a splice are back; what is known of it then."""
    end = time.monotonic() + seconds
    while True:
        try:
            now = ynl.do("splice-get", {"id": splice})
        except NlError:
            # It can be asked about for ten seconds, which is not long on a slow machine.
            return None
        if now["state"] == "tombstone":
            same(f"{what}: how it ended", now["reason"], "returned")
            return now
        if time.monotonic() > end:
            print(f"FAIL {what}: not returned: {now}")
            sys.exit(1)
        time.sleep(0.02)


class Pair:
    """A client, the proxy's two sockets, a server."""

    def __init__(self, **options):
        back = inside("b1", lambda: socket.create_server((BACKEND, 0), family=FAMILY))
        front = socket.create_server((PROXY_C, 0), family=FAMILY)
        if options.get("front_room"):
            # SO_RCVBUFFORCE; an accepted socket has what the listener has.
            front.setsockopt(socket.SOL_SOCKET, 33, options["front_room"])
        self.client = inside("client", lambda: connect((PROXY_C, front.getsockname()[1]), options.get("client_mss"), options.get("client_room")))
        self.to_client, _ = front.accept()
        self.to_server = socket.create_connection((BACKEND, back.getsockname()[1]), source_address=(PROXY_B, 0))
        self.server, _ = back.accept()
        front.close()
        back.close()
        self.server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for s in (self.client, self.server, self.to_client, self.to_server):
            s.settimeout(60)

    def splice(self, **wishes):
        self.id = ynl.do("splice-new", {"client-fd": self.to_client.fileno(), "server-fd": self.to_server.fileno()} | wishes)["id"]
        return self.id

    def returned(self):
        """Waits until the sockets are back."""
        return returned(self.id)

    def check(self):
        """All four are as good as new, both ways."""
        for a, b in ((self.client, self.to_client), (self.to_client, self.client), (self.server, self.to_server), (self.to_server, self.server)):
            data = rand.randbytes(rand.choice([1, 1000, 200_000]))
            send(a, data)
            same(f"{what}: bytes after the return", sha(receive(b, len(data))), sha(data))

    def close(self):
        for a, b in ((self.client, self.to_client), (self.to_server, self.server)):
            a.close()
            same(f"{what}: end of file after the return", b.recv(1), b"")
            b.close()


def unread(s):
    """Bytes that the socket has and its owner has not read."""
    return int.from_bytes(fcntl.ioctl(s, termios.FIONREAD, bytes(4)), sys.byteorder)


def send(s, data):
    """Sends beside whatever else goes on."""
    t = threading.Thread(target=s.sendall, args=(data,))
    t.start()
    return t


def receive(s, n):
    """As many bytes, or what there is before the end."""
    got = bytearray()
    while len(got) < n:
        chunk = s.recv(min(65536, n - len(got)))
        if not chunk:
            break
        got += chunk
    return bytes(got)


def passes(a, b, n):
    data = rand.randbytes(n)
    t = send(a, data)
    same(f"{what}: bytes through the splice", sha(receive(b, n)), sha(data))
    t.join()
