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
capture_all
export PYTHONPATH=/payload/ynl:/payload/tests/netns
for fam in 4 6; do
	step "IPv$fam"
	python3 /payload/tests/netns/returned.py /payload/ynl/Documentation/netlink/specs/tcp_splice.yaml "$fam"
done
wait_for 5 no_legs
captures_end
judge client --lossless
judge b1 --lossless
# One in each family is closed by its ends instead.
same "splices that returned" "$(stat_of returned)" $(($(stat_of ended) - 2))
for n in client b1; do
	expect "retransmissions beside $n" "$(counted $n '.up.retransmits + .down.retransmits')" -le $((30 + $(counted $n .segments) / 10))
done
