#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Needs: module
# The orderly end. Each end's FIN passes once; the proxy adds neither a FIN nor a RST of its own, and nothing of
# the connection stays in it. A half-closed connection lives as long as the ends want.
#
#   client ── FIN ──> proxy ── FIN ──> b1        client <── FIN ── proxy <── FIN ── b1
# Limit: 120 s
. "$(dirname "$0")/lib.sh"

topology
make_file small 1000
make_file medium 3000000
serve b1 b2
proxy_start splice
monitor
capture_all

step "the client closes first (curl with keep-alive)"
get 4 http://a.test/medium b1
step "the server closes first"
get 4 http://a.test/medium b1 -H 'Connection: close'
wait_for 10 has_ended fin 2
wait_for 10 no_legs
same "live splices" "$(stat_of splices)" 0

step "half-close: the client ends its direction before the answer begins"
cat >"$T/half.py" <<'PY'
import hashlib, socket, sys, time
s = socket.create_connection(("10.0.1.1", 80))
s.sendall(b"GET /medium HTTP/1.1\r\nHost: b.test\r\nConnection: close\r\n\r\n")
s.shutdown(socket.SHUT_WR)
data = b""
while chunk := s.recv(65536):
    data += chunk
    time.sleep(0.002)
print(hashlib.sha256(data.split(b"\r\n\r\n", 1)[1]).hexdigest())
PY
same "SHA-256 after a half-close" "$(client python3 "$T/half.py")" "$(cat "$FILES/medium.sha256")"
wait_for 10 has_ended fin 3
wait_for 10 no_legs
wait_for 90 no_tombstones
captures_end
judge_all --complete --lossless
few_retransmits
for side in up down; do
	same "FINs $side beside the client" "$(counted client .$side.fins)" 3
	same "FINs $side beside the backends" "$(($(counted b1 .$side.fins) + $(counted b2 .$side.fins)))" 3
done
