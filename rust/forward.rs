// SPDX-License-Identifier: GPL-2.0

//! Packets that go to another host as they are: to a node of a service, and those of a connection that has moved there.

use crate::{
    flow::{self, Terms, FIN_SEEN},
    hook::drop_packet,
    net::{
        forward::{Hop, Unsent},
        netfilter::Verdict,
        skbuff::Packet,
    },
    pernet::Ns,
    splice::{Reason, Splice},
    stats::Stat,
    xlate::{
        key::Family,
        tcp::{Flags, Segment},
    },
};
use kernel::sync::rcu;

/// Sends a packet, unchanged, to another host; in a tunnel from `source`, unless that is zero. `false` if it was dropped, which
/// is counted. In packet context.
#[inline]
pub fn send(
    ns: &Ns,
    packet: Packet,
    family: Family,
    hop: &Hop,
    source: impl FnOnce() -> [u8; 16],
    guard: &rcu::Guard,
) -> bool {
    if packet.is_lro() {
        drop_packet(ns, packet, Stat::DropMalformed);
        return false;
    }
    let (packet, why) = match packet.send_to(ns.net, family, hop, source, guard) {
        Ok(()) => return true,
        Err(Unsent::NoRoute(packet)) => (packet, Stat::DropNoRoute),
        Err(Unsent::NoMemory(packet)) => (packet, Stat::DropNoMemory),
        Err(Unsent::Loop(packet)) => (packet, Stat::DropLoop),
        Err(Unsent::TooBig(packet, mtu)) => {
            ns.count(Stat::DropTooBig);
            packet.refuse_too_big(family, mtu);
            return false;
        }
    };
    drop_packet(ns, packet, why);
    false
}

/// In a tunnel from the address that the route says.
pub fn any_source() -> [u8; 16] {
    [0; 16]
}

/// A packet of a connection that has moved to another host. That host judges it; what its client says here only tells how
/// far it has come, and whether it is still there.
pub fn moved(
    ns: &Ns,
    splice: &Splice,
    flow: &flow::Entry,
    terms: &Terms,
    hop: &Hop,
    mut packet: Packet,
    seg: &Segment,
) -> Verdict {
    // The client has closed its way, and uses the same addresses and ports again: that is for this host.
    let opens = seg.flags.contains(Flags::SYN) && !seg.flags.contains(Flags::ACK);
    if opens && flow.has(FIN_SEEN) {
        splice.end(Reason::Fin);
        splice.replace();
        return Verdict::Accept(packet);
    }
    flow.count();
    let is_rst = seg.flags.contains(Flags::RST);
    let mut closed = false;
    if !is_rst {
        let headers = terms
            .edit
            .timestamps
            .then(|| packet.pull(seg.headers_len()));
        if let Some((tsval, _)) = headers.flatten().and_then(|bytes| seg.timestamps(bytes)) {
            flow.note_tsval(tsval);
        }
        // Somebody may have made it up, who does not know the number.
        let fin = seg.flags.contains(Flags::FIN) && seg.seq == flow.seq_next();
        if seg.seq_len() > 0 {
            flow.advance(seg.seq_end());
        }
        flow.note_ack(seg.ack, flow::window_end(seg, terms));
        closed = fin && flow.mark(FIN_SEEN, 0) & FIN_SEEN == 0;
    }
    if !send(
        ns,
        packet,
        seg.ip.family,
        hop,
        any_source,
        &rcu::read_lock(),
    ) {
        return Verdict::Stolen;
    }
    ns.count(Stat::Forwarded);
    if is_rst {
        // It may be made up. A client that is there says something else when it is asked.
        splice.suspect_reset(flow.direction());
    } else {
        splice.is_there();
        if closed {
            splice.look_when_closed();
        }
    }
    Verdict::Stolen
}
