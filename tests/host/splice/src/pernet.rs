// SPDX-License-Identifier: GPL-2.0

//! `rust/pernet.rs` as the packet path sees it.

use crate::{flow, net::skbuff::Net, splice::Splice, stats::Stat};
use std::cell::Cell;

/// What belongs to one network namespace.
pub struct Ns {
    /// The namespace.
    pub net: &'static Net,
    /// The flows.
    pub flows: flow::Table,
    counters: [Cell<u64>; Stat::COUNT],
}

impl Ns {
    /// A namespace without flows.
    #[expect(clippy::new_without_default, reason = "as the kernel's")]
    pub fn new() -> Ns {
        Ns {
            net: Box::leak(Box::new(Net(Vec::new().into()))),
            flows: flow::Table::new(),
            counters: std::array::from_fn(|_| Cell::new(0)),
        }
    }

    /// Whether there is nothing to look up.
    pub fn is_empty(&self) -> bool {
        false
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

    /// Puts both flows of a splice in.
    pub fn add(&self, splice: &'static Splice) {
        self.flows.insert(splice, Splice::to_server);
        self.flows.insert(splice, Splice::to_client);
    }
}
