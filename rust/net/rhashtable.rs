// SPDX-License-Identifier: GPL-2.0

//! A resizable hash table of reference-counted entries, read under RCU without a lock.
//!
//! C header: [`include/linux/rhashtable.h`](srctree/include/linux/rhashtable.h)

use super::rcu::Deferred;
use crate::bindings;
use core::marker::PhantomData;
use kernel::{
    bindings as kb,
    error::to_result,
    prelude::*,
    sync::{rcu, Arc},
    types::Opaque,
};

/// What an entry embeds: the link, then the key, as the C parameters in `helpers/rhashtable.c` say.
///
/// # Invariants
///
/// The key never changes.
#[repr(C)]
pub struct Node<K, O> {
    head: Opaque<kb::rhash_head>,
    key: K,
    removed: Deferred<O>,
}

// SAFETY: The link is only touched by the table, under its own locks and RCU.
unsafe impl<K: Send, O: Send + Sync> Send for Node<K, O> {}
// SAFETY: As above.
unsafe impl<K: Sync, O: Send + Sync> Sync for Node<K, O> {}

impl<K: Copy, O> Node<K, O> {
    /// A node with its key, in no table.
    pub fn new(key: K) -> Self {
        Node {
            head: Opaque::new(kb::rhash_head {
                next: core::ptr::null_mut(),
            }),
            key,
            removed: Deferred::new(),
        }
    }

    /// The key.
    #[inline]
    pub fn key(&self) -> &K {
        &self.key
    }
}

/// Keys that are hashed and compared as memory.
///
/// # Safety
///
/// Without padding, and equal as values just when equal byte by byte.
pub unsafe trait Key: Copy + Send + Sync {}

// SAFETY: `FlowKey` is `repr(C)`, 16 + 16 + 2 + 2 + 4 bytes without padding, with unused bytes zero.
unsafe impl Key for crate::xlate::key::FlowKey {}

/// A [`Node`] with what belongs to it. The node is the first field, so that one is found by the other.
#[repr(C)]
pub struct Entry<K, V, O> {
    node: Node<K, O>,
    value: V,
}

impl<K: Key, V, O> Entry<K, V, O> {
    /// An entry in no table.
    pub fn new(key: K, value: V) -> Self {
        Entry {
            node: Node::new(key),
            value,
        }
    }

    /// The key.
    #[inline]
    pub fn key(&self) -> &K {
        self.node.key()
    }
}

impl<K, V, O> core::ops::Deref for Entry<K, V, O> {
    type Target = V;
    #[inline]
    fn deref(&self) -> &V {
        &self.value
    }
}

/// Which entry of its owner is meant: the owner of an entry is what is counted.
pub type Pick<K, V, O> = fn(&O) -> &Entry<K, V, O>;

/// The table. Entries are parts of reference-counted owners; the table holds one reference for
/// each entry, and gives it back a grace period after the entry was removed.
pub struct Table<K: Key, V, O> {
    ht: Pin<KBox<Opaque<kb::rhashtable>>>,
    _entries: PhantomData<Entry<K, V, O>>,
}

// SAFETY: rhashtable is made for concurrent use.
unsafe impl<K: Key, V: Send + Sync, O: Send + Sync> Send for Table<K, V, O> {}
// SAFETY: As above.
unsafe impl<K: Key, V: Send + Sync, O: Send + Sync> Sync for Table<K, V, O> {}

impl<K: Key, V, O: Send + Sync + 'static> Table<K, V, O> {
    /// An empty table. May sleep.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub fn new() -> Result<Self> {
        const {
            assert!(core::mem::size_of::<K>() == bindings::TCP_SPLICE_KEY_LEN as usize);
        }
        let ht = KBox::pin_init(Opaque::<kb::rhashtable>::zeroed_slot(), GFP_KERNEL)?;
        // SAFETY: `ht` is pinned memory for an rhashtable.
        to_result(unsafe { bindings::tcp_splice_table_init(ht.get()) })?;
        Ok(Table {
            ht,
            _entries: PhantomData,
        })
    }

    /// The entry with this key, and its owner; valid while the RCU read section lasts. Any context.
    #[inline]
    pub fn lookup<'g>(
        &self,
        key: &K,
        _guard: &'g rcu::Guard,
    ) -> Option<(&'g O, &'g Entry<K, V, O>)> {
        let key: *const K = key;
        // SAFETY: The key is `TCP_SPLICE_KEY_LEN` bytes (checked in `new`), and the guard proves
        // that this is an RCU read section.
        let head = unsafe { bindings::tcp_splice_table_lookup(self.ht.get(), key.cast()) };
        // SAFETY: The link is the first field of `Entry`, and the table holds its owner until a
        // grace period after removal.
        let entry = unsafe { head.cast::<Entry<K, V, O>>().as_ref() }?;
        // SAFETY: `insert` set the owner, which the table holds as long as the entry.
        Some((unsafe { entry.node.removed.owner() }, entry))
    }

    /// Puts an entry of `owner` in. Process context or softirq.
    ///
    /// An entry is inserted once in its life.
    ///
    /// # Errors
    ///
    /// `EEXIST` if the key is there; `ENOMEM`, `E2BIG`, `EBUSY` if the table cannot grow.
    pub fn insert(&self, owner: &Arc<O>, pick: Pick<K, V, O>) -> Result {
        let node = &pick(owner).node;
        // SAFETY: The entry is in no table, so nobody else uses the node.
        unsafe { node.removed.set_owner(owner) };
        let head = node.head.get();
        // SAFETY: The entry is in no table, and the reference leaked below keeps it alive in this one.
        to_result(unsafe { bindings::tcp_splice_table_insert(self.ht.get(), head) })?;
        core::mem::forget(owner.clone());
        Ok(())
    }

    /// Takes an entry of `owner` out; `false` if it was not there. Readers may still see it for a
    /// grace period. Process context or softirq.
    pub fn remove(&self, owner: &O, pick: Pick<K, V, O>) -> bool {
        let entry = pick(owner);
        // SAFETY: rhashtable looks the entry up by its key and compares the address.
        if unsafe { bindings::tcp_splice_table_remove(self.ht.get(), entry.node.head.get()) } != 0 {
            return false;
        }
        // SAFETY: `insert` set the owner and leaked the reference given away here; removal succeeds
        // once for an insertion.
        unsafe { entry.node.removed.drop_after_grace_period() };
        true
    }
}

impl<K: Key, V, O> Drop for Table<K, V, O> {
    fn drop(&mut self) {
        // SAFETY: Initialised in `new`; nobody else has the table. May sleep.
        unsafe { bindings::tcp_splice_table_destroy(self.ht.get()) };
    }
}

/// Memory for a C object that its own function initialises.
trait ZeroedSlot: Sized {
    fn zeroed_slot() -> impl PinInit<Self>;
}

impl ZeroedSlot for Opaque<kb::rhashtable> {
    fn zeroed_slot() -> impl PinInit<Self> {
        // SAFETY: The closure writes all of the slot.
        unsafe {
            pin_init::pin_init_from_closure(|slot: *mut Self| {
                core::ptr::write_bytes(slot, 0, 1);
                Ok(())
            })
        }
    }
}
