#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Needs: module
# Run: by name only, by `make demo`
# What a splice does, for a person to read: requests by host, by path and by TLS server name, small and large, over
# both families, down and up; every body checked; then the same large transfer copied by user space.
#
#   client ── 10.0.1.1, fd00:1::1 ── proxy ── b1, b2 (unmodified nginx)
# Alone: nothing runs beside it
# Limit: 240 s
. "$(dirname "$0")/lib.sh"

MB=${DEMO_MB:-256}
hosts=(client proxy b1 b2)
topology
make_file small 1000 &
make_file "upload" 32M &
make_file "tls" 16M &
make_file "big" "${MB}M"
wait
serve b1 b2
# The kernel's own witness: what reaches the proxy's sockets, headers and acknowledgements included.
proxy nft -f - <<'NFT'
table inet witness {
	counter sockets { }
	chain input { type filter hook input priority 0; meta l4proto tcp counter name sockets; }
}
NFT
witness() { proxy nft -j list counter inet witness sockets | jq '.nftables[] | select(.counter) | .counter.bytes'; }
busy() { awk '/^cpu / { print $2 + $3 + $4 + $7 + $8 }' /proc/stat; }
of_proxy() { awk '{ sub(/.*\) /, ""); print $12 + $13 }' "/proc/$PROXY_PID/stat"; }
retransmitted() {
	local h n=0
	for h in "${hosts[@]}"; do n=$((n + $(snmp "$h" TcpRetransSegs))); done
	echo $n
}
HZ=$(getconf CLK_TCK)

rows=$T/rows
# row WHAT FAMILY URL BACKEND BYTES: does one request and writes its line.
row() {
	local what=$1 fam=$2 url=$3 want=$4 bytes=$5 began cpu own re pk wit log
	wait_for 20 quiet
	: >"$T/access"
	pk=$(stat_of translated) re=$(retransmitted) wit=$(witness) cpu=$(busy) own=$(of_proxy)
	began=$(now_ms)
	if [ "$what" = PUT ]; then put "$fam" "$url" "$want" upload; else get "$fam" "$url" "$want"; fi
	took=$(($(now_ms) - began))
	cpu=$(($(busy) - cpu)) own=$(($(of_proxy) - own))
	wait_for 20 test -s "$T/access"
	log=$(tail -n 1 "$T/access")
	re=$(($(retransmitted) - re)) pk=$(($(stat_of translated) - pk)) wit=$(($(witness) - wit))
	jq -r --arg w "$what" --arg f "$fam" --arg u "$url" --arg b "$want" --argjson n "$bytes" --argjson pk "$pk" --argjson re "$re" \
		--argjson wit "$wit" --argjson ms "$took" --argjson cpu $((cpu * 1000 / HZ)) --argjson own $((own * 1000 / HZ)) '
		[$w, "IPv" + $f, ($u | sub("^http"; "http")), $b, .mode, $n, .user_bytes_after_arming, $wit, $pk, $re, $ms, $cpu, $own] | @tsv' <<<"$log" >>"$rows"
	tail -n 1 "$rows"
}
quiet() { [ "$(stat_of splices)" = 0 ] && no_legs; }
now_ms() { local t; read -r t _ </proc/uptime; echo $((10#${t/./} * 10)); }
size() { stat -L -c %s "$FILES/$1"; }

proxy_start splice
monitor
row GET 4 http://a.test/small b1 1000
row GET 6 http://b.test/small b2 1000
row GET 4 http://c.test/two/upload b2 "$(size upload)"
row GET 6 http://c.test/one/upload b1 "$(size upload)"
row GET 4 https://a.test/tls b1 "$(size tls)"
row GET 6 https://b.test/tls b2 "$(size tls)"
row PUT 4 http://a.test b1 "$(size upload)"
row GET 4 http://a.test/big b1 "$(size big)"
moved=$(jq -s '[.[] | select(.event == "end")] | length' "$T/events.json")
stop "$PROXY_PID"
proxy_start gateway
row GET 4 http://a.test/big b1 "$(size big)"

# The table.
awk -F'\t' -v moved="$moved" '
function human(n) { return n >= 1048576 ? sprintf("%.1f MB", n / 1048576) : n >= 10240 ? sprintf("%.1f kB", n / 1024) : n " B" }
BEGIN {
	line = "%-4s %-4s %-27s %-7s %-8s %10s  %10s  %11s  %8s  %6s  %6s  %7s  %6s\n"
	printf line, "", "", "", "", "", "", "user space", "reached the", "packets", "re-", "", "CPU", "of it"
	printf line, "", "", "request", "backend", "by", "body", "after arm.", "sockets of", "trans-", "trans-", "time", "all", "proxy"
	printf line, "", "", "", "", "", "", "", "the proxy", "lated", "mitted", "s", "s", "s"
}
{
	printf line, $1, $2, $3, $4, $5, human($6), human($7), human($8), $9, $10, sprintf("%.2f", $11 / 1000), sprintf("%.2f", $12 / 1000), sprintf("%.2f", $13 / 1000)
	if ($5 == "spliced") { spliced = $12; sp = $13; user += $7 }
	else { gateway = $12; gp = $13 }
}
END {
	printf "\nEvery body has the right SHA-256. %d splices ended in good order; %d of their bytes passed through user space.\n", moved, user
	printf "The last two rows are the same transfer: the machine, ends included, worked %.2f s with the splice and %.2f s with the gateway;\n", spliced / 1000, gateway / 1000
	printf "the proxy program itself %.2f s and %.2f s. (An emulated machine: compare within this table only.)\n", sp / 1000, gp / 1000
}' "$rows" >"$OUT/show"

bad=$(awk -F'\t' '$5 == "spliced" && $7 != 0' "$rows")
[ -z "$bad" ] || fail "bytes of a splice passed through user space: $bad"
same "spliced rows" "$(awk -F'\t' '$5 == "spliced"' "$rows" | wc -l)" 8
same "gateway rows" "$(awk -F'\t' '$5 == "gateway"' "$rows" | wc -l)" 1
# The program's own count agrees with the kernel's: a fraction of the body reaches a socket of the proxy.
awk -F'\t' '$5 == "spliced" && $6 > 1000000 && $8 > $6 / 20 { bad = 1 } $5 == "gateway" && $8 < $6 { bad = 1 } END { exit bad }' "$rows" ||
	fail "the counter at the input hook tells otherwise: $(cut -f 3,5,6,8 "$rows" | paste -sd';')"
