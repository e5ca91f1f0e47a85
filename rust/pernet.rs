// SPDX-License-Identifier: GPL-2.0

//! What each network namespace has: its flow table, its splices by id, its services, its counters.

use crate::{
    flow,
    net::{
        namespace::{self, HasSlot, Namespace, PerNet, Slot},
        netfilter::{self, in_packet_context},
        percpu::Counters,
        rcu,
        workqueue::{self, Queue},
    },
    service::Directory,
    splice::Splice,
    stats::Stat,
    xlate::key::FlowKey,
};
use kernel::{
    alloc::Flags,
    new_mutex, new_spinlock,
    prelude::*,
    rbtree::{RBTree, RBTreeNode},
    sync::{
        atomic::{Atomic, Relaxed},
        Arc, Mutex, SpinLock,
    },
};

/// Most connections of services that were not answered yet. A SYN makes one, and whoever sends it may not exist.
const MAX_OPENING: usize = 16 << 10;

/// Most splices, ended ones included, beyond which no service gives a connection to a server.
const MAX_ENTRIES: usize = 256 << 10;

/// All splices of a namespace, by id.
pub struct Registry {
    by_id: RBTree<u64, Arc<Splice>>,
    last_id: u64,
    /// The namespace is ending: no new splice.
    closed: bool,
}

/// The state of one namespace.
#[pin_data]
pub struct Ns {
    /// The namespace; not used after [`PerNet::end`].
    pub net: &'static Namespace,
    /// Flows by key, for the packet path.
    pub flows: flow::Table,
    /// Services and their nodes.
    #[pin]
    pub services: Directory,
    /// Counters.
    stats: Counters<{ Stat::COUNT }>,
    /// Where splices look after themselves.
    pub queue: Queue,
    /// How many splices are in the table, tombstones included; 0 lets packets pass at once.
    entries: Atomic<usize>,
    /// How many of them are tombstones.
    tombstones: Atomic<usize>,
    /// How many of them are split; 0 spares a look at what is sent here.
    splits: Atomic<usize>,
    /// Changes when a splice comes or goes, so that a dump can tell; not with connections of services, which may come and go all
    /// the time. A dump goes by id, so that it has all that stay.
    generation: Atomic<u32>,
    /// How many connections of services no client has shown to be its own yet.
    opening: Atomic<usize>,
    /// Bottom halves off: a SYN puts splices in.
    #[pin]
    registry: SpinLock<Registry>,
    #[pin]
    hooks: Mutex<Option<netfilter::Registration<Ns>>>,
}

static SLOT: Slot<Ns> = Slot::new();

impl HasSlot for Ns {
    fn slot() -> &'static Slot<Ns> {
        &SLOT
    }
}

impl PerNet for Ns {
    fn new(net: &'static Namespace) -> Result<Arc<Self>> {
        let flows = flow::Table::new()?;
        let stats = Counters::new()?;
        let queue = Queue::new()?;
        Arc::pin_init(
            pin_init!(Ns {
                net,
                flows,
                services <- Directory::new(),
                stats,
                queue,
                entries: Atomic::new(0),
                tombstones: Atomic::new(0),
                splits: Atomic::new(0),
                generation: Atomic::new(0),
                opening: Atomic::new(0),
                registry <- new_spinlock!(Registry {
                    by_id: RBTree::new(),
                    last_id: 0,
                    closed: false,
                }),
                hooks <- new_mutex!(None),
            }),
            GFP_KERNEL,
        )
    }

    fn stop(&self) {
        if let Some(hooks) = &*self.hooks.lock() {
            hooks.unregister();
        }
    }

    fn end(&self) {
        self.with_registry(|registry| registry.closed = true);
        self.services.close();
        loop {
            let first = self.with_registry(|registry| {
                let mut all = registry.by_id.iter();
                all.next().map(|(_, splice)| splice.clone())
            });
            let Some(splice) = first else {
                break;
            };
            splice.abandon();
        }
        // One that was just forgotten may still be on its way out.
        self.queue.flush();
        // Splices hold this state, and what tears down its table may sleep, which they must not.
        if self.with_registry(|registry| registry.last_id > 0) {
            rcu::barrier();
        }
        // The registration holds this state; with it goes the circle.
        let hooks = self.hooks.lock().take();
        drop(hooks);
    }
}

impl Ns {
    /// The state of the namespace that asks.
    ///
    /// # Errors
    ///
    /// `ENODEV` if the namespace is ending.
    pub fn of(net: &Namespace) -> Result<Arc<Ns>> {
        namespace::state(net).ok_or(ENODEV)
    }

    /// Counts one. Any context.
    #[inline]
    pub fn count(&self, stat: Stat) {
        self.stats.inc(stat as usize);
    }

    /// The sum of a counter.
    pub fn counted(&self, stat: Stat) -> u64 {
        self.stats.sum(stat as usize)
    }

    /// Whether there is no flow and no service at all. Any context.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.entries.load(Relaxed) == 0 && self.services.is_empty()
    }

    /// Whether there is a split splice. Any context.
    #[inline]
    pub fn has_splits(&self) -> bool {
        self.splits.load(Relaxed) != 0
    }

    /// Splices that live, and tombstones.
    pub fn population(&self) -> (usize, usize) {
        let tombstones = self.tombstones.load(Relaxed);
        let entries = self.entries.load(Relaxed);
        (entries.saturating_sub(tombstones), tombstones)
    }

    /// A splice became a tombstone. Any context.
    pub fn count_tombstone(&self, splice: &Splice) {
        self.tombstones.add(1, Relaxed);
        self.changed(splice);
    }

    fn changed(&self, splice: &Splice) {
        if splice.assigned_by().is_none() {
            self.generation.add(1, Relaxed);
        }
    }

    /// What [`crate::net::netlink::DumpOut::set_generation`] wants.
    pub fn generation(&self) -> u32 {
        self.generation.load(Relaxed)
    }

    fn with_registry<R>(&self, f: impl FnOnce(&mut Registry) -> R) -> R {
        in_packet_context(|_| f(&mut self.registry.lock()))
    }

    /// A new id. Any context.
    pub fn next_id(&self) -> u64 {
        self.with_registry(|registry| {
            registry.last_id = registry.last_id.wrapping_add(1);
            registry.last_id
        })
    }

    /// Whether no service may give a connection to a server any more. Any context.
    pub fn is_full(&self) -> bool {
        self.entries.load(Relaxed) >= MAX_ENTRIES
    }

    /// Whether there are so many entries that those which may be nobody's are to go soon. Any context.
    pub fn is_pressed(&self) -> bool {
        self.entries.load(Relaxed) >= MAX_ENTRIES / 16
    }

    /// One more connection is to be answered, and whether there are many; `None` if there are too many. Any context.
    pub fn begin_opening(&self) -> Option<bool> {
        let before = self.opening.fetch_add(1, Relaxed);
        if before >= MAX_OPENING {
            self.end_opening();
            return None;
        }
        Some(before >= MAX_OPENING / 4)
    }

    /// One is its client's, or will not be. Any context.
    pub fn end_opening(&self) {
        self.opening.fetch_sub(1, Relaxed);
    }

    /// How many connections of services no client has shown to be its own yet.
    pub fn opening(&self) -> usize {
        self.opening.load(Relaxed)
    }

    /// Sees the packets of the namespace from here on. A namespace without splice and service has neither the
    /// hooks nor the reassembly of fragments that comes with them. May sleep.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub fn hook_in(self: &Arc<Self>) -> Result {
        let mut hooks = self.hooks.lock();
        if hooks.is_none() {
            *hooks = Some(netfilter::Registration::new(self.net, self)?);
        }
        Ok(())
    }

    /// Puts a splice in, its flows first; after [`Ns::hook_in`]. Any context that `flags` says.
    ///
    /// # Errors
    ///
    /// `EEXIST` if a flow of its key is there; `ENODEV` if the namespace is ending; `ENOMEM`.
    pub fn add(&self, splice: &Arc<Splice>, flags: Flags) -> Result {
        let node = RBTreeNode::new(splice.id(), splice.clone(), flags)?;
        self.with_registry(|registry| {
            if registry.closed {
                return Err(ENODEV);
            }
            self.entries.add(1, Relaxed);
            let inserted = self.flows.insert(splice, Splice::to_server).and_then(|()| {
                self.flows
                    .insert(splice, Splice::to_client)
                    .inspect_err(|_| {
                        self.flows.remove(splice, Splice::to_server);
                    })
            });
            if inserted.is_err() {
                self.entries.fetch_sub(1, Relaxed);
                return inserted;
            }
            registry.by_id.insert(node);
            if splice.wishes().split {
                self.splits.add(1, Relaxed);
            }
            self.changed(splice);
            Ok(())
        })
    }

    /// Takes the flows of a splice out of the table, so that no new packet finds them. Any context.
    pub fn unlist(&self, splice: &Splice) {
        self.flows.remove(splice, Splice::to_server);
        self.flows.remove(splice, Splice::to_client);
    }

    /// Forgets a splice. May sleep.
    ///
    /// Its alarm holds it, it holds this state, and whoever drops that last destroys the queue that alarms ring on, which must not be
    /// one of them: [`PerNet::end`] waits for those of splices that it knows, and for what rings.
    pub fn remove(&self, splice: &Splice) {
        self.unlist(splice);
        workqueue::retire(splice);
        let removed = self.with_registry(|registry| registry.by_id.remove(&splice.id()));
        if removed.is_some() {
            if splice.is_tombstone() {
                self.tombstones.fetch_sub(1, Relaxed);
            }
            if splice.wishes().split {
                self.splits.fetch_sub(1, Relaxed);
            }
            self.entries.fetch_sub(1, Relaxed);
            self.changed(splice);
        }
    }

    /// The splice that has a flow of this key. May sleep.
    pub fn with_flow(&self, key: &FlowKey) -> Option<Arc<Splice>> {
        let id = in_packet_context(|guard| {
            let (splice, _) = self.flows.lookup(key, guard)?;
            Some(splice.id())
        })?;
        self.get(id)
    }

    /// The splice with this id. Any context.
    pub fn get(&self, id: u64) -> Option<Arc<Splice>> {
        self.with_registry(|registry| registry.by_id.get(&id).cloned())
    }

    /// The first splice with at least this id. May sleep.
    pub fn at_or_after(&self, id: u64) -> Option<Arc<Splice>> {
        self.with_registry(|registry| {
            let cursor = registry.by_id.cursor_lower_bound(&id)?;
            Some(cursor.current().1.clone())
        })
    }
}
