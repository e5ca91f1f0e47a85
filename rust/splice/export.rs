// SPDX-License-Identifier: GPL-2.0

//! A connection of this host goes to another (TCP handoff).
//!
//! 1. [`export`]: its packets are held, its socket sleeps, and the caller gets its numbers and its bytes.
//! 2. The caller has the other host [`super::import`] it.
//! 3. [`Splice::depart`]: the socket is gone, without a FIN or a RST, and its packets go to the other host, as they are. Or
//!    [`Splice::resume`]: it goes on as if nothing had been asked, and does so by itself if the caller says nothing for a while.

use super::{
    arm::{check_side, Refusal, Side},
    open::UNPROVEN_MS,
    terms::Row,
    Moving, Reason, Splice, Wishes,
};
use crate::{
    flow::{self, Direction, Terms, FIN_SEEN, SHARED},
    net::{
        forward::Hop,
        leg::{Migrant, Numbers, TcpState},
        module::ModuleHold,
        rcu,
        socket::{Locked, Restore, TcpSocket},
        time, workqueue,
    },
    pernet::Ns,
    stats::Stat,
    xlate::{edit::Edit, key::FlowKey, seq::Seq, tcp::Segment},
};
use kernel::{
    prelude::*,
    sync::{atomic::Relaxed, Arc},
};

/// How long a move may take unless its caller says more or less, and at most; milliseconds.
const PATIENCE_MS: u64 = 5000;
const MOST_PATIENCE_MS: u64 = 60_000;

/// Jiffies that a move may take.
pub(super) fn time_to_move(wanted: Option<u64>) -> usize {
    time::from_ms(wanted.unwrap_or(PATIENCE_MS).min(MOST_PATIENCE_MS))
}

/// How long after the client's FIN a connection that has moved is idle before its client is asked whether it is still there,
/// milliseconds: longer than the client's TIME-WAIT (TCP_TIMEWAIT_LEN), which begins anew with each question.
const CLOSED_MS: u64 = 65_000;

/// One that answers is asked again after twice as long, so many times.
const CLOSED_DOUBLINGS: u32 = 4;

/// How long after a RST of a client, which was asked meanwhile, the connection counts as ended, milliseconds.
const GONE_MS: u64 = 20_000;

/// A socket whose connection is about to go.
pub(super) struct Leaving {
    socket: TcpSocket,
    restore: Restore,
    migrant: Migrant,
    _module: ModuleHold,
}

/// Which bytes of a connection that is about to go.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// Received and not read.
    Received,
    /// Sent and not acknowledged, or not sent yet.
    Sent,
}

/// Where a connection stands, for another host.
fn migrant(n: &Numbers, leg: &Locked<'_>) -> Migrant {
    let (scales, acked, snd_sent) = leg.history();
    Migrant {
        arrives: n.arrives,
        rcv_start: n.copied_seq,
        rcv_next: n.rcv_nxt,
        rcv_edge: n.rcv_edge,
        snd_una: n.snd_una,
        snd_sent,
        snd_next: n.write_seq,
        snd_edge: n.snd_edge,
        wscale: scales.then_some((n.wscale_in, n.wscale_out)),
        stamps: n
            .timestamps
            .then_some((super::terms::ahead(n), n.ts_recent)),
        mss: n.peer_mss,
        acked,
        usec: n.usec,
        sack: n.sack,
        ecn: n.ecn,
        fin: n.state == TcpState::CloseWait,
    }
}

/// Begins to move a connection of the namespace, for so many milliseconds. Says where it stands, and the number after the last
/// byte of the client that is here, gaps before it or not. May sleep.
///
/// # Errors
///
/// Why not; the socket is as it was.
pub fn export(
    ns: &Arc<Ns>,
    socket: TcpSocket,
    wishes: &Wishes,
    timeout: Option<u64>,
    module: &'static ThisModule,
) -> Result<(Arc<Splice>, Migrant, Seq), Refusal> {
    if !socket.is_in(ns.net) {
        return Err(Refusal::OtherNamespace);
    }
    ns.hook_in()?;
    let hold = ModuleHold::new(module)?;
    let room = KBox::new_uninit(GFP_KERNEL).map_err(Error::from)?;
    let mut leg = socket.lock();
    let before = leg.numbers();
    check_side(&before, Side::Client)?;
    let key = before.arrives;
    let splice = Splice::new(ns, key, key.reverse(), wishes)?;
    ns.add(&splice, GFP_KERNEL)?;
    // Every packet that had passed the hook before is in the socket or its backlog after this.
    rcu::synchronize_net();
    leg.flush_backlog();
    let now = leg.numbers();
    if let Err(refusal) = check_side(&now, Side::Client) {
        drop(leg);
        splice.let_stay(|_, packet, len| socket.deliver(packet, len));
        return Err(refusal);
    }
    let migrant = migrant(&now, &leg);
    let mut rcv_max = migrant.rcv_next;
    leg.out_of_order(|piece| rcv_max = piece.seq.add(piece.len));
    let restore = leg.make_dormant();
    splice.leaving_at.populate(migrant.snd_sent);
    drop(leg);
    let leaving = Leaving {
        socket,
        restore,
        migrant,
        _module: hold,
    };
    *splice.moving.lock() = Some(room.write(Moving::Leaving(leaving)));
    workqueue::set(&*splice, time_to_move(timeout));
    Ok((splice, migrant, rcv_max))
}

/// Rows of a connection whose packets are not changed: those from its client go to `hop`.
fn rows(m: &Migrant, hop: Hop) -> [Row; 2] {
    let (their_shift, our_shift) = m.wscale.unwrap_or((0, 0));
    let (our_stamp, their_stamp) = m.stamps.unwrap_or((0, 0));
    let fin = if m.fin { FIN_SEEN } else { 0 };
    let row = |key: FlowKey, next: Seq, acked: Seq, edge, shift, stamp, marks, hop| Row {
        key,
        terms: Terms {
            edit: Edit {
                out: key,
                seq_delta: 0,
                ack_delta: 0,
                tsval_delta: 0,
                tsecr_delta: 0,
                wscale_in: shift,
                wscale_out: shift,
                timestamps: m.stamps.is_some(),
                sack: m.sack,
            },
            seq_origin: next,
            seq_promised: next,
            ack_origin: acked,
            ack_floor: acked,
            tsecr_floor: 0,
            mss: 0,
            hop,
        },
        seq_next: next,
        ack_last: acked,
        edge,
        tsval_last: stamp,
        echo_last: 0,
        limit: None,
        marks: marks | SHARED,
        bytes: 0,
    };
    [
        row(
            m.arrives,
            m.rcv_next,
            m.snd_una,
            m.snd_edge,
            their_shift,
            their_stamp,
            fin,
            Some(hop),
        ),
        row(
            m.arrives.reverse(),
            m.snd_next,
            m.rcv_next,
            m.rcv_edge,
            our_shift,
            our_stamp,
            0,
            None,
        ),
    ]
}

impl Splice {
    /// Copies bytes of a connection that is about to go, from `seq` on: as many as are in one piece and fit; of what was
    /// received, those after a gap if there is one. Says where they begin. May sleep.
    ///
    /// # Errors
    ///
    /// `ENOENT` if it is not about to go; what copying says.
    pub fn read_moving(&self, stream: Stream, seq: Seq, to: &mut [u8]) -> Result<(Seq, usize)> {
        let moving = self.moving.lock();
        let Some(Moving::Leaving(leaving)) = moving.as_deref() else {
            return Err(ENOENT);
        };
        let leg = leaving.socket.lock();
        match stream {
            Stream::Received => leg.read_received(seq, to),
            Stream::Sent => leg.read_sent(seq, to).map(|len| (seq, len)),
        }
    }

    /// Whether a segment that its socket sends says more than the numbers that another host was told, and must not leave.
    /// Any context.
    #[cold]
    pub fn is_too_late(&self, seg: &Segment) -> bool {
        let sent = self.leaving_at.as_ref();
        sent.is_some_and(|sent| seg.seq_end().after(*sent))
    }

    /// The other host has the connection: the socket vanishes, and packets of the client go there. `false` if it was not
    /// about to go. May sleep.
    pub fn depart(&self, hop: Hop) -> bool {
        let Some(leaving) = self.take_leaving() else {
            return false;
        };
        leaving.socket.lock().vanish();
        self.ns.count(Stat::HandedOff);
        self.ns.count(Stat::Created);
        self.go_live(&rows(&leaving.migrant, hop), || {});
        self.announce();
        self.watch();
        true
    }

    /// The connection stays with its socket. `false` if it was not about to go. May sleep.
    pub fn resume(&self) -> bool {
        let Some(leaving) = self.take_leaving() else {
            return false;
        };
        leaving.socket.lock().rouse(leaving.restore);
        self.let_stay(|_, packet, len| leaving.socket.deliver(packet, len));
        true
    }

    fn take_leaving(&self) -> Option<Leaving> {
        let leaves = |moving: &mut KBox<Moving>| matches!(**moving, Moving::Leaving(_));
        let moving = self.moving.lock().take_if(leaves)?;
        match KBox::into_inner(moving) {
            Moving::Leaving(leaving) => Some(leaving),
            Moving::Arriving(_) => None,
        }
    }

    /// Whether its connection has moved to another host.
    pub fn has_moved(&self) -> bool {
        self.terms(Direction::ToServer)
            .is_some_and(|(terms, _)| terms.hop.is_some())
    }

    /// Whether packets of this direction come by here: of a connection that has moved, the client's only.
    pub(super) fn comes_by(&self, direction: Direction) -> bool {
        direction == Direction::ToServer || !self.has_moved()
    }

    /// Its client has said something that a client which is gone does not say. Any context.
    pub fn is_there(&self) {
        if self.suspicion() != Reason::None {
            self.suspected.store(Reason::None as u32, Relaxed);
        }
    }

    /// Jiffies until it counts as gone that its client, which was asked, has said nothing but RSTs; `None` if it has.
    pub(super) fn gone_left(&self) -> Option<usize> {
        if !self.has_moved() || self.is_watched() || self.suspicion() == Reason::None {
            return None;
        }
        let since = flow::now().wrapping_sub(self.suspected_at.load(Relaxed)) as usize;
        Some(time::from_ms(GONE_MS).saturating_sub(since))
    }

    /// Why one ends whose client is gone: that RST is no news of a client which has closed.
    pub(super) fn reason_gone(&self) -> Reason {
        if self.to_server.has(FIN_SEEN) {
            Reason::Fin
        } else {
            self.suspicion()
        }
    }

    /// After the first FIN of the client: it is to be asked before long. Any context.
    pub fn look_when_closed(&self) {
        if self.is_watched() {
            self.tell_change();
            return;
        }
        self.look_in(time::from_ms(CLOSED_MS));
    }

    /// Milliseconds without a packet after which it is asked; 0 is never.
    pub(super) fn patience(&self) -> u64 {
        if self.is_watched() {
            return 0;
        }
        if self.is_unproven() {
            return UNPROVEN_MS;
        }
        if self.has_moved() && self.to_server.has(FIN_SEEN) {
            return CLOSED_MS << self.answered.load(Relaxed).min(CLOSED_DOUBLINGS);
        }
        self.idle_timeout()
    }

    /// Its client was asked whether it is there, and is.
    pub(super) fn note_answer(&self) {
        if self.is_unproven() {
            return self.is_proven();
        }
        if self.has_moved() && self.to_server.has(FIN_SEEN) {
            self.answered.add(1, Relaxed);
        }
    }
}
