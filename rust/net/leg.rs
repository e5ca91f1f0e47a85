// SPDX-License-Identifier: GPL-2.0

//! The numbers of a connection, as its local socket has them. Nothing of the kernel is in here, so that
//! the host's tests compile it too.

use crate::xlate::{key::FlowKey, seq::Seq};

/// Where a connection stands (RFC 9293, section 3.3.2), as far as it matters here.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TcpState {
    /// Both ways open.
    Established,
    /// The peer has closed its way; ours is open.
    CloseWait,
    /// Anything else.
    Other,
}

/// The numbers of a connection.
#[derive(Clone, Copy)]
pub struct Numbers {
    /// Key of packets that arrive from the peer.
    pub arrives: FlowKey,
    /// Where the connection stands.
    pub state: TcpState,
    /// Next sequence number expected from the peer; counts its FIN.
    pub rcv_nxt: Seq,
    /// Where the widest window ends that we have given the peer.
    pub rcv_edge: Seq,
    /// Next sequence number that user space will read.
    pub copied_seq: Seq,
    /// Oldest of our sequence numbers that the peer has not acknowledged.
    pub snd_una: Seq,
    /// Our sequence number after all that is queued to be sent, a FIN included.
    pub write_seq: Seq,
    /// Our sequence number up to which the peer lets us send.
    pub snd_edge: Seq,
    /// Shift of windows that the peer announces; 0 without window scaling.
    pub wscale_in: u8,
    /// Shift of windows that we announce; 0 without window scaling.
    pub wscale_out: u8,
    /// What our TSval is now.
    pub tsval: u32,
    /// The peer's TSval that we would echo now.
    pub ts_recent: u32,
    /// What the peer echoed of our TSval last.
    pub tsecr: u32,
    /// The largest segment that the peer takes: bytes, without options.
    pub peer_mss: u16,
    /// The largest segment that we said we take.
    pub our_mss: u16,
    /// RFC 7323 timestamps were negotiated.
    pub timestamps: bool,
    /// RFC 2018 selective acknowledgement was negotiated.
    pub sack: bool,
    /// ECN was negotiated (RFC 3168).
    pub ecn: bool,
    /// Accurate ECN was negotiated (RFC 9768).
    pub accecn: bool,
    /// The addresses mean something on one link only, or the socket is bound to a device.
    pub scoped: bool,
    /// Segments are signed (RFC 2385, RFC 5925).
    pub signed: bool,
    /// An upper-layer protocol (kTLS, MPTCP) or a sockmap is attached.
    pub ulp: bool,
    /// Urgent data is pending.
    pub urgent: bool,
    /// Our timestamps tick in microseconds.
    pub usec: bool,
    /// The socket has an error, or its owner has closed it.
    pub dead: bool,
}

impl Numbers {
    /// Bytes that user space has not read; the peer's FIN is not a byte.
    pub fn unread(&self) -> u32 {
        let fin = u32::from(self.state == TcpState::CloseWait);
        self.rcv_nxt.distance(self.copied_seq).saturating_sub(fin)
    }

    /// Whether all that was sent is acknowledged.
    pub fn drained(&self) -> bool {
        self.snd_una == self.write_seq
    }
}

/// Where a connection stands when its socket is given back; numbers of the socket.
#[derive(Clone, Copy)]
pub struct Wake {
    /// Next sequence number expected from the peer, unless the socket has received more itself.
    pub rcv_nxt: Seq,
    /// Where the widest window ends that the peer was given.
    pub rcv_edge: Seq,
    /// Next sequence number to send; all before it is acknowledged.
    pub snd_nxt: Seq,
    /// Where the widest window ends that the peer gave.
    pub snd_edge: Seq,
    /// The peer's TSval to echo.
    pub ts_recent: u32,
    /// Our TSval goes on from here.
    pub tsval: u32,
}

/// A connection that moves from host to host, as the host that has it sees it.
#[derive(Clone, Copy)]
pub struct Migrant {
    /// Key of packets that arrive from the client.
    pub arrives: FlowKey,
    /// The first byte that the new owner is to read.
    pub rcv_start: Seq,
    /// Next sequence number expected from the client; counts its FIN.
    pub rcv_next: Seq,
    /// Where the widest window ends that the client was given.
    pub rcv_edge: Seq,
    /// Oldest of our sequence numbers that the client has not acknowledged.
    pub snd_una: Seq,
    /// Our sequence number after all that was sent.
    pub snd_sent: Seq,
    /// Our sequence number after all that is queued to be sent.
    pub snd_next: Seq,
    /// Our sequence number up to which the client lets us send.
    pub snd_edge: Seq,
    /// Shift of windows that the client announces, and of those that we announce; none without window scaling.
    pub wscale: Option<(u8, u8)>,
    /// What our TSval is, and the client's TSval to echo; none without timestamps.
    pub stamps: Option<(u32, u32)>,
    /// The largest segment that the client takes: bytes, without options.
    pub mss: u16,
    /// Bytes that the client has acknowledged, as far as they bound how old an acknowledgement may be.
    pub acked: u32,
    /// Timestamps tick in microseconds.
    pub usec: bool,
    /// RFC 2018 selective acknowledgement was negotiated.
    pub sack: bool,
    /// ECN was negotiated (RFC 3168).
    pub ecn: bool,
    /// The client has closed its way.
    pub fin: bool,
}
