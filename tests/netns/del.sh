#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Needs: module
# An operator cuts a live splice: both ends get a RST that they believe, at once.
#
#   client <── RST ── proxy ── RST ──> b1
# Limit: 120 s
. "$(dirname "$0")/lib.sh"

topology
make_file huge 200M
serve b1 b2
proxy_start splice
monitor
capture_all
established() { backend b1 ss -Htn state established "sport = :80" | grep -q .; }
n=0
for fam in 4 6; do
	step "IPv$fam"
	start curl client curl -s -o /dev/null --limit-rate 4M --resolve "a.test:80:$(vip $fam)" http://a.test/huge
	curl=$STARTED_PID
	has_one() { [ "$(splices)" = 1 ]; }
	wait_for 20 has_one
	sleep 1
	id=$(live)
	proxy splicectl show "$id"
	proxy splicectl del "$id"
	n=$((n + 1))
	rc=0
	t=$SECONDS
	wait "$curl" || rc=$?
	same "curl's verdict (56: reset by the peer)" "$rc" 56
	expect "seconds until the client noticed" $((SECONDS - t)) -lt $((5 * SLOW))
	sleep 0.5
	! established || fail "b1 still believes in the connection"
	same "splices" "$(splices)" 0
	! proxy splicectl del "$id" 2>"$T/del.log" || fail "a splice was deleted twice"
	wait_for 5 has_ended deleted $n
done
wait_for 10 no_legs
captures_end
judge client --rst
judge b1 --rst
