#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Needs: module
# Splices end in every way there is, N of them in all: FIN in each order, RST of each side, del, idle, the returns,
# refusals; proxies are killed, and their namespaces deleted. Then no entry, socket, port, file or reference is left:
# counters, sockets, and the module's own count say so, and the module goes and comes.
#
#   lane N:   cN c0 ───── p0 pN p1 ───── e0 sN
# Alone: nothing runs beside it
# Limit: 300 s
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/lanes.sh"

: "${N:=300}" "${SEED:=1}" "${LANES:=4}"
refs() { cat /sys/module/tcp_splice/refcnt; }
# Sockets of the whole guest, whether anybody can see them or not; TIME-WAIT is not among them.
allocated() { awk '$1 == "TCP:" { for (i = 2; i < NF; i++) if ($i == "alloc") print $(i + 1) }' /proc/net/sockstat; }
orphans() { awk '$1 == "TCP:" { for (i = 2; i < NF; i++) if ($i == "orphan") print $(i + 1) }' /proc/net/sockstat; }
files() { cut -f1 /proc/sys/fs/file-nr; }
base_refs=$(refs) base_sockets=$(allocated) base_orphans=$(orphans) base_files=$(files)

held=$((N / 20 > 500 ? 500 : N / 20))
for ((n = 0; n < LANES; n++)); do lane $n; done
step "$held splices whose proxy is killed"
in_ns c0 matrix --killed "$held" --slow "$SLOW"
step "$((N - 2 * held)) splices, each kind of end in turn"
rc=0
samples --ends 0 $((N - 2 * held)) || rc=$?
report_samples $rc
step "$held splices whose proxy is killed and its namespace deleted"
in_ns c0 matrix --deleted "$held" --slow "$SLOW"
ip netns delete c0
ip netns delete s0

step "what is left"
for ((n = 1; n < LANES; n++)); do
	same "live splices of p$n" "$(stat_of splices p$n)" 0
	same "sockets of p$n but TIME-WAIT" "$(in_ns p$n ss -Htan | grep -vc '^TIME-WAIT' || true)" 0
done
for ((n = 1; n < LANES; n++)); do wait_for 70 no_tombstones p$n; done
for ((n = 1; n < LANES; n++)); do
	same "splices in the list of p$n" "$(in_ns p$n splicectl list -j | jq length)" 0
	same "ended and created of p$n" "$(stat_of ended p$n)" "$(stat_of created p$n)"
done
no_refs() { [ "$(refs)" = "$base_refs" ]; }
no_sockets() { [ "$(allocated)" -le "$base_sockets" ] && [ "$(orphans)" -le "$base_orphans" ]; }
wait_for 30 no_refs
wait_for 30 no_sockets
echo "references $base_refs, now $(refs); sockets $base_sockets, now $(allocated); orphans $base_orphans, now $(orphans); files $base_files, now $(files)"
# Shells come and go; a splice held two.
expect "open files" "$(files)" -le $((base_files + 64))
for ((n = 1; n < LANES; n++)); do for s in c p s; do ip netns delete "$s$n"; done; done
SPACES=()
mute=/sys/module/kunit/parameters/filter_glob
[ -w $mute ] && echo none >$mute
gone() { rmmod tcp_splice; }
wait_for 30 gone
insmod /payload/tcp_splice.ko
