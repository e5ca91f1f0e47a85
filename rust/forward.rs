// SPDX-License-Identifier: GPL-2.0

//! Packets that go to another host and are not looked into any further: to a node of a service, and those of a connection that
//! is there, as they are or with another destination.

use crate::{
    flow::{self, Terms, FIN_SEEN},
    hook::{checksum_field, drop_packet},
    net::{
        forward::{Hop, Unsent},
        netfilter::Verdict,
        route::LastRoute,
        skbuff::{Packet, Routed},
        time,
    },
    pernet::Ns,
    splice::{Reason, Splice},
    stats::Stat,
    xlate::{
        edit::Edit,
        ip::IpHeader,
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

/// A packet whose way is known, unless it is larger than that way takes or has come by too many hosts: then its sender is told, in its
/// own numbers, so that this comes before the edit. In packet context.
#[inline]
pub fn may_go_on(ns: &Ns, packet: Routed, ip: &IpHeader) -> Option<Routed> {
    if let Some(mtu) = packet.exceeds_mtu(ip.family) {
        ns.count(Stat::DropTooBig);
        packet.refuse_too_big(ip.family, mtu);
        return None;
    }
    if ip.ttl <= 1 {
        ns.count(Stat::DropTtl);
        packet.refuse_ttl_exceeded(ip.family);
        return None;
    }
    Some(packet)
}

/// Sends a packet on by the route to where the edit says, `last` if that is kept, with only that changed; one of a local socket goes on
/// being accounted for. `false` if it was dropped, which is counted. In packet context.
#[inline]
pub fn translate(
    ns: &Ns,
    packet: Packet,
    seg: &Segment,
    edit: &Edit,
    last: Option<&LastRoute>,
    local: bool,
) -> bool {
    if packet.is_lro() {
        drop_packet(ns, packet, Stat::DropMalformed);
        return false;
    }
    let field = checksum_field(&packet);
    let routed = match last {
        Some(last) => packet.route_again(ns.net, &edit.out, last),
        None => packet.route(ns.net, &edit.out),
    };
    let packet = match routed {
        Ok(packet) => packet,
        Err(packet) => {
            drop_packet(ns, packet, Stat::DropNoRoute);
            return false;
        }
    };
    let Some(mut packet) = may_go_on(ns, packet, &seg.ip) else {
        return false;
    };
    let Some(headers) = packet.writable(seg.headers_len()) else {
        ns.count(Stat::DropNoMemory);
        return false;
    };
    if edit.apply(headers, seg, field, None).is_err() {
        ns.count(Stat::DropMalformed);
        return false;
    }
    if local {
        packet.output_own(ns.net);
    } else {
        packet.output(ns.net);
    }
    true
}

/// How long a client that has closed its way says nothing before it uses the same addresses and ports again, milliseconds: one that
/// remembers the old connection by its timestamps waits for a second (Linux: tcp_twsk_unique()).
const REUSE_MS: u64 = 1_000;

/// How far the FIN of a client is believed to be from what was seen last, bytes.
const FIN_REACH: u32 = 1 << 20;

/// In a tunnel from the address that the route says.
pub fn any_source() -> [u8; 16] {
    [0; 16]
}

/// A packet of a connection that has moved to another host, or that this host sees one way of only. That host judges it; what its client says here only tells how
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
    // The client has closed its way, and uses the same addresses and ports again: that is for this host. Not so soon: as long as
    // the server is answering, somebody else may have made it up, and the server knows best (RFC 5961, section 4).
    let opens = seg.flags.contains(Flags::SYN) && !seg.flags.contains(Flags::ACK);
    if opens
        && flow.has(FIN_SEEN)
        && flow.idle() as usize >= time::from_ms(REUSE_MS)
        && packet.checksum_ok(seg.ip.family, seg.ip.header_len)
    {
        splice.end(Reason::Fin);
        splice.replace();
        return Verdict::Accept(packet);
    }
    flow.count();
    let is_rst = seg.flags.contains(Flags::RST);
    let mut closed = false;
    // A SYN that is sent again says nothing, nor does one that was made up.
    if !seg.flags.intersects(Flags::RST.union(Flags::SYN)) {
        let headers = terms
            .edit
            .timestamps
            .then(|| packet.pull(seg.headers_len()));
        if let Some((tsval, tsecr)) = headers.flatten().and_then(|bytes| seg.timestamps(bytes)) {
            flow.note_tsval(tsval);
            splice.note_echo(tsecr);
        }
        // Somebody may have made it up, who does not know the number. What comes before it may be lost, or come again with it.
        let (end, top) = (seg.seq_end(), flow.seq_next());
        let ends = seg.flags.contains(Flags::FIN);
        let fin = ends
            && end.after(top)
            && end.distance(top) <= FIN_REACH
            && packet.checksum_ok(seg.ip.family, seg.ip.header_len);
        if seg.seq_len() > 0 && ends == fin {
            flow.advance(end);
        }
        flow.note_ack(seg.ack, flow::window_end(seg, terms));
        closed = fin && flow.mark(FIN_SEEN, 0) & FIN_SEEN == 0;
    }
    let (sent, stat) = if hop.output.is_unchanged() {
        let guard = rcu::read_lock();
        let sent = send(ns, packet, seg.ip.family, hop, any_source, &guard);
        (sent, Stat::Forwarded)
    } else {
        let sent = translate(ns, packet, seg, &terms.edit, Some(flow.route()), false);
        (sent, Stat::Translated)
    };
    if !sent {
        return Verdict::Stolen;
    }
    ns.count(stat);
    if is_rst {
        // It may be made up. A client that is there says something else when it is asked.
        splice.suspect_reset(flow.direction());
    } else {
        splice.is_there();
        if closed {
            splice.is_served();
            splice.look_when_closed();
        }
    }
    Verdict::Stolen
}
