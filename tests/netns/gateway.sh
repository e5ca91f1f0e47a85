#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# The proxy copies in user space: everything that splicing must match, by host, path and SNI. It also
# shows that the harness itself works.
#
#   client ── spliced (gateway) ── b1, b2
# Limit: 120 s
. "$(dirname "$0")/lib.sh"

topology
make_file small 1000
make_file medium 3000000
serve b1 b2
capture_all
proxy_start gateway
for fam in 4 6; do
	step "IPv$fam"
	get $fam http://a.test/small b1
	get $fam http://b.test/medium b2
	get $fam http://c.test/one/medium b1
	get $fam http://c.test/two/small b2
	get $fam https://a.test/medium b1
	get $fam https://b.test/small b2
	put $fam http://a.test b1 medium
done
same "status of a bad request" "$(client curl -s -o /dev/null -w '%{http_code}' http://10.0.1.1/elsewhere || true)" 404
sleep 1
captures_end
judge client --complete --lossless --window
judge b1 --complete --lossless --window
judge b2 --complete --lossless --window
few_retransmits
