// SPDX-License-Identifier: GPL-2.0

//! The packet path: parse, look up, edit, send on.
//!
//! [`received`] sees every received packet of a namespace that has splices or services, before connection
//! tracking does. A packet of a flow leaves from here, by the route to its new destination; the local
//! stack, its filters and its connection tracking do not see it. One of a service that has no flow is
//! for [`crate::dispatch`]. [`local_out`] carries what the local server of a split splice sends, and watches what the
//! dormant local sockets of a splice still say.
//!
//! The packet is rewritten in [`crate::xlate::edit`].

use crate::{
    dispatch::{self, Way},
    flow::{
        self, Direction, Rst, Seen, DRAINING, ECHOING, ENDED, FLOORED, FROZEN, KEPT, LIMITED,
        PROMISED, SHARED, UNPROVEN, WAITING,
    },
    forward,
    net::{
        netfilter::{Filter, Hook, HookState, Verdict},
        skbuff::Packet,
    },
    pernet::Ns,
    splice::{Heard, Hold, Phase, Reason, Since, Splice},
    stats::Stat,
    xlate::{
        build::{build_drain_ack, recut},
        checksum,
        edit::{narrow, set_ack, set_window, ChecksumField, Edit},
        icmp,
        ip::{self, IpHeader, Malformed, MAX_HEADERS},
        key::{Family, FlowKey},
        options::STAMPS_LEN,
        seq::Seq,
        tcp::{self, Flags, Segment},
    },
};
use kernel::{
    prelude::*,
    sync::{
        barrier::{smp_mb, Full},
        rcu,
    },
};

/// Whose packet it is that is carried.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Origin {
    /// It came in.
    Received,
    /// A socket of this host sent it.
    Local,
    /// It came in a while ago, and its receiver had no room for it.
    Waited(Since),
}

impl Filter for Ns {
    #[inline]
    fn filter(&self, packet: Packet, state: HookState, guard: &rcu::Guard) -> Verdict {
        if self.is_empty() {
            return Verdict::Accept(packet);
        }
        match state.hook {
            Hook::PreRouting => received(self, packet, state.family, Way::Bare, guard),
            Hook::LocalOut => local_out(self, packet, state, guard),
        }
    }
}

/// The IP header of a packet, up to the transport header; `None` if it cannot be read.
#[inline]
fn parse_ip(packet: &mut Packet, family: Family) -> Option<IpHeader> {
    let len = packet.size();
    let mut want = len.min(ip::header_len(family) + tcp::HEADER_LEN);
    loop {
        match ip::parse_ip(packet.pull(want)?, family) {
            Ok(header) => return Some(header),
            Err(Malformed::Truncated) if want < len.min(MAX_HEADERS) => {
                want = len.min(MAX_HEADERS);
            }
            Err(_) => return None,
        }
    }
}

/// The key of a TCP packet; `None` for anything else.
#[inline]
fn parse_key(packet: &mut Packet, ip: &IpHeader) -> Option<FlowKey> {
    if ip.protocol != checksum::TCP || ip.fragment {
        return None;
    }
    let bytes = packet.pull(ip.header_len.checked_add(tcp::HEADER_LEN)?)?;
    ip::key_of(bytes, ip).ok()
}

/// The TCP header of a packet of a flow.
#[inline]
pub fn parse_segment(packet: &mut Packet, ip: &IpHeader) -> Option<Segment> {
    let len = packet.size();
    let bytes = packet.pull(ip.header_len.checked_add(tcp::HEADER_LEN)?)?;
    let tcp_len = tcp::tcp_header_len(bytes, ip).ok()?;
    let bytes = packet.pull(ip.header_len.checked_add(tcp_len)?)?;
    tcp::parse_tcp(bytes, ip, len).ok()
}

/// A packet that came in, by itself or in a tunnel of a service.
#[inline]
pub fn received(
    ns: &Ns,
    mut packet: Packet,
    family: Family,
    way: Way,
    guard: &rcu::Guard,
) -> Verdict {
    let Some(ip) = parse_ip(&mut packet, family) else {
        return Verdict::Accept(packet);
    };
    let Some(key) = parse_key(&mut packet, &ip) else {
        return icmp_error(ns, packet, &ip, way, guard);
    };
    let Some((splice, flow)) = ns.flows.lookup(&key, guard) else {
        return dispatch::without_flow(ns, packet, &key, &ip, way, guard);
    };
    let direction = flow.direction();
    match of_splice(ns, splice, direction, packet, &ip) {
        // A new connection has taken its place.
        Verdict::Accept(packet) if splice.is_replaced() => {
            dispatch::reopened(ns, packet, &key, &ip, guard)
        }
        verdict => verdict,
    }
}

/// A packet of a splice that came in.
#[inline]
fn of_splice(
    ns: &Ns,
    splice: &Splice,
    direction: Direction,
    packet: Packet,
    ip: &IpHeader,
) -> Verdict {
    match splice.phase() {
        Phase::Live => carry(ns, splice, direction, packet, ip, Origin::Received),
        Phase::Arming | Phase::Settling => match splice.hold(packet) {
            Hold::Kept => {
                ns.count(Stat::Held);
                Verdict::Stolen
            }
            Hold::Full(packet) => drop_packet(ns, packet, Stat::DropHeld),
            Hold::Live(packet) => carry(ns, splice, direction, packet, ip, Origin::Received),
            Hold::Aborted(packet) => Verdict::Accept(packet),
        },
        Phase::Opening => opening(ns, splice, direction, packet, ip),
        Phase::Tombstone | Phase::Cut => late(ns, splice, direction, packet, ip, Origin::Received),
        Phase::Returned | Phase::Aborted => Verdict::Accept(packet),
    }
}

/// A packet of a connection that was given to a server, which has not answered. All of them are carried: the ends know best what
/// they are, and what nobody asked for finds a TCP that says so.
#[cold]
pub fn opening(
    ns: &Ns,
    splice: &Splice,
    direction: Direction,
    mut packet: Packet,
    ip: &IpHeader,
) -> Verdict {
    let Some(seg) = parse_segment(&mut packet, ip) else {
        return drop_packet(ns, packet, Stat::DropMalformed);
    };
    // What it says is believed.
    if !packet.checksum_ok(ip.family, ip.header_len) {
        return drop_packet(ns, packet, Stat::DropMalformed);
    }
    let Some(headers) = packet.pull(seg.headers_len()) else {
        return drop_packet(ns, packet, Stat::DropNoMemory);
    };
    let over = match splice.hear(direction, &seg, headers) {
        Heard::Answer => return carry(ns, splice, direction, packet, ip, Origin::Received),
        Heard::Another => {
            splice.give_up(Reason::ResetByClient);
            return Verdict::Accept(packet);
        }
        Heard::Refusal(reason) => Some(reason),
        Heard::Nothing => None,
    };
    let Some(edit) = splice.opening_edit(direction) else {
        return drop_packet(ns, packet, Stat::DropNoRow);
    };
    splice.flow(direction).count();
    if forward::translate(ns, packet, &seg, &edit, None, false) {
        ns.count(Stat::Translated);
    }
    if let Some(reason) = over {
        splice.give_up(reason);
    }
    Verdict::Stolen
}

/// What came in and is no TCP: an ICMP error about a packet that left here translated goes to who
/// sent it, about the packet as that was; everything else passes.
#[cold]
fn icmp_error(ns: &Ns, mut packet: Packet, ip: &IpHeader, way: Way, guard: &rcu::Guard) -> Verdict {
    if !icmp::is_icmp(ip) {
        return dispatch::other(ns, packet, ip, way, guard);
    }
    let len = packet.size().min(MAX_HEADERS);
    let Some(Ok(Some(quote))) = packet.pull(len).map(|bytes| icmp::parse_quote(bytes, ip)) else {
        return dispatch::other(ns, packet, ip, way, guard);
    };
    // It goes the way of what answers the quoted packet.
    let Some((splice, flow)) = ns.flows.lookup(&quote.key.reverse(), guard) else {
        return dispatch::error_without_flow(ns, packet, &quote, way, guard);
    };
    let terms = splice.terms(flow.direction()).map(|(terms, _)| terms);
    let hop = terms.and_then(|terms| terms.hop.as_ref());
    if let Some(hop) = hop.filter(|hop| hop.output.is_unchanged()) {
        // About what the host that has the connection now has sent.
        if forward::send(ns, packet, ip.family, hop, forward::any_source, guard) {
            ns.count(Stat::IcmpErrors);
        }
        return Verdict::Stolen;
    }
    let edit = match terms {
        Some(terms) => Some(terms.edit),
        None => splice.opening_edit(flow.direction()),
    };
    let Some(edit) = edit else {
        return Verdict::Accept(packet);
    };
    // What a dormant socket has sent is its own affair.
    let own = flow.has(DRAINING) && terms.is_some_and(|terms| quote.seq.before(terms.ack_origin));
    if own || packet.checksum_is_partial() {
        return Verdict::Accept(packet);
    }
    let out = FlowKey {
        saddr: quote.from,
        ..edit.out
    };
    let mut packet = match packet.route(ns.net, &out) {
        Ok(packet) => packet,
        Err(packet) => return drop_packet(ns, packet, Stat::DropNoRoute),
    };
    if ip.ttl <= 1 {
        ns.count(Stat::DropTtl);
        return Verdict::Stolen;
    }
    let Some(headers) = packet.writable(len) else {
        ns.count(Stat::DropNoMemory);
        return Verdict::Stolen;
    };
    if edit.apply_quote(headers, &quote).is_err() {
        ns.count(Stat::DropMalformed);
        return Verdict::Stolen;
    }
    packet.output(ns.net);
    ns.count(Stat::IcmpErrors);
    Verdict::Stolen
}

/// A packet of a splice that has ended.
#[cold]
fn late(
    ns: &Ns,
    splice: &Splice,
    direction: Direction,
    mut packet: Packet,
    ip: &IpHeader,
    origin: Origin,
) -> Verdict {
    let Some(seg) = parse_segment(&mut packet, ip) else {
        return drop_packet(ns, packet, Stat::DropMalformed);
    };
    // The addresses and ports are used again.
    if seg.flags.contains(Flags::SYN) && !seg.flags.contains(Flags::ACK) {
        splice.replace();
        return Verdict::Accept(packet);
    }
    if splice.phase() == Phase::Tombstone {
        return carry(ns, splice, direction, packet, ip, origin);
    }
    if let (Some((terms, _)), true) = (splice.terms(direction), seg.flags.contains(Flags::RST)) {
        if let Some(hop) = &terms.hop {
            // Its server has not been told.
            return forward::moved(ns, splice, splice.flow(direction), terms, hop, packet, &seg);
        }
    }
    if !seg.flags.contains(Flags::RST) {
        // RFC 9293, section 3.10.7.1.
        if seg.flags.contains(Flags::ACK) {
            splice.send_rst(&seg.key, seg.ack, None);
        } else {
            splice.send_rst(&seg.key, Seq(0), Some(seg.seq_end()));
        }
        ns.count(Stat::Answered);
    }
    packet.consume();
    Verdict::Stolen
}

/// Drops a packet, and counts why.
pub fn drop_packet(ns: &Ns, packet: Packet, why: Stat) -> Verdict {
    ns.count(why);
    drop(packet);
    Verdict::Stolen
}

/// Carries a packet that was held while the splice was armed. In packet context.
pub fn carry_held(ns: &Ns, splice: &Splice, mut packet: Packet) {
    // A connection that goes back to the host that it came from takes with it what that has sent on.
    packet.forget_sender();
    if let Some((ip, direction)) = parse_held(splice, &mut packet) {
        carry(ns, splice, direction, packet, &ip, Origin::Received);
    }
}

/// Gives a packet that was held back to the socket it was for. In packet context.
pub fn return_held(
    splice: &Splice,
    mut packet: Packet,
    give: impl FnOnce(Direction, Packet, usize),
) {
    let Some((ip, direction)) = parse_held(splice, &mut packet) else {
        return;
    };
    let Some(seg) = parse_segment(&mut packet, &ip) else {
        return;
    };
    if !packet.checksum_ok(ip.family, ip.header_len) {
        return;
    }
    let acked = splice.flow(direction).ack_last();
    let is_old = seg.flags.contains(Flags::ACK) && acked.after(seg.ack);
    if is_old && splice.phase() == Phase::Returned {
        // More has been acknowledged since than an acknowledgement may be old (RFC 5961, section 5.2).
        let field = checksum_field(&packet);
        let window = splice
            .terms(direction)
            .map(|(terms, _)| window_from(splice.flow(direction), terms, acked));
        let set = packet
            .writable(seg.headers_len())
            .zip(window)
            .and_then(|(headers, window)| set_ack(headers, &seg, field, acked, window).ok());
        if set.is_none() {
            return;
        }
    }
    give(direction, packet, ip.header_len);
}

/// The window from `acked` to `edge`, as the field says it.
fn window_to(edge: Seq, acked: Seq, wscale: u8) -> u16 {
    let window = edge.max(acked).distance(acked) >> wscale.min(14);
    u16::try_from(window).unwrap_or(u16::MAX)
}

/// The window of the sender of a flow from `acked` on, as its field says it.
fn window_from(flow: &flow::Entry, terms: &flow::Terms, acked: Seq) -> u16 {
    window_to(flow.edge(), acked, terms.edit.wscale_in)
}

/// What the checksum field of a packet holds.
pub fn checksum_field(packet: &Packet) -> ChecksumField {
    if packet.checksum_is_partial() {
        ChecksumField::PseudoHeader
    } else {
        ChecksumField::Whole
    }
}

/// What a held packet is. It was parsed before it was held, so that this finds something.
fn parse_held(splice: &Splice, packet: &mut Packet) -> Option<(IpHeader, Direction)> {
    let ip = parse_ip(packet, splice.to_server().key().family)?;
    let key = parse_key(packet, &ip)?;
    Some((ip, splice.direction_of(&key)?))
}

/// Carries one packet of a flow: judged, edited, sent on.
#[inline]
fn carry(
    ns: &Ns,
    splice: &Splice,
    direction: Direction,
    mut packet: Packet,
    ip: &IpHeader,
    origin: Origin,
) -> Verdict {
    let Some((terms, reverse_terms)) = splice.terms(direction) else {
        return drop_packet(ns, packet, Stat::DropHeld);
    };
    // It stays where it was made: it is large.
    let mut parsed = parse_segment(&mut packet, ip);
    let Some(seg) = &mut parsed else {
        return drop_packet(ns, packet, Stat::DropMalformed);
    };
    if let Some(hop) = &terms.hop {
        return forward::moved(ns, splice, splice.flow(direction), terms, hop, packet, seg);
    }
    if packet.is_lro() {
        return drop_packet(ns, packet, Stat::DropMalformed);
    }
    let (flow, reverse) = (splice.flow(direction), splice.flow(direction.reverse()));

    let mut rst = Rst::Near;
    let is_rst = seg.flags.contains(Flags::RST);
    if is_rst {
        rst = flow::judge_rst(seg, flow, flow::expected(terms, reverse, reverse_terms));
        if rst == Rst::Outside || !packet.checksum_ok(ip.family, ip.header_len) {
            return drop_packet(ns, packet, Stat::DropInvalidRst);
        }
        if rst == Rst::Near && flow.has(WAITING) && splice.waits_until(direction) == Some(seg.seq) {
            rst = Rst::Last;
        }
    }
    // What the proxy has read comes again if its acknowledgement was lost. The receiver has other bytes in
    // that place, from us, and until it has got them it would take these. It comes once more.
    if reverse.has(DRAINING) && seg.seq_len() > 0 && seg.seq.before(terms.seq_origin) {
        packet.consume();
        return Verdict::Stolen;
    }
    // Nobody has looked at the checksum of a packet that would have been forwarded, and this would
    // be believed; its receiver drops it.
    if seg.flags.contains(Flags::FIN) && !packet.checksum_ok(ip.family, ip.header_len) {
        return drop_packet(ns, packet, Stat::DropMalformed);
    }
    if flow.has(UNPROVEN) && proves(seg, reverse, reverse_terms) {
        if !packet.checksum_ok(ip.family, ip.header_len) {
            return drop_packet(ns, packet, Stat::DropMalformed);
        }
        splice.is_proven();
    }
    let limited = flow.has(LIMITED | FROZEN) || reverse.has(LIMITED | FROZEN);
    let stops = seg.flags.contains(Flags::FIN) && splice.is_to_return();
    if (limited || stops) && rst == Rst::Near {
        match within_limit(ns, splice, direction, packet, seg) {
            Ok(within) => (packet, *seg) = within,
            Err(verdict) => {
                splice.look_if_settled();
                return verdict;
            }
        }
    }
    if flow.has(PROMISED) && seg.seq_len() > 0 && origin == Origin::Received {
        match within_window(ns, splice, direction, packet, seg) {
            Ok(within) => (packet, *seg) = within,
            Err(verdict) => return verdict,
        }
    }
    let mut ack_floor = None;
    if flow.has(DRAINING | FLOORED) {
        // Nobody has looked at the checksum of a packet that would have been forwarded, and this
        // one is believed.
        if !packet.checksum_ok(ip.family, ip.header_len) {
            return drop_packet(ns, packet, Stat::DropMalformed);
        }
        ack_floor = Some(terms.ack_floor);
        if flow.has(DRAINING) {
            // The socket may have received more than was carried, and expects what comes after that.
            let expects = reverse_terms.ack_floor;
            drain(ns, splice, direction, terms, expects, &mut packet, seg);
        }
    }
    if terms.mss != 0 {
        packet = match segment(ns, terms.mss, packet, seg) {
            Ok(packet) => packet,
            Err(verdict) => return verdict,
        };
    }

    let field = checksum_field(&packet);
    let packet = match packet.route_again(ns.net, &terms.edit.out, flow.route()) {
        Ok(packet) => packet,
        // A proxy may have one.
        Err(packet) if origin == Origin::Local => return Verdict::Accept(packet),
        Err(packet) => return drop_packet(ns, packet, Stat::DropNoRoute),
    };
    let Some(mut packet) = forward::may_go_on(ns, packet, ip) else {
        return Verdict::Stolen;
    };
    let Some(headers) = packet.writable(seg.headers_len()) else {
        ns.count(Stat::DropNoMemory);
        return Verdict::Stolen;
    };
    let tsval = terms
        .edit
        .timestamps
        .then(|| seg.timestamps(headers).map(|(tsval, _)| tsval))
        .flatten();
    let echoing = flow.has(ECHOING) || reverse.has(ECHOING);
    // Another host may have heard of a wider window. A RST must not be given a number that its receiver expects.
    let beyond = !flow.has(SHARED)
        && !is_rst
        && seg.seq_len() == 0
        && seg.seq.after(flow::reach(reverse, reverse_terms));
    let waited = match origin {
        Origin::Waited(since) => Some(since),
        Origin::Received | Origin::Local => None,
    };
    let edited = if beyond || echoing || waited.is_some() || reverse.has(KEPT | DRAINING) {
        let mut edit = terms.edit;
        if echoing {
            edit = echo(flow, reverse, terms, headers, seg);
        }
        if let Some(since) = waited {
            if renew(
                (flow, reverse),
                terms,
                since,
                &mut edit,
                headers,
                seg,
                field,
            )
            .is_err()
            {
                ns.count(Stat::DropMalformed);
                return Verdict::Stolen;
            }
        }
        if reverse.has(KEPT) {
            // More than is carried has come. The rest is not asked for, and what has come and is not acknowledged
            // is no reason to give up: the window is closed.
            let acked = seg.ack.add(edit.ack_delta);
            let room = reverse.limit().max(acked).distance(acked);
            let window = room.div_ceil(1 << edit.wscale_in.min(14));
            let window = u16::try_from(window).unwrap_or(u16::MAX);
            if narrow(headers, seg, field, window).is_err() {
                ns.count(Stat::DropMalformed);
                return Verdict::Stolen;
            }
        }
        if beyond {
            // The sender was let send more to the local socket than the receiver takes. An acknowledgement from
            // beyond its window is not looked at (RFC 9293, section 3.10.7.4), and if neither end takes one both wait.
            let back = flow::reach(reverse, reverse_terms).distance(seg.seq);
            edit.seq_delta = edit.seq_delta.wrapping_add(back);
        }
        if reverse.has(DRAINING) && seg.seq_len() == 0 {
            let ends = flow::reach(reverse, reverse_terms);
            if seg.seq.before(terms.seq_origin) || beyond && ends.before(terms.seq_origin) {
                edit.tsval_delta = not_ahead(reverse, &edit, headers, seg);
            }
        }
        edit.apply(headers, seg, field, ack_floor)
    } else {
        terms.edit.apply(headers, seg, field, ack_floor)
    };
    if edited.is_err() {
        ns.count(Stat::DropMalformed);
        return Verdict::Stolen;
    }
    let marks = (flow.marks(), reverse.marks());
    let seen = flow::note(seg, tsval, flow, terms, reverse, reverse_terms);
    match origin {
        Origin::Received | Origin::Waited(_) => packet.output(ns.net),
        Origin::Local => packet.output_own(ns.net),
    }
    ns.count(Stat::Translated);
    if reverse.has(PROMISED | WAITING) && waited.is_none() {
        carry_waiting(ns, splice, direction.reverse());
    }
    let now = (flow.marks(), reverse.marks());
    // Once no local socket drains, other hosts can carry it.
    let drained = (marks.0 | marks.1) & DRAINING != 0 && (now.0 | now.1) & DRAINING == 0;
    if drained || marks.0 & SHARED != 0 && marks != now {
        splice.tell_change();
    }

    if rst == Rst::Exact {
        splice.end_by_rst(direction);
    } else if rst == Rst::Last || rst == Rst::Near && is_rst && flow.has(SHARED) {
        // Near what is expected here; another host may know that it is exact.
        splice.suspect_reset(direction);
    } else if seen == Seen::Closed {
        splice.end(Reason::Fin);
    } else if limited || stops {
        splice.look_if_settled();
    }
    Verdict::Stolen
}

/// Whether who sends a segment has got what its server has answered.
#[cold]
fn proves(seg: &Segment, reverse: &flow::Entry, reverse_terms: &flow::Terms) -> bool {
    seg.flags.contains(Flags::ACK)
        && !seg.flags.intersects(Flags::SYN.union(Flags::RST))
        && seg.ack.at_or_after(reverse_terms.seq_origin)
        && !seg.ack.after(reverse.seq_next())
}

/// Takes off a packet what lies beyond the limit of its flow, and keeps it for the local socket toward its
/// sender. What is left is carried, if it says anything.
#[cold]
fn within_limit(
    ns: &Ns,
    splice: &Splice,
    direction: Direction,
    mut packet: Packet,
    seg: &Segment,
) -> Result<(Packet, Segment), Verdict> {
    let (flow, reverse) = (splice.flow(direction), splice.flow(direction.reverse()));
    let Some((terms, reverse_terms)) = splice.terms(direction) else {
        return Err(drop_packet(ns, packet, Stat::DropHeld));
    };
    let fin = seg.flags.contains(Flags::FIN);
    let beyond = flow.has(LIMITED | FROZEN) && seg.seq_end().after(flow.limit());
    if seg.flags.intersects(Flags::RST.union(Flags::SYN)) || !(seg.seq_len() > 0 || beyond) {
        return Ok((packet, *seg));
    }
    // What is believed, or summed anew, must be right; what was never sent would never be acknowledged.
    if !packet.checksum_ok(seg.ip.family, seg.ip.header_len) {
        return Err(drop_packet(ns, packet, Stat::DropMalformed));
    }
    if !(fin || beyond) {
        return Ok((packet, *seg));
    }
    if !flow::is_believable(seg, flow, terms, reverse, reverse_terms) {
        packet.consume();
        return Err(Verdict::Stolen);
    }
    let end = seg.seq.add(seg.payload_len);
    if fin && !(flow.has(LIMITED | FROZEN) && end.at_or_after(flow.limit())) {
        let top = flow.seq_next();
        if seg.seq.after(top) || end.before(top) {
            // It counts where the stream stands. Elsewhere it is sent again, if it was true.
            packet.consume();
            return Err(Verdict::Stolen);
        }
        flow.limit_to(end);
        flow.mark(LIMITED, 0);
    }
    if fin && flow.mark(ENDED, 0) & ENDED == 0 {
        splice.look_later();
    }
    let limit = flow.limit();
    if seg.seq_len() > 0 && seg.seq_end().after(limit) {
        flow.keep();
        match packet.copy() {
            Some(copy) => splice.keep(copy),
            None => ns.count(Stat::DropNoMemory),
        }
    }
    up_to(ns, flow, terms, limit, packet, seg)
}

/// Takes off a packet what lies at or after `limit`; what is left is carried, if it says anything.
#[cold]
fn up_to(
    ns: &Ns,
    flow: &flow::Entry,
    terms: &flow::Terms,
    limit: Seq,
    mut packet: Packet,
    seg: &Segment,
) -> Result<(Packet, Segment), Verdict> {
    let (seq, payload) = if seg.seq.after(limit) {
        (limit, 0)
    } else {
        (seg.seq, limit.distance(seg.seq).min(seg.payload_len))
    };
    let headers_len = seg.headers_len();
    let options = seg.tcp_len.saturating_sub(tcp::HEADER_LEN);
    let stamps = if terms.edit.timestamps { STAMPS_LEN } else { 0 };
    // The same acknowledgement twice would look as if something had been lost.
    let news = payload > 0
        || options > stamps
        || seg.seq_len() == 0
        || seg.ack.after(flow.ack_last())
        || flow::window_end(seg, terms).after(flow.edge());
    if !news {
        packet.consume();
        return Err(Verdict::Stolen);
    }
    // A FIN is beyond the limit: it is one.
    let flags = seg.flags.difference(Flags::FIN);
    let len = headers_len.saturating_add(payload as usize);
    let cut = packet
        .cut(len, seg.ip.header_len, headers_len)
        .and_then(|headers| recut(headers, seg, payload as usize, seq, flags));
    if cut.is_none() {
        return Err(drop_packet(ns, packet, Stat::DropNoMemory));
    }
    let seg = Segment {
        seq,
        flags,
        payload_len: payload,
        ..*seg
    };
    Ok((packet, seg))
}

/// Has a segment wait that its sender was let send to the local socket, and that the receiver has no room for yet. What it
/// acknowledges is carried, if that is news.
///
/// What is sent again while it waits is carried: its sender wants to hear of the window.
#[cold]
fn within_window(
    ns: &Ns,
    splice: &Splice,
    direction: Direction,
    mut packet: Packet,
    seg: &Segment,
) -> Result<(Packet, Segment), Verdict> {
    let (flow, reverse) = (splice.flow(direction), splice.flow(direction.reverse()));
    let Some((terms, reverse_terms)) = splice.terms(direction) else {
        return Err(drop_packet(ns, packet, Stat::DropHeld));
    };
    let end = seg.seq_end();
    if seg.flags.intersects(Flags::RST.union(Flags::SYN))
        || has_room(flow, reverse, reverse_terms, end)
        || end.after(terms.seq_promised)
        || splice.phase() == Phase::Tombstone
    {
        return Ok((packet, *seg));
    }
    // What somebody made up must not take the place of what is true.
    if !packet.checksum_ok(seg.ip.family, seg.ip.header_len) {
        return Err(drop_packet(ns, packet, Stat::DropMalformed));
    }
    let each = packet.segment_len(seg.headers_len());
    if seg.payload_len as usize > each {
        if in_segments_of(&mut packet, seg, each).is_none() {
            return Err(drop_packet(ns, packet, Stat::DropNoMemory));
        }
        let split = packet.split(|segment| carry_held(ns, splice, segment));
        return Err(match split {
            Ok(()) => Verdict::Stolen,
            Err(packet) => drop_packet(ns, packet, Stat::DropNoMemory),
        });
    }
    let Some(segment) = packet.copy() else {
        return Err(drop_packet(ns, packet, Stat::DropNoMemory));
    };
    if !splice.wait(direction, segment, end) {
        return Ok((packet, *seg));
    }
    ns.count(Stat::Waited);
    // The window may have opened on another CPU before that.
    carry_waiting(ns, splice, direction);
    let reach = flow::reach(reverse, reverse_terms);
    // Nothing of it, wherever it begins.
    let at = if seg.seq.after(reach) { reach } else { seg.seq };
    up_to(ns, flow, terms, at, packet, seg)
}

/// Whether the receiver of a flow takes what ends before `end`, as far as is known here.
fn has_room(flow: &flow::Entry, reverse: &flow::Entry, back: &flow::Terms, end: Seq) -> bool {
    // Once nothing of the flow drains, another host may hear of a wider window.
    !end.after(flow::reach(reverse, back)) || flow.has(SHARED) && !reverse.has(DRAINING)
}

/// Carries what waits and fits into the window of its receiver now. In packet context.
#[cold]
fn carry_waiting(ns: &Ns, splice: &Splice, direction: Direction) {
    let (flow, reverse) = (splice.flow(direction), splice.flow(direction.reverse()));
    let Some((_, back)) = splice.terms(direction) else {
        return;
    };
    // Whoever has something wait marks that, and looks at the window after that; here it is the other way round. One of the
    // two sees what the other did.
    smp_mb(Full);
    // What the local socket still repeats is stamped with its clock as it is then. What comes after that could be too old.
    if !flow.has(WAITING) || reverse.has(DRAINING) {
        return;
    }
    let fits = |segment: &mut Packet| {
        let end = parse_held(splice, segment)
            .and_then(|(ip, _)| parse_segment(segment, &ip))
            .map(|seg| seg.seq_end());
        end.is_none_or(|end| has_room(flow, reverse, back, end))
    };
    while let Some((mut segment, since)) = splice.next_waiting(direction, fits) {
        if let Some((ip, direction)) = parse_held(splice, &mut segment) {
            carry(ns, splice, direction, segment, &ip, Origin::Waited(since));
        }
    }
}

/// Has a segment that has waited say what its sender has said since: what it acknowledges, its window, its stamp. Older ones
/// are no news, and may be too old to be looked at (RFC 5961, section 5.2; RFC 7323, section 5.3). If it has said nothing,
/// newer ones would make old what is still to come.
#[cold]
fn renew(
    (flow, reverse): (&flow::Entry, &flow::Entry),
    terms: &flow::Terms,
    since: Since,
    edit: &mut Edit,
    headers: &mut [u8],
    seg: &Segment,
    field: ChecksumField,
) -> Result<(), Malformed> {
    if let Some((tsval, tsecr)) = seg.timestamps(headers) {
        // It may echo a stamp of the local socket that nobody else does any more.
        let echoed = Seq(tsecr.wrapping_add(edit.tsecr_delta));
        if echoed.before(Seq(terms.tsecr_floor)) {
            edit.tsecr_delta = terms.tsecr_floor.wrapping_sub(tsecr);
        }
        let newest = Seq(flow.tsval_last());
        if newest.0 != since.tsval && newest.after(Seq(tsval)) {
            edit.tsval_delta = edit.tsval_delta.wrapping_add(newest.distance(Seq(tsval)));
        }
        // The receiver may remember a newer one, of the local socket.
        let last = reverse.echo_last();
        if Seq(last).after(Seq(tsval.wrapping_add(edit.tsval_delta))) {
            edit.tsval_delta = last.wrapping_sub(tsval);
        }
    }
    let acked = flow.ack_last();
    if acked == since.ack || !acked.after(seg.ack) {
        return Ok(());
    }
    edit.ack_delta = edit.ack_delta.wrapping_add(acked.distance(seg.ack));
    // Blocks before what is acknowledged would speak of bytes that came twice.
    edit.sack = false;
    set_window(headers, seg, field, window_from(flow, terms, acked))
}

/// Has a packet leave in segments that its receiver takes, when it would not.
#[cold]
fn segment(ns: &Ns, mss: u16, mut packet: Packet, seg: &Segment) -> Result<Packet, Verdict> {
    let headers_len = seg.headers_len();
    let options = seg.tcp_len.saturating_sub(tcp::HEADER_LEN);
    let room = usize::from(mss).saturating_sub(options);
    if packet.segment_len(headers_len) <= room {
        return Ok(packet);
    }
    if !packet.checksum_ok(seg.ip.family, seg.ip.header_len) {
        return Err(drop_packet(ns, packet, Stat::DropMalformed));
    }
    if in_segments_of(&mut packet, seg, room).is_none() {
        return Err(drop_packet(ns, packet, Stat::DropNoMemory));
    }
    ns.count(Stat::Resegmented);
    Ok(packet)
}

/// Has a packet, whose checksum is right, leave in segments of at most `room` bytes of payload, and be summed then. The packet is
/// of no use if this is `None`.
#[cold]
fn in_segments_of(packet: &mut Packet, seg: &Segment, room: usize) -> Option<()> {
    let mss = u16::try_from(room).ok()?;
    let headers = packet.segment(seg.ip.family, mss, seg.ip.header_len, seg.headers_len())?;
    recut(headers, seg, seg.payload_len as usize, seg.seq, seg.flags)
}

/// The edit for a packet while one end may still echo the timestamps of a local socket.
///
/// Before the sender has heard from the far end, it echoes what the proxy stamped. Shifted, that is
/// no stamp of the receiver; what the proxy echoed itself, or the newest that passed here, is.
#[cold]
fn echo(
    flow: &flow::Entry,
    reverse: &flow::Entry,
    terms: &flow::Terms,
    headers: &[u8],
    seg: &Segment,
) -> Edit {
    let mut edit = terms.edit;
    let Some((tsval, tsecr)) = seg.timestamps(headers) else {
        return edit;
    };
    flow.note_tsval(tsval);
    if flow.has(ECHOING) && seg.flags.contains(Flags::ACK) {
        let echoed = Seq(tsecr.wrapping_add(edit.tsecr_delta));
        let (oldest, newest) = (Seq(terms.tsecr_floor), Seq(reverse.tsval_last()));
        let real = if echoed.before(oldest) || flow.echoes_local(tsecr) {
            oldest
        } else if echoed.after(newest) && !flow.has(SHARED) {
            // On another host a newer one may have passed.
            newest
        } else {
            if echoed != oldest {
                flow.mark(0, ECHOING);
            }
            echoed
        };
        edit.tsecr_delta = real.0.wrapping_sub(tsecr);
    }
    edit
}

/// The difference that gives a packet the stamp that its receiver remembers of the local socket toward it.
///
/// That socket drains, and the packet, a probe of a closed window for instance, comes where it goes on: what it sends next is
/// stamped by its own clock and must not be older. The far end's stamps are ahead of that.
#[cold]
fn not_ahead(reverse: &flow::Entry, edit: &Edit, headers: &[u8], seg: &Segment) -> u32 {
    let Some((tsval, _)) = seg.timestamps(headers) else {
        return edit.tsval_delta;
    };
    let delta = reverse.echo_last().wrapping_sub(tsval);
    // Somebody may have made up a newer one.
    if Seq(delta).before(Seq(edit.tsval_delta)) {
        delta
    } else {
        edit.tsval_delta
    }
}

/// Gives an acknowledgement to the local socket that waits for it.
///
/// The socket gets the headers as they came, without the payload, which goes end to end; with
/// the number it expects next, which is beyond the first carried if bytes stay with it, and no more
/// acknowledged than it has sent.
#[cold]
fn drain(
    ns: &Ns,
    splice: &Splice,
    direction: Direction,
    terms: &flow::Terms,
    expects: Seq,
    packet: &mut Packet,
    seg: &Segment,
) {
    if !seg.flags.contains(Flags::ACK)
        || seg.flags.intersects(Flags::SYN.union(Flags::RST))
        // Of our own making.
        || packet.is_own()
    {
        return;
    }
    let len = seg.headers_len();
    let ack = if seg.ack.before(terms.ack_origin) {
        seg.ack
    } else {
        terms.ack_origin
    };
    let Some(headers) = packet.pull(len) else {
        return;
    };
    // Extension headers of IPv6 are left out.
    let len = match seg.ip.family {
        Family::V4 => len,
        Family::V6 => ip::header_len(Family::V6) + seg.tcp_len,
    };
    let copy = Packet::build(seg.ip.family, len, |out| {
        build_drain_ack(out, headers, seg, expects, ack)
    });
    let Some(mut copy) = copy else {
        ns.count(Stat::DropNoMemory);
        return;
    };
    copy.received_like(packet);
    splice.deliver(direction, copy, len - seg.tcp_len);
    ns.count(Stat::Drained);
}

/// A packet that this host sends itself.
///
/// If the splice is split, it is one of the server's, and leaves as a proxy would have it leave.
///
/// The dormant sockets of a splice may retransmit what they have sent, and nothing else: what
/// comes after it in their numbers belongs to the far ends now.
#[inline]
fn local_out(ns: &Ns, mut packet: Packet, state: HookState, guard: &rcu::Guard) -> Verdict {
    let ip = parse_ip(&mut packet, state.family);
    let key = ip.and_then(|ip| parse_key(&mut packet, &ip));
    let (Some(ip), Some(key)) = (ip, key) else {
        return Verdict::Accept(packet);
    };
    if let Some(edit) = dispatch::source_of(ns, &packet, &key, guard) {
        return own_server(ns, packet, &ip, &edit);
    }
    if ns.has_splits() {
        let split = ns.flows.lookup(&key, guard);
        if let Some((splice, _)) = split.filter(|(splice, flow)| splice.is_split_at(flow)) {
            return split_out(ns, splice, packet, &ip);
        }
    }
    // The flow of what would come back.
    let Some((splice, flow)) = ns.flows.lookup(&key.reverse(), guard) else {
        return Verdict::Accept(packet);
    };
    let Some(seg) = parse_segment(&mut packet, &ip) else {
        return Verdict::Accept(packet);
    };
    match splice.phase() {
        // The client knows nothing of the handshake that a connection is born with.
        Phase::Arming if splice.is_arriving() || splice.is_too_late(&seg) => {
            drop_packet(ns, packet, Stat::DropLocal)
        }
        Phase::Arming | Phase::Returned | Phase::Aborted => Verdict::Accept(packet),
        Phase::Live | Phase::Settling if is_own(splice, flow, &seg) => {
            up_to_date(ns, splice, flow, packet, &seg)
        }
        Phase::Live | Phase::Settling | Phase::Opening => drop_packet(ns, packet, Stat::DropLocal),
        Phase::Tombstone | Phase::Cut if seg.flags.contains(Flags::SYN) => {
            splice.replace();
            Verdict::Accept(packet)
        }
        Phase::Tombstone | Phase::Cut => drop_packet(ns, packet, Stat::DropLocal),
    }
}

/// A segment of a dormant socket leaves with what the far end has acknowledged since that fell asleep. One that acknowledges what
/// was sent more than the widest window ago is not looked at by the socket's peer (RFC 5961, section 5.2), whatever it brings.
fn up_to_date(
    ns: &Ns,
    splice: &Splice,
    flow: &flow::Entry,
    mut packet: Packet,
    seg: &Segment,
) -> Verdict {
    let Some((_, back)) = splice.terms(flow.direction()) else {
        return Verdict::Accept(packet);
    };
    let toward_peer = splice.flow(flow.direction().reverse());
    // Nothing that the peer has not sent, whoever said so.
    let acked = toward_peer.ack_last().add(back.edit.ack_delta);
    let acked = if acked.after(flow.seq_next()) {
        flow.seq_next()
    } else {
        acked
    };
    if !seg.flags.contains(Flags::ACK) || !acked.after(seg.ack) {
        return Verdict::Accept(packet);
    }
    let mut edge = toward_peer.edge().add(back.edit.ack_delta);
    // As what is carried says: what lies beyond the limit is not asked for.
    if flow.has(KEPT) && edge.after(flow.limit()) {
        edge = flow.limit();
    }
    let window = window_to(edge, acked, back.edit.wscale_out);
    let field = checksum_field(&packet);
    let set = packet
        .writable(seg.headers_len())
        .and_then(|headers| set_ack(headers, seg, field, acked, window).ok());
    match set {
        Some(()) => Verdict::Accept(packet),
        None => drop_packet(ns, packet, Stat::DropNoMemory),
    }
}

/// What the local server of a split splice sends.
#[inline]
fn split_out(ns: &Ns, splice: &Splice, mut packet: Packet, ip: &IpHeader) -> Verdict {
    let Some(seg) = parse_segment(&mut packet, ip) else {
        return Verdict::Accept(packet);
    };
    // The same addresses and ports, and a new socket: the old one is gone.
    if seg.flags.contains(Flags::SYN) {
        splice.end(Reason::ResetByServer);
        splice.replace();
        return Verdict::Accept(packet);
    }
    match splice.phase() {
        Phase::Live => carry(ns, splice, Direction::ToClient, packet, ip, Origin::Local),
        Phase::Tombstone | Phase::Cut => {
            late(ns, splice, Direction::ToClient, packet, ip, Origin::Local)
        }
        // By way of a proxy.
        Phase::Arming | Phase::Settling | Phase::Returned | Phase::Aborted | Phase::Opening => {
            Verdict::Accept(packet)
        }
    }
}

/// What a server of this host sends, whose clients know it by the address of its service: single rewriting, the second half.
#[inline]
fn own_server(ns: &Ns, mut packet: Packet, ip: &IpHeader, edit: &Edit) -> Verdict {
    let Some(seg) = parse_segment(&mut packet, ip) else {
        return drop_packet(ns, packet, Stat::DropMalformed);
    };
    if forward::translate(ns, packet, &seg, edit, None, true) {
        ns.count(Stat::Rewritten);
    }
    Verdict::Stolen
}

/// Whether a segment of a dormant socket is one that it may still send.
fn is_own(splice: &Splice, flow: &flow::Entry, seg: &Segment) -> bool {
    let Some((terms, _)) = splice.terms(flow.direction()) else {
        return false;
    };
    // Nothing here speaks for a connection that has moved, or that is on its way back.
    if terms.hop.is_some() || splice.assigned_by().is_some() {
        return false;
    }
    if seg.flags.contains(Flags::RST) || seg.seq_end().after(terms.ack_origin) {
        return false;
    }
    // A delayed acknowledgement of what the proxy read is news only until something newer went
    // the same way.
    let toward_peer = splice.flow(flow.direction().reverse());
    flow.has(DRAINING) || (seg.seq_len() == 0 && toward_peer.carried().packets == 0)
}
