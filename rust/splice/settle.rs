// SPDX-License-Identifier: GPL-2.0

//! Giving the sockets back.
//!
//! A splice stops at a limit, at a FIN, or on request: from there on nothing new is carried, and what comes
//! is kept. Once the two ends have acknowledged all that was carried, each connection stands at a number
//! that both it and its local socket can know: the socket is set to it and goes on.

use super::{life::LOOK_MS, Legs, Phase, Reason, Splice};
use crate::{
    flow::{self, Direction, Flow, DRAINING, ENDED, FIN_SEEN, FROZEN, LIMITED},
    hook,
    net::{
        leg::Wake,
        netfilter::in_packet_context,
        rcu,
        skbuff::{Packet, PacketQueue},
        socket::{Locked, TcpSocket},
        time,
    },
    stats::Stat,
    xlate::seq::Seq,
};
use kernel::{prelude::*, sync::atomic::Relaxed};

/// Why the sockets of a splice cannot be given back on request.
#[derive(Clone, Copy)]
pub enum NoReturn {
    /// It has ended.
    Ended,
    /// It is being armed, or is giving them back already.
    Busy,
    /// It was made from numbers, or nobody has the sockets any more.
    NoSockets,
    /// A FIN has been carried.
    HalfClosed,
    /// No memory.
    Failed(Error),
}

impl Splice {
    /// Whether its sockets are to be given back, now or at some point.
    #[inline]
    pub fn is_to_return(&self) -> bool {
        self.wishes.is_to_return() || self.is_returning()
    }

    /// Whether it carries nothing new any more.
    pub fn is_returning(&self) -> bool {
        self.returning.load(Relaxed)
    }

    /// Stops the splice where it stands and gives the sockets back as soon as may be. May sleep.
    ///
    /// # Errors
    ///
    /// Why not; it goes on then.
    pub fn stop(&self) -> Result<(), NoReturn> {
        match self.phase() {
            Phase::Live => {}
            Phase::Arming | Phase::Aborted | Phase::Settling => return Err(NoReturn::Busy),
            Phase::Opening => return Err(NoReturn::NoSockets),
            Phase::Tombstone | Phase::Cut | Phase::Returned => return Err(NoReturn::Ended),
        }
        let legs = self.legs().ok_or(NoReturn::NoSockets)?;
        if !legs.client.is_owned() && !legs.server.is_owned() {
            return Err(NoReturn::NoSockets);
        }
        let queue = PacketQueue::new().map_err(NoReturn::Failed)?;
        in_packet_context(|_| {
            let mut kept = self.kept.lock();
            if kept.is_none() {
                *kept = Some(queue);
            }
        });
        let flows = [&self.to_server, &self.to_client];
        for flow in flows {
            flow.mark(FROZEN, 0);
        }
        self.returning.store(true, Relaxed);
        // A FIN may be on its way on another CPU.
        rcu::synchronize_net();
        if flows.iter().any(|flow| flow.has(FIN_SEEN)) {
            self.returning.store(false, Relaxed);
            for flow in flows {
                flow.mark(0, FROZEN);
            }
            if !self.wishes.is_to_return() {
                in_packet_context(|_| drop(self.kept.lock().take()));
            }
            return Err(NoReturn::HalfClosed);
        }
        self.look_if_settled();
        Ok(())
    }

    /// After a packet of a flow with a limit. Any context.
    #[cold]
    pub fn look_if_settled(&self) {
        if !self.is_to_return() {
            return;
        }
        self.freeze();
        if self.is_settled() {
            self.look_in(0);
        }
    }

    /// After a FIN that is kept: the other direction may have to be stopped. Any context.
    #[cold]
    pub fn look_later(&self) {
        self.look_in(time::from_ms(LOOK_MS));
    }

    /// When one flow has come to its limit, the other stops where it is, but for a limit of its own.
    pub(super) fn freeze(&self) {
        let (a, b) = (&self.to_server, &self.to_client);
        for (flow, other) in [(a, b), (b, a)] {
            if flow.is_exhausted() {
                self.returning.store(true, Relaxed);
                if !other.has(LIMITED | FROZEN) {
                    other.mark(FROZEN, 0);
                }
            }
        }
    }

    /// Whether a FIN was kept from an end that has not come to its limit, and may never: it may wait for that FIN.
    pub(super) fn is_held_up(&self) -> bool {
        let (a, b) = (&self.to_server, &self.to_client);
        let waits = |flow: &Flow, other: &Flow| flow.has(ENDED) && !other.is_exhausted();
        self.phase() == Phase::Live && (waits(a, b) || waits(b, a))
    }

    /// Stops a direction that has not come to its limit, and in which nothing happens, when a FIN was kept from
    /// its sender.
    pub(super) fn stop_waiting(&self) {
        let (a, b) = (&self.to_server, &self.to_client);
        for (flow, other) in [(a, b), (b, a)] {
            let idle = time::to_ms(other.idle().into()) >= LOOK_MS;
            if idle && flow.has(ENDED) && flow.is_exhausted() && !other.is_exhausted() {
                other.mark(FROZEN, 0);
            }
        }
    }

    /// Whether all that may be carried was carried and acknowledged.
    pub(super) fn is_settled(&self) -> bool {
        let Some((to_server, to_client)) = self.terms(Direction::ToServer) else {
            return false;
        };
        let (a, b) = (&self.to_server, &self.to_client);
        self.is_to_return()
            && a.is_exhausted()
            && b.is_exhausted()
            && !a.has(DRAINING | FIN_SEEN)
            && !b.has(DRAINING | FIN_SEEN)
            && flow::is_acked(a, b, to_client)
            && flow::is_acked(b, a, to_server)
    }

    /// Gives the sockets back, if the splice has settled. May sleep.
    pub(super) fn settle(&self) {
        let Some(legs) = self.legs() else {
            return;
        };
        let Ok(queue) = PacketQueue::new() else {
            return self.watch();
        };
        // Before the phase, since who sees that holds.
        in_packet_context(|_| *self.held.lock() = Some(queue));
        if !self.enter(Phase::Live, Phase::Settling) {
            return;
        }
        // Whoever carries a packet by the old phase is done after this.
        rcu::synchronize_net();
        let Some((mut client, mut server)) = TcpSocket::lock_both(&legs.client, &legs.server)
        else {
            return;
        };
        client.flush_backlog();
        server.flush_backlog();
        if self.phase() != Phase::Settling {
            return;
        }
        for (leg, flow) in [(&client, &self.to_server), (&server, &self.to_client)] {
            if !leg.numbers().drained() {
                // The last acknowledgement has not reached it: the next one does.
                flow.mark(DRAINING, 0);
            }
        }
        if !self.is_settled() {
            self.carry_what_is_held();
            drop((client, server));
            return self.watch();
        }
        let woken = self
            .wake(Direction::ToServer, &mut client)
            .and_then(|()| self.wake(Direction::ToClient, &mut server));
        if woken.is_err() {
            drop((client, server));
            self.cut(Reason::Undeliverable);
            return;
        }
        if !self.leave(Phase::Returned, Reason::Returned) {
            return;
        }
        self.ns.unlist(self);
        self.ns.count(Stat::Returned);
        // The phase lets nothing wait any more.
        self.empty_waiting(|segment| self.hand_over(&legs, segment));
        in_packet_context(|_| {
            for queue in [&self.kept, &self.held] {
                let mut queue = queue.lock().take();
                while let Some((packet, _device)) = queue.as_mut().and_then(PacketQueue::pop) {
                    self.hand_over(&legs, packet);
                }
            }
        });
        client.woken();
        server.woken();
    }

    /// Gives a packet to the socket that it is for, which is locked or not. In packet context.
    pub(super) fn hand_over(&self, legs: &Legs, packet: Packet) {
        hook::return_held(self, packet, |direction, packet, header_len| {
            legs.toward_sender(direction).deliver(packet, header_len);
        });
    }

    /// Sets the socket toward the sender of a flow to where its connection stands.
    fn wake(&self, direction: Direction, leg: &mut Locked<'_>) -> Result {
        let (_, back) = self.terms(direction).ok_or(EPIPE)?;
        let [client, server] = *self.restore.as_ref().ok_or(EPIPE)?;
        let restore = match direction {
            Direction::ToServer => client,
            Direction::ToClient => server,
        };
        let (flow, reverse) = (self.flow(direction), self.flow(direction.reverse()));
        let numbers = leg.numbers();
        let older = |a, b| if Seq(b).before(Seq(a)) { b } else { a };
        // What the far end stamped was ahead of our clock, unless only our socket has stamped since.
        let stamped = reverse.tsval_last().wrapping_add(back.edit.tsval_delta);
        let at = Wake {
            rcv_nxt: flow.seq_next(),
            rcv_edge: flow::reach(reverse, back),
            snd_nxt: reverse.seq_next().add(back.edit.seq_delta),
            snd_edge: flow.edge(),
            // What was kept is older than what passed since, of which the socket may have heard; it must not be too old.
            ts_recent: [flow.kept_since(), self.waiting_since(direction)]
                .into_iter()
                .flatten()
                .reduce(older)
                .map_or(flow.tsval_last(), |since| older(numbers.ts_recent, since)),
            tsval: Seq(stamped).max(Seq(numbers.tsval)).add(1).0,
        };
        leg.wake(&at, restore)
    }
}
