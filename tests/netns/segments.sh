#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Needs: module
# No segment is larger than its receiver takes, whatever the other side was told; what a local socket had received out of
# order, and had told its peer of, is not lost to the far end.
#
#   client (MSS 536, or 4 less than b1's) ── proxy ── b1 (MSS 1460; one segment is lost before arming)
# Limit: 60 s
. "$(dirname "$0")/lib.sh"

topology
# What leaves the proxy is seen in the pieces in which it would be on a wire.
in_ns client ethtool -K c0 gro off
proxy ethtool -K p0 tso off gso off
capture_all
both_families segments
wait_for 10 no_legs
captures_end
judge client --complete
judge b1 --complete
# With timestamps, an MSS of 536 bytes is 524 of payload. Only the connections with a small MSS are looked at: their SYN says so.
wire --allow 10.0.1.1 --allow 10.0.1.2 --allow fd00:1::1 --allow fd00:1::2 "$OUT/client.pcap" >/dev/null
largest=$(tcpdump -nr "$OUT/client.pcap" 2>/dev/null | python3 -c '
import re, sys
small, worst = {}, {}
for line in sys.stdin:
    m = re.match(r"\S+ IP6? (\S+) > (\S+): Flags \[(\S+)\].*length (\d+)", line)
    mss = re.search(r"mss (536|1436|1456)\b", line)
    if m and "S" in m[3] and mss:
        small[m[2], m[1]] = mss[1]
    elif m and (m[1], m[2]) in small:
        worst[m[1], m[2]] = max(worst.get((m[1], m[2]), 0), int(m[4]))
for mss in ("536", "1436", "1456"):
    of = [worst[way] for way in worst if small[way] == mss]
    print(mss, len(of), max(of), end="; ")')
same "connections with a small MSS, how many, and the largest segment toward them" "$largest" "536 4 524; 1436 1 1424; 1456 1 1444; "
same "segments of b1 that were taken back after SACK" "$(snmp b1 TcpExtTCPSACKReneging)" 0
