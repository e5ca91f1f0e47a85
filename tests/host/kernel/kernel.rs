// SPDX-License-Identifier: GPL-2.0

//! As much of the kernel crate as the flow lifecycle and the packet path import, on top of `core`.
//! Names and meanings are the kernel's.

/// What a kernel file imports as a whole.
pub mod prelude {
    pub use kernel_macros::kunit_tests;
}

/// Synchronisation.
pub mod sync {
    /// Atomic words.
    pub mod atomic {
        use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

        /// An ordering of memory accesses.
        pub trait Order {
            /// As core has it.
            const ORDER: Ordering;
            /// That of a load which is part of it.
            const LOAD: Ordering;
        }

        /// None.
        pub struct Relaxed;
        /// Of a load.
        pub struct Acquire;
        /// Of both.
        pub struct Full;

        impl Order for Relaxed {
            const ORDER: Ordering = Ordering::Relaxed;
            const LOAD: Ordering = Ordering::Relaxed;
        }
        impl Order for Acquire {
            const ORDER: Ordering = Ordering::Acquire;
            const LOAD: Ordering = Ordering::Acquire;
        }
        impl Order for Full {
            const ORDER: Ordering = Ordering::SeqCst;
            const LOAD: Ordering = Ordering::SeqCst;
        }

        /// A word that has an atomic one.
        pub trait Plain: Copy {
            /// The atomic one.
            type Atomic: From<Self>;
            /// What is in it.
            fn load(atomic: &Self::Atomic, order: Ordering) -> Self;
            /// Puts something else in.
            fn store(self, atomic: &Self::Atomic, order: Ordering);
            /// Adds, wrapping.
            fn add(self, atomic: &Self::Atomic, order: Ordering);
            /// Puts `self` in if `old` is in it; what is in it instead is the error.
            fn exchange(
                self,
                old: Self,
                atomic: &Self::Atomic,
                order: Ordering,
                load: Ordering,
            ) -> Result<Self, Self>;
        }

        macro_rules! plain {
            ($word:ty, $atomic:ty) => {
                impl Plain for $word {
                    type Atomic = $atomic;
                    fn load(atomic: &$atomic, order: Ordering) -> Self {
                        atomic.load(order)
                    }
                    fn store(self, atomic: &$atomic, order: Ordering) {
                        atomic.store(self, order);
                    }
                    fn add(self, atomic: &$atomic, order: Ordering) {
                        atomic.fetch_add(self, order);
                    }
                    fn exchange(
                        self,
                        old: Self,
                        atomic: &$atomic,
                        order: Ordering,
                        load: Ordering,
                    ) -> Result<Self, Self> {
                        atomic.compare_exchange(old, self, order, load)
                    }
                }
            };
        }

        plain!(u32, AtomicU32);
        plain!(u64, AtomicU64);

        /// An atomic word.
        pub struct Atomic<T: Plain>(T::Atomic);

        impl<T: Plain> Atomic<T> {
            /// With this in it.
            pub fn new(value: T) -> Self {
                Self(value.into())
            }

            /// What is in it.
            pub fn load<O: Order>(&self, _: O) -> T {
                T::load(&self.0, O::ORDER)
            }

            /// Puts something else in.
            pub fn store<O: Order>(&self, value: T, _: O) {
                value.store(&self.0, O::ORDER);
            }

            /// Adds, wrapping.
            pub fn add<O: Order>(&self, value: T, _: O) {
                value.add(&self.0, O::ORDER);
            }

            /// Puts `new` in if `old` is in it.
            ///
            /// # Errors
            ///
            /// What is in it instead.
            pub fn cmpxchg<O: Order>(&self, old: T, new: T, _: O) -> Result<T, T> {
                new.exchange(old, &self.0, O::ORDER, O::LOAD)
            }
        }
    }

    /// Read-copy-update.
    pub mod rcu {
        /// Says that this is a read section.
        pub struct Guard(());

        /// Begins one.
        pub fn read_lock() -> Guard {
            Guard(())
        }
    }
}
