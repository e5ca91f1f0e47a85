#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Needs: module
# Configuration 1 of the source: a balancer without state, three proxies that hold each other's splices, backends that
# know nothing; farm.sh draws it. Proxies die, with all that their kernel knew, and come back empty; no connection notices.
# Limit: 300 s
. "$(dirname "$0")/farm.sh"

# Transfers, deaths of proxies, bytes a second of each transfer. On a slow machine they go on for longer.
N=${N:-9} DEATHS=${DEATHS:-1} RATE=${RATE:-$((600 / SLOW))k}
add_ns b1
plug b1 e0 inner "${INNER}21/$BITS"
make_file large 12M
serve b1
farm

step "transfers begin, and every proxy holds them"
watch_resets
pids=()
for ((i = 0; i < N; i++)); do
	start "get$i" client curl -sS --fail --max-time $((100 * SLOW)) -o "$T/body$i" --limit-rate "$RATE" "http://$SERVICE/large"
	pids[i]=$STARTED_PID
done
for n in 1 2 3; do wait_for 60 holds $n "$N"; done
for n in 1 2 3; do in_ns "p$n" splicectl list | head -4; done
# Another of its kind, for the last step.
in_ns p1 splicectl list -j | jq '.[0] | ."to-server".sport = 9 | ."to-server"."new-sport" = 19999
	| ."to-client".dport = 19999 | ."to-client"."new-dport" = 9' >"$T/another.json"

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
same "RSTs that the client saw" "$(resets)" 0

step "one made by hand, which has to be held by others before the command ends"
# refused WORDS ARGUMENT...: what splicectl new says, and it makes nothing.
refused() {
	local words=$1 rc=0
	shift
	in_ns p3 splicectl new --from "$T/another.json" "$@" 2>"$T/refused" || rc=$?
	same "exit status of splicectl new $*" "$rc" 1
	grep -q "$words" "$T/refused" || fail "splicectl new $* said: $(cat "$T/refused")"
	same "splices after that" "$(splices p3)" 0
}
refused '3 replicas are asked for, and the cluster has 2 other proxies' --replicas 3 --control "$T/control3"
refused 'no spliced with a .cluster. answers there' --replicas 1 --control "$T/none"
in_ns p3 splicectl new --from "$T/another.json" --replicas 2 --control "$T/control3" -j >"$T/made.json"
for n in 1 2; do same "splices on proxy $n" "$(splices "p$n")" 1; done
same "it is replicated" "$(jq '.flags | index("replicated") != null' "$T/made.json")" true
in_ns p3 splicectl del "$(jq .id "$T/made.json")"
for n in 1 2 3; do wait_for 30 no_splices "p$n"; done
