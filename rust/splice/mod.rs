// SPDX-License-Identifier: GPL-2.0

//! A splice: two flows that are each other's reverse, and, on the host that made it, two local
//! sockets, its legs.
//!
//! ```text
//!            arm                      FIN both ways, RST
//!  Arming ---------> Live ----------------------------------> Tombstone --60 s--> gone
//!    | refused        |^ | del, idle, as RSTs to both ends       ^
//!    v                || +------------------------> Cut --60 s---|--> gone
//!  Aborted            v|                                         (a SYN ends either at once)
//!                  Settling ----------------------> Returned --10 s--> gone
//!         a limit, or on request, and all is acknowledged: the sockets go on
//!
//!            SYN            SYN-ACK         ACK
//!  (service) ----> Opening ---------> Live ----->
//!                    | 60 s, RST       | 60 s, RST
//!                    v                 v
//!                  gone              gone
//! ```

mod arm;
mod export;
mod import;
mod life;
mod open;
mod probe;
mod settle;
mod share;
mod terms;
mod wait;

pub use arm::{arm, restore, Refusal};
pub use export::{export, Stream};
pub use import::{import, Absent};
pub use life::{Phase, Reason};
pub use open::{open, Heard, Server, Unopened};
pub use settle::NoReturn;
pub use terms::Row;
pub use wait::Since;

use open::Assigned;
use wait::Waiting;

use crate::{
    flow::{self, Direction, Flow, Terms},
    net::{
        module::ModuleHold,
        netfilter::in_packet_context,
        skbuff::{Packet, PacketQueue},
        socket::{Restore, TcpSocket},
        time,
        workqueue::{self, Alarm},
    },
    pernet::Ns,
    stats::Stat,
    xlate::{key::FlowKey, seq::Seq},
};
use kernel::{
    alloc::Flags,
    new_mutex, new_spinlock,
    prelude::*,
    sync::{
        atomic::{Atomic, AtomicFlag, Relaxed},
        Arc, Mutex, SetOnce, SpinLock, UniqueArc,
    },
};

/// Packets held at most while one splice is armed. A burst of both directions within an RCU grace period;
/// more than that is dropped, and TCP sends it again.
const MAX_HELD: usize = 4096;

/// Packets, and bytes of memory, kept at most for the sockets of one splice until they are given back.
const MAX_KEPT: usize = 1024;
const MAX_KEPT_BYTES: usize = 4 << 20;

/// The local sockets of a splice, dormant: they keep their ports, and retransmit what the proxy
/// had sent until it is acknowledged.
pub struct Legs {
    client: TcpSocket,
    server: TcpSocket,
    _module: ModuleHold,
}

/// What is asked of a splice when it is made.
#[derive(Clone, Copy, Default)]
pub struct Wishes {
    /// Milliseconds without a packet; 0 is never.
    pub idle_timeout: Option<u64>,
    /// Bytes of the client's stream, from the first that its socket's owner has not read, that are carried.
    pub limit_to_server: Option<u64>,
    /// The same of the server's.
    pub limit_to_client: Option<u64>,
    /// A FIN of either side is not carried, and ends the splice as a limit does.
    pub return_on_fin: bool,
    /// The idle timeout cuts, and does not probe first.
    pub cut_when_idle: bool,
    /// Other hosts carry packets of it, too.
    pub replicated: bool,
    /// The server's socket is on this host, and what it sends is carried where it is sent.
    pub split: bool,
    /// Its connection is on its way to this host.
    pub arrives: bool,
}

/// A connection that goes to another host or comes from one, until that is settled.
enum Moving {
    Leaving(export::Leaving),
    Arriving(import::Arriving),
}

impl Wishes {
    /// Whether the sockets are to be given back at some point.
    pub fn is_to_return(&self) -> bool {
        self.return_on_fin || self.limit_to_server.is_some() || self.limit_to_client.is_some()
    }
}

/// Where packets of a splice may wait.
struct Queues {
    held: Option<PacketQueue>,
    kept: Option<PacketQueue>,
    waits: [Waiting; 2],
}

/// What became of a packet that came while the splice was being armed.
pub enum Hold {
    /// It is held.
    Kept,
    /// Too many are held.
    Full(Packet),
    /// The splice is live now.
    Live(Packet),
    /// There will be no splice, or it is no more.
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
    /// When that was; jiffies.
    buried_at: Atomic<u32>,
    /// A new connection has its addresses and ports.
    replaced: AtomicFlag,
    wishes: Wishes,
    /// It was asked for its sockets.
    returning: AtomicFlag,
    /// There is something to tell of.
    changed: AtomicFlag,
    /// The [`Reason`] that a RST gave, which may have ended it.
    suspected: Atomic<u32>,
    /// When that was first; jiffies.
    suspected_at: Atomic<u32>,
    /// How often its ends were asked about that.
    asked: Atomic<u32>,
    /// Keep-alive probes sent since an end was heard of last.
    probes: Atomic<u32>,
    /// When the first of them was sent; jiffies.
    probed_at: Atomic<u32>,
    /// A process has said that other hosts hold it.
    replicated: AtomicFlag,
    /// Of a connection that has moved: how often its client has answered after its FIN.
    answered: Atomic<u32>,
    /// Packets carried until then, by direction.
    probed_after: [Atomic<u64>; 2],
    /// What the sockets' sleep has changed: the client's, the server's.
    restore: SetOnce<[Restore; 2]>,
    /// Jiffies.
    created: usize,
    /// Bytes moved at arming, by direction.
    moved: [Atomic<u32>; 2],
    /// Packets that wait for the splice to be armed, or to settle; `None` when none does. Bottom halves off.
    #[pin]
    held: SpinLock<Option<PacketQueue>>,
    /// Packets that their receiver has no room for yet, by direction. Bottom halves off.
    #[pin]
    to_server_waits: SpinLock<Waiting>,
    #[pin]
    to_client_waits: SpinLock<Waiting>,
    /// Packets beyond a limit, for the sockets when they are given back; `None` if they never are. Bottom
    /// halves off.
    #[pin]
    kept: SpinLock<Option<PacketQueue>>,
    /// Bottom halves off.
    #[pin]
    legs: SpinLock<Option<Arc<Legs>>>,
    /// Of a connection that is about to go: what its socket had sent then.
    leaving_at: SetOnce<Seq>,
    /// May sleep.
    #[pin]
    moving: Mutex<Option<KBox<Moving>>>,
    /// Of a connection that a service has given to a server.
    assigned: Option<Assigned>,
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
        wishes: &Wishes,
    ) -> Result<Arc<Splice>> {
        let kept = if wishes.is_to_return() {
            Some(PacketQueue::new()?)
        } else {
            None
        };
        let queues = Queues {
            held: Some(PacketQueue::new()?),
            kept,
            waits: [Waiting::new()?, Waiting::new()?],
        };
        let keys = [to_server, to_client];
        Splice::make(ns, keys, wishes, Phase::Arming, queues, None, GFP_KERNEL)
    }

    /// The same of a connection that a service has given to a server; nothing of it is ever held, and what comes before it is in the
    /// table is dropped. Any context.
    fn assigned(
        ns: &Arc<Ns>,
        to_server: FlowKey,
        to_client: FlowKey,
        wishes: &Wishes,
        assigned: Assigned,
    ) -> Result<Arc<Splice>> {
        let queues = Queues {
            held: None,
            kept: None,
            waits: [Waiting::never(), Waiting::never()],
        };
        let keys = [to_server, to_client];
        let assigned = Some(assigned);
        Splice::make(
            ns,
            keys,
            wishes,
            Phase::Arming,
            queues,
            assigned,
            GFP_ATOMIC,
        )
    }

    fn make(
        ns: &Arc<Ns>,
        [to_server, to_client]: [FlowKey; 2],
        wishes: &Wishes,
        phase: Phase,
        queues: Queues,
        assigned: Option<Assigned>,
        flags: Flags,
    ) -> Result<Arc<Splice>> {
        let Queues { held, kept, waits } = queues;
        let [to_server_waits, to_client_waits] = waits;
        let splice = UniqueArc::pin_init(
            pin_init!(Splice {
                id: ns.next_id(),
                ns: ns.clone(),
                to_server: flow::Entry::new(to_server, Flow::new(Direction::ToServer)),
                to_client: flow::Entry::new(to_client, Flow::new(Direction::ToClient)),
                terms: SetOnce::new(),
                phase: Atomic::new(phase as u32),
                reason: Atomic::new(Reason::None as u32),
                buried: AtomicFlag::new(false),
                buried_at: Atomic::new(0),
                replaced: AtomicFlag::new(false),
                replicated: AtomicFlag::new(false),
                wishes: *wishes,
                returning: AtomicFlag::new(false),
                changed: AtomicFlag::new(false),
                suspected: Atomic::new(Reason::None as u32),
                suspected_at: Atomic::new(0),
                asked: Atomic::new(0),
                probes: Atomic::new(0),
                probed_at: Atomic::new(0),
                answered: Atomic::new(0),
                probed_after: [Atomic::new(0), Atomic::new(0)],
                restore: SetOnce::new(),
                created: time::jiffies(),
                moved: [Atomic::new(0), Atomic::new(0)],
                held <- new_spinlock!(held),
                to_server_waits <- new_spinlock!(to_server_waits),
                to_client_waits <- new_spinlock!(to_client_waits),
                kept <- new_spinlock!(kept),
                legs <- new_spinlock!(None),
                leaving_at: SetOnce::new(),
                moving <- new_mutex!(None),
                assigned,
                alarm: Alarm::new(),
            }),
            flags,
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

    /// What was asked of it.
    pub fn wishes(&self) -> &Wishes {
        &self.wishes
    }

    /// Milliseconds without a packet after which its ends are probed; 0 is never.
    pub fn idle_timeout(&self) -> u64 {
        self.wishes.idle_timeout.unwrap_or(DEFAULT_IDLE_TIMEOUT)
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
            Phase::Arming | Phase::Settling => {}
            Phase::Aborted | Phase::Returned => return Hold::Aborted(packet),
            _ => return Hold::Live(packet),
        }
        match &mut *held {
            Some(queue) if queue.waiting() < MAX_HELD => queue.push(packet),
            _ => return Hold::Full(packet),
        }
        Hold::Kept
    }

    /// Keeps a packet, or what of it is not carried, for the local socket toward its sender. One too many is
    /// forgotten: it was not acknowledged. Bottom halves off.
    pub fn keep(&self, packet: Packet) {
        if let Some(queue) = &mut *self.kept.lock() {
            if queue.waiting() < MAX_KEPT && queue.memory() < MAX_KEPT_BYTES {
                queue.push(packet);
                self.ns.count(Stat::Kept);
            }
        }
    }

    fn note_moved(&self, bytes_to_server: u32, bytes_to_client: u32) {
        let [to_server, to_client] = &self.moved;
        to_server.store(bytes_to_server, Relaxed);
        to_client.store(bytes_to_client, Relaxed);
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
