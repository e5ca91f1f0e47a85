// SPDX-License-Identifier: GPL-2.0

//! Packets of our own, read by the model's rules.

use proptest::collection::vec;
use proptest::prelude::*;
use xlate::build::build_segment;
use xlate::options::TcpOption;
use xlate::{build_drain_ack, build_rst, parse, ChecksumField, Family, Flags, Seq};

use crate::model::{Packet, ACK};
use crate::packets::{family, key, number, packet};

/// A bare segment between the ends of `key`.
fn bare(key: &xlate::FlowKey) -> Packet {
    Packet {
        family: key.family,
        tos: 0,
        id: 0,
        ttl: 64,
        saddr: key.source().to_vec(),
        daddr: key.destination().to_vec(),
        ip_options: vec![],
        extensions: vec![],
        sport: key.source_port(),
        dport: key.destination_port(),
        seq: 0,
        ack: 0,
        reserved: 0,
        flags: 0,
        window: 0,
        urgent: 0,
        options: vec![],
        payload: vec![],
    }
}

/// Runs a builder with ever less room: the same bytes as long as they fit and nothing behind
/// them touched, then `None`.
fn in_any_room(expected: &[u8], build: impl Fn(&mut [u8]) -> Option<usize>) {
    for room in 0..expected.len() + 3 {
        let mut out = vec![0xa5; room];
        let len = build(&mut out);
        if room < expected.len() {
            assert_eq!(len, None);
        } else {
            assert_eq!(len, Some(expected.len()));
            assert_eq!(&out[..expected.len()], expected);
            assert!(out[expected.len()..].iter().all(|b| *b == 0xa5));
        }
    }
}

proptest! {
    #![proptest_config(crate::config())]

    #[test]
    fn rst(key in family().prop_flat_map(key), seq in number(), ack in prop::option::of(number())) {
        let expected = Packet {
            seq,
            ack: ack.unwrap_or(0),
            flags: if ack.is_some() { 0x14 } else { 0x04 },
            ..bare(&key)
        };
        in_any_room(&expected.emit(ChecksumField::Whole), |out| {
            build_rst(out, &key, Seq(seq), ack.map(Seq))
        });
    }

    #[test]
    fn syn(
        key in family().prop_flat_map(key),
        seq in number(),
        ack in prop::option::of(number()),
        window: u16,
        (mss, shift, val, ecr) in any::<(u16, u8, u32, u32)>(),
        parts in vec(0usize..4, 0..4),
    ) {
        let mut parts = parts;
        parts.sort_unstable();
        parts.dedup();
        let all = [
            TcpOption::Mss(mss),
            TcpOption::SackPermitted,
            TcpOption::Timestamps { val, ecr },
            TcpOption::WindowScale(shift),
        ];
        let list: Vec<_> = parts.iter().map(|i| all[*i]).collect();
        let mut bytes = vec![];
        for i in &parts {
            match i {
                0 => bytes.extend([&[2, 4][..], &mss.to_be_bytes()].concat()),
                1 => bytes.extend([4, 2]),
                2 => {
                    bytes.extend([8, 10]);
                    bytes.extend(val.to_be_bytes());
                    bytes.extend(ecr.to_be_bytes());
                }
                _ => bytes.extend([3, 3, shift]),
            }
        }
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        let expected = Packet {
            seq,
            ack: ack.unwrap_or(0),
            flags: 0x02 | if ack.is_some() { ACK } else { 0 },
            window,
            options: vec![crate::model::Opt::Tail(bytes)],
            ..bare(&key)
        };
        in_any_room(&expected.emit(ChecksumField::Whole), |out| {
            build_segment(out, &key, Seq(seq), ack.map(Seq), Flags::SYN, window, &list)
        });
    }

    /// The drain ACK is the packet less its payload, its flags and, for IPv6, its extension
    /// headers; whatever else the packet was.
    #[test]
    fn drain_ack(packet in packet(), seq in number(), ack in number()) {
        let bytes = packet.emit(ChecksumField::Whole);
        let seg = parse(&bytes, packet.family, bytes.len()).unwrap();
        let expected = Packet {
            seq,
            ack,
            reserved: 0,
            flags: ACK,
            urgent: 0,
            extensions: vec![],
            payload: vec![],
            ..packet.clone()
        };
        let headers = &bytes[..seg.headers_len()];
        in_any_room(&expected.emit(ChecksumField::Whole), |out| {
            build_drain_ack(out, headers, &seg, Seq(seq), Seq(ack))
        });
        for len in 0..headers.len() {
            let mut out = [0; 256];
            let cut = build_drain_ack(&mut out, &headers[..len], &seg, Seq(seq), Seq(ack));
            prop_assert_eq!(cut, None);
        }
    }

    /// A packet without a length field is brought down to one that has it.
    #[test]
    fn drain_ack_of_big_tcp(packet in packet(), payload_len in 70_000usize..500_000) {
        let mut bytes = packet.emit(ChecksumField::PseudoHeader);
        let field = if packet.family == Family::V4 { 2 } else { 4 };
        bytes[field..field + 2].fill(0);
        let headers_len = packet.ip_len() + packet.tcp_len();
        let seg = parse(&bytes, packet.family, headers_len + payload_len).unwrap();
        prop_assert_eq!(seg.payload_len as usize, payload_len);
        let mut out = [0; 256];
        let len = build_drain_ack(&mut out, &bytes[..headers_len], &seg, Seq(1), Seq(2));
        let seg = parse(&out, packet.family, len.unwrap()).unwrap();
        prop_assert_eq!(seg.payload_len, 0);
        prop_assert_eq!(seg.ip.total_len, len.unwrap());
    }

    /// A segment parsed from elsewhere, and bytes of any kind, do not panic.
    #[test]
    fn foreign_segment(
        packet in packet(),
        noise in vec(any::<u8>(), 0..300),
        room in 0usize..300,
    ) {
        let bytes = packet.emit(ChecksumField::Whole);
        let seg = parse(&bytes, packet.family, bytes.len()).unwrap();
        let mut out = vec![0; room];
        if let Some(len) = build_drain_ack(&mut out, &noise, &seg, Seq(0), Seq(0)) {
            prop_assert!(len <= room);
        }
    }
}

/// Options that do not fit into a header are refused.
#[test]
fn too_many_options() {
    let key = xlate::FlowKey::v4([1; 4], 1, [2; 4], 2);
    let stamps = TcpOption::Timestamps { val: 0, ecr: 0 };
    let mut out = [0; 256];
    let mut build =
        |list: &[TcpOption<'_>]| build_segment(&mut out, &key, Seq(0), None, Flags::SYN, 0, list);
    assert_eq!(build(&[stamps; 4]), Some(80));
    assert_eq!(build(&[stamps; 5]), None);
    let long = [0; 300];
    assert_eq!(build(&[TcpOption::Sack(&long)]), None);
}
