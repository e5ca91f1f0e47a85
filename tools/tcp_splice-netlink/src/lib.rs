// SPDX-License-Identifier: GPL-2.0

//! Client of the `tcp-splice` generic netlink family, which the kernel module `tcp_splice` answers.
//!
//! [`Client`] makes, reads and cuts splices; [`Events`] tells when they begin and end. The types
//! ([`Splice`], [`Flow`], [`Stats`]) are generated from the specification of the interface, and
//! read and write the same JSON as `splicectl`.
//!
//! Every request needs `CAP_NET_ADMIN` over the network namespace of the calling thread, and
//! concerns the splices of that namespace alone.

mod address;
mod attr;
mod bytes;
mod client;
mod connections;
mod error;
mod events;
// `gen` is a keyword.
#[path = "gen.rs"]
mod generated;
mod handoff;
mod message;
mod socket;

pub use address::Addresses;
pub use attr::Malformed;
pub use bytes::Bytes;
pub use client::{Client, SpliceNew};
pub use connections::Connections;
pub use error::Error;
pub use events::{Event, Events};
pub use generated::{
    DelMode, EndReason, FAMILY_NAME, Flow, FlowFlags, Handoff, HandoffFlags, HandoffStream, Node,
    NodeFlags, NodeOutput, NodeState, Scheduler, Service, Splice, SpliceFlags, SpliceKind,
    SpliceState, Stats,
};
pub use handoff::{Migrant, NotReceived, Piece};
