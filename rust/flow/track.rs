// SPDX-License-Identifier: GPL-2.0

//! What a packet says about the life of its connection: acknowledgements, FIN, RST.

use super::{
    entry::{DRAINING, FIN_ACKED, FIN_SEEN},
    Flow, Terms,
};
use crate::xlate::{
    seq::Seq,
    tcp::{Flags, Segment},
};

/// What a RST is worth.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Rst {
    /// Its number is one that its receiver expects: the connection is over.
    Exact,
    /// Its number is near: the receiver decides (RFC 5961, section 3.2), the splice stays.
    Near,
    /// Its number is nowhere near the stream.
    Outside,
}

/// What the packet changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Seen {
    /// Nothing that ends anything.
    Open,
    /// Both FINs are acknowledged.
    Closed,
}

/// No window is larger: 65535 shifted by 14 (RFC 7323, section 2.3).
const MAX_WINDOW: u32 = 65535 << 14;

/// The next number that the receiver of `flow` expects, as far as it said so, in numbers as they arrive.
pub fn expected(terms: &Terms, reverse: &Flow, reverse_terms: &Terms) -> Seq {
    reverse
        .ack_last()
        .add(reverse_terms.edit.ack_delta)
        .max(terms.seq_origin)
}

/// Judges a RST of `flow`.
///
/// The receiver takes a RST only at exactly the number it expects. That is the highest it has
/// acknowledged, or, when an acknowledgement is still to come, the highest that was sent.
pub fn judge_rst(seg: &Segment, flow: &Flow, expected: Seq) -> Rst {
    if seg.seq == expected || seg.seq == flow.seq_next() {
        Rst::Exact
    } else if seg.seq.within(expected.sub(MAX_WINDOW), MAX_WINDOW.saturating_mul(2)) {
        Rst::Near
    } else {
        Rst::Outside
    }
}

/// Notes a packet of `flow` that is being carried.
#[inline]
pub fn note(seg: &Segment, flow: &Flow, terms: &Terms, reverse: &Flow) -> Seen {
    let end = seg.seq_end();
    flow.advance(end);
    if seg.flags.contains(Flags::FIN) && !flow.has(FIN_SEEN) {
        flow.mark(FIN_SEEN, 0);
    }
    if !seg.flags.contains(Flags::ACK) {
        return Seen::Open;
    }
    flow.note_ack(seg.ack);
    if flow.has(DRAINING) && seg.ack.at_or_after(terms.ack_origin) {
        flow.mark(0, DRAINING);
    }
    // After a FIN nothing higher is sent, so an acknowledgement of all covers it.
    if reverse.has(FIN_SEEN)
        && !reverse.has(FIN_ACKED)
        && seg.ack.add(terms.edit.ack_delta).at_or_after(reverse.seq_next())
    {
        reverse.mark(FIN_ACKED, 0);
        if flow.has(FIN_ACKED) {
            return Seen::Closed;
        }
    }
    Seen::Open
}
