// SPDX-License-Identifier: GPL-2.0

//! Netlink attributes: a length, an id and a value, each padded to four bytes.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

const HEADER_LEN: usize = 4;
const ALIGN: usize = 4;
/// Bits of an id that say how the value is laid out.
const NESTED: u16 = 1 << 15;
const NET_BYTEORDER: u16 = 1 << 14;

/// A message that does not follow the format.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("malformed message from the kernel: {0}")]
pub struct Malformed(pub(crate) &'static str);

/// `len` with its padding.
pub(crate) const fn align(len: usize) -> usize {
    len.next_multiple_of(ALIGN)
}

/// The attributes of a message or of a nest, in order.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Attrs<'a> {
    bytes: &'a [u8],
    /// Where `bytes` starts in the message.
    offset: usize,
}

impl<'a> Attrs<'a> {
    /// The attributes that fill `message` from `offset` to its end.
    pub(crate) fn new(message: &'a [u8], offset: usize) -> Self {
        Attrs {
            bytes: message.get(offset..).unwrap_or_default(),
            offset,
        }
    }
}

impl<'a> Iterator for Attrs<'a> {
    type Item = Result<Attr<'a>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        let bytes = std::mem::take(&mut self.bytes);
        if bytes.is_empty() {
            return None;
        }
        let [l0, l1, t0, t1, ..] = *bytes else {
            return Some(Err(Malformed("truncated attribute header")));
        };
        let len = usize::from(u16::from_ne_bytes([l0, l1]));
        let Some(value) = bytes.get(HEADER_LEN..len) else {
            return Some(Err(Malformed("attribute length out of range")));
        };
        let attr = Attr {
            id: u16::from_ne_bytes([t0, t1]) & !(NESTED | NET_BYTEORDER),
            value,
            offset: self.offset,
        };
        // The last attribute may come without its padding.
        self.bytes = bytes.get(align(len)..).unwrap_or_default();
        self.offset += align(len);
        Some(Ok(attr))
    }
}

/// One attribute.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Attr<'a> {
    id: u16,
    value: &'a [u8],
    offset: usize,
}

impl<'a> Attr<'a> {
    pub(crate) fn id(&self) -> u16 {
        self.id
    }

    /// Where its header starts in the message.
    pub(crate) fn offset(&self) -> usize {
        self.offset
    }

    fn array<const N: usize>(&self) -> Result<[u8; N], Malformed> {
        self.value
            .try_into()
            .map_err(|_| Malformed("attribute of an unexpected length"))
    }

    pub(crate) fn u16(&self) -> Result<u16, Malformed> {
        self.array().map(u16::from_ne_bytes)
    }

    pub(crate) fn be16(&self) -> Result<u16, Malformed> {
        self.array().map(u16::from_be_bytes)
    }

    pub(crate) fn u32(&self) -> Result<u32, Malformed> {
        self.array().map(u32::from_ne_bytes)
    }

    /// A number that takes four bytes or eight.
    pub(crate) fn uint(&self) -> Result<u64, Malformed> {
        if self.value.len() == 4 {
            self.u32().map(u64::from)
        } else {
            self.array().map(u64::from_ne_bytes)
        }
    }

    pub(crate) fn address(&self) -> Result<IpAddr, Malformed> {
        if self.value.len() == 4 {
            Ok(Ipv4Addr::from(self.array::<4>()?).into())
        } else {
            Ok(Ipv6Addr::from(self.array::<16>()?).into())
        }
    }

    /// Bytes of any meaning.
    pub(crate) fn octets(&self) -> Vec<u8> {
        self.value.to_vec()
    }

    /// A text, up to its first NUL.
    pub(crate) fn string(&self) -> String {
        let text = self.value.split(|&b| b == 0).next().unwrap_or_default();
        String::from_utf8_lossy(text).into_owned()
    }

    pub(crate) fn nested(&self) -> Attrs<'a> {
        Attrs {
            bytes: self.value,
            offset: self.offset + HEADER_LEN,
        }
    }
}

/// A message being written.
#[derive(Debug, Default)]
pub(crate) struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    /// Writes after `bytes`.
    pub(crate) fn after(bytes: Vec<u8>) -> Self {
        Writer { bytes }
    }

    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    fn put(&mut self, id: u16, fill: impl FnOnce(&mut Self)) {
        let start = self.bytes.len();
        self.bytes.extend([0; 2]);
        self.bytes.extend(id.to_ne_bytes());
        fill(self);
        let len = self.bytes.len() - start;
        // What a request holds is far below 64 KiB: the largest nest has 23 small attributes, and bytes come in pieces.
        let len_field = u16::try_from(len).expect("an attribute is shorter than 64 KiB");
        self.bytes[start..start + 2].copy_from_slice(&len_field.to_ne_bytes());
        self.bytes.resize(start + align(len), 0);
    }

    pub(crate) fn bytes(&mut self, id: u16, value: &[u8]) {
        self.put(id, |this| this.bytes.extend(value));
    }

    pub(crate) fn be16(&mut self, id: u16, value: u16) {
        self.bytes(id, &value.to_be_bytes());
    }

    pub(crate) fn u32(&mut self, id: u16, value: u32) {
        self.bytes(id, &value.to_ne_bytes());
    }

    /// A number in as few bytes as it needs: four or eight.
    pub(crate) fn uint(&mut self, id: u16, value: u64) {
        match u32::try_from(value) {
            Ok(value) => self.u32(id, value),
            Err(_) => self.bytes(id, &value.to_ne_bytes()),
        }
    }

    pub(crate) fn address(&mut self, id: u16, value: IpAddr) {
        match value {
            IpAddr::V4(v4) => self.bytes(id, &v4.octets()),
            IpAddr::V6(v6) => self.bytes(id, &v6.octets()),
        }
    }

    pub(crate) fn string(&mut self, id: u16, value: &str) {
        self.put(id, |this| {
            this.bytes.extend(value.as_bytes());
            this.bytes.push(0);
        });
    }

    pub(crate) fn nested(&mut self, id: u16, fill: impl FnOnce(&mut Self)) {
        self.put(id | NESTED, fill);
    }
}

/// Names of the attributes of one space; the id of the first is 1.
#[derive(Debug)]
pub(crate) struct Set(pub(crate) &'static [Field]);

/// The name of an attribute and what is in it, if it is a nest.
#[derive(Debug)]
pub(crate) struct Field {
    pub(crate) name: &'static str,
    pub(crate) nest: Option<&'static Set>,
}

impl Set {
    pub(crate) fn field(&self, id: u16) -> Option<&'static Field> {
        usize::from(id)
            .checked_sub(1)
            .and_then(|index| self.0.get(index))
    }

    fn name(&self, id: u16) -> String {
        self.field(id)
            .map_or_else(|| format!("attribute {id}"), |field| field.name.to_string())
    }

    /// The name, with those of the nests around it (`to-server.saddr`), of the attribute of
    /// `attrs` whose header is at `offset`; with `missing`, of that one inside of it.
    pub(crate) fn path(
        &self,
        attrs: Attrs<'_>,
        offset: usize,
        missing: Option<u16>,
    ) -> Option<String> {
        for attr in attrs {
            let attr = attr.ok()?;
            let name = self.name(attr.id());
            let nest = self.field(attr.id()).and_then(|field| field.nest);
            if attr.offset() == offset {
                return match (missing, nest) {
                    (Some(id), Some(nest)) => Some(format!("{name}.{}", nest.name(id))),
                    (Some(id), None) => Some(format!("{name}.{id}")),
                    (None, _) => Some(name),
                };
            }
            if let Some(nest) = nest {
                if let Some(inner) = nest.path(attr.nested(), offset, missing) {
                    return Some(format!("{name}.{inner}"));
                }
            }
        }
        None
    }

    /// The name of an attribute that the message itself lacks.
    pub(crate) fn missing(&self, id: u16) -> String {
        self.name(id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Little-endian bytes are what the expectations are written in.
    const LITTLE: bool = cfg!(target_endian = "little");

    fn written(fill: impl FnOnce(&mut Writer)) -> Vec<u8> {
        let mut out = Writer::default();
        fill(&mut out);
        out.into_bytes()
    }

    #[test]
    fn values_have_their_length_and_padding() {
        if !LITTLE {
            return;
        }
        assert_eq!(written(|out| out.u32(2, 5)), [8, 0, 2, 0, 5, 0, 0, 0]);
        assert_eq!(
            written(|out| out.be16(3, 0x1f90)),
            [6, 0, 3, 0, 0x1f, 0x90, 0, 0]
        );
        assert_eq!(written(|out| out.uint(1, 7)), [8, 0, 1, 0, 7, 0, 0, 0]);
        assert_eq!(
            written(|out| out.uint(1, 1 << 32)),
            [12, 0, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0]
        );
        assert_eq!(
            written(|out| out.address(1, Ipv4Addr::new(192, 0, 2, 1).into())),
            [8, 0, 1, 0, 192, 0, 2, 1]
        );
        assert_eq!(
            written(|out| out.string(2, "ab")),
            [7, 0, 2, 0, b'a', b'b', 0, 0]
        );
        assert_eq!(
            written(|out| out.nested(4, |out| out.be16(1, 1))),
            [12, 0, 4, 0x80, 6, 0, 1, 0, 0, 1, 0, 0]
        );
    }

    #[test]
    fn values_are_read_back() {
        let bytes = written(|out| {
            out.u32(1, u32::MAX);
            out.be16(2, 443);
            out.uint(3, u64::MAX);
            out.uint(4, 9);
            out.address(5, Ipv6Addr::LOCALHOST.into());
            out.nested(6, |out| out.string(1, "text"));
        });
        let attrs: Vec<Attr<'_>> = Attrs::new(&bytes, 0)
            .collect::<Result<_, _>>()
            .expect("what was written is well formed");
        let ids: Vec<u16> = attrs.iter().map(Attr::id).collect();
        assert_eq!(ids, [1, 2, 3, 4, 5, 6]);
        assert_eq!(attrs[0].u32(), Ok(u32::MAX));
        assert_eq!(attrs[1].be16(), Ok(443));
        assert_eq!(attrs[2].uint(), Ok(u64::MAX));
        assert_eq!(attrs[3].uint(), Ok(9));
        assert_eq!(attrs[4].address(), Ok(Ipv6Addr::LOCALHOST.into()));
        let inner = attrs[5].nested().next().expect("there is one");
        assert_eq!(inner.expect("it is well formed").string(), "text");
    }

    #[test]
    fn wrong_lengths_are_errors_and_end_the_walk() {
        for bytes in [
            // Shorter than a header, than itself, than its length says.
            &[4, 0, 1][..],
            &[3, 0, 1, 0],
            &[0, 0, 1, 0],
            &[9, 0, 1, 0, 0, 0, 0, 0],
        ] {
            let mut attrs = Attrs::new(bytes, 0);
            assert!(attrs.next().is_some_and(|attr| attr.is_err()), "{bytes:?}");
            assert!(attrs.next().is_none(), "{bytes:?}");
        }
        let bytes = written(|out| out.bytes(1, &[1, 2, 3]));
        let attr = Attrs::new(&bytes, 0).next().expect("there is one");
        let attr = attr.expect("it is well formed");
        assert!(attr.u32().is_err());
        assert!(attr.uint().is_err());
        assert!(attr.be16().is_err());
        assert!(attr.address().is_err());
    }

    #[test]
    fn the_last_attribute_may_lack_its_padding() {
        let bytes = written(|out| out.be16(1, 80));
        let attr = Attrs::new(&bytes[..6], 0).next().expect("there is one");
        assert_eq!(attr.and_then(|attr| attr.be16()), Ok(80));
        assert_eq!(Attrs::new(&bytes[..6], 0).count(), 1);
        assert_eq!(Attrs::new(&bytes, 400).count(), 0);
    }
}
