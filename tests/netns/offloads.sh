#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Needs: module
# Segmentation and checksum offload on neither side, on one, on the other: batches of 64 KB arrive whole and leave
# whole, or are cut at the device, and every checksum on the wire is right.
#
#   client ── 64 KB batches, or MTU-sized packets ── proxy ── the other ── b1, b2
# Limit: 180 s
. "$(dirname "$0")/lib.sh"

topology
make_file medium 3000000
serve b1 b2
proxy_start splice

# side on|off DEVICE...
side() {
	local how=$1 pair
	shift
	for pair in "$@"; do
		in_ns "${pair%:*}" ethtool -K "${pair#*:}" tso "$how" gso "$how" gro "$how" tx "$how" sg "$how" >/dev/null 2>&1
	done
}
near=(client:c0 proxy:p0)
far=(proxy:p1 switch:s0 switch:s1 switch:s2 b1:e0 b2:e0)
n=0
for try in "off off" "on off" "off on"; do
	read -r at_client at_backend <<<"$try"
	step "offload $at_client beside the client, $at_backend beside the backends"
	side "$at_client" "${near[@]}"
	side "$at_backend" "${far[@]}"
	n=$((n + 1))
	capture client$n client c0 65535
	capture b1$n b1 e0 65535
	capture b2$n b2 e0 65535
	for fam in 4 6; do
		get $fam http://a.test/medium b1
		put $fam http://b.test b2 medium
	done
	wait_for 10 no_splices
	captures_end
	whole=()
	[ "$at_client" = on ] || whole=(--full-checksums)
	judge client$n --complete --lossless "${whole[@]}"
	[ "$at_client" = on ] || expect "largest packet beside the client" "$(counted client$n '[.up.largest, .down.largest] | max')" -le 1460
	whole=()
	[ "$at_backend" = on ] || whole=(--full-checksums)
	for b in b1 b2; do
		judge $b$n --complete "${whole[@]}"
		[ "$at_backend" = on ] || expect "largest packet beside $b" "$(counted $b$n '[.up.largest, .down.largest] | max')" -le 1460
	done
	rm -f "$OUT"/*.pcap
done
step "everything on: batches pass whole"
side on "${near[@]}" "${far[@]}"
# How large the server's packets are is a matter of the rate it measures; of a slow machine, two segments are enough.
in_ns b1 sysctl -q net.ipv4.tcp_min_tso_segs=8
capture client client c0
capture b1 b1 e0
get 4 http://a.test/medium b1
captures_end
judge client --complete
judge b1 --complete
# What was copied before the splice was armed, a window at most, comes in other packets.
packets=$(counted b1 .down.packets)
expect "packets of the server, of two segments or more" $((2 * packets)) -lt $(($(counted b1 .down.bytes) / 1448))
expect "packets beside the client" "$(counted client .down.packets)" -le $((packets + 50))
same "splices made" "$(stat_of created)" 13
same "packets dropped as malformed" "$(stat_of drop-malformed)" 0
