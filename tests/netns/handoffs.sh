#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Needs: module
# Run: by name only, by `make matrix`
# Random connections that move between three hosts and back, HANDOFFS of them from SEED: what is unread, unsent, on its way and
# lost at that moment, options, whoever ends it. Every byte is compared. HANDOFF="n..." are these alone, with captures.
# Limit: 100000 s
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/lanes.sh"

: "${HANDOFFS:=24}" "${SEED:=20}" "${LANES:=4}"
[ -z "${HANDOFF:-}" ] || LANES=1
for ((n = 0; n < LANES; n++)); do farm_lane $n; done
rc=0
if [ -n "${HANDOFF:-}" ]; then
	for n in $HANDOFF; do
		capture "client-$n" c0 c0
		for h in p0 s0 t0; do capture "$h-$n" $h e0; done
		samples --moves "$n" 1 || rc=$?
		captures_end
	done
else
	step "$HANDOFFS samples of SEED=$SEED"
	samples --moves 0 "$HANDOFFS" || rc=$?
fi
report_samples $rc
