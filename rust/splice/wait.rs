// SPDX-License-Identifier: GPL-2.0

//! What waits until its receiver has room.
//!
//! A local socket may have let its peer send more than the other end takes; that is on its way when the splice
//! is armed. The other end would drop it, and its sender would learn of that by a time-out. It waits here as
//! it would have waited in the socket, in segments, and no more of it than the socket had promised room for.

use super::{Splice, MAX_HELD, MAX_KEPT_BYTES};
use crate::{
    flow::{Direction, WAITING},
    net::{
        netfilter::in_packet_context,
        skbuff::{Packet, PacketQueue},
    },
    xlate::seq::Seq,
};
use kernel::{prelude::*, sync::SpinLock};

/// What the sender had said when a packet began to wait, as it arrived.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Since {
    /// The highest acknowledgement.
    pub ack: Seq,
    /// The highest TSval.
    pub tsval: u32,
}

/// Packets of one direction that wait.
pub(super) struct Waiting {
    /// `None` if nothing ever waits.
    queue: Option<PacketQueue>,
    /// When the first of them began to.
    since: Since,
    /// After the highest byte or FIN that has waited, as it arrived.
    end: Option<Seq>,
}

impl Waiting {
    /// Room for some. May sleep.
    pub(super) fn new() -> Result<Waiting> {
        Ok(Waiting {
            queue: Some(PacketQueue::new()?),
            ..Waiting::never()
        })
    }

    /// Room for none.
    pub(super) fn never() -> Waiting {
        Waiting {
            queue: None,
            since: Since {
                ack: Seq(0),
                tsval: 0,
            },
            end: None,
        }
    }

    /// How many wait.
    fn count(&self) -> usize {
        self.queue.as_ref().map_or(0, PacketQueue::waiting)
    }
}

impl Splice {
    fn waits(&self, direction: Direction) -> &SpinLock<Waiting> {
        match direction {
            Direction::ToServer => &self.to_server_waits,
            Direction::ToClient => &self.to_client_waits,
        }
    }

    /// Has a segment wait that ends before `end`. `false` if it brings nothing new, or too many wait: its sender
    /// has sent it again, and wants to hear of it. In packet context.
    pub fn wait(&self, direction: Direction, mut segment: Packet, end: Seq) -> bool {
        let mut guard = self.waits(direction).lock();
        let waits = &mut *guard;
        let is_new = waits.end.is_none_or(|before| end.after(before));
        let Some(queue) = waits.queue.as_mut().filter(|queue| {
            is_new && queue.waiting() < MAX_HELD && queue.memory() < MAX_KEPT_BYTES
        }) else {
            return false;
        };
        let flow = self.flow(direction);
        if queue.waiting() == 0 {
            waits.since = Since {
                ack: flow.ack_last(),
                tsval: flow.tsval_last(),
            };
        }
        segment.park();
        queue.push(segment);
        waits.end = Some(end);
        flow.mark(WAITING, 0);
        true
    }

    /// After the highest byte or FIN that waits, as it arrived: the sender has sent no more, as far as is known here. In packet context.
    pub fn waits_until(&self, direction: Direction) -> Option<Seq> {
        let waits = self.waits(direction).lock();
        waits.end.filter(|_| waits.count() > 0)
    }

    /// The next segment that waits, if `fits` says that its receiver takes it now, and since when. In packet context.
    pub fn next_waiting(
        &self,
        direction: Direction,
        fits: impl FnOnce(&mut Packet) -> bool,
    ) -> Option<(Packet, Since)> {
        let mut waits = self.waits(direction).lock();
        let next = waits.queue.as_mut().and_then(|queue| queue.pop_if(fits));
        if waits.count() == 0 {
            self.flow(direction).mark(0, WAITING);
        }
        // A parked packet has no device to hold on to.
        next.map(|(segment, _device)| (segment, waits.since))
    }

    /// The highest TSval before anything that waits, if something does. Any context.
    pub(super) fn waiting_since(&self, direction: Direction) -> Option<u32> {
        in_packet_context(|_| {
            let waits = self.waits(direction).lock();
            (waits.count() > 0).then_some(waits.since.tsval)
        })
    }

    /// What waits is given to `each`. Any context.
    pub(super) fn empty_waiting(&self, mut each: impl FnMut(Packet)) {
        in_packet_context(|_| {
            for direction in [Direction::ToServer, Direction::ToClient] {
                while let Some((segment, _)) = self.next_waiting(direction, |_| true) {
                    each(segment);
                }
            }
        });
    }
}
