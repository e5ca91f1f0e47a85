// SPDX-License-Identifier: GPL-2.0

//! Whether a peer is alive, by the heartbeats that came from it.
//!
//! Times are what a monotonic clock says since some beginning. Nothing here reads a clock.

use std::collections::VecDeque;
use std::time::Duration;

/// Time in which a peer that goes up and down is remembered for it.
const FLAP_WINDOW: Duration = Duration::from_secs(60);
/// Losses within that time that are forgiven.
const FLAPS: usize = 2;
/// How long a peer has to be heard without a gap after one loss too many; doubled for each further
/// one.
const HOLD: Duration = Duration::from_secs(2);
/// It is never longer.
const MAX_HOLD: Duration = Duration::from_secs(60);

/// One peer, as it is heard.
#[derive(Debug, Clone)]
pub struct Liveness {
    /// Without a heartbeat for so long it is lost.
    timeout: Duration,
    last: Option<Duration>,
    /// Since when it was heard without a gap; `None` when it is lost.
    since: Option<Duration>,
    /// When it was lost, of late.
    lost: VecDeque<Duration>,
}

impl Liveness {
    /// A peer that was never heard. It is lost when `misses` heartbeats in a row, due every
    /// `interval`, did not come.
    pub fn new(interval: Duration, misses: u32) -> Liveness {
        Liveness {
            timeout: interval.saturating_mul(misses),
            last: None,
            since: None,
            lost: VecDeque::new(),
        }
    }

    /// A heartbeat came.
    pub fn heard(&mut self, now: Duration) {
        self.check(now);
        self.last = Some(now);
        self.since.get_or_insert(now);
    }

    /// Takes notice of the time: whether the peer was lost by now, and was not before.
    pub fn check(&mut self, now: Duration) -> bool {
        if self.since.is_none() || self.deadline().is_none_or(|deadline| now < deadline) {
            return false;
        }
        self.since = None;
        self.lost.push_back(now);
        while self
            .lost
            .front()
            .is_some_and(|lost| now.saturating_sub(*lost) > FLAP_WINDOW)
            || self.lost.len() > 16
        {
            self.lost.pop_front();
        }
        true
    }

    /// When it will be lost, if nothing is heard before.
    pub fn deadline(&self) -> Option<Duration> {
        self.since?;
        Some(self.last?.saturating_add(self.timeout))
    }

    /// Whether it is heard, as of the last [`check`](Self::check).
    pub fn is_alive(&self) -> bool {
        self.since.is_some()
    }

    /// When it was last heard.
    pub fn last(&self) -> Option<Duration> {
        self.last
    }

    /// From when on it counts, if it goes on being heard: at once, or later for one that was lost
    /// often of late.
    pub fn steady_from(&self) -> Option<Duration> {
        let since = self.since?;
        let recent = self
            .lost
            .iter()
            .filter(|lost| since.saturating_sub(**lost) <= FLAP_WINDOW)
            .count();
        let hold = match recent.checked_sub(FLAPS + 1) {
            None => Duration::ZERO,
            Some(more) => HOLD.saturating_mul(1 << more.min(6)).min(MAX_HOLD),
        };
        Some(since.saturating_add(hold))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn peer() -> Liveness {
        Liveness::new(ms(100), 3)
    }

    #[test]
    fn lost_after_three_misses_and_not_before() {
        let mut peer = peer();
        assert!(!peer.check(ms(10_000)), "never heard is not lost");
        peer.heard(ms(10_000));
        assert!(!peer.check(ms(10_299)) && peer.is_alive());
        assert!(peer.check(ms(10_300)) && !peer.is_alive());
        assert!(!peer.check(ms(10_301)), "it is told once");
    }

    #[test]
    fn two_misses_and_jitter_are_nothing() {
        let mut peer = peer();
        let mut now = ms(0);
        for gap in [100, 299, 1, 250, 200, 299] {
            now += ms(gap);
            peer.heard(now);
            assert!(peer.is_alive());
        }
        assert!(peer.lost.is_empty());
    }

    #[test]
    fn a_gap_is_seen_even_if_nobody_looked() {
        let mut peer = peer();
        peer.heard(ms(0));
        peer.heard(ms(500));
        assert_eq!(peer.lost.len(), 1);
        assert_eq!(peer.steady_from(), Some(ms(500)));
    }

    #[test]
    fn who_flaps_has_to_wait() {
        let mut peer = peer();
        let mut holds = Vec::new();
        for n in 0..8u64 {
            let now = ms(n * 1000);
            peer.heard(now);
            holds.push(peer.steady_from().unwrap() - now);
            assert!(peer.check(now + ms(300)));
        }
        let expected = [0, 0, 0, 2, 4, 8, 16, 32].map(Duration::from_secs);
        assert_eq!(holds, expected);
        // After a minute of quiet it is forgotten.
        peer.heard(ms(70_000));
        assert_eq!(peer.steady_from(), Some(ms(70_000)));
    }

    #[test]
    fn memory_is_bounded() {
        let mut peer = peer();
        for n in 0..1000 {
            peer.heard(ms(n * 301));
        }
        assert!(peer.lost.len() <= 17);
        assert_eq!(peer.steady_from(), Some(ms(999 * 301) + MAX_HOLD));
    }
}
