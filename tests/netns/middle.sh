#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Needs: module
# The same download by way of middle hosts of every kind, one after the other: what each of them costs in executed instructions is seen
# from outside (make bench). Each is a namespace between the same two ends, set up as its own documentation says; a row that is not what
# it says fails.
#
#   client ─┬── 10.8.N.1 forward, nat, flowtable, ipvs, copy, splice2, gateway, splice 10.9.N.1 ──┬─ server
#           └──────────────────────────────── direct, 10.7.0.2 ───────────────────────────────────┘
# Run: by name only
# Limit: 1500 s
. "$(dirname "$0")/lib.sh"

# In the order of tests/bench/middle.
ROWS=(direct forward nat flowtable ipvs copy splice2 gateway splice)
PORT=8000 PACKETS_MB=${MB:-4} WHOLE_MB=$((${MB:-4} * 16))

# wire NETWORK NAMESPACE DEVICE HOST NAMESPACE DEVICE HOST: 10.NETWORK.HOST and fd0N:...::HOST. They know each other for good: a packet to a
# neighbour that has to be asked for again costs more.
wire() {
	local net=$1 six end
	six=fd0${net/./:}::
	shift
	wire_up "$1" "$2" "$4" "$5"
	address "$1" "$2" "10.$net.$3/24" "$six$3/64"
	address "$4" "$5" "10.$net.$6/24" "$six$6/64"
	for end in "$1 $2 $6 $4 $5" "$4 $5 $3 $1 $2"; do
		# shellcheck disable=SC2086 # words
		set -- $end
		ip -n "$1" neigh replace "10.$net.$3" lladdr "$(mac_of "$4" "$5")" dev "$2" nud permanent
		ip -n "$1" neigh replace "$six$3" lladdr "$(mac_of "$4" "$5")" dev "$2" nud permanent
	done
}
devices() { ip -n "$1" -j link show type veth | jq -r '.[].ifname'; }

add_ns client
add_ns server
wire 7.0 client d0 1 server d1 2
for n in "${!ROWS[@]}"; do
	m=${ROWS[n]}
	[ "$m" != direct ] || continue
	add_ns "$m"
	wire "8.$n" client "c$n" 2 "$m" near 1
	wire "9.$n" "$m" far 1 server "s$n" 2
	in_ns "$m" sysctl -q net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1
done
# Who only forwards is on the way; behind the others nobody knows who is there.
ip -n client route add 10.9.1.0/24 via 10.8.1.1
ip -n client route add fd09:1::/64 via fd08:1::1
ip -n server route add 10.8.1.0/24 via 10.9.1.1
ip -n server route add fd08:1::/64 via fd09:1::1
# Of IPVS, too, the server sees the client's own address.
ip -n server route add 10.8.4.0/24 via 10.9.4.1
ip -n server route add fd08:4::/64 via fd09:4::1

# translate NAMESPACE N RULE: both addresses, as a proxy has it; RULE is of the forward chain, with a counter of what passes it.
translate() {
	in_ns "$1" nft -f - <<-NFT
		table inet middle {
			$3
			chain pre { type nat hook prerouting priority dstnat;
				ip daddr 10.8.$2.1 tcp dport $PORT dnat ip to 10.9.$2.2
				ip6 daddr fd08:$2::1 tcp dport $PORT dnat ip6 to fd09:$2::2
			}
			chain post { type nat hook postrouting priority srcnat; oifname far masquerade; }
		}
	NFT
}
translate nat 2 ""
translate flowtable 3 "flowtable fast { hook ingress priority filter; devices = { near, far }; }
	counter slow { }
	chain forward { type filter hook forward priority filter; counter name slow; meta l4proto tcp flow add @fast; }"
in_ns ipvs ipvsadm -A -t 10.8.4.1:$PORT -s rr
in_ns ipvs ipvsadm -a -t 10.8.4.1:$PORT -r 10.9.4.2:$PORT -m
in_ns ipvs ipvsadm -A -t "[fd08:4::1]:$PORT" -s rr
in_ns ipvs ipvsadm -a -t "[fd08:4::1]:$PORT" -r "[fd09:4::2]:$PORT" -m

# haproxy NAME N OPTION: one thread, TCP.
relay() {
	cat >"$T/$1.cfg" <<-CFG
		global
			nbthread 1
			stats socket $T/$1.sock
			maxconn 1000
		defaults
			mode tcp
			$3
			timeout connect 60s
			timeout client 600s
			timeout server 600s
		listen four
			bind 10.8.$2.1:$PORT
			server s 10.9.$2.2:$PORT
		listen six
			bind fd08:$2::1:$PORT
			server s fd09:$2::2:$PORT
	CFG
	start "haproxy.$1" "$1" haproxy -db -f "$T/$1.cfg"
	wait_for 60 listening "$1" $PORT
}
relay copy 5 ""
relay splice2 6 $'option splice-request\n\t\t\toption splice-response'
spliced_bytes() { nc -NU "$T/$1.sock" <<<"show info" | awk -F': ' '$1 == "TotalSplicedBytesOut" { print $2 }'; }

# by_spliced NAME N MODE
by_spliced() {
	cat >"$T/$1.toml" <<-TOML
		mode = "$3"
		workers = 1
		[http]
		keep_alive = false
		[[listener]]
		name = "four"
		addresses = ["10.8.$2.1:$PORT"]
		protocol = "http"
		[[listener.route]]
		hosts = ["a.test"]
		pool = "four"
		[[listener]]
		name = "six"
		addresses = ["[fd08:$2::1]:$PORT"]
		protocol = "http"
		[[listener.route]]
		hosts = ["a.test"]
		pool = "six"
		[pool.four]
		addresses = ["10.9.$2.2:$PORT"]
		[pool.six]
		addresses = ["[fd09:$2::2]:$PORT"]
	TOML
	start "spliced.$1" "$1" spliced --config "$T/$1.toml"
	wait_for 60 listening "$1" $PORT
}
by_spliced gateway 7 gateway
by_spliced splice 8 splice

# What the addresses of functions are.
cp /proc/kallsyms "$OUT/kallsyms"

to4=("10.7.0.2:$PORT" "10.9.1.2:$PORT") to6=("[fd07:0::2]:$PORT" "[fd09:1::2]:$PORT")
for n in 2 3 4 5 6 7 8; do
	to4+=("10.8.$n.1:$PORT") to6+=("[fd08:$n::1]:$PORT")
done
slow_packets() { in_ns flowtable nft -j list counter inet middle slow | jq '.nftables[] | select(.counter) | .counter.packets'; }
# Packets that leave for the client.
packets() { ip -n "$1" -s -j link show dev near | jq ".[0].stats64.tx.packets"; }

# download FIRST-MARKER MEGABYTES -lt|-ge ADDRESS...: packets, less or at least as many as of 1,460 bytes.
download() {
	local before carried slow spliced first=$1 bytes=$(($2 << 20)) compare=$3
	shift 3
	carried=$(stat_of translated splice) slow=$(slow_packets) before=$(packets flowtable) spliced=$(spliced_bytes splice2)
	bulk $PORT $bytes "${N:-5}" "$first" "$@"
	before=$(($(packets flowtable) - before))
	expect "packets of ${N:-5} times $bytes bytes" $before "$compare" $((${N:-5} * bytes / 1460))
	# Each packet that a row should have carried in its own way was carried so, but the first ones.
	expect "packets of flowtable by the slow path, of $before" $(($(slow_packets) - slow)) -lt $((before / 10 + 50 * ${N:-5}))
	expect "packets translated by the splice, of $before" $(($(stat_of translated splice) - carried)) -gt $((before * 9 / 10))
	expect "bytes that HAProxy spliced" $(($(spliced_bytes splice2) - spliced)) -ge $((bytes * ${N:-5}))
	same "bytes that the other HAProxy spliced" "$(spliced_bytes copy)" 0
}

step "offloads as they are"
download 20 $WHOLE_MB -lt "${to4[@]}"
download 29 $WHOLE_MB -lt "${to6[@]}"
step "MTU-sized packets"
for n in client server "${ROWS[@]:1}"; do
	for dev in $(devices "$n"); do
		in_ns "$n" ethtool -K "$dev" tso off gso off gro off >/dev/null 2>&1 || true
	done
done
download 38 "$PACKETS_MB" -ge "${to4[@]}"
download 47 "$PACKETS_MB" -ge "${to6[@]}"
# It adds up once in a while.
known() { [ "$(in_ns ipvs ipvsadm -ln --stats --exact | awk '/^TCP/ { n += $3 } END { print n }')" = $((4 * ${N:-5})) ]; }
wait_for 20 known
