// SPDX-License-Identifier: GPL-2.0

//! `rust/net/skbuff.rs` over a vector of bytes.

use std::cell::RefCell;
use xlate::{checksum, key_of, parse_ip, Family, FlowKey};

/// A packet.
#[derive(Clone)]
pub struct Packet(Vec<u8>);

impl From<Vec<u8>> for Packet {
    fn from(bytes: Vec<u8>) -> Self {
        Packet(bytes)
    }
}

impl From<Packet> for Vec<u8> {
    fn from(packet: Packet) -> Self {
        packet.0
    }
}

impl Packet {
    /// A packet of our own of `len` bytes, filled by `fill`.
    pub fn build(
        _family: Family,
        len: usize,
        fill: impl FnOnce(&mut [u8]) -> Option<usize>,
    ) -> Option<Packet> {
        let mut bytes = vec![0; len];
        (fill(&mut bytes) == Some(len)).then_some(Packet(bytes))
    }

    /// Length in bytes.
    pub fn size(&self) -> usize {
        self.0.len()
    }

    /// Here all packets come over a wire.
    pub fn checksum_is_partial(&self) -> bool {
        false
    }

    /// Nobody has merged packets.
    pub fn is_lro(&self) -> bool {
        false
    }

    /// Whether the TCP checksum is right.
    pub fn checksum_ok(&mut self, family: Family, header_len: usize) -> bool {
        let Some(segment) = self.0.get(header_len..) else {
            return false;
        };
        let ip = parse_ip(&self.0, family).expect("it was parsed before");
        let key = key_of(&self.0, &ip).expect("it was parsed before");
        checksum::tcp(&key, segment).fold() == 0xffff
    }

    /// The first `len` bytes.
    pub fn pull(&mut self, len: usize) -> Option<&[u8]> {
        self.0.get(..len)
    }

    /// The first `len` bytes to write to.
    pub fn writable(&mut self, len: usize) -> Option<&mut [u8]> {
        self.0.get_mut(..len)
    }

    /// There is always a route.
    ///
    /// # Errors
    ///
    /// Never.
    pub fn route(self, _net: &Net, _out: &FlowKey) -> Result<Routed, Packet> {
        Ok(Routed(self))
    }

    /// Nobody looks.
    pub fn received_like(&mut self, _like: &Packet) {}

    /// The end of it.
    pub fn consume(self) {}
}

/// A packet with a route to leave by.
pub struct Routed(Packet);

impl Routed {
    /// It always fits.
    pub fn exceeds_mtu(&self, _family: Family) -> Option<u32> {
        None
    }

    /// It always fits.
    pub fn refuse_too_big(self, _family: Family, _mtu: u32) {
        unreachable!()
    }

    /// No packet here is as old as that.
    pub fn refuse_ttl_exceeded(self, _family: Family) {
        unreachable!()
    }

    /// The first `len` bytes to write to.
    pub fn writable(&mut self, len: usize) -> Option<&mut [u8]> {
        self.0.writable(len)
    }

    /// Sends the packet on.
    pub fn output(self, net: &Net) {
        net.0.borrow_mut().push(self.0 .0);
    }
}

/// What has left the namespace.
pub struct Net(pub RefCell<Vec<Vec<u8>>>);
