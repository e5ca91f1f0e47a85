// SPDX-License-Identifier: GPL-2.0

//! The numbers of a splice: from two sockets, or as another host gives them.

use super::Refusal;
use crate::{
    flow::{Terms, DRAINING, FIN_SEEN},
    net::socket::{Numbers, TcpState},
    xlate::{edit::Edit, key::FlowKey, seq::Seq},
};

/// One flow in numbers: what `get` shows and `new` takes.
#[derive(Clone, Copy)]
pub struct Row {
    /// Key of packets that arrive.
    pub key: FlowKey,
    /// What never changes.
    pub terms: Terms,
    /// As it arrives, after the highest byte or FIN seen.
    pub seq_next: Seq,
    /// Highest acknowledgement seen, as it arrives.
    pub ack_last: Seq,
    /// [`DRAINING`], [`FIN_SEEN`], [`crate::flow::FIN_ACKED`].
    pub marks: u32,
    /// Bytes carried.
    pub bytes: u64,
}

/// The row of packets that come from the peer of `from` and go to the peer of `to`.
///
/// `from` and `to` are as they stand when nothing is unread and the sockets are still;
/// `from_state` is where `from` stood before a FIN of the other side was moved to it.
pub(super) fn row(from: &Numbers, from_state: TcpState, to: &Numbers) -> Row {
    let mut marks = 0;
    if !from.drained() {
        marks |= DRAINING;
    }
    if from_state == TcpState::CloseWait {
        marks |= FIN_SEEN;
    }
    Row {
        key: from.arrives,
        terms: Terms {
            edit: Edit {
                out: to.arrives.reverse(),
                // What arrives next is sent next.
                seq_delta: to.write_seq.distance(from.rcv_nxt),
                ack_delta: to.rcv_nxt.distance(from.write_seq),
                // The sender's clock goes on where ours stands toward the receiver: never back, since
                // what arrives from here on is no older than the last that arrived.
                tsval_delta: to.tsval.wrapping_sub(from.ts_recent),
                tsecr_delta: to.ts_recent.wrapping_sub(from.tsval),
                wscale_in: from.wscale_in,
                wscale_out: to.wscale_out,
                timestamps: from.timestamps && to.timestamps,
                sack: from.sack && to.sack,
            },
            seq_origin: from.rcv_nxt,
            ack_origin: from.write_seq,
            ack_floor: to.rcv_nxt,
        },
        seq_next: from.rcv_nxt,
        ack_last: from.snd_una,
        marks,
        bytes: 0,
    }
}

/// Whether two rows are each other's reverse.
pub(super) fn check_rows(to_server: &Row, to_client: &Row) -> Result<(), Refusal> {
    let (a, b) = (&to_server.terms.edit, &to_client.terms.edit);
    if a.out.reverse() != to_client.key || b.out.reverse() != to_server.key {
        return Err(Refusal::NotReverseAddresses);
    }
    let inverse = |x: u32, y: u32| x.wrapping_add(y) == 0;
    let numbers = inverse(a.seq_delta, b.ack_delta) && inverse(b.seq_delta, a.ack_delta);
    let stamps = inverse(a.tsval_delta, b.tsecr_delta) && inverse(b.tsval_delta, a.tsecr_delta);
    if !numbers || (a.timestamps && !stamps) || a.timestamps != b.timestamps {
        return Err(Refusal::NotReverseNumbers);
    }
    if (to_server.marks | to_client.marks) & DRAINING != 0 {
        return Err(Refusal::Draining);
    }
    Ok(())
}
