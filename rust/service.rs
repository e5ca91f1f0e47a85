// SPDX-License-Identifier: GPL-2.0

//! Services and their nodes: what an operator says of them.
//!
//! The packet path reads an immutable list of all services of its namespace without a lock. A change makes a new
//! list, in which what did not change is shared with the old one.

use crate::{
    flow::Load,
    net::{
        forward::{Hop, LinkAddress, Output},
        percpu::Counters,
        rcu::Published,
        time,
    },
    xlate::{
        choose::{self, Ask, Member, State, Wheel},
        key::Family,
    },
};
use kernel::{
    alloc::AllocError,
    fmt, new_mutex,
    prelude::*,
    sync::{
        atomic::{Atomic, Relaxed},
        rcu, Arc, Mutex,
    },
};

/// Most nodes of a service.
pub const MAX_NODES: usize = 256;
/// Most services of a namespace.
pub const MAX_SERVICES: usize = 1024;
/// How long hosts may take to be of one mind about a change of nodes, in milliseconds.
pub const SETTLING: u64 = 10_000;

/// Which packets are of a service. The order is by port last, so that those of an address stand together.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    version: u8,
    addr: [u8; 16],
    port: u16,
}

impl Key {
    /// For packets to this address, as it stands in a flow key, and port; 0 is any.
    #[inline]
    pub fn new(family: Family, addr: [u8; 16], port: u16) -> Key {
        Key {
            version: family as u8,
            addr,
            port,
        }
    }

    /// The family.
    #[inline]
    pub fn family(&self) -> Family {
        match self.version {
            4 => Family::V4,
            _ => Family::V6,
        }
    }

    /// The bytes of the address that count.
    pub fn address(&self) -> &[u8] {
        self.significant(&self.addr)
    }

    /// The bytes that count of an address of its family.
    pub fn significant<'a>(&self, addr: &'a [u8; 16]) -> &'a [u8] {
        addr.get(..self.family().addr_len()).unwrap_or(addr)
    }

    /// The address, as it stands in a flow key.
    #[inline]
    pub fn addr(&self) -> [u8; 16] {
        self.addr
    }

    /// The port.
    #[inline]
    pub fn port(&self) -> u16 {
        self.port
    }
}

/// How a node is chosen. The specification of the netlink family says what each means.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Scheduler {
    /// In turn.
    Rr,
    /// In turn, by weight.
    Weighted,
    /// By score.
    Hash,
    /// By destination port.
    Ports,
    /// By the number of its connections.
    Least,
    /// By score, for the client's address.
    Source,
}

/// What lasts as long as a node is one, whatever is changed.
pub struct Record {
    sent: Counters<1>,
    /// Connections that it was given, and that have not ended.
    pub load: Arc<Load>,
    /// The node's link-layer address.
    pub link: LinkAddress,
}

/// A host that takes packets of a service.
#[derive(Clone)]
pub struct Node {
    /// The address that reaches it, as in a flow key.
    pub via: [u8; 16],
    /// How a packet gets there.
    pub output: Output,
    /// The server's port there, if packets are rewritten; 0 is the service's.
    pub port: u16,
    /// It is this host.
    pub local: bool,
    /// When its state changed.
    since: usize,
    /// What lasts.
    pub record: Arc<Record>,
}

impl Node {
    /// Where packets for it go.
    #[inline]
    pub fn hop(&self) -> Hop {
        Hop {
            output: self.output,
            via: self.via,
        }
    }

    /// Counts a packet sent to it. Any context.
    #[inline]
    pub fn count(&self) {
        self.record.sent.inc(0);
    }

    /// Packets sent to it.
    pub fn sent(&self) -> u64 {
        self.record.sent.sum(0)
    }

    /// Milliseconds since its state changed.
    pub fn age(&self) -> u64 {
        time::to_ms(time::jiffies().wrapping_sub(self.since) as u64)
    }
}

/// A service, as it is until the next change.
pub struct Service {
    /// Which packets.
    pub key: Key,
    /// How a node is chosen.
    pub scheduler: Scheduler,
    /// Mixed into the scores.
    pub seed: u32,
    /// What the choice knows of each node, by id.
    pub members: KVec<Member>,
    /// The rest of what is known of it, in the same order.
    pub nodes: KVec<Node>,
    /// Which of them is this host. There is one on a proxy, none on a load balancer.
    pub me: Option<usize>,
    /// Whose turn it is.
    pub wheel: Wheel,
    /// Whether its nodes are given connections, and not packets: their packets are rewritten.
    pub assigns: bool,
    turns: Arc<Counters<1>>,
    /// Connections so far, on all CPUs: they are few, and the fewer, the more it matters whose turn it is.
    connections: Arc<Atomic<usize>>,
    /// When something of the nodes changed that the choice knows.
    changed: usize,
}

impl Service {
    /// Whose turn it is. In packet context.
    #[inline]
    pub fn turn(&self) -> Option<usize> {
        self.wheel.turn(&self.members, self.turns.next(0))
    }

    /// The node that a new connection is given to. In packet context.
    pub fn assign(&self, ask: &Ask) -> Option<usize> {
        match self.scheduler {
            Scheduler::Rr | Scheduler::Weighted => {
                self.wheel.turn(&self.members, self.nth() as u64)
            }
            Scheduler::Hash | Scheduler::Source => choose::by_score(&self.members, ask),
            Scheduler::Least => choose::by_load(&self.members, self.nth(), &|i| {
                self.nodes.get(i).map_or(0, |node| node.record.load.get())
            }),
            Scheduler::Ports => choose::by_port(&self.members, ask),
        }
    }

    fn nth(&self) -> usize {
        self.connections.fetch_add(1, Relaxed)
    }

    /// The address and port of the server on a node, of a service whose packets are rewritten.
    #[inline]
    pub fn server(&self, node: &Node) -> Key {
        let port = match node.port {
            0 => self.key.port,
            port => port,
        };
        Key::new(self.key.family(), node.via, port)
    }

    /// The address and port of the server on this host whose packets are given the service's address.
    fn source(&self) -> Option<Key> {
        let me = self.nodes.get(self.me?)?;
        (me.output == Output::Rewrite).then(|| self.server(me))
    }

    /// Whether nobody else can have a connection that no node has which was asked: all can be asked, and all
    /// hosts have had time to know who is there.
    pub fn is_settled(&self) -> bool {
        let since = time::jiffies().wrapping_sub(self.changed) as u64;
        self.members.iter().all(|m| m.state != State::Down)
            && since >= time::from_ms(SETTLING) as u64
    }

    /// The index of the node with this id.
    pub fn position(&self, id: u32) -> Option<usize> {
        self.members.binary_search_by_key(&id, |m| m.id).ok()
    }

    /// Copies the nodes whose ids `which` takes.
    fn copy_nodes(
        &self,
        which: impl Fn(u32) -> bool,
        members: &mut KVec<Member>,
        nodes: &mut KVec<Node>,
    ) -> Result {
        let all = self.members.iter().zip(self.nodes.iter());
        for (member, node) in all.filter(|(member, _)| which(member.id)) {
            members.push(*member, GFP_KERNEL)?;
            nodes.push(node.clone(), GFP_KERNEL)?;
        }
        Ok(())
    }

    /// A service of these nodes that is otherwise the same.
    fn with(&self, members: KVec<Member>, nodes: KVec<Node>, changed: bool) -> Result<Arc<Self>> {
        let wheel = Wheel::new(&members, self.scheduler == Scheduler::Weighted);
        Ok(Arc::new(
            Service {
                key: self.key,
                scheduler: self.scheduler,
                seed: self.seed,
                me: nodes.iter().position(|node| node.local),
                wheel,
                assigns: nodes.iter().any(|node| !node.output.is_unchanged()),
                members,
                nodes,
                turns: self.turns.clone(),
                connections: self.connections.clone(),
                changed: if changed {
                    time::jiffies()
                } else {
                    self.changed
                },
            },
            GFP_KERNEL,
        )?)
    }
}

/// What is to be set of a node; what is absent stays.
#[derive(Default)]
pub struct Change {
    /// [`Node::via`].
    pub via: Option<[u8; 16]>,
    /// [`Member::weight`].
    pub weight: Option<u8>,
    /// [`Member::state`].
    pub state: Option<State>,
    /// [`Node::output`].
    pub output: Option<Output>,
    /// [`Node::port`].
    pub port: Option<u16>,
    /// [`Node::local`].
    pub local: Option<bool>,
    /// Start of [`Member::ports`].
    pub port_low: Option<u16>,
    /// End of [`Member::ports`].
    pub port_high: Option<u16>,
}

/// Why a change is refused.
pub enum Refusal {
    /// There is such a service.
    Exists,
    /// There is none.
    NoService,
    /// It has no node of this id.
    NoNode(u32),
    /// A new node needs an address.
    NoVia,
    /// An address that no host can have alone, or that needs a device with it.
    BadVia,
    /// Another node, of this id, has the address.
    ViaTaken(u32),
    /// Another node, of this id, is this host.
    LocalTaken(u32),
    /// The weight is 0.
    NoWeight,
    /// Ports for a scheduler that does not look at them.
    PortsUnused,
    /// The scheduler needs ports.
    NoPorts,
    /// The range ends before it begins.
    BadPorts,
    /// Another node, of this id, owns some of them.
    PortsTaken(u32),
    /// Any port, for the scheduler of this name, which wants to know whose connection a packet is.
    BadPort(&'static str),
    /// A server's port, of a node that gets packets as they are.
    PortUnused,
    /// Packets of any port cannot be rewritten.
    AnyPort,
    /// Nor those of a service whose nodes own ports.
    OwnedPorts,
    /// Connections cannot be counted where there is no row of them.
    Uncounted,
    /// Other nodes of the service are sent what this is not: packets, or connections.
    Mixed,
    /// What is sent to and fro by way of the balancer needs nothing on the server's host.
    LocalNat,
    /// The server would be the service.
    ViaIsService,
    /// A server of this host is of another service.
    SourceTaken,
    /// More services than a namespace takes.
    TooManyServices,
    /// More nodes than a service takes.
    TooManyNodes,
    /// Anything else.
    Failed(Error),
}

impl From<Error> for Refusal {
    fn from(e: Error) -> Self {
        Refusal::Failed(e)
    }
}

impl From<AllocError> for Refusal {
    fn from(_: AllocError) -> Self {
        Refusal::Failed(ENOMEM)
    }
}

impl Refusal {
    /// For user space.
    pub fn errno(&self) -> Error {
        match self {
            Refusal::Exists
            | Refusal::ViaTaken(_)
            | Refusal::LocalTaken(_)
            | Refusal::SourceTaken
            | Refusal::PortsTaken(_) => EEXIST,
            Refusal::NoService | Refusal::NoNode(_) => ENOENT,
            Refusal::TooManyServices | Refusal::TooManyNodes => ENOSPC,
            Refusal::Failed(e) => *e,
            _ => EINVAL,
        }
    }
}

/// At most 79 bytes.
impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::Exists => f.write_str("there is a service of this address and port already"),
            Refusal::NoService => f.write_str("no service of this address and port; make it first"),
            Refusal::NoNode(id) => write!(f, "the service has no node {id}"),
            Refusal::NoVia => f.write_str("a new node needs via, the address that reaches it"),
            Refusal::BadVia => {
                f.write_str("via must be a global unicast address of the service's family")
            }
            Refusal::ViaTaken(id) => {
                write!(f, "node {id} has this address; each node needs its own")
            }
            Refusal::LocalTaken(id) => {
                write!(f, "node {id} is this host already; a host is one node")
            }
            Refusal::NoWeight => f.write_str("a weight is 1 to 255; for no packets set state down"),
            Refusal::PortsUnused => f.write_str("only the scheduler ports knows port ranges"),
            Refusal::NoPorts => f.write_str("the scheduler ports needs port-low and port-high"),
            Refusal::BadPorts => f.write_str("port-low is above port-high"),
            Refusal::PortsTaken(id) => write!(f, "node {id} owns some of these ports"),
            Refusal::BadPort(name) => {
                write!(
                    f,
                    "port 0, which is any, does not go with the scheduler {name}"
                )
            }
            Refusal::PortUnused => f.write_str("port is for output nat and rewrite only"),
            Refusal::AnyPort => {
                f.write_str("output nat and rewrite need a service of one port, not of port 0")
            }
            Refusal::OwnedPorts => {
                f.write_str("output nat and rewrite do not go with the scheduler ports")
            }
            Refusal::Uncounted => {
                f.write_str("scheduler least counts connections: it needs output nat or rewrite")
            }
            Refusal::Mixed => f.write_str(
                "output direct and tunnel do not go with nat and rewrite in one service",
            ),
            Refusal::LocalNat => {
                f.write_str("output nat needs nothing on the server's host; local is for rewrite")
            }
            Refusal::ViaIsService => {
                f.write_str("via and port are the service's own; name the server's")
            }
            Refusal::SourceTaken => {
                f.write_str("another service has this address and port of this host")
            }
            Refusal::TooManyServices => write!(f, "no more than {MAX_SERVICES} services"),
            Refusal::TooManyNodes => write!(f, "no more than {MAX_NODES} nodes in a service"),
            Refusal::Failed(_) => f.write_str("the change could not be made"),
        }
    }
}

type Changed<T> = core::result::Result<T, Refusal>;

/// All services, by key.
type List = KVec<Arc<Service>>;

/// Address and port of a server, and of its service; in order.
type Sources = KVec<(Key, Key)>;

/// The services of a namespace.
#[pin_data]
pub struct Directory {
    list: Published<List>,
    /// Servers of this host whose packets are given the address of their service.
    sources: Published<Sources>,
    /// Changes with every change, so that a dump can tell.
    generation: Atomic<u32>,
    /// Held by who changes something; true if nothing may be added any more.
    #[pin]
    change: Mutex<bool>,
}

/// An address that a node can have: neither unspecified, loopback nor multicast, nor link-local in IPv6, which would need
/// a device.
fn is_usable(family: Family, addr: &[u8; 16]) -> bool {
    !matches!(
        (family, addr),
        (Family::V4, [0 | 127 | 224..=255, ..])
            | (Family::V6, [0xff, ..] | [0xfe, 0x80..=0xbf, ..])
            | (
                Family::V6,
                [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0 | 1]
            )
    )
}

impl Directory {
    /// Without a service.
    pub fn new() -> impl PinInit<Self> {
        pin_init!(Directory {
            list: Published::new(),
            sources: Published::new(),
            generation: Atomic::new(0),
            change <- new_mutex!(false),
        })
    }

    /// What [`crate::net::netlink::DumpOut::set_generation`] wants.
    pub fn generation(&self) -> u32 {
        self.generation.load(Relaxed)
    }

    /// Whether there is no service. Any context.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.list.is_none()
    }

    /// The service of packets with this destination. Any context.
    #[inline]
    pub fn lookup<'a>(
        &'a self,
        family: Family,
        addr: &[u8; 16],
        port: u16,
        guard: &'a rcu::Guard,
    ) -> Option<&'a Service> {
        let list = self.list.get(guard)?;
        let find = |port| {
            let key = Key::new(family, *addr, port);
            let at = list
                .binary_search_by(|service| service.key.cmp(&key))
                .ok()?;
            list.get(at).map(|service| &**service)
        };
        find(port).or_else(|| find(0))
    }

    /// Whether this host is a node of a service that is reached through tunnels to this address. Any context.
    pub fn has_tunnel(&self, family: Family, addr: &[u8; 16], guard: &rcu::Guard) -> bool {
        let reached = |service: &Arc<Service>| {
            let me = service.me.and_then(|me| service.nodes.get(me));
            service.key.family() == family
                && me.is_some_and(|me| me.output == Output::Tunnel && me.via == *addr)
        };
        self.list
            .get(guard)
            .is_some_and(|list| list.iter().any(reached))
    }

    /// Whether what a server of this host sends may have to be rewritten. Any context.
    #[inline]
    pub fn has_sources(&self) -> bool {
        !self.sources.is_none()
    }

    /// The service whose server on this host has this address and port, if its packets are given the service's. Any context.
    #[inline]
    pub fn service_of(
        &self,
        family: Family,
        addr: &[u8; 16],
        port: u16,
        guard: &rcu::Guard,
    ) -> Option<Key> {
        let sources = self.sources.get(guard)?;
        let server = Key::new(family, *addr, port);
        let at = sources.binary_search_by(|(of, _)| of.cmp(&server)).ok()?;
        sources.get(at).map(|(_, service)| *service)
    }

    /// A service as it is now. Any context.
    pub fn get(&self, key: &Key) -> Option<Arc<Service>> {
        let list = self.list.cloned()?;
        let at = list.binary_search_by(|service| service.key.cmp(key)).ok()?;
        list.get(at).cloned()
    }

    /// The service at this place of the list as it is now. Any context.
    pub fn at(&self, place: usize) -> Option<Arc<Service>> {
        self.list.cloned()?.get(place).cloned()
    }

    /// The list with a service put in, or in the place of that of the same key, or taken out. May sleep.
    fn publish(&self, key: &Key, service: Option<Arc<Service>>) -> Changed<()> {
        let old = self.list.cloned();
        let old: &[Arc<Service>] = old.as_ref().map_or(&[], |old| old);
        let mut new = List::with_capacity(old.len().saturating_add(1), GFP_KERNEL)?;
        let (below, above) = old.split_at(old.partition_point(|s| s.key < *key));
        for service in below {
            new.push(service.clone(), GFP_KERNEL)?;
        }
        if let Some(service) = service {
            new.push(service, GFP_KERNEL)?;
        }
        for service in above.iter().filter(|s| s.key != *key) {
            new.push(service.clone(), GFP_KERNEL)?;
        }
        if new.len() > MAX_SERVICES {
            return Err(Refusal::TooManyServices);
        }
        let mut sources = Sources::new();
        for service in new.iter() {
            if let Some(server) = service.source() {
                sources.push((server, service.key), GFP_KERNEL)?;
                // In order; there are few.
                let mut at = sources.len().saturating_sub(1);
                while at > 0 && sources.get(at - 1) > sources.get(at) {
                    sources.swap(at - 1, at);
                    at -= 1;
                }
            }
        }
        let new = if new.is_empty() {
            None
        } else {
            Some(Arc::new(new, GFP_KERNEL)?)
        };
        self.publish_sources(sources)?;
        self.list.replace(new);
        self.generation.add(1, Relaxed);
        Ok(())
    }

    /// The last step that may fail.
    fn publish_sources(&self, new: Sources) -> Changed<()> {
        let old = self.sources.cloned();
        let old: &[(Key, Key)] = old.as_ref().map_or(&[], |old| old);
        if *old == *new {
            return Ok(());
        }
        let new = if new.is_empty() {
            None
        } else {
            Some(Arc::new(new, GFP_KERNEL)?)
        };
        self.sources.replace(new);
        Ok(())
    }

    /// Makes a service without nodes. May sleep.
    ///
    /// # Errors
    ///
    /// [`Refusal`].
    pub fn add(&self, key: Key, scheduler: Scheduler, seed: u32) -> Changed<Arc<Service>> {
        // Nobody would know whose connection a packet is that no port was listened on for.
        if key.port == 0 {
            match scheduler {
                Scheduler::Hash => return Err(Refusal::BadPort("hash")),
                Scheduler::Source => return Err(Refusal::BadPort("source")),
                Scheduler::Least => return Err(Refusal::BadPort("least")),
                Scheduler::Rr | Scheduler::Weighted | Scheduler::Ports => {}
            }
        }
        let closed = self.change.lock();
        if *closed {
            return Err(Refusal::Failed(ENODEV));
        }
        if self.get(&key).is_some() {
            return Err(Refusal::Exists);
        }
        let service = Arc::new(
            Service {
                key,
                scheduler,
                seed,
                members: KVec::new(),
                nodes: KVec::new(),
                me: None,
                wheel: Wheel::new(&[], false),
                assigns: false,
                turns: Arc::new(Counters::new()?, GFP_KERNEL)?,
                connections: Arc::new(Atomic::new(0), GFP_KERNEL)?,
                changed: time::jiffies(),
            },
            GFP_KERNEL,
        )?;
        self.publish(&key, Some(service.clone()))?;
        drop(closed);
        Ok(service)
    }

    /// Forgets a service. May sleep.
    ///
    /// # Errors
    ///
    /// [`Refusal`].
    pub fn remove(&self, key: &Key) -> Changed<Arc<Service>> {
        let change = self.change.lock();
        let service = self.get(key).ok_or(Refusal::NoService)?;
        self.publish(key, None)?;
        drop(change);
        Ok(service)
    }

    /// Adds or changes a node. Says the service as it is then, and the index of the node. May sleep.
    ///
    /// # Errors
    ///
    /// [`Refusal`].
    pub fn set_node(&self, key: &Key, id: u32, change: &Change) -> Changed<(Arc<Service>, usize)> {
        let lock = self.change.lock();
        let service = self.get(key).ok_or(Refusal::NoService)?;
        let at = service.members.binary_search_by_key(&id, |m| m.id);
        let known = at
            .ok()
            .and_then(|at| Some((service.members.get(at)?, service.nodes.get(at)?)));
        let (member, node) = changed(&service, id, known, change)?;
        let differs = known.is_none_or(|(old, _)| *old != member);
        let at = at.unwrap_or_else(|at| at);

        let (mut members, mut nodes) = (KVec::new(), KVec::new());
        service.copy_nodes(|other| other < id, &mut members, &mut nodes)?;
        members.push(member, GFP_KERNEL)?;
        nodes.push(node, GFP_KERNEL)?;
        service.copy_nodes(|other| other > id, &mut members, &mut nodes)?;
        if members.len() > MAX_NODES {
            return Err(Refusal::TooManyNodes);
        }
        let service = service.with(members, nodes, differs)?;
        if self.has_source_of(&service) {
            return Err(Refusal::SourceTaken);
        }
        self.publish(key, Some(service.clone()))?;
        drop(lock);
        Ok((service, at))
    }

    /// Whether another service than this has the same server on this host.
    fn has_source_of(&self, service: &Service) -> bool {
        let (Some(server), Some(sources)) = (service.source(), self.sources.cloned()) else {
            return false;
        };
        let mut taken = sources.iter();
        taken.any(|(other, of)| *other == server && *of != service.key)
    }

    /// Takes a node out. Says the service as it was, and the index that the node had. May sleep.
    ///
    /// # Errors
    ///
    /// [`Refusal`].
    pub fn remove_node(&self, key: &Key, id: u32) -> Changed<(Arc<Service>, usize)> {
        let lock = self.change.lock();
        let service = self.get(key).ok_or(Refusal::NoService)?;
        let at = service.position(id).ok_or(Refusal::NoNode(id))?;
        let (mut members, mut nodes) = (KVec::new(), KVec::new());
        service.copy_nodes(|other| other != id, &mut members, &mut nodes)?;
        let fewer = service.with(members, nodes, true)?;
        self.publish(key, Some(fewer))?;
        drop(lock);
        Ok((service, at))
    }

    /// Forgets all services, and takes no more. May sleep.
    pub fn close(&self) {
        let mut closed = self.change.lock();
        *closed = true;
        self.list.replace(None);
        self.sources.replace(None);
    }
}

/// A node as a change makes it, new if it is not known.
fn changed(
    service: &Service,
    id: u32,
    known: Option<(&Member, &Node)>,
    change: &Change,
) -> Changed<(Member, Node)> {
    let (mut member, mut node) = match known {
        Some((member, node)) => (*member, node.clone()),
        None => (
            Member {
                id,
                weight: 1,
                state: State::Up,
                ports: (0, 0),
            },
            Node {
                via: change.via.ok_or(Refusal::NoVia)?,
                output: Output::Direct,
                port: 0,
                local: false,
                since: time::jiffies(),
                record: Arc::new(
                    Record {
                        sent: Counters::new()?,
                        load: Arc::new(Load::new(), GFP_KERNEL)?,
                        link: LinkAddress::new(),
                    },
                    GFP_KERNEL,
                )?,
            },
        ),
    };
    if let Some(weight) = change.weight {
        member.weight = weight;
    }
    if let Some(state) = change.state {
        if state != member.state {
            node.since = time::jiffies();
        }
        member.state = state;
    }
    node.via = change.via.unwrap_or(node.via);
    node.output = change.output.unwrap_or(node.output);
    node.port = change.port.unwrap_or(node.port);
    node.local = change.local.unwrap_or(node.local);

    if member.weight == 0 {
        return Err(Refusal::NoWeight);
    }
    if !is_usable(service.key.family(), &node.via) {
        return Err(Refusal::BadVia);
    }
    let others = || {
        service
            .members
            .iter()
            .zip(service.nodes.iter())
            .filter(|(m, _)| m.id != id)
    };
    check_output(service, &node)?;
    // One host may have servers on several ports.
    let same =
        |other: &Node| other.via == node.via && service.server(other) == service.server(&node);
    if let Some((taken, _)) = others().find(|(_, other)| same(other)) {
        return Err(Refusal::ViaTaken(taken.id));
    }
    if others().any(|(_, other)| other.output.is_unchanged() != node.output.is_unchanged()) {
        return Err(Refusal::Mixed);
    }
    if let Some((taken, _)) = others().find(|(_, other)| other.local && node.local) {
        return Err(Refusal::LocalTaken(taken.id));
    }
    if service.scheduler == Scheduler::Ports {
        let (low, high) = match (known, change.port_low, change.port_high) {
            (None, None, _) | (None, _, None) => return Err(Refusal::NoPorts),
            (_, low, high) => (
                low.unwrap_or(member.ports.0),
                high.unwrap_or(member.ports.1),
            ),
        };
        if low > high {
            return Err(Refusal::BadPorts);
        }
        let overlaps = |m: &Member| low <= m.ports.1 && m.ports.0 <= high;
        if let Some((taken, _)) = others().find(|(m, _)| overlaps(m)) {
            return Err(Refusal::PortsTaken(taken.id));
        }
        member.ports = (low, high);
    } else if change.port_low.is_some() || change.port_high.is_some() {
        return Err(Refusal::PortsUnused);
    }
    Ok((member, node))
}

/// Whether packets can get to a node in this way.
fn check_output(service: &Service, node: &Node) -> Changed<()> {
    if node.output.is_unchanged() {
        return match (node.port, service.scheduler) {
            (_, Scheduler::Least) => Err(Refusal::Uncounted),
            (0, _) => Ok(()),
            _ => Err(Refusal::PortUnused),
        };
    }
    if service.scheduler == Scheduler::Ports {
        return Err(Refusal::OwnedPorts);
    }
    if service.key.port == 0 {
        return Err(Refusal::AnyPort);
    }
    if node.local && node.output == Output::Nat {
        return Err(Refusal::LocalNat);
    }
    if service.server(node) == service.key {
        return Err(Refusal::ViaIsService);
    }
    Ok(())
}

#[cfg(CONFIG_KUNIT = "y")]
#[kunit_tests(tcp_splice_service)]
mod tests {
    use super::*;

    fn v4(last: u8) -> [u8; 16] {
        [10, 0, 0, last, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]
    }

    fn directory() -> Result<Pin<KBox<Directory>>> {
        KBox::pin_init(Directory::new(), GFP_KERNEL)
    }

    fn node(last: u8) -> Change {
        Change {
            via: Some(v4(last)),
            ..Change::default()
        }
    }

    fn errno<T>(changed: Changed<T>) -> Option<Error> {
        changed.err().map(|refusal| refusal.errno())
    }

    #[test]
    fn services_come_and_go() -> Result {
        let directory = directory()?;
        let key = |port| Key::new(Family::V4, v4(9), port);
        assert!(directory.is_empty());
        for port in [80, 443, 22] {
            assert!(directory.add(key(port), Scheduler::Rr, 0).is_ok());
        }
        assert_eq!(
            errno(directory.add(key(80), Scheduler::Hash, 0)),
            Some(EEXIST)
        );
        assert_eq!(
            errno(directory.add(key(0), Scheduler::Hash, 0)),
            Some(EINVAL)
        );
        let order = [0, 1, 2].map(|at| directory.at(at).map_or(0, |s| s.key.port()));
        assert_eq!(order, [22, 80, 443]);
        assert!(directory.at(3).is_none());
        {
            let guard = rcu::read_lock();
            let found = |port| directory.lookup(Family::V4, &v4(9), port, &guard);
            assert!(found(443).is_some_and(|s| s.key.port() == 443));
            assert!(found(444).is_none());
            assert!(directory.lookup(Family::V6, &v4(9), 443, &guard).is_none());
        }
        assert!(directory.add(key(0), Scheduler::Ports, 0).is_ok());
        {
            let guard = rcu::read_lock();
            let found = directory.lookup(Family::V4, &v4(9), 444, &guard);
            assert!(found.is_some_and(|s| s.key.port() == 0));
        }
        for port in [0, 80, 443, 22] {
            assert!(directory.remove(&key(port)).is_ok());
        }
        assert!(directory.is_empty());
        assert_eq!(errno(directory.remove(&key(80))), Some(ENOENT));
        directory.close();
        assert_eq!(
            errno(directory.add(key(80), Scheduler::Rr, 0)),
            Some(ENODEV)
        );
        Ok(())
    }

    #[test]
    fn nodes_are_changed_in_part() -> Result {
        let directory = directory()?;
        let key = Key::new(Family::V4, v4(9), 80);
        assert_eq!(errno(directory.set_node(&key, 1, &node(1))), Some(ENOENT));
        assert!(directory.add(key, Scheduler::Hash, 0).is_ok());
        assert_eq!(
            errno(directory.set_node(&key, 1, &Change::default())),
            Some(EINVAL)
        );
        for id in [3, 1, 2] {
            assert!(directory.set_node(&key, id, &node(id as u8)).is_ok());
        }
        let drained = Change {
            state: Some(State::Draining),
            ..Change::default()
        };
        let before = directory.get(&key).ok_or(ENOENT)?;
        let Ok((service, at)) = directory.set_node(&key, 2, &drained) else {
            return Err(EINVAL);
        };
        assert_eq!(at, 1);
        assert_eq!(service.members[1].state, State::Draining);
        assert_eq!(service.nodes[1].via, v4(2));
        // Whoever still reads the old one sees what was there.
        assert_eq!(before.members[1].state, State::Up);
        // What was counted before counts on.
        before.nodes[1].count();
        assert_eq!(service.nodes[1].sent(), 1);
        assert!(!service.is_settled());

        let local = Change {
            local: Some(true),
            ..Change::default()
        };
        assert!(directory
            .set_node(&key, 3, &local)
            .is_ok_and(|(s, _)| s.me == Some(2)));
        assert_eq!(errno(directory.set_node(&key, 1, &local)), Some(EEXIST));
        assert_eq!(errno(directory.set_node(&key, 1, &node(2))), Some(EEXIST));
        assert_eq!(
            errno(directory.set_node(&key, 1, &node(0).with([224, 1]))),
            Some(EINVAL)
        );
        let ports = Change {
            port_low: Some(1),
            ..Change::default()
        };
        assert_eq!(errno(directory.set_node(&key, 1, &ports)), Some(EINVAL));
        assert!(directory.remove_node(&key, 1).is_ok());
        assert_eq!(errno(directory.remove_node(&key, 1)), Some(ENOENT));
        assert_eq!(directory.get(&key).and_then(|s| s.me), Some(1));
        Ok(())
    }

    impl Change {
        fn with(mut self, first: [u8; 2]) -> Change {
            if let Some(via) = &mut self.via {
                via[..2].copy_from_slice(&first);
            }
            self
        }
    }

    #[test]
    fn outputs_that_rewrite() -> Result {
        let directory = directory()?;
        let key = |port| Key::new(Family::V4, v4(9), port);
        let with = |last, output, port, local| Change {
            output: Some(output),
            port: Some(port),
            local: Some(local),
            ..node(last)
        };
        let refused = |port, id, change: Change| directory.set_node(&key(port), id, &change).err();
        for (port, scheduler) in [
            (80, Scheduler::Rr),
            (81, Scheduler::Least),
            (82, Scheduler::Rr),
            (0, Scheduler::Ports),
        ] {
            assert!(directory.add(key(port), scheduler, 0).is_ok());
        }
        for scheduler in [Scheduler::Least, Scheduler::Source] {
            let port = Key::new(Family::V4, v4(8), 0);
            assert_eq!(errno(directory.add(port, scheduler, 0)), Some(EINVAL));
        }
        assert!(matches!(
            refused(81, 1, with(1, Output::Direct, 0, false)),
            Some(Refusal::Uncounted)
        ));
        assert!(matches!(
            refused(80, 1, with(1, Output::Tunnel, 8080, false)),
            Some(Refusal::PortUnused)
        ));
        assert!(matches!(
            refused(0, 1, with(1, Output::Nat, 0, false)),
            Some(Refusal::OwnedPorts)
        ));
        assert!(matches!(
            refused(80, 1, with(1, Output::Nat, 0, true)),
            Some(Refusal::LocalNat)
        ));
        assert!(matches!(
            refused(80, 1, with(9, Output::Nat, 0, false)),
            Some(Refusal::ViaIsService)
        ));
        assert!(refused(80, 1, with(1, Output::Nat, 0, false)).is_none());
        assert!(directory.get(&key(80)).is_some_and(|s| s.assigns));
        // Another server of the same host, but not the same server.
        assert!(refused(80, 2, with(1, Output::Nat, 8080, false)).is_none());
        assert!(matches!(
            refused(80, 3, with(1, Output::Rewrite, 80, false)),
            Some(Refusal::ViaTaken(1))
        ));
        assert!(matches!(
            refused(80, 3, with(3, Output::Direct, 0, false)),
            Some(Refusal::Mixed)
        ));

        assert!(!directory.has_sources());
        assert!(refused(81, 7, with(7, Output::Rewrite, 8080, true)).is_none());
        {
            let guard = rcu::read_lock();
            let found = |port| directory.service_of(Family::V4, &v4(7), port, &guard);
            assert!(found(8080) == Some(key(81)));
            assert!(found(81).is_none());
        }
        assert!(matches!(
            refused(82, 7, with(7, Output::Rewrite, 8080, true)),
            Some(Refusal::SourceTaken)
        ));
        assert!(refused(82, 7, with(7, Output::Rewrite, 8081, true)).is_none());
        assert!(directory.remove(&key(81)).is_ok());
        {
            let guard = rcu::read_lock();
            let found = |port| directory.service_of(Family::V4, &v4(7), port, &guard);
            assert!(found(8080).is_none());
            assert!(found(8081) == Some(key(82)));
        }
        assert!(directory.remove(&key(82)).is_ok());
        assert!(!directory.has_sources());
        Ok(())
    }

    #[test]
    fn the_node_with_the_fewest_is_assigned() -> Result {
        let directory = directory()?;
        let key = Key::new(Family::V4, v4(9), 80);
        assert!(directory.add(key, Scheduler::Least, 0).is_ok());
        for id in [1, 2] {
            let nat = Change {
                output: Some(Output::Nat),
                ..node(id as u8)
            };
            assert!(directory.set_node(&key, id, &nat).is_ok());
        }
        let service = directory.get(&key).ok_or(ENOENT)?;
        let ask = Ask {
            flow: 0,
            port: 80,
            opens: true,
        };
        service.nodes[0].record.load.more();
        service.nodes[0].record.load.more();
        assert_eq!([0, 1].map(|_| service.assign(&ask)), [Some(1); 2]);
        service.nodes[1].record.load.more();
        service.nodes[0].record.load.less();
        // As many each: in turn.
        let turns = [0, 1].map(|_| service.assign(&ask));
        assert!(turns == [Some(0), Some(1)] || turns == [Some(1), Some(0)]);
        Ok(())
    }

    #[test]
    fn ranges_do_not_overlap() -> Result {
        let directory = directory()?;
        let key = Key::new(Family::V4, v4(9), 0);
        assert!(directory.add(key, Scheduler::Ports, 0).is_ok());
        let with = |last, low, high| Change {
            port_low: Some(low),
            port_high: Some(high),
            ..node(last)
        };
        assert_eq!(errno(directory.set_node(&key, 1, &node(1))), Some(EINVAL));
        assert_eq!(
            errno(directory.set_node(&key, 1, &with(1, 20, 10))),
            Some(EINVAL)
        );
        assert!(directory.set_node(&key, 1, &with(1, 10, 20)).is_ok());
        assert_eq!(
            errno(directory.set_node(&key, 2, &with(2, 20, 30))),
            Some(EEXIST)
        );
        assert!(directory.set_node(&key, 2, &with(2, 21, 30)).is_ok());
        assert!(directory.set_node(&key, 1, &with(1, 10, 19)).is_ok());
        Ok(())
    }
}
