// SPDX-License-Identifier: GPL-2.0

//! Connected TCP sockets of user space: looked up by file descriptor, read, drained, made to vanish.
//!
//! C headers: [`include/linux/net.h`](srctree/include/linux/net.h),
//! [`include/net/tcp.h`](srctree/include/net/tcp.h)

use super::{
    leg::{Numbers, TcpState, Wake},
    namespace::Namespace,
    skbuff::Packet,
};
use crate::{
    bindings,
    xlate::{
        key::{Family, FlowKey},
        seq::Seq,
    },
};
use core::{marker::PhantomData, ptr::NonNull};
use kernel::{
    bindings as kb,
    error::to_result,
    ffi::{c_int, c_uint, c_void},
    prelude::*,
};

/// A TCP socket, held through its file: closing the descriptor does not close the connection.
pub struct TcpSocket(NonNull<kb::socket>);

// SAFETY: A socket may be used from any thread; the socket lock serialises.
unsafe impl Send for TcpSocket {}
// SAFETY: As above.
unsafe impl Sync for TcpSocket {}

impl TcpSocket {
    /// The TCP socket behind a descriptor of the current task. Process context.
    ///
    /// # Errors
    ///
    /// `EBADF`, `ENOTSOCK`; `EPROTONOSUPPORT` if it is not TCP.
    pub fn from_fd(fd: u32) -> Result<TcpSocket> {
        let mut err = 0;
        // SAFETY: `err` is a place for the error.
        let sock = unsafe { kb::sockfd_lookup(c_int::try_from(fd).map_err(|_| EBADF)?, &mut err) };
        let Some(sock) = NonNull::new(sock) else {
            to_result(err)?;
            return Err(EBADF);
        };
        let this = TcpSocket(sock);
        // SAFETY: Held.
        if !unsafe { bindings::tcp_splice_sk_is_tcp(this.0.as_ptr()) } {
            return Err(EPROTONOSUPPORT);
        }
        Ok(this)
    }

    pub(super) fn sk(&self) -> *mut kb::sock {
        // SAFETY: Held; a TCP socket in a file always has its `sk`.
        unsafe { self.0.as_ref() }.sk
    }

    /// Whether both are the same socket.
    pub fn is(&self, other: &TcpSocket) -> bool {
        self.sk() == other.sk()
    }

    /// Whether the socket is in this namespace.
    pub fn is_in(&self, net: &Namespace) -> bool {
        // SAFETY: Held.
        let sock_net = unsafe { bindings::tcp_splice_sock_net(self.sk()) };
        core::ptr::eq(sock_net, net.as_raw())
    }

    /// Locks one socket against its user and, by way of the backlog, against softirq. May sleep.
    pub fn lock(&self) -> Locked<'_> {
        // SAFETY: Held.
        unsafe { bindings::tcp_splice_lock_sock(self.sk(), 0) };
        Locked(self)
    }

    /// Locks two sockets, in the order of their addresses; the results are in the order given.
    /// `None` if they are the same. May sleep.
    pub fn lock_both<'a>(a: &'a Self, b: &'a Self) -> Option<(Locked<'a>, Locked<'a>)> {
        if a.is(b) {
            return None;
        }
        let (first, second) = if a.sk() < b.sk() { (a, b) } else { (b, a) };
        // SAFETY: Both are held. The second is of the same lock class; the order makes it safe.
        unsafe {
            bindings::tcp_splice_lock_sock(first.sk(), 0);
            bindings::tcp_splice_lock_sock(second.sk(), kb::SINGLE_DEPTH_NESTING as c_int);
        }
        Some((Locked(a), Locked(b)))
    }

    /// Sends what waits for more to be written (RFC 1122, section 4.2.3.4, or a cork): nobody
    /// will write more. Not locked; may sleep.
    pub fn push(&self) {
        // SAFETY: Held.
        unsafe { bindings::tcp_splice_push(self.sk()) };
    }

    /// Stops keeping the network namespace alive, so that it can end with this socket in it: once
    /// nobody else has the file. Says whether that is so. Who calls this must let the socket
    /// vanish before the namespace is gone. Not locked; may sleep.
    pub fn release_net(&self) -> bool {
        // SAFETY: Held.
        unsafe { bindings::tcp_splice_release_net(self.0.as_ptr()) }
    }

    /// The reverse of [`TcpSocket::release_net`], for a socket that is to be closed as by its owner.
    /// `false` if the namespace is ending. Not locked; may sleep.
    pub fn regain_net(&self) -> bool {
        // SAFETY: Held.
        unsafe { bindings::tcp_splice_regain_net(self.0.as_ptr()) }
    }

    /// Whether anybody but us holds the socket's file.
    pub fn is_owned(&self) -> bool {
        // SAFETY: Held.
        unsafe { bindings::tcp_splice_is_owned(self.0.as_ptr()) }
    }

    /// Gives the socket a packet of its connection, past the hooks, filters and routes of the host:
    /// it had been let in by all of them. The TCP header ends within what was pulled, and the
    /// checksum is right; `header_len` is that of the IP header. In packet context.
    pub fn deliver(&self, packet: Packet, header_len: usize) {
        // SAFETY: Held; the packet is given away.
        unsafe { bindings::tcp_splice_deliver(self.sk(), packet.into_raw(), header_len as u32) };
    }
}

impl Drop for TcpSocket {
    fn drop(&mut self) {
        // SAFETY: The hold of `from_fd` is given back. Deferred by the kernel where it must be.
        unsafe { bindings::tcp_splice_sockfd_put(self.0.as_ptr()) };
    }
}

/// What of a socket's settings its sleep has changed.
#[derive(Clone, Copy)]
pub struct Restore {
    window_clamp: u32,
    rcv_ssthresh: u32,
    nonagle: u8,
    keepopen: bool,
}

impl Restore {
    fn raw(self) -> bindings::tcp_splice_settings {
        bindings::tcp_splice_settings {
            window_clamp: self.window_clamp,
            rcv_ssthresh: self.rcv_ssthresh,
            nonagle: self.nonagle,
            keepopen: self.keepopen,
        }
    }
}

/// A socket locked by us.
///
/// # Invariants
///
/// The lock is held and given back in drop.
pub struct Locked<'a>(&'a TcpSocket);

/// How many bytes are moved at a time.
const MOVE_CHUNK: usize = 16 << 10;

/// A move in progress: where bytes go, by way of which buffer, how many still, and what went wrong.
struct Move<'a> {
    to: *mut kb::sock,
    buf: &'a mut [u8],
    left: usize,
    error: c_int,
}

/// Takes bytes off a receive queue and sends them on.
///
/// # Safety
///
/// Called by `tcp_read_sock` with a descriptor whose argument is a live [`Move`].
unsafe extern "C" fn move_actor(
    desc: *mut kb::read_descriptor_t,
    skb: *mut kb::sk_buff,
    offset: c_uint,
    len: usize,
) -> c_int {
    // SAFETY: `move_unread` passes a `Move` that lives for the call.
    let m = unsafe { &mut *(*desc).arg.data.cast::<Move<'_>>() };
    let chunk = len.min(m.buf.len()).min(m.left);
    if chunk == 0 {
        return 0;
    }
    // SAFETY: The skb has `len` bytes from `offset` on; the buffer has `chunk`. The receiving
    // socket is locked by the caller of `move_unread`.
    let sent = unsafe {
        let err = bindings::skb_copy_bits(
            skb,
            offset as c_int,
            m.buf.as_mut_ptr().cast::<c_void>(),
            chunk as c_int,
        );
        if err < 0 {
            err
        } else {
            bindings::tcp_splice_send(m.to, m.buf.as_mut_ptr().cast(), chunk)
        }
    };
    if sent < 0 {
        m.error = sent;
    } else {
        m.left = m.left.saturating_sub(sent as usize);
    }
    sent
}

/// A stretch of bytes that a socket received out of order.
pub struct OutOfOrder<'a> {
    /// Number of its first byte.
    pub seq: Seq,
    /// Bytes.
    pub len: u32,
    /// The peer's FIN follows.
    pub fin: bool,
    skb: NonNull<kb::sk_buff>,
    _locked: PhantomData<&'a ()>,
}

impl OutOfOrder<'_> {
    /// Copies what is `offset` bytes on. `false` if there is not as much.
    pub fn read(&self, offset: u32, to: &mut [u8]) -> bool {
        let (Ok(offset), Ok(len)) = (c_int::try_from(offset), c_int::try_from(to.len())) else {
            return false;
        };
        // SAFETY: In the queue of a locked socket; the kernel checks the range.
        unsafe {
            bindings::skb_copy_bits(self.skb.as_ptr(), offset, to.as_mut_ptr().cast(), len) == 0
        }
    }
}

impl Locked<'_> {
    /// The numbers as they are.
    pub fn numbers(&self) -> Numbers {
        let mut leg = bindings::tcp_splice_leg::default();
        // SAFETY: Locked.
        unsafe { bindings::tcp_splice_leg_read(self.0.sk(), &mut leg) };
        let flag = |bit: u32| leg.flags & (1 << bit) != 0;
        Numbers {
            arrives: FlowKey {
                saddr: leg.remote,
                daddr: leg.local,
                sport: leg.rport.to_ne_bytes(),
                dport: leg.lport.to_ne_bytes(),
                family: if leg.family == 6 {
                    Family::V6
                } else {
                    Family::V4
                },
            },
            state: match u32::from(leg.state) {
                TCP_ESTABLISHED => TcpState::Established,
                TCP_CLOSE_WAIT => TcpState::CloseWait,
                _ => TcpState::Other,
            },
            rcv_nxt: Seq(leg.rcv_nxt),
            rcv_edge: Seq(leg.rcv_edge),
            copied_seq: Seq(leg.copied_seq),
            snd_una: Seq(leg.snd_una),
            write_seq: Seq(leg.write_seq),
            snd_edge: Seq(leg.snd_una.wrapping_add(leg.snd_wnd)),
            wscale_in: leg.snd_wscale,
            wscale_out: leg.rcv_wscale,
            tsval: leg.tsval,
            ts_recent: leg.ts_recent,
            tsecr: leg.tsecr,
            peer_mss: leg.peer_mss,
            our_mss: leg.our_mss,
            timestamps: flag(0),
            sack: flag(1),
            ecn: flag(2),
            accecn: flag(8),
            scoped: flag(9),
            signed: flag(3),
            ulp: flag(4),
            urgent: flag(5),
            usec: flag(6),
            dead: flag(7),
        }
    }

    /// Takes in what softirq has set aside while the socket was locked.
    pub fn flush_backlog(&mut self) {
        // SAFETY: Locked.
        unsafe { bindings::tcp_splice_flush_backlog(self.0.sk()) };
    }

    /// Sends what is unread here on `to`, in order, but no more than `limit` bytes. Returns the
    /// bytes moved. What was moved has been sent even if not all could be.
    ///
    /// # Errors
    ///
    /// `ENOMEM`, or what sending says.
    pub fn move_unread(&mut self, to: &mut Locked<'_>, limit: u64) -> Result<u32> {
        let unread = self.numbers().unread();
        let all = u32::try_from(limit).map_or(unread, |limit| limit.min(unread));
        let mut moved = 0u32;
        if all > 0 {
            let mut buf = KVec::from_elem(0u8, MOVE_CHUNK, GFP_KERNEL)?;
            let mut m = Move {
                to: to.0.sk(),
                buf: &mut buf,
                left: all as usize,
                error: 0,
            };
            while moved < all {
                let mut desc = kb::read_descriptor_t {
                    written: 0,
                    // Not what stops it: `Move::left` does.
                    count: usize::MAX,
                    arg: kb::read_descriptor_t__bindgen_ty_1 {
                        data: core::ptr::from_mut(&mut m).cast(),
                    },
                    error: 0,
                };
                // SAFETY: Both sockets are locked, and `desc` carries a live `Move`.
                let read = unsafe {
                    bindings::tcp_splice_read_sock(self.0.sk(), &mut desc, Some(move_actor))
                };
                to_result(m.error)?;
                to_result(read)?;
                if read == 0 {
                    return Err(EIO);
                }
                moved = moved.wrapping_add(read as u32);
            }
        }
        Ok(moved)
    }

    /// Looks at what was received out of order, in the order of its numbers.
    pub fn out_of_order(&self, mut look: impl FnMut(OutOfOrder<'_>)) {
        let mut skb = core::ptr::null_mut();
        loop {
            // SAFETY: Locked; `skb` is null or in the queue, which nobody changes meanwhile.
            skb = unsafe { bindings::tcp_splice_ooo_next(self.0.sk(), skb) };
            let Some(found) = NonNull::new(skb) else {
                return;
            };
            let (mut seq, mut len, mut fin) = (0, 0, false);
            // SAFETY: In the queue of a locked socket.
            unsafe { bindings::tcp_splice_ooo_range(skb, &mut seq, &mut len, &mut fin) };
            look(OutOfOrder {
                seq: Seq(seq),
                len,
                fin,
                skb: found,
                _locked: PhantomData,
            });
        }
    }

    /// Ends our direction, after all that was sent.
    pub fn send_fin(&mut self) {
        // SAFETY: Locked.
        unsafe { bindings::tcp_splice_send_fin(self.0.sk()) };
    }

    /// User space reads end of file and cannot write from here on; TCP goes on retransmitting
    /// what is unacknowledged, and sends no keep-alive.
    pub fn make_dormant(&mut self) -> Restore {
        let mut was = bindings::tcp_splice_settings::default();
        // SAFETY: Locked.
        unsafe { bindings::tcp_splice_dormant(self.0.sk(), &mut was) };
        Restore {
            window_clamp: was.window_clamp,
            rcv_ssthresh: was.rcv_ssthresh,
            nonagle: was.nonagle,
            keepopen: was.keepopen,
        }
    }

    /// The reverse: a dormant socket, all of whose bytes are acknowledged, goes on at these numbers.
    /// [`Locked::woken`] tells its owner.
    ///
    /// # Errors
    ///
    /// `EPIPE` if it cannot: its connection was closed meanwhile.
    pub fn wake(&mut self, at: &Wake, restore: Restore) -> Result {
        let at = bindings::tcp_splice_stand {
            rcv_nxt: at.rcv_nxt.0,
            rcv_edge: at.rcv_edge.0,
            snd_nxt: at.snd_nxt.0,
            snd_edge: at.snd_edge.0,
            ts_recent: at.ts_recent,
            tsval: at.tsval,
        };
        // SAFETY: Locked.
        to_result(unsafe { bindings::tcp_splice_wake(self.0.sk(), &at, &restore.raw()) })
    }

    /// The reverse of [`Locked::make_dormant`], for a socket that goes on where it was, and tells its owner.
    pub fn rouse(&mut self, restore: Restore) {
        // SAFETY: Locked.
        unsafe { bindings::tcp_splice_rouse(self.0.sk(), &restore.raw()) };
    }

    /// Whether windows are scaled, how many bytes the peer has acknowledged, 2^30 at most, and our sequence number after the
    /// last that was sent.
    pub fn history(&self) -> (bool, u32, Seq) {
        let (mut scales, mut acked, mut sent) = (false, 0, 0);
        // SAFETY: Locked; places for what is told.
        unsafe {
            bindings::tcp_splice_leg_history(self.0.sk(), &mut scales, &mut acked, &mut sent);
        }
        (scales, acked, Seq(sent))
    }

    /// Copies bytes that were sent and not acknowledged, or are to be sent, from `seq` on: as many as are in one piece and
    /// fit. 0 if there are none.
    ///
    /// # Errors
    ///
    /// What copying says.
    pub fn read_sent(&self, seq: Seq, to: &mut [u8]) -> Result<usize> {
        let len = u32::try_from(to.len())?;
        // SAFETY: Locked; `to` has room for `len` bytes.
        let copied = unsafe {
            bindings::tcp_splice_read_sent(self.0.sk(), seq.0, to.as_mut_ptr().cast(), len)
        };
        to_result(copied)?;
        Ok(copied as usize)
    }

    /// The same of bytes that were received and not read; after a gap, those that come next. Says where they begin.
    ///
    /// # Errors
    ///
    /// What copying says.
    pub fn read_received(&self, seq: Seq, to: &mut [u8]) -> Result<(Seq, usize)> {
        let len = u32::try_from(to.len())?;
        let mut at = seq.0;
        // SAFETY: Locked; `to` has room for `len` bytes.
        let copied = unsafe {
            bindings::tcp_splice_read_received(self.0.sk(), &mut at, to.as_mut_ptr().cast(), len)
        };
        to_result(copied)?;
        Ok((Seq(at), copied as usize))
    }

    /// Tells who waits for the socket that it can be used.
    pub fn woken(&mut self) {
        // SAFETY: Locked.
        unsafe { bindings::tcp_splice_woken(self.0.sk()) };
    }

    /// The connection is gone from this host, without a FIN or a RST.
    pub fn vanish(self) {
        // SAFETY: Locked.
        unsafe { bindings::tcp_splice_vanish(self.0.sk()) };
    }
}

const TCP_ESTABLISHED: u32 = 1;
const TCP_CLOSE_WAIT: u32 = 8;

impl Drop for Locked<'_> {
    fn drop(&mut self) {
        // SAFETY: Locked by us.
        unsafe { bindings::release_sock(self.0.sk()) };
    }
}
