// SPDX-License-Identifier: GPL-2.0

//! Packets. A [`Packet`] is owned: giving it away (to the route, to the local stack, to a queue)
//! takes it, and what still has one can touch it.
//!
//! `data` of a packet here is always its network header. C header:
//! [`include/linux/skbuff.h`](srctree/include/linux/skbuff.h)

use super::{namespace::Namespace, route::LastRoute};
use crate::{
    bindings,
    xlate::key::{Family, FlowKey},
};
use core::{mem::ManuallyDrop, ptr::NonNull};
use kernel::{bindings as kb, prelude::*, types::Opaque};

/// A packet that this code owns. Dropping it drops the packet.
pub struct Packet(NonNull<kb::sk_buff>);

// SAFETY: An skb belongs to whoever holds it, on any CPU.
unsafe impl Send for Packet {}

impl Packet {
    /// Takes over a raw packet.
    ///
    /// # Safety
    ///
    /// The caller owns `ptr` and gives it away; its data starts at the network header.
    pub(super) unsafe fn from_raw(ptr: NonNull<kb::sk_buff>) -> Packet {
        Packet(ptr)
    }

    #[inline]
    pub(super) fn as_raw(&self) -> *mut kb::sk_buff {
        self.0.as_ptr()
    }

    /// Says that the packet has got a route.
    pub(super) fn routed(self) -> Routed {
        Routed(self)
    }

    pub(super) fn into_raw(self) -> *mut kb::sk_buff {
        ManuallyDrop::new(self).0.as_ptr()
    }

    /// A packet of our own of `len` bytes, filled by `fill`, which gets the bytes and says how many
    /// of them it wrote; `None` without memory or if it wrote another number. Any context.
    pub fn build(
        family: Family,
        len: usize,
        fill: impl FnOnce(&mut [u8]) -> Option<usize>,
    ) -> Option<Packet> {
        let mut data = core::ptr::null_mut();
        let size = u32::try_from(len).ok()?;
        // SAFETY: `data` is a place for the pointer.
        let skb = unsafe { bindings::tcp_splice_skb_new(family as u8, size, &mut data) };
        let packet = Packet(NonNull::new(skb)?);
        // SAFETY: The skb was made with `len` contiguous bytes at `data`, zeroed here, and nobody
        // else has it.
        let bytes = unsafe {
            core::ptr::write_bytes(data.cast::<u8>(), 0, len);
            core::slice::from_raw_parts_mut(data.cast::<u8>(), len)
        };
        (fill(bytes) == Some(len)).then_some(packet)
    }

    /// Length in bytes from the network header on, all segments of a GSO packet.
    #[inline]
    pub fn size(&self) -> usize {
        // SAFETY: Owned.
        unsafe { bindings::tcp_splice_skb_len(self.0.as_ptr()) as usize }
    }

    /// Whether the checksum field holds the pseudo-header only (`CHECKSUM_PARTIAL`).
    #[inline]
    pub fn checksum_is_partial(&self) -> bool {
        // SAFETY: Owned.
        unsafe { bindings::tcp_splice_skb_partial(self.0.as_ptr()) }
    }

    /// Whether a device merged packets into this one in a way that cannot be undone (LRO), which
    /// warns once. Forwarding turns LRO off; where it is off, nobody else does.
    #[inline]
    pub fn is_lro(&self) -> bool {
        // SAFETY: Owned.
        unsafe { bindings::tcp_splice_skb_is_lro(self.0.as_ptr()) }
    }

    /// The frame that it came in says nothing any more of where it may go.
    pub fn forget_sender(&mut self) {
        // SAFETY: Owned.
        unsafe { bindings::tcp_splice_skb_forget_sender(self.0.as_ptr()) };
    }

    /// Whether the TCP checksum is right, or known to be; sums the whole packet if nobody has.
    /// `header_len` is that of the IP header.
    pub fn checksum_ok(&mut self, family: Family, header_len: usize) -> bool {
        // SAFETY: Owned.
        unsafe {
            bindings::tcp_splice_checksum_ok(self.0.as_ptr(), family as u8, header_len as u32)
        }
    }

    /// The first `len` bytes; `None` if the packet is shorter or there is no memory. Atomic.
    #[inline]
    pub fn pull(&mut self, len: usize) -> Option<&[u8]> {
        // SAFETY: Owned.
        let data =
            unsafe { bindings::tcp_splice_skb_pull(self.0.as_ptr(), u32::try_from(len).ok()?) };
        if data.is_null() {
            return None;
        }
        // SAFETY: `pskb_may_pull` made `len` bytes contiguous; the borrow keeps the head in place.
        Some(unsafe { core::slice::from_raw_parts(data.cast(), len) })
    }

    /// The first `len` bytes to write to, in a head of the packet's own: a shared or cloned one is
    /// copied first. The only way to a writable header. `None` if the packet is shorter or
    /// there is no memory. Atomic.
    #[inline]
    pub fn writable(&mut self, len: usize) -> Option<&mut [u8]> {
        // SAFETY: Owned.
        let data =
            unsafe { bindings::tcp_splice_skb_writable(self.0.as_ptr(), u32::try_from(len).ok()?) };
        if data.is_null() {
            return None;
        }
        // SAFETY: `skb_ensure_writable` made `len` bytes contiguous and private.
        Some(unsafe { core::slice::from_raw_parts_mut(data.cast(), len) })
    }

    /// Finds the route to where `out` says, from an address that may be this host's own.
    ///
    /// # Errors
    ///
    /// The packet is given back if there is no route.
    #[inline]
    pub fn route(self, net: &Namespace, out: &FlowKey) -> core::result::Result<Routed, Packet> {
        // SAFETY: Owned; addresses have room for either family.
        let found = unsafe {
            bindings::tcp_splice_route(
                net.as_raw(),
                self.0.as_ptr(),
                out.family as u8,
                out.saddr.as_ptr(),
                out.daddr.as_ptr(),
            )
        };
        if found {
            Ok(Routed(self))
        } else {
            Err(self)
        }
    }

    /// The same for packets of one flow: by the route of the one before, as long as it holds. The packet borrows that route: in packet
    /// context, and not to be kept beyond it.
    ///
    /// # Errors
    ///
    /// As [`Packet::route`].
    #[inline]
    pub fn route_again(
        self,
        net: &Namespace,
        out: &FlowKey,
        last: &LastRoute,
    ) -> core::result::Result<Routed, Packet> {
        // SAFETY: Owned; addresses have room for either family; `last` is exchanged as a whole. The packet path is an RCU read section.
        let found = unsafe {
            bindings::tcp_splice_route_again(
                net.as_raw(),
                self.0.as_ptr(),
                last.as_raw(),
                out.family as u8,
                out.saddr.as_ptr(),
                out.daddr.as_ptr(),
            )
        };
        if found {
            Ok(Routed(self))
        } else {
            Err(self)
        }
    }

    /// A copy, for a socket, that shares no header with this packet and holds neither device nor route. `None`
    /// without memory. Atomic.
    pub fn copy(&mut self) -> Option<Packet> {
        // SAFETY: Owned.
        let skb = unsafe { bindings::tcp_splice_skb_copy(self.0.as_ptr()) };
        NonNull::new(skb).map(Packet)
    }

    /// Memory that the packet takes, in bytes.
    pub fn truesize(&self) -> usize {
        // SAFETY: Owned.
        unsafe { bindings::tcp_splice_skb_truesize(self.0.as_ptr()) as usize }
    }

    /// Bytes of payload in the largest segment of the packet, whose headers take `headers` bytes.
    #[inline]
    pub fn segment_len(&self, headers: usize) -> usize {
        // SAFETY: Owned.
        unsafe { bindings::tcp_splice_skb_segment_len(self.0.as_ptr(), headers as u32) as usize }
    }

    /// Cuts the packet after `len` bytes. Returns the headers, which the caller has to make right,
    /// with the sum of the pseudo-header in the checksum field. The packet is of no use if this is `None`, for lack
    /// of memory. Atomic.
    pub fn cut(&mut self, len: usize, ip_header: usize, headers: usize) -> Option<&mut [u8]> {
        if len < headers || len > self.size() {
            return None;
        }
        // SAFETY: Owned; the lengths were checked.
        let data = unsafe {
            bindings::tcp_splice_skb_cut(
                self.0.as_ptr(),
                len as u32,
                ip_header as u32,
                headers as u32,
            )
        };
        // SAFETY: The headers are contiguous and private now, or `data` is null.
        unsafe { Self::headers(data, headers) }
    }

    /// Has the packet leave in segments of at most `mss` bytes of payload. Otherwise as [`Packet::cut`].
    pub fn segment(
        &mut self,
        family: Family,
        mss: u16,
        ip_header: usize,
        headers: usize,
    ) -> Option<&mut [u8]> {
        if mss == 0 {
            return None;
        }
        // SAFETY: Owned.
        let data = unsafe {
            bindings::tcp_splice_skb_segment(
                self.0.as_ptr(),
                family as u8,
                mss.into(),
                ip_header as u32,
                headers as u32,
            )
        };
        // SAFETY: As in `cut`.
        unsafe { Self::headers(data, headers) }
    }

    /// # Safety
    ///
    /// `data` is null or the start of `len` bytes, which nobody else has for as long as the packet
    /// is borrowed.
    unsafe fn headers<'a>(data: *mut core::ffi::c_void, len: usize) -> Option<&'a mut [u8]> {
        if data.is_null() {
            return None;
        }
        // SAFETY: By contract.
        Some(unsafe { core::slice::from_raw_parts_mut(data.cast(), len) })
    }

    /// Has the packet forget where it came in, and route and socket: it may wait for long. After this it is as one of our own.
    pub fn park(&mut self) {
        // SAFETY: Owned.
        unsafe { bindings::tcp_splice_skb_park(self.0.as_ptr()) };
    }

    /// Takes a GSO packet apart, whose checksum field holds the sum of the pseudo-header, and gives its segments to `each`, in
    /// order. Atomic.
    ///
    /// # Errors
    ///
    /// The packet is given back if it is no such packet, or for lack of memory.
    pub fn split(self, mut each: impl FnMut(Packet)) -> core::result::Result<(), Packet> {
        // SAFETY: Owned.
        let mut segments = unsafe { bindings::tcp_splice_skb_segments(self.0.as_ptr()) };
        if segments.is_null() {
            return Err(self);
        }
        // It has been used up.
        let _ = self.into_raw();
        loop {
            // SAFETY: The list is ours, and what is taken off it is in no other.
            let skb = unsafe { bindings::tcp_splice_skb_next_segment(&mut segments) };
            match NonNull::new(skb) {
                Some(skb) => each(Packet(skb)),
                None => return Ok(()),
            }
        }
    }

    /// Whether this host has made the packet, or it has forgotten where it came in.
    pub fn is_own(&self) -> bool {
        // SAFETY: Owned.
        unsafe { bindings::tcp_splice_skb_is_own(self.0.as_ptr()) }
    }

    /// Makes a packet of our own look as if it had come in where `like` did.
    pub fn received_like(&mut self, like: &Packet) {
        // SAFETY: Both are owned.
        unsafe { bindings::tcp_splice_skb_as_received(self.0.as_ptr(), like.0.as_ptr()) };
    }

    /// Has connection tracking not look at the packet, which goes on through the stack.
    pub fn untrack(&mut self) {
        // SAFETY: Owned.
        unsafe { bindings::tcp_splice_skb_untrack(self.0.as_ptr()) };
    }

    /// Whether the packet, which has a route, goes to a socket of this host.
    #[inline]
    pub fn stays(&self) -> bool {
        // SAFETY: Owned.
        unsafe { bindings::tcp_splice_skb_stays(self.0.as_ptr()) }
    }

    /// Frees a packet that was used up, not lost.
    pub fn consume(self) {
        // SAFETY: Owned and given away.
        unsafe { bindings::tcp_splice_skb_free(self.into_raw()) };
    }
}

impl Drop for Packet {
    fn drop(&mut self) {
        // SAFETY: Owned. Counted as dropped by netfilter for who watches drops.
        unsafe { bindings::tcp_splice_skb_free_dropped(self.0.as_ptr()) };
    }
}

/// A packet with a route to leave by.
pub struct Routed(Packet);

impl Routed {
    /// Whether the packet, or a segment of it, is larger than the route takes, and what it takes:
    /// the MTU in bytes.
    #[inline]
    pub fn exceeds_mtu(&self, family: Family) -> Option<u32> {
        let mut mtu = 0;
        // SAFETY: Owned and routed.
        unsafe { bindings::tcp_splice_exceeds_mtu(self.0 .0.as_ptr(), family as u8, &mut mtu) }
            .then_some(mtu)
    }

    /// Tells the sender that the packet was too big (RFC 1191, RFC 8201), and drops it.
    pub fn refuse_too_big(self, family: Family, mtu: u32) {
        // SAFETY: Owned and routed.
        unsafe { bindings::tcp_splice_send_too_big(self.0 .0.as_ptr(), family as u8, mtu) };
    }

    /// Tells the sender that the packet's time was exceeded (RFC 792, RFC 4443), and drops it.
    pub fn refuse_ttl_exceeded(self, family: Family) {
        // SAFETY: Owned and routed.
        unsafe { bindings::tcp_splice_send_ttl_exceeded(self.0 .0.as_ptr(), family as u8) };
    }

    /// See [`Packet::writable`].
    #[inline]
    pub fn writable(&mut self, len: usize) -> Option<&mut [u8]> {
        self.0.writable(len)
    }

    /// Sends the packet on, as forwarding does: POST_ROUTING sees it, connection tracking does not.
    #[inline]
    pub fn output(self, net: &Namespace) {
        let skb = self.0.into_raw();
        // SAFETY: Given away; it has a route.
        unsafe {
            bindings::tcp_splice_skb_forward(skb);
            bindings::tcp_splice_output(net.as_raw(), skb);
        }
    }

    /// Sends a packet of a local socket: as [`Routed::output`], but the socket goes on accounting for it until it has
    /// left.
    #[inline]
    pub fn output_own(self, net: &Namespace) {
        let skb = self.0.into_raw();
        // SAFETY: Given away; it has a route.
        unsafe {
            bindings::tcp_splice_skb_untrack(skb);
            bindings::tcp_splice_output(net.as_raw(), skb);
        }
    }
}

/// Packets that wait, first in, first out.
pub struct PacketQueue {
    head: KBox<Opaque<kb::sk_buff_head>>,
    len: usize,
    memory: usize,
}

// SAFETY: The queue owns its packets; access goes through `&mut`.
unsafe impl Send for PacketQueue {}

impl PacketQueue {
    /// An empty queue. May sleep.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub fn new() -> Result<Self> {
        let head = KBox::new(Opaque::uninit(), GFP_KERNEL)?;
        // SAFETY: The box is memory for a queue head, and never moves.
        unsafe { bindings::tcp_splice_skb_queue_init(head.get()) };
        Ok(PacketQueue {
            head,
            len: 0,
            memory: 0,
        })
    }

    /// How many wait.
    pub fn waiting(&self) -> usize {
        self.len
    }

    /// Memory that they take, in bytes.
    pub fn memory(&self) -> usize {
        self.memory
    }

    /// Adds a packet, and holds on to the device it came by. Atomic.
    pub fn push(&mut self, packet: Packet) {
        self.memory = self.memory.saturating_add(packet.truesize());
        // SAFETY: The packet is given away; the queue is ours.
        unsafe { bindings::tcp_splice_skb_queue_tail(self.head.get(), packet.into_raw()) };
        self.len = self.len.saturating_add(1);
    }

    /// The first packet, as [`PacketQueue::pop`], if `wanted` says so of it. Atomic.
    pub fn pop_if(&mut self, wanted: impl FnOnce(&mut Packet) -> bool) -> Option<(Packet, Device)> {
        // SAFETY: The queue is ours.
        let skb = unsafe { bindings::tcp_splice_skb_queue_first(self.head.get()) };
        // It stays the queue's.
        let mut first = ManuallyDrop::new(Packet(NonNull::new(skb)?));
        let before = first.truesize();
        let wanted = wanted(&mut first);
        // Reading it may have moved its headers together.
        self.memory = self
            .memory
            .saturating_sub(before)
            .saturating_add(first.truesize());
        if wanted {
            self.pop()
        } else {
            None
        }
    }

    /// The first packet, and the hold on its device, to be kept until the packet is gone. Atomic.
    pub fn pop(&mut self) -> Option<(Packet, Device)> {
        let mut dev = core::ptr::null_mut();
        // SAFETY: The queue is ours.
        let skb = unsafe { bindings::tcp_splice_skb_dequeue(self.head.get(), &mut dev) };
        let packet = Packet(NonNull::new(skb)?);
        self.len = self.len.saturating_sub(1);
        self.memory = self.memory.saturating_sub(packet.truesize());
        Some((packet, Device(dev)))
    }
}

impl Drop for PacketQueue {
    fn drop(&mut self) {
        while self.pop().is_some() {}
    }
}

/// A reference to a network device, or to none.
pub struct Device(*mut kb::net_device);

impl Drop for Device {
    fn drop(&mut self) {
        // SAFETY: Taken when the packet was queued; null is allowed.
        unsafe { bindings::tcp_splice_dev_put(self.0) };
    }
}
