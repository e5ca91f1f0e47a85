// SPDX-License-Identifier: GPL-2.0

//! Sequence numbers and their order (RFC 9293, section 3.4).

/// A TCP sequence number, in host order.
///
/// Numbers are taken modulo 2^32. Of two numbers less than 2^31 apart, one is before the other;
/// of two that are exactly 2^31 apart each is before the other, as with the kernel's `before()`.
#[repr(transparent)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Seq(pub u32);

impl Seq {
    /// The number `n` bytes further on.
    #[inline]
    pub const fn add(self, n: u32) -> Seq {
        Seq(self.0.wrapping_add(n))
    }

    /// The number `n` bytes back.
    #[inline]
    pub const fn sub(self, n: u32) -> Seq {
        Seq(self.0.wrapping_sub(n))
    }

    /// How many bytes one has to go on from `earlier` to come here: `self - earlier`, wrapping.
    #[inline]
    pub const fn distance(self, earlier: Seq) -> u32 {
        self.0.wrapping_sub(earlier.0)
    }

    /// Whether `self` stands before `o`.
    #[inline]
    pub const fn before(self, o: Seq) -> bool {
        // The sign bit of the difference, as the kernel's before() does it.
        self.distance(o) >= 0x8000_0000
    }

    /// Whether `self` stands after `o`.
    #[inline]
    pub const fn after(self, o: Seq) -> bool {
        o.before(self)
    }

    /// Whether `self` is `o` or stands after it.
    #[inline]
    pub const fn at_or_after(self, o: Seq) -> bool {
        !self.before(o)
    }

    /// The later of two numbers.
    #[inline]
    pub const fn max(self, o: Seq) -> Seq {
        if self.before(o) {
            o
        } else {
            self
        }
    }

    /// Whether `self` is one of the numbers `from ..= from + len`.
    #[inline]
    pub const fn within(self, from: Seq, len: u32) -> bool {
        self.distance(from) <= len
    }
}
