# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# The hosts of tests/qemu/farm: client, lb, b1, b2, p1, p2, p3. Sourced by tests/farm/guest.
# shellcheck disable=SC2154 # of who sources this

# service ADDRESS:PORT SCHEDULER NETWORK [PORTS]: with its nodes, of which this host may be one.
service() {
	local n args
	splicectl service add "$1" --scheduler "$2" >/dev/null || return
	for ((n = 1; n <= PROXIES; n++)); do
		args=(--via "$3.1$n" --state down)
		[ "$role" != "p$n" ] || args+=(--local)
		[ $# -lt 4 ] || args+=(--ports "${n}0000-${n}9999")
		splicectl node set "$1" "$n" "${args[@]}" >/dev/null || return
	done
}

# daemon ID [LINE...]: spliced, a member of the cluster.
daemon() {
	local id=$1 n peers=proxy
	shift
	# A proxy that takes the others for backends sends them no row, and takes none.
	[[ $WITHOUT != replication || $role == lb ]] || peers=backend
	{
		cat <<-TOML
			mode = "splice"
			[cluster]
			id = $id
			keys = "/payload/keys"
			replicas = "all"
			heartbeat = "$HEARTBEAT"
			[[cluster.node]]
			id = 9
			addresses = ["10.0.2.9:7946"]
			roles = ["balancer"]
		TOML
		for ((n = 1; n <= PROXIES; n++)); do
			printf '[[cluster.node]]\nid = %s\naddresses = ["10.0.2.1%s:7946"]\n' "$n" "$n"
			if [ "$CONFIG" = 2 ]; then
				printf 'roles = ["proxy", "backend"]\nserves = ["10.0.2.1%s:8080"]\n' "$n"
			else
				printf 'roles = ["%s"]\n' "$([ "$n" = "$id" ] && echo proxy || echo "$peers")"
			fi
		done
		if [ "$CONFIG" = 3 ]; then
			printf '[[cluster.node]]\nid = 5\naddresses = ["10.0.2.21:7946"]\nroles = ["backend"]\nserves = ["10.0.2.21"]\n'
		fi
		printf '%s\n' "$@"
	} >/results/spliced.toml
	spliced --check --config /results/spliced.toml || return
	start spliced spliced --config /results/spliced.toml
	await 30 listening 7946
}

# splices: how many have not ended.
splices() { splicectl list -j | jq '[.[] | select(.state != "tombstone")] | length'; }
holds() { [ "$(splices)" -ge "$1" ]; }
no_splices() { [ "$(stat_of splices)" = 0 ]; }
carried_since() { [ $(($(stat_of translated) - $1)) -ge "$2" ]; }
# state NODE: as this host sees it, in all services.
state() { splicectl nodes -j | jq -r --arg id "$1" '[.[] | select(.id == ($id | tonumber)) | .state] | unique | join(" ")'; }
# is STATE NODE...: of all of these.
is() {
	local n
	for n in "${@:2}"; do [ "$(state "$n")" = "$1" ] || return 1; done
}

as_client() {
	plug 1 c0 10.0.1.2/24
	# How connections begin and end. A capture that has no SYNs saw nothing.
	capture c0 ends 'tcp[tcpflags] & (tcp-syn | tcp-fin | tcp-rst) != 0'
}
# transfers: N downloads of each site begin; what becomes of them is in /run/transfers.
transfers() { start transfers python3 /payload/tests/farm/transfers.py 10.0.1.100 80 /large "$N" "$RATE" "$PATIENCE" "${SITES[@]}"; }
running() { [ "$(grep -c ' running ' /run/transfers)" = "$1" ]; }
none_running() { [ -s /run/transfers ] && ! grep -q ' running ' /run/transfers; }
mark() { cp /run/transfers /run/mark; }
# went_on BYTES: how many transfers run, with so many bytes since mark.
went_on() {
	awk -v bytes="$1" 'NR == FNR { got[$1] = $3; next } $2 == "running" && $3 - got[$1] >= bytes { n++ } END { print n + 0 }' \
		/run/mark /run/transfers
}
moved() { [ "$(went_on "$1")" = $((N * ${#SITES[@]})) ]; }
# senders SITE: which hosts send the data of this site's transfers, for some seconds: packets and the last byte of a MAC address,
# a line for each.
senders() {
	local ports
	ports=$(awk -v site="$1" '$5 == site { printf "%sdst port %s", sep, $6; sep = " or " }' /run/transfers)
	# What a proxy sent before goes by.
	sleep 1
	{
		timeout 4 tcpdump -e -nn -p -Z root -i c0 -s 100 -l \
			"($ports) and $WITH_DATA" </dev/null 2>/dev/null || true
	} | awk 'length($2) == 17 { print substr($2, 16) }' | sort | uniq -c
}
capture_ends() {
	sleep 1
	capture_end
}
# flags: how many SYNs the client has sent or seen; how many RSTs it has seen; how many it has sent itself, and how many of these
# answer a packet that came late, to a connection that it had closed: such a RST has the number after its FIN (RFC 9293, 3.10.7.1).
flags() {
	tcpdump -nnSr /results/ends.pcap 2>/dev/null | awk '
		{ n = split($9, number, /[:,]/); last = number[n - 1]; client = $3 ~ /^10\.0\.1\.2\./ }
		$7 ~ /S/ { syn++ }
		$7 ~ /F/ && client { fin[$3] = (last + 1) % 4294967296 }
		$7 ~ /R/ && !client { seen++ }
		$7 ~ /R/ && client { sent++; if ($3 in fin && fin[$3] == last) late++ }
		END { print syn + 0, seen + 0, sent + 0, late + 0 }'
}

# as_backend N
as_backend() {
	plug 2 e0 "10.0.2.2$1/24"
	web 80 || return
	[ "$CONFIG/$1" = 3/1 ] || return 0
	# Its own way to clients.
	plug 1 x0 10.0.1.21/24
	daemon 5
}
# halves: of how many splices this host carries what its own server sends, how many it has with that server, and how many of these
# its own proxy made: to these the flag is not given.
halves() {
	local at=${role/p/1}
	at=10.0.2.${at/b/2}
	splicectl list -j | jq -r --arg at "$at" '[.[] | select(.state != "tombstone" and ."to-client".saddr == $at)] | [([.[]
		| select(.flags // [] | index("split"))] | length), length, ([.[] | select(."to-server"."new-saddr" == $at)] | length)] | join(" ")'
}
# has_halves N: of N splices with its server, all but those that it made.
has_halves() {
	local split all made
	read -r split all made <<<"$(halves)"
	[ "$all" = "$1" ] && [ "$split" = $((all - made)) ]
}

# as_lb: the balancer, on both sides, packets in turn, without a word about connections.
as_lb() {
	plug 1 l0 10.0.1.9/24 10.0.1.100/32
	plug 2 i0 10.0.2.9/24 10.0.2.100/32
	service 10.0.1.100:80 rr 10.0.1 && service 10.0.2.100:0 rr 10.0.2 && daemon 9
}

# as_proxy N
as_proxy() {
	plug 1 o0 "10.0.1.1$1/24"
	plug 2 i0 "10.0.2.1$1/24"
	ip address add 10.0.1.100/32 dev lo
	ip address add 10.0.2.100/32 dev lo
	sysctl -q "net.ipv4.ip_local_port_range=${1}0000 ${1}9999"
	local pools=() routes=() n
	case $CONFIG in
	1)
		ip route add 10.0.2.21/32 dev i0 src 10.0.2.100
		pools=('[pool.web]' 'addresses = ["10.0.2.21:80"]') routes=('[[listener.route]]' 'pool = "web"')
		;;
	2)
		# What another machine carries to a server may have an address of the server's machine as its source.
		sysctl -q net.ipv4.conf.all.accept_local=1
		for ((n = 1; n <= PROXIES; n++)); do
			pools+=("[pool.p$n]" "addresses = [\"10.0.2.1$n:8080\"]")
			routes+=('[[listener.route]]' "hosts = [\"p$n\"]" "pool = \"p$n\"")
		done
		web 8080 || return
		;;
	3)
		for n in 1 2; do
			ip route add "10.0.2.2$n/32" dev i0 src 10.0.2.100
			pools+=("[pool.b$n]" "addresses = [\"10.0.2.2$n:80\"]")
			routes+=('[[listener.route]]' "hosts = [\"b$n\"]" "pool = \"b$n\"")
		done
		;;
	esac
	service 10.0.1.100:80 hash 10.0.1 && service 10.0.2.100:0 ports 10.0.2 ports || return
	echo "splices at start: $(stat_of splices)"
	daemon "$1" '[http]' 'keep_alive = false' "${pools[@]}" '[[listener]]' 'name = "web"' \
		'addresses = ["10.0.1.100:80"]' 'protocol = "http"' "${routes[@]}" || return
	await 30 listening 80
}

# begin: what this host is.
begin() { case $role in p*) as_proxy "${role#p}" ;; b*) as_backend "${role#b}" ;; *) "as_$role" ;; esac; }
