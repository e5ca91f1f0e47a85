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
. "$(dirname "$0")/lanes.sh"

: "${SAMPLES:=60}" "${SEED:=1}" "${LANES:=4}"
[ -z "${SAMPLE:-}" ] || LANES=1
for ((n = 0; n < LANES; n++)); do lane $n; done
options=()
for w in ${WITHOUT:-}; do options+=(--without "$w"); done
[ -z "${CONTROL:-}" ] || options+=(--control)
[ -z "${REPEAT:-}" ] || options+=(--repeat "$REPEAT")
rc=0
if [ -n "${SAMPLE:-}" ]; then
	for n in $SAMPLE; do
		capture "client-$n" c0 c0
		capture "server-$n" s0 e0
		samples "${options[@]}" "$n" 1 || rc=$?
		captures_end
	done
else
	step "$SAMPLES samples of SEED=$SEED"
	samples "${options[@]}" 0 "$SAMPLES" || rc=$?
fi
report_samples $rc
