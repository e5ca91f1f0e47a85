#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Needs: module
# Configuration 1 of the source: a balancer without state, three proxies that hold each other's splices, backends that
# know nothing. Proxies die, with all that their kernel knew, and come back empty; no connection notices.
#
#   client ── outer ──┬── lb ───┬── inner ── b1        service 10.0.1.100:80, round robin, to any proxy
#    10.0.1.2         ├── p1 ───┤          10.0.2.21   10.0.2.100, the proxies' source, round robin, too
#                     ├── p2 ───┤
#                     └── p3 ───┘   10.0.1.11-13, 10.0.2.11-13
# Limit: 300 s
. "$(dirname "$0")/lib.sh"

# Transfers, deaths of proxies, bytes a second of each transfer.
N=${N:-9} DEATHS=${DEATHS:-1} RATE=${RATE:-300k}
add_ns client
for ns in lb b1 outer inner; do add_ns "$ns"; done
for ns in outer inner; do
	ip -n "$ns" link add br0 type bridge
	ip -n "$ns" link set br0 up
done

# plug NAMESPACE DEVICE SWITCH ADDRESS
plug() {
	wire_up "$1" "$2" "$3" "$1"
	ip -n "$3" link set "$1" master br0
	address "$1" "$2" "$4"
	# Of an address that many have, only its balancer speaks. Packets by way of other hosts are no forgeries.
	in_ns "$1" sysctl -q net.ipv4.conf.all.arp_ignore=1 net.ipv4.conf.all.arp_announce=2 net.ipv4.conf.all.rp_filter=0 \
		net.ipv4.conf.default.rp_filter=0
}

# service NAMESPACE ADDRESS:PORT SCHEDULER NETWORK [PORTS]: with its three nodes, of which this may be one.
service() {
	local n args
	in_ns "$1" splicectl service add "$2" --scheduler "$3"
	for n in 1 2 3; do
		args=(--via "$4.1$n" --state down)
		[ "$1" != "p$n" ] || args+=(--local)
		[ $# -lt 5 ] || args+=(--ports "${n}0000-${n}9999")
		in_ns "$1" splicectl node set "$2" "$n" "${args[@]}"
	done
}

# daemon ID NAMESPACE [LINE...]
daemon() {
	local id=$1 ns=$2 n
	shift 2
	{
		cat <<-TOML
			mode = "splice"
			[log]
			level = "debug"
			[cluster]
			id = $id
			keys = "$T/keys"
			control = "$T/control$id"
			replicas = "all"
			# An emulated machine stalls.
			heartbeat = "300ms"
			[[cluster.node]]
			id = 9
			addresses = ["10.0.2.9:7946"]
			roles = ["balancer"]
		TOML
		for n in 1 2 3; do
			printf '[[cluster.node]]\nid = %s\naddresses = ["10.0.2.1%s:7946"]\nroles = ["proxy"]\n' "$n" "$n"
		done
		printf '%s\n' "$@"
	} >"$T/spliced$id.toml"
	in_ns "$ns" spliced --check --config "$T/spliced$id.toml"
	start "spliced$id.$RANDOM" "$ns" spliced --config "$T/spliced$id.toml"
}

DAEMON=()
proxy_up() {
	local n=$1
	add_ns "p$n"
	plug "p$n" o0 outer "10.0.1.1$n/24"
	plug "p$n" i0 inner "10.0.2.1$n/24"
	address "p$n" lo 10.0.1.100/32 10.0.2.100/32
	in_ns "p$n" sysctl -q "net.ipv4.ip_local_port_range=${n}0000 ${n}9999"
	ip -n "p$n" route add 10.0.2.21/32 dev i0 src 10.0.2.100
	service "p$n" 10.0.1.100:80 hash 10.0.1
	service "p$n" 10.0.2.100:0 ports 10.0.2 ports
	daemon "$n" "p$n" '[http]' 'keep_alive = false' '[pool.web]' 'addresses = ["10.0.2.21:80"]' '[[listener]]' 'name = "web"' \
		'addresses = ["10.0.1.100:80"]' 'protocol = "http"' '[[listener.route]]' 'pool = "web"'
	DAEMON[n]=$STARTED_PID
}
proxy_dies() {
	kill -9 "${DAEMON[$1]}"
	wait "${DAEMON[$1]}" 2>/dev/null || true
	ip netns delete "p$1"
}
state() { in_ns "$1" splicectl nodes -j | jq -r --arg id "$2" '[.[] | select(.id == ($id | tonumber)) | .state] | unique | join(" ")'; }
is() { [ "$(state "$1" "$2")" = "$3" ]; }
# everybody SEES NODE STATE
everybody() {
	local ns
	for ns in lb p1 p2 p3; do
		[ ! -e "/run/netns/$ns" ] || wait_for 60 is "$ns" "$1" "$2"
	done
}
holds() { [ "$(splices "p$1")" -ge "$2" ]; }

plug client c0 outer 10.0.1.2/24
plug b1 e0 inner 10.0.2.21/24
plug lb l0 outer 10.0.1.9/24
plug lb i0 inner 10.0.2.9/24
address lb l0 10.0.1.100/32
address lb i0 10.0.2.100/32
make_file large 12M
serve b1
spliced --make-keys "$T/keys" --nodes 1,2,3,9
service lb 10.0.1.100:80 rr 10.0.1
service lb 10.0.2.100:0 rr 10.0.2
daemon 9 lb
for n in 1 2 3; do proxy_up $n; done
for n in 1 2 3; do everybody $n up; done
in_ns p1 splicectl cluster nodes --control "$T/control1" || true
in_ns lb splicectl nodes

step "transfers begin, and every proxy holds them"
nsenter --net=/run/netns/client tcpdump -p -Z root -i c0 -U -w "$OUT/rst.pcap" 'tcp[tcpflags] & tcp-rst != 0' >"$T/rst.log" 2>&1 </dev/null &
STARTED+=("$!")
wait_for 20 grep -q 'listening on' "$T/rst.log"
pids=()
for ((i = 0; i < N; i++)); do
	start "get$i" client curl -sS --fail --max-time 200 -o "$T/body$i" --limit-rate "$RATE" http://10.0.1.100/large
	pids[i]=$STARTED_PID
done
for n in 1 2 3; do wait_for 60 holds $n "$N"; done
for n in 1 2 3; do in_ns "p$n" splicectl list | head -4; done

for ((k = 0; k < DEATHS; k++)); do
	n=$((k % 2 + 1))
	step "proxy $n dies, and comes back with nothing"
	before=$(stat_of translated p3)
	proxy_dies $n
	for ns in lb p3; do wait_for 60 is "$ns" $n down; done
	sleep 2
	expect "packets by way of proxy 3 meanwhile" $(($(stat_of translated p3) - before)) -gt 100
	proxy_up $n
	everybody $n up
	running=0
	for pid in "${pids[@]}"; do kill -0 "$pid" 2>/dev/null && running=$((running + 1)); done
	expect "transfers that go on" "$running" -eq "$N"
	wait_for 60 holds $n "$N"
done

step "all arrive"
for ((i = 0; i < N; i++)); do
	rc=0
	wait "${pids[$i]}" || rc=$?
	same "curl's verdict of transfer $i" "$rc" 0
	same "SHA-256 of transfer $i" "$(sum_of <"$T/body$i")" "$(cat "$FILES/large.sha256")"
done
for n in 1 2 3; do wait_for 30 no_splices "p$n"; done
for n in 1 2 3; do expect "packets translated by proxy $n" "$(stat_of translated "p$n")" -gt 100; done
sleep 1
same "RSTs that the client saw" "$(tcpdump -nr "$OUT/rst.pcap" 2>/dev/null | wc -l)" 0
