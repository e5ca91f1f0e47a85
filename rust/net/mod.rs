// SPDX-License-Identifier: GPL-2.0

//! Safe abstractions that the `kernel` crate lacks: the only place with `unsafe` and raw bindings.
//!
//! Raw API: [`crate::bindings`], as C has it. Safe API: everything `pub` below this module. The
//! names are those upstream would use, so that each file can go when the `kernel` crate grows it.
//!
//! Contexts: [`netfilter`] callbacks run in softirq, or in process context with bottom halves off
//! for locally sent packets, always inside an RCU read section; [`netlink`] handlers, [`namespace`]
//! callbacks and [`workqueue`] items may sleep.

pub mod birth;
pub mod forward;
pub mod leg;
pub mod module;
pub mod namespace;
pub mod netfilter;
pub mod netlink;
pub mod percpu;
pub mod rcu;
pub mod rhashtable;
pub mod route;
pub mod skbuff;
pub mod socket;
pub mod time;
pub mod workqueue;
