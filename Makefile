# SPDX-License-Identifier: GPL-2.0
# What a user types. The kernel's build system reads Kbuild and never this file.
#
# With KDIR=... the module is built on this machine for that kernel; without it, everything happens in a
# build root that the scripts make, against the guest's kernel. See README.md.

# The results of KDIR-less builds and of the tools are put here.
BUILD ?= build
DESTDIR ?=
PREFIX ?= /usr/local
# The flags of `make KDIR=...`; a kernel built by clang needs its own compiler again.
KFLAGS ?= $(shell tools/buildenv/check-kdir --flags "$(KDIR)" 2>/dev/null)

ifneq ($(KDIR),)
KBUILD = $(MAKE) -C $(KDIR) M=$(CURDIR) $(KFLAGS)
endif

.DEFAULT_GOAL := modules
.PHONY: modules modules_install tools install demo sim matrix ends failover demo-cluster demo-handoff farm cost bench test test-host test-kunit test-guest test-debug \
	fuzz check kernel clean distclean help root

modules: ## build tcp_splice.ko; KDIR=/lib/modules/$(uname -r)/build for this machine's kernel
ifneq ($(KDIR),)
	@tools/buildenv/check-kdir "$(KDIR)"
	+$(KBUILD) modules
else
modules: root
	@ko=$$(tools/buildenv/module release) && . tools/buildenv/env.sh && \
		cp "$$CACHE/$${ko#/cache/}" tcp_splice.ko && echo "tcp_splice.ko, for the guest's kernel"
endif

modules_install: ## install the module built with KDIR=... into /lib/modules
	@[ -n "$(KDIR)" ] || { echo "error: say for which kernel: make modules_install KDIR=/lib/modules/\$$(uname -r)/build" >&2; exit 1; }
	@tools/buildenv/check-kdir "$(KDIR)"
	+$(KBUILD) modules_install

tools: root ## build splicectl, spliced, splicesim and the libraries for proxies into build/
	@. tools/buildenv/env.sh && dir=$$(tools/buildenv/tools) && mkdir -p "$(BUILD)" && \
		cp "$$dir/splicectl" "$$dir/spliced" "$$dir/splicesim" "$$dir/libtcp_splice_c.a" "$$dir/libtcp_splice_c.so" "$(BUILD)/" && \
		echo "$(BUILD)/splicectl $(BUILD)/spliced $(BUILD)/splicesim"

install: tools ## install the tools, their man pages and completions below PREFIX (/usr/local)
	@tools/buildenv/install-tools "$(BUILD)" "$(DESTDIR)$(PREFIX)"

demo: root ## show a splice at work: client, proxy and two nginx in a QEMU guest
	@tests/qemu/demo

sim: root ## the source's curves of throughput against load, simulated: SVG and CSV into results/sim
	@tools/buildenv/enter cargo run --quiet --release --locked --manifest-path tools/Cargo.toml -p splicesim -- \
		curves --out results/sim $(SIM) && echo "results/sim"

test: root ## every test: checks, host tests, and a guest with KUnit and all scenarios
	@tests/run check host guest

test-host: root ## unit and property tests on this machine
	@tests/run host

fuzz: root ## arbitrary bytes through the translation; TIME=60 seconds
	@tests/fuzz/run $(or $(TIME),60)

test-kunit: root ## KUnit suites of the module in a guest
	@tests/qemu/run release boot

test-guest: root ## scenarios in a guest; SCENARIO="name..." for some of them
	@tests/qemu/run release $(SCENARIO)

test-debug: root ## the same on a kernel with KASAN, lockdep and kmemleak (slow)
	@tests/qemu/run debug $(SCENARIO)

ifeq ($(origin SEED),undefined)
# A number that nobody has chosen.
SEED := $(shell od -An -N4 -tu4 /dev/urandom | tr -d ' ')
endif
matrix: export SEED := $(SEED)
matrix: export SAMPLES ?= 1000
matrix: export HANDOFFS ?= $(SAMPLES)
matrix: export LIMIT ?= 100000
matrix: root ## random splices and handoffs between real TCP ends; SAMPLES=1000 HANDOFFS=1000 SEED=..., or SAMPLE=n or HANDOFF=n of a SEED, with captures
	@echo "SEED=$(SEED)"; tests/qemu/run release $(if $(HANDOFF),,matrix) $(if $(SAMPLE),,handoffs); rc=$$?; \
		cat results/latest/guest/{matrix,handoffs}/show 2>/dev/null; exit $$rc

ends: export N ?= 10000
ends: export LIMIT ?= 100000
ends: root ## N=10000 splices, ended in every way; nothing may be left
	@tests/qemu/run release ends; rc=$$?; cat results/latest/guest/ends/show 2>/dev/null; exit $$rc

failover: export N ?= 200
failover: export BREAKS ?= 10
failover: export LIMIT ?= 100000
failover: root ## N=200 transfers by way of three proxies, while BREAKS=10 things break; SEED=... to repeat a run
	@SLOW=6 tests/qemu/run release failover; rc=$$?; cat results/latest/guest/failover/show 2>/dev/null; exit $$rc

demo-cluster: root ## show a farm: a balancer and three proxies that die and come back during transfers
	@tests/qemu/demo demo_cluster

demo-handoff: root ## show the mechanisms of the survey, with a kernel for each host: client, proxy, two nginx; N=4 SIZE=4M RATE=4M
	@tests/qemu/demo-handoff

farm: root ## a guest for each host of the farm: two proxies are killed in turn; N=6 DEATHS=2 RATE=100k PROXIES=2
	@tests/qemu/farm

cost: export N ?= 100
cost: root ## executed instructions of a handoff, as a ratio to a handshake; N=100 connections of each family
	@COUNT=1 SMP=1 tests/qemu/run release cost && \
		tools/buildenv/enter tests/bench/report "/src/results/$$(readlink results/latest)"

bench: export N ?= 5
bench: export MB ?= 4
bench: root ## executed instructions of a middle host by packet and by megabyte: a splice and its peers; N=5 downloads each
	@COUNT=1 SMP=1 tests/qemu/run release middle && \
		tools/buildenv/enter tests/bench/middle "/src/results/$$(readlink results/latest)" $(MB)

check: root ## layer rules, formatting, lints, generated files, shell scripts
	@tests/run check

kernel: root ## build the guest's kernel, if it is not in the cache
	@tools/buildenv/kernel release

clean: ## remove what was built in the tree; the cache stays
	@rm -rf "$(BUILD)" results Module.symvers modules.order .tmp_versions .module-common.o .Module.symvers.cmd \
		.modules.order.cmd tcp_splice.*o tcp_splice.mod* .tcp_splice.*
	@if [ -d rust ]; then find rust \( -name '*.o' -o -name '.*.cmd' -o -name '*.d' -o -name '*.bc' -o -name '*.rmeta' \
		-o -name 'bindings_generated.rs' \) -delete; fi

distclean: clean ## also remove the cache: build root, kernels, guest root
	@. tools/buildenv/env.sh && rm -rf --one-file-system "$$CACHE" && echo "removed $$CACHE"

help: ## show this list
	@echo "Targets of tcp_splice:"
	@sed -n 's/^\([a-z_-]*\):.*## /\1\t/p' Makefile | while IFS='	' read -r t d; do printf '  %-16s %s\n' "$$t" "$$d"; done
	@echo "The cache is $$(. tools/buildenv/env.sh && echo "$$CACHE"); TCP_SPLICE_CACHE moves it."

root:
	@[ "$$(id -u)" = 0 ] || { echo "error: the build root is made with mmdebstrap and entered with chroot: run as root (sudo make ...)" >&2; exit 1; }

SHELL := /bin/bash
