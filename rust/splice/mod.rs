// SPDX-License-Identifier: GPL-2.0

//! A splice: two flows that are each other's reverse, and, on the host that made it, two local
//! sockets, its legs.
//!
//! ```text
//!            arm                      FIN both ways, RST
//!  Arming ---------> Live ----------------------------------> Tombstone --60 s--> gone
//!    | refused         | del, idle, as RSTs to both ends         ^
//!    v                 +--------------------------> Cut --60 s---|--> gone
//!  Aborted                                                       (a SYN ends either at once)
//! ```

mod arm;
mod life;
mod terms;

pub use arm::{arm, restore, Refusal};
pub use life::{Phase, Reason};
pub use terms::Row;

use crate::{
    flow::{self, Direction, Flow, Terms},
    net::{
        module::ModuleHold,
        netfilter::in_packet_context,
        skbuff::{Packet, PacketQueue},
        socket::TcpSocket,
        time,
        workqueue::{self, Alarm},
    },
    pernet::Ns,
    xlate::key::FlowKey,
};
use kernel::{
    new_spinlock,
    prelude::*,
    sync::{
        atomic::{Atomic, AtomicFlag, Relaxed},
        Arc, SetOnce, SpinLock, UniqueArc,
    },
};

/// Packets held at most while one splice is armed. A burst of both directions within an RCU grace period;
/// more than that is dropped, and TCP sends it again.
const MAX_HELD: usize = 4096;

/// The local sockets of a splice, dormant: they keep their ports, and retransmit what the proxy
/// had sent until it is acknowledged.
pub struct Legs {
    client: TcpSocket,
    server: TcpSocket,
    _module: ModuleHold,
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

/// A splice.
#[pin_data]
pub struct Splice {
    id: u64,
    ns: Arc<Ns>,
    to_server: flow::Entry,
    to_client: flow::Entry,
    /// By direction; known once armed.
    terms: SetOnce<[Terms; 2]>,
    phase: Atomic<u32>,
    reason: Atomic<u32>,
    /// Its sockets are gone and its end was announced.
    buried: AtomicFlag,
    /// Milliseconds; 0 is never.
    idle_timeout: u64,
    /// Jiffies.
    created: usize,
    /// Bytes moved at arming, by direction.
    moved: [Atomic<u32>; 2],
    /// Packets that wait for the splice to be armed; `None` when none ever will. Bottom halves off.
    #[pin]
    held: SpinLock<Option<PacketQueue>>,
    /// Bottom halves off.
    #[pin]
    legs: SpinLock<Option<Arc<Legs>>>,
    alarm: Alarm<Splice>,
}

/// Idle timeout when none is asked for: 15 minutes, in milliseconds.
pub const DEFAULT_IDLE_TIMEOUT: u64 = 15 * 60 * 1000;

impl Splice {
    /// A splice in no table. `to_server` and `to_client` are the keys of packets that arrive.
    fn new(
        ns: &Arc<Ns>,
        to_server: FlowKey,
        to_client: FlowKey,
        idle_timeout: u64,
    ) -> Result<Arc<Splice>> {
        let queue = PacketQueue::new()?;
        let splice = UniqueArc::pin_init(
            pin_init!(Splice {
                id: ns.next_id(),
                ns: ns.clone(),
                to_server: flow::Entry::new(to_server, Flow::new(Direction::ToServer)),
                to_client: flow::Entry::new(to_client, Flow::new(Direction::ToClient)),
                terms: SetOnce::new(),
                phase: Atomic::new(Phase::Arming as u32),
                reason: Atomic::new(Reason::None as u32),
                buried: AtomicFlag::new(false),
                idle_timeout,
                created: time::jiffies(),
                moved: [Atomic::new(0), Atomic::new(0)],
                held <- new_spinlock!(Some(queue)),
                legs <- new_spinlock!(None),
                alarm: Alarm::new(),
            }),
            GFP_KERNEL,
        )?;
        Ok(workqueue::arm(splice))
    }

    /// Identity, unique in its namespace; never 0.
    pub fn id(&self) -> u64 {
        self.id
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
    #[inline]
    pub fn flow(&self, direction: Direction) -> &flow::Entry {
        match direction {
            Direction::ToServer => &self.to_server,
            Direction::ToClient => &self.to_client,
        }
    }

    /// The terms of a flow and of its reverse, once armed.
    #[inline]
    pub fn terms(&self, direction: Direction) -> Option<(&Terms, &Terms)> {
        let [to_server, to_client] = self.terms.as_ref()?;
        Some(match direction {
            Direction::ToServer => (to_server, to_client),
            Direction::ToClient => (to_client, to_server),
        })
    }

    /// Milliseconds without a packet after which it is cut; 0 is never.
    pub fn idle_timeout(&self) -> u64 {
        self.idle_timeout
    }

    /// Milliseconds since it was made.
    pub fn age(&self) -> u64 {
        time::to_ms(time::jiffies().wrapping_sub(self.created) as u64)
    }

    /// Milliseconds since the last packet in either direction.
    pub fn idle(&self) -> u64 {
        time::to_ms(self.to_server.idle().min(self.to_client.idle()).into())
    }

    /// Bytes that were moved from one socket to the other when it was armed.
    pub fn moved(&self, direction: Direction) -> u32 {
        let [to_server, to_client] = &self.moved;
        match direction {
            Direction::ToServer => to_server,
            Direction::ToClient => to_client,
        }
        .load(Relaxed)
    }

    /// Keeps a packet until the splice is armed, or says why not. Bottom halves off.
    pub fn hold(&self, packet: Packet) -> Hold {
        let mut held = self.held.lock();
        match self.phase() {
            Phase::Arming => {}
            Phase::Aborted => return Hold::Aborted(packet),
            _ => return Hold::Live(packet),
        }
        match &mut *held {
            Some(queue) if queue.waiting() < MAX_HELD => queue.push(packet),
            _ => return Hold::Full(packet),
        }
        Hold::Kept
    }

    /// The local sockets, on the host that made the splice, while it lives.
    fn legs(&self) -> Option<Arc<Legs>> {
        in_packet_context(|_| self.legs.lock().clone())
    }

    /// Gives a packet from a flow's sender to the local socket toward it. In packet context; the
    /// packet is as [`TcpSocket::deliver`] wants it.
    pub fn deliver(&self, direction: Direction, packet: Packet, header_len: usize) {
        let legs = self.legs.lock().clone();
        if let Some(legs) = legs {
            legs.toward_sender(direction).deliver(packet, header_len);
        }
    }
}

impl Legs {
    /// The socket whose peer sends the packets of this direction.
    fn toward_sender(&self, direction: Direction) -> &TcpSocket {
        match direction {
            Direction::ToServer => &self.client,
            Direction::ToClient => &self.server,
        }
    }
}
