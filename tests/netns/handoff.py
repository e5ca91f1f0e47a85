# SPDX-License-Identifier: GPL-2.0
"""Connections that move from the proxy to a server on another host, and those that stay since they cannot, seen from both ends.

Arguments: the specification of the interface, 4 or 6. Run from the host's namespace."""

import itertools
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time

import pair
from pair import FAMILY, connect, inside, rand, receive, same, send, sha, stat, step, unread, ynl
from pyynl.lib import NlError
from rawtcp import authenticate, sign

SLOW = int(os.environ.get("SLOW", "1"))
RECEIVE = ("nsenter", "--net=/run/netns/b1", "splicectl", "handoff", "receive", "--timeout", f"{5 * SLOW}s")
LAN = "fd00:1::" if sys.argv[2] == "6" else "10.0.1."
VIP, BACKEND = f"{LAN}100", f"{LAN}11"
HOSTS = {"proxy": f"{LAN}1", "b1": f"{LAN}11", "b2": f"{LAN}12"}


# A program that passes its standard input and output on.
GIVES = "import socket, sys; s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]); socket.send_fds(s, [b'x'], [0, 1])"
# One that takes a connection by the library for C, and passes it on.
TAKES = """
import ctypes, shutil, socket, sys
c = ctypes.CDLL(shutil.which("libtcp_splice_c.so"))
c.tcp_splice_error.restype = ctypes.c_char_p
kernel, fd = ctypes.c_void_p(), ctypes.c_int(-1)
assert c.tcp_splice_open(ctypes.byref(kernel)) == 0
c.tcp_splice_set_patience(kernel, int(sys.argv[2]))
done = c.tcp_splice_receive(kernel, sys.stdin.buffer.read(), ctypes.byref(fd))
if done:
    sys.exit(f"{c.tcp_splice_error(kernel).decode()} ({done})")
c.tcp_splice_close(kernel)
s = socket.socket(socket.AF_UNIX)
s.connect(sys.argv[1])
socket.send_fds(s, [b"x"], [fd.value, fd.value])
"""


def run(*args, **kw):
    return subprocess.run(args, capture_output=True, text=True, **kw)


def there(*args):
    """A command on the backend."""
    done = run("nsenter", "--net=/run/netns/b1", *args)
    same(f"{pair.what}: {' '.join(args)}: {done.stderr}", done.returncode, 0)
    return done.stdout


def serve(port, backlog=5, protocol=0):
    """A listener, as socket.create_server() has it, that may be of MPTCP."""
    s = socket.socket(FAMILY, socket.SOCK_STREAM, protocol)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind((VIP, port))
    s.listen(backlog)
    return s


class Three:
    """A client, the proxy's socket, and a server that waits for the connection, which goes on as it was begun."""

    def __init__(self, room=None, listen=True, backlog=5, prepare=None, client_room=None, protocol=0):
        front = socket.create_server((VIP, 0), family=FAMILY)
        if room:
            front.setsockopt(socket.SOL_SOCKET, 33, room)
        self.port = front.getsockname()[1]
        self.listener = None
        if listen:
            self.listener = inside("b1", lambda: serve(self.port, backlog, protocol))
            if prepare:
                prepare(self.listener)
            self.listener.settimeout(20)
        self.client = inside("client", lambda: connect((VIP, self.port), room=client_room))
        self.near, _ = front.accept()
        front.close()
        self.client.settimeout(60)
        self.near.settimeout(60)

    def hand_off(self, read=b"", command=None, timeout=5 * SLOW):
        with tempfile.NamedTemporaryFile() as f:
            f.write(read)
            f.flush()
            return run("splicectl", "handoff", "send", "--fd", str(self.near.fileno()), "--via", BACKEND, "--read", f.name,
                       "--timeout", f"{timeout}s", "--", *(command or RECEIVE), pass_fds=[self.near.fileno()])

    def moves(self, read=b""):
        done = self.hand_off(read)
        same(f"{pair.what}: {done.stderr}", done.returncode, 0)
        self.server, peer = self.listener.accept()
        same(f"{pair.what}: who the server speaks to", peer[:2], self.client.getsockname()[:2])
        same(f"{pair.what}: where", self.server.getsockname()[:2], (VIP, self.port))
        self.server.settimeout(60)
        # The proxy's descriptor is of no use any more.
        self.near.close()

    def moves_to_a_program(self, read=b"", library=False):
        """To one that does not listen."""
        with tempfile.TemporaryDirectory() as d, socket.socket(socket.AF_UNIX) as waits:
            waits.bind(f"{d}/s")
            waits.listen()
            waits.settimeout(20 * SLOW)
            by_command = (*RECEIVE, "--", "python3", "-c", GIVES, f"{d}/s")
            by_library = ("nsenter", "--net=/run/netns/b1", "python3", "-c", TAKES, f"{d}/s", str(5000 * SLOW))
            done = self.hand_off(read, by_library if library else by_command)
            same(f"{pair.what}: {done.stderr}", done.returncode, 0)
            program, _ = waits.accept()
            _, fds, _, _ = socket.recv_fds(program, 1, 2)
            program.close()
        self.server = socket.socket(fileno=fds[0])
        same(f"{pair.what}: one connection, in and out", os.fstat(fds[0]).st_ino, os.fstat(fds[1]).st_ino)
        os.close(fds[1])
        same(f"{pair.what}: who the program speaks to", self.server.getpeername()[:2], self.client.getsockname()[:2])
        same(f"{pair.what}: where", self.server.getsockname()[:2], (VIP, self.port))
        self.server.settimeout(60)
        self.near.close()
        self.nobody_accepts()

    def nobody_accepts(self):
        if self.listener:
            self.listener.setblocking(False)
            try:
                self.listener.accept()
                same(f"{pair.what}: somebody accepted", True, False)
            except BlockingIOError:
                self.listener.settimeout(20)

    def goes_on(self, source, host, listen=True):
        """From the server that has it to one on another host, while data comes from the client."""
        other = inside(host, lambda: socket.create_server((VIP, self.port), family=FAMILY)) if listen else None
        up = rand.randbytes(150_000)
        t = send(self.client, up)
        fd = self.server.fileno()
        done = run("nsenter", f"--net=/run/netns/{source}", "splicectl", "handoff", "send", "--fd", str(fd), "--via", HOSTS[host],
                   "--timeout", f"{5 * SLOW}s", "--", "nsenter", f"--net=/run/netns/{host}", *RECEIVE[2:], pass_fds=[fd])
        same(f"{pair.what}: {source} to {host}: {done.stderr}", done.returncode, 0 if listen else 1)
        if listen:
            other.settimeout(20)
            self.server.close()
            self.server, peer = other.accept()
            same(f"{pair.what}: who {host} speaks to", peer[:2], self.client.getsockname()[:2])
            self.server.settimeout(60)
            other.close()
        same(f"{pair.what}: {source} to {host}: bytes on the way", sha(receive(self.server, len(up))), sha(up))
        t.join()

    def passes(self, sizes=(1, 1000, 300_000)):
        for a, b in ((self.client, self.server), (self.server, self.client)):
            for n in sizes:
                data = rand.randbytes(n)
                t = send(a, data)
                same(f"{pair.what}: bytes", sha(receive(b, n)), sha(data))
                t.join()

    def stays(self, message, command=None):
        """It cannot move, for this reason, and goes on between client and proxy."""
        before = stat("handed-off")
        done = self.hand_off(command=command)
        same(f"{pair.what}: exit status", done.returncode, 1)
        if message not in done.stderr:
            same(f"{pair.what}: message", done.stderr, message)
        same(f"{pair.what}: handed off", stat("handed-off"), before)
        for a, b in ((self.client, self.near), (self.near, self.client)):
            data = rand.randbytes(200_000)
            t = send(a, data)
            same(f"{pair.what}: bytes to the one that stays", sha(receive(b, len(data))), sha(data))
            t.join()
        self.nobody_accepts()
        self.close(self.near)

    def close(self, server=None):
        server = server or self.server
        self.client.close()
        same(f"{pair.what}: end of file", server.recv(1), b"")
        server.close()
        if self.listener:
            self.listener.close()


step("nothing in flight")
t = Three()
t.moves()
t.passes()
t.close()

step("what was read is read again, and what was not")
t = Three()
t.client.sendall(b"GET /a" + b"x" * 5000)
same(pair.what, receive(t.near, 6), b"GET /a")
while unread(t.near) < 5000:
    time.sleep(0.02)
t.moves(b"GET /a")
same(pair.what, receive(t.server, 5006), b"GET /a" + b"x" * 5000)
t.passes()
t.close()

step("far more than a window, unread, and more comes")
t = Three(room=4_000_000)
up = rand.randbytes(2_500_000)
s = send(t.client, up)
while unread(t.near) < 1_000_000:
    time.sleep(0.02)
t.moves()
same(pair.what, sha(receive(t.server, len(up))), sha(up))
s.join()
t.passes()
t.close()

step("much that the client has not taken")
t = Three(client_room=20_000)
down = rand.randbytes(400_000)
t.near.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1_000_000)
t.near.sendall(down)
time.sleep(0.3)
t.client.sendall(b"and more")
time.sleep(0.1)
t.moves()
after = rand.randbytes(100_000)
s = send(t.server, after)
same(pair.what, sha(receive(t.client, len(down) + len(after))), sha(down + after))
s.join()
same(pair.what, receive(t.server, 8), b"and more")
t.passes()
t.close()

step("the client has closed its way")
t = Three()
t.client.sendall(b"the whole request")
t.client.shutdown(socket.SHUT_WR)
time.sleep(0.2)
t.moves()
same(pair.what, receive(t.server, 100), b"the whole request")
answer = rand.randbytes(500_000)
s = send(t.server, answer)
same(pair.what, sha(receive(t.client, len(answer))), sha(answer))
s.join()
t.server.close()
same(f"{pair.what}: end of file", t.client.recv(1), b"")
t.client.close()
t.listener.close()

step("the server ends it")
t = Three()
t.moves()
t.server.sendall(b"bye")
t.server.close()
same(pair.what, receive(t.client, 10), b"bye")
t.client.close()
t.listener.close()

step("the server resets it")
t = Three()
t.moves()
t.server.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
t.server.close()
try:
    t.client.recv(1)
    same(pair.what, "no reset", "a reset")
except ConnectionResetError:
    pass
t.listener.close()

step("data waits for a listener that wants data first")
t = Three(prepare=lambda s: s.setsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, 5))
t.client.sendall(b"hello")
time.sleep(0.1)
t.moves()
same(pair.what, receive(t.server, 5), b"hello")
t.passes()
t.close()

step("one after the other between two requests")
t = Three()
t.client.sendall(b"one")
same(pair.what, receive(t.near, 3), b"one")
t.near.sendall(b"first answer")
same(pair.what, receive(t.client, 12), b"first answer")
t.client.sendall(b"two")
same(pair.what, receive(t.near, 3), b"two")
t.moves(b"two")
same(pair.what, receive(t.server, 3), b"two")
t.passes()
t.close()

step("from host to host, back, and away again")
t = Three()
t.moves()
t.listener.close()
t.listener = None
at = "b1"
for host in "b2", "proxy", "b1", "proxy", "b2", "b1", "proxy":
    t.goes_on(at, host)
    t.passes((1, 1000, 50_000))
    at = host
t.close()

step("nobody listens where it was, so that it does not come back")
t = Three()
t.moves()
taken = stat("taken-over")
t.goes_on("b1", "proxy", listen=False)
same(f"{pair.what}: taken over", stat("taken-over"), taken)
t.passes()
t.close()

step("a program takes it, with bytes in both queues, whether or not somebody listens")
for listens in (True, False):
    t = Three(room=4_000_000, client_room=20_000, listen=listens)
    up, down = b"GET /a" + rand.randbytes(300_000), rand.randbytes(400_000)
    t.near.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1_000_000)
    t.near.sendall(down)
    s = send(t.client, up)
    same(pair.what, receive(t.near, 6), b"GET /a")
    while unread(t.near) < 200_000:
        time.sleep(0.02)
    t.moves_to_a_program(b"GET /a")
    after = rand.randbytes(100_000)
    u = send(t.server, after)
    same(pair.what, sha(receive(t.client, len(down) + len(after))), sha(down + after))
    same(pair.what, sha(receive(t.server, len(up))), sha(up))
    s.join()
    u.join()
    t.passes()
    if not listens:
        for source, host in ("b1", "b2"), ("b2", "proxy"):
            t.goes_on(source, host)
        t.passes()
    t.close()

step("a program takes it by the library for C")
t = Three(listen=False)
t.client.sendall(b"GET /a")
same(pair.what, receive(t.near, 6), b"GET /a")
t.moves_to_a_program(b"GET /a", library=True)
same(pair.what, receive(t.server, 6), b"GET /a")
t.passes()
t.close()
no_json = ("nsenter", "--net=/run/netns/b1", "python3", "-c", TAKES.replace("sys.stdin.buffer.read()", "b'no'"), "", "1")
Three().stays("it is no connection: expected ident at line 1 column 2 (-22)", command=no_json)

step("a program takes it, and the client has closed its way")
t = Three(listen=False)
t.client.sendall(b"the whole request")
t.client.shutdown(socket.SHUT_WR)
time.sleep(0.2)
t.moves_to_a_program()
same(pair.what, receive(t.server, 100), b"the whole request")
answer = rand.randbytes(500_000)
s = send(t.server, answer)
same(pair.what, sha(receive(t.client, len(answer))), sha(answer))
s.join()
# A server can be started while there is a connection.
inside("b1", lambda: socket.create_server((VIP, t.port), family=FAMILY)).close()
t.server.close()
same(f"{pair.what}: end of file", t.client.recv(1), b"")
t.client.close()

step("there is no such program")
Three().stays("no such program; the connection is not taken", command=(*RECEIVE, "--", "/nonexistent"))



def told(t):
    """Where a connection stands, which stays."""
    m = ynl.do("handoff-export", {"fd": t.near.fileno()})
    ynl.do("handoff-abort", {"id": m.pop("id")})
    same(f"{pair.what}: nothing after a gap", m.pop("rcv-max"), m["rcv-next"])
    return m


def refused(take, message, errno):
    try:
        take()
        same(pair.what, "it was taken", message)
    except NlError as e:
        same(f"{pair.what}: {e}", (e.error, message in str(e)), (errno, True))


def in_parts(m, fd):
    moving = ynl.do("handoff-import", m)["id"]
    try:
        ynl.do("handoff-commit", {"id": moving, "fd": fd})
    finally:
        try:
            ynl.do("handoff-abort", {"id": moving})
        except NlError as e:
            same(f"{pair.what}: {e}", e.error, 2)


def at_once(m, fd):
    ynl.do("handoff-take", {**m, "fd": fd})


step("the listener of a program is none, or of another family")
for (owner, message, errno), take in itertools.product((
    (socket.socket(FAMILY), "the socket does not listen, or is of another family or device", 22),
    (socket.create_server(("127.0.0.1", 0)) if sys.argv[2] == "6" else socket.create_server(("::1", 0), family=socket.AF_INET6),
     "the socket does not listen, or is of another family or device", 22),
    (inside("b1", lambda: socket.create_server((BACKEND, 0), family=FAMILY)), "a socket is of another network namespace", 22),
    (open("/dev/null"), "is not a socket", 88),
), (in_parts, at_once)):
    t = Three()
    m = told(t)
    taken = stat("taken-over")
    refused(lambda: take(m, owner.fileno()), message, errno)
    same(f"{pair.what}: taken over", stat("taken-over"), taken)
    t.stays("the connection stays here", command=("false",))

step("it is taken at once, and is not whole")
t = Three()
t.client.sendall(b"request")
time.sleep(0.2)
m = told(t)
message = "bytes are missing, or do not follow on those before"
for wrong in (
    {},
    {"bytes": b"reques"},
    {"bytes": b"request", "snd-next": m["snd-next"] + 1 & 0xFFFFFFFF},
    {"bytes": b"request", "rcv-edge": m["rcv-start"] + 6 & 0xFFFFFFFF},
):
    splices = stat("splices")
    refused(lambda: ynl.do("handoff-take", {**m, **wrong}), message, 22)
    same(f"{pair.what}: splices", stat("splices"), splices)
t.moves()
same(pair.what, receive(t.server, 7), b"request")
t.passes()
t.close()

step("the client's leg of a splice, while bytes go both ways; the server's leg stays")
t = Three(room=4_000_000)
back = inside("b2", lambda: socket.create_server((HOSTS["b2"], 0), family=FAMILY))
leg = socket.create_connection(back.getsockname()[:2], source_address=(HOSTS["proxy"], 0))
other, _ = back.accept()
back.close()
splice = ynl.do("splice-new", {"client-fd": t.near.fileno(), "server-fd": leg.fileno()})["id"]
up, down = rand.randbytes(3_000_000), rand.randbytes(3_000_000)
senders = [send(t.client, up), send(other, down)]
got_up, got_down = bytearray(receive(other, 400_000)), bytearray(receive(t.client, 400_000))
done = t.hand_off()
same(f"{pair.what}: {done.stderr}", (done.returncode, "these addresses and ports are spliced already" in done.stderr), (1, True))
over = threading.Event()


def read_on(s, into):
    s.settimeout(0.2)
    while True:
        try:
            into += s.recv(65536)
        except TimeoutError:
            if over.is_set():
                break
    s.settimeout(60)


# Both ends go on reading, or nothing would be acknowledged.
readers = [threading.Thread(target=read_on, args=a) for a in ((other, got_up), (t.client, got_down))]
for r in readers:
    r.start()
done = run("splicectl", "del", str(splice), "--return")
same(f"{pair.what}: {done.stderr}", done.returncode, 0)
pair.returned(splice)
over.set()
for r in readers:
    r.join()
t.moves()
got_up += receive(t.server, len(up) - len(got_up))
got_down += receive(leg, len(down) - len(got_down))
same(f"{pair.what}: up", sha(got_up), sha(up))
same(f"{pair.what}: down", sha(got_down), sha(down))
for s in senders:
    s.join()
t.passes()
for a, b in ((leg, other), (other, leg)):
    a.sendall(b"goes on")
    same(f"{pair.what}: the server's leg", receive(b, 7), b"goes on")
leg.close()
same(f"{pair.what}: end of the server's leg", other.recv(1), b"")
other.close()
t.close()

step("nobody listens")
Three(listen=False).stays("nobody listens on this address and port")

step("the backlog is full")
t = Three(backlog=0)
# One waits to be accepted, which is one too many for the next.
waits = inside("b1", lambda: connect((VIP, t.port)))
t.listener.settimeout(20)
refused = t.hand_off()
same(pair.what, (refused.returncode, "the listener's backlog is full" in refused.stderr), (1, True))
t.listener.accept()[0].close()
waits.close()
t.moves()
t.passes()
t.close()

if os.path.exists("/proc/sys/net/ipv4/tcp_syncookies"):
    step("SYN cookies are always on")
    there("sysctl", "-q", "net.ipv4.tcp_syncookies=2")
    Three().stays("net.ipv4.tcp_syncookies is 2; set it to 1 or 0")
    there("sysctl", "-q", "net.ipv4.tcp_syncookies=1")

for option in "tcp_sack", "tcp_timestamps", "tcp_window_scaling":
    step(f"{option} is off there")
    there("sysctl", "-q", f"net.ipv4.{option}=0")
    Three().stays("timestamps, SACK or window scaling are switched off here")
    there("sysctl", "-q", f"net.ipv4.{option}=1")
    step(f"{option} is off here")
    run("sysctl", "-q", f"net.ipv4.{option}=0")
    t = Three()
    run("sysctl", "-q", f"net.ipv4.{option}=1")
    t.moves()
    t.passes()
    t.close()

step("the listener wants data first, and there is none")
Three(prepare=lambda s: s.setsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, 5)).stays("the listener has TCP_DEFER_ACCEPT")

for way in (sign, authenticate):
    step(f"the listener wants signatures: {way.__name__}")
    Three(prepare=lambda s: way(s, HOSTS["b2"])).stays("the listener wants TCP-MD5 or TCP-AO")

step("the listener would have MPTCP, as those of Go have")
t = Three(protocol=socket.IPPROTO_MPTCP)
t.client.sendall(b"GET /a" + b"x" * 5000)
same(pair.what, receive(t.near, 6), b"GET /a")
t.moves(b"GET /a")
same(f"{pair.what}: what it accepted", t.server.getsockopt(socket.SOL_SOCKET, socket.SO_PROTOCOL), socket.IPPROTO_TCP)
same(pair.what, receive(t.server, 5006), b"GET /a" + b"x" * 5000)
t.passes()
t.close()

step("the address is none of that host")
there("ip", "address", "del", VIP, "dev", "lo")
Three(listen=False).stays("the address is none of this host")
there("ip", "address", "add", VIP, "dev", "lo", *(["nodad"] if FAMILY == socket.AF_INET6 else []))

step("that host has such a connection")
t = Three()
with tempfile.NamedTemporaryFile() as f:
    done = t.hand_off(command=("sh", "-c", f"tee {f.name} | {' '.join(RECEIVE)}"))
    same(f"{pair.what}: {done.stderr}", done.returncode, 0)
    t.server, _ = t.listener.accept()
    t.server.settimeout(60)
    again = run(*RECEIVE, f.name)
same(pair.what, (again.returncode, "this host has a connection of these addresses and ports" in again.stderr), (1, True))
t.near.close()
t.passes()
t.close()

step("nobody takes it")
Three().stays("the connection stays here", command=("false",))

step("whoever takes it takes too long")
t = Three()
began = time.monotonic()
slow = threading.Thread(target=lambda: t.hand_off(command=("sleep", str(4 * SLOW)), timeout=2 * SLOW))
slow.start()
time.sleep(0.25 * SLOW)
t.client.sendall(b"meanwhile")
# While it is on its way, its socket reads end of file.
while not (got := t.near.recv(9)):
    time.sleep(0.05)
same(pair.what, got, b"meanwhile")
same(f"{pair.what}: it waited", 1.5 * SLOW < time.monotonic() - began < 4 * SLOW, True)
t.near.sendall(b"still here")
same(pair.what, receive(t.client, 10), b"still here")
slow.join()
same(f"{pair.what}: after it", (t.near.sendall(b"x"), receive(t.client, 1)), (None, b"x"))
t.close(t.near)
