// SPDX-License-Identifier: GPL-2.0

//! `rust/net/rhashtable.rs` as a list.

use core::{cell::RefCell, marker::PhantomData, ops::Deref};
use kernel::{
    prelude::*,
    sync::{rcu, Arc},
};

/// A key with what belongs to it.
pub struct Entry<K, V, O> {
    key: K,
    value: V,
    owner: PhantomData<O>,
}

impl<K, V, O> Entry<K, V, O> {
    /// An entry in no table.
    pub fn new(key: K, value: V) -> Self {
        Entry {
            key,
            value,
            owner: PhantomData,
        }
    }

    /// The key.
    pub fn key(&self) -> &K {
        &self.key
    }
}

impl<K, V, O> Deref for Entry<K, V, O> {
    type Target = V;
    fn deref(&self) -> &V {
        &self.value
    }
}

/// Which entry of its owner is meant.
pub type Pick<K, V, O> = fn(&O) -> &Entry<K, V, O>;

/// The table. Owners live for ever.
pub struct Table<K, V, O: 'static>(RefCell<Vec<Listed<K, V, O>>>);

type Listed<K, V, O> = (&'static Arc<O>, Pick<K, V, O>);

impl<K: PartialEq, V, O> Table<K, V, O> {
    /// An empty table.
    #[expect(clippy::new_without_default, reason = "as the kernel's")]
    pub fn new() -> Self {
        Table(RefCell::new(Vec::new()))
    }

    /// The entry with this key, and its owner.
    pub fn lookup<'g>(
        &self,
        key: &K,
        _guard: &'g rcu::Guard,
    ) -> Option<(&'g O, &'g Entry<K, V, O>)> {
        let entries = self.0.borrow();
        let mut found = entries.iter().map(|(owner, pick)| (&***owner, pick(owner)));
        found.find(|(_, entry)| entry.key == *key)
    }

    /// The owner of the entry with this key.
    pub fn owner(&self, key: &K) -> Option<Arc<O>> {
        let entries = self.0.borrow();
        let mut found = entries.iter();
        found
            .find(|(owner, pick)| pick(owner).key == *key)
            .map(|(owner, _)| (*owner).clone())
    }

    /// Puts an entry of `owner` in.
    ///
    /// # Errors
    ///
    /// `EEXIST` if the key is there.
    pub fn insert(&self, owner: &Arc<O>, pick: Pick<K, V, O>) -> Result {
        let guard = rcu::read_lock();
        if self.lookup(pick(owner).key(), &guard).is_some() {
            return Err(EEXIST);
        }
        // The table's reference; a grace period is longer than any test.
        let owner: &'static Arc<O> = Box::leak(Box::new(owner.clone()));
        self.0.borrow_mut().push((owner, pick));
        Ok(())
    }

    /// Takes one out.
    pub fn remove(&self, owner: &O, pick: Pick<K, V, O>) -> bool {
        let mut entries = self.0.borrow_mut();
        let before = entries.len();
        entries.retain(|(other, other_pick)| {
            !core::ptr::eq(&***other, owner) || other_pick(other).key != pick(owner).key
        });
        entries.len() < before
    }
}
