#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Needs: module
# Path MTU discovery of connections that have moved: the router's error about what the server sends comes to the service's address, which is
# the proxy's, and goes on to the server's host; what a client sends that is too large for the way there is refused to the client. And
# packets that come late, twice and in another order while a connection moves.
#
#   client ──1500 or 1280── router ─┬─ proxy 10.0.1.1, the service's address 10.0.1.100 ──1280── b1 10.0.5.11
#                                   └─ b1    10.0.1.11, and the service's address
# Limit: 240 s
. "$(dirname "$0")/lib.sh"

one_wire lan router:r0:9 proxy:p0:1 b1:e0:11
add_ns client
wire_up router r1 client c0
wire_up proxy p1 b1 e1
address router r1 10.0.3.1/24 fd00:3::1/64
address client c0 10.0.3.2/24 fd00:3::2/64
address proxy p1 10.0.5.1/24 fd00:5::1/64
address b1 e1 10.0.5.11/24 fd00:5::11/64
for n in proxy:p1 b1:e1; do ip -n "${n%:*}" link set "${n#*:}" mtu 1280; done
in_ns router sysctl -q net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1
# What the server has still to send when the way shrinks waits there.
in_ns client sysctl -q net.ipv4.tcp_early_retrans=0 net.ipv4.tcp_rmem='4096 65536 262144'
ip -n client route add default via 10.0.3.1
ip -n client route add default via fd00:3::1
for n in proxy b1; do
	ip -n $n route add 10.0.3.0/24 via 10.0.1.9
	ip -n $n route add fd00:3::/64 via fd00:1::9
done
address proxy p0 10.0.1.100/24
ip -n proxy address add fd00:1::100/128 dev p0 nodad preferred_lft 0
# The client's packets come to b1 by e1, too.
in_ns b1 sysctl -q net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.e1.rp_filter=0
in_ns b1 splicectl vip add 10.0.1.100 --tunnel 10.0.1.11
in_ns b1 splicectl vip add fd00:1::100 --tunnel fd00:1::11
make_file large 6M
serve b1
spliced --make-keys "$T/keys" --nodes 1,2
# daemon NAMESPACE ID LINES...
daemon() {
	printf '%s\n' "${@:3}" '[cluster]' "id = $2" "keys = \"$T/keys\"" "control = \"$T/control$2\"" 'heartbeat = "300ms"' \
		'[[cluster.node]]' 'id = 1' 'addresses = ["10.0.1.1:7946"]' 'roles = ["proxy"]' \
		'[[cluster.node]]' 'id = 2' 'addresses = ["10.0.1.11:7946"]' 'roles = ["backend"]' \
		'serves = ["10.0.1.11", "fd00:1::11", "10.0.5.11", "fd00:5::11"]' >"$T/$1.toml"
	in_ns "$1" spliced --check --config "$T/$1.toml"
	start "$1.spliced" "$1" spliced --access-log "$T/access.$1" --config "$T/$1.toml"
}
route() { printf '[[listener.route]]\nhosts = ["%s"]\npool = "%s"\nmethod = "%s"\n' "$@"; }
daemon b1 2
daemon proxy 1 '[timeouts]' "connect = \"$((5 * SLOW))s\"" \
	'[pool.wide4]' 'addresses = ["10.0.1.11:80"]' '[pool.wide6]' 'addresses = ["[fd00:1::11]:80"]' \
	'[pool.small4]' 'addresses = ["10.0.5.11:80"]' '[pool.small6]' 'addresses = ["[fd00:5::11]:80"]' \
	"$(for f in 4 6; do
		printf '[[listener]]\nname = "web%s"\naddresses = ["%s:80"]\nprotocol = "http"\n' "$f" "$([ "$f" = 4 ] && echo 10.0.1.100 || echo '[fd00:1::100]')"
		route handoff.test "wide$f" handoff
		route hop.test "wide$f" hop
		route small.test "small$f" handoff
	done)"
wait_for 20 listening proxy 80
linked() { in_ns proxy splicectl cluster nodes --control "$T/control1" -j | jq -e '.[] | select(.id == 2) | .state == "up"'; }
wait_for 20 linked

moved() { [ "$(stat_of handed-off)" -gt "$1" ]; }
# path_mtu NAMESPACE DESTINATION: what the host has learnt.
path_mtu() { in_ns "$1" ip route get "$2" | sed -n 's/.* mtu \([0-9]*\).*/\1/p'; }
address_of() { [ "$1" = 4 ] && echo 10.0.1.100 || echo '[fd00:1::100]'; }
# down FAMILY HOST [CURL-OPTION...]: a download that moves; its verdict is left in $T/down.rc.
down() {
	local fam=$1 host=$2
	shift 2
	client curl -sS --fail --max-time $((60 * SLOW)) --connect-to "::$(address_of "$fam"):80" -D "$T/head" -o "$T/got" "$@" "http://$host/large"
	grep -qi 'x-backend: b1' "$T/head" || fail "another backend answered: $(cat "$T/head")"
	same "SHA-256 from $host over IPv$fam" "$(sum_of <"$T/got")" "$(cat "$FILES/large.sha256")"
}
# up FAMILY HOST
up() {
	rm -f "$T/b1/put/large"
	client curl -sS --fail --max-time $((60 * SLOW)) --connect-to "::$(address_of "$1"):80" -H 'Expect:' -T "$FILES/large" -o /dev/null "http://$2/put/large"
	same "SHA-256 as uploaded to $2 over IPv$1" "$(sum_of <"$T/b1/put/large")" "$(cat "$FILES/large.sha256")"
}
forget_paths() { for n in client b1; do ip -n $n route flush cache; ip -n $n -6 route flush cache; done; }

count=0
# one_more WHAT: another connection has moved; none was carried.
one_more() {
	count=$((count + 1))
	same "connections handed off with $1" "$(stat_of handed-off)" $count
}
for fam in 4 6; do
	if [ $fam = 4 ]; then far=10.0.3.2 vip=10.0.1.100 tunnel=1480; else far=fd00:3::2 vip=fd00:1::100 tunnel=1460; fi
	for method in handoff hop; do
		step "IPv$fam, $method: the way from the server to the client shrinks"
		forget_paths
		before=$(stat_of icmp-errors)
		start down client curl -sS --fail --max-time $((60 * SLOW)) --limit-rate $((2000 / SLOW))k --connect-to "::$(address_of $fam):80" \
			-o "$T/got" "http://$method.test/large"
		pid=$STARTED_PID
		wait_for 20 moved $count
		one_more "$method"
		same "path MTU that b1 knows before" "$(path_mtu b1 $far)" ""
		ip -n router link set r1 mtu 1280
		rc=0
		wait "$pid" || rc=$?
		same "curl's verdict" "$rc" 0
		same "SHA-256 by $method over IPv$fam" "$(sum_of <"$T/got")" "$(cat "$FILES/large.sha256")"
		same "path MTU that b1 has learnt" "$(path_mtu b1 $far)" 1280
		expect "ICMP errors that went on to b1" "$(stat_of icmp-errors)" -gt "$before"
		ip -n router link set r1 mtu 1500
	done
	step "IPv$fam: the way from the proxy to the server is smaller than the client's"
	forget_paths
	before=$(stat_of drop-too-big)
	up $fam handoff.test
	one_more "an upload"
	same "packets too large in frames" "$(stat_of drop-too-big)" "$before"
	up $fam hop.test
	one_more "an upload by hop"
	same "path MTU that the client has learnt of the tunnel" "$(path_mtu client $vip)" $tunnel
	expect "packets too large for the tunnel" "$(stat_of drop-too-big)" -gt "$before"
	forget_paths
	before=$(stat_of drop-too-big)
	up $fam small.test
	one_more "an upload by a small link"
	same "path MTU that the client has learnt of the small link" "$(path_mtu client $vip)" 1280
	expect "packets too large for the small link" "$(stat_of drop-too-big)" -gt "$before"
	forget_paths
	# The way back is another.
	down $fam small.test
	one_more "a download"
done

same "RSTs that b1 has sent" "$(snmp b1 TcpOutRsts)" 0

# From here on a second copy of a last acknowledgement may find no socket, and be answered with a RST.
step "late, twice, and in another order"
impair_all() {
	local pair
	for pair in client:c0 router:r1; do tc -n "${pair%:*}" qdisc replace dev "${pair#*:}" root netem limit 20000 "$@"; done
}
in_ns client ethtool -K c0 tso off gso off gro off >/dev/null
in_ns router ethtool -K r1 tso off gso off gro off >/dev/null
impair_all delay 20ms 15ms reorder 5% 50% duplicate 10% loss 0.5%
make_file medium 1000000
ln -sfn "$FILES/medium" "$FILES/large"
ln -sfn "$FILES/medium.sha256" "$FILES/large.sha256"
for fam in 4 6; do
	for method in handoff hop; do
		for _ in 1 2; do
			up $fam $method.test
			one_more "an upload over a bad way"
			down $fam $method.test
			one_more "a download over a bad way"
		done
	done
done
expect "segments that came out of order at b1" "$(snmp b1 TcpExtTCPOFOQueue)" -gt 0
expect "segments that came twice at b1" "$(snmp b1 TcpExtTCPDSACKOldSent)" -gt 0
same "connections taken over" "$(stat_of taken-over b1)" $count
