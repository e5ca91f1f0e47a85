#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# An idle splice: its ends are probed, and it stays as long as both answer; it is cut when one does not, or at once if
# that was asked for. One that is slow is not idle.
#
#   client ── says nothing ── proxy (idle time-out 1.5 s) ── b1 says nothing
# Needs: module
# Limit: 120 s
. "$(dirname "$0")/lib.sh"

topology
make_file huge 30000000
serve b1 b2
both_families idle
wait_for 5 no_legs

step "a slow transfer is not idle"
proxy_start splice '[timeouts]' 'idle = "2s"'
before=$(stat_of probes)
client curl -sS --fail --max-time 60 --limit-rate 4M --resolve "a.test:80:10.0.1.1" http://a.test/huge | sum_of >"$T/sum"
same "SHA-256 of a slow transfer" "$(cat "$T/sum")" "$(cat "$FILES/huge.sha256")"
same "probes meanwhile" "$(stat_of probes)" "$before"
wait_for 10 no_splices
