// SPDX-License-Identifier: GPL-2.0

//! Markers in the stream of instructions.

use std::arch::asm;

/// Code for one number of these.
macro_rules! marker {
    ($n:expr; $($each:literal)*) => {
        match $n {
            // A no-op that the plugin knows by its displacement.
            // SAFETY: It reads and writes nothing.
            $($each => unsafe {
                asm!(".byte 0x0f, 0x1f, 0x84, 0x00, {}, 0x00, 0x5b, 0x7c", const $each, options(nostack, preserves_flags))
            },)*
            n => panic!("no marker {n}"),
        }
    };
}

/// Tells the plugin, if there is one, that this place was passed. One instruction if the number, of 0 to 63, is a constant.
#[inline(always)]
pub(crate) fn passed(n: u8) {
    marker!(n;
        0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31 32
        33 34 35 36 37 38 39 40 41 42 43 44 45 46 47 48 49 50 51 52 53 54 55 56 57 58 59 60 61
        62 63
    );
}
