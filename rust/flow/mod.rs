// SPDX-License-Identifier: GPL-2.0

//! Flows: one direction of one connection each, found by the key of the packets that arrive.
//!
//! [`Flow`] is what a flow knows and how far it has come; `track` reads its packets for
//! acknowledgements, FINs and RSTs. The table itself is [`Table`], a kernel rhashtable read under
//! RCU; a flow is a part of its [`Splice`](crate::splice::Splice), which is what is counted.

mod entry;
mod load;
mod track;

pub use entry::{
    now, Carried, Flow, Progress, Start, Terms, DRAINING, ECHOING, ENDED, FIN_ACKED, FIN_SEEN,
    FLOORED, FROZEN, KEPT, LIMITED, PROMISED, SHARED, UNPROVEN, WAITING,
};
pub use load::Load;
pub use track::{
    expected, fins_acked, is_acked, is_believable, judge_rst, note, reach, window_end, Rst, Seen,
};

use crate::{net::rhashtable, splice::Splice, xlate::key::FlowKey};

/// A flow in the table.
pub type Entry = rhashtable::Entry<FlowKey, Flow, Splice>;

/// The flow table of one network namespace.
pub type Table = rhashtable::Table<FlowKey, Flow, Splice>;

/// Which way a flow goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Direction {
    /// From the client to the server.
    ToServer,
    /// From the server to the client.
    ToClient,
}

impl Direction {
    /// The other one.
    pub const fn reverse(self) -> Direction {
        match self {
            Direction::ToServer => Direction::ToClient,
            Direction::ToClient => Direction::ToServer,
        }
    }
}
