// SPDX-License-Identifier: GPL-2.0

//! Failures over years: proxies die and return one by one, as in [`super::simulate`]; connections are counted by what is expected of
//! them, so that a year takes no longer than its failures.

use super::load::carrying;
use super::{Dispatch, Error, Farm, Load};
use rand::SeedableRng;
use rand_distr::{Distribution, Exp1};
use rand_pcg::Pcg64;
use serde::Serialize;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// What failures cost. Connections are means, and no whole numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Availability {
    /// What was looked at: seconds.
    pub time: f64,
    pub deaths: u64,
    /// Most proxies that were dead at once.
    pub most_dead: usize,
    /// Connections that came in that time.
    pub connections: f64,
    /// Lost before their splice was committed, and those whose splice only dead proxies had.
    pub lost_uncommitted: f64,
    pub lost_committed: f64,
    /// Silent until the first retransmission after the detection, or with `rr` after one time-out or more.
    pub stalled: f64,
    /// Time with fewer proxies than carry what is wanted: seconds.
    pub short: f64,
}

/// `k` of `n`, as a share of those of `m`: what part of all choices of `k` proxies among `m` falls into `n` of them.
fn share_of_choices(n: usize, m: usize, k: usize) -> f64 {
    (0..k)
        .map(|i| n.saturating_sub(i) as f64 / (m.saturating_sub(i)).max(1) as f64)
        .product()
}

/// Looks at failures for so many seconds. Kills are not among them.
pub fn availability(farm: &Farm, time: f64) -> Result<Availability, Error> {
    farm.check()?;
    farm.check_failures(time)?;
    let load = Load::of(farm);
    let all = farm.connections as f64;
    let mut result = Availability {
        time,
        connections: load.arrivals * time,
        ..Availability::default()
    };
    let Some(mean) = farm.between_failures else {
        return Ok(result);
    };
    let enough = carrying(farm, 1.0).unwrap_or(usize::MAX);
    let random = &mut Pcg64::seed_from_u64(farm.seed);
    let mut exponential = |mean: f64| -> f64 {
        let one: f64 = Exp1.sample(random);
        mean * one
    };
    // Moments are floats that are not negative: their bits are in the same order.
    let mut events = BinaryHeap::new();
    for node in 0..farm.proxies {
        events.push(Reverse((exponential(mean).to_bits(), node)));
    }
    let mut dead: Vec<(usize, f64)> = Vec::new();
    let mut before = 0.0;
    while let Some(Reverse((bits, node))) = events.pop() {
        let now = f64::from_bits(bits).min(time);
        if farm.proxies - dead.len() < enough {
            result.short += now - before;
        }
        before = now;
        if now >= time {
            break;
        }
        if let Some(index) = dead.iter().position(|&(other, _)| other == node) {
            dead.swap_remove(index);
            events.push(Reverse(((now + exponential(mean)).to_bits(), node)));
            continue;
        }
        let live = farm.proxies - dead.len();
        let replaced = farm.detection + farm.copying;
        let fresh = dead
            .iter()
            .filter(|&&(_, since)| since + replaced >= now)
            .count();
        result.deaths += 1;
        result.lost_uncommitted +=
            load.arrivals * farm.setup.min(farm.size * 8.0 / farm.rate) / live as f64;
        match farm.dispatch {
            Dispatch::Rr if live == 1 => result.lost_committed += all,
            Dispatch::Rr => {
                let packets = (farm.rate / 8.0 / farm.payload as f64 * farm.detection).max(1.0);
                let share = 1.0 / live as f64;
                result.stalled += all * (1.0 - (1.0 - share).powf(packets)) * share;
            }
            Dispatch::Hash => {
                // All holders are among this one and those that died of late; had it not been for this one, they would not be.
                let holders = farm.replicas + 1;
                let lost = all
                    * (share_of_choices(fresh + 1, live + fresh, holders)
                        - share_of_choices(fresh, live + fresh, holders));
                result.lost_committed += lost;
                result.stalled += all / live as f64 - lost;
            }
        }
        dead.push((node, now));
        result.most_dead = result.most_dead.max(dead.len());
        let back = now + farm.stall() + exponential(farm.repair);
        events.push(Reverse((back.to_bits(), node)));
    }
    Ok(result)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn choices() {
        // 3 of 10 for the first, 2 of 9 for the second.
        assert!((share_of_choices(3, 10, 2) - 6.0 / 90.0).abs() < 1e-12);
        assert_eq!(share_of_choices(1, 10, 2), 0.0);
        assert_eq!(share_of_choices(4, 4, 3), 1.0);
    }
}
