#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Needs: module
# Routes of spliced with the methods "handoff" and "hop": the connection moves to the server's host, by the word of both daemons. What
# cannot move is carried.
#
#   client 10.0.1.2 ──┬── proxy 10.0.1.1, the service's address 10.0.1.100
#                     ├── b1    10.0.1.11, and the service's address; node 2
#                     └── b2    10.0.1.12, which has no daemon
# Limit: 200 s
. "$(dirname "$0")/lib.sh"

one_wire lan client:c0:2 proxy:p0:1 b1:e0:11 b2:e0:12
# Not the source of the proxy's own connections to who has that address, too.
address proxy p0 10.0.1.100/24
ip -n proxy address add fd00:1::100/128 dev p0 nodad preferred_lft 0
# set_up: what `vip` changes.
set_up() {
	in_ns b1 sysctl net.ipv4.conf.all.arp_ignore net.ipv4.conf.all.arp_announce
	ip -n b1 -j address show dev lo | jq -c '[.[0].addr_info[] | .local]'
	in_ns b1 splicectl service list -j
}
set_up >"$T/before"
capture arp b1 e0
step "the address of the service is on b1, and nobody is told"
in_ns b1 splicectl vip add 10.0.1.100 --tunnel 10.0.1.11
in_ns b1 splicectl vip add fd00:1::100 --tunnel fd00:1::11
in_ns b1 splicectl vip list
set_up >"$T/after"
for refused in '10.0.1.100:it is there already' '10.0.1.101 --tunnel fd00:1::11:of another address family' '10.0.1.11:this host has it already'; do
	message=${refused##*:}
	rc=0
	# shellcheck disable=SC2086
	in_ns b1 splicectl vip add ${refused%:*} 2>"$T/refused" || rc=$?
	same "exit status of vip add ${refused%:*}" "$rc" 1
	grep -qi "$message" "$T/refused" || fail "vip add ${refused%:*}: $(cat "$T/refused")"
	same "what that has changed" "$(set_up | diff - "$T/after")" ""
done
make_file large $((6 / SLOW + 2))M
make_file small 30k
serve b1 b2
spliced --make-keys "$T/keys" --nodes 1,2,3

# daemon NAMESPACE ID LINES...
daemon() {
	printf '%s\n' "${@:3}" '[cluster]' "id = $2" "keys = \"$T/keys\"" "control = \"$T/control$2\"" 'heartbeat = "300ms"' \
		'[[cluster.node]]' 'id = 1' 'addresses = ["10.0.1.1:7946"]' 'roles = ["proxy"]' \
		'[[cluster.node]]' 'id = 2' 'addresses = ["10.0.1.11:7946"]' 'roles = ["backend"]' 'serves = ["10.0.1.11", "fd00:1::11"]' \
		'[[cluster.node]]' 'id = 3' 'addresses = ["10.0.1.12:7946"]' 'roles = ["backend"]' 'serves = ["10.0.1.12", "fd00:1::12"]' >"$T/$1.toml"
	in_ns "$1" spliced --check --config "$T/$1.toml"
	start "$1.spliced" "$1" spliced --access-log "$T/access.$1" --config "$T/$1.toml"
}
daemon b1 2
other_pid=$STARTED_PID
# route HOST POOL METHOD
route() { printf '[[listener.route]]\nhosts = ["%s"]\npool = "%s"\nmethod = "%s"\n' "$1" "$2" "$3"; }
daemon proxy 1 '[timeouts]' "connect = \"$((5 * SLOW))s\"" \
	'[pool.one4]' 'addresses = ["10.0.1.11:80"]' '[pool.two4]' 'addresses = ["10.0.1.12:80"]' \
	'[pool.one6]' 'addresses = ["[fd00:1::11]:80"]' '[pool.two6]' 'addresses = ["[fd00:1::12]:80"]' \
	'[pool.tls4]' 'addresses = ["10.0.1.11:443"]' '[pool.tls6]' 'addresses = ["[fd00:1::11]:443"]' \
	"$(for f in 4 6; do
		vip=10.0.1.100
		[ "$f" = 4 ] || vip='[fd00:1::100]'
		# On port 81 of the service nobody listens.
		printf '[[listener]]\nname = "web%s"\naddresses = ["%s:80", "%s:81"]\nprotocol = "http"\n' "$f" "$vip" "$vip"
		route a.test "one$f" handoff
		route b.test "two$f" handoff
		route c.test "one$f" hop
		printf '[[listener]]\nname = "tls%s"\naddresses = ["%s:443"]\nprotocol = "tls"\n[[listener.route]]\npool = "tls%s"\nmethod = "handoff"\n' "$f" "$vip" "$f"
	done)"
daemon_pid=$STARTED_PID
wait_for 20 listening proxy 443
linked() { in_ns proxy splicectl cluster nodes --control "$T/control1" -j | jq -e '.[] | select(.id == 2) | .state == "up"'; }
wait_for 20 linked

# last KEY: of the line that the proxy wrote last.
last() { tail -n 1 "$T/access.proxy" | jq -r ".$1"; }
lines() { if [ -e "$T/access.proxy" ]; then wc -l <"$T/access.proxy"; else echo 0; fi; }
has_lines() { [ "$(lines)" -ge "$1" ]; }
# ask FAMILY URL BACKEND MODE: it comes from there, by the proxy's account carried so.
ask() {
	local before url=${2/VIP/$([ "$1" = 4 ] && echo 10.0.1.100 || echo '[fd00:1::100]')} host=${2#*@}
	before=$(lines)
	url=${url%@*}
	client curl -sS --fail --cacert "$FILES/tls.pem" --connect-to "::${url#*//}" --max-time $((60 * SLOW)) -o "$T/got" -D "$T/head" "${url%%//*}//$host"
	same "SHA-256 of $2 over IPv$1" "$(sum_of <"$T/got")" "$(cat "$FILES/${host##*/}.sha256")"
	grep -qi "x-backend: $3" "$T/head" || fail "$2: another backend answered: $(cat "$T/head")"
	wait_for 10 has_lines $((before + 1))
	same "who carried $2 over IPv$1" "$(last mode)" "$4"
}

capture proxy proxy p0
capture client client c0
for fam in 4 6; do
	step "IPv$fam: connections move"
	before=$(stat_of handed-off)
	ask $fam http://VIP:80@a.test/small b1 handed-off
	ask $fam http://VIP:80@a.test/large b1 handed-off
	ask $fam https://VIP:443@a.test/large b1 handed-off
	in_tunnels=$(stat_of decapsulated b1)
	# Later, late packets of connections by tunnel come that way.
	[ $fam = 6 ] || same "packets taken out of tunnels before there is any" "$in_tunnels" 0
	ask $fam http://VIP:80@c.test/large b1 handed-off
	expect "packets taken out of tunnels" "$(stat_of decapsulated b1)" -gt $((in_tunnels + 10))
	same "connections handed off" "$(stat_of handed-off)" $((before + 4))
	step "IPv$fam: what cannot move is carried"
	ask $fam http://VIP:80@b.test/large b2 spliced
	same "why it stays" "$(last stays)" "there is no link to the node of the server"
	ask $fam http://VIP:81@a.test/large b1 spliced
	same "why it stays" "$(last stays)" "nobody listens on this address and port"
	same "connections handed off" "$(stat_of handed-off)" $((before + 4))
done
same "connections taken over" "$(stat_of taken-over b1)" "$(stat_of handed-off)"

step "several requests of one connection, and the daemon dies meanwhile"
client curl -sS --fail --max-time $((60 * SLOW)) -o "$T/one" http://a.test/small --connect-to ::10.0.1.100:80 --next -sS --fail -o "$T/two" http://b.test/small \
	--connect-to ::10.0.1.100:80 --next -sS --fail -D "$T/head" -o "$T/three" http://a.test/large --connect-to ::10.0.1.100:80
for n in one two; do same "SHA-256 of request $n" "$(sum_of <"$T/$n")" "$(cat "$FILES/small.sha256")"; done
same "SHA-256 of request three" "$(sum_of <"$T/three")" "$(cat "$FILES/large.sha256")"
moved() { [ "$(stat_of handed-off)" -gt "$1" ]; }
before=$(stat_of handed-off)
start slow client curl -sS --fail --max-time $((60 * SLOW)) --limit-rate $((1000 / SLOW))k -o "$T/slow" http://a.test/large --connect-to ::10.0.1.100:80
slow=$STARTED_PID
wait_for 10 moved "$before"
sleep 0.5
stop "$daemon_pid" -KILL
rc=0
wait "$slow" || rc=$?
same "curl's verdict after the daemon was killed" "$rc" 0
same "SHA-256 after the daemon was killed" "$(sum_of <"$T/slow")" "$(cat "$FILES/large.sha256")"
# It asks for the one that was killed for as long as it lives.
stop "$other_pid"
captures_end

step "the address goes"
in_ns b1 splicectl vip del 10.0.1.100 fd00:1::100
same "what vip add and vip del have left" "$(set_up | diff - "$T/before")" ""
rc=0
in_ns b1 splicectl vip del 10.0.1.11 2>"$T/refused" || rc=$?
same "exit status for an address that vip did not add" "$rc" 1

step "what was on the wire"
packets() { tcpdump -r "$OUT/$1.pcap" "${@:2}" 2>/dev/null | wc -l; }
same "answers of b1 to who asks for the service" "$(packets arp "ether src $(mac_of b1 e0) and (arp src host 10.0.1.100 or (icmp6 and ip6[40] == 136 and src host fd00:1::100))")" 0
same "questions of b1 that name it" "$(packets arp "ether src $(mac_of b1 e0) and arp and host 10.0.1.100")" 0
for fam in 4 6; do
	vip=10.0.1.100
	[ $fam = 4 ] || vip=fd00:1::100
	# The answers of b1 go past the proxy; those of b2, and of what stays, do not.
	same "answers of b1 beside the proxy over IPv$fam" "$(packets proxy "tcp and src host $vip and ether src $(mac_of b1 e0)")" 0
	expect "data of b1 beside the client over IPv$fam" "$(packets client "src host $vip and $(with_data $fam) and ether src $(mac_of b1 e0)")" -gt 10
done
wire --allow 10.0.1.100 --allow 10.0.1.2 --allow fd00:1::100 --allow fd00:1::2 --allow 10.0.1.1 --allow 10.0.1.11 --lossless --late-rst "$OUT/client.pcap" \
	>"$T/client.json" 2>"$T/client.wire.log" || fail "packets beside the client: $(head -3 "$T/client.wire.log")"
