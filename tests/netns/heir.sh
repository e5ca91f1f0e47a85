#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Needs: module
# Connections that have moved to their servers' hosts outlive the proxy that moved them: each proxy sends their clients' packets there. What
# they have come to, their servers' hosts are asked.
#
#   client 10.0.1.2 ──┬── proxy 10.0.1.1, the service's address 10.0.1.100; node 1
#                     ├── p2    10.0.1.3, which takes that address; node 2
#                     ├── b1    10.0.1.11, and the service's address; node 3
#                     └── b2    10.0.1.12, and the service's address; node 4
# Limit: 600 s
. "$(dirname "$0")/lib.sh"

one_wire lan client:c0:2 proxy:p0:1 p2:p0:3 b1:e0:11 b2:e0:12
address proxy p0 10.0.1.100/24
ip -n proxy address add fd00:1::100/128 dev p0 nodad preferred_lft 0
for n in 1 2; do
	in_ns b$n splicectl vip add 10.0.1.100 --tunnel 10.0.1.1$n
	in_ns b$n splicectl vip add fd00:1::100 --tunnel fd00:1::1$n
	# A client reads for longer than a server remembers what it has sent and closed; it would answer the client's FIN with a RST.
	in_ns b$n sysctl -q net.ipv4.tcp_fin_timeout=600
done
make_file large 2M
serve b1 b2
spliced --make-keys "$T/keys" --nodes 1,2,3,4
# daemon NAMESPACE ID LINES...
daemon() {
	printf '%s\n' "${@:3}" '[cluster]' "id = $2" "keys = \"$T/keys\"" "control = \"$T/control$2\"" 'heartbeat = "300ms"' \
		'[[cluster.node]]' 'id = 1' 'addresses = ["10.0.1.1:7946"]' 'roles = ["proxy"]' \
		'[[cluster.node]]' 'id = 2' 'addresses = ["10.0.1.3:7946"]' 'roles = ["proxy"]' \
		'[[cluster.node]]' 'id = 3' 'addresses = ["10.0.1.11:7946"]' 'roles = ["backend"]' 'serves = ["10.0.1.11", "fd00:1::11"]' \
		'[[cluster.node]]' 'id = 4' 'addresses = ["10.0.1.12:7946"]' 'roles = ["backend"]' 'serves = ["10.0.1.12", "fd00:1::12"]' >"$T/$1.toml"
	in_ns "$1" spliced --check --config "$T/$1.toml"
	start "$1.spliced" "$1" spliced --config "$T/$1.toml"
}
routes() {
	# Forty-eight at a time take their time.
	printf '[timeouts]\nconnect = "%ss"\n' $((5 * SLOW))
	printf '[pool.four]\naddresses = ["10.0.1.11:80", "10.0.1.12:80"]\n[pool.six]\naddresses = ["[fd00:1::11]:80", "[fd00:1::12]:80"]\n'
	printf '[[listener]]\nname = "web4"\naddresses = ["0.0.0.0:80"]\nprotocol = "http"\n[[listener.route]]\npool = "four"\nmethod = "handoff"\n'
	printf '[[listener]]\nname = "web6"\naddresses = ["[::]:80"]\nprotocol = "http"\n[[listener.route]]\npool = "six"\nmethod = "hop"\n'
}
daemon b1 3
daemon b2 4
daemon p2 2 "$(routes)"
daemon proxy 1 "$(routes)"
daemon_pid=$STARTED_PID
wait_for 20 listening proxy 80
all_up() { in_ns "$1" splicectl cluster nodes --control "$T/control$2" -j | jq -e 'all(.state == "up")'; }
wait_for 40 all_up proxy 1
wait_for 40 all_up p2 2

N=24
step "connections move; the other proxy can send their packets on"
capture client client c0
declare -A pids
takes=$((20 * SLOW))
start four client python3 /payload/tests/netns/transfers.py 10.0.1.100 80 "$FILES/large" "$T/b1/put:$T/b2/put" $N 4 $takes 400000 "$OUT/four.json"
pids[four]=$STARTED_PID
start six client python3 /payload/tests/netns/transfers.py fd00:1::100 80 "$FILES/large" "$T/b1/put:$T/b2/put" $N 6 $takes 400000 "$OUT/six.json"
pids[six]=$STARTED_PID
for t in four six; do wait_for 240 grep -q '^running' "$T/$t.log"; done
holds_all() { [ "$(splices "$1")" = $((2 * N)) ]; }
wait_for 20 holds_all p2
same "connections that moved" "$(stat_of handed-off)" $((2 * N))
same "connections that came" "$(($(stat_of taken-over b1) + $(stat_of taken-over b2)))" $((2 * N))
same "packets that the other proxy sent on" "$(stat_of forwarded p2)" 0

step "the proxy that moved them dies, the other has its address"
ip -n proxy link set p0 down
kill -9 "$daemon_pid"
wait "$daemon_pid" 2>/dev/null || true
address p2 p0 10.0.1.100/24
ip -n p2 address add fd00:1::100/128 dev p0 nodad preferred_lft 0
mac=$(ip -n p2 -j link show dev p0 | jq -r '.[0].address')
for vip in 10.0.1.100 fd00:1::100; do ip -n client neighbour replace $vip lladdr "$mac" dev c0 nud permanent; done
for t in four six; do
	rc=0
	wait "${pids[$t]}" || rc=$?
	grep '^transfer' "$T/$t.log" || true
	same "the verdict of the transfers" "$rc" 0
	cat "$OUT/$t.json"
	same "transfers that were lost" "$(jq .lost "$OUT/$t.json")" 0
	same "transfers with a wrong byte" "$(jq .corrupted "$OUT/$t.json")" 0
done
expect "packets that the other proxy sent on" "$(stat_of forwarded p2)" -ge $((2 * N))
captures_end
same "RSTs on the client's wire" "$(tcpdump -r "$OUT/client.pcap" 'tcp[tcpflags] & tcp-rst != 0 or (ip6[6] = 6 and ip6[53] & 4 != 0)' 2>/dev/null | wc -l)" 0

step "what is over on the servers' hosts is over on the proxies"
wait_for 60 no_splices p2
same "connections ended" "$(stat_of ended p2)" $((2 * N))
same "probes sent" "$(stat_of probes p2)" 0
holds_all proxy || fail "the kernel of the dead proxy has $(splices proxy) splices"
ip -n proxy address flush dev p0
address proxy p0 10.0.1.1/24 fd00:1::1/64
ip -n proxy link set p0 up
daemon proxy 1 "$(routes)"
daemon_pid=$STARTED_PID
wait_for 40 no_splices proxy

step "a client that is gone without a FIN, and one that resets: the server's host says when"
: "$(client curl -sS --max-time 2 --limit-rate 50k -o /dev/null http://10.0.1.100/large 2>&1 || true)"
wait_for 60 no_splices p2
same "connections ended" "$(stat_of ended p2)" $((2 * N + 1))

step "the process of the last proxy ends, and a new one begins: nothing is forgotten"
start late client curl -sS --fail --limit-rate $((400 / SLOW))k --max-time $((60 * SLOW)) -o "$T/late" http://10.0.1.100/large
late=$STARTED_PID
moved_again() { [ "$(stat_of handed-off p2)" = 2 ] && [ "$(splices proxy)" = 1 ]; }
wait_for 20 moved_again
stop "$daemon_pid" -KILL
daemon proxy 1 "$(routes)"
wait_for 40 all_up proxy 1
same "splices of the proxy" "$(splices proxy)" 1
rc=0
wait "$late" || rc=$?
same "curl's verdict" "$rc" 0
same "SHA-256" "$(sum_of <"$T/late")" "$(cat "$FILES/large.sha256")"
for n in proxy p2; do wait_for 60 no_splices $n; done
