// SPDX-License-Identifier: GPL-2.0

//! spliced: a proxy that reads the head of an HTTP request or a TLS ClientHello, picks a backend,
//! sends on what it read, and leaves bodies, or the rest of the connection, to the `tcp_splice`
//! kernel module.
//!
//! Life of a connection, and the file of each step:
//!
//! 1. [`listener`] accepts it, on one of several event loops.
//! 2. [`connection`] reads the start of TLS, and of HTTP when one request decides for all;
//!    [`keepalive`] serves one request after the other. [`http`], [`response`], [`body`] and [`sni`]
//!    say where things end and what they ask.
//! 3. [`route`] picks a [`pool`], which has or makes a connection to a [`backend`]; [`keeper`] looks
//!    after both meanwhile.
//! 4. The bytes read so far go to the backend, unchanged; then [`splice`] arms the splice by way of
//!    [`kernel`], and [`returns`] hears of its end; or [`gateway`] copies in user space.
//! 5. [`log`] writes one line.
//!
//! [`server`] starts and stops the loops, and [`config`] reads the file that says all this. In a
//! [`cluster`], other hosts can carry its splices.

#![deny(unsafe_code)]
#![warn(missing_docs)]

pub mod backend;
pub mod body;
pub mod cluster;
pub mod config;
pub mod connection;
pub mod gateway;
pub mod handoff;
pub mod host;
pub mod http;
pub mod keepalive;
pub mod keeper;
pub mod kernel;
pub mod linger;
pub mod listener;
pub mod log;
pub mod notify;
pub mod pool;
pub mod response;
pub mod returns;
pub mod route;
pub mod server;
pub mod sni;
pub mod splice;
