#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Needs: module
# A service that gives connections to servers (layer 4): two-way (nat) and by single rewriting, round robin, by weight, by load, by
# score and by client; who carries what, by capture; ends, refusals, strays, a flood of SYNs.
#
#   client ─┐         ┌─ lb ─┐           ┌─ b1  10.0.2.11  fd00:2::11
#           ├─ front ─┤      ├─ back ────┼─ b2  10.0.2.12  fd00:2::12     nginx on 8080
#   b1-b3  ─┘         └──────┘           └─ b3  10.0.2.13  fd00:2::13
#
# The service is 10.0.1.100 and fd00:1::100, of the balancer alone. Servers answer clients by way of the balancer, or, for single
# rewriting, by their own devices on the front. Nobody forwards anything.
# Limit: 400 s
. "$(dirname "$0")/lib.sh"

for ns in front back client lb b1 b2 b3; do add_ns "$ns"; done
for lan in front back; do
	ip -n "$lan" link add br0 type bridge
	ip -n "$lan" link set br0 up
done
attach() { # NAMESPACE DEVICE LAN
	wire_up "$1" "$2" "$3" "$1"
	ip -n "$3" link set "$1" master br0
	in_ns "$1" ethtool -K "$2" tso off gso off gro off tx off rx off >/dev/null 2>&1 || true
	in_ns "$3" ethtool -K "$1" tso off gso off gro off tx off rx off >/dev/null 2>&1 || true
}
for ns in client lb b1 b2 b3; do
	in_ns "$ns" sysctl -q net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.default.rp_filter=0 net.ipv4.tcp_early_retrans=0 \
		net.ipv4.conf.all.arp_ignore=1 net.ipv4.tcp_fin_timeout=5
	attach "$ns" f0 front
done
for ns in lb b1 b2 b3; do attach "$ns" e0 back; done
address client f0 10.0.1.2/24 fd00:1::2/64
for i in {3..18}; do address client f0 "10.0.1.$((i + 200))/24"; done
address lb f0 10.0.1.1/24 fd00:1::1/64 10.0.1.100/32
ip -n lb address add fd00:1::100/128 dev f0 nodad preferred_lft 0
address lb e0 10.0.2.1/24 fd00:2::1/64
for i in 1 2 3; do
	address "b$i" e0 "10.0.2.1$i/24" "fd00:2::1$i/64"
	address "b$i" f0 "10.0.1.1$i/24" "fd00:1::1$i/64"
done
make_file large 2M
make_file small 20K
HTTP_PORT=8080 serve b1 b2 b3
FILES=$FILES OUT=$OUT python3 "$(dirname "$0")/layer4.py"
