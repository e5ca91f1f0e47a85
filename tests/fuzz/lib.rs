// SPDX-License-Identifier: GPL-2.0

//! What holds for any bytes at all that come in as a packet.
//!
//! An input is a byte of choices, an edit, numbers for packets of our own, and the rest is the packet.

use xlate::build::{build_segment, recut};
use xlate::{
    build_drain_ack, build_rst, key_of, parse, parse_ip, parse_quote, tcp_header_len,
    ChecksumField, Edit, Family, Flags, FlowKey, Segment, Seq,
};

/// The sum of 16-bit words, end around: 0xffff where a checksum is right.
fn sum(parts: &[&[u8]]) -> u16 {
    let mut sum = 0u64;
    for part in parts {
        for word in part.chunks(2) {
            sum += u64::from(word[0]) * 256 + u64::from(*word.get(1).unwrap_or(&0));
        }
    }
    while sum > 0xffff {
        sum = (sum >> 16) + (sum & 0xffff);
    }
    sum as u16
}

/// Source and destination address of a packet.
fn addresses(bytes: &[u8], family: Family) -> &[u8] {
    match family {
        Family::V4 => &bytes[12..20],
        Family::V6 => &bytes[8..40],
    }
}

/// The sum over a transport segment and its pseudo-header.
fn transport_sum(packet: &[u8], family: Family, header_len: usize, protocol: u8) -> u16 {
    let segment = &packet[header_len..];
    let mut pseudo = addresses(packet, family).to_vec();
    pseudo.extend((segment.len() as u32).to_be_bytes());
    pseudo.extend([0, 0, 0, protocol]);
    sum(&[&pseudo, segment])
}

/// Takes an input apart.
struct Input<'a>(&'a [u8]);

impl Input<'_> {
    fn take<const N: usize>(&mut self) -> [u8; N] {
        let mut out = [0; N];
        let len = N.min(self.0.len());
        out[..len].copy_from_slice(&self.0[..len]);
        self.0 = &self.0[len..];
        out
    }

    fn number(&mut self) -> u32 {
        u32::from_be_bytes(self.take())
    }
}

/// One input.
pub fn packet(data: &[u8]) {
    let mut input = Input(data);
    let [choices] = input.take();
    let family = if choices & 1 == 0 {
        Family::V4
    } else {
        Family::V6
    };
    let other_family = choices & 0x80 != 0;
    let [wscale_in, wscale_out] = input.take();
    let (saddr, daddr): ([u8; 4], [u8; 4]) = (input.take(), input.take());
    let [sport, dport]: [u8; 2] = input.take();
    let out = match family {
        Family::V4 if !other_family => FlowKey::v4(saddr, sport.into(), daddr, dport.into()),
        _ => FlowKey::v6([sport; 16], sport.into(), [dport; 16], dport.into()),
    };
    let edit = Edit {
        out,
        seq_delta: input.number(),
        ack_delta: input.number(),
        tsval_delta: input.number(),
        tsecr_delta: input.number(),
        wscale_in,
        wscale_out,
        timestamps: choices & 2 != 0,
        sack: choices & 4 != 0,
    };
    let floor = (choices & 8 != 0).then_some(Seq(input.number()));
    let (seq, ack) = (Seq(input.number()), Seq(input.number()));
    let bytes = input.0;

    ours(&out, seq, ack, bytes);
    let Ok(ip) = parse_ip(bytes, family) else {
        // What has no IP header is no segment either.
        assert!(parse(bytes, family, bytes.len()).is_err());
        return;
    };
    assert!(ip.header_len <= bytes.len());
    let _ = key_of(bytes, &ip);
    let _ = tcp_header_len(bytes, &ip);
    quote(bytes, family, &edit);
    // Half a packet is enough or it is not, but it is never something else.
    for len in [bytes.len() / 2, bytes.len().saturating_sub(1)] {
        if let (Ok(part), Ok(whole)) = (
            parse(&bytes[..len], family, bytes.len()),
            parse(bytes, family, bytes.len()),
        ) {
            assert_eq!(part, whole);
        }
    }
    let Ok(seg) = parse(bytes, family, bytes.len()) else {
        return;
    };
    let whole = seg.headers_len() + seg.payload_len as usize;
    assert!(whole <= bytes.len());
    assert_eq!(seg.key, key_of(bytes, &ip).expect("a segment has a key"));

    for field in [ChecksumField::Whole, ChecksumField::PseudoHeader] {
        // As it came, and with checksums that are right.
        translate(&bytes[..whole], &seg, &edit, field, floor);
        let mut right = bytes[..whole].to_vec();
        make_right(&mut right, &seg);
        translate(&right, &seg, &edit, field, floor);
    }
    drained(&bytes[..whole], &seg, seq, ack);
    cut(&bytes[..whole], &seg, seq, ack.0);
}

/// Gives a packet the checksums that it should have.
fn make_right(packet: &mut [u8], seg: &Segment) {
    if seg.ip.family == Family::V4 {
        packet[10..12].fill(0);
        let check = !sum(&[&packet[..seg.ip.header_len]]);
        packet[10..12].copy_from_slice(&check.to_be_bytes());
    }
    let at = seg.ip.header_len + 16;
    packet[at..at + 2].fill(0);
    let check = !transport_sum(packet, seg.ip.family, seg.ip.header_len, 6);
    packet[at..at + 2].copy_from_slice(&check.to_be_bytes());
}

fn translate(packet: &[u8], seg: &Segment, edit: &Edit, field: ChecksumField, floor: Option<Seq>) {
    let mut out = packet.to_vec();
    if edit.apply(&mut out, seg, field, floor).is_err() {
        assert_eq!(out, packet, "an error leaves the packet as it was");
        return;
    }
    let headers = seg.headers_len();
    assert_eq!(
        out[headers..],
        packet[headers..],
        "the payload is not touched"
    );
    // The headers alone are enough.
    let mut alone = packet[..headers].to_vec();
    assert!(edit.apply(&mut alone, seg, field, floor).is_ok());
    assert_eq!(alone, out[..headers]);

    let got = parse(&out, seg.ip.family, out.len()).expect("still a segment");
    assert_eq!(got.key, edit.out);
    assert_eq!(got.seq, seg.seq.add(edit.seq_delta));
    assert_eq!((got.flags, got.payload_len), (seg.flags, seg.payload_len));
    assert_eq!(
        (got.tcp_len, got.ip.header_len),
        (seg.tcp_len, seg.ip.header_len)
    );
    if let (true, Some(floor)) = (seg.flags.contains(Flags::ACK), floor) {
        assert!(got.ack.at_or_after(floor) || got.ack.0.wrapping_sub(floor.0) == 1 << 31);
    }

    // What was right is right, what was wrong is wrong, by as much.
    let header_len = seg.ip.header_len;
    if seg.ip.family == Family::V4 {
        let sums = [packet, &out].map(|p| sum(&[&p[..header_len]]));
        assert_eq!(sums[0] % 0xffff, sums[1] % 0xffff, "IPv4 header checksum");
    }
    if field == ChecksumField::Whole {
        let sums = [packet, &out].map(|p| transport_sum(p, seg.ip.family, header_len, 6));
        assert_eq!(sums[0] % 0xffff, sums[1] % 0xffff, "TCP checksum");
    }
}

/// An ICMP error, or not.
fn quote(bytes: &[u8], family: Family, edit: &Edit) {
    let Ok(ip) = parse_ip(bytes, family) else {
        return;
    };
    let Ok(Some(quote)) = parse_quote(bytes, &ip) else {
        return;
    };
    let mut out = bytes.to_vec();
    if edit.apply_quote(&mut out, &quote).is_err() {
        assert_eq!(out, bytes, "an error leaves the packet as it was");
        return;
    }
    let sums = [bytes, &out].map(|p| match family {
        Family::V4 => sum(&[&p[ip.header_len..]]),
        Family::V6 => transport_sum(p, family, ip.header_len, 58),
    });
    assert_eq!(sums[0] % 0xffff, sums[1] % 0xffff, "ICMP checksum");
    let again = parse_quote(&out, &ip)
        .expect("still a quote")
        .expect("of TCP");
    assert_eq!(again.key, edit.out.reverse());
    assert_eq!(again.seq, quote.seq.add(edit.ack_delta));
}

/// Packets of our own are what they are asked to be, and right.
fn ours(key: &FlowKey, seq: Seq, ack: Seq, room: &[u8]) {
    let mut out = [0xa5; 128];
    let len = build_rst(&mut out, key, seq, Some(ack)).expect("there is room");
    check_ours(&out[..len], key, seq, ack);
    assert!(out[len..].iter().all(|byte| *byte == 0xa5));
    let mut short = room.to_vec();
    short.truncate(len);
    let built = build_segment(&mut short, key, seq, Some(ack), Flags::ACK, 7, &[]);
    assert_eq!(built.is_some(), short.len() == len);
}

fn check_ours(packet: &[u8], key: &FlowKey, seq: Seq, ack: Seq) -> Segment {
    let seg = parse(packet, key.family, packet.len()).expect("a segment");
    assert_eq!((seg.key, seg.seq, seg.ack), (*key, seq, ack));
    let header_len = seg.ip.header_len;
    assert_eq!(transport_sum(packet, key.family, header_len, 6), 0xffff);
    if key.family == Family::V4 {
        assert_eq!(sum(&[&packet[..header_len]]), 0xffff);
    }
    seg
}

fn drained(packet: &[u8], seg: &Segment, seq: Seq, ack: Seq) {
    let mut out = [0; 512];
    let headers = &packet[..seg.headers_len()];
    let len = build_drain_ack(&mut out, headers, seg, seq, ack).expect("there is room");
    let got = check_ours(&out[..len], &seg.key, seq, ack);
    assert_eq!((got.payload_len, got.flags), (0, Flags::ACK));
    assert_eq!(got.window, seg.window);
}

fn cut(packet: &[u8], seg: &Segment, seq: Seq, most: u32) {
    let payload = most.min(seg.payload_len) as usize;
    let mut out = packet[..seg.headers_len() + payload].to_vec();
    let flags = seg.flags.difference(Flags::FIN);
    let headers = seg.headers_len();
    recut(&mut out[..headers], seg, payload, seq, flags).expect("a segment that was parsed");
    let got = parse(&out, seg.ip.family, out.len()).expect("still a segment");
    assert_eq!(
        (got.seq, got.flags, got.payload_len),
        (seq, flags, payload as u32)
    );
    assert_eq!(out[headers..], packet[headers..headers + payload]);
    // The field holds the sum of the pseudo-header, to which whoever sends it adds the rest.
    let at = seg.ip.header_len + 16;
    let field = u16::from_be_bytes([out[at], out[at + 1]]);
    out[at..at + 2].fill(0);
    let rest = u64::from(self::sum(&[&out[seg.ip.header_len..]]));
    let whole = transport_sum(&out, seg.ip.family, seg.ip.header_len, 6);
    assert_eq!(
        (u64::from(field) + rest) % 0xffff,
        u64::from(whole) % 0xffff
    );
}
