#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Needs: module
# Traffic that has nothing to do with a splice passes the same hosts as if the module were not there: routing,
# conntrack, NAT, exact counters. And a firewall that drops what conntrack calls invalid does not hurt the splice.
#
#   client 10.0.1.2 ══ splice ══════════ proxy ══ b1 10.0.2.11
#          10.0.1.3 ── iperf3, ping ── masquerade ── b1 10.0.2.11
# Limit: 180 s
. "$(dirname "$0")/lib.sh"

topology
address client c0 10.0.1.3/24
ip -n client route add 10.0.2.0/24 via 10.0.1.1
proxy sysctl -q net.ipv4.ip_forward=1
proxy nft -f - <<'NFT'
table inet t {
	counter pings { }
	counter iperf { }
	counter invalid { }
	chain c_pre { type filter hook prerouting priority 0; ct state invalid counter name invalid drop; }
	chain c_in { type filter hook input priority 0; ct state invalid counter name invalid drop; }
	chain c_out { type filter hook output priority 0; ct state invalid counter name invalid drop; }
	chain c_fwd {
		type filter hook forward priority 0; policy drop;
		meta l4proto icmp counter name pings
		tcp dport 5201 counter name iperf
		ct state established,related accept
		ip saddr 10.0.1.3 ct state new accept
		ct status dnat accept
	}
	chain c_dnat { type nat hook prerouting priority -100; ip daddr 10.0.1.1 tcp dport 8080 dnat ip to 10.0.2.12:80; }
	chain c_snat { type nat hook postrouting priority 100; oifname "p1" ip saddr 10.0.1.0/24 masquerade; }
}
NFT
make_file small 1000
make_file medium 3000000
make_file huge 200M
serve b1 b2
proxy_start splice
start iperfd b1 iperf3 -s
wait_for 10 listening b1 5201
counter() { proxy nft -j list counter inet t "$1" | jq '.nftables[] | select(.counter) | .counter.packets'; }
iperf() { client iperf3 -c 10.0.2.11 -B 10.0.1.3 -t 3 -J | jq '.end.sum_received.bytes'; }

step "before any splice"
before=$(iperf)
expect "bytes of iperf3 without a splice" "$before" -gt 1000000

step "beside a running splice"
start curl client curl -sS --fail -o "$T/body" --limit-rate 6M --resolve a.test:80:10.0.1.1 http://a.test/huge
curl=$STARTED_PID
one() { [ "$(splices)" = 1 ]; }
wait_for 20 one
sleep 1
packets=$(stat_of translated)
ping0=$(counter pings)
client ping -q -c 20 -i 0.05 -I 10.0.1.3 10.0.2.11 >/dev/null
same "pings counted, there and back" $(($(counter pings) - ping0)) 40
after=$(iperf)
echo "iperf3: $before bytes alone, $after beside a splice"
expect "bytes of iperf3 beside a splice" "$after" -gt 1000000
expect "iperf3 packets counted" "$(counter iperf)" -gt 20
proxy conntrack -L -p tcp --orig-src 10.0.1.3 2>/dev/null | grep -q 'dport=5201' || fail "conntrack does not know iperf3's connection"
client curl -sS --fail http://10.0.1.1:8080/small | sum_of >"$T/dnat"
same "SHA-256 through a DNAT rule" "$(cat "$T/dnat")" "$(cat "$FILES/small.sha256")"
get 4 http://b.test/medium b2
kill -0 "$curl" || fail "the splice did not live through this"
expect "packets translated meanwhile" "$(stat_of translated)" -gt "$packets"
same "packets conntrack calls invalid" "$(counter invalid)" 0
proxy splicectl list
proxy splicectl del "$(live)"
rc=0
wait "$curl" || rc=$?
same "curl's verdict on a cut connection" "$rc" 56
