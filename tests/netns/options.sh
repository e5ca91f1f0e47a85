#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Needs: module
# Ends that do without SACK, timestamps or window scaling, each side on its own. What can be translated is spliced;
# timestamps on one side only cannot be, so user space copies and says why.
#
#   client (sysctl) ══ 0.5 % lost ══ proxy ══ 0.5 % lost ══ b1 (sysctl)
# Limit: 300 s
. "$(dirname "$0")/lib.sh"

topology
offloads off
impair loss 0.5% delay 2ms
make_file medium 1000000
serve b1 b2
proxy_start splice
set_option() { in_ns "$1" sysctl -q "net.ipv4.tcp_$2=$3"; }

# try WHO OPTION EXPECTED-MODE: with the option off there.
try() {
	local sides=$1 option=$2 want=$3 s n
	step "$option off on: $sides; expected: $want"
	for s in $sides; do set_option "$s" "$option" 0; done
	: >"$T/access"
	get 4 http://a.test/medium b1
	put 4 http://a.test b1 medium
	get 6 http://a.test/medium b1
	wait_for 10 no_splices
	n=$(jq -s --arg m "$want" '[.[] | select(.mode == $m)] | length' "$T/access")
	same "connections that were $want" "$n" 3
	if [ "$want" = refused ]; then
		jq -r .refusal "$T/access" | grep -qi timestamp || fail "the reason does not tell of timestamps: $(jq -c .refusal "$T/access")"
	fi
	for s in $sides; do set_option "$s" "$option" 1; done
}
capture client client c0
capture b1 b1 e0
try "" nothing spliced
try "client" sack spliced
try "b1" sack spliced
try "client b1" sack spliced
try "client" window_scaling spliced
try "b1" window_scaling spliced
try "client b1" window_scaling spliced
try "client b1" timestamps spliced
try "client" timestamps refused
try "b1" timestamps refused
captures_end
judge client --full-checksums --rst
judge b1 --full-checksums --rst
