// SPDX-License-Identifier: GPL-2.0

//! Packets as bytes, read the slow and obvious way: nothing of `xlate` is used here.

use crate::packet::{ones_complement_sum, parse_options, pseudo_header, Opt};

pub(crate) const FIN: u8 = 0x01;
pub(crate) const RST: u8 = 0x04;
pub(crate) const ACK: u8 = 0x10;

/// What is in a packet.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Seen {
    pub(crate) saddr: Vec<u8>,
    pub(crate) daddr: Vec<u8>,
    pub(crate) sport: u16,
    pub(crate) dport: u16,
    pub(crate) ttl: u8,
    pub(crate) seq: u32,
    pub(crate) ack: u32,
    pub(crate) flags: u8,
    pub(crate) window: u16,
    pub(crate) stamps: Option<(u32, u32)>,
    pub(crate) sack: Vec<(u32, u32)>,
    pub(crate) payload: Vec<u8>,
    /// Bytes of all headers, and of options among them.
    pub(crate) headers: usize,
    pub(crate) options: u16,
}

impl Seen {
    pub(crate) fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    /// Numbers that it takes.
    pub(crate) fn len(&self) -> i64 {
        self.payload.len() as i64 + i64::from(self.has(FIN))
    }
}

/// Reads a packet without IP options or extension headers, whose checksums have to be right.
pub(crate) fn read(bytes: &[u8]) -> Seen {
    let (ttl, saddr, daddr, tcp) = match bytes[0] >> 4 {
        4 => {
            assert_eq!(bytes[0], 0x45);
            assert_eq!(bytes[9], 6);
            let total = u16::from_be_bytes([bytes[2], bytes[3]]);
            assert_eq!(usize::from(total), bytes.len(), "IPv4 length");
            let sum = ones_complement_sum(&bytes[..20]);
            assert_eq!(sum, 0xffff, "IPv4 header checksum");
            (bytes[8], &bytes[12..16], &bytes[16..20], &bytes[20..])
        }
        6 => {
            assert_eq!(bytes[6], 6);
            let len = u16::from_be_bytes([bytes[4], bytes[5]]);
            assert_eq!(usize::from(len), bytes.len() - 40, "IPv6 length");
            (bytes[7], &bytes[8..24], &bytes[24..40], &bytes[40..])
        }
        version => panic!("IP version {version}"),
    };
    let pseudo = pseudo_header(saddr, daddr, tcp.len(), 6);
    let sum = ones_complement_sum(&[&pseudo[..], tcp].concat());
    assert_eq!(sum, 0xffff, "TCP checksum");

    let be16 = |at: usize| u16::from_be_bytes([tcp[at], tcp[at + 1]]);
    let be32 = |at: usize| u32::from_be_bytes(tcp[at..at + 4].try_into().unwrap());
    let len = usize::from(tcp[12] >> 4) * 4;
    let (mut stamps, mut sack) = (None, vec![]);
    for option in parse_options(&tcp[20..len]).expect("options with possible lengths") {
        match option {
            Opt::Timestamps(val, ecr) => stamps = Some((val, ecr)),
            Opt::Sack(blocks) => sack = blocks,
            Opt::Nop | Opt::Tail(_) => {}
            Opt::Other(kind, _) => panic!("option {kind}"),
        }
    }
    Seen {
        saddr: saddr.to_vec(),
        daddr: daddr.to_vec(),
        sport: be16(0),
        dport: be16(2),
        ttl,
        seq: be32(4),
        ack: be32(8),
        flags: tcp[13],
        window: be16(14),
        stamps,
        sack,
        payload: tcp[len..].to_vec(),
        headers: bytes.len() - tcp.len() + len,
        options: len as u16 - 20,
    }
}

/// The number nearest to `near`, in a stream whose first byte has the number `first`, that is `n` on
/// the wire.
pub(crate) fn place(n: u32, first: u32, near: i64) -> i64 {
    let there = first.wrapping_add(near as u32);
    near + i64::from(n.wrapping_sub(there) as i32)
}

/// The number on the wire of a place in that stream.
pub(crate) fn number(place: i64, first: u32) -> u32 {
    first.wrapping_add(place as u32)
}
