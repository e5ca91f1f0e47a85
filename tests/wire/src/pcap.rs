// SPDX-License-Identifier: GPL-2.0

//! The classic capture file, as tcpdump writes it.

use std::fmt;

/// One captured frame.
pub(crate) struct Frame<'a> {
    /// Time of capture, in microseconds.
    pub(crate) micros: u64,
    /// What was captured; shorter than `len` when the capture was cut.
    pub(crate) bytes: &'a [u8],
    /// Length on the wire.
    pub(crate) len: usize,
}

/// Why a file is not a capture.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct BadCapture(&'static str);

impl fmt::Display for BadCapture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

const ETHERNET: u32 = 1;

/// Reads every whole frame of `file`. A last frame that was cut off by the end of the program that
/// captured it is left out.
pub(crate) fn frames(file: &[u8]) -> Result<impl Iterator<Item = Frame<'_>>, BadCapture> {
    let word = |at: usize, big: bool| -> Option<u32> {
        let b: [u8; 4] = file.get(at..at + 4)?.try_into().ok()?;
        Some(if big {
            u32::from_be_bytes(b)
        } else {
            u32::from_le_bytes(b)
        })
    };
    let (big, nanos) = match word(0, false) {
        Some(0xa1b2_c3d4) => (false, false),
        Some(0xa1b2_3c4d) => (false, true),
        Some(0xd4c3_b2a1) => (true, false),
        Some(0x4d3c_b2a1) => (true, true),
        _ => return Err(BadCapture("not a capture file")),
    };
    match word(20, big) {
        Some(ETHERNET) => {}
        Some(_) => return Err(BadCapture("link type is not Ethernet")),
        None => return Err(BadCapture("no whole header")),
    }
    let mut at = 24;
    Ok(std::iter::from_fn(move || {
        let field = |i: usize| word(at + 4 * i, big);
        let (sec, sub, cap, len) = (field(0)?, field(1)?, field(2)? as usize, field(3)? as usize);
        let bytes = file.get(at + 16..at + 16 + cap)?;
        at += 16 + cap;
        let sub = u64::from(if nanos { sub / 1000 } else { sub });
        Some(Frame {
            micros: u64::from(sec) * 1_000_000 + sub,
            bytes,
            len,
        })
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(crate) fn header() -> Vec<u8> {
        let mut f = 0xa1b2_c3d4_u32.to_le_bytes().to_vec();
        f.extend([2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 1, 0, 0, 0]);
        f
    }

    #[test]
    fn whole_frames_only() {
        let mut f = header();
        for _ in 0..2 {
            for w in [7_u32, 5, 3, 60] {
                f.extend(w.to_le_bytes());
            }
            f.extend([1, 2, 3]);
        }
        f.truncate(f.len() - 1);
        let got: Vec<_> = frames(&f).unwrap().collect();
        assert_eq!(got.len(), 1);
        assert_eq!(
            (got[0].micros, got[0].bytes, got[0].len),
            (7_000_005, &[1, 2, 3][..], 60)
        );
    }

    #[test]
    fn not_a_capture() {
        assert!(frames(b"hello").is_err());
        let mut f = header();
        f[20] = 113;
        assert!(frames(&f).is_err());
    }
}
