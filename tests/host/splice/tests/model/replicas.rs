// SPDX-License-Identifier: GPL-2.0

//! A splice on several hosts, any of which carries any packet: the streams arrive whole, and what each has seen,
//! told to the others in any order, late and twice, ends it on all of them. One of them is the server's own, which carries
//! what that sends where it is sent.

use std::collections::VecDeque;

use kernel::sync::{rcu::read_lock, Arc};
use proptest::collection::vec;
use proptest::prelude::*;
use splice::{
    flow::{Direction, Progress, DRAINING, FIN_ACKED, FIN_SEEN},
    net::{
        netfilter::{Filter, Hook, HookState, Verdict},
        skbuff::Packet,
    },
    pernet::Ns,
    splice::{restore, Phase, Reason, Row, Splice},
};

use crate::streams::{ops, setting, Op, NEVER_IDLE};
use crate::wire::read;
use crate::world::{bytes, World};

const HOSTS: usize = 4;

/// The server's own host.
const BACKEND: usize = HOSTS - 1;

/// The row of one direction, as `get` shows it and `new` takes it.
fn row(splice: &Splice, direction: Direction) -> Row {
    let (terms, _) = splice.terms(direction).expect("armed");
    let flow = splice.flow(direction);
    Row {
        key: *flow.key(),
        terms: *terms,
        seq_next: flow.seq_next(),
        ack_last: flow.ack_last(),
        edge: flow.edge(),
        tsval_last: flow.tsval_last(),
        echo_last: 0,
        limit: None,
        marks: flow.marks() & !DRAINING,
        bytes: flow.carried().bytes,
    }
}

fn progress(splice: &Splice, direction: Direction) -> Progress {
    let flow = splice.flow(direction);
    Progress {
        seq_next: flow.seq_next(),
        ack_last: flow.ack_last(),
        edge: Some(flow.edge()),
        tsval_last: Some(flow.tsval_last()),
        marks: flow.marks() & (FIN_SEEN | FIN_ACKED),
    }
}

/// What one host says of its splice.
#[derive(Clone, Copy)]
struct Word {
    to_server: Progress,
    to_client: Progress,
    end: Option<Reason>,
}

struct Farm {
    world: World,
    hosts: Vec<(Arc<Ns>, Arc<Splice>)>,
    /// Words on their way, by who is to hear them.
    words: [VecDeque<Word>; HOSTS],
    links: [VecDeque<Vec<u8>>; 4],
}

impl Farm {
    /// The splice of a world, which has drained, on other hosts, too.
    fn new(mut world: World) -> Farm {
        world.splice().share();
        let rows = [Direction::ToServer, Direction::ToClient].map(|d| row(world.splice(), d));
        let mut hosts = vec![world.host()];
        for host in 1..HOSTS {
            let wishes = splice::splice::Wishes {
                replicated: host != BACKEND,
                split: host == BACKEND,
                ..NEVER_IDLE
            };
            let ns = Arc::new(Ns::new(), ()).expect("memory");
            let made = restore(&ns, &rows[0], &rows[1], &wishes);
            let made = made.map_err(|refusal| refusal.errno()).expect("a replica");
            hosts.push((ns, made));
        }
        let links = std::mem::take(&mut world.links);
        Farm {
            world,
            hosts,
            words: Default::default(),
            links: links.map(|link| link.into_iter().map(|frame| frame.bytes).collect()),
        }
    }

    fn send(&mut self) {
        for side in 0..2 {
            let packets = std::mem::take(&mut self.world.ends[side].packets);
            self.links[side].extend(packets);
        }
    }

    /// One packet arrives at where its link leads, by way of this host if it leads there.
    fn arrive(&mut self, link: usize, host: usize) {
        let Some(bytes) = self.links[link].pop_front() else {
            return;
        };
        if link >= 2 {
            let now = self.world.now;
            self.world.ends[link - 2].receive(&bytes, now);
            return self.send();
        }
        // What the client sends comes to a proxy.
        let (host, hook) = match (link, host) {
            (0, BACKEND) => (0, Hook::PreRouting),
            (_, BACKEND) => (BACKEND, Hook::LocalOut),
            _ => (host, Hook::PreRouting),
        };
        let (ns, _) = &self.hosts[host];
        let family = self.world.ends[0].config.key.family;
        let state = HookState { hook, family };
        let verdict = ns.filter(Packet::from(bytes), state, &read_lock());
        assert!(matches!(verdict, Verdict::Stolen), "not carried");
        let left = ns.net.0.take();
        for (_, bytes) in left {
            let port = read(&bytes).sport;
            let to = (0..2).find(|side| self.world.leg(*side).config.key.source_port() == port);
            self.links[2 + to.expect("a port of ours")].push_back(bytes);
        }
    }

    /// A host says what it knows, to all others; what is heard of an end ends it.
    fn tell(&mut self, host: usize) {
        let splice = &self.hosts[host].1;
        let word = Word {
            to_server: progress(splice, Direction::ToServer),
            to_client: progress(splice, Direction::ToClient),
            end: Some(splice.reason()).filter(|reason| *reason != Reason::None),
        };
        for other in (0..HOSTS).filter(|other| *other != host) {
            self.words[other].push_back(word);
        }
    }

    fn hear(&mut self, host: usize, nth: usize, again: bool) {
        let words = &mut self.words[host];
        let Some(word) = words.get(nth % words.len().max(1)).copied() else {
            return;
        };
        if !again {
            words.remove(nth % words.len());
        }
        let splice = &self.hosts[host].1;
        splice.merge(Some(&word.to_server), Some(&word.to_client));
        if let Some(reason) = word.end {
            splice.forget(reason);
        }
    }
}

/// Something that happens in a farm.
#[derive(Clone, Debug)]
enum Event {
    Write(usize, usize),
    Read(usize, usize),
    Arrive(usize, usize),
    Lose(usize),
    Tell(usize),
    Hear(usize, usize, bool),
    Tick(u32),
}

fn event() -> impl Strategy<Value = Event> {
    let (side, host, link) = (0usize..2, 0usize..HOSTS, 0usize..4);
    prop_oneof![
        4 => (side.clone(), 1usize..3000).prop_map(|(s, n)| Event::Write(s, n)),
        3 => (side, 1usize..6000).prop_map(|(s, n)| Event::Read(s, n)),
        24 => (link.clone(), host.clone()).prop_map(|(l, h)| Event::Arrive(l, h)),
        2 => link.prop_map(Event::Lose),
        3 => host.clone().prop_map(Event::Tell),
        4 => (host, 0usize..4, any::<bool>()).prop_map(|(h, n, a)| Event::Hear(h, n, a)),
        1 => (1u32..400).prop_map(Event::Tick),
    ]
}

proptest! {
    #![proptest_config(crate::config(300))]

    #[test]
    fn any_host_carries_any_packet_and_all_learn_of_the_end(
        setting in setting(),
        before in ops(30),
        events in vec(event(), 0..150),
        turns in vec(0usize..HOSTS, 1..7),
    ) {
        let mut world = setting.world();
        for op in before.iter().filter(|op| !matches!(op, Op::Close(_) | Op::ProxyRead(..) | Op::ProxyWrite(..))) {
            world.happen(op);
        }
        world.arm(NEVER_IDLE, [0, 0]);
        world.quiesce();
        prop_assert!(world.splice().phase() == Phase::Live);
        let mut farm = Farm::new(world);
        for event in events {
            let now = farm.world.now;
            match event {
                Event::Write(side, len) => {
                    let from = farm.world.ends[side].output.len();
                    farm.world.ends[side].write(&bytes(side, from, len), now);
                }
                Event::Read(side, len) => drop(farm.world.ends[side].read(len, now)),
                Event::Arrive(link, host) => farm.arrive(link, host),
                Event::Lose(link) => drop(farm.links[link].pop_front()),
                Event::Tell(host) => farm.tell(host),
                Event::Hear(host, nth, again) => farm.hear(host, nth, again),
                Event::Tick(ms) => farm.world.pass(ms),
            }
            farm.send();
        }
        // Both close; packets go round robin, and words arrive.
        for side in 0..2 {
            let now = farm.world.now;
            farm.world.ends[side].close(now);
        }
        let mut turn = turns.iter().cycle();
        for _ in 0..400 {
            farm.send();
            for link in 0..4 {
                while !farm.links[link].is_empty() {
                    farm.arrive(link, *turn.next().expect("endless"));
                }
            }
            for side in 0..2 {
                let now = farm.world.now;
                farm.world.ends[side].read(usize::MAX, now);
            }
            for host in 0..HOSTS {
                farm.tell(host);
                while !farm.words[host].is_empty() {
                    farm.hear(host, 0, false);
                }
            }
            farm.world.pass(101);
        }
        for side in 0..2 {
            let (end, far) = (&farm.world.ends[side], &farm.world.ends[1 - side]);
            prop_assert!(end.peer_closed, "{side} has not all: {end}; {far}");
            prop_assert_eq!(end.una, end.write_seq(), "{} is not acknowledged", side);
        }
        farm.world.check_streams();
        for (n, (_, splice)) in farm.hosts.iter().enumerate() {
            prop_assert_eq!(splice.reason() as u32, Reason::Fin as u32, "host {}", n);
        }
    }
}

/// One host carries everything for long, the others hear nothing; then others go on, each with one direction, and
/// see nothing of the other one.
#[test]
fn a_host_that_has_seen_nothing_for_long_carries_on() {
    let mut world = crate::streams::plain().world();
    world.arm(NEVER_IDLE, [0, 0]);
    world.quiesce();
    let mut farm = Farm::new(world);
    for hosts in [[0, 0], [1, 2], [2, 1]] {
        for side in 0..2 {
            let from = farm.world.ends[side].output.len();
            farm.world.ends[side].write(&bytes(side, from, 50_000), farm.world.now);
        }
        for _ in 0..400 {
            farm.send();
            for link in 0..4 {
                while !farm.links[link].is_empty() {
                    farm.arrive(link, hosts[link % 2]);
                }
            }
            for side in 0..2 {
                farm.world.ends[side].read(usize::MAX, farm.world.now);
            }
        }
        // It took no time: nothing had to be sent again.
        for side in 0..2 {
            let (end, far) = (&farm.world.ends[side], &farm.world.ends[1 - side]);
            assert_eq!(end.input.len(), far.output.len(), "by way of {hosts:?}");
        }
    }
    farm.world.check_streams();
}
