// SPDX-License-Identifier: GPL-2.0

//! Flow keys: which packets belong to one direction of one connection.

/// The IP version of a flow, as the version field of the packets has it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u32)]
pub enum Family {
    /// IPv4 (RFC 791).
    V4 = 4,
    /// IPv6 (RFC 8200).
    V6 = 6,
}

impl Family {
    /// Length of an address, in bytes: 4 or 16.
    #[inline]
    pub const fn addr_len(self) -> usize {
        match self {
            Family::V4 => 4,
            Family::V6 => 16,
        }
    }
}

/// Addresses and ports of the packets of a flow.
///
/// The layout has no padding and unused bytes are zero, so equal keys are equal byte by byte and a
/// key can be hashed as memory. Everything but `family` is in network order.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FlowKey {
    /// Source address; an IPv4 address stands in the first four bytes, and the rest is zero.
    pub saddr: [u8; 16],
    /// Destination address, like `saddr`.
    pub daddr: [u8; 16],
    /// Source port.
    pub sport: [u8; 2],
    /// Destination port.
    pub dport: [u8; 2],
    /// IP version, which says how much of the addresses counts.
    pub family: Family,
}

// Hashing a key as memory depends on this.
const _: () = assert!(core::mem::size_of::<FlowKey>() == 40);

/// An IPv4 address in the room of an IPv6 one.
const fn widen(addr: [u8; 4]) -> [u8; 16] {
    let [a, b, c, d] = addr;
    [a, b, c, d, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]
}

impl FlowKey {
    /// The key of the packets that answer these.
    #[inline]
    pub const fn reverse(&self) -> FlowKey {
        FlowKey {
            saddr: self.daddr,
            daddr: self.saddr,
            sport: self.dport,
            dport: self.sport,
            family: self.family,
        }
    }

    /// The key of an IPv4 flow; addresses in network order, ports in host order.
    #[inline]
    pub const fn v4(saddr: [u8; 4], sport: u16, daddr: [u8; 4], dport: u16) -> FlowKey {
        FlowKey {
            saddr: widen(saddr),
            daddr: widen(daddr),
            sport: sport.to_be_bytes(),
            dport: dport.to_be_bytes(),
            family: Family::V4,
        }
    }

    /// The key of an IPv6 flow; addresses in network order, ports in host order.
    #[inline]
    pub const fn v6(saddr: [u8; 16], sport: u16, daddr: [u8; 16], dport: u16) -> FlowKey {
        FlowKey {
            saddr,
            daddr,
            sport: sport.to_be_bytes(),
            dport: dport.to_be_bytes(),
            family: Family::V6,
        }
    }

    /// The bytes of the source address that count.
    #[inline]
    pub fn source(&self) -> &[u8] {
        self.saddr.get(..self.family.addr_len()).unwrap_or(&[])
    }

    /// The bytes of the destination address that count.
    #[inline]
    pub fn destination(&self) -> &[u8] {
        self.daddr.get(..self.family.addr_len()).unwrap_or(&[])
    }

    /// Source port in host order.
    #[inline]
    pub const fn source_port(&self) -> u16 {
        u16::from_be_bytes(self.sport)
    }

    /// Destination port in host order.
    #[inline]
    pub const fn destination_port(&self) -> u16 {
        u16::from_be_bytes(self.dport)
    }

    /// Both addresses of an IPv4 key, source first.
    #[inline]
    pub(super) const fn v4_addresses(&self) -> ([u8; 4], [u8; 4]) {
        let [s0, s1, s2, s3, ..] = self.saddr;
        let [d0, d1, d2, d3, ..] = self.daddr;
        ([s0, s1, s2, s3], [d0, d1, d2, d3])
    }
}

#[cfg(any(test, CONFIG_KUNIT = "y"))]
#[cfg_attr(CONFIG_KUNIT = "y", kernel::prelude::kunit_tests(tcp_splice_xlate_key))]
mod tests {
    use super::*;

    #[test]
    fn v4_takes_the_first_four_bytes() {
        let key = FlowKey::v4([192, 0, 2, 1], 0x1234, [192, 0, 2, 2], 80);
        assert_eq!(key.source(), [192, 0, 2, 1]);
        assert_eq!(key.destination(), [192, 0, 2, 2]);
        assert_eq!(
            key.saddr,
            [192, 0, 2, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]
        );
        assert_eq!(key.sport, [0x12, 0x34]);
        assert_eq!(key.source_port(), 0x1234);
        assert_eq!(key.destination_port(), 80);
    }

    #[test]
    fn reverse_swaps_the_ends() {
        let key = FlowKey::v6([1; 16], 1000, [2; 16], 2000);
        assert_eq!(key.reverse(), FlowKey::v6([2; 16], 2000, [1; 16], 1000));
        assert_eq!(key.reverse().reverse(), key);
        assert_eq!(key.source().len(), 16);
    }
}
