// SPDX-License-Identifier: GPL-2.0

//! What a flow knows: its terms, which never change, and how far it has come.

use super::Direction;
use crate::{
    net::{forward::Hop, route::LastRoute, time},
    xlate::{edit::Edit, seq::Seq},
};
use kernel::sync::atomic::{Acquire, Atomic, Full, Relaxed};

/// The constants of a flow, known once its splice is armed.
#[derive(Clone, Copy)]
pub struct Terms {
    /// What is done to every packet.
    pub edit: Edit,
    /// Sequence number, as it arrives, of the first byte carried end to end.
    pub seq_origin: Seq,
    /// Where the window ends, as it arrives, that the local socket had given the sender; while [`PROMISED`].
    pub seq_promised: Seq,
    /// Acknowledgement, as it arrives, that covers all that the local socket had sent.
    pub ack_origin: Seq,
    /// What the receiver had been told, in numbers of leaving packets.
    pub ack_floor: Seq,
    /// The receiver's TSval that the proxy echoed last, in numbers of leaving packets.
    pub tsecr_floor: u32,
    /// The largest segment that the receiver takes, in bytes of options and payload, if the sender
    /// may send larger ones; 0 if it may not.
    pub mss: u16,
    /// The connection has moved to another host: packets go there as they are, and nothing is done to them.
    pub hop: Option<Hop>,
}

/// Where a flow stands when its splice goes live; numbers as they arrive.
#[derive(Clone, Copy)]
pub struct Start {
    /// First byte carried end to end.
    pub seq_origin: Seq,
    /// After the highest byte or FIN seen.
    pub seq_next: Seq,
    /// Highest acknowledgement seen.
    pub ack_last: Seq,
    /// Where the widest window seen ends.
    pub edge: Seq,
    /// Highest TSval seen.
    pub tsval_last: u32,
    /// TSecr seen last.
    pub echo_last: u32,
    /// Bytes carried already, by another host; may be more than the numbers show, which turn over
    /// every 4 GiB.
    pub bytes: u64,
    /// Bytes from `seq_origin` on that are carried; no more, if it is said.
    pub limit: Option<u64>,
    /// [`DRAINING`], [`ECHOING`], [`FIN_SEEN`], [`FIN_ACKED`], [`LIMITED`], [`FLOORED`], [`PROMISED`].
    pub marks: u32,
}

/// How far a flow has come, as another host has seen it; numbers as they arrive.
#[derive(Clone, Copy)]
pub struct Progress {
    /// After the highest byte or FIN.
    pub seq_next: Seq,
    /// Highest acknowledgement.
    pub ack_last: Seq,
    /// Where the widest window ends.
    pub edge: Option<Seq>,
    /// Highest TSval.
    pub tsval_last: Option<u32>,
    /// [`FIN_SEEN`], [`FIN_ACKED`].
    pub marks: u32,
}

/// How much of the stream has gone by.
#[derive(Clone, Copy)]
pub struct Carried {
    /// Packets translated.
    pub packets: u64,
    /// Bytes carried end to end, each once, without the FIN.
    pub bytes: u64,
}

/// One direction.
///
/// Written on the packet path by the CPU that has the flow's packets, and by no other as long as
/// the network card keeps a flow on one queue; each flow has its own cache lines.
pub struct Flow {
    direction: Direction,
    marks: Atomic<u32>,
    /// Highest acknowledgement seen, as it arrives.
    ack_last: Atomic<u32>,
    /// Where the widest window seen ends, in the numbers of `ack_last`.
    edge: Atomic<u32>,
    /// When a packet was last seen; jiffies.
    last_use: Atomic<u32>,
    /// Highest TSval seen, as it arrives.
    tsval_last: Atomic<u32>,
    /// What that was when something was kept first; with [`KEPT`].
    kept_since: Atomic<u32>,
    /// TSecr seen last that echoed the local socket, as it arrives; while [`ECHOING`].
    echo_last: Atomic<u32>,
    /// Sequence number after the highest byte or FIN seen, extended to 64 bits: its low half is
    /// the number as it arrives.
    top: Atomic<u64>,
    /// What `top` was before the first byte.
    bottom: Atomic<u64>,
    /// Where `top` stops, if [`LIMITED`].
    limit: Atomic<u64>,
    packets: Atomic<u64>,
    /// By which its packets leave; for where its terms say.
    route: LastRoute,
}

/// The local socket toward the sender has unacknowledged bytes.
pub const DRAINING: u32 = 1 << 0;
/// The sender sent a FIN.
pub const FIN_SEEN: u32 = 1 << 1;
/// The receiver acknowledged it.
pub const FIN_ACKED: u32 = 1 << 2;
/// The sender still echoes timestamps of the local socket toward it, which the receiver never sent.
pub const ECHOING: u32 = 1 << 3;

/// No more than a limit is carried.
pub const LIMITED: u32 = 1 << 4;
/// Nothing new is carried.
pub const FROZEN: u32 = 1 << 5;
/// The receiver was told of more than the sender will ever acknowledge: acknowledgements are raised
/// to the floor for good.
pub const FLOORED: u32 = 1 << 6;
/// Something was kept for the local socket toward the sender.
pub const KEPT: u32 = 1 << 7;
/// Other hosts carry packets of it, too.
pub const SHARED: u32 = 1 << 8;
/// A FIN of the sender was kept.
pub const ENDED: u32 = 1 << 9;
/// The local socket had let the sender send more than the receiver has let it since.
pub const PROMISED: u32 = 1 << 10;
/// Something of it waits until the window of the receiver takes it.
pub const WAITING: u32 = 1 << 11;
/// The sender has opened the connection, and has not shown yet that it is where its packets say; of one that a service has given to a
/// server.
pub const UNPROVEN: u32 = 1 << 12;

impl Flow {
    /// A flow that has carried nothing, and whose numbers are not known.
    pub fn new(direction: Direction) -> Flow {
        Flow {
            direction,
            marks: Atomic::new(0),
            ack_last: Atomic::new(0),
            edge: Atomic::new(0),
            last_use: Atomic::new(now()),
            tsval_last: Atomic::new(0),
            kept_since: Atomic::new(0),
            echo_last: Atomic::new(0),
            top: Atomic::new(0),
            bottom: Atomic::new(0),
            limit: Atomic::new(u64::MAX),
            packets: Atomic::new(0),
            route: LastRoute::default(),
        }
    }

    /// The route by which its packets left last.
    #[inline]
    pub fn route(&self) -> &LastRoute {
        &self.route
    }

    /// Which way it goes.
    #[inline]
    pub fn direction(&self) -> Direction {
        self.direction
    }

    /// Sets where the flow stands, before its splice is live.
    pub fn start(&self, at: &Start) {
        let Start {
            seq_origin,
            seq_next,
            ack_last,
            edge,
            tsval_last,
            echo_last,
            bytes,
            limit,
            marks,
        } = *at;
        // Room below, so that no difference is negative.
        let bottom = (1 << 32) + u64::from(seq_origin.0);
        let near = u64::from(seq_next.distance(seq_origin));
        let turns = bytes.saturating_sub(near).saturating_add(1 << 31) >> 32;
        self.bottom.store(bottom, Relaxed);
        self.top
            .store(bottom.wrapping_add(near).wrapping_add(turns << 32), Relaxed);
        if let Some(limit) = limit {
            self.limit.store(bottom.saturating_add(limit), Relaxed);
        }
        self.ack_last.store(ack_last.0, Relaxed);
        self.edge.store(edge.0, Relaxed);
        self.tsval_last.store(tsval_last, Relaxed);
        self.echo_last.store(echo_last, Relaxed);
        self.marks.store(marks, Relaxed);
        self.last_use.store(now(), Relaxed);
    }

    /// Notes that the stream has come up to `end`.
    #[inline]
    pub fn advance(&self, end: Seq) {
        let mut top = self.top.load(Relaxed);
        // A retransmission moves nothing. Two CPUs with packets of one flow settle it here.
        while let Some(next) = end.extend(top) {
            match self.top.cmpxchg(top, next, Relaxed) {
                Ok(_) => break,
                Err(seen) => top = seen,
            }
        }
    }

    /// Notes that the flow is in use; writes at most once a jiffy.
    #[inline]
    fn touch(&self) {
        let now = now();
        if self.last_use.load(Relaxed) != now {
            self.last_use.store(now, Relaxed);
        }
    }

    /// Jiffies since the last packet.
    pub fn idle(&self) -> u32 {
        now().wrapping_sub(self.last_use.load(Relaxed))
    }

    /// Sequence number, as it arrives, from which on nothing is carried; while [`LIMITED`] or
    /// [`FROZEN`].
    pub fn limit(&self) -> Seq {
        if self.has(FROZEN) {
            return self.seq_next();
        }
        Seq(self.limit.load(Relaxed) as u32)
    }

    /// The stream ends at `end`, which is at or after what was carried: nothing after it is.
    pub fn limit_to(&self, end: Seq) {
        let top = self.top.load(Relaxed);
        let end = end.extend(top).unwrap_or(top);
        if end < self.limit.load(Relaxed) {
            self.limit.store(end, Relaxed);
        }
    }

    /// Whether all that may be carried has been.
    pub fn is_exhausted(&self) -> bool {
        self.has(FROZEN) || self.has(LIMITED) && self.top.load(Relaxed) >= self.limit.load(Relaxed)
    }

    /// Sequence number, as it arrives, after the highest byte or FIN seen.
    pub fn seq_next(&self) -> Seq {
        Seq(self.top.load(Relaxed) as u32)
    }

    /// Highest acknowledgement number seen, as it arrives.
    pub fn ack_last(&self) -> Seq {
        Seq(self.ack_last.load(Relaxed))
    }

    /// Where the widest window seen ends, in the numbers of [`Flow::ack_last`].
    #[inline]
    pub fn edge(&self) -> Seq {
        Seq(self.edge.load(Relaxed))
    }

    /// Notes an acknowledgement, as it arrives, and where the window that came with it ends.
    #[inline]
    pub fn note_ack(&self, ack: Seq, edge: Seq) {
        if ack.after(self.ack_last()) {
            self.ack_last.store(ack.0, Relaxed);
        }
        if edge.after(self.edge()) {
            self.edge.store(edge.0, Relaxed);
        }
    }

    /// Merges what another host has seen: nothing goes back. Any context.
    pub fn merge(&self, seen: &Progress) {
        self.advance(seen.seq_next);
        self.note_ack(seen.ack_last, seen.edge.unwrap_or(seen.ack_last));
        if let Some(tsval) = seen.tsval_last {
            self.note_tsval(tsval);
        }
        self.mark(seen.marks & (FIN_SEEN | FIN_ACKED), 0);
        self.touch();
    }

    /// Notes a packet that was carried.
    #[inline]
    pub fn count(&self) {
        self.packets.add(1, Relaxed);
        self.touch();
    }

    /// Highest TSval seen, as it arrives.
    pub fn tsval_last(&self) -> u32 {
        self.tsval_last.load(Relaxed)
    }

    /// Notes a TSval, as it arrives.
    pub fn note_tsval(&self, tsval: u32) {
        if Seq(tsval).after(Seq(self.tsval_last())) {
            self.tsval_last.store(tsval, Relaxed);
        }
    }

    /// Whether a TSecr, as it arrives, echoes the local socket toward the sender. As long as that
    /// socket drains, the sender has got nothing in order but what it sent; and goes on echoing the
    /// last of that until it has.
    pub fn echoes_local(&self, tsecr: u32) -> bool {
        if self.has(DRAINING) {
            self.echo_last.store(tsecr, Relaxed);
        }
        self.has(DRAINING) || self.echo_last.load(Relaxed) == tsecr
    }

    /// What the sender remembers of the timestamps of the local socket toward it, as far as it said so; while that socket drains.
    pub fn echo_last(&self) -> u32 {
        self.echo_last.load(Relaxed)
    }

    /// Whether any of these marks is set.
    #[inline]
    pub fn has(&self, marks: u32) -> bool {
        self.marks.load(Acquire) & marks != 0
    }

    /// All marks.
    pub fn marks(&self) -> u32 {
        self.marks.load(Acquire)
    }

    /// Sets and clears marks; says what they were.
    pub fn mark(&self, set: u32, clear: u32) -> u32 {
        let mut old = self.marks.load(Relaxed);
        loop {
            match self.marks.cmpxchg(old, (old | set) & !clear, Full) {
                Ok(old) => return old,
                Err(seen) => old = seen,
            }
        }
    }

    /// Notes that something is kept for the local socket.
    pub fn keep(&self) {
        if !self.has(KEPT) {
            self.kept_since.store(self.tsval_last(), Relaxed);
        }
        self.mark(KEPT, 0);
    }

    /// A TSval that is not newer than that of anything that is kept, if something is.
    pub fn kept_since(&self) -> Option<u32> {
        self.has(KEPT).then(|| self.kept_since.load(Relaxed))
    }

    /// How much has gone by.
    pub fn carried(&self) -> Carried {
        let raw = self
            .top
            .load(Relaxed)
            .wrapping_sub(self.bottom.load(Relaxed));
        // The FIN took a number, unless the local socket had received it before.
        let fin = u64::from(raw > 0 && self.has(FIN_SEEN));
        Carried {
            packets: self.packets.load(Relaxed),
            bytes: raw.saturating_sub(fin),
        }
    }
}

/// The low half of jiffies: enough for differences.
pub fn now() -> u32 {
    time::jiffies() as u32
}
