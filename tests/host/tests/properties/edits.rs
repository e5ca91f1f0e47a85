// SPDX-License-Identifier: GPL-2.0

//! `Edit::apply` against the model.

use proptest::prelude::*;
use xlate::{parse, ChecksumField, Family, FlowKey, Malformed};

use crate::model::{ones_complement_sum, parse_options, pseudo_header, Opt, Packet};
use crate::packets::{option_bytes, packet, work};

const FIELDS: [ChecksumField; 2] = [ChecksumField::Whole, ChecksumField::PseudoHeader];

/// The key with which the packet arrives.
fn key_of(packet: &Packet) -> FlowKey {
    match packet.family {
        Family::V4 => FlowKey::v4(
            packet.saddr[..].try_into().unwrap(),
            packet.sport,
            packet.daddr[..].try_into().unwrap(),
            packet.dport,
        ),
        Family::V6 => FlowKey::v6(
            packet.saddr[..].try_into().unwrap(),
            packet.sport,
            packet.daddr[..].try_into().unwrap(),
            packet.dport,
        ),
    }
}

proptest! {
    #![proptest_config(crate::config())]

    /// Every byte is the model's, and the payload and what is behind it are not touched.
    #[test]
    fn apply_agrees_with_the_model((packet, edit, floor) in work()) {
        for field in FIELDS {
            let bytes = packet.emit(field);
            let seg = parse(&bytes, packet.family, bytes.len()).unwrap();
            let mut got = bytes.clone();
            prop_assert_eq!(edit.apply(&mut got, &seg, field, floor), Ok(()));
            prop_assert_eq!(&got, &packet.edited(&edit, floor).emit(field));

            // The headers alone give the same.
            let mut headers = bytes[..seg.headers_len()].to_vec();
            prop_assert_eq!(edit.apply(&mut headers, &seg, field, floor), Ok(()));
            prop_assert_eq!(&headers[..], &got[..headers.len()]);
        }
    }

    /// A checksum that was wrong stays wrong, by the same amount: corruption is not covered up.
    #[test]
    fn corruption_shows((packet, edit, floor) in work(), flip in 1u16..) {
        let mut bytes = packet.emit(ChecksumField::Whole);
        let at = packet.ip_len() + 16;
        let check = u16::from_be_bytes([bytes[at], bytes[at + 1]]) ^ flip;
        bytes[at..at + 2].copy_from_slice(&check.to_be_bytes());
        let sum = |b: &[u8]| {
            let tcp = &b[packet.ip_len()..];
            let n = packet.saddr.len();
            let from = if n == 4 { 12 } else { 8 };
            let (saddr, daddr) = (&b[from..from + n], &b[from + n..from + 2 * n]);
            let all = [&pseudo_header(saddr, daddr, tcp.len(), 6)[..], tcp].concat();
            ones_complement_sum(&all)
        };
        let before = sum(&bytes);
        let seg = parse(&bytes, packet.family, bytes.len()).unwrap();
        edit.apply(&mut bytes, &seg, ChecksumField::Whole, floor).unwrap();
        prop_assert_eq!(sum(&bytes), before);
    }

    /// Options of any bytes: either all of it is as the model has it, or nothing is touched.
    #[test]
    fn any_option_bytes((packet, edit, floor) in work(), options in option_bytes()) {
        let mut packet = packet;
        let list = parse_options(&options);
        packet.options = list.clone().unwrap_or_else(|| vec![Opt::Tail(options)]);
        let bytes = packet.emit(ChecksumField::Whole);
        let seg = parse(&bytes, packet.family, bytes.len()).unwrap();
        let mut got = bytes.clone();
        let result = edit.apply(&mut got, &seg, ChecksumField::Whole, floor);
        if list.is_some() {
            prop_assert_eq!(result, Ok(()));
            prop_assert_eq!(got, packet.edited(&edit, floor).emit(ChecksumField::Whole));
        } else {
            prop_assert_eq!(result, Err(Malformed::Contradiction));
            prop_assert_eq!(got, bytes);
        }
    }

    /// Fewer bytes than the headers have is an error, and nothing is touched.
    #[test]
    fn short_headers((packet, edit, floor) in work(), cut in 1usize..100) {
        let bytes = packet.emit(ChecksumField::Whole);
        let seg = parse(&bytes, packet.family, bytes.len()).unwrap();
        let len = seg.headers_len().saturating_sub(cut);
        let mut got = bytes[..len].to_vec();
        let result = edit.apply(&mut got, &seg, ChecksumField::Whole, floor);
        prop_assert_eq!(result, Err(Malformed::Truncated));
        prop_assert_eq!(&got[..], &bytes[..len]);
    }

    /// The headers of one packet and the parsed segment of another: no panic, the length is
    /// kept, an error leaves the bytes alone.
    #[test]
    fn foreign_segment(
        (packet, edit, floor) in work(),
        other in packet(),
        noise in prop::collection::vec(any::<u8>(), 0..140),
        take_noise: bool,
    ) {
        let bytes = other.emit(ChecksumField::Whole);
        let seg = parse(&bytes, other.family, bytes.len()).unwrap();
        for field in FIELDS {
            let before = if take_noise { noise.clone() } else { packet.emit(field) };
            let mut got = before.clone();
            let result = edit.apply(&mut got, &seg, field, floor);
            prop_assert_eq!(got.len(), before.len());
            if result.is_err() {
                prop_assert_eq!(got, before);
            }
        }
    }

    /// What a packet is translated to, mirrored and sent back through the reverse edit, comes
    /// out as the mirror of the packet: ports, addresses, numbers and timestamps.
    #[test]
    fn reverse_takes_back((packet, edit, _) in work()) {
        let mut packet = packet;
        packet.flags |= crate::model::ACK;
        packet.options.retain(|o| !matches!(o, Opt::Sack(_) | Opt::Other(..)));
        while crate::model::emit_options(&packet.options).len() % 4 != 0 {
            packet.options.insert(0, Opt::Nop);
        }
        packet.ttl = packet.ttl.max(2);
        let arrives = key_of(&packet);
        let reverse = edit.reverse(&arrives);
        prop_assert_eq!(reverse.reverse(&edit.out.reverse()), edit);

        let whole = ChecksumField::Whole;
        let mut bytes = packet.emit(whole);
        let seg = parse(&bytes, packet.family, bytes.len()).unwrap();
        prop_assert_eq!(seg.key, arrives);
        edit.apply(&mut bytes, &seg, whole, None).unwrap();
        let seg = parse(&bytes, packet.family, bytes.len()).unwrap();
        prop_assert_eq!(seg.key, edit.out);

        // The window is left out: scaling it loses bits.
        let back = |packet: &Packet| Packet { window: 0, ..packet.mirrored() };
        let mut bytes = back(&packet.edited(&edit, None)).emit(whole);
        let seg = parse(&bytes, packet.family, bytes.len()).unwrap();
        reverse.apply(&mut bytes, &seg, whole, None).unwrap();
        let expected = Packet { ttl: packet.ttl - 2, ..back(&packet) };
        prop_assert_eq!(bytes, expected.emit(whole));
    }
}
