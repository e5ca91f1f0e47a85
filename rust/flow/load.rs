// SPDX-License-Identifier: GPL-2.0

//! How many connections a node of a service has.

use kernel::sync::atomic::{Atomic, Relaxed};

/// A number of connections, that goes up and down.
pub struct Load(Atomic<u32>);

impl Default for Load {
    fn default() -> Self {
        Self::new()
    }
}

impl Load {
    /// None.
    pub fn new() -> Load {
        Load(Atomic::new(0))
    }

    /// How many. Any context.
    #[inline]
    pub fn get(&self) -> u32 {
        self.0.load(Relaxed)
    }

    /// One more. Any context.
    pub fn more(&self) {
        self.0.add(1, Relaxed);
    }

    /// One less, which was counted. Any context.
    pub fn less(&self) {
        // It wraps.
        self.0.add(u32::MAX, Relaxed);
    }
}
