// SPDX-License-Identifier: GPL-2.0

#include <linux/bottom_half.h>
#include <linux/netfilter.h>

void tcp_splice_bh_disable(void)
{
	local_bh_disable();
}

void tcp_splice_bh_enable(void)
{
	local_bh_enable();
}

bool tcp_splice_checksum_ok(struct sk_buff *skb, u8 family, unsigned int header_len)
{
	return !nf_checksum(skb, NF_INET_PRE_ROUTING, header_len, IPPROTO_TCP,
			    family == 4 ? AF_INET : AF_INET6);
}
