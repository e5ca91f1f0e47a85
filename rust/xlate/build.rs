// SPDX-License-Identifier: GPL-2.0

//! Packets of our own.
//!
//! All of these write an IP packet to the start of `out`, with checksums that cover it, and
//! return its length, or `None` when it does not fit or what it is made from is contradictory.

use super::checksum::{self, Sum};
use super::ip::{header_len, Ipv4, IPV6_LEN};
use super::key::{Family, FlowKey};
use super::options::{self, TcpOption};
use super::seq::Seq;
use super::tcp::{Flags, Header, Segment};

/// TTL or hop limit of packets of our own (RFC 1340, as Linux has it).
const TTL: u8 = 64;

/// "Don't fragment" in the IPv4 fragment field.
const DONT_FRAGMENT: u16 = 0x4000;

/// Builds a RST that carries exactly these numbers (RFC 5961, section 3), and no options.
///
/// With `ack` it is a RST and ACK.
pub fn build_rst(out: &mut [u8], key: &FlowKey, seq: Seq, ack: Option<Seq>) -> Option<usize> {
    build_segment(out, key, seq, ack, Flags::RST, 0, &[])
}

/// Builds a segment without payload.
///
/// With `ack` the ACK flag is added to `flags`. `window` stands in the header as given. The
/// options are padded at the end to whole words.
pub fn build_segment(
    out: &mut [u8],
    key: &FlowKey,
    seq: Seq,
    ack: Option<Seq>,
    flags: Flags,
    window: u16,
    list: &[TcpOption<'_>],
) -> Option<usize> {
    let mut padded = [options::kind::EOL; options::MAX_LEN];
    let mut room = &mut padded[..];
    for option in list {
        room = option.emit(room)?;
    }
    let used = options::MAX_LEN.checked_sub(room.len())?;
    let padded = padded.get(..used.checked_next_multiple_of(4)?)?;

    let tcp_len = padded.len().checked_add(Header::LEN)?;
    let ip_len = header_len(key.family);
    let total_len = ip_len.checked_add(tcp_len)?;
    let (ip, tcp) = out.get_mut(..total_len)?.split_at_mut_checked(ip_len)?;

    write_ip_header(ip, key, u16::try_from(tcp_len).ok()?)?;
    let (fixed, rest) = tcp.split_first_chunk_mut()?;
    *fixed = Header {
        sport: key.sport,
        dport: key.dport,
        seq,
        ack: ack.unwrap_or_default(),
        offset: offset(tcp_len)?,
        flags: match ack {
            Some(_) => flags.union(Flags::ACK),
            None => flags,
        },
        window,
        check: 0,
        urgent: 0,
    }
    .to_bytes();
    copy(rest, padded);
    finish_tcp(tcp, key)?;
    Some(total_len)
}

/// Builds a segment whose payload is in `out` already, after the headers: `headers_len` says where.
///
/// As [`build_segment`] otherwise; `out` ends where the payload does.
pub fn build_data(
    out: &mut [u8],
    headers_len: usize,
    key: &FlowKey,
    (seq, ack): (Seq, Seq),
    flags: Flags,
    window: u16,
    list: &[TcpOption<'_>],
) -> Option<usize> {
    let built = build_segment(
        out.get_mut(..headers_len)?,
        key,
        seq,
        Some(ack),
        flags,
        window,
        list,
    );
    if built != Some(headers_len) {
        return None;
    }
    let len = out.len();
    let (ip, tcp) = out.split_at_mut_checked(header_len(key.family))?;
    write_length(ip, key.family, len)?;
    let fixed = tcp.first_chunk_mut()?;
    let mut header = Header::from_bytes(fixed);
    header.check = 0;
    *fixed = header.to_bytes();
    finish_tcp(tcp, key)?;
    Some(len)
}

/// Rewrites the headers of a segment of which only the first `payload` bytes are left, and which
/// starts at `seq`: lengths, number and flags, and the sum of the pseudo-header as checksum.
///
/// `seg` is what was read from `headers`. `None` if the length does not fit; `headers` is as it was then.
pub fn recut(
    headers: &mut [u8],
    seg: &Segment,
    payload: usize,
    seq: Seq,
    flags: Flags,
) -> Option<()> {
    let (ip, tcp) = headers.split_at_mut_checked(seg.ip.header_len)?;
    let fixed = tcp.first_chunk_mut()?;
    let tcp_len = seg.tcp_len.checked_add(payload)?;
    let len = seg.ip.header_len.checked_add(tcp_len)?;
    write_length(ip, seg.key.family, len)?;
    let mut header = Header::from_bytes(fixed);
    header.seq = seq;
    header.flags = flags;
    header.check = checksum::pseudo_header(&seg.key, u32::try_from(tcp_len).ok()?).fold();
    *fixed = header.to_bytes();
    Some(())
}

/// Writes the length of a packet into its IP header: 0 for one that the field cannot say, which only
/// a segmentation offload can carry.
fn write_length(ip: &mut [u8], family: Family, len: usize) -> Option<()> {
    match family {
        Family::V4 => {
            let fixed = ip.first_chunk_mut()?;
            let mut header = Ipv4::from_bytes(fixed);
            header.total_len = u16::try_from(len).unwrap_or(0);
            header.check = 0;
            *fixed = header.to_bytes();
            finish_ipv4(ip)
        }
        Family::V6 => {
            let payload = len.checked_sub(IPV6_LEN)?;
            let [_, _, _, _, l0, l1, ..] = ip.first_chunk_mut::<IPV6_LEN>()?;
            [*l0, *l1] = u16::try_from(payload).unwrap_or(0).to_be_bytes();
            Some(())
        }
    }
}

/// Builds what a local socket that is still draining is to see of an arriving segment: its
/// window and options, with numbers of the socket's own and without the payload.
///
/// `headers` and `seg` are of the arriving segment. Of its flags only ACK is kept. IPv6 extension
/// headers are left out, as they may speak of the length of the packet they came with.
pub fn build_drain_ack(
    out: &mut [u8],
    headers: &[u8],
    seg: &Segment,
    seq: Seq,
    ack: Seq,
) -> Option<usize> {
    let (old_ip, old_tcp) = headers.split_at_checked(seg.ip.header_len)?;
    let old_tcp = old_tcp.get(..seg.tcp_len)?;
    let ip_len = match seg.key.family {
        Family::V4 => old_ip.len(),
        Family::V6 => IPV6_LEN,
    };
    let total_len = ip_len.checked_add(old_tcp.len())?;
    let total_u16 = u16::try_from(total_len).ok()?;
    let (ip, tcp) = out.get_mut(..total_len)?.split_at_mut_checked(ip_len)?;

    copy(ip, old_ip);
    match seg.key.family {
        Family::V4 => {
            let fixed = ip.first_chunk_mut()?;
            let mut header = Ipv4::from_bytes(fixed);
            header.total_len = total_u16;
            header.check = 0;
            *fixed = header.to_bytes();
            finish_ipv4(ip)?;
        }
        Family::V6 => {
            let [_, _, _, _, l0, l1, next, ..] = ip.first_chunk_mut::<IPV6_LEN>()?;
            [*l0, *l1] = u16::try_from(old_tcp.len()).ok()?.to_be_bytes();
            *next = checksum::TCP;
        }
    }

    copy(tcp, old_tcp);
    let fixed = tcp.first_chunk_mut()?;
    let mut header = Header::from_bytes(fixed);
    header.seq = seq;
    header.ack = ack;
    header.offset = offset(old_tcp.len())?;
    header.flags = Flags::ACK;
    header.check = 0;
    header.urgent = 0;
    *fixed = header.to_bytes();
    finish_tcp(tcp, &seg.key)?;
    Some(total_len)
}

/// The byte of a TCP header that has its length.
fn offset(tcp_len: usize) -> Option<u8> {
    let words = u8::try_from(tcp_len / 4).ok().filter(|&n| n <= 15)?;
    Some(words.wrapping_shl(4))
}

/// Copies as much as there is of the one and room in the other.
fn copy(to: &mut [u8], from: &[u8]) {
    for (to, from) in to.iter_mut().zip(from) {
        *to = *from;
    }
}

/// Writes an IP header for a TCP segment of `tcp_len` bytes.
fn write_ip_header(ip: &mut [u8], key: &FlowKey, tcp_len: u16) -> Option<()> {
    match key.family {
        Family::V4 => {
            let (saddr, daddr) = key.v4_addresses();
            *ip.first_chunk_mut()? = Ipv4 {
                version_ihl: 0x45,
                tos: 0,
                total_len: tcp_len.checked_add(Ipv4::LEN as u16)?,
                // Free to be zero in a packet that is not fragmented (RFC 6864).
                id: 0,
                frag_off: DONT_FRAGMENT,
                ttl: TTL,
                protocol: checksum::TCP,
                check: 0,
                saddr,
                daddr,
            }
            .to_bytes();
            finish_ipv4(ip)
        }
        Family::V6 => {
            let (fixed, addresses) = ip.split_first_chunk_mut()?;
            let (saddr, daddr) = addresses.split_first_chunk_mut()?;
            let [l0, l1] = tcp_len.to_be_bytes();
            *fixed = [0x60, 0, 0, 0, l0, l1, checksum::TCP, TTL];
            *saddr = key.saddr;
            *daddr.first_chunk_mut()? = key.daddr;
            Some(())
        }
    }
}

/// Writes the checksum of an IPv4 header, options included, whose field is zero.
fn finish_ipv4(ip: &mut [u8]) -> Option<()> {
    let check = Sum::ZERO.add_bytes(ip).checksum();
    let fixed = ip.first_chunk_mut()?;
    let mut header = Ipv4::from_bytes(fixed);
    header.check = check;
    *fixed = header.to_bytes();
    Some(())
}

/// Writes the checksum of a TCP segment whose field is zero.
fn finish_tcp(tcp: &mut [u8], key: &FlowKey) -> Option<()> {
    let check = checksum::tcp(key, tcp).checksum();
    let fixed = tcp.first_chunk_mut()?;
    let mut header = Header::from_bytes(fixed);
    header.check = check;
    *fixed = header.to_bytes();
    Some(())
}

#[cfg(any(test, CONFIG_KUNIT = "y"))]
#[cfg_attr(
    CONFIG_KUNIT = "y",
    kernel::prelude::kunit_tests(tcp_splice_xlate_build)
)]
mod tests {
    use super::super::ip::Malformed;
    use super::super::tcp::parse;
    use super::*;

    const RST4: [u8; 40] = [
        0x45, 0x00, 0x00, 0x28, 0x00, 0x00, 0x40, 0x00, 0x40, 0x06, 0x26, 0x80, 0x0a, 0x00, 0x00,
        0x01, 0x0a, 0x00, 0x00, 0x50, 0x9c, 0x41, 0x20, 0xfb, 0x01, 0x02, 0x03, 0x04, 0x05, 0x06,
        0x07, 0x08, 0x50, 0x14, 0x00, 0x00, 0xce, 0x2f, 0x00, 0x00,
    ];

    const RST6: [u8; 60] = [
        0x60, 0x00, 0x00, 0x00, 0x00, 0x14, 0x06, 0x40, 0xfd, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
        0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x01, 0xfd, 0x00, 0x00, 0x00, 0x00, 0x00,
        0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x80, 0x9c, 0x41, 0x20, 0xfb, 0x01,
        0x02, 0x03, 0x04, 0x00, 0x00, 0x00, 0x00, 0x50, 0x04, 0x00, 0x00, 0xf4, 0x1b, 0x00, 0x00,
    ];

    /// PSH and ACK, aligned timestamps, "hello".
    const DATA: [u8; 57] = [
        0x45, 0x00, 0x00, 0x39, 0x1c, 0x46, 0x40, 0x00, 0x39, 0x06, 0xbf, 0x33, 0xc6, 0x33, 0x64,
        0x07, 0xcb, 0x00, 0x71, 0x0a, 0xc8, 0x22, 0x01, 0xbb, 0xf0, 0x00, 0x00, 0x10, 0x20, 0x30,
        0x40, 0x50, 0x80, 0x18, 0x01, 0xf6, 0x55, 0xb5, 0x00, 0x00, 0x01, 0x01, 0x08, 0x0a, 0x11,
        0x22, 0x33, 0x44, 0x0a, 0x0b, 0x0c, 0x0d, 0x68, 0x65, 0x6c, 0x6c, 0x6f,
    ];

    const DRAIN4: [u8; 52] = [
        0x45, 0x00, 0x00, 0x34, 0x1c, 0x46, 0x40, 0x00, 0x39, 0x06, 0xbf, 0x38, 0xc6, 0x33, 0x64,
        0x07, 0xcb, 0x00, 0x71, 0x0a, 0xc8, 0x22, 0x01, 0xbb, 0x01, 0x02, 0x03, 0x04, 0x05, 0x06,
        0x07, 0x08, 0x80, 0x10, 0x01, 0xf6, 0xda, 0x11, 0x00, 0x00, 0x01, 0x01, 0x08, 0x0a, 0x11,
        0x22, 0x33, 0x44, 0x0a, 0x0b, 0x0c, 0x0d,
    ];

    #[test]
    fn rst_v4() {
        let key = FlowKey::v4([10, 0, 0, 1], 40001, [10, 0, 0, 80], 8443);
        let mut out = [0xa5; 41];
        let len = build_rst(&mut out, &key, Seq(0x0102_0304), Some(Seq(0x0506_0708)));
        assert_eq!(len, Some(40));
        assert_eq!(out[..40], RST4);
        assert_eq!(out[40], 0xa5);
        assert_eq!(build_rst(&mut out[..39], &key, Seq(0), None), None);
    }

    #[test]
    fn rst_v6() {
        let mut saddr = [0; 16];
        let mut daddr = [0; 16];
        (saddr[0], saddr[15], daddr[0], daddr[15]) = (0xfd, 1, 0xfd, 0x80);
        let key = FlowKey::v6(saddr, 40001, daddr, 8443);
        let mut out = [0xa5; 60];
        let len = build_rst(&mut out, &key, Seq(0x0102_0304), None);
        assert_eq!(len, Some(60));
        assert_eq!(out, RST6);
        assert_eq!(build_rst(&mut out[..59], &key, Seq(0), None), None);
    }

    #[test]
    fn drain_ack_has_no_payload() -> Result<(), Malformed> {
        let seg = parse(&DATA, Family::V4, DATA.len())?;
        let mut out = [0xa5; 64];
        let headers = &DATA[..seg.headers_len()];
        let (seq, ack) = (Seq(0x0102_0304), Seq(0x0506_0708));
        let len = build_drain_ack(&mut out, headers, &seg, seq, ack);
        assert_eq!(len, Some(52));
        assert_eq!(out[..52], DRAIN4);
        assert_eq!(
            build_drain_ack(&mut out[..51], headers, &seg, seq, ack),
            None
        );
        assert_eq!(build_drain_ack(&mut out, &DATA[..51], &seg, seq, ack), None);
        Ok(())
    }

    #[test]
    fn data_follows_the_headers() -> Result<(), Malformed> {
        let key = FlowKey::v4([198, 51, 100, 7], 51234, [203, 0, 113, 10], 443);
        let stamps = TcpOption::Timestamps {
            val: 0x1122_3344,
            ecr: 0x0a0b_0c0d,
        };
        let list = [TcpOption::Nop, TcpOption::Nop, stamps];
        let mut out = [0xa5; 57];
        out[52..].copy_from_slice(b"hello");
        let numbers = (Seq(0xf000_0010), Seq(0x2030_4050));
        let len = build_data(&mut out, 52, &key, numbers, Flags::PSH, 0x01f6, &list);
        assert_eq!(len, Some(57));
        let seg = parse(&out, Family::V4, out.len())?;
        assert_eq!(
            (seg.seq, seg.ack, seg.payload_len),
            (numbers.0, numbers.1, 5)
        );
        assert_eq!(seg.flags, Flags::PSH.union(Flags::ACK));
        assert_eq!(checksum::tcp(&key, &out[20..]).fold(), 0xffff);
        assert_eq!(Sum::ZERO.add_bytes(&out[..20]).fold(), 0xffff);
        // The headers are not of that length.
        assert_eq!(
            build_data(&mut out, 40, &key, numbers, Flags::PSH, 0, &list),
            None
        );
        Ok(())
    }

    #[test]
    fn a_segment_is_cut_and_leaves_its_sum_to_the_sender() -> Result<(), Malformed> {
        let mut packet = DATA;
        let seg = parse(&packet, Family::V4, packet.len())?;
        let headers = seg.headers_len();
        let cut = recut(&mut packet[..headers], &seg, 2, seg.seq.add(1), Flags::ACK);
        assert_eq!(cut, Some(()));
        let packet = &packet[..headers + 2];
        let now = parse(packet, Family::V4, packet.len())?;
        assert_eq!((now.seq, now.payload_len), (seg.seq.add(1), 2));
        assert_eq!(
            (now.flags, now.ack, now.window),
            (Flags::ACK, seg.ack, seg.window)
        );
        assert_eq!(Sum::ZERO.add_bytes(&packet[..20]).fold(), 0xffff);
        // The pseudo-header alone: a device adds the rest.
        let field = u16::from_be_bytes([packet[36], packet[37]]);
        assert_eq!(field, checksum::pseudo_header(&seg.key, 34).fold());
        Ok(())
    }
}
