#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Needs: module
# Run: by name only, by `make matrix`
# Random splices, SAMPLES of them from SEED: family, options of each connection, losses, the moment of arming, the kind
# of end. Every byte is compared; nothing may be left after any. SAMPLE="n..." are these alone, with captures; REPEAT=n
# does each n times; CONTROL=1 asks for no splice.
#
#   lane N:   cN c0 ── netem ── p0 pN p1 ── netem ── e0 sN
# Limit: 100000 s
. "$(dirname "$0")/lib.sh"

: "${SAMPLES:=60}" "${SEED:=1}" "${LANES:=4}"
[ -z "${SAMPLE:-}" ] || LANES=1
for ((n = 0; n < LANES; n++)); do
	for s in c$n p$n s$n; do add_ns $s; done
	wire_up c$n c0 p$n p0
	wire_up p$n p1 s$n e0
	address c$n c0 10.0.1.2/24 fd00:1::2/64
	address p$n p0 10.0.1.1/24 fd00:1::1/64
	address p$n p1 10.0.2.1/24 fd00:2::1/64
	address s$n e0 10.0.2.11/24 fd00:2::11/64
	for s in c$n p$n s$n; do
		# As in the other scenarios: lib.sh.
		ip netns exec $s sysctl -q net.ipv4.tcp_fin_timeout=5 net.ipv4.tcp_early_retrans=0
	done
done
options=(--lanes "$LANES" --slow "$SLOW")
for w in ${WITHOUT:-}; do options+=(--without "$w"); done
[ -z "${CONTROL:-}" ] || options+=(--control)
[ -z "${REPEAT:-}" ] || options+=(--repeat "$REPEAT")

# samples FIRST NUMBER: what it says goes on in $OUT/samples.
samples() {
	local pid told=0 done
	nsenter --net=/run/netns/c0 matrix --seed "$SEED" --first "$1" --samples "$2" "${options[@]}" >>"$OUT/samples" 2>&1 </dev/null &
	pid=$!
	STARTED+=("$pid")
	# Whoever waits for the guest sees that it goes on.
	while kill -0 "$pid" 2>/dev/null; do
		sleep 0.5
		done=$(grep -acE '^(not )?ok ' "$OUT/samples" || true)
		if [ "$done" -ge $((told + 100)) ]; then
			told=$done
			echo "matrix: $done done, $(grep -ac '^not ok' "$OUT/samples" || true) failed" >/dev/ttyS1
		fi
	done
	wait "$pid"
}

rc=0
if [ -n "${SAMPLE:-}" ]; then
	for n in $SAMPLE; do
		capture "client-$n" c0 c0
		capture "server-$n" s0 e0
		samples "$n" 1 || rc=$?
		captures_end
	done
else
	step "$SAMPLES samples of SEED=$SEED"
	samples 0 "$SAMPLES" || rc=$?
fi
grep -avE '^ok ' "$OUT/samples" | tee "$OUT/show"
[ "$rc" = 0 ] || fail "$(tail -1 "$OUT/samples"); the first: $(grep -a -m 1 '^not ok' "$OUT/samples" | cut -c1-250)"
