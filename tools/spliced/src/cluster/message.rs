// SPDX-License-Identifier: GPL-2.0

//! What two nodes say to each other over their connection, and how it is written.
//!
//! A frame is the length of what follows (four bytes, big endian), the version of the protocol (one
//! byte), and one [`Message`] in the postcard encoding. Everything is bounded: the frame before it is
//! read, the lists after it.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::row::{Both, Key, NodeId, Reason, Row};
use super::table::BUCKETS;

/// The only version that this program speaks.
pub const VERSION: u8 = 3;
/// Bytes of a frame after its length.
pub const MAX_FRAME: usize = 128 << 10;
/// Rows, or news of rows, in one message.
pub const MAX_LIST: usize = 128;
/// Bytes of a part of a connection.
pub const MAX_PART: usize = 64 << 10;
/// Bytes of a text in a message.
const MAX_TEXT: usize = 256;

/// The first message each way.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// Who speaks; the certificate has to say the same.
    pub node: NodeId,
    /// Whom it means to speak to.
    pub to: NodeId,
    /// Drawn at random when its process started.
    pub incarnation: u64,
    /// What its heartbeats are sealed with.
    pub heartbeat_key: [u8; 32],
}

impl std::fmt::Debug for Hello {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Hello of {} to {}", self.node, self.to)
    }
}

/// One message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Message {
    /// Who I am.
    Hello(Hello),
    /// The digest of my table; send me your rows of the parts that differ.
    Digest(Vec<u64>),
    /// Rows, to be installed and acknowledged.
    Rows {
        /// To be named in the acknowledgement; grows by one.
        batch: u64,
        /// The rows.
        rows: Vec<Row>,
    },
    /// All rows of the batch are installed, or have ended here, but these.
    Acked {
        /// Which batch.
        batch: u64,
        /// The place in the batch, and why it was refused.
        refused: Vec<(u8, String)>,
    },
    /// Splices have come farther.
    Progress(Vec<(Key, Both)>),
    /// Splices have ended.
    Ended(Vec<(Key, Reason)>),
    /// You have all rows of the parts in which your last digest differed from mine.
    Synced,
    /// A part of a connection that moves to you.
    Handoff {
        /// To be named in the answer.
        ticket: u64,
        /// The next bytes of it in JSON.
        part: Vec<u8>,
        /// There are no more: let it be accepted, and answer.
        last: bool,
        /// Milliseconds after which no answer is waited for any more.
        within: u32,
    },
    /// You need not have the connection any more.
    HandedOff {
        /// That of the parts.
        ticket: u64,
        /// Why it is not here after all.
        refusal: Option<String>,
    },
    /// Have you these connections, which have moved to you?
    Has(Vec<Key>),
    /// I have not.
    HasNot(Vec<Key>),
}

/// Why a frame is not read any further; the connection ends.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum FrameError {
    /// Longer than anything this protocol says.
    #[error("a frame of {0} bytes; at most {MAX_FRAME} are allowed")]
    TooLong(usize),
    /// Of no length, or cut short.
    #[error("a frame without a message")]
    Empty,
    /// Another version of the protocol.
    #[error("protocol version {0}; this node speaks {VERSION}: run the same version on all nodes")]
    Version(u8),
    /// Not a message.
    #[error("a frame that is no message")]
    Malformed,
    /// A list longer than allowed.
    #[error("a list of {0}; at most {MAX_LIST} are allowed")]
    List(usize),
    /// A part longer than allowed.
    #[error("a part of {0} bytes; at most {MAX_PART} are allowed")]
    Part(usize),
    /// A digest of another number of parts.
    #[error("a digest of {0} parts; {BUCKETS} are needed")]
    Digest(usize),
    /// A text longer than allowed.
    #[error("a text of {0} bytes; at most {MAX_TEXT} are allowed")]
    Text(usize),
}

impl Message {
    /// The whole frame.
    pub fn frame(&self) -> Vec<u8> {
        let mut frame = vec![0, 0, 0, 0, VERSION];
        // Writing to a vector cannot fail, and these types have no length that is not known.
        frame = postcard::to_extend(self, frame).unwrap_or_default();
        let length = u32::try_from(frame.len().saturating_sub(4)).unwrap_or(0);
        if let Some(head) = frame.first_chunk_mut() {
            *head = length.to_be_bytes();
        }
        frame
    }

    /// The message of a frame whose length was read already.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with it. Never panics, and needs memory in proportion to `frame`.
    pub fn decode(frame: &[u8]) -> Result<Message, FrameError> {
        let (&version, body) = frame.split_first().ok_or(FrameError::Empty)?;
        if version != VERSION {
            return Err(FrameError::Version(version));
        }
        if body.len() >= MAX_FRAME {
            return Err(FrameError::TooLong(frame.len()));
        }
        let (message, rest) =
            postcard::take_from_bytes::<Message>(body).map_err(|_| FrameError::Malformed)?;
        if !rest.is_empty() {
            return Err(FrameError::Malformed);
        }
        let list = match &message {
            Message::Digest(parts) if parts.len() != BUCKETS => {
                return Err(FrameError::Digest(parts.len()));
            }
            Message::Hello(_) | Message::Digest(_) | Message::Synced => 0,
            Message::Rows { rows, .. } => rows.len(),
            Message::Acked { refused, .. } => {
                if let Some((_, text)) = refused.iter().find(|(_, text)| text.len() > MAX_TEXT) {
                    return Err(FrameError::Text(text.len()));
                }
                refused.len()
            }
            Message::Progress(news) => news.len(),
            Message::Ended(news) => news.len(),
            Message::Has(keys) | Message::HasNot(keys) => keys.len(),
            Message::Handoff { part, .. } if part.len() > MAX_PART => {
                return Err(FrameError::Part(part.len()));
            }
            Message::HandedOff {
                refusal: Some(text),
                ..
            } if text.len() > MAX_TEXT => return Err(FrameError::Text(text.len())),
            Message::Handoff { .. } | Message::HandedOff { .. } => 0,
        };
        match list {
            0..=MAX_LIST => Ok(message),
            _ => Err(FrameError::List(list)),
        }
    }

    /// What reading this may cost, counted in rows.
    pub fn cost(&self) -> u32 {
        let list = match self {
            Message::Rows { rows, .. } => rows.len(),
            Message::Progress(news) => news.len(),
            Message::Ended(news) => news.len(),
            Message::Has(keys) | Message::HasNot(keys) => keys.len(),
            // It is compared, and may be answered with the whole table.
            Message::Digest(_) => 16 * MAX_LIST,
            // The kernel makes a socket.
            Message::Handoff { last: true, .. } => 16,
            Message::Hello(_)
            | Message::Acked { .. }
            | Message::Synced
            | Message::Handoff { .. }
            | Message::HandedOff { .. } => 0,
        };
        u32::try_from(list).unwrap_or(u32::MAX).saturating_add(1)
    }
}

/// Text for a message, not longer than allowed.
pub fn text(mut text: String) -> String {
    let mut end = text.len().min(MAX_TEXT);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.truncate(end);
    text
}

/// The length of a frame by its first four bytes.
///
/// # Errors
///
/// When it is longer than anything this protocol says.
pub fn length(head: [u8; 4]) -> Result<usize, FrameError> {
    let length = usize::try_from(u32::from_be_bytes(head)).unwrap_or(usize::MAX);
    match length {
        0 => Err(FrameError::Empty),
        1..=MAX_FRAME => Ok(length),
        _ => Err(FrameError::TooLong(length)),
    }
}

#[cfg(test)]
mod tests {
    use super::super::row::{Away, tests::row};
    use super::*;
    use proptest::prelude::*;

    fn messages() -> Vec<Message> {
        let mut six = row(7);
        six.away = Some(Away {
            via: [0x20; 16].into(),
            tunnel: true,
        });
        six.ends = six.ends.map(|end| {
            let mapped = match end.ip() {
                std::net::IpAddr::V4(ip) => ip.to_ipv6_mapped(),
                std::net::IpAddr::V6(ip) => ip,
            };
            (mapped, end.port()).into()
        });
        vec![
            Message::Hello(Hello {
                node: NodeId(1),
                to: NodeId(2),
                incarnation: 3,
                heartbeat_key: [4; 32],
            }),
            Message::Digest(vec![u64::MAX; BUCKETS]),
            Message::Rows {
                batch: 5,
                rows: vec![six; MAX_LIST],
            },
            Message::Acked {
                batch: u64::MAX,
                refused: vec![(7, text("\u{e9}".repeat(300)))],
            },
            Message::Progress(vec![(row(1).key(), row(1).progress)]),
            Message::Ended(vec![(row(1).key(), Reason(2))]),
            Message::Synced,
            Message::Handoff {
                ticket: 3,
                part: vec![7; MAX_PART],
                last: true,
                within: 3000,
            },
            Message::HandedOff {
                ticket: 3,
                refusal: Some("nobody listens".into()),
            },
            Message::Has(vec![row(1).key(); MAX_LIST]),
            Message::HasNot(vec![row(2).key()]),
        ]
    }

    fn body(message: &Message) -> Vec<u8> {
        let frame = message.frame();
        let (head, body) = frame.split_first_chunk().unwrap();
        assert_eq!(length(*head), Ok(body.len()));
        body.to_vec()
    }

    #[test]
    fn there_and_back() {
        for message in messages() {
            assert_eq!(Message::decode(&body(&message)), Ok(message));
        }
    }

    #[test]
    fn what_is_refused() {
        assert_eq!(length([0, 0, 0, 0]), Err(FrameError::Empty));
        assert_eq!(length([0, 2, 0, 0]), Ok(MAX_FRAME));
        assert_eq!(
            length([0, 2, 0, 1]),
            Err(FrameError::TooLong(MAX_FRAME + 1))
        );
        assert_eq!(Message::decode(&[]), Err(FrameError::Empty));
        assert_eq!(Message::decode(&[1, 0]), Err(FrameError::Version(1)));
        assert_eq!(Message::decode(&[VERSION, 99]), Err(FrameError::Malformed));
        let mut trailing = body(&Message::Synced);
        trailing.push(0);
        assert_eq!(Message::decode(&trailing), Err(FrameError::Malformed));
        let many = Message::Ended(vec![(row(1).key(), Reason(2)); MAX_LIST + 1]);
        assert_eq!(
            Message::decode(&body(&many)),
            Err(FrameError::List(MAX_LIST + 1))
        );
        let few = Message::Digest(vec![1; 3]);
        assert_eq!(Message::decode(&body(&few)), Err(FrameError::Digest(3)));
        let long = Message::Acked {
            batch: 0,
            refused: vec![(0, "x".repeat(MAX_TEXT + 1))],
        };
        assert_eq!(
            Message::decode(&body(&long)),
            Err(FrameError::Text(MAX_TEXT + 1))
        );
        let long = Message::HandedOff {
            ticket: 0,
            refusal: Some("x".repeat(MAX_TEXT + 1)),
        };
        assert_eq!(
            Message::decode(&body(&long)),
            Err(FrameError::Text(MAX_TEXT + 1))
        );
        let long = Message::Handoff {
            ticket: 0,
            part: vec![0; MAX_PART + 1],
            last: false,
            within: 0,
        };
        assert_eq!(
            Message::decode(&body(&long)),
            Err(FrameError::Part(MAX_PART + 1))
        );
    }

    #[test]
    fn no_prefix_is_a_message() {
        for message in messages() {
            let body = body(&message);
            // Of the long ones not every place.
            for end in (0..body.len()).filter(|end| *end < 600 || end % 97 == 0) {
                assert!(
                    Message::decode(&body[..end]).is_err(),
                    "{end} of {message:?}"
                );
            }
        }
    }

    #[test]
    fn a_list_that_claims_to_be_endless_takes_no_memory() {
        // Variant 1, a digest, of 2^63 parts, and nothing after it.
        let mut claim = vec![VERSION, 1];
        claim.extend([0x80; 9]);
        claim.push(1);
        assert_eq!(Message::decode(&claim), Err(FrameError::Malformed));
    }

    proptest! {
        #[test]
        fn any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
            let _ = Message::decode(&bytes);
            let mut versioned = vec![VERSION];
            versioned.extend(&bytes);
            if let Ok(message) = Message::decode(&versioned) {
                // Whatever it reads, it would write alike, and read again.
                prop_assert_eq!(Message::decode(&body(&message)), Ok(message));
            }
        }

        #[test]
        fn any_mutation(
            which in 0usize..11,
            at in any::<prop::sample::Index>(),
            byte: u8,
            cut in prop::option::of(any::<prop::sample::Index>()),
        ) {
            let mut body = body(&messages()[which]);
            let at = at.index(body.len());
            body[at] = byte;
            if let Some(cut) = cut {
                body.truncate(cut.index(body.len()));
            }
            if let Ok(Message::Rows { rows, .. }) = Message::decode(&body) {
                rows.iter().for_each(|row| { row.is_plausible(); row.key(); });
            }
        }
    }
}
