# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# What every run of guests has in common: what is built for it, what a guest brings along, how QEMU is started, and
# what a healthy guest does not say. Sourced after tools/buildenv/env.sh.

enter=$BUILDENV/enter

# Anything that must not be on a healthy kernel's console.
BAD='BUG[: ]|WARNING:|Oops|Kernel panic|general protection|[Ss]oft lockup|hard LOCKUP|blocked for more than|rcu: INFO|detected stalls|KASAN|UBSAN|recursive locking|circular locking|inconsistent lock state|suspicious RCU|held lock freed|sleeping function called|unreferenced object|unable to handle|refcount_t:|unregister_netdevice: waiting|ODEBUG|list_(add|del) corruption|Out of memory'

# build FLAVOUR: kernel, root, tools and module; sets kdir, guestroot and module, as the build root sees them.
build() {
	kdir=$("$BUILDENV/kernel" "$1")
	guestroot=$("$BUILDENV/guestroot")
	"$BUILDENV/tools" >&2
	module=$("$BUILDENV/module" "$1")
}

# results NAME: the folder of this run, out; inside is the same as the build root sees it. Several runs may go on at once.
results() {
	mkdir -p "$TOP/results"
	out=$(mktemp -d "$TOP/results/$(date +%Y%m%d-%H%M%S)-$1.XXX")
	ln -sfn "$(basename "$out")" "$TOP/results/latest"
	# Old results go, the newest dozen stays.
	find "$TOP/results" -mindepth 1 -maxdepth 1 -type d -name '2*' | sort -r | tail -n +13 | xargs -r rm -rf
	inside=/src/${out#"$TOP"/}
}

# pack PROGRAM...: what any guest brings, with these programs, in the folder p; more can be put there before seal.
pack() {
	local b
	p=$out/payload
	mkdir -p "$p"/{bin,tests}
	cp "$TOP/tests/qemu/init" "$p/init"
	chmod 755 "$p/init"
	for b in "$@"; do cp "$CACHE/$TARGET/release/$b" "$p/bin/"; done
	cp "$CACHE/${module#/cache/}" "$p/tcp_splice.ko"
}
seal() { "$enter" mkfs.erofs --quiet -T 0 --all-root "$inside/payload.erofs" "$inside/payload" >&2; }

# tsc_khz: rate of the time stamp counter that guests read.
tsc_khz() {
	local program
	program=tsc-khz-$(key "$TOP/tests/qemu/tsc-khz.c")
	[ -x "$CACHE/$program" ] || "$enter" clang -O2 -o "/cache/$program" /src/tests/qemu/tsc-khz.c
	"$CACHE/$program"
}

# machine CPUS MEMORY KHZ DISK APPEND: the array MACHINE, a PC that boots the kernel with root, payload and DISK, which its
# results go to; KHZ is the rate of its clock.
machine() {
	# Without 5-level page tables: an interrupt within identify_cpu(), which takes the CPU's features back for a moment, is a
	# wild access to KASAN if they are among these.
	# shellcheck disable=SC2034,SC2054 # of who sources this; its options have commas
	MACHINE=(qemu-system-x86_64 -machine q35 -accel tcg,thread=multi -cpu "max,la57=off"
		-smp "$1,sockets=$1" -m "$2" -nodefaults -display none -monitor none -no-reboot
		-kernel "$kdir/arch/x86/boot/bzImage"
		-append "root=/dev/vda rootfstype=erofs ro init=/init console=ttyS0,115200 loglevel=5 log_buf_len=8M panic=-1 tsc_early_khz=$3 tsc=reliable no_timer_check rcupdate.rcu_cpu_stall_timeout=90 rcupdate.rcu_expedited=1 random.trust_cpu=1 $5"
		-drive "if=none,id=root,file=$guestroot,format=raw,readonly=on" -device virtio-blk-pci,drive=root
		-drive "if=none,id=payload,file=$inside/payload.erofs,format=raw,readonly=on" -device virtio-blk-pci,drive=payload
		-drive "if=none,id=disk,file=$4,format=raw,cache=unsafe" -device virtio-blk-pci,drive=disk)
}

# counted: changes MACHINE so that its processor counts what it executes, and its clock follows; see tests/bench/count.c. Nothing of
# a run then depends on how fast this machine is. String instructions count once for each unit that they move, so that the kernel is
# not told that they are fast.
counted() {
	local plugin
	plugin=count-$(key "$TOP/tests/bench/count.c").so
	[ -e "$CACHE/$plugin" ] || "$enter" clang -O2 -Wall -Wextra -Werror -fPIC -shared -fvisibility=hidden -o "/cache/$plugin" \
		/src/tests/bench/count.c
	MACHINE=("${MACHINE[@]/#tcg,thread=multi/tcg,thread=single}")
	MACHINE=("${MACHINE[@]/%la57=off/la57=off,-erms,-fsrm,-fzrm,-fsrs,-fsrc}")
	MACHINE+=(-icount "shift=0,sleep=off" -plugin "/cache/$plugin,counts=$inside/counts,profile=$inside/profile")
}

# unpack FOLDER: what a guest wrote to its disk there.
unpack() {
	mkdir -p "$1/guest"
	tar -C "$1/guest" -xf "$1/disk" 2>/dev/null
}

# The verdict.
passed=0 failed=0
good() { printf 'ok %s\n' "$*"; passed=$((passed + 1)); }
bad() { printf 'not ok %s\n' "$*"; failed=$((failed + 1)); }
# kunit FOLDER: what KUnit said in the guest of that folder; the lines of tests/qemu/ktap.awk, kept in FOLDER/kunit.
kunit() {
	if [ -s "$1/guest/dmesg.load" ]; then
		awk -f "$TOP/tests/qemu/ktap.awk" "$1/guest/dmesg.load" >"$1/kunit"
	else
		awk -f "$TOP/tests/qemu/ktap.awk" <(tr -d '\r' <"$1/console") >"$1/kunit"
	fi
	cat "$1/kunit"
}
# kernel_report FOLDER: the first lines of the guest of that folder that a healthy one does not say.
kernel_report() {
	cat "$1/console" "$1/outcome" "$1/guest/dmesg" 2>/dev/null | tr -d '\r' | grep -aE "$BAD" | head -3 || true
}
