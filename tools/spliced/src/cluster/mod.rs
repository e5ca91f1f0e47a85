// SPDX-License-Identifier: GPL-2.0

//! The cluster.

pub mod kernel;
pub mod liveness;
pub mod message;
pub mod node;
pub mod row;
pub mod table;
