// SPDX-License-Identifier: GPL-2.0
/*
 * A connection that leaves this host, and one that is born here with the numbers that it had on another host.
 *
 * The kernel exports neither what makes a child socket nor what puts it into a listener's accept queue. Both are done by
 * its own receive path: for the SYN that the client had sent once, and an ACK.
 */

#include <linux/tcp.h>
#include <net/addrconf.h>
#include <net/inet6_hashtables.h>
#include <net/inet_connection_sock.h>
#include <net/inet_hashtables.h>
#include <net/ip6_route.h>
#include <net/protocol.h>
#include <net/request_sock.h>
#include <net/route.h>
#include <net/tcp.h>

static int tcp_splice_copy_piece(const struct sk_buff *skb, u32 seq, void *to, u32 len)
{
	u32 offset = seq - TCP_SKB_CB(skb)->seq;
	int err;

	if (before(seq, TCP_SKB_CB(skb)->seq) || offset >= skb->len)
		return 0;
	len = min(len, skb->len - offset);
	err = skb_copy_bits(skb, offset, to, len);
	return err ? err : len;
}

int tcp_splice_read_sent(struct sock *sk, u32 seq, void *to, u32 len)
{
	struct sk_buff *skb;
	int copied;

	skb_rbtree_walk(skb, &sk->tcp_rtx_queue) {
		copied = tcp_splice_copy_piece(skb, seq, to, len);
		if (copied)
			return copied;
	}
	skb_queue_walk(&sk->sk_write_queue, skb) {
		copied = tcp_splice_copy_piece(skb, seq, to, len);
		if (copied)
			return copied;
	}
	return 0;
}

int tcp_splice_read_received(struct sock *sk, u32 *seq, void *to, u32 len)
{
	struct rb_node *node;
	struct sk_buff *skb;
	int copied;

	skb_queue_walk(&sk->sk_receive_queue, skb) {
		copied = tcp_splice_copy_piece(skb, *seq, to, len);
		if (copied)
			return copied;
	}
	for (node = rb_first(&tcp_sk(sk)->out_of_order_queue); node; node = rb_next(node)) {
		skb = rb_to_skb(node);
		if (!after(TCP_SKB_CB(skb)->seq + skb->len, *seq))
			continue;
		if (after(TCP_SKB_CB(skb)->seq, *seq))
			*seq = TCP_SKB_CB(skb)->seq;
		return tcp_splice_copy_piece(skb, *seq, to, len);
	}
	return 0;
}

void tcp_splice_leg_history(const struct sock *sk, bool *scales, u32 *acked, u32 *sent)
{
	const struct tcp_sock *tp = tcp_sk(sk);

	*scales = tp->rx_opt.wscale_ok;
	*acked = min_t(u64, tp->bytes_acked, BIT(30));
	*sent = tp->snd_nxt;
}

/* Has a packet of our own be as one that has come in where the answer to it will leave. In an RCU read section. */
static int tcp_splice_arrive4(struct net *net, struct sk_buff *skb)
{
	const struct iphdr *iph = ip_hdr(skb);
	struct flowi4 fl4 = {
		.daddr = iph->saddr,
		.saddr = iph->daddr,
		.flowi4_proto = IPPROTO_TCP,
	};
	enum skb_drop_reason reason;
	struct net_device *dev;
	struct rtable *rt;

	if (inet_addr_type(net, iph->daddr) != RTN_LOCAL)
		return TCP_SPLICE_BIRTH_NOT_LOCAL;
	rt = ip_route_output_key(net, &fl4);
	if (IS_ERR(rt))
		return TCP_SPLICE_BIRTH_NO_ROUTE;
	dev = rt->dst.dev;
	skb->dev = dev;
	skb->skb_iif = dev->ifindex;
	reason = ip_route_input_noref(skb, iph->daddr, iph->saddr, ip4h_dscp(iph), dev);
	ip_rt_put(rt);
	if (reason)
		return TCP_SPLICE_BIRTH_NO_ROUTE;
	memset(IPCB(skb), 0, sizeof(*IPCB(skb)));
	IPCB(skb)->iif = dev->ifindex;
	return TCP_SPLICE_BIRTH_DONE;
}

static int tcp_splice_arrive6(struct net *net, struct sk_buff *skb)
{
#if IS_ENABLED(CONFIG_IPV6)
	const struct ipv6hdr *hdr = ipv6_hdr(skb);
	struct flowi6 fl6 = {
		.daddr = hdr->saddr,
		.saddr = hdr->daddr,
		.flowi6_proto = IPPROTO_TCP,
	};
	struct dst_entry *dst;
	int iif;

	if (!ipv6_chk_addr(net, &hdr->daddr, NULL, 0))
		return TCP_SPLICE_BIRTH_NOT_LOCAL;
	dst = ip6_route_output(net, NULL, &fl6);
	if (dst->error) {
		dst_release(dst);
		return TCP_SPLICE_BIRTH_NO_ROUTE;
	}
	skb->dev = dst->dev;
	iif = dst->dev->ifindex;
	dst_release(dst);
	skb->skb_iif = iif;
	memset(IP6CB(skb), 0, sizeof(*IP6CB(skb)));
	IP6CB(skb)->iif = iif;
	IP6CB(skb)->nhoff = offsetof(struct ipv6hdr, nexthdr);
	ip6_route_input(skb);
	return skb_dst(skb)->error ? TCP_SPLICE_BIRTH_NO_ROUTE : TCP_SPLICE_BIRTH_DONE;
#else
	return TCP_SPLICE_BIRTH_NO_ROUTE;
#endif
}

static int tcp_splice_arrive(struct net *net, struct sk_buff *skb, u8 family)
{
	return family == 4 ? tcp_splice_arrive4(net, skb) : tcp_splice_arrive6(net, skb);
}

/* Gives TCP a packet that has arrived so. Bottom halves off; the packet is given away. */
static void tcp_splice_take_in(struct sk_buff *skb, u8 family)
{
	int (*handler)(struct sk_buff *skb);

	skb->pkt_type = PACKET_HOST;
	skb->ip_summed = CHECKSUM_UNNECESSARY;
	__skb_pull(skb, family == 4 ? sizeof(struct iphdr) : sizeof(struct ipv6hdr));
	skb_reset_transport_header(skb);
	if (family == 4)
		handler = rcu_dereference(inet_protos[IPPROTO_TCP])->handler;
#if IS_ENABLED(CONFIG_IPV6)
	else
		handler = rcu_dereference(inet6_protos[IPPROTO_TCP])->handler;
#endif
	handler(skb);
}

/* Both. */
static int tcp_splice_receive(struct net *net, struct sk_buff *skb, u8 family)
{
	int outcome = tcp_splice_arrive(net, skb, family);

	if (outcome)
		kfree_skb(skb);
	else
		tcp_splice_take_in(skb, family);
	return outcome;
}

/* The socket of the connection, or its request, or what is left of it; a reference. In an RCU read section. */
static struct sock *tcp_splice_find(struct net *net, const struct tcp_splice_migrant *m, int iif)
{
	return tcp_splice_established(net, m->family, m->remote, m->rport, m->local, m->lport, iif);
}

/* Who would get the connection; no reference. In an RCU read section. */
static struct sock *tcp_splice_listener(struct net *net, struct sk_buff *skb,
					const struct tcp_splice_migrant *m, int iif)
{
	struct in6_addr from6, to6;
	__be32 from, to;

	if (m->family == 4) {
		memcpy(&from, m->remote, sizeof(from));
		memcpy(&to, m->local, sizeof(to));
		return __inet_lookup_listener(net, skb, 0, from, m->rport, to, ntohs(m->lport), iif, 0);
	}
	memcpy(&from6, m->remote, sizeof(from6));
	memcpy(&to6, m->local, sizeof(to6));
	return inet6_lookup_listener(net, skb, 0, &from6, m->rport, &to6, ntohs(m->lport), iif, 0);
}

/* Whether a socket that the connection is meant for could have it. */
static bool tcp_splice_suits(const struct sock *sk, const struct tcp_splice_migrant *m)
{
	return READ_ONCE(sk->sk_state) == TCP_LISTEN && sk->sk_family == (m->family == 4 ? AF_INET : AF_INET6);
}

/* Has TCP give the packet to this listener, whatever that is bound to, as transparent proxying does. */
static void tcp_splice_assign(struct sk_buff *skb, struct sock *sk)
{
	sock_hold(sk);
	skb->sk = sk;
	skb->destructor = sock_efree;
}

/* Whether the listener takes a connection now. */
static int tcp_splice_accepts(struct sock *sk, const struct tcp_splice_migrant *m)
{
	const struct tcp_sock *tp = tcp_sk(sk);

	if (sk->sk_state != TCP_LISTEN)
		return TCP_SPLICE_BIRTH_NOBODY;
	if (READ_ONCE(sock_net(sk)->ipv4.sysctl_tcp_syncookies) == 2)
		return TCP_SPLICE_BIRTH_COOKIES;
	if (sk_acceptq_is_full(sk) || inet_csk_reqsk_queue_is_full(sk))
		return TCP_SPLICE_BIRTH_FULL;
#ifdef CONFIG_TCP_MD5SIG
	if (rcu_access_pointer(tp->md5sig_info))
		return TCP_SPLICE_BIRTH_SIGNED;
#endif
#ifdef CONFIG_TCP_AO
	if (rcu_access_pointer(tp->ao_info))
		return TCP_SPLICE_BIRTH_SIGNED;
#endif
	/* It would wait for data as a request, which repeats its SYN-ACK. */
	if (inet_csk(sk)->icsk_accept_queue.rskq_defer_accept && !m->data)
		return TCP_SPLICE_BIRTH_DEFERS;
	return TCP_SPLICE_BIRTH_DONE;
}

/* What the handshake has agreed on here, and what was agreed on there. */
static bool tcp_splice_same_options(const struct request_sock *req, const struct tcp_splice_migrant *m)
{
	const struct inet_request_sock *ireq = inet_rsk(req);

	return ireq->tstamp_ok == m->timestamps && ireq->sack_ok == m->sack && ireq->wscale_ok == m->scales;
}

/* Has a request go on with the numbers that the client knows. */
static void tcp_splice_adopt(struct request_sock *req, const struct tcp_splice_migrant *m)
{
	struct inet_request_sock *ireq = inet_rsk(req);
	struct tcp_request_sock *treq = tcp_rsk(req);
	u32 widest = (u32)U16_MAX << (m->scales ? m->rcv_wscale : 0);

	treq->snt_isn = m->snd_una - 1;
	/* There was no round trip. */
	treq->snt_synack = 0;
	if (m->timestamps) {
		treq->req_usec_ts = m->usec;
		treq->ts_off = m->tsval - tcp_clock_ts(m->usec);
		treq->snt_tsval_first = m->tsval;
		WRITE_ONCE(treq->snt_tsval_last, m->tsval);
	}
	if (m->scales)
		ireq->rcv_wscale = m->rcv_wscale;
	req->rsk_window_clamp = min(req->rsk_window_clamp, widest);
	req->rsk_rcv_wnd = min(req->rsk_rcv_wnd, widest);
	ireq->ecn_ok = m->ecn;
	treq->accecn_ok = 0;
}

/* The child has promised what was promised there, and has the room that it takes. Locked. */
static void tcp_splice_grow_up(struct sock *sk, const struct tcp_splice_migrant *m)
{
	struct tcp_sock *tp = tcp_sk(sk);
	int most = READ_ONCE(sock_net(sk)->ipv4.sysctl_tcp_rmem[2]);
	int room;

	tp->rcv_wup = tp->rcv_nxt;
	tp->rcv_wnd = after(m->rcv_edge, tp->rcv_nxt) ? m->rcv_edge - tp->rcv_nxt : 0;
	tp->rcv_mwnd_seq = tp->rcv_wup + tp->rcv_wnd;
	room = min(tcp_space_from_win(sk, tp->rcv_wnd), most);
	/* What is given to it now was accepted there. */
	room = max_t(s64, room, min_t(s64, (s64)m->data * 4, INT_MAX / 2));
	if (room > sk->sk_rcvbuf)
		WRITE_ONCE(sk->sk_rcvbuf, room);
	WRITE_ONCE(tp->window_clamp, max(tp->window_clamp, tp->rcv_wnd));
	/* How much was acknowledged bounds how old an acknowledgement may be (RFC 5961, section 5.2). */
	tp->bytes_acked = m->acked;
	tp->pred_flags = 0;
}

/* The request for the connection, after its SYN; a reference. Bottom halves off. */
static int tcp_splice_request(struct net *net, const struct tcp_splice_migrant *m, struct sock *owner,
			      struct sk_buff *syn, int *iif, struct request_sock **req)
{
	struct sock *sk;
	int outcome;

	*req = NULL;
	outcome = TCP_SPLICE_BIRTH_NO_OWNER;
	if (owner && !tcp_splice_suits(owner, m))
		goto drop;
	outcome = tcp_splice_arrive(net, syn, m->family);
	if (outcome)
		goto drop;
	*iif = syn->skb_iif;
	/* The request would be of that device, and never found again. */
	outcome = TCP_SPLICE_BIRTH_NO_OWNER;
	if (owner && !inet_sk_bound_dev_eq(net, READ_ONCE(owner->sk_bound_dev_if), *iif, 0))
		goto drop;
	sk = tcp_splice_find(net, m, *iif);
	if (sk) {
		sock_gen_put(sk);
		outcome = TCP_SPLICE_BIRTH_EXISTS;
		goto drop;
	}
	sk = owner ?: tcp_splice_listener(net, syn, m, *iif);
	outcome = sk ? tcp_splice_accepts(sk, m) : TCP_SPLICE_BIRTH_NOBODY;
	if (outcome)
		goto drop;
	if (owner)
		tcp_splice_assign(syn, owner);
	tcp_splice_take_in(syn, m->family);
	sk = tcp_splice_find(net, m, *iif);
	if (!sk)
		return TCP_SPLICE_BIRTH_REFUSED;
	if (sk->sk_state != TCP_NEW_SYN_RECV) {
		sock_gen_put(sk);
		return TCP_SPLICE_BIRTH_EXISTS;
	}
	*req = inet_reqsk(sk);
	return TCP_SPLICE_BIRTH_DONE;
drop:
	kfree_skb(syn);
	return outcome;
}

int tcp_splice_birth(struct net *net, const struct tcp_splice_migrant *m, struct sock *owner,
		     struct sk_buff *syn, struct sk_buff *ack, struct sk_buff *rst,
		     struct sock **listener, struct sock **child)
{
	struct request_sock *req;
	struct sock *parent, *sk;
	int outcome, iif;

	local_bh_disable();
	rcu_read_lock();
	outcome = tcp_splice_request(net, m, owner, syn, &iif, &req);
	if (outcome) {
		rcu_read_unlock();
		local_bh_enable();
		kfree_skb(ack);
		kfree_skb(rst);
		return outcome;
	}
	parent = req->rsk_listener;
	sock_hold(parent);
	rcu_read_unlock();
	local_bh_enable();

	/* Nobody accepts anything until the child is as it has to be. */
	lock_sock(parent);
	local_bh_disable();
	rcu_read_lock();
	sk = NULL;
	outcome = TCP_SPLICE_BIRTH_OPTIONS;
	if (tcp_splice_same_options(req, m)) {
		tcp_splice_adopt(req, m);
		outcome = tcp_splice_receive(net, ack, m->family);
		ack = NULL;
		sk = tcp_splice_find(net, m, iif);
		if (sk && (sk->sk_state == TCP_NEW_SYN_RECV || sk->sk_state == TCP_TIME_WAIT)) {
			sock_gen_put(sk);
			sk = NULL;
		}
		if (!sk && !outcome)
			outcome = sk_acceptq_is_full(parent) ? TCP_SPLICE_BIRTH_FULL : TCP_SPLICE_BIRTH_REFUSED;
	}
	if (!sk) {
		/* It goes, and its timer with it. */
		tcp_splice_receive(net, rst, m->family);
		rst = NULL;
	}
	rcu_read_unlock();
	local_bh_enable();
	sock_gen_put(req_to_sk(req));
	kfree_skb(ack);
	kfree_skb(rst);
	if (!sk) {
		release_sock(parent);
		sock_put(parent);
		return outcome;
	}
	lock_sock_nested(sk, SINGLE_DEPTH_NESTING);
	tcp_splice_grow_up(sk, m);
	*listener = parent;
	*child = sk;
	return TCP_SPLICE_BIRTH_DONE;
}

void tcp_splice_born(struct sock *listener, struct sock *child)
{
	release_sock(child);
	sock_put(child);
	release_sock(listener);
	sock_put(listener);
}

int tcp_splice_sent_before(struct sock *sk, void *data, size_t len)
{
	struct tcp_sock *tp = tcp_sk(sk);
	int ret;

	/* As TCP_REPAIR has it: it is queued as sent, and its timer set. */
	tp->repair = 1;
	tp->repair_queue = TCP_SEND_QUEUE;
	ret = tcp_splice_send(sk, data, len);
	tp->repair_queue = TCP_NO_QUEUE;
	tp->repair = 0;
	return ret;
}

u32 tcp_splice_rcv_nxt(const struct sock *sk)
{
	return tcp_sk(sk)->rcv_nxt;
}

void tcp_splice_stillborn(struct sock *listener, struct sock *child)
{
	/* Whoever accepts it finds it aborted; nobody is told. */
	tcp_splice_vanish(child);
	tcp_splice_born(listener, child);
}
