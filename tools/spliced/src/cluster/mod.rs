// SPDX-License-Identifier: GPL-2.0

//! The cluster.

pub mod admission;
pub mod control;
pub mod heartbeat;
pub mod kernel;
pub mod keys;
pub mod link;
pub mod liveness;
pub mod message;
pub mod netlink;
pub mod node;
pub mod row;
pub mod run;
pub mod section;
pub mod table;
