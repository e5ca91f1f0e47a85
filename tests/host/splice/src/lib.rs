// SPDX-License-Identifier: GPL-2.0

//! The flow lifecycle, the terms of a splice and the packet path of the module: the same files, unchanged.
//! What they import of the kernel and of the files that are made of it stands in the other modules here,
//! as small as it can be: a packet is a vector, the namespace a list of what left.

pub mod net;
pub mod pernet;
pub mod splice;

#[path = "../../../../rust/flow/mod.rs"]
pub mod flow;
#[path = "../../../../rust/hook.rs"]
pub mod hook;
#[path = "../../../../rust/stats.rs"]
pub mod stats;

pub use xlate;
