// SPDX-License-Identifier: GPL-2.0

//! The coarse clock: a tick is a millisecond, and passes when the test says so.

use std::cell::Cell;

thread_local! {
    static NOW: Cell<usize> = const { Cell::new(0) };
}

/// Sets the clock.
pub fn set(now: usize) {
    NOW.set(now);
}

/// Ticks since boot.
pub fn jiffies() -> usize {
    NOW.get()
}

/// Ticks in `ms` milliseconds.
pub fn from_ms(ms: u64) -> usize {
    ms as usize
}

/// Milliseconds in a number of ticks.
pub fn to_ms(ticks: u64) -> u64 {
    ticks
}
