// SPDX-License-Identifier: GPL-2.0

//! As much of the kernel crate as the flow lifecycle and the packet path import, on top of `core`.
//! Names and meanings are the kernel's.

pub use core::fmt;

/// Error numbers.
pub mod error {
    /// An error number.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub struct Error(i32);

    /// The result of what may fail.
    pub type Result<T = (), E = Error> = core::result::Result<T, E>;

    /// There is no memory. It does not happen here.
    #[derive(Debug)]
    pub struct AllocError(());

    impl From<AllocError> for Error {
        fn from(_: AllocError) -> Self {
            code::ENOMEM
        }
    }

    macro_rules! errno {
        ($($name:ident = $number:literal)*) => {
            /// Those there are.
            pub mod code {
                $(#[doc = stringify!($name)] pub const $name: super::Error = super::Error($number);)*
            }
        };
    }
    errno!(
        ENOENT = 2 EAGAIN = 11 ENOMEM = 12 EBUSY = 16 EEXIST = 17 EINVAL = 22 EPIPE = 32 EMSGSIZE = 90 EOPNOTSUPP = 95
        EADDRNOTAVAIL = 99 ENETUNREACH = 101 ENOTCONN = 107 ECONNREFUSED = 111
    );
}

/// What a kernel file imports as a whole.
pub mod prelude {
    pub use crate::alloc::KBox;
    pub use crate::error::{code::*, AllocError, Error, Result};
    pub use crate::{fmt, pin_init, GFP_ATOMIC, GFP_KERNEL};
    pub use kernel_macros::{kunit_tests, pin_data};

    /// The module.
    pub struct ThisModule;
}

/// Memory.
pub mod alloc {
    /// How to get it.
    pub type Flags = ();

    use crate::error::AllocError;
    use core::{
        mem::MaybeUninit,
        ops::{Deref, DerefMut},
    };

    /// A value somewhere else.
    pub struct KBox<T>(Box<T>);

    impl<T> KBox<T> {
        /// Puts it there.
        ///
        /// # Errors
        ///
        /// Never.
        pub fn new(value: T, _: ()) -> Result<Self, AllocError> {
            Ok(KBox(Box::new(value)))
        }

        /// Room for one.
        ///
        /// # Errors
        ///
        /// Never.
        pub fn new_uninit(_: ()) -> Result<KBox<MaybeUninit<T>>, AllocError> {
            Ok(KBox(Box::new(MaybeUninit::uninit())))
        }

        /// Takes it out.
        pub fn into_inner(this: Self) -> T {
            *this.0
        }
    }

    impl<T> KBox<MaybeUninit<T>> {
        /// Fills the room.
        pub fn write(self, value: T) -> KBox<T> {
            KBox(Box::new(value))
        }
    }

    impl<T> Deref for KBox<T> {
        type Target = T;
        fn deref(&self) -> &T {
            &self.0
        }
    }

    impl<T> DerefMut for KBox<T> {
        fn deref_mut(&mut self) -> &mut T {
            &mut self.0
        }
    }

    /// A vector.
    pub struct KVec<T>(Vec<T>);

    /// The same: there is only one kind of memory.
    pub type KVVec<T> = KVec<T>;

    impl<T> KVec<T> {
        /// An empty one.
        #[expect(clippy::new_without_default, reason = "as the kernel's")]
        pub fn new() -> Self {
            KVec(Vec::new())
        }

        /// Adds one.
        ///
        /// # Errors
        ///
        /// Never.
        pub fn push(&mut self, value: T, _: ()) -> Result<(), AllocError> {
            self.0.push(value);
            Ok(())
        }

        /// Adds several.
        ///
        /// # Errors
        ///
        /// Never.
        pub fn extend_from_slice(&mut self, values: &[T], _: ()) -> Result<(), AllocError>
        where
            T: Clone,
        {
            self.0.extend_from_slice(values);
            Ok(())
        }
    }

    impl<T> Deref for KVec<T> {
        type Target = [T];
        fn deref(&self) -> &[T] {
            &self.0
        }
    }

    impl<T> DerefMut for KVec<T> {
        fn deref_mut(&mut self) -> &mut [T] {
            &mut self.0
        }
    }

    impl<'a, T> IntoIterator for &'a KVec<T> {
        type Item = &'a T;
        type IntoIter = core::slice::Iter<'a, T>;
        fn into_iter(self) -> Self::IntoIter {
            self.0.iter()
        }
    }
}

/// How to allocate; here there is always memory.
pub const GFP_KERNEL: () = ();

/// Without sleeping.
pub const GFP_ATOMIC: () = ();

/// Formats.
#[macro_export]
macro_rules! fmt {
    ($($args:tt)*) => { core::format_args!($($args)*) };
}

/// Makes a value in place; here, anywhere.
#[macro_export]
macro_rules! pin_init {
    ($name:ident { $($fields:tt)* }) => { $crate::pin_init!(@ $name [] $($fields)*) };
    (@ $name:ident [$($done:tt)*] $field:ident, $($rest:tt)*) => {
        $crate::pin_init!(@ $name [$($done)* $field,] $($rest)*)
    };
    (@ $name:ident [$($done:tt)*] $field:ident : $value:expr, $($rest:tt)*) => {
        $crate::pin_init!(@ $name [$($done)* $field: $value,] $($rest)*)
    };
    (@ $name:ident [$($done:tt)*] $field:ident <- $value:expr, $($rest:tt)*) => {
        $crate::pin_init!(@ $name [$($done)* $field: $value,] $($rest)*)
    };
    (@ $name:ident [$($done:tt)*]) => { $name { $($done)* } };
}

/// A lock.
#[macro_export]
macro_rules! new_spinlock {
    ($value:expr) => {
        $crate::sync::SpinLock::new($value)
    };
}

/// A lock whose holder may sleep; here, the same.
#[macro_export]
macro_rules! new_mutex {
    ($value:expr) => {
        $crate::sync::SpinLock::new($value)
    };
}

/// Synchronisation.
pub mod sync {
    use crate::error::{AllocError, Result};
    use core::ops::Deref;
    use std::sync::{MutexGuard, OnceLock};

    /// A lock whose holder may sleep; here, the same.
    pub type Mutex<T> = SpinLock<T>;

    /// A counted reference.
    pub struct Arc<T>(std::sync::Arc<T>);

    /// The only one.
    pub struct UniqueArc<T>(T);

    impl<T> Arc<T> {
        /// To a new value.
        ///
        /// # Errors
        ///
        /// Never.
        pub fn new(value: T, _: ()) -> Result<Self, AllocError> {
            Ok(Arc(std::sync::Arc::new(value)))
        }
    }

    impl<T> Clone for Arc<T> {
        fn clone(&self) -> Self {
            Arc(self.0.clone())
        }
    }

    impl<T> Deref for Arc<T> {
        type Target = T;
        fn deref(&self) -> &T {
            &self.0
        }
    }

    impl<T> UniqueArc<T> {
        /// To a new value.
        ///
        /// # Errors
        ///
        /// Never.
        pub fn pin_init(value: T, _: ()) -> Result<Self> {
            Ok(UniqueArc(value))
        }
    }

    impl<T> From<UniqueArc<T>> for Arc<T> {
        fn from(value: UniqueArc<T>) -> Self {
            Arc(std::sync::Arc::new(value.0))
        }
    }

    /// A lock. Taken twice, it panics or hangs, as in the kernel.
    pub struct SpinLock<T>(std::sync::Mutex<T>);

    impl<T> SpinLock<T> {
        /// With this in it.
        pub fn new(value: T) -> Self {
            SpinLock(std::sync::Mutex::new(value))
        }

        /// Takes it.
        pub fn lock(&self) -> MutexGuard<'_, T> {
            self.0.lock().expect("nobody has panicked with it")
        }
    }

    /// What is set once.
    pub struct SetOnce<T>(OnceLock<T>);

    impl<T> SetOnce<T> {
        /// Not yet.
        #[expect(clippy::new_without_default, reason = "as the kernel's")]
        pub fn new() -> Self {
            SetOnce(OnceLock::new())
        }

        /// Now.
        pub fn populate(&self, value: T) -> bool {
            self.0.set(value).is_ok()
        }

        /// What it is.
        pub fn as_ref(&self) -> Option<&T> {
            self.0.get()
        }
    }

    /// Barriers between CPUs.
    pub mod barrier {
        pub use super::atomic::Full;

        /// Nothing here runs on two CPUs.
        pub fn smp_mb(_: Full) {}
    }

    /// Atomic words.
    pub mod atomic {
        use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

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
        /// Of a store.
        pub struct Release;
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
        impl Order for Release {
            const ORDER: Ordering = Ordering::Release;
            const LOAD: Ordering = Ordering::Relaxed;
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

        /// A flag.
        pub struct AtomicFlag(AtomicBool);

        impl AtomicFlag {
            /// Set or not.
            pub const fn new(set: bool) -> Self {
                AtomicFlag(AtomicBool::new(set))
            }

            /// Whether it is set.
            pub fn load<O: Order>(&self, _: O) -> bool {
                self.0.load(O::ORDER)
            }

            /// Sets it or not.
            pub fn store<O: Order>(&self, set: bool, _: O) {
                self.0.store(set, O::ORDER);
            }

            /// The same; says what it was.
            pub fn xchg<O: Order>(&self, set: bool, _: O) -> bool {
                self.0.swap(set, O::ORDER)
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
