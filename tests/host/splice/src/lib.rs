// SPDX-License-Identifier: GPL-2.0

//! The packet path, the flow lifecycle, and how splices are made, end and give their sockets back: the same
//! files as in the module, unchanged. What they import of the kernel and of the files that are made of it
//! stands in the other modules here, as small as it can be: a packet is a vector, a socket whatever the test
//! says it is, the namespace a list of what left.

pub mod net;
pub mod pernet;

/// Who listens is not told.
pub mod netlink {
    use crate::{net::skbuff::Net, splice::Splice};

    /// Of a new splice.
    pub fn announce_new(_net: &Net, _splice: &Splice) {}

    /// Of how far one has come.
    pub fn announce_change(_net: &Net, _splice: &Splice) {}

    /// Of the end of one.
    pub fn announce_end(_net: &Net, _splice: &Splice) {}
}

/// There is no service: what has no flow goes on.
pub mod dispatch {
    use crate::{
        net::{netfilter::Verdict, skbuff::Packet},
        pernet::Ns,
        xlate::{edit::Edit, icmp::Quote, FlowKey, IpHeader},
    };
    use kernel::sync::rcu::Guard;

    /// How a packet came in.
    #[derive(Clone, Copy)]
    pub enum Way {
        /// As it is.
        Bare,
    }

    /// A TCP packet of no flow.
    pub fn without_flow(
        _ns: &Ns,
        packet: Packet,
        _key: &FlowKey,
        _ip: &IpHeader,
        _way: Way,
        _guard: &Guard,
    ) -> Verdict {
        Verdict::Accept(packet)
    }

    /// An ICMP error about one.
    pub fn error_without_flow(
        _ns: &Ns,
        packet: Packet,
        _quote: &Quote,
        _way: Way,
        _guard: &Guard,
    ) -> Verdict {
        Verdict::Accept(packet)
    }

    /// One that has taken a place of the table.
    pub fn reopened(
        _ns: &Ns,
        packet: Packet,
        _key: &FlowKey,
        _ip: &IpHeader,
        _guard: &Guard,
    ) -> Verdict {
        Verdict::Accept(packet)
    }

    /// No server here is a service's.
    pub fn source_of(_ns: &Ns, _packet: &Packet, _key: &FlowKey, _guard: &Guard) -> Option<Edit> {
        None
    }

    /// What is neither.
    pub fn other(_ns: &Ns, packet: Packet, _ip: &IpHeader, _way: Way, _guard: &Guard) -> Verdict {
        Verdict::Accept(packet)
    }
}

#[path = "../../../../rust/flow/mod.rs"]
pub mod flow;
#[path = "../../../../rust/forward.rs"]
pub mod forward;
#[path = "../../../../rust/hook.rs"]
pub mod hook;
#[path = "../../../../rust/splice/mod.rs"]
pub mod splice;
#[path = "../../../../rust/stats.rs"]
pub mod stats;

pub use xlate;
