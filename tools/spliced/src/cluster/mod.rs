// SPDX-License-Identifier: GPL-2.0

//! The cluster.

pub mod heartbeat;
pub mod kernel;
pub mod keys;
pub mod link;
pub mod liveness;
pub mod message;
pub mod node;
pub mod row;
pub mod run;
pub mod table;
