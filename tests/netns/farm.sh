# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# A balancer without state, three proxies that hold each other's splices, and what goes with them. Sourced.
#
#   client ── outer ──┬── lb ───┬── inner ── b1        service 10.0.1.100:80, round robin, to any proxy
#    10.0.1.2         ├── p1 ───┤          10.0.2.21   10.0.2.100, the proxies' source, round robin, too
#                     ├── p2 ───┤
#                     └── p3 ───┘   10.0.1.11-13, 10.0.2.11-13
. "$(dirname "$0")/lib.sh"

# V is 4 or 6, the family of all that is said; with 6, 10.0.1.2 is fd00:1::2, and so on. By these names: a net as the beginning of
# its addresses, the address of the service, the one that proxies share; what is around an address that a port follows.
V=${V:-4}
if [ "$V" = 6 ]; then
	OUTER=fd00:1:: INNER=fd00:2:: BITS=64 HOST_BITS=128 L=[ R=]
else
	OUTER=10.0.1. INNER=10.0.2. BITS=24 HOST_BITS=32 L='' R=''
fi
SERVICE=$L${OUTER}100$R SOURCE=${INNER}100

# A scenario's own: servers' addresses, which are spoken to from the shared one; what proxies are configured with; further
# nodes of the cluster; the port of the servers that run beside proxies.
SERVERS=("${INNER}21")
BESIDE=
# Some scenarios have more to do than the machine can: requests may come late.
PROXY_LINES=('[timeouts]' 'header = "5m"' '[http]' 'keep_alive = false' '[pool.web]' "addresses = [\"$L${INNER}21$R:80\"]" '[[listener]]' 'name = "web"'
	"addresses = [\"$SERVICE:80\"]" 'protocol = "http"' '[[listener.route]]' 'pool = "web"')
NODE_LINES=()

# plug NAMESPACE DEVICE SWITCH ADDRESS [MAC]
plug() {
	wire_up "$1" "$2" "$3" "$1.$2"
	[ $# -lt 5 ] || ip -n "$1" link set "$2" address "$5"
	ip -n "$3" link set "$1.$2" master br0
	address "$1" "$2" "$4"
	# Of an address that many have, only its balancer speaks. Packets by way of other hosts are no forgeries.
	in_ns "$1" sysctl -q net.ipv4.conf.all.arp_ignore=1 net.ipv4.conf.all.arp_announce=2 net.ipv4.conf.all.rp_filter=0 \
		net.ipv4.conf.default.rp_filter=0
}

# service NAMESPACE ADDRESS:PORT SCHEDULER NET [PORTS]: with its three nodes, of which this may be one.
service() {
	local n args
	in_ns "$1" splicectl service add "$2" --scheduler "$3"
	for n in 1 2 3; do
		args=(--via "${4}1$n" --state down)
		[ "$1" != "p$n" ] || args+=(--local)
		[ $# -lt 5 ] || args+=(--ports "${n}0000-${n}9999")
		in_ns "$1" splicectl node set "$2" "$n" "${args[@]}"
	done
}

# daemon ID NAMESPACE [LINE...]
daemon() {
	local id=$1 ns=$2 n
	shift 2
	{
		cat <<-TOML
			mode = "splice"
			[log]
			level = "debug"
			[cluster]
			id = $id
			keys = "$T/keys"
			control = "$T/control$id"
			replicas = "all"
			# An emulated machine stalls.
			heartbeat = "300ms"
			[[cluster.node]]
			id = 9
			addresses = ["$L${INNER}9$R:7946"]
			roles = ["balancer"]
		TOML
		for n in 1 2 3; do
			printf '[[cluster.node]]\nid = %s\naddresses = ["%s:7946"]\n' "$n" "$L${INNER}1$n$R"
			if [ -n "$BESIDE" ]; then
				printf 'roles = ["proxy", "backend"]\nserves = ["%s:%s"]\n' "$L${INNER}1$n$R" "$BESIDE"
			else
				printf 'roles = ["proxy"]\n'
			fi
		done
		printf '%s\n' "${NODE_LINES[@]}" "$@"
	} >"$T/spliced$id.toml"
	in_ns "$ns" spliced --check --config "$T/spliced$id.toml"
	start "spliced$id.$RANDOM" "$ns" spliced --config "$T/spliced$id.toml"
}

DAEMON=()
proxy_up() {
	local n=$1 server
	add_ns "p$n"
	# A host that comes back has the cards that it had.
	plug "p$n" o0 outer "${OUTER}1$n/$BITS" "02:00:00:00:01:1$n"
	plug "p$n" i0 inner "${INNER}1$n/$BITS" "02:00:00:00:02:1$n"
	address "p$n" lo "${OUTER}100/$HOST_BITS" "$SOURCE/$HOST_BITS"
	in_ns "p$n" sysctl -q "net.ipv4.ip_local_port_range=${n}0000 ${n}9999"
	for server in "${SERVERS[@]}"; do ip -n "p$n" route add "$server/$HOST_BITS" dev i0 src "$SOURCE"; done
	service "p$n" "$SERVICE:80" hash "$OUTER"
	service "p$n" "$L$SOURCE$R:0" ports "$INNER" ports
	daemon "$n" "p$n" "${PROXY_LINES[@]}"
	DAEMON[n]=$STARTED_PID
}
# A dead host says nothing, also not while its namespace is taken apart and its packets find no splice any more.
proxy_dies() {
	local dev
	# Both ends, at once: the names in the switches are free for the next.
	for dev in o0 i0; do ip -n "p$1" link delete "$dev"; done
	kill -9 "${DAEMON[$1]}"
	wait "${DAEMON[$1]}" 2>/dev/null || true
	ip netns delete "p$1"
}
state() { in_ns "$1" splicectl nodes -j | jq -r --arg id "$2" '[.[] | select(.id == ($id | tonumber)) | .state] | unique | join(" ")'; }
is() { [ "$(state "$1" "$2")" = "$3" ]; }
# everybody SEES NODE STATE
everybody() {
	local ns
	for ns in lb p1 p2 p3; do
		[ ! -e "/run/netns/$ns" ] || wait_for 60 is "$ns" "$1" "$2"
	done
}
holds() { [ "$(splices "p$1")" -ge "$2" ]; }

# Who has transfers; a scenario may have more.
CLIENTS=(client)
# busy: how many transfers go on. holds_all N: whether proxy N has the splices of all of them.
busy() {
	local c
	for c in "${CLIENTS[@]}"; do in_ns "$c" ss -Htn state established dst "$SERVICE"; done | wc -l
}
holds_all() { [ "$(splices "p$1")" -ge "$(busy)" ]; }

# tell WORDS: a line of the time line, for a person; at once, too, for who waits and takes a silent guest for dead.
BEGAN=$SECONDS
tell() { printf '%4d s  %s\n' $((SECONDS - BEGAN)) "$*" | tee -a "$OUT/show" /dev/ttyS1; }

# takes_over NAMESPACE DEVICE: says whose its addresses are now, as keepalived does, to whoever knows them of another host.
takes_over() {
	# What is said before the link is up, and the switch lets it through, nobody hears.
	wait_for 20 forwards "$1" "$2"
	in_ns "$1" sysctl -q "net.ipv4.conf.$2.arp_notify=1" "net.ipv6.conf.$2.ndisc_notify=1"
	ip -n "$1" link set "$2" address "$(ip -n "$1" -j link show dev "$2" | jq -r '.[0].address')"
}
forwards() {
	local switch=outer
	[ "$2" != i0 ] || switch=inner
	in_ns "$switch" ip -d -j link show dev "$1.$2" | jq -e '.[0].linkinfo.info_slave_data.state == "forwarding"'
	ip -n "$1" -j link show dev "$2" | jq -e '.[0].operstate == "UP"'
}

balancer_up() {
	local dev
	[ -e /run/netns/lb ] || add_ns lb
	plug lb l0 outer "${OUTER}9/$BITS"
	plug lb i0 inner "${INNER}9/$BITS"
	address lb l0 "${OUTER}100/$HOST_BITS"
	address lb i0 "$SOURCE/$HOST_BITS"
	service lb "$SERVICE:80" rr "$OUTER"
	service lb "$L$SOURCE$R:0" rr "$INNER"
	for dev in l0 i0; do takes_over lb $dev; done
	daemon 9 lb
	DAEMON[9]=$STARTED_PID
}
balancer_dies() {
	kill -9 "${DAEMON[9]}"
	wait "${DAEMON[9]}" 2>/dev/null || true
	ip -n lb link delete l0
	ip -n lb link delete i0
	ip netns delete lb
}

# farm ID...: the balancer and the proxies, with keys for these nodes as well.
farm() {
	local n keys
	keys=$(printf ',%s' 1 2 3 9 "$@")
	spliced --make-keys "$T/keys" --nodes "${keys#,}"
	balancer_up
	for n in 1 2 3; do proxy_up $n; done
	for n in 1 2 3; do everybody $n up; done
	in_ns p1 splicectl cluster nodes --control "$T/control1" || true
	in_ns lb splicectl nodes
}

# watch_resets: every RST that the client sees, in $OUT/rst.pcap.
watch_resets() {
	nsenter --net=/run/netns/client tcpdump -p -Z root -i c0 -U -w "$OUT/rst.pcap" \
		'tcp[tcpflags] & tcp-rst != 0 or (ip6[6] == 6 and ip6[53] & 4 != 0)' >"$T/rst.log" 2>&1 </dev/null &
	STARTED+=("$!")
	wait_for 20 grep -q 'listening on' "$T/rst.log"
}
resets() { tcpdump -nr "$OUT/rst.pcap" 2>/dev/null | wc -l; }

add_ns client
for ns in lb outer inner; do add_ns "$ns"; done
for ns in outer inner; do
	ip -n "$ns" link add br0 type bridge
	ip -n "$ns" link set br0 up
done
plug client c0 outer "${OUTER}2/$BITS"
