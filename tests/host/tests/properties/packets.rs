// SPDX-License-Identifier: GPL-2.0

//! Strategies: packets and edits to try.

use proptest::collection::vec;
use proptest::prelude::*;
use xlate::{Edit, Family, FlowKey, Seq};

use crate::model::{emit_options, parse_options, Opt, Packet, ACK};

/// Numbers, with those near the places where they wrap or change sign more often than by chance.
pub(crate) fn number() -> impl Strategy<Value = u32> {
    let near = (
        prop::sample::select(vec![0u32, 1 << 31, 0xffff, 1 << 16]),
        -3000i32..3000,
    )
        .prop_map(|(n, d)| n.wrapping_add_signed(d));
    prop_oneof![any::<u32>(), near]
}

fn option(near: u32) -> impl Strategy<Value = Opt> {
    let edge = prop_oneof![
        4 => (-6000i32..6000).prop_map(move |d| near.wrapping_add_signed(d)),
        1 => number(),
    ];
    prop_oneof![
        3 => Just(Opt::Nop),
        4 => vec((edge.clone(), edge), 1..=4).prop_map(Opt::Sack),
        4 => (number(), number()).prop_map(|(v, e)| Opt::Timestamps(v, e)),
        1 => Just(Opt::Other(2, vec![5, 0xb4])),
        1 => Just(Opt::Other(3, vec![7])),
        1 => Just(Opt::Other(4, vec![])),
        // MPTCP, AccECN, unknown kinds, and SACK and timestamps of a length they cannot have.
        1 => (prop::sample::select(vec![5u8, 8, 30, 172, 253]), vec(any::<u8>(), 0..12))
            .prop_filter("is another option", |(kind, data)| match kind {
                5 => data.is_empty() || data.len() % 8 != 0,
                8 => data.len() != 8,
                _ => true,
            })
            .prop_map(|(kind, data)| Opt::Other(kind, data)),
    ]
}

/// Whole words of options, 40 bytes at most.
fn options(near: u32) -> impl Strategy<Value = Vec<Opt>> {
    let aligned =
        (number(), number()).prop_map(|(v, e)| vec![Opt::Nop, Opt::Nop, Opt::Timestamps(v, e)]);
    let any_list = (vec(option(near), 0..6), any::<bool>()).prop_map(|(list, end)| {
        let mut fit = Vec::new();
        for option in list {
            fit.push(option);
            if emit_options(&fit).len() > 40 {
                fit.pop();
            }
        }
        let rest = (4 - emit_options(&fit).len() % 4) % 4;
        if end && rest > 0 {
            fit.push(Opt::Tail(vec![0; rest]));
        } else {
            fit.extend(vec![Opt::Nop; rest]);
        }
        fit
    });
    prop_oneof![1 => Just(vec![]), 2 => aligned, 6 => any_list]
}

/// Lists of random bytes, well formed or not.
pub(crate) fn option_bytes() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![
        3 => prop::sample::select(vec![0u8, 1, 2, 3, 4, 5, 8, 10, 18]),
        1 => any::<u8>(),
    ];
    (0usize..=10).prop_flat_map(move |words| vec(byte.clone(), words * 4))
}

/// Option lists that are well formed, of whatever bytes.
pub(crate) fn odd_options() -> impl Strategy<Value = Vec<Opt>> {
    option_bytes().prop_filter_map("malformed", |bytes| parse_options(&bytes))
}

fn extension() -> impl Strategy<Value = (u8, Vec<u8>)> {
    let words = prop_oneof![8 => 0usize..3, 1 => 3usize..6];
    (any::<bool>(), words).prop_flat_map(|(routing, words)| {
        vec(any::<u8>(), 6 + words * 8).prop_map(move |mut data| {
            if routing {
                // No segments left.
                data[1] = 0;
            }
            (if routing { 43 } else { 60 }, data)
        })
    })
}

fn extensions() -> impl Strategy<Value = Vec<(u8, Vec<u8>)>> {
    let hop_by_hop = prop_oneof![Just(None), vec(any::<u8>(), 6).prop_map(Some)];
    (hop_by_hop, vec(extension(), 0..3)).prop_map(|(first, mut rest)| {
        if let Some(data) = first {
            rest.insert(0, (0, data));
        }
        rest
    })
}

pub(crate) fn family() -> impl Strategy<Value = Family> {
    prop_oneof![Just(Family::V4), Just(Family::V6)]
}

/// Packets of every sort that is to be translated.
pub(crate) fn packet() -> impl Strategy<Value = Packet> {
    let ip = (
        family(),
        any::<u8>(),
        any::<u32>(),
        any::<u8>(),
        vec(any::<u8>(), 32),
        prop_oneof![3 => Just(0usize), 1 => 1usize..=10],
        prop_oneof![2 => Just(vec![]), 1 => extensions()],
    );
    let flags = prop_oneof![4 => Just(ACK), 2 => Just(ACK | 8), 3 => any::<u8>()];
    let tcp = (
        any::<u16>(),
        any::<u16>(),
        number(),
        number(),
        0u8..16,
        flags,
        prop_oneof![2 => any::<u16>(), 1 => 0u16..300],
        any::<u16>(),
    );
    let payload = prop_oneof![1 => Just(vec![]), 2 => vec(any::<u8>(), 0..40)];
    (ip, tcp, payload).prop_flat_map(|(ip, tcp, payload)| {
        let list = prop_oneof![8 => options(tcp.3), 1 => odd_options()];
        list.prop_map(move |options| {
            let (family, tos, id, ttl, addresses, ip_words, extensions) = ip.clone();
            let (len, ip_options, extensions, id) = match family {
                Family::V4 => (4, vec![1; ip_words * 4], vec![], id & 0xffff),
                Family::V6 => (16, vec![], extensions, id & 0xf_ffff),
            };
            Packet {
                family,
                tos,
                id,
                ttl,
                saddr: addresses[..len].to_vec(),
                daddr: addresses[16..16 + len].to_vec(),
                ip_options,
                extensions,
                sport: tcp.0,
                dport: tcp.1,
                seq: tcp.2,
                ack: tcp.3,
                reserved: tcp.4,
                flags: tcp.5,
                window: tcp.6,
                urgent: tcp.7,
                options,
                payload: payload.clone(),
            }
        })
    })
}

pub(crate) fn key(family: Family) -> impl Strategy<Value = FlowKey> {
    (
        any::<[u8; 16]>(),
        any::<[u8; 16]>(),
        any::<u16>(),
        any::<u16>(),
    )
        .prop_map(move |(saddr, daddr, sport, dport)| match family {
            Family::V4 => FlowKey::v4(
                saddr[..4].try_into().unwrap(),
                sport,
                daddr[..4].try_into().unwrap(),
                dport,
            ),
            Family::V6 => FlowKey::v6(saddr, sport, daddr, dport),
        })
}

pub(crate) fn edit(family: Family) -> impl Strategy<Value = Edit> {
    let scale = prop_oneof![8 => 0u8..=14, 1 => any::<u8>()];
    let deltas = (number(), number(), number(), number());
    let mostly = prop::bool::weighted(0.85);
    (key(family), deltas, scale.clone(), scale, mostly, mostly).prop_map(
        |(out, deltas, wscale_in, wscale_out, timestamps, sack)| Edit {
            out,
            seq_delta: deltas.0,
            ack_delta: deltas.1,
            tsval_delta: deltas.2,
            tsecr_delta: deltas.3,
            wscale_in,
            wscale_out,
            timestamps,
            sack,
        },
    )
}

/// A packet, an edit for its family, and a floor near its acknowledgement after that edit.
pub(crate) fn work() -> impl Strategy<Value = (Packet, Edit, Option<Seq>)> {
    packet().prop_flat_map(|packet| {
        edit(packet.family).prop_flat_map(move |edit| {
            let ack = packet.ack.wrapping_add(edit.ack_delta);
            let near = (-6000i32..6000).prop_map(move |d| Some(Seq(ack.wrapping_add_signed(d))));
            let floor = prop_oneof![
                3 => Just(None),
                3 => near,
                1 => number().prop_map(|n| Some(Seq(n))),
            ];
            (Just(packet.clone()), Just(edit), floor)
        })
    })
}
