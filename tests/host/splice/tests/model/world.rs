// SPDX-License-Identifier: GPL-2.0

//! A client, a server, and between them a proxy with two sockets that splices them; networks that lose,
//! repeat and reorder. Whatever leaves the proxy is judged, packet by packet, by places in streams, which
//! do not wrap and know nothing of deltas.

use std::cell::{RefCell, RefMut};
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

use kernel::prelude::ThisModule;
use kernel::sync::{rcu::read_lock, Arc};
use splice::{
    flow::{Direction, DRAINING, KEPT},
    net::{
        netfilter::{Filter, Hook, HookState, Verdict},
        rcu,
        skbuff::{Packet, WAITED},
        socket::TcpSocket,
        time, workqueue,
    },
    pernet::Ns,
    splice::{arm, Phase, Reason, Splice, Wishes},
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
    /// Where the stream of the sender is carried from, what the sender had been told, and where what its
    /// socket sends it stood.
    origin: i64,
    told: i64,
    write_seq: i64,
    /// Where the far end's clock began in the stamps of its socket.
    lead: u32,
    /// The highest place that was carried, counting the FIN, and the highest acknowledgement.
    top: i64,
    ack: i64,
    fin: bool,
    fin_carried: bool,
    fin_acked: bool,
    /// More has come than is carried.
    kept: bool,
    packets: u64,
    /// Of the last one in the order of sending: its serial, acknowledgement and stamp as they left.
    last: Option<(u64, i64, Option<u32>)>,
}

/// In which form a packet leaves.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    /// As it came.
    Whole,
    /// Without its bytes, which wait.
    Bare,
    /// After it has waited.
    Waited,
}

impl Flow {
    fn drains(&self) -> bool {
        self.ack < self.write_seq
    }
}

/// All of it. Index 0 is the client's side, 1 the server's.
pub(crate) struct World {
    pub(crate) now: u32,
    pub(crate) ends: [Tcp; 2],
    sockets: [Rc<RefCell<Tcp>>; 2],
    /// From the ends to the proxy: 0, 1. From the proxy to the ends: 2, 3.
    pub(crate) links: [VecDeque<Frame>; 4],
    sent: [u64; 2],
    ns: Arc<Ns>,
    splice: Option<Arc<Splice>>,
    /// What was given to the packet path, by its mark.
    marked: BTreeMap<u64, (usize, Frame)>,
    marks: u64,
    flows: [Flow; 2],
    wishes: Wishes,
    pub(crate) returned: bool,
    /// A RST has passed.
    rst: bool,
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
    pub(crate) fn new(ends: [Tcp; 2], sockets: [Tcp; 2]) -> World {
        time::set(0);
        World {
            now: 0,
            ends,
            sockets: sockets.map(|tcp| Rc::new(RefCell::new(tcp))),
            links: Default::default(),
            sent: [0; 2],
            ns: Arc::new(Ns::new(), ()).expect("memory"),
            splice: None,
            marked: BTreeMap::new(),
            marks: 0,
            flows: Default::default(),
            wishes: Wishes::default(),
            returned: false,
            rst: false,
        }
    }

    /// The proxy's socket toward the end of a side.
    pub(crate) fn leg(&self, side: usize) -> RefMut<'_, Tcp> {
        self.sockets[side].borrow_mut()
    }

    pub(crate) fn splice(&self) -> &Splice {
        self.splice.as_ref().expect("it is spliced")
    }

    /// The host that made the splice.
    pub(crate) fn host(&self) -> (Arc<Ns>, Arc<Splice>) {
        (self.ns.clone(), self.splice.clone().expect("it is spliced"))
    }

    /// Lets time pass for the ends alone.
    pub(crate) fn pass(&mut self, ms: u32) {
        self.now += ms;
        time::set(self.now as usize);
        for side in 0..2 {
            self.ends[side].tick(self.now);
        }
    }

    /// Whether the sockets are the proxy's to use.
    pub(crate) fn copying(&self) -> bool {
        self.splice.is_none() || self.returned
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
        time::set(self.now as usize);
        for side in 0..2 {
            self.ends[side].tick(self.now);
            self.leg(side).tick(self.now);
        }
        self.flush();
    }

    /// Puts on the links what ends and sockets want to send, and lets alarms ring.
    pub(crate) fn flush(&mut self) {
        if let Some(splice) = self.splice.clone() {
            workqueue::look(&*splice);
            if splice.phase() == Phase::Returned && !self.returned {
                self.take_back();
            }
        }
        for side in 0..2 {
            for bytes in std::mem::take(&mut self.ends[side].packets) {
                self.sent[side] += 1;
                let serial = self.sent[side];
                self.links[side].push_back(Frame { bytes, serial });
            }
            let packets = std::mem::take(&mut self.leg(side).packets);
            for bytes in packets {
                let state = self.state(Hook::LocalOut);
                match self.ns.filter(bytes.into(), state, &read_lock()) {
                    Verdict::Accept(packet) => {
                        let bytes = packet.into();
                        self.links[2 + side].push_back(Frame { bytes, serial: 0 });
                    }
                    Verdict::Stolen => assert!(self.splice.is_some()),
                }
            }
        }
    }

    fn state(&self, hook: Hook) -> HookState {
        let family = self.ends[0].config.key.family;
        HookState { hook, family }
    }

    /// A packet arrives where its link leads.
    pub(crate) fn arrive(&mut self, link: usize, frame: Frame) {
        if link >= 2 {
            self.ends[link - 2].receive(&frame.bytes, self.now);
        } else {
            let before = self.splice.as_ref().map(|splice| splice.phase());
            let seg = read(&frame.bytes);
            let far_drains = self.flows[1 - link].drains();
            let waited = self.ns.counted(Stat::Waited);
            let state = self.state(Hook::PreRouting);
            let packet = self.mark(link, frame);
            match self.ns.filter(packet, state, &read_lock()) {
                Verdict::Accept(packet) => {
                    assert!(
                        self.copying(),
                        "went to the local stack
{}",
                        self.tell()
                    );
                    let bytes: Vec<u8> = packet.into();
                    self.leg(link).receive(&bytes, self.now);
                }
                Verdict::Stolen => {
                    let carried = self.judge_what_left();
                    // What the proxy has read already waits until its own bytes, in the same place, have
                    // arrived. What is beyond a limit is kept.
                    let leg = self.leg(link).config.first_in;
                    let old = place(seg.seq, leg, self.flows[link].origin);
                    let old = old < self.flows[link].origin && seg.len() > 0 && far_drains;
                    let waits = self.ns.counted(Stat::Waited) > waited;
                    let may = old || waits || seg.has(RST) || self.splice().is_to_return();
                    assert!(
                        carried > 0 || may || before == Some(Phase::Cut),
                        "lost in the proxy"
                    );
                    self.follow();
                }
            }
        }
        self.flush();
    }

    fn mark(&mut self, side: usize, frame: Frame) -> Packet {
        self.marks += 1;
        let packet = Packet::marked(frame.bytes.clone(), self.marks);
        self.marked.insert(self.marks, (side, frame));
        packet
    }

    /// Splices at this moment. Meanwhile so many packets arrive from each end.
    pub(crate) fn arm(&mut self, wishes: Wishes, meanwhile: [usize; 2]) {
        let mut arriving = vec![];
        for (side, count) in meanwhile.into_iter().enumerate() {
            for _ in 0..count {
                if let Some(frame) = self.links[side].pop_front() {
                    arriving.push(self.mark(side, frame));
                }
            }
        }
        let (ns, state) = (self.ns.clone(), self.state(Hook::PreRouting));
        rcu::meanwhile(move || {
            for packet in arriving {
                let held = ns.counted(Stat::Held);
                let verdict = ns.filter(packet, state, &read_lock());
                assert!(matches!(verdict, Verdict::Stolen) && ns.net.0.borrow().is_empty());
                assert_eq!(ns.counted(Stat::Held), held + 1, "held");
            }
        });
        for side in 0..2 {
            let leg = self.sockets[side].borrow();
            self.flows[side].told = leg.rcv_nxt();
            self.flows[side].ack = leg.una;
            self.flows[side].lead = leg.tsval(self.now.wrapping_add(500));
        }
        let before = [0, 1].map(|side| {
            let leg = self.leg(side);
            (leg.taken as i64, leg.peer_closed)
        });
        let [client, server] = [0, 1].map(|side| TcpSocket::new(self.sockets[side].clone()));
        let made = arm(&self.ns, client, server, &wishes, &ThisModule);
        let splice = made.map_err(|refusal| refusal.errno()).expect("a splice");
        self.splice = Some(splice);
        self.wishes = wishes;
        for (side, (taken, closed)) in before.into_iter().enumerate() {
            let leg = self.sockets[side].borrow();
            let moved = i64::from(self.splice().moved(direction(side)));
            assert_eq!(leg.taken as i64, taken + moved);
            let fin = closed && !wishes.is_to_return();
            let flow = &mut self.flows[side];
            flow.origin = leg.taken as i64 + i64::from(fin);
            flow.top = flow.origin;
            flow.write_seq = leg.write_seq();
            flow.fin = fin;
        }
        self.judge_what_left();
        self.follow();
        self.flush();
    }

    /// Judges what left the packet path; says how many packets were carried.
    fn judge_what_left(&mut self) -> usize {
        let mut left: VecDeque<(Option<u64>, Vec<u8>)> = self.ns.net.0.take().into();
        let mut carried = 0;
        while let Some((id, bytes)) = left.pop_front() {
            let out = read(&bytes);
            let to = (0..2)
                .find(|side| self.leg(*side).config.key.source_port() == out.sport)
                .expect("a port of ours");
            self.links[2 + to].push_back(Frame { bytes, serial: 0 });
            let side = 1 - to;
            let waited = id.is_some_and(|id| id & WAITED != 0);
            let mark = id.map(|id| id & !WAITED);
            let Some((from, frame)) = mark.and_then(|mark| self.marked.remove(&mark)) else {
                if out.has(RST) {
                    continue;
                }
                // What was received out of order before the splice.
                self.judge_own(side, &out);
                continue;
            };
            assert_eq!(from, side, "it leaves on the other side");
            let mut whole = out;
            // Segments of the same packet.
            while left.front().is_some_and(|(other, _)| *other == id) {
                let (_, bytes) = left.pop_front().expect("another one");
                let next = read(&bytes);
                self.links[2 + to].push_back(Frame { bytes, serial: 0 });
                let at = whole.seq.wrapping_add(whole.payload.len() as u32);
                assert_eq!(next.seq, at, "segments follow each other");
                assert!(!whole.has(FIN), "a FIN before the end");
                whole.payload.extend(&next.payload);
                whole.flags |= next.flags;
                let rest = |seen: &Seen| (seen.ack, seen.window, seen.stamps, seen.sack.clone());
                assert_eq!(rest(&next), rest(&whole));
            }
            let seg = read(&frame.bytes);
            self.rst |= seg.has(RST);
            let drains = self.flows[side].drains();
            // What it acknowledges goes at once, and it waits.
            let bare = !waited && seg.len() > 0 && whole.len() == 0;
            if let Some(mark) = mark.filter(|_| bare) {
                self.marked.insert(mark, (from, frame.clone()));
            }
            let form = match (waited, bare) {
                (true, _) => Form::Waited,
                (_, true) => Form::Bare,
                _ => Form::Whole,
            };
            self.judge(side, &seg, &whole, form, frame.serial, drains);
            self.note(side, &seg, &whole);
            carried += 1;
        }
        carried
    }

    /// Judges what the end of `side` had sent before the splice and its socket had received early.
    fn judge_own(&mut self, side: usize, out: &Seen) {
        let far_leg = self.sockets[1 - side].borrow().config.clone();
        let to = &self.flows[1 - side];
        let there = place(out.seq, far_leg.first_out, to.write_seq);
        let at = there - to.write_seq + self.flows[side].origin;
        assert!(at >= self.flows[side].told, "it was not early");
        let end = at as usize + out.payload.len();
        assert_eq!(
            out.payload,
            self.ends[side].output[at as usize..end],
            "early bytes"
        );
        let flow = &mut self.flows[side];
        flow.packets += 1;
        flow.top = flow.top.max(at + out.len());
        if out.has(FIN) {
            (flow.fin, flow.fin_carried) = (true, true);
        }
    }

    /// Judges what `out`, which `seg` of the end of `side` became, tells the other end.
    fn judge(
        &mut self,
        side: usize,
        seg: &Seen,
        out: &Seen,
        form: Form,
        serial: u64,
        draining: bool,
    ) {
        let waited = form == Form::Waited;
        assert!(
            form == Form::Whole
                || self.ns.counted(Stat::Waited) > 0
                || self.splice().is_to_return(),
            "what waits is counted"
        );
        let (from, to) = (&self.flows[side], &self.flows[1 - side]);
        let (end, far) = (&self.ends[side], &self.ends[1 - side]);
        let leg = self.sockets[side].borrow();
        let far_leg = self.sockets[1 - side].borrow();
        let (leg_config, far_leg) = (&leg.config, &far_leg.config);
        let key = &far_leg.key;
        assert_eq!(
            (&out.saddr[..], &out.daddr[..]),
            (key.source(), key.destination())
        );
        assert_eq!(
            (out.sport, out.dport),
            (key.source_port(), key.destination_port())
        );
        assert_eq!(out.ttl, seg.ttl - 1);

        // What the end sends goes where what its socket had got ends.
        let at = place(seg.seq, leg_config.first_in, from.origin);
        let there = place(out.seq, far_leg.first_out, to.write_seq) - to.write_seq + from.origin;
        // An acknowledgement from beyond the far end's window is brought to where that ends.
        let lowered = out.payload.is_empty() && !out.has(FIN) && there < at;
        let goes_on = out.payload.is_empty() && !out.has(FIN) && there < from.origin;
        if self.wishes.is_to_return() || self.splice().is_to_return() {
            assert!(seg.payload.starts_with(&out.payload), "bytes");
            assert!(
                there == at || there < at && out.payload.is_empty(),
                "place in the stream"
            );
            assert_eq!(
                out.flags,
                seg.flags & !FIN,
                "flags {side} {seg:?} {out:?}\n{}",
                self.tell()
            );
        } else {
            assert!(there == at || lowered, "place in the stream: {there} {at}");
            let whole = (seg.flags, &seg.payload[..]);
            let expected = match form {
                Form::Bare => (seg.flags & !FIN, &[][..]),
                _ => whole,
            };
            assert_eq!((out.flags, &out.payload[..]), expected);
        }

        // What was overtaken is late news, as everywhere.
        let in_order = from.last.is_none_or(|(last, ..)| last < serial);
        let last = from.last.filter(|_| in_order);
        let mut told = to.told;
        if seg.has(ACK) {
            // What the end says that it has got, in the stream of the other end.
            let shift = to.origin - from.write_seq;
            let own_ack = place(seg.ack, leg_config.first_out, from.write_seq) + shift;
            let floored = draining || to.told != to.origin;
            let floor = |ack| if floored { to.told.max(ack) } else { ack };
            told = place(out.ack, far_leg.first_in, to.told);
            // What has waited says what was said since.
            let newest = own_ack.max(from.ack + shift);
            let renewed = waited && told == floor(newest) && newest > own_ack;
            let ack = if renewed { newest } else { own_ack };
            assert_eq!(told, floor(ack), "acknowledgement");
            assert!(told <= far.sent, "{told} acknowledged, {} sent", far.sent);
            let back = last.is_some_and(|(_, ack, _)| told < ack);
            assert!(!back, "acknowledgement went back");

            // The room that the end has, and no more.
            let edge = ack + (i64::from(seg.window) << end.config.wscale);
            let reverse = self.splice().flow(direction(1 - side));
            let (in_unit, unit) = (1i64 << end.config.wscale, 1i64 << far.config.peer_wscale);
            let (mut most, mut least) = (edge, edge - 2 * unit);
            if reverse.has(KEPT) {
                // More has come than is carried, which is not asked for.
                let limit = place(reverse.limit().0, far_leg.first_in, ack) + in_unit - 1;
                let lowered = edge.min(limit).max(ack);
                least = least.min(lowered - in_unit - 2 * unit);
                if to.kept {
                    most = lowered;
                }
            }
            let room = i64::from(out.window) << far.config.peer_wscale;
            // But where there is room for a segment, it is not told that there is none.
            let some = out.window == 1 && most - ack >= 536 && most - ack < unit;
            let up = told + room > most.max(told);
            assert!(!up || some || renewed, "right edge went up");
            let ever = end.promised + shift + unit + in_unit;
            assert!(
                !renewed || room == 0 || told + room <= ever,
                "room that never was"
            );
            if !renewed && out.window != 65535 && !(floored && ack < told && edge < told + unit) {
                assert!(told + room > least, "room was lost");
            }

            let mut expected = vec![];
            for (l, r) in &seg.sack {
                let l = place(*l, leg_config.first_out, from.write_seq) + shift;
                let r = place(*r, leg_config.first_out, from.write_seq) + shift;
                let takes = far.config.sack && end.config.sack && !renewed;
                if takes && (!floored || r > to.told) {
                    expected.push((if floored { l.max(to.told) } else { l }, r));
                }
            }
            let got: Vec<(i64, i64)> = out
                .sack
                .iter()
                .map(|(l, r)| {
                    let first = far_leg.first_in;
                    (place(*l, first, to.told), place(*r, first, to.told))
                })
                .collect();
            assert_eq!(got, expected, "SACK blocks");
            for (l, r) in got {
                let held = (l..r).all(|at| end.has(at - shift));
                assert!(held, "a SACK block that is not held");
            }
        }
        if let Some((val, ecr)) = out.stamps {
            let (_, _, last) = last.unwrap_or_default();
            // One that comes where the far leg goes on has the stamp that was last heard of from there.
            let back = last.is_some_and(|last| (val.wrapping_sub(last) as i32) < 0);
            assert!(!back || goes_on && to.drains(), "TSval went back");
            // Once drained, a socket is forgotten; what it had repeated may still be echoed, and be taken
            // for the far end's if it was stamped later than that began.
            let (_, arrived) = seg.stamps.expect("timestamps");
            let late = (arrived.wrapping_sub(from.lead) as i32) >= 0;
            let own = late && !draining && leg.stamps.contains(&arrived);
            let late_news = !in_order && !waited;
            let real = far.stamps.contains(&ecr) || !out.has(ACK) || late_news || own;
            assert!(real, "echo of {ecr}, never sent");
        } else {
            assert_eq!(seg.stamps, None, "timestamps");
        }
        if in_order {
            let val = out.stamps.map(|(val, _)| val);
            // What has waited may have the stamp that its receiver remembers of the far leg.
            let val = val.filter(|_| !goes_on && !waited);
            let val = val.or(last.and_then(|(_, _, val)| val));
            drop(leg);
            self.flows[side].last = Some((serial, told, val));
        }
    }

    /// Notes what was carried, as the model has it.
    fn note(&mut self, side: usize, seg: &Seen, out: &Seen) {
        let (first_in, first_out) = {
            let leg = self.leg(side);
            (leg.config.first_in, leg.config.first_out)
        };
        let far_first = self.leg(1 - side).config.first_out;
        let far_write = self.flows[1 - side].write_seq;
        let flow = &mut self.flows[side];
        flow.packets += 1;
        let _ = first_in;
        if seg.has(RST) {
            // It says nothing of the streams.
            return;
        }
        let at = place(out.seq, far_first, far_write) - far_write + flow.origin;
        if out.len() > 0 {
            flow.top = flow.top.max(at + out.len());
        }
        if out.has(FIN) {
            flow.fin_carried |= !flow.fin;
            flow.fin = true;
        }
        if seg.has(ACK) {
            flow.ack = flow.ack.max(place(seg.ack, first_out, flow.write_seq));
        }
        let (ack, write_seq) = (flow.ack, flow.write_seq);
        let reverse = &mut self.flows[1 - side];
        // All that the other side had, a FIN at its end.
        reverse.fin_acked |= reverse.fin && ack - write_seq >= reverse.top - reverse.origin;
    }

    /// Whether the lifecycle is where the model is.
    fn follow(&mut self) {
        for side in 0..2 {
            self.flows[side].kept = self.splice().flow(direction(side)).has(KEPT);
        }
        let splice = self.splice();
        for side in 0..2 {
            let (flow, is) = (&self.flows[side], splice.flow(direction(side)));
            let bytes = flow.top - flow.origin - i64::from(flow.fin_carried);
            assert_eq!(is.carried().bytes, bytes as u64, "bytes carried");
            assert_eq!(is.carried().packets, flow.packets, "packets carried");
            if splice.is_to_return() {
                continue;
            }
            assert_eq!(is.has(DRAINING), flow.drains(), "draining");
            let una = self.leg(side).una;
            // What acknowledges it in a RST is noted and not passed on: that end is gone.
            let told = una == flow.write_seq || self.rst;
            assert!(flow.drains() || told, "the socket was not told");
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

    /// The sockets are the proxy's again.
    fn take_back(&mut self) {
        self.returned = true;
        assert_eq!(self.splice().reason(), Reason::Returned);
        for side in 0..2 {
            let (flow, far) = (&self.flows[side], &self.flows[1 - side]);
            let mut leg = self.leg(side);
            let (input, output) = leg.skipped.clone().expect("it was woken");
            // What the splice carried, for the model to go on with.
            let end = &self.ends[side].output;
            if !input.is_empty() {
                assert_eq!(input.end as i64, flow.top, "what was carried from the end");
                leg.input[input.clone()].copy_from_slice(&end[input]);
            }
            assert_eq!(
                output.len() as i64,
                far.top - far.origin,
                "what was carried to the end"
            );
            let from = &self.ends[1 - side].output[far.origin as usize..far.top as usize];
            leg.output[output].copy_from_slice(from);
            let limit = match side {
                0 => self.wishes.limit_to_server,
                _ => self.wishes.limit_to_client,
            };
            let moved = u64::from(self.splice().moved(direction(side)));
            let carried = moved + (flow.top - flow.origin) as u64;
            assert!(
                limit.is_none_or(|limit| carried <= limit),
                "more than the limit"
            );
        }
    }

    /// What each end, and each socket of the proxy, has got is what was sent to it.
    pub(crate) fn check_streams(&self) {
        for side in 0..2 {
            let mut sent = self.leg(side).output.clone();
            if !self.copying() {
                let far = &self.flows[1 - side];
                let from = (far.origin - i64::from(far.fin && !far.fin_carried)) as usize;
                sent.extend(&self.ends[1 - side].output[from..]);
            }
            let got = &self.ends[side].input;
            let same = got.iter().zip(&sent).take_while(|(a, b)| a == b).count();
            assert_eq!(same, got.len(), "the stream to {side}, of {}", sent.len());
            let leg = self.leg(side);
            let same = leg.input.iter().zip(&self.ends[side].output);
            let same = same.take_while(|(a, b)| a == b).count();
            assert_eq!(same, leg.input.len(), "the stream from {side}");
        }
    }

    /// Where everything stands, for who reads of a failure.
    fn tell(&self) -> String {
        let phase = self.splice.as_ref().map(|splice| splice.phase());
        format!(
            "client: {}\nits leg: {}\nleg: {}\nserver: {}\n{phase:?} {:?}",
            self.ends[0],
            self.sockets[0].borrow(),
            self.sockets[1].borrow(),
            self.ends[1],
            self.flows
        )
    }

    /// Whether all is said and done.
    fn is_over(&self) -> bool {
        let over = |tcp: &Tcp| tcp.una == tcp.write_seq() && tcp.peer_closed && tcp.closed;
        let legs = match self.copying() {
            true => (0..2).all(|side| over(&self.leg(side))),
            false => self.splice().reason() != Reason::None,
        };
        legs && self.ends.iter().all(over) && self.links.iter().all(|link| link.is_empty())
    }

    /// Ends read all that there is; the proxy copies it.
    fn consume(&mut self) {
        let now = self.now;
        for side in 0..2 {
            self.ends[side].read(usize::MAX, now);
            if self.copying() {
                let bytes = self.leg(side).read(usize::MAX, now);
                let closed = self.leg(side).peer_closed;
                let mut to = self.leg(1 - side);
                to.write(&bytes, now);
                if closed && !to.closed {
                    to.close(now);
                }
            }
        }
        self.flush();
    }

    /// Lets time pass until what was lost is repeated, and everything arrive that is on its way then.
    pub(crate) fn round(&mut self) {
        self.tick(301);
        for _ in 0..10_000 {
            let Some(link) = (0..4).find(|link| !self.links[*link].is_empty()) else {
                break;
            };
            if let Some(frame) = self.links[link].pop_front() {
                self.arrive(link, frame);
            }
            self.consume();
        }
        self.consume();
    }

    /// Lets everything arrive that is on its way, and be repeated that was lost.
    pub(crate) fn quiesce(&mut self) {
        for _ in 0..60 {
            self.round();
        }
    }

    /// Whether all that was sent has arrived.
    pub(crate) fn is_quiet(&self) -> bool {
        let quiet = |tcp: &Tcp| tcp.una == tcp.write_seq();
        (0..2).all(|side| quiet(&self.ends[side]) && quiet(&self.leg(side)))
    }

    /// What the other end expects of the end of `side`, in that one's stream.
    pub(crate) fn expected(&self, side: usize) -> i64 {
        let (flow, far) = (&self.flows[side], &self.flows[1 - side]);
        self.ends[1 - side].rcv_nxt() - far.write_seq + flow.origin
    }

    /// Lets everything come to its end, over networks that lose nothing. The proxy copies what is left to it.
    pub(crate) fn settle(&mut self) {
        for _ in 0..400 {
            if self.is_over() {
                break;
            }
            self.round();
        }
        self.check_streams();
        assert!(
            self.is_over(),
            "it does not end
{}",
            self.tell()
        );
        for side in 0..2 {
            let (end, far) = (&self.ends[side], &self.ends[1 - side]);
            let leg = self.leg(side).output.len();
            let carried = match self.copying() {
                true => 0,
                false => far.output.len() - self.leg(1 - side).input.len(),
            };
            assert_eq!(end.input.len(), leg + carried, "all bytes arrive");
        }
        let reason = self.splice().reason();
        assert!(
            reason
                == if self.returned {
                    Reason::Returned
                } else {
                    Reason::Fin
                }
        );
    }
}
