// SPDX-License-Identifier: GPL-2.0

//! The route of a flow, kept from packet to packet.
//!
//! C header: [`include/net/dst.h`](srctree/include/net/dst.h)

use crate::bindings;
use core::{cell::UnsafeCell, ptr};

/// The route by which packets left last, or none: for one destination and one mark. The kernel says when it does not hold any more
/// (`dst_check()`), as it does to a socket, which keeps its route as well.
///
/// # Invariants
///
/// The pointer is null or of a `tcp_splice_way` that only this has; what was taken out of here is freed after a grace period.
pub struct LastRoute(UnsafeCell<*mut bindings::tcp_splice_way>);

// SAFETY: The pointer is read and exchanged as a whole by `tcp_splice_route_again`; what it points to does not change.
unsafe impl Send for LastRoute {}
// SAFETY: As above.
unsafe impl Sync for LastRoute {}

impl Default for LastRoute {
    /// None yet.
    fn default() -> Self {
        // INVARIANT: Null.
        LastRoute(UnsafeCell::new(ptr::null_mut()))
    }
}

impl LastRoute {
    /// For the C side.
    #[inline]
    pub(super) fn as_raw(&self) -> *mut *mut bindings::tcp_splice_way {
        self.0.get()
    }
}

impl Drop for LastRoute {
    fn drop(&mut self) {
        let way = *self.0.get_mut();
        if !way.is_null() {
            // SAFETY: By the invariants ours, and nobody reads it: whoever would holds on to this.
            unsafe { bindings::tcp_splice_way_free(way) };
        }
    }
}
