// SPDX-License-Identifier: GPL-2.0

//! Has the proxy's own splices replicated: one is not made while too few peers are alive and the
//! configuration demands them, and each that is made is given to the cluster.
//!
//! Splices whose sockets come back belong to this host and are left alone.

use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tcp_splice_netlink::Migrant;

use super::node::Outcome;
use super::run::Handle;
use crate::splice::{Armed, Ended, Ends, Failure, Hop, OpenSplicer, Refusal, Splicer, Terms};

struct Replicating {
    inner: Box<dyn Splicer>,
    cluster: Handle,
}

/// The same splicer, whose splices are replicated.
pub fn replicating(open: Arc<OpenSplicer>, cluster: Handle) -> Arc<OpenSplicer> {
    Arc::new(move || {
        let inner = open()?;
        let cluster = cluster.clone();
        Ok(Box::new(Replicating { inner, cluster }) as Box<dyn Splicer>)
    })
}

impl Splicer for Replicating {
    fn splice(
        &mut self,
        client: BorrowedFd<'_>,
        server: BorrowedFd<'_>,
        terms: &Terms,
    ) -> Result<Armed, Failure> {
        if terms.limits.is_some() {
            return self.inner.splice(client, server, terms);
        }
        if let Some(reason) = self.cluster.refusal() {
            return Err(Failure::Refused(Refusal { reason }));
        }
        let armed = self.inner.splice(client, server, terms)?;
        if let Some(id) = armed.id {
            let start = Instant::now();
            self.cluster.ask(id, move |outcome| match outcome {
                Outcome::Committed(peers) => {
                    tracing::debug!(id, peers, ms = start.elapsed().as_millis(), "committed");
                }
                Outcome::Ended => tracing::debug!(id, "ended before it was committed"),
                // The cluster itself warns of those that have too few holders.
                Outcome::Degraded { have, want } => {
                    tracing::debug!(id, have, want, "committed-degraded");
                }
                Outcome::Refused(reason) => tracing::debug!(id, reason, "not replicated"),
            });
        }
        Ok(armed)
    }

    fn export(
        &mut self,
        client: BorrowedFd<'_>,
        idle: Option<Duration>,
        within: Duration,
    ) -> Result<(u64, Migrant), Failure> {
        self.inner.export(client, idle, within)
    }

    fn settle(&mut self, id: u64, to: Option<Hop>) -> Result<(), Refusal> {
        self.inner.settle(id, to)
    }

    fn ended(&mut self, id: u64) -> Result<Option<Ended>, Refusal> {
        self.inner.ended(id)
    }

    fn subscribe(&mut self) -> Result<Box<dyn Ends>, Refusal> {
        self.inner.subscribe()
    }

    fn generation(&self) -> u64 {
        self.inner.generation()
    }
}
