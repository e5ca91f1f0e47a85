// SPDX-License-Identifier: GPL-2.0

//! Random connections that move from host to host and back (TCP handoff). The client must not be able to tell: every byte is
//! compared at both ends, wherever the server is just then.
//!
//! ```text
//!   cN c0 10.0.1.2 ──┬── pN e0 10.0.1.1    whoever the client connects to
//!                    ├── sN e0 10.0.1.11
//!                    └── tN e0 10.0.1.12   all with 10.0.1.100, the service's address
//! ```

use std::fmt;
use std::io::{ErrorKind, Read};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::os::fd::AsRawFd;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags};
use socket2::Socket;
use tcp_splice_netlink::{Client, NodeOutput, SpliceState, Stats};

use crate::host::{Host, PIECE, is_reset};
use crate::lane::{socket, wait};
use crate::random::{Random, Stream, mix};
use crate::sample::{Link, Options, Side};
use crate::space::{Counters, Space, command};

const PORT: u16 = 8000;
/// A row is asked after this long without a packet whether its client is there; milliseconds.
const IDLE_MS: u64 = 15_000;
/// Samples that share one setting of the link.
const GROUP: u64 = 5;
/// Time-outs on a path that loses nothing are an emulated machine's stalls or the module's fault: then they come again.
const TRIES: u32 = 3;

/// What comes of a move.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Outcome {
    /// The connection goes there.
    Goes,
    /// Nobody listens there.
    Nobody,
    /// Whoever began it thinks better of it.
    Aborted,
}

/// One move.
#[derive(Clone, Copy, Debug)]
struct Stop {
    /// Which host.
    to: usize,
    output: NodeOutput,
    /// Once the server has so many bytes of the client's, and has sent so many.
    after: [u64; 2],
    /// The server does not read before, or the client.
    stuck: [bool; 2],
    /// Bytes that the server reads, and that are to be read again.
    again: usize,
    outcome: Outcome,
}

/// How it ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum End {
    /// Each closes when it has sent all; the client before the moves are over, if it is so.
    Both(bool),
    /// This side closes first.
    Fin(Side),
    /// This side resets it once all has arrived.
    Reset(Side),
}

/// One connection.
#[derive(Clone, Debug)]
struct Sample {
    seed: u64,
    number: u64,
    v6: bool,
    link: Link,
    options: Options,
    sizes: [u64; 2],
    stops: Vec<Stop>,
    end: End,
    chunk: usize,
}

impl fmt::Display for Sample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}

impl Sample {
    /// Whether a RST of this side is right: it was asked for; or it closed last, and the path made another copy of what its last
    /// bytes were acknowledged with, or brought something older after it, which finds no socket (RFC 9293, section 3.10.7.1).
    ///
    /// So it is if an end has sent again what was not lost, since the machine is slow.
    fn may_reset(&self, side: Side, timeouts: i64) -> bool {
        let repeats = !self.link.is_clean() || timeouts > 0;
        match self.end {
            End::Reset(_) => true,
            End::Both(_) => repeats,
            End::Fin(first) => side != first && repeats,
        }
    }

    fn choose(seed: u64, number: u64) -> Sample {
        let mut random = Random::new(seed, 11, number / GROUP);
        let impaired = random.chance(60);
        let link = Link {
            mtu: 1500,
            rate_mbit: None,
            ..Link::choose(&mut random, impaired)
        };
        let mut random = Random::new(seed, 12, number);
        let random = &mut random;
        let mut options = Options::choose(random);
        options.timestamps = random.chance(75);
        options.ecn = random.chance(30);
        let top = if link.is_clean() { 2_000_000 } else { 300_000 };
        let sizes = [random.size(top), random.size(top)];
        let mut at = 0;
        let mut after = [0, 0];
        let stops = (0..random.between(1, 5)).map(|_| {
            for side in 0..2 {
                let step = random.size(sizes[side] / 2);
                after[side] = sizes[side].min(after[side] + step);
            }
            let outcome = match random.upto(99) {
                0..78 => Outcome::Goes,
                78..90 => Outcome::Nobody,
                _ => Outcome::Aborted,
            };
            let to = (at + random.between(1, 2) as usize) % 3;
            if outcome == Outcome::Goes {
                at = to;
            }
            Stop {
                to,
                output: random.pick(&[NodeOutput::Direct, NodeOutput::Direct, NodeOutput::Tunnel]),
                after,
                stuck: [random.chance(40), random.chance(30)],
                again: if random.chance(40) {
                    random.size(20_000) as usize
                } else {
                    0
                },
                outcome,
            }
        });
        let stops = stops.collect();
        let side = random.pick(&Side::BOTH);
        Sample {
            seed,
            number,
            v6: random.chance(50),
            link,
            options,
            sizes,
            stops,
            end: match random.upto(9) {
                0..3 => End::Both(false),
                3..5 => End::Both(true),
                5..8 => End::Fin(side),
                _ => End::Reset(side),
            },
            chunk: random.size(60_000).max(1) as usize,
        }
    }
}

/// A host to which connections move.
struct Place {
    space: Space,
    kernel: Client,
    host: u16,
}

/// Four namespaces on one wire.
struct Farm {
    client: Space,
    places: [Place; 3],
    link: Option<Link>,
    buf: Vec<u8>,
}

fn address(v6: bool, host: u16) -> IpAddr {
    match v6 {
        true => [0xfd00, 1, 0, 0, 0, 0, 0, hexadecimal(host)].into(),
        false => [10, 0, 1, host as u8].into(),
    }
}

/// The same digits.
fn hexadecimal(host: u16) -> u16 {
    host / 100 * 256 + host / 10 % 10 * 16 + host % 10
}

const VIP: u16 = 100;

impl Farm {
    fn open(number: usize) -> Result<Farm, String> {
        let place = |letter: char, host| {
            let space = Space::open(&format!("{letter}{number}"))?;
            space.enter()?;
            let kernel = Client::open().map_err(|e| e.to_string())?;
            Ok::<_, String>(Place {
                space,
                kernel,
                host,
            })
        };
        let mut places = [place('p', 1)?, place('s', 11)?, place('t', 12)?];
        for place in &mut places {
            place.space.switch("ipv4/tcp_ecn", true)?;
        }
        Ok(Farm {
            client: Space::open(&format!("c{number}"))?,
            places,
            link: None,
            buf: vec![0; PIECE],
        })
    }

    fn set_link(&mut self, new: &Link) -> Result<(), String> {
        let hosts = self.places.iter().map(|p| (&p.space.name, "e0"));
        for (name, dev) in hosts.chain([(&self.client.name, "c0")]) {
            if self.link.is_none_or(|old| old.offloads != new.offloads) {
                let to = if new.offloads { "on" } else { "off" };
                command(&format!(
                    "nsenter --net=/run/netns/{name} ethtool -K {dev} tso {to} gso {to} gro {to} tx {to} rx {to} sg {to}"
                ))?;
            }
            if self.link.map(|old| old.netem()) != Some(new.netem()) {
                command(&format!(
                    "tc -n {name} qdisc replace dev {dev} root netem limit 20000{}",
                    new.netem()
                ))?;
            }
        }
        self.link = Some(*new);
        for space in self.spaces() {
            space.flush_routes()?;
        }
        Ok(())
    }

    fn spaces(&self) -> impl Iterator<Item = &Space> {
        self.places.iter().map(|p| &p.space).chain([&self.client])
    }

    fn counters(&self) -> Result<Vec<Counters>, String> {
        self.spaces().map(Space::counters).collect()
    }

    fn listener(&self, place: usize, sample: &Sample) -> Result<Socket, String> {
        self.places[place].space.enter()?;
        let listener = socket(&sample.options, 1, sample.v6)?;
        let at = SocketAddr::new(address(sample.v6, VIP), PORT);
        let ready = listener
            .set_reuse_address(true)
            .and_then(|()| listener.bind(&at.into()))
            .and_then(|()| listener.listen(4));
        ready.map_err(|e| format!("listening in {}: {e}", self.places[place].space.name))?;
        Ok(listener)
    }

    /// Makes the connection, to the first of the hosts.
    fn connect(&mut self, sample: &Sample, limit: Duration) -> Result<[TcpStream; 2], String> {
        let options = &sample.options;
        self.client
            .switch("ipv4/tcp_timestamps", options.timestamps)?;
        self.client.switch("ipv4/tcp_sack", options.sack)?;
        self.client
            .switch("ipv4/tcp_window_scaling", options.scaling)?;
        self.client.switch("ipv4/tcp_ecn", options.ecn)?;
        let listener = self.listener(0, sample)?;
        self.client.enter()?;
        let client = socket(options, 0, sample.v6)?;
        let at = SocketAddr::new(address(sample.v6, VIP), PORT);
        match client.connect(&at.into()) {
            Err(e) if e.raw_os_error() != Some(rustix::io::Errno::INPROGRESS.raw_os_error()) => {
                return Err(format!("connect: {e}"));
            }
            _ => {}
        }
        Ok([client.into(), accept(&listener, limit)?])
    }
}

fn accept(listener: &Socket, limit: Duration) -> Result<TcpStream, String> {
    let end = Instant::now() + limit;
    loop {
        match listener.accept() {
            Ok((accepted, _)) => {
                accepted.set_nonblocking(true).map_err(|e| e.to_string())?;
                return Ok(accepted.into());
            }
            Err(e) if e.kind() == ErrorKind::WouldBlock && Instant::now() < end => {
                wait(&mut [PollFd::new(listener, PollFlags::IN)], 100);
            }
            Err(e) => return Err(format!("accept: {e}")),
        }
    }
}

/// A sample that is running.
struct Course<'a> {
    farm: &'a mut Farm,
    sample: &'a Sample,
    slow: u32,
    /// Client, server.
    hosts: [Host; 2],
    /// Which host has the server, and how many moves were made or tried.
    at: usize,
    stop: usize,
    moved: u64,
    refused: u64,
    began: Instant,
    last: Instant,
}

/// What is worth adding up.
#[derive(Default)]
struct Sum {
    done: u64,
    failed: u64,
    retried: u64,
    moved: u64,
    refused: u64,
    with_timeouts: u64,
}

/// What came of one run of a sample.
struct Ran {
    moved: u64,
    refused: u64,
    timeouts: i64,
}

impl Course<'_> {
    fn secs(&self, n: u64) -> Duration {
        Duration::from_secs(n) * self.slow
    }

    fn run(&mut self) -> Result<(), String> {
        loop {
            self.permit();
            let mut progress = false;
            for host in &mut self.hosts {
                progress |= host.pump(&mut self.farm.buf)?;
            }
            if let Some(stop) = self.sample.stops.get(self.stop).copied() {
                let [client, server] = &self.hosts;
                let come = (stop.stuck[0] || server.received >= stop.after[0])
                    && (stop.stuck[1] || server.sent >= stop.after[1])
                    && (!stop.stuck.contains(&true) || !progress);
                if come || self.last.elapsed() > Duration::from_millis(300) * self.slow {
                    let sent = client.sent;
                    self.go(&stop)
                        .map_err(|e| format!("move {}: {e} (client sent {sent})", self.stop))?;
                    self.stop += 1;
                    progress = true;
                }
            } else if let (End::Reset(side), true) = (self.sample.end, self.has_arrived()) {
                self.hosts[side.index()].abort();
                progress = true;
            }
            if self.is_over() {
                return Ok(());
            }
            if progress {
                self.last = Instant::now();
            } else if self.last.elapsed() > self.secs(20) {
                return Err("nothing moves".into());
            } else {
                self.sleep();
            }
            if self.began.elapsed() > self.secs(60) {
                return Err("it takes too long".into());
            }
        }
    }

    /// Whether each has all that the other has to send.
    fn has_arrived(&self) -> bool {
        let [client, server] = &self.hosts;
        client.received == server.total && server.received == client.total
    }

    fn is_over(&self) -> bool {
        let [client, server] = &self.hosts;
        if self.stop < self.sample.stops.len() {
            return false;
        }
        match self.sample.end {
            End::Reset(side) => self.hosts[side.other().index()].reset,
            _ => client.is_done() && server.is_done(),
        }
    }

    /// Lets the ends do what they may now.
    fn permit(&mut self) {
        let next = self.sample.stops.get(self.stop);
        let over = next.is_none();
        let [client, server] = &mut self.hosts;
        server.reading = next.is_none_or(|stop| !stop.stuck[0] || server.received < stop.after[0]);
        client.reading = next.is_none_or(|stop| !stop.stuck[1] || client.received < stop.after[1]);
        match self.sample.end {
            End::Both(early) => {
                client.may_close = over || early;
                // Whoever has closed its way is not established any more, and cannot move.
                server.may_close = over;
            }
            End::Fin(Side::Client) => {
                client.may_close = over;
                server.may_close = over && server.eof;
            }
            End::Fin(Side::Server) => {
                server.may_close = over;
                client.may_close = over && client.eof;
            }
            End::Reset(_) => {}
        }
    }

    fn sleep(&self) {
        let mut fds = Vec::new();
        for host in &self.hosts {
            if let Some(stream) = &host.stream {
                let mut flags = PollFlags::empty();
                if host.reading && !host.eof && !host.reset {
                    flags |= PollFlags::IN;
                }
                if host.sent < host.total && !host.reset {
                    flags |= PollFlags::OUT;
                }
                if !flags.is_empty() {
                    fds.push(PollFd::new(stream, flags));
                }
            }
        }
        let began = Instant::now();
        wait(&mut fds, 5);
        if began.elapsed() < Duration::from_millis(1) {
            wait(&mut [], 1);
        }
    }

    /// Moves the connection, or tries to.
    fn go(&mut self, stop: &Stop) -> Result<(), String> {
        let [client, server] = &mut self.hosts;
        let Farm { places, buf, .. } = &mut *self.farm;
        let Some(stream) = server.stream.take() else {
            return Err("there is no connection".into());
        };
        let mut again = vec![0; stop.again];
        let mut read = 0;
        while read < again.len() {
            match (&stream).read(&mut again[read..]) {
                Ok(0) => break,
                Ok(n) => read += n,
                Err(e) if is_reset("server", "read", &e)? => return Err("it was reset".into()),
                Err(_) => break,
            }
        }
        again.truncate(read);
        if let Some(at) = server.expected.first_difference(server.received, &again) {
            return Err(format!("server got a wrong byte at {at}"));
        }
        let limit = u64::from(10_000 * self.slow);
        let exported =
            places[self.at]
                .kernel
                .export(stream.as_raw_fd(), Some(IDLE_MS), Some(limit));
        let mut migrant = exported.map_err(|e| format!("export: {e}"))?;
        let id = migrant.connection.id.take().ok_or("no id")?;
        migrant.unread(again.clone());
        client.pump(buf)?;
        let mut listener = None;
        if stop.outcome == Outcome::Goes {
            listener = Some(self.farm.listener(stop.to, self.sample)?);
        }
        let Farm { places, buf, .. } = &mut *self.farm;
        let imported = match stop.outcome {
            Outcome::Aborted => None,
            _ => Some(places[stop.to].kernel.import(&migrant, Some(limit))),
        };
        client.pump(buf)?;
        match (imported, listener) {
            (Some(Ok(())), Some(listener)) => {
                server.stream = Some(accept(&listener, Duration::ZERO)?);
                let via = address(self.sample.v6, places[stop.to].host);
                places[self.at]
                    .kernel
                    .handoff_commit(id, Some((stop.output, via)))
                    .map_err(|e| format!("commit: {e}"))?;
                self.at = stop.to;
                self.moved += 1;
                return Ok(());
            }
            (Some(Err(e)), Some(_)) => return Err(format!("import: {e}")),
            (Some(Err(e)), None) if e.errno() == Some(111) => self.refused += 1,
            (None, None) => {}
            (imported, None) => return Err(format!("somebody listens: {imported:?}")),
            (None, Some(_)) => return Err("not asked".into()),
        }
        places[self.at]
            .kernel
            .handoff_abort(id)
            .map_err(|e| format!("abort: {e}"))?;
        server.received += read as u64;
        server.stream = Some(stream);
        Ok(())
    }
}

fn run_one(farm: &mut Farm, sample: &Sample, slow: u32) -> Result<Ran, String> {
    farm.set_link(&sample.link)?;
    let before = farm.counters()?;
    let [client, server] = farm.connect(sample, Duration::from_secs(20) * slow)?;
    let stream = |direction| Stream(mix(sample.seed ^ mix(sample.number ^ mix(direction))));
    let streams = [stream(2), stream(3)];
    let host = |side: Side, name, stream: TcpStream| Host {
        name,
        stream: Some(stream),
        out: streams[side.index()],
        sent: 0,
        total: sample.sizes[side.index()],
        release: u64::MAX,
        expected: streams[side.other().index()],
        received: 0,
        reading: true,
        may_close: false,
        closed: false,
        eof: false,
        reset: false,
        chunk: sample.chunk,
        writes: 0,
    };
    let now = Instant::now();
    let mut course = Course {
        hosts: [
            host(Side::Client, "client", client),
            host(Side::Server, "server", server),
        ],
        farm,
        sample,
        slow,
        at: 0,
        stop: 0,
        moved: 0,
        refused: 0,
        began: now,
        last: now,
    };
    let ran = course.run();
    if let Err(e) = ran {
        let [client, server] = &course.hosts;
        let stands = format!(
            "{}; {}; at {}, stop {}",
            client.stand(),
            server.stand(),
            course.at,
            course.stop
        );
        let state = course.farm.state();
        return Err(format!("{e} [{stands}]\n{state}"));
    }
    let (moved, refused) = (course.moved, course.refused);
    drop(course.hosts);
    let timeouts = settle(farm, sample, &before, slow)?;
    Ok(Ran {
        moved,
        refused,
        timeouts,
    })
}

impl Farm {
    fn state(&mut self) -> String {
        let mut out = String::new();
        for space in self.spaces() {
            for what in ["ss -Htanoeim", "nstat -s"] {
                let line = format!("nsenter --net=/run/netns/{} {what}", space.name);
                let said = command(&line).unwrap_or_else(|e| e);
                out += &format!("== {line}\n{said}\n");
            }
        }
        for place in &mut self.places {
            out += &format!("{}: {:?}\n", place.space.name, place.kernel.stats());
        }
        out
    }

    fn stats(&mut self) -> Result<Vec<Stats>, String> {
        let stats = |place: &mut Place| place.kernel.stats().map_err(|e| format!("stats: {e}"));
        self.places.iter_mut().map(stats).collect()
    }
}

/// Waits until no socket is left, and judges the counters. How many time-outs there were.
fn settle(farm: &Farm, sample: &Sample, before: &[Counters], slow: u32) -> Result<i64, String> {
    let end = Instant::now() + Duration::from_secs(15) * slow;
    loop {
        let left: Vec<u64> = farm
            .spaces()
            .map(Space::sockets)
            .collect::<Result<_, _>>()?;
        if left.iter().all(|n| *n == 0) {
            break;
        }
        // With loss a last acknowledgement takes its time.
        if Instant::now() > end && sample.link.is_clean() {
            return Err(format!("left behind: sockets {left:?} (hosts, client)"));
        }
        if Instant::now() > end {
            break;
        }
        wait(&mut [], 5);
    }
    let after: Vec<Counters> = farm
        .spaces()
        .map(Space::counters)
        .collect::<Result<_, _>>()?;
    let since = |name| {
        let both = after.iter().zip(before);
        both.map(move |(after, before)| after.since(before, name))
    };
    let timeouts = since("TCPTimeouts").sum();
    let faults = since("InCsumErrors").zip(since("OutRsts"));
    for (space, (checksums, resets)) in farm.spaces().zip(faults) {
        if checksums != 0 {
            return Err(format!("a checksum was wrong beside {}", space.name));
        }
        let side = match std::ptr::eq(space, &farm.client) {
            true => Side::Client,
            false => Side::Server,
        };
        if resets != 0 && !sample.may_reset(side, timeouts) {
            return Err(format!("{} sent a RST", space.name));
        }
    }
    Ok(timeouts)
}

fn one(farm: &mut Farm, sample: &Sample, slow: u32, sum: &Mutex<Sum>) -> Result<(), String> {
    let mut seen = Vec::new();
    for _ in 0..TRIES {
        let ran = run_one(farm, sample, slow)?;
        let mut sum = lock(sum);
        sum.moved += ran.moved;
        sum.refused += ran.refused;
        if ran.timeouts == 0 || !sample.link.is_clean() {
            sum.with_timeouts += u64::from(ran.timeouts > 0);
            return Ok(());
        }
        sum.retried += 1;
        seen.push(ran.timeouts);
    }
    Err(format!(
        "time-outs on a path that loses nothing, each time: {seen:?}"
    ))
}

fn lock(sum: &Mutex<Sum>) -> std::sync::MutexGuard<'_, Sum> {
    sum.lock().unwrap_or_else(|e| e.into_inner())
}

/// Counters that must not have grown.
fn wrong(stats: &Stats) -> Vec<(&'static str, u64)> {
    let all = [
        ("drop-malformed", stats.drop_malformed),
        ("drop-held", stats.drop_held),
        ("drop-ttl", stats.drop_ttl),
        ("drop-no-route", stats.drop_no_route),
        ("drop-no-memory", stats.drop_no_memory),
        ("drop-loop", stats.drop_loop),
        ("drop-invalid-rst", stats.drop_invalid_rst),
    ];
    let grown = all.into_iter().map(|(what, n)| (what, n.unwrap_or(0)));
    grown.filter(|(_, n)| *n > 0).collect()
}

/// Rows go when their clients have gone.
fn forgotten(farm: &mut Farm, slow: u32) -> Result<(), String> {
    let end = Instant::now() + Duration::from_secs(120) * slow;
    loop {
        let stats = farm.stats()?;
        let left: Vec<_> = stats.iter().map(|s| s.splices.unwrap_or(0)).collect();
        if left.iter().all(|n| *n == 0) {
            let wrong: Vec<_> = stats.iter().flat_map(wrong).collect();
            return match wrong.is_empty() {
                true => Ok(()),
                false => Err(format!("counters that should not grow: {wrong:?}")),
            };
        }
        if Instant::now() > end {
            let mut rows = String::new();
            for place in &mut farm.places {
                let splices = place.kernel.splices().unwrap_or_default();
                let live = splices
                    .iter()
                    .filter(|s| s.state != Some(SpliceState::Tombstone));
                for splice in live {
                    rows += &format!("{}: {splice:?}\n", place.space.name);
                }
            }
            return Err(format!(
                "rows left behind: {left:?}\n{rows}{}",
                farm.state()
            ));
        }
        wait(&mut [], 200);
    }
}

fn work(
    lane: usize,
    (seed, last): (u64, u64),
    slow: u32,
    next: &AtomicU64,
    sum: &Mutex<Sum>,
) -> Result<(), String> {
    let mut farm = Farm::open(lane)?;
    loop {
        let at = next.fetch_add(GROUP, Ordering::Relaxed);
        if at >= last {
            return forgotten(&mut farm, slow);
        }
        for number in at..(at + GROUP).min(last) {
            let sample = Sample::choose(seed, number);
            let began = Instant::now();
            let ran = one(&mut farm, &sample, slow, sum);
            let mut sum = lock(sum);
            sum.done += 1;
            match ran {
                Ok(()) => println!("ok handoff {number} {} ms", began.elapsed().as_millis()),
                Err(e) => {
                    println!("not ok handoff {number} {e}\n    {sample}");
                    sum.failed += 1;
                }
            }
        }
    }
}

/// Samples from `first` on, of a seed. Whether all went well.
pub(crate) fn run(
    seed: u64,
    first: u64,
    samples: u64,
    lanes: usize,
    slow: u32,
) -> Result<bool, String> {
    println!("SEED={seed} HANDOFFS={samples}");
    let next = AtomicU64::new(first);
    let sum = Mutex::new(Sum::default());
    let began = Instant::now();
    let last = first + samples;
    let ended: Vec<Result<(), String>> = std::thread::scope(|scope| {
        let (next, sum) = (&next, &sum);
        let all: Vec<_> = (0..lanes)
            .map(|n| scope.spawn(move || work(n, (seed, last), slow, next, sum)))
            .collect();
        let joined = |lane: std::thread::ScopedJoinHandle<'_, _>| {
            lane.join()
                .unwrap_or_else(|_| Err("a lane panicked".into()))
        };
        all.into_iter().map(joined).collect()
    });
    let mut failed = false;
    for lane in ended {
        if let Err(e) = lane {
            println!("not ok handoffs: {e}");
            failed = true;
        }
    }
    let sum = lock(&sum);
    println!("{:6} moves", sum.moved);
    println!("{:6} moves that nobody took", sum.refused);
    println!("{:6} samples with time-outs", sum.with_timeouts);
    println!(
        "{} handoff samples, {} failed, {} run again, {} s, SEED={seed}",
        sum.done,
        sum.failed,
        sum.retried,
        began.elapsed().as_secs(),
    );
    Ok(sum.failed == 0 && sum.done == samples && !failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_repeat_and_show_everything() {
        let mut outcomes = Vec::new();
        for number in 0..500 {
            let sample = Sample::choose(3, number);
            assert_eq!(sample.to_string(), Sample::choose(3, number).to_string());
            let mut at = 0;
            for stop in &sample.stops {
                assert_ne!(stop.to, at, "it is there");
                if stop.outcome == Outcome::Goes {
                    at = stop.to;
                }
                outcomes.push(stop.outcome);
            }
        }
        for outcome in [Outcome::Goes, Outcome::Nobody, Outcome::Aborted] {
            assert!(outcomes.iter().filter(|o| **o == outcome).count() > 50);
        }
        assert_eq!(
            (hexadecimal(1), hexadecimal(12), hexadecimal(100)),
            (1, 0x12, 0x100)
        );
    }
}
