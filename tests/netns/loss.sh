#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Needs: module
# Loss on both sides: the two end hosts repair it between themselves, with SACK blocks and timestamps that must
# mean the same on both sides.
#
#   client ══ 1 % lost, 5 ms ══ proxy ══ 1 % lost, 5 ms ══ b1, b2
# Limit: 240 s
. "$(dirname "$0")/lib.sh"

topology
# Loss by packet, not by batch of 64 KB.
offloads off
impair loss 1% delay 5ms
make_file medium 1000000
make_file middle 4M
serve b1 b2
proxy_start splice
monitor
capture_all
for fam in 4 6; do
	get $fam http://a.test/middle b1
	put $fam http://b.test b2 medium
	get $fam http://b.test/medium b2
	get $fam https://a.test/medium b1
done
wait_for 60 no_splices
same "splices made" "$(stat_of created)" 8
wait_for 10 no_legs
captures_end
judge client --sack-edges --full-checksums --rst
expect "SACK blocks from the client" "$(counted client .up.sacks)" -gt 0
# What is lost toward the client is lost before the capture: of it only the gap is seen, and a copy of what
# was seen would be a needless one.
expect "segments lost toward the client" "$(counted client .down.gaps)" -gt 0
expect "retransmissions by the client" "$(counted client .up.retransmits)" -gt 0
expect "SACK blocks toward the client" "$(counted client .down.sacks)" -gt 0
judge b1 --sack-edges --full-checksums --rst
expect "SACK blocks toward b1" "$(counted b1 .up.sacks)" -gt 0
judge b2 --sack-edges --full-checksums --rst
expect "SACK blocks from b2" "$(counted b2 .down.sacks)" -gt 0
# Lost tails and lost retransmissions wait for the timer (there are no probes of tails here); that is
# a part of what is sent again, and stays one: SACK does the most.
for b in b1 b2; do
	expect "retransmission time-outs of $b" "$(snmp $b TcpExtTCPTimeouts)" -lt \
		$((20 + $(counted $b '.up.retransmits + .down.retransmits') / 3))
done
