// SPDX-License-Identifier: GPL-2.0

//! What a frame says, read with no trust in any length in it.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// How the checksum field of a captured segment came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sum {
    /// The sum over the whole segment is right.
    Full,
    /// Only the pseudo-header is summed: a device is to do the rest (CHECKSUM_PARTIAL).
    Partial,
    /// The segment was cut by the capture.
    Unknown,
    /// Neither.
    Wrong,
}

/// One TCP segment.
#[derive(Debug, Clone)]
pub(crate) struct Segment {
    pub(crate) src: (IpAddr, u16),
    pub(crate) dst: (IpAddr, u16),
    pub(crate) seq: u32,
    pub(crate) ack: u32,
    pub(crate) flags: u8,
    pub(crate) window: u16,
    /// Payload bytes.
    pub(crate) len: u32,
    pub(crate) mss: Option<u16>,
    pub(crate) wscale: Option<u8>,
    pub(crate) sack_permitted: bool,
    pub(crate) timestamps: Option<(u32, u32)>,
    pub(crate) sack: Vec<(u32, u32)>,
    pub(crate) checksum: Sum,
}

pub(crate) const FIN: u8 = 0x01;
pub(crate) const SYN: u8 = 0x02;
pub(crate) const RST: u8 = 0x04;
pub(crate) const ACK: u8 = 0x10;

impl Segment {
    pub(crate) fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    /// Sequence numbers that the segment takes.
    pub(crate) fn span(&self) -> u32 {
        self.len + u32::from(self.has(SYN)) + u32::from(self.has(FIN))
    }
}

impl fmt::Display for Segment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}.{} > {}.{} ",
            self.src.0, self.src.1, self.dst.0, self.dst.1
        )?;
        for (bit, letter) in [(SYN, 'S'), (FIN, 'F'), (RST, 'R'), (0x08, 'P'), (ACK, '.')] {
            if self.has(bit) {
                write!(f, "{letter}")?;
            }
        }
        write!(
            f,
            " seq {} len {} ack {} win {}",
            self.seq, self.len, self.ack, self.window
        )?;
        if let Some((val, ecr)) = self.timestamps {
            write!(f, " ts {val} {ecr}")?;
        }
        for (left, right) in &self.sack {
            write!(f, " sack {left}-{right}")?;
        }
        match self.checksum {
            Sum::Wrong => f.write_str(" BAD SUM"),
            _ => Ok(()),
        }
    }
}

/// The segment that an ICMP error quotes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Quote {
    pub(crate) src: (IpAddr, u16),
    pub(crate) dst: (IpAddr, u16),
    pub(crate) seq: u32,
}

/// What a frame is.
pub(crate) enum Parsed {
    Tcp(Segment),
    /// An ICMP error about a TCP segment.
    Error(Quote),
    /// Another protocol.
    Other,
    Malformed(&'static str),
}

fn be16(b: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(b.get(at..at + 2)?.try_into().ok()?))
}

fn be32(b: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(b.get(at..at + 4)?.try_into().ok()?))
}

/// One's complement sum of big-endian words, not folded.
fn sum(b: &[u8]) -> u64 {
    let words = b.chunks_exact(2);
    let odd = words.remainder().first().map_or(0, |&x| u64::from(x) << 8);
    words
        .map(|w| u64::from(u16::from_be_bytes([w[0], w[1]])))
        .sum::<u64>()
        + odd
}

fn fold(mut s: u64) -> u16 {
    while s > 0xffff {
        s = (s & 0xffff) + (s >> 16);
    }
    s as u16
}

/// Reads an Ethernet frame of `wire_len` bytes of which `b` were captured.
pub(crate) fn parse(b: &[u8], wire_len: usize) -> Parsed {
    let (src, dst, at, tcp_len): (IpAddr, IpAddr, usize, usize) = match be16(b, 12) {
        Some(0x0800) => {
            let Some(ip) = b.get(14..34) else {
                return Parsed::Malformed("short IPv4 header");
            };
            let ihl = usize::from(ip[0] & 15) * 4;
            let (src, dst) = (address_v4(ip, 12), address_v4(ip, 16));
            let Some(header) = b.get(14..14 + ihl) else {
                return Parsed::Malformed("short IPv4 header");
            };
            if ihl < 20 || fold(sum(header)) != 0xffff {
                return Parsed::Malformed("IPv4 header checksum");
            }
            if ip[9] == 1 {
                return match quote_v4(b.get(14 + ihl..).unwrap_or_default()) {
                    Some(quote) => Parsed::Error(quote),
                    None => Parsed::Other,
                };
            }
            if ip[9] != 6 {
                return Parsed::Other;
            }
            if be16(ip, 6).is_some_and(|f| f & 0x3fff != 0) {
                return Parsed::Malformed("a fragment");
            }
            let total = usize::from(u16::from_be_bytes([ip[2], ip[3]]));
            let total = if total == 0 { wire_len - 14 } else { total };
            if total < ihl || total > wire_len - 14 {
                return Parsed::Malformed("IPv4 total length");
            }
            (src, dst, 14 + ihl, total - ihl)
        }
        Some(0x86dd) => {
            let Some(ip) = b.get(14..54) else {
                return Parsed::Malformed("short IPv6 header");
            };
            let (src, dst) = (address_v6(ip, 8), address_v6(ip, 24));
            if ip[6] == 58 {
                return match quote_v6(b.get(54..).unwrap_or_default()) {
                    Some(quote) => Parsed::Error(quote),
                    None => Parsed::Other,
                };
            }
            if ip[6] != 6 {
                return Parsed::Other;
            }
            let len = usize::from(u16::from_be_bytes([ip[4], ip[5]]));
            let len = if len == 0 { wire_len - 54 } else { len };
            if len > wire_len - 54 {
                return Parsed::Malformed("IPv6 payload length");
            }
            (src, dst, 54, len)
        }
        _ => return Parsed::Other,
    };
    let Some(tcp) = b.get(at..) else {
        return Parsed::Malformed("short TCP header");
    };
    let tcp = &tcp[..tcp.len().min(tcp_len)];
    let Some(seg) = segment(tcp, tcp_len, src, dst) else {
        return Parsed::Malformed("TCP header or options");
    };
    Parsed::Tcp(seg)
}

fn address_v4(ip: &[u8], at: usize) -> IpAddr {
    let a: [u8; 4] = ip[at..at + 4].try_into().expect("four bytes");
    Ipv4Addr::from(a).into()
}

fn address_v6(ip: &[u8], at: usize) -> IpAddr {
    let a: [u8; 16] = ip[at..at + 16].try_into().expect("sixteen bytes");
    Ipv6Addr::from(a).into()
}

/// What an ICMP message quotes: destination unreachable, time exceeded, parameter problem (RFC 792).
fn quote_v4(icmp: &[u8]) -> Option<Quote> {
    let ip = icmp.get(8..).filter(|ip| ip.len() >= 20)?;
    let ihl = usize::from(ip[0] & 15) * 4;
    (matches!(icmp[0], 3 | 11 | 12) && ip[9] == 6).then_some(())?;
    quoted(address_v4(ip, 12), address_v4(ip, 16), ip.get(ihl..)?)
}

/// What an ICMPv6 message quotes: the errors are the types below 128 (RFC 4443).
fn quote_v6(icmp: &[u8]) -> Option<Quote> {
    let ip = icmp.get(8..).filter(|ip| ip.len() >= 40)?;
    (icmp[0] < 128 && ip[6] == 6).then_some(())?;
    quoted(address_v6(ip, 8), address_v6(ip, 24), &ip[40..])
}

fn quoted(src: IpAddr, dst: IpAddr, tcp: &[u8]) -> Option<Quote> {
    Some(Quote {
        src: (src, be16(tcp, 0)?),
        dst: (dst, be16(tcp, 2)?),
        seq: be32(tcp, 4)?,
    })
}

fn segment(tcp: &[u8], tcp_len: usize, src: IpAddr, dst: IpAddr) -> Option<Segment> {
    let offset = usize::from(*tcp.get(12)? >> 4) * 4;
    if offset < 20 || offset > tcp_len {
        return None;
    }
    let mut seg = Segment {
        src: (src, be16(tcp, 0)?),
        dst: (dst, be16(tcp, 2)?),
        seq: be32(tcp, 4)?,
        ack: be32(tcp, 8)?,
        flags: tcp[13],
        window: be16(tcp, 14)?,
        len: u32::try_from(tcp_len - offset).ok()?,
        mss: None,
        wscale: None,
        sack_permitted: false,
        timestamps: None,
        sack: Vec::new(),
        checksum: Sum::Wrong,
    };
    let mut options = tcp.get(20..offset)?;
    while let Some(&kind) = options.first() {
        match kind {
            0 => break,
            1 => options = &options[1..],
            _ => {
                let len = usize::from(*options.get(1)?);
                let body = options.get(2..len)?;
                match (kind, len) {
                    (2, 4) => seg.mss = be16(body, 0),
                    (3, 3) => seg.wscale = Some(body[0]),
                    (4, 2) => seg.sack_permitted = true,
                    (5, _) if (len - 2) % 8 == 0 => {
                        seg.sack = (0..body.len() / 8)
                            .map_while(|i| Some((be32(body, 8 * i)?, be32(body, 8 * i + 4)?)))
                            .collect();
                    }
                    (8, 10) => seg.timestamps = Some((be32(body, 0)?, be32(body, 4)?)),
                    (2..=5 | 8, _) => return None,
                    _ => {}
                }
                options = options.get(len..)?;
            }
        }
    }
    let pseudo = match (src, dst) {
        (IpAddr::V4(s), IpAddr::V4(d)) => sum(&s.octets()) + sum(&d.octets()),
        (IpAddr::V6(s), IpAddr::V6(d)) => sum(&s.octets()) + sum(&d.octets()),
        _ => return None,
    } + 6
        + tcp_len as u64;
    // Of a segment that was cut nothing can be said; a field that happens to equal the partial sum
    // is no proof.
    seg.checksum = if tcp.len() < tcp_len {
        Sum::Unknown
    } else if fold(pseudo + sum(tcp)) == 0xffff {
        Sum::Full
    } else if fold(pseudo) == be16(tcp, 16)? {
        Sum::Partial
    } else {
        Sum::Wrong
    };
    Some(seg)
}

#[cfg(test)]
pub(crate) mod build {
    use super::*;

    /// An Ethernet/IPv4 frame of a segment with the given options (padded) and payload length.
    pub(crate) fn frame(seg: &Segment, options: &[u8], partial: bool) -> Vec<u8> {
        let mut opts = options.to_vec();
        while opts.len() % 4 != 0 {
            opts.push(1);
        }
        let (IpAddr::V4(s), IpAddr::V4(d)) = (seg.src.0, seg.dst.0) else {
            panic!("IPv4 only")
        };
        let mut tcp = Vec::new();
        tcp.extend(seg.src.1.to_be_bytes());
        tcp.extend(seg.dst.1.to_be_bytes());
        tcp.extend(seg.seq.to_be_bytes());
        tcp.extend(seg.ack.to_be_bytes());
        tcp.push(((20 + opts.len()) as u8 / 4) << 4);
        tcp.push(seg.flags);
        tcp.extend(seg.window.to_be_bytes());
        tcp.extend([0; 4]);
        tcp.extend(&opts);
        tcp.extend((0..seg.len).map(|i| i as u8));
        let pseudo = sum(&s.octets()) + sum(&d.octets()) + 6 + tcp.len() as u64;
        let check = if partial {
            fold(pseudo)
        } else {
            !fold(pseudo + sum(&tcp))
        };
        tcp[16..18].copy_from_slice(&check.to_be_bytes());
        let mut ip = vec![0x45, 0];
        ip.extend((20 + tcp.len() as u16).to_be_bytes());
        ip.extend([0, 1, 0x40, 0, 64, 6, 0, 0]);
        ip.extend(s.octets());
        ip.extend(d.octets());
        let check = !fold(sum(&ip));
        ip[10..12].copy_from_slice(&check.to_be_bytes());
        let mut f = vec![2; 12];
        f.extend([8, 0]);
        f.extend(ip);
        f.extend(tcp);
        f
    }

    /// A plain segment from 10.0.0.1:1 to 10.0.0.2:2.
    pub(crate) fn segment(seq: u32, ack: u32, flags: u8, len: u32) -> Segment {
        Segment {
            src: ("10.0.0.1".parse().unwrap(), 1),
            dst: ("10.0.0.2".parse().unwrap(), 2),
            seq,
            ack,
            flags,
            window: 1000,
            len,
            mss: None,
            wscale: None,
            sack_permitted: false,
            timestamps: None,
            sack: Vec::new(),
            checksum: Sum::Full,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tcp(f: &[u8], len: usize) -> Segment {
        match parse(f, len) {
            Parsed::Tcp(s) => s,
            Parsed::Error(_) | Parsed::Other => panic!("other"),
            Parsed::Malformed(m) => panic!("{m}"),
        }
    }

    #[test]
    fn checksums() {
        let seg = build::segment(5, 6, ACK, 33);
        let mut f = build::frame(&seg, &[], false);
        assert_eq!(tcp(&f, f.len()).checksum, Sum::Full);
        assert_eq!(tcp(&f[..60], f.len()).checksum, Sum::Unknown);
        let last = f.len() - 1;
        f[last] ^= 1;
        assert_eq!(tcp(&f, f.len()).checksum, Sum::Wrong);
        let f = build::frame(&seg, &[], true);
        assert_eq!(tcp(&f, f.len()).checksum, Sum::Partial);
        assert_eq!(tcp(&f[..60], f.len()).checksum, Sum::Unknown);
    }

    #[test]
    fn options() {
        let o = [
            2, 4, 5, 180, 4, 2, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2, 1, 3, 3, 7, 5, 10, 0, 0, 0, 9, 0, 0,
            0, 12,
        ];
        let f = build::frame(&build::segment(1, 2, SYN, 0), &o, false);
        let s = tcp(&f, f.len());
        assert_eq!(
            (s.mss, s.wscale, s.sack_permitted),
            (Some(1460), Some(7), true)
        );
        assert_eq!((s.timestamps, s.sack), (Some((1, 2)), vec![(9, 12)]));
        let f = build::frame(&build::segment(1, 2, SYN, 0), &[8, 9, 0, 0], false);
        assert!(matches!(parse(&f, f.len()), Parsed::Malformed(_)));
    }

    /// An Ethernet header and an IP packet around an ICMP error about a segment from 10.0.0.1:7 to 10.0.0.2:8, or the
    /// like in IPv6.
    fn icmp(v6: bool, kind: u8) -> Vec<u8> {
        let addresses = |last: u8| -> Vec<u8> {
            let mut a = if v6 {
                vec![0xfd; 16]
            } else {
                vec![10, 0, 0, 0]
            };
            *a.last_mut().expect("an address") = last;
            a
        };
        let ip = |protocol: u8, len: u16, from: u8, to: u8| -> Vec<u8> {
            let mut h = if v6 {
                let mut h = vec![0x60, 0, 0, 0, 0, 0, protocol, 64];
                h[4..6].copy_from_slice(&len.to_be_bytes());
                h
            } else {
                let mut h = vec![0x45, 0, 0, 0, 0, 0, 0, 0, 64, protocol, 0, 0];
                h[2..4].copy_from_slice(&(len + 20).to_be_bytes());
                h
            };
            h.extend(addresses(from));
            h.extend(addresses(to));
            if !v6 {
                let sum = !fold(sum(&h));
                h[10..12].copy_from_slice(&sum.to_be_bytes());
            }
            h
        };
        let mut f = vec![0; 12];
        f.extend(if v6 { [0x86, 0xdd] } else { [0x08, 0x00] });
        f.extend(ip(if v6 { 58 } else { 1 }, 60, 9, 1));
        f.extend([kind, 0, 0, 0, 0, 0, 0, 0]);
        f.extend(ip(6, 1000, 1, 2));
        f.extend([0, 7, 0, 8, 1, 2, 3, 4]);
        f
    }

    #[test]
    fn quotes() {
        for (v6, error, other) in [(false, 3, 8), (true, 2, 128)] {
            let f = icmp(v6, error);
            let Parsed::Error(quote) = parse(&f, f.len()) else {
                panic!("no error");
            };
            assert_eq!((quote.src.1, quote.dst.1, quote.seq), (7, 8, 0x0102_0304));
            assert!(quote.src.0 < quote.dst.0);
            let f = icmp(v6, other);
            assert!(matches!(parse(&f, f.len()), Parsed::Other));
            for len in 0..f.len() {
                let _ = parse(&icmp(v6, error)[..len], f.len());
            }
        }
    }

    #[test]
    fn ip_header_sum() {
        let mut f = build::frame(&build::segment(1, 2, SYN, 0), &[], false);
        f[22] -= 1;
        assert!(matches!(
            parse(&f, f.len()),
            Parsed::Malformed("IPv4 header checksum")
        ));
    }
}
