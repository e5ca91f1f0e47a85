// SPDX-License-Identifier: GPL-2.0

//! `rust/net/forward.rs`: what goes to another host leaves as what is routed does.

use super::skbuff::{Net, Packet, Routed};
use kernel::sync::rcu::Guard;
use xlate::Family;

/// How a packet gets to another host.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Output {
    /// In a frame.
    Direct,
    /// By rewriting, both ways.
    Nat,
    /// By rewriting, one way.
    Rewrite,
}

impl Output {
    /// Whether packets get there as they came.
    pub fn is_unchanged(self) -> bool {
        matches!(self, Output::Direct)
    }
}

/// Another host.
#[derive(Clone, Copy)]
pub struct Hop {
    /// How packets get there.
    pub output: Output,
    /// Its address.
    pub via: [u8; 16],
}

/// Why a packet was not sent.
pub enum Unsent {
    /// There is no route.
    NoRoute(Packet),
    /// It is too large.
    TooBig(Routed, u32),
    /// There is no memory.
    NoMemory(Packet),
    /// It came from there.
    Loop(Packet),
}

impl Packet {
    /// It leaves as it is.
    ///
    /// # Errors
    ///
    /// Never.
    pub fn send_to(
        self,
        net: &Net,
        _family: Family,
        _hop: &Hop,
        _source: impl FnOnce() -> [u8; 16],
        _guard: &Guard,
    ) -> Result<(), Unsent> {
        Routed::from(self).output(net);
        Ok(())
    }
}
