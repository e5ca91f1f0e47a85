#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Needs: module
# The route of a flow changes while it runs: a splice keeps its route from packet to packet, and has to leave it at once. A route is
# added and taken away, goes with its device, and is another one for packets with a mark.
#
#   client ── p0, 10.0.1.0/24 ── proxy ── b1, b2
#      └────── p9, 10.0.9.0/24 ────┘
# Limit: 180 s
. "$(dirname "$0")/lib.sh"

topology
make_file medium 3000000
serve b1 b2
proxy_start splice

# second_wire: another one between client and proxy.
second_wire() {
	wire_up client c9 proxy p9
	address client c9 10.0.9.2/24 fd00:9::2/64
	address proxy p9 10.0.9.1/24 fd00:9::1/64
}
# went DEVICE: packets that the proxy has sent to the client by it.
went() { ip -n proxy -s -j link show dev "$1" | jq '.[0].stats64.tx.packets'; }
# goes_by DEVICE NOT: all of them from now on, and some.
goes_by() {
	local by other
	other=$(went "$2") by=$(went "$1")
	wait_for 20 more "$1" $((by + 20))
	# A neighbour is asked for once in a while.
	expect "packets by $2" $(($(went "$2") - other)) -le 3
	expect "transfers that go on" "$(splices)" -ge 1
}
more() { [ "$(went "$1")" -ge "$2" ]; }
live_one() { [ "$(live | wc -l)" = 1 ]; }

offloads off
second_wire
proxy nft -f - <<-NFT
	table inet marks {
		chain pre { type filter hook prerouting priority -450; }
	}
NFT
for fam in 4 6; do
	if [ $fam = 4 ]; then host=10.0.1.2/32 via=10.0.9.2; else host=fd00:1::2/128 via=fd00:9::2; fi
	step "IPv$fam"
	get $fam http://a.test/medium b1 --limit-rate 150k &
	download=$!
	wait_for 20 live_one
	goes_by p0 p9
	ip -n proxy "-$fam" route add "$host" via $via
	goes_by p9 p0
	ip -n proxy "-$fam" route del "$host" via $via
	goes_by p0 p9

	step "IPv$fam, by mark"
	ip -n proxy "-$fam" rule add fwmark 9 table 9
	ip -n proxy "-$fam" route add "$host" via $via table 9
	proxy nft add rule inet marks pre iifname p1 meta mark set 9
	goes_by p9 p0
	proxy nft flush chain inet marks pre
	goes_by p0 p9
	ip -n proxy "-$fam" rule del fwmark 9 table 9

	step "IPv$fam, with its device"
	ip -n proxy "-$fam" route add "$host" via $via
	goes_by p9 p0
	ip -n proxy link del p9
	before=$(went p0)
	wait_for 20 more p0 $((before + 20))
	expect "transfers that go on" "$(splices)" -ge 1
	second_wire
	wait $download || fail "the download"
	wait_for 20 no_splices
done
