// SPDX-License-Identifier: GPL-2.0

//! What the cluster needs of the kernel: to list, install, advance and forget splices, to hear of
//! them, and to tell it which nodes it may send packets to.

use std::time::Duration;

use tcp_splice_netlink::Migrant;
use thiserror::Error;

use super::row::{Both, Key, NodeId, Reason, Row};

/// A splice of this host, as the cluster sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// The kernel's name for it.
    pub id: u64,
    /// How it stands.
    pub state: Standing,
}

/// How a splice stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// Another host can carry it, too.
    Whole(Box<Row>),
    /// A local socket still retransmits; only this host can carry it until that is acknowledged.
    Draining,
    /// It belongs to this host until it ends: its sockets come back to a process.
    Bound,
    /// It has ended.
    Over(Key, Reason),
}

/// Why the kernel did not do what it was asked.
#[derive(Debug, Clone, Error, PartialEq, Eq)]
#[error("{0}")]
pub struct KernelError(pub String);

/// What is heard without asking.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    /// A splice is new, has drained, saw a FIN or its acknowledgement, or has ended.
    Seen(Seen),
    /// More happened than could be told: list all.
    Lost,
}

/// Hears of splices from the moment it was made.
pub trait Watch: Send {
    /// Waits, but not longer than `within`.
    ///
    /// # Errors
    ///
    /// When nothing will be heard any more.
    fn next(&mut self, within: Duration) -> Result<Option<Heard>, KernelError>;
}

/// The splices of this host. Calls may block; they are made by one thread, in order.
pub trait Kernel: Send {
    /// All splices, those that ended of late included.
    ///
    /// # Errors
    ///
    /// When they cannot be listed; it is tried again later.
    fn list(&mut self) -> Result<Vec<Seen>, KernelError>;

    /// Makes this host a holder of a splice; a `split` one if its server is on this host, and what that
    /// sends is to be carried where it is sent. Of one that it holds already, returns the identity.
    ///
    /// # Errors
    ///
    /// The kernel's words.
    fn install(&mut self, row: &Row, split: bool) -> Result<u64, KernelError>;

    /// Merges progress into a splice, and says whether others hold it as well.
    ///
    /// # Errors
    ///
    /// The kernel's words, most often that there is no such splice any more.
    fn advance(&mut self, id: u64, progress: &Both, replicated: bool) -> Result<(), KernelError>;

    /// Ends a splice silently, since it ended elsewhere.
    ///
    /// # Errors
    ///
    /// The kernel's words, most often that there is no such splice any more.
    fn forget(&mut self, id: u64, reason: Reason) -> Result<(), KernelError>;

    /// Has whoever listens on this host get a connection of another.
    ///
    /// # Errors
    ///
    /// The kernel's words; nothing is left of it then.
    fn take_over(&mut self, migrant: &Migrant) -> Result<(), KernelError>;

    /// Whether this host has a socket of the connection of this key.
    ///
    /// # Errors
    ///
    /// When that cannot be known.
    fn has(&mut self, key: &Key) -> Result<bool, KernelError>;

    /// Hears of splices from now on.
    ///
    /// # Errors
    ///
    /// When that is not possible.
    fn subscribe(&mut self) -> Result<Box<dyn Watch>, KernelError>;
}

/// Whether packets may be sent to a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NodeState {
    /// It is not heard.
    Down,
    /// It is heard, but has not the whole table yet, or was lost too often of late.
    Joining,
    /// It takes packets.
    Up,
    /// It takes those of splices that it has, and no new ones.
    Draining,
}

impl std::fmt::Display for NodeState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            NodeState::Down => "down",
            NodeState::Joining => "joining",
            NodeState::Up => "up",
            NodeState::Draining => "draining",
        })
    }
}

/// Who chooses nodes for packets.
pub trait Dispatch: Send {
    /// The state of a node has changed, that of this one included.
    ///
    /// # Errors
    ///
    /// The kernel's words; it is told again at the next change.
    fn node(&mut self, id: NodeId, state: NodeState) -> Result<(), KernelError>;
}
