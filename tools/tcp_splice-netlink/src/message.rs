// SPDX-License-Identifier: GPL-2.0

//! Netlink messages: headers, acknowledgements and what the kernel says in them.

use crate::attr::{Attrs, Malformed, Set, Writer, align};
use crate::error::Error;

pub(crate) const NLMSG_HEADER_LEN: usize = 16;
pub(crate) const GENL_HEADER_LEN: usize = 4;
/// Where the attributes of a generic netlink message start.
pub(crate) const ATTRS_OFFSET: usize = NLMSG_HEADER_LEN + GENL_HEADER_LEN;

pub(crate) const NLMSG_NOOP: u16 = 1;
pub(crate) const NLMSG_ERROR: u16 = 2;
pub(crate) const NLMSG_DONE: u16 = 3;
pub(crate) const NLMSG_OVERRUN: u16 = 4;

pub(crate) const NLM_F_REQUEST: u16 = 0x1;
pub(crate) const NLM_F_ACK: u16 = 0x4;
pub(crate) const NLM_F_DUMP_INTR: u16 = 0x10;
pub(crate) const NLM_F_DUMP: u16 = 0x300;
/// In an acknowledgement: the request in it is cut after its header.
const NLM_F_CAPPED: u16 = 0x100;
/// In an acknowledgement: attributes follow.
const NLM_F_ACK_TLVS: u16 = 0x200;

const NLMSGERR_ATTR_MSG: u16 = 1;
const NLMSGERR_ATTR_OFFS: u16 = 2;
const NLMSGERR_ATTR_MISS_TYPE: u16 = 5;
const NLMSGERR_ATTR_MISS_NEST: u16 = 6;

/// A request of the family and what answers it.
pub(crate) trait Request {
    /// The command.
    const CMD: u8;
    /// Names of the request's attributes.
    const ATTRS: &'static Set;
    /// What the kernel answers with.
    type Reply;

    /// Writes the attributes of the request.
    fn encode(&self, out: &mut Writer);

    /// Reads the attributes of the answer.
    fn decode(attrs: Attrs<'_>) -> Result<Self::Reply, Malformed>;
}

/// A generic netlink message, with its length filled in.
pub(crate) fn build(
    family: u16,
    flags: u16,
    seq: u32,
    cmd: u8,
    encode: impl FnOnce(&mut Writer),
) -> Vec<u8> {
    build_after(family, flags, seq, &[cmd, 1, 0, 0], encode)
}

/// A message whose attributes come after this header of its own.
pub(crate) fn build_after(
    kind: u16,
    flags: u16,
    seq: u32,
    head: &[u8],
    encode: impl FnOnce(&mut Writer),
) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(256);
    bytes.extend([0; 4]);
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(flags.to_ne_bytes());
    bytes.extend(seq.to_ne_bytes());
    // The kernel fills in the port.
    bytes.extend([0; 4]);
    bytes.extend(head);
    let mut out = Writer::after(bytes);
    encode(&mut out);
    let mut bytes = out.into_bytes();
    let len = u32::try_from(bytes.len()).expect("a request is shorter than 4 GiB");
    bytes[..4].copy_from_slice(&len.to_ne_bytes());
    bytes
}

/// A received message, header included.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Message<'a> {
    bytes: &'a [u8],
    pub(crate) kind: u16,
    pub(crate) flags: u16,
    pub(crate) seq: u32,
}

/// The messages of one datagram.
#[derive(Debug)]
pub(crate) struct Messages<'a>(pub(crate) &'a [u8]);

impl<'a> Iterator for Messages<'a> {
    type Item = Result<Message<'a>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        let bytes = std::mem::take(&mut self.0);
        if bytes.is_empty() {
            return None;
        }
        let [
            l0,
            l1,
            l2,
            l3,
            t0,
            t1,
            f0,
            f1,
            s0,
            s1,
            s2,
            s3,
            _,
            _,
            _,
            _,
            ..,
        ] = *bytes
        else {
            return Some(Err(Malformed("truncated message header")));
        };
        let len = u32::from_ne_bytes([l0, l1, l2, l3]) as usize;
        if len < NLMSG_HEADER_LEN || len > bytes.len() {
            return Some(Err(Malformed("message length out of range")));
        }
        self.0 = bytes.get(align(len)..).unwrap_or_default();
        Some(Ok(Message {
            bytes: &bytes[..len],
            kind: u16::from_ne_bytes([t0, t1]),
            flags: u16::from_ne_bytes([f0, f1]),
            seq: u32::from_ne_bytes([s0, s1, s2, s3]),
        }))
    }
}

/// The outcome of a request, as an acknowledgement tells it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ack {
    /// 0, or a positive errno.
    pub(crate) errno: i32,
    pub(crate) message: Option<String>,
    pub(crate) attribute: Option<String>,
}

impl Ack {
    /// The error, or on success the kernel's warning.
    pub(crate) fn into_result(self) -> Result<Option<String>, Error> {
        if self.errno == 0 {
            return Ok(self.message);
        }
        Err(Error::Kernel {
            errno: self.errno,
            message: self.message,
            attribute: self.attribute,
        })
    }
}

impl<'a> Message<'a> {
    /// The command of a generic netlink message.
    pub(crate) fn cmd(&self) -> Result<u8, Malformed> {
        if self.bytes.len() < ATTRS_OFFSET {
            return Err(Malformed("truncated generic netlink header"));
        }
        Ok(self.bytes[NLMSG_HEADER_LEN])
    }

    /// What comes after the header.
    pub(crate) fn payload(&self) -> &'a [u8] {
        self.bytes.get(NLMSG_HEADER_LEN..).unwrap_or_default()
    }

    /// The attributes of a generic netlink message.
    pub(crate) fn attrs(&self) -> Attrs<'a> {
        Attrs::new(self.bytes, ATTRS_OFFSET)
    }

    /// Reads an `NLMSG_ERROR`, or an `NLMSG_DONE`, that answers `request`.
    pub(crate) fn ack(&self, request: &[u8], names: &Set) -> Result<Ack, Malformed> {
        const CODE_END: usize = NLMSG_HEADER_LEN + 4;
        let code: [u8; 4] = self
            .bytes
            .get(NLMSG_HEADER_LEN..CODE_END)
            .and_then(|code| code.try_into().ok())
            .ok_or(Malformed("truncated acknowledgement"))?;
        let mut ack = Ack {
            errno: i32::from_ne_bytes(code).wrapping_neg(),
            ..Ack::default()
        };
        if self.flags & NLM_F_ACK_TLVS == 0 {
            return Ok(ack);
        }
        // An error holds the request, or its header alone; a DONE does not.
        let tlvs = if self.kind == NLMSG_DONE {
            CODE_END
        } else if self.flags & NLM_F_CAPPED != 0 {
            CODE_END + NLMSG_HEADER_LEN
        } else {
            let inner = Messages(&self.bytes[CODE_END..])
                .next()
                .ok_or(Malformed("acknowledgement without its request"))??;
            CODE_END + align(inner.bytes.len())
        };
        let (mut offset, mut missing, mut missing_in) = (None, None, None);
        for attr in Attrs::new(self.bytes, tlvs) {
            let attr = attr?;
            match attr.id() {
                NLMSGERR_ATTR_MSG => ack.message = Some(attr.string()),
                NLMSGERR_ATTR_OFFS => offset = Some(attr.u32()? as usize),
                NLMSGERR_ATTR_MISS_TYPE => missing = u16::try_from(attr.u32()?).ok(),
                NLMSGERR_ATTR_MISS_NEST => missing_in = Some(attr.u32()? as usize),
                _ => {}
            }
        }
        let attrs = Attrs::new(request, ATTRS_OFFSET);
        ack.attribute = match (missing, missing_in, offset) {
            (Some(id), None, _) => Some(names.missing(id)),
            (Some(id), Some(nest), _) => names.path(attrs, nest, Some(id)),
            (None, _, Some(offset)) => names.path(attrs, offset, None),
            (None, _, None) => None,
        };
        Ok(ack)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::generated::{Flow, SpliceNewRequest};

    /// What an acknowledgement holds besides the header of the request.
    #[derive(Debug, Default)]
    pub(crate) struct AckOf<'a> {
        pub(crate) errno: i32,
        pub(crate) message: Option<&'a str>,
        pub(crate) offset: Option<usize>,
        pub(crate) missing: Option<(u16, Option<usize>)>,
        /// Whether the whole request comes back.
        pub(crate) uncapped: bool,
    }

    /// A message as the kernel sends it.
    pub(crate) fn from_kernel(kind: u16, flags: u16, seq: u32, payload: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        let len = u32::try_from(NLMSG_HEADER_LEN + payload.len()).expect("it is short");
        bytes.extend(len.to_ne_bytes());
        bytes.extend(kind.to_ne_bytes());
        bytes.extend(flags.to_ne_bytes());
        bytes.extend(seq.to_ne_bytes());
        bytes.extend([0; 4]);
        bytes.extend(payload);
        bytes.resize(align(bytes.len()), 0);
        bytes
    }

    pub(crate) fn ack_of(request: &[u8], ack: &AckOf<'_>) -> Vec<u8> {
        let seq = u32::from_ne_bytes(request[8..12].try_into().expect("a header"));
        let mut flags = 0;
        let mut payload = (-ack.errno).to_ne_bytes().to_vec();
        if ack.uncapped {
            payload.extend(request);
        } else {
            flags |= NLM_F_CAPPED;
            payload.extend(&request[..NLMSG_HEADER_LEN]);
        }
        let number = |n: usize| u32::try_from(n).expect("it is small");
        let before = payload.len();
        let mut out = Writer::after(payload);
        if let Some(text) = ack.message {
            out.string(NLMSGERR_ATTR_MSG, text);
        }
        if let Some(offset) = ack.offset {
            out.u32(NLMSGERR_ATTR_OFFS, number(offset));
        }
        if let Some((id, nest)) = ack.missing {
            if let Some(nest) = nest {
                out.u32(NLMSGERR_ATTR_MISS_NEST, number(nest));
            }
            out.u32(NLMSGERR_ATTR_MISS_TYPE, id.into());
        }
        let payload = out.into_bytes();
        if payload.len() > before {
            flags |= NLM_F_ACK_TLVS;
        }
        from_kernel(NLMSG_ERROR, flags, seq, &payload)
    }

    fn request() -> Vec<u8> {
        let flow = Flow {
            saddr: Some([192, 0, 2, 1].into()),
            wscale_in: Some(15),
            ..Flow::default()
        };
        let new = SpliceNewRequest {
            client_fd: Some(5),
            to_server: Some(&flow),
            idle_timeout: Some(60_000),
            ..SpliceNewRequest::default()
        };
        let flags = NLM_F_REQUEST | NLM_F_ACK;
        build(0x1c, flags, 7, SpliceNewRequest::CMD, |out| new.encode(out))
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn a_request_is_these_bytes() {
        #[rustfmt::skip]
        let expected = [
            // Length, type, flags, sequence, port.
            56, 0, 0, 0,  0x1c, 0,  0x05, 0,  7, 0, 0, 0,  0, 0, 0, 0,
            // Command, version.
            1, 1, 0, 0,
            // client-fd.
            8, 0, 2, 0,  5, 0, 0, 0,
            // to-server, with saddr and wscale-in.
            20, 0, 4, 0x80,
            8, 0, 1, 0,  192, 0, 2, 1,
            8, 0, 13, 0,  15, 0, 0, 0,
            // idle-timeout.
            8, 0, 6, 0,  0x60, 0xea, 0, 0,
        ];
        assert_eq!(request(), expected);
    }

    fn ack(ack: &AckOf<'_>) -> Ack {
        let request = request();
        let bytes = ack_of(&request, ack);
        let message = Messages(&bytes).next().expect("there is one");
        let message = message.expect("it is well formed");
        message
            .ack(&request, SpliceNewRequest::ATTRS)
            .expect("it is well formed")
    }

    #[test]
    fn an_error_names_the_attribute_at_its_offset() {
        for uncapped in [false, true] {
            let top = ack(&AckOf {
                errno: 22,
                message: Some("not a TCP socket"),
                offset: Some(20),
                uncapped,
                ..AckOf::default()
            });
            assert_eq!(top.errno, 22);
            assert_eq!(top.message.as_deref(), Some("not a TCP socket"));
            assert_eq!(top.attribute.as_deref(), Some("client-fd"));
        }
        let nested = ack(&AckOf {
            errno: 34,
            offset: Some(40),
            ..AckOf::default()
        });
        assert_eq!(nested.attribute.as_deref(), Some("to-server.wscale-in"));
        let nowhere = ack(&AckOf {
            errno: 34,
            offset: Some(41),
            ..AckOf::default()
        });
        assert_eq!(nowhere.attribute, None);
    }

    #[test]
    fn an_error_names_the_attribute_that_is_missing() {
        let top = ack(&AckOf {
            errno: 22,
            missing: Some((3, None)),
            ..AckOf::default()
        });
        assert_eq!(top.attribute.as_deref(), Some("server-fd"));
        let nested = ack(&AckOf {
            errno: 22,
            missing: Some((2, Some(28))),
            ..AckOf::default()
        });
        assert_eq!(nested.attribute.as_deref(), Some("to-server.daddr"));
        let unknown = ack(&AckOf {
            errno: 22,
            missing: Some((99, None)),
            ..AckOf::default()
        });
        assert_eq!(unknown.attribute.as_deref(), Some("attribute 99"));
    }

    #[test]
    fn an_error_reads_well() {
        let text = |errno, message: Option<&str>, attribute: Option<&str>| {
            Error::Kernel {
                errno,
                message: message.map(String::from),
                attribute: attribute.map(String::from),
            }
            .to_string()
        };
        assert_eq!(
            text(22, Some("wscale exceeds 14"), Some("to-server.wscale-in")),
            "wscale exceeds 14 (to-server.wscale-in)"
        );
        assert_eq!(text(2, None, None), "No such file or directory");
        assert_eq!(
            text(1, None, None),
            "Operation not permitted; CAP_NET_ADMIN is needed"
        );
    }

    #[test]
    fn damaged_messages_are_errors() {
        let request = request();
        let good = ack_of(&request, &AckOf::default());
        for end in 1..good.len() {
            let cut = &good[..end];
            let first = Messages(cut).next().expect("there are bytes");
            assert!(first.is_err(), "{end}");
        }
        // A length below that of a header would never advance.
        let mut short = good.clone();
        short[..4].copy_from_slice(&8u32.to_ne_bytes());
        assert!(Messages(&short).next().is_some_and(|m| m.is_err()));
        // An acknowledgement without its code.
        let empty = from_kernel(NLMSG_ERROR, 0, 7, &[]);
        let message = Messages(&empty).next().expect("there is one");
        let message = message.expect("it is well formed");
        assert!(message.ack(&request, SpliceNewRequest::ATTRS).is_err());
    }
}
