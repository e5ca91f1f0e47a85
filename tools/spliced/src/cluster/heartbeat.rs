// SPDX-License-Identifier: GPL-2.0

//! Heartbeats as datagrams: sealed, numbered, and nothing to anybody without the key.
//!
//! A node draws its key when it starts and tells it to each peer over TLS. A datagram is a head in
//! the clear (version, node, incarnation, number) and a [`Beat`] sealed with ChaCha20-Poly1305, the
//! number being the nonce and the head authenticated. A number is used once, and taken once.

use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};

use super::node::Beat;
use super::row::NodeId;

/// The only version that this program speaks.
const VERSION: u8 = 1;
/// Version, node, incarnation, number.
const HEAD: usize = 1 + 4 + 8 + 8;
/// No datagram is longer.
pub const MAX: usize = 256;

fn key(bytes: &[u8; 32]) -> Option<LessSafeKey> {
    UnboundKey::new(&CHACHA20_POLY1305, bytes)
        .ok()
        .map(LessSafeKey::new)
}

fn nonce(number: u64) -> Nonce {
    let mut bytes = [0; 12];
    bytes[4..].copy_from_slice(&number.to_be_bytes());
    Nonce::assume_unique_for_key(bytes)
}

/// The heartbeats of this node.
#[derive(Debug)]
pub struct Sealer {
    me: NodeId,
    incarnation: u64,
    key: Option<LessSafeKey>,
    number: u64,
}

impl Sealer {
    /// With a key that is used for nothing else and never again.
    pub fn new(me: NodeId, incarnation: u64, bytes: &[u8; 32]) -> Sealer {
        Sealer {
            me,
            incarnation,
            key: key(bytes),
            number: 0,
        }
    }

    /// The next datagram.
    pub fn seal(&mut self, beat: &Beat) -> Option<Vec<u8>> {
        self.number = self.number.checked_add(1)?;
        let mut head = Vec::with_capacity(MAX);
        head.push(VERSION);
        head.extend(self.me.0.to_be_bytes());
        head.extend(self.incarnation.to_be_bytes());
        head.extend(self.number.to_be_bytes());
        let mut body = postcard::to_stdvec(beat).ok()?;
        self.key
            .as_ref()?
            .seal_in_place_append_tag(nonce(self.number), Aad::from(&head), &mut body)
            .ok()?;
        head.append(&mut body);
        Some(head)
    }
}

/// The sender that a datagram claims.
pub fn claimed(datagram: &[u8]) -> Option<NodeId> {
    let (&version, rest) = datagram.split_first()?;
    if version != VERSION || datagram.len() < HEAD {
        return None;
    }
    Some(NodeId(u32::from_be_bytes(*rest.first_chunk()?)))
}

/// The heartbeats of one peer.
#[derive(Debug)]
pub struct Opener {
    from: NodeId,
    incarnation: u64,
    key: Option<LessSafeKey>,
    last: u64,
}

impl Opener {
    /// Takes what is sealed with this key.
    pub fn new(from: NodeId, incarnation: u64, bytes: &[u8; 32]) -> Opener {
        Opener {
            from,
            incarnation,
            key: key(bytes),
            last: 0,
        }
    }

    /// Which process of the peer it is for.
    pub fn incarnation(&self) -> u64 {
        self.incarnation
    }

    /// The heartbeat of a datagram that is authentic and newer than all before.
    pub fn open(&mut self, datagram: &[u8]) -> Option<Beat> {
        let (head, sealed) = datagram.split_at_checked(HEAD)?;
        let incarnation = u64::from_be_bytes(*head.get(5..13)?.first_chunk()?);
        let number = u64::from_be_bytes(*head.get(13..21)?.first_chunk()?);
        if claimed(datagram)? != self.from
            || incarnation != self.incarnation
            || number <= self.last
            || datagram.len() > MAX
        {
            return None;
        }
        let mut sealed = sealed.to_vec();
        let plain = self
            .key
            .as_ref()?
            .open_in_place(nonce(number), Aad::from(head), &mut sealed)
            .ok()?;
        let beat: Beat = postcard::from_bytes(plain).ok()?;
        self.last = number;
        Some(Beat {
            incarnation,
            ..beat
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const BEAT: Beat = Beat {
        incarnation: 9,
        ready: true,
        draining: false,
        rows: 1 << 40,
        load: 500,
    };

    fn both() -> (Sealer, Opener) {
        (
            Sealer::new(NodeId(3), 9, &[5; 32]),
            Opener::new(NodeId(3), 9, &[5; 32]),
        )
    }

    #[test]
    fn each_counts_once_and_in_order() {
        let (mut sealer, mut opener) = both();
        let [one, two, three] = [(); 3].map(|()| sealer.seal(&BEAT).unwrap());
        assert!(one.len() <= MAX);
        assert_eq!(claimed(&one), Some(NodeId(3)));
        assert_eq!(opener.open(&one), Some(BEAT));
        assert_eq!(opener.open(&one), None, "a replay");
        assert_eq!(opener.open(&three), Some(BEAT));
        assert_eq!(opener.open(&two), None, "it is older");
    }

    #[test]
    fn another_key_or_process_is_nothing() {
        let (mut sealer, _) = both();
        let datagram = sealer.seal(&BEAT).unwrap();
        for (from, incarnation, key) in [(3, 9, [6; 32]), (3, 8, [5; 32]), (4, 9, [5; 32])] {
            let mut opener = Opener::new(NodeId(from), incarnation, &key);
            assert_eq!(opener.open(&datagram), None);
        }
    }

    proptest! {
        #[test]
        fn any_change_is_noticed(at in any::<prop::sample::Index>(), bits in 1u8..) {
            let (mut sealer, mut opener) = both();
            let mut datagram = sealer.seal(&BEAT).unwrap();
            let at = at.index(datagram.len());
            datagram[at] ^= bits;
            prop_assert_eq!(opener.open(&datagram), None);
            datagram[at] ^= bits;
            prop_assert_eq!(opener.open(&datagram), Some(BEAT));
            prop_assert_eq!(opener.open(&datagram[..at]), None);
        }

        #[test]
        fn any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let (_, mut opener) = both();
            prop_assert_eq!(opener.open(&bytes), None);
        }
    }
}
