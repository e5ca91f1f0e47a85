// SPDX-License-Identifier: GPL-2.0

//! The parsers: right on packets, total on anything.

use proptest::collection::vec;
use proptest::prelude::*;
use xlate::options::Options;
use xlate::{key_of, parse, parse_ip, parse_tcp, tcp_header_len};
use xlate::{ChecksumField, Family, Malformed, Seq, MAX_HEADERS};

use crate::model::{emit_options, parse_options, Opt};
use crate::packets::{family, option_bytes, packet};

proptest! {
    #![proptest_config(crate::config())]

    /// Every field that was put in comes out.
    #[test]
    fn fields_come_out(packet in packet(), padding in 0usize..20) {
        let mut bytes = packet.emit(ChecksumField::Whole);
        let len = bytes.len();
        bytes.resize(len + padding, 0xee);
        let seg = parse(&bytes, packet.family, bytes.len()).unwrap();
        prop_assert_eq!(seg.ip.family, packet.family);
        prop_assert_eq!(seg.ip.header_len, packet.ip_len());
        prop_assert_eq!(seg.ip.total_len, len);
        prop_assert_eq!(seg.ip.protocol, 6);
        prop_assert_eq!(seg.ip.ttl, packet.ttl);
        prop_assert!(!seg.ip.fragment);
        prop_assert_eq!(seg.tcp_len, packet.tcp_len());
        prop_assert_eq!(seg.key.source(), &packet.saddr[..]);
        prop_assert_eq!(seg.key.destination(), &packet.daddr[..]);
        prop_assert_eq!(seg.key.source_port(), packet.sport);
        prop_assert_eq!(seg.key.destination_port(), packet.dport);
        prop_assert_eq!((seg.seq, seg.ack), (Seq(packet.seq), Seq(packet.ack)));
        prop_assert_eq!(seg.flags.0, packet.flags);
        prop_assert_eq!(seg.window, packet.window);
        prop_assert_eq!(seg.payload_len as usize, packet.payload.len());
        let numbers = packet.payload.len() as u32
            + u32::from(packet.flags & 1)
            + u32::from((packet.flags >> 1) & 1);
        prop_assert_eq!(seg.seq_len(), numbers);
        prop_assert_eq!(seg.seq_end(), Seq(packet.seq.wrapping_add(numbers)));
        prop_assert!(seg.headers_len() <= MAX_HEADERS);
        prop_assert_eq!(tcp_header_len(&bytes, &seg.ip), Ok(seg.tcp_len));
        prop_assert_eq!(parse_tcp(&bytes, &seg.ip, bytes.len()), Ok(seg));

        let stamps = packet.options.iter().find_map(|option| match option {
            Opt::Timestamps(val, ecr) => Some((*val, *ecr)),
            _ => None,
        });
        prop_assert_eq!(seg.timestamps(&bytes), stamps);
        let options = emit_options(&packet.options);
        prop_assert_eq!(seg.options(&bytes), &options[..]);
    }

    /// Of any packet cut short, the parser wants exactly the headers; and with a length that ends
    /// inside of them, nothing.
    #[test]
    fn headers_are_enough(packet in packet()) {
        let bytes = packet.emit(ChecksumField::Whole);
        let seg = parse(&bytes, packet.family, bytes.len()).unwrap();
        for len in 0..bytes.len() {
            let cut = parse(&bytes[..len], packet.family, bytes.len());
            if len < seg.headers_len() {
                prop_assert_eq!(cut, Err(Malformed::Truncated));
            } else {
                prop_assert_eq!(cut, Ok(seg));
            }
            let ended = parse(&bytes[..len], packet.family, len);
            prop_assert_eq!(ended, Err(Malformed::Contradiction));
        }
    }

    /// No bytes make the parsers panic, and what they report is within what they were given.
    #[test]
    fn any_bytes(
        mut bytes in vec(any::<u8>(), 0..300),
        family in family(),
        plausible: bool,
        packet_len in prop_oneof![0usize..400, any::<usize>()],
    ) {
        if let (true, Some(first)) = (plausible, bytes.first_mut()) {
            *first = match family { Family::V4 => 0x45 + *first % 3, Family::V6 => 0x60 };
            if let Some(field) = bytes.get_mut(2..10) {
                match family {
                    Family::V4 => {
                        field[..2].copy_from_slice(&(packet_len as u16).to_be_bytes());
                        field[4..].copy_from_slice(&[0, 0, 64, 6]);
                    }
                    Family::V6 => {
                        let next = [0, 6, 43, 44, 60][usize::from(field[4]) % 5];
                        field[4] = next;
                        field[2..4].copy_from_slice(&(packet_len as u16).to_be_bytes());
                    }
                }
            }
        }
        if let Ok(ip) = parse_ip(&bytes, family) {
            prop_assert!(ip.header_len <= bytes.len() && ip.header_len <= MAX_HEADERS - 60);
            prop_assert!(ip.total_len == 0 || ip.header_len <= ip.total_len);
            let _ = key_of(&bytes, &ip);
            let _ = tcp_header_len(&bytes, &ip);
        }
        if let Ok(seg) = parse(&bytes, family, packet_len) {
            prop_assert!(seg.headers_len() <= bytes.len().min(packet_len));
            prop_assert!(seg.headers_len() + seg.payload_len as usize <= packet_len);
            let _ = seg.timestamps(&bytes);
        }
        let _ = xlate::options::timestamps(&bytes);
    }

    /// An IP header that was read elsewhere, or made up.
    #[test]
    fn foreign_ip_header(
        bytes in vec(any::<u8>(), 0..100),
        family in family(),
        header_len: usize,
        total_len: usize,
        packet_len: usize,
    ) {
        for header_len in [header_len, header_len % 128] {
            let ip = xlate::IpHeader {
                family, header_len, total_len, protocol: 6, fragment: false, ttl: 0,
            };
            let _ = key_of(&bytes, &ip);
            let _ = tcp_header_len(&bytes, &ip);
            let _ = parse_tcp(&bytes, &ip, packet_len);
        }
    }

    /// The option iterator agrees with the model about every list of bytes.
    #[test]
    fn options_agree_with_the_model(bytes in option_bytes()) {
        let list: Result<Vec<_>, _> = Options::new(&bytes).collect();
        prop_assert_eq!(list.is_ok(), parse_options(&bytes).is_some());
        prop_assert_eq!(xlate::options::check(&bytes).is_ok(), list.is_ok());
        // It ends after as many options as there are bytes at most.
        prop_assert!(Options::new(&bytes).count() <= bytes.len());
        if let Ok(list) = list {
            let mut out = [0; 40];
            let mut room = &mut out[..];
            for option in &list {
                room = option.emit(room).unwrap();
            }
            let used = 40 - room.len();
            prop_assert_eq!(&out[..used], &bytes[..used]);
            prop_assert!(bytes.get(used).is_none_or(|end| *end == 0));
        }
    }
}

/// A fragment is not parsed as a segment, wherever in IPv6 it says that it is one.
#[test]
fn fragments_are_not_segments() {
    let mut v6 = vec![0x60, 0, 0, 0, 0, 28, 44, 64];
    v6.extend([1; 32]);
    v6.extend([6, 0, 0, 0, 0, 0, 0, 1]);
    v6.extend([
        0, 1, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0x50, 16, 0, 0, 0, 0, 0, 0,
    ]);
    let ip = parse_ip(&v6, Family::V6).unwrap();
    assert!(ip.fragment && ip.protocol == 6 && ip.header_len == 48);
    assert_eq!(
        parse(&v6, Family::V6, v6.len()),
        Err(Malformed::Contradiction)
    );
    v6[6] = 60;
    assert!(parse(&v6, Family::V6, v6.len()).is_ok());
}
