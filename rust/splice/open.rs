// SPDX-License-Identifier: GPL-2.0

//! A connection that a service has given to one of its servers: layer 4, two-way or by single rewriting.
//!
//! Two rows without deltas, made of the client's SYN. They stand in phase `Opening`, in which everything passes, until it is
//! seen that the other end has answered: by its SYN-ACK, or, if that goes past this host, by the client's acknowledgement of it. From
//! then on they are as any others. Nothing here sleeps. Anybody may have sent the SYN in another's name: what nobody has shown to be a
//! client's ([`UNPROVEN`]) is bounded in number and time.

use super::{terms::Row, Phase, Reason, Splice, Wishes};
use crate::{
    flow::{self, Direction, Load, Terms, UNPROVEN},
    net::{
        forward::{Hop, Output},
        time,
    },
    pernet::Ns,
    stats::Stat,
    xlate::{
        edit::Edit,
        key::FlowKey,
        options::{offer, Offer},
        seq::Seq,
        tcp::{Flags, Segment},
    },
};
use kernel::{
    prelude::*,
    sync::{
        atomic::{AtomicFlag, Full, Relaxed},
        Arc,
    },
};

/// How long a connection may take to be answered, milliseconds: the server repeats its SYN-ACK for 63 s, the client has given up
/// on most of what takes longer.
const OPENING_MS: u64 = 60_000;

/// The same while many do: the SYN-ACK may be lost twice.
const OPENING_PRESSED_MS: u64 = 6_000;

/// Without a packet for so long, in milliseconds, a client whose server's packets are not seen is asked whether it is there, if there are
/// many rows and it was never asked.
pub(super) const UNPROVEN_MS: u64 = 6_000;

/// Which server has been given a connection.
pub struct Server {
    /// [`Output::Nat`] or [`Output::Rewrite`].
    pub output: Output,
    /// Its address, as in a flow key.
    pub addr: [u8; 16],
    /// Its port.
    pub port: u16,
    /// The connections of its node.
    pub load: Arc<Load>,
}

/// The client's SYN.
#[derive(Clone, Copy)]
struct Syn {
    seq: Seq,
    /// After the SYN, and after the data that it may bring.
    next: Seq,
    end: Seq,
    window: u16,
    offer: Offer,
}

impl Syn {
    /// Whether a number of the client's stream follows on the SYN or on what it brought.
    fn is_followed_by(&self, seq: Seq) -> bool {
        seq.at_or_after(self.next) && !seq.after(self.end)
    }
}

/// What is known of a connection that was given to a server.
pub(super) struct Assigned {
    output: Output,
    addr: [u8; 16],
    /// Addresses and ports of what leaves, by direction.
    out: [FlowKey; 2],
    syn: Syn,
    load: Arc<Load>,
    /// It counts as one of the node's.
    counted: AtomicFlag,
    /// It counts as one that its client has not shown to be its own.
    half_open: AtomicFlag,
    /// When that is to have been shown; jiffies.
    until: u32,
    /// Somebody has the numbers, and sets them.
    answered: AtomicFlag,
    /// Who listens is to be told that it is there.
    news: AtomicFlag,
}

/// Why there is no row.
pub enum Unopened {
    /// There is one of this key.
    Exists,
    /// Too many connections have not been answered.
    HalfOpen,
    /// Too many rows.
    Full,
    /// Anything else: memory, or the namespace ends.
    Failed,
}

/// What a packet says of a connection that has not been answered.
pub enum Heard {
    /// Nothing.
    Nothing,
    /// The other end has answered.
    Answer,
    /// There will be no connection.
    Refusal(Reason),
    /// The client begins another connection.
    Another,
}

/// Makes the rows of a connection, `key` being that of the client's packets, `seg` its SYN, `headers` what that was read from. In packet
/// context.
///
/// # Errors
///
/// Why not; nothing has changed.
pub fn open(
    ns: &Arc<Ns>,
    key: &FlowKey,
    to: Server,
    seg: &Segment,
    headers: &[u8],
) -> Result<Arc<Splice>, Unopened> {
    if ns.is_full() {
        return Err(Unopened::Full);
    }
    let server = to.port.to_be_bytes();
    // As it leaves toward the server; what answers that is to leave as what answers the client.
    let out = FlowKey {
        daddr: to.addr,
        dport: server,
        ..*key
    };
    let Some(pressed) = ns.begin_opening() else {
        return Err(Unopened::HalfOpen);
    };
    let patience = time::from_ms(if pressed {
        OPENING_PRESSED_MS
    } else {
        OPENING_MS
    });
    let next = seg.seq.add(1);
    let assigned = Assigned {
        output: to.output,
        addr: to.addr,
        out: [out, key.reverse()],
        syn: Syn {
            seq: seg.seq,
            next,
            end: seg.seq_end(),
            window: seg.window,
            offer: offer(seg.options(headers)),
        },
        load: to.load,
        counted: AtomicFlag::new(true),
        half_open: AtomicFlag::new(true),
        until: flow::now().wrapping_add(patience as u32),
        answered: AtomicFlag::new(false),
        news: AtomicFlag::new(false),
    };
    let load = assigned.load.clone();
    load.more();
    let made = Splice::assigned(ns, *key, out.reverse(), &Wishes::default(), assigned);
    let added = made.and_then(|splice| ns.add(&splice, GFP_ATOMIC).map(|()| splice));
    let splice = added.map_err(|e| {
        load.less();
        ns.end_opening();
        match e {
            e if e == EEXIST => Unopened::Exists,
            _ => Unopened::Failed,
        }
    })?;
    ns.count(Stat::Created);
    splice.look_in(patience);
    // Only now does a packet that finds it do anything to it: one of its rows was there before it was sure that the other could be.
    splice.enter(Phase::Arming, Phase::Opening);
    Ok(splice)
}

impl Assigned {
    /// It counts no more as what is under way, nor as one of the node's. Any context.
    pub(super) fn close(&self, ns: &Ns) {
        self.no_longer_opening(ns);
        self.no_longer_counts();
    }

    fn no_longer_opening(&self, ns: &Ns) {
        if self.half_open.xchg(false, Full) {
            ns.end_opening();
        }
    }

    fn no_longer_counts(&self) {
        if self.counted.xchg(false, Full) {
            self.load.less();
        }
    }

    /// What is done to packets; all is known of that from the start.
    fn edit(&self, direction: Direction, scale: u8, stamps: bool, sack: bool) -> Edit {
        let [to_server, to_client] = &self.out;
        Edit {
            out: match direction {
                Direction::ToServer => *to_server,
                Direction::ToClient => *to_client,
            },
            seq_delta: 0,
            ack_delta: 0,
            tsval_delta: 0,
            tsecr_delta: 0,
            wscale_in: scale,
            wscale_out: scale,
            timestamps: stamps,
            sack,
        }
    }

    /// What a packet says before the other end has answered.
    fn hear(&self, direction: Direction, seg: &Segment) -> Heard {
        let has = |flags| seg.flags.contains(flags);
        let acks_syn = has(Flags::ACK) && self.syn.is_followed_by(seg.ack);
        let follows_syn = self.syn.is_followed_by(seg.seq);
        match direction {
            Direction::ToServer if has(Flags::SYN) && !has(Flags::ACK) => {
                if seg.seq == self.syn.seq {
                    Heard::Nothing
                } else {
                    Heard::Another
                }
            }
            Direction::ToServer if has(Flags::RST) && follows_syn => {
                Heard::Refusal(Reason::ResetByClient)
            }
            // The SYN-ACK has gone past this host.
            Direction::ToServer
                if self.output == Output::Rewrite
                    && follows_syn
                    && has(Flags::ACK)
                    && !has(Flags::SYN) =>
            {
                Heard::Answer
            }
            Direction::ToClient if has(Flags::RST) && acks_syn => {
                Heard::Refusal(Reason::ResetByServer)
            }
            // Of a server that answers by itself it is none: its host has not got its half yet, or not any more.
            Direction::ToClient if self.output == Output::Nat && has(Flags::SYN) && acks_syn => {
                Heard::Answer
            }
            _ => Heard::Nothing,
        }
    }

    /// Both rows, of the packet that says that the other end has answered; `headers` is what it was read from.
    fn rows(&self, keys: [FlowKey; 2], seg: &Segment, headers: &[u8], is_proven: bool) -> [Row; 2] {
        let syn = &self.syn;
        let [client_key, server_key] = keys;
        let is_seen = self.output == Output::Nat;
        // What either end has sent last and where its window ends, as far as it was seen.
        let (from_client, from_server, scales, stamps, sack);
        if is_seen {
            let answer = offer(seg.options(headers));
            scales = match (syn.offer.scale, answer.scale) {
                (Some(client), Some(server)) => (client.min(14), server.min(14)),
                _ => (0, 0),
            };
            stamps = syn.offer.tsval.zip(answer.tsval);
            sack = syn.offer.sack && answer.sack;
            // Windows of a SYN are not scaled.
            let first = seg.seq.add(1);
            from_client = (syn.next, seg.ack, first, first.add(syn.window.into()));
            from_server = (first, first, seg.ack, seg.ack.add(seg.window.into()));
        } else {
            // What the server has said is not known, but for what the client makes of it.
            let scale = syn.offer.scale.unwrap_or(0).min(14);
            scales = (scale, 0);
            stamps = seg.timestamps(headers);
            sack = syn.offer.sack;
            let edge = seg.ack.add(u32::from(seg.window) << scale);
            from_client = (syn.next, seg.seq, seg.ack, edge);
            from_server = (seg.ack, seg.ack, seg.seq, seg.seq.add(u16::MAX.into()));
        }
        let marks = |direction| match direction {
            Direction::ToServer if !is_proven => UNPROVEN,
            _ => 0,
        };
        let row = |key, direction, numbers: (Seq, Seq, Seq, Seq), scale, tsval, hop| {
            let (seq_origin, seq_next, ack_last, edge) = numbers;
            Row {
                key,
                terms: Terms {
                    edit: self.edit(direction, scale, stamps.is_some(), sack),
                    seq_origin,
                    seq_promised: seq_origin,
                    ack_origin: ack_last,
                    ack_floor: ack_last,
                    tsecr_floor: 0,
                    mss: 0,
                    hop,
                },
                seq_next,
                ack_last,
                edge,
                tsval_last: tsval,
                echo_last: 0,
                limit: None,
                marks: marks(direction),
                bytes: 0,
            }
        };
        let hop = (!is_seen).then_some(Hop {
            output: self.output,
            via: self.addr,
        });
        let (client_stamp, server_stamp) = stamps.unwrap_or((0, 0));
        [
            row(
                client_key,
                Direction::ToServer,
                from_client,
                scales.0,
                client_stamp,
                hop,
            ),
            row(
                server_key,
                Direction::ToClient,
                from_server,
                scales.1,
                server_stamp,
                None,
            ),
        ]
    }
}

impl Splice {
    /// Whether a service has given it to a server, and how packets get there.
    #[inline]
    pub fn assigned_by(&self) -> Option<Output> {
        self.assigned.as_ref().map(|assigned| assigned.output)
    }

    /// What is done to packets of a connection that was given to a server, before that has answered.
    pub fn opening_edit(&self, direction: Direction) -> Option<Edit> {
        let assigned = self.assigned.as_ref()?;
        Some(assigned.edit(direction, 0, false, true))
    }

    /// What a packet whose checksum is right says of a connection that has not been answered. If it is the answer the connection is
    /// live after this. Any context.
    pub fn hear(&self, direction: Direction, seg: &Segment, headers: &[u8]) -> Heard {
        let Some(assigned) = &self.assigned else {
            return Heard::Nothing;
        };
        let heard = assigned.hear(direction, seg);
        if !matches!(heard, Heard::Answer) {
            return heard;
        }
        if assigned.answered.xchg(true, Full) {
            // Somebody else is about it.
            return Heard::Nothing;
        }
        let keys = [*self.to_server.key(), *self.to_client.key()];
        let is_seen = assigned.output == Output::Nat;
        let is_proven = !is_seen && !self.ns.is_pressed();
        self.start(&assigned.rows(keys, seg, headers, is_proven));
        if self.enter(Phase::Opening, Phase::Live) && !is_seen {
            self.is_open(assigned);
        }
        Heard::Answer
    }

    /// There is a connection, as far as can be told.
    fn is_open(&self, assigned: &Assigned) {
        assigned.no_longer_opening(&self.ns);
        assigned.news.store(true, Relaxed);
        // In place of the end that was to come.
        self.look_in(0);
    }

    /// Its client has shown that it is there: it acknowledges what its server, whose number nobody else knows, has answered; or, if that is
    /// not seen here, it has answered a question. Any context.
    #[cold]
    pub fn is_proven(&self) {
        let unproven = self.to_server.mark(0, UNPROVEN) & UNPROVEN != 0;
        if let Some(assigned) = self.assigned.as_ref().filter(|_| unproven) {
            if assigned.output == Output::Nat {
                self.is_open(assigned);
            }
        }
    }

    /// Whether a service has given it to a server, and its client may be nobody.
    pub(super) fn is_unproven(&self) -> bool {
        self.assigned.is_some() && self.to_server.has(UNPROVEN)
    }

    /// Whether its server has answered, and its client, as far as is seen here, has not heard of that.
    pub fn is_half_open(&self) -> bool {
        self.assigned_by() == Some(Output::Nat) && self.to_server.has(UNPROVEN)
    }

    /// Jiffies until one that is half open is given up; `None` if it is not.
    pub(super) fn opening_left(&self) -> Option<usize> {
        let assigned = self.assigned.as_ref().filter(|_| self.is_half_open())?;
        let left = assigned.until.wrapping_sub(flow::now()) as i32;
        Some(usize::try_from(left).unwrap_or(0))
    }

    /// Whether who listens is to be told that it is there. Says so once.
    pub(super) fn is_news(&self) -> bool {
        let news = self.assigned.as_ref().map(|assigned| &assigned.news);
        news.is_some_and(|news| news.xchg(false, Full))
    }

    /// Whether it is one that nobody ever answered.
    pub(super) fn was_never_answered(&self) -> bool {
        self.assigned.is_some()
            && (self.terms(Direction::ToServer).is_none() || self.is_half_open())
    }

    /// It is not answered, and leaves nothing: no late packets are to come. Any context.
    pub fn give_up(&self, reason: Reason) {
        self.leave(Phase::Tombstone, reason);
        // Whoever has ended it at the same moment means the same, and may not have got so far.
        self.replace();
    }

    /// Its client has nothing more to send: it does not count as one of the node's, though the server may still answer. Any context.
    pub fn is_served(&self) {
        if let Some(assigned) = &self.assigned {
            assigned.no_longer_counts();
        }
    }

    /// Of one whose server's packets are not seen: what its client echoes, the server has sent. Any context.
    pub fn note_echo(&self, tsecr: u32) {
        if self.assigned.is_some() {
            self.flow(Direction::ToClient).note_tsval(tsecr);
        }
    }

    /// Whether its packets go to another host, as they are: the connection is there.
    pub fn is_elsewhere(&self) -> bool {
        let hop = self
            .terms(Direction::ToServer)
            .and_then(|(terms, _)| terms.hop);
        hop.is_some_and(|hop| hop.output.is_unchanged())
    }

    /// A new connection has taken its addresses and ports. Any context.
    pub fn is_replaced(&self) -> bool {
        self.replaced.load(Relaxed)
    }
}
