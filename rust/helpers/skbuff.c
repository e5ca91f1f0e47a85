// SPDX-License-Identifier: GPL-2.0

#include <linux/skbuff.h>
#include <net/dst.h>
#include <net/gso.h>
#include <net/ip.h>
#include <net/ipv6.h>
#include <net/tcp.h>
#include <net/netfilter/nf_conntrack.h>

void *tcp_splice_skb_pull(struct sk_buff *skb, unsigned int len)
{
	return pskb_may_pull(skb, len) ? skb->data : NULL;
}

void *tcp_splice_skb_writable(struct sk_buff *skb, unsigned int len)
{
	return skb_ensure_writable(skb, len) ? NULL : skb->data;
}

unsigned int tcp_splice_skb_len(const struct sk_buff *skb)
{
	return skb->len;
}

bool tcp_splice_skb_partial(const struct sk_buff *skb)
{
	return skb->ip_summed == CHECKSUM_PARTIAL;
}

bool tcp_splice_skb_is_lro(const struct sk_buff *skb)
{
	return skb_warn_if_lro(skb);
}

void tcp_splice_skb_untrack(struct sk_buff *skb)
{
	nf_reset_ct(skb);
	nf_ct_set(skb, NULL, IP_CT_UNTRACKED);
}

bool tcp_splice_skb_stays(const struct sk_buff *skb)
{
	const struct dst_entry *dst = skb_dst(skb);

	return dst && dst->dev->flags & IFF_LOOPBACK;
}

void tcp_splice_skb_forget_sender(struct sk_buff *skb)
{
	/* As a packet of our own has it: segmentation wants one. */
	skb_set_mac_header(skb, skb_network_offset(skb));
}

void tcp_splice_skb_forward(struct sk_buff *skb)
{
	skb_orphan(skb);
	tcp_splice_skb_untrack(skb);
	skb_forward_csum(skb);
	skb_clear_tstamp(skb);
}

struct sk_buff *tcp_splice_skb_new(u8 family, unsigned int len, void **data)
{
	struct sk_buff *skb = alloc_skb(LL_MAX_HEADER + len, GFP_ATOMIC);

	if (!skb)
		return NULL;
	skb_reserve(skb, LL_MAX_HEADER);
	skb_reset_mac_header(skb);
	skb_reset_network_header(skb);
	*data = skb_put(skb, len);
	skb_set_transport_header(skb, family == 4 ? sizeof(struct iphdr) : sizeof(struct ipv6hdr));
	skb->protocol = family == 4 ? htons(ETH_P_IP) : htons(ETH_P_IPV6);
	skb->ip_summed = CHECKSUM_NONE;
	tcp_splice_skb_untrack(skb);
	return skb;
}

void tcp_splice_skb_as_received(struct sk_buff *skb, const struct sk_buff *like)
{
	skb->dev = like->dev;
	skb->skb_iif = like->skb_iif;
	skb->mark = like->mark;
	skb->pkt_type = PACKET_HOST;
	/* IPCB and IP6CB: the interface it came by, the options that were copied with the header. */
	memcpy(skb->cb, like->cb, sizeof(skb->cb));
	if (skb->protocol == htons(ETH_P_IP)) {
		skb_set_transport_header(skb, ip_hdrlen(skb));
		return;
	}
	/* Extension headers were not copied. */
	skb_set_transport_header(skb, sizeof(struct ipv6hdr));
	IP6CB(skb)->nhoff = offsetof(struct ipv6hdr, nexthdr);
	IP6CB(skb)->flags &= ~IP6SKB_JUMBOGRAM;
}

struct sk_buff *tcp_splice_skb_copy(struct sk_buff *skb)
{
	struct sk_buff *copy = pskb_copy(skb, GFP_ATOMIC);

	/* As what waits in a socket: it must not keep its device or route. */
	if (copy) {
		copy->dev = NULL;
		skb_dst_drop(copy);
	}
	return copy;
}

/* As above, for one that nobody else has. */
void tcp_splice_skb_park(struct sk_buff *skb)
{
	skb_orphan(skb);
	skb->dev = NULL;
	skb_dst_drop(skb);
}

bool tcp_splice_skb_is_own(const struct sk_buff *skb)
{
	return !skb->dev;
}

/* From here on whoever sends the packet sums it. */
static void *tcp_splice_skb_partial_from(struct sk_buff *skb, unsigned int ip_header)
{
	skb->ip_summed = CHECKSUM_PARTIAL;
	skb->csum_start = skb_headroom(skb) + ip_header;
	skb->csum_offset = offsetof(struct tcphdr, check);
	return skb->data;
}

void *tcp_splice_skb_cut(struct sk_buff *skb, unsigned int len, unsigned int ip_header,
			 unsigned int headers)
{
	struct skb_shared_info *info;

	/* The headers first, so that cutting leaves them be; and nobody else's segments. */
	if (!pskb_may_pull(skb, headers) || skb_unclone(skb, GFP_ATOMIC) || ___pskb_trim(skb, len))
		return NULL;
	info = skb_shinfo(skb);
	if (skb_is_gso(skb) && len - headers <= info->gso_size)
		skb_gso_reset(skb);
	else if (skb_is_gso(skb))
		info->gso_segs = DIV_ROUND_UP(len - headers, info->gso_size);
	return tcp_splice_skb_partial_from(skb, ip_header);
}

void *tcp_splice_skb_segment(struct sk_buff *skb, u8 family, unsigned int mss,
			     unsigned int ip_header, unsigned int headers)
{
	struct skb_shared_info *info;

	if (!pskb_may_pull(skb, headers) || skb_unclone(skb, GFP_ATOMIC))
		return NULL;
	/* A list of packets is segmented as it is listed. */
	if (skb_shinfo(skb)->gso_type & SKB_GSO_FRAGLIST && __skb_linearize(skb))
		return NULL;
	info = skb_shinfo(skb);
	info->gso_size = mss;
	info->gso_segs = DIV_ROUND_UP(skb->len - headers, mss);
	info->gso_type &= ~SKB_GSO_FRAGLIST;
	/* Boundaries within the packet are not those of its segments: nobody may rely on them. */
	info->gso_type |= SKB_GSO_DODGY | (family == 4 ? SKB_GSO_TCPV4 : SKB_GSO_TCPV6);
	return tcp_splice_skb_partial_from(skb, ip_header);
}

/* The segments of a GSO packet that has CHECKSUM_PARTIAL, linked by next; uses the packet up, unless this is NULL. */
struct sk_buff *tcp_splice_skb_segments(struct sk_buff *skb)
{
	struct sk_buff *segments = __skb_gso_segment(skb, NETIF_F_SG | NETIF_F_HW_CSUM, false);

	if (IS_ERR_OR_NULL(segments))
		return NULL;
	consume_skb(skb);
	return segments;
}

/* Takes the first of a list of segments off it. */
struct sk_buff *tcp_splice_skb_next_segment(struct sk_buff **segments)
{
	struct sk_buff *skb = *segments;

	if (skb) {
		*segments = skb->next;
		skb_mark_not_on_list(skb);
	}
	return skb;
}

unsigned int tcp_splice_skb_segment_len(const struct sk_buff *skb, unsigned int headers)
{
	if (skb_is_gso(skb))
		return skb_shinfo(skb)->gso_size;
	return skb->len > headers ? skb->len - headers : 0;
}

unsigned int tcp_splice_skb_truesize(const struct sk_buff *skb)
{
	return skb->truesize;
}

void tcp_splice_skb_free(struct sk_buff *skb)
{
	consume_skb(skb);
}

void tcp_splice_skb_free_dropped(struct sk_buff *skb)
{
	kfree_skb_reason(skb, SKB_DROP_REASON_NETFILTER_DROP);
}

void tcp_splice_skb_queue_init(struct sk_buff_head *queue)
{
	__skb_queue_head_init(queue);
}

void tcp_splice_skb_queue_tail(struct sk_buff_head *queue, struct sk_buff *skb)
{
	dev_hold(skb->dev);
	skb_dst_force(skb);
	__skb_queue_tail(queue, skb);
}

struct sk_buff *tcp_splice_skb_queue_first(const struct sk_buff_head *queue)
{
	return skb_peek(queue);
}

struct sk_buff *tcp_splice_skb_dequeue(struct sk_buff_head *queue, struct net_device **dev)
{
	struct sk_buff *skb = __skb_dequeue(queue);

	*dev = skb ? skb->dev : NULL;
	return skb;
}

void tcp_splice_dev_put(struct net_device *dev)
{
	dev_put(dev);
}
