// SPDX-License-Identifier: GPL-2.0

//! Connections that move to another node (TCP handoff): how they are written in messages, and what a node
//! has of those that come to it.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Duration;

use tcp_splice_netlink::Migrant;
use thiserror::Error;

use super::message::{MAX_PART, Message};
use super::row::NodeId;
use super::run::Handle;
use super::servers::Servers;

/// Bytes of one connection in messages.
pub const MAX_CONNECTION: usize = 4 << 20;
/// Bytes of all connections that have not come whole yet.
const MAX_ARRIVING: usize = 64 << 20;

/// How much of the time within which an answer is waited for a connection may wait for the kernel of the node that it comes to. One
/// that has waited for longer is refused: were it taken too late, whoever gave it would not know.
pub fn patience(within: u32) -> Duration {
    Duration::from_millis(within.into()) / 2
}

/// What became of a connection that was to move.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Move {
    /// The other node has it.
    Taken,
    /// The other node has not got it, and will not.
    Refused(String),
    /// It was given to the other node, and nobody knows whether that has it.
    Unknown(String),
}

/// Has the node of a server take a connection. It answers within this time, unless something is lost, or its link ends.
pub async fn give(
    cluster: &Handle,
    servers: &Servers,
    server: SocketAddr,
    migrant: Migrant,
    within: Duration,
) -> Move {
    match servers.node(server) {
        Some(node) => cluster.hand_off(node, migrant, within).await,
        None => Move::Refused("no node of the cluster has this server".into()),
    }
}

/// A connection as it is written in messages. To write and to read millions of bytes takes time in which whoever does it
/// does nothing else: neither is for the task that hears the heartbeats of all nodes.
#[derive(PartialEq, Eq)]
pub struct Text(Vec<u8>);

impl std::fmt::Debug for Text {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Text of {} bytes", self.0.len())
    }
}

impl Text {
    /// Writes a connection; `None` if it comes with more than fits.
    pub fn of(migrant: &Migrant) -> Option<Text> {
        // Names of strings and numbers: writing them does not fail.
        let text = serde_json::to_vec(migrant).ok()?;
        (text.len() <= MAX_CONNECTION).then_some(Text(text))
    }

    /// The connection.
    ///
    /// # Errors
    ///
    /// [`Unfit::Malformed`].
    pub fn read(&self) -> Result<Migrant, Unfit> {
        serde_json::from_slice(&self.0).map_err(|_| Unfit::Malformed)
    }

    /// The messages that bring it.
    pub fn messages(&self, ticket: u64, within: Duration) -> Vec<Message> {
        let within = u32::try_from(within.as_millis()).unwrap_or(u32::MAX);
        let parts = self.0.chunks(MAX_PART);
        let count = parts.len();
        let part = |(n, part): (usize, &[u8])| Message::Handoff {
            ticket,
            part: part.to_vec(),
            last: n + 1 == count,
            within,
        };
        parts.enumerate().map(part).collect()
    }
}

/// Why a connection that came in messages is not tried.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum Unfit {
    /// It comes with too much.
    #[error("the connection comes with more than {MAX_CONNECTION} bytes")]
    TooLarge,
    /// Too much comes at a time.
    #[error("too many connections come at a time")]
    TooMany,
    /// It is not understood.
    #[error("the message is no connection")]
    Malformed,
}

/// Parts of connections that come from peers, by peer and ticket.
#[derive(Debug, Default)]
pub struct Arrivals {
    parts: HashMap<(NodeId, u64), Vec<u8>>,
    bytes: usize,
}

impl Arrivals {
    /// Takes a part. What is written of the connection, once that is whole.
    ///
    /// # Errors
    ///
    /// Why it is not to be; what has come of it is forgotten.
    pub fn add(
        &mut self,
        peer: NodeId,
        ticket: u64,
        part: &[u8],
        last: bool,
    ) -> Result<Option<Text>, Unfit> {
        let mut text = self.parts.remove(&(peer, ticket)).unwrap_or_default();
        self.bytes -= text.len();
        if text.len() + part.len() > MAX_CONNECTION {
            return Err(Unfit::TooLarge);
        }
        text.extend(part);
        if last {
            return Ok(Some(Text(text)));
        }
        // Parts without bytes would cost memory, too.
        if part.is_empty() || self.bytes + text.len() > MAX_ARRIVING {
            return Err(Unfit::TooMany);
        }
        self.bytes += text.len();
        self.parts.insert((peer, ticket), text);
        Ok(None)
    }

    /// The rest of what a peer had begun to send does not come.
    pub fn forget(&mut self, peer: NodeId) {
        self.parts.retain(|(of, _), _| *of != peer);
        self.bytes = self.parts.values().map(Vec::len).sum();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tcp_splice_netlink::{Bytes, Handoff, Piece};

    fn migrant(len: usize) -> Migrant {
        Migrant {
            connection: Handoff {
                remote: Some([192, 0, 2, 1].into()),
                rcv_start: Some(7),
                ..Handoff::default()
            },
            received: vec![Piece {
                seq: 7,
                bytes: Bytes((0..len).map(|n| n as u8).collect()),
            }],
            ..Migrant::default()
        }
    }

    fn parts(migrant: &Migrant) -> Vec<(Vec<u8>, bool)> {
        let within = Duration::from_millis(1500);
        let messages = Text::of(migrant).expect("it fits").messages(5, within);
        let part = |message| match message {
            Message::Handoff {
                ticket: 5,
                part,
                last,
                within: 1500,
            } => (part, last),
            other => panic!("{other:?}"),
        };
        messages.into_iter().map(part).collect()
    }

    #[test]
    fn a_connection_arrives_whole() {
        let mut arrivals = Arrivals::default();
        for len in [0, 1, 10, 300_000] {
            let sent = migrant(len);
            let parts = parts(&sent);
            assert_eq!(parts.len() > 1, len > 100_000);
            let mut other = parts.clone();
            other.pop();
            for (n, (part, last)) in parts.iter().enumerate() {
                // Of two peers, and twice of one, at a time.
                for (peer, ticket) in [(2, 5), (1, 6)] {
                    if let Some((part, last)) = other.get(n) {
                        assert_eq!(arrivals.add(NodeId(peer), ticket, part, *last), Ok(None));
                    }
                }
                let came = arrivals.add(NodeId(1), 5, part, *last).unwrap();
                let came = came.map(|text| text.read());
                assert_eq!(came, last.then(|| Ok(sent.clone())), "{n}");
            }
            arrivals.forget(NodeId(1));
            arrivals.forget(NodeId(2));
            assert_eq!((arrivals.bytes, arrivals.parts.len()), (0, 0));
        }
        assert_eq!(Text::of(&migrant(MAX_CONNECTION)), None);
    }

    #[test]
    fn no_peer_takes_all_memory() {
        let mut arrivals = Arrivals::default();
        let part = vec![b' '; MAX_PART];
        let mut came = Ok(None);
        let mut added = 0;
        while came == Ok(None) {
            came = arrivals.add(NodeId(1), 1, &part, false);
            added += MAX_PART;
        }
        assert_eq!(came, Err(Unfit::TooLarge));
        assert_eq!(added, MAX_CONNECTION + MAX_PART);
        assert_eq!(arrivals.bytes, 0);
        let mut tickets = 0;
        while arrivals.add(NodeId(1), tickets, &part, false) == Ok(None) {
            tickets += 1;
        }
        assert_eq!(tickets, (MAX_ARRIVING / MAX_PART) as u64);
        assert!(arrivals.bytes <= MAX_ARRIVING);
        assert_eq!(
            arrivals.add(NodeId(2), 0, b"", false),
            Err(Unfit::TooMany),
            "nothing, for ever"
        );
        let came = arrivals.add(NodeId(2), 0, b"{", true).unwrap();
        assert_eq!(came.unwrap().read(), Err(Unfit::Malformed));
    }
}
