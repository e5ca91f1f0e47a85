// SPDX-License-Identifier: GPL-2.0

//! Bindings that bindgen makes at build time, beside those of the `kernel` crate.
//!
//! Only [`crate::net`] uses them.

#![allow(
    clippy::all,
    clippy::cast_lossless,
    clippy::ptr_as_ptr,
    clippy::undocumented_unsafe_blocks,
    missing_docs,
    non_camel_case_types,
    non_upper_case_globals,
    non_snake_case,
    dead_code,
    improper_ctypes,
    unreachable_pub,
    unsafe_op_in_unsafe_fn
)]

use kernel::{
    bindings::*,
    ffi, //
};

include!("bindings_generated.rs");
