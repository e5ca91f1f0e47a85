#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Needs: module
# Fragments of a splice's segments are put together before they are looked at (nf_defrag), in whatever order they come, and
# leave with every byte right; what overlaps or is not complete leaves not at all, in whole or in part.
#
#   an end by hand ── fragments ── proxy ── an end by hand, which sees all that arrives
#   far (no path MTU discovery) ──1500── router ──600── proxy ── b1
# Limit: 120 s
. "$(dirname "$0")/lib.sh"

topology
offloads off
make_file small 1500000
serve b1 b2
proxy_start splice
python3 /payload/tests/netns/fragments.py

step "an upload, each segment of which a router cuts in three"
add_ns router
add_ns far
wire_up proxy p2 router r0
wire_up router r1 far f0
address proxy p2 10.0.4.1/24
address router r0 10.0.4.2/24
address router r1 10.0.3.1/24
address far f0 10.0.3.2/24
in_ns router sysctl -q net.ipv4.ip_forward=1
ip -n router link set r0 mtu 600
ip -n far route add default via 10.0.3.1
ip -n router route add 10.0.1.0/24 via 10.0.4.1
ip -n proxy route add 10.0.3.0/24 via 10.0.4.2
in_ns far sysctl -q net.ipv4.ip_no_pmtu_disc=1
for pair in router:r0 router:r1 far:f0 proxy:p2; do
	in_ns "${pair%:*}" ethtool -K "${pair#*:}" tso off gso off gro off tx off >/dev/null
done
made=$(snmp proxy IpReasmOKs)
translated=$(stat_of translated)
in_ns far curl -sS --fail --max-time $((30 * SLOW)) -o /dev/null -T "$FILES/small" --resolve a.test:80:10.0.1.1 http://a.test/put/small
same "SHA-256 of what was uploaded in fragments" "$(sum_of <"$T/b1/put/small")" "$(cat "$FILES/small.sha256")"
# 1448 bytes a segment; what the proxy read itself before it spliced was in fragments, too.
expect "packets put together" $(($(snmp proxy IpReasmOKs) - made)) -ge 1000
expect "packets translated" $(($(stat_of translated) - translated)) -ge 1000
same "packets dropped as malformed" "$(stat_of drop-malformed)" 0
same "packets dropped as too big" "$(stat_of drop-too-big)" 0
