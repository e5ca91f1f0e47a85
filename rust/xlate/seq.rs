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

#[cfg(any(test, CONFIG_KUNIT = "y"))]
#[cfg_attr(CONFIG_KUNIT = "y", kernel::prelude::kunit_tests(tcp_splice_xlate_seq))]
mod tests {
    use super::*;

    #[test]
    fn arithmetic_wraps() {
        assert_eq!(Seq(0xffff_fff0).add(0x20), Seq(0x10));
        assert_eq!(Seq(0x10).sub(0x20), Seq(0xffff_fff0));
        assert_eq!(Seq(0x10).distance(Seq(0xffff_fff0)), 0x20);
    }

    #[test]
    fn order_is_modular() {
        assert!(Seq(0xffff_fff0).before(Seq(0x10)));
        assert!(Seq(0x10).after(Seq(0xffff_fff0)));
        assert!(!Seq(7).before(Seq(7)) && !Seq(7).after(Seq(7)));
        assert!(Seq(7).at_or_after(Seq(7)));
        assert!(Seq(0x10).at_or_after(Seq(0xffff_fff0)));
        assert!(!Seq(0xffff_fff0).at_or_after(Seq(0x10)));
        assert_eq!(Seq(0xffff_fff0).max(Seq(0x10)), Seq(0x10));
        assert_eq!(Seq(0x10).max(Seq(0xffff_fff0)), Seq(0x10));
    }

    #[test]
    fn half_way_round_each_is_before_the_other() {
        assert!(Seq(0).before(Seq(0x8000_0000)));
        assert!(Seq(0x8000_0000).before(Seq(0)));
        assert!(Seq(0).before(Seq(0x7fff_ffff)));
        assert!(!Seq(0x7fff_ffff).before(Seq(0)));
    }

    #[test]
    fn within_takes_both_ends() {
        assert!(Seq(0xffff_ffff).within(Seq(0xffff_ffff), 2));
        assert!(Seq(1).within(Seq(0xffff_ffff), 2));
        assert!(!Seq(2).within(Seq(0xffff_ffff), 2));
        assert!(!Seq(0xffff_fffe).within(Seq(0xffff_ffff), 2));
    }
}
