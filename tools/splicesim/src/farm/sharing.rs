// SPDX-License-Identifier: GPL-2.0

//! Connections that share a capacity equally, each up to the same limit.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// A connection: the service that each must have had when this one ends, and its number.
type Entry = Reverse<(u64, u32)>;

/// Processor sharing by virtual time: `service` is what a connection that was here from the start would have had. Each that
/// comes ends when that has grown by its size, so that nothing has to be touched while the shares change.
#[derive(Debug, Default)]
pub(super) struct Pool {
    heap: BinaryHeap<Entry>,
    /// Bytes.
    service: f64,
    now: f64,
    /// Bytes a second: of all together, and of one.
    capacity: f64,
    limit: f64,
    /// Bytes that all have had.
    pub(super) served: f64,
    /// Connections, integrated over time.
    pub(super) presence: f64,
    /// Time with more wanted than there was.
    pub(super) saturated: f64,
    pub(super) most: usize,
}

impl Pool {
    #[cfg(test)]
    fn len(&self) -> usize {
        self.heap.len()
    }

    /// Bytes a second that each has now.
    fn rate(&self) -> f64 {
        self.limit
            .min(self.capacity / self.heap.len().max(1) as f64)
    }

    /// Lets time pass.
    pub(super) fn advance(&mut self, now: f64) {
        let span = now - self.now;
        self.now = now;
        if span <= 0.0 || self.heap.is_empty() {
            return;
        }
        let rate = self.rate();
        let count = self.heap.len() as f64;
        self.service += rate * span;
        self.served += rate * span * count;
        self.presence += span * count;
        if rate < self.limit {
            self.saturated += span;
        }
    }

    /// From now on.
    pub(super) fn set(&mut self, now: f64, capacity: f64, limit: f64) {
        self.advance(now);
        self.capacity = capacity;
        self.limit = limit;
    }

    /// A connection comes that has so many bytes to go.
    pub(super) fn add(&mut self, now: f64, id: u32, bytes: f64) {
        self.advance(now);
        // The bits of floats that are not negative are in the order of the floats.
        self.heap
            .push(Reverse(((self.service + bytes).to_bits(), id)));
        self.most = self.most.max(self.heap.len());
    }

    /// When the next one ends, if nothing changes before.
    pub(super) fn next(&self) -> f64 {
        let Some(Reverse((end, _))) = self.heap.peek() else {
            return f64::INFINITY;
        };
        let rate = self.rate();
        if rate <= 0.0 {
            return f64::INFINITY;
        }
        self.now + ((f64::from_bits(*end) - self.service) / rate).max(0.0)
    }

    /// The next one ends: now.
    pub(super) fn end(&mut self, now: f64) -> Option<u32> {
        self.advance(now);
        let Reverse((end, id)) = self.heap.pop()?;
        // Rounding must not add up.
        self.service = self.service.max(f64::from_bits(end));
        Some(id)
    }

    /// Takes out those that are chosen: their numbers, and bytes to go.
    pub(super) fn take(
        &mut self,
        now: f64,
        mut chosen: impl FnMut(u32) -> bool,
    ) -> Vec<(u32, f64)> {
        self.advance(now);
        let service = self.service;
        let mut taken = Vec::new();
        self.heap.retain(|&Reverse((end, id))| {
            let is_chosen = chosen(id);
            if is_chosen {
                taken.push((id, (f64::from_bits(end) - service).max(0.0)));
            }
            !is_chosen
        });
        // The heap's order is an accident of its history; that of numbers is not.
        taken.sort_unstable_by_key(|&(id, _)| id);
        taken
    }

    /// Bytes that those who are here have to go.
    pub(super) fn to_go(&self) -> f64 {
        self.heap
            .iter()
            .map(|Reverse((end, _))| (f64::from_bits(*end) - self.service).max(0.0))
            .sum()
    }
}

/// The least of as many moments as there are pools, kept as they change.
#[derive(Debug)]
pub(super) struct Soonest {
    /// A tree: the moments are the last half, and each before them is the lesser of two.
    tree: Vec<f64>,
}

impl Soonest {
    pub(super) fn new(count: usize) -> Soonest {
        Soonest {
            tree: vec![f64::INFINITY; 2 * count.next_power_of_two()],
        }
    }

    pub(super) fn set(&mut self, index: usize, time: f64) {
        let mut at = self.tree.len() / 2 + index;
        self.tree[at] = time;
        while at > 1 {
            at /= 2;
            let least = self.tree[2 * at].min(self.tree[2 * at + 1]);
            if self.tree[at] == least {
                break;
            }
            self.tree[at] = least;
        }
    }

    /// Which, and when.
    pub(super) fn least(&self) -> (usize, f64) {
        let mut at = 1;
        while at < self.tree.len() / 2 {
            at *= 2;
            if self.tree[at + 1] < self.tree[at] {
                at += 1;
            }
        }
        (at - self.tree.len() / 2, self.tree[at])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_share_and_the_one_that_stays_has_all() {
        let mut pool = Pool::default();
        pool.set(0.0, 10.0, 100.0);
        pool.add(0.0, 1, 10.0);
        pool.add(0.0, 2, 30.0);
        assert_eq!(pool.next(), 2.0);
        assert_eq!(pool.end(2.0), Some(1));
        assert_eq!(pool.next(), 4.0);
        assert_eq!(pool.end(4.0), Some(2));
        assert_eq!(
            (pool.served, pool.presence, pool.saturated),
            (40.0, 6.0, 4.0)
        );
        assert_eq!(pool.next(), f64::INFINITY);
    }

    #[test]
    fn no_more_than_the_limit_and_nothing_without_capacity() {
        let mut pool = Pool::default();
        pool.set(0.0, 10.0, 4.0);
        pool.add(0.0, 1, 8.0);
        pool.add(0.0, 2, 16.0);
        assert_eq!((pool.next(), pool.saturated), (2.0, 0.0));
        pool.set(1.0, 0.0, 4.0);
        assert_eq!(pool.next(), f64::INFINITY);
        assert_eq!(pool.to_go(), 4.0 + 12.0);
        assert_eq!(pool.take(5.0, |id| id == 2), [(2, 12.0)]);
        pool.set(5.0, 10.0, 4.0);
        assert_eq!((pool.next(), pool.len()), (6.0, 1));
    }

    #[test]
    fn the_soonest_of_many() {
        let mut soonest = Soonest::new(5);
        assert_eq!(soonest.least().1, f64::INFINITY);
        for (index, time) in [(0, 5.0), (4, 2.0), (3, 9.0), (4, 7.0), (1, 6.0), (0, 8.0)] {
            soonest.set(index, time);
        }
        assert_eq!(soonest.least(), (1, 6.0));
        let mut one = Soonest::new(1);
        one.set(0, 3.0);
        assert_eq!(one.least(), (0, 3.0));
    }
}
