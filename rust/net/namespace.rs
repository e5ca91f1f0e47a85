// SPDX-License-Identifier: GPL-2.0

//! Network namespaces and state that lives as long as one of them.
//!
//! C header: [`include/net/net_namespace.h`](srctree/include/net/net_namespace.h)

use crate::bindings;
use core::marker::PhantomData;
use kernel::{
    bindings as kb,
    error::{from_result, to_result},
    ffi::{c_int, c_void},
    prelude::*,
    sync::Arc,
    types::Opaque,
};

/// A network namespace (`struct net`).
#[repr(transparent)]
pub struct Namespace(Opaque<kb::net>);

// SAFETY: `struct net` is shared between CPUs by design; nothing here hands out its fields.
unsafe impl Sync for Namespace {}

impl Namespace {
    /// Views a raw pointer.
    ///
    /// # Safety
    ///
    /// `ptr` is a `struct net` whose memory outlives `'a`.
    pub(super) unsafe fn from_raw<'a>(ptr: *mut kb::net) -> &'a Namespace {
        // SAFETY: `Namespace` is transparent over `net`; validity is the caller's promise.
        unsafe { &*ptr.cast() }
    }

    pub(super) fn as_raw(&self) -> *mut kb::net {
        self.0.get()
    }
}

/// State kept for every network namespace.
pub trait PerNet: Sized + Send + Sync + 'static {
    /// Makes the state of a new namespace. May sleep. `net` is not to be used after
    /// [`PerNet::end`].
    ///
    /// # Errors
    ///
    /// Any error refuses the namespace.
    fn new(net: &'static Namespace) -> Result<Arc<Self>>;

    /// The namespace, or the module, ends: no new packet reaches the state after this and a grace
    /// period, which passes before [`PerNet::end`]. May sleep.
    fn stop(&self);

    /// Tears down what the state holds. May sleep.
    fn end(&self);
}

/// The place of `T` in every namespace: a static of the module.
///
/// # Invariants
///
/// While registered, the cell of every live namespace is null or holds an `Arc<T>` given away.
pub struct Slot<T> {
    id: Opaque<core::ffi::c_uint>,
    ops: Opaque<kb::pernet_operations>,
    _state: PhantomData<T>,
}

// SAFETY: `id` and `ops` are written by registration only, which holds the kernel's own lock.
unsafe impl<T> Sync for Slot<T> {}

/// A state that has a [`Slot`]: ties the callbacks below to the static that owns the id.
pub trait HasSlot: PerNet {
    /// The static slot of this type.
    fn slot() -> &'static Slot<Self>;
}

impl<T> Default for Slot<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> Slot<T> {
    /// For a static.
    pub const fn new() -> Self {
        Slot {
            id: Opaque::new(0),
            // SAFETY: All-zero is a valid `pernet_operations`: null pointers and no callbacks.
            ops: Opaque::new(unsafe { core::mem::zeroed() }),
            _state: PhantomData,
        }
    }
}

/// # Safety
///
/// `net` is live and `T` is registered.
unsafe fn cell<T: HasSlot>(net: *mut kb::net) -> *mut *const T {
    // SAFETY: `id` is set by registration before any callback runs; the cell has the size of a
    // pointer, as registration asked.
    unsafe { bindings::tcp_splice_net_generic(net, *T::slot().id.get()) }.cast()
}

/// The state of `net`. For handlers of requests from `net` and for hooks in it, while `T` is registered; any context. `None` if the
/// namespace is ending.
pub fn state<T: HasSlot>(net: &Namespace) -> Option<Arc<T>> {
    // SAFETY: The cell is zeroed by the kernel; `init` and `exit` write it, and neither runs while
    // a socket of the namespace asks, nor while a hook of the state does, which `pre_exit` takes out a grace period earlier.
    let ptr = unsafe { *cell::<T>(net.as_raw()) };
    if ptr.is_null() {
        return None;
    }
    // SAFETY: By the invariant of `Slot` this is an `Arc` given away, whose reference stays.
    let held = core::mem::ManuallyDrop::new(unsafe { Arc::from_raw(ptr) });
    Some((*held).clone())
}

/// # Safety
///
/// Called by the kernel for a new namespace, once.
unsafe extern "C" fn init<T: HasSlot>(net: *mut kb::net) -> c_int {
    from_result(|| {
        // SAFETY: Called with a namespace that outlives `exit`.
        let state = T::new(unsafe { Namespace::from_raw(net) })?;
        // SAFETY: The namespace is live, and nobody asks in it yet.
        unsafe { *cell::<T>(net) = Arc::into_raw(state) };
        Ok(0)
    })
}

/// # Safety
///
/// Called by the kernel for a namespace that ends, before `exit`.
unsafe extern "C" fn pre_exit<T: HasSlot>(net: *mut kb::net) {
    // SAFETY: The cell holds null or a live value until `exit`.
    if let Some(state) = unsafe { (*cell::<T>(net)).as_ref() } {
        state.stop();
    }
}

/// # Safety
///
/// Called by the kernel for a namespace that ends, once.
unsafe extern "C" fn exit<T: HasSlot>(net: *mut kb::net) {
    // SAFETY: The namespace is live; this is the last callback for it.
    let ptr = unsafe { core::mem::replace(&mut *cell::<T>(net), core::ptr::null()) };
    if !ptr.is_null() {
        // SAFETY: Given away in `init`.
        unsafe { Arc::from_raw(ptr) }.end();
    }
}

/// Keeps `T` in every namespace, present and future, until dropped. May sleep.
pub struct Registration<T: HasSlot>(PhantomData<T>);

impl<T: HasSlot> Registration<T> {
    /// Makes the state of all namespaces. Call once.
    ///
    /// # Errors
    ///
    /// `ENOMEM`, or what [`PerNet::new`] says.
    pub fn new() -> Result<Self> {
        let slot = T::slot();
        let ops = slot.ops.get();
        // SAFETY: Not registered yet, so nobody else reads the ops. The id and size fields are
        // const in C only against later writes.
        unsafe {
            (*ops).init = Some(init::<T>);
            (*ops).pre_exit = Some(pre_exit::<T>);
            (*ops).exit = Some(exit::<T>);
            (*ops).id = slot.id.get();
            (*ops).size = core::mem::size_of::<*mut c_void>();
            to_result(kb::register_pernet_subsys(ops))?;
        }
        Ok(Registration(PhantomData))
    }
}

impl<T: HasSlot> Drop for Registration<T> {
    fn drop(&mut self) {
        // SAFETY: Registered in `new`.
        unsafe { kb::unregister_pernet_subsys(T::slot().ops.get()) };
    }
}
