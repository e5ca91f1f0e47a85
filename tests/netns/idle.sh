#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# An idle splice is cut when its time is over and not before, and both ends are told; one that is used is not.
#
#   client ── asks, reads nothing, waits ── proxy (idle time-out 3 s) ── b1
# Needs: module
. "$(dirname "$0")/lib.sh"

topology
make_file huge 30000000
serve b1 b2
proxy_start splice '[timeouts]' 'idle = "3s"'
monitor

cat >"$T/idle.py" <<'PY'
# Reads the start of an answer, then not a byte, for as long as it takes; says what ended it and when.
import socket, sys, time
s = socket.create_connection((sys.argv[1], 80))
s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
s.sendall(b"GET /small HTTP/1.1\r\nHost: a.test\r\n\r\n")
got = s.recv(4096)
start = time.monotonic()
try:
    while s.recv(4096):
        start = time.monotonic()
    print("closed")
except ConnectionResetError:
    print("reset", int(time.monotonic() - start))
PY
make_file small 1000

for fam in 4 6; do
	step "nothing is sent, IPv$fam"
	read -r how after <<<"$(client python3 "$T/idle.py" "$(vip $fam | tr -d '[]')")"
	same "how it ended" "$how" reset
	expect "seconds until then" "$after" -ge 2
	expect "seconds until then" "$after" -le $((6 * SLOW))
done
wait_for 5 has_ended idle 2
wait_for 5 no_legs
same "connections that b1 still has" "$(backend b1 ss -Htn state established | wc -l)" 0

step "a slow transfer of ten seconds is not idle"
client curl -sS --fail --max-time 60 --limit-rate 3M --resolve "a.test:80:10.0.1.1" http://a.test/huge | sum_of >"$T/sum"
same "SHA-256 of a slow transfer" "$(cat "$T/sum")" "$(cat "$FILES/huge.sha256")"
same "splices that were cut" "$(ended idle)" 2
