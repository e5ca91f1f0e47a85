// SPDX-License-Identifier: GPL-2.0

//! `rust/net/netfilter.rs`, without the registration.

use super::skbuff::Packet;
use kernel::sync::rcu;
use xlate::Family;

/// Where in the stack a packet is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Hook {
    /// Received, not routed yet.
    PreRouting,
    /// Sent by this host, routed.
    LocalOut,
}

/// What becomes of a packet.
pub enum Verdict {
    /// It goes on through the stack.
    Accept(Packet),
    /// It was taken: sent on, kept or dropped.
    Stolen,
}

/// Runs `f` as the packet path runs.
pub fn in_packet_context<R>(f: impl FnOnce(&rcu::Guard) -> R) -> R {
    f(&rcu::read_lock())
}

/// What the hook is told beside the packet.
#[derive(Clone, Copy)]
pub struct HookState {
    /// Where the packet is.
    pub hook: Hook,
    /// Its IP version.
    pub family: Family,
}

/// Sees the packets of a namespace.
pub trait Filter {
    /// Decides on one packet.
    fn filter(&self, packet: Packet, state: HookState, guard: &rcu::Guard) -> Verdict;
}
