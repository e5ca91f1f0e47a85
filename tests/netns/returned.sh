#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Needs: module
# Sockets are given back: after so many bytes, after a FIN, on request; with data in flight, unread, kept, out of
# order, or pipelined. Every byte arrives once, and the sockets that come back go on where the splice stopped.
#
#   client (c0) ── proxy (a Python program that holds both sockets) ── b1
# Limit: 150 s
. "$(dirname "$0")/lib.sh"

topology
# A proxy with a stateful firewall: its connection tracking sees nothing of what is spliced, and then a connection
# that goes on elsewhere.
proxy nft -f - <<-NFT
	table inet wall {
		counter invalid { }
		chain in { type filter hook input priority 0; ct state invalid counter name invalid drop; }
		chain out { type filter hook output priority 0; ct state invalid counter name invalid drop; }
	}
NFT
capture_all
both_families returned
wait_for 5 no_legs
same "packets that connection tracking called invalid" \
	"$(proxy nft -j list counter inet wall invalid | jq '.nftables[] | select(.counter) | .counter.packets')" 0
captures_end
judge client --lossless
judge b1 --lossless
# One in each family is closed by its ends instead.
same "splices that returned" "$(stat_of returned)" $(($(stat_of ended) - 2))
for n in client b1; do
	expect "retransmissions beside $n" "$(counted $n '.up.retransmits + .down.retransmits')" -le $((30 + $(counted $n .segments) / 10))
done
