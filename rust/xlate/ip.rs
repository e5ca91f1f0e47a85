// SPDX-License-Identifier: GPL-2.0

//! IP headers (RFC 791, RFC 8200), as far as the TCP header.

use super::key::{Family, FlowKey};

/// Why bytes could not be read as a packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Malformed {
    /// The headers go on after the bytes given. With more bytes the answer may be another.
    Truncated,
    /// The headers contradict themselves, or the packet, or what is asked of them.
    Contradiction,
}

/// The most bytes that IP and TCP headers may take together, if they are to be parsed.
///
/// A packet that is `Truncated` with this many bytes at hand is not going to be parsed at all.
/// IPv4 needs 120 at most; what IPv6 has for extension headers is more than hosts send.
pub const MAX_HEADERS: usize = 256;

/// The most bytes of IP headers: what a full TCP header leaves.
const MAX_IP_HEADER: usize = MAX_HEADERS - 60;

/// IPv6 extension headers (RFC 8200, section 4).
mod next_header {
    pub(super) const HOP_BY_HOP: u8 = 0;
    pub(super) const ROUTING: u8 = 43;
    pub(super) const FRAGMENT: u8 = 44;
    pub(super) const DESTINATION: u8 = 60;
}

/// What the IP header of a packet says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct IpHeader {
    /// IP version.
    pub family: Family,
    /// Bytes from the start of the packet to the transport header.
    pub header_len: usize,
    /// Bytes in the whole packet as its length field has it. Zero if the field is zero, as in
    /// packets that are longer than the field can tell (BIG TCP, RFC 2675).
    pub total_len: usize,
    /// Protocol of the transport header. For IPv6, the first header that was not stepped over.
    pub protocol: u8,
    /// Whether the packet is a fragment. For IPv6, also one that is whole (RFC 6946).
    pub fragment: bool,
    /// Time to live (IPv4) or hop limit (IPv6).
    pub ttl: u8,
}

/// The IPv4 header without options. Numbers in host order.
#[derive(Clone, Copy)]
pub(super) struct Ipv4 {
    pub(super) version_ihl: u8,
    pub(super) tos: u8,
    pub(super) total_len: u16,
    pub(super) id: u16,
    pub(super) frag_off: u16,
    pub(super) ttl: u8,
    pub(super) protocol: u8,
    pub(super) check: u16,
    pub(super) saddr: [u8; 4],
    pub(super) daddr: [u8; 4],
}

/// Writes a field of a header of known length, and nothing beside it.
#[inline(always)]
pub(super) fn put<const L: usize, const N: usize>(header: &mut [u8; L], at: usize, field: [u8; N]) {
    let place = header.get_mut(at..).and_then(<[u8]>::first_chunk_mut);
    if let Some(place) = place {
        *place = field;
    }
}

impl Ipv4 {
    pub(super) const LEN: usize = 20;

    /// Writes what an edit changes over the header that this was read from: TTL, checksum, addresses.
    #[inline]
    pub(super) fn change(self, header: &mut [u8; Self::LEN]) {
        put(header, 8, [self.ttl]);
        put(header, 10, self.check.to_be_bytes());
        put(header, 12, self.saddr);
        put(header, 16, self.daddr);
    }

    #[inline]
    pub(super) const fn from_bytes(bytes: &[u8; Self::LEN]) -> Self {
        let [version_ihl, tos, l0, l1, i0, i1, f0, f1, ttl, protocol, c0, c1, addresses @ ..] =
            *bytes;
        let [s0, s1, s2, s3, d0, d1, d2, d3] = addresses;
        Self {
            version_ihl,
            tos,
            total_len: u16::from_be_bytes([l0, l1]),
            id: u16::from_be_bytes([i0, i1]),
            frag_off: u16::from_be_bytes([f0, f1]),
            ttl,
            protocol,
            check: u16::from_be_bytes([c0, c1]),
            saddr: [s0, s1, s2, s3],
            daddr: [d0, d1, d2, d3],
        }
    }

    #[inline]
    pub(super) const fn to_bytes(self) -> [u8; Self::LEN] {
        let [l0, l1] = self.total_len.to_be_bytes();
        let [i0, i1] = self.id.to_be_bytes();
        let [f0, f1] = self.frag_off.to_be_bytes();
        let [c0, c1] = self.check.to_be_bytes();
        let [s0, s1, s2, s3] = self.saddr;
        let [d0, d1, d2, d3] = self.daddr;
        [
            self.version_ihl,
            self.tos,
            l0,
            l1,
            i0,
            i1,
            f0,
            f1,
            self.ttl,
            self.protocol,
            c0,
            c1,
            s0,
            s1,
            s2,
            s3,
            d0,
            d1,
            d2,
            d3,
        ]
    }
}

/// Length of the IPv6 header without extension headers.
pub(super) const IPV6_LEN: usize = 40;

/// Length of an IP header without options or extension headers, in bytes.
#[inline]
pub const fn header_len(family: Family) -> usize {
    match family {
        Family::V4 => Ipv4::LEN,
        Family::V6 => IPV6_LEN,
    }
}

/// Reads the IP header at the start of `bytes`, which may end before the packet does.
///
/// IPv4 options are stepped over, and so are IPv6 hop-by-hop options, destination options, and
/// routing headers that have done their work. Anything else ends the walk, and `protocol` says
/// what it was.
///
/// # Errors
///
/// `Truncated` if the header goes on after `bytes`; `Contradiction` if it is not one of `family`
/// or its lengths do not fit.
#[inline]
pub fn parse_ip(bytes: &[u8], family: Family) -> Result<IpHeader, Malformed> {
    match family {
        Family::V4 => parse_ipv4(bytes),
        Family::V6 => parse_ipv6(bytes),
    }
}

#[inline]
fn parse_ipv4(bytes: &[u8]) -> Result<IpHeader, Malformed> {
    let header = Ipv4::from_bytes(bytes.first_chunk().ok_or(Malformed::Truncated)?);
    let header_len = usize::from(header.version_ihl & 0x0f).wrapping_mul(4);
    let total_len = usize::from(header.total_len);

    if header.version_ihl >> 4 != 4
        || header_len < Ipv4::LEN
        || (total_len != 0 && total_len < header_len)
    {
        return Err(Malformed::Contradiction);
    }
    if bytes.len() < header_len {
        return Err(Malformed::Truncated);
    }
    Ok(IpHeader {
        family: Family::V4,
        header_len,
        total_len,
        protocol: header.protocol,
        // More fragments, or an offset. The other bits say "don't fragment" and nothing.
        fragment: header.frag_off & 0x3fff != 0,
        ttl: header.ttl,
    })
}

#[inline]
fn parse_ipv6(bytes: &[u8]) -> Result<IpHeader, Malformed> {
    let [version, _, _, _, l0, l1, next, ttl, ..] = *bytes
        .first_chunk::<IPV6_LEN>()
        .ok_or(Malformed::Truncated)?;
    if version >> 4 != 6 {
        return Err(Malformed::Contradiction);
    }
    let payload_len = usize::from(u16::from_be_bytes([l0, l1]));
    let total_len = match payload_len {
        0 => 0,
        n => n.wrapping_add(IPV6_LEN),
    };

    let mut header = IpHeader {
        family: Family::V6,
        header_len: IPV6_LEN,
        total_len,
        protocol: next,
        fragment: false,
        ttl,
    };
    // Every turn moves on by eight bytes at least, so that the bound on the length ends it.
    while let Some(len) = extension(bytes, &mut header)? {
        let header_len = header.header_len.wrapping_add(len);
        if total_len != 0 && header_len > total_len {
            return Err(Malformed::Contradiction);
        }
        if bytes.len() < header_len {
            return Err(Malformed::Truncated);
        }
        header.header_len = header_len;
        if header.fragment {
            break;
        }
    }
    Ok(header)
}

/// Reads the extension header at `header.header_len`, if there is one to step over: notes what
/// comes next and returns its length.
fn extension(bytes: &[u8], header: &mut IpHeader) -> Result<Option<usize>, Malformed> {
    use next_header::*;

    match header.protocol {
        // Only the very first header is for every hop.
        HOP_BY_HOP if header.header_len != IPV6_LEN => return Ok(None),
        HOP_BY_HOP | ROUTING | FRAGMENT | DESTINATION => {}
        _ => return Ok(None),
    }
    let [next, len, _, segments_left] = *bytes
        .get(header.header_len..)
        .and_then(|rest| rest.first_chunk())
        .ok_or(Malformed::Truncated)?;

    let len = match header.protocol {
        // The packet has further places to go, and its destination is not the one it shows.
        ROUTING if segments_left != 0 => return Ok(None),
        FRAGMENT => 8,
        _ => usize::from(len).wrapping_add(1).wrapping_mul(8),
    };
    if header.header_len.wrapping_add(len) > MAX_IP_HEADER {
        return Ok(None);
    }
    header.fragment = header.protocol == FRAGMENT;
    header.protocol = next;
    Ok(Some(len))
}

/// Reads the key of the flow of a packet, whose transport header begins with two ports.
///
/// Only the first four bytes of that header are needed. Whether it is a TCP header, and whether
/// it is there at all or the packet is a later fragment, is for the caller to know from `ip`.
///
/// # Errors
///
/// `Truncated` if the ports are not among `bytes`.
#[inline]
pub fn key_of(bytes: &[u8], ip: &IpHeader) -> Result<FlowKey, Malformed> {
    let [s0, s1, d0, d1] = *bytes
        .get(ip.header_len..)
        .and_then(|rest| rest.first_chunk())
        .ok_or(Malformed::Truncated)?;
    let sport = u16::from_be_bytes([s0, s1]);
    let dport = u16::from_be_bytes([d0, d1]);

    match ip.family {
        Family::V4 => {
            let header = Ipv4::from_bytes(bytes.first_chunk().ok_or(Malformed::Truncated)?);
            Ok(FlowKey::v4(header.saddr, sport, header.daddr, dport))
        }
        Family::V6 => {
            let (saddr, rest) = bytes
                .get(8..)
                .and_then(|rest| rest.split_first_chunk())
                .ok_or(Malformed::Truncated)?;
            let daddr = rest.first_chunk().ok_or(Malformed::Truncated)?;
            Ok(FlowKey::v6(*saddr, sport, *daddr, dport))
        }
    }
}

#[cfg(any(test, CONFIG_KUNIT = "y"))]
#[cfg_attr(CONFIG_KUNIT = "y", kernel::prelude::kunit_tests(tcp_splice_xlate_ip))]
mod tests {
    use super::*;

    /// IPv4 with a router alert option, then ports 1 and 2.
    const V4: [u8; 28] = [
        0x46, 0, 0, 44, 0, 0, 0x40, 0, 63, 6, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2, 148, 4, 0, 0, 0, 1,
        0, 2,
    ];

    #[test]
    fn ipv4_options_are_stepped_over() -> Result<(), Malformed> {
        let ip = parse_ip(&V4, Family::V4)?;
        assert_eq!(
            ip,
            IpHeader {
                family: Family::V4,
                header_len: 24,
                total_len: 44,
                protocol: 6,
                fragment: false,
                ttl: 63,
            }
        );
        let key = FlowKey::v4([192, 0, 2, 1], 1, [192, 0, 2, 2], 2);
        assert_eq!(key_of(&V4, &ip), Ok(key));
        assert_eq!(key_of(&V4[..27], &ip), Err(Malformed::Truncated));
        Ok(())
    }

    #[test]
    fn ipv4_headers_that_are_not() {
        assert_eq!(parse_ip(&V4[..19], Family::V4), Err(Malformed::Truncated));
        assert_eq!(parse_ip(&V4[..23], Family::V4), Err(Malformed::Truncated));
        let mut bad = V4;
        bad[0] = 0x44;
        assert_eq!(parse_ip(&bad, Family::V4), Err(Malformed::Contradiction));
        bad[0] = 0x66;
        assert_eq!(parse_ip(&bad, Family::V4), Err(Malformed::Contradiction));
        bad = V4;
        bad[3] = 23;
        assert_eq!(parse_ip(&bad, Family::V4), Err(Malformed::Contradiction));
    }

    #[test]
    fn ipv4_fragments() -> Result<(), Malformed> {
        let mut packet = V4;
        packet[6] = 0x20;
        assert!(parse_ip(&packet, Family::V4)?.fragment);
        packet[6] = 0;
        packet[7] = 1;
        assert!(parse_ip(&packet, Family::V4)?.fragment);
        packet[6] = 0x40;
        packet[7] = 0;
        assert!(!parse_ip(&packet, Family::V4)?.fragment);
        Ok(())
    }

    /// IPv6, with room for 24 bytes of extension headers.
    fn v6(next: u8, extensions: [u8; 24]) -> [u8; 68] {
        let mut packet = [0; 68];
        packet[0] = 0x60;
        packet[5] = 44;
        packet[6] = next;
        packet[7] = 61;
        packet[23] = 1;
        packet[39] = 2;
        packet[40..64].copy_from_slice(&extensions);
        packet[65] = 3;
        packet[67] = 4;
        packet
    }

    #[test]
    fn ipv6_extension_headers_are_walked() -> Result<(), Malformed> {
        // Hop-by-hop options, a routing header that has no segments left, destination options.
        let packet = v6(
            0,
            [
                43, 0, 1, 4, 0, 0, 0, 0, 60, 0, 4, 0, 0, 0, 0, 0, 6, 0, 1, 4, 0, 0, 0, 0,
            ],
        );
        let ip = parse_ip(&packet, Family::V6)?;
        assert_eq!(
            ip,
            IpHeader {
                family: Family::V6,
                header_len: 64,
                total_len: 84,
                protocol: 6,
                fragment: false,
                ttl: 61,
            }
        );
        let mut saddr = [0; 16];
        let mut daddr = [0; 16];
        saddr[15] = 1;
        daddr[15] = 2;
        assert_eq!(key_of(&packet, &ip), Ok(FlowKey::v6(saddr, 3, daddr, 4)));

        assert_eq!(
            parse_ip(&packet[..63], Family::V6),
            Err(Malformed::Truncated)
        );
        assert_eq!(
            parse_ip(&packet[..39], Family::V6),
            Err(Malformed::Truncated)
        );
        Ok(())
    }

    #[test]
    fn ipv6_walk_stops() -> Result<(), Malformed> {
        // At a routing header that has segments left.
        let mut extensions = [0; 24];
        extensions[..4].copy_from_slice(&[6, 0, 4, 1]);
        let ip = parse_ip(&v6(43, extensions), Family::V6)?;
        assert_eq!((ip.protocol, ip.header_len), (43, 40));
        // At a hop-by-hop header that is not the first.
        extensions[..4].copy_from_slice(&[0, 0, 1, 4]);
        let ip = parse_ip(&v6(60, extensions), Family::V6)?;
        assert_eq!((ip.protocol, ip.header_len), (0, 48));
        // After a fragment header, whatever follows.
        extensions[..4].copy_from_slice(&[60, 0, 0, 1]);
        let ip = parse_ip(&v6(44, extensions), Family::V6)?;
        assert_eq!((ip.protocol, ip.header_len), (60, 48));
        assert!(ip.fragment);
        // At a header that is longer than the packet.
        extensions[..4].copy_from_slice(&[6, 5, 1, 4]);
        assert_eq!(
            parse_ip(&v6(60, extensions), Family::V6),
            Err(Malformed::Contradiction)
        );
        Ok(())
    }

    #[test]
    fn ipv6_without_a_length_may_be_longer() -> Result<(), Malformed> {
        let mut packet = v6(6, [0; 24]);
        packet[5] = 0;
        assert_eq!(parse_ip(&packet, Family::V6)?.total_len, 0);
        Ok(())
    }
}
