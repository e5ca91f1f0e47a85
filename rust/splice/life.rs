// SPDX-License-Identifier: GPL-2.0

//! How a splice ends, and what is left of it for a while.

use super::Splice;
use crate::{
    flow::{self, Direction, DRAINING},
    net::{
        netfilter::in_packet_context,
        skbuff::Packet,
        time,
        workqueue::{self, Alarm, HasAlarm, Queue},
    },
    netlink,
    stats::Stat,
    xlate::{build::build_rst, ip::header_len, key::FlowKey, seq::Seq, tcp::HEADER_LEN},
};
use kernel::sync::atomic::{Acquire, Full, Relaxed, Release};

/// Where a splice stands, as the packet path sees it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u32)]
pub enum Phase {
    /// Packets are held.
    Arming,
    /// Packets are carried.
    Live,
    /// Packets are held, while it is seen whether the sockets can be given back.
    Settling,
    /// Ended by its ends: late packets are carried.
    Tombstone,
    /// Ended by us: late packets are answered with a RST.
    Cut,
    /// The sockets were given back: packets pass.
    Returned,
    /// Never was: packets pass.
    Aborted,
    /// A service has given it to a server, which has not answered yet: everything is carried.
    Opening,
}

/// Why a splice ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u32)]
pub enum Reason {
    /// It has not.
    None,
    /// FIN in both directions, acknowledged.
    Fin,
    /// RST of the client.
    ResetByClient,
    /// RST of the server.
    ResetByServer,
    /// An operator deleted it.
    Deleted,
    /// Nothing was sent for too long.
    Idle,
    /// A local socket gave up on what it was draining.
    Undeliverable,
    /// The sockets were given back.
    Returned,
}

impl Reason {
    const ALL: [Reason; 8] = [
        Reason::None,
        Reason::Fin,
        Reason::ResetByClient,
        Reason::ResetByServer,
        Reason::Deleted,
        Reason::Idle,
        Reason::Undeliverable,
        Reason::Returned,
    ];
}

impl Reason {
    fn from_u32(reason: u32) -> Reason {
        let all = Reason::ALL.get(reason as usize);
        all.copied().unwrap_or(Reason::None)
    }
}

/// How long after a RST that may have ended a splice its ends are asked; milliseconds. An acknowledgement of what
/// was sent before it has come by then, or the next RST.
const ASK_MS: u64 = 200;

/// From one RST of a client whose connection has moved, of which is told, to the next; milliseconds.
const TELL_MS: u64 = 1000;

/// How often they are asked: after 0.2, 0.8, 3.2 and 12.8 seconds.
const ASKS: u32 = 4;

/// How long late packets are expected: 2MSL, as Linux has it (TCP_TIMEWAIT_LEN), milliseconds.
const TOMBSTONE_MS: u64 = 60_000;

/// How long a splice that has given its sockets back can still be asked about; milliseconds.
const RETURNED_MS: u64 = 10_000;

/// How often local sockets are looked after that drain, or that somebody else still has;
/// milliseconds.
pub(super) const LOOK_MS: u64 = 1000;

impl Splice {
    /// Where it stands. Any context.
    #[inline]
    pub fn phase(&self) -> Phase {
        match self.phase.load(Acquire) {
            0 => Phase::Arming,
            1 => Phase::Live,
            2 => Phase::Settling,
            3 => Phase::Tombstone,
            4 => Phase::Cut,
            5 => Phase::Returned,
            7 => Phase::Opening,
            _ => Phase::Aborted,
        }
    }

    fn set_phase(&self, phase: Phase) {
        self.phase.store(phase as u32, Release);
    }

    /// From one phase to the next, if it is in the first.
    pub(super) fn enter(&self, from: Phase, to: Phase) -> bool {
        self.phase.cmpxchg(from as u32, to as u32, Full).is_ok()
    }

    /// Nothing is held any more, unless what was held has ended the splice already.
    pub(super) fn finish_holding(&self, phase: Phase) {
        if !self.enter(Phase::Arming, phase) {
            self.enter(Phase::Settling, phase);
        }
    }

    /// Whether it has ended.
    pub fn is_tombstone(&self) -> bool {
        matches!(
            self.phase(),
            Phase::Tombstone | Phase::Cut | Phase::Returned
        )
    }

    /// Why it ended.
    pub fn reason(&self) -> Reason {
        Reason::from_u32(self.reason.load(Relaxed))
    }

    /// Ends a live splice; the first to do so gives the reason. Any context.
    pub(super) fn leave(&self, phase: Phase, reason: Reason) -> bool {
        if self
            .reason
            .cmpxchg(Reason::None as u32, reason as u32, Full)
            .is_err()
        {
            return false;
        }
        self.set_phase(phase);
        if let Some(assigned) = &self.assigned {
            assigned.close(&self.ns);
        }
        self.ns.count_tombstone(self);
        self.ns.count(Stat::Ended);
        workqueue::set(self, 0);
        true
    }

    /// The two ends have ended it. Any context.
    pub fn end(&self, reason: Reason) {
        if self.is_unproven() {
            self.give_up(reason);
        } else {
            self.leave(Phase::Tombstone, reason);
        }
    }

    /// A RST went this way that ends the connection if its receiver has got all before it. The receiver says
    /// nothing if it has: it is asked. Any context.
    pub fn suspect_reset(&self, direction: Direction) {
        if self.is_watched() {
            self.tell_reset();
            return;
        }
        let by = match direction {
            Direction::ToServer => Reason::ResetByClient,
            Direction::ToClient => Reason::ResetByServer,
        };
        // More of them while they are asked do not put that off, nor do the answers of a client that is gone.
        let again = self.asked.load(Relaxed) >= ASKS && !self.has_moved();
        if self.suspected.load(Relaxed) == Reason::None as u32 || again {
            self.suspected_at.store(flow::now(), Relaxed);
            self.suspected.store(by as u32, Relaxed);
            self.asked.store(0, Relaxed);
            self.look_in(time::from_ms(ASK_MS));
        }
    }

    /// Has whoever asks for it ask now; not more often than once a second, whatever comes. Any context.
    fn tell_reset(&self) {
        let now = flow::now();
        let before = self.suspected_at.load(Relaxed);
        if now.wrapping_sub(before) as usize >= time::from_ms(TELL_MS) {
            self.suspected_at.store(now, Relaxed);
            self.tell_change();
        }
    }

    /// Asks both ends where they stand, after a RST that may have ended it. What an end that is gone says to that
    /// is a RST with the right number. May sleep.
    ///
    /// What is asked, and what is said to it, may be lost: it is asked again, later each time.
    fn ask(&self) {
        let asked = self.asked.load(Relaxed);
        if self.ask_left() == Some(0) {
            self.asked.store(asked + 1, Relaxed);
            self.probe_both();
        }
    }

    /// Jiffies until the ends are to be asked, again maybe; `None` if they are not.
    fn ask_left(&self) -> Option<usize> {
        let asked = self.asked.load(Relaxed);
        if self.suspected.load(Relaxed) == Reason::None as u32 || asked >= ASKS {
            return None;
        }
        let since = flow::now().wrapping_sub(self.suspected_at.load(Relaxed)) as usize;
        Some(time::from_ms(ASK_MS << (2 * asked)).saturating_sub(since))
    }

    /// Who a RST came from that may have ended it.
    pub(super) fn suspicion(&self) -> Reason {
        Reason::from_u32(self.suspected.load(Relaxed))
    }

    /// The RST of one end, which went this way, has ended it. Any context.
    pub fn end_by_rst(&self, direction: Direction) {
        // If it answers a probe, the end that it comes from was reset by the other.
        let suspected = self.suspicion();
        let reason = match direction {
            _ if suspected != Reason::None => suspected,
            Direction::ToServer => Reason::ResetByClient,
            Direction::ToClient => Reason::ResetByServer,
        };
        if self.is_unproven() {
            return self.give_up(reason);
        }
        // A receiver that has not all of what the proxy sent expects a lower number than the RST
        // has, and goes on: it is told in the numbers that it has got to.
        let phase = if self.flow(direction.reverse()).has(DRAINING) {
            Phase::Cut
        } else {
            Phase::Tombstone
        };
        self.leave(phase, reason);
    }

    /// Cuts a live splice: both ends get a RST with the number they expect, as far as they said.
    /// An end that expects another says so in a challenge ACK (RFC 5961), which is answered.
    /// `false` if it had ended. Process context.
    pub fn cut(&self, reason: Reason) -> bool {
        if self.phase() == Phase::Opening {
            // Neither end has a connection.
            self.give_up(reason);
            return true;
        }
        let may = matches!(self.phase(), Phase::Live | Phase::Settling);
        if !may || !self.leave(Phase::Cut, reason) {
            return false;
        }
        in_packet_context(|_| {
            for flow in [&self.to_server, &self.to_client] {
                // Nothing of its server comes by here.
                if !self.comes_by(flow.direction()) {
                    continue;
                }
                // The sender of a flow is told in the numbers that it acknowledged with.
                self.send_rst(flow.key(), flow.ack_last(), Some(flow.seq_next()));
            }
        });
        true
    }

    /// Sends a RST to the sender of packets with the key `arrives`. Softirq.
    pub fn send_rst(&self, arrives: &FlowKey, seq: Seq, ack: Option<Seq>) {
        let key = arrives.reverse();
        let len = header_len(key.family) + HEADER_LEN;
        self.send(&key, len, |out| build_rst(out, &key, seq, ack));
    }

    /// Sends a packet of our own of `len` bytes to where `key` says; see [`Packet::build`]. `false` if it could
    /// not be sent. In packet context.
    pub(super) fn send(
        &self,
        key: &FlowKey,
        len: usize,
        fill: impl FnOnce(&mut [u8]) -> Option<usize>,
    ) -> bool {
        match Packet::build(key.family, len, fill).map(|packet| packet.route(self.ns.net, key)) {
            Some(Ok(packet)) => {
                packet.output(self.ns.net);
                return true;
            }
            Some(Err(_)) => self.ns.count(Stat::DropNoRoute),
            None => self.ns.count(Stat::DropNoMemory),
        }
        false
    }

    /// A new connection takes the addresses and ports of a tombstone. Any context.
    pub fn replace(&self) {
        self.ns.unlist(self);
        self.replaced.store(true, Relaxed);
        // What is left goes as soon as its turn comes.
        workqueue::set(self, 0);
    }

    /// Tells who listens that the splice is there.
    pub(super) fn announce(&self) {
        netlink::announce_new(self.ns.net, self);
    }

    /// Tells who listens how far it has come, if that has changed since the last time. May sleep.
    fn announce_changes(&self) {
        if self.changed.xchg(false, Relaxed) {
            netlink::announce_change(self.ns.net, self);
        }
    }

    /// Looks after the splice when there is next something to look after.
    pub(super) fn watch(&self) {
        let holds_net = self.holds_net();
        let look = self.next_look();
        if let Some(delay) = if holds_net {
            Some(look.unwrap_or(usize::MAX).min(time::from_ms(LOOK_MS)))
        } else {
            look
        } {
            self.look_in(delay);
        }
        // A last acknowledgement before a return must not be put off.
        if self.is_settled() {
            self.look_in(0);
        }
    }

    /// Has the splice looked after in so many jiffies, unless it has ended. Any context.
    pub(super) fn look_in(&self, delay: usize) {
        if self.is_tombstone() {
            return;
        }
        workqueue::set(self, delay);
        // An end may have set the alarm a moment ago, which must not be put off; nor must the time that an ended
        // splice stays, if it was buried meanwhile.
        if self.is_tombstone() {
            let buried = self.buried.load(Relaxed);
            workqueue::set(self, if buried { self.stay_left() } else { 0 });
        }
    }

    /// Jiffies for which an ended splice stays in the table.
    fn stay(&self) -> usize {
        time::from_ms(match self.phase() {
            Phase::Returned => RETURNED_MS,
            _ => TOMBSTONE_MS,
        })
    }

    /// Jiffies for which it stays still, buried; 0 if another connection has taken its place.
    fn stay_left(&self) -> usize {
        if self.replaced.load(Relaxed) {
            return 0;
        }
        let since = flow::now().wrapping_sub(self.buried_at.load(Relaxed)) as usize;
        self.stay().saturating_sub(since)
    }

    /// Jiffies until there is something to look after; `None` if there never is.
    fn next_look(&self) -> Option<usize> {
        let idle = [self.idle_look(), self.ask_left(), self.gone_left()]
            .into_iter()
            .flatten()
            .map(|left| left.max(1))
            .min();
        if self.is_draining() || self.is_held_up() {
            let look = time::from_ms(LOOK_MS);
            return Some(idle.map_or(look, |idle| idle.min(look)));
        }
        idle
    }

    /// Whether a local socket still keeps the namespace alive, because whoever gave it to us has not
    /// closed it. May sleep.
    fn holds_net(&self) -> bool {
        self.legs().is_some_and(|legs| {
            // Both are asked, each time.
            let (client, server) = (legs.client.release_net(), legs.server.release_net());
            !(client && server)
        })
    }

    /// Whether a local socket has unacknowledged bytes.
    fn is_draining(&self) -> bool {
        self.to_server.has(DRAINING) || self.to_client.has(DRAINING)
    }

    /// Whether a local socket that was draining has given up: what it had sent is lost, and its
    /// peer must not believe otherwise. May sleep.
    fn has_lost_bytes(&self) -> bool {
        let Some(legs) = self.legs() else {
            return false;
        };
        (self.to_server.has(DRAINING) && legs.client.lock().numbers().dead)
            || (self.to_client.has(DRAINING) && legs.server.lock().numbers().dead)
    }

    /// Lets the local sockets vanish. May sleep. `true` for whoever did it.
    fn reap(&self) -> bool {
        let Some(legs) = in_packet_context(|_| self.legs.lock().take()) else {
            return false;
        };
        legs.client.lock().vanish();
        legs.server.lock().vanish();
        true
    }

    /// Lets go of the local sockets, which are their owners' again; one that has none is closed by this.
    /// May sleep.
    fn release(&self) {
        let Some(legs) = in_packet_context(|_| self.legs.lock().take()) else {
            return;
        };
        for leg in [&legs.client, &legs.server] {
            if !leg.regain_net() {
                leg.lock().vanish();
            }
        }
    }

    /// Everything goes at once, and nobody is told: the namespace or the module ends. May sleep.
    pub fn abandon(&self) {
        self.leave(Phase::Tombstone, Reason::Deleted);
        workqueue::retire(self);
        workqueue::cancel(self);
        self.empty_waiting(drop);
        self.reap();
        self.ns.remove(self);
    }
}

impl HasAlarm for Splice {
    fn alarm(&self) -> &Alarm<Self> {
        &self.alarm
    }

    fn queue(&self) -> &Queue {
        &self.ns.queue
    }

    fn ring(&self) {
        if self.is_news() {
            self.announce();
        }
        match self.phase() {
            Phase::Live => {
                match self.opening_left() {
                    Some(0) => return self.give_up(Reason::Idle),
                    Some(left) => return self.look_in(left),
                    None => {}
                }
                self.announce_changes();
                self.ask();
                self.stop_waiting();
                if self.gone_left() == Some(0) {
                    self.end(self.reason_gone());
                } else if self.is_settled() {
                    self.settle();
                } else if self.is_draining() && self.has_lost_bytes() {
                    self.cut(Reason::Undeliverable);
                } else if !self.look_if_idle() {
                    self.watch();
                }
            }
            phase @ (Phase::Tombstone | Phase::Cut | Phase::Returned) => {
                if self.buried.xchg(true, Relaxed) {
                    // Whoever set the alarm may not have seen that it has ended.
                    return match self.stay_left() {
                        0 => self.ns.remove(self),
                        left => workqueue::set(self, left),
                    };
                }
                self.buried_at.store(flow::now(), Relaxed);
                self.empty_waiting(drop);
                if phase == Phase::Returned {
                    self.release();
                } else {
                    self.reap();
                }
                if !self.was_never_answered() {
                    netlink::announce_end(self.ns.net, self);
                }
                workqueue::set(self, self.stay_left());
            }
            Phase::Arming | Phase::Settling => {
                // Whoever moves it has said nothing for too long.
                if self.abort_moving() {
                    self.ns.count(Stat::Refused);
                }
            }
            Phase::Opening => self.give_up(Reason::Idle),
            Phase::Aborted => {}
        }
    }
}
