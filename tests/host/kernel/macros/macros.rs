// SPDX-License-Identifier: GPL-2.0

//! The attribute of KUnit suites: on the host they are ordinary tests.

use proc_macro::TokenStream;

/// Makes a module of tests one of the host's.
#[proc_macro_attribute]
pub fn kunit_tests(_suite: TokenStream, module: TokenStream) -> TokenStream {
    let mut out: TokenStream = "#[cfg(test)]".parse().expect("an attribute");
    out.extend(module);
    out
}
