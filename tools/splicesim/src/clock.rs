// SPDX-License-Identifier: GPL-2.0

//! Simulated time of the packet level: whole picoseconds, so that a run is the same on every machine.

/// A moment, or a span: picoseconds. Enough for 213 days.
pub type Ps = u64;

/// Picoseconds of a microsecond.
pub const MICROSECOND: Ps = 1_000_000;
/// Picoseconds of a millisecond.
pub const MILLISECOND: Ps = 1_000 * MICROSECOND;
/// Picoseconds of a second.
pub const SECOND: Ps = 1_000 * MILLISECOND;

/// Seconds as picoseconds, to the nearest; what is negative or too long is the nearest that there is.
pub fn from_seconds(seconds: f64) -> Ps {
    // A cast of a float saturates.
    (seconds * SECOND as f64).round() as Ps
}

/// Picoseconds as seconds.
pub fn seconds(time: Ps) -> f64 {
    time as f64 / SECOND as f64
}
