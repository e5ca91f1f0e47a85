// SPDX-License-Identifier: GPL-2.0

//! `rust/pernet.rs` as a splice sees it.

use crate::{
    flow,
    net::{
        netfilter::{Filter, Hook, HookState},
        skbuff::{Net, Packet},
        workqueue::{self, Queue},
    },
    splice::Splice,
    stats::Stat,
    xlate::{Family, FlowKey},
};
use kernel::{
    prelude::*,
    sync::{rcu::read_lock, Arc},
};
use std::cell::{Cell, RefCell};

/// What belongs to one network namespace.
pub struct Ns {
    /// The namespace.
    pub net: &'static Net,
    /// The flows.
    pub flows: flow::Table,
    /// Where alarms ring.
    pub queue: Queue,
    /// Connections of services that are to be answered.
    pub opening: Cell<usize>,
    /// Whether there are many entries.
    pub pressed: Cell<bool>,
    /// A packet that comes when one flow of a splice is in and the other is not.
    pub between: RefCell<Option<Vec<u8>>>,
    counters: [Cell<u64>; Stat::COUNT],
}

impl Ns {
    /// A namespace without flows.
    #[expect(clippy::new_without_default, reason = "as the kernel's")]
    pub fn new() -> Ns {
        Ns {
            net: Box::leak(Box::new(Net(Vec::new().into()))),
            flows: flow::Table::new(),
            queue: Queue,
            opening: Cell::new(0),
            pressed: Cell::new(false),
            between: RefCell::new(None),
            counters: std::array::from_fn(|_| Cell::new(0)),
        }
    }

    /// Whether there is nothing to look up.
    pub fn is_empty(&self) -> bool {
        false
    }

    /// Whether there may be a split splice.
    pub fn has_splits(&self) -> bool {
        true
    }

    /// Counts.
    pub fn count(&self, stat: Stat) {
        let counter = &self.counters[stat as usize];
        counter.set(counter.get() + 1);
    }

    /// What was counted.
    pub fn counted(&self, stat: Stat) -> u64 {
        self.counters[stat as usize].get()
    }

    /// Counts the dead.
    pub fn count_tombstone(&self, _: &Splice) {}

    /// The next identity.
    pub fn next_id(&self) -> u64 {
        1
    }

    /// Sees packets from here on.
    ///
    /// # Errors
    ///
    /// Never.
    pub fn hook_in(&self) -> Result {
        Ok(())
    }

    /// Puts both flows of a splice in.
    ///
    /// # Errors
    ///
    /// `EEXIST`.
    pub fn add(&self, splice: &Arc<Splice>, _: ()) -> Result {
        self.flows.insert(splice, Splice::to_server)?;
        if let Some(bytes) = self.between.take() {
            let state = HookState {
                hook: Hook::PreRouting,
                family: Family::V4,
            };
            self.filter(Packet::from(bytes), state, &read_lock());
        }
        self.flows
            .insert(splice, Splice::to_client)
            .inspect_err(|_| {
                self.flows.remove(splice, Splice::to_server);
            })
    }

    /// There is room.
    pub fn is_full(&self) -> bool {
        false
    }

    /// Whether there are many entries.
    pub fn is_pressed(&self) -> bool {
        self.pressed.get()
    }

    /// One more connection is to be answered, of few.
    pub fn begin_opening(&self) -> Option<bool> {
        self.opening.set(self.opening.get() + 1);
        Some(false)
    }

    /// One less.
    pub fn end_opening(&self) {
        self.opening.set(self.opening.get() - 1);
    }

    /// The splice that has a flow of this key.
    pub fn with_flow(&self, key: &FlowKey) -> Option<Arc<Splice>> {
        self.flows.owner(key)
    }

    /// Takes them out.
    pub fn unlist(&self, splice: &Splice) {
        self.flows.remove(splice, Splice::to_server);
        self.flows.remove(splice, Splice::to_client);
    }

    /// Forgets a splice.
    pub fn remove(&self, splice: &Splice) {
        self.unlist(splice);
        workqueue::retire(splice);
    }
}
