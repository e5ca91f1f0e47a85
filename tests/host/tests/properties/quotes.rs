// SPDX-License-Identifier: GPL-2.0

//! ICMP errors about translated packets.

use proptest::prelude::*;
use xlate::{parse_ip, parse_quote, ChecksumField, Edit, Family, FlowKey};

use crate::model::{ones_complement_sum, pseudo_header, Packet, ACK};
use crate::packets::work;

/// An ICMP error from `from` to `to` that quotes `quoted`.
fn error(from: &[u8], to: &[u8], ttl: u8, kind: u8, quoted: &[u8]) -> Vec<u8> {
    let mut icmp = vec![kind, 0, 0, 0, 0, 0, 5, 0x78];
    icmp.extend(quoted);
    let mut packet = Vec::new();
    let check = if from.len() == 4 {
        packet.extend([
            0x45,
            0,
            0,
            (20 + icmp.len()) as u8,
            0,
            7,
            0,
            0,
            ttl,
            1,
            0,
            0,
        ]);
        packet.extend([from, to].concat());
        let check = !ones_complement_sum(&packet);
        packet[10..12].copy_from_slice(&check.to_be_bytes());
        !ones_complement_sum(&icmp)
    } else {
        packet.extend([0x60, 0, 0, 0, 0, icmp.len() as u8, 58, ttl]);
        packet.extend([from, to].concat());
        let pseudo = pseudo_header(from, to, icmp.len(), 58);
        !ones_complement_sum(&[&pseudo[..], &icmp[..]].concat())
    };
    icmp[2..4].copy_from_slice(&check.to_be_bytes());
    packet.extend(icmp);
    packet
}

/// The packet as it left, with the window and options of the one that arrived, as these stay as
/// they are quoted.
fn left(packet: &Packet, edit: &Edit) -> Packet {
    Packet {
        window: packet.window,
        options: packet.options.clone(),
        ..packet.edited(edit, None)
    }
}

fn key_of(packet: &Packet) -> FlowKey {
    let addr = |a: &[u8]| {
        let mut wide = [0; 16];
        wide[..a.len()].copy_from_slice(a);
        wide
    };
    FlowKey {
        saddr: addr(&packet.saddr),
        daddr: addr(&packet.daddr),
        sport: packet.sport.to_be_bytes(),
        dport: packet.dport.to_be_bytes(),
        family: packet.family,
    }
}

proptest! {
    #![proptest_config(crate::config())]

    /// An error about the packet that left becomes one about the packet that arrived.
    #[test]
    fn errors_come_home(
        (packet, edit, _) in work(),
        router in prop::option::of(any::<[u8; 16]>()),
        ttl: u8,
        kind in prop::sample::select(vec![0usize, 1, 2, 3]),
        extra in 0usize..60,
    ) {
        let n = packet.saddr.len();
        let mut packet = packet;
        packet.ttl = packet.ttl.max(1);
        let arrived = Packet { ttl: packet.ttl - 1, ..packet.clone() };
        let leaving = left(&packet, &edit);
        let reverse = edit.reverse(&key_of(&packet));
        let kind = match packet.family {
            Family::V4 => [3, 4, 11, 12][kind],
            Family::V6 => [1, 2, 3, 4][kind],
        };

        let whole = ChecksumField::Whole;
        let (leaving_bytes, arrived_bytes) = (leaving.emit(whole), arrived.emit(whole));
        // As much of the TCP header as one likes to quote; what is left of a header that is cut
        // within the numbers after the sequence number is not translated.
        let quoted = packet.ip_len() + if extra < 12 { 8 } else { 8 + extra };
        let quoted = quoted.min(leaving_bytes.len());
        let (from, seems) = match &router {
            Some(router) => (router[..n].to_vec(), router[..n].to_vec()),
            None => (leaving.daddr.clone(), packet.daddr.clone()),
        };
        let seems = if from == leaving.daddr { packet.daddr.clone() } else { seems };
        let mut got = error(&from, &leaving.saddr, ttl, kind, &leaving_bytes[..quoted]);
        let want = error(
            &seems,
            &packet.saddr,
            ttl.saturating_sub(1),
            kind,
            &arrived_bytes[..quoted],
        );

        let ip = parse_ip(&got, packet.family).unwrap();
        let quote = parse_quote(&got, &ip).unwrap().unwrap();
        prop_assert_eq!(quote.key, edit.out);
        prop_assert_eq!(quote.seq.0, leaving.seq);
        // The pair of rows is found by the reverse of the key.
        prop_assert_eq!(quote.key.reverse(), edit.out.reverse());
        prop_assert_eq!(reverse.apply_quote(&mut got, &quote), Ok(()));
        prop_assert_eq!(got, want);
        prop_assert!(packet.flags & ACK != 0 || arrived.ack == leaving.ack);
    }

    /// No bytes make it panic, and an error leaves them alone.
    #[test]
    fn any_quote(
        (packet, edit, _) in work(),
        noise in prop::collection::vec(any::<u8>(), 0..200),
        cut in 0usize..200,
    ) {
        let whole = left(&packet, &edit).emit(ChecksumField::Whole);
        let n = packet.saddr.len();
        let kind = if n == 4 { 3 } else { 1 };
        let bytes = error(&vec![9; n], &packet.saddr, 9, kind, &whole);
        let ip = parse_ip(&bytes, packet.family).unwrap();
        let quote = parse_quote(&bytes, &ip).unwrap().unwrap();
        let cut = &bytes[..cut.min(bytes.len())];
        for before in [cut, &noise[..]] {
            let mut got = before.to_vec();
            if edit.apply_quote(&mut got, &quote).is_err() {
                prop_assert_eq!(&got[..], before);
            }
            prop_assert_eq!(got.len(), before.len());
            if let Ok(ip) = parse_ip(before, packet.family) {
                let _ = parse_quote(before, &ip);
            }
            let mut forged = ip;
            forged.header_len = usize::from(noise.first().copied().unwrap_or(0));
            let _ = parse_quote(before, &forged);
        }
    }
}
