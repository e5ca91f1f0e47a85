# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# Several QEMU guests, each with a kernel and a clock of its own, on Ethernet segments: how they are powered on, told what to do, and judged.
# Sourced, after lib.sh, by tests/qemu/farm and tests/qemu/demo-handoff.
#
# A segment is a hub of one more QEMU process, which the guests' cards are joined to by Unix sockets in the folder of results. Nothing of the
# host's network is used. What guests do is in tests/farm; what they are told goes in by their second serial port, and what they say
# comes out there. Each is judged as tests/qemu/run does, from its power-on to its end, or until it is killed.
#
# Who sources this has: run, its name in results; guests; slow, and LIMIT in seconds for the whole run; and
# cards_of GUEST	the last byte of its MAC addresses, and its segments: "11 1 2"
# starts_of GUEST	how often it is powered on at most
# is_end GUEST		it has no module, as hosts beyond the ends of a splice
# has_no_module GUEST	it does not load the module, whoever it is
# shellcheck disable=SC2154 # of who sources this

# By folder of results: the process, what has become of it (runs, killed, ended, hung), and what QEMU ended with.
declare -A process fate code
# By name: the newest folder, how many starts, the pipe to its second serial port.
declare -A folder starts ask
order=()
began=$SECONDS
cleanup() {
	local pid
	for pid in "${process[@]}" ${hub:+"$hub"}; do kill "$pid" 2>/dev/null || true; done
}
trap cleanup EXIT
# reap FOLDER: its process has ended, or is about to.
reap() {
	code[$1]=0
	wait "${process[$1]}" 2>/dev/null || code[$1]=$?
	unset "process[$1]"
}

hub_args=()
# wires SEGMENT GUEST...: a hub, with a socket for each start of each guest: none is ever connected to twice. The hub is the side
# that connects: what QEMU accepts it writes to without looking whether there is room, and a guest that does not read yet,
# because it boots, would hold up all others.
wires() {
	local segment=$1 guest k id
	shift
	for guest in "$@"; do
		for ((k = 1; k <= $(starts_of "$guest"); k++)); do
			id=$segment-$guest-$k
			hub_args+=(-netdev "stream,id=$id,server=off,reconnect-ms=250,addr.type=unix,addr.path=$inside/wires/$id"
				-netdev "hubport,id=hub-$id,hubid=$((segment - 1)),netdev=$id")
		done
	done
}
# plug_in: the segments are there.
plug_in() {
	mkdir "$out/wires"
	"$enter" qemu-system-x86_64 -machine none -nodefaults -display none -monitor none "${hub_args[@]}" </dev/null >"$out/hub" 2>&1 &
	hub=$!
}

# start GUEST: powers it on.
start() {
	local guest=$1 dir k fd append="ROLE=$1" segments segment number skew cards=()
	starts[$guest]=$((${starts[$guest]:-0} + 1))
	k=${starts[$guest]}
	folder[$guest]=$guest$([ "$k" = 1 ] || echo ".$k")
	dir=$out/${folder[$guest]}
	mkdir "$dir"
	mkfifo "$dir/ask"
	# Open for both ways, so that neither side waits for the other.
	exec {fd}<>"$dir/ask"
	ask[$guest]=$fd
	: >"$dir/console"
	: >"$dir/outcome"
	truncate -s 256M "$dir/disk"
	read -r number segments <<<"$(cards_of "$guest")"
	! has_no_module "$guest" || append+=" MODULE=no"
	for segment in $segments; do
		cards+=(-netdev "stream,id=net$segment,server=on,addr.type=unix,addr.path=$inside/wires/$segment-$guest-$k"
			-device "virtio-net-pci,netdev=net$segment,mac=52:54:00:00:0$segment:$number")
	done
	# Another year, and a clock that goes a little wrong: by so many parts in 10,000.
	skew=$((${#order[@]} % 2 ? ${#order[@]} : -${#order[@]}))
	machine 1 "${MEM:-512M}" $((tsc + tsc * skew / 10000)) "$inside/${folder[$guest]}/disk" "$append"
	"$enter" "${MACHINE[@]}" -rtc "base=$((2027 + ${#order[@]}))-0$((1 + ${#order[@]} % 9))-11T06:00:00" "${cards[@]}" \
		-serial "file:$inside/${folder[$guest]}/console" \
		-chardev "file,id=port,path=$inside/${folder[$guest]}/outcome,input-path=$inside/${folder[$guest]}/ask" -serial chardev:port \
		</dev/null >"$dir/qemu" 2>&1 &
	process[${folder[$guest]}]=$!
	fate[${folder[$guest]}]=runs
	order+=("${folder[$guest]}")
}

# healthy: the time is not up, all that should run does, and no kernel complains. Else why, in $out/broken.
healthy() {
	local dir
	[ ! -s "$out/broken" ] || return 1
	kill -0 "$hub" 2>/dev/null || echo "the hub ended: $(tail -n 1 "$out/hub")" >>"$out/broken"
	for dir in "${order[@]}"; do
		[ "${fate[$dir]}" = runs ] || continue
		if grep -qaE "$BAD" "$out/$dir/console" "$out/$dir/outcome"; then
			# A dying kernel gets a few seconds to say why.
			sleep 5
			echo "$dir: a kernel report" >>"$out/broken"
		elif ! kill -0 "${process[$dir]}" 2>/dev/null; then
			echo "$dir: QEMU ended by itself" >>"$out/broken"
		fi
	done
	[ $((SECONDS - began)) -lt "$LIMIT" ] || echo "the run took more than $LIMIT s" >>"$out/broken"
	[ ! -s "$out/broken" ]
}

# said GUEST PATTERN: what it said on its second port since it was powered on.
said() { tr -d '\r' <"$out/${folder[$1]}/outcome" | grep -aE "$2"; }

# on GUEST COMMAND...: what COMMAND prints there, and its status. COMMAND is a line of shell, or a function of tests/farm/guest.
on() {
	local guest=$1 id=${EPOCHREALTIME/[.,]/} status until=$((SECONDS + 150 * slow))
	shift
	printf '%s %s\n' "$id" "$*" >&"${ask[$guest]}"
	until status=$(said "$guest" "^$id = [0-9]+\.$"); do
		healthy || return 98
		if [ "$SECONDS" -ge "$until" ]; then
			echo "$guest does not answer: $*"
			return 99
		fi
		sleep 0.1
	done
	said "$guest" "^$id: " | sed 's/^[0-9]*: //' || true
	status=${status##* }
	return "${status%.}"
}

# fact WHAT COMMAND...: one result; the last line that COMMAND prints has the figures, or says what is wrong.
fact() {
	local what=$1 words rc=0
	shift
	if [ -s "$out/broken" ]; then
		skipped=$((skipped + 1))
		return
	fi
	words=$("$@") || rc=$?
	if [ -s "$out/broken" ]; then words=$(paste -sd';' "$out/broken"); else words=$(tail -n 1 <<<"$words"); fi
	if [ "$rc" = 0 ]; then good "$run: $what${words:+ ($words)}"; else bad "$run: $what: ${words:-$* ended with $rc}"; fi
}
skipped=0

# every COMMAND... -- GUEST...: the same on each of these guests.
every() {
	local command=() guest words
	while [ "$1" != -- ]; do command+=("$1"); shift; done
	shift
	for guest in "$@"; do
		words=$(on "$guest" "${command[*]}") || { echo "$guest: $words"; return 1; }
	done
}

# ready GUEST...: they have come so far.
ready() {
	local guest until=$((SECONDS + 90 * slow))
	for guest in "$@"; do
		until said "$guest" '^(not )?ready' >/dev/null; do
			healthy || return
			[ "$SECONDS" -lt "$until" ] || { echo "$guest is not ready"; return 1; }
			sleep 0.2
		done
		said "$guest" '^ready ' >/dev/null || { echo "$guest: $(said "$guest" . | tail -n 2 | head -n 1)"; return 1; }
		said "$guest" '^ready ' | sed "s/^/$guest /" >>"$out/ready"
	done
}

# power_off: all guests that run.
power_off() {
	local guest dir until
	say "powering off"
	for guest in "${!ask[@]}"; do
		[ "${fate[${folder[$guest]}]}" != runs ] || printf '0 end\n' >&"${ask[$guest]}"
	done
	until=$((SECONDS + 60 * slow))
	for dir in "${order[@]}"; do
		[ "${fate[$dir]}" = runs ] || continue
		while kill -0 "${process[$dir]}" 2>/dev/null && [ "$SECONDS" -lt "$until" ]; do sleep 0.2; done
		if kill "${process[$dir]}" 2>/dev/null; then fate[$dir]=hung; else fate[$dir]=ended; fi
		reap "$dir"
	done
}

# judge FOLDER: one guest, from its power-on until it ended or was killed.
judge() {
	local dir=$out/$1 guest=${1%%.*} rc=${code[$1]} reason='' report ends want=1 cases
	ends=$(grep -ac '^end ' "$dir/outcome" || true)
	if [ "${fate[$1]}" = killed ]; then
		# 128 and SIGKILL; it cannot have come to its end.
		want=0
		[ "$rc" = 137 ] || reason="QEMU ended with $rc before it was killed"
	else
		[ "${fate[$1]}" = ended ] || reason="the guest did not power off"
		[ "$rc" = 0 ] || reason=${reason:-"QEMU ended with $rc"}
		unpack "$dir" || reason=${reason:-"the guest left no results"}
	fi
	[ ! -s "$dir/qemu" ] || reason=${reason:-"QEMU said: $(tail -n 1 "$dir/qemu")"}
	rm -f "$dir/disk" "$dir/ask"
	[ "$ends" = "$want" ] || reason=${reason:-"$ends end lines"}
	if is_end "$guest"; then
		! grep -qa '^loaded tcp_splice' "$dir/outcome" || reason=${reason:-"an end has the module"}
	elif ! grep -qa '^loaded tcp_splice' "$dir/outcome"; then
		reason=${reason:-"the module was not loaded"}
	else
		cases=$(kunit "$dir" | tail -n 1)
		if [[ $cases == "cases "*" 0" && $cases != "cases 0 "* ]]; then
			good "kunit: $1 (${cases:6:-2} cases)"
		else
			bad "kunit: $1: $(grep -m 1 '^not ok' "$dir/kunit")"
		fi
	fi
	grep -qa '^ready ' "$dir/outcome" || reason=${reason:-"the guest did not become ready"}
	[ -s "$dir/guest/dmesg" ] || reason=${reason:-"no kernel log"}
	report=$(kernel_report "$dir")
	[ -z "$report" ] || reason="kernel report: $(head -n 1 <<<"$report")${reason:+; $reason}"
	if [ -z "$reason" ]; then
		good "guest $1: clean from power-on until it was ${fate[$1]/ended/off}"
	else
		bad "guest $1: $reason"
		echo "--- the end of its console ($dir/console):"
		tr -d '\r' <"$dir/console" | tail -n 30
	fi
}

# verdict: of all of them, and the last lines of the run.
verdict() {
	local dir
	say "results"
	for dir in "${order[@]}"; do judge "$dir"; done
	[ ! -s "$out/broken" ] || bad "$run: stopped, $skipped steps left out: $(paste -sd';' "$out/broken")"
	kill -0 "$hub" 2>/dev/null || bad "hub: it ended: $(tail -n 1 "$out/hub")"
	rm -rf "$out/wires" "$out/payload.erofs"
	[ "$failed" = 0 ] || echo "what the guests said, and left: $out"
	printf '%d kernels, %d s\n' "${#order[@]}" $((SECONDS - began))
	echo "$passed passed, $failed failed"
	[ "$failed" = 0 ]
}
