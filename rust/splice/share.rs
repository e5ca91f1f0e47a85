// SPDX-License-Identifier: GPL-2.0

//! A splice of which other hosts carry packets, too: the source's replicated splice.
//!
//! What never changes is the same on all of them. What changes only grows (how far the streams have come, which
//! FINs were seen and acknowledged), so that hosts tell each other in any order, and twice: it is merged.

use super::{Phase, Reason, Splice};
use crate::flow::{self, Direction, Progress, SHARED};
use kernel::sync::atomic::Relaxed;

impl Splice {
    /// Whether other hosts carry packets of it, too.
    pub fn is_shared(&self) -> bool {
        self.to_server.has(SHARED)
    }

    /// Whether the packets of this flow, which is one of its own, are those that a local socket sends.
    #[inline]
    pub fn is_split_at(&self, flow: &flow::Entry) -> bool {
        self.wishes.split && flow.direction() == Direction::ToClient
    }

    /// From now on they do. Any context.
    pub fn share(&self) {
        self.replicated.store(true, Relaxed);
        for flow in [&self.to_server, &self.to_client] {
            flow.mark(SHARED, 0);
        }
    }

    /// Whether its connection has moved, and whoever said that other hosts hold it, too, will say when it has ended: that is asked
    /// of the host which has it. What its client answers to this host may come to another.
    pub(super) fn is_watched(&self) -> bool {
        self.replicated.load(Relaxed) && self.has_moved()
    }

    /// Merges what another host has seen, of either flow or both. May sleep.
    pub fn merge(&self, to_server: Option<&Progress>, to_client: Option<&Progress>) {
        let Some((terms, back)) = self.terms(Direction::ToServer) else {
            return;
        };
        for (flow, seen) in [(&self.to_server, to_server), (&self.to_client, to_client)] {
            if let Some(seen) = seen {
                flow.merge(seen);
            }
        }
        if flow::fins_acked(&self.to_server, terms, &self.to_client, back) {
            self.end(Reason::Fin);
        }
    }

    /// Tells who listens that it has drained, or of a FIN. Any context.
    #[cold]
    pub fn tell_change(&self) {
        self.changed.store(true, Relaxed);
        self.look_in(0);
    }

    /// It has ended on another host, for this reason. `false` if it has here, or is not live yet. Process context.
    ///
    /// A connection that had moved may be on this host next, or nowhere: what still comes is not sent on.
    pub fn forget(&self, reason: Reason) -> bool {
        let left = self.phase() == Phase::Live && self.leave(Phase::Tombstone, reason);
        if left && self.has_moved() {
            self.replace();
        }
        left
    }
}
