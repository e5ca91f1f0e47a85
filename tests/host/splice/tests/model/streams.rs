// SPDX-License-Identifier: GPL-2.0

//! Streams through a splice that is made at any moment: all bytes arrive, in order, once.

use proptest::collection::vec;
use proptest::prelude::*;
use splice::splice::Wishes;
use xlate::Family;

use crate::tcp::{keys, Config, Tcp};
use crate::world::{bytes, World};

/// Nothing but that what is idle is left alone.
pub(crate) const NEVER_IDLE: Wishes = Wishes {
    idle_timeout: Some(0),
    limit_to_server: None,
    limit_to_client: None,
    return_on_fin: false,
    cut_when_idle: false,
    replicated: false,
    split: false,
    arrives: false,
};

/// Something that happens.
#[derive(Clone, Debug)]
pub(crate) enum Op {
    Write(usize, usize),
    Read(usize, usize),
    Close(usize),
    KeepAlive(usize),
    Tick(u32),
    /// So many of a link arrive, in order.
    Deliver(usize, usize),
    /// One overtakes.
    Overtake(usize, usize),
    Drop(usize, usize),
    Repeat(usize, usize),
    /// The proxy reads and forgets, writes its own, copies.
    ProxyRead(usize, usize),
    ProxyWrite(usize, usize),
    ProxyCopy(usize, usize),
}

fn op() -> impl Strategy<Value = Op> {
    let side = 0usize..2;
    let link = 0usize..4;
    prop_oneof![
        6 => (side.clone(), 1usize..4000).prop_map(|(s, n)| Op::Write(s, n)),
        3 => (side.clone(), 1usize..6000).prop_map(|(s, n)| Op::Read(s, n)),
        1 => side.clone().prop_map(Op::Close),
        1 => side.clone().prop_map(Op::KeepAlive),
        3 => prop_oneof![0u32..50, 100u32..700].prop_map(Op::Tick),
        16 => (link.clone(), 1usize..5).prop_map(|(l, n)| Op::Deliver(l, n)),
        3 => (link.clone(), 1usize..6).prop_map(|(l, n)| Op::Overtake(l, n)),
        3 => (link.clone(), 0usize..4).prop_map(|(l, n)| Op::Drop(l, n)),
        2 => (link, 0usize..4).prop_map(|(l, n)| Op::Repeat(l, n)),
        1 => (side.clone(), 1usize..300).prop_map(|(s, n)| Op::ProxyRead(s, n)),
        1 => (side.clone(), 1usize..3000).prop_map(|(s, n)| Op::ProxyWrite(s, n)),
        2 => (side, 1usize..3000).prop_map(|(s, n)| Op::ProxyCopy(s, n)),
    ]
}

impl World {
    pub(crate) fn happen(&mut self, op: &Op) {
        let now = self.now;
        match *op {
            Op::Write(side, len) => {
                let from = self.ends[side].output.len();
                self.ends[side].write(&bytes(side, from, len), now);
            }
            Op::Read(side, len) => {
                self.ends[side].read(len, now);
            }
            Op::Close(side) => self.ends[side].close(now),
            Op::KeepAlive(side) => self.ends[side].keep_alive(now),
            Op::Tick(ms) => self.tick(ms),
            Op::Deliver(link, count) => {
                for _ in 0..count {
                    if let Some(frame) = self.links[link].pop_front() {
                        self.arrive(link, frame);
                    }
                }
            }
            Op::Overtake(link, n) => {
                if let Some(frame) = self.links[link].remove(n) {
                    self.arrive(link, frame);
                }
            }
            Op::Drop(link, n) => {
                self.links[link].remove(n);
            }
            Op::Repeat(link, n) => {
                if let Some(frame) = self.links[link].get(n).cloned() {
                    self.links[link].push_back(frame);
                }
            }
            Op::ProxyRead(side, len) if self.copying() => {
                self.leg(side).read(len, now);
            }
            Op::ProxyWrite(side, len) if self.copying() => {
                let from = self.leg(side).output.len();
                self.leg(side).write(&bytes(2 + side, from, len), now);
            }
            Op::ProxyCopy(side, len) if self.copying() => {
                let read = self.leg(side).read(len, now);
                self.leg(1 - side).write(&read, now);
            }
            Op::ProxyRead(..) | Op::ProxyWrite(..) | Op::ProxyCopy(..) => {}
        }
        self.flush();
        self.check_streams();
    }
}

/// A number, mostly near where numbers wrap or change sign.
fn number() -> impl Strategy<Value = u32> {
    let near = prop::sample::select(vec![0u32, 1 << 31]);
    prop_oneof![
        1 => any::<u32>(),
        4 => (near, -4000i32..1000).prop_map(|(n, d)| n.wrapping_add_signed(d)),
    ]
}

/// What is true of the ends and sockets of one connection.
#[derive(Clone, Debug)]
pub(crate) struct Side {
    first: [u32; 2],
    clock: [u32; 2],
    pub(crate) mss: [i64; 2],
    pub(crate) buffer: [i64; 2],
    pub(crate) wscale: [u8; 2],
    sack: bool,
    delays: bool,
    aligned: bool,
}

fn side() -> impl Strategy<Value = Side> {
    let scales = prop_oneof![
        1 => Just([0, 0]),
        3 => [0u8..=14, 0u8..=14],
        2 => [0u8..=4, 0u8..=4],
    ];
    (
        [number(), number()],
        [number(), number()],
        [500i64..1400, 500i64..1400],
        [2000i64..20000, 2000i64..20000],
        scales,
        any::<[bool; 3]>(),
    )
        .prop_map(
            |(first, clock, mss, buffer, wscale, [sack, delays, aligned])| Side {
                first,
                clock,
                mss,
                buffer,
                wscale,
                sack,
                delays,
                aligned,
            },
        )
}

/// What is true of all of it.
#[derive(Clone, Debug)]
pub(crate) struct Setting {
    family: Family,
    /// Whether there are timestamps, and whether they tick in microseconds.
    pub(crate) stamps: Option<bool>,
    pub(crate) sides: [Side; 2],
}

pub(crate) fn setting() -> impl Strategy<Value = Setting> {
    let family = prop_oneof![Just(Family::V4), Just(Family::V6)];
    let stamps = prop_oneof![1 => Just(None), 3 => any::<bool>().prop_map(Some)];
    (family, stamps, [side(), side()]).prop_map(|(family, stamps, sides)| Setting {
        family,
        stamps,
        sides,
    })
}

/// Two ordinary connections, for tests of one sequence of events.
pub(crate) fn plain() -> Setting {
    let side = Side {
        first: [0, 0],
        clock: [0, 0],
        mss: [500, 500],
        buffer: [2000, 2000],
        wscale: [0, 0],
        sack: false,
        delays: false,
        aligned: false,
    };
    Setting {
        family: Family::V4,
        stamps: None,
        sides: [side.clone(), side],
    }
}

impl Setting {
    /// A TCP of one side: the end, or the proxy's socket toward it.
    fn tcp(&self, n: usize, proxy: bool) -> Tcp {
        let (me, peer) = (usize::from(proxy), usize::from(!proxy));
        let (side, far) = (&self.sides[n], &self.sides[1 - n]);
        let key = keys(self.family)[n];
        // A buffer below the unit in which its window is told on the far side would look closed there
        // for ever.
        let unit = 4i64 << side.wscale[me].max(far.wscale[1]);
        let most = 65535i64 << side.wscale[me];
        Tcp::new(Config {
            key: if proxy { key.reverse() } else { key },
            first_out: side.first[me],
            first_in: side.first[peer],
            mss: side.mss[me],
            peer_mss: side.mss[peer],
            buffer: side.buffer[me].max(unit).min(most),
            wscale: side.wscale[me],
            peer_wscale: side.wscale[peer],
            sack: side.sack,
            clock: self.stamps.map(|_| side.clock[me]),
            peer_stamp: side.clock[peer],
            usec: self.stamps == Some(true),
            delays: side.delays,
            aligned: side.aligned,
        })
    }

    pub(crate) fn world(&self) -> World {
        let [end, leg] = [false, true].map(|proxy| [self.tcp(0, proxy), self.tcp(1, proxy)]);
        World::new(end, leg)
    }
}

pub(crate) fn ops(most: usize) -> impl Strategy<Value = Vec<Op>> {
    vec(op(), 0..most)
}

proptest! {
    #![proptest_config(crate::config(500))]

    #[test]
    fn all_bytes_arrive_in_order_once(
        setting in setting(),
        before in ops(60),
        meanwhile in [0usize..6, 0usize..6],
        after in ops(80),
    ) {
        let mut world = setting.world();
        for op in &before {
            world.happen(op);
        }
        world.arm(NEVER_IDLE, meanwhile);
        for op in &after {
            world.happen(op);
        }
        for side in 0..2 {
            world.ends[side].close(world.now);
        }
        world.settle();
    }
}
