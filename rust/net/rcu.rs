// SPDX-License-Identifier: GPL-2.0

//! What the packet path may still be reading is dropped after a grace period.
//!
//! C header: [`include/linux/rcupdate.h`](srctree/include/linux/rcupdate.h)

use core::cell::UnsafeCell;
use kernel::{bindings as kb, sync::Arc, types::Opaque};

/// A reference to a `T` that is waiting to be dropped; embedded in what was read under RCU.
#[repr(C)]
pub(super) struct Deferred<T> {
    head: Opaque<kb::callback_head>,
    owner: UnsafeCell<*const T>,
}

// SAFETY: Only `drop_after_grace_period` touches the fields, once at a time by its contract.
unsafe impl<T: Send + Sync> Send for Deferred<T> {}
// SAFETY: As above.
unsafe impl<T: Send + Sync> Sync for Deferred<T> {}

impl<T> Deferred<T> {
    /// Not used yet.
    pub(super) const fn new() -> Self {
        Deferred {
            head: Opaque::uninit(),
            owner: UnsafeCell::new(core::ptr::null()),
        }
    }

    /// # Safety
    ///
    /// Called by RCU with the head of a `Deferred<T>` given to `call_rcu`.
    unsafe extern "C" fn callback(head: *mut kb::callback_head) {
        // SAFETY: `head` is the first field of a `Deferred<T>` whose owner was set.
        let owner = unsafe { *(*head.cast::<Deferred<T>>()).owner.get() };
        // SAFETY: The reference was given away by `drop_after_grace_period`.
        drop(unsafe { Arc::from_raw(owner) });
    }

    /// Says which `T` this is a part of.
    ///
    /// # Safety
    ///
    /// `self` is not in use by anybody else yet.
    pub(super) unsafe fn set_owner(&self, owner: &Arc<T>) {
        // SAFETY: By contract nobody reads it.
        unsafe { *self.owner.get() = Arc::as_ptr(owner) };
    }

    /// What this is a part of.
    ///
    /// # Safety
    ///
    /// The owner was set and is alive.
    #[inline]
    pub(super) unsafe fn owner(&self) -> &T {
        // SAFETY: By contract.
        unsafe { &**self.owner.get() }
    }

    /// Drops a reference to the owner after a grace period, in softirq: `T`'s drop must not sleep.
    /// Any context.
    ///
    /// # Safety
    ///
    /// The owner was set, the caller gives one reference to it away, and this is called once.
    pub(super) unsafe fn drop_after_grace_period(&self) {
        // SAFETY: The head stays valid until the callback: the reference given away keeps it alive.
        unsafe { kb::call_rcu(self.head.get(), Some(Self::callback)) };
    }
}

/// Waits until every packet that was on its way through a hook has left it. May sleep.
///
/// Expedited: a splice is armed while its packets are held, so a long wait is latency of a connection.
pub fn synchronize_net() {
    // SAFETY: No requirement but that sleeping is allowed.
    unsafe { kb::synchronize_rcu_expedited() };
}

/// Waits for all deferred drops that are pending. May sleep.
pub fn barrier() {
    // SAFETY: As above.
    unsafe { kb::rcu_barrier() };
}
