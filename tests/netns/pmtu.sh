#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Path MTU discovery through a splice. A link of 1280 bytes next to the proxy: the proxy itself tells the
# sender, about the packet as the sender sent it. One behind a router: the router's ICMP error quotes the translated
# packet, and reaches the sender translated back, the quoted sequence number too.
#
#   far ──1280── router ──1500── proxy ──1500── b1, b2       client ──1280── proxy
#                  └─ frag needed ─> proxy ─ translated ─> b1
# Needs: module
. "$(dirname "$0")/lib.sh"

topology
make_file medium 3000000
serve b1 b2
add_ns router
add_ns far
wire_up proxy p2 router r0
wire_up router r1 far f0
address proxy p2 10.0.4.1/24 fd00:4::1/64
address router r0 10.0.4.2/24 fd00:4::2/64
address router r1 10.0.3.1/24 fd00:3::1/64
address far f0 10.0.3.2/24 fd00:3::2/64
in_ns router sysctl -q net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1
ip -n far route add default via 10.0.3.1
ip -n far route add default via fd00:3::1
ip -n router route add 10.0.1.0/24 via 10.0.4.1
ip -n router route add fd00:1::/64 via fd00:4::1
ip -n proxy route add 10.0.3.0/24 via 10.0.4.2
ip -n proxy route add fd00:3::/64 via fd00:4::2
proxy_start splice
capture_all

# path_mtu NAMESPACE DESTINATION: what the host has learnt.
path_mtu() { in_ns "$1" ip route get "$2" | sed -n 's/.* mtu \([0-9]*\).*/\1/p'; }
# from_far FAMILY HOST: the file, fetched from behind the router.
from_far() {
	same "SHA-256 of the file behind the small link, IPv$1" \
		"$(in_ns far curl -sS --fail --max-time $((30 * SLOW)) --resolve "$2:80:$(vip "$1")" "http://$2/medium" | sum_of)" \
		"$(cat "$FILES/medium.sha256")"
}

step "a small link behind a router, toward the client"
# The far host goes on announcing an MSS of 1460: it cannot know.
ip -n router link set r1 mtu 1280
same "ICMP errors translated before" "$(stat_of icmp-errors)" 0
from_far 4 a.test
expect "ICMP errors translated, IPv4" "$(stat_of icmp-errors)" -ge 1
same "path MTU that b1 has learnt, IPv4" "$(path_mtu b1 10.0.2.1)" 1280
before=$(stat_of icmp-errors)
from_far 6 b.test
expect "ICMP errors translated, IPv6" "$(stat_of icmp-errors)" -gt "$before"
same "path MTU that b2 has learnt, IPv6" "$(path_mtu b2 fd00:2::1)" 1280
# Each is about a segment that the server has sent, number and all. Some come too late to say anything new: the answer
# may have been on its way on another CPU.
captures_end
for b in b1 b2; do
	judge $b
	expect "ICMP errors beside $b" "$(counted $b .icmp_errors)" -ge 1
	expect "those that $b found out of its window" "$(snmp $b TcpExtOutOfWindowIcmps)" -lt "$(counted $b .icmp_errors)"
done

step "a small link beside the proxy, toward the client"
make_file large 6000000
# Made smaller while the transfer goes on: a connection made later is told a smaller MSS.
shrinks() {
	local fam=$1 host=$2 pid
	ip -n proxy link set p0 mtu 1500
	start shrinks client curl -sS --fail --max-time $((40 * SLOW)) --limit-rate $((4000 / SLOW))k -o "$T/body" \
		--resolve "$host:80:$(vip "$fam")" "http://$host/large"
	pid=$STARTED_PID
	spliced_one() { [ "$(splices)" -ge 1 ]; }
	wait_for 20 spliced_one
	ip -n proxy link set p0 mtu 1280
	wait "$pid"
	same "SHA-256 over a link that shrinks, IPv$fam" "$(sum_of <"$T/body")" "$(cat "$FILES/large.sha256")"
	wait_for 20 no_splices
}
ip -n b1 route flush cache
ip -n b2 route flush cache
before=$(stat_of drop-too-big)
shrinks 4 b.test
same "path MTU that b2 has learnt, IPv4" "$(path_mtu b2 10.0.2.1)" 1280
shrinks 6 a.test
same "path MTU that b1 has learnt, IPv6" "$(path_mtu b1 fd00:2::1)" 1280
expect "packets that were too big" "$(stat_of drop-too-big)" -gt "$before"
# And one made later: the server is told what the client's side takes, and no packet is too big.
before=$(stat_of drop-too-big)
get 4 http://b.test/medium b2
same "packets that were too big after that" "$(stat_of drop-too-big)" "$before"
ip -n proxy link set p0 mtu 1500

step "a small link beside the proxy, toward the server"
ip -n proxy link set p1 mtu 1280
# Larger than what a proxy's socket takes before arming.
put 4 http://a.test b1 large
same "path MTU that the client has learnt, IPv4" "$(path_mtu client 10.0.1.1)" 1280
put 6 http://b.test b2 large
# The client may have been told a smaller MSS here; then it has nothing to learn.
case $(path_mtu client fd00:1::1) in
'' | 1280) ;;
*) fail "path MTU that the client has learnt, IPv6: $(path_mtu client fd00:1::1)" ;;
esac
