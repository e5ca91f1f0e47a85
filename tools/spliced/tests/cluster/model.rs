// SPDX-License-Identifier: GPL-2.0

//! Nodes and kernels in a world without threads, sockets or clocks: connections break and lose what
//! is on its way, heartbeats are lost, nodes are cut off, daemons and hosts die; time is a number.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use proptest::prelude::*;
use spliced::cluster::kernel::{Heard, NodeState, Seen, Standing};
use spliced::cluster::message::Message;
use spliced::cluster::node::{
    Done, Event, Node, Op, Outcome, Output, Replicas, Roles, Terms, WhenShort,
};
use spliced::cluster::row::{Away, Both, Key, NodeId, Reason, Row};
use spliced::cluster::servers::Servers;

use crate::fake::{FIN, RESET, State, row};

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// A little earlier than due, as it is with real ones.
const SENT_EVERY: Duration = Duration::from_millis(90);

struct Host {
    node: Option<Node>,
    kernel: State,
    incarnation: u64,
    beat_at: Duration,
    dispatch: BTreeMap<NodeId, NodeState>,
    answers: BTreeMap<u64, Outcome>,
    events: Vec<(Duration, Event)>,
    /// Connections that it was asked for.
    asked: usize,
}

/// One direction of a connection.
#[derive(Default)]
struct Pipe {
    queue: VecDeque<(Duration, Message)>,
}

struct World {
    now: Duration,
    hosts: BTreeMap<NodeId, Host>,
    /// Connections, by both ends, lower first.
    links: BTreeMap<(NodeId, NodeId), u64>,
    pipes: BTreeMap<(NodeId, NodeId), Pipe>,
    generation: u64,
    /// Pairs that cannot reach each other.
    cut: BTreeSet<(NodeId, NodeId)>,
    delay: Duration,
    step: Duration,
    terms: Terms,
}

fn pair(a: NodeId, b: NodeId) -> (NodeId, NodeId) {
    (a.min(b), a.max(b))
}

const PROXY: Roles = Roles {
    balancer: false,
    proxy: true,
    backend: false,
};
const BALANCER: Roles = Roles {
    balancer: true,
    proxy: false,
    backend: false,
};

const BACKEND: Roles = Roles {
    balancer: false,
    proxy: false,
    backend: true,
};
const BOTH: Roles = Roles {
    balancer: false,
    proxy: true,
    backend: true,
};

fn n(id: u32) -> NodeId {
    NodeId(id)
}

/// The splice number `which`, with a server on the node of this number, if that is a backend.
fn row_to(server: u32, which: u16) -> Row {
    let mut row = row(which);
    let host = u8::try_from(server).unwrap();
    row.ends[3] = ([192, 0, 2, host], 80).into();
    row
}

/// One after the other has its server on node 4, on node 5, and where nobody takes part.
fn mixed(which: u16) -> Row {
    row_to(4 + u32::from(which % 3), which)
}

/// Which of those numbers have their server on this node.
fn of_server(server: u32, count: u16) -> Vec<u16> {
    let is_there = |which: &u16| 4 + u32::from(which % 3) == server;
    (0..count).filter(is_there).collect()
}

impl World {
    fn new(roles: &[Roles], replicas: Replicas, when_short: WhenShort) -> World {
        let nodes: BTreeMap<NodeId, Roles> = (1..).map(NodeId).zip(roles.iter().copied()).collect();
        let mut servers = Servers::default();
        for (id, _) in nodes.iter().filter(|(_, roles)| roles.backend) {
            let ip = row_to(id.0, 0).ends[3].ip();
            servers.add(ip, None, *id).unwrap();
        }
        let terms = Terms {
            me: NodeId(0),
            nodes: nodes.clone(),
            servers,
            split: true,
            interval: ms(100),
            misses: 3,
            replicas,
            when_short,
            ack_timeout: ms(500),
            progress_every: ms(1000),
            tombstones: Duration::from_secs(600),
            grace: ms(1000),
            max_rows: 10_000,
        };
        let mut world = World {
            now: ms(10),
            hosts: BTreeMap::new(),
            links: BTreeMap::new(),
            pipes: BTreeMap::new(),
            generation: 0,
            cut: BTreeSet::new(),
            delay: ms(1),
            step: ms(10),
            terms,
        };
        for id in nodes.into_keys() {
            let host = Host {
                node: None,
                kernel: State::default(),
                incarnation: 0,
                beat_at: world.now,
                dispatch: BTreeMap::new(),
                answers: BTreeMap::new(),
                events: Vec::new(),
                asked: 0,
            };
            world.hosts.insert(id, host);
            world.start(id);
        }
        world
    }

    fn three() -> World {
        let mut world = World::new(&[PROXY; 3], Replicas::All, WhenShort::Warn);
        world.run(ms(2000));
        world
    }

    /// Three proxies, and backends 4 and 5.
    fn farm() -> World {
        let roles = [PROXY, PROXY, PROXY, BACKEND, BACKEND];
        let mut world = World::new(&roles, Replicas::All, WhenShort::Warn);
        world.run(ms(2000));
        world
    }

    fn host(&mut self, id: NodeId) -> &mut Host {
        self.hosts.get_mut(&id).unwrap()
    }

    fn start(&mut self, id: NodeId) {
        let mut terms = self.terms.clone();
        terms.me = id;
        let now = self.now;
        let host = self.host(id);
        host.incarnation += 1;
        host.beat_at = now;
        host.node = Some(Node::new(terms, host.incarnation, now));
        self.act(id);
    }

    /// The daemon dies; the kernel goes on.
    fn kill(&mut self, id: NodeId) {
        self.host(id).node = None;
        let broken: Vec<_> = self
            .links
            .keys()
            .filter(|(a, b)| *a == id || *b == id)
            .copied()
            .collect();
        broken.into_iter().for_each(|pair| self.break_link(pair));
    }

    fn break_link(&mut self, (a, b): (NodeId, NodeId)) {
        let Some(generation) = self.links.remove(&(a, b)) else {
            return;
        };
        self.pipes.remove(&(a, b));
        self.pipes.remove(&(b, a));
        for (one, other) in [(a, b), (b, a)] {
            let now = self.now;
            if let Some(node) = &mut self.host(one).node {
                node.unlinked(other, generation, now);
            }
            self.act(one);
        }
    }

    /// Does what a node says, in a kernel that answers at once.
    fn act(&mut self, id: NodeId) {
        let now = self.now;
        loop {
            let host = self.host(id);
            let Some(node) = &mut host.node else { return };
            let outputs = node.take(now);
            if outputs.is_empty() {
                break;
            }
            for output in outputs {
                let host = self.host(id);
                let Some(node) = &mut host.node else { return };
                match output {
                    Output::Send(to, generation, message) => {
                        if self.links.get(&pair(id, to)) == Some(&generation) {
                            // What is not a message does not get through.
                            let frame = message.frame();
                            let message = Message::decode(&frame[4..]).unwrap();
                            let at = now + self.delay;
                            let pipe = self.pipes.entry((id, to)).or_default();
                            pipe.queue.push_back((at, message));
                        }
                    }
                    Output::Reset(to, generation, _) => {
                        if self.links.get(&pair(id, to)) == Some(&generation) {
                            self.break_link(pair(id, to));
                        }
                    }
                    Output::Op(Op::Install { row, split }) => {
                        let result = host.kernel.install(&row, split);
                        node.done(Done::Installed(row.key(), row.progress, result), now);
                    }
                    Output::Op(Op::Advance {
                        id,
                        progress,
                        replicated,
                    }) => {
                        let _ = host.kernel.advance(id, &progress, replicated);
                    }
                    Output::Op(Op::Forget { id, reason }) => {
                        let _ = host.kernel.forget(id, reason);
                    }
                    Output::Op(Op::List { epoch }) => {
                        for chunk in host.kernel.list().chunks(3) {
                            node.done(Done::Listing(chunk.to_vec()), now);
                        }
                        node.done(Done::Listed { epoch, whole: true }, now);
                    }
                    Output::Dispatch(id, state) => {
                        host.dispatch.insert(id, state);
                    }
                    Output::Answer(ticket, outcome) => {
                        let before = host.answers.insert(ticket, outcome);
                        assert_eq!(before, None, "a ticket is answered once");
                    }
                    Output::Event(event) => host.events.push((now, event)),
                }
            }
        }
    }

    /// Answers for a node that is asked for connections.
    fn look(&mut self, from: NodeId, to: NodeId, mut keys: Vec<Key>) {
        let at = self.now + self.delay;
        let host = self.host(to);
        host.asked += keys.len();
        keys.retain(|key| !host.kernel.connections.contains(key));
        if !keys.is_empty() {
            let pipe = self.pipes.entry((to, from)).or_default();
            pipe.queue.push_back((at, Message::HasNot(keys)));
        }
    }

    fn step(&mut self) {
        self.now += self.step;
        let now = self.now;
        let ids: Vec<_> = self.hosts.keys().copied().collect();
        // New connections.
        for &a in &ids {
            for &b in &ids {
                let both = self.hosts[&a].node.is_some() && self.hosts[&b].node.is_some();
                if a < b && both && !self.links.contains_key(&(a, b)) && !self.cut.contains(&(a, b))
                {
                    self.generation += 1;
                    let generation = self.generation;
                    self.links.insert((a, b), generation);
                    for (one, other) in [(a, b), (b, a)] {
                        let incarnation = self.hosts[&other].incarnation;
                        let node = self.host(one).node.as_mut().unwrap();
                        node.linked(other, generation, incarnation, now);
                        self.act(one);
                    }
                }
            }
        }
        // Messages; those to a node that is cut off wait, as TCP lets them.
        for &to in &ids {
            for &from in &ids {
                while let Some(generation) = self.links.get(&pair(from, to)).copied() {
                    if self.cut.contains(&pair(from, to)) {
                        break;
                    }
                    let Some(pipe) = self.pipes.get_mut(&(from, to)) else {
                        break;
                    };
                    if pipe.queue.front().is_none_or(|(at, _)| *at > now) {
                        break;
                    }
                    let (_, message) = pipe.queue.pop_front().unwrap();
                    match message {
                        Message::Has(keys) => self.look(from, to, keys),
                        message => {
                            if let Some(node) = &mut self.host(to).node {
                                node.message(from, generation, message, now);
                            }
                        }
                    }
                    self.act(to);
                }
            }
        }
        for &id in &ids {
            let host = self.host(id);
            while let Some(event) = host.kernel.event() {
                if let Some(node) = &mut host.node {
                    match event {
                        Heard::Seen(seen) => node.seen(seen, now),
                        Heard::Lost => node.lost_events(now),
                    }
                }
            }
            self.act(id);
        }
        for &id in &ids {
            let host = self.host(id);
            if let Some(node) = host.node.as_ref().filter(|_| host.beat_at <= now) {
                let beat = node.beat();
                let beat = spliced::cluster::node::Beat {
                    incarnation: host.incarnation,
                    ..beat
                };
                host.beat_at = now + SENT_EVERY;
                for &other in ids.iter().filter(|other| **other != id) {
                    if self.cut.contains(&pair(id, other)) {
                        continue;
                    }
                    if let Some(node) = &mut self.host(other).node {
                        node.heartbeat(id, beat, now);
                    }
                    self.act(other);
                }
            }
            if let Some(node) = &mut self.host(id).node {
                if node.deadline(now) <= now {
                    node.tick(now);
                }
            }
            self.act(id);
        }
    }

    fn run(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            self.step();
        }
    }

    fn cut_off(&mut self, id: NodeId) {
        let others: Vec<_> = self.hosts.keys().copied().filter(|o| *o != id).collect();
        self.cut
            .extend(others.into_iter().map(|other| pair(id, other)));
    }

    fn table(&self, id: u32) -> BTreeMap<Key, Both> {
        let node = self.hosts[&n(id)].node.as_ref().unwrap();
        node.rows().map(|row| (row.key(), row.progress)).collect()
    }

    fn state(&self, seen_by: u32, of: u32) -> NodeState {
        self.hosts[&n(seen_by)].dispatch[&n(of)]
    }

    /// Makes the splice number `which` on a host, drained.
    fn make(&mut self, on: u32, which: u16) -> Key {
        self.make_row(on, row(which))
    }

    fn make_row(&mut self, on: u32, row: Row) -> Key {
        let key = row.key();
        let kernel = &mut self.host(n(on)).kernel;
        let id = kernel.make(row);
        kernel.drained(id);
        key
    }

    fn id_on(&mut self, of: u32, key: &Key) -> u64 {
        self.kernel(of).id_of(key).unwrap()
    }

    fn has(&self, of: u32, key: &Key) -> bool {
        self.hosts[&n(of)].kernel.id_of(key).is_some()
    }

    /// Says this to a node in the name of another, and whether that is cut for it.
    fn says(&mut self, from: u32, to: u32, message: Message) -> bool {
        let generation = self.links[&pair(n(from), n(to))];
        let now = self.now;
        let node = self.host(n(to)).node.as_mut().unwrap();
        node.message(n(from), generation, message, now);
        self.act(n(to));
        !self.links.contains_key(&pair(n(from), n(to)))
    }

    fn kernel(&mut self, of: u32) -> &mut State {
        &mut self.host(n(of)).kernel
    }

    fn replicate(&mut self, on: u32, id: u64, ticket: u64) {
        self.replicate_to(on, id, 0, ticket);
    }

    fn replicate_to(&mut self, on: u32, id: u64, demand: usize, ticket: u64) {
        let now = self.now;
        let node = self.host(n(on)).node.as_mut().unwrap();
        node.replicate(id, demand, ticket, now);
        self.act(n(on));
    }

    fn short_of_peers(&self, on: u32, demand: usize) -> Option<String> {
        let node = self.hosts[&n(on)].node.as_ref().unwrap();
        node.short_of_peers(demand)
    }

    fn answer(&self, on: u32, ticket: u64) -> Option<&Outcome> {
        self.hosts[&n(on)].answers.get(&ticket)
    }
}

#[test]
fn all_come_up_together() {
    let world = World::three();
    for by in 1..=3 {
        for of in 1..=3 {
            assert_eq!(world.state(by, of), NodeState::Up, "{of} seen by {by}");
        }
    }
}

#[test]
fn committed_only_when_all_hold_it() {
    let mut world = World::three();
    let id = world.kernel(1).make(row(1));
    world.replicate(1, id, 7);
    world.run(ms(3000));
    assert_eq!(world.answer(1, 7), None, "it still drains");
    assert!(world.table(2).is_empty());
    world.kernel(1).drained(id);
    world.delay = ms(100);
    world.run(ms(150));
    // Its row has arrived at both; their word has not come back.
    assert_eq!(world.kernel(2).installs, 1);
    assert_eq!(world.answer(1, 7), None);
    world.run(ms(100));
    assert_eq!(world.answer(1, 7), Some(&Outcome::Committed(2)));
    assert!(world.kernel(1).live[&id].replicated);
    let key = row(1).key();
    for node in 1..=3 {
        assert!(world.kernel(node).id_of(&key).is_some(), "{node}");
    }
    // A second request is answered at once.
    world.replicate(1, id, 8);
    assert_eq!(world.answer(1, 8), Some(&Outcome::Committed(2)));
}

#[test]
fn a_splice_that_ends_before_it_is_whole() {
    let mut world = World::three();
    let id = world.kernel(1).make(row(1));
    world.replicate(1, id, 7);
    world.kernel(1).end(id, RESET);
    world.run(ms(20));
    assert_eq!(world.answer(1, 7), Some(&Outcome::Ended));
    // One that nobody ever hears of.
    world.replicate(1, 999, 8);
    world.run(ms(50));
    assert_eq!(world.answer(1, 8), None);
    world.run(ms(2500));
    assert_eq!(world.answer(1, 8), Some(&Outcome::Ended));
}

#[test]
fn two_of_three_by_weight_and_the_next_when_one_refuses() {
    let mut world = World::new(&[PROXY; 4], Replicas::Count(2), WhenShort::Warn);
    world.run(ms(2000));
    let key = row(5).key();
    let mut order = [2, 3, 4].map(n);
    order.sort_by_key(|id| std::cmp::Reverse(key.weight(*id)));
    let id = world.kernel(1).make(row(5));
    world.kernel(1).drained(id);
    world.replicate(1, id, 1);
    world.run(ms(100));
    assert_eq!(world.answer(1, 1), Some(&Outcome::Committed(2)));
    let holds =
        |world: &mut World, id: NodeId, key: &Key| world.host(id).kernel.id_of(key).is_some();
    assert!(holds(&mut world, order[0], &key) && holds(&mut world, order[1], &key));
    assert!(!holds(&mut world, order[2], &key));
    // Another, whose first choice has no room.
    let key = row(6).key();
    order.sort_by_key(|id| std::cmp::Reverse(key.weight(*id)));
    world.host(order[0]).kernel.refuse = Some("no memory".into());
    let id = world.kernel(1).make(row(6));
    world.kernel(1).drained(id);
    world.replicate(1, id, 2);
    world.run(ms(100));
    assert_eq!(world.answer(1, 2), Some(&Outcome::Committed(2)));
    assert!(holds(&mut world, order[1], &key) && holds(&mut world, order[2], &key));
    let refused = Event::RefusedBy(order[0], key, "no memory".into());
    assert!(world.hosts[&n(1)].events.iter().any(|(_, e)| *e == refused));
}

#[test]
fn one_splice_on_more_peers_than_others() {
    let mut world = World::new(&[PROXY; 5], Replicas::Count(1), WhenShort::Warn);
    world.run(ms(2000));
    let holders = |world: &World, which| {
        let key = row(which).key();
        let holds = |host: &&Host| host.kernel.id_of(&key).is_some();
        // One of them is the owner.
        world.hosts.values().filter(holds).count() - 1
    };
    // Asked for while it drains, after it was committed, and not at all.
    let drains = world.kernel(1).make(row(1));
    world.replicate_to(1, drains, 3, 1);
    world.run(ms(100));
    assert_eq!(world.answer(1, 1), None);
    world.kernel(1).drained(drains);
    let committed = world.kernel(1).make(row(2));
    world.kernel(1).drained(committed);
    world.make(1, 3);
    world.run(ms(100));
    assert_eq!(world.answer(1, 1), Some(&Outcome::Committed(3)));
    assert_eq!([1, 2, 3].map(|which| holders(&world, which)), [3, 1, 1]);
    world.replicate_to(1, committed, 2, 2);
    world.run(ms(100));
    assert_eq!(world.answer(1, 2), Some(&Outcome::Committed(2)));
    assert_eq!([1, 2, 3].map(|which| holders(&world, which)), [3, 2, 1]);
    // Fewer than others have is what others have.
    world.replicate_to(1, committed, 1, 3);
    assert_eq!(world.answer(1, 3), Some(&Outcome::Committed(2)));
    // A lost holder is replaced, as long as there is another.
    let key = row(1).key();
    let lost = (2..=5).find(|id| world.hosts[&n(*id)].kernel.id_of(&key).is_some());
    world.kill(n(lost.unwrap()));
    world.kernel(lost.unwrap()).reboot();
    world.run(ms(4000));
    assert_eq!(holders(&world, 1), 3);
    // There are four others, of which three live.
    assert_eq!(world.short_of_peers(1, 4), None);
    let why = world.short_of_peers(1, 5).unwrap();
    assert!(
        why.contains("5 replicas") && why.contains("4 other proxies"),
        "{why}"
    );
    world.replicate_to(1, drains, 4, 4);
    world.run(ms(300));
    let degraded = Outcome::Degraded { have: 3, want: 4 };
    assert_eq!(world.answer(1, 4), Some(&degraded));
    world.start(n(lost.unwrap()));
    world.run(ms(4000));
    assert_eq!(holders(&world, 1), 4);
}

#[test]
fn a_lost_holder_is_replaced() {
    let mut world = World::new(&[PROXY; 4], Replicas::Count(2), WhenShort::Warn);
    world.run(ms(2000));
    let keys: Vec<_> = (0..30).map(|which| world.make(1, which)).collect();
    world.run(ms(500));
    // Also when it was the owner that died.
    for dead in [2, 1] {
        world.kill(n(dead));
        world.kernel(dead).reboot();
        world.run(ms(4000));
        let alive: Vec<_> = (1..=4)
            .filter(|id| world.hosts[&n(*id)].node.is_some())
            .collect();
        for key in &keys {
            let have = alive
                .iter()
                .filter(|id| world.hosts[&n(**id)].kernel.id_of(key).is_some());
            assert!(have.count() >= 2, "{key:?} without {dead}");
        }
    }
}

#[test]
fn with_too_few_peers_it_warns_or_refuses() {
    for when_short in [WhenShort::Warn, WhenShort::Refuse] {
        let mut world = World::new(&[PROXY; 3], Replicas::Count(2), when_short);
        world.run(ms(2000));
        assert_eq!(world.short_of_peers(1, 0), None);
        world.kill(n(3));
        world.run(ms(400));
        let refuses = when_short == WhenShort::Refuse;
        assert_eq!(world.short_of_peers(1, 0).is_some(), refuses);
        let id = world.kernel(1).make(row(1));
        world.kernel(1).drained(id);
        world.replicate(1, id, 1);
        world.run(ms(50));
        match world.answer(1, 1) {
            Some(Outcome::Degraded { have: 1, want: 2 }) => assert!(!refuses),
            Some(Outcome::Refused(why)) => {
                assert!(refuses && why.starts_with("1 of 2 replicas"), "{why}");
            }
            other => panic!("{other:?}"),
        }
        let short = |(_, event): &(Duration, Event)| {
            matches!(
                event,
                Event::Short {
                    have: 1,
                    want: 2,
                    ..
                }
            )
        };
        assert_eq!(
            world.hosts[&n(1)]
                .events
                .iter()
                .filter(|e| short(e))
                .count(),
            1
        );
        assert!(!world.kernel(1).live[&id].replicated);
        // The third comes back: it is made good.
        world.start(n(3));
        world.run(ms(3000));
        assert!(world.kernel(3).id_of(&row(1).key()).is_some());
        assert!(world.kernel(1).live[&id].replicated);
    }
}

#[test]
fn a_peer_that_does_not_acknowledge_is_not_waited_for() {
    let mut world = World::three();
    world.cut.insert((n(1), n(3)));
    let id = world.kernel(1).make(row(1));
    world.kernel(1).drained(id);
    world.replicate(1, id, 1);
    world.run(ms(190));
    assert_eq!(world.answer(1, 1), None);
    world.run(ms(120));
    // It is lost by now, and all that are alive hold it.
    assert_eq!(world.answer(1, 1), Some(&Outcome::Committed(1)));
}

#[test]
fn a_death_is_seen_within_300_ms() {
    let mut world = World::three();
    // At every moment between two heartbeats.
    for late in (0..100).step_by(10) {
        world.run(ms(30_000 + late));
        let died = world.now;
        world.kill(n(3));
        world.cut_off(n(3));
        world.run(ms(300));
        assert_eq!(world.state(1, 3), NodeState::Down, "{late}");
        let lost =
            |(_, event): &&(Duration, Event)| matches!(event, Event::Lost(id, _) if *id == n(3));
        let (at, _) = world.hosts[&n(1)].events.iter().rev().find(lost).unwrap();
        let took = *at - died;
        assert!(took > ms(190) && took <= ms(300), "{took:?}");
        world.cut.clear();
        world.start(n(3));
        world.run(ms(30_000));
        assert_eq!(world.state(1, 3), NodeState::Up, "{late}");
    }
}

#[test]
fn two_lost_heartbeats_change_nothing() {
    let mut world = World::three();
    let before: usize = world.hosts[&n(1)].events.len();
    for _ in 0..20 {
        world.cut_off(n(3));
        world.run(ms(170));
        world.cut.clear();
        world.run(ms(130));
    }
    assert_eq!(world.hosts[&n(1)].events.len(), before);
}

#[test]
fn who_flaps_is_up_only_when_it_is_steady() {
    let mut world = World::three();
    for _ in 0..3 {
        world.cut_off(n(3));
        world.run(ms(350));
        world.cut.clear();
        world.run(ms(400));
    }
    assert_eq!(world.state(1, 3), NodeState::Joining);
    world.run(ms(1500));
    assert_eq!(world.state(1, 3), NodeState::Joining);
    world.run(ms(500));
    assert_eq!(world.state(1, 3), NodeState::Up);
}

#[test]
fn a_host_that_returns_gets_the_whole_table_before_it_counts() {
    let mut world = World::three();
    (0..1000).for_each(|which| {
        world.make(1 + u32::from(which % 2), which);
    });
    world.run(ms(1000));
    world.kill(n(3));
    world.kernel(3).reboot();
    world.run(ms(1000));
    world.delay = ms(40);
    world.start(n(3));
    let mut came_up = None;
    for _ in 0..1000 {
        world.step();
        let whole = world.kernel(3).live.len() == 1000;
        if world.state(1, 3) == NodeState::Up {
            assert!(whole, "it has {}", world.kernel(3).live.len());
            came_up = Some(world.now);
            break;
        }
    }
    assert!(came_up.is_some());
    assert_eq!(world.table(3), world.table(1));
}

/// Keys of splices that a kernel has ended, and still has late packets of.
fn over(world: &mut World, of: u32) -> BTreeSet<Key> {
    let all = world.kernel(of).list().into_iter();
    let key = |seen: Seen| match seen.state {
        Standing::Over(key, _) => Some(key),
        _ => None,
    };
    all.filter_map(key).collect()
}

#[test]
fn a_host_that_returns_knows_what_ended_of_late() {
    let mut world = World::three();
    let keys: Vec<Key> = (0..300).map(|which| world.make(1, which)).collect();
    world.run(ms(1000));
    world.kill(n(3));
    world.kernel(3).reboot();
    world.run(ms(1000));
    for key in &keys[..200] {
        let id = world.id_on(1, key);
        world.kernel(1).end(id, FIN);
    }
    world.run(ms(1000));
    world.start(n(3));
    for _ in 0..1000 {
        world.step();
        if world.state(1, 3) == NodeState::Up {
            break;
        }
    }
    assert_eq!(world.state(1, 3), NodeState::Up);
    assert_eq!(over(&mut world, 3), keys[..200].iter().copied().collect());
    assert_eq!(world.kernel(3).live.len(), 100);
    assert_eq!(world.table(3), world.table(1));
    // Nobody sends anything late after so long.
    world.run(Duration::from_secs(60));
    world.kill(n(3));
    world.kernel(3).reboot();
    world.run(ms(1000));
    world.start(n(3));
    world.run(ms(5000));
    assert!(over(&mut world, 3).is_empty());
    assert_eq!(world.table(3), world.table(1));
}

#[test]
fn changes_during_a_snapshot_are_in_it() {
    let mut world = World::three();
    (0..1000).for_each(|which| {
        world.make(1, which);
    });
    world.run(ms(1000));
    world.kill(n(3));
    world.kernel(3).reboot();
    world.run(ms(500));
    // Sixteen round trips for the table.
    world.delay = ms(50);
    world.start(n(3));
    let mut ended = Vec::new();
    for round in 0..40u16 {
        world.run(ms(20));
        // One ends on either, one is new, one sees a FIN.
        let (old, new, fin) = (row(round).key(), 2000 + round, row(500 + round).key());
        let on = 1 + u32::from(round % 2);
        if let Some(id) = world.kernel(on).id_of(&old) {
            world.kernel(on).end(id, RESET);
            ended.push(old);
        }
        world.make(on, new);
        let id = world.kernel(on).id_of(&fin).unwrap();
        world.kernel(on).fin(id, 0, false);
    }
    world.run(ms(5000));
    assert_eq!(ended.len(), 40);
    assert_eq!(world.table(3).len(), 1000);
    assert_eq!(world.table(1), world.table(3));
    assert_eq!(world.table(2), world.table(3));
    assert_eq!(world.kernel(3).table(), world.table(3));
    for key in ended {
        assert!(world.kernel(3).id_of(&key).is_none());
    }
    for round in 0..40 {
        assert!(world.table(3)[&row(500 + round).key()][0].fin_seen);
    }
}

#[test]
fn a_partition_heals() {
    let mut world = World::three();
    let shared: Vec<_> = (0..20).map(|which| world.make(1, which)).collect();
    world.run(ms(500));
    world.cut_off(n(3));
    world.run(ms(500));
    // Both sides go on: ends on either side, FINs, and new ones.
    for (on, which) in [(1, 0), (2, 1), (3, 2)] {
        let id = world.kernel(on).id_of(&shared[which]).unwrap();
        world.kernel(on).end(id, RESET);
    }
    for (on, which, direction) in [(3, 3, 0), (1, 3, 1), (3, 4, 0), (2, 5, 1)] {
        let id = world.kernel(on).id_of(&shared[which]).unwrap();
        world.kernel(on).fin(id, direction, true);
    }
    let news = [world.make(1, 100), world.make(3, 101)];
    world.run(Duration::from_secs(3600));
    world.cut.clear();
    world.run(ms(3000));
    for key in &shared[..4] {
        // Number 3 had a FIN of one direction on each side, which makes two.
        for node in 1..=3 {
            assert!(world.kernel(node).id_of(key).is_none(), "{key:?} on {node}");
        }
    }
    for node in 1..=3 {
        assert_eq!(world.table(node).len(), 18);
        assert!(news.iter().all(|key| world.table(node).contains_key(key)));
        assert!(world.table(node)[&shared[4]][0].fin_acked);
        assert!(world.table(node)[&shared[5]][1].fin_acked);
        assert_eq!(world.kernel(node).table(), world.table(node));
    }
    for by in 1..=3 {
        assert_eq!(world.state(by, 3), NodeState::Up);
    }
}

#[test]
fn two_that_lost_only_each_other_do_not_count_before_they_are_in_step() {
    let mut world = World::three();
    world.cut.insert((n(1), n(3)));
    world.run(ms(2000));
    assert_eq!(world.state(1, 3), NodeState::Down);
    assert_eq!(world.state(2, 3), NodeState::Up);
    let key = world.make(3, 1);
    world.run(ms(500));
    assert!(world.kernel(2).id_of(&key).is_some());
    assert!(world.kernel(1).id_of(&key).is_none());
    world.cut.clear();
    world.delay = ms(200);
    let mut joined = false;
    while world.state(1, 3) != NodeState::Up {
        world.step();
        joined |= world.state(1, 3) == NodeState::Joining;
        assert!(world.now < Duration::from_secs(60));
    }
    assert!(joined && world.kernel(1).id_of(&key).is_some());
}

#[test]
fn two_halves_never_leave_a_balancer_without_a_proxy() {
    let mut world = World::new(&[PROXY, PROXY, BALANCER], Replicas::All, WhenShort::Warn);
    world.run(ms(2000));
    assert_eq!(world.state(3, 1), NodeState::Up);
    world.cut.insert((n(1), n(2)));
    world.run(ms(2000));
    assert_eq!(
        (world.state(3, 1), world.state(3, 2)),
        (NodeState::Up, NodeState::Up)
    );
    world.cut.clear();
    // Both have to fetch the other's table first, and that takes a while.
    world.delay = ms(200);
    for _ in 0..300 {
        world.step();
        let up = [1, 2].map(|of| world.state(3, of) == NodeState::Up);
        assert!(up[0] || up[1], "at {:?}", world.now);
    }
    assert_eq!(
        (world.state(3, 1), world.state(3, 2)),
        (NodeState::Up, NodeState::Up)
    );
}

#[test]
fn a_balancer_that_hears_nobody_sends_to_the_last_that_it_heard() {
    let mut world = World::new(&[PROXY, PROXY, BALANCER], Replicas::All, WhenShort::Warn);
    world.run(ms(2000));
    world.cut.insert((n(1), n(3)));
    world.run(ms(1000));
    let both = |world: &World| (world.state(3, 1), world.state(3, 2));
    assert_eq!(both(&world), (NodeState::Down, NodeState::Up));
    world.cut.insert((n(2), n(3)));
    world.run(ms(5000));
    assert_eq!(both(&world), (NodeState::Down, NodeState::Up));
    // The other one is better than that.
    world.cut.remove(&(n(1), n(3)));
    world.run(ms(3000));
    assert_eq!(both(&world), (NodeState::Up, NodeState::Down));
}

#[test]
fn a_killed_daemon_reads_its_kernel_back() {
    let mut world = World::three();
    let keys: Vec<_> = (0..10).map(|which| world.make(1, which)).collect();
    world.run(ms(500));
    world.kill(n(1));
    world.run(ms(1000));
    // Meanwhile one ends there, one elsewhere, and one is new.
    let id = world.kernel(1).id_of(&keys[0]).unwrap();
    world.kernel(1).end(id, RESET);
    let id = world.kernel(2).id_of(&keys[1]).unwrap();
    world.kernel(2).end(id, RESET);
    world.make(1, 50);
    world.run(ms(1000));
    world.start(n(1));
    world.run(ms(3000));
    for node in 1..=3 {
        assert_eq!(world.kernel(node).table(), world.table(1));
        assert_eq!(world.table(node).len(), 9);
        assert!(world.table(node).contains_key(&row(50).key()));
        assert!(!world.table(node).contains_key(&keys[0]));
        assert!(!world.table(node).contains_key(&keys[1]));
    }
    assert_eq!(
        world.kernel(1).installs,
        0,
        "it had all but nothing to install"
    );
}

#[test]
fn a_node_asks_for_nothing_before_it_knows_its_own() {
    let mut terms = World::three().terms;
    terms.me = n(1);
    let mut node = Node::new(terms, 7, ms(10));
    let lists = |output: &Output| match output {
        Output::Op(Op::List { epoch }) => Some(*epoch),
        _ => None,
    };
    let epoch = node.take(ms(10)).iter().find_map(lists).unwrap();
    let digests = |outputs: Vec<Output>| {
        let is_one = |o: &&Output| matches!(o, Output::Send(_, _, Message::Digest(_)));
        outputs.iter().filter(is_one).count()
    };
    // A long list takes its time. Peers would send all of it, too.
    node.linked(n(2), 1, 9, ms(20));
    node.tick(ms(1500));
    assert_eq!(digests(node.take(ms(1500))), 0);
    node.done(Done::Listed { epoch, whole: true }, ms(1600));
    assert_eq!(digests(node.take(ms(1600))), 1);
}

#[test]
fn a_module_loaded_anew_ends_nothing() {
    let mut world = World::three();
    let keys: Vec<_> = (0..10).map(|which| world.make(1, which)).collect();
    world.run(ms(500));
    world.kernel(2).reboot();
    world.run(Duration::from_secs(40));
    for node in 1..=3 {
        for key in &keys {
            assert!(world.kernel(node).id_of(key).is_some(), "{key:?} on {node}");
        }
    }
}

#[test]
fn progress_is_told_once_a_second_and_a_fin_at_once() {
    let mut world = World::three();
    let key = world.make(1, 1);
    world.run(ms(3000));
    let id = world.kernel(1).id_of(&key).unwrap();
    let before = world.kernel(2).advances;
    for _ in 0..500 {
        world.kernel(1).carry(id, 0, 1460);
        world.step();
    }
    let told = world.kernel(2).advances - before;
    assert!((4..=6).contains(&told), "{told}");
    world.run(ms(1500));
    assert_eq!(world.kernel(2).table(), world.kernel(1).table());
    let quiet = world.kernel(2).advances;
    world.run(ms(5000));
    assert_eq!(world.kernel(2).advances, quiet, "nothing is told twice");
    world.kernel(1).fin(id, 1, false);
    world.run(ms(30));
    assert!(world.kernel(2).table()[&key][1].fin_seen);
    assert!(world.kernel(3).table()[&key][1].fin_seen);
}

#[test]
fn the_same_four_numbers_again() {
    let mut world = World::three();
    let old = world.make(1, 1);
    world.run(ms(500));
    // It ends while 3 is away, and the client connects again from the same port.
    world.cut_off(n(3));
    world.run(ms(500));
    let id = world.kernel(1).id_of(&old).unwrap();
    world.kernel(1).end(id, RESET);
    let mut young = row(1);
    young.edits[0].seq_origin ^= 0x5555;
    young.born += 60_000;
    let key = young.key();
    let id = world.kernel(1).make(young);
    world.kernel(1).drained(id);
    world.run(ms(500));
    // The old end must not come through: 1 is started anew and knows nothing of it.
    world.kill(n(1));
    world.kill(n(2));
    for node in [1, 2] {
        let live = std::mem::take(&mut world.kernel(node).live);
        world.kernel(node).reboot();
        world.kernel(node).live = live;
        world.start(n(node));
    }
    world.run(ms(1500));
    world.cut.clear();
    world.run(ms(5000));
    for node in 1..=3 {
        let expected: Vec<_> = vec![key];
        let found: Vec<_> = world.kernel(node).table().into_keys().collect();
        assert_eq!(found, expected, "on {node}");
    }
}

#[test]
fn draining_is_told_to_all() {
    let mut world = World::new(&[PROXY, PROXY, BALANCER], Replicas::All, WhenShort::Warn);
    world.run(ms(2000));
    let now = world.now;
    world.host(n(1)).node.as_mut().unwrap().drain(true, now);
    world.act(n(1));
    world.run(ms(200));
    for by in 1..=3 {
        assert_eq!(world.state(by, 1), NodeState::Draining);
    }
    let now = world.now;
    world.host(n(1)).node.as_mut().unwrap().drain(false, now);
    world.act(n(1));
    world.run(ms(200));
    for by in 1..=3 {
        assert_eq!(world.state(by, 1), NodeState::Up);
    }
}

#[test]
fn a_balancer_gets_no_row() {
    let mut world = World::new(&[PROXY, BALANCER], Replicas::All, WhenShort::Warn);
    world.run(ms(2000));
    let id = world.kernel(1).make(row(1));
    world.kernel(1).drained(id);
    world.replicate(1, id, 1);
    world.run(ms(100));
    // There is nobody to hold it, and nobody should.
    assert_eq!(world.answer(1, 1), Some(&Outcome::Committed(0)));
    assert_eq!(world.kernel(2).installs, 0);
    // And one that speaks of rows is cut.
    assert!(world.says(2, 1, Message::Ended(vec![(row(1).key(), FIN)])));
    assert!(world.kernel(1).id_of(&row(1).key()).is_some());
}

#[test]
fn a_backend_gets_the_rows_of_its_servers_and_no_others() {
    let mut world = World::farm();
    for which in 0..30 {
        world.make_row(1 + u32::from(which % 2), mixed(which));
    }
    world.run(ms(200));
    for backend in [4, 5] {
        let expected: BTreeSet<Key> = of_server(backend, 30)
            .into_iter()
            .map(|which| mixed(which).key())
            .collect();
        assert_eq!(expected.len(), 10);
        let held: BTreeSet<Key> = world.kernel(backend).table().into_keys().collect();
        assert_eq!(held, expected);
        assert!(world.kernel(backend).live.values().all(|live| live.split));
        // Its owner sent it, and nobody else.
        assert_eq!(world.kernel(backend).installs, 10);
    }
    for proxy in 1..=3 {
        let live = &world.kernel(proxy).live;
        assert_eq!(live.len(), 30);
        assert!(live.values().all(|live| live.replicated && !live.split));
    }
    // Comparing tables finds nothing to send.
    world.run(Duration::from_secs(65));
    assert_eq!(world.kernel(4).installs + world.kernel(5).installs, 20);
    for node in 1..=5 {
        for of in 1..=5 {
            assert_eq!(world.state(node, of), NodeState::Up);
        }
    }
}

#[test]
fn a_backend_gets_a_row_when_it_is_committed() {
    let mut world = World::farm();
    world.delay = ms(100);
    let key = world.make_row(1, row_to(4, 1));
    world.run(ms(210));
    // The proxies have it, and their word is just back.
    assert!(world.has(2, &key) && world.has(3, &key));
    assert!(!world.has(4, &key));
    world.run(ms(120));
    assert!(world.has(4, &key));
    // A backend is no replica.
    world.kill(n(2));
    world.kill(n(3));
    world.run(ms(500));
    let id = world.kernel(1).make(row_to(4, 2));
    world.kernel(1).drained(id);
    world.replicate(1, id, 1);
    world.run(ms(300));
    let short = Outcome::Degraded { have: 0, want: 1 };
    assert_eq!(world.answer(1, 1), Some(&short));
    // It carries its half nevertheless, and the proxy knows that it is not alone.
    assert!(world.has(4, &row_to(4, 2).key()));
    assert!(world.kernel(1).live[&id].replicated);
}

#[test]
fn one_proxy_and_a_backend() {
    let mut world = World::new(&[PROXY, BACKEND], Replicas::All, WhenShort::Warn);
    world.run(ms(2000));
    let (ours, other) = (row_to(2, 1), row_to(9, 2));
    let ids = [&ours, &other].map(|row| world.kernel(1).make(row.clone()));
    for (ticket, id) in (0..).zip(ids) {
        world.kernel(1).drained(id);
        world.replicate(1, id, ticket);
    }
    world.run(ms(100));
    assert_eq!(world.answer(1, 0), Some(&Outcome::Committed(0)));
    assert!(world.has(2, &ours.key()) && !world.has(2, &other.key()));
    assert!(world.kernel(1).live[&ids[0]].replicated);
    assert!(!world.kernel(1).live[&ids[1]].replicated);
}

#[test]
fn progress_and_fins_go_from_backends_to_proxies_and_back() {
    let mut world = World::farm();
    let key = world.make_row(1, row_to(4, 1));
    world.run(ms(200));
    let on_4 = world.id_on(4, &key);
    world.kernel(4).carry(on_4, 1, 5_000_000);
    let on_2 = world.id_on(2, &key);
    world.kernel(2).carry(on_2, 0, 777);
    world.run(ms(2500));
    let start = row_to(4, 1).progress;
    for node in 1..=4 {
        let progress = world.kernel(node).table()[&key];
        let moved = [0, 1].map(|i| progress[i].seq_next.wrapping_sub(start[i].seq_next));
        assert_eq!(moved, [777, 5_000_000], "on {node}");
    }
    // Each sees a part of the end: the backend its FIN, and the acknowledgement of the client's.
    world.kernel(4).fin(on_4, 1, false);
    world.run(ms(30));
    for node in 1..=3 {
        assert!(world.kernel(node).table()[&key][1].fin_seen, "on {node}");
    }
    world.kernel(2).fin(on_2, 1, true);
    let on_3 = world.id_on(3, &key);
    world.kernel(3).fin(on_3, 0, false);
    world.run(ms(30));
    assert!(world.has(4, &key));
    world.kernel(4).fin(on_4, 0, true);
    world.run(ms(30));
    for node in 1..=4 {
        assert!(!world.has(node, &key), "on {node}");
    }
    assert_eq!(world.kernel(4).own_ends, [key]);
}

#[test]
fn an_end_on_either_side_is_one_on_the_other() {
    let mut world = World::farm();
    let keys = [1, 2].map(|which| world.make_row(1, row_to(4, which)));
    world.run(ms(200));
    let id = world.id_on(4, &keys[0]);
    world.kernel(4).end(id, RESET);
    let id = world.id_on(3, &keys[1]);
    world.kernel(3).end(id, RESET);
    world.run(ms(30));
    for key in keys {
        for node in 1..=4 {
            assert!(!world.has(node, &key), "{key:?} on {node}");
        }
    }
    // Nobody but 4 has heard of them.
    let node = world.hosts[&n(5)].node.as_ref().unwrap();
    assert!(keys.iter().all(|key| node.ended(key).is_none()));
}

#[test]
fn a_backend_that_refuses_does_no_harm_and_is_named_once() {
    let mut world = World::farm();
    world.kernel(4).refuse = Some("no module".into());
    let id = world.kernel(1).make(row_to(4, 0));
    world.kernel(1).drained(id);
    world.replicate(1, id, 1);
    for which in 1..10 {
        world.make_row(1, row_to(4, which));
    }
    world.run(Duration::from_secs(100));
    assert_eq!(world.answer(1, 1), Some(&Outcome::Committed(2)));
    let events = |world: &World, of: u32| {
        let events = &world.hosts[&n(of)].events;
        let named = |e: &Event| matches!(e, Event::RefusedBy(..) | Event::RefusedHere(..));
        events.iter().filter(|(_, event)| named(event)).count()
    };
    for node in 1..=4 {
        assert_eq!(events(&world, node), 1, "on {node}");
    }
    for proxy in 1..=3 {
        assert_eq!(world.kernel(proxy).live.len(), 10);
    }
    // When it can, it gets them.
    world.kernel(4).refuse = None;
    world.run(Duration::from_secs(40));
    assert_eq!(world.kernel(4).live.len(), 10);
}

#[test]
fn a_backend_that_dies_and_returns() {
    let mut world = World::farm();
    let keys: Vec<_> = (0..20)
        .map(|which| world.make_row(1, row_to(4, which)))
        .collect();
    let others = (100..105).map(|which| world.make_row(1, row_to(5, which)).client);
    let others: BTreeSet<_> = others.collect();
    world.run(ms(500));
    // Its host: it returns empty, and gets what is live by then.
    world.kill(n(4));
    world.kernel(4).reboot();
    let id = world.id_on(2, &keys[0]);
    world.kernel(2).end(id, RESET);
    world.make_row(2, row_to(4, 30));
    world.run(ms(3000));
    for proxy in 1..=3 {
        assert_eq!(world.kernel(proxy).live.len(), 25);
    }
    world.start(n(4));
    world.run(ms(2000));
    let its = |world: &World| {
        let mut table = world.table(1);
        table.retain(|key, _| !others.contains(&key.client));
        table
    };
    assert_eq!(its(&world).len(), 20);
    assert_eq!(world.kernel(4).table(), its(&world));
    // Its daemon: the kernel goes on, and what ended on either side meanwhile has ended on both.
    world.kill(n(4));
    world.run(ms(500));
    let id = world.id_on(4, &keys[1]);
    world.kernel(4).end(id, RESET);
    let id = world.id_on(3, &keys[2]);
    world.kernel(3).end(id, RESET);
    let id = world.id_on(4, &keys[3]);
    world.kernel(4).fin(id, 1, false);
    world.run(ms(500));
    let before = world.kernel(4).installs;
    world.start(n(4));
    world.run(ms(4000));
    assert_eq!(world.kernel(4).table(), its(&world));
    assert_eq!(its(&world).len(), 18);
    for node in 1..=4 {
        assert!(!world.has(node, &keys[1]) && !world.has(node, &keys[2]));
        assert!(world.kernel(node).table()[&keys[3]][1].fin_seen);
    }
    for proxy in 1..=3 {
        assert_eq!(world.kernel(proxy).table(), world.table(1), "on {proxy}");
        // It was offered nothing that it does not serve, and missing it was no reason to warn.
        let warns = |e: &Event| matches!(e, Event::Short { .. } | Event::RefusedBy(..));
        let events = &world.hosts[&n(proxy)].events;
        assert!(!events.iter().any(|(_, event)| warns(event)), "on {proxy}");
    }
    assert_eq!(
        world.kernel(4).installs,
        before,
        "it had all but nothing to install"
    );
}

#[test]
fn a_proxy_that_dies_before_it_told_the_backend() {
    let mut world = World::farm();
    world.cut.insert((n(1), n(4)));
    world.run(ms(2000));
    let key = world.make_row(1, row_to(4, 1));
    world.run(ms(500));
    assert!(world.has(2, &key) && world.has(3, &key) && !world.has(4, &key));
    // To the others it lives until now.
    world.kill(n(1));
    world.kernel(1).reboot();
    world.cut.clear();
    world.run(ms(2000));
    assert!(
        !world.has(4, &key),
        "1 was lost to it before, and it asked then"
    );
    world.run(Duration::from_secs(30));
    assert!(world.has(4, &key), "and it asks again");
    // One whose word to the backend alone is lost with it.
    let mut world = World::farm();
    world.delay = ms(100);
    let key = world.make_row(1, row_to(4, 1));
    world.run(ms(230));
    assert!(world.has(2, &key) && !world.has(4, &key));
    world.kill(n(1));
    world.kernel(1).reboot();
    world.run(ms(2000));
    assert!(world.has(4, &key), "it asked the others when it missed 1");
}

#[test]
fn a_backend_that_oversteps_is_cut() {
    let mut world = World::farm();
    let (own, other) = (row_to(4, 1), row_to(5, 2));
    for row in [&own, &other] {
        world.make_row(1, row.clone());
    }
    world.run(ms(200));
    let wrong = [
        Message::Ended(vec![(own.key(), FIN), (other.key(), FIN)]),
        Message::Progress(vec![(other.key(), other.progress)]),
        Message::Rows {
            batch: 0,
            rows: vec![row_to(4, 7)],
        },
        Message::Synced,
    ];
    for message in wrong {
        assert!(world.says(4, 1, message.clone()), "{message:?}");
        world.run(ms(100));
    }
    for row in [&own, &other] {
        assert!(world.has(1, &row.key()));
    }
    // Of what is not known here nothing can be said.
    assert!(!world.says(
        4,
        1,
        Message::Progress(vec![(row(9).key(), row(9).progress)])
    ));
    assert!(!world.says(4, 1, Message::Ended(vec![(own.key(), FIN)])));
    assert!(!world.has(1, &own.key()));
    // A backend takes what is its own, whoever sends it.
    let rows = vec![row_to(4, 7), row_to(5, 8)];
    assert!(!world.says(2, 4, Message::Rows { batch: 99, rows }));
    assert!(world.has(4, &row_to(4, 7).key()) && !world.has(4, &row_to(5, 8).key()));
    // And from proxies alone.
    let progress = Message::Progress(vec![(own.key(), own.progress)]);
    assert!(world.says(5, 4, progress));
}

#[test]
fn without_split_splice_a_backend_gets_nothing() {
    let mut world = World::farm();
    world.terms.split = false;
    for node in [1, 2, 3] {
        world.kill(n(node));
        world.start(n(node));
    }
    world.run(ms(3000));
    let key = world.make_row(1, row_to(4, 1));
    world.run(Duration::from_secs(40));
    assert!(world.has(3, &key));
    assert_eq!(world.kernel(4).installs, 0);
    assert_eq!(world.state(1, 4), NodeState::Up);
    // Nor does one that does not want it.
    let mut world = World::farm();
    world.terms.split = false;
    world.kill(n(4));
    world.start(n(4));
    world.terms.split = true;
    world.run(ms(3000));
    let key = world.make_row(1, row_to(4, 1));
    world.run(Duration::from_secs(40));
    assert!(world.has(3, &key));
    assert_eq!(world.kernel(4).installs, 0);
}

#[test]
fn a_proxy_with_servers_of_its_own() {
    let mut world = World::new(&[BOTH; 3], Replicas::All, WhenShort::Warn);
    world.run(ms(2000));
    // Number 1 is made beside its server, number 2 is not, and the server of 3 is nobody's.
    let rows = [row_to(1, 1), row_to(2, 2), row_to(9, 3)];
    for row in &rows {
        world.make_row(1, row.clone());
    }
    world.run(ms(500));
    for node in 1..=3 {
        for (which, row) in (1..).zip(&rows) {
            let id = world.id_on(node, &row.key());
            let expected = node == 2 && which == 2;
            let live = &world.kernel(node).live[&id];
            assert_eq!(
                (live.split, live.replicated),
                (expected, true),
                "{which} on {node}"
            );
        }
        assert_eq!(world.kernel(node).table(), world.table(1));
    }
    // With fewer replicas than proxies, the one that has the server is one more.
    let mut world = World::new(&[BOTH; 4], Replicas::Count(1), WhenShort::Warn);
    world.run(ms(2000));
    for which in 0..20 {
        let key = world.make_row(1, row_to(2, which));
        world.run(ms(200));
        let id = world.id_on(2, &key);
        assert!(world.kernel(2).live[&id].split);
    }
}

#[derive(Debug, Clone)]
enum Action {
    Make(u32, u16),
    Carry(u32, u16, usize, u32),
    Fin(u32, u16, usize, bool),
    End(u32, u16),
    Break(u32, u32),
    CutOff(u32),
    Heal,
    Kill(u32),
    Start(u32),
    Reboot(u32),
    Run(u64),
}

const NOBODY: [u32; 0] = [];

/// A connection that has moved to the node of this number.
fn moved_to(server: u32, which: u16) -> Row {
    let mut row = row(which);
    row.ends = [row.ends[0], row.ends[1], row.ends[0], row.ends[1]];
    let via = row_to(server, which).ends[3].ip();
    row.away = Some(Away { via, tunnel: false });
    row
}

impl World {
    /// A connection moves from a proxy to a backend.
    fn move_to(&mut self, server: u32, proxy: u32, which: u16) -> Key {
        let key = self.make_row(proxy, moved_to(server, which));
        self.kernel(server).connections.push(key);
        key
    }

    fn who_has(&self, key: &Key) -> Vec<u32> {
        let ids = self.hosts.keys().map(|id| id.0);
        ids.filter(|id| self.has(*id, key)).collect()
    }
}

#[test]
fn a_connection_that_moved_outlives_the_proxy() {
    let mut world = World::farm();
    let keys: Vec<_> = (0..300).map(|which| world.move_to(4, 1, which)).collect();
    world.run(ms(500));
    for key in &keys {
        assert_eq!(world.who_has(key), [1, 2, 3]);
    }
    for proxy in 1..=3 {
        // Which is how a kernel knows that its end is told.
        assert!(
            world
                .kernel(proxy)
                .live
                .values()
                .all(|live| live.replicated)
        );
    }
    world.kill(n(1));
    world.kernel(1).reboot();
    world.run(Duration::from_secs(100));
    for key in &keys {
        assert_eq!(world.who_has(key), [2, 3], "while it lives, they are there");
    }
    world.kernel(4).connections.retain(|key| *key != keys[7]);
    world.run(Duration::from_secs(40));
    assert_eq!(world.who_has(&keys[7]), NOBODY);
    assert_eq!(world.table(2).len(), 299);
    assert_eq!(world.table(3), world.table(2));
    // The one that returns takes part again.
    world.start(n(1));
    world.run(ms(4000));
    assert_eq!(world.kernel(1).live.len(), 299);
    world.kernel(4).connections.clear();
    world.run(Duration::from_secs(40));
    for proxy in 1..=3 {
        assert_eq!(
            (world.table(proxy).len(), world.kernel(proxy).live.len()),
            (0, 0)
        );
    }
}

#[test]
fn a_connection_that_moved_is_asked_for_when_something_is_heard_of_it() {
    let mut world = World::farm();
    let key = world.move_to(5, 2, 1);
    world.run(Duration::from_secs(120));
    // By one proxy alone, and less and less often.
    let asked = world.host(n(5)).asked;
    assert!((5..12).contains(&asked), "{asked}");
    assert_eq!(world.who_has(&key), [1, 2, 3]);
    world.kernel(5).connections.clear();
    let id = world.id_on(3, &key);
    world.kernel(3).fin(id, 0, false);
    world.run(ms(1200));
    assert_eq!(world.who_has(&key), NOBODY);
    for proxy in 1..=3 {
        let node = world.hosts[&n(proxy)].node.as_ref().unwrap();
        assert_eq!(node.ended(&key), Some(FIN));
    }
}

#[test]
fn a_connection_that_comes_back_is_sent_nowhere() {
    for proxy in [1, 3] {
        let mut world = World::farm();
        let key = world.move_to(4, 1, 1);
        world.run(ms(500));
        let id = world.id_on(proxy, &key);
        world.kernel(4).connections.clear();
        world.kernel(proxy).end(id, Reason::RETURNED);
        world.run(ms(50));
        assert_eq!(world.who_has(&key), NOBODY);
        // It moves again, to another host.
        let mut again = moved_to(5, 1);
        again.edits[0].seq_origin += 100;
        again.born += 5;
        let key = world.make_row(proxy, again);
        world.kernel(5).connections.push(key);
        world.run(Duration::from_secs(40));
        assert_eq!(world.who_has(&key), [1, 2, 3]);
        // And back, and away, without a byte in between: it is forwarded, by that proxy alone.
        let id = world.id_on(proxy, &key);
        let row = world.kernel(proxy).live[&id].row.clone();
        world.kernel(proxy).end(id, Reason::RETURNED);
        world.run(ms(50));
        assert_eq!(world.who_has(&key), NOBODY);
        world.make_row(proxy, row);
        world.run(Duration::from_secs(40));
        assert_eq!(world.who_has(&key), [proxy]);
    }
}

#[test]
fn a_host_is_believed_of_its_own_connections_alone() {
    let mut world = World::farm();
    let key = world.move_to(4, 1, 1);
    world.run(ms(500));
    for proxy in 1..=3 {
        assert!(!world.says(5, proxy, Message::HasNot(vec![key])));
    }
    world.run(ms(500));
    assert_eq!(world.who_has(&key), [1, 2, 3]);
    // Nor is it told what is not its own affair.
    assert!(world.says(1, 4, Message::HasNot(vec![key])));
}

#[test]
fn where_nobody_can_be_asked_a_connection_is_the_proxys_own() {
    let mut world = World::farm();
    // No node's server; and one whose daemon is not there.
    let nobodys = world.make_row(1, moved_to(9, 1));
    world.kill(n(5));
    world.run(ms(500));
    let silent = world.move_to(5, 1, 2);
    world.run(Duration::from_secs(5));
    for key in [&nobodys, &silent] {
        assert_eq!(world.who_has(key), [1]);
    }
    assert!(world.kernel(1).live.values().all(|live| !live.replicated));
    // When that comes, it can be.
    world.start(n(5));
    world.run(Duration::from_secs(5));
    assert_eq!(world.who_has(&silent), [1, 2, 3]);
    assert_eq!(world.who_has(&nobodys), [1]);
}

#[test]
fn a_proxy_never_forwards_what_moved_to_itself() {
    let mut world = World::new(&[PROXY, BOTH, PROXY], Replicas::All, WhenShort::Warn);
    world.run(ms(2000));
    let key = world.move_to(2, 1, 1);
    world.run(Duration::from_secs(70));
    assert_eq!(world.who_has(&key), [1, 3]);
    assert_eq!(world.table(2).len(), 1);
    // The first that is left and not the host itself asks.
    world.kill(n(1));
    world.kernel(1).reboot();
    world.run(Duration::from_secs(3));
    world.kernel(2).connections.clear();
    world.run(Duration::from_secs(40));
    assert_eq!(world.who_has(&key), NOBODY);
    assert_eq!(world.table(2).len(), 0);
}

fn crash() -> impl Strategy<Value = Action> {
    prop_oneof![
        5 => action(),
        1 => (0usize..4, 1u32..6).prop_map(|(kind, id)| match kind {
            0 => Action::Kill(id),
            1 => Action::Reboot(id),
            _ => Action::Start(id),
        }),
    ]
}

fn action() -> impl Strategy<Value = Action> {
    let node = || 1u32..6;
    let which = || 0u16..8;
    prop_oneof![
        6 => (1u32..4, which()).prop_map(|(a, b)| Action::Make(a, b)),
        4 => (node(), which(), 0usize..2, 1u32..1 << 26).prop_map(|(a, b, c, d)| Action::Carry(a, b, c, d)),
        4 => (node(), which(), 0usize..2, any::<bool>()).prop_map(|(a, b, c, d)| Action::Fin(a, b, c, d)),
        3 => (node(), which()).prop_map(|(a, b)| Action::End(a, b)),
        2 => (node(), node()).prop_map(|(a, b)| Action::Break(a, b)),
        1 => node().prop_map(Action::CutOff),
        1 => Just(Action::Heal),
        6 => (0u64..700).prop_map(Action::Run),
    ]
}

/// Does all that, and then lets the world come to rest. Returns it, and the keys that kernels ended.
fn play(actions: &[Action]) -> (World, BTreeSet<Key>) {
    let mut world = World::farm();
    world.step = ms(30);
    let mut made = BTreeSet::new();
    for action in actions {
        match *action {
            // A splice is made once.
            Action::Make(on, which) => {
                if made.insert(which) {
                    world.make_row(on, mixed(which));
                }
            }
            Action::Carry(on, which, direction, bytes) => {
                let kernel = world.kernel(on);
                if let Some(id) = kernel.id_of(&mixed(which).key()) {
                    kernel.carry(id, direction, bytes);
                }
            }
            Action::Fin(on, which, direction, acked) => {
                let kernel = world.kernel(on);
                if let Some(id) = kernel.id_of(&mixed(which).key()) {
                    kernel.fin(id, direction, acked);
                }
            }
            Action::End(on, which) => {
                let kernel = world.kernel(on);
                if let Some(id) = kernel.id_of(&mixed(which).key()) {
                    kernel.end(id, RESET);
                }
            }
            Action::Break(a, b) => world.break_link(pair(n(a), n(b))),
            Action::CutOff(id) => world.cut_off(n(id)),
            Action::Heal => world.cut.clear(),
            Action::Kill(id) => world.kill(n(id)),
            Action::Start(id) => {
                if world.hosts[&n(id)].node.is_none() {
                    world.start(n(id));
                }
            }
            Action::Reboot(id) => {
                world.kill(n(id));
                world.kernel(id).reboot();
            }
            Action::Run(time) => world.run(ms(time)),
        }
    }
    world.cut.clear();
    for id in 1..=5 {
        if world.hosts[&n(id)].node.is_none() {
            world.start(n(id));
        }
    }
    // Longer than it takes to compare tables anew.
    world.run(Duration::from_secs(75));
    let ended = world
        .hosts
        .values()
        .flat_map(|host| host.kernel.own_ends.clone());
    let ended = ended.collect();
    (world, ended)
}

/// Rows of backends that died with all proxies are nobody's, unless hosts never die.
fn all_alike(world: &mut World, hosts_die: bool) -> Result<(), TestCaseError> {
    let first = world.table(1);
    for node in 1..=3 {
        prop_assert_eq!(&world.table(node), &first, "the table of {}", node);
        prop_assert_eq!(
            &world.kernel(node).table(),
            &first,
            "the kernel of {}",
            node
        );
        for other in 1..=5 {
            prop_assert_eq!(world.state(node, other), NodeState::Up);
        }
    }
    for backend in [4, 5] {
        let keys = of_server(backend, 8).into_iter();
        let keys: BTreeSet<Key> = keys.map(|which| mixed(which).key()).collect();
        let mut expected = first.clone();
        expected.retain(|key, _| keys.contains(key));
        let mut table = world.table(backend);
        prop_assert!(table.keys().all(|key| keys.contains(key)));
        prop_assert_eq!(&world.kernel(backend).table(), &table);
        if hosts_die {
            table.retain(|key, _| expected.contains_key(key));
        }
        prop_assert_eq!(&table, &expected, "the table of {}", backend);
        prop_assert!(world.kernel(backend).live.values().all(|live| live.split));
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, failure_persistence: None, max_shrink_iters: 4000, ..ProptestConfig::default() })]

    /// Whatever is lost on the way: the same table everywhere, and nothing that ended lives.
    #[test]
    fn any_losses_converge(actions in prop::collection::vec(action(), 1..60)) {
        let (mut world, ended) = play(&actions);
        all_alike(&mut world, false)?;
        for key in ended {
            prop_assert!(!world.table(1).contains_key(&key), "{:?} was resurrected", key);
        }
    }

    /// With daemons and hosts that die as well, what a dead one alone knew is lost; the table is the
    /// same everywhere.
    #[test]
    fn any_crashes_converge(actions in prop::collection::vec(crash(), 1..60)) {
        let (mut world, _) = play(&actions);
        all_alike(&mut world, true)?;
    }
}
