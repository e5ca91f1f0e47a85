# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# The hosts of tests/qemu/demo-handoff: client, proxy, b1, b2, all on one segment. Sourced by tests/farm/guest.
# shellcheck disable=SC2154 # of who sources this

SERVICE=10.0.1.100
as_client() { plug 1 c0 10.0.1.2/24; }

# daemon ID [LINE...]: spliced, a member of the cluster.
daemon() {
	local id=$1 n
	shift
	{
		printf '%s\n' '[cluster]' "id = $id" 'keys = "/payload/keys"' '[[cluster.node]]' 'id = 1' 'addresses = ["10.0.1.1:7946"]' 'roles = ["proxy"]'
		for n in 1 2; do
			printf '%s\n' '[[cluster.node]]' "id = $((n + 1))" "addresses = [\"10.0.1.1$n:7946\"]" 'roles = ["backend"]' "serves = [\"10.0.1.1$n:80\"]"
		done
		printf '%s\n' "$@"
	} >/results/spliced.toml
	spliced --check --config /results/spliced.toml || return
	start spliced spliced --access-log /results/access --config /results/spliced.toml
	await 30 listening 7946
}

# as_backend N: an unmodified nginx, on the service's ports of the host, and the service's address.
as_backend() {
	plug 1 e0 "10.0.1.1$1/24"
	splicectl vip add $SERVICE --tunnel "10.0.1.1$1" || return
	web 80 81 82 83 || return
	# Two-way: answers of that server go by way of the proxy; by single rewriting, this host has its half.
	ip route add 10.0.1.2 via 10.0.1.1 dev e0 table 84 || return
	ip rule add from "10.0.1.1$1" ipproto tcp sport 81 table 84 || return
	splicectl service add $SERVICE:85 --scheduler rr >/dev/null || return
	splicectl node set $SERVICE:85 "$1" --via "10.0.1.1$1" --output rewrite --port 82 --local >/dev/null || return
	daemon $(($1 + 1))
}

# as_proxy: layer 7 on port 80, by name; layer 4 on 81, in frames, on 82, in tunnels, on 84, two-way, and on 85, by single rewriting.
as_proxy() {
	local n routes=()
	plug 1 p0 10.0.1.1/24
	ip address add $SERVICE/24 dev p0
	for n in 81 82; do splicectl service add $SERVICE:$n --scheduler hash >/dev/null || return; done
	for n in 84 85; do splicectl service add $SERVICE:$n --scheduler rr >/dev/null || return; done
	for n in 1 2; do
		splicectl node set $SERVICE:81 "$n" --via "10.0.1.1$n" --output direct >/dev/null || return
		splicectl node set $SERVICE:82 "$n" --via "10.0.1.1$n" --output tunnel >/dev/null || return
		splicectl node set $SERVICE:84 "$n" --via "10.0.1.1$n" --output nat --port 81 >/dev/null || return
		splicectl node set $SERVICE:85 "$n" --via "10.0.1.1$n" --output rewrite --port 82 >/dev/null || return
	done
	for n in gateway splice split-splice handoff hop; do
		# Of a server that no node of the cluster has, nothing can be done elsewhere.
		routes+=('[[listener.route]]' "hosts = [\"$n\"]" "pool = \"$([ "$n" = splice ] && echo plain || echo web)\"" "method = \"$n\"")
	done
	daemon 1 '[http]' 'keep_alive = false' '[pool.web]' 'addresses = ["10.0.1.11:80", "10.0.1.12:80"]' \
		'[pool.plain]' 'addresses = ["10.0.1.11:83", "10.0.1.12:83"]' \
		'[[listener]]' 'name = "web"' "addresses = [\"$SERVICE:80\"]" 'protocol = "http"' "${routes[@]}" || return
	await 30 listening 80
}
# linked: the nodes of both servers are reached.
linked() { splicectl cluster nodes -j | jq -e '[.[] | select(.state == "up")] | length == 3'; }
# carriers N: how the last N requests were carried, by the proxy's own account.
carriers() { tail -n "$1" /results/access | jq -r .mode | sort | uniq -c | awk '{ printf "%s%s %s", sep, $1, $2; sep = ", " }'; }

# watch DEVICE NAME: what comes and goes, until unwatch.
watch() { capture "$1" "$2" 'tcp or proto 4'; }
unwatch() {
	local size=-1
	until [ "$size" = "$(stat -c %s "/results/$1.pcap")" ]; do
		size=$(stat -c %s "/results/$1.pcap")
		sleep 0.7
	done
	capture_end
}
# packets NAME FILTER
packets() { tcpdump -r "/results/$1.pcap" "$2" 2>/dev/null | wc -l; }
# both_ways NAME: packets that came here of the client, and that went from here to it.
both_ways() {
	echo "$(packets "$1" 'ether src 52:54:00:00:01:02') $(packets "$1" 'ether dst 52:54:00:00:01:02')"
}
# answered NAME: whose frames with data came to the client, by the last byte of their MAC addresses.
answered() {
	tcpdump -e -nnr "/results/$1.pcap" "ether dst 52:54:00:00:01:02 and $WITH_DATA" \
		2>/dev/null | awk '{ print substr($2, 16, 2) }' | sort -u | paste -sd' '
}

# download NAME PORT N: of the same body, one connection each. For each its SHA-256 and the microseconds until the first byte came.
download() {
	local n
	for ((n = 0; n < $3; n++)); do
		curl -sS --fail --max-time "$PATIENCE" --limit-rate "$RATE" -o /run/body -w '%{time_starttransfer}\n' --connect-to "::$SERVICE:$2" "http://$1/large" >/run/time || return
		echo "$(sha256sum /run/body | cut -c1-64) $(awk '{ printf "%d", $1 * 1000000 }' /run/time)"
	done
}

begin() { case $role in b*) as_backend "${role#b}" ;; *) "as_$role" ;; esac; }
