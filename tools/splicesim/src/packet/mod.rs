// SPDX-License-Identifier: GPL-2.0

//! The packet level: every packet, its acknowledgements, the queues that it stands in, and TCP at both ends.
//!
//! ```text
//!   separate, colocated: client ==> proxy i ==> backend    data; a different proxy for each packet in turn
//!                        client <-- proxy j <-- backend    acknowledgements; likewise
//!   split:               client <=============== backend   data, spliced where it is sent
//!                        client --> proxy j --> backend    acknowledgements
//! ```
//!
//! A host has a CPU that splices, and links in and out; each is a [`queue`].

mod queue;
mod tcp;

use crate::clock::{Ps, from_seconds, seconds};
use crate::costs::Costs;
use crate::range::{OutOfRange, inside};
use queue::Queue;
use rand::SeedableRng;
use rand_distr::{Distribution, Exp1};
use rand_pcg::Pcg64;
use serde::Serialize;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use tcp::{Ack, Answer, Receiver, Rules, Sender};

/// Who splices, and which way the data goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Configuration {
    /// Proxies between client and backend; the client sends.
    Separate,
    /// Proxies on the same machines as backends: the way from one to the other takes no time.
    Colocated,
    /// The backend sends, and splices what it sends; it goes straight to the client.
    Split,
}

/// When the application has the next segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Arrivals {
    /// Exponential gaps.
    Poisson,
    /// Equal gaps.
    Constant,
}

/// A proxy that is dead for a while.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Outage {
    /// Which, from 0.
    pub proxy: usize,
    /// When it dies: seconds.
    pub from: f64,
    /// When it counts as live again: seconds.
    pub until: Option<f64>,
}

/// What is simulated. The defaults are the source's where it says something.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Scene {
    pub configuration: Configuration,
    pub proxies: usize,
    /// Connections that share the load; all are established and spliced before.
    pub connections: usize,
    /// Data that the application writes: bits a second, payload only.
    pub offered: f64,
    /// Data to transfer: bytes.
    pub bytes: u64,
    /// Payload of a packet: bytes.
    pub payload: u64,
    /// What a packet with data takes on a link beyond its payload: bytes. The source counts 1,460 in all.
    pub header: u64,
    /// What an acknowledgement takes on a link: bytes.
    pub ack: u64,
    /// Room of a receiver, and so the largest window: bytes.
    pub buffer: u64,
    /// Rate of every link: bits a second.
    pub rate: f64,
    /// Room of every queue: bytes. The source names none.
    pub room: Option<u64>,
    /// One way between client and proxies: seconds.
    pub outer: f64,
    /// One way between proxies and backend: seconds.
    pub inner: f64,
    pub costs: Costs,
    /// Every so many segments in order are acknowledged at once, else after `ack_delay` seconds.
    pub ack_every: u64,
    pub ack_delay: f64,
    /// Congestion window at first: segments. `None` is the buffer: the connections have been in use.
    pub initial_window: Option<u64>,
    /// Segments beyond one that say that it is lost.
    pub dup_threshold: u64,
    /// Shortest retransmission time-out: seconds.
    pub min_timeout: f64,
    pub arrivals: Arrivals,
    /// From the death of a proxy until the load balancer stops choosing it: seconds.
    pub detection: f64,
    pub outages: Vec<Outage>,
    /// Stop here, if not done before: seconds.
    pub until: Option<f64>,
    pub seed: u64,
}

impl Default for Scene {
    fn default() -> Scene {
        Scene {
            configuration: Configuration::Separate,
            proxies: 1,
            connections: 32,
            offered: 30e6,
            bytes: 50_000_000,
            payload: 1460,
            header: 0,
            ack: 40,
            buffer: 256 * 1024,
            rate: 1e9,
            room: None,
            outer: 25e-3,
            inner: 0.7e-3,
            costs: Costs::default(),
            ack_every: 2,
            ack_delay: 40e-3,
            initial_window: None,
            dup_threshold: 3,
            min_timeout: 0.2,
            arrivals: Arrivals::Poisson,
            detection: 0.3,
            outages: Vec::new(),
            until: None,
            seed: 1,
        }
    }
}

/// Why a scene cannot be simulated.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Range(#[from] OutOfRange),
    #[error("proxy {0} fails, and there are {1}, counted from 0")]
    NoSuchProxy(usize, usize),
    #[error("proxy {0} returns before it fails, or fails while it is dead")]
    Outages(usize),
}

impl Scene {
    /// One way between proxies and backend as it is in this configuration: seconds.
    pub fn inner(&self) -> f64 {
        match self.configuration {
            Configuration::Colocated => 0.0,
            Configuration::Separate | Configuration::Split => self.inner,
        }
    }

    /// Segments that a receiver has room for.
    pub fn window(&self) -> u64 {
        self.buffer / self.payload
    }

    /// Segments to transfer.
    pub fn segments(&self) -> u64 {
        self.bytes.div_ceil(self.payload)
    }

    fn check(&self) -> Result<(), Error> {
        inside(
            "the number of proxies",
            self.proxies as f64,
            1.0,
            1e4,
            "from 1 to 10000",
        )?;
        inside(
            "the number of connections",
            self.connections as f64,
            1.0,
            1e6,
            "from 1 to 1000000",
        )?;
        inside(
            "the offered load",
            self.offered,
            1e3,
            1e12,
            "from 1 kbit/s to 1 Tbit/s",
        )?;
        inside(
            "the rate of the links",
            self.rate,
            1e3,
            1e12,
            "from 1 kbit/s to 1 Tbit/s",
        )?;
        inside(
            "the payload",
            self.payload as f64,
            1.0,
            65535.0,
            "from 1 to 65535 bytes",
        )?;
        inside(
            "the header",
            self.header as f64,
            0.0,
            65535.0,
            "at most 65535 bytes",
        )?;
        inside(
            "an acknowledgement",
            self.ack as f64,
            0.0,
            65535.0,
            "at most 65535 bytes",
        )?;
        inside(
            "the amount of data",
            self.bytes as f64,
            1.0,
            1e12,
            "from 1 byte to 1 TB",
        )?;
        let buffer = "from one payload to 1 GB";
        inside(
            "the buffer",
            self.buffer as f64,
            self.payload as f64,
            1e9,
            buffer,
        )?;
        inside("the delay", self.outer, 0.0, 10.0, "at most 10 s")?;
        inside("the inner delay", self.inner, 0.0, 10.0, "at most 10 s")?;
        inside(
            "segments for an acknowledgement",
            self.ack_every as f64,
            1.0,
            1e6,
            "at least 1",
        )?;
        inside(
            "the delay of an acknowledgement",
            self.ack_delay,
            1e-6,
            10.0,
            "at most 10 s",
        )?;
        inside(
            "the shortest time-out",
            self.min_timeout,
            1e-3,
            100.0,
            "from 1 ms to 100 s",
        )?;
        inside(
            "the threshold of duplicates",
            self.dup_threshold as f64,
            1.0,
            1e6,
            "at least 1",
        )?;
        inside(
            "the detection time",
            self.detection,
            0.0,
            1e5,
            "at most a day",
        )?;
        let room = self.room.unwrap_or(u64::MAX) as f64;
        let packet = (self.payload + self.header) as f64;
        inside(
            "the room of a queue",
            room,
            packet,
            f64::MAX,
            "at least one packet",
        )?;
        if self.costs.check().is_err() {
            return Err(Error::Range(OutOfRange {
                what: "a cost",
                range: "from 0 to 1e9",
            }));
        }
        let mut outages = self.outages.clone();
        outages.sort_by(|a, b| {
            (a.proxy, a.from)
                .partial_cmp(&(b.proxy, b.from))
                .unwrap_or(std::cmp::Ordering::Equal)
        });
        for (index, outage) in outages.iter().enumerate() {
            inside(
                "the time of a failure",
                outage.from,
                0.0,
                1e5,
                "at most a day",
            )?;
            if outage.proxy >= self.proxies {
                return Err(Error::NoSuchProxy(outage.proxy, self.proxies));
            }
            let until = outage.until.unwrap_or(f64::INFINITY);
            let next = outages
                .get(index + 1)
                .filter(|next| next.proxy == outage.proxy);
            if until.is_nan() || until <= outage.from || next.is_some_and(|next| next.from < until)
            {
                return Err(Error::Outages(outage.proxy));
            }
        }
        Ok(())
    }
}

/// What became of the packets of one kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Packets {
    /// Sent, again or for the first time.
    pub sent: u64,
    pub arrived: u64,
    /// Found a queue full.
    pub dropped: u64,
    /// Sent to a dead proxy, or in one as it died.
    pub died: u64,
    /// No proxy was left that the load balancer thought alive.
    pub nowhere: u64,
    /// On its way as the run ended, counted from what was still to happen.
    pub in_flight: u64,
}

/// What a proxy, or the splicing backend, did.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Work {
    /// Packets with data spliced.
    pub data: u64,
    /// Acknowledgements spliced.
    pub acks: u64,
    /// Share of the time in which it spliced.
    pub utilisation: f64,
    /// How long a packet waited before it was spliced, on average: seconds.
    pub wait: f64,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Outcome {
    /// Whether all the data was delivered.
    pub complete: bool,
    /// From the start to the last delivery, less the time that a bit takes from end to end: seconds.
    ///
    /// A packet that was delivered was spliced within a span of this length, so no throughput is above the bound.
    pub elapsed: f64,
    /// Payload delivered in order during that: bits a second.
    pub throughput: f64,
    /// Bytes that the application wrote, and that the other got.
    pub written: u64,
    pub delivered: u64,
    /// Bytes that arrived and wait for some that are before them.
    pub waiting: u64,
    pub data: Packets,
    pub acks: Packets,
    pub proxies: Vec<Work>,
    pub backend: Option<Work>,
    pub sent_again: u64,
    pub recoveries: u64,
    pub timeouts: u64,
    /// Segments that arrived before one that was sent earlier, and twice.
    pub out_of_order: u64,
    pub twice: u64,
    /// The longest that a connection with data to deliver delivered none: seconds.
    pub longest_stall: f64,
    /// Events simulated.
    pub events: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Load {
    Data {
        number: u64,
        stamp: Ps,
    },
    Ack {
        next: u64,
        block: (u64, u64),
        stamp: Ps,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    /// The application writes a segment.
    Write,
    /// A packet is before the load balancer.
    Balance(u32, Load),
    /// A packet is before the last link.
    Near(u32, Load),
    /// A packet is there.
    There(u32, Load),
    Timeout(u32),
    LateAck(u32),
    Dies(u32),
    Detected(u32),
    Returns(u32),
}

impl Event {
    fn load(&self) -> Option<Load> {
        match *self {
            Event::Balance(_, load) | Event::Near(_, load) | Event::There(_, load) => Some(load),
            _ => None,
        }
    }
}

#[derive(Debug)]
struct Proxy {
    cpu: Queue,
    link: Queue,
    alive: bool,
    /// What the load balancer thinks.
    chosen: bool,
    /// What it is to splice, and whether that is data: when it is done.
    inside: VecDeque<(Ps, bool)>,
    data: u64,
    acks: u64,
    /// When it dies, most imminent last.
    deaths: Vec<Ps>,
}

impl Proxy {
    /// Counts what is spliced by now.
    fn count(&mut self, now: Ps) {
        while let Some(&(done, is_data)) = self.inside.front() {
            if done > now {
                break;
            }
            self.inside.pop_front();
            self.data += u64::from(is_data);
            self.acks += u64::from(!is_data);
        }
    }

    /// What stands in it is lost.
    fn clear(&mut self, now: Ps) {
        self.count(now);
        self.inside.clear();
        self.cpu.clear(now);
        self.link.clear(now);
    }
}

#[derive(Debug)]
struct Connection {
    sender: Sender,
    receiver: Receiver,
    /// Whether an event for the timer, and for the delayed acknowledgement, is to come.
    timer: bool,
    late: bool,
    late_at: Ps,
    written: u64,
    /// Since when there has been something to deliver, and no delivery.
    stalled: Option<Ps>,
}

struct Run<'a> {
    scene: &'a Scene,
    now: Ps,
    events: BinaryHeap<Reverse<(Ps, u64, Event)>>,
    order: u64,
    random: Pcg64,
    proxies: Vec<Proxy>,
    /// Whose turn it is, for data and for acknowledgements.
    turn: [usize; 2],
    connections: Vec<Connection>,
    sender_cpu: Option<Queue>,
    sender_out: Queue,
    sender_in: Queue,
    receiver_out: Queue,
    receiver_in: Queue,
    data: Packets,
    acks: Packets,
    written: u64,
    delivered: u64,
    last_delivery: Ps,
    longest_stall: Ps,
    /// From the sender to the proxies, and from there to the receiver.
    ways: [Ps; 2],
    gap: f64,
}

/// Simulates until all is delivered, or until the time that the scene names.
pub fn simulate(scene: &Scene) -> Result<Outcome, Error> {
    scene.check()?;
    let mut run = Run::new(scene);
    let count = run.run();
    Ok(run.outcome(count))
}

impl<'a> Run<'a> {
    fn new(scene: &'a Scene) -> Run<'a> {
        let rules = Rules {
            window: scene.window(),
            initial_window: scene
                .initial_window
                .unwrap_or(scene.window())
                .clamp(1, scene.window()),
            dup_threshold: scene.dup_threshold,
            min_timeout: from_seconds(scene.min_timeout),
        };
        let queue = || Queue::new(scene.room);
        let (outer, inner) = (from_seconds(scene.outer), from_seconds(scene.inner()));
        let split = scene.configuration == Configuration::Split;
        let mut run = Run {
            scene,
            now: 0,
            events: BinaryHeap::new(),
            order: 0,
            random: Pcg64::seed_from_u64(scene.seed),
            proxies: (0..scene.proxies)
                .map(|_| Proxy {
                    cpu: queue(),
                    link: queue(),
                    alive: true,
                    chosen: true,
                    inside: VecDeque::new(),
                    data: 0,
                    acks: 0,
                    deaths: Vec::new(),
                })
                .collect(),
            turn: [0; 2],
            connections: (0..scene.connections)
                .map(|_| Connection {
                    sender: Sender::new(rules),
                    receiver: Receiver::default(),
                    timer: false,
                    late: false,
                    late_at: 0,
                    written: 0,
                    stalled: None,
                })
                .collect(),
            sender_cpu: split.then(queue),
            sender_out: queue(),
            sender_in: queue(),
            receiver_out: queue(),
            receiver_in: queue(),
            data: Packets::default(),
            acks: Packets::default(),
            written: 0,
            delivered: 0,
            last_delivery: 0,
            longest_stall: 0,
            ways: if split {
                [inner, outer]
            } else {
                [outer, inner]
            },
            gap: (scene.payload * 8) as f64 / scene.offered,
        };
        for outage in &scene.outages {
            let (proxy, from) = (outage.proxy as u32, from_seconds(outage.from));
            run.at(from, Event::Dies(proxy));
            run.proxies[outage.proxy].deaths.push(from);
            let until = outage.until.map(from_seconds);
            let detected = from + from_seconds(scene.detection);
            if until.is_none_or(|until| detected < until) {
                run.at(detected, Event::Detected(proxy));
            }
            if let Some(until) = until {
                run.at(until, Event::Returns(proxy));
            }
        }
        for proxy in &mut run.proxies {
            proxy.deaths.sort_unstable_by(|a, b| b.cmp(a));
        }
        run.next_write();
        run
    }

    fn at(&mut self, time: Ps, event: Event) {
        // What is for the same moment happens in the order in which it was found out.
        self.order += 1;
        self.events.push(Reverse((time, self.order, event)));
    }

    fn next_write(&mut self) {
        if self.written < self.scene.segments() {
            let gaps: f64 = match self.scene.arrivals {
                Arrivals::Constant => 1.0,
                Arrivals::Poisson => Exp1.sample(&mut self.random),
            };
            self.at(self.now + from_seconds(self.gap * gaps), Event::Write);
        }
    }

    fn run(&mut self) -> u64 {
        let until = self.scene.until.map_or(Ps::MAX, from_seconds);
        let mut count = 0;
        while self.delivered < self.scene.segments() {
            let Some(&Reverse((time, _, event))) = self.events.peek() else {
                break;
            };
            if time > until {
                self.now = until;
                break;
            }
            self.events.pop();
            self.now = time;
            count += 1;
            self.happens(event);
        }
        count
    }

    fn happens(&mut self, event: Event) {
        match event {
            Event::Write => {
                let index = (self.written % self.connections.len() as u64) as u32;
                self.written += 1;
                let connection = &mut self.connections[index as usize];
                connection.sender.write();
                connection.written += 1;
                connection.stalled.get_or_insert(self.now);
                self.send(index);
                self.next_write();
            }
            Event::Balance(index, load) => self.balance(index, load),
            Event::Near(index, load) => {
                let (queue, bytes) = match load {
                    Load::Data { .. } => (
                        &mut self.receiver_in,
                        self.scene.payload + self.scene.header,
                    ),
                    Load::Ack { .. } => (&mut self.sender_in, self.scene.ack),
                };
                match queue.offer(self.now, on_link(self.scene.rate, bytes), bytes) {
                    Some(time) => self.at(time, Event::There(index, load)),
                    None => self.packets(load).dropped += 1,
                }
            }
            Event::There(index, Load::Data { number, stamp }) => {
                self.data_arrives(index, number, stamp)
            }
            Event::There(index, Load::Ack { next, block, stamp }) => {
                self.acks.arrived += 1;
                let ack = Ack { next, block, stamp };
                self.connections[index as usize]
                    .sender
                    .acknowledged(self.now, ack);
                self.send(index);
            }
            Event::Timeout(index) => {
                let connection = &mut self.connections[index as usize];
                connection.timer = false;
                match connection.sender.deadline {
                    Some(deadline) if deadline <= self.now => connection.sender.expired(self.now),
                    _ => {}
                }
                self.send(index);
            }
            Event::LateAck(index) => {
                let connection = &mut self.connections[index as usize];
                connection.late = false;
                if self.now < connection.late_at {
                    connection.late = true;
                    let time = connection.late_at;
                    self.at(time, Event::LateAck(index));
                } else if let Some(ack) = connection.receiver.late() {
                    self.answer(index, ack);
                }
            }
            Event::Dies(proxy) => {
                let now = self.now;
                let proxy = &mut self.proxies[proxy as usize];
                proxy.alive = false;
                proxy.clear(now);
                proxy.deaths.pop();
            }
            Event::Detected(proxy) => self.proxies[proxy as usize].chosen = false,
            Event::Returns(proxy) => {
                let now = self.now;
                let proxy = &mut self.proxies[proxy as usize];
                proxy.alive = true;
                proxy.chosen = true;
                proxy.clear(now);
            }
        }
    }

    fn packets(&mut self, load: Load) -> &mut Packets {
        match load {
            Load::Data { .. } => &mut self.data,
            Load::Ack { .. } => &mut self.acks,
        }
    }

    /// Sends what the windows of a connection allow.
    fn send(&mut self, index: u32) {
        let scene = self.scene;
        let bytes = scene.payload + scene.header;
        while let Some(number) = self.connections[index as usize].sender.next(self.now) {
            self.data.sent += 1;
            let load = Load::Data {
                number,
                stamp: self.now,
            };
            let spliced = match &mut self.sender_cpu {
                Some(cpu) => cpu.offer(self.now, micro(scene.costs.backend_us), bytes),
                None => Some(self.now),
            };
            let left = spliced.and_then(|time| {
                self.sender_out
                    .offer(time, on_link(scene.rate, bytes), bytes)
            });
            match left {
                None => self.data.dropped += 1,
                // Straight to the client, by the same routers.
                Some(time) if self.sender_cpu.is_some() => {
                    self.at(time + self.ways[0] + self.ways[1], Event::Near(index, load));
                }
                Some(time) => self.at(time + self.ways[0], Event::Balance(index, load)),
            }
        }
        let connection = &mut self.connections[index as usize];
        if let (Some(deadline), false) = (connection.sender.deadline, connection.timer) {
            connection.timer = true;
            self.at(deadline.max(self.now), Event::Timeout(index));
        }
    }

    /// The load balancer gives a packet to the proxy whose turn it is, which splices it and sends it on.
    fn balance(&mut self, index: u32, load: Load) {
        let scene = self.scene;
        let (turn, bytes, cost, way) = match load {
            Load::Data { .. } => (
                0,
                scene.payload + scene.header,
                scene.costs.data_us,
                self.ways[1],
            ),
            Load::Ack { .. } => (1, scene.ack, scene.costs.ack_us, self.ways[0]),
        };
        let count = self.proxies.len();
        let chosen = (0..count)
            .map(|i| (self.turn[turn] + i) % count)
            .find(|&i| self.proxies[i].chosen);
        let Some(chosen) = chosen else {
            self.packets(load).nowhere += 1;
            return;
        };
        self.turn[turn] = (chosen + 1) % count;
        let proxy = &mut self.proxies[chosen];
        if !proxy.alive {
            self.packets(load).died += 1;
            return;
        }
        let Some(spliced) = proxy.cpu.offer(self.now, micro(cost), bytes) else {
            self.packets(load).dropped += 1;
            return;
        };
        let death = proxy.deaths.last().copied().unwrap_or(Ps::MAX);
        proxy.count(self.now);
        proxy
            .inside
            .push_back((spliced, matches!(load, Load::Data { .. })));
        match proxy.link.offer(spliced, on_link(scene.rate, bytes), bytes) {
            Some(left) if left >= death => self.packets(load).died += 1,
            Some(left) => self.at(left + way, Event::Near(index, load)),
            None => self.packets(load).dropped += 1,
        }
    }

    fn data_arrives(&mut self, index: u32, number: u64, stamp: Ps) {
        self.data.arrived += 1;
        let every = self.scene.ack_every;
        let connection = &mut self.connections[index as usize];
        let before = connection.receiver.delivered();
        let answer = connection.receiver.arrived(number, stamp, every);
        let delivered = connection.receiver.delivered() - before;
        if delivered > 0 {
            self.delivered += delivered;
            self.last_delivery = self.now;
            let since = connection.stalled.take().unwrap_or(self.now);
            self.longest_stall = self.longest_stall.max(self.now - since);
            if connection.written > connection.receiver.delivered() {
                connection.stalled = Some(self.now);
            }
        }
        match answer {
            Answer::Now(ack) => self.answer(index, ack),
            Answer::Later => {
                connection.late_at = self.now + from_seconds(self.scene.ack_delay);
                if !connection.late {
                    connection.late = true;
                    let time = connection.late_at;
                    self.at(time, Event::LateAck(index));
                }
            }
        }
    }

    fn answer(&mut self, index: u32, ack: Ack) {
        self.acks.sent += 1;
        let load = Load::Ack {
            next: ack.next,
            block: ack.block,
            stamp: ack.stamp,
        };
        let bytes = self.scene.ack;
        match self
            .receiver_out
            .offer(self.now, on_link(self.scene.rate, bytes), bytes)
        {
            Some(time) => self.at(time + self.ways[1], Event::Balance(index, load)),
            None => self.acks.dropped += 1,
        }
    }

    fn outcome(mut self, events: u64) -> Outcome {
        let scene = self.scene;
        let way = self.ways[0] + self.ways[1];
        // A run that was stopped has had all its time; the last delivery may be long ago.
        let complete = self.delivered == scene.segments();
        let end = if complete {
            self.last_delivery
        } else {
            self.now
        };
        let elapsed = end.saturating_sub(way);
        self.proxies.iter_mut().for_each(|proxy| proxy.count(end));
        for connection in &self.connections {
            if let (Some(since), false) = (connection.stalled, complete) {
                self.longest_stall = self.longest_stall.max(self.now - since);
            }
        }
        let waiting = std::mem::take(&mut self.events).into_iter();
        for load in waiting.filter_map(|Reverse((_, _, event))| event.load()) {
            self.packets(load).in_flight += 1;
        }
        // What a queue took and did not yet get to is not work done.
        let work = |cpu: &Queue, data, acks, from: Ps, to: Ps| Work {
            data,
            acks,
            utilisation: cpu.busy_until(to) as f64 / to.saturating_sub(from).max(1) as f64,
            wait: seconds(cpu.waited) / cpu.taken.max(1) as f64,
        };
        let sum = |count: fn(&Connection) -> u64| self.connections.iter().map(count).sum::<u64>();
        Outcome {
            complete,
            elapsed: seconds(elapsed),
            throughput: (self.delivered * scene.payload * 8) as f64 / seconds(elapsed.max(1)),
            written: self.written * scene.payload,
            delivered: self.delivered * scene.payload,
            waiting: sum(|c| c.receiver.waiting()) * scene.payload,
            data: self.data,
            acks: self.acks,
            proxies: self
                .proxies
                .iter()
                .map(|p| work(&p.cpu, p.data, p.acks, self.ways[0], end))
                .collect(),
            backend: self
                .sender_cpu
                .as_ref()
                .map(|cpu| work(cpu, cpu.taken, 0, 0, elapsed)),
            sent_again: sum(|c| c.sender.sent_again),
            recoveries: sum(|c| c.sender.recoveries),
            timeouts: sum(|c| c.sender.timeouts),
            out_of_order: sum(|c| c.receiver.out_of_order),
            twice: sum(|c| c.receiver.twice),
            longest_stall: seconds(self.longest_stall),
            events,
        }
    }
}

/// How long a link sends so many bytes.
fn on_link(rate: f64, bytes: u64) -> Ps {
    from_seconds((bytes * 8) as f64 / rate)
}

/// Microseconds of a cost.
fn micro(cost: f64) -> Ps {
    from_seconds(cost * 1e-6)
}
