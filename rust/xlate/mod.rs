// SPDX-License-Identifier: GPL-2.0

//! Translation of TCP packets from one numbering to another.
//!
//! A spliced packet keeps its payload and its length. What changes are constants of its flow: the
//! addresses and ports, the sequence numbers (RFC 9293), the edges of SACK blocks (RFC 2018 and
//! 2883), the timestamps and the window scale (RFC 7323), and the checksums over these (RFC 1624).
//! [`Edit`] holds the constants and [`Edit::apply`] does all of it.
//!
//! ```text
//!     bytes -- parse_ip --> IpHeader -- key_of --> FlowKey     (look the flow up)
//!                              '-- parse_tcp --> Segment
//!     Edit::apply(bytes, Segment)                              (write)
//! ```
//!
//! # Invariants
//!
//! The code here is pure and total. It knows no kernel type, allocates nothing, has no `unsafe`,
//! and answers for every input: bytes are reached with `get` or by pattern, never with an index,
//! and sums wrap or are checked, since the kernel is built with overflow checks. An object made
//! from it refers to no panic function (`tests/host/panic-free`). A function that fails leaves
//! the packet as it was.
//!
//! The same files are a module of `tcp_splice.ko` and a crate on the host (`tests/host`), so they
//! import only `core` and each other.

#![cfg_attr(not(CONFIG_RUST), no_std)]
// KUnit's macro, not the tests, needs unsafe code.
#![cfg_attr(not(CONFIG_KUNIT = "y"), forbid(unsafe_code))]
#![cfg_attr(
    not(any(test, CONFIG_KUNIT = "y")),
    deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)
)]

pub mod build;
pub mod checksum;
pub mod choose;
pub mod edit;
pub mod icmp;
pub mod ip;
pub mod key;
pub mod options;
pub mod seq;
pub mod tcp;

pub use build::{build_drain_ack, build_rst};
pub use edit::{ChecksumField, Edit};
pub use icmp::{parse_quote, Quote};
pub use ip::{key_of, parse_ip, IpHeader, Malformed, MAX_HEADERS};
pub use key::{Family, FlowKey};
pub use seq::Seq;
pub use tcp::{parse, parse_tcp, tcp_header_len, Flags, Segment};
