// SPDX-License-Identifier: GPL-2.0

//! Holding the module: while it is held, it cannot be unloaded.
//!
//! C header: [`include/linux/module.h`](srctree/include/linux/module.h)

use crate::bindings;
use kernel::prelude::*;

/// A hold on the module.
pub struct ModuleHold(&'static ThisModule);

impl ModuleHold {
    /// Takes a hold.
    ///
    /// # Errors
    ///
    /// `ENODEV` if the module is being unloaded.
    pub fn new(module: &'static ThisModule) -> Result<Self> {
        // SAFETY: The module's code is running.
        if unsafe { bindings::tcp_splice_module_get(module.as_ptr()) } {
            Ok(ModuleHold(module))
        } else {
            Err(ENODEV)
        }
    }
}

impl Drop for ModuleHold {
    fn drop(&mut self) {
        // SAFETY: Taken in `new`.
        unsafe { bindings::tcp_splice_module_put(self.0.as_ptr()) };
    }
}
