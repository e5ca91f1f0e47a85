// SPDX-License-Identifier: GPL-2.0

//! What the nodes of a cluster tell each other of a splice: its constants, and how far it has come.
//!
//! The constants never change. Progress only grows, and two views of it have a least upper bound
//! ([`Progress::join`]), so it does not matter in which order, how often, or by which way news
//! arrives.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use ring::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};

/// A node of the cluster, by the number that its certificate names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct NodeId(pub u32);

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What a splice is called on every host: its client, the address that the client connected to, and
/// the first sequence numbers that it carries. Identities of the kernel are local.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Key {
    /// The client.
    pub client: SocketAddr,
    /// The address that it connected to.
    pub service: SocketAddr,
    /// `seq-origin` of the flow to the server, and of that to the client.
    pub origins: [u32; 2],
}

impl Key {
    /// The key as bytes that are the same on every host.
    fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(48);
        for address in [self.client, self.service] {
            match address.ip() {
                std::net::IpAddr::V4(ip) => bytes.extend(ip.octets()),
                std::net::IpAddr::V6(ip) => bytes.extend(ip.octets()),
            }
            bytes.extend(address.port().to_be_bytes());
        }
        for origin in self.origins {
            bytes.extend(origin.to_be_bytes());
        }
        bytes
    }

    /// The first eight bytes of the SHA-256 of the key and of `more`. Whoever chooses addresses,
    /// ports and sequence numbers cannot choose this.
    pub fn hash(&self, more: &[u8]) -> u64 {
        let mut bytes = self.bytes();
        bytes.extend(more);
        let hash = digest(&SHA256, &bytes);
        let first = hash.as_ref().first_chunk().copied().unwrap_or_default();
        u64::from_be_bytes(first)
    }

    /// A cheap hash (64-bit FNV-1a) that is the same on every host. Whoever wants to can find keys
    /// with the same one, and gains nothing by it.
    pub fn spread(&self) -> u64 {
        self.bytes()
            .iter()
            .fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
                (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3)
            })
    }

    /// The weight of a node for this key: the highest are its replicas (Thaler and Ravishankar
    /// 1998).
    pub fn weight(&self, node: NodeId) -> u64 {
        self.hash(&node.0.to_be_bytes())
    }
}

/// The later of two numbers that wrap.
///
/// Of two that are half the circle apart the larger is taken, so that both hosts take the same.
pub fn later(a: u32, b: u32) -> u32 {
    match b.wrapping_sub(a) {
        0x8000_0000 => a.max(b),
        ahead if ahead < 0x8000_0000 => b,
        _ => a,
    }
}

fn later_of(a: Option<u32>, b: Option<u32>) -> Option<u32> {
    match (a, b) {
        (Some(a), Some(b)) => Some(later(a, b)),
        (known, None) | (None, known) => known,
    }
}

/// How far one direction has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct Progress {
    /// Sequence number after the highest byte or FIN seen, as it arrives.
    pub seq_next: u32,
    /// Highest acknowledgement number seen, as it arrives.
    pub ack_last: u32,
    /// Where the widest window seen ends.
    pub window_edge: Option<u32>,
    /// Highest TSval seen.
    pub tsval_last: Option<u32>,
    /// The sender sent a FIN; `seq_next` counts it.
    pub fin_seen: bool,
    /// The receiver acknowledged that FIN.
    pub fin_acked: bool,
}

impl Progress {
    /// What is known when both are.
    #[must_use]
    pub fn join(self, other: Progress) -> Progress {
        Progress {
            seq_next: later(self.seq_next, other.seq_next),
            ack_last: later(self.ack_last, other.ack_last),
            window_edge: later_of(self.window_edge, other.window_edge),
            tsval_last: later_of(self.tsval_last, other.tsval_last),
            fin_seen: self.fin_seen || other.fin_seen,
            fin_acked: self.fin_acked || other.fin_acked,
        }
    }
}

/// Progress of both directions: to the server, to the client.
pub type Both = [Progress; 2];

/// What is known of both directions when both views are.
pub fn join(a: &Both, b: &Both) -> Both {
    [a[0].join(b[0]), a[1].join(b[1])]
}

/// Which FINs were seen and acknowledged, as four bits.
pub fn fins(both: &Both) -> u8 {
    both.iter().fold(0, |bits, direction| {
        (bits << 2) | (u8::from(direction.fin_seen) << 1) | u8::from(direction.fin_acked)
    })
}

/// What one flow does to each packet; the names are those of the kernel's interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct Edit {
    /// Added to the sequence number.
    pub seq_delta: u32,
    /// Added to the acknowledgement number and to SACK edges.
    pub ack_delta: u32,
    /// Added to TSval.
    pub tsval_delta: Option<u32>,
    /// Added to TSecr.
    pub tsecr_delta: Option<u32>,
    /// Shift of the window field as it arrives.
    pub wscale_in: Option<u32>,
    /// Shift of the window field as it leaves.
    pub wscale_out: Option<u32>,
    /// Flags of the flow that do not tell of progress, with the kernel's numbers.
    pub flags: u32,
    /// First sequence number carried end to end, as it arrives.
    pub seq_origin: u32,
    /// No packet that leaves acknowledges less.
    pub ack_floor: Option<u32>,
    /// No packet that leaves echoes an older timestamp.
    pub tsecr_floor: Option<u32>,
    /// Largest segment that the receiver takes.
    pub mss: Option<u32>,
}

/// Where a connection is that has moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Away {
    /// The address that reaches the host which has it.
    pub via: IpAddr,
    /// Packets go there in a tunnel.
    pub tunnel: bool,
}

/// A splice that another host can carry, whole; or a connection that has moved, of which each proxy sends the client's packets
/// on.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Row {
    /// The client, the address it connected to, the proxy's address toward the server, the server.
    pub ends: [SocketAddr; 4],
    /// To the server, to the client.
    pub edits: [Edit; 2],
    /// How far it had come.
    pub progress: Both,
    /// Milliseconds without a packet before its ends are probed; `None` is the kernel's default.
    pub idle_timeout: Option<u64>,
    /// It is cut when idle, without a probe.
    pub cut_when_idle: bool,
    /// The node on which it was made.
    pub owner: NodeId,
    /// Milliseconds since 1970 by the clock of that node when it was made. Decides between two
    /// splices of the same four numbers only.
    pub born: u64,
    /// Where the connection is, if it has moved.
    pub away: Option<Away>,
}

impl Row {
    /// What it is called on every host.
    pub fn key(&self) -> Key {
        Key {
            client: self.ends[0],
            service: self.ends[1],
            origins: [self.edits[0].seq_origin, self.edits[1].seq_origin],
        }
    }

    /// The server that has the connection, if it has moved, as proxies would connect to it.
    pub fn moved_to(&self) -> Option<SocketAddr> {
        let away = self.away?;
        Some(SocketAddr::new(away.via, self.ends[1].port()))
    }

    /// Whether a kernel could possibly take it; the kernel itself looks closer.
    pub fn is_plausible(&self) -> bool {
        let family = self.ends[0].is_ipv4();
        let is_near = |end: &SocketAddr| end.is_ipv4() == family && end.port() != 0;
        self.ends.iter().all(is_near)
            && self.moved_to().as_ref().is_none_or(is_near)
            && self.edits.iter().all(|edit| {
                [edit.wscale_in, edit.wscale_out]
                    .iter()
                    .all(|shift| shift.unwrap_or(0) <= 14)
            })
    }
}

/// Why a splice ended, with the kernel's number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Reason(pub u32);

impl Reason {
    /// Another connection has the same four numbers now, so that this one is long over.
    pub const SUPERSEDED: Reason = Reason(4);
    /// Both ends have closed; of a connection that had moved, the host that had it has it no more.
    pub const FIN: Reason = Reason(1);
    /// A process of the host where it ended has the sockets.
    pub const RETURNED: Reason = Reason(7);
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The splice number `n`, with origins that differ.
    pub(crate) fn row(n: u16) -> Row {
        let address = |last: u8, port: u16| SocketAddr::from(([192, 0, 2, last], port));
        let edit = |seq_origin: u32| Edit {
            seq_delta: 77,
            seq_origin,
            ..Edit::default()
        };
        let progress = |seq_next: u32| Progress {
            seq_next,
            ..Progress::default()
        };
        let origin = u32::from(n).wrapping_mul(1_000_003);
        Row {
            ends: [
                address(1, 1024 + n),
                address(2, 80),
                address(3, 1024 + n),
                address(4, 80),
            ],
            edits: [edit(origin), edit(origin ^ 0xffff)],
            progress: [progress(origin), progress(origin ^ 0xffff)],
            idle_timeout: Some(900_000),
            cut_when_idle: false,
            owner: NodeId(1),
            born: 1_000_000 + u64::from(n),
            away: None,
        }
    }

    /// Numbers less than half the circle apart, on both sides of its end.
    fn progress() -> impl Strategy<Value = Progress> {
        let number = || (0..0x7fff_ffffu32).prop_map(|n| n.wrapping_sub(0x3000_0000));
        let some = || prop::option::of((0..0x7fff_ffffu32).prop_map(|n| n.wrapping_sub(9)));
        (
            number(),
            number(),
            some(),
            some(),
            any::<bool>(),
            any::<bool>(),
        )
            .prop_map(
                |(seq_next, ack_last, window_edge, tsval_last, fin_seen, fin_acked)| Progress {
                    seq_next,
                    ack_last,
                    window_edge,
                    tsval_last,
                    fin_seen,
                    fin_acked,
                },
            )
    }

    proptest! {
        #[test]
        fn progress_is_a_semilattice(a in progress(), b in progress(), c in progress()) {
            prop_assert_eq!(a.join(a), a);
            prop_assert_eq!(a.join(b), b.join(a));
            prop_assert_eq!(a.join(b).join(c), a.join(b.join(c)));
        }

        #[test]
        fn any_two_numbers_have_one_later(a: u32, b: u32) {
            prop_assert_eq!(later(a, b), later(b, a));
            prop_assert!(later(a, b) == a || later(a, b) == b);
        }
    }

    #[test]
    fn numbers_wrap() {
        assert_eq!(later(0xffff_fff0, 5), 5);
        assert_eq!(later(5, 0xffff_fff0), 5);
        assert_eq!(later(0, 0x7fff_ffff), 0x7fff_ffff);
        assert_eq!(later(0, 0x8000_0001), 0);
        assert_eq!(later(0, 0x8000_0000), 0x8000_0000);
    }

    #[test]
    fn a_key_is_the_same_on_every_host() {
        // Worked out with sha256sum.
        let key = Key {
            client: "192.0.2.1:1028".parse().unwrap(),
            service: "192.0.2.2:80".parse().unwrap(),
            origins: [1, 2],
        };
        assert_eq!(
            key.bytes(),
            [
                192, 0, 2, 1, 4, 4, 192, 0, 2, 2, 0, 80, 0, 0, 0, 1, 0, 0, 0, 2
            ]
        );
        assert_eq!(key.hash(&[]), 0x52bf_592c_6d13_fe16);
        assert_eq!(key.spread(), 0x0a29_0c89_ed7f_b2a1);
        assert_ne!(key.weight(NodeId(1)), key.weight(NodeId(2)));
    }

    #[test]
    fn replicas_spread() {
        // Of 3,000 splices each of three nodes is first for a third, within five deviations.
        let nodes = [1, 2, 3].map(NodeId);
        let mut first = [0u32; 3];
        for n in 0..3000 {
            let key = row(n).key();
            let best = (0..3).max_by_key(|&i| key.weight(nodes[i])).unwrap();
            first[best] += 1;
        }
        assert!(first.iter().all(|&n| (871..1129).contains(&n)), "{first:?}");
    }

    #[test]
    fn what_no_kernel_takes() {
        assert!(row(1).is_plausible());
        let mut mixed = row(1);
        mixed.ends[3] = "[2001:db8::1]:80".parse().unwrap();
        assert!(!mixed.is_plausible());
        let mut shifted = row(1);
        shifted.edits[1].wscale_in = Some(15);
        assert!(!shifted.is_plausible());
        let mut portless = row(1);
        portless.ends[2].set_port(0);
        assert!(!portless.is_plausible());
    }

    #[test]
    fn fins_are_bits() {
        let mut both = row(1).progress;
        assert_eq!(fins(&both), 0);
        both[0].fin_seen = true;
        both[1].fin_acked = true;
        assert_eq!(fins(&both), 0b1001);
    }
}
