// SPDX-License-Identifier: GPL-2.0

//! Counters, one copy a CPU.
//!
//! C header: [`include/linux/percpu.h`](srctree/include/linux/percpu.h)

use crate::bindings;
use kernel::prelude::*;

/// `N` counters that any context may count up without a lock or a shared cache line.
pub struct Counters<const N: usize>(*mut u64);

// SAFETY: The per-CPU memory is only touched by per-CPU operations and racy reads of whole words.
unsafe impl<const N: usize> Send for Counters<N> {}
// SAFETY: As above.
unsafe impl<const N: usize> Sync for Counters<N> {}

impl<const N: usize> Counters<N> {
    /// All zero. May sleep.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub fn new() -> Result<Self> {
        // SAFETY: No requirement; null is checked.
        let ptr = unsafe { bindings::tcp_splice_counters_alloc(N as u32) };
        if ptr.is_null() {
            return Err(ENOMEM);
        }
        Ok(Counters(ptr))
    }

    /// Counts one. Any context. Out of range counts nothing.
    #[inline]
    pub fn inc(&self, i: usize) {
        if i < N {
            // SAFETY: `i` is within the allocation.
            unsafe { bindings::tcp_splice_counters_inc(self.0, i as u32) };
        }
    }

    /// Counts this CPU's copy, and says what it was before. In packet context. Out of range is 0.
    #[inline]
    pub fn next(&self, i: usize) -> u64 {
        if i >= N {
            return 0;
        }
        // SAFETY: `i` is within the allocation.
        unsafe { bindings::tcp_splice_counters_next(self.0, i as u32) }
    }

    /// The sum over all CPUs. Any context.
    pub fn sum(&self, i: usize) -> u64 {
        if i >= N {
            return 0;
        }
        // SAFETY: `i` is within the allocation.
        unsafe { bindings::tcp_splice_counters_sum(self.0, i as u32) }
    }
}

impl<const N: usize> Drop for Counters<N> {
    fn drop(&mut self) {
        // SAFETY: Allocated in `new` and freed once.
        unsafe { bindings::tcp_splice_counters_free(self.0) };
    }
}
