// SPDX-License-Identifier: GPL-2.0

//! The model: a packet as a record of fields, translated the slow and obvious way.
//!
//! A packet is taken apart into fields and a list of options, the arithmetic is done on wide
//! integers and reduced afterwards, and the packet is put together again with checksums over
//! everything. Nothing here is used by the code under test, nor the other way round: only the
//! types in which an edit is described are shared.

use xlate::{ChecksumField, Edit, Family, Seq};

/// One TCP option.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Opt {
    Nop,
    Sack(Vec<(u32, u32)>),
    Timestamps(u32, u32),
    /// Kind and data of anything else.
    Other(u8, Vec<u8>),
    /// From the end of the list to the end of the header.
    Tail(Vec<u8>),
}

/// A TCP packet.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Packet {
    pub(crate) family: Family,
    /// Type of service or traffic class.
    pub(crate) tos: u8,
    /// Identification (IPv4) or flow label (IPv6).
    pub(crate) id: u32,
    /// TTL or hop limit.
    pub(crate) ttl: u8,
    pub(crate) saddr: Vec<u8>,
    pub(crate) daddr: Vec<u8>,
    /// IPv4 options, in whole words.
    pub(crate) ip_options: Vec<u8>,
    /// IPv6 extension headers: number and content after the first two bytes, 8n + 6 of them.
    pub(crate) extensions: Vec<(u8, Vec<u8>)>,
    pub(crate) sport: u16,
    pub(crate) dport: u16,
    pub(crate) seq: u32,
    pub(crate) ack: u32,
    /// The four bits after the data offset.
    pub(crate) reserved: u8,
    pub(crate) flags: u8,
    pub(crate) window: u16,
    pub(crate) urgent: u16,
    pub(crate) options: Vec<Opt>,
    pub(crate) payload: Vec<u8>,
}

pub(crate) const SYN: u8 = 0x02;
pub(crate) const ACK: u8 = 0x10;

/// The ones' complement sum of the words of `bytes`, between 1 and 65535 unless all are zero.
pub(crate) fn ones_complement_sum(bytes: &[u8]) -> u16 {
    let mut sum: u128 = 0;
    for (i, byte) in bytes.iter().enumerate() {
        sum += u128::from(*byte) << if i % 2 == 0 { 8 } else { 0 };
    }
    match (sum % 65535, sum) {
        (_, 0) => 0,
        (0, _) => 65535,
        (n, _) => n as u16,
    }
}

/// The pseudo-header of IPv6; that of IPv4 has the same sum when made in this way.
pub(crate) fn pseudo_header(saddr: &[u8], daddr: &[u8], len: usize, protocol: u8) -> Vec<u8> {
    let mut bytes = [saddr, daddr].concat();
    bytes.extend((len as u32).to_be_bytes());
    bytes.extend([0, 0, 0, protocol]);
    bytes
}

/// `n` modulo 2^32.
fn wrap(n: i128) -> u32 {
    n.rem_euclid(1 << 32) as u32
}

/// How far `a` is ahead of `b`: between -2^31 and 2^31 - 1.
fn ahead(a: u32, b: u32) -> i128 {
    let d = i128::from(wrap(i128::from(a) - i128::from(b)));
    if d < 1 << 31 {
        d
    } else {
        d - (1 << 32)
    }
}

/// Takes an option list apart; `None` if an option has an impossible length.
pub(crate) fn parse_options(bytes: &[u8]) -> Option<Vec<Opt>> {
    let be = |b: &[u8]| u32::from_be_bytes(b.try_into().unwrap());
    let mut list = Vec::new();
    let mut i = 0;
    while i < bytes.len() {
        if bytes[i] == 0 {
            list.push(Opt::Tail(bytes[i..].to_vec()));
            break;
        }
        if bytes[i] == 1 {
            list.push(Opt::Nop);
            i += 1;
            continue;
        }
        let len = *bytes.get(i + 1)? as usize;
        if len < 2 || i + len > bytes.len() {
            return None;
        }
        let data = &bytes[i + 2..i + len];
        list.push(match bytes[i] {
            5 if len > 2 && (len - 2) % 8 == 0 => {
                Opt::Sack(data.chunks(8).map(|b| (be(&b[..4]), be(&b[4..]))).collect())
            }
            8 if len == 10 => Opt::Timestamps(be(&data[..4]), be(&data[4..])),
            kind => Opt::Other(kind, data.to_vec()),
        });
        i += len;
    }
    Some(list)
}

/// Puts an option list together.
pub(crate) fn emit_options(list: &[Opt]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for option in list {
        match option {
            Opt::Nop => bytes.push(1),
            Opt::Sack(blocks) => {
                bytes.extend([5, 2 + 8 * blocks.len() as u8]);
                for (left, right) in blocks {
                    bytes.extend(left.to_be_bytes());
                    bytes.extend(right.to_be_bytes());
                }
            }
            Opt::Timestamps(val, ecr) => {
                bytes.extend([8, 10]);
                bytes.extend(val.to_be_bytes());
                bytes.extend(ecr.to_be_bytes());
            }
            Opt::Other(kind, data) => {
                bytes.extend([*kind, 2 + data.len() as u8]);
                bytes.extend(data);
            }
            Opt::Tail(data) => bytes.extend(data),
        }
    }
    bytes
}

impl Packet {
    pub(crate) fn has_ack(&self) -> bool {
        self.flags & ACK != 0
    }

    /// Bytes of the IP header with all that belongs to it.
    pub(crate) fn ip_len(&self) -> usize {
        match self.family {
            Family::V4 => 20 + self.ip_options.len(),
            Family::V6 => {
                40 + self
                    .extensions
                    .iter()
                    .map(|(_, d)| 2 + d.len())
                    .sum::<usize>()
            }
        }
    }

    /// Bytes of the TCP header with its options.
    pub(crate) fn tcp_len(&self) -> usize {
        20 + emit_options(&self.options).len()
    }

    /// The packet as bytes, with the checksum field as `field` says.
    pub(crate) fn emit(&self, field: ChecksumField) -> Vec<u8> {
        let options = emit_options(&self.options);
        assert!(options.len() <= 40 && options.len() % 4 == 0);

        let mut tcp = Vec::new();
        tcp.extend(self.sport.to_be_bytes());
        tcp.extend(self.dport.to_be_bytes());
        tcp.extend(self.seq.to_be_bytes());
        tcp.extend(self.ack.to_be_bytes());
        tcp.push(((5 + options.len() / 4) << 4) as u8 | self.reserved);
        tcp.push(self.flags);
        tcp.extend(self.window.to_be_bytes());
        tcp.extend([0, 0]);
        tcp.extend(self.urgent.to_be_bytes());
        tcp.extend(options);
        tcp.extend(&self.payload);
        let pseudo = pseudo_header(&self.saddr, &self.daddr, tcp.len(), 6);
        let check = match field {
            ChecksumField::Whole => !ones_complement_sum(&[&pseudo[..], &tcp[..]].concat()),
            ChecksumField::PseudoHeader => ones_complement_sum(&pseudo),
        };
        tcp[16..18].copy_from_slice(&check.to_be_bytes());

        let mut packet = Vec::new();
        let total_len = self.ip_len() + tcp.len();
        match self.family {
            Family::V4 => {
                packet.push(0x40 | (self.ip_len() / 4) as u8);
                packet.push(self.tos);
                packet.extend((total_len as u16).to_be_bytes());
                packet.extend((self.id as u16).to_be_bytes());
                packet.extend([0x40, 0]);
                packet.extend([self.ttl, 6, 0, 0]);
                packet.extend(&self.saddr);
                packet.extend(&self.daddr);
                packet.extend(&self.ip_options);
                let check = !ones_complement_sum(&packet);
                packet[10..12].copy_from_slice(&check.to_be_bytes());
            }
            Family::V6 => {
                let first = (6 << 28) | (u32::from(self.tos) << 20) | (self.id & 0xf_ffff);
                packet.extend(first.to_be_bytes());
                packet.extend(((total_len - 40) as u16).to_be_bytes());
                let numbers = self.extensions.iter().map(|(number, _)| *number);
                let mut numbers = numbers.chain([6]);
                packet.extend([numbers.next().unwrap(), self.ttl]);
                packet.extend(&self.saddr);
                packet.extend(&self.daddr);
                for (_, data) in &self.extensions {
                    packet.extend([numbers.next().unwrap(), ((data.len() + 2) / 8 - 1) as u8]);
                    packet.extend(data);
                }
            }
        }
        packet.extend(tcp);
        packet
    }

    /// What `edit` is to make of the packet.
    pub(crate) fn edited(&self, edit: &Edit, floor: Option<Seq>) -> Packet {
        let mut p = self.clone();
        p.ttl = (i32::from(self.ttl) - 1).max(0) as u8;
        p.saddr = edit.out.saddr[..self.saddr.len()].to_vec();
        p.daddr = edit.out.daddr[..self.daddr.len()].to_vec();
        p.sport = u16::from_be_bytes(edit.out.sport);
        p.dport = u16::from_be_bytes(edit.out.dport);
        p.seq = wrap(i128::from(self.seq) + i128::from(edit.seq_delta));
        let to_out = |ack: u32| wrap(i128::from(ack) + i128::from(edit.ack_delta));

        // A SYN's window is in bytes.
        let unit_out = match self.flags & SYN {
            0 => 1i128 << edit.wscale_out.min(14),
            _ => 1,
        };
        if self.flags & SYN == 0 && self.window != 0 {
            let bytes = i128::from(self.window) << edit.wscale_in.min(14);
            // Room for a segment does not become none.
            let least = if bytes >= 536 { 1 } else { 0 };
            p.window = (bytes / unit_out).clamp(least, 65535) as u16;
        }

        if self.has_ack() {
            p.ack = to_out(self.ack);
            if let Some(floor) = floor
                .map(|f| f.0)
                .filter(|f| ahead(*f, p.ack) > 0 || ahead(p.ack, *f) == -(1 << 31))
            {
                // The largest window that ends no later than the old one does.
                let raised = i128::from(wrap(i128::from(floor) - i128::from(p.ack)));
                let end = i128::from(p.window) * unit_out;
                p.window = (0..=p.window)
                    .rev()
                    .find(|w| raised + i128::from(*w) * unit_out <= end)
                    .unwrap_or(0);
                p.ack = floor;
            }
        }

        p.options.clear();
        for option in &self.options {
            let len = emit_options(std::slice::from_ref(option)).len();
            let before = emit_options(&p.options).len();
            match option {
                Opt::Timestamps(val, ecr) if edit.timestamps => {
                    let val = wrap(i128::from(*val) + i128::from(edit.tsval_delta));
                    let ecr = match self.has_ack() {
                        true => wrap(i128::from(*ecr) + i128::from(edit.tsecr_delta)),
                        false => *ecr,
                    };
                    p.options.push(Opt::Timestamps(val, ecr));
                }
                Opt::Sack(blocks) if edit.sack => {
                    let mut kept = Vec::new();
                    for (left, right) in blocks {
                        let (mut left, right) = (to_out(*left), to_out(*right));
                        if let Some(Seq(floor)) = floor {
                            if ahead(right, floor) <= 0 && ahead(right, floor) != -(1 << 31) {
                                continue;
                            }
                            if ahead(floor, left) > 0 || ahead(left, floor) == -(1 << 31) {
                                left = floor;
                            }
                        }
                        kept.push((left, right));
                    }
                    if !kept.is_empty() {
                        p.options.push(Opt::Sack(kept));
                    }
                }
                Opt::Sack(_) => {}
                // Numbers that cannot be told apart are not let through.
                Opt::Other(5, _) => {}
                Opt::Other(8, _) if edit.timestamps => {}
                other => p.options.push(other.clone()),
            }
            // What was left out is filled up.
            while emit_options(&p.options).len() < before + len {
                p.options.push(Opt::Nop);
            }
        }
        p
    }

    /// The packet that answers this one: every field in the place of its counterpart. No SACK
    /// blocks, as a packet has none of what it sends itself.
    pub(crate) fn mirrored(&self) -> Packet {
        let mut p = self.clone();
        std::mem::swap(&mut p.saddr, &mut p.daddr);
        std::mem::swap(&mut p.sport, &mut p.dport);
        std::mem::swap(&mut p.seq, &mut p.ack);
        for option in &mut p.options {
            if let Opt::Timestamps(val, ecr) = option {
                std::mem::swap(val, ecr);
            }
        }
        p
    }
}
