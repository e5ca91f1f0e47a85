// SPDX-License-Identifier: GPL-2.0
/* Packets to a neighbour or into a tunnel, and out of one; modelled on ip_vs_xmit.c and nft_fwd_netdev.c. */

#include <linux/etherdevice.h>
#include <linux/if_arp.h>
#include <net/addrconf.h>
#include <net/arp.h>
#include <net/gso.h>
#include <net/inet6_hashtables.h>
#include <net/inet_ecn.h>
#include <net/inet_hashtables.h>
#include <net/ip6_tunnel.h>
#include <net/ip_tunnels.h>
#include <net/ndisc.h>

/* The route of a packet, if there is one, to a host of ours: a reference, or NULL if it cannot be reached or is this host. */
static struct rtable *tcp_splice_route_via4(struct net *net, const struct sk_buff *skb,
					    struct flowi4 *fl4)
{
	struct rtable *rt;

	fl4->flowi4_mark = skb ? skb->mark : 0;
	rt = ip_route_output_key(net, fl4);
	if (IS_ERR(rt))
		return NULL;
	if (rt->rt_type != RTN_UNICAST || rt->dst.dev->flags & IFF_LOOPBACK) {
		ip_rt_put(rt);
		return NULL;
	}
	return rt;
}

static struct rt6_info *tcp_splice_route_via6(struct net *net, const struct sk_buff *skb,
					      struct flowi6 *fl6)
{
	struct dst_entry *dst;

	fl6->flowi6_mark = skb ? skb->mark : 0;
	dst = ip6_route_output(net, NULL, fl6);
	if (dst->error || dst->dev->flags & IFF_LOOPBACK ||
	    dst_rt6_info(dst)->rt6i_flags & (RTF_LOCAL | RTF_ANYCAST | RTF_REJECT)) {
		dst_release(dst);
		return NULL;
	}
	return dst_rt6_info(dst);
}

/* The route to a host that is a neighbour on an Ethernet. */
static struct dst_entry *tcp_splice_route_on_link(struct net *net, const struct sk_buff *skb,
						  u8 family, const u8 *via, u8 flags)
{
	struct dst_entry *dst;

	if (family == 4) {
		struct flowi4 fl4 = { .flowi4_proto = IPPROTO_TCP, .flowi4_flags = flags };
		struct rtable *rt;

		memcpy(&fl4.daddr, via, sizeof(fl4.daddr));
		rt = tcp_splice_route_via4(net, skb, &fl4);
		if (!rt)
			return NULL;
		dst = &rt->dst;
		/* With the next hop known, it stands where that of a router would. */
		if (!flags && rt->rt_gw_family)
			goto not_on_link;
	} else {
		struct flowi6 fl6 = { .flowi6_proto = IPPROTO_TCP, .flowi6_flags = flags };
		struct rt6_info *rt;

		memcpy(&fl6.daddr, via, sizeof(fl6.daddr));
		rt = tcp_splice_route_via6(net, skb, &fl6);
		if (!rt)
			return NULL;
		dst = &rt->dst;
		if (!flags && rt->rt6i_flags & RTF_GATEWAY)
			goto not_on_link;
	}
	if (dst->dev->type == ARPHRD_ETHER && dst->dev->addr_len == ETH_ALEN)
		return dst;
not_on_link:
	dst_release(dst);
	return NULL;
}

static bool tcp_splice_is_larger(const struct sk_buff *skb, unsigned int mtu)
{
	return skb->len > mtu && !(skb_is_gso(skb) && skb_gso_validate_network_len(skb, mtu));
}

/* Whether a packet that is too large may be sent in fragments: as it came, or since it does not forbid it. */
static bool tcp_splice_may_fragment(const struct sk_buff *skb, u8 family, unsigned int mtu)
{
	if (skb_is_gso(skb))
		return false;
	if (family == 4)
		return !(ip_hdr(skb)->frag_off & htons(IP_DF)) ||
		       (skb->ignore_df && IPCB(skb)->frag_max_size <= mtu);
	return IP6CB(skb)->frag_max_size && IP6CB(skb)->frag_max_size <= mtu;
}

static struct neighbour *tcp_splice_neighbour(struct net_device *dev, u8 family, const u8 *via,
					      bool create)
{
	if (family == 4) {
		__be32 key;

		memcpy(&key, via, sizeof(key));
		return create ? ip_neigh_gw4(dev, key) : __ipv4_neigh_lookup_noref(dev, (__force u32)key);
	}
	return create ? ip_neigh_gw6(dev, via) : __ipv6_neigh_lookup_noref(dev, via);
}

/* The address of a neighbour as a number that is not 0; 0 if it is not known. */
static u64 tcp_splice_neighbour_address(const struct neighbour *n, const struct net_device *dev)
{
	char ha[ALIGN(MAX_ADDR_LEN, sizeof(unsigned long))];

	if (!(READ_ONCE(n->nud_state) & NUD_VALID))
		return 0;
	neigh_ha_snapshot(ha, n, dev);
	return ether_addr_to_u64(ha) | BIT_ULL(48);
}

/* Where a frame came from, as above; 0 if that says nothing. */
static u64 tcp_splice_frame_source(const struct sk_buff *skb)
{
	const struct net_device *dev = skb->dev;

	if (!dev || dev->type != ARPHRD_ETHER || !skb_mac_header_was_set(skb) ||
	    skb_network_header(skb) - skb_mac_header(skb) < ETH_HLEN)
		return 0;
	return ether_addr_to_u64(eth_hdr(skb)->h_source) | BIT_ULL(48);
}

int tcp_splice_send_direct(struct net *net, struct sk_buff *skb, u8 family, const u8 *via,
			   unsigned int *mtu)
{
	struct dst_entry *dst = tcp_splice_route_on_link(net, skb, family, via, 0);
	struct net_device *dev;
	struct neighbour *n;
	u64 source;

	if (!dst)
		return TCP_SPLICE_SEND_NO_ROUTE;
	*mtu = dst_mtu(dst);
	dev = dst->dev;
	if (tcp_splice_is_larger(skb, *mtu)) {
		if (tcp_splice_may_fragment(skb, family, *mtu)) {
			dst_release(dst);
			dst = tcp_splice_route_on_link(net, skb, family, via, FLOWI_FLAG_KNOWN_NH);
			if (!dst)
				return TCP_SPLICE_SEND_NO_ROUTE;
			skb_dst_drop(skb);
			skb_dst_set(skb, dst);
			tcp_splice_skb_forward(skb);
			dst_output(net, NULL, skb);
			return TCP_SPLICE_SEND_DONE;
		}
		skb_dst_drop(skb);
		skb_dst_set(skb, dst);
		return TCP_SPLICE_SEND_TOO_BIG;
	}
	n = tcp_splice_neighbour(dev, family, via, true);
	if (IS_ERR(n)) {
		dst_release(dst);
		return TCP_SPLICE_SEND_NO_MEMORY;
	}
	source = skb->dev == dev ? tcp_splice_frame_source(skb) : 0;
	if (source && source == tcp_splice_neighbour_address(n, dev)) {
		dst_release(dst);
		return TCP_SPLICE_SEND_LOOP;
	}
	tcp_splice_skb_forward(skb);
	skb_dst_drop(skb);
	if (skb_cow_head(skb, LL_RESERVED_SPACE(dev))) {
		dst_release(dst);
		return TCP_SPLICE_SEND_NO_MEMORY;
	}
	skb->dev = dev;
	neigh_output(n, skb, false);
	/* It held the device. */
	dst_release(dst);
	return TCP_SPLICE_SEND_DONE;
}

static int tcp_splice_encapsulate(struct sk_buff *skb, unsigned int room, int gso_type, u8 protocol)
{
	tcp_splice_skb_forward(skb);
	if (skb_cow_head(skb, room) || iptunnel_handle_offloads(skb, gso_type))
		return -ENOMEM;
	skb_set_inner_ipproto(skb, protocol);
	skb_set_inner_mac_header(skb, skb_inner_network_offset(skb));
	/* Counts of a tunnel device are kept with it, and there is none. */
	skb->dev = NULL;
	return 0;
}

static int tcp_splice_send_tunnel4(struct net *net, struct sk_buff *skb, const u8 *saddr,
				   const u8 *via, unsigned int *mtu)
{
	struct flowi4 fl4 = { .flowi4_proto = IPPROTO_IPIP };
	__be16 df = ip_hdr(skb)->frag_off & htons(IP_DF);
	u8 tos = ip_hdr(skb)->tos;
	struct rtable *rt;

	memcpy(&fl4.daddr, via, sizeof(fl4.daddr));
	memcpy(&fl4.saddr, saddr, sizeof(fl4.saddr));
	rt = tcp_splice_route_via4(net, skb, &fl4);
	if (!rt)
		return TCP_SPLICE_SEND_NO_ROUTE;
	*mtu = dst_mtu(&rt->dst) - sizeof(struct iphdr);
	if (df && tcp_splice_is_larger(skb, *mtu)) {
		skb_dst_drop(skb);
		skb_dst_set(skb, &rt->dst);
		return TCP_SPLICE_SEND_TOO_BIG;
	}
	if (tcp_splice_encapsulate(skb, LL_RESERVED_SPACE(rt->dst.dev) + sizeof(struct iphdr),
				   SKB_GSO_IPXIP4, IPPROTO_IPIP)) {
		ip_rt_put(rt);
		return TCP_SPLICE_SEND_NO_MEMORY;
	}
	iptunnel_xmit(NULL, rt, skb, fl4.saddr, fl4.daddr, IPPROTO_IPIP,
		      INET_ECN_encapsulate(tos, tos), ip4_dst_hoplimit(&rt->dst), df, false, 0);
	return TCP_SPLICE_SEND_DONE;
}

static int tcp_splice_send_tunnel6(struct net *net, struct sk_buff *skb, const u8 *saddr,
				   const u8 *via, unsigned int *mtu)
{
	struct flowi6 fl6 = { .flowi6_proto = IPPROTO_IPV6 };
	u8 dsfield = ipv6_get_dsfield(ipv6_hdr(skb));
	struct rt6_info *rt;
	struct ipv6hdr *outer;

	memcpy(&fl6.daddr, via, sizeof(fl6.daddr));
	memcpy(&fl6.saddr, saddr, sizeof(fl6.saddr));
	rt = tcp_splice_route_via6(net, skb, &fl6);
	if (!rt)
		return TCP_SPLICE_SEND_NO_ROUTE;
	if (ipv6_addr_any(&fl6.saddr) &&
	    ipv6_dev_get_saddr(net, rt->dst.dev, &fl6.daddr, 0, &fl6.saddr)) {
		dst_release(&rt->dst);
		return TCP_SPLICE_SEND_NO_ROUTE;
	}
	/* What has to fit anyway goes in fragments if it does not (RFC 2473, section 7.1). */
	*mtu = max_t(unsigned int, dst_mtu(&rt->dst) - sizeof(*outer), IPV6_MIN_MTU);
	if (tcp_splice_is_larger(skb, *mtu)) {
		skb_dst_drop(skb);
		skb_dst_set(skb, &rt->dst);
		return TCP_SPLICE_SEND_TOO_BIG;
	}
	if (tcp_splice_encapsulate(skb, LL_RESERVED_SPACE(rt->dst.dev) + sizeof(*outer),
				   SKB_GSO_IPXIP6, IPPROTO_IPV6)) {
		dst_release(&rt->dst);
		return TCP_SPLICE_SEND_NO_MEMORY;
	}
	skb_scrub_packet(skb, false);
	skb_clear_hash_if_not_l4(skb);
	skb_dst_set(skb, &rt->dst);
	skb->ignore_df = 1;
	skb_push(skb, sizeof(*outer));
	skb_reset_network_header(skb);
	outer = ipv6_hdr(skb);
	ip6_flow_hdr(outer, INET_ECN_encapsulate(dsfield, dsfield), 0);
	outer->hop_limit = ip6_dst_hoplimit(&rt->dst);
	outer->nexthdr = IPPROTO_IPV6;
	outer->saddr = fl6.saddr;
	outer->daddr = fl6.daddr;
	skb->protocol = htons(ETH_P_IPV6);
	ip6tunnel_xmit(NULL, skb, NULL, 0);
	return TCP_SPLICE_SEND_DONE;
}

int tcp_splice_send_tunnel(struct net *net, struct sk_buff *skb, u8 family, const u8 *saddr,
			   const u8 *via, unsigned int *mtu)
{
	return family == 4 ? tcp_splice_send_tunnel4(net, skb, saddr, via, mtu) :
			     tcp_splice_send_tunnel6(net, skb, saddr, via, mtu);
}

int tcp_splice_came_from(struct net *net, const struct sk_buff *skb, u8 family, const u8 *via,
			 u64 *known)
{
	u64 source = tcp_splice_frame_source(skb), address = 0;
	struct dst_entry *dst;
	struct neighbour *n;
	bool elsewhere;

	if (!source)
		return 0;
	n = tcp_splice_neighbour(skb->dev, family, via, false);
	if (n)
		address = tcp_splice_neighbour_address(n, skb->dev);
	if (address && READ_ONCE(*known) != address)
		WRITE_ONCE(*known, address);
	else if (!address)
		address = READ_ONCE(*known);
	if (address)
		return address == source;
	dst = tcp_splice_route_on_link(net, skb, family, via, 0);
	if (!dst)
		return 0;
	elsewhere = dst->dev != skb->dev;
	dst_release(dst);
	if (elsewhere)
		return 0;
	if (!n)
		n = tcp_splice_neighbour(skb->dev, family, via, true);
	if (!IS_ERR(n))
		neigh_event_send(n, NULL);
	return -1;
}

void tcp_splice_meet(struct net *net, u8 family, const u8 *via, u64 *known)
{
	struct dst_entry *dst = tcp_splice_route_on_link(net, NULL, family, via, 0);
	struct neighbour *n;
	u64 address = 0;

	if (!dst)
		return;
	n = tcp_splice_neighbour(dst->dev, family, via, true);
	if (!IS_ERR(n)) {
		address = tcp_splice_neighbour_address(n, dst->dev);
		if (!address)
			neigh_event_send(n, NULL);
	}
	if (address)
		WRITE_ONCE(*known, address);
	dst_release(dst);
}

static int tcp_splice_decapsulate4(struct sk_buff *skb)
{
	struct iphdr *iph;
	unsigned int len;

	if (!pskb_may_pull(skb, sizeof(*iph)))
		return -EINVAL;
	iph = ip_hdr(skb);
	if (iph->version != 4 || iph->ihl < 5 || !pskb_may_pull(skb, iph->ihl * 4))
		return -EINVAL;
	iph = ip_hdr(skb);
	len = iph_totlen(skb, iph);
	if (ip_fast_csum(iph, iph->ihl) || skb->len < len || len < iph->ihl * 4 ||
	    ip_is_fragment(iph) || pskb_trim_rcsum(skb, len))
		return -EINVAL;
	skb->transport_header = skb->network_header + ip_hdr(skb)->ihl * 4;
	memset(IPCB(skb), 0, sizeof(*IPCB(skb)));
	IPCB(skb)->iif = skb->skb_iif;
	return 0;
}

static int tcp_splice_decapsulate6(struct sk_buff *skb)
{
	int iif = IP6CB(skb)->iif;
	struct ipv6hdr *hdr;
	unsigned int len;

	if (!pskb_may_pull(skb, sizeof(*hdr)))
		return -EINVAL;
	hdr = ipv6_hdr(skb);
	len = ipv6_payload_len(skb, hdr);
	/* Options for every hop are read where a packet comes in, which is not here. */
	if (hdr->version != 6 || hdr->nexthdr == NEXTHDR_HOP || skb->len < len + sizeof(*hdr) ||
	    ipv6_addr_is_multicast(&hdr->saddr) || ipv6_addr_loopback(&hdr->saddr) ||
	    pskb_trim_rcsum(skb, len + sizeof(*hdr)))
		return -EINVAL;
	skb->transport_header = skb->network_header + sizeof(*hdr);
	memset(IP6CB(skb), 0, sizeof(*IP6CB(skb)));
	IP6CB(skb)->iif = iif;
	IP6CB(skb)->nhoff = offsetof(struct ipv6hdr, nexthdr);
	return 0;
}

int tcp_splice_decapsulate(struct sk_buff *skb, u8 family, unsigned int header_len)
{
	u8 outer = family == 4 ? ip_hdr(skb)->tos : ipv6_get_dsfield(ipv6_hdr(skb));
	unsigned int size = family == 4 ? sizeof(struct iphdr) : sizeof(struct ipv6hdr);
	u8 inner;
	int err;

	if (!pskb_may_pull(skb, header_len + size))
		return -EINVAL;
	skb_pull_rcsum(skb, header_len);
	skb_reset_network_header(skb);
	err = iptunnel_pull_offloads(skb);
	if (!err)
		err = family == 4 ? tcp_splice_decapsulate4(skb) : tcp_splice_decapsulate6(skb);
	if (!err && INET_ECN_is_ce(outer))
		err = skb_ensure_writable(skb, size);
	if (err)
		return err;
	inner = family == 4 ? ip_hdr(skb)->tos : ipv6_get_dsfield(ipv6_hdr(skb));
	/* RFC 6040: congestion on the way is passed on, or the packet dropped if its sender would not understand. */
	if (INET_ECN_decapsulate(skb, outer, inner) > 1)
		return -EINVAL;
	skb_dst_drop(skb);
	skb_clear_hash(skb);
	return 0;
}

/* The socket of the connection that packets from saddr to daddr are of, listening ones not counted; a reference. */
static struct sock *tcp_splice_established(struct net *net, u8 family, const u8 *saddr, __be16 sport,
					   const u8 *daddr, __be16 dport, int dif)
{
	struct in6_addr from6, to6;
	__be32 from, to;

	if (family == 4) {
		memcpy(&from, saddr, sizeof(from));
		memcpy(&to, daddr, sizeof(to));
		return __inet_lookup_established(net, from, sport, to, ntohs(dport), dif, 0);
	}
	memcpy(&from6, saddr, sizeof(from6));
	memcpy(&to6, daddr, sizeof(to6));
	return __inet6_lookup_established(net, &from6, sport, &to6, ntohs(dport), dif, 0);
}

int tcp_splice_socket_of(struct net *net, const struct sk_buff *skb, u8 family, const u8 *saddr,
			 __be16 sport, const u8 *daddr, __be16 dport)
{
	int dif = skb->dev ? skb->dev->ifindex : 0, found;
	struct sock *sk = tcp_splice_established(net, family, saddr, sport, daddr, dport, dif);

	if (!sk)
		return TCP_SPLICE_SOCKET_NONE;
	found = sk->sk_state == TCP_TIME_WAIT ? TCP_SPLICE_SOCKET_TIME_WAIT : TCP_SPLICE_SOCKET_LIVE;
	sock_gen_put(sk);
	return found;
}
