// SPDX-License-Identifier: GPL-2.0

//! A TCP, as far as a splice can tell (RFC 9293, 2018, 2883, 7323, 5961): an end, or a socket of the
//! proxy. It believes what it is told only if that can be; what cannot be fails the test.
//!
//! Places in a stream are whole numbers that do not wrap: the first byte after the SYN is at 0.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use splice::net::leg::{Numbers, TcpState, Wake};
use splice::net::{socket, time};
use xlate::{ChecksumField, Family, FlowKey, Seq};

use crate::packet::{emit_options, Opt, Packet};
use crate::wire::{number, place, read, Seen, ACK, FIN, RST};

/// How long until something is sent again, in milliseconds.
const TIMEOUT: u32 = 300;

/// Room for options that a segment of the largest size has, beside its payload.
const OPTIONS: u16 = 40;

/// What a TCP is made with.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    /// Addresses and ports of what it sends.
    pub(crate) key: FlowKey,
    /// Number of the first byte that it sends, and of the first that it gets.
    pub(crate) first_out: u32,
    pub(crate) first_in: u32,
    /// Most bytes of payload in a segment that it takes, and that its peer takes.
    pub(crate) mss: i64,
    pub(crate) peer_mss: i64,
    /// Bytes that it keeps until they are read.
    pub(crate) buffer: i64,
    /// Shift of the windows that it announces, and of those that it gets.
    pub(crate) wscale: u8,
    pub(crate) peer_wscale: u8,
    pub(crate) sack: bool,
    /// What its clock is ahead, if it stamps.
    pub(crate) clock: Option<u32>,
    /// The peer's first stamp.
    pub(crate) peer_stamp: u32,
    pub(crate) usec: bool,
    /// Every second segment is acknowledged.
    pub(crate) delays: bool,
    /// Options stand on even words.
    pub(crate) aligned: bool,
}

/// A TCP.
pub(crate) struct Tcp {
    pub(crate) config: Config,
    /// All that it ever had to send, and whether that is all.
    pub(crate) output: Vec<u8>,
    pub(crate) closed: bool,
    /// Acknowledged up to here, sent up to here.
    pub(crate) una: i64,
    pub(crate) sent: i64,
    /// The peer's window, from `una` on, and the place in its stream at which it was told.
    window: i64,
    window_at: i64,
    /// The widest window that the peer has opened.
    widest: i64,
    sacked: BTreeSet<i64>,
    /// Repairing what was lost before this place.
    recover: i64,
    duplicates: u32,
    /// How often it has sent something again.
    pub(crate) repeats: u32,
    progress: u32,
    /// All that came, in order; and whether that is all.
    pub(crate) input: Vec<u8>,
    pub(crate) peer_closed: bool,
    /// What came out of order.
    early: BTreeMap<i64, u8>,
    early_fin: Option<i64>,
    last_early: i64,
    duplicate: Option<(i64, i64)>,
    /// Bytes of `input` that were read.
    pub(crate) taken: usize,
    /// How far it has let its peer send.
    pub(crate) promised: i64,
    told: i64,
    due: u32,
    /// When it last answered what was nothing to it.
    refused: Option<u32>,
    ts_recent: u32,
    tsecr: u32,
    /// Stamps that it has sent.
    pub(crate) stamps: BTreeSet<u32>,
    pub(crate) reset: bool,
    /// A socket of a splice, and what its buffer was before.
    pub(crate) dormant: bool,
    was: i64,
    /// It has vanished.
    pub(crate) gone: bool,
    /// What a splice carried past it: in its input, in its output.
    pub(crate) skipped: Option<(Range<usize>, Range<usize>)>,
    /// What leaves.
    pub(crate) packets: Vec<Vec<u8>>,
}

impl Tcp {
    pub(crate) fn new(config: Config) -> Tcp {
        let window = |shift: u8, buffer: i64| (buffer >> shift << shift).min(65535);
        let mut tcp = Tcp {
            output: vec![],
            closed: false,
            una: 0,
            sent: 0,
            // Of the SYN, which is not scaled.
            window: 2000,
            window_at: 0,
            widest: 0,
            sacked: BTreeSet::new(),
            recover: 0,
            duplicates: 0,
            repeats: 0,
            progress: 0,
            input: vec![],
            peer_closed: false,
            early: BTreeMap::new(),
            early_fin: None,
            last_early: 0,
            duplicate: None,
            taken: 0,
            promised: window(config.wscale, config.buffer).max(2000),
            told: 0,
            due: 0,
            refused: None,
            ts_recent: config.peer_stamp,
            tsecr: config.clock.unwrap_or(0),
            stamps: BTreeSet::new(),
            reset: false,
            dormant: false,
            was: 0,
            gone: false,
            skipped: None,
            packets: vec![],
            config,
        };
        // The stamp of the SYN.
        tcp.stamp(0);
        tcp
    }

    /// After all that it has to send.
    pub(crate) fn write_seq(&self) -> i64 {
        self.output.len() as i64 + i64::from(self.closed)
    }

    /// What it expects next.
    pub(crate) fn rcv_nxt(&self) -> i64 {
        self.input.len() as i64 + i64::from(self.peer_closed)
    }

    /// Whether it has the byte, or FIN, at this place.
    pub(crate) fn has(&self, at: i64) -> bool {
        at < self.rcv_nxt() || self.early.contains_key(&at) || self.early_fin == Some(at)
    }

    /// Its clock.
    pub(crate) fn tsval(&self, now: u32) -> u32 {
        let ticks = if self.config.usec {
            now.wrapping_mul(1000)
        } else {
            now
        };
        self.config.clock.unwrap_or(0).wrapping_add(ticks)
    }

    fn stamp(&mut self, now: u32) -> u32 {
        let val = self.tsval(now);
        self.stamps.insert(val);
        val
    }

    /// Its numbers, as `rust/net/socket.rs` reads them.
    pub(crate) fn numbers(&self, now: u32) -> Numbers {
        let out = |at: i64| Seq(number(at, self.config.first_out));
        let input = |at: i64| Seq(number(at, self.config.first_in));
        Numbers {
            arrives: self.config.key.reverse(),
            state: match self.peer_closed {
                true => TcpState::CloseWait,
                false => TcpState::Established,
            },
            rcv_nxt: input(self.rcv_nxt()),
            rcv_edge: input(self.promised.max(self.rcv_nxt())),
            copied_seq: input(self.taken as i64),
            snd_una: out(self.una),
            write_seq: out(self.write_seq()),
            snd_edge: out(self.una + self.window),
            wscale_in: self.config.peer_wscale,
            wscale_out: self.config.wscale,
            tsval: self.tsval(now),
            ts_recent: self.ts_recent,
            tsecr: self.tsecr,
            peer_mss: self.config.peer_mss as u16 + OPTIONS,
            our_mss: self.config.mss as u16 + OPTIONS,
            timestamps: self.config.clock.is_some(),
            sack: self.config.sack,
            ecn: false,
            accecn: false,
            scoped: false,
            signed: false,
            ulp: false,
            urgent: false,
            usec: self.config.usec,
            dead: self.reset,
        }
    }

    /// The window that it announces, not shrinking what it has announced.
    fn announce(&mut self) -> u16 {
        let unit = 1 << self.config.wscale;
        let unread = (self.input.len() - self.taken) as i64;
        let free = (self.config.buffer - unread).max(0) / unit;
        let kept = (self.promised - self.rcv_nxt()).max(0);
        let window = free.max((kept + unit - 1) / unit).min(65535);
        self.promised = self.promised.max(self.rcv_nxt() + window * unit);
        window as u16
    }

    /// Runs of what came early, the latest first.
    fn early_blocks(&self) -> Vec<(i64, i64)> {
        let mut blocks: Vec<(i64, i64)> = vec![];
        let fin = self.early_fin.filter(|at| *at > self.rcv_nxt());
        for at in self.early.keys().copied().chain(fin) {
            match blocks.last_mut() {
                Some((_, end)) if *end == at => *end += 1,
                _ => blocks.push((at, at + 1)),
            }
        }
        blocks.sort_by_key(|(from, to)| !(*from..*to).contains(&self.last_early));
        blocks
    }

    fn send(&mut self, at: i64, len: i64, flags: u8, now: u32) {
        let payload = match len {
            0 => vec![],
            _ => self.output[at as usize..(at + len) as usize].to_vec(),
        };
        let window = self.announce();
        let mut options = vec![];
        if self.config.clock.is_some() {
            if self.config.aligned {
                options.extend([Opt::Nop, Opt::Nop]);
            }
            let val = self.stamp(now);
            options.push(Opt::Timestamps(val, self.ts_recent));
        }
        if self.config.sack {
            let first = self.config.first_in;
            let duplicate = self.duplicate.take().into_iter();
            let blocks: Vec<(u32, u32)> = duplicate
                .chain(self.early_blocks())
                .take(3)
                .map(|(from, to)| (number(from, first), number(to, first)))
                .collect();
            if !blocks.is_empty() {
                if self.config.aligned {
                    options.extend([Opt::Nop, Opt::Nop]);
                }
                options.push(Opt::Sack(blocks));
            }
        }
        while emit_options(&options).len() % 4 != 0 {
            options.push(Opt::Nop);
        }
        (self.told, self.due) = (self.rcv_nxt(), 0);
        let ack = number(self.rcv_nxt(), self.config.first_in);
        self.emit(at, ack, flags, window, options, payload);
    }

    fn emit(
        &mut self,
        at: i64,
        ack: u32,
        flags: u8,
        window: u16,
        options: Vec<Opt>,
        payload: Vec<u8>,
    ) {
        let key = self.config.key;
        let packet = Packet {
            family: key.family,
            tos: 0,
            id: 7,
            ttl: 64,
            saddr: key.source().to_vec(),
            daddr: key.destination().to_vec(),
            ip_options: vec![],
            extensions: vec![],
            sport: key.source_port(),
            dport: key.destination_port(),
            seq: number(at, self.config.first_out),
            ack,
            reserved: 0,
            flags,
            window,
            urgent: 0,
            options,
            payload,
        };
        self.packets.push(packet.emit(ChecksumField::Whole));
    }

    fn acknowledge(&mut self, now: u32) {
        self.send(self.sent, 0, ACK, now);
    }

    /// Sends what it may.
    pub(crate) fn push(&mut self, now: u32) {
        while !self.reset && self.sent < self.write_seq() {
            let room = self.una + self.window - self.sent;
            let left = self.output.len() as i64 - self.sent;
            let len = left.min(self.config.peer_mss).min(room);
            let fin = self.closed && len == left && room > len;
            if len <= 0 && !fin {
                break;
            }
            if self.una == self.sent {
                self.progress = now;
            }
            let at = self.sent;
            self.sent += len + i64::from(fin);
            self.send(at, len, ACK | if fin { FIN } else { 0 }, now);
        }
    }

    /// Sends again what is at the head, or at the first gap that the peer tells of.
    fn repeat(&mut self, now: u32) {
        let Some(at) = (self.una..self.sent).find(|at| !self.sacked.contains(at)) else {
            return;
        };
        let room = self.una + self.window - at;
        let most = if room > 0 { room } else { self.config.peer_mss };
        if room <= 0 && at != self.una {
            return;
        }
        let data = self.sent.min(self.output.len() as i64);
        let end = (at..data)
            .find(|at| self.sacked.contains(at))
            .unwrap_or(data)
            .min(at + self.config.peer_mss.min(most));
        let len = (end - at).max(0);
        let fin = self.closed && self.sent == self.write_seq() && at + len == self.write_seq() - 1;
        self.repeats += 1;
        self.send(at, len, ACK | if fin { FIN } else { 0 }, now);
    }

    /// What happens by itself.
    pub(crate) fn tick(&mut self, now: u32) {
        if self.reset || self.gone {
            return;
        }
        self.refused = None;
        if self.due > 0 {
            self.acknowledge(now);
        }
        if now.wrapping_sub(self.progress) < TIMEOUT {
            return;
        }
        if self.una < self.sent {
            // The peer may have thrown away what it had not acknowledged.
            self.sacked.clear();
            self.recover = self.sent;
            self.progress = now;
            self.repeat(now);
        } else if self.sent < self.write_seq() {
            self.keep_alive(now);
        }
    }

    /// Asks the peer to say something.
    pub(crate) fn keep_alive(&mut self, now: u32) {
        if !self.reset {
            self.send(self.una - 1, 0, ACK, now);
        }
    }

    pub(crate) fn write(&mut self, bytes: &[u8], now: u32) {
        if !self.closed && !self.reset {
            self.output.extend(bytes);
            self.push(now);
        }
    }

    pub(crate) fn close(&mut self, now: u32) {
        self.closed = true;
        self.push(now);
    }

    /// Reads, and says so if that opens the window.
    pub(crate) fn read(&mut self, most: usize, now: u32) -> Vec<u8> {
        let len = most.min(self.input.len() - self.taken);
        let bytes = self.input[self.taken..self.taken + len].to_vec();
        self.taken += len;
        let unread = (self.input.len() - self.taken) as i64;
        let edge = self.rcv_nxt()
            + ((self.config.buffer - unread) >> self.config.wscale << self.config.wscale);
        let news = (self.config.buffer / 2).min(2 * self.config.mss);
        if len > 0 && !self.reset && edge - self.promised >= news {
            self.acknowledge(now);
        }
        bytes
    }

    /// Gives up.
    pub(crate) fn abort(&mut self, now: u32) {
        let ack = number(self.rcv_nxt(), self.config.first_in);
        let mut options = vec![];
        if self.config.clock.is_some() {
            let val = self.stamp(now);
            options = vec![Opt::Nop, Opt::Nop, Opt::Timestamps(val, self.ts_recent)];
        }
        self.emit(self.sent, ack, RST | ACK, 0, options, vec![]);
        self.reset = true;
    }

    /// A RST that somebody else has made in its name.
    pub(crate) fn forge_rst(&mut self, at: i64) {
        self.emit(at, 0, RST, 0, vec![], vec![]);
    }

    /// Takes a packet.
    pub(crate) fn receive(&mut self, bytes: &[u8], now: u32) {
        let seg = read(bytes);
        let key = self.config.key.reverse();
        assert_eq!(seg.saddr, key.source());
        assert_eq!(seg.daddr, key.destination());
        assert_eq!(
            (seg.sport, seg.dport),
            (key.source_port(), key.destination_port())
        );
        if self.reset {
            if !seg.has(RST) {
                let at = place(seg.ack, self.config.first_out, self.sent);
                self.emit(at, 0, RST, 0, vec![], vec![]);
            }
            return;
        }
        let most = self.config.mss + i64::from(OPTIONS);
        let len = (bytes.len() - seg.headers + usize::from(seg.options)) as i64;
        assert!(
            len <= most,
            "a segment of {len} bytes, where {most} are taken"
        );
        let rcv_nxt = self.rcv_nxt();
        let at = place(seg.seq, self.config.first_in, rcv_nxt);
        let end = at + seg.len();

        // RFC 7323, section 5.3. Without the option it is no segment of this connection.
        let newer = match (self.config.clock, seg.stamps) {
            (None, stamps) => {
                assert_eq!(stamps, None, "timestamps that were not negotiated");
                true
            }
            (Some(_), None) => seg.has(RST),
            (Some(_), Some((val, _))) => val.wrapping_sub(self.ts_recent) as i32 >= 0,
        };
        if !newer && !seg.has(RST) {
            return self.refuse(&seg, now);
        }
        // RFC 9293, section 3.10.7.4.
        if end < self.told || at > self.promised {
            if !seg.has(RST) {
                self.refuse(&seg, now);
            }
            return;
        }
        if seg.has(RST) {
            if at == rcv_nxt {
                self.reset = true;
            } else {
                self.acknowledge(now);
            }
            return;
        }
        if let Some((val, _)) = seg.stamps.filter(|_| at <= self.told) {
            self.ts_recent = val;
        }
        if let Some((_, ecr)) = seg.stamps {
            self.tsecr = ecr;
        }
        // RFC 5961, section 5.2.
        let ack = place(seg.ack, self.config.first_out, self.una);
        if ack < self.una - self.widest.min(self.una) {
            return self.refuse(&seg, now);
        }
        self.acknowledged(&seg, at, now);
        self.take(&seg, at, now);
        self.push(now);
    }

    /// Answers what it does not take, but not for ever.
    fn refuse(&mut self, seg: &Seen, now: u32) {
        if seg.len() > 0 || self.refused != Some(now) {
            if seg.len() == 0 {
                self.refused = Some(now);
            }
            self.acknowledge(now);
        }
    }

    fn acknowledged(&mut self, seg: &Seen, at: i64, now: u32) {
        assert!(seg.has(ACK));
        let ack = place(seg.ack, self.config.first_out, self.una);
        assert!(ack <= self.sent, "{ack} acknowledged, {} sent", self.sent);
        let mut news = false;
        for (from, to) in &seg.sack {
            let from = place(*from, self.config.first_out, self.una);
            let to = place(*to, self.config.first_out, self.una);
            if self.dormant && to > self.sent {
                // A dormant socket sees blocks of the far end's bytes, too, and passes over them.
                continue;
            }
            assert!(self.config.sack && from < to && to <= self.sent);
            // One below is a D-SACK, or late.
            for at in from.max(ack)..to {
                news |= self.sacked.insert(at);
            }
        }
        let window = i64::from(seg.window) << self.config.peer_wscale;
        let update = ack > self.una
            || ack == self.una
                && (at > self.window_at || at == self.window_at && window > self.window);
        let same = ack == self.una && seg.len() == 0 && self.una < self.sent && !update;
        if update {
            (self.window, self.window_at) = (window, at);
            self.widest = self.widest.max(window);
        }
        if ack > self.una {
            self.una = ack;
            self.sacked = self.sacked.split_off(&ack);
            self.progress = now;
            self.duplicates = 0;
            if self.una < self.recover {
                self.repeat(now);
            }
        } else if same || news {
            self.duplicates += 1;
            if self.duplicates == 3 {
                self.recover = self.sent;
                self.repeat(now);
            }
        }
    }

    fn take(&mut self, seg: &Seen, at: i64, now: u32) {
        let before = self.rcv_nxt();
        let data_end = at + seg.payload.len() as i64;
        for (at, byte) in (at..).zip(&seg.payload) {
            if at >= before && at < self.promised && !self.peer_closed {
                self.early.insert(at, *byte);
                self.last_early = at;
            }
        }
        if seg.has(FIN) && data_end <= self.promised {
            self.early_fin = Some(data_end);
            self.last_early = data_end;
        }
        while let Some(byte) = self.early.remove(&(self.input.len() as i64)) {
            self.input.push(byte);
        }
        if self.early_fin == Some(self.input.len() as i64) {
            self.peer_closed = true;
        }
        let next = self.rcv_nxt();
        if at < before && seg.len() > 0 {
            self.duplicate = Some((at, (at + seg.len()).min(before)));
        }
        if seg.len() > 0 && next > before && self.early.is_empty() && self.config.delays {
            self.due += 1;
            if self.due == 1 {
                return;
            }
        }
        // What is old, early, or a probe is answered at once.
        if seg.len() > 0 || at < before {
            self.acknowledge(now);
        }
    }
}

impl std::fmt::Display for Tcp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "una {} sent {} of {} window {} told at {}; got {} of which {} read, promised {}, early {}",
            self.una,
            self.sent,
            self.write_seq(),
            self.window,
            self.window_at,
            self.rcv_nxt(),
            self.taken,
            self.promised,
            self.early.len(),
        )
    }
}

impl socket::Tcp for Tcp {
    fn numbers(&self) -> Numbers {
        Tcp::numbers(self, time::jiffies() as u32)
    }

    fn deliver(&mut self, packet: Vec<u8>) {
        if !self.gone {
            self.receive(&packet, time::jiffies() as u32);
        }
    }

    fn take(&mut self, most: usize) -> Vec<u8> {
        self.read(most, time::jiffies() as u32)
    }

    fn send(&mut self, bytes: &[u8]) {
        self.write(bytes, time::jiffies() as u32);
    }

    fn send_fin(&mut self) {
        self.close(time::jiffies() as u32);
    }

    fn out_of_order(&self) -> Vec<(Seq, Vec<u8>, bool)> {
        let mut ranges: Vec<(i64, Vec<u8>)> = vec![];
        for (at, byte) in &self.early {
            match ranges.last_mut() {
                Some((from, bytes)) if *from + bytes.len() as i64 == *at => bytes.push(*byte),
                _ => ranges.push((*at, vec![*byte])),
            }
        }
        let fin = self.early_fin;
        ranges
            .into_iter()
            .map(|(from, bytes)| {
                let fin = fin == Some(from + bytes.len() as i64);
                (Seq(number(from, self.config.first_in)), bytes, fin)
            })
            .collect()
    }

    fn sleep(&mut self) {
        self.dormant = true;
        // From here on the far end's window counts, and this one opens no more.
        let unread = (self.input.len() - self.taken) as i64;
        let room = (self.promised - self.rcv_nxt()).max(0) + unread;
        self.was = std::mem::replace(&mut self.config.buffer, room);
        self.window_at = self.rcv_nxt() - 1;
    }

    fn wake(&mut self, at: &Wake) -> bool {
        if self.closed || self.reset || self.una != self.write_seq() {
            return false;
        }
        let now = time::jiffies() as u32;
        self.early.clear();
        self.early_fin = None;
        self.duplicate = None;
        self.due = 0;
        let (in_from, out_from) = (self.input.len(), self.output.len());
        let rcv_nxt = place(at.rcv_nxt.0, self.config.first_in, self.rcv_nxt());
        if rcv_nxt > self.rcv_nxt() {
            assert_eq!(
                self.taken,
                self.input.len(),
                "unread bytes before what was carried"
            );
            self.input.resize(rcv_nxt as usize, 0);
            self.taken = self.input.len();
        }
        let edge = place(at.rcv_edge.0, self.config.first_in, self.rcv_nxt());
        self.promised = edge.max(self.rcv_nxt());
        self.config.buffer = self.was.max(self.promised - self.rcv_nxt());
        self.told = self.rcv_nxt();
        let snd_nxt = place(at.snd_nxt.0, self.config.first_out, self.una);
        assert!(snd_nxt >= self.una, "sending goes back");
        self.output.resize(snd_nxt as usize, 0);
        (self.una, self.sent, self.recover) = (snd_nxt, snd_nxt, snd_nxt);
        self.sacked.clear();
        let edge = place(at.snd_edge.0, self.config.first_out, snd_nxt);
        self.window = (edge - snd_nxt).max(0);
        self.window_at = self.rcv_nxt();
        if let Some(clock) = &mut self.config.clock {
            self.ts_recent = at.ts_recent;
            *clock = 0;
            let ticks = self.tsval(now);
            self.config.clock = Some(at.tsval.wrapping_sub(ticks));
        }
        self.skipped = Some((in_from..self.input.len(), out_from..self.output.len()));
        self.dormant = false;
        true
    }

    fn push(&mut self) {
        Tcp::push(self, time::jiffies() as u32);
    }

    fn vanish(&mut self) {
        self.gone = true;
        self.packets.clear();
    }
}

/// Addresses of the ends and of the proxy toward them.
pub(crate) fn keys(family: Family) -> [FlowKey; 2] {
    match family {
        Family::V4 => [
            FlowKey::v4([198, 51, 100, 7], 51234, [203, 0, 113, 10], 443),
            FlowKey::v4([10, 0, 0, 80], 8443, [10, 0, 0, 1], 40001),
        ],
        Family::V6 => {
            let at = |n: u8| [0xfd, n, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, n];
            [
                FlowKey::v6(at(1), 51234, at(2), 443),
                FlowKey::v6(at(3), 8443, at(4), 40001),
            ]
        }
    }
}
