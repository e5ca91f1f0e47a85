// SPDX-License-Identifier: GPL-2.0

//! `tcp_splice.h`: the crate `tcp_splice`, for C. The header says what each function does.

pub mod events;
pub mod kernel;

use rustix::io::Errno;
use tcp_splice::Error;

/// What a C function returns for this: a negative errno.
fn negative(error: &Error) -> i32 {
    -error.errno().unwrap_or(Errno::IO.raw_os_error())
}
