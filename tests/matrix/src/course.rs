// SPDX-License-Identifier: GPL-2.0

//! The course of one sample, from two connections to nothing.

use std::fmt::Write;
use std::io::ErrorKind;
use std::net::TcpStream;
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags};
use rustix::io::ioctl_fionread;
use socket2::SockRef;
use tcp_splice_netlink::{
    DelMode, EndReason, Event, Splice, SpliceFlags, SpliceNew, SpliceState, Stats,
};

use crate::copier::Copier;
use crate::host::{Host, PIECE, abort};
use crate::lane::{Lane, wait};
use crate::random::{Stream, mix};
use crate::sample::{End, Moment, Sample, Side};
use crate::space::Counters;

/// What is worth adding up of a sample that went well.
#[derive(Default)]
pub(crate) struct Outcome {
    /// As the kernel gave it, when armed.
    pub(crate) splices: Vec<Splice>,
    pub(crate) refused: bool,
    /// Retransmission time-outs of all hosts.
    pub(crate) timeouts: i64,
    pub(crate) retransmits: i64,
    pub(crate) paws: i64,
    pub(crate) sack_discards: i64,
    /// The moment came before the patience ended.
    pub(crate) in_time: bool,
    /// A return took longer than a sender waits, with bytes of its that were kept: they are not acknowledged before.
    pub(crate) kept_long: bool,
}

/// No sender's time-out is shorter (Linux: TCP_RTO_MIN).
const RTO_MIN: Duration = Duration::from_millis(200);

/// Where it stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    /// The proxy copies until the moment comes.
    Before,
    /// Spliced.
    Live,
    /// The proxy copies to the end.
    Copying,
}

/// A sample that is running.
struct Course<'a> {
    lane: &'a mut Lane,
    sample: &'a Sample,
    slow: u32,
    control: bool,
    hosts: [Host; 2],
    copier: Copier,
    phase: Phase,
    end: End,
    moment: Moment,
    began: Instant,
    last: Instant,
    armed: Instant,
    poked: Instant,
    eof_at: [Option<Instant>; 2],
    splice: Option<Splice>,
    /// What the counter of kept packets was when the splice was armed, and since when it is more.
    kept: (u64, Option<Instant>),
    commanded: bool,
    again: bool,
    outcome: Outcome,
}

/// Runs a sample.
///
/// As a `control`, the proxy copies to the end, and asks for no splice.
pub(crate) fn run(
    lane: &mut Lane,
    sample: &Sample,
    control: bool,
    slow: u32,
) -> Result<Outcome, String> {
    lane.set_links(&sample.links)?;
    let before = lane.counters()?;
    let stats = lane.stats()?;
    let limit = Duration::from_secs(20) * slow;
    let sockets = lane.connect(sample, limit)?;
    let stream = |direction| Stream(mix(sample.seed ^ mix(sample.number ^ mix(direction))));
    let streams = [stream(0), stream(1)];
    let host = |side: Side, name, stream: TcpStream| Host {
        name,
        stream: Some(stream),
        out: streams[side.index()],
        sent: 0,
        total: sample.sizes[side.index()],
        release: sample.release(side),
        expected: streams[side.other().index()],
        received: 0,
        reading: sample.reads_before(side),
        may_close: matches!(sample.moment, Moment::Fin(which) if which[side.index()]),
        closed: false,
        eof: false,
        reset: false,
        chunk: sample.chunk,
        writes: 0,
    };
    let now = Instant::now();
    let [to_client, to_server] = sockets.legs;
    let mut course = Course {
        hosts: [
            host(Side::Client, "client", sockets.client),
            host(Side::Server, "server", sockets.server),
        ],
        copier: Copier {
            legs: [Some(to_client), Some(to_server)],
            streams,
            copied: [0; 2],
            limit: sample.copy_limit(),
            ended: [false; 2],
            reset: [false; 2],
        },
        lane,
        sample,
        slow,
        control,
        phase: Phase::Before,
        end: sample.end,
        moment: sample.moment,
        began: now,
        last: now,
        armed: now,
        poked: now,
        eof_at: [None; 2],
        splice: None,
        kept: (0, None),
        commanded: false,
        again: sample.again && sample.end.returns(),
        outcome: Outcome::default(),
    };
    let ran = course.run();
    let stands = course.stands();
    if let Err(e) = ran {
        // While the sockets are still there.
        return Err(format!("{e} [{stands}]\n{}", course.lane.state()));
    }
    let Course {
        lane, mut outcome, ..
    } = course;
    // The sockets that were left are closed now.
    lane.settle(sample, &stats, &before, slow, &mut outcome)
        .map_err(|e| format!("{e} [{stands}]"))?;
    Ok(outcome)
}

impl Sample {
    /// How much a side may send before arming.
    fn release(&self, side: Side) -> u64 {
        let most = match self.end {
            // The other half waits for the other side's end.
            End::Half(by, _) if by != side => self.sizes[side.index()] / 2,
            _ => u64::MAX,
        };
        match self.moment {
            Moment::Unread(bytes) => most.min(self.head[side.index()] + bytes[side.index()]),
            Moment::Queued(stuck, bytes) if side != stuck => {
                most.min(self.head[side.index()] + bytes)
            }
            _ => most,
        }
    }

    fn reads_before(&self, side: Side) -> bool {
        !matches!(self.moment, Moment::Queued(stuck, _) | Moment::Stuck(stuck) if stuck == side)
    }

    fn copy_limit(&self) -> [u64; 2] {
        let mut limit = self.head;
        match self.moment {
            Moment::Queued(stuck, bytes) => limit[stuck.other().index()] += bytes,
            Moment::Stuck(stuck) => limit[stuck.other().index()] = u64::MAX,
            _ => {}
        }
        // No FIN is passed on before arming: it has to be the kernel's affair.
        for (limit, size) in limit.iter_mut().zip(self.sizes) {
            *limit = (*limit).min(size);
        }
        limit
    }
}

impl Lane {
    fn counters(&self) -> Result<Vec<Counters>, String> {
        self.spaces.iter().map(|s| s.counters()).collect()
    }

    fn stats(&mut self) -> Result<Stats, String> {
        self.kernel.stats().map_err(|e| format!("stats: {e}"))
    }

    /// Waits until nothing is left, and judges the counters.
    fn settle(
        &mut self,
        sample: &Sample,
        before: &Stats,
        counters: &[Counters],
        slow: u32,
        outcome: &mut Outcome,
    ) -> Result<(), String> {
        let end = Instant::now() + Duration::from_secs(15) * slow;
        let stats = loop {
            let stats = self.stats()?;
            let mut left = Vec::new();
            for space in &self.spaces {
                left.push(space.sockets()?);
            }
            // Those of the ends are theirs: with loss a last acknowledgement takes its time.
            let proxy_free = left[1] == 0 && stats.splices == before.splices;
            if proxy_free && left == [0, 0, 0] {
                break stats;
            }
            if Instant::now() > end {
                if proxy_free && !sample.is_clean() {
                    break stats;
                }
                return Err(format!(
                    "left behind: sockets {left:?} (client, proxy, server), splices {:?}",
                    stats.splices
                ));
            }
            wait(&mut [], 5);
        };
        let of = |n: Option<u64>| n.unwrap_or(0);
        let grown =
            |get: fn(&Stats) -> Option<u64>| of(get(&stats)).saturating_sub(of(get(before)));
        let made = outcome.splices.len() as u64;
        for (what, is, wanted) in [
            ("created", grown(|s| s.created), made),
            ("ended", grown(|s| s.ended), made),
            ("refused", grown(|s| s.refused), u64::from(outcome.refused)),
            ("drop-malformed", grown(|s| s.drop_malformed), 0),
            ("drop-held", grown(|s| s.drop_held), 0),
            ("drop-ttl", grown(|s| s.drop_ttl), 0),
            ("drop-no-route", grown(|s| s.drop_no_route), 0),
            ("drop-no-memory", grown(|s| s.drop_no_memory), 0),
        ] {
            if is != wanted {
                return Err(format!("counter {what} grew by {is} instead of {wanted}"));
            }
        }
        if !sample.end.aborts() && grown(|s| s.drop_invalid_rst) > 0 {
            return Err("a RST was dropped, and there was to be none".into());
        }
        for ((space, before), name) in self
            .spaces
            .iter()
            .zip(counters)
            .zip(["client", "proxy", "server"])
        {
            let now = space.counters()?;
            if now.since(before, "InCsumErrors") != 0 {
                return Err(format!("a checksum was wrong beside the {name}"));
            }
            // A SYN-ACK that comes twice counts there.
            if sample.is_clean() && now.since(before, "InErrs") != 0 {
                return Err(format!("InErrs grew beside the {name}"));
            }
            outcome.timeouts += now.since(before, "TCPTimeouts");
            outcome.retransmits += now.since(before, "RetransSegs");
            outcome.sack_discards += now.since(before, "TCPSACKDiscard");
            outcome.paws += now.since(before, "PAWSEstab");
        }
        Ok(())
    }
}

impl Course<'_> {
    fn secs(&self, n: u64) -> Duration {
        Duration::from_secs(n) * self.slow
    }

    fn stands(&self) -> String {
        let mut out = format!(
            "{:?}, {} ms; {}; {}; copied {:?}",
            self.phase,
            self.began.elapsed().as_millis(),
            self.hosts[0].stand(),
            self.hosts[1].stand(),
            self.copier.copied
        );
        if let Some(splice) = &self.splice {
            let _ = write!(out, "; splice {:?}", splice.id);
        }
        out
    }

    fn run(&mut self) -> Result<(), String> {
        loop {
            let mut progress = false;
            for host in &mut self.hosts {
                progress |= host.pump(&mut self.lane.buf)?;
            }
            if self.phase != Phase::Live {
                progress |= self.copier.pump(&mut self.lane.buf)?;
            }
            for (at, host) in self.eof_at.iter_mut().zip(&self.hosts) {
                if host.eof && at.is_none() {
                    *at = Some(Instant::now());
                }
            }
            progress |= self.step()?;
            if self.is_over() {
                return self.judge();
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

    /// Until one of the sockets, or the kernel's events, has something; not for long.
    fn sleep(&self) {
        let mut fds = Vec::with_capacity(5);
        for host in &self.hosts {
            if let Some(stream) = &host.stream {
                let mut flags = PollFlags::empty();
                if host.reading && !host.eof && !host.reset {
                    flags |= PollFlags::IN;
                }
                if host.sent < host.total.min(host.release) && !host.reset {
                    flags |= PollFlags::OUT;
                }
                if !flags.is_empty() {
                    fds.push(PollFd::new(stream, flags));
                }
            }
        }
        if self.phase != Phase::Live {
            for (side, leg) in self.copier.legs.iter().enumerate() {
                let open = !self.copier.ended[side] && !self.copier.reset[side];
                let wanted = self.copier.copied[side] < self.copier.limit[side];
                if let (Some(leg), true) = (leg, open && wanted) {
                    fds.push(PollFd::new(leg, PollFlags::IN));
                }
            }
        }
        fds.push(PollFd::new(&self.lane.events, PollFlags::IN));
        // A socket that has news which nobody can use must not make this spin.
        let began = Instant::now();
        wait(&mut fds, 5);
        if began.elapsed() < Duration::from_millis(1) {
            wait(&mut [], 1);
        }
    }

    fn step(&mut self) -> Result<bool, String> {
        self.permit();
        match self.phase {
            Phase::Before => {
                let patience = if self.sample.is_clean() { 400 } else { 1500 };
                let come = self.has_come();
                if come || self.last.elapsed() > Duration::from_millis(patience) * self.slow {
                    self.outcome.in_time |= come;
                    self.arm()?;
                    return Ok(true);
                }
            }
            Phase::Live => return self.live(),
            Phase::Copying => self.copying()?,
        }
        Ok(false)
    }

    /// Lets the hosts do what the kind of end wants them to do now.
    fn permit(&mut self) {
        if self.phase == Phase::Before {
            return;
        }
        let paused = self.armed.elapsed() < Duration::from_millis(self.sample.pause_ms);
        let first = match self.end {
            End::Fin(side) | End::Half(side, _) | End::ReturnOnFin(side) => Some(side),
            // A direction that has a limit of its own goes on to it after the other's FIN, which its sender
            // must not wait for: that FIN is not carried.
            End::Limit(_) if self.phase == Phase::Live => None,
            End::Limit(_) => Some(self.sample.first),
            End::FinBoth => None,
            // Only what was sent before arming.
            End::Reset(..) | End::Delete(_) | End::Idle => return self.wake(paused),
            End::ReturnOnCommand(_) => {
                if self.phase == Phase::Live {
                    return self.wake(paused);
                }
                Some(self.sample.first)
            }
        };
        for side in Side::BOTH {
            let eof = self.hosts[side.index()].eof;
            self.hosts[side.index()].may_close |= first.is_none_or(|first| first == side) || eof;
        }
        if let End::Half(by, ms) = self.end {
            let rest = by.other().index();
            let due = self.eof_at[rest].is_some_and(|at| at.elapsed() >= Duration::from_millis(ms));
            let host = &mut self.hosts[rest];
            host.may_close &= due;
            host.release = if due {
                u64::MAX
            } else {
                host.sent.max(host.total / 2)
            };
            self.hosts[by.index()].release = u64::MAX;
            return self.read(paused);
        }
        self.wake(paused);
    }

    fn wake(&mut self, paused: bool) {
        for host in &mut self.hosts {
            host.release = u64::MAX;
        }
        self.read(paused);
    }

    fn read(&mut self, paused: bool) {
        for host in &mut self.hosts {
            host.reading |= !paused;
        }
    }

    /// Whether it is time to arm.
    fn has_come(&self) -> bool {
        let copier = &self.copier;
        let full = |side: usize| copier.copied[side] >= copier.limit[side];
        let unread = |side: usize| {
            let leg = copier.legs[side].as_ref();
            leg.and_then(|leg| ioctl_fionread(leg).ok()).unwrap_or(0)
        };
        match self.moment {
            Moment::AtOnce | Moment::Queued(..) => full(0) && full(1),
            Moment::Unread(bytes) => {
                (0..2).all(|side| full(side) && unread(side) >= self.wanted(side, bytes[side]))
            }
            // Nothing moves any more: by patience.
            Moment::Stuck(_) => false,
            Moment::Fin(which) => (0..2).all(|side| {
                let has_fin = || {
                    let Some(leg) = &copier.legs[side] else {
                        return false;
                    };
                    let mut fds = [PollFd::new(leg, PollFlags::RDHUP)];
                    wait(&mut fds, 0);
                    fds[0].revents().contains(PollFlags::RDHUP)
                };
                full(side) && (!which[side] || has_fin())
            }),
            Moment::Flowing => full(0) || full(1),
        }
    }

    fn wanted(&self, side: usize, bytes: u64) -> u64 {
        bytes.min(self.hosts[side].total - self.copier.copied[side])
    }

    fn arm(&mut self) -> Result<(), String> {
        if self.control {
            self.armed = Instant::now();
            return self.copy_on();
        }
        let [Some(client), Some(server)] = &self.copier.legs else {
            return Err("the proxy has no sockets to splice".into());
        };
        let limits = match self.end {
            End::Limit(limits) => limits,
            _ => [None; 2],
        };
        let new = SpliceNew {
            client_fd: Some(client.as_raw_fd()),
            server_fd: Some(server.as_raw_fd()),
            limit_to_server: limits[0],
            limit_to_client: limits[1],
            idle_timeout: (self.end == End::Idle).then_some(150),
            flags: match self.end {
                End::ReturnOnFin(_) => Some(SpliceFlags::RETURN_ON_FIN),
                End::Idle => Some(SpliceFlags::CUT_WHEN_IDLE),
                _ => None,
            },
            ..SpliceNew::default()
        };
        let kept_before = self.lane.stats()?.kept.unwrap_or(0);
        let made = self.lane.kernel.splice_new(&new);
        self.armed = Instant::now();
        let wanted = self.sample.refusal();
        let ecn = |e: &dyn std::fmt::Display| {
            e.to_string().starts_with("ECN ") && self.sample.may_lose_ecn()
        };
        let wanted = match &made {
            Ok(_) if wanted.is_some_and(|w| ecn(&w)) => None,
            Err(e) if ecn(e) => {
                wanted.or(Some("ECN on one connection only; set both alike or copy"))
            }
            _ => wanted,
        };
        match (made, wanted) {
            (Ok(splice), None) => {
                for leg in [client, server] {
                    match leg.peek(&mut [0; 1]) {
                        Ok(0) => {}
                        // It may have been returned by now, or be gone with a splice that has ended.
                        _ if self.end.returns() => {}
                        Err(e) if e.kind() == ErrorKind::ConnectionAborted => {}
                        other => return Err(format!("a spliced socket reads {other:?}")),
                    }
                }
                if self.sample.close && !self.end.returns() {
                    self.copier.legs = [None, None];
                }
                self.kept = (kept_before, None);
                self.outcome.splices.push(splice.clone());
                self.splice = Some(splice);
                self.phase = Phase::Live;
            }
            (Ok(_), Some(wanted)) => return Err(format!("armed instead of refused: {wanted}")),
            (Err(e), Some(wanted)) => {
                if e.to_string() != wanted {
                    return Err(format!("refused for another reason than '{wanted}': {e}"));
                }
                self.outcome.refused = true;
                self.copy_on()?;
            }
            (Err(e), None) => return Err(format!("refused: {e}")),
        }
        Ok(())
    }

    /// The proxy copies from here on, with a cork no longer.
    fn copy_on(&mut self) -> Result<(), String> {
        for leg in self.copier.legs.iter().flatten() {
            SockRef::from(leg)
                .set_tcp_cork(false)
                .map_err(|e| format!("TCP_CORK: {e}"))?;
        }
        self.copier.limit = [u64::MAX; 2];
        self.phase = Phase::Copying;
        Ok(())
    }

    /// Whether the bytes have gone by that a kind of end waits for.
    fn has_gone_by(&self, bytes: [u64; 2]) -> bool {
        self.hosts[1].received >= bytes[0] && self.hosts[0].received >= bytes[1]
    }

    /// Does what the kind of end wants to be done by now. Says whether there was anything.
    fn interfere(&mut self) -> Result<bool, String> {
        match self.end {
            End::Reset(by, bytes) => {
                let host = &mut self.hosts[by.index()];
                if host.stream.is_some() {
                    let (own, others) = (bytes[by.index()], bytes[by.other().index()]);
                    if host.sent < own || host.received < others {
                        return Ok(false);
                    }
                    host.abort();
                    return Ok(true);
                }
                self.poke(by.other())?;
            }
            End::Delete(bytes) => {
                if !self.commanded {
                    if !self.has_gone_by(bytes) {
                        return Ok(false);
                    }
                    self.command(DelMode::Reset)?;
                    return Ok(true);
                }
                self.poke(Side::Client)?;
                self.poke(Side::Server)?;
            }
            End::ReturnOnCommand(bytes) => {
                if self.phase == Phase::Live && !self.commanded && self.has_gone_by(bytes) {
                    self.command(DelMode::Return)?;
                    return Ok(true);
                }
            }
            _ => {}
        }
        Ok(false)
    }

    /// Ends the splice, or what the proxy has in its place.
    fn command(&mut self, mode: DelMode) -> Result<(), String> {
        self.commanded = true;
        if self.phase == Phase::Copying {
            for leg in &mut self.copier.legs {
                if let Some(leg) = leg.take() {
                    abort(leg);
                }
            }
            return Ok(());
        }
        let id = self.splice.as_ref().and_then(|s| s.id).unwrap_or(0);
        self.lane
            .kernel
            .splice_del(id, mode)
            .map_err(|e| format!("del {mode:?}: {e}"))?;
        Ok(())
    }

    /// A host that was not told asks now and then.
    fn poke(&mut self, side: Side) -> Result<(), String> {
        let host = &mut self.hosts[side.index()];
        host.reading = true;
        if !host.reset
            && self.poked.elapsed() > Duration::from_millis(200)
            && host.sent == host.total
        {
            self.poked = Instant::now();
            host.poke()?;
        }
        Ok(())
    }

    fn live(&mut self) -> Result<bool, String> {
        let progress = self.interfere()?;
        self.watch_kept()?;
        let Some(ended) = self.ended()? else {
            return Ok(progress);
        };
        let wanted = match self.end {
            End::Fin(_) | End::FinBoth | End::Half(..) => EndReason::Fin,
            End::Reset(Side::Client, _) => EndReason::ResetByClient,
            End::Reset(Side::Server, _) => EndReason::ResetByServer,
            End::Delete(_) => EndReason::Deleted,
            End::Idle => EndReason::Idle,
            End::Limit(_) | End::ReturnOnFin(_) | End::ReturnOnCommand(_) => EndReason::Returned,
        };
        if ended.reason != Some(wanted) {
            return Err(format!("ended by {:?} instead of {wanted:?}", ended.reason));
        }
        if ended.state != Some(SpliceState::Tombstone) {
            return Err(format!("ended, and is {:?}", ended.state));
        }
        let bytes = |flow: &Option<tcp_splice_netlink::Flow>| {
            flow.as_ref().and_then(|f| f.bytes).unwrap_or(0)
        };
        let carried = [
            bytes(&ended.to_server) + ended.moved_to_server.unwrap_or(0),
            bytes(&ended.to_client) + ended.moved_to_client.unwrap_or(0),
        ];
        for side in 0..2 {
            self.copier.copied[side] += carried[side];
            let (copied, total) = (self.copier.copied[side], self.hosts[side].total);
            if wanted == EndReason::Fin && copied != total {
                return Err(format!(
                    "{} bytes carried of direction {side}, {copied} in all, and there were {total}",
                    carried[side]
                ));
            }
            let End::Limit(limits) = self.end else {
                continue;
            };
            if limits[side].is_some_and(|limit| carried[side] > limit) {
                return Err(format!("carried {carried:?}, with limits {limits:?}"));
            }
        }
        self.splice = None;
        if wanted == EndReason::Returned {
            let (_, since) = self.kept;
            self.outcome.kept_long |= since.is_some_and(|since| since.elapsed() >= RTO_MIN);
            if self.again {
                self.again = false;
                self.end = End::Fin(self.sample.first);
                self.moment = Moment::Flowing;
                for side in 0..2 {
                    let total = self.hosts[side].total.max(self.copier.copied[side]);
                    let more = (total - self.copier.copied[side]).min(10_000);
                    self.copier.limit[side] = self.copier.copied[side] + more;
                }
                self.phase = Phase::Before;
            } else {
                self.end = End::Fin(self.sample.first);
                self.copy_on()?;
            }
        } else {
            self.copier.legs = [None, None];
        }
        Ok(true)
    }

    /// Sees when the first packet was kept.
    fn watch_kept(&mut self) -> Result<(), String> {
        let (before, since) = self.kept;
        let watched = since.is_none() && self.end.returns();
        if watched && self.lane.stats()?.kept.unwrap_or(0) > before {
            self.kept.1 = Some(Instant::now());
        }
        Ok(())
    }

    /// The event of the splice's end, if it has come.
    fn ended(&mut self) -> Result<Option<Splice>, String> {
        let Some(splice) = &self.splice else {
            return Ok(None);
        };
        while let Some(event) = self
            .lane
            .events
            .try_next()
            .map_err(|e| format!("events: {e}"))?
        {
            match event {
                Event::End(ended) if ended.id == splice.id => return Ok(Some(ended)),
                // It has drained.
                Event::New(_) | Event::Change(_) => {}
                other => return Err(format!("an event that nobody expects: {other:?}")),
            }
        }
        Ok(None)
    }

    fn copying(&mut self) -> Result<(), String> {
        self.interfere()?;
        // A proxy passes a reset on.
        for side in 0..2 {
            if !self.copier.reset[side] {
                continue;
            }
            if let Some(leg) = self.copier.legs[1 - side].take() {
                abort(leg);
                self.copier.legs[side] = None;
            }
        }
        Ok(())
    }

    fn is_over(&self) -> bool {
        let reset = |side: Side| self.hosts[side.index()].reset;
        self.splice.is_none()
            && self.phase != Phase::Before
            && match self.end {
                End::Reset(by, _) => self.hosts[by.index()].stream.is_none() && reset(by.other()),
                End::Delete(_) => self.commanded && reset(Side::Client) && reset(Side::Server),
                End::Idle => reset(Side::Client) && reset(Side::Server),
                _ => self.hosts.iter().all(Host::is_done),
            }
    }

    /// Every byte was compared when it came: what is left is whether all came.
    fn judge(&self) -> Result<(), String> {
        for side in Side::BOTH {
            let (from, to) = (&self.hosts[side.index()], &self.hosts[side.other().index()]);
            if self.sample.end.aborts() {
                if to.received > from.sent {
                    return Err(format!("{} got more than was sent", to.name));
                }
                if to.eof && !from.closed {
                    return Err(format!("{} got an end of file that nobody sent", to.name));
                }
            } else if to.received != from.total || to.reset {
                return Err(format!("{} has not got all", to.name));
            }
        }
        Ok(())
    }
}

const _: () = assert!(PIECE >= 512);
