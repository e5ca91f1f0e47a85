// SPDX-License-Identifier: GPL-2.0

//! The farm level: every connection of a large farm, as a flow that shares a capacity with others; proxies that die and return.
//!
//! Events are the arrival and the end of a connection, and the death of a proxy, its detection, the moment at which the others take
//! over, and its return. Between them rates are constant. With `rr` every packet may go to any proxy, so that the farm is one pool
//! with the capacity of all; with `hash` each proxy is a pool of the connections that it owns.

mod availability;
mod holders;
mod load;
mod sharing;
mod sizes;

pub use availability::{Availability, availability};
pub use load::{Load, needed};
pub use sizes::Shape;

use crate::costs::Costs;
use crate::range::{OutOfRange, inside};
use holders::{Node, first_live, heir, owner, precedes};
use rand::SeedableRng;
use rand_distr::{Binomial, Distribution, Exp1};
use rand_pcg::Pcg64;
use serde::Serialize;
use sharing::{Pool, Soonest};
use std::cmp::Ordering;
use std::collections::{BinaryHeap, HashSet, VecDeque};

/// The most proxies of a farm.
pub const MOST_PROXIES: usize = 10_000;
/// The most connections at once. 16 bytes each.
pub const MOST_CONNECTIONS: u64 = 100_000_000;

/// How the load balancer chooses a proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Dispatch {
    /// For each packet the next one; all proxies have all splices.
    Rr,
    /// For each connection one; it and `replicas` others have its splice.
    Hash,
}

/// Proxies that die together.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Kill {
    /// How many, of those that live then, by their number.
    pub count: usize,
    /// When: seconds.
    pub at: f64,
    /// When they are back: seconds.
    pub back: Option<f64>,
}

/// What is simulated.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Farm {
    pub proxies: usize,
    /// Connections at once, on average, if the farm carries all that they want.
    pub connections: u64,
    /// The most that a connection takes: bits of payload a second.
    pub rate: f64,
    /// Mean size of a connection: bytes of payload.
    pub size: f64,
    pub shape: Shape,
    /// Whether backends splice what they send, which is then all the data.
    pub split: bool,
    pub dispatch: Dispatch,
    /// With `hash`, proxies beside the owner that have a splice.
    pub replicas: usize,
    pub costs: Costs,
    /// Of each proxy.
    pub cores: f64,
    /// Of each proxy: bits of payload a second, each way.
    pub link: f64,
    pub payload: u64,
    pub ack_every: u64,
    /// Round trip between client and backend: seconds.
    pub round_trip: f64,
    /// Mean time between failures of one proxy: seconds; `None` is never.
    pub between_failures: Option<f64>,
    /// Mean time from detection until it is back, with all splices: seconds.
    pub repair: f64,
    pub kills: Vec<Kill>,
    /// From death to detection: seconds.
    pub detection: f64,
    /// From detection until what it had has been copied to others: seconds.
    pub copying: f64,
    /// From accepting a connection until its splice is committed, replicas included: seconds.
    pub setup: f64,
    /// First retransmission time-out of the ends: seconds. It doubles.
    pub timeout: f64,
    /// Seconds.
    pub duration: f64,
    pub seed: u64,
}

impl Default for Farm {
    fn default() -> Farm {
        Farm {
            proxies: 10,
            connections: 1000,
            rate: 5e6,
            size: 10e6,
            shape: Shape::Lognormal,
            split: false,
            dispatch: Dispatch::Hash,
            replicas: 1,
            costs: Costs::default(),
            cores: 1.0,
            link: 1e9,
            payload: 1460,
            ack_every: 2,
            round_trip: 51.4e-3,
            between_failures: None,
            repair: 600.0,
            kills: Vec::new(),
            detection: 0.3,
            copying: 5.0,
            setup: 0.1,
            timeout: 0.2,
            duration: 60.0,
            seed: 1,
        }
    }
}

/// Why a farm cannot be simulated.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Range(#[from] OutOfRange),
    #[error("{0} replicas beside the owner need more than {1} proxies")]
    Replicas(usize, usize),
    #[error("{0} connections would come during the run, and 4 billion can: shorten the run")]
    Arrivals(u64),
    #[error(
        "{0} failures would happen in that time, and 10 million can: shorten it, or let them come less often"
    )]
    Failures(u64),
}

impl Farm {
    /// Proxies beside the owner that have a splice.
    pub fn copies(&self) -> usize {
        match self.dispatch {
            Dispatch::Rr => self.proxies - 1,
            Dispatch::Hash => self.replicas,
        }
    }

    /// How long a connection is silent when its proxy dies: until the first retransmission after the detection. The ends
    /// try again after one time-out, three, seven and so on.
    pub fn stall(&self) -> f64 {
        let mut at = self.timeout;
        let mut timeout = self.timeout;
        while at < self.detection {
            timeout *= 2.0;
            at += timeout;
        }
        at
    }

    /// Refuses more failures than anybody waits for.
    fn check_failures(&self, time: f64) -> Result<(), Error> {
        let each = self
            .between_failures
            .map_or(0.0, |mean| time / (mean + self.repair));
        let failures = each * self.proxies as f64;
        if failures > 1e7 {
            return Err(Error::Failures(failures as u64));
        }
        Ok(())
    }

    /// Refuses what makes no sense.
    pub fn check(&self) -> Result<(), Error> {
        inside(
            "the number of proxies",
            self.proxies as f64,
            1.0,
            MOST_PROXIES as f64,
            "from 1 to 10000",
        )?;
        let most = MOST_CONNECTIONS as f64;
        inside(
            "the number of connections",
            self.connections as f64,
            1.0,
            most,
            "from 1 to 100 million",
        )?;
        inside(
            "the rate of a connection",
            self.rate,
            1.0,
            1e12,
            "from 1 bit/s to 1 Tbit/s",
        )?;
        inside(
            "the size of a connection",
            self.size,
            1.0,
            1e15,
            "from 1 byte to 1 PB",
        )?;
        inside(
            "the number of cores",
            self.cores,
            1e-3,
            1e4,
            "from 0.001 to 10000",
        )?;
        inside(
            "the link",
            self.link,
            1.0,
            1e13,
            "from 1 bit/s to 10 Tbit/s",
        )?;
        inside(
            "the payload",
            self.payload as f64,
            1.0,
            65535.0,
            "from 1 to 65535 bytes",
        )?;
        inside(
            "segments for an acknowledgement",
            self.ack_every as f64,
            1.0,
            1e6,
            "at least 1",
        )?;
        inside(
            "the round trip",
            self.round_trip,
            1e-6,
            100.0,
            "from 1 us to 100 s",
        )?;
        inside(
            "the time between failures",
            self.between_failures.unwrap_or(1.0),
            1e-3,
            1e12,
            "at least 1 ms",
        )?;
        inside(
            "the time of a repair",
            self.repair,
            1e-3,
            1e12,
            "at least 1 ms",
        )?;
        inside(
            "the detection time",
            self.detection,
            0.0,
            1e4,
            "at most 10000 s",
        )?;
        inside(
            "the time to copy splices",
            self.copying,
            0.0,
            1e6,
            "at most 1000000 s",
        )?;
        inside(
            "the time of a setup",
            self.setup,
            0.0,
            1e3,
            "at most 1000 s",
        )?;
        inside(
            "the time-out",
            self.timeout,
            1e-3,
            100.0,
            "from 1 ms to 100 s",
        )?;
        inside(
            "the duration",
            self.duration,
            1e-3,
            1e9,
            "from 1 ms to 1e9 s",
        )?;
        for kill in &self.kills {
            inside("the time of a kill", kill.at, 0.0, 1e9, "from 0 to 1e9 s")?;
            let least = kill.at + self.stall();
            let range = "after the others have taken over";
            inside(
                "the return after a kill",
                kill.back.unwrap_or(f64::MAX),
                least,
                f64::MAX,
                range,
            )?;
        }
        if self.dispatch == Dispatch::Hash && self.replicas >= self.proxies {
            return Err(Error::Replicas(self.replicas, self.proxies));
        }
        if self.costs.check().is_err() {
            return Err(Error::Range(OutOfRange {
                what: "a cost",
                range: "from 0 to 1e9",
            }));
        }
        let arrivals = Load::of(self).arrivals * self.duration + self.connections as f64;
        if arrivals > 4e9 {
            return Err(Error::Arrivals(arrivals as u64));
        }
        self.check_failures(self.duration)
    }
}

/// What came of it.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Outcome {
    /// Connections that were there at first, and that came.
    pub initial: u64,
    pub arrived: u64,
    /// That found twice as many as planned and a thousand, or no proxy.
    pub refused: u64,
    pub completed: u64,
    /// That were there as the run ended.
    pub present: u64,
    /// That were lost before their splice was committed, and those whose splice only dead proxies had.
    pub lost_uncommitted: u64,
    pub lost_committed: u64,
    /// That were silent for a time because a proxy died.
    pub stalled: u64,
    /// With `rr`, that lost packets in a dead proxy.
    pub hit: u64,
    /// Seconds.
    pub longest_stall: f64,
    /// Times that a proxy died, and that it came back.
    pub deaths: u64,
    pub returns: u64,
    /// Fewest proxies that lived at once.
    pub fewest_live: usize,
    /// Connections at once: mean, and the most.
    pub mean_present: f64,
    pub most_present: u64,
    /// The most that one proxy had; with `rr` its share of the splices is all of them.
    pub most_owned: u64,
    /// Payload carried: bits a second.
    pub throughput: f64,
    /// Mean of what a connection had: bits a second.
    pub mean_rate: f64,
    /// Share of the cores of all proxies, dead ones included, that was busy, and of the busiest proxy's.
    pub utilisation: f64,
    pub busiest: f64,
    /// Share of time in which connections had less than they could take; the mean over proxies.
    pub saturated: f64,
    /// Bytes: that connections came with, that were carried, that were lost with connections, that are still to go.
    pub bytes_wanted: f64,
    pub bytes_carried: f64,
    pub bytes_lost: f64,
    pub bytes_to_go: f64,
    /// Events simulated.
    pub events: u64,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Event {
    /// Unless something else has killed it since this was found out: so many deaths before.
    Dies(usize, u32),
    /// So many that live die; they return then.
    Kill(usize, Option<f64>),
    Detected {
        node: usize,
        death: f64,
    },
    TakenOver {
        node: usize,
        death: f64,
    },
    Returns(usize),
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Timed(f64, u64, Event);

impl Eq for Timed {}

impl Ord for Timed {
    /// The soonest is the greatest, as a heap wants it.
    fn cmp(&self, other: &Timed) -> Ordering {
        other.0.total_cmp(&self.0).then(other.1.cmp(&self.1))
    }
}

impl PartialOrd for Timed {
    fn partial_cmp(&self, other: &Timed) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

struct Run<'a> {
    farm: &'a Farm,
    load: Load,
    now: f64,
    random: Pcg64,
    nodes: Vec<Node>,
    /// How often each has died.
    deaths: Vec<u32>,
    pools: Vec<Pool>,
    soonest: Soonest,
    events: BinaryHeap<Timed>,
    order: u64,
    next_arrival: f64,
    next_id: u32,
    present: u64,
    /// Connections that came of late: when, and the number of each.
    recent: VecDeque<(f64, u32)>,
    outcome: Outcome,
}

/// Simulates a farm for its duration, from the state that it would be in if it had long run without a failure.
pub fn simulate(farm: &Farm) -> Result<Outcome, Error> {
    farm.check()?;
    let mut run = Run::new(farm);
    run.run();
    Ok(run.outcome())
}

impl<'a> Run<'a> {
    fn new(farm: &'a Farm) -> Run<'a> {
        let pools = match farm.dispatch {
            Dispatch::Rr => 1,
            Dispatch::Hash => farm.proxies,
        };
        let mut run = Run {
            farm,
            load: Load::of(farm),
            now: 0.0,
            random: Pcg64::seed_from_u64(farm.seed),
            nodes: vec![Node::Live { since: 0.0 }; farm.proxies],
            deaths: vec![0; farm.proxies],
            pools: (0..pools).map(|_| Pool::default()).collect(),
            soonest: Soonest::new(pools),
            events: BinaryHeap::new(),
            order: 0,
            next_arrival: 0.0,
            next_id: 0,
            present: 0,
            recent: VecDeque::new(),
            outcome: Outcome {
                initial: farm.connections,
                fewest_live: farm.proxies,
                ..Outcome::default()
            },
        };
        run.share();
        for _ in 0..farm.connections {
            let bytes = farm.size * farm.shape.rest(&mut run.random);
            run.admit(bytes);
        }
        run.next_arrival = run.gap();
        for node in 0..farm.proxies {
            run.next_death(node);
        }
        for kill in &farm.kills {
            run.at(kill.at, Event::Kill(kill.count, kill.back));
        }
        for index in 0..pools {
            run.soonest.set(index, run.pools[index].next());
        }
        run
    }

    fn at(&mut self, time: f64, event: Event) {
        self.order += 1;
        self.events.push(Timed(time, self.order, event));
    }

    fn exponential(&mut self, mean: f64) -> f64 {
        let one: f64 = Exp1.sample(&mut self.random);
        mean * one
    }

    fn gap(&mut self) -> f64 {
        self.now + self.exponential(1.0 / self.load.arrivals)
    }

    fn next_death(&mut self, node: usize) {
        if let Some(mean) = self.farm.between_failures {
            let time = self.now + self.exponential(mean);
            self.at(time, Event::Dies(node, self.deaths[node]));
        }
    }

    fn live(&self) -> usize {
        self.nodes.iter().filter(|node| node.is_live()).count()
    }

    /// Sets what each pool has, after nodes changed.
    fn share(&mut self) {
        let farm = self.farm;
        let live = self.live();
        let limit = farm.rate / 8.0;
        // New connections and replicas come first; packets have the rest.
        let fixed = (self.load.setup_cores + self.load.replica_cores) / live.max(1) as f64;
        let cores = (farm.cores - fixed).max(0.0);
        let by_cpu = cores / self.load.per_byte.max(f64::MIN_POSITIVE);
        let one = if farm.split {
            by_cpu
        } else {
            by_cpu.min(farm.link / 8.0)
        };
        match farm.dispatch {
            Dispatch::Rr => {
                let silent = self
                    .nodes
                    .iter()
                    .filter(|node| matches!(node, Node::Silent { .. }))
                    .count();
                let lost = silent as f64 / (silent + live).max(1) as f64;
                // What TCP makes of random loss (Mathis and others 1997).
                let mathis = 1.22 * farm.payload as f64 / (farm.round_trip * lost.sqrt());
                self.pools[0].set(self.now, one * live as f64, limit.min(mathis));
                self.soonest.set(0, self.pools[0].next());
            }
            Dispatch::Hash => {
                for (index, pool) in self.pools.iter_mut().enumerate() {
                    let capacity = if self.nodes[index].is_live() {
                        one
                    } else {
                        0.0
                    };
                    pool.set(self.now, capacity, limit);
                    self.soonest.set(index, pool.next());
                }
            }
        }
    }

    /// A connection comes. Whoever calls keeps `soonest`.
    fn admit(&mut self, bytes: f64) -> Option<usize> {
        let id = self.next_id;
        self.next_id += 1;
        let full = self.present >= 2 * self.farm.connections + 1000;
        let Some(owner) = owner(id, &self.nodes).filter(|_| !full) else {
            self.outcome.refused += 1;
            return None;
        };
        let pool = match self.farm.dispatch {
            Dispatch::Rr => 0,
            Dispatch::Hash => owner,
        };
        self.pools[pool].add(self.now, id, bytes);
        self.present += 1;
        self.outcome.bytes_wanted += bytes;
        self.outcome.most_present = self.outcome.most_present.max(self.present);
        Some(pool)
    }

    fn run(&mut self) {
        loop {
            let (pool, end) = self.soonest.least();
            let failure = self.events.peek().map_or(f64::INFINITY, |event| event.0);
            let time = end.min(self.next_arrival).min(failure);
            if time > self.farm.duration {
                break;
            }
            self.now = time;
            self.outcome.events += 1;
            if time == end {
                self.pools[pool].end(time);
                self.soonest.set(pool, self.pools[pool].next());
                self.present -= 1;
                self.outcome.completed += 1;
            } else if time == self.next_arrival {
                self.arrives();
            } else if let Some(Timed(_, _, event)) = self.events.pop() {
                self.happens(event);
            }
        }
        self.now = self.farm.duration;
    }

    fn arrives(&mut self) {
        let bytes = self.farm.size * self.farm.shape.sample(&mut self.random);
        self.outcome.arrived += 1;
        let id = self.next_id;
        if let Some(pool) = self.admit(bytes) {
            self.soonest.set(pool, self.pools[pool].next());
            self.recent.push_back((self.now, id));
        }
        let since = self.now - self.farm.setup.max(self.farm.stall());
        while self.recent.front().is_some_and(|&(time, _)| time < since) {
            self.recent.pop_front();
        }
        self.next_arrival = self.gap();
    }

    fn happens(&mut self, event: Event) {
        match event {
            Event::Dies(node, deaths) => {
                if self.deaths[node] == deaths {
                    self.dies(node, None);
                }
            }
            Event::Kill(count, back) => {
                let live = (0..self.nodes.len()).filter(|&node| self.nodes[node].is_live());
                for node in live.take(count).collect::<Vec<_>>() {
                    self.dies(node, Some(back));
                }
            }
            Event::Detected { node, death } => {
                self.nodes[node] = Node::Out { since: death };
                self.share();
            }
            Event::TakenOver { node, death } => self.taken_over(node, death),
            Event::Returns(node) => self.returns(node),
        }
    }

    /// A proxy dies. It is back at the time that a kill names, or after a repair.
    fn dies(&mut self, node: usize, back: Option<Option<f64>>) {
        let farm = self.farm;
        self.outcome.deaths += 1;
        self.deaths[node] += 1;
        self.nodes[node] = Node::Silent { since: self.now };
        self.outcome.fewest_live = self.outcome.fewest_live.min(self.live());
        self.lose_uncommitted(node);
        if farm.dispatch == Dispatch::Rr {
            self.lose_packets();
        }
        self.share();
        let death = self.now;
        self.at(death + farm.detection, Event::Detected { node, death });
        let taken_over = death + farm.stall();
        self.at(taken_over, Event::TakenOver { node, death });
        let back = back.unwrap_or_else(|| Some(taken_over + self.exponential(farm.repair)));
        if let Some(back) = back {
            self.at(back, Event::Returns(node));
        }
    }

    /// What a proxy had accepted, and that no other one knows, is lost with it.
    fn lose_uncommitted(&mut self, node: usize) {
        let since = self.now - self.farm.setup;
        let recent = self.recent.iter().filter(|&&(time, _)| time >= since);
        // A proxy that died a moment ago is still who accepted: ask as if it lived.
        let mine: HashSet<u32> = recent
            .map(|&(_, id)| id)
            .filter(|&id| owner(id, &self.nodes) == Some(node))
            .collect();
        if mine.is_empty() {
            return;
        }
        let pool = match self.farm.dispatch {
            Dispatch::Rr => 0,
            Dispatch::Hash => node,
        };
        let first = mine.iter().copied().min().unwrap_or(u32::MAX);
        let lost = self.pools[pool].take(self.now, |id| id >= first && mine.contains(&id));
        self.outcome.lost_uncommitted += lost.len() as u64;
        self.lost(&lost);
    }

    fn lost(&mut self, lost: &[(u32, f64)]) {
        self.present -= lost.len() as u64;
        self.outcome.bytes_lost += lost.iter().map(|(_, bytes)| bytes).sum::<f64>();
    }

    /// With `rr`: which connections send packets to a proxy that is dead and not yet known to be, and which of them have to wait for a
    /// time-out, because what they sent again went there, too.
    fn lose_packets(&mut self) {
        let farm = self.farm;
        let chosen = self.nodes.iter().filter(|node| node.is_chosen()).count();
        let live = self.live();
        if live == 0 {
            // Nobody has any splice.
            let lost = self.pools[0].take(self.now, |_| true);
            self.outcome.lost_committed += lost.len() as u64;
            self.lost(&lost);
            return;
        }
        let share = (chosen - live) as f64 / chosen as f64;
        let packets = farm.rate / 8.0 / farm.payload as f64 * farm.detection;
        let mut count = self.binomial(self.present, 1.0 - (1.0 - share).powf(packets.max(1.0)));
        self.outcome.hit += count;
        let (mut stall, mut timeout) = (0.0, farm.timeout);
        while count > 0 && stall < farm.detection {
            count = self.binomial(count, share);
            if stall == 0.0 {
                self.outcome.stalled += count;
            }
            if count > 0 {
                stall += timeout;
                timeout *= 2.0;
                self.outcome.longest_stall = self.outcome.longest_stall.max(stall);
            }
        }
    }

    fn binomial(&mut self, count: u64, share: f64) -> u64 {
        Binomial::new(count, share.clamp(0.0, 1.0)).map_or(0, |law| law.sample(&mut self.random))
    }

    /// With `hash`: the ends of a dead proxy's connections send again, and the packets go to those who are next.
    fn taken_over(&mut self, node: usize, death: f64) {
        if self.farm.dispatch == Dispatch::Rr {
            return;
        }
        let farm = self.farm;
        let replaced = farm.detection + farm.copying;
        let mut gone = Vec::new();
        // Who came after the death has only sent a SYN again.
        let new = self.recent.partition_point(|&(time, _)| time <= death);
        let first_new = self.recent.get(new).map_or(u32::MAX, |&(_, id)| id);
        for (id, bytes) in self.pools[node].take(self.now, |_| true) {
            let next = if id >= first_new {
                first_live(id, &self.nodes)
            } else {
                heir(id, &self.nodes, farm.replicas, death, replaced)
            };
            match next {
                Some(next) => {
                    self.outcome.stalled += 1;
                    self.outcome.longest_stall = self.outcome.longest_stall.max(self.now - death);
                    self.pools[next].add(self.now, id, bytes);
                }
                None if id >= first_new => {
                    self.outcome.refused += 1;
                    self.lost(&[(id, bytes)]);
                }
                None => gone.push((id, bytes)),
            }
        }
        self.outcome.lost_committed += gone.len() as u64;
        self.lost(&gone);
        self.share();
    }

    /// A proxy is back, and has all splices that it should have.
    fn returns(&mut self, node: usize) {
        self.outcome.returns += 1;
        self.nodes[node] = Node::Live { since: self.now };
        if self.farm.dispatch == Dispatch::Hash {
            let count = self.nodes.len();
            for other in 0..count {
                // What a silent one has is decided when it is taken over.
                if other != node && self.nodes[other].is_live() {
                    for (id, bytes) in
                        self.pools[other].take(self.now, |id| precedes(id, node, other, count))
                    {
                        self.pools[node].add(self.now, id, bytes);
                    }
                }
            }
        }
        self.share();
        self.next_death(node);
    }

    fn outcome(mut self) -> Outcome {
        let farm = self.farm;
        let now = self.now;
        self.pools.iter_mut().for_each(|pool| pool.advance(now));
        let sum = |of: fn(&Pool) -> f64| self.pools.iter().map(of).sum::<f64>();
        let carried = sum(|pool| pool.served);
        let presence = sum(|pool| pool.presence);
        let fixed = self.load.setup_cores + self.load.replica_cores;
        let proxies = farm.proxies as f64;
        let busy = |bytes: f64, share: f64| {
            (bytes * self.load.per_byte / now + fixed * share) / farm.cores
        };
        let most = self
            .pools
            .iter()
            .map(|pool| pool.served)
            .fold(0.0, f64::max);
        let utilisation = busy(carried, 1.0) / proxies;
        Outcome {
            present: self.present,
            mean_present: presence / now,
            most_owned: self
                .pools
                .iter()
                .map(|pool| pool.most as u64)
                .max()
                .unwrap_or(0),
            throughput: 8.0 * carried / now,
            mean_rate: 8.0 * carried / presence.max(f64::MIN_POSITIVE),
            utilisation,
            busiest: match farm.dispatch {
                Dispatch::Rr => utilisation,
                Dispatch::Hash => busy(most, 1.0 / proxies),
            },
            saturated: sum(|pool| pool.saturated) / now / self.pools.len() as f64,
            bytes_carried: carried,
            bytes_to_go: sum(Pool::to_go),
            ..self.outcome
        }
    }
}
