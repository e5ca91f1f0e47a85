// SPDX-License-Identifier: GPL-2.0

//! Packets of a service that belong to no splice here: to the node that is to have them.
//!
//! A load balancer sends each to a node. A proxy, which is a node itself, keeps what it has a socket for, and asks
//! other nodes about the rest, in an order that all of them share and only ever downwards: see
//! `Documentation/dispatch.md`.
//!
//! No packet is modified here. A service whose nodes have output `nat` or `rewrite` gives connections to them instead: its first packet
//! makes rows ([`assign`]), by which it and all others are carried.

use crate::{
    flow::Direction,
    forward,
    hook::{self, drop_packet},
    net::{
        forward::{Output, Sender, Socket},
        netfilter::Verdict,
        skbuff::Packet,
    },
    pernet::Ns,
    service::{Scheduler, Service},
    splice::{self, Phase, Server, Unopened},
    stats::Stat,
    xlate::{
        choose::{self, Ask, Choice, Origin, State},
        edit::Edit,
        icmp::Quote,
        ip::IpHeader,
        key::{Family, FlowKey},
        tcp::{self, Flags},
    },
};
use kernel::sync::rcu;

/// How a packet came in.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// As it is.
    Bare,
    /// In a tunnel of a service, from this address, as in a flow key.
    Tunnel([u8; 16]),
}

impl Way {
    /// What no service wants goes on as it would have, unless it was ours to unpack.
    fn unwanted(self, ns: &Ns, packet: Packet) -> Verdict {
        match self {
            Way::Bare => Verdict::Accept(packet),
            Way::Tunnel(_) => drop_packet(ns, packet, Stat::DropNoNode),
        }
    }
}

/// The flags of a packet that is known to be TCP.
fn flags(packet: &mut Packet, ip: &IpHeader) -> Option<Flags> {
    let bytes = packet.pull(ip.header_len.checked_add(tcp::HEADER_LEN)?)?;
    tcp::flags_of(bytes, ip)
}

/// What the choice of a node depends on. `key` is that of packets of the connection from the client.
#[inline]
fn ask(service: &Service, key: &FlowKey, opens: bool) -> Ask {
    Ask {
        // Only scores are made of it.
        flow: match service.scheduler {
            Scheduler::Hash => choose::flow_hash(service.seed, key),
            Scheduler::Source => choose::source_hash(service.seed, key),
            Scheduler::Rr | Scheduler::Weighted | Scheduler::Ports | Scheduler::Least => 0,
        },
        port: key.destination_port(),
        opens,
    }
}

/// A TCP packet of no flow.
#[inline]
pub fn without_flow(
    ns: &Ns,
    mut packet: Packet,
    key: &FlowKey,
    ip: &IpHeader,
    way: Way,
    guard: &rcu::Guard,
) -> Verdict {
    let port = key.destination_port();
    let Some(service) = ns.services.lookup(key.family, &key.daddr, port, guard) else {
        if ns.services.has_sources() {
            let server = ns.services.service_of(key.family, &key.daddr, port, guard);
            // What answers it leaves by another address, which connection tracking would not know; but for programs of this host.
            if server.is_some() && !packet.stays() {
                packet.untrack();
            }
        }
        return way.unwanted(ns, packet);
    };
    if service.assigns {
        return assign(ns, service, packet, key, ip, guard);
    }
    let Some(flags) = flags(&mut packet, ip) else {
        return drop_packet(ns, packet, Stat::DropMalformed);
    };
    let opens = flags.contains(Flags::SYN) && !flags.contains(Flags::ACK);
    let ask = ask(service, key, opens);
    match service.me {
        None => balance(ns, service, &ask, packet, guard),
        Some(me) => match among(ns, service, me, key, &ask, &packet, way, guard) {
            Choice::Local => Verdict::Accept(packet),
            Choice::Node(at) => send(ns, service, at, packet, guard),
            // The stack answers with a RST. Nobody but this host may, if anybody may.
            Choice::Nobody if service.is_settled() => Verdict::Accept(packet),
            Choice::Nobody => drop_packet(ns, packet, Stat::DropNotOwned),
        },
    }
}

/// An ICMP error about a packet of no flow that a node sent: to whoever gets what answers that.
#[cold]
pub fn error_without_flow(
    ns: &Ns,
    packet: Packet,
    quote: &Quote,
    way: Way,
    guard: &rcu::Guard,
) -> Verdict {
    let key = quote.key.reverse();
    let port = key.destination_port();
    let Some(service) = ns.services.lookup(key.family, &key.daddr, port, guard) else {
        return way.unwanted(ns, packet);
    };
    if service.assigns {
        // Nobody here knows of such a connection.
        return Verdict::Accept(packet);
    }
    let ask = ask(service, &key, false);
    match service.me {
        None => balance(ns, service, &ask, packet, guard),
        Some(me) => match among(ns, service, me, &key, &ask, &packet, way, guard) {
            Choice::Node(at) => send(ns, service, at, packet, guard),
            // The stack says nothing to one that it knows no socket for.
            Choice::Local | Choice::Nobody => Verdict::Accept(packet),
        },
    }
}

/// What is neither TCP nor ICMP, or is no error: out of the tunnel, if it is one of a service.
#[inline]
pub fn other(ns: &Ns, packet: Packet, ip: &IpHeader, way: Way, guard: &rcu::Guard) -> Verdict {
    /// Protocol numbers of IPv4 and IPv6 in a packet.
    const IPIP: u8 = 4;
    const IPV6: u8 = 41;
    match (ip.family, ip.protocol, way) {
        (Family::V4, IPIP, Way::Bare) | (Family::V6, IPV6, Way::Bare) if !ip.fragment => {
            unpack(ns, packet, ip, guard)
        }
        _ => way.unwanted(ns, packet),
    }
}

#[cold]
fn unpack(ns: &Ns, mut packet: Packet, ip: &IpHeader, guard: &rcu::Guard) -> Verdict {
    // Ports there are none; what stands there makes no difference.
    let ends = ip.header_len.checked_add(4);
    let outer = ends
        .and_then(|len| packet.pull(len))
        .and_then(|bytes| crate::xlate::ip::key_of(bytes, ip).ok());
    let Some(outer) = outer else {
        return Verdict::Accept(packet);
    };
    if !ns.services.has_tunnel(ip.family, &outer.daddr, guard) {
        return Verdict::Accept(packet);
    }
    match packet.decapsulated(ip.family, ip.header_len) {
        Some(inner) => {
            ns.count(Stat::Decapsulated);
            hook::received(ns, inner, ip.family, Way::Tunnel(outer.saddr), guard)
        }
        None => {
            ns.count(Stat::DropMalformed);
            Verdict::Stolen
        }
    }
}

/// A packet of a service that gives connections to servers: its first gives it to one. This host's own stack has none of them, and
/// says nothing of them.
fn assign(
    ns: &Ns,
    service: &Service,
    mut packet: Packet,
    key: &FlowKey,
    ip: &IpHeader,
    guard: &rcu::Guard,
) -> Verdict {
    // The server's host, by its service's address: none of its affairs, nor of its servers.
    if service.me.is_some() {
        return Verdict::Accept(packet);
    }
    let Some(seg) = hook::parse_segment(&mut packet, ip) else {
        return drop_packet(ns, packet, Stat::DropMalformed);
    };
    let others = Flags::ACK.union(Flags::RST).union(Flags::FIN);
    if !seg.flags.contains(Flags::SYN) || seg.flags.intersects(others) {
        return drop_packet(ns, packet, Stat::DropNoRow);
    }
    // Nobody has looked at the checksum of a packet that would have been forwarded, and this one is remembered.
    if !packet.checksum_ok(ip.family, ip.header_len) {
        return drop_packet(ns, packet, Stat::DropMalformed);
    }
    let chosen = service.assign(&ask(service, key, true));
    let Some(node) = chosen.and_then(|at| service.nodes.get(at)) else {
        return drop_packet(ns, packet, Stat::DropNoNode);
    };
    let server = service.server(node);
    let to = Server {
        output: node.output,
        addr: server.addr(),
        port: server.port(),
        load: node.record.load.clone(),
    };
    let (Ok(owned), Some(headers)) = (Ns::of(ns.net), packet.pull(seg.headers_len())) else {
        return drop_packet(ns, packet, Stat::DropNoMemory);
    };
    let why = match splice::open(&owned, key, to, &seg, headers) {
        Ok(splice) => {
            node.count();
            ns.count(Stat::Assigned);
            return hook::opening(ns, &splice, Direction::ToServer, packet, ip);
        }
        Err(Unopened::Exists) => {
            // The same SYN, on another CPU; or another service has the same server for the same client.
            let found = ns.flows.lookup(key, guard);
            if let Some((splice, _)) = found.filter(|(splice, _)| splice.phase() == Phase::Opening)
            {
                return match hook::opening(ns, splice, Direction::ToServer, packet, ip) {
                    // It was not the same. It comes again.
                    Verdict::Accept(packet) => drop_packet(ns, packet, Stat::DropNoRow),
                    verdict => verdict,
                };
            }
            Stat::DropFull
        }
        Err(Unopened::HalfOpen) => Stat::DropOpening,
        Err(Unopened::Full) => Stat::DropFull,
        Err(Unopened::Failed) => Stat::DropNoMemory,
    };
    drop_packet(ns, packet, why)
}

/// A SYN that has taken a place of the flow table: to a server, if it is one of a service that gives connections to such.
#[cold]
pub fn reopened(
    ns: &Ns,
    packet: Packet,
    key: &FlowKey,
    ip: &IpHeader,
    guard: &rcu::Guard,
) -> Verdict {
    let port = key.destination_port();
    match ns.services.lookup(key.family, &key.daddr, port, guard) {
        Some(service) if service.assigns => assign(ns, service, packet, key, ip, guard),
        // As without what it has taken the place of.
        Some(service) if service.me.is_none() && service.nodes.is_empty() => {
            drop_packet(ns, packet, Stat::DropNoNode)
        }
        _ => Verdict::Accept(packet),
    }
}

/// What is done to a packet that a server of this host sends, if its clients know it by the address of its service.
#[inline]
pub fn source_of(ns: &Ns, packet: &Packet, key: &FlowKey, guard: &rcu::Guard) -> Option<Edit> {
    if !ns.services.has_sources() {
        return None;
    }
    let service = ns
        .services
        .service_of(key.family, &key.saddr, key.source_port(), guard)?;
    // To another program of this host.
    if packet.stays() {
        return None;
    }
    Some(Edit {
        out: FlowKey {
            saddr: service.addr(),
            sport: service.port().to_be_bytes(),
            ..*key
        },
        seq_delta: 0,
        ack_delta: 0,
        tsval_delta: 0,
        tsecr_delta: 0,
        wscale_in: 0,
        wscale_out: 0,
        timestamps: false,
        sack: true,
    })
}

/// On a load balancer.
#[inline]
fn balance(ns: &Ns, service: &Service, ask: &Ask, packet: Packet, guard: &rcu::Guard) -> Verdict {
    let chosen = match service.scheduler {
        Scheduler::Rr | Scheduler::Weighted => service.turn(),
        Scheduler::Hash | Scheduler::Source => choose::by_score(&service.members, ask),
        Scheduler::Ports => choose::by_port(&service.members, ask),
        // It has no nodes.
        Scheduler::Least => None,
    };
    match chosen {
        Some(at) => send(ns, service, at, packet, guard),
        None => drop_packet(ns, packet, Stat::DropNoNode),
    }
}

/// On a proxy. `key` is that of packets of the connection from the client.
#[expect(clippy::too_many_arguments, reason = "all that there is to know")]
fn among(
    ns: &Ns,
    service: &Service,
    me: usize,
    key: &FlowKey,
    ask: &Ask,
    packet: &Packet,
    way: Way,
    guard: &rcu::Guard,
) -> Choice {
    let choose = match service.scheduler {
        // A turn says nothing of who has a connection.
        Scheduler::Rr | Scheduler::Weighted | Scheduler::Least => return Choice::Local,
        Scheduler::Hash | Scheduler::Source => choose::by_score_among,
        Scheduler::Ports => choose::by_port_among,
    };
    match packet.socket_of(ns.net, key) {
        Socket::Live => return Choice::Local,
        Socket::TimeWait if !ask.opens => return Choice::Local,
        Socket::TimeWait | Socket::None => {}
    }
    let origin = match way {
        Way::Tunnel(source) => {
            let mut nodes = service.nodes.iter();
            nodes
                .position(|node| !node.local && node.via == source)
                .map_or(Origin::Outside, Origin::Node)
        }
        Way::Bare => origin(ns, service, me, packet, guard),
    };
    choose(&service.members, me, ask, origin)
}

/// Whether a bare packet is from a node: who that is, is seen from the frame.
///
/// A node whose link-layer address is not known yet could be anybody. Down the order is the safe way then, and the address is
/// being asked for.
fn origin(ns: &Ns, service: &Service, me: usize, packet: &Packet, guard: &rcu::Guard) -> Origin {
    // What nodes send to one that is reached through tunnels comes through tunnels.
    if service
        .nodes
        .get(me)
        .is_some_and(|me| me.output == Output::Tunnel)
    {
        return Origin::Outside;
    }
    let mut unknown = false;
    for (at, (member, node)) in service.members.iter().zip(service.nodes.iter()).enumerate() {
        if at == me {
            continue;
        }
        let family = service.key.family();
        match packet.came_from(ns.net, family, &node.via, &node.record.link, guard) {
            Sender::This => return Origin::Node(at),
            Sender::Another => {}
            // One that is gone may never have been known.
            Sender::Unknown => unknown |= member.state != State::Down,
        }
    }
    if unknown {
        Origin::Unsure
    } else {
        Origin::Outside
    }
}

/// Sends a packet to a node.
#[inline]
fn send(ns: &Ns, service: &Service, at: usize, packet: Packet, guard: &rcu::Guard) -> Verdict {
    let Some(node) = service.nodes.get(at) else {
        return drop_packet(ns, packet, Stat::DropNoNode);
    };
    let source = || {
        let own = service.me.and_then(|me| service.nodes.get(me));
        own.map_or([0; 16], |own| own.via)
    };
    let family = service.key.family();
    if forward::send(ns, packet, family, &node.hop(), source, guard) {
        node.count();
        ns.count(Stat::Dispatched);
    }
    Verdict::Stolen
}
