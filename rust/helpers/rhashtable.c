// SPDX-License-Identifier: GPL-2.0

#include <linux/jhash.h>
#include <linux/rhashtable.h>
#include <linux/unaligned.h>

/* A FlowKey of rust/xlate/key.rs: the addresses, of IPv4 in the first word of each; ports; 4 or 6. */
struct tcp_splice_key {
	u32 saddr[4], daddr[4], ports, family;
};
static_assert(sizeof(struct tcp_splice_key) == TCP_SPLICE_KEY_LEN);

/* The words that may differ. */
static inline u32 tcp_splice_key_hash(const void *data, u32 len, u32 seed)
{
	const struct tcp_splice_key *key = data;

	if (likely(key->family == 4))
		return jhash_3words(key->saddr[0], key->daddr[0], key->ports, seed);
	return jhash2(data, 9, seed);
}

static inline int tcp_splice_key_cmp(struct rhashtable_compare_arg *arg, const void *obj)
{
	const u8 *a = arg->key, *b = obj + sizeof(struct rhash_head);
	u64 differ = 0;
	int i;

	for (i = 0; i < TCP_SPLICE_KEY_LEN; i += sizeof(u64))
		differ |= get_unaligned((const u64 *)(a + i)) ^ get_unaligned((const u64 *)(b + i));
	return differ != 0;
}

/* Constant, so that the inlines below fold it. */
static const struct rhashtable_params tcp_splice_table_params = {
	.head_offset = 0,
	.key_offset = sizeof(struct rhash_head),
	.key_len = TCP_SPLICE_KEY_LEN,
	.hashfn = tcp_splice_key_hash,
	.obj_cmpfn = tcp_splice_key_cmp,
	.automatic_shrinking = true,
};

int tcp_splice_table_init(struct rhashtable *ht)
{
	return rhashtable_init(ht, &tcp_splice_table_params);
}

void tcp_splice_table_destroy(struct rhashtable *ht)
{
	rhashtable_destroy(ht);
}

struct rhash_head *tcp_splice_table_lookup(struct rhashtable *ht, const void *key)
{
	return rhashtable_lookup(ht, key, tcp_splice_table_params);
}

int tcp_splice_table_insert(struct rhashtable *ht, struct rhash_head *head)
{
	return rhashtable_lookup_insert_fast(ht, head, tcp_splice_table_params);
}

int tcp_splice_table_remove(struct rhashtable *ht, struct rhash_head *head)
{
	return rhashtable_remove_fast(ht, head, tcp_splice_table_params);
}
