#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Needs: module
# Uploads: the request's body is in flight, or already unread in the proxy's socket, while the splice is armed.
#
#   client ── PUT through the splice ── b1, b2
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
for fam in 4 6; do
	put $fam http://a.test b1 small
	put $fam http://b.test b2 medium
	put $fam http://a.test b1 large
	# No "100-continue": the body follows the head at once.
	put $fam http://b.test b2 large -H Expect:
done
wait_for 10 no_splices
same "splices made" "$(stat_of created)" 8
wait_for 10 has_ended fin 8
wait_for 10 no_legs
captures_end
# Data may have been sent under the proxy's window, which the server's replaced: it comes again.
judge_all --complete
