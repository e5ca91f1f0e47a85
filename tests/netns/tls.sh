#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Needs: module
# TLS by the server name in the ClientHello; the proxy has neither key nor certificate.
#
#   client ── TLS through the splice ── b1 (a.test), b2 (b.test)
# Limit: 120 s
. "$(dirname "$0")/lib.sh"

topology
make_file small 1000
make_file medium 3000000
serve b1 b2
proxy_start splice
capture_all
for fam in 4 6; do
	get $fam https://a.test/small b1
	get $fam https://b.test/medium b2
	get $fam https://a.test/medium b1 --tls-max 1.2
	put $fam https://b.test b2 medium
done
# A name nobody serves: no splice, no hang.
! fetch 4 https://c.test/small -o /dev/null || fail "a name without a route was served"
same "splices made" "$(stat_of created)" 8
wait_for 10 no_splices
wait_for 10 no_legs
captures_end
# curl ends with the TLS close alert in flight: both ends may reset after all was said.
judge_all --lossless --rst
