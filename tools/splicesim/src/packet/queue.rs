// SPDX-License-Identifier: GPL-2.0

//! A server with a queue: a CPU that splices, or a link that sends.

use crate::clock::Ps;
use std::collections::VecDeque;

/// First come, first served, one at a time, room for so many bytes.
///
/// What is offered must be offered in the order of time. The moment at which something leaves is then known as soon
/// as it comes, and needs no event.
#[derive(Clone, Debug)]
pub(super) struct Queue {
    /// Bytes that may be here at once, those in service included; `None` is no limit.
    room: Option<u64>,
    /// What is here: when it leaves, and its bytes. Kept only where there is a limit.
    inside: VecDeque<(Ps, u64)>,
    bytes: u64,
    free_at: Ps,
    /// Time in service of all that was taken.
    pub(super) busy: Ps,
    /// Time that all which was taken spent waiting before its service.
    pub(super) waited: Ps,
    /// How many were taken.
    pub(super) taken: u64,
    /// How many found no room.
    pub(super) dropped: u64,
}

impl Queue {
    pub(super) fn new(room: Option<u64>) -> Queue {
        Queue {
            room,
            inside: VecDeque::new(),
            bytes: 0,
            free_at: 0,
            busy: 0,
            waited: 0,
            taken: 0,
            dropped: 0,
        }
    }

    /// Something of `bytes` comes that takes `service`. When it leaves; `None` if there is no room.
    pub(super) fn offer(&mut self, now: Ps, service: Ps, bytes: u64) -> Option<Ps> {
        if let Some(room) = self.room {
            while let Some(&(leaves, bytes)) = self.inside.front() {
                if leaves > now {
                    break;
                }
                self.inside.pop_front();
                self.bytes -= bytes;
            }
            if self.bytes + bytes > room {
                self.dropped += 1;
                return None;
            }
        }
        let begins = self.free_at.max(now);
        self.free_at = begins + service;
        self.busy += service;
        self.waited += begins - now;
        self.taken += 1;
        if self.room.is_some() {
            self.bytes += bytes;
            self.inside.push_back((self.free_at, bytes));
        }
        Some(self.free_at)
    }

    /// Time in service until then, without what is still to be served.
    pub(super) fn busy_until(&self, now: Ps) -> Ps {
        self.busy - self.free_at.saturating_sub(now)
    }

    /// The host died: what is here is lost, and was not served.
    pub(super) fn clear(&mut self, now: Ps) {
        self.inside.clear();
        self.bytes = 0;
        self.busy = self.busy_until(now);
        self.free_at = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_at_a_time_in_order() {
        let mut queue = Queue::new(None);
        assert_eq!(queue.offer(100, 10, 1), Some(110));
        assert_eq!(queue.offer(105, 10, 1), Some(120));
        assert_eq!(queue.offer(200, 10, 1), Some(210));
        assert_eq!((queue.busy, queue.waited, queue.taken), (30, 5, 3));
    }

    #[test]
    fn room_is_bytes_and_comes_back_when_they_leave() {
        let mut queue = Queue::new(Some(100));
        assert_eq!(queue.offer(0, 10, 60), Some(10));
        assert_eq!(queue.offer(0, 10, 41), None);
        assert_eq!(queue.offer(0, 10, 40), Some(20));
        assert_eq!(queue.offer(9, 10, 1), None);
        assert_eq!(queue.offer(10, 10, 60), Some(30));
        assert_eq!((queue.taken, queue.dropped), (3, 2));
    }

    #[test]
    fn a_dead_host_has_done_only_what_it_had_time_for() {
        let mut queue = Queue::new(Some(100));
        queue.offer(0, 10, 50);
        queue.offer(0, 10, 50);
        queue.clear(15);
        assert_eq!(queue.busy, 15);
        assert_eq!(queue.offer(40, 10, 100), Some(50));
    }
}
