#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Needs: module
# Run: by name only
# `make failover`: transfers of random sizes in both directions by way of configuration 1 (farm.sh draws it), while every few
# seconds something breaks, at random: a proxy with all that its kernel knew, its user space alone, the balancer, the way
# between two proxies, or some of what a proxy sends. Nothing may be lost and no byte be wrong.
# Limit: 900 s
. "$(dirname "$0")/farm.sh"

# Transfers; things that break; seconds that a transfer is made to take; bytes of the largest; the seed of the dice.
N=${N:-200} BREAKS=${BREAKS:-10} SEED=${SEED:-$RANDOM} LARGEST=${LARGEST:-2000000}
TAKES=${TAKES:-$((30 + BREAKS * 15))}
RANDOM=$SEED
ulimit -n 65536
tell "SEED=$SEED: $N transfers of about $TAKES s, $BREAKS things that break"

add_ns b1
plug b1 e0 inner "${INNER}21/$BITS"
# A client reads for longer than a server remembers what it has sent and closed; it would answer the client's FIN with a RST.
in_ns b1 sysctl -q net.ipv4.tcp_fin_timeout=600
make_file large 8M
serve b1
farm
watch_resets
start transfers client python3 /payload/tests/netns/transfers.py "${OUTER}100" 80 "$FILES/large" "$T/b1/put" "$N" "$SEED" "$TAKES" \
	"$LARGEST" "$OUT/sums.json"
transfers=$STARTED_PID
for ((k = 1; N >= 1000 && k < 10; k++)); do
	wait_for 240 grep -q "^begun $((N * k / 10))$" "$T/transfers.log"
	tell "$((N * k / 10)) have begun, $(busy) are under way, $(awk '/^transfer/ { n++ } END { print n + 0 }' "$T/transfers.log") have failed"
done
wait_for 240 grep -q '^running' "$T/transfers.log"
for n in 1 2 3; do wait_for 120 holds_all $n; done
tell "all run, and every proxy holds them; $(busy) are under way"
# Of downloads that are not large all is at the client by now, and it has not read it.
expect "transfers under way" "$(busy)" -ge $((N * (LARGEST < 1000000 ? 4 : 9) / 10))

# What nodes tell each other comes to, or from, port 7946.
hinder() {
	local from="ip${V/4/} saddr $2"
	in_ns "$1" nft "add table inet hindrance; add chain inet hindrance in { type filter hook input priority 0; }; \
		add rule inet hindrance in $from meta l4proto { tcp, udp } th dport 7946 $3; add rule inet hindrance in $from tcp sport 7946 $3"
}
unhinder() { in_ns "$1" nft delete table inet hindrance; }
daemon_dies() {
	kill -9 "${DAEMON[$1]}"
	wait "${DAEMON[$1]}" 2>/dev/null || true
}
for ((k = 0; k < BREAKS; k++)); do
	n=$((RANDOM % 2 + 1))
	# Each once, and then as the dice fall.
	case $((k < 5 ? k : RANDOM % 5)) in
	0)
		tell "proxy $n dies, and all that its kernel knew"
		proxy_dies $n
		for ns in lb p3; do wait_for 60 is "$ns" $n down; done
		sleep 3
		proxy_up $n
		;;
	1)
		tell "the user space of proxy $n dies, its kernel goes on"
		daemon_dies $n
		before=$(stat_of translated "p$n")
		sleep 4
		# Nobody sends it anything new; what comes is carried.
		tell "packets by way of its kernel meanwhile: $(($(stat_of translated "p$n") - before))"
		daemon "$n" "p$n" "${PROXY_LINES[@]}"
		DAEMON[n]=$STARTED_PID
		;;
	2)
		tell "the balancer dies, another one takes over"
		balancer_dies
		balancer_up
		;;
	3)
		tell "proxies $n and 3 do not hear each other"
		hinder p3 "${INNER}1$n" drop
		hinder "p$n" "${INNER}13" drop
		wait_for 60 is p3 $n down
		sleep 3
		unhinder p3
		unhinder "p$n"
		;;
	4)
		tell "what proxy $n sends inward, to its peers as well, is late, and every tenth packet lost"
		in_ns "p$n" tc qdisc add dev i0 root netem delay 50ms loss 10%
		sleep 8
		in_ns "p$n" tc qdisc del dev i0 root
		;;
	esac
	for i in 1 2 3; do everybody $i up; done
	for i in 1 2 3; do wait_for 120 holds_all $i; done
	tell "healed: $(busy) transfers go on, every proxy holds them"
done

rc=0
wait "$transfers" || rc=$?
grep '^transfer' "$T/transfers.log" | head -20 | tee -a "$OUT/show" || true
same "the verdict of the transfers" "$rc" 0
for n in 1 2 3; do wait_for 60 no_splices "p$n"; done
sleep 1
of() { jq ".$1" "$OUT/sums.json"; }
tell "$(of transfers) transfers, $(of bytes) bytes; lost $(of lost), with a wrong byte $(of corrupted), longest stall $(of longest_stall) s, RSTs that the client saw $(resets)"
same "transfers lost" "$(of lost)" 0
same "transfers with a wrong byte" "$(of corrupted)" 0
same "RSTs that the client saw" "$(resets)" 0
