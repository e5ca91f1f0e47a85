// SPDX-License-Identifier: GPL-2.0
/* A plugin of QEMU's TCG: counts the instructions that the guest executes, and writes a line each time the guest passes a
 * marker. A marker is a no-op, nopl 0x7c5b00NN(%rax,%rax,1); it costs one instruction, and none without the plugin. A halted
 * processor executes nothing, so that waiting costs nothing but its beginning and its end.
 *
 * counts=FILE   "MARKER INSTRUCTIONS" of each marker passed: instructions since the one before.
 * profile=FILE  "MARKER ADDRESS INSTRUCTIONS" at the end: where those before each marker were executed, by the first address
 *               of translation blocks; user space is address 0, and what found no place here is address 2.
 *
 * One virtual CPU. Declares what it uses of QEMU's plugin interface, version 4 (qemu-plugin.h, QEMU 9.1 and later), whose
 * header Debian does not package. */
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EXPORT __attribute__((visibility("default")))

typedef uint64_t qemu_plugin_id_t;
struct qemu_plugin_tb;
struct qemu_plugin_insn;
struct qemu_plugin_scoreboard;
typedef struct {
	struct qemu_plugin_scoreboard *score;
	size_t offset;
} qemu_plugin_u64;
typedef struct {
	const char *target_name;
	struct { int min, cur; } version;
	bool system_emulation;
	struct { int smp_vcpus, max_vcpus; } system;
} qemu_info_t;
enum { QEMU_PLUGIN_CB_NO_REGS };
enum { QEMU_PLUGIN_INLINE_ADD_U64 };

struct qemu_plugin_scoreboard *qemu_plugin_scoreboard_new(size_t size);
uint64_t qemu_plugin_u64_get(qemu_plugin_u64 entry, unsigned int cpu);
void qemu_plugin_register_vcpu_tb_trans_cb(qemu_plugin_id_t id, void (*cb)(qemu_plugin_id_t, struct qemu_plugin_tb *));
void qemu_plugin_register_atexit_cb(qemu_plugin_id_t id, void (*cb)(qemu_plugin_id_t, void *), void *data);
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *tb);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *tb, size_t i);
size_t qemu_plugin_insn_data(const struct qemu_plugin_insn *insn, void *to, size_t len);
uint64_t qemu_plugin_insn_vaddr(const struct qemu_plugin_insn *insn);
void qemu_plugin_register_vcpu_insn_exec_cb(struct qemu_plugin_insn *insn, void (*cb)(unsigned int, void *), int flags, void *data);
void qemu_plugin_register_vcpu_insn_exec_inline_per_vcpu(struct qemu_plugin_insn *insn, int op, qemu_plugin_u64 entry, uint64_t n);
void qemu_plugin_register_vcpu_tb_exec_inline_per_vcpu(struct qemu_plugin_tb *tb, int op, qemu_plugin_u64 entry, uint64_t n);

EXPORT int qemu_plugin_version = 4;

#define SLOT_BITS 18
#define SLOTS (1 << SLOT_BITS)
#define MARKERS 64
static const uint8_t marker[] = { 0x0f, 0x1f, 0x84, 0x00 };
static const uint8_t magic[] = { 0x00, 0x5b, 0x7c };

/* Of the one CPU: the sum, then one counter for each place. */
static struct qemu_plugin_scoreboard *board;
static uint64_t last;
static uint64_t places[SLOTS], seen[SLOTS], *spent[MARKERS];
static FILE *counts, *profile;

static qemu_plugin_u64 counter(size_t n)
{
	return (qemu_plugin_u64){ board, n * sizeof(uint64_t) };
}

/* Slot 0 is the sum; the last one has what found no other. */
static size_t slot(uint64_t place)
{
	size_t at = (place * 0x9e3779b97f4a7c15u) >> (64 - SLOT_BITS), tries;

	for (tries = 0; tries < 64; tries++, at = (at + 1) % SLOTS) {
		if (at == 0 || at == SLOTS - 1)
			continue;
		if (places[at] == place)
			return at;
		if (!places[at]) {
			places[at] = place;
			return at;
		}
	}
	return SLOTS - 1;
}

static void passed(unsigned int cpu, void *data)
{
	size_t n = (size_t)data, i;
	uint64_t now = qemu_plugin_u64_get(counter(0), cpu);

	fprintf(counts, "%zu %" PRIu64 "\n", n, now - last);
	last = now;
	if (!profile)
		return;
	if (!spent[n] && !(spent[n] = calloc(SLOTS, sizeof(uint64_t))))
		abort();
	for (i = 1; i < SLOTS; i++) {
		if (!places[i] && i != SLOTS - 1)
			continue;
		now = qemu_plugin_u64_get(counter(i), cpu);
		spent[n][i] += now - seen[i];
		seen[i] = now;
	}
}

static void translated(qemu_plugin_id_t id, struct qemu_plugin_tb *tb)
{
	size_t n = qemu_plugin_tb_n_insns(tb), i;
	uint8_t code[8];

	(void)id;
	for (i = 0; i < n; i++) {
		struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(tb, i);

		qemu_plugin_register_vcpu_insn_exec_inline_per_vcpu(insn, QEMU_PLUGIN_INLINE_ADD_U64, counter(0), 1);
		if (qemu_plugin_insn_data(insn, code, sizeof(code)) == sizeof(code) && !memcmp(code, marker, sizeof(marker)) &&
		    !memcmp(code + 5, magic, sizeof(magic)) && code[4] < MARKERS)
			qemu_plugin_register_vcpu_insn_exec_cb(insn, passed, QEMU_PLUGIN_CB_NO_REGS, (void *)(size_t)code[4]);
	}
	if (profile) {
		uint64_t place = qemu_plugin_insn_vaddr(qemu_plugin_tb_get_insn(tb, 0));

		/* User space is one place, for which 1 stands: 0 is a free slot. */
		qemu_plugin_register_vcpu_tb_exec_inline_per_vcpu(tb, QEMU_PLUGIN_INLINE_ADD_U64,
								  counter(slot(place >> 63 ? place : 1)), n);
	}
}

static void ended(qemu_plugin_id_t id, void *data)
{
	size_t n, i;

	(void)id;
	(void)data;
	fclose(counts);
	if (!profile)
		return;
	for (n = 0; n < MARKERS; n++)
		for (i = 1; spent[n] && i < SLOTS; i++)
			if (spent[n][i])
				fprintf(profile, "%zu %" PRIx64 " %" PRIu64 "\n", n, i == SLOTS - 1 ? 2 : places[i] == 1 ? 0 : places[i], spent[n][i]);
	fclose(profile);
}

EXPORT int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t *info, int argc, char **argv)
{
	int i;

	if (!info->system_emulation || info->system.smp_vcpus != 1) {
		fprintf(stderr, "count: one virtual CPU, please\n");
		return -1;
	}
	for (i = 0; i < argc; i++) {
		if (!strncmp(argv[i], "counts=", 7))
			counts = fopen(argv[i] + 7, "w");
		else if (!strncmp(argv[i], "profile=", 8))
			profile = fopen(argv[i] + 8, "w");
	}
	if (!counts) {
		fprintf(stderr, "count: where to? counts=FILE\n");
		return -1;
	}
	board = qemu_plugin_scoreboard_new(SLOTS * sizeof(uint64_t));
	qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
	qemu_plugin_register_atexit_cb(id, ended, NULL);
	return 0;
}
