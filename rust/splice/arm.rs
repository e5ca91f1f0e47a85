// SPDX-License-Identifier: GPL-2.0

//! Arming: from two connected sockets to two flows, at any moment, without losing a byte.
//!
//! 1. Both sockets are locked, so that what arrives for them waits in their backlogs.
//! 2. The flows go into the table, unarmed: from here on the hook holds what arrives.
//! 3. After a grace period every packet that had passed the hook before is in a socket, and the
//!    backlogs are taken in. Nothing moves now.
//! 4. What is unread in one socket is sent on the other, a FIN too. What the sockets have sent
//!    and nobody has acknowledged stays theirs: they go dormant and drain.
//! 5. The numbers are read, the held packets are carried by them, and the splice is live.

use super::{
    life::Phase,
    terms::{check_rows, row, Row, Stand},
    Legs, Splice, Wishes, MAX_HELD,
};
use crate::{
    flow::{Direction, Start},
    hook,
    net::{
        leg::{Numbers, TcpState},
        module::ModuleHold,
        netfilter::in_packet_context,
        rcu,
        skbuff::{Device, Packet},
        socket::{Locked, TcpSocket},
    },
    pernet::Ns,
    stats::Stat,
    xlate::{
        build::build_data,
        ip::header_len,
        options::{stamps, STAMPS_LEN},
        tcp::{Flags, HEADER_LEN},
    },
};
use kernel::{fmt, prelude::*, sync::Arc};

/// Why there is no splice.
#[derive(Clone, Copy)]
pub enum Refusal {
    /// Both descriptors are the same socket.
    SameSocket,
    /// The sockets are of another network namespace.
    OtherNamespace,
    /// One end is not connected any more.
    NotConnected(Side),
    /// Segments are signed.
    Signed(Side),
    /// kTLS or MPTCP.
    UpperLayer(Side),
    /// Urgent data is unread.
    Urgent(Side),
    /// IPv4 on one side, IPv6 on the other.
    Families,
    /// Timestamps on one side only.
    Timestamps,
    /// Timestamps tick in different units.
    TimestampUnits,
    /// ECN on one side only.
    Ecn,
    /// Accurate ECN, whose counters belong to one connection.
    AccEcn(Side),
    /// Addresses of one link, or a socket bound to a device.
    Scoped(Side),
    /// Rows of `new` are not each other's reverse.
    NotReverseAddresses,
    /// The same of deltas.
    NotReverseNumbers,
    /// The splice is still draining on its own host.
    Draining,
    /// The addresses and ports are spliced already.
    Exists,
    /// A splice of numbers has no sockets to give back.
    NoSockets,
    /// Unread bytes could not be moved.
    Move(Error),
    /// Anything else.
    Failed(Error),
}

/// One of the two ends.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The client's.
    Client,
    /// The server's.
    Server,
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Side::Client => "client",
            Side::Server => "server",
        })
    }
}

impl From<Error> for Refusal {
    fn from(e: Error) -> Self {
        if e == EEXIST {
            Refusal::Exists
        } else {
            Refusal::Failed(e)
        }
    }
}

impl Refusal {
    /// The error number for user space.
    pub fn errno(&self) -> Error {
        match self {
            Refusal::SameSocket
            | Refusal::OtherNamespace
            | Refusal::NotReverseAddresses
            | Refusal::NotReverseNumbers
            | Refusal::NoSockets => EINVAL,
            Refusal::NotConnected(_) => ENOTCONN,
            Refusal::Signed(_)
            | Refusal::UpperLayer(_)
            | Refusal::Urgent(_)
            | Refusal::Families
            | Refusal::Timestamps
            | Refusal::TimestampUnits
            | Refusal::Ecn
            | Refusal::AccEcn(_)
            | Refusal::Scoped(_) => EOPNOTSUPP,
            Refusal::Draining => EBUSY,
            Refusal::Exists => EEXIST,
            Refusal::Move(e) | Refusal::Failed(e) => *e,
        }
    }
}

// At most 79 bytes each: that is what an extended ACK holds.
impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::SameSocket => f.write_str("client-fd and server-fd are the same socket"),
            Refusal::OtherNamespace => {
                f.write_str("a socket is of another network namespace than this request")
            }
            Refusal::NotConnected(side) => {
                f.write_fmt(fmt!("{side} connection is not established any more"))
            }
            Refusal::Signed(side) => f.write_fmt(fmt!(
                "{side} connection is signed (TCP-MD5 or TCP-AO); copy instead"
            )),
            Refusal::UpperLayer(side) => {
                f.write_fmt(fmt!("{side} socket has kTLS or MPTCP; copy instead"))
            }
            Refusal::Urgent(side) => {
                f.write_fmt(fmt!("{side} socket has urgent data; read it first"))
            }
            Refusal::Families => {
                f.write_str("client is IPv4 and server IPv6, or reverse; copy instead")
            }
            Refusal::Timestamps => {
                f.write_str("TCP timestamps on one connection only; set both alike or copy")
            }
            Refusal::TimestampUnits => {
                f.write_str("TCP timestamps tick in different units; copy instead")
            }
            Refusal::AccEcn(side) => f.write_fmt(fmt!(
                "{side} connection uses Accurate ECN; set tcp_ecn to 0 or 1, or copy"
            )),
            Refusal::Scoped(side) => f.write_fmt(fmt!(
                "{side} socket is link-local or bound to a device; copy instead"
            )),
            Refusal::Ecn => f.write_str("ECN on one connection only; set both alike or copy"),
            Refusal::NotReverseAddresses => {
                f.write_str("to-server and to-client are not each other's reverse: addresses")
            }
            Refusal::NotReverseNumbers => {
                f.write_str("to-server and to-client are not each other's reverse: deltas")
            }
            Refusal::Draining => {
                f.write_str("still draining on its own host; save it once established")
            }
            Refusal::NoSockets => {
                f.write_str("limits and a return need client-fd and server-fd to return to")
            }
            Refusal::Exists => f.write_str("these addresses and ports are spliced already"),
            Refusal::Move(_) => f.write_str("unread bytes could not be moved to the other socket"),
            Refusal::Failed(_) => f.write_str("no splice could be made"),
        }
    }
}

pub(super) fn check_side(n: &Numbers, side: Side) -> Result<(), Refusal> {
    if n.state == TcpState::Other || n.dead {
        Err(Refusal::NotConnected(side))
    } else if n.signed {
        Err(Refusal::Signed(side))
    } else if n.ulp {
        Err(Refusal::UpperLayer(side))
    } else if n.urgent {
        Err(Refusal::Urgent(side))
    } else if n.accecn {
        Err(Refusal::AccEcn(side))
    } else if n.scoped {
        Err(Refusal::Scoped(side))
    } else {
        Ok(())
    }
}

/// Whether these two connections can be translated into each other.
fn check(client: &Numbers, server: &Numbers) -> Result<(), Refusal> {
    check_side(client, Side::Client)?;
    check_side(server, Side::Server)?;
    if client.arrives.family != server.arrives.family {
        return Err(Refusal::Families);
    }
    // Segments without the option are dropped where it was agreed on (RFC 7323, section 3.2), and
    // nothing that passes could give it a value.
    if client.timestamps != server.timestamps {
        return Err(Refusal::Timestamps);
    }
    if client.timestamps && client.usec != server.usec {
        return Err(Refusal::TimestampUnits);
    }
    // A CE mark must reach a sender that understands ECE.
    if client.ecn != server.ecn {
        return Err(Refusal::Ecn);
    }
    Ok(())
}

/// Splices two connected sockets of the namespace. May sleep.
///
/// The sockets are not usable by user space after this; closing them sends nothing.
///
/// # Errors
///
/// Why not. The sockets are as they were then, but for bytes that were moved already
/// ([`Refusal::Move`] only), which have been sent as a copying proxy would have.
pub fn arm(
    ns: &Arc<Ns>,
    client: TcpSocket,
    server: TcpSocket,
    wishes: &Wishes,
    module: &'static ThisModule,
) -> Result<Arc<Splice>, Refusal> {
    if !client.is_in(ns.net) || !server.is_in(ns.net) {
        return Err(Refusal::OtherNamespace);
    }
    ns.hook_in()?;
    let hold = ModuleHold::new(module)?;
    let legs = Legs {
        client,
        server,
        _module: hold,
    };
    let legs = Arc::new(legs, GFP_KERNEL).map_err(Error::from)?;
    let splice = {
        let (mut client, mut server) =
            TcpSocket::lock_both(&legs.client, &legs.server).ok_or(Refusal::SameSocket)?;
        let (c, s) = (client.numbers(), server.numbers());
        check(&c, &s)?;

        let splice = Splice::new(ns, c.arrives, s.arrives, wishes)?;
        ns.add(&splice, GFP_KERNEL)?;
        rcu::synchronize_net();
        client.flush_backlog();
        server.flush_backlog();

        match move_all(&splice, &mut client, &mut server) {
            Ok(rows) => {
                let [to_server, to_client] = &rows;
                let restore = [client.make_dormant(), server.make_dormant()];
                splice.restore.populate(restore);
                in_packet_context(|_| *splice.legs.lock() = Some(legs.clone()));
                splice.go_live(&rows, || {
                    splice.send_out_of_order(&client, to_server, server.numbers().peer_mss);
                    splice.send_out_of_order(&server, to_client, client.numbers().peer_mss);
                });
                // Whoever ends it waits for the sockets before that is announced.
                splice.announce();
            }
            Err(refusal) => {
                splice.let_stay(|direction, packet, len| {
                    legs.toward_sender(direction).deliver(packet, len);
                });
                return Err(refusal);
            }
        }
        splice
    };
    legs.client.push();
    legs.server.push();
    ns.count(Stat::Created);
    splice.watch();
    Ok(splice)
}

/// Moves what is unread, and reads the numbers after that.
fn move_all(
    splice: &Splice,
    client: &mut Locked<'_>,
    server: &mut Locked<'_>,
) -> Result<[Row; 2], Refusal> {
    // What came last may have closed or reset a connection, or brought urgent data.
    let (c, s) = (client.numbers(), server.numbers());
    check(&c, &s)?;
    let wishes = splice.wishes();
    let to_server = wishes.limit_to_server.unwrap_or(u64::MAX);
    let to_client = wishes.limit_to_client.unwrap_or(u64::MAX);
    let moved = (
        client
            .move_unread(server, to_server)
            .map_err(Refusal::Move)?,
        server
            .move_unread(client, to_client)
            .map_err(Refusal::Move)?,
    );
    splice.note_moved(moved.0, moved.1);
    // After the bytes of both: a FIN changes the state by which bytes are told from FINs.
    let fin_moved = |n: &Numbers| n.state == TcpState::CloseWait && !wishes.is_to_return();
    if fin_moved(&c) {
        server.send_fin();
    }
    if fin_moved(&s) {
        client.send_fin();
    }
    let (c_now, s_now) = (client.numbers(), server.numbers());
    let stand = |numbers, before: &Numbers, moved: u32, limit: Option<u64>| {
        // What was not moved stays in its socket, and so does a FIN that is not to be carried.
        let origin = before.copied_seq.add(moved);
        let returns = wishes.is_to_return();
        let ended = returns && before.state == TcpState::CloseWait && moved == before.unread();
        Stand {
            numbers,
            origin: if returns { origin } else { before.rcv_nxt },
            fin_moved: fin_moved(before),
            ended,
            limit: if ended {
                Some(0)
            } else {
                limit.map(|limit| limit.saturating_sub(moved.into()))
            },
        }
    };
    let c = stand(&c_now, &c, moved.0, wishes.limit_to_server);
    let s = stand(&s_now, &s, moved.1, wishes.limit_to_client);
    Ok([row(&c, &s), row(&s, &c)])
}

/// Makes a splice from numbers, without sockets: one of another host. May sleep.
///
/// # Errors
///
/// Why not; nothing has changed.
pub fn restore(
    ns: &Arc<Ns>,
    to_server: &Row,
    to_client: &Row,
    wishes: &Wishes,
) -> Result<Arc<Splice>, Refusal> {
    if wishes.is_to_return() {
        return Err(Refusal::NoSockets);
    }
    check_rows(to_server, to_client)?;
    ns.hook_in()?;
    let splice = Splice::new(ns, to_server.key, to_client.key, wishes)?;
    ns.add(&splice, GFP_KERNEL)?;
    splice.go_live(&[*to_server, *to_client], || {});
    ns.count(Stat::Created);
    splice.announce();
    splice.watch();
    Ok(splice)
}

impl Splice {
    /// Carries what was held by the numbers, after what `first` carries, and from here on carries what arrives.
    pub(super) fn go_live(&self, rows: &[Row; 2], first: impl FnOnce()) {
        self.start(rows);
        self.freeze();
        first();
        self.carry_what_is_held();
        self.look_if_settled();
    }

    /// Sets where both flows stand, and publishes the terms.
    pub(super) fn start(&self, rows: &[Row; 2]) {
        let [to_server, to_client] = rows;
        for (row, flow) in [(to_server, &self.to_server), (to_client, &self.to_client)] {
            flow.start(&Start {
                seq_origin: row.terms.seq_origin,
                seq_next: row.seq_next,
                ack_last: row.ack_last,
                edge: row.edge,
                tsval_last: row.tsval_last,
                echo_last: row.echo_last,
                bytes: row.bytes,
                limit: row.limit,
                marks: row.marks,
            });
        }
        // Of a split splice the proxies have the other half.
        if self.wishes.replicated || self.wishes.split {
            self.share();
        }
        self.terms.populate([to_server.terms, to_client.terms]);
    }

    /// Carries what is held; when nothing is, the splice is live.
    pub(super) fn carry_what_is_held(&self) {
        in_packet_context(|_| {
            // Packets go on being held until none is, so that they leave in the order they came;
            // but not for ever, should they come as fast as they go.
            let mut carried = 0;
            while let Some((packet, _device)) = self.pop_held(carried >= MAX_HELD) {
                hook::carry_held(&self.ns, self, packet);
                carried += 1;
            }
        });
    }

    /// The next held packet. Without one, or if `enough`, arming is over. Bottom halves off.
    fn pop_held(&self, enough: bool) -> Option<(Packet, Device)> {
        let mut held = self.held.lock();
        let next = (*held).as_mut().and_then(|queue| queue.pop());
        if next.is_none() {
            *held = None;
        }
        if next.is_none() || enough {
            self.finish_holding(Phase::Live);
        }
        next
    }

    /// What a local socket had received out of order, and told its peer of, its peer will not send
    /// again: it is sent on from here, or kept if it is beyond a limit. In the numbers of packets that arrive.
    fn send_out_of_order(&self, leg: &Locked<'_>, row: &Row, peer_mss: u16) {
        let n = leg.numbers();
        if !n.sack {
            return;
        }
        let stamps = stamps(n.ts_recent, n.tsecr);
        let (options, options_len) = if n.timestamps {
            (&stamps[..], STAMPS_LEN)
        } else {
            (&stamps[..0], 0)
        };
        // In segments of the sender's size, as far as the receiver takes them: a SACK block of the receiver ends where a
        // segment ends, and the sender looks for it there.
        let room = peer_mss.min(n.our_mss).saturating_sub(options_len as u16);
        let room = u32::from(room.max(1));
        let headers = header_len(row.key.family) + HEADER_LEN + options_len;
        let window = n.snd_edge.distance(n.snd_una) >> n.wscale_in.min(14);
        let window = u16::try_from(window).unwrap_or(u16::MAX);
        leg.out_of_order(|range| {
            let mut done = 0;
            loop {
                let seq = range.seq.add(done);
                let len = (range.len - done).min(room);
                // A FIN may be all there is.
                let last = done + len == range.len;
                let mut flags = Flags::ACK;
                if range.fin && last {
                    flags = flags.union(Flags::FIN);
                }
                let packet = Packet::build(row.key.family, headers + len as usize, |out| {
                    if !range.read(done, out.get_mut(headers..)?) {
                        return None;
                    }
                    let numbers = (seq, n.snd_una);
                    build_data(out, headers, &row.key, numbers, flags, window, options)
                });
                match packet {
                    Some(packet) => {
                        in_packet_context(|_| hook::carry_held(&self.ns, self, packet));
                        self.ns.count(Stat::MovedOutOfOrder);
                    }
                    None => self.ns.count(Stat::DropNoMemory),
                }
                if last {
                    return;
                }
                done += len;
            }
        });
    }

    /// There is no splice, or none yet: what was held goes to sockets of this host, by the direction that it came in, and the
    /// flows are taken out. May sleep.
    pub(super) fn let_stay(&self, give: impl FnMut(Direction, Packet, usize)) {
        self.finish_holding(Phase::Aborted);
        self.give_held(give);
        self.ns.remove(self);
    }

    /// Gives what was held to sockets of this host, once the phase lets nothing be held any more.
    pub(super) fn give_held(&self, mut give: impl FnMut(Direction, Packet, usize)) {
        in_packet_context(|_| {
            let queue = self.held.lock().take();
            let Some(mut queue) = queue else {
                return;
            };
            while let Some((packet, _device)) = queue.pop() {
                hook::return_held(self, packet, &mut give);
            }
        });
    }

    /// Which flow a packet of this family and key belongs to.
    pub(crate) fn direction_of(&self, key: &crate::xlate::key::FlowKey) -> Option<Direction> {
        if key == self.to_server.key() {
            Some(Direction::ToServer)
        } else if key == self.to_client.key() {
            Some(Direction::ToClient)
        } else {
            None
        }
    }
}
