# SPDX-License-Identifier: GPL-2.0
"""Connections that move from the proxy to a server on another host, and those that stay since they cannot, seen from both ends.

Arguments: the specification of the interface, 4 or 6. Run from the host's namespace."""

import os
import socket
import subprocess
import sys
import tempfile
import threading
import time

import pair
from pair import FAMILY, connect, inside, rand, receive, same, send, sha, stat, step, unread

SLOW = int(os.environ.get("SLOW", "1"))
RECEIVE = ("nsenter", "--net=/run/netns/b1", "splicectl", "handoff", "receive", "--timeout", f"{5 * SLOW}s")
LAN = "fd00:1::" if sys.argv[2] == "6" else "10.0.1."
VIP, BACKEND = f"{LAN}100", f"{LAN}11"
HOSTS = {"proxy": f"{LAN}1", "b1": f"{LAN}11", "b2": f"{LAN}12"}


def run(*args, **kw):
    return subprocess.run(args, capture_output=True, text=True, **kw)


def there(*args):
    """A command on the backend."""
    done = run("nsenter", "--net=/run/netns/b1", *args)
    same(f"{pair.what}: {' '.join(args)}: {done.stderr}", done.returncode, 0)
    return done.stdout


class Three:
    """A client, the proxy's socket, and a server that waits for the connection, which goes on as it was begun."""

    def __init__(self, room=None, listen=True, backlog=5, prepare=None, client_room=None):
        front = socket.create_server((VIP, 0), family=FAMILY)
        if room:
            front.setsockopt(socket.SOL_SOCKET, 33, room)
        self.port = front.getsockname()[1]
        self.listener = None
        if listen:
            self.listener = inside("b1", lambda: socket.create_server((VIP, self.port), family=FAMILY, backlog=backlog))
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
        if self.listener:
            self.listener.setblocking(False)
            try:
                self.listener.accept()
                same(f"{pair.what}: somebody accepted", True, False)
            except BlockingIOError:
                pass
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
