// SPDX-License-Identifier: GPL-2.0

//! What one node does about everything that it hears: from its kernel, from its peers, and from its
//! clock. No input or output happens here, and no clock is read: what is to be done is put in a list,
//! so that tests can try any order of events, any loss, and any time.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::time::Duration;

use super::kernel::{NodeState, Seen, Standing};
use super::liveness::Liveness;
use super::message::{MAX_LIST, Message, text};
use super::row::{Both, Key, NodeId, Reason, Row, fins, join};
use super::servers::Servers;
use super::table::{BUCKETS, Entry, Merged, Table, node_of};

/// Batches of a table on their way to one peer at a time; so much memory it may take there.
const BULK_BATCHES: usize = 8;
/// Batches of news that one peer may leave unacknowledged.
const MAX_UNACKED: usize = 4096;
/// A link breaks so much later than the last message that came through it, at most.
const LOST_BEFORE: Duration = Duration::from_secs(10);
/// So many splices are told of at a time, and so long is waited before the next: progress has no
/// acknowledgement that would hold back who tells too much.
const TELL: usize = 1024;
const TELL_EVERY: Duration = Duration::from_millis(10);
/// How often two tables are compared, in case something went wrong.
const COMPARE_EVERY: Duration = Duration::from_secs(30);
/// A node that could not get a whole table takes packets nevertheless after so long.
const SYNC_PATIENCE: Duration = Duration::from_secs(60);
/// How long late packets of a splice that has ended are expected: the kernel's tombstone (2MSL).
const LATE: Duration = Duration::from_secs(60);
/// Parts of the table that are looked through at a time for splices that lack copies.
const SCAN_STEP: usize = 64;
/// The host that has a connection which has moved is asked for it after so long, and then after twice that, and so on, until `at most`.
/// What happens to the connection is a reason to begin anew.
const ASK_AFTER: Duration = Duration::from_secs(1);
const ASK_AT_MOST: Duration = Duration::from_secs(32);
/// So many of them are looked at in one turn.
const ASK_STEP: usize = 8 * MAX_LIST;
/// Callers that wait for splices which are not whole yet.
const MAX_TICKETS: usize = 1 << 16;

/// Why a backend is cut that does not keep to its own.
const OTHERS_SERVERS: &str = "it is a backend, and speaks of splices of other servers";

/// What a node is there for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Roles {
    /// It spreads packets over proxies.
    pub balancer: bool,
    /// It carries splices, and holds the table.
    pub proxy: bool,
    /// It serves. If it is said what, it carries what its servers send.
    pub backend: bool,
}

impl std::fmt::Display for Roles {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let all = [
            (self.balancer, "balancer"),
            (self.proxy, "proxy"),
            (self.backend, "backend"),
        ];
        let named: Vec<_> = all.iter().filter(|(is, _)| *is).map(|(_, n)| *n).collect();
        f.write_str(&named.join(","))
    }
}

/// How many peers have to hold a splice before it is committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replicas {
    /// All that are alive, and at least one.
    All,
    /// So many.
    Count(usize),
}

/// What becomes of a splice when too few peers are alive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhenShort {
    /// It goes on, with a warning.
    Warn,
    /// It is not made, if that can be known before.
    Refuse,
}

/// What a node has to know.
#[derive(Debug, Clone)]
pub struct Terms {
    /// Its own number.
    pub me: NodeId,
    /// All nodes, itself included.
    pub nodes: BTreeMap<NodeId, Roles>,
    /// Which of them have servers.
    pub servers: Servers,
    /// Servers' hosts are given the rows of their splices, and carry what their servers send.
    pub split: bool,
    /// Time between two heartbeats.
    pub interval: Duration,
    /// Heartbeats in a row that do not come before a peer is lost.
    pub misses: u32,
    /// How many peers hold a splice.
    pub replicas: Replicas,
    /// What if there are fewer.
    pub when_short: WhenShort,
    /// How long an acknowledgement may take.
    pub ack_timeout: Duration,
    /// How often progress is told.
    pub progress_every: Duration,
    /// How long an end is remembered, at least.
    pub tombstones: Duration,
    /// How long after its start a node waits to hear from its peers.
    pub grace: Duration,
    /// Most live rows, and most ends that are remembered.
    pub max_rows: usize,
}

impl Terms {
    fn roles(&self, id: NodeId) -> Roles {
        self.nodes.get(&id).copied().unwrap_or_default()
    }

    /// Whether this node has rows: all of them, or those of its servers.
    pub fn has_rows(&self) -> bool {
        self.roles(self.me).proxy || self.serves(self.me)
    }

    fn serves(&self, id: NodeId) -> bool {
        self.roles(id).backend && self.servers.nodes().contains(&id)
    }

    fn shares(&self, peer: NodeId) -> Shares {
        match (self.roles(self.me).proxy, self.roles(peer).proxy) {
            (true, true) => Shares::Everything,
            (true, false) if self.serves(peer) => Shares::ItsServers,
            (false, true) if self.serves(self.me) => Shares::OwnServers,
            _ => Shares::Nothing,
        }
    }
}

/// Of which splices two nodes speak to each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shares {
    /// Of none.
    Nothing,
    /// Of all: both are proxies.
    Everything,
    /// The peer is a backend: of those with its servers.
    ItsServers,
    /// This node is a backend: of those with its own servers.
    OwnServers,
}

/// What a heartbeat says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
pub struct Beat {
    /// Drawn at random when the process started.
    pub incarnation: u64,
    /// It has the whole table.
    pub ready: bool,
    /// Its operator wants it empty.
    pub draining: bool,
    /// Rows that it holds.
    pub rows: u64,
    /// Its load average over a minute, in thousandths of its processors.
    pub load: u16,
}

/// What became of a request to replicate a splice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// So many peers hold it.
    Committed(usize),
    /// Fewer peers hold it than are wanted; it goes on.
    Degraded {
        /// Peers that hold it.
        have: usize,
        /// Peers that should.
        want: usize,
    },
    /// Fewer peers hold it than the configuration demands, or it cannot be replicated at all.
    Refused(String),
    /// It ended before.
    Ended,
}

/// What the kernel is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Op {
    /// To hold a splice.
    Install {
        /// Which.
        row: Box<Row>,
        /// Its server is on this host, and what that sends is carried there.
        split: bool,
    },
    /// To merge progress.
    Advance {
        /// Which splice.
        id: u64,
        /// How far it has come.
        progress: Both,
        /// Others hold it, too.
        replicated: bool,
    },
    /// To end it silently.
    Forget {
        /// Which splice.
        id: u64,
        /// Why it ended elsewhere.
        reason: Reason,
    },
    /// To list all.
    List {
        /// To be given back with the list.
        epoch: u64,
    },
}

/// What the kernel answered; other requests have no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Done {
    /// A splice is installed, or is not.
    Installed(Key, Both, Result<u64, String>),
    /// Some splices of a list.
    Listing(Vec<Seen>),
    /// All splices were listed.
    Listed {
        /// That of the request.
        epoch: u64,
        /// Whether the list is whole.
        whole: bool,
    },
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq)]
pub enum Output {
    /// Send this over the link of this generation.
    Send(NodeId, u64, Message),
    /// End that link.
    Reset(NodeId, u64, &'static str),
    /// Ask the kernel.
    Op(Op),
    /// Tell the kernel how a node stands.
    Dispatch(NodeId, NodeState),
    /// Answer a request to replicate.
    Answer(u64, Outcome),
    /// For the log.
    Event(Event),
}

/// What people want to know.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// A node changed its state.
    Node(NodeId, NodeState, NodeState),
    /// A peer was lost: so long after its last heartbeat.
    Lost(NodeId, Duration),
    /// This node has the whole table; the number of rows.
    Ready(usize),
    /// This node takes packets without the whole table.
    ReadyWithout(Vec<NodeId>),
    /// Fewer peers hold a splice than should.
    Short {
        /// Which.
        key: Key,
        /// Peers that hold it.
        have: usize,
        /// Peers that should.
        want: usize,
    },
    /// A peer could not install a row.
    RefusedBy(NodeId, Key, String),
    /// This kernel could not install a row.
    RefusedHere(Key, String),
}

/// Where the kernel's part of a row stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Local {
    /// It was not asked for yet.
    #[default]
    Absent,
    /// It was asked for.
    Installing,
    /// It is there.
    Installed(u64),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Stage {
    /// Others saw to it.
    #[default]
    Replica,
    /// Acknowledgements are waited for.
    Waiting,
    /// Too few peers hold it.
    Short,
    /// Enough peers hold it.
    Committed,
}

/// Who waits for a row to be installed: a peer, the generation of its link, its batch, the place.
type Waiter = (NodeId, u64, u64, u8);

#[derive(Debug, Default)]
struct Held {
    local: Local,
    stage: Stage,
    /// Peers that hold it.
    holders: BTreeSet<NodeId>,
    /// Peers that were told and have not answered.
    asked: BTreeSet<NodeId>,
    /// Peers that refused, or were too slow.
    failed: BTreeSet<NodeId>,
    /// The peer that has its server.
    server_on: Option<NodeId>,
    /// That peer was given the row, or has it, and may carry what the server sends.
    handed: bool,
    /// What peers know of its progress from here, or told.
    told: Option<Both>,
    /// When they were told from here.
    told_at: Option<Duration>,
    waiters: Vec<Waiter>,
    tickets: Vec<u64>,
    /// So many peers have to hold it, if that is more than of others.
    demand: usize,
    /// Which list of the kernel's was asked for last when it became known.
    epoch: u64,
    /// Of a connection that has moved: when its host is asked for it, and how long after that again.
    asking: Option<(Duration, Duration)>,
    /// Something was heard of it here, so that it is asked from here.
    heard: bool,
}

/// Who asked for a splice to be replicated that is not known yet.
#[derive(Debug, Default)]
struct Asked {
    /// Which list of the kernel's had been asked for last.
    epoch: u64,
    tickets: Vec<u64>,
    demand: usize,
}

/// A batch that came and is not acknowledged yet.
#[derive(Debug)]
struct Unacked {
    left: usize,
    refused: Vec<(u8, String)>,
}

#[derive(Debug)]
struct Link {
    generation: u64,
    /// Parts that the peer's digest said it lacks something of, and where sending them stands.
    to_send: VecDeque<usize>,
    after: Option<Key>,
    /// The peer's process is new: its first digest is answered with what ended of late as well.
    fresh: bool,
    /// What of that is still to be sent.
    buried: VecDeque<Key>,
    /// A digest was answered, all but for the last word.
    owes_synced: bool,
    /// The peer said that I have all.
    synced: bool,
    next_batch: u64,
    /// What was sent and is not acknowledged: when, and which rows.
    sent: BTreeMap<u64, (Duration, Vec<Key>)>,
    /// Batches with rows of the table, not of news.
    bulk: BTreeSet<u64>,
    /// What came and is not acknowledged yet.
    came: BTreeMap<u64, Unacked>,
    compare_at: Duration,
}

#[derive(Debug)]
struct Peer {
    roles: Roles,
    shares: Shares,
    liveness: Liveness,
    beat: Beat,
    /// That of the last link.
    incarnation: u64,
    link: Option<Link>,
    /// When the last one broke.
    unlinked: Option<Duration>,
    /// It and I have each other's tables, since it was last lost.
    synced: bool,
    state: NodeState,
    since: Duration,
    /// Why it last refused a row, if it is a backend.
    refusal: Option<String>,
}

/// News for one peer that were not put into messages yet.
#[derive(Debug, Default)]
struct Outbox {
    rows: Vec<Key>,
    progress: Vec<Key>,
    ended: Vec<(Key, Reason)>,
}

/// How a node stands, for people.
#[derive(Debug, Clone, PartialEq)]
pub struct Standings {
    /// Which node.
    pub id: NodeId,
    /// What it is there for.
    pub roles: Roles,
    /// Its state, as seen from here.
    pub state: NodeState,
    /// For how long.
    pub since: Duration,
    /// What it last said.
    pub beat: Beat,
    /// How long ago; `None` if it never did, and for this node.
    pub heard: Option<Duration>,
    /// Whether there is a link to it.
    pub linked: bool,
    /// How long the oldest news has waited for its acknowledgement.
    pub lag: Duration,
}

/// One node.
#[derive(Debug)]
pub struct Node {
    terms: Terms,
    /// It has rows: all of them, or those of its servers.
    has_rows: bool,
    table: Table<Held>,
    peers: BTreeMap<NodeId, Peer>,
    by_id: HashMap<u64, Key>,
    /// Who waits for a splice that is not whole yet, by the kernel's name for it; and which list of
    /// the kernel's was asked for last when somebody asked first.
    tickets: HashMap<u64, Asked>,
    waiting_tickets: usize,
    out: Vec<Output>,
    outboxes: BTreeMap<NodeId, Outbox>,
    /// Splices whose progress is to be told.
    dirty: BTreeSet<Key>,
    /// Those that are told now, a few at a time, and when the next few are.
    telling: BTreeSet<Key>,
    tell_at: Duration,
    /// When acknowledgements are overdue, oldest first.
    overdue: VecDeque<(Duration, Key)>,
    /// Connections that have moved, by when their hosts are asked for them; as in [`Held::asking`].
    away: BTreeSet<(Duration, Key)>,
    /// Where looking for rows that lack copies stands.
    scan: Option<usize>,
    ops: usize,
    epoch: u64,
    listing: bool,
    /// What the list that is being made has.
    there: HashSet<u64>,
    list_at: Duration,
    look_at: Duration,
    /// Splices that too few peers hold.
    short: BTreeSet<Key>,
    /// Those of them that a peer which came could help.
    retry: BTreeSet<Key>,
    started: Duration,
    /// Why the kernel last refused a row, on a backend.
    refusal: Option<String>,
    listed: bool,
    ready: bool,
    /// Every peer that holds a table is lost.
    isolated: bool,
    draining: bool,
    state: NodeState,
    since: Duration,
    announced: BTreeMap<NodeId, NodeState>,
    beat: Beat,
}

impl Node {
    /// A node that knows nothing yet. It first lists what its kernel has.
    pub fn new(terms: Terms, incarnation: u64, now: Duration) -> Node {
        let peers = terms
            .nodes
            .iter()
            .filter(|(id, _)| **id != terms.me)
            .map(|(id, roles)| {
                let peer = Peer {
                    roles: *roles,
                    shares: terms.shares(*id),
                    liveness: Liveness::new(terms.interval, terms.misses),
                    beat: Beat::default(),
                    incarnation: 0,
                    link: None,
                    unlinked: None,
                    synced: false,
                    state: NodeState::Down,
                    since: now,
                    refusal: None,
                };
                (*id, peer)
            })
            .collect();
        let mut node = Node {
            has_rows: terms.has_rows(),
            table: Table::new(terms.max_rows, terms.servers.clone()),
            peers,
            by_id: HashMap::new(),
            tickets: HashMap::new(),
            waiting_tickets: 0,
            out: Vec::new(),
            outboxes: BTreeMap::new(),
            dirty: BTreeSet::new(),
            telling: BTreeSet::new(),
            tell_at: now,
            overdue: VecDeque::new(),
            away: BTreeSet::new(),
            scan: None,
            ops: 0,
            epoch: 0,
            listing: false,
            there: HashSet::new(),
            list_at: now,
            look_at: now + terms.progress_every,
            short: BTreeSet::new(),
            retry: BTreeSet::new(),
            started: now,
            refusal: None,
            listed: false,
            ready: false,
            isolated: false,
            draining: false,
            state: NodeState::Joining,
            since: now,
            announced: BTreeMap::new(),
            beat: Beat {
                incarnation,
                ..Beat::default()
            },
            terms,
        };
        if !node.has_rows {
            node.listed = true;
        }
        node.tick(now);
        node
    }

    fn roles(&self) -> Roles {
        self.terms.roles(self.terms.me)
    }

    fn holds_table(&self) -> bool {
        self.roles().proxy
    }

    /// Peers that hold the table, if this node does.
    fn holders(&self) -> impl Iterator<Item = (&NodeId, &Peer)> {
        let holds = |(_, peer): &(&NodeId, &Peer)| peer.shares == Shares::Everything;
        self.peers.iter().filter(holds)
    }

    /// Peers whose rows come here.
    fn sources(&self) -> impl Iterator<Item = (&NodeId, &Peer)> {
        let gives = |(_, peer): &(&NodeId, &Peer)| {
            matches!(peer.shares, Shares::Everything | Shares::OwnServers)
        };
        self.peers.iter().filter(gives)
    }

    fn shares(&self, peer: NodeId) -> Shares {
        let known = self.peers.get(&peer);
        known.map_or(Shares::Nothing, |peer| peer.shares)
    }

    /// The peer that has the server of a row.
    fn server_on(&self, row: &Row) -> Option<NodeId> {
        node_of(&self.terms.servers, row).filter(|id| *id != self.terms.me)
    }

    /// The node that has a connection which has moved.
    fn moved_to(&self, row: &Row) -> Option<NodeId> {
        self.terms.servers.node(row.moved_to()?)
    }

    /// Whether the server of a row is on this host.
    fn is_served_here(&self, row: &Row) -> bool {
        node_of(&self.terms.servers, row) == Some(self.terms.me)
    }

    /// What is to be done, in order.
    pub fn take(&mut self, now: Duration) -> Vec<Output> {
        self.flush(now);
        std::mem::take(&mut self.out)
    }

    /// Requests to the kernel that have no answer yet.
    pub fn backlog(&self) -> usize {
        self.ops
    }

    /// The table, for tests and for people.
    pub fn rows(&self) -> impl Iterator<Item = &Row> {
        self.table.rows().map(|entry| &entry.row)
    }

    /// How the splice of this key ended, if that is remembered.
    pub fn ended(&self, key: &Key) -> Option<Reason> {
        self.table.ended(key)
    }

    /// What the next heartbeat says.
    pub fn beat(&self) -> Beat {
        Beat {
            ready: self.ready,
            draining: self.draining,
            rows: self.table.len() as u64,
            ..self.beat
        }
    }

    /// Takes note of the load of this host.
    pub fn load(&mut self, load: u16) {
        self.beat.load = load;
    }

    /// Asks that this node gets no new connections, or that it gets them again.
    pub fn drain(&mut self, draining: bool, now: Duration) {
        self.draining = draining;
        self.judge(now);
    }

    /// Why a splice must not be made now that `demand` peers have to hold, or as many as of others, if so: too few
    /// are alive, or there can never be so many.
    pub fn short_of_peers(&self, demand: usize) -> Option<String> {
        let peers = self.holders().count();
        if demand > peers {
            return Some(format!(
                "{demand} replicas are asked for, and the cluster has {peers} other proxies; ask for fewer"
            ));
        }
        if self.terms.when_short == WhenShort::Warn {
            return None;
        }
        let (have, want) = (self.candidates().len(), self.wanted(demand));
        (have < want).then(|| {
            format!("{have} of {want} replicas are alive, and cluster.when_short is \"refuse\"")
        })
    }

    /// How all nodes stand, this one first.
    pub fn standings(&self, now: Duration) -> Vec<Standings> {
        let mut all = vec![Standings {
            id: self.terms.me,
            roles: self.roles(),
            state: self.state,
            since: now.saturating_sub(self.since),
            beat: self.beat(),
            heard: None,
            linked: false,
            lag: Duration::ZERO,
        }];
        all.extend(self.peers.iter().map(|(id, peer)| {
            let oldest = peer.link.iter().flat_map(|link| link.sent.values());
            let oldest = oldest.map(|(at, _)| *at).min();
            Standings {
                id: *id,
                roles: peer.roles,
                state: peer.state,
                since: now.saturating_sub(peer.since),
                beat: peer.beat,
                heard: peer.liveness.last().map(|last| now.saturating_sub(last)),
                linked: peer.link.is_some(),
                lag: oldest.map_or(Duration::ZERO, |at| now.saturating_sub(at)),
            }
        }));
        all
    }

    // The clock.

    /// When [`tick`](Self::tick) is due at the latest.
    pub fn deadline(&self, now: Duration) -> Duration {
        let mut due = self.look_at;
        if !self.listing && self.has_rows {
            due = due.min(self.list_at);
        }
        if let Some((at, _)) = self.overdue.front() {
            due = due.min(*at);
        }
        if self.scan.is_some() {
            due = now;
        }
        if !self.telling.is_empty() {
            due = due.min(self.tell_at);
        }
        if let Some((at, _)) = self.away.first() {
            due = due.min(*at);
        }
        // Moments at which something may change, and that pass whether it does or not.
        let mut moments = vec![self.started + self.terms.grace];
        for peer in self.peers.values() {
            due = due.min(peer.liveness.deadline().unwrap_or(due));
            moments.extend(peer.liveness.steady_from());
        }
        let next = moments.into_iter().filter(|at| *at > now).min();
        next.map_or(due, |at| due.min(at))
    }

    /// Takes notice of the time.
    pub fn tick(&mut self, now: Duration) {
        let lost: Vec<_> = self
            .peers
            .iter_mut()
            .filter_map(|(id, peer)| {
                let last = peer.liveness.last().unwrap_or(now);
                peer.liveness
                    .check(now)
                    .then_some((*id, now.saturating_sub(last)))
            })
            .collect();
        for (id, silent) in lost {
            self.out.push(Output::Event(Event::Lost(id, silent)));
            self.lose(id, now);
        }
        while let Some((at, key)) = self.overdue.front().copied() {
            if at > now {
                break;
            }
            self.overdue.pop_front();
            if let Some(held) = self.table.held(&key).filter(|h| h.stage == Stage::Waiting) {
                let asked = std::mem::take(&mut held.asked);
                held.failed.extend(asked);
                self.settle(&key, now);
            }
        }
        if now >= self.look_at {
            self.look_at = now + self.terms.progress_every;
            // Ends are remembered for longer while somebody may not have heard of them.
            if self.sources().all(|(_, peer)| peer.synced) {
                self.table.expire(now.saturating_sub(self.terms.tombstones));
            }
            self.compare(now);
        }
        self.rescan(now);
        self.retry_short(now);
        self.tell_some(now);
        self.ask_hosts(now);
        if self.has_rows && !self.listing && now >= self.list_at {
            self.list(now);
        }
        self.judge(now);
    }

    fn list(&mut self, now: Duration) {
        self.listing = true;
        self.list_at = now;
        self.epoch += 1;
        let epoch = self.epoch;
        self.ask(Op::List { epoch });
    }

    fn ask(&mut self, op: Op) {
        // Those that have an answer.
        if matches!(op, Op::Install { .. } | Op::List { .. }) {
            self.ops += 1;
        }
        self.out.push(Output::Op(op));
    }

    /// Asks peers now and then for what they have and this node has not.
    fn compare(&mut self, now: Duration) {
        if !self.listed {
            return;
        }
        let due: Vec<_> = self
            .peers
            .iter_mut()
            .filter(|(_, peer)| peer.shares != Shares::Nothing)
            .filter_map(|(id, peer)| {
                let link = peer.link.as_mut().filter(|link| now >= link.compare_at)?;
                link.compare_at = now + COMPARE_EVERY;
                Some((*id, link.generation))
            })
            .collect();
        for (id, generation) in due {
            let digest = Message::Digest(self.digest_for(id));
            self.out.push(Output::Send(id, generation, digest));
        }
    }

    /// The digest of those rows that a peer may speak of.
    fn digest_for(&self, peer: NodeId) -> Vec<u64> {
        match self.shares(peer) {
            Shares::ItsServers => self.table.digest_for(peer),
            _ => self.table.digest(),
        }
    }

    // Peers.

    /// A heartbeat of a peer came; it is authentic and newer than the one before.
    pub fn heartbeat(&mut self, from: NodeId, beat: Beat, now: Duration) {
        let Some(peer) = self.peers.get_mut(&from) else {
            return;
        };
        let lost = peer.liveness.check(now);
        let (was, before) = (peer.liveness.is_alive(), peer.beat.incarnation);
        if lost {
            self.lose(from, now);
        }
        let Some(peer) = self.peers.get_mut(&from) else {
            return;
        };
        peer.liveness.heard(now);
        peer.beat = beat;
        let is_table = peer.roles.proxy;
        if !was {
            self.helped(now);
        }
        if !was && is_table && self.holds_table() && std::mem::take(&mut self.isolated) {
            // The cluster went on without this node, or this node without the cluster. A peer that
            // was started anew has nothing that this node lacks.
            if before == beat.incarnation {
                self.ready = false;
            }
        }
        self.judge(now);
    }

    /// A link to a peer is there; it is authentic.
    pub fn linked(&mut self, peer_id: NodeId, generation: u64, incarnation: u64, now: Duration) {
        self.unlink(peer_id, now);
        let Some(peer) = self.peers.get_mut(&peer_id) else {
            return;
        };
        // A process that was started anew has nothing of what the old one had.
        let fresh = std::mem::replace(&mut peer.incarnation, incarnation) != incarnation;
        if fresh {
            peer.synced = false;
        }
        peer.refusal = None;
        peer.link = Some(Link {
            generation,
            to_send: VecDeque::new(),
            after: None,
            fresh,
            buried: VecDeque::new(),
            owes_synced: false,
            synced: false,
            next_batch: 0,
            sent: BTreeMap::new(),
            bulk: BTreeSet::new(),
            came: BTreeMap::new(),
            compare_at: now + COMPARE_EVERY,
        });
        self.outboxes.remove(&peer_id);
        let shares = peer.shares;
        if matches!(shares, Shares::Nothing | Shares::ItsServers) {
            // It has nothing that this node needs.
            peer.synced = true;
        }
        if shares != Shares::Nothing {
            let unlinked = peer.unlinked.unwrap_or_default();
            let lost_since = unlinked.saturating_sub(LOST_BEFORE);
            if self.listed {
                let digest = Message::Digest(self.digest_for(peer_id));
                self.out.push(Output::Send(peer_id, generation, digest));
            } else if let Some(link) = self.peers.get_mut(&peer_id).and_then(|p| p.link.as_mut()) {
                // It would be given all that its kernel has already.
                link.compare_at = now;
            }
            // Digests tell of rows and FINs. Other progress may have been lost with the old link.
            let told = |entry: &&Entry<Held>| entry.held.told_at >= Some(lost_since);
            let again = self.table.rows().filter(told);
            self.dirty.extend(again.map(|entry| entry.row.key()));
        }
        self.helped(now);
        self.judge(now);
    }

    /// The link of this generation is gone.
    pub fn unlinked(&mut self, peer_id: NodeId, generation: u64, now: Duration) {
        let Some(peer) = self.peers.get_mut(&peer_id) else {
            return;
        };
        if peer
            .link
            .as_ref()
            .is_some_and(|link| link.generation == generation)
        {
            self.unlink(peer_id, now);
        }
        self.judge(now);
    }

    fn unlink(&mut self, peer_id: NodeId, now: Duration) {
        self.outboxes.remove(&peer_id);
        let Some(peer) = self.peers.get_mut(&peer_id) else {
            return;
        };
        let Some(link) = peer.link.take() else {
            return;
        };
        peer.unlinked = Some(now);
        let keys: BTreeSet<Key> = link.sent.into_values().flat_map(|(_, keys)| keys).collect();
        for key in keys {
            let Some(held) = self.table.held(&key) else {
                continue;
            };
            held.asked.remove(&peer_id);
            if held.stage == Stage::Waiting {
                self.settle(&key, now);
            }
        }
    }

    /// A peer is lost: its link is of no use, and what it has of late is not known.
    fn lose(&mut self, id: NodeId, now: Duration) {
        if let Some(peer) = self.peers.get_mut(&id) {
            peer.synced = false;
            if let Some(link) = &peer.link {
                let reset = Output::Reset(id, link.generation, "its heartbeats stopped");
                self.out.push(reset);
            }
        }
        self.unlink(id, now);
        if self.holders().next().is_some() && self.holders().all(|(_, p)| !p.liveness.is_alive()) {
            self.isolated = true;
        }
        self.scan = Some(0);
        // It may have died before it told a backend of its splices; others know of them.
        for peer in self.peers.values_mut() {
            let link = peer.link.as_mut();
            if let Some(link) = link.filter(|_| peer.shares == Shares::OwnServers) {
                link.compare_at = now;
            }
        }
        self.judge(now);
    }

    /// Whether a peer is alive that can carry splices.
    fn alive(&self, id: &NodeId) -> bool {
        let carries = |p: &Peer| p.roles.proxy && p.liveness.is_alive();
        self.peers.get(id).is_some_and(carries)
    }

    /// Decides anew how this node and its peers stand.
    fn judge(&mut self, now: Duration) {
        if !self.ready && self.listed && now >= self.started + self.terms.grace {
            let missing: Vec<_> = self
                .sources()
                .filter(|(_, peer)| peer.liveness.is_alive() && !peer.synced)
                .map(|(id, _)| *id)
                .collect();
            if missing.is_empty() {
                self.ready = true;
                let rows = self.table.len();
                self.out.push(Output::Event(Event::Ready(rows)));
            } else if now >= self.started + SYNC_PATIENCE && self.since + SYNC_PATIENCE <= now {
                self.ready = true;
                self.out.push(Output::Event(Event::ReadyWithout(missing)));
            }
        }
        let state = match (self.ready, self.draining) {
            (_, true) => NodeState::Draining,
            (true, false) => NodeState::Up,
            (false, false) => NodeState::Joining,
        };
        if state != self.state {
            let event = Event::Node(self.terms.me, self.state, state);
            self.out.push(Output::Event(event));
            (self.state, self.since) = (state, now);
        }
        let here = self.holds_table();
        for (id, peer) in &mut self.peers {
            let steady = peer.liveness.steady_from().is_some_and(|from| now >= from);
            let state = if !peer.liveness.is_alive() {
                NodeState::Down
            } else if peer.beat.draining {
                NodeState::Draining
            } else if !steady || !peer.beat.ready || (here && peer.roles.proxy && !peer.synced) {
                NodeState::Joining
            } else {
                NodeState::Up
            };
            if state != peer.state {
                let event = Event::Node(*id, peer.state, state);
                self.out.push(Output::Event(event));
                (peer.state, peer.since) = (state, now);
            }
        }
        self.announce();
    }

    /// Tells the kernel what changed. When no proxy takes packets, those that could do so before
    /// long have to; when none is heard, the last that did goes on: if this node hears badly nothing is
    /// lost by that, and if it is gone no other would be better.
    fn announce(&mut self) {
        let mut all: BTreeMap<NodeId, (Roles, NodeState)> = self
            .peers
            .iter()
            .map(|(id, peer)| (*id, (peer.roles, peer.state)))
            .collect();
        all.insert(self.terms.me, (self.roles(), self.state));
        let some_up = all
            .values()
            .any(|(roles, state)| roles.proxy && *state == NodeState::Up);
        let some_heard = all
            .values()
            .any(|(roles, state)| roles.proxy && *state != NodeState::Down);
        for (id, (roles, state)) in all {
            let takes = self.announced.get(&id) == Some(&NodeState::Up);
            let state = match state {
                NodeState::Joining if roles.proxy && !some_up => NodeState::Up,
                NodeState::Down if roles.proxy && !some_heard && takes => NodeState::Up,
                state => state,
            };
            if self.announced.get(&id) != Some(&state) {
                self.announced.insert(id, state);
                self.out.push(Output::Dispatch(id, state));
            }
        }
    }

    // Messages.

    /// A message of a peer.
    pub fn message(&mut self, from: NodeId, generation: u64, message: Message, now: Duration) {
        let mine = match &message {
            Message::Digest(_) => self.digest_for(from),
            _ => Vec::new(),
        };
        let wrong = self.offence(from, &message);
        let Some(peer) = self.peers.get_mut(&from) else {
            return;
        };
        let Some(link) = peer.link.as_mut().filter(|l| l.generation == generation) else {
            return;
        };
        if let Some(wrong) = wrong {
            self.out.push(Output::Reset(from, generation, wrong));
            return;
        }
        match message {
            // That is an offence.
            Message::Hello(_) => {}
            Message::Digest(theirs) => {
                let differ = (0..BUCKETS).filter(|&n| mine.get(n) != theirs.get(n));
                match peer.shares {
                    // A proxy is told of what is here, and tells what of it has ended. It knows the rows.
                    Shares::OwnServers => {
                        for part in differ {
                            let rows = self.table.part(part, None, usize::MAX, None);
                            self.telling.extend(rows.iter().map(Row::key));
                        }
                    }
                    shares => {
                        link.to_send = match shares {
                            Shares::ItsServers if !self.terms.split => VecDeque::new(),
                            _ => differ.collect(),
                        };
                        link.after = None;
                        link.owes_synced = true;
                        if std::mem::take(&mut link.fresh) && shares == Shares::Everything {
                            let since = now.saturating_sub(LATE);
                            link.buried = self.table.ended_since(since).collect();
                        }
                        self.bulk(from, now);
                    }
                }
            }
            Message::Rows { batch, rows } => self.rows_came(from, generation, batch, rows, now),
            Message::Acked { batch, refused } => self.acked(from, batch, refused, now),
            Message::Progress(news) => {
                for (key, progress) in news {
                    self.progress_came(from, &key, &progress);
                }
            }
            Message::Ended(news) => {
                for (key, reason) in news {
                    self.end(&key, reason, false, now);
                }
            }
            Message::Synced => {
                link.synced = true;
                self.check_synced(from, now);
            }
            Message::HasNot(keys) => {
                for key in keys {
                    self.gone(from, &key, now);
                }
            }
            // Not of the table: nobody gives it to this.
            Message::Handoff { .. } | Message::HandedOff { .. } | Message::Has(_) => {}
        }
    }

    /// Why a peer must not say this, if so.
    fn offence(&self, from: NodeId, message: &Message) -> Option<&'static str> {
        // Of a splice that is not known here nothing can be said.
        let is_its = |key: &Key| {
            let known = self.table.get(key);
            known.is_none_or(|entry| entry.held.server_on == Some(from))
        };
        match (self.shares(from), message) {
            (_, Message::Hello(_)) => Some("it says hello twice"),
            (Shares::Nothing, _) => Some("it speaks of splices, and one of us has none"),
            (Shares::Everything, _) => None,
            (Shares::ItsServers, Message::Rows { .. } | Message::Synced) => {
                Some("it is a backend, and sends rows")
            }
            (Shares::ItsServers, Message::Progress(news)) => {
                (!news.iter().all(|(key, _)| is_its(key))).then_some(OTHERS_SERVERS)
            }
            (Shares::ItsServers, Message::Ended(news)) => {
                (!news.iter().all(|(key, _)| is_its(key))).then_some(OTHERS_SERVERS)
            }
            (Shares::ItsServers, _) => None,
            (Shares::OwnServers, Message::HasNot(_)) => {
                Some("it answers a backend, which asks nothing")
            }
            (Shares::OwnServers, Message::Acked { .. }) => {
                Some("it acknowledges rows of a backend, which sends none")
            }
            (Shares::OwnServers, _) => None,
        }
    }

    /// Whether a peer's whole table has arrived, and is installed.
    fn check_synced(&mut self, from: NodeId, now: Duration) {
        let Some(peer) = self.peers.get_mut(&from) else {
            return;
        };
        let whole = |link: &Link| link.synced && link.came.is_empty();
        if !peer.synced && peer.link.as_ref().is_some_and(whole) {
            peer.synced = true;
            self.judge(now);
        }
    }

    fn rows_came(
        &mut self,
        from: NodeId,
        generation: u64,
        batch: u64,
        rows: Vec<Row>,
        now: Duration,
    ) {
        let unacked = Unacked {
            // One for this loop, so that it is not over before it.
            left: rows.len() + 1,
            refused: Vec::new(),
        };
        if let Some(link) = self.peers.get_mut(&from).and_then(|p| p.link.as_mut()) {
            link.came.insert(batch, unacked);
        }
        let mut over = Vec::new();
        for (place, row) in rows.into_iter().enumerate() {
            // MAX_LIST is less.
            let place = u8::try_from(place).unwrap_or(u8::MAX);
            let waiter = (from, generation, batch, place);
            let key = row.key();
            if !row.is_plausible() {
                self.answer(waiter, Some("no kernel takes such numbers"), now);
                continue;
            }
            if !self.holds_table() {
                if !self.is_served_here(&row) {
                    self.answer(waiter, Some("this node does not serve that address"), now);
                    continue;
                }
                if !self.terms.split {
                    self.answer(waiter, Some("cluster.split is false on this node"), now);
                    continue;
                }
            }
            let progress = row.progress;
            let server_on = self.server_on(&row);
            match self.table.merge(row, now) {
                Merged::Full => {
                    self.answer(waiter, Some("the table is full; see cluster.max_rows"), now);
                }
                Merged::Ended(reason) => {
                    over.push((key, reason));
                    self.answer(waiter, None, now);
                }
                Merged::New(superseded) => {
                    if let Some((old, held)) = superseded {
                        self.over(&old, Reason::SUPERSEDED, held, now);
                    }
                    let epoch = self.epoch;
                    if let Some(held) = self.table.held(&key) {
                        held.epoch = epoch;
                        held.told = Some(progress);
                        held.server_on = server_on;
                        held.holders.insert(from);
                        held.waiters.push(waiter);
                    }
                    self.ask_soon(&key, false, now);
                    self.install(&key, now);
                }
                Merged::Known { advanced, .. } => {
                    let known = self.table.get(&key).map(|entry| entry.row.progress);
                    if known != Some(progress) {
                        let outbox = self.outboxes.entry(from).or_default();
                        outbox.progress.push(key);
                    }
                    let local = self.known_came(from, &key, &progress);
                    match local {
                        Some(Local::Installed(_)) => {
                            if advanced {
                                self.advance(&key);
                            }
                            self.answer(waiter, None, now);
                        }
                        Some(local) => {
                            if let Some(held) = self.table.held(&key) {
                                held.waiters.push(waiter);
                            }
                            if local == Local::Absent {
                                self.install(&key, now);
                            }
                        }
                        None => self.answer(waiter, None, now),
                    }
                    self.settle_if_waiting(&key, now);
                }
            }
        }
        self.outboxes.entry(from).or_default().ended.extend(over);
        self.answer((from, generation, batch, u8::MAX), None, now);
    }

    /// A peer told of a row that is known here: it holds it, and knows that much.
    fn known_came(&mut self, from: NodeId, key: &Key, progress: &Both) -> Option<Local> {
        let held = self.table.held(key)?;
        held.holders.insert(from);
        held.asked.remove(&from);
        held.failed.remove(&from);
        held.told = Some(match &held.told {
            Some(told) => join(told, progress),
            None => *progress,
        });
        Some(held.local)
    }

    /// One row of a batch is dealt with; the last one makes the acknowledgement.
    fn answer(&mut self, waiter: Waiter, refused: Option<&str>, now: Duration) {
        let (from, generation, batch, place) = waiter;
        let Some(peer) = self.peers.get_mut(&from) else {
            return;
        };
        let Some(link) = peer.link.as_mut().filter(|l| l.generation == generation) else {
            return;
        };
        let Some(unacked) = link.came.get_mut(&batch) else {
            return;
        };
        unacked.left = unacked.left.saturating_sub(1);
        if let Some(why) = refused {
            unacked.refused.push((place, text(why.to_owned())));
        }
        if unacked.left > 0 {
            return;
        }
        let refused = link.came.remove(&batch).map(|u| u.refused);
        let acked = Message::Acked {
            batch,
            refused: refused.unwrap_or_default(),
        };
        self.out.push(Output::Send(from, generation, acked));
        self.check_synced(from, now);
    }

    fn acked(&mut self, from: NodeId, batch: u64, refused: Vec<(u8, String)>, now: Duration) {
        let Some(link) = self.peers.get_mut(&from).and_then(|p| p.link.as_mut()) else {
            return;
        };
        let Some((_, keys)) = link.sent.remove(&batch) else {
            return;
        };
        link.bulk.remove(&batch);
        let refused: BTreeMap<usize, String> = refused
            .into_iter()
            .map(|(place, why)| (usize::from(place), why))
            .collect();
        if self.shares(from) == Shares::ItsServers {
            self.acked_by_backend(from, &keys, &refused);
            self.bulk(from, now);
            return;
        }
        for (place, key) in keys.iter().enumerate() {
            let Some(held) = self.table.held(key) else {
                continue;
            };
            held.asked.remove(&from);
            match refused.get(&place) {
                None => {
                    held.holders.insert(from);
                    held.failed.remove(&from);
                }
                Some(why) => {
                    held.failed.insert(from);
                    let event = Event::RefusedBy(from, *key, why.clone());
                    self.out.push(Output::Event(event));
                }
            }
            self.settle_if_waiting(key, now);
        }
        self.bulk(from, now);
        self.retry_short(now);
    }

    /// A backend that refuses a row is no loss: what its server sends goes by way of the proxies. It may
    /// refuse all of them, again and again, and says why once.
    fn acked_by_backend(&mut self, from: NodeId, keys: &[Key], refused: &BTreeMap<usize, String>) {
        for (place, key) in keys.iter().enumerate() {
            let Some(held) = self.table.held(key) else {
                continue;
            };
            let Some(why) = refused.get(&place) else {
                held.failed.remove(&from);
                continue;
            };
            let is_new = held.failed.insert(from);
            let Some(peer) = self.peers.get_mut(&from) else {
                return;
            };
            if is_new && peer.refusal.as_ref() != Some(why) {
                peer.refusal = Some(why.clone());
                let event = Event::RefusedBy(from, *key, why.clone());
                self.out.push(Output::Event(event));
            }
        }
    }

    fn progress_came(&mut self, from: NodeId, key: &Key, progress: &Both) {
        if let Some(reason) = self.table.ended(key) {
            self.outboxes
                .entry(from)
                .or_default()
                .ended
                .push((*key, reason));
            return;
        }
        let Some((advanced, _)) = self.table.advance(key, progress) else {
            return;
        };
        self.known_came(from, key, progress);
        let mut is_first = false;
        if let Some(held) = self.table.held(key).filter(|h| h.server_on == Some(from)) {
            is_first = !std::mem::replace(&mut held.handed, true);
        }
        if advanced || is_first {
            self.advance(key);
        }
    }

    /// Sends what is due of the table, if there is room on the way.
    pub fn bulk(&mut self, to: NodeId, now: Duration) {
        let its = Some(to).filter(|to| self.shares(*to) == Shares::ItsServers);
        let mut handed = Vec::new();
        self.bulk_of(to, its, &mut handed, now);
        for key in handed {
            self.advance(&key);
        }
    }

    /// The same, of those rows alone whose server that node has. Says which were handed over to it.
    fn bulk_of(&mut self, to: NodeId, its: Option<NodeId>, handed: &mut Vec<Key>, now: Duration) {
        let Some(link) = self.peers.get_mut(&to).and_then(|p| p.link.as_mut()) else {
            return;
        };
        while link.bulk.len() < BULK_BATCHES {
            let mut rows: Vec<Row> = Vec::new();
            while let Some(&part) = link.to_send.front() {
                let room = MAX_LIST.saturating_sub(rows.len());
                let found = self.table.part(part, link.after, room, its);
                let is_last = found.len() < room;
                link.after = found.last().map(Row::key).or(link.after);
                rows.extend(found);
                if !is_last {
                    break;
                }
                link.to_send.pop_front();
                link.after = None;
            }
            // Late packets of what has ended come its way, too: it is given that, and told of the end.
            while link.to_send.is_empty() && rows.len() < MAX_LIST {
                let Some(key) = link.buried.pop_front() else {
                    break;
                };
                if let Some((row, reason)) = self.table.epitaph(&key) {
                    rows.push(row.clone());
                    let outbox = self.outboxes.entry(to).or_default();
                    outbox.ended.push((key, reason));
                }
            }
            if rows.is_empty() {
                if std::mem::take(&mut link.owes_synced) {
                    let synced = Output::Send(to, link.generation, Message::Synced);
                    self.out.push(synced);
                }
                return;
            }
            let batch = link.next_batch;
            link.next_batch += 1;
            link.bulk.insert(batch);
            let keys: Vec<Key> = rows.iter().map(Row::key).collect();
            if its.is_some() {
                for key in &keys {
                    let held = self.table.held(key);
                    // Of the others the kernel knows already.
                    if let Some(held) = held.filter(|held| held.stage != Stage::Replica) {
                        if !std::mem::replace(&mut held.handed, true) {
                            handed.push(*key);
                        }
                    }
                }
            }
            link.sent.insert(batch, (now, keys));
            let message = Message::Rows { batch, rows };
            self.out.push(Output::Send(to, link.generation, message));
        }
    }

    // The kernel.

    /// The kernel told of a splice, or listed it.
    pub fn seen(&mut self, seen: Seen, now: Duration) {
        let key = match &seen.state {
            Standing::Whole(row) => Some(row.key()).filter(|_| row.away.is_some()),
            _ => None,
        };
        self.learn(seen, now);
        if let Some(key) = key {
            self.ask_soon(&key, true, now);
        }
    }

    /// How a splice stands; maybe as before.
    fn learn(&mut self, seen: Seen, now: Duration) {
        let id = seen.id;
        match seen.state {
            Standing::Draining => {}
            Standing::Bound => {
                let why = "its sockets come back to a process, which only this host can give";
                self.answer_tickets(id, &Outcome::Refused(why.into()));
            }
            Standing::Over(key, reason) => {
                self.answer_tickets(id, &Outcome::Ended);
                if self.table.get(&key).is_some() || !self.listed {
                    self.end(&key, reason, true, now);
                }
            }
            Standing::Whole(row) => self.whole(id, *row, now),
        }
    }

    fn whole(&mut self, id: u64, mut row: Row, now: Duration) {
        let here = self.holds_table();
        if !here && !self.is_served_here(&row) {
            return;
        }
        let key = row.key();
        // Its host has to say when it ends. And the same connection may have moved twice without a byte in between.
        let host = self.moved_to(&row).and_then(|host| self.peers.get(&host));
        let has_host = host.is_some_and(|peer| peer.link.is_some());
        let again = self.table.ended(&key) == Some(Reason::RETURNED);
        if row.away.is_some() && self.table.get(&key).is_none() && (!has_host || again) {
            let why = "only this host knows where its connection has moved";
            self.answer_tickets(id, &Outcome::Refused(why.into()));
            return;
        }
        let server_on = self.server_on(&row);
        // The kernel does not know; what is known already stays.
        row.owner = match self.table.get(&key) {
            Some(entry) => entry.row.owner,
            None => self.terms.me,
        };
        let progress = row.progress;
        let mut is_new = false;
        match self.table.merge(row, now) {
            Merged::Full => {
                self.answer_tickets(
                    id,
                    &Outcome::Refused("the table is full; see cluster.max_rows".into()),
                );
                return;
            }
            Merged::Ended(reason) => {
                // It ended elsewhere while nobody here listened.
                self.ask(Op::Forget { id, reason });
                self.answer_tickets(id, &Outcome::Ended);
                return;
            }
            Merged::New(superseded) => {
                is_new = true;
                if let Some((old, held)) = superseded {
                    self.over(&old, Reason::SUPERSEDED, held, now);
                }
            }
            Merged::Known { .. } => {}
        }
        let Asked {
            tickets, demand, ..
        } = self.tickets.remove(&id).unwrap_or_default();
        self.waiting_tickets = self.waiting_tickets.saturating_sub(tickets.len());
        let epoch = self.epoch;
        let Some(held) = self.table.held(&key) else {
            return;
        };
        if let Local::Installed(old) = std::mem::replace(&mut held.local, Local::Installed(id)) {
            self.by_id.remove(&old);
        }
        held.epoch = epoch;
        held.tickets.extend(tickets);
        held.demand = held.demand.max(demand);
        let waiters = std::mem::take(&mut held.waiters);
        let is_first = is_new && !self.listed;
        if is_new {
            held.server_on = server_on;
        }
        // That a backend has a row is nobody's concern but the proxies', which are told how far it has come.
        if is_new && here {
            held.stage = match is_first {
                true => Stage::Short,
                false => Stage::Waiting,
            };
            // With a row that is new everywhere its progress is told.
            held.told = (!is_first).then_some(progress);
        }
        self.by_id.insert(id, key);
        if is_first && here {
            // Peers are not even known yet.
            self.short.insert(key);
        }
        if is_new {
            self.ask_soon(&key, false, now);
        }
        for waiter in waiters {
            self.answer(waiter, None, now);
        }
        let told = self.table.held(&key).and_then(|held| held.told);
        let known = self.table.get(&key).map(|entry| entry.row.progress);
        match (told, known) {
            (Some(told), Some(known)) if fins(&told) != fins(&known) => self.tell(&key, now),
            (Some(told), _) if join(&told, &progress) == told => {}
            _ => {
                self.dirty.insert(key);
            }
        }
        let has_tickets = self.table.held(&key).is_some_and(|h| !h.tickets.is_empty());
        if here && ((is_new && !is_first) || has_tickets) {
            self.settle(&key, now);
        }
    }

    /// The kernel told less than happened.
    pub fn lost_events(&mut self, now: Duration) {
        if self.has_rows && !self.listing {
            self.list(now);
        }
    }

    /// The kernel answered.
    pub fn done(&mut self, done: Done, now: Duration) {
        if !matches!(done, Done::Listing(_)) {
            self.ops = self.ops.saturating_sub(1);
        }
        match done {
            Done::Installed(key, with, Ok(id)) => self.installed(&key, &with, id, now),
            Done::Installed(key, _, Err(why)) => {
                let installing = |held: &&mut Held| held.local == Local::Installing;
                if self.table.held(&key).filter(installing).is_none() {
                    return;
                }
                let held = self.table.forget(&key);
                // A backend without the module is offered each row again and again.
                if self.holds_table() || self.refusal.as_ref() != Some(&why) {
                    self.refusal = Some(why.clone());
                    let event = Event::RefusedHere(key, why.clone());
                    self.out.push(Output::Event(event));
                }
                for waiter in held.map(|held| held.waiters).unwrap_or_default() {
                    self.answer(waiter, Some(&why), now);
                }
            }
            Done::Listing(seen) => {
                for seen in seen {
                    self.there.insert(seen.id);
                    self.learn(seen, now);
                }
            }
            Done::Listed { epoch, whole } => {
                self.listing = false;
                // A list that takes long is asked for less often.
                let took = now.saturating_sub(self.list_at);
                self.list_at = now + self.terms.progress_every.max(took.saturating_mul(4));
                self.telling.append(&mut self.dirty);
                self.tell_some(now);
                let there = std::mem::take(&mut self.there);
                if whole {
                    self.listed = true;
                    self.all_seen(epoch, &there);
                    self.compare(now);
                }
            }
        }
        self.judge(now);
    }

    fn installed(&mut self, key: &Key, with: &Both, id: u64, now: Duration) {
        let Some(known) = self.table.get(key).map(|entry| entry.row.progress) else {
            // It ended meanwhile.
            let reason = self.table.ended(key).unwrap_or(Reason(0));
            self.ask(Op::Forget { id, reason });
            return;
        };
        let Some(held) = self.table.held(key) else {
            return;
        };
        held.local = Local::Installed(id);
        let waiters = std::mem::take(&mut held.waiters);
        self.by_id.insert(id, *key);
        if known != *with {
            self.advance(key);
        }
        for waiter in waiters {
            self.answer(waiter, None, now);
        }
    }

    /// All that the kernel has. What it does not have any more, and did not tell of, is forgotten
    /// and not ended: the module may have been loaded anew, and then peers bring it back.
    fn all_seen(&mut self, epoch: u64, there: &HashSet<u64>) {
        let unknown = |(id, asked): (&u64, &Asked)| {
            (asked.epoch < epoch && !there.contains(id)).then_some(*id)
        };
        let unknown: Vec<u64> = self.tickets.iter().filter_map(unknown).collect();
        for id in unknown {
            self.answer_tickets(id, &Outcome::Ended);
        }
        let gone: Vec<(u64, Key)> = self
            .by_id
            .iter()
            .filter(|(id, _)| !there.contains(id))
            .map(|(id, key)| (*id, *key))
            .collect();
        for (id, key) in gone {
            let known_since = self.table.get(&key).map(|entry| entry.held.epoch);
            // What became known while the list was made may not be in it.
            if known_since.is_some_and(|since| since >= epoch) {
                continue;
            }
            self.by_id.remove(&id);
            self.short.remove(&key);
            self.retry.remove(&key);
            self.dirty.remove(&key);
            self.telling.remove(&key);
            if let Some(held) = self.table.forget(&key) {
                for ticket in held.tickets {
                    self.out.push(Output::Answer(ticket, Outcome::Ended));
                }
            }
        }
    }

    fn install(&mut self, key: &Key, now: Duration) {
        let Some(row) = self.table.get(key).map(|entry| entry.row.clone()) else {
            return;
        };
        if self.moved_to(&row) == Some(self.terms.me) {
            // It is a connection of this host.
            let waiters = self.table.held(key).map(|h| std::mem::take(&mut h.waiters));
            for waiter in waiters.unwrap_or_default() {
                self.answer(waiter, None, now);
            }
            return;
        }
        if let Some(held) = self.table.held(key) {
            held.local = Local::Installing;
        }
        let split = self.terms.split && self.is_served_here(&row);
        let row = Box::new(row);
        self.ask(Op::Install { row, split });
    }

    /// Tells the kernel what is known of a splice that it has.
    fn advance(&mut self, key: &Key) {
        let Some(entry) = self.table.get(key) else {
            return;
        };
        let Local::Installed(id) = entry.held.local else {
            return;
        };
        let alone = matches!(entry.held.stage, Stage::Waiting | Stage::Short);
        let replicated = entry.held.handed || !alone;
        let progress = entry.row.progress;
        self.ask(Op::Advance {
            id,
            progress,
            replicated,
        });
    }

    /// A splice has ended, here or elsewhere.
    fn end(&mut self, key: &Key, reason: Reason, here: bool, now: Duration) {
        let (_, held) = self.table.end(key, reason, now);
        if let Some(held) = held {
            if here {
                self.tell_end(key, reason, held.server_on);
            } else if let Local::Installed(id) = held.local {
                self.ask(Op::Forget { id, reason });
            }
            self.bury(key, held, now);
        }
    }

    /// It is known here that a splice is over, and not from the kernel: a younger one has the same four numbers, or its connection,
    /// which had moved, is nowhere any more.
    fn over(&mut self, key: &Key, reason: Reason, held: Held, now: Duration) {
        self.tell_end(key, reason, held.server_on);
        if let Local::Installed(id) = held.local {
            self.ask(Op::Forget { id, reason });
        }
        self.bury(key, held, now);
    }

    fn tell_end(&mut self, key: &Key, reason: Reason, server_on: Option<NodeId>) {
        for id in self.audience(server_on) {
            let outbox = self.outboxes.entry(id).or_default();
            outbox.ended.push((*key, reason));
        }
    }

    // Connections that have moved.

    /// The host of a connection that has moved is asked for it before long; from here, if something was `heard` of it here.
    fn ask_soon(&mut self, key: &Key, heard: bool, now: Duration) {
        let Some(entry) = self.table.get(key) else {
            return;
        };
        if entry.row.away.is_none() {
            return;
        }
        let Some(held) = self.table.held(key) else {
            return;
        };
        held.heard |= heard;
        let at = now + ASK_AFTER;
        let before = held.asking.replace((at, ASK_AFTER));
        if let Some((before, _)) = before {
            // More of the same does not put it off.
            let at = at.min(before);
            held.asking = Some((at, ASK_AFTER));
            self.away.remove(&(before, *key));
            self.away.insert((at, *key));
        } else {
            self.away.insert((at, *key));
        }
    }

    /// Asks hosts for connections that have moved to them: for those that moved from here, those that something was heard of here,
    /// and, of nodes that are lost, all, if this is the first of those that are left.
    fn ask_hosts(&mut self, now: Duration) {
        let mut asked: BTreeMap<NodeId, Vec<Key>> = BTreeMap::new();
        for _ in 0..ASK_STEP {
            let Some((_, key)) = self.away.first().copied().filter(|(at, _)| *at <= now) else {
                break;
            };
            self.away.pop_first();
            let Some(entry) = self.table.get(&key) else {
                continue;
            };
            let (owner, host) = (entry.row.owner, self.moved_to(&entry.row));
            let first = self
                .holders()
                .map(|(id, _)| *id)
                .filter(|id| self.alive(id));
            let first = first
                .chain([self.terms.me])
                .filter(|id| Some(*id) != host)
                .min();
            let left = !self.alive(&owner) && first == Some(self.terms.me);
            let mine = owner == self.terms.me || left;
            let Some(held) = self.table.held(&key) else {
                continue;
            };
            let wait = held.asking.map_or(ASK_AFTER, |(_, wait)| wait);
            let next = (now + wait, (wait * 2).min(ASK_AT_MOST));
            held.asking = Some(next);
            if let Some(host) = host.filter(|_| mine || std::mem::take(&mut held.heard)) {
                asked.entry(host).or_default().push(key);
            }
            self.away.insert((next.0, key));
        }
        for (host, keys) in asked {
            let link = self.peers.get(&host).and_then(|peer| peer.link.as_ref());
            let Some(generation) = link.map(|link| link.generation) else {
                continue;
            };
            for keys in keys.chunks(MAX_LIST) {
                let has = Message::Has(keys.to_vec());
                self.out.push(Output::Send(host, generation, has));
            }
        }
    }

    /// The host of a connection that has moved says that it has it no more.
    fn gone(&mut self, from: NodeId, key: &Key, now: Duration) {
        let host = self
            .table
            .get(key)
            .and_then(|entry| self.moved_to(&entry.row));
        if host != Some(from) {
            return;
        }
        if let (_, Some(held)) = self.table.end(key, Reason::FIN, now) {
            self.over(key, Reason::FIN, held, now);
        }
    }

    /// Clears up after a row that was live.
    fn bury(&mut self, key: &Key, held: Held, now: Duration) {
        self.dirty.remove(key);
        self.telling.remove(key);
        self.short.remove(key);
        self.retry.remove(key);
        if let Some((at, _)) = held.asking {
            self.away.remove(&(at, *key));
        }
        if let Local::Installed(id) = held.local {
            self.by_id.remove(&id);
        }
        for ticket in held.tickets {
            self.out.push(Output::Answer(ticket, Outcome::Ended));
        }
        for waiter in held.waiters {
            self.answer(waiter, None, now);
        }
    }

    // Replication.

    /// Whom news of a splice are told to: all proxies, and the backend that has its server.
    fn audience(&self, server_on: Option<NodeId>) -> Vec<NodeId> {
        let hears = |(id, peer): &(&NodeId, &Peer)| match peer.shares {
            Shares::Nothing => false,
            Shares::Everything | Shares::OwnServers => true,
            Shares::ItsServers => server_on == Some(**id),
        };
        let linked = self.peers.iter().filter(|(_, peer)| peer.link.is_some());
        linked.filter(hears).map(|(id, _)| *id).collect()
    }

    /// Gives the row of a splice to the node that has its server, which carries what the server sends
    /// from then on. Says whether it did.
    fn hand(&mut self, key: &Key) -> bool {
        let Some(held) = self.table.held(key) else {
            return false;
        };
        let Some(id) = held.server_on.filter(|_| self.terms.split && !held.handed) else {
            return false;
        };
        let peer = self.peers.get(&id);
        if peer.is_none_or(|peer| peer.link.is_none() || peer.shares == Shares::Nothing) {
            // It asks when it comes.
            return false;
        }
        held.handed = true;
        // It may be a proxy, too.
        if !held.holders.contains(&id) && !held.asked.contains(&id) {
            self.outboxes.entry(id).or_default().rows.push(*key);
        }
        true
    }

    /// Peers that can be given rows.
    fn candidates(&self) -> Vec<NodeId> {
        self.holders()
            .filter(|(_, peer)| peer.link.is_some() && peer.liveness.is_alive())
            .map(|(id, _)| *id)
            .collect()
    }

    /// How many peers have to hold a splice for which `demand` were asked for.
    fn wanted(&self, demand: usize) -> usize {
        let of_all = match self.terms.replicas {
            Replicas::Count(n) => n,
            Replicas::All if self.holders().next().is_none() => 0,
            Replicas::All => self.candidates().len().max(1),
        };
        of_all.max(demand)
    }

    /// Asks that a splice of this kernel be replicated: as others, but to `demand` peers at least. The answer names
    /// `ticket`.
    pub fn replicate(&mut self, id: u64, demand: usize, ticket: u64, now: Duration) {
        let known = self.by_id.get(&id).filter(|_| self.holds_table());
        if let Some(key) = known.copied() {
            if let Some(held) = self.table.held(&key) {
                held.tickets.push(ticket);
                held.demand = held.demand.max(demand);
                if held.stage == Stage::Replica {
                    held.stage = Stage::Waiting;
                }
                self.settle(&key, now);
                return;
            }
        }
        if self.waiting_tickets >= MAX_TICKETS || !self.holds_table() {
            let why = "too many splices wait to be replicated, or this node is no proxy";
            let refused = Outcome::Refused(why.into());
            self.out.push(Output::Answer(ticket, refused));
            return;
        }
        // The kernel tells when it has drained; if that is not heard, the next list does.
        self.waiting_tickets += 1;
        let asked = self.tickets.entry(id).or_insert_with(|| Asked {
            epoch: self.epoch,
            ..Asked::default()
        });
        asked.tickets.push(ticket);
        asked.demand = asked.demand.max(demand);
    }

    fn answer_tickets(&mut self, id: u64, outcome: &Outcome) {
        let Asked { tickets, .. } = self.tickets.remove(&id).unwrap_or_default();
        self.waiting_tickets = self.waiting_tickets.saturating_sub(tickets.len());
        for ticket in tickets {
            self.out.push(Output::Answer(ticket, outcome.clone()));
        }
    }

    fn settle_if_waiting(&mut self, key: &Key, now: Duration) {
        let waits = |held: &&mut Held| matches!(held.stage, Stage::Waiting | Stage::Short);
        if self.table.held(key).filter(waits).is_some() {
            self.settle(key, now);
        }
    }

    /// Sees where the replication of a splice stands, and takes the next step.
    fn settle(&mut self, key: &Key, now: Duration) {
        let Some(entry) = self.table.get(key) else {
            return;
        };
        let mut peers = self.candidates();
        peers.sort_by_key(|id| std::cmp::Reverse(key.weight(*id)));
        let have = entry
            .held
            .holders
            .iter()
            .filter(|id| self.alive(id))
            .count();
        let want = self.wanted(entry.held.demand);
        let was = entry.held.stage;
        if have >= want {
            let Some(held) = self.table.held(key) else {
                return;
            };
            held.stage = Stage::Committed;
            held.failed.clear();
            self.short.remove(key);
            self.retry.remove(key);
            let Some(held) = self.table.held(key) else {
                return;
            };
            for ticket in std::mem::take(&mut held.tickets) {
                self.out
                    .push(Output::Answer(ticket, Outcome::Committed(have)));
            }
            if self.hand(key) || (was != Stage::Committed && want > 0) {
                self.advance(key);
            }
            return;
        }
        let held = &entry.held;
        let free: Vec<_> = peers
            .into_iter()
            .filter(|id| {
                !held.holders.contains(id) && !held.asked.contains(id) && !held.failed.contains(id)
            })
            .take(want.saturating_sub(have + held.asked.len()))
            .collect();
        let Some(held) = self.table.held(key) else {
            return;
        };
        held.asked.extend(&free);
        if held.asked.is_empty() {
            let tickets = std::mem::take(&mut held.tickets);
            held.stage = Stage::Short;
            held.failed.clear();
            self.short.insert(*key);
            if was != Stage::Short || !tickets.is_empty() {
                let key = *key;
                self.out
                    .push(Output::Event(Event::Short { key, have, want }));
            }
            for ticket in tickets {
                let outcome = match self.terms.when_short {
                    WhenShort::Warn => Outcome::Degraded { have, want },
                    WhenShort::Refuse => Outcome::Refused(format!(
                        "{have} of {want} replicas hold it, and cluster.when_short is \"refuse\""
                    )),
                };
                self.out.push(Output::Answer(ticket, outcome));
            }
            if self.hand(key) {
                self.advance(key);
            }
            return;
        }
        held.stage = Stage::Waiting;
        self.short.remove(key);
        if !free.is_empty() {
            self.overdue.push_back((now + self.terms.ack_timeout, *key));
        }
        for id in free {
            self.outboxes.entry(id).or_default().rows.push(*key);
        }
    }

    /// A peer came that could hold what too few hold.
    fn helped(&mut self, now: Duration) {
        self.retry.extend(&self.short);
        self.retry_short(now);
    }

    /// Tries a few of those again, as fast as peers acknowledge.
    fn retry_short(&mut self, now: Duration) {
        let on_the_way = self.holders().filter_map(|(_, peer)| peer.link.as_ref());
        let busy = on_the_way.map(|link| link.sent.len()).max().unwrap_or(0);
        if busy >= BULK_BATCHES || self.candidates().is_empty() {
            return;
        }
        for _ in 0..MAX_LIST {
            let Some(key) = self.retry.pop_first() else {
                return;
            };
            self.settle_if_waiting(&key, now);
        }
    }

    /// Looks through a piece of the table for splices that lost a holder.
    fn rescan(&mut self, now: Duration) {
        let Some(from) = self.scan else { return };
        if self.terms.replicas == Replicas::All || !self.holds_table() {
            self.scan = None;
            return;
        }
        let to = from.saturating_add(SCAN_STEP).min(BUCKETS);
        self.scan = Some(to).filter(|to| *to < BUCKETS);
        for part in from..to {
            for row in self.table.part(part, None, usize::MAX, None) {
                let key = row.key();
                let Some(entry) = self.table.get(&key) else {
                    continue;
                };
                // The owner sees to it, or else whoever of the known holders has the most weight.
                let have: Vec<_> = entry
                    .held
                    .holders
                    .iter()
                    .filter(|id| self.alive(id))
                    .copied()
                    .collect();
                let best = have.iter().copied().chain([self.terms.me]);
                let best = best.max_by_key(|id| key.weight(*id));
                let mine = row.owner == self.terms.me
                    || (!self.alive(&row.owner) && best == Some(self.terms.me));
                if mine && have.len() < self.wanted(entry.held.demand) {
                    self.settle(&key, now);
                }
            }
        }
    }

    /// Tells of a few of the splices that have come farther.
    fn tell_some(&mut self, now: Duration) {
        if now < self.tell_at || self.telling.is_empty() {
            return;
        }
        self.tell_at = now + TELL_EVERY;
        for _ in 0..TELL {
            let Some(key) = self.telling.pop_first() else {
                return;
            };
            self.tell(&key, now);
        }
    }

    /// Puts the progress of a splice in the outboxes. Who does not hold it takes no notice.
    fn tell(&mut self, key: &Key, now: Duration) {
        let Some(progress) = self.table.get(key).map(|entry| entry.row.progress) else {
            return;
        };
        let mut server_on = None;
        if let Some(held) = self.table.held(key) {
            held.told = Some(progress);
            held.told_at = Some(now);
            server_on = held.server_on;
        }
        self.dirty.remove(key);
        self.telling.remove(key);
        for id in self.audience(server_on) {
            self.outboxes.entry(id).or_default().progress.push(*key);
        }
    }

    /// Makes messages of what is in the outboxes. What ended since is not told as if it lived.
    fn flush(&mut self, now: Duration) {
        for (id, outbox) in std::mem::take(&mut self.outboxes) {
            let Some(link) = self.peers.get_mut(&id).and_then(|p| p.link.as_mut()) else {
                continue;
            };
            let generation = link.generation;
            for keys in outbox.rows.chunks(MAX_LIST) {
                let (keys, rows): (Vec<_>, Vec<_>) = keys
                    .iter()
                    .filter_map(|key| Some((*key, self.table.get(key)?.row.clone())))
                    .unzip();
                if rows.is_empty() {
                    continue;
                }
                let batch = link.next_batch;
                link.next_batch += 1;
                link.sent.insert(batch, (now, keys));
                let message = Message::Rows { batch, rows };
                self.out.push(Output::Send(id, generation, message));
            }
            if link.sent.len() > MAX_UNACKED {
                let reset = Output::Reset(id, generation, "it acknowledges nothing");
                self.out.push(reset);
            }
            for keys in outbox.progress.chunks(MAX_LIST) {
                let news: Vec<_> = keys
                    .iter()
                    .filter_map(|key| Some((*key, self.table.get(key)?.row.progress)))
                    .collect();
                if !news.is_empty() {
                    let message = Message::Progress(news);
                    self.out.push(Output::Send(id, generation, message));
                }
            }
            for news in outbox.ended.chunks(MAX_LIST) {
                let message = Message::Ended(news.to_vec());
                self.out.push(Output::Send(id, generation, message));
            }
        }
    }
}
