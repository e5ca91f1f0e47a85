// SPDX-License-Identifier: GPL-2.0

//! Netfilter hooks of one network namespace.
//!
//! C header: [`include/linux/netfilter.h`](srctree/include/linux/netfilter.h)

use super::{namespace::Namespace, skbuff::Packet};
use crate::{bindings, xlate::key::Family};
use core::ptr::NonNull;
use kernel::{
    bindings as kb,
    error::to_result,
    ffi::{c_uint, c_void},
    prelude::*,
    sync::{
        atomic::{AtomicFlag, Relaxed},
        rcu, Arc,
    },
};

/// Where in the stack a packet is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Hook {
    /// Received, not routed yet.
    PreRouting,
    /// Sent by this host, routed.
    LocalOut,
}

/// What becomes of a packet.
pub enum Verdict {
    /// It goes on through the stack.
    Accept(Packet),
    /// It was taken: sent on, kept or dropped.
    Stolen,
}

/// Runs `f` in process context as the packet path runs: bottom halves off, RCU read section.
pub fn in_packet_context<R>(f: impl FnOnce(&rcu::Guard) -> R) -> R {
    // SAFETY: Balanced below.
    unsafe { bindings::tcp_splice_bh_disable() };
    let result = f(&rcu::read_lock());
    // SAFETY: Balances the above.
    unsafe { bindings::tcp_splice_bh_enable() };
    result
}

/// What the hook is told beside the packet.
#[derive(Clone, Copy)]
pub struct HookState {
    /// Where the packet is.
    pub hook: Hook,
    /// Its IP version.
    pub family: Family,
}

/// Sees the packets of a namespace. Softirq, or process context with bottom halves off for
/// [`Hook::LocalOut`].
pub trait Filter: Send + Sync + 'static {
    /// Before connection tracking, and after it has reassembled fragments.
    const PRIORITY: i32 = bindings::nf_ip_hook_priorities_NF_IP_PRI_CONNTRACK_DEFRAG + 1;

    /// Decides on one packet.
    fn filter(&self, packet: Packet, state: HookState, guard: &rcu::Guard) -> Verdict;
}

const HOOKS: [(Hook, Family); 4] = [
    (Hook::PreRouting, Family::V4),
    (Hook::LocalOut, Family::V4),
    (Hook::PreRouting, Family::V6),
    (Hook::LocalOut, Family::V6),
];

/// # Safety
///
/// Called by netfilter with the `priv` of a registered hook of `F`, and a packet of that hook.
unsafe extern "C" fn callback<F: Filter, const WHICH: usize>(
    filter: *mut c_void,
    skb: *mut kb::sk_buff,
    _state: *const bindings::nf_hook_state,
) -> c_uint {
    let (hook, family) = const { HOOKS[WHICH] };
    // SAFETY: `filter` is the pointer registered, which outlives the registration.
    let filter: &F = unsafe { &*filter.cast() };
    // SAFETY: netfilter passes a packet that the hook decides on, whose data is its network header.
    let packet = unsafe { Packet::from_raw(NonNull::new_unchecked(skb)) };
    let state = HookState { hook, family };
    // Hooks run inside an RCU read section already; the guard says so in the types, at no cost.
    match filter.filter(packet, state, &rcu::read_lock()) {
        Verdict::Accept(packet) => {
            let _ = packet.into_raw();
            bindings::NF_ACCEPT
        }
        Verdict::Stolen => bindings::NF_STOLEN,
    }
}

/// The hooks of one namespace, both families; and reassembly of fragments before them.
///
/// # Invariants
///
/// While `registered`, the hooks are in place and the filter outlives them.
pub struct Registration<F: Filter> {
    ops: Pin<KBox<[bindings::nf_hook_ops; HOOKS.len()]>>,
    net: &'static Namespace,
    registered: AtomicFlag,
    _filter: Arc<F>,
}

// SAFETY: Registration is under netfilter's own lock.
unsafe impl<F: Filter> Send for Registration<F> {}
// SAFETY: As above.
unsafe impl<F: Filter> Sync for Registration<F> {}

fn op<F: Filter, const WHICH: usize>(filter: &F) -> bindings::nf_hook_ops {
    let (hook, family) = const { HOOKS[WHICH] };
    // SAFETY: All-zero is a valid, empty `nf_hook_ops`.
    let mut op: bindings::nf_hook_ops = unsafe { core::mem::zeroed() };
    op.hook = Some(callback::<F, WHICH>);
    op.priv_ = core::ptr::from_ref(filter).cast_mut().cast();
    op.pf = match family {
        Family::V4 => bindings::NFPROTO_IPV4,
        Family::V6 => bindings::NFPROTO_IPV6,
    } as u8;
    op.hooknum = match hook {
        Hook::PreRouting => bindings::nf_inet_hooks_NF_INET_PRE_ROUTING,
        Hook::LocalOut => bindings::nf_inet_hooks_NF_INET_LOCAL_OUT,
    };
    op.priority = F::PRIORITY;
    op
}

impl<F: Filter> Registration<F> {
    /// Starts delivering packets of `net` to `filter`. May sleep.
    ///
    /// # Errors
    ///
    /// `ENOMEM`, or what reassembly says.
    pub fn new(net: &'static Namespace, filter: &Arc<F>) -> Result<Self> {
        let ops = [
            op::<F, 0>(filter),
            op::<F, 1>(filter),
            op::<F, 2>(filter),
            op::<F, 3>(filter),
        ];
        let this = Registration {
            ops: KBox::pin(ops, GFP_KERNEL)?,
            net,
            registered: AtomicFlag::new(false),
            _filter: filter.clone(),
        };
        // SAFETY: A live namespace; each enable is undone once, in `unregister` or here.
        unsafe {
            to_result(bindings::nf_defrag_ipv4_enable(net.as_raw()))?;
            if let Err(e) = to_result(bindings::nf_defrag_ipv6_enable(net.as_raw())) {
                bindings::nf_defrag_ipv4_disable(net.as_raw());
                return Err(e);
            }
        }
        // SAFETY: The ops stay where they are until after they are unregistered, and so
        // does the filter, which is counted.
        let registered = to_result(unsafe {
            bindings::nf_register_net_hooks(net.as_raw(), this.ops.as_ptr(), HOOKS.len() as u32)
        });
        match registered {
            Ok(()) => this.registered.store(true, Relaxed),
            Err(_) => this.disable_defrag(),
        }
        registered.map(|()| this)
    }

    /// No packet reaches the filter after this and a grace period. May sleep; once is enough.
    ///
    /// The value itself must be kept for that grace period: who lists hooks reads it under RCU.
    pub fn unregister(&self) {
        if !self.registered.xchg(false, Relaxed) {
            return;
        }
        // SAFETY: Registered, by the flag.
        unsafe {
            bindings::nf_unregister_net_hooks(
                self.net.as_raw(),
                self.ops.as_ptr(),
                HOOKS.len() as u32,
            );
        }
        self.disable_defrag();
    }

    fn disable_defrag(&self) {
        // SAFETY: Enabled in `new`.
        unsafe {
            bindings::nf_defrag_ipv4_disable(self.net.as_raw());
            bindings::nf_defrag_ipv6_disable(self.net.as_raw());
        }
    }
}

impl<F: Filter> Drop for Registration<F> {
    fn drop(&mut self) {
        if self.registered.load(Relaxed) {
            self.unregister();
            super::rcu::synchronize_net();
        }
    }
}
