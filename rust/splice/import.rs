// SPDX-License-Identifier: GPL-2.0

//! A connection of another host comes to this one (TCP handoff).
//!
//! 1. [`import`]: its packets are held from here on.
//! 2. [`Splice::write_moving`]: the bytes that it comes with.
//! 3. [`Splice::arrive`]: a socket that the caller names, or whoever listens, gets the connection, with the numbers that its client knows and the bytes that
//!    the client had sent, and counts as sent what was sent to the client and not acknowledged. It is an ordinary connection then.
//!
//! A connection that comes back to a host whose flow sends its packets on finds them held there, in the phase in which a splice
//! gives its sockets back; if it does not come after all, they are sent on.

use super::{
    arm::Refusal,
    export::{time_to_move, Stream},
    Moving, Phase, Reason, Splice, Wishes,
};
use crate::{
    flow::Direction,
    net::{
        birth::{Newborn, Unborn},
        leg::Migrant,
        netfilter::in_packet_context,
        rcu,
        skbuff::{Packet, PacketQueue},
        socket::TcpSocket,
        workqueue,
    },
    pernet::Ns,
    stats::Stat,
    xlate::{
        build::{build_data, build_segment},
        ip::header_len,
        options::{stamps, TcpOption, STAMPS_LEN},
        seq::Seq,
        tcp::{Flags, HEADER_LEN},
    },
};
use kernel::{
    alloc::{KBox, KVVec, KVec},
    fmt,
    prelude::*,
    sync::Arc,
};

/// Bytes that a connection may come with, of both streams.
const MAX_BYTES: usize = 32 << 20;

/// Bytes of payload in a packet of our own.
const CHUNK: usize = 1200;

/// What a connection comes with, before it is there.
pub(super) struct Arriving {
    migrant: Migrant,
    /// In the order in which they came, each with the number of its first byte.
    received: KVec<(Seq, KVVec<u8>)>,
    sent: KVVec<u8>,
    bytes: usize,
}

/// Why a connection did not come.
#[derive(Clone, Copy)]
pub enum Absent {
    /// There is no such thing under way.
    NotArriving,
    /// Bytes are missing, or do not follow on each other.
    Bytes,
    /// Too many of them.
    TooMany,
    /// There was no memory for the bytes, or the socket did not take them.
    Lost,
    /// Nobody could have it.
    Unborn(Unborn),
}

impl Absent {
    /// The error number for user space.
    pub fn errno(&self) -> Error {
        match self {
            Absent::NotArriving => ENOENT,
            Absent::Bytes => EINVAL,
            Absent::TooMany => EMSGSIZE,
            Absent::Lost => ENOMEM,
            Absent::Unborn(why) => match why {
                Unborn::NotLocal => EADDRNOTAVAIL,
                Unborn::NoRoute => ENETUNREACH,
                Unborn::Nobody | Unborn::Refused => ECONNREFUSED,
                Unborn::Full => EAGAIN,
                Unborn::Exists => EEXIST,
                Unborn::NoOwner => EINVAL,
                Unborn::Cookies | Unborn::Signed | Unborn::Defers | Unborn::Options => EOPNOTSUPP,
            },
        }
    }
}

// At most 79 bytes each: that is what an extended ACK holds.
impl fmt::Display for Absent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Absent::NotArriving => "no connection of this id is arriving; import it first",
            Absent::Bytes => "bytes are missing, or do not follow on those before",
            Absent::TooMany => "the connection comes with more than 32 MiB",
            Absent::Lost => "the new socket did not take its bytes",
            Absent::Unborn(why) => match why {
                Unborn::NotLocal => {
                    "the address is none of this host; add it to lo, as handoff.md says"
                }
                Unborn::NoRoute => "the client cannot be reached from here",
                Unborn::Nobody => "nobody listens on this address and port",
                Unborn::Full => "the listener's backlog is full",
                Unborn::Cookies => "net.ipv4.tcp_syncookies is 2; set it to 1 or 0",
                Unborn::Exists => "this host has a connection of these addresses and ports",
                Unborn::Signed => "the listener wants TCP-MD5 or TCP-AO",
                Unborn::Defers => "the listener has TCP_DEFER_ACCEPT; hand off with a request",
                Unborn::Options => "timestamps, SACK or window scaling are switched off here",
                Unborn::Refused => "the kernel did not take the connection",
                Unborn::NoOwner => "the socket does not listen, or is of another family or device",
            },
        })
    }
}

/// Begins to take a connection of another host, for so many milliseconds. May sleep.
///
/// # Errors
///
/// Why not; nothing has changed.
pub fn import(
    ns: &Arc<Ns>,
    migrant: &Migrant,
    timeout: Option<u64>,
) -> Result<Arc<Splice>, Refusal> {
    ns.hook_in()?;
    let key = migrant.arrives;
    let arriving = Arriving {
        migrant: *migrant,
        received: KVec::new(),
        sent: KVVec::new(),
        bytes: 0,
    };
    let arriving = KBox::new(Moving::Arriving(arriving), GFP_KERNEL).map_err(Error::from)?;
    let gone = ns
        .with_flow(&key)
        .filter(|splice| splice.is_elsewhere() && *splice.to_server().key() == key);
    let splice = match gone {
        Some(splice) => {
            splice.hold_again()?;
            *splice.moving.lock() = Some(arriving);
            splice
        }
        None => {
            let wishes = Wishes {
                arrives: true,
                ..Wishes::default()
            };
            let splice = Splice::new(ns, key, key.reverse(), &wishes)?;
            *splice.moving.lock() = Some(arriving);
            ns.add(&splice, GFP_KERNEL)?;
            splice
        }
    };
    workqueue::set(&*splice, time_to_move(timeout));
    Ok(splice)
}

impl Arriving {
    fn write(&mut self, stream: Stream, seq: Seq, bytes: &[u8]) -> Result<(), Absent> {
        let len = u32::try_from(bytes.len()).map_err(|_| Absent::TooMany)?;
        self.bytes = self.bytes.saturating_add(bytes.len());
        if self.bytes > MAX_BYTES {
            return Err(Absent::TooMany);
        }
        match stream {
            Stream::Received => {
                let m = &self.migrant;
                let end = self
                    .received
                    .last()
                    .map_or(m.rcv_start, |(seq, bytes)| seq.add(bytes.len() as u32));
                let follows = seq == end || seq.after(end) && seq.after(m.rcv_next.sub(1));
                if !follows || seq.add(len).after(m.rcv_edge) {
                    return Err(Absent::Bytes);
                }
                let mut piece = KVVec::new();
                piece
                    .extend_from_slice(bytes, GFP_KERNEL)
                    .map_err(|_| Absent::Lost)?;
                self.received
                    .push((seq, piece), GFP_KERNEL)
                    .map_err(|_| Absent::Lost)?;
            }
            Stream::Sent => {
                let end = self.migrant.snd_una.add(self.sent.len() as u32);
                if seq != end || seq.add(len).after(self.migrant.snd_next) {
                    return Err(Absent::Bytes);
                }
                self.sent
                    .extend_from_slice(bytes, GFP_KERNEL)
                    .map_err(|_| Absent::Lost)?;
            }
        }
        Ok(())
    }

    /// Number after the last byte of the client's stream that is in order, without its FIN.
    fn data_end(&self) -> Seq {
        let m = &self.migrant;
        m.rcv_next.sub(u32::from(m.fin))
    }

    /// Whether all bytes are there that the numbers speak of.
    fn is_whole(&self) -> bool {
        let mut end = self.migrant.rcv_start;
        for (seq, bytes) in &self.received {
            if *seq == end {
                end = end.add(bytes.len() as u32);
            }
        }
        let sent = self.migrant.snd_una.add(self.sent.len() as u32);
        end.at_or_after(self.data_end()) && sent == self.migrant.snd_next
    }

    /// The client's SYN as it would have been, had it begun here.
    fn syn(&self) -> Option<Packet> {
        let m = &self.migrant;
        let mut options = [TcpOption::Nop; 6];
        let mut rest = options.iter_mut();
        *rest.next()? = TcpOption::Mss(m.mss);
        if m.sack {
            *rest.next()? = TcpOption::SackPermitted;
        }
        if let Some((_, val)) = m.stamps {
            *rest.next()? = TcpOption::Timestamps { val, ecr: 0 };
        }
        if let Some((shift, _)) = m.wscale {
            *rest.next()? = TcpOption::WindowScale(shift);
        }
        let options = &options;
        let len: usize = options.iter().map(TcpOption::size).sum();
        let len = header_len(m.arrives.family) + HEADER_LEN + len.next_multiple_of(4);
        Packet::build(m.arrives.family, len, |out| {
            let seq = m.rcv_start.sub(1);
            build_segment(out, &m.arrives, seq, None, Flags::SYN, u16::MAX, options)
        })
    }

    /// A segment of the client with these bytes.
    fn segment(&self, seq: Seq, flags: Flags, bytes: &[u8]) -> Option<Packet> {
        let m = &self.migrant;
        let (tsval, ts_recent) = m.stamps.unwrap_or((0, 0));
        let stamps = stamps(ts_recent, tsval);
        let (options, options_len) = if m.stamps.is_some() {
            (&stamps[..], STAMPS_LEN)
        } else {
            (&stamps[..0], 0)
        };
        let (shift, _) = m.wscale.unwrap_or((0, 0));
        let window = m.snd_edge.distance(m.snd_una) >> shift.min(14);
        let window = u16::try_from(window).unwrap_or(u16::MAX);
        let headers = header_len(m.arrives.family) + HEADER_LEN + options_len;
        Packet::build(m.arrives.family, headers + bytes.len(), |out| {
            out.get_mut(headers..)?.copy_from_slice(bytes);
            build_data(
                out,
                headers,
                &m.arrives,
                (seq, m.snd_una),
                flags,
                window,
                options,
            )
        })
    }

    /// Has the owner or whoever listens get the connection, as far as it has been read.
    fn be_born(&self, ns: &Ns, owner: Option<&TcpSocket>) -> Result<Newborn, Absent> {
        let start = self.migrant.rcv_start;
        let first = self.received.first();
        let first = first
            .filter(|(seq, _)| *seq == start)
            .map_or(&[][..], |(_, bytes)| bytes.get(..CHUNK).unwrap_or(bytes));
        let rst = Packet::build(
            self.migrant.arrives.family,
            header_len(self.migrant.arrives.family) + HEADER_LEN,
            |out| {
                let key = &self.migrant.arrives;
                build_segment(out, key, start, None, Flags::RST, 0, &[])
            },
        );
        let (Some(syn), Some(ack), Some(rst)) =
            (self.syn(), self.segment(start, Flags::ACK, first), rst)
        else {
            return Err(Absent::Lost);
        };
        let data: usize = self.received.iter().map(|(_, bytes)| bytes.len()).sum();
        let data = data as u32;
        Newborn::new(ns.net, &self.migrant, owner, data, syn, ack, rst).map_err(Absent::Unborn)
    }

    /// Gives the socket what the client had sent.
    fn give(&self, newborn: &mut Newborn) -> Result<(), Absent> {
        let ip_header = header_len(self.migrant.arrives.family);
        for (seq, bytes) in &self.received {
            let mut at = *seq;
            for chunk in bytes.chunks(CHUNK) {
                let end = at.add(chunk.len() as u32);
                // It was born with the first.
                if end.after(newborn.rcv_next()) {
                    let packet = self.segment(at, Flags::ACK, chunk).ok_or(Absent::Lost)?;
                    newborn.receive(packet, ip_header);
                }
                at = end;
            }
        }
        if self.migrant.fin {
            let flags = Flags::ACK.union(Flags::FIN);
            let packet = self
                .segment(self.data_end(), flags, &[])
                .ok_or(Absent::Lost)?;
            newborn.receive(packet, ip_header);
        }
        if newborn.rcv_next().at_or_after(self.migrant.rcv_next) {
            Ok(())
        } else {
            Err(Absent::Lost)
        }
    }
}

impl Splice {
    /// Whether it is a connection that has never been on this host and is not there yet. Any context.
    pub fn is_arriving(&self) -> bool {
        self.wishes.arrives
    }

    /// Whether it is a connection that comes to this host, for the first time or again. May sleep.
    pub fn is_expected(&self) -> bool {
        matches!(self.moving.lock().as_deref(), Some(Moving::Arriving(_)))
    }

    /// Holds the packets of a connection that has moved to another host, and sends none on from here on. May sleep.
    fn hold_again(&self) -> Result<(), Refusal> {
        let queue = PacketQueue::new()?;
        in_packet_context(|_| {
            // Before the phase, since who sees that holds.
            self.held.lock().get_or_insert(queue);
        });
        if !self.enter(Phase::Live, Phase::Settling) {
            return Err(Refusal::Exists);
        }
        // Whoever sends a packet on by the old phase is done after this, and whoever sets the alarm by it.
        rcu::synchronize_net();
        workqueue::cancel(self);
        Ok(())
    }

    /// Adds bytes to what a connection comes with, which follow on those before; what was received may have gaps after what is
    /// in order. May sleep.
    ///
    /// # Errors
    ///
    /// Why they are not taken.
    pub fn write_moving(&self, stream: Stream, seq: Seq, bytes: &[u8]) -> Result<(), Absent> {
        match self.moving.lock().as_deref_mut() {
            Some(Moving::Arriving(arriving)) => arriving.write(stream, seq, bytes),
            _ => Err(Absent::NotArriving),
        }
    }

    fn take_arriving(&self) -> Option<Arriving> {
        let arrives = |moving: &mut KBox<Moving>| matches!(**moving, Moving::Arriving(_));
        let moving = self.moving.lock().take_if(arrives)?;
        match KBox::into_inner(moving) {
            Moving::Arriving(arriving) => Some(arriving),
            Moving::Leaving(_) => None,
        }
    }

    /// Has `owner` get the connection, a listening socket of the namespace wherever it is bound, or else whoever listens. After
    /// this there is no splice. May sleep.
    ///
    /// # Errors
    ///
    /// Why nobody could have it. Nothing is left of it on this host then, unless [`Absent::Lost`] left a connection that whoever
    /// accepts it finds aborted.
    pub fn arrive(&self, owner: Option<&TcpSocket>) -> Result<(), Absent> {
        let arriving = self.take_arriving().ok_or(Absent::NotArriving)?;
        let arrived = self.bring(arriving, owner);
        if arrived.is_err() {
            self.refuse_arrival();
        } else {
            self.ns.count(Stat::TakenOver);
        }
        arrived
    }

    fn bring(&self, mut arriving: Arriving, owner: Option<&TcpSocket>) -> Result<(), Absent> {
        if !arriving.is_whole() {
            return Err(Absent::Bytes);
        }
        let m = &arriving.migrant;
        let sent = m.snd_sent.distance(m.snd_una) as usize;
        let mut bytes = core::mem::replace(&mut arriving.sent, KVVec::new());
        let (before, rest) = bytes.split_at_mut_checked(sent).ok_or(Absent::Bytes)?;
        let mut newborn = arriving.be_born(&self.ns, owner)?;
        if let Err(why) = arriving.give(&mut newborn) {
            newborn.stillborn();
            return Err(why);
        }
        if newborn.sent_before(before).is_err() {
            newborn.stillborn();
            return Err(Absent::Lost);
        }
        // From here on what it sends leaves.
        let is_here = self.settle_in(|_, packet, len| newborn.deliver(packet, len));
        if !is_here || newborn.send(rest).is_err() {
            // Half of its stream would be missing.
            newborn.stillborn();
            return Err(Absent::Lost);
        }
        Ok(())
    }

    /// The connection is this host's: what was held goes to its socket, and there is no splice. `false` if it was cut meanwhile.
    fn settle_in(&self, give: impl FnMut(Direction, Packet, usize)) -> bool {
        if !self.has_moved() {
            self.let_stay(give);
            return true;
        }
        if !self.leave(Phase::Returned, Reason::Returned) {
            return false;
        }
        self.ns.unlist(self);
        self.give_held(give);
        true
    }

    /// What was held of a connection that does not come goes on to where it had moved, or is forgotten: its client has no other
    /// answer than from the host that has it.
    fn refuse_arrival(&self) {
        if self.has_moved() {
            self.carry_what_is_held();
            self.watch();
        } else {
            self.let_stay(|_, packet, _| drop(packet));
        }
    }

    /// A connection that moves stays where it was. `false` if it does not move. May sleep.
    pub fn abort_moving(&self) -> bool {
        if self.resume() {
            return true;
        }
        let arriving = self.take_arriving();
        if arriving.is_some() {
            self.refuse_arrival();
        }
        arriving.is_some()
    }
}
