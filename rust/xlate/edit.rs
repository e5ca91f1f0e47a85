// SPDX-License-Identifier: GPL-2.0

//! The edit: what a flow does to the headers of its packets.

use super::checksum::{self, Sum};
use super::ip::{Ipv4, Malformed};
use super::key::{Family, FlowKey};
use super::options::{self, kind};
use super::seq::{Seq, Word};
use super::tcp::{Flags, Header, Segment};

/// What a host sends in a segment if it knows nothing better (RFC 9293, section 3.7.1).
const SEGMENT: u32 = 536;

/// The largest window scale; a larger one counts as this (RFC 7323, section 2.3).
const MAX_WSCALE: u8 = 14;

/// How the checksum field of a packet stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ChecksumField {
    /// The field covers the packet: it came over a wire (`CHECKSUM_NONE`, `CHECKSUM_UNNECESSARY`,
    /// `CHECKSUM_COMPLETE`).
    Whole,
    /// The field holds the sum of the pseudo-header, not complemented, and whoever sends the
    /// packet adds the rest (`CHECKSUM_PARTIAL`). Only the addresses count.
    PseudoHeader,
}

/// What is done to every packet of a flow. Deltas are added, modulo 2^32.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Edit {
    /// Addresses and ports of leaving packets.
    pub out: FlowKey,
    /// For sequence numbers.
    pub seq_delta: u32,
    /// For acknowledgement numbers and the edges of SACK blocks.
    pub ack_delta: u32,
    /// For TSval.
    pub tsval_delta: u32,
    /// For TSecr.
    pub tsecr_delta: u32,
    /// Scale of the windows in arriving packets: bits to shift left.
    pub wscale_in: u8,
    /// Scale that the receiver of leaving packets puts on their windows.
    pub wscale_out: u8,
    /// Whether both sides negotiated timestamps.
    pub timestamps: bool,
    /// Whether the receiver of leaving packets takes SACK options.
    pub sack: bool,
}

impl Edit {
    /// Rewrites the headers of one packet in place.
    ///
    /// `seg` is what [`parse`](super::tcp::parse) read from `headers`. Addresses, ports, sequence
    /// number, acknowledgement number, window, SACK blocks and timestamps are translated, the
    /// TTL or hop limit goes down by one, and the checksums follow. The urgent pointer counts from
    /// the sequence number and stays. Whether the TTL allows forwarding is the caller's question.
    ///
    /// `ack_floor`, in numbers of leaving packets, is what the receiver of this packet was told
    /// already. An acknowledgement below is raised to it, without promising more room; what SACK
    /// blocks say of numbers below it is left out.
    ///
    /// # Errors
    ///
    /// `Truncated` if `headers` ends before the headers do, `Contradiction` if an option has an
    /// impossible length or the packet is of another family than the edit. `headers` is as it was.
    #[inline]
    pub fn apply(
        &self,
        headers: &mut [u8],
        seg: &Segment,
        field: ChecksumField,
        ack_floor: Option<Seq>,
    ) -> Result<(), Malformed> {
        if seg.key.family != self.out.family {
            return Err(Malformed::Contradiction);
        }
        let (ip, tcp) = headers
            .split_at_mut_checked(seg.ip.header_len)
            .ok_or(Malformed::Truncated)?;
        let (tcp, options) = tcp
            .get_mut(..seg.tcp_len)
            .and_then(|tcp| tcp.split_first_chunk_mut())
            .ok_or(Malformed::Truncated)?;
        let ip = IpView::new(ip, seg.key.family)?;
        let options = OptionsView::new(options)?;

        // From here on nothing fails.
        let mut header = Header::from_bytes(tcp);
        let has_ack = header.flags.contains(Flags::ACK);
        let mut changes = self.apply_ports_and_numbers(&mut header, has_ack, ack_floor);
        changes = changes.add(self.apply_options(options, has_ack, ack_floor));
        let addresses = ip.readdress(&self.out, 1);

        header.check = match field {
            ChecksumField::Whole => Sum::ZERO
                .add16(!header.check)
                .add(addresses)
                .add(changes)
                .checksum(),
            ChecksumField::PseudoHeader => addresses.add16(header.check).fold(),
        };
        header.change(tcp);
        Ok(())
    }

    /// The edit of the packets that answer those to which this one applies, which arrive with the
    /// key `arrives`.
    pub const fn reverse(&self, arrives: &FlowKey) -> Edit {
        Edit {
            out: arrives.reverse(),
            seq_delta: self.ack_delta.wrapping_neg(),
            ack_delta: self.seq_delta.wrapping_neg(),
            tsval_delta: self.tsecr_delta.wrapping_neg(),
            tsecr_delta: self.tsval_delta.wrapping_neg(),
            wscale_in: self.wscale_out,
            wscale_out: self.wscale_in,
            timestamps: self.timestamps,
            sack: self.sack,
        }
    }

    /// Translates what the first 20 bytes of a TCP header hold, but for the checksum, and returns
    /// the difference that this makes to their sum.
    #[inline]
    fn apply_ports_and_numbers(
        &self,
        header: &mut Header,
        has_ack: bool,
        ack_floor: Option<Seq>,
    ) -> Sum {
        let old = *header;
        header.sport = self.out.sport;
        header.dport = self.out.dport;
        header.seq = header.seq.add(self.seq_delta);

        // In a SYN the window is never scaled.
        let syn = header.flags.contains(Flags::SYN);
        let (wscale_in, wscale_out) = if syn {
            (0, 0)
        } else {
            (self.wscale_in, self.wscale_out)
        };
        header.window = rescale(header.window, wscale_in, wscale_out);
        // Without the flag the field is no acknowledgement number.
        if has_ack {
            header.ack = header.ack.add(self.ack_delta);
            if let Some(floor) = ack_floor {
                (header.ack, header.window) = raise(header.ack, header.window, wscale_out, floor);
            }
        }
        difference(header, &old)
    }

    /// Translates the options and returns the difference that this makes to their sum.
    #[inline]
    fn apply_options(
        &self,
        options: OptionsView<'_>,
        has_ack: bool,
        ack_floor: Option<Seq>,
    ) -> Sum {
        match options {
            OptionsView::None => Sum::ZERO,
            OptionsView::Timestamps(_) if !self.timestamps => Sum::ZERO,
            OptionsView::Timestamps(stamps) => {
                let (old_val, old_ecr) = split_u64(*stamps);
                let val = old_val.wrapping_add(self.tsval_delta);
                let ecr = self.tsecr(old_ecr, has_ack);
                *stamps = join_u64(val, ecr);
                Sum::ZERO
                    .add32(val)
                    .add32(ecr)
                    .sub32(old_val)
                    .sub32(old_ecr)
            }
            OptionsView::Any(options) => self.apply_any_options(options, has_ack, ack_floor),
        }
    }

    /// [`Edit::apply_options`] for any list that [`options::check`] has passed.
    ///
    /// The option list begins at an even offset, so that its sum as a whole is right wherever in
    /// it the fields are.
    fn apply_any_options(&self, options: &mut [u8], has_ack: bool, ack_floor: Option<Seq>) -> Sum {
        let old = Sum::ZERO.add_bytes(options);
        let mut rest = &mut *options;
        while let Ok(len @ 1..) = options::first_len(rest) {
            let Some((option, tail)) = rest.split_at_mut_checked(len) else {
                break;
            };
            match option {
                [kind::TIMESTAMPS, data @ ..] if self.timestamps => match data {
                    [10, stamps @ ..] => {
                        if let Some(stamps) = stamps.first_chunk_mut() {
                            let (val, ecr) = split_u64(*stamps);
                            let val = val.wrapping_add(self.tsval_delta);
                            *stamps = join_u64(val, self.tsecr(ecr, has_ack));
                        }
                    }
                    // Its length is not that of timestamps, so what it holds cannot be translated.
                    _ => option.fill(kind::NOP),
                },
                [kind::SACK, ..] if self.sack => self.apply_sack(option, ack_floor),
                [kind::SACK, ..] => option.fill(kind::NOP),
                _ => {}
            }
            rest = tail;
        }
        Sum::ZERO.add_bytes(options).sub(old)
    }

    /// Translates a SACK option, kind and length included.
    fn apply_sack(&self, option: &mut [u8], ack_floor: Option<Seq>) {
        let mut old = [0; options::MAX_LEN];
        for (to, from) in old.iter_mut().zip(option.iter().skip(2)) {
            *to = *from;
        }
        let blocks = match option {
            [_, _, blocks @ ..] if !blocks.is_empty() && blocks.len() % 8 == 0 => blocks,
            // Not whole blocks.
            _ => return option.fill(kind::NOP),
        };

        let count = blocks.len() / 8;
        let mut size = 2u8;
        let mut room = blocks.chunks_exact_mut(8);
        for block in old.chunks_exact(8).take(count) {
            let Some((left, right)) = block.first_chunk().and_then(|block| {
                let (left, right) = split_u64(*block);
                self.sack_block(Seq(left), Seq(right), ack_floor)
            }) else {
                continue;
            };
            if let Some(block) = room.next().and_then(|block| block.first_chunk_mut()) {
                *block = join_u64(left.0, right.0);
                size = size.wrapping_add(8);
            }
        }
        for block in room {
            block.fill(kind::NOP);
        }
        match option {
            [_, len, ..] if size > 2 => *len = size,
            _ => option.fill(kind::NOP),
        }
    }

    /// Translates one SACK or D-SACK block; `None` if it says nothing of numbers from the floor on.
    #[inline]
    fn sack_block(&self, left: Seq, right: Seq, ack_floor: Option<Seq>) -> Option<(Seq, Seq)> {
        let left = left.add(self.ack_delta);
        let right = right.add(self.ack_delta);
        match ack_floor {
            Some(floor) => clip(left, right, floor),
            None => Some((left, right)),
        }
    }

    /// Translates TSecr, which means nothing without ACK (RFC 7323, section 3.2).
    #[inline]
    fn tsecr(&self, ecr: u32, has_ack: bool) -> u32 {
        if has_ack {
            ecr.wrapping_add(self.tsecr_delta)
        } else {
            ecr
        }
    }
}

/// What the fields that an edit changes add to the sum of a TCP header.
#[inline]
fn difference(new: &Header, old: &Header) -> Sum {
    Sum::ZERO
        .add16(u16::from_be_bytes(new.sport))
        .sub16(u16::from_be_bytes(old.sport))
        .add16(u16::from_be_bytes(new.dport))
        .sub16(u16::from_be_bytes(old.dport))
        .add32(new.seq.0)
        .sub32(old.seq.0)
        .add32(new.ack.0)
        .sub32(old.ack.0)
        .add16(new.window)
        .sub16(old.window)
}

/// Lowers the window of an arriving packet to `window`, as the field says it, if it is larger.
///
/// # Errors
///
/// `Truncated` if `headers` ends before the header does; it is as it was.
pub fn narrow(
    headers: &mut [u8],
    seg: &Segment,
    field: ChecksumField,
    window: u16,
) -> Result<(), Malformed> {
    change(headers, seg, field, |header| {
        header.window = header.window.min(window);
    })
}

/// Sets the window of an arriving packet to `window`, as the field says it.
///
/// # Errors
///
/// `Truncated` if `headers` ends before the TCP header's fixed part does; it is as it was.
pub fn set_window(
    headers: &mut [u8],
    seg: &Segment,
    field: ChecksumField,
    window: u16,
) -> Result<(), Malformed> {
    change(headers, seg, field, |header| header.window = window)
}

/// Sets the acknowledgement of an arriving packet, and the window from there, as the fields say them.
///
/// # Errors
///
/// `Truncated` if `headers` ends before the TCP header's fixed part does; it is as it was.
pub fn set_ack(
    headers: &mut [u8],
    seg: &Segment,
    field: ChecksumField,
    ack: Seq,
    window: u16,
) -> Result<(), Malformed> {
    change(headers, seg, field, |header| {
        (header.ack, header.window) = (ack, window);
    })
}

fn change(
    headers: &mut [u8],
    seg: &Segment,
    field: ChecksumField,
    change: impl FnOnce(&mut Header),
) -> Result<(), Malformed> {
    let tcp = headers
        .get_mut(seg.ip.header_len..)
        .and_then(<[u8]>::first_chunk_mut)
        .ok_or(Malformed::Truncated)?;
    let old = Header::from_bytes(tcp);
    let mut header = old;
    change(&mut header);
    if field == ChecksumField::Whole && header != old {
        header.check = difference(&header, &old).add16(!old.check).checksum();
    }
    header.change(tcp);
    Ok(())
}

/// A window as the other side's scale has it.
///
/// Rounded down. Rounded up, a window of a few bytes takes in a segment that its owner drops, and
/// the sender is still backing off when it opens. One that is rounded to nothing is probed (RFC 9293,
/// section 3.8.6.1), and whoever opens a window from so little says so.
///
/// But one that takes a segment is never rounded to nothing: a receiver that has no more room than
/// that at all would wait for ever, and its sender too.
#[inline]
pub fn rescale(window: u16, wscale_in: u8, wscale_out: u8) -> u16 {
    let bytes = u32::from(window).wrapping_shl(u32::from(wscale_in.min(MAX_WSCALE)));
    let scaled = bytes.wrapping_shr(u32::from(wscale_out.min(MAX_WSCALE)));
    if scaled == 0 && bytes >= SEGMENT {
        return 1;
    }
    u16::try_from(scaled).unwrap_or(u16::MAX)
}

/// An acknowledgement, `floor` at least, and its window, which ends where it did or a little before.
#[inline]
pub fn raise<W: Word>(ack: Seq<W>, window: u16, wscale: u8, floor: Seq<W>) -> (Seq<W>, u16) {
    if ack.before(floor) {
        (floor, shrink(window, wscale, floor.distance(ack).into()))
    } else {
        (ack, window)
    }
}

/// A window that ends where it did, or a little before, after its start went up by `raised`.
#[inline]
fn shrink(window: u16, wscale: u8, raised: u32) -> u16 {
    let wscale = u32::from(wscale.min(MAX_WSCALE));
    let bytes = u32::from(window).wrapping_shl(wscale);
    // It only got smaller, so that it still fits.
    bytes.saturating_sub(raised).wrapping_shr(wscale) as u16
}

/// What a SACK block says of numbers from `floor` on; `None` if that is nothing.
///
/// Taken for a D-SACK, what it says of others would tell of a retransmission that never was.
#[inline]
pub fn clip<W: Word>(left: Seq<W>, right: Seq<W>, floor: Seq<W>) -> Option<(Seq<W>, Seq<W>)> {
    right.after(floor).then(|| (left.max(floor), right))
}

/// Two numbers of 32 bits in network order.
#[inline]
const fn split_u64(bytes: [u8; 8]) -> (u32, u32) {
    let both = u64::from_be_bytes(bytes);
    ((both >> 32) as u32, both as u32)
}

/// The inverse of [`split_u64`].
#[inline]
const fn join_u64(first: u32, second: u32) -> [u8; 8] {
    ((first as u64).wrapping_shl(32) | second as u64).to_be_bytes()
}

/// The parts of an IP header that an edit changes.
pub(super) enum IpView<'a> {
    V4(&'a mut [u8; Ipv4::LEN]),
    V6 {
        hop_limit: &'a mut u8,
        saddr: &'a mut [u8; 16],
        daddr: &'a mut [u8; 16],
    },
}

impl<'a> IpView<'a> {
    #[inline]
    pub(super) fn new(bytes: &'a mut [u8], family: Family) -> Result<Self, Malformed> {
        let view = match family {
            Family::V4 => bytes.first_chunk_mut().map(Self::V4),
            Family::V6 => match bytes {
                [_, _, _, _, _, _, _, hop_limit, addresses @ ..] => {
                    addresses.split_first_chunk_mut().and_then(|(saddr, rest)| {
                        Some(Self::V6 {
                            hop_limit,
                            saddr,
                            daddr: rest.first_chunk_mut()?,
                        })
                    })
                }
                _ => None,
            },
        };
        view.ok_or(Malformed::Truncated)
    }

    /// Writes the addresses of `out`, counts `hops`, and returns the difference that the
    /// addresses make to the sum of the pseudo-header.
    #[inline]
    pub(super) fn readdress(self, out: &FlowKey, hops: u8) -> Sum {
        match self {
            Self::V4(bytes) => {
                let mut ip = Ipv4::from_bytes(bytes);
                let change = checksum::addresses(out)
                    .sub32(u32::from_be_bytes(ip.saddr))
                    .sub32(u32::from_be_bytes(ip.daddr));
                let old_word = u16::from_be_bytes([ip.ttl, ip.protocol]);

                (ip.saddr, ip.daddr) = out.v4_addresses();
                ip.ttl = ip.ttl.saturating_sub(hops);
                ip.check = change
                    .add16(!ip.check)
                    .sub16(old_word)
                    .add16(u16::from_be_bytes([ip.ttl, ip.protocol]))
                    .checksum();
                ip.change(bytes);
                change
            }
            Self::V6 {
                hop_limit,
                saddr,
                daddr,
            } => {
                let old = Sum::ZERO.add_bytes(saddr).add_bytes(daddr);
                *hop_limit = hop_limit.saturating_sub(hops);
                *saddr = out.saddr;
                *daddr = out.daddr;
                checksum::addresses(out).sub(old)
            }
        }
    }
}

/// The options of a segment, by the work that they make.
enum OptionsView<'a> {
    None,
    /// Only timestamps, aligned, as nearly every segment has them (RFC 7323, appendix A).
    Timestamps(&'a mut [u8; 8]),
    /// Any list of options that have possible lengths.
    Any(&'a mut [u8]),
}

impl<'a> OptionsView<'a> {
    #[inline]
    fn new(bytes: &'a mut [u8]) -> Result<Self, Malformed> {
        match *bytes {
            [] => Ok(Self::None),
            [kind::NOP, kind::NOP, kind::TIMESTAMPS, 10, _, _, _, _, _, _, _, _] => bytes
                .last_chunk_mut()
                .map(Self::Timestamps)
                .ok_or(Malformed::Truncated),
            _ => {
                options::check(bytes)?;
                Ok(Self::Any(bytes))
            }
        }
    }
}

#[cfg(any(test, CONFIG_KUNIT = "y"))]
#[cfg_attr(
    CONFIG_KUNIT = "y",
    kernel::prelude::kunit_tests(tcp_splice_xlate_edit)
)]
mod tests {
    use super::super::tcp::parse;
    use super::*;

    // From 198.51.100.7:51234 > 203.0.113.10:443 to 10.0.0.1:40001 > 10.0.0.80:8443, and from
    // 2001:db8:1::7 > 2001:db8::10 to fd00::1 > fd00::80. The expected bytes do not come from
    // this code. Worked by hand, modulo 2^32:
    //
    //     sequence         f0000010 + 2468ace1 = 1468acf1
    //     acknowledgement  20304050 - 13579bdf = 0cd8a471
    //     D-SACK           20303498 .. 20303a40  ->  0cd898b9 .. 0cd89e61
    //     SACK             203045f8 .. 20305148  ->  0cd8aa19 .. 0cd8b569
    //     TSval            11223344 + 00030201 = 11253545
    //     TSecr            0a0b0c0d - 01020304 = 09090909
    //     window           502 << 7 = 64256,  64256 >> 9 = 125
    const EDIT: Edit = Edit {
        out: FlowKey::v4([10, 0, 0, 1], 40001, [10, 0, 0, 80], 8443),
        seq_delta: 0x2468_ace1,
        ack_delta: 0xeca8_6421,
        tsval_delta: 0x0003_0201,
        tsecr_delta: 0xfefd_fcfc,
        wscale_in: 7,
        wscale_out: 9,
        timestamps: true,
        sack: true,
    };

    const EDIT_V6: Edit = Edit {
        out: FlowKey::v6(
            [0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1],
            40001,
            [0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x80],
            8443,
        ),
        ..EDIT
    };

    /// PSH and ACK, aligned timestamps, "hello".
    const V4_IN: [u8; 57] = [
        0x45, 0x00, 0x00, 0x39, 0x1c, 0x46, 0x40, 0x00, 0x39, 0x06, 0xbf, 0x33, 0xc6, 0x33, 0x64,
        0x07, 0xcb, 0x00, 0x71, 0x0a, 0xc8, 0x22, 0x01, 0xbb, 0xf0, 0x00, 0x00, 0x10, 0x20, 0x30,
        0x40, 0x50, 0x80, 0x18, 0x01, 0xf6, 0x55, 0xb5, 0x00, 0x00, 0x01, 0x01, 0x08, 0x0a, 0x11,
        0x22, 0x33, 0x44, 0x0a, 0x0b, 0x0c, 0x0d, 0x68, 0x65, 0x6c, 0x6c, 0x6f,
    ];

    const V4_OUT: [u8; 57] = [
        0x45, 0x00, 0x00, 0x39, 0x1c, 0x46, 0x40, 0x00, 0x38, 0x06, 0x12, 0x29, 0x0a, 0x00, 0x00,
        0x01, 0x0a, 0x00, 0x00, 0x50, 0x9c, 0x41, 0x20, 0xfb, 0x14, 0x68, 0xac, 0xf1, 0x0c, 0xd8,
        0xa4, 0x71, 0x80, 0x18, 0x00, 0x7d, 0x95, 0xb4, 0x00, 0x00, 0x01, 0x01, 0x08, 0x0a, 0x11,
        0x25, 0x35, 0x45, 0x09, 0x09, 0x09, 0x09, 0x68, 0x65, 0x6c, 0x6c, 0x6f,
    ];

    /// A duplicate ACK: NOP, timestamps, a D-SACK and a SACK block, so that all are at odd offsets.
    const SACK_IN: [u8; 72] = [
        0x45, 0x00, 0x00, 0x48, 0x1c, 0x46, 0x40, 0x00, 0x39, 0x06, 0xbf, 0x24, 0xc6, 0x33, 0x64,
        0x07, 0xcb, 0x00, 0x71, 0x0a, 0xc8, 0x22, 0x01, 0xbb, 0xf0, 0x00, 0x00, 0x10, 0x20, 0x30,
        0x40, 0x50, 0xd0, 0x10, 0x01, 0xf6, 0x37, 0x19, 0x00, 0x00, 0x01, 0x08, 0x0a, 0x11, 0x22,
        0x33, 0x44, 0x0a, 0x0b, 0x0c, 0x0d, 0x05, 0x12, 0x20, 0x30, 0x34, 0x98, 0x20, 0x30, 0x3a,
        0x40, 0x20, 0x30, 0x45, 0xf8, 0x20, 0x30, 0x51, 0x48, 0x01, 0x01, 0x01,
    ];

    const SACK_OUT: [u8; 72] = [
        0x45, 0x00, 0x00, 0x48, 0x1c, 0x46, 0x40, 0x00, 0x38, 0x06, 0x12, 0x1a, 0x0a, 0x00, 0x00,
        0x01, 0x0a, 0x00, 0x00, 0x50, 0x9c, 0x41, 0x20, 0xfb, 0x14, 0x68, 0xac, 0xf1, 0x0c, 0xd8,
        0xa4, 0x71, 0xd0, 0x10, 0x00, 0x7d, 0x51, 0xd5, 0x00, 0x00, 0x01, 0x08, 0x0a, 0x11, 0x25,
        0x35, 0x45, 0x09, 0x09, 0x09, 0x09, 0x05, 0x12, 0x0c, 0xd8, 0x98, 0xb9, 0x0c, 0xd8, 0x9e,
        0x61, 0x0c, 0xd8, 0xaa, 0x19, 0x0c, 0xd8, 0xb5, 0x69, 0x01, 0x01, 0x01,
    ];

    /// The same with a floor 2000 above its acknowledgement: the D-SACK block is below, the other
    /// one astride. (125 << 9) - 2000 = 62000, and 62000 >> 9 = 121.
    const FLOOR_OUT: [u8; 72] = [
        0x45, 0x00, 0x00, 0x48, 0x1c, 0x46, 0x40, 0x00, 0x38, 0x06, 0x12, 0x1a, 0x0a, 0x00, 0x00,
        0x01, 0x0a, 0x00, 0x00, 0x50, 0x9c, 0x41, 0x20, 0xfb, 0x14, 0x68, 0xac, 0xf1, 0x0c, 0xd8,
        0xac, 0x41, 0xd0, 0x10, 0x00, 0x79, 0xf1, 0x53, 0x00, 0x00, 0x01, 0x08, 0x0a, 0x11, 0x25,
        0x35, 0x45, 0x09, 0x09, 0x09, 0x09, 0x05, 0x0a, 0x0c, 0xd8, 0xac, 0x41, 0x0c, 0xd8, 0xb5,
        0x69, 0x01, 0x01, 0x01, 0x01, 0x01, 0x01, 0x01, 0x01, 0x01, 0x01, 0x01,
    ];

    /// The same for a receiver that takes no SACK.
    const NOSACK_OUT: [u8; 72] = [
        0x45, 0x00, 0x00, 0x48, 0x1c, 0x46, 0x40, 0x00, 0x38, 0x06, 0x12, 0x1a, 0x0a, 0x00, 0x00,
        0x01, 0x0a, 0x00, 0x00, 0x50, 0x9c, 0x41, 0x20, 0xfb, 0x14, 0x68, 0xac, 0xf1, 0x0c, 0xd8,
        0xa4, 0x71, 0xd0, 0x10, 0x00, 0x7d, 0x59, 0x9b, 0x00, 0x00, 0x01, 0x08, 0x0a, 0x11, 0x25,
        0x35, 0x45, 0x09, 0x09, 0x09, 0x09, 0x01, 0x01, 0x01, 0x01, 0x01, 0x01, 0x01, 0x01, 0x01,
        0x01, 0x01, 0x01, 0x01, 0x01, 0x01, 0x01, 0x01, 0x01, 0x01, 0x01, 0x01,
    ];

    /// IPv6, otherwise like `V4_IN`; the checksum field holds the sum of the pseudo-header.
    const V6_IN: [u8; 77] = [
        0x60, 0x00, 0x00, 0x00, 0x00, 0x25, 0x06, 0x40, 0x20, 0x01, 0x0d, 0xb8, 0x00, 0x01, 0x00,
        0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x07, 0x20, 0x01, 0x0d, 0xb8, 0x00, 0x00,
        0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x10, 0xc8, 0x22, 0x01, 0xbb, 0xf0,
        0x00, 0x00, 0x10, 0x20, 0x30, 0x40, 0x50, 0x80, 0x18, 0x01, 0xf6, 0x5b, 0xb5, 0x00, 0x00,
        0x01, 0x01, 0x08, 0x0a, 0x11, 0x22, 0x33, 0x44, 0x0a, 0x0b, 0x0c, 0x0d, 0x68, 0x65, 0x6c,
        0x6c, 0x6f,
    ];

    const V6_OUT: [u8; 77] = [
        0x60, 0x00, 0x00, 0x00, 0x00, 0x25, 0x06, 0x3f, 0xfd, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
        0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x01, 0xfd, 0x00, 0x00, 0x00, 0x00, 0x00,
        0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x80, 0x9c, 0x41, 0x20, 0xfb, 0x14,
        0x68, 0xac, 0xf1, 0x0c, 0xd8, 0xa4, 0x71, 0x80, 0x18, 0x00, 0x7d, 0xfa, 0xad, 0x00, 0x00,
        0x01, 0x01, 0x08, 0x0a, 0x11, 0x25, 0x35, 0x45, 0x09, 0x09, 0x09, 0x09, 0x68, 0x65, 0x6c,
        0x6c, 0x6f,
    ];

    /// IPv6, one aligned SACK block, no timestamps, the largest window.
    const V6_SACK_IN: [u8; 72] = [
        0x60, 0x00, 0x00, 0x00, 0x00, 0x20, 0x06, 0x40, 0x20, 0x01, 0x0d, 0xb8, 0x00, 0x01, 0x00,
        0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x07, 0x20, 0x01, 0x0d, 0xb8, 0x00, 0x00,
        0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x10, 0xc8, 0x22, 0x01, 0xbb, 0xf0,
        0x00, 0x00, 0x10, 0x20, 0x30, 0x40, 0x50, 0x80, 0x10, 0xff, 0xff, 0x2c, 0x24, 0x00, 0x00,
        0x01, 0x01, 0x05, 0x0a, 0x20, 0x30, 0x45, 0xf8, 0x20, 0x30, 0x51, 0x48,
    ];

    const V6_SACK_OUT: [u8; 72] = [
        0x60, 0x00, 0x00, 0x00, 0x00, 0x20, 0x06, 0x3f, 0xfd, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
        0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x01, 0xfd, 0x00, 0x00, 0x00, 0x00, 0x00,
        0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x80, 0x9c, 0x41, 0x20, 0xfb, 0x14,
        0x68, 0xac, 0xf1, 0x0c, 0xd8, 0xa4, 0x71, 0x80, 0x10, 0x3f, 0xff, 0x96, 0x28, 0x00, 0x00,
        0x01, 0x01, 0x05, 0x0a, 0x0c, 0xd8, 0xaa, 0x19, 0x0c, 0xd8, 0xb5, 0x69,
    ];

    /// A SYN: its window is not scaled, its acknowledgement and TSecr mean nothing.
    const SYN_IN: [u8; 60] = [
        0x45, 0x00, 0x00, 0x3c, 0x1c, 0x46, 0x40, 0x00, 0x39, 0x06, 0xbf, 0x30, 0xc6, 0x33, 0x64,
        0x07, 0xcb, 0x00, 0x71, 0x0a, 0xc8, 0x22, 0x01, 0xbb, 0xf0, 0x00, 0x00, 0x10, 0x01, 0x02,
        0x03, 0x04, 0xa0, 0x02, 0xfa, 0xf0, 0x05, 0xc1, 0x00, 0x00, 0x02, 0x04, 0x05, 0xb4, 0x04,
        0x02, 0x08, 0x0a, 0x11, 0x22, 0x33, 0x44, 0x00, 0x00, 0xde, 0xad, 0x01, 0x03, 0x03, 0x07,
    ];

    const SYN_OUT: [u8; 60] = [
        0x45, 0x00, 0x00, 0x3c, 0x1c, 0x46, 0x40, 0x00, 0x38, 0x06, 0x12, 0x26, 0x0a, 0x00, 0x00,
        0x01, 0x0a, 0x00, 0x00, 0x50, 0x9c, 0x41, 0x20, 0xfb, 0x14, 0x68, 0xac, 0xf1, 0x01, 0x02,
        0x03, 0x04, 0xa0, 0x02, 0xfa, 0xf0, 0x91, 0x0a, 0x00, 0x00, 0x02, 0x04, 0x05, 0xb4, 0x04,
        0x02, 0x08, 0x0a, 0x11, 0x25, 0x35, 0x45, 0x00, 0x00, 0xde, 0xad, 0x01, 0x03, 0x03, 0x07,
    ];

    #[test]
    fn aligned_timestamps_v4() -> Result<(), Malformed> {
        let mut packet = V4_IN;
        let seg = parse(&packet, Family::V4, packet.len())?;
        EDIT.apply(&mut packet, &seg, ChecksumField::Whole, None)?;
        assert_eq!(packet, V4_OUT);
        // Only the headers are touched or needed.
        packet = V4_IN;
        let headers = seg.headers_len();
        EDIT.apply(&mut packet[..headers], &seg, ChecksumField::Whole, None)?;
        assert_eq!(packet, V4_OUT);
        Ok(())
    }

    #[test]
    fn a_window_gets_narrower_and_never_wider() -> Result<(), Malformed> {
        let mut packet = V4_IN;
        let seg = parse(&packet, Family::V4, packet.len())?;
        narrow(&mut packet, &seg, ChecksumField::Whole, seg.window)?;
        assert_eq!(packet, V4_IN);
        narrow(&mut packet, &seg, ChecksumField::Whole, 0)?;
        assert_eq!(packet[34..36], [0, 0]);
        assert_eq!(checksum::tcp(&seg.key, &packet[20..]).fold(), 0xffff);
        // Who sums the packet later sums the window, too.
        packet = V4_IN;
        narrow(&mut packet, &seg, ChecksumField::PseudoHeader, 1)?;
        assert_eq!(packet[34..38], [0, 1, V4_IN[36], V4_IN[37]]);
        // Set, it may be wider; and what was set before counts.
        packet = V4_IN;
        set_window(&mut packet, &seg, ChecksumField::Whole, u16::MAX)?;
        assert_eq!(packet[34..36], [0xff, 0xff]);
        assert_eq!(checksum::tcp(&seg.key, &packet[20..]).fold(), 0xffff);
        set_window(&mut packet, &seg, ChecksumField::Whole, 3)?;
        narrow(&mut packet, &seg, ChecksumField::Whole, 4)?;
        assert_eq!(packet[34..36], [0, 3]);
        assert_eq!(checksum::tcp(&seg.key, &packet[20..]).fold(), 0xffff);
        set_ack(&mut packet, &seg, ChecksumField::Whole, Seq(0x0102_0304), 5)?;
        assert_eq!(packet[28..32], [1, 2, 3, 4]);
        assert_eq!(packet[34..36], [0, 5]);
        assert_eq!(checksum::tcp(&seg.key, &packet[20..]).fold(), 0xffff);
        packet = V4_IN;
        let short = narrow(&mut packet[..39], &seg, ChecksumField::Whole, 0);
        assert_eq!(short, Err(Malformed::Truncated));
        Ok(())
    }

    #[test]
    fn sack_at_odd_offsets() -> Result<(), Malformed> {
        let mut packet = SACK_IN;
        let seg = parse(&packet, Family::V4, packet.len())?;
        EDIT.apply(&mut packet, &seg, ChecksumField::Whole, None)?;
        assert_eq!(packet, SACK_OUT);
        Ok(())
    }

    #[test]
    fn floor_raises_the_acknowledgement() -> Result<(), Malformed> {
        let mut packet = SACK_IN;
        let seg = parse(&packet, Family::V4, packet.len())?;
        let floor = Some(Seq(0x0cd8_ac41));
        EDIT.apply(&mut packet, &seg, ChecksumField::Whole, floor)?;
        assert_eq!(packet, FLOOR_OUT);
        Ok(())
    }

    #[test]
    fn floor_below_changes_nothing() -> Result<(), Malformed> {
        let mut packet = SACK_IN;
        let seg = parse(&packet, Family::V4, packet.len())?;
        let floor = Some(Seq(0x0cd8_98b9));
        EDIT.apply(&mut packet, &seg, ChecksumField::Whole, floor)?;
        assert_eq!(packet, SACK_OUT);
        Ok(())
    }

    #[test]
    fn sack_is_blanked() -> Result<(), Malformed> {
        let mut packet = SACK_IN;
        let seg = parse(&packet, Family::V4, packet.len())?;
        let edit = Edit {
            sack: false,
            ..EDIT
        };
        edit.apply(&mut packet, &seg, ChecksumField::Whole, None)?;
        assert_eq!(packet, NOSACK_OUT);
        Ok(())
    }

    #[test]
    fn partial_checksum_v6() -> Result<(), Malformed> {
        let mut packet = V6_IN;
        let seg = parse(&packet, Family::V6, packet.len())?;
        EDIT_V6.apply(&mut packet, &seg, ChecksumField::PseudoHeader, None)?;
        assert_eq!(packet, V6_OUT);
        Ok(())
    }

    #[test]
    fn sack_v6() -> Result<(), Malformed> {
        let mut packet = V6_SACK_IN;
        let seg = parse(&packet, Family::V6, packet.len())?;
        EDIT_V6.apply(&mut packet, &seg, ChecksumField::Whole, None)?;
        assert_eq!(packet, V6_SACK_OUT);
        Ok(())
    }

    #[test]
    fn syn_without_ack() -> Result<(), Malformed> {
        let mut packet = SYN_IN;
        let seg = parse(&packet, Family::V4, packet.len())?;
        let floor = Some(Seq(0x7000_0000));
        EDIT.apply(&mut packet, &seg, ChecksumField::Whole, floor)?;
        assert_eq!(packet, SYN_OUT);
        Ok(())
    }

    #[test]
    fn errors_leave_the_packet() -> Result<(), Malformed> {
        let seg = parse(&SACK_IN, Family::V4, SACK_IN.len())?;
        let whole = ChecksumField::Whole;
        let mut packet = SACK_IN;
        let v6 = EDIT_V6.apply(&mut packet, &seg, whole, None);
        assert_eq!(v6, Err(Malformed::Contradiction));
        let short = EDIT.apply(&mut packet[..71], &seg, whole, None);
        assert_eq!(short, Err(Malformed::Truncated));
        assert_eq!(packet, SACK_IN);
        // A SACK option one byte longer than the header.
        let mut bad = SACK_IN;
        bad[52] = 22;
        packet = bad;
        let long = EDIT.apply(&mut packet, &seg, whole, None);
        assert_eq!(long, Err(Malformed::Contradiction));
        assert_eq!(packet, bad);
        Ok(())
    }

    #[test]
    fn windows() {
        assert_eq!(rescale(502, 7, 9), 125);
        assert_eq!(rescale(502, 9, 7), 2008);
        assert_eq!(rescale(60_000, 9, 7), 65_535);
        // No room is promised that is not there.
        assert_eq!(rescale(3, 7, 9), 0);
        assert_eq!(rescale(7, 7, 9), 1);
        assert_eq!(rescale(0, 7, 9), 0);
        // Room for a segment is room: 7160 bytes in units of 8192, 536 and 535 in units of 16384.
        assert_eq!(rescale(7160, 0, 13), 1);
        assert_eq!(rescale(536, 0, 14), 1);
        assert_eq!(rescale(535, 0, 14), 0);
        // A scale above 14 counts as 14.
        assert_eq!(rescale(1, 255, 0), 16_384);
        assert_eq!(rescale(65_535, 255, 255), 65_535);
        assert_eq!(shrink(125, 9, 2000), 121);
        assert_eq!(shrink(125, 9, 64_000), 0);
        assert_eq!(shrink(125, 9, u32::MAX), 0);
    }

    #[test]
    fn reverse_is_its_own_inverse() {
        let arrives = FlowKey::v4([198, 51, 100, 7], 51234, [203, 0, 113, 10], 443);
        let reverse = EDIT.reverse(&arrives);
        assert_eq!(reverse.out, arrives.reverse());
        assert_eq!(reverse.seq_delta, 0x1357_9bdf);
        assert_eq!(reverse.ack_delta, 0xdb97_531f);
        assert_eq!(reverse.tsval_delta, 0x0102_0304);
        assert_eq!(reverse.tsecr_delta, 0xfffc_fdff);
        assert_eq!((reverse.wscale_in, reverse.wscale_out), (9, 7));
        assert_eq!(reverse.reverse(&EDIT.out.reverse()), EDIT);
    }
}
