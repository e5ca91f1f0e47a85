// SPDX-License-Identifier: GPL-2.0

//! What the packet path may still be reading is dropped after a grace period.
//!
//! C header: [`include/linux/rcupdate.h`](srctree/include/linux/rcupdate.h)

use core::{cell::UnsafeCell, marker::PhantomData, mem::ManuallyDrop};
use kernel::{
    bindings as kb,
    sync::{
        atomic::{Acquire, Atomic, Full, Relaxed},
        rcu, Arc,
    },
    types::Opaque,
};

/// A value that is read without a lock and replaced as a whole; or none.
///
/// # Invariants
///
/// The pointer is null or of an `Arc<T>` given away. What was taken out of here is dropped after a grace period only.
pub struct Published<T>(Atomic<*mut T>, PhantomData<Arc<T>>);

// SAFETY: Whoever has this can get an `Arc<T>` on any CPU.
unsafe impl<T: Send + Sync> Send for Published<T> {}
// SAFETY: As above.
unsafe impl<T: Send + Sync> Sync for Published<T> {}

impl<T> Default for Published<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> Published<T> {
    /// None.
    pub const fn new() -> Self {
        Published(Atomic::new(core::ptr::null_mut()), PhantomData)
    }

    /// Whether there is none. Any context.
    #[inline]
    pub fn is_none(&self) -> bool {
        self.0.load(Relaxed).is_null()
    }

    /// The value as it is now. Any context.
    #[inline]
    pub fn get<'a>(&'a self, _guard: &'a rcu::Guard) -> Option<&'a T> {
        // SAFETY: Null, or alive until a grace period after it is replaced, and so for as long as the guard.
        unsafe { self.0.load(Acquire).as_ref() }
    }

    /// The value as it is now, to keep. Any context.
    pub fn cloned(&self) -> Option<Arc<T>> {
        let guard = rcu::read_lock();
        let ptr = core::ptr::from_ref(self.get(&guard)?);
        // SAFETY: By the invariants an `Arc` given away, whose reference stays for as long as the guard.
        let held = ManuallyDrop::new(unsafe { Arc::from_raw(ptr) });
        Some((*held).clone())
    }

    /// Puts another value in its place. May sleep: nobody reads the old one any more when this returns.
    pub fn replace(&self, new: Option<Arc<T>>) {
        let new = new.map_or(core::ptr::null_mut(), |new| Arc::into_raw(new).cast_mut());
        let old = self.0.xchg(new, Full);
        if !old.is_null() {
            synchronize_net();
            // SAFETY: Given away, and nobody can find it any more.
            drop(unsafe { Arc::from_raw(old) });
        }
    }
}

impl<T> Drop for Published<T> {
    fn drop(&mut self) {
        let ptr = self.0.load(Relaxed);
        if !ptr.is_null() {
            // SAFETY: Given away; who reads this holds on to it, and nobody does.
            drop(unsafe { Arc::from_raw(ptr) });
        }
    }
}

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
