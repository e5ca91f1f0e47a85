// SPDX-License-Identifier: GPL-2.0
// Do not edit directly, auto-generated from:
//	Documentation/netlink/specs/tcp_splice.yaml
// To regenerate run, from the top of the tree: cargo run --manifest-path tools/Cargo.toml -p ynl-gen

//! Identifiers, policies and typed attributes of the `tcp-splice` generic netlink family.
//!
//! Control of TCP splices: pairs of flows whose packets the kernel translates between two TCP
//! connections, so that the two end hosts talk to each other through a proxy that touches headers
//! only.
//!
//! A flow is one direction of one connection as this host sees it arrive. Sequence,
//! acknowledgement, timestamp and window numbers are unsigned and wrap; a delta is added modulo
//! 2^32 to what arrives.

use crate::net::netlink::{Attrs, Do, Dump, DumpOut, Op, Policy, Put, Request};
use core::marker::PhantomData;
use kernel::prelude::*;

/// Name that user space resolves to the number of the family.
pub const FAMILY_NAME: &CStr = c"tcp-splice";
/// Version of the family; the interface grows by attributes, never by this.
pub const FAMILY_VERSION: u8 = 1;

/// Make a splice, from two connected sockets of the caller or from explicit numbers as splice-get
/// prints them. With sockets, bytes not read yet are moved to the other side and the sockets are no
/// longer usable by the caller, unless limits or a return give them back to a caller that kept them
/// open. Answers with the splice.
pub const CMD_SPLICE_NEW: u8 = 1;
/// Get one splice, or dump all of this network namespace.
pub const CMD_SPLICE_GET: u8 = 2;
/// End a live splice: cut it at once, so that both ends get a RST and the local sockets disappear,
/// or give the sockets back to whoever holds them. Answers with the splice as it stands.
pub const CMD_SPLICE_DEL: u8 = 3;
/// Merge what another host has seen of a splice of which it carries packets, too: of each flow the
/// highest of seq-next, ack-last, window-edge and tsval-last, fin-seen and fin-acked. Nothing goes
/// back, so that the order does not matter, nor how often it is said. With the flag replicated it
/// is from now on told what is seen here. Answers with the splice as it stands.
pub const CMD_SPLICE_SET: u8 = 4;
/// A splice was made.
pub const CMD_SPLICE_NEW_NTF: u8 = 5;
/// A splice ended; reason and byte counts are final.
pub const CMD_SPLICE_END_NTF: u8 = 6;
/// A splice has drained: other hosts can carry it. Or a FIN of one that is replicated was seen or
/// acknowledged here.
pub const CMD_SPLICE_CHANGE_NTF: u8 = 7;
/// Get the counters of this network namespace.
pub const CMD_STATS_GET: u8 = 8;
/// Make a service, without nodes. Answers with it.
pub const CMD_SERVICE_NEW: u8 = 9;
/// Get one service, or dump all of this network namespace.
pub const CMD_SERVICE_GET: u8 = 10;
/// Forget a service and its nodes. Answers with the service as it was.
pub const CMD_SERVICE_DEL: u8 = 11;
/// Add a node to a service, or change one: what is absent stays as it is. Answers with the node.
pub const CMD_NODE_SET: u8 = 12;
/// Get one node of a service, or dump all nodes of all services of this network namespace.
pub const CMD_NODE_GET: u8 = 13;
/// Take a node out of a service. Answers with the node as it was.
pub const CMD_NODE_DEL: u8 = 14;
/// A node was added or changed.
pub const CMD_NODE_SET_NTF: u8 = 15;
/// A node was taken out, by itself or with its service.
pub const CMD_NODE_DEL_NTF: u8 = 16;
/// Begin to move a connection to another host: its packets are held, its socket sleeps. Answers
/// with where it stands. It goes on as if nothing had been asked if it has not moved when its time
/// is over.
pub const CMD_HANDOFF_EXPORT: u8 = 17;
/// Read bytes of a connection that is being exported, from seq on: as many as are in one piece, 16
/// KiB at most. Of what was received, the next piece if there is a gap. No bytes are the end.
pub const CMD_HANDOFF_READ: u8 = 18;
/// Begin to take a connection of another host: its packets are held. It is forgotten if it is not
/// there when its time is over.
pub const CMD_HANDOFF_IMPORT: u8 = 19;
/// Add bytes to a connection that is being imported, each stream in order. What was received may
/// have gaps after rcv-next.
pub const CMD_HANDOFF_WRITE: u8 = 20;
/// Of an imported connection: it goes into the accept queue of the listening socket fd or, without
/// fd, of whoever listens on its address and port, its bytes waiting to be read, and is an ordinary
/// connection of this host. Whoever is refused aborts it, which fails with ENOENT if it is
/// forgotten already. Of an exported one: another host has it, the socket is gone without a FIN or
/// a RST, and the client's packets go to that host.
pub const CMD_HANDOFF_COMMIT: u8 = 21;
/// Of an exported connection: its socket goes on as if nothing had been asked. Of an imported one:
/// it is forgotten.
pub const CMD_HANDOFF_ABORT: u8 = 22;
/// Take a connection of another host at once: handoff-import, handoff-write of bytes, which are all
/// that was received, from rcv-start on, and handoff-commit. For one with nothing unacknowledged.
/// Nothing is left of one that is refused.
pub const CMD_HANDOFF_TAKE: u8 = 23;

/// Names of the multicast groups, by index.
pub const MCGRPS: [&CStr; 1] = [c"events"];
/// Index of the multicast group `events`.
pub const MCGRP_EVENTS: u32 = 0;

/// Where a splice stands in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum SpliceState {
    /// Being set up; packets are held until the numbers are known.
    Arming = 0,
    /// Carrying data end to end, while a local socket still retransmits bytes that the proxy had
    /// sent before and that are not acknowledged.
    Draining = 1,
    /// Carrying data end to end; header edits only.
    Established = 2,
    /// A FIN was seen in at least one direction.
    Closing = 3,
    /// A limit was reached, or a return was asked for: nothing new is carried, and the sockets are
    /// given back once all that was carried is acknowledged.
    Returning = 4,
    /// Ended; late packets are still carried or answered until the entry is removed.
    Tombstone = 5,
    /// A service has given the connection to a server, which has not answered yet; or its client
    /// has not acknowledged that.
    Opening = 6,
}

impl SpliceState {
    /// The value with this number, if there is one.
    pub const fn from_u32(value: u32) -> Option<Self> {
        match value {
            0 => Some(Self::Arming),
            1 => Some(Self::Draining),
            2 => Some(Self::Established),
            3 => Some(Self::Closing),
            4 => Some(Self::Returning),
            5 => Some(Self::Tombstone),
            6 => Some(Self::Opening),
            _ => None,
        }
    }
}

/// What the two flows are of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum SpliceKind {
    /// Two connections, of a proxy.
    Splice = 0,
    /// A connection that has moved to another host, which gets the client's packets as they are.
    Handoff = 1,
    /// A connection that a service has given to a server, whose answers come by here; addresses and
    /// ports are rewritten, and no numbers.
    Nat = 2,
    /// The same, of a server that answers the client itself; the flow to the client is not seen
    /// here.
    Rewrite = 3,
}

impl SpliceKind {
    /// The value with this number, if there is one.
    pub const fn from_u32(value: u32) -> Option<Self> {
        match value {
            0 => Some(Self::Splice),
            1 => Some(Self::Handoff),
            2 => Some(Self::Nat),
            3 => Some(Self::Rewrite),
            _ => None,
        }
    }
}

/// Why a splice ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum EndReason {
    /// It has not ended.
    None = 0,
    /// Both directions were closed with a FIN and acknowledged.
    Fin = 1,
    /// The client sent a valid RST.
    ResetByClient = 2,
    /// The server sent a valid RST.
    ResetByServer = 3,
    /// An operator deleted it; both ends got a RST.
    Deleted = 4,
    /// No packet for longer than its idle timeout; both ends got a RST.
    Idle = 5,
    /// A local socket gave up on bytes that the proxy had sent and that were never acknowledged;
    /// both ends got a RST.
    Undeliverable = 6,
    /// The connections are the caller's sockets again, at the byte where the splice stopped.
    Returned = 7,
}

impl EndReason {
    /// The value with this number, if there is one.
    pub const fn from_u32(value: u32) -> Option<Self> {
        match value {
            0 => Some(Self::None),
            1 => Some(Self::Fin),
            2 => Some(Self::ResetByClient),
            3 => Some(Self::ResetByServer),
            4 => Some(Self::Deleted),
            5 => Some(Self::Idle),
            6 => Some(Self::Undeliverable),
            7 => Some(Self::Returned),
            _ => None,
        }
    }
}

/// How a splice is ended on request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum DelMode {
    /// At once; both ends get a RST that carries the exact number they expect.
    Reset = 0,
    /// The sockets that it was made from become usable again, once all bytes that were carried are
    /// acknowledged.
    Return = 1,
    /// It has ended on another host that carries packets of it, too: nobody is told, and late
    /// packets are still carried. Give the reason with it.
    Forget = 2,
}

impl DelMode {
    /// The value with this number, if there is one.
    pub const fn from_u32(value: u32) -> Option<Self> {
        match value {
            0 => Some(Self::Reset),
            1 => Some(Self::Return),
            2 => Some(Self::Forget),
            _ => None,
        }
    }
}

/// What a splice does at certain moments.
pub mod splice_flags {
    /// A FIN of either side is not carried: it ends the splice as a limit does, and the socket
    /// toward that side reads end of file. Any limit implies this.
    pub const RETURN_ON_FIN: u32 = 1 << 0;
    /// The idle timeout cuts at once; without this both ends are probed first.
    pub const CUT_WHEN_IDLE: u32 = 1 << 1;
    /// Other hosts carry packets of it, too, so that what is not seen here has not failed to
    /// happen: it is never cut for being idle, its progress is told by splice-change-ntf and taken
    /// from splice-set.
    pub const REPLICATED: u32 = 1 << 2;
    /// The server's socket is on this host: what it sends, packets of to-client, is carried where
    /// it is sent, to the client and past the proxies. For a splice made of numbers; it is a
    /// replicated one.
    pub const SPLIT: u32 = 1 << 3;
}

/// Which translations a flow does, and how far its direction has come.
pub mod flow_flags {
    /// Both connections use RFC 7323 timestamps; TSval and TSecr are translated.
    pub const TIMESTAMPS: u32 = 1 << 0;
    /// Both connections use RFC 2018 selective acknowledgement; SACK edges are translated.
    pub const SACK: u32 = 1 << 1;
    /// The local socket toward this flow's sender still has unacknowledged bytes, so
    /// acknowledgements are raised to ack-floor when they fall below it.
    pub const DRAINING: u32 = 1 << 2;
    /// The sender of this flow sent a FIN; seq-next counts it.
    pub const FIN_SEEN: u32 = 1 << 3;
    /// The receiver acknowledged that FIN.
    pub const FIN_ACKED: u32 = 1 << 4;
    /// The sender may still echo timestamps of the local socket toward it; such an echo is replaced
    /// by tsecr-floor.
    pub const ECHOING: u32 = 1 << 5;
    /// Acknowledgements are raised to ack-floor for as long as the splice lives, draining or not.
    pub const FLOORED: u32 = 1 << 6;
}

/// How a service chooses a node for a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Scheduler {
    /// Each packet goes to the next node that is up, whatever connection it belongs to; of nodes
    /// with output nat or rewrite, each connection.
    Rr = 0,
    /// The same, in proportion to the weights.
    Weighted = 1,
    /// All packets of a connection go to the node that scores highest for its client's address and
    /// port. A node that comes or goes moves only its own share.
    Hash = 2,
    /// A packet goes to the node whose range contains its destination port.
    Ports = 3,
    /// A connection goes to the node that has the fewest for its weight; of those that are equal,
    /// in turn. For nodes with output nat or rewrite, where connections are known.
    Least = 4,
    /// As hash, by the client's address alone; all its connections go to one node.
    Source = 5,
}

impl Scheduler {
    /// The value with this number, if there is one.
    pub const fn from_u32(value: u32) -> Option<Self> {
        match value {
            0 => Some(Self::Rr),
            1 => Some(Self::Weighted),
            2 => Some(Self::Hash),
            3 => Some(Self::Ports),
            4 => Some(Self::Least),
            5 => Some(Self::Source),
            _ => None,
        }
    }
}

/// What a node is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum NodeState {
    /// Everything.
    Up = 0,
    /// No new connection, but packets of connections that it may have.
    Draining = 1,
    /// Nothing.
    Down = 2,
}

impl NodeState {
    /// The value with this number, if there is one.
    pub const fn from_u32(value: u32) -> Option<Self> {
        match value {
            0 => Some(Self::Up),
            1 => Some(Self::Draining),
            2 => Some(Self::Down),
            _ => None,
        }
    }
}

/// How a packet gets to a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum NodeOutput {
    /// Unchanged, in a frame to the link-layer address of the node, which is a neighbour on an
    /// Ethernet.
    Direct = 0,
    /// In a packet of its own family to the address of the node (IPIP, IP6IP6).
    Tunnel = 1,
    /// With the node's address, and its port, as destination, as it is routed. The server's answers
    /// have to come by this host, and get the service's address and port as source. The first
    /// packet of a connection chooses the node for all.
    Nat = 2,
    /// The same on the way to the server, which answers the client itself: on its host the node is
    /// local, and what the server sends gets the service's address and port there.
    Rewrite = 3,
}

impl NodeOutput {
    /// The value with this number, if there is one.
    pub const fn from_u32(value: u32) -> Option<Self> {
        match value {
            0 => Some(Self::Direct),
            1 => Some(Self::Tunnel),
            2 => Some(Self::Nat),
            3 => Some(Self::Rewrite),
            _ => None,
        }
    }
}

/// What else is to know of a node.
pub mod node_flags {
    /// The node is this host. It makes the host a proxy of the service; without one it is a load
    /// balancer.
    pub const LOCAL: u32 = 1 << 0;
}

/// What was negotiated for a connection that moves, and where it stands.
pub mod handoff_flags {
    /// RFC 7323 timestamps.
    pub const TIMESTAMPS: u32 = 1 << 0;
    /// This side's timestamps tick in microseconds.
    pub const MICROSECONDS: u32 = 1 << 1;
    /// RFC 2018 selective acknowledgement.
    pub const SACK: u32 = 1 << 2;
    /// RFC 7323 window scaling.
    pub const SCALING: u32 = 1 << 3;
    /// RFC 3168 explicit congestion notification.
    pub const ECN: u32 = 1 << 4;
    /// The client has sent a FIN, which rcv-next counts.
    pub const FIN: u32 = 1 << 5;
}

/// Which bytes of a connection that moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum HandoffStream {
    /// The client has sent them, and nobody has read them.
    Received = 0,
    /// They were sent to the client, or are to be, and were not acknowledged.
    Sent = 1,
}

impl HandoffStream {
    /// The value with this number, if there is one.
    pub const fn from_u32(value: u32) -> Option<Self> {
        match value {
            0 => Some(Self::Received),
            1 => Some(Self::Sent),
            _ => None,
        }
    }
}

/// Attribute ids of `flow`.
pub mod flow_attr {
    /// Source address of arriving packets; 4 bytes for IPv4, 16 for IPv6.
    pub const SADDR: u16 = 1;
    /// Destination address of arriving packets; the family of saddr.
    pub const DADDR: u16 = 2;
    /// Source port of arriving packets.
    pub const SPORT: u16 = 3;
    /// Destination port of arriving packets.
    pub const DPORT: u16 = 4;
    /// Source address of leaving packets; the family of saddr.
    pub const NEW_SADDR: u16 = 5;
    /// Destination address of leaving packets; the family of saddr.
    pub const NEW_DADDR: u16 = 6;
    /// Source port of leaving packets.
    pub const NEW_SPORT: u16 = 7;
    /// Destination port of leaving packets.
    pub const NEW_DPORT: u16 = 8;
    /// Added to the sequence number.
    pub const SEQ_DELTA: u16 = 9;
    /// Added to the acknowledgement number and to SACK edges.
    pub const ACK_DELTA: u16 = 10;
    /// Added to TSval; in ticks of the sender.
    pub const TSVAL_DELTA: u16 = 11;
    /// Added to TSecr; in ticks of the receiver.
    pub const TSECR_DELTA: u16 = 12;
    /// Shift of the window field in arriving packets, as the sender announced it.
    pub const WSCALE_IN: u16 = 13;
    /// Shift of the window field in leaving packets, as this host announced it to the receiver.
    pub const WSCALE_OUT: u16 = 14;
    /// Translations and progress.
    pub const FLAGS: u16 = 15;
    /// Sequence number, as it arrives, of the first byte carried end to end. Bytes before it
    /// belonged to the proxy.
    pub const SEQ_ORIGIN: u16 = 16;
    /// Sequence number, as it arrives, after the highest byte or FIN seen.
    pub const SEQ_NEXT: u16 = 17;
    /// Highest acknowledgement number seen, as it arrives.
    pub const ACK_LAST: u16 = 18;
    /// The receiver of this flow was told this acknowledgement number before the splice; no packet
    /// that leaves carries a lower one while draining.
    pub const ACK_FLOOR: u16 = 19;
    /// Packets translated.
    pub const PACKETS: u16 = 20;
    /// Bytes of the stream carried end to end, each counted once; a FIN is not a byte.
    pub const BYTES: u16 = 21;
    /// The largest segment, options and payload, that the receiver takes, if the sender may send
    /// larger ones, which are cut then; 0 or absent if it may not.
    pub const MSS: u16 = 22;
    /// Where the widest window seen ends, in the numbers of ack-last. A new splice assumes at least
    /// the widest that can be.
    pub const WINDOW_EDGE: u16 = 23;
    /// Highest TSval seen, as it arrives.
    pub const TSVAL_LAST: u16 = 24;
    /// The receiver's TSval that the proxy echoed last, in numbers of leaving packets; while
    /// echoing.
    pub const TSECR_FLOOR: u16 = 25;
    /// The connection has moved to another host: packets go there as they are, in this way. Absent
    /// for a flow whose packets are translated and go where they are routed.
    pub const OUTPUT: u16 = 26;
    /// The address that reaches that host; with output.
    pub const VIA: u16 = 27;
}

/// Attribute ids of `splice`.
pub mod splice_attr {
    /// Identity, unique in the network namespace while the module is loaded; never 0.
    pub const ID: u16 = 1;
    /// File descriptor, in the caller, of the connected TCP socket toward the client.
    pub const CLIENT_FD: u16 = 2;
    /// File descriptor, in the caller, of the connected TCP socket toward the server.
    pub const SERVER_FD: u16 = 3;
    /// The flow from the client to the server.
    pub const TO_SERVER: u16 = 4;
    /// The flow from the server to the client.
    pub const TO_CLIENT: u16 = 5;
    /// Milliseconds without a packet in either direction after which both ends are probed, and the
    /// splice is cut if one of them does not answer; 0 means never. Without the attribute the
    /// default is 15 minutes.
    pub const IDLE_TIMEOUT: u16 = 6;
    /// Where the splice stands.
    pub const STATE: u16 = 7;
    /// Why the splice ended.
    pub const REASON: u16 = 8;
    /// Milliseconds since the splice was made on this host.
    pub const AGE: u16 = 9;
    /// Milliseconds since the last packet in either direction.
    pub const IDLE: u16 = 10;
    /// Bytes that were unread in the client's socket at arming and were sent to the server.
    pub const MOVED_TO_SERVER: u16 = 11;
    /// Bytes that were unread in the server's socket at arming and were sent to the client.
    pub const MOVED_TO_CLIENT: u16 = 12;
    /// Bytes of the client's stream, from the first that the caller has not read, that go to the
    /// server. What comes after them is kept for the client's socket. When this many have gone,
    /// nothing new is carried in the other direction either, unless that has a limit of its own to
    /// reach first; and when all is acknowledged the sockets are given back.
    pub const LIMIT_TO_SERVER: u16 = 13;
    /// The same for the server's stream.
    pub const LIMIT_TO_CLIENT: u16 = 14;
    /// What it does at certain moments.
    pub const FLAGS: u16 = 15;
    /// How it is to end; a reset if absent.
    pub const MODE: u16 = 16;
    /// What its flows are of.
    pub const KIND: u16 = 17;
}

/// Attribute ids of `stats`.
pub mod stats_attr {
    /// Splices that exist now, tombstones not counted.
    pub const SPLICES: u16 = 1;
    /// Ended splices that still carry or answer late packets.
    pub const TOMBSTONES: u16 = 2;
    /// Splices made.
    pub const CREATED: u16 = 3;
    /// Splices ended, for any reason.
    pub const ENDED: u16 = 4;
    /// Requests for a splice that were refused.
    pub const REFUSED: u16 = 5;
    /// Packets translated and sent on; a GSO packet counts once.
    pub const TRANSLATED: u16 = 6;
    /// Packets held while a splice was being armed.
    pub const HELD: u16 = 7;
    /// Acknowledgements given to a local socket that was draining.
    pub const DRAINED: u16 = 8;
    /// Splices whose sockets were given back.
    pub const RETURNED: u16 = 9;
    /// Packets kept, whole or in part, for a local socket, since they were beyond a limit.
    pub const KEPT: u16 = 10;
    /// Segments that a local socket had received out of order, and had told its peer of, that were
    /// sent to the other side at arming.
    pub const MOVED_OUT_OF_ORDER: u16 = 11;
    /// Packets cut into segments that their receiver takes.
    pub const RESEGMENTED: u16 = 12;
    /// Keep-alive probes sent to the ends of idle splices.
    pub const PROBES: u16 = 13;
    /// Packets for a cut splice that were answered with a RST.
    pub const ANSWERED: u16 = 14;
    /// ICMP errors about translated packets that were passed to whoever had sent these, the quoted
    /// addresses, ports and sequence number translated back.
    pub const ICMP_ERRORS: u16 = 15;
    /// Packets dropped because too many were held.
    pub const DROP_HELD: u16 = 16;
    /// Packets of a splice dropped because a header was truncated or contradicted itself.
    pub const DROP_MALFORMED: u16 = 17;
    /// Packets dropped because their TTL or hop limit was used up.
    pub const DROP_TTL: u16 = 18;
    /// Packets dropped because this host had no route to their new destination.
    pub const DROP_NO_ROUTE: u16 = 19;
    /// Packets dropped because they were larger than the MTU toward their new destination; their
    /// sender was told by ICMP.
    pub const DROP_TOO_BIG: u16 = 20;
    /// Packets dropped because a header could not be made writable.
    pub const DROP_NO_MEMORY: u16 = 21;
    /// RSTs dropped because their sequence number was outside the window.
    pub const DROP_INVALID_RST: u16 = 22;
    /// Segments of a dormant local socket dropped because they belonged to the spliced range.
    pub const DROP_LOCAL: u16 = 23;
    /// Packets of services sent to a node.
    pub const DISPATCHED: u16 = 24;
    /// Packets taken out of a tunnel of a service.
    pub const DECAPSULATED: u16 = 25;
    /// Packets of services dropped because no node could take them.
    pub const DROP_NO_NODE: u16 = 26;
    /// Packets of services dropped because no node that was asked had their connection, while one
    /// that could not be asked might; no RST was sent.
    pub const DROP_NOT_OWNED: u16 = 27;
    /// Packets of services dropped because they would have gone back to where they came from.
    pub const DROP_LOOP: u16 = 28;
    /// Packets that the local socket would have taken in, on their way when it was spliced, that
    /// waited until the window of the other end took them.
    pub const WAITED: u16 = 29;
    /// Packets of connections that have moved, sent to the host that has them.
    pub const FORWARDED: u16 = 30;
    /// Connections that moved to another host.
    pub const HANDED_OFF: u16 = 31;
    /// Connections that came from another host.
    pub const TAKEN_OVER: u16 = 32;
    /// Connections of services that exist now and whose clients have not acknowledged a server's
    /// answer yet.
    pub const OPENING: u16 = 33;
    /// Connections that services gave to a server.
    pub const ASSIGNED: u16 = 34;
    /// Packets of this host's servers that were given the address of their service.
    pub const REWRITTEN: u16 = 35;
    /// Packets of services that give connections to servers, dropped because they were of no
    /// connection that is known and opened none.
    pub const DROP_NO_ROW: u16 = 36;
    /// SYNs of services dropped because the answers of too many connections had not been
    /// acknowledged.
    pub const DROP_OPENING: u16 = 37;
    /// SYNs of services dropped because there are too many rows, or because another service has
    /// given a connection of the same client's address and port to the same server.
    pub const DROP_FULL: u16 = 38;
}

/// Attribute ids of `service`.
pub mod service_attr {
    /// Destination address of the packets; 4 bytes for IPv4, 16 for IPv6.
    pub const ADDRESS: u16 = 1;
    /// Destination port of the packets; 0 is any, for the schedulers ports, rr and weighted.
    pub const PORT: u16 = 2;
    /// How a node is chosen.
    pub const SCHEDULER: u16 = 3;
    /// Mixed into the scores of the schedulers hash and source; the same on all hosts of a service,
    /// 0 if absent.
    pub const SEED: u16 = 4;
    /// How many nodes it has.
    pub const NODES: u16 = 5;
}

/// Attribute ids of `node`.
pub mod node_attr {
    /// Address of the service.
    pub const ADDRESS: u16 = 1;
    /// Port of the service.
    pub const PORT: u16 = 2;
    /// Identity of the node, the same on all hosts of the service.
    pub const ID: u16 = 3;
    /// Address that reaches the node; of the family of the service.
    pub const VIA: u16 = 4;
    /// Share of the node relative to the others, 1 to 255; 1 if absent when the node is made.
    pub const WEIGHT: u16 = 5;
    /// What it is given; up if absent when the node is made.
    pub const STATE: u16 = 6;
    /// How a packet gets to it; direct if absent when the node is made.
    pub const OUTPUT: u16 = 7;
    /// What else is to know of it; none if absent when the node is made.
    pub const FLAGS: u16 = 8;
    /// First destination port that it owns, for the scheduler ports.
    pub const PORT_LOW: u16 = 9;
    /// Last destination port that it owns.
    pub const PORT_HIGH: u16 = 10;
    /// Packets that this host has sent to it; a GSO packet counts once. Of output nat and rewrite,
    /// connections that it was given.
    pub const PACKETS: u16 = 11;
    /// Milliseconds since it was made or its state was last changed.
    pub const SINCE: u16 = 12;
    /// The server's port, of output nat and rewrite; 0, as if absent when the node is made, is the
    /// service's.
    pub const SERVER_PORT: u16 = 13;
    /// Connections that it was given and that have not ended; of output nat and rewrite.
    pub const CONNECTIONS: u16 = 14;
}

/// Attribute ids of `handoff`.
pub mod handoff_attr {
    /// Identity of the entry that holds its packets meanwhile, and of the splice that it becomes.
    pub const ID: u16 = 1;
    /// File descriptor, in the caller: of the connected TCP socket that is to move; of an import,
    /// of a listening TCP socket of the same address family, bound to anything, that is to have the
    /// connection.
    pub const FD: u16 = 2;
    /// The client's address.
    pub const REMOTE: u16 = 3;
    /// The address that the client has connected to; the family of remote.
    pub const LOCAL: u16 = 4;
    /// The client's port.
    pub const REMOTE_PORT: u16 = 5;
    /// The port that the client has connected to.
    pub const LOCAL_PORT: u16 = 6;
    /// Number of the first byte that the new owner is to read.
    pub const RCV_START: u16 = 7;
    /// Number that is expected from the client next; all before it is acknowledged.
    pub const RCV_NEXT: u16 = 8;
    /// Where the widest window ends that the client was given.
    pub const RCV_EDGE: u16 = 9;
    /// Oldest number of this side that the client has not acknowledged.
    pub const SND_UNA: u16 = 10;
    /// Number after the last byte that was sent.
    pub const SND_SENT: u16 = 11;
    /// Number after the last byte that was given to TCP to be sent.
    pub const SND_NEXT: u16 = 12;
    /// Where the window ends that the client has given.
    pub const SND_EDGE: u16 = 13;
    /// Shift of windows that the client announces; with scaling.
    pub const WSCALE_IN: u16 = 14;
    /// Shift of windows that this side announces; with scaling.
    pub const WSCALE_OUT: u16 = 15;
    /// This side's TSval goes on from here; with timestamps.
    pub const TSVAL: u16 = 16;
    /// The client's TSval to echo; with timestamps.
    pub const TS_RECENT: u16 = 17;
    /// The largest segment that the client takes, in bytes of options and payload.
    pub const MSS: u16 = 18;
    /// Bytes that the client has acknowledged, 2^30 at most; bounds how old an acknowledgement may
    /// be.
    pub const ACKED: u16 = 19;
    /// What was negotiated, and where it stands.
    pub const FLAGS: u16 = 20;
    /// Which bytes.
    pub const STREAM: u16 = 21;
    /// Number of the first of them.
    pub const SEQ: u16 = 22;
    /// The bytes.
    pub const BYTES: u16 = 23;
    /// How packets of the client get to the host that has the connection now.
    pub const OUTPUT: u16 = 24;
    /// The address that reaches that host.
    pub const VIA: u16 = 25;
    /// Milliseconds without a packet of the client after which it is asked whether it is still
    /// there, once the connection has moved; 0 is never. A client that says nothing to that has its
    /// entry forgotten, and nobody is told.
    pub const IDLE_TIMEOUT: u16 = 26;
    /// Milliseconds that the move may take, 5000 unless it is said, 60000 at most. The client is
    /// not answered meanwhile, as if packets had been lost.
    pub const TIMEOUT: u16 = 27;
    /// Number after the last byte that the client has sent and this host has, gaps before it or
    /// not.
    pub const RCV_MAX: u16 = 28;
}

/// What the kernel accepts in a nest of `flow` attributes.
static FLOW_POLICY: [Policy; 28] = {
    let mut policy = [Policy::UNSET; 28];
    policy[flow_attr::SADDR as usize] = Policy::binary(4, 16);
    policy[flow_attr::DADDR as usize] = Policy::binary(4, 16);
    policy[flow_attr::SPORT as usize] = Policy::be16();
    policy[flow_attr::DPORT as usize] = Policy::be16();
    policy[flow_attr::NEW_SADDR as usize] = Policy::binary(4, 16);
    policy[flow_attr::NEW_DADDR as usize] = Policy::binary(4, 16);
    policy[flow_attr::NEW_SPORT as usize] = Policy::be16();
    policy[flow_attr::NEW_DPORT as usize] = Policy::be16();
    policy[flow_attr::SEQ_DELTA as usize] = Policy::u32();
    policy[flow_attr::ACK_DELTA as usize] = Policy::u32();
    policy[flow_attr::TSVAL_DELTA as usize] = Policy::u32();
    policy[flow_attr::TSECR_DELTA as usize] = Policy::u32();
    policy[flow_attr::WSCALE_IN as usize] = Policy::u32_max(14);
    policy[flow_attr::WSCALE_OUT as usize] = Policy::u32_max(14);
    policy[flow_attr::FLAGS as usize] = Policy::u32_mask(0x7f);
    policy[flow_attr::SEQ_ORIGIN as usize] = Policy::u32();
    policy[flow_attr::SEQ_NEXT as usize] = Policy::u32();
    policy[flow_attr::ACK_LAST as usize] = Policy::u32();
    policy[flow_attr::ACK_FLOOR as usize] = Policy::u32();
    policy[flow_attr::PACKETS as usize] = Policy::uint();
    policy[flow_attr::BYTES as usize] = Policy::uint();
    policy[flow_attr::MSS as usize] = Policy::u32();
    policy[flow_attr::WINDOW_EDGE as usize] = Policy::u32();
    policy[flow_attr::TSVAL_LAST as usize] = Policy::u32();
    policy[flow_attr::TSECR_FLOOR as usize] = Policy::u32();
    policy[flow_attr::OUTPUT as usize] = Policy::u32_max(3);
    policy[flow_attr::VIA as usize] = Policy::binary(4, 16);
    policy
};

/// What the kernel accepts in a `splice-new` request.
static SPLICE_NEW_POLICY: [Policy; 16] = {
    let mut policy = [Policy::UNSET; 16];
    policy[splice_attr::CLIENT_FD as usize] = Policy::u32();
    policy[splice_attr::SERVER_FD as usize] = Policy::u32();
    policy[splice_attr::TO_SERVER as usize] = Policy::nested(&FLOW_POLICY);
    policy[splice_attr::TO_CLIENT as usize] = Policy::nested(&FLOW_POLICY);
    policy[splice_attr::IDLE_TIMEOUT as usize] = Policy::uint();
    policy[splice_attr::LIMIT_TO_SERVER as usize] = Policy::uint();
    policy[splice_attr::LIMIT_TO_CLIENT as usize] = Policy::uint();
    policy[splice_attr::FLAGS as usize] = Policy::u32_mask(0xf);
    policy
};

/// What the kernel accepts in a `splice-get` request.
static SPLICE_GET_POLICY: [Policy; 2] = {
    let mut policy = [Policy::UNSET; 2];
    policy[splice_attr::ID as usize] = Policy::uint();
    policy
};

/// What the kernel accepts in a `splice-del` request.
static SPLICE_DEL_POLICY: [Policy; 17] = {
    let mut policy = [Policy::UNSET; 17];
    policy[splice_attr::ID as usize] = Policy::uint();
    policy[splice_attr::REASON as usize] = Policy::u32_max(7);
    policy[splice_attr::MODE as usize] = Policy::u32_max(2);
    policy
};

/// What the kernel accepts in a `splice-set` request.
static SPLICE_SET_POLICY: [Policy; 16] = {
    let mut policy = [Policy::UNSET; 16];
    policy[splice_attr::ID as usize] = Policy::uint();
    policy[splice_attr::TO_SERVER as usize] = Policy::nested(&FLOW_POLICY);
    policy[splice_attr::TO_CLIENT as usize] = Policy::nested(&FLOW_POLICY);
    policy[splice_attr::FLAGS as usize] = Policy::u32_mask(0xf);
    policy
};

/// What the kernel accepts in a `service-new` request.
static SERVICE_NEW_POLICY: [Policy; 5] = {
    let mut policy = [Policy::UNSET; 5];
    policy[service_attr::ADDRESS as usize] = Policy::binary(4, 16);
    policy[service_attr::PORT as usize] = Policy::be16();
    policy[service_attr::SCHEDULER as usize] = Policy::u32_max(5);
    policy[service_attr::SEED as usize] = Policy::u32();
    policy
};

/// What the kernel accepts in a `service-get` request.
static SERVICE_GET_POLICY: [Policy; 3] = {
    let mut policy = [Policy::UNSET; 3];
    policy[service_attr::ADDRESS as usize] = Policy::binary(4, 16);
    policy[service_attr::PORT as usize] = Policy::be16();
    policy
};

/// What the kernel accepts in a `service-del` request.
static SERVICE_DEL_POLICY: [Policy; 3] = {
    let mut policy = [Policy::UNSET; 3];
    policy[service_attr::ADDRESS as usize] = Policy::binary(4, 16);
    policy[service_attr::PORT as usize] = Policy::be16();
    policy
};

/// What the kernel accepts in a `node-set` request.
static NODE_SET_POLICY: [Policy; 14] = {
    let mut policy = [Policy::UNSET; 14];
    policy[node_attr::ADDRESS as usize] = Policy::binary(4, 16);
    policy[node_attr::PORT as usize] = Policy::be16();
    policy[node_attr::ID as usize] = Policy::u32();
    policy[node_attr::VIA as usize] = Policy::binary(4, 16);
    policy[node_attr::WEIGHT as usize] = Policy::u32_max(255);
    policy[node_attr::STATE as usize] = Policy::u32_max(2);
    policy[node_attr::OUTPUT as usize] = Policy::u32_max(3);
    policy[node_attr::FLAGS as usize] = Policy::u32_mask(0x1);
    policy[node_attr::PORT_LOW as usize] = Policy::be16();
    policy[node_attr::PORT_HIGH as usize] = Policy::be16();
    policy[node_attr::SERVER_PORT as usize] = Policy::be16();
    policy
};

/// What the kernel accepts in a `node-get` request.
static NODE_GET_POLICY: [Policy; 4] = {
    let mut policy = [Policy::UNSET; 4];
    policy[node_attr::ADDRESS as usize] = Policy::binary(4, 16);
    policy[node_attr::PORT as usize] = Policy::be16();
    policy[node_attr::ID as usize] = Policy::u32();
    policy
};

/// What the kernel accepts in a `node-del` request.
static NODE_DEL_POLICY: [Policy; 4] = {
    let mut policy = [Policy::UNSET; 4];
    policy[node_attr::ADDRESS as usize] = Policy::binary(4, 16);
    policy[node_attr::PORT as usize] = Policy::be16();
    policy[node_attr::ID as usize] = Policy::u32();
    policy
};

/// What the kernel accepts in a `handoff-export` request.
static HANDOFF_EXPORT_POLICY: [Policy; 28] = {
    let mut policy = [Policy::UNSET; 28];
    policy[handoff_attr::FD as usize] = Policy::u32();
    policy[handoff_attr::IDLE_TIMEOUT as usize] = Policy::uint();
    policy[handoff_attr::TIMEOUT as usize] = Policy::uint();
    policy
};

/// What the kernel accepts in a `handoff-read` request.
static HANDOFF_READ_POLICY: [Policy; 23] = {
    let mut policy = [Policy::UNSET; 23];
    policy[handoff_attr::ID as usize] = Policy::uint();
    policy[handoff_attr::STREAM as usize] = Policy::u32_max(1);
    policy[handoff_attr::SEQ as usize] = Policy::u32();
    policy
};

/// What the kernel accepts in a `handoff-import` request.
static HANDOFF_IMPORT_POLICY: [Policy; 28] = {
    let mut policy = [Policy::UNSET; 28];
    policy[handoff_attr::REMOTE as usize] = Policy::binary(4, 16);
    policy[handoff_attr::LOCAL as usize] = Policy::binary(4, 16);
    policy[handoff_attr::REMOTE_PORT as usize] = Policy::be16();
    policy[handoff_attr::LOCAL_PORT as usize] = Policy::be16();
    policy[handoff_attr::RCV_START as usize] = Policy::u32();
    policy[handoff_attr::RCV_NEXT as usize] = Policy::u32();
    policy[handoff_attr::RCV_EDGE as usize] = Policy::u32();
    policy[handoff_attr::SND_UNA as usize] = Policy::u32();
    policy[handoff_attr::SND_SENT as usize] = Policy::u32();
    policy[handoff_attr::SND_NEXT as usize] = Policy::u32();
    policy[handoff_attr::SND_EDGE as usize] = Policy::u32();
    policy[handoff_attr::WSCALE_IN as usize] = Policy::u32_max(14);
    policy[handoff_attr::WSCALE_OUT as usize] = Policy::u32_max(14);
    policy[handoff_attr::TSVAL as usize] = Policy::u32();
    policy[handoff_attr::TS_RECENT as usize] = Policy::u32();
    policy[handoff_attr::MSS as usize] = Policy::u32();
    policy[handoff_attr::ACKED as usize] = Policy::u32();
    policy[handoff_attr::FLAGS as usize] = Policy::u32_mask(0x3f);
    policy[handoff_attr::TIMEOUT as usize] = Policy::uint();
    policy
};

/// What the kernel accepts in a `handoff-write` request.
static HANDOFF_WRITE_POLICY: [Policy; 24] = {
    let mut policy = [Policy::UNSET; 24];
    policy[handoff_attr::ID as usize] = Policy::uint();
    policy[handoff_attr::STREAM as usize] = Policy::u32_max(1);
    policy[handoff_attr::SEQ as usize] = Policy::u32();
    policy[handoff_attr::BYTES as usize] = Policy::binary(0, 16384);
    policy
};

/// What the kernel accepts in a `handoff-commit` request.
static HANDOFF_COMMIT_POLICY: [Policy; 26] = {
    let mut policy = [Policy::UNSET; 26];
    policy[handoff_attr::ID as usize] = Policy::uint();
    policy[handoff_attr::FD as usize] = Policy::u32();
    policy[handoff_attr::OUTPUT as usize] = Policy::u32_max(3);
    policy[handoff_attr::VIA as usize] = Policy::binary(4, 16);
    policy
};

/// What the kernel accepts in a `handoff-abort` request.
static HANDOFF_ABORT_POLICY: [Policy; 2] = {
    let mut policy = [Policy::UNSET; 2];
    policy[handoff_attr::ID as usize] = Policy::uint();
    policy
};

/// What the kernel accepts in a `handoff-take` request.
static HANDOFF_TAKE_POLICY: [Policy; 24] = {
    let mut policy = [Policy::UNSET; 24];
    policy[handoff_attr::FD as usize] = Policy::u32();
    policy[handoff_attr::REMOTE as usize] = Policy::binary(4, 16);
    policy[handoff_attr::LOCAL as usize] = Policy::binary(4, 16);
    policy[handoff_attr::REMOTE_PORT as usize] = Policy::be16();
    policy[handoff_attr::LOCAL_PORT as usize] = Policy::be16();
    policy[handoff_attr::RCV_START as usize] = Policy::u32();
    policy[handoff_attr::RCV_NEXT as usize] = Policy::u32();
    policy[handoff_attr::RCV_EDGE as usize] = Policy::u32();
    policy[handoff_attr::SND_UNA as usize] = Policy::u32();
    policy[handoff_attr::SND_SENT as usize] = Policy::u32();
    policy[handoff_attr::SND_NEXT as usize] = Policy::u32();
    policy[handoff_attr::SND_EDGE as usize] = Policy::u32();
    policy[handoff_attr::WSCALE_IN as usize] = Policy::u32_max(14);
    policy[handoff_attr::WSCALE_OUT as usize] = Policy::u32_max(14);
    policy[handoff_attr::TSVAL as usize] = Policy::u32();
    policy[handoff_attr::TS_RECENT as usize] = Policy::u32();
    policy[handoff_attr::MSS as usize] = Policy::u32();
    policy[handoff_attr::ACKED as usize] = Policy::u32();
    policy[handoff_attr::FLAGS as usize] = Policy::u32_mask(0x3f);
    policy[handoff_attr::BYTES as usize] = Policy::binary(0, 16384);
    policy
};

/// Reads the `flow` attributes of a request.
///
/// The kernel has checked each value against the policy; `None` is an attribute that is not there.
#[derive(Clone, Copy)]
pub struct FlowAttrs<'a>(Attrs<'a>);

impl<'a> FlowAttrs<'a> {
    /// Source address of arriving packets; 4 bytes for IPv4, 16 for IPv6.
    pub fn saddr(&self) -> Option<&'a [u8]> {
        self.0.binary(flow_attr::SADDR)
    }

    /// Destination address of arriving packets; the family of saddr.
    pub fn daddr(&self) -> Option<&'a [u8]> {
        self.0.binary(flow_attr::DADDR)
    }

    /// Source port of arriving packets.
    pub fn sport(&self) -> Option<u16> {
        self.0.be16(flow_attr::SPORT)
    }

    /// Destination port of arriving packets.
    pub fn dport(&self) -> Option<u16> {
        self.0.be16(flow_attr::DPORT)
    }

    /// Source address of leaving packets; the family of saddr.
    pub fn new_saddr(&self) -> Option<&'a [u8]> {
        self.0.binary(flow_attr::NEW_SADDR)
    }

    /// Destination address of leaving packets; the family of saddr.
    pub fn new_daddr(&self) -> Option<&'a [u8]> {
        self.0.binary(flow_attr::NEW_DADDR)
    }

    /// Source port of leaving packets.
    pub fn new_sport(&self) -> Option<u16> {
        self.0.be16(flow_attr::NEW_SPORT)
    }

    /// Destination port of leaving packets.
    pub fn new_dport(&self) -> Option<u16> {
        self.0.be16(flow_attr::NEW_DPORT)
    }

    /// Added to the sequence number.
    pub fn seq_delta(&self) -> Option<u32> {
        self.0.u32(flow_attr::SEQ_DELTA)
    }

    /// Added to the acknowledgement number and to SACK edges.
    pub fn ack_delta(&self) -> Option<u32> {
        self.0.u32(flow_attr::ACK_DELTA)
    }

    /// Added to TSval; in ticks of the sender.
    pub fn tsval_delta(&self) -> Option<u32> {
        self.0.u32(flow_attr::TSVAL_DELTA)
    }

    /// Added to TSecr; in ticks of the receiver.
    pub fn tsecr_delta(&self) -> Option<u32> {
        self.0.u32(flow_attr::TSECR_DELTA)
    }

    /// Shift of the window field in arriving packets, as the sender announced it.
    pub fn wscale_in(&self) -> Option<u32> {
        self.0.u32(flow_attr::WSCALE_IN)
    }

    /// Shift of the window field in leaving packets, as this host announced it to the receiver.
    pub fn wscale_out(&self) -> Option<u32> {
        self.0.u32(flow_attr::WSCALE_OUT)
    }

    /// Translations and progress.
    pub fn flags(&self) -> Option<u32> {
        self.0.u32(flow_attr::FLAGS)
    }

    /// Sequence number, as it arrives, of the first byte carried end to end. Bytes before it
    /// belonged to the proxy.
    pub fn seq_origin(&self) -> Option<u32> {
        self.0.u32(flow_attr::SEQ_ORIGIN)
    }

    /// Sequence number, as it arrives, after the highest byte or FIN seen.
    pub fn seq_next(&self) -> Option<u32> {
        self.0.u32(flow_attr::SEQ_NEXT)
    }

    /// Highest acknowledgement number seen, as it arrives.
    pub fn ack_last(&self) -> Option<u32> {
        self.0.u32(flow_attr::ACK_LAST)
    }

    /// The receiver of this flow was told this acknowledgement number before the splice; no packet
    /// that leaves carries a lower one while draining.
    pub fn ack_floor(&self) -> Option<u32> {
        self.0.u32(flow_attr::ACK_FLOOR)
    }

    /// Packets translated.
    pub fn packets(&self) -> Option<u64> {
        self.0.uint(flow_attr::PACKETS)
    }

    /// Bytes of the stream carried end to end, each counted once; a FIN is not a byte.
    pub fn bytes(&self) -> Option<u64> {
        self.0.uint(flow_attr::BYTES)
    }

    /// The largest segment, options and payload, that the receiver takes, if the sender may send
    /// larger ones, which are cut then; 0 or absent if it may not.
    pub fn mss(&self) -> Option<u32> {
        self.0.u32(flow_attr::MSS)
    }

    /// Where the widest window seen ends, in the numbers of ack-last. A new splice assumes at least
    /// the widest that can be.
    pub fn window_edge(&self) -> Option<u32> {
        self.0.u32(flow_attr::WINDOW_EDGE)
    }

    /// Highest TSval seen, as it arrives.
    pub fn tsval_last(&self) -> Option<u32> {
        self.0.u32(flow_attr::TSVAL_LAST)
    }

    /// The receiver's TSval that the proxy echoed last, in numbers of leaving packets; while
    /// echoing.
    pub fn tsecr_floor(&self) -> Option<u32> {
        self.0.u32(flow_attr::TSECR_FLOOR)
    }

    /// The connection has moved to another host: packets go there as they are, in this way. Absent
    /// for a flow whose packets are translated and go where they are routed.
    pub fn output(&self) -> Option<NodeOutput> {
        self.0.u32(flow_attr::OUTPUT).and_then(NodeOutput::from_u32)
    }

    /// The address that reaches that host; with output.
    pub fn via(&self) -> Option<&'a [u8]> {
        self.0.binary(flow_attr::VIA)
    }
}

/// Reads the `splice` attributes of a request.
///
/// The kernel has checked each value against the policy; `None` is an attribute that is not there.
#[derive(Clone, Copy)]
pub struct SpliceAttrs<'a>(Attrs<'a>);

impl<'a> SpliceAttrs<'a> {
    /// Identity, unique in the network namespace while the module is loaded; never 0.
    pub fn id(&self) -> Option<u64> {
        self.0.uint(splice_attr::ID)
    }

    /// File descriptor, in the caller, of the connected TCP socket toward the client.
    pub fn client_fd(&self) -> Option<u32> {
        self.0.u32(splice_attr::CLIENT_FD)
    }

    /// File descriptor, in the caller, of the connected TCP socket toward the server.
    pub fn server_fd(&self) -> Option<u32> {
        self.0.u32(splice_attr::SERVER_FD)
    }

    /// The flow from the client to the server.
    pub fn to_server(&self) -> Option<FlowAttrs<'a>> {
        self.0.nested(splice_attr::TO_SERVER).map(FlowAttrs)
    }

    /// The flow from the server to the client.
    pub fn to_client(&self) -> Option<FlowAttrs<'a>> {
        self.0.nested(splice_attr::TO_CLIENT).map(FlowAttrs)
    }

    /// Milliseconds without a packet in either direction after which both ends are probed, and the
    /// splice is cut if one of them does not answer; 0 means never. Without the attribute the
    /// default is 15 minutes.
    pub fn idle_timeout(&self) -> Option<u64> {
        self.0.uint(splice_attr::IDLE_TIMEOUT)
    }

    /// Why the splice ended.
    pub fn reason(&self) -> Option<EndReason> {
        self.0
            .u32(splice_attr::REASON)
            .and_then(EndReason::from_u32)
    }

    /// Bytes of the client's stream, from the first that the caller has not read, that go to the
    /// server. What comes after them is kept for the client's socket. When this many have gone,
    /// nothing new is carried in the other direction either, unless that has a limit of its own to
    /// reach first; and when all is acknowledged the sockets are given back.
    pub fn limit_to_server(&self) -> Option<u64> {
        self.0.uint(splice_attr::LIMIT_TO_SERVER)
    }

    /// The same for the server's stream.
    pub fn limit_to_client(&self) -> Option<u64> {
        self.0.uint(splice_attr::LIMIT_TO_CLIENT)
    }

    /// What it does at certain moments.
    pub fn flags(&self) -> Option<u32> {
        self.0.u32(splice_attr::FLAGS)
    }

    /// How it is to end; a reset if absent.
    pub fn mode(&self) -> Option<DelMode> {
        self.0.u32(splice_attr::MODE).and_then(DelMode::from_u32)
    }
}

/// Reads the `service` attributes of a request.
///
/// The kernel has checked each value against the policy; `None` is an attribute that is not there.
#[derive(Clone, Copy)]
pub struct ServiceAttrs<'a>(Attrs<'a>);

impl<'a> ServiceAttrs<'a> {
    /// Destination address of the packets; 4 bytes for IPv4, 16 for IPv6.
    pub fn address(&self) -> Option<&'a [u8]> {
        self.0.binary(service_attr::ADDRESS)
    }

    /// Destination port of the packets; 0 is any, for the schedulers ports, rr and weighted.
    pub fn port(&self) -> Option<u16> {
        self.0.be16(service_attr::PORT)
    }

    /// How a node is chosen.
    pub fn scheduler(&self) -> Option<Scheduler> {
        self.0
            .u32(service_attr::SCHEDULER)
            .and_then(Scheduler::from_u32)
    }

    /// Mixed into the scores of the schedulers hash and source; the same on all hosts of a service,
    /// 0 if absent.
    pub fn seed(&self) -> Option<u32> {
        self.0.u32(service_attr::SEED)
    }
}

/// Reads the `node` attributes of a request.
///
/// The kernel has checked each value against the policy; `None` is an attribute that is not there.
#[derive(Clone, Copy)]
pub struct NodeAttrs<'a>(Attrs<'a>);

impl<'a> NodeAttrs<'a> {
    /// Address of the service.
    pub fn address(&self) -> Option<&'a [u8]> {
        self.0.binary(node_attr::ADDRESS)
    }

    /// Port of the service.
    pub fn port(&self) -> Option<u16> {
        self.0.be16(node_attr::PORT)
    }

    /// Identity of the node, the same on all hosts of the service.
    pub fn id(&self) -> Option<u32> {
        self.0.u32(node_attr::ID)
    }

    /// Address that reaches the node; of the family of the service.
    pub fn via(&self) -> Option<&'a [u8]> {
        self.0.binary(node_attr::VIA)
    }

    /// Share of the node relative to the others, 1 to 255; 1 if absent when the node is made.
    pub fn weight(&self) -> Option<u32> {
        self.0.u32(node_attr::WEIGHT)
    }

    /// What it is given; up if absent when the node is made.
    pub fn state(&self) -> Option<NodeState> {
        self.0.u32(node_attr::STATE).and_then(NodeState::from_u32)
    }

    /// How a packet gets to it; direct if absent when the node is made.
    pub fn output(&self) -> Option<NodeOutput> {
        self.0.u32(node_attr::OUTPUT).and_then(NodeOutput::from_u32)
    }

    /// What else is to know of it; none if absent when the node is made.
    pub fn flags(&self) -> Option<u32> {
        self.0.u32(node_attr::FLAGS)
    }

    /// First destination port that it owns, for the scheduler ports.
    pub fn port_low(&self) -> Option<u16> {
        self.0.be16(node_attr::PORT_LOW)
    }

    /// Last destination port that it owns.
    pub fn port_high(&self) -> Option<u16> {
        self.0.be16(node_attr::PORT_HIGH)
    }

    /// The server's port, of output nat and rewrite; 0, as if absent when the node is made, is the
    /// service's.
    pub fn server_port(&self) -> Option<u16> {
        self.0.be16(node_attr::SERVER_PORT)
    }
}

/// Reads the `handoff` attributes of a request.
///
/// The kernel has checked each value against the policy; `None` is an attribute that is not there.
#[derive(Clone, Copy)]
pub struct HandoffAttrs<'a>(Attrs<'a>);

impl<'a> HandoffAttrs<'a> {
    /// Identity of the entry that holds its packets meanwhile, and of the splice that it becomes.
    pub fn id(&self) -> Option<u64> {
        self.0.uint(handoff_attr::ID)
    }

    /// File descriptor, in the caller: of the connected TCP socket that is to move; of an import,
    /// of a listening TCP socket of the same address family, bound to anything, that is to have the
    /// connection.
    pub fn fd(&self) -> Option<u32> {
        self.0.u32(handoff_attr::FD)
    }

    /// The client's address.
    pub fn remote(&self) -> Option<&'a [u8]> {
        self.0.binary(handoff_attr::REMOTE)
    }

    /// The address that the client has connected to; the family of remote.
    pub fn local(&self) -> Option<&'a [u8]> {
        self.0.binary(handoff_attr::LOCAL)
    }

    /// The client's port.
    pub fn remote_port(&self) -> Option<u16> {
        self.0.be16(handoff_attr::REMOTE_PORT)
    }

    /// The port that the client has connected to.
    pub fn local_port(&self) -> Option<u16> {
        self.0.be16(handoff_attr::LOCAL_PORT)
    }

    /// Number of the first byte that the new owner is to read.
    pub fn rcv_start(&self) -> Option<u32> {
        self.0.u32(handoff_attr::RCV_START)
    }

    /// Number that is expected from the client next; all before it is acknowledged.
    pub fn rcv_next(&self) -> Option<u32> {
        self.0.u32(handoff_attr::RCV_NEXT)
    }

    /// Where the widest window ends that the client was given.
    pub fn rcv_edge(&self) -> Option<u32> {
        self.0.u32(handoff_attr::RCV_EDGE)
    }

    /// Oldest number of this side that the client has not acknowledged.
    pub fn snd_una(&self) -> Option<u32> {
        self.0.u32(handoff_attr::SND_UNA)
    }

    /// Number after the last byte that was sent.
    pub fn snd_sent(&self) -> Option<u32> {
        self.0.u32(handoff_attr::SND_SENT)
    }

    /// Number after the last byte that was given to TCP to be sent.
    pub fn snd_next(&self) -> Option<u32> {
        self.0.u32(handoff_attr::SND_NEXT)
    }

    /// Where the window ends that the client has given.
    pub fn snd_edge(&self) -> Option<u32> {
        self.0.u32(handoff_attr::SND_EDGE)
    }

    /// Shift of windows that the client announces; with scaling.
    pub fn wscale_in(&self) -> Option<u32> {
        self.0.u32(handoff_attr::WSCALE_IN)
    }

    /// Shift of windows that this side announces; with scaling.
    pub fn wscale_out(&self) -> Option<u32> {
        self.0.u32(handoff_attr::WSCALE_OUT)
    }

    /// This side's TSval goes on from here; with timestamps.
    pub fn tsval(&self) -> Option<u32> {
        self.0.u32(handoff_attr::TSVAL)
    }

    /// The client's TSval to echo; with timestamps.
    pub fn ts_recent(&self) -> Option<u32> {
        self.0.u32(handoff_attr::TS_RECENT)
    }

    /// The largest segment that the client takes, in bytes of options and payload.
    pub fn mss(&self) -> Option<u32> {
        self.0.u32(handoff_attr::MSS)
    }

    /// Bytes that the client has acknowledged, 2^30 at most; bounds how old an acknowledgement may
    /// be.
    pub fn acked(&self) -> Option<u32> {
        self.0.u32(handoff_attr::ACKED)
    }

    /// What was negotiated, and where it stands.
    pub fn flags(&self) -> Option<u32> {
        self.0.u32(handoff_attr::FLAGS)
    }

    /// Which bytes.
    pub fn stream(&self) -> Option<HandoffStream> {
        self.0
            .u32(handoff_attr::STREAM)
            .and_then(HandoffStream::from_u32)
    }

    /// Number of the first of them.
    pub fn seq(&self) -> Option<u32> {
        self.0.u32(handoff_attr::SEQ)
    }

    /// The bytes.
    pub fn bytes(&self) -> Option<&'a [u8]> {
        self.0.binary(handoff_attr::BYTES)
    }

    /// How packets of the client get to the host that has the connection now.
    pub fn output(&self) -> Option<NodeOutput> {
        self.0
            .u32(handoff_attr::OUTPUT)
            .and_then(NodeOutput::from_u32)
    }

    /// The address that reaches that host.
    pub fn via(&self) -> Option<&'a [u8]> {
        self.0.binary(handoff_attr::VIA)
    }

    /// Milliseconds without a packet of the client after which it is asked whether it is still
    /// there, once the connection has moved; 0 is never. A client that says nothing to that has its
    /// entry forgotten, and nobody is told.
    pub fn idle_timeout(&self) -> Option<u64> {
        self.0.uint(handoff_attr::IDLE_TIMEOUT)
    }

    /// Milliseconds that the move may take, 5000 unless it is said, 60000 at most. The client is
    /// not answered meanwhile, as if packets had been lost.
    pub fn timeout(&self) -> Option<u64> {
        self.0.uint(handoff_attr::TIMEOUT)
    }
}

/// Writes `flow` attributes into a message.
///
/// Each fails with `EMSGSIZE` when the message has no room left.
pub struct FlowPut<'a, 'b>(&'a mut Put<'b>);

impl<'a, 'b> FlowPut<'a, 'b> {
    /// Writes into `put`.
    pub fn new(put: &'a mut Put<'b>) -> Self {
        Self(put)
    }

    /// Source address of arriving packets; 4 bytes for IPv4, 16 for IPv6.
    pub fn saddr(&mut self, value: &[u8]) -> Result {
        self.0.binary(flow_attr::SADDR, value)
    }

    /// Destination address of arriving packets; the family of saddr.
    pub fn daddr(&mut self, value: &[u8]) -> Result {
        self.0.binary(flow_attr::DADDR, value)
    }

    /// Source port of arriving packets.
    pub fn sport(&mut self, value: u16) -> Result {
        self.0.be16(flow_attr::SPORT, value)
    }

    /// Destination port of arriving packets.
    pub fn dport(&mut self, value: u16) -> Result {
        self.0.be16(flow_attr::DPORT, value)
    }

    /// Source address of leaving packets; the family of saddr.
    pub fn new_saddr(&mut self, value: &[u8]) -> Result {
        self.0.binary(flow_attr::NEW_SADDR, value)
    }

    /// Destination address of leaving packets; the family of saddr.
    pub fn new_daddr(&mut self, value: &[u8]) -> Result {
        self.0.binary(flow_attr::NEW_DADDR, value)
    }

    /// Source port of leaving packets.
    pub fn new_sport(&mut self, value: u16) -> Result {
        self.0.be16(flow_attr::NEW_SPORT, value)
    }

    /// Destination port of leaving packets.
    pub fn new_dport(&mut self, value: u16) -> Result {
        self.0.be16(flow_attr::NEW_DPORT, value)
    }

    /// Added to the sequence number.
    pub fn seq_delta(&mut self, value: u32) -> Result {
        self.0.u32(flow_attr::SEQ_DELTA, value)
    }

    /// Added to the acknowledgement number and to SACK edges.
    pub fn ack_delta(&mut self, value: u32) -> Result {
        self.0.u32(flow_attr::ACK_DELTA, value)
    }

    /// Added to TSval; in ticks of the sender.
    pub fn tsval_delta(&mut self, value: u32) -> Result {
        self.0.u32(flow_attr::TSVAL_DELTA, value)
    }

    /// Added to TSecr; in ticks of the receiver.
    pub fn tsecr_delta(&mut self, value: u32) -> Result {
        self.0.u32(flow_attr::TSECR_DELTA, value)
    }

    /// Shift of the window field in arriving packets, as the sender announced it.
    pub fn wscale_in(&mut self, value: u32) -> Result {
        self.0.u32(flow_attr::WSCALE_IN, value)
    }

    /// Shift of the window field in leaving packets, as this host announced it to the receiver.
    pub fn wscale_out(&mut self, value: u32) -> Result {
        self.0.u32(flow_attr::WSCALE_OUT, value)
    }

    /// Translations and progress.
    pub fn flags(&mut self, value: u32) -> Result {
        self.0.u32(flow_attr::FLAGS, value)
    }

    /// Sequence number, as it arrives, of the first byte carried end to end. Bytes before it
    /// belonged to the proxy.
    pub fn seq_origin(&mut self, value: u32) -> Result {
        self.0.u32(flow_attr::SEQ_ORIGIN, value)
    }

    /// Sequence number, as it arrives, after the highest byte or FIN seen.
    pub fn seq_next(&mut self, value: u32) -> Result {
        self.0.u32(flow_attr::SEQ_NEXT, value)
    }

    /// Highest acknowledgement number seen, as it arrives.
    pub fn ack_last(&mut self, value: u32) -> Result {
        self.0.u32(flow_attr::ACK_LAST, value)
    }

    /// The receiver of this flow was told this acknowledgement number before the splice; no packet
    /// that leaves carries a lower one while draining.
    pub fn ack_floor(&mut self, value: u32) -> Result {
        self.0.u32(flow_attr::ACK_FLOOR, value)
    }

    /// Packets translated.
    pub fn packets(&mut self, value: u64) -> Result {
        self.0.uint(flow_attr::PACKETS, value)
    }

    /// Bytes of the stream carried end to end, each counted once; a FIN is not a byte.
    pub fn bytes(&mut self, value: u64) -> Result {
        self.0.uint(flow_attr::BYTES, value)
    }

    /// The largest segment, options and payload, that the receiver takes, if the sender may send
    /// larger ones, which are cut then; 0 or absent if it may not.
    pub fn mss(&mut self, value: u32) -> Result {
        self.0.u32(flow_attr::MSS, value)
    }

    /// Where the widest window seen ends, in the numbers of ack-last. A new splice assumes at least
    /// the widest that can be.
    pub fn window_edge(&mut self, value: u32) -> Result {
        self.0.u32(flow_attr::WINDOW_EDGE, value)
    }

    /// Highest TSval seen, as it arrives.
    pub fn tsval_last(&mut self, value: u32) -> Result {
        self.0.u32(flow_attr::TSVAL_LAST, value)
    }

    /// The receiver's TSval that the proxy echoed last, in numbers of leaving packets; while
    /// echoing.
    pub fn tsecr_floor(&mut self, value: u32) -> Result {
        self.0.u32(flow_attr::TSECR_FLOOR, value)
    }

    /// The connection has moved to another host: packets go there as they are, in this way. Absent
    /// for a flow whose packets are translated and go where they are routed.
    pub fn output(&mut self, value: NodeOutput) -> Result {
        self.0.u32(flow_attr::OUTPUT, value as u32)
    }

    /// The address that reaches that host; with output.
    pub fn via(&mut self, value: &[u8]) -> Result {
        self.0.binary(flow_attr::VIA, value)
    }
}

/// Writes `splice` attributes into a message.
///
/// Each fails with `EMSGSIZE` when the message has no room left.
pub struct SplicePut<'a, 'b>(&'a mut Put<'b>);

impl<'a, 'b> SplicePut<'a, 'b> {
    /// Writes into `put`.
    pub fn new(put: &'a mut Put<'b>) -> Self {
        Self(put)
    }

    /// Identity, unique in the network namespace while the module is loaded; never 0.
    pub fn id(&mut self, value: u64) -> Result {
        self.0.uint(splice_attr::ID, value)
    }

    /// The flow from the client to the server.
    pub fn to_server(&mut self, f: impl FnOnce(&mut FlowPut<'_, '_>) -> Result) -> Result {
        self.0
            .nested(splice_attr::TO_SERVER, |put| f(&mut FlowPut::new(put)))
    }

    /// The flow from the server to the client.
    pub fn to_client(&mut self, f: impl FnOnce(&mut FlowPut<'_, '_>) -> Result) -> Result {
        self.0
            .nested(splice_attr::TO_CLIENT, |put| f(&mut FlowPut::new(put)))
    }

    /// Milliseconds without a packet in either direction after which both ends are probed, and the
    /// splice is cut if one of them does not answer; 0 means never. Without the attribute the
    /// default is 15 minutes.
    pub fn idle_timeout(&mut self, value: u64) -> Result {
        self.0.uint(splice_attr::IDLE_TIMEOUT, value)
    }

    /// Where the splice stands.
    pub fn state(&mut self, value: SpliceState) -> Result {
        self.0.u32(splice_attr::STATE, value as u32)
    }

    /// Why the splice ended.
    pub fn reason(&mut self, value: EndReason) -> Result {
        self.0.u32(splice_attr::REASON, value as u32)
    }

    /// Milliseconds since the splice was made on this host.
    pub fn age(&mut self, value: u64) -> Result {
        self.0.uint(splice_attr::AGE, value)
    }

    /// Milliseconds since the last packet in either direction.
    pub fn idle(&mut self, value: u64) -> Result {
        self.0.uint(splice_attr::IDLE, value)
    }

    /// Bytes that were unread in the client's socket at arming and were sent to the server.
    pub fn moved_to_server(&mut self, value: u64) -> Result {
        self.0.uint(splice_attr::MOVED_TO_SERVER, value)
    }

    /// Bytes that were unread in the server's socket at arming and were sent to the client.
    pub fn moved_to_client(&mut self, value: u64) -> Result {
        self.0.uint(splice_attr::MOVED_TO_CLIENT, value)
    }

    /// Bytes of the client's stream, from the first that the caller has not read, that go to the
    /// server. What comes after them is kept for the client's socket. When this many have gone,
    /// nothing new is carried in the other direction either, unless that has a limit of its own to
    /// reach first; and when all is acknowledged the sockets are given back.
    pub fn limit_to_server(&mut self, value: u64) -> Result {
        self.0.uint(splice_attr::LIMIT_TO_SERVER, value)
    }

    /// The same for the server's stream.
    pub fn limit_to_client(&mut self, value: u64) -> Result {
        self.0.uint(splice_attr::LIMIT_TO_CLIENT, value)
    }

    /// What it does at certain moments.
    pub fn flags(&mut self, value: u32) -> Result {
        self.0.u32(splice_attr::FLAGS, value)
    }

    /// What its flows are of.
    pub fn kind(&mut self, value: SpliceKind) -> Result {
        self.0.u32(splice_attr::KIND, value as u32)
    }
}

/// Writes `stats` attributes into a message.
///
/// Each fails with `EMSGSIZE` when the message has no room left.
pub struct StatsPut<'a, 'b>(&'a mut Put<'b>);

impl<'a, 'b> StatsPut<'a, 'b> {
    /// Writes into `put`.
    pub fn new(put: &'a mut Put<'b>) -> Self {
        Self(put)
    }

    /// Splices that exist now, tombstones not counted.
    pub fn splices(&mut self, value: u64) -> Result {
        self.0.uint(stats_attr::SPLICES, value)
    }

    /// Ended splices that still carry or answer late packets.
    pub fn tombstones(&mut self, value: u64) -> Result {
        self.0.uint(stats_attr::TOMBSTONES, value)
    }

    /// Splices made.
    pub fn created(&mut self, value: u64) -> Result {
        self.0.uint(stats_attr::CREATED, value)
    }

    /// Splices ended, for any reason.
    pub fn ended(&mut self, value: u64) -> Result {
        self.0.uint(stats_attr::ENDED, value)
    }

    /// Requests for a splice that were refused.
    pub fn refused(&mut self, value: u64) -> Result {
        self.0.uint(stats_attr::REFUSED, value)
    }

    /// Packets translated and sent on; a GSO packet counts once.
    pub fn translated(&mut self, value: u64) -> Result {
        self.0.uint(stats_attr::TRANSLATED, value)
    }

    /// Packets held while a splice was being armed.
    pub fn held(&mut self, value: u64) -> Result {
        self.0.uint(stats_attr::HELD, value)
    }

    /// Acknowledgements given to a local socket that was draining.
    pub fn drained(&mut self, value: u64) -> Result {
        self.0.uint(stats_attr::DRAINED, value)
    }

    /// Splices whose sockets were given back.
    pub fn returned(&mut self, value: u64) -> Result {
        self.0.uint(stats_attr::RETURNED, value)
    }

    /// Packets kept, whole or in part, for a local socket, since they were beyond a limit.
    pub fn kept(&mut self, value: u64) -> Result {
        self.0.uint(stats_attr::KEPT, value)
    }

    /// Segments that a local socket had received out of order, and had told its peer of, that were
    /// sent to the other side at arming.
    pub fn moved_out_of_order(&mut self, value: u64) -> Result {
        self.0.uint(stats_attr::MOVED_OUT_OF_ORDER, value)
    }

    /// Packets cut into segments that their receiver takes.
    pub fn resegmented(&mut self, value: u64) -> Result {
        self.0.uint(stats_attr::RESEGMENTED, value)
    }

    /// Keep-alive probes sent to the ends of idle splices.
    pub fn probes(&mut self, value: u64) -> Result {
        self.0.uint(stats_attr::PROBES, value)
    }

    /// Packets for a cut splice that were answered with a RST.
    pub fn answered(&mut self, value: u64) -> Result {
        self.0.uint(stats_attr::ANSWERED, value)
    }

    /// ICMP errors about translated packets that were passed to whoever had sent these, the quoted
    /// addresses, ports and sequence number translated back.
    pub fn icmp_errors(&mut self, value: u64) -> Result {
        self.0.uint(stats_attr::ICMP_ERRORS, value)
    }

    /// Packets dropped because too many were held.
    pub fn drop_held(&mut self, value: u64) -> Result {
        self.0.uint(stats_attr::DROP_HELD, value)
    }

    /// Packets of a splice dropped because a header was truncated or contradicted itself.
    pub fn drop_malformed(&mut self, value: u64) -> Result {
        self.0.uint(stats_attr::DROP_MALFORMED, value)
    }

    /// Packets dropped because their TTL or hop limit was used up.
    pub fn drop_ttl(&mut self, value: u64) -> Result {
        self.0.uint(stats_attr::DROP_TTL, value)
    }

    /// Packets dropped because this host had no route to their new destination.
    pub fn drop_no_route(&mut self, value: u64) -> Result {
        self.0.uint(stats_attr::DROP_NO_ROUTE, value)
    }

    /// Packets dropped because they were larger than the MTU toward their new destination; their
    /// sender was told by ICMP.
    pub fn drop_too_big(&mut self, value: u64) -> Result {
        self.0.uint(stats_attr::DROP_TOO_BIG, value)
    }

    /// Packets dropped because a header could not be made writable.
    pub fn drop_no_memory(&mut self, value: u64) -> Result {
        self.0.uint(stats_attr::DROP_NO_MEMORY, value)
    }

    /// RSTs dropped because their sequence number was outside the window.
    pub fn drop_invalid_rst(&mut self, value: u64) -> Result {
        self.0.uint(stats_attr::DROP_INVALID_RST, value)
    }

    /// Segments of a dormant local socket dropped because they belonged to the spliced range.
    pub fn drop_local(&mut self, value: u64) -> Result {
        self.0.uint(stats_attr::DROP_LOCAL, value)
    }

    /// Packets of services sent to a node.
    pub fn dispatched(&mut self, value: u64) -> Result {
        self.0.uint(stats_attr::DISPATCHED, value)
    }

    /// Packets taken out of a tunnel of a service.
    pub fn decapsulated(&mut self, value: u64) -> Result {
        self.0.uint(stats_attr::DECAPSULATED, value)
    }

    /// Packets of services dropped because no node could take them.
    pub fn drop_no_node(&mut self, value: u64) -> Result {
        self.0.uint(stats_attr::DROP_NO_NODE, value)
    }

    /// Packets of services dropped because no node that was asked had their connection, while one
    /// that could not be asked might; no RST was sent.
    pub fn drop_not_owned(&mut self, value: u64) -> Result {
        self.0.uint(stats_attr::DROP_NOT_OWNED, value)
    }

    /// Packets of services dropped because they would have gone back to where they came from.
    pub fn drop_loop(&mut self, value: u64) -> Result {
        self.0.uint(stats_attr::DROP_LOOP, value)
    }

    /// Packets that the local socket would have taken in, on their way when it was spliced, that
    /// waited until the window of the other end took them.
    pub fn waited(&mut self, value: u64) -> Result {
        self.0.uint(stats_attr::WAITED, value)
    }

    /// Packets of connections that have moved, sent to the host that has them.
    pub fn forwarded(&mut self, value: u64) -> Result {
        self.0.uint(stats_attr::FORWARDED, value)
    }

    /// Connections that moved to another host.
    pub fn handed_off(&mut self, value: u64) -> Result {
        self.0.uint(stats_attr::HANDED_OFF, value)
    }

    /// Connections that came from another host.
    pub fn taken_over(&mut self, value: u64) -> Result {
        self.0.uint(stats_attr::TAKEN_OVER, value)
    }

    /// Connections of services that exist now and whose clients have not acknowledged a server's
    /// answer yet.
    pub fn opening(&mut self, value: u64) -> Result {
        self.0.uint(stats_attr::OPENING, value)
    }

    /// Connections that services gave to a server.
    pub fn assigned(&mut self, value: u64) -> Result {
        self.0.uint(stats_attr::ASSIGNED, value)
    }

    /// Packets of this host's servers that were given the address of their service.
    pub fn rewritten(&mut self, value: u64) -> Result {
        self.0.uint(stats_attr::REWRITTEN, value)
    }

    /// Packets of services that give connections to servers, dropped because they were of no
    /// connection that is known and opened none.
    pub fn drop_no_row(&mut self, value: u64) -> Result {
        self.0.uint(stats_attr::DROP_NO_ROW, value)
    }

    /// SYNs of services dropped because the answers of too many connections had not been
    /// acknowledged.
    pub fn drop_opening(&mut self, value: u64) -> Result {
        self.0.uint(stats_attr::DROP_OPENING, value)
    }

    /// SYNs of services dropped because there are too many rows, or because another service has
    /// given a connection of the same client's address and port to the same server.
    pub fn drop_full(&mut self, value: u64) -> Result {
        self.0.uint(stats_attr::DROP_FULL, value)
    }
}

/// Writes `service` attributes into a message.
///
/// Each fails with `EMSGSIZE` when the message has no room left.
pub struct ServicePut<'a, 'b>(&'a mut Put<'b>);

impl<'a, 'b> ServicePut<'a, 'b> {
    /// Writes into `put`.
    pub fn new(put: &'a mut Put<'b>) -> Self {
        Self(put)
    }

    /// Destination address of the packets; 4 bytes for IPv4, 16 for IPv6.
    pub fn address(&mut self, value: &[u8]) -> Result {
        self.0.binary(service_attr::ADDRESS, value)
    }

    /// Destination port of the packets; 0 is any, for the schedulers ports, rr and weighted.
    pub fn port(&mut self, value: u16) -> Result {
        self.0.be16(service_attr::PORT, value)
    }

    /// How a node is chosen.
    pub fn scheduler(&mut self, value: Scheduler) -> Result {
        self.0.u32(service_attr::SCHEDULER, value as u32)
    }

    /// Mixed into the scores of the schedulers hash and source; the same on all hosts of a service,
    /// 0 if absent.
    pub fn seed(&mut self, value: u32) -> Result {
        self.0.u32(service_attr::SEED, value)
    }

    /// How many nodes it has.
    pub fn nodes(&mut self, value: u32) -> Result {
        self.0.u32(service_attr::NODES, value)
    }
}

/// Writes `node` attributes into a message.
///
/// Each fails with `EMSGSIZE` when the message has no room left.
pub struct NodePut<'a, 'b>(&'a mut Put<'b>);

impl<'a, 'b> NodePut<'a, 'b> {
    /// Writes into `put`.
    pub fn new(put: &'a mut Put<'b>) -> Self {
        Self(put)
    }

    /// Address of the service.
    pub fn address(&mut self, value: &[u8]) -> Result {
        self.0.binary(node_attr::ADDRESS, value)
    }

    /// Port of the service.
    pub fn port(&mut self, value: u16) -> Result {
        self.0.be16(node_attr::PORT, value)
    }

    /// Identity of the node, the same on all hosts of the service.
    pub fn id(&mut self, value: u32) -> Result {
        self.0.u32(node_attr::ID, value)
    }

    /// Address that reaches the node; of the family of the service.
    pub fn via(&mut self, value: &[u8]) -> Result {
        self.0.binary(node_attr::VIA, value)
    }

    /// Share of the node relative to the others, 1 to 255; 1 if absent when the node is made.
    pub fn weight(&mut self, value: u32) -> Result {
        self.0.u32(node_attr::WEIGHT, value)
    }

    /// What it is given; up if absent when the node is made.
    pub fn state(&mut self, value: NodeState) -> Result {
        self.0.u32(node_attr::STATE, value as u32)
    }

    /// How a packet gets to it; direct if absent when the node is made.
    pub fn output(&mut self, value: NodeOutput) -> Result {
        self.0.u32(node_attr::OUTPUT, value as u32)
    }

    /// What else is to know of it; none if absent when the node is made.
    pub fn flags(&mut self, value: u32) -> Result {
        self.0.u32(node_attr::FLAGS, value)
    }

    /// First destination port that it owns, for the scheduler ports.
    pub fn port_low(&mut self, value: u16) -> Result {
        self.0.be16(node_attr::PORT_LOW, value)
    }

    /// Last destination port that it owns.
    pub fn port_high(&mut self, value: u16) -> Result {
        self.0.be16(node_attr::PORT_HIGH, value)
    }

    /// Packets that this host has sent to it; a GSO packet counts once. Of output nat and rewrite,
    /// connections that it was given.
    pub fn packets(&mut self, value: u64) -> Result {
        self.0.uint(node_attr::PACKETS, value)
    }

    /// Milliseconds since it was made or its state was last changed.
    pub fn since(&mut self, value: u64) -> Result {
        self.0.uint(node_attr::SINCE, value)
    }

    /// The server's port, of output nat and rewrite; 0, as if absent when the node is made, is the
    /// service's.
    pub fn server_port(&mut self, value: u16) -> Result {
        self.0.be16(node_attr::SERVER_PORT, value)
    }

    /// Connections that it was given and that have not ended; of output nat and rewrite.
    pub fn connections(&mut self, value: u64) -> Result {
        self.0.uint(node_attr::CONNECTIONS, value)
    }
}

/// Writes `handoff` attributes into a message.
///
/// Each fails with `EMSGSIZE` when the message has no room left.
pub struct HandoffPut<'a, 'b>(&'a mut Put<'b>);

impl<'a, 'b> HandoffPut<'a, 'b> {
    /// Writes into `put`.
    pub fn new(put: &'a mut Put<'b>) -> Self {
        Self(put)
    }

    /// Identity of the entry that holds its packets meanwhile, and of the splice that it becomes.
    pub fn id(&mut self, value: u64) -> Result {
        self.0.uint(handoff_attr::ID, value)
    }

    /// The client's address.
    pub fn remote(&mut self, value: &[u8]) -> Result {
        self.0.binary(handoff_attr::REMOTE, value)
    }

    /// The address that the client has connected to; the family of remote.
    pub fn local(&mut self, value: &[u8]) -> Result {
        self.0.binary(handoff_attr::LOCAL, value)
    }

    /// The client's port.
    pub fn remote_port(&mut self, value: u16) -> Result {
        self.0.be16(handoff_attr::REMOTE_PORT, value)
    }

    /// The port that the client has connected to.
    pub fn local_port(&mut self, value: u16) -> Result {
        self.0.be16(handoff_attr::LOCAL_PORT, value)
    }

    /// Number of the first byte that the new owner is to read.
    pub fn rcv_start(&mut self, value: u32) -> Result {
        self.0.u32(handoff_attr::RCV_START, value)
    }

    /// Number that is expected from the client next; all before it is acknowledged.
    pub fn rcv_next(&mut self, value: u32) -> Result {
        self.0.u32(handoff_attr::RCV_NEXT, value)
    }

    /// Where the widest window ends that the client was given.
    pub fn rcv_edge(&mut self, value: u32) -> Result {
        self.0.u32(handoff_attr::RCV_EDGE, value)
    }

    /// Oldest number of this side that the client has not acknowledged.
    pub fn snd_una(&mut self, value: u32) -> Result {
        self.0.u32(handoff_attr::SND_UNA, value)
    }

    /// Number after the last byte that was sent.
    pub fn snd_sent(&mut self, value: u32) -> Result {
        self.0.u32(handoff_attr::SND_SENT, value)
    }

    /// Number after the last byte that was given to TCP to be sent.
    pub fn snd_next(&mut self, value: u32) -> Result {
        self.0.u32(handoff_attr::SND_NEXT, value)
    }

    /// Where the window ends that the client has given.
    pub fn snd_edge(&mut self, value: u32) -> Result {
        self.0.u32(handoff_attr::SND_EDGE, value)
    }

    /// Shift of windows that the client announces; with scaling.
    pub fn wscale_in(&mut self, value: u32) -> Result {
        self.0.u32(handoff_attr::WSCALE_IN, value)
    }

    /// Shift of windows that this side announces; with scaling.
    pub fn wscale_out(&mut self, value: u32) -> Result {
        self.0.u32(handoff_attr::WSCALE_OUT, value)
    }

    /// This side's TSval goes on from here; with timestamps.
    pub fn tsval(&mut self, value: u32) -> Result {
        self.0.u32(handoff_attr::TSVAL, value)
    }

    /// The client's TSval to echo; with timestamps.
    pub fn ts_recent(&mut self, value: u32) -> Result {
        self.0.u32(handoff_attr::TS_RECENT, value)
    }

    /// The largest segment that the client takes, in bytes of options and payload.
    pub fn mss(&mut self, value: u32) -> Result {
        self.0.u32(handoff_attr::MSS, value)
    }

    /// Bytes that the client has acknowledged, 2^30 at most; bounds how old an acknowledgement may
    /// be.
    pub fn acked(&mut self, value: u32) -> Result {
        self.0.u32(handoff_attr::ACKED, value)
    }

    /// What was negotiated, and where it stands.
    pub fn flags(&mut self, value: u32) -> Result {
        self.0.u32(handoff_attr::FLAGS, value)
    }

    /// Number of the first of them.
    pub fn seq(&mut self, value: u32) -> Result {
        self.0.u32(handoff_attr::SEQ, value)
    }

    /// The bytes.
    pub fn bytes(&mut self, value: &[u8]) -> Result {
        self.0.binary(handoff_attr::BYTES, value)
    }

    /// Number after the last byte that the client has sent and this host has, gaps before it or
    /// not.
    pub fn rcv_max(&mut self, value: u32) -> Result {
        self.0.u32(handoff_attr::RCV_MAX, value)
    }
}

/// What the module does for each request.
///
/// Types and ranges are checked before a method is called; that an attribute is there is not.
pub trait Handler {
    /// Make a splice, from two connected sockets of the caller or from explicit numbers as
    /// splice-get prints them. With sockets, bytes not read yet are moved to the other side and the
    /// sockets are no longer usable by the caller, unless limits or a return give them back to a
    /// caller that kept them open. Answers with the splice.
    fn splice_new(req: &Request<'_>, attrs: SpliceAttrs<'_>) -> Result;

    /// Get one splice, or dump all of this network namespace.
    fn splice_get(req: &Request<'_>, attrs: SpliceAttrs<'_>) -> Result;

    /// `splice-get` asked for all: Get one splice, or dump all of this network namespace.
    fn splice_get_dump(out: &mut DumpOut<'_>) -> Result;

    /// End a live splice: cut it at once, so that both ends get a RST and the local sockets
    /// disappear, or give the sockets back to whoever holds them. Answers with the splice as it
    /// stands.
    fn splice_del(req: &Request<'_>, attrs: SpliceAttrs<'_>) -> Result;

    /// Merge what another host has seen of a splice of which it carries packets, too: of each flow
    /// the highest of seq-next, ack-last, window-edge and tsval-last, fin-seen and fin-acked.
    /// Nothing goes back, so that the order does not matter, nor how often it is said. With the
    /// flag replicated it is from now on told what is seen here. Answers with the splice as it
    /// stands.
    fn splice_set(req: &Request<'_>, attrs: SpliceAttrs<'_>) -> Result;

    /// Get the counters of this network namespace.
    fn stats_get(req: &Request<'_>) -> Result;

    /// Make a service, without nodes. Answers with it.
    fn service_new(req: &Request<'_>, attrs: ServiceAttrs<'_>) -> Result;

    /// Get one service, or dump all of this network namespace.
    fn service_get(req: &Request<'_>, attrs: ServiceAttrs<'_>) -> Result;

    /// `service-get` asked for all: Get one service, or dump all of this network namespace.
    fn service_get_dump(out: &mut DumpOut<'_>) -> Result;

    /// Forget a service and its nodes. Answers with the service as it was.
    fn service_del(req: &Request<'_>, attrs: ServiceAttrs<'_>) -> Result;

    /// Add a node to a service, or change one: what is absent stays as it is. Answers with the
    /// node.
    fn node_set(req: &Request<'_>, attrs: NodeAttrs<'_>) -> Result;

    /// Get one node of a service, or dump all nodes of all services of this network namespace.
    fn node_get(req: &Request<'_>, attrs: NodeAttrs<'_>) -> Result;

    /// `node-get` asked for all: Get one node of a service, or dump all nodes of all services of
    /// this network namespace.
    fn node_get_dump(out: &mut DumpOut<'_>) -> Result;

    /// Take a node out of a service. Answers with the node as it was.
    fn node_del(req: &Request<'_>, attrs: NodeAttrs<'_>) -> Result;

    /// Begin to move a connection to another host: its packets are held, its socket sleeps. Answers
    /// with where it stands. It goes on as if nothing had been asked if it has not moved when its
    /// time is over.
    fn handoff_export(req: &Request<'_>, attrs: HandoffAttrs<'_>) -> Result;

    /// Read bytes of a connection that is being exported, from seq on: as many as are in one piece,
    /// 16 KiB at most. Of what was received, the next piece if there is a gap. No bytes are the
    /// end.
    fn handoff_read(req: &Request<'_>, attrs: HandoffAttrs<'_>) -> Result;

    /// Begin to take a connection of another host: its packets are held. It is forgotten if it is
    /// not there when its time is over.
    fn handoff_import(req: &Request<'_>, attrs: HandoffAttrs<'_>) -> Result;

    /// Add bytes to a connection that is being imported, each stream in order. What was received
    /// may have gaps after rcv-next.
    fn handoff_write(req: &Request<'_>, attrs: HandoffAttrs<'_>) -> Result;

    /// Of an imported connection: it goes into the accept queue of the listening socket fd or,
    /// without fd, of whoever listens on its address and port, its bytes waiting to be read, and is
    /// an ordinary connection of this host. Whoever is refused aborts it, which fails with ENOENT
    /// if it is forgotten already. Of an exported one: another host has it, the socket is gone
    /// without a FIN or a RST, and the client's packets go to that host.
    fn handoff_commit(req: &Request<'_>, attrs: HandoffAttrs<'_>) -> Result;

    /// Of an exported connection: its socket goes on as if nothing had been asked. Of an imported
    /// one: it is forgotten.
    fn handoff_abort(req: &Request<'_>, attrs: HandoffAttrs<'_>) -> Result;

    /// Take a connection of another host at once: handoff-import, handoff-write of bytes, which are
    /// all that was received, from rcv-start on, and handoff-commit. For one with nothing
    /// unacknowledged. Nothing is left of one that is refused.
    fn handoff_take(req: &Request<'_>, attrs: HandoffAttrs<'_>) -> Result;
}

struct SpliceNewDo<H>(PhantomData<H>);

impl<H: Handler> Do for SpliceNewDo<H> {
    const CMD: u8 = CMD_SPLICE_NEW;
    const ADMIN: bool = true;
    const POLICY: &'static [Policy] = &SPLICE_NEW_POLICY;

    fn call(req: &Request<'_>) -> Result {
        H::splice_new(req, SpliceAttrs(req.attrs()))
    }
}

struct SpliceGetDo<H>(PhantomData<H>);

impl<H: Handler> Do for SpliceGetDo<H> {
    const CMD: u8 = CMD_SPLICE_GET;
    const ADMIN: bool = true;
    const POLICY: &'static [Policy] = &SPLICE_GET_POLICY;

    fn call(req: &Request<'_>) -> Result {
        H::splice_get(req, SpliceAttrs(req.attrs()))
    }
}

struct SpliceGetDump<H>(PhantomData<H>);

impl<H: Handler> Dump for SpliceGetDump<H> {
    const CMD: u8 = CMD_SPLICE_GET;
    const ADMIN: bool = true;
    const POLICY: &'static [Policy] = &[];

    fn call(out: &mut DumpOut<'_>) -> Result {
        H::splice_get_dump(out)
    }
}

struct SpliceDelDo<H>(PhantomData<H>);

impl<H: Handler> Do for SpliceDelDo<H> {
    const CMD: u8 = CMD_SPLICE_DEL;
    const ADMIN: bool = true;
    const POLICY: &'static [Policy] = &SPLICE_DEL_POLICY;

    fn call(req: &Request<'_>) -> Result {
        H::splice_del(req, SpliceAttrs(req.attrs()))
    }
}

struct SpliceSetDo<H>(PhantomData<H>);

impl<H: Handler> Do for SpliceSetDo<H> {
    const CMD: u8 = CMD_SPLICE_SET;
    const ADMIN: bool = true;
    const POLICY: &'static [Policy] = &SPLICE_SET_POLICY;

    fn call(req: &Request<'_>) -> Result {
        H::splice_set(req, SpliceAttrs(req.attrs()))
    }
}

struct StatsGetDo<H>(PhantomData<H>);

impl<H: Handler> Do for StatsGetDo<H> {
    const CMD: u8 = CMD_STATS_GET;
    const ADMIN: bool = true;
    const POLICY: &'static [Policy] = &[];

    fn call(req: &Request<'_>) -> Result {
        H::stats_get(req)
    }
}

struct ServiceNewDo<H>(PhantomData<H>);

impl<H: Handler> Do for ServiceNewDo<H> {
    const CMD: u8 = CMD_SERVICE_NEW;
    const ADMIN: bool = true;
    const POLICY: &'static [Policy] = &SERVICE_NEW_POLICY;

    fn call(req: &Request<'_>) -> Result {
        H::service_new(req, ServiceAttrs(req.attrs()))
    }
}

struct ServiceGetDo<H>(PhantomData<H>);

impl<H: Handler> Do for ServiceGetDo<H> {
    const CMD: u8 = CMD_SERVICE_GET;
    const ADMIN: bool = true;
    const POLICY: &'static [Policy] = &SERVICE_GET_POLICY;

    fn call(req: &Request<'_>) -> Result {
        H::service_get(req, ServiceAttrs(req.attrs()))
    }
}

struct ServiceGetDump<H>(PhantomData<H>);

impl<H: Handler> Dump for ServiceGetDump<H> {
    const CMD: u8 = CMD_SERVICE_GET;
    const ADMIN: bool = true;
    const POLICY: &'static [Policy] = &[];

    fn call(out: &mut DumpOut<'_>) -> Result {
        H::service_get_dump(out)
    }
}

struct ServiceDelDo<H>(PhantomData<H>);

impl<H: Handler> Do for ServiceDelDo<H> {
    const CMD: u8 = CMD_SERVICE_DEL;
    const ADMIN: bool = true;
    const POLICY: &'static [Policy] = &SERVICE_DEL_POLICY;

    fn call(req: &Request<'_>) -> Result {
        H::service_del(req, ServiceAttrs(req.attrs()))
    }
}

struct NodeSetDo<H>(PhantomData<H>);

impl<H: Handler> Do for NodeSetDo<H> {
    const CMD: u8 = CMD_NODE_SET;
    const ADMIN: bool = true;
    const POLICY: &'static [Policy] = &NODE_SET_POLICY;

    fn call(req: &Request<'_>) -> Result {
        H::node_set(req, NodeAttrs(req.attrs()))
    }
}

struct NodeGetDo<H>(PhantomData<H>);

impl<H: Handler> Do for NodeGetDo<H> {
    const CMD: u8 = CMD_NODE_GET;
    const ADMIN: bool = true;
    const POLICY: &'static [Policy] = &NODE_GET_POLICY;

    fn call(req: &Request<'_>) -> Result {
        H::node_get(req, NodeAttrs(req.attrs()))
    }
}

struct NodeGetDump<H>(PhantomData<H>);

impl<H: Handler> Dump for NodeGetDump<H> {
    const CMD: u8 = CMD_NODE_GET;
    const ADMIN: bool = true;
    const POLICY: &'static [Policy] = &[];

    fn call(out: &mut DumpOut<'_>) -> Result {
        H::node_get_dump(out)
    }
}

struct NodeDelDo<H>(PhantomData<H>);

impl<H: Handler> Do for NodeDelDo<H> {
    const CMD: u8 = CMD_NODE_DEL;
    const ADMIN: bool = true;
    const POLICY: &'static [Policy] = &NODE_DEL_POLICY;

    fn call(req: &Request<'_>) -> Result {
        H::node_del(req, NodeAttrs(req.attrs()))
    }
}

struct HandoffExportDo<H>(PhantomData<H>);

impl<H: Handler> Do for HandoffExportDo<H> {
    const CMD: u8 = CMD_HANDOFF_EXPORT;
    const ADMIN: bool = true;
    const POLICY: &'static [Policy] = &HANDOFF_EXPORT_POLICY;

    fn call(req: &Request<'_>) -> Result {
        H::handoff_export(req, HandoffAttrs(req.attrs()))
    }
}

struct HandoffReadDo<H>(PhantomData<H>);

impl<H: Handler> Do for HandoffReadDo<H> {
    const CMD: u8 = CMD_HANDOFF_READ;
    const ADMIN: bool = true;
    const POLICY: &'static [Policy] = &HANDOFF_READ_POLICY;

    fn call(req: &Request<'_>) -> Result {
        H::handoff_read(req, HandoffAttrs(req.attrs()))
    }
}

struct HandoffImportDo<H>(PhantomData<H>);

impl<H: Handler> Do for HandoffImportDo<H> {
    const CMD: u8 = CMD_HANDOFF_IMPORT;
    const ADMIN: bool = true;
    const POLICY: &'static [Policy] = &HANDOFF_IMPORT_POLICY;

    fn call(req: &Request<'_>) -> Result {
        H::handoff_import(req, HandoffAttrs(req.attrs()))
    }
}

struct HandoffWriteDo<H>(PhantomData<H>);

impl<H: Handler> Do for HandoffWriteDo<H> {
    const CMD: u8 = CMD_HANDOFF_WRITE;
    const ADMIN: bool = true;
    const POLICY: &'static [Policy] = &HANDOFF_WRITE_POLICY;

    fn call(req: &Request<'_>) -> Result {
        H::handoff_write(req, HandoffAttrs(req.attrs()))
    }
}

struct HandoffCommitDo<H>(PhantomData<H>);

impl<H: Handler> Do for HandoffCommitDo<H> {
    const CMD: u8 = CMD_HANDOFF_COMMIT;
    const ADMIN: bool = true;
    const POLICY: &'static [Policy] = &HANDOFF_COMMIT_POLICY;

    fn call(req: &Request<'_>) -> Result {
        H::handoff_commit(req, HandoffAttrs(req.attrs()))
    }
}

struct HandoffAbortDo<H>(PhantomData<H>);

impl<H: Handler> Do for HandoffAbortDo<H> {
    const CMD: u8 = CMD_HANDOFF_ABORT;
    const ADMIN: bool = true;
    const POLICY: &'static [Policy] = &HANDOFF_ABORT_POLICY;

    fn call(req: &Request<'_>) -> Result {
        H::handoff_abort(req, HandoffAttrs(req.attrs()))
    }
}

struct HandoffTakeDo<H>(PhantomData<H>);

impl<H: Handler> Do for HandoffTakeDo<H> {
    const CMD: u8 = CMD_HANDOFF_TAKE;
    const ADMIN: bool = true;
    const POLICY: &'static [Policy] = &HANDOFF_TAKE_POLICY;

    fn call(req: &Request<'_>) -> Result {
        H::handoff_take(req, HandoffAttrs(req.attrs()))
    }
}

/// The operations, in the order of their ids, answered by `H`.
pub const fn ops<H: Handler>() -> [Op; 21] {
    [
        Op::doit::<SpliceNewDo<H>>(),
        Op::doit::<SpliceGetDo<H>>(),
        Op::dumpit::<SpliceGetDump<H>>(),
        Op::doit::<SpliceDelDo<H>>(),
        Op::doit::<SpliceSetDo<H>>(),
        Op::doit::<StatsGetDo<H>>(),
        Op::doit::<ServiceNewDo<H>>(),
        Op::doit::<ServiceGetDo<H>>(),
        Op::dumpit::<ServiceGetDump<H>>(),
        Op::doit::<ServiceDelDo<H>>(),
        Op::doit::<NodeSetDo<H>>(),
        Op::doit::<NodeGetDo<H>>(),
        Op::dumpit::<NodeGetDump<H>>(),
        Op::doit::<NodeDelDo<H>>(),
        Op::doit::<HandoffExportDo<H>>(),
        Op::doit::<HandoffReadDo<H>>(),
        Op::doit::<HandoffImportDo<H>>(),
        Op::doit::<HandoffWriteDo<H>>(),
        Op::doit::<HandoffCommitDo<H>>(),
        Op::doit::<HandoffAbortDo<H>>(),
        Op::doit::<HandoffTakeDo<H>>(),
    ]
}
