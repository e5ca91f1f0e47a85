// SPDX-License-Identifier: GPL-2.0

//! The Internet checksum (RFC 1071) and its incremental update (RFC 1624).

use super::key::{Family, FlowKey};

/// Protocol number of TCP in IP headers and pseudo-headers.
pub const TCP: u8 = 6;

/// A ones' complement sum of 16-bit words in network order, not folded yet.
///
/// Words of 32 bits can be added whole, as 2^16 is 1 modulo 2^16 - 1. The 64 bits hold four
/// thousand million of them, which is more than any packet has.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Sum(u64);

impl Sum {
    /// The sum of nothing.
    pub const ZERO: Sum = Sum(0);

    /// Adds a word of 16 bits, given in host order.
    #[inline]
    pub const fn add16(self, word: u16) -> Sum {
        Sum(self.0.wrapping_add(word as u64))
    }

    /// Adds two words of 16 bits, given as one number in host order.
    #[inline]
    pub const fn add32(self, words: u32) -> Sum {
        Sum(self.0.wrapping_add(words as u64))
    }

    /// Takes a word of 16 bits away (RFC 1624, equation 3: adds its complement).
    #[inline]
    pub const fn sub16(self, word: u16) -> Sum {
        self.add16(!word)
    }

    /// Takes two words of 16 bits away.
    #[inline]
    pub const fn sub32(self, words: u32) -> Sum {
        self.add32(!words)
    }

    /// Adds another sum.
    #[inline]
    pub const fn add(self, other: Sum) -> Sum {
        // Folded once, so that it counts as two terms and not as many.
        self.add32((other.0 >> 32) as u32).add32(other.0 as u32)
    }

    /// Takes another sum away.
    #[inline]
    pub const fn sub(self, other: Sum) -> Sum {
        self.sub16(other.fold())
    }

    /// Adds bytes that begin at an even offset; an odd last byte is padded with zero.
    #[inline]
    pub fn add_bytes(self, bytes: &[u8]) -> Sum {
        let mut sum = self;
        let mut words = bytes.chunks_exact(4);
        for word in &mut words {
            if let Some(word) = word.first_chunk() {
                sum = sum.add32(u32::from_be_bytes(*word));
            }
        }
        let last = match *words.remainder() {
            [a] => [a, 0, 0, 0],
            [a, b] => [a, b, 0, 0],
            [a, b, c] => [a, b, c, 0],
            _ => return sum,
        };
        sum.add32(u32::from_be_bytes(last))
    }

    /// The sum as a word of 16 bits, in host order.
    ///
    /// Zero only when nothing but zeros was added; otherwise a sum that is zero modulo 2^16 - 1
    /// comes out as 0xffff, just as with the kernel's `csum_fold()`.
    #[inline]
    pub const fn fold(self) -> u16 {
        let s = (self.0 >> 32).wrapping_add(self.0 & 0xffff_ffff);
        let s = (s >> 16).wrapping_add(s & 0xffff);
        let s = (s >> 16).wrapping_add(s & 0xffff);
        let s = (s >> 16).wrapping_add(s & 0xffff);
        s as u16
    }

    /// The checksum field, in host order, of a packet with this sum.
    #[inline]
    pub const fn checksum(self) -> u16 {
        !self.fold()
    }
}

/// The sum over both addresses.
#[inline]
pub fn addresses(key: &FlowKey) -> Sum {
    match key.family {
        Family::V4 => {
            let (saddr, daddr) = key.v4_addresses();
            Sum::ZERO
                .add32(u32::from_be_bytes(saddr))
                .add32(u32::from_be_bytes(daddr))
        }
        Family::V6 => Sum::ZERO.add_bytes(&key.saddr).add_bytes(&key.daddr),
    }
}

/// The sum over the pseudo-header of a TCP segment (RFC 9293, section 3.1; RFC 8200, section 8.1).
///
/// `tcp_len` is the length of TCP header and payload in bytes.
#[inline]
pub fn pseudo_header(key: &FlowKey, tcp_len: u32) -> Sum {
    addresses(key).add16(u16::from(TCP)).add32(tcp_len)
}

/// The sum of a TCP segment with its pseudo-header, made from scratch.
///
/// 0xffff when folded if the checksum field in `segment` is right; with a field of zero its
/// complement is the field.
pub fn tcp(key: &FlowKey, segment: &[u8]) -> Sum {
    // An IP packet cannot be longer, and the low bits are what the field would hold.
    pseudo_header(key, segment.len() as u32).add_bytes(segment)
}

#[cfg(any(test, CONFIG_KUNIT = "y"))]
#[cfg_attr(
    CONFIG_KUNIT = "y",
    kernel::prelude::kunit_tests(tcp_splice_xlate_checksum)
)]
mod tests {
    use super::*;

    /// The example of RFC 1071, section 3: its sum is 2ddf0, folded ddf2.
    const BYTES: [u8; 8] = [0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7];

    #[test]
    fn sum_of_rfc_1071() {
        assert_eq!(Sum::ZERO.add_bytes(&BYTES).fold(), 0xddf2);
        assert_eq!(Sum::ZERO.add_bytes(&BYTES).checksum(), 0x220d);
    }

    #[test]
    fn odd_last_byte_is_padded() {
        assert_eq!(Sum::ZERO.add_bytes(&[0x12]).fold(), 0x1200);
        assert_eq!(Sum::ZERO.add_bytes(&[0x12, 0x34, 0x56]).fold(), 0x6834);
        assert_eq!(Sum::ZERO.add_bytes(&[]).fold(), 0);
    }

    #[test]
    fn update_of_rfc_1624() {
        // Section 4: a field of dd2f and a word that goes from 5555 to 3285 give 0000, not ffff.
        let sum = Sum::ZERO.add16(!0xdd2f).sub16(0x5555).add16(0x3285);
        assert_eq!(sum.checksum(), 0x0000);
    }

    #[test]
    fn sums_are_added_and_taken_away() {
        let all = Sum::ZERO.add_bytes(&BYTES);
        let start = Sum::ZERO.add32(0x0001_f203);
        let end = Sum::ZERO.add32(0xf4f5_f6f7);
        assert_eq!(start.add(end).fold(), all.fold());
        assert_eq!(all.sub(end).fold(), start.fold());
        assert_eq!(all.sub32(0x0001_f203).fold(), end.fold());
    }
}
