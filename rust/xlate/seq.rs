// SPDX-License-Identifier: GPL-2.0

//! Sequence numbers and their order (RFC 9293, section 3.4).

/// A word in which numbers wrap.
///
/// The wire has 32 bits. What is done with numbers does not depend on it, so that the host's tests
/// can try all there is in a word of 8.
pub trait Word: Copy + Ord + Into<u32> {
    /// A word of more bits, in which numbers do not wrap for long.
    type Wide: Copy;
    /// Half the way round.
    const HALF: Self;
    /// The sum, wrapping.
    fn wrapping_add(self, n: Self) -> Self;
    /// The difference, wrapping.
    fn wrapping_sub(self, n: Self) -> Self;
    /// The low bits of a wide word.
    fn low(wide: Self::Wide) -> Self;
    /// A wide word, moved on by `self`, wrapping.
    fn onto(self, wide: Self::Wide) -> Self::Wide;
}

macro_rules! word {
    ($word:ty, $wide:ty) => {
        impl Word for $word {
            type Wide = $wide;
            const HALF: Self = 1 << (<$word>::BITS - 1);
            #[inline]
            fn wrapping_add(self, n: Self) -> Self {
                <$word>::wrapping_add(self, n)
            }
            #[inline]
            fn wrapping_sub(self, n: Self) -> Self {
                <$word>::wrapping_sub(self, n)
            }
            #[inline]
            fn low(wide: Self::Wide) -> Self {
                wide as $word
            }
            #[inline]
            fn onto(self, wide: Self::Wide) -> Self::Wide {
                wide.wrapping_add(<$wide>::from(self))
            }
        }
    };
}

word!(u32, u64);
#[cfg(not(CONFIG_RUST))]
word!(u8, u16);

/// A TCP sequence number, in host order.
///
/// Numbers are taken modulo 2^32. Of two numbers less than 2^31 apart, one is before the other;
/// of two that are exactly 2^31 apart each is before the other, as with the kernel's `before()`.
#[repr(transparent)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Seq<W = u32>(pub W);

// An operator would look as if it did not wrap.
#[allow(clippy::should_implement_trait)]
impl<W: Word> Seq<W> {
    /// The number `n` bytes further on.
    #[inline]
    pub fn add(self, n: W) -> Self {
        Seq(self.0.wrapping_add(n))
    }

    /// The number `n` bytes back.
    #[inline]
    pub fn sub(self, n: W) -> Self {
        Seq(self.0.wrapping_sub(n))
    }

    /// How many bytes one has to go on from `earlier` to come here: `self - earlier`, wrapping.
    #[inline]
    pub fn distance(self, earlier: Self) -> W {
        self.0.wrapping_sub(earlier.0)
    }

    /// Whether `self` stands before `o`.
    #[inline]
    pub fn before(self, o: Self) -> bool {
        // The sign bit of the difference, as the kernel's before() does it.
        self.distance(o) >= W::HALF
    }

    /// Whether `self` stands after `o`.
    #[inline]
    pub fn after(self, o: Self) -> bool {
        o.before(self)
    }

    /// Whether `self` is `o` or stands after it.
    #[inline]
    pub fn at_or_after(self, o: Self) -> bool {
        !self.before(o)
    }

    /// The later of two numbers.
    #[inline]
    pub fn max(self, o: Self) -> Self {
        if self.before(o) {
            o
        } else {
            self
        }
    }

    /// Whether `self` is one of the numbers `from ..= from + len`.
    #[inline]
    pub fn within(self, from: Self, len: W) -> bool {
        self.distance(from) <= len
    }

    /// A count of which only the low bits are a sequence number, moved on to this one; `None` if
    /// it is not after it.
    #[inline]
    pub fn extend(self, count: W::Wide) -> Option<W::Wide> {
        let at = Seq(W::low(count));
        self.after(at).then(|| self.distance(at).onto(count))
    }
}

#[cfg(any(test, CONFIG_KUNIT = "y"))]
#[cfg_attr(CONFIG_KUNIT = "y", kernel::prelude::kunit_tests(tcp_splice_xlate_seq))]
mod tests {
    use super::*;

    const LAST: Seq = Seq(0xffff_fff0);
    const FIRST: Seq = Seq(0x10);

    #[test]
    fn arithmetic_wraps() {
        assert_eq!(LAST.add(0x20), FIRST);
        assert_eq!(FIRST.sub(0x20), LAST);
        assert_eq!(FIRST.distance(LAST), 0x20);
    }

    #[test]
    fn order_is_modular() {
        assert!(LAST.before(FIRST));
        assert!(FIRST.after(LAST));
        assert!(!FIRST.before(FIRST) && !FIRST.after(FIRST));
        assert!(FIRST.at_or_after(FIRST));
        assert!(FIRST.at_or_after(LAST));
        assert!(!LAST.at_or_after(FIRST));
        assert_eq!(LAST.max(FIRST), FIRST);
        assert_eq!(FIRST.max(LAST), FIRST);
    }

    #[test]
    fn half_way_round_each_is_before_the_other() {
        let (zero, half): (Seq, Seq) = (Seq(0), Seq(0x8000_0000));
        assert!(zero.before(half));
        assert!(half.before(zero));
        assert!(zero.before(half.sub(1)));
        assert!(!half.sub(1).before(zero));
    }

    #[test]
    fn within_takes_both_ends() {
        let from: Seq = Seq(0xffff_ffff);
        assert!(from.within(from, 2));
        assert!(from.add(2).within(from, 2));
        assert!(!from.add(3).within(from, 2));
        assert!(!from.sub(1).within(from, 2));
    }

    #[test]
    fn counts_go_on_beyond_the_word() {
        assert_eq!(FIRST.extend(0x5_ffff_fff0), Some(0x6_0000_0010));
        assert_eq!(FIRST.extend(0x5_0000_000f), Some(0x5_0000_0010));
        assert_eq!(FIRST.extend(0x5_0000_0010), None);
        assert_eq!(LAST.extend(0x5_0000_0010), None);
    }
}
