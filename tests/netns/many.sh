#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Needs: module
# Many short connections at once. Many answers are complete, FIN and all, before the splice is armed: what the
# proxy's sockets hold then is moved, not lost and not sent twice.
#
#   client ══ 200 connections, 50 at a time ══ proxy ══ b1, b2
# Limit: 180 s
. "$(dirname "$0")/lib.sh"

topology
make_file small 1000
make_file page 100000
serve b1 b2
proxy_start splice
monitor
capture_all
total=0
for close in '' 'Connection: close'; do
	step "100 small and 100 of a hundred kilobytes, ${close:-keep-alive}"
	for i in $(seq 100); do
		for f in small page; do
			host=$([ $((i % 2)) = 0 ] && echo a.test || echo b.test)
			printf 'url = "http://%s/%s?%d"\noutput = "%s"\n' "$host" "$f" "$i" "$T/body.$f.$i"
		done
	done >"$T/urls"
	client curl -sS --fail --no-keepalive --parallel --parallel-immediate --parallel-max 50 --max-time $((90 * SLOW)) \
		--resolve a.test:80:10.0.1.1 --resolve b.test:80:10.0.1.1 -H "${close:-X-Nothing: here}" -K "$T/urls"
	for f in small page; do
		wrong=$(sha256sum "$T"/body.$f.* | grep -vc "^$(cat "$FILES/$f.sha256")" || true)
		same "wrong bodies of $f" "$wrong" 0
		same "bodies of $f" "$(find "$T" -name "body.$f.*" | wc -l)" 100
	done
	rm -f "$T"/body.*
done
total=$(wc -l <"$T/access")
expect "connections" "$total" -ge 100
wait_for 20 no_splices
wait_for 20 no_legs
same "splices made, or connections that were over before" \
	"$(jq -s '[.[] | select(.mode == "spliced")] | length' "$T/access")" "$(stat_of created)"
same "splices refused" "$(stat_of refused)" 0
same "splices cut" "$(jq -s '[.[] | select(.event == "end" and .reason != "fin")] | length' "$T/events.json")" 0
captures_end
judge_all --lossless
