// SPDX-License-Identifier: GPL-2.0

//! `rust/net/socket.rs` over any TCP that the test has.

use super::{
    leg::{Numbers, Wake},
    skbuff::{Net, Packet},
};
use kernel::prelude::*;
use std::{
    cell::{Cell, RefCell},
    marker::PhantomData,
    rc::Rc,
};
use xlate::Seq;

/// What is asked of a TCP.
pub trait Tcp {
    /// Its numbers.
    fn numbers(&self) -> Numbers;
    /// Takes a packet.
    fn deliver(&mut self, packet: Vec<u8>);
    /// Reads at most so many bytes.
    fn take(&mut self, most: usize) -> Vec<u8>;
    /// Sends bytes.
    fn send(&mut self, bytes: &[u8]);
    /// Ends our direction.
    fn send_fin(&mut self);
    /// What came out of order: its number, the bytes, whether a FIN follows.
    fn out_of_order(&self) -> Vec<(Seq, Vec<u8>, bool)>;
    /// Belongs to a splice.
    fn sleep(&mut self);
    /// Goes on.
    fn wake(&mut self, at: &Wake) -> bool;
    /// Sends what waits.
    fn push(&mut self);
    /// Is no more.
    fn vanish(&mut self);
}

/// A socket, which may be locked while packets for it wait.
pub struct TcpSocket {
    tcp: Rc<RefCell<dyn Tcp>>,
    locked: Cell<bool>,
    backlog: RefCell<Vec<Vec<u8>>>,
    /// Whether anybody else has it open.
    pub owned: Rc<Cell<bool>>,
}

/// What sleep has changed.
#[derive(Clone, Copy)]
pub struct Restore(());

/// A locked socket.
pub struct Locked<'a>(&'a TcpSocket);

/// A stretch of bytes that a socket received out of order.
pub struct OutOfOrder<'a> {
    /// Number of its first byte.
    pub seq: Seq,
    /// Bytes.
    pub len: u32,
    /// The peer's FIN follows.
    pub fin: bool,
    bytes: Vec<u8>,
    _locked: PhantomData<&'a ()>,
}

impl OutOfOrder<'_> {
    /// Copies what is `offset` bytes on. `false` if there is not as much.
    pub fn read(&self, offset: u32, to: &mut [u8]) -> bool {
        let from = self.bytes.get(offset as usize..);
        let from = from.and_then(|bytes| bytes.get(..to.len()));
        from.map(|from| to.copy_from_slice(from)).is_some()
    }
}

impl TcpSocket {
    /// The socket of a TCP.
    pub fn new(tcp: Rc<RefCell<dyn Tcp>>) -> TcpSocket {
        TcpSocket {
            tcp,
            locked: Cell::new(false),
            backlog: RefCell::default(),
            owned: Rc::new(Cell::new(true)),
        }
    }

    /// Whether it is of this namespace.
    pub fn is_in(&self, _net: &Net) -> bool {
        true
    }

    /// Locks it.
    pub fn lock(&self) -> Locked<'_> {
        assert!(!self.locked.replace(true), "locked twice");
        Locked(self)
    }

    /// Locks two; `None` if they are the same.
    pub fn lock_both<'a>(a: &'a Self, b: &'a Self) -> Option<(Locked<'a>, Locked<'a>)> {
        Some((a.lock(), b.lock()))
    }

    /// Sends what waits.
    pub fn push(&self) {
        self.tcp.borrow_mut().push();
    }

    /// Whether it keeps no namespace alive.
    pub fn release_net(&self) -> bool {
        !self.owned.get()
    }

    /// The reverse.
    pub fn regain_net(&self) -> bool {
        true
    }

    /// Whether anybody else has it open.
    pub fn is_owned(&self) -> bool {
        self.owned.get()
    }

    /// Gives it a packet.
    pub fn deliver(&self, packet: Packet, _header_len: usize) {
        self.backlog.borrow_mut().push(packet.into());
        if !self.locked.get() {
            self.flush();
        }
    }

    fn flush(&self) {
        for packet in self.backlog.take() {
            self.tcp.borrow_mut().deliver(packet);
        }
    }
}

impl Locked<'_> {
    /// Its numbers.
    pub fn numbers(&self) -> Numbers {
        self.0.tcp.borrow().numbers()
    }

    /// Takes in what waits.
    pub fn flush_backlog(&mut self) {
        self.0.flush();
    }

    /// Sends what is unread here on `to`, but no more than `limit` bytes.
    ///
    /// # Errors
    ///
    /// Never.
    pub fn move_unread(&mut self, to: &mut Locked<'_>, limit: u64) -> Result<u32> {
        let most = usize::try_from(limit).unwrap_or(usize::MAX);
        let bytes = self.0.tcp.borrow_mut().take(most);
        to.0.tcp.borrow_mut().send(&bytes);
        Ok(bytes.len() as u32)
    }

    /// Looks at what was received out of order.
    pub fn out_of_order(&self, mut look: impl FnMut(OutOfOrder<'_>)) {
        let ranges = self.0.tcp.borrow().out_of_order();
        for (seq, bytes, fin) in ranges {
            look(OutOfOrder {
                seq,
                len: bytes.len() as u32,
                fin,
                bytes,
                _locked: PhantomData,
            });
        }
    }

    /// Ends our direction.
    pub fn send_fin(&mut self) {
        self.0.tcp.borrow_mut().send_fin();
    }

    /// Belongs to a splice.
    pub fn make_dormant(&mut self) -> Restore {
        self.0.tcp.borrow_mut().sleep();
        Restore(())
    }

    /// Goes on at these numbers.
    ///
    /// # Errors
    ///
    /// If it cannot.
    pub fn wake(&mut self, at: &Wake, _restore: Restore) -> Result {
        let woken = self.0.tcp.borrow_mut().wake(at);
        woken.then_some(()).ok_or(EPIPE)
    }

    /// Goes on where it was.
    pub fn rouse(&mut self, _restore: Restore) {}

    /// Whether windows are scaled, and how much was acknowledged.
    pub fn history(&self) -> (bool, u32, Seq) {
        (false, 0, Seq(0))
    }

    /// Nothing.
    ///
    /// # Errors
    ///
    /// Never.
    pub fn read_sent(&self, _seq: Seq, _to: &mut [u8]) -> Result<usize> {
        Ok(0)
    }

    /// Nothing.
    ///
    /// # Errors
    ///
    /// Never.
    pub fn read_received(&self, seq: Seq, _to: &mut [u8]) -> Result<(Seq, usize)> {
        Ok((seq, 0))
    }

    /// Tells its owner.
    pub fn woken(&mut self) {}

    /// Is no more.
    pub fn vanish(self) {
        self.0.tcp.borrow_mut().vanish();
    }
}

impl Drop for Locked<'_> {
    fn drop(&mut self) {
        self.0.locked.set(false);
        self.0.flush();
    }
}
