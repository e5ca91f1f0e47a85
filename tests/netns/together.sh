#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Needs: module
# Configuration 2 of the source: three machines that are proxy and web server each, behind a balancer. Any of them
# carries what the client sends, to whichever server; a machine carries what its own server sends, past the others. One
# dies, and the transfers from the other two do not notice.
# Run: by name only
# Limit: 300 s
. "$(dirname "$0")/farm.sh"

# Transfers from each server, bytes a second of each.
N=${N:-4} RATE=${RATE:-250k}
SERVERS=()
BESIDE=8080
PROXY_LINES=('[http]' 'keep_alive = false')
for n in 1 2 3; do PROXY_LINES+=("[pool.p$n]" "addresses = [\"$L${INNER}1$n$R:8080\"]"); done
PROXY_LINES+=('[[listener]]' 'name = "web"' "addresses = [\"$SERVICE:80\"]" 'protocol = "http"')
for n in 1 2 3; do PROXY_LINES+=('[[listener.route]]' "hosts = [\"p$n.test\"]" "pool = \"p$n\""); done
make_file large 5M
farm
for n in 1 2 3; do
	# What another machine carries to a server may have an address of the server's machine as its source.
	in_ns p$n sysctl -q net.ipv4.conf.all.accept_local=1
	HTTP_PORT=8080 serve p$n
done

# rows NAMESPACE FILTER: how many of its splices, by jq.
rows() { in_ns "$1" splicectl list -j | jq "[.[] | select(.state != \"tombstone\") | select($2)] | length"; }
is_split='(.flags // []) | index("split")'

step "transfers begin, and every machine holds them"
watch_resets
pids=()
names=()
for server in 2 3; do
	for ((i = 0; i < N; i++)); do
		start "get$server.$i" client curl -sS --fail --max-time 150 -o "$T/body$server.$i" -H "Host: p$server.test" --limit-rate "$RATE" \
			"http://$SERVICE/large"
		pids+=("$STARTED_PID")
		names+=("$server.$i")
	done
done
all=$((2 * N))
for n in 1 2 3; do wait_for 60 holds $n "$all"; done
for n in 1 2 3; do
	in_ns p$n splicectl list
	# Its own, but for those that it made itself: these have sockets, and the proxy's address is its own.
	made=$(rows p$n ".\"to-server\".\"new-saddr\" == \"${INNER}1$n\" and .\"to-client\".saddr == \"${INNER}1$n\"")
	own=$(rows p$n ".\"to-client\".saddr == \"${INNER}1$n\"")
	echo "machine $n: $own with its server, $made made here"
	same "halves on machine $n" "$(rows p$n "$is_split")" "$((own - made))"
	same "halves of others' servers on machine $n" "$(rows p$n "($is_split) and .\"to-client\".saddr != \"${INNER}1$n\"")" 0
done

step "one dies"
proxy_dies 1
for ns in lb p2 p3; do wait_for 60 is "$ns" 1 down; done
before=$(stat_of translated p2)
sleep 2
expect "packets by way of machine 2 meanwhile" $(($(stat_of translated p2) - before)) -gt 50
for ((i = 0; i < all; i++)); do
	rc=0
	wait "${pids[$i]}" || rc=$?
	same "curl's verdict of transfer ${names[$i]}" "$rc" 0
	same "SHA-256 of transfer ${names[$i]}" "$(sum_of <"$T/body${names[$i]}")" "$(cat "$FILES/large.sha256")"
done
for n in 2 3; do wait_for 30 no_splices p$n; done
sleep 1
same "RSTs that the client saw" "$(resets)" 0
