#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Needs: module
# Handoffs of connections with a request of 1 KB, N of each family, and ordinary connections in turn with them; what they cost in
# executed instructions is seen from outside (make cost). Without the plugin of tests/bench it says only that they work.
#
#   client 10.0.1.2 ──┬── proxy 10.0.1.1, the service's address 10.0.1.100
#                     └── b1    10.0.1.11, and the service's address
# Run: by name only
# Limit: 400 s
. "$(dirname "$0")/lib.sh"

one_wire lan client:c0:2 proxy:p0:1 b1:e0:11
address proxy p0 10.0.1.100/24 fd00:1::100/64
for vip in 10.0.1.100 fd00:1::100; do in_ns b1 splicectl vip add $vip; done
# What the addresses of functions are.
cp /proc/kallsyms "$OUT/kallsyms"

step "IPv4"
cost 10.0.1.100 10.0.1.1 10.0.1.11 "${N:-100}"
step "IPv6"
cost fd00:1::100 fd00:1::1 fd00:1::11 "${N:-100}"
expect "connections handed off" "$(stat_of handed-off)" -ge $((2 * ${N:-100}))
same "connections taken over" "$(stat_of taken-over b1)" "$(stat_of handed-off)"
