// SPDX-License-Identifier: GPL-2.0

//! Everything there is in a narrow sequence space.
//!
//! The arithmetic is the same in a word of 8 bits as in one of 32, so that all there is can be tried in
//! it, and the expectation is stated on a circle that one can draw. What takes whole packets has no
//! such word; there, numbers of `bits` bits are moved to the top of a word of 32, where they add, wrap
//! and compare just as words do.

use xlate::edit::{clip, raise, rescale};
use xlate::{parse, ChecksumField, Edit, Seq};

use crate::model::{Opt, Packet};

/// The number `n` of a space of `bits` bits.
fn seq(n: u32, bits: u32) -> Seq {
    Seq(n << (32 - bits))
}

/// How many steps `b` is ahead of `a` on a circle of 256, by walking.
fn steps(a: u8, b: u8) -> i32 {
    (0..256)
        .find(|n| (i32::from(a) + n) % 256 == i32::from(b))
        .unwrap()
}

/// The same as a table, and as places before and behind: between -128 and 127.
fn circle() -> (Vec<i32>, Vec<i32>) {
    let all = || (0..=255u8).flat_map(|a| (0..=255u8).map(move |b| (a, b)));
    let walks: Vec<i32> = all().map(|(a, b)| steps(a, b)).collect();
    let ahead = walks.iter().map(|n| (n + 128) % 256 - 128).collect();
    (walks, ahead)
}

fn at(a: u8, b: u8) -> usize {
    usize::from(a) * 256 + usize::from(b)
}

/// Every pair of numbers of 8 bits, against walking round the circle.
#[test]
fn order_of_all_pairs() {
    let (walks, ahead) = circle();
    for a in 0..=255u8 {
        for b in 0..=255u8 {
            let (x, y) = (Seq(a), Seq(b));
            let (walk, ahead) = (walks[at(a, b)], ahead[at(a, b)]);
            // Half way round, each is before the other.
            let before = ahead > 0 || ahead == -128;
            assert_eq!(x.before(y), before, "{a} {b}");
            assert_eq!(y.after(x), before, "{a} {b}");
            assert_eq!(x.at_or_after(y), !before, "{a} {b}");
            assert_eq!(x.max(y), if before { y } else { x }, "{a} {b}");
            assert_eq!(i32::from(y.distance(x)), walk, "{a} {b}");
            assert_eq!(x.add(walk as u8), y, "{a} {b}");
            assert_eq!(y.sub(walk as u8), x, "{a} {b}");
            // Of two different numbers one is first, unless they are half the circle apart.
            assert_eq!(before && y.before(x), walk == 128);
            assert!(a == b || before || y.before(x));
        }
    }
}

/// Every number and every interval of 8 bits, against listing its members.
#[test]
fn within_of_all_intervals() {
    for from in 0..=255u8 {
        let mut member = [false; 256];
        for len in 0..=255u8 {
            member[(usize::from(from) + usize::from(len)) % 256] = true;
            for n in 0..=255u8 {
                let within = Seq(n).within(Seq(from), len);
                assert_eq!(within, member[usize::from(n)], "{n} {from} {len}");
            }
        }
    }
}

/// Every count of 16 bits and every number of 8: it goes on to the next count that ends in the number,
/// if that is at most half the circle away, and turns over at its own end.
#[test]
fn extension_of_all_counts() {
    for count in 0..=0xffffu32 {
        // The counts that come next, by what they end in.
        let mut next = [None; 256];
        for n in (1..=128).rev() {
            next[((count + n) % 256) as usize] = Some(((count + n) % 0x10000) as u16);
        }
        for n in 0..=255u8 {
            let extended = Seq(n).extend(count as u16);
            assert_eq!(extended, next[usize::from(n)], "{count} {n}");
        }
    }
}

/// Every block and every floor of 8 bits, against listing what the block says.
#[test]
fn clip_of_all_blocks() {
    let (_, ahead) = circle();
    for floor in 0..=255u8 {
        for left in 0..=255u8 {
            for right in 0..=255u8 {
                let (l, r) = (ahead[at(floor, left)], ahead[at(floor, right)]);
                let clipped = clip(Seq(left), Seq(right), Seq(floor));
                // Exactly half way round counts as after for an end and as before for a start.
                if r <= 0 && r != -128 {
                    assert_eq!(clipped, None, "{floor} {left} {right}");
                    continue;
                }
                let start = if l < 0 { floor } else { left };
                assert_eq!(clipped, Some((Seq(start), Seq(right))));
                // Of a block that is one, it is the part that is not below the floor.
                if l < r && r > 0 {
                    let told = |from: i32, to: i32| (-128..128).map(move |n| n >= from && n < to);
                    let kept = told(ahead[at(floor, start)], r);
                    let above = told(l, r).zip(-128..128).map(|(is, n)| is && n >= 0);
                    assert!(kept.eq(above), "{floor} {left} {right}");
                }
            }
        }
    }
}

/// Every acknowledgement and floor of 8 bits, every scale, and every window up to the circle, and
/// beyond: the acknowledgement is the later of both, the right edge never goes up, and goes
/// down only by what the scale cannot say.
#[test]
fn raise_of_all_acknowledgements() {
    let (_, ahead) = circle();
    for ack in 0..=255u8 {
        for floor in 0..=255u8 {
            let raised = match ahead[at(ack, floor)] {
                -128 => 128,
                n => n.max(0),
            };
            for wscale in 0..=15u8 {
                let unit = 1i64 << wscale.min(14);
                let most = (256 >> wscale.min(8)) as u16;
                for window in (0..=most + 1).chain([65534, 65535]) {
                    let (to, left) = raise(Seq(ack), window, wscale, Seq(floor));
                    let room = i64::from(window) * unit - i64::from(raised);
                    let said = i64::from(left) * unit;
                    if raised == 0 {
                        assert_eq!((to, left), (Seq(ack), window));
                    } else {
                        assert_eq!(to, Seq(floor));
                        assert!(said <= room.max(0), "{ack} {floor} {window} {wscale}");
                        assert!(said > room - unit, "{ack} {floor} {window} {wscale}");
                    }
                }
            }
        }
    }
}

/// Every window and every scale on either side.
#[test]
fn rescale_of_all_windows() {
    for scale_in in 0..=15u8 {
        for scale_out in 0..=15u8 {
            let (unit_in, unit_out) = (1u64 << scale_in.min(14), 1u64 << scale_out.min(14));
            for window in 0..=65535u16 {
                let got = rescale(window, scale_in, scale_out);
                let room = u64::from(window) * unit_in;
                let said = u64::from(got) * unit_out;
                // No more than there is, and less only by what cannot be said; but a segment's worth of
                // room is some.
                let some = got == 1 && (536..unit_out).contains(&room);
                assert!(said <= room || some, "{window} {scale_in} {scale_out}");
                assert!(room - said.min(room) < unit_out || got == 65535);
                assert!(got > 0 || room < 536.min(unit_out));
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
