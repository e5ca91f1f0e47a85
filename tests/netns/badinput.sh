#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Needs: module
# What nobody should send: to a live splice by who can forge packets, and to the netlink family by who may speak to it.
# Each is counted or carried as documented, its receiver is told by nobody but the far end, and what the splice
# believes does not change.
#
#   an end by hand ── broken headers, wrong numbers ── proxy ── an end by hand, which sees every bit that arrives
#   curl ══ a transfer, whose packets are forged meanwhile ══ proxy ══ b1: challenge ACKs (RFC 5961), and nothing ends
# Limit: 120 s
. "$(dirname "$0")/lib.sh"

topology
offloads off
make_file medium 10M
serve b1 b2
proxy_start splice
monitor

step "between two ends by hand"
python3 /payload/tests/netns/badinput.py

step "the netlink family"
python3 /payload/tests/netns/badrequests.py

# For as long as it is needed on a slow machine, and the client's window open all the while.
slow() { tc -n b1 qdisc replace dev e0 root netem limit 20000 rate $((4000 / SLOW))kbit; }
for fam in 4 6; do
	step "a transfer whose packets are forged, IPv$fam"
	has_one() { [ "$(splices)" = 1 ]; }
	wait_for 10 no_splices
	slow
	start curl client curl -sS --fail -o "$T/body" --resolve "a.test:80:$(vip $fam)" http://a.test/medium
	curl=$STARTED_PID
	wait_for 10 has_one
	python3 /payload/tests/netns/forged.py $fam
	tc -n b1 qdisc del dev e0 root
	rc=0
	wait "$curl" || rc=$?
	same "curl's verdict" "$rc" 0
	same "SHA-256 over IPv$fam" "$(sum_of <"$T/body")" "$(cat "$FILES/medium.sha256")"
done
wait_for 5 has_ended fin 2

slow
step "a forged RST with the exact number ends it, as it ends any connection"
start curl client curl -s -o /dev/null --resolve a.test:80:10.0.1.1 http://a.test/medium
curl=$STARTED_PID
wait_for 10 has_one
before=$(ended reset-by-client)
python3 /payload/tests/netns/forged.py 4 exact
rc=0
wait "$curl" || rc=$?
same "curl's verdict (56: reset by the peer)" "$rc" 56
wait_for 5 has_ended reset-by-client $((before + 1))
