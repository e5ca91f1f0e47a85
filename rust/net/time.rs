// SPDX-License-Identifier: GPL-2.0

//! The kernel's coarse clock.
//!
//! C header: [`include/linux/jiffies.h`](srctree/include/linux/jiffies.h)

use kernel::{bindings as kb, time::msecs_to_jiffies};

/// Ticks of a second.
pub const HZ: u64 = kb::HZ as u64;

/// The ticks since boot, or so; wraps. Any context.
#[inline]
pub fn jiffies() -> usize {
    // SAFETY: `jiffies` is a word that is always readable; it changes by itself.
    unsafe { core::ptr::read_volatile(&raw const kb::jiffies) as usize }
}

/// Ticks in `ms` milliseconds, rounded up, at most what a timer takes.
pub fn from_ms(ms: u64) -> usize {
    msecs_to_jiffies(u32::try_from(ms).unwrap_or(u32::MAX)) as usize
}

/// Milliseconds in a number of ticks.
pub fn to_ms(ticks: u64) -> u64 {
    ticks.saturating_mul(1000) / HZ
}
