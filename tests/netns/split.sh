#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Needs: module
# Configuration 3 of the source: of two backends the first carries what its server sends itself, straight to the client
# and past the proxies; the second knows nothing. A proxy dies meanwhile, and the first one's way to the client shrinks.
#
#   client ── outer ──┬── lb ──────┬── inner ──┬── b1  10.0.2.21, node 5; and 10.0.1.21, its way to clients
#                     ├── p1 to p3 ┘           └── b2  10.0.2.22
#                     └── b1                   (the rest is in farm.sh)
# Limit: 300 s
. "$(dirname "$0")/farm.sh"

# Transfers from each backend, bytes a second of each. On a slow machine they go on for longer.
N=${N:-3} RATE=${RATE:-$((500 / SLOW))k}
SERVERS=("${INNER}21" "${INNER}22")
PROXY_LINES=('[http]' 'keep_alive = false' "[pool.one]" "addresses = [\"$L${INNER}21$R:80\"]" '[pool.two]' "addresses = [\"$L${INNER}22$R:80\"]"
	'[[listener]]' 'name = "web"' "addresses = [\"$SERVICE:80\"]" 'protocol = "http"'
	'[[listener.route]]' 'pool = "one"' '[[listener.route]]' 'hosts = ["b.test"]' 'pool = "two"')
NODE_LINES=('[[cluster.node]]' 'id = 5' "addresses = [\"$L${INNER}21$R:7946\"]" 'roles = ["backend"]' "serves = [\"${INNER}21\"]")

for b in b1 b2; do
	add_ns $b
	plug $b e0 inner "${INNER}2${b#b}/$BITS"
done
plug b1 x0 outer "${OUTER}21/$BITS"
# What the client does not take yet waits on the server.
in_ns client sysctl -q net.ipv4.tcp_rmem="4096 65536 131072"
# Long enough for all that is looked at meanwhile, on a slow machine too.
make_file large 12M
make_file medium 3M
make_file small 300k
serve b1 b2
farm 5
daemon 5 b1
backend_pid=$STARTED_PID
for n in 1 2 3; do everybody $n up; done

# of HOST: how a proxy or a backend has the splices with this server.
of() { in_ns "$1" splicectl list -j | jq --arg ip "$2" '[.[] | select(.state != "tombstone" and ."to-client".saddr == $ip)]'; }
halves() { of b1 "${INNER}21" | jq '[.[] | select(.flags // [] | index("split"))] | length'; }
has_halves() { [ "$(halves)" -ge "$1" ]; }
# fetch_all NAME FILE HOST...: from each host N times, in the background. PIDS are theirs.
fetch_all() {
	local name=$1 file=$2 host i
	shift 2
	PIDS=()
	for host in "$@"; do
		for ((i = 0; i < N; i++)); do
			start "$name.$host.$i" client curl -sS --fail --max-time $((75 * SLOW)) -o "$T/$name.$host.$i" -H "Host: $host" --limit-rate "$RATE" \
				"http://$SERVICE/$file"
			PIDS+=("$STARTED_PID")
		done
	done
}
# all_arrive NAME FILE HOST...
all_arrive() {
	local name=$1 file=$2 host i rc k=0
	shift 2
	for host in "$@"; do
		for ((i = 0; i < N; i++)); do
			rc=0
			wait "${PIDS[$k]}" || rc=$?
			same "curl's verdict of transfer $name $i from $host" "$rc" 0
			same "SHA-256 of transfer $name $i from $host" "$(sum_of <"$T/$name.$host.$i")" "$(cat "$FILES/$file.sha256")"
			k=$((k + 1))
		done
	done
}
# tap NAME NAMESPACE DEVICE SNAPLEN: what carries data from the service's port.
WITH_DATA="tcp src port 80 and $(with_data "$V")"
TAPS=()
tap() {
	nsenter --net="/run/netns/$2" tcpdump -p -Z root -i "$3" -s "$4" -B 16384 -U -w "$OUT/$1.pcap" "$WITH_DATA" >"$T/$1.log" 2>&1 </dev/null &
	STARTED+=("$!")
	TAPS+=("$!")
	wait_for 20 grep -q 'listening on' "$T/$1.log"
}
taps_end() {
	local pid
	sleep 1
	for pid in "${TAPS[@]}"; do
		kill -INT "$pid" 2>/dev/null || true
		wait "$pid" 2>/dev/null || true
	done
	TAPS=()
}
# seen NAME FILTER: packets of a tap.
seen() { tcpdump -nr "$OUT/$1.pcap" "$2" 2>/dev/null | wc -l; }
no_rows() { no_splices b1 && no_splices p2 && no_splices p3; }

step "transfers begin; the first backend gets its halves"
watch_resets
fetch_all one large a.test b.test
for n in 1 2 3; do wait_for 60 holds $n $((2 * N)); done
wait_for 20 has_halves "$N"
same "splices of b1 in its own kernel" "$(splices b1)" "$N"
in_ns b1 splicectl list
in_ns p1 splicectl cluster nodes --control "$T/control1"
for n in 1 2 3; do
	same "halves on proxy $n" "$(in_ns p$n splicectl list -j | jq '[.[] | select(.flags // [] | index("split"))] | length')" 0
done

step "what b1 sends passes no proxy, what b2 sends does"
# What is on its way by the proxies has arrived.
sleep 1
ethtool_off() { in_ns "$1" ethtool -K "$2" tx off tso off gso off >/dev/null; }
ethtool_off b1 x0
before=$(stat_of translated b1)
ports=$(of b1 "${INNER}21" | jq -r '.[]."to-client"."new-dport"')
same "transfers from b1" "$(wc -w <<<"$ports")" "$N"
for n in 2 3; do
	tap "p$n.inner" "p$n" i0 100
	tap "p$n.outer" "p$n" o0 100
done
tap lb.inner lb i0 100
tap b1.direct b1 x0 100
tap client client c0 0
sleep 3

step "the way to the client shrinks"
before_big=$(stat_of drop-too-big b1)
ip -n b1 link set x0 mtu 1400
told_itself() { [ "$(stat_of drop-too-big b1)" -gt "$before_big" ]; }
wait_for 10 told_itself
learnt() { ip -n b1 route get "$SOURCE" | grep -q ' mtu 1400'; }
wait_for 10 learnt

step "a proxy dies"
proxy_dies 1
for ns in lb p2 p3; do wait_for 60 is "$ns" 1 down; done
sleep 2
taps_end
of_b1="(dst port $(paste -sd' ' <<<"$ports" | sed 's/ / or dst port /g'))"
for at in p2.inner p3.inner lb.inner; do
	same "data of b1 at $at" "$(seen $at "src host ${INNER}21")" 0
done
for n in 2 3; do
	same "data of b1 that proxy $n sent to the client" "$(seen "p$n.outer" "src host ${OUTER}100 and $of_b1")" 0
	expect "data of b2 by way of proxy $n" "$(seen "p$n.inner" "src host ${INNER}22")" -gt 50
	expect "data of b2 that proxy $n sent" "$(seen "p$n.outer" "src host ${OUTER}100 and not $of_b1")" -gt 50
done
expect "packets carried by b1's kernel" $(($(stat_of translated b1) - before)) -gt 100
direct=$(seen b1.direct "src host ${OUTER}100 and $of_b1")
expect "data of b1 straight to the client" "$direct" -gt 100
same "data of b1 under another name" "$(seen b1.direct "not src host ${OUTER}100")" 0
same "data of b1 under another name at the client" "$(seen client "src net ${INNER}0/$BITS or src host ${OUTER}21")" 0
tcpdump -nvvr "$OUT/client.pcap" "$of_b1" 2>/dev/null >"$T/sums"
same "wrong checksums at the client" "$(awk '/incorrect|bad cksum/' "$T/sums" | wc -l)" 0
expect "right checksums at the client" "$(awk '/\(correct\)/' "$T/sums" | wc -l)" -gt 100

step "all arrive"
all_arrive one large a.test b.test
wait_for 30 no_rows
ip -n b1 link set x0 mtu 1500

step "with segmentation left to the device, and many short ones"
in_ns b1 ethtool -K x0 tx on tso on gso on >/dev/null
before=$(stat_of translated b1)
RATE=2M fetch_all two medium a.test
all_arrive two medium a.test
expect "packets carried by b1's kernel" $(($(stat_of translated b1) - before)) -gt 20
for ((i = 0; i < 8; i++)); do
	same "SHA-256 of short one $i" "$(client curl -sS --fail --max-time $((30 * SLOW)) "http://$SERVICE/small" | sum_of)" "$(cat "$FILES/small.sha256")"
done
for ((i = 0; i < 3; i++)); do
	client curl -sS --fail --max-time $((30 * SLOW)) -T "$FILES/medium" -o /dev/null "http://$SERVICE/put/up$i"
	same "SHA-256 of upload $i" "$(sum_of <"$T/b1/put/up$i")" "$(cat "$FILES/medium.sha256")"
done
# Nobody else saw the FIN of b1.
wait_for 30 no_rows

step "a link beyond a router is smaller"
# Its error goes to the service, so to any proxy, and from there to the server.
add_ns router
plug router x0 outer "${OUTER}30/$BITS"
in_ns router sysctl -q net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1 net.ipv4.conf.all.send_redirects=0 \
	net.ipv4.conf.x0.send_redirects=0
ip -n router route add "${OUTER}2/$HOST_BITS" dev x0 mtu lock 1300
ip -n b1 route add "${OUTER}2/$HOST_BITS" via "${OUTER}30" dev x0
errors() { echo $(($(stat_of icmp-errors p2) + $(stat_of icmp-errors p3))); }
before=$(errors)
RATE=2M fetch_all router medium a.test
all_arrive router medium a.test
expect "ICMP errors that proxies translated" $(($(errors) - before)) -gt 0
same "what b1 has learnt of the way to the proxies" "$(ip -n b1 route get "$SOURCE" | grep -o ' mtu [0-9]*')" ' mtu 1300'
ip -n b1 route delete "${OUTER}2/$HOST_BITS"
wait_for 30 no_rows

step "without its daemon b1 goes on; when it is back all is in step"
fetch_all three medium a.test
for n in 2 3; do wait_for 60 holds $n "$N"; done
wait_for 20 has_halves "$N"
kill -9 "$backend_pid"
wait "$backend_pid" 2>/dev/null || true
same "halves without a daemon" "$(halves)" "$N"
sleep 1
daemon 5 b1
all_arrive three medium a.test
wait_for 40 no_rows
same "RSTs that the client saw" "$(resets)" 0

step "by hand"
plug b2 x0 outer "${OUTER}22/$BITS"
N=1 fetch_all four medium b.test
wait_for 60 holds 2 1
in_ns p2 splicectl save "$T/rows.json"
rc=0
in_ns b1 splicectl restore --split "$T/rows.json" 2>"$T/refused" || rc=$?
same "exit status on a host that has not the server" "$rc" 1
grep -qF "${INNER}22 is no address of this host" "$T/refused" || fail "b1 said: $(cat "$T/refused")"
in_ns b2 splicectl restore --split "$T/rows.json"
sleep 1
tap hand.p2 p2 i0 100
tap hand.p3 p3 i0 100
tap hand.b2 b2 x0 100
sleep 3
taps_end
same "data of b2 by way of the proxies" "$(($(seen hand.p2 "src host ${INNER}22") + $(seen hand.p3 "src host ${INNER}22")))" 0
expect "data of b2 straight to the client" "$(seen hand.b2 "src host ${OUTER}100")" -gt 20
N=1 all_arrive four medium b.test
