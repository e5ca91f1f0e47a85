#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# The guest itself: a new network namespace, both families, the tools that scenarios call.
# Alone: nothing runs beside it
# Limit: 30 s
set -euo pipefail
ip netns add boot
ip -n boot link set lo up
ip netns exec boot ping -q -c 1 127.0.0.1
ip netns exec boot ping -q -c 1 ::1
for c in curl nginx iperf3 nft conntrack tcpdump ethtool ss jq openssl python3; do
	command -v "$c" >/dev/null || { echo "FAIL no $c"; exit 1; }
done
nginx -V 2>&1 | tr ' ' '\n' | grep -E 'dav|v2|stream' || true
openssl version
ip netns del boot
