// SPDX-License-Identifier: GPL-2.0

//! Everything there is in a narrow sequence space.
//!
//! Numbers of `bits` bits, moved to the top of a word, add, wrap and compare just as words do. So
//! all of them can be tried, and the expectation is stated on a circle that one can draw.

use xlate::{parse, ChecksumField, Edit, Seq};

use crate::model::{Opt, Packet};

/// The number `n` of a space of `bits` bits.
fn seq(n: u32, bits: u32) -> Seq {
    Seq(n << (32 - bits))
}

/// Every pair of numbers of 8 bits, against walking round the circle.
#[test]
fn order_of_all_pairs() {
    for a in 0..256u32 {
        for b in 0..256u32 {
            let (x, y) = (seq(a, 8), seq(b, 8));
            let steps = (0..256).find(|n| (a + n) % 256 == b).unwrap();
            let before = (128..256).contains(&((256 - steps) % 256));
            assert_eq!(x.before(y), before, "{a} {b}");
            assert_eq!(y.after(x), before, "{a} {b}");
            assert_eq!(x.at_or_after(y), !before, "{a} {b}");
            assert_eq!(x.max(y), if before { y } else { x }, "{a} {b}");
            assert_eq!(y.distance(x), steps << 24, "{a} {b}");
            assert_eq!(x.add(steps << 24), y);
            assert_eq!(y.sub(steps << 24), x);
            // Of two different numbers one is first, unless they are half the circle apart.
            let both = before && y.before(x);
            assert_eq!(both, steps == 128);
            assert!(a == b || before || y.before(x));
        }
    }
}

/// Every interval of a space of 6 bits, against listing its members.
#[test]
fn within_of_all_intervals() {
    for from in 0..64u32 {
        for len in 0..64u32 {
            let members: Vec<u32> = (0..=len).map(|n| (from + n) % 64).collect();
            for n in 0..64 {
                let within = seq(n, 6).within(seq(from, 6), len << 26);
                assert_eq!(within, members.contains(&n), "{n} {from} {len}");
            }
        }
    }
}

fn edit() -> Edit {
    Edit {
        out: xlate::FlowKey::v4([10, 0, 0, 1], 1, [10, 0, 0, 2], 2),
        seq_delta: 0,
        ack_delta: 0,
        tsval_delta: 0,
        tsecr_delta: 0,
        wscale_in: 14,
        wscale_out: 14,
        timestamps: true,
        sack: true,
    }
}

fn packet(ack: Seq, window: u16, blocks: &[(Seq, Seq)]) -> Packet {
    let mut options = vec![];
    if !blocks.is_empty() {
        options = vec![Opt::Nop, Opt::Nop];
        options.push(Opt::Sack(blocks.iter().map(|(l, r)| (l.0, r.0)).collect()));
    }
    Packet {
        family: xlate::Family::V4,
        tos: 0,
        id: 0,
        ttl: 64,
        saddr: vec![10, 0, 0, 3],
        daddr: vec![10, 0, 0, 4],
        ip_options: vec![],
        extensions: vec![],
        sport: 3,
        dport: 4,
        seq: 0,
        ack: ack.0,
        reserved: 0,
        flags: crate::model::ACK,
        window,
        urgent: 0,
        options,
        payload: vec![],
    }
}

/// Every floor and every block of a space of 6 bits: numbers below the floor are never reported,
/// numbers above it that were are.
#[test]
fn floor_of_all_blocks() {
    for floor in 0..64u32 {
        for left in 0..64u32 {
            for right in 0..64u32 {
                let block = (seq(left, 6), seq(right, 6));
                let bytes = packet(seq(floor, 6), 0, &[block]).emit(ChecksumField::Whole);
                let seg = parse(&bytes, xlate::Family::V4, bytes.len()).unwrap();
                let mut out = bytes.clone();
                edit()
                    .apply(&mut out, &seg, ChecksumField::Whole, Some(seq(floor, 6)))
                    .unwrap();

                // Places on the circle as steps ahead of the floor, from -32 to 31.
                let ahead = |n: u32| ((n + 64 - floor + 32) % 64) as i32 - 32;
                let (l, r) = (ahead(left), ahead(right));
                // Exactly half way round counts as after for an end and as before for a start.
                let dropped = r <= 0 && r != -32;
                if dropped {
                    assert_eq!(out[42..52], [1; 10], "{floor} {left} {right}");
                    continue;
                }
                let start = if l < 0 { floor } else { left };
                assert_eq!(out[42..44], [5, 10]);
                assert_eq!(out[44..48], seq(start, 6).0.to_be_bytes());
                assert_eq!(out[48..52], block.1 .0.to_be_bytes());
            }
        }
    }
}

/// Every acknowledgement, floor and a range of windows, in a space of 8 bits in which the unit of
/// the window is one number: the right edge never goes up, and no room that can be kept is lost.
#[test]
fn right_edge_never_moves_up() {
    for ack in 0..256u32 {
        for floor in 0..256u32 {
            for window in [0u16, 1, 2, 5, 63, 64, 127] {
                // A window of 1 << 10 units of 1 << 14 bytes is one number of this space.
                let bytes = packet(seq(ack, 8), window << 9, &[]).emit(ChecksumField::Whole);
                let seg = parse(&bytes, xlate::Family::V4, bytes.len()).unwrap();
                let mut out = bytes.clone();
                edit()
                    .apply(&mut out, &seg, ChecksumField::Whole, Some(seq(floor, 8)))
                    .unwrap();
                let seg = parse(&out, xlate::Family::V4, out.len()).unwrap();
                let raised = (floor + 256 - ack) % 256;
                if raised == 0 || raised > 128 {
                    assert_eq!(seg.ack, seq(ack, 8));
                    assert_eq!(seg.window, window << 9);
                    continue;
                }
                assert_eq!(seg.ack, seq(floor, 8));
                // In halves of a number, as that is what a window of 1 << 9 is.
                let left = (i64::from(window) - 2 * i64::from(raised)).max(0);
                assert_eq!(i64::from(seg.window), left << 9, "{ack} {floor} {window}");
            }
        }
    }
}

/// Every scale on either side, and windows at the ends of their range.
#[test]
fn scales() {
    for scale_in in 0..=14u8 {
        for scale_out in 0..=14u8 {
            for window in (0..=65535u16).step_by(97).chain([1, 2, 65534, 65535]) {
                let bytes = packet(Seq(0), window, &[]).emit(ChecksumField::Whole);
                let seg = parse(&bytes, xlate::Family::V4, bytes.len()).unwrap();
                let mut out = bytes.clone();
                let edit = Edit {
                    wscale_in: scale_in,
                    wscale_out: scale_out,
                    ..edit()
                };
                edit.apply(&mut out, &seg, ChecksumField::Whole, None)
                    .unwrap();
                let got = parse(&out, xlate::Family::V4, out.len()).unwrap().window;
                let room = u64::from(window) << scale_in;
                let said = u64::from(got) << scale_out;
                // No more than there is, and less only by what cannot be said; but room for a
                // segment is not said to be none.
                if (536..1 << scale_out).contains(&room) {
                    assert_eq!(got, 1, "{window} {scale_in} {scale_out}");
                    continue;
                }
                assert!(said <= room, "{window} {scale_in} {scale_out}");
                assert!(room - said < 1 << scale_out || got == 65535);
            }
        }
    }
}
