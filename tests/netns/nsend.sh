#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Needs: module
# A network namespace ends with live splices in its table: all that it held goes, nothing leaks, other tables are
# not touched.
#
#   client ══ splice ══ proxy ══ b1        ip netns del proxy
# Alone: nothing runs beside it
# Limit: 180 s
. "$(dirname "$0")/lib.sh"

refs() { cat /sys/module/tcp_splice/refcnt; }
base=$(refs)
round() {
	topology
	serve b1 b2
	proxy_start splice
	start curl client curl -s -o /dev/null --limit-rate 2M --resolve a.test:80:10.0.1.1 http://a.test/large
	start curl6 client curl -s -o /dev/null --limit-rate 2M --resolve 'a.test:80:[fd00:1::1]' http://a.test/large
	two() { [ "$(splices)" = 2 ]; }
	wait_for 20 two
	kill -9 "$PROXY_PID"
	wait "$PROXY_PID" 2>/dev/null || true
	# The sockets that proxied are gone with their process; the splices are the kernel's and go on.
	same "splices after the proxy died" "$(splices)" 2
	local p
	p=$(stat_of translated)
	sleep 1
	expect "packets translated after the proxy died" "$(stat_of translated)" -gt "$p"
	# Only a name is deleted while somebody sits in it.
	for p in "${STARTED[@]}"; do kill -9 "$p" 2>/dev/null || true; wait "$p" 2>/dev/null || true; done
	STARTED=()
	for p in proxy client b1 b2 switch; do
		ip netns pids $p | xargs -r kill -9
		ip netns delete $p
	done
	SPACES=()
}
make_file large 64M
add_ns watch
mine() { in_ns watch splicectl stats -j | jq -c .; }
before=$(mine)
for i in 1 2 3; do
	step "round $i"
	round
done
add_ns again
free() { [ "$(refs)" = "$base" ]; }
wait_for 30 free
same "another namespace's counters" "$(mine)" "$before"
# cleanup_net is done when a namespace that was deleted has let go of its devices; then a reload is possible.
reload() { rmmod tcp_splice; }
mute=/sys/module/kunit/parameters/filter_glob
[ -w $mute ] && echo none >$mute
wait_for 30 reload
insmod /payload/tcp_splice.ko
