// SPDX-License-Identifier: GPL-2.0

//! What is counted, by namespace.

/// One counter of [`crate::pernet::Ns`]. The specification of the netlink family says what each means.
#[derive(Clone, Copy)]
pub enum Stat {
    /// Splices made.
    Created,
    /// Splices ended.
    Ended,
    /// Requests for a splice refused.
    Refused,
    /// Packets translated and sent on.
    Translated,
    /// Packets held while a splice was being armed.
    Held,
    /// Acknowledgements given to a draining socket.
    Drained,
    /// Splices whose sockets were given back.
    Returned,
    /// Packets kept for a local socket.
    Kept,
    /// Segments that a local socket had out of order, sent on at arming.
    MovedOutOfOrder,
    /// Packets cut into smaller segments.
    Resegmented,
    /// Keep-alive probes sent.
    Probes,
    /// Packets answered with a RST.
    Answered,
    /// ICMP errors translated.
    IcmpErrors,
    /// Too many were held.
    DropHeld,
    /// A header was truncated or contradicted itself.
    DropMalformed,
    /// TTL or hop limit used up.
    DropTtl,
    /// No route to the new destination.
    DropNoRoute,
    /// Larger than the route takes; the sender was told.
    DropTooBig,
    /// No memory for a writable header.
    DropNoMemory,
    /// RST outside of any window.
    DropInvalidRst,
    /// From a dormant local socket, in the spliced range.
    DropLocal,
    /// Packets of services sent to a node.
    Dispatched,
    /// Packets taken out of a tunnel.
    Decapsulated,
    /// No node takes it.
    DropNoNode,
    /// No node that was asked has its connection, and one that was not may.
    DropNotOwned,
    /// It would go back to where it came from.
    DropLoop,
    /// Packets that waited until the window of their receiver took them.
    Waited,
    /// Packets of connections that have moved, sent to the host that has them.
    Forwarded,
    /// Connections that moved to another host.
    HandedOff,
    /// Connections that came from another host.
    TakenOver,
    /// Connections of services given to a server.
    Assigned,
    /// Packets of local servers given the address of their service.
    Rewritten,
    /// Of a service that gives connections, neither of one nor the first of one.
    DropNoRow,
    /// Too many connections had not been answered.
    DropOpening,
    /// Too many rows, or there is one of the same server and client.
    DropFull,
}

impl Stat {
    /// How many there are.
    pub const COUNT: usize = Stat::DropFull as usize + 1;
}
