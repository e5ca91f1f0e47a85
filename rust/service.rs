// SPDX-License-Identifier: GPL-2.0

//! Services and their nodes: what an operator says of them.
//!
//! The packet path reads an immutable list of all services of its namespace without a lock. A change makes a new
//! list, in which what did not change is shared with the old one.

use crate::{
    net::{
        forward::{Hop, LinkAddress, Output},
        percpu::Counters,
        rcu::Published,
        time,
    },
    xlate::{
        choose::{Member, State, Wheel},
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

    /// The port.
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
}

/// What lasts as long as a node is one, whatever is changed.
pub struct Record {
    sent: Counters<1>,
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
    turns: Arc<Counters<1>>,
    /// When something of the nodes changed that the choice knows.
    changed: usize,
}

impl Service {
    /// Whose turn it is. In packet context.
    #[inline]
    pub fn turn(&self) -> Option<usize> {
        self.wheel.turn(&self.members, self.turns.next(0))
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
                members,
                nodes,
                turns: self.turns.clone(),
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
    /// Any port, for a scheduler that does not look at ports; or one port, for the one that does.
    BadPort,
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
            Refusal::BadPort => {
                f.write_str("port 0, which is any, does not go with the scheduler hash")
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

/// The services of a namespace.
#[pin_data]
pub struct Directory {
    list: Published<List>,
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
        let new = if new.is_empty() {
            None
        } else {
            Some(Arc::new(new, GFP_KERNEL)?)
        };
        self.list.replace(new);
        self.generation.add(1, Relaxed);
        Ok(())
    }

    /// Makes a service without nodes. May sleep.
    ///
    /// # Errors
    ///
    /// [`Refusal`].
    pub fn add(&self, key: Key, scheduler: Scheduler, seed: u32) -> Changed<Arc<Service>> {
        // Nobody would know whose connection a packet is that no port was listened on for.
        if key.port == 0 && scheduler == Scheduler::Hash {
            return Err(Refusal::BadPort);
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
                turns: Arc::new(Counters::new()?, GFP_KERNEL)?,
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
        self.publish(key, Some(service.clone()))?;
        drop(lock);
        Ok((service, at))
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
                local: false,
                since: time::jiffies(),
                record: Arc::new(
                    Record {
                        sent: Counters::new()?,
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
    if let Some((taken, _)) = others().find(|(_, other)| other.via == node.via) {
        return Err(Refusal::ViaTaken(taken.id));
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
