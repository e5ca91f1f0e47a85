/* SPDX-License-Identifier: GPL-2.0 */
/*
 * C that Rust cannot say: macros, static inlines and bit-fields of the kernel. One function, one
 * inline; a few coarse ones on the packet path, where every call counts. bindgen reads this file.
 */
#ifndef TCP_SPLICE_HELPERS_H
#define TCP_SPLICE_HELPERS_H

#include <linux/netdevice.h>
#include <linux/netfilter.h>
#include <linux/rhashtable.h>
#include <linux/skbuff.h>
#include <linux/workqueue.h>
#include <net/genetlink.h>
#include <net/net_namespace.h>
#include <net/sock.h>

/* forward.c */
/* What became of a packet: it is gone, or still the caller's. */
#define TCP_SPLICE_SEND_DONE		0
/* No route, or none that serves: by a router where a neighbour is wanted, or to this host itself. */
#define TCP_SPLICE_SEND_NO_ROUTE	1
/* *mtu is what would fit; the packet has the route that it was too large for. */
#define TCP_SPLICE_SEND_TOO_BIG		2
#define TCP_SPLICE_SEND_NO_MEMORY	3
/* The neighbour is who the packet came from. */
#define TCP_SPLICE_SEND_LOOP		4
/*
 * Sends the packet, unchanged, in a frame to the neighbour with this address. Inside an RCU read section;
 * addresses are in network order, 4 or 16 bytes.
 */
int tcp_splice_send_direct(struct net *net, struct sk_buff *skb, u8 family, const u8 *via,
			   unsigned int *mtu);
/* Sends it in a packet of its own family from saddr, which may be zero, to via. */
int tcp_splice_send_tunnel(struct net *net, struct sk_buff *skb, u8 family, const u8 *saddr,
			   const u8 *via, unsigned int *mtu);
/*
 * Whether the frame is from the neighbour with this address: 1 or 0; -1 if its link-layer address is not known,
 * which is asked for then. *known keeps what was known last. Inside an RCU read section.
 */
int tcp_splice_came_from(struct net *net, const struct sk_buff *skb, u8 family, const u8 *via,
			 u64 *known);
/* Has the link-layer address of a neighbour asked for, or notes it in *known. Inside an RCU read section, bottom halves off. */
void tcp_splice_meet(struct net *net, u8 family, const u8 *via, u64 *known);
/* Takes off the outer header, and makes of the rest what receiving it would have. 0, or the packet is of no use. */
int tcp_splice_decapsulate(struct sk_buff *skb, u8 family, unsigned int header_len);
#define TCP_SPLICE_SOCKET_NONE		0
#define TCP_SPLICE_SOCKET_LIVE		1
#define TCP_SPLICE_SOCKET_TIME_WAIT	2
/* The socket of the connection that packets from saddr to daddr are of, listening ones not counted. */
int tcp_splice_socket_of(struct net *net, const struct sk_buff *skb, u8 family, const u8 *saddr,
			 __be16 sport, const u8 *daddr, __be16 dport);

/* net_namespace.c */
void *tcp_splice_net_generic(const struct net *net, unsigned int id);

/* genetlink.c */
struct net *tcp_splice_genl_info_net(const struct genl_info *info);
const struct genl_info *tcp_splice_genl_info_dump(struct netlink_callback *cb);
void tcp_splice_genl_dump_check_consistent(struct netlink_callback *cb, void *hdr);
void *tcp_splice_genlmsg_iput(struct sk_buff *skb, const struct genl_info *info);
int tcp_splice_genlmsg_reply(struct sk_buff *skb, struct genl_info *info);
int tcp_splice_genlmsg_multicast(const struct genl_family *family, struct net *net,
				 struct sk_buff *skb, u32 portid, unsigned int group, gfp_t flags);
bool tcp_splice_genl_has_listeners(const struct genl_family *family, struct net *net,
				   unsigned int group);
struct nlattr *tcp_splice_nla_nest_start(struct sk_buff *skb, int attrtype);
void tcp_splice_nla_nest_end(struct sk_buff *skb, struct nlattr *start);
void tcp_splice_nla_nest_cancel(struct sk_buff *skb, struct nlattr *start);

/* inet.c */
/*
 * Route toward daddr from saddr, which may be an address of this host; NULL if there is none.
 * The reference goes to the skb. Addresses in network order, 4 or 16 bytes. Softirq or process.
 */
bool tcp_splice_route(struct net *net, struct sk_buff *skb, u8 family, const u8 *saddr,
		      const u8 *daddr);
struct tcp_splice_way;
/*
 * The same toward where the packets of *last went, by the same route as long as that holds: as a socket keeps its own. The skb borrows
 * it: inside an RCU read section, until it is given away.
 */
bool tcp_splice_route_again(struct net *net, struct sk_buff *skb, struct tcp_splice_way **last, u8 family,
			    const u8 *saddr, const u8 *daddr);
/* Of one that nobody reads. */
void tcp_splice_way_free(struct tcp_splice_way *way);
/* Whether the packet, segment by segment if GSO, is larger than its route takes; the MTU in *mtu. */
bool tcp_splice_exceeds_mtu(const struct sk_buff *skb, u8 family, unsigned int *mtu);
void tcp_splice_send_too_big(struct sk_buff *skb, u8 family, unsigned int mtu);
void tcp_splice_send_ttl_exceeded(struct sk_buff *skb, u8 family);
/* Consumes the skb, which has a route. */
int tcp_splice_output(struct net *net, struct sk_buff *skb);

/* module.c */
bool tcp_splice_module_get(struct module *module);
void tcp_splice_module_put(struct module *module);

/* netfilter.c */
bool tcp_splice_checksum_ok(struct sk_buff *skb, u8 family, unsigned int header_len);
void tcp_splice_bh_disable(void);
void tcp_splice_bh_enable(void);

/* percpu.c */
u64 __percpu *tcp_splice_counters_alloc(unsigned int n);
void tcp_splice_counters_free(u64 __percpu *counters);
void tcp_splice_counters_inc(u64 __percpu *counters, unsigned int i);
/* Counts this CPU's up by one, and says what it was before. Bottom halves off. */
u64 tcp_splice_counters_next(u64 __percpu *counters, unsigned int i);
u64 tcp_splice_counters_sum(const u64 __percpu *counters, unsigned int i);

/* rhashtable.c */
/* Entries are an rhash_head followed by TCP_SPLICE_KEY_LEN bytes of key. */
#define TCP_SPLICE_KEY_LEN 40
int tcp_splice_table_init(struct rhashtable *ht);
void tcp_splice_table_destroy(struct rhashtable *ht);
struct rhash_head *tcp_splice_table_lookup(struct rhashtable *ht, const void *key);
int tcp_splice_table_insert(struct rhashtable *ht, struct rhash_head *head);
int tcp_splice_table_remove(struct rhashtable *ht, struct rhash_head *head);

/* skbuff.c */
/* The first len bytes from the network header, contiguous; NULL when the packet is shorter. */
void *tcp_splice_skb_pull(struct sk_buff *skb, unsigned int len);
/* The same, and not shared with anybody; NULL without memory. */
void *tcp_splice_skb_writable(struct sk_buff *skb, unsigned int len);
unsigned int tcp_splice_skb_len(const struct sk_buff *skb);
bool tcp_splice_skb_partial(const struct sk_buff *skb);
/* Merged by a device that was not asked to: it cannot be taken apart again. */
bool tcp_splice_skb_is_lro(const struct sk_buff *skb);
/* What forwarding does to a packet before it leaves: no owner, no connection tracking, no stamps. */
void tcp_splice_skb_forward(struct sk_buff *skb);
void tcp_splice_skb_untrack(struct sk_buff *skb);
/* Whether a packet that is sent here goes to this host. */
bool tcp_splice_skb_stays(const struct sk_buff *skb);
void tcp_splice_skb_forget_sender(struct sk_buff *skb);
/* A new packet of len bytes from the network header on; contents undefined. */
struct sk_buff *tcp_splice_skb_new(u8 family, unsigned int len, void **data);
void tcp_splice_skb_as_received(struct sk_buff *skb, const struct sk_buff *like);
/* Gives a packet whose TCP header is linear, and whose checksum is known to be right, to a socket. */
void tcp_splice_deliver(struct sock *sk, struct sk_buff *skb, unsigned int header_len);
/* A copy that shares no header; its payload may be shared. It forgets where it came in. */
struct sk_buff *tcp_splice_skb_copy(struct sk_buff *skb);
/*
 * Cuts the packet after len bytes, of which headers are IP and TCP headers. NULL without memory; else the
 * headers, which the caller has to make right, with the sum of the pseudo-header as checksum.
 */
void *tcp_splice_skb_cut(struct sk_buff *skb, unsigned int len, unsigned int ip_header,
			 unsigned int headers);
/* Has the packet leave in segments of at most mss bytes of payload; as above. */
void *tcp_splice_skb_segment(struct sk_buff *skb, u8 family, unsigned int mss,
			     unsigned int ip_header, unsigned int headers);
/* Has a packet forget its device, its route and its socket, to wait. */
void tcp_splice_skb_park(struct sk_buff *skb);
/* The segments of a GSO packet with CHECKSUM_PARTIAL, as a list, for which the packet is used up; NULL if it cannot be done. */
struct sk_buff *tcp_splice_skb_segments(struct sk_buff *skb);
/* Takes the first off such a list; NULL at its end. */
struct sk_buff *tcp_splice_skb_next_segment(struct sk_buff **segments);
/* It was made here and has come by no device. */
bool tcp_splice_skb_is_own(const struct sk_buff *skb);
/* Bytes of payload in the largest segment of the packet. */
unsigned int tcp_splice_skb_segment_len(const struct sk_buff *skb, unsigned int headers);
/* Memory that the packet takes. */
unsigned int tcp_splice_skb_truesize(const struct sk_buff *skb);
void tcp_splice_skb_free(struct sk_buff *skb);
void tcp_splice_skb_free_dropped(struct sk_buff *skb);
void tcp_splice_skb_queue_init(struct sk_buff_head *queue);
/* A queued packet holds its device, and its route if it has one; dequeue gives the hold to *dev. */
void tcp_splice_skb_queue_tail(struct sk_buff_head *queue, struct sk_buff *skb);
struct sk_buff *tcp_splice_skb_queue_first(const struct sk_buff_head *queue);
struct sk_buff *tcp_splice_skb_dequeue(struct sk_buff_head *queue, struct net_device **dev);
void tcp_splice_dev_put(struct net_device *dev);

/* tcp.c */
struct net *tcp_splice_sock_net(const struct sock *sk);
#define TCP_SPLICE_LEG_TIMESTAMPS	BIT(0)
#define TCP_SPLICE_LEG_SACK		BIT(1)
#define TCP_SPLICE_LEG_ECN		BIT(2)
#define TCP_SPLICE_LEG_SIGNED		BIT(3)
#define TCP_SPLICE_LEG_ULP		BIT(4)
#define TCP_SPLICE_LEG_URGENT		BIT(5)
#define TCP_SPLICE_LEG_USEC		BIT(6)
#define TCP_SPLICE_LEG_DEAD		BIT(7)
#define TCP_SPLICE_LEG_ACCECN		BIT(8)
#define TCP_SPLICE_LEG_SCOPED		BIT(9)

/* Numbers of a connected TCP socket, host order but for ports and addresses. */
struct tcp_splice_leg {
	u8 family;
	u8 state;
	u8 snd_wscale;
	u8 rcv_wscale;
	u32 flags;
	u8 local[16];
	u8 remote[16];
	__be16 lport;
	__be16 rport;
	u32 rcv_nxt;
	/* Where the widest window ends that the peer was given. */
	u32 rcv_edge;
	u32 copied_seq;
	u32 snd_una;
	u32 write_seq;
	u32 snd_wnd;
	u32 ts_recent;
	u32 tsval;
	/* The last TSecr that came in: what the peer echoed of ours. */
	u32 tsecr;
	/* The largest segment that the peer takes, and that we said we take; without options. */
	u16 peer_mss;
	u16 our_mss;
};

/* Where a connection stands when its socket wakes up again; numbers of the socket, host order. */
struct tcp_splice_stand {
	u32 rcv_nxt;
	/* Where the window ends that the peer was given. */
	u32 rcv_edge;
	u32 snd_nxt;
	/* Where the window ends that the peer gave. */
	u32 snd_edge;
	u32 ts_recent;
	/* Our TSval goes on from here. */
	u32 tsval;
};

bool tcp_splice_sk_is_tcp(const struct socket *sock);
void tcp_splice_sockfd_put(struct socket *sock);
/* From here on the socket is locked by the caller, where nothing else is said. */
void tcp_splice_lock_sock(struct sock *sk, int subclass);
void tcp_splice_leg_read(struct sock *sk, struct tcp_splice_leg *leg);
void tcp_splice_flush_backlog(struct sock *sk);
int tcp_splice_read_sock(struct sock *sk, read_descriptor_t *desc, sk_read_actor_t actor);
int tcp_splice_send(struct sock *sk, void *data, size_t len);
void tcp_splice_send_fin(struct sock *sk);
/* What of a socket's settings its sleep changes. */
struct tcp_splice_settings {
	u32 window_clamp;
	u32 rcv_ssthresh;
	u8 nonagle;
	bool keepopen;
};

void tcp_splice_dormant(struct sock *sk, struct tcp_splice_settings *was);
/* 0, or -EPIPE when the socket cannot go on: it was closed, or has unacknowledged bytes. */
int tcp_splice_wake(struct sock *sk, const struct tcp_splice_stand *at,
		    const struct tcp_splice_settings *was);
/* The same for a socket whose numbers are what they were, and tells who waits for it. Nothing for one that was closed. */
void tcp_splice_rouse(struct sock *sk, const struct tcp_splice_settings *was);
/* Tells who waits for the socket that it can be used, and its peer if that was told of no room. */
void tcp_splice_woken(struct sock *sk);
/* What was received out of order, in order of its numbers; NULL after the last. */
struct sk_buff *tcp_splice_ooo_next(const struct sock *sk, struct sk_buff *skb);
void tcp_splice_ooo_range(const struct sk_buff *skb, u32 *seq, u32 *len, bool *fin);
/* Whether anybody but us has the socket's file. */
bool tcp_splice_is_owned(const struct socket *sock);
void tcp_splice_vanish(struct sock *sk);
/* Nothing waits to be sent for Nagle's sake or a cork's. Not locked. */
void tcp_splice_push(struct sock *sk);
/*
 * The network namespace is no longer kept alive by this socket. Only if nobody else has its file:
 * who has it could use a namespace that is gone. Not locked.
 */
bool tcp_splice_release_net(struct socket *sock);
/* The reverse, before such a socket is closed; false when the namespace is ending. */
bool tcp_splice_regain_net(struct socket *sock);

/* handoff.c */
/*
 * Copies what a locked socket has sent, or is to send, from number seq on, as far as it is in one piece: the bytes copied, 0 if
 * there are none, or a negative error.
 */
int tcp_splice_read_sent(struct sock *sk, u32 seq, void *to, u32 len);
/* The same of what it has received and nobody has read, or the next after a gap: *seq is where it begins then. */
int tcp_splice_read_received(struct sock *sk, u32 *seq, void *to, u32 len);
/* Whether windows are scaled, bytes that were acknowledged, 2^30 at most, and the number after the last that was sent. */
void tcp_splice_leg_history(const struct sock *sk, bool *scales, u32 *acked, u32 *sent);

/* A connection as it comes from another host; host order but for ports and addresses. */
struct tcp_splice_migrant {
	u8 family;
	/* Shift of windows that were announced to the client. */
	u8 rcv_wscale;
	bool scales;
	bool timestamps;
	bool usec;
	bool sack;
	bool ecn;
	u8 local[16];
	u8 remote[16];
	__be16 lport;
	__be16 rport;
	/* Where the window ends that the client was given. */
	u32 rcv_edge;
	u32 snd_una;
	/* Bytes that the client has acknowledged. */
	u32 acked;
	/* Our TSval goes on from here. */
	u32 tsval;
	/* Bytes that it will be given to read. */
	u32 data;
};

#define TCP_SPLICE_BIRTH_DONE		0
/* The address is none of this host. */
#define TCP_SPLICE_BIRTH_NOT_LOCAL	1
#define TCP_SPLICE_BIRTH_NO_ROUTE	2
#define TCP_SPLICE_BIRTH_NOBODY		3
#define TCP_SPLICE_BIRTH_FULL		4
/* SYN cookies have no place for numbers. */
#define TCP_SPLICE_BIRTH_COOKIES	5
#define TCP_SPLICE_BIRTH_EXISTS		6
#define TCP_SPLICE_BIRTH_SIGNED		7
#define TCP_SPLICE_BIRTH_DEFERS		8
#define TCP_SPLICE_BIRTH_OPTIONS	9
/* For any other reason. */
#define TCP_SPLICE_BIRTH_REFUSED	10
/* The owner does not listen, is of another address family, or bound to another device. */
#define TCP_SPLICE_BIRTH_NO_OWNER	11
/*
 * Has the listening socket owner, or whoever listens on the connection's address and port if that is NULL, get a connection with these numbers: through the SYN that its client had sent, or will have had, and an
 * ACK. All three packets are used up; rst takes back what the SYN has made. Of both sockets there are references then, and
 * both are locked. What they send meanwhile must not leave. May sleep.
 */
int tcp_splice_birth(struct net *net, const struct tcp_splice_migrant *m, struct sock *owner,
		     struct sk_buff *syn, struct sk_buff *ack, struct sk_buff *rst,
		     struct sock **listener, struct sock **child);
/* Lets go of both. */
void tcp_splice_born(struct sock *listener, struct sock *child);
/* The same, for a child that cannot live; it sends nothing. */
void tcp_splice_stillborn(struct sock *listener, struct sock *child);
/* As tcp_splice_send(), of what another host has sent already: nothing leaves. */
int tcp_splice_sent_before(struct sock *sk, void *data, size_t len);
u32 tcp_splice_rcv_nxt(const struct sock *sk);

/* workqueue.c */
void tcp_splice_delayed_work_init(struct delayed_work *dwork, work_func_t func);
void tcp_splice_delayed_work_wait(struct delayed_work *dwork);
struct workqueue_struct *tcp_splice_workqueue(void);

#endif
