// SPDX-License-Identifier: GPL-2.0

//! One sample: what the paths are like, what the ends agree on, when the splice is armed and how it ends. Everything
//! follows from the seed and the number of the sample.

use std::fmt;

use crate::random::Random;

/// A side of the proxy; as an index, the direction whose bytes come from there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Side {
    Client,
    Server,
}

impl Side {
    pub(crate) const BOTH: [Side; 2] = [Side::Client, Side::Server];

    pub(crate) fn index(self) -> usize {
        self as usize
    }

    pub(crate) fn other(self) -> Side {
        match self {
            Side::Client => Side::Server,
            Side::Server => Side::Client,
        }
    }
}

/// What a path between the proxy and one end does to packets, each way.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Link {
    /// In tenths of a per cent, as the next two.
    pub(crate) loss: u64,
    pub(crate) duplicate: u64,
    pub(crate) reorder: u64,
    pub(crate) delay_ms: u64,
    pub(crate) rate_mbit: Option<u64>,
    pub(crate) mtu: u64,
    pub(crate) offloads: bool,
    /// Timestamps tick in microseconds at both of its ends, if they are on.
    pub(crate) usec: bool,
}

impl Link {
    /// What tc calls it; empty if packets just pass.
    pub(crate) fn netem(&self) -> String {
        let tenths = |n: u64| format!("{}.{}%", n / 10, n % 10);
        let mut out = String::new();
        if self.delay_ms > 0 {
            out += &format!(" delay {}ms", self.delay_ms);
        }
        if self.loss > 0 {
            out += &format!(" loss {}", tenths(self.loss));
        }
        if self.duplicate > 0 {
            out += &format!(" duplicate {}", tenths(self.duplicate));
        }
        if self.reorder > 0 {
            out += &format!(" reorder {}", tenths(self.reorder));
        }
        if let Some(rate) = self.rate_mbit {
            out += &format!(" rate {rate}mbit");
        }
        out
    }

    /// Nothing is lost, and nothing comes in another order than it was sent.
    pub(crate) fn is_clean(&self) -> bool {
        self.loss == 0 && self.duplicate == 0 && self.reorder == 0 && self.rate_mbit.is_none()
    }

    pub(crate) fn choose(random: &mut Random, impaired: bool) -> Link {
        let mut link = Link {
            loss: 0,
            duplicate: 0,
            reorder: 0,
            delay_ms: 0,
            rate_mbit: None,
            mtu: if random.chance(50) {
                1500
            } else {
                random.pick(&[1280, 1400, 4000, 9000, 65535])
            },
            offloads: random.chance(50),
            usec: false,
        };
        if impaired {
            link.delay_ms = if random.chance(30) {
                0
            } else {
                random.between(1, 15)
            };
            if random.chance(50) {
                link.loss = random.pick(&[1, 5, 10, 20, 50]);
            }
            if random.chance(20) {
                link.duplicate = random.between(1, 30);
            }
            if link.delay_ms > 0 && random.chance(30) {
                link.reorder = random.between(5, 100);
            }
            if random.chance(15) {
                link.rate_mbit = Some(random.between(5, 50));
            }
        }
        link
    }
}

/// How large a socket's receive buffer is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Buffer {
    /// The kernel's choice, up to so much: a power of two from the window scale that is wanted.
    Grows(u32),
    /// Fixed, in bytes.
    Fixed(usize),
}

/// What is set for one connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Options {
    pub(crate) timestamps: bool,
    pub(crate) sack: bool,
    pub(crate) scaling: bool,
    pub(crate) ecn: bool,
    /// At the end and at the proxy.
    pub(crate) receive: [Buffer; 2],
    pub(crate) send: [Option<usize>; 2],
    pub(crate) mss: [Option<u32>; 2],
    pub(crate) nodelay: [bool; 2],
    /// The proxy's socket holds small segments back.
    pub(crate) cork: bool,
}

impl Options {
    pub(crate) fn choose(random: &mut Random) -> Options {
        let receive = |random: &mut Random| match random.upto(9) {
            0..4 => Buffer::Grows(7),
            4..8 => Buffer::Grows(random.between(5, 14) as u32),
            // Scales 0 to 4, about.
            8 => Buffer::Fixed(random.between(20_000, 1_000_000) as usize),
            _ => Buffer::Fixed(random.between(4000, 20_000) as usize),
        };
        let send = |random: &mut Random| {
            (random.chance(25)).then(|| random.between(8000, 300_000) as usize)
        };
        let mss = |random: &mut Random| {
            random
                .chance(15)
                .then(|| random.pick(&[536, 700, 1220, 1400]))
        };
        Options {
            timestamps: true,
            sack: random.chance(75),
            scaling: random.chance(80),
            ecn: false,
            receive: [receive(random), receive(random)],
            send: [send(random), send(random)],
            mss: [mss(random), mss(random)],
            nodelay: [random.chance(50), random.chance(50)],
            cork: random.chance(8),
        }
    }
}

/// When the splice is armed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Moment {
    /// As soon as the proxy has copied what it wants to.
    AtOnce,
    /// With so many bytes unread in the socket toward each side.
    Unread([u64; 2]),
    /// That side does not read; up to so many bytes are on their way to it.
    Queued(Side, u64),
    /// That side does not read, and nobody else can go on for it: zero windows.
    Stuck(Side),
    /// A FIN of these sides has come.
    Fin([bool; 2]),
    /// While the proxy copies both ways.
    Flowing,
}

/// How it ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum End {
    /// That side closes first, the other when it has read that.
    Fin(Side),
    /// Each closes when it has sent all.
    FinBoth,
    /// That side closes; so many milliseconds later the other sends the rest.
    Half(Side, u64),
    /// That side resets its connection when the bytes (its own, the other's) have gone by.
    Reset(Side, [u64; 2]),
    /// It is deleted.
    Delete([u64; 2]),
    /// Nobody sends anything, and it is cut.
    Idle,
    /// It returns after so many bytes.
    Limit([Option<u64>; 2]),
    /// It returns when that side closes.
    ReturnOnFin(Side),
    /// It returns when it is told to.
    ReturnOnCommand([u64; 2]),
}

impl End {
    /// The sockets are given back.
    pub(crate) fn returns(self) -> bool {
        matches!(
            self,
            End::Limit(_) | End::ReturnOnFin(_) | End::ReturnOnCommand(_)
        )
    }

    /// What may be lost: nothing that is delivered is wrong, but not all is delivered.
    pub(crate) fn aborts(self) -> bool {
        matches!(self, End::Reset(..) | End::Delete(_) | End::Idle)
    }
}

/// One sample.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sample {
    pub(crate) seed: u64,
    pub(crate) number: u64,
    pub(crate) v6: bool,
    /// The server is of the other family.
    pub(crate) mixed: bool,
    pub(crate) links: [Link; 2],
    pub(crate) legs: [Options; 2],
    /// Bytes that each side sends.
    pub(crate) sizes: [u64; 2],
    /// Of these, copied by the proxy before it thinks of a splice.
    pub(crate) head: [u64; 2],
    pub(crate) moment: Moment,
    pub(crate) end: End,
    /// The one that closes first where `end` leaves that open.
    pub(crate) first: Side,
    /// The proxy closes its sockets as soon as they are spliced.
    pub(crate) close: bool,
    /// What was returned is copied a while and spliced again.
    pub(crate) again: bool,
    /// Bytes in a write, at first.
    pub(crate) chunk: usize,
    /// How long a side that did not read before goes on so after arming; milliseconds.
    pub(crate) pause_ms: u64,
}

/// Samples that share one setting of the links.
pub(crate) const GROUP: u64 = 6;

impl Sample {
    /// Sample `number` of a seed, without the kinds of end and the properties named in `without`.
    pub(crate) fn choose(seed: u64, number: u64, without: &[String]) -> Sample {
        let no = |what: &str| without.iter().any(|w| w == what);
        let mut random = Random::new(seed, 1, number / GROUP);
        let random = &mut random;
        let impaired = random.chance(60) && !no("loss");
        let mut links = [
            Link::choose(random, impaired),
            Link::choose(random, impaired),
        ];
        if random.chance(50) || no("mss") {
            links[1].mtu = links[0].mtu;
        }
        let mut units = Random::new(seed, 4, number / GROUP);
        match units.upto(99) {
            0..75 => {}
            75..96 => (links[0].usec, links[1].usec) = (true, true),
            n => links[(n % 2) as usize].usec = true,
        }

        let mut random = Random::new(seed, 2, number);
        let random = &mut random;
        let mut legs = [Options::choose(random), Options::choose(random)];
        match random.upto(99) {
            0..65 => {}
            65..85 => (legs[0].timestamps, legs[1].timestamps) = (false, false),
            n => legs[(n % 2) as usize].timestamps = false,
        }
        match random.upto(99) {
            0..60 => {}
            60..92 => (legs[0].ecn, legs[1].ecn) = (true, true),
            n => legs[(n % 2) as usize].ecn = true,
        }
        if no("mss") {
            for leg in &mut legs {
                leg.mss = [None; 2];
            }
        }
        let v6 = random.chance(50);
        let mixed = random.chance(2);

        let top = largest(&links, &legs);
        let mut sizes = [random.size(top), random.size(top)];
        match random.upto(9) {
            0 => sizes[0] = 0,
            1 => sizes[1] = 0,
            2 => (sizes[0], sizes[1]) = (0, 0),
            _ => {}
        }
        let mut head = [0, 0];
        for side in 0..2 {
            if random.chance(60) {
                head[side] = random.size(sizes[side].min(100_000));
            }
        }
        let left = [sizes[0] - head[0], sizes[1] - head[1]];
        let side = random.pick(&Side::BOTH);
        let moment = match random.upto(99) {
            0..20 => Moment::AtOnce,
            20..40 => Moment::Unread([
                random.size(left[0].min(100_000)),
                random.size(left[1].min(100_000)),
            ]),
            40..55 => Moment::Queued(side, random.size(left[side.other().index()])),
            55..67 => Moment::Stuck(side),
            67..82 => {
                let which = random.pick(&[[true, false], [false, true], [true, true]]);
                for i in 0..2 {
                    if which[i] {
                        // All of it has to fit into the proxy's socket.
                        sizes[i] = sizes[i].min(head[i] + random.size(3000));
                    }
                }
                Moment::Fin(which)
            }
            _ => Moment::Flowing,
        };

        let first = random.pick(&Side::BOTH);
        let by = random.pick(&Side::BOTH);
        let part = |random: &mut Random| [random.size(sizes[0]), random.size(sizes[1])];
        let rest = [sizes[0] - head[0], sizes[1] - head[1]];
        let mut end = loop {
            let end = match random.upto(99) {
                0..14 => End::Fin(Side::Client),
                14..28 => End::Fin(Side::Server),
                28..38 => End::FinBoth,
                38..48 => End::Half(by, random.between(0, 400)),
                48..60 => End::Reset(by, part(random)),
                60..68 => End::Delete(part(random)),
                68..82 => {
                    // A little more than there is: then a FIN comes first.
                    let limit = |random: &mut Random, i: usize| {
                        random
                            .chance(65)
                            .then(|| random.size(rest[i] + rest[i] / 10))
                    };
                    let mut limits = [limit(random, 0), limit(random, 1)];
                    if limits == [None, None] {
                        limits[by.index()] = Some(random.size(rest[by.index()]));
                    }
                    End::Limit(limits)
                }
                82..90 => End::ReturnOnFin(by),
                _ => End::ReturnOnCommand(part(random)),
            };
            if !(no("return") && end.returns()) {
                break end;
            }
        };
        if let Moment::Fin(which) = moment {
            end = match end {
                // What was received may not be carried, and the command would come too late.
                End::ReturnOnCommand(_) => End::ReturnOnFin(by),
                // Nobody would be left to learn of a RST that gets lost.
                End::Reset(..) | End::Delete(_) if which == [true, true] => End::FinBoth,
                End::Reset(_, after) => {
                    End::Reset(if which[0] { Side::Client } else { Side::Server }, after)
                }
                // It sends no more.
                End::Half(..) => End::FinBoth,
                end => end,
            };
        }
        Sample {
            seed,
            number,
            v6,
            mixed,
            links,
            legs,
            sizes,
            head,
            moment,
            end,
            first,
            close: random.chance(50),
            again: random.chance(30),
            chunk: random.size(60_000).max(1) as usize,
            pause_ms: random.size(400),
        }
    }

    /// Sample `number` of those that show each kind of end, quickly: few bytes, over links that do nothing.
    pub(crate) fn ending(seed: u64, number: u64) -> Sample {
        let mut random = Random::new(seed, 3, number);
        let random = &mut random;
        let sizes = [random.size(5000), random.size(5000)];
        let head = [random.upto(sizes[0]), random.upto(sizes[1])];
        let link = Link {
            loss: 0,
            duplicate: 0,
            reorder: 0,
            delay_ms: 0,
            rate_mbit: None,
            mtu: 1500,
            offloads: true,
            usec: false,
        };
        let mut leg = Options {
            timestamps: true,
            sack: true,
            scaling: true,
            ecn: false,
            receive: [Buffer::Grows(7); 2],
            send: [None; 2],
            mss: [None; 2],
            nodelay: [true; 2],
            cork: false,
        };
        let mut legs = [leg; 2];
        let mut moment = random.pick(&[Moment::AtOnce, Moment::Unread([100, 100])]);
        let side = random.pick(&Side::BOTH);
        let some = [random.upto(sizes[0]), random.upto(sizes[1])];
        let end = match number % 16 {
            0 => End::Fin(Side::Client),
            1 => End::Fin(Side::Server),
            2 => End::FinBoth,
            3 => End::Half(side, 5),
            4 | 5 => End::Reset(Side::Client, some),
            6 | 7 => End::Reset(Side::Server, some),
            8 => End::Delete(some),
            9 => End::Idle,
            10 => End::Limit([Some(some[0] - head[0].min(some[0])), None]),
            11 => End::Limit([None, Some(some[1] - head[1].min(some[1]))]),
            12 => End::ReturnOnFin(side),
            13 => End::ReturnOnCommand(some),
            14 => {
                moment = Moment::Fin(random.pick(&[[true, false], [false, true], [true, true]]));
                End::FinBoth
            }
            _ => {
                leg.timestamps = false;
                legs[side.index()] = leg;
                End::Fin(side)
            }
        };
        Sample {
            seed,
            number,
            v6: random.chance(50),
            mixed: false,
            links: [link; 2],
            legs,
            sizes,
            head,
            moment,
            end,
            first: side,
            close: random.chance(50),
            again: random.chance(20),
            chunk: 5000,
            pause_ms: 0,
        }
    }

    /// What the kernel has to say to it, if it must refuse.
    pub(crate) fn refusal(&self) -> Option<&'static str> {
        let [client, server] = &self.legs;
        if self.mixed {
            Some("client is IPv4 and server IPv6, or reverse; copy instead")
        } else if client.timestamps != server.timestamps {
            Some("TCP timestamps on one connection only; set both alike or copy")
        } else if client.timestamps && self.links[0].usec != self.links[1].usec {
            Some("TCP timestamps tick in different units; copy instead")
        } else if client.ecn != server.ecn {
            Some("ECN on one connection only; set both alike or copy")
        } else {
            None
        }
    }

    /// A SYN that is sent again asks for ECN no longer (RFC 3168, section 6.1.1.1).
    pub(crate) fn may_lose_ecn(&self) -> bool {
        self.legs.iter().any(|leg| leg.ecn) && !self.is_clean()
    }

    /// Whether a sender may have to send again what nothing on the path has lost, since a window was open that is larger
    /// than its receiver's room: that of the far end before a return, when the proxy's counts again; or one unit of the
    /// scale that the proxy chose, which a window of less is told as (`xlate::edit::rescale`).
    pub(crate) fn may_overrun(&self) -> bool {
        let small = |leg: &Options| matches!(leg.receive[1], Buffer::Fixed(_));
        let coarse = |near: &Options, far: &Options| match (near.receive[1], far.receive[0]) {
            // Half of a buffer is for what the kernel needs itself.
            (Buffer::Grows(scale), Buffer::Fixed(bytes)) => near.scaling && 1 << scale > bytes / 2,
            _ => false,
        };
        let [client, server] = &self.legs;
        self.end.returns() && self.legs.iter().any(small)
            || coarse(client, server)
            || coarse(server, client)
    }

    /// Whether a path may lose or reorder packets.
    pub(crate) fn is_clean(&self) -> bool {
        self.links.iter().all(Link::is_clean)
    }
}

/// Bytes that go over these links in a second or so, on a machine that is emulated.
fn largest(links: &[Link; 2], legs: &[Options; 2]) -> u64 {
    let mut top: u64 = 3_000_000;
    let rtt_ms: u64 = links.iter().map(|l| 2 * l.delay_ms).sum::<u64>() + 3;
    for (link, leg) in links.iter().zip(legs) {
        let mss = leg
            .mss
            .iter()
            .flatten()
            .fold(link.mtu - 60, |mss, &m| mss.min(m.into()));
        if !link.offloads {
            top = top.min(mss * 700);
        }
        if link.loss > 0 {
            // Mathis et al. 1997: mss / rtt / sqrt(loss).
            let sqrt = (link.loss as f64 / 1000.0).sqrt();
            top = top.min((mss as f64 * 1000.0 / rtt_ms as f64 / sqrt) as u64);
        }
        if link.reorder > 0 {
            top = top.min(mss * 200);
        }
        if let Some(rate) = link.rate_mbit {
            top = top.min(rate * 125_000 / 2);
        }
        for buffer in leg.receive {
            if let Buffer::Fixed(bytes) = buffer {
                // A window each round trip, or each delayed acknowledgement if it is a small one.
                let turn = if (bytes as u64) < 4 * mss {
                    rtt_ms + 45
                } else {
                    rtt_ms
                };
                top = top.min(bytes as u64 / 2 * 1000 / turn);
            }
        }
        if let Some(bytes) = leg.send.iter().flatten().min() {
            top = top.min(*bytes as u64 * 1000 / rtt_ms);
        }
    }
    top.max(5000)
}

impl fmt::Display for Sample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "SEED={} SAMPLE={} IPv{}{}",
            self.seed,
            self.number,
            if self.v6 { 6 } else { 4 },
            if self.mixed { " to the other" } else { "" }
        )?;
        for side in Side::BOTH {
            let (link, leg) = (&self.links[side.index()], &self.legs[side.index()]);
            write!(
                f,
                "; {side:?}: {} bytes, head {}, mtu {}, offloads {}, netem{}, timestamps {}{}, sack {}, scaling {}, ecn {}, \
                 receive {:?}, send {:?}, mss {:?}, nodelay {:?}{}",
                self.sizes[side.index()],
                self.head[side.index()],
                link.mtu,
                u8::from(link.offloads),
                match link.netem() {
                    s if s.is_empty() => " none".into(),
                    s => s,
                },
                u8::from(leg.timestamps),
                if link.usec { " us" } else { "" },
                u8::from(leg.sack),
                u8::from(leg.scaling),
                u8::from(leg.ecn),
                leg.receive,
                leg.send,
                leg.mss,
                leg.nodelay,
                if leg.cork { ", cork" } else { "" },
            )?;
        }
        write!(
            f,
            "; armed {:?}, pause {} ms; {} to the end {:?}, {:?} first{}; chunk {}",
            self.moment,
            self.pause_ms,
            if self.close { "closed" } else { "open" },
            self.end,
            self.first,
            if self.again { ", again" } else { "" },
            self.chunk
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_end_comes_by_in_sixteen() {
        let mut kinds = std::collections::BTreeSet::new();
        for number in 0..16 {
            let sample = Sample::ending(5, number);
            kinds.insert(
                format!("{:?}", sample.end)
                    .split('(')
                    .next()
                    .map(String::from),
            );
            assert_eq!(sample.refusal().is_some(), number == 15);
        }
        assert_eq!(kinds.len(), 9);
    }

    #[test]
    fn a_sample_is_the_same_each_time_and_every_kind_comes_by() {
        let mut kinds = std::collections::BTreeSet::new();
        for number in 0..3000 {
            let sample = Sample::choose(5, number, &[]);
            assert_eq!(
                sample.to_string(),
                Sample::choose(5, number, &[]).to_string()
            );
            for side in 0..2 {
                assert!(sample.head[side] <= sample.sizes[side]);
            }
            let word = |s: String| s.split('(').next().unwrap_or_default().to_string();
            kinds.insert(word(format!("armed {:?}", sample.moment)));
            kinds.insert(word(format!("{:?}", sample.end)));
            kinds.insert(sample.refusal().unwrap_or_default().to_string());
            if let Moment::Fin(which) = sample.moment {
                // Whom a lost RST would leave waiting can ask.
                if let End::Reset(by, _) = sample.end {
                    assert!(which[by.index()] && !which[by.other().index()]);
                }
                assert!(!matches!(sample.end, End::ReturnOnCommand(_)));
            }
        }
        assert_eq!(kinds.len(), 6 + 8 + 5, "{kinds:?}");
        let without = Sample::choose(5, 1, &["return".into(), "loss".into()]);
        assert!(!without.end.returns() && without.is_clean());
    }
}
