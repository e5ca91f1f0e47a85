#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Needs: module
# VLANs on both sides, 9000-byte frames on one: what the client's path takes in one packet is more than the servers'
# takes. Offloads on and off; every body is right. And connections that agreed on Explicit Congestion Notification (marks, echoes and
# answers themselves are in carried.py).
#
#   client c0.10 ──9000, tag 10── p0.10 proxy p1.20 ──1500, tag 20── br0.20 ── b1, b2
# Limit: 180 s
. "$(dirname "$0")/lib.sh"

topology
for pair in client:c0 proxy:p0; do ip -n "${pair%:*}" link set "${pair#*:}" mtu 9000; done
# vlan NAMESPACE DEVICE TAG ADDRESS...
vlan() {
	local ns=$1 dev=$2 tag=$3
	shift 3
	ip -n "$ns" address flush dev "$dev"
	ip -n "$ns" link add link "$dev" name "$dev.$tag" type vlan id "$tag"
	ip -n "$ns" link set "$dev.$tag" up
	address "$ns" "$dev.$tag" "$@"
}
vlan client c0 10 10.0.1.2/24 fd00:1::2/64
vlan proxy p0 10 10.0.1.1/24 fd00:1::1/64
vlan proxy p1 20 10.0.2.1/24 fd00:2::1/64
vlan b1 e0 20 10.0.2.11/24 fd00:2::11/64
vlan b2 e0 20 10.0.2.12/24 fd00:2::12/64
make_file medium 3000000
serve b1 b2
proxy_start splice

for how in on off; do
	step "offloads $how"
	offloads $how
	for pair in client:c0.10 proxy:p0.10 proxy:p1.20 b1:e0.20 b2:e0.20; do
		in_ns "${pair%:*}" ethtool -K "${pair#*:}" tso $how gso $how gro $how tx $how sg $how >/dev/null 2>&1 || true
	done
	# Tagged as on the wire.
	nsenter --net=/run/netns/client tcpdump -p -Z root -i c0 -s 64 -B 16384 -U -w "$T/tagged.pcap" vlan 10 and tcp >"$T/tagged.log" 2>&1 </dev/null &
	tagged=$!
	STARTED+=("$tagged")
	wait_for 20 grep -q 'listening on' "$T/tagged.log"
	capture client$how client c0.10
	capture b1$how b1 e0.20
	for fam in 4 6; do
		get $fam http://a.test/medium b1
		put $fam http://a.test b1 medium
	done
	wait_for 10 no_splices
	captures_end
	kill -TERM "$tagged"
	wait "$tagged" || true
	expect "frames with tag 10" "$(tcpdump -r "$T/tagged.pcap" 2>/dev/null | wc -l)" -gt 100
	judge client$how --complete
	judge b1$how --complete
	if [ $how = off ]; then
		# The client knows of a path of 9000 bytes, until it is told, or what it sends is cut.
		expect "largest packet beside the client" "$(counted client$how '[.up.largest, .down.largest] | max')" -le 8948
		expect "largest packet beside b1" "$(counted b1$how '[.up.largest, .down.largest] | max')" -le 1460
	fi
	# What the client has learnt of the path must be forgotten for the next round.
	ip -n client route flush cache
	ip -n client -6 route flush cache
done
same "splices made" "$(stat_of created)" 8
same "packets dropped as malformed" "$(stat_of drop-malformed)" 0
same "packets dropped without a route" "$(stat_of drop-no-route)" 0

step "connections that agreed on ECN"
for n in client proxy b1; do in_ns $n sysctl -q net.ipv4.tcp_ecn=1; done
# matching NAME FILTER: packets of a capture.
matching() { tcpdump -r "$OUT/$1.pcap" "$2" 2>/dev/null | wc -l; }
rm -f "$OUT"/*.pcap
capture client client c0.10
capture b1 b1 e0.20
before=$(stat_of created)
get 4 http://a.test/medium b1
get 6 http://a.test/medium b1
same "splices made with ECN" "$(stat_of created)" $((before + 2))
captures_end
for proto in "ip and ip[1] & 3 = 2" "ip6 and ip6[0:2] & 0x0030 = 0x0020"; do
	n=$(matching b1 "tcp src port 80 and $proto")
	expect "packets that may be marked, beside b1 ($proto)" "$n" -gt 1000
	# The proxy may have merged some.
	expect "the same beside the client" "$(matching client "tcp src port 80 and $proto")" -gt 500
done
judge client --complete
judge b1 --complete
