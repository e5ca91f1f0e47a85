#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Needs: module
# TCP handoff: connections that the proxy has accepted move to an unmodified server on another host, which answers the client
# itself. All that it may come with moves, too; what cannot move stays, with a reason.
#
#   client 10.0.1.2 ──┬── proxy 10.0.1.1, the service's address 10.0.1.100
#                     ├── b1    10.0.1.11 ┐ and the service's address,
#                     └── b2    10.0.1.12 ┘ which they do not answer ARP for
# Limit: 240 s
. "$(dirname "$0")/lib.sh"

one_wire lan client:c0:2 proxy:p0:1 b1:e0:11 b2:e0:12
address proxy p0 10.0.1.100/24 fd00:1::100/64
for n in b1 b2; do
	# As who runs LVS with direct routing knows it: the address is there, and nobody is told.
	for vip in 10.0.1.100 fd00:1::100; do in_ns $n splicectl vip add $vip; done
done
# packets FILE FILTER: of a capture, how many pass the filter.
packets() { tcpdump -r "$OUT/$1.pcap" "${@:2}" 2>/dev/null | wc -l; }

both_families handoff
same "sockets of the proxy that are left" "$(legs)" 0
expect "connections handed off" "$(stat_of handed-off)" -ge 24
# in_all COUNTER: of all hosts.
in_all() {
	local n sum=0
	for n in proxy b1 b2; do sum=$((sum + $(stat_of "$1" $n))); done
	echo $sum
}
same "connections taken over" "$(in_all taken-over)" "$(in_all handed-off)"

step "unmodified servers, downloads and uploads; the switch is killed meanwhile"
make_file large $((6 / SLOW + 2))M
make_file small 30k
serve b1 b2
cat >"$T/haproxy.cfg" <<-CFG
	defaults
	  mode http
	  timeout connect 5s
	  timeout client 60s
	  timeout server 60s
	frontend f
	  bind 10.0.1.100:8080
	  bind fd00:1::100:8080
	  default_backend b
	backend b
	  server s 10.0.1.11:80
CFG
start haproxy b1 haproxy -db -f "$T/haproxy.cfg"
start http4 b1 python3 -m http.server --bind 10.0.1.100 --directory "$FILES" 8081
start http6 b1 python3 -m http.server --bind fd00:1::100 --directory "$FILES" 8081
for n in 8080 8081; do wait_for 20 listening b1 $n; done
mkdir -p "$FILES/b1" "$FILES/b2"
for n in large small; do for b in b1 b2; do ln -sfn "$FILES/$n" "$FILES/$b/$n"; done; done
declare -A switches
capture client client c0
capture proxy proxy p0
capture b1 b1 e0
for fam in 4 6; do
	if [ $fam = 4 ]; then vip=10.0.1.100 url=10.0.1.100 one=10.0.1.11 two=10.0.1.12; else vip=fd00:1::100 url='[fd00:1::100]' one=fd00:1::11 two=fd00:1::12; fi
	for port in 80 8080 8081; do
		start "switch$fam.$port" proxy python3 /payload/tests/netns/switch.py $vip $port b1=$one b2=$two
		switches[$port]=$STARTED_PID
		wait_for 20 listening proxy $port
		for b in b1 b2; do
			[ $port = 80 ] || [ $b = b1 ] || continue
			for f in small large; do
				# The same connection goes on for a second request.
				client curl -sS --fail --max-time $((60 * SLOW)) -o "$T/got" "http://$url:$port/$b/$f" --next \
					-sS --fail --max-time $((60 * SLOW)) -D "$T/head" -o "$T/got2" "http://$url:$port/$b/$f"
				for g in got got2; do same "SHA-256 of $f from $b, port $port, over IPv$fam" "$(sum_of <"$T/$g")" "$(cat "$FILES/$f.sha256")"; done
				[ $port = 8081 ] || grep -qi "x-backend: ${b}" "$T/head" || fail "another backend answered: $(cat "$T/head")"
			done
		done
	done
	client curl -sS --fail --max-time $((60 * SLOW)) -T "$FILES/large" -H 'Expect:' -o /dev/null "http://$url/put/large"
	same "SHA-256 of an upload over IPv$fam" "$(sum_of <"$T/b1/put/large")" "$(cat "$FILES/large.sha256")"
	rm "$T/b1/put/large"
	step "the switch is gone; what has moved goes on (IPv$fam)"
	before=$(stat_of handed-off)
	start "last$fam" client curl -sS --fail --max-time $((60 * SLOW)) --limit-rate $((1000 / SLOW))k -o "$T/last" "http://$url:80/b1/large"
	last=$STARTED_PID
	moved() { [ "$(stat_of handed-off)" -gt "$1" ]; }
	wait_for 10 moved "$before"
	for n in "${switches[@]}"; do stop "$n" -KILL; done
	rc=0
	wait "$last" || rc=$?
	same "curl's verdict after the switch was killed" "$rc" 0
	same "SHA-256 after the switch was killed" "$(sum_of <"$T/last")" "$(cat "$FILES/large.sha256")"
done
captures_end
step "what was on the wire"
for fam in 4 6; do
	if [ $fam = 4 ]; then vip=10.0.1.100 syn='ip and tcp[13] & 2 != 0'; else vip=fd00:1::100 syn='ip6 proto 6 and ip6[53] & 2 != 0'; fi
	answers="tcp and src host $vip"
	same "handshakes of the service beside b1 over IPv$fam" "$(packets b1 "host $vip and $syn")" 0
	same "data that the proxy sent to the client over IPv$fam" "$(packets proxy "$answers and $(with_data $fam) and ether src $(mac_of proxy p0)")" 0
	same "packets of the service's answers beside the proxy over IPv$fam" \
		"$(packets proxy "$answers and not ether src $(mac_of proxy p0)")" 0
	expect "data that b1 sent to the client over IPv$fam" "$(packets client "$answers and $(with_data $fam) and ether src $(mac_of b1 e0)")" -gt 10
done
# Clients of the programs above, gone for a minute, are asked whether they are there, and answer with a RST.
tcpdump -r "$OUT/client.pcap" -w "$OUT/web.pcap" 'port 80 or port 8080 or port 8081' 2>/dev/null
wire --allow 10.0.1.100 --allow 10.0.1.2 --allow fd00:1::100 --allow fd00:1::2 --lossless --late-rst "$OUT/web.pcap" >"$T/client.json" 2>"$T/client.wire.log" ||
	fail "packets beside the client: $(head -3 "$T/client.wire.log")"
jq -c 'del(.connections)' "$T/client.json"
same "connections taken over in all" "$(in_all taken-over)" "$(in_all handed-off)"
wait_for 10 no_legs
