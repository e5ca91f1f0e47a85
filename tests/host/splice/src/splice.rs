// SPDX-License-Identifier: GPL-2.0

//! `rust/splice` without sockets, locks and timers: what the packet path asks of a splice, and the part of
//! arming that makes numbers of numbers, which is that of `arm.rs: move_all` and `go_live`.

#[path = "../../../../rust/splice/terms.rs"]
mod terms;

pub use terms::Row;

use crate::{
    flow::{self, Direction, Flow, Start, Terms, DRAINING},
    hook,
    net::{
        leg::{Numbers, TcpState},
        skbuff::Packet,
    },
    pernet::Ns,
};
use std::{
    cell::{Cell, OnceCell, RefCell},
    collections::VecDeque,
};
use xlate::{build_rst, FlowKey, Seq};

/// Why rows are no splice: as far as `terms.rs` says it.
pub enum Refusal {
    /// Rows are not each other's reverse.
    NotReverseAddresses,
    /// The same of deltas.
    NotReverseNumbers,
    /// The splice is still draining on its own host.
    Draining,
}

/// Where a splice stands, as the packet path sees it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Phase {
    /// Packets are held.
    Arming,
    /// Packets are carried.
    Live,
    /// Ended by its ends: late packets are carried.
    Tombstone,
    /// Ended by us: late packets are answered with a RST.
    Cut,
    /// Never was: packets pass.
    Aborted,
}

/// Why a splice ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reason {
    /// It has not.
    None,
    /// FIN in both directions, acknowledged.
    Fin,
    /// RST of the client.
    ResetByClient,
    /// RST of the server.
    ResetByServer,
}

/// What became of a packet that came while the splice was being armed.
pub enum Hold {
    /// It is held.
    Kept,
    /// Too many are held.
    Full(Packet),
    /// The splice is live now.
    Live(Packet),
    /// There will be no splice.
    Aborted(Packet),
}

/// A packet for a local socket: the flow that it is of, and its bytes.
pub type Delivery = (Direction, Vec<u8>);

/// A splice.
pub struct Splice {
    ns: &'static Ns,
    to_server: flow::Entry,
    to_client: flow::Entry,
    terms: OnceCell<[Terms; 2]>,
    phase: Cell<Phase>,
    reason: Cell<Reason>,
    held: RefCell<VecDeque<Packet>>,
    delivered: RefCell<Vec<Delivery>>,
}

impl Splice {
    /// A splice that is being armed.
    pub fn new(ns: &'static Ns, to_server: FlowKey, to_client: FlowKey) -> &'static Splice {
        let splice = Box::leak(Box::new(Splice {
            ns,
            to_server: flow::Entry::new(to_server, Flow::new(Direction::ToServer)),
            to_client: flow::Entry::new(to_client, Flow::new(Direction::ToClient)),
            terms: OnceCell::new(),
            phase: Cell::new(Phase::Arming),
            reason: Cell::new(Reason::None),
            held: RefCell::default(),
            delivered: RefCell::default(),
        }));
        ns.add(splice);
        splice
    }

    /// The rows of two sockets that are still and have nothing unread. `states` is where they stood
    /// before FINs were moved.
    pub fn rows(client: &Numbers, server: &Numbers, states: [TcpState; 2]) -> [Row; 2] {
        let [c, s] = states;
        let rows = [terms::row(client, c, server), terms::row(server, s, client)];
        assert!(matches!(
            terms::check_rows(&rows[0], &rows[1]),
            Ok(()) | Err(Refusal::Draining)
        ));
        rows
    }

    /// Publishes the numbers. What is held is then to be carried, with [`Splice::next_held`].
    pub fn start(&self, rows: &[Row; 2]) {
        let [to_server, to_client] = rows;
        for (row, reverse, flow) in [
            (to_server, to_client, &self.to_server),
            (to_client, to_server, &self.to_client),
        ] {
            flow.start(&Start {
                seq_origin: row.terms.seq_origin,
                seq_next: row.seq_next,
                ack_last: row.ack_last,
                edge: row.edge,
                tsval_last: reverse.terms.tsecr_floor,
                bytes: row.bytes,
                marks: row.marks,
            });
        }
        assert!(self.terms.set([to_server.terms, to_client.terms]).is_ok());
    }

    /// The bytes of the next held packet. Without one, arming is over.
    pub fn next_held(&self) -> Option<Vec<u8>> {
        let next = self.held.borrow_mut().pop_front();
        if next.is_none() && self.phase() == Phase::Arming {
            self.phase.set(Phase::Live);
        }
        next.map(Vec::from)
    }

    /// Carries a held packet.
    pub fn carry_held(&self, packet: Packet) {
        hook::carry_held(self.ns, self, packet);
    }

    /// What was delivered to local sockets since the last time.
    pub fn take_delivered(&self) -> Vec<Delivery> {
        self.delivered.take()
    }

    /// Why it ended.
    pub fn reason(&self) -> Reason {
        self.reason.get()
    }

    /// Where it stands.
    pub fn phase(&self) -> Phase {
        self.phase.get()
    }

    /// The flow from the client to the server.
    pub fn to_server(&self) -> &flow::Entry {
        &self.to_server
    }

    /// The flow from the server to the client.
    pub fn to_client(&self) -> &flow::Entry {
        &self.to_client
    }

    /// One of the two.
    pub fn flow(&self, direction: Direction) -> &flow::Entry {
        match direction {
            Direction::ToServer => &self.to_server,
            Direction::ToClient => &self.to_client,
        }
    }

    /// The terms of a flow and of its reverse, once armed.
    pub fn terms(&self, direction: Direction) -> Option<(&Terms, &Terms)> {
        let [to_server, to_client] = self.terms.get()?;
        Some(match direction {
            Direction::ToServer => (to_server, to_client),
            Direction::ToClient => (to_client, to_server),
        })
    }

    /// Which flow a packet with this key belongs to.
    pub fn direction_of(&self, key: &FlowKey) -> Option<Direction> {
        [Direction::ToServer, Direction::ToClient]
            .into_iter()
            .find(|d| self.flow(*d).key() == key)
    }

    /// Keeps a packet until the splice is armed.
    pub fn hold(&self, packet: Packet) -> Hold {
        self.held.borrow_mut().push_back(packet);
        Hold::Kept
    }

    /// Gives a packet from a flow's sender to the local socket toward it.
    pub fn deliver(&self, direction: Direction, packet: Packet, _header_len: usize) {
        self.delivered.borrow_mut().push((direction, packet.into()));
    }

    fn leave(&self, phase: Phase, reason: Reason) {
        if self.reason() == Reason::None {
            self.reason.set(reason);
            self.phase.set(phase);
        }
    }

    /// The two ends have ended it.
    pub fn end(&self, reason: Reason) {
        self.leave(Phase::Tombstone, reason);
    }

    /// The RST of one end, which went this way, has ended it.
    pub fn end_by_rst(&self, direction: Direction) {
        let reason = match direction {
            Direction::ToServer => Reason::ResetByClient,
            Direction::ToClient => Reason::ResetByServer,
        };
        let phase = if self.flow(direction.reverse()).has(DRAINING) {
            Phase::Cut
        } else {
            Phase::Tombstone
        };
        self.leave(phase, reason);
    }

    /// Sends a RST to the sender of packets with the key `arrives`.
    pub fn send_rst(&self, arrives: &FlowKey, seq: Seq, ack: Option<Seq>) {
        let key = arrives.reverse();
        let mut bytes = [0; 60];
        let len = build_rst(&mut bytes, &key, seq, ack).expect("there is room");
        self.ns.net.0.borrow_mut().push(bytes[..len].to_vec());
    }

    /// A new connection takes the addresses and ports of a tombstone.
    pub fn replace(&self) {
        self.ns.flows.clear();
    }
}
