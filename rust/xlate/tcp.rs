// SPDX-License-Identifier: GPL-2.0

//! TCP headers (RFC 9293, section 3.1).

use super::checksum;
use super::ip::{key_of, parse_ip, put, IpHeader, Malformed};
use super::key::{Family, FlowKey};
use super::options;
use super::seq::Seq;

/// The control bits of a TCP header.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Flags(pub u8);

impl Flags {
    /// No more data from the sender.
    pub const FIN: Flags = Flags(0x01);
    /// Synchronise sequence numbers.
    pub const SYN: Flags = Flags(0x02);
    /// Reset the connection.
    pub const RST: Flags = Flags(0x04);
    /// Push.
    pub const PSH: Flags = Flags(0x08);
    /// The acknowledgement number counts.
    pub const ACK: Flags = Flags(0x10);
    /// The urgent pointer counts.
    pub const URG: Flags = Flags(0x20);
    /// ECN echo (RFC 3168).
    pub const ECE: Flags = Flags(0x40);
    /// Congestion window reduced (RFC 3168).
    pub const CWR: Flags = Flags(0x80);

    /// Whether all the bits of `other` are set.
    #[inline]
    pub const fn contains(self, other: Flags) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether any bit of `other` is set.
    #[inline]
    pub const fn intersects(self, other: Flags) -> bool {
        self.0 & other.0 != 0
    }

    /// The bits without those of `other`.
    #[inline]
    pub const fn difference(self, other: Flags) -> Flags {
        Flags(self.0 & !other.0)
    }

    /// The bits of both.
    #[inline]
    pub const fn union(self, other: Flags) -> Flags {
        Flags(self.0 | other.0)
    }
}

/// Length of a TCP header without options, in bytes.
pub const HEADER_LEN: usize = Header::LEN;

/// The TCP header without options. Numbers in host order, ports in network order.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) sport: [u8; 2],
    pub(super) dport: [u8; 2],
    pub(super) seq: Seq,
    pub(super) ack: Seq,
    /// Data offset, and four bits that nothing here uses.
    pub(super) offset: u8,
    pub(super) flags: Flags,
    pub(super) window: u16,
    pub(super) check: u16,
    pub(super) urgent: u16,
}

impl Header {
    pub(super) const LEN: usize = 20;

    #[inline]
    pub(super) const fn from_bytes(bytes: &[u8; Self::LEN]) -> Self {
        let [p0, p1, p2, p3, s0, s1, s2, s3, a0, a1, a2, a3, rest @ ..] = *bytes;
        let [offset, flags, w0, w1, c0, c1, u0, u1] = rest;
        Self {
            sport: [p0, p1],
            dport: [p2, p3],
            seq: Seq(u32::from_be_bytes([s0, s1, s2, s3])),
            ack: Seq(u32::from_be_bytes([a0, a1, a2, a3])),
            offset,
            flags: Flags(flags),
            window: u16::from_be_bytes([w0, w1]),
            check: u16::from_be_bytes([c0, c1]),
            urgent: u16::from_be_bytes([u0, u1]),
        }
    }

    /// Writes what an edit changes over the header that this was read from: ports, numbers, window, checksum.
    #[inline]
    pub(super) fn change(self, header: &mut [u8; Self::LEN]) {
        put(header, 0, self.sport);
        put(header, 2, self.dport);
        put(header, 4, self.seq.0.to_be_bytes());
        put(header, 8, self.ack.0.to_be_bytes());
        put(header, 14, self.window.to_be_bytes());
        put(header, 16, self.check.to_be_bytes());
    }

    #[inline]
    pub(super) const fn to_bytes(self) -> [u8; Self::LEN] {
        let [p0, p1] = self.sport;
        let [p2, p3] = self.dport;
        let [s0, s1, s2, s3] = self.seq.0.to_be_bytes();
        let [a0, a1, a2, a3] = self.ack.0.to_be_bytes();
        let [w0, w1] = self.window.to_be_bytes();
        let [c0, c1] = self.check.to_be_bytes();
        let [u0, u1] = self.urgent.to_be_bytes();
        [
            p0,
            p1,
            p2,
            p3,
            s0,
            s1,
            s2,
            s3,
            a0,
            a1,
            a2,
            a3,
            self.offset,
            self.flags.0,
            w0,
            w1,
            c0,
            c1,
            u0,
            u1,
        ]
    }

    /// Length of the header with its options in bytes, as the header has it.
    #[inline]
    const fn len(&self) -> usize {
        (self.offset as usize >> 4).wrapping_mul(4)
    }
}

/// What the packet path wants to know of a TCP segment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Segment {
    /// Addresses and ports.
    pub key: FlowKey,
    /// The IP header.
    pub ip: IpHeader,
    /// Length of the TCP header with options, in bytes.
    pub tcp_len: usize,
    /// Sequence number of the first byte, or of the SYN.
    pub seq: Seq,
    /// Acknowledgement number; means nothing without the ACK flag.
    pub ack: Seq,
    /// Control bits.
    pub flags: Flags,
    /// The window as it stands in the header, not scaled.
    pub window: u16,
    /// Bytes of payload in the whole packet, which may be many segments of the wire (GSO).
    pub payload_len: u32,
}

impl Segment {
    /// Bytes of IP and TCP headers together.
    #[inline]
    pub fn headers_len(&self) -> usize {
        self.ip.header_len.wrapping_add(self.tcp_len)
    }

    /// How many sequence numbers the segment takes: the payload, SYN and FIN.
    #[inline]
    pub fn seq_len(&self) -> u32 {
        self.payload_len
            .wrapping_add(u32::from(self.flags.contains(Flags::SYN)))
            .wrapping_add(u32::from(self.flags.contains(Flags::FIN)))
    }

    /// The sequence number after the segment.
    #[inline]
    pub fn seq_end(&self) -> Seq {
        self.seq.add(self.seq_len())
    }

    /// The option bytes of the segment, which was read from `headers`.
    #[inline]
    pub fn options<'a>(&self, headers: &'a [u8]) -> &'a [u8] {
        headers
            .get(self.ip.header_len..self.headers_len())
            .and_then(|tcp| tcp.get(Header::LEN..))
            .unwrap_or(&[])
    }

    /// TSval and TSecr of the segment, which was read from `headers`; in host order.
    #[inline]
    pub fn timestamps(&self, headers: &[u8]) -> Option<(u32, u32)> {
        options::timestamps_in(self.options(headers))
    }
}

/// Reads the length in bytes of the TCP header, with options, that follows the IP header `ip`.
///
/// # Errors
///
/// `Truncated` if `bytes` has not the first 20 bytes of it; `Contradiction` if it says less.
#[inline]
pub fn tcp_header_len(bytes: &[u8], ip: &IpHeader) -> Result<usize, Malformed> {
    let header = bytes
        .get(ip.header_len..)
        .and_then(|rest| rest.first_chunk())
        .ok_or(Malformed::Truncated)?;
    match Header::from_bytes(header).len() {
        len if len >= Header::LEN => Ok(len),
        _ => Err(Malformed::Contradiction),
    }
}

/// Reads the flags of the TCP header that follows the IP header `ip`; `None` if they are not among `bytes`.
#[inline]
pub fn flags_of(bytes: &[u8], ip: &IpHeader) -> Option<Flags> {
    let header = bytes.get(ip.header_len..)?.first_chunk()?;
    Some(Header::from_bytes(header).flags)
}

/// Reads the headers of a TCP segment.
///
/// `bytes` starts at the IP header and has to hold all headers with their options; `packet_len`
/// is the length of the packet from there on in bytes, with what Ethernet may have padded.
///
/// # Errors
///
/// `Truncated` if `bytes` should be longer and the packet is; `Contradiction` if the packet is no
/// TCP segment, is a fragment of one, or has lengths that do not fit together.
#[inline]
pub fn parse(bytes: &[u8], family: Family, packet_len: usize) -> Result<Segment, Malformed> {
    match parse_ip(bytes, family) {
        Ok(ip) => parse_tcp(bytes, &ip, packet_len),
        // There is nothing more to be had.
        Err(Malformed::Truncated) if bytes.len() >= packet_len => Err(Malformed::Contradiction),
        Err(e) => Err(e),
    }
}

/// [`parse`] for a caller that has read the IP header already.
///
/// # Errors
///
/// As of [`parse`].
#[inline]
pub fn parse_tcp(bytes: &[u8], ip: &IpHeader, packet_len: usize) -> Result<Segment, Malformed> {
    if ip.protocol != checksum::TCP || ip.fragment || ip.total_len > packet_len {
        return Err(Malformed::Contradiction);
    }
    let packet_len = match ip.total_len {
        0 => packet_len,
        // Anything more is padding.
        total_len => total_len,
    };
    let transport_len = packet_len
        .checked_sub(ip.header_len)
        .filter(|&len| len >= Header::LEN)
        .ok_or(Malformed::Contradiction)?;

    let tcp = bytes.get(ip.header_len..).ok_or(Malformed::Truncated)?;
    let header = Header::from_bytes(tcp.first_chunk().ok_or(Malformed::Truncated)?);
    let tcp_len = header.len();
    let payload_len = transport_len
        .checked_sub(tcp_len)
        .and_then(|len| u32::try_from(len).ok())
        .filter(|_| tcp_len >= Header::LEN)
        .ok_or(Malformed::Contradiction)?;
    if tcp.len() < tcp_len {
        return Err(Malformed::Truncated);
    }
    Ok(Segment {
        key: key_of(bytes, ip)?,
        ip: *ip,
        tcp_len,
        seq: header.seq,
        ack: header.ack,
        flags: header.flags,
        window: header.window,
        payload_len,
    })
}

#[cfg(any(test, CONFIG_KUNIT = "y"))]
#[cfg_attr(CONFIG_KUNIT = "y", kernel::prelude::kunit_tests(tcp_splice_xlate_tcp))]
mod tests {
    use super::*;

    /// IPv4 and TCP with one word of options and one byte of payload: PSH, ACK and FIN.
    const PACKET: [u8; 45] = [
        0x45, 0, 0, 45, 0, 0, 0, 0, 64, 6, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2, 0x04, 0x00, 0x00,
        0x50, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 9, 0x60, 0x19, 0x01, 0x02, 0, 0, 0, 0, 1, 1, 1, 0,
        b'x',
    ];

    #[test]
    fn fields_are_read() -> Result<(), Malformed> {
        let seg = parse(&PACKET, Family::V4, 45)?;
        let key = FlowKey::v4([192, 0, 2, 1], 1024, [192, 0, 2, 2], 80);
        assert_eq!(seg.key, key);
        assert_eq!(seg.tcp_len, 24);
        assert_eq!(seg.headers_len(), 44);
        assert_eq!((seg.seq, seg.ack), (Seq(0xffff_ffff), Seq(9)));
        assert_eq!(seg.window, 0x0102);
        assert_eq!(seg.payload_len, 1);
        assert!(seg.flags.contains(Flags::FIN.union(Flags::ACK)));
        assert!(!seg.flags.contains(Flags::SYN.union(Flags::ACK)));
        assert!(seg.flags.intersects(Flags::SYN.union(Flags::ACK)));
        assert_eq!(seg.seq_len(), 2);
        assert_eq!(seg.seq_end(), Seq(1));
        assert_eq!(seg.options(&PACKET), [1, 1, 1, 0]);
        assert_eq!(tcp_header_len(&PACKET, &seg.ip), Ok(24));
        Ok(())
    }

    #[test]
    fn padding_is_no_payload() -> Result<(), Malformed> {
        assert_eq!(parse(&PACKET, Family::V4, 60)?.payload_len, 1);
        // The headers alone are enough.
        assert_eq!(parse(&PACKET[..44], Family::V4, 45)?.payload_len, 1);
        Ok(())
    }

    #[test]
    fn length_of_zero_leaves_it_to_the_packet() -> Result<(), Malformed> {
        let mut packet = PACKET;
        packet[3] = 0;
        assert_eq!(parse(&packet, Family::V4, 100_044)?.payload_len, 100_000);
        Ok(())
    }

    #[test]
    fn segments_that_are_not() {
        let truncated = Err(Malformed::Truncated);
        let contradiction = Err(Malformed::Contradiction);
        assert_eq!(parse(&PACKET[..10], Family::V4, 45), truncated);
        assert_eq!(parse(&PACKET[..39], Family::V4, 45), truncated);
        assert_eq!(parse(&PACKET[..43], Family::V4, 45), truncated);
        // The packet ends where its header does not.
        assert_eq!(parse(&PACKET[..10], Family::V4, 10), contradiction);
        assert_eq!(parse(&PACKET, Family::V4, 44), contradiction);
        let mut bad = PACKET;
        // A data offset of 4 words, and one of 7.
        bad[32] = 0x40;
        assert_eq!(parse(&bad, Family::V4, 45), contradiction);
        bad[32] = 0x70;
        assert_eq!(parse(&bad, Family::V4, 45), contradiction);
        // UDP.
        bad = PACKET;
        bad[9] = 17;
        assert_eq!(parse(&bad, Family::V4, 45), contradiction);
        // A first fragment.
        bad = PACKET;
        bad[6] = 0x20;
        assert_eq!(parse(&bad, Family::V4, 45), contradiction);
    }
}
