// SPDX-License-Identifier: GPL-2.0

//! The kernel's coarse clock.
//!
//! C header: [`include/linux/jiffies.h`](srctree/include/linux/jiffies.h)

use kernel::{bindings as kb, time::msecs_to_jiffies};

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
    // SAFETY: A pure function. (`bindings::HZ` is that of user space.)
    unsafe { kb::jiffies64_to_msecs(ticks) }
}

#[cfg(CONFIG_KUNIT = "y")]
#[kernel::prelude::kunit_tests(tcp_splice_net_time)]
mod tests {
    use super::*;

    #[test]
    fn ticks_and_milliseconds_agree() {
        // Rounded up to a tick, of which there are 100 a second at least.
        for ms in [0, 10, 1000, 60_000, 15 * 60 * 1000] {
            let back = to_ms(from_ms(ms) as u64);
            assert!(back >= ms && back <= ms + 10);
        }
        assert!(from_ms(u64::MAX) > from_ms(1000));
    }
}
