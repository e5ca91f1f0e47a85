// SPDX-License-Identifier: GPL-2.0

//! What a packet says about the life of its connection: acknowledgements, FIN, RST.

use super::{
    entry::{DRAINING, FIN_ACKED, FIN_SEEN, PROMISED, SHARED},
    Flow, Terms,
};
use crate::xlate::{
    seq::Seq,
    tcp::{Flags, Segment},
};

/// What a RST is worth.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Rst {
    /// Its number is the one that its receiver expects: the connection is over.
    Exact,
    /// Its number is that after the last byte that was sent: the connection is over, if its receiver has got all.
    /// It is asked.
    Last,
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

/// How far a stream may run over the edge of its window and be believed: receivers take a segment,
/// GSO included, that starts within it, and a window that was rounded has no sharp edge.
const OVERRUN: u32 = 1 << 20;

/// The same of a flow that other hosts carry, too, and that may have gone on there.
const OVERRUN_SHARED: u32 = MAX_WINDOW;

#[inline]
fn overrun(flow: &Flow) -> u32 {
    if flow.has(SHARED) {
        OVERRUN_SHARED
    } else {
        OVERRUN
    }
}

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
/// acknowledged, or, when an acknowledgement is still to come, the highest that was sent; but somebody may have
/// made up what was sent last.
pub fn judge_rst(seg: &Segment, flow: &Flow, expected: Seq) -> Rst {
    if seg.seq == expected {
        Rst::Exact
    } else if seg.seq == flow.seq_next() {
        Rst::Last
    } else if seg
        .seq
        .within(expected.sub(MAX_WINDOW), MAX_WINDOW.saturating_mul(2))
    {
        Rst::Near
    } else {
        Rst::Outside
    }
}

/// Where the widest window ends that the receiver of a flow has opened, in numbers as they arrive.
#[inline]
pub fn reach(reverse: &Flow, reverse_terms: &Terms) -> Seq {
    reverse.edge().add(reverse_terms.edit.ack_delta)
}

/// Whether what a segment of `flow` ends with may have been sent: it is not far beyond the window that
/// the receiver has opened, or that the local socket had.
#[inline]
pub fn is_believable(
    seg: &Segment,
    flow: &Flow,
    terms: &Terms,
    reverse: &Flow,
    reverse_terms: &Terms,
) -> bool {
    let mut reach = reach(reverse, reverse_terms);
    if flow.has(PROMISED) {
        reach = promised(flow, terms, reach);
    }
    !seg.seq_end().after(reach.add(overrun(reverse)))
}

/// The further of what the receiver of `flow` lets its sender send and what the local socket had let it. What stays with
/// that socket was sent by its window, which may have been much the wider.
#[cold]
fn promised(flow: &Flow, terms: &Terms, reach: Seq) -> Seq {
    if terms.seq_promised.after(reach) {
        return terms.seq_promised;
    }
    // Half of all numbers later it would seem ahead again.
    flow.mark(0, PROMISED);
    reach
}

/// Where the window ends that a segment opens, in the numbers of its acknowledgement.
#[inline]
pub fn window_end(seg: &Segment, terms: &Terms) -> Seq {
    seg.ack
        .add(u32::from(seg.window) << terms.edit.wscale_in.min(14))
}

/// Whether the receiver of `flow` has acknowledged all that was carried.
pub fn is_acked(flow: &Flow, reverse: &Flow, reverse_terms: &Terms) -> bool {
    reverse
        .ack_last()
        .add(reverse_terms.edit.ack_delta)
        .at_or_after(flow.seq_next())
}

/// Whether both FINs are acknowledged, after what another host has seen of either flow was merged.
pub fn fins_acked(flow: &Flow, terms: &Terms, reverse: &Flow, reverse_terms: &Terms) -> bool {
    let acked = |flow: &Flow, reverse: &Flow, reverse_terms: &Terms| {
        if flow.has(FIN_SEEN) && is_acked(flow, reverse, reverse_terms) {
            flow.mark(FIN_ACKED, 0);
        }
        flow.has(FIN_ACKED)
    };
    let there = acked(flow, reverse, reverse_terms);
    acked(reverse, flow, terms) && there
}

/// Notes a packet of `flow` that is being carried; `tsval` is as it arrived.
///
/// What lies far beyond the window that its receiver has opened, or acknowledges such, is carried,
/// since the end hosts know best, and not believed: somebody else may have made it up.
#[inline]
pub fn note(
    seg: &Segment,
    tsval: Option<u32>,
    flow: &Flow,
    terms: &Terms,
    reverse: &Flow,
    reverse_terms: &Terms,
) -> Seen {
    flow.count();
    // Blind ones would move what later ones are judged by; true ones say nothing that counts here.
    if seg.flags.intersects(Flags::SYN.union(Flags::RST)) {
        return Seen::Open;
    }
    // All that a connection sends acknowledges something, and nothing that was never sent (RFC 5961,
    // section 5.2).
    if !seg.flags.contains(Flags::ACK) || seg.ack.after(flow.edge().add(overrun(flow))) {
        return Seen::Open;
    }
    if is_believable(seg, flow, terms, reverse, reverse_terms) {
        if let Some(tsval) = tsval {
            flow.note_tsval(tsval);
        }
        // Of one without bytes the number says only that bytes before it were sent, maybe lost.
        if seg.seq_len() > 0 {
            note_data(seg, flow, terms, reverse, reverse_terms);
        }
    }
    flow.note_ack(seg.ack, window_end(seg, terms));
    if flow.has(DRAINING) && seg.ack.at_or_after(terms.ack_origin) {
        flow.mark(0, DRAINING);
    }
    // After a FIN nothing higher is sent, so an acknowledgement of all covers it.
    if reverse.has(FIN_SEEN)
        && !reverse.has(FIN_ACKED)
        && seg
            .ack
            .add(terms.edit.ack_delta)
            .at_or_after(reverse.seq_next())
    {
        reverse.mark(FIN_ACKED, 0);
        if flow.has(FIN_ACKED) {
            return Seen::Closed;
        }
    }
    Seen::Open
}

/// Notes a segment of `flow` with data or a FIN.
#[inline]
fn note_data(seg: &Segment, flow: &Flow, terms: &Terms, reverse: &Flow, reverse_terms: &Terms) {
    let end = seg.seq_end();
    if flow.has(FIN_SEEN) && end.after(flow.seq_next()) {
        // A stream that goes on has not ended: the FIN was somebody else's.
        flow.mark(0, FIN_SEEN | FIN_ACKED);
    }
    flow.advance(end);
    // One that its receiver has gone past ends nothing. One before what was carried does not make that shorter: of the two,
    // the FIN is as easily made up.
    if seg.flags.contains(Flags::FIN)
        && !flow.has(FIN_SEEN)
        && end.after(expected(terms, reverse, reverse_terms))
    {
        flow.mark(FIN_SEEN, 0);
    }
}

#[cfg(CONFIG_KUNIT = "y")]
#[kernel::prelude::kunit_tests(tcp_splice_flow)]
mod tests {
    use super::*;
    use crate::{
        flow::{Direction, Start},
        xlate::{
            edit::Edit,
            ip::IpHeader,
            key::{Family, FlowKey},
        },
    };

    const CLIENT: Seq = Seq(0xffff_fff0);
    const SERVER: Seq = Seq(5000);

    /// Client numbers start at `CLIENT`, the server sees them from 1000 on; server numbers start at
    /// `SERVER`, the client sees them from 9000 on.
    fn terms(direction: Direction) -> Terms {
        let to_server = Edit {
            out: FlowKey::v4([10, 0, 0, 1], 40000, [10, 0, 0, 2], 80),
            seq_delta: 1000u32.wrapping_sub(CLIENT.0),
            ack_delta: SERVER.0.wrapping_sub(9000),
            tsval_delta: 0,
            tsecr_delta: 0,
            wscale_in: 7,
            wscale_out: 7,
            timestamps: false,
            sack: false,
        };
        let arrives = FlowKey::v4([192, 0, 2, 1], 50000, [192, 0, 2, 2], 80);
        match direction {
            Direction::ToServer => Terms {
                edit: to_server,
                seq_origin: CLIENT,
                seq_promised: CLIENT,
                ack_origin: Seq(9000),
                ack_floor: SERVER,
                tsecr_floor: 0,
                mss: 0,
                hop: None,
            },
            Direction::ToClient => Terms {
                edit: to_server.reverse(&arrives),
                seq_origin: SERVER,
                seq_promised: SERVER,
                ack_origin: Seq(1000),
                ack_floor: CLIENT,
                tsecr_floor: 0,
                mss: 0,
                hop: None,
            },
        }
    }

    fn start(seq_origin: Seq, ack_last: Seq) -> Start {
        Start {
            seq_origin,
            seq_next: seq_origin,
            ack_last,
            edge: ack_last.add(1000),
            tsval_last: 0,
            echo_last: 0,
            bytes: 0,
            limit: None,
            marks: 0,
        }
    }

    fn flows() -> (Flow, Flow) {
        let (a, b) = (
            Flow::new(Direction::ToServer),
            Flow::new(Direction::ToClient),
        );
        a.start(&start(CLIENT, Seq(9000)));
        b.start(&start(SERVER, Seq(1000)));
        (a, b)
    }

    fn segment(flags: Flags, seq: Seq, ack: Seq, payload_len: u32) -> Segment {
        let key = FlowKey::v4([0; 4], 0, [0; 4], 0);
        Segment {
            key,
            ip: IpHeader {
                family: Family::V4,
                header_len: 20,
                total_len: 40,
                protocol: 6,
                fragment: false,
                ttl: 64,
            },
            tcp_len: 20,
            seq,
            ack,
            flags,
            window: 100,
            payload_len,
        }
    }

    const FIN_ACK: Flags = Flags::FIN.union(Flags::ACK);

    #[test]
    fn bytes_count_once_and_over_the_turn_of_the_numbers() {
        let (flow, reverse) = flows();
        let (terms, back) = (terms(Direction::ToServer), terms(Direction::ToClient));
        let data = segment(Flags::ACK, CLIENT, Seq(9000), 100);
        note(&data, None, &flow, &terms, &reverse, &back);
        note(&data, None, &flow, &terms, &reverse, &back);
        assert_eq!(flow.carried().bytes, 100);
        assert_eq!(flow.carried().packets, 2);
        assert_eq!(flow.seq_next(), Seq(84));
        // Four gigabytes later the count is still right.
        let (mut seq, mut ack) = (Seq(84), Seq(1100));
        for _ in 0..5 {
            reverse.note_ack(ack, ack.add(1 << 30));
            let data = segment(Flags::ACK, seq, Seq(9000), 1 << 30);
            note(&data, None, &flow, &terms, &reverse, &back);
            (seq, ack) = (seq.add(1 << 30), ack.add(1 << 30));
        }
        assert_eq!(flow.carried().bytes, 100 + (5 << 30));
    }

    #[test]
    fn what_the_window_does_not_allow_is_not_believed() {
        let (a, b) = flows();
        let (ta, tb) = (terms(Direction::ToServer), terms(Direction::ToClient));
        // The server has opened 1000 bytes.
        let far = segment(FIN_ACK, CLIENT.add(1000 + OVERRUN), Seq(9000), 10);
        note(&far, None, &a, &ta, &b, &tb);
        assert_eq!(a.seq_next(), CLIENT);
        assert!(!a.has(FIN_SEEN));
        // The client has opened some thousand bytes, and cannot have got that much.
        let ack = Seq(30_000).add(OVERRUN);
        note(&segment(Flags::ACK, CLIENT, ack, 0), None, &a, &ta, &b, &tb);
        assert_eq!(a.ack_last(), Seq(9000));
        assert_eq!(a.carried().packets, 2);
    }

    #[test]
    fn what_the_local_socket_let_be_sent_is_believed() {
        let (a, b) = flows();
        let (mut ta, tb) = (terms(Direction::ToServer), terms(Direction::ToClient));
        ta.seq_promised = CLIENT.add(4 << 20);
        let believed = |end: u32| {
            let seg = segment(Flags::ACK, CLIENT.add(end), Seq(9000), 0);
            is_believable(&seg, &a, &ta, &b, &tb)
        };
        assert!(!believed(3 << 20));
        a.mark(PROMISED, 0);
        assert!(believed(3 << 20));
        assert!(believed((4 << 20) + OVERRUN));
        assert!(!believed((4 << 20) + OVERRUN + 1));
        // The receiver has caught up: from here on its word counts alone.
        b.note_ack(Seq(1000), Seq(1000).add(4 << 20));
        assert!(believed(4 << 20));
        assert!(!a.has(PROMISED));
        b.note_ack(Seq(1000), Seq(1000).add(1 << 30));
        b.note_ack(Seq(1000).add(1 << 30), Seq(1000).add(2 << 30));
        b.note_ack(
            Seq(1000).add(2 << 30),
            Seq(1000).add((2 << 30) + (64 << 20)),
        );
        assert!(!believed((2 << 30) + (100 << 20)));
    }

    #[test]
    fn a_fin_that_is_none_ends_nothing() {
        let (a, b) = flows();
        let (ta, tb) = (terms(Direction::ToServer), terms(Direction::ToClient));
        let up = |flags, seq, len| {
            note(&segment(flags, seq, Seq(9000), len), None, &a, &ta, &b, &tb);
        };
        // Of half of all numbers one may say that they are not beyond the window.
        up(FIN_ACK, CLIENT.sub(1 << 30), 0);
        assert!(!a.has(FIN_SEEN));
        // In the window, ahead of the stream, which goes on beyond it.
        up(FIN_ACK, CLIENT.add(500), 0);
        assert!(a.has(FIN_SEEN));
        up(Flags::ACK, CLIENT, 600);
        assert!(!a.has(FIN_SEEN));
        assert_eq!(a.carried().bytes, 600);
        up(FIN_ACK, CLIENT.add(600), 0);
        assert!(a.has(FIN_SEEN));
    }

    #[test]
    fn a_restored_flow_goes_on_counting() {
        let flow = Flow::new(Direction::ToServer);
        let bytes = (7u64 << 32) + 100;
        flow.start(&Start {
            seq_next: CLIENT.add(100),
            bytes,
            ..start(CLIENT, Seq(9000))
        });
        assert_eq!(flow.carried().bytes, bytes);
        flow.advance(CLIENT.add(101));
        assert_eq!(flow.carried().bytes, bytes + 1);
    }

    #[test]
    fn two_fins_acknowledged_close() {
        let (a, b) = flows();
        let (ta, tb) = (terms(Direction::ToServer), terms(Direction::ToClient));
        let up = |flags, ack| note(&segment(flags, CLIENT, Seq(ack), 0), None, &a, &ta, &b, &tb);
        let down = |flags, seq: Seq, ack, len| {
            note(&segment(flags, seq, Seq(ack), len), None, &b, &tb, &a, &ta)
        };
        // The server closes, the client acknowledges, and closes a while after.
        assert_eq!(down(FIN_ACK, SERVER, 1000, 10), Seen::Open);
        assert!(b.has(FIN_SEEN));
        assert_eq!(b.carried().bytes, 10);
        // An acknowledgement of all but the FIN.
        assert_eq!(up(Flags::ACK, 9010), Seen::Open);
        assert!(!b.has(FIN_ACKED));
        assert_eq!(up(Flags::ACK, 9011), Seen::Open);
        assert!(b.has(FIN_ACKED));
        assert_eq!(up(FIN_ACK, 9011), Seen::Open);
        assert_eq!(down(Flags::ACK, SERVER.add(11), 1001, 0), Seen::Closed);
        assert_eq!(a.carried().bytes, 0);
    }

    #[test]
    fn draining_ends_with_the_acknowledgement_of_all_that_was_sent() {
        let (a, b) = flows();
        let (ta, tb) = (terms(Direction::ToServer), terms(Direction::ToClient));
        a.start(&Start {
            marks: DRAINING,
            ..start(CLIENT, Seq(8000))
        });
        note(
            &segment(Flags::ACK, CLIENT, Seq(8999), 0),
            None,
            &a,
            &ta,
            &b,
            &tb,
        );
        assert!(a.has(DRAINING));
        // Nobody can have got this.
        let far = segment(Flags::ACK, CLIENT, Seq(30_000).add(OVERRUN), 0);
        note(&far, None, &a, &ta, &b, &tb);
        assert!(a.has(DRAINING));
        note(
            &segment(Flags::ACK, CLIENT, Seq(9000), 0),
            None,
            &a,
            &ta,
            &b,
            &tb,
        );
        assert!(!a.has(DRAINING));
    }

    #[test]
    fn a_rst_counts_at_the_exact_number_only() {
        let (a, b) = flows();
        let (ta, tb) = (terms(Direction::ToServer), terms(Direction::ToClient));
        note(
            &segment(Flags::ACK, CLIENT, Seq(9000), 50),
            None,
            &a,
            &ta,
            &b,
            &tb,
        );
        note(
            &segment(Flags::ACK, SERVER, Seq(1020), 0),
            None,
            &b,
            &tb,
            &a,
            &ta,
        );
        let expects = expected(&ta, &b, &tb);
        assert_eq!(expects, CLIENT.add(20));
        let rst = |seq: Seq| judge_rst(&segment(Flags::RST, seq, Seq(0), 0), &a, expects);
        assert_eq!(rst(CLIENT.add(20)), Rst::Exact);
        // All that was sent, of which the acknowledgement may be still to come.
        assert_eq!(rst(CLIENT.add(50)), Rst::Last);
        assert_eq!(rst(CLIENT.add(21)), Rst::Near);
        assert_eq!(rst(CLIENT), Rst::Near);
        assert_eq!(rst(CLIENT.add(0x7000_0000)), Rst::Outside);
    }
}
