// SPDX-License-Identifier: GPL-2.0

//! Numbers that make sense.

/// One that does not.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} has to be {range}")]
pub struct OutOfRange {
    pub what: &'static str,
    pub range: &'static str,
}

/// Refuses a value below `least` or above `most`, and what is no number.
pub(crate) fn inside(
    what: &'static str,
    value: f64,
    least: f64,
    most: f64,
    range: &'static str,
) -> Result<(), OutOfRange> {
    if value >= least && value <= most {
        Ok(())
    } else {
        Err(OutOfRange { what, range })
    }
}
