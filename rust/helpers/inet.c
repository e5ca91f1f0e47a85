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

/* The route that packets left by last, for one mark; read under RCU, replaced as a whole. */
struct tcp_splice_way {
	struct dst_entry *dst;
	/* What the route said of itself when it was found; IPv6. */
	u32 cookie;
	u32 mark;
	struct rcu_head rcu;
};

static noinline bool tcp_splice_route_anew(struct net *net, struct sk_buff *skb, struct tcp_splice_way **last,
					   u8 family, const u8 *saddr, const u8 *daddr)
{
	struct tcp_splice_way *way;

	if (!tcp_splice_route(net, skb, family, saddr, daddr))
		return false;
	way = kmalloc(sizeof(*way), GFP_ATOMIC | __GFP_NOWARN);
	/* The next packet looks for itself. */
	if (!way)
		return true;
	way->dst = dst_clone(skb_dst(skb));
	way->cookie = 0;
#if IS_ENABLED(CONFIG_IPV6)
	if (family == 6)
		way->cookie = rt6_get_cookie(dst_rt6_info(way->dst));
#endif
	way->mark = skb->mark;
	way = xchg(last, way);
	if (way) {
		/* Who still sends by it is in an RCU read section; routes go after a grace period, too. */
		dst_release(way->dst);
		kfree_rcu(way, rcu);
	}
	return true;
}

bool tcp_splice_route_again(struct net *net, struct sk_buff *skb, struct tcp_splice_way **last, u8 family,
			    const u8 *saddr, const u8 *daddr)
{
	const struct tcp_splice_way *way = READ_ONCE(*last);

	if (unlikely(!way || way->mark != skb->mark || !dst_check(way->dst, way->cookie)))
		return tcp_splice_route_anew(net, skb, last, family, saddr, daddr);
	skb_dst_drop(skb);
	skb_dst_set_noref(skb, way->dst);
	return true;
}

void tcp_splice_way_free(struct tcp_splice_way *way)
{
	dst_release(way->dst);
	kfree(way);
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
