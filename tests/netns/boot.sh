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
openssl speed -seconds 1 -bytes 16384 sha256 2>&1 | tail -1
openssl speed -seconds 1 -bytes 16384 -evp aes-128-gcm 2>&1 | tail -1
openssl speed -seconds 1 -bytes 16384 -evp aes-128-ctr 2>&1 | tail -1
openssl speed -seconds 1 -bytes 16384 -evp chacha20-poly1305 2>&1 | tail -1
head -c 64M /dev/zero >/tmp/z
time sha256sum /tmp/z
time openssl dgst -sha256 /tmp/z
time cp /tmp/z /tmp/y
time cmp /tmp/z /tmp/y
time md5sum /tmp/z
time cksum -a crc /tmp/z
time cksum -a blake2b /tmp/z
ip netns del boot
