// SPDX-License-Identifier: GPL-2.0

//! TCP as far as throughput needs it: one direction of data, in whole segments, counted from 0.
//!
//! Windows and their growth (RFC 5681), selective acknowledgements and the recovery that goes by them (RFC 6675),
//! the retransmission timer (RFC 6298), delayed acknowledgements (RFC 1122, 4.2.3.2), timestamps for the round-trip
//! time (RFC 7323). No undoing of a recovery that proves to have been needless, no F-RTO, no RACK, no pacing.

use crate::clock::{Ps, SECOND};
use std::collections::VecDeque;

/// What a receiver tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ack {
    /// The first segment that has not arrived.
    pub(super) next: u64,
    /// The run of segments beyond `next`, `from..to`, that the segment which caused this belongs to; empty if it is in order.
    pub(super) block: (u64, u64),
    /// The stamp of the segment that caused this.
    pub(super) stamp: Ps,
}

/// How the sender behaves.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    /// Segments that the receiver has room for.
    pub(super) window: u64,
    /// Segments of the congestion window at first.
    pub(super) initial_window: u64,
    /// So many selectively acknowledged segments above one say that it is lost.
    pub(super) dup_threshold: u64,
    /// The retransmission timer is no shorter.
    pub(super) min_timeout: Ps,
}

#[derive(Clone, Copy, Debug, Default)]
struct Sent {
    arrived: bool,
    lost: bool,
    again: bool,
}

impl Sent {
    /// Whether it counts as on its way.
    fn flies(self) -> bool {
        !self.arrived && (!self.lost || self.again)
    }
}

#[derive(Debug)]
pub(super) struct Sender {
    rules: Rules,
    /// What is not yet acknowledged, from `una` on.
    sent: VecDeque<Sent>,
    una: u64,
    /// Segments that the application has written.
    written: u64,
    window: f64,
    threshold: f64,
    /// In recovery until this is acknowledged.
    recover: Option<u64>,
    /// Segments marked as arrived, and as on their way.
    arrived: u64,
    flying: u64,
    /// Segments marked as lost and not sent again.
    missing: u64,
    smoothed: Option<(Ps, Ps)>,
    timeout: Ps,
    /// When the retransmission timer expires.
    pub(super) deadline: Option<Ps>,
    pub(super) sent_again: u64,
    pub(super) recoveries: u64,
    pub(super) timeouts: u64,
}

impl Sender {
    pub(super) fn new(rules: Rules) -> Sender {
        Sender {
            rules,
            sent: VecDeque::new(),
            una: 0,
            written: 0,
            window: rules.initial_window as f64,
            threshold: f64::INFINITY,
            recover: None,
            arrived: 0,
            flying: 0,
            missing: 0,
            smoothed: None,
            timeout: SECOND.max(rules.min_timeout),
            deadline: None,
            sent_again: 0,
            recoveries: 0,
            timeouts: 0,
        }
    }

    /// The application writes a segment.
    pub(super) fn write(&mut self) {
        self.written += 1;
    }

    /// The next segment to send now, if the windows allow one.
    pub(super) fn next(&mut self, now: Ps) -> Option<u64> {
        if self.flying >= (self.window as u64).max(1) {
            return None;
        }
        let number = if self.missing > 0 {
            let index = self
                .sent
                .iter()
                .position(|s| s.lost && !s.again && !s.arrived)?;
            self.sent[index].again = true;
            self.missing -= 1;
            self.sent_again += 1;
            self.una + index as u64
        } else {
            let number = self.una + self.sent.len() as u64;
            if number >= self.written || number >= self.una + self.rules.window {
                return None;
            }
            self.sent.push_back(Sent::default());
            number
        };
        self.flying += 1;
        self.deadline.get_or_insert(now + self.timeout);
        Some(number)
    }

    /// An acknowledgement arrives.
    pub(super) fn acknowledged(&mut self, now: Ps, ack: Ack) {
        let was_full = self.flying + 1 >= self.window as u64;
        let newly = ack.next.saturating_sub(self.una);
        for _ in 0..newly {
            let Some(s) = self.sent.pop_front() else {
                break;
            };
            self.arrived -= u64::from(s.arrived);
            self.flying -= u64::from(s.flies());
            self.missing -= u64::from(s.lost && !s.again && !s.arrived);
        }
        self.una += newly;
        for number in ack.block.0.max(self.una)..ack.block.1 {
            let s = &mut self.sent[(number - self.una) as usize];
            if !s.arrived {
                self.flying -= u64::from(s.flies());
                self.missing -= u64::from(s.lost && !s.again);
                s.arrived = true;
                self.arrived += 1;
            }
        }
        self.measured(now.saturating_sub(ack.stamp));
        if self.recover.is_some_and(|end| self.una >= end) {
            self.recover = None;
            self.window = self.window.min(self.threshold).max(1.0);
        }
        self.judge();
        if newly > 0 {
            // In a recovery that the timer began the window has to grow from one; in one that selective acknowledgements
            // began it stands at the threshold, and stays.
            let grows = self.recover.is_none() || self.window < self.threshold;
            if grows && was_full {
                if self.window < self.threshold {
                    self.window += newly as f64;
                } else {
                    self.window += newly as f64 / self.window;
                }
                self.window = self.window.min(self.rules.window as f64);
            }
            self.deadline = (!self.sent.is_empty()).then(|| now + self.timeout);
        }
    }

    /// Marks what is lost by what arrived above it, and begins a recovery if there is something new.
    fn judge(&mut self) {
        if self.arrived < self.rules.dup_threshold {
            return;
        }
        let mut above = 0;
        let mut found = false;
        for s in self.sent.iter_mut().rev() {
            if s.arrived {
                above += 1;
            } else if above >= self.rules.dup_threshold && !s.lost {
                s.lost = true;
                found = true;
                self.flying -= 1;
                self.missing += 1;
            }
        }
        if found && self.recover.is_none() {
            self.recoveries += 1;
            self.recover = Some(self.una + self.sent.len() as u64);
            self.threshold = ((self.sent.len() as f64).min(self.window) / 2.0).max(2.0);
            self.window = self.threshold;
        }
    }

    /// A round trip took so long (RFC 6298, section 2).
    fn measured(&mut self, trip: Ps) {
        let (mean, deviation) = match self.smoothed {
            None => (trip, trip / 2),
            Some((mean, deviation)) => (
                (7 * mean + trip) / 8,
                (3 * deviation + mean.abs_diff(trip)) / 4,
            ),
        };
        self.smoothed = Some((mean, deviation));
        self.timeout = (mean + 4 * deviation).max(self.rules.min_timeout);
    }

    /// The retransmission timer expired: all that has not arrived counts as lost (RFC 6298, section 5).
    pub(super) fn expired(&mut self, now: Ps) {
        self.timeouts += 1;
        self.threshold = ((self.sent.len() as f64).min(self.window) / 2.0).max(2.0);
        self.window = 1.0;
        self.recover = Some(self.una + self.sent.len() as u64);
        for s in self.sent.iter_mut().filter(|s| !s.arrived) {
            s.lost = true;
            s.again = false;
        }
        self.flying = 0;
        self.missing = self.sent.len() as u64 - self.arrived;
        self.timeout = (self.timeout * 2).min(120 * SECOND);
        self.deadline = Some(now + self.timeout);
    }
}

/// What a receiver does about a segment.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Now(Ack),
    /// Unless another segment comes first.
    Later,
}

#[derive(Debug, Default)]
pub(super) struct Receiver {
    /// The first segment that has not arrived.
    next: u64,
    /// Whether `next`, `next + 1` and so on have arrived; the first never has.
    beyond: VecDeque<bool>,
    unanswered: u64,
    stamp: Ps,
    /// Segments that arrived out of order, and twice.
    pub(super) out_of_order: u64,
    pub(super) twice: u64,
}

impl Receiver {
    /// Segments that the application has.
    pub(super) fn delivered(&self) -> u64 {
        self.next
    }

    /// Segments that arrived and wait for one before them.
    pub(super) fn waiting(&self) -> u64 {
        self.beyond.iter().filter(|&&arrived| arrived).count() as u64
    }

    /// A segment arrives; every `every`th in order is acknowledged at once.
    pub(super) fn arrived(&mut self, number: u64, stamp: Ps, every: u64) -> Answer {
        let Some(index) = number.checked_sub(self.next) else {
            self.twice += 1;
            return self.answer(stamp, (0, 0));
        };
        let index = index as usize;
        if index == 0 {
            let had_gap = !self.beyond.is_empty();
            self.beyond.pop_front();
            self.next += 1;
            while self.beyond.front() == Some(&true) {
                self.beyond.pop_front();
                self.next += 1;
            }
            // The oldest stamp that is not yet echoed (RFC 7323, 4.3).
            if self.unanswered == 0 {
                self.stamp = stamp;
            }
            self.unanswered += 1;
            // What fills a gap is acknowledged at once (RFC 5681, 4.2).
            return if had_gap || self.unanswered >= every {
                self.answer(self.stamp, (0, 0))
            } else {
                Answer::Later
            };
        }
        if self.beyond.len() <= index {
            self.beyond.resize(index + 1, false);
        }
        if std::mem::replace(&mut self.beyond[index], true) {
            self.twice += 1;
        } else {
            self.out_of_order += 1;
        }
        let from = self
            .beyond
            .iter()
            .take(index)
            .rposition(|&arrived| !arrived)
            .map_or(0, |i| i + 1);
        let to = self.beyond.iter().skip(index).position(|&arrived| !arrived);
        let to = to.map_or(self.beyond.len(), |i| i + index);
        let block = (self.next + from as u64, self.next + to as u64);
        self.answer(stamp, block)
    }

    /// The time for a delayed acknowledgement is over.
    pub(super) fn late(&mut self) -> Option<Ack> {
        (self.unanswered > 0).then(|| {
            self.unanswered = 0;
            Ack {
                next: self.next,
                block: (0, 0),
                stamp: self.stamp,
            }
        })
    }

    fn answer(&mut self, stamp: Ps, block: (u64, u64)) -> Answer {
        self.unanswered = 0;
        Answer::Now(Ack {
            next: self.next,
            block,
            stamp,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: Rules = Rules {
        window: 100,
        initial_window: 10,
        dup_threshold: 3,
        min_timeout: SECOND / 5,
    };

    fn sender(written: u64) -> Sender {
        let mut sender = Sender::new(RULES);
        (0..written).for_each(|_| sender.write());
        sender
    }

    fn burst(sender: &mut Sender, now: Ps) -> Vec<u64> {
        std::iter::from_fn(|| sender.next(now)).collect()
    }

    fn ack(next: u64, block: (u64, u64)) -> Ack {
        Ack {
            next,
            block,
            stamp: 0,
        }
    }

    #[test]
    fn the_initial_window_then_slow_start() {
        let mut sender = sender(1000);
        assert_eq!(burst(&mut sender, 0), (0..10).collect::<Vec<_>>());
        sender.acknowledged(1, ack(2, (0, 0)));
        assert_eq!(burst(&mut sender, 1), [10, 11, 12, 13]);
    }

    #[test]
    fn the_receivers_window_is_the_limit() {
        let mut sender = sender(1000);
        sender.window = 500.0;
        assert_eq!(burst(&mut sender, 0).len(), 100);
        sender.acknowledged(1, ack(7, (0, 0)));
        assert_eq!(burst(&mut sender, 1).last(), Some(&106));
    }

    #[test]
    fn three_above_are_a_loss_and_two_are_not() {
        let mut sender = sender(10);
        burst(&mut sender, 0);
        sender.acknowledged(1, ack(0, (1, 3)));
        assert_eq!((sender.recoveries, sender.missing), (0, 0));
        sender.acknowledged(1, ack(0, (1, 4)));
        assert_eq!((sender.recoveries, sender.missing), (1, 1));
        // Ten sent: the threshold is five. Six fly: 4 to 9.
        assert_eq!(sender.window, 5.0);
        assert_eq!(sender.next(1), None);
        sender.acknowledged(1, ack(0, (1, 6)));
        assert_eq!(sender.next(1), Some(0));
        assert_eq!(sender.sent_again, 1);
        sender.acknowledged(2, ack(10, (0, 0)));
        assert_eq!(sender.una, sender.written);
        assert_eq!(
            (
                sender.recover,
                sender.flying,
                sender.arrived,
                sender.missing
            ),
            (None, 0, 0, 0)
        );
        assert_eq!(sender.deadline, None);
    }

    #[test]
    fn what_counts_is_what_arrived_above() {
        let mut sender = sender(10);
        burst(&mut sender, 0);
        sender.acknowledged(1, ack(0, (1, 2)));
        sender.acknowledged(1, ack(0, (3, 5)));
        // Three above the first, two above the third.
        assert_eq!(sender.missing, 1);
        sender.acknowledged(1, ack(0, (6, 7)));
        assert_eq!(sender.missing, 2);
    }

    #[test]
    fn the_timer_doubles_and_sends_all_again_from_one() {
        let mut sender = sender(10);
        burst(&mut sender, 0);
        assert_eq!(sender.deadline, Some(SECOND));
        sender.expired(SECOND);
        assert_eq!(sender.deadline, Some(3 * SECOND));
        assert_eq!(burst(&mut sender, SECOND), [0]);
        sender.acknowledged(SECOND + 1, ack(1, (0, 0)));
        assert_eq!(burst(&mut sender, SECOND + 1), [1, 2]);
    }

    #[test]
    fn every_second_is_acknowledged_and_what_is_out_of_order_at_once() {
        let mut receiver = Receiver::default();
        assert_eq!(receiver.arrived(0, 5, 2), Answer::Later);
        assert_eq!(
            receiver.arrived(1, 6, 2),
            Answer::Now(Ack {
                next: 2,
                block: (0, 0),
                stamp: 5
            })
        );
        assert_eq!(
            receiver.arrived(4, 7, 2),
            Answer::Now(Ack {
                next: 2,
                block: (4, 5),
                stamp: 7
            })
        );
        assert_eq!(
            receiver.arrived(3, 8, 2),
            Answer::Now(Ack {
                next: 2,
                block: (3, 5),
                stamp: 8
            })
        );
        assert_eq!(
            receiver.arrived(6, 9, 2),
            Answer::Now(Ack {
                next: 2,
                block: (6, 7),
                stamp: 9
            })
        );
        assert_eq!(
            receiver.arrived(2, 10, 2),
            Answer::Now(Ack {
                next: 5,
                block: (0, 0),
                stamp: 10
            })
        );
        assert_eq!((receiver.delivered(), receiver.waiting()), (5, 1));
        assert_eq!(
            receiver.arrived(1, 11, 2),
            Answer::Now(Ack {
                next: 5,
                block: (0, 0),
                stamp: 11
            })
        );
        assert_eq!((receiver.out_of_order, receiver.twice), (3, 1));
        assert_eq!(
            receiver.arrived(5, 12, 2),
            Answer::Now(Ack {
                next: 7,
                block: (0, 0),
                stamp: 12
            })
        );
        assert_eq!(receiver.late(), None);
        assert_eq!(receiver.arrived(7, 13, 2), Answer::Later);
        assert_eq!(
            receiver.late(),
            Some(Ack {
                next: 8,
                block: (0, 0),
                stamp: 13
            })
        );
        assert_eq!(receiver.late(), None);
    }
}
