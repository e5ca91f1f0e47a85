#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Needs: module
# Downloads through a splice, by host and by path, small and large, over both families.
#
#   client ── spliced, tcp_splice ── b1, b2
# Limit: 120 s
. "$(dirname "$0")/lib.sh"

topology
make_file small 1000
make_file medium 3000000
make_file large 64M
serve b1 b2
proxy_start splice
monitor
capture_all
n=0
for fam in 4 6; do
	step "IPv$fam"
	get $fam http://a.test/small b1
	get $fam http://b.test/medium b2
	get $fam http://c.test/one/medium b1
	get $fam http://c.test/two/small b2
	get $fam http://a.test/large b1
	n=$((n + 5))
done
step "how they ended"
wait_for 10 no_splices
wait_for 10 has_ended fin $n
same "splices made" "$(stat_of created)" $n
same "splices refused" "$(stat_of refused)" 0
same "splices that ended otherwise" "$(jq -s '[.[] | select(.event == "end" and .reason != "fin")] | length' "$T/events.json")" 0
expect "packets translated" "$(stat_of translated)" -gt 1000
for c in drop-malformed drop-ttl drop-no-route drop-no-memory drop-invalid-rst; do same $c "$(stat_of $c)" 0; done
wait_for 10 no_legs
captures_end
judge_all --complete --lossless
few_retransmits
