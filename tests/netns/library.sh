#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Needs: module
# The proxies of tools/tcp_splice/examples and tools/tcp_splice-c/examples, by which other proxies see how it is done: each splices,
# moves connections to their server's host, hears of ends, and carries what cannot be done so as well as it can.
#
#   client 10.0.1.2 ──┬── proxy 10.0.1.1, the service's address 10.0.1.100
#                     ├── b1    10.0.1.11, and the service's address; node 2
#                     └── b2    10.0.1.12, which has no daemon
# Limit: 240 s
. "$(dirname "$0")/lib.sh"

one_wire lan client:c0:2 proxy:p0:1 b1:e0:11 b2:e0:12
address proxy p0 10.0.1.100/24
in_ns b1 splicectl vip add 10.0.1.100
make_file large $((6 / SLOW + 2))M
serve b1 b2
monitor
spliced --make-keys "$T/keys" --nodes 1,2,3
# The programs know no other place for the socket of spliced; other scenarios do not see it.
mkdir -p /run/spliced
mount -t tmpfs spliced /run/spliced
# daemon NAMESPACE ID CONTROL
daemon() {
	printf '%s\n' '[cluster]' "id = $2" "keys = \"$T/keys\"" "control = \"$3\"" '[[cluster.node]]' 'id = 1' 'addresses = ["10.0.1.1:7946"]' 'roles = ["proxy"]' \
		'[[cluster.node]]' 'id = 2' 'addresses = ["10.0.1.11:7946"]' 'roles = ["backend"]' 'serves = ["10.0.1.11"]' >"$T/$1.toml"
	in_ns "$1" spliced --check --config "$T/$1.toml"
	start "$1.spliced" "$1" spliced --config "$T/$1.toml"
}
daemon b1 2 "$T/control"
daemon proxy 1 /run/spliced/control
daemon_pid=$STARTED_PID
linked() { in_ns proxy splicectl cluster nodes -j | jq -e '.[] | select(.id == 2) | .state == "up"'; }
wait_for 20 linked

# run NAME COMMAND...: in the proxy's namespace, until it listens on port 80.
run() {
	start "$1" proxy "${@:2}"
	wait_for 20 listening proxy 80
}
# get_from PROXY PATH BACKEND
get_from() {
	local n=$1 path=$2
	client curl -sS --fail --max-time $((60 * SLOW)) -D "$T/head" -o "$T/got" "http://10.0.1.100$path"
	same "SHA-256 of $path by $n" "$(sum_of <"$T/got")" "$(cat "$FILES/large.sha256")"
	grep -qi "x-backend: $3" "$T/head" || fail "another backend answered: $(cat "$T/head")"
}
size=$(stat -Lc %s "$FILES/large")
# told PROXY N: it has heard of N ends, each after a body and its head.
told() { [ "$(awk -v size="$size" '/^ended: / && $3 > size && $3 < size + 1000' "$T/$1.log" | wc -l)" = "$2" ]; }

# made: splices of two sockets; what is handed off has a row, too.
made() { echo $(($(stat_of created) - $(stat_of handed-off))); }

for n in proxy proxy-c; do
	step "$n splices"
	spliced=$(made) moved=$(stat_of handed-off)
	if [ $n = proxy ]; then
		run $n $n 0.0.0.0:80 /one/=10.0.1.11:80 /two/=10.0.1.12:80
		get_from $n /two/large b2
	else
		run $n stdbuf -oL $n 80 10.0.1.11 80
		get_from $n /one/large b1
	fi
	get_from $n /one/large b1
	same "splices of $n" "$(made)" $((spliced + 2))
	wait_for 20 told $n 2
	stop "$STARTED_PID"

	step "$n moves connections"
	if [ $n = proxy ]; then
		run $n-handoff $n --handoff 0.0.0.0:80 /one/=10.0.1.11:80 /two/=10.0.1.12:80
	else
		run $n-handoff $n 80 10.0.1.11 80 handoff
	fi
	get_from $n /one/large b1
	get_from $n /one/large b1
	same "connections that $n moved" "$(stat_of handed-off)" $((moved + 2))
	same "splices of $n while it moves connections" "$(made)" $((spliced + 2))
	# On a slow machine the first is over: its client is asked a minute after its FIN.
	said=$(grep -vE '^ended: (1|Some\(Fin\)), 0 bytes$' "$T/$n-handoff.log") && fail "$n said: $said"
	if [ $n = proxy ]; then
		step "$n: a server that no node of the cluster has"
		get_from $n /two/large b2
		same "what $n says" "$(grep '^it stays' "$T/$n-handoff.log")" "it stays: no node of the cluster has this server"
	else
		step "$n: the daemon is gone"
		stop "$daemon_pid"
		get_from $n /one/large b1
		grep -q '^it stays: no spliced with a \[cluster\] answers at /run/spliced/control: .* (Remote I/O error)$' "$T/$n-handoff.log" ||
			fail "$n said: $(cat "$T/$n-handoff.log")"
	fi
	same "connections that $n moved" "$(stat_of handed-off)" $((moved + 2))
	same "splices of $n" "$(made)" $((spliced + 3))
	stop "$STARTED_PID"
done

step "what cannot be spliced is copied"
run copy proxy 0.0.0.0:80 /one/=10.0.1.11:80
# Timestamps of one side only: the kernel refuses.
in_ns b1 sysctl -q net.ipv4.tcp_timestamps=0
spliced=$(made)
get_from copy /one/large b1
same "splices of what cannot be" "$(made)" "$spliced"
grep -q '^it is copied: ' "$T/copy.log" || fail "it was not copied: $(cat "$T/copy.log")"

step "whoever has closed has reset nothing, when it is gone"
wait_for 80 no_splices
same "ends by FIN" "$(ended fin)" "$(stat_of created)"
