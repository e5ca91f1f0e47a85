// SPDX-License-Identifier: GPL-2.0

//! The kernel, as far as a packet sees of it.

pub mod birth;
pub mod forward;
pub mod netfilter;
pub mod rhashtable;
pub mod skbuff;
pub mod socket;
pub mod time;
pub mod workqueue;

#[path = "../../../../../rust/net/leg.rs"]
pub mod leg;

/// Routes.
pub mod route {
    /// There is one.
    #[derive(Default)]
    pub struct LastRoute(());
}

/// The module stays.
pub mod module {
    use kernel::prelude::*;

    /// A reference to it.
    pub struct ModuleHold(());

    impl ModuleHold {
        /// Takes one.
        ///
        /// # Errors
        ///
        /// Never.
        pub fn new(_module: &'static ThisModule) -> Result<ModuleHold> {
            Ok(ModuleHold(()))
        }
    }
}

/// Read-copy-update.
pub mod rcu {
    use std::cell::RefCell;

    thread_local! {
        static MEANWHILE: RefCell<Option<Box<dyn FnOnce()>>> = const { RefCell::new(None) };
    }

    /// What happens during the next grace period.
    pub fn meanwhile(what: impl FnOnce() + 'static) {
        MEANWHILE.set(Some(Box::new(what)));
    }

    /// Waits until whoever handles a packet now is done.
    pub fn synchronize_net() {
        if let Some(what) = MEANWHILE.take() {
            what();
        }
    }
}
