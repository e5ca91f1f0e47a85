// SPDX-License-Identifier: GPL-2.0

//! Markers in the stream of instructions.

use std::arch::asm;

/// What has come to its end. `tests/bench/report` knows the numbers.
#[derive(Clone, Copy)]
pub(crate) enum Step {
    /// What is not counted.
    Begin,
    Export,
    Carry,
    Import,
    Answer,
    Commit,
    Accept,
    Read,
    PlainConnect,
    PlainAccept,
    PlainWrite,
    PlainRead,
    /// The method itself.
    Nothing,
    /// Connections over this family are counted from here on, and until the end.
    Four,
    Six,
    End,
}

/// A no-op that the plugin knows by its displacement.
macro_rules! marker {
    ($n:literal) => {
        // SAFETY: A no-op, which reads and writes nothing.
        unsafe {
            asm!(".byte 0x0f, 0x1f, 0x84, 0x00, {}, 0x00, 0x5b, 0x7c", const $n, options(nostack, preserves_flags))
        }
    };
}

/// Tells the plugin, if there is one.
#[inline(always)]
pub(crate) fn passed(step: Step) {
    match step {
        Step::Begin => marker!(0),
        Step::Export => marker!(1),
        Step::Carry => marker!(2),
        Step::Import => marker!(3),
        Step::Answer => marker!(4),
        Step::Commit => marker!(5),
        Step::Accept => marker!(6),
        Step::Read => marker!(7),
        Step::PlainConnect => marker!(8),
        Step::PlainAccept => marker!(9),
        Step::PlainWrite => marker!(10),
        Step::PlainRead => marker!(11),
        Step::Nothing => marker!(12),
        Step::Four => marker!(13),
        Step::Six => marker!(14),
        Step::End => marker!(15),
    }
}
