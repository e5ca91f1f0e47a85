# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# Where the big, slow results live, and how to run a command in the build root. Sourced, not run.

set -euo pipefail

# Top of the work tree.
TOP=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
# Everything that takes minutes to make is kept here, outside the work tree, keyed by its inputs.
CACHE=${TCP_SPLICE_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/tcp_splice}
BUILDENV=$TOP/tools/buildenv
# Cargo's folder in the cache. One serves every clone, one after the other; who builds in several at
# once gives each its own.
# shellcheck disable=SC2034 # of who sources this
TARGET=${TCP_SPLICE_TARGET:-target}

say() { printf '\033[1m==> %s\033[0m\n' "$*" >&2; }
die() { printf 'error: %s\n' "$*" >&2; exit 1; }

# key FILE|STRING...: a short hash over the contents of files and over strings.
key() {
	local a
	for a in "$@"; do
		if [ -f "$a" ]; then cat "$a"; else printf '%s\n' "$a"; fi
	done | sha256sum | cut -c1-16
}

# publish TMP FINAL: moves a finished result to its keyed place; an interrupted build leaves nothing there.
publish() {
	rm -rf "$2"
	mv "$1" "$2"
}

# once NAME COMMAND...: one build of NAME at a time, on this machine.
once() {
	local lock_name=$1
	shift
	mkdir -p "$CACHE/lock"
	(
		flock 9
		"$@"
	) 9>"$CACHE/lock/$lock_name"
}

# The Debian mirror that the host's own apt uses.
debian_mirror() {
	local uri
	uri=$(apt-get indextargets --format '$(ORIGIN)|$(REPO_URI)' 2>/dev/null |
		awk -F'|' '$1 == "Debian" && $2 !~ /security/ { print $2; exit }')
	if [ -z "$uri" ]; then
		apt-get update -qq >&2 || true
		uri=$(apt-get indextargets --format '$(ORIGIN)|$(REPO_URI)' 2>/dev/null |
			awk -F'|' '$1 == "Debian" && $2 !~ /security/ { print $2; exit }')
	fi
	[ -n "$uri" ] || die "no Debian mirror found in this host's apt sources; add one and run apt-get update"
	printf '%s\n' "${uri%/}"
}

# host_packages COMMAND=PACKAGE...: installs on the host what is missing there.
host_packages() {
	local pair missing=()
	for pair in "$@"; do
		command -v "${pair%%=*}" >/dev/null || missing+=("${pair#*=}")
	done
	[ ${#missing[@]} -eq 0 ] && return 0
	[ "$(id -u)" = 0 ] || die "missing ${missing[*]}; run as root, or: apt-get install ${missing[*]}"
	say "installing on this host: ${missing[*]}"
	apt-get update -qq >&2
	DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "${missing[@]}" >&2
}

# Path of the build root for the present package list.
buildroot_path() { printf '%s\n' "$CACHE/buildroot-$(key "$BUILDENV/buildroot.packages" "$BUILDENV/buildroot")"; }
