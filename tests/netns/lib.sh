# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# What every scenario stands on: namespaces, servers, the proxy, captures, assertions. Sourced.
#
#   client                    proxy                      switch (a bridge)
#  ┌──────────────┐   ┌──────────────────────┐   ┌──────────────────────────┐
#  │ c0           │   │ p0                p1 │   │ s0        s1          s2 │
#  │ 10.0.1.2     ├───┤ 10.0.1.1    10.0.2.1 ├───┤        br0               │
#  │ fd00:1::2    │   │ fd00:1::1  fd00:2::1 │   └───────────┬───────────┬──┘
#  └──────────────┘   └──────────────────────┘          b1 ──┘           └── b2
#                                                10.0.2.11           10.0.2.12
#                                              fd00:2::11          fd00:2::12
#
# Nobody has a route to the other side's network: a packet that leaves with an address that was not
# translated dies, and a capture shows it.
#
# A scenario says "FAIL reason" and ends with 1, or ends with 0. $OUT is kept when it fails.
set -Eeuo pipefail

OUT=${OUT:-$(mktemp -d /tmp/out.XXXXXX)}
SLOW=${SLOW:-1}
WORK=${WORK:-/tmp}
T=$(mktemp -d "$WORK/ts.XXXXXX")
# What servers offer: links to files that scenarios share.
FILES=$T/files
SHARED=/tmp/files
STARTED=()
SPACES=()
CAPTURES=()

fail() {
	printf 'FAIL %s\n' "$*"
	exit 1
}

# shellcheck disable=SC2154 # rc is assigned in the trap itself
trap 'rc=$?; printf "FAIL %s:%s: \"%s\" ended with %s\n" "${BASH_SOURCE[0]##*/}" "$LINENO" "$BASH_COMMAND" "$rc"' ERR
trap cleanup EXIT

cleanup() {
	local rc=$? pid ns
	set +e
	trap - ERR
	for pid in "${STARTED[@]}"; do kill "$pid" 2>/dev/null; done
	if [ "$rc" != 0 ]; then
		for ns in "${SPACES[@]}"; do
			{
				echo "== $ns"
				ip -n "$ns" -s link
				ip -n "$ns" -br address
				ip -n "$ns" route
				ip netns exec "$ns" ss -tanoei
				ip netns exec "$ns" nstat -z 2>/dev/null | awk '$2 != 0'
			} >>"$OUT/state" 2>&1
		done
		[ ! -e /sys/module/tcp_splice ] || timeout 10 ip netns exec proxy splicectl list >"$OUT/splices" 2>&1
		[ ! -e /sys/module/tcp_splice ] || timeout 10 ip netns exec proxy splicectl stats >>"$OUT/splices" 2>&1
		cp "$T"/*.log "$T"/*.toml "$T"/*.json* "$T"/access "$OUT/" 2>/dev/null
	fi
	for pid in "${STARTED[@]}"; do
		for _ in {1..20}; do kill -0 "$pid" 2>/dev/null || break; sleep 0.1; done
		kill -9 "$pid" 2>/dev/null
	done
	# A program of which the first process was killed may have left others, which keep sockets.
	for ns in "${SPACES[@]}"; do ip netns pids "$ns" 2>/dev/null | xargs -r kill -9 2>/dev/null; done
	for ns in "${SPACES[@]}"; do ip netns delete "$ns" 2>/dev/null; done
	rm -rf "$T"
	exit "$rc"
}

step() { printf '\n### %s\n' "$*"; }

# in_ns NAME COMMAND...: cheaper than ip netns exec.
in_ns() {
	local ns=$1
	shift
	nsenter --net="/run/netns/$ns" "$@"
}
client() { in_ns client "$@"; }
proxy() { in_ns proxy "$@"; }
backend() { in_ns "$1" "${@:2}"; }

# start NAME NAMESPACE COMMAND...: in the background, with its own log; STARTED_PID is its id.
start() {
	local name=$1 ns=$2
	shift 2
	nsenter --net="/run/netns/$ns" "$@" >"$T/$name.log" 2>&1 </dev/null &
	STARTED_PID=$!
	STARTED+=("$STARTED_PID")
}
stop() {
	kill "${2:--TERM}" "$1" 2>/dev/null || true
	wait "$1" 2>/dev/null || true
}

# wait_for SECONDS COMMAND...: until the command succeeds.
wait_for() {
	local end=$((SECONDS + $1 * SLOW))
	shift
	until "$@" >/dev/null 2>&1; do
		[ "$SECONDS" -lt "$end" ] || fail "waited in vain for: $*"
		sleep 0.1
	done
}

# expect WHAT ACTUAL OPERATOR EXPECTED: arithmetic.
expect() {
	if [ -z "$2" ] || [ "$2" = null ]; then fail "$1: no number to compare"; fi
	test "$2" "$3" "$4" || fail "$1: $2, expected $3 $4"
}
same() { [ "$2" = "$3" ] || fail "$1: '$2', expected '$3'"; }

# All CPUs, as a mask in hexadecimal.
CPUS=$(printf %x $(((1 << $(nproc)) - 1)))
add_ns() {
	ip netns add "$1"
	SPACES+=("$1")
	ip netns exec "$1" sysctl -q net.ipv6.conf.all.accept_dad=0 net.ipv6.conf.default.accept_dad=0 \
		net.ipv6.conf.default.router_solicitations=0
	# A flow stays on one CPU: a sender that moves between CPUs must not reorder packets on a veth, nor one that takes another
	# hash after a time-out.
	ip netns exec "$1" sysctl -q "net.core.rps_default_mask=$CPUS" net.core.txrehash=0
	ip -n "$1" link set lo up
}
# wire_up NS1 DEV1 NS2 DEV2
wire_up() {
	ip link add name "$2" netns "$1" type veth peer name "$4" netns "$3"
	ip -n "$1" link set "$2" up
	ip -n "$3" link set "$4" up
}
address() {
	local ns=$1 dev=$2 a
	shift 2
	for a in "$@"; do
		case $a in
		*:*) ip -n "$ns" address add "$a" dev "$dev" nodad ;;
		*) ip -n "$ns" address add "$a" dev "$dev" ;;
		esac
	done
}

# one_wire LAN NAMESPACE:DEVICE:HOST...: hosts on one network, 10.0.1.HOST and fd00:1::HOST, whose bridge is in LAN.
one_wire() {
	local lan=$1 pair n dev host
	add_ns "$lan"
	ip -n "$lan" link add br0 type bridge
	ip -n "$lan" link set br0 up
	for pair in "${@:2}"; do
		IFS=: read -r n dev host <<<"$pair"
		add_ns "$n"
		wire_up "$n" "$dev" "$lan" "$n"
		ip -n "$lan" link set "$n" master br0
		address "$n" "$dev" "10.0.1.$host/24" "fd00:1::$host/64"
		# As below.
		ip netns exec "$n" sysctl -q net.ipv4.tcp_fin_timeout=5 net.ipv4.tcp_early_retrans=0
	done
}

topology() {
	local b
	for b in client proxy switch b1 b2; do add_ns "$b"; done
	wire_up client c0 proxy p0
	wire_up proxy p1 switch s0
	wire_up b1 e0 switch s1
	wire_up b2 e0 switch s2
	ip -n switch link add br0 type bridge
	for b in s0 s1 s2; do ip -n switch link set "$b" master br0; done
	ip -n switch link set br0 up
	address client c0 10.0.1.2/24 fd00:1::2/64
	address proxy p0 10.0.1.1/24 fd00:1::1/64
	address proxy p1 10.0.2.1/24 fd00:2::1/64
	address b1 e0 10.0.2.11/24 fd00:2::11/64
	address b2 e0 10.0.2.12/24 fd00:2::12/64
	# Short waits for a scenario; long ones are for people.
	for b in client proxy b1 b2; do
		# An emulated machine stalls for longer than a probe of a lost tail waits.
		ip netns exec "$b" sysctl -q net.ipv4.tcp_fin_timeout=5 net.ipv4.tcp_early_retrans=0
	done
}

# offloads on|off: segmentation and checksums by "hardware", everywhere.
offloads() {
	local pair
	for pair in client:c0 proxy:p0 proxy:p1 switch:s0 switch:s1 switch:s2 b1:e0 b2:e0; do
		in_ns "${pair%:*}" ethtool -K "${pair#*:}" tso "$1" gso "$1" gro "$1" tx "$1" rx "$1" sg "$1" >/dev/null 2>&1 || true
	done
}

# impair NETEM...: on both sides of the proxy, in both directions.
impair() {
	local pair
	for pair in client:c0 proxy:p0 proxy:p1 switch:s0; do
		tc -n "${pair%:*}" qdisc replace dev "${pair#*:}" root netem limit 20000 "$@"
	done
}

# make_file NAME SIZE: pseudo-random and the same every time; its SHA-256 beside it. Kept for later scenarios.
make_file() {
	local size f
	size=$(numfmt --from=iec "$2")
	f=$SHARED/$1-$size
	mkdir -p "$SHARED" "$FILES"
	if [ ! -e "$f.sha256" ]; then
		head -c "$size" /dev/zero | openssl enc -aes-128-ctr -nosalt -iv 00000000000000000000000000000000 \
			-K "$(md5sum <<<"$1" | cut -c1-32)" >"$f.$$"
		sum_of <"$f.$$" >"$f.$$.sha256"
		# Another scenario may have been as fast; its file is the same.
		mv "$f.$$" "$f"
		mv "$f.$$.sha256" "$f.sha256"
	fi
	ln -sfn "$f" "$FILES/$1"
	ln -sfn "$f.sha256" "$FILES/$1.sha256"
}
sum_of() { sha256sum | cut -c1-64; }

# serve BACKEND...: an unmodified nginx, plain (on HTTP_PORT, or 80) and TLS, GET and PUT.
serve() {
	local b d port=${HTTP_PORT:-80}
	if [ ! -e "$FILES/tls.pem" ]; then
		mkdir -p "$FILES"
		openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 30 -subj /CN=test \
			-addext subjectAltName=DNS:a.test,DNS:b.test,DNS:c.test -keyout "$FILES/tls.key" -out "$FILES/tls.pem" 2>/dev/null
	fi
	for b in "$@"; do
		d=$T/$b
		mkdir -p "$d/put" "$d/tmp"
		chmod 777 "$d/put" "$d/tmp"
		cat >"$d/nginx.conf" <<-CONF
			user root;
			worker_processes 1;
			daemon off;
			pid $d/pid;
			error_log $T/$b.error.log warn;
			events { worker_connections 16384; }
			http {
				access_log off;
				default_type application/octet-stream;
				sendfile on;
				client_max_body_size 0;
				client_body_temp_path $d/tmp;
				# A client may be as slow as it likes.
				send_timeout 1h;
				client_body_timeout 1h;
				ssl_certificate $FILES/tls.pem;
				ssl_certificate_key $FILES/tls.key;
				server {
					listen $port; listen [::]:$port;
					listen 443 ssl; listen [::]:443 ssl;
					add_header X-Backend $b always;
					root $FILES;
					location /put/ { root $d; dav_methods PUT DELETE; create_full_put_path on; }
					location /one/ { alias $FILES/; }
					location /two/ { alias $FILES/; }
				}
			}
		CONF
		start "$b.nginx" "$b" nginx -c "$d/nginx.conf" -e "$T/$b.error.log"
	done
	for b in "$@"; do wait_for 20 listening "$b" "$port"; done
}
listening() { in_ns "$1" ss -Hltn "sport = :$2" | grep -q .; }

# proxy_config MODE [LINE...]: a.test and /one go to b1, b.test and /two to b2, over either family. HTTP_KEYS go
# to the table [http]; without them the first request decides for the whole connection.
HTTP_KEYS=('keep_alive = false')
proxy_config() {
	local mode=$1 fam
	shift
	{
		printf 'mode = "%s"\nworkers = 2\n' "$mode"
		printf '%s\n' "$@"
		printf '[log]\nlevel = "debug"\naccess = "%s"\n' "$T/access"
		printf '%s\n' '[http]' "${HTTP_KEYS[@]}"
		for fam in 4 6; do
			cat <<-TOML
				[[listener]]
				name = "web$fam"
				addresses = ["$(vip $fam):80"]
				protocol = "http"
				[[listener.route]]
				hosts = ["a.test"]
				pool = "one$fam"
				[[listener.route]]
				hosts = ["b.test"]
				pool = "two$fam"
				[[listener.route]]
				path = "/one/"
				pool = "one$fam"
				[[listener.route]]
				path = "/two/"
				pool = "two$fam"
				[[listener]]
				name = "tls$fam"
				addresses = ["$(vip $fam):443"]
				protocol = "tls"
				[[listener.route]]
				sni = ["a.test"]
				pool = "one${fam}s"
				[[listener.route]]
				sni = ["b.test"]
				pool = "two${fam}s"
			TOML
		done
		printf '[pool.%s]\naddresses = ["%s"]\n' one4 10.0.2.11:80 two4 10.0.2.12:80 \
			one4s 10.0.2.11:443 two4s 10.0.2.12:443 one6 '[fd00:2::11]:80' two6 '[fd00:2::12]:80' \
			one6s '[fd00:2::11]:443' two6s '[fd00:2::12]:443'
	} >"$T/spliced.toml"
}
vip() { if [ "$1" = 4 ]; then echo 10.0.1.1; else echo '[fd00:1::1]'; fi; }

# proxy_start MODE [LINE...]: MODE is splice or gateway. PROXY_PID is its id.
proxy_start() {
	proxy_config "$@"
	spliced --check --config "$T/spliced.toml"
	start spliced proxy spliced --config "$T/spliced.toml"
	export PROXY_PID=$STARTED_PID
	wait_for 20 listening proxy 443
	wait_for 20 listening proxy 80
}

# fetch FAMILY URL [CURL-OPTION...]: the body, on standard output. URL like http://a.test/name.
fetch() {
	local fam=$1 url=$2 host port=80
	shift 2
	host=${url#*://}
	host=${host%%/*}
	[[ $url == https:* ]] && port=443
	client curl -sS --fail --max-time $((60 * SLOW)) --cacert "$FILES/tls.pem" --resolve "$host:$port:$(vip "$fam")" "$@" "$url"
}

# get FAMILY URL BACKEND [CURL-OPTION...]: the body of a file is right, and the right backend sent it.
get() {
	local fam=$1 url=$2 want=$3 head sum n
	shift 3
	n=$T/head.$BASHPID.$RANDOM
	sum=$(fetch "$fam" "$url" -D "$n" "$@" | sum_of)
	head=$(tr -d '\r' <"$n" | sed -n 's/^[Xx]-[Bb]ackend: //p')
	rm -f "$n"
	same "backend of $url over IPv$fam" "$head" "$want"
	same "SHA-256 of $url over IPv$fam" "$sum" "$(cat "$FILES/${url##*/}.sha256")"
}

# put FAMILY URL BACKEND FILE: what arrives on the backend is right.
put() {
	local fam=$1 url=$2 want=$3 name=$4
	shift 4
	rm -f "$T/$want/put/$name"
	fetch "$fam" "$url/put/$name" -T "$FILES/$name" -o /dev/null "$@"
	same "SHA-256 of $name as uploaded over IPv$fam" "$(sum_of <"$T/$want/put/$name")" "$(cat "$FILES/$name.sha256")"
	rm -f "$T/$want/put/$name"
}

# mac_of NAMESPACE DEVICE: how others know it.
mac_of() { ip -n "$1" -j link show dev "$2" | jq -r '.[0].address'; }
# with_data 4|6: a filter for TCP segments that have some.
with_data() {
	if [ "$1" = 4 ]; then
		echo 'ip and tcp and (ip[2:2] - ((ip[0] & 0xf) << 2) - ((tcp[12] & 0xf0) >> 2)) != 0'
	else
		echo 'ip6 and tcp and (ip6[4:2] - ((ip6[52] & 0xf0) >> 2)) != 0'
	fi
}
# capture NAME NAMESPACE DEVICE [SNAPLEN]: until captures_end.
capture() {
	local mac
	# A bridge floods what it does not know the port of: frames of others are no business of this host.
	mac=$(mac_of "$2" "$3")
	nsenter --net="/run/netns/$2" tcpdump -p -Z root -i "$3" -s "${4:-150}" -B 65536 -U -w "$OUT/$1.pcap" "(tcp or icmp or icmp6) and ether host $mac" >"$T/$1.tcpdump.log" 2>&1 </dev/null &
	STARTED+=("$!")
	CAPTURES+=("$1:$!")
	wait_for 20 grep -q 'listening on' "$T/$1.tcpdump.log"
}
# capture_all [SNAPLEN]: beside every end host.
capture_all() {
	capture client client c0 "${1:-150}"
	capture b1 b1 e0 "${1:-150}"
	capture b2 b2 e0 "${1:-150}"
}
captures_end() {
	local c size=-1 end=$((SECONDS + 30 * SLOW))
	# tcpdump forgets what it has not read yet when it is told to stop.
	until [ "$size" = "$(cat "$OUT"/*.pcap | wc -c)" ]; do
		[ "$SECONDS" -lt "$end" ] || fail "somebody goes on sending: $(ls -l "$OUT"/*.pcap)"
		size=$(cat "$OUT"/*.pcap | wc -c)
		sleep 0.7
	done
	for c in "${CAPTURES[@]}"; do
		kill -INT "${c#*:}" 2>/dev/null || true
		wait "${c#*:}" 2>/dev/null || true
		grep -q '^0 packets dropped by kernel' "$T/${c%%:*}.tcpdump.log" ||
			fail "the capture beside ${c%%:*} is not whole: $(grep dropped "$T/${c%%:*}.tcpdump.log")"
	done
	CAPTURES=()
}

# judge NAME RULE...: a capture taken by `capture` obeys the rules of tests/wire. Counts in $T/NAME.json.
judge() {
	local name=$1 allow=()
	shift
	case $name in
	client*) allow=(--allow 10.0.1.1 --allow 10.0.1.2 --allow fd00:1::1 --allow fd00:1::2) ;;
	b1*) allow=(--allow 10.0.2.1 --allow 10.0.2.11 --allow fd00:2::1 --allow fd00:2::11) ;;
	b2*) allow=(--allow 10.0.2.1 --allow 10.0.2.12 --allow fd00:2::1 --allow fd00:2::12) ;;
	esac
	wire "${allow[@]}" "$@" "$OUT/$name.pcap" >"$T/$name.json" 2>"$T/$name.wire.log" || {
		head -20 "$T/$name.wire.log"
		fail "packets beside $name: $(head -1 "$T/$name.wire.log")"
	}
	jq -c 'del(.connections)' "$T/$name.json"
	# Echoes of a draining proxy's own segments are few.
	expect "echoes of what was never sent, of all packets beside $name" \
		"$(counted "$name" '.up.echoes_between + .down.echoes_between')" -le $((50 + $(counted "$name" .segments) / 10))
}
judge_all() {
	local n
	for n in client b1 b2; do judge "$n" "$@"; done
}
# few_retransmits: on a path that loses nothing, an emulated machine's stalls cause some.
few_retransmits() {
	local n all
	for n in client b1 b2; do
		all=$(counted $n .segments)
		expect "retransmissions beside $n" "$(counted $n '.up.retransmits + .down.retransmits')" -le $((5 + all / 20))
	done
}
# counted NAME FILTER: a number out of the last judgement.
counted() { jq "$2" "$T/$1.json"; }

# both_families NAME: NAME.py, which stands on pair.py, over IPv4 and then over IPv6.
both_families() {
	local fam
	for fam in 4 6; do
		step "IPv$fam"
		PYTHONPATH=/payload/ynl:/payload/tests/netns python3 "/payload/tests/netns/$1.py" \
			/payload/ynl/Documentation/netlink/specs/tcp_splice.yaml "$fam"
	done
}

# The module's own numbers.
stat_of() { in_ns "${2:-proxy}" splicectl stats -j | jq --arg k "$1" '.[$k] // .[$k | gsub("-"; "_")]'; }
# live [NAMESPACE]: ids of the splices that have not ended; splices: how many.
live() { in_ns "${1:-proxy}" splicectl list -j | jq '.[] | select(.state != "tombstone") | .id'; }
splices() { live "${1:-proxy}" | wc -l; }
no_tombstones() { [ "$(stat_of tombstones "${1:-proxy}")" = 0 ]; }
no_splices() { [ "$(stat_of splices "${1:-proxy}")" = 0 ]; }

# monitor: events of the proxy's namespace, one JSON object a line, in $T/events.json.
monitor() {
	nsenter --net=/run/netns/proxy splicectl monitor -j >"$T/events.json" 2>"$T/monitor.log" </dev/null &
	MONITOR_PID=$!
	STARTED+=("$MONITOR_PID")
	sleep 0.5
}
# ended REASON: number of splices that ended so.
ended() { jq -s --arg r "$1" '[.[] | select(.event == "end" and .reason == $r)] | length' "$T/events.json"; }
has_ended() { [ "$(ended "$1")" -ge "$2" ]; }

# legs: sockets of the proxy that are neither listening nor on their way out.
legs() { proxy ss -Htan state connected exclude time-wait | grep -c . || true; }
no_legs() { [ "$(legs)" = 0 ]; }
snmp() { in_ns "$1" nstat -asz "$2" | awk -v k="$2" '$1 == k { print $2 }'; }
