// SPDX-License-Identifier: GPL-2.0

//! Requests: parsed, done, answered. What they mean is in [`crate::splice`]; what they look like is in
//! `Documentation/netlink/specs/tcp_splice.yaml`, from which [`crate::netlink_gen`] is made.

use crate::{
    flow::{self, Direction, Progress, Terms, DRAINING, ECHOING, FIN_ACKED, FIN_SEEN, FLOORED},
    net::{
        forward::{self, Hop, Output},
        leg::Migrant,
        namespace::Namespace,
        netfilter::in_packet_context,
        netlink::{DumpOut, Family, Group, Op, Put, Registration, Request},
        socket::TcpSocket,
    },
    netlink_gen::{
        self as gen, handoff_attr, node_attr, service_attr, splice_attr, DelMode, EndReason,
        FlowAttrs, FlowPut, Handler, HandoffAttrs, HandoffPut, HandoffStream, NodeAttrs,
        NodeOutput, NodePut, NodeState, ServiceAttrs, ServicePut, SpliceAttrs, SpliceKind,
        SplicePut, SpliceState, StatsPut,
    },
    pernet::Ns,
    service::{Change, Key, Node, Refusal as Unchanged, Scheduler, Service},
    splice::{self, Absent, NoReturn, Phase, Reason, Refusal, Row, Splice, Stream, Wishes},
    stats::Stat,
    xlate::{
        choose::State,
        edit::Edit,
        key::{Family as IpFamily, FlowKey},
        seq::Seq,
    },
};
use kernel::{module::this_module, pr_warn_once, prelude::*, sync::Arc};

struct Handlers;

static OPS: [Op; 21] = gen::ops::<Handlers>();
static GROUPS: [Group; gen::MCGRPS.len()] = [Group::new(gen::MCGRPS[gen::MCGRP_EVENTS as usize])];
static FAMILY: Family = Family::new(
    this_module::<crate::LocalModule>(),
    gen::FAMILY_NAME,
    gen::FAMILY_VERSION as u32,
    &OPS,
    &GROUPS,
);

/// Starts to take requests. May sleep.
///
/// # Errors
///
/// `EEXIST` if there is a family of this name.
pub fn register() -> Result<Registration> {
    FAMILY.register()
}

impl Handler for Handlers {
    fn splice_new(req: &Request<'_>, attrs: SpliceAttrs<'_>) -> Result {
        let ns = Ns::of(req.net())?;
        let made = match (attrs.client_fd(), attrs.server_fd()) {
            (Some(client), Some(server)) => arm(req, &ns, client, server, &attrs),
            (None, None) => restore(req, &ns, &attrs),
            (None, Some(_)) => Err(req.refuse_missing(
                splice_attr::CLIENT_FD,
                fmt!("server-fd needs client-fd with it"),
            )),
            (Some(_), None) => Err(req.refuse_missing(
                splice_attr::SERVER_FD,
                fmt!("client-fd needs server-fd with it"),
            )),
        };
        let splice = made.inspect_err(|_| ns.count(Stat::Refused))?;
        req.reply(|put| put_splice(put, &splice))
    }

    fn splice_get(req: &Request<'_>, attrs: SpliceAttrs<'_>) -> Result {
        let splice = find(req, &attrs)?;
        req.reply(|put| put_splice(put, &splice))
    }

    fn splice_get_dump(out: &mut DumpOut<'_>) -> Result {
        let ns = Ns::of(out.net())?;
        out.set_generation(ns.generation());
        while let Some(splice) = ns.at_or_after(out.cursor()) {
            if !out.push(|put| put_splice(put, &splice))? {
                break;
            }
            out.set_cursor(splice.id().saturating_add(1));
        }
        Ok(())
    }

    fn splice_del(req: &Request<'_>, attrs: SpliceAttrs<'_>) -> Result {
        let splice = find(req, &attrs)?;
        match attrs.mode().unwrap_or(DelMode::Reset) {
            DelMode::Reset => cut(req, &splice)?,
            DelMode::Return => splice.stop().map_err(|why| refuse_return(req, why))?,
            DelMode::Forget => forget(req, &splice, &attrs)?,
        }
        req.reply(|put| put_splice(put, &splice))
    }

    fn splice_set(req: &Request<'_>, attrs: SpliceAttrs<'_>) -> Result {
        let splice = find(req, &attrs)?;
        let progress = |flow: Option<FlowAttrs<'_>>, name: &'static str| {
            flow.map(|flow| {
                read_progress(&flow).ok_or_else(|| {
                    req.refuse(EINVAL, fmt!("{name}: seq-next or ack-last is missing"))
                })
            })
            .transpose()
        };
        let to_server = progress(attrs.to_server(), "to-server")?;
        let to_client = progress(attrs.to_client(), "to-client")?;
        if read_wishes(&attrs).replicated {
            if splice.wishes().is_to_return() {
                return Err(req.refuse(
                    EOPNOTSUPP,
                    fmt!("its sockets are to return to this host; it cannot be replicated"),
                ));
            }
            splice.share();
        }
        splice.merge(to_server.as_ref(), to_client.as_ref());
        req.reply(|put| put_splice(put, &splice))
    }

    fn stats_get(req: &Request<'_>) -> Result {
        let ns = Ns::of(req.net())?;
        req.reply(|put| put_stats(put, &ns))
    }

    fn handoff_export(req: &Request<'_>, attrs: HandoffAttrs<'_>) -> Result {
        let Some(fd) = attrs.fd() else {
            return Err(req.refuse_missing(
                handoff_attr::FD,
                fmt!("say which connection: fd is missing"),
            ));
        };
        let ns = Ns::of(req.net())?;
        let socket = socket(req, fd, handoff_attr::FD)?;
        let wishes = Wishes {
            idle_timeout: attrs.idle_timeout(),
            ..Wishes::default()
        };
        let module = this_module::<crate::LocalModule>();
        let (splice, migrant, rcv_max) =
            splice::export(&ns, socket, &wishes, attrs.timeout(), module)
                .inspect_err(|_| ns.count(Stat::Refused))
                .map_err(|refusal| refuse(req, refusal))?;
        req.reply(|put| {
            put_migrant(put, splice.id(), &migrant)?;
            HandoffPut::new(put).rcv_max(rcv_max.0)
        })
    }

    fn handoff_read(req: &Request<'_>, attrs: HandoffAttrs<'_>) -> Result {
        let (splice, stream, seq) = find_stream(req, &attrs)?;
        let mut bytes = KVVec::from_elem(0u8, PIECE, GFP_KERNEL)?;
        let (seq, len) = splice
            .read_moving(stream, seq, &mut bytes)
            .map_err(|e| match e {
                e if e == ENOENT => not_moving(req),
                e => e,
            })?;
        req.reply_with(len, |put| {
            let mut put = HandoffPut::new(put);
            put.seq(seq.0)?;
            put.bytes(bytes.get(..len).unwrap_or(&[]))
        })
    }

    fn handoff_import(req: &Request<'_>, attrs: HandoffAttrs<'_>) -> Result {
        let ns = Ns::of(req.net())?;
        let splice = expect(req, &ns, &read_migrant(req, &attrs)?, attrs.timeout())?;
        req.reply(|put| HandoffPut::new(put).id(splice.id()))
    }

    fn handoff_take(req: &Request<'_>, attrs: HandoffAttrs<'_>) -> Result {
        let ns = Ns::of(req.net())?;
        let migrant = read_migrant(req, &attrs)?;
        let owner = listener(req, &ns, &attrs)?;
        let splice = expect(req, &ns, &migrant, None)?;
        let bytes = attrs.bytes().unwrap_or(&[]);
        splice
            .write_moving(Stream::Received, migrant.rcv_start, bytes)
            .inspect_err(|_| {
                splice.abort_moving();
            })
            .and_then(|()| splice.arrive(owner.as_ref()))
            .inspect_err(|_| ns.count(Stat::Refused))
            .map_err(|absent| refuse_arrival(req, absent))
    }

    fn handoff_write(req: &Request<'_>, attrs: HandoffAttrs<'_>) -> Result {
        let (splice, stream, seq) = find_stream(req, &attrs)?;
        let Some(bytes) = attrs.bytes() else {
            return Err(req.refuse_missing(handoff_attr::BYTES, fmt!("bytes is missing")));
        };
        splice
            .write_moving(stream, seq, bytes)
            .map_err(|absent| refuse_arrival(req, absent))
    }

    fn handoff_commit(req: &Request<'_>, attrs: HandoffAttrs<'_>) -> Result {
        let splice = find_moving(req, &attrs)?;
        if splice.is_expected() {
            let ns = Ns::of(req.net())?;
            let owner = listener(req, &ns, &attrs)?;
            return splice
                .arrive(owner.as_ref())
                .inspect_err(|_| ns.count(Stat::Refused))
                .map_err(|absent| refuse_arrival(req, absent));
        }
        if attrs
            .output()
            .is_some_and(|output| !meant(output).is_unchanged())
        {
            return Err(req.refuse_attr(
                EINVAL,
                handoff_attr::OUTPUT,
                fmt!("a connection that moves keeps its addresses: output direct or tunnel"),
            ));
        }
        let family = splice.to_server().key().family;
        let hop = match (attrs.output(), attrs.via()) {
            (output, Some(via)) => read_hop(family, output.unwrap_or(NodeOutput::Direct), via)
                .ok_or_else(|| {
                    req.refuse_attr(
                        EINVAL,
                        handoff_attr::VIA,
                        fmt!("via is not of the connection's address family"),
                    )
                })?,
            (_, None) => {
                return Err(req.refuse_missing(
                    handoff_attr::VIA,
                    fmt!("say which host has the connection: via is missing"),
                ));
            }
        };
        if splice.depart(hop) {
            Ok(())
        } else {
            Err(not_moving(req))
        }
    }

    fn handoff_abort(req: &Request<'_>, attrs: HandoffAttrs<'_>) -> Result {
        let splice = find_moving(req, &attrs)?;
        if splice.abort_moving() {
            Ok(())
        } else {
            Err(not_moving(req))
        }
    }

    fn service_new(req: &Request<'_>, attrs: ServiceAttrs<'_>) -> Result {
        let ns = Ns::of(req.net())?;
        let key = service_key(req, attrs.address(), attrs.port())?;
        let Some(scheduler) = attrs.scheduler() else {
            return Err(req.refuse_missing(
                service_attr::SCHEDULER,
                fmt!("say how to choose a node: scheduler is missing"),
            ));
        };
        let scheduler = match scheduler {
            gen::Scheduler::Rr => Scheduler::Rr,
            gen::Scheduler::Weighted => Scheduler::Weighted,
            gen::Scheduler::Hash => Scheduler::Hash,
            gen::Scheduler::Ports => Scheduler::Ports,
            gen::Scheduler::Least => Scheduler::Least,
            gen::Scheduler::Source => Scheduler::Source,
        };
        ns.hook_in()?;
        let service = ns
            .services
            .add(key, scheduler, attrs.seed().unwrap_or(0))
            .map_err(|why| refuse_change(req, &why))?;
        req.reply(|put| put_service(put, &service))
    }

    fn service_get(req: &Request<'_>, attrs: ServiceAttrs<'_>) -> Result {
        let ns = Ns::of(req.net())?;
        let key = service_key(req, attrs.address(), attrs.port())?;
        let service = find_service(req, &ns, &key)?;
        req.reply(|put| put_service(put, &service))
    }

    fn service_get_dump(out: &mut DumpOut<'_>) -> Result {
        let ns = Ns::of(out.net())?;
        out.set_generation(ns.services.generation());
        while let Some(service) = ns.services.at(out.cursor() as usize) {
            if !out.push(|put| put_service(put, &service))? {
                break;
            }
            out.set_cursor(out.cursor().wrapping_add(1));
        }
        Ok(())
    }

    fn service_del(req: &Request<'_>, attrs: ServiceAttrs<'_>) -> Result {
        let ns = Ns::of(req.net())?;
        let key = service_key(req, attrs.address(), attrs.port())?;
        let service = ns
            .services
            .remove(&key)
            .map_err(|why| refuse_change(req, &why))?;
        for at in 0..service.nodes.len() {
            announce_node(req.net(), gen::CMD_NODE_DEL_NTF, &service, at);
        }
        req.reply(|put| put_service(put, &service))
    }

    fn node_set(req: &Request<'_>, attrs: NodeAttrs<'_>) -> Result {
        let ns = Ns::of(req.net())?;
        let key = service_key(req, attrs.address(), attrs.port())?;
        let id = node_id(req, &attrs)?;
        let via = match attrs.via().map(address) {
            Some(Some((family, via))) if family == key.family() => Some(via),
            None => None,
            Some(_) => {
                return Err(req.refuse_attr(
                    EINVAL,
                    node_attr::VIA,
                    fmt!("via must be an address of the service's family"),
                ))
            }
        };
        let change = Change {
            via,
            // The policy lets nothing larger pass.
            weight: attrs.weight().map(|weight| weight as u8),
            state: attrs.state().map(|state| match state {
                NodeState::Up => State::Up,
                NodeState::Draining => State::Draining,
                NodeState::Down => State::Down,
            }),
            output: attrs.output().map(meant),
            local: attrs
                .flags()
                .map(|flags| flags & gen::node_flags::LOCAL != 0),
            port: attrs.server_port(),
            port_low: attrs.port_low(),
            port_high: attrs.port_high(),
        };
        let (service, at) = ns
            .services
            .set_node(&key, id, &change)
            .map_err(|why| refuse_change(req, &why))?;
        if let Some(node) = service.nodes.get(at) {
            meet_node(req.net(), &key, node);
        }
        announce_node(req.net(), gen::CMD_NODE_SET_NTF, &service, at);
        req.reply(|put| put_node(put, &service, at))
    }

    fn node_get(req: &Request<'_>, attrs: NodeAttrs<'_>) -> Result {
        let ns = Ns::of(req.net())?;
        let key = service_key(req, attrs.address(), attrs.port())?;
        let id = node_id(req, &attrs)?;
        let service = find_service(req, &ns, &key)?;
        let Some(at) = service.position(id) else {
            return Err(refuse_change(req, &Unchanged::NoNode(id)));
        };
        req.reply(|put| put_node(put, &service, at))
    }

    fn node_get_dump(out: &mut DumpOut<'_>) -> Result {
        /// Of a cursor: the node; the service is above it.
        const NODE_BITS: u32 = 32;
        let ns = Ns::of(out.net())?;
        out.set_generation(ns.services.generation());
        while let Some(service) = ns.services.at((out.cursor() >> NODE_BITS) as usize) {
            let at = out.cursor() as u32 as usize;
            if at >= service.nodes.len() {
                out.set_cursor(((out.cursor() >> NODE_BITS) + 1) << NODE_BITS);
                continue;
            }
            if !out.push(|put| put_node(put, &service, at))? {
                break;
            }
            out.set_cursor(out.cursor().wrapping_add(1));
        }
        Ok(())
    }

    fn node_del(req: &Request<'_>, attrs: NodeAttrs<'_>) -> Result {
        let ns = Ns::of(req.net())?;
        let key = service_key(req, attrs.address(), attrs.port())?;
        let id = node_id(req, &attrs)?;
        let (service, at) = ns
            .services
            .remove_node(&key, id)
            .map_err(|why| refuse_change(req, &why))?;
        announce_node(req.net(), gen::CMD_NODE_DEL_NTF, &service, at);
        req.reply(|put| put_node(put, &service, at))
    }
}

/// An address as it stands in a flow key.
fn address(bytes: &[u8]) -> Option<(IpFamily, [u8; 16])> {
    let family = match bytes.len() {
        4 => IpFamily::V4,
        16 => IpFamily::V6,
        _ => return None,
    };
    let mut addr = [0; 16];
    addr.get_mut(..bytes.len())?.copy_from_slice(bytes);
    Some((family, addr))
}

/// Address and port have the same ids in both sets.
const _: () =
    assert!(service_attr::ADDRESS == node_attr::ADDRESS && service_attr::PORT == node_attr::PORT);

/// Which service is meant.
fn service_key(req: &Request<'_>, bytes: Option<&[u8]>, port: Option<u16>) -> Result<Key> {
    let Some(bytes) = bytes else {
        return Err(req.refuse_missing(
            service_attr::ADDRESS,
            fmt!("say which service: address is missing"),
        ));
    };
    let Some((family, addr)) = address(bytes) else {
        return Err(req.refuse_attr(
            EINVAL,
            service_attr::ADDRESS,
            fmt!("an address has 4 bytes or 16"),
        ));
    };
    let Some(port) = port else {
        return Err(req.refuse_missing(
            service_attr::PORT,
            fmt!("say which service: port is missing"),
        ));
    };
    Ok(Key::new(family, addr, port))
}

fn node_id(req: &Request<'_>, attrs: &NodeAttrs<'_>) -> Result<u32> {
    attrs
        .id()
        .ok_or_else(|| req.refuse_missing(node_attr::ID, fmt!("say which node: id is missing")))
}

fn find_service(req: &Request<'_>, ns: &Ns, key: &Key) -> Result<Arc<Service>> {
    let found = ns.services.get(key);
    found.ok_or_else(|| refuse_change(req, &Unchanged::NoService))
}

fn refuse_change(req: &Request<'_>, why: &Unchanged) -> Error {
    req.refuse(why.errno(), fmt!("{why}"))
}

fn put_service(put: &mut Put<'_>, service: &Service) -> Result {
    let mut put = ServicePut::new(put);
    put.address(service.key.address())?;
    put.port(service.key.port())?;
    put.scheduler(match service.scheduler {
        Scheduler::Rr => gen::Scheduler::Rr,
        Scheduler::Weighted => gen::Scheduler::Weighted,
        Scheduler::Hash => gen::Scheduler::Hash,
        Scheduler::Ports => gen::Scheduler::Ports,
        Scheduler::Least => gen::Scheduler::Least,
        Scheduler::Source => gen::Scheduler::Source,
    })?;
    put.seed(service.seed)?;
    put.nodes(service.nodes.len() as u32)
}

fn put_node(put: &mut Put<'_>, service: &Service, at: usize) -> Result {
    let (Some(member), Some(node)) = (service.members.get(at), service.nodes.get(at)) else {
        return Err(ENOENT);
    };
    let mut put = NodePut::new(put);
    put.address(service.key.address())?;
    put.port(service.key.port())?;
    put.id(member.id)?;
    put.via(service.key.significant(&node.via))?;
    put.weight(member.weight.into())?;
    put.state(match member.state {
        State::Up => NodeState::Up,
        State::Draining => NodeState::Draining,
        State::Down => NodeState::Down,
    })?;
    put.output(said(node.output))?;
    put.flags(if node.local {
        gen::node_flags::LOCAL
    } else {
        0
    })?;
    if service.scheduler == Scheduler::Ports {
        put.port_low(member.ports.0)?;
        put.port_high(member.ports.1)?;
    }
    put.packets(node.sent())?;
    put.since(node.age())?;
    if !node.output.is_unchanged() {
        put.server_port(service.server(node).port())?;
        put.connections(node.record.load.get().into())?;
    }
    Ok(())
}

fn cut(req: &Request<'_>, splice: &Splice) -> Result {
    if splice.cut(Reason::Deleted) {
        return Ok(());
    }
    Err(if splice.is_tombstone() {
        req.refuse_attr(
            ENOENT,
            splice_attr::ID,
            fmt!("this splice has ended already"),
        )
    } else {
        req.refuse_attr(
            EBUSY,
            splice_attr::ID,
            fmt!("this splice is still being armed; try again"),
        )
    })
}

fn forget(req: &Request<'_>, splice: &Splice, attrs: &SpliceAttrs<'_>) -> Result {
    let reason = match attrs.reason() {
        Some(EndReason::Fin) => Reason::Fin,
        Some(EndReason::ResetByClient) => Reason::ResetByClient,
        Some(EndReason::ResetByServer) => Reason::ResetByServer,
        Some(EndReason::Deleted) => Reason::Deleted,
        Some(EndReason::Idle) => Reason::Idle,
        Some(EndReason::Undeliverable) => Reason::Undeliverable,
        Some(EndReason::None | EndReason::Returned) | None => {
            return Err(req.refuse_missing(
                splice_attr::REASON,
                fmt!("say how it has ended elsewhere: reason is missing or is none"),
            ));
        }
    };
    if splice.forget(reason) {
        return Ok(());
    }
    Err(req.refuse_attr(
        ENOENT,
        splice_attr::ID,
        fmt!("this splice has ended already, or is not live yet"),
    ))
}

fn refuse_return(req: &Request<'_>, why: NoReturn) -> Error {
    match why {
        NoReturn::Ended => req.refuse_attr(
            ENOENT,
            splice_attr::ID,
            fmt!("this splice has ended already"),
        ),
        NoReturn::Busy => req.refuse_attr(
            EBUSY,
            splice_attr::ID,
            fmt!("this splice is being armed or returned; try again"),
        ),
        NoReturn::NoSockets => req.refuse(
            EOPNOTSUPP,
            fmt!("nobody here holds the sockets of this splice; reset it instead"),
        ),
        NoReturn::HalfClosed => req.refuse(
            EOPNOTSUPP,
            fmt!("a FIN has been carried already; let it end, or reset it"),
        ),
        NoReturn::Failed(e) => req.refuse(e, fmt!("the sockets could not be given back")),
    }
}

fn find(req: &Request<'_>, attrs: &SpliceAttrs<'_>) -> Result<Arc<Splice>> {
    let Some(id) = attrs.id() else {
        return Err(req.refuse_missing(splice_attr::ID, fmt!("say which splice: id is missing")));
    };
    Ns::of(req.net())?.get(id).ok_or_else(|| {
        req.refuse_attr(
            ENOENT,
            splice_attr::ID,
            fmt!("no splice {id} in this network namespace"),
        )
    })
}

/// The TCP socket behind a descriptor of the caller.
fn socket(req: &Request<'_>, fd: u32, attr: u16) -> Result<TcpSocket> {
    TcpSocket::from_fd(fd).map_err(|e| {
        if e == EPROTONOSUPPORT {
            req.refuse_attr(e, attr, fmt!("descriptor {fd} is not a TCP socket"))
        } else if e == ENOTSOCK {
            req.refuse_attr(e, attr, fmt!("descriptor {fd} is not a socket"))
        } else {
            req.refuse_attr(e, attr, fmt!("descriptor {fd} is not open in the caller"))
        }
    })
}

/// The socket of the caller that is to have a connection, if it names one.
fn listener(req: &Request<'_>, ns: &Ns, attrs: &HandoffAttrs<'_>) -> Result<Option<TcpSocket>> {
    let Some(fd) = attrs.fd() else {
        return Ok(None);
    };
    let socket = socket(req, fd, handoff_attr::FD)?;
    if socket.is_in(ns.net) {
        Ok(Some(socket))
    } else {
        Err(refuse(req, Refusal::OtherNamespace))
    }
}

/// Bytes in an answer of `handoff-read`, at most.
const PIECE: usize = 16 << 10;

fn find_moving(req: &Request<'_>, attrs: &HandoffAttrs<'_>) -> Result<Arc<Splice>> {
    let Some(id) = attrs.id() else {
        return Err(req.refuse_missing(
            handoff_attr::ID,
            fmt!("say which connection: id is missing"),
        ));
    };
    Ns::of(req.net())?.get(id).ok_or_else(|| not_moving(req))
}

fn find_stream(req: &Request<'_>, attrs: &HandoffAttrs<'_>) -> Result<(Arc<Splice>, Stream, Seq)> {
    let splice = find_moving(req, attrs)?;
    let (Some(stream), Some(seq)) = (attrs.stream(), attrs.seq()) else {
        return Err(req.refuse(EINVAL, fmt!("stream or seq is missing")));
    };
    let stream = match stream {
        HandoffStream::Received => Stream::Received,
        HandoffStream::Sent => Stream::Sent,
    };
    Ok((splice, stream, Seq(seq)))
}

fn not_moving(req: &Request<'_>) -> Error {
    req.refuse_attr(
        ENOENT,
        handoff_attr::ID,
        fmt!("no connection of this id is being moved; its time may be over"),
    )
}

fn refuse_arrival(req: &Request<'_>, absent: Absent) -> Error {
    req.refuse(absent.errno(), fmt!("{absent}"))
}

/// How a packet gets to another host, of the interface.
fn meant(output: NodeOutput) -> Output {
    match output {
        NodeOutput::Direct => Output::Direct,
        NodeOutput::Tunnel => Output::Tunnel,
        NodeOutput::Nat => Output::Nat,
        NodeOutput::Rewrite => Output::Rewrite,
    }
}

/// The reverse.
fn said(output: Output) -> NodeOutput {
    match output {
        Output::Direct => NodeOutput::Direct,
        Output::Tunnel => NodeOutput::Tunnel,
        Output::Nat => NodeOutput::Nat,
        Output::Rewrite => NodeOutput::Rewrite,
    }
}

/// Another host, from attributes; `None` if it is of another family.
fn read_hop(family: IpFamily, output: NodeOutput, via: &[u8]) -> Option<Hop> {
    let (_, via) = address(via).filter(|(of, _)| *of == family)?;
    Some(Hop {
        output: meant(output),
        via,
    })
}

fn put_migrant(put: &mut Put<'_>, id: u64, m: &Migrant) -> Result {
    let mut put = HandoffPut::new(put);
    put.id(id)?;
    put.remote(m.arrives.source())?;
    put.local(m.arrives.destination())?;
    put.remote_port(u16::from_be_bytes(m.arrives.sport))?;
    put.local_port(u16::from_be_bytes(m.arrives.dport))?;
    put.rcv_start(m.rcv_start.0)?;
    put.rcv_next(m.rcv_next.0)?;
    put.rcv_edge(m.rcv_edge.0)?;
    put.snd_una(m.snd_una.0)?;
    put.snd_sent(m.snd_sent.0)?;
    put.snd_next(m.snd_next.0)?;
    put.snd_edge(m.snd_edge.0)?;
    put.mss(m.mss.into())?;
    put.acked(m.acked)?;
    let mut flags = 0;
    if let Some((theirs, ours)) = m.wscale {
        flags |= gen::handoff_flags::SCALING;
        put.wscale_in(theirs.into())?;
        put.wscale_out(ours.into())?;
    }
    if let Some((tsval, ts_recent)) = m.stamps {
        flags |= gen::handoff_flags::TIMESTAMPS;
        put.tsval(tsval)?;
        put.ts_recent(ts_recent)?;
    }
    for (is, flag) in [
        (m.usec, gen::handoff_flags::MICROSECONDS),
        (m.sack, gen::handoff_flags::SACK),
        (m.ecn, gen::handoff_flags::ECN),
        (m.fin, gen::handoff_flags::FIN),
    ] {
        if is {
            flags |= flag;
        }
    }
    put.flags(flags)
}

/// Begins to take a connection of another host.
fn expect(
    req: &Request<'_>,
    ns: &Arc<Ns>,
    migrant: &Migrant,
    timeout: Option<u64>,
) -> Result<Arc<Splice>> {
    splice::import(ns, migrant, timeout)
        .inspect_err(|_| ns.count(Stat::Refused))
        .map_err(|refusal| refuse(req, refusal))
}

/// A connection of another host, from attributes.
fn read_migrant(req: &Request<'_>, attrs: &HandoffAttrs<'_>) -> Result<Migrant> {
    said_migrant(attrs)
        .map_err(|what| req.refuse(EINVAL, fmt!("{what} is missing or does not fit")))
}

/// The same, or which attribute is wrong.
fn said_migrant(attrs: &HandoffAttrs<'_>) -> Result<Migrant, &'static str> {
    let flags = attrs.flags().unwrap_or(0);
    let has = |flag: u32| flags & flag != 0;
    let shift =
        |value: Option<u32>, what| value.and_then(|shift| u8::try_from(shift).ok()).ok_or(what);
    let arrives = read_key(
        attrs.remote(),
        attrs.remote_port(),
        attrs.local(),
        attrs.local_port(),
    )
    .ok_or("an address or a port")?;
    let migrant = Migrant {
        arrives,
        rcv_start: Seq(attrs.rcv_start().ok_or("rcv-start")?),
        rcv_next: Seq(attrs.rcv_next().ok_or("rcv-next")?),
        rcv_edge: Seq(attrs.rcv_edge().ok_or("rcv-edge")?),
        snd_una: Seq(attrs.snd_una().ok_or("snd-una")?),
        snd_sent: Seq(attrs.snd_sent().ok_or("snd-sent")?),
        snd_next: Seq(attrs.snd_next().ok_or("snd-next")?),
        snd_edge: Seq(attrs.snd_edge().ok_or("snd-edge")?),
        wscale: if has(gen::handoff_flags::SCALING) {
            Some((
                shift(attrs.wscale_in(), "wscale-in")?,
                shift(attrs.wscale_out(), "wscale-out")?,
            ))
        } else {
            None
        },
        stamps: if has(gen::handoff_flags::TIMESTAMPS) {
            Some((
                attrs.tsval().ok_or("tsval")?,
                attrs.ts_recent().ok_or("ts-recent")?,
            ))
        } else {
            None
        },
        mss: attrs
            .mss()
            .and_then(|mss| u16::try_from(mss).ok())
            .ok_or("mss")?,
        acked: attrs.acked().unwrap_or(0),
        usec: has(gen::handoff_flags::MICROSECONDS),
        sack: has(gen::handoff_flags::SACK),
        ecn: has(gen::handoff_flags::ECN),
        fin: has(gen::handoff_flags::FIN),
    };
    if migrant.rcv_start.after(migrant.rcv_next) {
        return Err("rcv-start, which is after rcv-next,");
    }
    if migrant.snd_una.after(migrant.snd_sent) || migrant.snd_sent.after(migrant.snd_next) {
        return Err("snd-sent, which is not between snd-una and snd-next,");
    }
    Ok(migrant)
}

fn arm(
    req: &Request<'_>,
    ns: &Arc<Ns>,
    client: u32,
    server: u32,
    attrs: &SpliceAttrs<'_>,
) -> Result<Arc<Splice>> {
    if attrs.to_server().is_some() || attrs.to_client().is_some() {
        return Err(req.refuse(EINVAL, fmt!("give sockets or numbers, not both")));
    }
    let wishes = read_wishes(attrs);
    if wishes.split {
        return Err(req.refuse_attr(
            EINVAL,
            splice_attr::FLAGS,
            fmt!("split is for the server's host, which makes the splice of numbers"),
        ));
    }
    let client = socket(req, client, splice_attr::CLIENT_FD)?;
    let server = socket(req, server, splice_attr::SERVER_FD)?;
    let module = this_module::<crate::LocalModule>();
    splice::arm(ns, client, server, &wishes, module).map_err(|refusal| refuse(req, refusal))
}

fn read_wishes(attrs: &SpliceAttrs<'_>) -> Wishes {
    let flags = attrs.flags().unwrap_or(0);
    Wishes {
        idle_timeout: attrs.idle_timeout(),
        limit_to_server: attrs.limit_to_server(),
        limit_to_client: attrs.limit_to_client(),
        return_on_fin: flags & gen::splice_flags::RETURN_ON_FIN != 0,
        cut_when_idle: flags & gen::splice_flags::CUT_WHEN_IDLE != 0,
        replicated: flags & gen::splice_flags::REPLICATED != 0,
        split: flags & gen::splice_flags::SPLIT != 0,
        arrives: false,
    }
}

fn refuse(req: &Request<'_>, refusal: Refusal) -> Error {
    req.refuse(refusal.errno(), fmt!("{refusal}"))
}

fn restore(req: &Request<'_>, ns: &Arc<Ns>, attrs: &SpliceAttrs<'_>) -> Result<Arc<Splice>> {
    let (Some(to_server), Some(to_client)) = (attrs.to_server(), attrs.to_client()) else {
        return Err(req.refuse(
            EINVAL,
            fmt!("give client-fd and server-fd, or to-server and to-client"),
        ));
    };
    let row = |flow: &FlowAttrs<'_>, name: &'static str| {
        read_row(flow)
            .map_err(|what| req.refuse(EINVAL, fmt!("{name}: {what} is missing or does not fit")))
    };
    let to_server = row(&to_server, "to-server")?;
    let to_client = row(&to_client, "to-client")?;
    splice::restore(ns, &to_server, &to_client, &read_wishes(attrs))
        .map_err(|refusal| refuse(req, refusal))
}

/// A key from attributes: both addresses of one family.
fn read_key(
    saddr: Option<&[u8]>,
    sport: Option<u16>,
    daddr: Option<&[u8]>,
    dport: Option<u16>,
) -> Option<FlowKey> {
    let (saddr, daddr, sport, dport) = (saddr?, daddr?, sport?, dport?);
    if let (Ok(saddr), Ok(daddr)) = (saddr.try_into(), daddr.try_into()) {
        return Some(FlowKey::v4(saddr, sport, daddr, dport));
    }
    let (saddr, daddr) = (saddr.try_into().ok()?, daddr.try_into().ok()?);
    Some(FlowKey::v6(saddr, sport, daddr, dport))
}

/// A row from attributes, or the name of what is wrong with them.
fn read_row(flow: &FlowAttrs<'_>) -> core::result::Result<Row, &'static str> {
    let key = read_key(flow.saddr(), flow.sport(), flow.daddr(), flow.dport())
        .ok_or("an address or port")?;
    let out = read_key(
        flow.new_saddr(),
        flow.new_sport(),
        flow.new_daddr(),
        flow.new_dport(),
    )
    .ok_or("a new address or port")?;
    if out.family != key.family {
        return Err("the family of a new address");
    }
    let seq_origin = Seq(flow.seq_origin().ok_or("seq-origin")?);
    let ack_last = Seq(flow.ack_last().ok_or("ack-last")?);
    let ack_delta = flow.ack_delta().ok_or("ack-delta")?;
    let flags = flow.flags().ok_or("flags")?;
    let timestamps = flags & gen::flow_flags::TIMESTAMPS != 0;
    let stamp = |delta: Option<u32>, name| match delta {
        None if timestamps => Err(name),
        delta => Ok(delta.unwrap_or(0)),
    };
    let wscale = |scale: Option<u32>, name| u8::try_from(scale.ok_or(name)?).map_err(|_| name);
    let wscale_in = wscale(flow.wscale_in(), "wscale-in")?;
    let mss = u16::try_from(flow.mss().unwrap_or(0)).map_err(|_| "mss")?;
    // At least as wide as the field can say: the connection may have gone on since the numbers were read, and
    // what is beyond the edge is not believed.
    let widest = ack_last.add(u32::from(u16::MAX) << wscale_in.min(14));
    let edge = flow
        .window_edge()
        .map_or(widest, |edge| Seq(edge).max(widest));
    Ok(Row {
        key,
        terms: Terms {
            edit: Edit {
                out,
                seq_delta: flow.seq_delta().ok_or("seq-delta")?,
                ack_delta,
                tsval_delta: stamp(flow.tsval_delta(), "tsval-delta")?,
                tsecr_delta: stamp(flow.tsecr_delta(), "tsecr-delta")?,
                wscale_in,
                wscale_out: wscale(flow.wscale_out(), "wscale-out")?,
                timestamps,
                sack: flags & gen::flow_flags::SACK != 0,
            },
            seq_origin,
            seq_promised: seq_origin,
            // Only a local socket drains, and this host has none.
            ack_origin: ack_last,
            ack_floor: Seq(flow
                .ack_floor()
                .unwrap_or(ack_last.0.wrapping_add(ack_delta))),
            tsecr_floor: flow.tsecr_floor().unwrap_or(0),
            mss,
            hop: match (flow.output(), flow.via()) {
                (None, None) => None,
                // Its answers come by here, too: they have a row of their own.
                (Some(NodeOutput::Nat), _) => return Err("output"),
                (output, Some(via)) => Some(
                    read_hop(key.family, output.unwrap_or(NodeOutput::Direct), via).ok_or("via")?,
                ),
                (Some(_), None) => return Err("via"),
            },
        },
        seq_next: Seq(flow.seq_next().ok_or("seq-next")?),
        ack_last,
        edge,
        tsval_last: flow.tsval_last().unwrap_or(0),
        echo_last: 0,
        limit: None,
        marks: read_marks(flags),
        bytes: flow.bytes().unwrap_or(0),
    })
}

/// How far a flow has come, from attributes.
fn read_progress(flow: &FlowAttrs<'_>) -> Option<Progress> {
    Some(Progress {
        seq_next: Seq(flow.seq_next()?),
        ack_last: Seq(flow.ack_last()?),
        edge: flow.window_edge().map(Seq),
        tsval_last: flow.tsval_last(),
        marks: read_marks(flow.flags().unwrap_or(0)),
    })
}

/// Flags of the interface and marks of a flow.
const MARKS: [(u32, u32); 5] = [
    (gen::flow_flags::ECHOING, ECHOING),
    (gen::flow_flags::FLOORED, FLOORED),
    (gen::flow_flags::DRAINING, DRAINING),
    (gen::flow_flags::FIN_SEEN, FIN_SEEN),
    (gen::flow_flags::FIN_ACKED, FIN_ACKED),
];

/// The marks that flags of the interface stand for.
fn read_marks(flags: u32) -> u32 {
    let set = MARKS.iter().filter(|(flag, _)| flags & flag != 0);
    set.fold(0, |marks, (_, mark)| marks | mark)
}

fn put_key(put: &mut FlowPut<'_, '_>, arrives: &FlowKey, leaves: &FlowKey) -> Result {
    put.saddr(arrives.source())?;
    put.daddr(arrives.destination())?;
    put.sport(u16::from_be_bytes(arrives.sport))?;
    put.dport(u16::from_be_bytes(arrives.dport))?;
    put.new_saddr(leaves.source())?;
    put.new_daddr(leaves.destination())?;
    put.new_sport(u16::from_be_bytes(leaves.sport))?;
    put.new_dport(u16::from_be_bytes(leaves.dport))
}

fn put_flow(put: &mut FlowPut<'_, '_>, flow: &flow::Entry, terms: &Terms) -> Result {
    let edit = &terms.edit;
    put_key(put, flow.key(), &edit.out)?;
    put.seq_delta(edit.seq_delta)?;
    put.ack_delta(edit.ack_delta)?;
    if edit.timestamps {
        put.tsval_delta(edit.tsval_delta)?;
        put.tsecr_delta(edit.tsecr_delta)?;
    }
    put.wscale_in(edit.wscale_in.into())?;
    put.wscale_out(edit.wscale_out.into())?;
    let marks = flow.marks();
    let mut flags = 0;
    if edit.timestamps {
        flags |= gen::flow_flags::TIMESTAMPS;
    }
    if edit.sack {
        flags |= gen::flow_flags::SACK;
    }
    for (flag, mark) in MARKS {
        if marks & mark != 0 {
            flags |= flag;
        }
    }
    put.flags(flags)?;
    put.seq_origin(terms.seq_origin.0)?;
    put.seq_next(flow.seq_next().0)?;
    put.ack_last(flow.ack_last().0)?;
    put.ack_floor(terms.ack_floor.0)?;
    let carried = flow.carried();
    put.packets(carried.packets)?;
    put.bytes(carried.bytes)?;
    if terms.mss != 0 {
        put.mss(terms.mss.into())?;
    }
    if let Some(hop) = &terms.hop {
        put.output(said(hop.output))?;
        put.via(
            hop.via
                .get(..flow.key().family.addr_len())
                .unwrap_or(&hop.via),
        )?;
    }
    put.window_edge(flow.edge().0)?;
    if edit.timestamps {
        put.tsval_last(flow.tsval_last())?;
        if flow.has(ECHOING) {
            put.tsecr_floor(terms.tsecr_floor)?;
        }
    }
    Ok(())
}

/// Of a flow whose numbers are not known yet: which packets, and how they leave.
fn put_opening(put: &mut FlowPut<'_, '_>, splice: &Splice, flow: &flow::Entry) -> Result {
    if let Some(edit) = splice.opening_edit(flow.direction()) {
        put_key(put, flow.key(), &edit.out)?;
    }
    Ok(())
}

fn kind(splice: &Splice) -> SpliceKind {
    let terms = splice.terms(Direction::ToServer);
    let hop = terms.and_then(|(terms, _)| terms.hop);
    match (splice.assigned_by(), hop.map(|hop| hop.output)) {
        (Some(Output::Nat), _) => SpliceKind::Nat,
        (_, Some(Output::Rewrite)) | (Some(_), _) => SpliceKind::Rewrite,
        (None, Some(_)) => SpliceKind::Handoff,
        (None, None) => SpliceKind::Splice,
    }
}

fn state(splice: &Splice) -> SpliceState {
    let has = |mark| splice.to_server().has(mark) || splice.to_client().has(mark);
    match splice.phase() {
        Phase::Arming | Phase::Aborted => SpliceState::Arming,
        Phase::Tombstone | Phase::Cut | Phase::Returned => SpliceState::Tombstone,
        Phase::Settling => SpliceState::Returning,
        Phase::Opening => SpliceState::Opening,
        Phase::Live if splice.is_half_open() => SpliceState::Opening,
        Phase::Live if splice.is_returning() => SpliceState::Returning,
        Phase::Live if has(DRAINING) => SpliceState::Draining,
        Phase::Live if has(FIN_SEEN) => SpliceState::Closing,
        Phase::Live => SpliceState::Established,
    }
}

fn reason(splice: &Splice) -> EndReason {
    match splice.reason() {
        Reason::None => EndReason::None,
        Reason::Fin => EndReason::Fin,
        Reason::ResetByClient => EndReason::ResetByClient,
        Reason::ResetByServer => EndReason::ResetByServer,
        Reason::Deleted => EndReason::Deleted,
        Reason::Idle => EndReason::Idle,
        Reason::Undeliverable => EndReason::Undeliverable,
        Reason::Returned => EndReason::Returned,
    }
}

fn put_splice(put: &mut Put<'_>, splice: &Splice) -> Result {
    let mut put = SplicePut::new(put);
    put.id(splice.id())?;
    if let Some((to_server, to_client)) = splice.terms(Direction::ToServer) {
        put.to_server(|put| put_flow(put, splice.to_server(), to_server))?;
        put.to_client(|put| put_flow(put, splice.to_client(), to_client))?;
    } else if splice.assigned_by().is_some() {
        put.to_server(|put| put_opening(put, splice, splice.to_server()))?;
        put.to_client(|put| put_opening(put, splice, splice.to_client()))?;
    }
    put.idle_timeout(splice.idle_timeout())?;
    let wishes = splice.wishes();
    if let Some(limit) = wishes.limit_to_server {
        put.limit_to_server(limit)?;
    }
    if let Some(limit) = wishes.limit_to_client {
        put.limit_to_client(limit)?;
    }
    let mut flags = 0;
    if splice.is_shared() {
        flags |= gen::splice_flags::REPLICATED;
    }
    if wishes.split {
        flags |= gen::splice_flags::SPLIT;
    }
    if wishes.return_on_fin {
        flags |= gen::splice_flags::RETURN_ON_FIN;
    }
    if wishes.cut_when_idle {
        flags |= gen::splice_flags::CUT_WHEN_IDLE;
    }
    put.flags(flags)?;
    put.state(state(splice))?;
    put.reason(reason(splice))?;
    put.age(splice.age())?;
    put.idle(splice.idle())?;
    put.moved_to_server(splice.moved(Direction::ToServer).into())?;
    put.moved_to_client(splice.moved(Direction::ToClient).into())?;
    put.kind(kind(splice))
}

fn put_stats(put: &mut Put<'_>, ns: &Ns) -> Result {
    let mut put = StatsPut::new(put);
    let (splices, tombstones) = ns.population();
    put.splices(splices as u64)?;
    put.tombstones(tombstones as u64)?;
    put.created(ns.counted(Stat::Created))?;
    put.ended(ns.counted(Stat::Ended))?;
    put.refused(ns.counted(Stat::Refused))?;
    put.translated(ns.counted(Stat::Translated))?;
    put.held(ns.counted(Stat::Held))?;
    put.drained(ns.counted(Stat::Drained))?;
    put.returned(ns.counted(Stat::Returned))?;
    put.kept(ns.counted(Stat::Kept))?;
    put.moved_out_of_order(ns.counted(Stat::MovedOutOfOrder))?;
    put.resegmented(ns.counted(Stat::Resegmented))?;
    put.probes(ns.counted(Stat::Probes))?;
    put.answered(ns.counted(Stat::Answered))?;
    put.icmp_errors(ns.counted(Stat::IcmpErrors))?;
    put.drop_held(ns.counted(Stat::DropHeld))?;
    put.drop_malformed(ns.counted(Stat::DropMalformed))?;
    put.drop_ttl(ns.counted(Stat::DropTtl))?;
    put.drop_no_route(ns.counted(Stat::DropNoRoute))?;
    put.drop_too_big(ns.counted(Stat::DropTooBig))?;
    put.drop_no_memory(ns.counted(Stat::DropNoMemory))?;
    put.drop_invalid_rst(ns.counted(Stat::DropInvalidRst))?;
    put.drop_local(ns.counted(Stat::DropLocal))?;
    put.dispatched(ns.counted(Stat::Dispatched))?;
    put.decapsulated(ns.counted(Stat::Decapsulated))?;
    put.drop_no_node(ns.counted(Stat::DropNoNode))?;
    put.drop_not_owned(ns.counted(Stat::DropNotOwned))?;
    put.drop_loop(ns.counted(Stat::DropLoop))?;
    put.waited(ns.counted(Stat::Waited))?;
    put.forwarded(ns.counted(Stat::Forwarded))?;
    put.handed_off(ns.counted(Stat::HandedOff))?;
    put.taken_over(ns.counted(Stat::TakenOver))?;
    put.opening(ns.opening() as u64)?;
    put.assigned(ns.counted(Stat::Assigned))?;
    put.rewritten(ns.counted(Stat::Rewritten))?;
    put.drop_no_row(ns.counted(Stat::DropNoRow))?;
    put.drop_opening(ns.counted(Stat::DropOpening))?;
    put.drop_full(ns.counted(Stat::DropFull))
}

/// A node is known by its frames: its link-layer address is learned before they come.
fn meet_node(net: &Namespace, service: &Key, node: &Node) {
    if !node.local && node.output == Output::Direct {
        in_packet_context(|guard| {
            forward::meet(net, service.family(), &node.via, &node.record.link, guard);
        });
    }
}

/// Tells who listens that a splice was made. May sleep.
pub fn announce_new(net: &Namespace, splice: &Splice) {
    announce(net, gen::CMD_SPLICE_NEW_NTF, splice);
}

/// Tells who listens that a splice has drained, or that one of which other hosts carry packets has come further. May sleep.
pub fn announce_change(net: &Namespace, splice: &Splice) {
    announce(net, gen::CMD_SPLICE_CHANGE_NTF, splice);
}

/// Tells who listens that a splice ended. May sleep.
pub fn announce_end(net: &Namespace, splice: &Splice) {
    announce(net, gen::CMD_SPLICE_END_NTF, splice);
}

fn announce(net: &Namespace, cmd: u8, splice: &Splice) {
    tell(net, cmd, |put| put_splice(put, splice));
}

/// Tells who listens that a node was set or is gone. May sleep.
fn announce_node(net: &Namespace, cmd: u8, service: &Service, at: usize) {
    tell(net, cmd, |put| put_node(put, service, at));
}

fn tell(net: &Namespace, cmd: u8, f: impl FnOnce(&mut Put<'_>) -> Result) {
    let sent = FAMILY.multicast(net, gen::MCGRP_EVENTS, cmd, f);
    if sent.is_err() {
        pr_warn_once!("an event was lost for lack of memory\n");
    }
}
