// SPDX-License-Identifier: GPL-2.0

//! spliced: a proxy that reads the start of a TCP stream, picks a backend, connects to it, sends
//! what it read, and hands both connections to the `tcp_splice` kernel module.
//!
//! Life of a connection, and the file of each step:
//!
//! 1. [`listener`] accepts it, on one of several event loops.
//! 2. [`connection`] reads its head: [`http`] or [`sni`] say when it is complete and what it asks.
//! 3. [`route`] picks a [`pool`], which connects to a backend.
//! 4. The bytes read so far go to the backend, unchanged; then [`splice`] arms the splice
//!    by way of [`kernel`], or
//!    [`gateway`] copies in user space.
//! 5. [`log`] writes one line.
//!
//! [`server`] starts and stops the loops, and [`config`] reads the file that says all this.

#![deny(unsafe_code)]
#![warn(missing_docs)]

pub mod backend;
pub mod body;
pub mod config;
pub mod connection;
pub mod gateway;
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
