// SPDX-License-Identifier: GPL-2.0

//! A client, a server, and between them a proxy with two sockets that splices them; networks that lose,
//! repeat and reorder. Whatever leaves the proxy is judged, packet by packet, by places in streams, which
//! do not wrap and know nothing of deltas.

use std::collections::VecDeque;

use kernel::sync::rcu;
use splice::{
    flow::{Direction, DRAINING},
    net::{
        leg::TcpState,
        netfilter::{Filter, Hook, HookState, Verdict},
    },
    pernet::Ns,
    splice::{Phase, Reason, Splice},
    stats::Stat,
};

use crate::tcp::Tcp;
use crate::wire::{place, read, Seen, ACK, FIN, RST};

/// Milliseconds after which timers are looked at.
const STEP: u32 = 100;

/// A packet on its way, and how many the end that made it had sent before.
#[derive(Clone)]
pub(crate) struct Frame {
    pub(crate) bytes: Vec<u8>,
    serial: u64,
}

/// What was carried of one direction, as the model has it; by the side that sends.
#[derive(Debug, Default)]
struct Flow {
    /// Where the stream of the sender, and what its socket sends it, stood at arming.
    rcv_nxt: i64,
    write_seq: i64,
    /// Where the far end's clock began in the stamps of its socket.
    lead: u32,
    /// The highest place that was carried, counting the FIN, and the highest acknowledgement.
    top: i64,
    ack: i64,
    fin: bool,
    fin_carried: bool,
    fin_acked: bool,
    packets: u64,
    /// Of the last one in the order of sending: its serial, acknowledgement and stamp as they left.
    last: Option<(u64, i64, Option<u32>)>,
}

/// All of it. Index 0 is the client's side, 1 the server's.
pub(crate) struct World {
    pub(crate) now: u32,
    pub(crate) ends: [Tcp; 2],
    pub(crate) legs: [Tcp; 2],
    /// From the ends to the proxy: 0, 1. From the proxy to the ends: 2, 3.
    pub(crate) links: [VecDeque<Frame>; 4],
    sent: [u64; 2],
    ns: &'static Ns,
    pub(crate) splice: Option<&'static Splice>,
    /// Sides and serials of what is held.
    held: VecDeque<(usize, u64)>,
    live: bool,
    flows: [Flow; 2],
}

/// Bytes that `who` writes, from the `from`th on.
pub(crate) fn bytes(who: usize, from: usize, len: usize) -> Vec<u8> {
    let byte = |n: usize| ((n * 31 + who * 7 + n / 251) % 251) as u8;
    (from..from + len).map(byte).collect()
}

const fn direction(side: usize) -> Direction {
    match side {
        0 => Direction::ToServer,
        _ => Direction::ToClient,
    }
}

impl World {
    pub(crate) fn new(ends: [Tcp; 2], legs: [Tcp; 2]) -> World {
        World {
            now: 0,
            ends,
            legs,
            links: Default::default(),
            sent: [0; 2],
            ns: Box::leak(Box::new(Ns::new())),
            splice: None,
            held: VecDeque::new(),
            live: false,
            flows: Default::default(),
        }
    }

    /// Whether the sockets belong to the proxy still.
    pub(crate) fn copying(&self) -> bool {
        self.splice.is_none()
    }

    pub(crate) fn live(&self) -> bool {
        self.live
    }

    /// Lets time pass. An acknowledgement is delayed by less than a step.
    pub(crate) fn tick(&mut self, ms: u32) {
        for _ in 0..ms / STEP {
            self.step(STEP);
        }
        self.step(ms % STEP);
    }

    fn step(&mut self, ms: u32) {
        self.now += ms;
        for side in 0..2 {
            self.ends[side].tick(self.now);
            // The sockets are locked while the splice is armed.
            if self.copying() || self.live {
                self.legs[side].tick(self.now);
            }
        }
        self.flush();
    }

    /// Puts on the links what ends and sockets want to send.
    pub(crate) fn flush(&mut self) {
        for side in 0..2 {
            for bytes in std::mem::take(&mut self.ends[side].packets) {
                self.sent[side] += 1;
                let serial = self.sent[side];
                self.links[side].push_back(Frame { bytes, serial });
            }
            for bytes in std::mem::take(&mut self.legs[side].packets) {
                if let Some(bytes) = self.local_out(bytes) {
                    self.links[2 + side].push_back(Frame { bytes, serial: 0 });
                }
            }
        }
    }

    fn state(&self, hook: Hook) -> HookState {
        let family = self.ends[0].config.key.family;
        HookState { hook, family }
    }

    fn local_out(&self, bytes: Vec<u8>) -> Option<Vec<u8>> {
        let state = self.state(Hook::LocalOut);
        match self.ns.filter(bytes.into(), state, &rcu::read_lock()) {
            Verdict::Accept(packet) => Some(packet.into()),
            Verdict::Stolen => None,
        }
    }

    /// A packet arrives where its link leads.
    pub(crate) fn arrive(&mut self, link: usize, frame: Frame) {
        if link >= 2 {
            self.ends[link - 2].receive(&frame.bytes, self.now);
        } else if self.splice.is_none() {
            self.legs[link].receive(&frame.bytes, self.now);
        } else {
            self.carry(link, frame, false);
        }
        self.flush();
    }

    /// Begins to splice: what arrives is held.
    pub(crate) fn arm(&mut self) {
        let keys = self.legs.each_ref().map(|leg| leg.config.key.reverse());
        self.splice = Some(Splice::new(self.ns, keys[0], keys[1]));
    }

    /// Splices, as `arm.rs` does once nothing moves.
    pub(crate) fn go_live(&mut self) {
        let splice = self.splice.expect("it was armed");
        let before = self.legs.each_ref().map(|leg| leg.numbers(self.now).state);
        for side in 0..2 {
            let unread = self.legs[side].read(usize::MAX, self.now);
            self.legs[1 - side].write(&unread, self.now);
        }
        for side in 0..2 {
            if before[side] == TcpState::CloseWait {
                self.legs[1 - side].close(self.now);
            }
        }
        self.flush();
        let [client, server] = self.legs.each_ref().map(|leg| leg.numbers(self.now));
        splice.start(&Splice::rows(&client, &server, before));
        for side in 0..2 {
            let leg = &mut self.legs[side];
            leg.dormant = true;
            self.flows[side] = Flow {
                rcv_nxt: leg.rcv_nxt(),
                write_seq: leg.write_seq(),
                lead: leg.tsval(self.now.wrapping_add(500)),
                top: leg.rcv_nxt(),
                ack: leg.una,
                fin: leg.peer_closed,
                ..Flow::default()
            };
        }
        while let Some(bytes) = splice.next_held() {
            let (side, serial) = self.held.pop_front().expect("it was held");
            self.carry(side, Frame { bytes, serial }, true);
        }
        self.live = true;
        for leg in &mut self.legs {
            leg.push(self.now);
        }
        self.flush();
    }

    /// A packet from the end of `side` is at the hook.
    fn carry(&mut self, side: usize, frame: Frame, was_held: bool) {
        let splice = self.splice.expect("it was armed");
        let armed = was_held || splice.phase() != Phase::Arming;
        let held = self.ns.counted(Stat::Held);
        let draining = splice.flow(direction(side)).has(DRAINING);
        let far_draining = splice.flow(direction(1 - side)).has(DRAINING);
        let phase = splice.phase();
        if was_held {
            splice.carry_held(frame.bytes.clone().into());
        } else {
            let packet = frame.bytes.clone().into();
            let state = self.state(Hook::PreRouting);
            match self.ns.filter(packet, state, &rcu::read_lock()) {
                Verdict::Stolen => {}
                Verdict::Accept(_) => panic!("a packet of a flow went to the local stack"),
            }
        }
        let left = self.ns.net.0.take();
        if !armed {
            assert!(left.is_empty() && self.ns.counted(Stat::Held) == held + 1);
            self.held.push_back((side, frame.serial));
            return;
        }
        for (to, bytes) in splice.take_delivered() {
            assert!(draining && to == direction(side));
            self.legs[side].receive(&bytes, self.now);
        }
        let seg = read(&frame.bytes);
        let mut carried = false;
        for bytes in left {
            let out = read(&bytes);
            let to = 1 - side;
            if out.sport == self.legs[side].config.key.source_port() {
                // An answer to who sent it.
                assert!(out.has(RST) && phase == Phase::Cut);
                self.links[2 + side].push_back(Frame { bytes, serial: 0 });
                continue;
            }
            assert!(!carried, "carried twice");
            carried = true;
            self.judge(side, &seg, &out, frame.serial, draining);
            self.links[2 + to].push_back(Frame { bytes, serial: 0 });
        }
        if carried {
            self.note(side, &seg);
        }
        // What the proxy has read already waits until its own bytes, in the same place, have arrived.
        let old = place(
            seg.seq,
            self.legs[side].config.first_in,
            self.flows[side].rcv_nxt,
        );
        let old = old < self.flows[side].rcv_nxt && !seg.payload.is_empty();
        if !seg.has(RST) && phase != Phase::Cut && !(old && far_draining) {
            assert!(carried, "lost in the proxy");
        }
        self.follow(side);
    }

    /// Judges what `out`, which `seg` of the end of `side` became, tells the other end.
    fn judge(&mut self, side: usize, seg: &Seen, out: &Seen, serial: u64, draining: bool) {
        let (from, to) = (&self.flows[side], &self.flows[1 - side]);
        let (end, far) = (&self.ends[side], &self.ends[1 - side]);
        let (leg, far_leg) = (&self.legs[side].config, &self.legs[1 - side].config);
        let key = &far_leg.key;
        assert_eq!(
            (&out.saddr[..], &out.daddr[..]),
            (key.source(), key.destination())
        );
        assert_eq!(
            (out.sport, out.dport),
            (key.source_port(), key.destination_port())
        );
        assert_eq!((out.flags, &out.payload), (seg.flags, &seg.payload));
        assert_eq!(out.ttl, seg.ttl - 1);

        // What the end sends goes where what its socket had got ends.
        let at = place(seg.seq, leg.first_in, from.rcv_nxt);
        let there = place(out.seq, far_leg.first_out, to.write_seq);
        assert_eq!(
            there - to.write_seq,
            at - from.rcv_nxt,
            "place in the stream"
        );

        // What was overtaken is late news, as everywhere.
        let in_order = from.last.is_none_or(|(last, ..)| last < serial);
        let last = from.last.filter(|_| in_order);
        let mut told = to.rcv_nxt;
        if seg.has(ACK) {
            // What the end says that it has got, in the stream of the other end.
            let ack = place(seg.ack, leg.first_out, from.write_seq) - from.write_seq + to.rcv_nxt;
            told = place(out.ack, far_leg.first_in, to.rcv_nxt);
            let floor = if draining { to.rcv_nxt } else { ack };
            assert_eq!(told, ack.max(floor), "acknowledgement");
            assert!(told <= far.sent, "{told} acknowledged, {} sent", far.sent);
            let back = last.is_some_and(|(_, ack, _)| told < ack);
            assert!(!back, "acknowledgement went back");

            // The room that the end has, and no more.
            let edge = ack + (i64::from(seg.window) << end.config.wscale);
            let unit = 1i64 << far.config.peer_wscale;
            let room = i64::from(out.window) << far.config.peer_wscale;
            assert!(told + room <= edge.max(told), "right edge went up");
            if out.window != 65535 && !(draining && ack < told && edge < told + unit) {
                assert!(told + room > edge - 2 * unit, "room was lost");
            }

            let mut expected = vec![];
            for (l, r) in &seg.sack {
                let l = place(*l, leg.first_out, from.write_seq);
                let r = place(*r, leg.first_out, from.write_seq);
                let shift = to.rcv_nxt - from.write_seq;
                let (l, r) = (l + shift, r + shift);
                if far.config.sack && (!draining || r > to.rcv_nxt) {
                    expected.push((if draining { l.max(to.rcv_nxt) } else { l }, r));
                }
            }
            let got: Vec<(i64, i64)> = out
                .sack
                .iter()
                .map(|(l, r)| {
                    let first = far_leg.first_in;
                    (place(*l, first, to.rcv_nxt), place(*r, first, to.rcv_nxt))
                })
                .collect();
            assert_eq!(got, expected, "SACK blocks");
            for (l, r) in got {
                let shift = from.write_seq - to.rcv_nxt;
                let held = (l..r).all(|at| end.has(at + shift));
                assert!(held, "a SACK block that is not held");
            }
        }
        if let Some((val, ecr)) = out.stamps {
            let (_, _, last) = last.unwrap_or_default();
            let back = last.is_some_and(|last| (val.wrapping_sub(last) as i32) < 0);
            assert!(!back, "TSval went back");
            // Once drained, a socket is forgotten; what it had repeated may still be echoed, and be taken
            // for the far end's if it was stamped later than that began.
            let (_, arrived) = seg.stamps.expect("timestamps");
            let late = (arrived.wrapping_sub(from.lead) as i32) >= 0;
            let own = late && !draining && self.legs[side].stamps.contains(&arrived);
            let real = far.stamps.contains(&ecr) || !out.has(ACK) || !in_order || own;
            assert!(real, "echo of {ecr}, never sent");
        } else {
            assert_eq!(seg.stamps, None, "timestamps");
        }
        if in_order {
            let val = out.stamps.map(|(val, _)| val);
            self.flows[side].last = Some((serial, told, val));
        }
    }

    /// Notes what was carried, as the model has it.
    fn note(&mut self, side: usize, seg: &Seen) {
        let leg = &self.legs[side].config;
        let flow = &mut self.flows[side];
        flow.packets += 1;
        let end = place(seg.seq, leg.first_in, flow.rcv_nxt) + seg.len();
        flow.top = flow.top.max(end);
        if seg.has(FIN) {
            flow.fin_carried |= !flow.fin;
            flow.fin = true;
        }
        if seg.has(ACK) {
            flow.ack = flow.ack.max(place(seg.ack, leg.first_out, flow.write_seq));
        }
        let (ack, write_seq) = (flow.ack, flow.write_seq);
        let reverse = &mut self.flows[1 - side];
        // All that the other side had, a FIN at its end.
        reverse.fin_acked |= reverse.fin && ack - write_seq >= reverse.top - reverse.rcv_nxt;
    }

    /// Whether the lifecycle is where the model is.
    fn follow(&self, side: usize) {
        let splice = self.splice.expect("it was armed");
        for side in [side, 1 - side] {
            let (flow, is) = (&self.flows[side], splice.flow(direction(side)));
            let bytes = flow.top - flow.rcv_nxt - i64::from(flow.fin_carried);
            assert_eq!(is.carried().bytes, bytes as u64, "bytes carried");
            assert_eq!(is.carried().packets, flow.packets, "packets carried");
            let drains = flow.ack < flow.write_seq;
            assert_eq!(is.has(DRAINING), drains, "draining");
            let una = self.legs[side].una;
            assert!(drains || una == flow.write_seq, "the socket was not told");
        }
        if matches!(splice.reason(), Reason::None | Reason::Fin) {
            let closed = self.flows.iter().all(|flow| flow.fin_acked);
            assert_eq!(
                splice.reason() == Reason::Fin,
                closed,
                "both FINs acknowledged"
            );
        }
    }

    /// What the end of `side` has got is what was sent to it, up to where it is.
    pub(crate) fn check_streams(&self) {
        for side in 0..2 {
            let mut sent = self.legs[side].output.clone();
            if self.live {
                let from = self.legs[1 - side].input.len();
                sent.extend(&self.ends[1 - side].output[from..]);
            }
            let got = &self.ends[side].input;
            let same = got.iter().zip(&sent).take_while(|(a, b)| a == b).count();
            assert_eq!(
                same,
                got.len(),
                "the stream to {side}, of {}: {:?} {:?}",
                sent.len(),
                self.legs[side].output.len(),
                self.legs[1 - side].input.len()
            );
        }
    }

    /// Lets everything come to its end, over networks that lose nothing.
    pub(crate) fn settle(&mut self) {
        for _ in 0..400 {
            let done = self.ends.iter().enumerate().all(|(side, end)| {
                end.una == end.write_seq() && end.peer_closed && self.ends[1 - side].closed
            });
            let ended = self.splice.is_some_and(|s| s.reason() != Reason::None);
            if done && ended && self.links.iter().all(|link| link.is_empty()) {
                break;
            }
            self.tick(301);
            for _ in 0..10_000 {
                let Some(link) = (0..4).find(|link| !self.links[*link].is_empty()) else {
                    break;
                };
                if let Some(frame) = self.links[link].pop_front() {
                    self.arrive(link, frame);
                }
                for side in 0..2 {
                    self.ends[side].read(usize::MAX, self.now);
                }
                self.flush();
            }
        }
        self.check_streams();
        for side in 0..2 {
            let (end, far) = (&self.ends[side], &self.ends[1 - side]);
            let carried = far.output.len() - self.legs[1 - side].input.len();
            let expected = self.legs[side].output.len() + carried;
            assert_eq!(end.input.len(), expected, "all bytes arrive");
            assert!(end.peer_closed && end.una == end.write_seq(), "FINs arrive");
            let flow = self.splice.expect("spliced").flow(direction(1 - side));
            assert_eq!(flow.carried().bytes, carried as u64, "bytes carried in all");
        }
        let splice = self.splice.expect("spliced");
        assert_eq!(
            splice.reason(),
            Reason::Fin,
            "{:?} {:?} {:?}",
            self.flows,
            splice.flow(direction(0)).marks(),
            splice.flow(direction(1)).marks()
        );
    }
}
