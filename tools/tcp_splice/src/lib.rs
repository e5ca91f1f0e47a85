// SPDX-License-Identifier: GPL-2.0

//! For proxies: once a request is read and a server chosen, the kernel does the rest.
//!
//! ```no_run
//! # fn serve(client: std::net::TcpStream, server: std::net::TcpStream) -> Result<(), Box<dyn std::error::Error>> {
//! let mut kernel = tcp_splice::Kernel::open()?;
//! kernel.splice(client, server)?;
//! # Ok(())
//! # }
//! ```
//!
//! [`Kernel::splice`] joins two connections: their packets pass through this host from then on, and nothing of them comes to this
//! process. [`Kernel::hand_off`] moves the client's connection to its server's host, which answers the client itself; it is
//! for hosts with a `spliced` each that are of one cluster. [`Kernel::receive`] is the other end of such a move, for a program that is no
//! unmodified server. [`Events`] tells of ends.
//!
//! Every call needs `CAP_NET_ADMIN` over the network namespace of the calling thread, and blocks: the kernel answers at once, another host
//! within [`Kernel::set_patience`].
//!
//! `tcp_splice.h` is the same for C.

mod cluster;
mod handoff;
mod kernel;

pub use handoff::{NotMoved, NotReceived, Way, Why};
pub use kernel::{Kernel, NotSpliced, Terms};
pub use tcp_splice_netlink::{EndReason, Error, Event, Events, Splice};
