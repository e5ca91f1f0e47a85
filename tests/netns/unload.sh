#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Needs: module
# Loading and unloading, fifty times, and unloading under a live splice: refused, or clean, never a crash.
#
#   client ══ splice ══ proxy ══ b1        rmmod
# Last: after all others, which may have left nothing, and alone
# Limit: 400 s
. "$(dirname "$0")/lib.sh"

# The suites have run when the guest started.
mute=/sys/module/kunit/parameters/filter_glob
[ -w $mute ] && echo none >$mute
# cleanup ends with the status that it finds.
trap 'rc=$?; [ -d /sys/module/tcp_splice ] || insmod /payload/tcp_splice.ko; (exit "$rc"); cleanup' EXIT

step "what other scenarios have left"
# A splice with sockets holds one. Namespaces are taken apart, with their sockets, a while after they were deleted: what is
# still to be acknowledged there is tried for up to two minutes.
references() { cat /sys/module/tcp_splice/refcnt; }
sockets() { awk '$1 == "TCP:" { for (i = 2; i < NF; i++) if ($i == "alloc" || $i == "orphan") printf "%s %s ", $i, $(i + 1) }' "$1"; }
nothing_left() { [ "$(references)" = 0 ] && [ "$(sockets /proc/net/sockstat)" = "$(sockets /run/sockstat)" ]; }
left() { echo "references $(references), TCP sockets: $(sockets /proc/net/sockstat); when the guest started: $(sockets /run/sockstat)"; }
left
wait_for 150 nothing_left
left

step "under a live splice"
topology
make_file large 64M
serve b1 b2
proxy_start splice
start curl client curl -sS --fail -o "$T/body" --limit-rate 8M --resolve a.test:80:10.0.1.1 http://a.test/large
curl=$STARTED_PID
one() { [ "$(splices)" = 1 ]; }
wait_for 20 one
if rmmod tcp_splice 2>"$T/rmmod.log"; then
	echo "it went; the connection has to end"
	rc=0
	timeout 60 tail --pid="$curl" -f /dev/null || fail "curl hangs after the module went"
	wait "$curl" || rc=$?
	echo "curl ended with $rc"
	insmod /payload/tcp_splice.ko
else
	cat "$T/rmmod.log"
	rc=0
	wait "$curl" || rc=$?
	same "curl's verdict after a refused rmmod" "$rc" 0
	same "SHA-256 after a refused rmmod" "$(sum_of <"$T/body")" "$(cat "$FILES/large.sha256")"
	wait_for 10 no_splices
fi
stop "$PROXY_PID"

step "under a live connection of a service"
ip -n b1 route add 10.0.1.2 via 10.0.2.1
proxy splicectl service add 10.0.1.1:81 --scheduler least
proxy splicectl node set 10.0.1.1:81 1 --via 10.0.2.11 --output nat --port 80
start nat client curl -sS --fail -o "$T/body" --limit-rate 8M http://10.0.1.1:81/large
curl=$STARTED_PID
carries() { one && [ "$(proxy splicectl list -j | jq '[.[] | select(.kind == "nat")][0]["to-client"].bytes')" -gt 1000000 ]; }
wait_for 20 carries
# No row holds it, and the client hears from the proxy's own stack that there is nothing.
rmmod tcp_splice
timeout 60 tail --pid="$curl" -f /dev/null || fail "curl hangs after the module went"
rc=0
wait "$curl" || rc=$?
expect "curl's verdict after rmmod" "$rc" -ne 0
insmod /payload/tcp_splice.ko

step "fifty times, with namespaces alive"
gone() { rmmod tcp_splice; }
wait_for 30 gone
slab() { awk '$1 == "Slab:" || $1 == "Percpu:" { print $2 }' /proc/meminfo | paste -sd+ | bc 2>/dev/null || awk '$1 == "Slab:" { s += $2 } $1 == "Percpu:" { s += $2 } END { print s }' /proc/meminfo; }
for i in $(seq 50); do
	insmod /payload/tcp_splice.ko
	rmmod tcp_splice
	[ "$i" != 10 ] || memory=$(slab)
done
grown=$(($(slab) - memory))
echo "slab and percpu grew by $grown kB in forty rounds"
expect "kB leaked in forty rounds" "$grown" -lt 2000
insmod /payload/tcp_splice.ko
