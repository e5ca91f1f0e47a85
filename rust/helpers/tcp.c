// SPDX-License-Identifier: GPL-2.0

#include <linux/file.h>
#include <linux/tcp.h>
#include <linux/uio.h>
#include <net/dsfield.h>
#include <net/inet_connection_sock.h>
#include <net/inet_sock.h>
#include <net/ipv6.h>
#include <net/tcp.h>
#if IS_ENABLED(CONFIG_NF_CONNTRACK)
#include <net/netfilter/nf_conntrack_core.h>
#include <net/netfilter/nf_conntrack_zones.h>
#endif

struct net *tcp_splice_sock_net(const struct sock *sk)
{
	return sock_net(sk);
}

bool tcp_splice_sk_is_tcp(const struct socket *sock)
{
	return sock->sk && sk_is_tcp(sock->sk);
}

void tcp_splice_sockfd_put(struct socket *sock)
{
	sockfd_put(sock);
}

void tcp_splice_lock_sock(struct sock *sk, int subclass)
{
	lock_sock_nested(sk, subclass);
}

static bool tcp_splice_sk_signed(const struct tcp_sock *tp)
{
	bool is_signed = false;

#ifdef CONFIG_TCP_MD5SIG
	is_signed |= rcu_access_pointer(tp->md5sig_info) != NULL;
#endif
#ifdef CONFIG_TCP_AO
	is_signed |= rcu_access_pointer(tp->ao_info) != NULL;
#endif
	return is_signed;
}

static void tcp_splice_leg_addresses(const struct sock *sk, struct tcp_splice_leg *leg)
{
	const struct inet_sock *inet = inet_sk(sk);

	leg->lport = inet->inet_sport;
	leg->rport = inet->inet_dport;
#if IS_ENABLED(CONFIG_IPV6)
	/* A dual-stack listener's children speak IPv4 on an AF_INET6 socket. */
	if (sk->sk_family == AF_INET6 && !ipv6_addr_v4mapped(&sk->sk_v6_daddr)) {
		leg->family = 6;
		memcpy(leg->local, &sk->sk_v6_rcv_saddr, 16);
		memcpy(leg->remote, &sk->sk_v6_daddr, 16);
		return;
	}
#endif
	leg->family = 4;
	memcpy(leg->local, &inet->inet_rcv_saddr, 4);
	memcpy(leg->remote, &inet->inet_daddr, 4);
}

static bool tcp_splice_leg_link_local(const struct sock *sk, const struct tcp_splice_leg *leg)
{
#if IS_ENABLED(CONFIG_IPV6)
	return leg->family == 6 &&
	       (ipv6_addr_type(&sk->sk_v6_daddr) & IPV6_ADDR_LINKLOCAL ||
		ipv6_addr_type(&sk->sk_v6_rcv_saddr) & IPV6_ADDR_LINKLOCAL);
#else
	return false;
#endif
}

void tcp_splice_leg_read(struct sock *sk, struct tcp_splice_leg *leg)
{
	const struct tcp_sock *tp = tcp_sk(sk);

	memset(leg, 0, sizeof(*leg));
	leg->state = sk->sk_state;
	tcp_splice_leg_addresses(sk, leg);
	leg->snd_wscale = tp->rx_opt.wscale_ok ? tp->rx_opt.snd_wscale : 0;
	leg->rcv_wscale = tp->rx_opt.wscale_ok ? tp->rx_opt.rcv_wscale : 0;
	leg->rcv_nxt = tp->rcv_nxt;
	leg->rcv_edge = tp->rcv_nxt + tcp_max_receive_window(tp);
	leg->copied_seq = tp->copied_seq;
	leg->snd_una = tp->snd_una;
	leg->write_seq = tp->write_seq;
	leg->snd_wnd = tp->snd_wnd;
	leg->ts_recent = tp->rx_opt.ts_recent;
	leg->tsval = tcp_clock_ts(tp->tcp_usec_ts) + tp->tsoffset;
	/* It is kept without the offset that the connection's own stamps have. */
	leg->tsecr = tp->rx_opt.rcv_tsecr ? tp->rx_opt.rcv_tsecr + tp->tsoffset : 0;
	leg->peer_mss = tp->rx_opt.mss_clamp;
	/* Once timestamps are agreed on, advmss is without their 12 bytes; what we said in our SYN was with them. */
	leg->our_mss = tp->advmss + (tp->rx_opt.tstamp_ok ? TCPOLEN_TSTAMP_ALIGNED : 0);
	if (tp->rx_opt.tstamp_ok)
		leg->flags |= TCP_SPLICE_LEG_TIMESTAMPS;
	if (tcp_is_sack(tp))
		leg->flags |= TCP_SPLICE_LEG_SACK;
	if (tp->ecn_flags & TCP_ECN_MODE_RFC3168)
		leg->flags |= TCP_SPLICE_LEG_ECN;
	if (tp->ecn_flags & TCP_ECN_MODE_ACCECN)
		leg->flags |= TCP_SPLICE_LEG_ACCECN;
	if (sk->sk_bound_dev_if || tcp_splice_leg_link_local(sk, leg))
		leg->flags |= TCP_SPLICE_LEG_SCOPED;
	if (tcp_splice_sk_signed(tp))
		leg->flags |= TCP_SPLICE_LEG_SIGNED;
	/* kTLS and its like, MPTCP, a sockmap. */
	if (inet_csk(sk)->icsk_ulp_ops || sk_is_mptcp(sk) || rcu_access_pointer(sk->sk_user_data))
		leg->flags |= TCP_SPLICE_LEG_ULP;
	if (tp->urg_data)
		leg->flags |= TCP_SPLICE_LEG_URGENT;
	if (tp->tcp_usec_ts)
		leg->flags |= TCP_SPLICE_LEG_USEC;
	if (sk->sk_err || sock_flag(sk, SOCK_DEAD) ||
	    (sk->sk_state == TCP_CLOSE && tp->snd_una != tp->write_seq))
		leg->flags |= TCP_SPLICE_LEG_DEAD;
}

void tcp_splice_flush_backlog(struct sock *sk)
{
	sk_flush_backlog(sk);
}

/*
 * Whatever a socket says until tcp_splice_unbind() promises no more room than it has promised: what it has read goes to a receiver that may
 * have none, and whose window, not the room that there is here now, its sender is to be told of. tcp_select_window() never takes
 * back what was promised, and stays with it if there is to be no more.
 */
static u32 tcp_splice_bind(struct sock *sk)
{
	u32 was = tcp_sk(sk)->rcv_ssthresh;

	tcp_sk(sk)->rcv_ssthresh = 0;
	return was;
}

static void tcp_splice_unbind(struct sock *sk, u32 was)
{
	tcp_sk(sk)->rcv_ssthresh = max(was, tcp_sk(sk)->rcv_ssthresh);
}

int tcp_splice_read_sock(struct sock *sk, read_descriptor_t *desc, sk_read_actor_t actor)
{
	u32 was = tcp_splice_bind(sk);
	int ret = tcp_read_sock(sk, desc, actor);

	tcp_splice_unbind(sk, was);
	return ret;
}

int tcp_splice_send(struct sock *sk, void *data, size_t len)
{
	struct msghdr msg = { .msg_flags = MSG_DONTWAIT | MSG_NOSIGNAL };
	u32 was = tcp_splice_bind(sk);
	struct kvec vec = { .iov_base = data, .iov_len = len };
	int sndbuf = sk->sk_sndbuf;
	int ret;

	/*
	 * What is moved was in a receive buffer and is bounded by it; it must not wait for room in
	 * the send buffer, since nobody would come back to send the rest.
	 */
	iov_iter_kvec(&msg.msg_iter, ITER_SOURCE, &vec, 1, len);
	WRITE_ONCE(sk->sk_sndbuf, INT_MAX);
	ret = tcp_sendmsg_locked(sk, &msg, len);
	WRITE_ONCE(sk->sk_sndbuf, sndbuf);
	tcp_splice_unbind(sk, was);
	return ret;
}

void tcp_splice_send_fin(struct sock *sk)
{
	u32 was = tcp_splice_bind(sk);

	sk->sk_prot->shutdown(sk, SEND_SHUTDOWN);
	tcp_splice_unbind(sk, was);
}

void tcp_splice_dormant(struct sock *sk, struct tcp_splice_settings *was)
{
	struct tcp_sock *tp = tcp_sk(sk);

	was->window_clamp = tp->window_clamp;
	was->rcv_ssthresh = tp->rcv_ssthresh;
	was->nonagle = tp->nonagle;
	was->keepopen = sock_flag(sk, SOCK_KEEPOPEN);
	/* What it repeats promises no more room, either, and what it may receive does not change that. */
	tcp_splice_bind(sk);
	WRITE_ONCE(tp->window_clamp, tcp_receive_window(tp));
	/* What it is told of windows from here on has the number that it expects: none is newer. */
	tcp_init_wl(tp, tp->rcv_nxt - 1);
	/* The caller's read and write end here; close() by the caller does not reach TCP. */
	WRITE_ONCE(sk->sk_shutdown, SHUTDOWN_MASK);
	sock_reset_flag(sk, SOCK_KEEPOPEN);
	if (sk->sk_prot->keepalive)
		sk->sk_prot->keepalive(sk, 0);
	sk->sk_state_change(sk);
}

/* What sleep has changed is as it was, for a socket that is open for its owner's sending. */
static void tcp_splice_restore(struct sock *sk, const struct tcp_splice_settings *was)
{
	struct tcp_sock *tp = tcp_sk(sk);

	tp->nonagle = was->nonagle;
	WRITE_ONCE(tp->window_clamp, max(was->window_clamp, tp->rcv_wnd));
	tcp_splice_unbind(sk, was->rcv_ssthresh);
	if (was->keepopen) {
		sock_set_flag(sk, SOCK_KEEPOPEN);
		if (sk->sk_prot->keepalive)
			sk->sk_prot->keepalive(sk, 1);
	}
	WRITE_ONCE(sk->sk_shutdown, sk->sk_state == TCP_ESTABLISHED ? 0 : RCV_SHUTDOWN);
}

void tcp_splice_rouse(struct sock *sk, const struct tcp_splice_settings *was)
{
	if (sk->sk_state == TCP_ESTABLISHED || sk->sk_state == TCP_CLOSE_WAIT) {
		tcp_splice_restore(sk, was);
		tcp_splice_woken(sk);
	}
}

static void tcp_splice_wake_receiver(struct sock *sk, const struct tcp_splice_stand *at)
{
	struct tcp_sock *tp = tcp_sk(sk);
	struct rb_node *node;
	int room;

	/* What was out of order was sent on at arming, or kept. */
	while ((node = rb_first(&tp->out_of_order_queue))) {
		rb_erase(node, &tp->out_of_order_queue);
		kfree_skb(rb_to_skb(node));
	}
	tp->ooo_last_skb = NULL;
	tp->rx_opt.num_sacks = 0;
	tp->rx_opt.dsack = 0;
	tp->compressed_ack = 0;
	inet_csk(sk)->icsk_ack.pending = 0;
	if (after(at->rcv_nxt, tp->rcv_nxt)) {
		tp->bytes_received += at->rcv_nxt - tp->rcv_nxt;
		WRITE_ONCE(tp->rcv_nxt, at->rcv_nxt);
		WRITE_ONCE(tp->copied_seq, at->rcv_nxt);
		tp->urg_seq = at->rcv_nxt;
		tp->compressed_ack_rcv_nxt = at->rcv_nxt;
		tp->rcv_rtt_est.seq = at->rcv_nxt;
		tp->rcvq_space.seq = at->rcv_nxt;
		tp->rcvq_space.time = tp->tcp_mstamp;
	}
	tp->rcv_wup = tp->rcv_nxt;
	/* What was promised is not taken back. */
	tp->rcv_wnd = after(at->rcv_edge, tp->rcv_nxt) ? at->rcv_edge - tp->rcv_nxt : 0;
	tp->rcv_mwnd_seq = tp->rcv_wup + tp->rcv_wnd;
	/* There must be room for it, as far as the host allows any socket. */
	room = min(tcp_space_from_win(sk, tp->rcv_wnd),
		   READ_ONCE(sock_net(sk)->ipv4.sysctl_tcp_rmem[2]));
	if (room > sk->sk_rcvbuf)
		WRITE_ONCE(sk->sk_rcvbuf, room);
	tp->ecn_flags &= ~(TCP_ECN_QUEUE_CWR | TCP_ECN_DEMAND_CWR);
	tp->pred_flags = 0;
}

static void tcp_splice_wake_sender(struct sock *sk, const struct tcp_splice_stand *at)
{
	struct inet_connection_sock *icsk = inet_csk(sk);
	struct tcp_sock *tp = tcp_sk(sk);

	/*
	 * How much was acknowledged bounds how old an acknowledgement may be (RFC 5961, section 5.2), and
	 * what was kept acknowledges less than was carried after it.
	 */
	tp->bytes_acked += at->snd_nxt - tp->snd_una;
	WRITE_ONCE(tp->write_seq, at->snd_nxt);
	WRITE_ONCE(tp->snd_nxt, at->snd_nxt);
	tp->snd_una = at->snd_nxt;
	tp->pushed_seq = at->snd_nxt;
	tp->snd_sml = at->snd_nxt;
	tp->snd_up = at->snd_nxt;
	tp->rtt_seq = at->snd_nxt;
	tp->high_seq = at->snd_nxt;
	tp->cwnd_usage_seq = at->snd_nxt;
	tp->rack.end_seq = at->snd_nxt;
	tp->tlp_high_seq = 0;
	tp->undo_marker = 0;
	tp->undo_retrans = -1;
	tp->retrans_stamp = 0;
	icsk->icsk_retransmits = 0;
	icsk->icsk_probes_out = 0;
	icsk->icsk_backoff = 0;
	icsk->icsk_mtup.probe_size = 0;
	/* As tcp_set_ca_state(). */
	if (icsk->icsk_ca_ops->set_state)
		icsk->icsk_ca_ops->set_state(sk, TCP_CA_Open);
	icsk->icsk_ca_state = TCP_CA_Open;
	tp->snd_wnd = after(at->snd_edge, at->snd_nxt) ? at->snd_edge - at->snd_nxt : 0;
	tp->max_window = max(tp->max_window, tp->snd_wnd);
	tcp_init_wl(tp, tp->rcv_nxt);
}

/*
 * Connection tracking has not seen what was spliced, and would call the rest invalid. From here on it does not
 * look at the numbers of this connection, as for one that comes back from a flow table (nft_flow_offload).
 */
static void tcp_splice_untrack_numbers(const struct sock *sk)
{
#if IS_ENABLED(CONFIG_NF_CONNTRACK)
	const struct nf_conntrack_tuple_hash *hash;
	struct nf_conntrack_tuple tuple = {};
	struct tcp_splice_leg leg = {};
	struct nf_conn *ct;

	/* As this host sends it: the same with NAT on either side of it. */
	tcp_splice_leg_addresses(sk, &leg);
	tuple.src.l3num = leg.family == 6 ? NFPROTO_IPV6 : NFPROTO_IPV4;
	memcpy(&tuple.src.u3, leg.local, sizeof(leg.local));
	memcpy(&tuple.dst.u3, leg.remote, sizeof(leg.remote));
	tuple.src.u.tcp.port = leg.lport;
	tuple.dst.u.tcp.port = leg.rport;
	tuple.dst.protonum = IPPROTO_TCP;
	hash = nf_conntrack_find_get(sock_net(sk), &nf_ct_zone_dflt, &tuple);
	if (!hash)
		return;
	ct = nf_ct_tuplehash_to_ctrack(hash);
	spin_lock_bh(&ct->lock);
	ct->proto.tcp.seen[0].flags |= IP_CT_TCP_FLAG_BE_LIBERAL;
	ct->proto.tcp.seen[1].flags |= IP_CT_TCP_FLAG_BE_LIBERAL;
	spin_unlock_bh(&ct->lock);
	nf_ct_put(ct);
#endif
}

int tcp_splice_wake(struct sock *sk, const struct tcp_splice_stand *at,
		    const struct tcp_splice_settings *was)
{
	struct tcp_sock *tp = tcp_sk(sk);

	/* A FIN of the peer that was there before the splice may have stayed here. */
	if (sk->sk_state != TCP_ESTABLISHED && sk->sk_state != TCP_CLOSE_WAIT)
		return -EPIPE;
	if (sk->sk_err || tp->packets_out || tp->write_seq != tp->snd_una)
		return -EPIPE;
	tcp_mstamp_refresh_inline(tp);
	tcp_splice_wake_receiver(sk, at);
	tcp_splice_wake_sender(sk, at);
	tp->rcv_tstamp = tcp_jiffies32;
	if (tp->rx_opt.tstamp_ok) {
		tp->tsoffset = at->tsval - tcp_clock_ts(tp->tcp_usec_ts);
		tp->rx_opt.ts_recent = at->ts_recent;
		tp->rx_opt.ts_recent_stamp = ktime_get_seconds();
	}
	tcp_splice_restore(sk, was);
	tcp_splice_untrack_numbers(sk);
	return 0;
}

void tcp_splice_woken(struct sock *sk)
{
	/* Its peer would ask only after a while, and nobody reads from a socket that has nothing: TCP itself would not say it. */
	if (tcp_receive_window(tcp_sk(sk)) < inet_csk(sk)->icsk_ack.rcv_mss &&
	    tcp_space(sk) >= inet_csk(sk)->icsk_ack.rcv_mss)
		__tcp_send_ack(sk, tcp_sk(sk)->rcv_nxt, 0);
	sk->sk_state_change(sk);
	set_bit(SOCK_NOSPACE, &sk->sk_socket->flags);
	sk->sk_write_space(sk);
	if (tcp_sk(sk)->rcv_nxt != tcp_sk(sk)->copied_seq)
		sk->sk_data_ready(sk);
}

struct sk_buff *tcp_splice_ooo_next(const struct sock *sk, struct sk_buff *skb)
{
	struct rb_node *node;

	node = skb ? rb_next(&skb->rbnode) : rb_first(&tcp_sk(sk)->out_of_order_queue);
	return node ? rb_to_skb(node) : NULL;
}

void tcp_splice_ooo_range(const struct sk_buff *skb, u32 *seq, u32 *len, bool *fin)
{
	*seq = TCP_SKB_CB(skb)->seq;
	*len = skb->len;
	*fin = TCP_SKB_CB(skb)->tcp_flags & TCPHDR_FIN;
}

bool tcp_splice_is_owned(const struct socket *sock)
{
	return file_count(sock->file) > 1;
}

void tcp_splice_push(struct sock *sk)
{
	tcp_sock_set_cork(sk, false);
	tcp_sock_set_nodelay(sk);
}

void tcp_splice_vanish(struct sock *sk)
{
	struct tcp_sock *tp = tcp_sk(sk);

	if (sk->sk_state == TCP_CLOSE)
		return;
	/* As TCP_REPAIR does: a socket under repair goes away without a FIN or a RST. */
	tp->repair = 1;
	sk->sk_prot->disconnect(sk, 0);
	tp->repair = 0;
}

bool tcp_splice_release_net(struct socket *sock)
{
	struct sock *sk = sock->sk;
	struct net *net = sock_net(sk);

	if (!sk->sk_net_refcnt)
		return true;
	/* The one reference is ours, and nobody can get another. */
	if (file_count(sock->file) > 1)
		return false;
	/* The reverse of sk_net_refcnt_upgrade(). */
	net_passive_inc(net);
	sk->sk_net_refcnt = 0;
	sock_inuse_add(net, -1);
	put_net_track(net, &sk->ns_tracker);
	__netns_tracker_alloc(net, &sk->ns_tracker, false, GFP_KERNEL);
	return true;
}

bool tcp_splice_regain_net(struct socket *sock)
{
	struct sock *sk = sock->sk;
	struct net *net = sock_net(sk);

	if (sk->sk_net_refcnt)
		return true;
	if (!maybe_get_net(net))
		return false;
	sk_net_refcnt_upgrade(sk);
	put_net(net);
	return true;
}

void tcp_splice_deliver(struct sock *sk, struct sk_buff *skb, unsigned int header_len)
{
	struct tcp_skb_cb *cb = TCP_SKB_CB(skb);
	const struct tcphdr *th;
	u64 limit;
	u8 dsfield;

	skb_orphan(skb);
	skb_dst_drop(skb);
	nf_reset_ct(skb);
	/* The caller knows; TCP would look at it again, in a way that a packet of our own is not prepared for. */
	skb->ip_summed = CHECKSUM_UNNECESSARY;
	/* As tcp_v4_rcv(): it may wait in a queue for longer than its device exists. */
	skb->dev = NULL;
	skb_set_transport_header(skb, header_len);
	__skb_pull(skb, header_len);
	th = tcp_hdr(skb);
	/* As tcp_v4_fill_cb() and tcp_v6_fill_cb(). */
	if (skb->protocol == htons(ETH_P_IP)) {
		memmove(&cb->header.h4, IPCB(skb), sizeof(struct inet_skb_parm));
		dsfield = ipv4_get_dsfield(ip_hdr(skb));
	} else {
#if IS_ENABLED(CONFIG_IPV6)
		memmove(&cb->header.h6, IP6CB(skb), sizeof(struct inet6_skb_parm));
#endif
		dsfield = ipv6_get_dsfield(ipv6_hdr(skb));
	}
	barrier();
	cb->seq = ntohl(th->seq);
	cb->end_seq = cb->seq + th->syn + th->fin + skb->len - th->doff * 4;
	cb->ack_seq = ntohl(th->ack_seq);
	cb->tcp_flags = tcp_flags_ntohs(th);
	cb->ip_dsfield = dsfield;
	cb->sacked = 0;
	cb->has_rxtstamp = false;
	/* As tcp_v4_rcv() and tcp_add_backlog(): a full receive queue does not keep acknowledgements out. */
	limit = ((u64)READ_ONCE(sk->sk_rcvbuf) << 1) + (READ_ONCE(sk->sk_sndbuf) >> 1) + 64 * 1024;
	bh_lock_sock_nested(sk);
	if (!sock_owned_by_user(sk))
		sk_backlog_rcv(sk, skb);
	else if (sk_add_backlog(sk, skb, min_t(u64, limit, UINT_MAX)))
		kfree_skb_reason(skb, SKB_DROP_REASON_SOCKET_BACKLOG);
	bh_unlock_sock(sk);
}
