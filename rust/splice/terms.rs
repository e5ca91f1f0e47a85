// SPDX-License-Identifier: GPL-2.0

//! The numbers of a splice: from two sockets, or as another host gives them.

use super::Refusal;
use crate::{
    flow::{Terms, DRAINING, ECHOING, ENDED, FIN_SEEN, FLOORED, LIMITED, PROMISED},
    net::leg::Numbers,
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
    /// Where the widest window seen ends, in the numbers of `ack_last`.
    pub edge: Seq,
    /// Highest TSval seen, as it arrives.
    pub tsval_last: u32,
    /// TSecr seen last, as it arrives.
    pub echo_last: u32,
    /// Bytes from `seq_origin` on that are carried; no more, if it is said.
    pub limit: Option<u64>,
    /// As [`crate::flow::Start::marks`].
    pub marks: u32,
    /// Bytes carried.
    pub bytes: u64,
}

/// A local socket as it stands when nothing moves: its numbers, and what of it goes on end to end.
#[derive(Clone, Copy)]
pub(super) struct Stand<'a> {
    /// The socket's numbers.
    pub numbers: &'a Numbers,
    /// Number of the first byte of its peer that is carried end to end. All before was read, or moved; what the
    /// socket has received from there on is for its owner, who gets it back.
    pub origin: Seq,
    /// Its peer's FIN was moved to the other socket.
    pub fin_moved: bool,
    /// Its peer's FIN stays with it.
    pub ended: bool,
    /// Bytes from `origin` on that are carried; no more, if it is said.
    pub limit: Option<u64>,
}

/// The row of packets that come from the peer of `from` and go to the peer of `to`.
pub(super) fn row(from: &Stand<'_>, to: &Stand<'_>) -> Row {
    let (origin, to_origin) = (from.origin, to.origin);
    let mut marks = 0;
    if from.fin_moved {
        marks |= FIN_SEEN;
    }
    if from.limit.is_some() {
        marks |= LIMITED;
    }
    if from.ended {
        marks |= ENDED;
    }
    let limit = from.limit;
    let seq_promised = from.numbers.rcv_edge;
    if seq_promised.after(origin) {
        marks |= PROMISED;
    }
    let (from, to) = (from.numbers, to.numbers);
    if !from.drained() {
        marks |= DRAINING;
    }
    if from.timestamps && to.timestamps {
        marks |= ECHOING;
    }
    if to.rcv_nxt != to_origin {
        marks |= FLOORED;
    }
    Row {
        key: from.arrives,
        terms: Terms {
            edit: Edit {
                out: to.arrives.reverse(),
                // What arrives next is sent next.
                seq_delta: to.write_seq.distance(origin),
                ack_delta: to_origin.distance(from.write_seq),
                // The sender's clock goes on a little ahead of ours toward the receiver: never back,
                // since what arrives from here on is no older than the last that arrived.
                tsval_delta: ahead(to).wrapping_sub(from.ts_recent),
                tsecr_delta: to.ts_recent.wrapping_sub(ahead(from)),
                wscale_in: from.wscale_in,
                wscale_out: to.wscale_out,
                timestamps: from.timestamps && to.timestamps,
                sack: from.sack && to.sack,
            },
            seq_origin: origin,
            seq_promised,
            ack_origin: from.write_seq,
            ack_floor: to.rcv_nxt,
            tsecr_floor: to.ts_recent,
            mss: if from.our_mss > to.peer_mss {
                to.peer_mss
            } else {
                0
            },
            hop: None,
        },
        seq_next: origin,
        ack_last: from.snd_una,
        edge: from.snd_edge,
        tsval_last: from.ts_recent,
        echo_last: from.tsecr,
        limit,
        marks,
        bytes: 0,
    }
}

/// What our TSval toward a peer goes on from.
///
/// A local socket that drains goes on stamping with its own clock, and what it sends is in order;
/// what passes meanwhile may have been queued on its way here for a while, and would be too old then
/// (RFC 7323, section 5.3). Ahead by as much as that may be, it is not. The other way round does no
/// harm: what the local socket repeats after newer data has arrived, the receiver has already.
pub(super) fn ahead(leg: &Numbers) -> u32 {
    const MS: u32 = 500;
    leg.tsval
        .wrapping_add(if leg.usec { MS * 1000 } else { MS })
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

#[cfg(CONFIG_KUNIT = "y")]
#[kernel::prelude::kunit_tests(tcp_splice_terms)]
mod tests {
    use super::*;
    use crate::net::leg::TcpState;

    fn numbers(
        arrives: FlowKey,
        rcv_nxt: u32,
        write_seq: u32,
        tsval: u32,
        ts_recent: u32,
    ) -> Numbers {
        Numbers {
            arrives,
            state: TcpState::Established,
            rcv_nxt: Seq(rcv_nxt),
            rcv_edge: Seq(rcv_nxt),
            copied_seq: Seq(rcv_nxt),
            snd_una: Seq(write_seq),
            write_seq: Seq(write_seq),
            snd_edge: Seq(write_seq),
            wscale_in: 7,
            wscale_out: 9,
            tsval,
            ts_recent,
            tsecr: tsval,
            peer_mss: 1460,
            our_mss: 1460,
            timestamps: true,
            sack: true,
            ecn: false,
            accecn: false,
            scoped: false,
            signed: false,
            ulp: false,
            urgent: false,
            usec: false,
            dead: false,
        }
    }

    fn legs() -> (Numbers, Numbers) {
        let client = FlowKey::v4([192, 0, 2, 9], 5555, [192, 0, 2, 1], 80);
        let server = FlowKey::v4([10, 0, 0, 2], 8080, [10, 0, 0, 1], 40000);
        (
            numbers(client, 0xffff_ff00, 7000, 100, 50_000),
            numbers(server, 300, 0x8000_0000, 2_000_000, 77),
        )
    }

    fn stand(numbers: &Numbers) -> Stand<'_> {
        Stand {
            numbers,
            origin: numbers.rcv_nxt,
            fin_moved: false,
            ended: false,
            limit: None,
        }
    }

    #[test]
    fn numbers_of_one_side_become_those_of_the_other() {
        let (client, server) = legs();
        let to_server = row(&stand(&client), &stand(&server));
        let edit = &to_server.terms.edit;
        assert!(edit.out == server.arrives.reverse());
        // The next byte expected from the client is the next one the server expects from us.
        assert_eq!(client.rcv_nxt.add(edit.seq_delta), server.write_seq);
        // What the client acknowledges of ours, it acknowledges of the server's.
        assert_eq!(client.write_seq.add(edit.ack_delta), server.rcv_nxt);
        // The client's clock goes on ahead of ours toward the server; ours comes back as the server's.
        assert_eq!(
            client.ts_recent.wrapping_add(edit.tsval_delta),
            server.tsval + 500
        );
        assert_eq!(
            (client.tsval + 500).wrapping_add(edit.tsecr_delta),
            server.ts_recent
        );
        // The client's windows come in its scale, and go out in the one announced to the server.
        assert_eq!((edit.wscale_in, edit.wscale_out), (7, 9));
        assert_eq!(to_server.marks, ECHOING);
    }

    #[test]
    fn unacknowledged_bytes_and_a_fin_leave_marks() {
        let (mut client, server) = legs();
        client.snd_una = client.write_seq.sub(1);
        let from = Stand {
            fin_moved: true,
            ..stand(&client)
        };
        let to_server = row(&from, &stand(&server));
        assert_eq!(to_server.marks, DRAINING | ECHOING | FIN_SEEN);
        assert_eq!(to_server.ack_last, client.snd_una);
    }

    #[test]
    fn what_stays_with_the_socket_is_not_counted_in() {
        let (mut client, mut server) = legs();
        // Ten bytes of the client stay in its socket, and its segments may be too large.
        let origin = client.rcv_nxt;
        client.rcv_nxt = client.rcv_nxt.add(10);
        server.peer_mss = 1200;
        let from = Stand {
            origin,
            limit: Some(0),
            ..stand(&client)
        };
        let to_server = row(&from, &stand(&server));
        let to_client = row(&stand(&server), &from);
        assert!(check_rows(&to_server, &to_client).is_ok());
        assert_eq!(origin.add(to_server.terms.edit.seq_delta), server.write_seq);
        assert_eq!(to_server.marks & (LIMITED | FLOORED), LIMITED);
        // What the server acknowledges is raised to what the client was told.
        assert_eq!(to_client.marks & (LIMITED | FLOORED), FLOORED);
        assert_eq!(to_client.terms.ack_floor, client.rcv_nxt);
        assert_eq!((to_server.terms.mss, to_client.terms.mss), (1200, 0));
    }

    #[test]
    fn rows_must_be_each_others_reverse() {
        let (client, server) = legs();
        let to_server = row(&stand(&client), &stand(&server));
        let to_client = row(&stand(&server), &stand(&client));
        assert!(check_rows(&to_server, &to_client).is_ok());
        let mut wrong = to_client;
        wrong.terms.edit.seq_delta ^= 1;
        assert!(matches!(
            check_rows(&to_server, &wrong),
            Err(Refusal::NotReverseNumbers)
        ));
        wrong = to_client;
        wrong.key.sport = [0, 1];
        assert!(matches!(
            check_rows(&to_server, &wrong),
            Err(Refusal::NotReverseAddresses)
        ));
        wrong = to_client;
        wrong.marks = DRAINING;
        assert!(matches!(
            check_rows(&to_server, &wrong),
            Err(Refusal::Draining)
        ));
    }
}
