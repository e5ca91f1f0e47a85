// SPDX-License-Identifier: GPL-2.0

//! TCP options (RFC 9293, section 3.2).

use super::ip::Malformed;

/// Option kinds, as IANA lists them.
pub mod kind {
    /// End of the option list.
    pub const EOL: u8 = 0;
    /// No operation.
    pub const NOP: u8 = 1;
    /// Maximum segment size.
    pub const MSS: u8 = 2;
    /// Window scale (RFC 7323).
    pub const WINDOW_SCALE: u8 = 3;
    /// SACK permitted (RFC 2018).
    pub const SACK_PERMITTED: u8 = 4;
    /// SACK blocks (RFC 2018).
    pub const SACK: u8 = 5;
    /// Timestamps (RFC 7323).
    pub const TIMESTAMPS: u8 = 8;
}

/// The most bytes that options can take in a TCP header.
pub const MAX_LEN: usize = 40;

/// One option. Numbers in host order.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TcpOption<'a> {
    /// A byte of padding.
    Nop,
    /// The largest segment that the sender of the option takes, in bytes.
    Mss(u16),
    /// How far the sender's windows are to be shifted left.
    WindowScale(u8),
    /// The sender takes SACK options.
    SackPermitted,
    /// SACK blocks: pairs of a left and a right edge, 8 bytes each, in network order.
    Sack(&'a [u8]),
    /// The sender's clock and the clock value it echoes.
    Timestamps {
        /// TSval.
        val: u32,
        /// TSecr, which means something only in segments with ACK.
        ecr: u32,
    },
    /// Anything else, and any of the above with a length that it cannot have.
    Other {
        /// Its kind.
        kind: u8,
        /// What follows kind and length.
        data: &'a [u8],
    },
}

/// Bytes that [`stamps`] take.
pub const STAMPS_LEN: usize = 12;

/// Timestamps as nearly every segment of a connection with them carries them: padded to whole words (RFC 7323,
/// appendix A).
pub const fn stamps(val: u32, ecr: u32) -> [TcpOption<'static>; 3] {
    let stamps = TcpOption::Timestamps { val, ecr };
    [TcpOption::Nop, TcpOption::Nop, stamps]
}

impl<'a> TcpOption<'a> {
    fn new(kind: u8, data: &'a [u8]) -> Self {
        match (kind, data) {
            (kind::NOP, _) => Self::Nop,
            (kind::MSS, &[a, b]) => Self::Mss(u16::from_be_bytes([a, b])),
            (kind::WINDOW_SCALE, &[shift]) => Self::WindowScale(shift),
            (kind::SACK_PERMITTED, []) => Self::SackPermitted,
            (kind::SACK, blocks) if whole_blocks(blocks.len()) => Self::Sack(blocks),
            (kind::TIMESTAMPS, &[v0, v1, v2, v3, e0, e1, e2, e3]) => Self::Timestamps {
                val: u32::from_be_bytes([v0, v1, v2, v3]),
                ecr: u32::from_be_bytes([e0, e1, e2, e3]),
            },
            _ => Self::Other { kind, data },
        }
    }

    /// Length of the option in bytes, with kind and length.
    pub fn size(&self) -> usize {
        match *self {
            Self::Nop => 1,
            Self::SackPermitted => 2,
            Self::WindowScale(_) => 3,
            Self::Mss(_) => 4,
            Self::Timestamps { .. } => 10,
            Self::Sack(data) | Self::Other { data, .. } => data.len().saturating_add(2),
        }
    }

    /// Writes the option at the start of `out` and returns what is left of `out`, or `None`
    /// when it does not fit or its length cannot be told in a byte.
    pub fn emit<'b>(&self, out: &'b mut [u8]) -> Option<&'b mut [u8]> {
        let size = self.size();
        let (out, rest) = out.split_at_mut_checked(size)?;
        let size = u8::try_from(size).ok()?;
        match *self {
            Self::Nop => fill(out, kind::NOP, &[], &[]),
            Self::SackPermitted => fill(out, kind::SACK_PERMITTED, &[size], &[]),
            Self::WindowScale(shift) => fill(out, kind::WINDOW_SCALE, &[size], &[shift]),
            Self::Mss(mss) => fill(out, kind::MSS, &[size], &mss.to_be_bytes()),
            Self::Timestamps { val, ecr } => {
                let [v0, v1, v2, v3] = val.to_be_bytes();
                let [e0, e1, e2, e3] = ecr.to_be_bytes();
                let data = [v0, v1, v2, v3, e0, e1, e2, e3];
                fill(out, kind::TIMESTAMPS, &[size], &data)
            }
            Self::Sack(blocks) => fill(out, kind::SACK, &[size], blocks),
            Self::Other { kind, data } => fill(out, kind, &[size], data),
        }
        Some(rest)
    }
}

fn fill(out: &mut [u8], kind: u8, size: &[u8], data: &[u8]) {
    let bytes = [kind].into_iter().chain(size.iter().copied());
    for (to, from) in out.iter_mut().zip(bytes.chain(data.iter().copied())) {
        *to = from;
    }
}

/// Whether that many bytes are SACK blocks, one at least.
#[inline]
const fn whole_blocks(len: usize) -> bool {
    len != 0 && len % 8 == 0
}

/// Length of the option at the start of `bytes`: zero at the end of the list.
///
/// # Errors
///
/// `Contradiction` if the length is less than two or more than there is.
#[inline]
pub(super) fn first_len(bytes: &[u8]) -> Result<usize, Malformed> {
    match *bytes {
        [] | [kind::EOL, ..] => Ok(0),
        [kind::NOP, ..] => Ok(1),
        [_, len, ..] if len >= 2 && usize::from(len) <= bytes.len() => Ok(usize::from(len)),
        _ => Err(Malformed::Contradiction),
    }
}

/// Goes through a list of options, to its end or to the first option with an impossible length.
#[derive(Clone, Debug)]
pub struct Options<'a> {
    rest: &'a [u8],
}

impl<'a> Options<'a> {
    /// The options in `bytes`, which is what follows the first 20 bytes of a TCP header.
    #[inline]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }
}

impl<'a> Iterator for Options<'a> {
    type Item = Result<TcpOption<'a>, Malformed>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let rest = core::mem::take(&mut self.rest);
        let len = match first_len(rest) {
            Ok(0) => return None,
            Ok(len) => len,
            Err(e) => return Some(Err(e)),
        };
        let (option, rest) = rest.split_at_checked(len)?;
        self.rest = rest;
        let kind = *option.first()?;
        Some(Ok(TcpOption::new(kind, option.get(2..).unwrap_or(&[]))))
    }
}

/// Whether every option of the list has a possible length.
///
/// # Errors
///
/// `Contradiction` if one has not. Linux stops reading options there; what follows is unknown.
#[inline]
pub fn check(bytes: &[u8]) -> Result<(), Malformed> {
    let mut rest = bytes;
    loop {
        match first_len(rest)? {
            0 => return Ok(()),
            len => rest = rest.get(len..).unwrap_or(&[]),
        }
    }
}

/// What a SYN or a SYN-ACK offers.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Offer {
    /// How far the sender's windows are to be shifted left.
    pub scale: Option<u8>,
    /// Timestamps, and the first.
    pub tsval: Option<u32>,
    /// The sender takes SACK options.
    pub sack: bool,
}

/// What the options of a SYN or a SYN-ACK offer, which are what follows the first 20 bytes of the TCP header.
pub fn offer(bytes: &[u8]) -> Offer {
    let mut offer = Offer::default();
    for option in Options::new(bytes) {
        match option {
            Ok(TcpOption::WindowScale(shift)) => offer.scale = Some(shift),
            Ok(TcpOption::Timestamps { val, .. }) => offer.tsval = Some(val),
            Ok(TcpOption::SackPermitted) => offer.sack = true,
            Ok(_) => {}
            Err(_) => break,
        }
    }
    offer
}

/// TSval and TSecr, in host order, of the timestamps option in `bytes`, which is what follows the
/// first 20 bytes of a TCP header.
#[inline]
pub fn timestamps_in(bytes: &[u8]) -> Option<(u32, u32)> {
    // What nearly every segment of a connection with timestamps carries (RFC 7323, appendix A).
    if let [kind::NOP, kind::NOP, kind::TIMESTAMPS, 10, v0, v1, v2, v3, e0, e1, e2, e3, ..] = *bytes
    {
        let val = u32::from_be_bytes([v0, v1, v2, v3]);
        return Some((val, u32::from_be_bytes([e0, e1, e2, e3])));
    }
    Options::new(bytes).find_map(|option| match option {
        Ok(TcpOption::Timestamps { val, ecr }) => Some((val, ecr)),
        _ => None,
    })
}

/// TSval and TSecr, in host order, of a TCP header that is whole in `tcp`, which may hold more.
#[inline]
pub fn timestamps(tcp: &[u8]) -> Option<(u32, u32)> {
    let offset = *tcp.get(12)? >> 4;
    timestamps_in(tcp.get(20..usize::from(offset).wrapping_mul(4))?)
}

#[cfg(any(test, CONFIG_KUNIT = "y"))]
#[cfg_attr(
    CONFIG_KUNIT = "y",
    kernel::prelude::kunit_tests(tcp_splice_xlate_options)
)]
mod tests {
    use super::*;

    /// As RFC 9293, RFC 7323 and RFC 2018 have the options of a SYN; what follows one of impossible length is not read.
    #[test]
    fn a_syn_offers() {
        let syn = [
            2, 4, 5, 180, 4, 2, 8, 10, 0, 0, 1, 2, 0, 0, 0, 0, 1, 3, 3, 7,
        ];
        let all = Offer {
            scale: Some(7),
            tsval: Some(0x102),
            sack: true,
        };
        assert_eq!(offer(&syn), all);
        assert_eq!(offer(&[2, 4, 5, 180]), Offer::default());
        assert_eq!(
            offer(&[4, 2, 9, 1, 3, 3, 7, 0]),
            Offer {
                sack: true,
                ..Offer::default()
            }
        );
    }

    #[test]
    fn list_is_read_to_its_end() {
        let bytes = [
            2, 4, 0x05, 0xb4, 1, 3, 3, 7, 4, 2, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2, 253, 3, 9, 0, 99,
        ];
        let mut options = Options::new(&bytes);
        assert_eq!(options.next(), Some(Ok(TcpOption::Mss(1460))));
        assert_eq!(options.next(), Some(Ok(TcpOption::Nop)));
        assert_eq!(options.next(), Some(Ok(TcpOption::WindowScale(7))));
        assert_eq!(options.next(), Some(Ok(TcpOption::SackPermitted)));
        let stamps = TcpOption::Timestamps { val: 1, ecr: 2 };
        assert_eq!(options.next(), Some(Ok(stamps)));
        let other = TcpOption::Other {
            kind: 253,
            data: &[9],
        };
        assert_eq!(options.next(), Some(Ok(other)));
        assert_eq!(options.next(), None);
        assert_eq!(options.next(), None);
        assert_eq!(check(&bytes), Ok(()));
    }

    #[test]
    fn impossible_lengths_end_the_list() {
        assert_eq!(check(&[8, 0]), Err(Malformed::Contradiction));
        assert_eq!(check(&[1, 8, 1, 1]), Err(Malformed::Contradiction));
        assert_eq!(check(&[8, 10, 0, 0]), Err(Malformed::Contradiction));
        assert_eq!(check(&[1, 1, 1, 8]), Err(Malformed::Contradiction));
        let mut options = Options::new(&[1, 8, 0, 1]);
        assert_eq!(options.next(), Some(Ok(TcpOption::Nop)));
        assert_eq!(options.next(), Some(Err(Malformed::Contradiction)));
        assert_eq!(options.next(), None);
    }

    #[test]
    fn lengths_belong_to_kinds() {
        let sack = [5, 10, 0, 0, 0, 1, 0, 0, 0, 2];
        let blocks = Options::new(&sack).next();
        assert_eq!(blocks, Some(Ok(TcpOption::Sack(&[0, 0, 0, 1, 0, 0, 0, 2]))));
        let no_block = Options::new(&[5, 2]).next();
        let other = TcpOption::Other { kind: 5, data: &[] };
        assert_eq!(no_block, Some(Ok(other)));
    }

    #[test]
    fn timestamps_are_found_anywhere() {
        let aligned = [1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2];
        assert_eq!(timestamps_in(&aligned), Some((1, 2)));
        let late = [3, 3, 7, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2];
        assert_eq!(timestamps_in(&late), Some((1, 2)));
        assert_eq!(timestamps_in(&[1, 1, 1, 0]), None);
    }

    #[test]
    fn what_is_emitted_is_read_back() {
        let list = [
            TcpOption::Mss(1400),
            TcpOption::Nop,
            TcpOption::WindowScale(9),
            TcpOption::SackPermitted,
            TcpOption::Timestamps { val: 3, ecr: 4 },
            TcpOption::Sack(&[1, 2, 3, 4, 5, 6, 7, 8]),
        ];
        let mut bytes = [0; MAX_LEN];
        let mut room = &mut bytes[..];
        for option in &list {
            if let Some(rest) = option.emit(room) {
                room = rest;
            } else {
                room = &mut [];
            }
        }
        assert_eq!(room.len(), MAX_LEN - 30);
        let mut options = Options::new(&bytes);
        for option in list {
            assert_eq!(options.next(), Some(Ok(option)));
        }
        assert_eq!(options.next(), None);
        assert!(TcpOption::Mss(1400).emit(&mut [0; 3]).is_none());
    }
}
