// SPDX-License-Identifier: GPL-2.0

//! A connection of another host is born on this one: in the accept queue of whoever listens, with the numbers that its
//! client knows.
//!
//! C headers: [`include/net/inet_hashtables.h`](srctree/include/net/inet_hashtables.h),
//! [`include/net/request_sock.h`](srctree/include/net/request_sock.h)

use super::{
    leg::Migrant, namespace::Namespace, netfilter::in_packet_context, skbuff::Packet,
    socket::TcpSocket,
};
use crate::{bindings, xlate::seq::Seq};
use core::{mem::ManuallyDrop, ptr::NonNull};
use kernel::{
    bindings as kb,
    error::to_result,
    ffi::{c_int, c_void},
    prelude::*,
};

/// Why a connection was not born.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unborn {
    /// Its address is none of this host.
    NotLocal,
    /// Its client cannot be reached from here.
    NoRoute,
    /// Nobody listens.
    Nobody,
    /// Too many wait to be accepted.
    Full,
    /// SYN cookies are always on.
    Cookies,
    /// This host has a connection with these addresses and ports, or had one lately.
    Exists,
    /// Who listens wants segments to be signed.
    Signed,
    /// Who listens wants to see data first, and there is none.
    Defers,
    /// What was negotiated is switched off here: timestamps, SACK or window scaling.
    Options,
    /// The kernel did not take it.
    Refused,
    /// The socket that it is meant for does not listen, is of another address family, or bound to another
    /// device.
    NoOwner,
}

type Send = unsafe extern "C" fn(*mut kb::sock, *mut c_void, usize) -> c_int;

/// A connection that was born and that nobody can accept yet: both its socket and the listener's are locked.
///
/// # Invariants
///
/// There is a reference to each, and each is locked by us.
pub struct Newborn {
    listener: NonNull<kb::sock>,
    child: NonNull<kb::sock>,
}

impl Newborn {
    /// Has `owner` get the connection, a listening socket of the namespace wherever it is bound, or whoever listens, through these packets of its client: the SYN, an acknowledgement that completes
    /// the handshake, and a RST that takes back the former. `data` is how many bytes it will be given. What TCP sends meanwhile
    /// must not leave the host. May sleep.
    ///
    /// # Errors
    ///
    /// Why not; nothing is left of it then.
    pub fn new(
        net: &Namespace,
        migrant: &Migrant,
        owner: Option<&TcpSocket>,
        data: u32,
        syn: Packet,
        ack: Packet,
        rst: Packet,
    ) -> core::result::Result<Newborn, Unborn> {
        let key = &migrant.arrives;
        let (wscale, stamps) = (migrant.wscale, migrant.stamps);
        let migrant = bindings::tcp_splice_migrant {
            family: key.family as u8,
            rcv_wscale: wscale.map_or(0, |(_, out)| out),
            scales: wscale.is_some(),
            timestamps: stamps.is_some(),
            usec: migrant.usec,
            sack: migrant.sack,
            ecn: migrant.ecn,
            local: key.daddr,
            remote: key.saddr,
            lport: u16::from_ne_bytes(key.dport),
            rport: u16::from_ne_bytes(key.sport),
            rcv_edge: migrant.rcv_edge.0,
            snd_una: migrant.snd_una.0,
            acked: migrant.acked,
            tsval: stamps.map_or(0, |(tsval, _)| tsval),
            data,
        };
        let (mut listener, mut child) = (core::ptr::null_mut(), core::ptr::null_mut());
        let owner = owner.map_or(core::ptr::null_mut(), TcpSocket::sk);
        // SAFETY: The packets are given away; the owner is null or held by the caller; the rest are places for pointers, and a
        // struct that is read.
        let outcome = unsafe {
            bindings::tcp_splice_birth(
                net.as_raw(),
                &migrant,
                owner,
                syn.into_raw(),
                ack.into_raw(),
                rst.into_raw(),
                &mut listener,
                &mut child,
            )
        };
        match (NonNull::new(listener), NonNull::new(child)) {
            // INVARIANT: By contract of the function, when it says that it is done.
            (Some(listener), Some(child)) if outcome as u32 == bindings::TCP_SPLICE_BIRTH_DONE => {
                Ok(Newborn { listener, child })
            }
            _ => Err(match outcome as u32 {
                bindings::TCP_SPLICE_BIRTH_NOT_LOCAL => Unborn::NotLocal,
                bindings::TCP_SPLICE_BIRTH_NO_ROUTE => Unborn::NoRoute,
                bindings::TCP_SPLICE_BIRTH_NOBODY => Unborn::Nobody,
                bindings::TCP_SPLICE_BIRTH_FULL => Unborn::Full,
                bindings::TCP_SPLICE_BIRTH_COOKIES => Unborn::Cookies,
                bindings::TCP_SPLICE_BIRTH_EXISTS => Unborn::Exists,
                bindings::TCP_SPLICE_BIRTH_SIGNED => Unborn::Signed,
                bindings::TCP_SPLICE_BIRTH_DEFERS => Unborn::Defers,
                bindings::TCP_SPLICE_BIRTH_OPTIONS => Unborn::Options,
                bindings::TCP_SPLICE_BIRTH_NO_OWNER => Unborn::NoOwner,
                _ => Unborn::Refused,
            }),
        }
    }

    /// Gives the socket a packet of its client, as [`super::socket::TcpSocket::deliver`]; it is taken in later. In packet
    /// context.
    pub fn deliver(&mut self, packet: Packet, header_len: usize) {
        let len = header_len as u32;
        // SAFETY: There is a reference; the packet is given away.
        unsafe { bindings::tcp_splice_deliver(self.child.as_ptr(), packet.into_raw(), len) };
    }

    /// Gives the socket a packet of its client, and has it taken in.
    pub fn receive(&mut self, packet: Packet, header_len: usize) {
        in_packet_context(|_| self.deliver(packet, header_len));
        // SAFETY: Locked by us.
        unsafe { bindings::tcp_splice_flush_backlog(self.child.as_ptr()) };
    }

    /// Next sequence number that the socket expects.
    pub fn rcv_next(&self) -> Seq {
        // SAFETY: Locked by us.
        Seq(unsafe { bindings::tcp_splice_rcv_nxt(self.child.as_ptr()) })
    }

    /// Has the socket know bytes that another host has sent already, the first of its stream. Nothing is sent.
    ///
    /// # Errors
    ///
    /// `ENOMEM`, or what sending says.
    pub fn sent_before(&mut self, bytes: &mut [u8]) -> Result {
        self.queue(bytes, bindings::tcp_splice_sent_before)
    }

    /// Sends bytes as the first that its owner would have sent.
    ///
    /// # Errors
    ///
    /// `ENOMEM`, or what sending says; some of it may have been sent.
    pub fn send(&mut self, bytes: &mut [u8]) -> Result {
        self.queue(bytes, bindings::tcp_splice_send)
    }

    /// `send` is one of our functions that take a locked socket and readable bytes.
    fn queue(&mut self, bytes: &mut [u8], send: Send) -> Result {
        let mut sent = 0;
        while let Some(rest) = bytes.get_mut(sent..).filter(|rest| !rest.is_empty()) {
            // SAFETY: Locked by us; the bytes are readable.
            let n = unsafe { send(self.child.as_ptr(), rest.as_mut_ptr().cast(), rest.len()) };
            to_result(n)?;
            sent += n as usize;
            if n == 0 {
                return Err(EPIPE);
            }
        }
        Ok(())
    }

    /// The connection cannot live after all: whoever accepts it finds it aborted. Nothing is sent.
    pub fn stillborn(self) {
        let this = ManuallyDrop::new(self);
        // SAFETY: References and locks are given away.
        unsafe { bindings::tcp_splice_stillborn(this.listener.as_ptr(), this.child.as_ptr()) };
    }
}

impl Drop for Newborn {
    fn drop(&mut self) {
        // SAFETY: References and locks are given back.
        unsafe { bindings::tcp_splice_born(self.listener.as_ptr(), self.child.as_ptr()) };
    }
}
