// SPDX-License-Identifier: GPL-2.0

//! Numbers that look random and are the same each time for the same seed (SplitMix64, Steele et al. 2014).

/// One step of the sequence: a number that looks like none of its neighbours.
pub(crate) fn mix(x: u64) -> u64 {
    let mut z = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// A sequence of choices.
pub(crate) struct Random(u64);

impl Random {
    /// The sequence of one purpose, and of one number, of a seed.
    pub(crate) fn new(seed: u64, purpose: u64, number: u64) -> Random {
        Random(mix(seed ^ mix(purpose ^ mix(number))))
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// From 0 to `top`, both included.
    pub(crate) fn upto(&mut self, top: u64) -> u64 {
        match top.checked_add(1) {
            Some(n) => self.next() % n,
            None => self.next(),
        }
    }

    /// From `low` to `high`, both included.
    pub(crate) fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.upto(high - low)
    }

    /// `percent` times in a hundred.
    pub(crate) fn chance(&mut self, percent: u64) -> bool {
        self.upto(99) < percent
    }

    /// One of these.
    pub(crate) fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.upto(from.len() as u64 - 1) as usize]
    }

    /// From 0 to `top`; small numbers as often as large ones, 0 and `top` not seldom.
    pub(crate) fn size(&mut self, top: u64) -> u64 {
        match self.upto(9) {
            0 => 0,
            1 => top,
            _ => {
                let bits = u64::from(64 - top.leading_zeros());
                let bits = self.upto(bits);
                self.upto((1u64 << bits.min(63)) - 1).min(top)
            }
        }
    }
}

/// A stream of bytes of which every byte is known.
#[derive(Clone, Copy)]
pub(crate) struct Stream(pub(crate) u64);

impl Stream {
    /// The bytes from `at` on.
    pub(crate) fn fill(self, at: u64, out: &mut [u8]) {
        let (mut at, mut out) = (at, out);
        while !out.is_empty() {
            let word = mix(self.0.wrapping_add(at / 8)).to_le_bytes();
            let from = &word[(at % 8) as usize..];
            let n = from.len().min(out.len());
            let (now, rest) = out.split_at_mut(n);
            now.copy_from_slice(&from[..n]);
            out = rest;
            at += n as u64;
        }
    }

    /// The place in the stream of the first byte that is not the stream's.
    pub(crate) fn first_difference(self, at: u64, bytes: &[u8]) -> Option<u64> {
        let mut want = [0; 512];
        let mut at = at;
        for chunk in bytes.chunks(want.len()) {
            self.fill(at, &mut want[..chunk.len()]);
            if let Some(i) = chunk.iter().zip(&want).position(|(a, b)| a != b) {
                return Some(at + i as u64);
            }
            at += chunk.len() as u64;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_is_the_same_in_pieces_and_as_a_whole() {
        let mut whole = [0; 1000];
        Stream(7).fill(3, &mut whole);
        let mut piece = [0; 100];
        Stream(7).fill(3 + 501, &mut piece);
        assert_eq!(piece, whole[501..601]);
        assert_eq!(Stream(7).first_difference(3, &whole), None);
        whole[777] ^= 1;
        assert_eq!(Stream(7).first_difference(3, &whole), Some(780));
        assert_eq!(Stream(8).first_difference(3, &whole), Some(3));
    }

    #[test]
    fn choices_stay_in_their_bounds_and_repeat() {
        let (mut a, mut b) = (Random::new(1, 2, 3), Random::new(1, 2, 3));
        for _ in 0..1000 {
            let n = a.between(10, 20);
            assert!((10..=20).contains(&n));
            assert_eq!(n, b.between(10, 20));
            let size = a.size(1000);
            assert!(size <= 1000);
            assert_eq!(size, b.size(1000));
        }
        assert!(a.size(0) == 0 && a.upto(0) == 0);
    }
}
