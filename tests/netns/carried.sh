#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Needs: module
# What an edit leaves as it is arrives as it was: urgent data at its place, keep-alive probes and their answers, options
# that nobody here knows, the bits that ECN uses. And every kind of SACK and timestamp list comes out translated.
#
#   an end by hand ── every option there is ── proxy ── an end by hand
#   client ── MSG_OOB, keep-alive probes ── proxy ── b2
# Limit: 120 s
. "$(dirname "$0")/lib.sh"

topology
offloads off
serve b1
python3 /payload/tests/netns/carried.py

step "urgent data of real sockets, and their keep-alive probes"
proxy_start splice
cat >"$T/server.py" <<'PY'
# Reads up to the mark, then the urgent byte, then the rest; says where each was. Then keeps the connection alive.
import fcntl, select, socket, struct, time
listener = socket.create_server(("::", 80), family=socket.AF_INET6, dualstack_ipv6=True)
for _ in range(2):
    s, _ = listener.accept()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in ((socket.TCP_KEEPIDLE, 1), (socket.TCP_KEEPINTVL, 1), (socket.TCP_KEEPCNT, 3)):
        s.setsockopt(socket.IPPROTO_TCP, option, value)
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += s.recv(1)
    marks, n = [], 0
    urgent = select.poll()
    urgent.register(s, select.POLLPRI)
    for _ in range(3):
        # Who reads before it is there reads past it.
        urgent.poll()
        # A read stops at the mark (SIOCATMARK).
        while not struct.unpack("i", fcntl.ioctl(s, 0x8905, b"\0\0\0\0"))[0]:
            n += len(s.recv(65536))
        marks.append((n, s.recv(1, socket.MSG_OOB)))
    # Only probes keep it for longer than its three tries would last.
    time.sleep(6)
    s.sendall(repr((marks, n)).encode() + b"\n")
    s.close()
PY
cat >"$T/client.py" <<'PY'
import socket, sys, time
s = socket.create_connection((sys.argv[1].strip("[]"), 80))
s.sendall(b"PUT /x HTTP/1.1\r\nHost: b.test\r\nContent-Length: 60003\r\n\r\n")
time.sleep(0.5)
for byte in b"!?#":
    s.sendall(b"a" * 20000)
    s.send(bytes([byte]), socket.MSG_OOB)
    time.sleep(0.5)
data = b""
while not data.endswith(b"\n"):
    data += s.recv(1000)
print(data.decode().strip())
PY
start server b2 python3 "$T/server.py"
wait_for 20 listening b2 80
capture client client c0
capture b2 b2 e0
made=$(stat_of created)
for fam in 4 6; do
	same "where the urgent bytes were, IPv$fam" "$(client timeout $((30 * SLOW)) python3 "$T/client.py" "$(vip $fam)")" \
		"([(20000, b'!'), (40000, b'?'), (60000, b'#')], 60000)"
done
same "splices made" "$(stat_of created)" $((made + 2))
captures_end
# The server closes with its last urgent byte still in the queue.
judge client --rst
judge b2 --rst
# Two connections of six seconds and more, a probe each second, which the client answers.
expect "probes beside b2" "$(counted b2 .down.keepalives)" -ge 6
expect "probes that the client got" "$(counted client .down.keepalives)" -ge 6
