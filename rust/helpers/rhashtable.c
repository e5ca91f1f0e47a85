// SPDX-License-Identifier: GPL-2.0

#include <linux/rhashtable.h>

/* Constant, so that the inlines below fold it. */
static const struct rhashtable_params tcp_splice_table_params = {
	.head_offset = 0,
	.key_offset = sizeof(struct rhash_head),
	.key_len = TCP_SPLICE_KEY_LEN,
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
