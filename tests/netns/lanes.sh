# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# Places for samples of tests/matrix: each is three namespaces in a row. Sourced, after lib.sh.
#
#   cN c0 10.0.1.2 ───── p0 10.0.1.1 pN p1 10.0.2.1 ───── e0 10.0.2.11 sN
# Not a scenario.

# lane N
lane() {
	local s
	for s in "c$1" "p$1" "s$1"; do add_ns "$s"; done
	wire_up "c$1" c0 "p$1" p0
	wire_up "p$1" p1 "s$1" e0
	address "c$1" c0 10.0.1.2/24 fd00:1::2/64
	address "p$1" p0 10.0.1.1/24 fd00:1::1/64
	address "p$1" p1 10.0.2.1/24 fd00:2::1/64
	address "s$1" e0 10.0.2.11/24 fd00:2::11/64
	for s in "c$1" "p$1" "s$1"; do
		# As in the other scenarios: lib.sh.
		ip netns exec "$s" sysctl -q net.ipv4.tcp_fin_timeout=5 net.ipv4.tcp_early_retrans=0
	done
}

# farm_lane N: a client and three hosts on one wire, all three with the service's address, of which the first tells.
#
#   cN c0 10.0.1.2 ──┬── pN e0 10.0.1.1, sN e0 10.0.1.11, tN e0 10.0.1.12; 10.0.1.100
farm_lane() {
	local s host vip
	one_wire "l$1" "c$1:c0:2" "p$1:e0:1" "s$1:e0:11" "t$1:e0:12"
	address "p$1" e0 10.0.1.100/24 fd00:1::100/64
	for s in s t; do
		for vip in 10.0.1.100 fd00:1::100; do in_ns "$s$1" splicectl vip add $vip; done
	done
	# What comes in tunnels is taken out.
	for s in p:1 s:11 t:12; do
		host=${s#*:} s=${s%:*}$1
		for vip in "10.0.1.100:0 10.0.1.$host" "[fd00:1::100]:0 fd00:1::$host"; do
			in_ns "$s" splicectl service add "${vip% *}" --scheduler rr
			in_ns "$s" splicectl node set "${vip% *}" 1 --via "${vip#* }" --local --output tunnel
		done
	done
}

# samples [OPTION...] FIRST NUMBER: of SEED, in LANES lanes; what is said of them goes on in $OUT/samples.
samples() {
	local pid told=0 done options=("${@:1:$#-2}") first=${*: -2:1} number=${*: -1}
	nsenter --net=/run/netns/c0 matrix --seed "$SEED" --first "$first" --samples "$number" --lanes "$LANES" \
		--slow "$SLOW" "${options[@]}" >>"$OUT/samples" 2>&1 </dev/null &
	pid=$!
	STARTED+=("$pid")
	# Whoever waits for the guest sees that it goes on.
	while kill -0 "$pid" 2>/dev/null; do
		sleep 0.5
		done=$(grep -acE '^(not )?ok ' "$OUT/samples" || true)
		if [ "$done" -ge $((told + 100)) ]; then
			told=$done
			echo "samples: $done done, $(grep -ac '^not ok' "$OUT/samples" || true) failed" >/dev/ttyS1
		fi
	done
	wait "$pid"
}

# report_samples RESULT: for whoever reads, and the verdict.
report_samples() {
	grep -avE '^ok ' "$OUT/samples" | tee "$OUT/show"
	[ "$1" = 0 ] || fail "$(tail -1 "$OUT/samples"); the first: $({ grep -a -m 1 "^not ok" "$OUT/samples" || true; } | cut -c1-250)"
}
