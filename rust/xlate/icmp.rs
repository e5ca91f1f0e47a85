// SPDX-License-Identifier: GPL-2.0

//! ICMP errors about translated packets (RFC 792, RFC 4443).
//!
//! A router that cannot forward a packet quotes the start of it to where it came from. What it
//! quotes is the packet as it left here, so that who sent it would not know it again: a TCP takes
//! an ICMP error only if the quoted sequence number is one of its own that is not acknowledged
//! (RFC 5927, section 4.1). Untranslated, the errors of path MTU discovery would be lost.

use super::checksum::{self, Sum};
use super::edit::{Edit, IpView};
use super::ip::{key_of, parse_ip, IpHeader, Malformed};
use super::key::{Family, FlowKey};
use super::seq::Seq;
use super::tcp::{Flags, Header};

/// Protocol number of ICMP.
const ICMP: u8 = 1;
/// Protocol number of ICMPv6.
const ICMPV6: u8 = 58;
/// Length of an ICMP header in bytes; the quote comes after it.
const ICMP_LEN: usize = 8;
/// What is quoted of the transport header at least: here the ports and the sequence number.
const QUOTED_LEN: usize = 8;

/// The TCP packet that an ICMP error quotes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Quote {
    /// The IP header of the ICMP packet.
    pub ip: IpHeader,
    /// Source address of the ICMP packet, as in a [`FlowKey`].
    pub from: [u8; 16],
    /// Addresses and ports of the quoted packet. The ICMP packet goes the way of packets with
    /// the reverse of this key.
    pub key: FlowKey,
    /// The quoted IP header.
    pub quoted: IpHeader,
    /// The quoted sequence number.
    pub seq: Seq,
}

/// Whether this is the IP header of an ICMP or ICMPv6 packet, whole.
#[inline]
pub const fn is_icmp(ip: &IpHeader) -> bool {
    matches!(
        (ip.family, ip.protocol),
        (Family::V4, ICMP) | (Family::V6, ICMPV6)
    ) && !ip.fragment
}

/// Reads what the ICMP packet in `bytes`, whose IP header is `ip`, quotes.
///
/// `None` if it is no ICMP error, or is about something else than a TCP segment: redirects and
/// fragments are not translated.
///
/// # Errors
///
/// `Truncated` if `bytes` ends before the eighth byte of the quoted TCP header; `Contradiction` if
/// the quoted IP header is malformed.
pub fn parse_quote(bytes: &[u8], ip: &IpHeader) -> Result<Option<Quote>, Malformed> {
    if !is_icmp(ip) {
        return Ok(None);
    }
    let (icmp, quoted_bytes) = bytes
        .get(ip.header_len..)
        .and_then(|icmp| icmp.split_first_chunk::<ICMP_LEN>())
        .ok_or(Malformed::Truncated)?;
    let [kind, ..] = *icmp;
    match (ip.family, kind) {
        // Destination unreachable, source quench, time exceeded, parameter problem.
        (Family::V4, 3 | 4 | 11 | 12) => {}
        // Destination unreachable, packet too big, time exceeded, parameter problem.
        (Family::V6, 1..=4) => {}
        _ => return Ok(None),
    }

    let quoted = parse_ip(quoted_bytes, ip.family)?;
    if quoted.protocol != checksum::TCP || quoted.fragment {
        return Ok(None);
    }
    let [_, _, _, _, s0, s1, s2, s3] = *quoted_bytes
        .get(quoted.header_len..)
        .and_then(|tcp| tcp.first_chunk::<QUOTED_LEN>())
        .ok_or(Malformed::Truncated)?;
    Ok(Some(Quote {
        ip: *ip,
        // The quote begins behind the IP header, so that there are bytes where ports would be.
        from: key_of(bytes, ip)?.saddr,
        key: key_of(quoted_bytes, &quoted)?,
        quoted,
        seq: Seq(u32::from_be_bytes([s0, s1, s2, s3])),
    }))
}

impl Edit {
    /// Rewrites, in place, an ICMP error about a packet that left here, so that it is one about
    /// the packet that arrived.
    ///
    /// `self` is the edit of the packets that answer the quoted one, and [`parse_quote`] has read
    /// `quote` from `headers`. The error goes where those answers go; if it is from the very host
    /// that they are from, it seems to come from where they seem to. The quoted addresses, ports,
    /// sequence number and, if it is there, acknowledgement number are those that the sender gave.
    /// The TTL or hop limit of the ICMP packet goes down by one, and all checksums follow; the
    /// checksum field of the ICMP packet has to cover it.
    ///
    /// # Errors
    ///
    /// `Truncated` if `headers` is shorter than what `quote` was read from, `Contradiction` if the
    /// packet is of another family than the edit. `headers` is as it was.
    pub fn apply_quote(&self, headers: &mut [u8], quote: &Quote) -> Result<(), Malformed> {
        let family = quote.ip.family;
        if family != self.out.family {
            return Err(Malformed::Contradiction);
        }
        let outer = FlowKey {
            saddr: if quote.from == quote.key.daddr {
                self.out.saddr
            } else {
                quote.from
            },
            ..self.out
        };
        let inner = self.out.reverse();

        let (ip, rest) = headers
            .split_at_mut_checked(quote.ip.header_len)
            .ok_or(Malformed::Truncated)?;
        let (icmp, quoted) = rest
            .split_first_chunk_mut::<ICMP_LEN>()
            .ok_or(Malformed::Truncated)?;
        // Of the TCP header either 20 bytes count or 8, so that there is no odd byte to sum up.
        let header_len = quote.quoted.header_len;
        let len = match quoted.len().checked_sub(header_len) {
            Some(Header::LEN..) => header_len.wrapping_add(Header::LEN),
            Some(QUOTED_LEN..) => header_len.wrapping_add(QUOTED_LEN),
            _ => return Err(Malformed::Truncated),
        };
        let quoted = quoted.get_mut(..len).ok_or(Malformed::Truncated)?;
        let old = Sum::ZERO.add_bytes(quoted);
        let ip = IpView::new(ip, family)?;
        let (quoted_ip, quoted_tcp) = quoted
            .split_at_mut_checked(header_len)
            .ok_or(Malformed::Truncated)?;
        let quoted_ip = IpView::new(quoted_ip, family)?;

        // From here on nothing fails.
        let addresses = quoted_ip.readdress(&inner, 0);
        if let Some(tcp) = quoted_tcp.first_chunk_mut() {
            self.translate_back(tcp, &inner, addresses);
        } else if let Some(tcp) = quoted_tcp.first_chunk_mut() {
            let [p0, p1] = inner.sport;
            let [p2, p3] = inner.dport;
            let [s0, s1, s2, s3] = quote.seq.add(self.ack_delta).0.to_be_bytes();
            *tcp = [p0, p1, p2, p3, s0, s1, s2, s3];
        }
        let changes = Sum::ZERO.add_bytes(quoted).sub(old);

        let addresses = ip.readdress(&outer, 1);
        let pseudo_header = match family {
            // ICMP for IPv4 has no pseudo-header in its checksum.
            Family::V4 => Sum::ZERO,
            Family::V6 => addresses,
        };
        let [_, _, c0, c1, ..] = icmp;
        [*c0, *c1] = pseudo_header
            .add(changes)
            .add16(!u16::from_be_bytes([*c0, *c1]))
            .checksum()
            .to_be_bytes();
        Ok(())
    }

    /// Gives a quoted TCP header the ports and numbers with which it arrived. `addresses` is the
    /// difference that the addresses make to its checksum.
    fn translate_back(&self, tcp: &mut [u8; Header::LEN], inner: &FlowKey, addresses: Sum) {
        let old = Sum::ZERO.add_bytes(tcp);
        let mut header = Header::from_bytes(tcp);
        header.sport = inner.sport;
        header.dport = inner.dport;
        // What the answers acknowledge is what the quoted packet was numbered with.
        header.seq = header.seq.add(self.ack_delta);
        if header.flags.contains(Flags::ACK) {
            header.ack = header.ack.add(self.seq_delta);
        }
        let changes = Sum::ZERO.add_bytes(&header.to_bytes()).sub(old);
        header.check = Sum::ZERO
            .add16(!header.check)
            .add(addresses)
            .add(changes)
            .checksum();
        *tcp = header.to_bytes();
    }
}

#[cfg(any(test, CONFIG_KUNIT = "y"))]
#[cfg_attr(
    CONFIG_KUNIT = "y",
    kernel::prelude::kunit_tests(tcp_splice_xlate_icmp)
)]
mod tests {
    use super::*;

    /// The edit of packets from 10.0.0.80:8443 > 10.0.0.1:40001 to 203.0.113.10:443 >
    /// 198.51.100.7:51234: the reverse of the one in the tests of the edit.
    const EDIT: Edit = Edit {
        out: FlowKey::v4([203, 0, 113, 10], 443, [198, 51, 100, 7], 51234),
        seq_delta: 0x1357_9bdf,
        ack_delta: 0xdb97_531f,
        tsval_delta: 0x0102_0304,
        tsecr_delta: 0xfffc_fdff,
        wscale_in: 9,
        wscale_out: 7,
        timestamps: true,
        sack: true,
    };

    /// 10.0.0.254 says "fragmentation needed" and quotes 8 bytes of TCP.
    const SHORT_IN: [u8; 56] = [
        0x45, 0x00, 0x00, 0x38, 0x00, 0x77, 0x40, 0x00, 0x3c, 0x01, 0x29, 0x50, 0x0a, 0x00, 0x00,
        0xfe, 0x0a, 0x00, 0x00, 0x01, 0x03, 0x04, 0x78, 0xed, 0x00, 0x00, 0x05, 0x78, 0x45, 0x00,
        0x00, 0x39, 0x1c, 0x46, 0x40, 0x00, 0x32, 0x06, 0x18, 0x29, 0x0a, 0x00, 0x00, 0x01, 0x0a,
        0x00, 0x00, 0x50, 0x9c, 0x41, 0x20, 0xfb, 0x14, 0x68, 0xac, 0xf1,
    ];

    const SHORT_OUT: [u8; 56] = [
        0x45, 0x00, 0x00, 0x38, 0x00, 0x77, 0x40, 0x00, 0x3b, 0x01, 0x0a, 0x16, 0x0a, 0x00, 0x00,
        0xfe, 0xc6, 0x33, 0x64, 0x07, 0x03, 0x04, 0x3d, 0x95, 0x00, 0x00, 0x05, 0x78, 0x45, 0x00,
        0x00, 0x39, 0x1c, 0x46, 0x40, 0x00, 0x32, 0x06, 0xc6, 0x33, 0xc6, 0x33, 0x64, 0x07, 0xcb,
        0x00, 0x71, 0x0a, 0xc8, 0x22, 0x01, 0xbb, 0xf0, 0x00, 0x00, 0x10,
    ];

    /// "Packet too big" from fd00::80, the other end itself, which quotes the whole header.
    const V6_IN: [u8; 108] = [
        0x60, 0x00, 0x00, 0x00, 0x00, 0x44, 0x3a, 0x3c, 0xfd, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
        0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x80, 0xfd, 0x00, 0x00, 0x00, 0x00, 0x00,
        0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x01, 0x02, 0x00, 0x97, 0x5a, 0x00,
        0x00, 0x05, 0x78, 0x60, 0x00, 0x00, 0x00, 0x00, 0x14, 0x06, 0x32, 0xfd, 0x00, 0x00, 0x00,
        0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x01, 0xfd, 0x00, 0x00,
        0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x80, 0x9c, 0x41,
        0x20, 0xfb, 0x14, 0x68, 0xac, 0xf1, 0x0c, 0xd8, 0xa4, 0x71, 0x50, 0x10, 0x00, 0x7d, 0x84,
        0xf5, 0x00, 0x00,
    ];

    const V6_OUT: [u8; 108] = [
        0x60, 0x00, 0x00, 0x00, 0x00, 0x44, 0x3a, 0x3b, 0x20, 0x01, 0x0d, 0xb8, 0x00, 0x00, 0x00,
        0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x10, 0x20, 0x01, 0x0d, 0xb8, 0x00, 0x01,
        0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x07, 0x02, 0x00, 0x36, 0x53, 0x00,
        0x00, 0x05, 0x78, 0x60, 0x00, 0x00, 0x00, 0x00, 0x14, 0x06, 0x32, 0x20, 0x01, 0x0d, 0xb8,
        0x00, 0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x07, 0x20, 0x01, 0x0d,
        0xb8, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x10, 0xc8, 0x22,
        0x01, 0xbb, 0xf0, 0x00, 0x00, 0x10, 0x20, 0x30, 0x40, 0x50, 0x50, 0x10, 0x00, 0x7d, 0x39,
        0x5f, 0x00, 0x00,
    ];

    fn quote_in(bytes: &[u8], family: Family) -> Result<Quote, Malformed> {
        let ip = parse_ip(bytes, family)?;
        parse_quote(bytes, &ip)?.ok_or(Malformed::Contradiction)
    }

    #[test]
    fn short_quote_v4() -> Result<(), Malformed> {
        let mut packet = SHORT_IN;
        let quote = quote_in(&packet, Family::V4)?;
        let key = FlowKey::v4([10, 0, 0, 1], 40001, [10, 0, 0, 80], 8443);
        assert_eq!(quote.key, key);
        assert_eq!(quote.seq, Seq(0x1468_acf1));
        EDIT.apply_quote(&mut packet, &quote)?;
        assert_eq!(packet, SHORT_OUT);
        Ok(())
    }

    #[test]
    fn whole_header_v6() -> Result<(), Malformed> {
        let mut saddr = [0; 16];
        let mut daddr = [0; 16];
        saddr[..4].copy_from_slice(&[0x20, 0x01, 0x0d, 0xb8]);
        daddr[..6].copy_from_slice(&[0x20, 0x01, 0x0d, 0xb8, 0, 1]);
        saddr[15] = 0x10;
        daddr[15] = 7;
        let edit = Edit {
            out: FlowKey::v6(saddr, 443, daddr, 51234),
            ..EDIT
        };
        let mut packet = V6_IN;
        let quote = quote_in(&packet, Family::V6)?;
        edit.apply_quote(&mut packet, &quote)?;
        assert_eq!(packet, V6_OUT);
        Ok(())
    }

    #[test]
    fn what_is_no_error_about_tcp() -> Result<(), Malformed> {
        let ip = parse_ip(&SHORT_IN, Family::V4)?;
        let mut packet = SHORT_IN;
        // An echo, and a redirect.
        packet[20] = 8;
        assert_eq!(parse_quote(&packet, &ip), Ok(None));
        packet[20] = 5;
        assert_eq!(parse_quote(&packet, &ip), Ok(None));
        // About UDP.
        packet = SHORT_IN;
        packet[37] = 17;
        assert_eq!(parse_quote(&packet, &ip), Ok(None));
        // About a later fragment, whose first bytes are no ports.
        packet = SHORT_IN;
        packet[35] = 9;
        assert_eq!(parse_quote(&packet, &ip), Ok(None));
        // A TCP segment.
        let tcp = IpHeader { protocol: 6, ..ip };
        assert_eq!(parse_quote(&SHORT_IN, &tcp), Ok(None));
        Ok(())
    }

    #[test]
    fn errors_leave_the_packet() -> Result<(), Malformed> {
        let mut packet = SHORT_IN;
        let quote = quote_in(&packet, Family::V4)?;
        let ip = quote.ip;
        let truncated = Err(Malformed::Truncated);
        assert_eq!(parse_quote(&packet[..55], &ip), truncated);
        assert_eq!(parse_quote(&packet[..27], &ip), truncated);
        let short = EDIT.apply_quote(&mut packet[..55], &quote);
        assert_eq!(short, Err(Malformed::Truncated));
        let v6 = Edit {
            out: FlowKey::v6([1; 16], 1, [2; 16], 2),
            ..EDIT
        };
        let other = v6.apply_quote(&mut packet, &quote);
        assert_eq!(other, Err(Malformed::Contradiction));
        assert_eq!(packet, SHORT_IN);
        Ok(())
    }
}
