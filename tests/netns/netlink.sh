#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Needs: module
# The interface itself, driven by the kernel's own YNL client from the specification: strict validation, a message
# with every refusal, privileges, dumps that stay consistent.
#
#   ynl (tools/net/ynl) ── generic netlink ── tcp_splice
# Limit: 240 s
. "$(dirname "$0")/lib.sh"

topology
ynl() { proxy python3 /payload/ynl/pyynl/cli.py --spec /payload/ynl/Documentation/netlink/specs/tcp_splice.yaml "$@"; }

step "the command line of the kernel's tree"
ynl --list-ops
ynl --do stats-get --output-json | tee "$T/ynl.json"
same "splices in a new namespace" "$(jq .splices "$T/ynl.json")" 0
same "an empty dump" "$(ynl --dump splice-get --output-json | jq length)" 0
same "splicectl and ynl agree" "$(proxy splicectl stats -j | jq -S 'with_entries(.key |= gsub("_"; "-"))')" \
	"$(ynl --do stats-get --output-json | jq -S .)"

step "refusals, privileges, dumps"
PYTHONPATH=/payload/ynl proxy python3 /payload/tests/netns/netlink.py /payload/ynl/Documentation/netlink/specs/tcp_splice.yaml

step "without privilege"
if proxy setpriv --reuid 65534 --regid 65534 --clear-groups --inh-caps -all splicectl list 2>"$T/unpriv"; then
	fail "an unprivileged user may list splices"
fi
cat "$T/unpriv"
# Root of a user namespace owns the network namespaces made in it, and no other.
unshare --user --map-root-user --net splicectl list || fail "root of a user namespace may not use its own table"
if proxy unshare --user --map-root-user splicectl list 2>/dev/null; then
	fail "root of a user namespace may use a table that is not its own"
fi
