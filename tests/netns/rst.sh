#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Needs: module
# A RST of one end in the middle of a transfer ends the other end and the splice.
#
#   client ── RST ──> proxy ── RST, its number translated ──> b1
# Limit: 120 s
. "$(dirname "$0")/lib.sh"

topology
make_file huge 200M
serve b1 b2
proxy_start splice
monitor
capture_all

established() { backend "$1" ss -Htn state established "sport = :80" | grep -q .; }
for fam in 4 6; do
	step "the client's RST, IPv$fam"
	cat >"$T/reset.py" <<'PY'
import socket, struct, sys
s = socket.create_connection((sys.argv[1].strip("[]"), 80))
s.sendall(b"GET /huge HTTP/1.1\r\nHost: a.test\r\n\r\n")
n = 0
while n < 5_000_000:
    n += len(s.recv(65536))
# A close with time-out 0 sends a RST.
s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
s.close()
PY
	client python3 "$T/reset.py" "$(vip $fam)"
	wait_for 10 no_splices
	! established b1 || fail "b1 still believes in the connection"
done
wait_for 5 has_ended reset-by-client 2

step "the server's RST"
start curl client curl -s -o /dev/null --limit-rate 2M --resolve b.test:80:10.0.1.1 http://b.test/huge
wait_for 10 established b2
wait_for 10 test "$(stat_of splices)" != 0
sleep 1
backend b2 ss -K state established sport = :80 >/dev/null
wait_for 10 has_ended reset-by-server 1
wait_for 10 no_splices
rc=0
wait "$STARTED_PID" || rc=$?
same "curl's verdict (56: reset by the peer)" "$rc" 56
wait_for 10 no_legs
captures_end
judge_all --rst
