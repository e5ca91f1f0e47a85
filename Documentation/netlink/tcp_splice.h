/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */
/* Do not edit directly, auto-generated from: */
/*	Documentation/netlink/specs/tcp_splice.yaml */
/* To regenerate run, from the top of the tree: cargo run --manifest-path tools/Cargo.toml -p ynl-gen */

#ifndef _UAPI_LINUX_TCP_SPLICE_H
#define _UAPI_LINUX_TCP_SPLICE_H

#define TCP_SPLICE_FAMILY_NAME		"tcp-splice"
#define TCP_SPLICE_FAMILY_VERSION	1

/**
 * enum tcp_splice_splice_state - Where a splice stands in its life.
 * @TCP_SPLICE_SPLICE_STATE_ARMING: Being set up; packets are held until the
 *   numbers are known.
 * @TCP_SPLICE_SPLICE_STATE_DRAINING: Carrying data end to end, while a local
 *   socket still retransmits bytes that the proxy had sent before and that are
 *   not acknowledged.
 * @TCP_SPLICE_SPLICE_STATE_ESTABLISHED: Carrying data end to end; header edits
 *   only.
 * @TCP_SPLICE_SPLICE_STATE_CLOSING: A FIN was seen in at least one direction.
 * @TCP_SPLICE_SPLICE_STATE_RETURNING: A limit was reached, or a return was
 *   asked for: nothing new is carried, and the sockets are given back once all
 *   that was carried is acknowledged.
 * @TCP_SPLICE_SPLICE_STATE_TOMBSTONE: Ended; late packets are still carried or
 *   answered until the entry is removed.
 * @TCP_SPLICE_SPLICE_STATE_OPENING: A service has given the connection to a
 *   server, which has not answered yet; or its client has not acknowledged
 *   that.
 */
enum tcp_splice_splice_state {
	TCP_SPLICE_SPLICE_STATE_ARMING,
	TCP_SPLICE_SPLICE_STATE_DRAINING,
	TCP_SPLICE_SPLICE_STATE_ESTABLISHED,
	TCP_SPLICE_SPLICE_STATE_CLOSING,
	TCP_SPLICE_SPLICE_STATE_RETURNING,
	TCP_SPLICE_SPLICE_STATE_TOMBSTONE,
	TCP_SPLICE_SPLICE_STATE_OPENING,
};

/**
 * enum tcp_splice_splice_kind - What the two flows are of.
 * @TCP_SPLICE_SPLICE_KIND_SPLICE: Two connections, of a proxy.
 * @TCP_SPLICE_SPLICE_KIND_HANDOFF: A connection that has moved to another
 *   host, which gets the client's packets as they are.
 * @TCP_SPLICE_SPLICE_KIND_NAT: A connection that a service has given to a
 *   server, whose answers come by here; addresses and ports are rewritten, and
 *   no numbers.
 * @TCP_SPLICE_SPLICE_KIND_REWRITE: The same, of a server that answers the
 *   client itself; the flow to the client is not seen here.
 */
enum tcp_splice_splice_kind {
	TCP_SPLICE_SPLICE_KIND_SPLICE,
	TCP_SPLICE_SPLICE_KIND_HANDOFF,
	TCP_SPLICE_SPLICE_KIND_NAT,
	TCP_SPLICE_SPLICE_KIND_REWRITE,
};

/**
 * enum tcp_splice_end_reason - Why a splice ended.
 * @TCP_SPLICE_END_REASON_NONE: It has not ended.
 * @TCP_SPLICE_END_REASON_FIN: Both directions were closed with a FIN and
 *   acknowledged.
 * @TCP_SPLICE_END_REASON_RESET_BY_CLIENT: The client sent a valid RST.
 * @TCP_SPLICE_END_REASON_RESET_BY_SERVER: The server sent a valid RST.
 * @TCP_SPLICE_END_REASON_DELETED: An operator deleted it; both ends got a RST.
 * @TCP_SPLICE_END_REASON_IDLE: No packet for longer than its idle timeout;
 *   both ends got a RST.
 * @TCP_SPLICE_END_REASON_UNDELIVERABLE: A local socket gave up on bytes that
 *   the proxy had sent and that were never acknowledged; both ends got a RST.
 * @TCP_SPLICE_END_REASON_RETURNED: The connections are the caller's sockets
 *   again, at the byte where the splice stopped.
 */
enum tcp_splice_end_reason {
	TCP_SPLICE_END_REASON_NONE,
	TCP_SPLICE_END_REASON_FIN,
	TCP_SPLICE_END_REASON_RESET_BY_CLIENT,
	TCP_SPLICE_END_REASON_RESET_BY_SERVER,
	TCP_SPLICE_END_REASON_DELETED,
	TCP_SPLICE_END_REASON_IDLE,
	TCP_SPLICE_END_REASON_UNDELIVERABLE,
	TCP_SPLICE_END_REASON_RETURNED,
};

/**
 * enum tcp_splice_del_mode - How a splice is ended on request.
 * @TCP_SPLICE_DEL_MODE_RESET: At once; both ends get a RST that carries the
 *   exact number they expect.
 * @TCP_SPLICE_DEL_MODE_RETURN: The sockets that it was made from become usable
 *   again, once all bytes that were carried are acknowledged.
 * @TCP_SPLICE_DEL_MODE_FORGET: It has ended on another host that carries
 *   packets of it, too: nobody is told, and late packets are still carried.
 *   Give the reason with it.
 */
enum tcp_splice_del_mode {
	TCP_SPLICE_DEL_MODE_RESET,
	TCP_SPLICE_DEL_MODE_RETURN,
	TCP_SPLICE_DEL_MODE_FORGET,
};

/**
 * enum tcp_splice_splice_flags - What a splice does at certain moments.
 * @TCP_SPLICE_SPLICE_FLAGS_RETURN_ON_FIN: A FIN of either side is not carried:
 *   it ends the splice as a limit does, and the socket toward that side reads
 *   end of file. Any limit implies this.
 * @TCP_SPLICE_SPLICE_FLAGS_CUT_WHEN_IDLE: The idle timeout cuts at once;
 *   without this both ends are probed first.
 * @TCP_SPLICE_SPLICE_FLAGS_REPLICATED: Other hosts carry packets of it, too,
 *   so that what is not seen here has not failed to happen: it is never cut
 *   for being idle, its progress is told by splice-change-ntf and taken from
 *   splice-set.
 * @TCP_SPLICE_SPLICE_FLAGS_SPLIT: The server's socket is on this host: what it
 *   sends, packets of to-client, is carried where it is sent, to the client
 *   and past the proxies. For a splice made of numbers; it is a replicated
 *   one.
 */
enum tcp_splice_splice_flags {
	TCP_SPLICE_SPLICE_FLAGS_RETURN_ON_FIN = 1,
	TCP_SPLICE_SPLICE_FLAGS_CUT_WHEN_IDLE = 2,
	TCP_SPLICE_SPLICE_FLAGS_REPLICATED = 4,
	TCP_SPLICE_SPLICE_FLAGS_SPLIT = 8,
};

/**
 * enum tcp_splice_flow_flags - Which translations a flow does, and how far its
 *   direction has come.
 * @TCP_SPLICE_FLOW_FLAGS_TIMESTAMPS: Both connections use RFC 7323 timestamps;
 *   TSval and TSecr are translated.
 * @TCP_SPLICE_FLOW_FLAGS_SACK: Both connections use RFC 2018 selective
 *   acknowledgement; SACK edges are translated.
 * @TCP_SPLICE_FLOW_FLAGS_DRAINING: The local socket toward this flow's sender
 *   still has unacknowledged bytes, so acknowledgements are raised to
 *   ack-floor when they fall below it.
 * @TCP_SPLICE_FLOW_FLAGS_FIN_SEEN: The sender of this flow sent a FIN;
 *   seq-next counts it.
 * @TCP_SPLICE_FLOW_FLAGS_FIN_ACKED: The receiver acknowledged that FIN.
 * @TCP_SPLICE_FLOW_FLAGS_ECHOING: The sender may still echo timestamps of the
 *   local socket toward it; such an echo is replaced by tsecr-floor.
 * @TCP_SPLICE_FLOW_FLAGS_FLOORED: Acknowledgements are raised to ack-floor for
 *   as long as the splice lives, draining or not.
 */
enum tcp_splice_flow_flags {
	TCP_SPLICE_FLOW_FLAGS_TIMESTAMPS = 1,
	TCP_SPLICE_FLOW_FLAGS_SACK = 2,
	TCP_SPLICE_FLOW_FLAGS_DRAINING = 4,
	TCP_SPLICE_FLOW_FLAGS_FIN_SEEN = 8,
	TCP_SPLICE_FLOW_FLAGS_FIN_ACKED = 16,
	TCP_SPLICE_FLOW_FLAGS_ECHOING = 32,
	TCP_SPLICE_FLOW_FLAGS_FLOORED = 64,
};

/**
 * enum tcp_splice_scheduler - How a service chooses a node for a packet.
 * @TCP_SPLICE_SCHEDULER_RR: Each packet goes to the next node that is up,
 *   whatever connection it belongs to; of nodes with output nat or rewrite,
 *   each connection.
 * @TCP_SPLICE_SCHEDULER_WEIGHTED: The same, in proportion to the weights.
 * @TCP_SPLICE_SCHEDULER_HASH: All packets of a connection go to the node that
 *   scores highest for its client's address and port. A node that comes or
 *   goes moves only its own share.
 * @TCP_SPLICE_SCHEDULER_PORTS: A packet goes to the node whose range contains
 *   its destination port.
 * @TCP_SPLICE_SCHEDULER_LEAST: A connection goes to the node that has the
 *   fewest for its weight; of those that are equal, in turn. For nodes with
 *   output nat or rewrite, where connections are known.
 * @TCP_SPLICE_SCHEDULER_SOURCE: As hash, by the client's address alone; all
 *   its connections go to one node.
 */
enum tcp_splice_scheduler {
	TCP_SPLICE_SCHEDULER_RR,
	TCP_SPLICE_SCHEDULER_WEIGHTED,
	TCP_SPLICE_SCHEDULER_HASH,
	TCP_SPLICE_SCHEDULER_PORTS,
	TCP_SPLICE_SCHEDULER_LEAST,
	TCP_SPLICE_SCHEDULER_SOURCE,
};

/**
 * enum tcp_splice_node_state - What a node is given.
 * @TCP_SPLICE_NODE_STATE_UP: Everything.
 * @TCP_SPLICE_NODE_STATE_DRAINING: No new connection, but packets of
 *   connections that it may have.
 * @TCP_SPLICE_NODE_STATE_DOWN: Nothing.
 */
enum tcp_splice_node_state {
	TCP_SPLICE_NODE_STATE_UP,
	TCP_SPLICE_NODE_STATE_DRAINING,
	TCP_SPLICE_NODE_STATE_DOWN,
};

/**
 * enum tcp_splice_node_output - How a packet gets to a node.
 * @TCP_SPLICE_NODE_OUTPUT_DIRECT: Unchanged, in a frame to the link-layer
 *   address of the node, which is a neighbour on an Ethernet.
 * @TCP_SPLICE_NODE_OUTPUT_TUNNEL: In a packet of its own family to the address
 *   of the node (IPIP, IP6IP6).
 * @TCP_SPLICE_NODE_OUTPUT_NAT: With the node's address, and its port, as
 *   destination, as it is routed. The server's answers have to come by this
 *   host, and get the service's address and port as source. The first packet
 *   of a connection chooses the node for all.
 * @TCP_SPLICE_NODE_OUTPUT_REWRITE: The same on the way to the server, which
 *   answers the client itself: on its host the node is local, and what the
 *   server sends gets the service's address and port there.
 */
enum tcp_splice_node_output {
	TCP_SPLICE_NODE_OUTPUT_DIRECT,
	TCP_SPLICE_NODE_OUTPUT_TUNNEL,
	TCP_SPLICE_NODE_OUTPUT_NAT,
	TCP_SPLICE_NODE_OUTPUT_REWRITE,
};

/**
 * enum tcp_splice_node_flags - What else is to know of a node.
 * @TCP_SPLICE_NODE_FLAGS_LOCAL: The node is this host. It makes the host a
 *   proxy of the service; without one it is a load balancer.
 */
enum tcp_splice_node_flags {
	TCP_SPLICE_NODE_FLAGS_LOCAL = 1,
};

/**
 * enum tcp_splice_handoff_flags - What was negotiated for a connection that
 *   moves, and where it stands.
 * @TCP_SPLICE_HANDOFF_FLAGS_TIMESTAMPS: RFC 7323 timestamps.
 * @TCP_SPLICE_HANDOFF_FLAGS_MICROSECONDS: This side's timestamps tick in
 *   microseconds.
 * @TCP_SPLICE_HANDOFF_FLAGS_SACK: RFC 2018 selective acknowledgement.
 * @TCP_SPLICE_HANDOFF_FLAGS_SCALING: RFC 7323 window scaling.
 * @TCP_SPLICE_HANDOFF_FLAGS_ECN: RFC 3168 explicit congestion notification.
 * @TCP_SPLICE_HANDOFF_FLAGS_FIN: The client has sent a FIN, which rcv-next
 *   counts.
 */
enum tcp_splice_handoff_flags {
	TCP_SPLICE_HANDOFF_FLAGS_TIMESTAMPS = 1,
	TCP_SPLICE_HANDOFF_FLAGS_MICROSECONDS = 2,
	TCP_SPLICE_HANDOFF_FLAGS_SACK = 4,
	TCP_SPLICE_HANDOFF_FLAGS_SCALING = 8,
	TCP_SPLICE_HANDOFF_FLAGS_ECN = 16,
	TCP_SPLICE_HANDOFF_FLAGS_FIN = 32,
};

/**
 * enum tcp_splice_handoff_stream - Which bytes of a connection that moves.
 * @TCP_SPLICE_HANDOFF_STREAM_RECEIVED: The client has sent them, and nobody
 *   has read them.
 * @TCP_SPLICE_HANDOFF_STREAM_SENT: They were sent to the client, or are to be,
 *   and were not acknowledged.
 */
enum tcp_splice_handoff_stream {
	TCP_SPLICE_HANDOFF_STREAM_RECEIVED,
	TCP_SPLICE_HANDOFF_STREAM_SENT,
};

enum {
	TCP_SPLICE_A_FLOW_SADDR = 1,
	TCP_SPLICE_A_FLOW_DADDR,
	TCP_SPLICE_A_FLOW_SPORT,
	TCP_SPLICE_A_FLOW_DPORT,
	TCP_SPLICE_A_FLOW_NEW_SADDR,
	TCP_SPLICE_A_FLOW_NEW_DADDR,
	TCP_SPLICE_A_FLOW_NEW_SPORT,
	TCP_SPLICE_A_FLOW_NEW_DPORT,
	TCP_SPLICE_A_FLOW_SEQ_DELTA,
	TCP_SPLICE_A_FLOW_ACK_DELTA,
	TCP_SPLICE_A_FLOW_TSVAL_DELTA,
	TCP_SPLICE_A_FLOW_TSECR_DELTA,
	TCP_SPLICE_A_FLOW_WSCALE_IN,
	TCP_SPLICE_A_FLOW_WSCALE_OUT,
	TCP_SPLICE_A_FLOW_FLAGS,
	TCP_SPLICE_A_FLOW_SEQ_ORIGIN,
	TCP_SPLICE_A_FLOW_SEQ_NEXT,
	TCP_SPLICE_A_FLOW_ACK_LAST,
	TCP_SPLICE_A_FLOW_ACK_FLOOR,
	TCP_SPLICE_A_FLOW_PACKETS,
	TCP_SPLICE_A_FLOW_BYTES,
	TCP_SPLICE_A_FLOW_MSS,
	TCP_SPLICE_A_FLOW_WINDOW_EDGE,
	TCP_SPLICE_A_FLOW_TSVAL_LAST,
	TCP_SPLICE_A_FLOW_TSECR_FLOOR,
	TCP_SPLICE_A_FLOW_OUTPUT,
	TCP_SPLICE_A_FLOW_VIA,

	__TCP_SPLICE_A_FLOW_MAX,
	TCP_SPLICE_A_FLOW_MAX = (__TCP_SPLICE_A_FLOW_MAX - 1)
};

enum {
	TCP_SPLICE_A_SPLICE_ID = 1,
	TCP_SPLICE_A_SPLICE_CLIENT_FD,
	TCP_SPLICE_A_SPLICE_SERVER_FD,
	TCP_SPLICE_A_SPLICE_TO_SERVER,
	TCP_SPLICE_A_SPLICE_TO_CLIENT,
	TCP_SPLICE_A_SPLICE_IDLE_TIMEOUT,
	TCP_SPLICE_A_SPLICE_STATE,
	TCP_SPLICE_A_SPLICE_REASON,
	TCP_SPLICE_A_SPLICE_AGE,
	TCP_SPLICE_A_SPLICE_IDLE,
	TCP_SPLICE_A_SPLICE_MOVED_TO_SERVER,
	TCP_SPLICE_A_SPLICE_MOVED_TO_CLIENT,
	TCP_SPLICE_A_SPLICE_LIMIT_TO_SERVER,
	TCP_SPLICE_A_SPLICE_LIMIT_TO_CLIENT,
	TCP_SPLICE_A_SPLICE_FLAGS,
	TCP_SPLICE_A_SPLICE_MODE,
	TCP_SPLICE_A_SPLICE_KIND,

	__TCP_SPLICE_A_SPLICE_MAX,
	TCP_SPLICE_A_SPLICE_MAX = (__TCP_SPLICE_A_SPLICE_MAX - 1)
};

enum {
	TCP_SPLICE_A_STATS_SPLICES = 1,
	TCP_SPLICE_A_STATS_TOMBSTONES,
	TCP_SPLICE_A_STATS_CREATED,
	TCP_SPLICE_A_STATS_ENDED,
	TCP_SPLICE_A_STATS_REFUSED,
	TCP_SPLICE_A_STATS_TRANSLATED,
	TCP_SPLICE_A_STATS_HELD,
	TCP_SPLICE_A_STATS_DRAINED,
	TCP_SPLICE_A_STATS_RETURNED,
	TCP_SPLICE_A_STATS_KEPT,
	TCP_SPLICE_A_STATS_MOVED_OUT_OF_ORDER,
	TCP_SPLICE_A_STATS_RESEGMENTED,
	TCP_SPLICE_A_STATS_PROBES,
	TCP_SPLICE_A_STATS_ANSWERED,
	TCP_SPLICE_A_STATS_ICMP_ERRORS,
	TCP_SPLICE_A_STATS_DROP_HELD,
	TCP_SPLICE_A_STATS_DROP_MALFORMED,
	TCP_SPLICE_A_STATS_DROP_TTL,
	TCP_SPLICE_A_STATS_DROP_NO_ROUTE,
	TCP_SPLICE_A_STATS_DROP_TOO_BIG,
	TCP_SPLICE_A_STATS_DROP_NO_MEMORY,
	TCP_SPLICE_A_STATS_DROP_INVALID_RST,
	TCP_SPLICE_A_STATS_DROP_LOCAL,
	TCP_SPLICE_A_STATS_DISPATCHED,
	TCP_SPLICE_A_STATS_DECAPSULATED,
	TCP_SPLICE_A_STATS_DROP_NO_NODE,
	TCP_SPLICE_A_STATS_DROP_NOT_OWNED,
	TCP_SPLICE_A_STATS_DROP_LOOP,
	TCP_SPLICE_A_STATS_WAITED,
	TCP_SPLICE_A_STATS_FORWARDED,
	TCP_SPLICE_A_STATS_HANDED_OFF,
	TCP_SPLICE_A_STATS_TAKEN_OVER,
	TCP_SPLICE_A_STATS_OPENING,
	TCP_SPLICE_A_STATS_ASSIGNED,
	TCP_SPLICE_A_STATS_REWRITTEN,
	TCP_SPLICE_A_STATS_DROP_NO_ROW,
	TCP_SPLICE_A_STATS_DROP_OPENING,
	TCP_SPLICE_A_STATS_DROP_FULL,

	__TCP_SPLICE_A_STATS_MAX,
	TCP_SPLICE_A_STATS_MAX = (__TCP_SPLICE_A_STATS_MAX - 1)
};

enum {
	TCP_SPLICE_A_SERVICE_ADDRESS = 1,
	TCP_SPLICE_A_SERVICE_PORT,
	TCP_SPLICE_A_SERVICE_SCHEDULER,
	TCP_SPLICE_A_SERVICE_SEED,
	TCP_SPLICE_A_SERVICE_NODES,

	__TCP_SPLICE_A_SERVICE_MAX,
	TCP_SPLICE_A_SERVICE_MAX = (__TCP_SPLICE_A_SERVICE_MAX - 1)
};

enum {
	TCP_SPLICE_A_NODE_ADDRESS = 1,
	TCP_SPLICE_A_NODE_PORT,
	TCP_SPLICE_A_NODE_ID,
	TCP_SPLICE_A_NODE_VIA,
	TCP_SPLICE_A_NODE_WEIGHT,
	TCP_SPLICE_A_NODE_STATE,
	TCP_SPLICE_A_NODE_OUTPUT,
	TCP_SPLICE_A_NODE_FLAGS,
	TCP_SPLICE_A_NODE_PORT_LOW,
	TCP_SPLICE_A_NODE_PORT_HIGH,
	TCP_SPLICE_A_NODE_PACKETS,
	TCP_SPLICE_A_NODE_SINCE,
	TCP_SPLICE_A_NODE_SERVER_PORT,
	TCP_SPLICE_A_NODE_CONNECTIONS,

	__TCP_SPLICE_A_NODE_MAX,
	TCP_SPLICE_A_NODE_MAX = (__TCP_SPLICE_A_NODE_MAX - 1)
};

enum {
	TCP_SPLICE_A_HANDOFF_ID = 1,
	TCP_SPLICE_A_HANDOFF_FD,
	TCP_SPLICE_A_HANDOFF_REMOTE,
	TCP_SPLICE_A_HANDOFF_LOCAL,
	TCP_SPLICE_A_HANDOFF_REMOTE_PORT,
	TCP_SPLICE_A_HANDOFF_LOCAL_PORT,
	TCP_SPLICE_A_HANDOFF_RCV_START,
	TCP_SPLICE_A_HANDOFF_RCV_NEXT,
	TCP_SPLICE_A_HANDOFF_RCV_EDGE,
	TCP_SPLICE_A_HANDOFF_SND_UNA,
	TCP_SPLICE_A_HANDOFF_SND_SENT,
	TCP_SPLICE_A_HANDOFF_SND_NEXT,
	TCP_SPLICE_A_HANDOFF_SND_EDGE,
	TCP_SPLICE_A_HANDOFF_WSCALE_IN,
	TCP_SPLICE_A_HANDOFF_WSCALE_OUT,
	TCP_SPLICE_A_HANDOFF_TSVAL,
	TCP_SPLICE_A_HANDOFF_TS_RECENT,
	TCP_SPLICE_A_HANDOFF_MSS,
	TCP_SPLICE_A_HANDOFF_ACKED,
	TCP_SPLICE_A_HANDOFF_FLAGS,
	TCP_SPLICE_A_HANDOFF_STREAM,
	TCP_SPLICE_A_HANDOFF_SEQ,
	TCP_SPLICE_A_HANDOFF_BYTES,
	TCP_SPLICE_A_HANDOFF_OUTPUT,
	TCP_SPLICE_A_HANDOFF_VIA,
	TCP_SPLICE_A_HANDOFF_IDLE_TIMEOUT,
	TCP_SPLICE_A_HANDOFF_TIMEOUT,
	TCP_SPLICE_A_HANDOFF_RCV_MAX,

	__TCP_SPLICE_A_HANDOFF_MAX,
	TCP_SPLICE_A_HANDOFF_MAX = (__TCP_SPLICE_A_HANDOFF_MAX - 1)
};

enum {
	TCP_SPLICE_CMD_SPLICE_NEW = 1,
	TCP_SPLICE_CMD_SPLICE_GET,
	TCP_SPLICE_CMD_SPLICE_DEL,
	TCP_SPLICE_CMD_SPLICE_SET,
	TCP_SPLICE_CMD_SPLICE_NEW_NTF,
	TCP_SPLICE_CMD_SPLICE_END_NTF,
	TCP_SPLICE_CMD_SPLICE_CHANGE_NTF,
	TCP_SPLICE_CMD_STATS_GET,
	TCP_SPLICE_CMD_SERVICE_NEW,
	TCP_SPLICE_CMD_SERVICE_GET,
	TCP_SPLICE_CMD_SERVICE_DEL,
	TCP_SPLICE_CMD_NODE_SET,
	TCP_SPLICE_CMD_NODE_GET,
	TCP_SPLICE_CMD_NODE_DEL,
	TCP_SPLICE_CMD_NODE_SET_NTF,
	TCP_SPLICE_CMD_NODE_DEL_NTF,
	TCP_SPLICE_CMD_HANDOFF_EXPORT,
	TCP_SPLICE_CMD_HANDOFF_READ,
	TCP_SPLICE_CMD_HANDOFF_IMPORT,
	TCP_SPLICE_CMD_HANDOFF_WRITE,
	TCP_SPLICE_CMD_HANDOFF_COMMIT,
	TCP_SPLICE_CMD_HANDOFF_ABORT,
	TCP_SPLICE_CMD_HANDOFF_TAKE,

	__TCP_SPLICE_CMD_MAX,
	TCP_SPLICE_CMD_MAX = (__TCP_SPLICE_CMD_MAX - 1)
};

#define TCP_SPLICE_MCGRP_EVENTS	"events"

#endif /* _UAPI_LINUX_TCP_SPLICE_H */
