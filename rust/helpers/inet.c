// SPDX-License-Identifier: GPL-2.0

#include <linux/icmp.h>
#include <linux/icmpv6.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <net/gso.h>
#include <net/icmp.h>
#include <net/ip.h>
#include <net/ip6_route.h>
#include <net/ipv6.h>
#include <net/route.h>

static bool tcp_splice_route4(struct net *net, struct sk_buff *skb, const u8 *saddr, const u8 *daddr)
{
	/* The source is an address of this host, or of the virtual service: any will do. */
	struct flowi4 fl4 = {
		.flowi4_proto = IPPROTO_TCP,
		.flowi4_mark = skb->mark,
		.flowi4_flags = FLOWI_FLAG_ANYSRC,
	};
	struct rtable *rt;

	memcpy(&fl4.saddr, saddr, sizeof(fl4.saddr));
	memcpy(&fl4.daddr, daddr, sizeof(fl4.daddr));
	rt = ip_route_output_key(net, &fl4);
	if (IS_ERR(rt))
		return false;
	skb_dst_drop(skb);
	skb_dst_set(skb, &rt->dst);
	return true;
}

static bool tcp_splice_route6(struct net *net, struct sk_buff *skb, const u8 *saddr, const u8 *daddr)
{
	struct flowi6 fl6 = {
		.flowi6_proto = IPPROTO_TCP,
		.flowi6_mark = skb->mark,
		.flowi6_flags = FLOWI_FLAG_ANYSRC,
	};
	struct dst_entry *dst;

	memcpy(&fl6.saddr, saddr, sizeof(fl6.saddr));
	memcpy(&fl6.daddr, daddr, sizeof(fl6.daddr));
	dst = ip6_route_output(net, NULL, &fl6);
	if (dst->error) {
		dst_release(dst);
		return false;
	}
	skb_dst_drop(skb);
	skb_dst_set(skb, dst);
	return true;
}

bool tcp_splice_route(struct net *net, struct sk_buff *skb, u8 family, const u8 *saddr,
		      const u8 *daddr)
{
	return family == 4 ? tcp_splice_route4(net, skb, saddr, daddr) :
			     tcp_splice_route6(net, skb, saddr, daddr);
}

bool tcp_splice_exceeds_mtu(const struct sk_buff *skb, u8 family, unsigned int *mtu)
{
	const struct dst_entry *dst = skb_dst(skb);

	*mtu = family == 4 ? ip_dst_mtu_maybe_forward(dst, true) : ip6_dst_mtu_maybe_forward(dst, true);
	if (skb->len <= *mtu)
		return false;
	/* As ip_forward() and ip6_forward(). Without DF the IPv4 output path fragments. */
	if (skb->ignore_df || (family == 4 && !(ip_hdr(skb)->frag_off & htons(IP_DF))))
		return false;
	return !skb_is_gso(skb) || !skb_gso_validate_network_len(skb, *mtu);
}

/* What a local socket has sent has no device before it is output, and ICMPv6 wants one. */
static void tcp_splice_own_device(struct sk_buff *skb)
{
	if (!skb->dev)
		skb->dev = skb_dst(skb)->dev;
}

void tcp_splice_send_too_big(struct sk_buff *skb, u8 family, unsigned int mtu)
{
	tcp_splice_own_device(skb);
	if (family == 4)
		icmp_send(skb, ICMP_DEST_UNREACH, ICMP_FRAG_NEEDED, htonl(mtu));
	else
		icmpv6_send(skb, ICMPV6_PKT_TOOBIG, 0, mtu);
}

void tcp_splice_send_ttl_exceeded(struct sk_buff *skb, u8 family)
{
	tcp_splice_own_device(skb);
	if (family == 4)
		icmp_send(skb, ICMP_TIME_EXCEEDED, ICMP_EXC_TTL, 0);
	else
		icmpv6_send(skb, ICMPV6_TIME_EXCEED, ICMPV6_EXC_HOPLIMIT, 0);
}

int tcp_splice_output(struct net *net, struct sk_buff *skb)
{
	return dst_output(net, NULL, skb);
}
