#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Needs: module
# A splice is a few numbers. They are saved from one proxy's table and restored in another's, the cables are moved,
# and the transfers go on: no end host notices.
#
#   client ══ p0 ── proxy  ── p1 ══ b1          client ══ p0 ── proxy2 ── p1 ══ b1
#                   save ───────────────────────────────────> restore
# Limit: 180 s
. "$(dirname "$0")/lib.sh"

topology
make_file large 64M
serve b1 b2
proxy_start splice
capture_all
add_ns proxy2
pids=()
start get4 client curl -sS --fail -o "$T/body4" --limit-rate 5M --resolve a.test:80:10.0.1.1 http://a.test/large
pids[4]=$STARTED_PID
start get6 client curl -sS --fail -o "$T/body6" --limit-rate 5M --resolve "b.test:80:[fd00:1::1]" http://b.test/large
pids[6]=$STARTED_PID
two() { [ "$(proxy splicectl list -j | jq '[.[] | select(.state == "established")] | length')" = 2 ]; }
wait_for 20 two
sleep 1

step "save, restore, move the cables"
proxy splicectl save >"$T/saved"
cat "$T/saved"
in_ns proxy2 splicectl restore <"$T/saved"
same "splices in the second table" "$(splices proxy2)" 2
ip -n proxy link set p0 netns proxy2
ip -n proxy link set p1 netns proxy2
for d in p0 p1; do ip -n proxy2 link set $d up; done
address proxy2 p0 10.0.1.1/24 fd00:1::1/64
address proxy2 p1 10.0.2.1/24 fd00:2::1/64

step "the transfers go on"
for f in 4 6; do
	rc=0
	wait "${pids[$f]}" || rc=$?
	same "curl's verdict, IPv$f" "$rc" 0
	same "SHA-256, IPv$f" "$(sum_of <"$T/body$f")" "$(cat "$FILES/large.sha256")"
done
expect "packets translated by the second proxy" "$(stat_of translated proxy2)" -gt 100
done2() { no_splices proxy2; }
wait_for 20 done2
captures_end
judge_all --lossless
proxy splicectl list
# The first proxy holds what it can no longer see the end of; its operator deletes it.
for id in $(live); do proxy splicectl del "$id"; done
