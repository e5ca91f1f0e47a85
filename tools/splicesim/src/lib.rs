// SPDX-License-Identifier: GPL-2.0

//! Simulates farms of splicing proxies, at two levels.
//!
//! [`packet`] follows every packet of a few connections, for the curves of throughput against offered load that the
//! source has; [`farm`] follows every connection of a large farm, for its size and for what failures cost. [`bound`] has
//! what the first is held against. Documentation/splicesim.md says what is modelled, and what is not.

pub mod bound;
pub mod clock;
pub mod costs;
pub mod curves;
pub mod farm;
pub mod packet;
pub mod plot;
pub mod range;
