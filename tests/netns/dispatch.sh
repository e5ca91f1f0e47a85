#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Needs: module
# A load balancer and three proxies with one address: turns, scores, weights and ports; frames and tunnels; draining;
# connections that come in at the wrong proxy; hosts of different opinions; a balancer that takes over from another.
#
#   client ─┐           ┌─ n1  10.0.2.11  fd00:2::11   and the service on lo
#   lb     ─┼─ switch ──┼─ n2  10.0.2.12  fd00:2::12
#   lb2    ─┘           └─ n3  10.0.2.13  fd00:2::13
#
# The service is 10.0.2.100 and fd00:2::100, to the client an address of the balancer; nodes answer the client directly.
# Limit: 400 s
. "$(dirname "$0")/lib.sh"

HOSTS=(client:c0 lb:l0 lb2:l0 n1:e0 n2:e0 n3:e0)
NUMBERS=(2 1 3 11 12 13)
add_ns switch
ip -n switch link add br0 type bridge
ip -n switch link set br0 up
for i in "${!HOSTS[@]}"; do
	ns=${HOSTS[$i]%:*} dev=${HOSTS[$i]#*:}
	add_ns "$ns"
	# Of an address that many have, only its balancer speaks. Packets by way of other hosts are no forgeries.
	in_ns "$ns" sysctl -q net.ipv4.conf.all.arp_ignore=1 net.ipv4.conf.all.arp_announce=2 net.ipv4.conf.all.rp_filter=0 \
		net.ipv4.conf.default.rp_filter=0 net.ipv4.tcp_early_retrans=0
	wire_up "$ns" "$dev" switch "s$i"
	ip -n switch link set "s$i" master br0
	address "$ns" "$dev" "10.0.2.${NUMBERS[$i]}/24" "fd00:2::${NUMBERS[$i]}/64"
	for end in "$ns:$dev" "switch:s$i"; do
		in_ns "${end%:*}" ethtool -K "${end#*:}" tso off gso off gro off tx off rx off >/dev/null 2>&1 || true
	done
done
for ns in n1 n2 n3; do
	address "$ns" lo 10.0.2.100/32 fd00:2::100/128
done
address lb l0 10.0.2.100/32
# Not to be chosen as a source, of tunnels for instance.
ip -n lb address add fd00:2::100/128 dev l0 nodad preferred_lft 0
OUT=$OUT python3 "$(dirname "$0")/dispatch.py"
