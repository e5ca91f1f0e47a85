// SPDX-License-Identifier: GPL-2.0

//! `rust/net/birth.rs`: a list of what became of connections, if somebody listens.

use super::{
    leg::Migrant,
    skbuff::{Net, Packet},
    socket::TcpSocket,
};
use kernel::prelude::*;
use std::cell::{Cell, RefCell};
use xlate::{parse, Family, Seq};

/// Why a connection was not born.
#[derive(Clone, Copy)]
pub enum Unborn {
    /// Its address is none of this host.
    NotLocal,
    /// Its client cannot be reached.
    NoRoute,
    /// Nobody listens.
    Nobody,
    /// Too many wait.
    Full,
    /// SYN cookies.
    Cookies,
    /// There is one.
    Exists,
    /// Signed segments are wanted.
    Signed,
    /// Data is wanted.
    Defers,
    /// Options are switched off.
    Options,
    /// The kernel did not take it.
    Refused,
    /// The socket that it is meant for cannot have it.
    NoOwner,
}

/// A connection that was born.
#[derive(Clone, Default)]
pub struct Born {
    /// Next number that it expects of its client.
    pub rcv_next: Seq,
    /// Packets of the client that it was given.
    pub got: Vec<Vec<u8>>,
    /// What it sent before it was accepted, and what counts as sent.
    pub sent: (Vec<u8>, Vec<u8>),
    /// Nobody can accept it.
    pub aborted: bool,
}

thread_local! {
    static LISTENS: Cell<bool> = const { Cell::new(false) };
    static BORN: RefCell<Vec<Born>> = const { RefCell::new(Vec::new()) };
}

/// Whether somebody listens from here on.
pub fn listen(listens: bool) {
    LISTENS.set(listens);
}

/// Accepts a connection.
pub fn accept() -> Option<Born> {
    BORN.with_borrow_mut(Vec::pop)
}

/// One that nobody can accept yet.
pub struct Newborn(Born);

impl Newborn {
    /// Has whoever listens get it.
    ///
    /// # Errors
    ///
    /// Nobody listens.
    pub fn new(
        _net: &Net,
        migrant: &Migrant,
        _owner: Option<&TcpSocket>,
        _data: u32,
        _syn: Packet,
        ack: Packet,
        _rst: Packet,
    ) -> Result<Newborn, Unborn> {
        if !LISTENS.get() {
            return Err(Unborn::Nobody);
        }
        let mut newborn = Newborn(Born {
            rcv_next: migrant.rcv_start,
            ..Born::default()
        });
        newborn.receive(ack, 20);
        Ok(newborn)
    }

    /// A packet of its client.
    pub fn deliver(&mut self, packet: Packet, _header_len: usize) {
        let bytes = Vec::from(packet);
        let seg = parse(&bytes, Family::V4, bytes.len()).expect("TCP");
        if seg.seq == self.0.rcv_next {
            self.0.rcv_next = seg.seq_end();
        }
        self.0.got.push(bytes);
    }

    /// The same.
    pub fn receive(&mut self, packet: Packet, header_len: usize) {
        self.deliver(packet, header_len);
    }

    /// Next number that it expects.
    pub fn rcv_next(&self) -> Seq {
        self.0.rcv_next
    }

    /// Sends.
    ///
    /// # Errors
    ///
    /// Never.
    pub fn send(&mut self, bytes: &mut [u8]) -> Result {
        self.0.sent.0.extend_from_slice(bytes);
        Ok(())
    }

    /// What counts as sent.
    ///
    /// # Errors
    ///
    /// Never.
    pub fn sent_before(&mut self, bytes: &mut [u8]) -> Result {
        self.0.sent.1.extend_from_slice(bytes);
        Ok(())
    }

    /// It cannot live.
    pub fn stillborn(mut self) {
        self.0.aborted = true;
    }
}

impl Drop for Newborn {
    fn drop(&mut self) {
        let born = std::mem::take(&mut self.0);
        BORN.with_borrow_mut(|all| all.push(born));
    }
}
