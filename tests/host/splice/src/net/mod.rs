// SPDX-License-Identifier: GPL-2.0

//! The kernel, as far as a packet sees of it.

pub mod netfilter;
pub mod rhashtable;
pub mod skbuff;

#[path = "../../../../../rust/net/leg.rs"]
pub mod leg;

/// The coarse clock. It stands still: nothing here times out.
pub mod time {
    /// Ticks since boot.
    pub fn jiffies() -> usize {
        0
    }
}
