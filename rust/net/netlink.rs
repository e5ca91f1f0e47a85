// SPDX-License-Identifier: GPL-2.0

//! A generic-netlink family that answers requests: policies, doit and dumpit, extended ACKs,
//! and multicast in any network namespace. (`kernel::net::netlink` only multicasts, in the first.)
//!
//! C header: [`include/net/genetlink.h`](srctree/include/net/genetlink.h)

use super::namespace::Namespace;
use crate::bindings;
use core::{marker::PhantomData, ptr::NonNull};
use kernel::{
    bindings as kb,
    error::{from_result, to_result},
    ffi::c_int,
    fmt,
    prelude::*,
    str::NullTerminatedFormatter,
    types::Opaque,
};

/// What an attribute must look like; the kernel checks it before a handler runs.
#[repr(transparent)]
#[derive(Clone, Copy)]
pub struct Policy(kb::nla_policy);

// SAFETY: A policy is constant data; its pointers are to constant data.
unsafe impl Sync for Policy {}
// SAFETY: As above.
unsafe impl Send for Policy {}

const NONE: u8 = kb::nla_policy_validation_NLA_VALIDATE_NONE as u8;
const RANGE: u8 = kb::nla_policy_validation_NLA_VALIDATE_RANGE as u8;
const MAX: u8 = kb::nla_policy_validation_NLA_VALIDATE_MAX as u8;
const MASK: u8 = kb::nla_policy_validation_NLA_VALIDATE_MASK as u8;

impl Policy {
    /// The attribute is not accepted by strict validation.
    pub const UNSET: Policy = Policy::of(0, NONE, 0);

    const fn of(type_: u32, validation_type: u8, mask: u32) -> Policy {
        Policy(kb::nla_policy {
            type_: type_ as u8,
            validation_type,
            len: 0,
            __bindgen_anon_1: kb::nla_policy__bindgen_ty_1 { mask },
        })
    }

    const fn bounded(type_: u32, validation_type: u8, min: i16, max: i16) -> Policy {
        let mut policy = Policy::of(type_, validation_type, 0);
        policy.0.__bindgen_anon_1 = kb::nla_policy__bindgen_ty_1 {
            __bindgen_anon_1: kb::nla_policy__bindgen_ty_1__bindgen_ty_1 { min, max },
        };
        policy
    }

    /// A 32-bit number.
    pub const fn u32() -> Policy {
        Policy::of(kb::NLA_U32, NONE, 0)
    }

    /// A 32-bit number, at most `max`.
    pub const fn u32_max(max: i16) -> Policy {
        Policy::bounded(kb::NLA_U32, MAX, 0, max)
    }

    /// A 32-bit number with no other bits than these.
    pub const fn u32_mask(mask: u32) -> Policy {
        Policy::of(kb::NLA_U32, MASK, mask)
    }

    /// A 16-bit number in network order.
    pub const fn be16() -> Policy {
        Policy::of(kb::NLA_BE16, NONE, 0)
    }

    /// A number of 32 or 64 bits.
    pub const fn uint() -> Policy {
        Policy::of(kb::NLA_UINT, NONE, 0)
    }

    /// Between `min` and `max` bytes.
    pub const fn binary(min: u16, max: u16) -> Policy {
        Policy::bounded(kb::NLA_BINARY, RANGE, min as i16, max as i16)
    }

    /// A nest of attributes with these policies, by attribute id.
    pub const fn nested(policy: &'static [Policy]) -> Policy {
        let mut nested = Policy::of(kb::NLA_NESTED, NONE, 0);
        nested.0.len = (policy.len() - 1) as u16;
        nested.0.__bindgen_anon_1 = kb::nla_policy__bindgen_ty_1 {
            nested_policy: policy.as_ptr().cast(),
        };
        nested
    }
}

/// The attributes of a message or of a nest, which the kernel has found to fit the policy.
#[derive(Clone, Copy)]
pub struct Attrs<'a>(Place<'a>);

#[derive(Clone, Copy)]
enum Place<'a> {
    /// Of a message: each attribute that its policy names, where the kernel has found it, or null.
    Parsed(&'a [*const kb::nlattr]),
    /// Of a nest, which nobody has looked into: its bytes.
    Nest(&'a [u8]),
}

const NLA_HDRLEN: usize = 4;
const NLA_TYPE_MASK: u16 = 0x3fff;

impl<'a> Attrs<'a> {
    /// The payload of the attribute, wherever it stands; the last one counts, as in the kernel.
    fn find(&self, attr: u16) -> Option<&'a [u8]> {
        let mut rest = match self.0 {
            Place::Parsed(places) => {
                let place = NonNull::new(places.get(usize::from(attr))?.cast_mut())?;
                // SAFETY: The kernel has found a whole attribute there, in a message that lives as long as `self` says.
                return unsafe {
                    let len = usize::from(place.as_ref().nla_len).saturating_sub(NLA_HDRLEN);
                    let payload = place.cast::<u8>().add(NLA_HDRLEN);
                    Some(core::slice::from_raw_parts(payload.as_ptr(), len))
                };
            }
            Place::Nest(bytes) => bytes,
        };
        let mut found = None;
        while let Some(header) = rest.first_chunk::<NLA_HDRLEN>() {
            let len = usize::from(u16::from_ne_bytes([header[0], header[1]]));
            let kind = u16::from_ne_bytes([header[2], header[3]]) & NLA_TYPE_MASK;
            let Some(payload) = rest.get(NLA_HDRLEN..len) else {
                break;
            };
            if kind == attr {
                found = Some(payload);
            }
            rest = rest.get(len.next_multiple_of(4)..).unwrap_or_default();
        }
        found
    }

    /// A 32-bit number.
    pub fn u32(&self, attr: u16) -> Option<u32> {
        Some(u32::from_ne_bytes(*self.find(attr)?.first_chunk()?))
    }

    /// A 16-bit number, which is in network order in the message, in host order.
    pub fn be16(&self, attr: u16) -> Option<u16> {
        Some(u16::from_be_bytes(*self.find(attr)?.first_chunk()?))
    }

    /// A number of 32 or 64 bits.
    pub fn uint(&self, attr: u16) -> Option<u64> {
        let payload = self.find(attr)?;
        match payload.first_chunk() {
            Some(wide) => Some(u64::from_ne_bytes(*wide)),
            None => Some(u32::from_ne_bytes(*payload.first_chunk()?).into()),
        }
    }

    /// Bytes.
    pub fn binary(&self, attr: u16) -> Option<&'a [u8]> {
        self.find(attr)
    }

    /// A nest.
    pub fn nested(&self, attr: u16) -> Option<Attrs<'a>> {
        self.find(attr).map(|bytes| Attrs(Place::Nest(bytes)))
    }

    /// Whether the attribute is there.
    pub fn has(&self, attr: u16) -> bool {
        self.find(attr).is_some()
    }
}

/// A message, or a nest in one, that is being written.
///
/// Every method fails with `EMSGSIZE` when the message is full.
pub struct Put<'a>(&'a mut kb::sk_buff);

impl Put<'_> {
    fn put(&mut self, attr: u16, payload: &[u8]) -> Result {
        let len = c_int::try_from(payload.len()).map_err(|_| EMSGSIZE)?;
        // SAFETY: The skb is a netlink message; the payload is `len` readable bytes.
        to_result(unsafe { kb::nla_put(self.0, attr.into(), len, payload.as_ptr().cast()) })
    }

    /// A 32-bit number.
    pub fn u32(&mut self, attr: u16, v: u32) -> Result {
        self.put(attr, &v.to_ne_bytes())
    }

    /// A 16-bit number in host order, written in network order.
    pub fn be16(&mut self, attr: u16, v: u16) -> Result {
        self.put(attr, &v.to_be_bytes())
    }

    /// A number, in 32 bits if it fits.
    pub fn uint(&mut self, attr: u16, v: u64) -> Result {
        match u32::try_from(v) {
            Ok(narrow) => self.u32(attr, narrow),
            Err(_) => self.put(attr, &v.to_ne_bytes()),
        }
    }

    /// Bytes.
    pub fn binary(&mut self, attr: u16, v: &[u8]) -> Result {
        self.put(attr, v)
    }

    /// A nest with what `f` writes.
    pub fn nested(&mut self, attr: u16, f: impl FnOnce(&mut Put<'_>) -> Result) -> Result {
        // SAFETY: The skb is a netlink message.
        let start = unsafe { bindings::tcp_splice_nla_nest_start(self.0, attr.into()) };
        if start.is_null() {
            return Err(EMSGSIZE);
        }
        let written = f(&mut Put(self.0));
        // SAFETY: `start` is the nest begun above; everything after it belongs to it.
        unsafe {
            match written {
                Ok(()) => bindings::tcp_splice_nla_nest_end(self.0, start),
                Err(_) => bindings::tcp_splice_nla_nest_cancel(self.0, start),
            }
        }
        written
    }
}

/// A message of this family, owned until it is sent.
struct Message(NonNull<kb::sk_buff>);

impl Message {
    /// With room for so many bytes of attributes beside what a small answer takes.
    fn new(extra: usize) -> Result<Message> {
        let size = kb::GENLMSG_DEFAULT_SIZE.saturating_add(extra);
        // SAFETY: No requirement.
        let skb = unsafe { kb::genlmsg_new(size, kb::GFP_KERNEL) };
        Ok(Message(NonNull::new(skb).ok_or(ENOMEM)?))
    }

    /// Writes attributes after a header, and ends the message.
    fn fill(
        &mut self,
        hdr: *mut kernel::ffi::c_void,
        f: impl FnOnce(&mut Put<'_>) -> Result,
    ) -> Result {
        if hdr.is_null() {
            return Err(EMSGSIZE);
        }
        // SAFETY: Owned, and borrowed mutably.
        f(&mut Put(unsafe { self.0.as_mut() }))?;
        // SAFETY: `hdr` is the header just put into this message.
        unsafe { kb::genlmsg_end(self.0.as_ptr(), hdr) };
        Ok(())
    }

    fn into_raw(self) -> *mut kb::sk_buff {
        core::mem::ManuallyDrop::new(self).0.as_ptr()
    }
}

impl Drop for Message {
    fn drop(&mut self) {
        // SAFETY: Owned.
        unsafe { kb::nlmsg_free(self.0.as_ptr()) };
    }
}

/// Puts a message where user space finds it beside the error code (extended ACK).
fn explain(extack: *mut kb::netlink_ext_ack, args: fmt::Arguments<'_>) {
    // SAFETY: Null, or the extended ACK of the request in hand, which nobody else writes.
    let Some(extack) = (unsafe { extack.as_mut() }) else {
        return;
    };
    if let Some(mut out) = NullTerminatedFormatter::new(&mut extack._msg_buf) {
        // What does not fit is cut off.
        let _ = fmt::Write::write_fmt(&mut out, args);
    }
    extack._msg = extack._msg_buf.as_ptr();
}

/// A request being handled. Handlers may sleep.
pub struct Request<'a> {
    /// Valid as long as the request.
    info: NonNull<kb::genl_info>,
    attrs: Attrs<'a>,
}

impl<'a> Request<'a> {
    /// The attributes.
    pub fn attrs(&self) -> Attrs<'a> {
        self.attrs
    }

    /// The namespace of the socket that asked.
    pub fn net(&self) -> &'a Namespace {
        // SAFETY: The requesting socket keeps its namespace alive for the call.
        unsafe { Namespace::from_raw(bindings::tcp_splice_genl_info_net(self.info.as_ptr())) }
    }

    /// Refuses: `errno`, and an extended ACK that says what was wrong and what to do (at most 79
    /// bytes).
    pub fn refuse(&self, errno: Error, args: fmt::Arguments<'_>) -> Error {
        explain(self.extack(), args);
        errno
    }

    fn extack(&self) -> *mut kb::netlink_ext_ack {
        // SAFETY: Valid as long as the request.
        unsafe { self.info.as_ref() }.extack
    }

    /// Refuses because of one attribute, which the extended ACK points at if it is at top level.
    pub fn refuse_attr(&self, errno: Error, attr: u16, args: fmt::Arguments<'_>) -> Error {
        explain(self.extack(), args);
        if self.attrs.has(attr) {
            // SAFETY: The kernel has parsed the attributes that the policy of the request names,
            // of which this is one; the extended ACK is ours to write.
            unsafe {
                let attrs = self.info.as_ref().attrs;
                if let (false, Some(extack)) = (attrs.is_null(), self.extack().as_mut()) {
                    extack.bad_attr = *attrs.add(attr.into());
                }
            }
        }
        errno
    }

    /// Refuses because an attribute is missing.
    pub fn refuse_missing(&self, attr: u16, args: fmt::Arguments<'_>) -> Error {
        explain(self.extack(), args);
        // SAFETY: As in `explain`.
        if let Some(extack) = unsafe { self.extack().as_mut() } {
            extack.miss_type = attr;
        }
        EINVAL
    }

    /// Answers with a message of the request's own command.
    ///
    /// # Errors
    ///
    /// `ENOMEM`, `EMSGSIZE`, or that the asking socket has no room.
    pub fn reply(&self, f: impl FnOnce(&mut Put<'_>) -> Result) -> Result {
        self.reply_with(0, f)
    }

    /// The same, with as many bytes of a stream in it.
    ///
    /// # Errors
    ///
    /// As [`Request::reply`].
    pub fn reply_with(&self, bytes: usize, f: impl FnOnce(&mut Put<'_>) -> Result) -> Result {
        let mut message = Message::new(bytes)?;
        // SAFETY: The message is new; `info` is that of the request.
        let hdr =
            unsafe { bindings::tcp_splice_genlmsg_iput(message.0.as_ptr(), self.info.as_ptr()) };
        message.fill(hdr, f)?;
        // SAFETY: The message is complete and given away.
        to_result(unsafe {
            bindings::tcp_splice_genlmsg_reply(message.into_raw(), self.info.as_ptr())
        })
    }
}

/// A request for one answer.
pub trait Do {
    /// Command id.
    const CMD: u8;
    /// Whether `CAP_NET_ADMIN` in the namespace's owner is needed.
    const ADMIN: bool;
    /// Policies by attribute id.
    const POLICY: &'static [Policy];

    /// Handles it.
    ///
    /// # Errors
    ///
    /// What user space gets; an extended ACK should go with it.
    fn call(req: &Request<'_>) -> Result;
}

/// A request for many answers, written as room comes up.
pub trait Dump {
    /// Command id.
    const CMD: u8;
    /// Whether `CAP_NET_ADMIN` in the namespace's owner is needed.
    const ADMIN: bool;
    /// Policies by attribute id.
    const POLICY: &'static [Policy];

    /// Writes what fits.
    ///
    /// # Errors
    ///
    /// What user space gets.
    fn call(out: &mut DumpOut<'_>) -> Result;
}

/// Where a dump is written, and how far it has come.
pub struct DumpOut<'a> {
    skb: NonNull<kb::sk_buff>,
    cb: &'a mut kb::netlink_callback,
    cmd: u8,
    wrote: bool,
}

impl DumpOut<'_> {
    fn raw_cb(&self) -> *mut kb::netlink_callback {
        core::ptr::from_ref(&*self.cb).cast_mut()
    }

    /// The namespace of the socket that asked.
    pub fn net(&self) -> &Namespace {
        // SAFETY: A dump has an skb whose socket keeps its namespace alive.
        unsafe {
            Namespace::from_raw(bindings::tcp_splice_genl_info_net(
                bindings::tcp_splice_genl_info_dump(self.raw_cb()),
            ))
        }
    }

    /// Where the last call stopped; 0 at first.
    pub fn cursor(&self) -> u64 {
        // SAFETY: Plain memory for dumps to use, zeroed at start.
        unsafe {
            self.cb
                .__bindgen_anon_1
                .ctx
                .as_ptr()
                .cast::<u64>()
                .read_unaligned()
        }
    }

    /// Sets what [`DumpOut::cursor`] says next time.
    pub fn set_cursor(&mut self, to: u64) {
        // SAFETY: As above; the context has room for 48 bytes.
        unsafe {
            self.cb
                .__bindgen_anon_1
                .ctx
                .as_mut_ptr()
                .cast::<u64>()
                .write_unaligned(to)
        }
    }

    /// Says which generation of the data is being dumped; user space is told if it changes on the way.
    pub fn set_generation(&mut self, generation: u32) {
        // 0 means unchecked to the kernel.
        self.cb.seq = generation | 1 << 31;
    }

    /// Writes one answer; `false` when there is no room for it now.
    ///
    /// # Errors
    ///
    /// `EMSGSIZE` if it does not fit in an empty message.
    pub fn push(&mut self, f: impl FnOnce(&mut Put<'_>) -> Result) -> Result<bool> {
        // SAFETY: The skb is that of the dump; the command is one of the family's.
        let hdr = unsafe {
            let info = bindings::tcp_splice_genl_info_dump(self.cb);
            kb::genlmsg_put(
                self.skb.as_ptr(),
                (*info).snd_portid,
                (*info).snd_seq,
                (*info).family,
                kb::NLM_F_MULTI as c_int,
                self.cmd,
            )
        };
        if hdr.is_null() {
            return if self.wrote { Ok(false) } else { Err(EMSGSIZE) };
        }
        // SAFETY: `hdr` is a header of this family in this skb.
        unsafe { bindings::tcp_splice_genl_dump_check_consistent(self.cb, hdr) };
        // SAFETY: Nobody else writes to the skb during the dump callback.
        match f(&mut Put(unsafe { self.skb.as_mut() })) {
            Ok(()) => {
                // SAFETY: As above.
                unsafe { kb::genlmsg_end(self.skb.as_ptr(), hdr) };
                self.wrote = true;
                Ok(true)
            }
            Err(e) => {
                // SAFETY: As above.
                unsafe { kb::genlmsg_cancel(self.skb.as_ptr(), hdr) };
                if self.wrote {
                    Ok(false)
                } else {
                    Err(e)
                }
            }
        }
    }
}

/// One operation of a family.
#[repr(transparent)]
pub struct Op(kb::genl_split_ops);

// SAFETY: Constant data.
unsafe impl Sync for Op {}

const fn perm(admin: bool) -> u32 {
    if admin {
        kb::GENL_UNS_ADMIN_PERM
    } else {
        0
    }
}

/// Accepts no attribute at all. Without a policy the kernel would not look at them.
static NO_ATTRIBUTES: [Policy; 2] = [Policy::UNSET; 2];

const fn policy_or_none(policy: &'static [Policy]) -> &'static [Policy] {
    if policy.is_empty() {
        &NO_ATTRIBUTES
    } else {
        policy
    }
}

/// # Safety
///
/// Called by genetlink with a request.
unsafe extern "C" fn doit<T: Do>(_skb: *mut kb::sk_buff, info: *mut kb::genl_info) -> c_int {
    from_result(|| {
        let info = NonNull::new(info).ok_or(EINVAL)?;
        // SAFETY: genetlink passes an info, and a complete request, that live for the call. Where it has parsed attributes, it
        // has a place for each of the policy; where it has not, it has let none pass.
        let places = unsafe {
            match NonNull::new(info.as_ref().attrs) {
                Some(places) => {
                    core::slice::from_raw_parts(places.as_ptr().cast(), T::POLICY.len())
                }
                None => &[],
            }
        };
        let attrs = Attrs(Place::Parsed(places));
        T::call(&Request { info, attrs }).map(|()| 0)
    })
}

/// # Safety
///
/// Called by genetlink with a dump in progress.
unsafe extern "C" fn dumpit<T: Dump>(
    skb: *mut kb::sk_buff,
    cb: *mut kb::netlink_callback,
) -> c_int {
    // SAFETY: genetlink passes both for the call.
    let (skb, cb) = unsafe { (NonNull::new_unchecked(skb), &mut *cb) };
    let mut out = DumpOut {
        skb,
        cb,
        cmd: T::CMD,
        wrote: false,
    };
    match T::call(&mut out) {
        // SAFETY: As above. More than nothing written means: call again.
        Ok(()) => unsafe { skb.as_ref() }.len as c_int,
        Err(e) => e.to_errno(),
    }
}

impl Op {
    /// A request for one answer.
    pub const fn doit<T: Do>() -> Op {
        Op(kb::genl_split_ops {
            __bindgen_anon_1: kb::genl_split_ops__bindgen_ty_1 {
                __bindgen_anon_1: kb::genl_split_ops__bindgen_ty_1__bindgen_ty_1 {
                    pre_doit: None,
                    doit: Some(doit::<T>),
                    post_doit: None,
                },
            },
            policy: policy_or_none(T::POLICY).as_ptr().cast(),
            maxattr: (policy_or_none(T::POLICY).len() - 1) as u32,
            cmd: T::CMD,
            internal_flags: 0,
            flags: (kb::GENL_CMD_CAP_DO | kb::GENL_CMD_CAP_HASPOL | perm(T::ADMIN)) as u8,
            validate: 0,
        })
    }

    /// A request for many answers.
    pub const fn dumpit<T: Dump>() -> Op {
        Op(kb::genl_split_ops {
            __bindgen_anon_1: kb::genl_split_ops__bindgen_ty_1 {
                __bindgen_anon_2: kb::genl_split_ops__bindgen_ty_1__bindgen_ty_2 {
                    start: None,
                    dumpit: Some(dumpit::<T>),
                    done: None,
                },
            },
            policy: policy_or_none(T::POLICY).as_ptr().cast(),
            maxattr: (policy_or_none(T::POLICY).len() - 1) as u32,
            cmd: T::CMD,
            internal_flags: 0,
            flags: (kb::GENL_CMD_CAP_DUMP | kb::GENL_CMD_CAP_HASPOL | perm(T::ADMIN)) as u8,
            validate: 0,
        })
    }
}

/// A multicast group.
#[repr(transparent)]
pub struct Group(kb::genl_multicast_group);

// SAFETY: Constant data.
unsafe impl Sync for Group {}

/// Copies a name into an array of C characters, with its NUL. In constants only.
const fn c_name<const N: usize>(name: &CStr) -> [kernel::ffi::c_char; N] {
    let bytes = name.to_bytes();
    assert!(bytes.len() < N, "name too long");
    let mut out = [0; N];
    let mut i = 0;
    while i < bytes.len() {
        out[i] = bytes[i];
        i += 1;
    }
    out
}

impl Group {
    /// For a static.
    pub const fn new(name: &CStr) -> Group {
        Group(kb::genl_multicast_group {
            name: c_name(name),
            flags: 0,
        })
    }
}

/// A family: a static of the module.
pub struct Family(Opaque<kb::genl_family>);

// SAFETY: Written by registration only, under genetlink's lock.
unsafe impl Sync for Family {}

impl Family {
    /// For a static.
    pub const fn new(
        module: &'static ThisModule,
        name: &CStr,
        version: u32,
        ops: &'static [Op],
        groups: &'static [Group],
    ) -> Family {
        // SAFETY: All-zero is a valid `genl_family`.
        let mut family: kb::genl_family = unsafe { core::mem::zeroed() };
        family.name = c_name(name);
        family.version = version;
        // `netnsok` and `parallel_ops`, the first two bits.
        type Unit = kb::__BindgenBitfieldUnit<[u8; 1]>;
        // SAFETY: The bit-field unit is one byte.
        family._bitfield_1 = unsafe { core::mem::transmute::<u8, Unit>(0b11) };
        family.split_ops = ops.as_ptr().cast();
        family.n_split_ops = ops.len() as u8;
        family.mcgrps = groups.as_ptr().cast();
        family.n_mcgrps = groups.len() as u8;
        family.module = module.as_ptr();
        Family(Opaque::new(family))
    }

    /// Tells the listeners in a namespace; nothing happens when there are none. May sleep.
    ///
    /// # Errors
    ///
    /// `ENOMEM`, `EMSGSIZE`.
    pub fn multicast(
        &'static self,
        net: &Namespace,
        group: u32,
        cmd: u8,
        f: impl FnOnce(&mut Put<'_>) -> Result,
    ) -> Result {
        // SAFETY: A registered family and a live namespace.
        if !unsafe { bindings::tcp_splice_genl_has_listeners(self.0.get(), net.as_raw(), group) } {
            return Ok(());
        }
        let mut message = Message::new(0)?;
        // SAFETY: The message is new.
        let hdr = unsafe { kb::genlmsg_put(message.0.as_ptr(), 0, 0, self.0.get(), 0, cmd) };
        message.fill(hdr, f)?;
        // SAFETY: The message is complete and given away.
        let sent = to_result(unsafe {
            bindings::tcp_splice_genlmsg_multicast(
                self.0.get(),
                net.as_raw(),
                message.into_raw(),
                0,
                group,
                kb::GFP_KERNEL,
            )
        });
        match sent {
            // The last listener left on the way.
            Err(e) if e == ESRCH => Ok(()),
            other => other,
        }
    }

    /// Makes the family known. May sleep.
    ///
    /// # Errors
    ///
    /// `EEXIST` if there is one of this name.
    pub fn register(&'static self) -> Result<Registration> {
        // SAFETY: The family is static.
        to_result(unsafe { kb::genl_register_family(self.0.get()) })?;
        Ok(Registration {
            family: self,
            _not_copy: PhantomData,
        })
    }
}

/// A registered family; requests in flight are over when it is dropped.
pub struct Registration {
    family: &'static Family,
    _not_copy: PhantomData<NonNull<()>>,
}

// SAFETY: Unregistration takes genetlink's lock.
unsafe impl Send for Registration {}
// SAFETY: As above.
unsafe impl Sync for Registration {}

impl Drop for Registration {
    fn drop(&mut self) {
        // SAFETY: Registered in `register`.
        unsafe { kb::genl_unregister_family(self.family.0.get()) };
    }
}

#[cfg(CONFIG_KUNIT = "y")]
#[kunit_tests(tcp_splice_net_netlink)]
mod tests {
    use super::*;

    /// Attributes as they lie in a message: a u32, a be16 with padding, a nest with a u32, a u64.
    const MESSAGE: [u8; 40] = {
        let mut m = [0; 40];
        m[0] = 8; // len 8, type 1
        m[2] = 1;
        m[4] = 0x2a;
        m[8] = 6; // len 6, type 2, two bytes of padding
        m[10] = 2;
        m[12] = 0x1f;
        m[13] = 0x90;
        m[16] = 12; // len 12, type 3, nested flag
        m[18] = 3;
        m[19] = 0x80;
        m[20] = 8; // in the nest: len 8, type 1
        m[22] = 1;
        m[24] = 7;
        m[28] = 12; // len 12, type 4
        m[30] = 4;
        m[36] = 1;
        m
    };

    #[test]
    fn attributes_are_found_by_id() {
        let attrs = Attrs(Place::Nest(&MESSAGE));
        assert_eq!(attrs.u32(1), Some(0x2a));
        assert_eq!(attrs.be16(2), Some(8080));
        assert!(attrs.nested(3).is_some_and(|nest| nest.u32(1) == Some(7)));
        assert_eq!(attrs.uint(4), Some(1 << 32));
        assert_eq!(attrs.uint(1), Some(0x2a));
        assert!(!attrs.has(5));
    }

    #[test]
    fn truncated_attributes_are_not_there() {
        // Every prefix ends the search and never reads past the end.
        for len in 0..MESSAGE.len() {
            let attrs = Attrs(Place::Nest(&MESSAGE[..len]));
            assert_eq!(attrs.u32(1).is_some(), len >= 8);
            assert_eq!(attrs.uint(4).is_some(), len >= 40);
        }
        // A length shorter than its header.
        assert!(!Attrs(Place::Nest(&[3, 0, 1, 0, 9, 9, 9, 9])).has(1));
    }
}
