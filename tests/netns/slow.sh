#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Needs: module
# A client that does not read: its window closes, the server probes it, the window opens again; the splice stays and no
# byte is lost.
#
#   client (sleeps) ── window 0 ──> proxy ──> b1 (waits, probes)
# Limit: 120 s
. "$(dirname "$0")/lib.sh"

topology
make_file medium 3000000
serve b1 b2
proxy_start splice
capture_all
cat >"$T/slow.py" <<'PY'
import hashlib, socket, sys, time
s = socket.socket(socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET)
s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 40000)
s.connect((sys.argv[1].strip("[]"), 80))
s.sendall(b"GET /medium HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n")
data, naps = b"", 0
while True:
    if naps < 3 and len(data) >= naps * 500000:
        time.sleep(2)
        naps += 1
    chunk = s.recv(16384)
    if not chunk:
        break
    data += chunk
print(hashlib.sha256(data.split(b"\r\n\r\n", 1)[1]).hexdigest())
PY
for fam in 4 6; do
	same "SHA-256 over IPv$fam" "$(client python3 "$T/slow.py" "$(vip $fam)")" "$(cat "$FILES/medium.sha256")"
done
wait_for 10 no_splices
same "splices made" "$(stat_of created)" 2
monitor
both_families slow
captures_end
# Whoever replicates splices waits for this. Two of the three of each family had bytes of the proxy's own to send.
same "connections whose end of draining was told" \
	"$(jq -s '[.[] | select(.event == "change" and .state == "established") | .id] | unique | length' "$T/events.json")" 4
# No window promises room that is not there: nothing goes beyond one.
judge client --complete --lossless
judge b1 --complete --lossless
# The window was closed, or as good as: its right edge is met and nothing moves for a second.
expect "tries at a closed window beside b1" "$(counted b1 '.down.retransmits + .down.keepalives + .up.zero_windows')" -ge 4
