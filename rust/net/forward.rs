// SPDX-License-Identifier: GPL-2.0

//! Packets to a node and from one: in a frame to a neighbour, or in a tunnel. And whether this host has
//! the connection of a packet.
//!
//! C headers: [`include/net/neighbour.h`](srctree/include/net/neighbour.h),
//! [`include/net/ip_tunnels.h`](srctree/include/net/ip_tunnels.h)

use super::{
    namespace::Namespace,
    skbuff::{Packet, Routed},
};
use crate::{
    bindings,
    xlate::key::{Family, FlowKey},
};
use core::ffi::c_int;
use kernel::sync::{
    atomic::{Atomic, Relaxed},
    rcu,
};

/// How a packet gets to another host.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Output {
    /// As it is, in a frame to the neighbour.
    Direct,
    /// As it is, in a packet.
    Tunnel,
    /// Its destination rewritten, where it is routed then; what answers it comes back here, and its source is rewritten.
    Nat,
    /// Its destination rewritten; what answers it goes another way.
    Rewrite,
}

impl Output {
    /// Whether packets get there as they came.
    #[inline]
    pub fn is_unchanged(self) -> bool {
        matches!(self, Output::Direct | Output::Tunnel)
    }
}

/// Another host, and how packets get there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Hop {
    /// How.
    pub output: Output,
    /// The address that reaches it, as in a flow key.
    pub via: [u8; 16],
}

/// Why a packet was not sent.
pub enum Unsent {
    /// There is no route, or it goes by a router where a neighbour is wanted, or to this host itself.
    NoRoute(Packet),
    /// The MTU in bytes.
    TooBig(Routed, u32),
    /// No memory for a header.
    NoMemory(Packet),
    /// It came from that very neighbour.
    Loop(Packet),
}

/// Where a frame came from.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Sender {
    /// The neighbour asked about.
    This,
    /// Another.
    Another,
    /// It cannot be told: the neighbour's link-layer address is not known yet.
    Unknown,
}

/// The link-layer address of a neighbour as it was known last.
pub struct LinkAddress(Atomic<u64>);

impl LinkAddress {
    /// Not known.
    pub const fn new() -> Self {
        LinkAddress(Atomic::new(0))
    }
}

/// Learns the link-layer address of a neighbour, if it is one, or has it asked for, so that it is known when the first
/// packet comes from there. In packet context.
pub fn meet(
    net: &Namespace,
    family: Family,
    via: &[u8; 16],
    known: &LinkAddress,
    _guard: &rcu::Guard,
) {
    let mut last = known.0.load(Relaxed);
    // SAFETY: The address has room for either family; `last` is a place for a number; in an RCU read section.
    unsafe { bindings::tcp_splice_meet(net.as_raw(), family as u8, via.as_ptr(), &mut last) };
    known.0.store(last, Relaxed);
}

impl Default for LinkAddress {
    fn default() -> Self {
        Self::new()
    }
}

/// Whether this host has a connection.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Socket {
    /// No.
    None,
    /// It has it, or is about to: its handshake has begun.
    Live,
    /// It had it until lately.
    TimeWait,
}

impl Packet {
    /// Sends the packet, unchanged, to another host; in a tunnel from the address that `source` says, unless it is zero. In packet context.
    ///
    /// # Errors
    ///
    /// The packet is given back.
    #[inline]
    pub fn send_to(
        self,
        net: &Namespace,
        family: Family,
        hop: &Hop,
        source: impl FnOnce() -> [u8; 16],
        guard: &rcu::Guard,
    ) -> core::result::Result<(), Unsent> {
        match hop.output {
            Output::Direct => self.send_direct(net, family, &hop.via, guard),
            Output::Tunnel => self.send_tunnel(net, family, &source(), &hop.via, guard),
            // Not as it is.
            Output::Nat | Output::Rewrite => Err(Unsent::NoRoute(self)),
        }
    }

    fn sent(self, outcome: c_int, mtu: u32) -> core::result::Result<(), Unsent> {
        match outcome as u32 {
            bindings::TCP_SPLICE_SEND_DONE => {
                let _ = self.into_raw();
                Ok(())
            }
            bindings::TCP_SPLICE_SEND_TOO_BIG => Err(Unsent::TooBig(self.routed(), mtu)),
            bindings::TCP_SPLICE_SEND_NO_MEMORY => Err(Unsent::NoMemory(self)),
            bindings::TCP_SPLICE_SEND_LOOP => Err(Unsent::Loop(self)),
            _ => Err(Unsent::NoRoute(self)),
        }
    }

    /// Sends the packet, unchanged, in a frame to the neighbour with this address. In packet context.
    ///
    /// # Errors
    ///
    /// The packet is given back.
    #[inline]
    fn send_direct(
        self,
        net: &Namespace,
        family: Family,
        via: &[u8; 16],
        _guard: &rcu::Guard,
    ) -> core::result::Result<(), Unsent> {
        let mut mtu = 0;
        // SAFETY: Owned, and given away if it is done; the address has room for either family.
        let outcome = unsafe {
            bindings::tcp_splice_send_direct(
                net.as_raw(),
                self.as_raw(),
                family as u8,
                via.as_ptr(),
                &mut mtu,
            )
        };
        self.sent(outcome, mtu)
    }

    /// Sends the packet in another to this address, from that one unless it is zero. In packet context.
    ///
    /// # Errors
    ///
    /// The packet is given back.
    #[inline]
    fn send_tunnel(
        self,
        net: &Namespace,
        family: Family,
        source: &[u8; 16],
        via: &[u8; 16],
        _guard: &rcu::Guard,
    ) -> core::result::Result<(), Unsent> {
        let mut mtu = 0;
        // SAFETY: As above.
        let outcome = unsafe {
            bindings::tcp_splice_send_tunnel(
                net.as_raw(),
                self.as_raw(),
                family as u8,
                source.as_ptr(),
                via.as_ptr(),
                &mut mtu,
            )
        };
        self.sent(outcome, mtu)
    }

    /// Whether the packet came in a frame from the neighbour with this address. In packet context.
    pub fn came_from(
        &self,
        net: &Namespace,
        family: Family,
        via: &[u8; 16],
        known: &LinkAddress,
        _guard: &rcu::Guard,
    ) -> Sender {
        let mut last = known.0.load(Relaxed);
        let before = last;
        // SAFETY: Owned; the address has room for either family; `last` is a place for a number.
        let answer = unsafe {
            bindings::tcp_splice_came_from(
                net.as_raw(),
                self.as_raw(),
                family as u8,
                via.as_ptr(),
                &mut last,
            )
        };
        if last != before {
            known.0.store(last, Relaxed);
        }
        match answer {
            1 => Sender::This,
            0 => Sender::Another,
            _ => Sender::Unknown,
        }
    }

    /// Takes the packet out of a tunnel, whose IP header has this length. `None` if what is inside is malformed, a
    /// fragment, or there is no memory; it is dropped. In packet context.
    pub fn decapsulated(self, family: Family, header_len: usize) -> Option<Packet> {
        let len = u32::try_from(header_len).ok()?;
        // SAFETY: Owned.
        let err = unsafe { bindings::tcp_splice_decapsulate(self.as_raw(), family as u8, len) };
        (err == 0).then_some(self)
    }

    /// Whether this host has the connection of which packets with this key are. In packet context.
    #[inline]
    pub fn socket_of(&self, net: &Namespace, key: &FlowKey) -> Socket {
        // SAFETY: Owned; addresses have room for either family.
        let found = unsafe {
            bindings::tcp_splice_socket_of(
                net.as_raw(),
                self.as_raw(),
                key.family as u8,
                key.saddr.as_ptr(),
                u16::from_ne_bytes(key.sport),
                key.daddr.as_ptr(),
                u16::from_ne_bytes(key.dport),
            )
        };
        match found as u32 {
            bindings::TCP_SPLICE_SOCKET_LIVE => Socket::Live,
            bindings::TCP_SPLICE_SOCKET_TIME_WAIT => Socket::TimeWait,
            _ => Socket::None,
        }
    }
}
