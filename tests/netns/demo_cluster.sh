#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Needs: module
# Run: by name only
# `make demo-cluster`: configuration 1 (farm.sh draws it) with two backends and two clients. Proxies die during downloads and uploads,
# and come back; a time line and a table for a person.
# Limit: 600 s
. "$(dirname "$0")/farm.sh"

N=${N:-24} DEATHS=${DEATHS:-3} SEED=${SEED:-$RANDOM}
TAKES=${TAKES:-$((15 + DEATHS * 20))}
SERVERS=("${INNER}21" "${INNER}22")
PROXY_LINES=("${PROXY_LINES[@]/\"$L${INNER}21$R:80\"/\"$L${INNER}21$R:80\", \"$L${INNER}22$R:80\"}")

for i in 1 2; do
	add_ns "b$i"
	plug "b$i" e0 inner "${INNER}2$i/$BITS"
done
CLIENTS+=(client2)
add_ns client2
plug client2 c0 outer "${OUTER}3/$BITS"
make_file large 8M
serve b1 b2
farm
tell "a balancer, three proxies, two backends, two clients"
watch_resets
# Packets that a proxy has translated, those of its former lives included.
TRANSLATED=(0 0 0 0)
run=()
for c in client client2; do
	start "transfers.$c" "$c" python3 /payload/tests/netns/transfers.py "${OUTER}100" 80 "$FILES/large" "$T/b1/put:$T/b2/put" \
		$((N / 2)) "$SEED$c" "$TAKES" 2000000 "$OUT/$c.json"
	run+=("$STARTED_PID")
done
for c in client client2; do wait_for 120 grep -q '^running' "$T/transfers.$c.log"; done
for n in 1 2 3; do wait_for 120 holds_all $n; done
tell "$(busy) transfers run, and every proxy holds every splice"
for ((k = 0; k < DEATHS; k++)); do
	n=$((k % 3 + 1))
	TRANSLATED[n]=$((TRANSLATED[n] + $(stat_of translated "p$n")))
	proxy_dies $n
	tell "proxy $n dies, with all that its kernel knew"
	for ns in lb p1 p2 p3; do [ ! -e "/run/netns/$ns" ] || wait_for 60 is "$ns" $n down; done
	tell "the others know"
	sleep 4
	proxy_up $n
	everybody $n up
	wait_for 120 holds_all $n
	tell "proxy $n is back, and holds $(splices "p$n") splices"
done
for pid in "${run[@]}"; do
	rc=0
	wait "$pid" || rc=$?
	same "the verdict of the transfers" "$rc" 0
done
for n in 1 2 3; do wait_for 60 no_splices "p$n"; done
tell "all have arrived"
sleep 1
of() { jq -s "$1" "$OUT/client.json" "$OUT/client2.json"; }
{
	printf '\n%-42s%12s\n' "connections" "$(of 'map(.transfers) | add')"
	printf '%-42s%12s\n' "bytes, each SHA-256 checked" "$(of 'map(.bytes) | add' | numfmt --to=si)"
	printf '%-42s%12s\n' "lost" "$(of 'map(.lost) | add')" "with a wrong byte" "$(of 'map(.corrupted) | add')" \
		"RSTs that the first client saw" "$(resets)" "longest stall of one, s" "$(of 'map(.longest_stall) | max')"
	for n in 1 2 3; do
		TRANSLATED[n]=$((TRANSLATED[n] + $(stat_of translated "p$n")))
		printf '%-42s%12s\n' "packets translated by proxy $n" "${TRANSLATED[$n]}"
	done
} | tee -a "$OUT/show"
same "transfers lost" "$(of 'map(.lost) | add')" 0
same "transfers with a wrong byte" "$(of 'map(.corrupted) | add')" 0
same "RSTs that the first client saw" "$(resets)" 0
