// SPDX-License-Identifier: GPL-2.0

//! `rust/net/skbuff.rs` over a vector of bytes.

use super::route::LastRoute;
use kernel::prelude::*;
use std::{cell::RefCell, collections::VecDeque};
use xlate::{checksum, parse, parse_ip, Family, Flags, FlowKey};

/// In the mark of a packet that leaves after it has waited.
pub const WAITED: u64 = 1 << 63;

/// A packet.
#[derive(Clone)]
pub struct Packet {
    bytes: Vec<u8>,
    /// The checksum is still to be made.
    partial: bool,
    /// It leaves in segments of so many bytes.
    segments: Option<usize>,
    own: bool,
    /// By which the test knows it again.
    id: Option<u64>,
}

impl From<Vec<u8>> for Packet {
    fn from(bytes: Vec<u8>) -> Self {
        Packet {
            bytes,
            partial: false,
            segments: None,
            own: false,
            id: None,
        }
    }
}

impl From<Packet> for Vec<u8> {
    /// As a socket gets it, which knows that what was cut here is right.
    fn from(packet: Packet) -> Self {
        let mut all = packet.leave();
        assert_eq!(all.len(), 1, "a packet of one segment");
        all.remove(0)
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
        let packet = (fill(&mut bytes) == Some(len)).then_some(Packet::from(bytes))?;
        Some(Packet {
            own: true,
            ..packet
        })
    }

    /// A packet that the test can know again when it leaves.
    pub fn marked(bytes: Vec<u8>, id: u64) -> Packet {
        Packet {
            id: Some(id),
            ..Packet::from(bytes)
        }
    }

    /// Length in bytes.
    pub fn size(&self) -> usize {
        self.bytes.len()
    }

    /// Whether the checksum is still to be made.
    pub fn checksum_is_partial(&self) -> bool {
        self.partial
    }

    /// Nobody has merged packets.
    pub fn is_lro(&self) -> bool {
        false
    }

    /// It is not known here.
    pub fn forget_sender(&mut self) {}

    /// Whether the TCP checksum is right.
    pub fn checksum_ok(&mut self, family: Family, header_len: usize) -> bool {
        let key = parse(&self.bytes, family, self.size()).map(|seg| seg.key);
        let segment = self.bytes.get(header_len..);
        let sum = key.ok().zip(segment);
        self.partial || sum.is_some_and(|(key, seg)| checksum::tcp(&key, seg).fold() == 0xffff)
    }

    /// The first `len` bytes.
    pub fn pull(&mut self, len: usize) -> Option<&[u8]> {
        self.bytes.get(..len)
    }

    /// The first `len` bytes to write to.
    pub fn writable(&mut self, len: usize) -> Option<&mut [u8]> {
        self.bytes.get_mut(..len)
    }

    /// There is always a route.
    ///
    /// # Errors
    ///
    /// Never.
    pub fn route(self, _net: &Net, _out: &FlowKey) -> core::result::Result<Routed, Packet> {
        Ok(Routed(self))
    }

    /// The same.
    ///
    /// # Errors
    ///
    /// Never.
    pub fn route_again(
        self,
        net: &Net,
        out: &FlowKey,
        _last: &LastRoute,
    ) -> core::result::Result<Routed, Packet> {
        self.route(net, out)
    }

    /// Another of the same.
    pub fn copy(&mut self) -> Option<Packet> {
        Some(self.clone())
    }

    /// Memory that it takes.
    pub fn truesize(&self) -> usize {
        self.size()
    }

    /// Bytes of payload in the largest segment.
    pub fn segment_len(&self, headers: usize) -> usize {
        self.segments.unwrap_or(self.size() - headers)
    }

    /// Cuts it after `len` bytes.
    pub fn cut(&mut self, len: usize, _ip_header: usize, headers: usize) -> Option<&mut [u8]> {
        if len < headers || len > self.size() {
            return None;
        }
        self.bytes.truncate(len);
        self.partial = true;
        self.writable(headers)
    }

    /// Has it leave in segments of `mss` bytes.
    pub fn segment(
        &mut self,
        _family: Family,
        mss: u16,
        _ip_header: usize,
        headers: usize,
    ) -> Option<&mut [u8]> {
        self.segments = Some(usize::from(mss)).filter(|mss| *mss > 0);
        self.segments?;
        self.partial = true;
        self.writable(headers)
    }

    /// Has it forget where it came in.
    pub fn park(&mut self) {
        self.own = true;
        self.id = self.id.map(|id| id | WAITED);
    }

    /// Takes it apart into its segments.
    ///
    /// # Errors
    ///
    /// Never.
    pub fn split(self, mut each: impl FnMut(Packet)) -> core::result::Result<(), Packet> {
        let (id, own) = (self.id, self.own);
        for bytes in self.leave() {
            each(Packet {
                id,
                own,
                ..Packet::from(bytes)
            });
        }
        Ok(())
    }

    /// Whether this host has made it.
    pub fn is_own(&self) -> bool {
        self.own
    }

    /// Makes a packet of our own look as if it had come in.
    pub fn received_like(&mut self, like: &Packet) {
        self.own = like.own;
    }

    /// The end of it.
    pub fn consume(self) {}

    /// What goes over the wire: the packet, or its segments.
    fn leave(self) -> Vec<Vec<u8>> {
        if !self.partial {
            return vec![self.bytes];
        }
        let family = match self.bytes[0] >> 4 {
            4 => Family::V4,
            _ => Family::V6,
        };
        let seg = parse(&self.bytes, family, self.size()).expect("a TCP segment");
        let (headers, payload) = self.bytes.split_at(seg.headers_len());
        let most = self.segments.unwrap_or(payload.len()).max(1);
        let count = payload.len().div_ceil(most).max(1);
        let segment = |n: usize| {
            let from = n * most;
            let part = &payload[from..payload.len().min(from + most)];
            let mut bytes = [headers, part].concat();
            finish(&mut bytes, family, from as u32, n + 1 == count);
            bytes
        };
        (0..count).map(segment).collect()
    }
}

/// A packet with a route to leave by.
pub struct Routed(Packet);

impl From<Packet> for Routed {
    fn from(packet: Packet) -> Self {
        Routed(packet)
    }
}

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

    /// As `output`: there is no socket here.
    pub fn output_own(self, net: &Net) {
        self.output(net);
    }

    /// Sends the packet on, as a device does that segments and sums.
    pub fn output(self, net: &Net) {
        let id = self.0.id;
        let mut out = net.0.borrow_mut();
        out.extend(self.0.leave().into_iter().map(|bytes| (id, bytes)));
    }
}

/// Makes a segment, `from` bytes into a packet, a packet of its own.
fn finish(bytes: &mut [u8], family: Family, from: u32, is_last: bool) {
    let len = bytes.len();
    match family {
        Family::V4 => {
            bytes[2..4].copy_from_slice(&(len as u16).to_be_bytes());
            bytes[10..12].fill(0);
            let check = checksum::Sum::ZERO.add_bytes(&bytes[..20]).checksum();
            bytes[10..12].copy_from_slice(&check.to_be_bytes());
        }
        Family::V6 => bytes[4..6].copy_from_slice(&((len - 40) as u16).to_be_bytes()),
    }
    let ip = parse_ip(bytes, family).expect("an IP header");
    let key = xlate::key_of(bytes, &ip).expect("a TCP header");
    let tcp = &mut bytes[ip.header_len..];
    let seq = u32::from_be_bytes([tcp[4], tcp[5], tcp[6], tcp[7]]).wrapping_add(from);
    tcp[4..8].copy_from_slice(&seq.to_be_bytes());
    if !is_last {
        tcp[13] &= !Flags::FIN.union(Flags::PSH).0;
    }
    // The field has the sum of the pseudo-header, or it comes out wrong; of the whole length, though.
    let held = u16::from_be_bytes([tcp[16], tcp[17]]);
    if is_last && from == 0 {
        let pseudo = checksum::pseudo_header(&key, tcp.len() as u32).fold();
        assert_eq!(held, pseudo, "sum of the pseudo-header");
    }
    tcp[16..18].fill(0);
    let check = checksum::tcp(&key, tcp).checksum();
    tcp[16..18].copy_from_slice(&check.to_be_bytes());
}

/// Where a packet came in.
pub struct Device(());

/// Packets that wait.
pub struct PacketQueue(VecDeque<Packet>);

impl PacketQueue {
    /// An empty queue.
    ///
    /// # Errors
    ///
    /// Never.
    pub fn new() -> Result<Self> {
        Ok(PacketQueue(VecDeque::new()))
    }

    /// How many wait.
    pub fn waiting(&self) -> usize {
        self.0.len()
    }

    /// Memory that they take.
    pub fn memory(&self) -> usize {
        self.0.iter().map(Packet::truesize).sum()
    }

    /// Puts one at the end.
    pub fn push(&mut self, packet: Packet) {
        self.0.push_back(packet);
    }

    /// Takes the first, if it is wanted.
    pub fn pop_if(&mut self, wanted: impl FnOnce(&mut Packet) -> bool) -> Option<(Packet, Device)> {
        let wanted = self.0.front_mut().is_some_and(wanted);
        wanted.then(|| self.pop()).flatten()
    }

    /// Takes the first.
    pub fn pop(&mut self) -> Option<(Packet, Device)> {
        self.0.pop_front().map(|packet| (packet, Device(())))
    }
}

/// What has left the namespace, with the mark of what came in.
pub struct Net(pub RefCell<Vec<(Option<u64>, Vec<u8>)>>);
