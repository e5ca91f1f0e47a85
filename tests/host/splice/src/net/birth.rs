// SPDX-License-Identifier: GPL-2.0

//! `rust/net/birth.rs` where nobody listens: connections do not move here.

use super::{
    leg::Migrant,
    skbuff::{Net, Packet},
};
use kernel::prelude::*;
use xlate::Seq;

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
}

/// There is none.
pub enum Newborn {}

impl Newborn {
    /// Nobody listens.
    ///
    /// # Errors
    ///
    /// Always.
    pub fn new(
        _net: &Net,
        _migrant: &Migrant,
        _data: u32,
        _syn: Packet,
        _ack: Packet,
        _rst: Packet,
    ) -> Result<Newborn, Unborn> {
        Err(Unborn::Nobody)
    }

    /// Never called.
    pub fn deliver(&mut self, _packet: Packet, _header_len: usize) {
        match *self {}
    }

    /// Never called.
    pub fn receive(&mut self, _packet: Packet, _header_len: usize) {
        match *self {}
    }

    /// Never called.
    pub fn rcv_next(&self) -> Seq {
        match *self {}
    }

    /// Never called.
    ///
    /// # Errors
    ///
    /// Never.
    pub fn send(&mut self, _bytes: &mut [u8]) -> Result {
        match *self {}
    }

    /// Never called.
    ///
    /// # Errors
    ///
    /// Never.
    pub fn sent_before(&mut self, _bytes: &mut [u8]) -> Result {
        match *self {}
    }

    /// Never called.
    pub fn stillborn(self) {
        match self {}
    }
}
